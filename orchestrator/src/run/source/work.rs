//! What is done with a line: it fills a command's template or a shell text's
//! parameters, or it is a command itself, or the argument of a task. The outcome is a job for the pool and the [`Ticket`]
//! that stays here, or the reason why the line is no job.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use protocol::command::Command;
use protocol::{Encoding, EnvChange, Limits, Program, SlotPlace, StopStep, Task};
use serde_bytes::ByteBuf;

use super::command::{Common, command, command_line, read_by, strings, whole_job};
use super::directory::Directory;
use super::item::{Fields, Item};
use super::job::{self, Wishes};
use super::jsonl::{self, Shape};
use super::lines::{Content, Delimiter, Line};
use super::origin::Origin;
use super::pipe::Pipe;
use super::pipe::job::prepare_block;
use super::pipe::lanes::Bell;
use super::pipe::window::Block;
use super::refusal::{
    Place, Refusal, TIP_ARGUMENT, TIP_JOB, TIP_RECORD, bad_line, too_long, unfit_for,
};
use super::shell::ShellText;
use super::template::Template;
use super::weight::Lengths;
use crate::run::done::Done;

/// What is done with every line of this run.
#[derive(Clone, Debug)]
pub(crate) enum Work {
    /// Run a command.
    Command(Template),
    /// Run a text with a shell.
    Shell(ShellText),
    /// Run the line itself with a shell.
    Commands,
    /// Do what the line says, a whole job.
    Jobs {
        /// Whether it calls a task of the workers; otherwise it runs a command.
        tasks: bool,
    },
    /// Call a task.
    Task {
        /// Its name. It lives as long as the program: every job has it.
        name: &'static str,
        /// What a line holds.
        shape: Shape,
    },
}

impl Work {
    /// The task that workers are asked for, when it is not the built-in one for
    /// commands.
    pub(crate) fn task(&self) -> Option<&'static str> {
        match self {
            Work::Command(_) | Work::Shell(_) | Work::Commands | Work::Jobs { tasks: false } => {
                None
            }
            // Each job names its own.
            Work::Jobs { tasks: true } => Some(""),
            Work::Task { name, .. } => Some(name),
        }
    }

    /// How long a command line is for these fields, which have a zero byte between each two; nothing
    /// when an item has to be one value.
    pub(crate) fn lengths(&self) -> Option<impl Fn(&[u8]) -> Lengths> {
        if !matches!(self, Work::Command(_) | Work::Shell(_)) {
            return None;
        }
        Some(move |fields: &[u8]| {
            let item = Item::new(fields, Fields::Several);
            match self {
                Work::Command(template) => {
                    let filled = template.fill(item, u64::MAX);
                    let words: Vec<usize> = filled.words.iter().map(Vec::len).collect();
                    let typed = words.iter().map(|length| length + 1).sum();
                    Lengths { typed, words }
                }
                // The shell's own words are few and short.
                Work::Shell(shell) => {
                    let (typed, words) = shell.lengths(item);
                    Lengths {
                        typed: typed + 1,
                        words,
                    }
                }
                Work::Commands | Work::Jobs { .. } | Work::Task { .. } => Lengths::default(),
            }
        })
    }

    /// The program of every job, if it is one and the same.
    pub(crate) fn program(&self) -> Option<&[u8]> {
        match self {
            Work::Command(template) => template.program(),
            _ => None,
        }
    }

    /// The task of every job, and how its input is encoded.
    pub(crate) fn kind(&self) -> (&'static str, Encoding) {
        match self.task() {
            Some(name) => (name, Encoding::Json),
            None => (Command::NAME, Encoding::Bincode),
        }
    }
}

/// What is remembered of a job while the pool has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ticket {
    /// Its place among the jobs of the run, from 1. Every number has exactly
    /// one entry in the output.
    pub(crate) seq: u64,
    /// Its place in the output, when the order is kept: the same, unless others were
    /// done before this run.
    pub(crate) turn: u64,
    /// Its number in the run file; 0 when there is none.
    pub(crate) row: i64,
    /// The line that it comes from, from 1; blank lines count here only.
    pub(crate) line: u64,
    /// What the line says, if that is to be written down when the job has failed.
    pub(crate) item: Option<Bytes>,
    /// The id that the input gave it, as JSON text.
    pub(crate) id: Option<Box<str>>,
    /// What is wanted of this job beside others.
    pub(crate) wishes: Option<Box<Wishes>>,
    /// Size of its input in bytes.
    pub(crate) size: usize,
    /// What is run, if it is a command: its input as the worker gets it, shared
    /// with the pool.
    pub(crate) command: Bytes,
}

impl Ticket {
    /// What ends with it, for whoever feeds the job.
    pub(crate) fn bell(&self) -> Option<&Bell> {
        self.wishes.as_ref()?.bell.as_ref()
    }
}

// Tickets move several times per job; what is larger is moved by a call.
const _: () = assert!(size_of::<Ticket>() <= 128);

/// A line that is no job, and the ticket under which to say so.
pub(crate) type Refused = Box<(Ticket, Refusal)>;

/// What the lines of a run have in common.
#[derive(Clone, Debug)]
pub(crate) struct Recipe {
    /// What is done with each.
    pub(crate) work: Work,
    /// What their bytes are.
    pub(crate) fields: Fields,
    /// What ends them.
    pub(crate) delimiter: Delimiter,
    /// What they are called.
    pub(crate) origin: Origin,
    /// Longest in bytes.
    pub(crate) max_line: u64,
    /// How long a command that was asked to end may take.
    pub(crate) grace: Duration,
    /// How it is made to stop, if that was said.
    pub(crate) stop: Vec<StopStep>,
    /// What a command may use.
    pub(crate) limits: Limits,
    /// The absolute path of the shell that reads texts, if it is not the worker's `/bin/sh`.
    pub(crate) shell: Option<&'static [u8]>,
    /// In which variable a command finds its number, if in any.
    pub(crate) number_variable: Option<&'static str>,
    /// In which directory each command runs, if that depends on its item.
    pub(crate) wd: Option<Directory>,
    /// How the program of all commands was typed, if that is how it is shown.
    pub(crate) typed: Option<&'static [u8]>,
    /// What is done already.
    pub(crate) done: Option<Arc<Done>>,
    /// Whether lines are wanted when their jobs have failed.
    pub(crate) keep_items: bool,
    /// How the input is cut, if it is what commands read.
    pub(crate) pipe: Option<Pipe>,
}

/// Whether this is a blank line that stands for nothing.
pub(super) fn is_blank(work: &Work, line: &Line) -> bool {
    let Some(blanks) = blanks(work) else {
        return false;
    };
    match &line.content {
        Content::Whole(bytes) => bytes.iter().all(|byte| blanks.contains(byte)),
        Content::TooLong { .. } | Content::Unfit(_) => false,
    }
}

/// Lines of these bytes alone are blank, if any are.
pub(super) fn blanks(work: &Work) -> Option<&'static [u8]> {
    match work {
        Work::Command(_) | Work::Shell(_) => None,
        Work::Commands => Some(b" \t\n"),
        Work::Jobs { .. } | Work::Task { .. } => Some(b" \t\n\r"),
    }
}

/// Makes the input of a job of a line, in the encoding of its [`Work::kind`];
/// `None` when a blank line stands for nothing. A command's environment has these
/// changes.
///
/// # Errors
/// When the line is no job.
pub(crate) fn prepare(
    recipe: &Recipe,
    seq: u64,
    line: &Line,
    env: Vec<EnvChange>,
) -> Result<Option<(Ticket, Bytes)>, Refused> {
    if let (Some(_), Content::Whole(block)) = (&recipe.pipe, &line.content) {
        let block = Block::copied(block);
        return prepare_block(recipe, seq, line.number, block, env).map(Some);
    }
    let Recipe {
        ref work, fields, ..
    } = *recipe;
    let mut ticket = Ticket {
        seq,
        turn: seq,
        row: 0,
        item: match &line.content {
            Content::Whole(bytes) if recipe.keep_items => Some(kept(work, bytes)),
            _ => None,
        },
        line: line.number,
        id: None,
        wishes: None,
        size: 0,
        command: Bytes::new(),
    };
    let place = Place {
        origin: &recipe.origin,
        number: line.number,
    };
    let common = Common { recipe, seq, env };
    let made = match (&line.content, work) {
        (Content::TooLong { start, length }, _) => {
            Err(too_long(&place, start, *length, recipe.max_line))
        }
        (Content::Unfit(unfit), _) => Err(unfit_for(unfit)),
        (Content::Whole(bytes), Work::Command(template)) => {
            let item = Item::new(bytes, fields);
            let program = || {
                let filled = template.fill(item, seq);
                (Program::Argv(strings(filled.words)), filled.slots)
            };
            command(item, bytes, &place, common, program).map(Some)
        }
        (Content::Whole(bytes), Work::Shell(shell)) => {
            let item = Item::new(bytes, fields);
            let program = || {
                let (text, filled) = shell.fill(item, seq);
                let text = ByteBuf::from(text.into_owned());
                read_by(recipe.shell, text, filled)
            };
            command(item, bytes, &place, common, program).map(Some)
        }
        (Content::Whole(bytes), Work::Commands) => {
            if is_blank(work, line) {
                return Ok(None);
            }
            command_line(bytes, &place, common).map(Some)
        }
        (Content::Whole(bytes), Work::Jobs { tasks }) => {
            let made = job::parse(bytes).and_then(|job| {
                let Some(job) = job else { return Ok(None) };
                ticket.id = job.id;
                ticket.wishes =
                    Some(Box::new(job.wishes)).filter(|wishes| **wishes != Wishes::default());
                whole_job(job.runs, *tasks, common).map(Some)
            });
            made.map_err(|mut e| {
                ticket.id = e.id.take().or(ticket.id.take());
                bad_line(&place, bytes, TIP_JOB, e)
            })
        }
        (Content::Whole(bytes), Work::Task { shape, .. }) => jsonl::parse(*shape, bytes)
            .map(|parsed| {
                parsed.map(|parsed| {
                    ticket.id = parsed.id;
                    parsed.args
                })
            })
            .map_err(|mut e| {
                ticket.id = e.id.take();
                let tip = match shape {
                    Shape::Argument => TIP_ARGUMENT,
                    Shape::Record => TIP_RECORD,
                };
                bad_line(&place, bytes, tip, e)
            }),
    };
    match made {
        Ok(None) => Ok(None),
        Ok(Some(input)) => {
            ticket.size = input.len();
            if work.task().is_none() {
                ticket.command = input.clone();
            }
            Ok(Some((ticket, input)))
        }
        Err(refusal) => Err(Box::new((ticket, refusal))),
    }
}

/// What runs for a job that no item fills the template of.
pub(super) fn program_without_item(recipe: &Recipe, seq: u64) -> (Program, Vec<SlotPlace>) {
    let item = Item::new(b"", Fields::None);
    match &recipe.work {
        Work::Command(template) => {
            let filled = template.fill(item, seq);
            (Program::Argv(strings(filled.words)), filled.slots)
        }
        Work::Shell(shell) => {
            let (text, filled) = shell.fill(item, seq);
            read_by(recipe.shell, ByteBuf::from(text.into_owned()), filled)
        }
        // The plan has refused them; no program is none to start.
        Work::Commands | Work::Jobs { .. } | Work::Task { .. } => {
            (Program::Argv(Vec::new()), Vec::new())
        }
    }
}

/// A line that is kept until its job has ended.
fn kept(work: &Work, line: &Bytes) -> Bytes {
    match work {
        // Its input is a part of it, and keeps what was read with it anyway.
        Work::Task { .. } | Work::Jobs { tasks: true } => line.clone(),
        // A slow command is not to keep all of that.
        _ => Bytes::copy_from_slice(line),
    }
}

#[cfg(test)]
mod tests;
