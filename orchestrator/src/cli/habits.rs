//! Habits from other tools (a shell, xargs, GNU parallel) that mean something
//! else here. They are recognised, so that the answer is what to write instead
//! and not one failure per line.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use clap::CommandFactory;
use clap::builder::StyledStr;
use clap::error::{ContextKind, ContextValue, ErrorKind};

use super::args::Cli;
use super::errors::Message;
use super::parallel;
use super::program::Lookup;
use crate::run::source::place::Places;
use crate::run::source::shell::{Dialect, ShellText};
use crate::run::text;

/// Commands that a shell does itself: as programs they do not exist, and could
/// not do what is meant.
const BUILTINS: [&[u8]; 11] = [
    b"cd", b"export", b"source", b"alias", b"ulimit", b"umask", b"set", b"eval", b"exec", b"read",
    b"type",
];

/// What only a shell understands.
const SHELL_SIGNS: &[u8] = b"|&;<>$`\n";

/// What a shell does with each line, which stays data.
const SHELL_RECIPE: &str = "orchestrator run -c '… {} …'";

/// Whether the shell does this itself.
pub(super) fn is_builtin(name: &[u8]) -> bool {
    BUILTINS.contains(&name)
}

/// What to write instead of a command of the shell.
pub(super) fn builtin_tip(name: &[u8]) -> String {
    format!(
        "{} belongs to the shell: {SHELL_RECIPE}",
        text::quoted(name)
    )
}

/// A place in a word that a shell reads as program text.
pub(super) fn shell_text(word: &[u8]) -> Message {
    Message::new(format!(
        "{} is for a shell, which would read the line as program text",
        text::quoted(word)
    ))
    .tip(match word {
        b"{}" => "to run lines that are commands: orchestrator run < FILE".to_owned(),
        _ => format!("with -c the line stays data: {}", shell_recipe(word)),
    })
    .tip("or hand it over as a parameter: sh -c '… \"$1\" …' sh {}")
}

/// Command words that mean something else than they seem to.
///
/// # Errors
/// When there are such words, with what to write instead.
pub(super) fn check_words(words: &[Vec<u8>], lookup: &Lookup) -> Result<(), Message> {
    let Some(first) = words.first() else {
        return Ok(());
    };
    if first.is_empty() {
        return Err(Message::new(
            "the command is an empty word (an unset variable?)",
        ));
    }
    if sets_variable(first) {
        let whole: String = words
            .iter()
            .map(|word| format!(" {}", shell_word(word)))
            .collect();
        return Err(Message::new(format!(
            "{} sets a variable where a shell reads it, and none reads these words",
            text::quoted(first)
        ))
        .tip(format!("orchestrator run -- env{whole}")));
    }
    if is_quoted_command(first, lookup) {
        return Err(quoted_command(first, &words[1..]));
    }
    Ok(())
}

/// Whether a first word looks like `NAME=value`.
fn sets_variable(word: &[u8]) -> bool {
    let Some(end) = memchr::memchr(b'=', word) else {
        return false;
    };
    let is_letter = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
    end > 0 && !word[0].is_ascii_digit() && word[..end].iter().all(is_letter)
}

/// Whether a first word looks like a whole command in quotes.
fn is_quoted_command(word: &[u8], lookup: &Lookup) -> bool {
    let mut parts = word.split(u8::is_ascii_whitespace);
    let Some(program) = parts.find(|part| !part.is_empty()) else {
        return true;
    };
    if parts.next().is_none() {
        return false;
    }
    let found = |name: &[u8]| lookup.find("command", OsStr::from_bytes(name)).is_ok();
    // With a place in it, it may be a path that depends on the line: it is
    // none when its beginning is a command already.
    if memchr::memchr(b'{', word).is_some() {
        return is_builtin(program) || found(program);
    }
    !found(word)
}

fn quoted_command(word: &[u8], others: &[Vec<u8>]) -> Message {
    let shown = text::quoted(word);
    let message = Message::new(format!(
        "{shown} is one word, so it would be the name of a program"
    ));
    let command = text::escaped(word.trim_ascii());
    if !word.iter().any(|byte| SHELL_SIGNS.contains(byte)) {
        let others: String = others
            .iter()
            .map(|word| format!(" {}", shell_word(word)))
            .collect();
        return message.tip(format!(
            "leave out the quotes: orchestrator run -- {command}{others}"
        ));
    }
    // Words behind it have no place in the text.
    let recipe = if others.is_empty() {
        shell_recipe(word)
    } else {
        SHELL_RECIPE.to_owned()
    };
    message.tip(format!("pipes and the like are for a shell: {recipe}"))
}

/// Words that do something between the words of a shell's text; `;` is not among them, since it
/// ends what `find` runs.
const BETWEEN: [&[u8]; 11] = [
    b"|", b"||", b"&", b"&&", b">", b">>", b"<", b"2>", b"2>>", b"2>&1", b"&>",
];

/// Programs to which some of them are arguments.
const CALCULATE: [&[u8]; 3] = [b"expr", b"test", b"["];

/// A warning: a word that was meant for a shell, as GNU parallel's users write it, and that the
/// command gets as an argument.
pub(super) fn between_words(words: &[Vec<u8>]) -> Option<String> {
    let (command, others) = words.split_first()?;
    let name = command.rsplit(|byte| *byte == b'/').next()?;
    let is_sign = |word: &&Vec<u8>| BETWEEN.contains(&&word[..]);
    // `grep '|' {}`, `cut -d '|' {}` and `tr ',' '|'` mean the character.
    let is_option = |word: &[u8]| word.len() > 1 && word.starts_with(b"-");
    let meant = |three: &[Vec<u8>]| is_sign(&&three[1]) && !is_option(&three[0]);
    let [_, sign, _] = others.windows(3).find(|three| meant(three))? else {
        return None;
    };
    if CALCULATE.contains(&name) {
        return None;
    }
    let whole = words.iter().map(|word| match is_sign(&word) {
        true => text::escaped(word),
        false => shell_word(word),
    });
    let recipe = shell_recipe(whole.collect::<Vec<_>>().join(" ").as_bytes());
    Some(format!(
        "warning: {} is an argument of {}, since no shell reads these words\n  \
         tip: for a shell: {recipe}\n",
        text::quoted(sign),
        text::quoted(name),
    ))
}

/// How to give a text to a shell; as an example when this one would be refused,
/// or could not be shown as it is.
fn shell_recipe(text: &[u8]) -> String {
    let text = text.trim_ascii();
    if ShellText::parse(text, &Places::default(), Dialect::default()).is_err()
        || text.iter().any(u8::is_ascii_control)
    {
        return SHELL_RECIPE.to_owned();
    }
    format!("orchestrator run -c {}", shell_word(text))
}

/// Options of this program behind the first word of the command.
///
/// # Errors
/// When a worker is named and one of its options stands there.
pub(super) fn check_options(words: &[Vec<u8>]) -> Result<(), Message> {
    let is_ours = |word: &&Vec<u8>| {
        let name = word.split(|&byte| byte == b'=').next();
        matches!(name, Some(b"--task" | b"--worker-arg"))
    };
    let (Some(first), Some(ours)) = (words.first(), words.iter().skip(1).find(is_ours)) else {
        return Ok(());
    };
    Err(Message::new(format!(
        "{} after {} is part of the command",
        text::quoted(ours),
        text::quoted(first)
    ))
    .tip(format!(
        "arguments of the worker program: --worker-arg {}",
        shell_word(first)
    )))
}

/// Adds to what clap says about a command line of these words (without the
/// program's name).
pub(super) fn advise(error: &mut clap::Error, words: &[Vec<u8>]) {
    let theirs = theirs(error, words);
    if theirs.is_some() {
        // What is spelled like it here may do the opposite.
        error.remove(ContextKind::SuggestedArg);
    }
    let Some(tip) = theirs.or_else(|| advice(error, words)) else {
        return;
    };
    let tip = StyledStr::from(tip);
    // In the place of clap's own, which says how to pass an unknown option on
    // to a command that is not there yet.
    error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![tip]));
}

/// What to write for an option of GNU parallel that `run` does not have.
fn theirs(error: &clap::Error, words: &[Vec<u8>]) -> Option<String> {
    let is_run = words.first().is_some_and(|first| first == b"run");
    match error.get(ContextKind::InvalidArg)? {
        ContextValue::String(name) if is_run && error.kind() == ErrorKind::UnknownArgument => {
            parallel::in_run(name)
        }
        _ => None,
    }
}

fn advice(error: &clap::Error, words: &[Vec<u8>]) -> Option<String> {
    if error.kind() == ErrorKind::MissingRequiredArgument {
        return needed(error, words);
    }
    let unknown = matches!(
        error.kind(),
        ErrorKind::InvalidSubcommand | ErrorKind::UnknownArgument
    );
    if !unknown {
        return None;
    }
    let first = words.first()?;
    if first == b"run" {
        return Some(
            "options of the command stand behind its name: orchestrator run -- COMMAND …".into(),
        );
    }
    if error.get(ContextKind::SuggestedArg).is_some()
        || error.get(ContextKind::SuggestedSubcommand).is_some()
    {
        return None;
    }
    let is_ours = |name| Cli::command().find_subcommand(name).is_some();
    if std::str::from_utf8(first).is_ok_and(is_ours) || first == b"help" {
        return None;
    }
    // Options stay where they are; what is no option begins a command.
    let (dashes, words) = match &first[..] {
        b"--" => (" --", &words[1..]),
        [b'-', ..] => ("", words),
        _ => (" --", words),
    };
    let command: String = words
        .iter()
        .map(|word| format!(" {}", shell_word(word)))
        .collect();
    Some(format!(
        "to run a command for each line: orchestrator run{dashes}{command}"
    ))
}

/// Options that are nothing without another one.
const NEED: [(&str, &[&str]); 5] = [
    (
        "--pipe",
        &[
            "--block",
            "--block-size",
            "--recend",
            "--recstart",
            "--regexp",
            "--regex",
            "--remove-rec-sep",
            "--removerecsep",
            "--rrs",
            "--round-robin",
            "--round",
        ],
    ),
    ("--run-file", &["--resume", "--force", "--on-interrupted"]),
    ("--joblog", &["--skip-logged"]),
    ("--worker", &["--worker-arg"]),
    ("--slurm", &["--slurm-args"]),
];

/// Which of the words needs an option that is not there.
fn needed(error: &clap::Error, words: &[Vec<u8>]) -> Option<String> {
    let Some(ContextValue::Strings(missing)) = error.get(ContextKind::InvalidArg) else {
        return None;
    };
    let missing = missing.first()?.split(' ').next()?;
    let (_, options) = NEED.iter().find(|(needed, _)| *needed == missing)?;
    let mut ours = words.iter().take_while(|word| *word != b"--");
    let given = ours.find_map(|word| {
        let name = word.split(|byte| *byte == b'=').next()?;
        options.iter().find(|option| option.as_bytes() == name)
    })?;
    let has_log = words.iter().any(|word| word.starts_with(b"--joblog"));
    Some(match *given == "--resume" && has_log {
        true => "to go on by what --joblog says: --skip-logged ended".to_owned(),
        false => format!("{given} needs {missing}"),
    })
}

/// A word as it would be typed in a shell.
pub(super) fn shell_word(word: &[u8]) -> String {
    let shown = text::escaped(word);
    let plain = |c: char| c.is_alphanumeric() || "{}%+,-./:=@_#".contains(c);
    // `#` would begin a comment at the beginning of a word.
    if !shown.is_empty() && !shown.starts_with('#') && shown.chars().all(plain) {
        return shown;
    }
    format!("'{}'", shown.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lookup() -> Lookup {
        Lookup {
            cpus: None,
            path: Some("/usr/bin:/bin".into()),
            cwd: "/".into(),
            must_exist: true,
            history: None,
        }
    }

    fn words(words: &[&str]) -> Vec<Vec<u8>> {
        words.iter().map(|word| word.as_bytes().to_vec()).collect()
    }

    fn checked(list: &[&str]) -> Result<(), String> {
        check_words(&words(list), &lookup()).map_err(|message| message.to_string())
    }

    #[test]
    fn a_command_in_quotes_is_recognised() {
        assert_eq!(
            checked(&["sh -e {}"]).unwrap_err(),
            "error: `sh -e {}` is one word, so it would be the name of a program\n  \
             tip: leave out the quotes: orchestrator run -- sh -e {}\n"
        );
        assert_eq!(
            checked(&["sh {} | wc -c"]).unwrap_err(),
            "error: `sh {} | wc -c` is one word, so it would be the name of a program\n  \
             tip: pipes and the like are for a shell: \
             orchestrator run -c 'sh {} | wc -c'\n"
        );
        for (list, tip) in [
            (&["nosuch -9", "a b", "{}"][..], "-- nosuch -9 'a b' {}\n"),
            (&["cd {} && make"], " run -c 'cd {} && make'\n"),
            (&["cat \"{.}\" | wc"], " run -c 'cat \"{.}\" | wc'\n"),
            (&["cat | wc", "{}"], " run -c '… {} …'\n"),
            (&["cat | wc"], " run -c '… {} …'\n"),
            (&["cat {} |\nwc"], " run -c '… {} …'\n"),
        ] {
            let said = checked(list).unwrap_err();
            assert!(said.ends_with(tip), "{said}");
        }
        for fine in [&["sh", "-c", "a | b"][..], &["my dir/{}"], &["sh"], &["{}"]] {
            assert_eq!(checked(fine), Ok(()), "{fine:?}");
        }
    }

    #[test]
    fn a_word_for_a_shell_between_those_of_a_command_is_told() {
        let told = |list: &[&str]| between_words(&words(list)).unwrap_or_default();
        assert_eq!(
            told(&["/bin/sort", "-k 2", "{}", ">", "{.}.sorted"]),
            "warning: `>` is an argument of `sort`, since no shell reads these words\n  \
             tip: for a shell: orchestrator run -c '/bin/sort '\\''-k 2'\\'' {} > {.}.sorted'\n"
        );
        let piped = told(&["cat", "{}", "|", "wc", "-c", "2>&1"]);
        assert!(piped.ends_with("run -c 'cat {} | wc -c 2>&1'\n"), "{piped}");
        for fine in [
            &["expr", "{}", "|", "0"][..],
            &["[", "{}", ">", "b", "]"],
            &["find", "{}", "-exec", "ls", "{}", ";"],
            &["grep", "a|b", "{}"],
            &["grep", "|", "{}"],
            &["cut", "-d", "|", "-f1", "{}"],
            &["tr", ",", "|"],
            &[">"],
            &[],
        ] {
            assert_eq!(told(fine), "", "{fine:?}");
        }
    }

    #[test]
    fn a_program_whose_name_has_a_blank_is_no_quoted_command() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("my tool");
        std::os::unix::fs::symlink("/bin/sh", &path).unwrap();
        assert_eq!(checked(&[path.to_str().unwrap()]), Ok(()));
    }

    #[test]
    fn a_variable_in_front_is_for_env() {
        assert_eq!(
            checked(&["LC_ALL=C", "sort", "a b"]).unwrap_err(),
            "error: `LC_ALL=C` sets a variable where a shell reads it, and none reads these words\n  \
             tip: orchestrator run -- env LC_ALL=C sort 'a b'\n"
        );
        assert!(checked(&["x={}", "sh"]).is_err());
        for fine in [&["./a=b", "x"][..], &["env", "a=b"], &["=", "x"], &["1=2"]] {
            assert_eq!(checked(fine), Ok(()), "{fine:?}");
        }
    }

    #[test]
    fn empty_commands_are_refused() {
        assert_eq!(
            checked(&["", "{}"]).unwrap_err(),
            "error: the command is an empty word (an unset variable?)\n"
        );
    }

    #[test]
    fn words_are_quoted_for_a_shell() {
        assert_eq!(shell_word(b"a.b/{}"), "a.b/{}");
        assert_eq!(shell_word(b""), "''");
        assert_eq!(shell_word(b"it's $1"), "'it'\\''s $1'");
    }
}
