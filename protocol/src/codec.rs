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

mod encoded;
mod parts;

use std::marker::PhantomData;

use bincode::Options;
use bytes::{BufMut, Bytes, BytesMut};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio_util::codec::{Decoder, Encoder};

use crate::message::{
    Answer, Assignment, DoneHeader, FromWorker, JobHeader, Ready, Stream, ToWorker,
};
use crate::{Attempt, JobId, PayloadError};

pub use encoded::Encoded;
pub(crate) use encoded::encode as encode_owned;
pub use parts::Parts;
pub(crate) use parts::decode as decode_parts;

/// Largest frame in bytes, header and trailer included.
pub const MAX_FRAME: usize = 1 << 20;

/// Largest piece of input, result or output that a sender puts into one frame.
/// Smaller than a frame, so that other messages are not kept waiting.
pub const MAX_CHUNK: usize = 256 * 1024;

const MAGIC: [u8; 2] = [0xB1, 0x0F];
const HEADER: usize = 12;
/// What every frame ends with.
pub const TRAILER: u8 = b'\n';
/// Less than any header of a job or an answer takes, with a length.
const MIN_ITEM: usize = 32;
/// More than any header of a job or an answer takes, with a length.
const MAX_ITEM: usize = 96;
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

/// Takes all answers that a buffer begins with, and puts them behind those that
/// are in the list: what comes most is decoded at one go. What follows, and a
/// frame that is not all there, is left for the [`Decoder`].
///
/// # Errors
/// As when these frames are decoded one by one.
pub fn take_answers(buffer: &mut BytesMut, answers: &mut Vec<Answer>) -> Result<(), FrameError> {
    let (mut end, mut count) = (0, 0);
    while let Some(header) = Header::parse(&buffer[end..])? {
        let size = header.frame_size();
        if header.kind != kind::DONE_MANY || buffer.len() - end < size {
            break;
        }
        end += size;
        count += 1;
    }
    answers.reserve(count);
    let frames = buffer.split_to(end).freeze();
    let mut at = 0;
    while let Some(header) = Header::parse(&frames[at..])? {
        let control = at + HEADER;
        let payload = control + header.control as usize;
        let trailer = payload + header.payload as usize;
        if frames[trailer] != TRAILER {
            return Err(FrameError::NoTrailer);
        }
        let frame = Frame {
            control: &frames[control..payload],
            payload: match header.payload {
                0 => Bytes::new(),
                _ => frames.slice(payload..trailer),
            },
        };
        frame.many("done_many", Answer::joined, answers)?;
        at = trailer + 1;
    }
    Ok(())
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

/// Appends [`FromWorker::DoneMany`] with this one answer: what a worker sends
/// most, without a list made for it.
///
/// # Errors
/// As [`encode`].
pub fn encode_answer(answer: &Answer, buffer: &mut BytesMut) -> Result<(), FrameError> {
    frame(
        kind::DONE_MANY,
        buffer,
        |buffer| put_many(buffer, std::slice::from_ref(answer), Answer::parts),
        |buffer| buffer.extend_from_slice(&answer.payload),
    )
}

/// Appends [`ToWorker::RunMany`] with these jobs.
///
/// # Errors
/// As [`encode`].
pub fn encode_jobs(jobs: &[Assignment], buffer: &mut BytesMut) -> Result<(), FrameError> {
    frame(
        kind::RUN_MANY,
        buffer,
        |buffer| put_many(buffer, jobs, Assignment::parts),
        |buffer| {
            jobs.iter()
                .for_each(|job| buffer.extend_from_slice(&job.input))
        },
    )
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

/// How many bytes of a frame one more job takes beside its input.
pub const ASSIGNMENT_OVERHEAD: usize = 40;
/// How many bytes of a frame one more answer takes beside its payload.
pub const ANSWER_OVERHEAD: usize = 72;
/// How many bytes of inputs or payloads fit into one frame together with
/// `count` headers of `overhead` bytes each.
#[must_use]
pub const fn room_for(count: usize, overhead: usize) -> usize {
    MAX_FRAME.saturating_sub(OVERHEAD + 8 + count * overhead)
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
}

impl Message for ToWorker {
    fn kind(&self) -> u8 {
        match self {
            ToWorker::Hello(_) => kind::HELLO,
            ToWorker::Init(_) => kind::INIT,
            ToWorker::Blob { .. } => kind::BLOB,
            ToWorker::RunMany(_) => kind::RUN_MANY,
            ToWorker::InputChunk { .. } => kind::INPUT_CHUNK,
            ToWorker::Credit { .. } => kind::CREDIT,
            ToWorker::Cancel { .. } => kind::CANCEL,
            ToWorker::Recall(_) => kind::RECALL,
            ToWorker::Pause => kind::PAUSE,
            ToWorker::Resume => kind::RESUME,
            ToWorker::Drain => kind::DRAIN,
            ToWorker::WindDown => kind::WIND_DOWN,
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
            ToWorker::RunMany(jobs) => jobs.iter().for_each(|a| visit(&a.input)),
            ToWorker::Hello(_)
            | ToWorker::Credit { .. }
            | ToWorker::Cancel { .. }
            | ToWorker::Recall(_)
            | ToWorker::Pause
            | ToWorker::Resume
            | ToWorker::Drain
            | ToWorker::WindDown
            | ToWorker::Ping(_)
            | ToWorker::Ack(_)
            | ToWorker::Bye => {}
        }
    }

    fn decode(kind: u8, control: &[u8], payload: Bytes) -> Result<ToWorker, FrameError> {
        let frame = Frame { control, payload };
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

    /// A list of headers, each with its share of the payload: what they make
    /// goes behind what is in `list`.
    fn many<H: DeserializeOwned, T>(
        mut self,
        name: &'static str,
        join: impl Fn(H, Bytes) -> T,
        list: &mut Vec<T>,
    ) -> Result<(), FrameError> {
        let malformed = |what: &str| Err(FrameError::Malformed(name, what.into()));
        let Some((&count, mut rest)) = self.control.split_first_chunk() else {
            return malformed("it has no count");
        };
        let count = u64::from_le_bytes(count);
        if count > rest.len() as u64 {
            return malformed("it counts more than it has");
        }
        // No header is smaller than that, so this is no more than what has come.
        list.reserve((count as usize).min(rest.len() / MIN_ITEM));
        for _ in 0..count {
            let limited = options().with_limit(rest.len() as u64);
            let (header, len): (H, u32) = limited
                .deserialize_from(&mut rest)
                .map_err(|e| FrameError::Malformed(name, e.to_string()))?;
            let len = len as usize;
            if len > self.payload.len() {
                return malformed("its parts are more than its payload");
            }
            list.push(join(
                header,
                match len {
                    0 => Bytes::new(),
                    _ => self.payload.split_to(len),
                },
            ));
        }
        match (rest.is_empty(), self.payload.is_empty()) {
            (true, true) => Ok(()),
            (true, false) => malformed("its parts are less than its payload"),
            (false, _) => malformed("it has more than it counts"),
        }
    }
}

impl Assignment {
    fn parts(&self) -> (JobHeader, usize) {
        (self.header, self.input.len())
    }

    fn joined(header: JobHeader, input: Bytes) -> Assignment {
        Assignment { header, input }
    }
}

impl Answer {
    fn parts(&self) -> (DoneHeader, usize) {
        (self.header, self.payload.len())
    }

    fn joined(header: DoneHeader, payload: Bytes) -> Answer {
        Answer { header, payload }
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

/// The same bytes as a `Vec<(header, length)>`, without building one.
fn put_many<T, H: Serialize>(out: &mut BytesMut, items: &[T], parts: impl Fn(&T) -> (H, usize)) {
    out.put_u64_le(items.len() as u64);
    for item in items {
        let (header, len) = parts(item);
        // On the stack first: one check for room instead of one per field.
        let mut item = [0; MAX_ITEM];
        let mut rest = &mut item[..];
        options()
            .serialize_into(&mut rest, &(header, len as u32))
            .expect("headers are small and have no unserialisable part");
        let size = MAX_ITEM - rest.len();
        out.extend_from_slice(&item[..size]);
    }
}

fn take<T: DeserializeOwned>(name: &'static str, control: &[u8]) -> Result<T, FrameError> {
    options()
        .with_limit(control.len() as u64)
        .deserialize(control)
        .map_err(|e| FrameError::Malformed(name, e.to_string()))
}

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
