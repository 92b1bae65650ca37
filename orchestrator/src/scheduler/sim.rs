//! A simulated world for the scheduler: a clock that jumps, workers that are
//! good, die at start, hang, die in a job, answer the wrong job or break the
//! protocol, and users who cancel. After every step everything is checked.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet, VecDeque};
use std::time::Duration;

use protocol::{Attempt, JobId, Outcome, WorkerId};

use super::core::Scheduler;
use super::input::{Action, Blame, Input, SchedulerConfig};
use super::verdict::Verdict;

const MS: Duration = Duration::from_millis(1);

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
        self.below(100) < p
    }
}

/// How bad a day is: chances in percent.
#[derive(Clone, Copy, Default)]
struct Faults {
    die_at_start: u64,
    hang_at_start: u64,
    die_in_job: u64,
    die_idle: u64,
    wrong_job: u64,
    answer_twice: u64,
    garbage: u64,
    close_channel: u64,
    hang_at_end: u64,
    recall_lies: u64,
    no_status_page: u64,
    poison_jobs: u64,
    deaf_jobs: u64,
    cancels: u64,
    stop: u64,
}

impl Faults {
    const ALL: Faults = Faults {
        die_at_start: 10,
        hang_at_start: 5,
        die_in_job: 3,
        die_idle: 2,
        wrong_job: 2,
        answer_twice: 2,
        garbage: 2,
        close_channel: 1,
        hang_at_end: 10,
        recall_lies: 3,
        no_status_page: 30,
        poison_jobs: 4,
        deaf_jobs: 5,
        cancels: 10,
        stop: 5,
    };
}

#[derive(Clone, Copy, Debug)]
struct JobPlan {
    takes: Duration,
    /// Kills its worker.
    poison: bool,
    /// Does not listen to a cancel.
    deaf: bool,
}

#[derive(Debug)]
struct FakeWorker {
    ready: bool,
    has_status_page: bool,
    hangs_at_end: bool,
    ending: bool,
    queue: VecDeque<(JobId, Attempt)>,
    running: Option<(JobId, Attempt)>,
    cancelled: HashSet<JobId>,
    /// Everything it was ever sent.
    sent: HashSet<JobId>,
    /// Whether what it says has stopped to count.
    doomed: bool,
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Ready(WorkerId),
    Died(WorkerId),
    Finished(WorkerId, JobId, Attempt),
    SaysStarted(WorkerId, JobId, Attempt),
    Cancels(JobId),
    Drain,
    Stop,
    Wake,
}

struct World {
    now: Duration,
    random: Random,
    faults: Faults,
    scheduler: Scheduler,
    calendar: BinaryHeap<Reverse<(Duration, u64, Event)>>,
    dated: u64,
    workers: HashMap<WorkerId, FakeWorker>,
    plans: HashMap<JobId, JobPlan>,
    verdicts: HashMap<JobId, Verdict>,
    /// Jobs that were running when their worker died.
    caught: HashSet<JobId>,
    cancelled: HashSet<JobId>,
    stopped: bool,
    broken: bool,
    ended: bool,
}

impl World {
    fn new(seed: u64, workers: usize, faults: Faults) -> World {
        let config = SchedulerConfig {
            workers,
            ahead: MS,
            start_timeout: 100 * MS,
            start_attempts: 3,
            backoff: 5 * MS,
            backoff_max: 100 * MS,
            grace: 20 * MS,
        };
        World {
            now: Duration::ZERO,
            random: Random(seed),
            faults,
            scheduler: Scheduler::new(config, Duration::ZERO),
            calendar: BinaryHeap::new(),
            dated: 0,
            workers: HashMap::new(),
            plans: HashMap::new(),
            verdicts: HashMap::new(),
            caught: HashSet::new(),
            cancelled: HashSet::new(),
            stopped: false,
            broken: false,
            ended: false,
        }
    }

    fn at(&mut self, after: Duration, event: Event) {
        self.dated += 1;
        self.calendar
            .push(Reverse((self.now + after, self.dated, event)));
    }

    fn submit(&mut self, id: u64, plan: JobPlan) {
        self.plans.insert(JobId(id), plan);
        self.tell(Input::Submit { job: JobId(id) });
    }

    fn submit_random(&mut self, id: u64) {
        let takes = match self.random.below(10) {
            0..6 => Duration::from_micros(self.random.below(50)),
            6..9 => Duration::from_micros(self.random.below(5_000)),
            _ => Duration::from_millis(self.random.below(50)),
        };
        let poison = self.random.percent(self.faults.poison_jobs);
        let deaf = self.random.percent(self.faults.deaf_jobs);
        self.submit(
            id,
            JobPlan {
                takes,
                poison,
                deaf,
            },
        );
        if self.random.percent(self.faults.cancels) {
            let after = Duration::from_micros(self.random.below(20_000));
            self.at(after, Event::Cancels(JobId(id)));
        }
    }

    fn tell(&mut self, input: Input) {
        self.scheduler.handle(self.now, input);
        self.scheduler.check();
        while let Some(action) = self.scheduler.poll_action() {
            self.scheduler.check();
            self.act(action);
        }
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Spawn { worker } => self.spawn(worker),
            Action::Send {
                worker,
                job,
                attempt,
            } => {
                if let Some(w) = self.workers.get_mut(&worker) {
                    assert!(w.ready, "a job for worker {worker}, which is not ready");
                    w.queue.push_back((job, attempt));
                    w.sent.insert(job);
                    self.run_next(worker);
                }
            }
            Action::Cancel { worker, job, .. } => {
                if let Some(w) = self.workers.get_mut(&worker) {
                    w.cancelled.insert(job);
                    if let Some(at) = w.queue.iter().position(|&(j, _)| j == job) {
                        let (job, attempt) = w.queue.remove(at).unwrap();
                        self.done(worker, job, attempt, Outcome::Cancelled);
                    } else if let Some((running, attempt)) = w.running
                        && running == job
                        && !self.plans[&job].deaf
                    {
                        self.at(Duration::ZERO, Event::Finished(worker, job, attempt));
                    }
                }
            }
            Action::Recall { worker, jobs } => {
                if let Some(w) = self.workers.get_mut(&worker) {
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
                }
            }
            Action::Drain { worker } | Action::Close { worker } => {
                if let Some(w) = self.workers.get_mut(&worker) {
                    w.ending = true;
                    if !w.hangs_at_end {
                        self.at(MS, Event::Died(worker));
                    }
                }
            }
            Action::Kill { worker } => {
                if let Some(w) = self.workers.get_mut(&worker) {
                    w.doomed = true;
                }
                self.at(MS, Event::Died(worker));
            }
            Action::Verdict { job, verdict, .. } => {
                let before = self.verdicts.insert(job, verdict);
                assert_eq!(before, None, "job {job} has two verdicts");
                self.judge(job, verdict);
            }
            Action::Broken => self.broken = true,
            Action::Ended => {
                assert!(self.workers.is_empty(), "ended before its workers");
                self.ended = true;
            }
        }
    }

    fn judge(&mut self, job: JobId, verdict: Verdict) {
        let expected = match verdict {
            Verdict::Ok => true,
            Verdict::Crashed => self.caught.contains(&job),
            Verdict::Cancelled => self.stopped || self.cancelled.contains(&job),
            Verdict::Lost => self.broken,
            _ => false,
        };
        assert!(expected, "job {job}: {verdict:?}");
    }

    fn spawn(&mut self, id: WorkerId) {
        let faults = self.faults;
        let worker = FakeWorker {
            ready: false,
            has_status_page: !self.random.percent(faults.no_status_page),
            hangs_at_end: self.random.percent(faults.hang_at_end),
            ending: false,
            queue: VecDeque::new(),
            running: None,
            cancelled: HashSet::new(),
            sent: HashSet::new(),
            doomed: false,
        };
        self.workers.insert(id, worker);
        let after = Duration::from_micros(500 + self.random.below(5_000));
        if self.random.percent(faults.die_at_start) {
            self.at(after, Event::Died(id));
        } else if !self.random.percent(faults.hang_at_start) {
            self.at(after, Event::Ready(id));
        }
    }

    fn run_next(&mut self, id: WorkerId) {
        let Some(worker) = self.workers.get_mut(&id) else {
            return;
        };
        if worker.running.is_some() {
            return;
        }
        let Some((job, attempt)) = worker.queue.pop_front() else {
            return;
        };
        worker.running = Some((job, attempt));
        let plan = self.plans[&job];
        if plan.poison || self.random.percent(self.faults.die_in_job) {
            self.at(plan.takes, Event::Died(id));
            return;
        }
        if plan.takes > 2 * MS {
            self.at(2 * MS, Event::SaysStarted(id, job, attempt));
        }
        self.at(plan.takes, Event::Finished(id, job, attempt));
    }

    /// Tells the scheduler something, a moment later if it is in the middle of
    /// telling us something.
    fn later(&mut self, input: Input) {
        self.scheduler.handle(self.now, input);
        self.scheduler.check();
    }

    fn done(&mut self, worker: WorkerId, job: JobId, attempt: Attempt, outcome: Outcome) {
        let took = self.plans[&job].takes;
        self.later(Input::Done {
            worker,
            job,
            attempt,
            outcome,
            took,
        });
    }

    fn finished(&mut self, id: WorkerId, job: JobId, attempt: Attempt) {
        let faults = self.faults;
        let Some(worker) = self.workers.get_mut(&id) else {
            return;
        };
        if worker.running != Some((job, attempt)) {
            return;
        }
        worker.running = None;
        let outcome = if worker.cancelled.contains(&job) && !self.plans[&job].deaf {
            Outcome::Cancelled
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
            // Nobody asked.
            worker.running = Some((job, attempt));
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
        let idle = |w: &FakeWorker| w.running.is_none() && w.queue.is_empty();
        if self.workers.get(&id).is_some_and(idle) && self.random.percent(faults.die_idle) {
            self.at(Duration::ZERO, Event::Died(id));
        }
    }

    fn died(&mut self, id: WorkerId) {
        let Some(worker) = self.workers.remove(&id) else {
            return;
        };
        self.caught.extend(worker.running.map(|(job, _)| job));
        // Without a status page the oldest unanswered job is the running one,
        // since this worker answers at once.
        let blame = match worker.running {
            Some((job, attempt)) if worker.has_status_page => Blame::Job(job, attempt),
            None if worker.has_status_page => Blame::Nobody,
            _ => {
                self.caught
                    .extend(worker.queue.front().map(|&(job, _)| job));
                if worker.doomed {
                    // Its last answers were not listened to, so the oldest
                    // unanswered job may be any that it had.
                    self.caught.extend(worker.sent.iter().copied());
                }
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
            Event::Drain => self.tell(Input::Drain),
            Event::Stop => {
                self.stopped = true;
                self.tell(Input::Stop);
            }
            Event::Wake => self.tell(Input::Tick),
        }
    }

    /// Lives until the pool has ended.
    fn run(&mut self) {
        self.tell(Input::Tick);
        for _ in 0..200_000 {
            if self.ended {
                return;
            }
            let due = self.scheduler.next_deadline();
            let dated = self.calendar.peek().map(|Reverse((at, _, _))| *at);
            match (due, dated) {
                (Some(due), Some(dated)) if due < dated => {
                    self.now = self.now.max(due);
                    self.happen(Event::Wake);
                }
                (_, Some(_)) => {
                    let Reverse((at, _, event)) = self.calendar.pop().unwrap();
                    self.now = self.now.max(at);
                    self.happen(event);
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

fn a_day(seed: u64, faults: Faults) -> World {
    let mut random = Random(seed ^ 0xABCD);
    let workers = 1 + random.below(5) as usize;
    let jobs = random.below(60);
    let mut world = World::new(seed, workers, faults);
    for id in 1..=jobs {
        world.submit_random(id);
    }
    let after = Duration::from_micros(random.below(100_000));
    if random.percent(faults.stop) {
        world.at(after, Event::Stop);
    }
    world.at(after, Event::Drain);
    world.run();
    world.all_have_verdicts();
    world
}

#[test]
fn every_job_gets_exactly_one_verdict_on_thousands_of_bad_days() {
    let mut ok = 0;
    let mut crashed = 0;
    for seed in 0..4_000 {
        let world = a_day(seed, Faults::ALL);
        ok += world
            .verdicts
            .values()
            .filter(|v| **v == Verdict::Ok)
            .count();
        crashed += world
            .verdicts
            .values()
            .filter(|v| **v == Verdict::Crashed)
            .count();
    }
    // The days are bad, not hopeless; if this changes, so did the world.
    assert!(ok > 50_000, "{ok}");
    assert!(crashed > 1_000, "{crashed}");
}

#[test]
fn each_fault_alone_is_survived() {
    let set: [fn(&mut Faults); 15] = [
        |f| f.die_at_start = 30,
        |f| f.hang_at_start = 30,
        |f| f.die_in_job = 20,
        |f| f.die_idle = 30,
        |f| f.wrong_job = 20,
        |f| f.answer_twice = 20,
        |f| f.garbage = 20,
        |f| f.close_channel = 20,
        |f| f.hang_at_end = 100,
        |f| f.recall_lies = 30,
        |f| f.no_status_page = 100,
        |f| f.poison_jobs = 30,
        |f| (f.deaf_jobs, f.cancels) = (100, 50),
        |f| f.cancels = 50,
        |f| f.stop = 100,
    ];
    for fault in set {
        let mut faults = Faults::default();
        fault(&mut faults);
        for seed in 0..300 {
            a_day(seed, faults);
        }
    }
}

#[test]
fn f067_only_poison_jobs_crash_when_only_they_kill() {
    let faults = Faults {
        poison_jobs: 10,
        no_status_page: 50,
        ..Faults::default()
    };
    for seed in 0..500 {
        let world = a_day(seed, faults);
        for (job, verdict) in &world.verdicts {
            let expected = if world.plans[job].poison {
                Verdict::Crashed
            } else {
                Verdict::Ok
            };
            assert_eq!(*verdict, expected, "seed {seed}, job {job}");
        }
    }
}

#[test]
fn f029_workers_that_all_die_at_start_end_the_pool_and_never_loop() {
    let faults = Faults {
        die_at_start: 100,
        ..Faults::default()
    };
    for seed in 0..200 {
        let mut world = World::new(seed, 3, faults);
        world.submit_random(1);
        world.run();
        assert!(world.broken);
        assert_eq!(world.verdicts[&JobId(1)], Verdict::Lost);
        assert!(world.now < 50 * MS, "{:?}", world.now);
    }
}

#[test]
fn jobs_queued_behind_a_long_one_move_to_an_idle_worker() {
    let plan = |takes| JobPlan {
        takes,
        poison: false,
        deaf: false,
    };
    let mut world = World::new(1, 2, Faults::default());
    for id in 1..=200 {
        world.submit(id, plan(Duration::from_micros(5)));
    }
    world.submit(201, plan(5_000 * MS));
    for id in 202..=400 {
        world.submit(id, plan(Duration::from_micros(5)));
    }
    while world.verdicts.len() < 399 {
        let Reverse((at, _, event)) = world.calendar.pop().unwrap();
        world.now = world.now.max(at);
        world.happen(event);
    }
    assert!(world.now < 100 * MS, "{:?}", world.now);
    assert!(!world.verdicts.contains_key(&JobId(201)));
    world.at(Duration::ZERO, Event::Drain);
    world.run();
}

#[test]
fn equal_jobs_are_spread_evenly() {
    let mut world = World::new(1, 4, Faults::default());
    for id in 1..=400 {
        world.submit(
            id,
            JobPlan {
                takes: 10 * MS,
                poison: false,
                deaf: false,
            },
        );
    }
    world.at(Duration::ZERO, Event::Drain);
    world.run();
    // 100 rounds of 10 ms, plus start and end.
    assert!(world.now < 1_020 * MS, "{:?}", world.now);
}
