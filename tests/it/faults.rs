//! What can go wrong, and what must become of it. Each test begins with the
//! number of its failure.

mod chaos;
mod jobs;
mod memory;
mod orphans;
mod streams;
mod surroundings;
pub(crate) mod syscalls;
mod terminal;
mod workers;

use std::io::Write;

use orchestrator_tests::TestEnv;

use super::pool::{WORKER, block_on, config, ends, rogues};
use super::run::{ORCHESTRATOR, ROGUE, command, objects, peak_mib, run, script, spawn, workers_of};

/// The verdicts in `--format jsonl` with how often each occurs.
fn count_verdicts(stdout: &str) -> std::collections::BTreeMap<String, usize> {
    let mut counts = std::collections::BTreeMap::new();
    for object in objects(stdout) {
        let verdict = object["verdict"].as_str().unwrap().to_owned();
        *counts.entry(verdict).or_default() += 1;
    }
    counts
}

/// Says that a test has not tested anything: past the test harness, which keeps
/// what a test prints that holds.
pub(crate) fn not_tested(name: &str, reason: &str) {
    let line = format!("{name}: NOT TESTED, since {reason}\n");
    std::io::stderr().write_all(line.as_bytes()).ok();
}

/// A copy of the orchestrator, for whoever wants to replace it. Made by another
/// process: a descriptor of ours that writes to it could be in a child that is
/// just being started by another test, and then it could not be run.
pub(crate) fn copy_of_orchestrator(env: &TestEnv) -> std::path::PathBuf {
    let copy = env.path().join("orchestrator");
    let mut cp = env.command("cp");
    cp.arg(ORCHESTRATOR).arg(&copy);
    assert_eq!(env.run(cp, "").code(), 0);
    copy
}
