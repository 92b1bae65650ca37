//! The input of the built-in `command` task: one external program to run.
//!
//! All strings are bytes: file names and arguments need not be UTF-8, and no
//! byte of them is ever interpreted on the way.

use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use crate::Task;

/// The built-in task that runs an external command. What the command prints
/// travels as output messages while it runs; its exit status, signal and
/// resource usage are the job's outcome, so there is no further result.
#[derive(Clone, Copy, Debug)]
pub struct Command;

impl Task for Command {
    const NAME: &'static str = "command";
    type Input = CommandSpec;
    type Output = ();
}

/// What to run and how.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommandSpec {
    /// The program.
    pub program: Program,
    /// Working directory; the worker's own when absent.
    pub cwd: Option<ByteBuf>,
    /// Changes to the worker's environment, in order.
    pub env: Vec<EnvChange>,
    /// What the command reads on stdin; nothing (`/dev/null`) when absent.
    pub stdin: Option<ByteBuf>,
    /// Time limit in milliseconds, after which the command's process group
    /// gets SIGTERM, then after `grace_ms` SIGKILL.
    pub time_limit_ms: Option<u64>,
    /// How long a command that was asked to stop may take, in milliseconds.
    pub grace_ms: u64,
    /// What it may use; in JSON it may be left out.
    #[serde(default)]
    pub limits: Limits,
    /// A file or pipe that the command reads on stdin, in place of `stdin`; a relative
    /// path counts from the command's working directory.
    #[serde(default)]
    pub stdin_path: Option<ByteBuf>,
    /// Where in its arguments the worker puts the number of its slot, as it
    /// knows it from the variable `ORCHESTRATOR_SLOT`: who makes the job does not know who gets it.
    #[serde(default)]
    pub slots: Vec<SlotPlace>,
    /// How it is made to stop, for its time or because it was cancelled: signals for its
    /// process group, one after the other, and at last SIGKILL, also where none is named.
    /// When empty, SIGTERM, and `grace_ms` later SIGKILL.
    #[serde(default)]
    pub stop: Vec<StopStep>,
}

/// One step of making a command stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StopStep {
    /// The signal's number on this system.
    pub signal: i32,
    /// How long the command may then take, in milliseconds, before the next step.
    pub wait_ms: u64,
}

impl CommandSpec {
    /// How long a command may take to stop unless the job says otherwise.
    pub const DEFAULT_GRACE_MS: u64 = 5_000;

    /// A command without special wishes: nothing on stdin, no time limit.
    #[must_use]
    pub fn new(program: Program) -> CommandSpec {
        CommandSpec {
            program,
            cwd: None,
            env: Vec::new(),
            stdin: None,
            time_limit_ms: None,
            grace_ms: Self::DEFAULT_GRACE_MS,
            limits: Limits::default(),
            stdin_path: None,
            slots: Vec::new(),
            stop: Vec::new(),
        }
    }

    /// Puts the number of a slot in its places, if there are any, and leaves none.
    ///
    /// # Errors
    /// When there is no such place: which.
    pub fn fill_slots(&mut self, number: &[u8]) -> Result<(), SlotPlace> {
        let mut slots = std::mem::take(&mut self.slots);
        let words = match &mut self.program {
            Program::Argv(words) | Program::Shell { args: words, .. } => words,
        };
        slots.sort_by_key(|slot| (slot.word, slot.at));
        let mut rest = &slots[..];
        while let Some(&SlotPlace { word, .. }) = rest.first() {
            let (here, others) = rest.split_at(rest.partition_point(|slot| slot.word == word));
            rest = others;
            let word = usize::try_from(word).ok();
            let word = word.and_then(|word| words.get_mut(word)).ok_or(here[0])?;
            let mut made = Vec::with_capacity(word.len() + here.len() * number.len());
            let mut from = 0;
            for slot in here {
                let at = usize::try_from(slot.at).map_err(|_| *slot)?;
                made.extend_from_slice(word.get(from..at).ok_or(*slot)?);
                made.extend_from_slice(number);
                from = at;
            }
            made.extend_from_slice(&word[from..]);
            *word = ByteBuf::from(made);
        }
        Ok(())
    }
}

/// A place for the number of the worker's slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlotPlace {
    /// In which word of [`Program::Argv`], or of the `args` of [`Program::Shell`].
    pub word: u32,
    /// Behind how many of that word's bytes, as it was sent.
    pub at: u32,
}

impl SlotPlace {
    /// The place with these numbers; none of them is so large in a command that can be started.
    #[must_use]
    pub fn new(word: usize, at: usize) -> SlotPlace {
        let short = |number| u32::try_from(number).unwrap_or(u32::MAX);
        SlotPlace {
            word: short(word),
            at: short(at),
        }
    }
}

/// What a command may use of the machine; what is absent is not limited beyond
/// what holds for its worker. No hard limit is ever raised.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Limits {
    /// CPU time of each of its processes in seconds, which is how the kernel
    /// counts it (`RLIMIT_CPU`): then SIGXCPU, and SIGKILL a second later.
    pub cpu_s: Option<u64>,
    /// How many open descriptors each of its processes may have
    /// (`RLIMIT_NOFILE`).
    pub open_files: Option<u64>,
    /// How much of what it writes is passed on.
    pub output: Option<OutputLimit>,
}

/// How much of what a command writes is passed on, of each of its two streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutputLimit {
    /// Bytes of a stream that are kept: its head, and its tail.
    pub bytes: u64,
    /// Whether a command that writes more is ended as by a time limit.
    #[serde(default)]
    pub kill: bool,
}

/// The program of a [`CommandSpec`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Program {
    /// A program and its arguments, started without any shell. A name without
    /// a slash is looked up in the job's `PATH`.
    Argv(Vec<ByteBuf>),
    /// Text for `sh -c`, with data as the positional parameters `$1`, `$2`, …
    Shell {
        /// The program text.
        text: ByteBuf,
        /// `$1` and so on: data, never program text.
        args: Vec<ByteBuf>,
    },
}

/// One change to a command's environment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnvChange {
    /// Name of the variable: not empty, no `=`, no NUL.
    pub name: ByteBuf,
    /// Its new value; absent removes it.
    pub value: Option<ByteBuf>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(words: &[&str], slots: &[(u32, u32)]) -> Result<Vec<String>, SlotPlace> {
        let words = words.iter().map(|word| ByteBuf::from(*word)).collect();
        let mut spec = CommandSpec::new(Program::Argv(words));
        let slots = slots.iter().map(|&(word, at)| SlotPlace { word, at });
        spec.slots = slots.collect();
        spec.fill_slots(b"12")?;
        assert!(spec.slots.is_empty());
        let Program::Argv(words) = spec.program else {
            panic!("{spec:?}")
        };
        let text = |word: ByteBuf| String::from_utf8(word.into_vec()).unwrap();
        Ok(words.into_iter().map(text).collect())
    }

    #[test]
    fn the_number_stands_in_every_place() {
        let slots = [(2, 1), (1, 0), (2, 3), (2, 1)];
        let filled = words(&["x", "", "a-b"], &slots);
        assert_eq!(filled.unwrap(), ["x", "12", "a1212-b12"]);
        assert_eq!(words(&["x"], &[]).unwrap(), ["x"]);
    }

    #[test]
    fn a_place_that_is_not_there_is_refused() {
        for slot in [(1, 0), (0, 2), (u32::MAX, 0), (0, u32::MAX)] {
            let error = words(&["x"], &[(0, 1), slot]).unwrap_err();
            assert_eq!((error.word, error.at), slot);
        }
    }
}
