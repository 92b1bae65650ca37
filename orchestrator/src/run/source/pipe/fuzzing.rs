//! The splitter, for its fuzz target.

use std::num::NonZero;

use super::separator::Separator;
use super::splitter::{self, Splitter, Step};

/// Where blocks end.
#[derive(Clone, Debug)]
pub struct Rules(splitter::Rules);

impl Rules {
    /// With these texts or patterns around records; nothing when they are none.
    #[must_use]
    pub fn new(
        (end, start): (&[u8], &[u8]),
        is_pattern: bool,
        (per_record, records): (usize, usize),
        (block, limit): (usize, usize),
    ) -> Option<Rules> {
        let separator = match is_pattern {
            false => Separator::text(end, start),
            true => {
                let text = |bytes| std::str::from_utf8(bytes).ok();
                Separator::pattern(text(end)?, text(start)?).ok()?
            }
        };
        Some(Rules(splitter::Rules {
            separator,
            per_record: NonZero::new(per_record)?,
            rest_alone: false,
            empty: true,
            records: NonZero::new(records),
            block,
            remove: false,
            limit,
        }))
    }

    /// The blocks of what comes in these pieces, and whether that is all; else something was larger than the
    /// limit.
    pub fn blocks<'a>(&self, pieces: impl IntoIterator<Item = &'a [u8]>) -> (Vec<Vec<u8>>, bool) {
        let mut splitter = Splitter::new(self.0.clone());
        let (mut blocks, mut window) = (Vec::new(), Vec::new());
        let mut pieces = pieces.into_iter();
        let mut ended = false;
        loop {
            match splitter.next(&window, ended) {
                Step::Block(size) => blocks.push(window.drain(..size).collect()),
                Step::More(wanted) => {
                    while window.len() < wanted && !ended {
                        match pieces.next() {
                            Some(piece) => window.extend_from_slice(piece),
                            None => ended = true,
                        }
                    }
                }
                Step::End => return (blocks, true),
                Step::TooLarge => return (blocks, false),
            }
        }
    }

    /// What is left of a block without separators.
    #[must_use]
    pub fn without_separators(&self, block: &[u8]) -> Vec<u8> {
        self.0.separator.remove(block)
    }
}
