//! Time limits, further attempts, and jobs that are not tried any more: through
//! the command line and the library, with real processes.

use std::process::Command;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid as ProcessId;
use orchestrator::{Encoding, EventKind, Launch, Pool, PoolConfig, Printed, RawJob, Verdict};
use orchestrator_tests::tasks::*;
use orchestrator_tests::{Done, TestEnv};
use protocol::Task;
use serde_json::Value;

use crate::faults::copy_of_orchestrator;

const ORCHESTRATOR: &str = env!("CARGO_BIN_EXE_test-orchestrator");
const WORKER: &str = env!("CARGO_BIN_EXE_test-worker");
const ROGUE: &str = env!("CARGO_BIN_EXE_rogue");

const MS: Duration = Duration::from_millis(1);

fn command(env: &TestEnv, args: &[&str]) -> Command {
    let mut command = env.command(ORCHESTRATOR);
    command.arg("run").args(args);
    command
}

fn run(env: &TestEnv, args: &[&str], stdin: &str) -> Done {
    env.run(command(env, args), stdin)
}

fn objects(done: &Done) -> Vec<Value> {
    let parse = |line| serde_json::from_str(line).unwrap();
    done.stdout().lines().map(parse).collect()
}

fn verdicts(done: &Done) -> Vec<String> {
    let word = |entry: &Value| entry["verdict"].as_str().unwrap().to_owned();
    objects(done).iter().map(word).collect()
}

fn block_on<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        tokio::time::timeout(Duration::from_secs(180), test)
            .await
            .expect("the test hung")
    })
}

fn quick(launch: Launch) -> PoolConfig {
    PoolConfig {
        workers: 1,
        printed: Printed::Capture,
        backoff: MS,
        retry_backoff: MS,
        grace: 100 * MS,
        answer_timeout: 100 * MS,
        ..PoolConfig::new(launch)
    }
}

fn rogue(steps: &str) -> PoolConfig {
    let mut config = quick(Launch::program(ROGUE));
    config.launch.args = steps.split(' ').map(Into::into).collect();
    config
}

fn job<T: Task>(task: T, input: T::Input) -> RawJob {
    RawJob::new(&task, &input).unwrap()
}

/// How a job ends, and what is said about it.
async fn end(pool: &Pool, job: RawJob) -> (Verdict, String) {
    let report = pool.submit_raw(job).await.unwrap().await.unwrap();
    let error = report.error.map(|e| e.to_string()).unwrap_or_default();
    (report.verdict, error)
}

#[test]
fn f038_a_command_that_ignores_the_request_is_killed_after_its_grace() {
    let env = TestEnv::new();
    let script = "trap '' TERM; echo $1; while :; do sleep 1; done";
    let args = [
        // Enough for a shell to set its trap.
        "--timeout",
        "2",
        "--grace",
        "0.2",
        "--format",
        "jsonl",
        "--",
    ];
    let args = [&args[..], &["sh", "-c", script, "sh", "{}"]].concat();
    let done = run(&env, &args, "1\n");
    assert_eq!(done.code(), 1);
    let entry = &objects(&done)[0];
    assert_eq!(entry["verdict"], "timeout");
    assert_eq!(entry["stdout"], "1\n");
    assert_eq!(entry["error"], "timed out after 2s");
    assert!(
        done.stderr.contains("command timed out after 2s: `"),
        "{}",
        done.stderr
    );
    // It may use the grace to end in its own way.
    let script = "trap 'echo bye; exit 0' TERM; while :; do sleep 0.01; done";
    let done = run(&env, &["--timeout", "2", "--", "sh", "-c", script], "1\n");
    assert_eq!((done.code(), done.stdout()), (1, "bye\n"));
}

#[test]
fn f008_f009_a_function_that_never_ends_costs_its_worker_and_no_other_job() {
    block_on(async {
        let mut config = quick(Launch::program(WORKER));
        config.workers = 2;
        config.timeout = Some(200 * MS);
        // Whoever listens has time to answer.
        config.grace = 2_000 * MS;
        let (pool, mut events) = Pool::start_observed(config).unwrap();
        // One listens, one does not.
        let hears = pool.submit_raw(job(SleepMs, 60_000)).await.unwrap();
        let deaf = pool.submit_raw(job(SleepBlind, 60_000)).await.unwrap();
        let mut others = Vec::new();
        for n in 0..100 {
            // It is not about these, which may have to wait for a processor.
            let other = pool.job(Fib, n % 50).timeout(60_000 * MS);
            others.push(other.submit().await.unwrap());
        }
        for handle in [hears, deaf] {
            let report = handle.await.unwrap();
            assert_eq!((report.verdict, report.attempts), (Verdict::Timeout, 1));
            let error = report.error.unwrap().to_string();
            assert_eq!(error, "after 200ms");
        }
        for other in others {
            other.await.unwrap();
        }
        pool.shutdown().await.unwrap();
        let mut ended = 0;
        while let Some(event) = events.next().await {
            if let EventKind::WorkerEnded { unexpected, .. } = event.kind {
                ended += usize::from(unexpected.is_some());
            }
        }
        assert_eq!(ended, 1, "only the deaf one's worker was killed");
    });
}

#[test]
fn f008_a_worker_that_hangs_in_a_job_is_killed_when_its_time_is_up() {
    block_on(async {
        for steps in [
            "greet hello ready:t recv hang",
            "greet hello ready:t recv spin",
        ] {
            let pool = Pool::start(rogue(steps)).unwrap();
            let mut job = RawJob::encoded("t", vec![].into(), Encoding::Raw);
            job.timeout = Some(100 * MS);
            let (verdict, error) = end(&pool, job).await;
            assert_eq!((verdict, error.as_str()), (Verdict::Timeout, "after 100ms"));
            pool.shutdown_now().await.unwrap();
        }
    });
}

#[test]
fn a_worker_that_computes_and_answers_nothing_is_left_alone_without_a_limit() {
    block_on(async {
        let mut config = rogue("greet hello ready:t recv spin:1500 done eof");
        // Every other deadline is short.
        config.frame_timeout = 100 * MS;
        config.start_timeout = 1_200 * MS;
        let pool = Pool::start(config).unwrap();
        let job = RawJob::encoded("t", vec![].into(), Encoding::Raw);
        assert_eq!(end(&pool, job).await.0, Verdict::Ok);
        pool.shutdown().await.unwrap();
    });
}

#[test]
fn f012_a_frame_that_does_not_go_on_is_a_crash() {
    block_on(async {
        let mut config = rogue("greet hello ready:t recv partial:7 hang");
        config.frame_timeout = 100 * MS;
        let pool = Pool::start(config).unwrap();
        let job = RawJob::encoded("t", vec![].into(), Encoding::Raw);
        let (verdict, error) = end(&pool, job).await;
        assert_eq!(verdict, Verdict::Crashed);
        let text = "its worker broke the protocol: the rest of a frame did not come within 100ms";
        assert!(error.starts_with(text), "{error}");
        pool.shutdown_now().await.unwrap();
    });
}

#[test]
fn f027_a_worker_that_somebody_stopped_is_told_from_a_slow_one() {
    block_on(async {
        let mut config = quick(Launch::program(WORKER));
        // It has time to answer when it goes on.
        config.grace = 10_000 * MS;
        let pool = Pool::start(config).unwrap();
        let pid = pool.run(Pid, ()).await.unwrap();
        kill(ProcessId::from_raw(pid as i32), Signal::SIGSTOP).unwrap();
        let mut late = job(SleepMs, 60_000);
        late.timeout = Some(300 * MS);
        let (verdict, error) = end(&pool, late).await;
        assert_eq!(verdict, Verdict::Timeout);
        assert_eq!(error, "after 300ms; its worker had been stopped");
        // It goes on, and is as good as before.
        assert_eq!(pool.run(Pid, ()).await.unwrap(), pid);
        pool.shutdown().await.unwrap();
    });
}

#[test]
fn f036_a_failed_job_is_tried_as_often_as_was_asked_for() {
    let env = TestEnv::new();
    let script = "echo x >> tries.$1; echo try >&2; test $(wc -l < tries.$1) = $1";
    let args = ["-j1", "--retries", "2", "--format", "jsonl", "-k", "--"];
    let args = [&args[..], &["sh", "-c", script, "sh", "{}"]].concat();
    let done = run(&env, &args, "1\n2\n3\n4\n");
    assert_eq!(done.code(), 1);
    assert_eq!(verdicts(&done), ["ok", "ok", "ok", "failed"]);
    let attempts: Vec<u64> = objects(&done)
        .iter()
        .map(|entry| entry["attempts"].as_u64().unwrap())
        .collect();
    assert_eq!(attempts, [1, 2, 3, 3]);
    // Nothing that an attempt has said is lost: those before the last are here.
    let said = done.stderr.lines().filter(|line| *line == "try").count();
    assert_eq!(said, 5, "{}", done.stderr);
    let warning = "warning: line 2: command failed with status 1: `";
    assert!(done.stderr.contains(warning), "{}", done.stderr);
    assert!(done.stderr.contains("; attempt 3 follows in "));
    // Without asking for more there is one.
    let done = run(&env, &["-q", "--format", "jsonl", "--", "false"], "1\n");
    assert_eq!(objects(&done)[0]["attempts"], 1);
}

#[test]
fn what_was_printed_before_the_last_attempt_is_no_result() {
    let env = TestEnv::new();
    let script = "echo out; echo x >> tries; test $(wc -l < tries) = 2";
    let done = run(&env, &["--retries", "1", "--", "sh", "-c", script], "1\n");
    assert_eq!(
        (done.code(), done.stdout()),
        (0, "out\n"),
        "{}",
        done.stderr
    );
}

#[test]
fn f051_what_cannot_be_started_is_not_tried_again() {
    let env = TestEnv::new();
    let args = ["--retries", "5", "--format", "jsonl", "--", "./no-{}"];
    let done = run(&env, &args, "such\n");
    let entry = &objects(&done)[0];
    assert_eq!(
        (&entry["verdict"], &entry["attempts"]),
        (&"spawn_error".into(), &1.into())
    );
}

/// A job that kills its worker among a thousand good ones.
fn poisoned(retries: &str) -> (Done, Vec<Value>) {
    let env = TestEnv::new();
    let script = "test $1 = 500 && kill -9 $PPID; echo $1";
    let args = ["-j2", "--retries", retries, "--format", "jsonl", "-k", "--"];
    let args = [&args[..], &["sh", "-c", script, "sh", "{}"]].concat();
    let lines: String = (1..=1001).map(|n| format!("{n}\n")).collect();
    let done = run(&env, &args, &lines);
    let entries = objects(&done);
    assert_eq!(entries.len(), 1001);
    for (n, entry) in (1..).zip(&entries) {
        if n != 500 {
            let good = entry["verdict"] == "ok" && entry["attempts"] == 1;
            assert!(good, "{entry}");
        }
    }
    env.no_process_left();
    (done, entries)
}

#[test]
fn f063_f066_a_job_that_kills_its_worker_is_crashed_and_a_thousand_others_are_done() {
    let (done, entries) = poisoned("0");
    assert_eq!(done.code(), 1);
    assert_eq!(entries[499]["verdict"], "crashed");
    assert_eq!(entries[499]["attempts"], 1);
    assert_eq!(
        entries[499]["error"],
        "crashed: its worker was killed by SIGKILL"
    );
}

#[test]
fn f066_a_poison_job_is_quarantined_after_three_workers_and_a_thousand_others_are_done() {
    let (done, entries) = poisoned("5");
    assert_eq!(done.code(), 1);
    assert_eq!(entries[499]["verdict"], "quarantined");
    assert_eq!(entries[499]["attempts"], 3);
    let error = entries[499]["error"].as_str().unwrap();
    assert!(error.contains("not tried again: its worker was killed by SIGKILL"));
}

#[test]
fn f066_f067_functions_that_kill_their_workers_harm_nobody_beside_them() {
    let env = TestEnv::new();
    let note = env.file("note", "");
    block_on(async {
        let mut config = quick(Launch::program(WORKER));
        config.workers = 2;
        config.retries = 5;
        let pool = Pool::start(config).unwrap();
        let mut handles = Vec::new();
        let path = note.to_str().unwrap().to_owned();
        // Two of these kill their worker each time, after they have noted it.
        for n in 1..=1000 {
            handles.push(pool.submit_raw(job(Note, (path.clone(), n))).await.unwrap());
        }
        for (n, handle) in (1..).zip(handles) {
            let report = handle.await.unwrap();
            let expected = if n % 500 == 0 {
                (Verdict::Quarantined, 3)
            } else {
                (Verdict::Ok, 1)
            };
            assert_eq!((report.verdict, report.attempts), expected, "job {n}");
        }
        pool.shutdown().await.unwrap();
    });
    let noted = std::fs::read_to_string(note).unwrap();
    let mut counts = std::collections::BTreeMap::<u64, u32>::new();
    for line in noted.lines() {
        *counts.entry(line.parse().unwrap()).or_default() += 1;
    }
    for (n, count) in counts {
        assert_eq!(count, if n % 500 == 0 { 3 } else { 1 }, "job {n}");
    }
}

#[test]
fn f031_a_run_goes_on_with_the_processes_that_the_system_allows() {
    if !nix::unistd::geteuid().is_root() {
        // Only root can become a user of whom there is no other process.
        return;
    }
    let env = TestEnv::new();
    open_to_all(&env);
    let program = copy_of_orchestrator(&env);
    let limited = |processes: u32, uid: u32| {
        let mut command = env.command("setpriv");
        let uid = uid.to_string();
        command.args(["--reuid", &uid, "--regid", &uid, "--clear-groups", "--"]);
        command.args(["prlimit", &format!("--nproc={processes}")]);
        command.arg(&program);
        command.args(["run", "-j8", "--timeout", "20", "--", "true"]);
        env.run(command, "1\n2\n3\n4\n5\n6\n")
    };
    // The orchestrator and its two threads, some workers with one each, and a
    // command: too few for eight.
    let done = limited(13, 61_001);
    assert_eq!(done.code(), 0, "{}", done.stderr);
    assert!(done.stderr.contains("6 jobs succeeded"), "{}", done.stderr);
    // Not even a thread.
    let done = limited(1, 61_002);
    assert_eq!(done.code(), 125, "{}", done.stderr);
    assert!(done.stderr.starts_with("error: "), "{}", done.stderr);
    assert!(done.stderr.contains("ulimit -u"), "{}", done.stderr);
}

/// A directory that every user may write to.
fn open_to_all(env: &TestEnv) {
    use std::os::unix::fs::PermissionsExt;
    let all = std::fs::Permissions::from_mode(0o777);
    std::fs::set_permissions(env.path(), all).unwrap();
}

#[test]
fn a_pool_can_stand_still_and_be_looked_at() {
    let env = TestEnv::new();
    let gate = env.path().join("gate");
    nix::unistd::mkfifo(&gate, nix::sys::stat::Mode::S_IRWXU).unwrap();
    block_on(async {
        let mut config = quick(Launch::program(WORKER));
        config.timeout = Some(Duration::from_secs(120));
        let (pool, mut events) = Pool::start_observed(config).unwrap();
        let control = pool.control();
        let waits = (Some(gate.to_str().unwrap().to_owned()), None);
        let long = pool.submit(Gate, waits).await.unwrap();
        let next = pool.submit(Noop, ()).await.unwrap();
        // Its turn is not enough: the worker would not start it in a pause.
        let started = |kind| matches!(kind, EventKind::JobStarted { job, .. } if job == long.id());
        while !started(events.next().await.unwrap().kind) {}
        drop(events);
        assert!(!control.status().await.running.is_empty());
        control.pause().await;
        // A function runs on, but nothing is started behind it.
        std::fs::write(&gate, "").unwrap();
        long.await.unwrap();
        let status = control.status().await;
        assert_eq!(status.workers, 1);
        assert_eq!(status.running.len() + status.waiting, 1);
        control.resume();
        next.await.unwrap();
        assert_eq!(control.status().await.waiting, 0);
        pool.shutdown().await.unwrap();
        assert_eq!(control.status().await.workers, 0);
    });
}

#[test]
fn time_counts_though_nobody_looks_at_the_clock() {
    block_on(async {
        let pool = Pool::start(quick(Launch::program(WORKER))).unwrap();
        let handle = pool.submit(SleepMs, 60_000).await.unwrap();
        while pool.control().status().await.running.is_empty() {
            tokio::task::yield_now().await;
        }
        // Nothing is due, so the pool sleeps for longer than it would if it had
        // to notice that it was stopped.
        let elapsed = async || pool.control().status().await.running[0].elapsed;
        let mut counted = Vec::new();
        // Once is enough: this process may really have stood still, before it had slept.
        while counted.iter().all(|&time| time < 800 * MS) {
            assert!(counted.len() < 10, "{counted:?}");
            let before = elapsed().await;
            tokio::time::sleep(900 * MS).await;
            counted.push(elapsed().await - before);
        }
        handle.cancel();
        handle.await.unwrap_err();
        pool.shutdown().await.unwrap();
    });
}

#[test]
fn a_limit_without_end_is_none() {
    block_on(async {
        let pool = Pool::start(quick(Launch::program(WORKER))).unwrap();
        let mut endless = job(Noop, ());
        endless.timeout = Some(Duration::MAX);
        assert_eq!(end(&pool, endless).await.0, Verdict::Ok);
        pool.shutdown().await.unwrap();
    });
}

#[test]
fn a_cancelled_job_is_not_tried_again() {
    block_on(async {
        let mut config = quick(Launch::program(WORKER));
        config.retries = 5;
        config.retry_backoff = Duration::from_secs(60);
        let (pool, mut events) = Pool::start_observed(config).unwrap();
        let handle = pool.submit(Fail, ()).await.unwrap();
        while !matches!(
            events.next().await.unwrap().kind,
            EventKind::JobRetried { .. }
        ) {}
        handle.cancel();
        let error = handle.await.unwrap_err().to_string();
        assert!(error.starts_with("job was cancelled"), "{error}");
        pool.shutdown().await.unwrap();
    });
}
