//! How workers are started.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use super::super::args::WorkerArgs;
use super::super::errors::{Message, WorkerName};
use super::super::program::Lookup;
use super::super::words;
use crate::pool::Launch;
use crate::run::text;

/// How the workers are started.
///
/// # Errors
/// When there is no such program.
pub(crate) fn launch(args: WorkerArgs, lookup: &Lookup) -> Result<(Launch, WorkerName), Message> {
    let Some(program) = args.worker else {
        // The file that is running now, even if another one has taken its
        // place meanwhile: no two versions in one run.
        let launch = Launch {
            args: vec!["worker".into()],
            name: "orchestrator worker".into(),
            ..Launch::program("/proc/self/exe")
        };
        return Ok((launch, WorkerName::Stock));
    };
    let (path, mut words) = match lookup.find("worker", &program) {
        Ok(path) => (path, Vec::new()),
        // A path may have spaces in it, so it comes first.
        Err(message) => match command_line(&program)? {
            Some((program, words)) => (lookup.find("worker", &program)?, words),
            None => return Err(message),
        },
    };
    words.extend(args.worker_arg);
    let name = program.to_string_lossy().into_owned();
    let launch = Launch {
        args: words,
        name: name.clone(),
        ..Launch::program(path)
    };
    Ok((launch, WorkerName::Named(name)))
}

/// The program and the arguments of a worker that are given as one word; nothing when
/// there are no arguments in it.
///
/// # Errors
/// When a quote has no end.
fn command_line(word: &OsStr) -> Result<Option<(OsString, Vec<OsString>)>, Message> {
    let Some(words) = words::split(word.as_bytes()) else {
        let shown = text::quoted(word.as_bytes());
        return Err(Message::new(format!(
            "worker {shown} has a quote or a backslash without an end"
        )));
    };
    let mut words = words.into_iter().map(OsString::from_vec);
    let program = words.next();
    let args: Vec<OsString> = words.collect();
    Ok(program
        .filter(|_| !args.is_empty())
        .map(|program| (program, args)))
}
