//! Pools put together word by word: [`PoolBuilder`].

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use protocol::Encoding;
use serde::Serialize;

use super::{EventStream, Launch, Pool, PoolConfig, PoolError, Printed, ThreadsPerJob};

/// A pool to be, see [`Pool::builder`]. Each method sets the field of
/// [`PoolConfig`] with its name, where units and defaults are described;
/// [`configure`](PoolBuilder::configure) sets any other.
///
/// ```standalone_crate
/// use orchestrator::{Pool, Registry, Task, block_on};
///
/// struct Greet;
///
/// impl Task for Greet {
///     const NAME: &'static str = "greet";
///     type Input = String;
///     type Output = String;
/// }
///
/// fn main() {
///     // Each worker makes the greeting once, of what it was given at its start.
///     orchestrator::init(Registry::new().task_with(
///         Greet,
///         |worker| worker.init_as::<String>(),
///         |word, name, _| format!("{} {name}", word.as_deref().unwrap_or("?")),
///     ));
///     block_on(async {
///         let pool = Pool::builder()
///             .workers(2)
///             .init(&"Hello")
///             .max_jobs_per_worker(100)
///             .start()?;
///         assert_eq!(pool.run(Greet, "you".into()).await?, "Hello you");
///         pool.shutdown().await?;
///         Ok::<(), Box<dyn std::error::Error>>(())
///     })
///     .unwrap();
/// }
/// ```
#[derive(Clone, Debug)]
#[must_use = "a pool begins with `start`"]
pub struct PoolBuilder {
    config: PoolConfig,
    /// What was wrong with it.
    problem: Option<PoolError>,
}

impl Pool {
    /// Begins a pool whose workers are this program itself
    /// ([`Launch::current_exe`]), unless it is told otherwise.
    pub fn builder() -> PoolBuilder {
        PoolBuilder {
            config: PoolConfig::new(Launch::current_exe()),
            problem: None,
        }
    }
}

impl PoolBuilder {
    /// Workers are another program, given as a path: it registers the tasks and
    /// serves. `PATH` is not searched.
    pub fn worker(mut self, program: impl Into<PathBuf>) -> Self {
        self.config.launch = Launch::program(program);
        self
    }

    /// How a worker is started.
    pub fn launch(mut self, launch: Launch) -> Self {
        self.config.launch = launch;
        self
    }

    /// A variable in the environment of the workers.
    pub fn env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.config.launch.env.push((name.into(), value.into()));
        self
    }

    /// The working directory of the workers.
    pub fn current_dir(mut self, directory: impl Into<PathBuf>) -> Self {
        self.config.launch.current_dir = Some(directory.into());
        self
    }

    /// How many workers: `max_workers`.
    pub fn workers(mut self, workers: usize) -> Self {
        self.config.workers = workers;
        self
    }

    /// How many jobs may be in the pool at once.
    pub fn max_pending(mut self, jobs: usize) -> Self {
        self.config.max_pending = jobs;
        self
    }

    /// Largest input or result in bytes.
    pub fn max_payload(mut self, bytes: u64) -> Self {
        self.config.max_payload = bytes;
        self
    }

    /// Data for every worker's own start: `initargs`. The worker gets it by
    /// `WorkerContext::init_as`, in what makes a task's state or in
    /// `Registry::on_start`, which is the `initializer`.
    pub fn init(mut self, data: &impl Serialize) -> Self {
        match Encoding::Bincode.encode(data) {
            Ok(bytes) => self.config.init = Some(bytes),
            Err(e) => self.problem = Some(e.into()),
        }
        self
    }

    /// How long one attempt at a job may take, unless the job says otherwise.
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.config.timeout = Some(limit);
        self
    }

    /// How many attempts may follow a job's first, unless the job says otherwise.
    pub fn retries(mut self, retries: u32) -> Self {
        self.config.retries = retries;
        self
    }

    /// How long what was asked to end may take before it is killed.
    pub fn grace(mut self, grace: Duration) -> Self {
        self.config.grace = grace;
        self
    }

    /// After how many jobs a worker is replaced: `max_tasks_per_child`.
    pub fn max_jobs_per_worker(mut self, jobs: u64) -> Self {
        self.config.max_jobs_per_worker = Some(jobs);
        self
    }

    /// From what resident memory on, in bytes, a worker is replaced.
    pub fn max_rss_per_worker(mut self, bytes: u64) -> Self {
        self.config.max_rss_per_worker = Some(bytes);
        self
    }

    /// From how many open descriptors on, beside those that it begins with, a
    /// worker is replaced.
    pub fn max_files_per_worker(mut self, files: u64) -> Self {
        self.config.max_files_per_worker = Some(files);
        self
    }

    /// How much memory a worker may have, in bytes.
    pub fn memory_per_worker(mut self, bytes: u64) -> Self {
        self.config.memory_per_worker = Some(bytes);
        self
    }

    /// After how long an idle worker is ended, until it is needed.
    pub fn idle_timeout(mut self, idle: Duration) -> Self {
        self.config.idle_timeout = Some(idle);
        self
    }

    /// How many threads numeric libraries use in one job.
    pub fn threads_per_job(mut self, threads: ThreadsPerJob) -> Self {
        self.config.threads_per_job = threads;
        self
    }

    /// Where goes what jobs print.
    pub fn printed(mut self, printed: Printed) -> Self {
        self.config.printed = printed;
        self
    }

    /// Anything else.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use orchestrator::Pool;
    /// let builder = Pool::builder().configure(|config| config.ahead = Duration::ZERO);
    /// ```
    pub fn configure(mut self, change: impl FnOnce(&mut PoolConfig)) -> Self {
        change(&mut self.config);
        self
    }

    /// Starts the pool, see [`Pool::start`].
    ///
    /// # Errors
    /// When the configuration makes no sense.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn start(self) -> Result<Pool, PoolError> {
        Pool::start(self.finish()?)
    }

    /// Starts the pool with the stream of all that happens, see
    /// [`Pool::start_observed`].
    ///
    /// # Errors
    /// When the configuration makes no sense.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn start_observed(self) -> Result<(Pool, EventStream), PoolError> {
        Pool::start_observed(self.finish()?)
    }

    /// Starts the pool on a thread of its own, see [`Pool::start_on_own_thread`].
    ///
    /// # Errors
    /// When the configuration makes no sense, or the system has no thread for it.
    pub fn start_on_own_thread(self) -> Result<Pool, PoolError> {
        Pool::start_on_own_thread(self.finish()?)
    }

    fn finish(self) -> Result<PoolConfig, PoolError> {
        match self.problem {
            Some(problem) => Err(problem),
            None => Ok(self.config),
        }
    }
}
