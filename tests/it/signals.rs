//! What signals mean to `orchestrator run`, sent by name and typed at a terminal.

mod born_with;
mod halt;
mod stopped;

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use orchestrator_tests::env::finish;
use orchestrator_tests::{Done, Terminal, TestEnv, eventually};

use crate::worker_protocol::client::now;

const ORCHESTRATOR: &str = env!("CARGO_BIN_EXE_test-orchestrator");

/// A job that says when it runs, and that it was asked to end.
const POLITE: &str = "trap 'echo bye $1; exit 3' TERM; touch up.$1; while :; do sleep 0.01; done";
/// One that says when it runs, and does not listen.
const DEAF: &str = "trap '' TERM INT HUP; touch up.$1; while :; do sleep 0.01; done";
/// One that ends when a file is there.
const WAITING: &str = "touch up.$1; until test -e go; do sleep 0.01; done; echo done $1";

fn command(env: &TestEnv, args: &[&str]) -> Command {
    let mut command = env.command(ORCHESTRATOR);
    command.arg("run").args(args);
    command
}

/// Starts a shell script for each of these lines and leaves the input open.
fn start(env: &TestEnv, options: &[&str], script: &str, lines: &str) -> Child {
    let mut args = options.to_vec();
    args.extend(["--", "sh", "-c", script, "sh", "{}"]);
    let mut command = command(env, &args);
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
    let stdin = child.stdin.as_mut().unwrap();
    stdin.write_all(lines.as_bytes()).unwrap();
    child
}

/// Waits until so many jobs run.
fn up(env: &TestEnv, jobs: usize) {
    eventually("the jobs run", || {
        let entries = std::fs::read_dir(env.path()).unwrap().flatten();
        let up = entries.filter(|e| e.file_name().to_string_lossy().starts_with("up."));
        up.count() == jobs
    });
}

fn send(child: &Child, signal: Signal) {
    kill(Pid::from_raw(child.id() as i32), signal).unwrap();
}

/// Sends signals and waits for the end; the input stays open until then. Each
/// signal but the last is answered by a line before the next one is sent: signals
/// of a kind that come together count once.
fn ended_by(mut child: Child, signals: &[Signal]) -> Done {
    let stdin = child.stdin.take();
    for (n, signal) in (1..).zip(signals) {
        send(&child, *signal);
        if n < signals.len() {
            heard(&mut child, "\n");
        }
    }
    let done = finish(child, vec![]);
    drop(stdin);
    done
}

/// Reads stderr as far as this text.
fn heard(child: &mut Child, note: &str) {
    let stderr = child.stderr.as_mut().unwrap();
    let mut said = Vec::new();
    while !String::from_utf8_lossy(&said).contains(note) {
        let mut byte = [0];
        stderr.read_exact(&mut byte).unwrap();
        said.extend(byte);
    }
}

fn children(pid: u32) -> Vec<u32> {
    let mut found = Vec::new();
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter();
    for task in tasks.flatten().flatten() {
        let list = std::fs::read_to_string(task.path().join("children")).unwrap_or_default();
        found.extend(
            list.split_ascii_whitespace()
                .map(|n| n.parse::<u32>().unwrap()),
        );
    }
    found
}

#[test]
fn f086_an_interrupt_asks_jobs_to_end_and_keeps_what_they_say() {
    let env = TestEnv::new();
    let child = start(&env, &["-j2", "--grace", "60"], POLITE, "1\n2\n3\n4\n5\n");
    up(&env, 2);
    let done = ended_by(child, &[Signal::SIGINT]);
    assert_eq!(done.code(), 130);
    assert_eq!(done.stdout().matches("bye ").count(), 2);
    assert!(
        done.stderr
            .starts_with("stopping: running jobs get 60s to finish\n"),
        "{}",
        done.stderr
    );
    assert!(
        done.stderr
            .contains("0 jobs succeeded, 5 interrupted or not started\n"),
        "{}",
        done.stderr
    );
    assert_eq!(
        done.stderr.matches("was interrupted").count(),
        2,
        "{}",
        done.stderr
    );
}

#[test]
fn f086_the_grace_ends_a_job_that_does_not_listen() {
    let env = TestEnv::new();
    let child = start(&env, &["-j2", "--grace", "0.1"], DEAF, "1\n2\n");
    up(&env, 2);
    assert_eq!(ended_by(child, &[Signal::SIGINT]).code(), 130);
}

#[test]
fn f086_every_job_of_an_interrupted_run_has_an_entry() {
    let env = TestEnv::new();
    let options = ["-j2", "-k", "--format", "jsonl"];
    let child = start(&env, &options, POLITE, "1\n2\n3\n4\n5\n");
    up(&env, 2);
    let done = ended_by(child, &[Signal::SIGTERM]);
    let mut tried = 0;
    for (n, line) in (1..).zip(done.stdout().lines()) {
        let entry: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_eq!(
            (&entry["seq"], &entry["verdict"]),
            (&n.into(), &"interrupted".into())
        );
        tried += entry["attempts"].as_u64().unwrap();
    }
    assert_eq!(done.stdout().lines().count(), 5);
    assert_eq!(tried, 2, "only those that ran were tried");
}

#[test]
fn f086_at_a_terminal_only_the_orchestrator_hears_the_key() {
    let env = TestEnv::new();
    let script = "trap 'touch heard' INT; trap 'exit 3' TERM; touch up.$1; \
                  while :; do sleep 0.01; done";
    env.file("in", "1\n2\n");
    let line = format!("exec {ORCHESTRATOR} run -j2 -- sh -c \"$0\" sh {{}} < in");
    let mut terminal = Terminal::start(&env, "sh", &["-c", &line, script]);
    up(&env, 2);
    terminal.press("\x03");
    terminal.shows("(Ctrl-C again to kill them now)");
    terminal.shows("2 interrupted or not started");
    terminal.ended();
    assert!(!env.path().join("heard").exists());
}

#[test]
fn f087_a_second_interrupt_kills_at_once() {
    let env = TestEnv::new();
    let child = start(&env, &["-j2", "--grace", "1000"], DEAF, "1\n2\n");
    up(&env, 2);
    let done = ended_by(child, &[Signal::SIGINT, Signal::SIGINT]);
    assert_eq!(done.code(), 130);
    assert!(done.stderr.contains("running jobs are killed\n"));
    assert!(done.stderr.contains("2 interrupted or not started\n"));
    env.no_process_left();
}

/// Fills the pipe of a run that nobody reads.
fn stuck(env: &TestEnv, options: &[&str]) -> (Child, impl Read) {
    let script = "head -c 1000000 /dev/zero; touch up.$1; exec sleep 1000";
    let mut child = start(env, options, script, "1\n2\n");
    let stdout = child.stdout.take().unwrap();
    up(env, 2);
    (child, stdout)
}

/// Climbs the whole ladder.
fn insist(child: &mut Child, pid: Pid, signal: Signal) {
    for note in ["get 100ms to finish", "are killed"] {
        kill(pid, signal).unwrap();
        heard(child, note);
    }
    kill(pid, signal).unwrap();
}

#[test]
fn f088_a_third_interrupt_leaves_whatever_is_stuck() {
    let env = TestEnv::new();
    let (mut child, unread) = stuck(&env, &["-j2", "--grace", "0.1", "--format", "jsonl"]);
    let pid = Pid::from_raw(child.id() as i32);
    let begun = now();
    insist(&mut child, pid, Signal::SIGINT);
    let done = ended_by(child, &[]);
    drop(unread);
    assert_eq!(done.code(), 130);
    // It did not have to wait for the last resort, which comes after five seconds: these can
    // be over on a machine with much to do.
    let last_resort = done.stderr.contains("nobody reads them");
    assert!(
        !last_resort || begun.elapsed() > Duration::from_secs(5),
        "{}",
        done.stderr
    );
    env.no_process_left();
}

#[test]
fn f088_a_stop_that_gets_stuck_ends_after_its_time() {
    let env = TestEnv::new();
    let (child, unread) = stuck(&env, &["-j2", "--grace", "0.1", "--format", "jsonl"]);
    let done = ended_by(child, &[Signal::SIGTERM, Signal::SIGTERM]);
    drop(unread);
    assert_eq!(done.code(), 143);
    assert!(
        done.stderr.contains("nobody reads them\n"),
        "{}",
        done.stderr
    );
}

#[test]
fn f088_a_terminal_that_nobody_reads_keeps_no_run_from_ending() {
    for options in [&["--progress", "bar"][..], &["-q"]] {
        let env = TestEnv::new();
        let (ours, slave, _) = orchestrator_tests::pty::pair();
        let mut command = command(&env, &["-j2", "--grace", "0.1"]);
        // More than a terminal keeps for somebody who does not look.
        let script =
            "head -c 1000000 /dev/zero | tr '\\0' x; touch ran.$1; test $1 != 3 || exec sleep 1000";
        command.args(options).args(["--", "sh", "-c", script, "sh"]);
        let input = File::open(env.file("in", "1\n2\n3\n")).unwrap();
        command.env("TERM", "xterm").stdin(input);
        command.stdout(slave.try_clone().unwrap()).stderr(slave);
        let mut child = command.spawn().unwrap();
        drop(command);
        eventually("the last job is there", || {
            env.path().join("ran.3").exists()
        });
        let pid = Pid::from_raw(child.id() as i32);
        eventually("it leaves when it is told so again and again", || {
            kill(pid, Signal::SIGINT).ok();
            child.try_wait().unwrap().is_some()
        });
        drop(ours);
        let ended = child.wait().unwrap().signal();
        assert_eq!(ended, Some(Signal::SIGINT as i32), "{options:?}");
    }
}

#[test]
fn f089_terminate_is_like_an_interrupt() {
    let env = TestEnv::new();
    let child = start(&env, &["-j2"], POLITE, "1\n2\n");
    up(&env, 2);
    let done = ended_by(child, &[Signal::SIGTERM]);
    assert_eq!(done.code(), 143);
    assert!(done.stdout().contains("bye 1") && done.stdout().contains("bye 2"));
}

#[test]
fn f090_a_hangup_lets_running_jobs_finish_and_starts_no_other() {
    let env = TestEnv::new();
    let mut child = start(&env, &["-j2"], WAITING, "1\n2\n3\n4\n");
    up(&env, 2);
    send(&child, Signal::SIGHUP);
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let mut told = String::new();
    // Until the workers have given back what they had not started.
    while !told.contains(" 2 running, 0 waiting, ") {
        send(&child, Signal::SIGUSR1);
        stderr.read_line(&mut told).unwrap();
    }
    assert!(told.contains("stopping: no further job"), "{told}");
    env.file("go", "");
    let done = ended_by(child, &[]);
    // The input had not ended: it must not look as if all was done.
    assert_eq!(done.code(), 129);
    assert_eq!(done.stdout().matches("done ").count(), 2);
    let mut rest = String::new();
    stderr.read_to_string(&mut rest).unwrap();
    assert!(
        rest.contains("2 jobs succeeded, 2 interrupted or not started"),
        "{rest}"
    );
}

#[test]
fn f090_a_second_hangup_stops() {
    let env = TestEnv::new();
    let child = start(&env, &["-j2"], POLITE, "1\n2\n");
    up(&env, 2);
    let done = ended_by(child, &[Signal::SIGHUP, Signal::SIGHUP]);
    assert_eq!(done.code(), 129);
    assert!(done.stdout().contains("bye 1"));
}

#[test]
fn f105_the_end_of_the_parent_shell_changes_nothing() {
    let env = TestEnv::new();
    env.file("in", "1\n");
    let mut shell = env.command("sh");
    let script =
        format!("{ORCHESTRATOR} run -j1 -- sh -c \"$0\" sh {{}} < in > out 2> err & exit 0");
    shell.args(["-c", &script, WAITING]);
    assert!(shell.status().unwrap().success());
    up(&env, 1);
    env.file("go", "");
    env.no_process_left();
    let out = std::fs::read_to_string(env.path().join("out")).unwrap();
    assert_eq!(out, "done 1\n");
}

#[test]
fn f091_quit_says_what_ran_and_kills() {
    let env = TestEnv::new();
    let child = start(&env, &["-j2", "--grace", "1000"], DEAF, "1\n2\n");
    up(&env, 2);
    let done = ended_by(child, &[Signal::SIGQUIT]);
    assert_eq!(done.code(), 131);
    assert!(done.stderr.contains(" 2 running, "), "{}", done.stderr);
    assert_eq!(
        done.stderr.matches("at worker").count(),
        2,
        "{}",
        done.stderr
    );
    assert!(!done.stderr.contains("lost"), "{}", done.stderr);
    env.no_process_left();
}

#[test]
fn f094_usr1_shows_what_runs() {
    let env = TestEnv::new();
    let mut child = start(&env, &["-j1"], WAITING, "1\n2\n3\n");
    up(&env, 1);
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let mut lines = || {
        send(&child, Signal::SIGUSR1);
        let mut lines = String::new();
        stderr.read_line(&mut lines).unwrap();
        stderr.read_line(&mut lines).unwrap();
        lines
    };
    let said = lines();
    assert!(
        said.starts_with("orchestrator: 0 succeeded, 0 failed, 1 running, 2 waiting, 1 worker, "),
        "{said}"
    );
    let second = said.lines().nth(1).unwrap();
    assert!(second.starts_with("  line 1: `"), "{second}");
    let pid = second.rsplit_once("(pid ").unwrap().1;
    let pid: u32 = pid.strip_suffix(')').unwrap().parse().unwrap();
    assert_eq!(children(child.id()), [pid]);
    env.file("go", "");
    drop(child.stdin.take());
    assert_eq!(finish(child, vec![]).code(), 0);
}

#[test]
fn an_infinite_input_can_be_stopped() {
    let env = TestEnv::new();
    let mut yes = env.command("yes").spawn().unwrap();
    let mut command = command(&env, &["-j2", "-q", "--", "echo"]);
    command
        .stdin(yes.stdout.take().unwrap())
        .stdout(File::create(env.path().join("out")).unwrap());
    let child = command.spawn().unwrap();
    // It holds the end of the pipe that `yes` writes to.
    drop(command);
    eventually("something is done", || {
        std::fs::metadata(env.path().join("out")).is_ok_and(|meta| meta.len() > 1000)
    });
    assert_eq!(ended_by(child, &[Signal::SIGINT]).code(), 130);
    yes.wait().unwrap();
}

#[test]
fn an_interrupt_stops_also_what_a_script_has_started_in_the_background() {
    let env = TestEnv::new();
    env.file("in", "1\n");
    let mut shell = env.command("sh");
    let script = format!(
        "{ORCHESTRATOR} run -q -j1 -- sh -c \"$0\" sh {{}} < in & \
         until test -e up.1; do sleep 0.01; done; kill -INT $!; wait $!; echo \"status $?\""
    );
    shell.args(["-c", &script, POLITE]);
    let done = env.run(shell, "");
    assert_eq!(done.stdout(), "bye 1\nstatus 130\n", "{}", done.stderr);
}

#[test]
fn a_grace_without_end_is_allowed() {
    let env = TestEnv::new();
    let child = start(&env, &["-j1", "--grace", "1e19"], POLITE, "1\n");
    up(&env, 1);
    assert_eq!(ended_by(child, &[Signal::SIGINT]).code(), 130);
}
