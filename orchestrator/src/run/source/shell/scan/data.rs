//! Where what comes from the line goes on the way through a text.

use super::super::fault;
use super::frame::Part;
use super::{Command, Frame, Opener, Scanner, Word};

impl Scanner<'_> {
    /// A variable is put in here, which may hold data.
    pub(super) fn mention(&mut self, name: &[u8], at: usize, length: usize) {
        if self.names.holds_data(name) {
            self.data(at, length, true);
        }
    }

    /// Something is put in here that is data; `splits` says whether it becomes several words where
    /// there are no quotes.
    pub(super) fn data(&mut self, at: usize, length: usize, splits: bool) {
        let mut why = None;
        let mut quoted = false;
        let mut in_document = false;
        let mut gets = Vec::new();
        let (begin, made) = (self.at, self.found.text.len());
        for frame in self.frames.iter_mut().rev() {
            match frame {
                Frame::Single { .. } | Frame::DollarSingle { .. } | Frame::Double { .. } => {
                    quoted = true;
                }
                Frame::Document => in_document = true,
                Frame::Arithmetic { .. } => why = Some(()),
                Frame::Parameter { name, part, .. } => match part {
                    Part::Index(_) | Part::Offset => why = Some(()),
                    Part::Value => gets.push(name.clone()),
                    Part::Name | Part::Rest => {}
                },
                Frame::Backticks { .. } => {}
                Frame::Command(command) => {
                    command.data.get_or_insert((at, length));
                    if !in_document {
                        let new = || Word::new(begin, made);
                        let word = command.word.get_or_insert_with(new);
                        word.data.get_or_insert((at, length));
                        word.is_loose |= splits && !quoted;
                    }
                    break;
                }
            }
        }
        if in_document {
            // Whatever reads it.
            self.names.input();
        }
        let is_variable = self.text[at] == b'$';
        if why.is_some() && (!is_variable || self.dialect.calculates()) {
            let (variable, place) = (&fault::CALCULATED, &fault::ARITHMETIC);
            self.fault(at, length, if is_variable { variable } else { place });
        }
        gets.iter().for_each(|name| self.names.give(name));
    }

    /// The row of commands that is being read ends. What it prints, or what is in it, is part of
    /// what stands around it.
    pub(super) fn leave(&mut self) {
        let Some(Frame::Command(inner)) = self.frames.pop() else {
            return;
        };
        let Command {
            opener,
            data,
            prints,
            ..
        } = inner;
        let reads = self.names.reads_data();
        match opener {
            Opener::Nothing => {}
            Opener::Parenthesis => {
                let command = self.command();
                command.data = command.data.or(data);
                command.inner_prints |= prints;
            }
            Opener::Substitution { from } | Opener::Backticks { from, .. } => {
                let data = data.or(reads.then_some((from, 2)));
                if let Some((at, length)) = data.filter(|_| prints) {
                    self.data(at, length, true);
                }
            }
            Opener::Process { .. } | Opener::Array => {
                self.word().feeds |= opener != Opener::Array;
                if let Some((at, length)) = data {
                    self.data(at, length, false);
                }
            }
        }
    }

    /// A text or a part of it that names something which may hold data.
    pub(super) fn check_region(&mut self, from: usize, to: usize, why: &'static fault::Why) {
        if !self.dialect.calculates() {
            return;
        }
        if let Some((at, length)) = self.names.first_in(&self.text[from..to]) {
            self.fault(from + at, length, why);
        }
    }
}
