//! What passes between the driver and a worker's actor.

use std::io;

use bytes::Bytes;
use protocol::{Assignment, Attempt, FromWorker, JobId, Ready, ToWorker, WorkerId};
use tokio::sync::mpsc;

use super::delivery::Route;
use super::job::Closure;
use crate::scheduler::Blame;

/// What the driver wants of a worker.
#[derive(Debug)]
pub(super) enum Order {
    /// Jobs with their whole inputs, in order.
    Run(Vec<Assignment>),
    /// What this job prints goes this way; comes before the job.
    Redirect(JobId, Route),
    /// A function instead of a task, for threads.
    Call((JobId, Attempt), Closure),
    /// Anything that fits into one frame.
    Say(ToWorker),
    /// Tell it to stand still; the sender is dropped when that was written.
    Pause(mpsc::Sender<()>),
    /// This job's time is up: if somebody has stopped the worker, let it go on,
    /// or it will not hear of that.
    Rouse(JobId),
    /// Tell it to stop what it does, clean up and end.
    Close,
    /// Kill it, and the processes of its command.
    Kill,
}

/// What the driver learns from a worker.
#[derive(Debug)]
pub(super) enum News {
    Spawned {
        pid: u32,
    },
    Ready(Ready),
    Messages(Vec<FromWorker>),
    Printed(Vec<Bytes>),
    /// There is work for the printer.
    Prints,
    /// It had been stopped when this job's time was up.
    WasStopped(JobId),
    /// It broke the protocol; nothing more is read from it.
    Violation(String),
    /// It does not listen any more, or said goodbye. What it says still counts.
    Leaving,
    /// It closed the link and still lives.
    Closed,
    /// It has ended and was reaped, or was never started.
    Gone(Ending),
}

/// How a worker ended.
#[derive(Debug)]
pub(super) struct Ending {
    pub(super) blame: Blame,
    /// A predicate: "ended with status 1".
    pub(super) how: String,
    /// Whether it aborted behind words that say that it got no memory, and has a
    /// limit.
    pub(super) out_of_memory: bool,
    /// Whether it died of a SIGKILL that nobody here has sent.
    pub(super) killed: bool,
    /// Its status, and the signal that ended it.
    pub(super) status: (Option<i32>, Option<i32>),
    /// Whether it said goodbye.
    pub(super) bye: bool,
    /// The end of what it wrote to stderr.
    pub(super) stderr: String,
    /// Why it never was ready.
    pub(super) start: Option<StartFailure>,
}

impl Ending {
    /// Of one that was told to end before it was started.
    pub(super) fn unborn() -> Ending {
        Ending {
            blame: Blame::Nobody,
            how: "was not started".into(),
            status: (None, None),
            bye: false,
            out_of_memory: false,
            killed: false,
            stderr: String::new(),
            start: None,
        }
    }
}

/// Why a process did not become a worker, when that is known.
#[derive(Debug)]
pub(super) enum StartFailure {
    /// It was not even started.
    Spawn(io::Error),
    /// It printed this, quoted.
    NotAWorker(String),
    /// It speaks this version of the protocol.
    Version(u32),
    /// It ended, or was ended, before it was ready.
    Died,
    /// The same: the system had something too little of, as its status says.
    Wanting,
}

/// What a worker ends with when the system refuses what it needs.
pub(super) const EX_OSERR: i32 = 71;

impl StartFailure {
    /// Whether another try may succeed before long.
    pub(super) fn may_pass(&self) -> bool {
        match self {
            StartFailure::Spawn(e) => StartFailure::is_scarcity(e),
            StartFailure::Wanting => true,
            StartFailure::NotAWorker(_) | StartFailure::Version(_) | StartFailure::Died => false,
        }
    }

    /// Whether the system had no process, memory or descriptor left.
    pub(super) fn is_scarcity(error: &io::Error) -> bool {
        matches!(
            error.raw_os_error(),
            Some(libc::EAGAIN | libc::ENOMEM | libc::EMFILE | libc::ENFILE)
        )
    }
}

/// Where news go: bounded, so that a worker that talks too much waits.
pub(super) type NewsSender = mpsc::Sender<(WorkerId, News)>;
