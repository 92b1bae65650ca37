//! What the pool tells of beside the ends of jobs: lines for stderr, and what others take of it.

use protocol::JobId;

use super::Output;
use crate::pool::{Event, EventKind, EventStream};
use crate::run::batch::Failure;
use crate::run::sink::render::Told;
use crate::run::sink::{grouped, tag};
use crate::run::source::work::Ticket;
use crate::run::text;

impl Output<'_> {
    pub(in crate::run) async fn event(&mut self, event: Event) -> Result<(), Failure> {
        self.watch(&event)?;
        self.log_attempt(&event.kind)?;
        let event = self.with_stderr(event);
        self.record_attempt(event.at, &event.kind).await;
        self.note_event(&event.kind);
        self.record_host(&event.kind).await;
        let line = match event.kind {
            EventKind::WorkerPrinted { line, .. } => [&line[..], b"\n"].concat(),
            EventKind::JobRetried { job, .. } => {
                return self.retried(job, &event.kind);
            }
            EventKind::WorkerSpawned { worker, slot, .. } => {
                let slot = u32::try_from(slot).unwrap_or(u32::MAX);
                self.renderer.sits(worker, slot);
                return Ok(());
            }
            EventKind::WorkerEnded { worker, .. } => {
                self.renderer.stands_up(worker);
                return Ok(());
            }
            EventKind::JobSent { job, worker, .. } => {
                self.begin(job, worker)?;
                match self.trace(job, worker) {
                    Some(line) => line,
                    None => return Ok(()),
                }
            }
            EventKind::WorkerRetired { worker, failures } => {
                let failures = text::counted(failures.into(), "job");
                let what = "failed in a row, and nobody else's: it is replaced";
                format!("warning: worker {worker}: {failures} {what}\n").into_bytes()
            }
            EventKind::HostTrouble {
                host,
                what,
                was_ready,
            } => {
                let then = match was_ready {
                    true => "; its jobs are given to others",
                    false => "",
                };
                let line = text::escaped(format!("{host} {what}").as_bytes());
                format!("warning: host {line}{then}\n").into_bytes()
            }
            EventKind::PrintedLost { lines } => {
                let lines = text::counted(lines, "line");
                let why = "workers print faster than stderr is read";
                format!("warning: {why}: {lines} dropped\n").into_bytes()
            }
            _ => return Ok(()),
        };
        self.tell(&line)?;
        if self.is_full() {
            self.flush().await?;
        }
        Ok(())
    }

    /// An attempt has failed: what it wrote to stderr is not lost, and it is said
    /// that another one follows.
    fn retried(&mut self, job: JobId, event: &EventKind) -> Result<(), Failure> {
        self.break_off(job)?;
        let renderer = &self.renderer;
        let line = self
            .reins
            .desk
            .look_up(job, |ticket| grouped::retry_line(renderer, ticket, event));
        let EventKind::JobRetried { stderr, worker, .. } = event else {
            return Ok(());
        };
        // What was shown live needs no showing again.
        let mut page = renderer.page();
        if self.live.is_none() {
            let look = |ticket: &Ticket| renderer.tag(ticket, *worker);
            let tag = self.reins.desk.look_up(job, look);
            let (tag, mut at_start) = (tag.unwrap_or_default(), true);
            stderr
                .for_each(|piece| tag::write(&mut page, &tag, &mut at_start, piece))
                .map_err(Failure::Spill)?;
        }
        let err = page.take().map_err(Failure::Spill)?;
        let err = grouped::with_line(renderer, err, line.flatten()).map_err(Failure::Spill)?;
        self.pass(Told {
            err,
            ..Told::default()
        })
    }

    /// Takes all events that are here.
    pub(in crate::run) async fn events(&mut self, events: &mut EventStream) -> Result<(), Failure> {
        while let Some(event) = events.try_next() {
            let told = self.event(event).await;
            if told.is_err() {
                // Whoever watches sees the rest all the same.
                while let Some(event) = events.try_next() {
                    self.watch(&event).ok();
                }
                return told;
            }
        }
        self.flush().await
    }
}
