//! Workers that go in good order, and what becomes of their places: they are
//! worn out, too many, or have nothing to do.
//!
//! A worker that goes is told so at once, though it may have a job for hours
//! yet, and gives its seat up at once, so that the next one is ready when that
//! job ends. But a seat is room for one: the next one gets no job before.

use protocol::{JobId, WorkerId};

use super::core::{Phase, Scheduler};
use super::input::{Action, Size};
use super::job::Job;
use super::timer::Timer;
use super::worker::{Class, Door, Life, Worker};

/// Why a worker gets no more jobs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Leaving {
    /// So many of its jobs in a row have failed, and nobody else's.
    BlackHole(u32),
    /// It has done as many jobs as it may, or has grown too large in one way.
    Worn,
    /// The pool is to have fewer workers.
    Surplus,
    /// There is nothing for it to do.
    Unneeded,
}

/// What may still bring work for others, though no job waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Holdout {
    /// It has jobs whose turn has not come.
    Worker(WorkerId),
    /// It is not at its last try.
    Job(JobId),
}

/// The workers, counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Census {
    /// How many have jobs.
    pub(crate) busy: usize,
    /// How many could have one at once.
    pub(crate) idle: usize,
    /// How many are not ready yet.
    pub(crate) starting: usize,
    /// How many jobs have their turn at them.
    pub(crate) running: usize,
    /// How many have ever been worn out.
    pub(crate) recycled: u64,
}

impl Scheduler {
    /// The workers, counted.
    pub(crate) fn census(&self) -> Census {
        let mut census = Census {
            recycled: self.recycled,
            ..Census::default()
        };
        for worker in self.workers.values() {
            census.running += worker.at_work().count();
            if !worker.jobs.is_empty() {
                census.busy += 1;
            } else if worker.life == Life::Starting {
                census.starting += 1;
            } else if worker.life == Life::Ready {
                census.idle += 1;
            }
        }
        census
    }

    /// A worker that is ready gets no more jobs, and ends when it has done those
    /// that it is at.
    pub(super) fn leave(&mut self, id: WorkerId, why: Leaving) {
        if self.reserved == Some(id) {
            self.set_door(id, Door::Open);
            self.reserved = None;
        }
        let Some(worker) = self.workers.get_mut(&id) else {
            return;
        };
        debug_assert!(worker.life == Life::Ready && !worker.leaving);
        worker.leaving = true;
        let jobs = worker.not_started();
        if !jobs.is_empty() {
            worker.recalls += 1;
            self.actions.push_back(Action::Recall { worker: id, jobs });
        }
        self.actions.push_back(match why {
            Leaving::BlackHole(failures) => Action::Retire {
                worker: id,
                failures,
            },
            Leaving::Worn | Leaving::Surplus | Leaving::Unneeded => Action::Drain { worker: id },
        });
        let seat = worker.seat;
        self.rerank(id);
        self.vacate(id, seat);
        self.empty(id);
        match why {
            Leaving::BlackHole(_) | Leaving::Worn => self.fill(seat),
            Leaving::Surplus => {}
            Leaving::Unneeded => drop(self.asleep.insert(seat)),
        }
    }

    /// A worker gives its seat up.
    pub(super) fn vacate(&mut self, id: WorkerId, seat: usize) {
        let seat = &mut self.seats[seat];
        seat.worker = None;
        if let Some(worker) = self.workers.get_mut(&id) {
            worker.seated = false;
            if worker.door == Door::Waiting {
                worker.door = Door::Open;
            }
            if !worker.jobs.is_empty() {
                seat.before = Some(id);
            }
        }
    }

    /// Starts a worker for an open seat, unless no job would come to it.
    pub(super) fn fill(&mut self, seat: usize) {
        if self.phase == Phase::Draining && self.queue.waits() == 0 {
            self.asleep.insert(seat);
        } else {
            self.spawn(seat);
        }
    }

    /// How many seats have a worker, or will have one soon.
    pub(super) fn awake(&self) -> usize {
        let open = self.seats.iter().filter(|seat| !seat.closed).count();
        open.saturating_sub(self.asleep.len())
    }

    /// Whether so few workers are there, or about to be, that none is to go for want
    /// of jobs.
    fn is_smallest(&self) -> bool {
        self.awake() <= self.config.min_workers.unwrap_or(0)
    }

    /// A seat was opened: a worker is started for it, or first when there are jobs for
    /// more than a few.
    pub(super) fn occupy(&mut self, seat: usize) {
        self.asleep.insert(seat);
        let few = self.config.min_workers.map(|few| few.max(1));
        if few.is_none_or(|few| self.awake() < few) {
            self.asleep.remove(&seat);
            self.fill(seat);
        }
    }

    /// A worker that has given its seat up has no jobs any more.
    pub(super) fn make_way(&mut self, seat: usize, id: WorkerId) {
        let seat = &mut self.seats[seat];
        if seat.before != Some(id) {
            return;
        }
        seat.before = None;
        if let Some(next) = seat.worker {
            self.set_door(next, Door::Open);
            self.rest(next);
        }
    }

    /// A worker has no jobs any more.
    pub(super) fn empty(&mut self, id: WorkerId) {
        let Some(worker) = self.workers.get_mut(&id) else {
            return;
        };
        if worker.life != Life::Ready || !worker.jobs.is_empty() {
            return;
        }
        if !worker.leaving {
            return self.rest(id);
        }
        let seat = worker.seat;
        worker.excused = true;
        self.unlist(id, Life::Ending);
        self.end_in_time(id);
        self.make_way(seat, id);
    }

    /// A worker has all the jobs that it may still do: it goes once none of
    /// them can come back without having been done.
    pub(super) fn wear(&mut self, id: WorkerId) {
        let worn = |w: &Worker| {
            let held = w.jobs.len();
            w.stays() && w.left <= held as u64 && held <= w.slots
        };
        if self.workers.get(&id).is_some_and(worn) {
            self.recycle(id);
        }
    }

    /// A worker is so large.
    pub(super) fn weigh(&mut self, id: WorkerId, size: Size) {
        let exceeds = |size: u64, max: Option<u64>| max.is_some_and(|max| size > max);
        let too_much = exceeds(size.rss, self.config.max_rss_per_worker)
            || exceeds(size.files, self.config.max_files_per_worker);
        if too_much && self.workers.get(&id).is_some_and(Worker::stays) {
            self.recycle(id);
        }
    }

    fn recycle(&mut self, id: WorkerId) {
        self.recycled += 1;
        self.leave(id, Leaving::Worn);
    }

    /// A worker has nothing to do from now on.
    pub(super) fn rest(&mut self, id: WorkerId) {
        let Some(timeout) = self.config.idle_timeout else {
            return;
        };
        if let Some(worker) = self.workers.get_mut(&id)
            && worker.is_idle()
        {
            worker.idle_since = self.now;
            // One from before is not stopped by each job, it looks again.
            if !self.timers.is_set(Timer::Idle(id)) {
                self.timers.set(Timer::Idle(id), self.now + timeout);
            }
        }
    }

    /// A worker may have had nothing to do for long.
    pub(super) fn on_idle(&mut self, id: WorkerId) {
        let (Some(worker), Some(timeout)) = (self.workers.get(&id), self.config.idle_timeout)
        else {
            return;
        };
        if !worker.is_idle() {
            return;
        }
        // Jobs may have to wait though it idles, in a pause for example.
        let since = match self.queue.waits() {
            0 => worker.idle_since,
            _ => self.now,
        };
        if since + timeout > self.now {
            self.timers.set(Timer::Idle(id), since + timeout);
        } else if self.is_smallest() {
            self.timers.set(Timer::Idle(id), self.now + timeout);
        } else {
            self.leave(id, Leaving::Unneeded);
        }
    }

    /// Starts workers on seats where one was ended for want of jobs, when
    /// there are jobs that nobody has time for.
    pub(super) fn wake(&mut self) {
        if self.asleep.is_empty() {
            return;
        }
        let idle = self.ranks.first().is_some_and(|r| r.class == Class::Idle);
        let mut wanted = self.queue.waits();
        if !idle {
            wanted += self.victims.iter().map(|(jobs, _)| jobs).sum::<usize>();
        }
        if wanted == 0 {
            return;
        }
        let coming = |w: &&Worker| w.life == Life::Starting && w.door == Door::Open;
        let coming = self.workers.values().filter(coming).count();
        for _ in coming..wanted {
            // One whose last worker still has a job would not help.
            let mut free = self.asleep.iter().copied();
            let Some(seat) = free.find(|&seat| self.seats[seat].before.is_none()) else {
                return;
            };
            self.asleep.remove(&seat);
            self.spawn(seat);
        }
    }

    /// No more jobs will come, and those that there are will not come back, if
    /// all goes well: then all workers may go.
    pub(super) fn call_last(&mut self) {
        if self.phase != Phase::Draining || self.last_call || !self.all_at_last_try() {
            return;
        }
        self.last_call = true;
        for id in self.worker_ids() {
            if self.workers[&id].stays() {
                self.leave(id, Leaving::Unneeded);
            }
        }
    }

    fn all_at_last_try(&mut self) -> bool {
        if self.queue.waits() > 0 {
            return false;
        }
        // Whoever it was the last time, mostly it still is: not all are looked at in each turn.
        if !self.holdout.is_some_and(|holdout| self.holds_out(holdout)) {
            self.holdout = self.find_holdout();
        }
        self.holdout.is_none()
    }

    fn holds_out(&self, holdout: Holdout) -> bool {
        match holdout {
            Holdout::Worker(id) => self.workers.get(&id).is_some_and(Worker::is_overfull),
            Holdout::Job(id) => self.jobs.get(&id).is_some_and(Job::may_come_back),
        }
    }

    fn find_holdout(&self) -> Option<Holdout> {
        let mut workers = self.workers.iter();
        if let Some((id, _)) = workers.find(|(_, worker)| worker.is_overfull()) {
            return Some(Holdout::Worker(id));
        }
        let mut jobs = self.jobs.iter();
        let found = jobs.find(|(_, job)| job.may_come_back());
        found.map(|(id, _)| Holdout::Job(id))
    }
}
