//! `[[ … ]]`, where words are not split and `<`, `&&` and parentheses are operators.

use super::super::fault;
use super::frame::Test;
use super::{Frame, Scanner, Word};

impl Scanner<'_> {
    /// `[[`, where a command begins or elsewhere.
    pub(super) fn begin_test(&mut self, at: usize, begins: bool) {
        if !(begins && self.dialect.knows_brackets()) {
            self.fault(at, 2, &fault::DOUBLE_BRACKET);
        }
        if begins && self.dialect.calculates() {
            self.command().test = Some(Test::default());
        }
    }

    /// Takes one piece of a test.
    pub(super) fn in_test(&mut self) {
        let byte = self.text[self.at];
        let word = self.command().word.as_ref();
        if b" \t\n;&|)<>".contains(&byte) && word.is_some_and(|word| word.is_bare(b"]]")) {
            return self.end_word();
        }
        let Some(test) = self.command().test else {
            return;
        };
        let in_pattern = test.depth > 0 || test.is_pattern;
        let has_word = self.command().word.is_some();
        let from = self.at;
        match byte {
            b'\'' => self.open(Frame::Single { from }, 1),
            b'"' => {
                let dollar = false;
                self.open(Frame::Double { from, dollar }, 1);
            }
            b'`' => self.backticks(),
            b'$' => self.dollar(),
            b' ' | b'\t' | b'\n' if test.depth == 0 => {
                self.end_word();
                self.copy(1);
            }
            b'(' if has_word || in_pattern => self.take_in_test(byte, test.depth + 1),
            b')' if test.depth > 0 => self.take_in_test(byte, test.depth - 1),
            b'|' | b'<' | b'>' | b'&' if in_pattern => self.take(byte),
            b'(' | b')' | b'<' | b'>' | b'&' | b'|' => {
                self.end_word();
                let is_double = self.text.get(from + 1) == Some(&byte) && b"&|".contains(&byte);
                let length = if is_double { 2 } else { 1 };
                let mut sign = Word::new(from, self.found.text.len());
                sign.value = self.text[from..from + length].to_vec();
                sign.end = from + length;
                self.command().words.push(sign);
                self.copy(length);
            }
            b';' => {
                self.fault(from, 1, &fault::UNCLEAR);
                self.command().test = None;
            }
            _ => self.take(byte),
        }
    }

    fn take_in_test(&mut self, byte: u8, depth: usize) {
        if let Some(test) = &mut self.command().test {
            test.depth = depth;
        }
        self.take(byte);
    }

    /// A word of a test ends here.
    pub(super) fn end_word_of_test(&mut self, mut word: Word) {
        word.end = self.at;
        self.end_span(word.made, false);
        let is_pattern = word.is_bare(b"=~");
        let is_end = word.is_bare(b"]]");
        let command = self.command();
        let was_pattern = command.test.is_some_and(|test| test.is_pattern);
        if let Some(test) = &mut command.test {
            test.is_pattern = is_pattern;
            test.depth = 0;
        }
        word.names_data = self.names.is_named_in(&word.value);
        let command = self.command();
        let subject = command.words.iter().rev().nth(1);
        let compares_data = was_pattern && subject.is_some_and(Word::holds);
        if is_end {
            command.test = None;
        }
        if compares_data && !fits_digits(&word, &self.text[word.at..word.end]) {
            self.names.matched();
        }
        self.command().words.push(word);
    }
}

/// Whether a regular expression in a text matches nothing but digits and signs.
fn fits_digits(word: &Word, text: &[u8]) -> bool {
    let mut rest = text;
    let mut fits = word.known.is_none() && !word.is_quoted;
    while let (true, Some(first)) = (fits, rest.first()) {
        let class = [&b"[0-9]"[..], b"[[:digit:]]"];
        let class = class.iter().find(|class| rest.starts_with(class));
        fits = class.is_some() || first.is_ascii_digit() || b"()-+*?^$|{,}:".contains(first);
        rest = &rest[class.map_or(1, |class| class.len())..];
    }
    fits
}
