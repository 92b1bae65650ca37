//! What a program may be born with: signals that are ignored or blocked, no input, children of
//! others, and the place of a container's first process.

use std::io::Write;
use std::process::Stdio;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use orchestrator_tests::env::finish;
use orchestrator_tests::{TestEnv, eventually};

use super::{ORCHESTRATOR, WAITING, children, ended_by, insist, send, up};
use crate::faults::syscalls::strace_works;

#[test]
fn f105_a_hangup_that_is_ignored_stays_ignored() {
    let env = TestEnv::new();
    let mut shell = env.command("sh");
    let script = format!("trap '' HUP; exec {ORCHESTRATOR} run -j1 -- sh -c \"$0\" sh {{}}");
    shell.args(["-c", &script, WAITING]).stdin(Stdio::piped());
    let mut child = shell.spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"1\n").unwrap();
    up(&env, 1);
    send(&child, Signal::SIGHUP);
    env.file("go", "");
    let done = finish(child, vec![]);
    assert_eq!((done.code(), done.stdout()), (0, "done 1\n"));
    assert!(!done.stderr.contains("stopping"), "{}", done.stderr);
}

#[test]
fn f095_ignored_deaths_of_children_are_noticed_all_the_same() {
    let env = TestEnv::new();
    let mut shell = env.command("bash");
    let script = format!("trap '' CHLD; exec {ORCHESTRATOR} run -q -j1 -- sh -c 'exit $1' sh {{}}");
    shell.args(["-c", &script]);
    let done = env.run(shell, "0\n7\n0\n");
    assert_eq!((done.code(), done.stderr.as_str()), (1, ""));
    let mut shell = env.command("bash");
    let script = format!("trap '' CHLD; exec {ORCHESTRATOR} run -- sh -c 'kill -9 $PPID'");
    shell.args(["-c", &script]);
    let done = env.run(shell, "x\n");
    assert!(
        done.stderr.contains("was killed by SIGKILL"),
        "{}",
        done.stderr
    );
}

#[test]
fn f096_signals_that_were_blocked_arrive_and_jobs_do_not_inherit_that() {
    let env = TestEnv::new();
    let python = "import os, signal, sys\n\
                  signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))\n\
                  os.execv(sys.argv[1], sys.argv[1:])";
    let script = "grep SigBlk /proc/self/status; touch up.$1; exec sleep 1000";
    let mut command = env.command("python3");
    command.args(["-c", python, ORCHESTRATOR, "run", "-j1", "--"]);
    command.args(["sh", "-c", script, "sh", "{}"]);
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.as_mut().unwrap().write_all(b"1\n").unwrap();
    up(&env, 1);
    let done = ended_by(child, &[Signal::SIGTERM]);
    assert_eq!(done.code(), 143);
    assert_eq!(done.stdout(), "SigBlk:\t0000000000000000\n");
}

#[test]
fn f102_the_first_process_of_a_container_takes_orphans_away() {
    let env = TestEnv::new();
    // The shell is the first process, and what it starts is none of the
    // orchestrator's: one has ended already when that begins, one ends later.
    let orphan = "until test -e ended; do sleep 0.01; done";
    let script = format!(
        "sh -c 'true & exec true'; sh -c '({orphan}) & exec true'; \
         exec {ORCHESTRATOR} run -q -j1 -- sh -c \"$0\" sh {{}}"
    );
    let mut command = env.command("unshare");
    command.args([
        "-rpf",
        "--mount-proc",
        "--kill-child",
        "sh",
        "-c",
        &script,
        WAITING,
    ]);
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.as_mut().unwrap().write_all(b"1\n").unwrap();
    up(&env, 1);
    let first = children(child.id())[0];
    // Those on the process table, dead ones included: the orphan and the worker.
    eventually("only they are left", || children(first).len() == 2);
    env.file("ended", "");
    eventually("the orphan is taken away", || children(first).len() == 1);
    kill(Pid::from_raw(first as i32), Signal::SIGTERM).unwrap();
    let done = ended_by(child, &[]);
    // It cannot die of a signal, but it can say so.
    assert_eq!(done.code(), 143, "{}", done.stderr);
}

#[test]
fn a_closed_input_is_an_empty_one() {
    let env = TestEnv::new();
    let mut shell = env.command("sh");
    let script = format!("exec {ORCHESTRATOR} run -- echo {{}} <&-");
    shell.args(["-c", &script]);
    let done = env.run(shell, "");
    assert_eq!((done.code(), done.stdout()), (0, ""));
    assert!(done.stderr.contains("no jobs"), "{}", done.stderr);
}

#[test]
fn children_that_the_program_was_born_with_are_left_alone() {
    let env = TestEnv::new();
    // The shell's own child becomes the orchestrator's by `exec`.
    let script = format!(
        "sh -c 'until test -e go; do sleep 0.01; done; touch lived' >/dev/null 2>&1 & \
         exec {ORCHESTRATOR} run -q -j1 -- sh -c 'kill -9 $PPID'"
    );
    let mut shell = env.command("sh");
    shell.args(["-c", &script]);
    let done = env.run(shell, "1\n2\n3\n");
    assert_eq!(done.code(), 1);
    env.file("go", "");
    eventually("the stranger lives", || env.path().join("lived").exists());
}

#[test]
fn f088_f102_the_first_process_of_a_container_leaves_as_well() {
    let env = TestEnv::new();
    let job = "touch up.$1; head -c 1000000 /dev/zero; exec sleep 1000";
    let mut command = env.command("unshare");
    command.args([
        "-rpf",
        "--mount-proc",
        "--kill-child",
        ORCHESTRATOR,
        "run",
        "-j2",
    ]);
    command.args([
        "--grace", "0.1", "--format", "jsonl", "--", "sh", "-c", job, "sh",
    ]);
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.as_mut().unwrap().write_all(b"1\n2\n").unwrap();
    let unread = child.stdout.take();
    up(&env, 2);
    let inner = Pid::from_raw(children(child.id())[0] as i32);
    insist(&mut child, inner, Signal::SIGTERM);
    let done = ended_by(child, &[]);
    drop(unread);
    assert_eq!(done.code(), 143);
}

#[test]
fn what_strangers_leave_to_this_program_is_left_alone() {
    let env = TestEnv::new();
    // The child that it is born with ends, and leaves one of its own. That has been noticed, or
    // is just being, when the child is off the process table.
    let child = "echo $$ > child; (until test -e go; do sleep 0.01; done; touch lived) & \
                 until test -e up; do sleep 0.01; done";
    let job = "touch up; while kill -0 $(cat child) 2>/dev/null; do sleep 0.01; done; \
               sleep 0.1; kill -9 $PPID";
    let script = format!(
        "sh -c '{child}' >/dev/null 2>&1 & until test -s child; do sleep 0.01; done; \
         exec {ORCHESTRATOR} run -q -j1 -- sh -c '{job}'"
    );
    let mut shell = env.command("sh");
    shell.args(["-c", &script]);
    let done = env.run(shell, "1\n2\n3\n");
    assert_eq!(done.code(), 1);
    env.file("go", "");
    eventually("the stranger lives", || env.path().join("lived").exists());
}

/// A story: between a look at whether all workers live and one at who this program's children are,
/// a worker was killed, and what it left was taken for a stranger's and spared for ever.
#[test]
fn what_a_worker_leaves_that_is_killed_while_strangers_are_met_is_none_of_theirs() {
    if !strace_works("what_a_worker_leaves") {
        return;
    }
    let env = TestEnv::new();
    // A stranger's end has this program look at its children, who are listed after a while: once
    // for those that have ended, and once more. The worker dies before the second time.
    let job = "setsid sh -c \"touch up; sleep 20; touch lived\" >/dev/null 2>&1 & \
               until test -e ended; do sleep 0.01; done; sleep 0.45; kill -9 $PPID";
    let script = format!(
        "sh -c 'until test -e up; do sleep 0.01; done; touch ended' >/dev/null 2>&1 & \
         exec {ORCHESTRATOR} run -q -j1 -- sh -c '{job}'"
    );
    let mut strace = env.command("strace");
    let delay = "inject=openat:delay_enter=300000";
    strace.args(["-f", "-qq", "-o", "/dev/null", "-P", "/proc/self/task"]);
    strace.args(["-e", delay, "-e", "signal=none", "sh", "-c", &script]);
    let done = env.run(strace, "1\n");
    assert_eq!(done.code(), 1, "{}", done.stderr);
    assert!(!env.path().join("lived").exists());
}
