//! The program: typed arguments → checked plan → run → exit status.

use std::io::{self, IsTerminal, Write};
use std::os::unix::ffi::OsStringExt;
use std::panic::{self, PanicHookInfo, UnwindSafe};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use clap::Parser;
use nix::sys::signal::Signal;
use tokio::runtime::{Builder, Runtime};

use super::agent;
use super::args::{Cli, Command, RunArgs, TasksArgs};
use super::dashboard::{self, Door, Page};
use super::doctor;
use super::dry;
use super::errors::{self, Message};
use super::exit::Exit;
use super::generated;
use super::habits;
use super::log::{Log, Logging};
use super::plan::{self, Plan, Record as Wanted};
use super::program::Lookup;
use super::progress::{self, Form, Surroundings};
use super::signals::{self, Notes, Signals};
use super::summary::Where;
use super::{parallel, recorded, report, summary};
use crate::pool::{self, Launch, Pool, PoolConfig, PoolError, Printed};
use crate::run::batch::{self, Config, Failure, Outcome, Record};
use crate::run::recap::Next;
use crate::run::reins::Reins;
use crate::run::runfile::{self, History, LightRequest, Request};
use crate::run::screen;
use crate::run::sink::writer::WriteError;
use crate::run::source::inputs::Opened;
use crate::run::source::work::Work;

/// The program `orchestrator`: reads the command line, and does what it says.
///
/// Not to be called from within an async runtime. The panic hook is replaced.
#[must_use]
pub fn main() -> ExitCode {
    let words: Vec<_> = std::env::args_os().skip(1).collect();
    match words.iter().map(|word| word.to_str()).collect::<Vec<_>>()[..] {
        // Its words are taken apart in another way.
        [Some("parallel"), ..] => return guarded(|| parallel::parallel(words[1..].to_vec())),
        [Some("help"), Some("parallel")] => {
            return guarded(|| parallel::parallel(vec!["--help".into()]));
        }
        _ => {}
    }
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(mut e) => {
            let words = std::env::args_os().skip(1).map(OsStringExt::into_vec);
            habits::advise(&mut e, &words.collect::<Vec<_>>());
            // Help and version are no errors, but a full disk is.
            return match e.print() {
                Err(_) if !e.use_stderr() => Exit::RUN_FAILED.code(),
                _ => Exit::Status(u8::try_from(e.exit_code()).unwrap_or(2)).code(),
            };
        }
    };
    if let Command::Worker = cli.command {
        return worker::Registry::new().serve();
    }
    guarded(|| match cli.command {
        Command::Run(args) => run(*args),
        Command::Resume(args) => recorded::resume(args),
        Command::Retry(args) => recorded::retry(args),
        Command::Results(args) => recorded::results(args),
        Command::Status(args) => recorded::status(&args),
        Command::Report(args) => report::report(&args),
        Command::Tasks(args) => tasks(args),
        Command::Agent(args) => agent::agent(*args),
        Command::Launch(args) => agent::launch(args),
        Command::Doctor(args) => doctor::doctor(args),
        Command::Completions(args) => generated::completions(&args),
        Command::Man(args) => generated::man(&args),
        Command::Parallel(args) => parallel::parallel(args.words),
        Command::Worker => Exit::OK,
    })
}

/// Does what was asked for, as a program that has seen to its signals and panics.
fn guarded(act: impl FnOnce() -> Exit + UnwindSafe) -> ExitCode {
    signals::unblock();
    panic::set_hook(Box::new(on_panic));
    // The hook has said what there is to say.
    let exit = panic::catch_unwind(act);
    exit.unwrap_or(Exit::RUN_FAILED).code()
}

fn run(args: RunArgs) -> Exit {
    let plan = match plan::plan(args, &lookup()) {
        Ok(plan) => plan,
        Err(message) => return refuse(&message),
    };
    // Behind the program's name and `run`.
    let words = std::env::args_os().skip(2).map(OsStringExt::into_vec);
    start(plan, words.collect())
}

/// Runs a plan; these words say how it was asked for.
pub(super) fn start(mut plan: Plan, words: Vec<Vec<u8>>) -> Exit {
    let wanted = std::mem::replace(&mut plan.record, Wanted::Nothing);
    let reads_stdin = !wanted.is_input() && plan.batch.inputs.reads_stdin();
    let opened = match open_input(&mut plan, &wanted) {
        Ok(Some(opened)) if plan.dry_run => {
            plan.warnings.iter().for_each(|warning| say(warning));
            return dry::show(&plan, opened);
        }
        Ok(opened) => opened,
        Err(message) => return refuse(&message),
    };
    // Whoever runs recorded jobs again has no input to read them from.
    let named = plan
        .names
        .iter()
        .map(|name| [b"--header-name=", &name[..]].concat());
    let words = match wanted.is_input() {
        true => words,
        false => named.chain(words).collect(),
    };
    let door = match plan.dashboard.map(|at| (at, Door::open(at))) {
        None => None,
        Some((_, Ok(door))) => Some(door),
        Some((at, Err(e))) => return refuse(&errors::no_page(at, &e)),
    };
    let said = words.clone();
    let log = match plan.log.as_ref().map(Logging::start).transpose() {
        Ok(log) => log,
        Err(message) => return fail(&message),
    };
    let record = match open(wanted, words) {
        Ok(record) => record,
        Err(message) => return fail(&message),
    };
    if let Some(file) = record.file() {
        if file.is_on_network() {
            say(&errors::on_network(file.path()));
        }
        if let Some(gaps) = file.gaps() {
            say(&errors::gaps(gaps));
        }
    }
    plan.warnings.iter().for_each(|warning| say(warning));
    if let Err(message) = fit_open_files(&mut plan.batch.pool) {
        return fail(&message);
    }
    if reads_stdin && io::stdin().is_terminal() {
        say_what_is_read(&plan.batch);
    }
    let place = match record.file() {
        Some(file) if file.is_light() => Where::Light(file.path().to_owned()),
        Some(file) => Where::File(file.name().to_owned()),
        None => Where::Own,
    };
    let reins = Reins::new(
        plan.batch.keep_order,
        plan.batch.inputs.origin().unit(),
        plan.batch.typed,
    );
    point_at(&record, plan.history.as_ref(), reins.clock.wall);
    let here = Surroundings::of(reads_stdin);
    let progress = progress::form(plan.told.progress, here);
    let page = match door.map(|door| dashboard::open(door, &plan, &reins, (&record, said))) {
        None => None,
        Some(Ok(page)) => Some(page),
        Some(Err(e)) => return fail(&errors::cannot_start(&e)),
    };
    let looks = page.as_ref();
    let ended = match runtime() {
        Ok(runtime) => {
            runtime.block_on(attended(&plan, &reins, (progress, looks), (record, opened)))
        }
        Err(message) => return fail(&message),
    };
    screen::end();
    match ended {
        Ok((outcome, signal)) => {
            let next = summary::next(&outcome, &place, plan.history.as_ref());
            let exit = conclude(&plan, &reins, &outcome, signal, &next);
            if let Some(page) = page {
                dashboard::end(page, &outcome, &place);
            }
            end_log(log.as_ref(), exit)
        }
        Err(e) => fail(&errors::cannot_start(&e)),
    }
}

/// Opens what jobs are made of, unless they are recorded.
fn open_input(plan: &mut Plan, wanted: &Wanted) -> Result<Option<Opened>, Message> {
    if wanted.is_input() {
        return Ok(None);
    }
    let opened = plan
        .opened
        .take()
        .map_or_else(|| plan.batch.inputs.open(), Ok);
    let opened = opened.map_err(|e| errors::no_input(&e))?;
    Ok(Some(opened.packed(&plan.batch.inputs)))
}

/// How to exit when the log has come to its end as well.
fn end_log(log: Option<&Log>, exit: Exit) -> Exit {
    match log.and_then(Log::failure) {
        Some(message) => match (fail(&message), exit) {
            (_, died @ Exit::Signal(_)) => died,
            (failed, _) => failed,
        },
        None => exit,
    }
}

/// Has no more workers than may be there by the limit of open files.
fn fit_open_files(pool: &mut PoolConfig) -> Result<(), Message> {
    match pool::allow_open_files(pool.workers) {
        Ok(()) => {}
        Err(0) => return Err(errors::no_open_files()),
        Err(fit) => {
            say(&errors::fewer_workers(pool.workers, fit));
            pool.workers = fit;
        }
    }
    Ok(())
}

/// Whoever sits at the terminal is told that it is waited for them.
fn say_what_is_read(batch: &Config) {
    let jobs = match batch.work {
        Work::Commands => "commands",
        Work::Jobs { .. } => "objects",
        _ => "jobs",
    };
    match batch.pipe {
        None => say(&format!(
            "reading {jobs} from the terminal: one per line, Ctrl-D to end\n"
        )),
        Some(_) => say("reading what the command reads from the terminal: Ctrl-D to end\n"),
    }
}

/// Remembers that this run, which began then, has a run file.
fn point_at(record: &Record, history: Option<&History>, began: SystemTime) {
    if let (Record::File(file), Some(history)) = (record, history)
        && !file.is_light()
    {
        let history = history.clone();
        let path = file.path().to_owned();
        // Whether that works, and when, changes nothing for this run.
        let point = move || history.point(began, &path);
        std::thread::Builder::new().spawn(point).ok();
    }
}

/// Opens where the run is recorded; these words say how it was asked for.
fn open(wanted: Wanted, words: Vec<Vec<u8>>) -> Result<Record, Message> {
    let request = match wanted {
        Wanted::Nothing => return Ok(Record::Nothing),
        Wanted::Light(request) => {
            return Ok(Record::Light(LightRequest {
                arguments: words,
                ..request
            }));
        }
        Wanted::File(request) => Request {
            arguments: words,
            ..request
        },
    };
    let cwd = &request.purpose.cwd;
    if !cwd.is_absolute() {
        return Err(errors::no_directory(cwd, &io::ErrorKind::NotFound.into()));
    }
    // Before the file says that a run has begun.
    std::fs::metadata(cwd).map_err(|e| errors::no_directory(cwd, &e))?;
    let file = runfile::open(&request).map_err(|e| errors::run_file(&e))?;
    // Recorded jobs name files from there.
    std::env::set_current_dir(cwd).map_err(|e| errors::no_directory(cwd, &e))?;
    Ok(Record::File(Box::new(file)))
}

/// Runs the batch and listens to signals beside it; also gives the signal that
/// it was stopped by.
async fn attended(
    plan: &Plan,
    reins: &Reins,
    (progress, page): (Form, Option<&Page>),
    (record, opened): (Record, Option<Opened>),
) -> io::Result<(Outcome, Option<Signal>)> {
    let notes = match (plan.like_gnu, plan.told.quiet) {
        (true, _) => Notes::Gnu,
        (false, true) => Notes::Nothing,
        (false, false) => Notes::Ours,
    };
    let mut signals = Signals::install(plan.batch.pool.grace, notes)?;
    let outcome = tokio::select! {
        outcome = batch::run(&plan.batch, reins, record, opened) => outcome,
        never = signals.attend(reins) => match never {},
        never = plan.watch.clone().attend(reins) => match never {},
        never = progress.attend(reins) => match never {},
        never = dashboard::look(page, reins) => match never {},
    };
    Ok((outcome, signals.stopped_by()))
}

/// Tells what a run came to, and how to exit.
fn conclude(
    plan: &Plan,
    reins: &Reins,
    outcome: &Outcome,
    signal: Option<Signal>,
    next: &[Next],
) -> Exit {
    let summary = &outcome.summary;
    // A hangup behind the last line of the input has changed nothing.
    let stopped = !outcome.whole || summary.interrupted > 0;
    let dies_of = signal.filter(|_| stopped).map(Exit::Signal);
    let failed = outcome.failure.as_ref();
    let failed = failed.map(|failure| errors::failure(failure, &plan.worker));
    if let Some((Some(message), _)) = &failed {
        say(&message.to_string());
    }
    summary::tell(plan, outcome, stopped && reins.stopped().is_some(), next);
    match (dies_of, failed) {
        (Some(exit), _) | (None, Some((_, exit))) => exit,
        (None, None) if summary.all_failed() == 0 && !summary.unread => Exit::OK,
        (None, None) if plan.like_gnu => Exit::Status(parallel::status(summary, plan.batch.halt)),
        (None, None) => Exit::JOBS_FAILED,
    }
}

fn tasks(args: TasksArgs) -> Exit {
    let (launch, worker) = match plan::launch(args.worker, &lookup()) {
        Ok(launch) => launch,
        Err(message) => return refuse(&message),
    };
    let offered = match runtime() {
        Ok(runtime) => runtime.block_on(offered(launch, None)),
        Err(message) => return fail(&message),
    };
    let names = match offered {
        Ok(names) => names,
        Err(e) => return fail(&errors::pool(&e, &worker)),
    };
    let list: String = names.iter().map(|name| format!("{name}\n")).collect();
    let mut stdout = io::stdout().lock();
    match stdout
        .write_all(list.as_bytes())
        .and_then(|()| stdout.flush())
    {
        Ok(()) => Exit::OK,
        Err(e) if e.kind() == io::ErrorKind::BrokenPipe => Exit::BROKEN_PIPE,
        Err(e) => {
            let failure = Failure::Write(WriteError::Failed(e));
            let (message, exit) = errors::failure(&failure, &worker);
            say(&message.map(|m| m.to_string()).unwrap_or_default());
            exit
        }
    }
}

/// Starts one worker, asks what it offers, and lets it go; when the system has no room for it,
/// that may last so long.
pub(super) async fn offered(
    launch: Launch,
    patience: Option<Duration>,
) -> Result<Vec<String>, PoolError> {
    let mut config = PoolConfig::new(launch);
    config.workers = 1;
    config.spawn_patience = patience.unwrap_or(config.spawn_patience);
    // What its start-up says belongs to no list of tasks.
    config.printed = Printed::Capture;
    let pool = Pool::start(config)?;
    let offered = pool.tasks().await;
    pool.shutdown().await.ok();
    Ok(offered?.to_vec())
}

pub(super) fn lookup() -> Lookup {
    let cwd = std::env::current_dir().ok();
    Lookup {
        path: std::env::var_os("PATH"),
        cpus: std::env::var_os(plan::control::CPUS),
        must_exist: true,
        // Without a place nobody knows what its lines mean.
        history: history().filter(|_| cwd.is_some()),
        cwd: cwd.unwrap_or_else(|| PathBuf::from(".")),
    }
}

/// The directory of records, if runs are to be remembered.
fn history() -> Option<History> {
    let no = std::env::var_os("ORCHESTRATOR_NO_RECORD").filter(|value| !value.is_empty());
    // Those inside jobs would take the place of the run that somebody has started.
    let is_inside = std::env::var_os("ORCHESTRATOR_SLOT").is_some();
    let no = no.map_or(is_inside, |value| value != "0");
    records().filter(|_| !no)
}

/// The directory of records.
pub(super) fn records() -> Option<History> {
    let path = |name| std::env::var_os(name).map(PathBuf::from);
    History::of(path("XDG_STATE_HOME"), path("HOME"))
}

pub(super) fn runtime() -> Result<Runtime, Message> {
    Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| errors::cannot_start(&e))
}

pub(super) fn refuse(message: &Message) -> Exit {
    say(&message.to_string());
    Exit::USAGE
}

pub(super) fn fail(message: &Message) -> Exit {
    say(&message.to_string());
    Exit::RUN_FAILED
}

/// Writes to stderr at once. When that fails there is nobody left to be told.
pub(super) fn say(text: &str) {
    screen::say(text);
}

fn on_panic(info: &PanicHookInfo<'_>) {
    let payload = info.payload();
    let text = payload.downcast_ref::<&str>().copied();
    let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    let what = text.unwrap_or("panic");
    let place = info
        .location()
        .map(|l| format!(" at {l}"))
        .unwrap_or_default();
    // Whoever panics may be just showing something.
    screen::say_at_once(&format!(
        "orchestrator: internal error: {what}{place} (please report)\n"
    ));
}
