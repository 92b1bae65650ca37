//! Reads shell text once, from left to right, and puts a positional parameter
//! in every place.
//!
//! What matters is where quotes begin and end: a stack of frames follows them
//! as POSIX says, with fresh quotes within each `$(…)`. The words of every
//! command are collected on the way and handed to [`command::check`]. Where
//! shells disagree about the end of something, that is a fault of the kind that
//! matters when there is a place.

use super::super::place::{Found, Place, Places};
use super::fault::{self, Fault, Weight, Why};
use super::several::{Put, Quotes, Span};
use super::word::Word;
use frame::{Command, Document, Frame, Opener};

/// What was found in a text.
#[derive(Debug)]
pub(super) struct Scan {
    /// The text with parameters in its places.
    pub(super) text: Vec<u8>,
    /// What the parameters are made of.
    pub(super) places: Vec<Place>,
    /// Where they were put.
    pub(super) puts: Vec<Put>,
    /// Words with places for all fields in them.
    pub(super) spans: Vec<Span>,
    /// Whether there was a place.
    pub(super) has_place: bool,
    /// Whether the text says `$1`, `$@` or the like itself.
    pub(super) speaks_of_parameters: bool,
    /// Whether it is one command without anything around it.
    pub(super) is_simple: bool,
    /// Where `&>` stands, which few shells know.
    pub(super) both_streams: Option<usize>,
}

/// Reads a text.
///
/// # Errors
/// When it is not complete, or has a place where the line would not stay data.
pub(super) fn scan(text: &[u8], written: &Places) -> Result<Scan, Fault> {
    let mut scanner = Scanner {
        text,
        written,
        at: 0,
        frames: vec![Frame::Command(Command::new(Opener::Nothing))],
        faults: Vec::new(),
        found: Scan {
            text: Vec::with_capacity(text.len() + 16),
            places: vec![Place::WHOLE],
            puts: Vec::new(),
            spans: Vec::new(),
            has_place: false,
            speaks_of_parameters: false,
            is_simple: true,
            both_streams: None,
        },
    };
    while scanner.at < text.len() {
        scanner.step();
    }
    scanner.finish()
}

struct Scanner<'a> {
    text: &'a [u8],
    written: &'a Places,
    at: usize,
    frames: Vec<Frame>,
    faults: Vec<Fault>,
    found: Scan,
}

impl Scanner<'_> {
    /// Takes one piece of the text.
    fn step(&mut self) {
        let rest = &self.text[self.at..];
        if rest[0] == b'\\' {
            return self.backslash();
        }
        if self.place() {
            return;
        }
        match (self.top(), rest[0]) {
            (Frame::Command(_), _) => self.in_command(),
            (Frame::Single { .. } | Frame::DollarSingle { .. }, b'\'')
            | (Frame::Double { .. }, b'"')
            | (Frame::Backticks { .. }, b'`') => self.close(),
            (Frame::Parameter { .. }, b'}') => {
                self.frames.pop();
                self.take(b'}');
            }
            (Frame::Single { .. } | Frame::DollarSingle { .. }, byte) => self.take(byte),
            (Frame::Backticks { .. }, b'$') => {
                self.look_for_parameters();
                self.copy(1);
            }
            (Frame::Backticks { .. }, _) => self.copy(1),
            (Frame::Double { .. } | Frame::Parameter { .. } | Frame::Arithmetic { .. }, b'$') => {
                self.dollar();
            }
            (Frame::Double { .. } | Frame::Parameter { .. }, b'`') => self.backticks(),
            (Frame::Double { .. }, byte) => self.take(byte),
            (Frame::Parameter { .. }, byte) => self.in_parameter(byte),
            (Frame::Arithmetic { .. }, byte) => self.in_arithmetic(byte),
        }
    }

    fn top(&self) -> &Frame {
        self.frames.last().expect("the whole text is never closed")
    }

    /// The commands that are being read.
    fn command(&mut self) -> &mut Command {
        let commands = self.frames.iter_mut().rev();
        let mut commands = commands.filter_map(|frame| match frame {
            Frame::Command(command) => Some(command),
            _ => None,
        });
        commands.next().expect("the whole text is never closed")
    }

    /// The word that is being read; one begins here when there is none.
    fn word(&mut self) -> &mut Word {
        let (at, made) = (self.at, self.found.text.len());
        let word = &mut self.command().word;
        word.get_or_insert_with(|| Word::new(at, made))
    }

    fn fault(&mut self, at: usize, length: usize, why: &'static Why) {
        let end = self.text.len().min(at + length);
        self.faults.push(Fault {
            at,
            shown: self.text[at..end].to_vec(),
            why,
        });
    }

    /// Passes bytes on as they are.
    fn copy(&mut self, length: usize) {
        let end = self.text.len().min(self.at + length);
        let bytes = &self.text[self.at..end];
        self.found.text.extend_from_slice(bytes);
        // The line feed that begins a here-document is taken elsewhere; shells
        // disagree about others before it.
        let waits = |frame: &Frame| matches!(frame, Frame::Command(c) if !c.documents.is_empty());
        if bytes.contains(&b'\n') && self.frames.iter().any(waits) {
            self.fault(self.at, 1, &fault::UNCLEAR);
        }
        self.at = end;
    }

    /// Passes a byte on that is a character of the current word.
    fn take(&mut self, byte: u8) {
        self.word().value.push(byte);
        self.copy(1);
    }

    fn open(&mut self, frame: Frame, length: usize) {
        self.word().is_quoted |= matches!(frame, Frame::Single { .. } | Frame::Double { .. });
        self.frames.push(frame);
        self.copy(length);
    }

    fn close(&mut self) {
        self.frames.pop();
        self.copy(1);
    }

    fn backticks(&mut self) {
        let from = self.at;
        self.word().expand();
        self.open(Frame::Backticks { from }, 1);
    }

    /// Puts a parameter here if this is a place.
    fn place(&mut self) -> bool {
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
        let is_number = matches!(place, Place::Number | Place::Slot);
        let refused = self.frames.iter().find_map(|frame| match frame {
            Frame::Command(_) | Frame::Single { .. } | Frame::Double { dollar: false, .. } => None,
            Frame::Arithmetic { .. } | Frame::Backticks { .. } if is_number => None,
            Frame::Double { dollar: true, .. } | Frame::DollarSingle { .. } => {
                Some(&fault::DOLLAR_QUOTES)
            }
            Frame::Parameter { .. } => Some(&fault::PARAMETER),
            Frame::Arithmetic { .. } => Some(&fault::ARITHMETIC),
            Frame::Backticks { .. } => Some(&fault::BACKTICKS),
        });
        if let Some(why) = refused {
            self.fault(self.at, length, why);
        }
        let at = self.at;
        match is_number {
            true => self.word().value.push(b'0'),
            false => self.word().expand(),
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
            Frame::Double { .. } | Frame::Arithmetic { .. } | Frame::Backticks { .. } => {
                Quotes::Double
            }
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

    fn backslash(&mut self) {
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
            (Frame::DollarSingle { .. } | Frame::Arithmetic { .. }, _) => {
                self.fault(self.at, 2, &fault::UNCLEAR);
                self.copy(2);
            }
            (Frame::Parameter { .. } | Frame::Backticks { .. } | Frame::Double { .. }, _) => {
                self.copy(2);
            }
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

    fn in_parameter(&mut self, byte: u8) {
        if !b"'\"".contains(&byte) {
            return self.take(byte);
        }
        // In double quotes, shells disagree about quotes in braces.
        let inner = self.frames.iter().rev();
        let mut inner = inner.take_while(|frame| !matches!(frame, Frame::Command(_)));
        let in_quotes = inner.any(|frame| matches!(frame, Frame::Double { .. }));
        let from = self.at;
        if in_quotes {
            self.fault(from, 1, &fault::UNCLEAR);
            self.copy(1);
        } else if byte == b'\'' {
            self.open(Frame::Single { from }, 1);
        } else {
            self.open(
                Frame::Double {
                    from,
                    dollar: false,
                },
                1,
            );
        }
    }

    fn in_arithmetic(&mut self, byte: u8) {
        let follows = self.text.get(self.at + 1).copied();
        let Some(Frame::Arithmetic { depth, .. }) = self.frames.last_mut() else {
            return self.copy(1);
        };
        match byte {
            b'(' => *depth += 1,
            b')' if *depth > 2 => *depth -= 1,
            b')' => {
                self.frames.pop();
                if follows == Some(b')') {
                    return self.copy(2);
                }
                // It was a `$(` with a parenthesis behind it.
                self.fault(self.at, 1, &fault::UNCLEAR);
            }
            b'\'' | b'"' | b'`' | b';' => self.fault(self.at, 1, &fault::UNCLEAR),
            _ => {}
        }
        self.copy(1);
    }

    fn dollar(&mut self) {
        self.look_for_parameters();
        let from = self.at;
        let rest = &self.text[from + 1..];
        let in_command = matches!(self.top(), Frame::Command(_));
        match rest.first() {
            Some(b'(') => {
                self.word().expand();
                if rest.starts_with(b"((") {
                    self.open(Frame::Arithmetic { from, depth: 2 }, 3);
                } else {
                    let opener = Opener::Substitution { from };
                    self.open(Frame::Command(Command::new(opener)), 2);
                }
            }
            Some(b'{') => {
                self.word().expand();
                self.word().value.extend_from_slice(b"${");
                self.open(Frame::Parameter { from }, 1);
                // `${}` and the like were meant as places.
                if self.place() {
                    self.frames.pop();
                } else {
                    self.copy(1);
                }
            }
            Some(b'\'') if in_command => self.open(Frame::DollarSingle { from }, 2),
            Some(b'"') if in_command => self.open(Frame::Double { from, dollar: true }, 2),
            Some(b'[') => {
                self.fault(from, 2, &fault::UNCLEAR);
                self.take(b'$');
            }
            Some(byte) if byte.is_ascii_alphanumeric() || b"_@*#?$!-".contains(byte) => {
                let is_name = |b: &&u8| b.is_ascii_alphanumeric() || **b == b'_';
                let starts_name = byte.is_ascii_alphabetic() || *byte == b'_';
                let name = rest.iter().take_while(is_name).count();
                let length = if starts_name { name } else { 1 };
                let text = self.text;
                let word = self.word();
                word.expand();
                word.value.extend_from_slice(&text[from..from + 1 + length]);
                self.copy(1 + length);
            }
            _ => self.take(b'$'),
        }
    }

    /// Whether the `$` here is about the positional parameters.
    fn look_for_parameters(&mut self) {
        self.found.speaks_of_parameters |= is_parameter(&self.text[self.at + 1..]);
    }

    /// The end of the text.
    fn finish(mut self) -> Result<Scan, Fault> {
        let open = self.frames[1..].iter().find_map(|frame| match *frame {
            Frame::Command(Command { opener, .. }) => match opener {
                Opener::Substitution { from } => Some((from, 2)),
                // The shell says that itself, and nothing depends on it here.
                Opener::Nothing | Opener::Parenthesis => None,
            },
            Frame::Single { from } | Frame::Backticks { from } => Some((from, 1)),
            Frame::Double { from, dollar } => Some((from, 1 + usize::from(dollar))),
            Frame::DollarSingle { from } | Frame::Parameter { from } => Some((from, 2)),
            Frame::Arithmetic { from, .. } => Some((from, 3)),
        });
        while self.frames.len() > 1 {
            self.end_command();
            self.frames.pop();
        }
        let command = self.command();
        let mut words = command.words.iter().chain(&command.word);
        let has_name = words.any(|word| !word.is_assignment());
        self.found.is_simple &= has_name;
        self.end_command();
        if let Some((from, length)) = open {
            self.fault(from, length, &fault::UNCLOSED);
        }
        let in_doubt = self.faults.iter().any(|f| f.why.weight == Weight::Doubt);
        let has_place = self.found.has_place;
        let counts = |fault: &Fault| match fault.why.weight {
            Weight::Doubt => has_place,
            // Whether it is closed is in doubt as well.
            Weight::Always => has_place || !in_doubt,
        };
        let faults = self.faults.into_iter().filter(counts);
        match faults.min_by_key(|fault| fault.at) {
            Some(fault) => Err(fault),
            None => Ok(self.found),
        }
    }
}

/// Whether what follows a `$` is about the positional parameters.
fn is_parameter(rest: &[u8]) -> bool {
    let is_one = |byte: Option<&u8>| byte.is_some_and(|b| b"123456789@*".contains(b));
    match rest.first() {
        Some(b'{') if rest.starts_with(b"{#}") => true,
        Some(b'{') => {
            let signs = rest[1..].iter().take_while(|b| b"#!".contains(b)).count();
            is_one(rest.get(1 + signs))
        }
        first => first == Some(&b'#') || is_one(first),
    }
}

mod commands;
mod frame;
