//! What was read and is in no block yet.
//!
//! A large block is given away with the memory that it was read into, with room around it for the rest of
//! its job's input; what is behind it, less than one record mostly, is what moves. Small ones are copied.

use std::fs::File;
use std::io;

use bytes::Bytes;

use crate::run::source::values::read_some;

/// Room in front of what is read, for what a job's input begins with.
const HEAD: usize = 4 << 10;

/// Room behind a block, for what a job's input ends with.
const TAIL: usize = 512;

/// How much is read at once at least.
const READ: usize = 64 << 10;

/// See the module.
#[derive(Debug)]
pub(super) struct Window {
    /// All of it may be written.
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    /// How much a fresh one holds.
    size: usize,
}

/// A block that was given away.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::run::source) struct Block {
    buffer: Vec<u8>,
    start: usize,
}

impl Window {
    /// For blocks of about this size.
    pub(super) fn new(size: usize) -> Window {
        let size = HEAD + size.max(READ) + TAIL;
        Window {
            buffer: vec![0; size],
            start: HEAD,
            end: HEAD,
            size,
        }
    }

    /// What is here.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.buffer[self.start..self.end]
    }

    /// Reads what is there, or waits for it, into room for so many bytes in all; 0 at the end.
    pub(super) fn fill(&mut self, input: &File, wanted: usize) -> io::Result<usize> {
        self.make_room(wanted);
        let read = read_some(input, &mut self.buffer[self.end..])?;
        self.end += read;
        Ok(read)
    }

    fn make_room(&mut self, wanted: usize) {
        if self.start == self.end {
            (self.start, self.end) = (HEAD, HEAD);
        }
        let len = self.end - self.start;
        let room = self.buffer.len() - self.start;
        if room >= wanted && room > len {
            return;
        }
        let all = self.start..self.end;
        if self.buffer.len() - HEAD >= wanted && self.buffer.len() - HEAD > len {
            self.buffer.copy_within(all, HEAD);
        } else {
            // A record that is larger than thought; zeroed memory that is fresh costs nothing yet.
            let mut larger = vec![0; HEAD + wanted.max(len + len / 2) + TAIL];
            larger[HEAD..HEAD + len].copy_from_slice(&self.buffer[all]);
            self.buffer = larger;
        }
        (self.start, self.end) = (HEAD, HEAD + len);
    }

    /// The first so many bytes are not needed any more.
    pub(super) fn skip(&mut self, size: usize) {
        self.start += size;
    }

    /// Takes the first so many bytes.
    pub(super) fn take(&mut self, size: usize) -> Block {
        let rest = self.start + size..self.end;
        if 2 * size < self.buffer.len() {
            let block = Block::copied(&self.bytes()[..size]);
            self.start = rest.start;
            return block;
        }
        let mut next = vec![0; self.size.max(HEAD + rest.len() + TAIL)];
        next[HEAD..HEAD + rest.len()].copy_from_slice(&self.buffer[rest.clone()]);
        let mut buffer = std::mem::replace(&mut self.buffer, next);
        buffer.truncate(rest.start);
        let start = std::mem::replace(&mut self.start, HEAD);
        self.end = HEAD + rest.len();
        Block { buffer, start }
    }
}

impl Block {
    /// A block in memory of its own.
    pub(in crate::run::source) fn copied(bytes: &[u8]) -> Block {
        let start = HEAD / 8;
        let mut buffer = Vec::with_capacity(start + bytes.len() + TAIL);
        buffer.resize(start, 0);
        buffer.extend_from_slice(bytes);
        Block { buffer, start }
    }

    /// What is in it.
    pub(in crate::run::source) fn bytes(&self) -> &[u8] {
        &self.buffer[self.start..]
    }

    /// The same with something before and behind it, without a copy if there is room.
    pub(in crate::run::source) fn between(mut self, head: &[u8], tail: &[u8]) -> Bytes {
        match self.start.checked_sub(head.len()) {
            Some(start) => {
                self.buffer[start..self.start].copy_from_slice(head);
                self.buffer.extend_from_slice(tail);
                Bytes::from(self.buffer).slice(start..)
            }
            None => [head, self.bytes(), tail].concat().into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Seek, Write};

    use super::*;

    fn window(content: &[u8], size: usize) -> (Window, File) {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(content).unwrap();
        file.rewind().unwrap();
        (Window::new(size), file)
    }

    fn fill(window: &mut Window, file: &File, wanted: usize) {
        while window.bytes().len() < wanted && window.fill(file, wanted).unwrap() > 0 {}
    }

    #[test]
    fn a_large_block_keeps_its_memory_and_the_rest_moves() {
        let content: Vec<u8> = (0..400_000_u32).map(|n| n as u8).collect();
        let (mut window, file) = window(&content, 200_000);
        fill(&mut window, &file, 200_000);
        let place = window.bytes().as_ptr();
        let block = window.take(199_000);
        assert_eq!(block.bytes(), &content[..199_000]);
        let whole = block.between(b"head", b"tail");
        assert_eq!(whole[4..].as_ptr(), place);
        assert_eq!(whole, [b"head", &content[..199_000], b"tail"].concat());
        fill(&mut window, &file, 200_000);
        assert_eq!(window.take(200_000).bytes(), &content[199_000..399_000]);
        fill(&mut window, &file, 200_000);
        assert_eq!(window.bytes(), &content[399_000..]);
    }

    #[test]
    fn small_blocks_are_copied_and_take_no_more_than_they_need() {
        let content = b"0123456789".repeat(20_000);
        let (mut window, file) = window(&content, 1);
        for at in (0..content.len()).step_by(100) {
            fill(&mut window, &file, 100);
            let block = window.take(100);
            assert!(block.buffer.capacity() < 2 * HEAD);
            assert_eq!(block.between(b"<", b">")[1..101], content[at..at + 100]);
        }
        assert_eq!(window.fill(&file, 1).unwrap(), 0);
    }

    #[test]
    fn what_does_not_fit_in_front_is_put_together() {
        let (head, block) = (vec![b'h'; 2 * HEAD], Block::copied(b"block"));
        let whole = block.between(&head, b"tail");
        assert_eq!(whole, [&head[..], b"blocktail"].concat());
    }

    #[test]
    fn room_grows_for_a_record_of_any_size() {
        let content = vec![b'x'; 1 << 20];
        let (mut window, file) = window(&content, 10);
        fill(&mut window, &file, 10);
        window.skip(10);
        while window.fill(&file, window.bytes().len() + 1).unwrap() > 0 {}
        assert_eq!(window.bytes().len(), (1 << 20) - 10);
        assert!(window.buffer.len() < 2 << 20);
    }
}
