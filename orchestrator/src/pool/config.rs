//! The pool's configuration: a plain struct, every field documented.

use std::ffi::OsString;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use worker::OWN_WORKER;

use super::Printed;

/// How a pool works. `PoolConfig::new(worker)` gives the defaults; change the
/// fields that matter.
#[derive(Clone, Debug)]
pub struct PoolConfig {
    /// How a worker process is started.
    pub launch: Launch,
    /// Agents on other machines, each a worker that has workers of its own. Default: none.
    /// They count among [`workers`](PoolConfig::workers), and have its first places: with two of them and
    /// three workers, one worker is started here.
    pub agents: Vec<Agent>,
    /// How many agents are dialled at the same time, of those that are dialled at all
    /// ([`Agent::dialled`]). Default: 8. With more, servers refuse some, and a gateway that all
    /// go through even more.
    pub dial_window: usize,
    /// How long an agent may be silent until it is lost and its jobs are given to others.
    /// Default: 30 s. The agent itself ends all that it runs when it has heard nothing for
    /// three fifths of that. However it is lost, no job of it is given to another before
    /// that must have happened, so that none runs twice at the same time.
    pub silence: Duration,
    /// How many worker processes; at least 1. Default: the CPUs that this
    /// process may use, by affinity and cgroup quota. Fewer leave CPUs idle,
    /// more make CPU-heavy jobs wait for each other.
    pub workers: usize,
    /// How many jobs may be in the pool at once, waiting or running; at least 1.
    /// Default: 8,192. A handle holds no room for a job that has ended; the
    /// report of one that came by [`Pool::submit_to`](super::Pool::submit_to) does,
    /// until it is taken. Too few starve workers between submissions; each costs
    /// about 300 bytes plus its input.
    pub max_pending: usize,
    /// How much work, measured in time, is sent to a worker ahead of what it is
    /// running, at least one job. Default: 1 ms. More hides a slower link; less
    /// lets jobs move to other workers sooner. With 0 a job is sent only when it
    /// can start at once, which costs a round trip per job. So it is as well with a
    /// worker that has done nothing yet, and where jobs take longer than that time and than
    /// 20 ms, or a second at an agent: then jobs of one priority start in their order.
    pub ahead: Duration,
    /// Largest input or result in bytes. Default: 64 MiB. A larger input is
    /// refused, a larger result fails its job.
    pub max_payload: u64,
    /// Where goes what jobs print, unless a job says otherwise. Default: to
    /// this process's stdout and stderr.
    pub printed: Printed,
    /// How much of all that jobs print is kept in memory, in bytes, before the
    /// rest goes to an unlinked temporary file, as does what is larger than 1 MiB by
    /// itself. Default: 8 MiB. For what is captured.
    pub output_memory: usize,
    /// How much of all results that nobody has taken yet is kept in memory, in
    /// bytes, before further ones go to an unlinked temporary file. Default:
    /// 64 MiB. Results that are taken as they come never go there.
    pub result_memory: usize,
    /// Where those temporary files are made. Default: the directory that `TMPDIR`
    /// names, or `/tmp`.
    pub temp_dir: Option<PathBuf>,
    /// How long one attempt at a job may take, unless the job says otherwise.
    /// Counted from when its turn has come at a worker, without time during which
    /// this process or the pool stood still. Default: for ever. A job whose
    /// time is up is cancelled, and its worker killed if that does not help.
    pub timeout: Option<Duration>,
    /// How many attempts may follow a job's first when it fails, is ended by a
    /// signal, times out or crashes its worker, unless the job says otherwise.
    /// Default: 0.
    pub retries: u32,
    /// Pause before a job's second attempt, doubled for each further one up to
    /// `retry_backoff_max`, and up to a quarter longer so that jobs which failed
    /// together part. Default: 100 ms.
    pub retry_backoff: Duration,
    /// Longest pause between two attempts. Default: 10 s.
    pub retry_backoff_max: Duration,
    /// After how many workers' deaths a job is not tried again, however many
    /// retries it has; at least 1. Default: 3.
    pub quarantine: u32,
    /// After how many failures in a row a worker is replaced, if meanwhile no
    /// other worker's job has failed and as many have succeeded; at least 1.
    /// Default: 5. Such a worker takes jobs the faster the more it fails. Too few
    /// replace workers for nothing.
    pub black_hole: u32,
    /// After how many finished jobs a worker is replaced, whatever became of
    /// them; at least 1. Default: never. For tasks that leave something behind,
    /// such as memory that is not given back. It is told to drain with its last
    /// job; the next one starts meanwhile, so that for as long as that job runs
    /// there may be two processes in one place. Too few spend the time on
    /// starting workers: with 1, a process for each job.
    pub max_jobs_per_worker: Option<u64>,
    /// How much memory (resident, at its largest so far, in bytes) a worker may
    /// have taken after a function before it is replaced in the same way.
    /// Default: any. Jobs that it has begun by then are not harmed. Less than
    /// what a worker takes when it has just started replaces it after each job.
    /// Commands do not count: they are processes of their own.
    pub max_rss_per_worker: Option<u64>,
    /// How many more descriptors than when it was ready a worker may have open
    /// after a function, before it is replaced in the same way: for tasks that do
    /// not close what they open. Default: any. Looked at when an answer comes, when
    /// the worker may have begun its next job: what that has open counts as well,
    /// so that some ten are not too many. Commands do not count, which have
    /// descriptors of their own. Costs a system call for each answer.
    pub max_files_per_worker: Option<u64>,
    /// After how long without a job a worker is ended; another one is started
    /// when jobs need it. Default: never. Too short lets jobs wait for workers
    /// to start, too long keeps their memory for nothing.
    pub idle_timeout: Option<Duration>,
    /// How many workers are started at once, at least one; the others are when there
    /// are jobs for them. And how many are kept however long they have no job, see
    /// `idle_timeout`. Default: all are started at once, none is kept.
    pub min_workers: Option<usize>,
    /// How long a started worker may take until it is ready. Default: 10 s. Too
    /// short fails workers that load a large model, too long hides a hang.
    pub start_timeout: Duration,
    /// How many workers in a row may die before any is ready, until the pool
    /// gives up. Default: 3.
    pub start_attempts: u32,
    /// How many workers may die in a row in the same place in the pool without
    /// having done a job there, until that place counts as failing; when all
    /// do, the pool gives up. Default: 5.
    pub restart_limit: u32,
    /// A worker that has lived for so long was a good one: its death is the
    /// first of a new series. Default: 10 s.
    pub restart_window: Duration,
    /// How long the pool tries to start its first or only worker when the system
    /// has no process, memory or descriptor left for it. With at least one
    /// worker it goes on with fewer, and tries for ever. Default: 30 s.
    pub spawn_patience: Duration,
    /// First pause before a worker that died is replaced, doubled for each
    /// further death without a finished job up to `backoff_max`. The first
    /// replacement is immediate. Default: 50 ms.
    pub backoff: Duration,
    /// Longest pause before a worker is replaced. Default: 10 s.
    pub backoff_max: Duration,
    /// How long a job or a worker that was asked to end may take before it is
    /// killed. Default: 10 s.
    pub grace: Duration,
    /// How much longer than `grace` a worker may take to say that a job has
    /// ended, before it is killed itself: it has to clean up behind the job.
    /// Default: 2 s.
    pub answer_timeout: Duration,
    /// How long a worker that was killed may take to end. Then nobody waits for
    /// it any more: the kernel holds it, on a dead file system for example.
    /// Default: 30 s.
    pub reap_timeout: Duration,
    /// How long a worker may take to send the rest of a frame that it has begun,
    /// before it is killed. Default: 30 s.
    pub frame_timeout: Duration,
    /// Whether nothing is started between a job's verdict and
    /// [`Control::seen`](super::Control::seen): for those who may want to stop
    /// behind any job. Costs a round trip per job. Default: no.
    pub lockstep: bool,
    /// Whether all children of this process that are no workers, and all that
    /// is below them, are killed when a worker was killed: what its job left
    /// behind. Only for programs whose only children are workers, and only
    /// after [`super::adopt_orphans`]. Default: no; then the process group of
    /// the job's command is killed.
    pub kill_orphans: bool,
    /// Data handed to every worker before its first job. Default: none.
    pub init: Option<Bytes>,
    /// How many threads libraries for computing are told to use in a worker.
    /// Default: the workers' share of the CPUs.
    pub threads_per_job: ThreadsPerJob,
    /// How many bytes of private memory a worker, and each process that its jobs
    /// start, may have (`RLIMIT_DATA`: heap and anonymous mappings, stacks of
    /// threads included; not shared memory, nor files). Default: no limit but
    /// what this process has, which a larger one does not raise. What goes
    /// beyond is refused by the kernel; what a program makes of that is its
    /// business. When a function in Rust or C++ aborts with the words that the
    /// language has for it, its job's verdict is `Oom`, else it is as without a
    /// limit. With too little, workers do not even start: a small one needs some
    /// megabytes.
    pub memory_per_worker: Option<u64>,
    /// The least time between the starts of two jobs; a further attempt is a start as
    /// well. Default: none. With it, or `starts_by_leave`, nothing is sent ahead.
    pub start_delay: Duration,
    /// Whether `start_delay` grows by 30 % when an attempt fails and shrinks by 10 %
    /// when one ends well. Default: no.
    pub start_delay_adapts: bool,
    /// Whether jobs start only by [`Control::allow_starts`](super::Control::allow_starts).
    /// Default: no.
    pub starts_by_leave: bool,
    /// How long an attempt at a job may take that has no other time limit: such a
    /// percentage of the median of the times of those that have ended well. Default: for
    /// ever, as before any has.
    pub timeout_percent: Option<f64>,
    /// In which variable jobs find the number of their slot, counted from 0; beside
    /// `ORCHESTRATOR_SLOT`, which counts from 1. Default: none.
    pub slot_variable: Option<OsString>,
    /// The same, counted from 1: another name of `ORCHESTRATOR_SLOT`. Default: none.
    pub slot_variable_from_1: Option<OsString>,
    /// At which niceness workers run, and what their jobs start: 0 to 19. Default: at that
    /// of this process, which a smaller one does not change.
    pub nice: Option<i32>,
}

impl PoolConfig {
    /// The defaults with these workers.
    #[must_use]
    pub fn new(launch: Launch) -> PoolConfig {
        PoolConfig {
            launch,
            agents: Vec::new(),
            dial_window: 8,
            silence: Duration::from_secs(30),
            workers: usable_cpus(),
            max_pending: 8192,
            ahead: Duration::from_millis(1),
            max_payload: 64 << 20,
            printed: Printed::Inherit,
            output_memory: 8 << 20,
            result_memory: 64 << 20,
            temp_dir: None,
            timeout: None,
            retries: 0,
            retry_backoff: Duration::from_millis(100),
            retry_backoff_max: Duration::from_secs(10),
            quarantine: 3,
            black_hole: 5,
            max_jobs_per_worker: None,
            max_rss_per_worker: None,
            max_files_per_worker: None,
            idle_timeout: None,
            min_workers: None,
            start_timeout: Duration::from_secs(10),
            start_attempts: 3,
            restart_limit: 5,
            restart_window: Duration::from_secs(10),
            spawn_patience: Duration::from_secs(30),
            backoff: Duration::from_millis(50),
            backoff_max: Duration::from_secs(10),
            grace: Duration::from_secs(10),
            answer_timeout: Duration::from_secs(2),
            reap_timeout: Duration::from_secs(30),
            frame_timeout: Duration::from_secs(30),
            lockstep: false,
            kill_orphans: false,
            init: None,
            threads_per_job: ThreadsPerJob::Share,
            memory_per_worker: None,
            start_delay: Duration::ZERO,
            start_delay_adapts: false,
            starts_by_leave: false,
            timeout_percent: None,
            slot_variable: None,
            slot_variable_from_1: None,
            nice: None,
        }
    }
}

/// How many threads a worker's libraries for computing are told to use, by
/// `OMP_NUM_THREADS`, `OPENBLAS_NUM_THREADS`, `MKL_NUM_THREADS`, `BLIS_NUM_THREADS`,
/// `NUMEXPR_NUM_THREADS`, `NUMBA_NUM_THREADS` and `RAYON_NUM_THREADS` in its
/// environment, and its commands'. Those that are set in this process's
/// environment, or in [`Launch::env`], are left as they are.
///
/// Left alone, most of these libraries start a thread per CPU, in every worker.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ThreadsPerJob {
    /// The CPUs that this process may use, divided by the number of workers in
    /// [`PoolConfig::workers`]; at least 1. [`Pool::resize`](super::Pool::resize)
    /// does not change it.
    #[default]
    Share,
    /// So many; at least 1.
    Exactly(usize),
    /// Nothing is set.
    Inherit,
}

/// How a worker process is started: a program on this machine that speaks the
/// protocol on its stdin and stdout.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Launch {
    /// The program, as a path that needs no search. A relative one counts from
    /// this process's current directory, whatever the worker's is.
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<OsString>,
    /// Variables of its environment: in addition to those that it inherits from
    /// this process, or instead of them. Default: none. Every worker has `ORCHESTRATOR_SLOT` as well: a
    /// number from 1 that no other worker has whose jobs run at the same time, at most
    /// [`PoolConfig::workers`] unless the pool was resized.
    pub env: Vec<(OsString, OsString)>,
    /// Its working directory, and its commands' unless they say otherwise.
    /// Default: this process's.
    pub current_dir: Option<PathBuf>,
    /// How the program is called in messages.
    pub name: String,
}

/// What an agent that gives up takes at most to end what it runs.
const ENDING: Duration = Duration::from_secs(2);

/// How an agent on another machine is reached: a program here, such as ssh or srun, that
/// carries its stdin and stdout.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agent {
    /// What the other machine is called in messages and reports.
    pub host: Arc<str>,
    /// Whether that is not known before it says so itself.
    pub learns_name: bool,
    /// What is started here.
    pub launch: Launch,
    /// Variables that it is not to inherit.
    pub unset: Vec<OsString>,
    /// How long it may take until the agent answers; absent where it may have to wait in
    /// a queue for hours.
    pub patience: Option<Duration>,
    /// What is run here when the launcher has ended and the agent had not said goodbye: it
    /// may have left something behind.
    pub clean_up: Option<Launch>,
    /// A program that is sent ahead when the other machine asks for it, by a line that is
    /// [`Agent::NEED`], before it greets.
    pub bring: Option<PathBuf>,
    /// Whether it connects to a server, which may not like many at the same time.
    pub dialled: bool,
}

impl Agent {
    /// By this line, in what comes before the greeting, a program is asked for.
    pub const NEED: &'static str = "orchestrator-bootstrap NEED\n";

    /// How long one waits for a word from above that may be silent itself for so long: then it
    /// ends all that it runs.
    pub(crate) fn patience(silence: Duration) -> Duration {
        silence.mul_f64(0.6)
    }

    /// In so much time after the last word that one has heard all that it ran has ended.
    pub(crate) fn end_within(silence: Duration) -> Duration {
        Agent::patience(silence).saturating_add(ENDING)
    }
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
            env: Vec::new(),
            current_dir: None,
        }
    }

    /// Starts this very program as a worker: one binary is enough. Its `main`
    /// has to begin with [`orchestrator::init`](crate::init); a pool of a program whose does not is
    /// refused, as it would start itself over and over.
    ///
    /// What is started is the program that runs, even if its file was replaced
    /// or removed meanwhile: a worker and its orchestrator are always the same
    /// build. That needs `/proc`.
    #[must_use]
    pub fn current_exe() -> Launch {
        let name = std::env::current_exe();
        let name = name.map_or_else(|_| OWN_PROGRAM.to_owned(), |p| p.display().to_string());
        Launch {
            name,
            program: OWN_PROGRAM.into(),
            args: vec![OWN_WORKER.into()],
            env: Vec::new(),
            current_dir: None,
        }
    }

    /// Whether that is this very program.
    pub(super) fn is_own_program(&self) -> bool {
        self.program == Path::new(OWN_PROGRAM)
    }

    /// Whether it is a worker by `worker::init`, and not by a word of its own.
    pub(super) fn is_own_worker(&self) -> bool {
        self.is_own_program() && self.args.first().is_some_and(|arg| arg == OWN_WORKER)
    }

    /// Whether it would be its own worker without knowing: the program over and
    /// over.
    pub(super) fn is_unprepared(&self) -> bool {
        if self.is_own_worker() {
            return !worker::is_initialised();
        }
        // By its path, with nothing to tell it that it is a worker.
        self.args.is_empty() && is_same_file(&self.program, Path::new(OWN_PROGRAM))
    }
}

fn is_same_file(a: &Path, b: &Path) -> bool {
    let file = |path: &Path| path.metadata().ok().map(|meta| (meta.dev(), meta.ino()));
    file(a).is_some_and(|a| file(b) == Some(a))
}

/// The running program, whatever has become of its file: a process that is
/// being started looks it up for itself, and is still a copy of this one then.
const OWN_PROGRAM: &str = "/proc/self/exe";

/// How many CPUs this process may use, by affinity and cgroup quota.
#[must_use]
pub fn usable_cpus() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}
