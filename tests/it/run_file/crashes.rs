//! Runs that end in the middle, and what is left of them.

use std::process::{Child, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use orchestrator_tests::env::finish;

use super::super::faults::syscalls::strace_works;
use super::*;
use crate::worker_protocol::client::now;

fn lines(range: std::ops::Range<u32>) -> String {
    range.map(|n| format!("{n}\n")).collect()
}

/// Starts [`JOB`] for these lines.
fn start(env: &TestEnv, options: &[&str], input: &str) -> Child {
    let input = env.file("input", input);
    let all = [&["--run-file", "r"], options, &["--"], &JOB].concat();
    let mut command = command(env, &all);
    command.stdin(std::fs::File::open(input).unwrap());
    command.spawn().unwrap()
}

/// What has an outcome.
fn done(env: &TestEnv) -> Vec<String> {
    let tables = "select name from sqlite_schema where name = 'verdict'";
    if !exists(env, "r") || query(env, tables).is_empty() {
        return Vec::new();
    }
    query(env, "select label from verdict")
}

/// Runs [`JOB`] for these lines under strace, which injects this. The counts are of
/// the threads of this one process.
fn injected(env: &TestEnv, inject: &str, options: &[&str], input: &str) -> Done {
    let mut command = env.command("strace");
    let inject = format!("inject={inject}");
    command.args([
        "-qq",
        "-f",
        "-o",
        "/dev/null",
        "-e",
        &inject,
        "-e",
        "signal=none",
    ]);
    command.args([ORCHESTRATOR, "run", "--run-file", "r"]);
    command.args(options).arg("--").args(JOB);
    env.run(command, input)
}

#[test]
fn f064_f097_after_kill_9_the_rest_is_run_and_nothing_that_was_recorded() {
    let env = TestEnv::new();
    let mut options: &[&str] = &["-j4"];
    for round in 1..=5 {
        let child = start(&env, options, &lines(0..400));
        eventually("some are recorded", || {
            ran(&env).len() >= 60 * round && !done(&env).is_empty()
        });
        signal(&child, Signal::SIGKILL);
        finish(child, Vec::new());
        env.no_process_left();
        let (recorded, before) = (done(&env), ran(&env));
        assert!(!recorded.is_empty());
        let next = start(&env, &["-j4", "--resume"], &lines(0..400));
        signal(&next, Signal::SIGKILL);
        finish(next, Vec::new());
        env.no_process_left();
        let after = ran(&env);
        for label in recorded {
            assert_eq!(before[&label], after[&label], "{label} was run again");
        }
        options = &["-j4", "--resume"];
    }
    let (recorded, before) = (done(&env), ran(&env));
    let last = finish(start(&env, options, &lines(0..400)), Vec::new());
    assert_eq!(last.code(), 0, "{}", last.stderr);
    complete(&env, 400);
    let after = ran(&env);
    assert_eq!(after.len(), 400);
    for label in recorded {
        assert_eq!(before[&label], after[&label], "{label} was run again");
    }
}

#[test]
fn f108_a_kill_before_any_write_of_the_run_file_loses_nothing() {
    if !strace_works("f108") {
        return;
    }
    let env = TestEnv::new();
    let mut at = 1;
    loop {
        let inject = format!("pwrite64:signal=KILL:when={at}");
        let before = if exists(&env, "r") {
            done(&env)
        } else {
            Vec::new()
        };
        let counts = ran(&env);
        let ended = injected(&env, &inject, &["-j2", "--resume"], &lines(0..6));
        for label in before {
            assert_eq!(counts[&label], ran(&env)[&label], "{label}, write {at}");
        }
        if ended.code() == 0 {
            break;
        }
        assert_eq!(ended.code(), 137, "{}", ended.stderr);
        at += 1;
        assert!(at < 200, "it makes no progress");
    }
    assert!(at > 5, "{at}");
    complete(&env, 6);
}

#[test]
fn f107_a_disk_that_does_not_sync_ends_the_run_and_the_rest_is_run_later() {
    if !strace_works("f107") {
        return;
    }
    let env = TestEnv::new();
    let inject = "fsync,fdatasync:error=EIO:when=6+";
    let broken = injected(&env, inject, &["-j1"], &lines(0..30));
    assert_eq!(broken.code(), 125, "{}", broken.stderr);
    assert!(
        broken.stderr.contains("error: run file r: "),
        "{}",
        broken.stderr
    );
    assert!(
        broken.stderr.contains("disk I/O error"),
        "{}",
        broken.stderr
    );
    let recorded = done(&env);
    // What was shown is recorded.
    for line in broken.stdout().lines() {
        let label = line.strip_prefix("out ").unwrap();
        assert!(
            recorded.iter().any(|l| l == label),
            "{label} is not recorded"
        );
    }
    let before = ran(&env);
    let last = recorded_again(&env, &lines(0..30));
    assert_eq!(last.code(), 0, "{}", last.stderr);
    complete(&env, 30);
    for label in recorded {
        assert_eq!(before[&label], ran(&env)[&label]);
    }
}

fn recorded_again(env: &TestEnv, input: &str) -> Done {
    recorded(env, &["--resume"], input)
}

#[test]
fn f106_a_full_disk_ends_the_run_and_the_rest_is_run_when_there_is_room() {
    let env = TestEnv::new();
    // Seen by this process only; ends with it.
    let script = "mkdir small && mount -t tmpfs -o size=1m none small && \
        seq 2000 | \"$0\" run --run-file small/r -- sh -c 'echo $1 >> ran; seq 200' sh {} > out; \
        echo $? > code; cp ran before; cp small/r first; cp small/r-wal first-wal; \
        mount -o remount,size=64m small; \
        seq 2000 | \"$0\" run --run-file small/r --resume -- \
            sh -c 'echo $1 >> ran; seq 200' sh {} >> out; \
        echo $? >> code; cp small/r r";
    let mut command = env.command("unshare");
    if !nix::unistd::geteuid().is_root() {
        command.arg("-r");
    }
    command.args(["-m", "sh", "-c", script, ORCHESTRATOR]);
    let ended = env.run(command, "");
    let codes = std::fs::read_to_string(env.path().join("code")).unwrap();
    assert_eq!(codes, "125\n0\n", "{}", ended.stderr);
    let said = "error: run file small/r: no space left on device
  what is recorded is safe; jobs that were running were ended
  tip: make room, then go on: the same command and input, with --resume
  tip: if all of the input was read, also: orchestrator resume small/r\n";
    assert!(ended.stderr.starts_with(said), "{}", ended.stderr);
    complete(&env, 2000);
    // What was recorded when the disk was full was not run again.
    let recorded = query_in(&env, "first", "select label from verdict");
    assert!(!recorded.is_empty());
    let (before, after) = (counts(&env, "before"), ran(&env));
    for label in recorded {
        assert_eq!(before[&label], after[&label], "{label} was run again");
    }
    // All results came out, those of the first run that had been recorded too.
    let out = std::fs::read_to_string(env.path().join("out")).unwrap();
    assert!(out.lines().count() >= 2000 * 200);
}

#[test]
fn where_there_is_no_room_for_a_run_file_the_same_command_makes_it_when_there_is() {
    let env = TestEnv::new();
    // For its first page alone, for what is shared as well, and for a part of its tables.
    let script = "mkdir small; for size in 16k 32k 64k; do \
            mount -t tmpfs -o size=$size none small; \
            seq 3 | \"$0\" run --summary none --run-file small/r -- echo; echo $?; \
            mount -o remount,size=64m small; \
            seq 3 | \"$0\" run -k --summary none --run-file small/r -- echo; echo $?; \
            umount small; done";
    let mut command = env.command("unshare");
    if !nix::unistd::geteuid().is_root() {
        command.arg("-r");
    }
    command.args(["-m", "sh", "-c", script, ORCHESTRATOR]);
    let ended = env.run(command, "");
    assert_eq!(
        ended.stdout(),
        "125\n1\n2\n3\n0\n".repeat(3),
        "{}",
        ended.stderr
    );
    let said = "error: run file small/r: no space left on device
  tip: make room, then give the same command again\n";
    assert_eq!(ended.stderr, said.repeat(3));
}

#[test]
fn f119_what_was_recorded_and_not_shown_is_shown_by_the_next_run() {
    let env = TestEnv::new();
    let script = "echo >> ran; echo $1; head -c 30000 /dev/zero | tr '\\0' x; echo";
    let words = ["--run-file", "r", "--", "sh", "-c", script, "sh", "{}"];
    let mut child = command(&env, &words);
    let mut child = child.stdin(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    std::io::Write::write_all(&mut stdin, lines(0..20).as_bytes()).unwrap();
    // Nobody reads what it prints, more than a pipe holds.
    eventually("all are recorded", || done(&env).len() == 20);
    signal(&child, Signal::SIGKILL);
    drop(stdin);
    let first = finish(child, Vec::new());
    let words = [&["--resume"], &words[..]].concat();
    let second = run(&env, &words, lines(0..20));
    assert_eq!(second.code(), 0, "{}", second.stderr);
    assert!(
        second.stderr.contains("0 new, 0 gone, 20 done"),
        "{}",
        second.stderr
    );
    let numbers =
        |text: &str| -> Vec<u32> { text.lines().filter_map(|line| line.parse().ok()).collect() };
    let (first, second) = (numbers(first.stdout()), numbers(second.stdout()));
    assert!(!second.is_empty());
    let mut all = [first, second].concat();
    all.sort_unstable();
    all.dedup();
    assert_eq!(all, (0..20).collect::<Vec<_>>());
    assert_eq!(ran(&env)[""], 20);
}

#[test]
fn a_job_that_may_have_been_started_is_not_started_again_if_that_is_wished() {
    let env = TestEnv::new();
    let options = ["-j3", "--on-interrupted", "fail"];
    let resume = [&options[..], &["--resume"]].concat();
    let mut words: &[&str] = &options;
    for round in 1..=4 {
        let child = start(&env, words, &lines(0..100));
        eventually("some have run", || ran(&env).len() >= 15 * round);
        signal(&child, Signal::SIGKILL);
        finish(child, Vec::new());
        env.no_process_left();
        words = &resume;
    }
    let last = finish(start(&env, words, &lines(0..100)), Vec::new());
    complete(&env, 100);
    assert!(
        ran(&env).values().all(|&times| times == 1),
        "{:?}",
        ran(&env)
    );
    let interrupted = query(
        &env,
        "select count(*) from verdict where verdict = 'interrupted'",
    );
    let interrupted: usize = interrupted[0].parse().unwrap();
    assert!(interrupted <= 4 * 3, "{interrupted}");
    assert_eq!(last.code(), i32::from(interrupted > 0));
    // All others were run.
    assert!(ran(&env).len() >= 100 - interrupted);
}

#[test]
fn f065_a_run_file_that_is_deleted_ends_the_run() {
    let env = TestEnv::new();
    let script = "rm -f r; echo $1";
    let words = ["--run-file", "r", "--", "sh", "-c", script, "sh", "{}"];
    let done = run(&env, &words, "a\n");
    assert_eq!(done.code(), 125);
    assert_eq!(done.stdout(), "");
    let said = "it was deleted or replaced while it was in use\n";
    assert!(done.stderr.contains(said), "{}", done.stderr);
}

#[test]
fn f078_what_nobody_has_read_is_recorded_all_the_same() {
    let env = TestEnv::new();
    let mut command = env.command("sh");
    let script = "seq 2000 | \"$0\" run --run-file r -- echo {} | head -1";
    command.args(["-c", script, ORCHESTRATOR]);
    let done = env.run(command, "");
    assert_eq!(done.code(), 0, "{}", done.stderr);
    eventually("it ends", || env.processes().is_empty());
    let again = run(
        &env,
        &["--run-file", "r", "--resume", "--", "echo", "{}"],
        lines(1..2001),
    );
    assert_eq!(again.code(), 0, "{}", again.stderr);
    complete(&env, 2000);
}

#[test]
fn f079_what_could_not_be_written_is_shown_by_the_next_run() {
    let env = TestEnv::new();
    let words = ["--run-file", "r", "--", "echo", "{}"];
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full");
    let mut full_disk = command(&env, &words);
    full_disk.stdout(full.unwrap());
    let full_disk = env.run(full_disk, lines(0..3000));
    assert_eq!(full_disk.code(), 125);
    assert_eq!(
        full_disk.stderr,
        "error: results could not be written: no space left on device\n  \
         next      the same command and input, with --resume, goes on\n"
    );
    assert!(!done(&env).is_empty());
    assert_eq!(query(&env, "select shown from state"), ["0"]);
    let again = run(&env, &[&["--resume"], &words[..]].concat(), lines(0..3000));
    assert_eq!(again.code(), 0, "{}", again.stderr);
    assert_eq!(again.stdout().lines().count(), 3000);
    assert_eq!(sorted(again.stdout()).len(), 3000);
    complete(&env, 3000);
}

#[test]
fn a_line_that_is_gone_is_forgotten_with_the_attempts_at_it() {
    let env = TestEnv::new();
    let words = [
        "--run-file",
        "r",
        "--retries",
        "50",
        "--",
        "sh",
        "-c",
        // The second try comes to no end, and so there is none of the job.
        "[ -e ran ] || { echo >> ran; exit 1; }; echo >> ran; exec sleep 1000",
    ];
    let mut child = command(&env, &words);
    let mut child = child.stdin(Stdio::piped()).spawn().unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), b"bad\n").unwrap();
    eventually("two tries", || {
        exists(&env, "r") && ran(&env).get("").is_some_and(|&n| n >= 2)
    });
    eventually("one is recorded", || {
        !query(&env, "select 1 from attempt").is_empty()
    });
    signal(&child, Signal::SIGKILL);
    finish(child, Vec::new());
    let resume = [&["--resume"], &words[..]].concat();
    let done = run(&env, &resume, "");
    assert_eq!(done.code(), 0, "{}", done.stderr);
    assert!(
        done.stderr.contains("0 new, 1 gone, 0 done"),
        "{}",
        done.stderr
    );
    assert_eq!(query(&env, "select count(*) from job"), ["0"]);
    // Its number is not given to another.
    std::fs::remove_file(env.path().join("ran")).unwrap();
    let words = ["--run-file", "r", "--resume", "--force", "--", "echo"];
    assert_eq!(run(&env, &words, "good\n").code(), 0);
    assert_eq!(query(&env, "select job from job"), ["2"]);
}

#[test]
fn at_most_once_ends_early_as_it_should() {
    let env = TestEnv::new();
    let words = ["--run-file", "r", "-j2", "--on-interrupted", "fail"];
    let halted = [
        &words[..],
        &[
            "--halt",
            "now,fail=1",
            "--",
            "sh",
            "-c",
            "[ $1 != 20 ]",
            "sh",
            "{}",
        ],
    ]
    .concat();
    let done = run(&env, &halted, lines(1..101));
    assert_eq!(done.code(), 1, "{}", done.stderr);
    assert!(
        done.stderr.contains("orchestrator: stopped after "),
        "{}",
        done.stderr
    );
    // What had not started is run, what may have is not.
    let resume = [
        "--run-file",
        "r",
        "--resume",
        "--",
        "sh",
        "-c",
        "[ $1 != 20 ]",
        "sh",
        "{}",
    ];
    let done = run(&env, &resume, lines(1..101));
    assert_eq!(done.code(), 1, "{}", done.stderr);
    complete(&env, 100);
    let interrupted = query(
        &env,
        "select count(*) from verdict where verdict = 'interrupted'",
    );
    assert!(
        interrupted[0].parse::<usize>().unwrap() <= 2,
        "{interrupted:?}"
    );
}

#[test]
fn an_input_that_was_not_read_again_to_its_end_is_not_whole() {
    let env = TestEnv::new();
    recorded(&env, &[], "a\n");
    let all = [&["--run-file", "r", "--resume", "--"], &JOB[..]].concat();
    let mut child = command(&env, &all);
    let mut child = child.stdin(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    std::io::Write::write_all(&mut stdin, b"a\nb\n").unwrap();
    eventually("b has run", || ran(&env).contains_key("b"));
    signal(&child, Signal::SIGKILL);
    drop(stdin);
    finish(child, Vec::new());
    let resumed = orchestrator(&env, &["resume", "r"]);
    assert_eq!(resumed.code(), 125, "{}", resumed.stderr);
}

/// Batch systems and service managers send a signal to everything of theirs, one process after
/// the other.
#[test]
fn what_a_signal_ends_has_failed_unless_it_ends_the_run_too() {
    for (signals, verdict) in [
        ([Signal::SIGKILL, Signal::SIGCONT], Some("signaled")),
        ([Signal::SIGKILL, Signal::SIGTERM], None),
        ([Signal::SIGTERM, Signal::SIGTERM], None),
        ([Signal::SIGTERM, Signal::SIGKILL], None),
    ] {
        let env = TestEnv::new();
        let job = "echo $$ > pid.{}; [ -e free ] || exec sleep 1000";
        let run = |more: &[&str]| {
            let all = [
                &["--run-file", "r", "-j2", "-a", "input"],
                more,
                &["-c", job],
            ]
            .concat();
            command(&env, &all).spawn().unwrap()
        };
        env.file("input", lines(0..2));
        let child = run(&[]);
        let pids = || [0, 1].map(|n| std::fs::read_to_string(env.path().join(format!("pid.{n}"))));
        eventually("both run", || {
            pids()
                .iter()
                .flatten()
                .filter(|pid| pid.ends_with('\n'))
                .count()
                == 2
        });
        signal(&child, Signal::SIGSTOP);
        for pid in pids() {
            let pid = Pid::from_raw(pid.unwrap().trim().parse().unwrap());
            kill(pid, signals[0]).unwrap();
        }
        signal(&child, signals[1]);
        signal(&child, Signal::SIGCONT);
        let ended = finish(child, Vec::new());
        let recorded = query(&env, "select distinct verdict from verdict");
        let expected: Vec<_> = verdict.into_iter().collect();
        assert_eq!(recorded, expected, "{signals:?}: {}", ended.stderr);
        env.file("free", "");
        let next = finish(run(&["--resume"]), Vec::new());
        match verdict {
            Some(_) => assert_eq!(next.code(), 1, "they are not tried again"),
            None => {
                assert_eq!(next.code(), 0, "{}", next.stderr);
                complete(&env, 2);
            }
        }
    }
}

/// Whoever ends a job may have ended who reads the run's output, too, and the run hears of that
/// first.
#[test]
fn what_a_signal_has_ended_just_before_the_run_fails_has_not_failed() {
    for _ in 0..10 {
        let env = TestEnv::new();
        let job = "[ {} = 2 ] || { echo $$ > pid; exec sleep 1000; }; \
                   until [ -e go ]; do sleep 0.01; done; echo {}";
        let mut run = command(&env, &["--run-file", "r", "-j2", "-c", job]);
        run.stdin(std::fs::File::open(env.file("input", lines(1..3))).unwrap());
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full");
        let child = run.stdout(full.unwrap()).spawn().unwrap();
        let pid = || std::fs::read_to_string(env.path().join("pid")).unwrap_or_default();
        eventually("it runs", || pid().ends_with('\n'));
        signal(&child, Signal::SIGSTOP);
        kill(
            Pid::from_raw(pid().trim().parse().unwrap()),
            Signal::SIGKILL,
        )
        .unwrap();
        env.file("go", "");
        let begun = now();
        signal(&child, Signal::SIGCONT);
        let ended = finish(child, Vec::new());
        assert_eq!(ended.code(), 125, "{}", ended.stderr);
        // On a machine that takes longer, it has lived on for a while.
        if begun.elapsed() < Duration::from_millis(450) {
            assert_eq!(done(&env), ["2"], "{}", ended.stderr);
            break;
        }
    }
}

#[test]
fn what_a_signal_ends_while_a_run_that_is_halted_waits_for_it_has_not_failed_either() {
    let env = TestEnv::new();
    let job = "[ {} = 2 ] || { until [ -s pid ]; do sleep 0.01; done; exit 1; }; \
               echo $$ > pid; exec sleep 1000";
    let all = ["--run-file", "r", "--halt=soon,fail=1", "-j2", "-c", job];
    let mut run = command(&env, &all);
    run.stdin(std::fs::File::open(env.file("input", lines(1..3))).unwrap());
    let child = run.spawn().unwrap();
    eventually("it waits for one job", || done(&env) == ["1"]);
    let pid = std::fs::read_to_string(env.path().join("pid")).unwrap();
    let pid = Pid::from_raw(pid.trim().parse().unwrap());
    signal(&child, Signal::SIGSTOP);
    kill(pid, Signal::SIGKILL).unwrap();
    signal(&child, Signal::SIGTERM);
    signal(&child, Signal::SIGCONT);
    let ended = finish(child, Vec::new());
    assert_eq!(done(&env), ["1"], "{}", ended.stderr);
}
