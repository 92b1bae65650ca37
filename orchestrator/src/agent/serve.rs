//! The loop of the agent: frames in, jobs to the pool; reports out, frames again.
//! Whatever a turn has for the client is written at its end, at one go.

mod meet;
mod obey;
mod told;

use std::future::Future;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use protocol::{Answer, FromWorker};
use tokio::sync::mpsc;

use meet::meet;

use super::link::{Link, Outlet};
use super::outbox::Outbox;
use super::pairs::{Effect, Pair, Pairs};
use super::watch::{Look, Watch};
use crate::pool::{
    Control, Doubts, JobReport, Note, Pace, Pool, PoolConfig, PoolError, Printed, PrintedPart,
    ReportStream, Reports, instant, until, usable_cpus,
};

/// How many pieces of output may wait until they are made frames.
const PRINTED: usize = 64;
/// How long workers have to clean up when the link has ended, before they are killed.
const CLEAN_UP: Duration = Duration::from_millis(300);
/// How long they may take to be dead then.
const BURY: Duration = Duration::from_secs(2);

/// How long a remote client may be silent that has not said how long it may.
const SILENCE: Duration = Duration::from_secs(18);

/// How much is read of a remote client that does not read itself, in bytes.
const UNREAD: usize = 64 << 20;

/// How it ended.
#[derive(Debug)]
pub(crate) enum End {
    /// As it was told, or because nobody is there any more.
    Good,
    /// Nothing has been heard for so long: whoever gave it jobs gives them to others.
    Silence(Duration),
    /// The client broke the protocol.
    Violation(String),
    /// No worker can be kept alive.
    Pool(PoolError),
}

/// Serves whoever is at the other end of the link, until that ends it, has been silent for as
/// long as it said that it may be, or somebody wants this process to end; `complain` is told
/// what the client is not.
pub(crate) async fn serve(
    config: PoolConfig,
    (mut link, silence): (Link, Option<Duration>),
    terminate: impl Future<Output = ()>,
    complain: impl Fn(&str),
) -> End {
    let mut terminate = pin!(terminate);
    let met = tokio::select! {
        met = meet(&mut link, silence) => met,
        () = &mut terminate => Err(End::Good),
    };
    let (hello, init) = match met {
        Ok(met) => met,
        Err(end) => return end,
    };
    let (sender, printed) = mpsc::channel(PRINTED);
    let (reports, mut ended) = Reports::channel();
    let slots = u32::try_from(config.workers).unwrap_or(u32::MAX);
    let pool = Pool::start(PoolConfig {
        init,
        max_payload: hello.max_payload,
        // The client decides how many there are.
        max_pending: usize::MAX,
        printed: Printed::Chunks(sender),
        ..config
    });
    let pool = match pool {
        Ok(pool) => pool,
        Err(e) => return End::Pool(e),
    };
    let mut agent = Agent {
        control: pool.control(),
        pool: &pool,
        reports,
        printed,
        notes: pool.notes(),
        outbox: Outbox::default(),
        pairs: Pairs::default(),
        effects: Vec::new(),
        answers: Vec::new(),
        tasks: None,
        slots,
        watch: Watch::new(hello.link, silence.unwrap_or(SILENCE), instant()),
        doubts: Doubts::default(),
        unread: 0,
        pace: Pace::new(usable_cpus() > 1),
        leaving: None,
        drained: false,
        said_goodbye: false,
        complain: &complain,
    };
    let broken = agent.run(&mut link, &mut ended, terminate).await;
    let Agent { control, .. } = agent;
    match broken {
        Stop::Over(end) => end,
        Stop::AtOnce(end) => {
            control.stop();
            if tokio::time::timeout(CLEAN_UP, pool.ended()).await.is_err() {
                control.kill();
                tokio::time::timeout(BURY, pool.ended()).await.ok();
            }
            end
        }
    }
}

/// Why the loop has ended.
enum Stop {
    /// All is done.
    Over(End),
    /// What runs is not wanted any more.
    AtOnce(End),
}

/// What a turn of the loop is about.
enum Turn {
    Reports(std::vec::IntoIter<JobReport>),
    Printed(PrintedPart),
    Notes(Vec<Note>),
    Tasks(Result<Arc<[String]>, PoolError>),
    Read(io::Result<usize>),
    Writable(io::Result<()>),
    Ended(Result<(), PoolError>),
    Terminate,
    /// The link has to be looked after.
    Look,
    /// Nothing yet, and it is worth being awake for.
    Awake,
}

struct Agent<'a, C> {
    pool: &'a Pool,
    control: Control,
    reports: Reports,
    printed: mpsc::Receiver<PrintedPart>,
    notes: mpsc::UnboundedReceiver<Vec<Note>>,
    outbox: Outbox,
    pairs: Pairs,
    /// Of one message; empty between two.
    effects: Vec<Effect>,
    /// Of one turn; empty between two.
    answers: Vec<Answer>,
    /// What the workers offer, once one is ready.
    tasks: Option<Vec<&'static str>>,
    slots: u32,
    /// What a link needs that may die without a word.
    watch: Watch,
    doubts: Doubts<(Pair, JobReport)>,
    /// How much was read since the client does not read, in bytes.
    unread: usize,
    /// How quickly the client asks again.
    pace: Pace,
    /// Who wants it to end when all is done.
    leaving: Option<Leaving>,
    /// Whether the pool was told so.
    drained: bool,
    /// Whether the last frame was said, or none is to be.
    said_goodbye: bool,
    complain: &'a C,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Leaving {
    /// The client has said that nothing more comes.
    Drained,
    /// Somebody else: what the client still sends was not started, as behind any
    /// worker's goodbye.
    Terminated,
}

impl<C: Fn(&str)> Agent<'_, C> {
    async fn run(
        &mut self,
        link: &mut Link,
        ended: &mut ReportStream,
        mut terminate: impl Future<Output = ()> + Unpin,
    ) -> Stop {
        let Link { input, output } = link;
        let pool = self.pool;
        let mut tasks = pin!(pool.tasks());
        let mut pool_end = pin!(pool.ended());
        // How the pool has ended.
        let mut end: Option<Result<(), PoolError>> = None;
        // What has come with the introductions, and behind which nothing may follow.
        if let Err(stop) = self.take_in(input) {
            return stop;
        }
        loop {
            if let Err(stop) = self.write(output, end.as_ref()) {
                return stop;
            }
            self.close_when_done();
            let due = self.watch.due(self.tasks.is_some());
            let due = [due, self.doubts.due()].into_iter().flatten().min();
            let awake = self.outbox.is_empty() && self.pace.stays_awake(instant);
            let turn = tokio::select! {
                biased;
                Some(reports) = ended.next_turn(), if self.outbox.has_room() => Turn::Reports(reports),
                Some(part) = self.printed.recv(), if self.outbox.is_read() => Turn::Printed(part),
                Some(notes) = self.notes.recv() => Turn::Notes(notes),
                tasks = &mut tasks, if self.tasks.is_none() && end.is_none() => Turn::Tasks(tasks),
                read = input.read(), if self.listens() => Turn::Read(read),
                can = output.writable(), if !self.outbox.is_empty() => Turn::Writable(can),
                how = &mut pool_end, if end.is_none() => Turn::Ended(how),
                () = &mut terminate, if self.hears_signals() => Turn::Terminate,
                () = until(due), if due.is_some() => Turn::Look,
                () = tokio::task::yield_now(), if awake => Turn::Awake,
            };
            let done = match turn {
                Turn::Reports(reports) => {
                    self.report(reports);
                    while self.outbox.has_room()
                        && let Some(more) = ended.try_next_turn()
                    {
                        self.report(more);
                    }
                    self.answer()
                }
                Turn::Printed(part) => {
                    self.print(part);
                    Ok(())
                }
                Turn::Notes(notes) => {
                    notes.into_iter().for_each(|note| self.pass_on(note));
                    self.tell_recalled();
                    Ok(())
                }
                Turn::Tasks(Ok(tasks)) => {
                    self.ready(&tasks);
                    Ok(())
                }
                // The pool says the same, and ends.
                Turn::Tasks(Err(_)) => {
                    self.tasks = Some(Vec::new());
                    Ok(())
                }
                Turn::Read(Ok(0) | Err(_)) => Err(Stop::AtOnce(End::Good)),
                Turn::Read(Ok(bytes)) => {
                    self.heard(bytes);
                    self.take_in(input)
                }
                Turn::Writable(Ok(())) => Ok(()),
                Turn::Writable(Err(_)) => Err(Stop::AtOnce(End::Good)),
                Turn::Ended(how) => {
                    while let Some(reports) = ended.try_next_turn() {
                        self.report(reports);
                    }
                    let told = self.answer();
                    self.last_words();
                    // What could not be printed is no fault of the workers.
                    let fine = matches!(how, Ok(()) | Err(PoolError::NotPrinted { .. }));
                    self.said_goodbye = !fine;
                    end = Some(how);
                    told
                }
                Turn::Terminate => {
                    self.terminate();
                    Ok(())
                }
                Turn::Look => self.look(instant()),
                Turn::Awake => {
                    // The client, or a worker, may need this very CPU.
                    std::thread::yield_now();
                    Ok(())
                }
            };
            if let Err(stop) = done {
                return stop;
            }
        }
    }

    /// Writes what there is for the client; when the pool has ended like this and all of it is
    /// told, that was the last.
    fn write(
        &mut self,
        output: &mut Outlet,
        end: Option<&Result<(), PoolError>>,
    ) -> Result<(), Stop> {
        // What has ended when all had may still have been lost with this agent.
        let is_all_told = self.outbox.owes_nothing() && self.doubts.due().is_none();
        if end.is_some() && is_all_told {
            self.say_goodbye();
        }
        if !self.outbox.is_empty() {
            let was_full = !self.outbox.is_read();
            match output.write(&mut self.outbox) {
                Ok(0) => {}
                Ok(_) => self.watch.wrote(was_full, instant),
                Err(_) => return Err(Stop::AtOnce(End::Good)),
            }
        }
        self.outbox.pump();
        if let Some(e) = self.outbox.failure() {
            return Err(Stop::AtOnce(End::Pool(PoolError::Spill(Arc::new(e)))));
        }
        if let Some(end) = end
            && self.outbox.is_empty()
            && is_all_told
        {
            return Err(Stop::Over(match end {
                Err(e) if !matches!(e, PoolError::NotPrinted { .. }) => End::Pool(e.clone()),
                _ => End::Good,
            }));
        }
        Ok(())
    }

    /// So many bytes have come from the client.
    fn heard(&mut self, bytes: usize) {
        self.unread = match self.outbox.is_read() {
            true => 0,
            false => self.unread.saturating_add(bytes),
        };
        self.watch.heard(instant);
        self.pace.answered(instant());
    }

    /// Whether the client is listened to. One that does not read what it is told is not, but
    /// elsewhere it may be that somebody there has stopped to look at what jobs print: then only
    /// its words say that it is not lost.
    fn listens(&self) -> bool {
        self.outbox.is_read() || self.watch.is_remote() && self.unread < UNREAD
    }

    /// Whether it matters that somebody here wants it to end. One that finishes its last jobs
    /// anyway has something to give back where a signal may have ended those.
    fn hears_signals(&self) -> bool {
        match self.leaving {
            None => true,
            Some(Leaving::Drained) => self.watch.is_remote(),
            Some(Leaving::Terminated) => false,
        }
    }

    /// What is due by now.
    fn look(&mut self, now: Instant) -> Result<(), Stop> {
        match self.watch.look(now) {
            Look::Nothing => {}
            Look::Acknowledge(n) => self.outbox.say(&FromWorker::Ack(n)),
            Look::Silence(since) => return Err(Stop::AtOnce(End::Silence(since))),
        }
        if self.doubts.due().is_none_or(|due| due > now) {
            return Ok(());
        }
        self.believe(now);
        self.answer()
    }

    /// Somebody here wants it to end. Whoever is elsewhere can give what has not begun to
    /// others, and will need the time.
    fn terminate(&mut self) {
        self.leaving = Some(Leaving::Terminated);
        if self.watch.is_remote() {
            self.pairs.drop_unfinished(&mut self.effects);
            // Whoever has ended those ends this.
            drop(self.doubts.take());
            self.control.withdraw();
        }
    }

    /// Nothing more is to come, and all of it is with the pool: that is told so, and
    /// ends when it is done.
    fn close_when_done(&mut self) {
        if self.leaving.is_some() && !self.drained && self.pairs.all_have_come() {
            self.drained = true;
            self.control.drain();
        }
    }
}
