//! The classic demonstration: six jobs that take a random time each, up to 1.5
//! seconds, run in five ways.
//!
//! ```sh
//! cargo run --release --example big_work          # or: … big_work 0.2, for shorter jobs
//! ```
//!
//! It shows when concurrent code is concurrent: not by being `async`, but by
//! being waited for together.

#![expect(clippy::print_stdout, reason = "it shows what happens")]
#![expect(clippy::disallowed_methods, reason = "it shows how long that takes")]

use std::time::{Duration, Instant};

use orchestrator::{
    JobError, Pool, Registry, Task, block_on, blocking, default_pool, future, gather,
};

/// CPU-heavy code: it computes for so many milliseconds.
struct BigWork;

impl Task for BigWork {
    const NAME: &'static str = "big_work";
    type Input = (usize, u64);
    type Output = usize;
}

fn main() -> Result<(), JobError> {
    // Started by the pool of step 5, this program is one of its workers.
    orchestrator::init(Registry::new().task(BigWork, |(n, ms)| compute(n, ms)));

    let longest = std::env::args().nth(1).and_then(|arg| arg.parse().ok());
    let times = random_times(6, longest.unwrap_or(1.5));
    let sum: u64 = times.iter().sum();
    let longest = times.iter().max().copied().unwrap_or_default();
    println!("six jobs of {times:?} ms: {sum} ms in all, the longest {longest} ms\n");

    step("1. one after the other", async {
        let mut results = Vec::new();
        for (n, &ms) in times.iter().enumerate() {
            results.push(wait(n, ms).await?);
        }
        Ok(results)
    })?;
    step(
        "2. the trap: a list of futures, awaited one by one",
        async {
            // Nothing has begun yet: a future does nothing until it is awaited.
            let futures: Vec<_> = (0..).zip(&times).map(|(n, &ms)| wait(n, ms)).collect();
            let mut results = Vec::new();
            for future in futures {
                results.push(future.await?);
            }
            Ok(results)
        },
    )?;
    step("3. together: gather", async {
        gather((0..).zip(&times).map(|(n, &ms)| future(wait(n, ms)))).await
    })?;
    step("4. blocking code, in threads", async {
        let sleep = |(n, &ms): (usize, &u64)| future(blocking(move || sleep(n, ms)));
        gather((0..).zip(&times).map(sleep)).await
    })?;
    // That the workers start is not part of the time that is taken.
    let pool = default_pool()?;
    block_on(pool.tasks())?;
    step("5. CPU-heavy code, in processes", all(&pool, &times))?;

    println!("1. and 2. take the sum of the times, 3. and 4. the longest; 5. the sum");
    println!("divided by the number of CPUs, or the longest if that is more.");
    Ok(())
}

/// Every job is submitted, and runs, before the first is awaited.
async fn all(pool: &Pool, times: &[u64]) -> Result<Vec<usize>, JobError> {
    let mut handles = Vec::new();
    for (n, &ms) in times.iter().enumerate() {
        handles.push(pool.submit(BigWork, (n, ms)).await?);
    }
    gather(handles).await
}

/// Runs one of the five, and says how long it took.
fn step(
    name: &str,
    run: impl Future<Output = Result<Vec<usize>, JobError>>,
) -> Result<(), JobError> {
    println!("{name}");
    let start = Instant::now();
    let results = block_on(run)?;
    assert_eq!(results, [0, 1, 2, 3, 4, 5], "results are in order");
    println!("   took {} ms\n", start.elapsed().as_millis());
    Ok(())
}

async fn wait(n: usize, ms: u64) -> Result<usize, JobError> {
    println!("   start {n}");
    tokio::time::sleep(Duration::from_millis(ms)).await;
    println!("   end {n}");
    Ok(n)
}

fn sleep(n: usize, ms: u64) -> usize {
    println!("   start {n}");
    std::thread::sleep(Duration::from_millis(ms));
    println!("   end {n}");
    n
}

fn compute(n: usize, ms: u64) -> usize {
    println!("   start {n}");
    let start = Instant::now();
    let mut x = 1u64;
    while start.elapsed() < Duration::from_millis(ms) {
        for _ in 0..1000 {
            x = std::hint::black_box(x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1));
        }
    }
    println!("   end {n}");
    n
}

/// Milliseconds, a fifth of `longest` seconds at least: different in every run.
fn random_times(count: usize, longest: f64) -> Vec<u64> {
    use std::hash::{BuildHasher, Hasher, RandomState};
    let random = |_| RandomState::new().build_hasher().finish() as f64 / u64::MAX as f64;
    let ms = |n| ((0.2 + 0.8 * random(n)) * longest * 1000.0) as u64;
    (0..count).map(ms).collect()
}
