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
    if shared.capacity() < size as usize {
        *shared = BytesMut::with_capacity(SHARED_BUFFER);
    }
    options()
        .serialize_into((&mut *shared).writer(), value)
        .map_err(|e| PayloadError(e.to_string()))?;
    Ok(shared.split().freeze())
}

pub(crate) fn decode_payload<'de, T: Deserialize<'de>>(
    payload: &'de [u8],
) -> Result<T, PayloadError> {
    options()
        .with_limit(payload.len() as u64)
        .deserialize(payload)
        .map_err(|e| PayloadError(e.to_string()))
}
