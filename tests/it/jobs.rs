//! `orchestrator run --input jsonl`: each line is a whole job.

use std::fs;

use orchestrator_tests::{Done, TestEnv};
use serde_json::{Value, json};

use super::run::ORCHESTRATOR;

const WORKER: &str = env!("CARGO_BIN_EXE_test-worker");

fn run(env: &TestEnv, args: &[&str], stdin: impl Into<Vec<u8>>) -> Done {
    let mut command = env.command(ORCHESTRATOR);
    command.args(["run", "-k", "--input", "jsonl"]).args(args);
    env.run(command, stdin)
}

/// The lines that these jobs are.
fn lines(jobs: &[Value]) -> String {
    jobs.iter().map(|job| format!("{job}\n")).collect()
}

fn objects(done: &Done) -> Vec<Value> {
    let lines = done.stdout().lines();
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[test]
fn every_field_of_a_job_is_heard() {
    let env = TestEnv::new();
    fs::create_dir(env.path().join("sub")).unwrap();
    fs::write(env.path().join("sub/here"), "").unwrap();
    let jobs = lines(&[
        json!({"argv": ["printf", "%s|", "a b", "", "$HOME"]}),
        json!({"shell": "tr a-z A-Z; echo $((1+1))", "stdin": "in\n"}),
        json!({"shell": "echo \"$A\" \"${B-gone}\"", "env": {"A": "x", "B": null}}),
        json!({"argv": ["ls"], "cwd": "sub"}),
        json!({"argv": ["printf", "%s", {"base64": "/w=="}]}),
        json!({"argv": ["cat"], "stdin": {"base64": "AP8K"}}),
    ]);
    let mut command = env.command(ORCHESTRATOR);
    command
        .args(["run", "-k", "-q", "--input", "jsonl"])
        .env("B", "set");
    let done = env.run(command, jobs);
    assert_eq!(done.code(), 0, "{}", done.stderr);
    let expected = b"a b||$HOME|IN\n2\nx gone\nhere\n\xff\0\xff\n";
    assert_eq!(
        done.stdout,
        expected,
        "{:?}",
        String::from_utf8_lossy(&done.stdout)
    );
}

#[test]
fn id_and_label_come_back_and_limits_are_the_jobs_own() {
    let env = TestEnv::new();
    let fails_once = "test -e tried && exit 0; touch tried; exit 7";
    let jobs = lines(&[
        json!({"id": "slow", "argv": ["sleep", "100"], "timeout": 0.2, "label": "a \"nap\""}),
        json!({"id": 2, "shell": fails_once, "retries": 1}),
        json!({"id": 3, "shell": "exit 3"}),
    ]);
    let done = run(&env, &["--format", "jsonl", "-j1"], jobs);
    let all = objects(&done);
    let seen: Vec<Value> = all
        .iter()
        .map(|job| json!([job["id"], job["verdict"], job["attempts"], job["label"]]))
        .collect();
    assert_eq!(
        seen,
        [
            json!(["slow", "timeout", 1, "a \"nap\""]),
            json!([2, "ok", 2, null]),
            json!([3, "failed", 1, null]),
        ]
    );
    assert_eq!(all[1]["argv"][3], "sh");
}

#[test]
fn a_line_that_is_no_job_is_told_with_its_number_and_the_others_are_done() {
    let env = TestEnv::new();
    let jobs = "{\"argv\": [\"echo\", \"a\"]}\n\n{\"id\": 9, \"agrv\": [\"echo\"]}\n{\"argv\": }\n\
                {\"shell\": \"x\", \"argv\": [\"y\"]}\n{\"task\": \"fib\", \"args\": 1}\n\
                {\"argv\": [\"echo\", \"b\"]}";
    let done = run(&env, &[], jobs);
    assert_eq!((done.code(), done.stdout()), (1, "a\nb\n"));
    for said in [
        "error: line 3 of standard input is not a job: unknown field `agrv`; did you mean `argv`?\n",
        "error: line 4 of standard input is not valid JSON: expected value at column 10\n",
        "error: line 5 of standard input is not a job: it has more than one of `argv`, `shell` and `task`\n",
        "error: line 6 of standard input is not a job: it names a task, and no --worker is given",
    ] {
        assert!(done.stderr.contains(said), "{}", done.stderr);
    }
}

#[test]
fn each_job_may_name_its_task() {
    let env = TestEnv::new();
    let jobs = lines(&[
        json!({"id": "a", "task": "fib", "args": 10}),
        json!({"id": "b", "task": "no such task", "args": 10}),
        json!({"id": "c", "argv": ["true"]}),
    ]);
    let done = run(&env, &["--worker", WORKER], jobs);
    assert_eq!(done.code(), 1, "{}", done.stderr);
    let all = objects(&done);
    assert_eq!(
        all[0],
        json!({"seq": 1, "id": "a", "ok": true, "value": 55})
    );
    assert_eq!(
        (&all[1]["ok"], &all[2]["ok"]),
        (&json!(false), &json!(false))
    );
    assert!(done.stderr.contains("no such task"), "{}", done.stderr);
}

#[test]
fn jobs_are_recorded_by_what_they_say() {
    let env = TestEnv::new();
    let text = "test -e ok && echo \"$N\"";
    let job = |n: &str| json!({"shell": text, "env": {"N": n}, "label": n});
    let record = ["-q", "--run-file", "r"];
    assert_eq!(run(&env, &record, lines(&[job("1"), job("2")])).code(), 1);
    fs::write(env.path().join("ok"), "").unwrap();
    let mut command = env.command(ORCHESTRATOR);
    command.args(["retry", "-q", "r"]);
    let done = env.run(command, "");
    let mut printed: Vec<&str> = done.stdout().lines().collect();
    printed.sort_unstable();
    assert_eq!(printed, ["1", "2"], "{}", done.stderr);
    let resume = [&record[..], &["--resume"]].concat();
    let done = run(&env, &resume, lines(&[job("0"), job("1"), job("2")]));
    assert_eq!((done.code(), done.stdout()), (0, "0\n"));
}

#[test]
fn objects_come_from_any_source() {
    let env = TestEnv::new();
    let done = run(&env, &["-q", ":::", r#"{"argv": ["echo", "a"]}"#, "{}"], "");
    assert_eq!(done.stdout(), "a\n");
    assert!(
        done.stderr.contains("argument 2 of ::: is not a job"),
        "{}",
        done.stderr
    );
    let done = run(&env, &["--", "echo"], "");
    assert_eq!(done.code(), 2);
    assert!(
        done.stderr.contains("exclude each other"),
        "{}",
        done.stderr
    );
}
