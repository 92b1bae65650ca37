//! What the driver learns from workers becomes inputs of the scheduler; what it
//! need not know, output and results, is put where it belongs.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use protocol::command::Command;
use protocol::{
    Answer, Attempt, Death, DoneHeader, Encoding, FromWorker, JobId, Outcome, Ready, Stream, Task,
    TaskError, ToWorker, WorkerId,
};
use tokio::task::{Id, JoinError};

use super::driver::{Driver, Note, State};
use super::entry::Entry;
use super::error::PoolError;
use super::event::EventKind;
use super::hired::{Dead, Hired, Tasks};
use super::job::WorkerDeath;
use super::log;
use super::news::{Ending, News, Order, StartFailure};
use super::{os, trouble};
use crate::scheduler::{Blame, Input, Size};

/// How long a host's name may be, in bytes.
const LONGEST_NAME: usize = 255;

/// The status of a shell whose last program has died of SIGKILL.
const KILLED: i32 = 128 + libc::SIGKILL;

impl Driver {
    pub(super) fn learn(&mut self, worker: WorkerId, news: News) {
        match news {
            News::Spawned { pid } => self.spawned(worker, pid),
            News::Ready(ready) => self.ready(worker, ready),
            News::Messages(messages) => {
                for message in messages {
                    self.hear(worker, message);
                }
            }
            News::Printed(lines) => lines
                .into_iter()
                .for_each(|line| self.printed(worker, line)),
            News::Prints => self.printing.wake(),
            News::WasStopped(job) => {
                if let Some(entry) = self.jobs.get_mut(&job) {
                    entry.traces().was_stopped = true;
                }
            }
            News::Violation(text) => {
                if let Some(hired) = self.workers.get_mut(&worker) {
                    hired.violation = Some(format!("broke the protocol: {text}"));
                }
                self.tell(Input::Violation { worker });
            }
            News::Leaving => self.tell(Input::Leaving { worker }),
            News::Closed => self.tell(Input::Closed { worker }),
            News::Gone(ending) => self.bury(worker, ending),
        }
    }

    /// A process has been started for it.
    fn spawned(&mut self, worker: WorkerId, pid: u32) {
        let (mut slot, mut host) = (0, None);
        if let Some(hired) = self.workers.get_mut(&worker) {
            hired.pid = pid;
            slot = hired.seat + 1;
            host = hired.host.clone();
        }
        if log::is_on() {
            self.log_spawned(worker, pid, slot);
        }
        self.emit(EventKind::WorkerSpawned {
            worker,
            pid,
            slot,
            host,
        });
    }

    /// It can be given jobs.
    fn ready(&mut self, worker: WorkerId, ready: Ready) {
        if self.deaths.one_is_ready() {
            self.state.send_if_modified(|state| {
                let first = matches!(state, State::Starting);
                if first {
                    *state = State::Ready(ready.tasks.iter().cloned().collect());
                }
                first
            });
        }
        let agent = |seat: usize| self.config.agents.get(seat);
        if let Some(hired) = self.workers.get_mut(&worker) {
            if agent(hired.seat).is_some_and(|agent| agent.learns_name)
                && let Some(name) = host_of(&ready.build)
            {
                hired.host = Some(Arc::from(name));
            }
            hired.tasks = Some(Tasks::new(ready.tasks));
            if let Some(host) = &hired.host {
                self.troubled.remove(host);
            } else if self.config.max_files_per_worker.is_some() {
                hired.files = os::open_files(hired.pid);
            }
            for frame in &self.blobs {
                hired.orders.send(Order::Say(frame.clone())).ok();
            }
            if self.winding_down {
                hired.orders.send(Order::Say(ToWorker::WindDown)).ok();
            }
        }
        if log::is_on() {
            self.log_ready(worker);
        }
        let slots = ready.slots;
        self.tell(Input::Ready { worker, slots });
        let host = self.workers.get(&worker).and_then(|w| w.host.clone());
        self.emit(EventKind::WorkerReady {
            worker,
            slots,
            host,
        });
    }

    /// A message about a job.
    fn hear(&mut self, worker: WorkerId, message: FromWorker) {
        match message {
            FromWorker::DoneMany(answers) => {
                for answer in answers {
                    self.answered(worker, answer);
                }
            }
            FromWorker::Started { job, attempt } => self.started(worker, job, attempt),
            FromWorker::Output {
                job: JobId::NONE,
                data,
                ..
            } => data
                .split(|&b| b == b'\n')
                .filter(|line| !line.is_empty())
                .for_each(|line| self.printed(worker, data.slice_ref(line))),
            FromWorker::Output {
                job,
                attempt,
                stream,
                data,
            } => {
                if self.scheduler.expects(worker, job, attempt) {
                    self.output(job, stream, &data);
                }
            }
            FromWorker::ResultChunk { job, attempt, data } => {
                if self.scheduler.expects(worker, job, attempt) {
                    self.result_chunk(worker, (job, attempt), data);
                }
            }
            FromWorker::Recalled(jobs) => {
                let input = Input::Recalled { worker, jobs };
                self.tell(input);
            }
            FromWorker::Progress {
                job,
                attempt,
                done,
                total,
            } => {
                if self.scheduler.expects(worker, job, attempt) {
                    if log::is_on() {
                        self.log_progress(job, done, total);
                    }
                    self.note(Note::Progress { job, done, total });
                    self.emit_of_job(|| EventKind::JobProgress { job, done, total });
                }
            }
            FromWorker::Omitted {
                job,
                attempt,
                stream,
                bytes,
            } => {
                if self.scheduler.expects(worker, job, attempt)
                    && let Some(entry) = self.jobs.get_mut(&job)
                {
                    entry.traces().omitted.add(stream, bytes);
                }
            }
            // The worker's actor deals with these.
            FromWorker::Ready(_)
            | FromWorker::Credit { .. }
            | FromWorker::Pong(_)
            | FromWorker::Ack(_)
            | FromWorker::Bye => {}
        }
    }

    /// A job runs for long enough that its worker says so.
    fn started(&mut self, worker: WorkerId, job: JobId, attempt: Attempt) {
        let input = Input::Started {
            worker,
            job,
            attempt,
        };
        if self.scheduler.expects(worker, job, attempt) {
            self.note(Note::Started(job));
        }
        if log::is_on() {
            self.log_started(job);
        }
        self.tell(input);
        self.emit_of_job(|| EventKind::JobStarted { job, attempt });
    }

    fn answered(&mut self, worker: WorkerId, answer: Answer) {
        let DoneHeader {
            job,
            attempt,
            outcome,
            usage,
        } = answer.header;
        let took = Duration::from_micros(usage.wall_us);
        let config = &self.config;
        let weighs = config.max_rss_per_worker.is_some() || config.max_files_per_worker.is_some();
        let agents = !config.agents.is_empty();
        let of_agent = agents && self.workers.get(&worker).is_some_and(|w| w.host.is_some());
        if of_agent && outcome != Outcome::Ok {
            return self.agent_answered(worker, answer);
        }
        // An agent sees to its own workers.
        let weighs = weighs && !of_agent;
        if outcome == Outcome::Ok && !weighs {
            let now = self.counted_now();
            if self.scheduler.done_well(now, worker, (job, attempt), took) {
                self.deaths.job_done();
                self.answers.push_back((job, usage, answer.payload));
            }
            return;
        }
        let mut size = Size::default();
        if self.scheduler.expects(worker, job, attempt)
            && let Some(entry) = self.jobs.get_mut(&job)
        {
            self.deaths.job_done();
            match outcome {
                // One that its limit has ended says so.
                Outcome::Signaled(libc::SIGKILL) if answer.payload.is_empty() => {
                    entry.traces().out_of_memory = self.oom_kills.explain_death(self.now);
                }
                // A shell speaks of a program of its own; that is no other's death.
                Outcome::Failed(KILLED) => {
                    self.oom_kills.explain_death(self.now);
                }
                _ => {}
            }
            self.answers.push_back((job, usage, answer.payload));
            // What a command used says nothing about its worker.
            if weighs && entry.errand.task != Command::NAME {
                size = self.weigh(worker, usage.max_rss_kib);
            }
        }
        self.tell(Input::Done {
            worker,
            job,
            attempt,
            outcome,
            took,
            size,
        });
    }

    /// What only agents say is about a worker of theirs.
    fn agent_answered(&mut self, worker: WorkerId, answer: Answer) {
        let DoneHeader {
            job,
            attempt,
            outcome,
            usage,
        } = answer.header;
        if self.scheduler.expects(worker, job, attempt)
            && outcome != Outcome::Lost
            && let Some(entry) = self.jobs.get_mut(&job)
        {
            self.deaths.job_done();
            if outcome.is_of_agents() {
                let death: Death = Encoding::Bincode
                    .decode(&answer.payload)
                    .unwrap_or_default();
                let traces = entry.traces();
                traces.error = Some(TaskError::new(death.message));
                traces.death = Some(Arc::new(WorkerDeath {
                    exit_code: death.exit_code,
                    signal: death.signal,
                    stderr: String::from_utf8_lossy(&death.stderr).into_owned(),
                }));
            }
            self.answers.push_back((job, usage, answer.payload));
        }
        self.tell(Input::Done {
            worker,
            job,
            attempt,
            outcome,
            took: Duration::from_micros(usage.wall_us),
            size: Size::default(),
        });
    }

    /// How large a worker is, as far as somebody wants to know.
    fn weigh(&self, worker: WorkerId, said_kib: u64) -> Size {
        let Some(hired) = self.workers.get(&worker) else {
            return Size::default();
        };
        let rss = self.config.max_rss_per_worker;
        let more = |before: u64| Some(os::open_files(hired.pid)?.saturating_sub(before));
        Size {
            rss: rss.map_or(0, |limit| rss_of(hired, said_kib, limit)),
            files: hired.files.and_then(more).unwrap_or_default(),
        }
    }

    fn output(&mut self, job: JobId, stream: Stream, data: &[u8]) {
        let Some(entry) = self.jobs.get_mut(&job) else {
            return;
        };
        let capture = match stream {
            Stream::Stdout => &mut entry.traces().stdout,
            Stream::Stderr => &mut entry.traces().stderr,
        };
        if let Err(e) = capture.push(&self.spill, data) {
            self.failure.get_or_insert(PoolError::Spill(Arc::new(e)));
            self.tell(Input::Hopeless);
        }
    }

    fn result_chunk(&mut self, worker: WorkerId, (job, attempt): (JobId, Attempt), data: Bytes) {
        let limit = self.config.max_payload;
        let traces = self.jobs.get_mut(&job).map(Entry::traces);
        match traces {
            Some(traces) if (traces.result.len() + data.len()) as u64 <= limit => {
                traces.result.push(data);
                let credit = ToWorker::Credit {
                    job,
                    attempt,
                    chunks: 1,
                };
                self.order(worker, Order::Say(credit));
            }
            _ => self.tell(Input::Violation { worker }),
        }
    }

    fn bury(&mut self, worker: WorkerId, mut ending: Ending) {
        if ending.killed && self.oom_kills.explain_death(self.now) {
            ending.how = "was killed by the kernel's out-of-memory killer".into();
            ending.out_of_memory = true;
        }
        // One that was abandoned is nobody's business any more.
        let Some(hired) = self.workers.remove(&worker) else {
            return;
        };
        // One that was asked to do its jobs and end had better do them first.
        let unasked = !hired.asked_to_end || self.scheduler.holds_jobs(worker);
        // One that has said goodbye has given them back.
        let unexpected = unasked && !(ending.bye && ending.status.0 == Some(0));
        self.counted.workers_died += u64::from(unexpected);
        let mut how = hired.violation.unwrap_or_else(|| ending.how.clone());
        if let Some(host) = &hired.host
            && unexpected
        {
            let trouble = trouble::what(&how, &ending);
            self.tell_trouble(host, &trouble, ending.start.is_none());
            how = trouble;
        }
        if log::is_on() {
            self.log_gone(worker, unexpected.then_some(&*how));
        }
        self.emit(EventKind::WorkerEnded {
            worker,
            unexpected: unexpected.then(|| Arc::from(how.as_str())),
        });
        // Before the seat gets another one.
        let host = hired.host.as_ref();
        let described = (hired.timed_out, host.map(|host| (&**host, &*how)));
        if unasked && self.deaths.note(&self.config, described, &ending) {
            self.tell(Input::Hopeless);
        }
        if ending.start.as_ref().is_some_and(StartFailure::may_pass) {
            self.tell(Input::Refused { worker });
        } else {
            let blame = ending.blame;
            self.tell(Input::Gone { worker, blame });
        }
        // The verdicts that follow from this death name its cause.
        let (exit_code, signal) = ending.status;
        let stderr = ending.stderr;
        if let Some(host) = &hired.host {
            how = format!("on {host} {how}");
        }
        self.dead = Some(Dead {
            worker,
            host: hired.host,
            death: Arc::new(WorkerDeath {
                exit_code,
                signal,
                stderr,
            }),
        });
        self.how = how;
        self.out_of_memory = ending.out_of_memory;
        self.act();
        self.how.clear();
        self.dead = None;
        self.out_of_memory = false;
    }

    /// One line for each thing that is wrong with a host, until it is well again.
    fn tell_trouble(&mut self, host: &Arc<str>, what: &str, was_ready: bool) {
        let known = self
            .troubled
            .get(host)
            .is_some_and(|known| **known == *what);
        if known {
            return;
        }
        let what: Arc<str> = Arc::from(what);
        if !was_ready {
            self.troubled.insert(Arc::clone(host), Arc::clone(&what));
        }
        self.emit(EventKind::HostTrouble {
            host: Arc::clone(host),
            what,
            was_ready,
        });
    }

    /// An actor says `Gone` before it ends, unless it panicked.
    pub(super) fn actor_ended(&mut self, end: Result<(Id, ()), JoinError>) {
        let id = match &end {
            Ok((id, ())) => *id,
            Err(e) => e.id(),
        };
        let worker = self.actor_ids.remove(&id);
        if let (Err(e), Some(worker)) = (end, worker)
            && self.workers.contains_key(&worker)
        {
            let ending = Ending {
                blame: match self.workers.get(&worker).map(|hired| hired.host.is_some()) {
                    Some(true) => Blame::Running,
                    _ => Blame::Oldest,
                },
                how: format!("was lost: {e}"),
                status: (None, None),
                bye: false,
                out_of_memory: false,
                killed: false,
                stderr: String::new(),
                start: None,
            };
            self.bury(worker, ending);
        }
    }
}

/// How large a worker has been, in bytes, by what it says. A process inherits that
/// figure from the one that started it, so when it may be this one's, the kernel is
/// asked.
fn rss_of(hired: &Hired, said_kib: u64, limit: u64) -> u64 {
    let said = said_kib.saturating_mul(1024);
    if said <= limit || said_kib > os::own_peak_kib() {
        return said;
    }
    os::peak_kib(hired.pid).map_or(said, |kib| kib.saturating_mul(1024))
}

/// Where an agent says that it is, if that is a name: it goes into tables and to terminals.
fn host_of(build: &str) -> Option<&str> {
    let (_, name) = build.split_once(" on ")?;
    let is_name = name.len() <= LONGEST_NAME && name.bytes().all(|byte| byte.is_ascii_graphic());
    Some(name).filter(|name| is_name && !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_a_name_is_one() {
        let said = |name: &str| format!("orchestrator agent 0.1.0 on {name}");
        assert_eq!(host_of(&said("n1.cluster")), Some("n1.cluster"));
        let long = "n".repeat(LONGEST_NAME + 1);
        for name in ["", "a b", "a\tb", "a\nb", "\u{1b}[31m", "\u{202e}n", &long] {
            assert_eq!(host_of(&said(name)), None, "{name:?}");
        }
        assert_eq!(host_of("orchestrator agent 0.1.0"), None);
    }
}
