//! A pool whose workers are threads of this program: [`ThreadPool`].

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::oneshot;
use worker::{JobContext, Registry};

use super::front::Pool;
use super::hired::Crew;
use super::start::Built;
use super::{JobHandle, Launch, PoolConfig, PoolError, RawJob, usable_cpus};

/// A pool whose workers are threads of this program: no process, and no protection
/// from what jobs do to it. Inputs and results of tasks are encoded as for a process;
/// those of functions ([`submit_fn`](ThreadPool::submit_fn)) are not. All else is as with
/// [`Pool`]: the same scheduler, handles, verdicts, retries and ways to end.
///
/// Each thread has tasks of its own, made in it, so that what they keep need not
/// be shared. A panic of a job is its failure, and is printed by this program's panic
/// hook, which alone knows the place; a crash is the program's. A job
/// that was cancelled, or whose time is up, is told by
/// [`JobContext::checkpoint`](worker::JobContext::checkpoint). When it does not
/// listen within `grace` and `answer_timeout`, it has its verdict nonetheless
/// and its thread is left behind and replaced: it ends when the job does. The
/// task `command` is not offered.
///
/// What jobs print is printed by this program, nobody captures it.
///
/// Dropping a pool ends it without waiting: jobs that have not started are
/// cancelled, those that run are told, and each thread ends when its job does.
#[derive(Debug)]
pub struct ThreadPool {
    pool: Pool,
}

/// How a [`ThreadPool`] works. What is not described here is as in
/// [`PoolConfig`].
#[derive(Clone, Debug)]
pub struct ThreadPoolConfig {
    /// How many threads; at least 1. Default: the CPUs that this process may use
    /// and four more, at most 32, for jobs that wait as much as they compute.
    pub threads: usize,
    /// How many jobs may be in the pool at once. Default: 8,192.
    pub max_pending: usize,
    /// How much work is handed to a thread ahead of what it is running. Default:
    /// 1 ms.
    pub ahead: Duration,
    /// Largest input or result in bytes. Default: 64 MiB.
    pub max_payload: u64,
    /// How much of all results that nobody has taken yet is kept in memory, in
    /// bytes. Default: 64 MiB.
    pub result_memory: usize,
    /// How long one attempt at a job may take. Default: for ever.
    pub timeout: Option<Duration>,
    /// How many attempts may follow a job's first. Default: 0; a closure has
    /// only one, always.
    pub retries: u32,
    /// Pause before a job's second attempt. Default: 100 ms.
    pub retry_backoff: Duration,
    /// Longest pause between two attempts. Default: 10 s.
    pub retry_backoff_max: Duration,
    /// How long a thread may take to make its tasks. Default: 10 s.
    pub start_timeout: Duration,
    /// How long a job that was asked to end may take, before its thread is left
    /// behind. Default: 10 s.
    pub grace: Duration,
    /// How much longer than `grace`. Default: 2 s.
    pub answer_timeout: Duration,
    /// Data handed to every thread before its first job. Default: none.
    pub init: Option<Bytes>,
}

impl Default for ThreadPoolConfig {
    fn default() -> ThreadPoolConfig {
        let process = PoolConfig::new(threads_of_this_program());
        ThreadPoolConfig {
            threads: usable_cpus().saturating_add(4).min(32),
            max_pending: process.max_pending,
            ahead: process.ahead,
            max_payload: process.max_payload,
            result_memory: process.result_memory,
            timeout: process.timeout,
            retries: process.retries,
            retry_backoff: process.retry_backoff,
            retry_backoff_max: process.retry_backoff_max,
            start_timeout: process.start_timeout,
            grace: process.grace,
            answer_timeout: process.answer_timeout,
            init: process.init,
        }
    }
}

impl ThreadPool {
    /// Starts a pool of so many threads on the current tokio runtime, which must
    /// have time enabled. `tasks` is called once in each thread, and again in
    /// each that replaces one. Nothing is waited for.
    ///
    /// # Errors
    /// When there shall be no thread.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn start(
        threads: usize,
        tasks: impl Fn() -> Registry + Send + Sync + 'static,
    ) -> Result<ThreadPool, PoolError> {
        let config = ThreadPoolConfig {
            threads,
            ..ThreadPoolConfig::default()
        };
        ThreadPool::with(config, tasks)
    }

    /// The same with all that can be chosen.
    ///
    /// # Errors
    /// When the configuration makes no sense.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn with(
        config: ThreadPoolConfig,
        tasks: impl Fn() -> Registry + Send + Sync + 'static,
    ) -> Result<ThreadPool, PoolError> {
        let pool = build(config, tasks)?.here();
        Ok(ThreadPool { pool })
    }

    /// The same, driven by one more thread with a runtime of its own; see
    /// [`Pool::start_on_own_thread`].
    ///
    /// # Errors
    /// When the configuration makes no sense, or the system has no thread or no
    /// descriptors for it.
    pub fn on_own_thread(
        config: ThreadPoolConfig,
        tasks: impl Fn() -> Registry + Send + Sync + 'static,
    ) -> Result<ThreadPool, PoolError> {
        let pool = build(config, tasks)?.on_own_thread()?;
        Ok(ThreadPool { pool })
    }
}

impl ThreadPool {
    /// Waits until the pool has room for the function, which then runs by itself
    /// in one of the threads, and once. It is cancelled as any job is: what it is
    /// given tells it. A panic is the job's failure; what it returns, a `Result`
    /// too, is the job's result. It need not be encoded, so it can be anything.
    ///
    /// ```
    /// # use orchestrator::{Registry, ThreadPool, block_on};
    /// # block_on(async {
    /// let threads = ThreadPool::start(4, Registry::without_command)?;
    /// let (a, b) = (String::from("a"), String::from("b"));
    /// let handle = threads.submit_fn(move |_| a + &b).await?;
    /// assert_eq!(handle.await?, "ab");
    /// # Ok::<(), orchestrator::JobError>(())
    /// # }).unwrap();
    /// ```
    ///
    /// Dropping the future before it is ready submits nothing.
    ///
    /// # Errors
    /// When the pool is over.
    pub async fn submit_fn<R: Send + 'static>(
        &self,
        run: impl FnOnce(&JobContext) -> R + Send + 'static,
    ) -> Result<JobHandle<R>, PoolError> {
        let (found, result) = oneshot::channel();
        let job = RawJob::call(move |job| {
            // Nobody may wait for it.
            found.send(run(job)).ok();
        });
        let raw = self.pool.submit_raw(job).await?;
        Ok(JobHandle::here(raw, result))
    }
}

/// Everything that pools can do, [`Pool::shutdown`] included, which waits for
/// ever for a job that never ends; [`Pool::shutdown_now`] leaves threads behind,
/// after the grace, whose jobs do not listen.
impl Deref for ThreadPool {
    type Target = Pool;

    fn deref(&self) -> &Pool {
        &self.pool
    }
}

/// There is nothing to be launched; this is how messages call the workers.
fn threads_of_this_program() -> Launch {
    let mut launch = Launch::program("");
    "a thread of this program".clone_into(&mut launch.name);
    launch
}

fn build(
    config: ThreadPoolConfig,
    tasks: impl Fn() -> Registry + Send + Sync + 'static,
) -> Result<Built, PoolError> {
    let ThreadPoolConfig {
        threads,
        max_pending,
        ahead,
        max_payload,
        result_memory,
        timeout,
        retries,
        retry_backoff,
        retry_backoff_max,
        start_timeout,
        grace,
        answer_timeout,
        init,
    } = config;
    let config = PoolConfig {
        workers: threads,
        max_pending,
        ahead,
        max_payload,
        result_memory,
        timeout,
        retries,
        retry_backoff,
        retry_backoff_max,
        start_timeout,
        grace,
        answer_timeout,
        init,
        ..PoolConfig::new(threads_of_this_program())
    };
    Pool::build(config, Crew::Threads(Arc::new(tasks)), None)
}
