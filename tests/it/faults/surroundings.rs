//! Functions that change what belongs to the whole worker process.

use std::collections::BTreeSet;

use orchestrator::{EventKind, Pool, RawJob, Reports, Verdict};
use orchestrator_tests::tasks::*;

use super::{block_on, config};
use crate::pool::all;

/// Runs this change among ordinary jobs on one worker; gives what workers
/// printed and how many there were.
fn after_changes(what: &str, to: &str) -> (BTreeSet<String>, usize) {
    block_on(async {
        let (pool, events) = Pool::start_observed(config(1)).unwrap();
        let expected = pool.run(Surroundings, ()).await.unwrap();
        let (reports, mut ends) = Reports::channel();
        for n in 0..300 {
            // Those behind it in the queue are there when it is started.
            let job = match n % 100 {
                50 => RawJob::new(&Change, &(what.into(), to.into())).unwrap(),
                _ => RawJob::new(&Surroundings, &()).unwrap(),
            };
            pool.submit_to(job, &reports).await.unwrap();
        }
        for _ in 0..300 {
            let report = ends.next().await.unwrap();
            assert_eq!((report.verdict, report.attempts), (Verdict::Ok, 1));
            let result = report.result.bytes().unwrap();
            if !result.is_empty() {
                let seen: (String, u32, Option<String>) =
                    protocol::Encoding::Bincode.decode(&result).unwrap();
                assert_eq!(seen, expected);
            }
        }
        pool.shutdown().await.unwrap();
        let events = all(events).await;
        let printed = events.iter().filter_map(|event| match event {
            EventKind::WorkerPrinted { line, .. } => {
                Some(String::from_utf8(line.to_vec()).unwrap())
            }
            _ => None,
        });
        let workers = events
            .iter()
            .filter(|event| matches!(event, EventKind::WorkerSpawned { .. }));
        (printed.collect(), workers.count())
    })
}

#[test]
fn f062_directory_and_umask_are_put_back_after_a_function() {
    for (what, to) in [("cwd", "/"), ("umask", "077")] {
        let (printed, workers) = after_changes(what, to);
        assert_eq!((printed, workers), (BTreeSet::new(), 1), "{what}");
    }
}

#[test]
fn f062_a_function_that_changes_the_environment_costs_its_worker_and_no_job() {
    let (printed, workers) = after_changes("env", "x");
    let line = "worker: task `change` changed the environment; this worker is replaced";
    assert_eq!(printed, [line.to_owned()].into());
    assert_eq!(workers, 4);
}

#[test]
fn f062_an_environment_that_is_the_same_again_was_not_changed() {
    let (printed, workers) = after_changes("env and back", "x");
    assert_eq!((printed, workers), (BTreeSet::new(), 1));
}

#[test]
fn f062_making_a_tasks_state_may_change_the_surroundings_for_all() {
    block_on(async {
        let pool = Pool::start(config(1)).unwrap();
        let worker = pool.run(Pid, ()).await.unwrap();
        for _ in 0..3 {
            assert_eq!(pool.run(Settled, ()).await.unwrap().0, "/usr");
            assert_eq!(pool.run(Surroundings, ()).await.unwrap().0, "/usr");
        }
        assert_eq!(pool.run(Pid, ()).await.unwrap(), worker);
        pool.shutdown().await.unwrap();
    });
}
