//! The test environment itself: a proof that never fails proves nothing.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::{Child, Stdio};
use std::time::Duration;

use orchestrator_tests::{TestEnv, eventually};

/// Whether the environment complains when it is asked now.
fn complains(env: &TestEnv) -> bool {
    let limit = Duration::from_millis(30);
    catch_unwind(AssertUnwindSafe(|| env.no_process_left_after(limit))).is_err()
}

fn reap(mut child: Child) {
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn the_environment_notices_a_process_that_is_left() {
    let env = TestEnv::new();
    let child = env.command("/bin/sleep").arg("600").spawn().unwrap();
    eventually("it is seen", || env.processes() == [child.id()]);
    assert!(complains(&env));
    // It was killed then.
    reap(child);
    env.no_process_left();
}

#[test]
fn the_environment_notices_a_process_without_an_environment() {
    let env = TestEnv::new();
    let mut command = env.command("/usr/bin/env");
    let child = command.args(["-i", "/bin/sleep", "600"]).spawn().unwrap();
    let pid = child.id();
    eventually("it has no mark", || {
        env.processes().is_empty() && env.life().holders() == [pid]
    });
    assert!(complains(&env));
    reap(child);
    env.no_process_left();
}

#[test]
fn the_environment_notices_a_process_without_the_pipe() {
    let env = TestEnv::new();
    let mut command = env.command("/bin/sh");
    let child = command.args(["-c", "exec 9>&-; exec sleep 600"]).spawn();
    let child = child.unwrap();
    eventually("it has closed the pipe", || {
        env.processes() == [child.id()] && env.life().is_over()
    });
    assert!(complains(&env));
    reap(child);
    env.no_process_left();
}

#[test]
fn workers_hold_the_pipe_and_their_jobs_may_open_it() {
    let env = TestEnv::new();
    let mut command = env.command(env!("CARGO_BIN_EXE_test-orchestrator"));
    let script = "exec 9>\"$ORCHESTRATOR_TEST_LIFE\"; exec env -i sleep 600";
    command.args(["run", "-j1", "--", "sh", "-c", script, "sh", "{}"]);
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
    std::io::Write::write_all(child.stdin.as_mut().unwrap(), b"1\n").unwrap();
    // The orchestrator, its worker, and the job.
    eventually("all three hold it", || env.life().holders().len() == 3);
    reap(child);
    env.life().everyone_dies_within(Duration::from_secs(10));
    env.no_process_left();
}
