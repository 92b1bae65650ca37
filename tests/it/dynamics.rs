//! A pool while it runs: workers that are replaced, ended and added, jobs that
//! overtake others, and the numbers about all that.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::stat::Mode;
use orchestrator::{
    CommandSpec, EventKind, JobError, Pool, PoolConfig, PoolError, Program, RawJob, Reports, Stats,
    Verdict,
};
use orchestrator_tests::TestEnv;
use orchestrator_tests::tasks::*;

use crate::pool::{WORKER, all, block_on, rogues};

const MS: Duration = Duration::from_millis(1);
const MIB: u64 = 1 << 20;

fn config(env: &TestEnv, workers: usize) -> PoolConfig {
    PoolConfig {
        workers,
        ..PoolConfig::new(env.launch(WORKER))
    }
}

/// Waits until the numbers are like that.
async fn until(pool: &Pool, wanted: impl Fn(&Stats) -> bool) -> Stats {
    loop {
        let stats = pool.stats().await;
        if wanted(&stats) {
            return stats;
        }
        tokio::time::sleep(MS).await;
    }
}

/// A gate behind which jobs wait, and which all of them pass when it opens.
struct Barrier(PathBuf);

impl Barrier {
    fn new(dir: &Path) -> Barrier {
        let path = dir.join("gate");
        nix::unistd::mkfifo(&path, Mode::S_IRWXU).unwrap();
        Barrier(path)
    }

    fn input(&self) -> (Option<String>, Option<String>) {
        (Some(self.0.to_str().unwrap().to_owned()), None)
    }

    /// Lets those pass that run; others that come later wait again.
    fn open(&self) {
        let mut both = std::fs::File::options();
        drop(both.read(true).write(true).open(&self.0).unwrap());
    }

    /// Lets everybody pass, also those who come later.
    async fn open_for(&self, pool: &Pool, jobs: u64) {
        until(pool, |stats| {
            self.open();
            stats.ended("ok") == jobs
        })
        .await;
    }
}

#[test]
fn a_pool_is_resized_while_its_jobs_run_and_none_is_harmed() {
    let env = TestEnv::new();
    let gate = Barrier::new(env.path());
    block_on(async {
        let pool = Pool::start(config(&env, 1)).unwrap();
        let mut jobs = Vec::new();
        for _ in 0..4 {
            jobs.push(pool.submit(Gate, gate.input()).await.unwrap());
        }
        until(&pool, |stats| stats.running == 1).await;
        pool.resize(3).unwrap();
        let stats = until(&pool, |stats| stats.running == 3).await;
        assert_eq!((stats.workers, stats.waiting), (3, 1));
        pool.resize(1).unwrap();
        let stats = pool.stats().await;
        assert_eq!((stats.running, stats.workers), (3, 3), "they run on");
        gate.open_for(&pool, 4).await;
        for job in jobs {
            job.await.unwrap();
        }
        let stats = until(&pool, |stats| stats.workers == 1).await;
        assert_eq!((stats.workers_started, stats.workers_died), (3, 0));
        pool.control().resize(2).unwrap();
        until(&pool, |stats| stats.idle == 2).await;
        let none = pool.resize(0).unwrap_err();
        assert!(matches!(none, PoolError::Config(_)), "{none}");
        pool.shutdown().await.unwrap();
    });
}

#[test]
fn a_worker_is_replaced_after_as_many_jobs_as_it_may_do() {
    let env = TestEnv::new();
    block_on(async {
        let mut config = config(&env, 1);
        config.max_jobs_per_worker = Some(2);
        let pool = Pool::start(config).unwrap();
        let mut pids = Vec::new();
        for _ in 0..6 {
            pids.push(pool.run(Pid, ()).await.unwrap());
        }
        assert_eq!([pids[0], pids[2], pids[4]], [pids[1], pids[3], pids[5]]);
        pids.dedup();
        assert_eq!(pids.len(), 3);
        let stats = pool.stats().await;
        assert_eq!((stats.workers_recycled, stats.workers_died), (3, 0));
        pool.shutdown().await.unwrap();
    });
}

#[test]
fn a_worker_for_one_job_gets_exactly_one_however_many_wait() {
    let env = TestEnv::new();
    block_on(async {
        let mut config = config(&env, 2);
        config.max_jobs_per_worker = Some(1);
        let pool = Pool::start(config).unwrap();
        let mut results = pool.map(Pid, vec![(); 40]);
        let mut jobs: HashMap<u32, u32> = HashMap::new();
        while let Some(pid) = results.next().await {
            *jobs.entry(pid.unwrap()).or_default() += 1;
        }
        drop(results);
        assert_eq!(jobs.len(), 40, "{jobs:?}");
        assert_eq!(pool.stats().await.workers_died, 0);
        pool.shutdown().await.unwrap();
    });
}

#[test]
fn no_worker_may_be_allowed_no_job() {
    let env = TestEnv::new();
    block_on(async {
        let mut config = config(&env, 1);
        config.max_jobs_per_worker = Some(0);
        let error = Pool::start(config).unwrap_err();
        assert!(error.to_string().contains("max_jobs_per_worker"), "{error}");
    });
}

#[test]
fn f023_a_worker_that_a_function_made_too_large_is_replaced_and_no_other() {
    let env = TestEnv::new();
    block_on(async {
        let mut config = config(&env, 1);
        config.max_rss_per_worker = Some(64 * MIB);
        let pool = Pool::start(config).unwrap();
        let first = pool.run(Swell, MIB).await.unwrap();
        // What a command takes is not its worker's.
        let text = "head -c 100000000 /dev/zero | tail -c 100000000 | wc -c";
        let spec = CommandSpec::new(Program::Shell {
            text: serde_bytes::ByteBuf::from(text),
            args: Vec::new(),
        });
        let command = RawJob::command(&spec).unwrap();
        let report = pool.submit_raw(command).await.unwrap().await.unwrap();
        assert_eq!(report.verdict, Verdict::Ok);
        assert!(report.usage.max_rss_kib > 64 * 1024, "{:?}", report.usage);
        assert_eq!(pool.run(Swell, 128 * MIB).await.unwrap(), first);
        assert_ne!(pool.run(Pid, ()).await.unwrap(), first);
        let stats = pool.stats().await;
        assert_eq!((stats.workers_recycled, stats.workers_died), (1, 0));
        pool.shutdown().await.unwrap();
    });
}

#[test]
fn a_large_orchestrator_does_not_make_its_workers_too_large() {
    // A process inherits the largest size of the one that started it.
    std::hint::black_box(vec![1u8; 200 * MIB as usize]);
    let env = TestEnv::new();
    block_on(async {
        let mut config = config(&env, 1);
        config.max_rss_per_worker = Some(64 * MIB);
        let pool = Pool::start(config).unwrap();
        let first = pool.run(Pid, ()).await.unwrap();
        let job = RawJob::new(&Noop, &()).unwrap();
        let report = pool.submit_raw(job).await.unwrap().await.unwrap();
        assert!(report.usage.max_rss_kib > 64 * 1024, "{:?}", report.usage);
        assert_eq!(pool.run(Swell, 128 * MIB).await.unwrap(), first);
        assert_ne!(pool.run(Pid, ()).await.unwrap(), first);
        pool.shutdown().await.unwrap();
    });
}

#[test]
fn idle_workers_end_after_their_time_and_come_back_for_jobs() {
    let env = TestEnv::new();
    block_on(async {
        let mut config = config(&env, 3);
        config.idle_timeout = Some(20 * MS);
        let pool = Pool::start(config).unwrap();
        let first = pool.run(Pid, ()).await.unwrap();
        let stats = until(&pool, |stats| stats.workers == 0).await;
        assert_eq!((stats.workers_started, stats.workers_died), (3, 0));
        assert_ne!(pool.run(Pid, ()).await.unwrap(), first);
        assert_eq!(pool.stats().await.workers_started, 4, "one for one job");
        pool.shutdown().await.unwrap();
    });
}

#[test]
fn urgent_jobs_overtake_and_every_report_carries_its_label() {
    let env = TestEnv::new();
    let gate = Barrier::new(env.path());
    block_on(async {
        let mut config = config(&env, 1);
        config.ahead = Duration::ZERO;
        let pool = Pool::start(config).unwrap();
        let (reports, mut ended) = Reports::channel();
        let mut blocker = RawJob::new(&Gate, &gate.input()).unwrap();
        blocker.label = Some("the blocker".into());
        pool.submit_to(blocker, &reports).await.unwrap();
        until(&pool, |stats| stats.running == 1).await;
        let status = pool.control().status().await;
        assert_eq!(status.running[0].label.as_deref(), Some("the blocker"));
        for (label, priority) in [("a", 0), ("b", -1), ("c", 5), ("d", 0), ("e", 5)] {
            let mut job = RawJob::new(&Noop, &()).unwrap();
            job.priority = priority;
            job.label = Some(label.into());
            pool.submit_to(job, &reports).await.unwrap();
        }
        until(&pool, |stats| stats.waiting == 5).await;
        gate.open_for(&pool, 6).await;
        let mut order = Vec::new();
        for _ in 0..6 {
            order.extend(ended.next().await.unwrap().label);
        }
        let order: Vec<&str> = order.iter().map(|label| &**label).collect();
        assert_eq!(order, ["the blocker", "c", "e", "a", "d", "b"]);
        pool.shutdown().await.unwrap();
    });
}

#[test]
fn a_pool_counts_what_happens_in_it() {
    let env = TestEnv::new();
    block_on(async {
        let mut config = config(&env, 2);
        config.retry_backoff = Duration::from_secs(3600);
        let pool = Pool::start(config).unwrap();
        for _ in 0..3 {
            pool.run(Noop, ()).await.unwrap();
        }
        let mut failing = RawJob::new(&Fail, &()).unwrap();
        failing.retries = Some(2);
        failing.retry_backoff = Some(Duration::ZERO);
        let report = pool.submit_raw(failing).await.unwrap().await.unwrap();
        assert_eq!(report.attempts, 3, "without the pool's pause");
        pool.run(Abort, ()).await.unwrap_err();
        let stats = until(&pool, |stats| stats.idle == 2).await;
        assert_eq!((stats.workers, stats.busy, stats.starting), (2, 0, 0));
        assert_eq!((stats.waiting, stats.running), (0, 0));
        let ended = ["ok", "failed", "crashed"].map(|word| stats.ended(word));
        assert_eq!((stats.submitted, ended), (5, [3, 1, 1]));
        assert_eq!(stats.ended_in_all(), 5);
        assert_eq!((stats.retries, stats.workers_started), (2, 3));
        assert_eq!((stats.workers_died, stats.workers_recycled), (1, 0));
        let control = pool.control();
        pool.shutdown().await.unwrap();
        assert_eq!(control.stats().await, Stats::default());
    });
}

#[test]
fn a_busy_worker_hears_that_its_job_is_the_last() {
    // It answers only when it was told to drain.
    let steps = "greet hello ready:noop recv drain done bye exit:0";
    block_on(async {
        let mut config = rogues(steps);
        config.max_jobs_per_worker = Some(1);
        let pool = Pool::start(config).unwrap();
        pool.run(Noop, ()).await.unwrap();
        pool.shutdown_now().await.unwrap();

        let pool = Pool::start(rogues(steps)).unwrap();
        let last = pool.submit(Noop, ()).await.unwrap();
        pool.shutdown().await.unwrap();
        last.await.unwrap();
    });
}

#[test]
fn a_worker_that_dies_of_its_last_job_has_not_ended_as_it_was_told() {
    block_on(async {
        let mut config = rogues("greet hello ready:noop recv drain kill");
        config.max_jobs_per_worker = Some(1);
        let (pool, events) = Pool::start_observed(config).unwrap();
        let error = pool.run(Noop, ()).await.unwrap_err();
        assert!(matches!(error, JobError::Crashed(_)), "{error}");
        let stats = pool.stats().await;
        assert_eq!((stats.workers_died, stats.workers_recycled), (1, 1));
        pool.shutdown_now().await.unwrap();
        let why = |event: &EventKind| match event {
            EventKind::WorkerEnded { unexpected, .. } => unexpected.clone(),
            _ => None,
        };
        let unexpected: Vec<_> = all(events).await.iter().filter_map(why).collect();
        assert_eq!(unexpected.len(), 1, "{unexpected:?}");
        assert_eq!(&*unexpected[0], "was killed by SIGKILL");
    });
}

#[test]
fn the_job_that_began_last_makes_room_and_is_run_again_as_its_first_try() {
    let env = TestEnv::new();
    block_on(async {
        let pool = Pool::start(config(&env, 2)).unwrap();
        let control = pool.control();
        let sh = |text: &str| {
            pool.command(["/bin/sh", "-c", text])
                .current_dir(env.path())
        };
        // The first time for ever.
        let second = "echo $ORCHESTRATOR_ATTEMPT; test -e twice && exit; : > twice; sleep 600";
        let first = sh("until test -e go; do sleep 0.01; done");
        let jobs = async { tokio::join!(first, sh(second)) };
        let others = async {
            until(&pool, |stats| {
                stats.running == 2 && env.path().join("twice").exists()
            })
            .await;
            let job = control.put_back_youngest().await.unwrap();
            until(&pool, |stats| stats.ended("ok") == 1).await;
            assert!(control.put_back_youngest().await.is_none(), "only one runs");
            env.file("go", "");
            job
        };
        let ((first, second), job) = tokio::join!(jobs, others);
        first.unwrap();
        assert_eq!(second.unwrap().stdout, "1\n", "what it said before is void");
        assert_eq!(job.attempt.0, 1);
        let stats = pool.stats().await;
        assert_eq!((stats.retries, stats.workers_died), (0, 0));
        pool.shutdown().await.unwrap();
    });
}
