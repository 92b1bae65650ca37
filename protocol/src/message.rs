//! The two vocabularies: what an orchestrator says to a worker, and what a
//! worker says back. `docs/protocol.md` says when each may be sent.
//!
//! Messages are plain data. How they become bytes is [`crate::codec`]'s
//! business, and nothing outside this crate derives `Serialize` for the wire.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::{Attempt, Encoding, JobId, JobOptions, WorkerId};

/// How many chunks of one input or one result may be under way without having
/// been credited by the receiver. Bounds what a receiver must hold.
pub const CREDIT: u32 = 4;

/// What an orchestrator says to a worker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ToWorker {
    /// First frame after the worker's greeting.
    Hello(Hello),
    /// Data for the worker's own start, sent at most once and before any job.
    Init(Bytes),
    /// A piece of data that jobs refer to by its hash, sent once per worker.
    Blob {
        /// The name under which tasks ask for it; chosen by the sender.
        hash: u64,
        /// The data, or its first part.
        data: Bytes,
        /// Whether more `Blob` frames with the same hash follow.
        more: bool,
    },
    /// Jobs to be run in this order.
    RunMany(Vec<Assignment>),
    /// The same, with wishes that an agent can fulfil; for agents only.
    RunManyWith(JobOptions, Vec<Assignment>),
    /// The next part of an input whose `JobHeader` announced more than came
    /// with it.
    InputChunk {
        /// Whose input.
        job: JobId,
        /// Which try.
        attempt: Attempt,
        /// The bytes.
        data: Bytes,
    },
    /// The orchestrator has taken this many more result chunks of a job.
    Credit {
        /// Whose result.
        job: JobId,
        /// Which try.
        attempt: Attempt,
        /// How many more chunks may be sent.
        chunks: u32,
    },
    /// Stop this job, or forget it when it has not started; answered by its
    /// `DoneMany` in either case.
    Cancel {
        /// Which job.
        job: JobId,
        /// Which try.
        attempt: Attempt,
    },
    /// Give back those of these jobs that have not started.
    Recall(Vec<(JobId, Attempt)>),
    /// Stop the running command's processes (SIGSTOP) and start nothing new.
    Pause,
    /// Undo `Pause`.
    Resume,
    /// Finish the jobs that are here, then say `Bye` and end.
    Drain,
    /// The pool takes no more jobs, and ends when those that it has are over:
    /// some of them may still come here. A job that would never end by itself
    /// should.
    WindDown,
    /// Have so many workers, at least 1; for agents only.
    Resize(u32),
    /// Asks for `Pong` with the same number.
    Ping(u64),
    /// Remote links only: this many `DoneMany` frames have arrived. Never
    /// acknowledged.
    Ack(u64),
    /// The orchestrator ends the link; nothing follows.
    Bye,
}

/// What a worker says to its orchestrator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FromWorker {
    /// Answer to `Hello`: jobs may be sent.
    Ready(Ready),
    /// This job has been running for more than a few milliseconds.
    Started {
        /// Which job.
        job: JobId,
        /// Which try.
        attempt: Attempt,
    },
    /// What a job wrote to its stdout or stderr, as it comes.
    Output {
        /// Which job; [`JobId::NONE`] for what was printed between jobs.
        job: JobId,
        /// Which try.
        attempt: Attempt,
        /// Where it was written.
        stream: Stream,
        /// The bytes.
        data: Bytes,
    },
    /// A part of a result that is larger than one chunk; the last part comes
    /// with the job's `DoneMany`.
    ResultChunk {
        /// Whose result.
        job: JobId,
        /// Which try.
        attempt: Attempt,
        /// The bytes.
        data: Bytes,
    },
    /// Jobs that have ended, in the order in which they ended.
    DoneMany(Vec<Answer>),
    /// The worker has taken this many more input chunks of a job.
    Credit {
        /// Whose input.
        job: JobId,
        /// Which try.
        attempt: Attempt,
        /// How many more chunks may be sent.
        chunks: u32,
    },
    /// These jobs were not started and will not be: answer to `Recall`.
    Recalled(Vec<(JobId, Attempt)>),
    /// How far a job says that it has come.
    Progress {
        /// Which job.
        job: JobId,
        /// Which try.
        attempt: Attempt,
        /// Units done, whatever the task counts.
        done: u64,
        /// Units in all; 0 when unknown.
        total: u64,
    },
    /// So much of what a job wrote is not passed on, because of its limit.
    Omitted {
        /// Which job.
        job: JobId,
        /// Which try.
        attempt: Attempt,
        /// Where it was written.
        stream: Stream,
        /// How many bytes of it.
        bytes: u64,
    },
    /// Answer to `Ping`.
    Pong(u64),
    /// Remote links only: this many `RunMany` frames have arrived. Never
    /// acknowledged.
    Ack(u64),
    /// The worker ends the link of its own will; nothing follows.
    Bye,
}

/// The orchestrator introduces itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// Version and build of the orchestrator's program, for messages only.
    pub build: String,
    /// Number of this worker in the pool, for messages only.
    pub worker: WorkerId,
    /// What carries the frames.
    pub link: LinkKind,
    /// Largest result, in bytes, that this orchestrator accepts.
    pub max_payload: u64,
    /// Whether `Init` follows: the worker's start may wait for it.
    pub init: bool,
}

/// What carries the frames, which decides whether end-of-file can be trusted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum LinkKind {
    /// Pipes on this machine: end-of-file is certain, nothing is acknowledged.
    #[default]
    Local,
    /// Something that may buffer, delay or die silently: frames that carry
    /// jobs or answers are acknowledged at once.
    Remote,
}

/// A worker says what it can do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ready {
    /// Version and build of the worker's program, for messages only.
    pub build: String,
    /// Its process id on its own machine.
    pub pid: u32,
    /// How many jobs it runs at the same time; at least 1.
    pub slots: u32,
    /// Its tasks; a `JobHeader` names one by its place in this list.
    pub tasks: Vec<String>,
    /// A descriptor of the worker that holds its status page (see
    /// `docs/protocol.md`), readable through `/proc/PID/fd/` after a crash.
    pub status_fd: Option<i32>,
}

/// A job on its way to a worker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assignment {
    /// What is known about the job.
    pub header: JobHeader,
    /// Its input, or the first part of it when `header.input_len` is larger.
    pub input: Bytes,
}

/// The control part of an [`Assignment`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobHeader {
    /// Which job.
    pub job: JobId,
    /// Which try.
    pub attempt: Attempt,
    /// Place of its task in [`Ready::tasks`].
    pub task: u32,
    /// How the input is encoded, and how the answer shall be.
    pub encoding: Encoding,
    /// Length of the whole input in bytes, chunks that follow included.
    pub input_len: u64,
}

/// A job's end on its way back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// What is known about the end.
    pub header: DoneHeader,
    /// The result, or the last part of it when chunks came before; for an
    /// outcome other than `Ok` a bincode [`crate::TaskError`], or nothing. From an
    /// agent, for `TimedOut` and what only agents say, a bincode [`crate::Death`].
    pub payload: Bytes,
}

/// The control part of an [`Answer`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DoneHeader {
    /// Which job.
    pub job: JobId,
    /// Which try.
    pub attempt: Attempt,
    /// How it ended.
    pub outcome: Outcome,
    /// What it used.
    pub usage: Usage,
}

/// How a try at a job ended, as far as its worker can tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// The task gave a result; the command ended with status 0.
    Ok,
    /// The command ended with this status; 1 for a task that returned an
    /// error, 101 for one that panicked.
    Failed(i32),
    /// The command was ended by this signal.
    Signaled(i32),
    /// The job's own time limit ended it.
    TimedOut,
    /// The command could not be started: errno.
    SpawnError(i32),
    /// The worker has no such task, or cannot decode the input.
    Rejected,
    /// Ended because of `Cancel`.
    Cancelled,
    /// It wrote more than it may, see [`crate::OutputLimit`].
    OutputLimit,
    /// Its worker died while running it. This and all below is said by agents only.
    Crashed,
    /// Its worker, or its command, died for want of memory.
    Oom,
    /// So many workers died of it that it is not tried again.
    Quarantined,
    /// Its worker was killed and does not end.
    Unkillable,
    /// The agent's pool ended before the job did.
    Lost,
}

impl Outcome {
    /// Whether only a worker that has workers of its own can know this.
    #[must_use]
    pub fn is_of_agents(self) -> bool {
        match self {
            Outcome::Crashed
            | Outcome::Oom
            | Outcome::Quarantined
            | Outcome::Unkillable
            | Outcome::Lost => true,
            Outcome::Ok
            | Outcome::Failed(_)
            | Outcome::Signaled(_)
            | Outcome::TimedOut
            | Outcome::SpawnError(_)
            | Outcome::Rejected
            | Outcome::Cancelled
            | Outcome::OutputLimit => false,
        }
    }
}

/// What a try at a job used. Times are in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// From start to end on a monotonic clock.
    pub wall_us: u64,
    /// CPU time in user mode: of the command and the descendants it waited
    /// for, or of the thread that ran the function.
    pub user_us: u64,
    /// CPU time in the kernel, likewise.
    pub system_us: u64,
    /// Largest resident set in KiB: of the command and the descendants it
    /// waited for, or of the whole worker process so far.
    pub max_rss_kib: u64,
    /// Processes that the command left behind and the worker killed.
    pub leaked: u32,
}

impl Usage {
    /// Whether it was measured at all: it is all zero when nobody was left who could, as when a
    /// worker died. What is over within a microsecond has taken none, and was measured.
    pub fn is_measured(&self) -> bool {
        *self != Usage::default()
    }
}

/// Where a job wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}
