//! The job log: what is in it, and runs that go on by it.

use std::io::Write;
use std::process::Stdio;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use orchestrator_tests::env::finish;
use orchestrator_tests::{TestEnv, eventually};

use super::{MODES, lines};
use crate::run::{ORCHESTRATOR, command, run};

#[test]
fn defect_10_every_attempt_is_in_the_log_and_seen() {
    for mode in MODES {
        let env = TestEnv::new();
        let script = "echo out; echo error $ORCHESTRATOR_ATTEMPT >&2; exit 3; : {}";
        let args = [
            mode,
            &["-q", "--joblog", "log", "--retries", "2", "-c", script],
        ]
        .concat();
        let done = run(&env, &args, "a\n");
        assert_eq!(done.code(), 1);
        for n in 1..=3 {
            assert!(
                done.stderr.contains(&format!("error {n}\n")),
                "{}",
                done.stderr
            );
        }
        let log = lines(&env.path().join("log"));
        let header = "Seq Host Starttime JobRuntime Send Receive Exitval Signal Command Verdict \
                      Attempt Worker";
        assert_eq!(log[0].join(" "), header);
        assert_eq!(log.len(), 4);
        for (n, line) in log.iter().enumerate().skip(1) {
            assert_eq!((&line[0][..], &line[1][..]), ("1", ":"));
            assert_eq!(line[4..8], ["0", "4", "3", "0"], "{mode:?}");
            assert_eq!(line[9..11], ["failed".to_owned(), n.to_string()]);
        }
    }
}

#[test]
fn the_log_has_jobs_that_were_killed_timed_out_and_ended_by_halt() {
    let env = TestEnv::new();
    let script = "case {} in k) kill -9 $$;; t) exec sleep 60;; x) exit 5;; esac";
    let args = [
        "-q",
        "-j1",
        "--joblog",
        "log",
        // What does not sleep is done by then.
        "--timeout",
        "3",
        "-c",
        script,
    ];
    let done = run(&env, &args, "k\nt\nx\n");
    assert_eq!(done.code(), 1);
    let log = lines(&env.path().join("log"));
    let ends: Vec<[&str; 3]> = log[1..].iter().map(|l| [&l[6][..], &l[7], &l[9]]).collect();
    let expected = [
        ["0", "9", "signaled"],
        ["-1", "15", "timeout"],
        ["5", "0", "failed"],
    ];
    assert_eq!(ends, expected);
    // The one that runs when the other one decides.
    let script = "if [ {} = 2 ]; then while [ ! -e ready ]; do sleep 0.01; done; exit 3; fi; \
                  : > ready; exec sleep 60";
    let args = [
        "-q",
        "-j2",
        "--halt",
        "now,fail=1",
        "--joblog",
        "halted",
        "-c",
        script,
    ];
    let done = run(&env, &args, "1\n2\n3\n4\n");
    assert_eq!(done.code(), 1, "{}", done.stderr);
    let log = lines(&env.path().join("halted"));
    let ends: Vec<[&str; 3]> = log[1..].iter().map(|l| [&l[0][..], &l[6], &l[9]]).collect();
    assert_eq!(ends, [["2", "3", "failed"], ["1", "-1", "interrupted"]]);
}

#[test]
fn the_log_has_jobs_that_a_signal_has_ended() {
    let env = TestEnv::new();
    let args = [
        "-q",
        "-j1",
        "--joblog",
        "log",
        "-c",
        ": > ready; exec sleep {}",
    ];
    let mut child = command(&env, &args).stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"60\n60\n").unwrap();
    eventually("a job runs", || env.path().join("ready").exists());
    kill(Pid::from_raw(child.id() as i32), Signal::SIGTERM).unwrap();
    let done = finish(child, Vec::new());
    assert_eq!(done.code(), 143);
    let log = lines(&env.path().join("log"));
    // The other one never began.
    assert_eq!(log.len(), 2);
    assert_eq!((&log[1][6][..], &log[1][9][..]), ("-1", "interrupted"));
}

#[test]
fn defect_12_a_log_is_never_truncated() {
    let env = TestEnv::new();
    for n in 1..=3 {
        let done = run(&env, &["-q", "--joblog", "log", "true"], "a\n");
        assert_eq!(done.code(), 0, "{}", done.stderr);
        let log = lines(&env.path().join("log"));
        assert_eq!(log.len(), 1 + n);
        assert_eq!(log.iter().filter(|line| line[0] == "Seq").count(), 1);
    }
    // Nor is what only looks like one.
    env.file("data", "precious\n");
    let done = run(
        &env,
        &["--joblog", "data", "-c", ": > started; : {}"],
        "a\n",
    );
    assert_eq!(done.code(), 125);
    assert!(done.stderr.contains("it is no job log"), "{}", done.stderr);
    assert_eq!(
        std::fs::read(env.path().join("data")).unwrap(),
        b"precious\n"
    );
    assert!(!env.path().join("started").exists());
}

#[test]
fn defect_6_a_run_that_goes_on_notices_that_its_input_has_changed() {
    let env = TestEnv::new();
    let run_on = |words: &[&str], input: &str| {
        let mut command = env.command(ORCHESTRATOR);
        command.args(["parallel", "-j1", "-k", "--joblog", "log"]);
        command.args(words);
        env.run(command, input)
    };
    let done = run_on(&["echo {}; exit {}"], "0\n1\n0\n");
    assert_eq!(done.code(), 1, "{}", done.stderr);
    // A line in front, or another command: GNU parallel runs the last job once more.
    for (words, input) in [
        (["--resume", "echo {}; exit {}"], "5\n0\n1\n0\n"),
        (["--resume", "echo {}; false {}"], "0\n1\n0\n7\n"),
        (["--resume-failed", "echo {}; exit {}"], "0\n1\n7\n0\n"),
    ] {
        let done = run_on(&words, input);
        assert_eq!(done.code(), 125, "{}", done.stderr);
        assert!(
            done.stderr.contains(" is another one than in the job log"),
            "{}",
            done.stderr
        );
        assert!(!done.stdout().contains(['5', '7']), "{}", done.stdout());
    }
    // What has failed before that was noticed was run again, and is in the log.
    let before = lines(&env.path().join("log")).len();
    let done = run_on(&["--resume-failed", "echo {}; exit {}"], "0\n1\n0\n2\n");
    assert_eq!(
        (done.code(), done.stdout()),
        (2, "1\n2\n"),
        "{}",
        done.stderr
    );
    assert_eq!(lines(&env.path().join("log")).len(), before + 2);
    let done = run_on(&["--resume", "echo {}; exit {}"], "0\n1\n0\n2\n");
    assert_eq!((done.code(), done.stdout()), (0, ""), "{}", done.stderr);
    // Nothing is left out by guesses.
    let done = run_on(&["--resume", "--pipe", "cat"], "x\n");
    assert_eq!(done.code(), 2);
    let mut command = env.command(ORCHESTRATOR);
    command.args(["parallel", "--resume", "true"]);
    let done = env.run(command, "x\n");
    assert_eq!(
        (done.code(), done.stderr.lines().count()),
        (2, 1),
        "{}",
        done.stderr
    );
}

#[test]
fn a_run_that_was_ended_goes_on_by_its_log() {
    let env = TestEnv::new();
    let script = "[ {} = 2 ] && [ ! -e again ] && : > ready && exec sleep 60; echo {}";
    let words = [
        "-q",
        "-k",
        "-j1",
        "--joblog",
        "log",
        "--skip-logged",
        "ended",
        "-c",
        script,
    ];
    let mut child = command(&env, &words).stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"1\n2\n3\n").unwrap();
    eventually("a job runs", || env.path().join("ready").exists());
    kill(Pid::from_raw(child.id() as i32), Signal::SIGTERM).unwrap();
    let done = finish(child, Vec::new());
    assert_eq!((done.code(), done.stdout()), (143, "1\n"));
    env.file("again", "");
    let done = run(&env, &words, "1\n2\n3\n");
    assert_eq!(
        (done.code(), done.stdout()),
        (0, "2\n3\n"),
        "{}",
        done.stderr
    );
    let done = run(&env, &words[1..], "1\n2\n3\n");
    assert_eq!(done.code(), 0);
    assert!(
        done.stderr.contains("no jobs: nothing was left to do"),
        "{}",
        done.stderr
    );
    let done = run(
        &env,
        &[&["--dry-run"], &words[1..]].concat(),
        "1\n2\n3\n4\n",
    );
    assert_eq!(done.stdout().lines().count(), 1, "{}", done.stdout());
}
