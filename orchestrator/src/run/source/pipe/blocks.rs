//! A job for each block.

use std::borrow::Cow;
use std::fs::File;
use std::io;

use bytes::Bytes;

use super::header::{self, Header, Known};
use super::job::prepare_block;
use super::splitter::{Rules, Splitter, Step};
use super::window::{Block, Window};
use crate::run::source::lines::{Content, Line};
use crate::run::source::reader::{Maker, Read};
use crate::run::source::values::ReadError;

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

    /// Takes the header off the beginning of the input, if there is one; gives the limit if it is larger
    /// than that.
    pub(super) fn take_header(
        &mut self,
        input: &File,
        header: Option<&Header>,
    ) -> io::Result<Option<usize>> {
        let Some(header) = header else {
            return Ok(None);
        };
        loop {
            let bytes = self.window.bytes();
            match header.find(bytes, self.ended) {
                Known::Length(length) if length <= header::LARGEST => {
                    self.header = bytes[..length].to_vec();
                    self.window.skip(length);
                    return Ok(None);
                }
                Known::Nothing if bytes.len() <= header::LARGEST => {
                    self.read(input, bytes.len() + 1)?;
                }
                _ => return Ok(Some(header::LARGEST)),
            }
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
        let block = Block::copied(&[&self.header[..], &content].concat());
        self.window.skip(size);
        block
    }
}

impl Maker {
    /// Makes jobs of blocks, to the end of the input.
    pub(in crate::run::source) fn read_blocks(
        mut self,
        input: &File,
        rules: Rules,
        header: Option<&Header>,
    ) {
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
                    self.seq += 1;
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

#[cfg(test)]
mod tests {
    use std::io::{Seek, Write};
    use std::num::NonZero;

    use proptest::prelude::*;

    use super::super::separator::Separator;
    use super::*;

    /// What was taken for the header, and what each job reads behind it.
    fn cut(rules: Rules, header: Option<&Header>, data: &[u8]) -> (Vec<u8>, Vec<Vec<u8>>) {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(data).unwrap();
        file.rewind().unwrap();
        let mut cutter = Cutter::new(rules);
        assert_eq!(cutter.take_header(&file, header).unwrap(), None);
        let (header, mut contents) = (cutter.header.clone(), Vec::new());
        loop {
            match cutter.next() {
                Next::Block(size) => {
                    let content = cutter.content(size).into_owned();
                    let block = cutter.take(size);
                    assert_eq!(block.bytes(), [&header[..], &content].concat());
                    contents.push(content);
                }
                Next::Read(wanted) => cutter.read(&file, wanted).unwrap(),
                Next::End => return (header, contents),
                Next::TooLarge(limit) => panic!("a record is larger than {limit}"),
            }
        }
    }

    /// What separates records, of bytes that nothing else in the input is made of.
    fn separator() -> impl Strategy<Value = Separator> {
        let text = || prop::sample::select(vec!["", "\n", ";", ";\n", ">", "\n\n", ">>"]);
        let pattern = || prop::sample::select(vec!["", "\\n+", "[;>]", ";|\\n", "\\n>?"]);
        prop_oneof![
            (text(), text()).prop_map(|(e, s)| Separator::text(e.as_bytes(), s.as_bytes())),
            (pattern(), pattern()).prop_filter_map("it matches nothing", |(e, s)| {
                Separator::pattern(e, s).ok()
            }),
        ]
    }

    fn rules() -> impl Strategy<Value = Rules> {
        let flags = any::<(bool, bool, bool)>();
        (separator(), 1usize..4, 0usize..4, 1usize..12, flags).prop_map(
            |(separator, lines, records, block, (remove, rest_alone, empty))| Rules {
                separator,
                per_record: NonZero::new(lines).unwrap(),
                rest_alone,
                empty,
                records: NonZero::new(records),
                block,
                remove,
                limit: 1 << 20,
            },
        )
    }

    fn header() -> impl Strategy<Value = Option<Header>> {
        let pattern = prop::sample::select(vec!["x", "[xy]*\\n", "(?:x.*\\n)*", ".*\\n", ";"]);
        prop_oneof![
            Just(None),
            (1usize..4).prop_map(|lines| Some(Header::Lines(lines))),
            pattern.prop_map(|pattern| Some(Header::pattern(pattern).unwrap())),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1024))]

        #[test]
        fn no_byte_is_lost(
            rules in rules(),
            header in header(),
            data in prop::collection::vec(prop::sample::select(b"xyz\n\n;>".to_vec()), 0..14),
        ) {
            let remove = rules.remove;
            let (header, contents) = cut(rules, header.as_ref(), &data);
            let seen = [header, contents.concat()].concat();
            if !remove {
                prop_assert_eq!(&seen, &data);
            }
            let no_separator = |bytes: &[u8]| {
                let bytes = bytes.iter().filter(|byte| b"xyz".contains(byte));
                bytes.copied().collect::<Vec<u8>>()
            };
            prop_assert_eq!(no_separator(&seen), no_separator(&data));
        }
    }

    #[test]
    fn a_header_is_read_also_with_a_block_of_separators_alone() {
        let rules = |remove| Rules {
            separator: Separator::text(b"\n", b""),
            per_record: NonZero::<usize>::MIN,
            rest_alone: false,
            empty: true,
            records: NonZero::new(1),
            block: 1,
            remove,
            limit: 100,
        };
        let seen = cut(rules(true), Some(&Header::Lines(1)), b"h\n\na\n");
        assert_eq!(seen, (b"h\n".to_vec(), vec![b"".to_vec(), b"a".to_vec()]));
        let pattern = Header::pattern("(#.*\\n)*").unwrap();
        let seen = cut(rules(false), Some(&pattern), b"#1\n#2\na\nb");
        assert_eq!(
            seen,
            (b"#1\n#2\n".to_vec(), vec![b"a\n".to_vec(), b"b".to_vec()])
        );
    }
}
