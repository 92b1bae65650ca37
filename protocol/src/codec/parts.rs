//! Payload bytes that came in parts, joined as they come: a large byte string is
//! then part of the payload as it will be of the value, and becomes that without
//! another copy into fresh memory.

use std::io::{self, Read};

use bincode::{BincodeRead, ErrorKind, Options};
use bytes::{Buf, BufMut, Bytes};
use serde::de::{DeserializeOwned, Visitor};

use super::options;
use crate::PayloadError;

/// How many bytes are kept apart from the others: in bincode the length of a
/// byte string, so that the others are the string itself.
const HEAD: usize = 8;

/// The bytes of one payload, in order.
#[derive(Debug)]
pub struct Parts {
    /// All of them if they came in one part, else the first [`HEAD`].
    first: Bytes,
    /// The others.
    rest: Vec<u8>,
    /// How many bytes there will be at most, as far as is known.
    most: usize,
}

impl Parts {
    /// How many bytes there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.first.len() + self.rest.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Gives memory back that was for more bytes.
    pub fn shrink(&mut self) {
        self.rest.shrink_to_fit();
    }

    /// Says how many bytes there will be, so that no more room is made.
    #[must_use]
    pub fn of(mut self, len: u64) -> Parts {
        self.most = usize::try_from(len).unwrap_or(usize::MAX);
        self
    }

    /// Adds bytes at the end.
    pub fn push(&mut self, part: Bytes) {
        if self.is_empty() {
            self.first = part;
            return;
        }
        self.make_room(self.len() + part.len());
        if self.rest.is_empty() {
            let mut all = std::mem::take(&mut self.first).chain(part);
            let mut head = [0; HEAD];
            let head = &mut head[..HEAD.min(all.remaining())];
            all.copy_to_slice(head);
            self.first = Bytes::copy_from_slice(head);
            self.rest.put(all);
        } else {
            self.rest.extend_from_slice(&part);
        }
    }

    /// Makes room for so many bytes in all, and some more: less than twice as many,
    /// since what is announced need not come.
    fn make_room(&mut self, len: usize) {
        if len - HEAD.min(len) <= self.rest.capacity() {
            return;
        }
        let room = len.next_power_of_two().min(self.most.max(len));
        self.rest.reserve_exact(room - self.rest.len());
    }

    /// The bytes in order, in two pieces, each of which may be empty.
    #[must_use]
    pub fn pieces(&self) -> [&[u8]; 2] {
        [&self.first, &self.rest]
    }

    /// So many of them from there on, which must be there; without a copy if they came
    /// in one part.
    #[must_use]
    pub fn piece(&self, start: usize, len: usize) -> Bytes {
        let (end, head) = (start + len, self.first.len());
        if end <= head {
            return self.first.slice(start..end);
        }
        let rest = &self.rest[start.max(head) - head..end - head];
        match head.checked_sub(start) {
            None | Some(0) => Bytes::copy_from_slice(rest),
            Some(_) => [&self.first[start..], rest].concat().into(),
        }
    }

    /// All bytes in one piece, without a copy if they came so.
    #[must_use]
    pub fn joined(&self) -> Bytes {
        match self.whole() {
            Some(whole) => whole.clone(),
            None => self.pieces().concat().into(),
        }
    }

    /// All bytes, if they came in one piece.
    pub(crate) fn whole(&self) -> Option<&Bytes> {
        self.rest.is_empty().then_some(&self.first)
    }
}

impl From<Bytes> for Parts {
    fn from(first: Bytes) -> Parts {
        Parts {
            first,
            rest: Vec::new(),
            most: usize::MAX,
        }
    }
}

impl Default for Parts {
    fn default() -> Parts {
        Bytes::new().into()
    }
}

/// Decodes bincode without joining the parts.
pub(crate) fn decode<T: DeserializeOwned>(parts: Parts) -> Result<T, PayloadError> {
    let mut reader = Reader { parts, at: 0 };
    let value = options()
        .with_limit(reader.left() as u64)
        .deserialize_from_custom(&mut reader)
        .map_err(|e| PayloadError(e.to_string()))?;
    match reader.left() {
        0 => Ok(value),
        left => Err(PayloadError(format!("{left} bytes follow the value"))),
    }
}

struct Reader {
    /// The first part without what was read of it.
    parts: Parts,
    /// How much was read of the rest.
    at: usize,
}

impl Reader {
    /// How many bytes were not read.
    fn left(&self) -> usize {
        self.parts.len() - self.at
    }

    /// As many of the next bytes as there are in one piece.
    fn fill(&mut self, out: &mut [u8]) -> usize {
        let Parts { first, rest, .. } = &mut self.parts;
        if first.is_empty() {
            let taken = out.len().min(rest.len() - self.at);
            out[..taken].copy_from_slice(&rest[self.at..self.at + taken]);
            self.at += taken;
            return taken;
        }
        let taken = out.len().min(first.len());
        first.copy_to_slice(&mut out[..taken]);
        taken
    }
}

impl Read for Reader {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        Ok(self.fill(out))
    }

    /// What a list of numbers consists of: must cost next to nothing.
    #[inline]
    fn read_exact(&mut self, mut out: &mut [u8]) -> io::Result<()> {
        if self.parts.first.is_empty()
            && let Some(next) = self.parts.rest.get(self.at..self.at + out.len())
        {
            out.copy_from_slice(next);
            self.at += out.len();
            return Ok(());
        }
        while !out.is_empty() {
            match self.fill(out) {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                n => out = &mut out[n..],
            }
        }
        Ok(())
    }
}

/// Behind a `&mut`, so that it can be asked afterwards what is left. Unlike
/// bincode's own reader of streams it knows how much there is.
impl<'de> BincodeRead<'de> for &mut Reader {
    fn forward_read_str<V: Visitor<'de>>(
        &mut self,
        length: usize,
        visitor: V,
    ) -> bincode::Result<V::Value> {
        match String::from_utf8(self.get_byte_buffer(length)?) {
            Ok(text) => visitor.visit_string(text),
            Err(e) => Err(ErrorKind::InvalidUtf8Encoding(e.utf8_error()).into()),
        }
    }

    fn get_byte_buffer(&mut self, length: usize) -> bincode::Result<Vec<u8>> {
        if length > self.left() {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        let Parts { first, rest, .. } = &mut self.parts;
        // To move bytes within their memory is cheaper than to fill as much that is
        // fresh; and mostly there is nothing to be moved.
        if first.is_empty() && length > rest.len() / 2 {
            let behind = rest.split_off(self.at + length);
            let mut bytes = std::mem::replace(rest, behind);
            bytes.drain(..std::mem::take(&mut self.at));
            bytes.shrink_to_fit();
            return Ok(bytes);
        }
        let from_first = length.min(first.len());
        let end = self.at + length - from_first;
        let mut bytes = Vec::with_capacity(length);
        bytes.extend_from_slice(&first.split_to(from_first));
        bytes.extend_from_slice(&rest[self.at..end]);
        self.at = end;
        Ok(bytes)
    }

    fn forward_read_bytes<V: Visitor<'de>>(
        &mut self,
        length: usize,
        visitor: V,
    ) -> bincode::Result<V::Value> {
        visitor.visit_byte_buf(self.get_byte_buffer(length)?)
    }
}

#[cfg(test)]
mod tests {
    use serde_bytes::ByteBuf;

    use super::*;
    use crate::Encoding;

    /// The same bytes, in parts of this size.
    fn cut(mut bytes: Bytes, size: usize) -> Parts {
        let mut parts = Parts::default();
        while !bytes.is_empty() {
            parts.push(bytes.split_to(size.min(bytes.len())));
        }
        parts
    }

    #[test]
    fn values_survive_being_cut_anywhere() {
        let value = (7_u64, "häuser".to_owned(), vec![1_u16, 2, 3], 'ß', true);
        for encoding in [Encoding::Bincode, Encoding::Json] {
            let bytes = encoding.encode(&value).unwrap();
            for size in 1..=bytes.len() {
                let parts = cut(bytes.clone(), size);
                assert_eq!(parts.len(), bytes.len());
                assert_eq!(parts.joined(), bytes);
                let back = encoding.decode_parts::<(u64, String, Vec<u16>, char, bool)>(parts);
                assert_eq!(back.unwrap(), value);
            }
        }
    }

    #[test]
    fn strings_of_all_sizes_stand_anywhere() {
        for (before, length, behind) in [(0, 0, 0), (0, 100, 0), (3, 100, 4), (90, 30, 5)] {
            let bytes = |n| ByteBuf::from((0..n).collect::<Vec<u8>>());
            let value = (bytes(before), bytes(length), 7_u16, bytes(behind));
            let encoded = Encoding::Bincode.encode(&value).unwrap();
            for size in 1..=encoded.len() {
                let parts = cut(encoded.clone(), size);
                let back: (ByteBuf, ByteBuf, u16, ByteBuf) = decode(parts).unwrap();
                assert_eq!(back, value);
            }
        }
    }

    #[test]
    fn a_byte_string_is_moved_out_of_the_payload() {
        let value = ByteBuf::from(vec![7; 1000]);
        let parts = cut(Encoding::Bincode.encode(&value).unwrap(), 300);
        let place = parts.rest.as_ptr();
        let mut reader = Reader { parts, at: 0 };
        let mut length = [0; 8];
        reader.read_exact(&mut length).unwrap();
        let bytes = (&mut reader).get_byte_buffer(1000).unwrap();
        assert_eq!(bytes, value.as_ref());
        assert!(bytes.as_ptr() == place || bytes.capacity() == 1000);
        assert_eq!(reader.left(), 0);
    }

    #[test]
    fn room_is_made_for_what_has_come() {
        let part = Bytes::from(vec![7; 1000]);
        let mut parts = Parts::from(part.clone()).of(1 << 40);
        for n in 1..100 {
            parts.push(part.clone());
            assert!(parts.rest.capacity() < 2 * 1000 * (n + 1));
        }
        let mut parts = Parts::from(part.clone()).of(3000);
        parts.push(part.clone());
        parts.push(part);
        assert_eq!(parts.rest.capacity(), 3000);
    }

    #[test]
    fn one_part_is_never_copied() {
        let bytes = Bytes::from_static(b"abc");
        assert_eq!(Parts::from(bytes.clone()).joined().as_ptr(), bytes.as_ptr());
        assert!(Parts::default().is_empty());
    }

    #[test]
    fn what_is_no_value_is_refused() {
        let mut bytes = Encoding::Bincode.encode("abc").unwrap().to_vec();
        let whole = cut(Bytes::from(bytes.clone()), 4);
        assert_eq!(decode::<String>(whole).unwrap(), "abc");
        bytes.push(0);
        assert!(decode::<String>(cut(Bytes::from(bytes.clone()), 4)).is_err());
        bytes.truncate(10);
        assert!(decode::<String>(cut(Bytes::from(bytes), 4)).is_err());
        let bomb = Bytes::copy_from_slice(&(1_u64 << 40).to_le_bytes());
        assert!(decode::<String>(cut(bomb.clone(), 4)).is_err());
        assert!(decode::<Vec<u64>>(cut(bomb, 4)).is_err());
        let no_text = Bytes::from_static(b"\x01\0\0\0\0\0\0\0\xff");
        assert!(decode::<String>(cut(no_text, 4)).is_err());
    }
}
