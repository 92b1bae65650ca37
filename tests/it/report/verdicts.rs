//! A run with every kind of verdict there is, in all forms in which it is looked at later.

use std::io::Write;
use std::process::{Child, ChildStdin, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use orchestrator_tests::env::finish;
use serde_json::Value;

use super::*;
use crate::run::{ROGUE, command};

/// Two that only an agent is there to say so.
const ELSEWHERE: &str = r#"{"id": "oom", "argv": ["true"]}
{"id": "unkillable", "argv": ["true"]}
"#;

/// A job for each that comes by itself.
const JOBS: &str = r#"{"id": "ok", "argv": ["true"]}
{"id": "failed", "shell": "echo no such thing >&2; exit 3"}
{"id": "signaled", "shell": "kill -SEGV $$"}
{"id": "timeout", "argv": ["sleep", "60"], "timeout": "100ms"}
{"id": "crashed", "shell": "kill -KILL $PPID; sleep 60", "retries": 0}
{"id": "quarantined", "shell": "kill -KILL $PPID; sleep 60", "retries": 9}
{"id": "spawn_error", "argv": ["/no/such/program"]}
{"id": "output_limit", "argv": ["yes"]}
this is no job
"#;

/// Those that somebody must end; later they end by themselves.
const LOST: &str = r#"{"id": "lost", "shell": "echo lost >>ran; test -e go || { : >at-lost; sleep 60; }"}
"#;
const INTERRUPTED: &str = r#"{"id": "interrupted", "shell": "echo interrupted >>ran; test -e go || { : >at-interrupted; sleep 60; }"}
"#;
const CANCELLED: &str = r#"{"id": "cancelled", "shell": "echo cancelled >>ran; test -e go || { : >at-cancelled; sleep 60; }"}
{"id": "prints", "shell": "until test -e at-cancelled; do sleep 0.02; done; echo x"}
"#;

/// How many jobs have which verdict before the last run.
const EACH: [(&str, i64); 14] = [
    ("ok", 2),
    ("failed", 1),
    ("signaled", 1),
    ("timeout", 1),
    ("crashed", 1),
    ("oom", 1),
    ("quarantined", 1),
    ("unkillable", 1),
    ("spawn_error", 1),
    ("rejected", 1),
    ("output_limit", 1),
    ("cancelled", 1),
    ("interrupted", 1),
    ("lost", 1),
];

/// Those that are no verdicts: their jobs are run when the run goes on.
const OPEN: [&str; 3] = ["cancelled", "interrupted", "lost"];

/// Goes on with the run, or begins it, with these lines of an input that does not end.
fn goes_on(env: &TestEnv, options: &[&str], lines: &str, stdout: Stdio) -> (Child, ChildStdin) {
    let always = [
        "-q",
        "--input",
        "jsonl",
        "--run-file",
        "run.db",
        "--resume",
        "--output-limit",
        "1K,kill",
    ];
    let mut command = command(env, &[&always, options].concat());
    command.stdin(Stdio::piped()).stdout(stdout);
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(lines.as_bytes()).unwrap();
    (child, stdin)
}

fn is_there(env: &TestEnv, name: &str) -> bool {
    env.path().join(name).exists()
}

fn counts(env: &TestEnv, sql: &str, expected: i64) -> bool {
    let path = env.path().join("run.db");
    path.exists()
        && Connection::open(path)
            .is_ok_and(|file| file.query_row(sql, [], |row| row.get(0)) == Ok(expected))
}

/// What the last attempts in these traces came to.
fn traced(env: &TestEnv, names: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    for name in names {
        let text = std::fs::read_to_string(env.path().join(name)).unwrap();
        let events: Vec<Value> = serde_json::from_str(&text).unwrap();
        let last = events.iter().filter(|event| event["args"]["last"] == true);
        found.extend(last.map(|event| event["args"]["verdict"].as_str().unwrap().to_owned()));
    }
    found
}

/// A run that was killed, one that was interrupted and one that failed, until every kind of
/// verdict is there.
fn every_kind(env: &TestEnv) {
    let task = <protocol::command::Command as protocol::Task>::NAME;
    let rogue = format!(
        "sh -c 'exec {ROGUE} greet hello ready:{task} recv done:oom recv done:unkillable drain' \
         {{host}} {{agent}}"
    );
    let options = ["--hosts=x", "--launch", &rogue, "--trace=t1"];
    let (child, stdin) = goes_on(env, &options, ELSEWHERE, Stdio::piped());
    drop(stdin);
    let done = finish(child, Vec::new());
    assert_eq!(done.code(), 1, "{}", done.stderr);

    let lines = [ELSEWHERE, LOST, INTERRUPTED].concat();
    let (child, stdin) = goes_on(env, &["-j1"], &lines, Stdio::piped());
    eventually("it is at the job that is lost", || {
        is_there(env, "at-lost") && counts(env, "select count(*) from job", 4)
    });
    kill(Pid::from_raw(child.id() as i32), Signal::SIGKILL).unwrap();
    finish(child, Vec::new());
    drop(stdin);
    // One ran at once.
    let text = orchestrator(env, &["report", "run.db"]);
    assert!(
        text.stdout().contains("lost      1\nno result 1\n"),
        "{}",
        text.stdout()
    );

    let lines = [ELSEWHERE, JOBS, INTERRUPTED].concat();
    let options = ["-j2", "--trace=t3"];
    let (child, stdin) = goes_on(env, &options, &lines, Stdio::piped());
    eventually("it is at the job that is interrupted", || {
        is_there(env, "at-interrupted") && counts(env, "select count(*) from outcome", 11)
    });
    kill(Pid::from_raw(child.id() as i32), Signal::SIGINT).unwrap();
    let done = finish(child, Vec::new());
    assert_eq!(done.code(), 130, "{}", done.stderr);
    drop(stdin);

    let full = std::fs::File::options()
        .write(true)
        .open("/dev/full")
        .unwrap();
    let options = ["-j2", "--trace=t4"];
    let (child, stdin) = goes_on(env, &options, CANCELLED, full.into());
    let done = finish(child, Vec::new());
    assert_eq!(done.code(), 125, "{}", done.stderr);
    drop(stdin);
}

#[test]
fn each_kind_of_verdict_is_in_the_report_and_only_what_has_none_is_run_again() {
    let env = TestEnv::new();
    every_kind(&env);
    let file = open(&env);
    let (html, _) = page(&env);
    let text = orchestrator(&env, &["report", "run.db", "--text"]);
    let traced = traced(&env, &["t1", "t3", "t4"]);
    let failures = html.split_once("id=\"failures\"").unwrap().1;
    let failures = failures.split("</section>").next().unwrap();
    for (verdict, jobs) in EACH {
        let sql = format!("select count(*) from outcome where verdict = '{verdict}'");
        let recorded = if OPEN.contains(&verdict) { 0 } else { jobs };
        assert_eq!(number(&file, &sql), recorded, "{verdict}");
        let legend = format!("<li data-verdict=\"{verdict}\"");
        assert_eq!(
            attribute(&html, &legend, "data-jobs"),
            jobs.to_string(),
            "{verdict}"
        );
        let line = format!("{verdict:<9} {jobs}");
        assert!(
            text.stdout().lines().any(|said| said == line),
            "{verdict}: {}",
            text.stdout()
        );
        let tag = format!(">{verdict}</span> <span class=\"why\">");
        assert_eq!(failures.contains(&tag), verdict != "ok", "{verdict}");
        // Whoever is killed writes nothing more.
        let found = traced.iter().filter(|&found| found == verdict).count();
        let expected = if verdict == "lost" { 0 } else { jobs as usize };
        assert_eq!(found, expected, "{verdict}: {traced:?}");
        if OPEN.contains(&verdict) {
            let named = format!("\n  {verdict} (line ");
            assert!(text.stdout().contains(&named), "{}", text.stdout());
        }
    }
    assert!(!html.contains("data-verdict=\"no result\""));
    assert!(html.contains(">2 of 15 jobs succeeded</h1>"));
    let said = "3 jobs have no result (1 cancelled, 1 interrupted, 1 lost)";
    assert!(html.contains(said), "{html:.3000}");

    // All of it goes on: what has no verdict is run, and nothing else.
    env.file("go", "");
    env.file("ran", "");
    let lines = [ELSEWHERE, JOBS, LOST, INTERRUPTED, CANCELLED].concat();
    let (child, stdin) = goes_on(&env, &["-j1"], &lines, Stdio::piped());
    drop(stdin);
    assert_eq!(finish(child, Vec::new()).code(), 1);
    let ran = std::fs::read_to_string(env.path().join("ran")).unwrap();
    assert_eq!(ran, "lost\ninterrupted\ncancelled\n");
    // What had become of them before stays in the file.
    let past = "select count(distinct verdict) from attempt where verdict in ('lost', 'cancelled', 'interrupted')";
    assert_eq!(number(&file, past), 3);
    let (html, _) = page(&env);
    assert!(html.contains(">5 of 15 jobs succeeded</h1>"));
    for verdict in OPEN {
        assert!(
            !html.contains(&format!("<li data-verdict=\"{verdict}\"")),
            "{verdict}"
        );
    }
}
