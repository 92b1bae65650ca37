//! The jobs that are with no worker: the highest priority first, and within one
//! priority first in, first out, except that jobs which come back from a worker
//! keep their place at the front. Jobs that a worker died of stand apart: they
//! must be alone with the next one.

use std::collections::{BTreeMap, VecDeque};

use protocol::JobId;

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
    usual: VecDeque<JobId>,
    /// Those of each other priority; none of the lists is empty.
    others: BTreeMap<i32, VecDeque<JobId>>,
    /// How many all together.
    len: usize,
}

impl Line {
    fn list(&mut self, priority: i32) -> &mut VecDeque<JobId> {
        match priority {
            0 => &mut self.usual,
            other => self.others.entry(other).or_default(),
        }
    }

    fn push_back(&mut self, job: JobId, priority: i32) {
        self.list(priority).push_back(job);
        self.len += 1;
    }

    fn push_front(&mut self, job: JobId, priority: i32) {
        self.list(priority).push_front(job);
        self.len += 1;
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
            0 => self.usual.pop_front(),
            _ => {
                let mut highest = self.others.last_entry()?;
                let job = highest.get_mut().pop_front();
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
        let before = list.len();
        // Who cancels many mostly begins at one of the two ends.
        if list.back() == Some(&job) {
            list.pop_back();
        } else if list.front() == Some(&job) {
            list.pop_front();
        } else {
            list.retain(|&queued| queued != job);
        }
        let removed = before - list.len();
        if priority != 0 && list.is_empty() {
            self.others.remove(&priority);
        }
        self.len -= removed;
    }

    #[cfg(any(test, debug_assertions))]
    fn iter(&self) -> impl Iterator<Item = JobId> + '_ {
        let (above, below) = (self.others.range(1..), self.others.range(..0));
        let above = above.rev().flat_map(|(_, list)| list);
        let below = below.rev().flat_map(|(_, list)| list);
        above.chain(&self.usual).chain(below).copied()
    }
}

impl Queue {
    pub(super) fn push(&mut self, job: JobId, priority: i32) {
        self.jobs.push_back(job, priority);
    }

    /// Puts jobs back to the front of their priorities, in their order.
    pub(super) fn put_back(&mut self, jobs: impl DoubleEndedIterator<Item = (JobId, i32)>) {
        for (job, priority) in jobs.rev() {
            self.jobs.push_front(job, priority);
        }
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
        let back = [(1, 0), (2, 1), (3, 0), (4, -1)];
        queue.put_back(
            back.map(|(job, priority)| (JobId(job), priority))
                .into_iter(),
        );
        assert_eq!(order(queue), [2, 5, 1, 3, 6, 7, 4, 8]);
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
