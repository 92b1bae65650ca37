//! A worker's first acts, before any job: it takes descriptors 0 and 1 for the
//! protocol, out of the way of user code, and becomes a process whose children
//! start from a clean state.
//!
//! User code finds `/dev/null` on 0 and a pipe of the worker's own on 1; what
//! is printed there becomes output messages. Descriptor 2 is left as it is.
//! The worker gets a session of its own, so that no job can reach a terminal,
//! and becomes child subreaper, so that no descendant gets away from it. Neither
//! it nor its jobs leave core dumps, which could fill a disk, unless a job asks
//! for them. When memory is short, the kernel is to take them first.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

use nix::fcntl::OFlag;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::SigSet;
use nix::unistd::{dup2_stdin, dup2_stdout, pipe2, setsid};

use crate::os;

/// The descriptors that were taken, all with high numbers.
pub(crate) struct Stdio {
    /// Frames from the orchestrator.
    pub(crate) input: OwnedFd,
    /// Frames to the orchestrator.
    pub(crate) output: OwnedFd,
    /// What user code prints; reading never waits.
    pub(crate) capture: OwnedFd,
    /// Another write end of that pipe: user code may close its descriptor 1,
    /// and reading must not become an end of file that is always ready.
    pub(crate) _printer: OwnedFd,
}

/// Lowers only the soft limit: a job may raise it again (`ulimit -c`).
fn no_core_dumps() {
    if let Ok((_, hard)) = getrlimit(Resource::RLIMIT_CORE) {
        setrlimit(Resource::RLIMIT_CORE, 0, hard).ok();
    }
}

/// When the machine runs short of memory, a job can be run again, while with the
/// orchestrator all of them are lost: the kernel kills this process and its
/// commands, which inherit it, rather than that one. Raising it is everybody's
/// right. Done once per worker: for each command it would be a file to be written.
fn go_before_the_orchestrator() {
    const FILE: &str = "/proc/self/oom_score_adj";
    const MORE: i32 = 500;
    const MOST: i32 = 1000;
    let before = std::fs::read_to_string(FILE).unwrap_or_default();
    if let Ok(before) = before.trim().parse::<i32>() {
        let raised = before.saturating_add(MORE).min(MOST);
        std::fs::write(FILE, raised.to_string()).ok();
    }
}

/// Takes the descriptors and puts the process in order.
pub(crate) fn take_over() -> io::Result<Stdio> {
    let input = os::move_high(io::stdin().as_fd())?;
    let output = os::move_high(io::stdout().as_fd())?;
    dup2_stdin(File::open("/dev/null")?)?;
    let (read_end, write_end) = pipe2(OFlag::O_CLOEXEC)?;
    os::set_nonblocking(&read_end)?;
    let capture = os::move_high(read_end.as_fd())?;
    let printer = os::move_high(write_end.as_fd())?;
    dup2_stdout(write_end)?;

    // Fails when we lead a group already, which then is our own session or a
    // test that started us by hand: nothing depends on it.
    setsid().ok();
    os::unignore_signals();
    SigSet::empty().thread_set_mask()?;
    nix::sys::prctl::set_child_subreaper(true)?;
    os::close_on_exec_all();
    no_core_dumps();
    go_before_the_orchestrator();
    Ok(Stdio {
        input,
        output,
        capture,
        _printer: printer,
    })
}
