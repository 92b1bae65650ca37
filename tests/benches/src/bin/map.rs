//! The library's `map` as a process of its own, to be compared with other
//! languages' pools: `bench-map JOBS WORKERS` prints the seconds that so many
//! jobs take, start-up not counted.

#![expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a benchmark measures time and prints what it measured"
)]

use std::time::Instant;

use orchestrator::{Launch, Pool, PoolConfig, block_on};
use orchestrator_benches::tasks::Number;

fn main() {
    let mut args = std::env::args().skip(1).map(|arg| arg.parse::<u64>());
    let (Some(Ok(jobs)), Some(Ok(workers)), None) = (args.next(), args.next(), args.next()) else {
        panic!("usage: bench-map JOBS WORKERS");
    };
    let own = std::env::current_exe().expect("a path");
    let mut config = PoolConfig::new(Launch::program(own.with_file_name("bench-worker")));
    config.workers = workers as usize;
    block_on(async {
        let pool = Pool::start(config).expect("a pool");
        map(&pool, 1_000).await;
        let start = Instant::now();
        map(&pool, jobs).await;
        println!("{}", start.elapsed().as_secs_f64());
        pool.shutdown().await.expect("an orderly end");
    });
}

async fn map(pool: &Pool, jobs: u64) {
    let mut results = pool.map(Number, 0..jobs);
    let mut sum = 0;
    while let Some(result) = results.next().await {
        sum += result.expect("a result");
    }
    assert_eq!(sum, jobs * (jobs - 1) / 2, "results are wrong or missing");
}
