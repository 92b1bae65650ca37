//! Whether a worker starts, and how long that takes.

use std::time::Duration;

use super::check::Check;
use crate::cli::args::WorkerArgs;
use crate::cli::main::{offered, runtime};
use crate::cli::plan;
use crate::cli::program::Lookup;
use crate::run::report::Clock;
use crate::run::text;

const WHAT: &str = "worker";

/// A start that takes longer is felt in every short run.
const SLOW: Duration = Duration::from_secs(1);

/// How long the system may have no process left.
const PATIENCE: Duration = Duration::from_secs(2);

/// Starts one worker, and lets it go.
pub(super) fn check(lookup: &Lookup) -> Check {
    let launch = match plan::launch(WorkerArgs::default(), lookup) {
        Ok((launch, _)) => launch,
        Err(message) => return bad(&message.to_string()),
    };
    let runtime = match runtime() {
        Ok(runtime) => runtime,
        Err(message) => return bad(&message.to_string()),
    };
    let clock = Clock::start();
    let offered = runtime.block_on(offered(launch, Some(PATIENCE)));
    let took = clock.elapsed();
    match offered {
        Ok(_) => {
            let ms = took.as_secs_f64() * 1e3;
            let value = format!("starts, answers and ends within {ms:.1} ms");
            let check = Check::new(WHAT, value).fact("ms", ms);
            match took > SLOW {
                true => check.warn("starting programs is slow here"),
                false => check,
            }
        }
        Err(e) => bad(&e.to_string()),
    }
}

fn bad(why: &str) -> Check {
    let why = text::escaped(why.trim().as_bytes());
    Check::new(WHAT, "does not start").fail(why)
}
