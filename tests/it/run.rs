//! `orchestrator run`, as a user meets it.

mod mistakes;
mod streams;
mod tasks;

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

pub(crate) fn spawn(mut command: Command) -> Child {
    command.stdin(Stdio::piped()).spawn().unwrap()
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

/// A program in the environment's directory.
pub(crate) fn script(env: &TestEnv, name: &str, text: &str) {
    use std::os::unix::fs::PermissionsExt;
    let path = env.file(name, text);
    let mode = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(path, mode).unwrap();
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
    // Whoever is between two naps, or has just ended its last job, does not sleep.
    let mut busy = None;
    eventually("one is busy", || {
        busy = workers_of(pid).into_iter().find(|&worker| naps(worker));
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

/// Whether a worker is inside the sleeping task: its main thread sleeps on a
/// timer and not in a read.
fn naps(worker: u32) -> bool {
    let call = std::fs::read_to_string(format!("/proc/{worker}/syscall")).unwrap_or_default();
    call.starts_with(&format!("{} ", libc::SYS_clock_nanosleep))
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

/// A story: `cat a b | wc` was what had failed, of one file and of three more arguments.
#[test]
fn a_command_is_named_as_it_would_be_typed() {
    let env = TestEnv::new();
    let words = ["--", "false", "{}", "x=1,y:z@2%", "*", ""];
    let done = run(&env, &words, "it's a b\n");
    let shown = r#"/false 'it'"'"'s a b' x=1,y:z@2% '*' ''`"#;
    assert!(done.stderr.contains(shown), "{}", done.stderr);
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
