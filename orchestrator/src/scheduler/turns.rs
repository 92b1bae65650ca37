//! Turns of the scheduler one by one: what the simulated world is too large to
//! show exactly, above all when something happens and when it does not yet.

mod agents;
mod black_hole;
mod deaths;
mod endings;
mod gate;
mod order;
mod stuck;
mod suspects;
mod together;
mod turnover;
mod wanted;

use std::time::Duration;

use protocol::{Attempt, JobId, Outcome, WorkerId};

use super::core::Scheduler;
use super::input::{Action, Blame, Input, SchedulerConfig, Size, Terms};
use super::sim::config;
use super::verdict::Verdict;

const MS: Duration = Duration::from_millis(1);

/// A scheduler, the time, and what it wanted last.
struct Desk {
    scheduler: Scheduler,
    now: Duration,
    wanted: Vec<Action>,
    /// How long jobs take, as their workers say.
    took: Duration,
    /// How large they are by then.
    size: Size,
}

impl Desk {
    /// With so many workers, all of them ready.
    fn with(workers: u32) -> Desk {
        let mut desk = Desk::starting(workers);
        (1..=workers).for_each(|worker| desk.ready(worker));
        desk
    }

    fn starting(workers: u32) -> Desk {
        Desk::of(config(workers as usize))
    }

    /// None of them ready.
    fn of(config: SchedulerConfig) -> Desk {
        let mut desk = Desk {
            scheduler: Scheduler::new(config, Duration::ZERO),
            now: Duration::ZERO,
            wanted: Vec::new(),
            took: 10 * MS,
            size: Size::default(),
        };
        desk.poll();
        desk
    }

    fn poll(&mut self) {
        self.wanted.clear();
        while let Some(action) = self.scheduler.poll_action() {
            self.wanted.push(action);
        }
        self.scheduler.check();
    }

    /// Whoever becomes ready is known already: one job is sent ahead there.
    fn tell(&mut self, input: Input) {
        if let Input::Ready { worker, .. } = input
            && let Some(worker) = self.scheduler.workers.get_mut(&worker)
        {
            worker.estimate.record(self.took);
        }
        self.scheduler.handle(self.now, input);
        self.poll();
    }

    fn ready(&mut self, worker: u32) {
        let (worker, slots) = (WorkerId(worker), 1);
        self.tell(Input::Ready { worker, slots });
    }

    fn submit(&mut self, job: u64) {
        self.submit_with(job, Terms::default());
    }

    fn submit_with(&mut self, job: u64, terms: Terms) {
        let job = JobId(job);
        self.tell(Input::Submit { job, terms });
    }

    fn done(&mut self, worker: u32, job: u64, attempt: u32, outcome: Outcome) {
        self.tell(Input::Done {
            worker: WorkerId(worker),
            job: JobId(job),
            attempt: Attempt(attempt),
            outcome,
            took: self.took,
            size: self.size,
        });
    }

    /// A job that is sent and ends at once, at whatever worker it gets.
    fn run(&mut self, job: u64, outcome: Outcome) -> u32 {
        self.submit(job);
        let worker = self.worker_of(job).expect("an idle worker");
        self.done(worker, job, 1, outcome);
        worker
    }

    fn gone(&mut self, worker: u32, blame: Blame) {
        let worker = WorkerId(worker);
        self.tell(Input::Gone { worker, blame });
    }

    /// Lets this much time pass.
    fn wait(&mut self, time: Duration) {
        self.now += time;
        self.tell(Input::Tick);
    }

    /// Where a job was sent in this turn.
    fn worker_of(&self, wanted: u64) -> Option<u32> {
        self.wanted.iter().find_map(|action| match action {
            Action::Send { worker, job, .. } if job.0 == wanted => Some(worker.0),
            _ => None,
        })
    }

    /// The verdicts of this turn.
    fn verdicts(&self) -> Vec<(u64, Verdict, u32)> {
        let verdict = |action: &Action| match action {
            Action::Verdict {
                job,
                verdict,
                attempts,
                ..
            } => Some((job.0, *verdict, *attempts)),
            _ => None,
        };
        self.wanted.iter().filter_map(verdict).collect()
    }

    fn kills(&self, worker: u32) -> bool {
        let worker = WorkerId(worker);
        self.wanted.contains(&Action::Kill { worker })
    }

    fn spawns(&self) -> usize {
        let spawn = |action: &&Action| matches!(action, Action::Spawn { .. });
        self.wanted.iter().filter(spawn).count()
    }
}

fn limited(timeout: Duration) -> Terms {
    Terms {
        timeout: Some(timeout),
        retries: 0,
        ..Terms::default()
    }
}

fn retried(retries: u32) -> Terms {
    Terms {
        timeout: None,
        retries,
        ..Terms::default()
    }
}

fn urgent(priority: i32) -> Terms {
    Terms {
        priority,
        ..Terms::default()
    }
}

#[test]
fn only_the_attempt_that_a_worker_holds_is_expected_of_it() {
    let mut desk = Desk::with(2);
    desk.submit(1);
    let holder = desk.worker_of(1).unwrap();
    let other = 3 - holder;
    let expects = |desk: &Desk, worker, job, attempt| {
        desk.scheduler
            .expects(WorkerId(worker), JobId(job), Attempt(attempt))
    };
    assert!(expects(&desk, holder, 1, 1));
    assert!(!expects(&desk, other, 1, 1));
    assert!(!expects(&desk, holder, 1, 2));
    assert!(!expects(&desk, holder, 2, 1));
    assert!(!expects(&desk, 99, 1, 1));
    let worker = WorkerId(holder);
    desk.tell(Input::Closed { worker });
    assert!(!expects(&desk, holder, 1, 1), "it is not listened to");
}

#[test]
fn what_runs_is_what_has_its_turn_longest_first() {
    let mut desk = Desk::with(2);
    for job in 1..=5 {
        desk.now += MS;
        desk.submit(job);
    }
    let running = desk.scheduler.running();
    let jobs: Vec<(u64, Duration)> = running.iter().map(|r| (r.job.0, r.since)).collect();
    assert_eq!(jobs, [(1, MS), (2, 2 * MS)]);
    assert_eq!(desk.scheduler.unfinished(), 5);
    desk.now += MS;
    let worker = running[0].worker.0;
    desk.done(worker, 1, 1, Outcome::Ok);
    let running = desk.scheduler.running();
    assert_eq!((running[0].job.0, running[1].since), (2, 6 * MS));
    assert_eq!(desk.scheduler.unfinished(), 4);
}

#[test]
fn in_lockstep_nothing_starts_before_every_verdict_was_seen() {
    let mut rules = config(2);
    (rules.lockstep, rules.ahead) = (true, Duration::ZERO);
    let mut desk = Desk::starting(2);
    desk.scheduler = Scheduler::new(rules, Duration::ZERO);
    desk.poll();
    desk.ready(1);
    desk.ready(2);
    for job in 1..=4 {
        desk.submit(job);
    }
    desk.done(1, 1, 1, Outcome::Ok);
    desk.done(2, 2, 1, Outcome::Failed(1));
    desk.tell(Input::Seen { verdicts: 1 });
    assert_eq!(desk.wanted, []);
    desk.tell(Input::Seen { verdicts: 1 });
    assert!(desk.worker_of(3).is_some() && desk.worker_of(4).is_some());
}

#[test]
fn jobs_come_back_only_when_they_were_asked_for() {
    let mut desk = Desk::with(1);
    desk.submit(1);
    desk.submit(2);
    let (worker, jobs) = (WorkerId(1), vec![(JobId(2), Attempt(1))]);
    desk.tell(Input::Recalled { worker, jobs });
    assert!(desk.kills(1));
    assert!(desk.scheduler.queue.is_empty(), "it was not taken back");
    // Not even none.
    let mut desk = Desk::with(1);
    let (worker, jobs) = (WorkerId(1), vec![]);
    desk.tell(Input::Recalled { worker, jobs });
    assert!(desk.kills(1));
    // And only those that were.
    let mut desk = Desk::with(1);
    desk.submit(1);
    desk.submit(2);
    desk.tell(Input::Withdraw);
    let jobs = vec![(JobId(2), Attempt(1)), (JobId(7), Attempt(1))];
    desk.tell(Input::Recalled { worker, jobs });
    assert!(desk.kills(1));
}

#[test]
fn a_higher_priority_is_handed_out_first_and_equals_in_their_order() {
    let mut desk = Desk::starting(1);
    for (job, priority) in [(1, 0), (2, -1), (3, 4), (4, 0), (5, 4), (6, 9)] {
        desk.submit_with(job, urgent(priority));
    }
    desk.ready(1);
    let mut order = Vec::new();
    while let Some(&(job, attempt)) = desk.scheduler.workers[&WorkerId(1)].jobs.front() {
        order.push(job.0);
        desk.done(1, job.0, attempt.0, Outcome::Ok);
    }
    assert_eq!(order, [6, 3, 5, 1, 4, 2]);
}
