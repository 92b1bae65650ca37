//! Results on their way: in the order of the input where that is wanted, in bounded memory, to
//! readers that are slow, gone or out of space.

use std::io::{BufRead, BufReader, Read, Write};

use orchestrator_tests::env::finish;
use orchestrator_tests::{TestEnv, eventually};
use serde_json::json;

use super::{ORCHESTRATOR, WORKER, command, objects, peak_mib, run, spawn, workers_of};

fn open_files(pid: u32) -> usize {
    std::fs::read_dir(format!("/proc/{pid}/fd"))
        .unwrap()
        .count()
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
    // Standard input was closed, nothing else was opened, but for a moment.
    eventually("no more files are open than before", || {
        open_files(pid) <= before
    });
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
