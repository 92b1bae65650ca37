//! The pool's configuration: a plain struct, every field documented.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;

/// How a pool works. `PoolConfig::new(worker)` gives the defaults; change the
/// fields that matter.
#[derive(Clone, Debug)]
pub struct PoolConfig {
    /// How a worker process is started.
    pub launch: Launch,
    /// How many worker processes; at least 1. Default: the CPUs that this
    /// process may use, by affinity and cgroup quota. Fewer leave CPUs idle,
    /// more make CPU-heavy jobs wait for each other.
    pub workers: usize,
    /// How many jobs may be in the pool at once, waiting, running, or ended
    /// but not yet taken by their submitter; at least 1. Default: 8,192. Too few
    /// starve workers between submissions; each costs about 300 bytes plus its
    /// input.
    pub max_pending: usize,
    /// How much work, measured in time, is sent to a worker ahead of what it is
    /// running. Default: 1 ms. More hides a slower link; less lets jobs move
    /// to other workers sooner.
    pub ahead: Duration,
    /// Largest input or result in bytes. Default: 64 MiB. A larger input is
    /// refused, a larger result fails its job.
    pub max_payload: u64,
    /// How much of all that jobs print is kept in memory, in bytes, before the
    /// rest goes to an unlinked temporary file. Default: 8 MiB.
    pub output_memory: usize,
    /// How much of all results that nobody has taken yet is kept in memory, in
    /// bytes, before further ones go to an unlinked temporary file. Default:
    /// 64 MiB. Results that are taken as they come never go there.
    pub result_memory: usize,
    /// How long a started worker may take until it is ready. Default: 10 s. Too
    /// short fails workers that load a large model, too long hides a hang.
    pub start_timeout: Duration,
    /// How many workers in a row may die before any is ready, until the pool
    /// gives up. Default: 3.
    pub start_attempts: u32,
    /// First pause before a worker that died is replaced, doubled for each
    /// further death without a finished job up to `backoff_max`. The first
    /// replacement is immediate. Default: 50 ms.
    pub backoff: Duration,
    /// Longest pause before a worker is replaced. Default: 10 s.
    pub backoff_max: Duration,
    /// How long a worker that was asked to end may take before it is killed.
    /// Default: 5 s.
    pub grace: Duration,
    /// Whether all children of this process that are no workers, and all that
    /// is below them, are killed when a worker was killed: what its job left
    /// behind. Only for programs whose only children are workers, and only
    /// after [`super::adopt_orphans`]. Default: no; then the process group of
    /// the job's command is killed.
    pub kill_orphans: bool,
    /// Data handed to every worker before its first job. Default: none.
    pub init: Option<Bytes>,
}

impl PoolConfig {
    /// The defaults with these workers.
    #[must_use]
    pub fn new(launch: Launch) -> PoolConfig {
        PoolConfig {
            launch,
            workers: usable_cpus(),
            max_pending: 8192,
            ahead: Duration::from_millis(1),
            max_payload: 64 << 20,
            output_memory: 8 << 20,
            result_memory: 64 << 20,
            start_timeout: Duration::from_secs(10),
            start_attempts: 3,
            backoff: Duration::from_millis(50),
            backoff_max: Duration::from_secs(10),
            grace: Duration::from_secs(5),
            kill_orphans: false,
            init: None,
        }
    }
}

/// How a worker process is started: a program on this machine that speaks the
/// protocol on its stdin and stdout.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Launch {
    /// The program, as a path that needs no search.
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<OsString>,
    /// How the program is called in messages.
    pub name: String,
}

impl Launch {
    /// Starts this program without arguments. It is a path: `PATH` is not
    /// searched, and a relative one counts from the current directory.
    #[must_use]
    pub fn program(program: impl Into<PathBuf>) -> Launch {
        let program = program.into();
        Launch {
            name: program.display().to_string(),
            program,
            args: Vec::new(),
        }
    }
}

/// How many CPUs this process may use, by affinity and cgroup quota.
#[must_use]
pub fn usable_cpus() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}
