//! Who is handed out before whom.

use std::collections::{HashMap, HashSet};

use protocol::JobId;

use super::{Action, World};

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
        let before: Vec<JobId> = self.scheduler.queue.iter().collect();
        let action = self.scheduler.poll_action();
        if self.scheduler.queue.waits() == waits {
            return action;
        }
        let left: HashSet<JobId> = self.scheduler.queue.iter().collect();
        let priority = |job: &JobId| self.plans[job].terms.priority;
        // The last one of each priority that was handed out for the first time.
        let mut newest: HashMap<i32, JobId> = HashMap::new();
        let mut lowest = i32::MAX;
        for job in before.iter().filter(|job| !left.contains(job)) {
            lowest = lowest.min(priority(job));
            if !self.sent.contains(job) {
                let newest = newest.entry(priority(job)).or_insert(*job);
                *newest = (*newest).max(*job);
            }
        }
        let suspects: HashSet<JobId> = self.scheduler.queue.suspects().collect();
        for job in left.difference(&suspects) {
            let its = priority(job);
            assert!(its <= lowest, "job {job} waits for one of a lower priority");
            // Numbers are given in the order of submission.
            let overtaken = newest.get(&its).is_some_and(|newest| newest > job);
            assert!(!overtaken, "job {job} was overtaken");
        }
        action
    }
}
