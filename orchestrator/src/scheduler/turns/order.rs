//! Who starts before whom: the order in which jobs came, as far as there are free slots.

use super::super::window::{PATIENCE, PATIENCE_AFAR};
use super::*;

/// Whoever becomes ready has done nothing yet.
fn comes(desk: &mut Desk, worker: u32, slots: u32) {
    let worker = WorkerId(worker);
    let ready = Input::Ready { worker, slots };
    desk.scheduler.handle(desk.now, ready);
    desk.poll();
}

/// Each of these jobs, and to whom it was sent in this turn.
fn sent(desk: &Desk) -> Vec<(u64, u32)> {
    let sent = |action: &Action| match action {
        Action::Send { worker, job, .. } => Some((job.0, worker.0)),
        _ => None,
    };
    desk.wanted.iter().filter_map(sent).collect()
}

#[test]
fn long_jobs_start_in_their_order_whoever_is_ready_first() {
    let mut desk = Desk::starting(2);
    (1..=5).for_each(|job| desk.submit(job));
    comes(&mut desk, 1, 1);
    assert_eq!(sent(&desk), [(1, 1)], "nobody knows how long that takes");
    comes(&mut desk, 2, 1);
    assert_eq!(sent(&desk), [(2, 2)]);
    let mut at = [(1, 1), (2, 2)];
    for (next, ends) in (3..=5).zip([0, 1, 0]) {
        desk.took = 100 * MS;
        desk.wait(desk.took);
        let (job, worker) = at[ends];
        desk.done(worker, job, 1, Outcome::Ok);
        assert_eq!(sent(&desk), [(next, worker)], "the next one, and no other");
        at[ends] = (next, worker);
    }
}

#[test]
fn what_several_workers_give_back_starts_in_its_order_and_before_what_came_later() {
    let mut desk = Desk::with(3);
    // Four, five and six wait behind one, two and three; nobody has the rest.
    (1..=8).for_each(|job| desk.submit(job));
    for worker in 1..=3 {
        desk.tell(Input::Started {
            worker: WorkerId(worker),
            job: JobId(worker.into()),
            attempt: Attempt(1),
        });
    }
    desk.wait(PATIENCE);
    for worker in [1, 3, 2] {
        desk.tell(Input::Recalled {
            worker: WorkerId(worker),
            jobs: vec![(JobId(u64::from(worker) + 3), Attempt(1))],
        });
    }
    desk.took = 2 * PATIENCE;
    let mut order = Vec::new();
    for (worker, ends) in [(3, 3), (1, 1), (2, 2), (3, 4), (1, 5)] {
        desk.done(worker, ends, 1, Outcome::Ok);
        order.extend(sent(&desk));
    }
    assert_eq!(order, [(4, 3), (5, 1), (6, 2), (7, 3), (8, 1)]);
}

#[test]
fn jobs_that_are_tried_again_at_the_same_time_keep_their_order() {
    let mut desk = Desk::starting(2);
    (1..=2).for_each(|worker| comes(&mut desk, worker, 1));
    desk.took = PATIENCE;
    for job in 1..=5 {
        desk.submit_with(job, retried(1));
    }
    // Whichever fails first.
    desk.done(2, 2, 1, Outcome::Failed(1));
    desk.done(1, 1, 1, Outcome::Failed(1));
    desk.wait(2 * desk.scheduler.config.retry_backoff);
    let mut order = Vec::new();
    for (worker, job, attempt) in [(1, 4, 1), (2, 3, 1), (1, 1, 2)] {
        desk.done(worker, job, attempt, Outcome::Ok);
        order.extend(sent(&desk));
    }
    assert_eq!(order, [(1, 1), (2, 2), (5, 1)]);
}

#[test]
fn an_agent_that_has_done_nothing_gets_no_more_than_it_can_run() {
    let mut rules = config(2);
    rules.agents = 2;
    let mut desk = Desk::of(rules);
    (1..=9).for_each(|job| desk.submit(job));
    comes(&mut desk, 1, 2);
    assert_eq!(sent(&desk), [(1, 1), (2, 1)]);
    comes(&mut desk, 2, 2);
    assert_eq!(sent(&desk), [(3, 2), (4, 2)]);
    // Long ones here are not yet so for an agent, which is further away.
    desk.took = PATIENCE_AFAR / 2;
    desk.done(1, 1, 1, Outcome::Ok);
    assert_eq!(sent(&desk), [(5, 1), (6, 1), (7, 1)]);
    desk.took = PATIENCE_AFAR;
    desk.done(2, 3, 1, Outcome::Ok);
    assert_eq!(sent(&desk), [(8, 2)]);
}

/// Two agents with two slots each whose jobs took half a second: four jobs run, four are ahead
/// of their turn, and one is with nobody.
fn agents_with_jobs_ahead() -> Desk {
    let mut rules = config(2);
    rules.agents = 2;
    let mut desk = Desk::of(rules);
    desk.took = PATIENCE_AFAR / 2;
    let slots = 2;
    for worker in [WorkerId(1), WorkerId(2)] {
        desk.tell(Input::Ready { worker, slots });
    }
    (1..=9).for_each(|job| desk.submit(job));
    let held = |worker| desk.scheduler.workers[&WorkerId(worker)].jobs.len();
    assert_eq!((held(1), held(2)), (4, 4));
    desk
}

/// This agent says of the jobs that it runs that they do not end at once.
fn says_that_all_run(desk: &mut Desk, worker: u32) -> Vec<(JobId, Attempt)> {
    let held = desk.scheduler.workers[&WorkerId(worker)].jobs.clone();
    for &(job, attempt) in held.iter().take(2) {
        desk.tell(Input::Started {
            worker: WorkerId(worker),
            job,
            attempt,
        });
    }
    held.into()
}

fn asks_for(desk: &Desk, worker: u32) -> Vec<(JobId, Attempt)> {
    let asked = desk.wanted.iter().find_map(|action| match action {
        Action::Recall { worker: who, jobs } if who.0 == worker => Some(jobs.clone()),
        _ => None,
    });
    asked.unwrap_or_default()
}

#[test]
fn an_agent_none_of_whose_jobs_ends_gives_back_what_waits_there() {
    let mut desk = agents_with_jobs_ahead();
    let held = says_that_all_run(&mut desk, 1);
    desk.wait(PATIENCE_AFAR - MS);
    assert_eq!(asks_for(&desk, 1), []);
    desk.wait(MS);
    assert_eq!(asks_for(&desk, 1), held[2..]);
    let (worker, jobs) = (WorkerId(1), held[2..].to_vec());
    desk.tell(Input::Recalled { worker, jobs });
    assert_eq!(desk.wanted, [], "nothing more waits there");
    // Whoever is free first gets the oldest.
    let theirs = desk.scheduler.workers[&WorkerId(2)].jobs.clone();
    desk.done(2, theirs[0].0.0, 1, Outcome::Ok);
    assert_eq!(sent(&desk)[0], (held[2].0.0, 2));
    desk.took = 3 * PATIENCE_AFAR;
    desk.done(1, held[0].0.0, 1, Outcome::Ok);
    assert_eq!(sent(&desk), [(held[3].0.0, 1)], "as many as can run");
}

#[test]
fn an_agent_keeps_what_waits_there_as_long_as_its_jobs_end_now_and_then() {
    let mut desk = agents_with_jobs_ahead();
    let held = says_that_all_run(&mut desk, 1);
    desk.wait(PATIENCE_AFAR / 2);
    desk.done(1, held[0].0.0, 1, Outcome::Ok);
    desk.wait(PATIENCE_AFAR / 2);
    assert_eq!(asks_for(&desk, 1), []);
    desk.wait(PATIENCE_AFAR - MS);
    assert_eq!(asks_for(&desk, 1), []);
    desk.wait(MS);
    let waits = desk.scheduler.workers[&WorkerId(1)].jobs.clone();
    let waits: Vec<_> = waits.into_iter().skip(2).collect();
    assert!(!waits.is_empty());
    assert_eq!(asks_for(&desk, 1), waits);
    // It does not have them any more: it is not asked again.
    let worker = WorkerId(1);
    desk.tell(Input::Recalled {
        worker,
        jobs: Vec::new(),
    });
    desk.wait(5 * PATIENCE_AFAR);
    assert_eq!(asks_for(&desk, 1), []);
}

#[test]
fn what_comes_later_and_waits_behind_long_jobs_at_an_agent_is_given_back_too() {
    let mut rules = config(1);
    rules.agents = 1;
    let mut desk = Desk::of(rules);
    desk.took = PATIENCE_AFAR / 2;
    let (worker, slots) = (WorkerId(1), 2);
    desk.tell(Input::Ready { worker, slots });
    (1..=3).for_each(|job| desk.submit(job));
    says_that_all_run(&mut desk, 1);
    desk.wait(PATIENCE_AFAR / 2);
    desk.done(1, 2, 1, Outcome::Ok);
    says_that_all_run(&mut desk, 1);
    // Nothing waits there when it is looked at, and all that runs has said that it does.
    desk.wait(PATIENCE_AFAR / 2);
    desk.submit(4);
    assert_eq!(sent(&desk), [(4, 1)], "it knows short ones, too");
    desk.wait(PATIENCE_AFAR - MS);
    assert_eq!(asks_for(&desk, 1), []);
    desk.wait(MS);
    assert_eq!(asks_for(&desk, 1), [(JobId(4), Attempt(1))]);
}

#[test]
fn an_agent_that_has_just_been_asked_for_one_job_gives_back_the_others_as_well() {
    let mut desk = agents_with_jobs_ahead();
    let held = says_that_all_run(&mut desk, 1);
    let theirs = desk.scheduler.workers[&WorkerId(2)].jobs.clone();
    // All of those and the ninth: one slot is free there, and nothing waits but here.
    desk.took = MS;
    for (job, _) in theirs {
        desk.done(2, job.0, 1, Outcome::Ok);
    }
    let one = asks_for(&desk, 1);
    assert_eq!(one, held[3..], "for the one slot that is free");
    desk.wait(PATIENCE_AFAR);
    assert_eq!(asks_for(&desk, 1), [], "it has not answered");
    let worker = WorkerId(1);
    desk.tell(Input::Recalled { worker, jobs: one });
    assert_eq!(asks_for(&desk, 1), held[2..3]);
    // It has begun with that one: it is not asked again and again.
    let jobs = Vec::new();
    desk.tell(Input::Recalled { worker, jobs });
    desk.wait(5 * PATIENCE_AFAR);
    assert_eq!(asks_for(&desk, 1), []);
}
