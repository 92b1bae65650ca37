//! What becomes of what jobs print: modes, tags, files, tables and the job log. Defects of other
//! tools are called by their number in a list of them.

mod files;
mod job_log;
mod memory;

use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::Stdio;

use orchestrator_tests::env::finish;
use orchestrator_tests::{Done, TestEnv, eventually};

use crate::run::{ORCHESTRATOR, WORKER, command, run, sorted};

/// The modes in which outputs are printed.
const MODES: [&[&str]; 3] = [&[], &["--line-buffer"], &["--ungroup"]];

fn lines(path: &Path) -> Vec<Vec<String>> {
    let text = std::fs::read_to_string(path).unwrap();
    let columns = |line: &str| line.split('\t').map(str::to_owned).collect();
    text.lines().map(columns).collect()
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
fn a_block_is_no_tag_when_results_are_shown_again() {
    let env = TestEnv::new();
    let args = ["-q", "-k", "--tag", "--run-file", "r", "--pipe", "-N2"];
    let done = run(&env, &[&args[..], &["--", "cat"]].concat(), "a\nb\nc\n");
    assert_eq!(done.stdout(), "\ta\n\tb\n\tc\n");
    let mut results = env.command(ORCHESTRATOR);
    results.args(["results", "r"]);
    assert_eq!(env.run(results, "").stdout(), done.stdout());
}

#[test]
fn results_are_shown_again_in_the_order_of_the_input_when_the_run_has_kept_it() {
    let env = TestEnv::new();
    // The first job ends when the last one has.
    let text = "test {} = c && touch done; \
                while test {} = a && ! test -e done; do sleep 0.01; done; echo {}";
    let args = ["-q", "-k", "-j3", "--run-file", "r", "-c", text];
    let done = run(&env, &args, "a\nb\nc\n");
    assert_eq!(done.stdout(), "a\nb\nc\n");
    for options in [&[][..], &["--format", "text"]] {
        let mut results = env.command(ORCHESTRATOR);
        results.args(["results", "r"]).args(options);
        assert_eq!(env.run(results, "").stdout(), done.stdout());
    }
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
