//! A batch from its first line to its last result: what it is, how it begins and how it
//! ends. In between, it is driven by the loop in [`drive`].

mod doubting;
mod drive;

use std::collections::VecDeque;
use std::io;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use protocol::{Limits, StopStep};
use tokio::sync::mpsc;
use tracing::info;

use self::doubting::Doubting;
use self::drive::{News, drive, next_part};
use super::done::Done;
use super::halt::Halt;
use super::observe::watchers::{Watchers, Watching};
use super::output::{Output, PARTS};
use super::places::Places;
use super::reins::Reins;
use super::report::Summary;
use super::runfile::{Light, LightRequest, RunFile, RunFileError};
use super::sink::failed::Failed;
use super::sink::joblog::JobLog;
use super::sink::manner::Manner;
use super::sink::render::Format;
use super::sink::store::Store;
use super::sink::writer::{WriteError, Writer};
use super::source::count::ToCount;
use super::source::directory::Directory;
use super::source::inputs::{Inputs, Opened};
use super::source::item::Fields;
use super::source::pipe::Pipe;
use super::source::place::Total;
use super::source::reader::Source;
use super::source::values::ReadError;
use super::source::work::{Recipe, Work};
use crate::pool::{
    self, Event, EventKind, EventStream, Pool, PoolConfig, PoolError, Printed, Reports,
};

/// How many entries go to the writer at once.
pub(super) const GROUP: usize = 256;

/// How much of all results that were not written yet is kept in memory, in
/// bytes; they are few unless the reader of the output is slow.
const RESULT_MEMORY: usize = 16 << 20;

/// The same for what jobs have printed.
const OUTPUT_MEMORY: usize = 4 << 20;

/// The variable that holds the id of a recorded run.
const RUN_ID: &str = "ORCHESTRATOR_RUN_ID";

/// A batch, checked and complete.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    /// The pool.
    pub(crate) pool: PoolConfig,
    /// What is done with each line.
    pub(crate) work: Work,
    /// What the bytes of an item are to a template.
    pub(crate) fields: Fields,
    /// Where lines come from.
    pub(crate) inputs: Inputs,
    /// What each command may use.
    pub(crate) limits: Limits,
    /// How it is made to stop, if that was said.
    pub(crate) stop: Vec<StopStep>,
    /// The shell that reads texts, if it is not the worker's own.
    pub(crate) shell: Option<&'static [u8]>,
    /// In which variable a command finds its number, if in any.
    pub(crate) number_variable: Option<&'static str>,
    /// How the program of all commands was typed, if that is how it is shown.
    pub(crate) typed: Option<&'static [u8]>,
    /// In which directory each command runs, if that depends on its item.
    pub(crate) wd: Option<Directory>,
    /// What a job's end looks like.
    pub(crate) format: Format,
    /// Whether entries come in the order of the input.
    pub(crate) keep_order: bool,
    /// When it ends before its input does.
    pub(crate) halt: Option<Halt>,
    /// In what manner what jobs print is shown.
    pub(crate) manner: Manner,
    /// Who watches.
    pub(crate) watching: Watching,
    /// Where lines are written whose jobs have failed.
    pub(crate) failed_to: Option<PathBuf>,
    /// What is done already.
    pub(crate) done: Option<Arc<Done>>,
    /// Whether lines are kept until their jobs have ended.
    pub(crate) keep_items: bool,
    /// How the input is cut, if it is what commands read.
    pub(crate) pipe: Option<Pipe>,
    /// Whether nothing is said of jobs that fail by themselves or are tried again.
    pub(crate) terse: bool,
    /// How many jobs there are, if that is needed before the first one is made.
    pub(crate) total: Option<Total>,
}

/// Where a batch is recorded.
#[derive(Debug)]
pub(crate) enum Record {
    /// Nowhere.
    Nothing,
    /// What does not succeed, for a look at it afterwards.
    Light(LightRequest),
    /// All of it, so that it can go on.
    File(Box<RunFile>),
}

impl Record {
    /// The run file, if there is one.
    pub(crate) fn file(&self) -> Option<&RunFile> {
        match self {
            Record::File(file) => Some(file),
            Record::Nothing | Record::Light(_) => None,
        }
    }
}

impl Config {
    /// What items are to whoever shows jobs.
    pub(crate) fn shown_fields(&self) -> Fields {
        match self.pipe {
            // What a block holds is no argument.
            Some(_) => Fields::None,
            None => self.fields,
        }
    }

    /// How its lines become jobs.
    pub(crate) fn recipe(&self) -> Recipe {
        Recipe {
            work: self.work.clone(),
            fields: self.fields,
            delimiter: self.inputs.delimiter,
            origin: self.inputs.origin(),
            max_line: self.inputs.max_line,
            grace: self.pool.grace,
            stop: self.stop.clone(),
            limits: self.limits,
            shell: self.shell,
            number_variable: self.number_variable,
            wd: self.wd.clone(),
            typed: self.typed,
            done: self.done.clone(),
            keep_items: self.keep_items,
            pipe: self
                .pipe
                .as_ref()
                .map(|pipe| pipe.for_workers(self.pool.workers)),
        }
    }
}

/// How a batch ended.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// What it came to.
    pub(crate) summary: Summary,
    /// Why it is not complete, if it is not.
    pub(crate) failure: Option<Failure>,
    /// Whether all of the input was taken.
    pub(crate) whole: bool,
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
    Read(ReadError),
    /// This job was another one in the log that says it is done.
    Changed(u64),
    /// A record of the input is larger than so many bytes.
    TooLarge(usize),
    /// The output cannot be written.
    Write(WriteError),
    /// What jobs printed cannot be kept until it is written.
    Spill(io::Error),
    /// The run file cannot be read or written.
    RunFile(RunFileError),
    /// The lines of failed jobs cannot be written.
    FailedTo(io::Error),
    /// The job log cannot be written.
    JobLog(io::Error),
    /// The trace cannot be written.
    Trace(io::Error),
    /// No thread or descriptor for input or output.
    Resources(io::Error),
    /// The pool failed.
    Pool(PoolError),
    /// The pool ended without being asked; its shutdown says why.
    PoolEnded,
    /// Something that cannot happen.
    Bug(&'static str),
}

impl Failure {
    /// What has failed, as it is recorded.
    pub(crate) fn word(&self) -> &'static str {
        match self {
            Failure::UnknownTask { .. } => "the task is unknown",
            Failure::Read(_) => "the input could not be read",
            Failure::Changed(_) => "a job was another one in the job log",
            Failure::TooLarge(_) => "a record was too large",
            Failure::Write(_) => "results could not be written",
            Failure::Spill(_) | Failure::Pool(PoolError::Spill(_)) => {
                "output of jobs could not be kept"
            }
            Failure::RunFile(_) => "the run file could not be written",
            Failure::FailedTo(_) => "lines of failed jobs could not be written",
            Failure::JobLog(_) => "the job log could not be written",
            Failure::Trace(_) => "the trace could not be written",
            Failure::Resources(_) => "there were no threads or descriptors left",
            Failure::Pool(PoolError::Hosts { .. }) => "no host could be used",
            Failure::Pool(_) | Failure::PoolEnded => "no worker could be kept alive",
            Failure::Bug(_) => "an internal error",
        }
    }
}

/// Runs a batch from the first line to the last result, or as far as the reins
/// let it. With a run file, all of it is recorded there; its jobs may come from
/// there as well. Without, what does not succeed is remembered, if that is wanted.
pub(crate) async fn run(
    config: &Config,
    reins: &Reins,
    record: Record,
    opened: Option<Opened>,
) -> Outcome {
    {
        let mut summary = reins.summary.borrow_mut();
        // Hosts say how many they have.
        summary.workers = config.pool.workers - config.pool.agents.len();
        summary.places = Places::new(config.pool.agents.len());
        summary.again = config.done.is_some();
        summary.held = config.pool.starts_by_leave || !config.pool.start_delay.is_zero();
    }
    info!(workers = config.pool.workers, "run started");
    // This program has no children but workers, beside those that it was born
    // with.
    let adopted = pool::adopt_orphans();
    let mut pool = PoolConfig {
        kill_orphans: adopted.is_ok(),
        output_memory: OUTPUT_MEMORY,
        result_memory: RESULT_MEMORY,
        ..config.pool.clone()
    };
    let parts = config.manner.mode.is_live().then(|| {
        let (sender, parts) = mpsc::channel(PARTS);
        pool.printed = Printed::Chunks(sender);
        parts
    });
    if config.manner.wants_starts() {
        // It is told that a job is sent when it is about to start.
        pool.ahead = Duration::ZERO;
    }
    if let Some(file) = record.file() {
        // Workers' functions and commands see it.
        let id = (RUN_ID.into(), file.run_id().into());
        pool.launch.env.push(id);
    }
    // Of a run that goes on, some lines are done.
    let is_new = record.file().is_none_or(|file| !file.is_resumed());
    if let Some(opened) = opened.as_ref().filter(|_| is_new) {
        reins.input(to_count(config, opened));
    }
    // What is recorded decides what is run again.
    let doubts = record.file().is_some();
    let ended = match Ends::open(config, record, opened, reins.clock.wall) {
        // Before the workers: they can be fewer, these cannot.
        Err(e) => Err(e),
        Ok(ends) => match start(config, pool) {
            Err(e) => Err(Failure::Pool(e)),
            Ok((pool, events)) => {
                reins.take(pool.control());
                let (sender, reports) = Reports::channel();
                let news = News {
                    events,
                    reports: Doubting::new(reports, doubts),
                    parts,
                };
                run_in(config, reins, ends, pool, (sender, news)).await
            }
        },
    };
    let mut summary = reins.summary.take();
    summary.wall = reins.clock.elapsed();
    summary.cpu = reins.clock.cpu();
    let (whole, failure) = match ended {
        Ok(whole) => (whole, None),
        // It was told to end before it had begun.
        Err(Failure::Pool(PoolError::Closed)) if reins.stopped().is_some() => (false, None),
        Err(failure) => (false, Some(failure)),
    };
    let word = failure.as_ref().map(Failure::word);
    info!(
        succeeded = summary.succeeded,
        failed = summary.failed,
        interrupted = summary.interrupted,
        lost = summary.lost,
        failure = word,
        "run ended"
    );
    Outcome {
        summary,
        failure,
        whole,
    }
}

/// What could be counted of the input before it is read, if it is not counted anyway.
fn to_count(config: &Config, opened: &Opened) -> Option<ToCount> {
    let counts = counts_first(config).is_some();
    // Of those in a job log, some are done.
    let reads = config.pipe.is_none() && config.done.is_none();
    let reads = reads && config.inputs.shuffle.is_none() && !counts;
    reads.then(|| ToCount::of(opened, config.inputs.delimiter, &config.work))?
}

/// Where jobs come from that are not recorded.
pub(super) fn input(config: &Config, opened: Opened) -> io::Result<Source> {
    let total = counts_first(config);
    Source::input(config.recipe(), opened, config.inputs.shuffle, total)
}

/// What is told how many jobs there are, if that is found out before the first one is made.
fn counts_first(config: &Config) -> Option<Total> {
    let for_halt = config.halt.filter(Halt::needs_total);
    config
        .total
        .clone()
        .or_else(|| for_halt.map(|_| Total::default()))
}

/// Starts a pool that tells what this batch has to know.
fn start(config: &Config, pool: PoolConfig) -> Result<(Pool, EventStream), PoolError> {
    match config.manner.wants_starts() || config.watching.is_any() {
        true => Pool::start_observed(pool),
        false => Pool::start_watched(pool),
    }
}

/// Where a batch begins and ends, each with a thread of its own.
struct Ends {
    source: Source,
    writer: Writer,
    failed: Option<Failed>,
    joblog: Option<JobLog>,
    watchers: Option<Watchers>,
    record: Record,
}

impl Ends {
    fn open(
        config: &Config,
        record: Record,
        opened: Option<Opened>,
        began: SystemTime,
    ) -> Result<Ends, Failure> {
        let file = record.file();
        let source = match file.and_then(|file| Some((file, file.which()?))) {
            None => {
                let opened = opened.ok_or(Failure::Bug("the input was not opened"))?;
                input(config, opened)
            }
            Some((file, which)) => {
                let recipe = config.recipe();
                Source::recorded(recipe, file.pages(which).map_err(Failure::RunFile)?)
            }
        };
        let source = source.map_err(Failure::Resources)?;
        let failed = match &config.failed_to {
            None => None,
            Some(path) => Some(
                Failed::create(path, config.inputs.delimiter, config.fields)
                    .map_err(Failure::FailedTo)?,
            ),
        };
        let joblog = config.manner.joblog.as_deref().map(JobLog::open);
        let mut joblog = joblog.transpose().map_err(Failure::JobLog)?;
        if config.terse && config.manner.verbose {
            joblog.iter_mut().for_each(JobLog::counts_commands);
        }
        let watchers = Watchers::open(&config.watching, config.work.task(), began);
        let watchers = watchers.map_err(Failure::Trace)?;
        let store = Store::open(&config.manner, began);
        let store = store.map_err(|e| Failure::Write(WriteError::Kept(e)))?;
        let shown = file.map(RunFile::shown);
        let writer = Writer::start(shown, store).map_err(Failure::Resources)?;
        Ok(Ends {
            source,
            writer,
            failed,
            joblog,
            watchers,
            record,
        })
    }
}

/// When no host can be used and that is certain so soon, all is said in one error.
const AT_ONCE: Duration = Duration::from_secs(5);
/// Of what launchers print before the first host is there, so many lines are shown: the last.
const LATER: usize = 256;

/// Before any input is read: do the workers know the task?
async fn check_task(pool: &Pool, work: &Work) -> Result<(), Failure> {
    if let Work::Jobs { tasks: true } = work {
        // Each job names its own; their workers are there before the first is read.
        return pool.tasks().await.map(drop).map_err(Failure::Pool);
    }
    let offered = pool.tasks().await.map_err(Failure::Pool)?;
    let command = <protocol::command::Command as protocol::Task>::NAME;
    let task = work.task().unwrap_or(command);
    if offered.iter().any(|name| name == task) {
        return Ok(());
    }
    Err(Failure::UnknownTask {
        task: task.to_owned(),
        offered,
    })
}

/// The same. The first host may be there in an hour: what is wrong with others is told meanwhile.
/// The events that are for later: who is there first is recorded, when there is a record, and of
/// what launchers print nothing is lost that matters; of those that failed it is in what is wrong.
async fn check_meanwhile(
    pool: &Pool,
    work: &Work,
    events: &mut EventStream,
    output: &mut Output<'_>,
) -> Result<VecDeque<Event>, Failure> {
    let mut later = VecDeque::new();
    let mut check = pin!(check_task(pool, work));
    tokio::select! {
        checked = &mut check => return checked.map(|()| later),
        () = tokio::time::sleep(AT_ONCE) => {}
    }
    loop {
        let event = tokio::select! {
            biased;
            checked = &mut check => return checked.map(|()| later),
            Some(event) = events.next() => event,
        };
        match event.kind {
            EventKind::WorkerReady { .. } => {
                later.push_back(event);
                return check.await.map(|()| later);
            }
            EventKind::WorkerPrinted { .. } => {
                if later.len() == LATER {
                    later.pop_front();
                }
                later.push_back(event);
            }
            _ => {
                output.event(event).await?;
                output.flush().await?;
            }
        }
    }
}

/// Whether all of the input was taken.
async fn run_in(
    config: &Config,
    reins: &Reins,
    ends: Ends,
    pool: Pool,
    // Bounded by the pool: a job keeps its room until its report is taken.
    (sender, mut news): (Reports, News),
) -> Result<bool, Failure> {
    let Ends {
        source,
        writer,
        failed,
        joblog,
        watchers,
        record,
    } = ends;
    let mut output = Output::new(config, &pool, writer, reins);
    output.failed = failed;
    output.joblog = joblog;
    output.watchers = watchers;
    let checked = check_meanwhile(&pool, &config.work, &mut news.events, &mut output).await;
    let early = match checked {
        Ok(early) => early,
        Err(failure) => {
            pool.shutdown_now().await.ok();
            return Err(failure);
        }
    };
    let ledger = match record {
        Record::Nothing => None,
        Record::Light(request) => {
            let (started, room) = (reins.clock.wall, Arc::clone(pool.spill()));
            output.light = Some(Light::new(request, started, room));
            output.copy_for_records();
            None
        }
        Record::File(file) => match output.record(config, *file).await {
            Ok(ledger) => ledger,
            Err(failure) => {
                pool.shutdown_now().await.ok();
                return Err(failure);
            }
        },
    };
    for event in early {
        if let Err(failure) = output.event(event).await {
            pool.shutdown_now().await.ok();
            return Err(failure);
        }
    }
    let source = source.read(ledger);
    let driven = drive(config, reins, source, &pool, sender, &mut news, &mut output).await;
    if reins.summary.borrow().jobs() > 0
        && let Some(light) = &mut output.light
    {
        // While workers end.
        light.begin();
    }
    let ended = ended_pool(end_pool(pool, driven), &mut news, &mut output).await;
    if ended.is_err() {
        // It does not live on: whoever has ended jobs may have ended who reads its output, too.
        news.reports.interrupt();
    }
    // What workers printed last, and the verdicts that are not counted yet.
    let told = output.events(&mut news.events).await;
    while let Some(reports) = news.reports.try_next_turn() {
        output.keep(&reins.desk, reports).await;
    }
    let light = output.light.take();
    let failed = ended.as_ref().err().or(told.as_ref().err());
    let (written, recorded) = output.finish(failed.map(Failure::word)).await;
    if let Some(light) = light {
        let summary = reins.summary.borrow().clone();
        let whole = matches!(ended, Ok(true));
        let failed = failed.or(written.as_ref().err()).map(Failure::word);
        let remembered = light.finish(&summary, whole, failed).await;
        reins.summary.borrow_mut().remembered = remembered;
    }
    ended.and_then(|whole| told.and(written).and(recorded).map(|()| whole))
}

/// Ends the pool in good order, or at once when the run cannot go on.
async fn end_pool(pool: Pool, driven: Result<bool, Failure>) -> Result<bool, Failure> {
    match driven {
        Ok(whole) => match pool.shutdown().await {
            Ok(()) => Ok(whole),
            Err(e) => Err(Failure::Pool(e)),
        },
        // Everything that was read has been done.
        Err(failure @ (Failure::Read(_) | Failure::Changed(_) | Failure::TooLarge(_))) => {
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

/// Waits for the end of the pool, which may wait for what its jobs have printed to be taken.
async fn ended_pool(
    ending: impl Future<Output = Result<bool, Failure>>,
    news: &mut News,
    output: &mut Output<'_>,
) -> Result<bool, Failure> {
    let mut ending = pin!(ending);
    let mut shown = Ok(());
    let ended = loop {
        tokio::select! {
            ended = &mut ending => break ended,
            Some(part) = next_part(&mut news.parts) => {
                shown = shown.and(output.part(part).await);
            }
        }
    };
    shown = shown.and(output.parts(&mut news.parts).await);
    shown = shown.and(output.last_parts());
    ended.and_then(|whole| shown.map(|()| whole))
}
