//! What a killed worker leaves behind.
//!
//! A worker that ends in order, or whose pipes are closed, clears its job's
//! process tree itself. One that is killed cannot. Its command's process group
//! is killed then (`os.rs`), but what has left the group, by `setsid` say, gets
//! away, unless this process is a child subreaper: then it becomes our child,
//! and can be found, killed and reaped without touching anybody else's.

use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;

use nix::sys::prctl::set_child_subreaper;
use nix::unistd::{Pid, getpid};
use tokio::process::Child;
use tokio::sync::oneshot;

use super::{PoolConfig, launch, os};

/// The workers of all pools of this process that were not reaped. Held while
/// one is started, so that a newborn is never taken for an orphan.
static WORKERS: Mutex<Vec<Pid>> = Mutex::new(Vec::new());

/// Children of this process that are nobody's orphans: it had them before it had
/// workers (a shell that ended in `exec` may have started some), or they lost
/// their parent, which was one of those.
static STRANGERS: Mutex<Vec<Pid>> = Mutex::new(Vec::new());

/// Makes this process the one to which orphaned descendants fall, so that a
/// pool with [`super::PoolConfig::kill_orphans`] can find them. For programs
/// whose only children are workers, beside those that there are now: those, and
/// what [`meet_strangers`] finds below them, are left alone.
///
/// The first process of a container is that for everybody's orphans already,
/// and cannot tell them apart: there nothing is adopted.
///
/// # Errors
/// For the first process of a container, and when the kernel refuses, which
/// none since Linux 3.4 does.
pub fn adopt_orphans() -> io::Result<()> {
    meet_strangers();
    if getpid().as_raw() == 1 {
        return Err(io::Error::other("everybody's orphans come here"));
    }
    Ok(set_child_subreaper(true)?)
}

/// To be called when a child has ended (SIGCHLD). What became our child because
/// a stranger ended is a stranger too; a worker keeps its orphans to itself as
/// long as it lives. Strangers that have ended are taken off the process table,
/// which matters for the first process of a container.
pub fn meet_strangers() {
    let workers = workers();
    worker::tree::reap_all_but(&workers);
    let mut children = worker::tree::children();
    children.retain(|child| !workers.contains(child));
    // One that has died has left its orphans to us, until they are swept up. Looked at behind the
    // children: whoever lives now had not left anybody to us when these were listed.
    if workers.iter().all(|&worker| os::is_alive(worker)) {
        *lock(&STRANGERS) = children;
    }
}

/// Starts a worker, and knows it until [`forget`].
pub(super) fn spawn(config: &PoolConfig, seat: usize) -> io::Result<Child> {
    let mut workers = workers();
    let child = launch::spawn(config, seat)?;
    workers.extend(child.id().map(pid));
    Ok(child)
}

/// A worker was reaped, and what it may have left was swept up.
pub(super) fn forget(worker: u32) {
    workers().retain(|&known| known != pid(worker));
}

/// Kills and reaps every child of this process that is no worker, and all that
/// is below them. Takes some milliseconds at the most, unless they fork faster
/// than they can be killed; hence on a thread of its own.
pub(super) async fn kill_all() {
    let (tell, told) = oneshot::channel();
    let sweeper = thread::Builder::new().name("sweep".into());
    let sweeping = sweeper.spawn(move || {
        sweep();
        tell.send(()).ok();
    });
    match sweeping {
        // A panic in there has left nothing undone that could be done here.
        Ok(_) => drop(told.await),
        // No thread is left: whatever keeps it from us may be among them.
        Err(_) => sweep(),
    }
}

fn sweep() {
    // Held until the end: no worker is born meanwhile.
    let workers = workers();
    let spared = [&workers[..], &lock(&STRANGERS)[..]].concat();
    worker::tree::kill_all_but(&spared);
}

fn workers() -> MutexGuard<'static, Vec<Pid>> {
    lock(&WORKERS)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn pid(number: u32) -> Pid {
    Pid::from_raw(number.cast_signed())
}
