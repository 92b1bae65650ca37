//! What commands may use, as the command line and the library say.

use std::time::Duration;

use orchestrator::{JobError, Omitted, Pool};
use orchestrator_tests::TestEnv;
use serde_json::{Value, json};

use super::pool::{block_on, config};
use super::run::{ORCHESTRATOR, objects, run};

/// The only job of a run with these words.
fn only(env: &TestEnv, words: &[&str]) -> (Value, String, i32) {
    let words = [&["-q", "--format", "jsonl"], words].concat();
    let done = run(env, &words, "1\n");
    let mut jobs = objects(done.stdout());
    assert_eq!(jobs.len(), 1, "{}", done.stderr);
    (jobs.remove(0), done.stderr.clone(), done.code())
}

#[test]
fn a_command_that_uses_up_its_cpu_time_says_so() {
    let env = TestEnv::new();
    let (job, stderr, code) = only(
        &env,
        &["--cpu-limit", "0.5", "-c", ": {}; while :; do :; done"],
    );
    assert_eq!((&job["verdict"], code), (&json!("signaled"), 1));
    assert_eq!(job["signal_name"], "SIGXCPU");
    let said = "was ended by SIGXCPU: it has used up its CPU time of 1s";
    assert_eq!(job["error"], said);
    assert!(stderr.contains(&format!("command {said}: `")), "{stderr}");
    // Waiting is not computing.
    let (job, ..) = only(&env, &["--cpu-limit", "1", "--", "sleep", "1.1"]);
    assert_eq!(job["verdict"], "ok");
}

#[test]
fn a_command_has_no_more_open_files_than_it_may() {
    let env = TestEnv::new();
    let script = "import os; print([os.open('/', 0) for _ in range(16)])";
    let words = ["--open-files", "16", "--", "python3", "-c", script];
    let (job, ..) = only(&env, &words);
    assert_eq!(
        (&job["verdict"], &job["exit"]),
        (&json!("failed"), &json!(1))
    );
    let said = job["stderr"].as_str().unwrap();
    assert!(said.contains("Too many open files"), "{said}");
    let words = ["--open-files", "32", "--", "python3", "-c", script];
    assert_eq!(only(&env, &words).0["verdict"], "ok");
}

#[test]
fn f047_output_beyond_its_limit_is_left_out_and_counted() {
    let env = TestEnv::new();
    let text = ": {}; seq 100000; exit 3";
    let (job, ..) = only(&env, &["--output-limit", "10", "-c", text]);
    assert_eq!(
        (&job["verdict"], &job["exit"]),
        (&json!("failed"), &json!(3))
    );
    assert_eq!(job["stdout"], "1\n2\n3\n[588885 bytes left out]\n0000\n");
    let expected = json!({"stdout": 588_885, "stderr": 0});
    assert_eq!(job["omitted"], expected);
    // As text, and what is within the limit.
    let done = run(&env, &["-q", "--output-limit", "1K", "-c", "seq {}"], "3\n");
    assert_eq!((done.code(), done.stdout()), (0, "1\n2\n3\n"));
    let (job, ..) = only(&env, &["-c", "seq {}00000"]);
    assert_eq!(job["stdout"].as_str().unwrap().len(), 588_895);
    assert_eq!(job.get("omitted"), None);
}

#[test]
fn f047_a_command_that_writes_too_much_is_ended_and_not_tried_again() {
    let env = TestEnv::new();
    let words = ["--output-limit", "1K,kill", "--retries", "3", "--", "yes"];
    let (job, stderr, code) = only(&env, &words);
    assert_eq!((&job["verdict"], code), (&json!("output_limit"), 1));
    assert_eq!((&job["attempts"], &job["exit"]), (&json!(1), &Value::Null));
    let said = "wrote too much: more than 1024 bytes on stdout";
    assert_eq!(job["error"], said);
    assert!(stderr.contains(&format!("command {said}: `")), "{stderr}");
    assert!(job["omitted"]["stdout"].as_u64().unwrap() > 0);
    assert!(job["stdout"].as_str().unwrap().len() < 1100);
    env.no_process_left();
}

#[test]
fn what_was_left_out_is_in_the_run_file_and_limits_hold_when_it_goes_on() {
    let env = TestEnv::new();
    let words = ["--run-file", "r", "--output-limit", "4,kill", "--"];
    let (first, ..) = only(&env, &[&words[..], &["echo", "123"]].concat());
    let omitted = json!({"stdout": 2, "stderr": 0});
    let seen = (&first["verdict"], &first["omitted"]);
    assert_eq!(seen, (&json!("output_limit"), &omitted));
    let ended = |args: &[&str]| {
        let mut command = env.command(ORCHESTRATOR);
        command.args(args);
        objects(env.run(command, "").stdout()).remove(0)
    };
    let shown = ended(&["results", "r", "--format", "jsonl"]);
    assert_eq!(shown, first);
    let again = ended(&["retry", "r", "--failed", "-q"]);
    assert_eq!(again["verdict"], "output_limit");
}

#[test]
fn limits_of_commands_in_the_library() {
    block_on(async {
        let pool = Pool::start(config(1)).unwrap();
        let output = pool.command(["seq", "1000"]).output_limit(8).await.unwrap();
        assert_eq!(output.stdout, "1\n2\n[3885 bytes left out]\n000\n");
        let (stdout, stderr) = (3885, 0);
        assert_eq!(output.omitted, Omitted { stdout, stderr });
        let flood = pool.command(["yes"]).output_limit_kill(100).await;
        let error = flood.unwrap_err();
        assert!(matches!(error, JobError::OutputLimit(_)), "{error}");
        let said = "command wrote too much: more than 100 bytes on stdout";
        assert_eq!(error.to_string(), said);
        let text = "ulimit -St; ulimit -n";
        let told = pool.command(["sh", "-c", text]);
        let told = told
            .cpu_limit(Duration::from_millis(1))
            .open_files(12)
            .await;
        assert_eq!(told.unwrap().stdout, "1\n12\n");
        pool.shutdown().await.unwrap();
    });
}
