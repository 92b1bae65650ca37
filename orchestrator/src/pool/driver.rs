//! THE loop: turns what happens into scheduler inputs, and what the scheduler
//! decides into orders, replies and events.
//!
//! Three steps per turn: wait for commands, news or the next deadline; let the
//! scheduler see all of it; act. No step decides anything that the scheduler
//! could decide, and none but the first waits.

use std::collections::HashMap;
use std::hash::BuildHasherDefault;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use protocol::{
    Answer, Assignment, Attempt, DoneHeader, Encoding, FromWorker, JobHeader, JobId, Outcome,
    Stream, TaskError, ToWorker, Usage, WorkerId,
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch};
use tokio::task::{Id, JoinError, JoinSet};

use super::PoolConfig;
use super::clock::Clock;
use super::deaths::Deaths;
use super::error::PoolError;
use super::event::{EventKind, EventSender};
use super::job::{Job, JobReport};
use super::process::{self, Ending, News, NewsSender, Order};
use super::spill::{Capture, Payload, Spill};
use crate::scheduler::{Action, Blame, IdHasher, Input, Scheduler, SchedulerConfig, Verdict};

/// What the handles ask of the driver. The channel is unbounded: submissions
/// are bounded by the room in the pool, cancels by the handles that exist.
#[derive(Debug)]
pub(super) enum Command {
    Submit(Box<Submission>),
    Cancel(JobId),
    /// No more jobs will come.
    Drain,
    /// End now.
    Stop,
}

#[derive(Debug)]
pub(super) struct Submission {
    pub(super) id: JobId,
    pub(super) job: Job,
    pub(super) reply: Reply,
    pub(super) room: OwnedSemaphorePermit,
}

/// Where a job's report goes.
#[derive(Debug)]
pub(super) enum Reply {
    One(oneshot::Sender<JobReport>),
    Shared(mpsc::UnboundedSender<JobReport>),
}

/// What all handles can see.
#[derive(Clone, Debug)]
pub(super) enum State {
    /// No worker was ready yet.
    Starting,
    /// These are the tasks of the first worker that was ready.
    Ready(Arc<[String]>),
    /// The pool takes no more jobs, for this reason.
    Over(PoolError),
}

/// A job that has no verdict yet.
struct Entry {
    job: Job,
    reply: Reply,
    room: OwnedSemaphorePermit,
    sent: Option<Duration>,
    stdout: Capture,
    stderr: Capture,
    /// The parts of a large result that have come.
    result: BytesMut,
    answer: Option<(DoneHeader, Bytes)>,
    error: Option<TaskError>,
}

/// A worker that has not been reaped.
struct Hired {
    orders: mpsc::UnboundedSender<Order>,
    /// Its tasks, once it is ready.
    tasks: Option<HashMap<String, u32>>,
    /// Whether it was killed before it was ready.
    timed_out: bool,
    /// Whether its end was wanted.
    asked_to_end: bool,
}

type ById<K, V> = HashMap<K, V, BuildHasherDefault<IdHasher>>;

pub(super) struct Driver {
    config: Arc<PoolConfig>,
    clock: Clock,
    scheduler: Scheduler,
    commands: mpsc::UnboundedReceiver<Command>,
    news: mpsc::Receiver<(WorkerId, News)>,
    news_sender: NewsSender,
    workers: ById<WorkerId, Hired>,
    actors: JoinSet<()>,
    actor_ids: HashMap<Id, WorkerId>,
    jobs: ById<JobId, Entry>,
    /// Jobs for one worker, collected while actions are taken.
    outbox: Option<(WorkerId, Vec<Assignment>)>,
    events: Option<EventSender>,
    state: watch::Sender<State>,
    room: Arc<Semaphore>,
    spill: Arc<Spill>,
    /// Where results are kept that nobody has taken.
    results: Arc<Spill>,
    /// Why the pool is broken.
    failure: Option<PoolError>,
    /// How workers died that nobody wanted dead.
    deaths: Deaths,
    /// How the worker died that is being dealt with.
    how: String,
    ended: bool,
}

/// What the handles share with the driver.
pub(super) struct Shared {
    pub(super) config: Arc<PoolConfig>,
    pub(super) commands: mpsc::UnboundedReceiver<Command>,
    pub(super) events: Option<EventSender>,
    pub(super) state: watch::Sender<State>,
    pub(super) room: Arc<Semaphore>,
    pub(super) spill: Arc<Spill>,
}

/// What a turn of the loop is about.
enum Turn {
    Commands(usize),
    News,
    ActorEnded(Result<(Id, ()), JoinError>),
    Tick,
}

/// How many commands or news are taken in one turn.
const TURN: usize = 1024;

impl Driver {
    pub(super) fn new(shared: Shared) -> Driver {
        let clock = Clock::start();
        let config = &shared.config;
        let scheduler = Scheduler::new(
            SchedulerConfig {
                workers: config.workers,
                ahead: config.ahead,
                start_timeout: config.start_timeout,
                start_attempts: config.start_attempts,
                backoff: config.backoff,
                backoff_max: config.backoff_max,
                grace: config.grace,
            },
            clock.now(),
        );
        // A few batches per worker: enough that none waits for a turn.
        let (news_sender, news) = mpsc::channel(64);
        Driver {
            results: Spill::new(shared.config.result_memory),
            config: shared.config,
            clock,
            scheduler,
            commands: shared.commands,
            news,
            news_sender,
            workers: ById::default(),
            actors: JoinSet::new(),
            actor_ids: HashMap::new(),
            jobs: ById::default(),
            outbox: None,
            events: shared.events,
            state: shared.state,
            room: shared.room,
            spill: shared.spill,
            failure: None,
            deaths: Deaths::default(),
            how: String::new(),
            ended: false,
        }
    }

    /// Runs until every job has its verdict and every worker is reaped.
    ///
    /// # Errors
    /// Why the pool was broken, if it was.
    pub(super) async fn run(mut self) -> Result<(), PoolError> {
        let mut commands = Vec::new();
        let mut news = Vec::new();
        let mut open = true;
        self.act();
        while !self.ended {
            let deadline = self.scheduler.next_deadline();
            // Cancel-safe: `recv_many` and `join_next_with_id` take nothing
            // unless they return.
            let turn = tokio::select! {
                biased;
                _ = self.news.recv_many(&mut news, TURN) => Turn::News,
                n = self.commands.recv_many(&mut commands, TURN), if open => Turn::Commands(n),
                Some(end) = self.actors.join_next_with_id() => Turn::ActorEnded(end),
                () = self.clock.sleep_until(deadline), if deadline.is_some() => Turn::Tick,
            };
            let now = self.clock.now();
            match turn {
                Turn::Commands(0) => {
                    // The pool was dropped.
                    open = false;
                    self.stop(now);
                }
                Turn::Commands(_) => commands.drain(..).for_each(|c| self.obey(now, c)),
                Turn::News => news.drain(..).for_each(|(id, n)| self.learn(now, id, n)),
                Turn::ActorEnded(end) => self.actor_ended(now, end),
                Turn::Tick => self.scheduler.handle(now, Input::Tick),
            }
            self.act();
        }
        while self.actors.join_next().await.is_some() {}
        if let Some(events) = &mut self.events {
            events.tell_lost(self.clock.now());
        }
        let end = self.failure.clone();
        self.close(end.clone().unwrap_or(PoolError::Closed));
        end.map_or(Ok(()), Err)
    }

    fn obey(&mut self, now: Duration, command: Command) {
        match command {
            Command::Submit(submission) => {
                let Submission {
                    id,
                    job,
                    reply,
                    room,
                } = *submission;
                let entry = Entry {
                    job,
                    reply,
                    room,
                    sent: None,
                    stdout: Capture::default(),
                    stderr: Capture::default(),
                    result: BytesMut::new(),
                    answer: None,
                    error: None,
                };
                self.jobs.insert(id, entry);
                self.scheduler.handle(now, Input::Submit { job: id });
            }
            Command::Cancel(job) => self.scheduler.handle(now, Input::Cancel { job }),
            Command::Drain => {
                self.close(PoolError::Closed);
                self.scheduler.handle(now, Input::Drain);
            }
            Command::Stop => self.stop(now),
        }
    }

    fn stop(&mut self, now: Duration) {
        self.close(PoolError::Closed);
        self.scheduler.handle(now, Input::Stop);
    }

    /// No more jobs are taken, for this reason; the first one stands.
    fn close(&self, why: PoolError) {
        self.room.close();
        self.state.send_if_modified(|state| {
            let first = !matches!(state, State::Over(_));
            if first {
                *state = State::Over(why);
            }
            first
        });
    }

    fn learn(&mut self, now: Duration, worker: WorkerId, news: News) {
        match news {
            News::Spawned { pid } => self.emit(now, EventKind::WorkerSpawned { worker, pid }),
            News::Ready(ready) => {
                if self.deaths.one_is_ready() {
                    self.state.send_if_modified(|state| {
                        let first = matches!(state, State::Starting);
                        if first {
                            *state = State::Ready(ready.tasks.iter().cloned().collect());
                        }
                        first
                    });
                }
                if let Some(hired) = self.workers.get_mut(&worker) {
                    hired.tasks = Some((0..).zip(ready.tasks).map(|(n, t)| (t, n)).collect());
                }
                let slots = ready.slots;
                self.scheduler.handle(now, Input::Ready { worker, slots });
                self.emit(now, EventKind::WorkerReady { worker });
            }
            News::Messages(messages) => {
                for message in messages {
                    self.hear(now, worker, message);
                }
            }
            News::Printed(lines) => lines
                .into_iter()
                .for_each(|line| self.printed(now, worker, line)),
            News::Violation(text) => {
                self.how = format!("broke the protocol: {text}");
                self.scheduler.handle(now, Input::Violation { worker });
            }
            News::Leaving => self.scheduler.handle(now, Input::Leaving { worker }),
            News::Closed => self.scheduler.handle(now, Input::Closed { worker }),
            News::Gone(ending) => self.bury(now, worker, ending),
        }
    }

    /// A message about a job.
    fn hear(&mut self, now: Duration, worker: WorkerId, message: FromWorker) {
        match message {
            FromWorker::DoneMany(answers) => {
                for answer in answers {
                    self.answered(now, worker, answer);
                }
            }
            FromWorker::Started { job, attempt } => {
                let input = Input::Started {
                    worker,
                    job,
                    attempt,
                };
                self.scheduler.handle(now, input);
                self.emit(now, EventKind::JobStarted { job, attempt });
            }
            FromWorker::Output {
                job: JobId::NONE,
                data,
                ..
            } => data
                .split(|&b| b == b'\n')
                .filter(|line| !line.is_empty())
                .for_each(|line| self.printed(now, worker, data.slice_ref(line))),
            FromWorker::Output {
                job,
                attempt,
                stream,
                data,
            } => {
                if self.scheduler.expects(worker, job, attempt) {
                    self.output(now, job, stream, &data);
                }
            }
            FromWorker::ResultChunk { job, attempt, data } => {
                if self.scheduler.expects(worker, job, attempt) {
                    self.result_chunk(now, worker, (job, attempt), &data);
                }
            }
            FromWorker::Recalled(jobs) => {
                let input = Input::Recalled { worker, jobs };
                self.scheduler.handle(now, input);
            }
            FromWorker::Progress {
                job,
                attempt,
                done,
                total,
            } => {
                if self.scheduler.expects(worker, job, attempt) {
                    self.emit(now, EventKind::JobProgress { job, done, total });
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

    fn answered(&mut self, now: Duration, worker: WorkerId, answer: Answer) {
        let DoneHeader {
            job,
            attempt,
            outcome,
            usage,
        } = answer.header;
        if self.scheduler.expects(worker, job, attempt)
            && let Some(entry) = self.jobs.get_mut(&job)
        {
            self.deaths.job_done();
            entry.answer = Some((answer.header, answer.payload));
        }
        self.scheduler.handle(
            now,
            Input::Done {
                worker,
                job,
                attempt,
                outcome,
                took: Duration::from_micros(usage.wall_us),
            },
        );
    }

    fn output(&mut self, now: Duration, job: JobId, stream: Stream, data: &[u8]) {
        let Some(entry) = self.jobs.get_mut(&job) else {
            return;
        };
        let capture = match stream {
            Stream::Stdout => &mut entry.stdout,
            Stream::Stderr => &mut entry.stderr,
        };
        if let Err(e) = capture.push(&self.spill, data) {
            self.failure.get_or_insert(PoolError::Spill(Arc::new(e)));
            self.scheduler.handle(now, Input::Hopeless);
        }
    }

    fn result_chunk(
        &mut self,
        now: Duration,
        worker: WorkerId,
        (job, attempt): (JobId, Attempt),
        data: &[u8],
    ) {
        let limit = self.config.max_payload;
        match self.jobs.get_mut(&job) {
            Some(entry) if (entry.result.len() + data.len()) as u64 <= limit => {
                entry.result.extend_from_slice(data);
                let credit = ToWorker::Credit {
                    job,
                    attempt,
                    chunks: 1,
                };
                self.order(worker, Order::Say(credit));
            }
            _ => self.scheduler.handle(now, Input::Violation { worker }),
        }
    }

    fn bury(&mut self, now: Duration, worker: WorkerId, ending: Ending) {
        let hired = self.workers.remove(&worker);
        let timed_out = hired.as_ref().is_some_and(|h| h.timed_out);
        let expected = hired.is_some_and(|h| h.asked_to_end);
        let unexpected = (!expected).then(|| Arc::from(ending.how.as_str()));
        self.emit(now, EventKind::WorkerEnded { worker, unexpected });
        // Before the seat gets another one.
        if !expected && self.deaths.note(&self.config, timed_out, &ending) {
            self.scheduler.handle(now, Input::Hopeless);
        }
        if !self.how.starts_with("broke") {
            self.how = ending.how;
        }
        let blame = ending.blame;
        self.scheduler.handle(now, Input::Gone { worker, blame });
        // The verdicts that follow from this death name its cause.
        self.act();
        self.how.clear();
    }

    /// An actor says `Gone` before it ends, unless it panicked.
    fn actor_ended(&mut self, now: Duration, end: Result<(Id, ()), JoinError>) {
        let id = match &end {
            Ok((id, ())) => *id,
            Err(e) => e.id(),
        };
        let worker = self.actor_ids.remove(&id);
        if let (Err(e), Some(worker)) = (end, worker)
            && self.workers.contains_key(&worker)
        {
            let ending = Ending {
                blame: Blame::Oldest,
                how: format!("was lost: {e}"),
                stderr: String::new(),
                start: None,
            };
            self.bury(now, worker, ending);
        }
    }

    /// Does what the scheduler has decided.
    fn act(&mut self) {
        let now = self.clock.now();
        while let Some(action) = self.scheduler.poll_action() {
            match action {
                Action::Send {
                    worker,
                    job,
                    attempt,
                } => self.send(now, worker, job, attempt),
                Action::Verdict {
                    job,
                    verdict,
                    worker,
                    attempts,
                } => self.conclude(now, job, verdict, worker, attempts),
                Action::Spawn { worker } => self.hire(worker),
                Action::Cancel {
                    worker,
                    job,
                    attempt,
                } => self.order(worker, Order::Say(ToWorker::Cancel { job, attempt })),
                Action::Recall { worker, jobs } => {
                    self.order(worker, Order::Say(ToWorker::Recall(jobs)));
                }
                Action::Drain { worker } => self.end(worker, Order::Say(ToWorker::Drain)),
                Action::Close { worker } => self.end(worker, Order::Close),
                Action::Kill { worker } => {
                    if let Some(hired) = self.workers.get_mut(&worker) {
                        hired.timed_out = hired.tasks.is_none();
                    }
                    self.order(worker, Order::Kill);
                }
                Action::Broken => {
                    let why = self.failure.take().or(self.deaths.last());
                    let why = why.unwrap_or(PoolError::Closed);
                    self.close(why.clone());
                    self.failure = Some(why);
                }
                Action::Ended => self.ended = true,
            }
        }
        self.flush();
        #[cfg(debug_assertions)]
        self.scheduler.check();
    }

    fn hire(&mut self, worker: WorkerId) {
        let (orders, actor) =
            process::hire(worker, Arc::clone(&self.config), self.news_sender.clone());
        let hired = Hired {
            orders,
            tasks: None,
            timed_out: false,
            asked_to_end: false,
        };
        self.workers.insert(worker, hired);
        let id = self.actors.spawn(actor).id();
        self.actor_ids.insert(id, worker);
    }

    /// Gives an order, after the jobs that were collected before it.
    fn order(&mut self, worker: WorkerId, order: Order) {
        self.flush();
        if let Some(hired) = self.workers.get(&worker) {
            // An actor that has ended has said so, and is about to be heard.
            hired.orders.send(order).ok();
        }
    }

    fn end(&mut self, worker: WorkerId, order: Order) {
        if let Some(hired) = self.workers.get_mut(&worker) {
            hired.asked_to_end = true;
        }
        self.order(worker, order);
    }

    fn flush(&mut self) {
        if let Some((worker, jobs)) = self.outbox.take()
            && let Some(hired) = self.workers.get(&worker)
        {
            hired.orders.send(Order::Run(jobs)).ok();
        }
    }

    fn send(&mut self, now: Duration, worker: WorkerId, job: JobId, attempt: Attempt) {
        let Some(entry) = self.jobs.get_mut(&job) else {
            return;
        };
        let hired = self.workers.get(&worker);
        let tasks = hired.and_then(|h| h.tasks.as_ref());
        let Some(&task) = tasks.and_then(|t| t.get(&*entry.job.task)) else {
            let mut offered: Vec<&str> = tasks.into_iter().flatten().map(|(t, _)| &**t).collect();
            offered.sort_unstable();
            entry.error = Some(TaskError::new(format!(
                "the worker has no task named `{}`; its tasks are: {}",
                entry.job.task,
                offered.join(", ")
            )));
            let input = Input::Done {
                worker,
                job,
                attempt,
                outcome: Outcome::Rejected,
                took: Duration::ZERO,
            };
            self.scheduler.handle(now, input);
            return;
        };
        // What an earlier attempt said is void.
        entry.stdout = Capture::default();
        entry.stderr = Capture::default();
        entry.result.clear();
        entry.sent = Some(now);
        let assignment = Assignment {
            header: JobHeader {
                job,
                attempt,
                task,
                encoding: entry.job.encoding,
                input_len: entry.job.input.len() as u64,
            },
            input: entry.job.input.clone(),
        };
        match &mut self.outbox {
            Some((to, jobs)) if *to == worker => jobs.push(assignment),
            _ => {
                self.flush();
                self.outbox = Some((worker, vec![assignment]));
            }
        }
        let event = EventKind::JobSent {
            job,
            attempt,
            worker,
        };
        self.emit(now, event);
    }

    fn conclude(
        &mut self,
        now: Duration,
        job: JobId,
        mut verdict: Verdict,
        worker: Option<WorkerId>,
        attempts: u32,
    ) {
        let Some(entry) = self.jobs.remove(&job) else {
            return;
        };
        let (usage, payload) = match entry.answer {
            Some((header, payload)) => (header.usage, payload),
            None => (Usage::default(), Bytes::new()),
        };
        let mut error = entry.error;
        let mut result = Payload::default();
        match verdict {
            Verdict::Ok => {
                let whole = if entry.result.is_empty() {
                    payload
                } else {
                    let mut parts = entry.result;
                    parts.extend_from_slice(&payload);
                    parts.freeze()
                };
                match Payload::keep(&self.results, whole) {
                    Ok(kept) => result = kept,
                    Err(e) => {
                        verdict = Verdict::Lost;
                        self.failure.get_or_insert(PoolError::Spill(Arc::new(e)));
                        self.scheduler.handle(now, Input::Hopeless);
                    }
                }
            }
            Verdict::Crashed => error = Some(TaskError::new(format!("its worker {}", self.how))),
            _ if payload.is_empty() => {}
            _ => error = Some(told(&payload)),
        }
        let wall = Duration::from_micros(usage.wall_us);
        let started = match entry.sent {
            Some(_) if usage.wall_us > 0 => Some(now.saturating_sub(wall)),
            sent => sent,
        };
        let mut room = entry.room;
        if let Some(events) = &mut self.events {
            let done = EventKind::JobDone {
                job,
                verdict,
                usage,
                attempts,
            };
            // Half of it; see `Handles::permits`.
            events.emit(now, done, room.split(1));
        }
        let report = JobReport {
            job,
            verdict,
            result,
            error,
            stdout: entry.stdout,
            stderr: entry.stderr,
            usage,
            started,
            worker,
            attempts,
            _room: Some(room),
        };
        // Nobody may be waiting: a dropped handle detaches its job.
        match entry.reply {
            Reply::One(reply) => drop(reply.send(report)),
            Reply::Shared(reply) => drop(reply.send(report)),
        }
    }

    fn printed(&mut self, now: Duration, worker: WorkerId, line: Bytes) {
        if let Some(events) = &mut self.events {
            events.print(now, worker, line);
        }
    }

    fn emit(&mut self, at: Duration, kind: EventKind) {
        if let Some(events) = &mut self.events {
            events.emit(at, kind, None);
        }
    }
}

/// What a worker says about a failure. It may say nonsense, which is shown.
fn told(payload: &[u8]) -> TaskError {
    Encoding::Bincode
        .decode(payload)
        .unwrap_or_else(|e| TaskError::new(format!("the worker's error cannot be decoded: {e}")))
}
