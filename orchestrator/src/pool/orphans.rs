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
use nix::unistd::Pid;
use tokio::process::Child;
use tokio::sync::oneshot;

use super::{Launch, launch};

/// The workers of all pools of this process that were not reaped. Held while
/// one is started, so that a newborn is never taken for an orphan.
static WORKERS: Mutex<Vec<Pid>> = Mutex::new(Vec::new());

/// Children that this process had before it had workers: whoever was this
/// process before (a shell that ended in `exec`) may have started some.
static BORN_WITH: Mutex<Vec<Pid>> = Mutex::new(Vec::new());

/// Makes this process the one to which orphaned descendants fall, so that a
/// pool with [`super::PoolConfig::kill_orphans`] can find them. For programs
/// whose only children are workers, beside those that there are now: those are
/// left alone.
///
/// # Errors
/// When the kernel refuses, which none since Linux 3.4 does.
pub fn adopt_orphans() -> io::Result<()> {
    let workers = workers();
    let mut children = worker::tree::children();
    children.retain(|child| !workers.contains(child));
    *lock(&BORN_WITH) = children;
    Ok(set_child_subreaper(true)?)
}

/// Takes dead children off the process table that are no workers. For the first
/// process of a container, to which everybody's orphans fall.
pub fn reap_strangers() {
    worker::tree::reap_all_but(&workers());
}

/// Starts a worker, and knows it until [`forget`].
pub(super) fn spawn(launch: &Launch) -> io::Result<Child> {
    let mut workers = workers();
    let child = launch::spawn(launch)?;
    workers.extend(child.id().map(pid));
    Ok(child)
}

/// A worker was reaped.
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
    let spared = [&workers[..], &lock(&BORN_WITH)[..]].concat();
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
