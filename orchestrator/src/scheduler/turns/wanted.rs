//! What few pools ask for: jobs that are wanted back, that have a grace of their own or
//! may not grow, workers that come with the jobs.

use super::super::hand_out::BETWEEN_LOOKS;
use super::*;

impl Desk {
    fn under_rules(rules: SchedulerConfig) -> Desk {
        let mut desk = Desk::starting(1);
        desk.scheduler = Scheduler::new(rules, Duration::ZERO);
        desk.poll();
        desk
    }

    fn give_back(&mut self, jobs: &[u64]) {
        let jobs = jobs.iter().copied().map(JobId).collect();
        self.tell(Input::GiveBack { jobs });
    }

    fn kept(&self) -> Vec<u64> {
        let kept = self.wanted.iter().filter_map(|action| match action {
            Action::Kept { job } => Some(job.0),
            _ => None,
        });
        kept.collect()
    }

    fn recalled(&mut self, worker: u32, jobs: &[(u64, u32)]) {
        let worker = WorkerId(worker);
        let jobs = jobs.iter().map(|&(job, n)| (JobId(job), Attempt(n)));
        let jobs = jobs.collect();
        self.tell(Input::Recalled { worker, jobs });
    }
}

#[test]
fn what_is_wanted_back_comes_back_unless_it_has_started() {
    let mut desk = Desk::with(1);
    // One runs, one is ahead at the worker, the third is queued.
    (1..=3).for_each(|job| desk.submit(job));
    desk.give_back(&[1, 2, 3, 77]);
    assert_eq!(desk.kept(), [1]);
    assert_eq!(desk.verdicts(), [(3, Verdict::Interrupted, 0)]);
    let asked = Action::Recall {
        worker: WorkerId(1),
        jobs: vec![(JobId(2), Attempt(1))],
    };
    assert!(desk.wanted.contains(&asked));
    desk.recalled(1, &[(2, 1)]);
    assert_eq!(desk.verdicts(), [(2, Verdict::Interrupted, 0)]);
    desk.done(1, 1, 1, Outcome::Ok);
    assert_eq!(desk.verdicts(), [(1, Verdict::Ok, 1)]);
}

#[test]
fn what_its_worker_does_not_give_back_stays_and_that_is_told() {
    let mut desk = Desk::with(1);
    (1..=2).for_each(|job| desk.submit(job));
    desk.give_back(&[2]);
    desk.done(1, 1, 1, Outcome::Ok);
    assert_eq!(desk.kept(), [0_u64; 0]);
    desk.recalled(1, &[]);
    assert_eq!(desk.kept(), [2]);
    desk.done(1, 2, 1, Outcome::Failed(1));
    assert_eq!(desk.verdicts(), [(2, Verdict::Failed(1), 1)]);
    // A job that was tried is not given back.
    desk.submit_with(3, retried(1));
    desk.done(1, 3, 1, Outcome::Failed(1));
    desk.give_back(&[3]);
    assert_eq!(desk.kept(), [3]);
}

#[test]
fn what_was_wanted_back_from_a_worker_that_dies_comes_back() {
    let mut desk = Desk::with(1);
    (1..=2).for_each(|job| desk.submit(job));
    desk.give_back(&[2]);
    desk.gone(1, Blame::Job(JobId(1), Attempt(1)));
    let mut verdicts = desk.verdicts();
    verdicts.sort_by_key(|v| v.0);
    assert_eq!(
        verdicts,
        [(1, Verdict::Crashed, 1), (2, Verdict::Interrupted, 0)]
    );
}

#[test]
fn a_job_may_have_a_grace_of_its_own_and_its_last_answer_always_has_time() {
    for (grace, until_killed) in [(0, 5), (3, 5), (200, 200)] {
        let mut desk = Desk::with(1);
        let terms = Terms {
            grace: Some(grace * MS),
            ..Terms::default()
        };
        desk.submit_with(1, terms);
        desk.tell(Input::Cancel { job: JobId(1) });
        desk.wait((until_killed - 1) * MS);
        assert!(!desk.kills(1), "{grace}");
        desk.wait(MS);
        assert!(desk.kills(1), "{grace}");
        desk.gone(1, Blame::Job(JobId(1), Attempt(1)));
        assert_eq!(desk.verdicts(), [(1, Verdict::Cancelled, 1)]);
    }
}

#[test]
fn a_job_that_grows_is_looked_at_and_killed_when_it_is_too_large() {
    let mut desk = Desk::with(1);
    let terms = Terms {
        weighed: true,
        retries: 1,
        ..Terms::default()
    };
    desk.submit_with(1, terms);
    desk.submit(2);
    let looks = Action::Weigh {
        worker: WorkerId(1),
        job: JobId(1),
    };
    for _ in 0..3 {
        desk.wait(BETWEEN_LOOKS);
        assert!(desk.wanted.contains(&looks));
    }
    desk.tell(Input::Outgrown { job: JobId(1) });
    assert!(desk.kills(1));
    desk.gone(1, Blame::Job(JobId(1), Attempt(1)));
    let again = desk.wanted.iter().any(|action| {
        matches!(
            action,
            Action::Retry {
                verdict: Verdict::Oom,
                ..
            }
        )
    });
    assert!(again && desk.verdicts().is_empty());
    // One that is not there any more.
    desk.tell(Input::Outgrown { job: JobId(1) });
    assert!(!desk.kills(2));
}

#[test]
fn workers_that_go_behind_their_jobs_end_no_pool() {
    let mut desk = Desk::with(3);
    let mut first = 1;
    for round in 0..10_u64 {
        let mut jobs = Vec::new();
        for job in (first..first + 3).map(u64::from) {
            desk.submit(job);
            jobs.push((desk.worker_of(job).expect("an idle worker"), job));
        }
        for (worker, job) in jobs {
            desk.done(worker, job, 1, Outcome::Ok);
        }
        // All at once, and nobody is ready.
        for worker in first..first + 3 {
            let worker = WorkerId(worker);
            desk.tell(Input::Leaving { worker });
        }
        (first..first + 3).for_each(|worker| desk.gone(worker, Blame::Nobody));
        assert!(!desk.wanted.contains(&Action::Broken), "round {round}");
        first += 3;
        (first..first + 3).for_each(|worker| desk.ready(worker));
    }
}

#[test]
fn few_workers_are_started_at_first_and_the_others_with_the_jobs() {
    let timeout = 50 * MS;
    let rules = SchedulerConfig {
        min_workers: Some(1),
        idle_timeout: Some(timeout),
        ..config(3)
    };
    let mut desk = Desk::under_rules(rules);
    assert_eq!(desk.spawns(), 1);
    let drains = |desk: &Desk| {
        let drain = |action: &&Action| matches!(action, Action::Drain { .. });
        desk.wanted.iter().filter(drain).count()
    };
    desk.ready(1);
    (1..=2).for_each(|job| desk.submit(job));
    assert_eq!(desk.spawns(), 0, "the second may be a short wait");
    desk.submit(3);
    assert_eq!(desk.spawns(), 1);
    desk.ready(2);
    desk.done(1, 1, 1, Outcome::Ok);
    desk.done(1, 2, 1, Outcome::Ok);
    desk.done(2, 3, 1, Outcome::Ok);
    desk.wait(2 * timeout);
    assert_eq!(drains(&desk), 1, "one is kept");
    desk.wait(2 * timeout);
    assert_eq!(drains(&desk), 0);
    // A larger pool does not start more than it needs either.
    desk.tell(Input::Resize { workers: 5 });
    assert_eq!(desk.spawns(), 0);
    desk.tell(Input::Resize { workers: 1 });
    assert_eq!(drains(&desk), 0);
}
