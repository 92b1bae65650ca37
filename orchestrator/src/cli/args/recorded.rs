//! Commands about runs that are recorded.

use std::path::PathBuf;

use clap::Args;

use super::control::{self, JobsArg};
use super::observe::ObserveArgs;
use super::{FormatArg, ToldArgs};

/// `orchestrator resume`.
#[derive(Debug, Args)]
pub(crate) struct ResumeArgs {
    /// The run file, or `last`: the run that began last, with a run file or without
    pub(crate) file: PathBuf,

    #[command(flatten)]
    pub(crate) changes: Changes,
}

/// `orchestrator retry`.
#[derive(Debug, Args)]
pub(crate) struct RetryArgs {
    /// The run file, or `last`: the run that began last, with a run file or without
    pub(crate) file: PathBuf,

    /// Only jobs that have failed, not those without a result
    #[arg(long)]
    pub(crate) failed: bool,

    #[command(flatten)]
    pub(crate) changes: Changes,
}

/// What is to be other than in the recorded run.
#[derive(Debug, Args)]
pub(crate) struct Changes {
    /// How many jobs run at once, as with `run` [default: as recorded]
    #[arg(short = 'j', long, visible_alias = "jobs", visible_short_alias = 'P', value_name = "N",
          allow_negative_numbers = true, value_parser = control::jobs())]
    pub(crate) workers: Option<JobsArg>,

    #[command(flatten)]
    pub(crate) told: ToldArgs,

    #[command(flatten)]
    pub(crate) observe: ObserveArgs,
}

/// `orchestrator results`.
#[derive(Debug, Args)]
pub(crate) struct ResultsArgs {
    /// The run file, or `last`: the run that began last, with a run file or without
    pub(crate) file: PathBuf,

    /// Only of jobs that have failed
    #[arg(long)]
    pub(crate) failed: bool,

    /// How to write results [default: as recorded]
    #[arg(long, value_enum, value_name = "HOW")]
    pub(crate) format: Option<FormatArg>,
}

/// `orchestrator status`.
#[derive(Debug, Args)]
pub(crate) struct StatusArgs {
    /// The run file, or `last`: the run that began last, with a run file or without
    pub(crate) file: PathBuf,
}
