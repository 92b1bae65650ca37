//! `orchestrator run` beside GNU parallel.

use super::Line;

#[test]
fn files_and_variables_of_the_caller_reach_the_jobs() {
    let text = "cat {}; echo $greeting; echo {} >&2; test {} = a";
    let done = Line::new(&["-j4", text])
        .ours(&["run", "-q", "-j4", "-c", text])
        .stdin("a\nb\n")
        .file("a", "alpha\n")
        .file("b", "beta\n")
        .env("greeting", "hello $world")
        .any_order()
        .stderr()
        .same();
    assert_eq!(
        done.stdout.len(),
        "alpha\nbeta\n".len() + 2 * "hello $world\n".len()
    );
}

#[test]
fn ours_does_not_count_failures_in_its_status() {
    let line = Line::new(&["exit"]).ours(&["run", "-q", "-c", "exit {}"]);
    let (ours, theirs) = line.stdin("0\n3\n3\n").only_failed().both();
    assert_eq!(ours.code(), 1);
    if let Some(theirs) = theirs {
        assert_eq!(theirs.code(), 2);
    }
}
