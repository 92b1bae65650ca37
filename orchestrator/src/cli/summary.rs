//! What a person is told when a run is over, and what can be done next.

use std::io::{self, IsTerminal};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::args::SummaryArg;
use super::main::say;
use super::plan::Plan;
use crate::run::batch::{Failure, Outcome};
use crate::run::recap::{self, Ended, Next};
use crate::run::runfile::{History, Remembered};
use crate::run::screen;
use crate::run::sink::command_line;
use crate::run::sink::writer::WriteError;
use crate::run::text;

/// In a log, our lines must be found among those of the jobs.
fn prefix() -> &'static str {
    if io::stderr().is_terminal() {
        ""
    } else {
        "orchestrator: "
    }
}

/// Tells what a run came to, and what can be done next.
pub(super) fn tell(plan: &Plan, outcome: &Outcome, stopped: bool, next: &[Next]) {
    let form = plan.told.summary;
    let summary = &outcome.summary;
    let failure = outcome.failure.as_ref();
    // Where something was done, what was done is worth telling; where results
    // went nowhere, it would only look like success.
    let is_worth_it = match failure {
        None => true,
        Some(Failure::Read(_) | Failure::Changed(_) | Failure::TooLarge(_) | Failure::Pool(_)) => {
            summary.jobs() > 0
        }
        Some(_) => false,
    };
    match form {
        SummaryArg::None => {}
        SummaryArg::Json => {
            let ended = Ended {
                whole: outcome.whole,
                stopped,
                failure: failure.map(Failure::word),
            };
            say(&format!("{}\n", recap::json(summary, ended, next)));
        }
        SummaryArg::Line if !is_worth_it => {}
        _ if !is_worth_it => say(&recap::steps(next, screen::columns())),
        SummaryArg::Auto | SummaryArg::Full | SummaryArg::Line => {
            let prefix = prefix();
            let line = match stopped && failure.is_none() {
                true => summary.stopped_line(),
                false => summary.line(),
            };
            let columns = screen::columns();
            let mut told = String::new();
            for line in summary.resumed_line().into_iter().chain([line]) {
                told += &recap::headline(&format!("{prefix}{line}"), columns);
            }
            if form != SummaryArg::Line {
                told += &recap::lines(summary, next, form == SummaryArg::Full, columns);
            }
            say(&told);
        }
    }
}

/// Where a run was recorded.
#[derive(Clone, Debug)]
pub(super) enum Where {
    /// In a run file.
    File(PathBuf),
    /// In the light record that its jobs came from.
    Light(PathBuf),
    /// In a light record of its own, if in any.
    Own,
}

/// What can be done next, after a run that was recorded there.
pub(super) fn next(outcome: &Outcome, place: &Where, history: Option<&History>) -> Vec<Next> {
    if let Some(failure) = &outcome.failure {
        return next_after(failure, outcome.summary.again, place);
    }
    let summary = &outcome.summary;
    let open = summary.interrupted + summary.lost;
    match (place, &summary.remembered) {
        (Where::File(file), _) => next_with_file(outcome, &quoted(file)),
        (Where::Light(path), _) => next_with_record((summary.all_failed(), open), path, 0, history),
        (Where::Own, Some(Remembered { path, dropped })) => {
            next_with_record((summary.failed, open), path, *dropped, history)
        }
        (Where::Own, None) => Vec::new(),
    }
}

fn step(command: String, what: impl Into<String>) -> Next {
    Next {
        command: Some(command),
        what: what.into(),
    }
}

/// After the run itself has failed. What is in a run file is safe; of another run, nobody knows
/// which results were seen.
fn next_after(failure: &Failure, again: bool, place: &Where) -> Vec<Next> {
    let Where::File(file) = place else {
        return Vec::new();
    };
    match failure {
        Failure::Write(WriteError::Closed)
        | Failure::UnknownTask { .. }
        | Failure::Changed(_)
        // It says so itself.
        | Failure::RunFile(_)
        | Failure::Bug(_) => Vec::new(),
        _ if again => vec![step(format!("orchestrator resume {}", quoted(file)), "go on")],
        _ => vec![with_resume()],
    }
}

fn with_resume() -> Next {
    Next {
        command: None,
        what: "the same command and input, with --resume, goes on".into(),
    }
}

fn next_with_file(outcome: &Outcome, name: &str) -> Vec<Next> {
    let summary = &outcome.summary;
    let mut next = Vec::new();
    if summary.all_failed() > 0 {
        next.push(step(
            format!("orchestrator report {name}"),
            "which have failed, and why",
        ));
    }
    if summary.interrupted > 0 && outcome.whole {
        next.push(step(format!("orchestrator resume {name}"), "go on"));
    } else if !outcome.whole {
        next.push(with_resume());
    } else if summary.all_failed() > 0 {
        next.push(step(
            format!("orchestrator retry --failed {name}"),
            "run those again",
        ));
    }
    next
}

/// After so many jobs have failed or were not done, and some are in no record.
fn next_with_record(
    (failed, open): (u64, u64),
    path: &Path,
    dropped: u64,
    history: Option<&History>,
) -> Vec<Next> {
    let what = match (failed, open) {
        (0, 0) => return Vec::new(),
        (_, 0) => "run those again",
        (0, _) => "run what was not done",
        (_, _) => "run what has failed or was not done",
    };
    let but = match dropped {
        0 => String::new(),
        _ => format!(
            ", but for {} that the record had no room for",
            text::counted(dropped, "job")
        ),
    };
    // Another run may have begun meanwhile.
    let is_last = history.is_some_and(|history| history.last().as_deref() == Some(path));
    let name = match is_last {
        true => "last".to_owned(),
        false => quoted(path),
    };
    let mut next = Vec::new();
    if failed > 0 {
        next.push(step(
            format!("orchestrator report {name}"),
            "which have failed, and why",
        ));
    }
    next.push(step(
        format!("orchestrator retry {name}"),
        format!("{what}{but}"),
    ));
    next
}

/// A path as a shell reads it, fit for a terminal.
pub(super) fn quoted(path: &Path) -> String {
    let mut word = Vec::new();
    command_line::quote(path.as_os_str().as_bytes(), &mut word);
    text::escaped(&word)
}
