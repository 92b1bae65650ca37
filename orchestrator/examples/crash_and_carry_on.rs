//! Jobs that fail in every way, among jobs that do not: each failure is its own
//! job's, with its reason, and the pool goes on.
//!
//! ```sh
//! cargo run --release --example crash_and_carry_on
//! ```

#![expect(clippy::print_stdout, reason = "it shows what happens")]
#![expect(clippy::exit, reason = "that is a harm that jobs do")]

use std::time::Duration;

use orchestrator::{JobError, Pool, Printed, Registry, Task, block_on, gather_all};

/// Does what it is told, mostly harm.
struct Obey;

impl Task for Obey {
    const NAME: &'static str = "obey";
    type Input = String;
    type Output = usize;
}

fn obey(what: String) -> Result<usize, std::num::ParseIntError> {
    match what.as_str() {
        "panic" => panic!("as I was told"),
        "abort" => std::process::abort(),
        "exit" => std::process::exit(3),
        "overflow the stack" => Ok(overflow(1)),
        "hang" => loop {
            std::thread::sleep(Duration::from_secs(1));
        },
        // An error of its own, for what is no number.
        number => number.parse(),
    }
}

#[expect(unconditional_recursion, reason = "that is its harm")]
fn overflow(n: usize) -> usize {
    std::hint::black_box(overflow(n + 1)) + n
}

fn main() -> Result<(), JobError> {
    orchestrator::init(Registry::new().task(Obey, obey));
    let orders = [
        "1",
        "two",
        "panic",
        "3",
        "abort",
        "4",
        "exit",
        "5",
        "overflow the stack",
        "6",
        "hang",
        "7",
    ];
    block_on(async {
        let pool = Pool::builder()
            .workers(2)
            .timeout(Duration::from_millis(500))
            .grace(Duration::from_millis(100))
            // What dying workers say would be shown between the lines below.
            .printed(Printed::Capture)
            .start()?;
        let mut handles = Vec::new();
        for order in orders {
            handles.push(pool.submit(Obey, order.into()).await?);
        }
        for (order, outcome) in orders.iter().zip(gather_all(handles).await) {
            match outcome {
                Ok(number) => println!("{order:20} {number}"),
                Err(e) => println!("{order:20} {e}"),
            }
        }
        let stats = pool.stats().await;
        println!(
            "{} workers have died, and were replaced",
            stats.workers_died
        );
        Ok(pool.shutdown().await?)
    })
}
