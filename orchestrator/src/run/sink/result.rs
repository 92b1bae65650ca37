//! What a task gave back, one line per job: as an object that says how it went,
//! or bare. What the task printed goes to stderr.

use std::io::{self, Write};

use bytes::Bytes;
use serde_json::value::RawValue;

use super::grouped::{complaint, predicate, with_line};
use super::render::{Format, Page, Renderer, Told};
use crate::pool::{Capture, JobReport};
use crate::run::source::jsonl::whole_number;
use crate::run::source::work::Ticket;
use crate::scheduler::Verdict;

/// Renders a job's end as its result.
pub(super) fn render(
    renderer: &Renderer,
    ticket: &Ticket,
    report: JobReport,
    out: &mut Page,
) -> io::Result<Told> {
    let checked = value(&report);
    let spoiled = report.verdict == Verdict::Ok && checked.is_err();
    let mut said = None;
    match (&checked, renderer.format) {
        (Ok(value), Format::Value) => {
            out.write_all(value)?;
            out.write_all(b"\n")?;
        }
        (Ok(value), _) => {
            write_head(out, ticket)?;
            out.write_all(b",\"ok\":true,\"value\":")?;
            out.write_all(value)?;
            out.write_all(b"}\n")?;
        }
        (Err(why), Format::Value) if spoiled => {
            let unit = renderer.origin.unit();
            said = Some(format!("error: {unit} {}: {why}", ticket.line));
        }
        (Err(_), Format::Value) => {}
        (Err(why), _) => write_failure(out, ticket, why)?,
    }
    let said = said.or_else(|| complaint(renderer, ticket, &report));
    let printed = joined(renderer, report.stdout, &report.stderr)?;
    Ok(Told {
        err: with_line(renderer, printed, said)?,
        spoiled,
        ..Told::default()
    })
}

/// Writes the line of a job that gave no result.
pub(super) fn write_failure(out: &mut impl Write, ticket: &Ticket, why: &str) -> io::Result<()> {
    write_head(out, ticket)?;
    out.write_all(b",\"ok\":false,\"error\":")?;
    serde_json::to_writer(&mut *out, why)?;
    out.write_all(b"}\n")
}

/// The beginning that all objects have in common.
pub(super) fn write_head(out: &mut impl Write, ticket: &Ticket) -> io::Result<()> {
    // Without the machinery of `write!`: this is done for every line.
    out.write_all(b"{\"seq\":")?;
    serde_json::to_writer(&mut *out, &ticket.seq)?;
    match &ticket.id {
        None => out.write_all(b",\"id\":null"),
        Some(id) => {
            out.write_all(b",\"id\":")?;
            out.write_all(id.as_bytes())
        }
    }
}

/// The result as JSON on one line, or why there is none.
///
/// The worker may be anybody's program: what it calls JSON is checked, since
/// one wrong line would make all lines unreadable.
pub(super) fn value(report: &JobReport) -> Result<Bytes, String> {
    if report.verdict != Verdict::Ok {
        return Err(predicate(report.verdict, report.error.as_deref()));
    }
    let result = report
        .result
        .bytes()
        .map_err(|e| format!("its result could not be read back: {e}"))?;
    if whole_number(&result).is_some() {
        return Ok(result);
    }
    let raw: &RawValue = serde_json::from_slice(&result)
        .map_err(|e| format!("the worker's result is not valid JSON: {e}"))?;
    let text = raw.get().as_bytes();
    if memchr::memchr2(b'\n', b'\r', text).is_none() {
        return Ok(result.slice_ref(text));
    }
    // Within a string both are written as escapes: these stand between tokens.
    let flat = text
        .iter()
        .map(|&b| if matches!(b, b'\n' | b'\r') { b' ' } else { b });
    Ok(flat.collect())
}

/// Both streams of a function, one behind the other.
fn joined(renderer: &Renderer, mut first: Capture, second: &Capture) -> io::Result<Capture> {
    second.for_each(|piece| first.push(&renderer.room, piece))?;
    Ok(first)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use protocol::TaskError;

    use super::super::render::tests::{renderer, report, shown, ticket};
    use super::*;

    fn ended(format: Format, change: impl FnOnce(&mut JobReport)) -> (String, String) {
        let renderer = renderer(format, Some("fib"));
        let mut report = report(&renderer, Verdict::Ok, b"printed\n", b"");
        change(&mut report);
        let mut ticket = ticket(&[]);
        ticket.id = Some("\"a\"".into());
        shown(&renderer, &ticket, report)
    }

    #[test]
    fn a_result_is_one_line_of_json() {
        let (out, err) = ended(Format::Result, |r| {
            r.result = Bytes::from("{\n \"n\": 55\r\n}").into()
        });
        assert_eq!(
            out,
            "{\"seq\":3,\"id\":\"a\",\"ok\":true,\"value\":{  \"n\": 55  }}\n"
        );
        assert_eq!(err, "printed\n");
        let (out, _) = ended(Format::Value, |r| r.result = Bytes::from("55").into());
        assert_eq!(out, "55\n");
    }

    #[test]
    fn an_error_stands_in_the_line_or_on_stderr() {
        let fail = |r: &mut JobReport| {
            r.verdict = Verdict::Failed(1);
            r.error = Some(TaskError::new("too \"big\"").into());
        };
        let (out, err) = ended(Format::Result, fail);
        assert_eq!(
            out,
            "{\"seq\":3,\"id\":\"a\",\"ok\":false,\"error\":\"failed: too \\\"big\\\"\"}\n"
        );
        assert_eq!(err, "printed\n");
        let (out, err) = ended(Format::Value, fail);
        assert_eq!(out, "");
        assert_eq!(
            err,
            "printed\nerror: line 4 (id \"a\"): task `fib` failed: too \"big\"\n"
        );
    }

    #[test]
    fn a_crash_is_told_twice() {
        let (out, err) = ended(Format::Result, |r| r.verdict = Verdict::Crashed);
        assert!(out.contains("\"error\":\"crashed its worker\""), "{out}");
        assert!(err.ends_with("task `fib` crashed its worker\n"), "{err}");
    }

    #[test]
    fn a_result_that_is_not_json_is_a_failure() {
        for format in [Format::Result, Format::Value] {
            let renderer = renderer(format, Some("fib"));
            let mut report = report(&renderer, Verdict::Ok, b"", b"");
            report.result = Bytes::from_static(b"1 2").into();
            let mut page = renderer.page();
            let told = renderer.reported(&ticket(&[]), report, &mut page);
            assert!(told.unwrap().spoiled);
        }
    }
}
