//! How a job ended: the one list that everything uses.

use std::fmt;

use protocol::Outcome;

/// A job's final outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Verdict {
    /// The task gave a result; the command ended with status 0.
    Ok,
    /// The command ended with this status; 1 for a task that returned an
    /// error, 101 for one that panicked.
    Failed(i32),
    /// The command was ended by this signal.
    Signaled(i32),
    /// A time limit ended it.
    Timeout,
    /// Its worker died while running it.
    Crashed,
    /// The command, or the worker that ran the function, died for want of memory:
    /// the kernel has killed it, or it has ended itself at its limit.
    Oom,
    /// So many workers have died while running it that it is not tried again.
    Quarantined,
    /// Its worker was killed and the kernel does not let it end.
    Unkillable,
    /// The command could not be started: errno.
    SpawnError(i32),
    /// No worker offers the task, or the input cannot be decoded.
    Rejected,
    /// The command wrote more than it may, and that was to end it.
    OutputLimit,
    /// It was cancelled.
    Cancelled,
    /// The run was stopped before it had ended, or before it began.
    Interrupted,
    /// The pool ended before the job did.
    Lost,
}

impl Verdict {
    /// The word for it in machine-readable output.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Verdict::Ok => "ok",
            Verdict::Failed(_) => "failed",
            Verdict::Signaled(_) => "signaled",
            Verdict::Timeout => "timeout",
            Verdict::Crashed => "crashed",
            Verdict::Oom => "oom",
            Verdict::Quarantined => "quarantined",
            Verdict::Unkillable => "unkillable",
            Verdict::SpawnError(_) => "spawn_error",
            Verdict::Rejected => "rejected",
            Verdict::OutputLimit => "output_limit",
            Verdict::Cancelled => "cancelled",
            Verdict::Interrupted => "interrupted",
            Verdict::Lost => "lost",
        }
    }
}

#[cfg(test)]
impl Verdict {
    /// One of each kind.
    pub(crate) fn each() -> [Verdict; 14] {
        let all = [
            Verdict::Ok,
            Verdict::Failed(3),
            Verdict::Signaled(11),
            Verdict::Timeout,
            Verdict::Crashed,
            Verdict::Oom,
            Verdict::Quarantined,
            Verdict::Unkillable,
            Verdict::SpawnError(13),
            Verdict::Rejected,
            Verdict::OutputLimit,
            Verdict::Cancelled,
            Verdict::Interrupted,
            Verdict::Lost,
        ];
        // Who adds a kind adds it above.
        all.map(|verdict| match verdict {
            Verdict::Ok
            | Verdict::Failed(_)
            | Verdict::Signaled(_)
            | Verdict::Timeout
            | Verdict::Crashed
            | Verdict::Oom
            | Verdict::Quarantined
            | Verdict::Unkillable
            | Verdict::SpawnError(_)
            | Verdict::Rejected
            | Verdict::OutputLimit
            | Verdict::Cancelled
            | Verdict::Interrupted
            | Verdict::Lost => verdict,
        })
    }
}

impl From<Outcome> for Verdict {
    fn from(outcome: Outcome) -> Verdict {
        match outcome {
            Outcome::Ok => Verdict::Ok,
            Outcome::Failed(code) => Verdict::Failed(code),
            Outcome::Signaled(signal) => Verdict::Signaled(signal),
            Outcome::TimedOut => Verdict::Timeout,
            Outcome::SpawnError(errno) => Verdict::SpawnError(errno),
            Outcome::Rejected => Verdict::Rejected,
            Outcome::Cancelled => Verdict::Cancelled,
            Outcome::OutputLimit => Verdict::OutputLimit,
            Outcome::Crashed => Verdict::Crashed,
            Outcome::Oom => Verdict::Oom,
            Outcome::Quarantined => Verdict::Quarantined,
            Outcome::Unkillable => Verdict::Unkillable,
            Outcome::Lost => Verdict::Lost,
        }
    }
}

/// A predicate, as in "job 7 …".
impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Verdict::Ok => f.write_str("succeeded"),
            Verdict::Failed(code) => write!(f, "failed with status {code}"),
            Verdict::Signaled(signal) => write!(f, "was ended by signal {signal}"),
            Verdict::Timeout => f.write_str("timed out"),
            Verdict::Crashed => f.write_str("crashed its worker"),
            Verdict::Oom => f.write_str("ran out of memory"),
            Verdict::Quarantined => f.write_str("was quarantined: it crashes its workers"),
            Verdict::Unkillable => f.write_str("cannot be killed"),
            Verdict::SpawnError(errno) => {
                let why = nix::errno::Errno::from_raw(*errno).desc();
                write!(f, "could not be started: {why}")
            }
            Verdict::Rejected => f.write_str("was rejected"),
            Verdict::OutputLimit => f.write_str("wrote too much"),
            Verdict::Cancelled => f.write_str("was cancelled"),
            Verdict::Interrupted => f.write_str("was interrupted"),
            Verdict::Lost => f.write_str("was lost: the pool ended first"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_verdict_ends_a_sentence_about_a_job() {
        let all = [
            (Verdict::Ok, "succeeded"),
            (Verdict::Failed(3), "failed with status 3"),
            (Verdict::Signaled(11), "was ended by signal 11"),
            (Verdict::Timeout, "timed out"),
            (Verdict::Crashed, "crashed its worker"),
            (Verdict::Oom, "ran out of memory"),
            (
                Verdict::Quarantined,
                "was quarantined: it crashes its workers",
            ),
            (Verdict::Unkillable, "cannot be killed"),
            (
                Verdict::SpawnError(13),
                "could not be started: Permission denied",
            ),
            (Verdict::Rejected, "was rejected"),
            (Verdict::OutputLimit, "wrote too much"),
            (Verdict::Cancelled, "was cancelled"),
            (Verdict::Interrupted, "was interrupted"),
            (Verdict::Lost, "was lost: the pool ended first"),
        ];
        for (verdict, said) in all {
            assert_eq!(verdict.to_string(), said);
        }
    }
}
