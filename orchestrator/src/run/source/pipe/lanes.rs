//! `--round-robin`: processes that run for as long as there is input, each with a pipe that blocks are written
//! to as it takes them.
//!
//! One thread reads, cuts and writes, and waits for whatever happens next in one `poll`, so that a process that
//! is slow keeps nobody waiting. A job's worker opens the reading end by its name under `/proc`; this thread
//! keeps it open until the job has ended, and so can tell how much of its input a process has left behind.

use std::borrow::Cow;
use std::fmt;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::pipe2;
use tokio::sync::mpsc;

use super::blocks::{Cutter, Next};
use super::header::Header;
use super::job::prepare_lane;
use super::splitter::Rules;
use crate::pool::unread;
use crate::run::source::reader::{Made, Read};
use crate::run::source::values::ReadError;
use crate::run::source::work::Recipe;
use crate::run::text;

/// A pipe holds a block of up to this size, if the system allows it.
const MAX_PIPE: usize = 1 << 20;

/// A job's end rings: this is its end of a pipe, and gone with the job's ticket.
#[derive(Clone, Debug)]
pub(crate) struct Bell {
    rope: Arc<OwnedFd>,
    /// How many bytes were meant for the job so far.
    given: Arc<AtomicU64>,
}

impl Bell {
    /// How many bytes were meant for the job so far.
    pub(crate) fn given(&self) -> u64 {
        self.given.load(Ordering::Relaxed)
    }
}

impl PartialEq for Bell {
    fn eq(&self, other: &Bell) -> bool {
        Arc::ptr_eq(&self.rope, &other.rope)
    }
}

impl Eq for Bell {}

/// Input that no process has read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unread {
    /// This job has ended and left so many bytes of what it was given.
    Given {
        /// The job's number.
        seq: u64,
        /// How many.
        bytes: u64,
    },
    /// All processes have ended before the input has.
    Rest,
}

impl fmt::Display for Unread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unread::Given { seq, bytes } => {
                let bytes = text::counted(*bytes, "byte");
                writeln!(
                    f,
                    "error: job {seq} ended without reading {bytes} of its input"
                )
            }
            Unread::Rest => {
                let what = "all jobs ended before standard input did";
                writeln!(f, "error: {what}: nobody reads the rest")
            }
        }
    }
}

/// A process and its pipe.
struct Lane {
    seq: u64,
    /// What the process reads from.
    there: OwnedFd,
    /// What is written to; nothing when there is no more for it.
    here: Option<File>,
    /// Ends with the job.
    bell: OwnedFd,
    /// What it is given first.
    header: Vec<u8>,
    /// What did not fit of its block.
    rest: Vec<u8>,
    /// How much of that was written.
    written: usize,
    /// How much it has been given in all.
    given: Arc<AtomicU64>,
}

/// What has happened.
#[derive(Default)]
struct Events {
    stopped: bool,
    readable: bool,
    /// Lanes that can be written to, and lanes whose jobs have ended.
    writable: Vec<usize>,
    ended: Vec<usize>,
}

/// See the module.
pub(in crate::run::source) struct Lanes {
    recipe: Recipe,
    cutter: Cutter,
    lanes: Vec<Lane>,
    /// How many there may be.
    most: usize,
    /// How many were begun.
    begun: usize,
    /// Who got the last block: those behind it are asked first.
    turn: u64,
    sender: mpsc::Sender<Read>,
}

impl Lanes {
    pub(in crate::run::source) fn new(
        recipe: Recipe,
        rules: Rules,
        most: usize,
        sender: mpsc::Sender<Read>,
    ) -> Lanes {
        Lanes {
            recipe,
            cutter: Cutter::new(rules),
            lanes: Vec::new(),
            most,
            begun: 0,
            turn: 0,
            sender,
        }
    }

    /// Feeds processes until the input and all of them have ended.
    pub(in crate::run::source) fn run(mut self, input: &File, header: Option<&Header>) {
        let fed = match self.cutter.take_header(input, header) {
            Ok(None) => self.feed(input),
            Ok(Some(limit)) => Ok(Some(Read::TooLarge(limit))),
            Err(e) => Err(e),
        };
        let last = match fed {
            Ok(Some(last)) => last,
            // It was stopped.
            Ok(None) => return,
            Err(e) => Read::Failed(ReadError::of(&self.recipe.origin, e)),
        };
        self.sender.blocking_send(last).ok();
    }

    /// What is to be said at the end; nothing if nobody listens.
    fn feed(&mut self, input: &File) -> io::Result<Option<Read>> {
        // As much as possible with each read.
        fcntl(input, FcntlArg::F_SETPIPE_SZ(MAX_PIPE as i32)).ok();
        // Ends when nobody wants anything any more.
        let (wanted, kept) = pipe2(OFlag::O_CLOEXEC)?;
        if self.sender.blocking_send(Read::Hold(kept)).is_err() {
            return Ok(None);
        }
        // What there is to do, unless there is nothing to be done any more.
        let (mut next, mut last) = (None, None);
        loop {
            if next.is_none() && last.is_none() {
                match self.cutter.next() {
                    Next::End => last = Some(Read::End(None)),
                    Next::TooLarge(limit) => last = Some(Read::TooLarge(limit)),
                    step => next = Some(step),
                }
            }
            if let Some(Next::Block(size)) = next {
                if self.begun < self.most && self.begin()? {
                    self.give(self.lanes.len() - 1, size)?;
                    next = None;
                    continue;
                }
                if self.lanes.is_empty() {
                    self.say(Read::Unread(Unread::Rest));
                    return Ok(Some(Read::End(None)));
                }
            }
            if next.is_none() {
                self.close();
                if self.lanes.is_empty() {
                    return Ok(last);
                }
            }
            let events = self.wait(&wanted, input, next)?;
            if events.stopped {
                return Ok(None);
            }
            if let (true, Some(Next::Read(wanted))) = (events.readable, next) {
                next = None;
                if let Err(e) = self.cutter.read(input, wanted) {
                    last = Some(Read::Failed(ReadError::of(&self.recipe.origin, e)));
                }
            }
            next = self.write(&events, next)?;
            self.bury(&events.ended);
        }
    }

    /// Starts a process; not if there is nothing left for it.
    fn begin(&mut self) -> io::Result<bool> {
        let seq = self.begun as u64 + 1;
        let pipes = pipe2(OFlag::O_CLOEXEC).and_then(|data| Ok((data, pipe2(OFlag::O_CLOEXEC)?)));
        let ((there, here), (bell, rope)) = match pipes {
            Ok(pipes) => pipes,
            // Those that there are do the work.
            Err(_) if !self.lanes.is_empty() => {
                self.most = self.begun;
                return Ok(false);
            }
            Err(e) => return Err(e.into()),
        };
        let size = self.cutter.rules().block.clamp(64 << 10, MAX_PIPE);
        fcntl(&here, FcntlArg::F_SETPIPE_SZ(size as i32)).ok();
        fcntl(&here, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
        let path = format!("/proc/{}/fd/{}", std::process::id(), there.as_raw_fd());
        let given = Arc::default();
        let end = Bell {
            rope: Arc::new(rope),
            given: Arc::clone(&given),
        };
        let made = prepare_lane(&self.recipe, seq, path.into_bytes(), end);
        self.begun += 1;
        self.say(Read::Made(vec![Made::from(made)]));
        self.lanes.push(Lane {
            seq,
            there,
            here: Some(here.into()),
            bell,
            header: self.cutter.header.clone(),
            rest: Vec::new(),
            written: 0,
            given,
        });
        Ok(true)
    }

    fn say(&self, what: Read) {
        // Whether anybody listens is seen by what they hold.
        self.sender.blocking_send(what).ok();
    }

    /// Waits until something happens.
    fn wait(&self, wanted: &OwnedFd, input: &File, next: Option<Next>) -> io::Result<Events> {
        let none = PollFlags::empty();
        let mut fds = Vec::with_capacity(2 + 2 * self.lanes.len());
        let mut whose = Vec::with_capacity(self.lanes.len());
        fds.push(PollFd::new(wanted.as_fd(), none));
        fds.extend(
            self.lanes
                .iter()
                .map(|lane| PollFd::new(lane.bell.as_fd(), none)),
        );
        for (at, lane) in self.lanes.iter().enumerate() {
            let has = !lane.rest.is_empty() || matches!(next, Some(Next::Block(_)));
            if let Some(here) = lane.here.as_ref().filter(|_| has) {
                whose.push(at);
                fds.push(PollFd::new(here.as_fd(), PollFlags::POLLOUT));
            }
        }
        if let Some(Next::Read(_)) = next {
            fds.push(PollFd::new(input.as_fd(), PollFlags::POLLIN));
        }
        match poll(&mut fds, PollTimeout::NONE) {
            Ok(_) => {}
            Err(nix::errno::Errno::EINTR) => return Ok(Events::default()),
            Err(e) => return Err(e.into()),
        }
        let happened = |fd: &PollFd<'_>| fd.revents().is_some_and(|flags| !flags.is_empty());
        let (bells, pipes) = (1, 1 + self.lanes.len());
        let ended = (0..self.lanes.len()).filter(|at| happened(&fds[bells + at]));
        let writable = (0..whose.len()).filter(|at| happened(&fds[pipes + at]));
        Ok(Events {
            stopped: happened(&fds[0]),
            readable: fds.get(pipes + whose.len()).is_some_and(happened),
            ended: ended.collect(),
            writable: writable.map(|at| whose[at]).collect(),
        })
    }

    /// Writes what waits, and the next block to the first that can take it.
    fn write(&mut self, events: &Events, mut next: Option<Next>) -> io::Result<Option<Next>> {
        let Events {
            writable, ended, ..
        } = events;
        let alive = writable.iter().filter(|at| !ended.contains(at));
        let (before, behind): (Vec<usize>, Vec<usize>) =
            alive.partition(|at| self.lanes[**at].seq <= self.turn);
        for at in behind.into_iter().chain(before) {
            let lane = &mut self.lanes[at];
            if !lane.rest.is_empty() {
                lane.flush()?;
            } else if let Some(Next::Block(size)) = next {
                self.give(at, size)?;
                next = None;
            }
        }
        Ok(next)
    }

    /// Gives the next block to a lane.
    fn give(&mut self, at: usize, size: usize) -> io::Result<()> {
        let lane = &mut self.lanes[at];
        self.turn = lane.seq;
        let mut content = self.cutter.content(size);
        let header = std::mem::take(&mut lane.header);
        if !header.is_empty() {
            content = Cow::Owned([&header[..], &content].concat());
        }
        lane.given
            .fetch_add(content.len() as u64, Ordering::Relaxed);
        let written = lane.put(&content)?;
        lane.rest.extend_from_slice(&content[written..]);
        self.cutter.window.skip(size);
        Ok(())
    }

    /// The input has ended: processes that have been given everything see that.
    fn close(&mut self) {
        for lane in &mut self.lanes {
            if lane.rest.is_empty() {
                lane.here = None;
            }
        }
    }

    /// These jobs have ended: says what they have left.
    fn bury(&mut self, ended: &[usize]) {
        for at in ended.iter().rev() {
            let lane = self.lanes.remove(*at);
            let left = lane.rest.len() - lane.written + unread(&lane.there);
            if left > 0 {
                let (seq, bytes) = (lane.seq, left as u64);
                self.say(Read::Unread(Unread::Given { seq, bytes }));
            }
        }
    }
}

impl Lane {
    /// Writes as much as fits.
    fn put(&self, bytes: &[u8]) -> io::Result<usize> {
        let Some(mut here) = self.here.as_ref() else {
            return Ok(0);
        };
        let mut written = 0;
        while written < bytes.len() {
            match here.write(&bytes[written..]) {
                Ok(n) => written += n,
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => break,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(written)
    }

    /// Writes what has waited.
    fn flush(&mut self) -> io::Result<()> {
        self.written += self.put(&self.rest[self.written..])?;
        if self.written == self.rest.len() {
            self.rest.clear();
            self.written = 0;
        }
        Ok(())
    }
}
