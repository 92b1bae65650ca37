//! A process pool you can pipe into: worker processes that run jobs, and
//! results that are awaited.
//!
//! ```no_run
//! use orchestrator::{Launch, Pool, PoolConfig, Task};
//!
//! /// What `my-worker` offers under the name "fib".
//! struct Fib;
//! impl Task for Fib {
//!     const NAME: &'static str = "fib";
//!     type Input = u64;
//!     type Output = u64;
//! }
//!
//! # async fn f() -> Result<(), Box<dyn std::error::Error>> {
//! let pool = Pool::start(PoolConfig::new(Launch::program("./my-worker")))?;
//! println!("{}", pool.run(Fib, 40).await?);
//! let mut results = pool.map(Fib, 0..90);
//! while let Some(result) = results.next().await {
//!     println!("{}", result?);
//! }
//! pool.shutdown().await?;
//! # Ok(()) }
//! ```
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
//! # Floors
//!
//! Imports point down only: `cli`, `run`, [`pool`], `scheduler`, and the
//! `protocol` crate as the ground.

#![warn(missing_docs)]

#[cfg(feature = "cli")]
pub mod cli;
pub mod pool;
#[cfg(feature = "cli")]
mod run;
mod scheduler;

pub use pool::{
    AsCompleted, Awaitable, Capture, Command, CommandOutput, Control, Event, EventKind,
    EventStream, Executor, Gather, GatherAll, Inputs, Job, JobError, JobHandle, JobReport, Launch,
    Map, Mixed, Payload, Pool, PoolBuilder, PoolConfig, PoolError, Printed, PrintedPart, RawHandle,
    RawJob, ReturnWhen, RunningCommand, RunningJob, Stats, Status, ThreadPool, ThreadPoolConfig,
    ThreadsPerJob, TrySubmitError, as_completed, block_on, blocking, default_pool, default_threads,
    future, gather, gather_all, run, wait,
};
pub use protocol::{
    CommandSpec, Encoding, JobId, Program, Stream, Task, TaskError, TaskErrorKind, Usage, WorkerId,
};
pub use scheduler::Verdict;
pub use worker::{Cancelled, JobContext, Registry, WorkerContext, init};
