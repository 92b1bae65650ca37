//! Items in a file that has no name: what must be read again, and is too much for memory.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use bytes::Bytes;

use super::lines::{Content, Line, Unfit, Why};
use crate::pool::unlinked_file;

/// How many bytes of items are kept in memory before a file is made.
const IN_MEMORY: usize = 1 << 20;

/// A place in a file, which moves with what is read or written there.
#[derive(Debug)]
struct Place {
    file: Arc<File>,
    at: u64,
}

impl Place {
    fn start(file: &Arc<File>) -> Place {
        Place {
            file: Arc::clone(file),
            at: 0,
        }
    }
}

impl Read for Place {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read_at(buffer, self.at)?;
        self.at += read as u64;
        Ok(read)
    }
}

impl Write for Place {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write_at(bytes, self.at)?;
        self.at += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Items that are written one after the other, and then read.
#[derive(Debug)]
pub(super) struct Spool {
    file: Arc<File>,
    writer: BufWriter<Place>,
    reader: BufReader<Place>,
    /// How many items there are.
    count: u64,
    /// How many of them were read.
    read: u64,
}

impl Spool {
    pub(super) fn new() -> io::Result<Spool> {
        let file = Arc::new(unlinked_file(None)?);
        Ok(Spool {
            writer: BufWriter::new(Place::start(&file)),
            reader: BufReader::new(Place::start(&file)),
            file,
            count: 0,
            read: 0,
        })
    }
}

impl Store for Spool {
    fn push(&mut self, line: &Line) -> io::Result<()> {
        self.count += 1;
        write(&mut self.writer, line).map(drop)
    }

    fn count(&self) -> u64 {
        self.count
    }

    fn rewind(&mut self) -> io::Result<()> {
        self.writer.flush()?;
        self.reader = BufReader::new(Place::start(&self.file));
        self.read = 0;
        Ok(())
    }

    fn next(&mut self) -> io::Result<Option<Line>> {
        if self.read == self.count {
            return Ok(None);
        }
        self.read += 1;
        read(&mut self.reader).map(Some)
    }
}

/// Where items are kept until all are there.
pub(super) trait Store {
    fn push(&mut self, line: &Line) -> io::Result<()>;
    /// How many items there are.
    fn count(&self) -> u64;
    /// The next item is the first. Nothing is pushed from now on.
    fn rewind(&mut self) -> io::Result<()>;
    fn next(&mut self) -> io::Result<Option<Line>>;
}

/// Items that are read again and again: few of them in memory.
#[derive(Debug, Default)]
pub(super) struct Kept {
    head: Vec<Line>,
    bytes: usize,
    tail: Option<Spool>,
    /// How many of those in memory were read.
    at: usize,
}

impl Kept {
    pub(super) fn push(&mut self, line: &Line) -> io::Result<()> {
        if let Some(tail) = &mut self.tail {
            return tail.push(line);
        }
        // Without the rest of what was read with it.
        let content = match &line.content {
            Content::Whole(bytes) => Content::Whole(Bytes::copy_from_slice(bytes)),
            other => other.clone(),
        };
        if let Content::Whole(bytes) = &content {
            self.bytes += bytes.len();
        }
        self.bytes += size_of::<Line>();
        self.head.push(Line {
            number: line.number,
            content,
        });
        if self.bytes > IN_MEMORY {
            self.tail = Some(Spool::new()?);
        }
        Ok(())
    }

    pub(super) fn rewind(&mut self) -> io::Result<()> {
        self.at = 0;
        self.tail.as_mut().map_or(Ok(()), Spool::rewind)
    }

    pub(super) fn next(&mut self) -> io::Result<Option<Line>> {
        if let Some(line) = self.head.get(self.at) {
            self.at += 1;
            return Ok(Some(line.clone()));
        }
        self.tail.as_mut().map_or(Ok(None), Spool::next)
    }
}

/// Items that are read in any order: where each begins is in a file as well.
#[derive(Debug)]
pub(super) struct Shuffled {
    file: Arc<File>,
    writer: BufWriter<Place>,
    starts: Arc<File>,
    starts_writer: BufWriter<Place>,
    length: u64,
    count: u64,
    read: u64,
    seed: u64,
}

impl Shuffled {
    pub(super) fn new(seed: u64) -> io::Result<Shuffled> {
        let (file, starts) = (
            Arc::new(unlinked_file(None)?),
            Arc::new(unlinked_file(None)?),
        );
        Ok(Shuffled {
            writer: BufWriter::new(Place::start(&file)),
            file,
            starts_writer: BufWriter::new(Place::start(&starts)),
            starts,
            length: 0,
            count: 0,
            read: 0,
            seed,
        })
    }
}

impl Store for Shuffled {
    fn push(&mut self, line: &Line) -> io::Result<()> {
        self.starts_writer.write_all(&self.length.to_le_bytes())?;
        self.length += write(&mut self.writer, line)?;
        self.count += 1;
        Ok(())
    }

    fn count(&self) -> u64 {
        self.count
    }

    fn rewind(&mut self) -> io::Result<()> {
        self.writer.flush()?;
        self.starts_writer.flush()
    }

    fn next(&mut self) -> io::Result<Option<Line>> {
        if self.read == self.count {
            return Ok(None);
        }
        let place = permuted(self.read, self.count, self.seed);
        self.read += 1;
        let mut start = [0; 8];
        self.starts.read_exact_at(&mut start, 8 * place)?;
        let mut place = Place {
            file: Arc::clone(&self.file),
            at: u64::from_le_bytes(start),
        };
        read(&mut BufReader::with_capacity(512, &mut place)).map(Some)
    }
}

/// Where the item with this place among so many goes, in an order that the seed decides:
/// a Feistel network, walked until it gives a place that there is, so that the order
/// itself takes no memory.
fn permuted(place: u64, count: u64, seed: u64) -> u64 {
    let bits = (64 - count.leading_zeros()).div_ceil(2);
    let mask = (1_u64 << bits) - 1;
    let mut walked = place;
    loop {
        let (mut left, mut right) = (walked >> bits, walked & mask);
        for round in 0..6 {
            let mixed = mix(seed.wrapping_add(mix(right).wrapping_mul(2 * round + 1)));
            (left, right) = (right, (left ^ mixed) & mask);
        }
        walked = left << bits | right;
        if walked < count {
            return walked;
        }
    }
}

/// The finalizer of SplitMix64.
fn mix(mut bits: u64) -> u64 {
    bits = bits.wrapping_add(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

const WHYS: [Why; 4] = [Why::TooLong, Why::ZeroByte, Why::Quotes, Why::NoRoom];

/// Writes an item; how many bytes that are.
fn write(to: &mut impl Write, line: &Line) -> io::Result<u64> {
    let (kind, more, bytes): (u8, u64, &[u8]) = match &line.content {
        Content::Whole(bytes) => (0, 0, bytes),
        Content::TooLong { start, length } => (1, *length, start),
        Content::Unfit(unfit) => {
            let why = WHYS.iter().position(|why| *why == unfit.why);
            (2, why.unwrap_or(0) as u64, unfit.what.as_bytes())
        }
    };
    to.write_all(&[kind])?;
    for number in [line.number, more, bytes.len() as u64] {
        to.write_all(&number.to_le_bytes())?;
    }
    to.write_all(bytes)?;
    Ok(25 + bytes.len() as u64)
}

/// Reads one that was written so.
fn read(from: &mut impl Read) -> io::Result<Line> {
    let mut head = [0; 25];
    from.read_exact(&mut head)?;
    let number = |at: usize| {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&head[at..at + 8]);
        u64::from_le_bytes(bytes)
    };
    let (more, length) = (number(9), number(17));
    let mut bytes = vec![0; usize::try_from(length).unwrap_or(usize::MAX)];
    from.read_exact(&mut bytes)?;
    let content = match head[0] {
        0 => Content::Whole(bytes.into()),
        1 => Content::TooLong {
            start: bytes.into(),
            length: more,
        },
        _ => Content::Unfit(Box::new(Unfit {
            what: String::from_utf8_lossy(&bytes).into_owned(),
            why: WHYS[more as usize % WHYS.len()],
        })),
    };
    Ok(Line {
        number: number(1),
        content,
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn lines(count: u64) -> Vec<Line> {
        let content = |number: u64| match number % 7 {
            5 => Content::TooLong {
                start: Bytes::from_static(b"x"),
                length: number,
            },
            6 => Content::Unfit(Box::new(Unfit {
                what: "line ü".into(),
                why: WHYS[number as usize % 4],
            })),
            _ => Content::Whole(Bytes::from(vec![b'a'; number as usize % 500])),
        };
        let line = |number| Line {
            number,
            content: content(number),
        };
        (0..count).map(line).collect()
    }

    #[test]
    fn items_are_read_again_as_they_were_from_memory_and_file() {
        let all = lines(20_000);
        let mut kept = Kept::default();
        for line in &all {
            kept.push(line).unwrap();
        }
        assert!(kept.tail.is_some() && kept.head.len() < 10_000);
        for _ in 0..2 {
            kept.rewind().unwrap();
            for line in &all {
                assert_eq!(kept.next().unwrap().as_ref(), Some(line));
            }
            assert_eq!(kept.next().unwrap(), None);
        }
    }

    #[test]
    fn every_item_comes_once_in_an_order_that_the_seed_decides() {
        let all = lines(1_000);
        let order = |seed| {
            let mut shuffled = Shuffled::new(seed).unwrap();
            for line in &all {
                shuffled.push(line).unwrap();
            }
            shuffled.rewind().unwrap();
            std::iter::from_fn(|| shuffled.next().unwrap()).collect::<Vec<_>>()
        };
        let (first, again, other) = (order(1), order(1), order(2));
        assert_eq!(first, again);
        assert_ne!(first, other);
        let mut sorted = first.clone();
        sorted.sort_by_key(|line| line.number);
        assert_eq!(sorted, all);
        // Few stay where they are, and few keep their neighbour.
        let same = first.iter().zip(&all).filter(|(a, b)| a == b).count();
        let next = first.windows(2).filter(|w| w[1].number == w[0].number + 1);
        assert!(same < 20 && next.count() < 20);
    }

    #[test]
    fn any_number_of_items_is_permuted() {
        for count in 1..300 {
            let places: BTreeSet<u64> = (0..count).map(|n| permuted(n, count, 7)).collect();
            assert_eq!(places, (0..count).collect());
        }
    }
}
