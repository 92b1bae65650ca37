//! A payload on its way out.

use std::any::Any;

use bytes::{Bytes, BytesMut};
use serde::Serialize;
use serde_bytes::ByteBuf;

use super::{MAX_CHUNK, encode_payload_into};
use crate::PayloadError;

/// An encoded value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encoded {
    /// The payload, but for its head.
    pub bytes: Bytes,
    /// Whether this is a large byte string in bincode, whose length goes before it:
    /// there is no room for that in the memory where it was.
    pub lacks_head: bool,
}

impl Encoded {
    /// How many bytes it has with its head.
    #[must_use]
    pub fn len(&self) -> usize {
        self.bytes.len() + if self.lacks_head { size_of::<u64>() } else { 0 }
    }

    /// Whether it has none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What goes before bytes that lack it.
    #[must_use]
    pub fn head(bytes: &Bytes) -> Bytes {
        Bytes::copy_from_slice(&(bytes.len() as u64).to_le_bytes())
    }

    /// All of it in one piece, within its own memory if nobody else has that.
    #[must_use]
    pub fn whole(self) -> Bytes {
        if !self.lacks_head {
            return self.bytes;
        }
        let head = Encoded::head(&self.bytes);
        let mut bytes = Vec::from(self.bytes);
        bytes.reserve_exact(head.len());
        bytes.splice(..0, head);
        bytes.into()
    }
}

impl From<Bytes> for Encoded {
    fn from(bytes: Bytes) -> Encoded {
        Encoded {
            bytes,
            lacks_head: false,
        }
    }
}

/// Encodes a value in bincode: large byte strings are moved, what is small shares a
/// buffer.
pub(crate) fn encode<T: Serialize + 'static>(
    value: T,
    shared: &mut BytesMut,
) -> Result<Encoded, PayloadError> {
    match string(value) {
        Ok(bytes) => Ok(Encoded {
            bytes: bytes.into(),
            lacks_head: true,
        }),
        Err(value) => encode_payload_into(&value, shared).map(Encoded::from),
    }
}

/// The bytes of a value that in bincode is their number and then they themselves,
/// if they are too many for one part. Any other value comes back.
fn string<T: 'static>(value: T) -> Result<Vec<u8>, T> {
    let mut place = Some(value);
    let any: &mut dyn Any = &mut place;
    let found = if let Some(bytes) = any.downcast_mut::<Option<ByteBuf>>() {
        bytes
            .take_if(|bytes| bytes.len() > MAX_CHUNK)
            .map(ByteBuf::into_vec)
    } else if let Some(bytes) = any.downcast_mut::<Option<Vec<u8>>>() {
        bytes.take_if(|bytes| bytes.len() > MAX_CHUNK)
    } else if let Some(text) = any.downcast_mut::<Option<String>>() {
        text.take_if(|text| text.len() > MAX_CHUNK)
            .map(String::into_bytes)
    } else {
        None
    };
    match place {
        Some(value) => Err(value),
        None => Ok(found.unwrap_or_default()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Encoding;

    #[test]
    fn what_is_moved_is_what_would_have_been_encoded() {
        fn moves<T: Serialize + Clone + 'static>(value: &T) -> bool {
            let expected = Encoding::Bincode.encode(value).unwrap();
            let encoded = encode(value.clone(), &mut BytesMut::new()).unwrap();
            assert_eq!(encoded.len(), expected.len());
            let moved = encoded.lacks_head;
            let shared = encoded.clone();
            assert_eq!(encoded.whole(), expected);
            assert_eq!(shared.whole(), expected);
            moved
        }
        for size in [0, 1, MAX_CHUNK, MAX_CHUNK + 1] {
            let text = "x".repeat(size);
            assert_eq!(moves(&text), size > MAX_CHUNK);
            assert_eq!(moves(&text.clone().into_bytes()), size > MAX_CHUNK);
            assert_eq!(moves(&ByteBuf::from(text.clone())), size > MAX_CHUNK);
            assert!(!moves(&(text,)));
        }
    }

    #[test]
    fn a_large_byte_string_keeps_its_memory() {
        let value = vec![7_u8; 2 * MAX_CHUNK];
        let place = value.as_ptr();
        let encoded = encode(value, &mut BytesMut::new()).unwrap();
        assert_eq!(encoded.bytes.as_ptr(), place);
    }
}
