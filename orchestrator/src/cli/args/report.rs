//! What a report is of, and where it goes.

use std::path::PathBuf;

use clap::Args;

/// `orchestrator report`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  What it came to, which jobs did not succeed, and why
      orchestrator report last
  A page with a timeline, all jobs and what limited the run, in one file
      orchestrator report run.db -o report.html")]
pub(crate) struct ReportArgs {
    /// The run file, or `last`: the run that began last, with a run file or without
    pub(crate) file: PathBuf,

    /// Write a page for a browser to this file, which needs nothing else (`-`: to stdout)
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,

    /// Show the page in a browser: $BROWSER, or what the desktop has for it
    #[arg(long)]
    pub(crate) open: bool,

    /// Lines for a terminal, as without -o and --open
    #[arg(long, conflicts_with = "open")]
    pub(crate) text: bool,
}
