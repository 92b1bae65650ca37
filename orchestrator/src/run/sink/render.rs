//! A job's end becomes bytes.
//!
//! It is rendered as soon as it comes, also when it must wait for its turn:
//! what waits is then two captures, whose bytes are in memory or in the pool's
//! spill file, and nothing else of the job is kept.

use std::io::{self, Write};
use std::sync::Arc;
use std::time::SystemTime;

use super::{grouped, jsonl, result};
use crate::pool::{Capture, JobReport, Spill};
use crate::run::source::lines::Delimiter;
use crate::run::source::work::{Refusal, Ticket};

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
}

impl Entry {
    /// Whether there is nothing to be written.
    pub(crate) fn is_empty(&self) -> bool {
        self.out.is_empty() && self.err.is_empty()
    }
}

/// What all jobs of a run have in common.
#[derive(Debug)]
pub(crate) struct Renderer {
    /// How entries look.
    pub(crate) format: Format,
    /// The task, unless the jobs are commands.
    pub(crate) task: Option<String>,
    /// What the input's pieces are called.
    pub(crate) delimiter: Delimiter,
    /// When the pool's clock was zero.
    pub(crate) started: SystemTime,
    /// Where output is kept.
    pub(crate) room: Arc<Spill>,
    /// Whether somebody was told what to do about a line that is no job:
    /// saying it once is enough.
    pub(crate) tip_given: bool,
}

/// An entry, and what rendering found out about the job.
#[derive(Debug)]
pub(crate) struct Rendered {
    /// The bytes.
    pub(crate) entry: Entry,
    /// The task succeeded, but its result cannot be shown: that is a failure.
    pub(crate) spoiled: bool,
}

impl Renderer {
    /// Renders the end of a job that has its verdict.
    ///
    /// # Errors
    /// When what it printed cannot be kept or cannot be read again.
    pub(crate) fn reported(&self, ticket: &Ticket, report: JobReport) -> io::Result<Rendered> {
        match self.format {
            Format::Text => grouped::render(self, ticket, report),
            Format::Result | Format::Value => result::render(self, ticket, report),
            Format::Jsonl => jsonl::render(self, ticket, report),
        }
    }

    /// Renders a line that was no job.
    ///
    /// # Errors
    /// When the message cannot be kept until its turn.
    pub(crate) fn refused(&mut self, ticket: &Ticket, refusal: &Refusal) -> io::Result<Rendered> {
        let tip = if self.tip_given { None } else { refusal.tip };
        self.tip_given |= tip.is_some();
        let mut out = self.page();
        match self.format {
            Format::Text | Format::Value => {}
            Format::Result => result::write_failure(&mut out, ticket, &refusal.what)?,
            Format::Jsonl => jsonl::write_refused(&mut out, self, ticket, &refusal.what)?,
        }
        let mut err = self.page();
        writeln!(err, "error: {}", refusal.what)?;
        for line in &refusal.place {
            writeln!(err, "  {line}")?;
        }
        if let Some(tip) = tip {
            writeln!(err, "  tip: {tip}")?;
        }
        let entry = Entry {
            out: out.finish()?,
            err: err.finish()?,
        };
        Ok(Rendered {
            entry,
            spoiled: false,
        })
    }

    /// An empty capture to be written to.
    pub(crate) fn page(&self) -> Page<'_> {
        Page {
            room: &self.room,
            capture: Capture::default(),
            buffer: Vec::new(),
        }
    }
}

/// A capture that is being written, a piece of some size at a time.
#[derive(Debug)]
pub(crate) struct Page<'a> {
    room: &'a Arc<Spill>,
    capture: Capture,
    buffer: Vec<u8>,
}

impl Page<'_> {
    const PIECE: usize = 64 << 10;

    /// What was written.
    ///
    /// # Errors
    /// When it cannot be kept.
    pub(crate) fn finish(mut self) -> io::Result<Capture> {
        self.flush()?;
        Ok(self.capture)
    }
}

impl Write for Page<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= Self::PIECE {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.capture.push(self.room, &self.buffer)?;
        self.buffer.clear();
        Ok(())
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::time::Duration;

    use bytes::Bytes;
    use protocol::{CommandSpec, JobId, Program, Usage, WorkerId};
    use serde_bytes::ByteBuf;

    use super::*;
    use crate::pool::RawJob;
    use crate::scheduler::Verdict;

    pub(crate) fn renderer(format: Format, task: Option<&str>) -> Renderer {
        Renderer {
            format,
            task: task.map(str::to_owned),
            delimiter: Delimiter::Newline,
            started: SystemTime::UNIX_EPOCH,
            room: Spill::new(1 << 20),
            tip_given: false,
        }
    }

    pub(crate) fn ticket(argv: &[&[u8]]) -> Ticket {
        let argv = argv.iter().map(|w| ByteBuf::from(w.to_vec())).collect();
        let spec = CommandSpec::new(Program::Argv(argv));
        Ticket {
            seq: 3,
            line: 4,
            id: None,
            input: RawJob::command(&spec).unwrap().input,
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
            stdout: Capture::of(&renderer.room, out).unwrap(),
            stderr: Capture::of(&renderer.room, err).unwrap(),
            usage: Usage {
                wall_us: 1_500_000,
                user_us: 250_000,
                system_us: 1,
                max_rss_kib: 3_400,
                leaked: 0,
            },
            started: Some(Duration::from_millis(1)),
            worker: Some(WorkerId(2)),
            attempts: 1,
            _room: None,
        }
    }

    /// The bytes of an entry as text.
    pub(crate) fn texts(rendered: Rendered) -> (String, String) {
        let text = |capture: Capture| String::from_utf8(capture.to_vec().unwrap()).unwrap();
        (text(rendered.entry.out), text(rendered.entry.err))
    }

    /// What a job's end puts on stdout and stderr.
    pub(crate) fn shown(
        renderer: &Renderer,
        ticket: &Ticket,
        report: JobReport,
    ) -> (String, String) {
        texts(renderer.reported(ticket, report).unwrap())
    }

    fn refusal() -> Refusal {
        Refusal {
            what: "line 4 of standard input is not valid JSON: \"x\"".into(),
            place: vec!["4 | x".into()],
            tip: Some("quote it"),
        }
    }

    #[test]
    fn a_refused_line_has_one_entry_and_the_tip_comes_once() {
        let mut renderer = renderer(Format::Result, Some("fib"));
        let mut ticket = ticket(&[]);
        ticket.id = Some("\"a\"".into());
        let (out, err) = texts(renderer.refused(&ticket, &refusal()).unwrap());
        assert_eq!(
            out,
            "{\"seq\":3,\"id\":\"a\",\"ok\":false,\"error\":\"line 4 of standard input is not \
             valid JSON: \\\"x\\\"\"}\n"
        );
        let what = "error: line 4 of standard input is not valid JSON: \"x\"\n  4 | x\n";
        assert_eq!(err, format!("{what}  tip: quote it\n"));
        let (_, err) = texts(renderer.refused(&ticket, &refusal()).unwrap());
        assert_eq!(err, what);
    }

    #[test]
    fn a_refused_line_is_an_error_only_where_results_are_bare() {
        for format in [Format::Text, Format::Value] {
            let mut renderer = renderer(format, None);
            let (out, err) = texts(renderer.refused(&ticket(&[]), &refusal()).unwrap());
            assert_eq!(out, "");
            assert!(err.starts_with("error: line 4"));
        }
    }
}
