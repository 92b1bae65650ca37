//! What becomes of what jobs print: modes, tags, files, tables and the job log. Defects of other
//! tools are called by their number in a list of them.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::Stdio;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use orchestrator_tests::env::finish;
use orchestrator_tests::{Done, TestEnv, eventually};
use serde_json::Value;

use crate::run::{ORCHESTRATOR, WORKER, command, objects, run, sorted};

/// The modes in which outputs are printed.
const MODES: [&[&str]; 3] = [&[], &["--line-buffer"], &["--ungroup"]];

fn lines(path: &Path) -> Vec<Vec<String>> {
    let text = std::fs::read_to_string(path).unwrap();
    let columns = |line: &str| line.split('\t').map(str::to_owned).collect();
    text.lines().map(columns).collect()
}

/// The files below a directory with what they hold.
fn tree(root: &Path) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut dirs = vec![root.to_owned()];
    while let Some(dir) = dirs.pop() {
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                dirs.push(path);
            } else {
                let name = path
                    .strip_prefix(root)
                    .unwrap()
                    .to_str()
                    .unwrap()
                    .to_owned();
                found.push((name, std::fs::read_to_string(path).unwrap()));
            }
        }
    }
    found.sort();
    found
}

#[test]
fn lines_of_running_jobs_come_while_they_run() {
    for mode in ["--line-buffer", "--ungroup"] {
        let env = TestEnv::new();
        let script = "echo one; echo two >&2; while [ ! -e go ]; do sleep 0.01; done; echo three";
        let mut child = command(&env, &["-q", mode, "-c", &format!("{script}; : {{}}")])
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(b"x\n").unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        // The job has not ended, and cannot.
        out.read_line(&mut line).unwrap();
        assert_eq!(line, "one\n");
        let mut err = BufReader::new(child.stderr.take().unwrap());
        line.clear();
        err.read_line(&mut line).unwrap();
        assert_eq!(line, "two\n");
        env.file("go", "");
        line.clear();
        out.read_to_string(&mut line).unwrap();
        assert_eq!(line, "three\n");
        assert!(child.wait().unwrap().success());
    }
}

#[test]
fn lines_are_never_mixed_and_each_comes_once() {
    let env = TestEnv::new();
    // Lines in two writes each, from several processes at once.
    let script = "i=0; while [ $i -lt 200 ]; do printf 'begin-%s-' {}; printf 'end-%s\\n' $i; \
                  i=$((i+1)); done";
    let done = run(&env, &["-q", "-j4", "--lb", "-c", script], "a\nb\nc\nd\n");
    assert_eq!(done.code(), 0, "{}", done.stderr);
    let mut expected: Vec<String> = Vec::new();
    for job in ["a", "b", "c", "d"] {
        expected.extend((0..200).map(|i| format!("begin-{job}-end-{i}")));
    }
    expected.sort_unstable();
    assert_eq!(sorted(done.stdout()), expected);
    // Of one job, in its order.
    let of_a: Vec<&str> = done
        .stdout()
        .lines()
        .filter(|l| l.starts_with("begin-a-"))
        .collect();
    let in_order = (0..200).map(|i| format!("begin-a-end-{i}"));
    assert!(of_a.iter().eq(in_order.collect::<Vec<_>>().iter()));
}

#[test]
fn a_long_line_without_an_end_is_whole() {
    let env = TestEnv::new();
    // Longer than anything that passes at once.
    let script = "head -c 3000000 /dev/zero | tr '\\0' {}";
    let done = run(&env, &["-q", "-j2", "--lb", "-c", script], "a\nb\n");
    let (first, second) = done.stdout.split_at(3_000_000);
    assert!(first.iter().all(|b| *b == first[0]) && second.iter().all(|b| *b == second[0]));
    assert_eq!(second.len(), 3_000_000);
    assert_ne!(first[0], second[0]);
}

#[test]
fn in_order_the_first_job_that_runs_is_shown_live_and_others_when_their_turn_comes() {
    for mode in ["--line-buffer", "--ungroup"] {
        let env = TestEnv::new();
        let script = "echo begin {}; [ {} = 1 ] && while [ ! -e go ]; do sleep 0.01; done; \
                      echo end {}; : > done-{}";
        let mut child = command(&env, &["-q", "-j2", "-k", mode, "-c", script])
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(b"1\n2\n3\n").unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        out.read_line(&mut line).unwrap();
        assert_eq!(line, "begin 1\n");
        eventually("the others end", || env.path().join("done-3").exists());
        env.file("go", "");
        out.read_to_string(&mut line).unwrap();
        let expected: String = (1..=3).map(|n| format!("begin {n}\nend {n}\n")).collect();
        assert_eq!(line, expected);
        assert!(child.wait().unwrap().success());
    }
}

#[test]
fn every_line_has_its_tag_in_every_mode() {
    let env = TestEnv::new();
    for mode in MODES {
        let script = "echo {}; printf 'a\\nb\\n' >&2; echo last";
        let args = [mode, &["-q", "-k", "--tag", "-c", script]].concat();
        let done = run(&env, &args, "x y\nz\n");
        assert_eq!(
            done.stdout(),
            "x y\tx y\nx y\tlast\nz\tz\nz\tlast\n",
            "{mode:?}"
        );
        let expected = ["x y\ta", "x y\tb", "z\ta", "z\tb"];
        assert_eq!(sorted(&done.stderr), expected, "{mode:?}");
        let args = [
            mode,
            &["-q", "-k", "--tagstring", "{#}\\t{/.}", "-c", script],
        ]
        .concat();
        let done = run(&env, &args, "/d/x.c\n");
        assert_eq!(done.stdout(), "1\tx\t/d/x.c\n1\tx\tlast\n", "{mode:?}");
    }
}

#[test]
fn what_a_job_leaves_without_a_line_feed_stays_so() {
    // As GNU parallel does it. With -k, since what comes of the next job may overtake an end.
    let env = TestEnv::new();
    for mode in [&[][..], &["--lb"]] {
        let args = [
            mode,
            &["-q", "-k", "-j1", "--tag", "printf", "a\\nb%s", "{}"],
        ]
        .concat();
        let done = run(&env, &args, "1\n2\n");
        assert_eq!(done.stdout(), "1\ta\n1\tb12\ta\n2\tb2");
    }
}

#[test]
fn commands_are_printed_where_they_are_wanted() {
    let env = TestEnv::new();
    for mode in MODES {
        let args = [mode, &["-q", "-k", "-v", "--tag", "echo", "a b", "{}"]].concat();
        let done = run(&env, &args, "x\n$y\n");
        let mut lines: Vec<&str> = done.stdout().lines().collect();
        // Its path is that which is started.
        assert!(lines[0].starts_with("x\t/") && lines[0].ends_with("/echo 'a b' x"));
        assert!(lines[2].ends_with("/echo 'a b' '$y'"), "{lines:?}");
        lines.retain(|line| !line.contains("/echo"));
        assert_eq!(lines, ["x\ta b x", "$y\ta b $y"]);
        let args = [mode, &["-q", "-k", "-t", "--tag", "true", "{}"]].concat();
        let done = run(&env, &args, "x\ny\n");
        assert_eq!(done.stdout(), "");
        let told = sorted(&done.stderr);
        assert!(
            told[0].ends_with("/true x") && told[1].ends_with("/true y"),
            "{told:?}"
        );
        assert_eq!(told.len(), 2);
    }
}

#[test]
fn every_command_is_printed_however_short_its_job_is() {
    let env = TestEnv::new();
    let input: String = (1..=300).map(|n| format!("{n}\n")).collect();
    for mode in MODES {
        let args = [mode, &["-q", "-j4", "-v", "true", "{}"]].concat();
        let done = run(&env, &args, input.clone());
        assert_eq!(done.code(), 0, "{}", done.stderr);
        let mut numbers: Vec<u32> = Vec::new();
        for line in done.stdout().lines() {
            numbers.push(line.rsplit(' ').next().unwrap().parse().unwrap());
        }
        numbers.sort_unstable();
        assert!(numbers.iter().copied().eq(1..=300), "{mode:?}: {numbers:?}");
    }
}

#[test]
fn a_command_is_printed_with_the_slot_that_it_had() {
    let env = TestEnv::new();
    for mode in MODES {
        let script = "while [ $(ls up.* | wc -l) -lt 3 ]; do sleep 0.01; done; echo {%} {}";
        let script = format!(": > up.{{}}; {script}");
        let args = [
            mode,
            &["-q", "-j3", "-v", "--tag", "--joblog", "log", "-c", &script],
        ]
        .concat();
        let done = run(&env, &args, "a\nb\nc\n");
        for job in ["a", "b", "c"] {
            let of_it = |line: &&str| line.starts_with(&format!("{job}\t"));
            let lines: Vec<&str> = done.stdout().lines().filter(of_it).collect();
            let said = lines[1].strip_prefix(&format!("{job}\t")).unwrap();
            assert!(
                lines[0].ends_with(&format!("; echo {said}")),
                "{mode:?}: {lines:?}"
            );
        }
        let log = lines(&env.path().join("log"));
        let mut slots: Vec<&str> = Vec::new();
        for line in &log[log.len() - 3..] {
            slots.push(line[8].rsplit(' ').nth(1).unwrap());
        }
        slots.sort_unstable();
        assert_eq!(slots, ["1", "2", "3"]);
        for job in ["a", "b", "c"] {
            std::fs::remove_file(env.path().join(format!("up.{job}"))).unwrap();
        }
    }
}

#[test]
fn paths_of_files_are_printed_instead_of_outputs() {
    let env = TestEnv::new();
    std::fs::create_dir(env.path().join("t")).unwrap();
    let args = [
        "-q",
        "-k",
        "--files",
        "--tmpdir",
        "t",
        "-c",
        "echo {}; echo e >&2; echo $TMPDIR",
    ];
    let done = run(&env, &args, "a\nb\n");
    assert_eq!(done.stderr, "e\ne\n");
    let dir = env.path().join("t");
    for (line, name) in done.stdout().lines().zip(["a", "b"]) {
        let text = std::fs::read_to_string(env.path().join(line)).unwrap();
        assert_eq!(text, format!("{name}\n{}\n", dir.display()));
    }
    assert_eq!(std::fs::read_dir(dir).unwrap().count(), 2);
    let done = run(&env, &["--tmpdir", "/nowhere", "true"], "a\n");
    assert_eq!(done.code(), 2);
}

#[test]
fn results_are_in_a_tree_as_gnu_parallel_lays_it_out() {
    let env = TestEnv::new();
    let script = "echo out; echo err >&2; exit 3";
    let done = run(
        &env,
        &["-q", "--results", "d", "-c", &format!("{script}; : {{}}")],
        "a/b\n..\n",
    );
    assert_eq!((done.code(), done.stdout(), &done.stderr[..]), (1, "", ""));
    let found = tree(&env.path().join("d"));
    let names: Vec<&str> = found.iter().map(|(name, _)| &name[..]).collect();
    let expected = [
        "1/\\../seq",
        "1/\\../stderr",
        "1/\\../stdout",
        "1/a\\_b/seq",
        "1/a\\_b/stderr",
        "1/a\\_b/stdout",
    ];
    assert_eq!(names, expected);
    assert_eq!(found[3].1, "1");
    assert_eq!((&found[4].1[..], &found[5].1[..]), ("err\n", "out\n"));
    // By name, and in a directory by name.
    run(
        &env,
        &["-q", "--results", "n/{}-{#}.out", "echo", "{}"],
        "a\n",
    );
    let names: Vec<String> = tree(&env.path().join("n"))
        .into_iter()
        .map(|(n, _)| n)
        .collect();
    assert_eq!(names, ["a-1.out", "a-1.out.err", "a-1.out.seq"]);
    run(&env, &["-q", "--results", "m/{}/", "echo", "{}"], "a\n");
    let names: Vec<String> = tree(&env.path().join("m"))
        .into_iter()
        .map(|(n, _)| n)
        .collect();
    assert_eq!(names, ["a/seq", "a/stderr", "a/stdout"]);
}

#[test]
fn defect_7_equal_arguments_do_not_overwrite_each_others_results() {
    let env = TestEnv::new();
    for (args, last) in [
        (["--results", "d"], "stdout"),
        (["--results", "n/{}"], "n/a"),
    ] {
        let args = [&["-q", "-j2"], &args[..], &["echo", "{#}", "{}"]].concat();
        let done = run(&env, &args, "a\na\na\nb\na\n");
        assert_eq!(done.code(), 0, "{}", done.stderr);
        assert!(done.stderr.starts_with("warning: `"), "{}", done.stderr);
        let root = env.path().join(if last == "stdout" { "d" } else { "n" });
        let found = tree(&root);
        let is_stdout = |name: &str| name.ends_with("/stdout") || !name.contains(['/', '.']);
        let mut outputs: Vec<&str> = Vec::new();
        for (name, text) in &found {
            if is_stdout(name) {
                outputs.push(text);
            }
        }
        outputs.sort_unstable();
        assert_eq!(
            outputs,
            ["1 a\n", "2 a\n", "3 a\n", "4 b\n", "5 a\n"],
            "{found:?}"
        );
    }
}

#[test]
fn results_that_are_there_are_not_lost() {
    let env = TestEnv::new();
    for name in ["d", "t.csv"] {
        run(&env, &["-q", "--results", name, "echo", "old", "{}"], "a\n");
        // Of another time, by the clock of the file system.
        let path = env
            .path()
            .join(if name == "d" { "d/1/a/seq" } else { name });
        let modified = std::fs::metadata(&path).unwrap().modified().unwrap();
        let probe = env.path().join("probe");
        eventually("time passes", || {
            std::fs::write(&probe, "").unwrap();
            let now = std::fs::metadata(&probe).unwrap().modified().unwrap();
            now.duration_since(modified)
                .is_ok_and(|d| d.as_millis() > 50)
        });
        let done = run(&env, &["-q", "--results", name, "echo", "new", "{}"], "a\n");
        assert!(
            done.stderr.contains("is of an earlier run: kept as"),
            "{}",
            done.stderr
        );
    }
    let read = |path: &str| std::fs::read_to_string(env.path().join(path)).unwrap();
    assert_eq!(read("d/1/a/stdout"), "new a\n");
    assert_eq!(read("d/1/a/stdout.~1~"), "old a\n");
    assert!(read("t.csv").contains("new a\n") && read("t.csv.~1~").contains("old a\n"));
}

#[test]
fn a_table_has_a_row_for_each_job() {
    let env = TestEnv::new();
    let script = "echo \"x,\\\"{}\"; echo e >&2; exit 3";
    let args = ["-q", "-k", "-j1", "--results", "-.csv", "-c", script];
    let done = run(&env, &args, "a\nb c\n");
    assert_eq!((done.code(), &done.stderr[..]), (1, ""));
    let rows: Vec<&str> = done.stdout().split_inclusive("e\n\"\n").collect();
    let header =
        "Seq,Host,Starttime,JobRuntime,Send,Receive,Exitval,Signal,Command,V1,Stdout,Stderr\n1,:,";
    assert!(rows[0].starts_with(header), "{}", rows[0]);
    assert!(
        rows[0].ends_with(",a,\"x,\"\"a\n\",\"e\n\"\n"),
        "{}",
        rows[0]
    );
    assert!(
        rows[1].contains(",0,7,3,0,") && rows[1].contains(",\"b c\",\"x,"),
        "{}",
        rows[1]
    );
    let done = run(
        &env,
        &["-q", "-k", "--results", "-.json", "-c", script],
        "a\n",
    );
    let object = &objects(done.stdout())[0];
    assert_eq!(object["V"], Value::from(vec!["a"]));
    assert_eq!(
        (&object["Exitval"], &object["Stdout"]),
        (&3.into(), &"x,\"a\n".into())
    );
    // Out of order, what stands at the top still does.
    let script = "while [ {#} = 1 ] && [ ! -e go ]; do sleep 0.01; done; : > go; echo {}";
    let args = ["-q", "-k", "-j2", "--results", "t.tsv", "-c", script];
    let done = run(&env, &args, "a\nb\n");
    assert_eq!(done.stdout(), "");
    let rows = lines(&env.path().join("t.tsv"));
    assert_eq!(rows[0][..2], ["Seq", "Host"]);
    assert_eq!((&rows[1][0][..], &rows[3][0][..]), ("1", "2"), "{rows:?}");
}

#[test]
fn defect_10_every_attempt_is_in_the_log_and_seen() {
    for mode in MODES {
        let env = TestEnv::new();
        let script = "echo out; echo error $ORCHESTRATOR_ATTEMPT >&2; exit 3; : {}";
        let args = [
            mode,
            &["-q", "--joblog", "log", "--retries", "2", "-c", script],
        ]
        .concat();
        let done = run(&env, &args, "a\n");
        assert_eq!(done.code(), 1);
        for n in 1..=3 {
            assert!(
                done.stderr.contains(&format!("error {n}\n")),
                "{}",
                done.stderr
            );
        }
        let log = lines(&env.path().join("log"));
        let header = "Seq Host Starttime JobRuntime Send Receive Exitval Signal Command Verdict \
                      Attempt Worker";
        assert_eq!(log[0].join(" "), header);
        assert_eq!(log.len(), 4);
        for (n, line) in log.iter().enumerate().skip(1) {
            assert_eq!((&line[0][..], &line[1][..]), ("1", ":"));
            assert_eq!(line[4..8], ["0", "4", "3", "0"], "{mode:?}");
            assert_eq!(line[9..11], ["failed".to_owned(), n.to_string()]);
        }
    }
}

#[test]
fn the_log_has_jobs_that_were_killed_timed_out_and_ended_by_halt() {
    let env = TestEnv::new();
    let script = "case {} in k) kill -9 $$;; t) exec sleep 60;; x) exit 5;; esac";
    let args = [
        "-q",
        "-j1",
        "--joblog",
        "log",
        "--timeout",
        "0.3",
        "-c",
        script,
    ];
    let done = run(&env, &args, "k\nt\nx\n");
    assert_eq!(done.code(), 1);
    let log = lines(&env.path().join("log"));
    let ends: Vec<[&str; 3]> = log[1..].iter().map(|l| [&l[6][..], &l[7], &l[9]]).collect();
    let expected = [
        ["0", "9", "signaled"],
        ["-1", "15", "timeout"],
        ["5", "0", "failed"],
    ];
    assert_eq!(ends, expected);
    // The one that runs when the other one decides.
    let script = "if [ {} = 2 ]; then while [ ! -e ready ]; do sleep 0.01; done; exit 3; fi; \
                  : > ready; exec sleep 60";
    let args = [
        "-q",
        "-j2",
        "--halt",
        "now,fail=1",
        "--joblog",
        "halted",
        "-c",
        script,
    ];
    let done = run(&env, &args, "1\n2\n3\n4\n");
    assert_eq!(done.code(), 1, "{}", done.stderr);
    let log = lines(&env.path().join("halted"));
    let ends: Vec<[&str; 3]> = log[1..].iter().map(|l| [&l[0][..], &l[6], &l[9]]).collect();
    assert_eq!(ends, [["2", "3", "failed"], ["1", "-1", "interrupted"]]);
}

#[test]
fn the_log_has_jobs_that_a_signal_has_ended() {
    let env = TestEnv::new();
    let args = [
        "-q",
        "-j1",
        "--joblog",
        "log",
        "-c",
        ": > ready; exec sleep {}",
    ];
    let mut child = command(&env, &args).stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"60\n60\n").unwrap();
    eventually("a job runs", || env.path().join("ready").exists());
    kill(Pid::from_raw(child.id() as i32), Signal::SIGTERM).unwrap();
    let done = finish(child, Vec::new());
    assert_eq!(done.code(), 143);
    let log = lines(&env.path().join("log"));
    // The other one never began.
    assert_eq!(log.len(), 2);
    assert_eq!((&log[1][6][..], &log[1][9][..]), ("-1", "interrupted"));
}

#[test]
fn defect_12_a_log_is_never_truncated() {
    let env = TestEnv::new();
    for n in 1..=3 {
        let done = run(&env, &["-q", "--joblog", "log", "true"], "a\n");
        assert_eq!(done.code(), 0, "{}", done.stderr);
        let log = lines(&env.path().join("log"));
        assert_eq!(log.len(), 1 + n);
        assert_eq!(log.iter().filter(|line| line[0] == "Seq").count(), 1);
    }
    // Nor is what only looks like one.
    env.file("data", "precious\n");
    let done = run(
        &env,
        &["--joblog", "data", "-c", ": > started; : {}"],
        "a\n",
    );
    assert_eq!(done.code(), 125);
    assert!(done.stderr.contains("it is no job log"), "{}", done.stderr);
    assert_eq!(
        std::fs::read(env.path().join("data")).unwrap(),
        b"precious\n"
    );
    assert!(!env.path().join("started").exists());
}

#[test]
fn defect_6_a_run_that_goes_on_notices_that_its_input_has_changed() {
    let env = TestEnv::new();
    let run_on = |words: &[&str], input: &str| {
        let mut command = env.command(ORCHESTRATOR);
        command.args(["parallel", "-j1", "-k", "--joblog", "log"]);
        command.args(words);
        env.run(command, input)
    };
    let done = run_on(&["echo {}; exit {}"], "0\n1\n0\n");
    assert_eq!(done.code(), 1, "{}", done.stderr);
    // A line in front, or another command: GNU parallel runs the last job once more.
    for (words, input) in [
        (["--resume", "echo {}; exit {}"], "5\n0\n1\n0\n"),
        (["--resume", "echo {}; false {}"], "0\n1\n0\n7\n"),
        (["--resume-failed", "echo {}; exit {}"], "0\n1\n7\n0\n"),
    ] {
        let done = run_on(&words, input);
        assert_eq!(done.code(), 125, "{}", done.stderr);
        assert!(
            done.stderr.contains(" is another one than in the job log"),
            "{}",
            done.stderr
        );
        assert!(!done.stdout().contains(['5', '7']), "{}", done.stdout());
    }
    // What has failed before that was noticed was run again, and is in the log.
    let before = lines(&env.path().join("log")).len();
    let done = run_on(&["--resume-failed", "echo {}; exit {}"], "0\n1\n0\n2\n");
    assert_eq!(
        (done.code(), done.stdout()),
        (2, "1\n2\n"),
        "{}",
        done.stderr
    );
    assert_eq!(lines(&env.path().join("log")).len(), before + 2);
    let done = run_on(&["--resume", "echo {}; exit {}"], "0\n1\n0\n2\n");
    assert_eq!((done.code(), done.stdout()), (0, ""), "{}", done.stderr);
    // Nothing is left out by guesses.
    let done = run_on(&["--resume", "--pipe", "cat"], "x\n");
    assert_eq!(done.code(), 2);
    let mut command = env.command(ORCHESTRATOR);
    command.args(["parallel", "--resume", "true"]);
    let done = env.run(command, "x\n");
    assert_eq!(
        (done.code(), done.stderr.lines().count()),
        (2, 1),
        "{}",
        done.stderr
    );
}

#[test]
fn a_run_that_was_ended_goes_on_by_its_log() {
    let env = TestEnv::new();
    let script = "[ {} = 2 ] && [ ! -e again ] && : > ready && exec sleep 60; echo {}";
    let words = [
        "-q",
        "-k",
        "-j1",
        "--joblog",
        "log",
        "--skip-logged",
        "ended",
        "-c",
        script,
    ];
    let mut child = command(&env, &words).stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"1\n2\n3\n").unwrap();
    eventually("a job runs", || env.path().join("ready").exists());
    kill(Pid::from_raw(child.id() as i32), Signal::SIGTERM).unwrap();
    let done = finish(child, Vec::new());
    assert_eq!((done.code(), done.stdout()), (143, "1\n"));
    env.file("again", "");
    let done = run(&env, &words, "1\n2\n3\n");
    assert_eq!(
        (done.code(), done.stdout()),
        (0, "2\n3\n"),
        "{}",
        done.stderr
    );
    let done = run(&env, &words[1..], "1\n2\n3\n");
    assert_eq!(done.code(), 0);
    assert!(
        done.stderr.contains("no jobs: nothing was left to do"),
        "{}",
        done.stderr
    );
    let done = run(
        &env,
        &[&["--dry-run"], &words[1..]].concat(),
        "1\n2\n3\n4\n",
    );
    assert_eq!(done.stdout().lines().count(), 1, "{}", done.stdout());
}

#[test]
fn where_nothing_can_be_written_no_job_starts() {
    let env = TestEnv::new();
    for option in [
        ["--joblog", "no/such/log"],
        ["--results", "/proc/x"],
        ["--results", "no/such/t.csv"],
    ] {
        let args = [&option[..], &["-c", ": > started; : {}"]].concat();
        let done = run(&env, &args, "a\n");
        assert_eq!(done.code(), 125, "{}", done.stderr);
        assert_eq!(done.stderr.lines().count(), 1, "{}", done.stderr);
        assert!(!env.path().join("started").exists());
    }
}

#[test]
fn defect_1_output_that_could_not_be_written_is_a_failure_in_every_mode() {
    let env = TestEnv::new();
    let full = || {
        std::fs::File::options()
            .write(true)
            .open("/dev/full")
            .unwrap()
    };
    for mode in [
        &[][..],
        &["--lb"],
        &["-u"],
        &["--lb", "-k"],
        &["--tag"],
        &["-v"],
        &["--files", "--tmpdir", "."],
        &["--results", "-.csv"],
        &["--results", "-.json"],
    ] {
        let mut command = command(&env, &[mode, &["echo", "{}"]].concat());
        command.stdout(full());
        let done = env.run(command, "a\nb\n");
        assert_eq!(done.code(), 125, "{mode:?}: {}", done.stderr);
        assert!(
            done.stderr.contains("no space left on device"),
            "{}",
            done.stderr
        );
    }
    // In other places.
    std::os::unix::fs::symlink("/dev/full", env.path().join("full.csv")).unwrap();
    for option in [["--joblog", "/dev/full"], ["--results", "full.csv"]] {
        let done = run(&env, &[&option[..], &["echo", "{}"]].concat(), "a\n");
        assert_eq!(done.code(), 125, "{option:?}: {}", done.stderr);
        assert!(
            done.stderr.contains("no space left on device"),
            "{}",
            done.stderr
        );
    }
}

#[test]
fn a_reader_that_goes_ends_the_run_in_every_mode() {
    let env = TestEnv::new();
    for mode in [&[][..], &["--lb"], &["-u"], &["--lb", "-k", "--tag"]] {
        let args = [mode, &["-q", "-j2", "-c", "while echo {}; do :; done"]].concat();
        let args: &[&str] = if mode.is_empty() {
            &["-q", "-j2", "-c", "echo {}"]
        } else {
            &args
        };
        let mut child = command(&env, args).stdin(Stdio::piped()).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(b"y\nn\n").unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        out.read_line(&mut line).unwrap();
        drop(out);
        // The input has not ended, and the jobs do not end by themselves.
        let done = finish(child, Vec::new());
        assert_eq!(done.code(), 141, "{mode:?}: {}", done.stderr);
        drop(stdin);
    }
}

#[test]
fn defect_2_nothing_is_truncated_on_its_way_through_a_pipe() {
    let env = TestEnv::new();
    let expected: usize = (1..=200_000u32).map(|n| n.to_string().len() + 1).sum();
    for round in 0..3 {
        for mode in [&[][..], &["--lb"], &["-u"], &["--lb", "-k"], &["-k"]] {
            let args = [mode, &["-q", "-j2", "seq", "1", "{}"]].concat();
            let done = run(&env, &args, "200000\n200000\n");
            assert_eq!(done.code(), 0, "{}", done.stderr);
            assert_eq!(done.stdout.len(), 2 * expected, "{mode:?}, {round}");
        }
    }
}

#[test]
fn defect_3a_jobs_that_print_nothing_do_not_stop_the_others() {
    for mode in MODES {
        let env = TestEnv::new();
        // The last job waits until what came before it has been seen.
        let script =
            "case {} in 1) ;; 2) echo two;; 3) while [ ! -e go ]; do sleep 0.01; done;; esac";
        let args = [mode, &["-q", "-j2", "-k", "-c", script]].concat();
        let mut child = command(&env, &args).stdin(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(b"1\n2\n3\n").unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        out.read_line(&mut line).unwrap();
        assert_eq!(line, "two\n");
        env.file("go", "");
        assert!(child.wait().unwrap().success());
    }
}

#[test]
fn defect_8_a_slow_first_job_takes_no_open_files_from_the_others() {
    for mode in [&["-k"][..], &["-k", "--lb"], &["-k", "-u"]] {
        let env = TestEnv::new();
        let script = "echo {}; if [ {} = 1 ]; then while [ ! -e 300 ]; do sleep 0.01; done; fi; \
                      : > {}";
        let mut command = env.command("/bin/sh");
        let line = format!("ulimit -n 64; exec {ORCHESTRATOR} run \"$@\"");
        command
            .args(["-c", &line, "sh"])
            .args(mode)
            .args(["-q", "-j2", "-c", script]);
        let input: String = (1..=300).map(|n| format!("{n}\n")).collect();
        let done = env.run(command, input.clone());
        assert_eq!(done.code(), 0, "{mode:?}: {}", done.stderr);
        assert_eq!(done.stdout(), input);
    }
}

/// How much memory a process has of its own, in KiB, at most so far, and how much it shares:
/// pages of its program's file.
fn own_and_shared(pid: u32) -> Option<(u64, u64)> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let kib = |key: &str| -> Option<u64> {
        let line = status.lines().find(|line| line.starts_with(key))?;
        line.split_whitespace().nth(1)?.parse().ok()
    };
    let shared = kib("RssFile:")?;
    Some((kib("VmHWM:")?.saturating_sub(shared), shared))
}

/// How much memory this process and those right below it have taken at most, in MiB, and how
/// much was read from it. What they share counts once.
fn peak_while(mut child: std::process::Child) -> (u64, u64) {
    let out = child.stdout.take().unwrap();
    let reader = std::thread::spawn(move || {
        let mut all = BufReader::with_capacity(1 << 20, out);
        std::io::copy(&mut all, &mut std::io::sink()).unwrap()
    });
    let children = format!("/proc/{0}/task/{0}/children", child.id());
    let mut peaks = std::collections::HashMap::new();
    let mut shared = 0;
    let mut ended = false;
    eventually("it ends", || {
        let below = std::fs::read_to_string(&children).unwrap_or_default();
        let below = below
            .split_whitespace()
            .filter_map(|pid| pid.parse::<u32>().ok());
        for pid in below.chain([child.id()]) {
            if let Some((own, its_shared)) = own_and_shared(pid) {
                // A process that becomes another program begins anew.
                peaks.insert(pid, own);
                shared = its_shared.max(shared);
            }
        }
        ended |= child.try_wait().unwrap().is_some();
        ended
    });
    assert!(child.wait().unwrap().success());
    let own: u64 = peaks.values().sum();
    ((own + shared) / 1024, reader.join().unwrap())
}

fn megabytes_twice(megabytes: u64, args: &[&str]) -> (u64, u64) {
    let env = TestEnv::new();
    let script = format!("yes {{}} | head -c {megabytes}000000");
    let mut child = command(&env, &[args, &["-q", "-j2", "-c", &script]].concat())
        .stdin(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(b"some-text\nother-text\n")
        .unwrap();
    peak_while(child)
}

#[test]
fn defect_11_two_jobs_with_100_mb_each_take_less_than_32_mib() {
    // Half of the limit more than once is enough to see what is kept in memory.
    for (megabytes, mode) in [
        (100, &["--tag"][..]),
        (40, &[]),
        (40, &["-k"]),
        (40, &["--lb"]),
        (40, &["--lb", "-k"]),
        (40, &["-u"]),
        (40, &["--lb", "--tag"]),
    ] {
        let (peak, bytes) = megabytes_twice(megabytes, mode);
        assert!(bytes >= 2 * megabytes * 1_000_000, "{mode:?}: {bytes}");
        assert!(peak < 32, "{mode:?}: {peak} MiB");
    }
}

#[test]
fn defect_11_outputs_that_are_kept_take_no_more_memory() {
    for mode in [
        &["--files", "--tmpdir", "/tmp"][..],
        &["--results", "d"],
        &["--results", "-.csv"],
        &["--results", "-.json"],
        &["--format", "jsonl"],
    ] {
        let (peak, _) = megabytes_twice(40, mode);
        assert!(peak < 32, "{mode:?}: {peak} MiB");
    }
}

#[test]
fn with_a_run_file_what_was_shown_live_is_recorded() {
    let env = TestEnv::new();
    let args = [
        "-q",
        "--lb",
        "--run-file",
        "r",
        "-c",
        "echo {}; echo e >&2; printf end",
    ];
    let done = run(&env, &args, "a\n");
    assert_eq!((done.stdout(), &done.stderr[..]), ("a\nend", "e\n"));
    let mut results = env.command(ORCHESTRATOR);
    results.args(["results", "r"]);
    let done: Done = env.run(results, "");
    assert_eq!((done.stdout(), &done.stderr[..]), ("a\nend", "e\n"));
}

#[test]
fn what_functions_print_comes_live_on_stderr() {
    let env = TestEnv::new();
    for mode in MODES {
        let args = [mode, &["-q", "--worker", WORKER, "--task", "print"]].concat();
        let done = run(&env, &args, "[\"x\",2]\n");
        let result = "{\"seq\":1,\"id\":null,\"ok\":true,\"value\":null}\n";
        assert_eq!((done.stdout(), &done.stderr[..]), (result, "x\nx\n"));
    }
}
