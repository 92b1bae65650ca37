//! Workers that die or cannot be started: who follows them, when, and when that is given up.

use super::*;

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
