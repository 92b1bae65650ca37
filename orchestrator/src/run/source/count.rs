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
        // Of the item that has begun: whether it has, and whether it is blank so far.
        let (mut begun, mut blank) = (false, true);
        loop {
            let read = match self.file.read_at(&mut buffer, at) {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                read => read?,
            };
            if read == 0 {
                let last = begun && !(blank && self.blanks.is_some());
                return Ok(items + u64::from(last));
            }
            at += read as u64;
            let mut rest = &buffer[..read];
            let Some(blanks) = self.blanks else {
                items += memchr::memchr_iter(self.delimiter, rest).count() as u64;
                begun = rest.last() != Some(&self.delimiter);
                continue;
            };
            let is_blank = |bytes: &[u8]| bytes.iter().all(|byte| blanks.contains(byte));
            while let Some(end) = memchr::memchr(self.delimiter, rest) {
                items += u64::from(!(blank && is_blank(&rest[..end])));
                (begun, blank) = (false, true);
                rest = &rest[end + 1..];
            }
            begun |= !rest.is_empty();
            blank &= is_blank(rest);
        }
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
        fn it_is_what_reading_makes_of_it(text in "[a \t\n]{0,60}", skips in any::<bool>()) {
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
        }
    }
}
