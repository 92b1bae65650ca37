//! What is asked of all jobs of a pool together.

use std::sync::Arc;
use std::time::Duration;

use protocol::{Attempt, JobId, WorkerId};
use tokio::sync::{mpsc, oneshot};

use super::obey::Command;
use super::{PoolError, Stats};

/// What is wrong with a pool of so many workers.
pub(super) fn wrong_size(workers: usize) -> Option<&'static str> {
    match workers {
        0 => Some("a pool needs at least one worker"),
        1..=MAX_WORKERS => None,
        _ => Some("a pool has at most 16,384 workers"),
    }
}

/// Nobody has so many processes; a slip of the keyboard has.
const MAX_WORKERS: usize = 16_384;
/// How long workers may take to hear of a pause.
const PAUSE_PATIENCE: Duration = Duration::from_millis(500);

/// The reins of a pool. Works while [`super::Pool::shutdown`] is waited for, and
/// does nothing when the pool is gone. Does not keep a pool alive.
#[derive(Clone, Debug)]
pub struct Control {
    commands: mpsc::WeakUnboundedSender<Command>,
}

/// What a pool is doing.
#[derive(Clone, Debug, Default)]
pub struct Status {
    /// The jobs whose turn has come at a worker, longest first.
    pub running: Vec<RunningJob>,
    /// How many jobs wait: for a worker, or for their next attempt.
    pub waiting: usize,
    /// How many worker processes there are.
    pub workers: usize,
}

/// A job whose turn has come.
#[derive(Clone, Debug)]
pub struct RunningJob {
    /// Which job.
    pub job: JobId,
    /// What its submitter called it.
    pub label: Option<Arc<str>>,
    /// Which try.
    pub attempt: Attempt,
    /// At which worker.
    pub worker: WorkerId,
    /// The worker's process id.
    pub pid: u32,
    /// For how long, not counting time in which the pool stood still.
    pub elapsed: Duration,
}

impl Control {
    pub(super) fn new(commands: mpsc::WeakUnboundedSender<Command>) -> Control {
        Control { commands }
    }

    /// What runs, and what waits; nothing when the pool is gone.
    pub async fn status(&self) -> Status {
        let (reply, status) = oneshot::channel();
        self.send(Command::Status(reply));
        status.await.unwrap_or_default()
    }

    /// The pool in numbers; all of them 0 when it is gone.
    pub async fn stats(&self) -> Stats {
        let (reply, stats) = oneshot::channel();
        self.send(Command::Stats(reply));
        stats.await.unwrap_or_default()
    }

    /// From now on so many workers, as if the pool had been started with them.
    /// Returns at once. More are started at once. Fewer: those with the least to
    /// do get no more jobs, give back what they have not begun, and end when
    /// they have done the rest; no running job is harmed, so there may be more
    /// for a while. A worker that replaces one which is still at its last job
    /// gets none before. Does nothing when the pool is ending or gone.
    ///
    /// # Errors
    /// [`PoolError::Config`] for a pool without workers, or with more than 16,384.
    pub fn resize(&self, workers: usize) -> Result<(), PoolError> {
        if let Some(problem) = wrong_size(workers) {
            return Err(PoolError::Config(problem));
        }
        self.send(Command::Resize(workers));
        Ok(())
    }

    /// So many jobs may start from now on, until this is said again: for a pool whose
    /// [`starts_by_leave`](super::PoolConfig::starts_by_leave) is set, where none may before.
    pub fn allow_starts(&self, jobs: usize) {
        self.send(Command::AllowStarts(jobs));
    }

    /// Ends the job that began last, to make room for the others, and starts it again when
    /// its turn comes; that was no try. Not the only job that runs, nor one more while
    /// another one is about to end in this way. Which job it is.
    pub async fn put_back_youngest(&self) -> Option<RunningJob> {
        let (reply, job) = oneshot::channel();
        self.send(Command::PutBack(reply));
        job.await.ok()
    }

    /// Nothing is started any more, running commands are stopped (SIGSTOP) and no
    /// deadline comes nearer, until [`Control::resume`]. Functions run on: they
    /// cannot be stopped without their worker. Returns when the workers have
    /// been told, after half a second at the latest.
    pub async fn pause(&self) {
        let (sender, mut told) = mpsc::channel(1);
        self.send(Command::Pause(sender));
        let heard = async { while told.recv().await.is_some() {} };
        tokio::time::timeout(PAUSE_PATIENCE, heard).await.ok();
    }

    /// The same without waiting until they have been told.
    #[cfg(feature = "cli")]
    pub(crate) fn stand_still(&self) {
        self.send(Command::Pause(mpsc::channel(1).0));
    }

    /// Ends all jobs and workers as [`Pool::shutdown_now`](super::Pool::shutdown_now), and
    /// waits for nothing.
    #[cfg(feature = "cli")]
    pub(crate) fn stop(&self) {
        self.send(Command::Stop);
    }

    /// Takes no more jobs, as [`Pool::shutdown`](super::Pool::shutdown), and waits for nothing.
    #[cfg(feature = "cli")]
    pub(crate) fn drain(&self) {
        self.send(Command::Drain);
    }

    /// Undoes [`Control::pause`].
    pub fn resume(&self) {
        self.send(Command::Resume);
    }

    /// So many verdicts have been taken note of: with
    /// [`PoolConfig::lockstep`](super::PoolConfig::lockstep), further jobs may
    /// start when all have been.
    pub fn seen(&self, verdicts: usize) {
        self.send(Command::Seen(verdicts));
    }

    /// Gives back the memory that the busiest moment has taken, when there is no job.
    #[cfg(feature = "cli")]
    pub(crate) fn rest(&self) {
        self.send(Command::Rest);
    }

    /// Starts no further jobs, and no further attempts: those that have not
    /// started end as `Interrupted`, those that wait for another attempt as the
    /// last one did. What runs runs on.
    pub fn withdraw(&self) {
        self.send(Command::Withdraw);
    }

    /// Asks all jobs to end: commands get SIGTERM, functions are told; what does
    /// not end within [`super::PoolConfig::grace`] is killed. The pool takes no
    /// more jobs, and ends when they have. Their verdict is `Interrupted`, or
    /// `Ok` for those that end well before they hear of it.
    pub fn interrupt(&self) {
        self.send(Command::Interrupt);
    }

    /// Kills all workers and what they run, now.
    pub fn kill(&self) {
        self.send(Command::Kill);
    }

    fn send(&self, command: Command) {
        if let Some(commands) = self.commands.upgrade() {
            commands.send(command).ok();
        }
    }
}
