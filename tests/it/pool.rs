//! The library against real worker processes.

mod deaths;
mod rogues;
mod starts;

use std::collections::BTreeSet;
use std::future::Future;
use std::time::Duration;

use nix::sys::signal::kill;
use nix::unistd::Pid as ProcessId;
use orchestrator::{
    EventKind, EventStream, JobError, Launch, Pool, PoolConfig, Printed, Reports, TrySubmitError,
    Verdict,
};
use orchestrator_tests::TestEnv;
use orchestrator_tests::tasks::*;
use serde_bytes::ByteBuf;

pub(crate) const WORKER: &str = env!("CARGO_BIN_EXE_test-worker");
pub(crate) const ROGUE: &str = env!("CARGO_BIN_EXE_rogue");

pub(crate) fn config(workers: usize) -> PoolConfig {
    let mut config = PoolConfig::new(Launch::program(WORKER));
    config.workers = workers;
    config.printed = Printed::Capture;
    config
}

/// A pool of rogues that take these steps.
pub(crate) fn rogues(steps: &str) -> PoolConfig {
    let mut config = PoolConfig::new(Launch::program(ROGUE));
    config.launch.args = steps.split(' ').map(Into::into).collect();
    config.workers = 1;
    config.printed = Printed::Capture;
    config.backoff = Duration::from_millis(1);
    config.grace = Duration::from_millis(200);
    config
}

/// How a job ends on a rogue, and what is said about that.
pub(crate) fn ends(steps: &str) -> (Verdict, String) {
    block_on(async {
        let pool = Pool::start(rogues(steps)).unwrap();
        let job = orchestrator::RawJob::new(&Noop, &()).unwrap();
        let report = pool.submit_raw(job).await.unwrap().await.unwrap();
        pool.shutdown_now().await.ok();
        let said = report.error.map(|e| e.to_string()).unwrap_or_default();
        (report.verdict, said)
    })
}

pub(crate) fn block_on<T>(test: impl Future<Output = T>) -> T {
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

pub(crate) fn exists(pid: u32) -> bool {
    kill(ProcessId::from_raw(pid as i32), None).is_ok()
}

/// Everything that happened, in order, once the pool has ended.
pub(crate) async fn all(mut events: EventStream) -> Vec<EventKind> {
    let mut seen = Vec::new();
    while let Some(event) = events.next().await {
        seen.push(event.kind);
    }
    seen
}

fn spawned(events: &[EventKind]) -> Vec<u32> {
    let pid = |event: &EventKind| match event {
        EventKind::WorkerSpawned { pid, .. } => Some(*pid),
        _ => None,
    };
    events.iter().filter_map(pid).collect()
}

#[test]
fn a_job_gives_its_result() {
    block_on(async {
        let pool = Pool::start(config(2)).unwrap();
        assert_eq!(pool.run(Fib, 50).await.unwrap(), 12_586_269_025);
        let handle = pool.submit(Fib, 10).await.unwrap();
        assert_eq!(handle.await.unwrap(), 55);
        pool.shutdown().await.unwrap();
    });
}

#[test]
fn map_gives_results_in_the_order_of_its_inputs_and_takes_infinite_ones() {
    block_on(async {
        let mut config = config(3);
        config.max_pending = 100;
        let pool = Pool::start(config).unwrap();
        let mut results = pool.map(Fib, (0..).map(|n| n % 90));
        for n in 0..5_000u64 {
            let (mut a, mut b) = (0u64, 1);
            for _ in 0..n % 90 {
                (a, b) = (b, a + b);
            }
            assert_eq!(results.next().await.unwrap().unwrap(), a);
        }
        drop(results);
        pool.shutdown().await.unwrap();
    });
}

#[test]
fn shutdown_runs_what_was_accepted_and_reaps_every_worker() {
    block_on(async {
        let (pool, events) = Pool::start_observed(config(3)).unwrap();
        let mut handles = Vec::new();
        for n in 0..500 {
            handles.push(pool.submit(Fib, n % 50).await.unwrap());
        }
        pool.shutdown().await.unwrap();
        for handle in handles {
            handle.await.unwrap();
        }
        let events = all(events).await;
        let pids = spawned(&events);
        assert_eq!(pids.len(), 3);
        assert!(!pids.iter().any(|&pid| exists(pid)), "{pids:?}");
        let unexpected = |event: &&EventKind| {
            matches!(
                event,
                EventKind::WorkerEnded {
                    unexpected: Some(_),
                    ..
                }
            )
        };
        assert_eq!(events.iter().filter(unexpected).count(), 0);
    });
}

#[test]
fn events_tell_each_jobs_story_in_order() {
    let env = TestEnv::new();
    let gate = env.path().join("gate");
    nix::unistd::mkfifo(&gate, nix::sys::stat::Mode::S_IRWXU).unwrap();
    block_on(async {
        let (pool, mut events) = Pool::start_observed(config(1)).unwrap();
        let waits = (Some(gate.to_str().unwrap().to_owned()), None);
        let slow = pool.submit(Gate, waits).await.unwrap();
        let id = slow.id();
        // A worker with much to do says it late, and of a job that has ended not at all.
        let mut told = Vec::new();
        while !matches!(told.last(), Some(EventKind::JobStarted { job, .. }) if *job == id) {
            told.push(events.next().await.unwrap().kind);
        }
        std::fs::write(&gate, "").unwrap();
        slow.await.unwrap();
        pool.shutdown().await.unwrap();
        told.extend(all(events).await);
        let story: Vec<&str> = told
            .iter()
            .filter_map(|event| match event {
                EventKind::WorkerSpawned { .. } => Some("spawned"),
                EventKind::WorkerReady { .. } => Some("ready"),
                EventKind::JobSent { job, .. } if *job == id => Some("sent"),
                EventKind::JobStarted { job, .. } if *job == id => Some("started"),
                EventKind::JobDone { job, .. } if *job == id => Some("done"),
                EventKind::WorkerEnded { .. } => Some("ended"),
                _ => None,
            })
            .collect();
        assert_eq!(
            story,
            ["spawned", "ready", "sent", "started", "done", "ended"]
        );
    });
}

#[test]
fn an_unread_event_stream_holds_admission_back_instead_of_filling_memory() {
    block_on(async {
        let mut config = config(1);
        config.max_pending = 10;
        let (pool, mut events) = Pool::start_observed(config).unwrap();
        let mut done = 0;
        loop {
            match pool.try_submit(Noop, ()) {
                Ok(job) => job.await.unwrap(),
                Err(TrySubmitError::Full(())) => break,
                Err(other) => panic!("{other:?}"),
            }
            done += 1;
            assert!(done < 20, "{done} jobs, and none of their events was taken");
        }
        assert!(done >= 10, "{done}");
        // Whoever waits for room waits on.
        let waiting = tokio::time::timeout(Duration::from_millis(20), pool.run(Noop, ()));
        assert!(waiting.await.is_err());
        while events.try_next().is_some() {}
        pool.run(Noop, ()).await.unwrap();
        // Nobody wants to know any more: nothing is held back.
        drop(events);
        for _ in 0..30 {
            pool.run(Noop, ()).await.unwrap();
        }
        pool.shutdown().await.unwrap();
    });
}

#[test]
fn f025_a_panic_an_error_and_bad_input_are_data_and_the_pool_goes_on() {
    block_on(async {
        let pool = Pool::start(config(1)).unwrap();
        match pool.run(Panic, "ouch".into()).await {
            Err(JobError::Panicked(error)) => {
                assert_eq!(error.message, "ouch");
                assert!(error.location.unwrap().contains("test_worker.rs:"));
            }
            other => panic!("{other:?}"),
        }
        match pool.run(Fail, ()).await {
            Err(JobError::Failed(error)) => {
                assert_eq!(error.to_string(), "cannot load: disk on fire");
            }
            other => panic!("{other:?}"),
        }
        assert_eq!(pool.run(Fib, 10).await.unwrap(), 55);
        pool.shutdown().await.unwrap();
    });
}

#[test]
fn a_report_that_is_taken_makes_room_for_a_job() {
    block_on(async {
        let mut config = config(1);
        config.max_pending = 2;
        let pool = Pool::start(config).unwrap();
        let (reports, mut ended) = Reports::channel();
        let job = || orchestrator::RawJob::new(&Noop, &()).unwrap();
        pool.submit_to(job(), &reports).await.unwrap();
        pool.submit_to(job(), &reports).await.unwrap();
        // However many end together, whoever takes one can submit one.
        for _ in 0..500 {
            assert_eq!(ended.next().await.unwrap().verdict, Verdict::Ok);
            pool.submit_to(job(), &reports).await.unwrap();
        }
        pool.shutdown().await.unwrap();
    });
}

#[test]
fn cancel_ends_a_queued_job_a_listening_one_and_a_deaf_one() {
    block_on(async {
        let mut config = config(1);
        config.grace = Duration::from_millis(100);
        let (pool, mut events) = Pool::start_observed(config).unwrap();
        let listening = pool.submit(SleepMs, 60_000).await.unwrap();
        let queued = pool.submit(Fib, 1).await.unwrap();
        queued.cancel();
        assert!(cancelled(queued.await));
        listening.cancel();
        assert!(cancelled(listening.await));
        let before = pool.run(Pid, ()).await.unwrap();
        let deaf = pool.submit(SleepBlind, 60_000).await.unwrap();
        let id = deaf.id();
        while !matches!(
            events.next().await.unwrap().kind,
            EventKind::JobStarted { job, .. } if job == id
        ) {}
        deaf.cancel();
        assert!(cancelled(deaf.await));
        assert_ne!(pool.run(Pid, ()).await.unwrap(), before);
        pool.shutdown().await.unwrap();
    });
}

fn cancelled<T: std::fmt::Debug>(result: Result<T, JobError>) -> bool {
    matches!(result, Err(JobError::Cancelled))
}

#[test]
fn shutdown_now_cancels_what_runs_and_what_waits() {
    block_on(async {
        let (pool, events) = Pool::start_observed(config(2)).unwrap();
        let mut handles = Vec::new();
        for _ in 0..50 {
            handles.push(pool.submit(SleepMs, 60_000).await.unwrap());
        }
        pool.tasks().await.unwrap();
        pool.shutdown_now().await.unwrap();
        for handle in handles {
            assert!(cancelled(handle.await));
        }
        let pids = spawned(&all(events).await);
        assert!(!pids.iter().any(|&pid| exists(pid)), "{pids:?}");
    });
}

#[test]
fn dropping_the_pool_leaves_no_process_and_no_handle_waiting() {
    block_on(async {
        let (pool, events) = Pool::start_observed(config(2)).unwrap();
        let handle = pool.submit(SleepMs, 60_000).await.unwrap();
        pool.tasks().await.unwrap();
        drop(pool);
        assert!(handle.await.is_err());
        let pids = spawned(&all(events).await);
        assert!(!pids.iter().any(|&pid| exists(pid)), "{pids:?}");
    });
}

#[test]
fn large_inputs_and_results_travel_in_chunks() {
    block_on(async {
        let pool = Pool::start(config(2)).unwrap();
        let sizes = [
            0,
            1,
            262_143,
            262_144,
            262_145,
            1 << 20,
            5_000_000,
            16 << 20,
        ];
        let inputs = sizes.map(|n| {
            let bytes: Vec<u8> = (0..n).map(|i| (i * 31 % 251) as u8).collect();
            ByteBuf::from(bytes)
        });
        let mut results = pool.map(Echo, inputs.clone());
        for input in inputs {
            let output = results.next().await.unwrap().unwrap();
            assert!(output == input, "{} bytes came back changed", input.len());
        }
        drop(results);
        pool.shutdown().await.unwrap();
    });
}

#[test]
fn too_large_an_input_or_result_fails_with_its_size() {
    block_on(async {
        let mut config = config(1);
        config.max_payload = 1_000_000;
        let pool = Pool::start(config).unwrap();
        let error = pool.run(Big, 2_000_000).await.unwrap_err();
        assert!(
            error.to_string().contains(
                "result of 2000008 bytes is larger than the limit of 1000000 (`max_payload`)"
            ),
            "{error}"
        );
        let input = ByteBuf::from(vec![0; 2_000_000]);
        let error = pool.run(Echo, input).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "input of 2000008 bytes is larger than the limit of 1000000 (`max_payload`)"
        );
        assert_eq!(pool.run(Fib, 10).await.unwrap(), 55);
        pool.shutdown().await.unwrap();
    });
}

#[test]
fn f017_what_a_task_prints_comes_with_its_report() {
    block_on(async {
        let pool = Pool::start(config(1)).unwrap();
        let text = "x".repeat(100);
        let job = orchestrator::RawJob::new(&Print, &(text.clone(), 20_000)).unwrap();
        let report = pool.submit_raw(job).await.unwrap().await.unwrap();
        assert_eq!(report.verdict, Verdict::Ok);
        assert_eq!(report.stdout.len(), 20_000 * 101);
        let job = orchestrator::RawJob::new(&Print, &("one line".into(), 1)).unwrap();
        let report = pool.submit_raw(job).await.unwrap().await.unwrap();
        assert_eq!(report.stdout.to_vec().unwrap(), b"one line\n");
        pool.shutdown().await.unwrap();
    });
}

#[test]
fn jobs_are_spread_over_all_workers() {
    block_on(async {
        let pool = Pool::start(config(4)).unwrap();
        // One that is there long before the others may do all that there is.
        while pool.stats().await.idle < 4 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let mut pids = BTreeSet::new();
        let mut results = pool.map(Pid, std::iter::repeat_n((), 500));
        while let Some(pid) = results.next().await {
            pids.insert(pid.unwrap());
        }
        drop(results);
        assert!(pids.len() > 1, "{pids:?}");
        pool.shutdown().await.unwrap();
    });
}

#[test]
fn an_unknown_task_is_rejected() {
    struct Nothing;
    impl protocol::Task for Nothing {
        const NAME: &'static str = "nothing";
        type Input = ();
        type Output = ();
    }
    block_on(async {
        let pool = Pool::start(config(1)).unwrap();
        let error = pool.run(Nothing, ()).await.unwrap_err();
        let expected = "job was rejected: the worker has no task named `nothing`; its tasks are: ";
        assert!(error.to_string().starts_with(expected), "{error}");
        assert!(error.to_string().contains(", fib, "), "{error}");
        assert!(pool.tasks().await.unwrap().contains(&"fib".to_owned()));
        pool.shutdown().await.unwrap();
    });
}

#[test]
fn f022_both_sides_may_send_much_at_the_same_time() {
    block_on(async {
        let pool = Pool::start(config(1)).unwrap();
        let input = ByteBuf::from(vec![7; 3 << 20]);
        let mut results = pool.map(Echo, std::iter::repeat_n(input.clone(), 20));
        while let Some(result) = results.next().await {
            assert!(result.unwrap() == input);
        }
        drop(results);
        pool.shutdown().await.unwrap();
    });
}

#[test]
fn times_without_end_are_allowed() {
    block_on(async {
        let mut config = config(1);
        config.start_timeout = Duration::MAX;
        config.grace = Duration::MAX;
        config.backoff_max = Duration::MAX;
        let pool = Pool::start(config).unwrap();
        assert_eq!(pool.run(Fib, 10).await.unwrap(), 55);
        pool.shutdown().await.unwrap();
    });
}

#[test]
fn a_pool_that_makes_no_sense_is_refused() {
    block_on(async {
        let error = Pool::start(config(0)).unwrap_err();
        assert_eq!(error.to_string(), "a pool needs at least one worker");
    });
}

#[test]
fn a_cancelled_submission_submits_nothing() {
    block_on(async {
        let mut config = config(1);
        config.max_pending = 1;
        let pool = Pool::start(config).unwrap();
        let first = pool.submit(SleepMs, 60_000).await.unwrap();
        let second = tokio::time::timeout(Duration::from_millis(20), pool.submit(Fib, 1)).await;
        assert!(second.is_err(), "there was no room");
        first.cancel();
        assert!(cancelled(first.await));
        assert_eq!(pool.run(Fib, 10).await.unwrap(), 55);
        pool.shutdown().await.unwrap();
    });
}

#[test]
fn an_endless_job_hears_of_shutdown_and_leaves_with_its_result() {
    block_on(async {
        let pool = Pool::start(config(2)).unwrap();
        let endless = pool.submit(Endless, ()).await.unwrap();
        let other = pool.submit(Noop, ()).await.unwrap();
        pool.shutdown().await.unwrap();
        assert!(endless.await.unwrap());
        other.await.unwrap();
    });
}
