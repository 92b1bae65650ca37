//! An agent on another machine: a launcher here, such as ssh or srun, with three pipes.

use std::io;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::{Child, Command};

use crate::pool::{Agent, Launch};

/// How long that may take.
const CLEAN_UP: Duration = Duration::from_secs(10);

/// Starts the launcher of an agent.
///
/// It is in a process group of its own: Ctrl-C at a terminal is the orchestrator's
/// business, and whatever it starts can be ended with it.
///
/// # Errors
/// When it cannot be started.
pub(in crate::pool) fn spawn(agent: &Agent) -> io::Result<Child> {
    #[expect(
        clippy::disallowed_methods,
        reason = "the one home of starting workers"
    )]
    let mut command = Command::new(&agent.launch.program);
    command
        .args(&agent.launch.args)
        .envs(agent.launch.env.iter().cloned())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0);
    for name in &agent.unset {
        command.env_remove(name);
    }
    if let Some(directory) = &agent.launch.current_dir {
        command.current_dir(directory);
    }
    command.spawn()
}

/// Runs what cleans up behind a launcher, to its end. When it cannot, nothing can be done
/// about it here.
pub(in crate::pool) async fn clean_up(launch: &Launch) {
    #[expect(
        clippy::disallowed_methods,
        reason = "the one home of starting workers, and what belongs to them"
    )]
    let mut command = Command::new(&launch.program);
    command
        .args(&launch.args)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true);
    if let Ok(mut child) = command.spawn() {
        tokio::time::timeout(CLEAN_UP, child.wait()).await.ok();
    }
}
