//! Jobs that a worker has died with: they run alone, and get their turn.

use super::*;

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
