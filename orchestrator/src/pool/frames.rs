//! Frames on their way into a pipe. Small ones lie behind one another in a buffer; a
//! chunk of a large payload is written from where it is.

use std::collections::VecDeque;
use std::io::IoSlice;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use protocol::codec::{self, Message};

/// How many pieces are written at once.
pub(crate) const SLICES: usize = 8;

#[derive(Debug, Default)]
pub(crate) struct Frames {
    /// What goes before `bytes`: chunks, and what stands between them.
    ready: VecDeque<Bytes>,
    /// How many bytes those are.
    ready_len: usize,
    /// Frames, or the last part of one, the first perhaps written in part.
    bytes: BytesMut,
}

impl Frames {
    /// What is to be written, in order, or the first of it.
    pub(crate) fn slices(&self) -> [IoSlice<'_>; SLICES] {
        let mut slices = [IoSlice::new(&[]); SLICES];
        let all = self.ready.iter().map(|piece| &piece[..]);
        for (slice, piece) in slices.iter_mut().zip(all.chain([&self.bytes[..]])) {
            *slice = IoSlice::new(piece);
        }
        slices
    }

    /// So much was written.
    pub(crate) fn advance(&mut self, mut written: usize) {
        while written > 0
            && let Some(first) = self.ready.front_mut()
        {
            let n = written.min(first.len());
            first.advance(n);
            if first.is_empty() {
                self.ready.pop_front();
            }
            self.ready_len -= n;
            written -= n;
        }
        self.bytes.advance(written);
    }

    /// Whether there is nothing to be written.
    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(crate) fn len(&self) -> usize {
        self.ready_len + self.bytes.len()
    }

    /// Where whole frames are put behind all that is here.
    pub(crate) fn end(&mut self) -> &mut BytesMut {
        &mut self.bytes
    }

    /// Bytes that are no frame, which are not copied.
    pub(crate) fn bytes(&mut self, bytes: Bytes) {
        self.ready_len += self.bytes.len() + bytes.len();
        self.ready.extend([self.bytes.split().freeze(), bytes]);
        self.ready.retain(|piece| !piece.is_empty());
    }

    /// A frame that ends with a chunk, which is not copied.
    pub(crate) fn chunk(&mut self, message: &impl Message, chunk: Bytes) {
        if let Err(e) = codec::encode_head(message, &mut self.bytes) {
            debug_assert!(false, "a chunk that fits into no frame: {e}");
            return;
        }
        self.ready_len += self.bytes.len() + chunk.len();
        self.ready.extend([self.bytes.split().freeze(), chunk]);
        self.bytes.put_u8(codec::TRAILER);
    }

    /// Nobody will read any of it.
    pub(crate) fn discard(&mut self) {
        *self = Frames::default();
    }
}
