//! What is asked of the pool, and what comes back: [`RawJob`] and [`JobReport`].

use std::borrow::Cow;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use protocol::command::Command;
use protocol::{
    CommandSpec, Encoded, Encoding, JobId, PayloadError, Stream, Task, TaskError, Usage, WorkerId,
};
use worker::JobContext;

use super::spill::{Capture, Payload};
use super::{Printed, unwanted};
use crate::scheduler::Verdict;

/// A job as the pool takes it: the name of a task, its encoded input, and how
/// that is encoded.
#[derive(Clone, Debug)]
pub struct RawJob {
    /// Name under which workers offer the task.
    pub task: Cow<'static, str>,
    /// The input, encoded.
    pub input: Bytes,
    /// How the input is encoded, and how the result will be.
    pub encoding: Encoding,
    /// How long one attempt may take; the pool's
    /// [`timeout`](super::PoolConfig::timeout) when absent.
    pub timeout: Option<Duration>,
    /// How many attempts may follow the first; the pool's
    /// [`retries`](super::PoolConfig::retries) when absent.
    pub retries: Option<u32>,
    /// Where goes what it prints; to the pool's
    /// [`printed`](super::PoolConfig::printed) when absent.
    pub printed: Option<Printed>,
    /// Pause before the second attempt, doubled for each further one up to the
    /// pool's [`retry_backoff_max`](super::PoolConfig::retry_backoff_max); the
    /// pool's [`retry_backoff`](super::PoolConfig::retry_backoff) when absent.
    pub retry_backoff: Option<Duration>,
    /// Jobs of a higher priority are handed out first, those of one priority in
    /// the order of their submission. Default: 0. What a worker has been sent
    /// already, about [`ahead`](super::PoolConfig::ahead) of work, stays before
    /// it; and a lower priority waits for as long as higher ones come.
    pub priority: i32,
    /// How long an attempt that was told to end may take, for its time or because it
    /// was cancelled, before its worker is killed; the pool's
    /// [`grace`](super::PoolConfig::grace) and
    /// [`answer_timeout`](super::PoolConfig::answer_timeout) when absent. Zero: at once.
    pub grace: Option<Duration>,
    /// How much memory its worker may have, resident, in bytes. It is looked at some
    /// fifty times a second while the job runs; one that has more is killed, and the
    /// job's verdict is `Oom`. Default: any.
    pub memory_limit: Option<u64>,
    /// What a person calls the job: comes back in [`JobReport::label`] and
    /// [`RunningJob::label`](super::RunningJob::label), and means nothing to
    /// the pool. Default: none.
    pub label: Option<Arc<str>>,
    /// What a thread runs instead of a task.
    pub(super) call: Option<Closure>,
}

pub(super) type Function = Box<dyn FnOnce(&JobContext) + Send>;

/// A function that runs once. Clones of its job share it: whoever comes first
/// runs it.
#[derive(Clone)]
pub(super) struct Closure(Arc<Mutex<Slot>>);

struct Slot(Option<Function>);

/// Nobody ran it, and here may be the driver.
impl Drop for Slot {
    fn drop(&mut self) {
        if let Some(function) = self.0.take() {
            unwanted::discard(function);
        }
    }
}

impl Closure {
    fn new(function: Function) -> Closure {
        Closure(Arc::new(Mutex::new(Slot(Some(function)))))
    }

    /// The function, to be run, unless it was taken before.
    pub(super) fn take(&self) -> Option<Function> {
        let mut slot = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        slot.0.take()
    }
}

impl fmt::Debug for Closure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Closure")
    }
}

impl RawJob {
    /// A job with an input that is encoded already, and the pool's limits.
    #[must_use]
    pub fn encoded(task: impl Into<Cow<'static, str>>, input: Bytes, encoding: Encoding) -> RawJob {
        RawJob {
            task: task.into(),
            input,
            encoding,
            timeout: None,
            retries: None,
            printed: None,
            retry_backoff: None,
            priority: 0,
            grace: None,
            memory_limit: None,
            label: None,
            call: None,
        }
    }

    /// A job that runs this function in a thread of a
    /// [`ThreadPool`](super::ThreadPool); a pool of processes rejects it. What it
    /// finds out it has to send by itself, through a channel for example: the
    /// job's result is empty. It runs at most once, whatever `retries` says. It
    /// is dropped without having run when the job is cancelled before it starts:
    /// soon, on a thread where that may block or panic and disturbs no other job.
    #[must_use]
    pub fn call(run: impl FnOnce(&JobContext) + Send + 'static) -> RawJob {
        RawJob {
            call: Some(Closure::new(Box::new(run))),
            ..RawJob::encoded("closure", Bytes::new(), Encoding::Raw)
        }
    }

    /// A job of a task whose types this program knows.
    ///
    /// # Errors
    /// When the input cannot be encoded.
    pub fn new<T: Task>(_task: &T, input: &T::Input) -> Result<RawJob, PayloadError> {
        RawJob::typed::<T>(input)
    }

    pub(super) fn typed<T: Task>(input: &T::Input) -> Result<RawJob, PayloadError> {
        let input = Encoding::Bincode.encode(input)?;
        Ok(RawJob::encoded(T::NAME, input, Encoding::Bincode))
    }

    /// A job that runs an external command.
    ///
    /// # Errors
    /// When the specification cannot be encoded, which no valid one does.
    pub fn command(spec: &CommandSpec) -> Result<RawJob, PayloadError> {
        RawJob::new(&Command, spec)
    }
}

/// What a worker is to do.
#[derive(Debug)]
pub(super) struct Errand {
    pub(super) task: Cow<'static, str>,
    pub(super) input: Encoded,
    pub(super) encoding: Encoding,
}

/// What few jobs wish for; see [`RawJob`].
#[derive(Debug, Default)]
pub(super) struct Wishes {
    pub(super) timeout: Option<Duration>,
    pub(super) retries: Option<u32>,
    pub(super) printed: Option<Printed>,
    pub(super) retry_backoff: Option<Duration>,
    pub(super) priority: i32,
    pub(super) grace: Option<Duration>,
    pub(super) memory_limit: Option<u64>,
    pub(super) label: Option<Arc<str>>,
    pub(super) call: Option<Closure>,
}

impl Errand {
    /// A job of a task, with its input in a buffer that others share.
    pub(super) fn of<T: Task>(
        input: T::Input,
        shared: &mut BytesMut,
    ) -> Result<Errand, PayloadError> {
        Ok(Errand {
            task: Cow::Borrowed(T::NAME),
            input: Encoding::Bincode.encode_owned(input, shared)?,
            encoding: Encoding::Bincode,
        })
    }
}

impl RawJob {
    /// What all jobs have, and what few have, if this one has any of it.
    pub(super) fn parts(self) -> (Errand, Option<Box<Wishes>>) {
        let RawJob {
            task,
            input,
            encoding,
            timeout,
            retries,
            printed,
            retry_backoff,
            priority,
            grace,
            memory_limit,
            label,
            call,
        } = self;
        let plain = timeout.is_none()
            && retries.is_none()
            && printed.is_none()
            && retry_backoff.is_none()
            && priority == 0
            && grace.is_none()
            && memory_limit.is_none()
            && label.is_none()
            && call.is_none();
        let errand = Errand {
            task,
            input: input.into(),
            encoding,
        };
        let wishes = || Wishes {
            timeout,
            retries,
            printed,
            retry_backoff,
            priority,
            grace,
            memory_limit,
            label,
            call,
        };
        (errand, (!plain).then(|| Box::new(wishes())))
    }
}

/// A job's end, with everything that is known about it.
#[derive(Debug)]
pub struct JobReport {
    /// Which job.
    pub job: JobId,
    /// What its submitter called it.
    pub label: Option<Arc<str>>,
    /// How it ended.
    pub verdict: Verdict,
    /// The result in the job's own encoding; empty unless the verdict is `Ok`.
    pub result: Payload,
    /// Why it did not end well, when there is more to say than the verdict.
    pub error: Option<Box<TaskError>>,
    /// How its worker died, if the last attempt ended with that.
    pub death: Option<Arc<WorkerDeath>>,
    /// What its last attempt wrote to stdout, if that was to be kept
    /// ([`Printed::Capture`]).
    pub stdout: Capture,
    /// What its last attempt wrote to stderr, likewise (for a function: nothing, it shares its
    /// worker's, see [`super::EventKind::WorkerPrinted`]).
    pub stderr: Capture,
    /// What its last attempt wrote beyond its limit, and is not there.
    pub omitted: Omitted,
    /// What the last attempt used; zero when its worker died.
    pub usage: Usage,
    /// When the last attempt began, counted from the start of the pool.
    pub started: Option<Duration>,
    /// Who made the last attempt.
    pub worker: Option<WorkerId>,
    /// On which host, when that was an [`Agent`](super::Agent).
    pub host: Option<Arc<str>>,
    /// How many attempts were made.
    pub attempts: u32,
}

/// How a worker process died.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WorkerDeath {
    /// Its status, if it ended by itself.
    pub exit_code: Option<i32>,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// The last lines that it wrote to stderr.
    pub stderr: String,
}

/// How many bytes of what a command wrote were left out because of its limit, see
/// [`Command::output_limit`](super::Command::output_limit).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Omitted {
    /// Of stdout.
    pub stdout: u64,
    /// Of stderr.
    pub stderr: u64,
}

impl Omitted {
    /// A worker says it once for each stream, but it may be anybody's program.
    pub(super) fn add(&mut self, stream: Stream, bytes: u64) {
        let sum = match stream {
            Stream::Stdout => &mut self.stdout,
            Stream::Stderr => &mut self.stderr,
        };
        *sum = sum.saturating_add(bytes);
    }
}
