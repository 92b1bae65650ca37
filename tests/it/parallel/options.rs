//! `orchestrator parallel`: its options, and where they come from.

use std::collections::BTreeSet;

use orchestrator_tests::{Done, TestEnv};

use super::super::run::ORCHESTRATOR;
use super::Line;
use super::oracle::is_installed;

fn ours(words: &[&str]) -> Done {
    let env = TestEnv::new();
    let mut command = env.command(ORCHESTRATOR);
    command.arg("parallel").args(words);
    env.run(command, "a\nb\n")
}

#[test]
fn options_are_read_as_there() {
    for words in [
        &["-kj4", "echo"][..],
        &["-kj", "4", "echo"],
        &["-k", "--jobs=2", "--jobs", "1", "echo"],
        &["--keep", "--max-proc=2", "echo"],
        &["--KEEP-ORDER", "echo"],
        &["-k", "-P2", "echo", "-j", "--nosuch"],
        &[
            "-k",
            "--will-cite",
            "--gnu",
            "--group",
            "--no-notice",
            "echo",
        ],
        &["-k", "--", "echo"],
        &["-k", "--retries", "2", "--halt", "never", "echo"],
        &["-k", "--timeout", "1h1m", "echo"],
        &["-0k", "printf '<%s>'"],
    ] {
        Line::new(words).stdin("a\nb\n").same();
    }
}

#[test]
fn options_also_come_from_a_variable_and_from_files() {
    let line = |words: &[&str]| Line::new(words).stdin("c\na\nb\n");
    line(&["echo"]).env("PARALLEL", "-k -j1").same();
    line(&["echo"])
        .env("PARALLEL", "-k -j1 echo 'x  y' then")
        .same();
    // The second one is done first.
    Line::new(&["-k", "-j2", "sleep {}; echo {}"])
        .stdin("1.5\n0.1\n")
        .env("PARALLEL", "--no-keep-order")
        .same();
    line(&["-J", "./mine", "echo"])
        .file("mine", "# a comment\n-k\n-j 3\n")
        .same();
    line(&["-k", "-J", "./mine", "echo"])
        .file("mine", "echo first\n")
        .same();
    let settings = || line(&["-k", "echo"]).file(".home/.parallel/config", "echo from the file\n");
    let done = settings().same();
    assert!(
        done.stdout().starts_with("from the file echo c\n"),
        "{}",
        done.stdout()
    );
    let plain = line(&["--plain", "-k", "echo"]).file(".home/.parallel/config", "echo file\n");
    plain.env("PARALLEL", "echo variable").same();
}

#[test]
fn files_with_options_may_be_in_another_directory() {
    for words in [&["echo"][..], &["-J", "other", "echo"]] {
        let line = Line::new(&[&["-k"], words].concat()).stdin("a\nb\n");
        let line = line
            .file(".home/conf/config", "echo from the file\n")
            .file(".home/conf/other", "echo from the other\n")
            .env("PARALLEL_HOME", ".home/conf");
        let done = line.same();
        assert!(done.stdout().starts_with("from the "), "{}", done.stdout());
    }
}

#[test]
fn a_file_with_options_that_is_not_there_is_an_error() {
    // There it is as if nothing had been asked for.
    let done = ours(&["-J", "nosuch", "echo"]);
    assert_eq!((done.code(), done.stdout()), (2, ""));
    assert!(
        done.stderr.contains("nosuch: no such file"),
        "{}",
        done.stderr
    );
}

#[test]
fn usage_errors_are_2_and_told_on_stderr() {
    for (words, what) in [
        (
            &["--nosuch", "echo"][..],
            "GNU parallel has no option `--nosuch`",
        ),
        (&["-Q", "echo"], "GNU parallel has no option `-Q`"),
        (&["--keep-order=3", "echo"], "--keep-order takes no value"),
        (
            &["--jo", "3", "echo"],
            "--jo may be any of --jobs, --joblog",
        ),
        (
            &["--halt", "nonsense", "echo"],
            "invalid value 'nonsense' for '--halt",
        ),
        (
            &["--trim", "x", "echo"],
            "invalid value 'x' for '--trim <WHERE>' [possible values: n, l, r, lr]",
        ),
        (
            &["--retries", "x", "echo"],
            "--retries `x`: a number of attempts is wanted",
        ),
        (
            &["--timeout", "x", "echo"],
            "--timeout `x`: seconds are wanted",
        ),
        (&["-j"], "-j needs a value"),
    ] {
        let done = ours(words);
        assert_eq!((done.code(), done.stdout()), (2, ""), "{words:?}");
        let said = &done.stderr;
        assert!(said.starts_with(&format!("error: {what}")), "{said}");
        assert_eq!(
            said.lines().filter(|l| !l.contains("  tip: ")).count(),
            1,
            "{said}"
        );
    }
}

#[test]
fn what_is_not_offered_is_refused_by_name_and_never_a_wrong_run() {
    for (words, instead) in [
        (&["-S", "host", "echo"][..], "orchestrator run --hosts"),
        (&["--sshloginfile=..", "echo"], "orchestrator run --hosts"),
        (&["--trc", "{}.out", "echo"], "rsync"),
        (&["--semaphore", "--id", "x", "echo"], "flock"),
        (&["--sqlmaster", "sqlite3:///x/y", "echo"], "--run-file"),
        (&["--rpl", "{x} s/a/b/", "echo"], "awk"),
        (&["--tmux", "echo"], "terminal"),
        (&["--tty", "echo"], "xargs -o"),
        (&["-p", "echo"], "xargs -p"),
        (&["--embed"], "copy"),
        (&["--number-of-cores"], "nproc"),
        (&["-g", "echo"], "retired"),
        (&["--limit", "load 1", "echo"], "--load"),
        (&["--tee", "--pipe", "cat"], "tee"),
        (&["--interactive", "echo"], "xargs"),
        (&["--color", "echo"], "--tag"),
        (&["--ctag", "echo"], "--tag"),
        (&["--ctagstring", "x", "echo"], "--tag"),
        (&["--colour-failed", "echo"], "--tag"),
        (&["--retry-failed", "--joblog", "l"], "--resume-failed"),
    ] {
        let done = ours(words);
        assert_eq!((done.code(), done.stdout()), (2, ""), "{words:?}");
        let said = &done.stderr;
        assert!(said.contains("is not offered: "), "{said}");
        assert!(
            said.contains(instead) && said.lines().count() == 1,
            "{said}"
        );
    }
}

#[test]
fn the_version_and_help_are_ours() {
    let done = ours(&["--version"]);
    assert_eq!(done.code(), 0);
    assert!(
        done.stdout().starts_with("orchestrator "),
        "{}",
        done.stdout()
    );
    let done = ours(&["--help"]);
    assert_eq!(done.code(), 0);
    for told in [
        "\nInput:\n",
        "--keep-order",
        "Try a job up to N times",
        "Without effect:",
    ] {
        assert!(done.stdout().contains(told), "{told}: {}", done.stdout());
    }
    assert!(!done.stdout().contains("--sshlogin"), "{}", done.stdout());
    let env = TestEnv::new();
    let mut help = env.command(ORCHESTRATOR);
    help.args(["help", "parallel"]);
    assert_eq!(env.run(help, "").stdout(), done.stdout());
    Line::new(&["--minversion", "20170422"]).same();
    for (wanted, code) in [("20170422", 0), ("29990101", 255), ("x", 255)] {
        assert_eq!(ours(&["--minversion", wanted]).code(), code);
    }
}

/// The options that a manual page has, as they are written there.
fn in_manual(page: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    // Options begin a paragraph of their own, seven columns in.
    let paragraphs = page
        .lines()
        .filter_map(|line| line.strip_prefix("       -"));
    // Some are exit codes.
    let is_code = |line: &&str| line.starts_with(|c| matches!(c, '1'..='9'));
    for line in paragraphs.filter(|line| !is_code(line)) {
        let end = line.find(|c| !is_name(c)).unwrap_or(line.len());
        let name = line[..end].trim_start_matches('-');
        let long = line.starts_with('-');
        found.insert(if long {
            format!("--{name}")
        } else {
            format!("-{}", &name[..1])
        });
    }
    found
}

#[test]
fn every_option_of_gnu_parallels_manual_is_known() {
    if !is_installed() {
        return;
    }
    let env = TestEnv::new();
    let mut col = env.command("sh");
    col.args(["-c", "MANWIDTH=80 LC_ALL=C man parallel | col -bx"]);
    let page = env.run(col, "");
    let options = in_manual(page.stdout());
    // Some systems leave manuals out.
    if options.is_empty() {
        return;
    }
    assert!(options.len() > 150, "{options:?}");
    for option in &options {
        let done = ours(&[option, "--nosuch"]);
        let unknown = format!("GNU parallel has no option `{option}`");
        assert!(!done.stderr.contains(&unknown), "{option}: {}", done.stderr);
        assert!(
            !done.stderr.contains("may be any of"),
            "{option}: {}",
            done.stderr
        );
    }
}
