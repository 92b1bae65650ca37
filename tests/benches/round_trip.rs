//! One job in flight: the pool, its driver inline in the caller's runtime,
//! against the smallest thing that could do the same: two processes that pass
//! the same frames through pipes with blocking reads and writes.
//!
//! Both are measured in one run, in turns; figures are medians over the rounds.
//! `cargo bench -p orchestrator-tests --bench round_trip`

#![expect(
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a benchmark measures time and prints what it measured"
)]

use std::io::{Read, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;
use orchestrator::{Launch, Pool, PoolConfig};
use orchestrator_tests::bench::{median, micros};
use orchestrator_tests::tasks::Noop;
use protocol::{
    Answer, Assignment, Attempt, Codec, DoneHeader, Encoding, FromWorker, JobHeader, JobId,
    Outcome, ToWorker, Usage, codec,
};
use tokio_util::codec::Decoder;

const TRIPS: u32 = 5_000;
const ROUNDS: usize = 9;

fn main() {
    if std::env::args().nth(1).as_deref() == Some("--echo") {
        return echo();
    }
    println!("round trip, one job in flight, median of {ROUNDS} rounds of {TRIPS}");
    // Where the kernel puts two processes that wake each other up decides more
    // than either program: waking an idle CPU can cost ten times the rest. So
    // the comparison that means something has both on one CPU.
    let everywhere = sched_getaffinity(Pid::from_raw(0)).expect("affinity");
    let mut one = CpuSet::new();
    let cpu = (0..CpuSet::count()).find(|&cpu| everywhere.is_set(cpu).unwrap_or(false));
    one.set(cpu.expect("a CPU")).expect("a CPU number");
    sched_setaffinity(Pid::from_raw(0), &one).expect("affinity");
    compare("on one CPU", "(at most 3)");
    sched_setaffinity(Pid::from_raw(0), &everywhere).expect("affinity");
    compare("where the kernel likes", "");
}

fn compare(placement: &str, bound: &str) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let mut floor = Floor::start();
    let mut config = PoolConfig::new(Launch::program(env!("CARGO_BIN_EXE_test-worker")));
    config.workers = 1;
    let pool = runtime.block_on(async { Pool::start(config).expect("a pool") });
    let mut floors = Vec::new();
    let mut pools = Vec::new();
    floor.trips(TRIPS);
    runtime.block_on(trips(&pool, TRIPS));
    for _ in 0..ROUNDS {
        floors.push(floor.trips(TRIPS));
        pools.push(runtime.block_on(trips(&pool, TRIPS)));
    }
    runtime.block_on(pool.shutdown()).expect("an orderly end");
    floor.end();
    let (floor, pool) = (median(&mut floors), median(&mut pools));
    println!("{placement}");
    println!("  bare pipe ping-pong   {:>8.2} us", micros(floor, TRIPS));
    println!("  pool, driver inline   {:>8.2} us", micros(pool, TRIPS));
    let ratio = pool.as_secs_f64() / floor.as_secs_f64();
    println!("  ratio                 {ratio:>8.2}    {bound}");
}

async fn trips(pool: &Pool, count: u32) -> Duration {
    let start = Instant::now();
    for _ in 0..count {
        pool.run(Noop, ()).await.expect("a result");
    }
    start.elapsed()
}

/// The other side of the floor: answers each job at once.
fn echo() {
    let mut input = std::io::stdin().lock();
    let mut output = std::io::stdout().lock();
    let mut codec = Codec::<ToWorker, FromWorker>::new();
    let mut buffer = BytesMut::with_capacity(1 << 16);
    let mut out = BytesMut::with_capacity(1 << 16);
    let mut chunk = vec![0; 1 << 16];
    loop {
        let n = input.read(&mut chunk).expect("input");
        if n == 0 {
            return;
        }
        buffer.extend_from_slice(&chunk[..n]);
        while let Some(message) = codec.decode(&mut buffer).expect("a frame") {
            if let ToWorker::RunMany(jobs) = message {
                let answers = jobs.iter().map(|job| Answer {
                    header: DoneHeader {
                        job: job.header.job,
                        attempt: job.header.attempt,
                        outcome: Outcome::Ok,
                        usage: Usage::default(),
                    },
                    payload: Bytes::new(),
                });
                codec::encode(&FromWorker::DoneMany(answers.collect()), &mut out).expect("room");
            }
        }
        output.write_all(&out).expect("output");
        output.flush().expect("output");
        out.clear();
    }
}

struct Floor {
    child: Child,
    input: ChildStdin,
    output: ChildStdout,
    job: u64,
}

impl Floor {
    #[expect(
        clippy::disallowed_methods,
        reason = "the floor is made of bare processes"
    )]
    fn start() -> Floor {
        let mut child = Command::new(std::env::current_exe().expect("this program"))
            .arg("--echo")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a child");
        let input = child.stdin.take().expect("piped");
        let output = child.stdout.take().expect("piped");
        Floor {
            child,
            input,
            output,
            job: 0,
        }
    }

    fn trips(&mut self, count: u32) -> Duration {
        let mut codec = Codec::<FromWorker, ToWorker>::new();
        let mut buffer = BytesMut::with_capacity(1 << 16);
        let mut out = BytesMut::with_capacity(1 << 16);
        let mut chunk = vec![0; 1 << 16];
        let start = Instant::now();
        for _ in 0..count {
            self.job += 1;
            let job = Assignment {
                header: JobHeader {
                    job: JobId(self.job),
                    attempt: Attempt::FIRST,
                    task: 0,
                    encoding: Encoding::Bincode,
                    input_len: 0,
                },
                input: Bytes::new(),
            };
            codec::encode(&ToWorker::RunMany(vec![job]), &mut out).expect("room");
            self.input.write_all(&out).expect("input");
            out.clear();
            loop {
                let n = self.output.read(&mut chunk).expect("output");
                assert!(n > 0, "the echo has ended");
                buffer.extend_from_slice(&chunk[..n]);
                if codec.decode(&mut buffer).expect("a frame").is_some() {
                    break;
                }
            }
        }
        start.elapsed()
    }

    fn end(mut self) {
        drop(self.input);
        self.child.wait().expect("a status");
    }
}
