//! Progress and summary, as somebody sees them who sits at a terminal or reads a log.

use std::fs;
use std::os::unix::fs::symlink;
use std::process::{Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::sys::termios::{FlowArg, tcflow, tcgetattr};
use nix::unistd::Pid;
use orchestrator_tests::{Done, Terminal, TestEnv, eventually, pty};
use serde_json::Value;

use super::run::{ORCHESTRATOR, sorted};

/// Goes on until there is a file `go`, and says what it is.
const WAITING: &str = "until test -e go; do sleep 0.01; done; echo done $1";

/// What takes a line of progress away, and what ends one.
const CLEAR: &str = "\r\x1b[K";
const END: &str = "\x1b[K\r";

fn run(env: &TestEnv, args: &[&str], stdin: &str) -> Done {
    let mut command = env.command(ORCHESTRATOR);
    command.arg("run").args(args).env_remove("CI");
    env.run(command, stdin)
}

/// The lines of progress that were shown, without their colours.
fn frames(screen: &str) -> Vec<String> {
    let plain = screen.replace("\x1b[31m", "").replace("\x1b[0m", "");
    let mut pieces: Vec<&str> = plain.split(END).collect();
    // What follows the last one.
    pieces.pop();
    let frames = pieces.iter().filter_map(|before| before.rsplit_once('\r'));
    frames.map(|(_, frame)| frame.to_owned()).collect()
}

/// What somebody sees at the end: the lines of a screen that is large enough.
fn seen(terminal: &Terminal, columns: u16) -> Vec<String> {
    let mut parser = vt100::Parser::new(400, columns, 0);
    parser.process(&terminal.bytes());
    let screen = parser.screen();
    assert!(!screen.hide_cursor() && !screen.alternate_screen());
    let lines = screen.rows(0, columns).map(|row| row.trim_end().to_owned());
    let lines: Vec<String> = lines.collect();
    let last = lines.iter().rposition(|line| !line.is_empty());
    lines[..last.map_or(0, |last| last + 1)].to_vec()
}

/// Waits until there was such a line of progress.
fn shows(terminal: &Terminal, part: &str) {
    eventually(&format!("a line of progress has {part:?}"), || {
        frames(&terminal.screen())
            .iter()
            .any(|frame| frame.contains(part))
    });
}

#[test]
fn at_40_columns_nothing_wraps_whatever_jobs_are_called() {
    let env = TestEnv::new();
    let name = "\u{202e}\x1b[2J\x07evil\x1b]0;title\x07 名前名前名前名前名前名前名前 and so on";
    env.file("in", format!("{name}\n{name}\nplain\n"));
    let args = ["run", "-j2", "-a", "in", "--", "sh", "-c", WAITING, "sh"];
    for columns in [40, 12, 100] {
        fs::remove_file(env.path().join("go")).ok();
        let mut terminal = Terminal::wide(&env, columns, ORCHESTRATOR, &args);
        shows(&terminal, "0/3");
        if columns == 100 {
            shows(&terminal, "longest: ");
        }
        env.file("go", "");
        assert_eq!(terminal.ended().code(), Some(0));
        terminal.shows("3 jobs succeeded");
        let screen = terminal.screen();
        let (progress, _) = screen.split_once("done").unwrap();
        for frame in frames(progress) {
            let width: usize = frame.chars().map(|c| 1 + usize::from(!c.is_ascii())).sum();
            assert!(width < columns.into(), "{columns}: {frame:?}");
            assert!(!frame.contains(char::is_control), "{frame:?}");
            assert!(!frame.contains('\u{202e}'), "{frame:?}");
        }
    }
}

#[test]
fn at_40_columns_the_summary_is_folded_between_words() {
    let env = TestEnv::new();
    let job = "echo cannot read the third of four files that are too long for this >&2; exit 3";
    let args = ["run", "-j2", "--summary", "full", "--", "sh", "-c", job];
    let mut terminal = Terminal::wide(&env, 40, ORCHESTRATOR, &[&args[..], &[":::", "a"]].concat());
    assert_eq!(terminal.ended().code(), Some(1));
    terminal.shows("run those again");
    let screen = terminal.screen();
    let (_, summary) = screen.split_once("0 of 1 job succeeded").unwrap();
    for line in summary.lines() {
        let width: usize = line.chars().map(|c| 1 + usize::from(!c.is_ascii())).sum();
        assert!(width < 40, "{line:?}");
    }
    for line in [
        "              | cannot read the third",
        "              | of four files that are",
        "              | too long for this",
        "  next      orchestrator report last",
        "            # which have failed, and",
        "            # why",
    ] {
        assert!(
            summary.lines().any(|told| told.trim_end() == line),
            "{line:?}: {summary}"
        );
    }
}

#[test]
fn a_log_holds_no_escape_and_a_short_run_leaves_its_verdict_alone() {
    let env = TestEnv::new();
    let wait = ["-j2", "--", "sh", "-c", "sleep 2.3; test $1 != bad", "sh"];
    let quick = run(&env, &wait, "a\n");
    assert!(quick.stderr.starts_with("orchestrator: 1 job succeeded"));
    assert_eq!(quick.stderr.lines().count(), 1, "{}", quick.stderr);

    let asked = [&["--progress", "always"][..], &wait].concat();
    let mut command = env.command(ORCHESTRATOR);
    command.arg("run").args(&asked);
    command.env("TERM", "xterm").env("FORCE_COLOR", "1");
    let asked = env.run(command, "a\nbad\n\x1b[31mred\n");
    assert_eq!(asked.code(), 1);
    assert!(!asked.stderr.contains('\x1b'), "{}", asked.stderr);
    let mut lines = asked.stderr.lines();
    let told = |line: &str| line.starts_with("orchestrator: ") && line.contains(" done, ");
    assert!(lines.any(|line| told(line) && line.contains("s: 0 of 3 done, 2 running")));
    assert!(asked.stderr.contains(", longest: a "), "{}", asked.stderr);

    let never = [&["--progress", "never", "--summary", "none"][..], &wait].concat();
    assert_eq!(run(&env, &never, "a\n").stderr, "");
    assert_eq!(run(&env, &[&["-q"][..], &wait].concat(), "a\n").stderr, "");
}

#[test]
fn programs_get_an_object_every_second() {
    let env = TestEnv::new();
    let args = ["-q", "--progress", "json", "--", "sleep"];
    let done = run(&env, &args, "2.5\n");
    let objects = done
        .stderr
        .lines()
        .map(|line| serde_json::from_str(line).unwrap());
    let objects: Vec<Value> = objects.collect();
    let object = objects.iter().find(|object| object["running"] == 1);
    let object = object.unwrap_or_else(|| panic!("{}", done.stderr));
    for (key, value) in [
        ("progress", Value::from(1)),
        ("done", 0.into()),
        ("total", 1.into()),
        ("stopping", false.into()),
    ] {
        assert_eq!(object[key], value, "{key} {object}");
    }
    assert_eq!(object["longest"]["name"], "2.5", "{object}");
    let summary = run(&env, &["--summary", "json", "--", "sleep"], "0.01\n");
    assert_eq!(summary.stderr.lines().count(), 1, "{}", summary.stderr);
}

#[test]
fn after_an_interrupt_the_terminal_is_as_before() {
    let env = TestEnv::new();
    env.file("in", "1\n2\n");
    let args = ["run", "-j2", "-a", "in", "--", "sh", "-c", WAITING, "sh"];
    let mut terminal = Terminal::wide(&env, 60, ORCHESTRATOR, &args);
    let path = fs::File::open(&terminal.path).unwrap();
    let before = tcgetattr(&path).unwrap();
    shows(&terminal, "2 running");
    terminal.press("\x03");
    terminal.shows("(Ctrl-C again to kill them now)");
    terminal.shows("interrupted or");
    terminal.shows("orchestrator retry last");
    terminal.child.wait().unwrap();
    assert!(tcgetattr(&path).unwrap() == before, "modes have changed");
    drop(path);
    terminal.ended();
    let lines = seen(&terminal, 60);
    assert!(
        lines.iter().all(|line| !line.contains(" running  ")),
        "{lines:?}"
    );
    assert!(lines[0].starts_with("stopping: "), "{lines:?}");
    let mut parser = vt100::Parser::new(50, 60, 0);
    parser.process(&terminal.bytes());
    assert_eq!(parser.screen().cursor_position().1, 0);
}

#[test]
fn a_stop_takes_the_line_away_until_it_goes_on() {
    let env = TestEnv::new();
    env.file("in", "1\n2\n");
    let mut terminal = Terminal::wide(&env, 80, "bash", &["--norc", "--noprofile", "-i"]);
    terminal.press("PS1='$ '; stty -echo; bind 'set enable-bracketed-paste off'\n");
    terminal.press(&format!(
        "{ORCHESTRATOR} run -j2 -a in -- sh -c '{WAITING}' sh; echo \"status $?\"\n"
    ));
    shows(&terminal, "2 running");
    terminal.press("\x1a");
    terminal.shows("Stopped");
    let before = terminal.screen();
    let (_, behind) = before.rsplit_once(" running").unwrap();
    assert!(behind.contains(CLEAR), "{behind:?}");
    terminal.press("echo $((6*7))\n");
    terminal.shows("42");
    assert_eq!(
        frames(&terminal.screen()).len(),
        frames(&before).len(),
        "nothing is drawn meanwhile"
    );
    terminal.press("fg\n");
    eventually("the line is there again", || {
        frames(&terminal.screen()).len() > frames(&before).len()
    });
    env.file("go", "");
    terminal.shows("2 jobs succeeded");
    terminal.press("exit\n");
    terminal.ended();
}

#[test]
fn a_terminal_that_becomes_narrow_gets_a_shorter_line() {
    let env = TestEnv::new();
    env.file("in", "1\n2\n");
    let args = ["run", "-j2", "-a", "in", "--", "sh", "-c", WAITING, "sh"];
    let mut terminal = Terminal::wide(&env, 120, ORCHESTRATOR, &args);
    shows(&terminal, "longest: ");
    let mut stty = env.command("stty");
    stty.arg("-F").arg(&terminal.path).args(["cols", "20"]);
    assert_eq!(env.run(stty, "").code(), 0);
    eventually("the line is short", || {
        let frames = frames(&terminal.screen());
        frames.last().is_some_and(|frame| frame.len() < 20)
    });
    env.file("go", "");
    terminal.ended();
}

#[test]
fn results_and_failures_stand_above_the_line_and_are_whole() {
    let env = TestEnv::new();
    let numbers: String = (1..=30).map(|n| format!("{n}\n")).collect();
    env.file("in", numbers);
    let script = "sleep 0.1; echo out $1; echo err $1 >&2; test $1 != 7 || kill -9 $$";
    let args = [
        "run", "-j3", "-k", "-a", "in", "--", "sh", "-c", script, "sh",
    ];
    let mut terminal = Terminal::wide(&env, 70, ORCHESTRATOR, &args);
    assert_eq!(terminal.ended().code(), Some(1));
    terminal.shows("orchestrator retry last");
    assert!(frames(&terminal.screen()).len() >= 3);
    let lines = seen(&terminal, 200);
    let mut at = 0;
    for n in 1..=30 {
        assert_eq!(lines[at], format!("out {n}"));
        assert_eq!(lines[at + 1], format!("err {n}"));
        at += 2;
        if n == 7 {
            let error = "error: line 7: command was ended by SIGKILL";
            assert!(lines[at].starts_with(error), "{}", lines[at]);
            at += 1;
        }
    }
    assert!(lines[at].starts_with("29 of 30 jobs succeeded, 1 failed"));
}

#[test]
fn what_has_no_line_feed_is_never_overwritten() {
    let env = TestEnv::new();
    env.file("in", "1\n2\n3\n");
    let script = "sleep 0.4; printf \"<$1>\"";
    let args = ["run", "-j1", "-a", "in", "--", "sh", "-c", script, "sh"];
    let mut terminal = Terminal::wide(&env, 70, ORCHESTRATOR, &args);
    assert_eq!(terminal.ended().code(), Some(0));
    terminal.shows("3 jobs succeeded");
    let lines = seen(&terminal, 70);
    assert_eq!(lines[0], "<1><2><3>");
    assert!(lines[1].starts_with("3 jobs succeeded"), "{lines:?}");
}

#[test]
fn in_a_log_what_is_told_never_stands_behind_what_has_no_line_feed() {
    let env = TestEnv::new();
    let args = ["--summary", "json", "-c", "printf %s {} >&2"];
    let done = run(&env, &args, "a\nb\n");
    let (printed, summary) = done.stderr.split_once('\n').unwrap();
    assert_eq!(printed.len(), 2, "{printed}");
    let summary: Value = serde_json::from_str(summary).unwrap();
    assert_eq!(summary["succeeded"], 2);
    let whole = run(&env, &["--summary", "line", "-c", "echo {} >&2"], "a\n");
    assert_eq!(whole.stderr.lines().count(), 2, "{}", whole.stderr);
    // Results in the same file.
    let script = "exec 2>&1; printf a | \"$0\" run --summary line -- printf";
    let mut command = env.command("sh");
    command.args(["-c", script, ORCHESTRATOR]).env_remove("CI");
    let done = env.run(command, "");
    let said = done
        .stdout()
        .strip_prefix("a\norchestrator: 1 job succeeded");
    assert!(said.is_some(), "{}", done.stdout());
    // In another one, they are nothing to it.
    let elsewhere = run(&env, &["--summary", "line", "--", "printf"], "a");
    assert_eq!(elsewhere.stdout(), "a");
    assert!(
        elsewhere.stderr.starts_with("orchestrator: "),
        "{}",
        elsewhere.stderr
    );
}

#[test]
fn gnu_parallels_names_of_it_show_it() {
    let env = TestEnv::new();
    let line = "sleep 1.2; echo {}";
    for (options, is_shown) in [
        (&["parallel", "--bar"][..], true),
        (&["parallel", "--eta"], true),
        (&["parallel", "--progress"], true),
        (&["parallel"], false),
        (&["run", "-q", "--bar", "-c"], true),
        (&["run", "--eta", "--summary", "none", "-c"], true),
        (&["run", "-q", "-c"], false),
    ] {
        let args = [options, &[line, ":::", "x"]].concat();
        let mut terminal = Terminal::wide(&env, 70, ORCHESTRATOR, &args);
        assert_eq!(terminal.ended().code(), Some(0));
        terminal.shows("x\r\n");
        let frames = frames(&terminal.screen());
        assert_eq!(!frames.is_empty(), is_shown, "{options:?}");
        assert_eq!(seen(&terminal, 70), ["x"], "{options:?}");
        // The first may come before it is known how many jobs there are.
        let last = frames.last();
        assert!(last.is_none_or(|frame| frame.contains("/1")), "{last:?}");
    }
}

#[test]
fn a_terminal_that_stands_still_holds_up_no_results_that_go_elsewhere() {
    let env = TestEnv::new();
    let (_ours, terminal, _) = pty::pair();
    // As Ctrl-S does it.
    tcflow(&terminal, FlowArg::TCOOFF).unwrap();
    let numbers: String = (1..=40).map(|n| format!("{n}\n")).collect();
    let input = env.file("in", numbers);
    let mut command = env.command(ORCHESTRATOR);
    command.args(["run", "-j2", "--progress", "bar", "--", "sh", "-c"]);
    command
        .args(["sleep 0.1; echo $1", "sh"])
        .env("TERM", "xterm");
    command.stdin(fs::File::open(input).unwrap());
    command.stdout(fs::File::create(env.path().join("out")).unwrap());
    command.stderr(terminal.try_clone().unwrap());
    let mut child = command.spawn().unwrap();
    eventually("all results are there", || {
        let out = fs::read_to_string(env.path().join("out")).unwrap();
        out.lines().count() == 40
    });
    tcflow(&terminal, FlowArg::TCOON).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

/// The highest memory that a process had, in KiB.
fn peak(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let number = peak.unwrap().trim().trim_end_matches(" kB");
    number.parse().unwrap()
}

#[test]
fn a_million_lines_are_counted_at_once_and_kept_nowhere() {
    let env = TestEnv::new();
    let numbers: String = (1..=1_000_000).map(|n| format!("{n}\n")).collect();
    env.file("in", numbers);
    let script = "touch begun.$1; exec sleep 1000";
    let mut command: Command = env.command(ORCHESTRATOR);
    command.args(["run", "-j2", "--progress", "always", "--grace", "0.1"]);
    command.args(["-a", "in", "--", "sh", "-c", script, "sh"]);
    command.stderr(fs::File::create(env.path().join("log")).unwrap());
    let mut child = command.stdout(Stdio::null()).spawn().unwrap();
    eventually("the first job runs", || env.path().join("begun.1").exists());
    eventually("the total is known", || {
        let log = fs::read_to_string(env.path().join("log")).unwrap();
        log.contains("0 of 1,000,000 done, 2 running")
    });
    let peak = peak(child.id());
    assert!(peak < 64 << 10, "{peak} KiB");
    kill(Pid::from_raw(child.id() as i32), Signal::SIGTERM).unwrap();
    child.wait().unwrap();
}

#[test]
fn what_a_job_log_says_is_done_is_no_part_of_a_total() {
    let env = TestEnv::new();
    let numbers: String = (1..=300_000).map(|n| format!("{n}\n")).collect();
    env.file("in", numbers);
    env.file("jobs", "Seq\tHost\n1\t:\t1.0\t0.001\t0\t0\t0\t0\tsleep\n");
    let mut command: Command = env.command(ORCHESTRATOR);
    command.args(["run", "-j1", "-q", "--progress", "json", "--grace", "0.1"]);
    command.args([
        "--joblog",
        "jobs",
        "--skip-logged",
        "ended",
        "-a",
        "in",
        "--",
        "sleep",
        "1000",
    ]);
    command.stderr(fs::File::create(env.path().join("log")).unwrap());
    let mut child = command.stdout(Stdio::null()).spawn().unwrap();
    let mut log = String::new();
    eventually("it has been looked at", || {
        log = fs::read_to_string(env.path().join("log")).unwrap();
        log.matches("\"running\":1").count() > 2
    });
    kill(Pid::from_raw(child.id() as i32), Signal::SIGTERM).unwrap();
    child.wait().unwrap();
    assert!(!log.contains("\"total\":3"), "{log}");
}

/// The command lines that a summary names.
fn next(summary: &str) -> Vec<String> {
    let lines = summary
        .lines()
        .skip_while(|line| !line.starts_with("  next "));
    let lines = lines.map(|line| line.trim_start_matches("  next ").trim().to_owned());
    lines.collect()
}

/// What somebody types, where `orchestrator` is the program's name.
fn typed(env: &TestEnv, line: &str) -> Done {
    let bin = env.path().join("bin");
    fs::create_dir_all(&bin).unwrap();
    symlink(ORCHESTRATOR, bin.join("orchestrator")).ok();
    let mut command = env.command("sh");
    let path = std::env::var("PATH").unwrap();
    command.env("PATH", format!("{}:{path}", bin.display()));
    command.args(["-c", line]);
    env.run(command, "")
}

#[test]
fn from_a_finished_batch_to_the_jobs_that_failed_and_why_and_those_again() {
    let env = TestEnv::new();
    let job = "echo \"$1\" >> ran; case $1 in *3) test -e mended || \
               { echo \"$1: no such colour\" >&2; exit 4; };; esac";
    env.file("job", job);
    let line = "seq 70 | orchestrator run -- sh job {}";
    let first = typed(&env, line);
    assert_eq!(first.code(), 1);
    let said = &first.stderr[first.stderr.find("orchestrator: 63 of 70").unwrap()..];
    assert!(said.contains("70 jobs succeeded, 7 failed, in "), "{said}");
    assert!(said.contains(": no such colour\n"), "{said}");
    assert!(said.contains("… and 4 more\n"), "{said}");

    let [report, retry] = &next(said)[..] else {
        panic!("{said}");
    };
    let report = typed(&env, report);
    assert_eq!(report.code(), 0, "{}", report.stderr);
    for n in [3, 13, 23, 33, 43, 53, 63] {
        let (line, why) = (format!("line {n}: "), format!("{n}: no such colour"));
        assert!(report.stdout().contains(&line), "{}", report.stdout());
        assert!(report.stdout().contains(&why), "{}", report.stdout());
    }
    fs::remove_file(env.path().join("ran")).unwrap();
    let still = typed(&env, retry);
    assert_eq!(still.code(), 1, "{}", still.stderr);
    assert_eq!(next(&still.stderr), next(said));
    env.file("mended", "");
    fs::remove_file(env.path().join("ran")).unwrap();
    let again = typed(&env, retry);
    assert_eq!(again.code(), 0, "{}", again.stderr);
    assert!(again.stderr.contains("orchestrator: 7 jobs succeeded in "));
    let ran = fs::read_to_string(env.path().join("ran")).unwrap();
    assert_eq!(sorted(&ran), ["13", "23", "3", "33", "43", "53", "63"]);
}

#[test]
fn the_summary_of_a_recorded_run_names_commands_that_work_whatever_the_file_is_called() {
    let env = TestEnv::new();
    let line = "printf 'a\\nbad\\n' | orchestrator run --run-file \"it's a run\" -j1 -- \
                sh -c 'test $1 != bad || test -e mended' x {}";
    let first = typed(&env, line);
    assert_eq!(first.code(), 1, "{}", first.stderr);
    let [report, retry] = &next(&first.stderr)[..] else {
        panic!("{}", first.stderr);
    };
    assert!(typed(&env, report).stdout().contains("line 2: "));
    env.file("mended", "");
    assert_eq!(typed(&env, retry).code(), 0);
}

#[test]
fn the_summary_for_scripts_says_what_came_of_it() {
    let env = TestEnv::new();
    let script = "case $1 in a) sleep 1;; b) echo no >&2; exit 3;; c) sleep 60;; esac";
    let args = [
        "--summary",
        "json",
        "-j2",
        "--timeout",
        "5",
        "--",
        "sh",
        "-c",
        script,
        "sh",
    ];
    let done = run(&env, &args, "a\nb\nc\n");
    let summary: Value = serde_json::from_str(done.stderr.lines().last().unwrap()).unwrap();
    for (key, value) in [
        ("summary", serde_json::json!(1)),
        ("jobs", 3.into()),
        ("total", 3.into()),
        ("succeeded", 1.into()),
        ("failed", 2.into()),
        (
            "verdicts",
            serde_json::json!({"ok": 1, "failed": 1, "timeout": 1}),
        ),
        ("complete", true.into()),
        ("stopped", false.into()),
        ("failure", Value::Null),
        (
            "next",
            serde_json::json!(["orchestrator report last", "orchestrator retry last"]),
        ),
    ] {
        assert_eq!(summary[key], value, "{key}: {summary}");
    }
    assert_eq!(summary["failures"][0]["stderr"], serde_json::json!(["no"]));
    assert_eq!(summary["slowest"][0]["name"], "c", "{summary}");
    assert_eq!(summary["slowest"][1]["name"], "a", "{summary}");

    let failed = run(&env, &["--summary", "json", "-a", ".", "--", "true"], "");
    assert_eq!(failed.code(), 2, "{}", failed.stderr);
    let full = run(&env, &["--summary", "full", "--", "sleep"], "0.02\n");
    assert!(
        full.stderr.contains("\n  verdicts  1 ok\n"),
        "{}",
        full.stderr
    );
    assert!(full.stderr.contains("  0.02 (line 1)\n"), "{}", full.stderr);
    let line = run(&env, &["--summary", "line", "--", "false"], "1\n");
    assert_eq!(line.stderr.lines().count(), 1, "{}", line.stderr);
}
