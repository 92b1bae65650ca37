//! Who is handed out before whom, and who starts before whom.
//!
//! Jobs of one priority are handed out in the order in which they came, those again that
//! have come back. Where jobs are long, they start in that order as well. Where they are
//! short, some are sent ahead: one of those may start after a later one of another worker,
//! but never lies behind one job for long while later ones are handed out.

use std::collections::{HashMap, HashSet};

use protocol::{JobId, WorkerId};

use super::{Action, SAYS_STARTED, World};
use crate::scheduler::window::PATIENCE;

/// While more jobs wait, nobody looks who is handed out before whom: a day has
/// no more.
const CROWD: usize = 64;

impl World {
    /// Whenever jobs are handed out, it is those whose turn it is.
    pub(super) fn next_action(&mut self) -> Option<Action> {
        let waits = self.scheduler.queue.waits();
        if !self.scheduler.actions.is_empty() || !(1..=CROWD).contains(&waits) {
            return self.scheduler.poll_action();
        }
        let suspects: HashSet<JobId> = self.scheduler.queue.suspects().collect();
        let before: Vec<JobId> = self.scheduler.queue.iter().collect();
        let action = self.scheduler.poll_action();
        if self.scheduler.queue.waits() == waits {
            return action;
        }
        let left: HashSet<JobId> = self.scheduler.queue.iter().collect();
        let priority = |job: &JobId| self.plans[job].terms.priority;
        // The last one of each priority that was handed out.
        let mut newest: HashMap<i32, JobId> = HashMap::new();
        let mut lowest = i32::MAX;
        for job in before.iter().filter(|job| !left.contains(job)) {
            lowest = lowest.min(priority(job));
            // Those that have to be alone go when there is somebody for them.
            if !suspects.contains(job) {
                let newest = newest.entry(priority(job)).or_insert(*job);
                *newest = (*newest).max(*job);
            }
        }
        for job in left.difference(&suspects) {
            let its = priority(job);
            assert!(its <= lowest, "job {job} waits for one of a lower priority");
            // Numbers are given in the order of submission.
            let overtaken = newest.get(&its).is_some_and(|newest| newest > job);
            assert!(!overtaken, "job {job} was overtaken");
        }
        action
    }

    /// Whoever is sent a job while an earlier one lies elsewhere: that one does not lie there
    /// behind a job that has run for longer than it takes to hear of that, and to ask for the
    /// others.
    pub(super) fn nobody_lies_behind_a_long_one(&self, to: WorkerId, job: JobId) {
        let priority = |job: &JobId| self.plans[job].terms.priority;
        for (id, worker) in &self.workers {
            // What it says does not count any more, or nothing is asked of it.
            if *id == to || worker.doomed || worker.killed {
                continue;
            }
            let Some((runs, _)) = worker.running else {
                continue;
            };
            let earlier = |(other, _): &&(_, _)| *other < job && priority(other) == priority(&job);
            let Some((other, _)) = worker.queue.iter().find(earlier) else {
                continue;
            };
            let time = self.seen() - self.began[&runs];
            assert!(
                time <= SAYS_STARTED + PATIENCE,
                "job {job} is handed out while job {other} lies behind job {runs}, which has run for {time:?}"
            );
        }
    }
}
