//! Commands as jobs: what the worker is told of each, and what can be read from that again.

use bytes::Bytes;
use protocol::{CommandSpec, Encoding, EnvChange, Program, SlotPlace};
use serde_bytes::ByteBuf;

use super::item::{Fields, Item};
use super::job::Runs;
use super::jsonl::{self, BadJson};
use super::refusal::{Place, Refusal, TIP_CR, TIP_MARK, TIP_NUL};
use super::shell::misunderstood;
use super::template::Filled;
use super::work::Recipe;
use crate::run::text;

/// What some editors write at the beginning of a file.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// What a job has beside what its line says.
pub(super) struct Common<'a> {
    pub(super) recipe: &'a Recipe,
    pub(super) seq: u64,
    /// Changes to its environment.
    pub(super) env: Vec<EnvChange>,
}

impl Common<'_> {
    /// The command that runs this program for an item.
    ///
    /// # Errors
    /// When its directory cannot be made; why, in a sentence.
    pub(super) fn spec(self, item: Item<'_>, program: Program) -> Result<CommandSpec, String> {
        let Common {
            recipe,
            seq,
            mut env,
        } = self;
        if let Some(name) = recipe.number_variable {
            env.push(EnvChange {
                name: ByteBuf::from(name),
                value: Some(ByteBuf::from(seq.to_string())),
            });
        }
        let wd = recipe.wd.as_ref();
        Ok(CommandSpec {
            cwd: wd.map(|wd| wd.of(item, seq)).transpose()?,
            stop: recipe.stop.clone(),
            env,
            grace_ms: u64::try_from(recipe.grace.as_millis()).unwrap_or(u64::MAX),
            limits: recipe.limits,
            ..CommandSpec::new(program)
        })
    }
}

pub(super) fn command(
    item: Item<'_>,
    line: &[u8],
    place: &Place<'_>,
    common: Common<'_>,
    program: impl FnOnce() -> (Program, Vec<SlotPlace>),
) -> Result<Bytes, Refusal> {
    if item.is_no_argument() {
        return Err(Refusal {
            what: format!("{place} holds a zero byte: {}", text::quoted(line)),
            place: Vec::new(),
            tip: Some(TIP_NUL),
        });
    }
    let (program, slots) = program();
    let encoded = common.spec(item, program).and_then(|mut spec| {
        spec.slots = slots;
        Encoding::Bincode.encode(&spec).map_err(|e| e.to_string())
    });
    encoded.map_err(|why| Refusal {
        what: format!("{place} is not a job: {why}"),
        place: Vec::new(),
        tip: None,
    })
}

/// The input of a job that a line is all of.
pub(super) fn whole_job(runs: Runs, tasks: bool, mut common: Common<'_>) -> Result<Bytes, BadJson> {
    let command = match (runs, tasks) {
        (Runs::Task(args), true) => return Ok(args),
        (Runs::Command(command), false) => *command,
        (Runs::Task(..), false) => {
            return Err(jsonl::not_a_job(
                "it names a task, and no --worker is given that has one",
            ));
        }
        (Runs::Command(_), true) => {
            return Err(jsonl::not_a_job(
                "it is a command, and the --worker of this run has tasks",
            ));
        }
    };
    if let Program::Shell { text, .. } = &command.program
        && let Some(fault) = misunderstood(text, common.recipe.shell)
    {
        return Err(jsonl::not_a_job(&format!(
            "{}: {}",
            fault.what(),
            fault.tip()
        )));
    }
    common.env.extend(command.env);
    // A directory for items is refused where a job may name its own.
    let spec = common.spec(Item::new(b"", Fields::None), command.program);
    let encoded = spec.and_then(|spec| {
        let spec = CommandSpec {
            cwd: command.cwd,
            stdin: command.stdin,
            ..spec
        };
        Encoding::Bincode.encode(&spec).map_err(|e| e.to_string())
    });
    encoded.map_err(|e| jsonl::not_a_job(&e))
}

/// A line that is a command. What an editor may have left in it would be taken
/// for a part of a word.
pub(super) fn command_line(
    line: &[u8],
    place: &Place<'_>,
    common: Common<'_>,
) -> Result<Bytes, Refusal> {
    // One item may hold several lines.
    let mut lines = line.split(|&byte| byte == b'\n');
    let fault = if place.number == 1 && line.starts_with(BYTE_ORDER_MARK) {
        Some(("begins with a byte-order mark", TIP_MARK))
    } else if lines.any(|line| line.ends_with(b"\r")) {
        Some(("ends with a carriage return", TIP_CR))
    } else {
        None
    };
    if let Some((what, tip)) = fault {
        return Err(Refusal {
            what: format!("{place} {what}: {}", text::quoted(line)),
            place: Vec::new(),
            tip: Some(tip),
        });
    }
    let reader = common.recipe.shell;
    if let Some(fault) = misunderstood(line, reader) {
        return Err(Refusal {
            what: format!("{place}: {}: {}", fault.what(), text::quoted(line)),
            place: Vec::new(),
            tip: Some(fault.tip()),
        });
    }
    let program = || read_by(reader, ByteBuf::from(line), Filled::default());
    command(Item::value(line), line, place, common, program)
}

/// The text with its parameters, for the shell that is to read it.
pub(super) fn read_by(
    reader: Option<&[u8]>,
    text: ByteBuf,
    parameters: Filled,
) -> (Program, Vec<SlotPlace>) {
    let Filled { words, mut slots } = parameters;
    let Some(path) = reader else {
        let args = strings(words);
        return (Program::Shell { text, args }, slots);
    };
    let name = memchr::memrchr(b'/', path).map_or(path, |slash| &path[slash + 1..]);
    let shell = [
        ByteBuf::from(path),
        ByteBuf::from("-c"),
        text,
        ByteBuf::from(name),
    ];
    for slot in &mut slots {
        slot.word = slot.word.saturating_add(4);
    }
    let words = shell.into_iter().chain(strings(words));
    (Program::Argv(words.collect()), slots)
}

pub(super) fn strings(all: Vec<Vec<u8>>) -> Vec<ByteBuf> {
    all.into_iter().map(ByteBuf::from).collect()
}

/// The command of the job of this input in a slot.
pub(crate) fn command_in(input: &Bytes, slot: &[u8]) -> Option<CommandSpec> {
    let mut spec = spec(input)?;
    spec.fill_slots(slot).ok()?;
    Some(spec)
}

/// The command of the job of this input; a task's is none.
pub(crate) fn spec(input: &Bytes) -> Option<CommandSpec> {
    Encoding::Bincode.decode(input).ok()
}

/// What runs for the job of this input.
pub(crate) fn program(input: &Bytes) -> Option<Program> {
    spec(input).map(|spec| spec.program)
}

/// The argument vector of the job of this input, as it is started.
pub(crate) fn argv(input: &Bytes) -> Vec<ByteBuf> {
    match program(input) {
        Some(Program::Argv(argv)) => argv,
        Some(Program::Shell { text, args }) => {
            let shell = ["/bin/sh", "-c"].map(ByteBuf::from).into_iter();
            shell
                .chain([text, ByteBuf::from("sh")])
                .chain(args)
                .collect()
        }
        None => Vec::new(),
    }
}
