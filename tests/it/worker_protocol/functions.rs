//! Registered functions: answers, failures, cancellation, output.

use std::time::Duration;

use bytes::Bytes;
use nix::sys::stat::Mode;
use protocol::{
    Attempt, Encoding, FromWorker, JobId, MAX_CHUNK, Outcome, Stream, TaskErrorKind, ToWorker,
};
use serde_bytes::ByteBuf;

use super::client::{Client, MAX_PAYLOAD, error, now, value};

#[test]
fn a_batch_is_answered_in_order_and_with_few_writes() {
    let mut client = Client::start();
    let jobs: Vec<_> = (1..=50)
        .map(|job| client.assignment(job, "fib", &job))
        .collect();
    let before = writes(client.ready.pid);
    client.send(ToWorker::RunMany(jobs));
    let mut answers = Vec::new();
    while answers.len() < 50 {
        match client.next() {
            FromWorker::DoneMany(some) => answers.extend(some),
            // A busy machine may make a job last, and the worker flush in between.
            FromWorker::Started { .. } => {}
            other => panic!("{other:?}"),
        }
    }
    let writes = writes(client.ready.pid) - before;
    assert!(writes < 25, "{writes} writes");
    let numbers: Vec<u64> = answers.iter().map(|a| a.header.job.0).collect();
    assert_eq!(numbers, (1..=50).collect::<Vec<_>>());
    assert_eq!(value::<u64>(&answers[9]), 55);
}

/// How often a process has written anything.
fn writes(pid: u32) -> u64 {
    let counts = std::fs::read_to_string(format!("/proc/{pid}/io")).unwrap();
    let count = counts.lines().find_map(|line| line.strip_prefix("syscw: "));
    count.unwrap().parse().unwrap()
}

#[test]
fn each_encoding_is_answered_in_kind() {
    let mut client = Client::start();
    let mut ask = |task: &str, encoding, input: &[u8]| {
        let mut job = client.encoded(1, task, Encoding::Raw, &ByteBuf::from(input));
        job.header.encoding = encoding;
        client.send(ToWorker::RunMany(vec![job]));
        let answer = client.answer(1);
        assert_eq!(answer.header.outcome, Outcome::Ok, "{:?}", error(&answer));
        answer.payload.to_vec()
    };
    assert_eq!(
        ask("echo_text", Encoding::Json, b"\"a\\u00e4\""),
        "\"aä\"".as_bytes()
    );
    assert_eq!(ask("echo_text", Encoding::Raw, b"plain"), b"plain");
    assert_eq!(ask("echo", Encoding::Raw, &[0, 255]), [0, 255]);
    assert_eq!(
        ask("mirror", Encoding::Json, br#"{"x": 4, "label": "p"}"#),
        br#"{"x":-4,"label":"p"}"#
    );
    assert_eq!(
        ask("fib", Encoding::Bincode, &10u64.to_le_bytes()),
        55u64.to_le_bytes()
    );
}

#[test]
fn input_that_cannot_be_decoded_is_rejected_with_its_place() {
    let mut client = Client::start();
    let mut job = client.encoded(1, "mirror", Encoding::Raw, "{\n \"x\": true}");
    job.header.encoding = Encoding::Json;
    client.send(ToWorker::RunMany(vec![job]));
    let answer = client.answer(1);
    assert_eq!(answer.header.outcome, Outcome::Rejected);
    assert_eq!(error(&answer).kind, TaskErrorKind::Undecodable);
    let text = error(&answer).message;
    assert!(
        text.contains("line 2 column 10") && text.contains("`mirror`"),
        "{text}"
    );

    let mut job = client.assignment(2, "noop", &());
    job.header.task = 4711;
    client.send(ToWorker::RunMany(vec![job]));
    let answer = client.answer(2);
    assert_eq!(answer.header.outcome, Outcome::Rejected);
    assert_eq!(error(&answer).kind, TaskErrorKind::UnknownTask);
    assert!(error(&answer).message.contains("4711"));
}

#[test]
fn a_panic_is_a_failure_with_message_and_place() {
    let mut client = Client::start();
    let answer = client.ask("panic", &"ouch");
    assert_eq!(answer.header.outcome, Outcome::Failed(101));
    let panic = error(&answer);
    assert_eq!(panic.kind, TaskErrorKind::Panic);
    assert_eq!(panic.message, "ouch");
    assert!(panic.location.unwrap().contains("test_worker.rs:"));
    assert_eq!(value::<u64>(&client.ask("fib", &10u64)), 55);
    client.send(ToWorker::Drain);
    assert!(client.wait().success());
    assert_eq!(client.stderr(), "");
}

#[test]
fn an_error_comes_with_its_causes() {
    let mut client = Client::start();
    let answer = client.ask("fail", &());
    assert_eq!(answer.header.outcome, Outcome::Failed(1));
    assert_eq!(error(&answer).to_string(), "cannot load: disk on fire");
    assert_eq!(error(&answer).kind, TaskErrorKind::Error);
}

#[test]
fn a_result_without_a_form_in_the_encoding_is_told_from_an_error_of_the_task() {
    let mut client = Client::start();
    let job = client.encoded(1, "which", Encoding::Raw, "");
    client.send(ToWorker::RunMany(vec![job]));
    let answer = client.answer(1);
    assert_eq!(answer.header.outcome, Outcome::Failed(1));
    assert_eq!(error(&answer).kind, TaskErrorKind::Unencodable);
}

#[test]
fn state_is_made_once_and_again_after_a_panic() {
    let mut client = Client::with(protocol::LinkKind::Local, Some(b"model"));
    let mut count = |n: u64| client.ask("counter", &n);
    assert_eq!(
        value::<(u64, u64, Vec<u8>)>(&count(1)),
        (1, 1, b"model".to_vec())
    );
    assert_eq!(value::<(u64, u64, Vec<u8>)>(&count(1)).0, 2);
    assert_eq!(count(0).header.outcome, Outcome::Failed(101));
    assert_eq!(
        value::<(u64, u64, Vec<u8>)>(&count(1)),
        (1, 2, b"model".to_vec())
    );

    let mut refusing = Client::with(protocol::LinkKind::Local, Some(b"refuse"));
    let answer = refusing.ask("counter", &1u64);
    assert_eq!(answer.header.outcome, Outcome::Failed(1));
    assert_eq!(error(&answer).message, "no such model");
}

#[test]
fn queued_jobs_are_cancelled_and_recalled_while_another_runs() {
    let mut client = Client::start();
    let mut jobs = vec![client.assignment(1, "sleep_ms", &60_000u64)];
    jobs.extend((2..=5).map(|job| client.assignment(job, "noop", &())));
    client.send(ToWorker::RunMany(jobs));
    client.started(1);
    client.cancel(3);
    assert_eq!(client.answer(3).header.outcome, Outcome::Cancelled);
    let recall = [1, 4, 5, 9].map(|job| (JobId(job), Attempt::FIRST));
    client.send(ToWorker::Recall(recall.into()));
    match client.next() {
        FromWorker::Recalled(jobs) => assert_eq!(jobs, recall[1..3]),
        other => panic!("{other:?}"),
    }
    client.cancel(1);
    assert_eq!(client.answer(1).header.outcome, Outcome::Cancelled);
    assert_eq!(client.answer(2).header.outcome, Outcome::Ok);
}

#[test]
fn a_task_that_does_not_look_is_done_in_spite_of_cancel() {
    let mut client = Client::start();
    client.run(1, "sleep_blind", &100u64);
    client.started(1);
    client.cancel(1);
    client.cancel(2);
    assert_eq!(client.answer(1).header.outcome, Outcome::Ok);
    assert_eq!(client.ask("noop", &()).header.outcome, Outcome::Ok);
}

#[test]
fn pings_are_answered_and_earlier_answers_leave_while_a_function_runs() {
    let mut client = Client::start();
    let dir = tempfile::tempdir().unwrap();
    let gate = dir.path().join("gate");
    nix::unistd::mkfifo(&gate, Mode::S_IRWXU).unwrap();
    let jobs = vec![
        client.assignment(1, "fib", &9u64),
        client.assignment(2, "gate", &(Some(&gate), None::<String>)),
    ];
    client.send(ToWorker::RunMany(jobs));
    assert_eq!(value::<u64>(&client.answer(1)), 34);
    client.started(2);
    client.send(ToWorker::Ping(8));
    // While the long job has no end.
    client.find(|m| (*m == FromWorker::Pong(8)).then_some(()));
    std::thread::sleep(Duration::from_millis(100));
    std::fs::write(&gate, "").unwrap();
    let answer = client.answer(2);
    assert!(answer.header.usage.wall_us >= 100_000);
    assert!(answer.header.usage.user_us < 50_000);
    assert!(answer.header.usage.max_rss_kib > 0);
}

#[test]
fn nothing_is_lost_when_the_watcher_comes_and_goes() {
    let mut client = Client::start();
    let mut answered = Vec::new();
    let mut pongs = 0;
    let mut printed = 0;
    for round in 0..60u64 {
        // Around the time after which the watcher takes over.
        let jobs = (1..=6).map(|n| {
            let job = round * 6 + n;
            match n % 3 {
                0 => client.assignment(job, "sleep_ms", &(round % 4)),
                1 => client.assignment(job, "print", &("x", 1u32)),
                _ => client.assignment(job, "noop", &()),
            }
        });
        let jobs = jobs.collect();
        client.send(ToWorker::RunMany(jobs));
        client.send(ToWorker::Ping(round));
        while answered.len() < 6 * (round as usize).saturating_sub(2) {
            match client.next() {
                FromWorker::DoneMany(some) => {
                    answered.extend(some.iter().map(|a| (a.header.job.0, printed)));
                }
                FromWorker::Output { job, data, .. } => {
                    assert_ne!(job, JobId::NONE);
                    printed += data.len();
                }
                FromWorker::Pong(_) => pongs += 1,
                _ => {}
            }
        }
    }
    client.send(ToWorker::Drain);
    assert!(client.wait().success());
    for message in client.rest() {
        match message {
            FromWorker::DoneMany(some) => {
                answered.extend(some.iter().map(|a| (a.header.job.0, printed)));
            }
            FromWorker::Output { data, .. } => printed += data.len(),
            FromWorker::Pong(_) => pongs += 1,
            _ => {}
        }
    }
    let numbers: Vec<u64> = answered.iter().map(|(job, _)| *job).collect();
    assert_eq!(numbers, (1..=360).collect::<Vec<_>>());
    assert_eq!((pongs, printed), (60, 120 * 2));
    // A job's output precedes its answer.
    for (job, printed) in answered {
        assert!(printed as u64 >= job.div_ceil(3) * 2, "job {job}");
    }
}

#[test]
fn cpu_time_is_measured() {
    let mut client = Client::start();
    let answer = client.ask("primes", &200_000u64);
    assert_eq!(value::<u64>(&answer), 17_984);
    assert!(answer.header.usage.user_us > 1_000, "{:?}", answer.header);
}

#[test]
fn output_comes_live_and_before_the_answer() {
    let mut client = Client::start();
    client.run(1, "print_then_sleep", &("now", 60_000u64));
    assert_eq!(client.output(1), b"now\n");
    client.cancel(1);
    client.answer(1);

    // Far more than fits into the pipe.
    let line = "x".repeat(999);
    client.run(2, "print", &(&line, 500u32));
    let ran = client.ran(2);
    assert_eq!(ran.stdout.len(), 500_000);
    assert_eq!(ran.outcome(), Outcome::Ok);
    assert!(ran.stderr.is_empty());
}

#[test]
fn output_between_jobs_belongs_to_no_job() {
    let mut client = Client::start();
    let dir = tempfile::tempdir().unwrap();
    let when = dir.path().join("ended");
    client.ask("print_later", &("background", when.to_str().unwrap()));
    std::fs::write(when, "").unwrap();
    let (whose, stream, data) = client.find(|m| match m {
        FromWorker::Output {
            job,
            attempt,
            stream,
            data,
        } => Some(((*job, *attempt), *stream, data.clone())),
        _ => None,
    });
    assert_eq!(whose, (JobId::NONE, Attempt(0)));
    assert_eq!((stream, &data[..]), (Stream::Stdout, &b"background\n"[..]));
    assert_eq!(value::<u64>(&client.ask("fib", &10u64)), 55);
}

#[test]
fn large_inputs_and_results_travel_in_chunks_with_credit() {
    let mut client = Client::start();
    let data: Vec<u8> = (0..5u32 << 20).map(|n| (n % 251) as u8).collect();
    let mut whole = client.encoded(1, "echo", Encoding::Raw, &ByteBuf::from(data.clone()));
    let mut rest = whole.input.split_off(1000);
    client.send(ToWorker::RunMany(vec![whole]));
    let mut credit = protocol::CREDIT;
    while !rest.is_empty() {
        if credit == 0 {
            credit += client.find(|m| match m {
                FromWorker::Credit { chunks, .. } => Some(*chunks),
                _ => None,
            });
        }
        credit -= 1;
        client.send(ToWorker::InputChunk {
            job: JobId(1),
            attempt: Attempt::FIRST,
            data: rest.split_to(rest.len().min(MAX_CHUNK)),
        });
    }
    let mut result = Vec::new();
    let mut uncredited = 0;
    loop {
        match client.next() {
            FromWorker::ResultChunk { data, job, attempt } => {
                result.extend_from_slice(&data);
                uncredited += 1;
                assert!(uncredited <= protocol::CREDIT);
                if uncredited == protocol::CREDIT {
                    let chunks = uncredited;
                    uncredited = 0;
                    client.send(ToWorker::Credit {
                        job,
                        attempt,
                        chunks,
                    });
                }
            }
            FromWorker::DoneMany(answers) => {
                assert_eq!(answers[0].header.outcome, Outcome::Ok);
                result.extend_from_slice(&answers[0].payload);
                break;
            }
            FromWorker::Started { .. } | FromWorker::Credit { .. } => {}
            other => panic!("{other:?}"),
        }
    }
    assert!(result == data, "{} bytes came back", result.len());
}

#[test]
fn a_result_transfer_can_be_cancelled() {
    let mut client = Client::start();
    client.run(1, "big", &(4u64 << 20));
    for _ in 0..protocol::CREDIT {
        client.find(|m| matches!(m, FromWorker::ResultChunk { .. }).then_some(()));
    }
    client.cancel(1);
    assert_eq!(client.answer(1).header.outcome, Outcome::Cancelled);
    assert_eq!(client.ask("noop", &()).header.outcome, Outcome::Ok);
}

#[test]
fn a_result_beyond_the_limit_is_a_failure() {
    let mut client = Client::start();
    let answer = client.ask("big", &MAX_PAYLOAD);
    assert_eq!(answer.header.outcome, Outcome::Failed(1));
    assert_eq!(error(&answer).kind, TaskErrorKind::TooLarge);
    let text = error(&answer).message;
    let size = MAX_PAYLOAD + 8;
    assert_eq!(
        text,
        format!("result of {size} bytes is larger than the limit of {MAX_PAYLOAD} (`max_payload`)")
    );
}

#[test]
fn progress_is_passed_on_but_not_all_of_it() {
    let mut client = Client::start();
    client.run(1, "progress", &100_000u64);
    client.answer(1);
    client.send(ToWorker::Drain);
    let reports: Vec<_> = client
        .rest()
        .into_iter()
        .filter(|m| matches!(m, FromWorker::Progress { .. }))
        .collect();
    let first = FromWorker::Progress {
        job: JobId(1),
        attempt: Attempt::FIRST,
        done: 0,
        total: 100_000,
    };
    assert_eq!(reports[0], first);
    assert!(reports.len() < 100, "{}", reports.len());
}

#[test]
fn blobs_are_there_for_later_jobs() {
    let mut client = Client::start();
    let blob = |more| ToWorker::Blob {
        hash: 5,
        data: Bytes::from_static(b"abc"),
        more,
    };
    client.send(blob(true));
    client.send(blob(false));
    assert_eq!(
        value::<Option<u64>>(&client.ask("blob_length", &5u64)),
        Some(6)
    );
    assert_eq!(
        value::<Option<u64>>(&client.ask("blob_length", &6u64)),
        None
    );
    let (job, attempt) = value::<(u64, u32)>(&client.ask("which", &()));
    assert_eq!((job, attempt), (999, 1));
}

#[test]
fn a_paused_worker_starts_nothing() {
    let mut client = Client::start();
    client.send(ToWorker::Pause);
    client.run(1, "noop", &());
    client.send(ToWorker::Ping(1));
    assert_eq!(client.next(), FromWorker::Pong(1));
    client.send(ToWorker::Resume);
    assert_eq!(client.answer(1).header.outcome, Outcome::Ok);
}

#[test]
fn the_watcher_wakes_up_again_after_a_rest() {
    let mut client = Client::start();
    client.ask("noop", &());
    // Longer than the watcher stays restless.
    std::thread::sleep(Duration::from_millis(300));
    let start = now();
    client.run(1, "sleep_ms", &60_000u64);
    client.started(1);
    assert!(start.elapsed() < Duration::from_secs(5));
    client.cancel(1);
    assert_eq!(client.answer(1).header.outcome, Outcome::Cancelled);
}
