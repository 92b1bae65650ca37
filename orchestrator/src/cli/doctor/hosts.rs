//! Other machines: whether each can be used, and what it is like.

use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use tokio::task::JoinSet;

use super::check::Check;
use crate::cli::args::{HostsArgs, WorkerArgs};
use crate::cli::errors::Message;
use crate::cli::main::runtime;
use crate::cli::plan;
use crate::cli::program::Lookup;
use crate::pool::{Agent, Event, EventKind, Launch, Pool, PoolConfig, PoolError, Printed};
use crate::run::report::Clock;
use crate::run::text;

/// Within so many seconds nobody minds.
const SAME_TIME: f64 = 2.0;

/// What is known of a host that can be used.
struct Known {
    slots: usize,
    answers: Duration,
    /// How far its clock is ahead, in seconds, if that could be found out.
    ahead: Option<f64>,
}

/// Looks at all of them at the same time.
///
/// # Errors
/// When they are not well named.
pub(super) fn examine(args: HostsArgs, lookup: &Lookup) -> Result<Vec<Check>, Message> {
    let (launch, _) = plan::launch(WorkerArgs::default(), lookup)?;
    let agents = plan::hosts::agents(args, lookup)?;
    if agents.is_empty() {
        return Err(Message::new("no other machine is named")
            .tip("without --hosts, `orchestrator doctor` looks at this one"));
    }
    let names: Vec<Arc<str>> = agents.iter().map(|agent| Arc::clone(&agent.host)).collect();
    let found = runtime()?.block_on(async {
        let mut all = JoinSet::new();
        for (at, agent) in agents.into_iter().enumerate() {
            let launch = launch.clone();
            all.spawn(async move { (at, look(agent, launch).await) });
        }
        all.join_all().await
    });
    let mut checks: Vec<(usize, Check)> = found
        .into_iter()
        .map(|(at, found)| (at, check(&names[at], found)))
        .collect();
    checks.sort_by_key(|(at, _)| *at);
    Ok(checks.into_iter().map(|(_, check)| check).collect())
}

async fn look(agent: Agent, launch: Launch) -> Result<Known, PoolError> {
    let mut config = PoolConfig::new(launch);
    config.workers = 1;
    config.agents = vec![agent];
    // What is wrong with it now is wanted.
    config.restart_limit = 0;
    config.printed = Printed::Capture;
    let (pool, mut events) = Pool::start_observed(config)?;
    pool.tasks().await?;
    let slots = loop {
        match events.next().await {
            Some(Event {
                kind: EventKind::WorkerReady { slots, .. },
                ..
            }) => break slots as usize,
            Some(_) => {}
            None => return Err(PoolError::Closed),
        }
    };
    let clock = Clock::start();
    let before = clock.wall.duration_since(UNIX_EPOCH);
    let said = pool.command(["date", "+%s.%N"]).await.ok();
    let answers = clock.elapsed();
    let there = said.and_then(|said| {
        let text = String::from_utf8_lossy(&said.stdout).trim().to_owned();
        text.parse::<f64>().ok()
    });
    // In the middle of that time, as far as anybody knows.
    let here = before.map_or(0.0, |time| (time + answers / 2).as_secs_f64());
    pool.shutdown().await.ok();
    Ok(Known {
        slots,
        answers,
        ahead: there.map(|there| there - here),
    })
}

fn check(host: &Arc<str>, found: Result<Known, PoolError>) -> Check {
    // There are as many as were named on a command line.
    let what: &'static str = text::escaped(host.as_bytes()).leak();
    let known = match found {
        Ok(known) => known,
        Err(PoolError::Hosts { hosts }) => {
            let how = hosts.first().map_or("cannot be used", |(_, how)| how);
            return Check::new(what, text::escaped(how.as_bytes()))
                .fail("docs/hosts.md says what a host needs");
        }
        Err(e) => {
            let how = text::escaped(e.to_string().as_bytes());
            return Check::new(what, "cannot be used").fail(how);
        }
    };
    let ms = known.answers.as_secs_f64() * 1e3;
    let jobs = text::counted(known.slots as u64, "job");
    let check = Check::new(what, format!("{jobs} at once, a command in {ms:.1} ms"))
        .fact("slots", known.slots)
        .fact("ms", ms);
    match known.ahead {
        None => check.warn("it has no `date`, so that its clock is not known"),
        Some(ahead) => {
            let check = check
                .also(&format!("clock {ahead:+.2} s"))
                .fact("clock_s", ahead);
            match ahead.abs() > SAME_TIME {
                true => check.warn("its clock differs: times of files there look strange here"),
                false => check,
            }
        }
    }
}
