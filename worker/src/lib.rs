//! Write a worker: a program that offers tasks to an orchestrator.
//!
//! ```no_run
//! use std::process::ExitCode;
//!
//! use worker::{Registry, Task};
//!
//! /// The n-th Fibonacci number, modulo 2^64.
//! struct Fib;
//!
//! impl Task for Fib {
//!     const NAME: &'static str = "fib";
//!     type Input = u64;
//!     type Output = u64;
//! }
//!
//! fn main() -> ExitCode {
//!     Registry::new().task(Fib, |n| fib(n)).serve()
//! }
//!
//! fn fib(n: u64) -> u64 {
//!     let next = |(a, b): (u64, u64), _| (b, a.wrapping_add(b));
//!     (0..n).fold((0, 1), next).0
//! }
//! ```
//!
//! A task is a plain blocking function; a worker runs one at a time, on its
//! main thread. What it prints becomes output of its job, an error that it
//! returns or a panic becomes that job's failure, and the worker goes on. A
//! crash of the process takes down the running job only.
//!
//! After each job the working directory and the umask are put back, unless its
//! function was too short to have changed anything. A worker
//! whose function changed the environment is replaced when it has answered, so
//! that no later job finds that; the `init` of a task with state may change all
//! three for the jobs that follow.
//!
//! A program can be its own worker ([`init`]), and jobs can run in its threads
//! ([`local`]).
//!
//! A worker can also run external commands, with the built-in task `command`;
//! [`Registry::without_command`] makes one that cannot.
//!
//! What this crate does not do: decide anything. Retries, time limits of
//! functions and the distribution of jobs are the orchestrator's.
//!
//! Map of the crate, for its readers:
//! - `registry`, `context`: what users see; `own`: a program that is its own
//!   worker.
//! - `call`: from a function to its job's answer; [`local`]: the same without a
//!   process.
//! - `serve`: the computing thread; `watch`: the thread that stands in for it
//!   while a job takes long; `link`: what the two share.
//! - `meter`: what functions have used of the CPU.
//! - `state`, `outbox`: what messages mean; no I/O, no clock.
//! - `command`: the built-in task for external commands; `tree`: killing what
//!   commands leave behind.
//! - `stdio`: the first acts of a worker; `surroundings`: what functions may
//!   not change for those after them; `os`: the fence around `unsafe`.

#![warn(missing_docs)]

mod call;
mod clock;
mod command;
mod context;
mod link;
pub mod local;
mod meter;
mod os;
mod outbox;
mod own;
mod panics;
mod registry;
mod serve;
mod state;
mod stdio;
mod surroundings;
#[doc(hidden)]
pub mod tree;
mod watch;

pub use context::{Cancelled, JobContext, WorkerContext};
#[doc(hidden)]
pub use own::OWN_WORKER;
pub use own::{init, is_initialised};
pub use protocol::{Attempt, Encoding, JobId, Task, TaskError, TaskErrorKind, WorkerId};
pub use registry::{IntoOutput, Registry};
