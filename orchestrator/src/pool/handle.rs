//! Submitted jobs: [`RawHandle`] and [`JobHandle`].

use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use protocol::{Encoding, JobId, PayloadError};
use serde::de::DeserializeOwned;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::coop::unconstrained;

use super::admission::why_over;
use super::driver::State;
use super::obey::Command;
use super::{Awaitable, JobError, JobReport, Payload, PoolError};
use crate::scheduler::Verdict;

/// A submitted job whose report is wanted as it is: verdict, result in its
/// encoding, captured output, usage. A future that gives the report; awaiting it
/// can be cancelled and repeated. Dropping it lets the job run on and forgets
/// the report.
#[must_use = "dropping the handle forgets the report"]
pub struct RawHandle {
    id: JobId,
    // Boxed: the room for it is taken when the job is submitted.
    report: oneshot::Receiver<Box<JobReport>>,
    /// Weak, so that a handle does not keep a dropped pool alive.
    commands: mpsc::WeakUnboundedSender<Command>,
    state: watch::Receiver<State>,
    /// The report, once somebody has looked whether it is there.
    here: Option<Result<Box<JobReport>, PoolError>>,
    /// Whether it has given the report.
    over: bool,
}

impl fmt::Debug for RawHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RawHandle")
            .field("id", &self.id)
            .field("finished", &self.is_finished())
            .finish_non_exhaustive()
    }
}

impl RawHandle {
    pub(super) fn new(
        id: JobId,
        report: oneshot::Receiver<Box<JobReport>>,
        commands: mpsc::WeakUnboundedSender<Command>,
        state: watch::Receiver<State>,
    ) -> RawHandle {
        RawHandle {
            id,
            report,
            commands,
            state,
            here: None,
            over: false,
        }
    }

    /// The job's number in its pool.
    #[must_use]
    pub fn id(&self) -> JobId {
        self.id
    }

    /// Why the pool is over, to be asked when it is.
    pub(super) fn over(&self) -> impl FnOnce() -> PoolError + use<> {
        let state = self.state.clone();
        move || why_over(&state)
    }

    /// Whether the job has ended, so that awaiting it does not wait.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        // A pool whose driver is gone gives no report any more.
        let there = self.over || self.here.is_some() || !self.report.is_empty();
        there || self.state.has_changed().is_err()
    }

    /// Asks for the job's end, whether it runs or not; its report still comes.
    /// A running command gets SIGTERM, later SIGKILL. A function is told by
    /// [`JobContext::checkpoint`](worker::JobContext::checkpoint). When it does not
    /// listen, its worker is killed and replaced after
    /// [`PoolConfig::grace`](super::PoolConfig::grace) and
    /// [`answer_timeout`](super::PoolConfig::answer_timeout), 12 s unless they are
    /// set; the report comes then. A job that has ended is left alone.
    pub fn cancel(&self) {
        if let Some(commands) = self.commands.upgrade() {
            commands.send(Command::Cancel(self.id)).ok();
        }
    }
}

impl RawHandle {
    fn poll_report(&mut self, cx: &mut Context<'_>) -> Poll<Result<Box<JobReport>, PoolError>> {
        if let Some(report) = self.here.take() {
            return Poll::Ready(report);
        }
        assert!(
            !self.over,
            "a job's handle was awaited after it had given its result"
        );
        // Without the runtime's budget: among thousands of handles that are waited
        // for together, each of those beyond it would be looked at again at once.
        let mut report = unconstrained(&mut self.report);
        let report = ready!(Pin::new(&mut report).poll(cx));
        self.over = true;
        Poll::Ready(report.map_err(|_| why_over(&self.state)))
    }
}

impl Future for RawHandle {
    type Output = Result<JobReport, PoolError>;

    /// # Panics
    /// When polled after it has given the report.
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let report = ready!(self.poll_report(cx));
        Poll::Ready(report.map(|report| *report))
    }
}

/// Its end is good when the job's is: with the verdict `Ok`.
impl Awaitable for RawHandle {
    type Value = JobReport;
    type Error = PoolError;

    fn poll_finished(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        if self.here.is_none() {
            if self.over {
                // It was given away; nobody has to wait for it.
                return Poll::Ready(true);
            }
            let report = ready!(self.poll_report(cx));
            self.here = Some(report);
        }
        Poll::Ready(matches!(&self.here, Some(Ok(report)) if report.verdict == Verdict::Ok))
    }

    fn cancel(&self) {
        RawHandle::cancel(self);
    }
}

/// A submitted job whose result is wanted, as a task in asyncio is: the job runs
/// by itself, and awaiting the handle gives its result.
///
/// Awaiting is cancel-safe: it works under `tokio::time::timeout` and `select!`,
/// and may be repeated (on `&mut handle`) until it has given the result.
/// Dropping the handle detaches it: the job runs on and its result is forgotten.
/// To end the job, [`cancel`](JobHandle::cancel) it. Handles do not keep their
/// pool alive: when the pool is dropped, its jobs are cancelled and their
/// handles resolve.
///
/// ```
/// use std::time::Duration;
///
/// # use orchestrator::{Cancelled, JobContext, JobError, Registry, Task, ThreadPool, block_on};
/// # struct Endless;
/// # impl Task for Endless {
/// #     const NAME: &'static str = "endless";
/// #     type Input = ();
/// #     type Output = ();
/// # }
/// fn endless((): (), job: &JobContext) -> Result<(), Cancelled> {
///     loop {
///         job.checkpoint()?; // fails when the job is cancelled or its time is up
///         std::thread::sleep(Duration::from_millis(1));
///     }
/// }
///
/// # let tasks = || Registry::without_command().task_ctx(Endless, endless);
/// # block_on(async {
/// # let pool = ThreadPool::start(1, tasks)?;
/// let mut handle = pool.submit(Endless, ()).await?;
/// // Only the waiting is given up.
/// let waited = tokio::time::timeout(Duration::from_millis(5), &mut handle);
/// assert!(waited.await.is_err() && !handle.is_finished());
/// handle.cancel();
/// assert!(matches!(handle.await, Err(JobError::Cancelled)));
///
/// let limited = pool.job(Endless, ()).timeout(Duration::from_millis(5));
/// assert!(matches!(limited.await, Err(JobError::Timeout(_))));
/// # Ok::<(), JobError>(())
/// # }).unwrap();
/// ```
///
/// A handle of a job that has ended keeps its result; beyond
/// [`PoolConfig::result_memory`](super::PoolConfig::result_memory) in a file.
#[must_use = "dropping the handle forgets the result"]
pub struct JobHandle<O> {
    raw: RawHandle,
    source: Source<O>,
}

/// Where the result is.
enum Source<O> {
    /// In the report, in this encoding.
    Report(Encoding, Decode<O>),
    /// Sent by the function that found it, in this process.
    Here(oneshot::Receiver<O>),
}

type Decode<O> = fn(Encoding, Payload) -> io::Result<Result<O, PayloadError>>;

// Nothing in it is ever pinned.
impl<O> Unpin for JobHandle<O> {}

impl<O> fmt::Debug for JobHandle<O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JobHandle")
            .field("id", &self.id())
            .field("finished", &self.is_finished())
            .finish_non_exhaustive()
    }
}

impl<O: DeserializeOwned> JobHandle<O> {
    pub(super) fn new(raw: RawHandle, encoding: Encoding) -> JobHandle<O> {
        JobHandle {
            raw,
            source: Source::Report(encoding, |encoding, payload| payload.decode(encoding)),
        }
    }
}

impl<O> JobHandle<O> {
    /// The handle of a function, which sends its result this way.
    pub(super) fn here(raw: RawHandle, result: oneshot::Receiver<O>) -> JobHandle<O> {
        JobHandle {
            raw,
            source: Source::Here(result),
        }
    }

    /// The job's number in its pool.
    #[must_use]
    pub fn id(&self) -> JobId {
        self.raw.id()
    }

    /// Whether the job has ended, so that awaiting it does not wait.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.raw.is_finished()
    }

    /// The same job, to be awaited for its whole report.
    pub fn into_raw(self) -> RawHandle {
        self.raw
    }

    /// Asks for the job's end: at once if it has not started or listens, within
    /// 12 s if it does not, see [`RawHandle::cancel`]. Awaiting the handle then gives
    /// [`JobError::Cancelled`], or a result that came first.
    pub fn cancel(&self) {
        self.raw.cancel();
    }

    /// The result of a job that has ended.
    fn judge(&mut self, report: JobReport) -> Result<O, JobError> {
        if report.verdict != Verdict::Ok {
            return Err(JobError::new(report, self.raw.over()));
        }
        match &mut self.source {
            Source::Report(encoding, decode) => match decode(*encoding, report.result) {
                Ok(decoded) => decoded.map_err(JobError::Undecodable),
                Err(e) => Err(JobError::Pool(PoolError::Spill(Arc::new(e)))),
            },
            // Sent before the job had ended.
            Source::Here(result) => result
                .try_recv()
                .map_err(|_| JobError::Pool(PoolError::Closed)),
        }
    }
}

impl<O> Future for JobHandle<O> {
    type Output = Result<O, JobError>;

    /// # Panics
    /// When polled after it has given the result.
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let report = ready!(Pin::new(&mut self.raw).poll(cx));
        Poll::Ready(match report {
            Ok(report) => self.judge(report),
            Err(e) => Err(JobError::Pool(e)),
        })
    }
}

impl<O> Awaitable for JobHandle<O> {
    type Value = O;
    type Error = JobError;

    fn poll_finished(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        self.raw.poll_finished(cx)
    }

    fn cancel(&self) {
        JobHandle::cancel(self);
    }
}
