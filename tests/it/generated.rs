//! Completions and manual pages, as the shells and `man` take them.

use std::io::Write as _;

use orchestrator_tests::{Done, TestEnv};

use crate::run::ORCHESTRATOR;

fn program(env: &TestEnv, words: &[&str]) -> Done {
    let mut command = env.command(ORCHESTRATOR);
    command.args(words);
    env.run(command, "")
}

/// Has a program read this, if it is there.
fn read_by(env: &TestEnv, words: &[&str], input: &str) -> Option<Done> {
    let mut look = env.command("/bin/sh");
    look.args(["-c", "command -v \"$1\"", "sh", words[0]]);
    if env.run(look, "").code() != 0 {
        let line = format!("NOT TESTED with {}, which is not there\n", words[0]);
        std::io::stderr().write_all(line.as_bytes()).ok();
        return None;
    }
    let mut command = env.command("/usr/bin/env");
    command.args(words);
    Some(env.run(command, input))
}

#[test]
fn bash_completes_commands_and_options() {
    let env = TestEnv::new();
    let script = program(&env, &["completions", "bash"]);
    assert_eq!((script.code(), script.stderr.as_str()), (0, ""));
    env.file("script", script.stdout());
    let ask = "source ./script\n\
               complete -p orchestrator >&2 || exit 3\n\
               COMP_WORDS=(orchestrator \"$@\") COMP_CWORD=$#\n\
               _orchestrator orchestrator \"${@: -1}\" \"${@: -2:1}\"\n\
               printf '%s\\n' \"${COMPREPLY[@]}\"";
    for (words, expected) in [
        (&["res"][..], &["results", "resume"][..]),
        (&["run", "--keep"], &["--keep-order"]),
        (&["parallel", "--keep"], &["--keep-order"]),
        (&["completions", "z"], &["zsh"]),
        // Where options have ended, bash completes names of files.
        (&["run", "--", "gzip", ""], &[""]),
        (&["run", "--", "gzip", "--keep"], &[""]),
        (&["parallel", "gzip", ":::", ""], &[""]),
    ] {
        let all = [&["bash", "-c", ask, "bash"][..], words].concat();
        let Some(done) = read_by(&env, &all, "") else {
            return;
        };
        let mut said: Vec<&str> = done.stdout().lines().collect();
        said.sort_unstable();
        assert_eq!(said, expected, "{}", done.stderr);
    }
}

#[test]
fn zsh_and_fish_take_their_completions() {
    let env = TestEnv::new();
    for shell in ["zsh", "fish"] {
        let script = program(&env, &["completions", shell]);
        assert_eq!((script.code(), script.stderr.as_str()), (0, ""));
        assert!(script.stdout().contains("keep-order"));
        env.file("script", script.stdout());
        if let Some(done) = read_by(&env, &[shell, "-n", "script"], "") {
            assert_eq!((done.code(), done.stderr.as_str()), (0, ""));
        }
    }
    let unknown = program(&env, &["completions", "tcsh"]);
    assert_eq!(unknown.code(), 2);
}

#[test]
fn manual_pages_are_set_without_complaint() {
    let env = TestEnv::new();
    for (words, name) in [
        (&["man"][..], "orchestrator(1)"),
        (&["man", "run"], "orchestrator-run(1)"),
        (&["man", "parallel"], "orchestrator-parallel(1)"),
    ] {
        let page = program(&env, words);
        assert_eq!((page.code(), page.stderr.as_str()), (0, ""));
        let Some(set) = read_by(&env, &["man", "--warnings", "-l", "-"], page.stdout()) else {
            return;
        };
        assert_eq!((set.code(), set.stderr.as_str()), (0, ""));
        assert!(set.stdout().contains(name), "{}", set.stdout());
    }
    let unknown = program(&env, &["man", "nothing"]);
    assert_eq!(unknown.code(), 2);
    let said = &unknown.stderr;
    assert!(
        said.starts_with("error: no command `nothing`\n  tip: "),
        "{said}"
    );
}

#[test]
fn f079_a_page_that_cannot_be_written_is_a_failure() {
    let env = TestEnv::new();
    let mut command = env.command("/bin/sh");
    command.args(["-c", "exec \"$@\" >/dev/full", "sh", ORCHESTRATOR, "man"]);
    let done = env.run(command, "");
    assert_eq!(done.code(), 125, "{}", done.stderr);
    assert!(
        done.stderr.contains("could not be written"),
        "{}",
        done.stderr
    );
}
