//! What is told to those who watch.

use super::Output;
use crate::pool::Event;
use crate::run::batch::Failure;
use crate::run::source::refusal::Refusal;
use crate::run::source::work::Ticket;

impl Output<'_> {
    /// Whether events are to be taken before the reports of the same jobs.
    pub(in crate::run) fn is_watched(&self) -> bool {
        self.watchers.is_some()
    }

    /// Something has happened.
    pub(super) fn watch(&mut self, event: &Event) -> Result<(), Failure> {
        let Some(watchers) = &mut self.watchers else {
            return Ok(());
        };
        let told = watchers.event(event, &self.reins.desk);
        self.watched(told)
    }

    /// A line is no job.
    pub(super) fn watch_refused(
        &mut self,
        ticket: &Ticket,
        refusal: &Refusal,
    ) -> Result<(), Failure> {
        let Some(watchers) = &mut self.watchers else {
            return Ok(());
        };
        let told = watchers.refused(ticket, &refusal.what);
        self.watched(told)
    }

    pub(super) fn flush_watchers(&mut self) -> Result<(), Failure> {
        let Some(watchers) = &mut self.watchers else {
            return Ok(());
        };
        let flushed = watchers.flush();
        self.watched(flushed)
    }

    /// Half of an event is the last that a file gets.
    fn watched(&mut self, told: std::io::Result<()>) -> Result<(), Failure> {
        told.map_err(|e| {
            self.watchers = None;
            Failure::Trace(e)
        })
    }

    /// The run is over.
    pub(super) fn finish_watchers(&mut self) -> Result<(), Failure> {
        match self.watchers.take() {
            Some(watchers) => watchers.finish().map_err(Failure::Trace),
            None => Ok(()),
        }
    }
}
