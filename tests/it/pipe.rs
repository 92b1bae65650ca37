//! `orchestrator run --pipe`: blocks of records, as commands read them.

use std::fs;
use std::process::Stdio;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use orchestrator_tests::env::finish;
use orchestrator_tests::{TestEnv, eventually};
use serde_json::json;

use super::run::{command, objects, peak_mib, run, sorted};

/// So many lines of eight bytes.
fn lines(count: usize) -> Vec<u8> {
    (0..count)
        .flat_map(|n| format!("{n:07}\n").into_bytes())
        .collect()
}

#[test]
fn blocks_are_the_input_and_each_is_one_job() {
    let env = TestEnv::new();
    let input = lines(100_000);
    for block in ["9k", "64K", "300k", "10M"] {
        let done = run(
            &env,
            &["--pipe", "--block", block, "-k", "-q", "-j3", "cat"],
            &input[..],
        );
        assert_eq!((done.code(), &done.stderr[..]), (0, ""), "{block}");
        assert!(done.stdout == input, "{block}");
    }
    let args = [
        "--pipe", "--block", "100k", "-k", "--format", "jsonl", "-c", "wc -c",
    ];
    let done = run(&env, &args, input);
    let sizes = objects(done.stdout())
        .into_iter()
        .map(|job| job["stdout"].clone());
    let sizes: Vec<_> = sizes.collect();
    assert_eq!(sizes, vec![json!("100000\n"); 8]);
    assert!(done.stderr.contains("8 jobs succeeded"), "{}", done.stderr);
    assert_eq!(run(&env, &["--pipe", "-q", "cat"], "").stdout(), "");
}

#[test]
fn any_bytes_reach_the_command_and_its_number_is_a_place() {
    let env = TestEnv::new();
    let input: Vec<u8> = (0..=255).cycle().take(100_000).collect();
    let args = [
        "--pipe", "--recend", "", "--block", "10007", "-q", "tee", "part.{#}",
    ];
    let done = run(&env, &args, &input[..]);
    assert_eq!(done.code(), 0, "{}", done.stderr);
    let parts = (1..=10).flat_map(|n| fs::read(env.path().join(format!("part.{n}"))).unwrap());
    assert!(parts.eq(input));
}

#[test]
fn a_command_that_does_not_read_is_judged_by_its_status() {
    let env = TestEnv::new();
    let args = ["--pipe", "--block", "300K", "-k", "-q", "-j2"];
    let first = run(
        &env,
        &[&args[..], &["--", "head", "-n1"]].concat(),
        lines(120_000),
    );
    assert_eq!((first.code(), &first.stderr[..]), (0, ""));
    assert_eq!(first.stdout(), "0000000\n0038400\n0076800\n0115200\n");
    let failed = run(
        &env,
        &[&args[..], &["-c", "exec <&-; exit 3"]].concat(),
        lines(1000),
    );
    assert_eq!((failed.code(), failed.stdout()), (1, ""));
}

#[test]
fn a_command_that_reads_slowly_keeps_no_other_waiting() {
    let env = TestEnv::new();
    // The first reads when the last has run.
    let text =
        "case {#} in 1) until [ -e last ]; do sleep 0.01; done;; 40) touch last;; esac; wc -l";
    let done = run(
        &env,
        &["--pipe", "--block", "80000", "-q", "-j2", "-c", text],
        lines(400_000),
    );
    assert_eq!((done.code(), &done.stderr[..]), (0, ""));
    assert_eq!(done.stdout(), "10000\n".repeat(40));
}

#[test]
fn a_retry_gets_the_same_block_again() {
    let env = TestEnv::new();
    let text = "cat >seen.{#}.$ORCHESTRATOR_ATTEMPT; test $ORCHESTRATOR_ATTEMPT = 3";
    let args = [
        "--pipe",
        "--block",
        "400K",
        "-q",
        "--retries",
        "2",
        "-c",
        text,
    ];
    let input = lines(100_000);
    let done = run(&env, &args, &input[..]);
    assert_eq!(done.code(), 0, "{}", done.stderr);
    for attempt in 1..=3 {
        let seen = |n| fs::read(env.path().join(format!("seen.{n}.{attempt}"))).unwrap();
        assert!([seen(1), seen(2)].concat() == input, "{attempt}");
    }
}

#[test]
fn a_block_whose_job_failed_is_kept_and_run_again() {
    let env = TestEnv::new();
    let text = "cat >got.{#}; test -e good || test {#} != 2";
    let options = ["--pipe", "-N2", "-q", "-k", "--failed-to", "failed"];
    let got = |n| fs::read_to_string(env.path().join(format!("got.{n}"))).unwrap();
    for recorded in [&["--run-file", "run"][..], &[]] {
        let args = [&options[..], recorded, &["-c", text]].concat();
        let done = run(&env, &args, "1\n2\n3\n4\n5\n");
        assert_eq!(done.code(), 1, "{}", done.stderr);
        assert_eq!(
            fs::read_to_string(env.path().join("failed")).unwrap(),
            "3\n4\n"
        );
        env.file("good", "");
        fs::remove_file(env.path().join("got.2")).unwrap();
        let which = recorded.last().unwrap_or(&"last");
        let mut retry = env.command(super::run::ORCHESTRATOR);
        retry.args(["retry", "-q", which]);
        let done = env.run(retry, "");
        assert_eq!(done.code(), 0, "{}", done.stderr);
        assert_eq!(got(2), "3\n4\n");
        fs::remove_file(env.path().join("good")).unwrap();
    }
    // The same input again: all of it is done.
    let args = [&options[..], &["--run-file", "run", "--resume", "-c", text]].concat();
    fs::remove_file(env.path().join("got.1")).unwrap();
    assert_eq!(run(&env, &args, "1\n2\n3\n4\n5\n").code(), 0);
    assert!(!env.path().join("got.1").exists());
}

#[test]
fn memory_is_a_few_blocks_however_long_the_input_is() {
    let env = TestEnv::new();
    for how in [
        &["--pipe", "--block", "1M"][..],
        &["--pipe", "--round-robin"],
    ] {
        let mut source = env.command("sh");
        source.args(["-c", "yes 'a line of the input' | head -c 300000000"]);
        let mut source = source.stdout(Stdio::piped()).spawn().unwrap();
        let mut ours = command(&env, &[how, &["-j2", "-q", "--", "wc", "-c"]].concat());
        ours.stdin(source.stdout.take().unwrap());
        let child = ours
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let pid = child.id();
        let watch = std::thread::spawn(move || {
            let mut most = 0;
            while let Some(peak) = peak_mib(pid) {
                most = most.max(peak);
                std::thread::sleep(Duration::from_millis(5));
            }
            most
        });
        let output = child.wait_with_output().unwrap();
        assert!(source.wait().unwrap().success());
        let sizes = String::from_utf8(output.stdout).unwrap();
        let sum: u64 = sizes.lines().map(|size| size.parse::<u64>().unwrap()).sum();
        assert_eq!(sum, 300_000_000, "{how:?}");
        // 16 of them are under way at most.
        let most = watch.join().unwrap();
        assert!(most < 64, "{most} MiB, {how:?}");
    }
}

#[test]
fn a_record_beyond_the_limit_ends_the_run_behind_what_came_before() {
    let env = TestEnv::new();
    let input = [&b"1\n2\n"[..], &vec![b'x'; 70 << 20]].concat();
    let done = run(&env, &["--pipe", "--block", "4", "-q", "cat"], input);
    assert_eq!(done.stdout(), "1\n2\n");
    assert_eq!(done.code(), 125);
    assert!(
        done.stderr
            .starts_with("error: a record of standard input is larger than 64 MiB, the limit"),
        "{}",
        done.stderr
    );
    // With blocks of that size it is none.
    let args = ["--pipe", "--block", "80M", "-q", "wc", "-c"];
    let done = run(&env, &args, vec![b'x'; 70 << 20]);
    assert_eq!((done.code(), done.stdout()), (0, "73400320\n"));
}

/// Whole lines, and nothing but lines of seven digits.
const COUNT: &str = "grep -c '^[0-9]\\{7\\}$'";

#[test]
fn processes_of_a_round_share_the_input_by_whole_records() {
    let env = TestEnv::new();
    let input = lines(500_000);
    for block in ["1000", "64K", "1M"] {
        let args = [
            "--pipe",
            "--round-robin",
            "--block",
            block,
            "-j3",
            "-q",
            "-c",
            COUNT,
        ];
        let done = run(&env, &args, &input[..]);
        assert_eq!((done.code(), &done.stderr[..]), (0, ""), "{block}");
        let counts: Vec<u32> = done.stdout().lines().map(|n| n.parse().unwrap()).collect();
        assert_eq!(
            (counts.len(), counts.iter().sum()),
            (3, 500_000),
            "{block}: {counts:?}"
        );
    }
    // There is nothing for a fourth, and for nothing there is none at all.
    let args = ["--pipe", "--round-robin", "-N1", "-j4", "-q", "-c", "cat"];
    let done = run(&env, &args, "1\n2\n3\n");
    assert_eq!(sorted(done.stdout()), ["1", "2", "3"]);
    let done = run(&env, &["--pipe", "--round-robin", "-j4", "true"], "");
    assert!(
        done.stderr.starts_with("orchestrator: no jobs"),
        "{}",
        done.stderr
    );
}

#[test]
fn a_slow_process_of_a_round_keeps_the_others_fed() {
    let env = TestEnv::new();
    // The first reads nothing until the second has read more than fits into all pipes.
    let text = "case {#} in 1) until [ -e enough ]; do sleep 0.01; done; cat >/dev/null;;
                2) head -c 6000000 >/dev/null; touch enough; cat >/dev/null;; esac";
    let args = [
        "--pipe",
        "--round-robin",
        "--block",
        "100k",
        "-j2",
        "-q",
        "-c",
        text,
    ];
    let done = run(&env, &args, lines(1_000_000));
    assert_eq!((done.code(), &done.stderr[..]), (0, ""));
}

#[test]
fn what_a_process_of_a_round_has_not_read_is_told() {
    let env = TestEnv::new();
    let all = ["--pipe", "--round-robin", "--block", "100k", "-q"];
    // One dies when it has something, the other does the rest, more than fits into its pipe.
    let text = "case {#} in 1) head -c 1 >/dev/null; touch dead;;
                2) until [ -e dead ]; do sleep 0.01; done; exec wc -c;; esac";
    let args = [&all[..], &["-j2", "-c", text]].concat();
    let done = run(&env, &args, lines(1_000_000));
    assert_eq!(done.code(), 1);
    let said = done
        .stderr
        .strip_prefix("error: job 1 ended without reading ");
    let lost = said.and_then(|said| said.strip_suffix(" bytes of its input\n"));
    let lost: u64 = lost.expect(&done.stderr).replace(',', "").parse().unwrap();
    let read: u64 = done.stdout().trim().parse().unwrap();
    assert_eq!(lost + 1 + read, 8_000_000, "{}", done.stderr);
    // All die.
    let done = run(
        &env,
        &[&all[..], &["-j2", "--", "true"]].concat(),
        lines(1_000_000),
    );
    assert_eq!(done.code(), 1);
    let last = "error: all jobs ended before standard input did: nobody reads the rest\n";
    assert!(done.stderr.ends_with(last), "{}", done.stderr);
    // One that reads all it is given may end as it likes.
    let done = run(
        &env,
        &[&all[..], &["-j2", "-c", "wc -l; exit 3"]].concat(),
        lines(10),
    );
    assert_eq!((done.code(), done.stdout()), (1, "10\n"));
    assert!(!done.stderr.contains("without reading"), "{}", done.stderr);
}

#[test]
fn a_round_without_end_is_stopped_and_leaves_nothing() {
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP] {
        let env = TestEnv::new();
        let text = "exec 9>\"$ORCHESTRATOR_TEST_LIFE\"; touch started.{#}; cat >/dev/null";
        let mut ours = command(&env, &["--pipe", "--round-robin", "-j2", "-q", "-c", text]);
        let mut child = ours
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let feeding = std::thread::spawn(move || {
            use std::io::Write;
            // Until nobody reads any more.
            while stdin.write_all(&b"line\n".repeat(10_000)).is_ok() {}
        });
        eventually("both have started", || {
            (1..=2).all(|n| env.path().join(format!("started.{n}")).exists())
        });
        kill(Pid::from_raw(child.id() as i32), signal).unwrap();
        let done = finish(child, Vec::new());
        assert_ne!(done.status.code(), Some(0), "{signal}");
        feeding.join().unwrap();
        env.no_process_left();
    }
}
