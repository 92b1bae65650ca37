//! Pools whose workers are threads of this program.

use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::{self, ThreadId};
use std::time::Duration;

use orchestrator::{
    Encoding, JobContext, JobError, JobReport, Pool, PoolError, RawJob, Registry, TaskErrorKind,
    ThreadPool, ThreadPoolConfig, Verdict, WorkerContext,
};
use orchestrator_tests::eventually;
use orchestrator_tests::tasks::*;
use tokio::sync::oneshot;

use super::pool::{block_on, config as processes};

fn registry() -> Registry {
    Registry::new()
        .task(Fib, |n| (0..n).fold((0, 1), |(a, b), _| (b, a + b)).0)
        .task(Noop, |()| ())
        .task(Panic, |text: String| -> () { panic!("{text}") })
        .task(Fail, |()| Err::<(), _>("disk on fire"))
        .task(Which, |()| (1, 1))
        .task_ctx(SleepMs, |ms, job: &JobContext| {
            for _ in 0..ms {
                job.checkpoint()?;
                thread::sleep(Duration::from_millis(1));
            }
            Ok::<_, orchestrator::Cancelled>(())
        })
        .task_ctx(Endless, |(), job: &JobContext| {
            while !job.is_draining() {
                job.checkpoint()?;
                thread::sleep(Duration::from_millis(1));
            }
            Ok::<_, orchestrator::Cancelled>(job.is_draining())
        })
}

/// A pool of so many threads that leaves deaf jobs behind soon.
fn hasty(threads: usize) -> ThreadPool {
    let config = ThreadPoolConfig {
        threads,
        grace: Duration::from_millis(20),
        answer_timeout: Duration::from_millis(20),
        ..ThreadPoolConfig::default()
    };
    ThreadPool::with(config, registry).unwrap()
}

/// A job that hears nothing until it is let go.
struct Deaf {
    started: oneshot::Receiver<()>,
    go: Sender<()>,
    ended: Receiver<()>,
}

fn deaf() -> (RawJob, Deaf) {
    let (start, started) = oneshot::channel();
    let (go, wait) = channel();
    let (end, ended) = channel();
    let job = RawJob::call(move |_| {
        start.send(()).ok();
        wait.recv().ok();
        end.send(()).ok();
    });
    (job, Deaf { started, go, ended })
}

impl Deaf {
    fn let_go(self) {
        self.go.send(()).unwrap();
        self.ended.recv().unwrap();
    }
}

async fn report(pool: &ThreadPool, job: RawJob) -> JobReport {
    pool.submit_raw(job).await.unwrap().await.unwrap()
}

#[test]
fn each_thread_makes_its_tasks_once_and_keeps_their_state() {
    block_on(async {
        let made = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&made);
        let pool = ThreadPool::start(3, move || {
            counter.fetch_add(1, Ordering::Relaxed);
            // Not `Send`, as no task has to be.
            let thread: Rc<ThreadId> = Rc::new(thread::current().id());
            let init = move |_: &WorkerContext| Ok::<_, String>((0, Rc::clone(&thread)));
            Registry::without_command().task_with(
                Counter,
                init,
                |(count, thread): &mut (u64, Rc<ThreadId>), n, _| {
                    assert_eq!(thread::current().id(), **thread);
                    *count += n;
                    (*count, 1, Vec::new())
                },
            )
        });
        let pool = pool.unwrap();
        let mut results = pool.map(Counter, (0..300).map(|_| 1));
        let mut sum = 0;
        while let Some(result) = results.next().await {
            // Each thread counts by itself: 1 begins a sequence.
            sum += u64::from(result.unwrap().0 == 1);
        }
        assert!((1..=3).contains(&sum), "{sum}");
        pool.shutdown().await.unwrap();
        assert_eq!(made.load(Ordering::Relaxed), 3);
    });
}

#[test]
fn results_come_in_the_order_of_the_inputs() {
    block_on(async {
        let pool = ThreadPool::start(4, registry).unwrap();
        let mut results = pool.map(Fib, 0..90);
        let (mut a, mut b) = (0, 1);
        while let Some(result) = results.next().await {
            assert_eq!(result.unwrap(), a);
            (a, b) = (b, a + b);
        }
        pool.shutdown().await.unwrap();
    });
}

#[test]
fn a_panic_an_error_and_what_cannot_be_sent_are_data() {
    block_on(async {
        let config = ThreadPoolConfig {
            threads: 1,
            max_payload: 4,
            ..ThreadPoolConfig::default()
        };
        let pool = ThreadPool::with(config, registry).unwrap();
        let raw = Encoding::Raw;
        let json = Encoding::Json;
        let cases = [
            ("panic", raw, "ouch", 101, TaskErrorKind::Panic),
            ("fail", raw, "", 1, TaskErrorKind::Error),
            ("which", raw, "", 1, TaskErrorKind::Unencodable),
            ("fib", json, "90", 1, TaskErrorKind::TooLarge),
        ];
        for (task, encoding, input, code, kind) in cases {
            let job = RawJob::encoded(task, input.into(), encoding);
            let report = report(&pool, job).await;
            assert_eq!(report.verdict, Verdict::Failed(code), "{task}");
            assert_eq!(report.error.unwrap().kind, kind, "{task}");
        }
        for (task, input, kind) in [
            ("command", "", TaskErrorKind::UnknownTask),
            ("fib", "x", TaskErrorKind::Undecodable),
        ] {
            let job = RawJob::encoded(task, input.into(), json);
            let report = report(&pool, job).await;
            assert_eq!(report.verdict, Verdict::Rejected, "{task}");
            assert_eq!(report.error.unwrap().kind, kind, "{task}");
        }
        let job = RawJob::encoded("fib", "10".into(), json);
        let report = report(&pool, job).await;
        assert_eq!(report.result.bytes().unwrap(), "55");
        pool.shutdown().await.unwrap();
    });
}

#[test]
fn cancel_ends_a_queued_job_and_one_that_listens_and_leaves_a_deaf_one_behind() {
    block_on(async {
        let pool = hasty(1);
        let listening = pool.submit(SleepMs, 60_000).await.unwrap();
        let queued = pool.submit(SleepMs, 60_000).await.unwrap();
        queued.cancel();
        listening.cancel();
        for handle in [queued, listening] {
            let end = handle.await;
            assert!(matches!(end, Err(JobError::Cancelled)), "{end:?}");
        }
        let (job, mut deaf) = deaf();
        let handle = pool.submit_raw(job).await.unwrap();
        (&mut deaf.started).await.unwrap();
        handle.cancel();
        assert_eq!(handle.await.unwrap().verdict, Verdict::Cancelled);
        // The pool has another thread, and the first one goes its way.
        assert_eq!(pool.run(Fib, 10).await.unwrap(), 55);
        deaf.let_go();
        assert_eq!(pool.run(Fib, 10).await.unwrap(), 55);
        pool.shutdown().await.unwrap();
    });
}

#[test]
fn a_stuck_job_has_its_verdict_and_its_thread_is_replaced() {
    block_on(async {
        let pool = hasty(1);
        let mut stuck = Vec::new();
        for _ in 0..2 {
            let (mut job, deaf) = deaf();
            // Long enough to have started.
            job.timeout = Some(Duration::from_millis(500));
            job.retries = Some(5);
            let report = report(&pool, job).await;
            assert_eq!((report.verdict, report.attempts), (Verdict::Timeout, 1));
            assert_eq!(pool.run(Fib, 10).await.unwrap(), 55);
            stuck.push(deaf);
        }
        pool.shutdown().await.unwrap();
        stuck.into_iter().for_each(Deaf::let_go);
    });
}

#[test]
fn jobs_do_not_wait_behind_a_long_one_while_a_thread_is_idle() {
    block_on(async {
        let pool = ThreadPool::start(2, registry).unwrap();
        let (job, deaf) = deaf();
        let long = pool.submit_raw(job).await.unwrap();
        for _ in 0..200 {
            pool.run(Noop, ()).await.unwrap();
        }
        let mut results = pool.map(Noop, (0..2000).map(|_| ()));
        while let Some(result) = results.next().await {
            result.unwrap();
        }
        deaf.let_go();
        assert_eq!(long.await.unwrap().verdict, Verdict::Ok);
        pool.shutdown().await.unwrap();
    });
}

#[test]
fn a_closure_runs_once_and_carries_its_result_itself() {
    block_on(async {
        let pool = ThreadPool::start(2, Registry::without_command).unwrap();
        let text = String::from("borrowed by nobody");
        let (sender, result) = oneshot::channel();
        let job = RawJob::call(move |job| {
            sender.send((text.len(), job.attempt().0)).unwrap();
        });
        assert_eq!(report(&pool, job.clone()).await.verdict, Verdict::Ok);
        assert_eq!(result.await.unwrap(), (18, 1));
        // There was only one.
        assert_eq!(report(&pool, job).await.verdict, Verdict::Rejected);

        let mut job = RawJob::call(|_| panic!("ouch"));
        job.retries = Some(3);
        let report = report(&pool, job).await;
        assert_eq!((report.verdict, report.attempts), (Verdict::Failed(101), 1));
        let error = report.error.unwrap();
        assert_eq!(
            (error.kind, &*error.message),
            (TaskErrorKind::Panic, "ouch")
        );
        pool.shutdown().await.unwrap();
    });
}

/// Does this when it is dropped.
struct OnDrop<F: FnMut()>(F);

impl<F: FnMut()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

#[test]
fn what_a_cancelled_function_holds_can_neither_break_the_pool_nor_stall_it() {
    // A panic in this `drop` ended the driver, and with it all jobs; one that took
    // long was waited for by all of them.
    block_on(async {
        let pool = hasty(1);
        let (job, mut deaf) = deaf();
        let running = pool.submit_raw(job).await.unwrap();
        (&mut deaf.started).await.unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        let (go, wait) = channel::<()>();
        let mut queued: Vec<RawJob> = Vec::new();
        let runtime = runtime.unwrap();
        queued.push(RawJob::call(move |_| drop(runtime)));
        let bomb = OnDrop(|| panic!("dropped, as this test wants"));
        queued.push(RawJob::call(move |_| drop(bomb)));
        let (end, waited) = channel();
        let slow = OnDrop(move || {
            let told = wait.recv_timeout(Duration::from_secs(20));
            end.send(told.is_ok()).ok();
        });
        queued.push(RawJob::call(move |_| drop(slow)));
        for job in queued {
            let handle = pool.submit_raw(job).await.unwrap();
            handle.cancel();
            assert_eq!(handle.await.unwrap().verdict, Verdict::Cancelled);
        }
        deaf.let_go();
        assert_eq!(running.await.unwrap().verdict, Verdict::Ok);
        assert_eq!(pool.run(Fib, 10).await.unwrap(), 55);
        pool.shutdown().await.unwrap();
        go.send(()).unwrap();
        assert!(waited.recv().unwrap(), "somebody waited for it");
    });
}

#[test]
fn a_pool_that_is_ended_at_once_outlives_what_its_functions_hold() {
    block_on(async {
        let pool = hasty(1);
        let (job, mut deaf) = deaf();
        let running = pool.submit_raw(job).await.unwrap();
        (&mut deaf.started).await.unwrap();
        let bomb = OnDrop(|| panic!("dropped, as this test wants"));
        let queued = pool.submit_fn(move |_| drop(bomb)).await.unwrap();
        pool.shutdown_now().await.unwrap();
        let end = queued.await;
        assert!(matches!(end, Err(JobError::Cancelled)), "{end:?}");
        assert_eq!(running.await.unwrap().verdict, Verdict::Cancelled);
        deaf.let_go();
    });
}

#[test]
fn a_pool_of_processes_refuses_a_closure() {
    block_on(async {
        let pool = Pool::start(processes(1)).unwrap();
        let job = RawJob::call(|_| unreachable!("it runs nowhere"));
        let report = pool.submit_raw(job).await.unwrap().await.unwrap();
        assert_eq!(report.verdict, Verdict::Rejected);
        let error = report.error.unwrap().to_string();
        assert!(error.contains("needs a `ThreadPool`"), "{error}");
        assert_eq!(pool.run(Fib, 10).await.unwrap(), 55);
        pool.shutdown().await.unwrap();
    });
}

#[test]
fn dropping_the_pool_tells_what_runs_forgets_what_waits_and_does_not_block() {
    /// Says when its job is over, run or not.
    struct Over(Arc<Mutex<Vec<bool>>>, bool);
    impl Drop for Over {
        fn drop(&mut self) {
            self.0.lock().unwrap().push(self.1);
        }
    }
    block_on(async {
        let over = Arc::default();
        let pool = ThreadPool::start(1, registry).unwrap();
        let (started, mut runs) = tokio::sync::mpsc::unbounded_channel();
        let mut handles = Vec::new();
        for _ in 0..3 {
            let mut mark = Over(Arc::clone(&over), false);
            let started = started.clone();
            let job = RawJob::call(move |job| {
                let mark = &mut mark;
                mark.1 = true;
                started.send(()).ok();
                while job.checkpoint().is_ok() {
                    thread::sleep(Duration::from_millis(1));
                }
            });
            handles.push(pool.submit_raw(job).await.unwrap());
        }
        runs.recv().await.unwrap();
        drop(pool);
        for handle in handles {
            let end = handle.await.map(|report| report.verdict);
            let cancelled = matches!(end, Ok(Verdict::Cancelled) | Err(PoolError::Closed));
            assert!(cancelled, "{end:?}");
        }
        let ended = async {
            while over.lock().unwrap().len() < 3 {
                tokio::task::yield_now().await;
            }
        };
        ended.await;
        let mut ran = over.lock().unwrap().clone();
        ran.sort_unstable();
        assert_eq!(ran, [false, false, true]);
    });
}

#[test]
fn an_endless_job_in_a_thread_hears_of_shutdown() {
    block_on(async {
        let pool = ThreadPool::start(2, registry).unwrap();
        let endless = pool.submit(Endless, ()).await.unwrap();
        pool.shutdown().await.unwrap();
        assert!(endless.await.unwrap());
    });
}

#[test]
fn shutdown_now_does_not_wait_for_a_deaf_job() {
    block_on(async {
        let pool = hasty(1);
        let (job, mut deaf) = deaf();
        let handle = pool.submit_raw(job).await.unwrap();
        (&mut deaf.started).await.unwrap();
        pool.shutdown_now().await.unwrap();
        assert_eq!(handle.await.unwrap().verdict, Verdict::Cancelled);
        deaf.let_go();
    });
}

async fn fails_to_start(tasks: impl Fn() -> Registry + Send + Sync + 'static, why: &str) {
    let pool = ThreadPool::start(2, tasks).unwrap();
    let error = pool.run(Fib, 1).await.unwrap_err();
    match error {
        JobError::Pool(PoolError::KeepsDying { stderr, ready, .. }) => {
            assert!(!ready && stderr.contains(why), "{stderr}");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn tasks_that_cannot_be_made_end_the_pool_with_the_reason() {
    block_on(async {
        let failing = || registry().on_start(|_| Err("no such model"));
        fails_to_start(failing, "no such model").await;
        let panicking = || -> Registry { panic!("no such file") };
        fails_to_start(panicking, "panicked: no such file").await;
    });
}

#[test]
fn a_pool_on_its_own_thread_outlives_the_runtime_that_used_it_first() {
    let config = ThreadPoolConfig {
        threads: 2,
        ..ThreadPoolConfig::default()
    };
    let threads = ThreadPool::on_own_thread(config, registry).unwrap();
    let pool = Pool::start_on_own_thread(processes(1)).unwrap();
    for n in [10, 20] {
        block_on(async {
            let expected = if n == 10 { 55 } else { 6765 };
            assert_eq!(threads.run(Fib, n).await.unwrap(), expected);
            assert_eq!(pool.run(Fib, n).await.unwrap(), expected);
        });
    }
    block_on(async {
        threads.shutdown().await.unwrap();
        pool.shutdown().await.unwrap();
    });
}

#[test]
fn a_pool_whose_runtime_has_ended_says_that_it_is_over() {
    // It took jobs for ever, and a `map` gave errors for ever.
    let (pool, mut results) = block_on(async {
        let pool = ThreadPool::start(1, registry).unwrap();
        let results = pool.map(Noop, (0..).map(|_| ()));
        (pool, results)
    });
    block_on(async {
        let end = pool.submit(Noop, ()).await.map(|handle| handle.id());
        assert!(matches!(end, Err(PoolError::Closed)), "{end:?}");
        let mut errors = 0;
        while let Some(result) = results.next().await {
            result.unwrap_err();
            errors += 1;
            assert!(errors < 100);
        }
        let tasks = pool.tasks().await;
        assert!(matches!(tasks, Err(PoolError::Closed)), "{tasks:?}");
    });
}

#[test]
fn no_thread_is_left_when_a_pool_has_ended() {
    let (ended, end) = channel::<()>();
    block_on(async {
        // Dropped with the registry, when a thread has ended its work.
        let factory = Mutex::new(ended);
        let tasks = move || {
            let ended = factory.lock().unwrap().clone();
            registry().task(Pid, move |()| {
                let _kept = &ended;
                0
            })
        };
        let pool = ThreadPool::start(4, tasks).unwrap();
        assert_eq!(pool.run(Fib, 10).await.unwrap(), 55);
        pool.shutdown().await.unwrap();
    });
    eventually("all senders are gone", || {
        matches!(
            end.try_recv(),
            Err(std::sync::mpsc::TryRecvError::Disconnected)
        )
    });
}
