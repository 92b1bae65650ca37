//! What is told of a run while it goes on, and at its end.

use clap::{Args, ValueEnum};

/// What is told of a run while it goes on, and at its end.
#[derive(Clone, Copy, Debug, Default, Args)]
#[command(next_help_heading = "Progress and summary")]
pub(crate) struct ToldArgs {
    /// How to show progress on stderr [default: auto]
    #[arg(long, value_enum, value_name = "HOW")]
    pub(crate) progress: Option<ProgressArg>,

    /// The same as --progress bar
    #[arg(long, conflicts_with = "progress")]
    pub(crate) bar: bool,

    /// The same as --progress bar, which has the time that is left
    #[arg(long, conflicts_with = "progress")]
    pub(crate) eta: bool,

    /// What to tell on stderr at the end [default: auto]
    #[arg(long, value_enum, value_name = "HOW")]
    pub(crate) summary: Option<SummaryArg>,

    /// Tell of errors and warnings only: no progress and no summary, unless asked for
    #[arg(short, long)]
    pub(crate) quiet: bool,
}

/// How to show progress.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ProgressArg {
    /// on a terminal a line that changes, otherwise a line every 30 seconds; the same where
    /// CI is set
    Auto,
    /// on a terminal a line that changes, also where CI is set; otherwise a line every second
    Always,
    /// on a terminal a line that changes, also where CI is set; otherwise as with auto
    Bar,
    /// a line every 30 seconds, also on a terminal
    Lines,
    /// a JSON object every second
    Json,
    /// not at all
    #[value(alias = "never")]
    None,
}

/// What to tell at the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum SummaryArg {
    /// a line, and what has failed and how to go on if not all is well
    Auto,
    /// a line, how long jobs took, and what has failed
    Full,
    /// a line and nothing else
    Line,
    /// a JSON object
    Json,
    /// nothing
    None,
}
