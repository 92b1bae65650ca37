//! The library's front door: [`Pool`].

use std::fmt;
use std::sync::Arc;

use futures_util::Stream;
#[cfg(feature = "cli")]
use protocol::ToWorker;
use protocol::{JobId, Task};
#[cfg(feature = "cli")]
use tokio::sync::mpsc;
use tokio::sync::{TryAcquireError, watch};

use super::admission::Handles;
#[cfg(feature = "cli")]
use super::batch::Batch;
#[cfg(feature = "cli")]
use super::driver::Note;
use super::driver::State;
use super::entry::Reply;
use super::event::{self, EventStream, Scope};
use super::hired::Crew;
use super::map::{Inputs, Map};
use super::obey::Command;
use super::{
    Control, Job, JobError, JobHandle, PoolConfig, PoolError, RawHandle, RawJob, Reports, Spill,
    Stats, TrySubmitError,
};

/// A pool of worker processes.
///
/// Its driver is a task of the tokio runtime in which it was started, or has a
/// thread of its own. All
/// methods may be called from any thread.
///
/// To share it, put it into an `Arc`: all that it can do takes `&self`.
///
/// Dropping a pool ends it at once: jobs without a verdict are cancelled, and
/// the workers stop what they do, clean up and end. That happens in the
/// background; [`Pool::shutdown`] and [`Pool::shutdown_now`] wait for it, and tell
/// of lines that could not be printed.
pub struct Pool {
    pub(super) shared: Arc<Handles>,
    /// How the driver ended.
    pub(super) end: watch::Receiver<Option<Result<(), PoolError>>>,
    pub(super) spill: Arc<Spill>,
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool")
            .field("state", &*self.shared.state.borrow())
            .field("room", &self.shared.room.available_permits())
            .finish_non_exhaustive()
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        // Others may still hold the doors, a `Map` for example. A driver that
        // has ended needs no telling.
        self.shared.commands.send(Command::Stop).ok();
    }
}

impl Pool {
    /// Starts a pool on the current tokio runtime, which must have I/O and time
    /// enabled. Workers start in parallel; nothing is waited for. A worker that
    /// cannot be started shows in the first submission or report.
    ///
    /// # Errors
    /// When the configuration makes no sense.
    ///
    /// # Panics
    /// Outside a tokio runtime; [`Pool::start_on_own_thread`] needs none.
    #[track_caller]
    pub fn start(config: PoolConfig) -> Result<Pool, PoolError> {
        Ok(Pool::build(config, Crew::Processes, None)?.here())
    }

    /// The same on a thread of its own, with a runtime of its own: this pool
    /// does not end with anybody's runtime, and its futures can be awaited on
    /// any executor (but for [`Control::pause`], which needs tokio's time). Can be
    /// called outside of a runtime. The thread ends when the pool has.
    ///
    /// # Errors
    /// When the configuration makes no sense, or the system has no thread or no
    /// descriptors for it.
    pub fn start_on_own_thread(config: PoolConfig) -> Result<Pool, PoolError> {
        Pool::build(config, Crew::Processes, None)?.on_own_thread()
    }

    /// The same, with the stream of all that happens. The stream must be read,
    /// or dropped: a job whose last event has not been taken keeps its room in
    /// the pool.
    ///
    /// # Errors
    /// When the configuration makes no sense.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn start_observed(config: PoolConfig) -> Result<(Pool, EventStream), PoolError> {
        Pool::start_with(config, Scope::All)
    }

    /// The same without the events that every job causes, which are not free.
    #[cfg(feature = "cli")]
    pub(crate) fn start_watched(config: PoolConfig) -> Result<(Pool, EventStream), PoolError> {
        Pool::start_with(config, Scope::Exceptions)
    }

    fn start_with(config: PoolConfig, scope: Scope) -> Result<(Pool, EventStream), PoolError> {
        let (events, stream) = event::channel(scope);
        let pool = Pool::build(config, Crew::Processes, Some(events))?;
        Ok((pool.here(), stream))
    }

    /// Names of the tasks that the workers offer, known once the first worker
    /// is ready. Cancel-safe.
    ///
    /// # Errors
    /// When no worker can be started, or the pool was shut down.
    pub async fn tasks(&self) -> Result<Arc<[String]>, PoolError> {
        let mut state = self.shared.state.clone();
        let known = state
            .wait_for(|s| !matches!(s, State::Starting))
            .await
            .map_err(|_| PoolError::Closed)?;
        match &*known {
            State::Ready(tasks) => Ok(Arc::clone(tasks)),
            State::Over(why) => Err(why.clone()),
            State::Starting => Err(PoolError::Closed),
        }
    }

    /// Describes a job, which does nothing until it is awaited or submitted: the
    /// way to give it options.
    pub fn job<T: Task>(&self, _task: T, input: T::Input) -> Job<'_, T> {
        Job::new(self, input)
    }

    /// Waits until the pool has room for the job, which then runs by itself.
    /// Dropping the future before it is ready submits nothing; dropping the
    /// handle lets the job run on.
    ///
    /// # Errors
    /// When the input cannot be encoded or is too large, or the pool is over.
    pub fn submit<T: Task>(
        &self,
        task: T,
        input: T::Input,
    ) -> impl Future<Output = Result<JobHandle<T::Output>, PoolError>> + Send + use<'_, T> {
        self.job(task, input).submit()
    }

    /// Submits the job if the pool has room for it now.
    ///
    /// ```
    /// # use orchestrator::{Registry, Task, ThreadPool, ThreadPoolConfig, block_on, TrySubmitError};
    /// # struct Double;
    /// # impl Task for Double {
    /// #     const NAME: &'static str = "double";
    /// #     type Input = u64;
    /// #     type Output = u64;
    /// # }
    /// # let tasks = || Registry::without_command().task(Double, |n| 2 * n);
    /// # block_on(async {
    /// let config = ThreadPoolConfig { max_pending: 1, ..ThreadPoolConfig::default() };
    /// let pool = ThreadPool::with(config, tasks)?;
    /// let first = pool.try_submit(Double, 1)?;
    /// match pool.try_submit(Double, 2) {
    ///     Err(TrySubmitError::Full(input)) => assert_eq!(input, 2),
    ///     other => panic!("{other:?}"),
    /// }
    /// // `submit` waits until there is room.
    /// let second = pool.submit(Double, 2).await?;
    /// assert_eq!((first.await?, second.await?), (2, 4));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// [`TrySubmitError::Full`] with the input when it has not; else as
    /// [`submit`](Pool::submit).
    pub fn try_submit<T: Task>(
        &self,
        task: T,
        input: T::Input,
    ) -> Result<JobHandle<T::Output>, TrySubmitError<T::Input>> {
        self.job(task, input).try_submit().map_err(|e| match e {
            TrySubmitError::Full(job) => TrySubmitError::Full(job.into_input()),
            TrySubmitError::Pool(e) => TrySubmitError::Pool(e),
        })
    }

    /// Submits a job and waits for its result. Dropping the future after the
    /// job was accepted lets it run on.
    ///
    /// # Errors
    /// When the job gives no result, or the pool is over.
    pub fn run<T: Task>(
        &self,
        task: T,
        input: T::Input,
    ) -> impl Future<Output = Result<T::Output, JobError>> + Send + use<'_, T> {
        let submitted = self.submit(task, input);
        async { submitted.await?.await }
    }

    /// One job per input, with the results in the order of the inputs
    /// ([`Map::unordered`]: as they come). Inputs are taken as the pool has room
    /// and results are asked for, so they may be infinite; there is no chunk size
    /// to choose.
    pub fn map<T: Task, I: IntoIterator<Item = T::Input>>(
        &self,
        task: T,
        inputs: I,
    ) -> Map<T, Inputs<I::IntoIter>> {
        self.map_stream(task, Inputs(inputs.into_iter()))
    }

    /// The same for inputs that come from a `Stream`. One that is not `Unpin` is
    /// to be pinned first, with `Box::pin` or `std::pin::pin!`.
    pub fn map_stream<T: Task, S: Stream<Item = T::Input> + Unpin>(
        &self,
        _task: T,
        inputs: S,
    ) -> Map<T, S> {
        Map::new(Arc::clone(&self.shared), inputs)
    }

    /// Waits until the pool has room for the job, which then runs by itself.
    /// Dropping the future before it is ready submits nothing.
    ///
    /// # Errors
    /// When the input is too large, or the pool is over.
    pub async fn submit_raw(&self, job: RawJob) -> Result<RawHandle, PoolError> {
        self.shared.fits(job.input.len())?;
        let room = self.shared.admit().await?;
        Ok(self.shared.send_one(job, room))
    }

    /// Submits the job if the pool has room for it now.
    ///
    /// # Errors
    /// [`TrySubmitError::Full`] with the job when it has not; else as
    /// [`submit_raw`](Pool::submit_raw).
    #[expect(
        clippy::result_large_err,
        reason = "the job comes back as it was given"
    )]
    pub fn try_submit_raw(&self, job: RawJob) -> Result<RawHandle, TrySubmitError<RawJob>> {
        self.shared.fits(job.input.len())?;
        let room = Arc::clone(&self.shared.room);
        match room.try_acquire_many_owned(self.shared.permits) {
            Ok(room) => Ok(self.shared.send_one(job, room)),
            Err(TryAcquireError::NoPermits) => Err(TrySubmitError::Full(job)),
            Err(TryAcquireError::Closed) => Err(TrySubmitError::Pool(self.shared.why_over())),
        }
    }

    /// The same, with the report sent to where those of many jobs go, in the order
    /// in which the jobs end.
    ///
    /// # Errors
    /// When the input is too large, or the pool is over.
    pub async fn submit_to(&self, job: RawJob, reports: &Reports) -> Result<JobId, PoolError> {
        self.shared.fits(job.input.len())?;
        let room = self.shared.admit().await?;
        let reply = Reply::Shared(reports.clone());
        Ok(self.shared.send(job, room, reply))
    }

    /// Jobs to be handed over together.
    #[cfg(feature = "cli")]
    pub(crate) fn batch(&self) -> Batch<'_> {
        Batch::new(&self.shared)
    }

    /// Asks for the end of a job, see [`RawHandle::cancel`].
    #[cfg(feature = "cli")]
    pub(crate) fn cancel(&self, job: JobId) {
        self.shared.commands.send(Command::Cancel(job)).ok();
    }

    /// Wants these jobs back if they have not started: then they end as
    /// `Interrupted`. Of those that have, a note tells, or their reports do.
    #[cfg(feature = "cli")]
    pub(crate) fn give_back(&self, jobs: Vec<JobId>) {
        self.shared.commands.send(Command::GiveBack(jobs)).ok();
    }

    /// Notes about jobs that have not ended, from now on.
    #[cfg(feature = "cli")]
    pub(crate) fn notes(&self) -> mpsc::UnboundedReceiver<Vec<Note>> {
        let (way, notes) = mpsc::unbounded_channel();
        self.shared.commands.send(Command::Notes(way)).ok();
        notes
    }

    /// A frame of data for every worker, also for those that are started later,
    /// before any job that is handed over later.
    #[cfg(feature = "cli")]
    pub(crate) fn blob(&self, frame: ToWorker) {
        self.shared.commands.send(Command::Blob(frame)).ok();
    }

    /// Tells the workers that all jobs are about to have come.
    #[cfg(feature = "cli")]
    pub(crate) fn wind_down(&self) {
        self.shared.commands.send(Command::WindDown).ok();
    }

    /// Waits until it has ended, and gives the reason if it was broken. Cancel-safe.
    #[cfg(feature = "cli")]
    pub(crate) async fn ended(&self) -> Result<(), PoolError> {
        let mut end = self.end.clone();
        match end.wait_for(Option::is_some).await {
            Ok(end) => end.clone().unwrap_or(Ok(())),
            Err(_) => Err(PoolError::Closed),
        }
    }

    /// Takes no more jobs, runs those that were accepted, ends the workers and
    /// waits until they are reaped and all that was printed is written or
    /// handed over, however long somebody takes for that. Whoever submits
    /// meanwhile, or later, is told [`PoolError::Closed`]. Dropping the future
    /// stops the waiting and not the shutdown; it may be called again, by several
    /// at a time.
    ///
    /// # Errors
    /// Why the pool was broken, if it was; else what was not printed.
    pub async fn shutdown(&self) -> Result<(), PoolError> {
        self.end(Command::Drain).await
    }

    /// Cancels every job, running or not, ends the workers and waits until
    /// they are reaped. They are killed when they do not end within
    /// [`PoolConfig::grace`], and so long again it is waited for somebody to take
    /// what they printed. Dropping the future stops the waiting only.
    ///
    /// ```
    /// # use orchestrator::{Registry, Task, JobError, ThreadPool, block_on};
    /// # struct Double;
    /// # impl Task for Double {
    /// #     const NAME: &'static str = "double";
    /// #     type Input = u64;
    /// #     type Output = u64;
    /// # }
    /// # let tasks = || Registry::without_command().task(Double, |n| 2 * n);
    /// # block_on(async {
    /// # let pool = ThreadPool::start(1, tasks)?;
    /// # pool.control().pause().await;
    /// let waits = pool.submit(Double, 1).await?;
    /// pool.shutdown_now().await?;
    /// assert!(matches!(waits.await, Err(JobError::Cancelled)));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// Why the pool was broken, if it was; else what was not printed.
    pub async fn shutdown_now(&self) -> Result<(), PoolError> {
        self.end(Command::Stop).await
    }

    async fn end(&self, how: Command) -> Result<(), PoolError> {
        // A driver that has ended already says why below.
        self.shared.commands.send(how).ok();
        let mut end = self.end.clone();
        match end.wait_for(Option::is_some).await {
            Ok(end) => end.clone().unwrap_or(Ok(())),
            // Its runtime has ended, and all its tasks with it.
            Err(_) => Err(PoolError::Closed),
        }
    }

    /// The pool in numbers; all of them 0 when it has ended. Cancel-safe.
    pub async fn stats(&self) -> Stats {
        self.control().stats().await
    }

    /// Changes the number of workers while the pool runs, without harm to any
    /// job; see [`Control::resize`], which does the same.
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
    /// # let pool = ThreadPool::start(4, tasks)?;
    /// pool.resize(1)?;
    /// pool.run(Double, 1).await?;
    /// let stats = pool.stats().await;
    /// assert_eq!((stats.ended("ok"), stats.waiting), (1, 0));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// [`PoolError::Config`] for a pool without workers, or with more than 16,384.
    pub fn resize(&self, workers: usize) -> Result<(), PoolError> {
        self.control().resize(workers)
    }

    /// A way to ask something of all jobs together, also while the pool is being
    /// shut down.
    #[must_use]
    pub fn control(&self) -> Control {
        Control::new(self.shared.commands.downgrade())
    }

    /// Whether it takes no more jobs.
    pub(super) fn is_over(&self) -> bool {
        self.shared.room.is_closed()
    }

    /// Where what this pool's jobs print is kept, for readers that keep more
    /// of it in the same place.
    #[must_use]
    pub fn spill(&self) -> &Arc<Spill> {
        &self.spill
    }
}
