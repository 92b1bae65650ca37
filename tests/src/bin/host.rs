//! A program with a pool, whose jobs print to its own stdout and stderr.
//!
//! `host WORKER DEED`: what it does is a function below. It says what it has to
//! say on stderr, and how its pool ended.

use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use orchestrator::{Launch, Pool, PoolConfig, PoolError, RawJob};
use orchestrator_tests::tasks::*;
use protocol::{CommandSpec, Program};

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let worker = args.next().expect("a worker");
    let deed = args.next().expect("a deed");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let end = runtime.block_on(async {
        let mut config = PoolConfig::new(Launch::program(worker));
        config.workers = 2;
        let pool = Pool::start(config).expect("a pool");
        match &*deed {
            "print" => print(&pool).await,
            "block" => block(&pool).await,
            "both" => both(&pool).await,
            "order" => order(&pool).await,
            "lock" => lock(&pool).await,
            "panic" => panic_beside_jobs(&pool).await,
            other => panic!("nobody can {other}"),
        }
        pool.shutdown().await
    });
    match end {
        Ok(()) => ExitCode::SUCCESS,
        Err(PoolError::NotPrinted { lines, source }) => {
            say(&format!("not printed: {lines} lines: {:?}", source.kind()));
            ExitCode::from(3)
        }
        Err(e) => panic!("{e}"),
    }
}

fn say(text: &str) {
    writeln!(std::io::stderr(), "{text}").expect("stderr");
}

/// Many jobs at once.
async fn print(pool: &Pool) {
    let mut handles = Vec::new();
    for n in 0..40 {
        let line = format!("{n}:{}", "x".repeat(n * 10));
        handles.push(pool.submit(Print, (line, 100)).await.expect("room"));
    }
    for handle in handles {
        handle.await.expect("a result");
    }
}

/// A job that prints 60 MB, and others beside it.
async fn block(pool: &Pool) {
    let much = pool.submit(Print, ("y".repeat(999), 60_000)).await;
    for n in 0..1_000 {
        assert_eq!(pool.run(Mirror, point(n)).await.expect("a point").x, -n);
    }
    say("the others are done");
    much.expect("room").await.expect("a result");
}

fn point(x: i32) -> Point {
    let label = String::new();
    Point { x, label }
}

/// A command with two streams, and a worker that complains.
async fn both(pool: &Pool) {
    let text = b"echo out; printf last; echo err >&2".to_vec();
    let program = Program::Shell {
        text: text.into(),
        args: Vec::new(),
    };
    let job = RawJob::command(&CommandSpec::new(program)).expect("a job");
    let report = pool.submit_raw(job).await.expect("room").await;
    assert!(report.expect("a report").stdout.is_empty());
    let change = ("env".to_owned(), "value".to_owned());
    pool.run(Change, change).await.expect("a result");
}

/// Results between the lines.
async fn order(pool: &Pool) {
    for n in 0..200 {
        let printed = pool.run(Print, (format!("job {n}"), 1)).await;
        printed.expect("a result");
        writeln!(std::io::stdout(), "result {n}").expect("stdout");
    }
    // What came long before its job's end may not be written for that.
    for n in 200..220 {
        let printed = pool.run(PrintThenSleep, (format!("job {n}"), 3)).await;
        printed.expect("a result");
        writeln!(std::io::stdout(), "result {n}").expect("stdout");
    }
}

/// Keeps its streams to itself while it waits for a job that prints.
async fn lock(pool: &Pool) {
    let mut stdout = std::io::stdout().lock();
    let stderr = std::io::stderr().lock();
    let printed = tokio::time::timeout(Duration::from_secs(20), async {
        let change = ("env".to_owned(), "value".to_owned());
        pool.run(Change, change).await.expect("a result");
        let printed = pool.run(Print, ("job".to_owned(), 2)).await;
        printed.expect("a result");
    });
    printed.await.expect("no job waits for the streams");
    writeln!(stdout, "result").expect("stdout");
    drop(stderr);
}

/// Fails while jobs run that nothing else would end.
async fn panic_beside_jobs(pool: &Pool) {
    let mut handles = Vec::new();
    for _ in 0..2 {
        handles.push(pool.submit(SleepBlind, 600_000).await.expect("room"));
    }
    while pool.control().status().await.running.len() < 2 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    panic!("both run");
}
