//! The program: typed arguments → checked plan → run → exit status.

use std::io::{self, IsTerminal, Write};
use std::os::unix::ffi::OsStringExt;
use std::panic::{self, PanicHookInfo, UnwindSafe};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use nix::sys::signal::Signal;
use tokio::runtime::{Builder, Runtime};

use super::agent;
use super::args::{Cli, Command, RunArgs, TasksArgs};
use super::dry;
use super::errors::{self, Message};
use super::exit::Exit;
use super::generated;
use super::habits;
use super::plan::{self, Plan, Record as Wanted};
use super::program::Lookup;
use super::signals::{self, Signals};
use super::{parallel, recorded, report};
use crate::pool::{self, Launch, Pool, PoolConfig, PoolError, Printed};
use crate::run::batch::{self, Failure, Outcome, Record};
use crate::run::reins::{Reins, Stop};
use crate::run::report::Summary;
use crate::run::runfile::{self, History, LightRequest, Remembered, Request};
use crate::run::sink::writer::WriteError;
use crate::run::source::inputs::Opened;
use crate::run::source::work::Work;
use crate::run::text;

/// The program `orchestrator`: reads the command line, and does what it says.
///
/// Not to be called from within an async runtime. The panic hook is replaced.
#[must_use]
pub fn main() -> ExitCode {
    let mut words = std::env::args_os().skip(1);
    if words.next().is_some_and(|word| word == "parallel") {
        // Its words are taken apart in another way.
        return guarded(|| parallel::parallel(words.collect()));
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
        Command::Agent(args) => agent::agent(args),
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
    let opened = match wanted.is_input() {
        true => None,
        false => match plan
            .opened
            .take()
            .map_or_else(|| plan.batch.inputs.open(), Ok)
        {
            Ok(opened) => Some(opened.packed(&plan.batch.inputs)),
            Err(e) => return refuse(&errors::no_input(&e)),
        },
    };
    let opened = match opened {
        Some(opened) if plan.dry_run => return dry::show(&plan, opened),
        opened => opened,
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
    let workers = plan.batch.pool.workers;
    match pool::allow_open_files(workers) {
        Ok(()) => {}
        Err(0) => return fail(&errors::no_open_files()),
        Err(fit) => {
            say(&errors::fewer_workers(workers, fit));
            plan.batch.pool.workers = fit;
        }
    }
    if reads_stdin && io::stdin().is_terminal() {
        let jobs = match plan.batch.work {
            Work::Commands => "commands",
            Work::Jobs { .. } => "objects",
            _ => "jobs",
        };
        match plan.batch.pipe {
            None => say(&format!(
                "reading {jobs} from the terminal: one per line, Ctrl-D to end\n"
            )),
            Some(_) => say("reading what the command reads from the terminal: Ctrl-D to end\n"),
        }
    }
    let name = match &record {
        Record::File(file) if !file.is_light() => {
            Some(text::escaped(file.name().as_os_str().as_encoded_bytes()))
        }
        Record::File(_) | Record::Light(_) | Record::Nothing => None,
    };
    let reins = Reins::new(plan.batch.keep_order);
    if let (Record::File(file), Some(history)) = (&record, &plan.history)
        && !file.is_light()
    {
        let (history, began) = (history.clone(), reins.clock.wall);
        let path = file.path().to_owned();
        // Whether that works, and when, changes nothing for this run.
        let point = move || history.point(began, &path);
        std::thread::Builder::new().spawn(point).ok();
    }
    let ended = match runtime() {
        Ok(runtime) => runtime.block_on(attended(&plan, &reins, record, opened)),
        Err(message) => return fail(&message),
    };
    match ended {
        Ok((outcome, signal)) => {
            let exit = conclude(&plan, &reins, &outcome, signal);
            let next = match name {
                _ if plan.quiet || outcome.failure.is_some() => None,
                Some(name) => next(&outcome, &name),
                None => next_of_last(&outcome.summary, plan.history.as_ref()),
            };
            if let Some(next) = next {
                say(&format!("{}{next}\n", prefix()));
            }
            exit
        }
        Err(e) => fail(&errors::cannot_start(&e)),
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
    record: Record,
    opened: Option<Opened>,
) -> io::Result<(Outcome, Option<Signal>)> {
    let mut signals = Signals::install(plan.batch.pool.grace, plan.quiet)?;
    let outcome = tokio::select! {
        outcome = batch::run(&plan.batch, reins, record, opened) => outcome,
        never = signals.attend(reins) => match never {},
        never = plan.watch.clone().attend(reins) => match never {},
    };
    Ok((outcome, signals.stopped_by()))
}

/// What can be done next with a run file of this name, in a line.
fn next(outcome: &Outcome, name: &str) -> Option<String> {
    let summary = &outcome.summary;
    if summary.interrupted > 0 && outcome.whole {
        return Some(format!("to go on: orchestrator resume {name}"));
    }
    if !outcome.whole {
        return Some("to go on: the same command and input, with --resume".into());
    }
    let failed = summary.all_failed() > 0;
    failed.then(|| format!("to run again what has failed: orchestrator retry --failed {name}"))
}

/// What can be done next with a light record, in a line.
fn next_of_last(summary: &Summary, history: Option<&History>) -> Option<String> {
    let Remembered { path, dropped } = summary.remembered.as_ref()?;
    let what = match (summary.failed, summary.interrupted + summary.lost) {
        (0, 0) => return None,
        (_, 0) => "to run again what has failed",
        (0, _) => "to run what was not done",
        (_, _) => "to run what has failed or was not done",
    };
    let but = match dropped {
        0 => String::new(),
        _ => format!(
            ", but for {} that the record had no room for",
            text::counted(*dropped, "job")
        ),
    };
    // Another run may have begun meanwhile.
    let is_last = history.is_some_and(|history| history.last().as_ref() == Some(path));
    let name = match is_last {
        true => "last".to_owned(),
        false => text::escaped(path.as_os_str().as_encoded_bytes()),
    };
    Some(format!("{what}{but}: orchestrator retry {name}"))
}

/// Tells what a run came to, and how to exit.
fn conclude(plan: &Plan, reins: &Reins, outcome: &Outcome, signal: Option<Signal>) -> Exit {
    let summary = &outcome.summary;
    // A hangup behind the last line of the input has changed nothing.
    let stopped = !outcome.whole || summary.interrupted > 0;
    let dies_of = signal.filter(|_| stopped).map(Exit::Signal);
    let Some(failure) = &outcome.failure else {
        summarize(summary, reins.stopped().filter(|_| stopped), plan.quiet);
        return match dies_of {
            Some(exit) => exit,
            None if summary.all_failed() == 0 && !summary.unread => Exit::OK,
            None if plan.like_gnu => Exit::Status(parallel::status(summary, plan.batch.halt)),
            None => Exit::JOBS_FAILED,
        };
    };
    let (message, exit) = errors::failure(failure, &plan.worker);
    if let Some(message) = message {
        say(&message.to_string());
    }
    // Where something was done, what was done is worth telling; where results
    // went nowhere, it would only look like success.
    if matches!(
        failure,
        Failure::Read(_) | Failure::TooLarge(_) | Failure::Pool(_)
    ) && summary.jobs() > 0
    {
        summarize(summary, None, plan.quiet);
    }
    dies_of.unwrap_or(exit)
}

fn tasks(args: TasksArgs) -> Exit {
    let (launch, worker) = match plan::launch(args.worker, &lookup()) {
        Ok(launch) => launch,
        Err(message) => return refuse(&message),
    };
    let offered = match runtime() {
        Ok(runtime) => runtime.block_on(offered(launch)),
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

/// Starts one worker, asks what it offers, and lets it go.
async fn offered(launch: Launch) -> Result<Vec<String>, PoolError> {
    let mut config = PoolConfig::new(launch);
    config.workers = 1;
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
    let no = std::env::var_os("ORCHESTRATOR_NO_RECORD");
    let no = no.is_some_and(|value| !value.is_empty() && value != "0");
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

/// In a log, our lines must be found among those of the jobs.
fn prefix() -> &'static str {
    if io::stderr().is_terminal() {
        ""
    } else {
        "orchestrator: "
    }
}

fn summarize(summary: &Summary, stopped: Option<Stop>, quiet: bool) {
    if quiet {
        return;
    }
    let prefix = prefix();
    let line = match stopped {
        Some(_) => summary.stopped_line(),
        None => summary.line(),
    };
    let resumed = summary.resumed_line();
    let resumed = resumed.map(|line| format!("{prefix}{line}\n"));
    say(&format!("{}{prefix}{line}\n", resumed.unwrap_or_default()));
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
    io::stderr().lock().write_all(text.as_bytes()).ok();
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
    say(&format!(
        "orchestrator: internal error: {what}{place} (please report)\n"
    ));
}
