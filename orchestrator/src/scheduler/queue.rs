//! The jobs that are with no worker: first in, first out, except that jobs which
//! come back from a worker keep their place at the front. Jobs that a worker
//! died of stand apart: they must be alone with the next one.

use std::collections::VecDeque;

use protocol::JobId;

#[derive(Debug, Default)]
pub(super) struct Queue {
    jobs: VecDeque<JobId>,
    suspects: VecDeque<JobId>,
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

    pub(super) fn push_suspect(&mut self, job: JobId) {
        self.suspects.push_back(job);
    }

    pub(super) fn pop_suspect(&mut self) -> Option<JobId> {
        self.suspects.pop_front()
    }

    pub(super) fn has_suspects(&self) -> bool {
        !self.suspects.is_empty()
    }

    /// Takes a job out wherever it stands: for a cancel, which is rare.
    pub(super) fn remove(&mut self, job: JobId) {
        self.jobs.retain(|&queued| queued != job);
        self.suspects.retain(|&queued| queued != job);
    }

    /// How many of those.
    pub(super) fn len(&self) -> usize {
        self.jobs.len()
    }

    /// Whether no job waits that any worker may have.
    pub(super) fn is_empty(&self) -> bool {
        self.jobs.is_empty()
    }

    #[cfg(any(test, debug_assertions))]
    pub(super) fn iter(&self) -> impl Iterator<Item = JobId> + '_ {
        self.jobs.iter().chain(&self.suspects).copied()
    }

    #[cfg(any(test, debug_assertions))]
    pub(super) fn suspects(&self) -> impl Iterator<Item = JobId> + '_ {
        self.suspects.iter().copied()
    }
}
