//! The watcher: a thread that looks after the connection while a function
//! runs for more than a millisecond, so that messages are obeyed, earlier
//! answers leave and output is delivered while user code computes.
//!
//! A small job never notices it. The watcher looks when a function has run for
//! about a millisecond, and sends the answers that wait; when it still runs
//! after a few more, the watcher takes over until the function ends, which the
//! computing thread tells it with one write. Without activity it sleeps until
//! the next function starts. Every look costs a switch of threads, which is
//! why there are two per job and not one per millisecond.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::link::Link;
use crate::{os, serve};

/// How long an answer may wait behind a running function.
const TICK: Duration = Duration::from_millis(1);
/// How much longer a function runs until the watcher takes over.
const LONGER: Duration = Duration::from_millis(4);
/// Looks without activity after which the watcher sleeps.
const RESTLESS_LOOKS: u32 = 100;

/// Starts the watcher, which waits until it is told to begin. It ends with the
/// process.
pub(crate) fn start(link: Arc<Link>) -> io::Result<Sender<()>> {
    let (begin, told) = channel();
    let watcher = std::thread::Builder::new()
        .name("worker-watcher".into())
        .stack_size(256 * 1024);
    watcher.spawn(move || {
        if told.recv().is_err() {
            return;
        }
        // Without it, a cancellation or the orchestrator's death would go
        // unnoticed: a bug here must not be survived.
        catch_unwind(AssertUnwindSafe(|| watch(&link))).ok();
        os::exit_now(serve::EX_SOFTWARE);
    })?;
    Ok(begin)
}

fn watch(link: &Link) -> ! {
    let mut seen = link.turn();
    let mut looks = 0;
    let mut pause = TICK;
    loop {
        let printed = wait([link.capture()], Some(pause))[0];
        pause = TICK;
        let turn = link.turn();
        let function_runs = turn % 2 == 1;
        if turn != seen {
            seen = turn;
            looks = 0;
            if printed {
                // It belongs to the function, whose end will see to it.
                std::thread::sleep(TICK);
            }
            continue;
        }
        looks += 1;
        match (function_runs, looks) {
            // A full pipe stops the function: that cannot wait.
            (true, 1) if !printed => {
                link.send_held(turn);
                pause = LONGER;
            }
            (true, _) => attend(link, turn),
            (false, RESTLESS_LOOKS..) => {
                park(link, turn);
                looks = 0;
            }
            (false, _) if printed => link.drain_between_jobs(turn),
            (false, _) => {}
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
