//! When jobs may start, what makes room, and limits by what others took.

use super::*;
use crate::scheduler::timer::Timer;

fn desk(workers: u32, change: impl FnOnce(&mut SchedulerConfig)) -> Desk {
    let mut rules = config(workers as usize);
    rules.ahead = Duration::ZERO;
    change(&mut rules);
    let mut desk = Desk::starting(workers);
    desk.scheduler = Scheduler::new(rules, Duration::ZERO);
    desk.poll();
    (1..=workers).for_each(|worker| desk.ready(worker));
    desk
}

/// How many jobs were sent in this turn.
fn sent(desk: &Desk) -> usize {
    let send = |action: &&Action| matches!(action, Action::Send { .. });
    desk.wanted.iter().filter(send).count()
}

#[test]
fn jobs_start_one_after_the_other_with_a_pause_between() {
    let mut desk = desk(4, |rules| rules.start_delay = 10 * MS);
    for job in 1..=3 {
        desk.submit(job);
        assert_eq!(sent(&desk), usize::from(job == 1));
    }
    assert_eq!(desk.scheduler.next_deadline(), Some(10 * MS));
    for _ in 0..2 {
        desk.wait(9 * MS);
        assert_eq!(sent(&desk), 0);
        desk.wait(MS);
        assert_eq!(sent(&desk), 1);
    }
    // Nothing waits, so no deadline is left, and the pause is still kept.
    desk.wait(5 * MS);
    assert_eq!(desk.scheduler.next_deadline(), None);
    desk.submit(4);
    assert_eq!(sent(&desk), 0);
    desk.wait(5 * MS);
    assert_eq!(sent(&desk), 1);
}

#[test]
fn a_further_attempt_is_a_start() {
    let mut desk = desk(2, |rules| {
        rules.start_delay = 100 * MS;
        rules.retry_backoff = Duration::ZERO;
    });
    desk.submit_with(1, retried(1));
    desk.wait(50 * MS);
    desk.done(1, 1, 1, Outcome::Failed(1));
    desk.wait(49 * MS);
    assert_eq!(sent(&desk), 0);
    desk.wait(MS);
    assert_eq!(sent(&desk), 1);
}

#[test]
fn a_pause_adapts_to_how_jobs_end() {
    let mut desk = desk(1, |rules| {
        rules.start_delay = 100 * MS;
        rules.start_delay_adapts = true;
    });
    desk.submit(1);
    desk.done(1, 1, 1, Outcome::Failed(1));
    desk.wait(100 * MS);
    desk.submit(2);
    assert_eq!(sent(&desk), 1, "the pause behind the first was 100 ms");
    desk.done(1, 2, 1, Outcome::Ok);
    desk.submit(3);
    desk.wait(129 * MS);
    assert_eq!(sent(&desk), 0);
    desk.wait(MS);
    assert_eq!(sent(&desk), 1);
}

#[test]
fn without_leave_no_job_starts_and_then_as_many_as_it_is_for() {
    let mut desk = desk(4, |rules| rules.starts_by_leave = true);
    for job in 1..=4 {
        desk.submit(job);
        assert_eq!(sent(&desk), 0);
    }
    assert_eq!(desk.scheduler.next_deadline(), None, "nothing to look for");
    desk.tell(Input::Leave { starts: 2 });
    assert_eq!(sent(&desk), 2);
    desk.tell(Input::Leave { starts: 0 });
    assert_eq!(sent(&desk), 0);
    desk.tell(Input::Leave { starts: 9 });
    assert_eq!(sent(&desk), 2);
}

#[test]
fn leave_means_nothing_where_none_is_needed() {
    let mut desk = Desk::with(1);
    desk.tell(Input::Leave { starts: 0 });
    desk.submit(1);
    assert_eq!(sent(&desk), 1);
}

fn put_back(desk: &mut Desk) -> Option<u64> {
    let job = desk.scheduler.spare()?;
    desk.tell(Input::PutBack { job });
    Some(job.0)
}

/// Two workers with a job each, the second of which began last.
fn two_run() -> Desk {
    let mut desk = desk(2, |_| {});
    desk.submit(1);
    desk.wait(MS);
    desk.submit_with(2, retried(1));
    desk
}

#[test]
fn the_job_that_began_last_makes_room_and_begins_again_as_if_it_never_had() {
    let mut desk = two_run();
    desk.submit(3);
    assert_eq!(put_back(&mut desk), Some(2));
    let cancel = |action: &Action| matches!(action, Action::Cancel { job: JobId(2), .. });
    assert!(desk.wanted.iter().any(cancel));
    assert_eq!(desk.scheduler.spare(), None, "one at a time");
    desk.done(2, 2, 1, Outcome::Cancelled);
    assert!(desk.wanted.contains(&Action::PutBack { job: JobId(2) }));
    // It goes before those that came later, and it is still its first try.
    let again = Action::Send {
        worker: WorkerId(2),
        job: JobId(2),
        attempt: Attempt(1),
    };
    assert!(desk.wanted.contains(&again), "{:?}", desk.wanted);
    desk.done(2, 2, 1, Outcome::Failed(1));
    assert_eq!(desk.verdicts(), [], "it has a retry left");
    assert!(!desk.scheduler.timers.is_set(Timer::Cancel(JobId(2))));
}

#[test]
fn the_only_job_is_not_put_back() {
    let mut desk = desk(2, |_| {});
    desk.submit(1);
    assert_eq!(put_back(&mut desk), None);
    // Nor one that is not running any more.
    desk.done(1, 1, 1, Outcome::Ok);
    desk.tell(Input::PutBack { job: JobId(1) });
    assert_eq!(desk.wanted, []);
}

#[test]
fn a_job_that_ends_well_before_it_hears_of_it_has_ended_well() {
    let mut desk = two_run();
    put_back(&mut desk);
    desk.done(2, 2, 1, Outcome::Ok);
    assert_eq!(desk.verdicts(), [(2, Verdict::Ok, 1)]);
}

#[test]
fn a_job_that_does_not_make_room_in_time_loses_its_worker_and_nothing_else() {
    let mut desk = two_run();
    put_back(&mut desk);
    desk.wait(30 * MS);
    assert!(desk.kills(2));
    desk.gone(2, Blame::Job(JobId(2), Attempt(1)));
    assert_eq!(desk.verdicts(), []);
    assert!(desk.wanted.contains(&Action::PutBack { job: JobId(2) }));
    desk.ready(3);
    assert_eq!(desk.worker_of(2), Some(3));
    desk.done(3, 2, 1, Outcome::Ok);
    assert_eq!(desk.verdicts(), [(2, Verdict::Ok, 1)]);
}

#[test]
fn a_job_that_makes_room_may_end_for_good_meanwhile() {
    for (input, verdict) in [
        (Input::Cancel { job: JobId(2) }, Verdict::Cancelled),
        (Input::Withdraw, Verdict::Interrupted),
        (Input::Interrupt, Verdict::Interrupted),
    ] {
        let mut desk = two_run();
        put_back(&mut desk);
        desk.tell(input);
        desk.done(2, 2, 1, Outcome::Cancelled);
        assert_eq!(desk.verdicts(), [(2, verdict, 1)]);
        desk.done(1, 1, 1, Outcome::Ok);
        assert_eq!(desk.verdicts().len(), 1);
    }
}

#[test]
fn time_is_limited_by_what_others_took() {
    let mut desk = desk(3, |rules| rules.timeout_percent = Some(200.0));
    desk.submit(1);
    desk.submit_with(2, limited(10_000 * MS));
    desk.submit(3);
    desk.wait(1_000 * MS);
    assert_eq!(desk.wanted, [], "nobody has ended yet");
    // A failure measures nobody.
    (desk.took, desk.size.rss) = (10 * MS, 1);
    desk.submit(4);
    desk.done(1, 1, 1, Outcome::Failed(1));
    desk.wait(MS);
    assert!(desk.scheduler.next_deadline() >= Some(10_000 * MS));
    // The fourth ends well after 600 ms; the third has run for 1,601 ms by then.
    let worker = desk
        .scheduler
        .running()
        .iter()
        .find(|r| r.job.0 == 4)
        .map(|r| r.worker.0);
    desk.took = 600 * MS;
    desk.wait(600 * MS);
    desk.done(worker.unwrap(), 4, 1, Outcome::Ok);
    desk.wait(Duration::ZERO);
    let overdue = |desk: &Desk| -> Vec<u64> {
        let cancel = |action: &Action| match action {
            Action::Cancel {
                job, overdue: true, ..
            } => Some(job.0),
            _ => None,
        };
        desk.wanted.iter().filter_map(cancel).collect()
    };
    assert_eq!(
        overdue(&desk),
        [3],
        "and not the one with a limit of its own"
    );
    // A new one has as long as that.
    desk.submit(5);
    desk.wait(1_000 * MS);
    assert!(overdue(&desk).is_empty());
    desk.wait(300 * MS);
    assert_eq!(overdue(&desk), [5]);
}

#[test]
fn a_limit_grows_when_others_take_longer() {
    let mut desk = desk(2, |rules| rules.timeout_percent = Some(200.0));
    desk.took = 100 * MS;
    desk.run(1, Outcome::Ok);
    desk.submit(2);
    // Three that take long: half of them are above.
    desk.took = 1_000 * MS;
    for job in 3..=5 {
        desk.run(job, Outcome::Ok);
    }
    desk.wait(300 * MS);
    assert_eq!(desk.wanted, []);
    desk.wait(2_000 * MS);
    assert_eq!(desk.wanted.len(), 1, "{:?}", desk.wanted);
}
