//! A synchronous client for one worker. Whatever it waits for has a deadline,
//! so that a test fails instead of hanging.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{Read, Write};
use std::process::{Child, ChildStderr, ChildStdin, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use nix::pty::PtyMaster;
use nix::sys::termios::{OutputFlags, SetArg, tcgetattr, tcsetattr};
use protocol::{
    Answer, Assignment, Attempt, Codec, CommandSpec, Encoding, FromWorker, GreetingScan, Hello,
    JobHeader, JobId, LinkKind, Outcome, PROTOCOL_VERSION, Program, Ready, Stream, TaskError,
    ToWorker, WorkerId,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_bytes::ByteBuf;
use tokio_util::codec::{Decoder, Encoder};

/// How long anything may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);
pub(crate) const MAX_PAYLOAD: u64 = 16 << 20;

pub(crate) struct Client {
    pub(crate) child: Child,
    stdin: Option<ChildStdin>,
    messages: Receiver<FromWorker>,
    reader: Option<JoinHandle<()>>,
    /// Messages that were passed over while waiting for another one.
    skipped: VecDeque<FromWorker>,
    pub(crate) ready: Ready,
}

/// A terminal that passes on what is written as it is.
pub(crate) fn raw_terminal() -> (PtyMaster, File) {
    let (ours, theirs) = terminal();
    let mut modes = tcgetattr(&theirs).unwrap();
    modes.output_flags.remove(OutputFlags::OPOST);
    tcsetattr(&theirs, SetArg::TCSANOW, &modes).unwrap();
    (ours, theirs)
}

/// A terminal as people have it.
pub(crate) fn terminal() -> (PtyMaster, File) {
    let (ours, theirs, _) = orchestrator_tests::pty::pair();
    (ours, theirs)
}

fn spawn(command: &mut std::process::Command) -> Child {
    let command = command.stdin(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().unwrap()
}

impl Client {
    /// A worker that has said that it is ready.
    pub(crate) fn start() -> Client {
        Client::with(LinkKind::Local, None)
    }

    pub(crate) fn with(link: LinkKind, init: Option<&[u8]>) -> Client {
        Client::without_hello().met(link, init)
    }

    /// The same worker when it is ready.
    pub(crate) fn met(self, link: LinkKind, init: Option<&[u8]>) -> Client {
        let mut client = self;
        client.introduce_to(link, init);
        match client.next() {
            FromWorker::Ready(ready) => client.ready = ready,
            other => panic!("expected ready, got {other:?}"),
        }
        client
    }

    /// Says hello, and what follows.
    pub(crate) fn introduce(&mut self, init: Option<&[u8]>) {
        self.introduce_to(LinkKind::Local, init);
    }

    fn introduce_to(&mut self, link: LinkKind, init: Option<&[u8]>) {
        self.send(introduction(link, init.is_some()));
        if let Some(init) = init {
            self.send(ToWorker::Init(Bytes::copy_from_slice(init)));
        }
    }

    /// Says hello, and that something follows.
    pub(crate) fn introduce_only(&mut self, init: bool) {
        self.send(introduction(LinkKind::Local, init));
    }

    /// A worker that has said its greeting.
    pub(crate) fn without_hello() -> Client {
        #[expect(clippy::disallowed_methods, reason = "a test starts its own worker")]
        Client::of(&mut std::process::Command::new(env!(
            "CARGO_BIN_EXE_test-worker"
        )))
    }

    /// Whatever worker this is, once it is started.
    pub(crate) fn of(command: &mut std::process::Command) -> Client {
        let mut child = spawn(command.stdout(Stdio::piped()));
        let stdout = child.stdout.take().unwrap();
        Client::heard(child, stdout)
    }

    /// One whose stdout is a terminal that changes nothing, as `srun -u` makes one.
    pub(crate) fn on_terminal(command: &mut std::process::Command) -> Client {
        let (ours, theirs) = raw_terminal();
        let child = spawn(command.stdout(theirs));
        // Ours, so that its end is seen.
        command.stdout(Stdio::null());
        Client::heard(child, ours)
    }

    fn heard(mut child: Child, mut stdout: impl Read + Send + 'static) -> Client {
        let stdin = child.stdin.take();
        let (sender, messages) = channel();
        let reader = std::thread::spawn(move || {
            let mut buffer = BytesMut::new();
            let mut arrivals = vec![0; 64 * 1024];
            let mut codec = None;
            while let Ok(n @ 1..) = stdout.read(&mut arrivals) {
                buffer.extend_from_slice(&arrivals[..n]);
                if codec.is_none()
                    && let GreetingScan::Found(greeting) = protocol::greeting::scan(&buffer)
                {
                    let expected = (PROTOCOL_VERSION, 0);
                    assert_eq!((greeting.version, greeting.start), expected);
                    drop(buffer.split_to(greeting.end));
                    codec = Some(Codec::<FromWorker, ToWorker>::new());
                }
                let Some(codec) = &mut codec else { continue };
                while let Some(message) = codec.decode(&mut buffer).unwrap() {
                    if sender.send(message).is_err() {
                        return;
                    }
                }
            }
            assert!(buffer.is_empty(), "the worker ended within a frame");
        });
        Client {
            child,
            stdin,
            messages,
            reader: Some(reader),
            skipped: VecDeque::new(),
            ready: Ready {
                build: String::new(),
                pid: 0,
                slots: 0,
                tasks: Vec::new(),
                status_fd: None,
            },
        }
    }

    pub(crate) fn send(&mut self, message: ToWorker) {
        self.send_together([message]);
    }

    /// All of them with one write.
    pub(crate) fn send_together(&mut self, messages: impl IntoIterator<Item = ToWorker>) {
        let mut buffer = BytesMut::new();
        let mut codec = Codec::<FromWorker, ToWorker>::new();
        for message in messages {
            codec.encode(message, &mut buffer).unwrap();
        }
        self.send_bytes(&buffer);
    }

    pub(crate) fn send_bytes(&mut self, bytes: &[u8]) {
        self.stdin.as_mut().unwrap().write_all(bytes).unwrap();
    }

    /// The orchestrator is gone, as far as the worker can tell.
    pub(crate) fn close(&mut self) {
        self.stdin = None;
    }

    /// The next message.
    pub(crate) fn next(&mut self) -> FromWorker {
        if let Some(message) = self.skipped.pop_front() {
            return message;
        }
        self.receive()
    }

    fn receive(&mut self) -> FromWorker {
        match self.messages.recv_timeout(PATIENCE) {
            Ok(message) => message,
            Err(RecvTimeoutError::Timeout) => panic!("no message within {PATIENCE:?}"),
            Err(RecvTimeoutError::Disconnected) => {
                // Or the reader did not like what it said: then it still lives.
                self.close();
                let status = self.child.wait().unwrap();
                panic!("the worker has ended: {status}, {}", self.stderr());
            }
        }
    }

    /// The next message for which this gives a value; others are kept.
    pub(crate) fn find<T>(&mut self, mut wanted: impl FnMut(&FromWorker) -> Option<T>) -> T {
        for at in 0..self.skipped.len() {
            if let Some(found) = wanted(&self.skipped[at]) {
                self.skipped.remove(at);
                return found;
            }
        }
        loop {
            let message = self.receive();
            if let Some(found) = wanted(&message) {
                return found;
            }
            self.skipped.push_back(message);
        }
    }

    pub(crate) fn started(&mut self, job: u64) {
        self.find(|m| match m {
            FromWorker::Started { job: j, .. } if j.0 == job => Some(()),
            _ => None,
        });
    }

    /// Index of a task.
    pub(crate) fn task(&self, name: &str) -> u32 {
        let place = self.ready.tasks.iter().position(|task| task == name);
        place.unwrap_or_else(|| panic!("no task {name}")) as u32
    }

    pub(crate) fn assignment<T: Serialize + ?Sized>(
        &self,
        job: u64,
        task: &str,
        input: &T,
    ) -> Assignment {
        self.encoded(job, task, Encoding::Bincode, input)
    }

    pub(crate) fn encoded<T: Serialize + ?Sized>(
        &self,
        job: u64,
        task: &str,
        encoding: Encoding,
        input: &T,
    ) -> Assignment {
        let input = encoding.encode(input).unwrap();
        Assignment {
            header: JobHeader {
                job: JobId(job),
                attempt: Attempt::FIRST,
                task: self.task(task),
                encoding,
                input_len: input.len() as u64,
            },
            input,
        }
    }

    pub(crate) fn run<T: Serialize + ?Sized>(&mut self, job: u64, task: &str, input: &T) {
        let assignment = self.assignment(job, task, input);
        self.send(ToWorker::RunMany(vec![assignment]));
    }

    /// Runs one job and gives its answer.
    pub(crate) fn ask<T: Serialize + ?Sized>(&mut self, task: &str, input: &T) -> Answer {
        self.run(999, task, input);
        self.answer(999)
    }

    /// The answer to a job. What came before it stays to be looked at.
    pub(crate) fn answer(&mut self, job: u64) -> Answer {
        let mut answers = self.find(|m| match m {
            FromWorker::DoneMany(answers) if answers.iter().any(|a| a.header.job.0 == job) => {
                Some(answers.clone())
            }
            _ => None,
        });
        let place = answers.iter().position(|a| a.header.job.0 == job);
        let answer = answers.remove(place.unwrap());
        if !answers.is_empty() {
            self.skipped.push_back(FromWorker::DoneMany(answers));
        }
        answer
    }

    /// The answer to a job, if it is there already.
    pub(crate) fn answered(&mut self, job: u64) -> Option<Answer> {
        self.skipped.extend(self.messages.try_iter());
        let is_it = |a: &Answer| a.header.job.0 == job;
        let there = self
            .skipped
            .iter()
            .any(|m| matches!(m, FromWorker::DoneMany(answers) if answers.iter().any(is_it)));
        there.then(|| self.answer(job))
    }

    pub(crate) fn cancel(&mut self, job: u64) {
        self.send(ToWorker::Cancel {
            job: JobId(job),
            attempt: Attempt::FIRST,
        });
    }

    /// Runs a command and gives its answer and its output.
    pub(crate) fn command(&mut self, spec: &CommandSpec) -> Ran {
        self.run(77, "command", spec);
        self.ran(77)
    }

    /// Waits for a command's answer and gives all that came before it.
    pub(crate) fn ran(&mut self, job: u64) -> Ran {
        let answer = self.answer(job);
        let mut ran = Ran {
            answer,
            stdout: Vec::new(),
            stderr: Vec::new(),
        };
        for message in std::mem::take(&mut self.skipped) {
            match message {
                FromWorker::Output {
                    job: j,
                    stream,
                    data,
                    ..
                } if j.0 == job => match stream {
                    Stream::Stdout => ran.stdout.extend_from_slice(&data),
                    Stream::Stderr => ran.stderr.extend_from_slice(&data),
                },
                other => self.skipped.push_back(other),
            }
        }
        ran
    }

    /// Waits for the first output of a job on stdout.
    pub(crate) fn output(&mut self, job: u64) -> Vec<u8> {
        self.find(|m| match m {
            FromWorker::Output { job: j, data, .. } if j.0 == job => Some(data.to_vec()),
            _ => None,
        })
    }

    /// Waits for the worker's end.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        let mut status = None;
        eventually("the worker ends", || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        status.unwrap()
    }

    /// All messages that came before the worker's end.
    pub(crate) fn rest(&mut self) -> Vec<FromWorker> {
        self.reader.take().unwrap().join().unwrap();
        let mut messages: Vec<_> = std::mem::take(&mut self.skipped).into();
        messages.extend(self.messages.try_iter());
        messages
    }

    pub(crate) fn stderr(&mut self) -> String {
        let mut text = String::new();
        let stderr: Option<ChildStderr> = self.child.stderr.take();
        stderr.unwrap().read_to_string(&mut text).unwrap();
        text
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.stdin = None;
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// A command that has ended.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) answer: Answer,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: Vec<u8>,
}

impl Ran {
    pub(crate) fn outcome(&self) -> Outcome {
        self.answer.header.outcome
    }
}

/// Without init data.
pub(crate) fn hello(link: LinkKind) -> ToWorker {
    introduction(link, false)
}

fn introduction(link: LinkKind, init: bool) -> ToWorker {
    ToWorker::Hello(Hello {
        build: "test".into(),
        worker: WorkerId(3),
        link,
        max_payload: MAX_PAYLOAD,
        init,
    })
}

pub(crate) fn value<T: DeserializeOwned>(answer: &Answer) -> T {
    assert_eq!(answer.header.outcome, Outcome::Ok, "{:?}", error(answer));
    Encoding::Bincode.decode(&answer.payload).unwrap()
}

/// The error that an answer carries.
pub(crate) fn error(answer: &Answer) -> TaskError {
    Encoding::Bincode
        .decode(&answer.payload)
        .unwrap_or_default()
}

pub(crate) fn sh(text: &str) -> CommandSpec {
    CommandSpec::new(Program::Shell {
        text: ByteBuf::from(text),
        args: Vec::new(),
    })
}

pub(crate) fn argv<A: AsRef<[u8]>>(argv: &[A]) -> CommandSpec {
    let argv = argv.iter().map(|a| ByteBuf::from(a.as_ref())).collect();
    CommandSpec::new(Program::Argv(argv))
}

/// Waits until something is so.
pub(crate) fn eventually(what: &str, mut check: impl FnMut() -> bool) {
    let start = now();
    while !check() {
        assert!(start.elapsed() < PATIENCE, "never: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[expect(clippy::disallowed_methods, reason = "tests measure time themselves")]
pub(crate) fn now() -> Instant {
    Instant::now()
}
