//! Names of variables that may hold what comes from the line.
//!
//! Bash, Korn shells and zsh take what a variable holds for an expression where they calculate, and
//! run the commands in it: with `n={}` and a line `a[$(…)]`, `$((n + 1))` would make program text of
//! the line. So a text is read to find the names that may hold data, again and again until there
//! are no more, since a loop may hand on later what stands before it. Where a value was assigned, and
//! whether something else was in between, does not matter: a name that may hold data holds it.

use std::collections::BTreeSet;

use super::builtins::{DECLARING, NAMING};
use super::command::name_at;
use super::word::Word;

/// Built-in commands that read what comes on standard input into variables.
const READING: [&[u8]; 5] = [b"read", b"mapfile", b"readarray", b"getopts", b"vared"];

/// What begins a row of commands that reads what comes through a pipe in front of it.
const OPENING: [&[u8]; 9] = [
    b"{", b"while", b"until", b"for", b"if", b"case", b"select", b"!", b"time",
];

/// What ends such a row; a redirection behind it is for all of it.
const CLOSING: [&[u8]; 5] = [b"}", b"done", b"fi", b"esac", b"exec"];

/// What is known of the variables of a text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Names {
    /// Those that may hold data.
    data: BTreeSet<Vec<u8>>,
    /// Those that are numbers: what they are given is calculated.
    numbers: BTreeSet<Vec<u8>>,
    /// Whether any name may hold data, since it cannot be told which.
    all: bool,
    /// Whether what comes on standard input is data.
    input: bool,
    /// Whether what a pattern has matched may be more than a number.
    matched: bool,
}

/// How a command is fed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Fed {
    /// Through a pipe behind something with data in it.
    pub(super) pipe: bool,
    /// By a redirection with data in it.
    pub(super) file: bool,
}

impl Names {
    pub(super) fn new(input: bool) -> Names {
        Names {
            input,
            ..Names::default()
        }
    }

    /// Grows with everything that is found.
    pub(super) fn size(&self) -> usize {
        let flags = [self.all, self.input, self.matched];
        let set = flags.iter().filter(|flag| **flag).count();
        self.data.len() + self.numbers.len() + set
    }

    /// Whether a variable, or a parameter by its number or sign, may hold data.
    pub(super) fn holds_data(&self, name: &[u8]) -> bool {
        const ALWAYS: [&[u8]; 7] = [b"@", b"*", b"_", b"argv", b"PWD", b"OLDPWD", b"BASH_ARGV"];
        const MATCHES: [&[u8]; 3] = [b"BASH_REMATCH", b"MATCH", b"match"];
        let is_number = !name.is_empty() && name.iter().all(u8::is_ascii_digit);
        (is_number && name != b"0")
            || ALWAYS.contains(&name)
            || (self.matched && MATCHES.contains(&name))
            || (!name.is_empty() && self.all)
            || self.data.contains(name)
    }

    pub(super) fn reads_data(&self) -> bool {
        self.input
    }

    /// What comes on standard input may be data.
    pub(super) fn input(&mut self) {
        self.input = true;
    }

    /// What a pattern matches may be data.
    pub(super) fn matched(&mut self) {
        self.matched = true;
    }

    /// It cannot be told any more which name holds what.
    pub(super) fn all(&mut self) {
        self.all = true;
    }

    pub(super) fn give(&mut self, name: &[u8]) {
        if !name.is_empty() {
            self.data.insert(name.to_vec());
        }
    }

    /// Whether this one is a number and may be given data.
    pub(super) fn is_calculated(&self, name: &[u8]) -> bool {
        self.numbers.contains(name) && self.holds_data(name)
    }

    /// The first name in a text that may hold data: where it begins, and how long it is.
    pub(super) fn first_in(&self, text: &[u8]) -> Option<(usize, usize)> {
        let mut at = 0;
        while at < text.len() {
            let length = name_length(&text[at..]);
            let found = match text[at] {
                b'$' => {
                    let brace = usize::from(text.get(at + 1) == Some(&b'{'));
                    let rest = text.get(at + 1 + brace..).unwrap_or_default();
                    let digits = rest.iter().take_while(|b| b.is_ascii_digit()).count();
                    let sign = usize::from(matches!(rest.first(), Some(b'@' | b'*')));
                    let inner = &rest[..digits.max(sign).max(name_length(rest))];
                    self.holds_data(inner)
                        .then_some((at, 1 + brace + inner.len()))
                }
                _ if length > 0 => {
                    let held = self.holds_data(&text[at..at + length]);
                    held.then_some((at, length))
                }
                _ => None,
            };
            if found.is_some() {
                return found;
            }
            // What begins with a digit is no name.
            let word = text[at..].iter().take_while(|b| is_in_name(b)).count();
            at += word.max(1);
        }
        None
    }

    /// Whether a word says such a name itself, and not what the variable holds.
    pub(super) fn is_named_in(&self, word: &[u8]) -> bool {
        let mut written = Vec::new();
        let mut rest = word;
        while let Some(&first) = rest.first() {
            let length = match (first, rest.get(1)) {
                (b'$', Some(b'{')) => braces_length(rest),
                (b'$', _) => 1 + name_length(&rest[1..]).max(1),
                _ => 1,
            };
            written.push(if length == 1 { first } else { b' ' });
            rest = &rest[length.min(rest.len())..];
        }
        self.first_in(&written).is_some()
    }

    /// What a command does to variables; `fed` says what it reads.
    pub(super) fn follow(&mut self, words: &[Word], fed: Fed) {
        let start = name_at(words);
        self.open(words, fed);
        let declares = words
            .get(start)
            .is_some_and(|name| name.is_one_of(&DECLARING));
        let values = if declares { words } else { &words[..start] };
        // An element looks like a command.
        let values = values.iter().chain(words.get(start).filter(|_| !declares));
        for word in values.filter(|word| word.holds()) {
            self.assign(word);
        }
        let Some((name, arguments)) = words[start..].split_first() else {
            return;
        };
        match &name.value[..] {
            b"for" | b"select" | b"foreach" => {
                let list = arguments.iter().position(|word| word.is_bare(b"in"));
                let names = &arguments[..list.unwrap_or(arguments.len())];
                let mut values = arguments[names.len()..].iter();
                // Without a list it is the parameters.
                if list.is_none() || values.any(Word::holds) {
                    names.iter().for_each(|name| self.give_to(name));
                }
                if name.value == b"select" && self.input {
                    self.give(b"REPLY");
                }
            }
            value if READING.contains(&value) => {
                if value == b"getopts" {
                    self.give(b"OPTARG");
                }
                if value == b"getopts" || self.input || fed.pipe || fed.file {
                    self.read(arguments);
                }
            }
            value if DECLARING.contains(&value) => self.declare(value, arguments),
            b"printf" | b"print" => {
                let option = arguments.iter().position(|w| w.value.starts_with(b"-v"));
                let holds = arguments.iter().any(Word::holds);
                if let Some(at) = option.filter(|_| holds) {
                    match &arguments[at].value[2..] {
                        b"" => arguments
                            .get(at + 1)
                            .into_iter()
                            .for_each(|w| self.give_to(w)),
                        name => self.give(name),
                    }
                }
            }
            b"set"
                if arguments.iter().any(Word::holds)
                    && arguments.first().is_some_and(|w| w.value.ends_with(b"A")) =>
            {
                arguments.get(1).into_iter().for_each(|w| self.give_to(w));
            }
            // What it is told may hand on what a variable holds.
            b"eval" if arguments.iter().any(|w| self.first_in(&w.value).is_some()) => self.all(),
            _ => {}
        }
    }

    /// Rows of commands that are fed with data as a whole.
    fn open(&mut self, words: &[Word], fed: Fed) {
        let first = words.first();
        let opens = first.is_some_and(|word| word.is_one_of(&OPENING) || word.is_assignment());
        let closes = first.is_none() || words.iter().any(|word| word.is_one_of(&CLOSING));
        self.input |= (fed.pipe && opens) || (fed.file && closes);
    }

    /// A word with data in it that gives a variable its value, or an element of an array.
    fn assign(&mut self, word: &Word) {
        if let Some(name) = word.assigned() {
            self.give(name);
        } else if word.is_element() {
            self.give(&word.value[..name_length(&word.value)]);
        }
    }

    fn read(&mut self, arguments: &[Word]) {
        let mut names = 0;
        for word in arguments {
            match &word.value[..] {
                // The name may stand behind the letter.
                [b'-', _, rest @ ..] => self.give(&rest[..name_length(rest)]),
                _ => {
                    names += 1;
                    self.give_to(word);
                }
            }
        }
        if names == 0 || arguments.iter().any(|word| word.value.starts_with(b"-")) {
            self.give(b"REPLY");
            self.give(b"MAPFILE");
        }
    }

    /// A command that makes variables; their values are looked at with all others.
    fn declare(&mut self, command: &[u8], arguments: &[Word]) {
        let is_option = |word: &&Word| matches!(word.value.first(), Some(b'-' | b'+'));
        let mut options = arguments.iter().filter(is_option);
        let numbers = matches!(command, b"integer" | b"float")
            || options.any(|word| word.value.iter().any(|b| b"iFE".contains(b)));
        for word in arguments.iter().filter(|word| !is_option(word)) {
            if word.known == Some(0) && word.data.is_some() {
                self.all();
            }
            if numbers {
                self.numbers
                    .insert(word.value[..name_length(&word.value)].to_vec());
            }
        }
    }

    /// The variable that this word names; if it is known only later, it may be any.
    fn give_to(&mut self, word: &Word) {
        match word.known {
            None => self.give(&word.value[..name_length(&word.value)]),
            Some(_) => self.all(),
        }
    }
}

/// How long `${…}` is with which this begins.
fn braces_length(text: &[u8]) -> usize {
    let mut depth = 0_usize;
    for (at, byte) in text.iter().enumerate() {
        match byte {
            b'{' => depth += 1,
            b'}' if depth <= 1 => return at + 1,
            b'}' => depth -= 1,
            _ => {}
        }
    }
    text.len()
}

fn is_in_name(byte: &u8) -> bool {
    byte.is_ascii_alphanumeric() || *byte == b'_'
}

/// How long the name is with which this begins.
pub(super) fn name_length(text: &[u8]) -> usize {
    match text.first() {
        Some(first) if first.is_ascii_digit() => 0,
        _ => text.iter().take_while(|byte| is_in_name(byte)).count(),
    }
}

/// Whether a built-in command takes names of variables, as `unset` does.
pub(super) fn takes_names(command: &[u8]) -> bool {
    NAMING.contains(&command) || READING.contains(&command) || DECLARING.contains(&command)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_in_what_is_calculated() {
        let mut names = Names::new(false);
        names.give(b"n");
        for (text, found) in [
            ("1 + n", Some((4, 1))),
            ("1 + nn + 0n + n1", None),
            ("16#n", Some((3, 1))),
            ("a[n]", Some((2, 1))),
            ("$1", Some((0, 2))),
            ("x ${12}", Some((2, 4))),
            ("$0 $# ${#}", None),
            ("$n", Some((0, 2))),
            ("\"$@\"", Some((1, 2))),
            ("", None),
        ] {
            assert_eq!(names.first_in(text.as_bytes()), found, "{text}");
        }
    }
}
