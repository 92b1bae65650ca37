//! What a task can ask and tell while it runs.

use std::cell::Cell;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use protocol::{Attempt, FromWorker, JobId, WorkerId};

use crate::clock;
use crate::link::Link;
use crate::state::Key;

/// How often progress is passed on at most.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(100);

/// One try at one job, as its task sees it. Can be used from several threads
/// at once; it does not outlive the job.
pub struct JobContext {
    link: Arc<Link>,
    key: Key,
    last_progress: Mutex<Option<Instant>>,
}

impl JobContext {
    pub(crate) fn new(link: Arc<Link>, key: Key) -> JobContext {
        JobContext {
            link,
            key,
            last_progress: Mutex::new(None),
        }
    }

    /// The job's number in its run.
    #[must_use]
    pub fn job(&self) -> JobId {
        self.key.0
    }

    /// Which try at the job this is, counted from 1.
    #[must_use]
    pub fn attempt(&self) -> Attempt {
        self.key.1
    }

    /// To be called now and then by tasks that take long: fails once the job
    /// has been cancelled. Costs next to nothing.
    ///
    /// ```
    /// # use worker::{Cancelled, JobContext};
    /// fn sum(numbers: &[u64], job: &JobContext) -> Result<u64, Cancelled> {
    ///     let mut sum = 0;
    ///     for part in numbers.chunks(1000) {
    ///         job.checkpoint()?;
    ///         sum += part.iter().sum::<u64>();
    ///     }
    ///     Ok(sum)
    /// }
    /// ```
    ///
    /// # Errors
    /// [`Cancelled`], from the cancellation on. A task that returns any error
    /// then counts as cancelled; one that returns a result counts as done.
    pub fn checkpoint(&self) -> Result<(), Cancelled> {
        if self.is_cancelled() {
            Err(Cancelled(()))
        } else {
            Ok(())
        }
    }

    /// Whether the job has been cancelled.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.link.is_cancelled()
    }

    /// Says how far the job has come, in whatever unit it counts; a `total` of
    /// 0 means that it is unknown. About ten reports per second are passed on,
    /// the others are dropped.
    pub fn progress(&self, done: u64, total: u64) {
        let now = clock::now();
        let mut last = self
            .last_progress
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if last.is_some_and(|last| now - last < PROGRESS_INTERVAL) {
            return;
        }
        *last = Some(now);
        drop(last);
        let (job, attempt) = self.key;
        let mut state = self.link.state();
        state.outbox.send(&FromWorker::Progress {
            job,
            attempt,
            done,
            total,
        });
        self.link.flush(&mut state);
    }

    /// A piece of data that the orchestrator has sent to this worker under
    /// this hash; `None` when it has not.
    #[must_use]
    pub fn blob(&self, hash: u64) -> Option<Bytes> {
        self.link.state().blob(hash)
    }
}

impl fmt::Debug for JobContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JobContext")
            .field("job", &self.job())
            .field("attempt", &self.attempt())
            .field("cancelled", &self.is_cancelled())
            .finish_non_exhaustive()
    }
}

/// The job has been cancelled; returned by [`JobContext::checkpoint`], to be
/// passed on with `?`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cancelled(());

impl fmt::Display for Cancelled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the job was cancelled")
    }
}

impl std::error::Error for Cancelled {}

/// The worker process, as the state of a task sees it while it is made.
pub struct WorkerContext {
    link: Arc<Link>,
    /// Stays with the computing thread, like everything that is made of it.
    _not_sync: Cell<()>,
}

impl WorkerContext {
    pub(crate) fn new(link: Arc<Link>) -> WorkerContext {
        WorkerContext {
            link,
            _not_sync: Cell::new(()),
        }
    }

    /// The data that the orchestrator sent for this worker's start, if any.
    #[must_use]
    pub fn init(&self) -> Option<Bytes> {
        self.link.state().init()
    }

    /// The worker's number in its pool, counted from 1.
    #[must_use]
    pub fn id(&self) -> WorkerId {
        let state = self.link.state();
        state.hello().map_or(WorkerId(0), |hello| hello.worker)
    }

    /// A piece of data that the orchestrator has sent to this worker under
    /// this hash; `None` when it has not.
    #[must_use]
    pub fn blob(&self, hash: u64) -> Option<Bytes> {
        self.link.state().blob(hash)
    }
}

impl fmt::Debug for WorkerContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WorkerContext")
            .field("id", &self.id())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_context_can_be_shared_between_threads() {
        const fn shared<T: Send + Sync>() {}
        const { shared::<JobContext>() };
    }
}
