//! Who is told of what happens in a batch, and what of each event.

use std::io;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use protocol::{JobId, Usage, WorkerId};

use super::live::{Feed, Teller};
use super::tally::{Tally, Worker};
use super::trace::Trace;
use crate::pool::{Event, EventKind, JobReport};
use crate::run::feed::Desk;
use crate::run::sink::facts;
use crate::run::source::work::Ticket;
use crate::scheduler::Verdict;

/// Who shall watch a batch.
#[derive(Clone, Debug, Default)]
pub(crate) struct Watching {
    /// A file of trace events.
    pub(crate) trace: Option<PathBuf>,
    /// A page that goes with the run.
    pub(crate) live: Option<Feed>,
}

impl Watching {
    /// Whether there is anybody.
    pub(crate) fn is_any(&self) -> bool {
        self.trace.is_some() || self.live.is_some()
    }
}

/// An attempt that is over, or a job that ends without one.
#[derive(Debug)]
pub(super) struct End<'a> {
    /// What is known of the job beside; nothing when that is gone.
    pub(super) ticket: Option<&'a Ticket>,
    /// The task of all jobs, unless they are commands.
    pub(super) task: Option<&'a str>,
    pub(super) verdict: Verdict,
    /// Its status and its signal.
    pub(super) exit: (i32, i32),
    pub(super) attempt: u32,
    /// Whether no other attempt follows.
    pub(super) is_last: bool,
    /// What its error says, if that is known by now.
    pub(super) message: Option<&'a str>,
    pub(super) usage: Usage,
    /// Since when the job had waited for it.
    pub(super) queued: Option<Duration>,
    pub(super) started: Option<Duration>,
    pub(super) at: Duration,
    pub(super) worker: Option<(WorkerId, Worker)>,
}

/// Those who watch a batch.
#[derive(Debug)]
pub(crate) struct Watchers {
    /// The task of all jobs, unless they are commands.
    task: Option<&'static str>,
    tally: Tally,
    /// When the last event was.
    now: Duration,
    trace: Option<Trace>,
    live: Option<Teller>,
}

impl Watchers {
    /// Opens what they write to; nothing when there are none.
    ///
    /// # Errors
    /// When that cannot be written.
    pub(crate) fn open(
        watching: &Watching,
        task: Option<&'static str>,
        began: SystemTime,
    ) -> io::Result<Option<Watchers>> {
        if !watching.is_any() {
            return Ok(None);
        }
        let trace = watching.trace.as_deref();
        Ok(Some(Watchers {
            task,
            tally: Tally::default(),
            now: Duration::ZERO,
            trace: trace.map(|path| Trace::create(path, began)).transpose()?,
            live: watching.live.clone().map(Teller::new),
        }))
    }

    /// Tells them of an event, while the tickets of the jobs that it is about are there.
    ///
    /// # Errors
    /// When what they write cannot be written.
    pub(in crate::run) fn event(&mut self, event: &Event, desk: &Desk) -> io::Result<()> {
        if let Some(trace) = &mut self.trace {
            trace.count(event.at, self.now, self.tally.counts());
        }
        self.now = event.at;
        match event.kind {
            EventKind::WorkerSpawned {
                worker,
                pid,
                slot,
                ref host,
            } => {
                self.tally.spawned(worker, pid, slot, host);
                let live = self.live.iter_mut().filter(|_| host.is_none());
                live.for_each(|live| live.sits(slot));
            }
            EventKind::WorkerReady {
                worker,
                slots,
                ref host,
            } => {
                self.tally.ready(worker, slots, host);
                if let (Some(live), Some(host)) = (&mut self.live, host) {
                    live.host(host, self.tally.places_at(host));
                }
            }
            EventKind::JobQueued { job } => self.tally.queued(job, event.at),
            EventKind::JobSent { job, worker, .. } => self.tally.sent(job, worker),
            EventKind::WorkerEnded {
                worker,
                ref unexpected,
            } => {
                self.tally.ended(worker);
                let worker = self.tally.worker(worker);
                let here = worker.filter(|worker| worker.host.is_none());
                if let (Some(live), Some(worker), Some(_)) = (&mut self.live, here, unexpected) {
                    live.died(worker.slot, event.at);
                }
            }
            EventKind::JobRetried { job, .. } => {
                let queued = self.tally.retried(job, event.at);
                return self.attempt_over(job, queued, event, desk);
            }
            EventKind::JobDone { job, verdict, .. } => {
                let queued = self.tally.concluded(job, verdict);
                return self.attempt_over(job, queued, event, desk);
            }
            _ => {}
        }
        match &mut self.trace {
            Some(trace) => trace.event(event, &self.tally),
            None => Ok(()),
        }
    }

    /// An attempt is over, or a job has ended without one.
    fn attempt_over(
        &mut self,
        job: JobId,
        queued: Option<Duration>,
        event: &Event,
        desk: &Desk,
    ) -> io::Result<()> {
        let (mut death, mut said) = (None, None);
        let (verdict, usage, started, worker, attempt, is_last) = match &event.kind {
            EventKind::JobRetried {
                verdict,
                error,
                stderr,
                usage,
                started,
                worker,
                attempts,
                ..
            } => {
                said = Some((error.as_deref(), stderr));
                (*verdict, *usage, *started, *worker, *attempts, false)
            }
            EventKind::JobDone {
                verdict,
                death: how,
                usage,
                started,
                worker,
                attempts,
                ..
            } => {
                death = how.as_deref();
                (*verdict, *usage, *started, *worker, *attempts, true)
            }
            _ => return Ok(()),
        };
        let worker = worker.and_then(|id| Some((id, self.tally.worker(id)?.clone())));
        let tell = |ticket: Option<&Ticket>| {
            let end = End {
                ticket,
                task: self.task,
                verdict,
                exit: facts::status(verdict, death),
                attempt,
                is_last,
                message: said.and_then(|(error, _)| Some(&*error?.message)),
                usage,
                queued,
                started,
                at: event.at,
                worker,
            };
            if let Some(live) = &mut self.live {
                match said {
                    Some((_, stderr)) => live.retried(job, &end, stderr),
                    None => live.ended(job, &end),
                }
            }
            match &mut self.trace {
                Some(trace) => trace.end(&end),
                None => Ok(()),
            }
        };
        desk.with(job, tell)
    }

    /// A line of the input is no job.
    ///
    /// # Errors
    /// When what they write cannot be written.
    pub(crate) fn refused(&mut self, ticket: &Ticket, what: &str) -> io::Result<()> {
        let verdict = Verdict::Rejected;
        self.tally.count(verdict);
        let end = End {
            ticket: Some(ticket),
            task: self.task,
            verdict,
            exit: facts::status(verdict, None),
            attempt: 0,
            is_last: true,
            message: Some(what),
            usage: Usage::default(),
            queued: None,
            started: None,
            at: self.now,
            worker: None,
        };
        self.live.iter_mut().for_each(|live| live.refused(&end));
        match &mut self.trace {
            Some(trace) => trace.end(&end),
            None => Ok(()),
        }
    }

    /// The report of a job is here, whose end was told before.
    pub(in crate::run) fn reported(&mut self, report: &JobReport) {
        self.live.iter_mut().for_each(|live| live.reported(report));
    }

    /// Writes what there is.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        self.live.iter_mut().for_each(Teller::flush);
        match &mut self.trace {
            Some(trace) => trace.flush(),
            None => Ok(()),
        }
    }

    /// The batch is over.
    ///
    /// # Errors
    /// When what is left cannot be written.
    pub(crate) fn finish(self) -> io::Result<()> {
        self.live.into_iter().for_each(Teller::finish);
        match self.trace {
            Some(trace) => trace.finish(self.now, self.tally.counts()),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use protocol::Attempt;
    use serde_json::Value;

    use super::super::live::Told;
    use super::*;

    #[test]
    fn every_kind_of_verdict_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("trace");
        let feed = Feed::default();
        let watching = Watching {
            trace: Some(path.clone()),
            live: Some(feed.clone()),
        };
        let opened = Watchers::open(&watching, None, SystemTime::UNIX_EPOCH);
        let mut watchers = opened.unwrap().unwrap();
        let desk = Desk::new(false);
        let mut tell = |ms, kind| {
            let at = Duration::from_millis(ms);
            watchers.event(&Event { at, kind }, &desk).unwrap();
        };
        let worker = WorkerId(1);
        let (pid, slot) = (7, 1);
        let host = None;
        tell(
            0,
            EventKind::WorkerSpawned {
                worker,
                pid,
                slot,
                host,
            },
        );
        for (n, verdict) in (1..).zip(Verdict::each()) {
            let (job, attempt) = (JobId(n), Attempt(1));
            tell(n * 10, EventKind::JobQueued { job });
            tell(
                n * 10 + 1,
                EventKind::JobSent {
                    job,
                    attempt,
                    worker,
                },
            );
            let done = EventKind::JobDone {
                job,
                verdict,
                death: None,
                usage: Usage::default(),
                started: Some(Duration::from_millis(n * 10 + 1)),
                worker: Some(worker),
                attempts: 1,
            };
            tell(n * 10 + 9, done);
        }
        watchers.finish().unwrap();
        let events: Vec<Value> = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        let slices = events.iter().filter(|event| event["ph"] == "X");
        let slices: BTreeMap<&str, &str> = slices
            .map(|slice| {
                let verdict = slice["args"]["verdict"].as_str().unwrap();
                (verdict, slice["cat"].as_str().unwrap())
            })
            .collect();
        let all = Verdict::each();
        assert_eq!(slices.len(), all.len(), "{slices:?}");
        for verdict in &all {
            let is_ok = *verdict == Verdict::Ok;
            let kind = if is_ok { "job" } else { "job,failed" };
            assert_eq!(slices[verdict.word()], kind);
        }
        let mut told = Vec::new();
        feed.take(&mut told);
        let ends = told.iter().filter(|told| matches!(told, Told::Ended(_)));
        assert_eq!(ends.count(), all.len());
    }
}
