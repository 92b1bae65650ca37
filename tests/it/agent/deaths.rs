//! Workers that die, and what the client learns of that.

use orchestrator_tests::env::elapsed_until;
use protocol::{FromWorker, JobOptions, Outcome, ToWorker};
use std::time::Duration;

use super::{Agent, ROGUE, WORKER, death, outcome};
use crate::worker_protocol::client::value;

#[test]
fn a_crash_costs_the_job_that_ran_and_says_how_and_no_other() {
    let mut agent = Agent::new(2);
    let mut jobs = Vec::new();
    for n in 1..=200 {
        jobs.push(match n {
            50 => agent.assignment(n, "die", "SIGSEGV"),
            100 => agent.assignment(n, "abort", &()),
            n => agent.assignment(n, "fib", &(n % 50)),
        });
    }
    agent.send(ToWorker::RunMany(jobs));
    for n in 1..=200 {
        let answer = agent.answer(n);
        let signal = match n {
            50 => libc::SIGSEGV,
            100 => libc::SIGABRT,
            _ => {
                assert_eq!(outcome(&answer), Outcome::Ok, "job {n}");
                continue;
            }
        };
        assert_eq!(outcome(&answer), Outcome::Crashed);
        let death = death(&answer);
        assert_eq!((death.signal, death.exit_code), (Some(signal), None));
        assert_eq!(death.attempts, 1);
        assert!(
            death.message.starts_with("its worker was killed by SIG"),
            "{death:?}"
        );
    }
}

#[test]
fn last_words_and_status_of_a_worker_come_with_its_job() {
    let script = [
        "greet",
        "hello",
        "ready:fib",
        "recv",
        "stderr:last words",
        "exit:7",
    ];
    let worker = [&[ROGUE][..], &script].concat();
    let mut agent = Agent::of(&worker, &["--workers", "1"]);
    let answer = agent.ask("fib", &1_u64);
    assert_eq!(outcome(&answer), Outcome::Crashed);
    let death = death(&answer);
    assert_eq!((death.exit_code, death.signal), (Some(7), None));
    assert_eq!(&death.stderr[..], b"last words\n");
    assert_eq!(death.message, "its worker ended with status 7");
    // They have come live as well, as everybody's.
    let said = agent.find(|m| match m {
        FromWorker::Output { job, data, .. } => Some((job.0, data.clone())),
        _ => None,
    });
    assert_eq!((said.0, &said.1[..]), (0, &b"last words\n"[..]));
}

#[test]
fn retries_are_the_agents_own_and_counted() {
    let mut agent = Agent::new(2);
    let options = JobOptions {
        retries: 1,
        ..JobOptions::default()
    };
    agent.ask_with(1, options, "abort", &());
    let answer = agent.answer(1);
    assert_eq!(outcome(&answer), Outcome::Crashed);
    assert_eq!(death(&answer).attempts, 2);
    let options = JobOptions {
        retries: 10,
        ..options
    };
    agent.ask_with(2, options, "abort", &());
    let answer = agent.answer(2);
    assert_eq!(outcome(&answer), Outcome::Quarantined);
    assert_eq!(death(&answer).attempts, 3);
    // A number in the pool is nobody's business.
    let (job, _): (u64, u32) = value(&agent.ask("which", &()));
    assert!(job > 0);
}

#[test]
fn workers_that_take_their_leave_never_end_the_pool() {
    // Told to go behind each job.
    let options = ["--workers", "3", "--max-jobs-per-worker", "1"];
    let mut agent = Agent::of(&[WORKER], &options);
    let jobs = (1..=30).map(|n| agent.assignment(n, "pid", &())).collect();
    agent.send(ToWorker::RunMany(jobs));
    let mut pids: Vec<u32> = (1..=30).map(|n| value(&agent.answer(n))).collect();
    pids.sort_unstable();
    pids.dedup();
    assert_eq!(pids.len(), 30);
    drop(agent);
    // Gone by themselves behind each job, all three at once.
    let script = ["greet", "hello", "ready:fib", "recv", "done", "bye"];
    let worker = [&[ROGUE][..], &script].concat();
    let mut agent = Agent::of(&worker, &["--workers", "3"]);
    for round in 0..5 {
        let jobs = (1..=3).map(|n| agent.assignment(10 * round + n, "fib", &1_u64));
        let jobs = jobs.collect();
        agent.send(ToWorker::RunMany(jobs));
        for n in 1..=3 {
            assert_eq!(outcome(&agent.answer(10 * round + n)), Outcome::Ok);
        }
    }
}

#[test]
fn a_worker_that_breaks_the_protocol_costs_its_job() {
    let script = ["greet", "hello", "ready:fib", "recv", "done-other", "hang"];
    let worker = [&[ROGUE][..], &script].concat();
    let mut agent = Agent::of(&worker, &["--workers", "1"]);
    let answer = agent.ask("fib", &1_u64);
    assert_eq!(outcome(&answer), Outcome::Crashed);
    assert!(
        death(&answer).message.contains("killed by SIGKILL"),
        "{:?}",
        death(&answer)
    );
}

#[test]
fn when_no_worker_can_be_started_one_line_says_why() {
    let script = ["stderr:no such library", "exit:3"];
    let worker = [&[ROGUE][..], &script].concat();
    let mut agent = Agent::launched(&worker, &["--workers", "2"]);
    agent.send(crate::worker_protocol::client::hello(
        protocol::LinkKind::Local,
    ));
    let said = agent.ends_with(125);
    let rogue = std::path::Path::new(ROGUE).display();
    assert!(
        said.starts_with(&format!(
            "error: worker `{rogue}` ended with status 3 before it was ready"
        )),
        "{said}"
    );
    assert!(said.contains("\n    no such library\n"), "{said}");
}

#[test]
fn a_start_that_fails_ends_the_agent_with_the_reason() {
    let Agent { client, env } = Agent::launched(&[WORKER], &["--workers", "2"]);
    let init = protocol::Encoding::Bincode.encode("fail").unwrap();
    let mut agent = Agent { client, env };
    agent.introduce(Some(&init));
    let said = agent.ends_with(125);
    assert!(said.contains("no such model"), "{said}");
}

#[test]
fn when_no_worker_can_be_kept_alive_its_jobs_are_lost_and_it_ends() {
    // The first is good for a while, what follows is not: its file is gone.
    let env = orchestrator_tests::TestEnv::new();
    let flag = env.path().join("flag");
    let text = format!(
        "#!/bin/sh\nif mkdir {} 2>/dev/null; then exec {WORKER}; fi\necho gone >&2\nexit 4\n",
        flag.display()
    );
    let script = env.file("worker.sh", text);
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&script, mode).unwrap();
    let mut agent = Agent::of(&[script.to_str().unwrap()], &["--workers", "1"]);
    // Together: soon after the first it does not listen any more.
    let jobs = [
        agent.assignment(1, "abort", &()),
        agent.assignment(2, "fib", &1_u64),
    ];
    agent.send(ToWorker::RunMany(jobs.into()));
    assert_eq!(outcome(&agent.answer(1)), Outcome::Crashed);
    let answer = agent.answer(2);
    assert_eq!(outcome(&answer), Outcome::Lost);
    assert_eq!(death(&answer).message, "was lost: the pool ended first");
    let said = agent.ends_with(125);
    assert!(said.contains("\n    gone\n"), "{said}");
}

#[test]
fn a_job_that_takes_too_much_memory_is_oom_and_its_neighbours_are_not() {
    let mut agent = Agent::new(2);
    let options = JobOptions {
        memory_limit: Some(100 << 20),
        ..JobOptions::default()
    };
    agent.ask_with(1, options, "hoard", &(200_u64 << 20, 60_000_u64));
    agent.ask_with(2, options, "hoard", &(1_u64 << 20, 200_u64));
    assert_eq!(outcome(&agent.answer(2)), Outcome::Ok);
    let answer = agent.answer(1);
    assert_eq!(outcome(&answer), Outcome::Oom);
    let death = death(&answer);
    assert!(
        death.message.contains("more than its limit of 104857600"),
        "{death:?}"
    );
    assert_eq!(death.signal, Some(libc::SIGKILL));
    let options = JobOptions {
        retries: 1,
        ..options
    };
    agent.ask_with(3, options, "hoard", &(200_u64 << 20, 60_000_u64));
    let answer = agent.answer(3);
    assert_eq!(outcome(&answer), Outcome::Oom);
    assert_eq!(super::death(&answer).attempts, 2);
}

#[test]
fn nothing_is_left_within_a_second_when_it_is_killed_or_its_client_is_gone() {
    for kill in [true, false] {
        let mut agent = Agent::new(2);
        agent.run(1, "sleep_blind", &60_000_u64);
        let job = agent.assignment(
            2,
            "command",
            &crate::worker_protocol::client::sh(&format!(
                "{}trap '' TERM; setsid sleep 1000 & echo up; while :; do sleep 1; done",
                agent.env.life().open()
            )),
        );
        agent.send(ToWorker::RunMany(vec![job]));
        assert_eq!(agent.output(2), b"up\n");
        if kill {
            agent.child.kill().unwrap();
            agent.child.wait().unwrap();
        } else {
            // That is what its death is.
            agent.close();
            agent.ends_with(0);
        }
        let gone = || agent.env.processes().is_empty() && agent.env.life().is_over();
        let took = elapsed_until(Duration::from_secs(1), gone);
        assert!(took.is_some(), "{:?} lives", agent.env.processes());
    }
}
