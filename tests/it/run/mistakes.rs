//! Mistakes, and habits from other tools: what they are answered with.

use orchestrator_tests::TestEnv;
use protocol::PROTOCOL_VERSION;
use serde_json::json;

use super::{ORCHESTRATOR, ROGUE, WORKER, objects, run, script};

/// What a mistake is answered with, and the exit code.
fn mistake(args: &[&str], stdin: &str) -> (i32, String) {
    let env = TestEnv::new();
    let done = run(&env, args, stdin);
    assert_eq!(done.stdout(), "");
    (done.code(), done.stderr)
}

#[test]
fn mistakes_get_answers_that_say_what_to_do() {
    let (code, said) = mistake(&["--", "sha256summ", "{}"], "x\n");
    assert_eq!(code, 2);
    assert!(
        said.starts_with("error: command `sha256summ` not found\n"),
        "{said}"
    );
    assert!(
        said.ends_with("  tip: a similar command exists: `sha256sum`\n"),
        "{said}"
    );

    let (code, said) = mistake(&["--worker", "./my-worker", "--task", "fib"], "1\n");
    assert_eq!(code, 2);
    assert!(
        said.starts_with("error: worker `./my-worker` not found"),
        "{said}"
    );

    let (code, said) = mistake(&["--worker", "/bin/pwd", "--task", "fib"], "1\n");
    assert_eq!(code, 125);
    assert!(
        said.starts_with("error: `/bin/pwd` does not speak the worker protocol (it printed `/"),
        "{said}"
    );
    assert!(
        said.contains("  tip: to run an ordinary command for each line, put it after `--`"),
        "{said}"
    );

    let (code, said) = mistake(&["--worker", WORKER, "--task", "fibb"], "1\n");
    assert_eq!(code, 2);
    assert!(
        said.starts_with(&format!(
            "error: worker `{WORKER}` has no task named `fibb`\n"
        )),
        "{said}"
    );
    assert!(
        said.contains("  tip: a similar task exists: `fib`\n"),
        "{said}"
    );

    let (code, said) = mistake(&["--workers", "many", "--", "true"], "1\n");
    assert_eq!(code, 2);
    assert!(
        said.contains("-j `many` is no number of jobs, and there is no such file"),
        "{said}"
    );

    let (code, said) = mistake(&["--worker", WORKER], "1\n");
    assert_eq!(code, 2);
    assert!(said.contains("--task"), "{said}");
}

#[test]
fn bad_json_is_shown_with_line_and_column() {
    let env = TestEnv::new();
    let args = ["-k", "-q", "--worker", WORKER, "--task", "fib"];
    let done = run(&env, &args, "10\n{\"a\": 1 \"b\": 2}\n11\n");
    assert_eq!(done.code(), 1);
    let answers = objects(done.stdout());
    assert_eq!(answers.len(), 3);
    assert_eq!(answers[1]["ok"], json!(false));
    assert_eq!(answers[2]["value"], json!(89));
    assert!(
        done.stderr.starts_with(
            "error: line 2 of standard input is not valid JSON: expected `,` or `}` at column 9\n  \
             2 | {\"a\": 1 \"b\": 2}\n    |         ^\n"
        ),
        "{}",
        done.stderr
    );
}

#[test]
fn another_protocol_version_is_refused_with_both() {
    let env = TestEnv::new();
    let args = [
        "--worker",
        ROGUE,
        "--worker-arg",
        "greet:99",
        "--worker-arg",
        "hang",
        "--task",
        "x",
    ];
    let done = run(&env, &args, "1\n");
    assert_eq!(done.code(), 125);
    assert!(
        done.stderr.starts_with(&format!(
            "error: worker `{ROGUE}` speaks protocol 99, but this orchestrator speaks {PROTOCOL_VERSION}\n"
        )),
        "{}",
        done.stderr
    );
}

#[test]
fn a_worker_that_dies_at_start_is_shown_with_its_last_words() {
    let env = TestEnv::new();
    let args = [
        "--worker",
        ROGUE,
        "--worker-arg",
        "stderr:no such library",
        "--worker-arg",
        "exit:127",
        "--task",
        "x",
    ];
    let done = run(&env, &args, "1\n");
    assert_eq!(done.code(), 125);
    assert!(
        done.stderr
            .contains("ended with status 127 before it was ready"),
        "{}",
        done.stderr
    );
    assert!(
        done.stderr.contains("    no such library\n"),
        "{}",
        done.stderr
    );
}

#[test]
fn windows_line_ends_in_a_script_are_named() {
    let env = TestEnv::new();
    script(&env, "crlf.sh", "#!/bin/sh\r\necho hi\r\n");
    for args in [
        &["--", "./crlf.sh"][..],
        &["--worker", "./crlf.sh", "--task", "x"],
    ] {
        let done = run(&env, args, "1\n2\n");
        assert_eq!(done.code(), 2, "{}", done.stderr);
        assert!(done.stderr.contains("`/bin/sh\\r`"), "{}", done.stderr);
        assert!(done.stderr.contains("Windows line ends"), "{}", done.stderr);
        assert!(
            done.stderr
                .ends_with("  tip: sed -i 's/\\r$//' ./crlf.sh\n"),
            "{}",
            done.stderr
        );
    }
    let done = run(&env, &["-q", "--", "./{}"], "crlf.sh\n");
    assert_eq!(done.code(), 1);
    let said = "there is no interpreter `/bin/sh\\r`, which its first line names; the line ends \
                with a carriage return (Windows line ends), which `sed -i 's/\\r$//' FILE` removes";
    assert!(done.stderr.contains(said), "{}", done.stderr);
}

#[test]
fn habits_from_other_tools_get_an_answer() {
    for (args, what, tip) in [
        (
            &["echo {} | wc -c"][..],
            "`echo {} | wc -c` is one word, so it would be the name of a program",
            "orchestrator run -c 'echo {} | wc -c'",
        ),
        (
            &["echo {}"],
            "`echo {}` is one word, so it would be the name of a program",
            "leave out the quotes: orchestrator run -- echo {}",
        ),
        (
            &["--", "sh", "-c", "echo {} | wc"],
            "`echo {} | wc` is for a shell, which would read the line as program text",
            "with -c the line stays data: orchestrator run -c 'echo {} | wc'",
        ),
        (
            &["--", "sh", "-c", "{}"],
            "`{}` is for a shell, which would read the line as program text",
            "to run lines that are commands: orchestrator run < FILE",
        ),
        (
            &["--", "alias", "{}"],
            "command `alias` not found",
            "`alias` belongs to the shell",
        ),
        (
            &["--worker", "no-such-program mine.py", "--task", "x"],
            "worker `no-such-program` not found",
            "",
        ),
        (
            &["--worker", "sh", "worker.py", "--task", "fib"],
            "`--task` after `worker.py` is part of the command",
            "arguments of the worker program: --worker-arg worker.py",
        ),
        (
            &["-l1", "echo"],
            "unexpected argument '-l' found",
            "-L N packs so many lines",
        ),
        (
            &["-i", "echo", "{}"],
            "unexpected argument '-i' found",
            "`{}` needs no -i",
        ),
        // What GNU parallel calls so, and what is only spelled like an option of ours.
        (
            &["-S", "h1", "echo"],
            "unexpected argument '-S' found",
            "`orchestrator run --hosts [N/]HOST,...` runs jobs on other machines",
        ),
        (
            &["--group", "echo"],
            "unexpected argument '--group' found",
            "leave it out: each job's output is in one piece anyway",
        ),
        (
            &["--max-procs", "2", "echo"],
            "unexpected argument '--max-procs' found",
            "GNU parallel's option is --jobs here",
        ),
        (
            &["--cat", "echo"],
            "unexpected argument '--cat' found",
            "the command may keep it: `cat > FILE; COMMAND FILE`",
        ),
        (
            &["--name", "x", "find"],
            "unexpected argument '--name' found",
            "options of the command stand behind its name: orchestrator run -- COMMAND",
        ),
        (
            &["--block", "10M", "wc"],
            "the following required arguments were not provided:",
            "--block needs --pipe",
        ),
        (
            &["--resume", "--joblog=log", "wc"],
            "the following required arguments were not provided:",
            "to go on by what --joblog says: --skip-logged ended",
        ),
        (
            &["--grace", "5 parsecs", "wc"],
            "invalid value '5 parsecs' for '--grace <TIME>': not a time; write seconds, or e.g. 90s, 5m, 1h 30m",
            "",
        ),
        (
            &["--results", "--", "echo"],
            "invalid value '--' for '--results <DIR|TEXT|TABLE>': write where results are kept, \
             then `--`; a directory of that name is ./--",
            "",
        ),
        (
            &["--", "", "{}"],
            "the command is an empty word (an unset variable?)",
            "",
        ),
    ] {
        let (code, said) = mistake(args, "x\n");
        assert_eq!(code, 2, "{said}");
        assert!(said.starts_with(&format!("error: {what}\n")), "{said}");
        assert_eq!(said.contains("\n  tip: "), !tip.is_empty(), "{said}");
        assert!(said.contains(tip), "{said}");
    }
}

/// A story: `sort {} '>' {}.sorted` is how it is written for GNU parallel; here, `>` was a file.
#[test]
fn words_for_a_shell_that_no_shell_reads_are_told() {
    let env = TestEnv::new();
    let done = run(&env, &["-q", "--", "echo", "{}", ">", "{}.out"], "a\n");
    assert_eq!((done.code(), done.stdout()), (0, "a > a.out\n"));
    assert_eq!(
        done.stderr,
        "warning: `>` is an argument of `echo`, since no shell reads these words\n  \
         tip: for a shell: orchestrator run -c 'echo {} > {}.out'\n"
    );
    let dry = run(&env, &["--dry-run", "--", "echo", "{}", "&&", "x"], "a\n");
    assert!(dry.stderr.starts_with("warning: `&&` is"), "{}", dry.stderr);
    // Theirs is read by one.
    let mut theirs = env.command(ORCHESTRATOR);
    theirs.args(["parallel", "echo", "{}", ">", "{}.out"]);
    assert_eq!(env.run(theirs, "a\n").stderr, "");
    assert_eq!(std::fs::read(env.path().join("a.out")).unwrap(), b"a\n");
}

#[test]
fn whoever_forgets_run_is_told() {
    let env = TestEnv::new();
    for (args, tip) in [
        (&["echo", "a b"][..], "orchestrator run -- echo 'a b'"),
        (&["--", "echo"], "orchestrator run -- echo"),
        (&["-j2", "echo"], "orchestrator run -j2 echo"),
    ] {
        let mut command = env.command(ORCHESTRATOR);
        command.args(args);
        let done = env.run(command, "");
        assert_eq!(done.code(), 2);
        let tip = format!("\n  tip: to run a command for each line: {tip}\n");
        assert!(done.stderr.contains(&tip), "{}", done.stderr);
    }
    let mut command = env.command(ORCHESTRATOR);
    command.arg("--hlep");
    let done = env.run(command, "");
    assert!(!done.stderr.contains("each line"), "{}", done.stderr);
}

#[test]
fn a_program_that_is_missing_for_a_line_does_not_recite_the_path() {
    let env = TestEnv::new();
    let done = run(&env, &["-q", "--", "nosuch{}"], "1\n");
    assert_eq!(
        done.stderr,
        "error: line 1: command could not be started: there is no program `nosuch1` in PATH: \
         `nosuch1`\n"
    );
}
