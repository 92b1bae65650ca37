//! The library against the floor: `cargo bench -p orchestrator-benches`, or with
//! the names of cases behind `--`, and `--only TEXT` for some of what they compare. With `--json FILE` the figures go there too.

#![expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a benchmark measures time and prints what it measured"
)]

use std::time::{Duration, Instant};

use bytes::Bytes;
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;
use orchestrator::pool::usable_cpus;
use orchestrator::{Launch, Pool, PoolConfig};
use orchestrator_benches::floor::{Copier, Floor, Frames};
use orchestrator_benches::measure::Comparison;
use orchestrator_benches::tasks::{self, Busy, Echo, Noop, Sum};
use serde_bytes::ByteBuf;
use tokio::runtime::Runtime;

const FLOOR: &str = env!("CARGO_BIN_EXE_floor");
const WORKER: &str = env!("CARGO_BIN_EXE_bench-worker");

/// Measures what names contain one of these, and gives the figures as lines of
/// JSON.
type Case = fn(&[String]) -> String;

const CASES: [(&str, Case); 7] = [
    ("round-trip", round_trip),
    ("round-trip-one-cpu", round_trip_on_one_cpu),
    ("map", map),
    ("payloads", payloads),
    ("copy", copy),
    ("mixed", mixed),
    ("speed-up", speed_up),
];

fn main() {
    // Cargo adds `--bench`.
    let mut args = std::env::args().skip(1).filter(|arg| arg != "--bench");
    let (mut wanted, mut only, mut file) = (Vec::new(), Vec::new(), None);
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--only" => only.extend(args.next()),
            "--json" => file = args.next(),
            name => wanted.push(name.to_owned()),
        }
    }
    let mut json = String::new();
    for (name, case) in CASES {
        if wanted.is_empty() || wanted.iter().any(|w| w == name) {
            json += &case(&only);
        }
    }
    assert!(
        !json.is_empty(),
        "no such case; there are {:?}",
        CASES.map(|(name, _)| name)
    );
    if let Some(file) = file {
        std::fs::write(file, json).expect("the file for the figures");
    }
}

/// A pool and where its driver runs.
struct Bench {
    runtime: Runtime,
    pool: Pool,
}

impl Bench {
    /// The driver runs in the caller's runtime.
    fn inline(workers: usize) -> Bench {
        Bench::start(workers, false)
    }

    /// The driver has a thread of its own.
    fn apart(workers: usize) -> Bench {
        Bench::start(workers, true)
    }

    fn start(workers: usize, apart: bool) -> Bench {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        let mut config = PoolConfig::new(Launch::program(WORKER));
        config.workers = workers;
        let pool = if apart {
            Pool::start_on_own_thread(config)
        } else {
            runtime.block_on(async { Pool::start(config) })
        };
        let pool = pool.expect("a pool");
        runtime.block_on(pool.run(Noop, ())).expect("a result");
        Bench { runtime, pool }
    }

    fn trips(&self, count: u64) -> Duration {
        let start = Instant::now();
        self.runtime.block_on(async {
            for _ in 0..count {
                self.pool.run(Noop, ()).await.expect("a result");
            }
        });
        start.elapsed()
    }

    fn map(&self, count: u64) -> Duration {
        let start = Instant::now();
        self.runtime.block_on(async {
            let mut results = self.pool.map(Noop, (0..count).map(|_| ()));
            let mut got = 0;
            while let Some(result) = results.next().await {
                result.expect("a result");
                got += 1;
            }
            assert_eq!(got, count);
        });
        start.elapsed()
    }

    fn echo(&self, count: u64, size: usize) -> Duration {
        let input = ByteBuf::from(vec![7; size]);
        let start = Instant::now();
        self.runtime.block_on(async {
            // To make an input is no work of the pool's: the last one is no copy.
            let inputs = std::iter::repeat_n(input, count as usize);
            let mut results = self.pool.map(Echo, inputs);
            while let Some(result) = results.next().await {
                assert_eq!(result.expect("a result").len(), size);
            }
        });
        start.elapsed()
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        self.runtime
            .block_on(self.pool.shutdown())
            .expect("an orderly end");
    }
}

fn round_trip(only: &[String]) -> String {
    compare_trips("one job at a time, where the kernel likes", true, only)
}

/// Where the kernel puts two processes that wake each other up decides more
/// than either program. On one CPU it has no choice.
fn round_trip_on_one_cpu(only: &[String]) -> String {
    let everywhere = sched_getaffinity(Pid::from_raw(0)).expect("affinity");
    let mut one = CpuSet::new();
    let cpu = (0..CpuSet::count()).find(|&cpu| everywhere.is_set(cpu).unwrap_or(false));
    one.set(cpu.expect("a CPU")).expect("a CPU number");
    sched_setaffinity(Pid::from_raw(0), &one).expect("affinity");
    let json = compare_trips("one job at a time, all on one CPU", false, only);
    sched_setaffinity(Pid::from_raw(0), &everywhere).expect("affinity");
    json
}

fn compare_trips(title: &str, judged: bool, only: &[String]) -> String {
    const TRIPS: u64 = 5_000;
    let mut floor = Floor::start(FLOOR, 1, Frames::PerJob);
    let (inline, apart) = (Bench::inline(1), Bench::apart(1));
    let bound = |share| judged.then_some(share);
    Comparison::new(title, TRIPS as f64, "job")
        .with("floor, window 1", None, || {
            floor.jobs(TRIPS, 1, &Bytes::new())
        })
        .with("pool, driver inline", bound(0.5), || inline.trips(TRIPS))
        .with("pool, driver on its own thread", bound(1.0 / 3.0), || {
            apart.trips(TRIPS)
        })
        .run(only)
}

fn map(only: &[String]) -> String {
    const JOBS: u64 = 1_000_000;
    let nothing = Bytes::new();
    let mut two = Floor::start(FLOOR, 2, Frames::PerBatch);
    let mut one = Floor::start(FLOOR, 1, Frames::PerBatch);
    let mut per_job = Floor::start(FLOOR, 1, Frames::PerJob);
    let (inline1, inline2) = (Bench::inline(1), Bench::inline(2));
    let (apart1, apart2) = (Bench::apart(1), Bench::apart(2));
    Comparison::new("1,000,000 jobs that do nothing", JOBS as f64, "job")
        .with("floor, window 1,024, 1 peer", None, || {
            one.jobs(JOBS, 1024, &nothing)
        })
        .with("floor, window 1,024, 2 peers", None, || {
            two.jobs(JOBS, 1024, &nothing)
        })
        .with("floor, window 1,024, a frame per job", None, || {
            per_job.jobs(JOBS, 1024, &nothing)
        })
        .with("map, driver inline, 1 worker", Some(1.0 / 3.0), || {
            inline1.map(JOBS)
        })
        .with("map, driver inline, 2 workers", None, || inline2.map(JOBS))
        .with("map, driver on its own thread, 1 worker", None, || {
            apart1.map(JOBS)
        })
        .with("map, driver on its own thread, 2 workers", None, || {
            apart2.map(JOBS)
        })
        .run(only)
}

fn payloads(only: &[String]) -> String {
    let mut json = String::new();
    for (title, size, jobs) in [
        ("payloads of 64 B", 64, 200_000_u64),
        ("payloads of 64 KiB", 64 << 10, 4_000),
    ] {
        let payload = Bytes::from(vec![7; size]);
        let mut floor = Floor::start(FLOOR, 1, Frames::PerBatch);
        let window = if size > 4096 { 1 } else { 64 };
        let pool = Bench::inline(1);
        json += &Comparison::new(title, jobs as f64, "job")
            .with(
                if window == 1 {
                    "floor, window 1"
                } else {
                    "floor, window 64"
                },
                None,
                || floor.jobs(jobs, window, &payload),
            )
            .with("map, driver inline, 1 worker", None, || {
                pool.echo(jobs, size)
            })
            .run(only);
    }
    json
}

fn copy(only: &[String]) -> String {
    const SIZE: usize = 16 << 20;
    let bytes = vec![7; SIZE];
    let mut copier = Copier::start(FLOOR);
    let pool = Bench::inline(1);
    Comparison::new("16 MiB there and back", 1.0, "trip")
        .with("plain pipes", None, || copier.round(&bytes))
        .with("pool, driver inline", Some(0.5), || pool.echo(1, SIZE))
        .run(only)
}

/// 99 % of 10 us, 1 % of 10 ms.
fn mixed(only: &[String]) -> String {
    const JOBS: u64 = 20_000;
    let time = |n| if n % 100 == 99 { 10_000 } else { 10 };
    let workers = usable_cpus();
    let ideal = (0..JOBS).map(time).sum::<u64>() / workers as u64;
    let pool = Bench::inline(workers);
    Comparison::new("mixed durations: 99 % of 10 us, 1 % of 10 ms", 1.0, "run")
        .with("ideal makespan (computed)", None, || {
            Duration::from_micros(ideal)
        })
        .with("map, driver inline", Some(1.0 / 1.05), || {
            let start = Instant::now();
            pool.runtime.block_on(async {
                let mut results = pool.pool.map(Busy, (0..JOBS).map(time)).unordered();
                while let Some(result) = results.next().await {
                    result.expect("a result");
                }
            });
            start.elapsed()
        })
        .run(only)
}

/// A numeric task of 100 us on all CPUs, against the same number of processes
/// that do nothing but compute.
fn speed_up(only: &[String]) -> String {
    const JOBS: u64 = 20_000;
    let workers = usable_cpus();
    let steps = calibrate();
    let pool = Bench::inline(workers);
    let title = "CPU-heavy jobs of 100 us on all CPUs";
    Comparison::new(title, JOBS as f64, "job")
        .with("ideal: threads that only compute", None, || {
            let start = Instant::now();
            std::thread::scope(|scope| {
                for _ in 0..workers {
                    scope.spawn(|| {
                        (0..JOBS / workers as u64)
                            .map(|_| tasks::sum(steps))
                            .fold(0, u64::wrapping_add)
                    });
                }
            });
            start.elapsed()
        })
        .with("map, driver inline", Some(0.97), || {
            let start = Instant::now();
            pool.runtime.block_on(async {
                let inputs = std::iter::repeat_n(steps, JOBS as usize);
                let mut results = pool.pool.map(Sum, inputs);
                while let Some(result) = results.next().await {
                    result.expect("a result");
                }
            });
            start.elapsed()
        })
        .run(only)
}

/// How many steps take 100 us.
fn calibrate() -> u64 {
    let steps = 10_000_000;
    let start = Instant::now();
    std::hint::black_box(tasks::sum(steps));
    let took = start.elapsed().as_secs_f64();
    println!("(a step takes {:.2} ns)", took * 1e9 / steps as f64);
    (1e-4 / took * steps as f64) as u64
}
