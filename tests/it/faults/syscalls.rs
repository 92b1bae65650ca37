//! System calls that fail, one at a time: strace lets the n-th fail, for every n
//! until there is no n-th. Whichever it was, the run is done as if nothing had
//! happened, or says in a line why it cannot be, and leaves no process.
//!
//! Needs strace, and to be allowed to trace. Where that is not so, nothing is
//! tested and a line says so, unless `REQUIRE_STRACE` is set, as in `.ci/run`.

use std::fs::File;
use std::path::Path;
use std::process::Command;

use orchestrator_tests::env::finish;
use orchestrator_tests::{Done, TestEnv};
use serde_json::json;

use super::{ORCHESTRATOR, not_tested, objects, script};

const LINES: &str = "1\n2\n3\n4\n";

/// Past the last system call of its kind that one of these runs makes.
const ENOUGH: u32 = 400;

/// Whether anything can be tested.
pub(crate) fn strace_works(name: &str) -> bool {
    let env = TestEnv::new();
    let mut strace = env.command("strace");
    strace.args(["-o", "/dev/null", "true"]);
    let works = env.run(strace, "").code() == 0;
    if !works {
        let reason = "there is no strace that may trace";
        assert!(std::env::var_os("REQUIRE_STRACE").is_none(), "{reason}");
        not_tested(name, reason);
    }
    works
}

/// Whose system calls fail.
#[derive(Clone, Copy)]
enum Of {
    /// The orchestrator's first thread, which starts workers and talks to them.
    Orchestrator,
    /// Each thread of it, of its workers and of their jobs, counted by itself.
    All,
}

/// `orchestrator run` with these arguments under strace, which does this to some
/// system calls, and notes that in the file `log`.
fn traced(env: &TestEnv, of: Of, more: &[&str], inject: &str, args: &[&str]) -> Command {
    let mut strace = env.command("strace");
    if let Of::All = of {
        strace.arg("-f");
    }
    let calls = inject.split(':').next().unwrap();
    strace.args(["-qq", "-o", "log", "-e", &format!("trace={calls}")]);
    strace.args(["-e", &format!("inject={inject}")]).args(more);
    strace.arg(ORCHESTRATOR).arg("run").args(args);
    strace
}

/// How often something was done to a system call.
fn injected(env: &TestEnv) -> usize {
    let log = std::fs::read_to_string(env.path().join("log")).unwrap();
    let mark = |line: &&str| line.ends_with("(INJECTED)") || line.contains("+++ killed by SIGKILL");
    log.lines().filter(mark).count()
}

/// Does this to the n-th of these calls, for every n until there is no n-th;
/// gives what the runs did to which it was done.
fn each(of: Of, calls: &str, what: &str) -> Vec<Done> {
    each_from(1, of, calls, what)
}

/// The same without the first ones.
fn each_from(first: u32, of: Of, calls: &str, what: &str) -> Vec<Done> {
    let mut runs = Vec::new();
    for n in first..ENOUGH {
        let env = TestEnv::new();
        let inject = format!("{calls}:{what}:when={n}");
        let args = ["-j2", "-k", "--", "echo", "{}"];
        let done = env.run(traced(&env, of, &[], &inject, &args), LINES);
        if injected(&env) == 0 {
            assert_eq!((done.code(), done.stdout()), (0, LINES), "{}", done.stderr);
            return runs;
        }
        env.no_process_left();
        runs.push(done);
    }
    panic!("there are more than {ENOUGH} calls of {calls}");
}

/// Each run was done, or failed with a line that says why; gives the lines.
fn done_or_told(runs: &[Done]) -> Vec<&str> {
    let (good, bad): (Vec<&Done>, Vec<_>) = runs.iter().partition(|done| done.code() == 0);
    for done in &good {
        assert_eq!(done.stdout(), LINES, "{}", done.stderr);
    }
    assert!(!good.is_empty(), "{bad:?}");
    for done in &bad {
        assert_eq!((done.code(), done.stdout()), (125, ""), "{}", done.stderr);
        assert!(done.stderr.starts_with("error: "), "{}", done.stderr);
    }
    bad.iter().map(|done| &*done.stderr).collect()
}

#[test]
fn f031_whichever_process_or_thread_is_refused_the_run_is_done_or_says_why_not() {
    if !strace_works("f031") {
        return;
    }
    for of in [Of::Orchestrator, Of::All] {
        let runs = each(of, "clone,clone3", "error=EAGAIN");
        for said in done_or_told(&runs) {
            // Only where the orchestrator itself cannot do without.
            assert!(said.contains("no process or thread is left"), "{said}");
        }
    }
}

#[test]
fn f032_whichever_descriptor_is_refused_the_run_is_done() {
    if !strace_works("f032") {
        return;
    }
    for calls in ["pipe2", "pidfd_open"] {
        for error in ["EMFILE", "ENFILE"] {
            let runs = each(Of::Orchestrator, calls, &format!("error={error}"));
            let failed = done_or_told(&runs);
            assert!(failed.is_empty(), "{calls}: {failed:?}");
        }
    }
    // Without its first no worker ever starts; with the others it runs commands.
    let runs = each_from(2, Of::All, "pipe2", "error=EMFILE");
    let failed = done_or_told(&runs);
    assert!(failed.is_empty(), "{failed:?}");
}

#[test]
fn f033_a_worker_that_the_runtime_fails_to_register_is_not_left_behind() {
    if !strace_works("f033") {
        return;
    }
    // Its pipes are registered when its process is there already.
    let runs = each(Of::Orchestrator, "epoll_ctl", "error=ENOSPC");
    let said = done_or_told(&runs);
    let behind = |said: &&str| said.contains("worker` cannot be started: no space left on device");
    assert!(said.iter().any(behind), "{said:?}");
}

#[test]
fn f052_a_program_that_stays_busy_is_that_lines_failure() {
    if !strace_works("f052") {
        return;
    }
    let env = TestEnv::new();
    script(&env, "busy", "#!/bin/sh\necho not busy\n");
    script(&env, "free", "#!/bin/sh\necho free\n");
    let busy = env.path().join("busy");
    let only = ["-P", busy.to_str().unwrap()];
    // Every process that is to become it is a new one, so that is its first call.
    let inject = "execve:error=ETXTBSY:when=1";
    let args = ["-j1", "-qk", "--format", "jsonl", "--", "./{}"];
    let done = env.run(traced(&env, Of::All, &only, inject, &args), "busy\nfree\n");
    assert_eq!(done.code(), 1, "{}", done.stderr);
    let jobs = objects(done.stdout());
    assert_eq!(jobs[0]["verdict"], json!("spawn_error"));
    let error = jobs[0]["error"].as_str().unwrap();
    assert!(error.contains("Text file busy"), "{error}");
    assert_eq!(jobs[1]["stdout"], json!("free\n"));
    // It was tried again before anybody was told.
    assert_eq!(jobs[0]["attempts"], json!(1));
    assert!(injected(&env) > 1);
}

/// Runs on this file as standard input.
fn from(input: &Path, mut command: Command) -> Done {
    command.stdin(File::open(input).unwrap());
    finish(command.spawn().unwrap(), vec![])
}

#[test]
fn f076_input_that_cannot_be_read_on_is_a_failure_of_the_run_and_no_end() {
    if !strace_works("f076") {
        return;
    }
    let env = TestEnv::new();
    let input = env.file("input", LINES);
    let only = ["-P", input.to_str().unwrap()];
    // The first read gives all there is; the second would find the end.
    let inject = "read:error=EIO:when=2";
    for args in [
        &["-qk", "--", "echo", "{}"][..],
        &["-qk", "--halt", "now,fail=9", "--", "echo", "{}"],
    ] {
        let done = from(&input, traced(&env, Of::All, &only, inject, args));
        assert_eq!(injected(&env), 1);
        assert_eq!(done.code(), 125);
        // What has come before is done.
        assert_eq!(done.stdout(), LINES);
        let said = "error: standard input could not be read: I/O error\n";
        assert_eq!(done.stderr, said);
    }
}

#[test]
fn f100_a_panic_in_the_orchestrator_is_one_line_and_a_failure_of_the_run() {
    if !strace_works("f100") {
        return;
    }
    // The runtime has no answer to that.
    let runs = each(Of::Orchestrator, "socketpair", "error=EMFILE");
    assert!(!runs.is_empty());
    for done in runs {
        assert_eq!(done.code(), 125);
        let said = "orchestrator: internal error: ";
        assert!(done.stderr.starts_with(said), "{}", done.stderr);
        assert_eq!(done.stderr.lines().count(), 1, "{}", done.stderr);
    }
}

#[test]
fn f097_whenever_the_orchestrator_is_killed_no_process_is_left() {
    if !strace_works("f097") {
        return;
    }
    // When it starts workers, when it talks to them, and when it waits for them.
    for calls in ["clone,clone3", "write,writev", "epoll_wait"] {
        for done in each(Of::Orchestrator, calls, "signal=SIGKILL") {
            assert_eq!(done.code(), 137, "{calls}: {}", done.stderr);
        }
    }
}
