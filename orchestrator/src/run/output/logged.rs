//! What is told of attempts beside their output: in the job log, and on stderr when they
//! start.

use std::io;
use std::sync::Arc;

use protocol::{JobId, WorkerId};

use super::Output;
use crate::pool::{Event, EventKind, JobReport};
use crate::run::batch::Failure;
use crate::run::sink::facts::Facts;
use crate::run::sink::joblog::Attempt;
use crate::run::sink::shown;

impl Output<'_> {
    /// Writes the end of a job into the log, unless it never began.
    ///
    /// # Errors
    /// When that cannot be written.
    pub(super) fn log_end(&mut self, report: &JobReport) -> io::Result<()> {
        let Some(log) = &mut self.joblog else {
            return Ok(());
        };
        if report.attempts == 0 {
            return Ok(());
        }
        let received = match &self.live {
            Some(live) => live.received(report.job),
            None => report.stdout.len(),
        };
        let attempt = Attempt {
            facts: Facts::of(report, self.renderer.times(), received),
            verdict: report.verdict,
            number: report.attempts,
            worker: report.worker,
            host: report.host.as_deref(),
            setting: self.renderer.setting(report.worker),
            task: self.renderer.task,
        };
        let desk = &self.reins.desk;
        let logged = desk.look_up(report.job, |ticket| log.write(ticket, &attempt));
        logged.unwrap_or(Ok(()))
    }

    /// Writes an attempt into the log that another one follows.
    pub(super) fn log_attempt(&mut self, event: &EventKind) -> Result<(), Failure> {
        let EventKind::JobRetried {
            job,
            verdict,
            stdout,
            usage,
            started,
            worker,
            host,
            attempts,
            ..
        } = event
        else {
            return Ok(());
        };
        let Some(log) = &mut self.joblog else {
            return Ok(());
        };
        let received = match &self.live {
            Some(live) => live.received(*job),
            None => *stdout,
        };
        let (times, ended) = (self.renderer.times(), (*verdict, None));
        let attempt = Attempt {
            facts: Facts::new(times, (*started, *usage), ended, received),
            verdict: *verdict,
            number: *attempts,
            worker: *worker,
            host: host.as_deref(),
            setting: self.renderer.setting(*worker),
            task: self.renderer.task,
        };
        let desk = &self.reins.desk;
        let logged = desk.look_up(*job, |ticket| log.write(ticket, &attempt));
        logged.unwrap_or(Ok(())).map_err(Failure::JobLog)
    }

    /// An attempt that is followed by another one, with what it wrote to stderr.
    pub(super) fn with_stderr(&mut self, mut event: Event) -> Event {
        if let (Some(live), EventKind::JobRetried { job, stderr, .. }) =
            (&mut self.live, &mut event.kind)
            && let Some(copy) = live.attempt_over(*job)
        {
            *stderr = Arc::new(copy);
        }
        event
    }

    /// The line that tells that this job is about to start, if that is wanted.
    pub(super) fn trace(&self, job: JobId, worker: WorkerId) -> Option<Vec<u8>> {
        if !self.renderer.manner.trace {
            return None;
        }
        let setting = self.renderer.setting(Some(worker));
        let desk = &self.reins.desk;
        desk.look_up(job, |ticket| shown::command(ticket, setting))
    }
}
