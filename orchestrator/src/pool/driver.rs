//! THE loop: turns what happens into scheduler inputs, and what the scheduler
//! decides into orders, replies and events.
//!
//! Three steps per turn: wait for commands, news or the next deadline; let the
//! scheduler see all of it (`obey`, `learn`); act (`act`). No step decides anything that
//! the scheduler could decide, and none but the first waits.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use protocol::{Assignment, JobId, ToWorker, Usage, WorkerId};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::{Id, JoinError, JoinSet};

use super::clock::Clock;
use super::deaths::Deaths;
use super::delivery::Route;
use super::entry::{Ended, Entry, Lane};
use super::error::PoolError;
use super::event::{EventKind, EventSender};
use super::hired::{Crew, Dead, Hired};
use super::job::JobReport;
use super::log::{self, Spans};
use super::news::{News, NewsSender};
use super::obey::Command;
use super::oom::OomKills;
use super::printing::Printing;
use super::reports::Reports;
use super::spill::Spill;
use super::start::FOREVER;
use super::stats::Stats;
use super::turn::Ways;
use super::{Agent, PoolConfig};
use crate::scheduler::{IdMap, Input, Scheduler, SchedulerConfig};

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

pub(super) struct Driver {
    pub(super) config: Arc<PoolConfig>,
    pub(super) crew: Crew,
    pub(super) clock: Clock,
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
    pub(super) noted: Option<mpsc::UnboundedSender<Vec<Note>>>,
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
    pub(super) hurried: bool,
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
