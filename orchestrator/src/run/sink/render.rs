//! A job's end becomes bytes.
//!
//! It is rendered as soon as it comes: behind what is written next, on the same
//! [`Page`], or, when it must wait for its turn, on a page of its own, which is
//! kept as two captures, whose bytes are in memory or in the pool's spill file.
//! Nothing else of the job is kept.

use std::io::{self, Write};
use std::sync::Arc;
use std::time::SystemTime;

use super::manner::Manner;
use super::slots::Slots;
use super::store::Kept;
pub(crate) use super::table::Columns;
use super::{grouped, jsonl, result};
use crate::pool::{Capture, JobReport, Spill};
use crate::run::source::item::Fields;
use crate::run::source::origin::Origin;
use crate::run::source::refusal::Refusal;
use crate::run::source::work::Ticket;

/// What a job's end looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// What it printed: stdout to stdout, stderr to stderr.
    Text,
    /// One JSON line with the task's result, or the error.
    Result,
    /// The task's bare result, in the order of the input.
    Value,
    /// One JSON line with all that is known about it.
    Jsonl,
}

/// What a job's end puts on stdout and on stderr.
#[derive(Debug, Default)]
pub(crate) struct Entry {
    /// For stdout.
    pub(crate) out: Capture,
    /// For stderr.
    pub(crate) err: Capture,
    /// For elsewhere, before both.
    pub(crate) kept: Option<Box<Kept>>,
}

impl Entry {
    /// Whether there is nothing to be written.
    pub(crate) fn is_empty(&self) -> bool {
        self.out.is_empty() && self.err.is_empty() && self.kept.is_none()
    }
}

/// What all jobs of a run have in common.
#[derive(Debug)]
pub(crate) struct Renderer {
    /// How entries look.
    pub(crate) format: Format,
    /// The task, unless the jobs are commands.
    pub(crate) task: Option<&'static str>,
    /// What the input's pieces are called.
    pub(crate) origin: Origin,
    /// When the pool's clock was zero.
    pub(crate) started: SystemTime,
    /// Where output is kept.
    pub(crate) room: Arc<Spill>,
    /// Whether somebody was told what to do about a line that is no job:
    /// saying it once is enough.
    pub(crate) tip_given: bool,
    /// Whether nothing is said of jobs that fail by themselves or are tried again.
    pub(crate) terse: bool,
    /// In what manner what commands print is shown.
    pub(crate) manner: Manner,
    /// What the bytes of items are.
    pub(crate) fields: Fields,
    /// What the fields of items are called, as far as they have names.
    pub(crate) names: Vec<Vec<u8>>,
    /// What the table has, if there is one.
    pub(crate) columns: Columns,
    /// Where workers sit, if commands are shown.
    pub(crate) slots: Option<Slots>,
    /// The shell that reads texts, if it is not the workers' own.
    pub(crate) shell: Option<&'static [u8]>,
    /// How the program of all commands was typed, if that is how it is shown.
    pub(crate) typed: Option<&'static [u8]>,
}

/// What a job's end puts on stdout and on stderr beside what stands on the page.
#[derive(Debug, Default)]
pub(crate) struct Told {
    /// For stdout, behind the page: what the job printed, as it was kept.
    pub(crate) printed: Capture,
    /// For stderr.
    pub(crate) err: Capture,
    /// For elsewhere, before both.
    pub(crate) kept: Option<Box<Kept>>,
    /// The task succeeded, but its result cannot be shown: that is a failure.
    pub(crate) spoiled: bool,
}

impl Told {
    /// As an entry of its own, with what stands on the page.
    ///
    /// # Errors
    /// When that cannot be kept.
    pub(crate) fn entry(self, page: &mut Page) -> io::Result<Entry> {
        let out = match page.is_empty() {
            true => self.printed,
            false => {
                page.append(&self.printed)?;
                page.take()?
            }
        };
        Ok(Entry {
            out,
            err: self.err,
            kept: self.kept,
        })
    }
}

impl Renderer {
    /// The task of a job, unless it is a command.
    pub(super) fn task<'a>(&'a self, ticket: &'a Ticket) -> Option<&'a str> {
        let own = ticket
            .wishes
            .as_ref()
            .and_then(|wishes| wishes.task.as_deref());
        self.task.map(|task| own.unwrap_or(task))
    }

    /// Renders the end of a job that has its verdict.
    ///
    /// # Errors
    /// When what it printed cannot be kept or cannot be read again.
    pub(crate) fn reported(
        &self,
        ticket: &Ticket,
        report: JobReport,
        out: &mut Page,
    ) -> io::Result<Told> {
        match self.format {
            Format::Text => grouped::render(self, ticket, report, out),
            Format::Result | Format::Value => result::render(self, ticket, report, out),
            Format::Jsonl => jsonl::render(self, ticket, report, out),
        }
    }

    /// Renders a line that was no job.
    ///
    /// # Errors
    /// When the message cannot be kept until its turn.
    pub(crate) fn refused(
        &mut self,
        ticket: &Ticket,
        refusal: &Refusal,
        out: &mut Page,
    ) -> io::Result<Told> {
        let tip = if self.tip_given { None } else { refusal.tip };
        self.tip_given |= tip.is_some();
        match self.format {
            Format::Text | Format::Value => {}
            Format::Result => result::write_failure(out, ticket, &refusal.what)?,
            Format::Jsonl => jsonl::write_refused(out, self, ticket, &refusal.what)?,
        }
        let mut err = self.page();
        writeln!(err, "error: {}", refusal.what)?;
        for line in &refusal.place {
            writeln!(err, "  {line}")?;
        }
        if let Some(tip) = tip {
            writeln!(err, "  tip: {tip}")?;
        }
        Ok(Told {
            err: err.take()?,
            ..Told::default()
        })
    }

    /// An empty page to be written to.
    pub(crate) fn page(&self) -> Page {
        Page {
            room: Arc::clone(&self.room),
            capture: Capture::default(),
            buffer: Vec::new(),
        }
    }
}

/// A capture that is being written, a piece of some size at a time.
#[derive(Debug)]
pub(crate) struct Page {
    room: Arc<Spill>,
    capture: Capture,
    buffer: Vec<u8>,
}

impl Page {
    /// A page with so many bytes is full.
    pub(crate) const PIECE: usize = 64 << 10;

    pub(crate) fn is_empty(&self) -> bool {
        self.buffer.is_empty() && self.capture.is_empty()
    }

    pub(crate) fn is_full(&self) -> bool {
        self.buffer.len() >= Self::PIECE || !self.capture.is_empty()
    }

    /// Adds what was kept elsewhere.
    ///
    /// # Errors
    /// When it cannot be read or kept.
    pub(crate) fn append(&mut self, other: &Capture) -> io::Result<()> {
        other.for_each(|piece| self.write_all(piece))
    }

    /// Forgets what was written.
    pub(crate) fn discard(&mut self) {
        self.buffer.clear();
        self.capture = Capture::default();
    }

    /// What was written; it is empty then.
    ///
    /// # Errors
    /// When it cannot be kept.
    pub(crate) fn take(&mut self) -> io::Result<Capture> {
        let mut capture = std::mem::take(&mut self.capture);
        let buffer = std::mem::take(&mut self.buffer);
        capture.give(&self.room, buffer)?;
        Ok(capture)
    }
}

impl Write for Page {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_all(bytes)?;
        Ok(bytes.len())
    }

    /// A line is written in several small pieces.
    #[inline]
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.buffer.len() + bytes.len() > 2 * Self::PIECE {
            self.flush()?;
        }
        self.buffer.extend_from_slice(bytes);
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        let buffer = std::mem::take(&mut self.buffer);
        self.capture.give(&self.room, buffer)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::time::Duration;

    use bytes::Bytes;
    use protocol::{CommandSpec, JobId, Program, Usage, WorkerId};
    use serde_bytes::ByteBuf;

    use super::*;
    use crate::pool::{Omitted, RawJob};
    use crate::run::source::lines::Delimiter;
    use crate::scheduler::Verdict;

    pub(crate) fn renderer(format: Format, task: Option<&'static str>) -> Renderer {
        Renderer {
            format,
            task,
            origin: Origin::stdin(Delimiter::Newline),
            started: SystemTime::UNIX_EPOCH,
            room: Spill::new(1 << 20),
            tip_given: false,
            terse: false,
            manner: Manner::default(),
            fields: Fields::One,
            names: Vec::new(),
            columns: Columns::default(),
            slots: None,
            shell: None,
            typed: None,
        }
    }

    pub(crate) fn ticket(argv: &[&[u8]]) -> Ticket {
        let argv = argv.iter().map(|w| ByteBuf::from(w.to_vec())).collect();
        let spec = CommandSpec::new(Program::Argv(argv));
        Ticket {
            seq: 3,
            turn: 3,
            row: 0,
            item: None,
            line: 4,
            id: None,
            wishes: None,
            size: 0,
            command: RawJob::command(&spec).unwrap().input,
        }
    }

    pub(crate) fn report(
        renderer: &Renderer,
        verdict: Verdict,
        out: &[u8],
        err: &[u8],
    ) -> JobReport {
        JobReport {
            job: JobId(3),
            label: None,
            verdict,
            result: Bytes::new().into(),
            error: None,
            death: None,
            stdout: Capture::of(&renderer.room, out).unwrap(),
            stderr: Capture::of(&renderer.room, err).unwrap(),
            omitted: Omitted::default(),
            usage: Usage {
                wall_us: 1_500_000,
                user_us: 250_000,
                system_us: 1,
                max_rss_kib: 3_400,
                leaked: 0,
            },
            started: Some(Duration::from_millis(1)),
            worker: Some(WorkerId(2)),
            host: None,
            attempts: 1,
        }
    }

    /// The bytes of an entry as text.
    pub(crate) fn texts(told: Told, mut page: Page) -> (String, String) {
        let text = |capture: Capture| String::from_utf8(capture.to_vec().unwrap()).unwrap();
        let entry = told.entry(&mut page).unwrap();
        (text(entry.out), text(entry.err))
    }

    /// What a job's end puts on stdout and stderr.
    pub(crate) fn shown(
        renderer: &Renderer,
        ticket: &Ticket,
        report: JobReport,
    ) -> (String, String) {
        let mut page = renderer.page();
        texts(renderer.reported(ticket, report, &mut page).unwrap(), page)
    }

    fn refused(renderer: &mut Renderer, ticket: &Ticket) -> (String, String) {
        let mut page = renderer.page();
        let told = renderer.refused(ticket, &refusal(), &mut page);
        texts(told.unwrap(), page)
    }

    fn refusal() -> Refusal {
        Refusal {
            what: "line 4 of standard input is not valid JSON: \"x\"".into(),
            place: vec!["4 | x".into()],
            tip: Some("quote it"),
        }
    }

    #[test]
    fn a_page_gives_what_was_written_whatever_its_size() {
        let renderer = renderer(Format::Text, None);
        let mut page = renderer.page();
        let mut expected = Vec::new();
        for size in [1, Page::PIECE, 5, 3 * Page::PIECE, 7] {
            let bytes = vec![size as u8; size];
            page.write_all(&bytes).unwrap();
            expected.extend(bytes);
        }
        assert!(page.is_full());
        assert_eq!(page.take().unwrap().to_vec().unwrap(), expected);
        assert!(page.is_empty() && !page.is_full());
        assert!(page.take().unwrap().is_empty());
    }

    #[test]
    fn a_refused_line_has_one_entry_and_the_tip_comes_once() {
        let mut renderer = renderer(Format::Result, Some("fib"));
        let mut ticket = ticket(&[]);
        ticket.id = Some("\"a\"".into());
        let (out, err) = refused(&mut renderer, &ticket);
        assert_eq!(
            out,
            "{\"seq\":3,\"id\":\"a\",\"ok\":false,\"error\":\"line 4 of standard input is not \
             valid JSON: \\\"x\\\"\"}\n"
        );
        let what = "error: line 4 of standard input is not valid JSON: \"x\"\n  4 | x\n";
        assert_eq!(err, format!("{what}  tip: quote it\n"));
        let (_, err) = refused(&mut renderer, &ticket);
        assert_eq!(err, what);
    }

    #[test]
    fn a_refused_line_is_an_error_only_where_results_are_bare() {
        for format in [Format::Text, Format::Value] {
            let mut renderer = renderer(format, None);
            let (out, err) = refused(&mut renderer, &ticket(&[]));
            assert_eq!(out, "");
            assert!(err.starts_with("error: line 4"));
        }
    }
}
