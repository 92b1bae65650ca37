//! The thread that writes a run file, and the way to it.
//!
//! Whatever has come is written in one transaction, at most every
//! [`GATHER`]: a commit waits for the disk, and many verdicts can share one.
//! What has been committed comes back, and only then is it shown.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime};
use std::vec;

use nix::sys::signal::{SigSet, Signal};
use tokio::sync::{mpsc, oneshot};

use super::blobs::Blobs;
use super::error::{Error, Fault, RunFileError};
use super::file::Writable;
use super::rows::{AttemptRow, JobRow, OutcomePlace, Statements, since_1970};
use crate::pool::JobReport;
use crate::run::feed::Notice;
use crate::run::report::calendar;
use crate::scheduler::Verdict;

/// Time between two commits, at least; so long may a verdict wait for others.
const GATHER: Duration = Duration::from_millis(5);

/// Verdicts in one transaction, about.
const MOST: usize = 1_000;

/// How many entries may wait to be written.
const WAITING: usize = 64;

/// What is to be written.
#[derive(Debug)]
pub(super) enum Entry {
    /// New jobs, and when their lines were read, since 1970 in microseconds.
    Jobs(Vec<JobRow>, i64),
    /// Ends, with the numbers of their jobs.
    Ended(Vec<(i64, JobReport)>),
    /// Jobs of a light record, each with its end.
    Light(Vec<(JobRow, JobReport)>),
    /// A line that is no job.
    Refused(Box<(i64, JobReport, Notice)>),
    Attempt(AttemptRow),
    /// It may be started from here on, once it is said that this is committed.
    Starting(i64, oneshot::Sender<()>),
    /// It was not, after all.
    NotStarted(i64),
    /// The input has ended; the lines of these jobs are not in it any more.
    InputEnd(Vec<i64>),
    /// A host runs so many jobs at once; and that makes so many together.
    Host(Arc<str>, usize, usize),
    /// So many jobs have ended in this way that are not recorded.
    Unrecorded(&'static str, u64),
    /// Nothing that follows counts; why the run itself has failed, if it has.
    Close(Option<&'static str>),
}

/// What was committed.
#[derive(Debug)]
pub(in crate::run) enum Committed {
    /// Ends, in the order in which they came, each with the number of its outcome, or 0
    /// if it is none.
    Reports(vec::IntoIter<(u64, JobReport)>),
    /// A line that is no job, as the outcome with this number.
    Refused(u64, Notice),
}

/// How the run is recorded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Mode {
    /// A job that may have been started is never started again, so it is recorded
    /// before it is.
    pub(crate) at_most_once: bool,
    /// The jobs of this run may have verdicts already.
    pub(crate) again: bool,
    /// Of all that jobs give only the end of stderr is kept, and nothing waits for
    /// the disk.
    pub(crate) light: bool,
    /// How many jobs run at once; 0 when nobody has said so.
    pub(crate) workers: usize,
}

/// Whether an end is a verdict that is kept. One that only says that the run was
/// stopped is not, though it is remembered: its job is run when the run goes on.
fn is_recorded(mode: Mode, verdict: Verdict, attempts: u32) -> bool {
    match verdict {
        Verdict::Lost => false,
        Verdict::Interrupted | Verdict::Cancelled => mode.at_most_once && attempts > 0,
        _ => true,
    }
}

/// The way to the thread, for those who only tell it something.
#[derive(Clone, Debug)]
pub(super) struct Sender(mpsc::Sender<Entry>);

impl Sender {
    /// Waits while too much is to be written. When the thread has failed, the entry
    /// is lost, and [`Recorder::next`] says why.
    pub(super) async fn send(&self, entry: Entry) {
        self.0.send(entry).await.ok();
    }

    /// The same for a thread outside the runtime.
    pub(super) fn send_blocking(&self, entry: Entry) {
        self.0.blocking_send(entry).ok();
    }
}

/// The way to the thread and back. Dropping it lets the thread write what it has.
#[derive(Debug)]
pub(crate) struct Recorder {
    sender: Sender,
    back: mpsc::UnboundedReceiver<Committed>,
    thread: Option<JoinHandle<Result<(), RunFileError>>>,
    pub(crate) mode: Mode,
}

impl Recorder {
    /// Starts the thread, which opens the file, for the run of this number.
    ///
    /// # Errors
    /// When there is no thread left for it.
    pub(super) fn start(
        open: impl FnOnce() -> Result<(Writable, i64), RunFileError> + Send + 'static,
        mode: Mode,
        started: SystemTime,
        shown: Arc<AtomicU64>,
    ) -> std::io::Result<Recorder> {
        let (sender, entries) = mpsc::channel(WAITING);
        // As much comes back as was sent.
        let (answer, back) = mpsc::unbounded_channel();
        let builder = thread::Builder::new().name("run file".into());
        let thread = builder.spawn(move || {
            // A write beyond the limit of a file's size is an error like others, and
            // not the end of the program. No process is started here.
            SigSet::from(Signal::SIGXFSZ).thread_block().ok();
            let (writable, run) = open()?;
            let name = writable.name.clone();
            write(writable, run, mode, started, entries, &answer, &shown).map_err(|e| e.of(&name))
        })?;
        Ok(Recorder {
            sender: Sender(sender),
            back,
            thread: Some(thread),
            mode,
        })
    }

    /// Hands an entry over if there is room for it, or gives it back. When the thread
    /// has failed, it is lost.
    pub(super) fn try_send(&self, entry: Entry) -> Option<Entry> {
        match self.sender.0.try_send(entry) {
            Err(mpsc::error::TrySendError::Full(entry)) => Some(entry),
            Ok(()) | Err(mpsc::error::TrySendError::Closed(_)) => None,
        }
    }

    pub(super) fn sender(&self) -> Sender {
        self.sender.clone()
    }

    /// Records ends; they come back.
    pub(crate) async fn ended(&self, reports: Vec<(i64, JobReport)>) {
        self.sender.send(Entry::Ended(reports)).await;
    }

    /// Records a line that is no job; it comes back.
    pub(in crate::run) async fn refused(&self, job: i64, report: JobReport, notice: Notice) {
        let refused = Box::new((job, report, notice));
        self.sender.send(Entry::Refused(refused)).await;
    }

    /// Records an attempt that another one follows.
    pub(crate) async fn attempt(&self, row: AttemptRow) {
        self.sender.send(Entry::Attempt(row)).await;
    }

    /// Records that a host runs so many jobs at once, which makes so many together.
    pub(crate) async fn host(&self, host: &Arc<str>, slots: usize, workers: usize) {
        let host = Entry::Host(Arc::clone(host), slots, workers);
        self.sender.send(host).await;
    }

    /// For whoever starts jobs, if their starts are recorded.
    pub(crate) fn starter(&self) -> Option<Starter> {
        self.mode.at_most_once.then(|| Starter(self.sender()))
    }

    /// What was committed. Cancel-safe.
    ///
    /// # Errors
    /// When the file cannot be written; said once.
    pub(in crate::run) async fn next(&mut self) -> Result<Committed, RunFileError> {
        match self.back.recv().await {
            Some(committed) => Ok(committed),
            None if self.thread.is_none() => std::future::pending().await,
            None => Err(match self.join() {
                Err(e) => e,
                Ok(()) => Error::Died.of("".as_ref()),
            }),
        }
    }

    /// Writes what it has, and why the run itself has failed, if it has, and closes the
    /// file; gives what came of it.
    ///
    /// # Errors
    /// When the file cannot be written, unless `next` has said so.
    pub(in crate::run) async fn finish(
        mut self,
        failure: Option<&'static str>,
    ) -> (Vec<Committed>, Result<(), RunFileError>) {
        // The thread that reads the input may have a sender for ever.
        self.sender.send(Entry::Close(failure)).await;
        let mut rest = Vec::new();
        while let Some(committed) = self.back.recv().await {
            rest.push(committed);
        }
        let closed = if self.thread.is_some() {
            self.join()
        } else {
            Ok(())
        };
        (rest, closed)
    }

    /// The thread has said its last.
    fn join(&mut self) -> Result<(), RunFileError> {
        let thread = self.thread.take();
        let died = |_| Err(Error::Died.of("".as_ref()));
        thread.map_or(Ok(()), |thread| thread.join().unwrap_or_else(died))
    }
}

/// Records starts.
#[derive(Debug)]
pub(crate) struct Starter(Sender);

impl Starter {
    /// Waits until this job may be started; that it was not, is said when what this
    /// gives is dropped and not told otherwise.
    pub(crate) async fn starting(&self, job: i64) -> Start<'_> {
        // Before the wait, which may be given up.
        let start = Start(Some((&self.0, job)));
        let (told, done) = oneshot::channel();
        self.0.send(Entry::Starting(job, told)).await;
        // Without an answer nothing may be started, and the run has failed.
        if done.await.is_err() {
            std::future::pending::<()>().await;
        }
        start
    }
}

/// A job that may be started.
#[derive(Debug)]
pub(crate) struct Start<'a>(Option<(&'a Sender, i64)>);

impl Start<'_> {
    /// It is.
    pub(crate) fn started(mut self) {
        self.0 = None;
    }
}

impl Drop for Start<'_> {
    fn drop(&mut self) {
        if let Some((Sender(sender), job)) = self.0.take() {
            // When there is no room, it counts as one that may have been started.
            sender.try_send(Entry::NotStarted(job)).ok();
        }
    }
}

/// The thread.
fn write(
    writable: Writable,
    run: i64,
    mode: Mode,
    started: SystemTime,
    mut entries: mpsc::Receiver<Entry>,
    back: &mpsc::UnboundedSender<Committed>,
    shown: &AtomicU64,
) -> Result<(), Fault> {
    let blobs = Blobs::of(&writable.path);
    let connection = &writable.connection;
    let n = connection.query_row("select coalesce(max(n), 0) from outcome", [], |r| r.get(0))?;
    let mut pen = Pen {
        statements: Statements::new(connection)?,
        blobs,
        place: OutcomePlace {
            n,
            job: 0,
            run,
            started,
            again: mode.again && !mode.light,
            light: mode.light,
        },
        mode,
        committed: Vec::new(),
        told: Vec::new(),
        verdicts: 0,
        workers: mode.workers,
        failure: None,
        closed: false,
    };
    let begun = now();
    let mut last = begun;
    let mut seen = shown.load(Ordering::Relaxed);
    while let Some(first) = entries.blocking_recv() {
        // A light commit waits for nothing that others could share.
        if !mode.light && !matches!(first, Entry::Starting(..) | Entry::Close(_)) {
            thread::sleep(GATHER.saturating_sub(now() - last));
        }
        pen.statements.begin()?;
        pen.tell_workers()?;
        let mut next = Some(first);
        while let Some(entry) = next {
            pen.put(entry)?;
            let more = pen.verdicts < MOST && !pen.closed;
            next = more.then(|| entries.try_recv().ok()).flatten();
        }
        let mark = shown.load(Ordering::Relaxed);
        if mark != seen {
            pen.statements.shown(mark)?;
            seen = mark;
        }
        pen.statements.commit()?;
        last = now();
        // Behind the commit: what was written to a file without a name is lost.
        if !writable.identity.is_at(&writable.path) {
            return Err(Error::Replaced.into());
        }
        pen.answer(back);
        if pen.closed {
            break;
        }
    }
    pen.statements.begin()?;
    pen.tell_workers()?;
    pen.statements.shown(shown.load(Ordering::Relaxed))?;
    connection.execute(
        "update run set ended_us = ?, failure = ? where run = ?",
        (
            since_1970(ended(started, now() - begun, calendar())),
            pen.failure,
            run,
        ),
    )?;
    pen.statements.commit()?;
    drop(pen);
    // Readers may be at it: then it is done when they close it.
    writable.connection.busy_timeout(Duration::ZERO)?;
    if !writable.network {
        let checkpoint = "pragma wal_checkpoint(truncate)";
        writable
            .connection
            .query_row(checkpoint, [], |_| Ok(()))
            .ok();
    }
    let closed = writable.connection.close().map_err(|(_, e)| e);
    drop(writable.lock);
    closed.map_err(Fault::from)
}

/// When a run has ended that began then and took so long at least; this is what the calendar
/// says, which somebody may have put back meanwhile: none of its jobs has run later.
fn ended(began: SystemTime, took: Duration, calendar: SystemTime) -> SystemTime {
    let least = began.checked_add(took);
    least.map_or(calendar, |least| least.max(calendar))
}

/// The transaction that is being written.
struct Pen<'c> {
    statements: Statements<'c>,
    blobs: Blobs,
    /// Of the last outcome.
    place: OutcomePlace,
    mode: Mode,
    committed: Vec<Committed>,
    told: Vec<oneshot::Sender<()>>,
    verdicts: usize,
    /// How many jobs run at once, if that is known and not written yet.
    workers: usize,
    failure: Option<&'static str>,
    closed: bool,
}

impl Pen<'_> {
    fn put(&mut self, entry: Entry) -> Result<(), Fault> {
        match entry {
            Entry::Jobs(rows, queued) => {
                for row in &rows {
                    self.statements.job(row, Some(queued))?;
                }
            }
            Entry::Ended(ended) => {
                let mut reports = Vec::with_capacity(ended.len());
                for (job, report) in ended {
                    let mut n = 0;
                    if is_recorded(self.mode, report.verdict, report.attempts) {
                        self.outcome(job, &report)?;
                        n = self.place.n.unsigned_abs();
                    } else {
                        self.unfinished(job, &report)?;
                    }
                    reports.push((n, report));
                }
                let reports = reports.into_iter();
                self.committed.push(Committed::Reports(reports));
            }
            Entry::Light(rows) => {
                for (row, report) in rows {
                    self.statements.job(&row, None)?;
                    if is_recorded(self.mode, report.verdict, report.attempts) {
                        self.outcome(row.job, &report)?;
                    } else {
                        self.unfinished(row.job, &report)?;
                    }
                }
            }
            Entry::Refused(refused) => {
                let (job, report, notice) = *refused;
                self.outcome(job, &report)?;
                self.committed
                    .push(Committed::Refused(self.place.n as u64, notice));
            }
            // Of those only the last is kept.
            Entry::Attempt(_) if self.mode.light => {}
            Entry::Attempt(row) => {
                let OutcomePlace { run, started, .. } = self.place;
                self.statements.attempt(run, started, &row)?;
            }
            Entry::Starting(job, told) => {
                self.statements.starting(self.place.run, job)?;
                self.told.push(told);
            }
            Entry::NotStarted(job) => self.statements.not_started(job)?,
            Entry::InputEnd(gone) => {
                gone.into_iter()
                    .try_for_each(|job| self.statements.forget(job))?;
                self.statements.whole()?;
            }
            Entry::Host(host, slots, workers) => {
                self.statements.host(self.place.run, &host, slots)?;
                self.workers = workers;
                self.tell_workers()?;
            }
            Entry::Unrecorded(verdict, jobs) => {
                self.statements.unrecorded(self.place.run, verdict, jobs)?;
            }
            Entry::Close(failure) => {
                self.failure = failure;
                self.closed = true;
            }
        }
        Ok(())
    }

    fn tell_workers(&mut self) -> rusqlite::Result<()> {
        match i64::try_from(std::mem::take(&mut self.workers)) {
            Ok(workers @ 1..) => self.statements.workers(self.place.run, workers),
            _ => Ok(()),
        }
    }

    /// A job has ended without a verdict.
    fn unfinished(&mut self, job: i64, report: &JobReport) -> Result<(), Fault> {
        // What has begun may have been done, whatever it came to.
        if self.mode.at_most_once && report.attempts == 0 {
            self.statements.not_started(job)?;
        }
        if self.mode.light {
            self.statements.forget_tries(job)?;
        }
        let place = OutcomePlace { job, ..self.place };
        self.statements.unfinished(place, report)
    }

    fn outcome(&mut self, job: i64, report: &JobReport) -> Result<(), Fault> {
        self.place = OutcomePlace {
            n: self.place.n + 1,
            job,
            ..self.place
        };
        self.verdicts += 1;
        if self.mode.light {
            self.statements.forget_tries(job)?;
        }
        self.statements.outcome(&self.blobs, self.place, report)
    }

    /// All of this is committed.
    fn answer(&mut self, back: &mpsc::UnboundedSender<Committed>) {
        self.verdicts = 0;
        for told in self.told.drain(..) {
            told.send(()).ok();
        }
        for committed in self.committed.drain(..) {
            // Nobody is there to show it, but it is kept.
            back.send(committed).ok();
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "between commits, on a thread of its own"
)]
fn now() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_ends_behind_its_jobs_whatever_becomes_of_the_calendar() {
        let at = |secs| SystemTime::UNIX_EPOCH + Duration::from_secs(secs);
        let took = Duration::from_secs(60);
        assert_eq!(ended(at(1_000), took, at(1_061)), at(1_061));
        assert_eq!(ended(at(1_000), took, at(40)), at(1_060));
        assert_eq!(ended(at(1_000), Duration::MAX, at(40)), at(40));
    }
}
