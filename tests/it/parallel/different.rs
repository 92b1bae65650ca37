//! `orchestrator parallel`: where it deliberately does something else than GNU
//! parallel, which is where that does harm. Names begin with the number of the defect
//! where it has one.

use std::fs::File;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use orchestrator_tests::env::finish;
use orchestrator_tests::{TestEnv, eventually};

use super::super::run::{ORCHESTRATOR, spawn};
use super::Line;

#[test]
fn defect_1_output_that_cannot_be_written_is_a_failure() {
    let env = TestEnv::new();
    let mut command = env.command(ORCHESTRATOR);
    command.args(["parallel", "echo"]);
    command.stdout(File::options().write(true).open("/dev/full").unwrap());
    let done = env.run(command, "1\n2\n3\n");
    // Not a number of jobs.
    assert_eq!(done.code(), 125);
    assert!(
        done.stderr
            .contains("results could not be written: no space left"),
        "{}",
        done.stderr
    );
}

#[test]
fn defect_4_a_line_in_quotes_is_data_and_no_program() {
    for text in [
        "echo \"{}\"",
        "echo '{}'",
        "echo {}",
        "echo \"$(echo {})\"",
        "x='{}'; echo \"$x\"",
    ] {
        let line = Line::new(&["-k", text]).stdin("a$HOME`touch canary`'\"\\x; touch canary\n");
        let ours = line.alone();
        assert_eq!((ours.code(), ours.stderr.as_str()), (0, ""), "{text}");
        assert_eq!(
            ours.stdout(),
            "a$HOME`touch canary`'\"\\x; touch canary\n",
            "{text}"
        );
    }
}

#[test]
fn a_line_is_a_command_only_when_it_is_all_of_it() {
    // There, a line in the first word is program text.
    let (ours, theirs) = Line::new(&["{} x"]).stdin("echo 1\n").both();
    assert_eq!((ours.code(), ours.stdout()), (1, ""));
    if let Some(theirs) = theirs {
        assert_eq!(theirs.stdout(), "1 x\n");
    }
    Line::new(&["{} x"]).stdin("echo\n").same();
}

#[test]
fn a_line_feed_in_a_word_behind_the_command_belongs_to_the_item() {
    // There, it divides the word.
    let (ours, theirs) = Line::new(&["-k", "echo [{}]", ":::", "a\nb", "c"]).both();
    assert_eq!((ours.code(), ours.stdout()), (0, "[a\nb]\n[c]\n"));
    if let Some(theirs) = theirs {
        assert_eq!(theirs.stdout(), "[a]\n[b]\n[c]\n");
    }
}

#[test]
fn defect_5_a_halt_after_jobs_that_succeeded_is_a_success() {
    let line = Line::new(&["-j1", "--halt", "now,done=2", "echo"]).stdin("a\nb\nc\n");
    let ours = line.alone();
    assert_eq!((ours.code(), ours.stdout()), (0, "a\nb\n"));
}

#[test]
fn defect_9_a_number_of_jobs_that_is_none_is_refused() {
    for number in ["abc", "1.5", "", "4k", "=2", "--", "5%%"] {
        let ours = Line::new(&["-j", number, "echo"]).stdin("a\n").alone();
        assert_eq!((ours.code(), ours.stdout()), (2, ""), "-j {number}");
        assert_eq!(
            ours.stderr.lines().next().map(|l| l.starts_with("error: ")),
            Some(true)
        );
    }
}

#[test]
fn nobody_is_asked_for_a_citation_and_nothing_is_made() {
    let env = TestEnv::new();
    let home = env.path().join("home");
    std::fs::create_dir(&home).unwrap();
    let mut command = env.command(ORCHESTRATOR);
    command.args(["parallel", "echo"]).env("HOME", &home);
    command.env_remove("XDG_STATE_HOME");
    let done = env.run(command, "a\n");
    assert_eq!(
        (done.code(), done.stdout(), done.stderr.as_str()),
        (0, "a\n", "")
    );
    assert_eq!(std::fs::read_dir(&home).unwrap().count(), 0);
    assert_eq!(std::fs::read_dir(env.path()).unwrap().count(), 1);
}

#[test]
fn a_signal_is_what_it_ends_of() {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let env = TestEnv::new();
        let mut command = env.command(ORCHESTRATOR);
        command.args([
            "parallel",
            "-j2",
            "exec 8>\"$ORCHESTRATOR_TEST_LIFE\"; touch {}.runs; sleep {}",
        ]);
        let mut child = spawn(command);
        use std::io::Write;
        child
            .stdin
            .take()
            .unwrap()
            .write_all(b"1000\n1001\n")
            .unwrap();
        eventually("both run", || {
            ["1000.runs", "1001.runs"]
                .iter()
                .all(|name| env.path().join(name).exists())
        });
        kill(Pid::from_raw(child.id() as i32), signal).unwrap();
        let done = finish(child, Vec::new());
        assert_eq!(done.code(), 128 + signal as i32);
        assert_eq!(done.stdout(), "");
        env.no_process_left();
    }
}

#[test]
fn retries_without_a_number_end_with_a_success() {
    // There it is never over.
    let env = TestEnv::new();
    let mut command = env.command(ORCHESTRATOR);
    let text = "printf x >> tries; test $(cat tries) = xxx && echo {}";
    command.args(["parallel", "--retries=0", text]);
    let done = env.run(command, "a\n");
    assert_eq!((done.code(), done.stdout()), (0, "a\n"));
    assert_eq!(std::fs::read(env.path().join("tries")).unwrap(), b"xxx");
}
