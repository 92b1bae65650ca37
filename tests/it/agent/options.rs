//! What the client wishes for single jobs, and what it does to them later.

use std::time::Duration;

use protocol::{FromWorker, JobOptions, Outcome, ToWorker};

use super::{Agent, WORKER, death, first_part, outcome, pair};
use crate::worker_protocol::client::{now, sh, value};

#[test]
fn a_job_that_is_cancelled_ends_whether_it_runs_or_not() {
    let mut agent = Agent::new(1);
    agent.run(1, "sleep_ms", &60_000_u64);
    agent.run(2, "fib", &1_u64);
    let whole = agent.assignment(3, "echo_text", "x");
    let (first, _) = first_part(&whole, 1);
    agent.send(ToWorker::RunMany(vec![first]));
    // The last one is with nobody yet.
    for job in [3, 2, 1] {
        agent.cancel(job);
        assert_eq!(outcome(&agent.answer(job)), Outcome::Cancelled, "job {job}");
    }
    // One that is over, and one that never was.
    agent.cancel(1);
    agent.cancel(77);
    assert_eq!(value::<u64>(&agent.ask("fib", &7_u64)), 13);
}

#[test]
fn a_job_that_does_not_listen_is_killed_after_its_grace_and_no_other_is_harmed() {
    let mut agent = Agent::new(2);
    let before: u32 = value(&agent.ask("pid", &()));
    for (job, grace_ms) in [(1, 0), (2, 50)] {
        let options = JobOptions {
            grace_ms,
            ..JobOptions::default()
        };
        agent.ask_with(job, options, "sleep_blind", &60_000_u64);
        let jobs = (10 * job..10 * job + 5).map(|n| agent.assignment(n, "fib", &7_u64));
        let jobs = jobs.collect();
        agent.send(ToWorker::RunMany(jobs));
        let start = now();
        agent.cancel(job);
        assert_eq!(outcome(&agent.answer(job)), Outcome::Cancelled);
        assert!(start.elapsed() < Duration::from_secs(5));
        for n in 10 * job..10 * job + 5 {
            assert_eq!(outcome(&agent.answer(n)), Outcome::Ok);
        }
    }
    assert!(before > 0);
}

#[test]
fn a_time_limit_counts_from_the_start_and_says_so() {
    let mut agent = Agent::new(1);
    let options = |time_limit_ms| JobOptions {
        time_limit_ms: Some(time_limit_ms),
        ..JobOptions::default()
    };
    // The second one's begins when the first one's has ended.
    agent.ask_with(1, options(3000), "sleep_blind", &60_000_u64);
    agent.ask_with(2, options(2000), "sleep_blind", &20_u64);
    let answer = agent.answer(1);
    assert_eq!(outcome(&answer), Outcome::TimedOut);
    let killed = death(&answer);
    assert_eq!(killed.message, "timed out after 3s");
    let usage = answer.header.usage;
    assert_eq!(killed.signal, Some(libc::SIGKILL), "{killed:?} {usage:?}");
    assert_eq!(outcome(&agent.answer(2)), Outcome::Ok);
    // One that listens in its grace costs no worker.
    let before: u32 = value(&agent.ask("pid", &()));
    let options = JobOptions {
        grace_ms: 20_000,
        retries: 1,
        ..options(1000)
    };
    agent.ask_with(3, options, "sleep_ms", &60_000_u64);
    let answer = agent.answer(3);
    assert_eq!(outcome(&answer), Outcome::TimedOut);
    assert_eq!((death(&answer).signal, death(&answer).attempts), (None, 2));
    assert_eq!(value::<u32>(&agent.ask("pid", &())), before);
}

#[test]
fn what_has_not_started_can_be_had_back_and_what_runs_cannot() {
    let mut agent = Agent::new(1);
    agent.run(1, "print_then_sleep", &("up", 60_000_u64));
    assert_eq!(agent.output(1), b"up\n");
    let whole = agent.assignment(90, "echo_text", "x");
    let (first, _) = first_part(&whole, 1);
    let mut jobs: Vec<_> = (2..=50)
        .map(|n| agent.assignment(n, "fib", &1_u64))
        .collect();
    jobs.push(first);
    agent.send(ToWorker::RunMany(jobs));
    agent.recall((1..=50).chain([90, 77]));
    agent.recall([2, 3]);
    let mut back = agent.recalled();
    back.sort_unstable();
    assert_eq!(back, (2..=50).chain([90]).collect::<Vec<_>>());
    assert_eq!(agent.recalled(), [0_u64; 0]);
    // They have not been tried, and may be sent again as they are.
    agent.cancel(1);
    assert_eq!(outcome(&agent.answer(1)), Outcome::Cancelled);
    let jobs = (2..=50)
        .map(|n| agent.assignment(n, "fib", &1_u64))
        .collect();
    agent.send(ToWorker::RunMany(jobs));
    for n in 2..=50 {
        assert_eq!(outcome(&agent.answer(n)), Outcome::Ok);
    }
}

#[test]
fn of_many_that_are_wanted_back_each_is_answered_or_given_back() {
    let mut agent = Agent::new(2);
    let jobs = (1..=2000)
        .map(|n| agent.assignment(n, "fib", &40_u64))
        .collect();
    agent.send(ToWorker::RunMany(jobs));
    agent.recall(1..=2000);
    let back = agent.recalled();
    let mut ended = back.clone();
    agent.send(ToWorker::Drain);
    agent.wait();
    for message in agent.rest() {
        if let FromWorker::DoneMany(answers) = message {
            ended.extend(answers.iter().map(|answer| answer.header.job.0));
        }
    }
    ended.sort_unstable();
    assert_eq!(ended, (1..=2000).collect::<Vec<_>>());
}

#[test]
fn higher_priorities_go_first() {
    let mut agent = Agent::new(1);
    agent.run(1, "print_then_sleep", &("up", 60_000_u64));
    assert_eq!(agent.output(1), b"up\n");
    for (job, priority) in [(2, 0), (3, 0), (4, -1), (5, 7)] {
        let options = JobOptions {
            priority,
            ..JobOptions::default()
        };
        agent.ask_with(job, options, "fib", &1_u64);
    }
    agent.send(ToWorker::Ping(1));
    agent.find(|m| (*m == FromWorker::Pong(1)).then_some(()));
    agent.cancel(1);
    let mut order = Vec::new();
    while order.len() < 5 {
        let answers = agent.find(|m| match m {
            FromWorker::DoneMany(answers) => Some(answers.clone()),
            _ => None,
        });
        order.extend(answers.iter().map(|answer| answer.header.job.0));
    }
    let place = |job| order.iter().position(|&j| j == job);
    assert!(place(5) < place(3) && place(3) < place(4), "{order:?}");
}

#[test]
fn it_has_more_workers_or_fewer_when_it_is_asked_for_that() {
    let mut agent = Agent::new(1);
    agent.send(ToWorker::Resize(3));
    for job in 1..=3 {
        agent.run(job, "print_then_sleep", &("up", 60_000_u64));
    }
    (1..=3).for_each(|job| assert_eq!(agent.output(job), b"up\n"));
    agent.send(ToWorker::Resize(1));
    (1..=3).for_each(|job| agent.cancel(job));
    (1..=3).for_each(|job| drop(agent.answer(job)));
    let env = &agent.env;
    let workers = || env.processes().len();
    orchestrator_tests::eventually("one is left beside the agent", || workers() == 2);
    assert_eq!(value::<u64>(&agent.ask("fib", &7_u64)), 13);
    // Nobody has so many.
    agent.send(ToWorker::Resize(1_000_000));
    assert_eq!(value::<u64>(&agent.ask("fib", &7_u64)), 13);
    agent.send(ToWorker::Drain);
    let said = agent.ends_with(0);
    assert!(
        said.starts_with("orchestrator agent: resize to 1000000: "),
        "{said}"
    );
}

#[test]
fn workers_come_with_the_jobs_and_go_without() {
    let options = [
        "--workers",
        "3",
        "--min-workers",
        "1",
        "--idle-after",
        "0.05",
    ];
    let mut agent = Agent::of(&[WORKER], &options);
    assert_eq!(agent.ready.slots, 3);
    let workers = |agent: &Agent| agent.env.processes().len() - 1;
    assert_eq!(workers(&agent), 1);
    for job in 1..=3 {
        agent.run(job, "print_then_sleep", &("up", 60_000_u64));
    }
    (1..=3).for_each(|job| assert_eq!(agent.output(job), b"up\n"));
    assert_eq!(workers(&agent), 3);
    (1..=3).for_each(|job| agent.cancel(job));
    (1..=3).for_each(|job| drop(agent.answer(job)));
    orchestrator_tests::eventually("they have gone", || workers(&agent) == 1);
    assert_eq!(value::<u64>(&agent.ask("fib", &7_u64)), 13);
}

#[test]
fn nothing_starts_in_a_pause_and_all_else_is_heard() {
    let mut agent = Agent::of(&[], &["--workers", "1"]);
    agent.run(1, "command", &sh("echo up; exec sleep 1000"));
    assert_eq!(agent.output(1), b"up\n");
    agent.send(ToWorker::Pause);
    agent.run(2, "command", &sh("echo never"));
    agent.recall([2]);
    assert_eq!(agent.recalled(), [2]);
    agent.cancel(1);
    assert_eq!(outcome(&agent.answer(1)), Outcome::Cancelled);
    agent.run(3, "command", &sh("echo later"));
    agent.send(ToWorker::Ping(1));
    agent.find(|m| (*m == FromWorker::Pong(1)).then_some(()));
    agent.send(ToWorker::Resume);
    assert_eq!(agent.output(3), b"later\n");
    agent.answer(3);
    assert_eq!(pair(3).0.0, 3);
}
