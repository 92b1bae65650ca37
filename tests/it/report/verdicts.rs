//! A run with every kind of verdict that can be provoked, in all forms in which it is looked
//! at later. The kinds that cannot are written by the run's own writer in unit tests.

use std::collections::BTreeMap;

use serde_json::Value;

use super::*;
use crate::run::command;

/// A job for each.
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

fn orchestrated(env: &TestEnv) -> Done {
    let command = command(
        env,
        &[
            "-q",
            "-j2",
            "--input",
            "jsonl",
            "--run-file",
            "run.db",
            "--trace",
            "trace.json",
            "--output-limit",
            "1K,kill",
        ],
    );
    env.run(command, JOBS)
}

#[test]
fn each_kind_of_verdict_that_can_be_provoked_is_in_report_and_trace() {
    let env = TestEnv::new();
    let done = orchestrated(&env);
    assert_eq!(done.code(), 1, "{}", done.stderr);
    let kinds = [
        "ok",
        "failed",
        "signaled",
        "timeout",
        "crashed",
        "quarantined",
        "spawn_error",
        "output_limit",
        "rejected",
    ];
    let file = open(&env);
    let (page, _) = page(&env);
    let text = orchestrator(&env, &["report", "run.db"]);
    let trace: Vec<Value> =
        serde_json::from_str(&std::fs::read_to_string(env.path().join("trace.json")).unwrap())
            .unwrap();
    let mut traced = BTreeMap::<&str, usize>::new();
    for event in &trace {
        if event["args"]["last"] == true {
            *traced
                .entry(event["args"]["verdict"].as_str().unwrap())
                .or_default() += 1;
        }
    }
    let failures = page.split_once("id=\"failures\"").unwrap().1;
    let failures = failures.split("</section>").next().unwrap();
    for verdict in kinds {
        let sql = format!("select count(*) from outcome where verdict = '{verdict}'");
        assert_eq!(number(&file, &sql), 1, "{verdict}: {}", done.stderr);
        let legend = format!("<li data-verdict=\"{verdict}\"");
        assert_eq!(attribute(&page, &legend, "data-jobs"), "1", "{verdict}");
        let line = format!("{verdict:<9} 1");
        assert!(
            text.stdout().lines().any(|said| said == line),
            "{verdict}: {}",
            text.stdout()
        );
        assert_eq!(traced.get(verdict), Some(&1), "{verdict}: {traced:?}");
        let tag = format!(">{verdict}</span>");
        assert_eq!(failures.contains(&tag), verdict != "ok", "{verdict}");
    }
    assert!(page.contains(">1 of 9 jobs succeeded</h1>"));
    assert_eq!(traced.len(), kinds.len(), "{traced:?}");
}
