//! A worker with two tasks of its own:
//! `orchestrator run --worker target/release/examples/primes …`

use std::process::ExitCode;

use worker::{Cancelled, JobContext, Registry, Task};

/// How many primes there are below a number.
struct Primes;

impl Task for Primes {
    const NAME: &'static str = "primes";
    type Input = u64;
    type Output = u64;
}

/// The n-th Fibonacci number, modulo 2^64.
struct Fib;

impl Task for Fib {
    const NAME: &'static str = "fib";
    type Input = u64;
    type Output = u64;
}

fn main() -> ExitCode {
    Registry::new()
        .task_ctx(Primes, primes)
        .task(Fib, fib)
        .serve()
}

/// By trial division: slow on purpose, so that there is something to share
/// out. It looks now and then whether somebody still wants the result.
fn primes(below: u64, job: &JobContext) -> Result<u64, Cancelled> {
    let mut count = 0;
    for n in 2..below {
        if n % 4096 == 0 {
            job.checkpoint()?;
            job.progress(n, below);
        }
        let divisors = (2..).take_while(|d| d * d <= n);
        count += u64::from(divisors.into_iter().all(|d| !n.is_multiple_of(d)));
    }
    Ok(count)
}

fn fib(n: u64) -> u64 {
    let next = |(a, b): (u64, u64), _| (b, a.wrapping_add(b));
    (0..n).fold((0, 1), next).0
}
