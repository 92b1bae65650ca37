//! `orchestrator agent`: a pool for whoever is at the other end of stdin and stdout.

use std::ffi::{OsStr, OsString};
use std::io;
use std::num::NonZero;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::Signal;
use tokio::signal::unix::{SignalKind, signal};

use super::args::{AgentArgs, ElsewhereArgs, LaunchArgs, WearArgs};
use super::errors::{self, Message, WorkerName};
use super::exit::Exit;
use super::main::{fail, lookup, refuse, runtime, say};
use super::plan;
use crate::agent::{End, Link, serve};
use crate::pool::{self, PoolConfig, ThreadsPerJob};
use crate::run::text;

/// How long a worker may take to start: it may have to load half a laboratory, and whoever
/// started the agent has a deadline of their own.
const START: Duration = Duration::from_secs(300);

/// Is an agent until that ends.
pub(super) fn agent(args: AgentArgs) -> Exit {
    let silence = args.elsewhere.silence;
    let mut config = match plan(args) {
        Ok(config) => config,
        Err(message) => return refuse(&message),
    };
    match pool::allow_open_files(config.workers) {
        Ok(()) => {}
        Err(0) => return fail(&errors::no_open_files()),
        Err(fit) => {
            say(&errors::fewer_workers(config.workers, fit));
            config.workers = fit;
        }
    }
    config.kill_orphans = pool::adopt_orphans().is_ok();
    let runtime = match runtime() {
        Ok(runtime) => runtime,
        Err(message) => return fail(&message),
    };
    match runtime.block_on(attended(config, silence)) {
        Ok(End::Good) => Exit::OK,
        Ok(End::Silence(since)) => fail(&Message::new(format!(
            "nothing was heard for {since:?} from whoever started this agent: all is ended"
        ))),
        Ok(End::Violation(what)) => {
            let what = text::escaped(what.as_bytes());
            say(&format!("orchestrator agent: protocol error: {what}\n"));
            Exit::PROTOCOL
        }
        // How its worker is tried alone is for those to say who gave its command line.
        Ok(End::Pool(e)) => fail(&errors::pool(&e, &WorkerName::Stock)),
        Err(e) if e.kind() == io::ErrorKind::InvalidInput => refuse(
            &Message::new(format!("an agent is started by a program: {e}"))
                .tip("to run commands or tasks from a shell: orchestrator run --help"),
        ),
        Err(e) => fail(&errors::cannot_start(&e)),
    }
}

async fn attended(config: PoolConfig, silence: Option<Duration>) -> io::Result<End> {
    let link = Link::take_over()?;
    let mut terminations = signal(SignalKind::terminate())?;
    // A handler of any kind: where this signal is ignored, the kernel throws away how
    // children ended.
    let _children = signal(SignalKind::child())?;
    let terminate = async {
        terminations.recv().await;
    };
    let complain = |what: &str| say(&format!("orchestrator agent: {what}\n"));
    Ok(serve(config, (link, silence), terminate, complain).await)
}

/// Becomes a launcher, which is told to end when the process that started this one has
/// ended, however that was: it may be waiting in a queue, where it would not notice.
pub(super) fn launch(args: LaunchArgs) -> Exit {
    set_pdeathsig(Signal::SIGTERM).ok();
    // If it has ended before, nobody holds the other end of stdin any more.
    if has_ended(io::stdin().as_fd()) {
        return Exit::RUN_FAILED;
    }
    let mut words = args.words.into_iter();
    let program = words.next().unwrap_or_default();
    #[expect(
        clippy::disallowed_methods,
        reason = "this process becomes it: the pool's launcher has started it"
    )]
    let why = std::process::Command::new(&program).args(words).exec();
    let shown = text::quoted(program.as_bytes());
    say(&format!(
        "the launcher {shown} cannot be started: {}\n",
        text::reason(&why)
    ));
    Exit::Status(127)
}

/// Whether a pipe has nobody who writes to it.
fn has_ended(pipe: BorrowedFd<'_>) -> bool {
    let mut asked = [PollFd::new(pipe, PollFlags::empty())];
    let told = poll(&mut asked, PollTimeout::ZERO);
    told.is_ok() && asked[0].revents() == Some(PollFlags::POLLHUP)
}

/// A variable and its value.
fn variable(word: &OsString) -> Option<(OsString, OsString)> {
    let bytes = word.as_bytes();
    let end = bytes.iter().position(|&byte| byte == b'=')?;
    let of = |bytes: &[u8]| OsStr::from_bytes(bytes).to_owned();
    Some((of(&bytes[..end]), of(&bytes[end + 1..])))
}

/// How many CPUs Slurm gives to this job on this node, of which this process may use so many.
fn cpus_of_slurm(usable: usize) -> Option<usize> {
    let cpus = |name| std::env::var(name).ok()?.parse().ok();
    slurm_cpus(
        cpus("SLURM_CPUS_ON_NODE"),
        cpus("SLURM_JOB_CPUS_PER_NODE"),
        usable,
    )
}

/// The step of `srun --exclusive` is counted as one CPU, though its job has all of the node. Some
/// clusters confine it to that one, others do not.
fn slurm_cpus(step: Option<usize>, job: Option<usize>, usable: usize) -> Option<usize> {
    let unconfined = job.map(|cpus| cpus.min(usable));
    step.max(unconfined).filter(|&cpus| cpus > 0)
}

/// Goes to the directory of all jobs.
fn enter(directory: &Path, make: bool) -> Result<(), Message> {
    let cannot = |what: &str, e: &io::Error| {
        let shown = text::quoted(directory.as_os_str().as_bytes());
        let why = text::reason(e);
        Message::new(format!(
            "the directory {shown} cannot be {what} here: {why} (--wd DIR says another)"
        ))
    };
    if make {
        std::fs::create_dir_all(directory).map_err(|e| cannot("made", &e))?;
    }
    std::env::set_current_dir(directory).map_err(|e| cannot("entered", &e))
}

/// What the words mean together.
///
/// # Errors
/// When there is no such worker.
fn plan(args: AgentArgs) -> Result<PoolConfig, Message> {
    let AgentArgs {
        workers,
        min_workers,
        idle_after,
        elsewhere,
        wear,
        worker,
    } = args;
    let ElsewhereArgs {
        silence: _,
        workdir,
        make_workdir,
        setenv,
        grace,
        slurm,
        memory_limit,
        nice,
        threads_per_job,
        process_slot_var,
    } = elsewhere;
    if let Some(directory) = &workdir {
        enter(directory, make_workdir)?;
    }
    let WearArgs {
        max_jobs_per_worker,
        max_rss_per_worker,
        max_files_per_worker,
    } = wear;
    let (mut launch, worker) = plan::launch(worker, &lookup())?;
    launch.env = setenv.iter().filter_map(variable).collect();
    let defaults = PoolConfig::new(launch);
    let given = workers.map(NonZero::get);
    let of_slurm = || cpus_of_slurm(defaults.workers).filter(|_| slurm);
    Ok(PoolConfig {
        workers: given.or_else(of_slurm).unwrap_or(defaults.workers),
        grace: grace.unwrap_or(defaults.grace),
        memory_per_worker: memory_limit,
        nice,
        slot_variable: process_slot_var,
        min_workers,
        idle_timeout: idle_after,
        max_jobs_per_worker,
        max_rss_per_worker,
        max_files_per_worker,
        start_timeout: START,
        threads_per_job: match worker {
            _ if threads_per_job.is_some() => {
                ThreadsPerJob::Exactly(threads_per_job.map_or(1, NonZero::get))
            }
            // A command sees the environment that it would see without us.
            WorkerName::Stock => ThreadsPerJob::Inherit,
            WorkerName::Named(_) => ThreadsPerJob::Share,
        },
        ..defaults
    })
}

#[cfg(test)]
mod tests {
    use super::slurm_cpus;

    #[test]
    fn an_agent_with_a_node_of_its_own_uses_all_that_it_may() {
        // `srun --exclusive`, not confined to the one CPU of its step, and confined to it.
        assert_eq!(slurm_cpus(Some(1), Some(16), 16), Some(16));
        assert_eq!(slurm_cpus(Some(1), Some(16), 1), Some(1));
        // Slurm may give more than there are.
        assert_eq!(slurm_cpus(Some(16), Some(16), 2), Some(16));
        assert_eq!(slurm_cpus(Some(1), Some(2), 64), Some(2));
        assert_eq!(slurm_cpus(Some(4), None, 64), Some(4));
        assert_eq!(slurm_cpus(None, None, 64), None);
    }
}
