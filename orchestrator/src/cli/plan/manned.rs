//! The pool: how many workers there are, where, how they are started and replaced, and how far ahead
//! of their turn they are sent jobs.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use super::super::args::control::{ControlArgs, JobsArg};
use super::super::args::{HostsArgs, WearArgs, WorkerArgs};
use super::super::errors::{Message, WorkerName};
use super::super::program::Lookup;
use super::control::{self, Controlled};
use super::work::replace_after;
use super::{hosts, launch};
use crate::pool::{PoolConfig, Printed, ThreadsPerJob};
use crate::run::source::work::Work;

/// A pool that is ready to be started.
#[derive(Debug)]
pub(super) struct Manned {
    pub(super) pool: PoolConfig,
    /// Its worker, for messages.
    pub(super) worker: WorkerName,
    /// About how many jobs run at the same time, here and elsewhere.
    pub(super) slots: usize,
    pub(super) controlled: Controlled,
}

/// What else matters for it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    pub(super) round_robin: bool,
    /// Whether a job that may have begun is not begun again.
    pub(super) at_most_once: bool,
    pub(super) like_gnu: bool,
}

/// The pool for this work, whose jobs all run in this directory, if it is another than this
/// process's. `there`: where programs are looked for that jobs need.
///
/// # Errors
/// When what was asked for makes no sense, or a program or a file is not there.
pub(super) fn manned(
    (control, wear, memory_limit): (ControlArgs, WearArgs, Option<u64>),
    (worker, hosts): (WorkerArgs, HostsArgs),
    work: &Work,
    directory: Option<PathBuf>,
    (there, lookup): (&Lookup, &Lookup),
    rules: Rules,
) -> Result<Manned, Message> {
    let is_elsewhere = hosts.is_any();
    // It may be on hosts only.
    let found_by = if is_elsewhere { there } else { lookup };
    let (launched, name) = launch(worker.clone(), found_by)?;
    let mut pool = PoolConfig::new(launched);
    // The sinks say when it is shown, and where.
    pool.printed = Printed::Capture;
    // A command sees the environment that it would see without us.
    pool.threads_per_job = ThreadsPerJob::Inherit;
    pool.launch.current_dir = directory;
    pool.memory_per_worker = memory_limit;
    let jobs_file = matches!(control.workers, Some(JobsArg::File(_)));
    let (env, given) = (control.env.clone(), control.workers.is_some());
    let loaded = control.load.is_some() || control.memfree.is_some();
    let controlled = control::control(control, lookup, &mut pool)?;
    if !controlled.stop.is_empty() && work.task().is_some() {
        return Err(
            Message::new("--termseq is for commands: a task has no process of its own")
                .tip("to give a function time to end: --grace"),
        );
    }
    replace_after(&mut pool, work, wear)?;
    if is_elsewhere {
        check_elsewhere(jobs_file, loaded, rules)?;
    }
    let slots = enter_hosts((hosts, &worker), &env, given, &mut pool, lookup)?;
    send_ahead(&mut pool, controlled.halt.is_some(), rules);
    Ok(Manned {
        pool,
        worker: name,
        slots,
        controlled,
    })
}

/// Enters other machines, if there are any. About how many jobs run at the same time.
fn enter_hosts(
    (hosts, worker): (HostsArgs, &WorkerArgs),
    env: &[OsString],
    is_given: bool,
    pool: &mut PoolConfig,
    lookup: &Lookup,
) -> Result<usize, Message> {
    let silence = hosts.host_timeout;
    let wanted = hosts::Wanted {
        worker,
        directory: pool.launch.current_dir.as_deref(),
        env: if hosts.is_any() { env } else { &[] },
        jobs: is_given.then_some(pool.workers),
        threads_per_job: hosts::threads(pool),
    };
    let Some(elsewhere) = hosts::places(hosts, &wanted, (pool, lookup))? else {
        return Ok(pool.workers);
    };
    if !elsewhere.is_only_elsewhere() && worker.worker.is_some() {
        launch(worker.clone(), lookup)?;
    }
    let slots = elsewhere.slots(pool.workers);
    elsewhere.enter(silence, pool);
    Ok(slots)
}

/// What is for this machine only.
fn check_elsewhere(jobs_file: bool, loaded: bool, rules: Rules) -> Result<(), Message> {
    hosts::check(&[
        (
            jobs_file,
            "-j FILE",
            "name a number: -j8, or one for each host: --hosts 8/h1,4/h2",
        ),
        (
            loaded,
            "--load and --memfree",
            "they look at this machine: leave them out",
        ),
        (
            rules.round_robin,
            "--round-robin",
            "--pipe alone gives each job a block",
        ),
        (
            rules.at_most_once,
            "--on-interrupted fail",
            "what a lost host was running is run again elsewhere: leave it out",
        ),
    ])
}

/// How far ahead of their turn jobs may be sent, where that matters.
fn send_ahead(pool: &mut PoolConfig, halts: bool, rules: Rules) {
    if halts {
        // Nothing may start behind the job that decides.
        pool.ahead = Duration::ZERO;
        pool.lockstep = true;
    }
    if rules.like_gnu && pool.retries > 0 {
        // There, what comes behind a job that has failed is the same job.
        pool.retry_backoff = Duration::ZERO;
        pool.ahead = Duration::ZERO;
    }
    if rules.at_most_once {
        // Few have to be given up that had not started.
        pool.ahead = Duration::ZERO;
        pool.max_pending = pool.workers;
    }
}
