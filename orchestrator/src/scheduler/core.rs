//! The scheduler itself: jobs, workers, seats, queue and timers in one place,
//! and what each input does to a job. What becomes of workers is in `crew`, who
//! gets which job in `hand_out`, how it all ends in `end`.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use protocol::{Attempt, JobId, Outcome, WorkerId};

use super::Verdict;
use super::gate::{Gate, Usual};
use super::hand_out::BETWEEN_LOOKS;
use super::id_map::IdMap;
use super::input::{Action, Input, SchedulerConfig, Size, Terms};
use super::job::{Ending, Job, Jobs, Place};
use super::queue::Queue;
use super::retry::{self, Next};
use super::seat::Seat;
use super::timer::{Timer, Timers};
use super::turnover::Holdout;
use super::worker::{Life, Rank, Tally, Worker};

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

pub(super) type Workers = IdMap<WorkerId, Worker>;

/// A job that is to be killed at once may have ended already: its answer has this
/// long to come, or the worker would be killed that runs the next one.
const LAST_ANSWER: Duration = Duration::from_millis(5);
/// How much longer an agent may take to say that a job has ended: it kills the job's worker
/// for that.
const FOR_AN_AGENT: Duration = Duration::from_secs(5);

/// See the module documentation for the verbs.
#[derive(Debug)]
pub(crate) struct Scheduler {
    pub(super) config: SchedulerConfig,
    /// When the last input came.
    pub(super) now: Duration,
    pub(super) phase: Phase,
    /// Whether nothing is handed out for now.
    pub(super) paused: bool,
    /// Whether jobs that have not started are not wanted any more.
    pub(super) withdrawn: bool,
    pub(super) jobs: Jobs,
    pub(super) queue: Queue,
    pub(super) workers: Workers,
    pub(super) seats: Vec<Seat>,
    /// Workers that take jobs, best first.
    pub(super) ranks: BTreeSet<Rank>,
    /// Workers with jobs behind a long one: how many, and who.
    pub(super) victims: BTreeSet<(usize, WorkerId)>,
    /// How many slots are free at workers that take jobs.
    pub(super) free: usize,
    /// How many jobs workers were asked for because of that, and have not answered.
    pub(super) asked: usize,
    /// When the last of them was asked.
    pub(super) asked_at: Duration,
    /// Workers whose places in these two are to be looked at again before
    /// anybody looks there.
    pub(super) stale: Vec<WorkerId>,
    /// A worker whose next jobs have their turn, which nobody has noted yet: so
    /// that it is done once when many of its jobs have ended together.
    pub(super) unsettled: Option<WorkerId>,
    /// Seats whose workers were ended for want of jobs.
    pub(super) asleep: BTreeSet<usize>,
    /// Whether all workers were told to go with their last jobs.
    pub(super) last_call: bool,
    /// Why they were not, when that was looked at last.
    pub(super) holdout: Option<Holdout>,
    /// How many workers were worn out.
    pub(super) recycled: u64,
    /// Who is being emptied for a job that must be alone.
    pub(super) reserved: Option<WorkerId>,
    /// How many workers are `Ready`.
    pub(super) ready: usize,
    pub(super) timers: Timers,
    /// What lets jobs start, if anything has been said about that.
    pub(super) gate: Option<Gate>,
    /// How long jobs take, if they are measured by each other.
    pub(super) usual: Option<Usual>,
    pub(super) actions: VecDeque<Action>,
    pub(super) last_worker: u32,
    /// Workers that died in a row without anybody having finished a job, and
    /// without a job to be charged for it.
    pub(super) deaths: u32,
    /// Verdicts that nobody has taken note of yet.
    pub(super) unseen: usize,
    /// How jobs have ended so far.
    pub(super) tally: Tally,
}

/// A job whose turn has come at a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Running {
    pub(crate) job: JobId,
    pub(crate) attempt: Attempt,
    pub(crate) worker: WorkerId,
    pub(crate) since: Duration,
}

impl Scheduler {
    /// A pool with its first workers about to be started.
    pub(crate) fn new(config: SchedulerConfig, now: Duration) -> Scheduler {
        let seats = (0..config.workers).map(|_| Seat::default()).collect();
        let mut scheduler = Scheduler {
            gate: Gate::of(&config),
            usual: Usual::of(&config),
            config,
            now,
            phase: Phase::Open,
            paused: false,
            withdrawn: false,
            jobs: Jobs::default(),
            queue: Queue::default(),
            workers: Workers::default(),
            seats,
            ranks: BTreeSet::new(),
            victims: BTreeSet::new(),
            free: 0,
            asked: 0,
            asked_at: Duration::ZERO,
            stale: Vec::new(),
            unsettled: None,
            asleep: BTreeSet::new(),
            last_call: false,
            holdout: None,
            recycled: 0,
            reserved: None,
            ready: 0,
            timers: Timers::default(),
            actions: VecDeque::new(),
            last_worker: 0,
            deaths: 0,
            unseen: 0,
            tally: Tally::default(),
        };
        let workers = scheduler.seats.len();
        let few = scheduler.config.min_workers.map(|few| few.max(1));
        let few = few.unwrap_or(workers).min(workers);
        scheduler.asleep = (few..workers).collect();
        (0..few).for_each(|seat| scheduler.spawn(seat));
        scheduler
    }

    /// Takes in what happened. What is to be done about it waits in
    /// [`Scheduler::poll_action`]; several inputs may come before it is asked.
    pub(crate) fn handle(&mut self, now: Duration, input: Input) {
        if let Input::Done {
            worker,
            job,
            attempt,
            outcome: Outcome::Ok,
            took,
            size: Size { rss: 0, files: 0 },
        } = input
        {
            self.done_well(now, worker, (job, attempt), took);
            return;
        }
        self.settle();
        self.now = self.now.max(now);
        match input {
            Input::Submit { job, terms } => self.on_submit(job, terms),
            Input::Cancel { job } => self.end_job(job, Ending::Cancelled),
            Input::GiveBack { jobs } => self.give_back(jobs),
            Input::Outgrown { job } => self.outgrown(job),
            Input::Leave { starts } => self.give_leave(starts),
            Input::PutBack { job } => self.make_room(job),
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
                size,
            } => {
                self.on_done(worker, (job, attempt), outcome, took);
                self.weigh(worker, size);
            }
            Input::Recalled { worker, jobs } => self.on_recalled(worker, jobs),
            Input::Violation { worker } => self.kill(worker),
            Input::Leaving { worker } => self.on_leaving(worker, Life::Ending),
            Input::Closed { worker } => self.on_leaving(worker, Life::Dying),
            Input::Gone { worker, blame } => self.on_gone(worker, blame),
            Input::Refused { worker } => self.on_refused(worker),
            Input::Hopeless => self.break_down(),
            Input::Tick => self.on_tick(),
            Input::Seen { verdicts } => self.unseen = self.unseen.saturating_sub(verdicts),
            Input::Pause => self.paused = true,
            Input::Resume => self.paused = false,
            Input::Withdraw => self.withdraw(),
            Input::Resize { workers } => self.resize(workers),
            Input::Drain => {
                if self.phase == Phase::Open {
                    self.phase = Phase::Draining;
                }
            }
            Input::Interrupt => self.interrupt(),
            Input::Stop => self.stop(Verdict::Cancelled),
            Input::Kill => self.kill_all(),
        }
        self.end_when_done();
    }

    /// The next thing to be done, in order. Queued jobs are handed out here, so
    /// that all inputs of one turn are seen before.
    pub(crate) fn poll_action(&mut self) -> Option<Action> {
        if self.actions.is_empty() {
            self.settle();
        }
        if self.actions.is_empty() && !self.paused {
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

    /// Whether a worker has jobs: then its end is not a good one.
    pub(crate) fn holds_jobs(&self, worker: WorkerId) -> bool {
        let holds = |w: &Worker| !w.jobs.is_empty();
        self.workers.get(&worker).is_some_and(holds)
    }

    /// The jobs whose turn has come, longest first.
    pub(crate) fn running(&self) -> Vec<Running> {
        let mut running: Vec<Running> = self
            .workers
            .iter()
            .flat_map(|(worker, w)| w.at_work().map(move |&held| (worker, held)))
            .filter_map(|(worker, (job, attempt))| {
                let since = self.jobs.get(&job)?.since?;
                Some(Running {
                    job,
                    attempt,
                    worker,
                    since,
                })
            })
            .collect();
        running.sort_unstable_by_key(|r| (r.since, r.job));
        running
    }

    /// Gives up the memory that many jobs have taken, when there are none.
    #[cfg(feature = "cli")]
    pub(crate) fn shrink(&mut self) {
        self.jobs.rest();
    }

    /// How many jobs have no verdict.
    pub(crate) fn unfinished(&self) -> usize {
        self.jobs.len()
    }

    fn on_submit(&mut self, job: JobId, terms: Terms) {
        match self.phase {
            Phase::Open if self.withdrawn => {
                self.verdict(job, Verdict::Interrupted, None, 0);
            }
            Phase::Open => {
                self.jobs.insert(job, Job::new(terms));
                self.queue.push(job, terms.priority);
            }
            Phase::Draining | Phase::Stopping | Phase::Over => {
                self.verdict(job, Verdict::Lost, None, 0);
            }
        }
    }

    /// Tells a job to end: at once when it is not with a worker. The first
    /// reason decides.
    pub(super) fn end_job(&mut self, id: JobId, ending: Ending) {
        let Some(job) = self.jobs.get_mut(&id) else {
            return;
        };
        if let Some(earlier) = &mut job.ending {
            if *earlier == Ending::PutBack {
                // It was told to end already, and now it is for good.
                *earlier = ending;
            }
            return;
        }
        let worker = match job.place {
            Place::Sent(worker) => worker,
            Place::Queued | Place::Waiting => {
                job.ending = Some(ending);
                let verdict = job.judged(Verdict::Cancelled);
                self.queue.remove(id, job.terms.priority);
                self.conclude(id, verdict, None);
                return;
            }
        };
        self.stop_clock(id);
        let Some(job) = self.jobs.get_mut(&id) else {
            return;
        };
        job.ending = Some(ending);
        let has_turn = job.since.is_some();
        self.actions.push_back(Action::Cancel {
            worker,
            job: id,
            attempt: job.attempt,
            overdue: ending == Ending::TimedOut,
        });
        // Before its turn it stands behind another job, for whose sake the worker
        // may be deaf.
        if has_turn {
            self.await_end(id);
        }
    }

    /// Its worker is killed if it does not say in time that this job has ended.
    pub(super) fn await_end(&mut self, id: JobId) {
        let job = self.jobs.get(&id);
        let own = job.and_then(|job| job.terms.grace);
        let patience = match own {
            Some(grace) => grace.max(LAST_ANSWER),
            None => self.config.grace + self.config.answer_timeout,
        };
        let place = job.map(|job| job.place);
        let at_agent = |id| self.workers.get(&id).is_some_and(|worker| worker.is_agent);
        let patience = match place {
            // It sees to that for itself, and others run there. One that does not answer may be
            // cut off, and run them: then they are not to be given to others any earlier than
            // when it is silent for too long.
            Some(Place::Sent(worker)) if at_agent(worker) => match self.withdrawn {
                true => patience + FOR_AN_AGENT,
                false => patience + FOR_AN_AGENT.max(self.config.silence),
            },
            _ => patience,
        };
        self.timers.set(Timer::Cancel(id), self.now + patience);
    }

    /// A job has made its worker too large: there is no time to ask it.
    fn outgrown(&mut self, id: JobId) {
        let Some(job) = self.jobs.get_mut(&id) else {
            return;
        };
        let Place::Sent(worker) = job.place else {
            return;
        };
        if job.ending.is_none() && job.since.is_some() {
            self.stop_clock(id);
            if let Some(job) = self.jobs.get_mut(&id) {
                job.ending = Some(Ending::Outgrown);
            }
            self.kill_excused(worker);
        }
    }

    fn on_started(&mut self, id: WorkerId, job: JobId, attempt: Attempt) {
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
    fn settle(&mut self) {
        if let Some(id) = self.unsettled.take() {
            self.turn_over(id);
        }
    }

    fn on_done(
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

    fn on_recalled(&mut self, id: WorkerId, jobs: Vec<(JobId, Attempt)>) {
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

    pub(super) fn on_tick(&mut self) {
        while let Some(timer) = self.timers.expired(self.now) {
            match timer {
                Timer::Start(worker) | Timer::End(worker) => self.kill(worker),
                Timer::Reap(worker) => self.abandon(worker),
                Timer::Idle(worker) => self.on_idle(worker),
                Timer::Stuck(worker) => self.on_stuck(worker),
                Timer::Respawn(seat) => self.spawn(seat),
                Timer::Starved => {
                    if self.ready == 0 {
                        self.break_down();
                    }
                }
                Timer::Limit(job) => {
                    if self.is_overdue(job) {
                        self.end_job(job, Ending::TimedOut);
                    }
                }
                // What has waited is handed out now.
                Timer::Gate => {}
                Timer::Weigh(job) => {
                    if let Some(Place::Sent(worker)) = self.jobs.get(&job).map(|j| j.place) {
                        self.timers.set(Timer::Weigh(job), self.now + BETWEEN_LOOKS);
                        self.actions.push_back(Action::Weigh { worker, job });
                    }
                }
                Timer::Cancel(job) => {
                    if let Some(Place::Sent(worker)) = self.jobs.get(&job).map(|j| j.place) {
                        self.kill_excused(worker);
                    }
                }
                Timer::Retry(job) => self.requeue(job),
            }
        }
    }

    /// The pause before a job's next attempt is over.
    fn requeue(&mut self, id: JobId) {
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
            job.place = Place::Queued;
            let priority = job.terms.priority;
            if job.is_suspect() {
                self.queue.push_suspect(id, priority);
            } else {
                self.queue.put_back(id, job);
            }
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

    fn verdict(&mut self, job: JobId, verdict: Verdict, worker: Option<WorkerId>, attempts: u32) {
        self.unseen += 1;
        self.actions.push_back(Action::Verdict {
            job,
            verdict,
            worker,
            attempts,
        });
    }
}
