//! Input and output of a run that are not what one would wish.

use std::collections::BTreeMap;
use std::path::PathBuf;

use orchestrator_tests::env::finish;
use orchestrator_tests::{Done, TestEnv, eventually};
use serde_json::json;

use super::{ORCHESTRATOR, ROGUE, WORKER, objects, run};

#[test]
fn f070_the_last_line_needs_no_line_feed() {
    let env = TestEnv::new();
    for (args, input) in [
        (&["-qk", "echo", "{}"][..], "a\nb"),
        (&["-qk", "-0", "echo", "{}"], "a\0b"),
    ] {
        let done = run(&env, args, input);
        assert_eq!(
            (done.code(), done.stdout()),
            (0, "a\nb\n"),
            "{}",
            done.stderr
        );
    }
    let task = [
        "-qk", "--worker", WORKER, "--task", "fib", "--format", "value",
    ];
    let done = run(&env, &task, "10\n11");
    assert_eq!(
        (done.code(), done.stdout()),
        (0, "55\n89\n"),
        "{}",
        done.stderr
    );
}

#[test]
fn f071_items_may_end_with_zero_bytes_and_blank_lines_are_lines() {
    let env = TestEnv::new();
    let brackets = ["printf", "<%s>", "{}"];
    let lines = run(
        &env,
        &[&["-qk", "--"], &brackets[..]].concat(),
        "a\n\n \nb\n",
    );
    assert_eq!((lines.code(), lines.stdout()), (0, "<a><>< ><b>"));
    let items = run(
        &env,
        &[&["-qk0", "--"], &brackets[..]].concat(),
        "a\n\0\0\0b\0",
    );
    assert_eq!((items.code(), items.stdout()), (0, "<a\n><><><b>"));
    // A zero byte within a line cannot be an argument.
    let zero = run(
        &env,
        &[&["-qk", "--"], &brackets[..]].concat(),
        "a\n1\x002\nb\n",
    );
    assert_eq!((zero.code(), zero.stdout()), (1, "<a><b>"));
    assert!(zero.stderr.starts_with("error: line 2 "), "{}", zero.stderr);
    let task = [
        "-qk", "--worker", WORKER, "--task", "fib", "--format", "value",
    ];
    let blank = run(&env, &task, "\n10\n \n11\n\n");
    assert_eq!((blank.code(), blank.stdout()), (0, "55\n89\n"));
}

#[test]
fn f071_windows_line_ends_of_the_input_are_told_once() {
    let env = TestEnv::new();
    let warning = "warning: line 1 ends with a carriage return (Windows line ends?), which becomes \
                   part of the argument\n  tip: tr -d '\\r' < FILE | orchestrator run …\n";
    for order in ["-q", "-qk"] {
        let done = run(&env, &[order, "-j1", "echo", "{}"], "a\r\nb\r\n");
        assert_eq!(
            (done.stdout(), done.stderr.as_str()),
            ("a\r\nb\r\n", warning)
        );
    }
    let done = run(&env, &["-q", "-0", "echo", "{}"], "a\r\0");
    assert_eq!(done.stderr, "");
    let task = ["-q", "--worker", WORKER, "--task", "fib"];
    let done = run(&env, &task, "1\r\n");
    assert_eq!((done.code(), done.stderr.as_str()), (0, ""));
}

#[test]
fn f072_bytes_that_are_not_utf8_are_arguments_but_no_json() {
    let env = TestEnv::new();
    let input = b"a\n\xff\xfe\xc3\nb\n";
    let done = run(&env, &["-qk", "echo", "{}"], input);
    assert_eq!((done.code(), &done.stdout[..]), (0, &input[..]));
    let done = run(&env, &["-qk", "--format", "jsonl", "echo", "{}"], input);
    let told = &objects(done.stdout())[1];
    assert_eq!(told["argv"][1], json!({"base64": "//7D"}));
    assert_eq!(told["stdout"], json!({"base64": "//7DCg=="}));

    let task = ["-qk", "--worker", WORKER, "--task", "echo_text"];
    let done = run(&env, &task, b"\"a\"\n\"\xff\"\n\"b\"\n");
    assert_eq!(done.code(), 1);
    let told = objects(done.stdout());
    let ok: Vec<_> = told.iter().map(|object| &object["ok"]).collect();
    assert_eq!(ok, [&json!(true), &json!(false), &json!(true)]);
    assert!(
        done.stderr.contains("line 2 of standard input"),
        "{}",
        done.stderr
    );
}

/// `orchestrator run` with these arguments and redirections of the shell.
fn redirected(env: &TestEnv, args: &str, redirections: &str, stdin: &str) -> Done {
    let mut shell = env.command("bash");
    let text = format!("exec \"$0\" run {args} {redirections}");
    shell.args(["-c", &text, ORCHESTRATOR]);
    env.run(shell, stdin)
}

#[test]
fn f081_a_run_goes_on_without_stderr() {
    let env = TestEnv::new();
    for redirection in ["2>&-", "2>/dev/full"] {
        // Jobs print to it, the run complains about one, and there is a summary.
        let job = "-j2 -k -- sh -c 'echo out $1; echo err >&2; test $1 != 3 || kill -9 $$' sh {}";
        let done = redirected(&env, job, redirection, "1\n2\n3\n4\n");
        assert_eq!(done.code(), 1, "{redirection}");
        assert_eq!(done.stdout(), "out 1\nout 2\nout 3\nout 4\n");
        let done = redirected(&env, "-- echo {}", redirection, "1\n");
        assert_eq!((done.code(), done.stdout()), (0, "1\n"));
        // What workers print goes there as well, and is much.
        let task = format!("--worker {WORKER} --task print --format value");
        let done = redirected(&env, &task, redirection, "[\"text\", 50000]\n");
        assert_eq!((done.code(), done.stdout()), (0, "null\n"));
    }
}

#[test]
fn f082_standard_descriptors_may_be_closed() {
    let env = TestEnv::new();
    // More than is kept in memory: the file for it must not become stdout.
    let job = "-q -- sh -c 'head -c 20000000 /dev/zero; echo err >&2' {}";
    for (closed, jobs) in [
        ("<&-", 0),
        (">&-", 1),
        ("2>&-", 1),
        ("<&- >&-", 0),
        ("<&- 2>&-", 0),
        (">&- 2>&-", 1),
        ("<&- >&- 2>&-", 0),
    ] {
        let done = redirected(&env, job, closed, "1\n");
        assert_eq!(done.code(), 0, "{closed}: {}", done.stderr);
        let out = if closed.contains(" >&-") || closed.starts_with(">&-") {
            0
        } else {
            20_000_000
        };
        assert_eq!(done.stdout.len(), out * jobs, "{closed}");
        let err = if closed.contains("2>&-") { "" } else { "err\n" };
        assert_eq!(done.stderr, err.repeat(jobs), "{closed}");
        env.no_process_left();
    }
}

#[test]
fn f083_lines_of_jobs_that_print_at_the_same_time_stay_whole_and_together() {
    const LINES: usize = 10_000;
    let env = TestEnv::new();
    // Each job waits until all print: they cannot have come one after the other.
    let text = format!(
        "touch ready.$1; until [ $(ls ready.* | wc -l) = 16 ]; do sleep 0.01; done; \
         seq -f \"$1:%.0f:{}\" {LINES}",
        "x".repeat(50)
    );
    let lines: String = (1..=16).map(|n| format!("{n}\n")).collect();
    let expected = |job: &str| -> Vec<String> {
        let line = |n| format!("{job}:{n}:{}", "x".repeat(50));
        (1..=LINES).map(line).collect()
    };
    for order in ["-q", "-qk"] {
        let done = run(
            &env,
            &[order, "-j16", "--", "sh", "-c", &text, "sh", "{}"],
            &*lines,
        );
        assert_eq!(done.code(), 0, "{}", done.stderr);
        let all: Vec<&str> = done.stdout().lines().collect();
        assert_eq!(all.len(), 16 * LINES);
        let mut seen = BTreeMap::new();
        for (n, of_one) in (1..).zip(all.chunks(LINES)) {
            let job = of_one[0].split(':').next().unwrap();
            assert!(of_one == expected(job), "job {job} is not in one piece");
            assert!(order == "-q" || job == n.to_string(), "job {job} is {n}th");
            seen.insert(job, n);
        }
        assert_eq!(seen.len(), 16);
        for n in 1..=16 {
            std::fs::remove_file(env.path().join(format!("ready.{n}"))).unwrap();
        }
    }
}

#[test]
fn f124_what_a_line_puts_into_a_word_is_not_a_place_again() {
    let env = TestEnv::new();
    let input = "{}\n{.}/{/}\n{#}\n{%}\n{{}}\n";
    let done = run(
        &env,
        &["-qk", "--", "printf", "%s|%s\\n", "{}", "a{}b{}"],
        input,
    );
    let expected: String = input
        .lines()
        .map(|line| format!("{line}|a{line}b{line}\n"))
        .collect();
    assert_eq!(
        (done.code(), done.stdout()),
        (0, &expected[..]),
        "{}",
        done.stderr
    );
}

#[test]
fn f126_no_program_is_taken_from_the_working_directory() {
    let env = TestEnv::new();
    super::script(&env, "sha256sum", "#!/bin/sh\necho wrong\n");
    super::script(&env, "only-here", "#!/bin/sh\necho wrong\n");
    for path in [":/usr/bin:/bin", "/usr/bin::/bin", "/usr/bin:/bin:"] {
        let with_path = |args: &[&str]| {
            let mut command = super::command(&env, args);
            command.env("PATH", path);
            env.run(command, "sha256sum\n")
        };
        // Looked up before the run, and for each line.
        for args in [
            &["-q", "--", "sha256sum", "{}"][..],
            &["-q", "--", "{}", "sha256sum"],
        ] {
            let done = with_path(args);
            let right = done.stdout().ends_with("  sha256sum\n");
            assert!(right, "{path}: {}{}", done.stdout(), done.stderr);
        }
        let done = with_path(&["-q", "--", "only-here", "{}"]);
        assert_eq!(done.code(), 2, "{path}");
        assert!(
            done.stderr.contains("there is one here: ./only-here"),
            "{}",
            done.stderr
        );
    }
}

#[test]
fn f073_what_is_odd_about_a_record_is_named_and_harms_no_other() {
    let env = TestEnv::new();
    let task = [
        "-qk",
        "--worker",
        WORKER,
        "--task",
        "echo_text",
        "--input",
        "jsonl",
    ];
    let deep = "[".repeat(100_000);
    let cases = [
        (r#"{"id":1,"args":"a"}"#, ""),
        (r#"{"id":2,"id":2,"args":"a"}"#, "duplicate field `id`"),
        (r#"{"args":"a","args":"b"}"#, "duplicate field `args`"),
        (r#"{"args":"a","more":1}"#, "unknown field `more`"),
        (r#"{"args":"a""#, "is not valid JSON"),
        (r#"["a"]"#, "it is not a JSON object"),
        (r#"{"id":[1],"args":"a"}"#, "neither a string nor a number"),
        (r#"{"args":1e999}"#, "number out of range"),
        (&deep, "is not valid JSON"),
        // An identifier is given back as it was written, never calculated with.
        (r#"{"id":1e999,"args":"a"}"#, ""),
    ];
    let lines: String = cases.iter().map(|(line, _)| format!("{line}\n")).collect();
    let done = run(&env, &task, lines);
    assert_eq!(done.code(), 1);
    let told: Vec<&str> = done.stdout().lines().collect();
    assert_eq!(told.len(), cases.len());
    for ((line, expected), told) in cases.iter().zip(told) {
        assert!(told.contains(expected), "{line:.60}: {told}");
        let fine = told.contains(r#""ok":true"#);
        assert_eq!(fine, expected.is_empty(), "{line:.60}: {told}");
    }
    let last = r#"{"seq":10,"id":1e999,"ok":true,"value":"a"}"#;
    assert!(done.stdout().ends_with(&format!("{last}\n")));
}

#[test]
fn f074_two_jobs_with_the_same_identifier_are_two_jobs() {
    let env = TestEnv::new();
    let task = [
        "-qk", "--worker", WORKER, "--task", "fib", "--input", "jsonl",
    ];
    let lines =
        "{\"id\":\"a\",\"args\":10}\n{\"id\":\"a\",\"args\":11}\n{\"id\":\"a\",\"args\":10}\n";
    let done = run(&env, &task, lines);
    assert_eq!(done.code(), 0, "{}", done.stderr);
    let seen: Vec<_> = objects(done.stdout());
    let seen: Vec<_> = seen.iter().map(|o| (&o["id"], &o["value"])).collect();
    let id = json!("a");
    let expected = [(&id, &json!(55)), (&id, &json!(89)), (&id, &json!(55))];
    assert_eq!(seen, expected);
}

#[test]
fn f077_a_record_that_its_writer_could_not_finish_is_no_job() {
    let env = TestEnv::new();
    let mut shell = env.command("bash");
    // The writer dies within its third record.
    let text = "(echo 10; echo '\"11\"'; printf '[1'; kill -9 $BASHPID) 2>/dev/null \
                | \"$0\" run -qk --worker \"$1\" --task fib";
    shell.args(["-c", text, ORCHESTRATOR, WORKER]);
    let done = env.run(shell, "");
    assert_eq!(done.code(), 1);
    let ok: Vec<_> = objects(done.stdout());
    let ok: Vec<_> = ok.iter().map(|o| &o["ok"]).collect();
    assert_eq!(ok, [&json!(true), &json!(false), &json!(false)]);
    let said = "line 3 of standard input is not valid JSON";
    assert!(done.stderr.contains(said), "{}", done.stderr);
}

#[test]
fn f084_what_the_run_says_cannot_command_a_terminal() {
    let env = TestEnv::new();
    let evil = "\u{1b}[31m\u{7}\u{9b}2J";
    let task_of = |task| ["-k", "--worker", WORKER, "--task", task];
    let stderr_of_worker = format!("stderr:{evil}");
    let cases: [(&[&str], String); 7] = [
        // A program, an argument and a text in a job's failure.
        (&["--", "./{}"], evil.to_owned()),
        (&["-c", "kill -9 $$; : {}"], evil.to_owned()),
        (&["-c", "kill -9 $PPID; : {}"], evil.to_owned()),
        (&task_of("panic"), serde_json::to_string(evil).unwrap()),
        // What is no job.
        (&task_of("fib"), evil.to_owned()),
        // What does not exist.
        (&["--", evil], "1".to_owned()),
        // The last words of a worker.
        (
            &[
                "--worker",
                ROGUE,
                "--worker-arg",
                &stderr_of_worker,
                "--worker-arg",
                "exit:3",
                "--task",
                "x",
            ],
            "1".to_owned(),
        ),
    ];
    for (args, line) in cases {
        let done = run(&env, args, format!("{line}\n"));
        assert_ne!(done.code(), 0, "{args:?}");
        let all = format!("{}{}", done.stdout(), done.stderr);
        assert!(all.contains("\\u{1b}") || all.contains("\\u001b"), "{all}");
        let commands = |c: char| c.is_control() && c != '\n';
        assert!(!all.contains(commands), "{args:?}: {all:?}");
    }
}

#[test]
fn f130_a_temporary_file_has_no_name() {
    let env = TestEnv::new();
    let temporary = env.path().join("temporary");
    std::fs::create_dir(&temporary).unwrap();
    // The second job's output waits for the first.
    let text = "if [ $1 = 1 ]; then until [ -e go ]; do sleep 0.01; done; \
                else head -c 20000000 /dev/zero; fi";
    let args = ["-j2", "-qk", "--halt", "now,fail=90%", "--"];
    let mut command = super::command(&env, &args);
    command.args(["sh", "-c", text, "sh", "{}"]);
    command.env("TMPDIR", &temporary);
    let mut child = super::spawn(command);
    let descriptors = format!("/proc/{}/fd", child.id());
    // Sizes of the files in there that it has open.
    let open = || {
        let all = std::fs::read_dir(&descriptors).unwrap().flatten();
        let all = all.map(|entry| entry.path());
        let ours = |path: &PathBuf| {
            std::fs::read_link(path).is_ok_and(|target| target.starts_with(&temporary))
        };
        let sizes = all.filter(ours).filter_map(|path| path.metadata().ok());
        sizes.map(|file| file.len()).max()
    };
    let names = || std::fs::read_dir(&temporary).unwrap().count();
    // The input, which is read to its end before the first job.
    let mut stdin = child.stdin.take().unwrap();
    std::io::Write::write_all(&mut stdin, b"1\n2\n").unwrap();
    eventually("the input is in a file", || open().is_some());
    // Where a file system cannot make them without, they have one for a moment.
    eventually("it has no name", || names() == 0);
    drop(stdin);
    // What does not fit into memory. Larger than the input.
    eventually("output is in a file", || open() > Some(1_000_000));
    eventually("it has no name either", || names() == 0);
    env.file("go", "");
    let done = finish(child, vec![]);
    assert_eq!((done.code(), done.stdout.len()), (0, 20_000_000));
    assert_eq!(names(), 0);
}
