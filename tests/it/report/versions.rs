//! Run files of earlier versions: reported as they are, and migrated when a run goes on.

use super::*;

const SCHEMA_1: &str = include_str!("../../../orchestrator/src/run/runfile/schema-1.sql");

/// Makes `old.db` of version 1 with all that `run.db` has.
fn old(env: &TestEnv) -> Connection {
    let old = Connection::open(env.path().join("old.db")).unwrap();
    old.execute_batch(SCHEMA_1).unwrap();
    let new = env.path().join("run.db");
    old.execute("attach ? as new", [new.to_str().unwrap()])
        .unwrap();
    old.execute_batch(
        "pragma main.application_id = 0x6f726366; pragma main.user_version = 1;
         insert into run select run, run_id, began_us, ended_us, failure, version, host, pid, cwd, arguments, purpose, fingerprint from new.run;
         insert into job select job, key, seq, line, id, item, started from new.job;
         insert into outcome select n, job, run, verdict, exit, signal, errno, error, attempts, worker, started_us, wall_us, user_us,
             system_us, max_rss_kib, leaked, stdout_omitted, stderr_omitted, stdout, stderr, value, stdout_file, stderr_file, value_file
             from new.outcome;
         insert into attempt select job, run, attempt, verdict, exit, signal, errno, error, stderr from new.attempt;
         update state set input_whole = (select input_whole from new.state), shown = (select shown from new.state);
         detach new;",
    )
    .unwrap();
    old
}

#[test]
fn a_file_of_version_1_is_reported_as_it_is_and_migrated_when_its_run_goes_on() {
    let env = TestEnv::new();
    recorded(&env, &["--retries", "1"], "nap1\nflaky\nfail\nx\ny\n");
    let file = open(&env);
    // A worker of anybody's making may say so.
    let most = i64::MAX;
    file.execute_batch(&format!(
        "update outcome set wall_us = {most}, user_us = {most}, system_us = {most}, \
         stdout_omitted = {most}, stderr_omitted = {most} where job = 1"
    ))
    .unwrap();
    file.execute("delete from outcome where job > 3", [])
        .unwrap();
    drop(file);
    drop(old(&env));

    let report = orchestrator(&env, &["report", "old.db", "-o", "report.html"]);
    assert_eq!(report.code(), 0, "{}", report.stderr);
    let page = std::fs::read_to_string(env.path().join("report.html")).unwrap();
    assert!(page.contains(">2 of 5 jobs succeeded</h1>"));
    assert!(page.contains("data-measure=\"run\"") && !page.contains("data-measure=\"wait\""));
    assert!(page.contains("<code>orchestrator resume old.db</code> goes on"));
    let text = orchestrator(&env, &["report", "old.db"]);
    assert!(
        text.stdout().contains("\nrun time  p50 "),
        "{}",
        text.stdout()
    );
    let old = Connection::open(env.path().join("old.db")).unwrap();
    assert_eq!(number(&old, "pragma user_version"), 1);
    drop(old);

    let resumed = orchestrator(&env, &["resume", "old.db"]);
    assert_eq!(resumed.code(), 1, "{}", resumed.stderr);
    let old = Connection::open(env.path().join("old.db")).unwrap();
    assert_eq!(number(&old, "pragma user_version"), 3);
    assert_eq!(
        number(&old, "select count(*) from verdict where verdict = 'ok'"),
        4
    );
    assert_eq!(number(&old, "select count(*) from attempt"), 2);
    assert_eq!(
        number(&old, "select count(*) from verdict where queued is null"),
        5
    );
    let integrity: String = old
        .query_row("pragma integrity_check", [], |row| row.get(0))
        .unwrap();
    assert_eq!(integrity, "ok");
    drop(old);
    // A failed job's end becomes a try, with what is known of it.
    orchestrator(&env, &["retry", "--failed", "old.db"]);
    let old = Connection::open(env.path().join("old.db")).unwrap();
    assert_eq!(
        number(
            &old,
            "select count(*) from attempt where wall_us is not null"
        ),
        2
    );
    drop(old);
    let report = orchestrator(&env, &["report", "old.db", "-o", "again.html"]);
    assert_eq!(report.code(), 0, "{}", report.stderr);
    let page = std::fs::read_to_string(env.path().join("again.html")).unwrap();
    assert!(page.contains("in 3 runs"));
}

#[test]
fn the_file_of_a_python_program_is_reported() {
    let env = TestEnv::new();
    recorded(&env, &[], "resize('a.png')\nfail 2\n");
    let old = old(&env);
    // As the Python package writes it: no worker, memory or CPU time.
    old.execute_batch(
        "create table call (job integer primary key, key blob not null, run integer not null, result blob) strict;
         update run set arguments = cast('--executor' || char(0) || 'work.py' || char(0) as blob), fingerprint = zeroblob(32);
         update outcome set worker = null, user_us = null, system_us = null, max_rss_kib = null, leaked = null,
             stdout_omitted = null, stderr_omitted = null;",
    )
    .unwrap();
    drop(old);
    let report = orchestrator(&env, &["report", "old.db", "-o", "report.html"]);
    assert_eq!(report.code(), 0, "{}", report.stderr);
    let page = std::fs::read_to_string(env.path().join("report.html")).unwrap();
    assert!(page.contains(">1 of 2 jobs succeeded</h1>"));
    assert!(page.contains("<code>python work.py</code>"));
    assert!(page.contains("resize(&#39;a.png&#39;)"));
    assert!(page.contains("\"lanes_are_workers\":false,") && page.contains("\"draw_jobs\":true"));
    assert!(!page.contains("data-figure=\"peak-memory\"") && !page.contains("orchestrator retry"));

    // What a run was refused is as it was: its program knows no later version.
    for (more, why) in [
        (&[][..], "it exists already"),
        (&["--resume"], "recorded: "),
    ] {
        let args = [&["--run-file", "old.db"][..], more, &["--", "true"]].concat();
        let refused = run(&env, &args, "a\n");
        assert_eq!(refused.code(), 125, "{}", refused.stderr);
        assert!(refused.stderr.contains(why), "{}", refused.stderr);
        let old = Connection::open(env.path().join("old.db")).unwrap();
        assert_eq!(number(&old, "pragma user_version"), 1, "{why}");
    }
}

#[test]
fn a_file_of_version_2_knows_no_hosts_and_is_migrated_when_its_run_goes_on() {
    let env = TestEnv::new();
    recorded(&env, &["--retries", "1"], "nap1\nflaky\nfail\nx\n");
    let file = open(&env);
    file.execute_batch(
        "drop view verdict; drop table host; alter table outcome drop column host;
         alter table attempt drop column host; delete from outcome where job = 4;
         create view verdict as select o.n, o.job, o.verdict from outcome o;
         pragma user_version = 2;",
    )
    .unwrap();
    drop(file);
    let text = orchestrator(&env, &["report", "run.db"]);
    assert!(text.stdout().contains("no result 1\n"), "{}", text.stderr);
    assert!(text.stdout().contains("\ntries     2 tries repeated"));
    let results = orchestrator(&env, &["results", "run.db", "--format", "jsonl"]);
    assert_eq!(results.stdout().lines().count(), 3, "{}", results.stderr);
    assert_eq!(orchestrator(&env, &["resume", "run.db"]).code(), 1);
    let file = open(&env);
    assert_eq!(number(&file, "pragma user_version"), 3);
    assert_eq!(
        number(&file, "select count(*) from verdict where host is null"),
        4
    );
}
