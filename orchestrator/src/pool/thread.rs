//! One worker that is a thread of this program: the actor that stands between
//! it and the driver, and what the thread itself does.
//!
//! To the driver it is a worker like any other. What it cannot do is to be
//! killed: a thread that is to be is left behind, as its job is told to stop and
//! does not listen. It gets no further job, nobody hears what it still says,
//! and it ends when its job does, or with the program.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use bytes::Bytes;
use protocol::{
    Answer, Attempt, DoneHeader, Encoded, Encoding, FromWorker, JobId, Outcome, Ready, TaskError,
    ToWorker, Usage, WorkerId,
};
use tokio::sync::mpsc;
use worker::Registry;
use worker::local::{Host, Local};

use super::desk::{Desk, Key, Work};
use super::news::{Ending, News, NewsSender, Order, StartFailure};
use super::pipes::until;
use super::start::said;
use super::{PoolConfig, clock};
use crate::scheduler::Blame;

/// Makes the tasks of one thread, in that thread.
pub(super) type Factory = Arc<dyn Fn() -> Registry + Send + Sync>;

/// How long a job runs until it is said that it does.
const LONGER: Duration = Duration::from_millis(5);

/// What the thread says. The channel is unbounded: it holds the answers of a
/// worker's window at most, and about ten words of progress per second.
enum Said {
    Ready(Vec<String>),
    Message(FromWorker),
    /// Its start failed: why.
    Failed(String),
    /// Nothing more will be said.
    Ended,
}

/// An actor for one thread, and the way to give it orders. That channel is
/// unbounded, and bounded as that of a process is.
pub(super) fn hire(
    id: WorkerId,
    config: Arc<PoolConfig>,
    factory: Factory,
    news: NewsSender,
) -> (
    mpsc::UnboundedSender<Order>,
    impl Future<Output = ()> + Send,
) {
    let (sender, orders) = mpsc::unbounded_channel();
    let actor = async move {
        let (said, heard) = mpsc::unbounded_channel();
        let desk = Arc::new(Desk::default());
        let place = Place {
            id,
            init: config.init.clone(),
            desk: Arc::clone(&desk),
            said,
        };
        let max_payload = config.max_payload;
        let thread = std::thread::Builder::new().name(format!("orchestrator-{}", id.0));
        let ending = match thread.spawn(move || place.work(&*factory, max_payload)) {
            // Nobody joins it, since it may never end; its last word is enough.
            Ok(_) => {
                let thread = Thread {
                    id,
                    desk,
                    heard,
                    orders,
                    news: news.clone(),
                    ready: false,
                    failure: String::new(),
                    dismissed: false,
                    watched: None,
                    look: None,
                };
                thread.live().await
            }
            Err(e) => Ending {
                blame: Blame::Nobody,
                how: format!("could not be started: {e}"),
                status: (None, None),
                bye: false,
                stderr: String::new(),
                start: Some(StartFailure::Spawn(e)),
                out_of_memory: false,
                killed: false,
            },
        };
        // The driver may have panicked; then nobody wants to know.
        news.send((id, News::Gone(ending))).await.ok();
    };
    (sender, actor)
}

/// The actor.
struct Thread {
    id: WorkerId,
    desk: Arc<Desk>,
    heard: mpsc::UnboundedReceiver<Said>,
    orders: mpsc::UnboundedReceiver<Order>,
    news: NewsSender,
    ready: bool,
    /// Why its start failed.
    failure: String,
    /// Whether no order will come any more.
    dismissed: bool,
    /// The job that ran at the last look, unless it was said that it runs long.
    watched: Option<Key>,
    /// When to look whether it still does.
    look: Option<Instant>,
}

/// Whatever becomes of the actor, its thread does not go on without it.
impl Drop for Thread {
    fn drop(&mut self) {
        self.desk.close();
    }
}

/// What a turn of the loop is about.
enum Turn {
    Orders,
    Said,
    Look,
}

impl Thread {
    async fn live(mut self) -> Ending {
        let pid = std::process::id();
        self.tell(News::Spawned { pid }).await;
        let mut orders = Vec::new();
        let mut said = Vec::new();
        loop {
            // Cancel-safe: `recv_many` takes nothing unless it returns.
            let turn = tokio::select! {
                biased;
                n = self.orders.recv_many(&mut orders, 64), if !self.dismissed => {
                    self.dismissed = n == 0;
                    Turn::Orders
                }
                _ = self.heard.recv_many(&mut said, 64) => Turn::Said,
                () = until(self.look), if self.look.is_some() => Turn::Look,
            };
            let ended = match turn {
                Turn::Orders if self.dismissed => {
                    self.desk.close();
                    false
                }
                Turn::Orders => self.obey(&mut orders).await,
                Turn::Said => self.pass_on(&mut said).await,
                Turn::Look => {
                    self.look_at_it().await;
                    false
                }
            };
            if ended {
                return self.end();
            }
        }
    }

    /// Whether the thread is to be left behind.
    async fn obey(&mut self, orders: &mut Vec<Order>) -> bool {
        for order in orders.drain(..) {
            match order {
                Order::Run(jobs) => self.assign(jobs.into_iter().map(Work::Task)),
                Order::Call(key, call) => self.assign([Work::Call(key, call)]),
                Order::Say(message) => self.hear(message).await,
                Order::Pause(_told) => self.desk.pause(true),
                Order::Close => self.desk.close(),
                Order::Kill => return true,
                // Nobody can stop a thread alone, and what it prints is printed.
                Order::Rouse(_) | Order::Redirect(..) => {}
            }
        }
        false
    }

    fn assign(&mut self, work: impl IntoIterator<Item = Work>) {
        self.desk.add(work);
        self.look.get_or_insert_with(|| clock::instant() + LONGER);
    }

    async fn hear(&mut self, message: ToWorker) {
        match message {
            ToWorker::Cancel { job, attempt } => {
                let key = (job, attempt);
                if self.desk.cancel(key).is_some() {
                    let answer = not_run(key, Outcome::Cancelled);
                    self.pass(FromWorker::DoneMany(vec![answer])).await;
                }
            }
            ToWorker::Recall(keys) => {
                let back = self.desk.recall(&keys);
                self.pass(FromWorker::Recalled(back)).await;
            }
            ToWorker::Resume => self.desk.pause(false),
            ToWorker::Pause => self.desk.pause(true),
            ToWorker::WindDown => self.desk.wind_down(),
            ToWorker::Drain => self.desk.drain(),
            ToWorker::Bye => self.desk.close(),
            // What only a link needs.
            ToWorker::Hello(_)
            | ToWorker::Init(_)
            | ToWorker::Blob { .. }
            | ToWorker::RunMany(_)
            | ToWorker::RunManyWith(..)
            | ToWorker::Resize(_)
            | ToWorker::InputChunk { .. }
            | ToWorker::Credit { .. }
            | ToWorker::Ping(_)
            | ToWorker::Ack(_) => {}
        }
    }

    /// Whether the thread has ended.
    async fn pass_on(&mut self, said: &mut Vec<Said>) -> bool {
        let mut messages = Vec::new();
        let mut ended = false;
        for word in said.drain(..) {
            match word {
                Said::Ready(tasks) => {
                    self.ready = true;
                    let ready = Ready {
                        build: concat!("orchestrator ", env!("CARGO_PKG_VERSION")).to_owned(),
                        pid: std::process::id(),
                        slots: 1,
                        tasks,
                        status_fd: None,
                    };
                    self.tell(News::Ready(ready)).await;
                }
                Said::Message(message) => messages.push(message),
                Said::Failed(why) => self.failure = why,
                Said::Ended => ended = true,
            }
        }
        if !messages.is_empty() {
            self.tell(News::Messages(messages)).await;
            self.look.get_or_insert_with(|| clock::instant() + LONGER);
        }
        ended
    }

    /// Says once of each long job that it runs.
    async fn look_at_it(&mut self) {
        let current = self.desk.current();
        self.look = None;
        if let Some((job, attempt)) = current
            && current == self.watched
        {
            // The next look comes behind its answer.
            return self.pass(FromWorker::Started { job, attempt }).await;
        }
        self.watched = current;
        if !self.desk.is_idle() {
            self.look = Some(clock::instant() + LONGER);
        }
    }

    fn end(mut self) -> Ending {
        // First, so that nothing starts behind the look at what runs.
        self.desk.close();
        let blame = match self.desk.current() {
            Some((job, attempt)) => Blame::Job(job, attempt),
            None => Blame::Nobody,
        };
        Ending {
            how: match blame {
                Blame::Nobody if self.ready => "has ended".into(),
                Blame::Nobody => "could not start".into(),
                _ => "is a thread that does not end, and was left behind".into(),
            },
            blame,
            status: (None, None),
            bye: false,
            stderr: std::mem::take(&mut self.failure),
            start: (!self.ready).then_some(StartFailure::Died),
            out_of_memory: false,
            killed: false,
        }
    }

    async fn pass(&self, message: FromWorker) {
        self.tell(News::Messages(vec![message])).await;
    }

    async fn tell(&self, news: News) {
        // The driver may have panicked; then nobody wants to know.
        self.news.send((self.id, news)).await.ok();
    }
}

/// What the thread has of the pool.
struct Place {
    id: WorkerId,
    init: Option<Bytes>,
    desk: Arc<Desk>,
    said: mpsc::UnboundedSender<Said>,
}

/// Its last word, however it ends.
struct LastWord(mpsc::UnboundedSender<Said>);

impl Drop for LastWord {
    fn drop(&mut self) {
        self.0.send(Said::Ended).ok();
    }
}

impl Place {
    fn work(self, factory: &(dyn Fn() -> Registry + Send + Sync), max_payload: u64) {
        let place = Arc::new(self);
        let _last = LastWord(place.said.clone());
        let started = catch_unwind(AssertUnwindSafe(factory));
        let started = started.map_err(|panic| {
            let text = said(&*panic);
            TaskError::new(format!("what makes the tasks panicked: {text}"))
        });
        let host: Arc<dyn Host> = Arc::<Place>::clone(&place);
        let mut local = match started.and_then(|r| Local::start(r, host, max_payload)) {
            Ok(local) => local,
            Err(e) => return place.say(Said::Failed(e.to_string())),
        };
        let tasks: Vec<&'static str> = local.tasks().collect();
        place.say(Said::Ready(tasks.iter().map(ToString::to_string).collect()));
        while let Some((work, cancelled)) = place.desk.take() {
            let answer = run(&mut local, &tasks, work, cancelled);
            // In this order: a job whose answer was not said has not ended.
            place.say(Said::Message(FromWorker::DoneMany(vec![answer])));
            place.desk.done();
        }
        // What tasks keep may do anything when it is dropped.
        catch_unwind(AssertUnwindSafe(|| drop(local))).ok();
    }

    fn say(&self, said: Said) {
        // Nobody listens to a thread that was left behind.
        self.said.send(said).ok();
    }
}

impl Host for Place {
    fn worker(&self) -> WorkerId {
        self.id
    }

    fn init(&self) -> Option<Bytes> {
        self.init.clone()
    }

    fn blob(&self, _hash: u64) -> Option<Bytes> {
        None
    }

    fn is_draining(&self) -> bool {
        self.desk.is_winding_down()
    }

    fn progress(&self, job: JobId, attempt: Attempt, done: u64, total: u64) {
        self.say(Said::Message(FromWorker::Progress {
            job,
            attempt,
            done,
            total,
        }));
    }
}

fn run(local: &mut Local, tasks: &[&str], work: Work, cancelled: Arc<AtomicBool>) -> Answer {
    let (job, attempt) = work.key();
    let context = local.context(job, attempt, cancelled);
    match work {
        Work::Task(assignment) => {
            let header = assignment.header;
            let task = tasks.get(header.task as usize).copied().unwrap_or_default();
            let input = Encoded {
                lacks_head: (assignment.input.len() as u64) < header.input_len,
                bytes: assignment.input,
            };
            local.run(task, header.encoding, input.whole(), &context)
        }
        Work::Call(key, call) => match call.take() {
            Some(call) => Local::run_closure(call, &context),
            None => {
                let error = TaskError::new("this function has been run before");
                let mut answer = not_run(key, Outcome::Rejected);
                answer.payload = Encoding::Bincode.encode(&error).unwrap_or_default();
                answer
            }
        },
    }
}

fn not_run((job, attempt): Key, outcome: Outcome) -> Answer {
    Answer {
        header: DoneHeader {
            job,
            attempt,
            outcome,
            usage: Usage::default(),
        },
        payload: Bytes::new(),
    }
}
