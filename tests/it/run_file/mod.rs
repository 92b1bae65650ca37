//! Run files: what is recorded, and how a run goes on.

mod crashes;
mod light;
mod refusals;

use std::collections::HashMap;
use std::path::Path;

use orchestrator_tests::{Done, TestEnv, eventually};
use rusqlite::Connection;

use super::run::{ORCHESTRATOR, WORKER, command, objects, run, sorted};

/// Writes its argument down, and fails for those that begin with `bad`.
const JOB: [&str; 5] = [
    "sh",
    "-c",
    "echo \"$1\" >> ran; echo \"out $1\"; echo \"err $1\" >&2; case $1 in bad*) exit 3;; esac",
    "sh",
    "{}",
];

/// `orchestrator run --run-file r …` with these options before [`JOB`].
fn recorded(env: &TestEnv, options: &[&str], stdin: &str) -> Done {
    let all = [&["--run-file", "r"], options, &["--"], &JOB].concat();
    run(env, &all, stdin)
}

fn orchestrator(env: &TestEnv, args: &[&str]) -> Done {
    let mut command = env.command(ORCHESTRATOR);
    command.args(args);
    env.run(command, "")
}

/// What was run so far, and how often.
fn ran(env: &TestEnv) -> HashMap<String, usize> {
    counts(env, "ran")
}

/// The same of a copy.
fn counts(env: &TestEnv, name: &str) -> HashMap<String, usize> {
    let text = std::fs::read_to_string(env.path().join(name)).unwrap_or_default();
    let mut counts = HashMap::new();
    for line in text.lines() {
        *counts.entry(line.to_owned()).or_default() += 1;
    }
    counts
}

/// Asks the run file, as a user would.
fn query(env: &TestEnv, sql: &str) -> Vec<String> {
    query_in(env, "r", sql)
}

fn query_in(env: &TestEnv, name: &str, sql: &str) -> Vec<String> {
    let file = Connection::open(env.path().join(name)).unwrap();
    let mut query = file.prepare(sql).unwrap();
    let columns = query.column_count();
    let rows = query.query_map([], |row| {
        let values = (0..columns).map(|at| row.get::<_, rusqlite::types::Value>(at));
        let texts = values.map(|value| {
            Ok(match value? {
                rusqlite::types::Value::Null => "-".to_owned(),
                rusqlite::types::Value::Integer(number) => number.to_string(),
                rusqlite::types::Value::Text(text) => text,
                rusqlite::types::Value::Blob(bytes) => String::from_utf8(bytes).unwrap(),
                rusqlite::types::Value::Real(number) => number.to_string(),
            })
        });
        let texts: rusqlite::Result<Vec<String>> = texts.collect();
        Ok(texts?.join(" "))
    });
    rows.unwrap().map(Result::unwrap).collect()
}

/// Every job of the file has exactly one outcome, and the file is sound.
fn complete(env: &TestEnv, jobs: usize) {
    assert_eq!(
        query(env, "select count(*) from job"),
        [jobs.to_string()],
        "jobs"
    );
    assert_eq!(
        query(env, "select count(*) from outcome join job using (job)"),
        [jobs.to_string()],
        "outcomes"
    );
    assert_eq!(query(env, "pragma integrity_check"), ["ok"]);
}

#[test]
fn a_run_is_recorded_and_can_be_queried() {
    let env = TestEnv::new();
    let done = recorded(&env, &[], "a\nbad 1\nc\n");
    let next = "orchestrator retry --failed r   # run those again\n";
    assert!(done.stderr.contains(next), "{}", done.stderr);
    assert_eq!(done.code(), 1);
    assert_eq!(sorted(done.stdout()), ["out a", "out bad 1", "out c"]);
    let failed = "select label, exit from verdict where exit <> 0";
    assert_eq!(query(&env, failed), ["bad 1 3"]);
    let all = "select seq, line, verdict, attempts, stdout, stderr, started >= '2020', cpu >= 0, \
               duration > 0 from verdict order by seq";
    assert_eq!(
        query(&env, all),
        [
            "1 1 ok 1 out a\n err a\n 1 1 1",
            "2 2 failed 1 out bad 1\n err bad 1\n 1 1 1",
            "3 3 ok 1 out c\n err c\n 1 1 1"
        ]
    );
    let config = "select run, ended_us > began_us, purpose like '-- sh -c %', \
                  cast(arguments as text) like '--run-file%' from run";
    assert_eq!(query(&env, config), ["1 1 1 1"]);
    complete(&env, 3);
}

#[test]
fn results_that_are_shown_again_are_the_same_bytes() {
    let env = TestEnv::new();
    let input = "a\nbad 1\nc\n";
    let done = recorded(&env, &["--format", "jsonl"], input);
    let again = orchestrator(&env, &["results", "r"]);
    assert_eq!(again.code(), 0, "{}", again.stderr);
    assert_eq!(again.stdout(), done.stdout());
    let text = orchestrator(&env, &["results", "--failed", "--format", "text", "r"]);
    assert_eq!(
        (text.stdout(), &*text.stderr),
        ("out bad 1\n", "err bad 1\n")
    );

    let task = ["--run-file", "t", "--worker", WORKER, "--task", "fib"];
    let done = run(&env, &task, "10\n{\n\n20\n\"x\"\n");
    assert_eq!(objects(done.stdout()).len(), 4);
    let again = orchestrator(&env, &["results", "t"]);
    assert_eq!(sorted(again.stdout()), sorted(done.stdout()));
}

#[test]
fn large_output_stands_beside_the_file_and_is_shown_again() {
    let env = TestEnv::new();
    let print = [
        "--run-file",
        "r",
        "--",
        "sh",
        "-c",
        "seq $1; seq 99999 >&2",
        "sh",
        "{}",
    ];
    let done = run(&env, &print, "100000\n10\n");
    assert_eq!(done.code(), 0, "{}", done.stderr);
    let sizes = "select length(stdout), stdout_file is not null, length(stderr), \
                 length(stderr_file) from verdict order by seq";
    assert_eq!(query(&env, sizes), ["- 1 - 64", "21 0 - 64"]);
    // Both wrote the same to stderr.
    assert_eq!(
        std::fs::read_dir(env.path().join("r.files"))
            .unwrap()
            .count(),
        2
    );
    let again = orchestrator(&env, &["results", "r"]);
    assert_eq!(sorted(again.stdout()), sorted(done.stdout()));
}

#[test]
fn f113_an_edited_input_runs_exactly_the_difference() {
    let env = TestEnv::new();
    recorded(&env, &[], "a\nb\nbad c\nd\n");
    let done = recorded(&env, &["--resume"], "new 1\nd\nbad c\n\nnew 2\na\n");
    assert_eq!(sorted(done.stdout()), ["out ", "out new 1", "out new 2"]);
    let said = "orchestrator: resumed: 3 new, 1 gone, 3 done (1 of them failed)\n";
    assert!(done.stderr.contains(said), "{}", done.stderr);
    // It is still true that a job has failed.
    assert_eq!(done.code(), 1);
    assert!(ran(&env).values().all(|&times| times == 1));
    complete(&env, 7);
    let nothing = recorded(&env, &["--resume"], "a\n");
    assert_eq!((nothing.code(), nothing.stdout()), (0, ""));
    let said = "orchestrator: resumed: 0 new, 6 gone, 1 done\n\
                orchestrator: no jobs: nothing was left to do\n";
    assert_eq!(nothing.stderr, said);
}

#[test]
fn f114_a_line_that_is_there_twice_is_run_twice() {
    let env = TestEnv::new();
    recorded(&env, &[], "a\na\n");
    let done = recorded(&env, &["--resume"], "a\na\na\n");
    assert_eq!(done.stdout(), "out a\n");
    assert_eq!(ran(&env)["a"], 3);
    complete(&env, 3);
}

#[test]
fn the_number_of_a_line_is_no_part_of_what_it_is() {
    let env = TestEnv::new();
    let numbered = |resume: &[&str], input: &str| {
        let words = ["--", "echo", "{#}", "{}"];
        run(
            &env,
            &[&["--run-file", "r"], resume, &words].concat(),
            input,
        )
    };
    assert_eq!(numbered(&[], "a\nb\n").stdout().len(), 8);
    let done = numbered(&["--resume"], "before\na\nb\n");
    assert_eq!(done.stdout(), "1 before\n");
}

#[test]
fn the_order_of_the_input_is_kept_among_what_is_left() {
    let env = TestEnv::new();
    recorded(&env, &["-k"], "1\n3\n5\n");
    let done = recorded(&env, &["-k", "--resume"], "6\n5\n4\n3\n2\n1\n");
    assert_eq!(done.stdout(), "out 6\nout 4\nout 2\n");
}

#[test]
fn what_was_shown_is_not_shown_again() {
    let env = TestEnv::new();
    // The first line's end is worth a warning, which is the first that is written.
    let input = "a\r\nb\nc\n";
    assert_eq!(recorded(&env, &[], input).stdout().lines().count(), 3);
    for _ in 0..2 {
        assert_eq!(recorded(&env, &["--resume"], input).stdout(), "");
        assert_eq!(query(&env, "select shown from state"), ["3"]);
    }
}

#[test]
fn what_has_failed_is_run_again() {
    let env = TestEnv::new();
    recorded(&env, &[], "a\nbad 1\nbad 2\n");
    std::fs::write(env.path().join("ran"), "").unwrap();
    let done = orchestrator(&env, &["retry", "r", "--failed", "-j1"]);
    assert_eq!(done.code(), 1);
    assert_eq!(sorted(done.stdout()), ["out bad 1", "out bad 2"]);
    assert_eq!(ran(&env).len(), 2);
    complete(&env, 3);
    let history = "select job, run, verdict, exit, stderr from attempt order by job";
    assert_eq!(
        query(&env, history),
        ["2 1 failed 3 err bad 1\n", "3 1 failed 3 err bad 2\n"]
    );
    let none = orchestrator(&env, &["resume", "r"]);
    assert_eq!((none.code(), none.stdout()), (1, ""));
}

#[test]
fn earlier_attempts_are_recorded() {
    let env = TestEnv::new();
    let words = [
        "--run-file",
        "r",
        "--retries",
        "2",
        "--",
        "sh",
        "-c",
        "echo try $ORCHESTRATOR_ATTEMPT >&2; [ $ORCHESTRATOR_ATTEMPT = 3 ]",
    ];
    let done = run(&env, &words, "x\n");
    assert_eq!(done.code(), 0, "{}", done.stderr);
    let attempts = "select attempt, verdict, exit, stderr from attempt order by attempt";
    assert_eq!(
        query(&env, attempts),
        ["1 failed 1 try 1\n", "2 failed 1 try 2\n"]
    );
    assert_eq!(
        query(&env, "select verdict, attempts, stderr from verdict"),
        ["ok 3 try 3\n"]
    );
}

#[test]
fn jobs_know_who_they_are() {
    let env = TestEnv::new();
    let print = "echo $ORCHESTRATOR_RUN_ID $ORCHESTRATOR_JOB_ID $ORCHESTRATOR_JOB_KEY \
                 $ORCHESTRATOR_ATTEMPT";
    let text = format!("{print}; : {{}}");
    let done = run(&env, &["--run-file", "r", "-k", "-c", &text], "a\nb\n");
    assert_eq!(done.code(), 0, "{}", done.stderr);
    let known = "select run_id || ' ' || job || ' ' || lower(hex(key)) \
                 from job, run order by job";
    let said: Vec<_> = done
        .stdout()
        .lines()
        .map(|line| line.rsplit_once(' ').unwrap())
        .collect();
    assert!(said.iter().all(|&(_, attempt)| attempt == "1"), "{said:?}");
    let ids: Vec<&str> = said.iter().map(|&(ids, _)| ids).collect();
    assert_eq!(ids, query(&env, known));
}

#[test]
fn a_run_goes_on_without_its_input() {
    let env = TestEnv::new();
    // The second waits for ever, until its orchestrator is told to stop.
    let script = "echo $1 >> ran; [ $1 = a ] || [ -e go ] || exec sleep 1000";
    let words = [
        "--run-file",
        "r",
        "-j1",
        "--",
        "sh",
        "-c",
        script,
        "sh",
        "{}",
    ];
    let mut child = command(&env, &words);
    let mut child = child.stdin(std::process::Stdio::piped()).spawn().unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), b"a\nb\nc\n").unwrap();
    eventually("b runs", || ran(&env).contains_key("b"));
    eventually("the input was read", || {
        query(&env, "select input_whole from state") == ["1"]
    });
    eventually("the first is recorded", || {
        query(&env, "select count(*) from outcome") == ["1"]
    });
    let status = orchestrator(&env, &["status", "r"]);
    for line in [
        "running (process ",
        "read to its end",
        "jobs      3",
        "no result 2",
    ] {
        assert!(status.stdout().contains(line), "{}", status.stdout());
    }
    interrupt(&child);
    let ended = orchestrator_tests::env::finish(child, Vec::new());
    assert_eq!(ended.code(), 130, "{}", ended.stderr);
    let next = "  next      orchestrator resume r   # go on\n";
    assert!(ended.stderr.contains(next), "{}", ended.stderr);
    env.file("go", "");
    // From anywhere.
    let mut resume = env.command(ORCHESTRATOR);
    resume.args(["resume".as_ref(), env.path().join("r").as_os_str()]);
    resume.current_dir("/");
    let done = env.run(resume, "");
    assert_eq!(done.code(), 0, "{}", done.stderr);
    let times = ran(&env);
    assert_eq!((times["a"], times["b"], times["c"]), (1, 2, 1));
    complete(&env, 3);
    let status = orchestrator(&env, &["status", "r"]);
    assert!(status.stdout().contains("ended 20"), "{}", status.stdout());
    assert!(
        status.stdout().contains("ok        3\n"),
        "{}",
        status.stdout()
    );
}

#[test]
fn a_line_that_is_no_job_is_recorded_as_rejected() {
    let env = TestEnv::new();
    let task = |resume: &[&str], input: &str| {
        let words = ["--worker", WORKER, "--task", "fib", "--max-line", "100"];
        run(
            &env,
            &[&["--run-file", "r"], resume, &words].concat(),
            input,
        )
    };
    let long = "9".repeat(200);
    let first = task(&[], &format!("10\n{{\n{long}\n"));
    assert_eq!(first.code(), 1);
    let rejected = "select seq, error from verdict where verdict = 'rejected' order by seq";
    let errors = query(&env, rejected);
    assert!(
        errors[0].starts_with("2 line 2 of standard input is not valid JSON"),
        "{errors:?}"
    );
    assert!(
        errors[1].starts_with("3 line 3 of standard input is longer"),
        "{errors:?}"
    );
    let again = task(&["--resume"], &format!("10\n{{\n{long}\n11\n"));
    assert_eq!(objects(again.stdout()).len(), 1);
    complete(&env, 4);
}

fn interrupt(child: &std::process::Child) {
    signal(child, nix::sys::signal::Signal::SIGINT);
}

fn signal(child: &std::process::Child, signal: nix::sys::signal::Signal) {
    let pid = nix::unistd::Pid::from_raw(i32::try_from(child.id()).unwrap());
    nix::sys::signal::kill(pid, signal).unwrap();
}

fn exists(env: &TestEnv, name: &str) -> bool {
    Path::exists(&env.path().join(name))
}
