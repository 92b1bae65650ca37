//! Places, which become parameters, and backslashes, which may stand before them.

use super::super::super::place::{Found, Place};
use super::super::fault;
use super::super::several::{Put, Quotes};
use super::{Command, Frame, Scanner};

impl Scanner<'_> {
    /// Puts a parameter here if this is a place.
    pub(super) fn place(&mut self) -> bool {
        let rest = &self.text[self.at..];
        let before = self.at.checked_sub(1).map(|at| self.text[at]);
        match self.written.at(rest, before) {
            Found::Nothing => return false,
            Found::Place(length, place) => self.put(length, place),
            Found::Unoffered(length, why) => {
                self.found.has_place = true;
                self.fault(self.at, length, why);
                self.copy(length);
            }
        }
        true
    }

    fn put(&mut self, length: usize, place: Place) {
        self.found.has_place = true;
        // Made here, of digits: nothing that a shell could take for anything else.
        let is_number = !matches!(place, Place::Value(..));
        let deeper = |at: usize| {
            let mut inner = self.frames[at + 1..].iter();
            inner.any(|frame| matches!(frame, Frame::Command(_)))
        };
        let refused = self
            .frames
            .iter()
            .enumerate()
            .find_map(|(at, frame)| match frame {
                Frame::Command(_) | Frame::Single { .. } | Frame::Double { dollar: false, .. } => {
                    None
                }
                Frame::Document => Some(&fault::HERE_DOCUMENT),
                Frame::Arithmetic { .. } | Frame::Backticks { .. } if is_number => None,
                Frame::Double { dollar: true, .. } | Frame::DollarSingle { .. } => {
                    Some(&fault::DOLLAR_QUOTES)
                }
                Frame::Parameter { .. } => Some(&fault::PARAMETER),
                // A number may come of a command with data in it.
                Frame::Arithmetic { .. } if deeper(at) => None,
                Frame::Arithmetic { .. } => Some(&fault::ARITHMETIC),
                Frame::Backticks { .. } => Some(&fault::BACKTICKS),
            });
        if let Some(why) = refused {
            self.fault(self.at, length, why);
        }
        let at = self.at;
        match is_number {
            true => self.word().value.push(b'0'),
            false => {
                self.word().expand();
                self.data(at, length, false);
            }
        }
        // All words around it depend on the line.
        for frame in self.frames.iter_mut().filter(|_| !is_number) {
            if let Frame::Command(Command {
                word: Some(word), ..
            }) = frame
            {
                word.place.get_or_insert((at, length));
            }
        }
        let places = &mut self.found.places;
        let known = places.iter().position(|known| *known == place);
        let number = 1 + known.unwrap_or_else(|| {
            places.push(place);
            places.len() - 1
        });
        // With braces, a digit may follow.
        let quotes = match self.top() {
            Frame::Double { .. }
            | Frame::Arithmetic { .. }
            | Frame::Backticks { .. }
            | Frame::Document => Quotes::Double,
            Frame::Single { .. } => Quotes::Single,
            _ => Quotes::None,
        };
        let parameter = quotes.around(&format!("${{{number}}}"));
        self.found.puts.push(Put {
            at: self.found.text.len(),
            length: parameter.len(),
            place: number - 1,
            quotes,
            span: None,
        });
        self.found.text.extend_from_slice(parameter.as_bytes());
        self.at += length;
    }

    pub(super) fn backslash(&mut self) {
        let next = self.text.get(self.at + 1).copied();
        let escaped = &self.text[self.at + 1..];
        if let Found::Place(length, _) | Found::Unoffered(length, _) =
            self.written.at(escaped, None)
        {
            if !self.written.ours {
                return self.backslash_before_place();
            }
            // Within quotes the shell would leave the backslash there.
            if matches!(self.top(), Frame::Single { .. } | Frame::Double { .. }) {
                self.at += 1;
            } else {
                self.copy(1);
            }
            self.word().value.extend_from_slice(&escaped[..length]);
            return self.copy(length);
        }
        match (self.top(), next) {
            (Frame::Single { .. }, _) => self.take(b'\\'),
            (_, Some(b'\n')) => {
                // What it joins could be one sign.
                let before = self.at.checked_sub(1).map(|at| self.text[at]);
                if before.is_some_and(|byte| b"$<>(&|;".contains(&byte)) {
                    self.fault(self.at, 1, &fault::UNCLEAR);
                }
                self.copy(2);
            }
            (Frame::Command(_), None) => {
                self.found.is_simple = false;
                self.take(b'\\');
            }
            (Frame::Command(_), Some(byte)) => {
                let word = self.word();
                word.value.push(byte);
                word.is_quoted = true;
                self.copy(2);
            }
            (Frame::Double { .. }, Some(byte)) => {
                let kept: &[u8] = if b"$`\"\\".contains(&byte) {
                    b""
                } else {
                    b"\\"
                };
                let word = self.word();
                word.value.extend_from_slice(kept);
                word.value.push(byte);
                self.copy(2);
            }
            // Where there are escapes, `\'` does not end it, but elsewhere it
            // does.
            (Frame::DollarSingle { .. }, _) if self.dialect.knows_brackets() => {
                self.word().expand();
                self.copy(2);
            }
            (Frame::DollarSingle { .. } | Frame::Arithmetic { .. }, _) => {
                self.fault(self.at, 2, &fault::UNCLEAR);
                self.copy(2);
            }
            (
                Frame::Parameter { .. }
                | Frame::Backticks { .. }
                | Frame::Double { .. }
                | Frame::Document,
                _,
            ) => self.copy(2),
        }
    }

    /// A backslash that leaves a place a place: in double quotes it stays, and elsewhere it would be
    /// about the first character of the value, which needs none.
    fn backslash_before_place(&mut self) {
        match self.top() {
            Frame::Single { .. } => self.take(b'\\'),
            Frame::Double { .. } => {
                self.word().value.push(b'\\');
                self.found.text.extend_from_slice(b"\\\\");
                self.at += 1;
            }
            _ => self.at += 1,
        }
    }
}
