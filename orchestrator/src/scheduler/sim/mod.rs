//! A simulated world for the scheduler: a clock that jumps, workers and jobs
//! that do everything that real ones may do, and users who cancel, pause and
//! stop. After every step everything is checked, and every action of the
//! scheduler is judged by what the world knows and the scheduler does not.
//!
//! The same seed gives the same day, so a failing seed is a test.

mod agents;
mod faults;
mod order;
mod scale;
mod tests;

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet, VecDeque};
use std::time::Duration;

use protocol::{Attempt, JobId, Outcome, WorkerId};

use super::core::Scheduler;
use super::input::{Action, Blame, Input, SchedulerConfig, Size, Terms};
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

    fn judge(&mut self, job: JobId, verdict: Verdict) {
        let plan = self.plans[&job];
        let caught = self.caught.contains(&job);
        let crashes = self.crashes.get(&job).copied().unwrap_or(0) + 1;
        let started = self.starts.get(&job).copied().unwrap_or(0);
        let told = self.stopped || self.withdrawn;
        let expected = match verdict {
            Verdict::Ok => started > plan.failures,
            Verdict::Failed(_) => started > 0,
            // What waits for another attempt ends as the last one did.
            Verdict::Crashed => caught && (told || crashes < self.config.quarantine),
            Verdict::Quarantined => caught && crashes == self.config.quarantine,
            Verdict::Timeout => plan.terms.timeout.is_some(),
            Verdict::Unkillable => self.undead.contains(&job),
            Verdict::Cancelled => self.stopped || self.cancelled.contains(&job),
            Verdict::Interrupted => told,
            Verdict::Lost => self.broken || self.late.contains(&job),
            Verdict::Signaled(_)
            | Verdict::SpawnError(_)
            | Verdict::Rejected
            | Verdict::OutputLimit
            | Verdict::Oom => false,
        };
        assert!(expected, "job {job}: {verdict:?}");
    }

    fn spawn(&mut self, id: WorkerId) {
        let faults = self.faults;
        let worker = FakeWorker {
            ready: false,
            has_status_page: !self.random.percent(faults.no_status_page),
            hangs_at_end: self.random.percent(faults.hang_at_end),
            undead: self.random.percent(faults.undead),
            broken: self.random.percent(faults.black_hole),
            queue: VecDeque::new(),
            running: None,
            cancelled: HashSet::new(),
            sent: HashSet::new(),
            begun: 0,
            draining: false,
            doomed: false,
            killed: false,
        };
        self.workers.insert(id, worker);
        self.spawned += 1;
        let after = Duration::from_micros(500 + self.random.below(5_000));
        if self.random.percent(faults.refuse_start) {
            self.at(Duration::ZERO, Event::Refused(id));
        } else if self.random.percent(faults.die_at_start) {
            self.at(after, Event::Died(id));
        } else if !self.random.percent(faults.hang_at_start) {
            self.at(after, Event::Ready(id));
        }
    }

    fn sent(&mut self, id: WorkerId, job: JobId, attempt: Attempt) {
        assert!(self.paused_at.is_none(), "job {job} is sent in a pause");
        assert!(!self.withdrawn, "job {job} is sent though it is not wanted");
        self.pass_gate(job);
        self.nobody_lies_behind_a_long_one(id, job);
        let Some(worker) = self.workers.get_mut(&id) else {
            return;
        };
        assert!(worker.ready, "a job for worker {id}, which is not ready");
        let dangerous = |job: &JobId| self.crashes.contains_key(job);
        for (other, _) in worker.running.iter().chain(&worker.queue) {
            let alone = dangerous(other) || dangerous(&job);
            assert!(!alone, "job {job} is beside job {other}");
        }
        worker.queue.push_back((job, attempt));
        worker.sent.insert(job);
        assert!(!worker.draining, "a job for worker {id}, which is to end");
        let most = self.config.max_jobs_per_worker.unwrap_or(u64::MAX);
        let all = worker.begun + worker.queue.len() as u64;
        assert!(all <= most, "worker {id} gets {all} jobs");
        self.run_next(id);
        self.count_busy();
    }

    /// It is neither too soon nor without leave.
    fn pass_gate(&mut self, job: JobId) {
        if self.config.starts_by_leave {
            assert!(self.leave > 0, "job {job} is sent without leave");
            self.leave -= 1;
        }
        let before = self.last_start.replace(self.seen());
        if let Some(before) = before.filter(|_| !self.config.start_delay_adapts) {
            let soonest = before + self.config.start_delay;
            assert!(self.seen() >= soonest, "job {job} is sent too soon");
        }
    }

    /// No more workers have jobs than there are to be, but for those that are
    /// at their last ones.
    fn count_busy(&self) {
        let busy = |w: &&FakeWorker| w.running.is_some() || !w.queue.is_empty();
        let stays = |w: &&FakeWorker| !w.draining && !w.doomed;
        // One that was at its last jobs and had to be killed may not be dead when its successor begins.
        let dies = |w: &&FakeWorker| w.draining && w.killed;
        let all = self.workers.values().filter(busy).filter(|w| !dies(w));
        assert!(all.clone().count() <= self.largest, "too many at work");
        let wanted = self.scheduler.config.workers;
        assert!(all.filter(stays).count() <= wanted, "too many stay at work");
    }

    fn run_next(&mut self, id: WorkerId) {
        let seen = self.seen();
        let Some(worker) = self.workers.get_mut(&id) else {
            return;
        };
        if worker.running.is_some() || worker.killed {
            return;
        }
        let Some((job, attempt)) = worker.queue.pop_front() else {
            return;
        };
        worker.running = Some((job, attempt));
        worker.begun += 1;
        let broken = worker.broken;
        let starts = self.starts.entry(job).or_default();
        *starts += 1;
        if *starts == 1 {
            self.order.push(job);
        }
        self.began.insert(job, seen);
        let plan = self.plans[&job];
        if plan.takes > SAYS_STARTED || plan.hangs {
            self.at(SAYS_STARTED, Event::SaysStarted(id, job, attempt));
        }
        if plan.poison || self.random.percent(self.faults.die_in_job) {
            self.at(plan.takes, Event::Died(id));
            return;
        }
        if !plan.hangs {
            let takes = if broken { MS / 100 } else { plan.takes };
            self.at(takes, Event::Finished(id, job, attempt));
        }
    }

    fn cancel(&mut self, id: WorkerId, held: (JobId, Attempt), overdue: bool) {
        let (job, attempt) = held;
        if overdue {
            let limit = self.plans[&job].terms.timeout;
            let limit = limit.expect("a job without a limit is overdue");
            // It has begun on this worker, or the worker never got so far.
            if let Some(began) = self.began.get(&job) {
                assert!(self.seen() >= *began + limit, "job {job} has time left");
            }
        }
        let Some(worker) = self.workers.get_mut(&id) else {
            return;
        };
        worker.cancelled.insert(held);
        if let Some(at) = worker.queue.iter().position(|&queued| queued == held) {
            worker.queue.remove(at);
            self.done(id, job, attempt, Outcome::Cancelled);
            self.end_when_drained(id);
        } else if worker.running == Some(held) && !self.plans[&job].deaf {
            self.at(Duration::ZERO, Event::Finished(id, job, attempt));
        }
    }

    fn recall(&mut self, worker: WorkerId, jobs: Vec<(JobId, Attempt)>) {
        let Some(w) = self.workers.get_mut(&worker) else {
            return;
        };
        let mut given = Vec::new();
        for job in jobs {
            if let Some(at) = w.queue.iter().position(|&held| held == job) {
                w.queue.remove(at);
                given.push(job);
            }
        }
        if self.random.percent(self.faults.recall_lies) {
            // Twice the same, and one that it never had.
            given.extend(given.first().copied());
            given.push((JobId(1), Attempt(1)));
            w.doomed = true;
        }
        self.later(Input::Recalled {
            worker,
            jobs: given,
        });
        self.end_when_drained(worker);
    }

    fn drain(&mut self, worker: WorkerId) {
        if let Some(w) = self.workers.get_mut(&worker) {
            assert!(!w.draining, "worker {worker} is told twice");
            w.draining = true;
        }
        self.end_when_drained(worker);
    }

    fn end_when_drained(&mut self, worker: WorkerId) {
        let done = |w: &FakeWorker| w.draining && w.running.is_none() && w.queue.is_empty();
        if self.workers.get(&worker).is_some_and(done) {
            self.end(worker);
        }
    }

    fn end(&mut self, worker: WorkerId) {
        if let Some(w) = self.workers.get(&worker)
            && !w.hangs_at_end
        {
            self.at(MS, Event::Died(worker));
        }
    }

    fn kill(&mut self, worker: WorkerId) {
        let Some(w) = self.workers.get_mut(&worker) else {
            return;
        };
        assert!(!w.killed, "worker {worker} is killed twice");
        (w.doomed, w.killed) = (true, true);
        if w.undead {
            self.at(1_000 * MS, Event::Died(worker));
        } else {
            self.at(MS, Event::Died(worker));
        }
    }

    fn done(&mut self, worker: WorkerId, job: JobId, attempt: Attempt, outcome: Outcome) {
        let took = self.plans[&job].takes;
        let rss = 1 + u64::from(self.random.percent(self.faults.swell));
        let size = Size { rss, files: 0 };
        self.later(Input::Done {
            worker,
            job,
            attempt,
            outcome,
            took,
            size,
        });
    }

    fn finished(&mut self, id: WorkerId, job: JobId, attempt: Attempt) {
        let faults = self.faults;
        let Some(worker) = self.workers.get_mut(&id) else {
            return;
        };
        if worker.running != Some((job, attempt)) || worker.killed {
            return;
        }
        worker.running = None;
        let plan = self.plans[&job];
        // One that has made room comes back as the same attempt.
        let outcome = if worker.cancelled.remove(&(job, attempt)) && !plan.deaf {
            Outcome::Cancelled
        } else if worker.broken || self.starts[&job] <= plan.failures {
            Outcome::Failed(1)
        } else {
            Outcome::Ok
        };
        if self.random.percent(faults.garbage) {
            worker.running = Some((job, attempt));
            self.tell(Input::Violation { worker: id });
            return;
        }
        if self.random.percent(faults.close_channel) {
            worker.running = Some((job, attempt));
            worker.doomed = true;
            self.tell(Input::Leaving { worker: id });
            self.tell(Input::Closed { worker: id });
            return;
        }
        if self.random.percent(faults.recall_lies) {
            // Nobody asked, or not for this.
            worker.running = Some((job, attempt));
            worker.doomed = true;
            self.later(Input::Recalled {
                worker: id,
                jobs: vec![(job, attempt), (job, attempt)],
            });
            self.tell(Input::Tick);
            return;
        }
        if self.random.percent(faults.wrong_job) {
            worker.running = Some((job, attempt));
            let other = Attempt(attempt.0 + self.random.below(2) as u32 + 1);
            self.done(id, job, other, Outcome::Ok);
            self.tell(Input::Tick);
            return;
        }
        self.done(id, job, attempt, outcome);
        if self.random.percent(faults.answer_twice) {
            self.done(id, job, attempt, outcome);
        }
        self.tell(Input::Tick);
        self.run_next(id);
        self.end_when_drained(id);
        let idle = |w: &FakeWorker| w.running.is_none() && w.queue.is_empty();
        if self.workers.get(&id).is_some_and(idle) && self.random.percent(faults.die_idle) {
            self.at(Duration::ZERO, Event::Died(id));
        }
    }

    fn died(&mut self, id: WorkerId) {
        let Some(worker) = self.workers.remove(&id) else {
            return;
        };
        // Without a status page the oldest unanswered job is the running one,
        // since this worker answers at once.
        let blame = match worker.running {
            Some((job, attempt)) if worker.has_status_page => {
                self.caught.insert(job);
                Blame::Job(job, attempt)
            }
            None if worker.has_status_page => Blame::Nobody,
            // Its last answers were not listened to, so the oldest unanswered
            // job may be any that it had.
            _ if worker.doomed => {
                self.caught.extend(worker.sent);
                Blame::Oldest
            }
            running => {
                let oldest = running.or(worker.queue.front().copied());
                self.caught.extend(oldest.map(|(job, _)| job));
                Blame::Oldest
            }
        };
        self.tell(Input::Gone { worker: id, blame });
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

    fn all_have_verdicts(&self) {
        assert_eq!(self.verdicts.len(), self.plans.len());
    }
}
