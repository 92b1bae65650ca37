//! How the program ends.

use std::process::ExitCode;

use nix::sys::signal::Signal;
use nix::unistd::getpid;

/// How the program ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// With this status.
    Status(u8),
    /// By this signal, so that a shell sees what happened.
    Signal(Signal),
}

impl Exit {
    /// Every job succeeded.
    pub(crate) const OK: Exit = Exit::Status(0);
    /// At least one job failed.
    pub(crate) const JOBS_FAILED: Exit = Exit::Status(1);
    /// What was asked for makes no sense.
    pub(crate) const USAGE: Exit = Exit::Status(2);
    /// Who started this agent has broken the protocol.
    pub(crate) const PROTOCOL: Exit = Exit::Status(76);
    /// The run itself failed.
    pub(crate) const RUN_FAILED: Exit = Exit::Status(125);
    /// Nobody reads the results any more.
    pub(crate) const BROKEN_PIPE: Exit = Exit::Signal(Signal::SIGPIPE);

    /// Ends the process now, whatever else is going on in it.
    pub(crate) fn leave(self) -> ! {
        let status = match self {
            Exit::Status(status) => i32::from(status),
            Exit::Signal(signal) => {
                die_of(signal);
                128 + signal as i32
            }
        };
        std::process::exit(status)
    }

    /// The status for `main` to return; does not come back from a signal.
    pub(crate) fn code(self) -> ExitCode {
        match self {
            Exit::Status(status) => ExitCode::from(status),
            Exit::Signal(signal) => {
                die_of(signal);
                ExitCode::from(128 + signal as u8)
            }
        }
    }
}

/// Does not come back, unless the signal's default is not to end a process, or
/// this is the first process of a container, which the kernel spares.
fn die_of(signal: Signal) {
    if getpid().as_raw() != 1 {
        signal_hook::low_level::emulate_default_handler(signal as i32).ok();
    }
}
