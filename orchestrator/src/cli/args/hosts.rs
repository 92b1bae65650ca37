//! Options about other machines.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::time;

/// Where jobs run, if not only here. Files are taken to be shared.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Other machines (docs/hosts.md)")]
pub(crate) struct HostsArgs {
    /// Run jobs on these hosts, reached by ssh: [N/][USER@]HOST,…, N at once on each, by
    /// default as many as it has CPUs; h[1-3] are three, `:` is this machine (repeatable)
    #[arg(long, alias = "sshlogin", value_name = "HOSTS")]
    pub(crate) hosts: Vec<OsString>,

    /// The same, from a file with one per line; one that is named N times runs N at once
    #[arg(long, alias = "sshloginfile", value_name = "FILE")]
    pub(crate) hostfile: Vec<PathBuf>,

    /// Run jobs on nodes of a Slurm cluster: inside an allocation on all of its nodes, else on
    /// N nodes (1), each as soon as Slurm gives it
    #[arg(long, value_name = "N", num_args = 0..=1, default_missing_value = "0")]
    pub(crate) slurm: Option<u32>,

    /// Options for srun, e.g. '--partition short --time 60' (repeatable)
    #[arg(
        long,
        value_name = "OPTIONS",
        requires = "slurm",
        allow_hyphen_values = true
    )]
    pub(crate) slurm_args: Vec<OsString>,

    /// Run jobs wherever this command line puts {agent}, a command line that is to run there
    /// and whose stdin and stdout it must carry; {host} stands for each of --hosts
    /// (repeatable without it)
    #[arg(long, value_name = "TEMPLATE")]
    pub(crate) launch: Vec<OsString>,

    /// The program and options instead of ssh, e.g. 'ssh -F my_config'
    #[arg(long, value_name = "COMMAND", conflicts_with = "launch")]
    pub(crate) ssh: Option<OsString>,

    /// Where this program is on hosts [default: where it is here, or on PATH]
    #[arg(long, value_name = "PROGRAM")]
    pub(crate) agent: Option<OsString>,

    /// Bring this program to hosts that do not have it, over the same connection, into
    /// ~/.cache/orchestrator; they must have this machine's processor and system
    #[arg(long, conflicts_with_all = ["agent", "launch"])]
    pub(crate) bootstrap: bool,

    /// How long a host may be silent until its jobs are given to others [default: 30s]
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub(crate) host_timeout: Option<Duration>,
}

impl HostsArgs {
    /// Whether any other machine is named.
    pub(crate) fn is_any(&self) -> bool {
        !self.hosts.is_empty()
            || !self.hostfile.is_empty()
            || self.slurm.is_some()
            || !self.launch.is_empty()
    }

    /// Whether anything is said of how they are reached.
    pub(crate) fn says_how(&self) -> bool {
        self.ssh.is_some() || self.agent.is_some() || self.bootstrap || self.host_timeout.is_some()
    }
}

/// What an agent is told by whoever has started it elsewhere.
#[derive(Debug, Default, Args)]
pub(crate) struct ElsewhereArgs {
    /// End everything when nothing was heard for so long, on a link that may be silent
    #[arg(long, hide = true, value_name = "TIME", value_parser = time)]
    pub(crate) silence: Option<Duration>,

    /// Go to this directory first
    #[arg(long, hide = true, value_name = "DIR")]
    pub(crate) workdir: Option<PathBuf>,

    /// Make that directory
    #[arg(long, hide = true)]
    pub(crate) make_workdir: bool,

    /// Set a variable for jobs
    #[arg(
        long,
        hide = true,
        value_name = "NAME=VALUE",
        allow_hyphen_values = true
    )]
    pub(crate) setenv: Vec<OsString>,

    /// How long a job that was told to end may take
    #[arg(long, hide = true, value_name = "TIME", value_parser = super::grace)]
    pub(crate) grace: Option<Duration>,

    /// As many workers as Slurm gives CPUs, where nothing else is said
    #[arg(long, hide = true)]
    pub(crate) slurm: bool,

    /// Refuse memory beyond this to each process of a job
    #[arg(long, hide = true, value_name = "SIZE", value_parser = super::size)]
    pub(crate) memory_limit: Option<u64>,

    /// Run jobs at this niceness
    #[arg(long, hide = true, value_name = "N")]
    pub(crate) nice: Option<i32>,

    /// How many threads a job uses
    #[arg(long, hide = true, value_name = "K")]
    pub(crate) threads_per_job: Option<std::num::NonZero<usize>>,

    /// In which variable jobs find their slot, from 0
    #[arg(long, hide = true, value_name = "NAME")]
    pub(crate) process_slot_var: Option<OsString>,
}

/// What becomes this process: a launcher that ends when the orchestrator does.
#[derive(Debug, Args)]
pub(crate) struct LaunchArgs {
    /// The program and its arguments
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    pub(crate) words: Vec<OsString>,
}
