//! The command line, typed. What options mean together is [`super::plan`]'s
//! business.

pub(super) mod control;
mod hosts;
mod input;
pub(super) mod observe;
mod output;
mod packing;
mod pipe;
mod recorded;
mod report;
pub(super) mod template;
mod told;
mod values;

use std::ffi::OsString;
use std::num::NonZero;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::styling::Styles;
use clap::{Args, Parser, Subcommand, ValueEnum};
pub(crate) use hosts::{ElsewhereArgs, HostsArgs, LaunchArgs};
pub(crate) use output::{LoggedArg, OutputArgs};
pub(crate) use pipe::PipeArgs;
use protocol::OutputLimit;

use self::control::ControlArgs;
pub(crate) use self::input::{Header, SourceArgs, TrimArg};
use self::observe::ObserveArgs;
pub(crate) use self::packing::PackArgs;
pub(crate) use self::recorded::{Changes, ResultsArgs, ResumeArgs, RetryArgs, StatusArgs};
pub(crate) use self::report::ReportArgs;
use self::template::TemplateArgs;
pub(crate) use self::told::{ProgressArg, SummaryArg, ToldArgs};
use self::values::{grace, output_limit, size, time, workers};
use crate::run::source::lines::DEFAULT_MAX_LINE;

const RUN_EXAMPLES: &str = "\
Places in COMMAND or TEXT (none: the line is added as the last word; a TEXT of several
commands must have one, or -n0):
  {}   the line                     {/}   its last path component
  {.}  without its extension        {//}  its directory
  {#}  the job's number, from 1     {/.}  last component without extension
  {%}  the number of its slot, from 1; no other job that runs has the same
  {path}  the line, with ./ in front when it begins with a dash
  {1} {-1} {2/.}  the first, the last field, of the second the last component
       without extension, where items have several fields; {NAME} by its column's name
  \\{}  in TEXT: these two characters, no place

Examples:
  Compress every log, 8 at a time
      find . -name '*.log' -print0 | orchestrator run -0 -j8 -- gzip -9 {}
  A pipe for each file; the shell reads TEXT, and never a file's name as a program
      ls *.log | orchestrator run -k -c 'grep ERROR {} | sort > {.}.errors'
  Sort a large file in pieces of 100 MB, 8 at a time, then merge them
      orchestrator run --pipe --block 100M -j8 -c 'sort > part.{#}' < big.txt && sort -m part.*
  Keep 4 processes fed with records of several lines
      orchestrator run --pipe --round-robin --recstart '>' -j4 -- ./align < genes.fasta
  Every combination of two lists, or a file and a list
      orchestrator run -- ./simulate {1} {2} ::: fast slow ::: 1 2 3
      orchestrator run -a hosts.txt -- ping -c1 {}
  Run lines that are commands themselves
      orchestrator run < commands.txt
  The command line of a script for GNU parallel, as it is
      orchestrator parallel -j8 gzip -9 < files.txt
  Call a task of a worker of your own with each line as its JSON argument
      orchestrator run --worker ./my-worker --task fib < args.jsonl > results.jsonl

Exit status:
  0  every job succeeded          125    the run itself failed: no worker could be kept
  1  at least one job failed             alive, or input or output failed
  2  wrong usage                  128+N  stopped by signal N";

/// A process pool you can pipe into
#[derive(Debug, Parser)]
#[command(name = "orchestrator", version, styles = Styles::plain(), max_term_width = 100)]
pub(crate) struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run one job for each line of standard input, or item of other sources
    Run(Box<RunArgs>),
    /// Take the command line of GNU parallel, and run it like `run`
    #[command(disable_help_flag = true)]
    Parallel(ParallelArgs),
    /// Go on with a run whose input was read to its end, from its run file
    Resume(ResumeArgs),
    /// Run again what has failed or was not run
    Retry(RetryArgs),
    /// Show recorded results again
    Results(ResultsArgs),
    /// Say how far a recorded run has come
    Status(StatusArgs),
    /// Say what a recorded run came to, what has failed, and why; as a page with -o
    Report(ReportArgs),
    /// List the tasks a worker offers, one per line
    Tasks(TasksArgs),
    /// Be a worker (normally started by `run`)
    Worker,
    /// Be a pool that speaks the worker protocol on stdin and stdout (normally started
    /// by programs; see docs/protocol.md)
    Agent(Box<AgentArgs>),
    /// Become the program that carries an agent's stdin and stdout
    #[command(hide = true)]
    Launch(LaunchArgs),
    /// Say what this machine gives to a run: CPUs, limits, directories; exit status 1 when
    /// something will not do
    Doctor(DoctorArgs),
    /// Print the completions for a shell
    Completions(CompletionsArgs),
    /// Print a manual page, in roff: `orchestrator man run | man -l -`
    Man(ManArgs),
}

// What options of `run --help` stand under.
const WHAT: &str = "What is run";
const INPUT: &str = "Input";
const LIMITS: &str = "Limits";
const OUTPUT: &str = "Output";
const RECORD: &str = "Record";

/// `orchestrator run`.
#[derive(Debug, Args)]
#[command(
    after_help = RUN_EXAMPLES,
    override_usage = "orchestrator run [OPTIONS] -- COMMAND [ARGUMENT]... [::: ITEM... | :::: FILE...]...\n       \
                      orchestrator run [OPTIONS] -c TEXT\n       \
                      orchestrator run [OPTIONS] < COMMANDS\n       \
                      orchestrator run [OPTIONS] --task NAME [--worker PROGRAM]"
)]
pub(crate) struct RunArgs {
    /// Run this shell text for each line, like `sh -c`; the line is data in
    /// whatever quotes its place stands
    #[arg(help_heading = WHAT, short = 'c', long, value_name = "TEXT")]
    pub(crate) shell_command: Option<OsString>,

    /// Call this task of the worker; each line is its argument as JSON
    #[arg(help_heading = WHAT, long, value_name = "NAME")]
    pub(crate) task: Option<String>,

    #[command(flatten, next_help_heading = WHAT)]
    pub(crate) worker: WorkerArgs,

    #[command(flatten)]
    pub(crate) sources: SourceArgs,

    /// Items end with a zero byte, not with a line feed
    #[arg(help_heading = INPUT, short = '0', long)]
    pub(crate) null: bool,

    /// What a line is, with --task or without a command
    #[arg(help_heading = INPUT, long, value_enum, value_name = "HOW", default_value = "lines")]
    pub(crate) input: InputArg,

    /// Refuse lines that are longer, e.g. 64K, 10M [default: 1M]
    #[arg(help_heading = INPUT, long, value_name = "SIZE", value_parser = size,
          default_value_t = DEFAULT_MAX_LINE, hide_default_value = true)]
    pub(crate) max_line: u64,

    #[command(flatten)]
    pub(crate) packing: PackArgs,

    #[command(flatten)]
    pub(crate) template: TemplateArgs,

    #[command(flatten)]
    pub(crate) pipe: PipeArgs,

    #[command(flatten)]
    pub(crate) control: ControlArgs,

    #[command(flatten)]
    pub(crate) hosts: HostsArgs,

    /// Refuse memory beyond this to each process of a job, e.g. 500M (heap and other
    /// private memory)
    #[arg(help_heading = LIMITS, long, value_name = "SIZE", value_parser = size)]
    pub(crate) memory_limit: Option<u64>,

    #[command(flatten, next_help_heading = LIMITS)]
    pub(crate) limits: LimitArgs,

    #[command(flatten, next_help_heading = "Replacing workers")]
    pub(crate) wear: WearArgs,

    #[command(flatten)]
    pub(crate) output: OutputArgs,

    /// Write results in the order of the input
    #[arg(help_heading = OUTPUT, short, long)]
    pub(crate) keep_order: bool,

    /// How to write results [default: text for commands, result for tasks]
    #[arg(help_heading = OUTPUT, long, value_enum, value_name = "HOW")]
    pub(crate) format: Option<FormatArg>,

    #[command(flatten)]
    pub(crate) told: ToldArgs,

    /// Record jobs and results in this file, so that the run can go on after
    /// whatever ends it (an SQLite database, see docs/run-file.md)
    #[arg(help_heading = RECORD, long, value_name = "FILE")]
    pub(crate) run_file: Option<PathBuf>,

    /// Go on with the run in the run file: run the lines that have no result there
    #[arg(help_heading = RECORD, long, requires = "run_file")]
    pub(crate) resume: bool,

    /// Resume although the command or task is another one
    #[arg(help_heading = RECORD, long, requires = "resume")]
    pub(crate) force: bool,

    /// What becomes, at a resume, of a job that may have been running when the run
    /// ended [default: run]
    #[arg(help_heading = RECORD, long,
        value_enum,
        value_name = "HOW",
        requires = "run_file",
        default_value = "run",
        hide_default_value = true
    )]
    pub(crate) on_interrupted: InterruptedArg,

    /// Do not remember this run for `retry last` and `report last` (also:
    /// ORCHESTRATOR_NO_RECORD=1)
    #[arg(help_heading = RECORD, long)]
    pub(crate) no_record: bool,

    /// Write the lines whose jobs do not succeed to this file, as they are
    #[arg(help_heading = RECORD, long, value_name = "FILE")]
    pub(crate) failed_to: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) observe: ObserveArgs,

    /// Whether status and messages are those of GNU parallel; for `orchestrator parallel`.
    #[arg(skip)]
    pub(crate) like_gnu: bool,

    /// The command to run for each line, without a shell; behind it, `::: ITEM...` and
    /// `:::: FILE...` are sources of items
    #[arg(help_heading = WHAT, trailing_var_arg = true, value_name = "COMMAND")]
    pub(crate) words: Vec<OsString>,
}

/// `orchestrator parallel`.
#[derive(Debug, Args)]
pub(crate) struct ParallelArgs {
    /// Options, command and arguments as for GNU parallel; --help lists them
    #[arg(
        trailing_var_arg = true,
        allow_hyphen_values = true,
        value_name = "WORDS"
    )]
    pub(crate) words: Vec<OsString>,
}

/// What a command may use.
#[derive(Debug, Default, Args)]
pub(crate) struct LimitArgs {
    /// End each process of a command that uses more CPU time, e.g. 90s, 5m, in whole
    /// seconds
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub(crate) cpu_limit: Option<Duration>,

    /// How many open files each process of a command may have
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) open_files: Option<u64>,

    /// Keep so much of a command's stdout and stderr each, head and tail, e.g. 64K, 10M;
    /// with `,kill` end a command that writes more
    #[arg(long, value_name = "SIZE[,kill]", value_parser = output_limit)]
    pub(crate) output_limit: Option<OutputLimit>,
}

/// After what a worker is replaced.
#[derive(Debug, Default, Args)]
pub(crate) struct WearArgs {
    /// Replace a worker after N jobs
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) max_jobs_per_worker: Option<u64>,

    /// Replace a worker whose tasks have made it larger, e.g. 500M
    #[arg(long, value_name = "SIZE", value_parser = size)]
    pub(crate) max_rss_per_worker: Option<u64>,

    /// Replace a worker whose tasks have left more than N files open
    #[arg(long, value_name = "N")]
    pub(crate) max_files_per_worker: Option<u64>,
}

/// Which worker.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct WorkerArgs {
    /// Worker program, or a command line like 'python3 -m mytasks', taken apart as a shell
    /// would but never given to one [default: this program, which runs commands]
    #[arg(long, value_name = "COMMAND")]
    pub(crate) worker: Option<OsString>,

    /// An argument for the worker program (repeatable)
    #[arg(
        long,
        value_name = "ARG",
        requires = "worker",
        allow_hyphen_values = true
    )]
    pub(crate) worker_arg: Vec<OsString>,
}

/// `orchestrator tasks`.
#[derive(Debug, Args)]
pub(crate) struct TasksArgs {
    #[command(flatten)]
    pub(crate) worker: WorkerArgs,
}

/// `orchestrator doctor`.
#[derive(Debug, Args)]
pub(crate) struct DoctorArgs {
    /// As one JSON object
    #[arg(long)]
    pub(crate) json: bool,

    #[command(flatten)]
    pub(crate) hosts: HostsArgs,
}

/// `orchestrator completions`.
#[derive(Debug, Args)]
pub(crate) struct CompletionsArgs {
    /// For which shell
    #[arg(value_enum, value_name = "SHELL")]
    pub(crate) shell: clap_complete::Shell,
}

/// `orchestrator man`.
#[derive(Debug, Args)]
pub(crate) struct ManArgs {
    /// Of which command [default: of the program]
    #[arg(value_name = "COMMAND")]
    pub(crate) of: Option<String>,
}

/// `orchestrator agent`.
#[derive(Debug, Args)]
pub(crate) struct AgentArgs {
    /// How many worker processes [default: the CPUs this process may use]
    #[arg(short = 'j', long, value_name = "N", value_parser = workers)]
    pub(crate) workers: Option<NonZero<usize>>,

    /// Start so many workers at first, at least one, and the others when there are jobs for
    /// them; keep so many however long they have none [default: start all, keep none]
    #[arg(long, value_name = "N")]
    pub(crate) min_workers: Option<usize>,

    /// End workers that have had no job for so long, e.g. 90s, 5m [default: never]
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub(crate) idle_after: Option<Duration>,

    #[command(flatten)]
    pub(crate) elsewhere: ElsewhereArgs,

    #[command(flatten)]
    pub(crate) wear: WearArgs,

    #[command(flatten)]
    pub(crate) worker: WorkerArgs,
}

/// What a line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum InputArg {
    /// the task's argument, or a command
    Lines,
    /// an object: {"argv" or "shell" or "task" and "args", "id", "stdin", "env", "cwd",
    /// "timeout", "retries", "label"}; with --task {"id", "args"}
    Jsonl,
}

/// What becomes of a job that may have been running when the run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum InterruptedArg {
    /// it is run again
    Run,
    /// it has failed, and is never started twice
    Fail,
}

/// How to write results.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum FormatArg {
    /// what a command prints
    Text,
    /// {"seq", "id", "ok", "value" or "error"} for each job of a task
    Result,
    /// a task's bare values in the order of the input
    Value,
    /// everything that is known about each job, as one object
    Jsonl,
}

#[cfg(test)]
pub(crate) mod tests {
    use super::control::JobsArg;
    use super::*;
    use crate::run::jobs::Jobs;

    pub(crate) fn run(words: &[&str]) -> Result<RunArgs, String> {
        let all = ["orchestrator", "run"].iter().chain(words);
        match Cli::try_parse_from(all) {
            Ok(Cli {
                command: Command::Run(args),
            }) => Ok(*args),
            Ok(other) => panic!("{other:?}"),
            Err(e) => Err(e.to_string()),
        }
    }

    #[test]
    fn the_definition_is_consistent() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
    }

    #[test]
    fn the_number_of_workers_has_many_names() {
        for words in [
            &["-j4", "true"][..],
            &["-P", "4", "true"],
            &["--jobs=4", "true"],
            &["--workers", "4", "true"],
        ] {
            let four = Some(JobsArg::Number(Jobs::Count(4)));
            assert_eq!(run(words).unwrap().control.workers, four, "{words:?}");
        }
        assert_eq!(run(&["true"]).unwrap().control.workers, None);
    }

    #[test]
    fn words_need_no_dashes_before_them() {
        for words in [
            &["-j4", "sha256sum", "-b", "{}", "-j", "--task"][..],
            &["-j4", "--", "sha256sum", "-b", "{}", "-j", "--task"],
        ] {
            let args = run(words).unwrap();
            assert_eq!(args.words, ["sha256sum", "-b", "{}", "-j", "--task"]);
            assert_eq!(args.task, None);
        }
        let args = run(&["--", "a", "--", "b"]).unwrap();
        assert_eq!(args.words, ["a", "--", "b"]);
    }

    #[test]
    fn unknown_options_are_not_taken_for_a_command() {
        let error = run(&["--keep-oder", "true"]).unwrap_err();
        assert!(error.contains("'--keep-order'"), "{error}");
    }

    #[test]
    fn arguments_of_the_worker_may_look_like_options() {
        let args = run(&[
            "--worker",
            "w",
            "--worker-arg",
            "-v",
            "--worker-arg=-x",
            "--task",
            "t",
        ]);
        assert_eq!(args.unwrap().worker.worker_arg, ["-v", "-x"]);
        assert!(run(&["--worker-arg", "x", "true"]).is_err());
    }
}
