//! What a task can ask and tell while it runs.

use std::cell::Cell;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use protocol::{Attempt, Encoding, JobId, PayloadError, WorkerId};
use serde::de::DeserializeOwned;

use crate::clock::{self, Moment};
use crate::state::Key;

/// How often progress is passed on at most.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(100);

/// What surrounds a worker's jobs: the link of a worker process, or the program
/// in one of whose threads they run ([`crate::local`]).
pub trait Host: Send + Sync {
    /// The worker's number in its pool, counted from 1.
    fn worker(&self) -> WorkerId;
    /// The data for this worker's start, if there is any.
    fn init(&self) -> Option<Bytes>;
    /// A piece of data that was sent under this hash.
    fn blob(&self, hash: u64) -> Option<Bytes>;
    /// Whether the pool takes no more jobs. Asked often: must cost next to
    /// nothing.
    fn is_draining(&self) -> bool;
    /// A job says how far it has come; at most about ten times a second.
    fn progress(&self, job: JobId, attempt: Attempt, done: u64, total: u64);
}

/// One try at one job, as its task sees it. Can be used from several threads
/// at once; it does not outlive the job.
pub struct JobContext {
    host: Arc<dyn Host>,
    cancelled: Arc<AtomicBool>,
    key: Key,
    last_progress: Mutex<Option<Moment>>,
}

impl JobContext {
    pub(crate) fn new(host: Arc<dyn Host>, cancelled: Arc<AtomicBool>, key: Key) -> JobContext {
        JobContext {
            host,
            cancelled,
            key,
            last_progress: Mutex::new(None),
        }
    }

    /// The same place for the next job.
    pub(crate) fn next(&mut self, key: Key) {
        self.key = key;
        let last = self.last_progress.get_mut();
        *last.unwrap_or_else(PoisonError::into_inner) = None;
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
    /// has been cancelled. Costs next to nothing. That the pool is being shut down
    /// does not cancel a job, see [`JobContext::is_draining`].
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
        self.cancelled.load(Ordering::Relaxed)
    }

    /// Whether the pool takes no more jobs and waits for the end of those that
    /// it has, this one among them. A task that would go on for ever looks at it
    /// beside [`JobContext::checkpoint`], and returns what it has: that is its
    /// result, while a cancelled job has none. Costs next to nothing.
    ///
    /// ```
    /// # use worker::{Cancelled, JobContext};
    /// fn watch(job: &JobContext, look: impl Fn() -> u64) -> Result<u64, Cancelled> {
    ///     let mut seen = 0;
    ///     while !job.is_draining() {
    ///         job.checkpoint()?;
    ///         seen += look();
    ///     }
    ///     Ok(seen)
    /// }
    /// ```
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.host.is_draining()
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
        self.host.progress(job, attempt, done, total);
    }

    /// A piece of data that the orchestrator has sent to this worker under
    /// this hash; `None` when it has not.
    #[must_use]
    pub fn blob(&self, hash: u64) -> Option<Bytes> {
        self.host.blob(hash)
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

/// The worker, as the state of a task sees it while it is made.
pub struct WorkerContext {
    host: Arc<dyn Host>,
    /// Stays with the computing thread, like everything that is made of it.
    _not_sync: Cell<()>,
}

impl WorkerContext {
    pub(crate) fn new(host: Arc<dyn Host>) -> WorkerContext {
        WorkerContext {
            host,
            _not_sync: Cell::new(()),
        }
    }

    /// The data that the orchestrator sent for this worker's start, if any.
    #[must_use]
    pub fn init(&self) -> Option<Bytes> {
        self.host.init()
    }

    /// The same as a value, in bincode; `None` when there is no such data.
    ///
    /// # Errors
    /// When the data is no `T`.
    pub fn init_as<T: DeserializeOwned>(&self) -> Result<Option<T>, PayloadError> {
        self.init()
            .map(|data| Encoding::Bincode.decode(&data))
            .transpose()
    }

    /// The worker's number in its pool, counted from 1.
    #[must_use]
    pub fn id(&self) -> WorkerId {
        self.host.worker()
    }

    /// A piece of data that the orchestrator has sent to this worker under
    /// this hash; `None` when it has not.
    #[must_use]
    pub fn blob(&self, hash: u64) -> Option<Bytes> {
        self.host.blob(hash)
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
