//! Jobs that misbehave harm themselves and nobody else.

use std::fs::Permissions;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use orchestrator_tests::env::finish;
use orchestrator_tests::{Done, TestEnv, eventually};
use serde_json::{Value, json};

use super::{command, count_verdicts, objects, peak_mib, run, script, spawn};

/// Runs a shell script for each line, `$1`, and gives what `--format jsonl`
/// says in the order of the input, with the exit code.
fn told(env: &TestEnv, text: &str, stdin: &str) -> (i32, Vec<Value>) {
    let args = ["-j2", "-qk", "--format", "jsonl"];
    let args = [&args[..], &["--", "sh", "-c", text, "sh", "{}"]].concat();
    let done = run(env, &args, stdin);
    (done.code(), objects(done.stdout()))
}

#[test]
fn f036_a_status_other_than_0_is_that_jobs_failure() {
    let env = TestEnv::new();
    let (code, jobs) = told(&env, "exit $1", "0\n3\n137\n");
    assert_eq!(code, 1);
    let seen: Vec<_> = jobs.iter().map(|j| (&j["verdict"], &j["exit"])).collect();
    let expected = [
        (&json!("ok"), &json!(0)),
        (&json!("failed"), &json!(3)),
        (&json!("failed"), &json!(137)),
    ];
    assert_eq!(seen, expected);
    assert!(jobs.iter().all(|j| j["signal"].is_null()));
    assert_eq!(told(&env, "exit 0", "1\n").0, 0);
}

#[test]
fn f037_a_signal_has_its_number_and_name_and_is_no_status() {
    let env = TestEnv::new();
    let (code, jobs) = told(&env, "kill -$1 $$", "SEGV\nKILL\nTERM\n40\n");
    assert_eq!(code, 1);
    let signal = |job: &Value| (job["signal"].clone(), job["signal_name"].clone());
    let seen: Vec<_> = jobs.iter().map(signal).collect();
    let expected = [
        (json!(11), json!("SIGSEGV")),
        (json!(9), json!("SIGKILL")),
        (json!(15), json!("SIGTERM")),
        (json!(40), json!("signal 40")),
    ];
    assert_eq!(seen, expected);
    for job in &jobs {
        assert_eq!(
            (&job["verdict"], &job["exit"]),
            (&json!("signaled"), &Value::Null)
        );
    }
}

#[test]
fn f040_f041_f042_what_a_job_leaves_behind_is_killed_and_counted() {
    let env = TestEnv::new();
    let daemon = env.file(
        "daemon.py",
        "import os, signal, sys, time\n\
         def fork():\n    if os.fork(): os._exit(0)\n\
         read, write = os.pipe()\n\
         if os.fork() == 0:\n    \
             os.setsid(); fork(); os.chdir('/'); os.umask(0)\n    \
             for s in (1, 2, 15): signal.signal(s, signal.SIG_IGN)\n    \
             null = os.open('/dev/null', os.O_RDWR)\n    \
             for fd in (0, 1, 2): os.dup2(null, fd)\n    \
             os.write(write, b'x'); os.close(write)\n    \
             os.execve('/bin/sleep', ['a-daemon', '600'], {})\n\
         os.wait(); os.read(read, 1)\n",
    );
    // Each has the life pipe open, so nothing gets away unnoticed.
    let text = format!(
        "{}case $1 in \
           none) ;; \
           holds-pipes) sleep 600 & ;; \
           session) setsid sleep 600 >/dev/null 2>&1 </dev/null & ;; \
           daemon) python3 {} ;; \
         esac; echo $1; exit 3",
        env.life().open(),
        daemon.display()
    );
    let (code, jobs) = told(&env, &text, "none\nholds-pipes\nsession\ndaemon\n");
    assert_eq!(code, 1);
    assert_eq!(jobs.len(), 4);
    for (job, name) in jobs
        .iter()
        .zip(["none", "holds-pipes", "session", "daemon"])
    {
        // What is left behind does not change the job's own end.
        let line = json!(format!("{name}\n"));
        assert_eq!((&job["exit"], &job["stdout"]), (&json!(3), &line), "{job}");
        let leaked = if name == "none" { 0 } else { 1 };
        assert_eq!(job["leaked"], json!(leaked), "{name}");
        assert_eq!(job["stderr"], json!(""), "{name}");
        let patience = job["duration"].as_f64().unwrap();
        assert!(patience < 60.0, "{name}: {patience}");
    }
    env.no_process_left();
}

#[test]
fn f048_a_job_may_print_more_than_there_is_memory() {
    const SIZE: usize = 200 << 20;
    let env = TestEnv::new();
    let text = format!("head -c {SIZE} /dev/zero");
    for order in ["-q", "-qk"] {
        let mut child = spawn(command(&env, &[order, "--", "sh", "-c", &text, "{}"]));
        let pid = child.id();
        let stdin = child.stdin.take();
        std::io::Write::write_all(&mut stdin.unwrap(), b"1\n").unwrap();
        let mut stdout = child.stdout.take().unwrap();
        let (mut size, mut peak) = (0, 0);
        let mut buffer = vec![0; 1 << 20];
        while let n @ 1.. = std::io::Read::read(&mut stdout, &mut buffer).unwrap() {
            size += n;
            peak = peak.max(peak_mib(pid).unwrap_or(0));
        }
        assert_eq!(finish(child, vec![]).code(), 0);
        assert_eq!(size, SIZE);
        assert!((1..64).contains(&peak), "{order}: {peak} MiB");
    }
}

#[test]
fn f050_f051_a_program_that_cannot_be_started_is_that_lines_failure() {
    let env = TestEnv::new();
    script(&env, "no-interpreter", "#!/no/such/interpreter\n");
    script(&env, "text", "just text\n");
    let path = env.file("not-executable", "#!/bin/sh\n");
    std::fs::set_permissions(path, Permissions::from_mode(0o644)).unwrap();
    symlink("loop", env.path().join("loop")).unwrap();
    std::fs::create_dir(env.path().join("directory")).unwrap();
    script(&env, "good", "#!/bin/sh\necho good\n");
    let cases = [
        ("missing", libc::ENOENT, "there is no program"),
        (
            "no-interpreter",
            libc::ENOENT,
            "there is no interpreter `/no/such/interpreter`",
        ),
        ("not-executable", libc::EACCES, "is not executable"),
        ("directory", libc::EACCES, "is a directory"),
        ("text", libc::ENOEXEC, "is neither a program nor a script"),
        ("loop", libc::ELOOP, "cannot start"),
        ("good", 0, ""),
    ];
    let lines: String = cases.iter().map(|(name, ..)| format!("{name}\n")).collect();
    let args = ["-j2", "-qk", "--format", "jsonl", "--", "./{}"];
    let done = run(&env, &args, lines);
    assert_eq!(done.code(), 1);
    for ((name, errno, expected), job) in cases.iter().zip(objects(done.stdout())) {
        let (verdict, exit) = match errno {
            0 => ("ok", json!(0)),
            _ => ("spawn_error", Value::Null),
        };
        assert_eq!(
            (&job["verdict"], &job["exit"]),
            (&json!(verdict), &exit),
            "{name}"
        );
        let error = job["error"].as_str().unwrap_or_default();
        assert!(error.contains(expected), "{name}: {error}");
    }
    assert_eq!(done.stderr.lines().count(), 6, "{}", done.stderr);
}

#[test]
fn f053_an_argument_that_is_too_long_is_named_and_harms_nobody() {
    // The kernel's limit for one argument, its zero byte included.
    const LIMIT: usize = 131_072;
    let env = TestEnv::new();
    let (fits, too_long) = ("x".repeat(LIMIT - 1), "y".repeat(LIMIT));
    let args = [
        "-j2",
        "-qk",
        "--",
        "sh",
        "-c",
        "printf %s \"$1\" | wc -c",
        "sh",
        "{}",
    ];
    let done = run(&env, &args, format!("1\n{too_long}\n{fits}\n12\n"));
    assert_eq!(done.code(), 1);
    assert_eq!(done.stdout(), "1\n131071\n2\n");
    let said = "error: line 2: command could not be started: the argument list is too long; the \
                largest part is argument 4 with 131072 bytes of at most 131071: `";
    assert!(done.stderr.starts_with(said), "{:.300}", done.stderr);
    assert!(done.stderr.len() < 400, "{} bytes", done.stderr.len());
}

#[test]
fn f056_a_job_that_reads_stdin_is_at_its_end_at_once() {
    let env = TestEnv::new();
    // More input than jobs have been made of: none of it is theirs.
    let lines = "1\n".repeat(2_000);
    let done = run(
        &env,
        &["-j2", "-q", "--", "sh", "-c", "wc -c", "sh", "{}"],
        lines,
    );
    assert_eq!(done.code(), 0, "{}", done.stderr);
    assert_eq!(done.stdout(), "0\n".repeat(2_000));
}

#[test]
fn f060_a_job_dumps_core_only_if_it_asks_for_it() {
    let env = TestEnv::new();
    // As large as allowed, for the orchestrator and whatever it starts.
    let mut shell = env.command("bash");
    let job = "ulimit -Sc; ulimit -Sc hard; ulimit -Sc";
    let text = "ulimit -Sc hard; ulimit -Sc; exec \"$0\" run -q -- bash -c \"$1\" {}";
    shell.args(["-c", text, super::ORCHESTRATOR, job]);
    let done = env.run(shell, "1\n");
    let lines: Vec<&str> = done.stdout().lines().collect();
    let [hard, job @ ..] = &lines[..] else {
        panic!("{}", done.stderr);
    };
    assert_eq!(job, ["0", hard], "{}", done.stderr);
}

#[test]
fn f061_a_job_finds_nothing_that_another_has_changed() {
    let env = TestEnv::new();
    let tell = "pwd; umask; ulimit -Sn; echo \"${CHANGED-none}\"; trap";
    let text =
        format!("{tell}; cd /; umask 0777; ulimit -n 17; export CHANGED=yes; trap '' TERM HUP");
    let args = [
        "-j1", "-qk", "--format", "jsonl", "--", "sh", "-c", &text, "{}",
    ];
    let done = run(&env, &args, "1\n2\n3\n");
    assert_eq!(done.code(), 0, "{}", done.stderr);
    let jobs = objects(done.stdout());
    let first = jobs[0]["stdout"].as_str().unwrap();
    assert!(first.starts_with(env.path().to_str().unwrap()), "{first}");
    assert!(first.ends_with("none\n"), "{first}");
    for job in &jobs {
        assert_eq!((&job["worker"], &job["stdout"]), (&json!(1), &json!(first)));
    }
}

#[test]
fn f063_a_job_that_kills_its_worker_crashes_and_no_other_does() {
    for workers in ["-j1", "-j2"] {
        let env = TestEnv::new();
        let text = "if [ $1 = 100 ]; then kill -9 $PPID; sleep 600; fi; echo $1";
        let args = [
            workers, "-qk", "--format", "jsonl", "--", "sh", "-c", text, "sh", "{}",
        ];
        let lines: String = (1..=201).map(|n| format!("{n}\n")).collect();
        let done = run(&env, &args, lines);
        assert_eq!(done.code(), 1);
        let counts = count_verdicts(done.stdout());
        let expected = [("crashed".to_owned(), 1), ("ok".to_owned(), 200)];
        assert_eq!(counts, expected.into(), "{workers}");
        let jobs = objects(done.stdout());
        assert_eq!(jobs[99]["verdict"], json!("crashed"));
        let error = "crashed: its worker was killed by SIGKILL";
        assert_eq!(jobs[99]["error"], json!(error));
        for (n, job) in (1..).zip(&jobs).filter(|(n, _)| *n != 100) {
            assert_eq!(job["stdout"], json!(format!("{n}\n")));
        }
        env.no_process_left_after(Duration::from_secs(10));
    }
}

#[test]
fn f043_processes_of_a_job_that_fork_and_end_all_the_time_are_killed() {
    let env = TestEnv::new();
    // Whoever is found has a child already, and leaves it the life pipe. They end
    // by themselves, for the sake of the machine if this test fails.
    let comet = env.file(
        "comet.py",
        "import os, sys, time\n\
         end = time.monotonic() + 100\n\
         os.setsid()\n\
         os.write(1, b'x'); null = os.open('/dev/null', os.O_RDWR)\n\
         for fd in (0, 1, 2): os.dup2(null, fd)\n\
         while time.monotonic() < end:\n    \
             if os.fork(): os._exit(0)\n",
    );
    let text = format!(
        "{}mkfifo begun.$1; for n in 1 2; do python3 {} >begun.$1 </dev/null & done; \
         head -c 2 begun.$1",
        env.life().open(),
        comet.display()
    );
    let (code, jobs) = told(&env, &text, "1\n2\n3\n");
    assert_eq!(code, 0);
    for job in &jobs {
        assert_eq!(job["stdout"], json!("xx"));
        assert!(job["leaked"].as_u64().unwrap() >= 2, "{job}");
    }
    env.no_process_left();
}

#[test]
fn f127_a_command_has_the_environment_of_the_run_and_the_number_of_its_attempt() {
    let env = TestEnv::new();
    let ours = [
        "A=1",
        "EMPTY=",
        "LINES_OF=two\nlines",
        "ORCHESTRATOR_X=kept",
    ];
    for args in [&["-q", "-j1"][..], &["-q", "-j2", "--format", "text"]] {
        let mut command = env.command("env");
        command.arg("-i").args(ours).arg(super::ORCHESTRATOR);
        command.arg("run").args(args);
        command.args(["--", "/usr/bin/env", "-0", "{path}=line"]);
        let done = env.run(command, "line\n");
        let mut seen: Vec<&str> = done.stdout().split_terminator('\0').collect();
        // Its share of the CPUs depends on the machine, its slot on who is ready first.
        let slots = ["ORCHESTRATOR_SLOT=1", "ORCHESTRATOR_SLOT=2"];
        assert!(seen.iter().any(|variable| slots.contains(variable)));
        seen.retain(|variable| {
            !slots.contains(variable) && !variable.starts_with("ORCHESTRATOR_CPUS=")
        });
        seen.sort_unstable();
        let mut expected = [&ours[..], &["line=line", "ORCHESTRATOR_ATTEMPT=1"]].concat();
        expected.sort_unstable();
        assert_eq!(seen, expected, "{}", done.stderr);
    }
}

#[test]
fn f128_nothing_that_is_said_has_a_value_of_the_environment() {
    const CANARY: &str = "canary-in-the-environment";
    let env = TestEnv::new();
    let with_canary = |args: &[&str]| {
        let mut command = command(&env, args);
        command.env("PASSWORD", CANARY);
        command
    };
    let silent = |done: &Done| {
        assert!(!done.stdout().contains(CANARY), "{}", done.stdout());
        assert!(!done.stderr.contains(CANARY), "{}", done.stderr);
    };
    // Jobs that end in all kinds of ways.
    let text = "case $1 in ok) ;; failed) exit 3 ;; signaled) kill -9 $$ ;; \
                crashed) kill -9 $PPID ;; timeout) sleep 600 ;; esac";
    let lines = "ok\nfailed\nsignaled\ncrashed\ntimeout\n";
    for format in ["text", "jsonl"] {
        let args = [
            "-j2",
            "--timeout",
            "0.2",
            "--grace",
            "0.2",
            "--format",
            format,
        ];
        let args = [&args[..], &["--", "sh", "-c", text, "sh", "{}"]].concat();
        let done = env.run(with_canary(&args), lines);
        assert_eq!(done.code(), 1);
        silent(&done);
        let missing = [&args[..7], &["--", "./missing-{}"]].concat();
        silent(&env.run(with_canary(&missing), lines));
    }
    // A run that is asked what it does, and killed.
    let text = "touch runs; exec sleep 600";
    let mut child = spawn(with_canary(&["-j2", "--", "sh", "-c", text, "sh", "{}"]));
    let mut stdin = child.stdin.take().unwrap();
    std::io::Write::write_all(&mut stdin, b"1\n").unwrap();
    eventually("it runs", || env.path().join("runs").exists());
    kill(Pid::from_raw(child.id() as i32), Signal::SIGQUIT).unwrap();
    let done = finish(child, vec![]);
    assert_eq!(done.code(), 131, "{}", done.stderr);
    silent(&done);
}
