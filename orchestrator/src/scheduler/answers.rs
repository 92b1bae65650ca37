//! What workers say of the jobs that they hold: that one runs for long, has ended, or is
//! given back.

use std::time::Duration;

use protocol::{Attempt, JobId, Outcome, WorkerId};

use super::Verdict;
use super::core::{Phase, Scheduler};
use super::timer::Timer;
use super::worker::{Life, Worker};

impl Scheduler {
    pub(super) fn on_started(&mut self, id: WorkerId, job: JobId, attempt: Attempt) {
        // It may have ended in the meantime.
        if !self.expects(id, job, attempt) {
            return;
        }
        if let Some(worker) = self.workers.get_mut(&id) {
            worker.long = Some(job);
            let alone = worker.slots == 1;
            worker.stuck &= !alone;
            if alone && worker.life == Life::Ready {
                let patience = worker.patience();
                self.timers.set(Timer::Stuck(id), self.now + patience);
            }
            // With more slots the next job starts beside a long one, unless all of them are.
            self.watch_agent(id);
            self.rerank(id);
        }
    }

    /// [`Input::Done`] for a job that has ended well: what happens most goes the
    /// shortest way. Whether it can be true. What follows for its worker is seen to when all ends
    /// that came together have been taken in.
    pub(crate) fn done_well(
        &mut self,
        now: Duration,
        id: WorkerId,
        (job, attempt): (JobId, Attempt),
        took: Duration,
    ) -> bool {
        if self.unsettled != Some(id) {
            self.settle();
        }
        self.now = self.now.max(now);
        let Some(worker) = self.released(id, (job, attempt), took) else {
            return false;
        };
        worker.streak.failures = 0;
        worker.useful = true;
        worker.left = worker.left.saturating_sub(1);
        let seat = worker.seat;
        self.seats[seat].thrive();
        self.deaths = 0;
        if let Some(gate) = &mut self.gate {
            gate.ended(true);
        }
        self.tally.succeeded += 1;
        self.took(took);
        self.unsettled = Some(id);
        self.conclude(job, Verdict::Ok, Some(id));
        if self.phase != Phase::Open {
            // This may have been the last one: first the worker, then the end.
            self.settle();
            self.end_when_done();
        }
        true
    }

    /// Takes an attempt that is over from its worker, if it can be true.
    fn released(
        &mut self,
        id: WorkerId,
        (job, attempt): (JobId, Attempt),
        took: Duration,
    ) -> Option<&mut Worker> {
        let worker = self.workers.get_mut(&id)?;
        if !worker.listened_to() {
            return None;
        }
        if !worker.release(job, attempt) {
            // Another job's answer, or the same one twice: the first stands.
            self.settle();
            self.kill(id);
            return None;
        }
        let worker = self.workers.get_mut(&id)?;
        worker.estimate.record(took);
        Some(worker)
    }

    /// Notes whose turn it is at a worker whose jobs have ended.
    pub(super) fn settle(&mut self) {
        if let Some(id) = self.unsettled.take() {
            self.turn_over(id);
        }
    }

    pub(super) fn on_done(
        &mut self,
        id: WorkerId,
        (job, attempt): (JobId, Attempt),
        outcome: Outcome,
        took: Duration,
    ) {
        let Some(worker) = self.released(id, (job, attempt), took) else {
            return;
        };
        if outcome == Outcome::Lost {
            // Only agents say so: they could keep no worker.
            if self.goes_on_elsewhere(job, id) {
                self.come_back(vec![job], Some(Duration::ZERO));
            }
            return self.turn_over(id);
        }
        worker.useful = true;
        let seat = worker.seat;
        self.seats[seat].thrive();
        self.deaths = 0;
        self.count(id, outcome);
        if outcome == Outcome::Ok {
            self.took(took);
        }
        if outcome == Outcome::Cancelled
            && let Some(job) = self.jobs.get_mut(&job)
            && job.since.is_none()
        {
            // Its turn had not come.
            job.come_back();
        } else if let Some(worker) = self.workers.get_mut(&id) {
            worker.left = worker.left.saturating_sub(1);
        }
        self.attempt_over(job, outcome.into(), Some(id));
        self.turn_over(id);
    }

    pub(super) fn on_recalled(&mut self, id: WorkerId, jobs: Vec<(JobId, Attempt)>) {
        let Some(worker) = self.workers.get_mut(&id) else {
            return;
        };
        if !worker.listened_to() {
            return;
        }
        let asked = worker.recalls > 0;
        worker.recalls = worker.recalls.saturating_sub(1);
        let named = jobs.len();
        let mut back = Vec::with_capacity(named);
        if worker.recalls == 0 {
            self.asked = self.asked.saturating_sub(std::mem::take(&mut worker.asked));
        }
        // From behind: that is where they are.
        for (job, attempt) in jobs.into_iter().rev() {
            if asked && worker.take_back(job, attempt) {
                back.push(job);
            }
        }
        back.reverse();
        worker.keeps = named == 0;
        let honest = asked && back.len() == named;
        self.take_back(back);
        self.keep_the_rest(id);
        self.turn_over(id);
        match honest {
            true => self.recall_stuck(id),
            false => self.kill(id),
        }
    }
}
