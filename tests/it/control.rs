//! `orchestrator run`: how many jobs run at once, when, where and how they start,
//! and when all ends.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use orchestrator_tests::env::finish;
use orchestrator_tests::{TestEnv, eventually};

use super::faults::not_tested;
use super::parallel::Line;
use super::run::{ORCHESTRATOR, command, objects, run};
use super::worker_protocol::client::now;

/// A shell text for jobs that end when so many of them have been running at once.
fn together(number: usize) -> String {
    format!("touch here.{{}}; until [ $(ls here.* | wc -l) -ge {number} ]; do sleep 0.01; done")
}

fn lines(number: usize) -> String {
    (1..=number).map(|n| format!("{n}\n")).collect()
}

#[test]
fn as_many_jobs_as_there_are_run_at_once_if_nobody_says_how_many() {
    let env = TestEnv::new();
    let done = run(&env, &["-q", "-j0", "-c", &together(20)], lines(20));
    assert_eq!(done.code(), 0, "{}", done.stderr);
}

#[test]
fn a_file_says_how_many_jobs_run_at_once_and_may_change_its_mind() {
    let env = TestEnv::new();
    let file = env.file("jobs", "1\n");
    let said = env.path().join("said");
    let mut command = command(&env, &["-q", "-j", "jobs", "-c", &together(3)]);
    let input = File::open(env.file("input", lines(3))).unwrap();
    command.stdin(input).stderr(File::create(&said).unwrap());
    let child = command.spawn().unwrap();
    eventually("one runs", || env.path().join("here.1").exists());
    fs::write(&file, "three").unwrap();
    eventually("it is told", || {
        fs::read(&said).is_ok_and(|s| !s.is_empty())
    });
    assert!(!env.path().join("here.2").exists(), "the old number stays");
    fs::write(&file, "3").unwrap();
    let done = finish(child, Vec::new());
    assert_eq!(done.code(), 0);
    let said = fs::read_to_string(&said).unwrap();
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(said.contains("says `three`, no number of jobs: still 1 job at once"));
}

#[test]
fn a_run_inside_a_job_takes_its_share_of_the_cpus() {
    let env = TestEnv::new();
    let nested = |options: &str| {
        let text = format!(": {{}}; printf '1\\n2\\n' | {ORCHESTRATOR} run {options} -- true");
        let done = run(&env, &["-q", "-j64", "-c", &text], "1\n");
        assert_eq!(done.code(), 0, "{}", done.stderr);
        done.stderr
    };
    let said = nested("");
    assert!(said.contains(", 1 worker"), "{said}");
    let said = nested("-j3");
    assert!(said.contains(", 3 workers"), "{said}");
    let said = nested("-j200%");
    assert!(said.contains(", 2 workers"), "{said}");
}

#[test]
fn libraries_are_told_how_many_threads_a_job_has() {
    let env = TestEnv::new();
    let text = ": {}; echo $OMP_NUM_THREADS $OPENBLAS_NUM_THREADS $MKL_NUM_THREADS \
                $RAYON_NUM_THREADS $ORCHESTRATOR_CPUS";
    let mut command = command(&env, &["-q", "--threads-per-job", "1003", "-c", text]);
    command
        .env("MKL_NUM_THREADS", "9")
        .env_remove("OMP_NUM_THREADS");
    command
        .env_remove("OPENBLAS_NUM_THREADS")
        .env_remove("RAYON_NUM_THREADS");
    let done = env.run(command, "1\n");
    assert_eq!(done.stdout(), "1003 1003 9 1003 1003\n", "{}", done.stderr);
}

#[test]
fn jobs_run_at_a_niceness_and_never_at_a_better_one() {
    let env = TestEnv::new();
    // That of the tests themselves.
    let ours = env.run(env.command("nice"), "");
    let ours: i32 = ours.stdout().trim().parse().unwrap();
    for nice in [7, 0] {
        let (text, nice) = ("nice; : {}", nice.to_string());
        let (done, theirs) = Line::new(&["--nice", &nice, text])
            .ours(&["run", "-q", "--nice", &nice, "-c", text])
            .stdin("1\n")
            .both();
        let expected = ours.max(nice.parse().unwrap());
        assert_eq!(done.stdout(), format!("{expected}\n"), "{}", done.stderr);
        if let Some(theirs) = theirs.filter(|_| ours == 0) {
            assert_eq!(theirs.stdout(), done.stdout());
        }
    }
}

#[test]
fn jobs_run_in_a_directory_that_is_made_for_them() {
    for (wd, printed) in [
        ("made/here", ""),
        (".", "there\n"),
        ("/", "root\n"),
        ("", "there\n"),
    ] {
        let text = "test -e {} && echo there; test \"$PWD\" = / && echo root; true";
        let done = Line::new(&["--wd", wd, text])
            .ours(&["run", "-q", "--wd", wd, "-c", text])
            .stdin("1\n")
            .file("1", "")
            .same();
        assert_eq!(done.stdout(), printed, "{wd}: {}", done.stderr);
    }
    let env = TestEnv::new();
    // Where one cannot be made, that job fails and no other.
    env.file("taken", "");
    let words = ["-q", "-k", "--wd", "{}/{#}", "-c", "basename \"$PWD\""];
    let done = run(&env, &words, "a b\ntaken\nc\n");
    assert_eq!(
        (done.code(), done.stdout()),
        (1, "1\n3\n"),
        "{}",
        done.stderr
    );
    let said = "error: line 2 of standard input is not a job: --wd `taken/2` cannot be";
    assert!(done.stderr.starts_with(said), "{}", done.stderr);
    assert!(env.path().join("a b/1").is_dir());
    let shown = run(&env, &["--dry-run", "--wd", "new/{}", "true"], "x\n");
    assert!(shown.stdout().contains("/new/x && "), "{}", shown.stdout());
    assert!(!env.path().join("new").exists());
    fs::create_dir(env.path().join("sub")).unwrap();
    let done = run(&env, &["-q", "--wd", "sub", "-c", "echo {} > out"], "x\n");
    assert_eq!(done.code(), 0, "{}", done.stderr);
    assert_eq!(fs::read(env.path().join("sub/out")).unwrap(), b"x\n");
}

#[test]
fn a_variable_that_is_not_exported_is_told_and_one_that_is_reaches_the_jobs() {
    let env = TestEnv::new();
    let words = [
        "-q",
        "--env",
        "ONE",
        "--env",
        "TWO",
        "--env",
        "_",
        "-c",
        "echo $ONE {}",
    ];
    let mut command = command(&env, &words);
    command.env("ONE", "1");
    let done = env.run(command, "x\n");
    assert_eq!((done.code(), done.stdout()), (0, "1 x\n"));
    assert!(
        done.stderr
            .starts_with("warning: --env TWO: there is no such variable"),
        "{}",
        done.stderr
    );
    assert_eq!(done.stderr.lines().count(), 2, "{}", done.stderr);
}

#[test]
fn peers_3_5_a_halt_without_a_failed_job_is_no_failure() {
    for halt in [
        "now,done=2",
        "soon,done=2",
        "now,success=2",
        "soon,done=50%",
    ] {
        let text = "echo {}";
        let line = Line::new(&["-j1", "--halt", halt, text])
            .ours(&["run", "-q", "-j1", "--halt", halt, "-c", text])
            .stdin("1\n2\n3\n4\n");
        let (ours, theirs) = line.both();
        assert_eq!(
            (ours.code(), ours.stdout()),
            (0, "1\n2\n"),
            "{halt}: {}",
            ours.stderr
        );
        if let Some(theirs) = theirs {
            assert_eq!(theirs.stdout(), "1\n2\n", "{halt}");
        }
    }
}

#[test]
fn halts_are_those_of_gnu_parallel() {
    for (halt, printed) in [
        ("never", "0\n1\n0\n1\n"),
        ("never,fail=1", "0\n1\n0\n1\n"),
        ("0", "0\n1\n0\n1\n"),
        ("1", "0\n1\n"),
        ("2", "0\n1\n"),
        ("-1", "0\n"),
        ("-2", "0\n"),
        ("now,fail=2", "0\n1\n0\n1\n"),
        ("soon,fail=1%", "0\n1\n"),
        ("26%", "0\n1\n0\n1\n"),
        ("now,success=50%", "0\n1\n0\n"),
    ] {
        let text = "echo {}; exit {}";
        let line = Line::new(&["-j1", "--halt", halt, text])
            .ours(&["run", "-q", "-j1", "--halt", halt, "-c", text])
            .stdin("0\n1\n0\n1\n");
        let (ours, theirs) = line.both();
        assert_eq!(ours.stdout(), printed, "{halt}: {}", ours.stderr);
        if let Some(theirs) = theirs {
            assert_eq!(theirs.stdout(), printed, "{halt}");
        }
    }
}

#[test]
fn jobs_start_one_after_the_other_with_a_pause_between() {
    let env = TestEnv::new();
    // All four run at once, which they could not if the pause were between an end and a
    // start. What they would say of their own starts would be late by as much as each has
    // to wait for a processor.
    let begun = now();
    let done = run(
        &env,
        &["-q", "-j4", "--delay", "200ms", "-c", &together(4)],
        lines(4),
    );
    assert_eq!(done.code(), 0, "{}", done.stderr);
    let all = begun.elapsed();
    assert!(
        all >= Duration::from_millis(600),
        "{all:?} for three pauses"
    );
}

#[test]
fn a_job_that_takes_many_times_as_long_as_others_is_ended() {
    let env = TestEnv::new();
    let text = "case {} in 4) exec sleep 600 ;; *) sleep 0.2 ;; esac";
    let words = [
        "-q",
        "-j1",
        "--timeout",
        "1500%",
        "--format",
        "jsonl",
        "-c",
        text,
    ];
    let done = run(&env, &words, lines(4));
    assert_eq!(done.code(), 1, "{}", done.stderr);
    for job in objects(done.stdout()) {
        let verdict = if job["seq"] == 4 { "timeout" } else { "ok" };
        assert_eq!(job["verdict"], verdict, "{job}");
    }
}

#[test]
fn jobs_start_where_the_machine_has_room() {
    for (option, value) in [
        ("--memfree", "1k"),
        ("--load", "100000"),
        ("--load", "10000000%"),
    ] {
        let done = Line::new(&["-j2", option, value, "echo {}"])
            .ours(&["run", "-q", "-j2", option, value, "-c", "echo {}"])
            .stdin("1\n2\n3\n")
            .any_order()
            .same();
        assert_eq!(done.stdout().len(), 6, "{}", done.stderr);
    }
}

#[test]
fn a_machine_that_has_no_room_is_told() {
    let env = TestEnv::new();
    let mut command = command(&env, &["-q", "--memfree", "1000000G", "-c", "echo {}"]);
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"1\n").unwrap();
    let mut said = String::new();
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    stderr.read_line(&mut said).unwrap();
    kill(Pid::from_raw(child.id() as i32), Signal::SIGTERM).unwrap();
    finish(child, Vec::new());
    assert!(
        said.starts_with("note: no job has started for 3.00s: "),
        "{said}"
    );
    assert!(
        said.contains("of memory are available, and --memfree wants"),
        "{said}"
    );
}

/// How to run something that sees another file in place of `/proc/meminfo`.
const IN_PLACE: &str = "mount --bind meminfo /proc/meminfo && exec \"$@\"";

/// Says how much memory is available, without a moment at which nothing is said.
fn available(path: &Path, mib: u64) {
    let said = format!("MemAvailable: {:>12} kB\n", mib << 10);
    let mut options = File::options();
    options.write(true).create(true).truncate(false);
    let mut file = options.open(path).unwrap();
    file.write_all(said.as_bytes()).unwrap();
}

#[test]
fn the_job_that_began_last_makes_room_where_memory_is_short() {
    let env = TestEnv::new();
    let meminfo = env.path().join("meminfo");
    let unshare = |words: &[&str]| {
        let mut command = env.command("unshare");
        command
            .args(["-rm", "sh", "-c", IN_PLACE, "sh"])
            .args(words);
        command
    };
    available(&meminfo, 4_000);
    let tried = env.run(unshare(&["grep", "4096000 kB", "/proc/meminfo"]), "");
    if tried.code() != 0 {
        return not_tested("--memfree", "there are no namespaces (unshare, mount)");
    }
    let text = "echo {} >> begun; until [ -e go ]; do sleep 0.02; done; echo {}";
    let words = ["run", "-k", "-j2", "--memfree", "1G", "-c", text];
    let mut command = unshare(&[&[ORCHESTRATOR][..], &words].concat());
    command.stdin(File::open(env.file("input", lines(2))).unwrap());
    let mut child = command.spawn().unwrap();
    let begun = || fs::read_to_string(env.path().join("begun")).unwrap_or_default();
    eventually("both run", || begun().lines().count() == 2);
    available(&meminfo, 100);
    let mut told = String::new();
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    for _ in 0..2 {
        stderr.read_line(&mut told).unwrap();
    }
    let said =
        "warning: only 100 MiB of memory are available (--memfree): run again later:\n  line ";
    assert!(told.starts_with(said), "{told}");
    assert_eq!(begun().lines().count(), 2, "no job starts");
    available(&meminfo, 4_000);
    eventually("it runs again", || begun().lines().count() == 3);
    env.file("go", "");
    stderr.read_to_string(&mut told).unwrap();
    assert!(told.contains("2 jobs succeeded"), "{told}");
    let done = finish(child, Vec::new());
    assert_eq!((done.code(), done.stdout()), (0, "1\n2\n"));
}

#[test]
fn what_runs_is_listed_by_what_it_was_made_of() {
    let env = TestEnv::new();
    let words = [
        "-c",
        "touch up; until [ -e go ]; do sleep 0.01; done; : {}",
        ":::",
        "x",
    ];
    let mut child = command(&env, &words).spawn().unwrap();
    eventually("it runs", || env.path().join("up").exists());
    kill(Pid::from_raw(child.id() as i32), Signal::SIGUSR1).unwrap();
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let mut told = String::new();
    for _ in 0..2 {
        stderr.read_line(&mut told).unwrap();
    }
    assert!(told.contains("\n  argument 1: `touch up;"), "{told}");
    env.file("go", "");
    assert_eq!(finish(child, Vec::new()).code(), 0);
}

#[test]
fn no_job_starts_where_the_machine_has_no_room() {
    let env = TestEnv::new();
    let words = ["-j2", "--memfree", "1P", "--", "touch"];
    let mut command = command(&env, &words);
    command.stdin(File::open(env.file("input", lines(3))).unwrap());
    let mut child = command.spawn().unwrap();
    let pid = Pid::from_raw(child.id() as i32);
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let mut told = String::new();
    // Before it has handlers, the signal would end it.
    eventually("workers are there", || env.processes().len() >= 3);
    while !told.contains(" 0 running, 3 waiting, 2 workers, ") {
        kill(pid, Signal::SIGUSR1).unwrap();
        stderr.read_line(&mut told).unwrap();
    }
    kill(pid, Signal::SIGINT).unwrap();
    let done = finish(child, Vec::new());
    assert_eq!(done.code(), 130);
    assert!(!env.path().join("1").exists());
}

#[test]
fn a_command_is_made_to_stop_by_the_signals_that_were_asked_for() {
    // Each signal shows itself; the shell waits on until it is killed.
    let text = "trap 'echo int' INT; trap 'echo usr1' USR1; trap '' TERM; \
                while :; do sleep 0.05; done; : {}";
    let words = |termseq| ["--timeout", "1", "--termseq", termseq];
    for termseq in [
        "INT,200,USR1,1000,TERM,100,KILL,25",
        "2,200,SIGUSR1,1000,KILL",
    ] {
        let ours = ["run", "-q"]
            .iter()
            .copied()
            .chain(words(termseq))
            .chain(["-c", text]);
        let done = Line::new(&[&words(termseq)[..], &[text]].concat())
            .ours(&ours.collect::<Vec<_>>())
            .stdin("1\n")
            .same();
        assert_eq!(done.stdout(), "int\nusr1\n", "{}", done.stderr);
    }
}

#[test]
fn jobs_find_the_number_of_their_slot_from_zero_in_a_variable() {
    let text = format!("echo $LANE; {}", together(3));
    let done = Line::new(&["-j3", "--process-slot-var", "LANE", &text])
        .ours(&[
            "run",
            "-q",
            "-j3",
            "--process-slot-var",
            "LANE",
            "-c",
            &text,
        ])
        .stdin(lines(3))
        .any_order()
        .same();
    let mut slots: Vec<&str> = done.stdout().lines().collect();
    slots.sort_unstable();
    assert_eq!(slots, ["0", "1", "2"], "{}", done.stderr);
}
