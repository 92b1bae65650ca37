//! The worker of the benchmarks.

use std::process::ExitCode;
use std::thread::sleep;
use std::time::Duration;

use orchestrator_benches::tasks::{self, Busy, Echo, Noop, Number, Sleep, Sum};
use worker::Registry;

fn main() -> ExitCode {
    Registry::new()
        .task(Noop, |()| ())
        .task(Number, |n| n)
        .task(Echo, |bytes| bytes)
        .task(Busy, tasks::busy)
        .task(Sum, tasks::sum)
        .task(Sleep, |ms| sleep(Duration::from_millis(ms)))
        .serve()
}
