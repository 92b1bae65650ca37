//! What a job printed, as one piece: its stdout to stdout, its stderr to
//! stderr. Nothing is added but one line on stderr when a job ended in a way
//! that its own output cannot tell.

use std::io;

use protocol::{TaskError, TaskErrorKind};

use super::command_line::{self, Setting};
use super::render::{Format, Page, Renderer, Told};
use super::shown;
use crate::pool::{Capture, EventKind, JobReport};
use crate::run::halt::What;
use crate::run::source::work::Ticket;
use crate::run::text;
use crate::scheduler::Verdict;

/// Renders a job's end as what it printed.
pub(super) fn render(
    renderer: &Renderer,
    ticket: &Ticket,
    report: JobReport,
    out: &mut Page,
) -> io::Result<Told> {
    if !renderer.manner.is_plain() {
        return shown::render(renderer, ticket, report, out);
    }
    let complaint = complaint(renderer, ticket, &report);
    Ok(Told {
        printed: report.stdout,
        err: with_line(renderer, report.stderr, complaint)?,
        ..Told::default()
    })
}

/// Adds a line of ours behind what a job printed.
pub(in crate::run) fn with_line(
    renderer: &Renderer,
    mut printed: Capture,
    line: Option<String>,
) -> io::Result<Capture> {
    let Some(line) = line else {
        return Ok(printed);
    };
    let mut last = None;
    printed.for_each(|piece| {
        last = piece.last().copied().or(last);
        Ok(())
    })?;
    if last.is_some_and(|byte| byte != b'\n') {
        printed.push(&renderer.room, b"\n")?;
    }
    printed.push(&renderer.room, format!("{line}\n").as_bytes())?;
    Ok(printed)
}

/// The line for an attempt that failed, when another one follows.
pub(in crate::run) fn retry_line(
    renderer: &Renderer,
    ticket: &Ticket,
    event: &EventKind,
) -> Option<String> {
    let EventKind::JobRetried {
        verdict,
        error,
        attempts,
        pause,
        ..
    } = event
    else {
        return None;
    };
    if renderer.terse {
        return None;
    }
    let what = sentence(renderer, ticket, *verdict, error.as_deref());
    let pause = text::duration(*pause);
    Some(format!(
        "warning: {what}; attempt {} follows in {pause}",
        attempts + 1
    ))
}

/// What GNU parallel says of an end that `--halt` counts, and of no other.
pub(in crate::run) fn counted(what: What, ticket: &Ticket, setting: Setting) -> String {
    let ended = match what {
        What::Fail => "failed",
        What::Success => "succeeded",
        What::Done => "finished",
    };
    let command = command_line::line(&ticket.command, setting);
    let command = text::escaped(&command);
    format!("parallel: This job {ended}:\n{command}")
}

/// What GNU parallel says when `--halt soon` has seen enough.
pub(in crate::run) fn waited_for(jobs: usize) -> String {
    format!("parallel: Starting no more jobs. Waiting for {jobs} jobs to finish.\n")
}

/// The line for an end that does not speak for itself: not by its own output,
/// as a command that gives a status, and not by the entry on stdout, as a task
/// whose error stands there.
pub(super) fn complaint(
    renderer: &Renderer,
    ticket: &Ticket,
    report: &JobReport,
) -> Option<String> {
    let (verdict, error, attempts) = (report.verdict, report.error.as_deref(), report.attempts);
    match verdict {
        Verdict::Ok => return None,
        Verdict::Failed(_) if renderer.format != Format::Value => return None,
        // What has ended these has been told, or is known to whoever did it.
        Verdict::Signaled(_) | Verdict::Interrupted if renderer.terse => return None,
        // The summary says it for all of them.
        Verdict::Interrupted | Verdict::Cancelled if attempts == 0 => return None,
        _ => {}
    }
    Some(format!(
        "error: {}",
        sentence(renderer, ticket, verdict, error)
    ))
}

/// Which line of the input has ended how.
pub(in crate::run) fn sentence(
    renderer: &Renderer,
    ticket: &Ticket,
    verdict: Verdict,
    error: Option<&TaskError>,
) -> String {
    let id = ticket.id.as_deref();
    let id = id.map(|id| format!(" (id {})", text::escaped(id.as_bytes())));
    let place = format!(
        "{} {}{}",
        renderer.origin.unit(),
        ticket.line,
        id.unwrap_or_default(),
    );
    let predicate = predicate(verdict, error);
    // The reason is a sentence of its own, which names the task.
    if verdict == Verdict::Rejected && error.is_some() {
        return format!("{place}: {predicate}");
    }
    let (subject, what) = match renderer.task(ticket) {
        Some(task) => (format!("task {}", text::quoted(task)), String::new()),
        None => {
            let command = command_line::name(&ticket.command, renderer.typed);
            let command = command.map(|shown| format!(": {shown}"));
            ("command".into(), command.unwrap_or_default())
        }
    };
    format!("{place}: {subject} {predicate}{what}")
}

/// What happened, with the reason if there is one; of a job that was rejected
/// the reason alone.
pub(super) fn predicate(verdict: Verdict, error: Option<&TaskError>) -> String {
    let said = error.map(|e| text::escaped(e.to_string().as_bytes()));
    match (verdict, said) {
        (Verdict::Signaled(signal), said) => {
            let reason = said.map(|said| format!(": {said}"));
            let signal = text::signal(signal);
            format!("was ended by {signal}{}", reason.unwrap_or_default())
        }
        (Verdict::SpawnError(errno), None) => {
            format!("could not be started: {}", text::errno(errno))
        }
        (Verdict::SpawnError(_), Some(said)) => format!("could not be started: {said}"),
        // "panicked: …" is a predicate already.
        (Verdict::Failed(_), Some(said))
            if error.is_some_and(|e| e.kind == TaskErrorKind::Panic) =>
        {
            said
        }
        (Verdict::Failed(_), Some(said)) => format!("failed: {said}"),
        (Verdict::Rejected, Some(said)) => said,
        (Verdict::Crashed, Some(said)) => format!("crashed: {said}"),
        (Verdict::Quarantined, Some(said)) => {
            format!("has crashed so often that it is not tried again: {said}")
        }
        (Verdict::Timeout, Some(said)) => format!("timed out {said}"),
        (verdict, Some(said)) => format!("{verdict}: {said}"),
        (verdict, None) => verdict.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::render::tests::{renderer, report, shown, ticket};
    use super::*;

    fn text(verdict: Verdict, out: &[u8], err: &[u8]) -> (String, String) {
        let renderer = renderer(Format::Text, None);
        let report = report(&renderer, verdict, out, err);
        let ticket = ticket(&[b"/bin/x", b"a\x1b b"]);
        shown(&renderer, &ticket, report)
    }

    #[test]
    fn output_is_passed_on_unchanged() {
        assert_eq!(
            text(Verdict::Ok, b"a\nb", b"c"),
            ("a\nb".into(), "c".into())
        );
        assert_eq!(
            text(Verdict::Failed(3), b"", b"no\n"),
            (String::new(), "no\n".into())
        );
    }

    #[test]
    fn ends_that_are_silent_get_a_line() {
        let (out, err) = text(Verdict::Signaled(11), b"half", b"half");
        assert_eq!(out, "half");
        assert_eq!(
            err,
            "half\nerror: line 4: command was ended by SIGSEGV: `/bin/x 'a\\u{1b} b'`\n"
        );
        let (_, err) = text(Verdict::SpawnError(13), b"", b"");
        assert_eq!(
            err,
            "error: line 4: command could not be started: permission denied: \
             `/bin/x 'a\\u{1b} b'`\n"
        );
    }

    #[test]
    fn reasons_are_given() {
        let error = TaskError {
            kind: TaskErrorKind::Panic,
            location: Some("a.rs:1:2".into()),
            ..TaskError::new("boom")
        };
        let said = |verdict| predicate(verdict, Some(&error));
        assert_eq!(said(Verdict::Failed(101)), "panicked: boom (at a.rs:1:2)");
        let error = TaskError::new("input of task `fib` cannot be decoded: x");
        assert_eq!(
            predicate(Verdict::Rejected, Some(&error)),
            "input of task `fib` cannot be decoded: x"
        );
        let error = TaskError::new("its worker was killed by SIGKILL");
        assert_eq!(
            predicate(Verdict::Crashed, Some(&error)),
            "crashed: its worker was killed by SIGKILL"
        );
        assert_eq!(
            predicate(Verdict::Failed(1), Some(&error)),
            "failed: its worker was killed by SIGKILL"
        );
        let error = TaskError::new("it has used up its CPU time of 2s");
        assert_eq!(
            predicate(Verdict::Signaled(24), Some(&error)),
            "was ended by SIGXCPU: it has used up its CPU time of 2s"
        );
    }
}
