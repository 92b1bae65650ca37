//! Where blocks end. Bytes go in as they come, decisions come out, and these do not depend on how the bytes
//! were cut into reads.

use std::num::NonZero;

use super::separator::{Found, Separator};

/// How much more is asked for at least when a record has not ended.
const STEP: usize = if cfg!(feature = "fuzzing") {
    32
} else {
    64 << 10
};

/// What a block is.
#[derive(Clone, Debug)]
pub(crate) struct Rules {
    /// What ends a record.
    pub(crate) separator: Separator,
    /// How many separators one record has.
    pub(crate) per_record: NonZero<usize>,
    /// Whether what is left at the end and is no whole record is a block of its own.
    pub(crate) rest_alone: bool,
    /// Whether a record may be nothing but its end; else, when records are counted, one at the beginning
    /// of a block counts with the next, as in GNU parallel.
    pub(crate) empty: bool,
    /// How many records a block has; as many as fit when not given.
    pub(crate) records: Option<NonZero<usize>>,
    /// How large a block is without that, unless a record is larger.
    pub(crate) block: usize,
    /// Whether separators are taken out.
    pub(crate) remove: bool,
    /// How large a block may be, whatever is in it.
    pub(crate) limit: usize,
}

/// What is to be done next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// The first so many bytes are a block.
    Block(usize),
    /// So many bytes in all are wanted, or the end.
    More(usize),
    /// There is nothing left.
    End,
    /// No block within the limit can be made of this.
    TooLarge,
}

/// Cuts a stream into blocks. It is shown all bytes that are in no block yet, again and again.
#[derive(Debug)]
pub(crate) struct Splitter {
    rules: Rules,
    /// From where to look on in this block.
    at: usize,
    /// How many separators were found in it.
    found: usize,
    /// The last place where it can end.
    last: Option<Found>,
    /// A pattern sees this much and no more, so that what it matches does not depend on what has
    /// come.
    sight: usize,
}

impl Splitter {
    pub(crate) fn new(rules: Rules) -> Splitter {
        let mut splitter = Splitter {
            rules,
            at: 0,
            found: 0,
            last: None,
            sight: 0,
        };
        splitter.begin(0);
        splitter
    }

    pub(crate) fn rules(&self) -> &Rules {
        &self.rules
    }

    /// The next block begins, with so much of a separator.
    fn begin(&mut self, start: usize) {
        self.at = start;
        self.found = 0;
        self.last = None;
        self.sight = self.first_sight();
    }

    /// How much is looked at first.
    pub(crate) fn first_sight(&self) -> usize {
        let most = match self.rules.records {
            None => self.rules.block,
            Some(_) => STEP,
        };
        most + self.rules.separator.look()
    }

    /// What to do with these bytes, the beginning of which is no block yet; whether they are the last.
    pub(crate) fn next(&mut self, bytes: &[u8], ended: bool) -> Step {
        let simple = self.rules.records.is_none()
            && self.rules.per_record.get() == 1
            && !self.rules.rest_alone
            && self.rules.separator.is_fixed();
        let step = match bytes {
            [] if ended => Ok(Step::End),
            _ if simple => self.by_size(bytes, ended),
            _ => self.by_count(bytes, ended),
        };
        let (size, start) = match step {
            Ok(step) => return step,
            Err(found) => (found.cut, found.to - found.cut),
        };
        if size > self.rules.limit {
            return Step::TooLarge;
        }
        self.begin(start);
        Step::Block(size)
    }

    /// A string as separator, looked for backwards from where the block should end.
    fn by_size(&mut self, bytes: &[u8], ended: bool) -> Result<Step, Found> {
        let block = self.rules.block;
        if bytes.len() < block && !ended {
            return Ok(Step::More(block));
        }
        if bytes.len() < block {
            return Err(all(bytes));
        }
        if self.last.is_none() {
            let sight = &bytes[..block];
            if let Some(found) = self.rules.separator.rfind(sight) {
                return Err(found);
            }
            self.last = Some(all(&bytes[..block]));
            self.at = self
                .rules
                .separator
                .find(sight, self.at, false)
                .err()
                .unwrap_or(0);
        }
        // A record that is larger than the block.
        match self.rules.separator.find(bytes, self.at, ended) {
            Ok(found) => Err(found),
            Err(at) => {
                self.at = at;
                self.more(bytes, ended)
            }
        }
    }

    /// Counting from the beginning.
    fn by_count(&mut self, bytes: &[u8], ended: bool) -> Result<Step, Found> {
        let Rules {
            ref separator,
            per_record,
            records,
            block,
            rest_alone,
            empty,
            ..
        } = self.rules;
        let (per_record, look) = (per_record.get(), separator.look());
        let (bytes, ended) = match separator.is_fixed() {
            true => (bytes, ended),
            false if bytes.len() < self.sight && !ended => return Ok(Step::More(self.sight)),
            false => {
                let seen = bytes.len().min(self.sight);
                (&bytes[..seen], ended && seen == bytes.len())
            }
        };
        loop {
            match separator.find(bytes, self.at, ended) {
                Ok(found) => {
                    self.at = found.next();
                    if !empty && records.is_some() && found.from == 0 && separator.is_fixed() {
                        continue;
                    }
                    self.found += 1;
                    match records {
                        Some(records) if self.found == records.get().saturating_mul(per_record) => {
                            return Err(found);
                        }
                        None if self.found.is_multiple_of(per_record) => match self.last {
                            Some(last) if found.to > block => return Err(last),
                            _ if found.to >= block => return Err(found),
                            _ => self.last = Some(found),
                        },
                        _ => {}
                    }
                }
                Err(at) => {
                    self.at = at;
                    break;
                }
            }
        }
        if records.is_none() {
            // What was not found yet lies behind this.
            let known = bytes.len().saturating_sub(if ended { 0 } else { look });
            match self.last {
                Some(last) if known > block || ended && rest_alone => return Err(last),
                _ if ended && bytes.len() < block => return Err(all(bytes)),
                Some(last) if ended => return Err(last),
                _ => {}
            }
        }
        self.more(bytes, ended)
    }

    /// There is no end in sight.
    fn more(&mut self, bytes: &[u8], ended: bool) -> Result<Step, Found> {
        if ended {
            return Err(all(bytes));
        }
        if bytes.len() > self.rules.limit + self.rules.separator.look() {
            return Ok(Step::TooLarge);
        }
        if self.rules.separator.is_fixed() {
            // Whatever comes may end a record.
            return Ok(Step::More(bytes.len() + 1));
        }
        self.sight = bytes.len() + STEP.max(self.rules.block);
        Ok(Step::More(self.sight))
    }
}

/// A block that ends with the input.
fn all(bytes: &[u8]) -> Found {
    Found {
        from: bytes.len(),
        cut: bytes.len(),
        to: bytes.len(),
    }
}

#[cfg(test)]
mod tests;
