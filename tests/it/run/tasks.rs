//! Functions of a worker, whose results are JSON.

use orchestrator_tests::TestEnv;
use serde_json::json;

use super::{ORCHESTRATOR, WORKER, objects, run};

#[test]
fn tasks_answer_in_json_lines() {
    let env = TestEnv::new();
    let args = ["-k", "-q", "--worker", WORKER, "--task", "mirror"];
    let done = run(
        &env,
        &args,
        "{\"x\": 7, \"label\": \"é\"}\n{\"label\":\"\",\"x\":-1}\n",
    );
    assert_eq!(done.code(), 0, "{}", done.stderr);
    assert_eq!(
        done.stdout(),
        "{\"seq\":1,\"id\":null,\"ok\":true,\"value\":{\"x\":-7,\"label\":\"é\"}}\n\
         {\"seq\":2,\"id\":null,\"ok\":true,\"value\":{\"x\":1,\"label\":\"\"}}\n"
    );
    let done = run(
        &env,
        &[
            "-q", "--worker", WORKER, "--task", "fib", "--format", "value",
        ],
        "10\n20\n30\n40\n",
    );
    assert_eq!(done.stdout(), "55\n6765\n832040\n102334155\n");
}

#[test]
fn ids_come_back_with_their_results() {
    let env = TestEnv::new();
    let args = [
        "-k", "-q", "--worker", WORKER, "--task", "fib", "--input", "jsonl",
    ];
    let done = run(
        &env,
        &args,
        "{\"id\": \"a\", \"args\": 10}\n{\"args\": 11, \"id\": 7}\n",
    );
    assert_eq!(
        done.stdout(),
        "{\"seq\":1,\"id\":\"a\",\"ok\":true,\"value\":55}\n\
         {\"seq\":2,\"id\":7,\"ok\":true,\"value\":89}\n"
    );
}

#[test]
fn a_tasks_failure_is_an_answer_with_its_reason() {
    let env = TestEnv::new();
    let args = ["-k", "--worker", WORKER, "--task", "panic"];
    let done = run(&env, &args, "\"ouch\"\n");
    assert_eq!(done.code(), 1);
    let answer = &objects(done.stdout())[0];
    assert_eq!(answer["ok"], json!(false));
    let error = answer["error"].as_str().unwrap();
    assert!(
        error.contains("ouch") && error.contains("test_worker.rs:"),
        "{error}"
    );
    assert!(
        done.stderr.contains("0 of 1 job succeeded, 1 failed"),
        "{}",
        done.stderr
    );
}

#[test]
fn tasks_lists_what_a_worker_offers() {
    let env = TestEnv::new();
    let mut command = env.command(ORCHESTRATOR);
    command.args(["tasks", "--worker", WORKER]);
    let done = env.run(command, "");
    assert_eq!(done.code(), 0, "{}", done.stderr);
    let names: Vec<&str> = done.stdout().lines().collect();
    assert!(
        names.contains(&"command") && names.contains(&"fib"),
        "{names:?}"
    );
}

#[test]
fn what_a_task_prints_goes_to_stderr_with_its_job() {
    let env = TestEnv::new();
    let args = [
        "-q", "--worker", WORKER, "--task", "print", "--format", "value",
    ];
    let done = run(&env, &args, "[\"hello\", 2]\n");
    assert_eq!(
        (done.stdout(), done.stderr.as_str()),
        ("null\n", "hello\nhello\n")
    );
}

#[test]
fn an_input_that_does_not_fit_is_said_once() {
    let env = TestEnv::new();
    let args = ["-q", "--worker", WORKER, "--task", "fib"];
    let done = run(&env, &args, "\"x\"\n");
    assert_eq!(done.code(), 1);
    let error = objects(done.stdout())[0]["error"].clone();
    let error = error.as_str().unwrap();
    assert!(
        error.starts_with("input of task `fib` cannot be decoded: "),
        "{error}"
    );
    assert_eq!(done.stderr, format!("error: line 1: {error}\n"));
}

#[test]
fn a_refused_line_keeps_its_id() {
    let env = TestEnv::new();
    let args = [
        "-q", "--worker", WORKER, "--task", "fib", "--input", "jsonl",
    ];
    for format in ["result", "jsonl"] {
        let args = [&args[..], &["--format", format]].concat();
        let done = run(&env, &args, "{\"id\": \"a\", \"agrs\": 1}\n");
        assert_eq!(done.code(), 1);
        assert_eq!(objects(done.stdout())[0]["id"], json!("a"));
    }
}
