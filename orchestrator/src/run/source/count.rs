//! How many items a file holds, counted beside the run that reads it: for whoever wants to
//! know how far it is. Nothing waits for that, and nothing depends on it.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::{Arc, OnceLock};
use std::thread;

use super::inputs::{Input, Opened};
use super::lines::Delimiter;
use super::work::{self, Work};

/// A longer file is not read twice, in bytes.
const MOST: u64 = 256 << 20;

/// How much is read at once.
const READ: usize = 256 << 10;

/// How much of that is looked at item by item if any item of it may be blank.
const PART: usize = 4 << 10;

/// The number of items in a file, once it is known.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counted(Arc<OnceLock<u64>>);

impl Counted {
    /// How many there are, if that is known.
    pub(crate) fn get(&self) -> Option<u64> {
        self.0.get().copied()
    }
}

/// What is to be counted.
#[derive(Debug)]
pub(crate) struct ToCount {
    file: File,
    /// Where the run began to read.
    from: u64,
    delimiter: u8,
    /// Items of these alone are none.
    blanks: Option<&'static [u8]>,
}

impl ToCount {
    /// The items of an input of which nothing was read: if it is a file of reasonable size
    /// whose lines, or what ends with a zero byte, are items.
    pub(crate) fn of(opened: &Opened, delimiter: Delimiter, work: &Work) -> Option<ToCount> {
        let Input::Plain(file) = &opened.input else {
            return None;
        };
        let delimiter = match delimiter {
            Delimiter::Newline => b'\n',
            Delimiter::Nul => 0,
            Delimiter::Text(_) | Delimiter::Block => return None,
        };
        let meta = file.metadata().ok()?;
        let from = nix::unistd::lseek(file, 0, nix::unistd::Whence::SeekCur).ok()?;
        let from = u64::try_from(from).ok()?;
        let is_fit = meta.is_file() && meta.len().saturating_sub(from) <= MOST;
        let file = file.try_clone().ok().filter(|_| is_fit)?;
        Some(ToCount {
            file,
            from,
            delimiter,
            blanks: work::blanks(work),
        })
    }

    /// Counts, in a thread that nobody waits for. It reads where it wants to, and moves nobody
    /// else's place in the file.
    pub(crate) fn start(self) -> Counted {
        let counted = Counted::default();
        let known = counted.clone();
        let count = move || {
            if let Ok(items) = self.count() {
                known.0.set(items).ok();
            }
        };
        let thread = thread::Builder::new().name("count input".into());
        // Without it the total is known later.
        thread.spawn(count).ok();
        counted
    }

    fn count(&self) -> io::Result<u64> {
        let mut buffer = vec![0; READ];
        let (mut at, mut items) = (self.from, 0);
        let mut open = Open::default();
        loop {
            let read = match self.file.read_at(&mut buffer, at) {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                read => read?,
            };
            if read == 0 {
                return Ok(items + open.end(self.blanks));
            }
            at += read as u64;
            for part in buffer[..read].chunks(PART) {
                items += open.take(part, self.delimiter, self.blanks);
            }
        }
    }
}

/// The item that has begun and has not ended.
#[derive(Clone, Copy, Debug)]
struct Open {
    /// Whether there is one.
    begun: bool,
    /// Whether it is blank so far.
    blank: bool,
}

impl Default for Open {
    fn default() -> Open {
        Open {
            begun: false,
            blank: true,
        }
    }
}

impl Open {
    /// How many items end in this part of the file, which goes on behind what was taken before.
    fn take(&mut self, part: &[u8], delimiter: u8, blanks: Option<&[u8]>) -> u64 {
        match blanks {
            Some(blanks) if self.may_be_blank(part, delimiter, blanks) => {
                self.take_each(part, delimiter, blanks)
            }
            _ => {
                self.begun = part.last().map_or(self.begun, |&last| last != delimiter);
                self.blank = !self.begun;
                memchr::memchr_iter(delimiter, part).count() as u64
            }
        }
    }

    /// How many items end with the file.
    fn end(self, blanks: Option<&[u8]>) -> u64 {
        u64::from(self.begun && !(self.blank && blanks.is_some()))
    }

    /// Whether any item of this part may be blank: one begins with such a byte, or with its end.
    fn may_be_blank(self, part: &[u8], delimiter: u8, blanks: &[u8]) -> bool {
        let Some((&first, rest)) = part.split_first() else {
            return false;
        };
        // Every byte is looked at, without a branch: so the compiler takes many at once, and it is
        // much cheaper than to look for the end of each item.
        debug_assert!(blanks.len() <= 4, "the others would not be looked for");
        let set: [u8; 4] = std::array::from_fn(|at| *blanks.get(at).unwrap_or(&delimiter));
        let is_blank = |byte: u8| {
            set.iter()
                .fold(byte == delimiter, |is, &b| is | (byte == b))
        };
        let begins = part.iter().zip(rest).fold(false, |any, (&before, &byte)| {
            any | ((before == delimiter) & is_blank(byte))
        });
        begins || self.blank && is_blank(first)
    }

    /// The same as `take`, an item at a time.
    fn take_each(&mut self, part: &[u8], delimiter: u8, blanks: &[u8]) -> u64 {
        let is_blank = |bytes: &[u8]| bytes.iter().all(|byte| blanks.contains(byte));
        let (mut rest, mut items) = (part, 0);
        while let Some(end) = memchr::memchr(delimiter, rest) {
            items += u64::from(!(self.blank && is_blank(&rest[..end])));
            (self.begun, self.blank) = (false, true);
            rest = &rest[end + 1..];
        }
        self.begun |= !rest.is_empty();
        self.blank &= is_blank(rest);
        items
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Seek, Write};

    use proptest::prelude::*;

    use super::super::lines::{DEFAULT_MAX_LINE, Splitter};
    use super::*;

    fn to_count(file: &File, blanks: Option<&'static [u8]>) -> ToCount {
        ToCount {
            file: file.try_clone().unwrap(),
            from: 0,
            delimiter: b'\n',
            blanks,
        }
    }

    #[test]
    fn only_what_is_left_is_counted_and_nobodys_place_moves() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"1\n2\n3\n4").unwrap();
        file.seek(io::SeekFrom::Start(2)).unwrap();
        let opened = Opened {
            input: Input::Plain(file.try_clone().unwrap()),
            names: Vec::new(),
        };
        let to_count = ToCount::of(&opened, Delimiter::Newline, &Work::Commands).unwrap();
        assert_eq!(to_count.count().unwrap(), 3);
        assert_eq!(file.stream_position().unwrap(), 2);
        let (reader, _writer) = io::pipe().unwrap();
        let pipe = Opened {
            input: Input::Plain(File::from(std::os::fd::OwnedFd::from(reader))),
            names: Vec::new(),
        };
        assert!(ToCount::of(&pipe, Delimiter::Newline, &Work::Commands).is_none());
        file.set_len(MOST + 3).unwrap();
        assert!(ToCount::of(&opened, Delimiter::Newline, &Work::Commands).is_none());
    }

    proptest! {
        #[test]
        fn it_is_what_reading_makes_of_it(
            text in "[a \t\n]{0,60}|([ab ]{1,4}\n)*\t?",
            skips in any::<bool>(),
            part in 1..9usize,
        ) {
            let blanks: Option<&[u8]> = skips.then_some(b" \t\n");
            let mut file = tempfile::tempfile().unwrap();
            file.write_all(text.as_bytes()).unwrap();
            let mut splitter = Splitter::new(Delimiter::Newline, DEFAULT_MAX_LINE);
            let mut lines = Vec::new();
            splitter.push(&bytes::Bytes::from(text.clone()), |line| lines.push(line));
            lines.extend(splitter.finish());
            if skips {
                lines.retain(|line| !work::is_blank(&Work::Commands, line));
            }
            let counted = to_count(&file, blanks).count().unwrap();
            prop_assert_eq!(counted, lines.len() as u64);
            let mut open = Open::default();
            let parts = text.as_bytes().chunks(part);
            let ended: u64 = parts.map(|part| open.take(part, b'\n', blanks)).sum();
            prop_assert_eq!(ended + open.end(blanks), lines.len() as u64, "in parts");
        }
    }
}
