//! What is done with every line: a command, a text, or a task.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use super::super::args::template::TemplateArgs;
use super::super::args::{InputArg, WorkerArgs};
use super::super::errors::Message;
use super::super::program::Lookup;
use super::super::shell;
use super::template;
use super::work::work;
use crate::run::source::place::Places;
use crate::run::source::work::Work;

/// The options and words that say so.
#[derive(Clone, Copy, Debug)]
pub(super) struct Called<'a> {
    pub(super) worker: &'a WorkerArgs,
    pub(super) shell_command: Option<&'a OsStr>,
    pub(super) task: Option<&'a str>,
    pub(super) input: InputArg,
    pub(super) words: &'a [Vec<u8>],
}

impl Called<'_> {
    /// The same in the words that a record has of it.
    pub(super) fn purpose(self, pipe: bool) -> Vec<Vec<u8>> {
        let Called {
            worker,
            shell_command,
            task,
            input,
            words,
        } = self;
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

    /// The work, and the shell that reads its text, if it is not the workers' own.
    ///
    /// # Errors
    /// When two of them are named, or none, or what is named is not there or cannot be understood.
    pub(super) fn work(
        self,
        args: &TemplateArgs,
        places: &Places,
        lookup: &Lookup,
        like_gnu: bool,
    ) -> Result<(Work, Option<&'static [u8]>), Message> {
        let text = self.shell_command.map(OsStrExt::as_bytes);
        let is_input = text.is_none() && self.task.is_none() && self.words.is_empty();
        let reads = match text {
            Some(_) => template::Reads::Text,
            None if is_input && self.input != InputArg::Jsonl => template::Reads::Commands,
            None => template::Reads::Nothing,
        };
        let shell = template::shell(args, reads, lookup)?;
        let work = match text {
            Some(text) => {
                let how = (places, template::dialect(shell));
                shell::text(text, self.task, self.input, self.words, how, like_gnu)?
            }
            None if is_input => shell::commands(self.worker, self.input)?,
            None => work(self.task, self.input, self.words, places, lookup)?,
        };
        if let (Work::Shell(parsed), Some(text)) = (&work, text) {
            shell::understood(text, parsed, shell, like_gnu)?;
        }
        Ok((work, shell))
    }
}
