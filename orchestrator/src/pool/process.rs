//! One worker, from spawn to reap: an actor that moves frames and bytes.
//!
//! It owns the child process and its three pipes. Orders come from the driver
//! through a channel, news go back through another. Reading never waits for
//! writing, so that both sides may send at the same time; partial frames live
//! in the struct, which makes every arm of the `select!` safe to cancel.
//!
//! It takes no decision: when to give up, to kill or to start again is the
//! scheduler's business. What comes from the worker is dealt with in `incoming`.

mod incoming;
mod remote;

use std::future::Future;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{BufMut, BytesMut};
use nix::sys::signal::Signal;
use protocol::codec::{excerpt, missing};
use protocol::{Attempt, Codec, FromWorker, JobId, ToWorker, WorkerId};
use tokio::net::unix::pipe;
use tokio::process::{Child, ChildStderr, ChildStdout};
use tokio::sync::{Semaphore, mpsc};

use super::delivery::Delivery;
use super::news::{EX_OSERR, Ending, News, NewsSender, Order, StartFailure};
use super::os::{self, StatusPage};
use super::outgoing::Outgoing;
use super::pace::Pace;
use super::pipes::{deaf, read, sender, until, widen, write};
use super::stderr::Stderr;
use super::{PoolConfig, clock, orphans, usable_cpus};
use crate::scheduler::Blame;
#[cfg(feature = "cli")]
pub(crate) use remote::ACK_DELAY;
use remote::Remote;

/// Room for each read, unless a large frame asks for more.
const READ_SIZE: usize = 64 * 1024;
/// How much is read from a worker whose prints nobody takes. Then it is the
/// worker's turn to wait, in which it is deaf; so this is several times what it
/// sends until it listens, and is given again when it is told something.
const READ_AHEAD: usize = 1 << 20;
/// How long a dead worker's pipes are read for what it left in them. They end
/// at once unless something that it started holds them.
const LAST_WORDS: Duration = Duration::from_millis(100);

/// An actor for one worker, and the way to give it orders. The orders' channel
/// is unbounded: what it holds is bounded by the worker's window, plus a few
/// orders per worker's life.
pub(super) fn hire(
    (id, seat): (WorkerId, usize),
    config: Arc<PoolConfig>,
    (news, dialling): (NewsSender, Arc<Semaphore>),
    mut delivery: Delivery,
) -> (
    mpsc::UnboundedSender<Order>,
    impl Future<Output = ()> + Send,
) {
    let (sender, mut orders) = mpsc::unbounded_channel();
    let actor = async move {
        let mut remote = None;
        if let Some(agent) = config.agents.get(seat) {
            let turn = remote::turn_to_dial(agent, dialling, &mut orders).await;
            let Some(permit) = turn else {
                // The driver may have panicked; then nobody wants to know.
                news.send((id, News::Gone(Ending::unborn()))).await.ok();
                return;
            };
            remote = Some(Remote::new(&config, agent, clock::instant(), permit));
        }
        let ending = match orphans::spawn(&config, seat) {
            Ok(child) => {
                let config = Arc::clone(&config);
                let mut process = Process::new(id, config, child, orders, news.clone(), delivery);
                process.remote = remote;
                let ending;
                (ending, delivery) = process.live().await;
                ending
            }
            Err(e) => {
                // The runtime may have failed behind the fork.
                if config.kill_orphans {
                    orphans::kill_all().await;
                }
                Ending {
                    blame: Blame::Nobody,
                    how: format!("could not be started: {e}"),
                    status: (None, None),
                    bye: false,
                    out_of_memory: false,
                    killed: false,
                    stderr: String::new(),
                    start: Some(StartFailure::Spawn(e)),
                }
            }
        };
        // The driver may have panicked; then nobody wants to know.
        news.send((id, News::Gone(ending))).await.ok();
        delivery.deliver().await;
    };
    (sender, actor)
}

/// How far the conversation has come.
#[derive(Debug, PartialEq, Eq)]
enum Stage {
    /// Nothing but the greeting is expected.
    Greeting,
    /// `Hello` was sent, `Ready` is expected.
    Hello,
    /// Frames.
    Open,
    /// Nothing is read any more.
    Over,
}

struct Process {
    id: WorkerId,
    pid: u32,
    config: Arc<PoolConfig>,
    child: Child,
    /// Closed to tell the worker to end.
    stdin: Option<pipe::Sender>,
    /// Closed when the worker has closed it.
    stdout: Option<ChildStdout>,
    stderr: Option<ChildStderr>,
    orders: mpsc::UnboundedReceiver<Order>,
    news: NewsSender,
    stage: Stage,
    codec: Codec<FromWorker, ToWorker>,
    inbox: BytesMut,
    outgoing: Outgoing,
    /// Whether a payload has been so large that it came in chunks.
    wide: bool,
    /// Whether stdin shall be closed once all is written.
    closing: bool,
    /// Whether no order will come any more.
    dismissed: bool,
    /// How quickly it answers.
    pace: Pace,
    /// Whether the worker said goodbye.
    bye: bool,
    /// How many bytes have come since the greeting.
    received: u64,
    printed: Stderr,
    delivery: Delivery,
    /// Messages for the driver that can go.
    passing: Vec<FromWorker>,
    /// Those that wait until all that their jobs have printed is delivered.
    held: Vec<FromWorker>,
    /// The last job that the driver was told runs for long.
    announced: Option<(JobId, Attempt)>,
    /// How much was read while something was to be delivered, and how much may
    /// be, in bytes.
    read_ahead: usize,
    may_read_ahead: usize,
    /// Whether this worker's end was ordered.
    told_to_end: bool,
    page: Option<StatusPage>,
    failure: Option<StartFailure>,
    /// Held until a pause is written.
    pausing: Option<mpsc::Sender<()>>,
    /// When the rest of a frame that has begun must be there.
    frame_due: Option<Instant>,
    /// What there is beside when it is an agent that is reached through a launcher.
    remote: Option<Remote>,
}

/// What a turn of the loop is about.
enum Turn {
    Orders,
    Read(io::Result<usize>),
    Wrote(io::Result<usize>),
    /// It closed its end, perhaps with something unread in it.
    Deaf,
    Printed(io::Result<usize>),
    /// All that it has printed was taken.
    Delivered,
    /// Nothing yet, and it is worth being awake for.
    Awake,
    /// The rest of a frame does not come.
    Stalled,
    /// The link has to be looked after.
    Pulse,
    Exited(io::Result<ExitStatus>),
}

impl Process {
    fn new(
        id: WorkerId,
        config: Arc<PoolConfig>,
        mut child: Child,
        orders: mpsc::UnboundedReceiver<Order>,
        news: NewsSender,
        delivery: Delivery,
    ) -> Process {
        Process {
            id,
            pid: child.id().unwrap_or_default(),
            config,
            stdin: child.stdin.take().and_then(sender),
            stdout: child.stdout.take(),
            stderr: child.stderr.take(),
            child,
            orders,
            news,
            stage: Stage::Greeting,
            codec: Codec::new(),
            inbox: BytesMut::new(),
            outgoing: Outgoing::default(),
            wide: false,
            closing: false,
            dismissed: false,
            pace: Pace::new(usable_cpus() > 1),
            bye: false,
            received: 0,
            printed: Stderr::default(),
            delivery,
            passing: Vec::new(),
            held: Vec::new(),
            announced: None,
            read_ahead: 0,
            may_read_ahead: READ_AHEAD,
            told_to_end: false,
            page: None,
            failure: None,
            pausing: None,
            frame_due: None,
            remote: None,
        }
    }

    async fn live(mut self) -> (Ending, Delivery) {
        self.tell(News::Spawned { pid: self.pid }).await;
        let mut orders = Vec::new();
        let status = loop {
            match self.turn(&mut orders).await {
                Turn::Orders => self.obey(&mut orders).await,
                Turn::Read(Ok(0) | Err(_)) => {
                    self.stdout = None;
                    // Once it is closed, nothing that it says counts.
                    self.take_held().await;
                    self.tell(News::Closed).await;
                }
                Turn::Read(Ok(n)) => {
                    self.received += n as u64;
                    self.heard_from();
                    self.read_ahead += n;
                    let then = clock::instant();
                    self.take_in().await;
                    self.pace.answered(then);
                }
                Turn::Wrote(Ok(_)) => {
                    self.acknowledged();
                    self.pace.asked(clock::instant());
                    self.outgoing.pump();
                }
                // The worker may need this very CPU.
                Turn::Awake => std::thread::yield_now(),
                Turn::Wrote(Err(_)) | Turn::Deaf => self.unheard().await,
                Turn::Printed(Ok(0) | Err(_)) => self.stderr = None,
                Turn::Printed(Ok(n)) => {
                    self.read_ahead += n;
                    self.pass_on_printed(n).await;
                }
                Turn::Delivered => {
                    self.go_on().await;
                    // Perhaps nothing was read meanwhile.
                    let due = clock::instant().checked_add(self.frame_timeout());
                    self.frame_due = self.frame_due.and(due);
                }
                Turn::Stalled => self.stalled().await,
                Turn::Pulse => self.look_after().await,
                Turn::Exited(status) => break status,
            }
            if !self.outgoing.sent_whole() {
                self.widen();
            }
            if self.outgoing.is_empty() {
                self.pausing = None;
            }
            if self.closing && self.outgoing.is_empty() {
                self.stdin = None;
            }
        };
        self.last_words().await;
        self.take_leave().await;
        self.kill_command();
        // One that ended as it was told has cleaned up.
        let in_order = self.closing && status.as_ref().is_ok_and(|s| s.code().is_some());
        // What an agent has started is not here, and its launcher sees to its own.
        let local = self.remote.is_none();
        if !in_order && local && self.config.kill_orphans {
            orphans::kill_all().await;
        }
        orphans::forget(self.pid);
        self.clean_up().await;
        self.end(&status)
    }

    /// Waits for whatever comes first. All arms can be cancelled: `recv_many`
    /// takes orders only when it returns, reads and writes move bytes between
    /// a pipe and a buffer of ours or do not happen, and `wait` remembers.
    async fn turn(&mut self, orders: &mut Vec<Order>) -> Turn {
        let writing = !self.outgoing.is_empty() && self.stdin.is_some();
        let delivering = !self.delivery.is_done();
        let taking = !delivering || self.read_ahead < self.may_read_ahead;
        let reading = self.stdout.is_some() && self.stage != Stage::Over && taking;
        let room = self.room();
        if reading {
            self.inbox.reserve(room);
        }
        let awake = reading && self.pace.stays_awake(clock::instant);
        let frame_due = self.frame_due.filter(|_| reading);
        let pulse_due = self.pulse_due(reading);
        let inbox = &mut (&mut self.inbox).limit(room);
        let outgoing = &mut self.outgoing;
        let printed = &mut self.printed;
        let hearing = self.stderr.is_some() && taking;
        tokio::select! {
            biased;
            n = self.orders.recv_many(orders, 64), if !self.dismissed => {
                if n == 0 {
                    // The driver is gone: end as if it had said so.
                    self.dismissed = true;
                    orders.push(Order::Close);
                }
                Turn::Orders
            }
            // Before what may never end: someone else may hold its stderr.
            status = self.child.wait() => Turn::Exited(status),
            wrote = write(&self.stdin, outgoing), if writing => Turn::Wrote(wrote),
            read = read(&mut self.stdout, inbox), if reading => Turn::Read(read),
            () = deaf(&self.stdin) => Turn::Deaf,
            read = read(&mut self.stderr, printed.buffer()), if hearing => Turn::Printed(read),
            () = self.delivery.deliver(), if delivering => Turn::Delivered,
            () = tokio::task::yield_now(), if awake => Turn::Awake,
            () = until(frame_due), if frame_due.is_some() => Turn::Stalled,
            () = until(pulse_due), if pulse_due.is_some() => Turn::Pulse,
        }
    }

    /// How much to read at once. What a large frame lacks is read and no more: then
    /// that frame has its memory for itself, and it need not be copied when what
    /// follows wants room.
    fn room(&self) -> usize {
        match missing(&self.inbox) {
            missing if self.inbox.len() + missing > READ_SIZE => missing,
            _ => READ_SIZE,
        }
    }

    async fn obey(&mut self, orders: &mut Vec<Order>) {
        let mut roused = Vec::new();
        // It must be able to hear them.
        self.may_read_ahead = self.read_ahead + READ_AHEAD;
        for order in orders.drain(..) {
            match order {
                Order::Run(jobs) => {
                    self.pace.more_jobs(jobs.len());
                    self.outgoing.run(jobs);
                }
                Order::Redirect(job, route) => self.delivery.redirect(job, route),
                // Only threads are given any.
                Order::Call(..) => debug_assert!(false, "a closure for a process"),
                Order::Say(message) => self.outgoing.say(message),
                Order::Pause(told) => {
                    self.outgoing.say(ToWorker::Pause);
                    self.pausing = Some(told);
                }
                Order::Rouse(job) => {
                    if os::resume_if_stopped(self.pid) {
                        roused.push(job);
                    }
                }
                Order::Close => {
                    self.told_to_end = true;
                    if self.stage == Stage::Greeting && self.remote.is_some() {
                        // It may be waiting in a queue, where it does not hear that.
                        self.kill();
                    }
                    self.outgoing.end(self.stage == Stage::Open);
                    self.closing = true;
                }
                // Not behind anything: it may be the only way out.
                Order::Kill => {
                    self.told_to_end = true;
                    self.kill();
                }
            }
        }
        for job in roused {
            self.tell(News::WasStopped(job)).await;
        }
    }

    /// Chunks are about to pass: from now on the pipes hold more, so that both
    /// sides are woken less often. Not before, since all pipes of a user together
    /// may hold 64 MiB, and then those that anybody makes are small.
    fn widen(&mut self) {
        if std::mem::replace(&mut self.wide, true) {
            return;
        }
        if let Some(pipe) = &self.stdin {
            widen(pipe);
        }
        if let Some(pipe) = &self.stdout {
            widen(pipe);
        }
    }

    /// It has begun a frame and does not go on.
    async fn stalled(&mut self) {
        self.stage = Stage::Over;
        let text = format!(
            "the rest of a frame did not come within {:?} (it begins with {})",
            self.frame_timeout(),
            excerpt(&self.inbox)
        );
        self.tell(News::Violation(text)).await;
    }

    /// The worker closed its end, or said goodbye without being asked: what is
    /// sent to it goes nowhere.
    async fn unheard(&mut self) {
        self.stdin = None;
        self.outgoing.discard();
        self.tell(News::Leaving).await;
    }

    fn kill(&mut self) {
        self.kill_command();
        match self.remote {
            Some(_) => self.end_launcher(),
            // Already reaped is as good.
            None => drop(self.child.start_kill()),
        }
        // Afterwards, or it might end by itself for that, with a status that means
        // nothing.
        self.stdin = None;
        self.outgoing.discard();
    }

    fn kill_command(&self) {
        if let Some(status) = self.page.as_ref().and_then(StatusPage::read) {
            os::kill_command(self.pid, status.group);
        }
    }

    /// The link has ended: takes what the worker had no time to write.
    async fn take_held(&mut self) {
        if self.stage == Stage::Open {
            let held = self.page.as_ref().and_then(|p| p.held(self.received));
            if let Some(held) = held {
                self.inbox.extend_from_slice(&held);
                self.take_in().await;
            }
        }
    }

    /// The process has ended: takes what is left in its pipes, answers above
    /// all, before anybody judges.
    async fn last_words(&mut self) {
        while self.stdout.is_some() && self.stage != Stage::Over {
            self.inbox.reserve(READ_SIZE);
            let read = read(&mut self.stdout, &mut self.inbox);
            match tokio::time::timeout(LAST_WORDS, read).await {
                Ok(Ok(n @ 1..)) => {
                    self.received += n as u64;
                    self.take_in().await;
                }
                Ok(Ok(0) | Err(_)) => {
                    self.stdout = None;
                    self.take_held().await;
                }
                // Something that it started holds the pipe.
                Err(_) => break,
            }
        }
        let printed = tokio::time::timeout(LAST_WORDS, async {
            while self.stderr.is_some() {
                match read(&mut self.stderr, self.printed.buffer()).await {
                    Ok(0) | Err(_) => self.stderr = None,
                    Ok(n) => self.pass_on_printed(n).await,
                }
            }
        });
        printed.await.ok();
        if let Some(last) = self.printed.unfinished()
            && self.remote.is_none()
        {
            self.tell(News::Printed(vec![last])).await;
        }
    }

    /// One that died by itself keeps its place until what it printed is taken, so
    /// that no series of deaths can pile up lines that nobody takes.
    async fn take_leave(&mut self) {
        self.delivery.worker_over();
        self.wake_printer().await;
        let mut orders = Vec::new();
        while !self.delivery.is_done() && !self.told_to_end && !self.dismissed {
            // Cancel-safe, as in `turn`.
            tokio::select! {
                biased;
                n = self.orders.recv_many(&mut orders, 64) => {
                    let ends = |order| matches!(order, Order::Close | Order::Kill);
                    self.told_to_end = n == 0 || orders.drain(..).any(ends);
                }
                () = self.delivery.deliver() => {}
            }
        }
        self.release().await;
    }

    fn end(mut self, status: &io::Result<ExitStatus>) -> (Ending, Delivery) {
        let start = match self.stage {
            Stage::Open => None,
            Stage::Greeting if !self.inbox.is_empty() => {
                Some(StartFailure::NotAWorker(excerpt(&self.inbox)))
            }
            Stage::Greeting | Stage::Hello => {
                let code = status.as_ref().ok().and_then(ExitStatus::code);
                Some(match code {
                    Some(EX_OSERR) => StartFailure::Wanting,
                    _ => StartFailure::Died,
                })
            }
            Stage::Over => self.failure.take(),
        };
        let page = self.page.as_ref().filter(|_| !self.bye);
        let remote = self.remote.as_ref();
        let may_run = remote.and_then(|remote| remote.may_run_for(clock::instant()));
        let blame = match page.map(StatusPage::read) {
            // It gave its jobs back, in its way.
            _ if self.bye => Blame::Nobody,
            _ if remote.is_some() => may_run.map_or(Blame::Running, Blame::MayRun),
            Some(Some(page)) if page.job == 0 => Blame::Nobody,
            Some(Some(page)) => Blame::Job(JobId(page.job), Attempt(page.attempt)),
            Some(None) | None => Blame::Oldest,
        };
        let signal = status.as_ref().ok().and_then(|status| status.signal());
        let no_memory = signal == Some(libc::SIGABRT) && self.printed.tells_of_no_memory();
        let limit = self.config.memory_per_worker;
        let limit = limit.filter(|_| no_memory && self.remote.is_none());
        let ending = Ending {
            blame,
            how: match limit {
                Some(bytes) => format!("needed more memory than its limit of {bytes} bytes"),
                None => match self.remote.as_mut().and_then(|r| r.verdict.take()) {
                    Some(verdict) => verdict,
                    None => describe(status),
                },
            },
            out_of_memory: limit.is_some(),
            // By the kernel of this machine, perhaps.
            killed: signal == Some(libc::SIGKILL) && !self.told_to_end && self.remote.is_none(),
            status: (status.as_ref().ok().and_then(ExitStatus::code), signal),
            bye: self.bye,
            stderr: self.printed.tail(),
            start,
        };
        (ending, self.delivery)
    }

    async fn tell(&self, news: News) {
        // The driver may have panicked; then nobody wants to know.
        self.news.send((self.id, news)).await.ok();
    }
}

/// How a process ended, as a predicate.
fn describe(status: &io::Result<ExitStatus>) -> String {
    match status {
        Ok(status) => match (status.code(), status.signal()) {
            (Some(code), _) => format!("ended with status {code}"),
            (None, Some(signal)) => match Signal::try_from(signal) {
                Ok(signal) => format!("was killed by {signal}"),
                Err(_) => format!("was killed by signal {signal}"),
            },
            (None, None) => "ended".into(),
        },
        Err(e) => format!("could not be waited for: {e}"),
    }
}
