//! What is run, what it may use, and what its end looks like.

use protocol::Limits;

use super::super::args::{FormatArg, InputArg, LimitArgs, WearArgs};
use super::super::errors::Message;
use super::super::program::Lookup;
use super::template;
use crate::pool::PoolConfig;
use crate::run::sink::render::Format;
use crate::run::source::jsonl::Shape;
use crate::run::source::place::Places;
use crate::run::source::work::Work;

/// What each command may use.
///
/// # Errors
/// When there are no commands: what these limits hold for is a process that is
/// started for the job.
pub(super) fn limits_of(work: &Work, args: LimitArgs) -> Result<Limits, Message> {
    let LimitArgs {
        cpu_limit,
        open_files,
        output_limit,
    } = args;
    let given = [
        (
            cpu_limit.is_some(),
            "--cpu-limit",
            "to end a call of the task that takes too long: --timeout",
        ),
        (
            open_files.is_some(),
            "--open-files",
            "the worker has the limit that the shell gives it: ulimit -n",
        ),
        (
            output_limit.is_some(),
            "--output-limit",
            "what the task prints, and its result, are as long as its function makes them",
        ),
    ];
    let refused = given.iter().find(|(given, ..)| *given);
    if work.task().is_some()
        && let Some((_, option, tip)) = refused
    {
        let what = format!("{option} is for commands: a task has no process of its own");
        return Err(Message::new(what).tip(*tip));
    }
    Ok(Limits {
        // The kernel counts whole seconds.
        cpu_s: cpu_limit.map(|time| {
            time.as_secs()
                .saturating_add((time.subsec_nanos() > 0).into())
        }),
        open_files,
        output: output_limit,
    })
}

/// After what workers are replaced.
///
/// # Errors
/// When that cannot come to be: a command leaves nothing in its worker.
pub(super) fn replace_after(
    pool: &mut PoolConfig,
    work: &Work,
    args: WearArgs,
) -> Result<(), Message> {
    let WearArgs {
        max_jobs_per_worker,
        max_rss_per_worker,
        max_files_per_worker,
    } = args;
    let refuse = |option: &str, tip: &str| {
        let what = format!("{option} is for tasks: a command is a process of its own");
        Err(Message::new(what).tip(format!("to limit each process of a command: {tip}")))
    };
    if work.task().is_none() && max_rss_per_worker.is_some() {
        return refuse("--max-rss-per-worker", "--memory-limit");
    }
    if work.task().is_none() && max_files_per_worker.is_some() {
        return refuse("--max-files-per-worker", "--open-files");
    }
    pool.max_jobs_per_worker = max_jobs_per_worker;
    pool.max_rss_per_worker = max_rss_per_worker;
    pool.max_files_per_worker = max_files_per_worker;
    Ok(())
}

pub(super) fn work(
    task: Option<&str>,
    input: InputArg,
    words: &[Vec<u8>],
    places: &Places,
    lookup: &Lookup,
) -> Result<Work, Message> {
    let shape = match input {
        InputArg::Lines => Shape::Argument,
        InputArg::Jsonl => Shape::Record,
    };
    match (task, words.is_empty()) {
        (Some(name), true) => Ok(Work::Task {
            name: name.to_owned().leak(),
            shape,
        }),
        (Some(_), false) => Err(Message::new("a command and --task exclude each other")
            .tip("to run a command for each line, leave out --task")
            .tip(
                "to give each line to a task, leave out the command; arguments for the worker \
                  program are given with --worker-arg",
            )),
        (None, _) if input == InputArg::Jsonl => Err(Message::new(
            "a command and --input jsonl exclude each other: each object says what runs",
        )
        .tip("a job looks like this: {\"argv\": [\"gzip\", \"a\"]}")
        .tip("to give the arguments to a task, name it with --task instead of a command")),
        (None, _) => template::command(words, places, lookup).map(Work::Command),
    }
}

pub(super) fn format_for(work: &Work, format: Option<FormatArg>) -> Result<Format, Message> {
    let for_tasks = |name: &str| {
        Err(Message::new(format!(
            "--format {name} is for tasks: a command has no result"
        ))
        .tip("to get what commands print together with all that is known: --format jsonl"))
    };
    match (work, format) {
        (Work::Task { .. } | Work::Jobs { tasks: true }, None | Some(FormatArg::Result)) => {
            Ok(Format::Result)
        }
        (Work::Task { .. } | Work::Jobs { tasks: true }, Some(FormatArg::Value)) => {
            Ok(Format::Value)
        }
        (_, Some(FormatArg::Jsonl)) => Ok(Format::Jsonl),
        (Work::Task { .. } | Work::Jobs { tasks: true }, Some(FormatArg::Text)) => Err(
            Message::new("--format text is for commands: a task gives values")
                .tip("to get the bare values: --format value"),
        ),
        (_, None | Some(FormatArg::Text)) => Ok(Format::Text),
        (_, Some(FormatArg::Value)) => for_tasks("value"),
        (_, Some(FormatArg::Result)) => for_tasks("result"),
    }
}
