//! The library's front door: [`Pool`].

use std::any::Any;
use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::{FutureExt, Stream};
#[cfg(feature = "cli")]
use protocol::ToWorker;
use protocol::{JobId, MAX_FRAME, Task};
use tokio::runtime;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, TryAcquireError, mpsc, oneshot, watch};

#[cfg(feature = "cli")]
use super::batch::Batch;
use super::control::wrong_size;
#[cfg(feature = "cli")]
use super::driver::Note;
use super::driver::{Driver, Shared, State};
use super::entry::{Entry, Reply};
use super::event::{self, EventSender, EventStream, Scope};
use super::hired::Crew;
use super::map::{Inputs, Map};
use super::obey::Command;
use super::{
    Control, Job, JobError, JobHandle, PoolConfig, PoolError, RawHandle, RawJob, Reports, Spill,
    Stats, ThreadsPerJob, TrySubmitError,
};

/// Longer times in a configuration mean the same as this: ten years.
pub(super) const FOREVER: Duration = Duration::from_secs(10 * 366 * 24 * 3600);

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
    shared: Arc<Handles>,
    /// How the driver ended.
    end: watch::Receiver<Option<Result<(), PoolError>>>,
    spill: Arc<Spill>,
}

/// What the doors to one pool have in common.
pub(super) struct Handles {
    pub(super) commands: mpsc::UnboundedSender<Command>,
    pub(super) room: Arc<Semaphore>,
    last_job: AtomicU64,
    state: watch::Receiver<State>,
    /// How much of `room` a job takes: one permit that is given back with its
    /// report, and a second with its last event, if there are any.
    pub(super) permits: u32,
    max_payload: u64,
    pub(super) max_pending: usize,
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

    /// A pool that does not run yet.
    pub(super) fn build(
        mut config: PoolConfig,
        crew: Crew,
        events: Option<EventSender>,
    ) -> Result<Built, PoolError> {
        check(&config)?;
        // Times are added to times; nobody waits for longer than this.
        for time in [
            &mut config.ahead,
            &mut config.start_timeout,
            &mut config.backoff,
            &mut config.backoff_max,
            &mut config.grace,
            &mut config.answer_timeout,
            &mut config.reap_timeout,
            &mut config.frame_timeout,
            &mut config.silence,
            &mut config.retry_backoff,
            &mut config.retry_backoff_max,
            &mut config.restart_window,
            &mut config.spawn_patience,
        ]
        .into_iter()
        .chain(&mut config.timeout)
        .chain(&mut config.idle_timeout)
        {
            *time = FOREVER.min(*time);
        }
        let (commands, receiver) = mpsc::unbounded_channel();
        let (state, watched) = watch::channel(State::Starting);
        let all = events.as_ref().is_some_and(EventSender::has_all);
        let permits = if all { 2 } else { 1 };
        let room = config.max_pending.saturating_mul(permits as usize);
        let room = Arc::new(Semaphore::new(room.min(Semaphore::MAX_PERMITS)));
        let spill = Spill::within(config.temp_dir.clone(), config.output_memory);
        let shared = Arc::new(Handles {
            commands,
            room: Arc::clone(&room),
            last_job: AtomicU64::new(0),
            state: watched,
            permits,
            max_payload: config.max_payload,
            max_pending: config.max_pending,
        });
        let driver = Driver::new(Shared {
            config: Arc::new(config),
            crew,
            commands: receiver,
            events,
            state,
            room,
            spill: Arc::clone(&spill),
        });
        Ok(Built {
            shared,
            driver,
            spill,
        })
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

/// A pool whose driver does not run yet.
pub(super) struct Built {
    shared: Arc<Handles>,
    driver: Driver,
    spill: Arc<Spill>,
}

impl Built {
    /// Runs it on the current tokio runtime; panics outside of one.
    #[track_caller]
    pub(super) fn here(self) -> Pool {
        let (ended, end) = watch::channel(None);
        #[expect(
            clippy::disallowed_methods,
            reason = "the pool owns its driver: it ends when the pool is dropped, and shutdown awaits it"
        )]
        drop(tokio::spawn(drive(self.driver, ended)));
        Pool {
            shared: self.shared,
            end,
            spill: self.spill,
        }
    }

    /// Runs it on a thread of its own.
    pub(super) fn on_own_thread(self) -> Result<Pool, PoolError> {
        let failed = |e| PoolError::Spawn {
            program: "the pool's own thread".into(),
            source: Arc::new(e),
        };
        let runtime = runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(failed)?;
        let (ended, end) = watch::channel(None);
        let driver = self.driver;
        let thread = std::thread::Builder::new().name("orchestrator-pool".into());
        // Nobody joins it: its last act is to say how the pool ended.
        thread
            .spawn(move || runtime.block_on(drive(driver, ended)))
            .map_err(failed)?;
        Ok(Pool {
            shared: self.shared,
            end,
            spill: self.spill,
        })
    }
}

impl Handles {
    /// The doors to nothing: what goes in comes out at the other end.
    #[cfg(test)]
    pub(super) fn alone(
        max_pending: usize,
        permits: u32,
    ) -> (Handles, mpsc::UnboundedReceiver<Command>) {
        let (commands, receiver) = mpsc::unbounded_channel();
        let (_, state) = watch::channel(State::Starting);
        let handles = Handles {
            commands,
            room: Arc::new(Semaphore::new(max_pending * permits as usize)),
            last_job: AtomicU64::new(0),
            state,
            permits,
            max_payload: 100,
            max_pending,
        };
        (handles, receiver)
    }

    /// Waits for the room of one job.
    pub(super) async fn admit(&self) -> Result<OwnedSemaphorePermit, PoolError> {
        let room = Arc::clone(&self.room);
        match room.acquire_many_owned(self.permits).await {
            Ok(room) => Ok(room),
            Err(_) => Err(self.why_over()),
        }
    }

    pub(super) fn fits(&self, input_len: usize) -> Result<(), PoolError> {
        let size = input_len as u64;
        let limit = self.max_payload;
        if size > limit {
            return Err(PoolError::InputTooLarge { size, limit });
        }
        Ok(())
    }

    pub(super) fn next_id(&self) -> JobId {
        JobId(self.last_job.fetch_add(1, Ordering::Relaxed) + 1)
    }

    fn send(&self, job: RawJob, room: OwnedSemaphorePermit, reply: Reply) -> JobId {
        // The driver gives it back.
        room.forget();
        let id = self.next_id();
        // When the driver has just ended, the reply is dropped with the
        // command, which its receiver notices.
        let command = Command::Submit(Box::new(Entry::new(id, job, reply)));
        self.commands.send(command).ok();
        id
    }

    pub(super) fn send_one(&self, job: RawJob, room: OwnedSemaphorePermit) -> RawHandle {
        let (reply, report) = oneshot::channel();
        let id = self.send(job, room, Reply::One(reply));
        RawHandle::new(id, report, self.commands.downgrade(), self.state.clone())
    }

    /// Room for up to so many jobs, as much as there is without waiting.
    pub(super) fn room_for(&self, jobs: usize) -> Option<OwnedSemaphorePermit> {
        let here = self.room.available_permits() / self.permits as usize;
        let jobs = u32::try_from(jobs.min(here)).unwrap_or(u32::MAX);
        let permits = jobs.saturating_mul(self.permits).max(self.permits);
        Arc::clone(&self.room).try_acquire_many_owned(permits).ok()
    }

    pub(super) fn why_over(&self) -> PoolError {
        why_over(&self.state)
    }
}

pub(super) fn why_over(state: &watch::Receiver<State>) -> PoolError {
    match &*state.borrow() {
        State::Over(why) => why.clone(),
        State::Starting | State::Ready(_) => PoolError::Closed,
    }
}

/// Runs the driver to its end, which may be a panic, and says how that was.
async fn drive(driver: Driver, ended: watch::Sender<Option<Result<(), PoolError>>>) {
    let end = AssertUnwindSafe(driver.run()).catch_unwind().await;
    let end = end.unwrap_or_else(|panic| Err(PoolError::Panicked(said(&*panic))));
    ended.send_replace(Some(end));
}

/// What a panic says.
pub(super) fn said(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("no message").to_owned()
}

fn check(config: &PoolConfig) -> Result<(), PoolError> {
    let init = config.init.as_ref().map_or(0, bytes::Bytes::len);
    let problem = if let Some(problem) = wrong_size(config.workers) {
        problem
    } else if config.max_pending == 0 {
        "a pool needs room for at least one job (`max_pending`)"
    } else if config.start_attempts == 0 {
        "a worker must be started at least once (`start_attempts`)"
    } else if config.quarantine == 0 || config.black_hole == 0 {
        "a limit of failures must be at least 1 (`quarantine`, `black_hole`)"
    } else if config.threads_per_job == ThreadsPerJob::Exactly(0) {
        "a job needs at least one thread (`threads_per_job`)"
    } else if config.max_jobs_per_worker == Some(0) {
        "a worker must be allowed at least one job (`max_jobs_per_worker`)"
    } else if config
        .timeout_percent
        .is_some_and(|percent| !(percent > 0.0 && percent <= 1e6))
    {
        "a share of the median must be more than 0% and at most 1,000,000% (`timeout_percent`)"
    } else if config.launch.is_unprepared() {
        "this program would start itself over and over: call `orchestrator::init(registry)` \
         first thing in `main`, and use `Launch::current_exe()`"
    } else if init > MAX_FRAME - 64 {
        "the workers' init data must be smaller than 1 MiB"
    } else {
        return Ok(());
    };
    Err(PoolError::Config(problem))
}
