//! Submitted jobs: [`RawHandle`] and [`JobHandle`].

use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use protocol::{Encoding, JobId};
use tokio::sync::{mpsc, oneshot, watch};

use super::driver::{Command, State};
use super::front::why_over;
use super::{JobError, JobReport, PoolError};
use crate::scheduler::Verdict;

/// A submitted job whose report is wanted as it is. Awaiting it gives the
/// report; awaiting can be cancelled and repeated. Dropping it lets the job run
/// on and forgets the report.
#[derive(Debug)]
#[must_use = "dropping the handle forgets the report"]
pub struct RawHandle {
    pub(super) id: JobId,
    pub(super) report: oneshot::Receiver<JobReport>,
    /// Weak, so that a handle does not keep a dropped pool alive.
    pub(super) commands: mpsc::WeakUnboundedSender<Command>,
    pub(super) state: watch::Receiver<State>,
}

impl RawHandle {
    /// The job's number in its pool.
    #[must_use]
    pub fn id(&self) -> JobId {
        self.id
    }

    /// Asks for the job's end, whether it runs or not; its report still comes.
    /// A running command gets SIGTERM, later SIGKILL. A function is told by
    /// `JobContext::checkpoint`; when it does not listen, its worker is ended
    /// after [`PoolConfig::grace`]. A job that has ended is left alone.
    pub fn cancel(&self) {
        if let Some(commands) = self.commands.upgrade() {
            commands.send(Command::Cancel(self.id)).ok();
        }
    }
}

impl Future for RawHandle {
    type Output = Result<JobReport, PoolError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let report = ready!(Pin::new(&mut self.report).poll(cx));
        Poll::Ready(report.map_err(|_| why_over(&self.state)))
    }
}

/// A submitted job whose result is wanted. Awaiting it gives the result;
/// awaiting can be cancelled and repeated. Dropping it lets the job run on and
/// forgets the result.
#[must_use = "dropping the handle forgets the result"]
pub struct JobHandle<O> {
    raw: RawHandle,
    encoding: Encoding,
    output: PhantomData<fn() -> O>,
}

impl<O> fmt::Debug for JobHandle<O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.raw.fmt(f)
    }
}

impl<O> JobHandle<O> {
    pub(super) fn new(raw: RawHandle, encoding: Encoding) -> JobHandle<O> {
        JobHandle {
            raw,
            encoding,
            output: PhantomData,
        }
    }

    /// The job's number in its pool.
    #[must_use]
    pub fn id(&self) -> JobId {
        self.raw.id()
    }

    /// Asks for the job's end, see [`RawHandle::cancel`].
    pub fn cancel(&self) {
        self.raw.cancel();
    }
}

impl<O: serde::de::DeserializeOwned> Future for JobHandle<O> {
    type Output = Result<O, JobError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let report = ready!(Pin::new(&mut self.raw).poll(cx))?;
        Poll::Ready(match report.verdict {
            Verdict::Ok => match report.result.bytes() {
                Ok(bytes) => self.encoding.decode(&bytes).map_err(JobError::Result),
                Err(e) => Err(JobError::Pool(PoolError::Spill(Arc::new(e)))),
            },
            // The reason is the pool's, not the job's.
            Verdict::Lost => Err(JobError::Pool(why_over(&self.raw.state))),
            verdict => Err(JobError::NotOk {
                verdict,
                error: report.error,
            }),
        })
    }
}
