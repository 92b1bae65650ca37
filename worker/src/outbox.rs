//! What is on its way to the orchestrator but has not been written yet.
//!
//! Messages are encoded at once, and written later, many with one write. So
//! that finished jobs survive the death of this process, the bytes up to the
//! last answer are held in the status page too. That is why each answer has a
//! frame of its own: a frame that others join would have to be changed, and
//! there would be moments in which it is neither the old nor the new one.

use bytes::{Bytes, BytesMut};
use protocol::codec::{encode, encode_answer, encode_head};
use protocol::{Answer, DoneHeader, Encoding, FromWorker, MAX_CHUNK, Outcome, TaskError};

use crate::clock::Moment;
use crate::os::Held;

/// With this much waiting, it is written without waiting for more.
pub(crate) const FULL: usize = 64 * 1024;

#[derive(Default)]
pub(crate) struct Outbox {
    frames: BytesMut,
    /// Where the beginning of the frames, up to an answer, is held.
    held: Option<Held>,
    /// There is an answer that could not be held.
    in_danger: bool,
    /// Since when something has been waiting.
    since: Option<Moment>,
    /// Something in here should not wait for more.
    urgent: bool,
}

impl Outbox {
    /// An outbox whose answers survive this process.
    pub(crate) fn surviving(held: Held) -> Outbox {
        Outbox {
            held: Some(held),
            ..Outbox::default()
        }
    }

    /// Adds a message behind everything that is here already.
    pub(crate) fn send(&mut self, message: &FromWorker) {
        encode(message, &mut self.frames)
            .expect("senders keep chunks below MAX_CHUNK and lists below a frame");
    }

    /// Adds the frame of a message up to its payload, which is written from where
    /// it is: [`Outbox::written_with`] has to follow.
    pub(crate) fn send_head(&mut self, message: &FromWorker) {
        encode_head(message, &mut self.frames).expect("senders keep chunks below MAX_CHUNK");
    }

    /// The same for a message that somebody is waiting for.
    pub(crate) fn send_now(&mut self, message: &FromWorker) {
        self.send(message);
        self.urgent = true;
    }

    /// Adds a job's answer; its payload is at most [`MAX_CHUNK`] bytes.
    pub(crate) fn answer(&mut self, answer: &Answer) {
        debug_assert!(answer.payload.len() <= MAX_CHUNK);
        encode_answer(answer, &mut self.frames).expect("its payload is below MAX_CHUNK");
        // What is held has no gaps: after one that does not fit, none does.
        self.in_danger |= self
            .held
            .as_mut()
            .is_some_and(|held| !held.hold(&self.frames[held.len()..]));
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    pub(crate) fn is_urgent(&self) -> bool {
        self.urgent
    }

    /// Whether there is enough for a write of its own.
    pub(crate) fn is_full(&self) -> bool {
        self.frames.len() >= FULL
    }

    /// Whether an answer would be lost if this process were killed now.
    pub(crate) fn is_in_danger(&self) -> bool {
        self.in_danger
    }

    /// Since when something has been waiting; the caller has looked at the
    /// clock anyway.
    pub(crate) fn waiting_since(&mut self, now: Moment) -> Option<Moment> {
        if self.is_empty() {
            return None;
        }
        Some(*self.since.get_or_insert(now))
    }

    /// All there is, as bytes to be written. Ends with [`Outbox::written`].
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.frames
    }

    /// The bytes are written, or there is nobody to read them.
    pub(crate) fn written(&mut self) {
        self.written_with(0);
    }

    /// The same when so many bytes that were never in here went behind them.
    pub(crate) fn written_with(&mut self, more: usize) {
        if let Some(held) = &mut self.held {
            held.written(self.frames.len() + more);
        }
        // A burst of output must not leave a large buffer behind for ever.
        if self.frames.capacity() > 4 * MAX_CHUNK {
            self.frames = BytesMut::new();
        }
        self.frames.clear();
        self.in_danger = false;
        self.since = None;
        self.urgent = false;
    }
}

/// An answer whose payload says what went wrong.
pub(crate) fn failure(header: DoneHeader, error: &TaskError) -> Answer {
    Answer {
        header,
        payload: error_payload(error),
    }
}

/// The payload of an answer that is not `Ok`.
pub(crate) fn error_payload(error: &TaskError) -> Bytes {
    /// Enough for a person to read, and far below a chunk with all causes.
    const MAX_TEXT: usize = 32 * 1024;
    const MAX_CAUSES: usize = 4;
    let shortened;
    let mut texts = error.chain.iter().chain([&error.message]);
    let error = if error.chain.len() > MAX_CAUSES || texts.any(|t| t.len() > MAX_TEXT) {
        let cut = |text: &String| {
            let cut = text.char_indices().take_while(|(at, _)| *at < MAX_TEXT);
            let end = cut.last().map_or(0, |(at, c)| at + c.len_utf8());
            text[..end].to_owned()
        };
        shortened = TaskError {
            message: cut(&error.message),
            chain: error.chain.iter().take(MAX_CAUSES).map(cut).collect(),
            ..error.clone()
        };
        &shortened
    } else {
        error
    };
    Encoding::Bincode.encode(error).unwrap_or_default()
}

/// The header of an answer to a job that did not run.
pub(crate) fn not_run(job: &protocol::JobHeader, outcome: Outcome) -> DoneHeader {
    DoneHeader {
        job: job.job,
        attempt: job.attempt,
        outcome,
        usage: protocol::Usage::default(),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use protocol::{Attempt, Codec, JobId, ToWorker, Usage};
    use tokio_util::codec::Decoder;

    use super::*;
    use crate::os::{HELD, StatusPage};

    fn answer(job: u64, size: usize) -> Answer {
        Answer {
            header: DoneHeader {
                job: JobId(job),
                attempt: Attempt::FIRST,
                outcome: Outcome::Ok,
                usage: Usage::default(),
            },
            payload: vec![0; size].into(),
        }
    }

    fn sent(outbox: &mut Outbox) -> Vec<FromWorker> {
        let mut buffer = BytesMut::from(outbox.bytes());
        outbox.written();
        let mut codec = Codec::<FromWorker, ToWorker>::new();
        std::iter::from_fn(|| codec.decode(&mut buffer).unwrap()).collect()
    }

    #[test]
    fn everything_keeps_its_place() {
        let mut outbox = Outbox::default();
        outbox.answer(&answer(1, 1));
        outbox.send(&FromWorker::Pong(9));
        outbox.answer(&answer(3, MAX_CHUNK));
        assert!(outbox.is_full());
        let expected = [
            FromWorker::DoneMany(vec![answer(1, 1)]),
            FromWorker::Pong(9),
            FromWorker::DoneMany(vec![answer(3, MAX_CHUNK)]),
        ];
        assert_eq!(sent(&mut outbox), expected);
        assert!(outbox.is_empty());
    }

    /// What somebody can know who has read the stream up to `received` and
    /// looks at the page.
    fn rest(page: &StatusPage, received: u64) -> Vec<u8> {
        let path = format!("/proc/self/fd/{}", page.number());
        let mut bytes = Vec::new();
        let mut file = std::fs::File::open(path).unwrap();
        file.read_to_end(&mut bytes).unwrap();
        assert_eq!(bytes.len(), 4096 + HELD);
        let position = u64::from_le_bytes(bytes[16..24].try_into().unwrap());
        let length = u32::from_le_bytes(bytes[24..28].try_into().unwrap());
        let held = &bytes[4096..4096 + length as usize];
        match received.checked_sub(position) {
            Some(from @ 0..) if from < held.len() as u64 => held[from as usize..].to_vec(),
            _ => Vec::new(),
        }
    }

    #[test]
    fn at_every_step_all_answers_are_written_held_or_in_danger() {
        let mut seed = 0x9E37_79B9_7F4A_7C15_u64;
        let mut random = |below: u64| {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            seed % below
        };
        let (page, held) = StatusPage::with_held().unwrap();
        let mut outbox = Outbox::surviving(held);
        let mut position = 0;
        let mut end_of_answers = 0;
        let (mut answered, mut dangers) = (0, 0);
        for job in 1..=3000 {
            for _ in 0..random(3) {
                outbox.send(&FromWorker::Pong(job));
            }
            if random(4) > 0 {
                let size = random(19);
                let mut answer = answer(job, 0);
                answer.payload = vec![job as u8; random(1 << size) as usize].into();
                outbox.answer(&answer);
                end_of_answers = outbox.bytes().len();
                answered += 1;
            }
            // However many bytes a write has passed on: the others are there.
            let written = random(outbox.bytes().len() as u64 + 1) as usize;
            let rest = rest(&page, position + written as u64);
            assert!(outbox.bytes()[written..].starts_with(&rest), "job {job}");
            if outbox.is_in_danger() {
                dangers += 1;
            } else {
                assert!(written + rest.len() >= end_of_answers, "job {job}");
            }
            if outbox.is_in_danger() || random(10) == 0 {
                position += outbox.bytes().len() as u64;
                outbox.written();
                end_of_answers = 0;
            }
        }
        assert!(answered > 2000 && dangers > 10, "{answered}, {dangers}");
    }

    #[test]
    fn an_endless_error_is_cut() {
        let error = TaskError {
            chain: vec!["é".repeat(1 << 20); 9],
            ..TaskError::new("x".repeat(1 << 20))
        };
        assert!(error_payload(&error).len() <= MAX_CHUNK);
    }
}
