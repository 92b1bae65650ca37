//! All that is known about a job, one JSON object per line. The keys are
//! described in `docs/formats.md`; they do not change their meaning.
//!
//! What a job printed is escaped piece by piece on its way, so that the size
//! of it costs no memory here. Bytes that are not UTF-8 cannot stand in a JSON
//! string: they become `{"base64": "…"}` instead, the whole stream or word.

use std::io::{self, Write};

use base64::prelude::*;
use base64::write::EncoderWriter;
use protocol::Usage;

use super::grouped::{complaint, with_line};
use super::render::{Page, Renderer, Told};
use super::result::{value, write_head};
use crate::pool::{Capture, JobReport, Omitted};
use crate::run::source::command;
use crate::run::source::work::Ticket;
use crate::run::text;
use crate::scheduler::Verdict;

/// Renders a job's end as an object.
pub(super) fn render(
    renderer: &Renderer,
    ticket: &Ticket,
    report: JobReport,
    out: &mut Page,
) -> io::Result<Told> {
    let mut spoiled = false;
    write_job(out, renderer, ticket, report.verdict)?;
    out.write_all(b",\"stdout\":")?;
    write_capture(out, &report.stdout)?;
    out.write_all(b",\"stderr\":")?;
    write_capture(out, &report.stderr)?;
    if report.omitted != Omitted::default() {
        let Omitted { stdout, stderr } = report.omitted;
        write!(
            out,
            ",\"omitted\":{{\"stdout\":{stdout},\"stderr\":{stderr}}}"
        )?;
    }
    write_usage(out, renderer, &report)?;
    if renderer.task.is_some() || report.verdict != Verdict::Ok {
        match value(&report) {
            Ok(value) => {
                out.write_all(b",\"value\":")?;
                out.write_all(&value)?;
            }
            Err(why) => {
                spoiled = report.verdict == Verdict::Ok;
                out.write_all(b",\"error\":")?;
                serde_json::to_writer(&mut *out, &why)?;
            }
        }
    }
    out.write_all(b"}\n")?;
    let said = complaint(renderer, ticket, &report);
    Ok(Told {
        err: with_line(renderer, Capture::default(), said)?,
        spoiled,
        ..Told::default()
    })
}

/// Writes the object of a line that was no job: all keys, nothing known.
pub(super) fn write_refused(
    out: &mut impl Write,
    renderer: &Renderer,
    ticket: &Ticket,
    why: &str,
) -> io::Result<()> {
    write_job(out, renderer, ticket, Verdict::Rejected)?;
    out.write_all(
        b",\"stdout\":\"\",\"stderr\":\"\",\"start\":null,\"duration\":null,\"cpu\":null,\
          \"max_rss_kib\":null,\"worker\":null,\"attempts\":0,\"leaked\":null,\"error\":",
    )?;
    serde_json::to_writer(&mut *out, why)?;
    out.write_all(b"}\n")
}

fn write_job(
    out: &mut impl Write,
    renderer: &Renderer,
    ticket: &Ticket,
    verdict: Verdict,
) -> io::Result<()> {
    write_head(out, ticket)?;
    if let Some(task) = renderer.task(ticket) {
        out.write_all(b",\"task\":")?;
        serde_json::to_writer(&mut *out, task)?;
    } else {
        out.write_all(b",\"argv\":[")?;
        for (i, word) in command::argv(&ticket.command).iter().enumerate() {
            out.write_all(if i > 0 { b"," } else { b"" })?;
            write_bytes(out, word)?;
        }
        out.write_all(b"]")?;
    }
    if let Some(label) = ticket
        .wishes
        .as_ref()
        .and_then(|wishes| wishes.label.as_ref())
    {
        out.write_all(b",\"label\":")?;
        serde_json::to_writer(&mut *out, &**label)?;
    }
    let is_command = renderer.task.is_none();
    let exit = match verdict {
        Verdict::Ok if is_command => Some(0),
        Verdict::Failed(status) if is_command => Some(status),
        _ => None,
    };
    let signal = match verdict {
        Verdict::Signaled(signal) => Some(signal),
        _ => None,
    };
    let name = signal.map(|signal| format!("\"{}\"", text::signal(signal)));
    write!(
        out,
        ",\"verdict\":\"{}\",\"exit\":{},\"signal\":{},\"signal_name\":{}",
        verdict.word(),
        or_null(exit),
        or_null(signal),
        or_null(name),
    )
}

fn write_usage(out: &mut impl Write, renderer: &Renderer, report: &JobReport) -> io::Result<()> {
    let start = report
        .started
        .and_then(|at| renderer.started.checked_add(at));
    let start = start.map(|at| format!("\"{}\"", humantime::format_rfc3339_micros(at)));
    // All zero when there was nobody left to measure it.
    let usage = Some(report.usage).filter(Usage::is_measured);
    let seconds = |us: u64| us as f64 / 1e6;
    write!(
        out,
        ",\"start\":{},\"duration\":{},\"cpu\":{},\"max_rss_kib\":{},\"worker\":{},\"attempts\":{},\
         \"leaked\":{}",
        or_null(start),
        or_null(usage.map(|u| seconds(u.wall_us))),
        or_null(usage.map(|u| seconds(u.user_us.saturating_add(u.system_us)))),
        or_null(usage.map(|u| u.max_rss_kib).filter(|&kib| kib > 0)),
        or_null(report.worker),
        report.attempts,
        or_null(usage.map(|u| u.leaked)),
    )?;
    if let Some(host) = &report.host {
        out.write_all(b",\"host\":")?;
        serde_json::to_writer(out, &**host)?;
    }
    Ok(())
}

fn or_null(value: Option<impl ToString>) -> String {
    value.map_or_else(|| "null".to_owned(), |v| v.to_string())
}

pub(super) fn write_bytes(out: &mut impl Write, bytes: &[u8]) -> io::Result<()> {
    match std::str::from_utf8(bytes) {
        Ok(text) => serde_json::to_writer(out, text).map_err(io::Error::from),
        Err(_) => {
            let coded = BASE64_STANDARD.encode(bytes);
            write!(out, "{{\"base64\":\"{coded}\"}}")
        }
    }
}

pub(super) fn write_capture(out: &mut impl Write, capture: &Capture) -> io::Result<()> {
    let mut check = Utf8Check::default();
    capture.for_each(|piece| {
        check.push(piece);
        Ok(())
    })?;
    if check.valid() {
        out.write_all(b"\"")?;
        capture.for_each(|piece| write_escaped(out, piece))?;
        return out.write_all(b"\"");
    }
    out.write_all(b"{\"base64\":\"")?;
    let mut coder = EncoderWriter::new(&mut *out, &BASE64_STANDARD);
    capture.for_each(|piece| coder.write_all(piece))?;
    coder.finish()?;
    drop(coder);
    out.write_all(b"\"}")
}

/// Writes a piece of a valid text as part of a JSON string. All that needs an
/// escape is ASCII, so the piece may end within a character.
fn write_escaped(out: &mut impl Write, piece: &[u8]) -> io::Result<()> {
    let mut from = 0;
    for (at, &byte) in piece.iter().enumerate() {
        let short = match byte {
            b'"' => Some(b'"'),
            b'\\' => Some(b'\\'),
            b'\n' => Some(b'n'),
            b'\r' => Some(b'r'),
            b'\t' => Some(b't'),
            0..0x20 => None,
            _ => continue,
        };
        out.write_all(&piece[from..at])?;
        from = at + 1;
        match short {
            Some(short) => out.write_all(&[b'\\', short])?,
            None => write!(out, "\\u{byte:04x}")?,
        }
    }
    out.write_all(&piece[from..])
}

/// Whether a text that comes in pieces is UTF-8.
#[derive(Debug, Default)]
struct Utf8Check {
    /// The beginning of a character that the last piece ended in.
    cut: Vec<u8>,
    broken: bool,
}

impl Utf8Check {
    fn push(&mut self, mut piece: &[u8]) {
        // A character has at most four bytes.
        while !self.broken && !self.cut.is_empty() {
            let Some((&next, rest)) = piece.split_first() else {
                return;
            };
            self.cut.push(next);
            piece = rest;
            match std::str::from_utf8(&self.cut) {
                Ok(_) => self.cut.clear(),
                Err(e) => self.broken = e.error_len().is_some(),
            }
        }
        if let Err(e) = std::str::from_utf8(piece) {
            self.broken |= e.error_len().is_some();
            self.cut = piece[e.valid_up_to()..].iter().take(4).copied().collect();
        }
    }

    fn valid(&self) -> bool {
        !self.broken && self.cut.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;
    use proptest::prelude::*;
    use protocol::TaskError;
    use serde_json::{Value, json};

    use super::super::render::Format;
    use super::super::render::tests::{renderer, report, shown, ticket};
    use super::*;
    use crate::pool::Spill;

    fn object(out: &str) -> Value {
        assert_eq!(out.matches('\n').count(), 1);
        serde_json::from_str(out).unwrap()
    }

    #[test]
    fn a_command_is_told_completely() {
        let renderer = renderer(Format::Jsonl, None);
        let report = report(
            &renderer,
            Verdict::Failed(3),
            b"a\"\x01\n\xc3\xbc",
            b"\xff\x00",
        );
        let ticket = ticket(&[b"/bin/x", b"\xfe"]);
        let (out, err) = shown(&renderer, &ticket, report);
        assert_eq!(
            object(&out),
            json!({
                "seq": 3, "id": null, "argv": ["/bin/x", {"base64": "/g=="}],
                "verdict": "failed", "exit": 3, "signal": null, "signal_name": null,
                "stdout": "a\"\u{1}\nü", "stderr": {"base64": "/wA="},
                "start": "1970-01-01T00:00:00.001000Z", "duration": 1.5, "cpu": 0.250001,
                "max_rss_kib": 3400, "worker": 2, "attempts": 1, "leaked": 0,
                "error": "failed with status 3",
            })
        );
        assert_eq!(err, "");
    }

    #[test]
    fn a_task_is_told_with_its_value() {
        let renderer = renderer(Format::Jsonl, Some("fib"));
        let mut report = report(&renderer, Verdict::Ok, b"", b"");
        report.result = Bytes::from_static(b"[55]").into();
        let (out, _) = shown(&renderer, &ticket(&[]), report);
        let object = object(&out);
        assert_eq!(
            (&object["task"], &object["value"]),
            (&json!("fib"), &json!([55]))
        );
        assert_eq!((&object["exit"], object.get("error")), (&Value::Null, None));
    }

    #[test]
    fn a_signal_has_number_and_name() {
        let renderer = renderer(Format::Jsonl, None);
        let mut report = report(&renderer, Verdict::Signaled(9), b"", b"");
        report.usage = Usage::default();
        let (out, err) = shown(&renderer, &ticket(&[b"x"]), report);
        let object = object(&out);
        assert_eq!(
            (&object["signal"], &object["signal_name"]),
            (&json!(9), &json!("SIGKILL"))
        );
        assert_eq!(
            (&object["exit"], &object["duration"]),
            (&Value::Null, &Value::Null)
        );
        assert_eq!(err, "error: line 4: command was ended by SIGKILL: `x`\n");
    }

    #[test]
    fn what_was_left_out_is_counted_where_something_was() {
        let renderer = renderer(Format::Jsonl, None);
        let mut report = report(&renderer, Verdict::OutputLimit, b"a", b"");
        report.omitted.stderr = 7;
        report.error = Some(Box::new(TaskError::new("more than 1 bytes on stderr")));
        let (out, err) = shown(&renderer, &ticket(&[b"x"]), report);
        let object = object(&out);
        assert_eq!(object["omitted"], json!({"stdout": 0, "stderr": 7}));
        assert_eq!(object["verdict"], "output_limit");
        let said = "wrote too much: more than 1 bytes on stderr";
        assert_eq!(object["error"], said);
        assert_eq!(err, format!("error: line 4: command {said}: `x`\n"));
    }

    #[test]
    fn every_object_has_the_same_keys() {
        let keys = |value: &Value| {
            value
                .as_object()
                .unwrap()
                .keys()
                .cloned()
                .collect::<Vec<_>>()
        };
        let renderer = renderer(Format::Jsonl, None);
        let report = report(&renderer, Verdict::Timeout, b"", b"");
        let (told, _) = shown(&renderer, &ticket(&[]), report);
        let mut out = Vec::new();
        write_refused(&mut out, &renderer, &ticket(&[]), "no").unwrap();
        let refused = object(std::str::from_utf8(&out).unwrap());
        assert_eq!(keys(&object(&told)), keys(&refused));
        assert_eq!(refused["verdict"], "rejected");
    }

    proptest! {
        #[test]
        fn any_output_comes_back_from_the_json(
            data in prop::collection::vec(
                prop_oneof![any::<u8>(), Just(0xc3), Just(0xbc), 0u8..0x80], 0..60),
            cut in 1usize..8,
        ) {
            let room: Arc<Spill> = Spill::new(1 << 20);
            let mut out = Vec::new();
            write_capture(&mut out, &Capture::of(&room, &data).unwrap()).unwrap();
            let told: Value = serde_json::from_slice(&out).unwrap();
            match &told {
                Value::String(text) => prop_assert_eq!(text.as_bytes(), &data[..]),
                other => {
                    let coded = other["base64"].as_str().unwrap();
                    prop_assert_eq!(BASE64_STANDARD.decode(coded).unwrap(), data.clone());
                }
            }
            let valid = std::str::from_utf8(&data).is_ok();
            prop_assert_eq!(told.is_string(), valid);
            let mut check = Utf8Check::default();
            data.chunks(cut).for_each(|piece| check.push(piece));
            prop_assert_eq!(check.valid(), valid);
        }
    }
}
