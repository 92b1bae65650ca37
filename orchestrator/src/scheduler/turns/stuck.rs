//! Jobs that were sent ahead and turn out to wait behind a long one.

use super::super::window::PATIENCE;
use super::*;

/// One worker with a job that runs for long, and so many tiny ones behind it.
fn stuck(behind: u64) -> Desk {
    let mut desk = Desk::with(1);
    desk.took = Duration::from_micros(1);
    for job in 1000..1100 {
        desk.run(job, Outcome::Ok);
    }
    (1..=behind + 1).for_each(|job| desk.submit(job));
    desk.says_started(1);
    desk
}

fn prior(priority: i32) -> Terms {
    Terms {
        priority,
        ..Terms::default()
    }
}

impl Desk {
    fn says_started(&mut self, job: u64) {
        self.tell(Input::Started {
            worker: WorkerId(1),
            job: JobId(job),
            attempt: Attempt(1),
        });
    }

    /// What worker 1 is asked to give back in this turn.
    fn asked_back(&self) -> Vec<(JobId, Attempt)> {
        let recalled = self.wanted.iter().find_map(|action| match action {
            Action::Recall { worker, jobs } if worker.0 == 1 => Some(jobs.clone()),
            _ => None,
        });
        recalled.unwrap_or_default()
    }

    fn gives_back(&mut self, jobs: Vec<(JobId, Attempt)>) {
        let worker = WorkerId(1);
        self.tell(Input::Recalled { worker, jobs });
    }
}

#[test]
fn what_is_more_urgent_goes_before_what_was_sent_ahead() {
    let mut desk = stuck(10);
    desk.wait(PATIENCE - MS);
    assert_eq!(desk.asked_back(), []);
    desk.submit_with(50, prior(5));
    assert_eq!(desk.worker_of(50), None, "the worker is full");
    desk.wait(MS);
    let back = desk.asked_back();
    assert_eq!(back.len(), 10);
    desk.gives_back(back);
    assert_eq!(desk.wanted, [], "nothing is sent behind that job any more");
    desk.wait(PATIENCE);
    assert_eq!(desk.wanted, []);
    desk.took = PATIENCE;
    desk.done(1, 1, 1, Outcome::Ok);
    assert_eq!(desk.worker_of(50), Some(1));
}

#[test]
fn who_is_free_first_gets_what_waits_and_in_its_order() {
    let mut desk = Desk::with(2);
    for job in 1..=6 {
        desk.submit(job);
    }
    // 1 and 3 at the first worker, 2 and 4 at the second, 5 and 6 with nobody.
    desk.says_started(1);
    desk.wait(PATIENCE);
    let back = desk.asked_back();
    assert_eq!(back, [(JobId(3), Attempt(1))]);
    desk.gives_back(back);
    desk.done(2, 2, 1, Outcome::Ok);
    assert_eq!(desk.worker_of(3), Some(2), "not job 5");
    desk.done(2, 4, 1, Outcome::Ok);
    assert_eq!(desk.worker_of(5), Some(2));
}

#[test]
fn a_job_that_comes_back_untried_keeps_its_number_of_tries() {
    let mut desk = stuck(1);
    desk.wait(PATIENCE);
    desk.gives_back(vec![(JobId(2), Attempt(1))]);
    desk.done(1, 1, 1, Outcome::Ok);
    let again = Action::Send {
        worker: WorkerId(1),
        job: JobId(2),
        attempt: Attempt(1),
    };
    assert!(desk.wanted.contains(&again), "{:?}", desk.wanted);
    desk.done(1, 2, 1, Outcome::Ok);
    assert_eq!(desk.verdicts(), [(2, Verdict::Ok, 1)]);
}

#[test]
fn a_long_job_that_has_ended_in_time_costs_nothing() {
    let mut desk = stuck(2);
    desk.wait(PATIENCE - MS);
    desk.done(1, 1, 1, Outcome::Ok);
    desk.wait(MS);
    assert_eq!(desk.wanted, []);
    // Another one has its own time.
    desk.says_started(2);
    desk.wait(PATIENCE - MS);
    assert_eq!(desk.asked_back(), []);
    desk.wait(MS);
    assert_eq!(desk.asked_back().len(), 1);
    // Once only, even if the worker keeps it.
    desk.gives_back(Vec::new());
    desk.wait(PATIENCE);
    assert_eq!(desk.asked_back(), []);
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
