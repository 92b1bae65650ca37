//! What is on its way to the client: frames in a buffer, and large results of which
//! only as much is there as the client has given credit for. No I/O.

use std::collections::{HashMap, VecDeque};
use std::io::{self, IoSlice};

use bytes::Bytes;
use protocol::codec::{self, ANSWER_OVERHEAD, room_for};
use protocol::{Answer, CREDIT, DoneHeader, FromWorker, MAX_CHUNK, Stream};

use super::pairs::Pair;
use crate::pool::{Frames, Payload, SLICES};

/// While more than this waits to be written, nothing more is made for the client,
/// and nothing more is taken from it, or on a remote link not much.
const HIGH_WATER: usize = 1 << 20;
/// How many large results may wait for credit until no more ends of jobs are taken.
const MAX_RESULTS: usize = 1024;

#[derive(Debug, Default)]
pub(super) struct Outbox {
    frames: Frames,
    /// Results that are sent in chunks.
    results: HashMap<Pair, Sending>,
    /// Those of them that may be gone on with.
    turns: VecDeque<Pair>,
    /// Why a result could not be read back.
    failure: Option<io::Error>,
}

/// A result on its way.
#[derive(Debug)]
struct Sending {
    header: DoneHeader,
    result: Payload,
    /// How much of it was sent.
    sent: u64,
    credit: u32,
    /// Whether it is in `turns`.
    has_turn: bool,
}

impl Outbox {
    /// What is to be written, in order, or the first of it.
    pub(super) fn slices(&self) -> [IoSlice<'_>; SLICES] {
        self.frames.slices()
    }

    /// So much was written.
    pub(super) fn advance(&mut self, written: usize) {
        self.frames.advance(written);
    }

    /// Whether there is nothing to be written now.
    pub(super) fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// Whether the client reads what it is told.
    pub(super) fn is_read(&self) -> bool {
        self.frames.len() < HIGH_WATER
    }

    /// Whether further answers can be taken.
    pub(super) fn has_room(&self) -> bool {
        self.is_read() && self.results.len() < MAX_RESULTS
    }

    /// Why a result could not be read back, if one could not.
    pub(super) fn failure(&mut self) -> Option<io::Error> {
        self.failure.take()
    }

    /// Whether every result has gone.
    pub(super) fn owes_nothing(&self) -> bool {
        self.results.is_empty()
    }

    /// Bytes that are no frame.
    pub(super) fn text(&mut self, bytes: &[u8]) {
        self.frames.end().extend_from_slice(bytes);
    }

    /// A message that fits into one frame.
    pub(super) fn say(&mut self, message: &FromWorker) {
        if let Err(e) = codec::encode(message, self.frames.end()) {
            debug_assert!(false, "a message that fits into no frame: {e}");
        }
    }

    /// What a job has printed.
    pub(super) fn output(&mut self, (job, attempt): Pair, stream: Stream, mut data: Bytes) {
        while !data.is_empty() {
            let data = data.split_to(data.len().min(MAX_CHUNK));
            self.say(&FromWorker::Output {
                job,
                attempt,
                stream,
                data,
            });
        }
    }

    /// Answers whose payloads go with them, in as few frames as possible.
    pub(super) fn answers(&mut self, answers: &[Answer]) {
        let (mut from, mut bytes) = (0, 0);
        for (at, answer) in answers.iter().enumerate() {
            let size = answer.payload.len();
            if bytes + size > room_for(at - from + 1, ANSWER_OVERHEAD) {
                self.answers_frame(&answers[from..at]);
                (from, bytes) = (at, 0);
            }
            bytes += size;
        }
        self.answers_frame(&answers[from..]);
    }

    fn answers_frame(&mut self, answers: &[Answer]) {
        if answers.is_empty() {
            return;
        }
        if let Err(e) = codec::encode_answers(answers, self.frames.end()) {
            debug_assert!(false, "answers that fit into no frame: {e}");
        }
    }

    /// A result that is larger than a chunk.
    pub(super) fn result(&mut self, header: DoneHeader, result: Payload) {
        let pair = (header.job, header.attempt);
        let sending = Sending {
            header,
            result,
            sent: 0,
            credit: CREDIT,
            has_turn: true,
        };
        self.results.insert(pair, sending);
        self.turns.push_back(pair);
        self.pump();
    }

    /// The client takes more of a result.
    pub(super) fn credit(&mut self, pair: Pair, chunks: u32) {
        if let Some(sending) = self.results.get_mut(&pair) {
            sending.credit = sending.credit.saturating_add(chunks).min(CREDIT);
            if !std::mem::replace(&mut sending.has_turn, true) {
                self.turns.push_back(pair);
            }
        }
        self.pump();
    }

    /// Sends of results what may be sent, while there is room.
    pub(super) fn pump(&mut self) {
        if let Err(e) = self.send_results() {
            self.failure.get_or_insert(e);
        }
    }

    fn send_results(&mut self) -> io::Result<()> {
        while self.is_read()
            && let Some(pair) = self.turns.pop_front()
        {
            let Some(sending) = self.results.get_mut(&pair) else {
                continue;
            };
            let left = sending.result.len() - sending.sent;
            if left > MAX_CHUNK as u64 {
                if sending.credit == 0 {
                    sending.has_turn = false;
                    continue;
                }
                let data = sending.result.piece(sending.sent, MAX_CHUNK)?;
                sending.sent += MAX_CHUNK as u64;
                sending.credit -= 1;
                self.chunk(pair, data);
                // One after the other, so that none waits for the whole of another.
                self.turns.push_back(pair);
            } else if let Some(sending) = self.results.remove(&pair) {
                let payload = sending.result.piece(sending.sent, left as usize)?;
                let header = sending.header;
                self.answers_frame(&[Answer { header, payload }]);
            }
        }
        Ok(())
    }

    fn chunk(&mut self, (job, attempt): Pair, data: Bytes) {
        let chunk = data.clone();
        let message = FromWorker::ResultChunk { job, attempt, data };
        self.frames.chunk(&message, chunk);
    }
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;
    use protocol::{Attempt, Codec, JobId, Outcome, ToWorker, Usage};
    use tokio_util::codec::Decoder;

    use super::*;

    fn header(job: u64) -> DoneHeader {
        DoneHeader {
            job: JobId(job),
            attempt: Attempt::FIRST,
            outcome: Outcome::Ok,
            usage: Usage::default(),
        }
    }

    fn payload(size: usize) -> Bytes {
        (0..size).map(|n| (n / 1000) as u8).collect()
    }

    /// Writes all that is there, and gives the messages.
    fn written(outbox: &mut Outbox) -> Vec<FromWorker> {
        let mut bytes = BytesMut::new();
        while !outbox.is_empty() {
            let slices = outbox.slices();
            let some = slices.iter().map(|slice| &slice[..]).collect::<Vec<_>>();
            let some = some.concat();
            // Never all of it, so that writes end within pieces.
            let written = some.len().div_ceil(2);
            bytes.extend_from_slice(&some[..written]);
            outbox.advance(written);
        }
        outbox.pump();
        let mut codec = Codec::<FromWorker, ToWorker>::new();
        let mut messages = Vec::new();
        while let Some(message) = codec.decode(&mut bytes).unwrap() {
            messages.push(message);
        }
        assert!(bytes.is_empty());
        messages
    }

    #[test]
    fn a_large_result_comes_as_far_as_the_credit_goes_and_nobody_waits_for_it() {
        let mut outbox = Outbox::default();
        let whole = payload(6 * MAX_CHUNK + 7);
        outbox.result(header(1), whole.clone().into());
        let mut come = BytesMut::new();
        let take = |outbox: &mut Outbox, come: &mut BytesMut| -> usize {
            let mut chunks = 0;
            loop {
                let messages = written(outbox);
                if messages.is_empty() {
                    return chunks;
                }
                for message in messages {
                    match message {
                        FromWorker::ResultChunk { data, .. } => {
                            chunks += 1;
                            come.extend_from_slice(&data);
                        }
                        FromWorker::DoneMany(answers) => {
                            for answer in answers {
                                if answer.header.job == JobId(1) {
                                    come.extend_from_slice(&answer.payload);
                                }
                            }
                        }
                        other => panic!("{other:?}"),
                    }
                }
            }
        };
        assert_eq!(take(&mut outbox, &mut come), 4);
        outbox.answers(&[Answer {
            header: header(2),
            payload: Bytes::new(),
        }]);
        assert!(matches!(&written(&mut outbox)[..], [FromWorker::DoneMany(a)] if a.len() == 1));
        assert!(!outbox.owes_nothing());
        outbox.credit((JobId(1), Attempt::FIRST), 1);
        assert_eq!(take(&mut outbox, &mut come), 1);
        outbox.credit((JobId(1), Attempt::FIRST), u32::MAX);
        assert_eq!(take(&mut outbox, &mut come), 1);
        assert!(outbox.owes_nothing());
        assert_eq!(&come[..], &whole[..]);
        // Too late, or for nobody.
        outbox.credit((JobId(1), Attempt::FIRST), 1);
        assert!(outbox.is_empty());
    }

    #[test]
    fn answers_share_frames_as_far_as_they_fit() {
        let mut outbox = Outbox::default();
        let answers: Vec<Answer> = (1..=10)
            .map(|job| Answer {
                header: header(job),
                payload: payload(MAX_CHUNK),
            })
            .collect();
        outbox.answers(&answers);
        assert!(!outbox.is_read() && !outbox.has_room());
        let mut seen = Vec::new();
        for message in written(&mut outbox) {
            match message {
                FromWorker::DoneMany(answers) => seen.extend(answers),
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(seen, answers);
        let small: Vec<Answer> = (1..=1000)
            .map(|job| Answer {
                header: header(job),
                payload: payload(10),
            })
            .collect();
        outbox.answers(&small);
        assert_eq!(written(&mut outbox).len(), 1);
    }

    #[test]
    fn what_was_printed_is_cut_to_chunks() {
        let mut outbox = Outbox::default();
        let pair = (JobId(3), Attempt(2));
        outbox.output(pair, Stream::Stderr, payload(2 * MAX_CHUNK + 1));
        let sizes: Vec<usize> = written(&mut outbox)
            .iter()
            .map(|message| match message {
                FromWorker::Output { data, .. } => data.len(),
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(sizes, [MAX_CHUNK, MAX_CHUNK, 1]);
    }
}
