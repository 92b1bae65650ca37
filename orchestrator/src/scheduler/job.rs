//! One job as the scheduler sees it: where it is, and how often it was tried.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use protocol::{Attempt, JobId, WorkerId};

/// All jobs without a verdict.
pub(super) type Jobs = HashMap<JobId, Job, BuildHasherDefault<IdHasher>>;

#[derive(Debug)]
pub(super) struct Job {
    pub(super) place: Place,
    /// The number of the last attempt; none yet when zero. Each sending has a
    /// number of its own, so that news of an earlier one is recognised.
    pub(super) attempt: Attempt,
    /// How many attempts count: those that were sent and not taken back.
    pub(super) tries: u32,
    /// Whether someone asked for its end.
    pub(super) cancelled: bool,
}

impl Job {
    pub(super) fn new() -> Job {
        Job {
            place: Place::Queued,
            attempt: Attempt(0),
            tries: 0,
            cancelled: false,
        }
    }
}

/// Where a job is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// In the queue.
    Queued,
    /// With this worker, running or queued there.
    Sent(WorkerId),
}

/// Hashes sequence numbers. They are ours, so nobody can choose them to
/// collide; a multiplication spreads them well enough.
#[derive(Default)]
pub(crate) struct IdHasher(u64);

impl Hasher for IdHasher {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.write_u64(u64::from(byte));
        }
    }
    fn write_u64(&mut self, n: u64) {
        // The odd integer nearest to 2^64 divided by the golden ratio; the
        // table takes its index from both ends of the hash.
        let product = (self.0 ^ n).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        self.0 = product ^ (product >> 32);
    }
    fn write_u32(&mut self, n: u32) {
        self.write_u64(u64::from(n));
    }
}
