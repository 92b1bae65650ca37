//! Run files that cannot be used: one line says why, and nothing is changed.

use std::fs::Permissions;
use std::os::unix::fs::{PermissionsExt, symlink};

use super::*;

fn refused(done: &Done, says: &str) {
    assert_eq!(done.code(), 125, "{}", done.stderr);
    assert!(
        done.stderr.starts_with("error: run file r: "),
        "{}",
        done.stderr
    );
    assert!(done.stderr.contains(says), "{}", done.stderr);
    assert_eq!(done.stdout(), "");
}

#[test]
fn a_second_run_does_not_begin_in_the_file_of_another() {
    let env = TestEnv::new();
    recorded(&env, &[], "a\n");
    let second = recorded(&env, &[], "a\n");
    refused(&second, "it exists already");
    assert!(second.stderr.contains("--resume"));
    assert_eq!(ran(&env)["a"], 1);
}

#[test]
fn a_run_that_is_not_there_is_begun_with_resume_and_refused_without_input() {
    let env = TestEnv::new();
    for command in ["resume", "retry", "results", "status"] {
        refused(
            &orchestrator(&env, &[command, "r"]),
            "there is no such file",
        );
    }
    assert!(!exists(&env, "r") && !exists(&env, "r-lock"));
    let done = recorded(&env, &["--resume"], "a\n");
    assert_eq!((done.code(), done.stdout()), (0, "out a\n"));
    assert!(!done.stderr.contains("resumed"), "{}", done.stderr);
}

#[test]
fn f115_another_command_is_refused_with_both_texts_unless_forced() {
    let env = TestEnv::new();
    let with = |word: &str, options: &[&str]| {
        let all = [&["--run-file", "r"], options, &["--", "echo", word, "{}"]].concat();
        run(&env, &all, "a\n")
    };
    with("one", &[]);
    let other = with("two", &["--resume"]);
    refused(&other, "it is of another run\n");
    let place = env.path().display();
    for text in [
        format!("recorded: -- echo one {{}} in {place}\n"),
        format!("now:      -- echo two {{}} in {place}\n"),
    ] {
        assert!(other.stderr.contains(&text), "{}", other.stderr);
    }
    let forced = with("two", &["--resume", "--force"]);
    assert_eq!((forced.code(), forced.stdout()), (0, "two a\n"));
    complete(&env, 2);
    // The new command is not run for jobs of the old one.
    let fails = |word: &str, options: &[&str]| {
        let script = format!("echo {word} $1; false");
        let all = [
            &["--run-file", "r"],
            options,
            &["--", "sh", "-c", &script, "sh", "{}"],
        ];
        run(&env, &all.concat(), "b\n")
    };
    fails("old", &["--resume", "--force"]);
    fails("new", &["--resume", "--force"]);
    let again = orchestrator(&env, &["retry", "--failed", "r"]);
    assert_eq!(again.stdout(), "new b\n");
    let shown = orchestrator(&env, &["results", "--failed", "r"]);
    assert_eq!(shown.stdout(), "new b\n");
}

#[test]
fn f116_two_runs_cannot_write_to_one_file() {
    let env = TestEnv::new();
    let words = [
        "--run-file",
        "r",
        "--",
        "sh",
        "-c",
        "echo >> ran; until [ -e go ]; do sleep 0.01; done",
    ];
    let mut first = command(&env, &words);
    let mut first = first.stdin(std::process::Stdio::piped()).spawn().unwrap();
    std::io::Write::write_all(&mut first.stdin.take().unwrap(), b"a\n").unwrap();
    eventually("it runs", || exists(&env, "ran"));
    let holder = format!("another run writes to it (process {})\n", first.id());
    refused(&recorded(&env, &["--resume"], "a\n"), &holder);
    refused(&orchestrator(&env, &["retry", "r"]), &holder);
    env.file("go", "");
    assert_eq!(orchestrator_tests::env::finish(first, Vec::new()).code(), 0);
}

#[test]
fn f118_what_is_no_file_of_ours_is_refused() {
    let env = TestEnv::new();
    let theirs = env.file("theirs", "");
    symlink(&theirs, env.path().join("r")).unwrap();
    refused(
        &recorded(&env, &[], "a\n"),
        "it is a symbolic link, not a regular file",
    );
    assert_eq!(std::fs::metadata(&theirs).unwrap().len(), 0);
    std::fs::remove_file(env.path().join("r")).unwrap();
    std::fs::create_dir(env.path().join("r")).unwrap();
    refused(&recorded(&env, &[], "a\n"), "it is a directory");
    assert!(!exists(&env, "ran"));
}

#[test]
fn f118_a_directory_that_cannot_be_written_to_is_an_error_before_anything_runs() {
    let env = TestEnv::new();
    let mut command = command(&env, &["--run-file", "/proc/r", "--", "touch", "ran"]);
    command.stdin(std::process::Stdio::null());
    let done = env.run(command, "a\n");
    assert_eq!(done.code(), 125);
    assert!(
        done.stderr.starts_with("error: run file /proc/r: "),
        "{}",
        done.stderr
    );
    assert!(!exists(&env, "ran"));
}

#[test]
fn f109_what_is_no_run_file_is_refused_and_stays_as_it_is() {
    let env = TestEnv::new();
    let text = "this is a text of mine\n".repeat(100);
    env.file("r", &text);
    refused(
        &recorded(&env, &["--resume"], "a\n"),
        "it is not a run file",
    );
    refused(
        &orchestrator(&env, &["status", "r"]),
        "it is not a run file",
    );
    assert_eq!(std::fs::read_to_string(env.path().join("r")).unwrap(), text);
    assert!(!exists(&env, "ran"));
}

#[test]
fn an_input_that_was_not_read_to_its_end_is_asked_for() {
    let env = TestEnv::new();
    let words = ["--run-file", "r", "-j1", "--", "sh", "-c", "echo >> ran"];
    let mut child = command(&env, &words);
    let mut child = child.stdin(std::process::Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    std::io::Write::write_all(&mut stdin, b"a\n").unwrap();
    eventually("it runs", || exists(&env, "ran"));
    interrupt(&child);
    orchestrator_tests::env::finish(child, Vec::new());
    drop(stdin);
    let resumed = orchestrator(&env, &["resume", "r"]);
    refused(&resumed, "its input was not read to the end");
    assert!(
        resumed.stderr.contains("--run-file r --resume"),
        "{}",
        resumed.stderr
    );
}

#[test]
fn f129_a_run_file_is_private_whatever_the_umask() {
    let env = TestEnv::new();
    let mut command = env.command("sh");
    let script = "umask 000; exec \"$0\" run --run-file r -- seq {} 100000 < lines";
    env.file("lines", "1\n".repeat(20_000));
    command.args(["-c", script, ORCHESTRATOR]);
    std::fs::set_permissions(env.path(), Permissions::from_mode(0o777)).unwrap();
    let child = command.stdin(std::process::Stdio::null());
    let mut child = child.stdout(std::process::Stdio::null()).spawn().unwrap();
    // While it runs there are more files.
    eventually("large results", || {
        exists(&env, "r.files") && exists(&env, "r-wal")
    });
    for name in ["r", "r-wal", "r-shm", "r-lock"] {
        let mode = std::fs::metadata(env.path().join(name))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o7777, 0o600, "{name}");
    }
    let mode = std::fs::metadata(env.path().join("r.files"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o7777, 0o700);
    signal(&child, nix::sys::signal::Signal::SIGTERM);
    child.wait().unwrap();
}

#[test]
fn a_file_of_somebody_elses_beside_it_is_not_touched() {
    let env = TestEnv::new();
    env.file("r-lock", "precious\n");
    let done = recorded(&env, &[], "a\n");
    assert_eq!(done.code(), 125, "{}", done.stderr);
    assert!(
        done.stderr.contains("r-lock, which is no lock of ours\n"),
        "{}",
        done.stderr
    );
    let kept = std::fs::read_to_string(env.path().join("r-lock")).unwrap();
    assert_eq!(kept, "precious\n");
    // Nor is anything made beside a file that is refused.
    std::fs::remove_file(env.path().join("r-lock")).unwrap();
    env.file("r", "a text\n");
    refused(&recorded(&env, &[], "a\n"), "it is not a run file");
    assert!(!exists(&env, "r-lock") && !exists(&env, "ran"));
}

#[test]
fn large_results_do_not_go_through_a_link() {
    let env = TestEnv::new();
    std::fs::create_dir(env.path().join("theirs")).unwrap();
    symlink(env.path().join("theirs"), env.path().join("r.files")).unwrap();
    let done = run(&env, &["--run-file", "r", "--", "seq", "{}"], "100000\n");
    refused(&done, "r.files is no directory of ours");
    assert_eq!(
        std::fs::read_dir(env.path().join("theirs"))
            .unwrap()
            .count(),
        0
    );
}

#[test]
fn a_directory_that_is_a_link_holds_a_run_file_as_any_other() {
    let env = TestEnv::new();
    std::fs::create_dir(env.path().join("there")).unwrap();
    symlink("there", env.path().join("link")).unwrap();
    let done = run(&env, &["--run-file", "link/run", "--", "echo", "{}"], "a\n");
    assert_eq!(done.code(), 0, "{}", done.stderr);
    assert!(exists(&env, "there/run"));
}
