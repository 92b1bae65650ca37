//! Workers that die, and what that costs.

use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid as ProcessId;
use orchestrator::{EventKind, JobError, Pool, Reports, Verdict};
use orchestrator_tests::tasks::*;
use orchestrator_tests::{TestEnv, eventually};

use super::{block_on, config, exists};

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
        let (pool, mut events) = Pool::start_observed(config(1)).unwrap();
        let pid = pool.run(Pid, ()).await.unwrap();
        let (reports, mut verdicts) = Reports::channel();
        let mut first = None;
        for n in 0..1_000 {
            let job = if n == 0 {
                orchestrator::RawJob::new(&SleepBlind, &60_000).unwrap()
            } else {
                orchestrator::RawJob::new(&Fib, &20).unwrap()
            };
            let id = pool.submit_to(job, &reports).await.unwrap();
            first.get_or_insert(id);
        }
        // A job that it has not begun would cost nothing.
        while !matches!(
            events.next().await.unwrap().kind,
            EventKind::JobStarted { job, .. } if Some(job) == first
        ) {}
        drop(events);
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
