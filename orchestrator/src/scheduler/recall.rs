//! Jobs that their submitter wants back, as long as they have not started.
//!
//! Each of them comes to an answer soon: a verdict `Interrupted`, or any other if it was
//! faster, or the word that it stays.

use protocol::{Attempt, JobId, WorkerId};

use super::Verdict;
use super::core::Scheduler;
use super::input::Action;
use super::job::Place;

impl Scheduler {
    /// Somebody wants these jobs back. Unknown ones have already ended.
    pub(super) fn give_back(&mut self, jobs: Vec<JobId>) {
        let mut asked: Vec<(WorkerId, Vec<(JobId, Attempt)>)> = Vec::new();
        for id in jobs {
            let Some(job) = self.jobs.get_mut(&id) else {
                continue;
            };
            let untouched = job.last.is_none() && !job.is_suspect() && job.ending.is_none();
            let listens = |worker| self.workers.get(worker).is_some_and(|w| w.listened_to());
            match job.place {
                Place::Queued if untouched => {
                    let priority = job.terms.priority;
                    self.queue.remove(id, priority);
                    self.conclude(id, Verdict::Interrupted, None);
                }
                Place::Sent(worker) if untouched && job.since.is_none() && listens(&worker) => {
                    job.recalled = true;
                    let key = (id, job.attempt);
                    match asked.iter_mut().find(|(who, _)| *who == worker) {
                        Some((_, jobs)) => jobs.push(key),
                        None => asked.push((worker, vec![key])),
                    }
                }
                _ => self.actions.push_back(Action::Kept { job: id }),
            }
        }
        for (id, jobs) in asked {
            if let Some(worker) = self.workers.get_mut(&id) {
                worker.recalls += 1;
            }
            self.rerank(id);
            self.actions.push_back(Action::Recall { worker: id, jobs });
        }
    }

    /// A worker has answered all that it was asked to give back: what it still has
    /// of that, stays.
    pub(super) fn keep_the_rest(&mut self, id: WorkerId) {
        let Some(worker) = self.workers.get(&id).filter(|w| w.recalls == 0) else {
            return;
        };
        for (job, _) in &worker.jobs {
            if let Some(held) = self.jobs.get_mut(job)
                && std::mem::take(&mut held.recalled)
            {
                self.actions.push_back(Action::Kept { job: *job });
            }
        }
    }
}
