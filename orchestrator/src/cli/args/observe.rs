//! Who watches a run.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

/// Who watches a run.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Watching")]
pub(crate) struct ObserveArgs {
    /// Write what each worker did when to this file, as trace events: for ui.perfetto.dev,
    /// which reads it where it is (see docs/trace.md)
    #[arg(long = "trace", value_name = "FILE")]
    pub(crate) trace_file: Option<PathBuf>,

    /// Add a JSON line to this file for all that happens to workers and jobs (see docs/logs.md)
    #[arg(long, value_name = "FILE")]
    pub(crate) log_file: Option<PathBuf>,

    /// How much is logged [default: info]; without --log-file, on stderr
    #[arg(long, value_enum, value_name = "LEVEL")]
    pub(crate) log_level: Option<LevelArg>,

    /// Show the run while it goes on, on a page for browsers on this machine: at a port that is
    /// free, or at this address (see docs/dashboard.md)
    #[arg(
        long,
        value_name = "ADDRESS",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "127.0.0.1:0"
    )]
    pub(crate) dashboard: Option<String>,
}

/// How much is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LevelArg {
    /// what ends the run
    Error,
    /// also workers that end unasked or are replaced
    Warn,
    /// also workers' starts and ends, and jobs that fail or are tried again
    Info,
    /// also the start and the end of every job
    Debug,
    /// also what workers print, and how far jobs say they are
    Trace,
}
