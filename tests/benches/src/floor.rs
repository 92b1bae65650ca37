//! The floor: what two processes and a pipe cost without any pool.
//!
//! Blocking reads and writes, the same pipes, frames and codec as the pool's,
//! and nothing else: no queue, no timers, nobody who could crash, no result
//! that somebody waits for.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use protocol::{
    Answer, Assignment, Attempt, Codec, DoneHeader, Encoding, FromWorker, JobHeader, JobId,
    MAX_CHUNK, Outcome, ToWorker, Usage, codec,
};
use tokio_util::codec::Decoder;

const READ: usize = 64 * 1024;

/// Whether jobs that leave together share a frame, as the pool's do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Frames {
    /// A frame for each job and each answer.
    PerJob,
    /// A frame for all that leave together.
    PerBatch,
}

/// The other side: answers each job at once with its own input.
///
/// # Panics
/// When the link breaks.
pub fn echo(frames: Frames) {
    let mut input = io::stdin().lock();
    let mut output = output();
    let mut codec = Codec::<ToWorker, FromWorker>::new();
    let mut buffer = BytesMut::with_capacity(READ);
    let mut out = BytesMut::with_capacity(READ);
    loop {
        buffer.reserve(READ);
        if !read_into(&mut input, &mut buffer) {
            return;
        }
        while let Some(message) = codec.decode(&mut buffer).expect("a frame") {
            if let ToWorker::RunMany(jobs) = message {
                let answers = jobs.into_iter().map(|job| Answer {
                    header: DoneHeader {
                        job: job.header.job,
                        attempt: job.header.attempt,
                        outcome: Outcome::Ok,
                        usage: Usage::default(),
                    },
                    payload: job.input,
                });
                match frames {
                    Frames::PerBatch => put(&FromWorker::DoneMany(answers.collect()), &mut out),
                    Frames::PerJob => {
                        answers.for_each(|a| put(&FromWorker::DoneMany(vec![a]), &mut out));
                    }
                }
            }
        }
        output.write_all(&out).expect("output");
        out.clear();
    }
}

/// Unbuffered: stdout itself would look for line feeds.
fn output() -> File {
    let stdout = io::stdout().as_fd().try_clone_to_owned();
    File::from(stdout.expect("a descriptor"))
}

fn put<M: codec::Message>(message: &M, out: &mut BytesMut) {
    codec::encode(message, out).expect("it fits into a frame");
}

/// Reads what is there; false at the end.
fn read_into(input: &mut impl Read, buffer: &mut BytesMut) -> bool {
    let old = buffer.len();
    buffer.resize(old + READ, 0);
    let n = input.read(&mut buffer[old..]).expect("input");
    buffer.truncate(old + n);
    n > 0
}

/// This side: sends jobs to one or more others.
pub struct Floor {
    peers: Vec<Peer>,
    frames: Frames,
}

struct Peer {
    child: Child,
    input: Option<ChildStdin>,
    output: ChildStdout,
    codec: Codec<FromWorker, ToWorker>,
    buffer: BytesMut,
}

impl Floor {
    /// Starts the others: `program`, which is to call [`echo`].
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    pub fn start(program: &str, peers: usize, frames: Frames) -> Floor {
        let how = match frames {
            Frames::PerJob => "echo",
            Frames::PerBatch => "echo-batches",
        };
        let start = |_| {
            let mut child = Command::new(program)
                .arg(how)
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()
                .expect("a child");
            Peer {
                input: child.stdin.take(),
                output: child.stdout.take().expect("piped"),
                child,
                codec: Codec::new(),
                buffer: BytesMut::with_capacity(READ),
            }
        };
        Floor {
            peers: (0..peers).map(start).collect(),
            frames,
        }
    }

    /// Sends so many jobs with this input, never more than `window` of them
    /// under way at each peer, and waits for all answers. A window above one
    /// is sent in halves, so that both sides have something to do.
    ///
    /// # Panics
    /// When the link breaks.
    pub fn jobs(&mut self, count: u64, window: u64, payload: &Bytes) -> Duration {
        let batch = window.div_ceil(2);
        let mut out = BytesMut::with_capacity(READ);
        let mut next = 0;
        let mut under_way: VecDeque<(usize, u64)> = VecDeque::new();
        let start = Instant::now();
        for _ in 0..window / batch {
            for peer in 0..self.peers.len() {
                if let Some(sent) = self.send(peer, &mut next, count, batch, payload, &mut out) {
                    under_way.push_back((peer, sent));
                }
            }
        }
        while let Some((peer, sent)) = under_way.pop_front() {
            self.peers[peer].await_answers(sent);
            if let Some(sent) = self.send(peer, &mut next, count, batch, payload, &mut out) {
                under_way.push_back((peer, sent));
            }
        }
        start.elapsed()
    }

    /// The next batch; how many it was.
    fn send(
        &mut self,
        peer: usize,
        next: &mut u64,
        count: u64,
        batch: u64,
        payload: &Bytes,
        out: &mut BytesMut,
    ) -> Option<u64> {
        let sent = batch.min(count - *next);
        if sent == 0 {
            return None;
        }
        let jobs = (*next..*next + sent).map(|job| Assignment {
            header: JobHeader {
                job: JobId(job + 1),
                attempt: Attempt::FIRST,
                task: 0,
                encoding: Encoding::Bincode,
                input_len: payload.len() as u64,
            },
            input: payload.clone(),
        });
        match self.frames {
            Frames::PerBatch => put(&ToWorker::RunMany(jobs.collect()), out),
            Frames::PerJob => jobs.for_each(|job| put(&ToWorker::RunMany(vec![job]), out)),
        }
        *next += sent;
        let input = self.peers[peer].input.as_mut().expect("it is open");
        input.write_all(out).expect("input");
        out.clear();
        Some(sent)
    }
}

impl Peer {
    fn await_answers(&mut self, mut count: u64) {
        while count > 0 {
            match self.codec.decode(&mut self.buffer).expect("a frame") {
                Some(FromWorker::DoneMany(answers)) => count -= answers.len() as u64,
                Some(_) => {}
                None => {
                    self.buffer.reserve(READ);
                    assert!(
                        read_into(&mut self.output, &mut self.buffer),
                        "it has ended"
                    );
                }
            }
        }
    }
}

impl Drop for Floor {
    fn drop(&mut self) {
        for peer in &mut self.peers {
            peer.input = None;
            peer.child.wait().ok();
        }
    }
}

/// Copies what comes to where it goes, a pipe's content at a time.
///
/// # Panics
/// When that fails.
pub fn copy() {
    let mut input = io::stdin().lock();
    let mut output = output();
    let mut buffer = vec![0; MAX_CHUNK];
    loop {
        match input.read(&mut buffer).expect("input") {
            0 => return,
            n => output.write_all(&buffer[..n]).expect("output"),
        }
    }
}

/// A process that copies, and the pipes to and from it.
pub struct Copier {
    child: Child,
    input: Option<ChildStdin>,
    output: ChildStdout,
}

impl Copier {
    /// Starts `program`, which is to call [`copy`].
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    pub fn start(program: &str) -> Copier {
        let mut child = Command::new(program)
            .arg("copy")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a child");
        let input = child.stdin.take().expect("piped");
        let output = child.stdout.take().expect("piped");
        // One thread does both ways, as the pool's driver does. Both pipes are
        // fresh, and have no flags worth keeping.
        for pipe in [input.as_fd(), output.as_fd()] {
            fcntl(pipe, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).expect("flags");
        }
        Copier {
            child,
            input: Some(input),
            output,
        }
    }

    /// Sends these bytes there and takes them back.
    ///
    /// # Panics
    /// When the pipe breaks.
    pub fn round(&mut self, bytes: &[u8]) -> Duration {
        let mut back = vec![0; bytes.len()];
        let (mut sent, mut got) = (0, 0);
        let start = Instant::now();
        let input = self.input.as_mut().expect("it is open");
        while got < bytes.len() {
            let mut fds = [
                PollFd::new(self.output.as_fd(), PollFlags::POLLIN),
                PollFd::new(input.as_fd(), PollFlags::POLLOUT),
            ];
            let wanted = if sent < bytes.len() { 2 } else { 1 };
            poll(&mut fds[..wanted], PollTimeout::NONE).expect("poll");
            let (readable, writable) = (fds[0].any() == Some(true), fds[1].any() == Some(true));
            if readable {
                got += some(self.output.read(&mut back[got..]));
            }
            if writable && sent < bytes.len() {
                sent += some(input.write(&bytes[sent..]));
            }
        }
        let time = start.elapsed();
        assert!(back == bytes, "the copy differs");
        time
    }
}

fn some(moved: io::Result<usize>) -> usize {
    match moved {
        Ok(n) => n,
        Err(e) if e.kind() == io::ErrorKind::WouldBlock => 0,
        Err(e) => panic!("the pipe broke: {e}"),
    }
}

impl Drop for Copier {
    fn drop(&mut self) {
        self.input = None;
        self.child.wait().ok();
    }
}

/// Runs `program` so often, one after the other, each time with a number as
/// its argument, and keeps what it prints until the next.
///
/// The argument matters: `true` loads the locale when it gets just one, which
/// takes it half as long again, and from `xargs` or a pool it gets one.
///
/// # Panics
/// When it cannot be started, or fails.
pub fn spawn(program: &str, count: u64) {
    for number in 0..count {
        // Absolute, and nothing between fork and exec: std takes posix_spawn.
        let done = Command::new(program)
            .arg(number.to_string())
            .stdin(Stdio::null())
            .output()
            .expect("an output");
        assert!(done.status.success(), "{program} failed");
    }
}
