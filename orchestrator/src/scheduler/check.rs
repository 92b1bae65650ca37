//! One assertion of everything that must fit together.

use protocol::{JobId, WorkerId};

use super::core::{Phase, Scheduler};
use super::job::Place;
use super::timer::Timer;
use super::worker::{Door, Life, Worker};

impl Scheduler {
    /// Asserts every cross-reference. Run after every turn in tests and debug
    /// builds.
    pub(crate) fn check(&self) {
        let held = self.check_workers();
        self.check_seats();
        self.check_queue(held);
        self.check_timers();
        self.check_deadlines();
    }

    /// How many things are remembered.
    #[cfg(test)]
    pub(crate) fn size(&self) -> usize {
        let held: usize = self.workers.values().map(|worker| worker.jobs.len()).sum();
        let workers = self.workers.len() + self.ranks.len() + self.victims.len();
        let timers = self.timers.iter().count();
        self.jobs.len() + self.queue.waits() + held + workers + timers + self.actions.len()
    }

    /// How many jobs workers hold.
    fn check_workers(&self) -> usize {
        let mut held = 0;
        for (id, worker) in self.workers.iter() {
            held += worker.jobs.len();
            for &(job, attempt) in &worker.jobs {
                let known = self.jobs.get(&job).map(|j| (j.place, j.attempt));
                assert_eq!(known, Some((Place::Sent(id), attempt)), "job {job}");
            }
            let turns = worker.jobs.len().min(worker.slots);
            if self.unsettled == Some(id) {
                // It is about to be seen to.
            } else if worker.is_stale {
                assert!(self.stale.contains(&id), "worker {id} is forgotten");
            } else {
                let rank = worker.rank_now(id, self.config.ahead);
                assert_eq!(worker.rank, rank, "worker {id} is ranked wrongly");
                let loot = worker.waiting_behind_long().len();
                assert_eq!(worker.loot.unwrap_or(0), loot, "worker {id}");
            }
            let settled = self.unsettled != Some(id);
            assert!(!settled || worker.begun == turns, "turns at worker {id}");
            self.check_seat(id, worker);
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
        let free = self.workers.values().map(|w| w.free(w.rank));
        assert_eq!(self.free, free.sum::<usize>(), "free slots");
        let victims = self.workers.values().filter(|w| w.loot.is_some()).count();
        assert_eq!(self.victims.len(), victims, "victims that are gone");
        let ready = |w: &&Worker| w.life == Life::Ready;
        assert_eq!(self.ready, self.workers.values().filter(ready).count());
        held
    }

    /// A seat is room for the jobs of one.
    fn check_seat(&self, id: WorkerId, worker: &Worker) {
        let seat = &self.seats[worker.seat];
        let sits = seat.worker == Some(id);
        assert_eq!(sits, worker.seated, "worker {id} is in nobody's seat");
        let waits = worker.seated && seat.before.is_some();
        assert_eq!(worker.door == Door::Waiting, waits, "worker {id}");
        assert!(
            !waits || worker.jobs.is_empty(),
            "worker {id} is one too many"
        );
        let goes_with_jobs = !worker.seated && !worker.jobs.is_empty();
        assert_eq!(seat.before == Some(id), goes_with_jobs, "worker {id}");
        if worker.leaving {
            let empty = worker.life == Life::Ready && worker.jobs.is_empty();
            assert!(!worker.seated && !empty, "worker {id} does not go");
        }
        if seat.closed {
            let goes = matches!(worker.life, Life::Ending | Life::Dying);
            assert!(!sits || goes, "worker {id} stays");
        }
        let too_much = worker.jobs.len() as u64 > worker.left;
        assert!(!too_much, "worker {id} has more jobs than it may do");
        let last = worker.jobs.len() as u64 == worker.left && worker.jobs.len() <= worker.slots;
        assert!(!last || !worker.stays(), "worker {id} is worn out");
    }

    fn check_seats(&self) {
        let open = self.seats.iter().filter(|seat| !seat.closed).count();
        assert_eq!(open, self.config.workers, "seats");
        for seat in &self.seats {
            for id in [seat.worker, seat.before].into_iter().flatten() {
                assert!(self.workers.contains_key(&id), "worker {id} is gone");
            }
        }
        for &number in &self.asleep {
            let seat = &self.seats[number];
            assert!(seat.worker.is_none() && !seat.closed, "seat {number}");
            let restarts = self.timers.is_set(Timer::Respawn(number));
            assert!(!restarts, "seat {number} is not asleep");
        }
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
                Timer::Idle(worker) | Timer::Stuck(worker) => {
                    assert_eq!(self.workers[&worker].life, Life::Ready, "{timer:?}");
                }
                Timer::Respawn(seat) => assert_eq!(self.seats[seat].worker, None, "{timer:?}"),
                Timer::Starved => assert_eq!(self.ready, 0, "{timer:?}"),
                Timer::Limit(job) | Timer::Weigh(job) => {
                    let job = &self.jobs[&job];
                    assert!(job.ending.is_none() && job.since.is_some(), "{timer:?}");
                }
                Timer::Gate => assert!(self.gate.is_some()),
                Timer::Cancel(job) => assert!(self.jobs[&job].ending.is_some(), "{timer:?}"),
                Timer::Retry(job) => assert_eq!(self.jobs[&job].place, Place::Waiting),
            }
        }
    }

    /// Nothing waits for ever: whatever is awaited has a deadline.
    fn check_deadlines(&self) {
        let must = |timer| assert!(self.timers.is_set(timer), "no {timer:?}");
        for (id, worker) in self.workers.iter() {
            match worker.life {
                _ if worker.killed => must(Timer::Reap(id)),
                // Whoever dials an agent has that deadline.
                Life::Starting if worker.is_agent => {}
                Life::Starting => must(Timer::Start(id)),
                Life::Ending | Life::Dying => must(Timer::End(id)),
                Life::Ready if worker.is_idle() && self.config.idle_timeout.is_some() => {
                    must(Timer::Idle(id));
                }
                Life::Ready => {}
            }
            let all_may_be_long = worker.long.is_some() && !worker.moved && !worker.stuck;
            if worker.slots > 1 && worker.is_overfull() && all_may_be_long {
                assert!(
                    worker.life != Life::Ready || self.timers.is_set(Timer::Stuck(id)),
                    "what waits at worker {id} waits for ever"
                );
            }
            if self.unsettled == Some(id) {
                continue;
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
        for (id, job) in self.jobs.iter() {
            if job.place == Place::Waiting {
                must(Timer::Retry(id));
            }
        }
        for (number, seat) in self.seats.iter().enumerate() {
            let works = matches!(self.phase, Phase::Open | Phase::Draining);
            let unused = seat.closed || self.asleep.contains(&number);
            if works && !unused && seat.worker.is_none() {
                must(Timer::Respawn(number));
            }
        }
    }
}
