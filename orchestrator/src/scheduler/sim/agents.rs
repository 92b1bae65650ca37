//! Agents with many slots, on days on which hosts are lost and come back: small days on
//! which everything is checked after each input, and one with 1,000 agents and
//! 10,000,000 jobs.
//!
//! A host that is lost dies with all that it ran, or is cut off: then it works on in
//! silence, ends its jobs after a while, and the scheduler hears later that it is gone, or
//! earlier, with how long it may work on. Whatever happens, no job may run twice at the same time.

mod hosts;
mod tests;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::{Duration, Instant};

use protocol::{Attempt, JobId, Outcome, WorkerId};

use super::{Random, config};
use crate::scheduler::{Action, IdMap, Input, Scheduler, Size, Terms, Verdict};
use hosts::Host;

/// In how many milliseconds a host that is cut off ends all by itself.
const DEAD_MAN: u64 = 90;
/// In how many its silence is noticed.
const SILENCE: u64 = 150;
/// For how many a job runs until its worker says so.
const LONG: u64 = 2;

/// What kind of day it is.
#[derive(Clone, Copy, Debug)]
struct Day {
    seed: u64,
    agents: usize,
    slots: usize,
    /// How many workers this machine has beside.
    here: usize,
    jobs: u64,
    /// Whether everything is checked after each input.
    checked: bool,
    /// In how many milliseconds something happens to one of the hosts; never when zero.
    trouble: u64,
    /// One job in so many takes its host down whenever it runs; none when zero.
    poison: u64,
    /// One job in so many is cancelled, wanted back, fails at first, or has an agent that
    /// gives it up; none when zero.
    odd: u64,
}

impl Day {
    /// How many jobs the pool takes ahead.
    fn room(&self) -> u64 {
        (4 * self.agents * self.slots + self.here).max(64) as u64
    }
}

#[derive(Clone, Copy, Debug)]
enum Event {
    Ready(WorkerId),
    /// It has not even begun.
    NotStarted(WorkerId),
    Ends(WorkerId, JobId, Attempt),
    Runs(WorkerId, JobId, Attempt),
    /// The job takes its host down.
    Kills(WorkerId, JobId, Attempt),
    /// A host that was cut off ends its jobs.
    DeadMan(WorkerId),
    Gone(WorkerId),
}

/// What is known of a job that agents were lost with.
#[derive(Clone, Copy, Debug, Default)]
struct Losses {
    running: u32,
    /// The last attempt that may still be heard of.
    attempt: u32,
}

struct World {
    day: Day,
    random: Random,
    scheduler: Scheduler,
    /// In milliseconds.
    now: u64,
    calendar: BTreeMap<u64, Vec<Event>>,
    hosts: IdMap<WorkerId, Host>,
    submitted: u64,
    ended: u64,
    over: bool,
    /// One bit for each job that has a verdict.
    verdicts: Vec<u64>,
    words: HashMap<&'static str, u64>,
    /// Where each job runs, in truth.
    runs: IdMap<JobId, WorkerId>,
    /// Only those that have not ended.
    losses: HashMap<JobId, Losses>,
    failed: HashSet<JobId>,
    cancelled: HashSet<JobId>,
    wanted: HashSet<JobId>,
    /// How many workers of this machine died of it.
    crashed: HashMap<JobId, u32>,
    counts: Counts,
}

/// What it took.
#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    sent: u64,
    recalls: u64,
    given_back: u64,
    lost: u64,
    cut: u64,
    goodbyes: u64,
    kept: u64,
    /// How often a host that was lost worked on, as the scheduler knew.
    works_on: u64,
    retries: u64,
    /// Jobs that had to be sent again since their agent was lost, or went.
    homeless: u64,
    /// Most of anything that the scheduler had to remember.
    most: usize,
}

impl World {
    fn new(day: Day) -> World {
        let config = crate::scheduler::SchedulerConfig {
            agents: day.agents,
            // However bad the day, it goes on.
            restart_limit: u32::MAX,
            ..config(day.agents + day.here)
        };
        World {
            random: Random(day.seed),
            scheduler: Scheduler::new(config, Duration::ZERO),
            now: 0,
            calendar: BTreeMap::new(),
            hosts: IdMap::default(),
            submitted: 0,
            ended: 0,
            over: false,
            verdicts: vec![0; day.jobs as usize / 64 + 1],
            words: HashMap::new(),
            runs: IdMap::default(),
            losses: HashMap::new(),
            failed: HashSet::new(),
            cancelled: HashSet::new(),
            wanted: HashSet::new(),
            crashed: HashMap::new(),
            counts: Counts::default(),
            day,
        }
    }

    fn at(&mut self, after: u64, event: Event) {
        let at = self.now + after;
        self.calendar.entry(at).or_default().push(event);
    }

    /// One in so many, by the job's number.
    fn is_one_in(&self, job: JobId, many: u64, salt: u64) -> bool {
        many > 0 && Random(job.0 ^ self.day.seed << 32 ^ salt << 56).below(many) == 0
    }

    /// How many milliseconds a job takes: most a few, some a while, some long.
    fn takes(&self, job: JobId) -> u64 {
        let mut random = Random(job.0 ^ self.day.seed << 32);
        match random.below(100) {
            0..70 => 1 + random.below(20),
            70..95 => 20 + random.below(180),
            _ => 200 + random.below(1_800),
        }
    }

    // ---- The scheduler
    fn tell(&mut self, input: Input) {
        self.scheduler
            .handle(Duration::from_millis(self.now), input);
        if self.day.checked {
            self.scheduler.check();
        }
    }

    /// A turn of its own.
    fn turn(&mut self, input: Input) {
        self.tell(input);
        self.act();
    }

    fn act(&mut self) {
        while let Some(action) = self.scheduler.poll_action() {
            self.do_it(action);
        }
        if self.day.checked {
            self.scheduler.check();
        }
    }

    fn do_it(&mut self, action: Action) {
        match action {
            Action::Spawn { worker, seat } => self.spawn(worker, seat < self.day.agents),
            Action::Send {
                worker,
                job,
                attempt,
            } => self.send(worker, job, attempt),
            Action::Recall { worker, jobs } => self.recall(worker, jobs),
            Action::Cancel {
                worker,
                job,
                attempt,
                ..
            } => self.cancel(worker, (job, attempt)),
            Action::Drain { worker } | Action::Close { worker } => self.drain(worker),
            Action::Kill { worker } => self.kill(worker),
            Action::Verdict { job, verdict, .. } => self.verdict(job, verdict),
            Action::Retry { .. } => self.counts.retries += 1,
            Action::Kept { job } => {
                assert!(self.wanted.contains(&job));
                self.counts.kept += 1;
            }
            Action::Ended => self.over = true,
            Action::Retire { .. }
            | Action::Abandon { .. }
            | Action::Weigh { .. }
            | Action::PutBack { .. }
            | Action::Broken => panic!("{action:?}"),
        }
    }

    fn verdict(&mut self, job: JobId, verdict: Verdict) {
        let (word, bit) = (job.0 as usize / 64, 1 << (job.0 % 64));
        assert_eq!(self.verdicts[word] & bit, 0, "job {job} has two verdicts");
        self.verdicts[word] |= bit;
        self.ended += 1;
        let losses = self.losses.remove(&job).unwrap_or_default().running;
        let crashes = self.crashed.get(&job).copied().unwrap_or_default();
        let expected = match verdict {
            Verdict::Ok => losses < 3,
            // Of either it takes three.
            Verdict::Quarantined => losses == 3 || crashes == 3,
            Verdict::Cancelled => self.cancelled.contains(&job),
            Verdict::Interrupted => self.wanted.contains(&job),
            // Only a worker of this machine says what it died of.
            Verdict::Crashed => crashes > 0,
            _ => false,
        };
        assert!(
            expected,
            "job {job}: {verdict:?} after {losses} losses, {crashes} crashes"
        );
        *self.words.entry(verdict.word()).or_default() += 1;
        for set in [&mut self.failed, &mut self.cancelled, &mut self.wanted] {
            set.remove(&job);
        }
    }

    // ---- Users
    fn feed(&mut self) {
        while self.submitted < self.day.jobs && self.submitted < self.ended + self.day.room() {
            self.submitted += 1;
            let job = JobId(self.submitted);
            let terms = Terms {
                retries: 2 * u32::from(self.is_one_in(job, self.day.odd, 1)),
                ..Terms::default()
            };
            self.tell(Input::Submit { job, terms });
            if self.submitted == self.day.jobs {
                self.tell(Input::Drain);
            }
            // Somebody changes their mind, of this one or of one from a while ago.
            let ago = self.random.below(self.day.room());
            let other = JobId(self.submitted.saturating_sub(ago).max(1));
            let is_over = self.verdicts[other.0 as usize / 64] & 1 << (other.0 % 64) != 0;
            if is_over {
            } else if self.is_one_in(job, self.day.odd, 2) {
                self.cancelled.insert(other);
                self.tell(Input::Cancel { job: other });
            } else if self.is_one_in(job, self.day.odd, 3) {
                self.wanted.insert(other);
                self.tell(Input::GiveBack { jobs: vec![other] });
            }
        }
        self.act();
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Ready(id) => self.ready(id),
            Event::NotStarted(id) | Event::Gone(id) => self.gone(id),
            Event::Ends(id, job, attempt) => self.ends(id, (job, attempt)),
            Event::Runs(id, job, attempt) => self.says_it_runs(id, (job, attempt)),
            Event::Kills(id, job, attempt) => self.dies_of(id, (job, attempt)),
            Event::DeadMan(id) => self.ends_by_itself(id),
        }
    }

    /// Lives until the pool has ended.
    fn run(&mut self) {
        self.act();
        while !self.over {
            self.feed();
            self.some_host_has_trouble();
            let now = Duration::from_millis(self.now);
            if self.scheduler.next_deadline().is_some_and(|due| due <= now) {
                self.turn(Input::Tick);
            }
            // What happens now may make more happen now.
            while let Some(entry) = self.calendar.first_entry().filter(|e| *e.key() <= self.now) {
                entry
                    .remove()
                    .into_iter()
                    .for_each(|event| self.happen(event));
            }
            if self.now.is_multiple_of(100) {
                self.weigh();
            }
            self.now += 1;
            let idle = self.now > 600_000;
            assert!(!idle, "it does not come to an end: {:?}", self.counts);
        }
        self.forget_given_up();
        self.all_is_well();
    }

    /// What the scheduler remembers depends on what it has to do, not on what was.
    fn weigh(&mut self) {
        let size = self.scheduler.size();
        let seats = self.day.agents + self.day.here;
        // Each job is in the table, in a queue or with a worker, and may have a timer or two.
        let most = 6 * self.day.room() as usize + 20 * seats;
        assert!(size <= most, "{size} things to remember, more than {most}");
        self.counts.most = self.counts.most.max(size);
    }

    fn all_is_well(&self) {
        assert_eq!((self.submitted, self.ended), (self.day.jobs, self.day.jobs));
        assert!(self.runs.is_empty(), "something runs on");
        assert!(self.losses.is_empty() && self.hosts.is_empty());
        // Each job is sent once, and again for a reason; at the end what waits elsewhere for
        // a slot that is free is sent once more, and not all of it for each such slot.
        let counts = self.counts;
        let reasons = counts.retries + counts.homeless + counts.given_back;
        assert!(counts.sent <= self.day.jobs + reasons, "{counts:?}");
        let slots = (self.day.agents * self.day.slots + self.day.here) as u64;
        let often = 8 * slots + (self.day.jobs / 10).max(1_000);
        assert!(counts.given_back <= often, "{counts:?}");
        assert!(counts.recalls <= often, "{counts:?}");
    }
}

/// A day from its first job to the end, and how long its decisions took for each job.
fn play(day: Day) -> (World, f64) {
    let start = clock();
    let mut world = World::new(day);
    world.run();
    let took = start.elapsed().as_secs_f64();
    (world, took / day.jobs as f64)
}

#[expect(clippy::disallowed_methods, reason = "what is measured here is time")]
fn clock() -> Instant {
    Instant::now()
}
