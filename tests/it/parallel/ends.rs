//! `orchestrator parallel`: how it ends.

use super::Line;

#[test]
fn the_status_is_the_number_of_jobs_that_failed() {
    for (jobs, last) in [(1, 1), (3, 3), (100, 100), (102, 101)] {
        let input = "x\n".repeat(jobs) + "\n";
        let done = Line::new(&["-j4", "test -z {}"]).stdin(input).same();
        assert_eq!(done.code(), last);
    }
    assert_eq!(Line::new(&["true"]).stdin("a\nb\n").same().code(), 0);
    assert_eq!(
        Line::new(&["nosuchprogram"]).stdin("a\nb\n").same().code(),
        2
    );
    // In whatever way they fail.
    Line::new(&["kill -{} $$"]).stdin("9\n15\n1\n").same();
    Line::new(&["exit"]).stdin("0\n1\n255\n").same();
}

#[test]
fn a_halt_gives_the_status_of_the_job_that_decided() {
    for (halt, input) in [
        ("now,fail=1", "0\n3\n4\n"),
        ("soon,fail=1", "0\n3\n4\n"),
        ("now,fail=2", "3\n4\n0\n0\n"),
        ("soon,fail=25%", "0\n4\n0\n0\n"),
        ("now,fail=60%", "0\n4\n3\n"),
        ("now,fail=33%", "0\n4\n3\n"),
        ("soon,fail=100%", "0\n4\n0\n0\n"),
        ("soon,fail=100%", "4\n4\n4\n"),
        ("now,success=1", "3\n0\n4\n"),
        ("now,success=1", "3\n4\n"),
        ("soon,success=2", "0\n3\n0\n0\n"),
        ("soon,done=50%", "0\n3\n0\n0\n"),
        ("soon,done=100%", "0\n3\n0\n0\n"),
        ("now,done=1", "3\n0\n"),
        ("now,done=2", "4\n0\n3\n"),
    ] {
        let text = "echo {}; exit {}";
        Line::new(&["-j1", "--halt", halt, text])
            .stdin(input)
            .same();
    }
    let done = Line::new(&["-j1", "--halt-on-error", "now,fail=1", "kill -{} $$"]);
    assert_eq!(done.stdin("9\n1\n").same().code(), 128 + 9);
}

#[test]
fn the_first_failure_decides_and_jobs_that_run_are_waited_for() {
    // The first one waits until the second is dead, and a little for the news of that.
    let text = "echo $$ >{}.pid; if [ -e {}.wait ]; then \
                until [ -s 6.pid ]; do sleep 0.01; done; \
                while kill -0 \"$(cat 6.pid)\" 2>/dev/null; do sleep 0.01; done; \
                sleep 0.3; rm 5.pid 6.pid; fi; exit {}";
    Line::new(&["-j2", "--halt", "soon,fail=1", text])
        .stdin("5\n6\n0\n")
        .file("5.wait", "")
        .same();
}

#[test]
fn jobs_that_a_halt_counts_are_told() {
    for (halt, input) in [
        ("now,fail=1", "0\n3\n4\n"),
        ("now,fail=2", "0\n3\n0\n4\n0\n"),
        ("now,success=2", "3\n0\n0\n4\n"),
        ("now,done=1", "3\n4\n"),
    ] {
        let text = "echo err {} >&2; exit {}";
        let line = Line::new(&["-j1", "--halt", halt, text]);
        line.stdin(input).stderr().same();
    }
}

#[test]
fn a_job_that_is_told_is_called_as_it_was_typed() {
    for command in [
        &["-q", "false"][..],
        &["-q", "sh", "-c", "exit $1", "sh"],
        &["-q", "--retries", "2", "test", "x{}", "=", "{%}"],
        &["echo {%} {#}; false"],
    ] {
        let words = [&["-j1", "--halt", "soon,fail=1"], command].concat();
        Line::new(&words).stdin("3\n4\n").stderr().same();
    }
}

#[test]
fn a_job_that_has_failed_is_tried_again_before_others() {
    let line = Line::new(&["-j1", "--retries", "3", "echo {}; exit {}"]);
    let done = line.stdin("0\n3\n4\n0\n").same();
    assert_eq!(done.stdout(), "0\n3\n4\n0\n");
    let text = "echo {} >> order; exit {}";
    let line = Line::new(&["-j1", "--retries", "2", text]);
    line.stdin("0\n3\n4\n").same();
}

#[test]
fn jobs_that_still_run_after_a_halt_are_counted() {
    // Each ends a good while after the one before.
    let text = "echo > {}.made; until [ -e 3.made ]; do sleep 0.01; done; sleep {}; exit {}";
    for (halt, input) in [
        ("soon,fail=1", "1\n2\n3\n0\n"),
        ("now,fail=1", "1\n2\n3\n0\n"),
    ] {
        let line = Line::new(&["-j3", "--halt", halt, text]);
        let done = line.stdin(input).stderr().same();
        assert_eq!(
            done.stderr.contains("Waiting for 2 jobs"),
            halt == "soon,fail=1"
        );
    }
}

#[test]
fn retries_are_attempts_in_all() {
    for (option, expected) in [("--retries=3", "xxx"), ("--retries=1", "x")] {
        let line = Line::new(&["-j1", option, "printf x >> tries; cat tries > {}; false"]);
        let done = line.stdin("seen\n").same();
        assert_eq!(done.code(), 1, "{expected}");
    }
}

#[test]
fn a_time_limit_ends_a_job_that_counts_as_failed() {
    let done = Line::new(&["--timeout", "2s", "sleep"])
        .stdin("0\n1000\n")
        .same();
    assert_eq!(done.code(), 1);
    let line = Line::new(&["-j1", "--timeout=0.3", "--halt=now,fail=1", "sleep"]);
    assert_eq!(line.stdin("1000\n").same().code(), 255);
    // None at all.
    Line::new(&["--timeout=0", "sleep"]).stdin("0.1\n").same();
}

#[test]
fn nothing_is_printed_but_what_jobs_print() {
    for (text, stdin) in [
        ("echo out {}; echo err {} >&2", "a\nb\n"),
        ("echo {} >&2; exit {}", "0\n3\n"),
        ("echo {}; kill -{} $$", "9\n"),
        ("true", ""),
    ] {
        Line::new(&["-k", text]).stdin(stdin).stderr().same();
    }
    Line::new(&[
        "-j1",
        "--retries=2",
        "echo {} >&2; test -e tried || { touch tried; false; }",
    ])
    .stdin("x\n")
    .same();
}

#[test]
fn jobs_that_still_run_after_a_hangup_are_told() {
    let text = "sleep 0.3; kill -HUP $PARALLEL_PID; sleep 1.5; echo";
    let line = Line::new(&["-j1", text]).stdin("a\nb\n");
    let (ours, theirs) = line.both();
    assert_eq!((ours.code(), ours.stdout()), (128 + 1, "a\n"));
    assert!(
        ours.stderr.contains("Waiting for these 1 jobs"),
        "{}",
        ours.stderr
    );
    if let Some(theirs) = theirs {
        assert_eq!(ours.stderr, theirs.stderr);
        assert_eq!(ours.stdout(), theirs.stdout());
    }
}
