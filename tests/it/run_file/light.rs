//! Runs without a run file: what is remembered of them.

use std::fs::{self, Permissions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use super::*;

/// Writes its argument down, and fails for those that begin with `bad` until there is
/// a file `mended`.
const JOB: [&str; 5] = [
    "sh",
    "-c",
    "echo \"$1\" >> ran; echo \"out $1\"; \
     case $1 in bad*) echo \"no $1\" >&2; test -e mended;; esac",
    "sh",
    "{}",
];

fn plain(env: &TestEnv, options: &[&str], stdin: &str) -> Done {
    run(env, &[options, &["--"], &JOB].concat(), stdin)
}

/// All that is in the directory of records.
fn records(env: &TestEnv) -> Vec<PathBuf> {
    let Ok(found) = fs::read_dir(env.state().join("orchestrator/runs")) else {
        return Vec::new();
    };
    let mut all: Vec<_> = found.map(|entry| entry.unwrap().path()).collect();
    all.retain(|path| path.extension().is_some_and(|end| end == "db"));
    all.sort_unstable();
    all
}

#[test]
fn what_failed_in_a_run_that_nobody_prepared_is_told_and_run_again() {
    let env = TestEnv::new();
    let first = plain(&env, &[], "a\nbad 1\nb\n\nbad 2\nbad\\x\n");
    assert_eq!(first.code(), 1);
    assert!(
        first
            .stderr
            .contains("orchestrator retry last    # run those again\n"),
        "{}",
        first.stderr
    );

    let report = orchestrator(&env, &["report", "last"]);
    assert_eq!(report.code(), 0, "{}", report.stderr);
    let said = report.stdout();
    for line in [
        "\njobs      6\nok        3\nfailed    3\n",
        "\n3 jobs did not succeed:\n",
        "\n    | no bad 2\n",
        "retry last\n",
    ] {
        assert!(said.contains(line), "{line}: {said}");
    }
    assert_eq!(said.matches("line 5: command failed").count(), 1, "{said}");

    // Still broken, then mended, then nothing is left.
    let again = orchestrator(&env, &["retry", "last"]);
    assert_eq!(again.code(), 1);
    assert_eq!(
        sorted(again.stdout()),
        ["out bad 1", "out bad 2", "out bad\\x"]
    );
    env.file("mended", "");
    let mended = orchestrator(&env, &["retry", "last"]);
    assert_eq!(mended.code(), 0, "{}", mended.stderr);
    assert_eq!(
        sorted(mended.stdout()),
        ["out bad 1", "out bad 2", "out bad\\x"]
    );
    let nothing = orchestrator(&env, &["retry", "last"]);
    assert_eq!((nothing.code(), nothing.stdout()), (0, ""));
    assert!(nothing.stderr.contains("nothing was left to do"));
    let counts = ran(&env);
    assert_eq!((counts["a"], counts["b"], counts["bad 1"]), (1, 1, 3));
    let status = orchestrator(&env, &["status", "last"]);
    assert!(status.stdout().contains("\njobs      6\nok        6\n"));
}

#[test]
fn a_run_in_which_all_is_well_is_remembered_as_well() {
    let env = TestEnv::new();
    let done = plain(&env, &[], "a\nb\n");
    assert!(!done.stderr.contains("retry"), "{}", done.stderr);
    let report = orchestrator(&env, &["report", "last"]);
    assert!(report.stdout().ends_with("\njobs      2\nok        2\n"));
    // An empty one would only hide it.
    plain(&env, &[], "");
    assert_eq!(records(&env).len(), 1);
}

#[test]
fn who_does_not_want_to_be_remembered_is_not() {
    let env = TestEnv::new();
    assert!(
        !plain(&env, &["--no-record"], "bad\n")
            .stderr
            .contains("retry")
    );
    let mut command = command(&env, &[&["--"][..], &JOB].concat());
    command.env("ORCHESTRATOR_NO_RECORD", "1");
    assert!(!env.run(command, "bad\n").stderr.contains("retry"));
    assert!(!env.state().exists());
    for command in ["retry", "report", "status", "results", "resume"] {
        let none = orchestrator(&env, &[command, "last"]);
        assert_eq!(none.code(), 125);
        assert!(
            none.stderr.starts_with("error: no run is recorded in "),
            "{}",
            none.stderr
        );
    }
    // What cannot be read may well be there.
    fs::create_dir_all(env.state().parent().unwrap()).unwrap();
    fs::write(env.state(), "").unwrap();
    let none = orchestrator(&env, &["retry", "last"]);
    assert_eq!(none.code(), 125);
    assert!(
        none.stderr.starts_with("error: the records of runs in ")
            && none.stderr.contains(" cannot be read: not a directory\n"),
        "{}",
        none.stderr
    );
}

#[test]
fn what_a_stopped_run_has_not_done_is_run_and_the_rest_is_said_to_be_missing() {
    let env = TestEnv::new();
    let input: String = (0..500).map(|n| format!("bad {n}\n")).collect();
    let stopped = plain(&env, &["-j2", "--halt", "now,fail=3"], &input);
    assert_eq!(stopped.code(), 1);
    assert!(
        stopped
            .stderr
            .contains("retry last    # run what has failed or was not done\n"),
        "{}",
        stopped.stderr
    );
    env.file("mended", "");
    let status = orchestrator(&env, &["status", "last"]);
    let jobs = status
        .stdout()
        .lines()
        .find_map(|line| line.strip_prefix("jobs      "));
    let jobs: usize = jobs.expect("jobs").parse().expect("a number");
    assert!(
        status.stdout().contains("\ninterrupted "),
        "{}",
        status.stdout()
    );
    let again = orchestrator(&env, &["retry", "last", "-j2"]);
    if jobs < 500 {
        let warning =
            format!("what came after its first {jobs} jobs, if anything, is not recorded");
        assert!(again.stderr.contains(&warning), "{}", again.stderr);
    }
    // The halt is part of how it was called; nothing fails now.
    assert_eq!(again.code(), 0, "{}", again.stderr);
    assert_eq!(again.stdout().lines().count(), jobs);
    // A record keeps what became of each job last, and no more.
    let file = Connection::open(&records(&env)[0]).unwrap();
    let past = file.query_row("select count(*) from attempt", [], |row| row.get(0));
    assert_eq!(past, Ok(0_i64));
}

#[test]
fn f129_records_are_private_whatever_the_umask() {
    let env = TestEnv::new();
    env.file("lines", "bad\n");
    let script = "umask 000; exec \"$0\" run -- false {} < lines";
    let mut shell = env.command("sh");
    shell.args(["-c", script, ORCHESTRATOR]);
    assert_eq!(env.run(shell, "").code(), 1);
    let [record] = &records(&env)[..] else {
        panic!("{:?}", records(&env))
    };
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(record), 0o600);
    assert_eq!(mode(record.parent().unwrap()), 0o700);
}

#[test]
fn the_last_twenty_runs_are_kept() {
    let env = TestEnv::new();
    for n in 0..23 {
        let done = run(&env, &["-q", "--", "false", "{}"], format!("{n}\n"));
        assert_eq!(done.code(), 1);
    }
    assert_eq!(records(&env).len(), 20);
    let last = orchestrator(&env, &["results", "last", "--format", "jsonl"]);
    assert_eq!(objects(last.stdout())[0]["argv"][1], "22");
}

#[test]
fn a_run_that_cannot_be_remembered_is_no_worse_for_it() {
    let env = TestEnv::new();
    env.file(".state", "not a directory");
    let done = plain(&env, &[], "a\nbad\n");
    assert_eq!(
        (done.code(), sorted(done.stdout())),
        (1, vec!["out a", "out bad"])
    );
    assert!(!done.stderr.contains("retry last"), "{}", done.stderr);
    assert!(!done.stderr.contains("warning"), "{}", done.stderr);
    fs::remove_file(env.state()).unwrap();
    fs::create_dir(env.state()).unwrap();
    // Of no effect for root, who is who runs this in a container.
    fs::set_permissions(env.state(), Permissions::from_mode(0o500)).unwrap();
    assert_eq!(plain(&env, &[], "a\nbad\n").code(), 1);
}

#[test]
fn a_run_with_a_run_file_is_the_last_one_too() {
    let env = TestEnv::new();
    plain(&env, &[], "bad\n");
    recorded(&env, &[], "bad\nc\n");
    let results = orchestrator(&env, &["results", "last", "--failed"]);
    assert_eq!(results.stdout(), "out bad\n");
    let status = orchestrator(&env, &["status", "last"]);
    let of_file = orchestrator(&env, &["status", "r"]);
    assert_eq!(status.stdout(), of_file.stdout());
    fs::remove_file(env.path().join("r")).unwrap();
    let gone = orchestrator(&env, &["status", "last"]);
    assert_eq!(gone.code(), 125);
    assert!(
        gone.stderr.contains("there is no such file"),
        "{}",
        gone.stderr
    );
}

#[test]
fn jobs_of_a_task_and_lines_that_are_none_are_remembered() {
    let env = TestEnv::new();
    let all = ["--worker", WORKER, "--task", "fib", "--input", "jsonl"];
    let input = "{\"id\": \"x\", \"args\": 4}\n{\"id\": 7, \"args\": \"many\"}\nno object\n";
    let first = run(&env, &all, input);
    assert_eq!(first.code(), 1, "{}", first.stderr);
    let again = orchestrator(&env, &["retry", "last"]);
    assert_eq!(again.code(), 1, "{}", again.stderr);
    let mut entries = objects(again.stdout());
    entries.sort_by_key(|entry| entry["seq"].as_u64());
    assert_eq!(entries.len(), 2, "{entries:?}");
    assert_eq!(
        (entries[0]["id"].as_u64(), entries[0]["seq"].as_u64()),
        (Some(7), Some(2))
    );
    assert_eq!(entries[1]["seq"], 3);
}

#[test]
fn a_retry_keeps_the_order_of_the_input() {
    let env = TestEnv::new();
    // They fail from the last to the first, whatever the workers' speed.
    let script = "test -e mended || while test -e \"$(($1 + 1))\"; do :; done; \
                  test -e mended || rm \"$1\"; echo \"$1\"; test -e mended";
    for n in 1..=4 {
        env.file(&n.to_string(), "");
    }
    let options = ["-j4", "-k", "--", "sh", "-c", script, "sh", "{}"];
    assert_eq!(run(&env, &options, "1\n2\n3\n4\n").code(), 1);
    env.file("mended", "");
    let again = orchestrator(&env, &["retry", "last"]);
    assert_eq!(again.stdout(), "1\n2\n3\n4\n", "{}", again.stderr);
}

#[test]
fn last_is_named_before_it_is_run_and_the_hint_names_the_run_that_it_means() {
    let env = TestEnv::new();
    // The outer run begins before the inner one, and ends after it.
    let remembered = "ORCHESTRATOR_NO_RECORD=0";
    let inner = format!("{remembered} {ORCHESTRATOR} run -q -- false inner; false");
    let script = env.file("outer", format!("#!/bin/sh\necho 1 | {inner}\n"));
    fs::set_permissions(&script, Permissions::from_mode(0o700)).unwrap();
    let outer = run(&env, &["--", "./outer", "{}"], "x\n");
    let mut lines = outer.stderr.lines().map(str::trim);
    let named = lines.find_map(|line| line.strip_prefix("orchestrator retry "));
    let named = named.and_then(|rest| rest.split_whitespace().next());
    let named = named.unwrap_or_else(|| panic!("{}", outer.stderr));
    assert!(named.starts_with('/'), "{named}");
    let status = orchestrator(&env, &["status", named]);
    assert!(
        status.stdout().contains("does      -- ./outer {} in /"),
        "{}",
        status.stdout()
    );
    let last = orchestrator(&env, &["retry", "last"]);
    assert!(last.stderr.starts_with("last run, of "), "{}", last.stderr);
    assert!(
        last.stderr.contains(": -- false inner in /"),
        "{}",
        last.stderr
    );
}

#[test]
fn what_succeeded_is_not_shown_as_if_it_had_given_nothing() {
    let env = TestEnv::new();
    plain(&env, &[], "a\nbad 1\nbad 2\n");
    let results = orchestrator(&env, &["results", "last", "--format", "jsonl"]);
    assert_eq!(results.stdout().lines().count(), 2);
    assert!(
        results
            .stderr
            .starts_with("note: of this run, only jobs that did not succeed")
    );
    env.file("mended", "");
    assert_eq!(orchestrator(&env, &["retry", "last"]).code(), 0);
    let results = orchestrator(&env, &["results", "last"]);
    assert_eq!((results.code(), results.stdout()), (0, ""));
}

#[test]
fn a_light_record_is_no_run_file_to_resume_from() {
    let env = TestEnv::new();
    plain(&env, &[], "a\nbad\n");
    let [record] = &records(&env)[..] else {
        panic!("{:?}", records(&env))
    };
    let record = record.to_str().unwrap();
    let all = [&["--run-file", record, "--resume", "--"][..], &JOB].concat();
    let resumed = run(&env, &all, "a\nbad\n");
    assert_eq!(resumed.code(), 125);
    let says = "it is a light record, which holds only jobs that did not succeed\n";
    assert!(resumed.stderr.contains(says), "{}", resumed.stderr);
    assert_eq!((ran(&env)["a"], ran(&env)["bad"]), (1, 1));
}

#[test]
fn of_a_killed_run_it_is_said_that_its_record_is_half() {
    let env = TestEnv::new();
    let mut command = command(&env, &[&["-j1", "--"][..], &JOB].concat());
    let mut child = command.stdin(std::process::Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(b"a\nbad 1\n").unwrap();
    eventually("a record", || {
        let said = orchestrator(&env, &["status", "last"]);
        said.stdout().contains("failed    1\n")
    });
    child.kill().unwrap();
    child.wait().unwrap();
    drop(stdin);
    let status = orchestrator(&env, &["status", "last"]);
    assert!(
        status.stdout().contains("\nrecorded  1\n"),
        "{}",
        status.stdout()
    );
    let again = orchestrator(&env, &["retry", "last"]);
    assert!(
        again.stderr.contains("warning: that run was killed, "),
        "{}",
        again.stderr
    );
    assert_eq!((again.code(), again.stdout()), (1, "out bad 1\n"));
}

#[test]
fn a_limit_of_file_sizes_ends_the_record_and_not_the_run() {
    let env = TestEnv::new();
    let lines: String = (0..2000).map(|n| format!("{n}\n")).collect();
    env.file("lines", lines);
    let mut shell = env.command("sh");
    let script = "ulimit -f 512; exec \"$0\" run -- ls {} < lines";
    shell.args(["-c", script, ORCHESTRATOR]);
    let done = env.run(shell, "");
    assert_eq!(done.code(), 1);
    assert!(
        done.stderr.contains("0 of 2,000 jobs succeeded"),
        "{}",
        done.stderr.len()
    );
    assert!(!done.stderr.contains("retry last"));
}

/// A story: the report named the command, and after `--tag` it was refused.
#[test]
fn what_failed_is_shown_as_objects_however_the_run_has_printed_it() {
    for options in [
        &["--tag"][..],
        &["--tagstring", "x"],
        &["--line-buffer", "-k"],
        &["-u"],
        &["-v", "-t"],
        &["--files"],
        &["--results", "kept"],
        &["--results", "kept.csv"],
    ] {
        let env = TestEnv::new();
        assert_eq!(plain(&env, options, "bad\na\n").code(), 1);
        let report = orchestrator(&env, &["report", "last"]);
        let named = "orchestrator results last --failed --format jsonl\n";
        assert!(report.stdout().contains(named), "{}", report.stdout());
        let words = ["results", "last", "--failed", "--format", "jsonl"];
        let shown = orchestrator(&env, &words);
        assert_eq!(shown.code(), 0, "{options:?}: {}", shown.stderr);
        let [object] = &objects(shown.stdout())[..] else {
            panic!("{}", shown.stdout())
        };
        assert_eq!(object["stderr"], "no bad\n");
    }
}

/// A story: `last` was one of a thousand small runs that the jobs of the real one had started.
#[test]
fn a_run_inside_a_job_is_not_the_last_one() {
    let env = TestEnv::new();
    let inner = "\"$0\" run -- false ::: x; exit 3";
    let done = run(
        &env,
        &["--", "sh", "-c", inner, ORCHESTRATOR, "{}"],
        "outer\n",
    );
    assert_eq!(done.code(), 1, "{}", done.stderr);
    assert_eq!(records(&env).len(), 1, "{}", done.stderr);
    let last = orchestrator(&env, &["report", "last"]);
    assert!(
        last.stdout()
            .contains("line 1: command failed with status 3"),
        "{}",
        last.stdout()
    );
    // Who wants it all the same says so.
    let inner = "ORCHESTRATOR_NO_RECORD=0 \"$0\" run -- false ::: x";
    run(
        &env,
        &["--", "sh", "-c", inner, ORCHESTRATOR, "{}"],
        "outer\n",
    );
    assert_eq!(records(&env).len(), 3);
}

#[test]
fn without_a_place_there_is_no_record() {
    let env = TestEnv::new();
    let mut shell = env.command("sh");
    let script = "mkdir gone; cd gone; rmdir ../gone; echo x | \"$0\" run -- false {}";
    shell.args(["-c", script, ORCHESTRATOR]);
    let done = env.run(shell, "");
    assert_eq!(done.code(), 1, "{}", done.stderr);
    assert!(!done.stderr.contains("retry"), "{}", done.stderr);
    assert!(records(&env).is_empty());
}

/// A story: a second `retry`, with the directory back in its place, warned that the run was killed.
#[test]
fn a_retry_whose_directory_is_gone_leaves_the_record_as_it_was() {
    let env = TestEnv::new();
    let (work, away) = (env.path().join("work"), env.path().join("away"));
    fs::create_dir(&work).unwrap();
    let mut first = command(&env, &["--", "false"]);
    first.current_dir(&work);
    assert_eq!(env.run(first, "x\n").code(), 1);
    fs::rename(&work, &away).unwrap();
    let gone = orchestrator(&env, &["retry", "last"]);
    assert_eq!(gone.code(), 125);
    let said = ", where the run began, cannot be entered: no such file or directory\n";
    assert!(gone.stderr.contains(said), "{}", gone.stderr);
    fs::rename(&away, &work).unwrap();
    let again = orchestrator(&env, &["retry", "last"]);
    assert_eq!(again.code(), 1);
    assert!(!again.stderr.contains("killed"), "{}", again.stderr);
}

#[test]
fn a_run_whose_output_fails_remembers_every_job() {
    let env = TestEnv::new();
    let lines: String = (1..=2000).map(|n| format!("\"x{n}\"\n")).collect();
    let all = [
        "--worker",
        WORKER,
        "--task",
        "fib",
        "--failed-to",
        "/dev/full",
    ];
    let done = run(&env, &all, lines);
    assert_eq!(done.code(), 125, "{}", done.stderr);
    let [record] = &records(&env)[..] else {
        panic!("{:?}", records(&env))
    };
    let file = Connection::open(record).unwrap();
    let query = "select count(*), max(seq), (select total(jobs) from unrecorded) from job";
    let (jobs, last, more): (i64, i64, f64) = file
        .query_row(query, [], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
        .unwrap();
    // From the first to the last that was taken.
    assert_eq!((jobs, more), (last, 0.0));
    let again = orchestrator(&env, &["status", "last"]);
    let says = ": lines of failed jobs could not be written\n";
    assert!(again.stdout().contains(says), "{}", again.stdout());
}
