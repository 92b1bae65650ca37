//! Several values for one job, compared with GNU parallel.

use std::fs;

use orchestrator_tests::{Done, TestEnv};

use super::parallel::Line;
use super::run::ORCHESTRATOR;

fn run(env: &TestEnv, args: &[&str], stdin: impl Into<Vec<u8>>) -> Done {
    let mut command = env.command(ORCHESTRATOR);
    command.arg("run").args(args);
    env.run(command, stdin)
}

/// Both are given these words behind options that make them alike.
fn same(words: &[&str]) -> Line {
    let theirs = [&["-k", "-j2"], words].concat();
    let ours = [&["run", "-k", "-q", "-j2"], words].concat();
    Line::new(&theirs).ours(&ours)
}

fn numbers(last: u32) -> String {
    (1..=last).map(|n| format!("{n}\n")).collect()
}

#[test]
fn values_are_packed_as_in_gnu_parallel() {
    for words in [
        &["-n3", "echo"][..],
        &["-n", "3", "echo", "a{}b"],
        &["-n", "2", "echo", "{1}-{2}", "{}"],
        &["-N3", "echo", "a{}b"],
        &["-N2", "echo", "{1}-{2}", "{}"],
        &["-L3", "echo", "a{}b"],
        &["-X", "echo"],
        &["-X", "echo", "a{}b"],
        &["-X", "echo", "a{}b{}c", "d{}"],
        &["-X", "-n3", "echo"],
        &["-X", "-N5", "echo"],
        &["-m", "echo", "a{}b"],
        &["-m", "echo", "a{}b{}c", "d{}"],
        &["-m", "-N2", "echo", "x{}y"],
        &["--xargs", "echo"],
        &["--xargs", "echo", "a{}b"],
        &["--xargs", "-s", "10", "echo"],
        &["-X", "-s", "14", "echo"],
        &["-X", "-s", "14", "echo", "a{}b"],
        &["-m", "-s", "20", "echo"],
        &["-n5", "-s", "12", "echo"],
        &["-n0", "echo", "x{}y"],
        &["-N0", "echo", "x"],
        &["-L0", "echo", "x{}"],
    ] {
        // How they are shared out depends on how many there are.
        let shared = ["-X", "-m", "--xargs"].contains(&words[0]);
        let lasts: &[u32] = if shared { &[1, 7, 8] } else { &[8] };
        for last in lasts {
            same(words).stdin(numbers(*last)).same();
        }
    }
}

#[test]
fn packed_values_come_from_any_source_as_in_gnu_parallel() {
    for words in [
        &["-n2", "echo", ":::", "a", "b", ":::", "1", "2"][..],
        &["-N3", "echo", "x{}y", ":::", "a", "b", ":::", "1", "2"],
        &["-X", "echo", "x{}y", ":::", "a", "b", ":::", "1", "2"],
        &["-r", "-N2", "echo", "x{}y", ":::", "a", "", "b", "c"],
        &["-E", "3", "-N2", "echo", ":::", "1", "2", "3", "4"],
        &[
            "--colsep", ",", "-n2", "echo", "{1}", "{3}", "{}", ":::", "a,b", "c,d", "e,f",
        ],
        &[
            "--colsep", ",", "-N2", "echo", "{1}{4}", ":::", "a,b", "c,d", "e,f",
        ],
        &[
            "--colsep", ",", "-X", "echo", "x{}", ":::", "a,b", "c,d", "e,f",
        ],
    ] {
        same(words).same();
    }
    for given in [
        "a\n\nb\nc\n",
        "a \nb\nc\n",
        "a\tb \nb\nc\n",
        "a\t\nb\nc \n",
        "",
    ] {
        for words in [&["-L1", "echo"][..], &["-L2", "echo", "[{}]"]] {
            same(words).stdin(given).same();
        }
    }
}

/// A story: with the line, which is not put in, `nice` was refused as a command out of data.
#[test]
fn a_command_that_gets_nothing_is_left_as_it_is() {
    let env = TestEnv::new();
    for (words, printed) in [
        (&["-c", "nice"][..], "0\n0\n"),
        (&["-c", "true; echo $#"], "0\n0\n"),
        (&["-c", "echo $# | cat"], "0\n0\n"),
        (&["--", "echo", "x"], "x\nx\n"),
        (&["--", "echo", "x{}y", "{}"], "xy\nxy\n"),
        (&["-c", "echo {#}"], "1\n2\n"),
    ] {
        let all = [&["-q", "-k", "-n0"], words].concat();
        let done = run(&env, &all, "a\nb\n");
        assert_eq!(
            (done.stdout(), &done.stderr[..]),
            (printed, ""),
            "{words:?}"
        );
    }
}

#[test]
fn what_looks_like_a_column_and_is_none_is_told() {
    let env = TestEnv::new();
    let told = |words: &[&str]| {
        let args = [&["-q", "--csv", "--header", ":"], words].concat();
        let done = run(&env, &args, "name,age\nBob,4\n");
        assert_eq!(done.code(), 0, "{}", done.stderr);
        (done.stdout().to_owned(), done.stderr)
    };
    let said = "warning: `{nme}` is no column and stays as it is\n  the columns: name, age\n  \
                tip: a similar column exists: {name}\n";
    let (out, err) = told(&["echo", "{nme}", "{age}", "x{nme}"]);
    assert_eq!((&out[..], &err[..]), ("{nme} 4 x{nme}\n", said));
    let (out, err) = told(&["-c", "echo '{nme}' {name/.}"]);
    assert_eq!((&out[..], &err[..]), ("{nme} Bob\n", said));
    // A variable of the shell, and what no column could be called, are what they are.
    let (out, err) = told(&["-c", "name=x; echo ${name}{#} '{ }' {name}"]);
    assert_eq!((&out[..], &err[..]), ("x1 { } Bob\n", ""));
}

#[test]
fn headers_name_columns_as_in_gnu_parallel() {
    let table = "name,size/x\na/b.c,1\nd,\n";
    for words in [
        &[
            "--header", ":", "--colsep", ",", "echo", "{name}", "{name/.}", "{1}", "{2}",
        ][..],
        &[
            "--header", ":", "echo", "{A}{B}", "{1}", ":::", "A", "1", "2", ":::", "B", "x", "y",
        ],
        &[
            "--header", ":", "echo", "{A}{B}", ":::", "A", "1", "2", ":::+", "B", "x", "y",
        ],
        &[
            "--header", ":", "--link", "echo", "{A}{B}", ":::", "A", "1", "2", ":::", "B", "x",
        ],
        &["--header", ":", "echo", "{A}", "{nobody}", ":::", "A", "1"],
        &[
            "--header", ":", "-r", "-E", "A", "echo", "{A}", ":::", "A", "", "b", "A", "c",
        ],
        &["--header", ":", "echo", "x", ":::", "A"],
    ] {
        same(words).stdin(table).same();
    }
}

#[test]
fn names_are_remembered_by_a_recorded_run() {
    let env = TestEnv::new();
    let table = "file,\"what is,in it\"\na,1\nb,2\n";
    let args = [
        "-q",
        "--run-file",
        "r",
        "--csv",
        "--header",
        ":",
        "--",
        "ls",
        "{file}",
    ];
    assert_eq!(run(&env, &args, table).code(), 1);
    for name in ["a", "b"] {
        fs::write(env.path().join(name), "").unwrap();
    }
    let mut command = env.command(ORCHESTRATOR);
    command.args(["retry", "-q", "r"]);
    let done = env.run(command, "");
    let mut seen: Vec<&str> = done.stdout().lines().collect();
    seen.sort_unstable();
    assert_eq!(seen, ["a", "b"], "{}", done.stderr);
    // Without a first line there are no names, and no jobs.
    let empty = [&["-q", "--run-file", "e"], &args[3..]].concat();
    assert_eq!(run(&env, &empty, "").code(), 0);
    let mut command = env.command(ORCHESTRATOR);
    command.args(["retry", "-q", "e"]);
    let done = env.run(command, "x,y\n1,2\n");
    assert_eq!((done.code(), done.stdout()), (0, ""), "{}", done.stderr);
}

#[test]
fn a_value_that_fits_nowhere_is_refused_and_the_others_are_done() {
    let env = TestEnv::new();
    let input = format!("a\n{}\nb\n", "x".repeat(30));
    let done = run(&env, &["-k", "--xargs", "-s", "20", "--", "echo"], input);
    assert_eq!((done.code(), done.stdout()), (1, "a\nb\n"));
    let said = "error: line 2 of standard input makes a command line of ";
    assert!(done.stderr.contains(said), "{}", done.stderr);
    let exact = [
        "-k", "-x", "-n3", "-s", "10", "--", "echo", ":::", "1", "2", "3", "4",
    ];
    let done = run(&env, &exact, "");
    assert_eq!((done.code(), done.stdout()), (1, "4\n"));
    let said = "argument 1 of :::, with 2 more, makes";
    assert!(done.stderr.contains(said), "{}", done.stderr);
}

/// GNU parallel stops far below what the kernel takes, and a large environment leaves it
/// nothing: "Command line too long (1447 >= 0)".
#[test]
fn a_command_gets_what_the_kernel_takes_beside_a_large_environment() {
    let env = TestEnv::new();
    for bytes in [0, 120_000] {
        let mut command = env.command(ORCHESTRATOR);
        let args = ["run", "-q", "-j2", "-X", "--", "sh", "-c", "echo $#", "sh"];
        command.args(args).env("LARGE", "x".repeat(bytes));
        let done = env.run(command, numbers(300_000));
        assert_eq!(done.code(), 0, "{}", done.stderr);
        let counts: Vec<u32> = done.stdout().lines().map(|n| n.parse().unwrap()).collect();
        assert_eq!(counts.iter().sum::<u32>(), 300_000);
        assert!(counts.len() < 20, "{counts:?}");
    }
    // A word of the length that the kernel allows.
    let long = format!("{}\n", "y".repeat(131_071));
    let done = run(&env, &["-q", "-n2", "-c", "printf '%s' {} | wc -c"], long);
    assert_eq!(
        (done.code(), done.stdout()),
        (0, "131071\n"),
        "{}",
        done.stderr
    );
}

#[test]
fn packs_are_recorded_by_their_values() {
    let env = TestEnv::new();
    let list = ["--", "ls", ":::", "a", "b", "c"];
    let fails = ["-q", "--run-file", "r", "-n2", "--failed-to", "f"];
    assert_eq!(run(&env, &[&fails[..], &list].concat(), "").code(), 1);
    let failed = fs::read_to_string(env.path().join("f")).unwrap();
    let mut lines: Vec<&str> = failed.lines().collect();
    lines.sort_unstable();
    assert_eq!(lines, ["a,b", "c"]);
    for name in ["a", "b", "c"] {
        fs::write(env.path().join(name), "").unwrap();
    }
    let mut command = env.command(ORCHESTRATOR);
    command.args(["retry", "-q", "r"]);
    let done = env.run(command, "");
    let mut seen: Vec<&str> = done.stdout().lines().collect();
    seen.sort_unstable();
    assert_eq!(seen, ["a", "b", "c"], "{}", done.stderr);
    // The same values put in in another way are another command.
    let again = ["-q", "--run-file", "r", "--resume", "-N2"];
    let done = run(&env, &[&again[..], &list].concat(), "");
    assert_eq!(done.code(), 125, "{}", done.stderr);
}

#[test]
fn what_gets_one_value_only_says_so() {
    let env = TestEnv::new();
    let refused = |args: &[&str]| {
        let done = run(&env, args, "a\n");
        assert_eq!(done.code(), 2, "{}", done.stderr);
        done.stderr
    };
    assert!(refused(&["-X"]).contains("columns, combinations and packs are for commands"));
    assert!(refused(&["-s", "20", "--", "echo"]).contains("-s is for commands that get several"));
    assert!(refused(&["-n1", "-N1", "--", "echo"]).contains("cannot be used with"));
}
