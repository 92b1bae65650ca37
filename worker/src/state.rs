//! One connection's state and what each message does to it. No I/O and no
//! clock here: messages go in, frames pile up in the [`Outbox`], and
//! [`State::next`] says what the computing thread should do.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::{Bytes, BytesMut};
use protocol::{
    Answer, Assignment, Attempt, CREDIT, FromWorker, Hello, JobHeader, JobId, LinkKind, MAX_CHUNK,
    Outcome, Parts, Ready, ToWorker,
};

use crate::outbox::{Outbox, not_run};

/// Which try at which job.
pub(crate) type Key = (JobId, Attempt);

/// Why no more messages will be obeyed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// The orchestrator said goodbye.
    Bye,
    /// The orchestrator is gone: end of input, or nobody reads us.
    Gone,
    /// It sent something that makes no sense.
    Violation(String),
}

/// What the computing thread should do next.
#[derive(Debug)]
pub(crate) enum Step {
    /// Run this job, whose input is complete.
    Run(JobHeader, Parts),
    /// Wait for messages.
    Wait,
    /// All work is done, and no more was to come.
    Drained,
    /// The connection has ended.
    End(End),
}

pub(crate) struct State {
    pub(crate) outbox: Outbox,
    /// Set when the current job shall stop; read without the lock by the job.
    pub(crate) cancelled: Arc<AtomicBool>,
    /// Set when no jobs come any more but those that are in the pool; read
    /// without the lock by the job.
    pub(crate) winding_down: Arc<AtomicBool>,
    pub(crate) paused: bool,
    pub(crate) end: Option<End>,
    /// A watcher has taken over the running job's connection.
    pub(crate) taken: bool,
    /// The watcher waits to be woken.
    pub(crate) parked: bool,
    ready: Ready,
    hello: Option<Hello>,
    init: Option<Bytes>,
    queue: VecDeque<Queued>,
    /// The newest job that ever came: what is newer still cannot be held.
    newest: Key,
    /// The job that runs, or whose result is being sent.
    current: Option<Key>,
    /// How many chunks of its result may still be sent.
    result_credit: u32,
    draining: bool,
    blobs: HashMap<u64, Blob>,
    /// Frames with jobs so far, for acknowledgements.
    job_frames: u64,
}

/// A job that has not started.
struct Queued {
    header: JobHeader,
    /// As much of it as has come.
    input: Parts,
    /// Chunks that have come and have not been credited.
    uncredited: u32,
}

#[derive(Default)]
struct Blob {
    data: Bytes,
    more: BytesMut,
}

impl State {
    pub(crate) fn new(ready: Ready, outbox: Outbox) -> State {
        State {
            outbox,
            cancelled: Arc::default(),
            winding_down: Arc::default(),
            paused: false,
            end: None,
            taken: false,
            parked: false,
            ready,
            hello: None,
            init: None,
            queue: VecDeque::new(),
            newest: (JobId::NONE, Attempt(0)),
            current: None,
            result_credit: 0,
            draining: false,
            blobs: HashMap::new(),
            job_frames: 0,
        }
    }

    /// The orchestrator's introduction. Jobs exist only after it.
    pub(crate) fn hello(&self) -> Option<&Hello> {
        self.hello.as_ref()
    }

    pub(crate) fn init(&self) -> Option<Bytes> {
        self.init.clone()
    }

    pub(crate) fn blob(&self, hash: u64) -> Option<Bytes> {
        let blob = self.blobs.get(&hash)?;
        blob.more.is_empty().then(|| blob.data.clone())
    }

    pub(crate) fn current(&self) -> Option<Key> {
        self.current
    }

    /// The first reason to end stays the reason; only the orchestrator's
    /// disappearance after its goodbye is news.
    pub(crate) fn end_with(&mut self, end: End) {
        match (&self.end, &end) {
            (None, _) | (Some(End::Bye), End::Gone) => self.end = Some(end),
            (Some(_), _) => {}
        }
    }

    /// Obeys one message.
    pub(crate) fn handle(&mut self, message: ToWorker) {
        if self.end.is_some() {
            return;
        }
        if let Err(reason) = self.obey(message) {
            self.end_with(End::Violation(reason));
        }
    }

    fn obey(&mut self, message: ToWorker) -> Result<(), String> {
        if self.hello.is_none() && !matches!(message, ToWorker::Hello(_)) {
            return Err("the first message is not hello".into());
        }
        match message {
            ToWorker::Hello(hello) => self.greet(hello)?,
            ToWorker::Init(data) => {
                let announced = self.hello.as_ref().is_some_and(|h| h.init);
                if !announced || self.init.is_some() || self.job_frames > 0 {
                    return Err("init comes once, as announced, and before any job".into());
                }
                self.init = Some(data);
            }
            ToWorker::Blob { hash, data, more } => self.store(hash, data, more),
            ToWorker::RunMany(jobs) => self.enqueue(jobs)?,
            ToWorker::RunManyWith(..) | ToWorker::Resize(_) => {
                return Err("only an agent is told that".into());
            }
            ToWorker::InputChunk { job, attempt, data } => self.append((job, attempt), data)?,
            ToWorker::Credit {
                job,
                attempt,
                chunks,
            } => {
                if self.current == Some((job, attempt)) {
                    self.result_credit = self.result_credit.saturating_add(chunks).min(CREDIT);
                }
            }
            ToWorker::Cancel { job, attempt } => self.cancel((job, attempt)),
            ToWorker::Recall(keys) => self.recall(&keys),
            ToWorker::Pause => self.paused = true,
            ToWorker::Resume => self.paused = false,
            ToWorker::Drain => {
                self.draining = true;
                self.winding_down.store(true, Ordering::Relaxed);
            }
            ToWorker::WindDown => self.winding_down.store(true, Ordering::Relaxed),
            ToWorker::Ping(n) => self.outbox.send_now(&FromWorker::Pong(n)),
            // Nothing here depends on how far the other side has read.
            ToWorker::Ack(_) => {}
            ToWorker::Bye => self.end_with(End::Bye),
        }
        Ok(())
    }

    fn greet(&mut self, hello: Hello) -> Result<(), String> {
        if self.hello.is_some() {
            return Err("hello comes only once".into());
        }
        self.hello = Some(hello);
        Ok(())
    }

    /// Whether everything is here that the worker's own start may need.
    pub(crate) fn may_start(&self) -> bool {
        self.hello
            .as_ref()
            .is_some_and(|hello| !hello.init || self.init.is_some())
    }

    /// The worker's own start is over: jobs may come.
    pub(crate) fn started(&mut self) {
        self.outbox.send_now(&FromWorker::Ready(self.ready.clone()));
    }

    fn store(&mut self, hash: u64, data: Bytes, more: bool) {
        let blob = self.blobs.entry(hash).or_default();
        if more || !blob.more.is_empty() {
            blob.more.extend_from_slice(&data);
        } else {
            blob.data = data;
        }
        if !more && !blob.more.is_empty() {
            blob.data = std::mem::take(&mut blob.more).freeze();
        }
    }

    fn enqueue(&mut self, jobs: Vec<Assignment>) -> Result<(), String> {
        if self.draining {
            return Err("jobs come after drain".into());
        }
        for Assignment { header, input } in jobs {
            let key = (header.job, header.attempt);
            let wrong = if header.job == JobId::NONE {
                "does not exist"
            } else if input.len() as u64 > header.input_len {
                "has more input than it announced"
            } else if self.holds(key) {
                "is assigned although it is held"
            } else {
                self.newest = self.newest.max(key);
                self.queue.push_back(Queued {
                    header,
                    input: Parts::from(input).of(header.input_len),
                    uncredited: 0,
                });
                continue;
            };
            // The end of the link: those before it do not matter any more.
            return Err(format!("job {} {wrong}", header.job));
        }
        self.job_frames += 1;
        let hello = self.hello.as_ref();
        if hello.is_some_and(|h| h.link == LinkKind::Remote) {
            self.outbox.send_now(&FromWorker::Ack(self.job_frames));
        }
        Ok(())
    }

    /// Whether a job is queued here, or is the current one. Most are newer than
    /// all before them.
    fn holds(&self, key: Key) -> bool {
        let here = || self.current == Some(key) || self.queue.iter().any(|q| q.key() == key);
        key <= self.newest && here()
    }

    fn append(&mut self, key: Key, data: Bytes) -> Result<(), String> {
        // A job that has been cancelled or recalled may have had chunks on the
        // way: those have nowhere to go, and nobody waits for their credit.
        let Some(queued) = self.queue.iter_mut().find(|q| q.key() == key) else {
            return Ok(());
        };
        if data.len() > MAX_CHUNK || queued.missing() < data.len() as u64 {
            return Err(format!("job {} has more input than it announced", key.0));
        }
        if queued.uncredited == CREDIT {
            return Err(format!("job {} has more chunks than credit", key.0));
        }
        queued.input.push(data);
        queued.uncredited += 1;
        Ok(())
    }

    fn cancel(&mut self, key: Key) {
        if self.current == Some(key) {
            self.cancelled.store(true, Ordering::Relaxed);
            return;
        }
        let Some(at) = self.queue.iter().position(|q| q.key() == key) else {
            return;
        };
        if let Some(queued) = self.queue.remove(at) {
            self.outbox.answer(&Answer {
                header: not_run(&queued.header, Outcome::Cancelled),
                payload: Bytes::new(),
            });
        }
    }

    fn recall(&mut self, keys: &[Key]) {
        let keys: HashSet<&Key> = keys.iter().collect();
        let mut recalled = Vec::new();
        self.queue.retain(|queued| {
            let wanted = keys.contains(&queued.key());
            if wanted {
                recalled.push(queued.key());
            }
            !wanted
        });
        self.outbox.send_now(&FromWorker::Recalled(recalled));
    }

    /// What to do now. A job that is to be run is the current one from here on.
    pub(crate) fn next(&mut self) -> Step {
        if let Some(end) = &self.end {
            return Step::End(end.clone());
        }
        let Some(front) = self.queue.front_mut().filter(|_| !self.paused) else {
            return if self.draining && self.queue.is_empty() {
                Step::Drained
            } else {
                Step::Wait
            };
        };
        if front.missing() > 0 {
            // Its turn has come: now, and not before, more of it may come.
            if front.uncredited > 0 {
                let (job, attempt) = front.key();
                let chunks = std::mem::take(&mut front.uncredited);
                self.outbox.send_now(&FromWorker::Credit {
                    job,
                    attempt,
                    chunks,
                });
            }
            return Step::Wait;
        }
        let Some(job) = self.queue.pop_front() else {
            return Step::Wait;
        };
        self.current = Some(job.key());
        self.cancelled.store(false, Ordering::Relaxed);
        Step::Run(job.header, job.input)
    }

    /// Whether there are jobs behind the current one.
    pub(crate) fn has_more(&self) -> bool {
        !self.queue.is_empty()
    }

    /// The current job is over.
    pub(crate) fn finish(&mut self, answer: &Answer) {
        self.current = None;
        self.outbox.answer(answer);
    }

    /// The current job's result is about to be sent in chunks. From here on a
    /// cancellation means that nobody wants the rest.
    pub(crate) fn begin_result(&mut self) {
        self.result_credit = CREDIT;
        self.cancelled.store(false, Ordering::Relaxed);
    }

    /// Begins to send one chunk of the current job's result if there is credit for
    /// it: the chunk itself has to follow at once.
    pub(crate) fn begin_chunk(&mut self, chunk: &Bytes) -> bool {
        let (Some((job, attempt)), 1..) = (self.current, self.result_credit) else {
            return false;
        };
        self.result_credit -= 1;
        self.outbox.send_head(&FromWorker::ResultChunk {
            job,
            attempt,
            data: chunk.clone(),
        });
        true
    }
}

impl Queued {
    fn key(&self) -> Key {
        (self.header.job, self.header.attempt)
    }

    fn missing(&self) -> u64 {
        let here = self.input.len() as u64;
        self.header.input_len.saturating_sub(here)
    }
}

#[cfg(test)]
mod tests;
