//! The scheduler's border: what it is told, and what it wants done.

use std::time::Duration;

use protocol::{Attempt, JobId, Outcome, WorkerId};

use super::Verdict;

/// What the scheduler needs to know; see [`crate::PoolConfig`] for the fields.
#[derive(Clone, Debug)]
pub(crate) struct SchedulerConfig {
    pub(crate) workers: usize,
    /// How many of them are agents, in the first seats.
    pub(crate) agents: usize,
    /// How long one of those may be silent until it is lost.
    pub(crate) silence: Duration,
    /// For how long at most what a lost agent ran may go on.
    pub(crate) agent_end: Duration,
    pub(crate) ahead: Duration,
    pub(crate) start_timeout: Duration,
    pub(crate) start_attempts: u32,
    pub(crate) restart_limit: u32,
    pub(crate) restart_window: Duration,
    pub(crate) spawn_patience: Duration,
    pub(crate) backoff: Duration,
    pub(crate) backoff_max: Duration,
    pub(crate) retry_backoff: Duration,
    pub(crate) retry_backoff_max: Duration,
    pub(crate) quarantine: u32,
    pub(crate) black_hole: u32,
    pub(crate) grace: Duration,
    pub(crate) answer_timeout: Duration,
    pub(crate) reap_timeout: Duration,
    pub(crate) lockstep: bool,
    pub(crate) max_jobs_per_worker: Option<u64>,
    pub(crate) max_rss_per_worker: Option<u64>,
    pub(crate) max_files_per_worker: Option<u64>,
    pub(crate) idle_timeout: Option<Duration>,
    pub(crate) min_workers: Option<usize>,
    pub(crate) start_delay: Duration,
    pub(crate) start_delay_adapts: bool,
    pub(crate) starts_by_leave: bool,
    pub(crate) timeout_percent: Option<f64>,
}

/// On what terms a job runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Terms {
    /// How long one attempt may take.
    pub(crate) timeout: Option<Duration>,
    /// How many attempts may follow the first.
    pub(crate) retries: u32,
    /// The pause before the second attempt, when it is not the pool's.
    pub(crate) retry_backoff: Option<Duration>,
    /// Higher goes first.
    pub(crate) priority: i32,
    /// How long it may take to end when it was told to, before its worker is killed,
    /// when that is not the pool's business.
    pub(crate) grace: Option<Duration>,
    /// Whether its worker is looked at while it runs, how large that is.
    pub(crate) weighed: bool,
}

/// How large a worker has become; 0 for what is not known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Size {
    /// How much memory it has taken at most so far, in bytes.
    pub(crate) rss: u64,
    /// How many descriptors it has open beside those that it began with.
    pub(crate) files: u64,
}

/// Something that happened.
#[derive(Clone, Debug)]
pub(crate) enum Input {
    /// A new job, under a number that was never used before.
    Submit { job: JobId, terms: Terms },
    /// Someone wants this job to end. Unknown jobs have already ended.
    Cancel { job: JobId },
    /// Someone wants these jobs back if they have not started.
    GiveBack { jobs: Vec<JobId> },
    /// A job has made its worker larger than it may.
    Outgrown { job: JobId },
    /// So many jobs may start until this is said again; where starts need leave.
    Leave { starts: usize },
    /// This job is to make room: it is ended, and begins again later.
    PutBack { job: JobId },
    /// A worker takes jobs.
    Ready { worker: WorkerId, slots: u32 },
    /// A job has been running for a while.
    Started {
        worker: WorkerId,
        job: JobId,
        attempt: Attempt,
    },
    /// A job has ended.
    Done {
        worker: WorkerId,
        job: JobId,
        attempt: Attempt,
        outcome: Outcome,
        took: Duration,
        /// How large its worker is now.
        size: Size,
    },
    /// A worker gave these jobs back.
    Recalled {
        worker: WorkerId,
        jobs: Vec<(JobId, Attempt)>,
    },
    /// A worker broke the protocol.
    Violation { worker: WorkerId },
    /// A worker does not listen any more; what it says still counts.
    Leaving { worker: WorkerId },
    /// A worker closed its side of the link and has not ended yet.
    Closed { worker: WorkerId },
    /// A worker process has ended and was reaped, or could not be started.
    Gone { worker: WorkerId, blame: Blame },
    /// A worker could not be started for want of something that may come back:
    /// memory, processes, descriptors.
    Refused { worker: WorkerId },
    /// Starting workers is pointless: the next would fail in the same way.
    Hopeless,
    /// Time has passed.
    Tick,
    /// So many verdicts have been taken note of.
    Seen { verdicts: usize },
    /// Start nothing until `Resume`. Time stands still meanwhile: whoever calls
    /// sees to that.
    Pause,
    /// Go on.
    Resume,
    /// Jobs that have not started, or wait for another attempt, end here.
    Withdraw,
    /// The pool is to have so many workers, at least one.
    Resize { workers: usize },
    /// No more jobs will come: end when all have their verdict.
    Drain,
    /// Ask all jobs to end, then end.
    Interrupt,
    /// End now, whatever runs: workers stop their jobs and clean up.
    Stop,
    /// End at once: workers are killed.
    Kill,
}

/// Which job a dead worker was running.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Blame {
    /// This one, as its status page says.
    Job(JobId, Attempt),
    /// None, as its status page says.
    Nobody,
    /// There is no status page: the oldest job that it has not answered.
    Oldest,
    /// It is an agent that was lost: none of those that it ran is at fault, and any may be.
    Running,
    /// The same, and what it ran may go on for so long.
    MayRun(Duration),
}

/// Something to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// Start a worker process under this number, for this seat.
    Spawn { worker: WorkerId, seat: usize },
    /// Send a job. Those for one worker come in the order in which it runs
    /// them, and belong into one write.
    Send {
        worker: WorkerId,
        job: JobId,
        attempt: Attempt,
    },
    /// Tell a worker to stop a job.
    Cancel {
        worker: WorkerId,
        job: JobId,
        attempt: Attempt,
        /// Whether that is because its time is up.
        overdue: bool,
    },
    /// Ask a worker to give back what it has not started of these.
    Recall {
        worker: WorkerId,
        jobs: Vec<(JobId, Attempt)>,
    },
    /// Ask a worker to finish what it has and end. It gets no further jobs.
    Drain { worker: WorkerId },
    /// The same, because so many of its jobs in a row have failed, and nobody
    /// else's have.
    Retire { worker: WorkerId, failures: u32 },
    /// Tell a worker to stop its job, clean up and end.
    Close { worker: WorkerId },
    /// Kill a worker and its job's processes.
    Kill { worker: WorkerId },
    /// A worker was killed and does not end: nobody waits for it any more.
    Abandon { worker: WorkerId },
    /// An attempt at this job has ended like that, and another one follows
    /// after the pause.
    Retry {
        job: JobId,
        attempts: u32,
        verdict: Verdict,
        worker: Option<WorkerId>,
        pause: Duration,
    },
    /// This job has ended for good.
    Verdict {
        job: JobId,
        verdict: Verdict,
        worker: Option<WorkerId>,
        attempts: u32,
    },
    /// Look how large this worker is, for the sake of the job that it runs.
    Weigh { worker: WorkerId, job: JobId },
    /// A job that was wanted back has started, or is about to.
    Kept { job: JobId },
    /// A job that was to make room has ended, and waits to begin again.
    PutBack { job: JobId },
    /// No worker can be kept alive; all jobs get their verdict `Lost`.
    Broken,
    /// All jobs have their verdict and all workers are gone, for good.
    Ended,
}
