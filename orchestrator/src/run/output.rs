//! What becomes of jobs' ends and of the pool's events: entries for the writer,
//! in the order of the input if wanted, and what they add up to.

use std::io;
use std::sync::Arc;

use protocol::JobId;

use super::batch::{Config, Failure, GROUP};
use super::feed::{Desk, Notice};
use super::halt::{Counter, When};
use super::reins::Reins;
use super::sink::grouped;
use super::sink::ordered::Ordered;
use super::sink::render::{Entry, Rendered, Renderer};
use super::sink::writer::Writer;
use super::text;
use crate::pool::{Capture, Event, EventKind, EventStream, JobReport, Pool};
use crate::scheduler::Verdict;

/// Everything behind the pool.
pub(super) struct Output<'a> {
    renderer: Renderer,
    ordered: Option<Ordered<Entry>>,
    /// Entries whose turn it is.
    ready: Vec<Entry>,
    pub(super) writer: Writer,
    halt: Option<Counter>,
    reins: &'a Reins,
}

impl<'a> Output<'a> {
    pub(super) fn new(
        config: &Config,
        pool: &Pool,
        writer: Writer,
        reins: &'a Reins,
    ) -> Output<'a> {
        Output {
            renderer: Renderer {
                format: config.format,
                task: config.work.task().map(str::to_owned),
                delimiter: config.delimiter,
                started: reins.clock.wall,
                room: Arc::clone(pool.spill()),
                tip_given: false,
            },
            ordered: config.keep_order.then(Ordered::new),
            ready: Vec::new(),
            writer,
            halt: config.halt.map(Counter::new),
            reins,
        }
    }

    pub(super) async fn reports(
        &mut self,
        desk: &Desk,
        reports: &mut Vec<JobReport>,
    ) -> Result<(), Failure> {
        let mut lost = false;
        for report in reports.drain(..) {
            // The pool has failed; its error says it once for all of them.
            if report.verdict == Verdict::Lost {
                lost = true;
                continue;
            }
            self.count(report.verdict);
            let ticket = desk.take(report.job);
            let ticket = ticket.ok_or(Failure::Bug("a report for a job that is not under way"))?;
            let rendered = self.renderer.reported(&ticket, report);
            self.end(desk, ticket.seq, rendered).await?;
        }
        self.flush().await;
        if lost {
            Err(Failure::PoolEnded)
        } else {
            Ok(())
        }
    }

    pub(super) async fn notice(&mut self, desk: &Desk, notice: Notice) -> Result<(), Failure> {
        match notice {
            Notice::Refused((ticket, refusal)) => {
                self.reins.summary.borrow_mut().refused();
                self.count(Verdict::Rejected);
                let rendered = self.renderer.refused(&ticket, &refusal);
                self.end(desk, ticket.seq, rendered).await?;
            }
            Notice::Total(lines) => self.total(lines),
            Notice::Warning(text) => self.tell(text.as_bytes())?,
        }
        self.flush().await;
        Ok(())
    }

    /// Puts something on stderr that belongs to no job.
    fn tell(&mut self, text: &[u8]) -> Result<(), Failure> {
        let err = Capture::of(&self.renderer.room, text).map_err(Failure::Spill)?;
        self.ready.push(Entry {
            err,
            ..Entry::default()
        });
        Ok(())
    }

    /// A line of the input has come to its end.
    async fn end(
        &mut self,
        desk: &Desk,
        seq: u64,
        rendered: io::Result<Rendered>,
    ) -> Result<(), Failure> {
        let rendered = rendered.map_err(Failure::Spill)?;
        if rendered.spoiled {
            self.reins.summary.borrow_mut().spoiled();
        }
        let Some(ordered) = &mut self.ordered else {
            self.ready.push(rendered.entry);
            return Ok(());
        };
        ordered.put(seq, rendered.entry);
        while let Some(entry) = ordered.take() {
            self.ready.push(entry);
            if self.ready.len() >= GROUP {
                self.writer.write(std::mem::take(&mut self.ready)).await;
            }
        }
        desk.turn(ordered.next());
        Ok(())
    }

    pub(super) async fn event(&mut self, event: Event) -> Result<(), Failure> {
        self.reins.summary.borrow_mut().observe(&event.kind);
        let line = match event.kind {
            EventKind::WorkerPrinted { line, .. } => [&line[..], b"\n"].concat(),
            EventKind::JobRetried { job, .. } => {
                return self.retried(job, &event.kind);
            }
            EventKind::WorkerRetired { worker, failures } => {
                let failures = text::counted(failures.into(), "job");
                let what = "failed in a row, and nobody else's: it is replaced";
                format!("warning: worker {worker}: {failures} {what}\n").into_bytes()
            }
            EventKind::PrintedLost { lines } => {
                let lines = text::counted(lines, "line");
                let why = "workers print faster than stderr is read";
                format!("warning: {why}: {lines} dropped\n").into_bytes()
            }
            _ => return Ok(()),
        };
        self.tell(&line)?;
        if self.ready.len() >= GROUP {
            self.flush().await;
        }
        Ok(())
    }

    /// An attempt has failed: what it wrote to stderr is not lost, and it is said
    /// that another one follows.
    fn retried(&mut self, job: JobId, event: &EventKind) -> Result<(), Failure> {
        let renderer = &self.renderer;
        let line = self
            .reins
            .desk
            .look_up(job, |ticket| grouped::retry_line(renderer, ticket, event));
        let EventKind::JobRetried { stderr, .. } = event else {
            return Ok(());
        };
        let mut err = Capture::default();
        stderr
            .for_each(|piece| err.push(&renderer.room, piece))
            .map_err(Failure::Spill)?;
        let err = grouped::with_line(renderer, err, line.flatten()).map_err(Failure::Spill)?;
        self.ready.push(Entry {
            err,
            ..Entry::default()
        });
        Ok(())
    }

    fn count(&mut self, verdict: Verdict) {
        if let Some(halt) = &mut self.halt {
            halt.count(verdict);
        }
    }

    /// The input has ended after so many jobs.
    pub(super) fn total(&mut self, jobs: u64) {
        if let Some(halt) = &mut self.halt {
            halt.total(jobs);
        }
    }

    /// Whether `--halt` has seen enough.
    pub(super) fn halted(&self) -> Option<When> {
        self.halt.as_ref()?.is_enough()
    }

    /// Takes all events that are here.
    pub(super) async fn events(&mut self, events: &mut EventStream) -> Result<(), Failure> {
        while let Some(event) = events.try_next() {
            self.event(event).await?;
        }
        self.flush().await;
        Ok(())
    }

    async fn flush(&mut self) {
        self.writer.write(std::mem::take(&mut self.ready)).await;
    }
}
