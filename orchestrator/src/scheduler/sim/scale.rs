//! Many workers and many jobs: what a decision costs must not depend on how many
//! there are.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use protocol::{Attempt, JobId, Outcome, WorkerId};

use super::config;
use crate::scheduler::{Action, Input, Scheduler, Size, Terms};

/// How long each job takes: long enough for its worker to say so, so that jobs
/// behind it may be given to others.
const LENGTH: Duration = Duration::from_millis(10);

/// A world in which nothing goes wrong, and every end of a job is a turn of its
/// own.
struct World {
    scheduler: Scheduler,
    now: Duration,
    /// What each worker has been sent.
    held: Vec<VecDeque<(JobId, Attempt)>>,
    verdicts: u64,
}

impl World {
    fn new(workers: usize) -> World {
        let mut world = World {
            scheduler: Scheduler::new(config(workers), Duration::ZERO),
            now: Duration::ZERO,
            held: vec![VecDeque::new(); workers],
            verdicts: 0,
        };
        for worker in 1..=workers {
            let worker = WorkerId(worker as u32);
            world.tell(Input::Ready { worker, slots: 1 });
        }
        world.act();
        world
    }

    fn tell(&mut self, input: Input) {
        self.scheduler.handle(self.now, input);
    }

    fn act(&mut self) {
        while let Some(action) = self.scheduler.poll_action() {
            match action {
                Action::Send {
                    worker,
                    job,
                    attempt,
                } => self.held[worker.0 as usize - 1].push_back((job, attempt)),
                Action::Recall { worker, jobs } => {
                    let held = &mut self.held[worker.0 as usize - 1];
                    let before = held.len();
                    held.retain(|job| !jobs.contains(job));
                    assert_eq!(held.len(), before - jobs.len());
                    self.tell(Input::Recalled { worker, jobs });
                }
                Action::Verdict { .. } => self.verdicts += 1,
                _ => {}
            }
        }
    }

    /// A worker's running job ends; the next one there says that it is long.
    fn end_one(&mut self, at: usize) {
        let worker = WorkerId(at as u32 + 1);
        let Some((job, attempt)) = self.held[at].pop_front() else {
            return;
        };
        self.tell(Input::Done {
            worker,
            job,
            attempt,
            outcome: Outcome::Ok,
            took: LENGTH,
            size: Size::default(),
        });
        self.act();
        if let Some(&(job, attempt)) = self.held[at].front() {
            self.tell(Input::Started {
                worker,
                job,
                attempt,
            });
            self.act();
        }
    }
}

/// The time that a job's decisions take, all together.
fn cost(workers: usize, jobs: u64) -> f64 {
    let mut world = World::new(workers);
    let start = clock();
    let mut submitted = 0;
    while world.verdicts < jobs {
        for at in 0..workers {
            // There are always some that wait, until the last have come.
            for _ in 0..2 {
                if submitted < jobs && submitted < world.verdicts + 3 * workers as u64 {
                    submitted += 1;
                    let (job, terms) = (JobId(submitted), Terms::default());
                    world.tell(Input::Submit { job, terms });
                }
            }
            world.end_one(at);
        }
        world.act();
        world.now += LENGTH;
    }
    start.elapsed().as_secs_f64() / jobs as f64
}

#[expect(clippy::disallowed_methods, reason = "what is measured here is time")]
fn clock() -> Instant {
    Instant::now()
}

#[test]
#[cfg_attr(debug_assertions, ignore = "for optimised code: see .ci/run")]
fn a_decision_costs_the_same_among_ten_thousand_workers_and_ten_million_jobs() {
    let few = cost(10, 1_000_000);
    let many = cost(10_000, 10_000_000);
    let (few, many) = (few * 1e9, many * 1e9);
    // Memory that is further away costs something; a look at every worker would
    // cost a thousand times as much.
    assert!(many < 6.0 * few, "{many:.0} ns instead of {few:.0} ns");
}

#[test]
fn every_one_of_many_jobs_ends_at_one_of_many_workers() {
    cost(1_000, 20_000);
}
