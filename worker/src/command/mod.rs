//! The built-in `command` task: one external program per job.
//!
//! `launch` turns a specification into a process or says precisely why that is
//! impossible; `running` attends to the process until it and everything that
//! it started are gone; `output` passes on what it prints, as far as `cut` says.

mod cut;
mod launch;
mod output;
mod running;
mod slot;

use std::sync::Arc;

use bytes::Bytes;
use protocol::{Answer, CommandSpec, DoneHeader, JobHeader, Outcome, Usage};

use crate::clock;
use crate::link::Link;
use crate::outbox::{error_payload, failure, not_run};

/// What a worker keeps from one command to the next.
pub(crate) struct Commands {
    launcher: launch::Launcher,
    habits: running::Habits,
}

impl Commands {
    pub(crate) fn new() -> Commands {
        Commands {
            launcher: launch::Launcher::new(),
            habits: running::Habits::new(),
        }
    }

    /// Runs a command to its end. What it printed has been handed over then.
    pub(crate) fn run(
        &mut self,
        link: &Arc<Link>,
        header: &JobHeader,
        spec: &CommandSpec,
    ) -> Answer {
        // Whoever watches sees the end of earlier jobs before this one's effects,
        // unless many short ones follow each other: then a write and somebody
        // waking up for each would be a good part of what they cost.
        let mut state = link.state();
        if !(state.has_more() && self.habits.expect_brief(spec)) {
            link.flush(&mut state);
        }
        drop(state);
        link.status.start(header.job.0, header.attempt.0, 0);
        let start = clock::now();
        let habits = &mut self.habits;
        let ended = self
            .launcher
            .launch(spec, header.attempt, link.turn())
            .and_then(|launched| running::attend(link, header, spec, launched, start, habits));
        match ended {
            Err(refusal) => failure(not_run(header, refusal.outcome), &refusal.error),
            Ok(report) => answer(header, report),
        }
    }
}

fn answer(header: &JobHeader, report: running::Report) -> Answer {
    let payload = match report.outcome {
        // The task's output is `()`, which JSON spells with four letters.
        Outcome::Ok => header.encoding.encode(&()).unwrap_or_default(),
        _ => report.error.map_or(Bytes::new(), |e| error_payload(&e)),
    };
    let header = DoneHeader {
        job: header.job,
        attempt: header.attempt,
        outcome: report.outcome,
        usage: Usage {
            wall_us: clock::micros(report.wall),
            user_us: report.used.user_us,
            system_us: report.used.system_us,
            max_rss_kib: known_rss(report.used.max_rss_kib),
            leaked: report.leaked,
        },
    };
    Answer { header, payload }
}

/// A process counts as its own what its parent had in memory when it was
/// started. If that was much, and the command's figure is not clearly above
/// it, then nothing is known about the command.
fn known_rss(kib: u64) -> u64 {
    /// The figure is at least this worker's: up to here both are small.
    const SMALL_KIB: u64 = 32 * 1024;
    if kib <= SMALL_KIB {
        return kib;
    }
    // Not getrusage: that includes what this worker has from its own parent.
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let peak = peak.and_then(|peak| peak.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    // The kernel counts per CPU, and is not exact.
    let floor = peak.map_or(0, |peak| peak + peak / 32);
    if kib <= floor { 0 } else { kib }
}
