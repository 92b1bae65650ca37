//! What becomes of jobs' ends and of the pool's events: entries for the writer,
//! in the order of the input if wanted, and what they add up to.

mod events;
mod live;
mod logged;
mod noted;
mod recorded;
mod watched;

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;

use live::Live;
pub(super) use live::WAITING as PARTS;
pub(super) use recorded::Behind;
use recorded::rejection;
pub(crate) use recorded::{FailedJob, again, failed};

use super::batch::{Config, Failure, GROUP};
use super::feed::{Desk, Notice};
use super::halt::{Counter, What, When};
use super::observe::watchers::Watchers;
use super::reins::Reins;
use super::runfile::{Light, Recorder};
use super::sink::failed::Failed;
use super::sink::grouped;
use super::sink::joblog::JobLog;
use super::sink::manner::Manner;
use super::sink::ordered::Ordered;
use super::sink::render::{Columns, Entry, Page, Renderer, Told};
use super::sink::shown;
use super::sink::slots::Slots;
use super::sink::writer::Writer;
use super::source::work::Ticket;
use crate::pool::{Capture, JobReport, Pool};
use crate::scheduler::Verdict;

/// What a job printed is put on the page up to this many bytes, if it is in memory;
/// all else stays where it is.
const SMALL: u64 = 8 << 10;

/// What the pool reports has been handed to it.
const UNKNOWN: Failure = Failure::Bug("a report for a job that is not under way");

/// Everything behind the pool.
pub(super) struct Output<'a> {
    renderer: Renderer,
    ordered: Option<Ordered<(u64, Entry)>>,
    /// Entries whose turn it is.
    ready: Vec<Entry>,
    /// What comes behind them on stdout.
    page: Page,
    pub(super) writer: Writer,
    halt: Option<Counter>,
    /// Whether it is to be told how many jobs still run.
    wants_running: bool,
    pub(super) failed: Option<Failed>,
    /// What jobs print while they run, if that is shown.
    live: Option<Live>,
    pub(super) joblog: Option<JobLog>,
    /// Why a line of the log could not be written when nobody could be told.
    unlogged: Option<io::Error>,
    /// Those who watch.
    pub(super) watchers: Option<Watchers>,
    reins: &'a Reins,
    /// What remembers the ends that are not good, when there is no recorder.
    pub(super) light: Option<Light>,
    pub(super) recorder: Option<Recorder>,
    /// How many ends are with the recorder.
    recording: usize,
    /// How many lines that are no jobs are.
    refusing: usize,
    /// Numbers of outcomes that came back from there and are not on the page yet.
    unshown: BTreeSet<u64>,
    /// The highest that came back.
    last: u64,
}

impl<'a> Output<'a> {
    pub(super) fn new(
        config: &Config,
        pool: &Pool,
        writer: Writer,
        reins: &'a Reins,
    ) -> Output<'a> {
        let renderer = Renderer {
            format: config.format,
            task: config.work.task(),
            origin: config.inputs.origin(),
            started: reins.clock.wall,
            room: Arc::clone(pool.spill()),
            tip_given: false,
            terse: config.terse,
            manner: Manner {
                // Then it is shown when the job starts.
                verbose: config.manner.verbose && !config.manner.mode.is_live(),
                ..config.manner.clone()
            },
            fields: config.shown_fields(),
            names: config.manner.names.clone(),
            columns: Columns::default(),
            slots: (config.manner.names_slots() || config.terse && config.halt.is_some())
                .then(Slots::default),
            shell: config.shell,
            typed: config.typed,
        };
        Output {
            page: renderer.page(),
            renderer,
            ordered: config.keep_order.then(Ordered::new),
            ready: Vec::new(),
            writer,
            halt: config.halt.map(Counter::new),
            wants_running: false,
            failed: None,
            live: Live::new(&config.manner, config.work.task().is_some()),
            joblog: None,
            unlogged: None,
            watchers: None,
            reins,
            light: None,
            recorder: None,
            recording: 0,
            refusing: 0,
            unshown: BTreeSet::new(),
            last: 0,
        }
    }

    /// Shows the ends of these jobs, each with its number in the run file, or 0.
    async fn reports(
        &mut self,
        desk: &Desk,
        mut reports: impl Iterator<Item = (u64, JobReport)>,
    ) -> Result<(), Failure> {
        let shown = self.show(desk, &mut reports).await;
        if shown.is_err() {
            // Nobody is shown these any more.
            reports.for_each(|(_, report)| self.remember(desk, &report));
        }
        if let Some(light) = &mut self.light {
            light.flush();
        }
        shown
    }

    async fn show(
        &mut self,
        desk: &Desk,
        reports: &mut impl Iterator<Item = (u64, JobReport)>,
    ) -> Result<(), Failure> {
        let mut lost = false;
        for (n, mut report) in reports {
            self.note(desk, &report);
            // The pool has failed; its error says it once for all of them.
            if report.verdict == Verdict::Lost {
                lost = true;
                continue;
            }
            let counted = self.count(report.verdict);
            let setting = self.renderer.setting(report.worker);
            if let Some(live) = &mut self.live {
                live.end(&mut report);
            }
            let ticket = desk.take(report.job).ok_or(UNKNOWN)?;
            let n = self.announce(n);
            self.failed(report.verdict, &ticket)?;
            if let Some(header) = shown::header(&self.renderer, &ticket).map_err(Failure::Spill)? {
                self.pass(header)?;
            }
            let render =
                |renderer: &mut Renderer, page: &mut _| renderer.reported(&ticket, report, page);
            self.end(ticket.turn, n, render)?;
            if let Some(what) = counted.filter(|_| self.renderer.terse) {
                let line = grouped::counted(what, &ticket, setting);
                let err = grouped::with_line(&self.renderer, Capture::default(), Some(line));
                let err = err.map_err(Failure::Spill)?;
                self.pass(Told {
                    err,
                    ..Told::default()
                })?;
                self.wants_running |= self.halted() == Some(When::Soon);
            }
            if self.ordered.is_some() || self.is_full() {
                self.release(desk).await?;
            }
        }
        desk.look_again();
        self.flush().await?;
        if lost {
            Err(Failure::PoolEnded)
        } else {
            Ok(())
        }
    }

    /// Nothing is under way: the memory that the busiest moment took is not needed.
    pub(super) fn rest(&mut self) {
        if let Some(ordered) = &mut self.ordered {
            ordered.rest();
        }
    }

    /// Counts these, which is all that becomes of them.
    pub(super) fn summarise(&mut self, desk: &Desk, reports: &[JobReport]) {
        for report in reports {
            self.note(desk, report);
            let logged = self.log_end(report);
            self.unlogged = self.unlogged.take().or(logged.err());
        }
    }

    /// Remembers a job whose ticket is still there, unless it was good.
    fn remember(&mut self, desk: &Desk, report: &JobReport) {
        if let Some(light) = &mut self.light
            && report.verdict != Verdict::Ok
        {
            desk.look_up(report.job, |ticket| light.put(ticket, report));
        }
    }

    pub(super) async fn notice(&mut self, desk: &Desk, notice: Notice) -> Result<(), Failure> {
        if let (Some(recorder), Notice::Refused(refused)) = (&self.recorder, &notice) {
            self.refusing += 1;
            let (ticket, refusal) = &**refused;
            let (job, report) = (ticket.row, rejection(ticket, refusal));
            recorder.refused(job, report, notice).await;
            return Ok(());
        }
        self.tell_notice(desk, 0, notice).await
    }

    /// Shows what was found about the input; a line that is no job has this number
    /// in the run file.
    async fn tell_notice(&mut self, desk: &Desk, n: u64, notice: Notice) -> Result<(), Failure> {
        match notice {
            Notice::Resumed(counts) => {
                self.reins.summary.borrow_mut().resumed = Some(counts);
            }
            Notice::Refused(refused) => {
                let (ticket, refusal) = *refused;
                let n = self.announce(n);
                self.failed(Verdict::Rejected, &ticket)?;
                self.watch_refused(&ticket, &refusal)?;
                if let Some(light) = &mut self.light {
                    light.put(&ticket, &rejection(&ticket, &refusal));
                }
                self.note_refused(&ticket, &refusal);
                self.count(Verdict::Rejected);
                let render = |renderer: &mut Renderer, page: &mut _| {
                    renderer.refused(&ticket, &refusal, page)
                };
                self.end(ticket.turn, n, render)?;
                self.release(desk).await?;
                desk.look_again();
            }
            Notice::Total(lines) => self.total(lines),
            Notice::Warning(text) => self.tell(text.as_bytes())?,
            Notice::Unread(unread) => {
                self.reins.summary.borrow_mut().unread = true;
                self.tell(unread.to_string().as_bytes())?;
            }
        }
        self.flush().await
    }

    /// Puts something on stderr that belongs to no job.
    fn tell(&mut self, text: &[u8]) -> Result<(), Failure> {
        let err = Capture::of(&self.renderer.room, text).map_err(Failure::Spill)?;
        let told = Told {
            err,
            ..Told::default()
        };
        self.pass(told)
    }

    /// A line of the input has come to its end: that is put on the page, or kept
    /// until its turn comes.
    fn end(
        &mut self,
        turn: u64,
        n: u64,
        render: impl FnOnce(&mut Renderer, &mut Page) -> io::Result<Told>,
    ) -> Result<(), Failure> {
        if let Some(ordered) = &mut self.ordered
            && ordered.next() != turn
        {
            let mut page = self.renderer.page();
            let told = render(&mut self.renderer, &mut page).map_err(Failure::Spill)?;
            let spoiled = told.spoiled;
            let entry = told.entry(&mut page).map_err(Failure::Spill)?;
            ordered.put(turn, (n, entry));
            self.spoiled(spoiled);
            return Ok(());
        }
        let told = match render(&mut self.renderer, &mut self.page) {
            Ok(told) => told,
            Err(e) => {
                // Half of a line is worse than none.
                self.page.discard();
                return Err(Failure::Spill(e));
            }
        };
        self.spoiled(told.spoiled);
        self.pass(told)?;
        self.unshown.remove(&n);
        if let Some(ordered) = &mut self.ordered {
            ordered.skip();
        }
        Ok(())
    }

    /// Takes what has its turn now, which may be very much, and hands over to the
    /// writer what is worth it.
    async fn release(&mut self, desk: &Desk) -> Result<(), Failure> {
        loop {
            if self.is_full() {
                self.flush().await?;
            }
            let Some((n, entry)) = self.ordered.as_mut().and_then(Ordered::take) else {
                break;
            };
            self.pass(Told {
                printed: entry.out,
                err: entry.err,
                kept: entry.kept,
                spoiled: false,
            })?;
            self.unshown.remove(&n);
        }
        if let Some(ordered) = &self.ordered {
            let next = ordered.next();
            desk.turn(next);
            self.take_turn(next)?;
        }
        Ok(())
    }

    fn spoiled(&self, is: bool) {
        if is {
            self.reins.summary.borrow_mut().spoiled();
        }
    }

    /// Puts what was told behind the page, with what stands there before it.
    fn pass(&mut self, told: Told) -> Result<(), Failure> {
        let Told {
            printed, err, kept, ..
        } = told;
        if kept.is_some() {
            self.turn_page()?;
            self.ready.push(Entry {
                kept,
                ..Entry::default()
            });
        }
        // What is in the file already stays there.
        if printed.len() <= SMALL && printed.is_in_memory() {
            self.page.append(&printed).map_err(Failure::Spill)?;
        } else {
            self.turn_page()?;
            self.ready.push(Entry {
                out: printed,
                ..Entry::default()
            });
        }
        if !err.is_empty() {
            let out = self.page.take().map_err(Failure::Spill)?;
            self.ready.push(Entry {
                out,
                err,
                ..Entry::default()
            });
        }
        Ok(())
    }

    fn turn_page(&mut self) -> Result<(), Failure> {
        if !self.page.is_empty() {
            let out = self.page.take().map_err(Failure::Spill)?;
            self.ready.push(Entry {
                out,
                ..Entry::default()
            });
        }
        Ok(())
    }

    /// Whether the writer should get what is here.
    fn is_full(&self) -> bool {
        self.page.is_full() || self.ready.len() >= GROUP
    }

    /// Writes a line down whose job has not succeeded, if that is wanted.
    fn failed(&self, verdict: Verdict, ticket: &Ticket) -> Result<(), Failure> {
        match (&self.failed, &ticket.item) {
            (Some(failed), Some(item)) if verdict != Verdict::Ok => {
                failed.write(item).map_err(Failure::FailedTo)
            }
            _ => Ok(()),
        }
    }

    /// A job has ended; which ends `--halt` counts, if this is one of them.
    fn count(&mut self, verdict: Verdict) -> Option<What> {
        let halt = self.halt.as_mut()?;
        let counts = halt.count(verdict);
        self.reins.summary.borrow_mut().decided = halt.decided();
        counts.then(|| halt.what())
    }

    /// The input has ended after so many jobs.
    pub(super) fn total(&mut self, jobs: u64) {
        if let Some(halt) = &mut self.halt {
            halt.total(jobs);
        }
        self.reins.summary.borrow_mut().total = Some(jobs);
    }

    /// Whether `--halt` has seen enough.
    pub(super) fn halted(&self) -> Option<When> {
        self.halt.as_ref()?.is_enough()
    }

    /// Whether it wants to be told how many jobs still run; asks once.
    pub(super) fn wants_running(&mut self) -> bool {
        std::mem::take(&mut self.wants_running)
    }

    /// So many jobs still run, and are waited for.
    pub(super) async fn tell_running(&mut self, jobs: usize) -> Result<(), Failure> {
        if jobs > 0 {
            self.tell(grouped::waited_for(jobs).as_bytes())?;
        }
        self.flush().await
    }

    /// Whether it must have been told where workers sit before it is told what their jobs came to.
    pub(super) fn names_slots(&self) -> bool {
        self.renderer.slots.is_some()
    }

    pub(super) async fn flush(&mut self) -> Result<(), Failure> {
        self.turn_page()?;
        self.flush_watchers()?;
        let mark = self.mark();
        self.writer
            .write(std::mem::take(&mut self.ready), mark)
            .await;
        Ok(())
    }
}
