//! Jobs on other machines. Where those cannot be made up, an agent that is started here
//! through a template is one as far as this program can tell.

mod local;
mod losses;
mod matrix;
mod podman;
mod slurm;
mod ssh;
mod world;

use std::collections::HashMap;
use std::fs::File;
use std::process::Command;

use orchestrator_tests::env::finish;
use orchestrator_tests::{Done, TestEnv, eventually};

use crate::run::{ORCHESTRATOR, command, run};

/// Jobs that take some CPU, and say something that depends on all of it.
const HEAVY: &str = "i=0; s={}; while [ $i -lt 300 ]; do s=$(( (s * 1103515245 + 12345 + i) & 2147483647 )); i=$((i+1)); done; echo {} $s";

fn lines(jobs: u32) -> String {
    (1..=jobs).map(|n| format!("{n}\n")).collect()
}

/// What so many of these jobs say when they run here.
fn expected(jobs: u32) -> Vec<u8> {
    let env = TestEnv::new();
    let done = run(&env, &["-k", "-c", HEAVY], lines(jobs));
    assert_eq!(done.code(), 0, "{}", done.stderr);
    done.stdout
}

/// A template for hosts that are this machine, and can be told apart.
const HERE: &str = "sh -c 'exec {agent}' {host}";

/// How often each job was run, of those that have said so in this file.
fn counts(env: &TestEnv, file: &str) -> HashMap<String, usize> {
    let text = std::fs::read_to_string(env.path().join(file)).unwrap_or_default();
    let mut counts = HashMap::new();
    for line in text.lines() {
        *counts.entry(line.to_owned()).or_default() += 1;
    }
    counts
}

/// Exactly one good outcome of each job is in the run file.
fn complete(env: &TestEnv, jobs: u32) {
    let mut command = env.command(ORCHESTRATOR);
    command.args(["status", "--json", "r"]);
    let done = env.run(command, "");
    let file = rusqlite::Connection::open(env.path().join("r")).unwrap();
    let count = |sql: &str| -> u32 { file.query_row(sql, [], |row| row.get(0)).unwrap() };
    assert_eq!(count("select count(*) from job"), jobs, "{}", done.stderr);
    assert_eq!(
        count("select count(*) from outcome join job using (job)"),
        jobs
    );
    assert_eq!(
        count("select count(*) from verdict where verdict = 'ok'"),
        jobs
    );
}

/// The processes whose command line has this in it, among those of this test.
fn processes(env: &TestEnv, what: &str) -> Vec<i32> {
    let named = |pid: &u32| {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line)
            .replace('\0', " ")
            .contains(what)
    };
    let all = env.processes().into_iter().filter(named);
    all.map(|pid| pid.cast_signed()).collect()
}

/// `orchestrator run` with hosts whose agents are the test's own program.
fn hosts(env: &TestEnv, args: &[&str]) -> Command {
    command(env, &[&["--agent", ORCHESTRATOR], args].concat())
}

/// A job that waits, in whichever directory, until all is told that is waited for by [`told_first`].
fn when_told(env: &TestEnv) -> String {
    let told = env.path().join("told");
    format!(
        "until [ -e {} ]; do sleep 0.05; done; echo {{}}",
        told.display()
    )
}

/// A run whose jobs wait until stderr has all of this, however long that takes; and stderr.
fn told_first(
    env: &TestEnv,
    mut command: Command,
    input: String,
    expected: &[&str],
) -> (Done, String) {
    let said = env.path().join("said");
    let input = File::open(env.file("input", input)).unwrap();
    command.stdin(input).stderr(File::create(&said).unwrap());
    let mut child = command.spawn().unwrap();
    let said = || std::fs::read_to_string(&said).unwrap();
    eventually("all is told, or the run has ended", || {
        expected.iter().all(|one| said().contains(one)) || child.try_wait().unwrap().is_some()
    });
    env.file("told", "");
    let done = finish(child, Vec::new());
    std::fs::remove_file(env.path().join("told")).unwrap();
    (done, said())
}
