//! What a worker writes to stderr: cut into lines for the event stream, and
//! its end kept for the message when the worker dies.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

use super::surroundings::tells_of_no_memory;

/// A line longer than this is passed on in pieces.
const MAX_LINE: usize = 4096;
/// How much of the end is kept.
const TAIL: usize = 8 * 1024;
/// How many lines a program may say behind its last words: where it was when it
/// said them, if it was asked for that.
const BACKTRACE: u32 = 1_000;

#[derive(Debug, Default)]
pub(super) struct Stderr {
    buffer: BytesMut,
    tail: VecDeque<u8>,
    /// How many lines have followed one that says that there is no memory.
    since_no_memory: Option<u32>,
}

impl Stderr {
    /// Where to read the next bytes to.
    pub(super) fn buffer(&mut self) -> &mut BytesMut {
        self.buffer.reserve(MAX_LINE);
        &mut self.buffer
    }

    /// The last `n` bytes that were read, before lines are taken.
    pub(super) fn newest(&self, n: usize) -> &[u8] {
        &self.buffer[self.buffer.len().saturating_sub(n)..]
    }

    /// The lines that are complete now, without their line feeds.
    pub(super) fn lines(&mut self) -> Vec<Bytes> {
        let mut lines = Vec::new();
        while let Some(end) = self.buffer.iter().position(|&b| b == b'\n') {
            let line = self.buffer.split_to(end + 1);
            self.remember(&line);
            self.since_no_memory = match self.since_no_memory {
                _ if tells_of_no_memory(&line[..end]) => Some(0),
                since => since.map(|lines| lines.saturating_add(1)),
            };
            lines.push(line.freeze().slice(..end));
        }
        if self.buffer.len() >= MAX_LINE {
            lines.extend(self.unfinished());
        }
        lines
    }

    /// What came without a line feed.
    pub(super) fn unfinished(&mut self) -> Option<Bytes> {
        let rest = self.buffer.split();
        self.remember(&rest);
        (!rest.is_empty()).then(|| rest.freeze())
    }

    /// The last whole lines of all that was printed.
    pub(super) fn tail(&self) -> String {
        let (a, b) = self.tail.as_slices();
        let kept = String::from_utf8_lossy(&[a, b].concat()).into_owned();
        match kept.split_once('\n') {
            Some((_, rest)) if self.tail.len() == TAIL => rest.to_owned(),
            _ => kept,
        }
    }

    /// Whether it said in the end that it gets no memory.
    pub(super) fn tells_of_no_memory(&self) -> bool {
        self.since_no_memory.is_some_and(|lines| lines <= BACKTRACE)
    }

    fn remember(&mut self, bytes: &[u8]) {
        let bytes = &bytes[bytes.len().saturating_sub(TAIL)..];
        let excess = (self.tail.len() + bytes.len()).saturating_sub(TAIL);
        self.tail.drain(..excess);
        self.tail.extend(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn feed(printed: &mut Stderr, bytes: &[u8]) -> Vec<Bytes> {
        printed.buffer().extend_from_slice(bytes);
        printed.lines()
    }

    #[test]
    fn lines_are_cut_wherever_they_were_split() {
        let mut printed = Stderr::default();
        assert!(feed(&mut printed, b"on").is_empty());
        assert_eq!(feed(&mut printed, b"e\n\ntw"), ["one", ""]);
        assert_eq!(printed.unfinished().unwrap(), "tw");
        assert_eq!(printed.unfinished(), None);
        assert_eq!(printed.tail(), "one\n\ntw");
    }

    #[test]
    fn f020_a_flood_without_line_feeds_is_passed_on_and_forgotten() {
        let mut printed = Stderr::default();
        for _ in 0..100 {
            let pieces = feed(&mut printed, &[b'x'; MAX_LINE]);
            assert_eq!(pieces.iter().map(Bytes::len).sum::<usize>(), MAX_LINE);
        }
        assert_eq!(printed.tail().len(), TAIL);
    }

    #[test]
    fn last_words_are_known_behind_a_backtrace_and_not_for_ever() {
        let mut printed = Stderr::default();
        feed(&mut printed, b"working\n");
        assert!(!printed.tells_of_no_memory());
        feed(&mut printed, b"memory allocation of 64 bytes failed\n");
        assert!(printed.tells_of_no_memory());
        feed(&mut printed, &b"   7: somewhere\n".repeat(1_000));
        assert!(printed.tells_of_no_memory());
        feed(&mut printed, b"working\n");
        assert!(!printed.tells_of_no_memory());
    }

    #[test]
    fn the_tail_begins_with_a_whole_line() {
        let mut printed = Stderr::default();
        for n in 0..2000 {
            feed(&mut printed, format!("line {n}\n").as_bytes());
        }
        let tail = printed.tail();
        assert!(tail.starts_with("line "), "{tail:.20}");
        assert!(tail.ends_with("line 1999\n"));
    }
}
