//! What can go wrong with the pool itself. A job's failure is not an error
//! here but a [`crate::Verdict`].

use std::io;
use std::sync::Arc;
use std::time::Duration;

use protocol::{PayloadError, TaskError};

use crate::scheduler::Verdict;

/// The pool cannot do what was asked of it. Clones share their source.
#[derive(Clone, Debug, thiserror::Error)]
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
    /// An input is larger than [`super::PoolConfig::max_payload`].
    #[error("input of {size} bytes is larger than the limit of {limit}")]
    InputTooLarge {
        /// Size of the input in bytes.
        size: u64,
        /// The limit in bytes.
        limit: u64,
    },
    /// An input has no form in the encoding asked for.
    #[error("input cannot be encoded")]
    Input(#[from] PayloadError),
    /// What jobs printed could not be kept: the spill file cannot be written.
    #[error("output of jobs cannot be kept in a temporary file")]
    Spill(#[source] Arc<io::Error>),
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

/// Why a job gave no result.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JobError {
    /// The job ended with another verdict than `Ok`.
    #[error("job {verdict}{}", detail(.error.as_ref()))]
    NotOk {
        /// How it ended.
        verdict: Verdict,
        /// What the task said.
        error: Option<TaskError>,
    },
    /// The worker's answer is not a value of the task's output type.
    #[error("result cannot be decoded")]
    Result(#[source] PayloadError),
    /// The pool itself failed.
    #[error(transparent)]
    Pool(#[from] PoolError),
}

fn detail(error: Option<&TaskError>) -> String {
    error.map(|e| format!(": {e}")).unwrap_or_default()
}
