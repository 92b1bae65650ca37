//! Why a line is no job, in words.

use std::fmt;

use super::jsonl::BadJson;
use super::lines::{Content, Delimiter, Line, Unfit, Why};
use super::origin::Origin;
use super::work::{Recipe, Work};
use crate::run::text;

/// Why a line is no job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// What is wrong, one line.
    pub(crate) what: String,
    /// The place that is wrong: lines to be shown as they are.
    pub(crate) place: Vec<String>,
    /// What to do about it.
    pub(crate) tip: Option<&'static str>,
}

pub(super) const TIP_ARGUMENT: &str = "give one JSON value per line; to run a command for each plain line instead, \
     put it after `--`";
pub(super) const TIP_RECORD: &str = "a job looks like this: {\"id\": \"a\", \"args\": 40}";
pub(super) const TIP_JOB: &str = "a job looks like this: {\"argv\": [\"gzip\", \"a\"]}, or {\"shell\": \"gzip < a > b\"}; \
     docs/input.md has all fields";
const TIP_TOO_LONG: &str = "raise the limit with --max-line, or pass a file name";
pub(super) const TIP_NUL: &str =
    "no argument can hold one; use -0 if the items are separated by zero bytes";

const TIP_QUOTES: &str =
    "quotes stand around a whole field, and are doubled within: a,\"b \"\"c\"\"\"";
const TIP_NO_ROOM: &str =
    "give fewer or shorter arguments to one command, or raise the limit with -s";

pub(super) const TIP_CR: &str =
    "it would be part of the command (Windows line ends?): tr -d '\\r' < FILE | orchestrator run";
pub(super) const TIP_MARK: &str =
    "it would be part of the command: tail -c +4 FILE | orchestrator run";

const WARNING_CR: &str = "warning: line 1 ends with a carriage return (Windows line ends?), which \
     becomes part of the argument\n  tip: tr -d '\\r' < FILE | orchestrator run …\n";

/// What is wrong with the beginning of the input, though it can be used.
pub(super) fn warning(recipe: &Recipe, line: &Line) -> Option<String> {
    let (Work::Command(_) | Work::Shell(_), Delimiter::Newline, Content::Whole(bytes), 1) =
        (&recipe.work, recipe.delimiter, &line.content, line.number)
    else {
        return None;
    };
    if recipe.origin.unit() != Delimiter::Newline.unit() {
        return None;
    }
    // It would be seen nowhere, and a file of that name would not be found.
    bytes.ends_with(b"\r").then(|| WARNING_CR.to_owned())
}

/// Where a line stands, for a message.
pub(super) struct Place<'a> {
    pub(super) origin: &'a Origin,
    pub(super) number: u64,
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.origin.item(self.number))
    }
}

pub(super) fn too_long(place: &Place<'_>, start: &[u8], length: u64, limit: u64) -> Refusal {
    if length == 0 {
        return Refusal {
            what: format!("{place} was no item, and is not recorded"),
            place: Vec::new(),
            tip: Some(TIP_TOO_LONG),
        };
    }
    Refusal {
        what: format!(
            "{place} is longer than the limit of {} ({})",
            text::size(limit),
            text::counted(length, "byte")
        ),
        place: vec![format!("it begins with {}", text::quoted(start))],
        tip: Some(TIP_TOO_LONG),
    }
}

pub(super) fn unfit_for(unfit: &Unfit) -> Refusal {
    let tip = match unfit.why {
        Why::TooLong => TIP_TOO_LONG,
        Why::ZeroByte => TIP_NUL,
        Why::Quotes => TIP_QUOTES,
        Why::NoRoom => TIP_NO_ROOM,
    };
    Refusal {
        what: unfit.what.clone(),
        place: Vec::new(),
        tip: Some(tip),
    }
}

pub(super) fn bad_line(
    place: &Place<'_>,
    line: &[u8],
    tip: &'static str,
    error: BadJson,
) -> Refusal {
    let margin = format!("{} | ", place.number);
    let indent = " ".repeat(margin.len() - 2);
    let (shown, caret) = text::excerpt(line, error.column.unwrap_or(1));
    let mut lines = vec![format!("{margin}{shown}")];
    let what = match error.column {
        Some(column) => {
            lines.push(format!("{indent}| {}^", " ".repeat(caret)));
            let what = error.what;
            format!("{place} is not valid JSON: {what} at column {column}")
        }
        None => format!("{place} is not a job: {}", error.what),
    };
    Refusal {
        what,
        place: lines,
        tip: Some(tip),
    }
}
