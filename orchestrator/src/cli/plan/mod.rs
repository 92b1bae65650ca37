//! The checked plan: whatever can be known to be wrong is told before a worker
//! starts and before any input is read.

mod called;
pub(super) mod control;
pub(super) mod hosts;
mod input;
mod launch;
mod manned;
mod observe;
mod output;
mod packing;
mod pipe;
mod places;
mod record;
pub(super) mod template;
mod told;
mod work;

use std::ffi::OsString;
use std::net::SocketAddr;
use std::os::unix::ffi::OsStringExt;

use self::called::Called;
use self::control::Controlled;
pub(crate) use self::launch::launch;
use self::manned::{Manned, Rules, manned};
use self::places::{Placed, placed};
pub(crate) use self::record::Record;
use self::record::record;
use self::told::Told;
use self::work::{format_for, limits_of};
use super::args::{InputArg, InterruptedArg, RunArgs};
use super::errors::{Message, WorkerName};
use super::habits;
use super::log::Logging;
use super::program::Lookup;
use super::watch::Watch;
use crate::run::batch::Config;
use crate::run::runfile::{History, Purpose};
use crate::run::sink::manner::Keep;
use crate::run::sink::render::Format;
use crate::run::source::columns::Trim;
use crate::run::source::inputs::Opened;
use crate::run::source::item::Fields;
use crate::run::source::lines::Delimiter;
use crate::run::source::place::Total;

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
    let Placed {
        places,
        labels,
        warnings: unknown,
    } = placed(
        &template,
        (&inputs, names.clone()),
        (&packing, &pipe),
        &pipe::texts(shell_command.as_deref(), &words).collect::<Vec<_>>(),
        control.wd.as_deref(),
        like_gnu,
    )?;
    let called = Called {
        worker: &worker,
        shell_command: shell_command.as_deref(),
        task: task.as_deref(),
        input,
        words: &words,
    };
    let purpose = Purpose {
        words: template
            .purpose()
            .into_iter()
            .chain(packing.purpose().map(|option| option.as_bytes().to_vec()))
            .chain(called.purpose(pipe.pipe))
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
    let (work, shell) = called.work(&template, &places, &there, like_gnu)?;
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
    let at_most_once = on_interrupted == InterruptedArg::Fail;
    let Manned {
        mut pool,
        worker,
        slots,
        controlled:
            Controlled {
                halt,
                watch,
                stop,
                mut warnings,
            },
    } = manned(
        (control, wear, memory_limit),
        (worker, hosts),
        &work,
        all,
        (&there, lookup),
        Rules {
            round_robin: pipe.round_robin,
            at_most_once,
            like_gnu,
        },
    )?;
    warnings.extend(unknown);
    // There, words are a shell's text.
    let between = (!like_gnu).then(|| habits::between_words(&words));
    warnings.extend(between.flatten());
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

#[cfg(test)]
pub(super) mod tests;
