//! `orchestrator agent`: a pool for whoever is at the other end of stdin and stdout.

use std::io;
use std::num::NonZero;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};

use super::args::{AgentArgs, WearArgs};
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
    match runtime.block_on(attended(config)) {
        Ok(End::Good) => Exit::OK,
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

async fn attended(config: PoolConfig) -> io::Result<End> {
    let link = Link::take_over()?;
    let mut terminations = signal(SignalKind::terminate())?;
    // A handler of any kind: where this signal is ignored, the kernel throws away how
    // children ended.
    let _children = signal(SignalKind::child())?;
    let terminate = async {
        terminations.recv().await;
    };
    let complain = |what: &str| say(&format!("orchestrator agent: {what}\n"));
    Ok(serve(config, link, terminate, complain).await)
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
        wear,
        worker,
    } = args;
    let WearArgs {
        max_jobs_per_worker,
        max_rss_per_worker,
        max_files_per_worker,
    } = wear;
    let (launch, worker) = plan::launch(worker, &lookup())?;
    let defaults = PoolConfig::new(launch);
    Ok(PoolConfig {
        workers: workers.map_or(defaults.workers, NonZero::get),
        min_workers,
        idle_timeout: idle_after,
        max_jobs_per_worker,
        max_rss_per_worker,
        max_files_per_worker,
        start_timeout: START,
        threads_per_job: match worker {
            // A command sees the environment that it would see without us.
            WorkerName::Stock => ThreadsPerJob::Inherit,
            WorkerName::Named(_) => ThreadsPerJob::Share,
        },
        ..defaults
    })
}
