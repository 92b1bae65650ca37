//! Commands that read their arguments as program text, or as something that a
//! shell evaluates: looked at word by word, a place in the wrong word is a
//! fault.
//!
//! Only what a shell does by itself is known here, and the shells that a
//! command starts. What other programs (`awk`, `sed`, `perl`) make of their
//! arguments is between them and whoever writes the text.

use std::borrow::Cow;

use super::builtins::{self, Context};
use super::fault;
use super::word::{Mark, Word};

/// Programs that give the argument of `-c` to a shell.
const STARTERS: [&[u8]; 5] = [b"su", b"runuser", b"script", b"flock", b"sg"];

/// Programs that give their arguments to a shell on another machine.
const REMOTE: [&[u8]; 3] = [b"ssh", b"rsh", b"slogin"];

/// Commands to which the name of a shell is a word like others, or that give
/// it more arguments.
const NAMING_PROGRAMS: [&[u8]; 6] = [b"which", b"type", b"whereis", b"echo", b"printf", b"xargs"];

/// Words behind which another command begins.
const RESERVED: [&[u8]; 10] = [
    b"if", b"then", b"elif", b"else", b"while", b"until", b"do", b"!", b"{", b"}",
];

/// Commands whose arguments are a command.
const PREFIXES: [&[u8]; 12] = [
    b"command",
    b"builtin",
    b"exec",
    b"env",
    b"sudo",
    b"doas",
    b"nohup",
    b"nice",
    b"setsid",
    b"time",
    b"noglob",
    b"nocorrect",
];

/// Looks at one command without its redirections; `has_input` says whether one
/// of them was `<`.
pub(super) fn check(words: &[Word], has_input: bool, context: &Context<'_>) -> Vec<Mark> {
    let start = name_at(words);
    let mut marks = builtins::assignments(words, start, context);
    let Some((name, arguments)) = words[start..].split_first() else {
        return marks;
    };
    if name.is_bare(b"[[") {
        marks.extend(builtins::double_brackets(arguments, context));
        return marks;
    }
    if name.place.is_some() && !name.value.contains(&b'/') {
        // The name of a built-in command, and what it evaluates.
        let mut both = arguments
            .iter()
            .filter_map(|word| word.refused(&fault::COMMAND_NAME));
        marks.extend(both.next().and(name.refused(&fault::COMMAND_NAME)));
    }
    if name.is_open() && name.place.is_none() && !name.value.contains(&b'/') {
        // The same by way of variables.
        let loose = name.held(&fault::COMMAND_HOLDS);
        marks.extend(loose.filter(|_| name.is_loose && !name.is_quoted));
        let has_data = arguments.iter().any(|word| word.data.is_some());
        marks.extend(name.held(&fault::COMMAND_HOLDS).filter(|_| has_data));
    }
    marks.extend(builtins::by_name(name, arguments, context));
    for (i, word) in words.iter().enumerate() {
        let following = &words[i + 1..];
        if word.is_shell() || (i == start && word.place.is_some()) {
            marks.extend(another_shell(&arguments_of(words, i)));
        } else if word.is_one_of(&STARTERS) {
            let texts = behind_c(following);
            marks.extend(texts.filter_map(|w| w.as_program(&fault::SHELL_TEXT)));
            // The first could be the option, and the second its text.
            let may_be_option = |pair: &&[Word]| pair[0].is_open() && pair[0].place.is_some();
            let mut pairs = following.windows(2).filter(may_be_option);
            let is_meant = i == start || word.value != b"script";
            let text = pairs.find_map(|pair| pair[1].refused(&fault::SHELL_TEXT));
            marks.extend(text.filter(|_| is_meant));
        } else if i == start && word.is_open() {
            // `$CC -c {}` is as good as `$SHELL -c 'ls {}'`, but for the blank.
            let texts = behind_c(following).filter(|w| w.value.contains(&b' '));
            marks.extend(texts.filter_map(|w| w.as_program(&fault::SHELL_TEXT)));
        } else if word.is_one_of(&REMOTE) {
            marks.extend(remote(following));
        }
        let fed = following
            .iter()
            .any(|word| word.feeds && word.data.is_some());
        if fed && (word.is_shell() || (i == start && word.is_one_of(&[b".", b"source"]))) {
            marks.push(word.marked(&fault::SHELL_INPUT));
        }
        let sources = i == start && word.is_one_of(&[b".", b"source"]);
        if sources && !has_input && following.first().is_some_and(is_input) {
            marks.push(word.marked(&fault::SHELL_INPUT));
        }
        let runs = !has_input && !name.is_one_of(&NAMING_PROGRAMS);
        if word.is_shell() && runs && reads_input(following) {
            marks.push(word.marked(&fault::SHELL_INPUT));
        }
    }
    marks
}

/// The number of the first of these plain words that a shell among them would
/// read as program text, and that depends on the line.
pub(in crate::run::source) fn program_text(words: &[Word]) -> Option<usize> {
    let shells = (0..).zip(words).filter(|(_, word)| word.is_shell());
    let mut marks = shells.flat_map(|(shell, _)| another_shell(&arguments_of(words, shell)));
    marks.next().map(|mark| mark.at)
}

/// What follows a word that may be a shell. What another shell calls itself (`sh -c '…' sh {}`)
/// is none, and takes no options: where that is plain to see nothing follows, and where it may be,
/// a word that may become several is one.
fn arguments_of(words: &[Word], shell: usize) -> Cow<'_, [Word]> {
    let arguments = &words[shell + 1..];
    if is_name_of_shell(&words[..shell]) {
        return Cow::Borrowed(&[]);
    }
    let may_be_name = shell >= 3 && {
        let option = &words[shell - 2].value;
        let takes_text = option.starts_with(b"-") && !option.starts_with(b"--");
        let before = &words[..shell - 2];
        takes_text && option.contains(&b'c') && before.iter().any(Word::is_shell)
    };
    if !may_be_name {
        return Cow::Borrowed(arguments);
    }
    let mut once = arguments.to_vec();
    once.dedup();
    Cow::Owned(once)
}

/// Whether these words are a shell with its options and its text, so that what follows is its name.
/// A shell behind an option, such as `-u sh`, may be something else.
fn is_name_of_shell(words: &[Word]) -> bool {
    let Some((text, words)) = words.split_last() else {
        return false;
    };
    let is_known = |word: &Word| word.known.is_none();
    let may_be_value = |word: &Word| !is_known(word) || word.value.starts_with(b"-");
    let takes_text = |options: &[Word]| {
        let mut has_text = false;
        let mut values = 0;
        for word in options {
            match &word.value[..] {
                _ if values > 0 => values -= 1,
                [b'-', b'-', ..] => return false,
                [b'-' | b'+', letters @ ..] if !letters.is_empty() => {
                    has_text |= letters.contains(&b'c');
                    values = letters.iter().filter(|b| b"oO".contains(b)).count();
                }
                _ => return false,
            }
        }
        has_text && values == 0
    };
    let mut shells = (0..words.len()).rev().filter(|&at| words[at].is_shell());
    is_known(text)
        && shells.next().is_some_and(|at| {
            let (before, options) = (&words[..at], &words[at + 1..]);
            !before.last().is_some_and(may_be_value)
                && options.iter().all(is_known)
                && takes_text(options)
        })
}

/// Where the command's name is, behind assignments and the like.
pub(super) fn name_at(words: &[Word]) -> usize {
    let mut has_prefix = false;
    let comes_before = |word: &&Word| {
        let is_prefix = word.is_one_of(&PREFIXES);
        let is_option = has_prefix && word.value.starts_with(b"-");
        has_prefix |= is_prefix;
        is_prefix || is_option || is_reserved(word) || word.is_assignment()
    };
    words.iter().take_while(comes_before).count()
}

fn is_reserved(word: &Word) -> bool {
    RESERVED.iter().any(|reserved| word.is_bare(reserved))
}

/// Whether behind these words the shell's grammar takes a command.
pub(super) fn takes_command(words: &[Word]) -> bool {
    let timed = [&b"time"[..], b"-p", b"coproc"];
    let is_timed = |word: &Word| timed.iter().any(|timed| word.is_bare(timed));
    words.iter().all(|word| is_reserved(word) || is_timed(word))
}

/// The arguments of another shell: its options, then the program text if there
/// is `-c`, or a script.
fn another_shell(arguments: &[Word]) -> Vec<Mark> {
    let mut takes_text = false;
    let mut ended = false;
    let mut skip = 0;
    let mut marks = Vec::new();
    for (i, word) in arguments.iter().enumerate() {
        if skip > 0 {
            skip -= 1;
            continue;
        }
        let is_option =
            !ended && !word.is_open() && matches!(word.value.first(), Some(b'-' | b'+'));
        if !is_option {
            let follows = arguments[i + 1..].iter().any(|word| word.place.is_some());
            if takes_text {
                marks.extend(word.as_program(&fault::SHELL_TEXT));
            } else if !ended && word.is_open() && follows {
                marks.push(word.marked(&fault::OPTION));
            }
            break;
        }
        marks.extend(word.refused(&fault::SHELL_TEXT));
        match &word.value[..] {
            b"--" | b"-" => ended = true,
            b"--rcfile" | b"--init-file" => skip = 1,
            b"--command" => takes_text = true,
            long if long.starts_with(b"--") => {}
            short => {
                takes_text |= short.contains(&b'c');
                skip = short.iter().filter(|b| b"oO".contains(b)).count();
            }
        }
    }
    marks
}

/// The arguments of `-c`, wherever that stands.
fn behind_c(arguments: &[Word]) -> impl Iterator<Item = &Word> {
    let takes_text = |word: &Word| {
        let is_short = word.value.starts_with(b"-") && !word.value.starts_with(b"--");
        let is_long = word.is_one_of(&[b"--command", b"--session-command"]);
        is_long || (is_short && word.value.ends_with(b"c"))
    };
    let behind = arguments
        .windows(2)
        .filter(move |pair| takes_text(&pair[0]));
    let within = arguments.iter().filter(|word| {
        let is_long = word.value.starts_with(b"--command=");
        is_long || (word.may_be_option() && !word.is_open())
    });
    behind.map(|pair| &pair[1]).chain(within)
}

/// The arguments of `ssh`: everything behind the name of the machine is read by
/// a shell there.
fn remote(arguments: &[Word]) -> Vec<Mark> {
    const WITH_VALUE: &[u8] = b"BbcDEeFIiJLlmOoPpQRSWw";
    let mut rest = arguments;
    while let Some((word, others)) = rest.split_first() {
        rest = others;
        match &word.value[..] {
            _ if word.is_open() || word.may_be_option() => {
                // As an option it could name a command for this machine.
                let option = word.place.map(|_| word.marked(&fault::OPTION));
                let command = others.iter().filter_map(|w| w.as_program(&fault::REMOTE));
                return option.into_iter().chain(command).collect();
            }
            b"--" => {
                rest = rest.get(1..).unwrap_or_default();
                break;
            }
            [b'-', letter] if WITH_VALUE.contains(letter) => {
                rest = rest.get(1..).unwrap_or_default();
            }
            [b'-', ..] => {}
            _ => break,
        }
    }
    rest.iter()
        .filter_map(|w| w.as_program(&fault::REMOTE))
        .collect()
}

/// Whether it is what comes through a pipe, by the name of a file.
fn is_input(word: &Word) -> bool {
    let is_open_file = |begin: &[u8]| word.value.starts_with(begin);
    word.value == b"/dev/stdin" || is_open_file(b"/dev/fd/") || is_open_file(b"/proc/self/fd/")
}

/// Whether a shell with these arguments reads its program from its input.
fn reads_input(arguments: &[Word]) -> bool {
    let mut is_value = false;
    for word in arguments {
        match &word.value[..] {
            _ if is_value => is_value = false,
            // The same input, by another name.
            b"/dev/stdin" | b"/dev/fd/0" | b"/proc/self/fd/0" => return true,
            _ if word.is_open() => return false,
            b"-" | b"--" => {}
            [b'-', b'-', ..] => return false,
            [b'-' | b'+', letters @ ..] => {
                if letters.contains(&b'c') {
                    return false;
                }
                if letters.contains(&b's') {
                    return true;
                }
                is_value = letters.iter().any(|b| b"oO".contains(b));
            }
            _ => return false,
        }
    }
    true
}
