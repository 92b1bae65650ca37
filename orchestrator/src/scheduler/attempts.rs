//! What comes after an attempt at a job: another one, at once or behind a pause, or the
//! job's verdict.

use std::time::Duration;

use protocol::{JobId, WorkerId};

use super::Verdict;
use super::core::Scheduler;
use super::input::{Action, Terms};
use super::job::{Ending, Place};
use super::retry::{self, Next};
use super::timer::Timer;

impl Scheduler {
    /// The job waits for its next attempt, at its place in the queue; one that may have killed its
    /// worker, among those that run alone.
    pub(super) fn requeue(&mut self, id: JobId) {
        let Some(job) = self.jobs.get_mut(&id) else {
            return;
        };
        job.place = Place::Queued;
        let priority = job.terms.priority;
        if job.is_suspect() {
            self.queue.push_suspect(id, priority);
        } else {
            self.queue.put_back(id, job);
        }
    }

    /// Puts jobs that came back unharmed to their places in the queue; one whose
    /// end was wanted ends here.
    pub(super) fn take_back(&mut self, jobs: Vec<JobId>) {
        self.come_back(jobs, None);
    }

    /// The same; of what was with an agent that is lost, the number of the attempt is not
    /// used again, since somebody may still have it, and for so long may be at it.
    pub(super) fn come_back(&mut self, jobs: Vec<JobId>, lost: Option<Duration>) {
        for id in jobs {
            self.stop_clock(id);
            let Some(job) = self.jobs.get_mut(&id) else {
                continue;
            };
            if job.makes_room(Verdict::Interrupted) {
                self.put_back(id);
                continue;
            }
            if let Some(ending @ (Ending::TimedOut | Ending::Outgrown)) = job.ending {
                self.attempt_over(id, ending.verdict(), None);
                continue;
            }
            match lost {
                Some(_) => job.lost += 1,
                None => job.come_back(),
            }
            if job.ending.is_some() || job.withdrawn || job.recalled {
                let verdict = job.last.unwrap_or(Verdict::Interrupted);
                let verdict = job.judged(verdict);
                self.conclude(id, verdict, None);
                continue;
            }
            job.since = None;
            if let Some(time) = lost.filter(|time| !time.is_zero()) {
                job.place = Place::Waiting;
                self.timers.set(Timer::Retry(id), self.now + time);
                continue;
            }
            self.requeue(id);
        }
    }

    /// An attempt has ended like this; the job is in no list any more.
    pub(super) fn attempt_over(&mut self, id: JobId, verdict: Verdict, worker: Option<WorkerId>) {
        self.stop_clock(id);
        let Some(job) = self.jobs.get_mut(&id) else {
            return;
        };
        let verdict = job.judged(verdict);
        if job.makes_room(verdict) {
            return self.put_back(id);
        }
        if verdict == Verdict::Crashed {
            job.deaths += 1;
        }
        if let Some(gate) = &mut self.gate {
            gate.ended(verdict == Verdict::Ok);
        }
        match retry::next(&self.config, id, job, verdict) {
            Next::Verdict(verdict) => self.conclude(id, verdict, worker),
            Next::Again(pause) => {
                if job.ending.take().is_some() {
                    self.timers.stop(Timer::Cancel(id));
                }
                if std::mem::take(&mut job.recalled) {
                    self.actions.push_back(Action::Kept { job: id });
                }
                job.place = Place::Waiting;
                job.since = None;
                job.last = Some(verdict);
                self.actions.push_back(Action::Retry {
                    job: id,
                    attempts: job.tries(),
                    verdict,
                    worker,
                    pause,
                });
                // Without a pause it is the next.
                match pause.is_zero() {
                    true => self.requeue(id),
                    false => self.timers.set(Timer::Retry(id), self.now + pause),
                }
            }
        }
    }

    /// The time of a job's attempt does not count any more.
    pub(super) fn stop_clock(&mut self, id: JobId) {
        if let Some(job) = self.jobs.get(&id)
            && job.since.is_some()
        {
            let terms = job.terms;
            self.stop_timers(id, terms);
        }
    }

    fn stop_timers(&mut self, id: JobId, terms: Terms) {
        if terms.timeout.is_some() || self.usual.is_some() {
            self.timers.stop(Timer::Limit(id));
        }
        if terms.weighed {
            self.timers.stop(Timer::Weigh(id));
        }
    }

    /// A job leaves the tables; it must be in no list any more.
    pub(super) fn conclude(&mut self, id: JobId, verdict: Verdict, worker: Option<WorkerId>) {
        let Some(job) = self.jobs.remove(&id) else {
            return;
        };
        if job.since.is_some() {
            self.stop_timers(id, job.terms);
        }
        if job.ending.is_some() {
            self.timers.stop(Timer::Cancel(id));
        }
        if job.place == Place::Waiting {
            self.timers.stop(Timer::Retry(id));
        }
        self.verdict(id, verdict, worker, job.tries());
    }

    pub(super) fn verdict(
        &mut self,
        job: JobId,
        verdict: Verdict,
        worker: Option<WorkerId>,
        attempts: u32,
    ) {
        self.unseen += 1;
        self.actions.push_back(Action::Verdict {
            job,
            verdict,
            worker,
            attempts,
        });
    }
}
