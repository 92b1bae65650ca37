//! The checked plan: whatever can be known to be wrong is told before a worker
//! starts and before any input is read.

pub(super) mod control;
mod input;
mod observe;
mod output;
mod packing;
mod pipe;
pub(super) mod template;
mod told;

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::time::Duration;

use protocol::Limits;

use self::control::Controlled;
use self::told::Told;

use super::args::{FormatArg, InputArg, InterruptedArg, LimitArgs, RunArgs, WearArgs, WorkerArgs};
use super::errors::{Message, WorkerName};
use super::habits;
use super::log::Logging;
use super::program::Lookup;
use super::shell;
use super::watch::Watch;
use super::words;
use crate::pool::{Launch, PoolConfig, Printed, ThreadsPerJob};
use crate::run::batch::Config;
use crate::run::runfile::{Access, History, LightRequest, Purpose, Request};
use crate::run::sink::render::Format;
use crate::run::source::inputs::Opened;
use crate::run::source::item::Fields;
use crate::run::source::jsonl::Shape;
use crate::run::source::lines::Delimiter;
use crate::run::source::place::Places;
use crate::run::source::work::Work;
use crate::run::text;

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
    /// Whether the exit status is that of GNU parallel.
    pub(crate) like_gnu: bool,
    /// Where it is recorded; how it was called, the caller adds.
    pub(crate) record: Record,
    /// Where it is remembered that it has a run file.
    pub(crate) history: Option<History>,
    /// What is done, for whoever looks for jobs that are recorded.
    pub(crate) purpose: Purpose,
}

/// Where a run is to be recorded.
#[derive(Clone, Debug)]
pub(crate) enum Record {
    /// Nowhere.
    Nothing,
    /// In the state directory, what does not succeed.
    Light(LightRequest),
    /// In a run file.
    File(Request),
}

impl Record {
    /// Whether jobs come from there, and no input is read.
    pub(crate) fn is_input(&self) -> bool {
        matches!(self, Record::File(request) if matches!(request.access, Access::Again(_)))
    }
}

/// Checks what was asked for.
///
/// # Errors
/// When it makes no sense, or a program that it needs is not there.
pub(crate) fn plan(args: RunArgs, lookup: &Lookup) -> Result<Plan, Message> {
    let RunArgs {
        control,
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
    if worker.worker.is_some() {
        habits::check_options(&words)?;
    }
    let (names, opened) = input::names(&inputs, names)?;
    let mut places = Places {
        several: inputs.fields() != Fields::One,
        repeats: packing.repeats(),
        names: names.clone(),
        ours: !like_gnu,
        ..template::places(&template)?
    };
    // There, a field has its number however few there are.
    places.several |=
        like_gnu && pipe::texts(shell_command.as_deref(), &words).any(template::has_number);
    if pipe.pipe {
        pipe::check_places(&places, pipe::texts(shell_command.as_deref(), &words))?;
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
    let wd = control::directory(&control, lookup)?;
    let there = Lookup {
        cwd: wd.clone().unwrap_or_else(|| lookup.cwd.clone()),
        ..lookup.clone()
    };
    let work = match shell_command {
        Some(text) => {
            let text = text.into_vec();
            shell::text(&text, task.as_deref(), input, &words, &places, like_gnu)?
        }
        None if task.is_none() && words.is_empty() => shell::commands(&worker, input)?,
        None => work(task, input, &words, &places, &there)?,
    };
    let shell = template::shell(&template, &work, &there)?;
    let dry_run = template::dry_run(&template, &work, pipe.pipe)?;
    let limits = limits_of(&work, limits)?;
    if null && input == InputArg::Jsonl {
        return Err(Message::new("-0 and --input jsonl exclude each other")
            .tip("objects end with a line feed: leave out -0"));
    }
    if inputs.fields() != Fields::One {
        input::check_fields(&work)?;
    }
    let format = format_for(&work, format)?;
    let (launch, worker) = launch(worker, lookup)?;
    let mut pool = PoolConfig::new(launch);
    // The sinks say when it is shown, and where.
    pool.printed = Printed::Capture;
    // A command sees the environment that it would see without us.
    pool.threads_per_job = ThreadsPerJob::Inherit;
    pool.launch.current_dir = wd;
    let Controlled {
        halt,
        watch,
        stop,
        warnings,
    } = control::control(control, lookup, &mut pool)?;
    if !stop.is_empty() && work.task().is_some() {
        return Err(
            Message::new("--termseq is for commands: a task has no process of its own")
                .tip("to give a function time to end: --grace"),
        );
    }
    if halt.is_some() {
        // Nothing may start behind the job that decides.
        pool.ahead = Duration::ZERO;
        pool.lockstep = true;
    }
    let at_most_once = on_interrupted == InterruptedArg::Fail;
    if at_most_once {
        // Few have to be given up that had not started.
        pool.ahead = Duration::ZERO;
        pool.max_pending = pool.workers;
    }
    pool.memory_per_worker = memory_limit;
    replace_after(&mut pool, &work, wear)?;
    let (watching, log) = observe::observe(observe);
    let manner = output::manner(output, format, &places, &mut pool, lookup)?;
    let others = pipe::Others {
        null,
        share: halt.is_some_and(|halt| halt.needs_total()),
        retries: pool.retries > 0,
        recorded: run_file.is_some(),
        failed_to: failed_to.is_some(),
    };
    let pipe = pipe::pipe(pipe, others, pool.workers)?;
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
    inputs.packing = packing::packing(&packing, &work, typed, pool.workers)?;
    let record = match (run_file, &history) {
        (Some(path), _) => Record::File(Request {
            path,
            access: if resume {
                Access::Resume
            } else {
                Access::Begin
            },
            force,
            purpose: purpose.clone(),
            arguments: Vec::new(),
            at_most_once,
            light: false,
        }),
        (None, Some(history)) => Record::Light(LightRequest {
            history: history.clone(),
            purpose: purpose.clone(),
            arguments: Vec::new(),
        }),
        (None, None) => Record::Nothing,
    };
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
            pipe,
            terse: like_gnu,
        },
        worker,
        opened,
        names,
        told: told::told(told, like_gnu),
        dry_run,
        watch,
        warnings,
        log,
        like_gnu,
        record,
        history,
        purpose,
    })
}

/// What is done with every line, in the words that say so.
fn purpose(
    worker: &WorkerArgs,
    shell_command: Option<&OsStr>,
    task: Option<&str>,
    input: InputArg,
    pipe: bool,
    words: &[Vec<u8>],
) -> Vec<Vec<u8>> {
    let mut all: Vec<Vec<u8>> = Vec::new();
    let mut add = |word: &OsStr| all.push(word.as_bytes().to_vec());
    if let Some(program) = &worker.worker {
        add("--worker".as_ref());
        add(program);
        for arg in &worker.worker_arg {
            add("--worker-arg".as_ref());
            add(arg);
        }
    }
    if pipe {
        add("--pipe".as_ref());
    }
    if let Some(task) = task {
        add("--task".as_ref());
        add(task.as_ref());
        if input == InputArg::Jsonl {
            add("--input".as_ref());
            add("jsonl".as_ref());
        }
    } else if let Some(text) = shell_command {
        add("-c".as_ref());
        add(text);
    } else if !words.is_empty() {
        add("--".as_ref());
        words.iter().for_each(|word| add(OsStr::from_bytes(word)));
    } else if input == InputArg::Jsonl {
        add("--input".as_ref());
        add("jsonl".as_ref());
    }
    all
}

/// What each command may use.
///
/// # Errors
/// When there are no commands: what these limits hold for is a process that is
/// started for the job.
fn limits_of(work: &Work, args: LimitArgs) -> Result<Limits, Message> {
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
fn replace_after(pool: &mut PoolConfig, work: &Work, args: WearArgs) -> Result<(), Message> {
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

fn work(
    task: Option<String>,
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
            name: name.leak(),
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

fn format_for(work: &Work, format: Option<FormatArg>) -> Result<Format, Message> {
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

/// How the workers are started.
///
/// # Errors
/// When there is no such program.
pub(crate) fn launch(args: WorkerArgs, lookup: &Lookup) -> Result<(Launch, WorkerName), Message> {
    let Some(program) = args.worker else {
        // The file that is running now, even if another one has taken its
        // place meanwhile: no two versions in one run.
        let launch = Launch {
            args: vec!["worker".into()],
            name: "orchestrator worker".into(),
            ..Launch::program("/proc/self/exe")
        };
        return Ok((launch, WorkerName::Stock));
    };
    let (path, mut words) = match lookup.find("worker", &program) {
        Ok(path) => (path, Vec::new()),
        // A path may have spaces in it, so it comes first.
        Err(message) => match command_line(&program)? {
            Some((program, words)) => (lookup.find("worker", &program)?, words),
            None => return Err(message),
        },
    };
    words.extend(args.worker_arg);
    let name = program.to_string_lossy().into_owned();
    let launch = Launch {
        args: words,
        name: name.clone(),
        ..Launch::program(path)
    };
    Ok((launch, WorkerName::Named(name)))
}

/// The program and the arguments of a worker that are given as one word; nothing when
/// there are no arguments in it.
///
/// # Errors
/// When a quote has no end.
fn command_line(word: &OsStr) -> Result<Option<(OsString, Vec<OsString>)>, Message> {
    let Some(words) = words::split(word.as_bytes()) else {
        let shown = text::quoted(word.as_bytes());
        return Err(Message::new(format!(
            "worker {shown} has a quote or a backslash without an end"
        )));
    };
    let mut words = words.into_iter().map(OsString::from_vec);
    let program = words.next();
    let args: Vec<OsString> = words.collect();
    Ok(program
        .filter(|_| !args.is_empty())
        .map(|program| (program, args)))
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::args::tests::run;
    use super::*;

    pub(super) fn lookup() -> Lookup {
        Lookup {
            cpus: None,
            path: Some("/usr/bin:/bin".into()),
            cwd: "/".into(),
            must_exist: true,
            history: None,
        }
    }

    pub(super) fn planned(words: &[&str]) -> Plan {
        plan(run(words).unwrap(), &lookup()).unwrap()
    }

    pub(super) fn refused(words: &[&str]) -> String {
        plan(run(words).unwrap(), &lookup())
            .unwrap_err()
            .to_string()
    }

    #[test]
    fn a_worker_may_be_a_command_line() {
        let launched = |word: &str| {
            let args = WorkerArgs {
                worker: Some(word.into()),
                worker_arg: vec!["last".into()],
            };
            launch(args, &lookup()).map(|(launch, _)| (launch.program, launch.args))
        };
        let (program, args) = launched("sh -c 'a b' c\\ d").unwrap();
        assert!(program.ends_with("sh"), "{program:?}");
        assert_eq!(args, ["-c", "a b", "c d", "last"]);
        assert_eq!(launched("sh").unwrap().1, ["last"]);
        let wrong = |word| launched(word).unwrap_err().to_string();
        assert!(wrong("sh -c 'a").contains("without an end"));
        assert!(wrong("no-such-program -x").contains("worker `no-such-program` not found"));
        assert!(wrong("").contains("worker `` not found"), "{}", wrong(""));
    }

    #[test]
    fn a_command_is_resolved_once() {
        let plan = planned(&["-j3", "-k", "-0", "sh", "-c", "true"]);
        let Work::Command(template) = &plan.batch.work else {
            panic!("{plan:?}")
        };
        let program = template.program().unwrap();
        assert!(program.starts_with(b"/") && program.ends_with(b"/sh"));
        assert_eq!(plan.batch.pool.workers, 3);
        assert_eq!(plan.batch.inputs.delimiter, Delimiter::Nul);
        assert_eq!(
            (plan.batch.format, plan.batch.keep_order),
            (Format::Text, true)
        );
        assert_eq!(plan.worker, WorkerName::Stock);
        assert_eq!(plan.batch.pool.launch.args, ["worker"]);
    }

    #[test]
    fn a_program_that_depends_on_the_line_is_not_looked_up() {
        let plan = planned(&["./{}"]);
        assert!(matches!(plan.batch.work, Work::Command(t) if t.program().is_none()));
    }

    #[test]
    fn a_task_has_results() {
        let plan = planned(&["--worker", "/bin/sh", "--worker-arg", "-x", "--task", "fib"]);
        assert_eq!(
            (plan.batch.format, plan.batch.keep_order),
            (Format::Result, false)
        );
        assert_eq!(plan.batch.pool.launch.args, ["-x"]);
        assert_eq!(plan.worker, WorkerName::Named("/bin/sh".into()));
        let plan = planned(&["--task", "fib", "--format", "value", "--input", "jsonl"]);
        assert_eq!(
            (plan.batch.format, plan.batch.keep_order),
            (Format::Value, true)
        );
        assert!(matches!(
            plan.batch.work,
            Work::Task {
                shape: Shape::Record,
                ..
            }
        ));
    }

    #[test]
    fn limits_are_the_commands() {
        let words = ["--cpu-limit", "1.5", "--open-files", "64", "--output-limit"];
        for words in [
            &[&words[..], &["9", "sh"]].concat(),
            &[&words[..], &["9", "-c", "true"]].concat(),
            &[&words[..], &["9"]].concat(),
        ] {
            let limits = planned(words).batch.limits;
            assert_eq!((limits.cpu_s, limits.open_files), (Some(2), Some(64)));
            assert_eq!(limits.output.map(|output| output.bytes), Some(9));
        }
        assert_eq!(planned(&["sh"]).batch.limits, Limits::default());
    }

    #[test]
    fn what_makes_no_sense_says_what_would() {
        for (words, what, tips) in [
            (
                &["--task", "t", "true"][..],
                "a command and --task exclude each other",
                2,
            ),
            (
                &["--worker", "/bin/sh"],
                "nothing to do with the lines: a worker is named, but no task",
                2,
            ),
            (
                &["-c", "true", "--task", "t"],
                "-c and --task exclude each other",
                2,
            ),
            (
                &["-c", "cat {}", "a b"],
                "-c and a command exclude each other: `a b`",
                2,
            ),
            (
                &["-c", "cat {}", "--input", "jsonl"],
                "-c and --input jsonl exclude each other",
                2,
            ),
            (
                &["-c", "cat {}", "--format", "value"],
                "--format value is for tasks",
                1,
            ),
            (&["--format", "result"], "--format result is for tasks", 1),
            (
                &["--input", "jsonl", "true"],
                "a command and --input jsonl exclude each other",
                2,
            ),
            (
                &["--format", "value", "true"],
                "--format value is for tasks",
                1,
            ),
            (
                &["--format", "result", "true"],
                "--format result is for tasks",
                1,
            ),
            (
                &["--format", "text", "--task", "t"],
                "--format text is for commands",
                1,
            ),
            (
                &["-0", "--input", "jsonl", "--task", "t"],
                "-0 and --input jsonl",
                1,
            ),
            (
                &["--max-rss-per-worker", "5M", "true"],
                "--max-rss-per-worker is for tasks: a command is a process of its own",
                1,
            ),
            (
                &["--max-files-per-worker", "5"],
                "--max-files-per-worker is for tasks",
                1,
            ),
            (
                &["--task", "t", "--cpu-limit", "5"],
                "--cpu-limit is for commands: a task has no process of its own",
                1,
            ),
            (
                &["--task", "t", "--open-files", "5"],
                "--open-files is for commands",
                1,
            ),
            (
                &["--task", "t", "--output-limit", "5,kill"],
                "--output-limit is for commands",
                1,
            ),
            (
                &["--plus", "echo", "{##}"],
                "`{##}` needs the number of all jobs",
                1,
            ),
            (
                &["echo", "{= s/a/b/ =}"],
                "`{= s/a/b/ =}` is Perl, which is not offered",
                1,
            ),
            (
                &["--plus", "echo", "{/(/x}"],
                "`{/(/x}` holds no regular expression",
                1,
            ),
            (&["-I", "a b", "echo"], "-I `a b` must hold no blank", 1),
            (
                &["--er", "{}", "echo"],
                "--extensionreplace `{}` stands for something else already",
                1,
            ),
        ] {
            let said = refused(words);
            assert!(said.starts_with(&format!("error: {what}")), "{said}");
            assert_eq!(said.matches("\n  tip: ").count(), tips, "{said}");
        }
    }

    #[test]
    fn programs_that_are_not_there_are_told_before_anything_starts() {
        assert!(
            refused(&["nosuchprogram"]).starts_with("error: command `nosuchprogram` not found")
        );
        let said = refused(&["--worker", "./nosuch", "--task", "t"]);
        assert_eq!(said, "error: worker `./nosuch` not found\n");
    }
}
