//! What is done with a line: it fills a command's template or a shell text's
//! parameters, or it is a command itself, or the argument of a task. The outcome is a job for the pool and the [`Ticket`]
//! that stays here, or the reason why the line is no job.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use protocol::command::Command;
use protocol::{CommandSpec, Encoding, EnvChange, Limits, Program, SlotPlace, StopStep, Task};
use serde_bytes::ByteBuf;

use super::item::{Fields, Item};
use super::job::{self, Runs, Wishes};
use super::jsonl::{self, BadJson, Shape};
use super::lines::{Content, Delimiter, Line, Unfit, Why};
use super::origin::Origin;
use super::pipe::Pipe;
use super::pipe::job::prepare_block;
use super::pipe::lanes::Bell;
use super::pipe::window::Block;
use super::shell::ShellText;
use super::template::{Filled, Template};
use crate::run::text;

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

    /// How long the words are that a command gets for these fields, which have a zero byte
    /// between each two; nothing when an item has to be one value.
    pub(crate) fn lengths(&self) -> Option<impl Fn(&[u8]) -> Vec<usize>> {
        if !matches!(self, Work::Command(_) | Work::Shell(_)) {
            return None;
        }
        Some(move |fields: &[u8]| {
            let item = Item::new(fields, Fields::Several);
            let (text, filled) = match self {
                Work::Command(template) => (None, template.fill(item, u64::MAX)),
                Work::Shell(shell) => {
                    let (text, filled) = shell.fill(item, u64::MAX);
                    (Some(text.len()), filled)
                }
                Work::Commands | Work::Jobs { .. } | Work::Task { .. } => return Vec::new(),
            };
            // The shell's own words are few and short.
            let words = filled.words.iter().map(Vec::len);
            text.into_iter().chain(words).collect()
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
    /// What ends with it, for whoever feeds the job.
    pub(crate) bell: Option<Bell>,
}

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

const TIP_ARGUMENT: &str = "give one JSON value per line; to run a command for each plain line instead, \
     put it after `--`";
const TIP_RECORD: &str = "a job looks like this: {\"id\": \"a\", \"args\": 40}";
const TIP_JOB: &str = "a job looks like this: {\"argv\": [\"gzip\", \"a\"]}, or {\"shell\": \"gzip < a > b\"}; \
     docs/input.md has all fields";
const TIP_TOO_LONG: &str = "raise the limit with --max-line, or pass a file name";
const TIP_NUL: &str = "no argument can hold one; use -0 if the items are separated by zero bytes";

const TIP_QUOTES: &str =
    "quotes stand around a whole field, and are doubled within: a,\"b \"\"c\"\"\"";
const TIP_NO_ROOM: &str =
    "give fewer or shorter arguments to one command, or raise the limit with -s";

const TIP_CR: &str =
    "it would be part of the command (Windows line ends?): tr -d '\\r' < FILE | orchestrator run";
const TIP_MARK: &str = "it would be part of the command: tail -c +4 FILE | orchestrator run";

/// What some editors write at the beginning of a file.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

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
        ref work,
        fields,
        ref origin,
        delimiter: _,
        max_line: limit,
        grace,
        ref stop,
        limits,
        shell: reader,
        keep_items,
        pipe: _,
    } = *recipe;
    let mut ticket = Ticket {
        seq,
        turn: seq,
        row: 0,
        item: match &line.content {
            Content::Whole(bytes) if keep_items => Some(kept(work, bytes)),
            _ => None,
        },
        line: line.number,
        id: None,
        wishes: None,
        size: 0,
        command: Bytes::new(),
        bell: None,
    };
    let place = Place {
        origin,
        number: line.number,
    };
    let made = match (&line.content, work) {
        (Content::TooLong { start, length }, _) => Err(too_long(&place, start, *length, limit)),
        (Content::Unfit(unfit), _) => Err(unfit_for(unfit)),
        (Content::Whole(bytes), Work::Command(template)) => {
            let item = Item::new(bytes, fields);
            let program = || {
                let filled = template.fill(item, seq);
                (Program::Argv(strings(filled.words)), filled.slots)
            };
            command(item, bytes, &place, ((grace, stop), limits, env), program).map(Some)
        }
        (Content::Whole(bytes), Work::Shell(shell)) => {
            let item = Item::new(bytes, fields);
            let program = || {
                let (text, filled) = shell.fill(item, seq);
                let text = ByteBuf::from(text.into_owned());
                read_by(reader, text, filled)
            };
            command(item, bytes, &place, ((grace, stop), limits, env), program).map(Some)
        }
        (Content::Whole(bytes), Work::Commands) => {
            if is_blank(work, line) {
                return Ok(None);
            }
            command_line(bytes, reader, &place, ((grace, stop), limits, env)).map(Some)
        }
        (Content::Whole(bytes), Work::Jobs { tasks }) => {
            let made = job::parse(bytes).and_then(|job| {
                let Some(job) = job else { return Ok(None) };
                ticket.id = job.id;
                ticket.wishes =
                    Some(Box::new(job.wishes)).filter(|wishes| **wishes != Wishes::default());
                whole_job(job.runs, *tasks, ((grace, stop), limits, env)).map(Some)
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

/// Where a line stands, for a message.
struct Place<'a> {
    origin: &'a Origin,
    number: u64,
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.origin.item(self.number))
    }
}

/// What the commands of all lines have in common: how they stop, limits, and
/// environment.
type Common<'a> = ((Duration, &'a [StopStep]), Limits, Vec<EnvChange>);

fn command(
    item: Item<'_>,
    line: &[u8],
    place: &Place<'_>,
    ((grace, stop), limits, env): Common<'_>,
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
    let spec = CommandSpec {
        slots,
        stop: stop.to_vec(),
        env,
        grace_ms: u64::try_from(grace.as_millis()).unwrap_or(u64::MAX),
        limits,
        ..CommandSpec::new(program)
    };
    Encoding::Bincode.encode(&spec).map_err(|e| Refusal {
        what: format!("{place} is not a job: {e}"),
        place: Vec::new(),
        tip: None,
    })
}

/// The input of a job that a line is all of.
fn whole_job(
    runs: Runs,
    tasks: bool,
    ((grace, stop), limits, mut env): Common<'_>,
) -> Result<Bytes, BadJson> {
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
    env.extend(command.env);
    let spec = CommandSpec {
        stop: stop.to_vec(),
        env,
        cwd: command.cwd,
        stdin: command.stdin,
        grace_ms: u64::try_from(grace.as_millis()).unwrap_or(u64::MAX),
        limits,
        ..CommandSpec::new(command.program)
    };
    let encoded = Encoding::Bincode.encode(&spec);
    encoded.map_err(|e| jsonl::not_a_job(&e.to_string()))
}

/// A line that is a command. What an editor may have left in it would be taken
/// for a part of a word.
fn command_line(
    line: &[u8],
    reader: Option<&[u8]>,
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
    let program = || read_by(reader, ByteBuf::from(line), Filled::default());
    command(Item::value(line), line, place, common, program)
}

/// The text with its parameters, for the shell that is to read it.
fn read_by(reader: Option<&[u8]>, text: ByteBuf, parameters: Filled) -> (Program, Vec<SlotPlace>) {
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

fn strings(all: Vec<Vec<u8>>) -> Vec<ByteBuf> {
    all.into_iter().map(ByteBuf::from).collect()
}

fn too_long(place: &Place<'_>, start: &[u8], length: u64, limit: u64) -> Refusal {
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

fn unfit_for(unfit: &Unfit) -> Refusal {
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

fn bad_line(place: &Place<'_>, line: &[u8], tip: &'static str, error: BadJson) -> Refusal {
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

/// What the job of this input runs in a slot.
pub(crate) fn command_in(input: &Bytes, slot: &[u8]) -> Option<Program> {
    let mut spec: CommandSpec = Encoding::Bincode.decode(input).ok()?;
    spec.fill_slots(slot).ok()?;
    Some(spec.program)
}

/// What runs for the job of this input.
pub(crate) fn program(input: &Bytes) -> Option<Program> {
    let spec: CommandSpec = Encoding::Bincode.decode(input).ok()?;
    Some(spec.program)
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

/// The command of the job of this input, for a message: the words in quotes; of
/// a shell text also the line that it is run for. A task's input is none.
pub(crate) fn shown(input: &Bytes) -> Option<String> {
    match program(input)? {
        Program::Shell { text: said, args } => {
            let line = args.first();
            let line = line.map(|line| format!(" for {}", text::quoted(line)));
            Some(format!(
                "{}{}",
                text::quoted(said),
                line.unwrap_or_default()
            ))
        }
        Program::Argv(argv) => {
            let words: Vec<&[u8]> = argv.iter().map(|word| &word[..]).collect();
            Some(text::quoted(words.join(&b' ')))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::place::Places;
    use super::*;

    fn several() -> Places {
        Places {
            several: true,
            ..Places::default()
        }
    }

    fn line(number: u64, bytes: &'static [u8]) -> Line {
        Line {
            number,
            content: Content::Whole(Bytes::from_static(bytes)),
        }
    }

    fn recipe(work: &Work) -> Recipe {
        Recipe {
            work: work.clone(),
            fields: Fields::One,
            delimiter: Delimiter::Newline,
            origin: Origin::stdin(Delimiter::Newline),
            max_line: 1 << 20,
            grace: Duration::from_millis(1_500),
            stop: vec![StopStep {
                signal: 2,
                wait_ms: 7,
            }],
            limits: Limits {
                cpu_s: Some(7),
                ..Limits::default()
            },
            shell: None,
            keep_items: false,
            pipe: None,
        }
    }

    fn task(shape: Shape) -> Work {
        Work::Task { name: "fib", shape }
    }

    fn refused(work: &Work, line: &Line) -> Refusal {
        prepare(&recipe(work), 1, line, Vec::new()).unwrap_err().1
    }

    #[test]
    fn a_line_fills_the_template() {
        let work = Work::Command(Template::parse(&["wc", "{}"], &Places::default()).unwrap());
        let line = line(3, b"a\xff");
        let (ticket, input) = prepare(&recipe(&work), 2, &line, Vec::new())
            .unwrap()
            .unwrap();
        assert_eq!((ticket.seq, ticket.line, &ticket.id), (2, 3, &None));
        assert_eq!(work.kind(), ("command", Encoding::Bincode));
        let spec: CommandSpec = Encoding::Bincode.decode(&input).unwrap();
        assert_eq!((spec.grace_ms, spec.limits.cpu_s), (1_500, Some(7)));
        assert_eq!(
            spec.stop[..],
            [StopStep {
                signal: 2,
                wait_ms: 7
            }]
        );
        let argv = argv(&ticket.command);
        assert_eq!(
            argv,
            [ByteBuf::from("wc"), ByteBuf::from(b"a\xff".to_vec())]
        );
    }

    #[test]
    fn a_line_fills_the_parameters_of_a_shell_text() {
        let work = Work::Shell(ShellText::parse(b"wc {.} | x", &Places::default()).unwrap());
        let (ticket, _) = prepare(&recipe(&work), 2, &line(3, b"a.b"), Vec::new())
            .unwrap()
            .unwrap();
        let started = ["/bin/sh", "-c", "wc \"${2}\" | x", "sh", "a.b", "a"];
        assert_eq!(argv(&ticket.command), started.map(ByteBuf::from));
        let command = shown(&ticket.command).unwrap();
        assert_eq!(command, "`wc \"${2}\" | x` for `a.b`");
    }

    #[test]
    fn another_shell_reads_the_same_text_and_parameters() {
        let work = Work::Shell(ShellText::parse(b"x {} {%}", &Places::default()).unwrap());
        let bash = Recipe {
            shell: Some(b"/bin/bash"),
            ..recipe(&work)
        };
        let (_, input) = prepare(&bash, 2, &line(3, b"a"), Vec::new())
            .unwrap()
            .unwrap();
        let words = ["/bin/bash", "-c", "x \"${1}\" \"${2}\"", "bash", "a", ""];
        assert_eq!(argv(&input), words.map(ByteBuf::from));
        let spec: CommandSpec = Encoding::Bincode.decode(&input).unwrap();
        assert_eq!(spec.slots, [SlotPlace::new(5, 0)]);
        let lines = Recipe {
            work: Work::Commands,
            ..bash
        };
        let (_, input) = prepare(&lines, 2, &line(3, b"a b"), Vec::new())
            .unwrap()
            .unwrap();
        assert_eq!(
            argv(&input),
            ["/bin/bash", "-c", "a b", "bash"].map(ByteBuf::from)
        );
    }

    #[test]
    fn a_line_that_is_a_command_is_all_of_the_text() {
        let made = |number, bytes| {
            prepare(
                &recipe(&Work::Commands),
                1,
                &line(number, bytes),
                Vec::new(),
            )
        };
        let (ticket, _) = made(1, b" ls {} # $1").unwrap().unwrap();
        let started = ["/bin/sh", "-c", " ls {} # $1", "sh"];
        assert_eq!(argv(&ticket.command), started.map(ByteBuf::from));
        assert_eq!(shown(&ticket.command).unwrap(), "` ls {} # $1`");
        for blank in [&b""[..], b"  ", b"\t"] {
            assert!(made(1, blank).unwrap().is_none());
        }
        assert!(made(2, b"\xef\xbb\xbfls").unwrap().is_some());
    }

    #[test]
    fn f071_what_would_be_part_of_a_command_is_refused() {
        for (bytes, what) in [
            (&b"ls\r"[..], "ends with a carriage return: `ls\\r`"),
            (b"ls\r\nls", "ends with a carriage return: `ls\\r\\nls`"),
            (
                b"\xef\xbb\xbfls",
                "begins with a byte-order mark: `\u{feff}ls`",
            ),
            (b"ls \0", "holds a zero byte: `ls \\u{0}`"),
        ] {
            let refusal = refused(&Work::Commands, &line(1, bytes));
            assert_eq!(refusal.what, format!("line 1 of standard input {what}"));
            assert!(refusal.tip.is_some());
        }
    }

    #[test]
    fn bad_json_is_shown_with_a_caret() {
        let refusal = refused(&task(Shape::Argument), &line(3, b"{\"n\": }"));
        assert_eq!(
            refusal.what,
            "line 3 of standard input is not valid JSON: expected value at column 7"
        );
        assert_eq!(refusal.place, ["3 | {\"n\": }", "  |       ^"]);
        assert!(refusal.tip.is_some());
    }

    #[test]
    fn a_wrong_record_is_shown_without_a_caret() {
        let refusal = refused(&task(Shape::Record), &line(3, b"{\"agrs\": 1}"));
        assert_eq!(
            refusal.what,
            "line 3 of standard input is not a job: unknown field `agrs`, expected `id` or `args`"
        );
        assert_eq!(refusal.place.len(), 1);
    }

    #[test]
    fn zero_bytes_divide_fields_only_where_items_have_several() {
        let work = Work::Command(Template::parse(&["wc"], &several()).unwrap());
        let several = Recipe {
            fields: Fields::Several,
            ..recipe(&work)
        };
        let made = prepare(&several, 1, &line(1, b"a\0b"), Vec::new());
        let (ticket, _) = made.unwrap().unwrap();
        assert_eq!(argv(&ticket.command), ["wc", "a", "b"].map(ByteBuf::from));
        assert!(prepare(&recipe(&work), 1, &line(1, b"a\0b"), Vec::new()).is_err());
    }

    #[test]
    fn lines_that_no_command_can_take_are_refused() {
        let work = Work::Command(Template::parse(&["wc"], &Places::default()).unwrap());
        assert_eq!(
            refused(&work, &line(1, b"a\0b")).what,
            "line 1 of standard input holds a zero byte: `a\\u{0}b`"
        );
        let long = Line {
            number: 2,
            content: Content::TooLong {
                start: Bytes::from_static(b"xx"),
                length: 3_000_000,
            },
        };
        assert_eq!(
            refused(&work, &long).what,
            "line 2 of standard input is longer than the limit of 1 MiB (3,000,000 bytes)"
        );
    }
}
