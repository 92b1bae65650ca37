//! Jobs of tasks whose types this program knows: [`Job`], described first,
//! then awaited or submitted.

use std::fmt;
use std::future::{Future, IntoFuture};
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use protocol::{Encoding, PayloadError, Task};

use super::{
    Awaitable, IntoAwaitable, JobError, JobHandle, Pool, PoolError, Printed, RawJob, TrySubmitError,
};

/// The description of a job: a task, an input, and options. Like a coroutine in
/// asyncio it does nothing by itself:
///
/// - `job.await` submits it and waits for its result. Awaiting several in a loop
///   runs them one after the other, whatever the number of workers.
/// - [`submit`](Job::submit) lets it run by itself and gives a handle that is
///   awaited later. So do several run at the same time; [`gather`](super::gather())
///   and its like take jobs as well, and submit them.
///
/// ```
/// # use orchestrator::{Registry, Task, ThreadPool, block_on, gather};
/// # struct Double;
/// # impl Task for Double {
/// #     const NAME: &'static str = "double";
/// #     type Input = u64;
/// #     type Output = u64;
/// # }
/// # block_on(async {
/// # let pool = ThreadPool::start(2, || Registry::without_command().task(Double, |n| 2 * n)).unwrap();
/// // One after the other: the second starts when the first has ended.
/// for n in 0..2 {
///     println!("{}", pool.job(Double, n).await?);
/// }
/// // At the same time.
/// let mut handles = Vec::new();
/// for n in 0..2 {
///     handles.push(pool.job(Double, n).submit().await?);
/// }
/// assert_eq!(gather(handles).await?, [0, 2]);
/// # Ok::<(), orchestrator::JobError>(())
/// # }).unwrap();
/// ```
#[must_use = "a job does nothing until it is awaited or submitted"]
pub struct Job<'p, T: Task> {
    pool: &'p Pool,
    input: T::Input,
    options: Options,
    task: PhantomData<fn() -> T>,
}

/// What a job may be told beside its input; what is absent, the pool decides.
#[derive(Clone, Debug, Default)]
pub(super) struct Options {
    pub(super) timeout: Option<Duration>,
    pub(super) retries: Option<u32>,
    pub(super) retry_backoff: Option<Duration>,
    pub(super) priority: i32,
    pub(super) label: Option<Arc<str>>,
    pub(super) printed: Option<Printed>,
}

impl Options {
    /// The encoded job.
    pub(super) fn apply<T: Task>(&self, input: &T::Input) -> Result<RawJob, PayloadError> {
        let mut job = RawJob::typed::<T>(input)?;
        job.timeout = self.timeout;
        job.retries = self.retries;
        job.retry_backoff = self.retry_backoff;
        job.priority = self.priority;
        job.label = self.label.clone();
        job.printed = self.printed.clone();
        Ok(job)
    }
}

impl<T: Task> Clone for Job<'_, T>
where
    T::Input: Clone,
{
    fn clone(&self) -> Self {
        Job {
            pool: self.pool,
            input: self.input.clone(),
            options: self.options.clone(),
            task: PhantomData,
        }
    }
}

impl<T: Task> fmt::Debug for Job<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Job")
            .field("task", &T::NAME)
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

impl<'p, T: Task> Job<'p, T> {
    pub(super) fn new(pool: &'p Pool, input: T::Input) -> Job<'p, T> {
        Job {
            pool,
            input,
            options: Options::default(),
            task: PhantomData,
        }
    }

    /// How long one attempt may take, counted from when its turn has come;
    /// instead of [`PoolConfig::timeout`](super::PoolConfig::timeout). Then the job
    /// is asked to end, as by [`JobHandle::cancel`]: a function that does not ask
    /// [`JobContext::checkpoint`](worker::JobContext::checkpoint) ends with its
    /// worker, after [`PoolConfig::grace`](super::PoolConfig::grace) (10 s) and
    /// [`answer_timeout`](super::PoolConfig::answer_timeout) (2 s).
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.options.timeout = Some(limit);
        self
    }

    /// How many attempts may follow the first; instead of
    /// [`PoolConfig::retries`](super::PoolConfig::retries).
    pub fn retries(mut self, retries: u32) -> Self {
        self.options.retries = Some(retries);
        self
    }

    /// Pause before the second attempt, doubled for each further one; instead of
    /// [`PoolConfig::retry_backoff`](super::PoolConfig::retry_backoff).
    pub fn retry_backoff(mut self, pause: Duration) -> Self {
        self.options.retry_backoff = Some(pause);
        self
    }

    /// Jobs of a higher priority are handed out first. Default: 0. See
    /// [`RawJob::priority`].
    ///
    /// ```
    /// # use orchestrator::{Registry, Task, ThreadPool, block_on};
    /// # struct Double;
    /// # impl Task for Double {
    /// #     const NAME: &'static str = "double";
    /// #     type Input = u64;
    /// #     type Output = u64;
    /// # }
    /// # let tasks = || Registry::without_command().task(Double, |n| 2 * n);
    /// # block_on(async {
    /// # let pool = ThreadPool::start(1, tasks)?;
    /// let urgent = pool.job(Double, 21).priority(10).label("the answer");
    /// let report = urgent.submit().await?.into_raw().await?;
    /// assert_eq!(report.label.as_deref(), Some("the answer"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    pub fn priority(mut self, priority: i32) -> Self {
        self.options.priority = priority;
        self
    }

    /// What a person calls the job; comes back with its report and with
    /// [`Control::status`](super::Control::status).
    pub fn label(mut self, label: impl Into<Arc<str>>) -> Self {
        self.options.label = Some(label.into());
        self
    }

    /// Where goes what it prints; instead of
    /// [`PoolConfig::printed`](super::PoolConfig::printed). What is captured comes
    /// with the report, see [`JobHandle::into_raw`]. Changes nothing in a
    /// [`ThreadPool`](super::ThreadPool), whose jobs print where this program does.
    pub fn printed(mut self, printed: Printed) -> Self {
        self.options.printed = Some(printed);
        self
    }

    pub(super) fn into_input(self) -> T::Input {
        self.input
    }

    /// The same job with a changed input, as `functools.partial` is used:
    /// describe it once, then fill in what differs.
    ///
    /// ```
    /// # use orchestrator::{Registry, Task, ThreadPool, block_on};
    /// # struct Power;
    /// # impl Task for Power {
    /// #     const NAME: &'static str = "power";
    /// #     type Input = (u64, u32);
    /// #     type Output = u64;
    /// # }
    /// # block_on(async {
    /// # let tasks = || Registry::without_command().task(Power, |(base, n)| u64::pow(base, n));
    /// # let pool = ThreadPool::start(1, tasks).unwrap();
    /// let power_of_two = pool.job(Power, (2, 0)).retries(1);
    /// let kibi = power_of_two.clone().with(|input| input.1 = 10).await?;
    /// let mebi = power_of_two.with(|input| input.1 = 20).await?;
    /// assert_eq!((kibi, mebi), (1024, 1024 * 1024));
    /// # Ok::<(), orchestrator::JobError>(())
    /// # }).unwrap();
    /// ```
    pub fn with(mut self, change: impl FnOnce(&mut T::Input)) -> Self {
        change(&mut self.input);
        self
    }

    /// Waits until the pool has room for the job, which then runs by itself.
    /// Dropping the future before it is ready submits nothing.
    ///
    /// # Errors
    /// When the input cannot be encoded or is too large, or the pool is over.
    pub fn submit(
        self,
    ) -> impl Future<Output = Result<JobHandle<T::Output>, PoolError>> + Send + use<'p, T> {
        let Job { pool, .. } = self;
        let job = self.options.apply::<T>(&self.input);
        async move {
            let raw = pool.submit_raw(job?).await?;
            Ok(JobHandle::new(raw, Encoding::Bincode))
        }
    }

    /// Submits the job if the pool has room for it now.
    ///
    /// # Errors
    /// [`TrySubmitError::Full`] with the job when it has not; else as
    /// [`submit`](Job::submit).
    pub fn try_submit(self) -> Result<JobHandle<T::Output>, TrySubmitError<Self>> {
        let job = match self.options.apply::<T>(&self.input) {
            Ok(job) => job,
            Err(e) => return Err(TrySubmitError::Pool(e.into())),
        };
        match self.pool.try_submit_raw(job) {
            Ok(raw) => Ok(JobHandle::new(raw, Encoding::Bincode)),
            Err(TrySubmitError::Full(_)) => Err(TrySubmitError::Full(self)),
            Err(TrySubmitError::Pool(e)) => Err(TrySubmitError::Pool(e)),
        }
    }
}

/// Submits the job and waits for its result.
impl<'p, T: Task> IntoFuture for Job<'p, T> {
    type Output = Result<T::Output, JobError>;
    type IntoFuture = JobFuture<'p, T::Output>;

    fn into_future(self) -> JobFuture<'p, T::Output> {
        JobFuture(State::Submitting(Box::pin(self.submit())))
    }
}

/// A job that is awaited: submitted first, then waited for. Dropping it after the
/// job was accepted lets it run on, and before that submits nothing.
#[must_use = "a job does nothing until it is awaited or submitted"]
pub struct JobFuture<'p, O>(State<'p, O>);

enum State<'p, O> {
    Submitting(Submission<'p, O>),
    Submitted(JobHandle<O>),
    /// There was no room for it, or no pool.
    Refused(PoolError),
}

type Submission<'p, O> = Pin<Box<dyn Future<Output = Result<JobHandle<O>, PoolError>> + Send + 'p>>;

impl<O> fmt::Debug for JobFuture<'_, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            State::Submitting(_) => f.write_str("JobFuture(..)"),
            State::Submitted(handle) => f.debug_tuple("JobFuture").field(handle).finish(),
            State::Refused(e) => f.debug_tuple("JobFuture").field(e).finish(),
        }
    }
}

impl<O> JobFuture<'_, O> {
    /// The job's handle, once there is one.
    fn poll_handle(&mut self, cx: &mut Context<'_>) -> Poll<Result<&mut JobHandle<O>, JobError>> {
        if let State::Submitting(submission) = &mut self.0 {
            self.0 = match ready!(submission.as_mut().poll(cx)) {
                Ok(handle) => State::Submitted(handle),
                Err(e) => State::Refused(e),
            };
        }
        Poll::Ready(match &mut self.0 {
            State::Submitted(handle) => Ok(handle),
            State::Refused(e) => Err(JobError::Pool(e.clone())),
            State::Submitting(_) => return Poll::Pending,
        })
    }
}

impl<O> Future for JobFuture<'_, O> {
    type Output = Result<O, JobError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match ready!(self.poll_handle(cx)) {
            Ok(handle) => Pin::new(handle).poll(cx),
            Err(e) => Poll::Ready(Err(e)),
        }
    }
}

impl<O> Awaitable for JobFuture<'_, O> {
    type Value = O;
    type Error = JobError;

    fn poll_finished(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        match ready!(self.poll_handle(cx)) {
            Ok(handle) => handle.poll_finished(cx),
            Err(_) => Poll::Ready(false),
        }
    }

    fn cancel(&self) {
        if let State::Submitted(handle) = &self.0 {
            handle.cancel();
        }
    }
}

/// Jobs that are waited for together are submitted then, and run at the same
/// time.
impl<'p, T: Task> IntoAwaitable for Job<'p, T> {
    type Awaitable = JobFuture<'p, T::Output>;

    fn into_awaitable(self) -> JobFuture<'p, T::Output> {
        self.into_future()
    }
}
