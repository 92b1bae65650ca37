//! Who gets which job, and what happens when its turn has come.

use std::time::Duration;

use protocol::{JobId, WorkerId};

use super::core::Scheduler;
use super::input::Action;
use super::job::Place;
use super::timer::Timer;
use super::worker::{Class, Door, Life, Rank};

/// How long a job may have made its worker too large until somebody notices.
pub(super) const BETWEEN_LOOKS: Duration = Duration::from_millis(20);

/// How long whoever was asked for jobs keeps others from being asked for the same slots.
const UNANSWERED: Duration = Duration::from_millis(100);

impl Scheduler {
    /// Sends queued jobs to workers with room, then, when none is queued and a
    /// worker idles, asks a worker that sits over a long job for its others.
    /// Starts workers if some are wanting that had nothing to do for long, and
    /// says so when these jobs are the last.
    pub(super) fn hand_out(&mut self) {
        if self.config.lockstep && self.unseen > 0 {
            return;
        }
        self.rerank_stale();
        self.hand_out_queued();
        if self.queue.is_empty() {
            self.recall();
        }
        self.wake();
        self.call_last();
    }

    fn hand_out_queued(&mut self) {
        loop {
            self.hand_out_suspects();
            if self.queue.is_empty() {
                return;
            }
            let Some(&Rank { class, worker, .. }) = self.ranks.first() else {
                return;
            };
            if !self.may_start() {
                return;
            }
            let room = self.workers[&worker].room(self.config.ahead);
            let share = match class {
                _ if self.gate.is_some() => 1,
                Class::Idle | Class::BehindLong => 1,
                Class::Ahead => self.queue.len().div_ceil(self.ready.max(1)),
            };
            for _ in 0..share.min(room) {
                if let Some(job) = self.queue.pop() {
                    self.send(worker, job);
                }
            }
            if class == Class::BehindLong {
                self.watch_agent(worker);
            }
            self.wear(worker);
            self.rerank(worker);
        }
    }

    /// A job that a worker died of goes to a worker that has no other and gets
    /// none, so that nobody stands beside it when it happens again. While there
    /// is none, one worker is kept from further jobs until it is empty; not so
    /// for a job behind others of a higher priority.
    fn hand_out_suspects(&mut self) {
        while self.queue.suspect_is_next() {
            let idle = self.ranks.first().filter(|rank| rank.load == 0);
            let Some(&Rank { worker, .. }) = idle else {
                return self.reserve();
            };
            if !self.may_start() {
                return;
            }
            if let Some(job) = self.queue.pop_suspect() {
                self.send(worker, job);
                self.set_door(worker, Door::Alone);
                if self.reserved == Some(worker) {
                    self.reserved = None;
                }
                self.wear(worker);
            }
        }
        if let Some(worker) = self.reserved.take() {
            self.set_door(worker, Door::Open);
        }
    }

    fn reserve(&mut self) {
        if self.reserved.is_some() {
            return;
        }
        let soonest = self
            .workers
            .iter()
            .filter(|(_, w)| w.stays() && w.door == Door::Open)
            .min_by_key(|(id, w)| (w.long.is_some(), w.jobs.len(), *id));
        if let Some((worker, _)) = soonest {
            self.reserved = Some(worker);
            self.set_door(worker, Door::Reserved);
        }
    }

    pub(super) fn set_door(&mut self, id: WorkerId, door: Door) {
        if let Some(worker) = self.workers.get_mut(&id) {
            worker.door = door;
            self.rerank(id);
        }
    }

    fn send(&mut self, to: WorkerId, id: JobId) {
        let (Some(job), Some(worker)) = (self.jobs.get_mut(&id), self.workers.get_mut(&to)) else {
            debug_assert!(false, "job {id} is queued but unknown, or worker {to} is");
            return;
        };
        job.attempt = job.attempt.next();
        job.place = Place::Sent(to);
        if let Some(gate) = &mut self.gate {
            gate.passed(self.now);
        }
        worker.jobs.push_back((id, job.attempt));
        self.actions.push_back(Action::Send {
            worker: to,
            job: id,
            attempt: job.attempt,
        });
        if let Some(job) = worker.next_turn() {
            self.start_clock(job);
        }
    }

    /// Its turn has come: the worker may be running it from now on.
    fn start_clock(&mut self, id: JobId) {
        let Some(job) = self.jobs.get_mut(&id) else {
            return;
        };
        if job.since.is_some() {
            return;
        }
        job.since = Some(self.now);
        if job.ending.is_some() {
            return self.await_end(id);
        }
        let terms = job.terms;
        let usual = match &self.usual {
            Some(usual) => usual.limit(),
            None => None,
        };
        if let Some(timeout) = terms.timeout.or(usual) {
            self.timers.set(Timer::Limit(id), self.now + timeout);
        }
        if terms.weighed {
            self.timers.set(Timer::Weigh(id), self.now + BETWEEN_LOOKS);
        }
    }

    /// A worker has fewer jobs than before: the next ones have their turn.
    pub(super) fn turn_over(&mut self, id: WorkerId) {
        loop {
            let Some(worker) = self.workers.get_mut(&id) else {
                return;
            };
            if worker.jobs.is_empty() {
                self.empty(id);
                break;
            }
            let Some(job) = worker.next_turn() else {
                break;
            };
            self.start_clock(job);
        }
        self.wear(id);
        self.rerank_later(id);
    }

    /// Asks for no more than there are free slots: what comes back beside that would be
    /// sent ahead to somebody else, for every slot that becomes free at the end.
    fn recall(&mut self) {
        if self.free == 0 || self.jobs.len() <= 1 {
            return;
        }
        let Some(&(_, id)) = self.victims.last() else {
            return;
        };
        if self.now > self.asked_at + UNANSWERED {
            self.asked = 0;
        }
        let wanted = self.free.saturating_sub(self.asked);
        let Some(worker) = self.workers.get_mut(&id).filter(|_| wanted > 0) else {
            return;
        };
        let mut jobs = worker.waiting_behind_long();
        if worker.slots > 1 {
            // It goes on with the others beside the long one; the last ones would have waited longest.
            jobs.drain(..jobs.len().saturating_sub(wanted));
        }
        worker.recalls += 1;
        worker.asked += jobs.len();
        self.asked += jobs.len();
        self.asked_at = self.now;
        self.rerank(id);
        self.actions.push_back(Action::Recall { worker: id, jobs });
    }

    /// Some of an agent's jobs are known to be long: if from now on none ends for a while, others
    /// are not to wait for them there.
    pub(super) fn watch_agent(&mut self, id: WorkerId) {
        let timer = Timer::Stuck(id);
        if let Some(worker) = self.workers.get_mut(&id)
            && worker.life == Life::Ready
            && worker.slots > 1
            && !self.timers.is_set(timer)
        {
            worker.moved = false;
            self.timers.set(timer, self.now + worker.patience());
        }
    }

    /// A worker's job has been running for a while, if it has not ended since, or all have that
    /// run where there are several slots: nothing is to wait for them there.
    pub(super) fn on_stuck(&mut self, id: WorkerId) {
        let Some(worker) = self.workers.get_mut(&id) else {
            return;
        };
        let alone = worker.slots == 1;
        if !alone && worker.moved {
            if worker.is_overfull() {
                self.watch_agent(id);
            }
            return;
        }
        if alone && worker.long.is_none() {
            return;
        }
        worker.stuck = true;
        self.recall_stuck(id);
    }

    /// Asks a worker for all that waits there, if nothing is to. One that has been asked for
    /// some of it has to answer first.
    pub(super) fn recall_stuck(&mut self, id: WorkerId) {
        let Some(worker) = self
            .workers
            .get_mut(&id)
            .filter(|w| w.stuck && w.life == Life::Ready)
        else {
            return;
        };
        let jobs = match worker.slots {
            1 => worker.waiting_behind_long(),
            _ if worker.recalls > 0 || worker.keeps => Vec::new(),
            _ => worker.not_started(),
        };
        if !jobs.is_empty() {
            worker.recalls += 1;
            self.actions.push_back(Action::Recall { worker: id, jobs });
        }
        self.rerank(id);
    }

    /// Asks every worker for the jobs whose turn has not come.
    pub(super) fn recall_all(&mut self) {
        let mut ids: Vec<WorkerId> = self.workers.keys().collect();
        ids.sort_unstable();
        for id in ids {
            let Some(worker) = self.workers.get_mut(&id) else {
                continue;
            };
            let jobs = worker.not_started();
            if !jobs.is_empty() && worker.listened_to() {
                worker.recalls += 1;
                self.rerank(id);
                self.actions.push_back(Action::Recall { worker: id, jobs });
            }
        }
    }
}
