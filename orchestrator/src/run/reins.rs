//! What can be asked of a batch from beside it, while it runs: to stop, to stand
//! still, to say what it does. Works also while the batch itself waits for
//! somebody to read its results.

use std::cell::{OnceCell, RefCell};

use tokio::sync::watch;

use super::feed::Desk;
use super::observe::stand::{RUNNING, Running, Stand};
use super::progress::name;
use super::progress::sample::{AtWork, Sample};
use super::report::{Clock, Summary};
use super::sink::command_line::{self, Setting};
use super::source::count::{Counted, ToCount};
use super::source::work::Ticket;
use super::text;
use crate::pool::{Control, RunningJob, Status};

/// How a batch ends before its input does. Each is more than those before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stop {
    /// Start no further jobs; wait for those that run.
    Soon,
    /// Ask those that run to end.
    Now,
    /// Kill them.
    Kill,
}

/// The reins of a batch, and what both sides may look at.
#[derive(Debug)]
pub(crate) struct Reins {
    stop: watch::Sender<Option<Stop>>,
    control: OnceCell<Control>,
    pub(super) desk: Desk,
    pub(crate) clock: Clock,
    /// What items are called.
    unit: &'static str,
    /// How the program of all commands was typed, if that is how it is shown.
    typed: Option<&'static [u8]>,
    /// What the batch has come to so far.
    pub(super) summary: RefCell<Summary>,
    /// How many items its input has, which is counted when somebody looks.
    items: RefCell<Items>,
}

/// How many items an input has.
#[derive(Debug)]
enum Items {
    /// Nobody knows before they are read.
    Unknown,
    ToCount(ToCount),
    Counted(Counted),
}

impl Reins {
    /// For a batch that is about to begin, whose items are called so, and the program of whose
    /// commands was typed so.
    pub(crate) fn new(keep_order: bool, unit: &'static str, typed: Option<&'static [u8]>) -> Reins {
        Reins {
            stop: watch::Sender::new(None),
            control: OnceCell::new(),
            desk: Desk::new(keep_order),
            clock: Clock::start(),
            unit,
            typed,
            summary: RefCell::default(),
            items: RefCell::new(Items::Unknown),
        }
    }

    /// What its input is, of which nothing was read.
    pub(super) fn input(&self, to_count: Option<ToCount>) {
        self.items
            .replace(to_count.map_or(Items::Unknown, Items::ToCount));
    }

    /// How many items the input has, if that is known; asked once, it is found out.
    fn counted(&self) -> Option<u64> {
        let mut items = self.items.borrow_mut();
        *items = match std::mem::replace(&mut *items, Items::Unknown) {
            Items::ToCount(to_count) => Items::Counted(to_count.start()),
            items => items,
        };
        match &*items {
            Items::Counted(counted) => counted.get(),
            Items::Unknown | Items::ToCount(_) => None,
        }
    }

    /// These are the reins of its pool.
    pub(super) fn take(&self, control: Control) {
        if self.control.set(control).is_ok()
            && let Some(stop) = self.stopped()
        {
            self.pull(stop);
        }
    }

    /// Stops the batch, if it was not told to stop in this way or a harder one.
    pub(crate) fn stop(&self, stop: Stop) {
        let harder = self.stop.send_if_modified(|told| {
            let harder = *told < Some(stop);
            if harder {
                *told = Some(stop);
            }
            harder
        });
        if harder {
            self.pull(stop);
        }
    }

    fn pull(&self, stop: Stop) {
        if let Some(control) = self.control.get() {
            match stop {
                Stop::Soon => control.withdraw(),
                Stop::Now => control.interrupt(),
                Stop::Kill => control.kill(),
            }
        }
    }

    /// How it was told to stop, if it was.
    pub(crate) fn stopped(&self) -> Option<Stop> {
        *self.stop.borrow()
    }

    /// Changes when it is told to stop.
    pub(super) fn stops(&self) -> watch::Receiver<Option<Stop>> {
        let mut stops = self.stop.subscribe();
        if self.stopped().is_some() {
            stops.mark_changed();
        }
        stops
    }

    /// From now on so many jobs run at once.
    pub(crate) fn resize(&self, workers: usize) {
        if let Some(control) = self.control.get()
            && control.resize(workers).is_ok()
        {
            self.summary.borrow_mut().workers = workers;
        }
    }

    /// Whether there is a pool already.
    pub(crate) fn hold(&self) -> bool {
        self.control.get().is_some()
    }

    /// So many jobs may start until this is said again, in a run whose jobs need leave.
    pub(crate) fn allow_starts(&self, jobs: usize) {
        if let Some(control) = self.control.get() {
            control.allow_starts(jobs);
        }
    }

    /// Ends the job that began last, to be run again later; which one, in a line for a
    /// person.
    pub(crate) async fn put_back_youngest(&self) -> Option<String> {
        let running = self.control.get()?.put_back_youngest().await?;
        Some(self.describe(&running))
    }

    /// So many verdicts have been counted, and it goes on.
    pub(super) fn seen(&self, verdicts: usize) {
        if let Some(control) = self.control.get() {
            control.seen(verdicts);
        }
    }

    /// There is nothing to do, after much.
    pub(super) fn rest(&self) {
        if let Some(control) = self.control.get() {
            control.rest();
        }
    }

    /// Nothing is started and no time passes until `resume`.
    pub(crate) async fn pause(&self) {
        if let Some(control) = self.control.get() {
            control.pause().await;
        }
    }

    pub(crate) fn resume(&self) {
        if let Some(control) = self.control.get() {
            control.resume();
        }
    }

    /// What the batch is doing, in lines for a person.
    pub(crate) async fn status(&self) -> String {
        let status = match self.control.get() {
            Some(control) => control.status().await,
            None => Status::default(),
        };
        let summary = self.summary.borrow();
        let mut lines = format!(
            "{} succeeded, {} failed, {} running, {} waiting, {}, {}\n",
            text::count(summary.succeeded),
            text::count(summary.failed),
            status.running.len(),
            text::count(status.waiting as u64),
            text::counted(status.workers as u64, "worker"),
            text::duration(self.clock.elapsed()),
        );
        for running in &status.running {
            lines.push_str(&self.describe(running));
        }
        lines
    }

    /// How many jobs run.
    pub(super) async fn running(&self) -> usize {
        match self.control.get() {
            Some(control) => control.status().await.running.len(),
            None => 0,
        }
    }

    /// Whether jobs wait and none runs.
    pub(crate) async fn stands_still(&self) -> bool {
        match self.control.get() {
            Some(control) => {
                let status = control.status().await;
                status.running.is_empty() && status.waiting > 0
            }
            None => false,
        }
    }

    /// The commands of jobs that run, a line for each.
    pub(crate) async fn commands(&self) -> Vec<String> {
        let status = match self.control.get() {
            Some(control) => control.status().await,
            None => Status::default(),
        };
        let setting = Setting {
            typed: self.typed,
            ..Setting::default()
        };
        let line = |ticket: &Ticket| text::escaped(&command_line::line(&ticket.command, setting));
        let running = status.running.iter();
        running
            .filter_map(|running| self.desk.look_up(running.job, line))
            .collect()
    }

    /// What is at work, which takes the pool a moment to find out.
    pub(crate) async fn at_work(&self) -> AtWork {
        let status = match self.control.get() {
            Some(control) => control.status().await,
            None => Status::default(),
        };
        let longest = status.running.first().map(|running| {
            let name = self.desk.look_up(running.job, name::of);
            let name = name.unwrap_or_else(|| format!("job {}", running.job));
            (name, running.elapsed)
        });
        AtWork {
            running: status.running.len(),
            longest,
        }
    }

    /// How the batch stands.
    pub(crate) async fn stand(&self) -> Stand {
        let (stats, status) = match self.control.get() {
            Some(control) => (control.stats().await, control.status().await),
            None => Default::default(),
        };
        let running = status.running.iter().take(RUNNING);
        let running = running.filter_map(|job| {
            self.desk
                .look_up(job.job, |ticket| Running::new(job, ticket))
        });
        let mut stand = Stand {
            elapsed: self.clock.elapsed(),
            running: running.collect(),
            stats,
            total: self.counted(),
            ..Stand::default()
        };
        stand.count(&self.summary.borrow());
        stand
    }

    /// What the batch is doing, in numbers; this is at work.
    pub(crate) fn sample(&self, at_work: AtWork) -> Sample {
        let summary = self.summary.borrow();
        Sample {
            at: self.clock.elapsed(),
            succeeded: summary.succeeded,
            failed: summary.failed,
            broken_off: summary.interrupted + summary.lost,
            total: summary.total.or_else(|| self.counted()),
            at_work,
            retries: summary.retries,
            hosts: summary.places.hosts(),
            stopping: self.stopped().is_some(),
        }
    }

    fn describe(&self, running: &RunningJob) -> String {
        let what = self.desk.look_up(running.job, |ticket| {
            let command =
                command_line::name(&ticket.command, self.typed).map(|shown| format!(": {shown}"));
            format!(
                "{} {}{}",
                self.unit,
                ticket.line,
                command.unwrap_or_default()
            )
        });
        format!(
            "  {} for {} at worker {} (pid {})\n",
            what.unwrap_or_else(|| format!("job {}", running.job)),
            text::duration(running.elapsed),
            running.worker,
            running.pid,
        )
    }
}
