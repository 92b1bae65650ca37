//! What is bounded, whatever the client does.

use std::io::Write;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::Stdio;

use bytes::BytesMut;
use orchestrator_tests::{TestEnv, eventually};
use protocol::{Codec, FromWorker, JobId, LinkKind, ToWorker, codec};
use tokio_util::codec::Decoder;

use super::{Agent, ORCHESTRATOR, WORKER};
use crate::worker_protocol::client::hello;

/// Resident memory of a process, in bytes.
fn resident(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let rss = status.lines().find_map(|l| l.strip_prefix("VmRSS:"));
    let kib = rss.unwrap().trim().strip_suffix("kB").unwrap().trim();
    kib.parse::<u64>().unwrap() * 1024
}

#[test]
fn over_a_single_socket_and_to_a_client_that_does_not_read_memory_is_bounded() {
    let env = TestEnv::new();
    let (ours, theirs) = UnixStream::pair().unwrap();
    let theirs = OwnedFd::from(theirs);
    let mut command = env.command(ORCHESTRATOR);
    command.args(["agent", "--workers", "2", "--worker", WORKER]);
    command.stdin(Stdio::from(theirs.try_clone().unwrap()));
    let mut child = command.stdout(Stdio::from(theirs)).spawn().unwrap();
    drop(command);
    // Nobody reads; every job has a result of some size.
    let mut frames = BytesMut::new();
    codec::encode(&hello(LinkKind::Local), &mut frames).unwrap();
    let mut link = ours.try_clone().unwrap();
    link.write_all(&frames).unwrap();
    let mut reader = ours.try_clone().unwrap();
    let mut inbox = BytesMut::new();
    let ready = loop {
        let mut some = [0; 4096];
        let n = std::io::Read::read(&mut reader, &mut some).unwrap();
        inbox.extend_from_slice(&some[..n]);
        if let Some(at) = inbox.iter().position(|&b| b == b'\n')
            && inbox.starts_with(b"orchestrator-worker")
        {
            drop(inbox.split_to(at + 1));
        }
        if !inbox.starts_with(b"orchestrator-worker") && !inbox.is_empty() {
            let mut codec = Codec::<FromWorker, ToWorker>::new();
            if let Some(FromWorker::Ready(ready)) = codec.decode(&mut inbox).unwrap() {
                break ready;
            }
        }
    };
    let task = ready.tasks.iter().position(|task| task == "big").unwrap();
    ours.set_nonblocking(true).unwrap();
    let pid = child.id();
    let mut next = 1;
    let mut refused = 0;
    let mut frames = BytesMut::new();
    // Until it takes no more: the pipe towards us is full, and so is its buffer.
    eventually("it does not listen to whom does not read", || {
        if frames.is_empty() {
            let job = |n| protocol::Assignment {
                header: protocol::JobHeader {
                    job: JobId(n),
                    attempt: protocol::Attempt::FIRST,
                    task: task as u32,
                    encoding: protocol::Encoding::Bincode,
                    input_len: 8,
                },
                input: bytes::Bytes::copy_from_slice(&100_000_u64.to_le_bytes()),
            };
            let jobs: Vec<_> = (next..next + 100).map(job).collect();
            next += 100;
            codec::encode(&ToWorker::RunMany(jobs), &mut frames).unwrap();
        }
        match (&ours).write(&frames) {
            Ok(n) => {
                bytes::Buf::advance(&mut frames, n);
                refused = 0;
            }
            Err(_) => refused += 1,
        }
        assert!(resident(pid) < 250 << 20, "{} jobs", next);
        refused > 500
    });
    // What its jobs gave beyond is in a file.
    assert!(next > 100, "{next}");
    drop((ours, link, reader));
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn many_small_jobs_ahead_cost_little_each() {
    let mut agent = Agent::new(1);
    agent.run(1, "sleep_ms", &60_000_u64);
    let before = resident(agent.child.id());
    for first in (2..50_002).step_by(1000) {
        let jobs = (first..first + 1000).map(|n| agent.assignment(n, "fib", &1_u64));
        let jobs = jobs.collect();
        agent.send(ToWorker::RunMany(jobs));
    }
    agent.send(ToWorker::Ping(1));
    agent.find(|m| (*m == FromWorker::Pong(1)).then_some(()));
    let each = (resident(agent.child.id()) - before) / 50_000;
    assert!(each < 1000, "{each} bytes for each");
}
