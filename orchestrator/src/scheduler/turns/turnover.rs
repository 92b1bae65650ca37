//! Workers that come and go while all is well.

use super::*;

impl Desk {
    fn under(rules: SchedulerConfig) -> Desk {
        let workers = rules.workers as u32;
        let mut desk = Desk::starting(workers);
        desk.scheduler = Scheduler::new(rules, Duration::ZERO);
        desk.poll();
        (1..=workers).for_each(|worker| desk.ready(worker));
        desk
    }

    /// One that may do so many jobs, and has so many workers.
    fn wearing(workers: usize, max: u64) -> Desk {
        Desk::under(SchedulerConfig {
            max_jobs_per_worker: Some(max),
            ..config(workers)
        })
    }

    fn sleepy(workers: usize) -> Desk {
        Desk::under(SchedulerConfig {
            idle_timeout: Some(50 * MS),
            ..config(workers)
        })
    }

    fn drains(&self, worker: u32) -> bool {
        let worker = WorkerId(worker);
        self.wanted.contains(&Action::Drain { worker })
    }

    fn resize(&mut self, workers: usize) {
        self.tell(Input::Resize { workers });
    }

    fn started(&mut self, worker: u32, job: u64) {
        self.tell(Input::Started {
            worker: WorkerId(worker),
            job: JobId(job),
            attempt: Attempt(1),
        });
    }

    fn recycled(&self) -> u64 {
        self.scheduler.census().recycled
    }
}

#[test]
fn a_worker_for_one_job_gets_one_is_told_with_it_and_the_next_is_ready_behind_it() {
    let mut desk = Desk::wearing(1, 1);
    desk.submit(1);
    assert_eq!(desk.worker_of(1), Some(1));
    assert!(desk.drains(1), "while it is at it");
    assert_eq!(desk.spawns(), 1);
    desk.submit(2);
    assert_eq!(desk.wanted, []);
    desk.ready(2);
    assert_eq!(desk.wanted, [], "the place is taken");
    desk.done(1, 1, 1, Outcome::Ok);
    assert_eq!(desk.worker_of(2), Some(2), "before the first is gone");
    desk.gone(1, Blame::Nobody);
    assert_eq!(desk.spawns(), 0, "that was no death");
    assert_eq!(desk.recycled(), 2);
}

#[test]
fn a_worker_is_told_when_its_last_job_has_its_turn_and_not_before() {
    let mut desk = Desk::wearing(1, 3);
    desk.took = MS / 100;
    (1..=5).for_each(|job| desk.submit(job));
    for job in 1..=2 {
        assert!(!desk.drains(1), "before {job}");
        desk.done(1, job, 1, Outcome::Failed(1));
    }
    assert!(desk.drains(1), "failures count");
    desk.done(1, 3, 1, Outcome::Ok);
    assert_eq!(desk.scheduler.queue.len(), 2);
    desk.ready(2);
    assert_eq!(desk.worker_of(4), Some(2));
}

#[test]
fn jobs_that_were_not_begun_do_not_wear_a_worker() {
    let mut desk = Desk::wearing(1, 2);
    desk.submit(1);
    desk.submit(2);
    desk.tell(Input::Cancel { job: JobId(2) });
    desk.done(1, 2, 1, Outcome::Cancelled);
    assert!(!desk.drains(1));
    desk.done(1, 1, 1, Outcome::Ok);
    desk.submit(3);
    assert!(desk.drains(1));
}

#[test]
fn a_worker_that_grew_too_large_is_recycled_and_one_that_did_not_is_kept() {
    let mut desk = Desk::under(SchedulerConfig {
        max_rss_per_worker: Some(1000),
        ..config(1)
    });
    desk.size.rss = 1000;
    desk.run(1, Outcome::Ok);
    assert!(!desk.drains(1));
    desk.size.rss = 1001;
    for job in 2..=4 {
        desk.submit(job);
    }
    desk.done(1, 2, 1, Outcome::Ok);
    assert!(desk.drains(1) && desk.spawns() == 1, "{:?}", desk.wanted);
    // The one that it has begun is done there, and that is all.
    desk.done(1, 3, 1, Outcome::Ok);
    desk.ready(2);
    assert_eq!(desk.worker_of(4), Some(2));
    assert_eq!(desk.recycled(), 1);
}

#[test]
fn f024_a_worker_that_has_lost_descriptors_is_recycled() {
    let mut desk = Desk::under(SchedulerConfig {
        max_files_per_worker: Some(10),
        ..config(1)
    });
    (desk.size.rss, desk.size.files) = (u64::MAX, 10);
    desk.run(1, Outcome::Ok);
    assert!(!desk.drains(1));
    desk.size.files = 11;
    desk.run(2, Outcome::Ok);
    assert!(desk.drains(1) && desk.spawns() == 1, "{:?}", desk.wanted);
}

#[test]
fn a_last_job_that_kills_its_worker_is_charged() {
    let mut desk = Desk::wearing(1, 1);
    desk.submit(1);
    let worker = WorkerId(1);
    desk.tell(Input::Violation { worker });
    desk.gone(1, Blame::Job(JobId(1), Attempt(1)));
    assert_eq!(desk.verdicts(), [(1, Verdict::Crashed, 1)]);
    assert_eq!(desk.spawns(), 0, "the next one is there");
    desk.ready(2);
    desk.submit(2);
    assert_eq!(desk.worker_of(2), Some(2), "and its place is free");
}

#[test]
fn workers_that_leave_before_their_only_job_end_the_pool_and_never_loop() {
    let mut desk = Desk::wearing(1, 1);
    desk.submit(1);
    for worker in 1..20 {
        assert_eq!(desk.worker_of(1), Some(worker));
        desk.gone(worker, Blame::Nobody);
        if desk.wanted.contains(&Action::Broken) {
            assert_eq!(desk.verdicts(), [(1, Verdict::Lost, 0)]);
            return;
        }
        desk.ready(worker + 1);
    }
    panic!("it goes on for ever");
}

#[test]
fn a_pool_that_grows_starts_workers_at_once() {
    let mut desk = Desk::with(1);
    (1..=4).for_each(|job| desk.submit(job));
    desk.resize(3);
    assert_eq!(desk.spawns(), 2);
    desk.ready(2);
    assert_eq!(desk.worker_of(3), Some(2));
    desk.resize(3);
    assert_eq!(desk.wanted, []);
}

#[test]
fn a_pool_that_shrinks_harms_no_running_job_and_recalls_the_others() {
    let mut desk = Desk::with(2);
    (1..=4).for_each(|job| desk.submit(job));
    let held = |desk: &Desk, worker| -> Vec<u64> {
        let jobs = &desk.scheduler.workers[&WorkerId(worker)].jobs;
        jobs.iter().map(|(job, _)| job.0).collect()
    };
    let (kept, sent) = (held(&desk, 1), held(&desk, 2));
    desk.resize(1);
    let worker = WorkerId(2);
    let jobs = vec![(JobId(sent[1]), Attempt(1))];
    let recall = Action::Recall {
        worker,
        jobs: jobs.clone(),
    };
    assert_eq!(desk.wanted, [recall, Action::Drain { worker }]);
    desk.tell(Input::Recalled { worker, jobs });
    desk.wait(1_000 * MS);
    assert!(!desk.kills(2), "it has a job");
    desk.done(2, sent[0], 1, Outcome::Ok);
    assert_eq!(desk.verdicts(), [(sent[0], Verdict::Ok, 1)]);
    desk.gone(2, Blame::Nobody);
    assert_eq!(desk.wanted, [], "nobody takes its place");
    desk.done(1, kept[0], 1, Outcome::Ok);
    desk.done(1, kept[1], 1, Outcome::Ok);
    assert!(
        desk.scheduler
            .expects(WorkerId(1), JobId(sent[1]), Attempt(1))
    );
}

#[test]
fn a_pool_shrinks_where_the_least_is_lost() {
    // One that is starting, then one that is idle, then the one with a job.
    let mut desk = Desk::starting(3);
    desk.ready(1);
    desk.ready(3);
    desk.submit(1);
    desk.resize(2);
    let worker = WorkerId(2);
    assert_eq!(desk.wanted, [Action::Close { worker }]);
    desk.gone(2, Blame::Nobody);
    assert_eq!(desk.wanted, [], "that was no death");
    desk.resize(1);
    assert!(desk.drains(3));
}

#[test]
fn a_place_that_is_opened_again_is_free_when_its_last_job_has_ended() {
    let mut desk = Desk::with(2);
    desk.submit(1);
    desk.submit(2);
    desk.resize(1);
    assert!(desk.drains(2));
    desk.resize(2);
    assert_eq!(desk.spawns(), 1, "at once");
    desk.submit(3);
    desk.submit(4);
    desk.ready(3);
    assert_eq!(desk.worker_of(4), None, "two jobs run");
    let second = desk.scheduler.workers[&WorkerId(2)].jobs[0].0;
    desk.done(2, second.0, 1, Outcome::Ok);
    assert!(desk.worker_of(4) == Some(3), "{:?}", desk.wanted);
}

#[test]
fn an_idle_worker_is_ended_after_its_time_and_started_again_for_a_job() {
    let mut desk = Desk::sleepy(2);
    desk.wait(30 * MS);
    desk.run(1, Outcome::Ok);
    // One has had nothing to do for as long, the other for 20 ms.
    desk.wait(20 * MS);
    assert_eq!([desk.drains(1), desk.drains(2)], [false, true]);
    desk.gone(2, Blame::Nobody);
    assert_eq!(desk.spawns(), 0);
    desk.wait(30 * MS);
    assert!(desk.drains(1));
    desk.gone(1, Blame::Nobody);
    desk.wait(1_000 * MS);
    assert_eq!(desk.scheduler.next_deadline(), None, "it sleeps");
    desk.submit(2);
    assert_eq!(desk.spawns(), 1, "as many as there are jobs");
    desk.submit(3);
    assert_eq!(desk.spawns(), 1);
    desk.submit(4);
    assert_eq!(desk.spawns(), 0, "and places");
}

#[test]
fn a_job_behind_a_long_one_wakes_a_worker() {
    let mut desk = Desk::sleepy(2);
    desk.submit(1);
    desk.wait(50 * MS);
    assert!(desk.drains(2));
    desk.gone(2, Blame::Nobody);
    desk.submit(2);
    assert_eq!(desk.worker_of(2), Some(1));
    desk.started(1, 1);
    assert_eq!(desk.spawns(), 1);
    desk.ready(3);
    let (worker, jobs) = (WorkerId(1), vec![(JobId(2), Attempt(1))]);
    assert_eq!(desk.wanted, [Action::Recall { worker, jobs }]);
}

#[test]
fn the_last_jobs_of_a_pool_are_told_that_they_are_the_last() {
    let mut desk = Desk::with(2);
    desk.submit(1);
    desk.submit(2);
    desk.submit(3);
    desk.tell(Input::Drain);
    assert!(!desk.drains(1) && !desk.drains(2), "one has not begun");
    let behind = if desk.scheduler.workers[&WorkerId(1)].jobs.len() == 2 {
        1
    } else {
        2
    };
    let first = desk.scheduler.workers[&WorkerId(behind)].jobs[0].0;
    desk.done(behind, first.0, 1, Outcome::Ok);
    assert!(desk.drains(1) && desk.drains(2));
    assert_eq!(desk.spawns(), 0);
    // It came back all the same: somebody is started for it.
    desk.gone(behind, Blame::Nobody);
    assert_eq!(desk.spawns(), 1);
    desk.ready(3);
    assert_eq!(desk.worker_of(3), Some(3));
}

#[test]
fn workers_stay_for_jobs_that_may_be_tried_again() {
    let mut desk = Desk::with(2);
    desk.submit_with(1, retried(1));
    desk.submit(2);
    desk.tell(Input::Drain);
    assert_eq!(desk.wanted, []);
    let (first, second) = (desk.scheduler.running()[0], desk.scheduler.running()[1]);
    desk.done(second.worker.0, 2, 1, Outcome::Ok);
    desk.done(first.worker.0, 1, 1, Outcome::Failed(1));
    assert!(!desk.drains(1) && !desk.drains(2), "it waits for its turn");
    desk.wait(20 * MS);
    assert!(desk.worker_of(1).is_some());
    assert_eq!([desk.drains(1), desk.drains(2)], [true; 2], "its last try");
}

#[test]
fn the_census_counts_what_is_there() {
    let mut desk = Desk::starting(4);
    desk.ready(1);
    desk.ready(2);
    desk.ready(3);
    (1..=2).for_each(|job| desk.submit(job));
    let census = desk.scheduler.census();
    let counted = (census.busy, census.idle, census.starting, census.running);
    assert_eq!(counted, (2, 1, 1, 2));
}
