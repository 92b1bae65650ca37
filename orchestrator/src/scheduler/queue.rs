//! The queue of jobs that are with no worker: first in, first out, except that
//! jobs which come back from a worker keep their place at the front.

use std::collections::VecDeque;

use protocol::JobId;

#[derive(Debug, Default)]
pub(super) struct Queue {
    jobs: VecDeque<JobId>,
}

impl Queue {
    pub(super) fn push(&mut self, job: JobId) {
        self.jobs.push_back(job);
    }

    /// Puts jobs back to the front, in their order.
    pub(super) fn put_back(&mut self, jobs: impl DoubleEndedIterator<Item = JobId>) {
        for job in jobs.rev() {
            self.jobs.push_front(job);
        }
    }

    pub(super) fn pop(&mut self) -> Option<JobId> {
        self.jobs.pop_front()
    }

    /// Takes a job out wherever it stands: for a cancel, which is rare.
    pub(super) fn remove(&mut self, job: JobId) {
        self.jobs.retain(|&queued| queued != job);
    }

    pub(super) fn len(&self) -> usize {
        self.jobs.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.jobs.is_empty()
    }

    #[cfg(any(test, debug_assertions))]
    pub(super) fn iter(&self) -> impl Iterator<Item = JobId> + '_ {
        self.jobs.iter().copied()
    }
}
