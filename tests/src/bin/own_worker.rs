//! A program that is its own worker, or forgets to say so.
//!
//! Its arguments are steps, taken in order: `forget` (only as the first) leaves
//! `worker::init` out, `unlink` removes this program's file, `run` starts a pool
//! of two workers and prints what they answer.

use std::error::Error;
use std::io::Write;

use orchestrator::{Launch, Pool, PoolConfig};
use orchestrator_tests::tasks::{Fib, Pid};
use worker::Registry;

fn main() -> Result<(), Box<dyn Error>> {
    if std::env::args().nth(1).as_deref() != Some("forget") {
        worker::init(
            Registry::new()
                .task(Fib, |n| (0..n).fold((0, 1), |(a, b), _| (b, a + b)).0)
                .task(Pid, |()| std::process::id()),
        );
    }
    for step in std::env::args().skip(1) {
        match &*step {
            "forget" => {}
            "unlink" => std::fs::remove_file(std::env::current_exe()?)?,
            "run" => tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?
                .block_on(run())?,
            other => return Err(format!("unknown step {other}").into()),
        }
    }
    Ok(())
}

async fn run() -> Result<(), Box<dyn Error>> {
    let mut config = PoolConfig::new(Launch::current_exe());
    config.workers = 2;
    let pool = Pool::start(config)?;
    let fib = pool.run(Fib, 10).await?;
    let other = pool.run(Pid, ()).await? != std::process::id();
    pool.shutdown().await?;
    writeln!(std::io::stdout(), "fib {fib}, elsewhere {other}")?;
    Ok(())
}
