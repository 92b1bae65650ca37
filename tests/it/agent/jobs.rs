//! Jobs that end well, and what goes with them.

use std::collections::BTreeSet;

use bytes::{Bytes, BytesMut};
use orchestrator_tests::tasks::Point;
use protocol::{CREDIT, Encoding, FromWorker, LinkKind, MAX_CHUNK, Outcome, Stream, ToWorker};
use serde_bytes::ByteBuf;

use super::{Agent, WORKER, first_part, outcome, pair};
use crate::worker_protocol::client::{sh, value};

#[test]
fn an_agent_is_a_worker_with_the_tasks_of_its_workers() {
    let mut agent = Agent::new(3);
    assert_eq!(agent.ready.slots, 3);
    assert_eq!(agent.ready.status_fd, None);
    assert_eq!(agent.ready.pid, agent.child.id());
    let mirrored: Point = value(&agent.ask(
        "mirror",
        &Point {
            x: 3,
            label: "x".into(),
        },
    ));
    assert_eq!(mirrored.x, -3);
    // Whatever the encoding: to the agent they are bytes.
    let job = agent.encoded(2, "fib", Encoding::Json, &30_u64);
    agent.send(ToWorker::RunMany(vec![job]));
    assert_eq!(agent.answer(2).payload, "832040");
    agent.send(ToWorker::Drain);
    // Not the next: of a job that has taken its time, its start was told as well.
    agent.find(|m| (*m == FromWorker::Bye).then_some(()));
    assert_eq!(agent.ends_with(0), "");
}

#[test]
fn without_a_worker_of_its_own_it_runs_commands() {
    let mut agent = Agent::of(&[], &["--workers", "1"]);
    assert_eq!(agent.ready.tasks, ["command"]);
    let ran = agent.command(&sh("echo out; echo err >&2; exit 3"));
    assert_eq!(ran.outcome(), Outcome::Failed(3));
    assert_eq!(
        (&ran.stdout[..], &ran.stderr[..]),
        (&b"out\n"[..], &b"err\n"[..])
    );
}

#[test]
fn many_jobs_are_each_answered_once() {
    const JOBS: u64 = 20_000;
    let mut agent = Agent::new(2);
    for first in (1..=JOBS).step_by(500) {
        let jobs = (first..first + 500).map(|n| agent.assignment(n, "fib", &(n % 50)));
        let jobs = jobs.collect();
        agent.send(ToWorker::RunMany(jobs));
    }
    let mut seen = BTreeSet::new();
    while (seen.len() as u64) < JOBS {
        let answers = agent.find(|m| match m {
            FromWorker::DoneMany(answers) => Some(answers.clone()),
            _ => None,
        });
        for answer in answers {
            assert_eq!(outcome(&answer), Outcome::Ok);
            assert!(seen.insert(answer.header.job.0), "{answer:?}");
        }
    }
    assert_eq!(seen.last(), Some(&JOBS));
}

#[test]
fn an_answer_is_not_held_back_by_a_job_that_runs_on() {
    let mut agent = Agent::new(2);
    agent.run(1, "sleep_ms", &60_000_u64);
    agent.run(2, "fib", &7_u64);
    assert_eq!(value::<u64>(&agent.answer(2)), 13);
    agent.cancel(1);
    assert_eq!(outcome(&agent.answer(1)), Outcome::Cancelled);
}

/// Takes a result that may come in chunks, and credits them one by one.
fn take(agent: &mut Agent, job: u64) -> Bytes {
    let mut whole = BytesMut::new();
    let mut uncredited = 0;
    loop {
        let message = agent.find(|m| match m {
            FromWorker::ResultChunk { job: j, .. } if j.0 == job => Some(m.clone()),
            FromWorker::DoneMany(answers) if answers[0].header.job.0 == job => Some(m.clone()),
            _ => None,
        });
        match message {
            FromWorker::ResultChunk { data, .. } => {
                assert!(!data.is_empty() && data.len() <= MAX_CHUNK);
                uncredited += 1;
                assert!(uncredited <= CREDIT, "more than was credited");
                whole.extend_from_slice(&data);
                // Not all at once, so that it has to wait.
                if uncredited == CREDIT {
                    let (job, attempt) = pair(job);
                    let chunks = uncredited;
                    agent.send(ToWorker::Credit {
                        job,
                        attempt,
                        chunks,
                    });
                    uncredited = 0;
                }
            }
            FromWorker::DoneMany(answers) => {
                assert_eq!(outcome(&answers[0]), Outcome::Ok);
                whole.extend_from_slice(&answers[0].payload);
                return whole.freeze();
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn large_inputs_and_results_pass_in_chunks_with_credit_and_hold_nobody_up() {
    let mut agent = Agent::new(2);
    let data: Vec<u8> = (0..9 * MAX_CHUNK + 17).map(|n| (n / 999) as u8).collect();
    let whole = agent.assignment(1, "echo", &ByteBuf::from(data.clone()));
    let (first, mut rest) = first_part(&whole, 100);
    agent.send(ToWorker::RunMany(vec![first]));
    let mut credit = CREDIT;
    while !rest.is_empty() {
        if credit == 0 {
            // Others pass meanwhile.
            assert_eq!(value::<u64>(&agent.ask("fib", &7_u64)), 13);
            credit += agent.find(|m| match m {
                FromWorker::Credit { job, chunks, .. } if job.0 == 1 => Some(*chunks),
                _ => None,
            });
        }
        let (job, attempt) = pair(1);
        let data = rest.split_to(rest.len().min(MAX_CHUNK));
        agent.send(ToWorker::InputChunk { job, attempt, data });
        credit -= 1;
    }
    let result = take(&mut agent, 1);
    let back: ByteBuf = Encoding::Bincode.decode(&result).unwrap();
    assert!(back == data);
}

#[test]
fn large_results_wait_for_their_credit_and_small_ones_pass_them() {
    let mut agent = Agent::new(2);
    for job in 1..=3 {
        agent.run(job, "big", &(8 * MAX_CHUNK as u64));
    }
    assert_eq!(value::<u64>(&agent.ask("fib", &7_u64)), 13);
    for job in 1..=3 {
        assert_eq!(take(&mut agent, job).len(), 8 * MAX_CHUNK + 8);
    }
}

#[test]
fn what_jobs_print_comes_live_and_before_their_answers() {
    let mut agent = Agent::new(2);
    agent.run(1, "print_then_sleep", &("now", 60_000_u64));
    assert_eq!(agent.output(1), b"now\n");
    agent.run(2, "print", &("x", 3000_u32));
    let ran = agent.ran(2);
    assert_eq!(ran.stdout, b"x\n".repeat(3000));
    agent.cancel(1);
    agent.answer(1);
    // What belongs to no job passes as that.
    let when = agent.env.path().join("ended");
    agent.run(3, "print_later", &("late", when.to_str().unwrap()));
    agent.answer(3);
    agent.env.file("ended", "");
    let late = agent.find(|m| match m {
        FromWorker::Output {
            job, stream, data, ..
        } => Some((*job, *stream, data.clone())),
        _ => None,
    });
    assert_eq!(late, (pair(0).0, Stream::Stdout, Bytes::from("late\n")));
}

#[test]
fn init_data_reaches_every_worker_also_later_ones() {
    let init = Encoding::Bincode.encode("hello").unwrap();
    let options = ["--workers", "1", "--max-jobs-per-worker", "1"];
    let mut agent = Agent::with(&[WORKER], &options, Some(&init));
    for _ in 0..3 {
        let (times, data): (u32, String) = value(&agent.ask("started", &()));
        assert_eq!((times, data.as_str()), (1, "hello"));
    }
}

#[test]
fn blobs_are_at_every_worker_before_the_jobs_behind_them_replacements_included() {
    let mut agent = Agent::new(2);
    let blob = |hash, len: usize, more| ToWorker::Blob {
        hash,
        data: Bytes::from(vec![7; len]),
        more,
    };
    agent.send(blob(1, MAX_CHUNK, true));
    agent.send(blob(2, 5, false));
    agent.send(blob(1, 10, false));
    let ask =
        |agent: &mut Agent, hash: u64| -> Option<u64> { value(&agent.ask("blob_length", &hash)) };
    for _ in 0..5 {
        assert_eq!(ask(&mut agent, 1), Some(MAX_CHUNK as u64 + 10));
        assert_eq!(ask(&mut agent, 2), Some(5));
        // The next one has to be a replacement, or the other one.
        assert_eq!(outcome(&agent.ask("abort", &())), Outcome::Crashed);
    }
    agent.send(blob(3, 6, false));
    assert_eq!(ask(&mut agent, 3), Some(6));
    assert_eq!(ask(&mut agent, 4), None);
}

#[test]
fn a_remote_link_is_acknowledged_and_pings_are_answered() {
    let Agent { client, env } = Agent::launched(&[WORKER], &["--workers", "1"]);
    let client = client.met(LinkKind::Remote, None);
    let mut agent = Agent { client, env };
    // An answer that comes soon does instead, or another word.
    agent.run(1, "fib", &7_u64);
    agent.answer(1);
    agent.run(2, "sleep_ms", &60_000_u64);
    agent.started(2);
    // Of one that waits there is none.
    agent.run(3, "fib", &7_u64);
    agent.find(|m| matches!(m, FromWorker::Ack(_)).then_some(()));
    agent.cancel(2);
    (2..=3).for_each(|job| drop(agent.answer(job)));
    agent.send(ToWorker::Ping(5));
    agent.find(|m| (*m == FromWorker::Pong(5)).then_some(()));
}

#[test]
fn long_jobs_say_that_they_have_started_and_how_far_they_are() {
    let mut agent = Agent::new(1);
    agent.run(1, "sleep_ms", &60_000_u64);
    agent.started(1);
    agent.cancel(1);
    agent.answer(1);
    agent.run(2, "progress", &3_u64);
    // A worker does not say it more than some ten times a second.
    let first = agent.find(|m| match m {
        FromWorker::Progress {
            job, done, total, ..
        } => Some((job.0, *done, *total)),
        _ => None,
    });
    assert_eq!(first, (2, 0, 3));
}

#[test]
fn a_task_that_nobody_offers_is_rejected_and_so_is_an_input_that_is_none() {
    let mut agent = Agent::new(1);
    let mut job = agent.assignment(1, "fib", &7_u64);
    job.header.task = 999;
    agent.send(ToWorker::RunMany(vec![job]));
    assert_eq!(outcome(&agent.answer(1)), Outcome::Rejected);
    agent.run(2, "fib", "no number");
    assert_eq!(outcome(&agent.answer(2)), Outcome::Rejected);
    let failed = agent.ask("fail", &());
    assert_eq!(outcome(&failed), Outcome::Failed(1));
    let error = crate::worker_protocol::client::error(&failed);
    assert_eq!(error.message, "cannot load");
    assert_eq!(error.chain, ["disk on fire"]);
}
