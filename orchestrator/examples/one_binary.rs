//! A CPU-heavy function on all cores, in one program: `worker` and orchestrator
//! are the same binary.
//!
//! ```sh
//! cargo run --release --example one_binary
//! ```

#![expect(clippy::print_stdout, reason = "it shows its result")]

use orchestrator::{JobError, Pool, Registry, Task, block_on};

/// How many primes there are from `start` to `start + 100,000`.
struct Primes;

impl Task for Primes {
    const NAME: &'static str = "primes";
    type Input = u64;
    type Output = usize;
}

fn main() -> Result<(), JobError> {
    orchestrator::init(Registry::new().task(Primes, |start| {
        let is_prime = |&n: &u64| {
            let mut divisor = 2;
            while divisor * divisor <= n && n % divisor != 0 {
                divisor += 1;
            }
            n > 1 && divisor * divisor > n
        };
        (start..start + 100_000).filter(is_prime).count()
    }));
    block_on(async {
        let pool = Pool::builder().start()?;
        let mut counts = pool.map(Primes, (0..20).map(|n| n * 100_000));
        let mut sum = 0;
        while let Some(count) = counts.next().await {
            sum += count?;
        }
        println!("{sum} primes below 2,000,000");
        Ok(pool.shutdown().await?)
    })
}
