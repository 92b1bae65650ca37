//! `orchestrator parallel`: how many jobs run, where, and with what around them.

use super::Line;

#[test]
fn numbers_of_jobs_have_all_their_forms() {
    for number in ["1", "0", "100%", "50%", "+1", "-1", "200%"] {
        Line::new(&["-k", "-j", number, "echo"])
            .stdin("a\nb\nc\n")
            .same();
    }
    Line::new(&["-k", "-j", "jobs.txt", "echo"])
        .stdin("a\nb\n")
        .file("jobs.txt", "3\n")
        .same();
}

#[test]
fn jobs_run_where_and_how_they_are_told() {
    for words in [
        &["--nice", "7", "nice; echo"][..],
        &["--wd", "sub", "pwd | sed 's,.*/,,'; echo > made.{}"],
        &["--workdir", "sub", "cat in; echo"],
        &["--wd", "d/{}", "pwd | sed 's,.*/d/,,'; echo > made.{}"],
        &["--wd", "x{#}{.}", "pwd | sed 's,.*/,,'; echo"],
        &["--env", "greeting", "echo $greeting"],
        &["--delay", "0.05", "echo"],
        &["-j1", "--process-slot-var", "SLOT", "echo $SLOT"],
        &[
            "-j1",
            "echo $PARALLEL_SEQ $PARALLEL_JOBSLOT; test $PARALLEL_PID -gt 1 &&",
        ],
        &["-j1", "--load", "10000", "echo"],
        &["--memfree", "1k", "echo"],
        &["--termseq", "INT,100,KILL,25", "echo"],
    ] {
        let words = [&["-k"], words].concat();
        Line::new(&words)
            .stdin("a\nb\n")
            .file("sub/in", "inside\n")
            .env("greeting", "hello")
            .same();
    }
}
