//! What a batch is doing at one moment.

use std::time::Duration;

use crate::run::places::Hosts;

/// What a batch is doing at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sample {
    /// How long it has been running.
    pub(crate) at: Duration,
    /// Jobs whose verdict is `ok`.
    pub(crate) succeeded: u64,
    /// Jobs with another verdict, lines that were no job included.
    pub(crate) failed: u64,
    /// Jobs that were told to end, or that the pool has lost.
    pub(crate) broken_off: u64,
    /// How many jobs there are in all, if that is known.
    pub(crate) total: Option<u64>,
    /// What is at work.
    pub(crate) at_work: AtWork,
    /// Attempts that were followed by another one.
    pub(crate) retries: u64,
    /// How many of the other machines are there, if any are wanted.
    pub(crate) hosts: Option<Hosts>,
    /// Whether it was told to stop.
    pub(crate) stopping: bool,
}

/// The jobs whose turn has come.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct AtWork {
    /// How many there are.
    pub(crate) running: usize,
    /// The one that has been running for longest, as it is called, and for how long.
    pub(crate) longest: Option<(String, Duration)>,
}

impl Sample {
    /// Jobs that have ended, in whatever way.
    pub(crate) fn done(&self) -> u64 {
        self.succeeded + self.failed + self.broken_off
    }
}
