//! What stands outside of all quotes: words, the signs between commands,
//! redirections and here-documents.

use super::super::super::place::Found;
use super::super::super::place::{Place, Which};
use super::super::command;
use super::super::fault;
use super::super::several::{Put, Quotes, Span};
use super::{Command, Document, Frame, Opener, Scanner, Word};

/// As how many words a word is looked at that may become any number of them.
const MANY: usize = 4;

impl Scanner<'_> {
    /// Takes one piece of a row of commands.
    pub(super) fn in_command(&mut self) {
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
            b'`' => self.backticks(),
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
                self.end_command();
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

    fn end_word(&mut self) {
        let command = self.command();
        let Some(word) = command.word.take() else {
            return;
        };
        let redirection = command.redirection.take();
        let is_subject = command
            .words
            .last()
            .is_some_and(|last| last.is_bare(b"case"));
        // What is one word to the shell's grammar stays one, and so does a value.
        let splits = redirection.is_none() && !is_subject && !word.is_assignment();
        let becomes_several = self.end_span(word.made, splits);
        if let Some(sign) = redirection {
            self.command().has_input |= sign == b'<';
            return;
        }
        let (at, is_case) = (word.at, word.is_bare(b"case"));
        self.found.speaks_of_parameters |= word.is_bare(b"shift");
        if word.is_bare(b"[[") {
            self.fault(at, 2, &fault::DOUBLE_BRACKET);
        }
        let substituted = |frame: &Frame| matches!(frame, Frame::Command(c) if matches!(c.opener, Opener::Substitution { .. }));
        if is_case && self.frames.iter().any(substituted) {
            self.fault(at, 4, &fault::CASE);
        }
        // Looked at as several words, of which a command reads each in another way.
        let copies = if becomes_several { MANY } else { 1 };
        let words = &mut self.command().words;
        words.extend(std::iter::repeat_n(word, copies));
    }

    /// The word that began here ends. Gives whether it may become several words.
    fn end_span(&mut self, from: usize, splits: bool) -> bool {
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

    /// The current command ends here, and is looked at.
    pub(super) fn end_command(&mut self) {
        self.end_word();
        let command = self.command();
        let words = std::mem::take(&mut command.words);
        let has_input = std::mem::take(&mut command.has_input);
        command.redirection = None;
        for mark in command::check(&words, has_input) {
            self.fault(mark.at, mark.length, mark.why);
        }
    }

    fn parenthesis(&mut self) {
        let text = self.text;
        let rest = &text[self.at + 1..];
        let mut next = rest.iter().filter(|byte| !b" \t".contains(byte));
        let is_empty = next.next() == Some(&b')');
        let command = self.command();
        if rest.first() == Some(&b'(') {
            self.fault(self.at, 2, &fault::DOUBLE_PARENTHESIS);
        } else if is_empty || command.word.is_some() || command.redirection.is_some() {
            self.fault(self.at, 1, &fault::PARENTHESIS);
        }
        self.end_command();
        self.not_simple();
        self.frames
            .push(Frame::Command(Command::new(Opener::Parenthesis)));
        self.copy(1);
    }

    fn end_parenthesis(&mut self) {
        self.end_command();
        self.not_simple();
        // The whole text has none: this one belongs to a pattern of `case`.
        if self.frames.len() > 1 {
            if !self.command().documents.is_empty() {
                self.fault(self.at, 1, &fault::UNCLEAR);
            }
            self.frames.pop();
        }
        self.copy(1);
    }

    fn redirection(&mut self) {
        self.not_simple();
        // `2>`: the number is no word.
        let command = self.command();
        if command.word.as_ref().is_some_and(Word::is_number) {
            command.word = None;
        }
        self.end_word();
        let rest = &self.text[self.at..];
        let sign = rest[0];
        if rest.starts_with(b"<<<") {
            self.fault(self.at, 3, &fault::HERE_STRING);
            self.copy(3);
        } else if rest.starts_with(b"<<") {
            return self.here_document();
        } else {
            let follows = rest.get(1).is_some_and(|byte| b"<>&|".contains(byte));
            self.copy(if follows { 2 } else { 1 });
        }
        self.command().redirection = Some(sign);
    }

    /// `<<` and the word behind it; the document comes with the next line.
    fn here_document(&mut self) {
        let from = self.at;
        let tabs = self.text[from + 2..].starts_with(b"-");
        self.copy(if tabs { 3 } else { 2 });
        let rest = &self.text[self.at..];
        let blanks = rest.iter().take_while(|byte| b" \t".contains(byte)).count();
        self.copy(blanks);
        let rest = &self.text[self.at..];
        let (open, quote): (usize, &[u8]) = match rest.first() {
            Some(b'\'') => (1, b"'"),
            Some(b'"') => (1, b"\""),
            Some(b'\\') => (1, b""),
            _ => (0, b""),
        };
        let is_plain = |b: &&u8| b.is_ascii_alphanumeric() || b"_-.,!%+=:@/".contains(*b);
        let length = rest[open..].iter().take_while(is_plain).count();
        let delimiter = rest[open..open + length].to_vec();
        let behind = &rest[open + length..];
        let ends = |byte: &u8| b" \t\n;&|()<>".contains(byte);
        let closed = behind.strip_prefix(quote);
        let closed = closed.filter(|rest| rest.first().is_none_or(ends));
        if delimiter.is_empty() || closed.is_none() {
            // A place in it is refused by that, too.
            return self.fault(from, 2, &fault::UNCLEAR);
        }
        self.copy(open + length + quote.len());
        let quoted = open > 0;
        let document = Document {
            delimiter,
            tabs,
            quoted,
        };
        self.command().has_input = true;
        self.command().documents.push(document);
    }

    fn line_feed(&mut self) {
        self.end_command();
        self.not_simple();
        let documents = std::mem::take(&mut self.command().documents);
        self.copy(1);
        for document in documents {
            self.document(&document);
        }
    }

    /// The lines of a here-document, up to its end or that of the text.
    fn document(&mut self, document: &Document) {
        while self.at < self.text.len() {
            let rest = &self.text[self.at..];
            let length = memchr::memchr(b'\n', rest).unwrap_or(rest.len());
            let line = &rest[..length];
            let end = (self.at + length + 1).min(self.text.len());
            let tabs = line
                .iter()
                .take_while(|&&b| document.tabs && b == b'\t')
                .count();
            if line[tabs..] == document.delimiter[..] {
                self.copy(end - self.at);
                return;
            }
            if !document.quoted && line.ends_with(b"\\") {
                self.fault(self.at + length - 1, 1, &fault::UNCLEAR);
            }
            while self.at < end {
                self.in_document(document.quoted);
            }
        }
    }

    fn in_document(&mut self, quoted: bool) {
        let rest = &self.text[self.at..];
        let before = self.at.checked_sub(1).map(|at| self.text[at]);
        match self.written.at(rest, before) {
            Found::Place(length, _) | Found::Unoffered(length, _) if before != Some(b'\\') => {
                self.found.has_place = true;
                self.fault(self.at, length, &fault::HERE_DOCUMENT);
                self.copy(length);
            }
            _ => {
                if rest[0] == b'$' && !quoted {
                    self.look_for_parameters();
                }
                self.copy(1);
            }
        }
    }
}
