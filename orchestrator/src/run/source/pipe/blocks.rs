//! A job for each block.

use std::borrow::Cow;
use std::fs::File;
use std::io;

use bytes::Bytes;

use super::job::prepare_block;
use super::splitter::{Rules, Splitter, Step};
use super::window::{Block, Window};
use crate::run::source::lines::{Content, Line};
use crate::run::source::reader::{Maker, Read};
use crate::run::source::values::ReadError;

/// How large a header may be, which is in memory with each block.
const MAX_HEADER: usize = 1 << 20;

/// Standard input, cut into blocks.
#[derive(Debug)]
pub(super) struct Cutter {
    pub(super) window: Window,
    splitter: Splitter,
    /// What each job gets in front of what it reads.
    pub(super) header: Vec<u8>,
    /// Whether all of the input is in the window.
    ended: bool,
}

/// What is next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// A block of this size is in the window.
    Block(usize),
    /// So much is to be read.
    Read(usize),
    /// Nothing is left.
    End,
    /// A record is larger than the limit.
    TooLarge(usize),
}

impl Cutter {
    pub(super) fn new(rules: Rules) -> Cutter {
        let splitter = Splitter::new(rules);
        Cutter {
            window: Window::new(splitter.first_sight()),
            splitter,
            header: Vec::new(),
            ended: false,
        }
    }

    pub(super) fn rules(&self) -> &Rules {
        self.splitter.rules()
    }

    /// Takes so many lines off the beginning of the input, which are the header; gives the limit if they
    /// are larger than that.
    pub(super) fn take_header(&mut self, input: &File, lines: usize) -> io::Result<Option<usize>> {
        if lines == 0 {
            return Ok(None);
        }
        loop {
            let bytes = self.window.bytes();
            let ends = memchr::memchr_iter(b'\n', bytes).nth(lines - 1);
            let length = match ends {
                Some(end) => end + 1,
                // There are not so many: then there is none.
                None if self.ended => return Ok(None),
                None if bytes.len() > MAX_HEADER => return Ok(Some(MAX_HEADER)),
                None => {
                    self.read(input, bytes.len() + 1)?;
                    continue;
                }
            };
            self.header = bytes[..length].to_vec();
            self.window.skip(length);
            return Ok(None);
        }
    }

    /// What is next; a block has to be taken then.
    pub(super) fn next(&mut self) -> Next {
        loop {
            match self.splitter.next(self.window.bytes(), self.ended) {
                Step::Block(size) => return Next::Block(size),
                Step::End => return Next::End,
                Step::TooLarge => return Next::TooLarge(self.rules().limit),
                // A pattern is shown more of it only now.
                Step::More(wanted) if wanted <= self.window.bytes().len() || self.ended => {}
                Step::More(wanted) => return Next::Read(wanted),
            }
        }
    }

    /// Reads what is there, or waits for it.
    pub(super) fn read(&mut self, input: &File, wanted: usize) -> io::Result<()> {
        self.ended = self.window.fill(input, wanted)? == 0;
        Ok(())
    }

    /// What a job gets of the block of this size in the window.
    pub(super) fn content(&self, size: usize) -> Cow<'_, [u8]> {
        let block = &self.window.bytes()[..size];
        match self.rules().remove {
            true => Cow::Owned(self.rules().separator.remove(block)),
            false => Cow::Borrowed(block),
        }
    }

    /// Takes a block out of the window, as its job gets it.
    fn take(&mut self, size: usize) -> Block {
        let content = self.content(size);
        if self.header.is_empty() && matches!(content, Cow::Borrowed(_)) {
            return self.window.take(size);
        }
        let block = match content.is_empty() {
            true => Block::copied(b""),
            false => Block::copied(&[&self.header[..], &content].concat()),
        };
        self.window.skip(size);
        block
    }
}

impl Maker {
    /// Makes jobs of blocks, to the end of the input.
    pub(in crate::run::source) fn read_blocks(mut self, input: &File, rules: Rules, header: usize) {
        let mut cutter = Cutter::new(rules);
        match cutter.take_header(input, header) {
            Ok(None) => {}
            Ok(Some(limit)) => {
                self.sender.blocking_send(Read::TooLarge(limit)).ok();
                return;
            }
            Err(e) => {
                let e = ReadError::of(&self.recipe.origin, e);
                self.sender.blocking_send(Read::Failed(e)).ok();
                return;
            }
        }
        while !self.sender.is_closed() {
            match cutter.next() {
                Next::Block(size) => {
                    let block = cutter.take(size);
                    // Only separators were in it, and they are not wanted.
                    if !block.bytes().is_empty() {
                        self.take_block(block);
                    }
                }
                Next::Read(wanted) => {
                    // Nothing that is complete waits for what is not.
                    self.send();
                    if let Err(e) = cutter.read(input, wanted) {
                        let e = ReadError::of(&self.recipe.origin, e);
                        self.sender.blocking_send(Read::Failed(e)).ok();
                        return;
                    }
                }
                Next::End => return self.end(),
                Next::TooLarge(limit) => {
                    self.send();
                    self.sender.blocking_send(Read::TooLarge(limit)).ok();
                    return;
                }
            }
        }
    }

    fn take_block(&mut self, block: Block) {
        self.seq += 1;
        let number = self.seq;
        if self.ledger.is_none() {
            let made = prepare_block(&self.recipe, number, number, block, Vec::new());
            return self.push(made.into(), 0);
        }
        // It goes into the run file as well.
        let content = Content::Whole(Bytes::copy_from_slice(block.bytes()));
        self.enter(&Line { number, content });
    }
}
