//! Payload bytes that came in parts, and stay in parts until they are decoded:
//! to join a large payload is to copy it into fresh memory.

use std::io::{self, Read};

use bincode::{BincodeRead, ErrorKind, Options};
use bytes::{Bytes, BytesMut};
use serde::de::{DeserializeOwned, Visitor};

use super::options;
use crate::PayloadError;

/// What is smaller than this is copied: a part keeps alive all that was read
/// together with it, so what is held would have no proportion to the payload.
const SMALL: usize = 64 * 1024;

/// The bytes of one payload, in order.
#[derive(Clone, Debug, Default)]
pub struct Parts {
    first: Bytes,
    more: Vec<Bytes>,
    /// Small parts that came last, joined.
    small: BytesMut,
    len: usize,
}

impl Parts {
    /// How many bytes there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Adds bytes at the end.
    pub fn push(&mut self, part: Bytes) {
        self.len += part.len();
        if part.len() < SMALL {
            self.small.extend_from_slice(&part);
            return;
        }
        if !self.small.is_empty() {
            self.more.push(self.small.split().freeze());
        }
        self.more.push(part);
    }

    /// The parts, in order; some may be empty.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let first = std::iter::once(&self.first[..]);
        let more = self.more.iter().map(|part| &part[..]);
        first.chain(more).chain(std::iter::once(&self.small[..]))
    }

    /// All bytes in one piece, without a copy if they came so.
    #[must_use]
    pub fn joined(&self) -> Bytes {
        if let Some(whole) = self.whole() {
            return whole.clone();
        }
        let mut all = Vec::with_capacity(self.len);
        self.iter().for_each(|part| all.extend_from_slice(part));
        all.into()
    }

    /// All bytes, if they came in one piece.
    pub(crate) fn whole(&self) -> Option<&Bytes> {
        (self.first.len() == self.len).then_some(&self.first)
    }
}

impl From<Bytes> for Parts {
    fn from(first: Bytes) -> Parts {
        Parts {
            len: first.len(),
            first,
            ..Parts::default()
        }
    }
}

/// Decodes bincode without joining the parts.
pub(crate) fn decode<T: DeserializeOwned>(parts: &Parts) -> Result<T, PayloadError> {
    let mut reader = Reader {
        now: &[],
        next: parts.iter(),
        left: parts.len,
    };
    let value = options()
        .with_limit(parts.len as u64)
        .deserialize_from_custom(&mut reader)
        .map_err(|e| PayloadError(e.to_string()))?;
    match reader.left {
        0 => Ok(value),
        left => Err(PayloadError(format!("{left} bytes follow the value"))),
    }
}

struct Reader<'a, I> {
    now: &'a [u8],
    next: I,
    /// How many bytes there are in all.
    left: usize,
}

impl<'a, I: Iterator<Item = &'a [u8]>> Reader<'a, I> {
    /// The next bytes, at most so many, and none only at the end.
    fn next_bytes(&mut self, most: usize) -> &'a [u8] {
        while self.now.is_empty() {
            match self.next.next() {
                Some(part) => self.now = part,
                None => return &[],
            }
        }
        let (taken, rest) = self.now.split_at(most.min(self.now.len()));
        self.now = rest;
        self.left -= taken.len();
        taken
    }
}

impl<'a, I: Iterator<Item = &'a [u8]>> Read for Reader<'a, I> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let taken = self.next_bytes(out.len());
        out[..taken.len()].copy_from_slice(taken);
        Ok(taken.len())
    }
}

/// Behind a `&mut`, so that it can be asked afterwards what is left. Unlike
/// bincode's own reader of streams it knows how much there is, and need not
/// fill a buffer with zeros first.
impl<'a, 'de, I: Iterator<Item = &'a [u8]>> BincodeRead<'de> for &mut Reader<'a, I> {
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
        if length > self.left {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        let mut bytes = Vec::with_capacity(length);
        while bytes.len() < length {
            bytes.extend_from_slice(self.next_bytes(length - bytes.len()));
        }
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
    use super::*;
    use crate::Encoding;

    /// The same bytes, first in a piece of `size` and then in others.
    fn cut(mut bytes: Bytes, size: usize) -> Parts {
        let mut parts = Parts::from(bytes.split_to(size.min(bytes.len())));
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
                // Through the reader also when the parts are small.
                let parts = Parts {
                    len: bytes.len(),
                    more: bytes.chunks(size).map(Bytes::copy_from_slice).collect(),
                    ..Parts::default()
                };
                let back = encoding.decode_parts::<(u64, String, Vec<u16>, char, bool)>(&parts);
                assert_eq!(back.unwrap(), value);
                assert_eq!(parts.joined(), bytes);
            }
        }
    }

    #[test]
    fn large_parts_are_kept_and_small_ones_are_joined() {
        let large = Bytes::from(vec![1; SMALL]);
        let mut parts = Parts::from(Bytes::from_static(b"first"));
        for part in [b"a", b"b"] {
            parts.push(Bytes::from_static(part));
        }
        parts.push(large.clone());
        for part in [b"c", b"d"] {
            parts.push(Bytes::from_static(part));
        }
        let pieces: Vec<&[u8]> = parts.iter().collect();
        assert_eq!(pieces, [b"first", &b"ab"[..], &large[..], b"cd"]);
        assert_eq!(pieces[2].as_ptr(), large.as_ptr());
        assert_eq!(parts.len(), 9 + SMALL);
        assert_eq!(parts.joined(), pieces.concat());
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
        assert_eq!(decode::<String>(&whole).unwrap(), "abc");
        bytes.push(0);
        assert!(decode::<String>(&cut(Bytes::from(bytes.clone()), 4)).is_err());
        bytes.truncate(10);
        assert!(decode::<String>(&cut(Bytes::from(bytes), 4)).is_err());
        let bomb = Bytes::copy_from_slice(&(1_u64 << 40).to_le_bytes());
        assert!(decode::<String>(&cut(bomb.clone(), 4)).is_err());
        assert!(decode::<Vec<u64>>(&cut(bomb, 4)).is_err());
        let no_text = Bytes::from_static(b"\x01\0\0\0\0\0\0\0\xff");
        assert!(decode::<String>(&cut(no_text, 4)).is_err());
    }
}
