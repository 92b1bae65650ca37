//! One worker as the scheduler sees it: its life, and the jobs it holds.

use std::collections::VecDeque;
use std::time::Duration;

use protocol::{Attempt, JobId, WorkerId};

use super::window::{Estimate, MAX_AHEAD, PATIENCE, PATIENCE_AFAR};

/// How many jobs an agent is sent ahead, at most.
const MOST_AHEAD: usize = MAX_AHEAD as usize;

#[derive(Debug)]
pub(super) struct Worker {
    /// Which seat of the pool it has.
    pub(super) seat: usize,
    pub(super) life: Life,
    /// The jobs it holds, in the order in which they were sent.
    pub(super) jobs: VecDeque<(JobId, Attempt)>,
    /// How many of them, the first ones, are known to have their turn.
    pub(super) begun: usize,
    /// How many jobs it runs at once.
    pub(super) slots: usize,
    /// Whether it has workers of its own, perhaps on another machine.
    pub(super) is_agent: bool,
    /// How long its jobs take.
    pub(super) estimate: Estimate,
    /// The job that it said has been running for a while.
    pub(super) long: Option<JobId>,
    /// Whether that job, or all that run where there are several slots, have been running for so
    /// long that no other waits for them here.
    pub(super) stuck: bool,
    /// Whether one of its jobs has ended since somebody looked.
    pub(super) moved: bool,
    /// How often it was asked to give jobs back and has not answered yet.
    pub(super) recalls: u32,
    /// Whether it gave nothing back when it was asked last, and has ended no job since: asked
    /// again at once, it would say the same.
    pub(super) keeps: bool,
    /// How many jobs it was asked for by that because others have nothing to do.
    pub(super) asked: usize,
    /// Who may get in.
    pub(super) door: Door,
    /// Since when it has been ready.
    pub(super) ready_at: Option<Duration>,
    /// Whether it sits on its seat, or has given it up.
    pub(super) seated: bool,
    /// How many jobs it may still do, those that it holds included.
    pub(super) left: u64,
    /// Whether it was told to end when it has done what it is at.
    pub(super) leaving: bool,
    /// Since when it has had nothing to do, if it has not.
    pub(super) idle_since: Duration,
    /// Whether its end will be our doing, and says nothing about the next one.
    pub(super) excused: bool,
    pub(super) killed: bool,
    /// Whether it has done a job.
    pub(super) useful: bool,
    /// Whether it was killed for the sake of one job, so that its death is no
    /// other job's crash.
    pub(super) sacrificed: bool,
    /// How many of its jobs have failed in a row.
    pub(super) streak: Streak,
    /// Its key in the order of preference, absent when it takes no job.
    pub(super) rank: Option<Rank>,
    /// How many of its jobs somebody else could have, if any.
    pub(super) loot: Option<usize>,
    /// Whether these two may be out of date.
    pub(super) is_stale: bool,
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

/// Which jobs a worker takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Door {
    /// Any.
    Open,
    /// None until it is empty: it is wanted for a job that must be alone.
    Reserved,
    /// None: it has a job that must be alone.
    Alone,
    /// None until the one before it on its seat has done its last.
    Waiting,
}

/// Failures in a row, and what the whole pool had counted when they began.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Streak {
    pub(super) failures: u32,
    pub(super) pool_before: Tally,
}

/// How jobs have ended, in the whole pool.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) succeeded: u64,
    pub(super) failed: u64,
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
    /// One that may do so many jobs.
    pub(super) fn new(seat: usize, left: u64) -> Worker {
        Worker {
            seat,
            life: Life::Starting,
            jobs: VecDeque::new(),
            begun: 0,
            slots: 1,
            is_agent: false,
            estimate: Estimate::default(),
            long: None,
            stuck: false,
            moved: false,
            recalls: 0,
            keeps: false,
            asked: 0,
            door: Door::Open,
            ready_at: None,
            seated: true,
            left,
            leaving: false,
            idle_since: Duration::ZERO,
            excused: false,
            killed: false,
            useful: false,
            sacrificed: false,
            streak: Streak::default(),
            rank: None,
            loot: None,
            is_stale: false,
        }
    }

    /// How long jobs wait here behind others; and it gets none ahead where they take so long.
    pub(super) fn patience(&self) -> Duration {
        match self.is_agent {
            true => PATIENCE_AFAR,
            false => PATIENCE,
        }
    }

    /// How many jobs it may hold.
    fn limit(&self, ahead: Duration) -> usize {
        let mut most = self.estimate.ahead(ahead, self.patience());
        if self.is_agent {
            // Each of its workers is as quick as one that is alone.
            most = most
                .saturating_mul(self.slots)
                .min(MOST_AHEAD.max(self.slots));
        }
        let most = match self.long {
            _ if self.stuck => self.slots,
            // One for each of those that may end before anything can be said of it.
            Some(_) if self.is_agent => self.slots + most.min(self.slots),
            Some(_) => self.slots + most.min(1),
            None => self.slots + most,
        };
        usize::try_from(self.left).map_or(most, |left| most.min(left))
    }

    /// Whether it is there for more than the jobs that it has.
    pub(super) fn stays(&self) -> bool {
        self.life == Life::Ready && !self.leaving
    }

    /// Whether it has nothing to do and could have.
    pub(super) fn is_idle(&self) -> bool {
        self.stays() && self.jobs.is_empty() && self.door != Door::Waiting
    }

    /// Whether it has jobs whose turn has not come.
    pub(super) fn is_overfull(&self) -> bool {
        self.jobs.len() > self.slots
    }

    /// How many more jobs it may be given now.
    pub(super) fn room(&self, ahead: Duration) -> usize {
        match (self.life, self.door) {
            _ if self.leaving => 0,
            (Life::Ready, Door::Open) => self.limit(ahead).saturating_sub(self.jobs.len()),
            (Life::Ready, Door::Reserved) => usize::from(self.jobs.is_empty()),
            (Life::Ready, Door::Alone | Door::Waiting)
            | (Life::Starting | Life::Ending | Life::Dying, _) => 0,
        }
    }

    /// Whether what it says counts.
    pub(super) fn listened_to(&self) -> bool {
        match self.life {
            Life::Ready | Life::Ending => true,
            Life::Starting | Life::Dying => false,
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
        if self.jobs.front() == Some(&(job, attempt)) {
            self.jobs.pop_front();
            self.begun = self.begun.saturating_sub(1);
            self.move_on();
            return self.let_go(job);
        }
        let place = self.jobs.iter().position(|&held| held == (job, attempt));
        place.is_some_and(|at| {
            self.move_on();
            self.release_at(at, job)
        })
    }

    /// One of its jobs has ended: not all that run have done so for long.
    fn move_on(&mut self) {
        self.moved = true;
        self.stuck &= self.slots == 1;
    }

    /// The same for one that comes back, which is one of those that were sent last.
    pub(super) fn take_back(&mut self, job: JobId, attempt: Attempt) -> bool {
        let place = self.jobs.iter().rposition(|&held| held == (job, attempt));
        place.is_some_and(|at| self.release_at(at, job))
    }

    fn release_at(&mut self, at: usize, job: JobId) -> bool {
        self.jobs.remove(at);
        self.begun -= usize::from(at < self.begun);
        self.let_go(job)
    }

    fn let_go(&mut self, job: JobId) -> bool {
        self.keeps = false;
        if self.long == Some(job) {
            self.long = None;
            self.stuck = false;
        }
        if self.door == Door::Alone && self.jobs.is_empty() {
            self.door = Door::Open;
        }
        true
    }

    /// The next job whose turn has come and was not known to have.
    pub(super) fn next_turn(&mut self) -> Option<JobId> {
        let &(job, _) = self
            .jobs
            .get(self.begun)
            .filter(|_| self.begun < self.slots)?;
        self.begun += 1;
        Some(job)
    }

    /// How many of its slots are free, if it is in the ranks like this.
    pub(super) fn free(&self, rank: Option<Rank>) -> usize {
        match rank {
            Some(rank) if rank.class == Class::Idle => self.slots.saturating_sub(rank.load),
            Some(_) | None => 0,
        }
    }

    /// The jobs whose turn has come: as many as it runs at once.
    pub(super) fn at_work(&self) -> impl Iterator<Item = &(JobId, Attempt)> {
        self.jobs.iter().take(self.slots)
    }

    /// The jobs whose turn has not come.
    pub(super) fn not_started(&self) -> Vec<(JobId, Attempt)> {
        self.jobs.iter().skip(self.slots).copied().collect()
    }

    pub(super) fn holds(&self, job: JobId, attempt: Attempt) -> bool {
        // Mostly it is asked about the next one.
        self.jobs.front() == Some(&(job, attempt))
            || self.jobs.iter().any(|&held| held == (job, attempt))
    }

    /// How many jobs `waiting_behind_long` gives; absent when it is none.
    pub(super) fn loot_now(&self) -> Option<usize> {
        if self.long.is_none() || self.life != Life::Ready || self.recalls > 0 || self.keeps {
            return None;
        }
        Some(self.jobs.len().saturating_sub(self.slots)).filter(|&n| n > 0)
    }

    /// The jobs that wait while a long one runs: of the others at most one less than there
    /// are slots run beside it.
    pub(super) fn waiting_behind_long(&self) -> Vec<(JobId, Attempt)> {
        if self.long.is_none() || self.life != Life::Ready || self.recalls > 0 || self.keeps {
            return Vec::new();
        }
        let not_long = |&&(job, _): &&(JobId, Attempt)| Some(job) != self.long;
        self.jobs
            .iter()
            .filter(not_long)
            .skip(self.slots.saturating_sub(1))
            .copied()
            .collect()
    }
}
