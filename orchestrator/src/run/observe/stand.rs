//! How a run stands at a moment: looked at, not told, so that jobs cost nothing for it.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::pool::{RunningJob, Stats};
use crate::run::places::Hosts;
use crate::run::progress::name;
use crate::run::report::Summary;
use crate::run::source::work::Ticket;

/// How many jobs that run are told, those that run for longest.
pub(crate) const RUNNING: usize = 100;

/// How a run stands.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stand {
    pub(crate) elapsed: Duration,
    pub(crate) succeeded: u64,
    /// Jobs that have not succeeded, by the word for their verdict.
    pub(crate) bad: BTreeMap<&'static str, u64>,
    /// How many jobs there are in all, once that is known.
    pub(crate) total: Option<u64>,
    /// How many jobs can run at once.
    pub(crate) workers: usize,
    pub(crate) retries: u64,
    pub(crate) workers_died: u64,
    /// How many of the other machines are there, if any are wanted.
    pub(crate) hosts: Option<Hosts>,
    pub(crate) stats: Stats,
    /// Longest first.
    pub(crate) running: Vec<Running>,
}

impl Stand {
    /// Jobs that have come to an end.
    pub(crate) fn ended(&self) -> u64 {
        self.succeeded + self.bad.values().sum::<u64>()
    }

    /// Takes over what a run has come to, so far or in the end.
    pub(crate) fn count(&mut self, summary: &Summary) {
        self.succeeded = summary.succeeded;
        self.bad.clone_from(&summary.bad);
        self.total = summary.total.or(self.total);
        self.workers = summary.workers;
        self.retries = summary.retries;
        self.workers_died = summary.workers_died;
        self.hosts = summary.places.hosts();
    }

    /// The run is over, and has come to this.
    pub(crate) fn end(&mut self, summary: &Summary) {
        self.count(summary);
        self.elapsed = summary.wall;
        self.running.clear();
        // What is counted for ever stays.
        self.stats = Stats {
            workers: 0,
            busy: 0,
            idle: 0,
            starting: 0,
            waiting: 0,
            running: 0,
            ..std::mem::take(&mut self.stats)
        };
    }
}

/// A job that runs.
#[derive(Clone, Debug)]
pub(crate) struct Running {
    pub(crate) line: u64,
    /// What it is called, harmless.
    pub(crate) name: String,
    pub(crate) attempt: u32,
    pub(crate) pid: u32,
    pub(crate) elapsed: Duration,
}

impl Running {
    pub(in crate::run) fn new(job: &RunningJob, ticket: &Ticket) -> Running {
        Running {
            line: ticket.line,
            name: name::of(ticket),
            attempt: job.attempt.0,
            pid: job.pid,
            elapsed: job.elapsed,
        }
    }
}
