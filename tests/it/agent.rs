//! A real `orchestrator agent` and real workers, spoken to in the real protocol.

mod deaths;
mod ends;
mod jobs;
mod limits;
mod options;

use std::ops::{Deref, DerefMut};
use std::process::Command;

use bytes::Bytes;
use orchestrator_tests::TestEnv;
use protocol::{
    Answer, Assignment, Attempt, Death, Encoding, FromWorker, JobId, JobOptions, LinkKind, Outcome,
    ToWorker,
};

use crate::worker_protocol::client::Client;

const ORCHESTRATOR: &str = env!("CARGO_BIN_EXE_test-orchestrator");
const WORKER: &str = env!("CARGO_BIN_EXE_test-worker");
const ROGUE: &str = env!("CARGO_BIN_EXE_rogue");

/// An agent; its client is what it dereferences to.
struct Agent {
    client: Client,
    // Behind the client, so that the agent has ended before it is looked what is left.
    env: TestEnv,
}

impl Deref for Agent {
    type Target = Client;
    fn deref(&self) -> &Client {
        &self.client
    }
}

impl DerefMut for Agent {
    fn deref_mut(&mut self) -> &mut Client {
        &mut self.client
    }
}

impl Agent {
    /// With this worker and these options; it has said its greeting.
    fn launched(worker: &[&str], options: &[&str]) -> Agent {
        Agent::started(worker, options, Client::of)
    }

    fn started(worker: &[&str], options: &[&str], start: fn(&mut Command) -> Client) -> Agent {
        let env = TestEnv::new();
        let mut command = env.command(ORCHESTRATOR);
        command.arg("agent").args(options);
        if let [program, args @ ..] = worker {
            command.args(["--worker", program]);
            for arg in args {
                command.args(["--worker-arg", arg]);
            }
        }
        let client = start(&mut command);
        Agent { client, env }
    }

    /// The same when it is ready.
    fn of(worker: &[&str], options: &[&str]) -> Agent {
        Agent::with(worker, options, None)
    }

    fn with(worker: &[&str], options: &[&str], init: Option<&[u8]>) -> Agent {
        let Agent { client, env } = Agent::launched(worker, options);
        let client = client.met(LinkKind::Local, init);
        Agent { client, env }
    }

    /// So many test workers.
    fn new(workers: u32) -> Agent {
        Agent::of(&[WORKER], &["--workers", &workers.to_string()])
    }

    /// Gives it one job with these wishes.
    fn ask_with<T: serde::Serialize + ?Sized>(
        &mut self,
        job: u64,
        options: JobOptions,
        task: &str,
        input: &T,
    ) {
        let assignment = self.assignment(job, task, input);
        self.send(ToWorker::RunManyWith(options, vec![assignment]));
    }

    fn recall(&mut self, jobs: impl IntoIterator<Item = u64>) {
        let pairs = jobs.into_iter().map(pair).collect();
        self.send(ToWorker::Recall(pairs));
    }

    fn recalled(&mut self) -> Vec<u64> {
        let pairs = self.find(|m| match m {
            FromWorker::Recalled(pairs) => Some(pairs.clone()),
            _ => None,
        });
        pairs.into_iter().map(|(job, _)| job.0).collect()
    }

    /// Waits until it ends of itself, with this status, and gives what it said then.
    fn ends_with(&mut self, status: i32) -> String {
        let ended = self.wait();
        let said = self.stderr();
        assert_eq!(ended.code(), Some(status), "{said}");
        said
    }
}

fn pair(job: u64) -> (JobId, Attempt) {
    (JobId(job), Attempt::FIRST)
}

/// What is told of a job that died.
fn death(answer: &Answer) -> Death {
    Encoding::Bincode.decode(&answer.payload).unwrap()
}

/// Like `assignment`, with only so much of the input.
fn first_part(whole: &Assignment, len: usize) -> (Assignment, Bytes) {
    let (mut first, mut rest) = (whole.clone(), whole.input.clone());
    first.input = rest.split_to(len);
    (first, rest)
}

fn outcome(answer: &Answer) -> Outcome {
    answer.header.outcome
}
