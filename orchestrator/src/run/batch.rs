//! The loop in which a batch's sources meet: the half that feeds the pool,
//! reports, lines that are no jobs, the pool's events, and the writer.
//!
//! All of them are futures of one task on one thread. The loop only turns
//! whatever comes first into a [`Turn`]; each of them may be dropped and asked
//! again without losing anything, but for the feeding half, which is never
//! dropped before the loop ends.

use std::io;
use std::pin::pin;
use std::sync::Arc;

use tokio::sync::mpsc;

use super::feed::{Desk, Notice, feed};
use super::report::{Clock, Summary};
use super::sink::ordered::Ordered;
use super::sink::render::{Entry, Format, Rendered, Renderer};
use super::sink::writer::{WriteError, Writer};
use super::source::lines::{self, Delimiter};
use super::source::work::Work;
use super::text;
use crate::pool::{
    self, Capture, Event, EventKind, EventStream, JobReport, Pool, PoolConfig, PoolError,
};
use crate::scheduler::Verdict;

/// How many reports are taken at once, and how many entries go to the writer
/// at once.
const GROUP: usize = 256;

/// How much of all results that were not written yet is kept in memory, in
/// bytes; they are few unless the reader of the output is slow.
const RESULT_MEMORY: usize = 16 << 20;

/// How many refused lines and warnings may wait to be shown.
const NOTICES: usize = 16;

/// A batch, checked and complete.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    /// The pool.
    pub(crate) pool: PoolConfig,
    /// What is done with each line.
    pub(crate) work: Work,
    /// What ends a line.
    pub(crate) delimiter: Delimiter,
    /// Longest line in bytes; a longer one is refused.
    pub(crate) max_line: u64,
    /// What a job's end looks like.
    pub(crate) format: Format,
    /// Whether entries come in the order of the input.
    pub(crate) keep_order: bool,
}

/// How a batch ended.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// What it came to.
    pub(crate) summary: Summary,
    /// Why it is not complete, if it is not.
    pub(crate) failure: Option<Failure>,
}

/// What ends a batch before its time.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The workers offer other tasks.
    UnknownTask {
        /// The one asked for.
        task: String,
        /// What they offer.
        offered: Arc<[String]>,
    },
    /// The input cannot be read.
    Read(io::Error),
    /// The output cannot be written.
    Write(WriteError),
    /// What jobs printed cannot be kept until it is written.
    Spill(io::Error),
    /// No thread or descriptor for input or output.
    Resources(io::Error),
    /// The pool failed.
    Pool(PoolError),
    /// The pool ended without being asked; its shutdown says why.
    PoolEnded,
    /// Something that cannot happen.
    Bug(&'static str),
}

/// Runs a batch from the first line to the last result.
pub(crate) async fn run(config: &Config) -> Outcome {
    let clock = Clock::start();
    let mut summary = Summary {
        workers: config.pool.workers,
        ..Summary::default()
    };
    // This program has no children but workers.
    let adopted = pool::adopt_orphans();
    let pool = PoolConfig {
        kill_orphans: adopted.is_ok(),
        result_memory: RESULT_MEMORY,
        ..config.pool.clone()
    };
    let failure = match Pool::start_observed(pool) {
        Err(e) => Some(Failure::Pool(e)),
        Ok((pool, events)) => match check_task(&pool, &config.work).await {
            Ok(()) => run_in(config, &clock, pool, events, &mut summary)
                .await
                .err(),
            Err(failure) => {
                pool.shutdown_now().await.ok();
                Some(failure)
            }
        },
    };
    summary.wall = clock.elapsed();
    summary.cpu = clock.cpu();
    Outcome { summary, failure }
}

/// Before any input is read: do the workers know the task?
async fn check_task(pool: &Pool, work: &Work) -> Result<(), Failure> {
    let offered = pool.tasks().await.map_err(Failure::Pool)?;
    let task = match work {
        Work::Command(_) => <protocol::command::Command as protocol::Task>::NAME,
        Work::Task { name, .. } => name,
    };
    if offered.iter().any(|name| name == task) {
        return Ok(());
    }
    Err(Failure::UnknownTask {
        task: task.to_owned(),
        offered,
    })
}

async fn run_in(
    config: &Config,
    clock: &Clock,
    pool: Pool,
    mut events: EventStream,
    summary: &mut Summary,
) -> Result<(), Failure> {
    let writer = match Writer::start() {
        Ok(writer) => writer,
        Err(e) => {
            pool.shutdown_now().await.ok();
            return Err(Failure::Resources(e));
        }
    };
    let mut output = Output::new(config, clock, &pool, writer, summary);
    let driven = drive(config, &pool, &mut events, &mut output).await;
    let ended = end_pool(pool, driven).await;
    // What workers printed last, and the verdicts that are not counted yet.
    let told = output.events(&mut events).await;
    match (ended.and(told), output.writer.finish().await) {
        (Ok(()), Err(e)) => Err(Failure::Write(e)),
        (ended, _) => ended,
    }
}

/// Ends the pool in good order, or at once when the run cannot go on.
async fn end_pool(pool: Pool, driven: Result<(), Failure>) -> Result<(), Failure> {
    match driven {
        Ok(()) => pool.shutdown().await.map_err(Failure::Pool),
        // Everything that was read has been done.
        Err(failure @ Failure::Read(_)) => {
            pool.shutdown().await.ok();
            Err(failure)
        }
        Err(Failure::PoolEnded | Failure::Pool(PoolError::Closed)) => match pool.shutdown().await {
            Ok(()) => Err(Failure::Bug("the pool ended by itself")),
            Err(e) => Err(Failure::Pool(e)),
        },
        Err(failure) => {
            pool.shutdown_now().await.ok();
            Err(failure)
        }
    }
}

/// What can happen next.
enum Turn {
    /// The input has ended, or feeding has failed.
    Fed(Result<(), Failure>),
    /// Jobs have ended.
    Reports,
    /// There is something to tell about the input; nothing when there will be
    /// nothing any more.
    Notice(Option<Notice>),
    /// Something happened in the pool; nothing when it has ended.
    Event(Option<Event>),
    /// Results cannot be written.
    WriteFailed(WriteError),
}

async fn drive(
    config: &Config,
    pool: &Pool,
    events: &mut EventStream,
    output: &mut Output<'_>,
) -> Result<(), Failure> {
    let source =
        lines::read_stdin(config.delimiter, config.max_line).map_err(Failure::Resources)?;
    let desk = Desk::new(config.keep_order);
    // Bounded by the pool: a job keeps its room until its report is dropped.
    let (report_sender, mut report_receiver) = mpsc::unbounded_channel();
    let (notice_sender, mut notices) = mpsc::channel(NOTICES);
    let mut feeding = pin!(feed(
        config,
        pool,
        &desk,
        source,
        report_sender,
        notice_sender
    ));
    let mut fed = None;
    let mut noticing = true;
    let mut reports = Vec::with_capacity(GROUP);
    while fed.is_none() || noticing || !desk.is_empty() {
        let turn = tokio::select! {
            end = &mut feeding, if fed.is_none() => Turn::Fed(end),
            _ = report_receiver.recv_many(&mut reports, GROUP) => Turn::Reports,
            notice = notices.recv(), if noticing => Turn::Notice(notice),
            event = events.next() => Turn::Event(event),
            error = output.writer.failed() => Turn::WriteFailed(error),
        };
        match turn {
            // What was read before the error is still finished.
            Turn::Fed(end @ (Ok(()) | Err(Failure::Read(_)))) => fed = Some(end),
            Turn::Fed(Err(failure)) => return Err(failure),
            Turn::Reports => output.reports(&desk, &mut reports).await?,
            Turn::Notice(Some(notice)) => output.notice(&desk, notice).await?,
            Turn::Notice(None) => noticing = false,
            Turn::Event(Some(event)) => {
                // All that are here: a job makes more events than reports, so
                // taken one by one they would pile up.
                output.event(event).await?;
                output.events(events).await?;
            }
            Turn::Event(None) => {
                while let Ok(report) = report_receiver.try_recv() {
                    reports.push(report);
                }
                output.reports(&desk, &mut reports).await?;
                return Err(Failure::PoolEnded);
            }
            Turn::WriteFailed(error) => return Err(Failure::Write(error)),
        }
    }
    fed.unwrap_or(Ok(()))
}

/// Everything behind the pool: what becomes of ends and events.
struct Output<'a> {
    renderer: Renderer,
    ordered: Option<Ordered<Entry>>,
    /// Entries whose turn it is.
    ready: Vec<Entry>,
    writer: Writer,
    summary: &'a mut Summary,
}

impl<'a> Output<'a> {
    fn new(
        config: &Config,
        clock: &Clock,
        pool: &Pool,
        writer: Writer,
        summary: &'a mut Summary,
    ) -> Output<'a> {
        Output {
            renderer: Renderer {
                format: config.format,
                task: match &config.work {
                    Work::Command(_) => None,
                    Work::Task { name, .. } => Some(name.clone()),
                },
                delimiter: config.delimiter,
                started: clock.wall,
                room: Arc::clone(pool.spill()),
                tip_given: false,
            },
            ordered: config.keep_order.then(Ordered::new),
            ready: Vec::new(),
            writer,
            summary,
        }
    }

    async fn reports(&mut self, desk: &Desk, reports: &mut Vec<JobReport>) -> Result<(), Failure> {
        let mut lost = false;
        for report in reports.drain(..) {
            // The pool has failed; its error says it once for all of them.
            if report.verdict == Verdict::Lost {
                lost = true;
                continue;
            }
            let ticket = desk.take(report.job);
            let ticket = ticket.ok_or(Failure::Bug("a report for a job that is not under way"))?;
            let rendered = self.renderer.reported(&ticket, report);
            self.end(desk, ticket.seq, rendered).await?;
        }
        self.flush().await;
        if lost {
            Err(Failure::PoolEnded)
        } else {
            Ok(())
        }
    }

    async fn notice(&mut self, desk: &Desk, notice: Notice) -> Result<(), Failure> {
        match notice {
            Notice::Refused((ticket, refusal)) => {
                self.summary.refused();
                let rendered = self.renderer.refused(&ticket, &refusal);
                self.end(desk, ticket.seq, rendered).await?;
            }
            Notice::Warning(text) => self.tell(text.as_bytes())?,
        }
        self.flush().await;
        Ok(())
    }

    /// Puts something on stderr that belongs to no job.
    fn tell(&mut self, text: &[u8]) -> Result<(), Failure> {
        let err = Capture::of(&self.renderer.room, text).map_err(Failure::Spill)?;
        self.ready.push(Entry {
            err,
            ..Entry::default()
        });
        Ok(())
    }

    /// A line of the input has come to its end.
    async fn end(
        &mut self,
        desk: &Desk,
        seq: u64,
        rendered: io::Result<Rendered>,
    ) -> Result<(), Failure> {
        let rendered = rendered.map_err(Failure::Spill)?;
        if rendered.spoiled {
            self.summary.spoiled();
        }
        let Some(ordered) = &mut self.ordered else {
            self.ready.push(rendered.entry);
            return Ok(());
        };
        ordered.put(seq, rendered.entry);
        while let Some(entry) = ordered.take() {
            self.ready.push(entry);
            if self.ready.len() >= GROUP {
                self.writer.write(std::mem::take(&mut self.ready)).await;
            }
        }
        desk.turn(ordered.next());
        Ok(())
    }

    async fn event(&mut self, event: Event) -> Result<(), Failure> {
        self.summary.observe(&event.kind);
        let line = match event.kind {
            EventKind::WorkerPrinted { line, .. } => [&line[..], b"\n"].concat(),
            EventKind::PrintedLost { lines } => {
                let lines = text::counted(lines, "line");
                let why = "workers print faster than stderr is read";
                format!("warning: {why}: {lines} dropped\n").into_bytes()
            }
            _ => return Ok(()),
        };
        self.tell(&line)?;
        if self.ready.len() >= GROUP {
            self.flush().await;
        }
        Ok(())
    }

    /// Takes all events that are here.
    async fn events(&mut self, events: &mut EventStream) -> Result<(), Failure> {
        while let Some(event) = events.try_next() {
            self.event(event).await?;
        }
        self.flush().await;
        Ok(())
    }

    async fn flush(&mut self) {
        self.writer.write(std::mem::take(&mut self.ready)).await;
    }
}
