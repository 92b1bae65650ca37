//! Chaos from a seed: a worker that sends anything, and a pool that must bear
//! it.
//!
//! What the worker does is decided by the seed and its number in the pool. It
//! answers truthfully often enough that jobs get on. It may also hang: before
//! it is ready, with a job, within a frame, after it has broken the protocol,
//! closed a pipe or said goodbye. The pool has a deadline for each of these.

use std::collections::{BTreeSet, VecDeque};
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, raise};
use orchestrator::{Launch, Pool, PoolConfig, Printed, RawJob, Reports};
use protocol::{
    Answer, Attempt, Codec, DoneHeader, FromWorker, JobId, MAX_CHUNK, Outcome, Ready, Stream,
    ToWorker, Usage, codec,
};
use tokio_util::codec::Decoder;

use crate::tasks::{Echo, Noop};

/// Numbers that only look random (SplitMix64).
#[derive(Clone, Debug)]
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    /// Once in so many times.
    fn once_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }

    fn bytes(&mut self, most: u64) -> Vec<u8> {
        let length = self.below(most + 1);
        (0..length).map(|_| self.next() as u8).collect()
    }

    /// A number at one of the places where mistakes are made.
    fn edge(&mut self) -> u64 {
        match self.below(6) {
            0 => 0,
            1 => 1,
            2 => u64::from(u32::MAX),
            3 => u64::MAX,
            4 => self.below(100),
            _ => self.next(),
        }
    }
}

/// What the worker does next.
enum Next {
    GoOn,
    /// It is over.
    End,
    /// It waits to be killed, which the pool has some reason to do.
    Hang,
}

/// A worker in chaos.
pub struct Worker {
    random: Random,
    codec: Codec<ToWorker, FromWorker>,
    inbox: BytesMut,
    held: VecDeque<(JobId, Attempt)>,
    /// Pairs that it does not hold any more.
    over: Vec<(JobId, Attempt)>,
    /// Jobs that it was asked to give back.
    recalled: Vec<(JobId, Attempt)>,
    hello: Option<u32>,
    /// Keeps what it calls its status page open.
    page: Option<std::fs::File>,
}

impl Worker {
    pub fn new(seed: u64) -> Worker {
        Worker {
            random: Random(seed),
            codec: Codec::new(),
            inbox: BytesMut::new(),
            held: VecDeque::new(),
            over: Vec::new(),
            recalled: Vec::new(),
            hello: None,
            page: None,
        }
    }

    /// Its whole life.
    pub fn live(mut self) {
        let mut next = self.begin();
        while matches!(next, Next::GoOn) {
            next = if self.held.is_empty() && self.inbox.is_empty() && self.random.below(4) > 0 {
                // Nothing is held: jobs or the end will come.
                if self.receive() {
                    Next::GoOn
                } else {
                    Next::End
                }
            } else {
                self.receive_ready();
                self.act()
            };
        }
        if matches!(next, Next::Hang) {
            std::thread::sleep(PATIENCE * 2);
        }
    }

    fn begin(&mut self) -> Next {
        // Which worker this is decides only from here on what it does.
        let pid = u64::from(std::process::id());
        if Random(self.random.0 ^ pid).once_in(12) {
            write(&self.random.clone().bytes(300));
            return Next::End;
        }
        write(&protocol::greeting::greeting_line());
        while self.hello.is_none() {
            if !self.receive() {
                return Next::End;
            }
        }
        self.random.0 ^= u64::from(self.hello.unwrap_or_default()).wrapping_mul(0x5851_F42D);
        match self.random.below(24) {
            0 => return Next::Hang,
            1 => return Next::End,
            2 => self.say_anything(),
            _ => {}
        }
        self.ready();
        Next::GoOn
    }

    fn ready(&mut self) {
        let status_fd = match self.random.below(4) {
            0 => Some(self.lying_page()),
            1 => Some(self.random.edge() as i32),
            _ => None,
        };
        let slots = match self.random.below(8) {
            0 => self.random.edge() as u32,
            n => 1 + n as u32 / 6,
        };
        say(&FromWorker::Ready(Ready {
            build: String::from_utf8_lossy(&self.random.bytes(40)).into_owned(),
            pid: self.random.edge() as u32,
            slots,
            tasks: vec!["noop".into(), "echo".into()],
            status_fd,
        }));
    }

    /// A file in the form of a status page that says something.
    fn lying_page(&mut self) -> i32 {
        let mut page = tempfile::tempfile().expect("a file");
        let mut bytes = vec![0; 4096];
        let numbers = [
            (0, self.random.edge()),
            (8, self.random.edge()),
            (16, self.random.edge()),
            (24, self.random.edge()),
        ];
        for (at, number) in numbers {
            bytes[at..at + 8].copy_from_slice(&number.to_le_bytes());
        }
        // No group that exists: the pool would be right to kill it.
        bytes[12..16].copy_from_slice(&i32::MAX.to_le_bytes());
        bytes.extend(self.random.bytes(2000));
        bytes.truncate(self.random.below(8192) as usize);
        page.write_all(&bytes).expect("room");
        let number = page.as_raw_fd();
        self.page = Some(page);
        number
    }

    fn act(&mut self) -> Next {
        match self.random.below(100) {
            // Honest work.
            0..60 => self.answer(),
            60..63 => self.output(),
            63..66 => self.chunk(),
            66..69 => self.give_back(),
            69..76 => self.say_anything(),
            76..78 => {
                let text = vec![b'e'; self.random.below(100_000) as usize];
                std::io::stderr().write_all(&text).ok();
            }
            78..80 => return self.end_of_the_link(),
            80..82 => {
                // No frame begins like this.
                write(&[0xFF]);
                write(&self.random.bytes(64));
                return Next::Hang;
            }
            82..84 => return self.broken_frame(),
            84..86 => return self.piece(),
            86..88 => {
                say(&FromWorker::Bye);
                return self.last(true);
            }
            88..90 => return self.last(false),
            90 => return Next::Hang,
            _ => {}
        }
        Next::GoOn
    }

    /// Answers jobs that it holds, mostly.
    fn answer(&mut self) {
        let mut answers = Vec::new();
        for _ in 0..=self.random.below(3) {
            let from = self.random.below(self.held.len().max(1) as u64) as usize;
            let from = if self.random.once_in(3) { from } else { 0 };
            let Some(pair) = self.held.remove(from) else {
                break;
            };
            self.over.push(pair);
            answers.push(self.answer_to(pair));
        }
        if self.random.once_in(40) {
            let pair = self.any_pair();
            answers.push(self.answer_to(pair));
        }
        if !answers.is_empty() {
            say(&FromWorker::DoneMany(answers));
        }
    }

    fn answer_to(&mut self, (job, attempt): (JobId, Attempt)) -> Answer {
        let number = self.random.edge() as i32;
        let outcome = match self.random.below(14) {
            0 => Outcome::Failed(number),
            1 => Outcome::Signaled(number),
            2 => Outcome::TimedOut,
            3 => Outcome::SpawnError(number),
            4 => Outcome::Rejected,
            5 => Outcome::Cancelled,
            6 => Outcome::OutputLimit,
            // Not for it to say.
            7 if self.random.once_in(20) => Outcome::Crashed,
            _ => Outcome::Ok,
        };
        let usage = Usage {
            wall_us: self.random.edge(),
            user_us: self.random.edge(),
            system_us: self.random.edge(),
            max_rss_kib: self.random.edge(),
            leaked: self.random.edge() as u32,
        };
        let payload = match self.random.below(10) {
            0 => Bytes::from(vec![1; self.random.below(MAX_CHUNK as u64) as usize]),
            1..4 => Bytes::from(self.random.bytes(100)),
            _ => Bytes::new(),
        };
        let header = DoneHeader {
            job,
            attempt,
            outcome,
            usage,
        };
        Answer { header, payload }
    }

    fn output(&mut self) {
        let (job, attempt) = self.any_pair();
        say(&FromWorker::Output {
            job,
            attempt,
            stream: if self.random.once_in(2) {
                Stream::Stdout
            } else {
                Stream::Stderr
            },
            data: Bytes::from(self.random.bytes(2000)),
        });
    }

    /// Chunks of a result, perhaps without credit.
    fn chunk(&mut self) {
        let (job, attempt) = self.any_pair();
        for _ in 0..self.random.below(7) {
            say(&FromWorker::ResultChunk {
                job,
                attempt,
                data: Bytes::from(vec![2; self.random.below(MAX_CHUNK as u64 + 1) as usize]),
            });
        }
    }

    /// Gives back what it was asked for, or something else.
    fn give_back(&mut self) {
        let honest = !self.recalled.is_empty() && !self.random.once_in(4);
        let pairs = if honest {
            std::mem::take(&mut self.recalled)
        } else {
            vec![self.any_pair(); self.random.below(3) as usize]
        };
        self.held.retain(|pair| !pairs.contains(pair));
        say(&FromWorker::Recalled(pairs));
    }

    /// A well-formed message that has no place here.
    fn say_anything(&mut self) {
        let (job, attempt) = self.any_pair();
        let message = match self.random.below(9) {
            0 => FromWorker::Started { job, attempt },
            1 => FromWorker::Credit {
                job,
                attempt,
                chunks: self.random.edge() as u32,
            },
            2 => FromWorker::Progress {
                job,
                attempt,
                done: self.random.edge(),
                total: self.random.edge(),
            },
            3 => FromWorker::Pong(self.random.edge()),
            4 => FromWorker::Ack(self.random.edge()),
            5 => FromWorker::DoneMany(Vec::new()),
            6 => FromWorker::Recalled(Vec::new()),
            7 => FromWorker::Omitted {
                job,
                attempt,
                stream: Stream::Stdout,
                bytes: self.random.edge(),
            },
            _ => return self.ready(),
        };
        say(&message);
    }

    /// A whole frame whose parts mean nothing, or say too much of themselves.
    fn broken_frame(&mut self) -> Next {
        let kind = 0x80 + self.random.below(14) as u8;
        let mut control = self.random.bytes(60);
        if self.random.once_in(2) && control.len() >= 8 {
            let length = self.random.edge().to_le_bytes();
            control[..8].copy_from_slice(&length);
        }
        let payload = self.random.bytes(60);
        let (mut c, mut p) = (control.len() as u32, payload.len() as u32);
        let too_long = self.random.once_in(3);
        if too_long {
            // Above the limit, by itself or in sum.
            c = 0xFFFF_FFF0;
            p |= self.random.next() as u32;
        }
        let mut frame = vec![0xB1, 0x0F, kind, 0];
        frame.extend(c.to_le_bytes());
        frame.extend(p.to_le_bytes());
        frame.extend(&control);
        frame.extend(&payload);
        frame.push(if self.random.once_in(8) { 0 } else { b'\n' });
        write(&frame);
        if too_long { Next::Hang } else { Next::GoOn }
    }

    /// A piece of a frame, and nothing behind it.
    fn piece(&mut self) -> Next {
        let pair = self.any_pair();
        let mut frame = BytesMut::new();
        let answer = self.answer_to(pair);
        codec::encode(&FromWorker::DoneMany(vec![answer]), &mut frame).expect("room");
        let length = self.random.below(frame.len() as u64) as usize;
        write(&frame[..length]);
        if self.random.once_in(2) {
            return Next::Hang;
        }
        self.last(self.random.clone().once_in(2))
    }

    /// Closes one of its pipes and lives on.
    fn end_of_the_link(&mut self) -> Next {
        if self.random.once_in(2) {
            nix::unistd::close(0).ok();
        }
        nix::unistd::close(1).ok();
        Next::Hang
    }

    /// Ends in one of several ways; after a goodbye it may also stay.
    fn last(&mut self, may_stay: bool) -> Next {
        match self.random.below(6) {
            0 if may_stay => self.end_of_the_link(),
            1 => {
                // The first may be taken by a handler of the Rust runtime.
                let signal = [Signal::SIGKILL, Signal::SIGSEGV, Signal::SIGTERM];
                let signal = signal[self.random.below(3) as usize];
                loop {
                    raise(signal).ok();
                }
            }
            2 => std::process::exit(self.random.next() as u8 as i32),
            _ => Next::End,
        }
    }

    /// A pair that it holds, held, or has never heard of.
    fn any_pair(&mut self) -> (JobId, Attempt) {
        let from = self.random.next() as usize;
        match self.random.below(4) {
            0 | 1 if !self.held.is_empty() => self.held[from % self.held.len()],
            2 if !self.over.is_empty() => self.over[from % self.over.len()],
            3 => (
                JobId(self.random.edge()),
                Attempt(self.random.edge() as u32),
            ),
            _ => (JobId::NONE, Attempt(0)),
        }
    }

    /// Reads until something has come; whether the link goes on.
    fn receive(&mut self) -> bool {
        let mut chunk = [0; 65536];
        let n = std::io::stdin().read(&mut chunk).unwrap_or(0);
        self.inbox.extend_from_slice(&chunk[..n]);
        while let Ok(Some(message)) = self.codec.decode(&mut self.inbox) {
            match message {
                ToWorker::Hello(hello) => self.hello = Some(hello.worker.0),
                ToWorker::RunMany(jobs) => {
                    let pairs = jobs.iter().map(|j| (j.header.job, j.header.attempt));
                    self.held.extend(pairs);
                }
                ToWorker::Recall(pairs) => self.recalled.extend(pairs),
                ToWorker::Bye => return false,
                _ => {}
            }
        }
        n > 0
    }

    /// The same without waiting.
    fn receive_ready(&mut self) {
        let stdin = std::io::stdin();
        let fd = std::os::fd::AsFd::as_fd(&stdin);
        let mut fds = [PollFd::new(fd, PollFlags::POLLIN)];
        if matches!(poll(&mut fds, PollTimeout::ZERO), Ok(1..)) {
            self.receive();
        }
    }
}

fn say(message: &FromWorker) {
    let mut frame = BytesMut::new();
    if codec::encode(message, &mut frame).is_ok() {
        write(&frame);
    }
}

/// Nobody may be reading.
fn write(bytes: &[u8]) {
    let mut out = std::io::stdout();
    out.write_all(bytes).and_then(|()| out.flush()).ok();
}

/// How many jobs each pool is given.
const JOBS: usize = 40;
/// How long a pool may take for them, on a machine that is ten times as busy as it should be.
const PATIENCE: Duration = Duration::from_secs(150);

/// A pool of workers in chaos, with deadlines to match.
fn config(mut launch: Launch, seed: u64) -> PoolConfig {
    launch.args.push(format!("chaos:{seed}").into());
    let mut config = PoolConfig::new(launch);
    config.printed = Printed::Capture;
    config.workers = 1 + seed as usize % 3;
    config.start_timeout = Duration::from_millis(500);
    config.start_attempts = 100;
    config.backoff = Duration::from_millis(1);
    config.backoff_max = Duration::from_millis(4);
    config.timeout = Some(Duration::from_millis(150));
    config.grace = Duration::from_millis(30);
    config.answer_timeout = Duration::from_millis(30);
    config.frame_timeout = Duration::from_millis(100);
    config.retries = seed as u32 % 2;
    config.retry_backoff = Duration::from_millis(1);
    config.restart_limit = 100;
    config.spawn_patience = Duration::from_millis(500);
    config.max_payload = 1 << 20;
    config.output_memory = 64 << 10;
    config.result_memory = 64 << 10;
    config
}

/// Lets a pool of such workers do some jobs, and gives how many succeeded.
///
/// # Errors
/// What it did wrong.
pub async fn survive(launch: Launch, seed: u64) -> Result<usize, String> {
    match tokio::time::timeout(PATIENCE, survive_unhurried(launch, seed)).await {
        Ok(Ok(succeeded)) => Ok(succeeded),
        Ok(Err(e)) => Err(format!("seed {seed}: {e}")),
        Err(_) => Err(format!("seed {seed}: it waits for ever")),
    }
}

async fn survive_unhurried(launch: Launch, seed: u64) -> Result<usize, String> {
    let pool = Pool::start(config(launch, seed)).map_err(|e| e.to_string())?;
    let (reports, mut ends) = Reports::channel();
    let mut accepted = BTreeSet::new();
    for n in 0..JOBS {
        let job = match n % 8 {
            // More than there is credit for.
            0 => RawJob::new(&Echo, &serde_bytes::ByteBuf::from(vec![3; 1_000_000])),
            _ => RawJob::new(&Noop, &()),
        };
        let job = job.map_err(|e| e.to_string())?;
        // It may have given up already.
        if let Ok(id) = pool.submit_to(job, &reports).await {
            accepted.insert(id);
        }
    }
    drop(reports);
    let mut succeeded = 0;
    let mut told = BTreeSet::new();
    while let Some(report) = ends.next().await {
        if !told.insert(report.job) {
            return Err(format!("job {} has two reports", report.job));
        }
        succeeded += usize::from(report.verdict == orchestrator::Verdict::Ok);
    }
    if told != accepted {
        return Err(format!("{} jobs, {} reports", accepted.len(), told.len()));
    }
    // With or without an error.
    pool.shutdown().await.ok();
    Ok(succeeded)
}
