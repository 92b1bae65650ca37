//! A simulated world for the scheduler: a clock that jumps, workers and jobs
//! that do everything that real ones may do, and users who cancel, pause and
//! stop. After every step everything is checked, and every action of the
//! scheduler is judged by what the world knows and the scheduler does not.
//!
//! The same seed gives the same day, so a failing seed is a test.

mod agents;
mod faults;
mod judge;
mod order;
mod scale;
mod tests;
mod workers;

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet, VecDeque};
use std::time::Duration;

use protocol::{Attempt, JobId, WorkerId};

use super::core::Scheduler;
use super::input::{Action, Input, SchedulerConfig, Terms};
use super::verdict::Verdict;
use faults::Faults;

const MS: Duration = Duration::from_millis(1);
/// How long a job runs until its worker says so.
const SAYS_STARTED: Duration = Duration::from_millis(2);

/// Limits that make a bad day short.
pub(super) fn config(workers: usize) -> SchedulerConfig {
    SchedulerConfig {
        workers,
        ahead: MS,
        start_timeout: 100 * MS,
        start_attempts: 3,
        restart_limit: 5,
        restart_window: 500 * MS,
        spawn_patience: 300 * MS,
        backoff: 5 * MS,
        backoff_max: 100 * MS,
        retry_backoff: 10 * MS,
        retry_backoff_max: 200 * MS,
        quarantine: 3,
        black_hole: 5,
        grace: 20 * MS,
        answer_timeout: 10 * MS,
        reap_timeout: 50 * MS,
        lockstep: false,
        max_jobs_per_worker: None,
        max_rss_per_worker: None,
        max_files_per_worker: None,
        idle_timeout: None,
        agents: 0,
        silence: 60 * MS,
        agent_end: 40 * MS,
        min_workers: None,
        start_delay: Duration::ZERO,
        start_delay_adapts: false,
        starts_by_leave: false,
        timeout_percent: None,
    }
}

/// SplitMix64: the same seed, the same day.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }
    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }
    fn percent(&mut self, p: u64) -> bool {
        p > 0 && self.below(100) < p
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct JobPlan {
    takes: Duration,
    terms: Terms,
    /// Kills its worker.
    poison: bool,
    /// Does not listen to a cancel.
    deaf: bool,
    /// Never ends by itself.
    hangs: bool,
    /// So many attempts fail before one succeeds.
    failures: u32,
}

#[derive(Debug)]
struct FakeWorker {
    ready: bool,
    has_status_page: bool,
    hangs_at_end: bool,
    /// The kernel holds it when it is killed.
    undead: bool,
    /// All its jobs fail at once.
    broken: bool,
    queue: VecDeque<(JobId, Attempt)>,
    running: Option<(JobId, Attempt)>,
    cancelled: HashSet<(JobId, Attempt)>,
    /// Everything it was ever sent.
    sent: HashSet<JobId>,
    /// How many jobs it has begun.
    begun: u64,
    /// Whether it was told to finish what it has and end.
    draining: bool,
    /// Whether what it says has stopped to count.
    doomed: bool,
    killed: bool,
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Ready(WorkerId),
    Died(WorkerId),
    Refused(WorkerId),
    Finished(WorkerId, JobId, Attempt),
    SaysStarted(WorkerId, JobId, Attempt),
    Cancels(JobId),
    Submits,
    Resize(usize),
    /// The machine has room for so many more.
    Leave,
    /// It has too little memory for what runs.
    Short,
    Pause,
    Resume,
    Withdraw,
    Drain,
    Interrupt,
    Stop,
    Kill,
    Wake,
}

struct World {
    now: Duration,
    /// Time that the scheduler does not see: it stood still.
    missed: Duration,
    paused_at: Option<Duration>,
    random: Random,
    faults: Faults,
    config: SchedulerConfig,
    scheduler: Scheduler,
    calendar: BinaryHeap<Reverse<(Duration, u64, Event)>>,
    dated: u64,
    workers: HashMap<WorkerId, FakeWorker>,
    plans: HashMap<JobId, JobPlan>,
    verdicts: HashMap<JobId, Verdict>,
    /// How often each job was started, by anybody.
    starts: HashMap<JobId, u32>,
    /// Each job when it was started for the first time.
    order: Vec<JobId>,
    /// When its current attempt began, as the scheduler counts time.
    began: HashMap<JobId, Duration>,
    /// Jobs with which a worker has died; all that it may have had when the
    /// scheduler cannot know better.
    caught: HashSet<JobId>,
    /// How many attempts were reported as crashes, for jobs tried again.
    crashes: HashMap<JobId, u32>,
    /// Jobs whose worker did not let itself be killed.
    undead: HashSet<JobId>,
    cancelled: HashSet<JobId>,
    /// How many jobs may start, where that needs leave.
    leave: usize,
    /// When a job was sent last, as the scheduler counts time.
    last_start: Option<Duration>,
    /// The job that is to make room.
    makes_room: Option<JobId>,
    /// How many have.
    put_back: usize,
    /// Jobs that came when the pool had been told to end.
    late: HashSet<JobId>,
    /// How many workers it ever was to have at most.
    largest: usize,
    spawned: usize,
    retired: u32,
    /// The pool was told to end before its time.
    stopped: bool,
    withdrawn: bool,
    broken: bool,
    ended: bool,
}

impl World {
    fn new(seed: u64, workers: usize, faults: Faults) -> World {
        let mut random = Random(seed);
        let mut config = config(workers);
        let worn = random.percent(faults.wear);
        config.max_jobs_per_worker = worn.then(|| 1 + random.below(6));
        config.max_rss_per_worker = Some(1);
        let ends = random.percent(faults.idle_ends);
        config.idle_timeout = ends.then(|| Duration::from_micros(random.below(20_000)));
        if random.percent(faults.gates) {
            config.start_delay = Duration::from_micros(random.below(500));
            config.start_delay_adapts = random.percent(50);
        }
        config.starts_by_leave = random.percent(faults.gates);
        World {
            now: Duration::ZERO,
            missed: Duration::ZERO,
            paused_at: None,
            random,
            faults,
            scheduler: Scheduler::new(config.clone(), Duration::ZERO),
            config,
            calendar: BinaryHeap::new(),
            dated: 0,
            workers: HashMap::new(),
            plans: HashMap::new(),
            verdicts: HashMap::new(),
            starts: HashMap::new(),
            order: Vec::new(),
            began: HashMap::new(),
            caught: HashSet::new(),
            crashes: HashMap::new(),
            undead: HashSet::new(),
            cancelled: HashSet::new(),
            leave: 0,
            last_start: None,
            makes_room: None,
            put_back: 0,
            late: HashSet::new(),
            largest: workers,
            spawned: 0,
            retired: 0,
            stopped: false,
            withdrawn: false,
            broken: false,
            ended: false,
        }
    }

    /// Time as the scheduler sees it.
    fn seen(&self) -> Duration {
        self.paused_at.unwrap_or(self.now) - self.missed
    }

    fn at(&mut self, after: Duration, event: Event) {
        self.dated += 1;
        self.calendar
            .push(Reverse((self.now + after, self.dated, event)));
    }

    fn submit(&mut self, id: u64, plan: JobPlan) {
        self.plans.insert(JobId(id), plan);
        self.tell(Input::Submit {
            job: JobId(id),
            terms: plan.terms,
        });
    }

    fn tell(&mut self, input: Input) {
        self.later(input);
        while let Some(action) = self.next_action() {
            self.act(action);
        }
        self.scheduler.check();
    }

    /// Tells the scheduler something, whose consequences come later: it may be
    /// in the middle of telling us something.
    fn later(&mut self, input: Input) {
        self.scheduler.handle(self.seen(), input);
        self.scheduler.check();
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Spawn { worker, .. } => self.spawn(worker),
            Action::Send {
                worker,
                job,
                attempt,
            } => self.sent(worker, job, attempt),
            Action::Cancel {
                worker,
                job,
                attempt,
                overdue,
            } => self.cancel(worker, (job, attempt), overdue),
            Action::Recall { worker, jobs } => self.recall(worker, jobs),
            Action::Retire { worker, failures } => {
                assert!(failures >= self.config.black_hole);
                self.retired += 1;
                self.drain(worker);
            }
            Action::Drain { worker } => self.drain(worker),
            Action::Close { worker } => self.end(worker),
            Action::Kill { worker } => self.kill(worker),
            Action::Abandon { worker } => {
                let gone = self.workers.remove(&worker);
                let gone = gone.expect("a worker is abandoned that is not there");
                assert!(gone.killed && gone.undead, "worker {worker} is abandoned");
                self.undead.extend(gone.sent);
            }
            Action::Retry {
                job,
                attempts,
                verdict,
                pause,
                ..
            } => {
                let plan = self.plans[&job];
                assert!(attempts <= plan.terms.retries, "job {job}: {attempts}");
                assert!(!self.verdicts.contains_key(&job), "job {job} has ended");
                let own = plan.terms.retry_backoff;
                assert!(pause >= own.unwrap_or(self.config.retry_backoff));
                self.judge(job, verdict);
                if verdict == Verdict::Crashed {
                    *self.crashes.entry(job).or_default() += 1;
                }
            }
            Action::Verdict {
                job,
                verdict,
                attempts,
                ..
            } => {
                let before = self.verdicts.insert(job, verdict);
                assert_eq!(before, None, "job {job} has two verdicts");
                let most = self.plans[&job].terms.retries + 1;
                assert!(attempts <= most, "job {job} was tried {attempts} times");
                self.judge(job, verdict);
            }
            // Nobody asks for these here; turns show them.
            Action::Weigh { .. } | Action::Kept { .. } => {}
            Action::PutBack { job } => {
                assert_eq!(self.makes_room, Some(job), "job {job} was not to make room");
                assert!(!self.verdicts.contains_key(&job), "job {job} has ended");
                self.makes_room = None;
                self.put_back += 1;
            }
            Action::Broken => self.broken = true,
            Action::Ended => {
                assert!(self.workers.is_empty(), "ended before its workers");
                self.ended = true;
            }
        }
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Ready(id) => {
                if let Some(worker) = self.workers.get_mut(&id) {
                    worker.ready = true;
                    self.tell(Input::Ready {
                        worker: id,
                        slots: 1,
                    });
                }
            }
            Event::Died(id) => self.died(id),
            Event::Refused(id) => {
                self.workers.remove(&id);
                self.tell(Input::Refused { worker: id });
            }
            Event::Finished(id, job, attempt) => self.finished(id, job, attempt),
            Event::SaysStarted(worker, job, attempt) => {
                if self.workers.get(&worker).and_then(|w| w.running) == Some((job, attempt)) {
                    self.tell(Input::Started {
                        worker,
                        job,
                        attempt,
                    });
                }
            }
            Event::Cancels(job) => {
                self.cancelled.insert(job);
                self.tell(Input::Cancel { job });
            }
            Event::Submits => {
                let id = self.plans.len() as u64 + 1;
                if self.stopped {
                    self.late.insert(JobId(id));
                }
                self.submit_random(id);
            }
            Event::Resize(workers) => {
                self.largest = self.largest.max(workers);
                self.tell(Input::Resize { workers });
            }
            Event::Leave => {
                self.leave = self.random.below(4) as usize;
                let starts = self.leave;
                let again = Duration::from_micros(self.random.below(4_000));
                self.at(again, Event::Leave);
                self.tell(Input::Leave { starts });
            }
            Event::Short => {
                if let Some(job) = self.scheduler.spare() {
                    self.makes_room = Some(job);
                    self.tell(Input::PutBack { job });
                }
            }
            Event::Pause => {
                if self.paused_at.is_none() && !self.stopped {
                    self.later(Input::Pause);
                    self.paused_at = Some(self.now);
                    let after = Duration::from_micros(self.random.below(100_000));
                    self.at(after, Event::Resume);
                }
            }
            Event::Resume => self.resume(),
            Event::Withdraw => {
                self.withdrawn = true;
                self.tell(Input::Withdraw);
            }
            Event::Drain => self.tell(Input::Drain),
            Event::Interrupt => self.stop(Input::Interrupt),
            Event::Stop => self.stop(Input::Stop),
            Event::Kill => self.stop(Input::Kill),
            Event::Wake => self.tell(Input::Tick),
        }
    }

    fn resume(&mut self) {
        if let Some(at) = self.paused_at.take() {
            self.missed += self.now - at;
            self.tell(Input::Resume);
        }
    }

    fn stop(&mut self, how: Input) {
        self.resume();
        self.stopped = true;
        self.tell(how);
    }

    /// Lives until the pool has ended.
    fn run(&mut self) {
        self.tell(Input::Tick);
        if self.config.starts_by_leave {
            self.at(Duration::ZERO, Event::Leave);
        }
        for _ in 0..200_000 {
            if self.ended {
                return;
            }
            let due = self.scheduler.next_deadline().map(|at| at + self.missed);
            let due = due.filter(|_| self.paused_at.is_none());
            let dated = self.calendar.peek().map(|Reverse((at, _, _))| *at);
            match (due, dated) {
                (Some(due), Some(dated)) if due < dated => {
                    self.now = self.now.max(due);
                    self.happen(Event::Wake);
                }
                (_, Some(_)) => {
                    if let Some(Reverse((at, _, event))) = self.calendar.pop() {
                        self.now = self.now.max(at);
                        self.happen(event);
                    }
                }
                (Some(due), None) => {
                    self.now = self.now.max(due);
                    self.happen(Event::Wake);
                }
                (None, None) => panic!("nothing will ever happen again: {:?}", self.scheduler),
            }
        }
        panic!("the pool does not come to an end");
    }
}
