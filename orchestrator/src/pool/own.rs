//! For programs that make no runtime and no pool of their own: [`block_on`],
//! [`run`], [`blocking`], and the pools behind them.

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};

use protocol::Task;
use worker::Registry;

use super::{JobError, Launch, Pool, PoolConfig, PoolError, ThreadPool, ThreadPoolConfig};

/// Runs a future to its end on the current thread, on a tokio runtime made for
/// it: `asyncio.run(main())`. Pools that were started inside end with it; shut
/// them down to wait for their workers. Those of a pool that was not shut down
/// end as well, but stay zombies until another tokio runtime runs in this
/// process: nobody else reaps them.
///
/// ```
/// assert_eq!(orchestrator::block_on(async { 6 * 7 }), 42);
/// ```
///
/// # Panics
/// Inside an asynchronous context, which it would block: await there. When the
/// system has no descriptors for a runtime.
#[track_caller]
pub fn block_on<F: Future>(future: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime needs a few descriptors and nothing else");
    runtime.block_on(future)
}

static PROCESSES: Mutex<Option<Arc<Pool>>> = Mutex::new(None);
static THREADS: Mutex<Option<Arc<ThreadPool>>> = Mutex::new(None);

/// Runs a job on the process-wide [`default_pool`] and gives its result:
/// `run_in_executor(None, f, x)` with a process pool. Can be awaited on any
/// executor. Dropping the future after the job was accepted lets it run on.
///
/// ```standalone_crate
/// use orchestrator::{Registry, Task, block_on};
///
/// struct Square;
///
/// impl Task for Square {
///     const NAME: &'static str = "square";
///     type Input = u64;
///     type Output = u64;
/// }
///
/// fn main() {
///     orchestrator::init(Registry::new().task(Square, |n| n * n));
///     assert_eq!(block_on(orchestrator::run(Square, 12)).unwrap(), 144);
/// }
/// ```
///
/// # Errors
/// When the job gives no result, or the default pool cannot be started.
pub async fn run<T: Task>(task: T, input: T::Input) -> Result<T::Output, JobError> {
    let job = default_pool()?;
    job.run(task, input).await
}

/// Runs blocking code on the process-wide [`default_threads`], so that nothing
/// else waits for it, and gives its result: `run_in_executor(None, f)`. A panic
/// is [`JobError::Panicked`]. Can be awaited on any executor. Dropping the future
/// after the code was accepted lets it run, also when it has not begun; what can
/// be cancelled is a [`submit_fn`](ThreadPool::submit_fn) of [`default_threads`].
///
/// The threads are as many as [`ThreadPoolConfig::threads`] says: code on them that
/// waits for other code on them waits for ever when all threads do so.
///
/// ```
/// use orchestrator::{block_on, blocking};
///
/// let text = block_on(blocking(|| std::fs::read_to_string("/proc/self/comm"))).unwrap();
/// assert!(text.is_ok());
/// ```
///
/// # Errors
/// When the code panics, or the default threads cannot be started.
pub async fn blocking<R: Send + 'static>(
    code: impl FnOnce() -> R + Send + 'static,
) -> Result<R, JobError> {
    let threads = default_threads()?;
    threads.submit_fn(|_| code()).await?.await
}

/// The process-wide pool of this program's own workers, made when it is first
/// asked for, with a thread and a runtime of its own, and made anew when it was
/// shut down or is broken. Its configuration is that of [`PoolConfig::new`] with
/// [`Launch::current_exe`]: `main` must begin with [`init`](crate::init). It ends
/// with the process, and its workers with it.
///
/// # Errors
/// When `init` was not called, or the system has no thread for the pool.
pub fn default_pool() -> Result<Arc<Pool>, PoolError> {
    let start = || Pool::start_on_own_thread(PoolConfig::new(Launch::current_exe()));
    shared(&PROCESSES, |pool| pool, start)
}

/// The process-wide pool of threads, likewise, with the configuration of
/// [`ThreadPoolConfig::default`]. It offers no tasks; it runs functions.
///
/// # Errors
/// When the system has no thread for the pool.
pub fn default_threads() -> Result<Arc<ThreadPool>, PoolError> {
    let config = ThreadPoolConfig::default;
    let start = || ThreadPool::on_own_thread(config(), Registry::without_command);
    shared(&THREADS, |threads| threads, start)
}

fn shared<P>(
    place: &Mutex<Option<Arc<P>>>,
    pool: impl FnOnce(&P) -> &Pool,
    start: impl FnOnce() -> Result<P, PoolError>,
) -> Result<Arc<P>, PoolError> {
    let mut place = place.lock().unwrap_or_else(PoisonError::into_inner);
    match &*place {
        Some(made) if !pool(made).is_over() => Ok(Arc::clone(made)),
        _ => Ok(Arc::clone(place.insert(Arc::new(start()?)))),
    }
}
