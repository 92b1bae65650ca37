//! Workers that die or misbehave, with their jobs and between them.

use std::io::Write;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid as ProcessId;
use orchestrator::{EventKind, EventStream, Pool, RawJob, Reports, Verdict};
use orchestrator_tests::env::finish;
use orchestrator_tests::tasks::*;
use orchestrator_tests::{TestEnv, eventually};
use protocol::CommandSpec;
use serde_json::json;

use crate::pool::all;

use super::{
    WORKER, block_on, config, copy_of_orchestrator, ends, objects, rogues, run, spawn, workers_of,
};

#[test]
fn f002_a_worker_that_ends_in_a_job_has_crashed_even_with_status_0() {
    for status in [0, 3] {
        let (verdict, said) = ends(&format!("greet hello ready:noop recv exit:{status}"));
        assert_eq!(verdict, Verdict::Crashed);
        assert_eq!(said, format!("its worker ended with status {status}"));
    }
}

/// Waits for the end of a worker; gives whether nobody wanted it, and how.
async fn ended(events: &mut EventStream) -> Option<String> {
    loop {
        let event = events.next().await.expect("a worker ends before the pool");
        if let EventKind::WorkerEnded { unexpected, .. } = event.kind {
            return unexpected.map(|how| how.to_string());
        }
    }
}

#[test]
fn f003_a_worker_that_ends_between_two_jobs_is_replaced_and_charges_nobody() {
    block_on(async {
        let mut config = rogues("greet hello ready:noop recv done exit:3");
        // It would be noticed if a job had to wait for a back-off.
        config.backoff = Duration::from_secs(600);
        config.backoff_max = Duration::from_secs(600);
        let (pool, mut events) = Pool::start_observed(config).unwrap();
        for _ in 0..20 {
            let job = RawJob::new(&Noop, &()).unwrap();
            let report = pool.submit_raw(job).await.unwrap().await.unwrap();
            assert_eq!((report.verdict, report.attempts), (Verdict::Ok, 1));
            let how = ended(&mut events).await;
            assert_eq!(how.as_deref(), Some("ended with status 3"));
        }
        pool.shutdown().await.unwrap();
    });
}

#[test]
fn f016_a_worker_that_answers_twice_is_killed() {
    block_on(async {
        let steps = "greet hello ready:noop recv done done-again hang";
        let (pool, mut events) = Pool::start_observed(rogues(steps)).unwrap();
        let job = RawJob::new(&Noop, &()).unwrap();
        let report = pool.submit_raw(job).await.unwrap().await.unwrap();
        assert_eq!(report.verdict, Verdict::Ok);
        let how = ended(&mut events).await;
        assert_eq!(how.as_deref(), Some("was killed by SIGKILL"));
        pool.shutdown_now().await.ok();
    });
}

#[test]
fn f018_a_function_that_closes_the_standard_descriptors_disturbs_nobody() {
    block_on(async {
        for (first, last) in [(0, 0), (1, 1), (2, 2), (0, 2)] {
            let pool = Pool::start(config(1)).unwrap();
            let worker = pool.run(Pid, ()).await.unwrap();
            pool.run(CloseFds, (first, last)).await.unwrap();
            assert_eq!(pool.run(Fib, 50).await.unwrap(), 12_586_269_025);
            pool.run(Print, ("lost or not".into(), 10)).await.unwrap();
            let argv = ["sh", "-c", "cat; echo out; echo err >&2"];
            let argv = argv.map(serde_bytes::ByteBuf::from).to_vec();
            let spec = CommandSpec {
                stdin: Some(serde_bytes::ByteBuf::from("in\n")),
                ..CommandSpec::new(protocol::Program::Argv(argv))
            };
            let job = RawJob::command(&spec).unwrap();
            let report = pool.submit_raw(job).await.unwrap().await.unwrap();
            assert_eq!(report.verdict, Verdict::Ok);
            assert_eq!(report.stdout.to_vec().unwrap(), b"in\nout\n");
            assert_eq!(report.stderr.to_vec().unwrap(), b"err\n");
            assert_eq!(pool.run(Pid, ()).await.unwrap(), worker);
            pool.shutdown().await.unwrap();
        }
    });
}

#[test]
fn f019_a_function_that_closes_all_descriptors_crashes_and_no_other_does() {
    block_on(async {
        let (pool, events) = Pool::start_observed(config(1)).unwrap();
        let worker = pool.run(Pid, ()).await.unwrap();
        let (reports, mut ends) = Reports::channel();
        let mut closer = None;
        for n in 0..100 {
            let job = match n {
                50 => RawJob::new(&CloseFds, &(3, 1023)).unwrap(),
                _ => RawJob::new(&Noop, &()).unwrap(),
            };
            let id = pool.submit_to(job, &reports).await.unwrap();
            closer = closer.or((n == 50).then_some(id));
        }
        let mut crashed = Vec::new();
        for _ in 0..100 {
            let report = ends.next().await.unwrap();
            match report.verdict {
                Verdict::Ok => assert_eq!(report.attempts, 1),
                Verdict::Crashed => crashed.push((report.job, report.error.unwrap().message)),
                other => panic!("{other:?}"),
            }
        }
        let [(job, how)] = &crashed[..] else {
            panic!("{crashed:?}");
        };
        assert_eq!(Some(*job), closer);
        // The watcher may have been the first to notice: it sees that the link
        // is gone, and not why.
        let noticed = how == "its worker ended with status 70";
        assert!(noticed || how == "its worker ended with status 1", "{how}");
        assert_ne!(pool.run(Pid, ()).await.unwrap(), worker);
        pool.shutdown().await.unwrap();
        let line = "worker: task `close_fds` closed the descriptors of its worker; this worker is \
                    replaced";
        let printed = |event: &EventKind| matches!(event, EventKind::WorkerPrinted { line: l, .. } if l == line);
        let printed = all(events).await.iter().filter(|e| printed(e)).count();
        // The watcher may also end the worker when it has just said so.
        assert!(
            printed == 1 || (printed == 0 && !noticed),
            "{printed}, {how}"
        );
    });
}

/// How a task fails on a worker that then still is, or is not, the same.
fn fails<T: protocol::Task>(task: T, input: T::Input) -> (Verdict, String, bool) {
    block_on(async {
        let pool = Pool::start(config(1)).unwrap();
        let worker = pool.run(Pid, ()).await.unwrap();
        let job = RawJob::new(&task, &input).unwrap();
        let report = pool.submit_raw(job).await.unwrap().await.unwrap();
        let error = report.error.expect("it failed").to_string();
        let survived = pool.run(Pid, ()).await.unwrap() == worker;
        pool.shutdown().await.unwrap();
        (report.verdict, error, survived)
    })
}

#[test]
fn f025_a_panic_fails_with_its_message_and_an_abort_is_a_crash() {
    let (verdict, error, survived) = fails(Panic, "ouch".into());
    assert_eq!((verdict, survived), (Verdict::Failed(101), true));
    assert!(error.starts_with("panicked: ouch (at "), "{error}");
    let (verdict, error, survived) = fails(Abort, ());
    assert_eq!((verdict, survived), (Verdict::Crashed, false));
    assert_eq!(error, "its worker was killed by SIGABRT");
}

#[test]
fn f026_a_signal_or_an_overflow_of_the_stack_is_a_crash_that_names_the_signal() {
    for signal in ["SIGSEGV", "SIGILL", "SIGBUS", "SIGFPE"] {
        let (verdict, error, survived) = fails(Die, signal.into());
        assert_eq!((verdict, survived), (Verdict::Crashed, false));
        assert_eq!(error, format!("its worker was killed by {signal}"));
    }
    // The Rust runtime says what it was, and aborts.
    let (verdict, error, survived) = fails(Overflow, 0);
    assert_eq!((verdict, survived), (Verdict::Crashed, false));
    assert_eq!(error, "its worker was killed by SIGABRT");
    let (verdict, said) = ends("greet hello ready:noop recv segv");
    assert_eq!(verdict, Verdict::Crashed);
    assert_eq!(said, "its worker was killed by SIGSEGV");

    let env = TestEnv::new();
    let args = ["--worker", WORKER, "--task", "overflow"];
    let done = run(&env, &args, "0\n");
    assert_eq!(done.code(), 1);
    let error = json!("crashed: its worker was killed by SIGABRT");
    assert_eq!(objects(done.stdout())[0]["error"], error);
    assert!(
        done.stderr.contains("has overflowed its stack"),
        "{}",
        done.stderr
    );
}

#[test]
fn f034_workers_can_be_started_after_the_programs_file_was_replaced() {
    let env = TestEnv::new();
    let program = copy_of_orchestrator(&env);
    let mut command = env.command(&program);
    let text = "echo $1; if [ $1 = 1 ]; then sleep 600; fi";
    command.args([
        "run", "-j1", "-qk", "--format", "jsonl", "--", "sh", "-c", text, "sh", "{}",
    ]);
    let mut child = spawn(command);
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(b"1\n").unwrap();
    let job = || {
        let marked = env.processes();
        let mut marked = marked.iter();
        marked.any(|pid| {
            let name = std::fs::read(format!("/proc/{pid}/comm"));
            name.is_ok_and(|name| name == b"sleep\n")
        })
    };
    eventually("the first job runs", job);
    std::fs::rename(&program, env.path().join("moved")).unwrap();
    super::script(&env, "orchestrator", "#!/bin/sh\nexit 9\n");
    let [worker] = workers_of(child.id())[..] else {
        panic!("more than one worker");
    };
    kill(ProcessId::from_raw(worker as i32), Signal::SIGKILL).unwrap();
    stdin.write_all(b"2\n3\n").unwrap();
    drop(stdin);
    let done = finish(child, vec![]);
    assert_eq!(done.code(), 1);
    let verdicts: Vec<_> = objects(done.stdout());
    let verdicts: Vec<_> = verdicts.iter().map(|job| &job["verdict"]).collect();
    assert_eq!(verdicts, ["crashed", "ok", "ok"], "{}", done.stderr);
}

#[test]
fn f024_a_worker_that_loses_descriptors_does_not_outlive_its_count_of_jobs() {
    const EACH: u64 = 20;
    block_on(async {
        let mut config = config(1);
        config.max_jobs_per_worker = Some(5);
        let pool = Pool::start(config).unwrap();
        let fresh = pool.run(LeakFds, 0).await.unwrap();
        for _ in 0..25 {
            let open = pool.run(LeakFds, EACH).await.unwrap();
            assert!(
                open <= fresh + 5 * EACH,
                "{open}, of which {fresh} are its own"
            );
        }
        pool.shutdown().await.unwrap();
    });
}

#[test]
fn f024_a_worker_that_loses_descriptors_is_replaced_before_they_are_too_many() {
    block_on(async {
        let mut config = config(1);
        config.max_files_per_worker = Some(50);
        let pool = Pool::start(config).unwrap();
        let first = pool.run(Pid, ()).await.unwrap();
        // The first command takes one of the worker's, for all of them.
        pool.command(["true"]).await.unwrap();
        let fresh = pool.run(LeakFds, 0).await.unwrap();
        assert_eq!(pool.run(LeakFds, 30).await.unwrap(), fresh + 30);
        assert_eq!(pool.run(Pid, ()).await.unwrap(), first);
        assert_eq!(pool.run(LeakFds, 30).await.unwrap(), fresh + 60);
        assert_ne!(pool.run(Pid, ()).await.unwrap(), first);
        assert!(pool.run(LeakFds, 0).await.unwrap() <= fresh);
        let stats = pool.stats().await;
        assert_eq!((stats.workers_recycled, stats.workers_died), (1, 0));
        pool.shutdown().await.unwrap();
    });
}

#[test]
fn f023_f024_a_run_replaces_workers_as_it_is_told() {
    let env = TestEnv::new();
    let worker = [
        "-q", "-j1", "--format", "jsonl", "--worker", WORKER, "--task",
    ];
    // With each job, 100 descriptors or 100 MiB more than a worker may have.
    for (task, limit, input) in [
        ("leak_fds", ["--max-files-per-worker", "20"], "100\n"),
        ("swell", ["--max-rss-per-worker", "64M"], "100000000\n"),
        ("pid", ["--max-jobs-per-worker", "1"], "null\n"),
    ] {
        let words = [&worker[..], &[task], &limit].concat();
        let done = run(&env, &words, input.repeat(4));
        assert_eq!(done.code(), 0, "{}", done.stderr);
        let workers = objects(done.stdout());
        let workers: Vec<_> = workers.iter().map(|job| job["worker"].clone()).collect();
        let mut different = workers.clone();
        different.dedup();
        // The second job is mostly begun when the first one's answer comes.
        let least = if task == "pid" { 4 } else { 2 };
        assert!(different.len() >= least, "{task}: {workers:?}");
    }
}

#[test]
fn f100_a_program_that_panics_leaves_no_process() {
    let env = TestEnv::new();
    let mut program = env.command(env!("CARGO_BIN_EXE_host"));
    program.args([WORKER, "panic"]);
    let done = env.run(program, "");
    assert_eq!(done.code(), 101);
    assert!(done.stderr.contains("both run"), "{}", done.stderr);
    env.no_process_left();
}
