//! The library against real worker processes.

use std::collections::BTreeSet;
use std::future::Future;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid as ProcessId;
use orchestrator::{
    Encoding, EventKind, EventStream, JobError, Launch, Pool, PoolConfig, PoolError, Printed,
    Reports, Verdict,
};
use orchestrator_tests::tasks::*;
use orchestrator_tests::{TestEnv, eventually};
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
    config.start_timeout = Duration::from_millis(300);
    config.backoff = Duration::from_millis(1);
    config.grace = Duration::from_millis(200);
    config
}

pub(crate) fn block_on<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        tokio::time::timeout(Duration::from_secs(60), test)
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
    block_on(async {
        let (pool, events) = Pool::start_observed(config(1)).unwrap();
        let slow = pool.submit(SleepMs, 20).await.unwrap();
        let id = slow.id();
        slow.await.unwrap();
        pool.shutdown().await.unwrap();
        let story: Vec<&str> = all(events)
            .await
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
        while let Ok(result) =
            tokio::time::timeout(Duration::from_millis(200), pool.run(Noop, ())).await
        {
            result.unwrap();
            done += 1;
            assert!(done < 20, "{done} jobs, and none of their events was taken");
        }
        assert!(done >= 10, "{done}");
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
fn f001_a_worker_that_dies_costs_the_job_that_it_was_running_and_no_other() {
    block_on(async {
        let pool = Pool::start(config(2)).unwrap();
        let mut handles = Vec::new();
        for n in 0..1_000 {
            handles.push(if n == 500 {
                Err(pool.submit(Abort, ()).await.unwrap())
            } else {
                Ok(pool.submit(Fib, n % 90).await.unwrap())
            });
        }
        for handle in handles {
            match handle {
                Ok(handle) => {
                    handle.await.unwrap();
                }
                Err(handle) => match handle.await {
                    Err(JobError::Crashed(how)) => {
                        assert_eq!(how, "its worker was killed by SIGABRT");
                    }
                    other => panic!("{other:?}"),
                },
            }
        }
        pool.shutdown().await.unwrap();
    });
}

#[test]
fn a_job_that_was_done_when_its_worker_died_is_not_done_again() {
    let env = TestEnv::new();
    let path = env.file("notes", "");
    let name = path.to_str().unwrap().to_owned();
    block_on(async {
        let pool = Pool::start(config(2)).unwrap();
        let inputs = (1..=5_000).map(|n| (name.clone(), n));
        let mut results = pool.map(Note, inputs);
        let mut crashed = 0;
        while let Some(result) = results.next().await {
            match result {
                Ok(()) => {}
                Err(JobError::Crashed(_)) => crashed += 1,
                Err(other) => panic!("{other:?}"),
            }
        }
        assert_eq!(crashed, 10);
        drop(results);
        pool.shutdown().await.unwrap();
    });
    let mut notes: Vec<u64> = std::fs::read_to_string(path)
        .unwrap()
        .lines()
        .map(|line| line.parse().unwrap())
        .collect();
    notes.sort_unstable();
    let expected: Vec<u64> = (1..=5_000).collect();
    assert!(notes == expected, "{} notes of 5,000 jobs", notes.len());
}

#[test]
fn f001_sigkill_from_outside_costs_one_job() {
    block_on(async {
        let pool = Pool::start(config(1)).unwrap();
        let pid = pool.run(Pid, ()).await.unwrap();
        let (reports, mut verdicts) = Reports::channel();
        for n in 0..1_000 {
            let job = if n == 0 {
                orchestrator::RawJob::new(&SleepBlind, &60_000).unwrap()
            } else {
                orchestrator::RawJob::new(&Fib, &20).unwrap()
            };
            pool.submit_to(job, &reports).await.unwrap();
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
        kill(ProcessId::from_raw(pid as i32), Signal::SIGKILL).unwrap();
        let mut crashed = 0;
        for _ in 0..1_000 {
            match verdicts.next().await.unwrap().verdict {
                Verdict::Ok => {}
                Verdict::Crashed => crashed += 1,
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(crashed, 1);
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
fn f003_a_worker_that_dies_idle_is_replaced_and_charges_nobody() {
    block_on(async {
        let pool = Pool::start(config(1)).unwrap();
        let first = pool.run(Pid, ()).await.unwrap();
        kill(ProcessId::from_raw(first as i32), Signal::SIGKILL).unwrap();
        eventually("the worker is reaped", || !exists(first) || zombie(first));
        let second = pool.run(Pid, ()).await;
        // The job may have reached the dying worker; it is not charged either way.
        assert_ne!(second.unwrap(), first);
        pool.shutdown().await.unwrap();
    });
}

fn zombie(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(')')
        .is_none_or(|(_, rest)| rest.starts_with(" Z"))
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
fn state_is_made_once_per_worker_with_the_init_data() {
    block_on(async {
        let mut config = config(1);
        config.init = Some("a model".into());
        let pool = Pool::start(config).unwrap();
        for n in 1..=3 {
            let seen = pool.run(Counter, 1).await.unwrap();
            assert_eq!(seen, (n, 1, b"a model".to_vec()));
        }
        pool.shutdown().await.unwrap();
    });
}

#[test]
fn jobs_are_spread_over_all_workers() {
    block_on(async {
        let pool = Pool::start(config(4)).unwrap();
        let mut handles = Vec::new();
        for _ in 0..8 {
            handles.push(pool.submit(SleepMs, 50).await.unwrap());
        }
        for handle in handles {
            handle.await.unwrap();
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

/// What a pool of rogues says about itself.
fn broken(steps: &str) -> PoolError {
    block_on(async {
        let pool = Pool::start(rogues(steps)).unwrap();
        let error = pool.tasks().await.unwrap_err();
        // The reason stays, whoever asks.
        let again = pool.run(Fib, 1).await.unwrap_err();
        assert_eq!(again.to_string(), error.to_string());
        let end = pool.shutdown().await.unwrap_err();
        assert_eq!(end.to_string(), error.to_string());
        error
    })
}

#[test]
fn f006_a_program_that_is_not_a_worker_is_told_by_what_it_printed() {
    let error = broken("print:hello,world exit:0");
    assert_eq!(
        error.to_string(),
        format!("`{ROGUE}` does not speak the worker protocol (it printed `hello,world`)")
    );
}

#[test]
fn f006_a_program_that_prints_without_end_is_not_listened_to_for_ever() {
    let steps = format!("print:{} hang", "y".repeat(100_000));
    let error = broken(&steps).to_string();
    assert!(error.contains("(it printed `yyyy"), "{error:.200}");
}

#[test]
fn f007_another_protocol_version_is_refused_with_both() {
    let error = broken("greet:99 hang");
    assert_eq!(
        error.to_string(),
        format!(
            "worker `{ROGUE}` speaks protocol 99, but this orchestrator speaks {}",
            protocol::PROTOCOL_VERSION
        )
    );
}

#[test]
fn f005_a_worker_that_hangs_before_it_is_ready_is_given_up() {
    match broken("stderr:loading greet hello hang") {
        PoolError::StartTimeout { stderr, after, .. } => {
            assert_eq!(stderr, "loading\n");
            assert_eq!(after, Duration::from_millis(300));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn f029_workers_that_die_at_start_end_the_pool_with_their_last_words() {
    match broken("stderr:no.such.library exit:127") {
        PoolError::KeepsDying {
            status,
            attempts,
            stderr,
            ..
        } => {
            assert_eq!(status, "ended with status 127");
            assert_eq!(attempts, 3);
            assert_eq!(stderr, "no.such.library\n");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_missing_worker_program_is_named() {
    block_on(async {
        let pool = Pool::start(PoolConfig::new(Launch::program("/no/such/worker"))).unwrap();
        let error = pool.run(Fib, 1).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "worker `/no/such/worker` cannot be started"
        );
        assert!(pool.shutdown().await.is_err());
    });
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

#[test]
fn f010_to_f015_a_worker_that_breaks_the_protocol_is_killed_and_its_job_crashed() {
    let start = "greet hello ready:noop recv";
    let cases = [
        // f010: garbage.
        ("raw:68656c6c6f0a hang", "expected a frame, found `hello`"),
        // f013: an oversized length.
        (
            "raw:b10f8300ffffff7fffffff7f hang",
            "is larger than the limit",
        ),
        // f014: a length bomb inside the control part.
        (
            "raw:b10f8700080000000000000000000000000100000a hang",
            "malformed recalled message",
        ),
        (
            "raw:b10fee0000000000000000000a hang",
            "unknown message kind 0xee",
        ),
        ("ready:noop hang", "said ready twice"),
    ];
    for (steps, expected) in cases {
        let (verdict, said) = ends(&format!("{start} {steps}"));
        assert_eq!(verdict, Verdict::Crashed, "{steps}");
        assert!(said.contains(expected), "{steps}: {said}");
    }
    // f011: ended within a frame; f002: exit status 0 does not help.
    assert_eq!(
        ends(&format!("{start} partial:7 exit:0")),
        (Verdict::Crashed, "its worker ended with status 0".into())
    );
    // f015: another job, another attempt.
    for steps in ["done-other hang", "done-stale hang"] {
        assert_eq!(ends(&format!("{start} {steps}")).0, Verdict::Crashed);
    }
}

#[test]
fn f004_an_answer_that_was_written_before_death_counts() {
    for _ in 0..50 {
        let (verdict, said) = ends("greet hello ready:noop recv done kill");
        assert_eq!((verdict, said.as_str()), (Verdict::Ok, ""));
    }
}

#[test]
fn f016_the_first_of_two_answers_stands() {
    let (verdict, _) = ends("greet hello ready:noop recv done done-again hang");
    assert_eq!(verdict, Verdict::Ok);
}

#[test]
fn f019_a_worker_that_closes_its_channel_is_ended() {
    // Output for a job, then the end of the link while the process lives on.
    let (verdict, _) = ends("greet hello ready:noop recv output:x close hang");
    assert_eq!(verdict, Verdict::Crashed);
}

#[test]
fn a_worker_that_gives_back_what_nobody_asked_for_is_killed() {
    let (verdict, said) = ends("greet hello ready:noop recv recalled-twice hang");
    assert_eq!(verdict, Verdict::Crashed, "{said}");
}

#[test]
fn f021_a_worker_that_does_not_read_its_pipe_can_still_be_ended() {
    block_on(async {
        let pool = Pool::start(rogues("greet hello ready:echo hang")).unwrap();
        let input = ByteBuf::from(vec![7; 10 << 20]);
        let handle = pool.submit(Echo, input).await.unwrap();
        pool.tasks().await.unwrap();
        pool.shutdown_now().await.unwrap();
        assert!(cancelled(handle.await));
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
fn a_worker_that_leaves_unasked_is_not_charged_with_jobs_nor_waited_for() {
    block_on(async {
        let pool = Pool::start(rogues("greet hello ready:noop recv bye exit:0")).unwrap();
        match pool.run(Noop, ()).await {
            // One after the other left; the job went from hand to hand.
            Err(JobError::Pool(PoolError::KeepsDying { ready: true, .. })) => {}
            other => panic!("{other:?}"),
        }
        pool.shutdown().await.unwrap_err();
    });
    // One that says goodbye, or does not listen, and stays is made to end.
    // (With the job: a worker that did so before would never be sent one.)
    let (verdict, _) = ends("greet hello ready:noop recv close-in hang");
    assert_eq!(verdict, Verdict::Crashed);
}

#[test]
fn a_series_of_crashing_jobs_is_not_slowed_down() {
    block_on(async {
        let mut config = config(1);
        // Any pause would be noticed.
        config.backoff = Duration::from_secs(600);
        config.backoff_max = Duration::from_secs(600);
        let pool = Pool::start(config).unwrap();
        for _ in 0..10 {
            match pool.run(Abort, ()).await {
                Err(JobError::Crashed(_)) => {}
                other => panic!("{other:?}"),
            }
        }
        pool.shutdown().await.unwrap();
    });
}

#[test]
fn f020_what_floods_a_dead_workers_stderr_does_not_hide_its_death() {
    block_on(async {
        let mut config = rogues("greet hello ready:noop recv flood kill");
        config.start_attempts = 1;
        let pool = Pool::start(config).unwrap();
        let job = orchestrator::RawJob::new(&Noop, &()).unwrap();
        let report = pool.submit_raw(job).await.unwrap();
        // Well before the flood ends by itself.
        let report = tokio::time::timeout(Duration::from_secs(10), report).await;
        assert_eq!(report.unwrap().unwrap().verdict, Verdict::Crashed);
        pool.shutdown_now().await.ok();
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

/// One worker whose start is given this text.
fn starting(asked: &str) -> PoolConfig {
    let mut config = config(1);
    config.init = Some(Encoding::Bincode.encode(asked).unwrap());
    config.start_attempts = 2;
    config.backoff = Duration::ZERO;
    config
}

#[test]
fn a_workers_start_is_done_once_and_finds_the_init_data() {
    block_on(async {
        let pool = Pool::start(starting("model")).unwrap();
        for _ in 0..3 {
            let started = pool.run(Started, ()).await.unwrap();
            assert_eq!(started, (1, "model".to_owned()));
        }
        pool.shutdown().await.unwrap();
    });
}

#[test]
fn a_start_that_fails_or_panics_ends_the_pool_with_its_text_and_charges_no_job() {
    for (asked, text) in [("fail", "no such model"), ("panic", "no luck")] {
        block_on(async {
            let pool = Pool::start(starting(asked)).unwrap();
            let error = pool.run(Noop, ()).await.unwrap_err();
            match error {
                JobError::Pool(PoolError::KeepsDying { stderr, ready, .. }) => {
                    assert!(!ready);
                    assert!(stderr.contains(text), "{stderr}");
                }
                other => panic!("{other:?}"),
            }
        });
    }
}

#[test]
fn a_start_that_hangs_is_given_up_in_time() {
    block_on(async {
        let mut config = starting("hang");
        config.start_timeout = Duration::from_millis(100);
        let pool = Pool::start(config).unwrap();
        let error = pool.run(Noop, ()).await.unwrap_err();
        let timeout = matches!(error, JobError::Pool(PoolError::StartTimeout { .. }));
        assert!(timeout, "{error:?}");
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
