//! Jobs that are told to end: at their limits, by whoever wants them no more, with all others.

use super::*;

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
