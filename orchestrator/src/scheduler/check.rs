//! One assertion of everything that must fit together.

use protocol::JobId;

use super::core::{Phase, Scheduler};
use super::job::Place;
use super::timer::Timer;
use super::worker::{Door, Life, Worker};

impl Scheduler {
    /// Asserts every cross-reference. Run after every turn in tests and debug
    /// builds.
    pub(crate) fn check(&self) {
        let held = self.check_workers();
        self.check_queue(held);
        self.check_timers();
        self.check_deadlines();
    }

    /// How many jobs workers hold.
    fn check_workers(&self) -> usize {
        let mut held = 0;
        for (&id, worker) in &self.workers {
            held += worker.jobs.len();
            for &(job, attempt) in &worker.jobs {
                let known = self.jobs.get(&job).map(|j| (j.place, j.attempt));
                assert_eq!(known, Some((Place::Sent(id), attempt)), "job {job}");
            }
            let rank = worker.rank_now(id, self.config.ahead);
            assert_eq!(worker.rank, rank, "worker {id} is ranked wrongly");
            let seat = &self.seats[worker.seat];
            assert_eq!(seat.worker, Some(id), "worker {id} is in nobody's seat");
            if let Some(long) = worker.long {
                let here = worker.jobs.iter().any(|&(job, _)| job == long);
                assert!(
                    here || self.phase != Phase::Open,
                    "long job {long} is elsewhere"
                );
            }
            let suspects = worker.jobs.iter().filter(|(job, _)| self.is_suspect(*job));
            match (worker.door, suspects.count()) {
                (Door::Alone, suspects) => {
                    assert_eq!((suspects, worker.jobs.len()), (1, 1), "worker {id}");
                }
                (_, suspects) => assert_eq!(suspects, 0, "worker {id} has a suspect"),
            }
            let reserved = worker.door == Door::Reserved;
            assert_eq!(reserved, self.reserved == Some(id), "worker {id}");
        }
        if let Some(id) = self.reserved {
            assert!(self.workers.contains_key(&id), "worker {id} is reserved");
        }
        let ranked = self.workers.values().filter(|w| w.rank.is_some()).count();
        assert_eq!(self.ranks.len(), ranked, "ranks of workers that are gone");
        let ready = |w: &&Worker| w.life == Life::Ready;
        assert_eq!(self.ready, self.workers.values().filter(ready).count());
        held
    }

    fn is_suspect(&self, job: JobId) -> bool {
        self.jobs.get(&job).is_some_and(|job| job.is_suspect())
    }

    fn check_queue(&self, held: usize) {
        let mut queued: Vec<JobId> = self.queue.iter().collect();
        let waiting = |place| place == Place::Waiting;
        let waiting = self.jobs.values().filter(|j| waiting(j.place)).count();
        assert_eq!(
            held + queued.len() + waiting,
            self.jobs.len(),
            "a job is nowhere, or twice"
        );
        let suspects: Vec<JobId> = self.queue.suspects().collect();
        let all = queued.len();
        queued.sort_unstable();
        queued.dedup();
        assert_eq!(queued.len(), all, "a job is queued twice");
        for job in queued {
            let place = self.jobs.get(&job).map(|j| j.place);
            assert_eq!(place, Some(Place::Queued), "job {job} is queued");
            let apart = suspects.contains(&job);
            assert_eq!(self.is_suspect(job), apart, "job {job} waits wrongly");
        }
        if self.withdrawn {
            assert!(self.queue.is_empty() && waiting == 0, "a job would start");
        }
    }

    /// No timer is left over.
    fn check_timers(&self) {
        for timer in self.timers.iter() {
            match timer {
                Timer::Start(worker) | Timer::End(worker) => {
                    let killed = self.workers[&worker].killed;
                    assert!(!killed, "{timer:?}");
                }
                Timer::Reap(worker) => assert!(self.workers[&worker].killed, "{timer:?}"),
                Timer::Respawn(seat) => assert_eq!(self.seats[seat].worker, None, "{timer:?}"),
                Timer::Starved => assert_eq!(self.ready, 0, "{timer:?}"),
                Timer::Limit(job) => {
                    let job = &self.jobs[&job];
                    assert!(job.ending.is_none() && job.since.is_some(), "{timer:?}");
                }
                Timer::Cancel(job) => assert!(self.jobs[&job].ending.is_some(), "{timer:?}"),
                Timer::Retry(job) => assert_eq!(self.jobs[&job].place, Place::Waiting),
            }
        }
    }

    /// Nothing waits for ever: whatever is awaited has a deadline.
    fn check_deadlines(&self) {
        let must = |timer| assert!(self.timers.is_set(timer), "no {timer:?}");
        for (&id, worker) in &self.workers {
            match worker.life {
                _ if worker.killed => must(Timer::Reap(id)),
                Life::Starting => must(Timer::Start(id)),
                Life::Ending | Life::Dying => must(Timer::End(id)),
                Life::Ready => {}
            }
            for (job, _) in worker.at_work() {
                let at_work = &self.jobs[job];
                assert!(at_work.since.is_some(), "job {job} has its turn");
                match (at_work.ending, at_work.terms.timeout) {
                    _ if worker.killed => {}
                    (Some(_), _) => must(Timer::Cancel(*job)),
                    (None, Some(_)) => must(Timer::Limit(*job)),
                    (None, None) => {}
                }
            }
        }
        for (&id, job) in &self.jobs {
            if job.place == Place::Waiting {
                must(Timer::Retry(id));
            }
        }
        for (number, seat) in self.seats.iter().enumerate() {
            let works = matches!(self.phase, Phase::Open | Phase::Draining);
            if works && seat.worker.is_none() {
                must(Timer::Respawn(number));
            }
        }
    }
}
