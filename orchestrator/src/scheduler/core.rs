//! The scheduler itself: jobs, workers, seats, queue and timers in one place,
//! and what each input does to them.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::hash::BuildHasherDefault;
use std::time::Duration;

use protocol::{Attempt, JobId, Outcome, WorkerId};

use super::Verdict;
use super::input::{Action, Blame, Input, SchedulerConfig};
use super::job::{IdHasher, Job, Jobs, Place};
use super::queue::Queue;
use super::seat::Seat;
use super::timer::{Timer, Timers};
use super::worker::{Class, Life, Rank, Worker};

/// What the pool is up to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Takes jobs.
    Open,
    /// Runs the jobs it has, takes no more.
    Draining,
    /// Ends its workers.
    Stopping,
    /// Has said `Ended`.
    Over,
}

type Workers = HashMap<WorkerId, Worker, BuildHasherDefault<IdHasher>>;

/// See the module documentation for the verbs.
#[derive(Debug)]
pub(crate) struct Scheduler {
    pub(super) config: SchedulerConfig,
    pub(super) phase: Phase,
    pub(super) jobs: Jobs,
    pub(super) queue: Queue,
    pub(super) workers: Workers,
    pub(super) seats: Vec<Seat>,
    /// Workers that take jobs, best first.
    pub(super) ranks: BTreeSet<Rank>,
    /// How many workers are `Ready`.
    pub(super) ready: usize,
    pub(super) timers: Timers,
    actions: VecDeque<Action>,
    last_worker: u32,
    /// Workers that died in a row without anybody having finished a job, and
    /// without a job to be charged for it.
    deaths: u32,
}

impl Scheduler {
    /// A pool with its first workers about to be started.
    pub(crate) fn new(config: SchedulerConfig, now: Duration) -> Scheduler {
        let seats = (0..config.workers).map(|_| Seat::default()).collect();
        let mut scheduler = Scheduler {
            config,
            phase: Phase::Open,
            jobs: Jobs::default(),
            queue: Queue::default(),
            workers: Workers::default(),
            seats,
            ranks: BTreeSet::new(),
            ready: 0,
            timers: Timers::default(),
            actions: VecDeque::new(),
            last_worker: 0,
            deaths: 0,
        };
        for seat in 0..scheduler.seats.len() {
            scheduler.spawn(seat, now);
        }
        scheduler
    }

    /// Takes in what happened. What is to be done about it waits in
    /// [`Scheduler::poll_action`]; several inputs may come before it is asked.
    pub(crate) fn handle(&mut self, now: Duration, input: Input) {
        match input {
            Input::Submit { job } => self.on_submit(job),
            Input::Cancel { job } => self.on_cancel(now, job),
            Input::Ready { worker, slots } => self.on_ready(worker, slots),
            Input::Started {
                worker,
                job,
                attempt,
            } => self.on_started(worker, job, attempt),
            Input::Done {
                worker,
                job,
                attempt,
                outcome,
                took,
            } => self.on_done(worker, (job, attempt), outcome, took),
            Input::Recalled { worker, jobs } => self.on_recalled(worker, jobs),
            Input::Violation { worker } => self.kill(worker),
            Input::Leaving { worker } => self.on_leaving(now, worker, Life::Ending),
            Input::Closed { worker } => self.on_leaving(now, worker, Life::Dying),
            Input::Gone { worker, blame } => self.on_gone(now, worker, blame),
            Input::Hopeless => self.break_down(now),
            Input::Tick => self.on_tick(now),
            Input::Drain => {
                if self.phase == Phase::Open {
                    self.phase = Phase::Draining;
                }
            }
            Input::Stop => self.stop(now, Verdict::Cancelled),
        }
        self.end_when_done(now);
    }

    /// The next thing to be done, in order. Queued jobs are handed out here, so
    /// that all inputs of one turn are seen before.
    pub(crate) fn poll_action(&mut self) -> Option<Action> {
        if self.actions.is_empty() {
            self.hand_out();
        }
        self.actions.pop_front()
    }

    /// When to call `handle` with `Tick` at the latest.
    pub(crate) fn next_deadline(&self) -> Option<Duration> {
        self.timers.next()
    }

    /// Whether a message from this worker about this attempt can be true.
    pub(crate) fn expects(&self, worker: WorkerId, job: JobId, attempt: Attempt) -> bool {
        self.workers
            .get(&worker)
            .is_some_and(|w| w.listened_to() && w.holds(job, attempt))
    }

    fn on_submit(&mut self, job: JobId) {
        match self.phase {
            Phase::Open => {
                self.jobs.insert(job, Job::new());
                self.queue.push(job);
            }
            Phase::Draining | Phase::Stopping | Phase::Over => {
                self.verdict(job, Verdict::Lost, None, 0);
            }
        }
    }

    fn on_cancel(&mut self, now: Duration, id: JobId) {
        let Some(job) = self.jobs.get_mut(&id) else {
            return;
        };
        if job.cancelled {
            return;
        }
        job.cancelled = true;
        match job.place {
            Place::Queued => {
                self.queue.remove(id);
                self.finish(id, Verdict::Cancelled, None);
            }
            Place::Sent(worker) => {
                let attempt = job.attempt;
                self.actions.push_back(Action::Cancel {
                    worker,
                    job: id,
                    attempt,
                });
                let deadline = now + self.config.grace;
                self.timers.set(Timer::Cancel(id), deadline);
            }
        }
    }

    fn on_ready(&mut self, id: WorkerId, slots: u32) {
        let Some(worker) = self.workers.get_mut(&id) else {
            return;
        };
        match worker.life {
            Life::Starting => {
                worker.life = Life::Ready;
                worker.slots = slots.max(1) as usize;
                self.ready += 1;
                self.timers.stop(Timer::Start(id));
                self.rerank(id);
            }
            // It says so twice.
            Life::Ready | Life::Ending => self.kill(id),
            Life::Dying => {}
        }
    }

    fn on_started(&mut self, id: WorkerId, job: JobId, attempt: Attempt) {
        // It may have ended in the meantime.
        if !self.expects(id, job, attempt) {
            return;
        }
        if let Some(worker) = self.workers.get_mut(&id) {
            worker.long = Some(job);
            self.rerank(id);
        }
    }

    fn on_done(
        &mut self,
        id: WorkerId,
        (job, attempt): (JobId, Attempt),
        outcome: Outcome,
        took: Duration,
    ) {
        let Some(worker) = self.workers.get_mut(&id) else {
            return;
        };
        if !worker.listened_to() {
            return;
        }
        if !worker.release(job, attempt) {
            // Another job's answer, or the same one twice: the first stands.
            self.kill(id);
            return;
        }
        worker.estimate.record(took);
        self.seats[worker.seat].thrive();
        self.deaths = 0;
        self.rerank(id);
        self.finish(job, outcome.into(), Some(id));
    }

    fn on_recalled(&mut self, id: WorkerId, jobs: Vec<(JobId, Attempt)>) {
        let Some(worker) = self.workers.get_mut(&id) else {
            return;
        };
        if !worker.listened_to() {
            return;
        }
        let asked = std::mem::replace(&mut worker.recalling, false);
        let named = jobs.len();
        let mut back = Vec::with_capacity(named);
        for (job, attempt) in jobs {
            if asked && worker.release(job, attempt) {
                back.push(job);
            }
        }
        let honest = asked && back.len() == named;
        self.take_back(back);
        self.rerank(id);
        if !honest {
            self.kill(id);
        }
    }

    /// It goes by itself, or has to be made to.
    fn on_leaving(&mut self, now: Duration, id: WorkerId, life: Life) {
        let Some(worker) = self.workers.get(&id) else {
            return;
        };
        match worker.life {
            Life::Ready | Life::Ending | Life::Starting => {
                self.timers.stop(Timer::Start(id));
                self.unlist(id, life);
                let deadline = now + self.config.grace;
                self.timers.set(Timer::End(id), deadline);
            }
            // Was told to go, and has its deadline, or was killed.
            Life::Dying => {}
        }
    }

    fn on_gone(&mut self, now: Duration, id: WorkerId, blame: Blame) {
        self.unlist(id, Life::Dying);
        self.timers.stop(Timer::Start(id));
        self.timers.stop(Timer::End(id));
        let Some(mut worker) = self.workers.remove(&id) else {
            return;
        };
        let charged = match blame {
            Blame::Job(job, attempt) => Some((job, attempt)),
            Blame::Oldest => worker.jobs.front().copied(),
            Blame::Nobody => None,
        }
        .filter(|&(job, attempt)| worker.release(job, attempt));
        self.take_back(worker.jobs.iter().map(|&(job, _)| job).collect());
        if let Some((job, _)) = charged {
            self.finish(job, Verdict::Crashed, Some(id));
        }
        let (first, longest) = (self.config.backoff, self.config.backoff_max);
        let seat = &mut self.seats[worker.seat];
        // A job's crash says nothing about the next worker.
        if charged.is_some() {
            seat.thrive();
        }
        let pause = seat.bury(first, longest);
        match self.phase {
            Phase::Open | Phase::Draining => {
                if charged.is_none() {
                    self.deaths += 1;
                }
                if self.deaths >= self.config.start_attempts && self.ready == 0 {
                    self.break_down(now);
                } else {
                    self.timers.set(Timer::Respawn(worker.seat), now + pause);
                    self.on_tick(now);
                }
            }
            Phase::Stopping | Phase::Over => {}
        }
    }

    fn on_tick(&mut self, now: Duration) {
        while let Some(timer) = self.timers.expired(now) {
            match timer {
                Timer::Start(worker) | Timer::End(worker) => self.kill(worker),
                Timer::Respawn(seat) => self.spawn(seat, now),
                Timer::Cancel(job) => {
                    if let Some(Place::Sent(worker)) = self.jobs.get(&job).map(|j| j.place) {
                        self.kill(worker);
                    }
                }
            }
        }
    }

    fn spawn(&mut self, seat: usize, now: Duration) {
        match self.phase {
            Phase::Open | Phase::Draining => {}
            Phase::Stopping | Phase::Over => return,
        }
        self.last_worker += 1;
        let id = WorkerId(self.last_worker);
        // Entered in the tables before it is started.
        self.workers.insert(id, Worker::new(seat));
        self.seats[seat].worker = Some(id);
        let deadline = now + self.config.start_timeout;
        self.timers.set(Timer::Start(id), deadline);
        self.actions.push_back(Action::Spawn { worker: id });
    }

    /// Sends queued jobs to workers with room, then, when none is queued and a
    /// worker idles, asks a worker that sits over a long job for its others.
    fn hand_out(&mut self) {
        while !self.queue.is_empty() {
            let Some(&Rank { class, worker, .. }) = self.ranks.first() else {
                return;
            };
            let room = self.workers[&worker].room(self.config.ahead);
            let share = match class {
                Class::Idle | Class::BehindLong => 1,
                Class::Ahead => self.queue.len().div_ceil(self.ready.max(1)),
            };
            for _ in 0..share.min(room) {
                if let Some(job) = self.queue.pop() {
                    self.send(worker, job);
                }
            }
            self.rerank(worker);
        }
        self.recall();
    }

    fn send(&mut self, to: WorkerId, id: JobId) {
        let (Some(job), Some(worker)) = (self.jobs.get_mut(&id), self.workers.get_mut(&to)) else {
            debug_assert!(false, "job {id} is queued but unknown, or worker {to} is");
            return;
        };
        job.attempt = job.attempt.next();
        job.tries += 1;
        job.place = Place::Sent(to);
        worker.jobs.push_back((id, job.attempt));
        self.actions.push_back(Action::Send {
            worker: to,
            job: id,
            attempt: job.attempt,
        });
    }

    fn recall(&mut self) {
        let idle = self
            .ranks
            .first()
            .is_some_and(|r| r.class == Class::Idle && r.load == 0);
        if !idle || self.jobs.len() <= 1 {
            return;
        }
        let victim = self
            .workers
            .iter()
            .map(|(&id, w)| (w.waiting_behind_long(), id))
            .max_by_key(|(waiting, id)| (waiting.len(), *id));
        let Some((jobs, id)) = victim.filter(|(jobs, _)| !jobs.is_empty()) else {
            return;
        };
        if let Some(worker) = self.workers.get_mut(&id) {
            worker.recalling = true;
        }
        self.actions.push_back(Action::Recall { worker: id, jobs });
    }

    /// Puts jobs that came back unharmed at the front of the queue; one whose
    /// end was wanted ends here.
    fn take_back(&mut self, jobs: Vec<JobId>) {
        let mut kept = Vec::with_capacity(jobs.len());
        for id in jobs {
            let Some(job) = self.jobs.get_mut(&id) else {
                continue;
            };
            job.tries = job.tries.saturating_sub(1);
            job.place = Place::Queued;
            if job.cancelled {
                self.finish(id, Verdict::Cancelled, None);
            } else {
                kept.push(id);
            }
        }
        self.queue.put_back(kept.into_iter());
    }

    /// A job leaves the tables; it must be in no list any more.
    fn finish(&mut self, id: JobId, verdict: Verdict, worker: Option<WorkerId>) {
        let Some(job) = self.jobs.remove(&id) else {
            return;
        };
        let verdict = if job.cancelled {
            self.timers.stop(Timer::Cancel(id));
            // It may have ended by itself before it heard of the cancel; if
            // not, how it ended is a consequence of that.
            match verdict {
                Verdict::Ok => Verdict::Ok,
                _ => Verdict::Cancelled,
            }
        } else {
            verdict
        };
        self.verdict(id, verdict, worker, job.tries);
    }

    fn verdict(&mut self, job: JobId, verdict: Verdict, worker: Option<WorkerId>, attempts: u32) {
        self.actions.push_back(Action::Verdict {
            job,
            verdict,
            worker,
            attempts,
        });
    }

    fn kill(&mut self, id: WorkerId) {
        if self.workers.contains_key(&id) {
            self.unlist(id, Life::Dying);
            self.timers.stop(Timer::Start(id));
            self.timers.stop(Timer::End(id));
            self.actions.push_back(Action::Kill { worker: id });
        }
    }

    /// A worker leaves the ranks for this kind of life.
    fn unlist(&mut self, id: WorkerId, life: Life) {
        if let Some(worker) = self.workers.get_mut(&id) {
            if worker.life == Life::Ready {
                self.ready -= 1;
            }
            worker.life = life;
            self.rerank(id);
        }
    }

    fn rerank(&mut self, id: WorkerId) {
        if let Some(worker) = self.workers.get_mut(&id) {
            let rank = worker.rank_now(id, self.config.ahead);
            if rank != worker.rank {
                if let Some(old) = worker.rank {
                    self.ranks.remove(&old);
                }
                self.ranks.extend(rank);
                worker.rank = rank;
            }
        }
    }

    /// No worker can be kept alive.
    fn break_down(&mut self, now: Duration) {
        match self.phase {
            Phase::Open | Phase::Draining => {
                self.actions.push_back(Action::Broken);
                self.stop(now, Verdict::Lost);
            }
            Phase::Stopping | Phase::Over => {}
        }
    }

    /// Every job gets this verdict, every worker is told to end.
    fn stop(&mut self, now: Duration, verdict: Verdict) {
        match self.phase {
            Phase::Open | Phase::Draining => {}
            Phase::Stopping | Phase::Over => return,
        }
        self.phase = Phase::Stopping;
        self.queue = Queue::default();
        let mut jobs: Vec<JobId> = self.jobs.keys().copied().collect();
        jobs.sort_unstable();
        for job in jobs {
            self.finish(job, verdict, None);
        }
        for worker in self.workers.values_mut() {
            worker.jobs.clear();
        }
        let mut workers: Vec<WorkerId> = self.workers.keys().copied().collect();
        workers.sort_unstable();
        for id in workers {
            if self.workers[&id].life != Life::Dying {
                self.end_worker(now, id, Life::Dying);
            }
        }
        let pending: Vec<Timer> = self.timers.iter().collect();
        for timer in pending {
            match timer {
                Timer::Respawn(_) | Timer::Cancel(_) => self.timers.stop(timer),
                Timer::Start(_) | Timer::End(_) => {}
            }
        }
    }

    /// First step of the ladder for one worker; the next comes after the grace.
    fn end_worker(&mut self, now: Duration, id: WorkerId, life: Life) {
        self.timers.stop(Timer::Start(id));
        // One that is not ready has nothing to finish.
        let life = match self.workers[&id].life {
            Life::Starting => Life::Dying,
            Life::Ready | Life::Ending | Life::Dying => life,
        };
        self.unlist(id, life);
        let deadline = now + self.config.grace;
        self.timers.set(Timer::End(id), deadline);
        self.actions.push_back(match life {
            Life::Ending => Action::Drain { worker: id },
            Life::Starting | Life::Ready | Life::Dying => Action::Close { worker: id },
        });
    }

    fn end_when_done(&mut self, now: Duration) {
        if self.phase == Phase::Draining && self.jobs.is_empty() {
            self.phase = Phase::Stopping;
            let mut workers: Vec<WorkerId> = self.workers.keys().copied().collect();
            workers.sort_unstable();
            for id in workers {
                if self.workers[&id].life != Life::Dying {
                    self.end_worker(now, id, Life::Ending);
                }
            }
            for seat in 0..self.seats.len() {
                self.timers.stop(Timer::Respawn(seat));
            }
        }
        if self.phase == Phase::Stopping && self.workers.is_empty() {
            self.phase = Phase::Over;
            self.actions.push_back(Action::Ended);
        }
    }
}

impl Worker {
    /// Whether what it says counts.
    fn listened_to(&self) -> bool {
        match self.life {
            Life::Ready | Life::Ending => true,
            Life::Starting | Life::Dying => false,
        }
    }
}
