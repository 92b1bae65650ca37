//! Lists of jobs and of answers: what most frames are.

use bincode::Options;
use bytes::{BufMut, Bytes, BytesMut};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{
    Frame, FrameError, HEADER, Header, MAX_FRAME, OVERHEAD, TRAILER, frame, kind, options,
};
use crate::message::{Answer, Assignment, DoneHeader, JobHeader};

/// Less than any header of a job or an answer takes, with a length.
const MIN_ITEM: usize = 32;
/// More than any header of a job or an answer takes, with a length.
const MAX_ITEM: usize = 96;

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

/// Appends [`FromWorker::DoneMany`](crate::FromWorker::DoneMany) with this one answer: what a worker sends
/// most, without a list made for it.
///
/// # Errors
/// As [`encode`](super::encode).
pub fn encode_answer(answer: &Answer, buffer: &mut BytesMut) -> Result<(), FrameError> {
    encode_answers(std::slice::from_ref(answer), buffer)
}

/// The same with all of these.
///
/// # Errors
/// As [`encode`](super::encode).
pub fn encode_answers(answers: &[Answer], buffer: &mut BytesMut) -> Result<(), FrameError> {
    frame(
        kind::DONE_MANY,
        buffer,
        |buffer| put_many(buffer, answers, Answer::parts),
        |buffer| {
            answers
                .iter()
                .for_each(|answer| buffer.extend_from_slice(&answer.payload));
        },
    )
}

/// Appends [`ToWorker::RunMany`](crate::ToWorker::RunMany) with these jobs.
///
/// # Errors
/// As [`encode`](super::encode).
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

/// Takes all answers that a buffer begins with, and puts them behind those that
/// are in the list: what comes most is decoded at one go. What follows, and a
/// frame that is not all there, is left for the [`Decoder`](tokio_util::codec::Decoder).
///
/// # Errors
/// As when these frames are decoded one by one.
pub fn take_answers(buffer: &mut BytesMut, answers: &mut Vec<Answer>) -> Result<(), FrameError> {
    let (mut end, mut count) = (0, 0);
    // What is no header is the decoder's to tell, when all before it is taken.
    while let Ok(Some(header)) = Header::parse(&buffer[end..]) {
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
        let before = answers.len();
        if let Err(e) = frame.many("done_many", Answer::joined, answers) {
            // A frame counts as a whole or not at all.
            answers.truncate(before);
            return Err(e);
        }
        at = trailer + 1;
    }
    Ok(())
}

impl Frame<'_> {
    /// A list of headers, each with its share of the payload: what they make
    /// goes behind what is in `list`.
    pub(super) fn many<H: DeserializeOwned, T>(
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
    pub(super) fn parts(&self) -> (JobHeader, usize) {
        (self.header, self.input.len())
    }

    pub(super) fn joined(header: JobHeader, input: Bytes) -> Assignment {
        Assignment { header, input }
    }
}

impl Answer {
    pub(super) fn parts(&self) -> (DoneHeader, usize) {
        (self.header, self.payload.len())
    }

    pub(super) fn joined(header: DoneHeader, payload: Bytes) -> Answer {
        Answer { header, payload }
    }
}

/// The same bytes as a `Vec<(header, length)>`, without building one.
pub(super) fn put_many<T, H: Serialize>(
    out: &mut BytesMut,
    items: &[T],
    parts: impl Fn(&T) -> (H, usize),
) {
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
