//! What is on its way to one worker: frames in a buffer of bounded size, and
//! behind them, as they came, the jobs and messages that have to wait.
//!
//! Jobs that wait cost no copy of their inputs, and chunks of large ones are
//! written from where they are. Nothing here does I/O: the
//! worker's actor writes the bytes.

use std::collections::{HashMap, VecDeque};
use std::io::IoSlice;

use bytes::Bytes;
use protocol::codec::{ASSIGNMENT_OVERHEAD, room_for};
use protocol::{Assignment, Attempt, CREDIT, Encoded, JobId, MAX_CHUNK, ToWorker, codec};

use super::frames::{Frames, SLICES};

/// While more than this waits to be written, jobs wait as they are.
const HIGH_WATER: usize = 1 << 20;

type Key = (JobId, Attempt);

#[derive(Debug, Default)]
pub(super) struct Outgoing {
    frames: Frames,
    /// What follows them, in order.
    backlog: VecDeque<Parcel>,
    /// Inputs of which only a part was sent.
    rest: HashMap<Key, Rest>,
    /// Whether nothing more may follow.
    ended: bool,
}

#[derive(Debug)]
enum Parcel {
    Jobs(Vec<Assignment>),
    Message(ToWorker),
}

/// The part of an input that was not sent yet.
#[derive(Debug)]
struct Rest {
    input: Bytes,
    credit: u32,
}

impl Outgoing {
    /// What is to be written, in order, or the first of it.
    pub(super) fn slices(&self) -> [IoSlice<'_>; SLICES] {
        self.frames.slices()
    }

    /// So much was written. Whoever says this calls `pump` afterwards.
    pub(super) fn advance(&mut self, written: usize) {
        self.frames.advance(written);
    }

    /// Whether there is nothing to be written.
    pub(super) fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    fn len(&self) -> usize {
        self.frames.len()
    }

    /// Jobs with their whole inputs, or all but the head.
    pub(super) fn run(&mut self, jobs: Vec<Assignment>) {
        self.push(Parcel::Jobs(jobs));
    }

    /// A message that fits into one frame.
    pub(super) fn say(&mut self, message: ToWorker) {
        self.push(Parcel::Message(message));
    }

    /// A program for the other side, before anything else.
    pub(super) fn bring(&mut self, program: Bytes) {
        self.frames.bytes(program);
    }

    /// What has not become a frame is dropped, and nothing may follow but a
    /// goodbye.
    pub(super) fn end(&mut self, goodbye: bool) {
        self.backlog.clear();
        self.rest.clear();
        if goodbye && !self.ended {
            self.frame(&ToWorker::Bye);
        }
        self.ended = true;
    }

    /// Nobody will read any of it.
    pub(super) fn discard(&mut self) {
        self.end(false);
        self.frames.discard();
    }

    /// The worker takes more of an input.
    pub(super) fn credit(&mut self, key: Key, chunks: u32) {
        if let Some(rest) = self.rest.get_mut(&key) {
            rest.credit = rest.credit.saturating_add(chunks).min(CREDIT);
            self.send_rest(key);
        }
    }

    /// Whether no input is sent in parts now.
    pub(super) fn sent_whole(&self) -> bool {
        self.rest.is_empty()
    }

    /// The rest of this input is not wanted any more.
    pub(super) fn forget(&mut self, key: Key) {
        self.rest.remove(&key);
    }

    fn push(&mut self, parcel: Parcel) {
        if !self.ended {
            self.backlog.push_back(parcel);
            self.pump();
        }
    }

    /// Makes frames of the backlog while there is room.
    pub(super) fn pump(&mut self) {
        while self.len() < HIGH_WATER {
            match self.backlog.pop_front() {
                Some(Parcel::Jobs(jobs)) => {
                    let left = self.send_jobs(jobs);
                    if !left.is_empty() {
                        self.backlog.push_front(Parcel::Jobs(left));
                    }
                }
                Some(Parcel::Message(message)) => self.frame(&message),
                None => return,
            }
        }
    }

    fn frame(&mut self, message: &ToWorker) {
        if let Err(e) = codec::encode(message, self.frames.end()) {
            debug_assert!(false, "a message that fits into no frame: {e}");
        }
    }

    /// Puts jobs into as few frames as possible, until the buffer is full;
    /// gives back those that have to wait. Of a large input only a part goes
    /// with its job; the rest follows as the worker takes it.
    fn send_jobs(&mut self, mut jobs: Vec<Assignment>) -> Vec<Assignment> {
        // Those of them that share the next frame, and the size of their inputs.
        let (mut from, mut to, mut bytes) = (0, 0, 0);
        while to < jobs.len() && self.len() + bytes < HIGH_WATER {
            let job = &mut jobs[to];
            let rest = if (job.input.len() as u64) < job.header.input_len {
                let head = Encoded::head(&job.input);
                std::mem::replace(&mut job.input, head)
            } else if job.input.len() > MAX_CHUNK {
                job.input.split_off(MAX_CHUNK)
            } else {
                Bytes::new()
            };
            let (key, size) = ((job.header.job, job.header.attempt), job.input.len());
            if bytes + size > room_for(to - from + 1, ASSIGNMENT_OVERHEAD) {
                self.jobs_frame(&jobs[from..to]);
                (from, bytes) = (to, 0);
            }
            bytes += size;
            to += 1;
            if !rest.is_empty() {
                self.jobs_frame(&jobs[from..to]);
                (from, bytes) = (to, 0);
                let (input, credit) = (rest, CREDIT);
                self.rest.insert(key, Rest { input, credit });
                self.send_rest(key);
            }
        }
        self.jobs_frame(&jobs[from..to]);
        jobs.split_off(to)
    }

    fn jobs_frame(&mut self, jobs: &[Assignment]) {
        if jobs.is_empty() {
            return;
        }
        if let Err(e) = codec::encode_jobs(jobs, self.frames.end()) {
            debug_assert!(false, "jobs that fit into no frame: {e}");
        }
    }

    fn chunk(&mut self, (job, attempt): Key, data: Bytes) {
        let chunk = data.clone();
        let message = ToWorker::InputChunk { job, attempt, data };
        self.frames.chunk(&message, chunk);
    }

    /// Sends as much of an input as the worker has given credit for.
    fn send_rest(&mut self, key: Key) {
        let Some(mut rest) = self.rest.remove(&key) else {
            return;
        };
        while rest.credit > 0 && !rest.input.is_empty() {
            let data = rest.input.split_to(rest.input.len().min(MAX_CHUNK));
            rest.credit -= 1;
            self.chunk(key, data);
        }
        if !rest.input.is_empty() {
            self.rest.insert(key, rest);
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;
    use protocol::{Codec, Encoding, FromWorker, JobHeader};
    use tokio_util::codec::Decoder;

    use super::*;

    fn job(id: u64, size: usize) -> Assignment {
        Assignment {
            header: JobHeader {
                job: JobId(id),
                attempt: Attempt::FIRST,
                task: 0,
                encoding: Encoding::Raw,
                input_len: size as u64,
            },
            input: Bytes::from(vec![id as u8; size]),
        }
    }

    /// Writes all that is there, and gives the messages.
    fn written(outgoing: &mut Outgoing) -> Vec<ToWorker> {
        let mut bytes = BytesMut::new();
        while !outgoing.is_empty() {
            let slices = outgoing.slices();
            // Never all of it, so that writes end within pieces.
            let all = slices.iter().map(|slice| &slice[..]);
            let some = all.collect::<Vec<_>>().concat();
            let written = some.len().div_ceil(2);
            bytes.extend_from_slice(&some[..written]);
            outgoing.advance(written);
        }
        outgoing.pump();
        let mut codec = Codec::<ToWorker, FromWorker>::new();
        let mut messages = Vec::new();
        while let Some(message) = codec.decode(&mut bytes).unwrap() {
            messages.push(message);
        }
        assert!(bytes.is_empty());
        messages
    }

    #[test]
    fn jobs_of_one_turn_leave_in_one_frame() {
        let mut outgoing = Outgoing::default();
        outgoing.run((1..=100).map(|n| job(n, 10)).collect());
        let messages = written(&mut outgoing);
        assert!(matches!(&messages[..], [ToWorker::RunMany(jobs)] if jobs.len() == 100));
    }

    #[test]
    fn what_does_not_fit_waits_in_order_and_is_not_copied() {
        let mut outgoing = Outgoing::default();
        outgoing.run((1..=40).map(|n| job(n, 200_000)).collect());
        let cancel = ToWorker::Cancel {
            job: JobId(40),
            attempt: Attempt::FIRST,
        };
        outgoing.say(cancel.clone());
        assert!(outgoing.len() < 2 * HIGH_WATER);
        let mut seen = Vec::new();
        let mut last = None;
        while !outgoing.is_empty() {
            for message in written(&mut outgoing) {
                if let ToWorker::RunMany(jobs) = &message {
                    seen.extend(jobs.iter().map(|j| j.header.job.0));
                }
                last = Some(message);
            }
        }
        assert_eq!(seen, (1..=40).collect::<Vec<_>>());
        assert_eq!(last, Some(cancel));
    }

    #[test]
    fn a_large_input_is_sent_as_far_as_the_credit_goes() {
        let mut outgoing = Outgoing::default();
        let key = (JobId(7), Attempt::FIRST);
        outgoing.run(vec![job(7, 10 * MAX_CHUNK)]);
        // The first part and four chunks; then one for each that was taken.
        assert_eq!(written(&mut outgoing).len(), 5);
        assert!(written(&mut outgoing).is_empty());
        outgoing.credit(key, 1);
        assert_eq!(written(&mut outgoing).len(), 1);
        // Nobody may ask for more than that at once.
        outgoing.credit(key, u32::MAX);
        assert_eq!(written(&mut outgoing).len(), 4);
        outgoing.credit(key, 1);
        assert_eq!(written(&mut outgoing).len(), 0);
        assert!(outgoing.sent_whole());
    }

    #[test]
    fn the_head_of_a_byte_string_goes_with_its_job() {
        let mut outgoing = Outgoing::default();
        let mut string = job(7, 2 * MAX_CHUNK);
        let place = string.input.as_ptr();
        string.header.input_len += 8;
        outgoing.run(vec![job(6, 1), string, job(8, 1)]);
        let slices = outgoing.slices();
        assert!(slices.iter().any(|slice| slice.as_ptr() == place));
        let messages = written(&mut outgoing);
        assert!(
            matches!(&messages[..], [ToWorker::RunMany(first), .., ToWorker::RunMany(_)]
            if first[1].input[..] == (2 * MAX_CHUNK as u64).to_le_bytes())
        );
        assert_eq!(messages.len(), 4);
    }

    #[test]
    fn after_the_end_only_the_goodbye_follows() {
        let mut outgoing = Outgoing::default();
        outgoing.run((1..=40).map(|n| job(n, 200_000)).collect());
        let begun = outgoing.len();
        outgoing.end(true);
        assert!(outgoing.len() > begun);
        outgoing.say(ToWorker::Pause);
        let messages = written(&mut outgoing);
        assert_eq!(messages.last(), Some(&ToWorker::Bye));
        assert!(outgoing.is_empty());
        outgoing.discard();
        outgoing.end(true);
        assert!(outgoing.is_empty());
    }
}
