//! What the thread that reads the input has of a run file: which lines are done,
//! and the numbers of those that are not.

use protocol::{EnvChange, JobId};
use serde_bytes::ByteBuf;

use super::key::{Key, Keys};
use super::known::{Counts, Known, Place};
use super::recorder::{Entry, Sender};
use super::rows::{JobRow, since_1970};
use crate::run::report::calendar;
use crate::run::source::lines::{Content, Line};
use crate::run::source::work::Ticket;

/// See the module.
#[derive(Debug)]
pub(crate) struct Ledger {
    pub(super) keys: Keys,
    pub(super) known: Known,
    /// The highest number of a job.
    pub(super) last: i64,
    pub(super) rows: Vec<JobRow>,
    pub(super) sender: Sender,
    /// Whether the run goes on that another one has begun.
    pub(super) resumed: bool,
}

impl Ledger {
    /// Finds the job of this line, which is no blank one, unless it has its verdict.
    pub(crate) fn find(&mut self, line: &Line) -> Option<Entered> {
        let key = self.keys.key(&line.content);
        let (job, is_new) = match self.known.place(key) {
            Place::Done => return None,
            Place::Open(job) => (job, false),
            Place::New => {
                self.last += 1;
                (self.last, true)
            }
        };
        Some(Entered { job, key, is_new })
    }

    /// Records a job that was found, if it is new.
    pub(crate) fn enter(&mut self, found: Entered, line: &Line, ticket: &Ticket) {
        if found.is_new {
            self.rows.push(JobRow {
                job: found.job,
                key: found.key,
                seq: ticket.seq,
                line: line.number,
                id: ticket.id.clone(),
                item: match &line.content {
                    Content::Whole(bytes) => Some(bytes.clone()),
                    Content::TooLong { .. } | Content::Unfit(_) => None,
                },
            });
        }
    }

    /// Hands the new jobs to the thread that records them; before they are handed to
    /// anybody else, so that they are there when they end.
    pub(crate) fn send(&mut self) {
        if !self.rows.is_empty() {
            let rows = std::mem::take(&mut self.rows);
            // One look at the clock for all that came with one read.
            let now = since_1970(calendar());
            self.sender.send_blocking(Entry::Jobs(rows, now));
        }
    }

    /// The input has ended. What it was, compared to what is recorded, if anything
    /// was.
    pub(crate) fn finish(mut self) -> Option<Counts> {
        let gone = self.known.finish();
        self.sender.send_blocking(Entry::InputEnd(gone));
        self.resumed.then_some(self.known.counts)
    }
}

/// A line's job.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entered {
    pub(crate) job: i64,
    pub(crate) key: Key,
    is_new: bool,
}

/// What a command is told about its job, beside the run's id and the attempt.
pub(crate) fn environment(job: i64, key: Key) -> Vec<EnvChange> {
    let variable = |name: &str, value: String| EnvChange {
        name: ByteBuf::from(name),
        value: Some(ByteBuf::from(value)),
    };
    vec![
        variable("ORCHESTRATOR_JOB_ID", job.to_string()),
        variable("ORCHESTRATOR_JOB_KEY", key.to_string()),
    ]
}

/// The number of a recorded job in reports.
pub(crate) fn job_id(job: i64) -> JobId {
    JobId(job.unsigned_abs())
}
