//! A CPU-heavy registered task on one worker, and on as many as there are
//! usable CPUs: the time must shrink by nearly that factor.
//!
//! All pools are measured in one run, in turns; figures are medians.
//! `cargo bench -p orchestrator-tests --bench speed_up`

#![expect(
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a benchmark measures time and prints what it measured"
)]

use std::time::{Duration, Instant};

use orchestrator::pool::usable_cpus;
use orchestrator::{Launch, Pool, PoolConfig};
use orchestrator_tests::bench::median;
use orchestrator_tests::tasks::Primes;

const JOBS: u64 = 400;
const ROUNDS: usize = 7;

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let counts: Vec<usize> = (1..=usable_cpus()).collect();
    let pools: Vec<Pool> = counts
        .iter()
        .map(|&workers| {
            let mut config = PoolConfig::new(Launch::program(env!("CARGO_BIN_EXE_test-worker")));
            config.workers = workers;
            runtime.block_on(async { Pool::start(config).expect("a pool") })
        })
        .collect();
    // Some milliseconds per job on any machine.
    let size = runtime.block_on(calibrate(&pools[0]));
    let mut times = vec![Vec::new(); pools.len()];
    for _ in 0..ROUNDS {
        for (pool, times) in pools.iter().zip(&mut times) {
            times.push(runtime.block_on(count(pool, size)));
        }
    }
    for pool in pools {
        runtime.block_on(pool.shutdown()).expect("an orderly end");
    }
    println!("{JOBS} jobs that count primes below {size}, median of {ROUNDS} rounds");
    let one = median(&mut times[0]);
    for (workers, times) in counts.iter().zip(&mut times) {
        let time = median(times);
        let share = one.as_secs_f64() / time.as_secs_f64() / *workers as f64;
        println!(
            "  {workers:>3} workers {:>9.1} ms   {share:.3} of the ideal speed-up (at least 0.97)",
            time.as_secs_f64() * 1e3,
        );
    }
}

async fn calibrate(pool: &Pool) -> u64 {
    // Not the worker's start.
    pool.run(Primes, 2).await.expect("a result");
    let mut size = 10_000;
    loop {
        let start = Instant::now();
        pool.run(Primes, size).await.expect("a result");
        if start.elapsed() > Duration::from_millis(4) {
            return size;
        }
        size = size * 5 / 4;
    }
}

async fn count(pool: &Pool, size: u64) -> Duration {
    let start = Instant::now();
    let mut results = pool.map(Primes, std::iter::repeat_n(size, JOBS as usize));
    while let Some(result) = results.next().await {
        assert!(result.expect("a result") > 0);
    }
    start.elapsed()
}
