//! What the driver tells `tracing`: spans of workers and jobs, and what happens to them. While
//! nobody listens, that is one look at a number for each; nothing is kept then.
//!
//! What jobs and workers have said is data: it is told as a field, which whoever writes it down
//! has to escape.

use std::collections::HashMap;

use protocol::{Attempt, JobId, TaskError, Usage, WorkerId};
use tracing::level_filters::LevelFilter;
use tracing::{Span, debug, error, info, info_span, trace, warn};

use super::PoolError;
use super::driver::Driver;
use crate::scheduler::{IdMap, Verdict};

/// The spans of workers and jobs that have not ended.
#[derive(Debug, Default)]
pub(super) struct Spans {
    workers: HashMap<WorkerId, Span>,
    jobs: IdMap<JobId, Span>,
}

impl Spans {
    fn worker(&self, worker: WorkerId) -> Span {
        self.workers
            .get(&worker)
            .cloned()
            .unwrap_or_else(Span::none)
    }
}

/// Whether anybody listens.
pub(super) fn is_on() -> bool {
    LevelFilter::current() != LevelFilter::OFF
}

/// Each of these is for when [`is_on`].
impl Driver {
    pub(super) fn log_spawned(&mut self, worker: WorkerId, pid: u32, slot: usize) {
        let span = info_span!(parent: None, "worker", worker = worker.0, pid, slot);
        info!(parent: &span, "worker started");
        self.spans.workers.insert(worker, span);
    }

    pub(super) fn log_ready(&self, worker: WorkerId) {
        info!(parent: &self.spans.worker(worker), "worker ready");
    }

    pub(super) fn log_gone(&mut self, worker: WorkerId, unexpected: Option<&str>) {
        let span = self
            .spans
            .workers
            .remove(&worker)
            .unwrap_or_else(Span::none);
        match unexpected {
            Some(why) => warn!(parent: &span, worker = worker.0, why, "worker ended"),
            None => info!(parent: &span, "worker ended"),
        }
    }

    pub(super) fn log_retired(&self, worker: WorkerId, failures: u32) {
        let span = self.spans.worker(worker);
        warn!(parent: &span, worker = worker.0, failures, "worker is replaced: its jobs fail");
    }

    pub(super) fn log_printed(&self, worker: WorkerId, line: &[u8]) {
        let line = String::from_utf8_lossy(line);
        trace!(parent: &self.spans.worker(worker), line = &*line, "worker printed");
    }

    pub(super) fn log_sent(&mut self, job: JobId, attempt: Attempt, worker: WorkerId) {
        let label = self.label(job);
        let span = info_span!(
            parent: &self.spans.worker(worker),
            "job",
            job = job.0,
            attempt = attempt.0,
            worker = worker.0,
            label = label.as_deref().map(clipped),
        );
        debug!(parent: &span, "job sent");
        self.spans.jobs.insert(job, span);
    }

    pub(super) fn log_started(&self, job: JobId) {
        if let Some(span) = self.spans.jobs.get(&job) {
            debug!(parent: span, "job is running");
        }
    }

    pub(super) fn log_progress(&self, job: JobId, done: u64, total: u64) {
        if let Some(span) = self.spans.jobs.get(&job) {
            trace!(parent: span, done, total, "job progress");
        }
    }

    /// An attempt is over; whether another one follows.
    pub(super) fn log_over(
        &mut self,
        (job, attempts): (JobId, u32),
        (verdict, is_last): (Verdict, bool),
        error: Option<&TaskError>,
        usage: Usage,
    ) {
        let span = self.spans.jobs.remove(&job).unwrap_or_else(Span::none);
        let Usage {
            wall_us,
            max_rss_kib,
            ..
        } = usage;
        let (job, word) = (job.0, verdict.word());
        let error = error.map(|error| error.message.as_str());
        if !is_last {
            info!(
                parent: &span,
                job, attempts, verdict = word, error, wall_us, "job failed and is tried again"
            );
            return;
        }
        if verdict == Verdict::Ok {
            debug!(
                parent: &span,
                job, attempts, verdict = word, wall_us, max_rss_kib, "job ended"
            );
            return;
        }
        let (status, signal) = match verdict {
            Verdict::Failed(status) => (Some(status), None),
            Verdict::Signaled(signal) => (None, Some(signal)),
            _ => (None, None),
        };
        info!(
            parent: &span,
            job, attempts, verdict = word, status, signal, error, wall_us, max_rss_kib, "job ended"
        );
    }

    pub(super) fn log_broken(&self, why: &PoolError) {
        error!(parent: None, error = %why, "the pool is broken");
    }
}

/// As much of a job's label as is told each time that something is told of the job.
fn clipped(label: &str) -> &str {
    const MOST: usize = 200;
    let end = label.char_indices().nth(MOST);
    end.map_or(label, |(end, _)| &label[..end])
}
