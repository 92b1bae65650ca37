//! Reads shell text once, from left to right, and puts a positional parameter
//! in every place.
//!
//! What matters is where quotes begin and end: a stack of frames follows them
//! as POSIX says, with fresh quotes within each `$(…)`. The words of every
//! command are collected on the way and handed to [`command::check`]. Where
//! shells disagree about the end of something, that is a fault of the kind that
//! matters when there is a place.

use super::super::place::{Place, Places};
use super::dialect::Dialect;
use super::fault::{self, Fault, Weight, Why};
use super::names::Names;
use super::several::{Put, Span};
use super::word::Word;
use frame::{Command, Frame, Opener};

/// How often a text is read to find which names may hold data, before all are taken to.
const MOST_TURNS: usize = 32;

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

/// Reads a text, as this shell will.
///
/// # Errors
/// When it is not complete, or has a place where the line would not stay data.
pub(super) fn scan(text: &[u8], written: &Places, dialect: Dialect) -> Result<Scan, Fault> {
    // With no place, what comes on standard input is all that there is.
    let mut names = Names::new(!written.appends);
    for turn in 0.. {
        let known = names.size();
        if turn == MOST_TURNS {
            names.all();
        }
        let (found, after) = Scanner::new(text, written, dialect, names).read();
        if after.size() == known || turn == MOST_TURNS {
            return found;
        }
        names = after;
    }
    unreachable!("it ends after so many turns")
}

struct Scanner<'a> {
    text: &'a [u8],
    written: &'a Places,
    dialect: Dialect,
    at: usize,
    frames: Vec<Frame>,
    faults: Vec<Fault>,
    names: Names,
    found: Scan,
}

impl<'a> Scanner<'a> {
    fn new(text: &'a [u8], written: &'a Places, dialect: Dialect, names: Names) -> Scanner<'a> {
        Scanner {
            text,
            written,
            dialect,
            at: 0,
            frames: vec![Frame::Command(Command::new(Opener::Nothing))],
            faults: Vec::new(),
            names,
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
        }
    }

    /// Reads all of it. Gives what was found, and the names that may hold data.
    fn read(mut self) -> (Result<Scan, Fault>, Names) {
        while self.at < self.text.len() {
            self.step();
        }
        self.finish()
    }

    /// Takes one piece of the text.
    fn step(&mut self) {
        let rest = &self.text[self.at..];
        if rest[0] == b'\\' {
            return self.backslash();
        }
        if self.place() {
            return;
        }
        if rest[0] == b'`' {
            self.end_what_is_open_in_backticks();
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
            (Frame::Backticks { .. }, _) => self.in_backticks(),
            (
                Frame::Double { .. }
                | Frame::Parameter { .. }
                | Frame::Arithmetic { .. }
                | Frame::Document,
                b'$',
            ) => self.dollar(),
            (Frame::Double { .. } | Frame::Parameter { .. } | Frame::Document, b'`') => {
                self.backticks();
            }
            (Frame::Double { .. }, byte) => self.take(byte),
            (Frame::Document, _) => self.copy(1),
            (Frame::Parameter { .. }, byte) => self.in_parameter(byte),
            (Frame::Arithmetic { .. }, byte) => self.in_arithmetic(byte),
        }
    }

    /// A backtick ends the backticks before it whatever is still open in them: shells look for
    /// their end before they look at what is between them.
    fn end_what_is_open_in_backticks(&mut self) {
        let mut frames = self.frames.iter_mut().enumerate();
        let Some((depth, backticks)) = frames.find_map(|(depth, frame)| match frame {
            Frame::Command(command) if matches!(command.opener, Opener::Backticks { .. }) => {
                Some((depth, command))
            }
            _ => None,
        }) else {
            return;
        };
        let has_test = backticks.test.take().is_some();
        if has_test || self.frames.len() > depth + 1 {
            self.frames.truncate(depth + 1);
            self.fault(self.at, 1, &fault::LEFT_OPEN);
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

    /// The end of the text.
    fn finish(mut self) -> (Result<Scan, Fault>, Names) {
        let open = self.frames[1..].iter().find_map(|frame| match *frame {
            Frame::Command(Command { opener, .. }) => match opener {
                Opener::Substitution { from } | Opener::Process { from } => Some((from, 2)),
                Opener::Backticks { from, .. } => Some((from, 1)),
                // The shell says that itself, and nothing depends on it here.
                Opener::Nothing | Opener::Parenthesis | Opener::Array => None,
            },
            Frame::Single { from } | Frame::Backticks { from } => Some((from, 1)),
            Frame::Double { from, dollar } => Some((from, 1 + usize::from(dollar))),
            Frame::DollarSingle { from } | Frame::Parameter { from, .. } => Some((from, 2)),
            Frame::Arithmetic { from, brackets, .. } => Some((from, 3 - usize::from(brackets))),
            Frame::Document => None,
        });
        while self.frames.len() > 1 {
            self.end_command(false);
            self.frames.pop();
        }
        let command = self.command();
        let mut words = command.words.iter().chain(&command.word);
        let has_name = words.any(|word| !word.is_assignment());
        self.found.is_simple &= has_name;
        self.end_command(false);
        if let Some((from, length)) = open {
            self.fault(from, length, &fault::UNCLOSED);
        }
        let in_doubt = self.faults.iter().any(|f| f.why.weight == Weight::Doubt);
        let has_place = self.found.has_place;
        let counts = |fault: &Fault| match fault.why.weight {
            Weight::Certain => true,
            Weight::Doubt => has_place,
            // Whether it is closed is in doubt as well.
            Weight::Always => has_place || !in_doubt,
        };
        let faults = self.faults.into_iter().filter(counts);
        let found = match faults.min_by_key(|fault| fault.at) {
            Some(fault) => Err(fault),
            None => Ok(self.found),
        };
        (found, self.names)
    }
}

mod brackets;
mod commands;
mod data;
mod documents;
mod expansions;
mod frame;
mod places;
