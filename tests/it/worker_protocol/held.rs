//! Answers that a worker had not written yet when it was killed.

use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::fs::FileExt;
use std::process::{Child, Stdio};
use std::time::Duration;

use bytes::BytesMut;
use protocol::{
    Answer, Assignment, Attempt, Codec, Encoding, FromWorker, GreetingScan, JobHeader, JobId,
    LinkKind, Outcome, Ready, ToWorker, codec,
};
use serde::Serialize;
use tokio_util::codec::Decoder;

use super::client::{hello, now};

const HELD: u64 = 128 * 1024;

/// A worker whose bytes are counted, and looked at only when it is dead.
struct Doomed {
    child: Child,
    page: File,
    ready: Ready,
    /// What came behind the greeting.
    received: BytesMut,
}

impl Doomed {
    fn start() -> Doomed {
        #[expect(clippy::disallowed_methods, reason = "a test starts its own worker")]
        let mut child = std::process::Command::new(env!("CARGO_BIN_EXE_test-worker"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        tell(&mut child, &hello(LinkKind::Local));
        let mut received = BytesMut::new();
        let mut greeted = false;
        let ready = loop {
            let mut arrivals = [0; 4096];
            let n = child.stdout.as_mut().unwrap().read(&mut arrivals).unwrap();
            assert_ne!(n, 0, "the worker has ended");
            received.extend_from_slice(&arrivals[..n]);
            if !greeted && let GreetingScan::Found(greeting) = protocol::greeting::scan(&received) {
                drop(received.split_to(greeting.end));
                greeted = true;
            }
            if greeted && let [FromWorker::Ready(ready), ..] = &decode(&received)[..] {
                break ready.clone();
            }
        };
        let path = format!("/proc/{}/fd/{}", ready.pid, ready.status_fd.unwrap());
        let page = File::open(path).unwrap();
        assert_eq!(page.metadata().unwrap().len(), 4096 + HELD);
        Doomed {
            child,
            page,
            ready,
            received,
        }
    }

    fn run(&mut self, jobs: Vec<Assignment>) {
        tell(&mut self.child, &ToWorker::RunMany(jobs));
    }

    fn job<T: Serialize + ?Sized>(&self, job: u64, task: &str, input: &T) -> Assignment {
        let place = self.ready.tasks.iter().position(|name| name == task);
        let input = Encoding::Bincode.encode(input).unwrap();
        Assignment {
            header: JobHeader {
                job: JobId(job),
                attempt: Attempt::FIRST,
                task: place.unwrap() as u32,
                encoding: Encoding::Bincode,
                input_len: input.len() as u64,
            },
            input,
        }
    }

    /// The job that the page names.
    fn named(&self) -> u64 {
        let mut job = [0; 8];
        self.page.read_exact_at(&mut job, 0).unwrap();
        u64::from_le_bytes(job)
    }

    /// The worker is dead, or about to die: all answers that are to be had,
    /// and how many of their bytes had been written.
    fn answers(mut self) -> (Vec<Answer>, usize) {
        let mut rest = Vec::new();
        let stdout = self.child.stdout.as_mut().unwrap();
        stdout.read_to_end(&mut rest).unwrap();
        assert!(!self.child.wait().unwrap().success());
        self.received.extend_from_slice(&rest);
        let written = self.received.len();
        let mut header = [0; 28];
        self.page.read_exact_at(&mut header, 0).unwrap();
        let position = u64::from_le_bytes(header[16..24].try_into().unwrap());
        let length = u64::from(u32::from_le_bytes(header[24..].try_into().unwrap()));
        assert!(length <= HELD);
        if (position..position + length).contains(&(written as u64)) {
            let from = written as u64 - position;
            let mut held = vec![0; (length - from) as usize];
            self.page.read_exact_at(&mut held, 4096 + from).unwrap();
            self.received.extend_from_slice(&held);
        }
        let answers = decode(&self.received).into_iter().flat_map(|m| match m {
            FromWorker::DoneMany(answers) => answers,
            _ => Vec::new(),
        });
        (answers.collect(), written)
    }
}

fn tell(child: &mut Child, message: &ToWorker) {
    let mut buffer = BytesMut::new();
    codec::encode(message, &mut buffer).unwrap();
    let stdin = child.stdin.as_mut().unwrap();
    stdin.write_all(&buffer).unwrap();
}

fn decode(bytes: &[u8]) -> Vec<FromWorker> {
    let mut buffer = BytesMut::from(bytes);
    let mut codec = Codec::<FromWorker, ToWorker>::new();
    std::iter::from_fn(|| codec.decode(&mut buffer).unwrap()).collect()
}

/// The jobs of these answers, all of which say that all went well.
fn jobs(answers: &[Answer]) -> Vec<u64> {
    assert!(answers.iter().all(|a| a.header.outcome == Outcome::Ok));
    answers.iter().map(|a| a.header.job.0).collect()
}

#[test]
fn answers_of_jobs_before_a_crash_survive_it() {
    let mut only_held = 0;
    for _ in 0..200 {
        let mut worker = Doomed::start();
        let greeted = worker.received.len();
        let mut batch: Vec<_> = (1..=10).map(|n| worker.job(n, "noop", &())).collect();
        batch.push(worker.job(11, "abort", &()));
        batch.push(worker.job(12, "noop", &()));
        worker.run(batch);
        let page = worker.page.try_clone().unwrap();
        let (answers, written) = worker.answers();
        assert_eq!(jobs(&answers), (1..=10).collect::<Vec<_>>());
        only_held += usize::from(written == greeted);
        let mut job = [0; 8];
        page.read_exact_at(&mut job, 0).unwrap();
        assert_eq!(u64::from_le_bytes(job), 11);
    }
    // Otherwise this would have shown nothing.
    assert!(only_held > 0);
}

#[test]
fn answers_survive_a_kill_while_a_later_job_runs() {
    for _ in 0..50 {
        let mut worker = Doomed::start();
        let mut batch: Vec<_> = (1..=10).map(|n| worker.job(n, "noop", &())).collect();
        batch.push(worker.job(11, "sleep_blind", &60_000u64));
        worker.run(batch);
        let start = now();
        while worker.named() != 11 {
            assert!(start.elapsed() < Duration::from_secs(20));
        }
        worker.child.kill().unwrap();
        let (answers, _) = worker.answers();
        assert_eq!(jobs(&answers), (1..=10).collect::<Vec<_>>());
    }
}

#[test]
fn whenever_a_worker_is_killed_each_job_is_answered_or_named_or_not_started() {
    for round in 0..200u64 {
        let mut worker = Doomed::start();
        let batch = (1..=2000).map(|n| worker.job(n, "noop", &()));
        let batch = batch.collect();
        worker.run(batch);
        std::thread::sleep(Duration::from_micros(round * 37 % 3000));
        worker.child.kill().unwrap();
        let page = worker.page.try_clone().unwrap();
        let (answers, _) = worker.answers();
        let count = answers.len() as u64;
        assert_eq!(jobs(&answers), (1..=count).collect::<Vec<_>>());
        let mut job = [0; 8];
        page.read_exact_at(&mut job, 0).unwrap();
        let named = u64::from_le_bytes(job);
        // Its answer may be there already.
        assert!([0, count, count + 1].contains(&named), "{named}, {count}");
    }
}

#[test]
fn large_answers_survive_as_well() {
    let sizes = [
        0u64, 60_000, 100, 120_000, 9_000, 200_000, 260_000, 50, 131_000,
    ];
    for _ in 0..10 {
        let mut worker = Doomed::start();
        let jobs_of = (1..).zip(sizes);
        let mut batch: Vec<_> = jobs_of
            .map(|(n, size)| worker.job(n, "big", &size))
            .collect();
        batch.push(worker.job(10, "abort", &()));
        worker.run(batch);
        let (answers, _) = worker.answers();
        assert_eq!(jobs(&answers), (1..=9).collect::<Vec<_>>());
        let lengths: Vec<_> = answers.iter().map(|a| a.payload.len() as u64 - 8).collect();
        assert_eq!(lengths, sizes);
    }
}
