//! One job as the scheduler sees it: where it is, and how often it was tried.

use std::time::Duration;

use protocol::{Attempt, JobId, WorkerId};

use super::Verdict;
use super::id_map::IdMap;
use super::input::Terms;

/// All jobs without a verdict.
pub(super) type Jobs = IdMap<JobId, Job>;

#[derive(Debug)]
pub(super) struct Job {
    pub(super) place: Place,
    pub(super) terms: Terms,
    /// The number of the last attempt; none yet when zero. One that was sent and comes
    /// back untried gives its number back: nobody will have news of it.
    pub(super) attempt: Attempt,
    /// How many workers died while running it.
    pub(super) deaths: u32,
    /// How many attempts came to nothing because their agent was lost.
    pub(super) lost: u32,
    /// In how many of them it was running.
    pub(super) lost_running: u32,
    /// When its turn came at the worker where it is; it may be running since.
    pub(super) since: Option<Duration>,
    /// Why it was told to end.
    pub(super) ending: Option<Ending>,
    /// Whether it is not to be started again when it comes back.
    pub(super) withdrawn: bool,
    /// Whether somebody wants it back, and its worker was asked.
    pub(super) recalled: bool,
    /// How its last attempt ended.
    pub(super) last: Option<Verdict>,
}

impl Job {
    pub(super) fn new(terms: Terms) -> Job {
        Job {
            place: Place::Queued,
            terms,
            attempt: Attempt(0),
            deaths: 0,
            lost: 0,
            lost_running: 0,
            since: None,
            ending: None,
            withdrawn: false,
            recalled: false,
            last: None,
        }
    }

    /// How often it was tried. That an agent was lost is no try: nobody knows how that went.
    pub(super) fn tries(&self) -> u32 {
        self.attempt.0.saturating_sub(self.lost)
    }

    /// What was sent last has come back before it was begun: that was no try.
    pub(super) fn come_back(&mut self) {
        self.attempt = Attempt(self.attempt.0.saturating_sub(1));
    }

    /// Whether a worker died while running it: its next attempt is made alone.
    pub(super) fn is_suspect(&self) -> bool {
        self.deaths > 0
    }

    /// Whether no attempt follows the one that was sent, unless it is not even
    /// begun, or something is too scarce to begin it.
    pub(super) fn is_last_try(&self) -> bool {
        self.withdrawn || self.tries() > self.terms.retries
    }

    /// Whether it waits for another try, or may.
    pub(super) fn may_come_back(&self) -> bool {
        self.place == Place::Waiting || !self.is_last_try()
    }

    /// What an end that the worker reports, or that its death is, means for a
    /// job that was told to end: it may have ended well before it heard of that;
    /// if not, how it ended is a consequence.
    pub(super) fn judged(&self, verdict: Verdict) -> Verdict {
        match (verdict, self.ending) {
            (Verdict::Ok | Verdict::Unkillable, _) | (_, None) => verdict,
            (_, Some(ending)) => ending.verdict(),
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
    /// Nowhere, until the time for its next attempt comes.
    Waiting,
}

/// Why a job was told to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    Cancelled,
    TimedOut,
    Interrupted,
    /// Its worker became too large.
    Outgrown,
    /// It makes room, and is to begin again.
    PutBack,
}

impl Ending {
    pub(super) fn verdict(self) -> Verdict {
        match self {
            Ending::Cancelled => Verdict::Cancelled,
            Ending::TimedOut => Verdict::Timeout,
            Ending::Interrupted | Ending::PutBack => Verdict::Interrupted,
            Ending::Outgrown => Verdict::Oom,
        }
    }
}
