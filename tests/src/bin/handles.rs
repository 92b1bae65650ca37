//! What handles cost: prints the bytes of memory for each of 100,000 handles of
//! jobs that wait, and of jobs that have ended.

#![expect(clippy::print_stdout, reason = "a program for tests")]
#![expect(clippy::unwrap_used, reason = "a program for tests")]

use orchestrator::{Launch, Pool, PoolConfig, block_on, gather};
use orchestrator_tests::tasks::Fib;

const HANDLES: usize = 100_000;

fn main() {
    let worker = std::env::args_os().nth(1).unwrap();
    let config = PoolConfig {
        workers: 2,
        max_pending: HANDLES,
        ..PoolConfig::new(Launch::program(worker))
    };
    block_on(async {
        let pool = Pool::start(config).unwrap();
        pool.run(Fib, 1).await.unwrap();
        pool.control().pause().await;
        let mut handles = Vec::with_capacity(HANDLES);
        let before = resident();
        for _ in 0..HANDLES {
            handles.push(pool.submit(Fib, 10).await.unwrap());
        }
        // The driver has taken them all when it answers.
        assert_eq!(pool.control().status().await.waiting, HANDLES);
        let waiting = (resident() - before) / HANDLES;
        pool.control().resume();
        while !handles.iter().all(orchestrator::JobHandle::is_finished) {
            tokio::task::yield_now().await;
        }
        let ended = (resident() - before) / HANDLES;
        println!("{waiting} {ended}");
        let sum: u64 = gather(handles).await.unwrap().iter().sum();
        assert_eq!(sum, 55 * HANDLES as u64);
        pool.shutdown().await.unwrap();
    });
}

/// Resident memory of this process in bytes.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().nth(1));
    kib.unwrap().parse::<usize>().unwrap() * 1024
}
