//! Values in bincode, as payloads.

use bincode::Options;
use bytes::{BufMut, Bytes, BytesMut};
use serde::{Deserialize, Serialize};

use super::options;
use crate::PayloadError;

pub(crate) fn encode_payload<T: Serialize + ?Sized>(value: &T) -> Result<Bytes, PayloadError> {
    options()
        .serialize(value)
        .map(Bytes::from)
        .map_err(|e| PayloadError(e.to_string()))
}

/// Larger payloads get memory of their own.
const SHARED: usize = 1024;
/// How much memory payloads share.
const SHARED_BUFFER: usize = 16 * 1024;

pub(crate) fn encode_payload_into<T: Serialize + ?Sized>(
    value: &T,
    shared: &mut BytesMut,
) -> Result<Bytes, PayloadError> {
    let size = options()
        .serialized_size(value)
        .map_err(|e| PayloadError(e.to_string()))?;
    if size > SHARED as u64 {
        return encode_payload(value);
    }
    // What a value has left behind that panicked, or changed its mind.
    shared.clear();
    if shared.capacity() < size as usize {
        *shared = BytesMut::with_capacity(SHARED_BUFFER);
    }
    options()
        .serialize_into((&mut *shared).writer(), value)
        .map_err(|e| PayloadError(e.to_string()))?;
    Ok(shared.split().freeze())
}

/// The same as JSON, whose size nobody knows before.
pub(crate) fn encode_json_into<T: Serialize + ?Sized>(
    value: &T,
    shared: &mut BytesMut,
) -> Result<Bytes, PayloadError> {
    // What a value has left behind that panicked.
    shared.clear();
    if shared.capacity() < SHARED {
        *shared = BytesMut::with_capacity(SHARED_BUFFER);
    }
    let end = serde_json::to_writer((&mut *shared).writer(), value);
    let payload = shared.split().freeze();
    if payload.len() > SHARED {
        // It may have grown, and what is left of a large one's memory keeps all of it.
        *shared = BytesMut::new();
    }
    end.map_err(|e| PayloadError(e.to_string()))?;
    Ok(payload)
}

pub(crate) fn decode_payload<'de, T: Deserialize<'de>>(
    payload: &'de [u8],
) -> Result<T, PayloadError> {
    options()
        .with_limit(payload.len() as u64)
        .deserialize(payload)
        .map_err(|e| PayloadError(e.to_string()))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::Encoding;

    #[test]
    fn payloads_that_share_memory_are_what_they_are_alone() {
        let mut shared = BytesMut::new();
        let texts = [0, 1, 700, SHARED, 5 * SHARED_BUFFER, 3].map(|len| "é\n".repeat(len));
        let mut kept = Vec::new();
        for text in &texts {
            for encoding in [Encoding::Bincode, Encoding::Json] {
                let encoded = encoding.encode_owned(text.clone(), &mut shared).unwrap();
                kept.push((encoded.whole(), encoding.encode(text).unwrap()));
            }
            assert!(shared.capacity() <= SHARED_BUFFER);
        }
        assert!(kept.iter().all(|(shared, alone)| shared == alone));
    }

    /// Panics when half of it is written.
    struct Bomb;

    impl Serialize for Bomb {
        fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
            use serde::ser::SerializeTuple;
            let mut pair = to.serialize_tuple(2)?;
            pair.serialize_element(&1u64)?;
            panic!("half of it is written")
        }
    }

    #[test]
    fn a_value_that_panics_leaves_nothing_behind() {
        let mut shared = BytesMut::new();
        for encoding in [Encoding::Json, Encoding::Bincode] {
            let attempt = std::panic::AssertUnwindSafe(|| encoding.encode_owned(Bomb, &mut shared));
            assert!(std::panic::catch_unwind(attempt).is_err());
            let next = encoding.encode_owned(7u64, &mut shared).unwrap();
            assert_eq!(next.whole(), encoding.encode(&7u64).unwrap());
        }
    }

    #[test]
    fn what_cannot_be_encoded_leaves_nothing_behind() {
        let mut shared = BytesMut::new();
        let odd = BTreeMap::from([(vec![1u8], 1)]);
        assert!(Encoding::Json.encode_owned(odd, &mut shared).is_err());
        let next = Encoding::Json.encode_owned(7, &mut shared).unwrap();
        assert_eq!(next.whole(), "7");
    }
}
