//! What can go wrong with the pool itself. A job's failure is not an error
//! here but a [`crate::Verdict`].

use std::error::Error;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::Signal;
use protocol::{PayloadError, TaskError, TaskErrorKind};

use super::{Capture, JobReport};
use crate::scheduler::Verdict;

/// The pool cannot do what was asked of it. Clones share their source.
///
/// Its `Debug` form is its text with all causes, for a `main` that returns it.
#[derive(Clone, thiserror::Error)]
#[non_exhaustive]
pub enum PoolError {
    /// The worker program could not be started.
    #[error("worker `{program}` cannot be started")]
    Spawn {
        /// What was to be started.
        program: String,
        /// Why it could not be.
        #[source]
        source: Arc<io::Error>,
    },
    /// The program ran, but said something else than a worker's greeting.
    #[error("`{program}` does not speak the worker protocol (it printed {printed})")]
    NotAWorker {
        /// What was started.
        program: String,
        /// The first line of what it printed, quoted and made safe to show.
        printed: String,
    },
    /// Worker and orchestrator were built for different protocols.
    #[error("worker `{program}` speaks protocol {theirs}, but this orchestrator speaks {ours}")]
    Version {
        /// What was started.
        program: String,
        /// The worker's version.
        theirs: u32,
        /// Ours.
        ours: u32,
    },
    /// The program ran and never greeted.
    #[error("worker `{program}` was not ready within {after:?}")]
    StartTimeout {
        /// What was started.
        program: String,
        /// How long it was given.
        after: Duration,
        /// The end of what it wrote to stderr.
        stderr: String,
    },
    /// One worker after the other has died without doing a job.
    #[error("worker `{program}` {status} {} (tried {attempts} times)",
        if *.ready { "without doing a job" } else { "before it was ready" })]
    KeepsDying {
        /// What was started.
        program: String,
        /// How the last one ended, as a predicate: "ended with status 127".
        status: String,
        /// Whether the last one was ready when it died.
        ready: bool,
        /// How many have died since a job was done.
        attempts: u32,
        /// The end of what the last one wrote to stderr.
        stderr: String,
    },
    /// None of the hosts can be used.
    #[error("no host can be used")]
    Hosts {
        /// What is wrong with each of them, as predicates.
        hosts: Arc<[(Arc<str>, String)]>,
    },
    /// The program is its own worker ([`super::Launch::current_exe`]), and none of
    /// these was ever ready.
    #[error("{0} (what `main` does before `orchestrator::init`, every worker does too)")]
    OwnWorker(Box<PoolError>),
    /// An input is larger than [`super::PoolConfig::max_payload`].
    #[error("input of {size} bytes is larger than the limit of {limit} (`max_payload`)")]
    InputTooLarge {
        /// Size of the input in bytes.
        size: u64,
        /// The limit in bytes.
        limit: u64,
    },
    /// An input has no form in the encoding asked for.
    #[error("input cannot be encoded: {0}")]
    Input(PayloadError),
    /// What jobs printed could not be kept: the spill file cannot be written.
    #[error("output of jobs cannot be kept in a temporary file")]
    Spill(#[source] Arc<io::Error>),
    /// What jobs printed could not be delivered, see [`super::Printed`]. Their
    /// results are not affected.
    #[error("what jobs printed could not be delivered ({lines} lines are lost)")]
    NotPrinted {
        /// How many lines were lost, as far as that is known.
        lines: u64,
        /// Why the first of them was: for stdout and stderr what the system
        /// said, `TimedOut` for those that nobody took before the pool gave up.
        #[source]
        source: Arc<io::Error>,
    },
    /// The configuration makes no sense; the text says what.
    #[error("{0}")]
    Config(&'static str),
    /// The pool was shut down, or dropped.
    #[error("the pool has been shut down")]
    Closed,
    /// The pool's own code panicked: a bug.
    #[error("the pool's driver panicked: {0}")]
    Panicked(String),
}

/// Why a job gave no result: one variant per kind of end.
///
/// Its `Debug` form is its text with all causes, for a `main` that returns it.
#[derive(Clone, thiserror::Error)]
#[non_exhaustive]
pub enum JobError {
    /// The task returned an error.
    #[error("job failed: {0}")]
    Failed(TaskError),
    /// The task panicked. Its worker has gone on.
    #[error("job {0}")]
    Panicked(TaskError),
    /// The task's result has no form in the encoding.
    #[error("job failed: {0}")]
    Unencodable(TaskError),
    /// The task's result is larger than
    /// [`PoolConfig::max_payload`](super::PoolConfig::max_payload).
    #[error("job failed: {0}")]
    ResultTooLarge(TaskError),
    /// The worker does not offer the task, or cannot decode the input, as the
    /// error's kind tells.
    #[error("job was rejected: {0}")]
    Rejected(TaskError),
    /// The worker's answer is not a value of the task's output type.
    #[error("the job's result cannot be decoded: {0}")]
    Undecodable(PayloadError),
    /// The command ended with another status than 0.
    #[error("command ended with status {status}{}", after(.stderr))]
    Exited {
        /// Its exit status.
        status: i32,
        /// The end of what it wrote to stderr, if that was captured.
        stderr: String,
    },
    /// The command was ended by a signal.
    #[error("command was ended by {}{}", name(*.signal), after(.stderr))]
    Signaled {
        /// The signal's number.
        signal: i32,
        /// The end of what it wrote to stderr, if that was captured.
        stderr: String,
    },
    /// The command could not be started.
    #[error("command could not be started: {detail}")]
    NotStarted {
        /// The system's error number.
        errno: i32,
        /// Which program, and why not.
        detail: String,
    },
    /// Its worker died while it ran; the text says how: "its worker was killed
    /// by SIGSEGV".
    #[error("job crashed: {0}")]
    Crashed(String),
    /// The kernel has killed it, or its worker, for want of memory; or its worker
    /// has ended itself under a limit of
    /// [`PoolConfig::memory_per_worker`](super::PoolConfig::memory_per_worker).
    #[error("job ran out of memory: {0}")]
    OutOfMemory(String),
    /// So many workers died while it ran that it is not tried again.
    #[error("job was quarantined, it crashes its workers: {0}")]
    Quarantined(String),
    /// Its worker was killed, and does not end.
    #[error("job cannot be killed: {0}")]
    Unkillable(String),
    /// Its time was up; the text says which.
    #[error("job timed out {0}")]
    Timeout(String),
    /// The command wrote more than it may, see
    /// [`Command::output_limit_kill`](super::Command::output_limit_kill).
    #[error("command wrote too much: {0}")]
    OutputLimit(String),
    /// It was cancelled, by its handle or with the whole pool.
    #[error("job was cancelled")]
    Cancelled,
    /// The pool was told to stop before it had ended, see
    /// [`Control::interrupt`](super::Control::interrupt).
    #[error("job was interrupted")]
    Interrupted,
    /// The pool itself failed.
    #[error(transparent)]
    Pool(#[from] PoolError),
}

impl From<PayloadError> for PoolError {
    fn from(error: PayloadError) -> PoolError {
        PoolError::Input(error)
    }
}

impl fmt::Debug for PoolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        with_causes(self, f)
    }
}

impl fmt::Debug for JobError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        with_causes(self, f)
    }
}

fn with_causes(error: &dyn Error, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    write!(f, "{error}")?;
    let mut cause = error.source();
    while let Some(error) = cause {
        write!(f, ": {error}")?;
        cause = error.source();
    }
    Ok(())
}

/// How much of the end of a command's stderr an error carries, in bytes.
const STDERR_TAIL: usize = 4096;

impl JobError {
    /// What the end of a job that did not succeed is to whoever awaits it.
    /// `over` is why the pool has ended, if the job was lost with it.
    pub(super) fn new(report: JobReport, over: impl FnOnce() -> PoolError) -> JobError {
        let detail = |error: Option<TaskError>| error.map(|e| e.message).unwrap_or_default();
        match (report.verdict, report.error.map(|e| *e)) {
            (Verdict::Failed(_), Some(error)) => match error.kind {
                TaskErrorKind::Panic => JobError::Panicked(error),
                TaskErrorKind::Unencodable => JobError::Unencodable(error),
                TaskErrorKind::TooLarge => JobError::ResultTooLarge(error),
                _ => JobError::Failed(error),
            },
            (Verdict::Failed(status), None) => JobError::Exited {
                status,
                stderr: tail(&report.stderr),
            },
            (Verdict::Signaled(signal), _) => JobError::Signaled {
                signal,
                stderr: tail(&report.stderr),
            },
            (Verdict::SpawnError(errno), error) => JobError::NotStarted {
                errno,
                detail: match error {
                    Some(error) => error.to_string(),
                    None => Errno::from_raw(errno).desc().to_owned(),
                },
            },
            (Verdict::Rejected, error) => JobError::Rejected(error.unwrap_or_default()),
            (Verdict::Crashed, error) => JobError::Crashed(detail(error)),
            (Verdict::Oom, error) => JobError::OutOfMemory(detail(error)),
            (Verdict::Quarantined, error) => JobError::Quarantined(detail(error)),
            (Verdict::Unkillable, error) => JobError::Unkillable(detail(error)),
            (Verdict::Timeout, error) => JobError::Timeout(detail(error)),
            (Verdict::OutputLimit, error) => JobError::OutputLimit(detail(error)),
            (Verdict::Cancelled, _) => JobError::Cancelled,
            (Verdict::Interrupted, _) => JobError::Interrupted,
            // The reason is the pool's, not the job's.
            (Verdict::Lost | Verdict::Ok, _) => JobError::Pool(over()),
        }
    }

    /// The same for a command whose stderr went elsewhere: this is its end.
    pub(super) fn with_stderr(mut self, bytes: &[u8]) -> JobError {
        if let JobError::Exited { stderr, .. } | JobError::Signaled { stderr, .. } = &mut self {
            *stderr = end(bytes);
        }
        self
    }
}

fn tail(captured: &Capture) -> String {
    // What cannot be read back is not worth a second error here.
    end(&captured.to_vec().unwrap_or_default())
}

fn end(all: &[u8]) -> String {
    let end = &all[all.len().saturating_sub(STDERR_TAIL)..];
    String::from_utf8_lossy(end).trim_end().to_owned()
}

fn after(stderr: &str) -> String {
    match stderr.lines().last() {
        Some(last) => format!(": {last}"),
        None => String::new(),
    }
}

fn name(signal: i32) -> String {
    match Signal::try_from(signal) {
        Ok(signal) => signal.to_string(),
        Err(_) => format!("signal {signal}"),
    }
}

/// A job that was to be submitted at once was not; it comes back where it was
/// refused for want of room.
#[derive(thiserror::Error)]
pub enum TrySubmitError<J> {
    /// The pool has as many jobs as it may have
    /// ([`max_pending`](super::PoolConfig::max_pending)). Here is this one.
    #[error("the pool is full")]
    Full(J),
    /// The pool is over, or the input cannot be sent.
    #[error(transparent)]
    Pool(#[from] PoolError),
}

impl<J> fmt::Debug for TrySubmitError<J> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TrySubmitError::Full(_) => f.write_str("Full(_)"),
            TrySubmitError::Pool(e) => f.debug_tuple("Pool").field(e).finish(),
        }
    }
}
