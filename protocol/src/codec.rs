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
mod lists;
mod parts;
mod payload;

use std::marker::PhantomData;

use bincode::Options;
use bytes::{BufMut, Bytes, BytesMut};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio_util::codec::{Decoder, Encoder};

use crate::message::{Answer, Assignment, FromWorker, Ready, Stream, ToWorker};
use crate::{Attempt, JobId};

pub use around::around_stdin;
pub use encoded::Encoded;
pub(crate) use encoded::encode as encode_owned;
use lists::put_many;
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

/// A vocabulary. Implemented here for [`ToWorker`] and [`FromWorker`] only.
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

mod kind {
    pub(super) const HELLO: u8 = 0x01;
    pub(super) const INIT: u8 = 0x02;
    pub(super) const BLOB: u8 = 0x03;
    pub(super) const RUN_MANY: u8 = 0x04;
    pub(super) const INPUT_CHUNK: u8 = 0x05;
    pub(super) const CREDIT: u8 = 0x06;
    pub(super) const CANCEL: u8 = 0x07;
    pub(super) const RECALL: u8 = 0x08;
    pub(super) const PAUSE: u8 = 0x09;
    pub(super) const RESUME: u8 = 0x0A;
    pub(super) const DRAIN: u8 = 0x0B;
    pub(super) const PING: u8 = 0x0C;
    pub(super) const ACK: u8 = 0x0D;
    pub(super) const BYE: u8 = 0x0E;
    pub(super) const WIND_DOWN: u8 = 0x0F;
    pub(super) const RUN_MANY_WITH: u8 = 0x10;
    pub(super) const RESIZE: u8 = 0x11;

    pub(super) const READY: u8 = 0x81;
    pub(super) const STARTED: u8 = 0x82;
    pub(super) const OUTPUT: u8 = 0x83;
    pub(super) const RESULT_CHUNK: u8 = 0x84;
    pub(super) const DONE_MANY: u8 = 0x85;
    pub(super) const INPUT_CREDIT: u8 = 0x86;
    pub(super) const RECALLED: u8 = 0x87;
    pub(super) const PROGRESS: u8 = 0x88;
    pub(super) const PONG: u8 = 0x89;
    pub(super) const WORKER_ACK: u8 = 0x8A;
    pub(super) const WORKER_BYE: u8 = 0x8B;
    pub(super) const OMITTED: u8 = 0x8C;
}

impl Message for ToWorker {
    fn kind(&self) -> u8 {
        match self {
            ToWorker::Hello(_) => kind::HELLO,
            ToWorker::Init(_) => kind::INIT,
            ToWorker::Blob { .. } => kind::BLOB,
            ToWorker::RunMany(_) => kind::RUN_MANY,
            ToWorker::RunManyWith(..) => kind::RUN_MANY_WITH,
            ToWorker::InputChunk { .. } => kind::INPUT_CHUNK,
            ToWorker::Credit { .. } => kind::CREDIT,
            ToWorker::Cancel { .. } => kind::CANCEL,
            ToWorker::Recall(_) => kind::RECALL,
            ToWorker::Pause => kind::PAUSE,
            ToWorker::Resume => kind::RESUME,
            ToWorker::Drain => kind::DRAIN,
            ToWorker::WindDown => kind::WIND_DOWN,
            ToWorker::Resize(_) => kind::RESIZE,
            ToWorker::Ping(_) => kind::PING,
            ToWorker::Ack(_) => kind::ACK,
            ToWorker::Bye => kind::BYE,
        }
    }

    fn encode_control(&self, out: &mut BytesMut) {
        match self {
            ToWorker::Hello(hello) => put(out, hello),
            ToWorker::Init(_)
            | ToWorker::Pause
            | ToWorker::Resume
            | ToWorker::Drain
            | ToWorker::WindDown
            | ToWorker::Bye => {}
            ToWorker::Blob { hash, more, .. } => put(out, &(hash, more)),
            ToWorker::RunMany(jobs) => {
                put_many(out, jobs, Assignment::parts);
            }
            ToWorker::RunManyWith(options, jobs) => {
                put(out, options);
                put_many(out, jobs, Assignment::parts);
            }
            ToWorker::Resize(slots) => put(out, slots),
            ToWorker::InputChunk { job, attempt, .. } | ToWorker::Cancel { job, attempt } => {
                put(out, &(job, attempt));
            }
            ToWorker::Credit {
                job,
                attempt,
                chunks,
            } => put(out, &(job, attempt, chunks)),
            ToWorker::Recall(jobs) => put(out, jobs),
            ToWorker::Ping(n) | ToWorker::Ack(n) => put(out, n),
        }
    }

    fn for_each_payload(&self, visit: &mut dyn FnMut(&[u8])) {
        match self {
            ToWorker::Init(data)
            | ToWorker::Blob { data, .. }
            | ToWorker::InputChunk { data, .. } => visit(data),
            ToWorker::RunMany(jobs) | ToWorker::RunManyWith(_, jobs) => {
                jobs.iter().for_each(|a| visit(&a.input));
            }
            ToWorker::Hello(_)
            | ToWorker::Credit { .. }
            | ToWorker::Cancel { .. }
            | ToWorker::Recall(_)
            | ToWorker::Pause
            | ToWorker::Resume
            | ToWorker::Drain
            | ToWorker::WindDown
            | ToWorker::Resize(_)
            | ToWorker::Ping(_)
            | ToWorker::Ack(_)
            | ToWorker::Bye => {}
        }
    }

    fn decode(kind: u8, control: &[u8], payload: Bytes) -> Result<ToWorker, FrameError> {
        let mut frame = Frame { control, payload };
        match kind {
            kind::HELLO => Ok(ToWorker::Hello(frame.only("hello")?)),
            kind::INIT => frame.only_payload("init").map(ToWorker::Init),
            kind::BLOB => {
                let ((hash, more), data) = frame.both("blob")?;
                Ok(ToWorker::Blob { hash, data, more })
            }
            kind::RUN_MANY => {
                let mut jobs = Vec::new();
                frame.many("run_many", Assignment::joined, &mut jobs)?;
                Ok(ToWorker::RunMany(jobs))
            }
            kind::RUN_MANY_WITH => {
                let options = frame.head("run_many_with")?;
                let mut jobs = Vec::new();
                frame.many("run_many_with", Assignment::joined, &mut jobs)?;
                Ok(ToWorker::RunManyWith(options, jobs))
            }
            kind::RESIZE => Ok(ToWorker::Resize(frame.only("resize")?)),
            kind::INPUT_CHUNK => {
                let ((job, attempt), data) = frame.both("input_chunk")?;
                Ok(ToWorker::InputChunk { job, attempt, data })
            }
            kind::CREDIT => {
                let (job, attempt, chunks) = frame.only("credit")?;
                Ok(ToWorker::Credit {
                    job,
                    attempt,
                    chunks,
                })
            }
            kind::CANCEL => {
                let (job, attempt) = frame.only("cancel")?;
                Ok(ToWorker::Cancel { job, attempt })
            }
            kind::RECALL => Ok(ToWorker::Recall(frame.only("recall")?)),
            kind::PAUSE => frame.nothing("pause").map(|()| ToWorker::Pause),
            kind::RESUME => frame.nothing("resume").map(|()| ToWorker::Resume),
            kind::DRAIN => frame.nothing("drain").map(|()| ToWorker::Drain),
            kind::WIND_DOWN => frame.nothing("wind_down").map(|()| ToWorker::WindDown),
            kind::PING => Ok(ToWorker::Ping(frame.only("ping")?)),
            kind::ACK => Ok(ToWorker::Ack(frame.only("ack")?)),
            kind::BYE => frame.nothing("bye").map(|()| ToWorker::Bye),
            unknown => Err(FrameError::UnknownKind(unknown)),
        }
    }
}

impl Message for FromWorker {
    fn kind(&self) -> u8 {
        match self {
            FromWorker::Ready(_) => kind::READY,
            FromWorker::Started { .. } => kind::STARTED,
            FromWorker::Output { .. } => kind::OUTPUT,
            FromWorker::ResultChunk { .. } => kind::RESULT_CHUNK,
            FromWorker::DoneMany(_) => kind::DONE_MANY,
            FromWorker::Credit { .. } => kind::INPUT_CREDIT,
            FromWorker::Recalled(_) => kind::RECALLED,
            FromWorker::Progress { .. } => kind::PROGRESS,
            FromWorker::Omitted { .. } => kind::OMITTED,
            FromWorker::Pong(_) => kind::PONG,
            FromWorker::Ack(_) => kind::WORKER_ACK,
            FromWorker::Bye => kind::WORKER_BYE,
        }
    }

    fn encode_control(&self, out: &mut BytesMut) {
        match self {
            FromWorker::Ready(ready) => put(out, ready),
            FromWorker::Started { job, attempt } | FromWorker::ResultChunk { job, attempt, .. } => {
                put(out, &(job, attempt));
            }
            FromWorker::Output {
                job,
                attempt,
                stream,
                ..
            } => put(out, &(job, attempt, stream)),
            FromWorker::DoneMany(answers) => {
                put_many(out, answers, Answer::parts);
            }
            FromWorker::Credit {
                job,
                attempt,
                chunks,
            } => put(out, &(job, attempt, chunks)),
            FromWorker::Recalled(jobs) => put(out, jobs),
            FromWorker::Progress {
                job,
                attempt,
                done,
                total,
            } => put(out, &(job, attempt, done, total)),
            FromWorker::Omitted {
                job,
                attempt,
                stream,
                bytes,
            } => put(out, &(job, attempt, stream, bytes)),
            FromWorker::Pong(n) | FromWorker::Ack(n) => put(out, n),
            FromWorker::Bye => {}
        }
    }

    fn for_each_payload(&self, visit: &mut dyn FnMut(&[u8])) {
        match self {
            FromWorker::Output { data, .. } | FromWorker::ResultChunk { data, .. } => visit(data),
            FromWorker::DoneMany(answers) => answers.iter().for_each(|a| visit(&a.payload)),
            FromWorker::Ready(_)
            | FromWorker::Started { .. }
            | FromWorker::Credit { .. }
            | FromWorker::Recalled(_)
            | FromWorker::Progress { .. }
            | FromWorker::Omitted { .. }
            | FromWorker::Pong(_)
            | FromWorker::Ack(_)
            | FromWorker::Bye => {}
        }
    }

    fn decode(kind: u8, control: &[u8], payload: Bytes) -> Result<FromWorker, FrameError> {
        let frame = Frame { control, payload };
        match kind {
            kind::READY => Ok(FromWorker::Ready(frame.only::<Ready>("ready")?)),
            kind::STARTED => {
                let (job, attempt) = frame.only("started")?;
                Ok(FromWorker::Started { job, attempt })
            }
            kind::OUTPUT => {
                let ((job, attempt, stream), data): ((JobId, Attempt, Stream), Bytes) =
                    frame.both("output")?;
                Ok(FromWorker::Output {
                    job,
                    attempt,
                    stream,
                    data,
                })
            }
            kind::RESULT_CHUNK => {
                let ((job, attempt), data) = frame.both("result_chunk")?;
                Ok(FromWorker::ResultChunk { job, attempt, data })
            }
            kind::DONE_MANY => {
                let mut answers = Vec::new();
                frame.many("done_many", Answer::joined, &mut answers)?;
                Ok(FromWorker::DoneMany(answers))
            }
            kind::INPUT_CREDIT => {
                let (job, attempt, chunks) = frame.only("credit")?;
                Ok(FromWorker::Credit {
                    job,
                    attempt,
                    chunks,
                })
            }
            kind::RECALLED => Ok(FromWorker::Recalled(frame.only("recalled")?)),
            kind::PROGRESS => {
                let (job, attempt, done, total) = frame.only("progress")?;
                Ok(FromWorker::Progress {
                    job,
                    attempt,
                    done,
                    total,
                })
            }
            kind::OMITTED => {
                let (job, attempt, stream, bytes) = frame.only("omitted")?;
                Ok(FromWorker::Omitted {
                    job,
                    attempt,
                    stream,
                    bytes,
                })
            }
            kind::PONG => Ok(FromWorker::Pong(frame.only("pong")?)),
            kind::WORKER_ACK => Ok(FromWorker::Ack(frame.only("ack")?)),
            kind::WORKER_BYE => frame.nothing("bye").map(|()| FromWorker::Bye),
            unknown => Err(FrameError::UnknownKind(unknown)),
        }
    }
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
