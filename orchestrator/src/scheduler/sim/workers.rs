//! Workers that do what they are told, or whatever else real ones may do.

use std::collections::{HashSet, VecDeque};
use std::time::Duration;

use protocol::{Attempt, JobId, Outcome, WorkerId};

use super::{Event, FakeWorker, MS, SAYS_STARTED, World};
use crate::scheduler::{Blame, Input, Size};

impl World {
    pub(super) fn spawn(&mut self, id: WorkerId) {
        let faults = self.faults;
        let worker = FakeWorker {
            ready: false,
            has_status_page: !self.random.percent(faults.no_status_page),
            hangs_at_end: self.random.percent(faults.hang_at_end),
            undead: self.random.percent(faults.undead),
            broken: self.random.percent(faults.black_hole),
            queue: VecDeque::new(),
            running: None,
            cancelled: HashSet::new(),
            sent: HashSet::new(),
            begun: 0,
            draining: false,
            doomed: false,
            killed: false,
        };
        self.workers.insert(id, worker);
        self.spawned += 1;
        let after = Duration::from_micros(500 + self.random.below(5_000));
        if self.random.percent(faults.refuse_start) {
            self.at(Duration::ZERO, Event::Refused(id));
        } else if self.random.percent(faults.die_at_start) {
            self.at(after, Event::Died(id));
        } else if !self.random.percent(faults.hang_at_start) {
            self.at(after, Event::Ready(id));
        }
    }

    pub(super) fn sent(&mut self, id: WorkerId, job: JobId, attempt: Attempt) {
        assert!(self.paused_at.is_none(), "job {job} is sent in a pause");
        assert!(!self.withdrawn, "job {job} is sent though it is not wanted");
        self.pass_gate(job);
        self.nobody_lies_behind_a_long_one(id, job);
        let Some(worker) = self.workers.get_mut(&id) else {
            return;
        };
        assert!(worker.ready, "a job for worker {id}, which is not ready");
        let dangerous = |job: &JobId| self.crashes.contains_key(job);
        for (other, _) in worker.running.iter().chain(&worker.queue) {
            let alone = dangerous(other) || dangerous(&job);
            assert!(!alone, "job {job} is beside job {other}");
        }
        worker.queue.push_back((job, attempt));
        worker.sent.insert(job);
        assert!(!worker.draining, "a job for worker {id}, which is to end");
        let most = self.config.max_jobs_per_worker.unwrap_or(u64::MAX);
        let all = worker.begun + worker.queue.len() as u64;
        assert!(all <= most, "worker {id} gets {all} jobs");
        self.run_next(id);
        self.count_busy();
    }

    fn run_next(&mut self, id: WorkerId) {
        let seen = self.seen();
        let Some(worker) = self.workers.get_mut(&id) else {
            return;
        };
        if worker.running.is_some() || worker.killed {
            return;
        }
        let Some((job, attempt)) = worker.queue.pop_front() else {
            return;
        };
        worker.running = Some((job, attempt));
        worker.begun += 1;
        let broken = worker.broken;
        let starts = self.starts.entry(job).or_default();
        *starts += 1;
        if *starts == 1 {
            self.order.push(job);
        }
        self.began.insert(job, seen);
        let plan = self.plans[&job];
        if plan.takes > SAYS_STARTED || plan.hangs {
            self.at(SAYS_STARTED, Event::SaysStarted(id, job, attempt));
        }
        if plan.poison || self.random.percent(self.faults.die_in_job) {
            self.at(plan.takes, Event::Died(id));
            return;
        }
        if !plan.hangs {
            let takes = if broken { MS / 100 } else { plan.takes };
            self.at(takes, Event::Finished(id, job, attempt));
        }
    }

    pub(super) fn cancel(&mut self, id: WorkerId, held: (JobId, Attempt), overdue: bool) {
        let (job, attempt) = held;
        if overdue {
            let limit = self.plans[&job].terms.timeout;
            let limit = limit.expect("a job without a limit is overdue");
            // It has begun on this worker, or the worker never got so far.
            if let Some(began) = self.began.get(&job) {
                assert!(self.seen() >= *began + limit, "job {job} has time left");
            }
        }
        let Some(worker) = self.workers.get_mut(&id) else {
            return;
        };
        worker.cancelled.insert(held);
        if let Some(at) = worker.queue.iter().position(|&queued| queued == held) {
            worker.queue.remove(at);
            self.done(id, job, attempt, Outcome::Cancelled);
            self.end_when_drained(id);
        } else if worker.running == Some(held) && !self.plans[&job].deaf {
            self.at(Duration::ZERO, Event::Finished(id, job, attempt));
        }
    }

    pub(super) fn recall(&mut self, worker: WorkerId, jobs: Vec<(JobId, Attempt)>) {
        let Some(w) = self.workers.get_mut(&worker) else {
            return;
        };
        let mut given = Vec::new();
        for job in jobs {
            if let Some(at) = w.queue.iter().position(|&held| held == job) {
                w.queue.remove(at);
                given.push(job);
            }
        }
        if self.random.percent(self.faults.recall_lies) {
            // Twice the same, and one that it never had.
            given.extend(given.first().copied());
            given.push((JobId(1), Attempt(1)));
            w.doomed = true;
        }
        self.later(Input::Recalled {
            worker,
            jobs: given,
        });
        self.end_when_drained(worker);
    }

    pub(super) fn drain(&mut self, worker: WorkerId) {
        if let Some(w) = self.workers.get_mut(&worker) {
            assert!(!w.draining, "worker {worker} is told twice");
            w.draining = true;
        }
        self.end_when_drained(worker);
    }

    fn end_when_drained(&mut self, worker: WorkerId) {
        let done = |w: &FakeWorker| w.draining && w.running.is_none() && w.queue.is_empty();
        if self.workers.get(&worker).is_some_and(done) {
            self.end(worker);
        }
    }

    pub(super) fn end(&mut self, worker: WorkerId) {
        if let Some(w) = self.workers.get(&worker)
            && !w.hangs_at_end
        {
            self.at(MS, Event::Died(worker));
        }
    }

    pub(super) fn kill(&mut self, worker: WorkerId) {
        let Some(w) = self.workers.get_mut(&worker) else {
            return;
        };
        assert!(!w.killed, "worker {worker} is killed twice");
        (w.doomed, w.killed) = (true, true);
        if w.undead {
            self.at(1_000 * MS, Event::Died(worker));
        } else {
            self.at(MS, Event::Died(worker));
        }
    }

    fn done(&mut self, worker: WorkerId, job: JobId, attempt: Attempt, outcome: Outcome) {
        let took = self.plans[&job].takes;
        let rss = 1 + u64::from(self.random.percent(self.faults.swell));
        let size = Size { rss, files: 0 };
        self.later(Input::Done {
            worker,
            job,
            attempt,
            outcome,
            took,
            size,
        });
    }

    pub(super) fn finished(&mut self, id: WorkerId, job: JobId, attempt: Attempt) {
        let faults = self.faults;
        let Some(worker) = self.workers.get_mut(&id) else {
            return;
        };
        if worker.running != Some((job, attempt)) || worker.killed {
            return;
        }
        worker.running = None;
        let plan = self.plans[&job];
        // One that has made room comes back as the same attempt.
        let outcome = if worker.cancelled.remove(&(job, attempt)) && !plan.deaf {
            Outcome::Cancelled
        } else if worker.broken || self.starts[&job] <= plan.failures {
            Outcome::Failed(1)
        } else {
            Outcome::Ok
        };
        if self.random.percent(faults.garbage) {
            worker.running = Some((job, attempt));
            self.tell(Input::Violation { worker: id });
            return;
        }
        if self.random.percent(faults.close_channel) {
            worker.running = Some((job, attempt));
            worker.doomed = true;
            self.tell(Input::Leaving { worker: id });
            self.tell(Input::Closed { worker: id });
            return;
        }
        if self.random.percent(faults.recall_lies) {
            // Nobody asked, or not for this.
            worker.running = Some((job, attempt));
            worker.doomed = true;
            self.later(Input::Recalled {
                worker: id,
                jobs: vec![(job, attempt), (job, attempt)],
            });
            self.tell(Input::Tick);
            return;
        }
        if self.random.percent(faults.wrong_job) {
            worker.running = Some((job, attempt));
            let other = Attempt(attempt.0 + self.random.below(2) as u32 + 1);
            self.done(id, job, other, Outcome::Ok);
            self.tell(Input::Tick);
            return;
        }
        self.done(id, job, attempt, outcome);
        if self.random.percent(faults.answer_twice) {
            self.done(id, job, attempt, outcome);
        }
        self.tell(Input::Tick);
        self.run_next(id);
        self.end_when_drained(id);
        let idle = |w: &FakeWorker| w.running.is_none() && w.queue.is_empty();
        if self.workers.get(&id).is_some_and(idle) && self.random.percent(faults.die_idle) {
            self.at(Duration::ZERO, Event::Died(id));
        }
    }

    pub(super) fn died(&mut self, id: WorkerId) {
        let Some(worker) = self.workers.remove(&id) else {
            return;
        };
        // Without a status page the oldest unanswered job is the running one,
        // since this worker answers at once.
        let blame = match worker.running {
            Some((job, attempt)) if worker.has_status_page => {
                self.caught.insert(job);
                Blame::Job(job, attempt)
            }
            None if worker.has_status_page => Blame::Nobody,
            // Its last answers were not listened to, so the oldest unanswered
            // job may be any that it had.
            _ if worker.doomed => {
                self.caught.extend(worker.sent);
                Blame::Oldest
            }
            running => {
                let oldest = running.or(worker.queue.front().copied());
                self.caught.extend(oldest.map(|(job, _)| job));
                Blame::Oldest
            }
        };
        self.tell(Input::Gone { worker: id, blame });
    }
}
