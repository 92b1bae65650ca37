//! Turns of the scheduler one by one: what the simulated world is too large to
//! show exactly, above all when something happens and when it does not yet.

mod agents;
mod gate;
mod order;
mod stuck;
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
fn a_limit_counts_from_the_turn_and_its_end_from_the_request() {
    let mut desk = Desk::with(1);
    desk.submit(1);
    desk.submit_with(2, limited(50 * MS));
    desk.wait(100 * MS);
    desk.done(1, 1, 1, Outcome::Ok);
    desk.wait(49 * MS);
    assert_eq!(desk.wanted, []);
    desk.wait(MS);
    let (worker, job, attempt) = (WorkerId(1), JobId(2), Attempt(1));
    let cancel = Action::Cancel {
        worker,
        job,
        attempt,
        overdue: true,
    };
    assert_eq!(desk.wanted, [cancel]);
    // The grace, and what the worker may take to say so.
    desk.wait(29 * MS);
    assert!(!desk.kills(1));
    desk.wait(MS);
    assert!(desk.kills(1));
    desk.gone(1, Blame::Job(job, attempt));
    assert_eq!(desk.verdicts(), [(2, Verdict::Timeout, 1)]);
    assert_eq!(desk.spawns(), 1, "at once: it was our doing");
}

#[test]
fn the_first_reason_to_end_decides_and_a_good_end_is_one() {
    let mut desk = Desk::with(1);
    desk.submit_with(1, limited(50 * MS));
    desk.tell(Input::Cancel { job: JobId(1) });
    desk.wait(20 * MS);
    desk.done(1, 1, 1, Outcome::Failed(9));
    assert_eq!(desk.verdicts(), [(1, Verdict::Cancelled, 1)]);
    desk.submit_with(2, limited(10 * MS));
    desk.wait(15 * MS);
    desk.done(1, 2, 1, Outcome::Ok);
    assert_eq!(desk.verdicts(), [(2, Verdict::Ok, 1)]);
    // Neither has left a deadline behind.
    desk.wait(1_000 * MS);
    assert_eq!(desk.wanted, []);
    assert_eq!(desk.scheduler.next_deadline(), None);
}

#[test]
fn a_cancelled_job_that_stands_behind_another_costs_that_one_nothing() {
    let mut desk = Desk::with(1);
    desk.submit(1);
    desk.submit(2);
    desk.tell(Input::Cancel { job: JobId(2) });
    // A worker that hears nothing while a job runs.
    desk.wait(1_000 * MS);
    assert!(!desk.kills(1));
    desk.done(1, 1, 1, Outcome::Ok);
    assert_eq!(desk.verdicts(), [(1, Verdict::Ok, 1)]);
    // Now it could hear it.
    desk.wait(30 * MS);
    assert!(desk.kills(1));
    desk.gone(1, Blame::Nobody);
    assert_eq!(desk.verdicts(), [(2, Verdict::Cancelled, 0)]);
}

#[test]
fn a_worker_that_is_killed_for_one_jobs_sake_crashes_no_other() {
    let mut desk = Desk::starting(1);
    let (worker, slots) = (WorkerId(1), 2);
    desk.tell(Input::Ready { worker, slots });
    desk.submit_with(1, Terms::default());
    desk.submit_with(2, limited(10 * MS));
    desk.wait(10 * MS);
    desk.wait(30 * MS);
    assert!(desk.kills(1));
    // Without a status page the older job would be to blame.
    desk.gone(1, Blame::Oldest);
    assert_eq!(desk.verdicts(), [(2, Verdict::Timeout, 1)]);
    desk.ready(2);
    assert_eq!(desk.worker_of(1), Some(2));
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
fn a_job_whose_turn_never_came_was_not_tried() {
    let mut desk = Desk::with(1);
    desk.submit(1);
    desk.submit(2);
    desk.tell(Input::Cancel { job: JobId(2) });
    desk.done(1, 2, 1, Outcome::Cancelled);
    assert_eq!(desk.verdicts(), [(2, Verdict::Cancelled, 0)]);
    desk.tell(Input::Cancel { job: JobId(1) });
    desk.done(1, 1, 1, Outcome::Cancelled);
    assert_eq!(desk.verdicts(), [(1, Verdict::Cancelled, 1)]);
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
fn after_a_withdrawal_nothing_starts() {
    let mut desk = Desk::with(1);
    for job in 1..=4 {
        desk.submit(job);
    }
    desk.tell(Input::Withdraw);
    let interrupted = |job| (job, Verdict::Interrupted, 0);
    assert_eq!(desk.verdicts(), [interrupted(3), interrupted(4)]);
    let recall = Action::Recall {
        worker: WorkerId(1),
        jobs: vec![(JobId(2), Attempt(1))],
    };
    assert!(desk.wanted.contains(&recall));
    let (worker, jobs) = (WorkerId(1), vec![(JobId(2), Attempt(1))]);
    desk.tell(Input::Recalled { worker, jobs });
    assert_eq!(desk.verdicts(), [interrupted(2)]);
    desk.submit(5);
    assert_eq!(desk.verdicts(), [interrupted(5)]);
    desk.done(1, 1, 1, Outcome::Ok);
    assert_eq!(desk.verdicts(), [(1, Verdict::Ok, 1)]);
}

#[test]
fn a_withdrawn_job_that_waits_for_another_attempt_ends_as_its_last_one() {
    let mut desk = Desk::with(1);
    desk.submit_with(1, retried(3));
    desk.done(1, 1, 1, Outcome::Failed(7));
    assert!(matches!(
        desk.wanted[..],
        [Action::Retry { attempts: 1, .. }]
    ));
    desk.tell(Input::Withdraw);
    assert_eq!(desk.verdicts(), [(1, Verdict::Failed(7), 1)]);
    assert_eq!(desk.scheduler.next_deadline(), None);
}

#[test]
fn a_worker_that_lived_long_begins_a_new_series() {
    let mut desk = Desk::with(1);
    // Idle deaths without end, but never soon after one another.
    for worker in 1..=20 {
        desk.wait(500 * MS);
        desk.gone(worker, Blame::Nobody);
        assert_eq!(desk.spawns(), 1, "at once");
        desk.ready(worker + 1);
    }
    // Soon after one another: the third in a row is the last.
    desk.wait(499 * MS);
    desk.gone(21, Blame::Nobody);
    assert_eq!(desk.spawns(), 0, "after a pause");
    desk.wait(5 * MS);
    desk.ready(22);
    desk.gone(22, Blame::Nobody);
    assert!(desk.wanted.contains(&Action::Broken));
}

#[test]
fn places_that_all_fail_end_the_pool_though_somebody_is_always_ready() {
    let mut desk = Desk::with(2);
    let mut newest = [1, 2];
    let mut last = 2;
    for round in 0..100 {
        let seat = round % 2;
        desk.gone(newest[seat], Blame::Nobody);
        if desk.wanted.contains(&Action::Broken) {
            assert_eq!(round, 11, "six deaths each");
            return;
        }
        desk.wait(100 * MS);
        last += 1;
        newest[seat] = last;
        desk.ready(last);
    }
    panic!("it goes on for ever");
}

#[test]
fn workers_that_die_at_start_one_after_the_other_end_the_pool() {
    let mut desk = Desk::starting(2);
    desk.gone(1, Blame::Nobody);
    desk.gone(2, Blame::Nobody);
    assert!(!desk.wanted.contains(&Action::Broken));
    // That another one is just being started is no hope any more.
    desk.gone(3, Blame::Nobody);
    assert!(desk.wanted.contains(&Action::Broken));
}

#[test]
fn a_place_that_fails_is_no_reason_to_give_up_while_another_works() {
    let mut desk = Desk::with(2);
    for worker in 2..20 {
        desk.gone(worker, Blame::Nobody);
        assert!(!desk.wanted.contains(&Action::Broken));
        desk.wait(100 * MS);
        desk.ready(worker + 1);
    }
}

#[test]
fn a_jobs_crash_is_no_reason_to_pause_or_to_give_up() {
    let mut desk = Desk::with(1);
    for n in 1..=20 {
        desk.submit(n);
        let worker = desk.worker_of(n).unwrap();
        desk.gone(worker, Blame::Job(JobId(n), Attempt(1)));
        assert_eq!(desk.verdicts(), [(n, Verdict::Crashed, 1)]);
        assert_eq!(desk.spawns(), 1, "at once");
        desk.ready(worker + 1);
    }
}

/// Two workers who have seen successes and failures; only what happens from now
/// on is to count.
fn with_a_past() -> Desk {
    let mut desk = Desk::starting(2);
    desk.took = MS / 100;
    (1..=2).for_each(|worker| desk.ready(worker));
    for job in 1..=3 {
        desk.run(job, Outcome::Failed(1));
        desk.run(job + 10, Outcome::Ok);
    }
    desk
}

/// Worker 1 fails at this job, while worker 2 has others.
fn fail(desk: &mut Desk, job: u64, others: &[Outcome]) {
    desk.submit(job);
    assert_eq!(desk.worker_of(job), Some(1));
    for (n, outcome) in (1..).zip(others) {
        assert_eq!(desk.run(job * 1000 + n, *outcome), 2);
    }
    desk.done(1, job, 1, Outcome::Failed(1));
}

fn retires(desk: &Desk) -> bool {
    let retires = |action: &Action| matches!(action, Action::Retire { failures: 5, .. });
    desk.wanted.iter().any(retires)
}

#[test]
fn f030_five_failures_alone_and_five_successes_elsewhere_replace_a_worker() {
    let mut desk = with_a_past();
    for job in 21..=25 {
        assert!(!retires(&desk), "before {job}");
        fail(&mut desk, job, &[Outcome::Ok, Outcome::Ok]);
    }
    assert!(retires(&desk));
    // It is not counted as a death, and its place is taken at once.
    assert_eq!(desk.spawns(), 1);
    desk.gone(1, Blame::Nobody);
    assert_eq!(desk.spawns(), 0);
}

#[test]
fn f030_a_worker_is_kept_when_others_fail_too_or_have_not_done_enough() {
    let failures = |others: &[Outcome]| {
        let mut desk = with_a_past();
        fail(&mut desk, 21, &[]);
        fail(&mut desk, 22, others);
        (23..=25).for_each(|job| fail(&mut desk, job, &[]));
        retires(&desk)
    };
    let (ok, failed) = (Outcome::Ok, Outcome::Failed(1));
    assert!(failures(&[ok; 5]));
    assert!(!failures(&[ok; 4]));
    assert!(!failures(&[ok, ok, failed, ok, ok, ok]));
    // These say nothing.
    assert!(failures(&[
        ok,
        Outcome::Cancelled,
        ok,
        Outcome::Rejected,
        ok,
        ok,
        ok
    ]));
    assert!(!failures(&[ok, ok, Outcome::Signaled(11), ok, ok, ok]));
    assert!(!failures(&[ok, ok, Outcome::SpawnError(2), ok, ok, ok]));
    // One success among the failures, and all begins again.
    let mut desk = with_a_past();
    (21..=24).for_each(|job| fail(&mut desk, job, &[ok; 5]));
    desk.run(90, ok);
    fail(&mut desk, 25, &[ok; 5]);
    assert!(!retires(&desk));
}

#[test]
fn a_retired_worker_gives_back_what_it_has_not_started() {
    let mut desk = with_a_past();
    for job in 21..=24 {
        fail(&mut desk, job, &[Outcome::Ok; 9]);
    }
    // Two more are with it when it fails for the fifth time.
    for job in 25..=29 {
        desk.submit(job);
    }
    let its: Vec<_> = desk.scheduler.workers[&WorkerId(1)]
        .jobs
        .iter()
        .copied()
        .collect();
    assert_eq!(its.len(), 3, "{its:?}");
    desk.done(1, its[0].0.0, 1, Outcome::Failed(1));
    let worker = WorkerId(1);
    let recall = Action::Recall {
        worker,
        jobs: vec![its[2]],
    };
    assert!(desk.wanted.contains(&recall));
    assert!(retires(&desk), "it is told so while it is at work");
    assert_eq!(desk.spawns(), 1);
    desk.tell(Input::Recalled {
        worker,
        jobs: vec![its[2]],
    });
    desk.wait(1_000 * MS);
    assert!(!desk.kills(1), "it has a job");
    desk.done(1, its[1].0.0, 1, Outcome::Ok);
    assert!(!desk.kills(1), "what it gave back was asked for");
    // Nobody waits for it for ever.
    desk.wait(29 * MS);
    assert!(!desk.kills(1));
    desk.wait(MS);
    assert!(desk.kills(1));
}

#[test]
fn a_suspect_is_not_starved_by_a_stream_of_others() {
    let mut desk = Desk::with(1);
    desk.submit_with(1, retried(5));
    desk.gone(1, Blame::Job(JobId(1), Attempt(1)));
    for job in 2..=100 {
        desk.submit(job);
    }
    desk.ready(2);
    desk.wait(20 * MS);
    // Its next attempt is due, and the worker has others: it gets no more.
    let mut done = 0;
    while desk.worker_of(1).is_none() {
        let running = desk.scheduler.running();
        let (job, attempt) = (running[0].job.0, running[0].attempt.0);
        desk.done(2, job, attempt, Outcome::Ok);
        done += 1;
        assert!(done < 5, "it waits for all others");
    }
    assert!(desk.worker_of(5).is_none(), "it is alone");
    // Told to stop in this very moment, nothing is left over.
    desk.tell(Input::Stop);
    assert_eq!(desk.verdicts().len(), 100 - done);
}

#[test]
fn the_quickest_to_be_empty_is_reserved_and_is_free_again_afterwards() {
    let mut desk = Desk::with(3);
    for job in 1..=3 {
        desk.submit(job);
    }
    desk.submit_with(4, retried(5));
    let holder = desk.worker_of(4).unwrap();
    // The one ahead of it crashes the worker, in the name of the other.
    let (job, _) = desk.scheduler.workers[&WorkerId(holder)].jobs[0];
    desk.done(holder, job.0, 1, Outcome::Ok);
    desk.gone(holder, Blame::Job(JobId(4), Attempt(1)));
    for worker in [1, 2, 3].into_iter().filter(|worker| *worker != holder) {
        let held = desk.scheduler.workers[&WorkerId(worker)].jobs[0];
        desk.tell(Input::Started {
            worker: WorkerId(worker),
            job: held.0,
            attempt: held.1,
        });
    }
    desk.wait(15 * MS);
    let reserved = desk.scheduler.reserved.unwrap();
    // A new worker comes: it is idle, and gets the suspect.
    desk.ready(4);
    assert_eq!(desk.worker_of(4), Some(4));
    assert_ne!(reserved, WorkerId(4));
    assert_eq!(desk.scheduler.reserved, None);
    desk.submit(5);
    assert!(
        desk.worker_of(5).is_some(),
        "whoever was reserved takes jobs"
    );
}

#[test]
fn jobs_behind_a_long_one_are_recalled_once_and_only_for_an_idle_worker() {
    let mut desk = Desk::with(2);
    for job in 1..=4 {
        desk.submit(job);
    }
    let long = desk.scheduler.running()[0];
    let other = desk.scheduler.running()[1];
    let (worker, job, attempt) = (long.worker, long.job, long.attempt);
    desk.tell(Input::Started {
        worker,
        job,
        attempt,
    });
    assert_eq!(desk.wanted, [], "nobody is idle");
    let behind = desk.scheduler.workers[&worker].jobs[1];
    let its: Vec<_> = desk.scheduler.workers[&other.worker]
        .jobs
        .iter()
        .copied()
        .collect();
    desk.done(other.worker.0, its[0].0.0, 1, Outcome::Ok);
    assert!(
        !desk
            .wanted
            .iter()
            .any(|a| matches!(a, Action::Recall { .. }))
    );
    desk.done(other.worker.0, its[1].0.0, 1, Outcome::Ok);
    let recall = Action::Recall {
        worker,
        jobs: vec![behind],
    };
    assert!(desk.wanted.contains(&recall));
    desk.wait(MS);
    assert_eq!(desk.wanted, [], "it was asked already");
    desk.tell(Input::Recalled {
        worker,
        jobs: vec![behind],
    });
    assert_eq!(desk.worker_of(behind.0.0), Some(other.worker.0));
}

#[test]
fn an_undead_worker_is_given_up_after_its_time() {
    let mut desk = Desk::with(1);
    desk.submit(1);
    let worker = WorkerId(1);
    desk.tell(Input::Violation { worker });
    assert!(desk.kills(1));
    desk.wait(49 * MS);
    assert_eq!(desk.wanted, []);
    desk.wait(MS);
    assert!(desk.wanted.contains(&Action::Abandon { worker }));
    assert_eq!(desk.verdicts(), [(1, Verdict::Unkillable, 1)]);
    assert_eq!(desk.spawns(), 1);
    // What it does later is nobody's business.
    desk.gone(1, Blame::Nobody);
    assert_eq!(desk.wanted, []);
}

#[test]
fn a_refused_start_is_tried_again_later_and_later() {
    let mut desk = Desk::starting(2);
    desk.ready(1);
    let refuse = |desk: &mut Desk, worker| {
        desk.tell(Input::Refused {
            worker: WorkerId(worker),
        });
    };
    for (worker, pause) in (2..).zip([5, 5, 10, 20, 40, 80, 100, 100]) {
        refuse(&mut desk, worker);
        assert_eq!(desk.spawns(), 0);
        desk.wait(pause * MS - MS / 2);
        assert_eq!(desk.spawns(), 0, "{pause}");
        desk.wait(MS / 2);
        assert_eq!(desk.spawns(), 1, "{pause}");
    }
    // One lives, so there is no end to that.
    desk.wait(10_000 * MS);
    assert!(!desk.wanted.contains(&Action::Broken));
}

#[test]
fn a_second_kill_is_none_and_one_after_a_stop_is() {
    let mut desk = Desk::with(2);
    desk.submit(1);
    desk.tell(Input::Stop);
    assert_eq!(desk.verdicts(), [(1, Verdict::Cancelled, 1)]);
    assert!(!desk.kills(1) && !desk.kills(2));
    desk.tell(Input::Kill);
    assert!(desk.kills(1) && desk.kills(2));
    desk.tell(Input::Kill);
    assert_eq!(desk.wanted, []);
    desk.gone(1, Blame::Nobody);
    desk.gone(2, Blame::Nobody);
    assert_eq!(desk.wanted, [Action::Ended]);
}

fn urgent(priority: i32) -> Terms {
    Terms {
        priority,
        ..Terms::default()
    }
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

#[test]
fn a_suspect_waits_behind_a_higher_priority_and_keeps_no_worker_from_it() {
    let mut desk = Desk::with(1);
    desk.submit_with(1, retried(5));
    desk.gone(1, Blame::Job(JobId(1), Attempt(1)));
    for job in 2..=4 {
        desk.submit_with(job, urgent(1));
    }
    desk.ready(2);
    desk.wait(20 * MS);
    assert_eq!(desk.worker_of(1), None);
    assert_eq!(desk.scheduler.reserved, None);
    for job in 2..=4 {
        desk.done(2, job, 1, Outcome::Ok);
        assert_eq!(desk.worker_of(1).is_some(), job == 4, "after job {job}");
    }
}
