//! Where items come from: lists and files, columns, and what is made of them. What GNU
//! parallel's users know is compared with GNU parallel.

use std::fs;

use orchestrator_tests::{Done, TestEnv};

use super::parallel::Line;
use super::run::ORCHESTRATOR;

fn run(env: &TestEnv, args: &[&str], stdin: impl Into<Vec<u8>>) -> Done {
    let mut command = env.command(ORCHESTRATOR);
    command.arg("run").args(args);
    env.run(command, stdin)
}

/// Both are given these words behind their options that make them alike.
fn same(words: &[&str]) -> Line {
    let theirs = [&["-k", "-q"], words].concat();
    let ours = [&["run", "-k", "-q"], words].concat();
    Line::new(&theirs)
        .ours(&ours)
        .file("letters", "a\nb\n")
        .file("numbers", "1\n2\n3\n")
        .file("none", "")
}

#[test]
fn items_behind_the_command_are_combined_as_in_gnu_parallel() {
    for words in [
        &["echo", ":::", "a", "b"][..],
        &["echo", "x", ":::", "a b", "", "-n"],
        &["echo", ":::", "a", "b", ":::", "1", "2", "3"],
        &["echo", ":::", "a", "b", ":::+", "1", "2", "3"],
        &[
            "echo", ":::", "a", "b", "c", ":::+", "1", "2", ":::", "X", "Y",
        ],
        &["echo", ":::", "X", "Y", ":::", "a", "b", ":::+", "1", "2"],
        &["--link", "echo", ":::", "a", "b", "c", ":::", "1", "2"],
        &[
            "--xapply", "echo", ":::", "a", "b", ":::+", "1", "2", "3", ":::", "X", "Y", "Z",
        ],
        &["echo", ":::", "a", ":::"],
        &["echo", "::::", "letters", "numbers"],
        &["echo", "::::", "letters", "::::+", "numbers"],
        &["echo", "::::+", "letters", "numbers"],
        &["-a", "letters", "echo", ":::", "x", "y"],
        &["-a", "letters", "-a", "numbers", "echo"],
        &["--link", "-a", "letters", "-a", "numbers", "echo"],
        &["-a", "none", "-a", "letters", "echo"],
        &["-a", "letters", "-a", "none", "echo"],
        &["-a", "none", "echo"],
        &["--arg-sep", ",,", "echo", ":::", ",,", ":::", "b"],
        &["--arg-file-sep", ",,", "echo", ",,", "letters"],
    ] {
        same(words).stdin("not read\n").same();
    }
    // Theirs reads standard input for an empty list alone.
    let env = TestEnv::new();
    let done = run(&env, &["-q", "--", "echo", ":::"], "not read\n");
    assert_eq!((done.code(), done.stdout()), (0, ""));
    let done = same(&["echo", ":::", "1", "::::", "-", "letters"])
        .stdin("i\nj\n")
        .same();
    assert_eq!(done.stdout(), "1 i a\n1 i b\n1 j a\n1 j b\n");
}

#[test]
fn values_are_cut_and_left_out_as_in_gnu_parallel() {
    let given = "a\n\n \n\t\nb x \nx\n x\nc";
    for words in [
        &["echo"][..],
        &["-r", "echo"],
        &["-E", "x", "echo"],
        &["-E", "x", "--trim", "lr", "echo"],
        &["--trim", "l", "echo"],
        &["--trim", "r", "echo"],
        &["--trim", "rl", "echo"],
        &["--trim", "n", "echo"],
        &["-E", "x", "echo", "::::", "-", ":::", "x", "y"],
        &["-r", "echo", "::::", "-", ":::", "", "y"],
        &["-d", "x", "echo"],
        &["-d", "\\n", "echo"],
        &["-d", "x\\n", "echo"],
        &["-d", "\\011", "echo"],
    ] {
        same(words).stdin(given).same();
    }
    for (words, given) in [
        (&["-0", "echo"][..], "a\0b\n\0c d"),
        (&["-d", "\\0", "echo"], "a\0b\n\0"),
        (&["-d", ",", "echo"], "a,b,c\n"),
        (&["-d", ",;", "echo"], "a,;b,c,;"),
        (&["-r", "echo"], ""),
        (&["echo"], ""),
        (&["echo"], "\n"),
        (&["-r", "echo"], "\n"),
    ] {
        same(words).stdin(given).same();
    }
}

#[test]
fn columns_fill_an_item_as_in_gnu_parallel() {
    for words in [
        &["--colsep", "\\t", "--trim", "lr", "-a", "table", "echo"][..],
        &["-C", ",", "echo", ":::", "a,,b", "a,", ",", ",,", "c"],
        &[
            "--colsep", ",", "echo", ":::", "a,b", "c", ":::", "1,2", "3",
        ],
        &[
            "--link", "--colsep", ",|;", "echo", ":::", "a,b", "c", ":::", "1;2", "3",
        ],
        &[
            "--colsep", ",", "-E", "b", "echo", ":::", "a,b", "b,c", "b", "d",
        ],
    ] {
        same(words).file("table", "x\ty\nz\t w v \n").same();
    }
}

#[test]
fn csv_has_quotes_around_what_is_no_separator() {
    let env = TestEnv::new();
    let text = "1,\"a,b\"\n2,\"q\"\"q\"\n3,\"li\nne\"\r\n";
    fs::write(env.path().join("csv"), text).unwrap();
    let done = run(&env, &["-k", "-q", "--csv", "-a", "csv", "--", "echo"], "");
    assert_eq!(
        done.stdout(),
        "1 a,b\n2 q\"q\n3 li\nne\n",
        "{}",
        done.stderr
    );
    let wrong = "1;\"a;b\"\n2;\"a\"b\n3;\"a\n";
    let done = run(&env, &["-k", "--csv", "-C;", "--", "echo"], wrong);
    assert_eq!((done.code(), done.stdout()), (1, "1 a;b\n"));
    for (line, shown) in [(2, "2;\\\"a\\\"b"), (3, "3;\\\"a")] {
        let shown = shown.replace("\\\"", "\"");
        let said = format!("error: line {line} of standard input is not CSV: `{shown}`\n");
        assert!(done.stderr.contains(&said), "{}", done.stderr);
    }
}

#[test]
fn messages_name_the_source_of_an_item() {
    let env = TestEnv::new();
    fs::write(env.path().join("file"), "a\nb\0c\n").unwrap();
    let said = |args: &[&str], stdin: &str| run(&env, args, stdin).stderr;
    let text = said(&["-a", "file", "--", "echo"], "");
    assert!(
        text.contains("error: line 2 of `file` holds a zero byte: "),
        "{text}"
    );
    let text = said(
        &["-k", "--", "sh", "-c", "exit 1", "sh", "{}", ":::", "a"],
        "",
    );
    assert!(text.contains("1 failed"), "{text}");
    let text = said(&["--timeout", "0.1", "--", "sleep", ":::", "0", "100"], "");
    assert!(text.contains("error: argument 2: command "), "{text}");
    let text = said(
        &["--max-line", "3", "-a", "-", "-d,", "--", "echo"],
        "a,long,b",
    );
    assert!(
        text.contains("error: item 2 of standard input is longer than"),
        "{text}"
    );
    let text = said(
        &[
            "-q",
            "--task",
            "fib",
            "--worker",
            env!("CARGO_BIN_EXE_test-worker"),
            ":::",
            "{",
            "7",
        ],
        "",
    );
    assert!(
        text.contains("argument 1 of ::: is not valid JSON"),
        "{text}"
    );
}

#[test]
fn a_source_that_cannot_be_read_is_refused_before_anything_runs() {
    let env = TestEnv::new();
    let refused = |args: &[&str]| {
        let done = run(&env, args, "a\n");
        assert_eq!(done.code(), 2, "{}", done.stderr);
        done.stderr
    };
    fs::write(env.path().join("there"), "x\n").unwrap();
    let said = refused(&[
        "--run-file",
        "r",
        "-a",
        "there",
        "-a",
        "nosuch",
        "--",
        "touch",
    ]);
    assert!(
        said.starts_with("error: the input file `nosuch` cannot be opened: "),
        "{said}"
    );
    assert!(!env.path().join("x").exists() && !env.path().join("r").exists());
    refused(&["-a", "/", "--", "echo"]);
    let said = refused(&[
        "--csv",
        "--task",
        "fib",
        "--worker",
        env!("CARGO_BIN_EXE_test-worker"),
    ]);
    assert!(said.contains("columns, combinations"), "{said}");
    refused(&["-a", "there", "::::", "there"]);
}

#[test]
fn an_endless_first_source_is_streamed_in_any_mode() {
    let env = TestEnv::new();
    for args in ["::: x y", "--link ::: x y z", "-r", ":::+ x y"] {
        let (options, lists) = match args.split_once(":::") {
            Some((options, list)) => (options, format!(":::{list}")),
            None => (args, String::new()),
        };
        let text = format!(
            "yes | \"$0\" run -k -q {options} -a - -- echo {lists} 2>/dev/null | head -n 2"
        );
        let mut command = env.command("sh");
        command.args(["-c", &text, ORCHESTRATOR]);
        let done = env.run(command, "");
        let expected = match args {
            "-r" => "y\ny\n",
            "--link ::: x y z" | ":::+ x y" => "y x\ny y\n",
            _ => "y x\ny y\n",
        };
        assert_eq!(done.stdout(), expected, "{args}: {}", done.stderr);
    }
}

#[test]
fn a_shuffled_input_is_whole_and_the_same_for_the_same_number() {
    let env = TestEnv::new();
    let numbers: String = (1..=500).map(|n| format!("{n}\n")).collect();
    let order = |shuf: &str| {
        let done = run(&env, &["-k", "-q", shuf, "--", "echo"], numbers.as_str());
        assert_eq!(done.code(), 0, "{}", done.stderr);
        done.stdout().to_owned()
    };
    let (first, again, other) = (order("--shuf=7"), order("--shuf=7"), order("--shuf"));
    assert_eq!(first, again);
    assert!(first != numbers && other != numbers && first != other);
    for shuffled in [first, other] {
        let mut lines: Vec<u32> = shuffled.lines().map(|line| line.parse().unwrap()).collect();
        lines.sort_unstable();
        assert_eq!(lines, (1..=500).collect::<Vec<_>>());
    }
    let done = run(
        &env,
        &[
            "-q", "--shuf", "--", "echo", ":::", "a", "b", ":::", "1", "2",
        ],
        "",
    );
    let mut lines: Vec<&str> = done.stdout().lines().collect();
    lines.sort_unstable();
    assert_eq!(lines, ["a 1", "a 2", "b 1", "b 2"]);
}

#[test]
fn percentages_of_any_input_count_first() {
    let env = TestEnv::new();
    let halted = |args: &[&str], stdin: &str| {
        let halt = ["-j1", "--halt", "soon,done=50%", "--"];
        run(&env, &[&halt, args].concat(), stdin)
            .stdout()
            .to_owned()
    };
    assert_eq!(
        halted(&["echo", ":::", "a", "b", ":::", "1", "2"], ""),
        "a 1\na 2\n"
    );
    assert_eq!(halted(&["echo"], "1\n2\n3\n4\n"), "1\n2\n");
}

/// PEERS §3 #6: GNU parallel resumes by number, and so ran the last old job again and the
/// new one never.
#[test]
fn p06_resume_with_a_changed_input_runs_what_is_new_and_nothing_else() {
    let env = TestEnv::new();
    fs::write(env.path().join("old"), "a\nb\n").unwrap();
    fs::write(env.path().join("new"), "z\na\nb\n").unwrap();
    let ran = |args: &[&str]| {
        let done = run(&env, &[&["-k", "-q", "--run-file", "r"], args].concat(), "");
        assert_eq!(done.code(), 0, "{}", done.stderr);
        done.stdout().to_owned()
    };
    let echo = |args: &[&str]| ran(&[args, &["--", "echo"]].concat());
    assert_eq!(echo(&["-a", "old"]), "a\nb\n");
    assert_eq!(echo(&["--resume", "-a", "new"]), "z\n");
    // It is the item that counts, not where it came from.
    let list = ran(&["--resume", "--", "echo", ":::", "b", "y", "a", "z"]);
    assert_eq!(list, "y\n");
}

#[test]
fn p06_resume_knows_items_of_several_fields() {
    let env = TestEnv::new();
    let ran = |resume: &[&str], lists: &[&str]| {
        let args = [
            &["-k", "-q", "--run-file", "r"],
            resume,
            &["--", "echo"],
            lists,
        ]
        .concat();
        run(&env, &args, "").stdout().to_owned()
    };
    assert_eq!(ran(&[], &[":::", "a b", ":::", "c", "d"]), "a b c\na b d\n");
    // Other fields that read the same are another item.
    assert_eq!(ran(&["--resume"], &[":::", "a", ":::", "b c"]), "a b c\n");
    assert_eq!(
        ran(&["--resume"], &[":::", "a b", ":::", "e", "d"]),
        "a b e\n"
    );
}

#[test]
fn failed_items_of_several_fields_are_csv_that_can_be_fed_again() {
    let env = TestEnv::new();
    let fails = [
        "--failed-to",
        "failed",
        "-q",
        "-j1",
        "--",
        "sh",
        "-c",
        "exit 1",
        "sh",
        "{}",
    ];
    let lists = [":::", "a,b", "c\"d\n", "", ":::", "1\t2"];
    run(&env, &[&fails[..], &lists].concat(), "");
    let failed = fs::read_to_string(env.path().join("failed")).unwrap();
    assert_eq!(failed, "\"a,b\",1\t2\n\"c\"\"d\n\",1\t2\n\"\",1\t2\n");
    let done = run(&env, &["-k", "-q", "--csv", "--", "echo"], failed);
    assert_eq!(done.stdout(), "a,b 1\t2\nc\"d\n 1\t2\n 1\t2\n");
    // A single value stays what it was.
    run(&env, &[&fails[..], &[":::", "a,b"]].concat(), "");
    assert_eq!(
        fs::read_to_string(env.path().join("failed")).unwrap(),
        "a,b\n"
    );
}

/// PEERS §3 #3b: rust-parallel loses output of two input files.
#[test]
fn p03b_two_input_files_lose_nothing() {
    let env = TestEnv::new();
    let file = |from: u32, to: u32| (from..to).map(|n| format!("{n}\n")).collect::<String>();
    fs::write(env.path().join("one"), file(0, 700)).unwrap();
    fs::write(env.path().join("two"), file(700, 703)).unwrap();
    let done = run(&env, &["-k", "-q", "--", "echo", "::::", "one", "two"], "");
    let expected: String = (0..700)
        .flat_map(|a| (700..703).map(move |b| format!("{a} {b}\n")))
        .collect();
    assert_eq!((done.code(), done.stdout() == expected), (0, true));
}

/// PEERS §3 #3c: rust-parallel drops lines that are not UTF-8.
#[test]
fn p03c_bytes_that_are_not_utf_8_pass_through_every_source() {
    let env = TestEnv::new();
    fs::write(env.path().join("f"), b"\xff,\xfe\n\xe4\n").unwrap();
    for args in [
        &["-a", "f", "--colsep", ",", "--", "echo"][..],
        &["-a", "f", "--csv", "--trim", "lr", "--", "echo"],
    ] {
        let done = run(&env, &[&["-k", "-q"], args].concat(), "");
        assert_eq!(done.stdout, b"\xff \xfe\n\xe4\n", "{}", done.stderr);
    }
    let done = run(
        &env,
        &["-k", "-q", "--", "echo", "::::", "f", ":::", "1"],
        "",
    );
    assert_eq!(done.stdout, b"\xff,\xfe 1\n\xe4 1\n");
}

#[test]
fn a_recorded_run_needs_its_sources_no_more() {
    let env = TestEnv::new();
    fs::write(env.path().join("f"), "a\nb\n").unwrap();
    let text = "test -e ok && echo {}";
    let args = [
        "-k",
        "-q",
        "--run-file",
        "r",
        "-a",
        "f",
        "-c",
        text,
        ":::",
        "1",
    ];
    assert_eq!(run(&env, &args, "").code(), 1);
    fs::remove_file(env.path().join("f")).unwrap();
    fs::write(env.path().join("ok"), "").unwrap();
    let mut command = env.command(ORCHESTRATOR);
    command.args(["retry", "-q", "r"]);
    let done = env.run(command, "");
    let mut lines: Vec<&str> = done.stdout().lines().collect();
    lines.sort_unstable();
    assert_eq!(lines, ["a 1", "b 1"], "{}", done.stderr);
}
