//! One connection to the orchestrator: its descriptors, its locks, and who may
//! use them when.
//!
//! The computing thread reads and writes by itself, so that a small job costs
//! one read and one write and no thread is woken for it. While a function
//! runs, nobody reads, unless it runs for so long that the watcher takes over
//! ([`crate::watch`]). Two locks, both free on the usual path and neither held
//! while user code runs:
//!
//! - `reader`: the right to read messages. Taken before `state`.
//! - `state`: everything else. Writing, and reading what user code printed,
//!   happen under it, so that messages leave in the order of their making. A
//!   write may wait for the orchestrator, which always reads.
//!
//! `turn` counts the starts and ends of functions: it is odd while one runs.
//! It changes under the state lock only; the watcher reads it without.

use std::io::IoSlice;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::available_parallelism;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::sys::uio::writev;
use nix::unistd::read;
use protocol::codec::{self, TRAILER};
use protocol::{
    Answer, Attempt, Codec, DoneHeader, Encoded, FromWorker, JobId, MAX_CHUNK, Outcome, Ready,
    Stream, ToWorker, WorkerId,
};
use tokio_util::codec::Decoder;

use crate::clock::{self, Moment};
use crate::context::Host;
use crate::meter::Meter;
use crate::os::{self, Held, StatusPage};
use crate::outbox::Outbox;
use crate::state::{End, Key, State, Step};
use crate::stdio::Stdio;

/// How much is read at once: what a pipe holds.
pub(crate) const READ_SIZE: usize = 64 * 1024;

/// How long an answer may wait for company while other jobs run.
pub(crate) const PATIENCE: Duration = Duration::from_millis(1);

/// A wait that is shorter than this is worth being awake for.
const BRISK: Duration = Duration::from_micros(100);

/// The owner of output that belongs to no job.
pub(crate) const NO_JOB: Key = (JobId::NONE, Attempt(0));

pub(crate) struct Link {
    stdio: Stdio,
    /// Wakes the watcher: its job has ended, or there is one again.
    wake: EventFd,
    pub(crate) status: Arc<StatusPage>,
    cancelled: Arc<AtomicBool>,
    winding_down: Arc<AtomicBool>,
    reader: Mutex<Reader>,
    state: Mutex<State>,
    turn: AtomicU64,
}

/// How the turn of a function has ended.
pub(crate) struct TurnEnd {
    /// Whether what it may have printed has to be looked for.
    pub(crate) may_have_printed: bool,
    pub(crate) now: Moment,
    /// How long it took.
    pub(crate) wall: Duration,
}

struct Reader {
    codec: Codec<ToWorker, FromWorker>,
    buffer: BytesMut,
    /// Where bytes arrive; a part of it at most is copied into the buffer.
    arrivals: Box<[u8]>,
    /// How many bytes are missing in the buffer of a frame that has begun.
    missing: usize,
    /// Whether the last message came soon after the wait for it began.
    brisk: bool,
    /// Whether anybody can send something while this thread is awake.
    several_cpus: bool,
}

impl Link {
    pub(crate) fn new(
        stdio: Stdio,
        (status, held): (Arc<StatusPage>, Held),
        ready: Ready,
    ) -> std::io::Result<Link> {
        let state = State::new(ready, Outbox::surviving(held));
        Ok(Link {
            stdio,
            wake: EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?,
            status,
            cancelled: Arc::clone(&state.cancelled),
            winding_down: Arc::clone(&state.winding_down),
            reader: Mutex::new(Reader {
                codec: Codec::new(),
                buffer: BytesMut::with_capacity(READ_SIZE),
                arrivals: vec![0; READ_SIZE].into(),
                missing: 0,
                brisk: false,
                several_cpus: available_parallelism().is_ok_and(|n| n.get() > 1),
            }),
            state: Mutex::new(state),
            turn: AtomicU64::new(0),
        })
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the current job has been asked to stop.
    pub(crate) fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }

    /// What tells the current job to stop.
    pub(crate) fn cancelled(&self) -> &Arc<AtomicBool> {
        &self.cancelled
    }

    /// For the command task, which waits for messages among other things.
    pub(crate) fn input(&self) -> BorrowedFd<'_> {
        self.stdio.input.as_fd()
    }

    pub(crate) fn capture(&self) -> BorrowedFd<'_> {
        self.stdio.capture.as_fd()
    }

    pub(crate) fn wake(&self) -> &EventFd {
        &self.wake
    }

    pub(crate) fn turn(&self) -> u64 {
        self.turn.load(Ordering::Relaxed)
    }

    /// What the computing thread should do next.
    pub(crate) fn next(&self) -> Step {
        self.state().next()
    }

    /// Waits for messages and obeys them.
    pub(crate) fn receive(&self) {
        let mut reader = self.reader.lock().unwrap_or_else(PoisonError::into_inner);
        let arrived = reader.await_arrival(self.input());
        let mut state = self.state();
        reader.deliver(arrived, &mut state);
        if state.outbox.is_urgent() || state.outbox.is_full() {
            self.flush(&mut state);
        }
    }

    /// Obeys the messages that are here, without waiting for more.
    pub(crate) fn receive_ready(&self) {
        if is_readable(self.input()) {
            self.receive();
        }
    }

    /// Writes everything that waits. When nobody reads any more, it is
    /// discarded and the connection has ended.
    pub(crate) fn flush(&self, state: &mut State) {
        if state.outbox.is_empty() {
            return;
        }
        if write_all(&self.stdio.output, [state.outbox.bytes()]).is_err() {
            state.end_with(End::Gone);
        }
        state.outbox.written();
    }

    /// Writes the line that opens the conversation.
    pub(crate) fn greet(&self) {
        let line = protocol::greeting::greeting_line();
        if write_all(&self.stdio.output, [&line[..]]).is_err() {
            self.state().end_with(End::Gone);
        }
    }

    /// A function is about to run.
    pub(crate) fn begin_turn(&self) {
        let mut state = self.state();
        self.turn.store(self.turn() + 1, Ordering::Relaxed);
        if std::mem::take(&mut state.parked) {
            self.wake.write(1).ok();
        }
    }

    /// The function has ended, and what it printed is in the pipe: everything
    /// of that goes before its answer. The watcher keeps out from here on.
    pub(crate) fn end_turn(&self, state: &mut State) {
        self.drain_capture(state, state.current().unwrap_or(NO_JOB));
        self.over(state);
    }

    fn over(&self, state: &mut State) {
        // Only under the lock, so no other addition can come between.
        self.turn.store(self.turn() + 1, Ordering::Relaxed);
        if std::mem::take(&mut state.taken) {
            self.wake.write(1).ok();
        }
    }

    /// Ends a turn whose answer fits into one frame, and gives what is to be done
    /// next, and whether nothing else was done before that. All in one go: for a small job every lock counts.
    pub(crate) fn finish_turn(
        &self,
        end: TurnEnd,
        meter: &mut Meter,
        answer: Answer,
    ) -> (Step, bool) {
        let mut state = self.state();
        if end.may_have_printed || state.taken {
            let key = state.current().unwrap_or(NO_JOB);
            self.drain_capture(&mut state, key);
        }
        self.over(&mut state);
        let mut answer = answer;
        answer.header.usage = meter.job(end.wall, !state.has_more());
        let wrote = self.conclude(&mut state, &answer);
        let (mut state, caught_up) = self.catch_up_with(state, end.now, end.wall);
        (state.next(), !end.may_have_printed && !wrote && !caught_up)
    }

    /// Between jobs: answers that have waited for long enough, or would have to
    /// if the next job takes as long as the last, are written, and messages
    /// that came meanwhile are obeyed. While the queue lasts this is the only
    /// place where the computing thread looks at its input.
    pub(crate) fn catch_up(&self, now: Moment, last_took: Duration) -> Step {
        self.catch_up_with(self.state(), now, last_took).0.next()
    }

    fn catch_up_with<'a>(
        &'a self,
        mut state: MutexGuard<'a, State>,
        now: Moment,
        last_took: Duration,
    ) -> (MutexGuard<'a, State>, bool) {
        let waited = state
            .outbox
            .waiting_since(now)
            .is_some_and(|since| now - since + last_took >= PATIENCE);
        if !waited && !state.outbox.is_full() {
            return (state, false);
        }
        // What something that earlier jobs have left behind has printed.
        self.drain_capture(&mut state, NO_JOB);
        self.flush(&mut state);
        drop(state);
        self.receive_ready();
        (self.state(), true)
    }

    /// The current job is over.
    pub(crate) fn finish(&self, answer: &Answer) {
        self.conclude(&mut self.state(), answer);
    }

    /// The current job's answer is out of danger before the status page stops to
    /// name the job: whenever the process is killed, either the answer is there
    /// or the job is to blame. Whether it had to be written at once.
    fn conclude(&self, state: &mut State, answer: &Answer) -> bool {
        state.finish(answer);
        let in_danger = state.outbox.is_in_danger();
        if in_danger {
            self.flush(state);
        }
        self.status.clear();
        in_danger
    }

    /// The result of the current job, in chunks but for its last part.
    pub(crate) fn send_result(&self, mut header: DoneHeader, payload: Encoded) {
        self.state().begin_result();
        let mut sent = !payload.lacks_head || self.put_chunk(&Encoded::head(&payload.bytes));
        let mut payload = payload.bytes;
        while sent && payload.len() > MAX_CHUNK {
            sent = self.put_chunk(&payload.split_to(MAX_CHUNK));
        }
        if !sent {
            header.outcome = Outcome::Cancelled;
            payload.clear();
        }
        self.finish(&Answer { header, payload });
    }

    /// Sends a chunk of the current job's result when there is credit for it;
    /// whether the rest is still wanted.
    fn put_chunk(&self, chunk: &Bytes) -> bool {
        while !self.send_chunk(chunk) {
            self.flush(&mut self.state());
            self.receive();
            let ended = self.state().end.is_some();
            if ended || self.is_cancelled() {
                return false;
            }
        }
        true
    }

    /// Writes a chunk of the current job's result, and all that waits before it,
    /// if there is credit for it. It is written from where it is: large results
    /// are not copied once more.
    fn send_chunk(&self, chunk: &Bytes) -> bool {
        let mut state = self.state();
        if !state.begin_chunk(chunk) {
            return false;
        }
        let pieces = [state.outbox.bytes(), chunk, &[TRAILER]];
        if write_all(&self.stdio.output, pieces).is_err() {
            state.end_with(End::Gone);
        }
        state.outbox.written_with(chunk.len() + 1);
        true
    }

    /// Turns what user code has printed into output messages.
    pub(crate) fn drain_capture(&self, state: &mut State, (job, attempt): Key) {
        let mut buffer = Vec::new();
        loop {
            // The first look costs no memory: mostly there is nothing.
            let mut small = [0; 512];
            let target = if buffer.is_empty() {
                &mut small[..]
            } else {
                &mut buffer[..]
            };
            let Ok(n @ 1..) = read(&self.stdio.capture, target) else {
                return;
            };
            state.outbox.send(&FromWorker::Output {
                job,
                attempt,
                stream: Stream::Stdout,
                data: Bytes::copy_from_slice(&target[..n]),
            });
            if n < target.len() {
                return;
            }
            buffer.resize(READ_SIZE, 0);
            if state.outbox.is_full() {
                self.flush(state);
            }
        }
    }

    /// The watcher's look at what was printed while no function runs.
    pub(crate) fn drain_between_jobs(&self, turn: u64) {
        let mut state = self.state();
        if self.turn() == turn && state.end.is_none() {
            self.drain_capture(&mut state, NO_JOB);
            self.flush(&mut state);
        }
    }

    /// At the very end: what was printed last, then a goodbye if it is ours
    /// to say.
    pub(crate) fn close(&self, goodbye: bool) {
        let mut state = self.state();
        self.drain_capture(&mut state, NO_JOB);
        if goodbye {
            state.outbox.send(&FromWorker::Bye);
        }
        self.flush(&mut state);
    }

    /// The watcher sends the answers that wait behind this turn.
    pub(crate) fn send_held(&self, turn: u64) {
        let mut state = self.state();
        if self.turn() == turn {
            self.flush(&mut state);
        }
    }

    /// The watcher takes over when this turn is still the current one.
    pub(crate) fn take_over(&self, turn: u64) -> bool {
        let mut state = self.state();
        if self.turn() != turn {
            return false;
        }
        state.taken = true;
        // Absent while the worker's own start runs.
        if let Some((job, attempt)) = state.current() {
            state.outbox.send(&FromWorker::Started { job, attempt });
        }
        self.flush(&mut state);
        true
    }

    /// One round of the watcher in a turn that it has taken over: the state,
    /// locked, or nothing when the turn has ended.
    pub(crate) fn attend(&self, turn: u64) -> Option<MutexGuard<'_, State>> {
        // Held by the computing thread: then the function has ended.
        let mut reader = self.reader.try_lock().ok()?;
        let mut state = self.state();
        if self.turn() != turn {
            return None;
        }
        let key = state.current().unwrap_or(NO_JOB);
        self.drain_capture(&mut state, key);
        if is_readable(self.input()) {
            let arrived = reader.read(self.input());
            reader.deliver(arrived, &mut state);
        }
        self.flush(&mut state);
        Some(state)
    }

    /// The watcher wants to sleep until the next function starts.
    pub(crate) fn park(&self, turn: u64) -> bool {
        let mut state = self.state();
        state.parked = self.turn() == turn;
        state.parked
    }

    pub(crate) fn unpark(&self) {
        self.state().parked = false;
        self.wake.read().ok();
    }
}

impl Host for Link {
    fn worker(&self) -> WorkerId {
        self.state().hello().map_or(WorkerId(0), |h| h.worker)
    }

    fn init(&self) -> Option<Bytes> {
        self.state().init()
    }

    fn blob(&self, hash: u64) -> Option<Bytes> {
        self.state().blob(hash)
    }

    fn is_draining(&self) -> bool {
        self.winding_down.load(Ordering::Relaxed)
    }

    fn progress(&self, job: JobId, attempt: Attempt, done: u64, total: u64) {
        let mut state = self.state();
        state.outbox.send(&FromWorker::Progress {
            job,
            attempt,
            done,
            total,
        });
        self.flush(&mut state);
    }
}

/// What a read gave.
enum Arrived {
    Bytes(usize),
    /// They are in the buffer.
    InPlace,
    End,
}

impl Reader {
    /// Reads, and looks a few times before it sleeps when messages come in
    /// quick succession: waking a sleeping CPU takes longer than a small job.
    fn await_arrival(&mut self, input: BorrowedFd<'_>) -> Arrived {
        let start = clock::now();
        if self.brisk && self.several_cpus {
            while !is_readable(input) && start.elapsed() < BRISK {
                // Whoever is to send something may need this very CPU.
                std::thread::yield_now();
            }
        }
        let arrived = self.read(input);
        self.brisk = start.elapsed() < BRISK;
        arrived
    }

    fn read(&mut self, input: BorrowedFd<'_>) -> Arrived {
        // What a large frame lacks is read to where it belongs, and no more: what
        // follows may be small and must not keep such a buffer alive.
        let in_place = self.missing >= READ_SIZE / 2;
        loop {
            let read = if in_place {
                os::read_behind(input, &mut self.buffer, self.missing)
            } else {
                read(input, &mut self.arrivals)
            };
            match read {
                Ok(0) => return Arrived::End,
                Ok(_) if in_place => return Arrived::InPlace,
                Ok(n) => return Arrived::Bytes(n),
                Err(Errno::EINTR) => {}
                // Whoever started us may share this descriptor's flags.
                Err(Errno::EAGAIN) => wait_for(input, PollFlags::POLLIN),
                Err(_) => return Arrived::End,
            }
        }
    }

    fn deliver(&mut self, arrived: Arrived, state: &mut State) {
        match arrived {
            Arrived::Bytes(n) => self.buffer.extend_from_slice(&self.arrivals[..n]),
            Arrived::InPlace => {}
            Arrived::End => return state.end_with(End::Gone),
        }
        while state.end.is_none() {
            match self.codec.decode(&mut self.buffer) {
                Ok(Some(message)) => state.handle(message),
                Ok(None) => {
                    self.missing = codec::missing(&self.buffer);
                    return;
                }
                Err(e) => state.end_with(End::Violation(e.to_string())),
            }
        }
        // After the end nothing that comes has a meaning.
        self.buffer.clear();
        self.missing = 0;
    }
}

pub(crate) fn is_readable(fd: BorrowedFd<'_>) -> bool {
    let mut fds = [PollFd::new(fd, PollFlags::POLLIN)];
    matches!(poll(&mut fds, PollTimeout::ZERO), Ok(1..))
}

fn wait_for(fd: BorrowedFd<'_>, flags: PollFlags) {
    // An error shows again in the read or write that follows.
    poll(&mut [PollFd::new(fd, flags)], PollTimeout::NONE).ok();
}

fn write_all<const N: usize>(output: &OwnedFd, pieces: [&[u8]; N]) -> Result<(), Errno> {
    let mut pieces = pieces.map(IoSlice::new);
    let mut left = &mut pieces[..];
    while !left.is_empty() {
        match writev(output, left) {
            Ok(n) => IoSlice::advance_slices(&mut left, n),
            Err(Errno::EINTR) => {}
            Err(Errno::EAGAIN) => wait_for(output.as_fd(), PollFlags::POLLOUT),
            Err(e) => return Err(e),
        }
    }
    Ok(())
}
