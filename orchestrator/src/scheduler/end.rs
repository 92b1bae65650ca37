//! How it ends: in good order, by being asked, by being told, or because no
//! worker can be kept alive. Each is a ladder whose steps have deadlines.

use protocol::{JobId, WorkerId};

use super::Verdict;
use super::core::{Phase, Scheduler};
use super::input::Action;
use super::job::{Ending, Place};
use super::queue::Queue;
use super::worker::{Door, Life};

impl Scheduler {
    /// Jobs that have not started end here, and there are no further attempts.
    pub(super) fn withdraw(&mut self) {
        self.withdraw_waiting();
        self.recall_all();
    }

    fn withdraw_waiting(&mut self) {
        self.withdrawn = true;
        for id in self.job_ids() {
            let Some(job) = self.jobs.get_mut(&id) else {
                continue;
            };
            job.withdrawn = true;
            match job.place {
                Place::Queued | Place::Waiting => {
                    let verdict = job.last.unwrap_or(Verdict::Interrupted);
                    self.conclude(id, verdict, None);
                }
                Place::Sent(_) => {}
            }
        }
        self.queue = Queue::default();
    }

    /// Every job is asked to end; what they still say counts.
    pub(super) fn interrupt(&mut self) {
        match self.phase {
            Phase::Open | Phase::Draining => self.phase = Phase::Draining,
            Phase::Stopping | Phase::Over => return,
        }
        self.paused = false;
        self.withdraw_waiting();
        for id in self.job_ids() {
            self.end_job(id, Ending::Interrupted);
        }
    }

    /// No worker can be kept alive.
    pub(super) fn break_down(&mut self) {
        match self.phase {
            Phase::Open | Phase::Draining => {
                self.actions.push_back(Action::Broken);
                self.stop(Verdict::Lost);
            }
            Phase::Stopping | Phase::Over => {}
        }
    }

    /// Every job gets this verdict, every worker is told to end.
    pub(super) fn stop(&mut self, verdict: Verdict) {
        match self.phase {
            Phase::Open | Phase::Draining => {}
            Phase::Stopping | Phase::Over => return,
        }
        self.end_all_jobs(verdict);
        for id in self.worker_ids() {
            if self.workers[&id].life != Life::Dying {
                self.end_worker(id, Life::Dying);
            }
        }
    }

    /// The last step of the ladder, whatever was the one before.
    pub(super) fn kill_all(&mut self) {
        match self.phase {
            Phase::Open | Phase::Draining => self.end_all_jobs(Verdict::Interrupted),
            Phase::Stopping => {}
            Phase::Over => return,
        }
        for id in self.worker_ids() {
            self.kill(id);
        }
    }

    fn end_all_jobs(&mut self, verdict: Verdict) {
        self.phase = Phase::Stopping;
        self.paused = false;
        self.queue = Queue::default();
        for id in self.job_ids() {
            let job = &self.jobs[&id];
            let verdict = job.judged(verdict);
            let worker = match job.place {
                // What lies behind another job has not begun.
                Place::Sent(worker) if job.since.is_some() => Some(worker),
                _ => None,
            };
            self.conclude(id, verdict, worker);
        }
        for worker in self.workers.values_mut() {
            worker.jobs.clear();
            worker.begun = 0;
            if worker.door != Door::Reserved {
                worker.door = Door::Open;
            }
        }
        for seat in &mut self.seats {
            seat.before = None;
        }
    }

    /// In the order of their submission.
    fn job_ids(&self) -> Vec<JobId> {
        let mut ids: Vec<JobId> = self.jobs.keys().collect();
        ids.sort_unstable();
        ids
    }

    pub(super) fn worker_ids(&self) -> Vec<WorkerId> {
        let mut ids: Vec<WorkerId> = self.workers.keys().collect();
        ids.sort_unstable();
        ids
    }

    pub(super) fn end_when_done(&mut self) {
        if self.phase == Phase::Draining && self.jobs.is_empty() {
            self.phase = Phase::Stopping;
            for id in self.worker_ids() {
                match &self.workers[&id] {
                    worker if worker.life == Life::Dying => {}
                    // Was told so.
                    worker if worker.life == Life::Ending && worker.leaving => {}
                    _ => self.end_worker(id, Life::Ending),
                }
            }
        }
        if self.phase == Phase::Stopping && self.workers.is_empty() {
            self.phase = Phase::Over;
            self.actions.push_back(Action::Ended);
        }
    }
}
