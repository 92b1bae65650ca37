//! `--pipe`, checked.

use std::ffi::{OsStr, OsString};
use std::num::NonZero;
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use crate::cli::args::{self, PipeArgs};
use crate::cli::errors::Message;
use crate::pool::PoolConfig;
use crate::run::source::pipe::Pipe;
use crate::run::source::pipe::header::Header;
use crate::run::source::pipe::separator::Separator;
use crate::run::source::pipe::splitter::Rules;
use crate::run::source::place::{Places, Plain};
use crate::run::source::work::Work;
use crate::run::text;

/// How large a block is unless it is said.
const BLOCK: usize = 1 << 20;

/// How large a record may be that is larger than the block.
const LARGEST: usize = 64 << 20;

/// What a job's input is beside its block, at most.
const AROUND: u64 = 16 << 20;

/// What of other options matters here.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Others {
    /// Records end with a zero byte.
    pub(super) null: bool,
    /// Records are counted as GNU parallel does it.
    pub(super) like_gnu: bool,
    /// The run ends with a share of all jobs.
    pub(super) share: bool,
    /// What cannot be done with processes that read block after block.
    pub(super) retries: bool,
    pub(super) recorded: bool,
    pub(super) failed_to: bool,
}

/// How the input is cut; nothing when it is not.
///
/// # Errors
/// When options make no sense together.
pub(super) fn pipe(
    args: PipeArgs,
    others: Others,
    workers: usize,
) -> Result<Option<Pipe>, Message> {
    let PipeArgs {
        pipe,
        block,
        records,
        lines,
        header,
        recend,
        recstart,
        regexp,
        remove_rec_sep,
        round_robin,
    } = args;
    if !pipe {
        return Ok(None);
    }
    if others.share {
        let what =
            "a share in --halt is of all jobs, and with --pipe nobody knows how many there will be";
        return Err(Message::new(what).tip("give a number: --halt now,fail=1"));
    }
    let given = recend.is_some() || recstart.is_some() || regexp;
    if lines.is_some() && given {
        let what =
            "-L counts lines, and --recend, --recstart and --regexp say what else a record is";
        return Err(Message::new(what).tip("to count records, write -N"));
    }
    if others.null && given {
        let what =
            "with -0 records end with a zero byte: leave out --recend, --recstart and --regexp";
        return Err(Message::new(what));
    }
    let separator = match (others.null, regexp) {
        (true, _) => Separator::text(b"\0", b""),
        (false, true) => pattern(recend, recstart)?,
        (false, false) => {
            let start = recstart.map(OsStringExt::into_vec).map(unescaped);
            let end = recend.map(OsStringExt::into_vec).map(unescaped);
            let end = match (&end, &start) {
                (Some(end), _) => &end[..],
                (None, Some(_)) => b"",
                (None, None) => b"\n",
            };
            Separator::text(end, start.as_deref().unwrap_or_default())
        }
    };
    if matches!(separator, Separator::Nothing) && (records.is_some() || remove_rec_sep) {
        let option = if remove_rec_sep {
            "--remove-rec-sep"
        } else {
            "-N"
        };
        let what =
            format!("{option} is about records, and an empty --recend says that there are none");
        return Err(Message::new(what));
    }
    let block = block.unwrap_or(BLOCK);
    let rules = Rules {
        separator,
        per_record: lines.unwrap_or(NonZero::<usize>::MIN),
        rest_alone: lines.is_some() && records.is_none(),
        empty: !others.like_gnu,
        records,
        block,
        remove: remove_rec_sep,
        limit: LARGEST.max(block),
    };
    let lanes = round_robin.then(|| NonZero::new(workers).unwrap_or(NonZero::<usize>::MIN));
    if round_robin {
        check_lanes(others)?;
    }
    Ok(Some(Pipe {
        rules,
        header: header.map(self::header).transpose()?,
        lanes,
    }))
}

fn header(header: args::Header) -> Result<Header, Message> {
    match header {
        args::Header::First => Ok(Header::Lines(1)),
        args::Header::Lines(lines) => Ok(Header::Lines(lines)),
        args::Header::Pattern(text) => Header::pattern(&text).map_err(|why| {
            let shown = text::quoted(&text);
            Message::new(format!("--header {shown}: no regular expression: {why}"))
                .tip("write `:` for the first line, or a number of lines")
        }),
    }
}

/// What cannot go with commands that read block after block.
fn check_lanes(others: Others) -> Result<(), Message> {
    let what = "what a command of --round-robin has read is nowhere else";
    let refuse = |option: &str| {
        let tip = "leave out --round-robin: then each block is a job of its own";
        Err(Message::new(format!(
            "{option} and --round-robin exclude each other: {what}"
        ))
        .tip(tip))
    };
    match others {
        Others { retries: true, .. } => refuse("--retries"),
        Others { recorded: true, .. } => refuse("--run-file"),
        Others {
            failed_to: true, ..
        } => refuse("--failed-to"),
        _ => Ok(()),
    }
}

/// Regular expressions are about bytes and are written as text.
fn pattern(end: Option<OsString>, start: Option<OsString>) -> Result<Separator, Message> {
    let text = |option: &str, given: Option<OsString>| match given.map(OsString::into_string) {
        None => Ok(None),
        Some(Ok(text)) => Ok(Some(text)),
        Some(Err(bytes)) => {
            let shown = text::quoted(bytes.as_bytes());
            let what = format!("{option} {shown} is no text");
            Err(Message::new(what).tip("write bytes that are none as \\xff"))
        }
    };
    let (end, start) = (text("--recend", end)?, text("--recstart", start)?);
    let end = match (&end, &start) {
        (Some(end), _) => end,
        (None, Some(_)) => "",
        (None, None) => "\\n",
    };
    let separator = Separator::pattern(end, start.as_deref().unwrap_or_default());
    separator.map_err(|why| Message::new(format!("--regexp: no regular expression: {why}")))
}

/// Text in which `\n`, `\t`, `\r`, `\0`, `\xHH` and `\\` are bytes; another backslash is itself.
fn unescaped(text: Vec<u8>) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = &text[..];
    while let Some((&first, behind)) = rest.split_first() {
        let hex = behind.get(1..3).and_then(|digits| {
            let digits = std::str::from_utf8(digits).ok()?;
            u8::from_str_radix(digits, 16).ok()
        });
        let (byte, length) = match (first, behind.first()) {
            (b'\\', Some(b'n')) => (b'\n', 2),
            (b'\\', Some(b't')) => (b'\t', 2),
            (b'\\', Some(b'r')) => (b'\r', 2),
            (b'\\', Some(b'0')) => (0, 2),
            (b'\\', Some(b'\\')) => (b'\\', 2),
            (b'\\', Some(b'x')) if hex.is_some() => (hex.unwrap_or_default(), 4),
            _ => (first, 1),
        };
        bytes.push(byte);
        rest = &rest[length..];
    }
    bytes
}

/// What blocks ask of the pool.
pub(super) fn prepare(pool: &mut PoolConfig, pipe: &Pipe) {
    // What is larger was refused when it was read.
    let largest = pipe.rules.limit as u64 + AROUND;
    pool.max_payload = pool.max_payload.max(largest);
    if pipe.lanes.is_some() {
        // Each is one worker's, from the first block to the last.
        pool.ahead = std::time::Duration::ZERO;
        pool.retries = 0;
    }
}

/// Whether this can read blocks.
///
/// # Errors
/// When it is no command.
pub(super) fn check_work(work: &Work) -> Result<(), Message> {
    match work {
        Work::Command(_) | Work::Shell(_) => Ok(()),
        Work::Commands | Work::Jobs { .. } => {
            Err(Message::new("--pipe needs a command that reads the blocks")
                .tip("for example: orchestrator run --pipe -- wc -l")
                .tip("to run lines that are commands, leave out --pipe"))
        }
        Work::Task { .. } => Err(
            Message::new("--pipe is for commands: a task takes one line")
                .tip("leave out --task and name a command, or leave out --pipe"),
        ),
    }
}

/// The words of a command, or the text for a shell, have no place for something of an item.
///
/// # Errors
/// When they have.
pub(super) fn check_places<'a>(
    places: &Places,
    texts: impl IntoIterator<Item = &'a [u8]>,
) -> Result<(), Message> {
    let of_item = |plain: &Plain| !matches!(plain, Plain::Number | Plain::Slot);
    let written = places.written.iter();
    let written = written.filter(|(_, plain)| of_item(plain));
    let written: Vec<&[u8]> = written.map(|(written, _)| &written[..]).collect();
    for text in texts {
        for place in written
            .iter()
            .copied()
            .chain([&b"{path}"[..], b"{1}", b"{-1}"])
        {
            let mut found = memchr::memmem::find_iter(text, place);
            if found.any(|at| at == 0 || !b"\\$".contains(&text[at - 1])) {
                let place = text::quoted(place);
                let what = format!("with --pipe there is nothing to put in for {place}");
                return Err(Message::new(what)
                    .tip("the command reads its block on stdin; {#} is the number of the block"));
            }
        }
    }
    Ok(())
}

/// The text of a shell's command line, if there is one, and the words.
pub(super) fn texts<'a>(
    shell: Option<&'a OsStr>,
    words: &'a [Vec<u8>],
) -> impl Iterator<Item = &'a [u8]> {
    let shell = shell.map(OsStr::as_bytes);
    shell.into_iter().chain(words.iter().map(|word| &word[..]))
}

#[cfg(test)]
mod tests {
    use super::super::tests::{planned, refused};
    use super::*;

    fn rules(words: &[&str]) -> Pipe {
        let words = [&["--pipe"], words, &["cat"]].concat();
        planned(&words).batch.pipe.expect("it was asked for")
    }

    #[test]
    fn a_record_is_a_line_unless_something_else_is_said() {
        let shown = |words: &[&str]| format!("{:?}", rules(words).rules.separator);
        assert_eq!(shown(&[]), "Text(Text(\\n, ))");
        assert_eq!(shown(&["--recstart", ">"]), "Text(Text(, >))");
        assert_eq!(
            shown(&["--recstart", ">", "--recend", "\\t\\x41"]),
            "Text(Text(\\tA, >))"
        );
        assert_eq!(
            shown(&["--recend", "\\\\n\\q\\"]),
            "Text(Text(\\\\n\\\\q\\\\, ))"
        );
        assert_eq!(shown(&["--recend", ""]), "Nothing");
        assert_eq!(shown(&["-0"]), "Text(Text(\\x00, ))");
        assert!(shown(&["--regexp", "--recend", "\\n+"]).contains("\\\\n+"));
        let Pipe { rules, lanes, .. } = rules(&["-N3", "-L4", "--block", "2k", "--rrs"]);
        assert_eq!(
            (rules.block, rules.per_record.get(), rules.remove),
            (2000, 4, true)
        );
        assert_eq!((rules.records, lanes), (NonZero::new(3), None));
        assert_eq!(rules.limit, LARGEST);
    }

    #[test]
    fn large_blocks_are_let_through() {
        let plan = planned(&["--pipe", "--block", "1G", "cat"]);
        assert!(plan.batch.pool.max_payload > 1 << 30);
        assert_eq!(plan.batch.inputs.origin().unit(), "block");
        let round = planned(&["--pipe", "--round-robin", "-j3", "-c", "cat"]);
        let lanes = round.batch.pipe.and_then(|pipe| pipe.lanes);
        assert_eq!(lanes, NonZero::new(3));
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for (words, what) in [
            (
                &["--pipe"][..],
                "--pipe needs a command that reads the blocks",
            ),
            (&["--pipe", "--task", "t"], "--pipe is for commands"),
            (
                &["--pipe", "echo", "{}"],
                "with --pipe there is nothing to put in for `{}`",
            ),
            (
                &["--pipe", "-c", "cat >{/.}"],
                "with --pipe there is nothing to put in for `{/.}`",
            ),
            (
                &["--pipe", "-L2", "--recend", "x", "cat"],
                "-L counts lines",
            ),
            (
                &["--pipe", "--halt", "now,fail=5%", "cat"],
                "a share in --halt is of all jobs",
            ),
            (
                &["--pipe", "-0", "--regexp", "cat"],
                "with -0 records end with a zero byte",
            ),
            (
                &["--pipe", "-N2", "--recend", "", "cat"],
                "-N is about records",
            ),
            (
                &["--pipe", "--regexp", "--recend", "(", "cat"],
                "--regexp: no regular expression: ",
            ),
            (
                &["--pipe", "--regexp", "--recend", "a*", "cat"],
                "--regexp: no regular expression: it ",
            ),
            (
                &["--pipe", "--round-robin", "--retries", "1", "cat"],
                "--retries and --round-robin",
            ),
            (
                &["--pipe", "--round-robin", "--failed-to", "f", "cat"],
                "--failed-to and --round",
            ),
            (
                &["--pipe", "--round-robin", "--run-file", "f", "cat"],
                "--run-file and --round",
            ),
        ] {
            let said = refused(words);
            assert!(said.starts_with(&format!("error: {what}")), "{said}");
        }
        let said = refused(&["--header", "#.*", "echo"]);
        assert!(
            said.starts_with("error: --header with a number of lines or a pattern is for --pipe")
        );
        let said = refused(&["--pipe", "--header", "(", "cat"]);
        assert!(
            said.starts_with("error: --header `(`: no regular expression: "),
            "{said}"
        );
        // A brace that is escaped is none, and neither is a shell's variable.
        planned(&["--pipe", "-c", "find . -exec cat \\{} + ; cat ${path}"]);
    }
}
