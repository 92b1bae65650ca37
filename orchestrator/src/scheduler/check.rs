//! One assertion of everything that must fit together.

use protocol::JobId;

use super::core::{Phase, Scheduler};
use super::job::Place;
use super::timer::Timer;
use super::worker::{Life, Worker};

impl Scheduler {
    /// Asserts every cross-reference. Run after every turn in tests and debug
    /// builds.
    pub(crate) fn check(&self) {
        let mut held = 0;
        for (&id, worker) in &self.workers {
            held += worker.jobs.len();
            for &(job, attempt) in &worker.jobs {
                let known = self.jobs.get(&job).map(|j| (j.place, j.attempt));
                assert_eq!(known, Some((Place::Sent(id), attempt)), "job {job}");
            }
            assert_eq!(
                worker.rank,
                worker.rank_now(id, self.config.ahead),
                "worker {id} is ranked wrongly"
            );
            assert_eq!(
                self.seats[worker.seat].worker,
                Some(id),
                "worker {id} is in nobody's seat"
            );
            if let Some(long) = worker.long {
                let here = worker.jobs.iter().any(|&(job, _)| job == long);
                assert!(
                    here || self.phase != Phase::Open,
                    "long job {long} is elsewhere"
                );
            }
        }
        let ranked = self.workers.values().filter(|w| w.rank.is_some()).count();
        assert_eq!(self.ranks.len(), ranked, "ranks of workers that are gone");
        let ready = |w: &&Worker| w.life == Life::Ready;
        assert_eq!(self.ready, self.workers.values().filter(ready).count());
        let mut queued: Vec<JobId> = self.queue.iter().collect();
        assert_eq!(
            held + queued.len(),
            self.jobs.len(),
            "a job is nowhere, or twice"
        );
        queued.sort_unstable();
        queued.dedup();
        assert_eq!(queued.len(), self.queue.len(), "a job is queued twice");
        for job in queued {
            let place = self.jobs.get(&job).map(|j| j.place);
            assert_eq!(place, Some(Place::Queued), "job {job} is queued");
        }
        for timer in self.timers.iter() {
            match timer {
                Timer::Start(worker) | Timer::End(worker) => {
                    assert!(self.workers.contains_key(&worker), "{timer:?}");
                }
                Timer::Respawn(seat) => assert_eq!(self.seats[seat].worker, None, "{timer:?}"),
                Timer::Cancel(job) => assert!(self.jobs[&job].cancelled, "{timer:?}"),
            }
        }
        // Nothing waits for ever: a starting or ending worker has a deadline.
        for (&id, worker) in &self.workers {
            let deadline = match worker.life {
                Life::Starting => Some(Timer::Start(id)),
                Life::Ending => Some(Timer::End(id)),
                Life::Ready | Life::Dying => None,
            };
            if let Some(timer) = deadline {
                assert!(self.timers.iter().any(|t| t == timer), "no {timer:?}");
            }
        }
    }
}
