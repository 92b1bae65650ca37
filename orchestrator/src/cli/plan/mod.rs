//! The checked plan: whatever can be known to be wrong is told before a worker
//! starts and before any input is read.

pub(super) mod control;
pub(super) mod hosts;
mod input;
mod launch;
mod observe;
mod output;
mod packing;
mod pipe;
mod record;
pub(super) mod template;
mod told;
mod work;

use std::ffi::OsString;
use std::net::SocketAddr;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::time::Duration;

use self::control::Controlled;
pub(crate) use self::launch::launch;
pub(crate) use self::record::Record;
use self::record::{purpose, record};
use self::told::Told;
use self::work::{format_for, limits_of, replace_after, work};
use super::args::control::JobsArg;
use super::args::{InputArg, InterruptedArg, RunArgs};
use super::errors::{Message, WorkerName};
use super::habits;
use super::log::Logging;
use super::program::Lookup;
use super::shell;
use super::watch::Watch;
use crate::pool::{PoolConfig, Printed, ThreadsPerJob};
use crate::run::batch::Config;
use crate::run::runfile::{History, Purpose};
use crate::run::sink::manner::Keep;
use crate::run::sink::render::Format;
use crate::run::source::columns::Trim;
use crate::run::source::inputs::Opened;
use crate::run::source::item::Fields;
use crate::run::source::lines::Delimiter;
use crate::run::source::place::{Places, Total};
use crate::run::source::work::Work;

/// What `orchestrator run` will do.
#[derive(Debug)]
pub(crate) struct Plan {
    /// The batch.
    pub(crate) batch: Config,
    /// Its worker, for messages.
    pub(crate) worker: WorkerName,
    /// Its input, if that was opened for the names of columns.
    pub(crate) opened: Option<Opened>,
    /// Those names.
    pub(crate) names: Vec<Vec<u8>>,
    /// What is told while it goes on, and at its end.
    pub(crate) told: Told,
    /// Whether what would be run is only shown.
    pub(crate) dry_run: bool,
    /// What is looked at while it runs.
    pub(crate) watch: Watch,
    /// Lines for stderr before it begins.
    pub(crate) warnings: Vec<String>,
    /// What is logged, if anything.
    pub(crate) log: Option<Logging>,
    /// Where there is a page while it goes on, if there is one.
    pub(crate) dashboard: Option<SocketAddr>,
    /// Whether the exit status is that of GNU parallel.
    pub(crate) like_gnu: bool,
    /// Where it is recorded; how it was called, the caller adds.
    pub(crate) record: Record,
    /// Where it is remembered that it has a run file.
    pub(crate) history: Option<History>,
    /// What is done, for whoever looks for jobs that are recorded.
    pub(crate) purpose: Purpose,
}

/// Checks what was asked for.
///
/// # Errors
/// When it makes no sense, or a program that it needs is not there.
pub(crate) fn plan(args: RunArgs, lookup: &Lookup) -> Result<Plan, Message> {
    let RunArgs {
        control,
        hosts,
        null,
        keep_order,
        worker,
        shell_command,
        task,
        input,
        format,
        max_line,
        memory_limit,
        limits,
        wear,
        template,
        output,
        run_file,
        resume,
        force,
        on_interrupted,
        no_record,
        failed_to,
        told,
        mut pipe,
        mut sources,
        mut packing,
        observe,
        like_gnu,
        words,
    } = args;
    let mut words: Vec<Vec<u8>> = words.into_iter().map(OsStringExt::into_vec).collect();
    packing::share(&mut packing, &mut pipe, (&mut sources.header, null))?;
    let names = std::mem::take(&mut sources.header_name);
    let mut inputs = input::inputs(sources, &packing, (null, max_line), &mut words)?;
    if like_gnu {
        // There, a name is what stands there.
        inputs.form.trim_names = Trim::default();
        inputs.divide_words();
    }
    output::check_are_files([
        ("--run-file", run_file.as_deref()),
        ("--failed-to", failed_to.as_deref()),
        ("--trace", observe.trace_file.as_deref()),
        ("--log-file", observe.log_file.as_deref()),
    ])?;
    let (watching, log, dashboard) = observe::observe(observe, &words, run_file.as_deref())?;
    if worker.worker.is_some() {
        habits::check_options(&words)?;
    }
    input::check_not_read(&inputs, failed_to.as_deref())?;
    let (names, opened) = input::names(&inputs, names)?;
    let mut places = Places {
        several: inputs.fields() != Fields::One,
        repeats: packing.repeats(),
        names: names.clone(),
        ours: !like_gnu,
        // What is recorded would have to know it as well.
        total: (like_gnu && !pipe.pipe).then(Total::default),
        ..template::places(&template)?
    };
    // There, a field has its number however few there are.
    if like_gnu {
        let mut texts = pipe::texts(shell_command.as_deref(), &words);
        places.several |= texts.any(template::has_number);
    }
    // Of a text beside the command nothing follows for the command, where one value is one word.
    let labels = Places {
        several: places.several || like_gnu,
        ..places.clone()
    };
    let unknown = match like_gnu {
        true => Vec::new(),
        false => template::unknown_columns(pipe::texts(shell_command.as_deref(), &words), &places),
    };
    if pipe.pipe {
        let wd = control.wd.iter().map(|wd| wd.as_bytes());
        let texts = pipe::texts(shell_command.as_deref(), &words);
        pipe::check_places(&places, texts.chain(wd))?;
        places.appends = false;
    }
    if inputs.fields() == Fields::None {
        // Nothing is put in, and the line is not there to be added.
        places.appends = false;
    }
    let said = purpose(
        &worker,
        shell_command.as_deref(),
        task.as_deref(),
        input,
        pipe.pipe,
        &words,
    );
    let purpose = Purpose {
        words: template
            .purpose()
            .into_iter()
            .chain(packing.purpose().map(|option| option.as_bytes().to_vec()))
            .chain(said)
            .collect(),
        cwd: lookup.cwd.clone(),
    };
    let control::Where { all, each } = control::directory(&control, &labels, lookup)?;
    let mut there = Lookup {
        cwd: all.clone().unwrap_or_else(|| lookup.cwd.clone()),
        ..lookup.clone()
    };
    if hosts.is_any() {
        // Each host has its own places for programs.
        (there.path, there.must_exist) = (Some(OsString::new()), false);
    }
    let shell_text = shell_command.map(OsStringExt::into_vec);
    let reads = match &shell_text {
        Some(_) => template::Reads::Text,
        None if task.is_none() && words.is_empty() && input != InputArg::Jsonl => {
            template::Reads::Commands
        }
        None => template::Reads::Nothing,
    };
    let shell = template::shell(&template, reads, &there)?;
    let work = match &shell_text {
        Some(text) => {
            let how = (&places, template::dialect(shell));
            shell::text(text, task.as_deref(), input, &words, how, like_gnu)?
        }
        None if task.is_none() && words.is_empty() => shell::commands(&worker, input)?,
        None => work(task, input, &words, &places, &there)?,
    };
    if let (Work::Shell(parsed), Some(text)) = (&work, &shell_text) {
        shell::understood(text, parsed, shell, like_gnu)?;
    }
    let dry_run = template::dry_run(&template, &work, pipe.pipe)?;
    let wd = each.map(|wd| control::for_items(wd, &work, dry_run));
    let wd = wd.transpose()?;
    let limits = limits_of(&work, limits)?;
    if null && input == InputArg::Jsonl {
        return Err(Message::new("-0 and --input jsonl exclude each other")
            .tip("objects end with a line feed: leave out -0"));
    }
    if inputs.fields() != Fields::One {
        input::check_fields(&work)?;
    }
    let format = format_for(&work, format)?;
    let asked = (worker.clone(), hosts.is_any());
    let (launch, worker) = match hosts.is_any() {
        // It may be on hosts only.
        true => launch(worker, &there)?,
        false => launch(worker, lookup)?,
    };
    let mut pool = PoolConfig::new(launch);
    // The sinks say when it is shown, and where.
    pool.printed = Printed::Capture;
    // A command sees the environment that it would see without us.
    pool.threads_per_job = ThreadsPerJob::Inherit;
    pool.launch.current_dir = all;
    let jobs_file = matches!(control.workers, Some(JobsArg::File(_)));
    let (env, given) = (control.env.clone(), control.workers.is_some());
    let loaded = control.load.is_some() || control.memfree.is_some();
    let Controlled {
        halt,
        watch,
        stop,
        mut warnings,
    } = control::control(control, lookup, &mut pool)?;
    warnings.extend(unknown);
    // There, words are a shell's text.
    let between = (!like_gnu).then(|| habits::between_words(&words));
    warnings.extend(between.flatten());
    if !stop.is_empty() && work.task().is_some() {
        return Err(
            Message::new("--termseq is for commands: a task has no process of its own")
                .tip("to give a function time to end: --grace"),
        );
    }
    let at_most_once = on_interrupted == InterruptedArg::Fail;
    pool.memory_per_worker = memory_limit;
    replace_after(&mut pool, &work, wear)?;
    if asked.1 {
        check_elsewhere(jobs_file, loaded, pipe.round_robin, at_most_once)?;
    }
    let silence = hosts.host_timeout;
    let wanted = hosts::Wanted {
        worker: &asked.0,
        directory: pool.launch.current_dir.as_deref(),
        env: match asked.1 {
            true => &env,
            false => &[],
        },
        jobs: given.then_some(pool.workers),
        threads_per_job: hosts::threads(&pool),
    };
    let elsewhere = hosts::places(hosts, &wanted, (&pool, lookup))?;
    let mut slots = pool.workers;
    if let Some(elsewhere) = elsewhere {
        if !elsewhere.is_only_elsewhere() && asked.0.worker.is_some() {
            self::launch(asked.0, lookup)?;
        }
        slots = elsewhere.slots(pool.workers);
        elsewhere.enter(silence, &mut pool);
    }
    send_ahead(&mut pool, halt.is_some(), like_gnu, at_most_once);
    let done = output::done(&output, pipe.pipe, lookup)?;
    let mut manner = output::manner(output, format, &labels, &mut pool, lookup)?;
    manner.replaces = like_gnu;
    if like_gnu && let Keep::Tree(_, again) = &mut manner.keep {
        *again = inputs
            .fields_of_one(&manner.names)
            .filter(|_| packing.packs());
    }
    let others = pipe::Others {
        null,
        like_gnu,
        share: halt.is_some_and(|halt| halt.needs_total()),
        retries: pool.retries > 0,
        recorded: run_file.is_some(),
        failed_to: failed_to.is_some(),
    };
    let pipe = pipe::pipe(pipe, others, slots)?;
    if let Some(pipe) = &pipe {
        pipe::check_work(&work)?;
        pipe::prepare(&mut pool, pipe);
    }
    if pipe.is_some() {
        input::check_one_stream(&inputs)?;
        inputs.delimiter = Delimiter::Block;
    }
    // What processes have read that are fed is nowhere else: none can be run again.
    let is_fed = pipe.as_ref().is_some_and(|pipe| pipe.lanes.is_some());
    let history = lookup.history.clone().filter(|_| !no_record && !is_fed);
    let typed = words.first().map(Vec::as_slice);
    inputs.packing = packing::packing(&packing, &work, typed, slots)?;
    let typed = typed.filter(|_| work.program().is_some());
    let record = record(
        run_file,
        (resume, force, at_most_once),
        history.as_ref(),
        &purpose,
    );
    Ok(Plan {
        batch: Config {
            pool,
            work,
            fields: inputs.fields(),
            inputs,
            limits,
            stop,
            shell,
            number_variable: None,
            wd,
            typed: typed
                .filter(|_| like_gnu)
                .map(|word| &*word.to_vec().leak()),
            format,
            keep_order: keep_order || format == Format::Value,
            halt,
            keep_items: failed_to.is_some()
                || matches!(record, Record::Light(_))
                || manner.wants_items()
                || watching.is_any(),
            manner,
            watching,
            failed_to,
            done,
            pipe,
            terse: like_gnu,
            total: places.total.filter(Total::is_wanted),
        },
        worker,
        opened,
        names,
        told: told::told(told, like_gnu),
        dry_run,
        watch,
        warnings,
        log,
        dashboard,
        like_gnu,
        record,
        history,
        purpose,
    })
}

/// What is for this machine only.
fn check_elsewhere(
    jobs_file: bool,
    loaded: bool,
    round_robin: bool,
    at_most_once: bool,
) -> Result<(), Message> {
    hosts::check(&[
        (
            jobs_file,
            "-j FILE",
            "name a number: -j8, or one for each host: --hosts 8/h1,4/h2",
        ),
        (
            loaded,
            "--load and --memfree",
            "they look at this machine: leave them out",
        ),
        (
            round_robin,
            "--round-robin",
            "--pipe alone gives each job a block",
        ),
        (
            at_most_once,
            "--on-interrupted fail",
            "what a lost host was running is run again elsewhere: leave it out",
        ),
    ])
}

/// How far ahead of their turn jobs may be sent, where that matters.
fn send_ahead(pool: &mut PoolConfig, halts: bool, like_gnu: bool, at_most_once: bool) {
    if halts {
        // Nothing may start behind the job that decides.
        pool.ahead = Duration::ZERO;
        pool.lockstep = true;
    }
    if like_gnu && pool.retries > 0 {
        // There, what comes behind a job that has failed is the same job.
        pool.retry_backoff = Duration::ZERO;
        pool.ahead = Duration::ZERO;
    }
    if at_most_once {
        // Few have to be given up that had not started.
        pool.ahead = Duration::ZERO;
        pool.max_pending = pool.workers;
    }
}

#[cfg(test)]
pub(super) mod tests;
