//! The library's vocabulary, word by word. That things happen at the same time
//! is shown by the order of events, or by jobs that can only end together.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::StreamExt;
use nix::sys::stat::Mode;
use orchestrator::{
    Awaitable, Encoding, EventKind, EventStream, Executor, JobError, JobId, Mixed, Pool,
    PoolConfig, PoolError, Printed, RawJob, Registry, ReturnWhen, ThreadPool, TrySubmitError,
    Verdict, as_completed, future, gather, gather_all, wait,
};
use orchestrator_tests::TestEnv;
use orchestrator_tests::tasks::*;

use crate::pool::{block_on, config, exists};

/// For what must not happen: long enough to be noticed.
const NEVER: u64 = 600_000;

/// A file that is read to its end only when somebody has written to it.
fn gate(env: &TestEnv, name: &str) -> PathBuf {
    let path = env.path().join(name);
    nix::unistd::mkfifo(&path, Mode::S_IRWXU).unwrap();
    path
}

fn name(path: &Path) -> Option<String> {
    Some(path.to_str().unwrap().to_owned())
}

/// Lets those go on that wait at this gate. Blocks until one does.
async fn open(path: &Path) {
    let path = path.to_owned();
    tokio::task::spawn_blocking(move || std::fs::write(path, "open"))
        .await
        .unwrap()
        .unwrap();
}

/// The next sending or end of a job.
async fn step(events: &mut EventStream) -> (&'static str, u64) {
    loop {
        match events.next().await.unwrap().kind {
            EventKind::JobSent { job, .. } => return ("sent", job.0),
            EventKind::JobDone { job, .. } => return ("done", job.0),
            _ => {}
        }
    }
}

/// How a job ends.
async fn end(events: &mut EventStream, of: JobId) -> Verdict {
    loop {
        match events.next().await.unwrap().kind {
            EventKind::JobDone { job, verdict, .. } if job == of => return verdict,
            _ => {}
        }
    }
}

#[test]
fn awaiting_jobs_one_by_one_runs_them_one_after_the_other() {
    block_on(async {
        let (pool, mut events) = Pool::start_observed(config(2)).unwrap();
        let jobs = [pool.job(Fib, 1), pool.job(Fib, 2)];
        for job in jobs {
            job.await.unwrap();
        }
        let mut steps = Vec::new();
        for _ in 0..4 {
            steps.push(step(&mut events).await);
        }
        assert_eq!(steps, [("sent", 1), ("done", 1), ("sent", 2), ("done", 2)]);
    });
}

#[test]
fn submitted_jobs_run_by_themselves_and_at_the_same_time() {
    let env = TestEnv::new();
    let (a, b) = (gate(&env, "a"), gate(&env, "b"));
    let both = env.path().join("both");
    block_on(async {
        let (pool, mut events) = Pool::start_observed(config(2)).unwrap();
        let first = pool.submit(Gate, (name(&a), None)).await.unwrap();
        let second = pool.submit(Gate, (name(&b), name(&both))).await.unwrap();
        assert_eq!(step(&mut events).await, ("sent", 1));
        // Nobody awaits them.
        open(&b).await;
        assert_eq!(end(&mut events, second.id()).await, Verdict::Ok);
        assert!(!first.is_finished());
        open(&a).await;
        assert_eq!(end(&mut events, first.id()).await, Verdict::Ok);
        assert!(both.exists() && first.is_finished() && second.is_finished());
        assert_eq!(gather([first, second]).await.unwrap(), ["open", "open"]);
    });
}

#[test]
fn a_full_pool_says_so_and_gives_the_input_back() {
    let env = TestEnv::new();
    let wait = gate(&env, "wait");
    block_on(async {
        let config = PoolConfig {
            max_pending: 1,
            ..config(1)
        };
        let pool = Pool::start(config).unwrap();
        let running = pool.try_submit(Gate, (name(&wait), None)).unwrap();
        match pool.try_submit(EchoText, "mine".into()) {
            Err(TrySubmitError::Full(input)) => assert_eq!(input, "mine"),
            other => panic!("{other:?}"),
        }
        match pool.job(EchoText, "mine".into()).retries(1).try_submit() {
            Err(TrySubmitError::Full(job)) => {
                let submitted = job.submit();
                open(&wait).await;
                assert_eq!(submitted.await.unwrap().await.unwrap(), "mine");
            }
            other => panic!("{other:?}"),
        }
        running.await.unwrap();
        pool.shutdown().await.unwrap();
    });
}

#[test]
fn more_handles_than_the_pool_has_room_for_can_be_held() {
    block_on(async {
        let config = PoolConfig {
            max_pending: 4,
            ..config(2)
        };
        let pool = Pool::start(config).unwrap();
        let mut handles = Vec::new();
        for n in 0..200 {
            handles.push(pool.submit(Fib, n % 20).await.unwrap());
        }
        assert_eq!(gather(handles).await.unwrap().len(), 200);
        pool.shutdown().await.unwrap();
    });
}

#[test]
fn gather_gives_results_in_order_of_jobs_and_futures_together() {
    block_on(async {
        let pool = Pool::start(config(2)).unwrap();
        let slow = pool.submit(EchoText, "first".into()).await.unwrap();
        let ordinary = future(async { Ok::<_, JobError>("second".to_owned()) });
        let job = future(async { pool.job(EchoText, "third".into()).await });
        let results = gather([slow.mixed(), ordinary, job]).await.unwrap();
        assert_eq!(results, ["first", "second", "third"]);
        let nothing: [orchestrator::JobHandle<()>; 0] = [];
        assert_eq!(gather(nothing).await.unwrap(), []);
        pool.shutdown().await.unwrap();
    });
}

#[test]
fn handles_of_processes_and_threads_and_futures_are_waited_for_together() {
    block_on(async {
        let processes = Pool::start(config(1)).unwrap();
        let tasks = || Registry::without_command().task(Fib, |_| 3);
        let threads = ThreadPool::start(2, tasks).unwrap();
        // What does not care takes either.
        async fn submit(executor: &impl Executor) -> Mixed<'static, u64, JobError> {
            executor.submit(Fib, 3).await.unwrap().mixed()
        }
        let function = threads.submit_fn(|_| 4).await.unwrap();
        let all = [
            submit(&processes).await,
            submit(&threads).await,
            function.mixed(),
            future(async { Ok(5) }),
        ];
        assert_eq!(gather(all).await.unwrap(), [2, 3, 4, 5]);
        processes.shutdown().await.unwrap();
        threads.shutdown().await.unwrap();
    });
}

#[test]
fn a_job_is_described_once_and_filled_in() {
    block_on(async {
        let pool = Pool::start(config(1)).unwrap();
        let job = pool.job(EchoText, String::new()).label("greeting");
        let greetings = ["a", "b"].map(|name| job.clone().with(|text| *text += name));
        for (greeting, name) in greetings.into_iter().zip(["a", "b"]) {
            let handle = greeting.submit().await.unwrap();
            let report = handle.into_raw().await.unwrap();
            assert_eq!(report.label.as_deref(), Some("greeting"));
            let text: String = Encoding::Bincode
                .decode(&report.result.bytes().unwrap())
                .unwrap();
            assert_eq!(text, name);
        }
        let failing = pool.job(Print, ("x".into(), 2)).printed(Printed::Capture);
        let report = failing.submit().await.unwrap().into_raw().await.unwrap();
        assert_eq!(report.stdout.to_vec().unwrap(), b"x\nx\n");
        let retried = pool.job(Fail, ()).retries(2).retry_backoff(Duration::ZERO);
        let report = retried.submit().await.unwrap().into_raw().await.unwrap();
        assert_eq!(report.attempts, 3);
        pool.shutdown().await.unwrap();
    });
}

#[test]
fn gathers_first_error_cancels_the_rest() {
    block_on(async {
        let (pool, mut events) = Pool::start_observed(config(2)).unwrap();
        let endless = pool.submit(SleepMs, NEVER).await.unwrap();
        let id = endless.id();
        let failing = pool.submit(Fail, ()).await.unwrap();
        let flag = Arc::new(());
        let held = Arc::clone(&flag);
        let waiting = future(async move {
            std::future::pending::<()>().await;
            drop(held);
            Ok(())
        });
        let error = gather([endless.mixed(), failing.mixed(), waiting]).await;
        assert!(matches!(error, Err(JobError::Failed(_))), "{error:?}");
        assert_eq!(Arc::strong_count(&flag), 1, "the future was dropped");
        assert_eq!(end(&mut events, id).await, Verdict::Cancelled);
        pool.shutdown().await.unwrap();
    });
}

#[test]
fn jobs_that_are_waited_for_together_are_submitted_and_run_at_the_same_time() {
    let env = TestEnv::new();
    let (a, b) = (gate(&env, "a"), gate(&env, "b"));
    block_on(async {
        let (pool, mut events) = Pool::start_observed(config(2)).unwrap();
        let jobs = [&a, &b].map(|gate| pool.job(Gate, (name(gate), None)));
        let mut all = gather(jobs);
        tokio::select! {
            _ = &mut all => panic!("nobody has opened a gate"),
            () = async {
                open(&b).await;
                assert_eq!(end(&mut events, JobId(2)).await, Verdict::Ok);
            } => {}
        }
        open(&a).await;
        assert_eq!(all.await.unwrap(), ["open", "open"]);

        // The first error cancels those that were submitted for it.
        let endless = pool.job(SleepMs, NEVER);
        let failing = pool.job(SleepMs, NEVER).timeout(Duration::from_millis(20));
        let error = gather([endless, failing]).await.unwrap_err();
        assert!(matches!(error, JobError::Timeout(_)));
        assert_eq!(end(&mut events, JobId(3)).await, Verdict::Cancelled);

        let (mut done, _) = wait([pool.job(Fib, 10)], None, ReturnWhen::default()).await;
        assert_eq!(done.remove(0).await.unwrap(), 55);
        assert_eq!(
            pool.map(Fib, 0..5).try_collect().await.unwrap(),
            [0, 1, 1, 2, 3]
        );
        pool.shutdown().await.unwrap();
        // Without a pool they give its error, whoever waits.
        let late = as_completed([pool.job(Fib, 10)]).next().await.unwrap();
        assert!(matches!(late.await, Err(JobError::Pool(PoolError::Closed))));
    });
}

#[test]
fn dropping_a_gather_cancels_what_it_waits_for() {
    block_on(async {
        let (pool, mut events) = Pool::start_observed(config(2)).unwrap();
        let endless = pool.submit(SleepMs, NEVER).await.unwrap();
        let id = endless.id();
        let all = gather_all([endless]);
        let limited = tokio::time::timeout(Duration::from_millis(10), all);
        assert!(limited.await.is_err());
        assert_eq!(end(&mut events, id).await, Verdict::Cancelled);
        pool.shutdown().await.unwrap();
    });
}

#[test]
fn gather_all_gives_every_outcome() {
    block_on(async {
        let pool = Pool::start(config(2)).unwrap();
        let jobs = [
            pool.submit(Panic, "ouch".into()).await.unwrap(),
            pool.submit(Fail, ()).await.unwrap(),
            pool.submit(Noop, ()).await.unwrap(),
            pool.submit(Abort, ()).await.unwrap(),
        ];
        let outcomes = gather_all(jobs).await;
        assert!(
            matches!(
                outcomes[..],
                [
                    Err(JobError::Panicked(_)),
                    Err(JobError::Failed(_)),
                    Ok(()),
                    Err(JobError::Crashed(_)),
                ]
            ),
            "{outcomes:?}"
        );
        pool.shutdown().await.unwrap();
    });
}

#[test]
fn wait_returns_when_it_was_told_to() {
    let env = TestEnv::new();
    let (a, b) = (gate(&env, "a"), gate(&env, "b"));
    block_on(async {
        let pool = Pool::start(config(3)).unwrap();
        let held = pool.submit(Gate, (name(&a), None)).await.unwrap();
        let held_too = pool.submit(Gate, (name(&b), None)).await.unwrap();
        let quick = pool.submit(EchoText, "quick".into()).await.unwrap();
        let (held, held_too, quick) = (held.mixed(), held_too.mixed(), quick.mixed());

        let first = ReturnWhen::FirstCompleted;
        let (mut done, pending) = wait([held, held_too, quick], None, first).await;
        assert_eq!((done.len(), pending.len()), (1, 2));
        assert_eq!(done.remove(0).await.unwrap(), "quick");

        // Nothing ends in time.
        let all = ReturnWhen::AllCompleted;
        let (done, mut pending) = wait(pending, Duration::from_millis(5), all).await;
        assert_eq!((done.len(), pending.len()), (0, 2));

        let failing = future(async {
            pool.run(Fail, ()).await?;
            Ok(String::new())
        });
        pending.push(failing);
        let first = ReturnWhen::FirstError;
        let (mut done, pending) = wait(pending, None, first).await;
        assert_eq!((done.len(), pending.len()), (1, 2));
        assert!(matches!(done.remove(0).await, Err(JobError::Failed(_))));

        // Without an error it waits for all, and gives them as they have ended.
        open(&b).await;
        let opened = async {
            tokio::task::yield_now().await;
            open(&a).await;
        };
        let ((done, pending), ()) = tokio::join!(wait(pending, None, first), opened);
        assert_eq!((done.len(), pending.len()), (2, 0));
        for handle in done {
            assert_eq!(handle.await.unwrap(), "open");
        }

        let nothing: Vec<orchestrator::JobHandle<()>> = vec![];
        let (done, pending) = wait(nothing, None, all).await;
        assert!(done.is_empty() && pending.is_empty());
        pool.shutdown().await.unwrap();
    });
}

#[test]
fn dropping_a_wait_or_as_completed_cancels_nothing() {
    let env = TestEnv::new();
    let (a, b) = (gate(&env, "a"), gate(&env, "b"));
    block_on(async {
        let (pool, mut events) = Pool::start_observed(config(2)).unwrap();
        let kept = pool.submit(Gate, (name(&a), None)).await.unwrap();
        let given = pool.submit(Gate, (name(&b), None)).await.unwrap();
        let given_id = given.id();
        let mut handles = vec![kept];
        let short = Duration::from_millis(5);
        let waiting = wait(handles.iter_mut(), None, ReturnWhen::AllCompleted);
        assert!(tokio::time::timeout(short, waiting).await.is_err());
        let mut ends = as_completed([given]);
        assert!(tokio::time::timeout(short, ends.next()).await.is_err());
        drop(ends);
        open(&b).await;
        assert_eq!(end(&mut events, given_id).await, Verdict::Ok);
        open(&a).await;
        assert_eq!(handles.remove(0).await.unwrap(), "open");
        pool.shutdown().await.unwrap();
    });
}

#[test]
fn as_completed_gives_handles_in_the_order_of_their_ends() {
    let env = TestEnv::new();
    let gates = [gate(&env, "a"), gate(&env, "b"), gate(&env, "c")];
    block_on(async {
        let pool = Pool::start(config(3)).unwrap();
        let mut handles = Vec::new();
        for gate in &gates {
            handles.push(pool.submit(Gate, (name(gate), None)).await.unwrap());
        }
        let ids: Vec<JobId> = handles.iter().map(|handle| handle.id()).collect();
        let mut ends = as_completed(handles);
        for place in [2, 0, 1] {
            open(&gates[place]).await;
            let handle = ends.next().await.unwrap();
            assert_eq!(handle.id(), ids[place]);
            assert!(handle.is_finished());
            assert_eq!(handle.await.unwrap(), "open");
        }
        assert!(ends.next().await.is_none());
        pool.shutdown().await.unwrap();
    });
}

#[test]
fn an_unordered_map_gives_results_as_they_come() {
    let env = TestEnv::new();
    let wait = gate(&env, "wait");
    block_on(async {
        let pool = Pool::start(config(2)).unwrap();
        let inputs = (0..100).map(|n| (name(&wait).filter(|_| n == 0), None));
        let mut results = pool.map(Gate, inputs).unordered();
        for _ in 1..100 {
            assert_eq!(results.next().await.unwrap().unwrap(), "");
        }
        open(&wait).await;
        assert_eq!(results.next().await.unwrap().unwrap(), "open");
        assert!(results.next().await.is_none());
        pool.shutdown().await.unwrap();
    });
}

#[test]
fn a_map_takes_streams_and_errors_stand_in_their_places() {
    block_on(async {
        let pool = Pool::start(PoolConfig {
            max_payload: 1000,
            ..config(2)
        })
        .unwrap();
        let (sender, inputs) = tokio::sync::mpsc::channel(2);
        let inputs = futures_util::stream::unfold(inputs, |mut inputs| async {
            inputs.recv().await.map(|input| (input, inputs))
        });
        let mut results = pool.map_stream(EchoText, Box::pin(inputs));
        let feed = async {
            for n in 0..50 {
                let size = if n == 7 { 2000 } else { n };
                sender.send("x".repeat(size)).await.unwrap();
            }
            drop(sender);
        };
        let take = async {
            for n in 0..50 {
                match results.next().await.unwrap() {
                    Ok(text) => assert_eq!(text.len(), n),
                    Err(JobError::Pool(PoolError::InputTooLarge { .. })) if n == 7 => {}
                    other => panic!("{n}: {other:?}"),
                }
            }
            assert!(results.next().await.is_none());
        };
        tokio::join!(feed, take);
        pool.shutdown().await.unwrap();
    });
}

#[test]
fn a_map_over_infinite_inputs_holds_a_bounded_window() {
    block_on(async {
        let pool = Pool::start(config(2)).unwrap();
        for unordered in [false, true] {
            let taken = AtomicUsize::new(0);
            let inputs = (0u64..).inspect(|_| {
                taken.fetch_add(1, Ordering::Relaxed);
            });
            let mut results = pool.map(Fib, inputs.map(|n| n % 50)).window(32);
            if unordered {
                results = results.unordered();
            }
            assert_eq!(taken.load(Ordering::Relaxed), 0, "it is lazy");
            for given in 1..=2_000 {
                results.next().await.unwrap().unwrap();
                assert!(taken.load(Ordering::Relaxed) < given + 32);
            }
        }
        // Also as the `Stream` that it is.
        let sum = pool.map(Fib, 1..=5).map(Result::unwrap);
        assert_eq!(sum.fold(0, async |a, b| a + b).await, 1 + 1 + 2 + 3 + 5);
        pool.shutdown().await.unwrap();
    });
}

#[test]
fn a_map_keeps_no_room_from_others_while_nobody_asks_it_for_results() {
    block_on(async {
        let config = PoolConfig {
            max_pending: 1,
            ..config(1)
        };
        let pool = Pool::start(config).unwrap();
        let mut results = pool.map(Fib, 0..20).window(3);
        let mut others = pool.map(Fib, 0..20).window(3).unordered();
        while let Some(result) = results.next().await {
            result.unwrap();
            others.next().await.unwrap().unwrap();
            pool.run(Noop, ()).await.unwrap();
            // Nor when the asking was given up.
            let nothing = tokio::time::timeout(Duration::ZERO, results.next());
            if let Ok(Some(result)) = nothing.await {
                result.unwrap();
            }
            pool.run(Noop, ()).await.unwrap();
        }
        pool.shutdown().await.unwrap();
    });
}

#[test]
fn a_map_gives_results_before_slow_inputs_are_all_there() {
    block_on(async {
        let pool = Pool::start(config(1)).unwrap();
        let taken = AtomicUsize::new(0);
        let inputs = (0..10_000u64).inspect(|_| {
            taken.fetch_add(1, Ordering::Relaxed);
            std::thread::sleep(Duration::from_millis(2));
        });
        let mut results = pool.map(Fib, inputs.map(|_| 10));
        assert_eq!(results.next().await.unwrap().unwrap(), 55);
        let taken = taken.load(Ordering::Relaxed);
        assert!(taken < 5_000, "{taken} inputs for one result");
        drop(results);
        pool.shutdown().await.unwrap();
    });
}

#[test]
fn what_has_ended_can_be_looked_at_in_any_order() {
    block_on(async {
        let pool = Pool::start(config(1)).unwrap();
        let captured = pool.job(Print, ("x".into(), 1)).printed(Printed::Capture);
        let handle = captured.submit().await.unwrap();
        let handle = as_completed([handle]).next().await.unwrap();
        let report = handle.into_raw().await.unwrap();
        assert_eq!(report.stdout.to_vec().unwrap(), b"x\n");

        let mut handles = [pool.submit(Fib, 10).await.unwrap()];
        assert_eq!((&mut handles[0]).await.unwrap(), 55);
        assert!(handles[0].is_finished());
        let (done, pending) = wait(handles.iter_mut(), None, ReturnWhen::default()).await;
        assert_eq!((done.len(), pending.len()), (1, 0));

        let raw = RawJob::new(&Fail, &()).unwrap();
        let raw = pool.submit_raw(raw).await.unwrap();
        let first = ReturnWhen::FirstError;
        let (mut done, _) = wait([raw], None, first).await;
        assert_eq!(done.remove(0).await.unwrap().verdict, Verdict::Failed(1));
        pool.shutdown().await.unwrap();
    });
}

#[test]
fn pools_of_a_size_that_nobody_means_are_refused() {
    block_on(async {
        let too_many = Pool::start(config(usize::MAX));
        assert!(matches!(too_many, Err(PoolError::Config(_))));
        let pool = Pool::start(config(1)).unwrap();
        assert!(matches!(pool.resize(usize::MAX), Err(PoolError::Config(_))));
        pool.run(Noop, ()).await.unwrap();
        pool.shutdown().await.unwrap();
        // This test would start itself.
        let own = Pool::builder().worker(std::env::current_exe().unwrap());
        let refused = own.start().unwrap_err();
        assert!(refused.to_string().contains("over and over"), "{refused}");
    });
}

#[test]
fn awaiting_a_handle_can_be_given_up_and_repeated() {
    let env = TestEnv::new();
    let wait = gate(&env, "wait");
    block_on(async {
        let pool = Pool::start(config(1)).unwrap();
        let mut handle = pool.submit(Gate, (name(&wait), None)).await.unwrap();
        let short = Duration::from_millis(5);
        assert!(tokio::time::timeout(short, &mut handle).await.is_err());
        tokio::select! {
            biased;
            _ = &mut handle => panic!("nobody has opened the gate"),
            () = std::future::ready(()) => {}
        }
        open(&wait).await;
        while !handle.is_finished() {
            tokio::task::yield_now().await;
        }
        assert_eq!(handle.await.unwrap(), "open");
        pool.shutdown().await.unwrap();
    });
}

#[test]
fn every_kind_of_end_has_its_error_and_the_next_job_works() {
    block_on(async {
        let config = PoolConfig {
            grace: Duration::from_millis(50),
            ..config(1)
        };
        let pool = Pool::start(config).unwrap();
        let failed = pool.run(Fail, ()).await;
        assert!(matches!(failed, Err(JobError::Failed(_))), "{failed:?}");
        let panicked = pool.run(Panic, "ouch".into()).await;
        assert!(matches!(&panicked, Err(JobError::Panicked(e)) if e.message == "ouch"));
        assert_eq!(pool.run(Fib, 10).await.unwrap(), 55);
        let formless = pool.run(Formless, ()).await;
        match &formless {
            Err(JobError::Unencodable(e)) => assert!(e.message.ends_with("it has no form")),
            other => panic!("{other:?}"),
        }
        assert_eq!(pool.run(Fib, 10).await.unwrap(), 55);
        let aborted = pool.run(Abort, ()).await;
        assert!(matches!(&aborted, Err(JobError::Crashed(how)) if how.contains("SIGABRT")));
        let died = pool.run(Die, "SIGSEGV".into()).await;
        assert!(matches!(&died, Err(JobError::Crashed(how)) if how.contains("SIGSEGV")));
        assert_eq!(pool.run(Fib, 10).await.unwrap(), 55);
        let limit = Duration::from_millis(20);
        for _ in 0..2 {
            let late = pool.job(SleepMs, NEVER).timeout(limit).await;
            assert!(matches!(&late, Err(JobError::Timeout(after)) if after == "after 20ms"));
        }
        let late = pool.job(SleepBlind, NEVER).timeout(limit).await;
        assert!(matches!(late, Err(JobError::Timeout(_))), "{late:?}");
        assert_eq!(pool.run(Fib, 10).await.unwrap(), 55);
        let handle = pool.submit(SleepMs, NEVER).await.unwrap();
        handle.cancel();
        let cancelled = handle.await;
        assert!(matches!(cancelled, Err(JobError::Cancelled)));
        assert_eq!(pool.run(Fib, 10).await.unwrap(), 55);
        pool.shutdown().await.unwrap();
    });
}

#[test]
fn a_dropped_pool_leaves_no_process_and_no_handle_that_waits() {
    block_on(async {
        let config = PoolConfig {
            grace: Duration::from_millis(50),
            ..config(2)
        };
        let pool = Pool::start(config).unwrap();
        let pids = [
            pool.run(Pid, ()).await.unwrap(),
            pool.run(Pid, ()).await.unwrap(),
        ];
        let running = pool.submit(SleepMs, NEVER).await.unwrap();
        let blind = pool.submit(SleepBlind, NEVER).await.unwrap();
        let queued = pool.submit(Noop, ()).await.unwrap();
        let done = pool.submit(Noop, ()).await.unwrap();
        done.cancel();
        let mut results = pool.map(Fib, 0..);
        drop(pool);
        for handle in [running, blind, queued, done] {
            let end = handle.await;
            assert!(matches!(end, Err(JobError::Cancelled)), "{end:?}");
        }
        let refused = results.next().await.unwrap();
        assert!(matches!(refused, Err(JobError::Pool(PoolError::Closed))));
        assert!(results.next().await.is_none());
        // Its driver is a task of this runtime.
        while pids.iter().any(|&pid| exists(pid)) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    });
}

#[test]
fn a_handle_outlives_the_runtime_of_its_pool() {
    let mut handles = Vec::new();
    block_on(async {
        let pool = Pool::start(config(1)).unwrap();
        handles.push(pool.submit(SleepMs, NEVER).await.unwrap());
    });
    let handle = handles.remove(0);
    assert!(handle.is_finished());
    let end = block_on(handle);
    assert!(
        matches!(end, Err(JobError::Pool(PoolError::Closed))),
        "{end:?}"
    );
}

#[test]
fn a_hundred_thousand_handles_cost_less_than_a_kibibyte_each() {
    let env = TestEnv::new();
    let mut command = env.command(env!("CARGO_BIN_EXE_handles"));
    command.arg(crate::pool::WORKER);
    let done = env.run(command, "");
    assert_eq!(done.code(), 0, "{}", done.stderr);
    let costs = done.stdout().split_whitespace();
    let costs: Vec<usize> = costs.map(|cost| cost.parse().unwrap()).collect();
    assert!(
        costs.len() == 2 && costs.iter().all(|&c| c < 1024),
        "{costs:?}"
    );
}
