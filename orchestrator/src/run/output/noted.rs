//! What the summary and progress are made of, noted as jobs end.

use std::time::Duration;

use super::Output;
use crate::pool::{EventKind, JobReport};
use crate::run::feed::Desk;
use crate::run::highlights::{self, Slow};
use crate::run::progress::name;
use crate::run::sink::grouped;
use crate::run::source::refusal::Refusal;
use crate::run::source::work::Ticket;
use crate::scheduler::Verdict;

impl Output<'_> {
    /// Counts a job whose ticket is still there, and remembers it if it stands out.
    pub(super) fn note(&mut self, desk: &Desk, report: &JobReport) {
        let mut summary = self.reins.summary.borrow_mut();
        summary.count(report);
        if summary.highlights.is_slow(report.usage.wall_us) {
            let took = Duration::from_micros(report.usage.wall_us);
            let slow = desk.look_up(report.job, |ticket| Slow {
                name: name::of(ticket),
                line: ticket.line,
                took,
            });
            if let Some(slow) = slow {
                summary.highlights.slow(slow);
            }
        }
        let verdict = report.verdict;
        let ended = !matches!(
            verdict,
            Verdict::Ok | Verdict::Interrupted | Verdict::Cancelled | Verdict::Lost
        );
        if ended && summary.highlights.wants_failure() {
            let error = report.error.as_deref();
            let failure = desk.look_up(report.job, |ticket| highlights::Failure {
                line: ticket.line,
                verdict,
                what: grouped::sentence(&self.renderer, ticket, verdict, error),
                attempts: report.attempts,
                stderr: highlights::last_lines(&report.stderr),
            });
            if let Some(failure) = failure {
                summary.highlights.failed(failure);
            }
        }
        drop(summary);
        if verdict != Verdict::Ok
            && let Some(watchers) = &mut self.watchers
        {
            watchers.reported(report);
        }
        self.remember(desk, report);
    }

    /// Counts a line that is no job.
    pub(super) fn note_refused(&self, ticket: &Ticket, refusal: &Refusal) {
        let mut summary = self.reins.summary.borrow_mut();
        summary.refused();
        if summary.highlights.wants_failure() {
            summary.highlights.failed(highlights::Failure {
                line: ticket.line,
                verdict: Verdict::Rejected,
                what: refusal.what.clone(),
                attempts: 0,
                stderr: Vec::new(),
            });
        }
    }

    /// Counts what the pool says beside reports.
    pub(super) fn note_event(&self, event: &EventKind) {
        let mut summary = self.reins.summary.borrow_mut();
        // Who calls at a host in vain has lost nobody.
        let lost = match event {
            EventKind::WorkerEnded { worker, unexpected } => {
                unexpected.is_some() && !summary.places.waits(*worker)
            }
            _ => false,
        };
        match event {
            // Its slots come in addition to those here.
            EventKind::WorkerReady { host: Some(_), .. } => {
                let before = summary.places.slots();
                summary.places.note(event);
                summary.workers += summary.places.slots();
                summary.workers -= before;
            }
            _ => summary.places.note(event),
        }
        summary.workers_died += u64::from(lost);
        summary.retries += u64::from(matches!(event, EventKind::JobRetried { .. }));
    }
}
