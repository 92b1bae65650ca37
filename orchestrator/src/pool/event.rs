//! The pool's event stream: one ordered sequence of facts that progress,
//! summary and run file fold over.
//!
//! The channel is unbounded, and bounded by something else: a job causes a
//! fixed number of events per attempt, and keeps room in the pool until both its
//! report and its last event have been taken, so that a slow
//! reader of the stream slows down admission (a stream of exceptions has only retries of jobs, which
//! its one reader, the command line, takes together with the reports); workers cause a fixed number per life, and are started
//! at a limited rate, or at most once per job. Lines printed by workers are cut at a fixed length, and
//! while [`MAX_PRINTED`] of them wait to be taken, further ones are dropped and
//! counted.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use protocol::{Attempt, JobId, TaskError, Usage, WorkerId};
use tokio::sync::Semaphore;

use super::turn::{self, Item, Reader, Sender};
use super::{Capture, WorkerDeath};
use crate::scheduler::Verdict;

/// How many printed lines may wait for the reader of the stream.
pub const MAX_PRINTED: usize = 4096;

/// Something that happened, and when: counted from the start of the pool.
#[derive(Debug)]
pub struct Event {
    /// When.
    pub at: Duration,
    /// What.
    pub kind: EventKind,
}

/// What happened.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum EventKind {
    /// A worker process was started.
    WorkerSpawned {
        /// Which worker.
        worker: WorkerId,
        /// Its process id here, that of the launcher for a remote one.
        pid: u32,
        /// Its slot, from 1: no other worker has it whose jobs run at the same time.
        slot: usize,
        /// Where, when it is an agent.
        host: Option<Arc<str>>,
    },
    /// A host cannot be used, or was lost; it is tried again. Told once for each thing
    /// that is wrong with it, until it is well again.
    HostTrouble {
        /// Which.
        host: Arc<str>,
        /// What, as a predicate: "cannot be reached: …".
        what: Arc<str>,
        /// Whether it had been of use before.
        was_ready: bool,
    },
    /// A worker said that it takes jobs.
    WorkerReady {
        /// Which worker.
        worker: WorkerId,
        /// How many jobs it runs at once.
        slots: u32,
        /// Where, when it is an agent.
        host: Option<Arc<str>>,
    },
    /// A worker wrote a line to stderr, or to stdout while it ran no job (the
    /// line feed is not included). Comes wherever prints go besides.
    WorkerPrinted {
        /// Which worker.
        worker: WorkerId,
        /// The line.
        line: Bytes,
    },
    /// So many lines of workers were dropped, because the reader of this
    /// stream did not keep up.
    PrintedLost {
        /// How many.
        lines: u64,
    },
    /// A worker has ended and was reaped.
    WorkerEnded {
        /// Which worker.
        worker: WorkerId,
        /// Why, when that was not asked of it.
        unexpected: Option<Arc<str>>,
    },
    /// A worker gets no more jobs and is replaced: its last ones have all
    /// failed, and nobody else's.
    WorkerRetired {
        /// Which worker.
        worker: WorkerId,
        /// How many of its jobs have failed in a row.
        failures: u32,
    },
    /// A job has come to the pool.
    JobQueued {
        /// Which job.
        job: JobId,
    },
    /// A job was handed to a worker.
    JobSent {
        /// Which job.
        job: JobId,
        /// Which try.
        attempt: Attempt,
        /// To whom.
        worker: WorkerId,
    },
    /// A job has been running for more than a few milliseconds.
    JobStarted {
        /// Which job.
        job: JobId,
        /// Which try.
        attempt: Attempt,
    },
    /// A job says how far it has come.
    JobProgress {
        /// Which job.
        job: JobId,
        /// Units done.
        done: u64,
        /// Units in all, 0 when unknown.
        total: u64,
    },
    /// An attempt at a job has ended badly, and another one follows.
    JobRetried {
        /// Which job.
        job: JobId,
        /// How the attempt ended.
        verdict: Verdict,
        /// Why, when there is more to say than the verdict.
        error: Option<Box<TaskError>>,
        /// How much the attempt wrote to stdout, in bytes, if that was to be kept.
        stdout: u64,
        /// What the attempt wrote to stderr, if that was to be kept.
        stderr: Arc<Capture>,
        /// What the attempt used; zero when its worker died.
        usage: Usage,
        /// When the attempt began, counted from the start of the pool.
        started: Option<Duration>,
        /// Who made the attempt.
        worker: Option<WorkerId>,
        /// On which host, when that was an agent.
        host: Option<Arc<str>>,
        /// How many attempts were made so far.
        attempts: u32,
        /// How long until the next.
        pause: Duration,
    },
    /// A job has its verdict.
    JobDone {
        /// Which job.
        job: JobId,
        /// How it ended.
        verdict: Verdict,
        /// How its worker died, if the last attempt ended with that.
        death: Option<Arc<WorkerDeath>>,
        /// What its last attempt used.
        usage: Usage,
        /// When its last attempt began, counted from the start of the pool.
        started: Option<Duration>,
        /// Who made the last attempt.
        worker: Option<WorkerId>,
        /// How many attempts were made.
        attempts: u32,
    },
}

/// The reader's end of the stream. Ends when the pool has ended.
#[derive(Debug)]
pub struct EventStream {
    events: Reader<Event>,
    printed: Arc<AtomicUsize>,
}

impl EventStream {
    /// The next event; `None` when the pool has ended. Cancel-safe.
    pub async fn next(&mut self) -> Option<Event> {
        let event = self.events.next().await;
        self.taken(event)
    }

    /// The next event if there is one already.
    pub fn try_next(&mut self) -> Option<Event> {
        let event = self.events.try_next();
        self.taken(event)
    }

    fn taken(&self, event: Option<Event>) -> Option<Event> {
        if let Some(Event {
            kind: EventKind::WorkerPrinted { .. },
            ..
        }) = event
        {
            self.printed.fetch_sub(1, Ordering::Relaxed);
        }
        event
    }
}

impl Item for Event {
    fn keeps_room(&self) -> bool {
        matches!(self.kind, EventKind::JobDone { .. })
    }
}

/// What a stream is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scope {
    /// Everything.
    All,
    /// Workers, what they print, and attempts that are followed by another one:
    /// nothing that every job causes.
    #[cfg(feature = "cli")]
    Exceptions,
}

/// The driver's end of the stream.
#[derive(Debug)]
pub(super) struct EventSender {
    scope: Scope,
    way: Sender<Event>,
    /// Those of this turn.
    events: Vec<Event>,
    /// How many printed lines wait to be taken.
    printed: Arc<AtomicUsize>,
    lost: u64,
}

impl EventSender {
    pub(super) fn emit(&mut self, at: Duration, kind: EventKind) {
        self.events.push(Event { at, kind });
    }

    /// Whether what every job causes is of interest.
    pub(super) fn has_all(&self) -> bool {
        self.scope == Scope::All
    }

    /// Sends those of this turn.
    pub(super) fn send(&mut self, room: &Arc<Semaphore>) {
        if !self.events.is_empty() {
            turn::send(&self.way, std::mem::take(&mut self.events), room);
        }
    }

    /// Says how many printed lines were dropped, if any were.
    pub(super) fn tell_lost(&mut self, at: Duration) {
        if self.lost > 0 {
            let lines = std::mem::take(&mut self.lost);
            self.emit(at, EventKind::PrintedLost { lines });
        }
    }

    pub(super) fn print(&mut self, at: Duration, worker: WorkerId, line: Bytes) {
        if self.printed.load(Ordering::Relaxed) >= MAX_PRINTED {
            self.lost += 1;
            return;
        }
        self.tell_lost(at);
        self.printed.fetch_add(1, Ordering::Relaxed);
        let kind = EventKind::WorkerPrinted { worker, line };
        self.emit(at, kind);
    }
}

pub(super) fn channel(scope: Scope) -> (EventSender, EventStream) {
    let (way, events) = turn::channel();
    let printed = Arc::new(AtomicUsize::new(0));
    let sender = EventSender {
        scope,
        way,
        events: Vec::new(),
        printed: Arc::clone(&printed),
        lost: 0,
    };
    (sender, EventStream { events, printed })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_reader_loses_printed_lines_is_told_so_and_nothing_else() {
        let (mut sender, mut stream) = channel(Scope::All);
        let print = |sender: &mut EventSender| {
            sender.print(Duration::ZERO, WorkerId(1), Bytes::from_static(b"x"));
        };
        (0..MAX_PRINTED + 3).for_each(|_| print(&mut sender));
        let ready = EventKind::WorkerReady {
            worker: WorkerId(1),
            slots: 1,
            host: None,
        };
        sender.emit(Duration::ZERO, ready);
        let room = Arc::new(Semaphore::new(0));
        sender.send(&room);
        for _ in 0..MAX_PRINTED {
            let event = stream.try_next().unwrap();
            assert!(matches!(event.kind, EventKind::WorkerPrinted { .. }));
        }
        let event = stream.try_next().unwrap();
        assert!(matches!(event.kind, EventKind::WorkerReady { .. }));
        assert!(stream.try_next().is_none());
        print(&mut sender);
        sender.send(&room);
        let event = stream.try_next().unwrap();
        assert!(matches!(event.kind, EventKind::PrintedLost { lines: 3 }));
        assert!(stream.try_next().is_some());
    }
}
