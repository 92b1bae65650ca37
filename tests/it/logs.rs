//! `--log-file` and `--log-level`.

use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use std::time::Duration;

use orchestrator::{Pool, RawJob};
use serde_json::Value;

use orchestrator_tests::TestEnv;
use orchestrator_tests::tasks::{Fail, Noop};

use crate::pool::{block_on, config};
use crate::run::{WORKER, objects, run};

fn log(env: &TestEnv) -> Vec<Value> {
    objects(&std::fs::read_to_string(env.path().join("log")).unwrap())
}

fn with<'a>(lines: &'a [Value], message: &str) -> Vec<&'a Value> {
    lines
        .iter()
        .filter(|line| line["message"] == message)
        .collect()
}

#[test]
fn a_label_of_any_length_is_told_in_short() {
    let env = TestEnv::new();
    let args = [
        "-q",
        "--input",
        "jsonl",
        "--log-file",
        "log",
        "--log-level",
        "debug",
    ];
    let label = "é".repeat(100_000);
    let job = format!("{{\"shell\": \"true\", \"label\": \"{label}\"}}\n");
    assert_eq!(run(&env, &args, job).code(), 0);
    let lines = log(&env);
    let ended = with(&lines, "job ended");
    let told = ended[0]["span"]["label"].as_str().unwrap();
    assert_eq!(told, "é".repeat(200));
}

#[test]
fn a_log_tells_of_workers_and_of_jobs_that_fail() {
    let env = TestEnv::new();
    let script = "echo '\x1b[31m{}' >&2; exit {}";
    let args = [
        "-q",
        "-j2",
        "--retries",
        "1",
        "--log-file",
        "log",
        "-c",
        script,
    ];
    let done = run(&env, &args, "0\n3\n");
    assert_eq!(done.code(), 1, "{}", done.stderr);
    let lines = log(&env);
    for line in &lines {
        assert!(
            line["timestamp"].is_string() && line["level"].is_string(),
            "{line}"
        );
    }
    assert_eq!(with(&lines, "run started").len(), 1);
    assert_eq!(with(&lines, "worker started").len(), 2);
    assert_eq!(with(&lines, "worker ended").len(), 2);
    let again = with(&lines, "job failed and is tried again");
    let ended = with(&lines, "job ended");
    assert_eq!((again.len(), ended.len()), (1, 1), "{lines:#?}");
    for (line, attempts) in [(again[0], 1), (ended[0], 2)] {
        assert_eq!(line["verdict"], "failed");
        assert_eq!(line["attempts"], attempts);
        // Who ran it is in the span.
        assert_eq!(line["span"]["name"], "job");
        assert_eq!(line["span"]["job"], line["job"]);
        let worker = &line["span"]["worker"];
        let same = |line: &&&Value| line["span"]["worker"] == *worker;
        let workers = with(&lines, "worker started");
        let started = workers.iter().find(same).unwrap();
        assert!(started["span"]["pid"].as_u64() > Some(0), "{started}");
        assert!(started["span"]["slot"].as_u64() > Some(0), "{started}");
    }
    assert_eq!(ended[0]["status"], 3);
    let end = with(&lines, "run ended")[0];
    assert_eq!((&end["succeeded"], &end["failed"]), (&1.into(), &1.into()));
    // The next run adds to it.
    let args = ["-q", "--log-file", "log", "--log-level", "debug", "true"];
    assert_eq!(run(&env, &args, "a\nb\nc\n").code(), 0);
    let more = log(&env);
    assert_eq!(more[..lines.len()], lines[..]);
    assert_eq!(with(&more[lines.len()..], "job sent").len(), 3);
    assert_eq!(with(&more[lines.len()..], "job ended").len(), 3);
}

/// Where a program's subscriber writes.
#[derive(Clone, Default)]
struct Said(Arc<Mutex<Vec<u8>>>);

impl Write for Said {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A program that uses the library listens with a subscriber of its own.
#[test]
fn a_program_that_listens_is_told_of_workers_and_jobs_in_their_spans() {
    let said = Said::default();
    let out = said.clone();
    let subscriber = tracing_subscriber::fmt()
        .json()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(move || out.clone())
        .finish();
    // Where `tracing` knows of one subscriber only, what another test's thread says first is
    // said for nobody from then on, since that thread has none.
    let _another = tracing::Dispatch::new(tracing_subscriber::registry());
    // The pool is a task of this thread.
    let listens = tracing::subscriber::set_default(subscriber);
    block_on(async {
        let pool = Pool::start(config(1)).unwrap();
        pool.run(Noop, ()).await.unwrap();
        let mut failing = RawJob::new(&Fail, &()).unwrap();
        failing.retries = Some(1);
        failing.retry_backoff = Some(Duration::ZERO);
        pool.submit_raw(failing).await.unwrap().await.unwrap();
        pool.shutdown().await.unwrap();
    });
    drop(listens);
    let lines = objects(&String::from_utf8(said.0.lock().unwrap().clone()).unwrap());
    let one = |message: &str, n: usize| {
        let lines: Vec<_> = lines
            .iter()
            .filter(|line| line["fields"]["message"] == message)
            .collect();
        assert_eq!(lines.len(), n, "{message}: {lines:#?}");
        lines
    };
    let worker = &one("worker started", 1)[0]["span"];
    assert_eq!(worker["name"], "worker");
    assert!(
        worker["pid"].as_u64() > Some(0) && worker["slot"] == 1,
        "{worker}"
    );
    one("worker ready", 1);
    one("worker ended", 1);
    let sent = one("job sent", 3);
    let ends = [one("job failed and is tried again", 1), one("job ended", 2)].concat();
    for line in sent.iter().chain(&ends) {
        let span = &line["span"];
        assert_eq!(span["name"], "job", "{line}");
        assert_eq!(span["worker"], worker["worker"], "{line}");
    }
    let verdicts: Vec<_> = ends.iter().map(|line| &line["fields"]["verdict"]).collect();
    assert_eq!(verdicts, ["failed", "ok", "failed"]);
}

#[test]
fn without_a_file_a_log_is_text_on_stderr_that_no_terminal_obeys() {
    let env = TestEnv::new();
    let args = [
        "-q",
        "-j1",
        "--log-level",
        "trace",
        "--worker",
        WORKER,
        "--task",
        "print",
    ];
    let done = run(&env, &args, "[\"\\u001b[2Jx\\u0007\", 1]\n");
    assert_eq!(done.code(), 0, "{}", done.stderr);
    let told: Vec<&str> = done
        .stderr
        .lines()
        .filter(|line| line.contains("INFO"))
        .collect();
    assert!(
        told.iter().any(|line| line.contains("worker started")),
        "{}",
        done.stderr
    );
    let lines = done
        .stderr
        .lines()
        .filter(|line| line.contains("orchestrator::"));
    for line in lines {
        assert!(!line.contains(|c: char| c.is_control()), "{line:?}");
    }
    assert!(done.stderr.contains("job sent"), "{}", done.stderr);
    // And nothing unless it is asked for.
    let done = run(&env, &["-q", "true"], "a\n");
    assert_eq!(done.stderr, "");
}

#[test]
fn a_log_that_cannot_be_written_is_a_failure_of_the_run() {
    let env = TestEnv::new();
    let args = ["-q", "--log-file", "no/such/log", "-c", ": > started; : {}"];
    let done = run(&env, &args, "a\n");
    assert_eq!(done.code(), 125, "{}", done.stderr);
    assert!(done.stderr.contains("--log-file"), "{}", done.stderr);
    assert!(!env.path().join("started").exists());
    // Nothing is added to what is none.
    let file = env.file("precious", "not a log\n");
    let args = ["-q", "--log-file", "precious", "-c", ": > started; : {}"];
    let done = run(&env, &args, "a\n");
    assert_eq!(done.code(), 125, "{}", done.stderr);
    assert!(
        done.stderr.contains("it is no log of ours"),
        "{}",
        done.stderr
    );
    assert_eq!(std::fs::read(file).unwrap(), b"not a log\n");
    assert!(!env.path().join("started").exists());
    // What was started is done first.
    let done = run(&env, &["-q", "--log-file", "/dev/full", "echo"], "a\n");
    assert_eq!(done.code(), 125, "{}", done.stderr);
    assert_eq!(done.stdout(), "a\n");
    assert!(
        done.stderr.contains("no space left on device"),
        "{}",
        done.stderr
    );
    assert_eq!(done.stderr.lines().count(), 1, "{}", done.stderr);
}
