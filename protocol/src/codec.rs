//! Buffer to message and back: the only place that knows bincode and the frame
//! layout. Driven by `FramedRead` or by hand, on `BytesMut` in either case.
//!
//! ```text
//! magic 2 | kind 1 | zero 1 | control length 4 | payload length 4 | control | payload | 0x0A
//! ```
//!
//! The header is checked in full before anything is allocated for the frame.
//! Control structs go through bincode with fixed-size integers, limited to the
//! control length; payload bytes travel raw behind them and are handed out
//! without being copied. Anything that a peer can send is an error value.

mod around;
mod encoded;
mod kind;
mod lists;
mod messages;
mod parts;
mod payload;

use std::marker::PhantomData;

use bincode::Options;
use bytes::{BufMut, Bytes, BytesMut};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio_util::codec::{Decoder, Encoder};

pub use around::around_stdin;
pub use encoded::Encoded;
pub(crate) use encoded::encode as encode_owned;
pub use lists::{
    ANSWER_OVERHEAD, ASSIGNMENT_OVERHEAD, encode_answer, encode_answers, encode_jobs, room_for,
    take_answers,
};
pub use parts::Parts;
pub(crate) use parts::decode as decode_parts;
pub(crate) use payload::{decode_payload, encode_json_into, encode_payload, encode_payload_into};

/// Largest frame in bytes, header and trailer included.
pub const MAX_FRAME: usize = 1 << 20;

/// Largest piece of input, result or output that a sender puts into one frame.
/// Smaller than a frame, so that other messages are not kept waiting.
pub const MAX_CHUNK: usize = 256 * 1024;

const MAGIC: [u8; 2] = [0xB1, 0x0F];
const HEADER: usize = 12;
/// What every frame ends with.
pub const TRAILER: u8 = b'\n';
/// What a frame costs beside control and payload.
const OVERHEAD: usize = HEADER + 1;

/// What is wrong with bytes from a peer, or with a message for one. After such
/// an error a stream has no meaning any more: it is never resynchronised.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FrameError {
    /// The bytes are not a frame; most likely someone printed to the channel.
    #[error("expected a frame, found {}", excerpt(.0))]
    NotAFrame(Vec<u8>),
    /// The frame would be larger than [`MAX_FRAME`].
    #[error("frame of {0} bytes is larger than the limit of {MAX_FRAME}")]
    TooLarge(u64),
    /// The frame does not end where its header says.
    #[error("frame does not end with a line feed")]
    NoTrailer,
    /// No message of this direction has this number.
    #[error("unknown message kind {0:#04x}")]
    UnknownKind(u8),
    /// The control part is not what its kind says.
    #[error("malformed {0} message: {1}")]
    Malformed(&'static str, String),
    /// The stream ended inside a frame.
    #[error("stream ended within a frame, after {0} bytes of it")]
    Truncated(usize),
    /// Reading or writing failed.
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

/// The frame codec: decodes `In`, encodes `Out`. The orchestrator's is
/// `Codec<FromWorker, ToWorker>`, a worker's the other way round.
pub struct Codec<In, Out> {
    directions: PhantomData<fn(Out) -> In>,
}

impl<In, Out> Codec<In, Out> {
    /// A codec at the start of a stream, just behind the greeting.
    #[must_use]
    pub fn new() -> Self {
        Codec {
            directions: PhantomData,
        }
    }
}

impl<In, Out> Default for Codec<In, Out> {
    fn default() -> Self {
        Self::new()
    }
}

impl<In: Message, Out> Decoder for Codec<In, Out> {
    type Item = In;
    type Error = FrameError;

    fn decode(&mut self, buffer: &mut BytesMut) -> Result<Option<In>, FrameError> {
        let Some(header) = Header::parse(buffer)? else {
            return Ok(None);
        };
        let size = header.frame_size();
        if buffer.len() < size {
            // At most one frame, whose size has been checked.
            buffer.reserve(size - buffer.len());
            return Ok(None);
        }
        let mut frame = buffer.split_to(size).freeze();
        if frame[size - 1] != TRAILER {
            return Err(FrameError::NoTrailer);
        }
        let control_end = HEADER + header.control as usize;
        let payload = frame.slice(control_end..size - 1);
        frame.truncate(control_end);
        In::decode(header.kind, &frame[HEADER..], payload).map(Some)
    }

    fn decode_eof(&mut self, buffer: &mut BytesMut) -> Result<Option<In>, FrameError> {
        match self.decode(buffer)? {
            Some(message) => Ok(Some(message)),
            None if buffer.is_empty() => Ok(None),
            None => Err(FrameError::Truncated(buffer.len())),
        }
    }
}

impl<In, Out: Message> Encoder<Out> for Codec<In, Out> {
    type Error = FrameError;

    fn encode(&mut self, message: Out, buffer: &mut BytesMut) -> Result<(), FrameError> {
        encode(&message, buffer)
    }
}

/// Appends one message to a buffer as a frame.
///
/// # Errors
/// [`FrameError::TooLarge`] when it does not fit into one frame; the buffer is
/// then as it was before.
pub fn encode<M: Message>(message: &M, buffer: &mut BytesMut) -> Result<(), FrameError> {
    frame(
        message.kind(),
        buffer,
        |buffer| message.encode_control(buffer),
        |buffer| message.for_each_payload(&mut |payload| buffer.extend_from_slice(payload)),
    )
}

/// Appends a message's frame up to its payload: that, and then [`TRAILER`], are
/// written from where they are.
///
/// # Errors
/// As [`encode`].
pub fn encode_head<M: Message>(message: &M, buffer: &mut BytesMut) -> Result<(), FrameError> {
    let mut payload = 0;
    message.for_each_payload(&mut |piece| payload += piece.len());
    let start = buffer.len();
    let control = begin(message.kind(), buffer, |buffer| {
        message.encode_control(buffer);
    });
    set_lengths(buffer, start, control, payload)
}

/// How many bytes are missing of the frame that a buffer begins with, as far as
/// can be told.
#[must_use]
pub fn missing(buffer: &[u8]) -> usize {
    match Header::parse(buffer) {
        Ok(Some(header)) => header.frame_size().saturating_sub(buffer.len()),
        Ok(None) | Err(_) => 0,
    }
}

fn frame(
    kind: u8,
    buffer: &mut BytesMut,
    put_control: impl FnOnce(&mut BytesMut),
    put_payload: impl FnOnce(&mut BytesMut),
) -> Result<(), FrameError> {
    let start = buffer.len();
    let control = begin(kind, buffer, put_control);
    put_payload(buffer);
    let payload = buffer.len() - start - HEADER - control;
    buffer.put_u8(TRAILER);
    set_lengths(buffer, start, control, payload)
}

/// Appends a header that lacks its lengths, and the control part, whose length
/// it gives.
fn begin(kind: u8, buffer: &mut BytesMut, put_control: impl FnOnce(&mut BytesMut)) -> usize {
    let start = buffer.len();
    buffer.reserve(OVERHEAD + 128);
    let mut header = [0; HEADER];
    header[..3].copy_from_slice(&[MAGIC[0], MAGIC[1], kind]);
    buffer.extend_from_slice(&header);
    put_control(buffer);
    buffer.len() - start - HEADER
}

/// Completes the header at `start`, unless the frame is too large: then all that
/// there is of it is taken away.
fn set_lengths(
    buffer: &mut BytesMut,
    start: usize,
    control: usize,
    payload: usize,
) -> Result<(), FrameError> {
    let size = OVERHEAD + control + payload;
    if size > MAX_FRAME {
        buffer.truncate(start);
        return Err(FrameError::TooLarge(size as u64));
    }
    let lengths = &mut buffer[start + 4..start + HEADER];
    lengths[..4].copy_from_slice(&(control as u32).to_le_bytes());
    lengths[4..].copy_from_slice(&(payload as u32).to_le_bytes());
    Ok(())
}

struct Header {
    kind: u8,
    control: u32,
    payload: u32,
}

impl Header {
    /// Reads a header, as much as there is of it; every byte is checked as
    /// soon as it is there, and the lengths before anything is allocated.
    fn parse(buffer: &[u8]) -> Result<Option<Header>, FrameError> {
        let is_wrong = |at: usize, known: u8| buffer.get(at).is_some_and(|&byte| byte != known);
        if is_wrong(0, MAGIC[0]) || is_wrong(1, MAGIC[1]) || is_wrong(3, 0) {
            let excerpt = buffer[..buffer.len().min(256)].to_vec();
            return Err(FrameError::NotAFrame(excerpt));
        }
        let Some(&[_, _, kind, _, c0, c1, c2, c3, p0, p1, p2, p3]) = buffer.first_chunk::<HEADER>()
        else {
            return Ok(None);
        };
        let header = Header {
            kind,
            control: u32::from_le_bytes([c0, c1, c2, c3]),
            payload: u32::from_le_bytes([p0, p1, p2, p3]),
        };
        let size = u64::from(header.control) + u64::from(header.payload) + OVERHEAD as u64;
        if size > MAX_FRAME as u64 {
            return Err(FrameError::TooLarge(size));
        }
        Ok(Some(header))
    }

    fn frame_size(&self) -> usize {
        OVERHEAD + self.control as usize + self.payload as usize
    }
}

/// A vocabulary. Implemented for [`ToWorker`](crate::ToWorker) and
/// [`FromWorker`](crate::FromWorker) only, in `messages`.
pub trait Message: Sized + sealed::Sealed {
    /// Number of the message's kind.
    fn kind(&self) -> u8;
    /// Appends the control part.
    fn encode_control(&self, buffer: &mut BytesMut);
    /// Visits the payload's pieces in order.
    fn for_each_payload(&self, visit: &mut dyn FnMut(&[u8]));
    /// The message that a frame carries.
    ///
    /// # Errors
    /// When there is no such kind, or the control part is malformed.
    fn decode(kind: u8, control: &[u8], payload: Bytes) -> Result<Self, FrameError>;
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for crate::ToWorker {}
    impl Sealed for crate::FromWorker {}
}

/// A frame's two parts, taken apart according to what its kind may carry.
struct Frame<'a> {
    control: &'a [u8],
    payload: Bytes,
}

impl Frame<'_> {
    fn only<T: DeserializeOwned>(self, name: &'static str) -> Result<T, FrameError> {
        if !self.payload.is_empty() {
            return Err(FrameError::Malformed(name, "it carries a payload".into()));
        }
        take(name, self.control)
    }

    fn both<T: DeserializeOwned>(self, name: &'static str) -> Result<(T, Bytes), FrameError> {
        Ok((take(name, self.control)?, self.payload))
    }

    /// What the control part begins with; the rest is left.
    fn head<T: DeserializeOwned>(&mut self, name: &'static str) -> Result<T, FrameError> {
        options()
            .with_limit(self.control.len() as u64)
            .deserialize_from(&mut self.control)
            .map_err(|e| FrameError::Malformed(name, e.to_string()))
    }

    fn only_payload(self, name: &'static str) -> Result<Bytes, FrameError> {
        if !self.control.is_empty() {
            return Err(FrameError::Malformed(
                name,
                "it carries a control part".into(),
            ));
        }
        Ok(self.payload)
    }

    fn nothing(self, name: &'static str) -> Result<(), FrameError> {
        if self.only_payload(name)?.is_empty() {
            Ok(())
        } else {
            Err(FrameError::Malformed(name, "it carries a payload".into()))
        }
    }
}

/// Little-endian, fixed-size integers, and no trailing bytes when reading.
fn options() -> impl Options {
    bincode::DefaultOptions::new().with_fixint_encoding()
}

fn put<T: Serialize + ?Sized>(out: &mut BytesMut, control: &T) {
    options()
        .serialize_into(out.writer(), control)
        .expect("control structs have no unsized or unserialisable part");
}

fn take<T: DeserializeOwned>(name: &'static str, control: &[u8]) -> Result<T, FrameError> {
    options()
        .with_limit(control.len() as u64)
        .deserialize(control)
        .map_err(|e| FrameError::Malformed(name, e.to_string()))
}

/// The first line of what a peer printed, made safe for a terminal.
#[must_use]
pub fn excerpt(bytes: &[u8]) -> String {
    if bytes.is_empty() {
        return "nothing".into();
    }
    let line = bytes.split(|&b| b == b'\n').next().unwrap_or_default();
    let text = String::from_utf8_lossy(&line[..line.len().min(80)]);
    let mut shown = String::from("`");
    for c in text.chars() {
        if c.is_control() {
            shown.extend(c.escape_default());
        } else {
            shown.push(c);
        }
    }
    shown.push('`');
    if line.len() > 80 {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests;
