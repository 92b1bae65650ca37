//! Where a run is recorded, and in what words.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use super::super::args::{InputArg, WorkerArgs};
use crate::run::runfile::{Access, History, LightRequest, Purpose, Request};

/// Where a run is to be recorded.
#[derive(Clone, Debug)]
pub(crate) enum Record {
    /// Nowhere.
    Nothing,
    /// In the state directory, what does not succeed.
    Light(LightRequest),
    /// In a run file.
    File(Request),
}

impl Record {
    /// Whether jobs come from there, and no input is read.
    pub(crate) fn is_input(&self) -> bool {
        matches!(self, Record::File(request) if matches!(request.access, Access::Again(_)))
    }
}

/// Where it is recorded.
pub(super) fn record(
    run_file: Option<PathBuf>,
    (resume, force, at_most_once): (bool, bool, bool),
    history: Option<&History>,
    purpose: &Purpose,
) -> Record {
    match (run_file, history) {
        (Some(path), _) => Record::File(Request {
            path,
            access: if resume {
                Access::Resume
            } else {
                Access::Begin
            },
            force,
            purpose: purpose.clone(),
            arguments: Vec::new(),
            at_most_once,
            light: false,
        }),
        (None, Some(history)) => Record::Light(LightRequest {
            history: history.clone(),
            purpose: purpose.clone(),
            arguments: Vec::new(),
        }),
        (None, None) => Record::Nothing,
    }
}

/// What is done with every line, in the words that say so.
pub(super) fn purpose(
    worker: &WorkerArgs,
    shell_command: Option<&OsStr>,
    task: Option<&str>,
    input: InputArg,
    pipe: bool,
    words: &[Vec<u8>],
) -> Vec<Vec<u8>> {
    let mut all: Vec<Vec<u8>> = Vec::new();
    let mut add = |word: &OsStr| all.push(word.as_bytes().to_vec());
    if let Some(program) = &worker.worker {
        add("--worker".as_ref());
        add(program);
        for arg in &worker.worker_arg {
            add("--worker-arg".as_ref());
            add(arg);
        }
    }
    if pipe {
        add("--pipe".as_ref());
    }
    if let Some(task) = task {
        add("--task".as_ref());
        add(task.as_ref());
        if input == InputArg::Jsonl {
            add("--input".as_ref());
            add("jsonl".as_ref());
        }
    } else if let Some(text) = shell_command {
        add("-c".as_ref());
        add(text);
    } else if !words.is_empty() {
        add("--".as_ref());
        words.iter().for_each(|word| add(OsStr::from_bytes(word)));
    } else if input == InputArg::Jsonl {
        add("--input".as_ref());
        add("jsonl".as_ref());
    }
    all
}
