//! A worker on this machine: a child process with three pipes.

use std::io;
use std::process::Stdio;

use tokio::process::{Child, Command};

use crate::pool::Launch;

/// Starts a worker process with piped stdin, stdout and stderr.
///
/// Nothing is set that would make std fork instead of using `posix_spawn`,
/// which costs 80 ms from a large parent: no `pre_exec`, no user or group, no
/// search in a changed `PATH`. No process group either: the worker makes itself
/// a session, which a group leader cannot.
///
/// There is no kill on drop: a worker whose pipes are closed stops its job and
/// cleans up what the job started, one that is killed leaves that behind.
///
/// # Errors
/// When the program cannot be started.
pub(in crate::pool) fn spawn(launch: &Launch) -> io::Result<Child> {
    #[expect(
        clippy::disallowed_methods,
        reason = "the one home of starting workers"
    )]
    let mut command = Command::new(&launch.program);
    command
        .args(&launch.args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
}
