//! How places are written, and what a command or a text with them becomes.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use super::super::args::template::TemplateArgs;
use super::super::errors::Message;
use super::super::habits;
use super::super::program::Lookup;
use crate::run::source::place::{Found, Places, Plain};
use crate::run::source::shell::Dialect;
use crate::run::source::template::{Template, TemplateError};
use crate::run::source::work::Work;
use crate::run::text;

impl TemplateArgs {
    /// The plain places that are written in another way, with the options that say so.
    fn renamed(&self) -> [(&'static str, Plain, Option<&OsString>); 7] {
        [
            ("-I", Plain::Whole, self.replace.as_ref()),
            (
                "--extensionreplace",
                Plain::NoExtension,
                self.extensionreplace.as_ref(),
            ),
            (
                "--basenamereplace",
                Plain::Base,
                self.basenamereplace.as_ref(),
            ),
            (
                "--dirnamereplace",
                Plain::Directory,
                self.dirnamereplace.as_ref(),
            ),
            (
                "--basenameextensionreplace",
                Plain::BaseNoExtension,
                self.basenameextensionreplace.as_ref(),
            ),
            ("--seqreplace", Plain::Number, self.seqreplace.as_ref()),
            ("--slotreplace", Plain::Slot, self.slotreplace.as_ref()),
        ]
    }

    /// What of this belongs to the purpose of a run: with other places, the same words are another command.
    pub(crate) fn purpose(&self) -> Vec<Vec<u8>> {
        let mut all = Vec::new();
        for (option, _, written) in self.renamed() {
            if let Some(written) = written {
                all.extend([option.into(), written.as_bytes().to_vec()]);
            }
        }
        if self.plus {
            all.push(b"--plus".to_vec());
        }
        if let Some(shell) = &self.shell {
            all.extend([b"--shell".to_vec(), shell.as_bytes().to_vec()]);
        }
        all
    }
}

/// How places are written.
///
/// # Errors
/// When a place could not be told from other text.
pub(crate) fn places(args: &TemplateArgs) -> Result<Places, Message> {
    let mut places = Places {
        plus: args.plus,
        ..Places::default()
    };
    for (option, plain, written) in args.renamed() {
        let Some(written) = written else { continue };
        let renamed = places.rename(plain, written.as_bytes().to_vec());
        renamed.map_err(|why| {
            let shown = text::quoted(written.as_bytes());
            Message::new(format!("{option} {shown} {why}")).tip(format!("for example: {option} @@"))
        })?;
    }
    Ok(places)
}

/// Warnings: what looks like the name of a column, where columns have names, and is none.
pub(super) fn unknown_columns<'a>(
    texts: impl Iterator<Item = &'a [u8]>,
    places: &Places,
) -> Vec<String> {
    let mut unknown: Vec<&[u8]> = Vec::new();
    if places.names.is_empty() {
        return Vec::new();
    }
    for text in texts {
        for at in memchr::memchr_iter(b'{', text) {
            let before = at.checked_sub(1).map(|before| text[before]);
            let Some(end) = memchr::memchr(b'}', &text[at..]) else {
                break;
            };
            let name = &text[at + 1..at + end];
            let is_name = name
                .first()
                .is_some_and(|first| first.is_ascii_alphabetic())
                && name
                    .iter()
                    .all(|byte| byte.is_ascii_alphanumeric() || *byte == b'_');
            let is_left = matches!(places.at(&text[at..], before), Found::Nothing);
            let is_variable = matches!(before, Some(b'$' | b'\\'));
            if is_name && is_left && !is_variable && !unknown.contains(&name) {
                unknown.push(name);
            }
        }
    }
    let columns: Vec<_> = places
        .names
        .iter()
        .map(|name| text::escaped(name))
        .collect();
    let warning = |name: &&[u8]| {
        let name = text::escaped(name);
        let similar = text::similar(&name, columns.iter().map(String::as_str));
        let similar =
            similar.map(|column| format!("\n  tip: a similar column exists: {{{column}}}"));
        format!(
            "warning: `{{{name}}}` is no column and stays as it is\n  the columns: {}{}\n",
            columns.join(", "),
            similar.unwrap_or_default(),
        )
    };
    unknown.iter().map(warning).collect()
}

/// Shells that read a text as POSIX says, and its parameters as values.
const POSIX: [&[u8]; 12] = [
    b"sh", b"bash", b"dash", b"ash", b"ksh", b"ksh93", b"mksh", b"lksh", b"oksh", b"yash", b"zsh",
    b"posh",
];

/// What of a run is read by a shell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reads {
    /// A text with places.
    Text,
    /// Lines that are commands.
    Commands,
    Nothing,
}

/// How the shell at this path reads a text; `None` is `sh`, which is another one's name on most
/// machines.
pub(super) fn dialect(shell: Option<&[u8]>) -> Dialect {
    let path = shell.unwrap_or(b"/bin/sh");
    let file = std::fs::canonicalize(OsStr::from_bytes(path));
    let file = file.map_or(path.to_vec(), |file| file.into_os_string().into_vec());
    Dialect::of(path, &file)
}

/// The shell that reads texts, if it is not the workers' own. It lives as long as the program.
///
/// # Errors
/// When there is nothing for a shell, no such shell, or one in which an item would not stay data.
pub(super) fn shell(
    args: &TemplateArgs,
    reads: Reads,
    lookup: &Lookup,
) -> Result<Option<&'static [u8]>, Message> {
    let Some(name) = &args.shell else {
        return Ok(None);
    };
    let shown = text::quoted(name.as_bytes());
    let base = name.as_bytes().rsplit(|&byte| byte == b'/').next();
    match reads {
        Reads::Nothing => {
            return Err(
                Message::new("--shell is for -c TEXT, and for lines that are commands")
                    .tip("a command behind `--` is run without a shell: leave out --shell"),
            );
        }
        Reads::Text if !base.is_some_and(|base| POSIX.contains(&base)) => {
            return Err(Message::new(format!(
                "--shell {shown}: places of a text are parameters as in `sh`, which it may not know"
            ))
            .tip("name a shell like sh, bash, dash, ksh or zsh"));
        }
        Reads::Text | Reads::Commands => {}
    }
    let path = lookup.find("shell", name)?.into_os_string().into_vec();
    Ok((path != b"/bin/sh").then(|| &*path.leak()))
}

/// Whether nothing is to be run.
///
/// # Errors
/// When there are no commands that could be shown.
pub(crate) fn dry_run(args: &TemplateArgs, work: &Work, pipes: bool) -> Result<bool, Message> {
    if args.dry_run && pipes {
        return Err(Message::new(
            "--dry-run and --pipe exclude each other: a block is no part of a line",
        )
        .tip("leave out --pipe to see the command"));
    }
    if args.dry_run && matches!(work, Work::Task { .. } | Work::Jobs { .. }) {
        return Err(Message::new(
            "--dry-run is for commands: a task's call is no line for a shell",
        )
        .tip("leave out --dry-run"));
    }
    Ok(args.dry_run)
}

/// Whether a field beyond the first is meant by its number, as in `{2}`.
pub(super) fn has_number(text: &[u8]) -> bool {
    memchr::memchr_iter(b'{', text).any(|at| {
        let rest = &text[at + 1..];
        let rest = rest.strip_prefix(b"-").unwrap_or(rest);
        let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        digits > 0 && &rest[..digits] != b"1"
    })
}

/// The words of a command with places, its program resolved.
///
/// # Errors
/// When there is no such program, or a place that is not offered or would not stay data.
pub(crate) fn command(
    words: &[Vec<u8>],
    places: &Places,
    lookup: &Lookup,
) -> Result<Template, Message> {
    habits::check_words(words, lookup)?;
    let template = Template::parse(words, places).map_err(|error| match error {
        TemplateError::Unoffered(written, why) => {
            Message::new(format!("{} {}", text::quoted(&written), why.what())).tip(why.tip())
        }
        TemplateError::ShellText(number) => habits::shell_text(&words[number]),
    })?;
    // With a place in it, every line names another program.
    let Some(program) = template.program() else {
        return Ok(template);
    };
    let path = lookup.find("command", OsStr::from_bytes(program))?;
    Ok(template.with_program(path.into_os_string().into_vec()))
}
