//! What a run file adds: an end is recorded before it is shown, and what an earlier
//! run has recorded is shown again.

use std::io;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use std::vec;

use protocol::{TaskError, Usage};

use super::{Output, UNKNOWN};
use crate::pool::{Capture, EventKind, JobReport, Omitted, Payload};
use crate::run::batch::{Config, Failure};
use crate::run::feed::Desk;
use crate::run::runfile::{AttemptRow, Committed, Ledger, RunFile, RunFileError, Shown, job_id};
use crate::run::sink::grouped;
use crate::run::sink::render::{Page, Renderer, Told};
use crate::run::sink::writer::WriteError;
use crate::run::source::refusal::Refusal;
use crate::run::source::work::{self, Recipe, Ticket};
use crate::run::text;
use crate::scheduler::Verdict;

/// How much of what a job wrote to stderr is told in words, in bytes.
const STDERR_TAIL: usize = 4 << 10;

/// What comes from behind the batch by itself.
pub(in crate::run) enum Behind {
    /// Results cannot be written.
    WriteFailed(WriteError),
    /// Ends are in the run file.
    Committed(Committed),
    /// The run file cannot be written.
    RecordFailed(RunFileError),
}

impl Output<'_> {
    /// Shows what an earlier run has recorded in this file and not shown, and records
    /// from here on. The ledger is for whoever reads the input.
    pub(in crate::run) async fn record(
        &mut self,
        config: &Config,
        file: RunFile,
    ) -> Result<Option<Ledger>, Failure> {
        let recipe = config.recipe();
        let room = Arc::clone(&self.renderer.room);
        // Times in there count from 1970.
        self.last = file.shown_before();
        let started = std::mem::replace(&mut self.renderer.started, SystemTime::UNIX_EPOCH);
        loop {
            let page = file.unshown(&room, self.last).map_err(Failure::RunFile)?;
            let Some((page, last)) = page else {
                break;
            };
            for shown in page {
                self.again(&recipe, shown).await?;
            }
            self.last = last;
        }
        self.renderer.started = started;
        self.flush().await?;
        {
            let mut summary = self.reins.summary.borrow_mut();
            summary.failed_before = file.failed_before();
            summary.again = file.which().is_some();
        }
        let recorded = file.record(started, config.pool.workers);
        let (recorder, ledger) = recorded.map_err(Failure::Resources)?;
        self.recorder = Some(recorder);
        self.copy_for_records();
        Ok(ledger)
    }

    /// Waits for what comes by itself. Cancel-safe.
    pub(in crate::run) async fn behind(&mut self) -> Behind {
        let Output {
            writer, recorder, ..
        } = self;
        let committed = async {
            match recorder {
                Some(recorder) => recorder.next().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            error = writer.failed() => Behind::WriteFailed(error),
            committed = committed => match committed {
                Ok(committed) => Behind::Committed(committed),
                Err(e) => Behind::RecordFailed(e),
            },
        }
    }

    /// Whether anything is still being recorded.
    pub(in crate::run) fn is_recording(&self) -> bool {
        self.recording + self.refusing > 0
    }

    /// How many jobs have ended whose ends are still being recorded.
    pub(in crate::run) fn recording(&self) -> usize {
        self.recording
    }

    /// Jobs have ended: that is recorded, if there is a run file, and then shown.
    pub(in crate::run) async fn ended(
        &mut self,
        desk: &Desk,
        mut reports: vec::IntoIter<JobReport>,
    ) -> Result<(), Failure> {
        if self.joblog.is_some() || self.live.is_some() {
            for report in reports.as_mut_slice() {
                self.log_end(report).map_err(Failure::JobLog)?;
                self.complete(report);
            }
        }
        let Some(recorder) = &self.recorder else {
            return self.reports(desk, reports.map(|report| (0, report))).await;
        };
        let mut rows = Vec::with_capacity(reports.len());
        for report in reports {
            let row = desk.look_up(report.job, |ticket| ticket.row);
            rows.push((row.ok_or(UNKNOWN)?, report));
        }
        self.recording += rows.len();
        recorder.ended(rows).await;
        Ok(())
    }

    /// What was recorded, and is shown now.
    pub(in crate::run) async fn committed(
        &mut self,
        desk: &Desk,
        committed: Committed,
    ) -> Result<(), Failure> {
        match committed {
            Committed::Reports(reports) => {
                self.recording -= reports.len();
                self.reports(desk, reports).await
            }
            Committed::Refused(n, notice) => {
                self.refusing -= 1;
                self.tell_notice(desk, n, notice).await
            }
        }
    }

    /// The outcome with this number is about to be shown.
    pub(super) fn announce(&mut self, n: u64) -> u64 {
        if n > 0 {
            self.unshown.insert(n);
            self.last = self.last.max(n);
        }
        n
    }

    /// All outcomes up to this one are on the page, or were.
    pub(super) fn mark(&self) -> u64 {
        self.unshown.first().map_or(self.last, |first| first - 1)
    }

    pub(super) async fn record_attempt(&self, at: Duration, event: &EventKind) {
        let EventKind::JobRetried {
            job,
            verdict,
            error,
            stderr,
            attempts,
            usage,
            started,
            worker,
            host,
            ..
        } = event
        else {
            return;
        };
        let row = self.reins.desk.look_up(*job, |ticket| ticket.row);
        if let (Some(recorder), Some(job)) = (&self.recorder, row) {
            let row = AttemptRow {
                job,
                attempt: *attempts,
                verdict: *verdict,
                error: error.clone(),
                stderr: Arc::clone(stderr),
                usage: *usage,
                started: *started,
                ended: at,
                worker: *worker,
                host: host.clone(),
            };
            recorder.attempt(row).await;
        }
    }

    /// A host takes jobs from now on: behind the count of how many run at once.
    pub(super) async fn record_host(&self, event: &EventKind) {
        let EventKind::WorkerReady {
            host: Some(host), ..
        } = event
        else {
            return;
        };
        if let Some(recorder) = &self.recorder {
            let (slots, workers) = {
                let summary = self.reins.summary.borrow();
                (summary.places.slots_at(host), summary.workers)
            };
            recorder.host(host, slots, workers).await;
        }
    }

    /// Shows an end that an earlier run has recorded, and perhaps not shown.
    async fn again(&mut self, recipe: &Recipe, shown: Shown) -> Result<(), Failure> {
        let n = self.announce(shown.n);
        let told = again(&mut self.renderer, &mut self.page, recipe, shown);
        self.pass(told.map_err(Failure::Spill)?)?;
        self.unshown.remove(&n);
        if self.is_full() {
            self.flush().await?;
        }
        Ok(())
    }

    /// Keeps ends that nobody will be shown any more in this run.
    pub(in crate::run) async fn keep(&mut self, desk: &Desk, reports: vec::IntoIter<JobReport>) {
        if self.recorder.is_some() {
            self.ended(desk, reports).await.ok();
        } else {
            self.summarise(desk, reports.as_slice());
        }
    }

    /// Writes what is left and closes the run file; with what has failed so far.
    pub(in crate::run) async fn finish(
        mut self,
        failed: Option<&'static str>,
    ) -> (Result<(), Failure>, Result<(), Failure>) {
        // After a failure something may have been lost on its way to the writer.
        let mark = if failed.is_none() { self.mark() } else { 0 };
        let recorder = self.recorder.take();
        let watched = self.finish_watchers();
        let written = self.writer.finish(mark).await.map_err(Failure::Write);
        let written = written.and(match self.unlogged.take() {
            Some(e) => Err(Failure::JobLog(e)),
            None => Ok(()),
        });
        let written = written.and(watched);
        let Some(recorder) = recorder else {
            return (written, Ok(()));
        };
        let failed = failed.or_else(|| Some(written.as_ref().err()?.word()));
        let (rest, closed) = recorder.finish(failed).await;
        let mut summary = self.reins.summary.borrow_mut();
        for committed in rest {
            match committed {
                Committed::Reports(reports) => {
                    reports.for_each(|(_, report)| summary.count(&report));
                }
                Committed::Refused(..) => summary.refused(),
            }
        }
        (written, closed.map_err(Failure::RunFile))
    }
}

/// The end of a line that is no job, as the run file has it.
pub(super) fn rejection(ticket: &Ticket, refusal: &Refusal) -> JobReport {
    JobReport {
        job: job_id(ticket.row),
        label: None,
        verdict: Verdict::Rejected,
        result: Payload::default(),
        error: Some(Box::new(TaskError::new(&refusal.what))),
        death: None,
        stdout: Capture::default(),
        stderr: Capture::default(),
        omitted: Omitted::default(),
        usage: Usage::default(),
        started: None,
        worker: None,
        host: None,
        attempts: 0,
    }
}

/// Renders an end that was recorded as it was when it came, or would have been.
///
/// # Errors
/// When that cannot be kept, or what was recorded cannot be kept.
pub(crate) fn again(
    renderer: &mut Renderer,
    page: &mut Page,
    recipe: &Recipe,
    shown: Shown,
) -> io::Result<Told> {
    let Shown { job, report, .. } = shown;
    match work::prepare(recipe, job.seq, &job.line, Vec::new()) {
        Ok(Some((ticket, _))) => renderer.reported(&ticket, report, page),
        // A blank line was no job, and it is no job now.
        Ok(None) => Ok(Told::default()),
        Err(refused) => {
            let (ticket, mut refusal) = *refused;
            // What the line was is known better by whoever has seen all of it.
            if let Some(error) = report.error {
                refusal.what = error.message;
            }
            renderer.refused(&ticket, &refusal, page)
        }
    }
}

/// A recorded job that did not succeed, in words.
#[derive(Debug)]
pub(crate) struct FailedJob {
    /// Which line it was, and what became of it.
    pub(crate) what: String,
    /// The end of what it wrote to stderr.
    pub(crate) stderr: Vec<u8>,
}

/// Says in words what became of a job that did not succeed; nothing when its line is
/// no job of this recipe.
pub(crate) fn failed(renderer: &Renderer, recipe: &Recipe, shown: &Shown) -> Option<FailedJob> {
    let Shown { job, report, .. } = shown;
    let error = report.error.as_deref();
    let what = match work::prepare(recipe, job.seq, &job.line, Vec::new()) {
        Ok(None) => return None,
        Ok(Some((ticket, _))) => grouped::sentence(renderer, &ticket, report.verdict, error),
        Err(refused) => match error {
            Some(error) => text::escaped(error.message.as_bytes()),
            None => refused.1.what,
        },
    };
    // Without it the sentence is still true.
    let stderr = report.stderr.tail(STDERR_TAIL).unwrap_or_default();
    Some(FailedJob { what, stderr })
}
