//! Workers that fail at whatever they are given while others do not: they are replaced.

use super::*;

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
