//! A worker that misbehaves as its arguments say: each is a step, taken in
//! order, written `name` or `name:argument`. After the last it exits with 0.
//!
//! `rogue greet hello ready:fib recv kill` dies in its first job.

use std::io::{Read, Write};
use std::process::ExitCode;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use nix::sys::signal::{Signal, raise};
use orchestrator_tests::chaos::Worker;
use protocol::{
    Answer, Attempt, Codec, DoneHeader, FromWorker, JobId, Outcome, Ready, Stream, ToWorker, Usage,
    codec,
};
use tokio_util::codec::Decoder;

const FOR_EVER: Duration = Duration::from_secs(120);

fn main() -> ExitCode {
    let mut rogue = Rogue::default();
    for step in std::env::args().skip(1) {
        let (name, argument) = step.split_once(':').unwrap_or((&step, ""));
        if let Some(code) = rogue.step(name, argument) {
            return code;
        }
    }
    ExitCode::SUCCESS
}

#[derive(Default)]
struct Rogue {
    codec: Codec<ToWorker, FromWorker>,
    inbox: BytesMut,
    /// Jobs that were received and not answered, oldest first.
    jobs: Vec<(JobId, Attempt)>,
    /// The last job that was answered.
    last: Option<(JobId, Attempt)>,
}

impl Rogue {
    /// Takes one step; gives the exit code when it was the last.
    fn step(&mut self, name: &str, argument: &str) -> Option<ExitCode> {
        match name {
            // Says this on stdout, as someone who knows no protocol.
            "print" => write(format!("{argument}\n").as_bytes()),
            "stderr" => std::io::stderr()
                .write_all(format!("{argument}\n").as_bytes())
                .expect("stderr"),
            // Bytes in hexadecimal.
            "raw" => write(&bytes(argument)),
            "greet" => {
                if argument.is_empty() {
                    write(&protocol::greeting::greeting_line());
                } else {
                    write(format!("orchestrator-worker protocol {argument}\n").as_bytes());
                }
            }
            // Waits for that message.
            "hello" => self.wait_for(|m| matches!(m, ToWorker::Hello(_))),
            "recv" => {
                if self.jobs.is_empty() {
                    self.wait_for(|m| matches!(m, ToWorker::RunMany(_)));
                }
            }
            "drain" => self.wait_for(|m| matches!(m, ToWorker::Drain)),
            "ready" => say(&FromWorker::Ready(Ready {
                build: "rogue".into(),
                pid: std::process::id(),
                slots: 1,
                tasks: argument.split(',').map(str::to_owned).collect(),
                status_fd: None,
            })),
            // Answers the oldest job, truthfully or not.
            "done" => {
                let job = self.jobs.remove(0);
                self.last = Some(job);
                // Or badly, which only an agent may say.
                say(&done_as(
                    job,
                    match argument {
                        "oom" => Outcome::Oom,
                        "unkillable" => Outcome::Unkillable,
                        _ => Outcome::Ok,
                    },
                ));
            }
            "done-again" => say(&done(self.last.expect("something was done"))),
            "done-other" => {
                let (job, attempt) = self.jobs[0];
                say(&done((JobId(job.0 + 1000), attempt)));
            }
            "done-stale" => {
                let (job, attempt) = self.jobs[0];
                say(&done((job, Attempt(attempt.0 + 7))));
            }
            "output" => {
                let (job, attempt) = self.jobs[0];
                say(&FromWorker::Output {
                    job,
                    attempt,
                    stream: Stream::Stdout,
                    data: Bytes::from(argument.to_owned()),
                });
            }
            // The first N bytes of an answer.
            "partial" => {
                let mut frame = BytesMut::new();
                codec::encode(&done(self.jobs[0]), &mut frame).expect("room");
                write(&frame[..argument.parse().expect("a number")]);
            }
            "kill" => {
                let signal = if argument.is_empty() {
                    "SIGKILL"
                } else {
                    argument
                };
                raise(signal.parse::<Signal>().expect("a signal")).expect("raise");
            }
            // Rust's own handler takes the first.
            "segv" => loop {
                raise(Signal::SIGSEGV).expect("raise");
            },
            // All descriptors from this one on.
            "closefds" => {
                let first = argument.parse().expect("a number");
                (first..1024).for_each(|fd| nix::unistd::close(fd).unwrap_or(()));
            }
            // Anything at all, as this number says; the last step.
            "chaos" => Worker::new(argument.parse().expect("a seed")).live(),
            "exit" => return Some(ExitCode::from(argument.parse::<u8>().expect("a status"))),
            "bye" => say(&FromWorker::Bye),
            // Gives back the oldest job, twice, whether asked or not.
            "recalled-twice" => say(&FromWorker::Recalled(vec![self.jobs[0]; 2])),
            "close-in" => nix::unistd::close(0).expect("stdin was open"),
            // Something that it started prints to its stderr until it is killed.
            "flood" => flood(),
            "close" => nix::unistd::close(1).expect("stdout was open"),
            // Computes for so many milliseconds, or for ever.
            "spin" => spin(argument.parse().ok()),
            // For ever, as far as a test can tell; but not when one has failed
            // and nobody is left to kill it.
            "hang" => std::thread::sleep(FOR_EVER),
            // Reads until the orchestrator closes the link.
            "eof" => self.wait_for(|_| false),
            unknown => panic!("rogue knows no step `{unknown}`"),
        }
        None
    }

    /// Reads until such a message or the end of the link.
    fn wait_for(&mut self, wanted: impl Fn(&ToWorker) -> bool) {
        let mut chunk = [0; 65536];
        loop {
            while let Some(message) = self.codec.decode(&mut self.inbox).expect("a frame") {
                if let ToWorker::RunMany(jobs) = &message {
                    let ids = jobs.iter().map(|j| (j.header.job, j.header.attempt));
                    self.jobs.extend(ids);
                }
                if wanted(&message) {
                    return;
                }
            }
            let n = std::io::stdin().read(&mut chunk).expect("stdin");
            if n == 0 {
                return;
            }
            self.inbox.extend_from_slice(&chunk[..n]);
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "how long to misbehave")]
fn spin(ms: Option<u128>) {
    let start = std::time::Instant::now();
    while ms.is_none_or(|ms| start.elapsed().as_millis() < ms) {
        std::hint::spin_loop();
    }
}

/// It ends when nobody reads any more.
#[expect(clippy::disallowed_methods, reason = "misbehaviour needs a process")]
#[expect(clippy::zombie_processes, reason = "misbehaviour is left alone")]
fn flood() {
    std::process::Command::new("setsid")
        .args(["timeout", "20", "yes"])
        .stdout(std::io::stderr())
        .spawn()
        .expect("a process");
}

fn done(job: (JobId, Attempt)) -> FromWorker {
    done_as(job, Outcome::Ok)
}

fn done_as((job, attempt): (JobId, Attempt), outcome: Outcome) -> FromWorker {
    FromWorker::DoneMany(vec![Answer {
        header: DoneHeader {
            job,
            attempt,
            outcome,
            usage: Usage::default(),
        },
        payload: Bytes::new(),
    }])
}

fn say(message: &FromWorker) {
    let mut frame = BytesMut::new();
    codec::encode(message, &mut frame).expect("room");
    write(&frame);
}

fn write(bytes: &[u8]) {
    let mut out = std::io::stdout();
    out.write_all(bytes).expect("stdout");
    out.flush().expect("stdout");
}

fn bytes(hex: &str) -> Vec<u8> {
    let digit = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).expect("hexadecimal");
    (0..hex.len()).step_by(2).map(digit).collect()
}
