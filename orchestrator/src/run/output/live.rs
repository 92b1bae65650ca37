//! What jobs print is shown while they run: whole lines, or as it comes. When the order of the
//! input is kept, that is so for the job whose turn it is; what others print is kept until
//! theirs.
//!
//! Memory is bounded: what is kept is a capture, of which the rest beyond the pool's
//! budget is in its file; and while the writer has enough to do, jobs wait.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::io;
use std::mem;
use std::sync::Arc;

use protocol::{JobId, Stream, WorkerId};
use tokio::sync::mpsc;

use super::{Output, UNKNOWN};
use crate::pool::{Capture, JobReport, PrintedPart, Spill};
use crate::run::batch::Failure;
use crate::run::sink::manner::{Manner, Mode};
use crate::run::sink::render::{Page, Told};
use crate::run::sink::shown;
use crate::run::sink::tag;
use crate::run::source::work::Ticket;
use crate::scheduler::Verdict;

/// How many pieces may wait to be shown; each has at most 64 KiB when a command has printed it.
pub(in crate::run) const WAITING: usize = 8;

/// How many jobs are known, after they were told to end, by what stands in front of their
/// lines: something that they had printed may come behind their end.
const LATE: usize = 256;

/// What of running jobs' outputs is here.
pub(super) struct Live {
    mode: Mode,
    verbose: bool,
    /// Whether stdout is for something else, results of tasks.
    all_to_stderr: bool,
    /// Whether all that a job prints is wanted once more at its end: nothing, stderr, or both.
    pub(super) copies: Copies,
    jobs: HashMap<JobId, Printing>,
    /// Jobs whose turn has not come.
    turns: BTreeMap<u64, JobId>,
    late: VecDeque<(JobId, Vec<u8>)>,
    /// Which job each worker printed for last.
    speakers: HashMap<WorkerId, JobId>,
}

/// What is wanted once more at the end of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Copies {
    Nothing,
    Stderr,
    Both,
}

/// A job that has printed something.
#[derive(Default)]
struct Printing {
    turn: u64,
    tag: Vec<u8>,
    /// Whether its turn has not come.
    waits: bool,
    /// Who has printed for it last.
    speaker: Option<WorkerId>,
    stdout: Half,
    stderr: Half,
}

/// One of its streams.
struct Half {
    /// While the job waits, all of it; then the beginning of a line.
    kept: Capture,
    /// Whether what was shown ends with a line.
    at_start: bool,
    copy: Capture,
    /// How much has come.
    bytes: u64,
}

impl Default for Half {
    fn default() -> Half {
        Half {
            kept: Capture::default(),
            at_start: true,
            copy: Capture::default(),
            bytes: 0,
        }
    }
}

impl Half {
    /// Shows a piece, as much of it as is to be shown now.
    fn show(
        &mut self,
        mode: Mode,
        tag: &[u8],
        room: &Arc<Spill>,
        piece: &[u8],
        page: &mut Page,
    ) -> io::Result<()> {
        let whole = match mode {
            Mode::Group | Mode::Ungroup => piece.len(),
            Mode::Lines => memchr::memrchr(b'\n', piece).map_or(0, |at| at + 1),
        };
        if whole > 0 {
            self.finish(tag, page)?;
            tag::write(page, tag, &mut self.at_start, &piece[..whole])?;
        }
        self.kept.push(room, &piece[whole..])
    }

    /// Shows what is there of a line.
    fn finish(&mut self, tag: &[u8], page: &mut Page) -> io::Result<()> {
        let at_start = &mut self.at_start;
        let begun = mem::take(&mut self.kept);
        begun.for_each(|piece| tag::write(page, tag, at_start, piece))
    }
}

impl Printing {
    fn half(&mut self, stream: Stream) -> &mut Half {
        match stream {
            Stream::Stdout => &mut self.stdout,
            Stream::Stderr => &mut self.stderr,
        }
    }

    fn is_empty(&self) -> bool {
        self.stdout.kept.is_empty() && self.stderr.kept.is_empty()
    }
}

impl Live {
    /// For outputs that are shown in this manner, if they are shown live.
    pub(super) fn new(manner: &Manner, is_task: bool) -> Option<Live> {
        manner.mode.is_live().then(|| Live {
            mode: manner.mode,
            verbose: manner.verbose,
            all_to_stderr: is_task,
            copies: Copies::Nothing,
            jobs: HashMap::new(),
            turns: BTreeMap::new(),
            late: VecDeque::new(),
            speakers: HashMap::new(),
        })
    }

    /// How much a job has written to stdout so far.
    pub(super) fn received(&self, job: JobId) -> u64 {
        self.jobs
            .get(&job)
            .map_or(0, |printing| printing.stdout.bytes)
    }

    /// Gives a job that has ended what was copied for its record.
    pub(super) fn complete(&mut self, report: &mut JobReport) {
        if let Some(printing) = self.jobs.get_mut(&report.job) {
            report.stdout = mem::take(&mut printing.stdout.copy);
            report.stderr = mem::take(&mut printing.stderr.copy);
        }
    }

    /// A job has ended: its output is now what was not shown.
    pub(super) fn end(&mut self, report: &mut JobReport) {
        let printing = self.jobs.remove(&report.job).unwrap_or_default();
        self.turns.remove(&printing.turn);
        if let Some(worker) = printing.speaker
            && self.speakers.get(&worker) == Some(&report.job)
        {
            self.speakers.remove(&worker);
        }
        report.stdout = printing.stdout.kept;
        report.stderr = printing.stderr.kept;
        let was_told_to_end = matches!(
            report.verdict,
            Verdict::Timeout | Verdict::Cancelled | Verdict::Interrupted
        );
        if was_told_to_end && !printing.tag.is_empty() {
            self.late.truncate(LATE - 1);
            self.late.push_front((report.job, printing.tag));
        }
    }

    /// What an attempt wrote to stderr, when another one follows.
    pub(super) fn attempt_over(&mut self, job: JobId) -> Option<Capture> {
        let printing = self.jobs.get_mut(&job)?;
        printing.stdout.copy = Capture::default();
        printing.stdout.bytes = 0;
        Some(mem::take(&mut printing.stderr.copy))
    }

    fn late_tag(&self, job: JobId) -> Vec<u8> {
        let known = self.late.iter().find(|(id, _)| *id == job);
        known.map(|(_, tag)| tag.clone()).unwrap_or_default()
    }
}

impl Output<'_> {
    /// Takes what running jobs have printed so far, if that is shown live.
    pub(in crate::run) async fn parts(
        &mut self,
        parts: &mut Option<mpsc::Receiver<PrintedPart>>,
    ) -> Result<(), Failure> {
        let Some(parts) = parts else {
            return Ok(());
        };
        // Not more at once than can have come at once.
        for _ in 0..4 * WAITING {
            match parts.try_recv() {
                Ok(part) => self.part(part).await?,
                Err(_) => break,
            }
        }
        Ok(())
    }

    /// A job has printed this; it is shown with the next flush.
    pub(in crate::run) async fn part(&mut self, part: PrintedPart) -> Result<(), Failure> {
        // What belongs to no job comes as an event.
        let Some(job) = part.job else {
            return Ok(());
        };
        self.begin(job, part.worker)?;
        self.hand_over(job, part.worker)?;
        self.show_part(job, part.stream, &part.data)?;
        if self.is_full() {
            self.flush().await?;
        }
        Ok(())
    }

    /// A worker prints for this job. The one before is over there, though its end may not be
    /// known here yet: a line that it has not ended comes before what follows.
    fn hand_over(&mut self, job: JobId, worker: WorkerId) -> Result<(), Failure> {
        let live = self.live.as_mut().ok_or(UNKNOWN)?;
        let printing = live.jobs.get_mut(&job).ok_or(UNKNOWN)?;
        // One that has ended already interrupts nobody.
        if printing.turn == 0 || printing.speaker == Some(worker) {
            return Ok(());
        }
        printing.speaker = Some(worker);
        match live.speakers.insert(worker, job) {
            Some(before) if before != job => self.break_off(before),
            _ => Ok(()),
        }
    }

    /// Everything that was printed has come: lines that were never ended are shown.
    pub(in crate::run) fn last_parts(&mut self) -> Result<(), Failure> {
        let Some(live) = &mut self.live else {
            return Ok(());
        };
        let jobs: Vec<JobId> = live.jobs.keys().copied().collect();
        for job in jobs {
            self.break_off(job)?;
        }
        Ok(())
    }

    /// A job is about to print, or to start at this worker: with the first of it comes its
    /// command.
    pub(super) fn begin(&mut self, job: JobId, worker: WorkerId) -> Result<(), Failure> {
        let Some(live) = &mut self.live else {
            return Ok(());
        };
        if live.jobs.contains_key(&job) {
            return Ok(());
        }
        let renderer = &self.renderer;
        let verbose = live.verbose;
        let look = |ticket: &Ticket| {
            let setting = renderer.setting(Some(worker));
            let command = verbose.then(|| shown::command(ticket, setting));
            (ticket.turn, renderer.tag(ticket, Some(worker)), command)
        };
        let known = self.reins.desk.look_up(job, look);
        let (turn, tag, command) = known.unwrap_or_else(|| (0, live.late_tag(job), None));
        let waits = turn > 0
            && self
                .ordered
                .as_ref()
                .is_some_and(|ordered| ordered.next() != turn);
        if waits {
            live.turns.insert(turn, job);
        }
        let printing = Printing {
            turn,
            tag,
            waits,
            ..Printing::default()
        };
        live.jobs.insert(job, printing);
        match command {
            Some(command) => self.show_piece(job, Stream::Stdout, &command),
            None => Ok(()),
        }
    }

    fn show_part(&mut self, job: JobId, stream: Stream, piece: &[u8]) -> Result<(), Failure> {
        let live = self.live.as_mut().ok_or(UNKNOWN)?;
        let printing = live.jobs.get_mut(&job).ok_or(UNKNOWN)?;
        let half = printing.half(stream);
        half.bytes += piece.len() as u64;
        let least = match stream {
            Stream::Stdout => Copies::Both,
            Stream::Stderr => Copies::Stderr,
        };
        if live.copies >= least {
            let copied = half.copy.push(&self.renderer.room, piece);
            copied.map_err(Failure::Spill)?;
        }
        self.show_piece(job, stream, piece)?;
        // One that has ended already leaves nothing behind.
        if let Some(live) = &mut self.live
            && live
                .jobs
                .get(&job)
                .is_some_and(|p| p.turn == 0 && p.is_empty())
        {
            live.jobs.remove(&job);
        }
        Ok(())
    }

    /// Shows a piece, or keeps it until its job's turn comes.
    fn show_piece(&mut self, job: JobId, stream: Stream, piece: &[u8]) -> Result<(), Failure> {
        let live = self.live.as_mut().ok_or(UNKNOWN)?;
        let (mode, to_stderr) = (live.mode, live.all_to_stderr || stream == Stream::Stderr);
        let printing = live.jobs.get_mut(&job).ok_or(UNKNOWN)?;
        let room = &self.renderer.room;
        if printing.waits {
            let kept = printing.half(stream).kept.push(room, piece);
            return kept.map_err(Failure::Spill);
        }
        let tag = mem::take(&mut printing.tag);
        let half = printing.half(stream);
        let (shown, err) = if to_stderr {
            let mut page = self.renderer.page();
            let shown = half.show(mode, &tag, room, piece, &mut page);
            (shown, Some(page))
        } else {
            (half.show(mode, &tag, room, piece, &mut self.page), None)
        };
        printing.tag = tag;
        shown.map_err(Failure::Spill)?;
        self.pass_page(err)
    }

    fn pass_page(&mut self, page: Option<Page>) -> Result<(), Failure> {
        let Some(mut page) = page.filter(|page| !page.is_empty()) else {
            return Ok(());
        };
        let err = page.take().map_err(Failure::Spill)?;
        self.pass(Told {
            err,
            ..Told::default()
        })
    }

    /// The turn of the job with this number has come: if it runs, what it has printed so far
    /// is shown, and the rest as it comes.
    pub(super) fn take_turn(&mut self, turn: u64) -> Result<(), Failure> {
        let Some(live) = &mut self.live else {
            return Ok(());
        };
        let Some(job) = live.turns.remove(&turn) else {
            return Ok(());
        };
        let printing = live.jobs.get_mut(&job).ok_or(UNKNOWN)?;
        printing.waits = false;
        for stream in [Stream::Stdout, Stream::Stderr] {
            let live = self.live.as_mut().ok_or(UNKNOWN)?;
            let printing = live.jobs.get_mut(&job).ok_or(UNKNOWN)?;
            let kept = mem::take(&mut printing.half(stream).kept);
            let mut failed = None;
            let read = kept.for_each(|piece| {
                self.show_piece(job, stream, piece).map_err(|failure| {
                    failed = Some(failure);
                    io::Error::other("not shown")
                })
            });
            match (failed, read) {
                (Some(failure), _) => return Err(failure),
                (None, read) => read.map_err(Failure::Spill)?,
            }
        }
        Ok(())
    }

    /// An attempt is over, or all is: lines that it has not ended are shown as they are.
    pub(super) fn break_off(&mut self, job: JobId) -> Result<(), Failure> {
        let Some(live) = &mut self.live else {
            return Ok(());
        };
        let all_to_stderr = live.all_to_stderr;
        let Some(printing) = live.jobs.get_mut(&job).filter(|p| !p.waits) else {
            return Ok(());
        };
        let tag = mem::take(&mut printing.tag);
        let mut err = self.renderer.page();
        let out = if all_to_stderr {
            &mut err
        } else {
            &mut self.page
        };
        let stdout = printing.stdout.finish(&tag, out);
        let shown = stdout.and_then(|()| printing.stderr.finish(&tag, &mut err));
        // What follows begins anew.
        printing.speaker = None;
        printing.stdout.at_start = true;
        printing.stderr.at_start = true;
        printing.tag = tag;
        shown.map_err(Failure::Spill)?;
        self.pass_page(Some(err))
    }

    /// Whether what jobs print is copied for their records.
    pub(in crate::run) fn copy_for_records(&mut self) {
        let (recorder, light) = (self.recorder.is_some(), self.light.is_some());
        if let Some(live) = &mut self.live {
            live.copies = match (recorder, light) {
                (true, _) => Copies::Both,
                (false, true) => Copies::Stderr,
                (false, false) => Copies::Nothing,
            };
        }
    }

    /// Does what is to be done with a job's end before it is recorded: nothing, unless its
    /// output was shown live.
    pub(super) fn complete(&mut self, report: &mut JobReport) {
        if let Some(live) = &mut self.live {
            live.complete(report);
        }
    }
}
