//! THE loop: turns what happens into scheduler inputs, and what the scheduler
//! decides into orders, replies and events.
//!
//! Three steps per turn: wait for commands, news or the next deadline; let the
//! scheduler see all of it (`learn`); act (`act`). No step decides anything that
//! the scheduler could decide, and none but the first waits.

use std::borrow::Cow;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use protocol::{Assignment, JobId, Parts, TaskError, ToWorker, Usage, WorkerId};
use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use tokio::task::{AbortHandle, Id, JoinError, JoinSet};

use super::clock::Clock;
use super::control::{RunningJob, Status};
use super::deaths::Deaths;
use super::delivery::Route;
use super::error::PoolError;
use super::event::{EventKind, EventSender};
use super::front::FOREVER;
use super::job::{Errand, JobReport, Omitted, RawJob, Wishes, WorkerDeath};
use super::log::{self, Spans};
use super::news::{News, NewsSender, Order};
use super::oom::OomKills;
use super::printing::Printing;
use super::reports::Reports;
use super::spill::{Capture, Payload, Spill};
use super::stats::Stats;
use super::thread::Factory;
use super::turn::Ways;
use super::{Agent, PoolConfig};
use crate::scheduler::{IdMap, Input, Scheduler, SchedulerConfig, Terms};

/// What the handles ask of the driver. The channel is unbounded: submissions
/// are bounded by the room in the pool, cancels by the handles that exist, all
/// else by how often people ask.
#[derive(Debug)]
pub(super) enum Command {
    Submit(Box<Entry>),
    /// Jobs that were made together.
    SubmitMany(Vec<Entry>),
    Cancel(JobId),
    /// These are wanted back, unless they have started: then that is noted.
    #[cfg_attr(not(feature = "cli"), expect(dead_code, reason = "agents ask for it"))]
    GiveBack(Vec<JobId>),
    /// Where notes go.
    #[cfg_attr(not(feature = "cli"), expect(dead_code, reason = "agents ask for it"))]
    Notes(mpsc::UnboundedSender<Vec<Note>>),
    /// A piece of data for every worker, before all jobs that come later.
    #[cfg_attr(not(feature = "cli"), expect(dead_code, reason = "agents ask for it"))]
    Blob(ToWorker),
    /// Tell the workers that all jobs are about to have come.
    #[cfg_attr(not(feature = "cli"), expect(dead_code, reason = "agents ask for it"))]
    WindDown,
    /// What runs?
    Status(oneshot::Sender<Status>),
    /// How much has there been?
    Stats(oneshot::Sender<Stats>),
    /// So many workers from now on.
    Resize(usize),
    /// So many jobs may start until this is said again.
    AllowStarts(usize),
    /// End the job that began last and put it back; which one it is.
    PutBack(oneshot::Sender<RunningJob>),
    /// Stand still; the sender is dropped when all workers have been told.
    Pause(mpsc::Sender<()>),
    Resume,
    /// So many verdicts have been taken note of.
    Seen(usize),
    /// Nothing has happened for a while.
    #[cfg(feature = "cli")]
    Rest,
    /// What has not started is not wanted any more.
    Withdraw,
    /// No more jobs will come.
    Drain,
    /// Ask all jobs to end, and end.
    Interrupt,
    /// End now.
    Stop,
    /// Kill everything, and end.
    Kill,
}

/// What can be known about a job that has not ended, for those who do not want all
/// events. As few as those are, but for what workers say too often.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Note {
    /// It was wanted back, and has started, or is about to.
    Kept(JobId),
    /// It has been running for more than a few milliseconds.
    Started(JobId),
    /// How far it says that it has come.
    Progress { job: JobId, done: u64, total: u64 },
}

/// Where a job's report goes.
#[derive(Debug)]
pub(super) enum Reply {
    One(oneshot::Sender<Box<JobReport>>),
    /// With those of others that end in the same turn.
    Shared(Reports),
    /// Likewise, as the so-manieth.
    Together(Arc<Lane>, u64),
}

/// The way to whoever takes the ends of many jobs.
#[derive(Debug)]
pub(super) struct Lane(pub(super) mpsc::UnboundedSender<Vec<Ended>>);

impl PartialEq for Lane {
    fn eq(&self, other: &Lane) -> bool {
        self.0.same_channel(&other.0)
    }
}

/// The end of one of many jobs.
#[derive(Debug)]
pub(super) struct Ended {
    /// Which of them.
    pub(super) number: u64,
    /// Its result, or everything about it when it has none.
    pub(super) end: Result<Payload, Box<JobReport>>,
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

/// A job that has no verdict yet. Many may wait, and every one of them is moved
/// around: what few jobs need is in a box.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) id: JobId,
    pub(super) errand: Errand,
    pub(super) wishes: Option<Box<Wishes>>,
    pub(super) reply: Reply,
    pub(super) sent: Option<Duration>,
    /// What its last attempt has left behind besides, if anything.
    pub(super) traces: Option<Box<Traces>>,
}

/// What an attempt may leave behind beside its answer.
#[derive(Debug, Default)]
pub(super) struct Traces {
    pub(super) stdout: Capture,
    pub(super) stderr: Capture,
    /// The parts of a large result that have come.
    pub(super) result: Parts,
    pub(super) error: Option<TaskError>,
    /// What of its output was not passed on.
    pub(super) omitted: Omitted,
    /// Whether its worker had been stopped by somebody when its time was up.
    pub(super) was_stopped: bool,
    /// Whether it, or its worker, died because it got no memory.
    pub(super) out_of_memory: bool,
    /// How large it had made its worker, in bytes, when that was too much.
    pub(super) outgrown: Option<u64>,
    /// How a worker of its agent died of it.
    pub(super) death: Option<Arc<WorkerDeath>>,
}

impl Entry {
    pub(super) fn new(id: JobId, job: RawJob, reply: Reply) -> Entry {
        let (errand, wishes) = job.parts();
        Entry {
            wishes,
            ..Entry::plain(id, errand, reply)
        }
    }

    /// A job without wishes.
    pub(super) fn plain(id: JobId, errand: Errand, reply: Reply) -> Entry {
        Entry {
            id,
            errand,
            wishes: None,
            reply,
            sent: None,
            traces: None,
        }
    }

    pub(super) fn traces(&mut self) -> &mut Traces {
        self.traces.get_or_insert_default()
    }
}

/// A worker that has not been reaped.
pub(super) struct Hired {
    pub(super) orders: mpsc::UnboundedSender<Order>,
    pub(super) actor: AbortHandle,
    pub(super) pid: u32,
    /// Its place in the pool, from 0.
    pub(super) seat: usize,
    /// Where it is, if it is an agent.
    pub(super) host: Option<Arc<str>>,
    /// Its tasks, once it is ready.
    pub(super) tasks: Option<Tasks>,
    /// How many descriptors it had open when it was ready, if somebody counts.
    pub(super) files: Option<u64>,
    /// Whether it was killed before it was ready.
    pub(super) timed_out: bool,
    /// Whether its end was wanted.
    pub(super) asked_to_end: bool,
    /// How it broke the protocol, as a predicate.
    pub(super) violation: Option<String>,
}

/// A worker that is being dealt with as dead.
pub(super) struct Dead {
    pub(super) worker: WorkerId,
    pub(super) host: Option<Arc<str>>,
    pub(super) death: Arc<WorkerDeath>,
}

/// The tasks of a worker.
#[derive(Debug)]
pub(super) struct Tasks {
    numbers: HashMap<String, u32>,
    /// What was asked for last, which is mostly asked for again.
    last: (Cow<'static, str>, u32),
}

impl Tasks {
    pub(super) fn new(names: Vec<String>) -> Tasks {
        Tasks {
            last: (Cow::Owned(names.first().cloned().unwrap_or_default()), 0),
            numbers: names.into_iter().zip(0..).collect(),
        }
    }

    pub(super) fn number(&mut self, errand: &Errand) -> Option<u32> {
        let name = &errand.task;
        let last: &str = &self.last.0;
        // Not even compared when it is the very same text.
        if !std::ptr::eq(last, &**name) && last != name {
            let &number = self.numbers.get(&**name)?;
            self.last = (name.clone(), number);
        }
        Some(self.last.1)
    }

    pub(super) fn names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.numbers.keys().map(String::as_str).collect();
        names.sort_unstable();
        names
    }
}

pub(super) struct Driver {
    pub(super) config: Arc<PoolConfig>,
    pub(super) crew: Crew,
    clock: Clock,
    /// When this turn began: real time.
    pub(super) now: Duration,
    pub(super) scheduler: Scheduler,
    commands: mpsc::UnboundedReceiver<Command>,
    news: mpsc::Receiver<(WorkerId, News)>,
    pub(super) news_sender: NewsSender,
    pub(super) workers: IdMap<WorkerId, Hired>,
    pub(super) actors: JoinSet<()>,
    pub(super) actor_ids: HashMap<Id, WorkerId>,
    pub(super) jobs: IdMap<JobId, Entry>,
    /// What workers have answered in this turn. The scheduler decides in the same
    /// order what it means, so it is always the first that is asked for.
    pub(super) answers: VecDeque<(JobId, Usage, Bytes)>,
    /// Jobs for one worker, collected while actions are taken.
    pub(super) outbox: Option<(WorkerId, Vec<Assignment>)>,
    /// How many there were last time.
    pub(super) outbox_len: usize,
    pub(super) events: Option<EventSender>,
    /// For whoever listens to `tracing`.
    pub(super) spans: Spans,
    pub(super) state: watch::Sender<State>,
    pub(super) room: Arc<Semaphore>,
    /// How much room was freed in this turn, but for what reports and events keep.
    pub(super) freed: usize,
    /// The ends of this turn that are taken together.
    pub(super) ends: Ways<Arc<Lane>, Ended>,
    pub(super) reports: Ways<Reports, JobReport>,
    /// What has been counted so far.
    pub(super) counted: Stats,
    pub(super) spill: Arc<Spill>,
    /// Where results are kept that nobody has taken.
    pub(super) results: Arc<Spill>,
    /// Why the pool is broken.
    pub(super) failure: Option<PoolError>,
    /// How workers died that nobody wanted dead.
    pub(super) deaths: Deaths,
    /// How the worker died that is being dealt with.
    pub(super) how: String,
    /// Whether it died because it got no memory.
    pub(super) out_of_memory: bool,
    /// Who that was, and how it ended.
    pub(super) dead: Option<Dead>,
    /// Lets so many connect at the same time.
    pub(super) dialling: Arc<Semaphore>,
    /// What is wrong with hosts, and was told.
    pub(super) troubled: HashMap<Arc<str>, Arc<str>>,
    /// Data that every worker gets, in frames.
    pub(super) blobs: Vec<ToWorker>,
    /// Of this turn, if anybody wants to know.
    notes: Vec<Note>,
    /// Who wants to.
    noted: Option<mpsc::UnboundedSender<Vec<Note>>>,
    /// What the kernel has killed for want of memory.
    pub(super) oom_kills: OomKills,
    /// Whether no more jobs are taken, while those that there are run on.
    pub(super) winding_down: bool,
    pub(super) ended: bool,
    /// How many jobs may be in the pool until the next check.
    #[cfg(debug_assertions)]
    pub(super) unchecked: usize,
    pub(super) printing: Printing,
    /// Where goes what is printed by jobs without a wish.
    pub(super) route: Route,
    /// Whether the pool was told to end at once.
    hurried: bool,
}

/// What a worker is.
pub(super) enum Crew {
    /// A process, started as the configuration says.
    Processes,
    /// A thread of this program, with tasks from here.
    Threads(Factory),
}

/// What the handles share with the driver.
pub(super) struct Shared {
    pub(super) config: Arc<PoolConfig>,
    pub(super) crew: Crew,
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
        let mut clock = Clock::start();
        let now = clock.look();
        let scheduler = Scheduler::new(rules(&shared.config), clock.counted(now));
        // A few batches per worker: enough that none waits for a turn.
        let (news_sender, news) = mpsc::channel(64);
        let mut printing = Printing::default();
        let route = printing.route(&shared.config.printed);
        let dial_window = shared.config.dial_window.max(1);
        Driver {
            oom_kills: match shared.crew {
                Crew::Processes => OomKills::from_now(),
                Crew::Threads(_) => OomKills::nowhere(),
            },
            results: Spill::within(shared.config.temp_dir.clone(), shared.config.result_memory),
            config: shared.config,
            crew: shared.crew,
            clock,
            now,
            scheduler,
            commands: shared.commands,
            news,
            news_sender,
            workers: IdMap::default(),
            actors: JoinSet::new(),
            actor_ids: HashMap::new(),
            jobs: IdMap::default(),
            answers: VecDeque::new(),
            outbox: None,
            outbox_len: 0,
            events: shared.events,
            spans: Spans::default(),
            state: shared.state,
            room: shared.room,
            freed: 0,
            ends: Ways::default(),
            reports: Ways::default(),
            counted: Stats::default(),
            spill: shared.spill,
            failure: None,
            deaths: Deaths::default(),
            how: String::new(),
            out_of_memory: false,
            dead: None,
            dialling: Arc::new(Semaphore::new(dial_window)),
            troubled: HashMap::new(),
            blobs: Vec::new(),
            notes: Vec::new(),
            noted: None,
            winding_down: false,
            ended: false,
            #[cfg(debug_assertions)]
            unchecked: 0,
            printing,
            route,
            hurried: false,
        }
    }

    /// Runs until every job has its verdict, every worker is reaped and all that
    /// was printed is delivered.
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
                // Also without a deadline: that the clock need not be looked at
                // is something that it must know.
                () = self.clock.sleep_until(deadline) => Turn::Tick,
            };
            self.now = self.clock.look();
            match turn {
                Turn::Commands(0) => {
                    // The pool was dropped.
                    open = false;
                    self.end_with(Input::Stop);
                }
                Turn::Commands(_) => commands.drain(..).for_each(|c| self.obey(c)),
                Turn::News => news.drain(..).for_each(|(id, n)| self.learn(id, n)),
                Turn::ActorEnded(end) => self.actor_ended(end),
                Turn::Tick => self.tell(Input::Tick),
            }
            self.act();
        }
        let printed = self.finish_printing().await;
        let now = self.clock.look();
        if let Some(events) = &mut self.events {
            events.tell_lost(now);
            events.send(&self.room);
        }
        let end = self.failure.clone();
        self.close(end.clone().unwrap_or(PoolError::Closed));
        end.map_or(printed, Err)
    }

    /// All workers are gone; what they printed may not be. Whoever has ordered
    /// the end does not wait for it any longer than for a job.
    async fn finish_printing(&mut self) -> Result<(), PoolError> {
        let patience = self.hurried.then_some(self.config.grace);
        let actors = async { while self.actors.join_next().await.is_some() {} };
        match patience {
            None => actors.await,
            Some(patience) => {
                tokio::time::timeout(patience, actors).await.ok();
                self.actors.shutdown().await;
            }
        }
        self.route = Route::Capture;
        std::mem::take(&mut self.printing).end(patience).await
    }

    /// Tells the scheduler what has happened.
    pub(super) fn tell(&mut self, input: Input) {
        self.scheduler.handle(self.counted_now(), input);
    }

    /// When this turn began, as the scheduler counts time.
    pub(super) fn counted_now(&self) -> Duration {
        self.clock.counted(self.now)
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::Submit(entry) => self.submit(*entry),
            Command::SubmitMany(entries) => {
                for entry in entries {
                    self.submit(entry);
                }
            }
            Command::Cancel(job) => self.tell(Input::Cancel { job }),
            Command::GiveBack(jobs) => self.tell(Input::GiveBack { jobs }),
            Command::Notes(way) => self.noted = Some(way),
            Command::Blob(frame) => {
                for hired in self.workers.values().filter(|w| w.tasks.is_some()) {
                    hired.orders.send(Order::Say(frame.clone())).ok();
                }
                self.blobs.push(frame);
            }
            Command::WindDown => self.wind_down(),
            // Whoever asked may have gone.
            Command::Status(reply) => drop(reply.send(self.status())),
            Command::Stats(reply) => drop(reply.send(self.stats())),
            Command::Resize(workers) => self.tell(Input::Resize { workers }),
            Command::AllowStarts(starts) => self.tell(Input::Leave { starts }),
            Command::PutBack(reply) => self.put_back(reply),
            Command::Pause(told) => self.pause(&told),
            Command::Resume => self.resume(),
            Command::Seen(verdicts) => self.tell(Input::Seen { verdicts }),
            #[cfg(feature = "cli")]
            Command::Rest => {
                self.jobs.rest();
                self.scheduler.shrink();
                super::os::return_free_memory();
            }
            Command::Withdraw => self.tell(Input::Withdraw),
            Command::Drain => {
                self.close(PoolError::Closed);
                self.wind_down();
                self.tell(Input::Drain);
            }
            Command::Interrupt => self.end_with(Input::Interrupt),
            Command::Stop => self.end_with(Input::Stop),
            Command::Kill => self.end_with(Input::Kill),
        }
    }

    fn submit(&mut self, entry: Entry) {
        let id = entry.id;
        let mut terms = Terms {
            timeout: self.config.timeout,
            retries: self.config.retries,
            retry_backoff: None,
            priority: 0,
            grace: None,
            weighed: false,
        };
        if let Some(wishes) = &entry.wishes {
            terms = Terms {
                timeout: wishes.timeout.map(|t| t.min(FOREVER)).or(terms.timeout),
                retries: match &wishes.call {
                    // There is only one of it.
                    Some(_) => 0,
                    None => wishes.retries.unwrap_or(terms.retries),
                },
                retry_backoff: wishes.retry_backoff.map(|t| t.min(FOREVER)),
                priority: wishes.priority,
                grace: wishes.grace.map(|t| t.min(FOREVER)),
                weighed: wishes.memory_limit.is_some(),
            };
        }
        self.counted.submitted += 1;
        self.jobs.insert(id, entry);
        self.emit_of_job(|| EventKind::JobQueued { job: id });
        self.tell(Input::Submit { job: id, terms });
    }

    /// Endless tasks are told that everybody else is about to leave.
    fn wind_down(&mut self) {
        self.winding_down = true;
        for hired in self.workers.values().filter(|w| w.tasks.is_some()) {
            hired.orders.send(Order::Say(ToWorker::WindDown)).ok();
        }
    }

    /// Nobody can end while time stands still.
    fn end_with(&mut self, how: Input) {
        self.hurried = true;
        self.resume();
        self.close(PoolError::Closed);
        self.tell(how);
    }

    fn pause(&mut self, told: &mpsc::Sender<()>) {
        self.tell(Input::Pause);
        self.clock.pause();
        for hired in self.workers.values() {
            // One that has ended needs no telling.
            hired.orders.send(Order::Pause(told.clone())).ok();
        }
    }

    fn resume(&mut self) {
        if !self.clock.resume() {
            return;
        }
        self.tell(Input::Resume);
        for hired in self.workers.values() {
            hired.orders.send(Order::Say(ToWorker::Resume)).ok();
        }
    }

    fn put_back(&mut self, reply: oneshot::Sender<RunningJob>) {
        let Some(job) = self.scheduler.spare() else {
            return;
        };
        let mut running = self.status().running.into_iter();
        let spare = running.find(|running| running.job == job);
        self.tell(Input::PutBack { job });
        // Whoever asked may have gone.
        spare.map(|spare| reply.send(spare));
    }

    fn status(&self) -> Status {
        let counted = self.clock.counted(self.now);
        let running: Vec<RunningJob> = self
            .scheduler
            .running()
            .into_iter()
            .map(|running| RunningJob {
                job: running.job,
                label: self.label(running.job),
                attempt: running.attempt,
                worker: running.worker,
                pid: self.workers.get(&running.worker).map_or(0, |w| w.pid),
                elapsed: counted.saturating_sub(running.since),
            })
            .collect();
        Status {
            waiting: self.scheduler.unfinished() - running.len(),
            running,
            workers: self.workers.len(),
        }
    }

    fn stats(&self) -> Stats {
        let unfinished = self.scheduler.unfinished();
        let census = self.scheduler.census();
        self.counted.now(self.workers.len(), unfinished, census)
    }

    pub(super) fn label(&self, job: JobId) -> Option<Arc<str>> {
        self.jobs.get(&job)?.wishes.as_ref()?.label.clone()
    }

    /// No more jobs are taken, for this reason; the first one stands.
    pub(super) fn close(&self, why: PoolError) {
        self.room.close();
        self.state.send_if_modified(|state| {
            let first = !matches!(state, State::Over(_));
            if first {
                *state = State::Over(why);
            }
            first
        });
    }

    pub(super) fn emit(&mut self, kind: EventKind) {
        if let Some(events) = &mut self.events {
            events.emit(self.now, kind);
        }
    }

    /// Notes something about a job that goes on, if anybody wants to know.
    pub(super) fn note(&mut self, note: Note) {
        if self.noted.is_some() {
            self.notes.push(note);
        }
    }

    /// Sends the notes of this turn.
    pub(super) fn send_notes(&mut self) {
        if let Some(noted) = self.noted.as_ref().filter(|_| !self.notes.is_empty()) {
            // Whoever wanted to know may be gone.
            noted.send(std::mem::take(&mut self.notes)).ok();
        }
    }

    /// Tells of something that every job causes, if anybody wants to know.
    pub(super) fn emit_of_job(&mut self, kind: impl FnOnce() -> EventKind) {
        if let Some(events) = self.events.as_mut().filter(|events| events.has_all()) {
            events.emit(self.now, kind());
        }
    }

    pub(super) fn printed(&mut self, worker: WorkerId, line: Bytes) {
        if log::is_on() {
            self.log_printed(worker, &line);
        }
        if let Some(events) = &mut self.events {
            events.print(self.now, worker, line);
        }
    }
}

/// However it ends, with its runtime or in a panic, nobody is left to take jobs.
impl Drop for Driver {
    fn drop(&mut self) {
        self.close(PoolError::Closed);
    }
}

/// The part of the configuration by which the scheduler decides.
fn rules(config: &PoolConfig) -> SchedulerConfig {
    let gated = config.start_delay > Duration::ZERO || config.starts_by_leave;
    SchedulerConfig {
        workers: config.workers,
        agents: config.agents.len(),
        silence: config.silence,
        agent_end: Agent::end_within(config.silence),
        // Where it matters when a job starts, it is sent only then.
        ahead: if gated { Duration::ZERO } else { config.ahead },
        start_timeout: config.start_timeout,
        start_attempts: config.start_attempts,
        restart_limit: config.restart_limit,
        restart_window: config.restart_window,
        spawn_patience: config.spawn_patience,
        backoff: config.backoff,
        backoff_max: config.backoff_max,
        retry_backoff: config.retry_backoff,
        retry_backoff_max: config.retry_backoff_max,
        quarantine: config.quarantine,
        black_hole: config.black_hole,
        grace: config.grace,
        answer_timeout: config.answer_timeout,
        reap_timeout: config.reap_timeout,
        lockstep: config.lockstep,
        max_jobs_per_worker: config.max_jobs_per_worker,
        max_rss_per_worker: config.max_rss_per_worker,
        max_files_per_worker: config.max_files_per_worker,
        idle_timeout: config.idle_timeout,
        min_workers: config.min_workers,
        start_delay: config.start_delay.min(FOREVER),
        start_delay_adapts: config.start_delay_adapts,
        starts_by_leave: config.starts_by_leave,
        timeout_percent: config.timeout_percent,
    }
}
