//! The scheduler itself: jobs, workers, seats, queue and timers in one place, the
//! verbs, and how jobs are told to end. What workers say of jobs is in `answers`, what
//! comes after an attempt in `attempts`; what becomes of workers in `crew`, who
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
}
