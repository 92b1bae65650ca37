//! A process pool you can pipe into: worker processes that run jobs, and
//! results that are awaited.
//!
//! A CPU-heavy function on all cores, in one program:
//!
//! ```standalone_crate
//! use orchestrator::{JobError, Pool, Registry, Task, block_on};
//!
//! /// The n-th Fibonacci number, the slow way.
//! struct Fib;
//!
//! impl Task for Fib {
//!     const NAME: &'static str = "fib";
//!     type Input = u64;
//!     type Output = u64;
//! }
//!
//! fn fib(n: u64) -> u64 {
//!     if n < 2 { n } else { fib(n - 1) + fib(n - 2) }
//! }
//!
//! fn main() -> Result<(), JobError> {
//!     // The pool starts this very program once per CPU; there, `init` serves jobs
//!     // and does not return.
//!     orchestrator::init(Registry::new().task(Fib, fib));
//!     block_on(async {
//!         let pool = Pool::builder().start()?;
//!         let mut results = pool.map(Fib, 0..25);
//!         while let Some(result) = results.next().await {
//!             println!("{}", result?);
//!         }
//!         Ok(pool.shutdown().await?)
//!     })
//! }
//! ```
//!
//! `Cargo.toml` needs this crate; `serde` with its derive for inputs and outputs that
//! are types of your own (encoded as bincode, see [`Task`]); `tokio` with the feature
//! `time` for `sleep` and `timeout`. `#[tokio::main]` and any tokio runtime do in
//! place of [`block_on`]. What `main` does before `init`, every worker does too: read
//! no arguments and no stdin there.
//!
//! # asyncio's words
//!
//! | asyncio, concurrent.futures | here |
//! | --- | --- |
//! | a coroutine, which does nothing until it is awaited | [`pool.job(Task, input)`](Pool::job), a [`Job`] with options: timeout, retries, priority, label |
//! | `create_task(c)` | [`pool.submit(Task, input).await?`](Pool::submit) waits for room in the pool and gives a [`JobHandle`]; [`try_submit`](Pool::try_submit) does not wait |
//! | `await task`; `task.cancel()`, `task.done()` | `handle.await`; [`cancel`](JobHandle::cancel), which ends a running job too (one that does not listen to [`checkpoint`](JobContext::checkpoint) after a [`grace`](PoolBuilder::grace)), [`is_finished`](JobHandle::is_finished) |
//! | `await c` | [`pool.run(Task, input).await?`](Pool::run) |
//! | `gather(*ts)`, `gather(*ts, return_exceptions=True)` | [`gather`], [`gather_all`] of jobs, handles and futures ([`future`](future())); for different types `tokio::try_join!` |
//! | `wait(ts, timeout, return_when)` | [`wait`](fn@wait) with [`ReturnWhen`] |
//! | `as_completed(ts)` | [`as_completed`] |
//! | `asyncio.timeout(s)` | [`job.timeout(d)`](Job::timeout) ends the job; `tokio::time::timeout` ends the waiting |
//! | `executor.map(f, xs, buffersize)` | [`pool.map(Task, xs)`](Pool::map), [`map_stream`](Pool::map_stream), [`unordered`](Map::unordered), [`window`](Map::window), [`try_collect`](Map::try_collect) |
//! | `run_in_executor(None, f, x)` | [`run(Task, x)`](run()), [`blocking(f)`](blocking) |
//! | `ThreadPoolExecutor(n)` | [`ThreadPool`], with the same tasks; [`Executor`] for code that takes either |
//! | `ProcessPoolExecutor(n, initializer, max_tasks_per_child)` | [`Pool::builder`]: [`workers`](PoolBuilder::workers), [`init`](PoolBuilder::init), [`max_jobs_per_worker`](PoolBuilder::max_jobs_per_worker) |
//! | `functools.partial(f, x)` | [`job.with(…)`](Job::with) |
//! | `await sleep(0)` in a long task | [`JobContext::checkpoint`], [`JobContext::is_draining`] |
//! | `create_subprocess_exec(…)` | [`pool.command(\["ffmpeg", …\])`](Pool::command) |
//! | `asyncio.Queue(maxsize)` | [`PoolConfig::max_pending`], which `submit` waits for |
//! | `executor.shutdown(wait, cancel_futures)` | [`shutdown`](Pool::shutdown), [`shutdown_now`](Pool::shutdown_now) |
//! | `asyncio.run(main())` | [`block_on`] |
//!
//! The classic trap is here too: jobs that are awaited one by one run one after
//! the other. What is to run at the same time is submitted first and awaited
//! together:
//!
//! ```
//! # use orchestrator::{Executor, JobError, Registry, Task, ThreadPool, block_on, gather};
//! # struct Fib;
//! # impl Task for Fib {
//! #     const NAME: &'static str = "fib";
//! #     type Input = u64;
//! #     type Output = u64;
//! # }
//! # async fn f(pool: &impl Executor) -> Result<(), JobError> {
//! for n in [30, 31] {
//!     println!("{}", pool.job(Fib, n).await?); // the second starts when the first has ended
//! }
//! let mut handles = Vec::new();
//! for n in [30, 31] {
//!     handles.push(pool.submit(Fib, n).await?); // runs from here on
//! }
//! println!("{:?}", gather(handles).await?);
//! # Ok(()) }
//! # let tasks = || Registry::without_command().task(Fib, |n| n);
//! # block_on(async { f(&ThreadPool::start(2, tasks).unwrap()).await.unwrap() });
//! ```
//!
//! # When something goes wrong
//!
//! A job's end that is no result is one variant of [`JobError`], its own job's and
//! nobody else's: an error that the task returned, a panic, a crash of its worker
//! (`abort`, SIGSEGV, `exit`), a timeout, a cancel. The worker is replaced, and the
//! pool goes on. [`PoolError`] is for the pool itself: it cannot keep any worker
//! alive, or is over. A handle always resolves, also when its pool is dropped.
//!
//! Dropping a handle, or a future that waits for one, lets the job run on;
//! dropping [`gather`] cancels what it waits for. Dropping a pool cancels all of its
//! jobs and leaves no process.
//!
//! What a task prints comes out live on this program's stdout and stderr, or goes
//! where [`PoolConfig::printed`] says.
//!
//! # One job's path
//!
//! [`Pool::submit`] waits for room in the pool and hands the job to the driver,
//! the one loop that owns all state. The driver tells the scheduler, which is
//! pure and decides: this worker has room, send it there. The worker's actor
//! writes the frame, the worker runs the job and answers, the answer becomes an
//! input of the scheduler, which gives the verdict, and the handle's future is
//! ready. Cancel, worker loss, restart and shutdown are each one turn of that
//! loop.
//!
//! # Features
//!
//! `cli`, which is on by default, is the command line and what only it needs. A
//! program that uses the library alone does without:
//! `orchestrator = { path = "…", default-features = false }`.
//!
//! # Floors
//!
//! Imports point down only: `cli`, `run`, [`pool`], `scheduler`, and the
//! `protocol` crate as the ground.

#![warn(missing_docs)]

#[cfg(feature = "cli")]
mod agent;
#[cfg(feature = "cli")]
pub mod cli;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
pub mod pool;
#[cfg(feature = "cli")]
mod run;
mod scheduler;

pub use pool::{
    AsCompleted, Awaitable, Capture, Command, CommandOutput, Control, Event, EventKind,
    EventStream, Executor, Gather, GatherAll, Inputs, IntoAwaitable, Job, JobError, JobFuture,
    JobHandle, JobReport, Launch, Map, Mixed, Omitted, Payload, Pool, PoolBuilder, PoolConfig,
    PoolError, Printed, PrintedPart, RawHandle, RawJob, ReportStream, Reports, ReturnWhen,
    RunningCommand, RunningJob, Stats, Status, ThreadPool, ThreadPoolConfig, ThreadsPerJob,
    TrySubmitError, WorkerDeath, as_completed, block_on, blocking, default_pool, default_threads,
    future, gather, gather_all, run, wait,
};
pub use protocol::{
    CommandSpec, Encoding, JobId, Limits, OutputLimit, Program, Stream, Task, TaskError,
    TaskErrorKind, Usage, WorkerId,
};
pub use scheduler::Verdict;
pub use worker::{Cancelled, JobContext, Registry, WorkerContext, init};
