//! What becomes of workers: how they are started, end, die and are replaced.

use std::time::Duration;

use protocol::{JobId, Outcome, WorkerId};

use super::Verdict;
use super::core::{Phase, Scheduler};
use super::input::{Action, Blame};
use super::seat::Seat;
use super::timer::Timer;
use super::turnover::Leaving;
use super::worker::{Door, Life, Worker};

impl Scheduler {
    pub(super) fn spawn(&mut self, seat: usize) {
        match self.phase {
            Phase::Open | Phase::Draining => {}
            Phase::Stopping | Phase::Over => return,
        }
        self.last_worker += 1;
        let id = WorkerId(self.last_worker);
        let is_agent = seat < self.config.agents;
        let left = match self.config.max_jobs_per_worker {
            // An agent replaces its own.
            Some(left) if !is_agent => left,
            Some(_) | None => u64::MAX,
        };
        let mut worker = Worker::new(seat, left);
        worker.is_agent = is_agent;
        if self.seats[seat].before.is_some() {
            worker.door = Door::Waiting;
        }
        // Entered in the tables before it is started.
        self.workers.insert(id, worker);
        self.seats[seat].worker = Some(id);
        // Whoever dials an agent knows how long that may take: it may have to wait in a queue.
        if !is_agent {
            let deadline = self.now + self.config.start_timeout;
            self.timers.set(Timer::Start(id), deadline);
        }
        self.actions.push_back(Action::Spawn { worker: id, seat });
    }

    pub(super) fn on_ready(&mut self, id: WorkerId, slots: u32) {
        let Some(worker) = self.workers.get_mut(&id) else {
            return;
        };
        match worker.life {
            Life::Starting => {
                worker.life = Life::Ready;
                worker.ready_at = Some(self.now);
                worker.slots = slots.max(1) as usize;
                self.ready += 1;
                self.timers.stop(Timer::Start(id));
                self.timers.stop(Timer::Starved);
                self.rerank(id);
                self.rest(id);
            }
            // It says so twice.
            Life::Ready | Life::Ending => self.kill(id),
            Life::Dying => {}
        }
    }

    /// It goes by itself, or has to be made to.
    pub(super) fn on_leaving(&mut self, id: WorkerId, life: Life) {
        let Some(worker) = self.workers.get(&id) else {
            return;
        };
        match worker.life {
            Life::Ready | Life::Ending | Life::Starting => {
                self.timers.stop(Timer::Start(id));
                self.unlist(id, life);
                self.end_in_time(id);
            }
            // Was told to go, and has its deadline, or was killed.
            Life::Dying => {}
        }
    }

    pub(super) fn on_gone(&mut self, id: WorkerId, blame: Blame) {
        let Some(mut worker) = self.dismiss(id) else {
            return;
        };
        let charged = match blame {
            Blame::Job(job, attempt) => Some((job, attempt)),
            Blame::Oldest => worker.jobs.front().copied(),
            Blame::Nobody => None,
            Blame::Running => {
                self.lose_agent(id, &mut worker, Duration::ZERO);
                None
            }
            Blame::MayRun(time) => {
                self.lose_agent(id, &mut worker, time);
                None
            }
        }
        .filter(|(job, _)| !worker.sacrificed || self.is_ending(*job))
        .filter(|&(job, attempt)| worker.release(job, attempt));
        self.take_back(worker.jobs.iter().map(|&(job, _)| job).collect());
        if let Some((job, _)) = charged {
            self.attempt_over(job, Verdict::Crashed, Some(id));
        }
        let lived = worker.ready_at.map(|since| self.now - since);
        // One that has done its part may go when it likes: that is how some give
        // memory back, and several of them may do so at the same time.
        let excused = charged.is_some() || worker.excused || worker.useful;
        // A job's crash says nothing about the next worker, nor does the end
        // of one that was fine for long.
        if excused || lived.is_some_and(|lived| lived >= self.config.restart_window) {
            self.seats[worker.seat].thrive();
            self.deaths = 0;
        }
        if !excused {
            self.deaths = self.deaths.saturating_add(1);
        }
        self.replace(&worker, excused);
    }

    /// A worker could not be started, for a reason that may pass. The pool goes
    /// on with fewer, for as long as there is one.
    pub(super) fn on_refused(&mut self, id: WorkerId) {
        let Some(worker) = self.dismiss(id).filter(|worker| worker.seated) else {
            return;
        };
        if self.ready == 0 && !self.timers.is_set(Timer::Starved) {
            let deadline = self.now + self.config.spawn_patience;
            self.timers.set(Timer::Starved, deadline);
        }
        // Not at once: nothing has changed yet.
        let (first, longest) = (self.config.backoff, self.config.backoff_max);
        let pause = self.seats[worker.seat].bury(first, longest).max(first);
        self.respawn_after(worker.seat, pause);
    }

    /// A worker that was killed does not end: the kernel holds it. Nobody waits
    /// for it any more.
    pub(super) fn abandon(&mut self, id: WorkerId) {
        let Some(mut worker) = self.dismiss(id) else {
            return;
        };
        self.actions.push_back(Action::Abandon { worker: id });
        if worker.is_agent {
            self.lose_agent(id, &mut worker, self.config.agent_end);
        }
        let charged = worker.jobs.pop_front();
        self.take_back(worker.jobs.iter().map(|&(job, _)| job).collect());
        if let Some((job, _)) = charged {
            self.attempt_over(job, Verdict::Unkillable, Some(id));
        }
        self.replace(&worker, worker.excused);
    }

    /// An agent is gone without a goodbye. What it ran may have ended or not; the rest had
    /// not begun, as far as anybody knows. For so long some of it may go on there: no job is
    /// given to another before.
    fn lose_agent(&mut self, id: WorkerId, worker: &mut Worker, time: Duration) {
        let jobs = std::mem::take(&mut worker.jobs);
        let mut back = Vec::with_capacity(jobs.len());
        for (at, (job, _)) in jobs.into_iter().enumerate() {
            let harmless = worker.sacrificed && !self.is_ending(job);
            if at >= worker.slots || harmless || self.goes_on_elsewhere(job, id) {
                back.push(job);
            }
        }
        self.come_back(back, Some(time));
    }

    /// A job ran where nobody can be asked any more. Whether it is to be run again: if that
    /// has happened to it so often, it may be the job that does it.
    pub(super) fn goes_on_elsewhere(&mut self, id: JobId, worker: WorkerId) -> bool {
        let Some(job) = self.jobs.get_mut(&id) else {
            return false;
        };
        job.lost_running += 1;
        if job.ending.is_some() {
            self.attempt_over(id, Verdict::Crashed, Some(worker));
            return false;
        }
        if job.lost_running >= self.config.quarantine {
            // All of its attempts have come to this.
            job.lost = 0;
            self.stop_clock(id);
            self.conclude(id, Verdict::Quarantined, Some(worker));
            return false;
        }
        true
    }

    fn is_ending(&self, job: JobId) -> bool {
        self.jobs.get(&job).is_some_and(|job| job.ending.is_some())
    }

    /// A worker leaves the tables.
    fn dismiss(&mut self, id: WorkerId) -> Option<Worker> {
        self.unlist(id, Life::Dying);
        self.timers.stop(Timer::Start(id));
        self.timers.stop(Timer::End(id));
        self.timers.stop(Timer::Reap(id));
        if self.reserved == Some(id) {
            self.reserved = None;
        }
        let worker = self.workers.remove(&id)?;
        self.asked = self.asked.saturating_sub(worker.asked);
        debug_assert!(worker.rank.is_none() && worker.loot.is_none());
        self.make_way(worker.seat, id);
        Some(worker)
    }

    /// A worker is gone: its seat gets another one, unless that is vain, or it
    /// has got one already.
    fn replace(&mut self, worker: &Worker, excused: bool) {
        let seat = worker.seat;
        if worker.seated {
            let (first, longest) = (self.config.backoff, self.config.backoff_max);
            let pause = self.seats[seat].bury(first, longest);
            self.give_up_if_vain();
            self.respawn_after(seat, pause);
        } else if !excused {
            self.seats[seat].lose();
            self.give_up_if_vain();
        }
    }

    fn give_up_if_vain(&mut self) {
        let limit = self.config.restart_limit;
        // The first worker of a seat may just take longer than those that died.
        let hope = |w: &Worker| w.life == Life::Starting && !self.seats[w.seat].has_lost();
        let none_lives = self.ready == 0 && !self.workers.values().any(hope);
        // That one host cannot be used says nothing about another.
        let alike = self.config.agents == 0;
        let none_lives = none_lives && alike && self.deaths >= self.config.start_attempts;
        let awake =
            |&(number, seat): &(usize, &Seat)| !seat.closed && !self.asleep.contains(&number);
        let mut awake = self.seats.iter().enumerate().filter(awake).peekable();
        let any = awake.peek().is_some();
        if none_lives || any && awake.all(|(_, seat)| seat.is_failing(limit)) {
            self.break_down();
        }
    }

    fn respawn_after(&mut self, seat: usize, pause: Duration) {
        match self.phase {
            _ if self.seats[seat].closed => {}
            Phase::Open | Phase::Draining => {
                self.timers.set(Timer::Respawn(seat), self.now + pause);
                self.on_tick();
            }
            Phase::Stopping | Phase::Over => {}
        }
    }

    /// Counts how a worker's job has ended. One whose jobs fail one after the
    /// other, while nobody else's do and others do succeed, is not trusted with
    /// more: something around it is broken, and it is the fastest to fail.
    pub(super) fn count(&mut self, id: WorkerId, outcome: Outcome) {
        let failed = match outcome {
            Outcome::Ok => false,
            Outcome::Failed(_) | Outcome::Signaled(_) | Outcome::SpawnError(_) => true,
            // What only agents say is about a worker of theirs.
            Outcome::TimedOut
            | Outcome::Rejected
            | Outcome::Cancelled
            | Outcome::OutputLimit
            | Outcome::Crashed
            | Outcome::Oom
            | Outcome::Quarantined
            | Outcome::Unkillable
            | Outcome::Lost => return,
        };
        let pool_before = self.tally;
        if failed {
            self.tally.failed += 1;
        } else {
            self.tally.succeeded += 1;
        }
        let Some(worker) = self.workers.get_mut(&id) else {
            return;
        };
        if worker.leaving {
            return;
        }
        let streak = &mut worker.streak;
        if !failed {
            streak.failures = 0;
            return;
        }
        if streak.failures == 0 {
            streak.pool_before = pool_before;
        }
        streak.failures += 1;
        let failures = u64::from(streak.failures);
        let limit = u64::from(self.config.black_hole);
        let others_fail = self.tally.failed - streak.pool_before.failed > failures;
        let others_succeed = self.tally.succeeded - streak.pool_before.succeeded >= limit;
        let alone = !others_fail && others_succeed && failures >= limit;
        if alone && worker.life == Life::Ready {
            let failures = worker.streak.failures;
            self.leave(id, Leaving::BlackHole(failures));
        }
    }

    /// A worker that is to end is killed if it has not by then: its job has its
    /// grace, and it has to clean up behind that.
    pub(super) fn end_in_time(&mut self, id: WorkerId) {
        let patience = self.config.grace + self.config.answer_timeout;
        self.timers.set(Timer::End(id), self.now + patience);
    }

    /// Kills a worker for a job's sake: its death says nothing about the next.
    pub(super) fn kill_excused(&mut self, id: WorkerId) {
        if let Some(worker) = self.workers.get_mut(&id) {
            (worker.excused, worker.sacrificed) = (true, true);
        }
        self.kill(id);
    }

    pub(super) fn kill(&mut self, id: WorkerId) {
        let Some(worker) = self.workers.get_mut(&id) else {
            return;
        };
        if std::mem::replace(&mut worker.killed, true) {
            return;
        }
        let jobs: Vec<JobId> = worker.at_work().map(|&(job, _)| job).collect();
        jobs.into_iter().for_each(|job| self.stop_clock(job));
        self.unlist(id, Life::Dying);
        self.timers.stop(Timer::Start(id));
        self.timers.stop(Timer::End(id));
        let deadline = self.now + self.config.reap_timeout;
        self.timers.set(Timer::Reap(id), deadline);
        self.actions.push_back(Action::Kill { worker: id });
    }

    /// A worker leaves the ranks for this kind of life.
    pub(super) fn unlist(&mut self, id: WorkerId, life: Life) {
        if let Some(worker) = self.workers.get_mut(&id) {
            if worker.life == Life::Ready {
                self.ready -= 1;
                self.timers.stop(Timer::Idle(id));
                self.timers.stop(Timer::Stuck(id));
            }
            worker.life = life;
            if self.reserved == Some(id) {
                self.reserved = None;
                worker.door = Door::Open;
            }
            self.rerank(id);
        }
    }

    /// A worker's place in the ranks will be found when somebody looks there.
    pub(super) fn rerank_later(&mut self, id: WorkerId) {
        if let Some(worker) = self.workers.get_mut(&id)
            && !std::mem::replace(&mut worker.is_stale, true)
        {
            self.stale.push(id);
        }
    }

    pub(super) fn rerank_stale(&mut self) {
        while let Some(id) = self.stale.pop() {
            self.rerank(id);
        }
    }

    pub(super) fn rerank(&mut self, id: WorkerId) {
        if let Some(worker) = self.workers.get_mut(&id) {
            worker.is_stale = false;
            let loot = worker.loot_now();
            if loot != worker.loot {
                if let Some(old) = worker.loot {
                    self.victims.remove(&(old, id));
                }
                self.victims.extend(loot.map(|jobs| (jobs, id)));
                worker.loot = loot;
            }
            let rank = worker.rank_now(id, self.config.ahead);
            if rank != worker.rank {
                self.free = self.free + worker.free(rank) - worker.free(worker.rank);
                if let Some(old) = worker.rank {
                    self.ranks.remove(&old);
                }
                self.ranks.extend(rank);
                worker.rank = rank;
            }
        }
    }

    /// First step of the ladder for one worker; the next comes after the grace.
    pub(super) fn end_worker(&mut self, id: WorkerId, life: Life) {
        self.timers.stop(Timer::Start(id));
        // One that is not ready has nothing to finish.
        let life = match self.workers[&id].life {
            Life::Starting => Life::Dying,
            Life::Ready | Life::Ending | Life::Dying => life,
        };
        self.unlist(id, life);
        self.end_in_time(id);
        self.actions.push_back(match life {
            Life::Ending => Action::Drain { worker: id },
            Life::Starting | Life::Ready | Life::Dying => Action::Close { worker: id },
        });
    }
}
