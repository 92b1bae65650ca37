//! A worker on this machine: a child process with three pipes.

use std::io;
use std::path::absolute;
use std::process::Stdio;

use tokio::process::{Child, Command};

use crate::pool::{PoolConfig, os, surroundings};

/// Starts a worker process for this seat, from 0, with piped stdin, stdout and stderr.
///
/// Nothing is set that would make std fork instead of using `posix_spawn`,
/// which costs 80 ms from a large parent: no `pre_exec`, no user or group, no
/// search in a changed `PATH`, since the program is an absolute path; variables
/// and a directory are no reason. No process group either: the worker makes
/// itself a session, which a group leader cannot.
///
/// The limit of memory and the niceness are set from here when the program has begun, but before
/// it is told of any job.
///
/// There is no kill on drop: a worker whose pipes are closed stops its job and
/// cleans up what the job started, one that is killed leaves that behind.
///
/// # Errors
/// When the program cannot be started, or not be limited.
pub(in crate::pool) fn spawn(config: &PoolConfig, seat: usize) -> io::Result<Child> {
    let launch = &config.launch;
    let inherits = |name: &str| std::env::var_os(name).is_some();
    #[expect(
        clippy::disallowed_methods,
        reason = "the one home of starting workers"
    )]
    let mut command = Command::new(absolute(&launch.program)?);
    if launch.is_own_program() {
        // What `ps` shows; its path says nothing.
        command.arg0(&launch.name);
    }
    command
        .args(&launch.args)
        .envs(surroundings::environment(config, seat, inherits))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    if let Some(directory) = &launch.current_dir {
        // What is wrong with it looks as if the program were missing.
        if !directory.is_dir() {
            let text = format!("`{}` is no directory", directory.display());
            return Err(io::Error::new(io::ErrorKind::NotFound, text));
        }
        command.current_dir(directory);
    }
    let mut child = command.spawn()?;
    if let Some(pid) = child.id()
        && let Err(e) = restrict(config, pid)
    {
        // It holds no job; the runtime reaps what is dropped.
        child.start_kill().ok();
        return Err(e);
    }
    Ok(child)
}

/// Sets what holds for a worker and for all that it starts from now on.
fn restrict(config: &PoolConfig, pid: u32) -> io::Result<()> {
    if let Some(bytes) = config.memory_per_worker {
        os::limit_memory(pid, bytes)?;
    }
    if let Some(nice) = config.nice {
        os::be_nice(pid, nice)?;
    }
    Ok(())
}
