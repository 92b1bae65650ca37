//! What only an agent is told and says: an agent is a worker that has workers of
//! its own, see `docs/protocol.md`.

use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

/// What is asked for jobs that an agent runs, beside what a worker can do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct JobOptions {
    /// How long one attempt may take from its start, in milliseconds.
    pub time_limit_ms: Option<u64>,
    /// How long a job that was asked to end may take before its worker is killed,
    /// in milliseconds; 0: at once.
    pub grace_ms: u64,
    /// How many attempts may follow the first.
    pub retries: u32,
    /// How much memory its worker may take, resident, in bytes.
    pub memory_limit: Option<u64>,
    /// Jobs of a higher priority are handed out first.
    pub priority: i32,
}

/// How a job died of which an agent can tell more than its worker could.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Death {
    /// One line for people.
    pub message: String,
    /// The status with which its worker ended, if it ended by itself.
    pub exit_code: Option<i32>,
    /// The signal that ended its worker.
    pub signal: Option<i32>,
    /// How many attempts were made.
    pub attempts: u32,
    /// The end of what its worker wrote to stderr.
    pub stderr: ByteBuf,
}

impl Death {
    /// How much of a worker's stderr is passed on at most, in bytes.
    pub const MAX_STDERR: usize = 4096;
}
