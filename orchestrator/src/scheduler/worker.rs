//! One worker as the scheduler sees it: its life, and the jobs it holds.

use std::collections::VecDeque;
use std::time::Duration;

use protocol::{Attempt, JobId, WorkerId};

use super::window::Estimate;

#[derive(Debug)]
pub(super) struct Worker {
    /// Which seat of the pool it has.
    pub(super) seat: usize,
    pub(super) life: Life,
    /// The jobs it holds, in the order in which they were sent.
    pub(super) jobs: VecDeque<(JobId, Attempt)>,
    /// How many jobs it runs at once.
    pub(super) slots: usize,
    /// How long its jobs take.
    pub(super) estimate: Estimate,
    /// The job that it said has been running for a while.
    pub(super) long: Option<JobId>,
    /// Whether it was asked to give jobs back and has not answered yet.
    pub(super) recalling: bool,
    /// Its key in the order of preference, absent when it takes no job.
    pub(super) rank: Option<Rank>,
}

/// A worker's life. Only one that is `Ready` gets jobs, and only messages from
/// one that is `Ready` or `Ending` count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Life {
    /// Started, has not yet said that it is ready.
    Starting,
    /// Takes jobs.
    Ready,
    /// Was asked to finish what it has and end.
    Ending,
    /// Is being made to end; nothing that it says counts any more.
    Dying,
}

/// Who gets the next job: the smallest. Idle workers before busy ones, those
/// whose jobs are short before one that sits over a long one, and the least
/// loaded among equals.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rank {
    pub(super) class: Class,
    pub(super) load: usize,
    pub(super) worker: WorkerId,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Class {
    /// Has a free slot.
    Idle,
    /// May be sent jobs ahead.
    Ahead,
    /// The same, but they would wait behind a long job.
    BehindLong,
}

impl Worker {
    pub(super) fn new(seat: usize) -> Worker {
        Worker {
            seat,
            life: Life::Starting,
            jobs: VecDeque::new(),
            slots: 1,
            estimate: Estimate::default(),
            long: None,
            recalling: false,
            rank: None,
        }
    }

    /// How many jobs it may hold.
    fn limit(&self, ahead: Duration) -> usize {
        match self.long {
            Some(_) => self.slots + 1,
            None => self.slots + self.estimate.ahead(ahead),
        }
    }

    /// How many more jobs it may be given now.
    pub(super) fn room(&self, ahead: Duration) -> usize {
        match self.life {
            Life::Ready => self.limit(ahead).saturating_sub(self.jobs.len()),
            Life::Starting | Life::Ending | Life::Dying => 0,
        }
    }

    /// Its place in the order of preference.
    pub(super) fn rank_now(&self, id: WorkerId, ahead: Duration) -> Option<Rank> {
        if self.room(ahead) == 0 {
            return None;
        }
        let class = if self.jobs.len() < self.slots {
            Class::Idle
        } else if self.long.is_none() {
            Class::Ahead
        } else {
            Class::BehindLong
        };
        Some(Rank {
            class,
            load: self.jobs.len(),
            worker: id,
        })
    }

    /// Takes a job out; false when it is not here in this attempt.
    pub(super) fn release(&mut self, job: JobId, attempt: Attempt) -> bool {
        // Answers come in the order of the jobs, almost always.
        let Some(at) = self.jobs.iter().position(|&held| held == (job, attempt)) else {
            return false;
        };
        self.jobs.remove(at);
        if self.long == Some(job) {
            self.long = None;
        }
        true
    }

    pub(super) fn holds(&self, job: JobId, attempt: Attempt) -> bool {
        self.jobs.iter().any(|&held| held == (job, attempt))
    }

    /// The jobs that are certainly not all running, and wait behind a long one.
    pub(super) fn waiting_behind_long(&self) -> Vec<(JobId, Attempt)> {
        if self.long.is_none() || self.life != Life::Ready || self.recalling {
            return Vec::new();
        }
        let not_long = |&&(job, _): &&(JobId, Attempt)| Some(job) != self.long;
        self.jobs
            .iter()
            .skip(self.slots.saturating_sub(1))
            .filter(not_long)
            .copied()
            .collect()
    }
}
