//! The watcher: a thread that takes the connection over while a function runs
//! for more than a millisecond or two, so that messages are obeyed, earlier
//! answers leave and output is delivered while user code computes.
//!
//! A small job never notices it. The watcher looks once per millisecond while
//! there is activity; when the same function runs at two looks, it takes over
//! until that function ends, which the computing thread tells it with one
//! write. After a while without activity it waits to be woken, which the next
//! function's start does.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::link::Link;
use crate::{os, serve};

const TICK: Duration = Duration::from_millis(1);
/// Looks without activity after which the watcher sleeps.
const RESTLESS_LOOKS: u32 = 100;

/// Starts the watcher. It ends with the process.
pub(crate) fn start(link: Arc<Link>) -> io::Result<()> {
    let watcher = std::thread::Builder::new()
        .name("worker-watcher".into())
        .stack_size(256 * 1024);
    watcher.spawn(move || {
        // Without it, a cancellation or the orchestrator's death would go
        // unnoticed: a bug here must not be survived.
        catch_unwind(AssertUnwindSafe(|| watch(&link))).ok();
        os::exit_now(serve::EX_SOFTWARE);
    })?;
    Ok(())
}

fn watch(link: &Link) -> ! {
    let mut seen = link.turn();
    let mut quiet = 0;
    loop {
        let printed = wait([link.capture()], Some(TICK))[0];
        let turn = link.turn();
        let function_runs = turn % 2 == 1;
        if turn != seen {
            seen = turn;
            quiet = 0;
        } else if function_runs {
            attend(link, turn);
            quiet = 0;
        } else {
            quiet += 1;
            if printed {
                link.drain_between_jobs(turn);
            }
            if quiet >= RESTLESS_LOOKS {
                park(link, turn);
                quiet = 0;
            }
        }
        if printed && function_runs {
            // It belongs to the function, whose end will see to it.
            std::thread::sleep(TICK);
        }
    }
}

/// Serves the connection until this turn ends.
fn attend(link: &Link, turn: u64) {
    if !link.take_over(turn) {
        return;
    }
    loop {
        let [woken, _, _] = wait([link.wake().as_fd(), link.input(), link.capture()], None);
        if woken {
            link.wake().read().ok();
        }
        match link.attend(turn) {
            None => return,
            Some(state) => {
                if let Some(end) = state.end.clone() {
                    drop(state);
                    serve::end_from_aside(link, &end);
                }
            }
        }
    }
}

/// Waits for the next function to start. What background threads print
/// meanwhile is delivered.
fn park(link: &Link, turn: u64) {
    while link.park(turn) {
        let [woken, printed] = wait([link.wake().as_fd(), link.capture()], None);
        if printed && !woken {
            link.drain_between_jobs(turn);
        }
        if woken {
            break;
        }
    }
    link.unpark();
}

/// Which of these are readable, after waiting for one of them.
fn wait<const N: usize>(fds: [BorrowedFd<'_>; N], limit: Option<Duration>) -> [bool; N] {
    let mut fds = fds.map(|fd| PollFd::new(fd, PollFlags::POLLIN));
    let limit = limit.and_then(|limit| PollTimeout::try_from(limit).ok());
    poll(&mut fds, limit.unwrap_or(PollTimeout::NONE)).ok();
    fds.map(|fd| fd.any().unwrap_or(false))
}
