//! What is on its way to the orchestrator but has not been written yet.
//!
//! Answers are collected, so that many small jobs share one frame; everything
//! else is encoded at once. The order of what is sent is the order in which it
//! was handed in, answers included.

use std::time::Instant;

use bytes::{Bytes, BytesMut};
use protocol::codec::{ANSWER_OVERHEAD, encode};
use protocol::{Answer, DoneHeader, Encoding, FromWorker, MAX_CHUNK, Outcome, TaskError};

/// With this much waiting, it is written without waiting for more.
pub(crate) const FULL: usize = 64 * 1024;

#[derive(Default)]
pub(crate) struct Outbox {
    frames: BytesMut,
    answers: Vec<Answer>,
    /// What the answers will take in their frame.
    answers_size: usize,
    /// Since when something has been waiting.
    since: Option<Instant>,
    /// Something in here should not wait for more.
    urgent: bool,
}

impl Outbox {
    /// Adds a message behind everything that is here already.
    pub(crate) fn send(&mut self, message: &FromWorker) {
        self.encode_answers();
        encode(message, &mut self.frames)
            .expect("senders keep chunks below MAX_CHUNK and lists below a frame");
    }

    /// The same for a message that somebody is waiting for.
    pub(crate) fn send_now(&mut self, message: &FromWorker) {
        self.send(message);
        self.urgent = true;
    }

    /// Adds a job's answer; its payload is at most [`MAX_CHUNK`] bytes.
    pub(crate) fn answer(&mut self, answer: Answer) {
        debug_assert!(answer.payload.len() <= MAX_CHUNK);
        self.answers_size += ANSWER_OVERHEAD + answer.payload.len();
        self.answers.push(answer);
        if self.answers_size >= FULL {
            self.encode_answers();
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.frames.is_empty() && self.answers.is_empty()
    }

    pub(crate) fn is_urgent(&self) -> bool {
        self.urgent
    }

    /// Whether there is enough for a write of its own.
    pub(crate) fn is_full(&self) -> bool {
        self.frames.len() + self.answers_size >= FULL
    }

    /// Since when something has been waiting; the caller has looked at the
    /// clock anyway.
    pub(crate) fn waiting_since(&mut self, now: Instant) -> Option<Instant> {
        if self.is_empty() {
            return None;
        }
        Some(*self.since.get_or_insert(now))
    }

    /// All there is, as bytes to be written. Ends with [`Outbox::written`].
    pub(crate) fn bytes(&mut self) -> &[u8] {
        self.encode_answers();
        &self.frames
    }

    /// The bytes are written, or there is nobody to read them.
    pub(crate) fn written(&mut self) {
        // A burst of output must not leave a large buffer behind for ever.
        if self.frames.capacity() > 4 * MAX_CHUNK {
            self.frames = BytesMut::new();
        }
        self.frames.clear();
        self.since = None;
        self.urgent = false;
    }

    fn encode_answers(&mut self) {
        if self.answers.is_empty() {
            return;
        }
        let answers = FromWorker::DoneMany(std::mem::take(&mut self.answers));
        encode(&answers, &mut self.frames)
            .expect("answers are encoded when they reach 64 KiB, and one is at most 256 KiB");
        if let FromWorker::DoneMany(mut empty) = answers {
            // Keeps the allocation for the next batch.
            empty.clear();
            self.answers = empty;
        }
        self.answers_size = 0;
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
    use protocol::{Attempt, Codec, JobId, ToWorker, Usage};
    use tokio_util::codec::Decoder;

    use super::*;

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
    fn answers_share_a_frame_and_keep_their_place() {
        let mut outbox = Outbox::default();
        outbox.answer(answer(1, 1));
        outbox.answer(answer(2, 1));
        outbox.send(&FromWorker::Pong(9));
        outbox.answer(answer(3, 1));
        let expected = [
            FromWorker::DoneMany(vec![answer(1, 1), answer(2, 1)]),
            FromWorker::Pong(9),
            FromWorker::DoneMany(vec![answer(3, 1)]),
        ];
        assert_eq!(sent(&mut outbox), expected);
        assert!(outbox.is_empty());
    }

    #[test]
    fn many_large_answers_fit_their_frames() {
        let mut outbox = Outbox::default();
        for job in 1..=3 {
            outbox.answer(answer(job, FULL - ANSWER_OVERHEAD - 1));
            outbox.answer(answer(job, MAX_CHUNK));
        }
        assert!(outbox.is_full());
        assert_eq!(sent(&mut outbox).len(), 3);
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
