//! How worker processes are started; the only place that starts any.

mod local;
mod remote;

use std::io;

use tokio::process::Child;

pub(super) use remote::clean_up;

use super::PoolConfig;

/// Starts the worker of this seat, from 0: here, or the launcher of an agent elsewhere.
///
/// # Errors
/// When the program cannot be started, or not be limited.
pub(super) fn spawn(config: &PoolConfig, seat: usize) -> io::Result<Child> {
    match config.agents.get(seat) {
        Some(agent) => remote::spawn(agent),
        None => local::spawn(config, seat),
    }
}
