//! Shell text on the command line, and commands on standard input.

use super::args::{InputArg, WorkerArgs};
use super::errors::Message;
use crate::run::source::place::Places;
use crate::run::source::shell::{Dialect, Fault, ShellText};
use crate::run::source::work::Work;
use crate::run::text::{excerpt, quoted};

/// What `-c TEXT` asks for, with how places are written and which shell reads it.
///
/// # Errors
/// When it does not go together with other arguments, or when the line would
/// not stay data in the text.
pub(super) fn text(
    text: &[u8],
    task: Option<&str>,
    input: InputArg,
    words: &[Vec<u8>],
    (places, dialect): (&Places, Dialect),
    like_gnu: bool,
) -> Result<Work, Message> {
    if task.is_some() {
        return Err(Message::new("-c and --task exclude each other")
            .tip("to run the text for each line, leave out --task")
            .tip("to give each line to a task, leave out -c"));
    }
    if let Some(first) = words.first() {
        return Err(Message::new(format!(
            "-c and a command exclude each other: {}",
            quoted(first)
        ))
        .tip("the text is one word: put all of it in quotes behind -c")
        .tip("items come from standard input, one per line, or stand behind `:::`"));
    }
    if input == InputArg::Jsonl {
        let what = "-c and --input jsonl exclude each other: each object says what runs";
        return Err(Message::new(what)
            .tip("a job looks like this: {\"shell\": \"sort < a\"}")
            .tip("to give the arguments to a task, name it with --task instead of -c"));
    }
    let parsed = match like_gnu {
        true => ShellText::parse_adding(text, places, dialect),
        false => ShellText::parse(text, places, dialect),
    };
    parsed
        .map(Work::Shell)
        .map_err(|fault| refused(text, &fault, like_gnu))
}

/// Whether the shell that reads a text knows all that stands in it.
///
/// # Errors
/// When it would take something for something else, and say nothing.
pub(super) fn understood(
    text: &[u8],
    parsed: &ShellText,
    shell: Option<&[u8]>,
    like_gnu: bool,
) -> Result<(), Message> {
    match parsed.misunderstood_by(shell) {
        Some(fault) => Err(refused(text, fault, like_gnu)),
        None => Ok(()),
    }
}

/// What is asked for by no command at all: the lines are the commands.
///
/// # Errors
/// When a task was forgotten: its arguments must not be run as commands.
pub(super) fn commands(worker: &WorkerArgs, input: InputArg) -> Result<Work, Message> {
    if input == InputArg::Jsonl {
        return Ok(Work::Jobs {
            tasks: worker.worker.is_some(),
        });
    }
    if worker.worker.is_some() {
        return Err(
            Message::new("nothing to do with the lines: a worker is named, but no task")
                .tip("to give each line to a task of the worker: --task NAME")
                .tip("to run lines that are commands, leave out --worker"),
        );
    }
    Ok(Work::Commands)
}

/// What is wrong with a text, with a caret under the place.
fn refused(text: &[u8], fault: &Fault, like_gnu: bool) -> Message {
    let message = Message::new(fault.what());
    let message = match fault.column() {
        Some(column) => {
            let (shown, caret) = excerpt(text, column);
            message
                .fact(format!("| {shown}"))
                .fact(format!("| {}^", " ".repeat(caret)))
        }
        None => message,
    };
    // There, a text without places gets one.
    if like_gnu && fault.is_for_parameter() {
        return message.tip("`orchestrator run -c` takes the text with \"$1\" instead of {}");
    }
    let message = message.tip(fault.tip());
    if !fault.is_of_shell() {
        return message;
    }
    message.tip(match like_gnu {
        true => "or name a shell that knows it: PARALLEL_SHELL=bash",
        false => "or name a shell that knows it: --shell bash",
    })
}
