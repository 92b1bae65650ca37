//! What becomes of what jobs print.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::builder::{OsStringValueParser, TypedValueParser};
use clap::{Args, ValueEnum};

/// Where results are kept; what was forgotten is told before it is the name of a directory.
fn results(given: OsString) -> Result<OsString, &'static str> {
    match given == "--" {
        true => Err("write where results are kept, then `--`; a directory of that name is ./--"),
        false => Ok(given),
    }
}

/// What becomes of what jobs print.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Output")]
pub(crate) struct OutputArgs {
    /// Print whole lines of running jobs as they come, instead of each job's output in one
    /// piece when it ends
    #[arg(long, visible_alias = "lb")]
    pub(crate) line_buffer: bool,

    /// Print the output of running jobs as it comes: lines of several jobs may mix
    #[arg(short, long, conflicts_with = "line_buffer")]
    pub(crate) ungroup: bool,

    /// Put the job's line and a TAB in front of each line of its output
    #[arg(long)]
    pub(crate) tag: bool,

    /// Put this text, with places as in a command, and a TAB in front of each line of output
    #[arg(
        long,
        value_name = "TEXT",
        conflicts_with = "tag",
        allow_hyphen_values = true
    )]
    pub(crate) tagstring: Option<OsString>,

    /// Keep each job's stdout in a file in the temporary directory, and print its path
    #[arg(long)]
    pub(crate) files: bool,

    /// Keep output instead of printing it: in a tree of files below a directory, in files
    /// called by a text with places, or in a table NAME.csv, NAME.tsv or NAME.json (`-.json`
    /// is printed)
    #[arg(
        long,
        value_name = "DIR|TEXT|TABLE",
        allow_hyphen_values = true,
        value_parser = OsStringValueParser::new().try_map(results),
        visible_alias = "res",
        conflicts_with = "files"
    )]
    pub(crate) results: Option<OsString>,

    /// Make temporary files in this directory; jobs see it as TMPDIR
    #[arg(long, value_name = "DIR")]
    pub(crate) tmpdir: Option<PathBuf>,

    /// Print each job's command in front of its output
    #[arg(short = 'v')]
    pub(crate) show_commands: bool,

    /// Print each command on stderr when it is about to start
    #[arg(short = 't', long = "verbose")]
    pub(crate) trace: bool,

    /// Add a line for each attempt at a job to this file: GNU parallel's columns, then the
    /// verdict, the number of the attempt, and the worker
    #[arg(long, value_name = "FILE", visible_alias = "jl")]
    pub(crate) joblog: Option<PathBuf>,

    /// Leave jobs out that have ended, or succeeded, by what --joblog says of an earlier run
    /// of the same command on the same input
    #[arg(
        long,
        value_enum,
        value_name = "WHICH",
        requires = "joblog",
        conflicts_with = "run_file"
    )]
    pub(crate) skip_logged: Option<LoggedArg>,
}

/// Which jobs of a log are left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LoggedArg {
    /// those that have ended, however
    Ended,
    /// those that have succeeded
    Succeeded,
}
