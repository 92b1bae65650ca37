//! How many values a job gets, checked.

use std::ffi::OsStr;
use std::num::NonZero;
use std::os::unix::ffi::OsStrExt;

use nix::sys::resource::{Resource, getrlimit};

use crate::cli::args::{Header, PackArgs, PipeArgs};
use crate::cli::errors::Message;
use crate::run::source::pack::Packing;
use crate::run::source::weight::Weight;
use crate::run::source::work::Work;

/// What the kernel takes at least, and at most, for words and environment together.
const KERNEL: [u64; 2] = [128 << 10, 6 << 20];

/// Room for what a job is told in its environment.
const OURS: usize = 4 << 10;

impl PackArgs {
    /// The number that was asked for.
    fn most(&self) -> Option<usize> {
        self.max_args.or(self.max_replace_args).or(self.max_lines)
    }

    /// Whether values are only read, and nothing is put in.
    pub(super) fn puts_nothing(&self) -> bool {
        self.most() == Some(0)
    }

    /// Whether a job may get several values.
    pub(super) fn packs(&self) -> bool {
        !self.puts_nothing() && (self.most().is_some() || self.by_size())
    }

    /// Whether a job gets as many as fit.
    fn by_size(&self) -> bool {
        self.context_replace || self.many || self.xargs
    }

    /// Whether a word with a place in it is there once for each value.
    pub(super) fn repeats(&self) -> bool {
        self.packs()
            && (self.context_replace || self.max_replace_args.is_some() || self.repeats_lines())
    }

    /// -L stands for -X unless something else was said.
    fn repeats_lines(&self) -> bool {
        self.max_lines.is_some() && !self.many && !self.xargs
    }

    /// What of this makes the same values another command.
    pub(super) fn purpose(&self) -> Option<&'static str> {
        match (self.puts_nothing(), self.packs(), self.repeats()) {
            (true, ..) => Some("-n0"),
            (_, true, true) => Some("-X"),
            (_, true, false) => Some("-m"),
            _ => None,
        }
    }
}

/// With `--pipe`, -N and -L are about records, and a header is lines that each command reads first.
///
/// # Errors
/// When both mean something else at once, or one counts nothing.
pub(super) fn share(
    packing: &mut PackArgs,
    pipe: &mut PipeArgs,
    (header, null): (&mut Option<Header>, bool),
) -> Result<(), Message> {
    if !pipe.pipe {
        if let Some(Header::Lines(2..) | Header::Pattern(_)) = header {
            return Err(
                Message::new("--header with a number of lines or a pattern is for --pipe")
                    .tip("for names of columns in the first line: --header :"),
            );
        }
        if packing.max_lines.is_some() && (packing.max_replace_args.is_some() || null) {
            return Err(Message::new(
                "-L cannot be used with -N or -0 but for --pipe: -n counts items",
            ));
        }
        return Ok(());
    }
    let counted = |number: Option<usize>, option: &str| match number {
        None => Ok(None),
        Some(number) => match NonZero::new(number) {
            None => Err(Message::new(format!(
                "{option} 0: with --pipe it must be at least 1"
            ))),
            some => Ok(some),
        },
    };
    pipe.header = header.take();
    pipe.records = counted(packing.max_replace_args.take(), "-N")?;
    pipe.lines = counted(packing.max_lines.take(), "-L")?;
    Ok(())
}

/// How values are packed for this work, if they are.
///
/// # Errors
/// When a job has to get one value.
pub(super) fn packing(
    args: &PackArgs,
    work: &Work,
    program: Option<&[u8]>,
    workers: usize,
) -> Result<Option<Packing>, Message> {
    if !args.packs() {
        let given = [(args.max_chars.is_some(), "-s"), (args.exit, "-x")];
        return match given.iter().find(|(given, _)| *given) {
            Some((_, option)) => Err(Message::new(format!(
                "{option} is for commands that get several values"
            ))
            .tip("to give a command as many as fit: -X, -m or --xargs")),
            None => Ok(None),
        };
    }
    let Some(lengths) = work.lengths() else {
        return Err(
            Message::new("only a command can get several values for one job")
                .tip("to fill them into a command: orchestrator run -X -- COMMAND {}"),
        );
    };
    // As it was typed, the program is shorter than where it was found.
    let found = work.program().map_or(0, <[u8]>::len);
    let typed = program.map_or(found, <[u8]>::len);
    Ok(Some(Packing {
        most: args.most().and_then(NonZero::new),
        bytes: args
            .max_chars
            .map(|most| (most + found).saturating_sub(typed)),
        kernel: kernel(std::env::vars_os().map(|(name, value)| length(&name) + length(&value) + 2)),
        exact: args.exit,
        spread: (args.context_replace || args.many)
            .then(|| NonZero::new(workers))
            .flatten(),
        weight: Weight::of(lengths),
    }))
}

fn length(text: &OsStr) -> usize {
    text.as_bytes().len()
}

/// What the kernel takes for words and their addresses beside these variables.
fn kernel(variables: impl Iterator<Item = usize>) -> usize {
    let stack = getrlimit(Resource::RLIMIT_STACK).map_or(0, |(soft, _)| soft);
    let all = (stack / 4).clamp(KERNEL[0], KERNEL[1]);
    let environment: usize = variables.map(|length| length + size_of::<usize>()).sum();
    let all = usize::try_from(all).unwrap_or(usize::MAX);
    all.saturating_sub(environment + OURS).max(OURS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::args::tests::run;

    fn args(words: &[&str]) -> PackArgs {
        run(words).unwrap().packing
    }

    #[test]
    fn options_say_whether_and_how_values_go_together() {
        for (words, packs, repeats, nothing) in [
            (&["echo"][..], false, false, false),
            (&["-n3", "echo"], true, false, false),
            (&["-N3", "echo"], true, true, false),
            (&["-L", "1", "echo"], true, true, false),
            (&["-X", "echo"], true, true, false),
            (&["-m", "echo"], true, false, false),
            (&["-m", "-N2", "echo"], true, true, false),
            (&["-m", "-L2", "echo"], true, false, false),
            (&["--xargs", "echo"], true, false, false),
            (&["-n0", "echo"], false, false, true),
            (&["-N0", "-X", "echo"], false, false, true),
        ] {
            let args = args(words);
            let said = (args.packs(), args.repeats(), args.puts_nothing());
            assert_eq!(said, (packs, repeats, nothing), "{words:?}");
        }
        assert!(run(&["-n1", "-N2", "echo"]).is_err());
    }

    #[test]
    fn the_environment_takes_from_what_a_command_line_holds() {
        let empty = kernel(std::iter::empty());
        assert!(empty >= 120 << 10);
        assert_eq!(kernel([100, 50].into_iter()), empty - 150 - 16);
        assert_eq!(kernel([1 << 30].into_iter()), OURS);
    }
}
