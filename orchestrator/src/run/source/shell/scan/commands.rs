//! What stands outside of all quotes: words, the signs between commands and redirections.

use super::super::super::place::{Place, Which};
use super::super::builtins::{self, Context};
use super::super::command;
use super::super::fault;
use super::super::names::Fed;
use super::super::numbers;
use super::super::several::{Put, Quotes, Span};
use super::{Command, Frame, Opener, Scanner, Word};

/// As how many words a word is looked at that may become any number of them.
const MANY: usize = 4;

/// The sign of a redirection that is none of two.
const HERE_STRING: u8 = b'=';

/// Commands that print what they are told.
const PRINTING: [&[u8]; 3] = [b"echo", b"printf", b"print"];

impl Scanner<'_> {
    /// Takes one piece of a row of commands.
    pub(super) fn in_command(&mut self) {
        if self.command().test.is_some() {
            return self.in_test();
        }
        let byte = self.text[self.at];
        let from = self.at;
        match byte {
            b'\'' => self.open(Frame::Single { from }, 1),
            b'"' => self.open(
                Frame::Double {
                    from,
                    dollar: false,
                },
                1,
            ),
            b'`' => match self.command().opener {
                Opener::Backticks { translated, .. } => self.end_backticks(translated),
                _ => self.backticks(),
            },
            b'$' => self.dollar(),
            b' ' | b'\t' => {
                self.end_word();
                self.copy(1);
            }
            b'#' if self.command().word.is_none() => self.comment(),
            b'\n' => self.line_feed(),
            b';' | b'&' | b'|' => {
                // `&&>` is none.
                let is_second = from.checked_sub(1).is_some_and(|at| self.text[at] == b'&');
                if self.text[from..].starts_with(b"&>") && !is_second {
                    self.found.both_streams.get_or_insert(from);
                }
                let is_pipe = byte == b'|' && self.text.get(from + 1) != Some(&b'|');
                self.end_command(is_pipe);
                self.not_simple();
                self.copy(1);
            }
            b'(' => self.parenthesis(),
            b')' => self.end_parenthesis(),
            b'<' | b'>' => self.redirection(),
            _ => {
                if b"{}".contains(&byte) {
                    self.not_simple();
                }
                self.take(byte);
            }
        }
    }

    fn comment(&mut self) {
        self.not_simple();
        let rest = &self.text[self.at..];
        let end = memchr::memchr(b'\n', rest).unwrap_or(rest.len());
        self.copy(end);
    }

    /// Something in the row of commands that is more than a command.
    fn not_simple(&mut self) {
        let outermost = self.frames.len() == 1;
        self.found.is_simple &= !outermost;
    }

    pub(super) fn end_word(&mut self) {
        let command = self.command();
        let Some(mut word) = command.word.take() else {
            return;
        };
        if command.test.is_some() {
            return self.end_word_of_test(word);
        }
        let begins = command::takes_command(&command.words);
        let redirection = command.redirection.take();
        let is_subject = command
            .words
            .last()
            .is_some_and(|last| last.is_bare(b"case"));
        // What is one word to the shell's grammar stays one, and so does a value.
        let splits = redirection.is_none() && !is_subject && !word.is_assignment();
        word.end = self.at;
        word.names_data = self.names.is_named_in(&word.value);
        let becomes_several = self.end_span(word.made, splits);
        if let Some(sign) = redirection {
            let command = self.command();
            // What else is read there is what the text says, or the line.
            command.has_input |= sign == b'<' && !word.feeds;
            command.fed.file |= sign != b'>' && word.holds();
            return;
        }
        let (at, is_case) = (word.at, word.is_bare(b"case"));
        self.found.speaks_of_parameters |= word.is_bare(b"shift");
        if word.is_bare(b"[[") {
            self.begin_test(at, begins);
        }
        let substituted = |frame: &Frame| {
            matches!(frame, Frame::Command(c)
                if !matches!(c.opener, Opener::Nothing | Opener::Parenthesis | Opener::Array))
        };
        if is_case && self.frames.iter().any(substituted) {
            self.fault(at, 4, &fault::CASE);
        }
        // Looked at as several words, of which a command reads each in another way.
        let copies = if becomes_several { MANY } else { 1 };
        let words = &mut self.command().words;
        words.extend(std::iter::repeat_n(word, copies));
    }

    /// The word that began here ends. Gives whether it may become several words.
    pub(super) fn end_span(&mut self, from: usize, splits: bool) -> bool {
        if !self.written.several {
            return false;
        }
        let found = &mut self.found;
        let is_own = |put: &&mut Put| put.at >= from && put.span.is_none();
        let mut own: Vec<&mut Put> = found
            .puts
            .iter_mut()
            .rev()
            .take_while(|put| put.at >= from)
            .filter(is_own)
            .collect();
        let alone =
            matches!(&own[..], [put] if put.at == from && from + put.length == found.text.len());
        for put in &mut own {
            put.span = Some(found.spans.len());
        }
        let takes_all =
            |put: &&mut Put| matches!(found.places[put.place], Place::Value(Which::All, _));
        let has_all = own.iter().any(takes_all);
        let unquoted = own.iter().any(|put| put.quotes == Quotes::None);
        let to = found.text.len();
        let has_blank = found.text[from..to].iter().any(u8::is_ascii_whitespace);
        let repeats = self.written.repeats && splits && has_all && !has_blank;
        if !own.is_empty() {
            found.spans.push(Span {
                from,
                to,
                splits,
                repeats,
                alone,
            });
        }
        repeats || splits && has_all && unquoted
    }

    /// The current command ends here, and is looked at; `piped` says whether another one reads
    /// what it prints.
    pub(super) fn end_command(&mut self, piped: bool) {
        self.end_word();
        let command = self.command();
        let words = std::mem::take(&mut command.words);
        let has_input = std::mem::take(&mut command.has_input);
        let inner = std::mem::take(&mut command.inner_prints);
        let silent = std::mem::take(&mut command.silent);
        let mixes = std::mem::take(&mut command.mixes);
        let next = Fed {
            pipe: piped && command.data.is_some(),
            file: false,
        };
        let fed = std::mem::replace(&mut command.fed, next);
        command.redirection = None;
        let is_array = command.opener == Opener::Array;
        let says_name = words.iter().find(|word| word.names_data);
        if words.iter().any(|word| word.is_one_of(&PRINTING)) {
            let says_name = says_name.map(|word| (word.at, word.value.len()));
            command.data = command.data.or(says_name);
        }
        let prints = inner || numbers::prints_data(&words, has_input || fed.file);
        command.prints |= !piped && (mixes || (prints && !silent));
        let context = Context {
            text: self.text,
            names: &self.names,
            dialect: self.dialect,
        };
        let mut marks;
        if is_array {
            // Elements are no command, but may become a part of one.
            let name = std::iter::once(Word::plain(0, b"echo", None));
            let all: Vec<Word> = name.chain(words.iter().cloned()).collect();
            marks = command::check(&all, has_input, &context);
            marks.extend(builtins::elements(&words, &context));
        } else {
            marks = command::check(&words, has_input, &context);
            self.names.follow(&words, fed);
        }
        for mark in marks {
            self.fault(mark.at, mark.length, mark.why);
        }
    }

    fn parenthesis(&mut self) {
        let text = self.text;
        let rest = &text[self.at + 1..];
        let mut next = rest.iter().filter(|byte| !b" \t".contains(byte));
        let is_empty = next.next() == Some(&b')');
        let (known, reads) = (self.dialect.knows_brackets(), self.dialect.calculates());
        let from = self.at;
        let command = self.command();
        let is_free = command.word.is_none() && command.redirection.is_none();
        let is_for = matches!(&command.words[..], [.., word] if word.is_bare(b"for"));
        let begins = is_for || command::takes_command(&command.words);
        let is_array =
            command.redirection.is_none() && command.word.as_ref().is_some_and(Word::begins_array);
        let is_fed = is_free && command.fed.pipe;
        if rest.first() == Some(&b'(') {
            let is_arithmetic = is_free && begins && reads;
            if !(is_arithmetic && known) {
                self.fault(from, 2, &fault::DOUBLE_PARENTHESIS);
            }
            if is_arithmetic {
                self.not_simple();
                return self.arithmetic(from, 2);
            }
        } else if is_array && reads {
            if !known {
                self.fault(from, 1, &fault::PARENTHESIS);
            }
            self.not_simple();
            return self.open(Frame::Command(Command::new(Opener::Array)), 1);
        } else if is_empty || !is_free {
            self.fault(from, 1, &fault::PARENTHESIS);
        }
        self.end_command(false);
        self.not_simple();
        if is_fed {
            self.names.input();
        }
        self.frames
            .push(Frame::Command(Command::new(Opener::Parenthesis)));
        self.copy(1);
    }

    fn end_parenthesis(&mut self) {
        self.end_command(false);
        self.not_simple();
        // The whole text has none: this one belongs to a pattern of `case`.
        let opener = self.command().opener;
        if !matches!(opener, Opener::Nothing | Opener::Backticks { .. }) {
            if !self.command().documents.is_empty() {
                self.fault(self.at, 1, &fault::UNCLEAR);
            }
            self.leave();
        }
        self.copy(1);
    }

    /// `<(…)` or `>(…)`, which is a part of a word.
    fn process(&mut self) {
        let from = self.at;
        if self.command().word.as_ref().is_some_and(Word::is_number) {
            self.fault(from, 2, &fault::UNCLEAR);
        }
        self.word().expand();
        self.open(Frame::Command(Command::new(Opener::Process { from })), 2);
    }

    fn redirection(&mut self) {
        self.not_simple();
        let text = self.text;
        let rest = &text[self.at..];
        if rest.get(1) == Some(&b'(') && self.dialect.knows_processes() {
            return self.process();
        }
        // `2>`: the number is no word.
        let command = self.command();
        let is_number = command.word.as_ref().is_some_and(Word::is_number);
        if is_number {
            command.word = None;
        }
        self.end_word();
        let sign = rest[0];
        if rest.starts_with(b"<<<") {
            if !self.dialect.knows_here_strings() {
                self.fault(self.at, 3, &fault::HERE_STRING);
            }
            self.copy(3);
            self.command().redirection = Some(HERE_STRING);
            return;
        } else if rest.starts_with(b"<<") {
            return self.here_document();
        } else {
            let follows = rest.get(1).is_some_and(|byte| b"<>&|".contains(byte));
            let mixes = rest.get(1) == Some(&b'&');
            let command = self.command();
            command.mixes |= sign == b'>' && mixes;
            command.silent |= sign == b'>' && !mixes && !is_number;
            self.copy(if follows { 2 } else { 1 });
        }
        self.command().redirection = Some(sign);
    }

    fn line_feed(&mut self) {
        self.end_command(false);
        self.not_simple();
        let documents = std::mem::take(&mut self.command().documents);
        self.copy(1);
        for document in documents {
            self.document(&document);
        }
    }
}
