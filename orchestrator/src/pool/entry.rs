//! Jobs that have no verdict yet, as the driver keeps them, and where their reports go.

use std::sync::Arc;
use std::time::Duration;

use protocol::{JobId, Parts, TaskError};
use tokio::sync::{mpsc, oneshot};

use super::job::{Errand, JobReport, Omitted, RawJob, Wishes, WorkerDeath};
use super::reports::Reports;
use super::spill::{Capture, Payload};

/// Where a job's report goes.
#[derive(Debug)]
pub(super) enum Reply {
    One(oneshot::Sender<Box<JobReport>>),
    /// With those of others that end in the same turn.
    Shared(Reports),
    /// Likewise, as the so-manieth.
    Together(Arc<Lane>, u64),
}

/// The way to whoever takes the ends of many jobs.
#[derive(Debug)]
pub(super) struct Lane(pub(super) mpsc::UnboundedSender<Vec<Ended>>);

impl PartialEq for Lane {
    fn eq(&self, other: &Lane) -> bool {
        self.0.same_channel(&other.0)
    }
}

/// The end of one of many jobs.
#[derive(Debug)]
pub(super) struct Ended {
    /// Which of them.
    pub(super) number: u64,
    /// Its result, or everything about it when it has none.
    pub(super) end: Result<Payload, Box<JobReport>>,
}

/// A job that has no verdict yet. Many may wait, and every one of them is moved
/// around: what few jobs need is in a box.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) id: JobId,
    pub(super) errand: Errand,
    pub(super) wishes: Option<Box<Wishes>>,
    pub(super) reply: Reply,
    pub(super) sent: Option<Duration>,
    /// What its last attempt has left behind besides, if anything.
    pub(super) traces: Option<Box<Traces>>,
}

/// What an attempt may leave behind beside its answer.
#[derive(Debug, Default)]
pub(super) struct Traces {
    pub(super) stdout: Capture,
    pub(super) stderr: Capture,
    /// The parts of a large result that have come.
    pub(super) result: Parts,
    pub(super) error: Option<TaskError>,
    /// What of its output was not passed on.
    pub(super) omitted: Omitted,
    /// Whether its worker had been stopped by somebody when its time was up.
    pub(super) was_stopped: bool,
    /// Whether it, or its worker, died because it got no memory.
    pub(super) out_of_memory: bool,
    /// How large it had made its worker, in bytes, when that was too much.
    pub(super) outgrown: Option<u64>,
    /// How a worker of its agent died of it.
    pub(super) death: Option<Arc<WorkerDeath>>,
}

impl Entry {
    pub(super) fn new(id: JobId, job: RawJob, reply: Reply) -> Entry {
        let (errand, wishes) = job.parts();
        Entry {
            wishes,
            ..Entry::plain(id, errand, reply)
        }
    }

    /// A job without wishes.
    pub(super) fn plain(id: JobId, errand: Errand, reply: Reply) -> Entry {
        Entry {
            id,
            errand,
            wishes: None,
            reply,
            sent: None,
            traces: None,
        }
    }

    pub(super) fn traces(&mut self) -> &mut Traces {
        self.traces.get_or_insert_default()
    }
}
