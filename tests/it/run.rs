//! `orchestrator run`, as a user meets it.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use orchestrator_tests::env::finish;
use orchestrator_tests::{Done, TestEnv, eventually};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use protocol::PROTOCOL_VERSION;
use serde_json::{Value, json};

pub(crate) const ORCHESTRATOR: &str = env!("CARGO_BIN_EXE_test-orchestrator");
pub(crate) const WORKER: &str = env!("CARGO_BIN_EXE_test-worker");
pub(crate) const ROGUE: &str = env!("CARGO_BIN_EXE_rogue");

/// `orchestrator run` with these arguments.
pub(crate) fn command(env: &TestEnv, args: &[&str]) -> Command {
    let mut command = env.command(ORCHESTRATOR);
    command.arg("run").args(args);
    command
}

pub(crate) fn run(env: &TestEnv, args: &[&str], stdin: impl Into<Vec<u8>>) -> Done {
    env.run(command(env, args), stdin)
}

pub(crate) fn sorted(text: &str) -> Vec<&str> {
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    lines
}

pub(crate) fn objects(text: &str) -> Vec<Value> {
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}")))
        .collect()
}

/// Peak resident set of a process in MiB; nothing once it has ended.
pub(crate) fn peak_mib(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find(|l| l.starts_with("VmHWM:"))?;
    let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib / 1024)
}

fn open_files(pid: u32) -> usize {
    std::fs::read_dir(format!("/proc/{pid}/fd"))
        .unwrap()
        .count()
}

#[test]
fn each_line_becomes_a_command_and_its_output_arrives() {
    let env = TestEnv::new();
    for n in 0..200 {
        env.file(&format!("file {n}.txt"), n.to_string().repeat(n));
    }
    let list: String = (0..200).map(|n| format!("file {n}.txt\n")).collect();
    let ours = run(&env, &["-j4", "--", "sha256sum", "{}"], list.clone());
    assert_eq!(ours.code(), 0, "{}", ours.stderr);
    let mut theirs = env.command("xargs");
    theirs.args(["-d", "\\n", "sha256sum"]);
    let theirs = env.run(theirs, list);
    assert_eq!(sorted(ours.stdout()), sorted(theirs.stdout()));
    assert!(
        ours.stderr
            .starts_with("orchestrator: 200 jobs succeeded in "),
        "{}",
        ours.stderr
    );
}

#[test]
fn f122_any_bytes_reach_the_command_unchanged() {
    let env = TestEnv::new();
    let canary = env.path().join("canary");
    let mut runner = TestRunner::new(Config::with_cases(24));
    let nasty = prop_oneof![
        prop::collection::vec(1..=255u8, 0..40),
        Just(format!("$(touch {})", canary.display()).into_bytes()),
        Just(format!("`touch {}`", canary.display()).into_bytes()),
        Just(format!("; touch {} #", canary.display()).into_bytes()),
        Just(b"'\"\\ \t\n*?[a]{}{/}".to_vec()),
        Just(b"-n --help -- -e".to_vec()),
    ];
    let items = prop::collection::vec(nasty, 1..40);
    runner
        .run(&items, |items| {
            let mut input = Vec::new();
            let mut expected = Vec::new();
            for item in &items {
                input.extend_from_slice(item);
                input.push(0);
                expected.push(b'<');
                expected.extend_from_slice(item);
                expected.extend_from_slice(b">\0");
            }
            let done = run(
                &env,
                &["-0", "-k", "-q", "--", "printf", "<%s>\\0", "{}"],
                input,
            );
            prop_assert_eq!(done.code(), 0, "{}", done.stderr);
            prop_assert!(done.stdout == expected, "{:?}", done.stdout);
            prop_assert!(!canary.exists());
            Ok(())
        })
        .unwrap();
}

#[test]
fn names_with_any_bytes_are_found_as_files() {
    let env = TestEnv::new();
    let names: [&[u8]; 6] = [
        b"with space",
        b"with\nnewline",
        b"with'quote\"s",
        b"$(echo x) `id`",
        b"not utf8 \xff\xfe",
        b"-dash",
    ];
    let mut input = Vec::new();
    for name in names {
        let path = env.path().join(OsStr::from_bytes(name));
        std::fs::write(&path, name).unwrap();
        input.extend_from_slice(b"./");
        input.extend_from_slice(name);
        input.push(0);
    }
    let done = run(&env, &["-0", "-k", "cat", "{}"], input);
    assert_eq!(done.code(), 0, "{}", done.stderr);
    assert_eq!(done.stdout, names.concat());
}

#[test]
fn stdout_and_stderr_stay_apart_and_each_jobs_output_stays_together() {
    let env = TestEnv::new();
    let script = "for i in 1 2 3; do echo out $1; echo err $1 >&2; sleep 0.01; done; exit $1";
    let done = run(
        &env,
        &["-j4", "-q", "--", "sh", "-c", script, "sh", "{}"],
        "0\n1\n2\n3\n4\n5\n6\n7\n",
    );
    assert_eq!(done.code(), 1);
    for (stream, word) in [(done.stdout(), "out"), (done.stderr.as_str(), "err")] {
        let lines: Vec<&str> = stream.lines().collect();
        assert_eq!(lines.len(), 24, "{stream}");
        for three in lines.chunks(3) {
            assert!(three.iter().all(|&l| l == three[0]), "{three:?}");
            assert!(three[0].starts_with(word));
        }
    }
}

#[test]
fn keep_order_has_an_entry_for_every_line_failures_included() {
    let env = TestEnv::new();
    let script = "test $1 = 2 && kill -9 $$; test $1 = 3 && exit 7; sleep 0.0$((9 - $1)); echo $1";
    let done = run(
        &env,
        &[
            "-j4", "-k", "--format", "jsonl", "--", "sh", "-c", script, "sh", "{}",
        ],
        "1\n2\n3\n4\n5\n6\n",
    );
    assert_eq!(done.code(), 1);
    let seen: Vec<(i64, String)> = objects(done.stdout())
        .iter()
        .map(|o| {
            (
                o["seq"].as_i64().unwrap(),
                o["verdict"].as_str().unwrap().to_owned(),
            )
        })
        .collect();
    let verdicts = ["ok", "signaled", "failed", "ok", "ok", "ok"];
    let expected: Vec<(i64, String)> = (1..).zip(verdicts.map(str::to_owned)).collect();
    assert_eq!(seen, expected);
    let done = run(
        &env,
        &["-j4", "-k", "-q", "--", "sh", "-c", script, "sh", "{}"],
        "1\n2\n3\n4\n5\n6\n",
    );
    assert_eq!(done.stdout(), "1\n4\n5\n6\n");
}

pub(crate) fn spawn(mut command: Command) -> Child {
    command.stdin(Stdio::piped()).spawn().unwrap()
}

#[test]
fn keep_order_waits_for_a_slow_first_job_in_bounded_memory() {
    let env = TestEnv::new();
    let gate = env.path().join("gate");
    let last = env.path().join("last");
    nix::unistd::mkfifo(&gate, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let mut child = spawn(command(
        &env,
        &["-j2", "-k", "--worker", WORKER, "--task", "gate"],
    ));
    let pid = child.id();
    let mut stdin = child.stdin.take().unwrap();
    let first = json!([gate, null]);
    writeln!(stdin, "{first}").unwrap();
    // The second is done while the first waits: both workers are up.
    let second = env.path().join("second");
    writeln!(stdin, "{}", json!([null, second])).unwrap();
    eventually("both workers are up", || second.exists());
    let before = open_files(pid);
    let nothing = "[null,null]\n".repeat(100_000);
    stdin.write_all(nothing.as_bytes()).unwrap();
    writeln!(stdin, "{}", json!([null, last])).unwrap();
    drop(stdin);
    eventually("all but the first are done", || last.exists());
    // Standard input was closed, nothing else was opened.
    assert!(
        open_files(pid) <= before,
        "{before}, now {}",
        open_files(pid)
    );
    std::fs::write(&gate, "open").unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    stdout.read_line(&mut line).unwrap();
    let peak = peak_mib(pid).unwrap();
    assert!(peak < 64, "{peak} MiB");
    assert_eq!(
        line,
        "{\"seq\":1,\"id\":null,\"ok\":true,\"value\":\"open\"}\n"
    );
    let mut rest = String::new();
    stdout.read_to_string(&mut rest).unwrap();
    let seqs = objects(&rest)
        .iter()
        .map(|o| o["seq"].as_u64().unwrap())
        .collect::<Vec<_>>();
    assert_eq!(seqs, (2..=100_003).collect::<Vec<_>>());
    assert_eq!(finish(child, vec![]).code(), 0);
}

#[test]
fn large_output_waits_for_its_turn_on_disk() {
    let env = TestEnv::new();
    let script = "test $1 = 1 && sleep 0.5; head -c 5000000 /dev/zero | tr '\\0' $1";
    let child = spawn(command(
        &env,
        &["-j2", "-k", "-q", "--", "sh", "-c", script, "sh", "{}"],
    ));
    let pid = child.id();
    let watcher = std::thread::spawn(move || {
        let mut peak = 0;
        while let Some(now) = peak_mib(pid) {
            peak = now.max(peak);
            std::thread::yield_now();
        }
        peak
    });
    let done = finish(child, b"1\n2\n3\n4\n5\n6\n7\n8\n9\n".to_vec());
    assert_eq!(done.code(), 0, "{}", done.stderr);
    let expected: Vec<u8> = (b'1'..=b'9').flat_map(|c| vec![c; 5_000_000]).collect();
    assert!(done.stdout == expected);
    let peak = watcher.join().unwrap();
    assert!(peak > 0 && peak < 64, "{peak} MiB");
}

#[test]
fn lines_of_failed_jobs_can_be_piped_in_again() {
    let env = TestEnv::new();
    let script = "case $1 in bad*) exit 1;; kill*) kill -9 $$;; esac";
    let words = [
        "--failed-to",
        "failed",
        "-q",
        "-0",
        "-k",
        "--",
        "sh",
        "-c",
        script,
        "sh",
        "{}",
    ];
    let done = run(&env, &words, "a\0bad 1\n\0b\0kill 2");
    assert_eq!(done.code(), 1);
    let failed = std::fs::read_to_string(env.path().join("failed")).unwrap();
    // Each at once when its job has failed, and these two run side by side.
    let mut failed: Vec<&str> = failed.split_terminator('\0').collect();
    failed.sort_unstable();
    assert_eq!(failed, ["bad 1\n", "kill 2"]);
    // A second run empties the file.
    run(&env, &words, "a\0");
    assert_eq!(std::fs::read(env.path().join("failed")).unwrap(), b"");

    let task = ["--failed-to", "failed", "--worker", WORKER, "--task", "fib"];
    run(&env, &task, "10\n{\n20\n");
    assert_eq!(std::fs::read(env.path().join("failed")).unwrap(), b"{\n");

    let nowhere = run(
        &env,
        &["--failed-to", "none/failed", "--", "touch", "ran"],
        "a\n",
    );
    assert_eq!(nowhere.code(), 125);
    assert!(!env.path().join("ran").exists());
    let said = "error: lines of failed jobs could not be written (--failed-to): ";
    assert!(nowhere.stderr.starts_with(said), "{}", nowhere.stderr);
    let full = run(&env, &["--failed-to", "/dev/full", "--", "false"], "a\n");
    assert_eq!(full.code(), 125, "{}", full.stderr);
}

/// A story: the lines that had failed were piped in again and written to the same file, which was
/// empty before the first of them was read; no job, status 0, and the list was gone.
#[test]
fn the_lines_that_are_read_are_not_written_over() {
    let env = TestEnv::new();
    let list = env.file("list", "a\nb\n");
    symlink(&list, env.path().join("other")).unwrap();
    let shell = |text: &str| {
        let mut shell = env.command("sh");
        shell.args(["-c", text, ORCHESTRATOR]);
        env.run(shell, "")
    };
    for text in [
        r#""$0" run --failed-to list -- false < list"#,
        r#""$0" run --failed-to other -a list -- false"#,
        r#""$0" run --failed-to list -- false ::: x :::: other"#,
    ] {
        let done = shell(text);
        assert_eq!(done.code(), 2, "{}", done.stderr);
        assert!(
            done.stderr
                .contains(" is the input, too, and would be emptied before it is read\n"),
            "{}",
            done.stderr
        );
        assert_eq!(std::fs::read(&list).unwrap(), b"a\nb\n");
    }
    let done = shell(r#""$0" run --failed-to new -- false < list"#);
    assert_eq!(done.code(), 1, "{}", done.stderr);
    let done = shell(r#""$0" run -q --failed-to /dev/null -- true < /dev/null"#);
    assert_eq!((done.code(), &done.stderr[..]), (0, ""));
}

/// Small results share a page, large ones stand alone: both streams of all of them
/// come in order when they go to one file.
#[test]
fn both_streams_of_every_job_keep_their_order_in_one_file() {
    let env = TestEnv::new();
    let script = "case $1 in *7) seq 5000;; *) echo out $1;; esac; \
                  [ $(($1 % 3)) = 0 ] || echo err $1 >&2";
    for options in [&["-j1"][..], &["-j4", "-k"]] {
        let file = std::fs::File::create(env.path().join("both")).unwrap();
        let mut command = command(&env, options);
        command.args(["-q", "--", "sh", "-c", script, "sh", "{}"]);
        command.stdout(file.try_clone().unwrap()).stderr(file);
        let lines: String = (1..=200).map(|n| format!("{n}\n")).collect();
        assert_eq!(env.run(command, lines).code(), 0);
        let mut expected = String::new();
        for n in 1..=200 {
            match n % 10 {
                7 => (1..=5000).for_each(|line| expected += &format!("{line}\n")),
                _ => expected += &format!("out {n}\n"),
            }
            if n % 3 > 0 {
                expected += &format!("err {n}\n");
            }
        }
        let both = std::fs::read_to_string(env.path().join("both")).unwrap();
        assert!(both == expected, "{options:?}");
    }
}

#[test]
fn f080_large_results_wait_for_a_slow_reader_on_disk() {
    let env = TestEnv::new();
    let mut child = spawn(command(
        &env,
        &["-j2", "-q", "--worker", WORKER, "--task", "big"],
    ));
    let pid = child.id();
    let mut stdin = child.stdin.take().unwrap();
    // 32 results of two million bytes each, as JSON.
    stdin.write_all("1000000\n".repeat(32).as_bytes()).unwrap();
    drop(stdin);
    // Nobody reads. The workers come to rest all the same.
    let ticks = || -> Vec<String> {
        let stat = |pid| std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let busy = |stat: String| {
            stat.split(' ')
                .skip(13)
                .take(2)
                .map(str::to_owned)
                .collect()
        };
        workers_of(pid)
            .into_iter()
            .map(stat)
            .map(busy)
            .collect::<Vec<Vec<_>>>()
            .concat()
    };
    let mut before = Vec::new();
    let mut same = 0;
    eventually("the workers rest", || {
        std::thread::sleep(std::time::Duration::from_millis(50));
        let now = ticks();
        same = if now == before && now.len() == 4 {
            same + 1
        } else {
            0
        };
        before = now;
        same == 10
    });
    let peak = peak_mib(pid).unwrap();
    assert!(peak < 64, "{peak} MiB");
    let done = finish(child, vec![]);
    assert_eq!(done.code(), 0, "{}", done.stderr);
    assert_eq!(done.stdout().lines().count(), 32);
    assert!(
        done.stdout()
            .lines()
            .all(|l| l.len() > 2_000_000 && l.ends_with("7,7]}"))
    );
}

#[test]
fn f068_an_infinite_input_takes_no_memory() {
    let env = TestEnv::new();
    let mut child = spawn(command(
        &env,
        &[
            "-j2", "-k", "--worker", WORKER, "--task", "noop", "--format", "value",
        ],
    ));
    let pid = child.id();
    let mut stdin = child.stdin.take().unwrap();
    let feeder = std::thread::spawn(move || {
        let lines = "null\n".repeat(10_000);
        while stdin.write_all(lines.as_bytes()).is_ok() {}
    });
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut take = |lines: usize| {
        let mut line = String::new();
        for _ in 0..lines {
            line.clear();
            stdout.read_line(&mut line).unwrap();
            assert_eq!(line, "null\n");
        }
        peak_mib(pid).unwrap()
    };
    // Two hundred bytes kept of each job would be too much.
    let peak = take(250_000);
    assert!(peak < 64, "{peak} MiB");
    // The reader goes away, so the run must end although the input does not.
    drop(stdout);
    let done = finish(child, vec![]);
    assert_eq!(done.code(), 141, "{}", done.stderr);
    feeder.join().unwrap();
}

#[test]
fn a_script_reads_each_result_before_it_writes_the_next_line() {
    let env = TestEnv::new();
    for args in [
        &["-j2", "-q", "--", "echo", "{}"][..],
        &["-j2", "-q", "-k", "--", "echo", "{}"],
        &[
            "-q", "--worker", WORKER, "--task", "fib", "--format", "value",
        ],
    ] {
        let mut child = spawn(command(&env, args));
        let mut stdin = child.stdin.take().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        for n in 1..=2 {
            // The first two Fibonacci numbers are what `echo 1` says.
            writeln!(stdin, "1").unwrap();
            let mut line = String::new();
            stdout.read_line(&mut line).unwrap();
            assert_eq!(line, "1\n", "{n}: {args:?}");
        }
        drop(stdin);
        assert_eq!(finish(child, vec![]).code(), 0);
    }
}

#[test]
fn f078_a_closed_pipe_ends_the_run_at_once() {
    let env = TestEnv::new();
    let mut shell = env.command("bash");
    shell
        .args([
            "-c",
            "yes | \"$0\" run -j2 -- echo {} | head -3; echo ${PIPESTATUS[1]}",
        ])
        .arg(ORCHESTRATOR);
    let done = env.run(shell, "");
    assert_eq!(done.stdout(), "y\ny\ny\n141\n");
    assert_eq!(done.stderr, "");
    // Also while nothing is printed, so that no write fails.
    let mut shell = env.command("bash");
    shell
        .args([
            "-c",
            "echo 600 | \"$0\" run -- sleep {} | true; echo ${PIPESTATUS[1]}",
        ])
        .arg(ORCHESTRATOR);
    let done = env.run(shell, "");
    assert_eq!((done.stdout(), done.stderr.as_str()), ("141\n", ""));
}

#[test]
fn f079_a_full_disk_is_a_failure_of_the_run() {
    let env = TestEnv::new();
    for args in [
        &["--", "echo", "{}"][..],
        &["-k", "--format", "jsonl", "--", "echo", "{}"],
        &["--worker", WORKER, "--task", "fib"],
    ] {
        let full = std::fs::OpenOptions::new()
            .write(true)
            .open("/dev/full")
            .unwrap();
        let mut command = command(&env, args);
        command.stdout(full);
        let done = env.run(command, "1\n2\n3\n");
        assert_eq!(done.code(), 125);
        assert_eq!(
            done.stderr, "error: results could not be written: no space left on device\n",
            "{args:?}"
        );
    }
}

#[test]
fn f001_a_worker_killed_from_outside_costs_one_job_of_a_thousand() {
    let env = TestEnv::new();
    let mut child = spawn(command(
        &env,
        &["-j2", "--worker", WORKER, "--task", "sleep_ms"],
    ));
    let pid = child.id();
    let mut stdin = child.stdin.take().unwrap();
    // One that is running when its worker is killed, 999 others.
    let lines = format!("600000\n{}", "0\n".repeat(999));
    stdin.write_all(lines.as_bytes()).unwrap();
    drop(stdin);
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut lines = String::new();
    for _ in 0..999 {
        stdout.read_line(&mut lines).unwrap();
    }
    // Between two of its naps it does not sleep.
    let mut busy = None;
    eventually("one is busy", || {
        busy = workers_of(pid)
            .into_iter()
            .find(|&worker| cpu_ticks_or_sleep(worker));
        busy.is_some()
    });
    let busy = busy.unwrap();
    kill(Pid::from_raw(busy as i32), Signal::SIGKILL).unwrap();
    stdout.read_to_string(&mut lines).unwrap();
    let done = finish(child, vec![]);
    let all = objects(&lines);
    assert_eq!(all.len(), 1_000);
    let failed: Vec<_> = all.iter().filter(|o| o["ok"] == json!(false)).collect();
    assert_eq!(failed.len(), 1, "{failed:?}");
    assert_eq!(failed[0]["seq"], json!(1));
    assert_eq!(done.code(), 1);
    assert!(done.stderr.contains("killed by SIGKILL"), "{}", done.stderr);
}

/// The children of a process.
pub(crate) fn workers_of(pid: u32) -> Vec<u32> {
    let mut all = Vec::new();
    for task in std::fs::read_dir(format!("/proc/{pid}/task"))
        .unwrap()
        .flatten()
    {
        let children = std::fs::read_to_string(task.path().join("children")).unwrap_or_default();
        all.extend(
            children
                .split_whitespace()
                .map(|n| n.parse::<u32>().unwrap()),
        );
    }
    all
}

/// Whether a worker is inside the sleeping task: its main thread sleeps on a
/// timer and not in a read.
fn cpu_ticks_or_sleep(worker: u32) -> bool {
    let call = std::fs::read_to_string(format!("/proc/{worker}/syscall")).unwrap_or_default();
    let number = call.split(' ').next().unwrap_or_default();
    number == libc::SYS_clock_nanosleep.to_string() || number == "running"
}

#[test]
fn tasks_answer_in_json_lines() {
    let env = TestEnv::new();
    let args = ["-k", "-q", "--worker", WORKER, "--task", "mirror"];
    let done = run(
        &env,
        &args,
        "{\"x\": 7, \"label\": \"é\"}\n{\"label\":\"\",\"x\":-1}\n",
    );
    assert_eq!(done.code(), 0, "{}", done.stderr);
    assert_eq!(
        done.stdout(),
        "{\"seq\":1,\"id\":null,\"ok\":true,\"value\":{\"x\":-7,\"label\":\"é\"}}\n\
         {\"seq\":2,\"id\":null,\"ok\":true,\"value\":{\"x\":1,\"label\":\"\"}}\n"
    );
    let done = run(
        &env,
        &[
            "-q", "--worker", WORKER, "--task", "fib", "--format", "value",
        ],
        "10\n20\n30\n40\n",
    );
    assert_eq!(done.stdout(), "55\n6765\n832040\n102334155\n");
}

#[test]
fn ids_come_back_with_their_results() {
    let env = TestEnv::new();
    let args = [
        "-k", "-q", "--worker", WORKER, "--task", "fib", "--input", "jsonl",
    ];
    let done = run(
        &env,
        &args,
        "{\"id\": \"a\", \"args\": 10}\n{\"args\": 11, \"id\": 7}\n",
    );
    assert_eq!(
        done.stdout(),
        "{\"seq\":1,\"id\":\"a\",\"ok\":true,\"value\":55}\n\
         {\"seq\":2,\"id\":7,\"ok\":true,\"value\":89}\n"
    );
}

#[test]
fn a_tasks_failure_is_an_answer_with_its_reason() {
    let env = TestEnv::new();
    let args = ["-k", "--worker", WORKER, "--task", "panic"];
    let done = run(&env, &args, "\"ouch\"\n");
    assert_eq!(done.code(), 1);
    let answer = &objects(done.stdout())[0];
    assert_eq!(answer["ok"], json!(false));
    let error = answer["error"].as_str().unwrap();
    assert!(
        error.contains("ouch") && error.contains("test_worker.rs:"),
        "{error}"
    );
    assert!(
        done.stderr.contains("0 of 1 job succeeded, 1 failed"),
        "{}",
        done.stderr
    );
}

#[test]
fn jsonl_tells_all_about_a_command() {
    let env = TestEnv::new();
    let script = "echo out; printf 'e\\377' >&2; kill -9 $$";
    let done = run(
        &env,
        &["--format", "jsonl", "-q", "--", "sh", "-c", script],
        "\n",
    );
    assert_eq!(done.code(), 1);
    let job = &objects(done.stdout())[0];
    assert_eq!(job["seq"], json!(1));
    assert_eq!(job["argv"][2], json!(script));
    assert_eq!(job["verdict"], json!("signaled"));
    assert_eq!(job["exit"], Value::Null);
    assert_eq!(job["signal"], json!(9));
    assert_eq!(job["stdout"], json!("out\n"));
    assert_eq!(job["stderr"], json!({"base64": "Zf8="}));
    assert_eq!(job["attempts"], json!(1));
    for number in ["duration", "cpu", "max_rss_kib", "worker"] {
        assert!(
            job[number].as_f64().is_some_and(|n| n > 0.0),
            "{number}: {job}"
        );
    }
    let start = job["start"].as_str().unwrap();
    assert!(start.starts_with("20") && start.ends_with('Z'), "{start}");
}

#[test]
fn max_rss_is_the_commands_own() {
    let env = TestEnv::new();
    let done = run(&env, &["--format", "jsonl", "-q", "--", "true"], "1\n");
    let rss = objects(done.stdout())[0]["max_rss_kib"].as_u64().unwrap();
    assert!(rss < 20_000, "{rss} KiB for `true`");
}

#[test]
fn no_input_is_no_failure() {
    let env = TestEnv::new();
    let done = run(&env, &["--", "echo", "{}"], "");
    assert_eq!(done.code(), 0);
    assert_eq!(
        (done.stdout(), done.stderr.as_str()),
        ("", "orchestrator: no jobs: the input was empty\n")
    );
}

#[test]
fn f069_a_line_without_end_is_rejected_and_not_kept() {
    let env = TestEnv::new();
    let mut input = vec![b'x'; 3 << 20];
    input.extend_from_slice(b"\nfine\n");
    let child = spawn(command(&env, &["-k", "--", "echo", "{}"]));
    let done = finish(child, input);
    assert_eq!(done.code(), 1);
    assert_eq!(done.stdout(), "fine\n");
    assert!(
        done.stderr
            .contains("line 1 of standard input is longer than the limit of 1 MiB"),
        "{}",
        done.stderr
    );
}

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
fn f032_the_limit_of_open_files_is_raised_as_far_as_it_goes() {
    let env = TestEnv::new();
    let limited = |limits: &str, workers: u32| {
        let mut shell = env.command("bash");
        let script = format!("{limits}; exec \"$0\" run -q -j{workers} -- echo {{}}");
        shell.args(["-c", &script]).arg(ORCHESTRATOR);
        env.run(shell, "x\n")
    };
    let done = limited("ulimit -Sn 70; ulimit -Hn 400", 40);
    assert_eq!((done.code(), done.stdout()), (0, "x\n"), "{}", done.stderr);
    let done = limited("ulimit -n 46", 100_000);
    assert_eq!((done.code(), done.stdout()), (0, "x\n"));
    assert_eq!(
        done.stderr,
        "warning: 100,000 workers need more open files than the limit allows: 1 is started\n  \
         tip: raise the limit: ulimit -n\n"
    );
    let done = limited("ulimit -n 45", 2);
    assert_eq!(done.code(), 125);
    assert_eq!(
        done.stderr,
        "error: the limit of open files does not allow any worker\n  \
         tip: raise the limit: ulimit -n\n"
    );
}

#[test]
fn a_program_with_a_relative_path_and_a_link_is_found() {
    let env = TestEnv::new();
    symlink("/bin/echo", env.path().join("say")).unwrap();
    let done = run(&env, &["-q", "--", "./say", "{}"], "hello\n");
    assert_eq!((done.code(), done.stdout()), (0, "hello\n"));
}

#[test]
fn tasks_lists_what_a_worker_offers() {
    let env = TestEnv::new();
    let mut command = env.command(ORCHESTRATOR);
    command.args(["tasks", "--worker", WORKER]);
    let done = env.run(command, "");
    assert_eq!(done.code(), 0, "{}", done.stderr);
    let names: Vec<&str> = done.stdout().lines().collect();
    assert!(
        names.contains(&"command") && names.contains(&"fib"),
        "{names:?}"
    );
}

#[test]
fn what_a_task_prints_goes_to_stderr_with_its_job() {
    let env = TestEnv::new();
    let args = [
        "-q", "--worker", WORKER, "--task", "print", "--format", "value",
    ];
    let done = run(&env, &args, "[\"hello\", 2]\n");
    assert_eq!(
        (done.stdout(), done.stderr.as_str()),
        ("null\n", "hello\nhello\n")
    );
}

#[test]
fn the_summary_counts_only_the_cpu_time_of_the_run() {
    let env = TestEnv::new();
    let mut shell = env.command("bash");
    // The program takes the place of a shell, and with it a child that has
    // used a lot of CPU time.
    let busy = "(for ((i = 0; i < 200000; i++)); do :; done); exec \"$0\" run -j1 -- sleep";
    shell.args(["-c", busy]).arg(ORCHESTRATOR);
    let done = env.run(shell, "0.1\n");
    let cpu = done.stderr.rsplit_once("CPU ").map(|(_, rest)| rest);
    let cpu = cpu.and_then(|rest| rest.split('%').next()?.parse::<u32>().ok());
    assert!(cpu.is_some_and(|cpu| cpu <= 100), "{}", done.stderr);
}

/// A program in the environment's directory.
pub(crate) fn script(env: &TestEnv, name: &str, text: &str) {
    use std::os::unix::fs::PermissionsExt;
    let path = env.file(name, text);
    let mode = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(path, mode).unwrap();
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

/// A story: `cat a b | wc` was what had failed, of one file and of three more arguments.
#[test]
fn a_command_is_named_as_it_would_be_typed() {
    let env = TestEnv::new();
    let words = ["--", "false", "{}", "x=1,y:z@2%", "*", ""];
    let done = run(&env, &words, "it's a b\n");
    let shown = r#"/false 'it'"'"'s a b' x=1,y:z@2% '*' ''`"#;
    assert!(done.stderr.contains(shown), "{}", done.stderr);
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

#[test]
fn an_input_that_does_not_fit_is_said_once() {
    let env = TestEnv::new();
    let args = ["-q", "--worker", WORKER, "--task", "fib"];
    let done = run(&env, &args, "\"x\"\n");
    assert_eq!(done.code(), 1);
    let error = objects(done.stdout())[0]["error"].clone();
    let error = error.as_str().unwrap();
    assert!(
        error.starts_with("input of task `fib` cannot be decoded: "),
        "{error}"
    );
    assert_eq!(done.stderr, format!("error: line 1: {error}\n"));
}

#[test]
fn a_refused_line_keeps_its_id() {
    let env = TestEnv::new();
    let args = [
        "-q", "--worker", WORKER, "--task", "fib", "--input", "jsonl",
    ];
    for format in ["result", "jsonl"] {
        let args = [&args[..], &["--format", format]].concat();
        let done = run(&env, &args, "{\"id\": \"a\", \"agrs\": 1}\n");
        assert_eq!(done.code(), 1);
        assert_eq!(objects(done.stdout())[0]["id"], json!("a"));
    }
}

#[test]
fn a_job_that_wants_more_memory_than_its_limit_fails_alone() {
    let env = TestEnv::new();
    let script = "import sys; bytearray(int(sys.argv[1]) << 20); print(sys.argv[1])";
    let words = [
        "--memory-limit",
        "200M",
        "-k",
        "-q",
        "--",
        "python3",
        "-c",
        script,
        "{}",
    ];
    let done = run(&env, &words, "10\n1000\n20\n");
    assert_eq!((done.code(), done.stdout()), (1, "10\n20\n"));
    assert!(done.stderr.contains("MemoryError"), "{}", done.stderr);
}
