//! The jobs that are with no worker: the highest priority first, and within one
//! priority first in, first out. Jobs which come back from a worker keep their
//! places: before all that were not handed out yet, and among each other in the
//! order of their numbers, whoever gives them back first. Jobs that a worker died
//! of stand apart: they must be alone with the next one.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use protocol::JobId;

use super::job::Job;

#[derive(Debug, Default)]
pub(super) struct Queue {
    jobs: Line,
    suspects: Line,
}

/// Jobs in the order in which their turn comes.
#[derive(Debug, Default)]
struct Line {
    /// Those of priority 0, mostly all there are: no search for them, and no
    /// allocation when their number goes to zero and back.
    usual: List,
    /// Those of each other priority; none of the lists is empty.
    others: BTreeMap<i32, List>,
    /// How many all together.
    len: usize,
}

/// Jobs of one priority.
#[derive(Debug, Default)]
struct List {
    /// Those that were handed out and have come back, all of them older than the others; last
    /// those that ran at an agent that was lost: if one of them did it, the next agent should
    /// have nothing else.
    back: BTreeSet<(bool, JobId)>,
    /// Those that were not handed out yet.
    new: VecDeque<JobId>,
}

impl List {
    fn is_empty(&self) -> bool {
        self.new.is_empty() && self.back.is_empty()
    }

    fn pop(&mut self) -> Option<JobId> {
        match self.back.is_empty() {
            true => self.new.pop_front(),
            false => self.back.pop_first().map(|(_, job)| job),
        }
    }

    /// Whether it was here.
    fn remove(&mut self, job: JobId) -> bool {
        if self.back.remove(&(false, job)) || self.back.remove(&(true, job)) {
            return true;
        }
        // Who cancels many mostly begins at one of the two ends.
        if self.new.back() == Some(&job) {
            self.new.pop_back();
        } else if self.new.front() == Some(&job) {
            self.new.pop_front();
        } else {
            let before = self.new.len();
            self.new.retain(|&queued| queued != job);
            return self.new.len() < before;
        }
        true
    }

    #[cfg(any(test, debug_assertions))]
    fn iter(&self) -> impl Iterator<Item = &JobId> {
        self.back.iter().map(|(_, job)| job).chain(&self.new)
    }
}

impl Line {
    fn list(&mut self, priority: i32) -> &mut List {
        match priority {
            0 => &mut self.usual,
            other => self.others.entry(other).or_default(),
        }
    }

    fn push_back(&mut self, job: JobId, priority: i32) {
        self.list(priority).new.push_back(job);
        self.len += 1;
    }

    fn put_back(&mut self, job: JobId, priority: i32, doubtful: bool) {
        self.len += usize::from(self.list(priority).back.insert((doubtful, job)));
    }

    /// The highest priority that waits.
    fn priority(&self) -> Option<i32> {
        let usual = (!self.usual.is_empty()).then_some(0);
        if self.others.is_empty() {
            return usual;
        }
        let other = self.others.last_key_value().map(|(&priority, _)| priority);
        usual.max(other)
    }

    fn pop(&mut self) -> Option<JobId> {
        let job = match self.priority()? {
            0 => self.usual.pop(),
            _ => {
                let mut highest = self.others.last_entry()?;
                let job = highest.get_mut().pop();
                if highest.get().is_empty() {
                    highest.remove();
                }
                job
            }
        };
        self.len -= usize::from(job.is_some());
        job
    }

    fn remove(&mut self, job: JobId, priority: i32) {
        let list = self.list(priority);
        let removed = list.remove(job);
        if priority != 0 && list.is_empty() {
            self.others.remove(&priority);
        }
        self.len -= usize::from(removed);
    }

    #[cfg(any(test, debug_assertions))]
    fn iter(&self) -> impl Iterator<Item = JobId> + '_ {
        let (above, below) = (self.others.range(1..), self.others.range(..0));
        let above = above.rev().flat_map(|(_, list)| list.iter());
        let below = below.rev().flat_map(|(_, list)| list.iter());
        above.chain(self.usual.iter()).chain(below).copied()
    }
}

impl Queue {
    pub(super) fn push(&mut self, job: JobId, priority: i32) {
        self.jobs.push_back(job, priority);
    }

    /// Puts a job back that was handed out: it has its place among those that were, before
    /// all others of its priority; behind those when agents were lost that ran it.
    pub(super) fn put_back(&mut self, id: JobId, job: &Job) {
        self.jobs
            .put_back(id, job.terms.priority, job.lost_running > 0);
    }

    pub(super) fn pop(&mut self) -> Option<JobId> {
        self.jobs.pop()
    }

    pub(super) fn push_suspect(&mut self, job: JobId, priority: i32) {
        self.suspects.push_back(job, priority);
    }

    pub(super) fn pop_suspect(&mut self) -> Option<JobId> {
        self.suspects.pop()
    }

    /// Whether the next job should be a suspect: it goes before others of its
    /// priority, or it would wait for ever behind those that need no worker of
    /// their own.
    pub(super) fn suspect_is_next(&self) -> bool {
        match self.suspects.priority() {
            Some(priority) => self.jobs.priority().is_none_or(|other| priority >= other),
            None => false,
        }
    }

    /// Takes a job out wherever it stands: for a cancel.
    pub(super) fn remove(&mut self, job: JobId, priority: i32) {
        self.jobs.remove(job, priority);
        self.suspects.remove(job, priority);
    }

    /// How many wait that any worker may have.
    pub(super) fn len(&self) -> usize {
        self.jobs.len
    }

    /// How many wait, suspects included.
    pub(super) fn waits(&self) -> usize {
        self.jobs.len + self.suspects.len
    }

    /// Whether no job waits that any worker may have.
    pub(super) fn is_empty(&self) -> bool {
        self.jobs.len == 0
    }

    #[cfg(any(test, debug_assertions))]
    pub(super) fn iter(&self) -> impl Iterator<Item = JobId> + '_ {
        self.jobs.iter().chain(self.suspects.iter())
    }

    #[cfg(any(test, debug_assertions))]
    pub(super) fn suspects(&self) -> impl Iterator<Item = JobId> + '_ {
        self.suspects.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scheduler::Terms;

    fn back(queue: &mut Queue, job: u64, priority: i32, lost_running: u32) {
        let terms = Terms {
            priority,
            ..Terms::default()
        };
        let mut its = Job::new(terms);
        its.lost_running = lost_running;
        queue.put_back(JobId(job), &its);
    }

    fn queue(jobs: &[(u64, i32)]) -> Queue {
        let mut queue = Queue::default();
        for &(job, priority) in jobs {
            queue.push(JobId(job), priority);
        }
        queue
    }

    /// The order in which the jobs leave, which is the one that `iter` shows.
    fn order(mut queue: Queue) -> Vec<u64> {
        let shown: Vec<JobId> = queue.iter().collect();
        let left: Vec<JobId> = std::iter::from_fn(|| queue.pop()).collect();
        assert_eq!(shown, left);
        assert!(queue.is_empty() && queue.jobs.others.is_empty());
        left.iter().map(|job| job.0).collect()
    }

    #[test]
    fn the_highest_priority_goes_first_and_within_it_the_first_in() {
        let queue = queue(&[(1, 0), (2, -3), (3, 7), (4, 0), (5, i32::MIN), (6, 7)]);
        assert_eq!(queue.len(), 6);
        assert_eq!(order(queue), [3, 6, 1, 4, 2, 5]);
    }

    #[test]
    fn what_comes_back_keeps_its_place_at_the_front_of_its_priority() {
        let mut queue = queue(&[(5, 1), (6, 0), (7, 0), (8, -1)]);
        // Not in their order: several workers give back what they have.
        for (job, priority) in [(3, 0), (4, -1), (1, 0), (2, 1)] {
            back(&mut queue, job, priority, 0);
        }
        assert_eq!(queue.len(), 8);
        assert_eq!(order(queue), [2, 5, 1, 3, 6, 7, 4, 8]);
    }

    #[test]
    fn what_ran_at_a_lost_agent_is_the_last_that_comes_back() {
        let mut queue = queue(&[(6, 0)]);
        for (job, lost) in [(3, 1), (5, 0), (4, 0), (2, 2)] {
            back(&mut queue, job, 0, lost);
        }
        assert_eq!(order(queue), [4, 5, 2, 3, 6]);
    }

    #[test]
    fn what_has_come_back_can_be_taken_out() {
        let mut queue = queue(&[(5, 0), (6, 7)]);
        back(&mut queue, 1, 0, 0);
        back(&mut queue, 2, 7, 0);
        back(&mut queue, 3, 9, 0);
        back(&mut queue, 4, 0, 1);
        for (job, priority) in [(1, 0), (3, 9), (3, 9), (4, 0)] {
            queue.remove(JobId(job), priority);
        }
        assert_eq!(queue.len(), 3);
        assert_eq!(order(queue), [2, 6, 5]);
    }

    #[test]
    fn a_job_that_is_taken_out_leaves_no_trace() {
        let mut queue = queue(&[(1, 5), (2, 0), (3, 5)]);
        queue.remove(JobId(2), 0);
        queue.remove(JobId(1), 5);
        queue.remove(JobId(1), 5);
        assert_eq!(queue.len(), 1);
        assert_eq!(order(queue), [3]);
        // From either end and from within.
        for (gone, left) in [(1, [2, 3]), (2, [1, 3]), (3, [1, 2])] {
            let mut queue = self::queue(&[(1, 0), (2, 0), (3, 0)]);
            queue.remove(JobId(gone), 0);
            assert_eq!(order(queue), left);
        }
    }

    #[test]
    fn a_suspect_goes_before_its_equals_and_behind_its_betters() {
        let mut queue = queue(&[(1, 2), (2, 1)]);
        assert!(!queue.suspect_is_next());
        queue.push_suspect(JobId(9), 1);
        assert!(!queue.suspect_is_next(), "job 1 has a higher priority");
        assert_eq!(queue.pop(), Some(JobId(1)));
        assert!(queue.suspect_is_next());
        assert_eq!(queue.pop_suspect(), Some(JobId(9)));
        assert!(!queue.suspect_is_next());
    }
}
