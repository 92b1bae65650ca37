//! One binary is enough: a program that starts itself as its workers.
//!
//! Which of the two a process is stands in its arguments and not in its
//! environment, which everything that it starts would inherit.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::registry::Registry;
use crate::serve;

/// The first argument of a process that is a worker of its own program.
#[doc(hidden)]
pub const OWN_WORKER: &str = "--orchestrator-worker";

static INIT: AtomicBool = AtomicBool::new(false);

/// Makes workers of this very program possible: to be called first thing in
/// `main`, before threads are started and arguments are looked at. In a process
/// that an orchestrator's pool has started as a worker it serves these tasks
/// and ends the process, without coming back; in any other it does nothing and
/// returns at once.
///
/// ```no_run
/// # use worker::{Registry, Task};
/// # struct Fib;
/// # impl Task for Fib {
/// #     const NAME: &'static str = "fib";
/// #     type Input = u64;
/// #     type Output = u64;
/// # }
/// # fn fib(n: u64) -> u64 { n }
/// fn main() {
///     worker::init(Registry::new().task(Fib, fib));
///     // From here on this is the program itself, whose pools are started with
///     // `Launch::current_exe()`.
/// }
/// ```
pub fn init(registry: Registry) {
    INIT.store(true, Ordering::Relaxed);
    if std::env::args_os().nth(1).is_some_and(|a| a == OWN_WORKER) {
        #[expect(clippy::exit, reason = "a worker's `main` goes no further than this")]
        std::process::exit(serve::serve(registry).into());
    }
}

/// Whether [`init`] was called in this process. Without it, a program that
/// starts itself as a worker would only be itself once more, and start its own.
#[doc(hidden)]
#[must_use]
pub fn is_initialised() -> bool {
    INIT.load(Ordering::Relaxed)
}
