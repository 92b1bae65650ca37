//! What agents do that are reached through a template, on this machine.

use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;

use orchestrator_tests::TestEnv;
use orchestrator_tests::env::finish;
use serde_json::Value;

use super::{HEAVY, HERE, expected, lines, told_first, when_told};
use crate::run::{ORCHESTRATOR, ROGUE, WORKER, command, objects, run, sorted};

#[test]
fn a_batch_gives_the_same_bytes_here_and_there() {
    let env = TestEnv::new();
    let here = expected(300);
    for places in [&["--hosts=2/a,3/b"][..], &["--hosts=2/a,b,:", "-j2"]] {
        let template = ["--launch", HERE, "--agent", ORCHESTRATOR];
        let all = [places, &template[..], &["-k", "-c", HEAVY]].concat();
        let done = run(&env, &all, lines(300));
        assert_eq!(done.code(), 0, "{}", done.stderr);
        assert!(done.stdout == here, "{places:?}");
    }
}

#[test]
fn commands_have_their_input_directory_and_variables_there() {
    let env = TestEnv::new();
    std::fs::create_dir(env.path().join("sub")).unwrap();
    let job = "pwd; echo \"$FROM_HERE $X\"; cat";
    let jobs = format!(
        "{}\n",
        serde_json::json!({"shell": job, "stdin": "read this\n", "env": {"X": "x y"}, "cwd": "sub"})
    );
    let mut command = command(
        &env,
        &[
            "--launch={agent}",
            "--env=FROM_HERE",
            "--input=jsonl",
            "--agent",
            ORCHESTRATOR,
        ],
    );
    command.env("FROM_HERE", "it's\nhere");
    let done = env.run(command, jobs);
    assert_eq!(done.code(), 0, "{}", done.stderr);
    let dir = env.path().join("sub");
    let expected = format!("{}\nit's\nhere x y\nread this\n", dir.display());
    assert_eq!(done.stdout(), expected);
}

#[test]
fn a_directory_that_is_asked_for_is_made_there() {
    let env = TestEnv::new();
    let all = [
        "--launch={agent}",
        "--agent",
        ORCHESTRATOR,
        "--wd=new/one",
        "pwd",
    ];
    let done = run(&env, &all, "\n");
    let dir = env.path().join("new/one");
    assert_eq!(
        done.stdout(),
        format!("{}\n", dir.display()),
        "{}",
        done.stderr
    );
}

#[test]
fn tasks_of_a_worker_of_one_s_own_run_there() {
    let env = TestEnv::new();
    let all = [
        "--hosts=2/a",
        "--launch",
        HERE,
        "--agent",
        ORCHESTRATOR,
        "--worker",
        WORKER,
        "--task",
        "fib",
        "--format=value",
    ];
    let done = run(&env, &all, lines(20));
    let here = run(
        &env,
        &["--worker", WORKER, "--task", "fib", "--format=value"],
        lines(20),
    );
    assert_eq!(done.code(), 0, "{}", done.stderr);
    assert_eq!(done.stdout(), here.stdout());
}

#[test]
fn where_a_job_ran_is_told() {
    let env = TestEnv::new();
    let all = [
        "--hosts=1/a,1/b,1/:",
        "--launch",
        "sh -c 'export AT=$0; exec {agent}' {host}",
        "--agent",
        ORCHESTRATOR,
        "--format=jsonl",
        "--joblog=log",
        "-c",
        // Each has one, however late it comes.
        ": {}; : > on.${AT:-here}; until [ -e on.a ] && [ -e on.b ] && [ -e on.here ]; do sleep 0.02; done",
    ];
    let done = run(&env, &all, lines(9));
    assert_eq!(done.code(), 0, "{}", done.stderr);
    let hosts = |host: &str| {
        let of = |object: &Value| object.get("host").and_then(Value::as_str).unwrap_or(":") == host;
        objects(done.stdout())
            .iter()
            .filter(|object| of(object))
            .count()
    };
    let log = std::fs::read_to_string(env.path().join("log")).unwrap();
    for host in ["a", "b", ":"] {
        assert!(hosts(host) > 0, "{host}: {}", done.stdout());
        let lines = log
            .lines()
            .filter(|line| line.split('\t').nth(1) == Some(host));
        assert_eq!(lines.count(), hosts(host), "{host}: {log}");
    }
    assert!(
        done.stderr.contains("1 worker here and 2 on 2 hosts"),
        "{}",
        done.stderr
    );
}

#[test]
fn each_host_that_cannot_be_used_is_told_in_one_line_and_the_others_do_all() {
    let env = TestEnv::new();
    // What there is at a host is decided by its name.
    let script = format!(
        "case $0 in \
         missing) exec /no/such/orchestrator agent;; \
         old) echo 'orchestrator-worker protocol 3'; sleep 60;; \
         chatty) yes welcome;; \
         noisy) echo welcome; echo; exec \"$@\";; \
         full) echo 'cat: write error: No space left on device' >&2; exit 1;; \
         key) echo 'Host key verification failed.' >&2; exit 255;; \
         away) echo 'ssh: connect to host away port 22: No route to host' >&2; exit 255;; \
         rogue) exec {ROGUE} greet ready output:1;; \
         esac"
    );
    let script = env.file("start", script);
    let template = format!("sh {} {{host}} {{agent}}", script.display());
    // The name of the script is no argument of it.
    let template = template.replace("sh ", "sh -c '. \"$0\"; :' ");
    let template = template.replace(
        "'. \"$0\"; :'",
        "'s=$0; h=$1; shift; sh -c \"$(cat \"$s\")\" \"$h\" \"$@\"'",
    );
    let all = [
        "--hosts=missing,old,chatty,2/noisy,full,key,away",
        "--launch",
        &template,
        "--agent",
        ORCHESTRATOR,
        "-k",
        "-c",
        &when_told(&env),
    ];
    let expected = [
        "warning: host missing has no program orchestrator (copy it there",
        "warning: host old has an orchestrator that speaks protocol 3",
        "warning: host chatty printed `welcome` and no greeting of an agent",
        "warning: host full has no space left on a disk: cat: write error",
        "warning: host key has another host key than is known: Host key",
        "warning: host away cannot be reached: ssh: connect to host away",
    ];
    let (done, said) = told_first(&env, command(&env, &all), lines(30), &expected);
    assert_eq!((done.code(), done.stdout()), (0, &*lines(30)), "{said}");
    for one in expected {
        assert_eq!(said.matches(one).count(), 1, "{one}: {said}");
    }
    assert_eq!(said.lines().count(), 7, "{said}");
}

#[test]
fn what_is_wrong_with_a_host_is_told_while_no_other_is_there_yet() {
    let env = TestEnv::new();
    let go = env.path().join("told");
    let script = format!(
        "case $0 in \
         away) echo 'ssh: connect to host away port 22: No route to host' >&2; exit 255;; \
         *) until [ -e {} ]; do sleep 0.05; done; exec \"$@\";; \
         esac",
        go.display()
    );
    let script = env.file("start", script);
    let template = format!("--launch=sh -c '. {}' {{host}} {{agent}}", script.display());
    let all = [
        "--hosts=away,2/slow",
        &template,
        "--agent",
        ORCHESTRATOR,
        "--run-file=r",
        "--summary=full",
        "-k",
        "echo",
    ];
    let expected = ["warning: host away cannot be reached: ssh: connect to host away"];
    let (done, said) = told_first(&env, command(&env, &all), lines(5), &expected);
    assert_eq!((done.code(), done.stdout()), (0, &*lines(5)), "{said}");
    assert_eq!(said.matches("warning: ").count(), 1, "{said}");
    assert!(said.contains("2 workers on 1 of 2 hosts"), "{said}");
    // Who was never there was not lost.
    assert!(!said.contains("lost and replaced"), "{said}");
    // What was seen before there was a record is in it.
    let file = rusqlite::Connection::open(env.path().join("r")).unwrap();
    let host = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?));
    let host: (String, u32) = file
        .query_row("select host, slots from host", [], host)
        .unwrap();
    assert_eq!(host, ("slow".into(), 2));
}

#[test]
fn what_workers_of_a_host_print_in_vain_is_told_once() {
    let env = TestEnv::new();
    let all = [
        "--hosts=a",
        "--launch=env AT={host} {agent}",
        "--agent",
        ORCHESTRATOR,
        "--worker=sh -c 'echo nothing works >&2; exit 1'",
        "--task=t",
    ];
    let done = run(&env, &all, lines(5));
    assert_eq!(done.code(), 125);
    let what = "a has no agent: its launcher ended with status 125: nothing works";
    assert!(done.stderr.contains(what), "{}", done.stderr);
    assert!(
        !done.stderr.contains("\nnothing works\n"),
        "{}",
        done.stderr
    );
}

#[test]
fn when_no_host_can_be_used_each_is_told_and_nothing_is_lost() {
    let env = TestEnv::new();
    let all = [
        "--hosts=a,b",
        "--launch=sh -c 'echo $0 is away >&2; exit 255' {host} {agent}",
        "--run-file=r",
        "echo",
    ];
    let done = run(&env, &all, lines(5));
    assert_eq!(done.code(), 125);
    for said in [
        "error: no host can be used\n",
        "  a cannot be reached: a is away\n",
        "  b cannot be reached: b is away\n",
    ] {
        assert!(done.stderr.contains(said), "{}", done.stderr);
    }
    let again = [
        "--hosts=a",
        "--launch",
        HERE,
        "--agent",
        ORCHESTRATOR,
        "--run-file=r",
        "--resume",
        "echo",
    ];
    let done = run(&env, &again, lines(5));
    assert_eq!(done.code(), 0, "{}", done.stderr);
    assert_eq!(sorted(done.stdout()), ["1", "2", "3", "4", "5"]);
}

#[test]
fn workers_may_take_longer_to_start_than_a_host_may_be_silent() {
    let env = TestEnv::new();
    let worker = env.file(
        "slow",
        format!("#!/bin/sh\nsleep 2.5\nexec {ORCHESTRATOR} worker\n"),
    );
    std::fs::set_permissions(&worker, PermissionsExt::from_mode(0o755)).unwrap();
    let all = [
        "--launch={agent}",
        "--agent",
        ORCHESTRATOR,
        "--host-timeout=3s",
        "-j1",
        "--worker",
        worker.to_str().unwrap(),
        "-k",
        "echo",
    ];
    let done = run(&env, &all, lines(2));
    assert_eq!(
        (done.code(), done.stdout()),
        (0, "1\n2\n"),
        "{}",
        done.stderr
    );
    assert!(!done.stderr.contains("lost"), "{}", done.stderr);
}

#[test]
fn a_launcher_that_is_not_here_is_no_program_that_is_not_there() {
    let env = TestEnv::new();
    let done = run(&env, &["--launch=no-such-ssh h {agent}", "echo"], lines(2));
    assert_eq!(done.code(), 125);
    let said = "cannot be reached: the launcher `no-such-ssh` cannot be started: no such file";
    assert!(done.stderr.contains(said), "{}", done.stderr);
}

#[test]
fn an_agent_that_nobody_answers_and_a_launcher_that_nobody_waits_for_end() {
    let env = TestEnv::new();
    let start = |args: &[&str]| {
        let mut command = env.command(ORCHESTRATOR);
        command.args(args).stdin(Stdio::piped());
        command.spawn().unwrap()
    };
    // Its link is open, and nothing comes.
    let mut agent = start(&["agent", "--silence=500ms"]);
    let link = agent.stdin.take();
    let done = finish(agent, Vec::new());
    drop(link);
    assert_eq!(done.code(), 125);
    assert!(
        done.stderr.contains("nothing was heard for 500ms"),
        "{}",
        done.stderr
    );
    // Whoever has started it has ended before it could ask to be told of that.
    let (ours, theirs) = nix::unistd::pipe().unwrap();
    drop(theirs);
    let mut command = env.command(ORCHESTRATOR);
    command.args(["launch", "--", "sleep", "1000"]).stdin(ours);
    let done = finish(command.spawn().unwrap(), Vec::new());
    assert_eq!(done.code(), 125, "{}", done.stderr);
}
