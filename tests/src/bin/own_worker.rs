//! A program that is its own worker, or forgets to say so.
//!
//! With REFUSE in its environment it refuses arguments before `init`, as programs do
//! that parse them first. Its arguments are steps, taken in order: `forget` (only as the first) leaves
//! `worker::init` out, `unlink` removes this program's file, `run` starts a pool
//! of two workers and prints what they answer, `default` uses the default pools
//! from two runtimes, and once more after they were shut down, `leave` ends the
//! program while the default pool runs a job.

use std::error::Error;
use std::io::Write;
use std::thread::sleep;
use std::time::Duration;

use orchestrator::{JobError, Launch, Pool, PoolConfig, block_on};
use orchestrator_tests::tasks::{Fib, Pid, SleepBlind};
use worker::Registry;

fn main() -> Result<(), Box<dyn Error>> {
    let options = std::env::args().any(|arg| arg.starts_with("--"));
    if options && std::env::var_os("REFUSE").is_some() {
        return Err("unexpected argument".into());
    }
    if std::env::args().nth(1).as_deref() != Some("forget") {
        worker::init(
            Registry::new()
                .task(Fib, |n| (0..n).fold((0, 1), |(a, b), _| (b, a + b)).0)
                .task(Pid, |()| std::process::id())
                .task(SleepBlind, |ms| sleep(Duration::from_millis(ms))),
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
            "default" => {
                // Each `block_on` has a runtime of its own.
                let pids = [block_on(default())?, block_on(default())?];
                assert_eq!(pids[0], pids[1], "it is the same pool");
                block_on(async {
                    orchestrator::default_pool()?.shutdown().await?;
                    orchestrator::default_threads()?.shutdown().await
                })?;
                assert_ne!(block_on(default())?, pids[0]);
                writeln!(std::io::stdout(), "default")?;
            }
            "leave" => block_on(async {
                let pool = orchestrator::default_pool()?;
                // It is there, and works.
                pool.run(Pid, ()).await?;
                drop(pool.submit(SleepBlind, 600_000).await?);
                Ok::<(), JobError>(())
            })?,
            other => return Err(format!("unknown step {other}").into()),
        }
    }
    Ok(())
}

/// The process id of the one worker that answers at a time.
async fn default() -> Result<u32, Box<dyn Error>> {
    assert_eq!(orchestrator::blocking(|| 6 * 7).await?, 42);
    let panicked = orchestrator::blocking(|| panic!("ouch")).await;
    assert!(matches!(panicked, Err::<(), _>(JobError::Panicked(_))));
    orchestrator::default_pool()?.resize(1)?;
    Ok(orchestrator::run(Pid, ()).await?)
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
