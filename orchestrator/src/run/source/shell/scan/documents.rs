//! Here-documents.

use super::super::super::place::Found;
use super::super::fault;
use super::frame::Document;
use super::{Frame, Scanner};

impl Scanner<'_> {
    /// `<<` and the word behind it; the document comes with the next line.
    pub(super) fn here_document(&mut self) {
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
        // A program may have values in it.
        let rest = &self.text[self.at..];
        let is_fixed = quoted || memchr::memchr2(b'$', b'`', rest).is_none();
        self.command().has_input |= is_fixed;
        self.command().documents.push(document);
    }

    /// The lines of a here-document, up to its end or that of the text.
    pub(super) fn document(&mut self, document: &Document) {
        let (end, next) = self.end_of(document);
        if document.quoted || !self.dialect.calculates() {
            while self.at < end {
                self.in_document(document.quoted);
            }
        } else {
            self.expanded(end);
        }
        self.copy(next.saturating_sub(self.at));
    }

    /// Where the lines of a here-document end, and where the text goes on.
    fn end_of(&mut self, document: &Document) -> (usize, usize) {
        let mut at = self.at;
        while at < self.text.len() {
            let rest = &self.text[at..];
            let length = memchr::memchr(b'\n', rest).unwrap_or(rest.len());
            let line = &rest[..length];
            let next = (at + length + 1).min(self.text.len());
            let tabs = line
                .iter()
                .take_while(|&&b| document.tabs && b == b'\t')
                .count();
            if line[tabs..] == document.delimiter[..] {
                return (at, next);
            }
            if !document.quoted && line.ends_with(b"\\") {
                self.fault(at + length - 1, 1, &fault::UNCLEAR);
            }
            at = next;
        }
        (at, at)
    }

    /// Lines in which the shell expands what begins with a dollar sign: to look at that.
    fn expanded(&mut self, end: usize) {
        let depth = self.frames.len();
        self.frames.push(Frame::Document);
        while self.at < end {
            if self.text[self.at] == b'\\' && self.frames.len() == depth + 1 {
                self.copy(2);
            } else {
                self.step();
            }
        }
        if self.frames.len() != depth + 1 || self.at != end {
            self.fault(end - 1, 1, &fault::UNCLEAR);
        }
        self.frames.truncate(depth);
        self.command().word = None;
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
