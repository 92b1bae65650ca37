//! What a page that goes with the run is told. The run puts it into a box and goes on; a thread
//! of the page's takes it from there. A box that is full takes nothing more: the page then knows
//! less of single jobs, and the run has not waited.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use protocol::{JobId, Usage};

use super::watchers::End;
use crate::pool::{Capture, JobReport};
use crate::run::progress::name;
use crate::run::source::work::Ticket;
use crate::scheduler::Verdict;

/// How much a box holds.
pub(crate) const ROOM: usize = 65_536;

/// How much of what a job wrote to stderr is told: its end, in bytes.
const STDERR: usize = 4 << 10;

/// Something that has happened.
#[derive(Debug)]
pub(crate) enum Told {
    /// A try is over, and another one follows.
    Retried(Box<Seen>),
    /// A job has ended.
    Ended(Box<Seen>),
    /// A worker here has this slot now.
    Sits(usize),
    /// A host runs so many jobs at once.
    Host(Arc<str>, u32),
    /// The worker of this slot has ended unasked.
    Died(usize, Duration),
}

/// A try at a job.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) job: JobId,
    /// What it is called; nothing when it is only counted.
    pub(crate) label: Option<String>,
    pub(crate) line: u64,
    /// Whether it is called by its line of the input.
    pub(crate) is_line: bool,
    pub(crate) verdict: Verdict,
    /// Which try it was.
    pub(crate) attempt: u32,
    /// Where it ran.
    pub(crate) slot: Option<usize>,
    pub(crate) host: Option<Arc<str>>,
    /// Since when the job had waited for it.
    pub(crate) queued: Option<Duration>,
    pub(crate) started: Option<Duration>,
    pub(crate) ended: Duration,
    pub(crate) usage: Usage,
    /// What its error says.
    pub(crate) message: Option<String>,
    /// The end of what it wrote to stderr; of one that succeeded nothing.
    pub(crate) stderr: Vec<u8>,
    /// Whether a part of its output was left out.
    pub(crate) omitted: bool,
}

/// The box, for both sides.
#[derive(Clone, Debug, Default)]
pub(crate) struct Feed(Arc<Inbox>);

#[derive(Debug)]
struct Inbox {
    /// Of how many jobs that succeed one has a name.
    every: AtomicUsize,
    held: Mutex<Held>,
}

impl Default for Inbox {
    fn default() -> Inbox {
        Inbox {
            every: AtomicUsize::new(1),
            held: Mutex::default(),
        }
    }
}

#[derive(Debug, Default)]
struct Held {
    told: Vec<Told>,
    missed: u64,
}

impl Feed {
    fn held(&self) -> MutexGuard<'_, Held> {
        // What is in there is whole, whoever has panicked.
        self.0.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes what is there into an empty list; gives how much more there was no room for.
    pub(crate) fn take(&self, told: &mut Vec<Told>) -> u64 {
        let mut held = self.held();
        std::mem::swap(&mut held.told, told);
        std::mem::take(&mut held.missed)
    }

    /// From now on, only one of so many jobs that succeed is listed by its name.
    pub(crate) fn name_every(&self, every: usize) {
        self.0.every.store(every.max(1), Ordering::Relaxed);
    }
}

/// The side of the run.
#[derive(Debug)]
pub(super) struct Teller {
    feed: Feed,
    /// What has happened in this turn.
    told: Vec<Told>,
    /// Ends of which it is not known yet what was said.
    unsaid: HashMap<JobId, Box<Seen>>,
    succeeded: usize,
}

impl Teller {
    pub(super) fn new(feed: Feed) -> Teller {
        Teller {
            feed,
            told: Vec::new(),
            unsaid: HashMap::new(),
            succeeded: 0,
        }
    }

    pub(super) fn sits(&mut self, slot: usize) {
        self.told.push(Told::Sits(slot));
    }

    pub(super) fn host(&mut self, host: &Arc<str>, slots: u32) {
        self.told.push(Told::Host(Arc::clone(host), slots));
    }

    pub(super) fn died(&mut self, slot: usize, at: Duration) {
        self.told.push(Told::Died(slot, at));
    }

    /// A try is over, and another one follows, in which this was written to stderr.
    pub(super) fn retried(&mut self, job: JobId, end: &End<'_>, stderr: &Capture) {
        let mut seen = self.seen(job, end);
        seen.stderr = stderr.tail(STDERR).unwrap_or_default();
        self.told.push(Told::Retried(seen));
    }

    /// A job has ended; what is said of one that has not succeeded comes with its report.
    pub(super) fn ended(&mut self, job: JobId, end: &End<'_>) {
        let seen = self.seen(job, end);
        match end.verdict {
            Verdict::Ok => self.told.push(Told::Ended(seen)),
            _ => {
                self.unsaid.insert(job, seen);
            }
        }
    }

    /// A line is no job.
    pub(super) fn refused(&mut self, end: &End<'_>) {
        let seen = self.seen(JobId(0), end);
        self.told.push(Told::Ended(seen));
    }

    /// What is said of a job.
    pub(super) fn reported(&mut self, report: &JobReport) {
        if let Some(mut seen) = self.unsaid.remove(&report.job) {
            seen.message = report.error.as_ref().map(|error| error.message.clone());
            // What cannot be read back is not there.
            seen.stderr = report.stderr.tail(STDERR).unwrap_or_default();
            seen.omitted = report.omitted.stdout + report.omitted.stderr > 0;
            self.told.push(Told::Ended(seen));
        }
    }

    fn seen(&mut self, job: JobId, end: &End<'_>) -> Box<Seen> {
        let named = match end.verdict {
            Verdict::Ok => {
                self.succeeded += 1;
                let every = self.feed.0.every.load(Ordering::Relaxed);
                (self.succeeded - 1).is_multiple_of(every)
            }
            _ => true,
        };
        let ticket = end.ticket.filter(|_| named);
        let is_line = |ticket: &Ticket| {
            let item = ticket.item.as_ref().filter(|item| !item.contains(&0));
            ticket.id.is_none() && ticket.wishes.is_none() && item.is_some()
        };
        Box::new(Seen {
            job,
            label: ticket.map(name::of),
            line: end.ticket.map_or(0, |ticket| ticket.line),
            is_line: ticket.is_none_or(is_line),
            verdict: end.verdict,
            attempt: end.attempt,
            slot: end.worker.as_ref().map(|(_, worker)| worker.slot),
            host: end
                .worker
                .as_ref()
                .and_then(|(_, worker)| worker.host.clone()),
            queued: end.queued,
            started: end.started,
            ended: end.at,
            usage: end.usage,
            message: end.message.map(str::to_owned),
            stderr: Vec::new(),
            omitted: false,
        })
    }

    /// Hands over what there is, as far as there is room.
    pub(super) fn flush(&mut self) {
        if self.told.is_empty() {
            return;
        }
        let mut held = self.feed.held();
        let room = ROOM.saturating_sub(held.told.len());
        let fits = self.told.len().min(room);
        held.missed += (self.told.len() - fits) as u64;
        held.told.extend(self.told.drain(..fits));
        drop(held);
        self.told.clear();
    }

    /// The run is over.
    pub(super) fn finish(mut self) {
        let unsaid = std::mem::take(&mut self.unsaid);
        self.told.extend(unsaid.into_values().map(Told::Ended));
        self.flush();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_box_that_is_full_holds_nobody_up() {
        let feed = Feed::default();
        let mut teller = Teller::new(feed.clone());
        for slot in 0..ROOM + 10 {
            teller.sits(slot);
            if slot % 100 == 0 {
                teller.flush();
            }
        }
        teller.flush();
        let mut told = Vec::new();
        assert_eq!((feed.take(&mut told), told.len()), (10, ROOM));
        // There is room again.
        told.clear();
        teller.sits(1);
        teller.finish();
        assert_eq!((feed.take(&mut told), told.len()), (0, 1));
    }
}
