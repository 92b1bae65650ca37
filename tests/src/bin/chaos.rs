//! Pools of workers in chaos, one for each seed from the first number to the
//! second, eight at a time. A process of its own, so that its memory is known:
//! it prints how many jobs succeeded, and its peak in KiB.
//!
//! `chaos FIRST LAST PROGRAM ARGUMENT…` with whatever starts a rogue.

use std::process::ExitCode;

use orchestrator::Launch;
use orchestrator_tests::chaos::survive;
use tokio::task::LocalSet;

fn main() -> ExitCode {
    let mut words = std::env::args().skip(1);
    let mut number = || words.next().and_then(|n| n.parse::<u64>().ok());
    let (first, last) = number().zip(number()).expect("two numbers");
    let mut launch = Launch::program(words.next().expect("a program"));
    launch.args = words.map(Into::into).collect();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let ends = LocalSet::new().block_on(&runtime, async {
        let mut seeds = first..=last;
        let mut pools = tokio::task::JoinSet::new();
        let mut ends = Vec::new();
        loop {
            while pools.len() < 8
                && let Some(seed) = seeds.next()
            {
                pools.spawn_local(survive(launch.clone(), seed));
            }
            match pools.join_next().await {
                None => return ends,
                Some(end) => ends.push(end.map_err(|e| e.to_string()).and_then(|end| end)),
            }
        }
    });
    let mut succeeded = 0;
    for end in ends {
        match end {
            Ok(jobs) => succeeded += jobs,
            Err(what) => {
                say(&format!("error: {what}"));
                return ExitCode::FAILURE;
            }
        }
    }
    let status = std::fs::read_to_string("/proc/self/status").expect("/proc");
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let peak = peak.map_or("", |peak| peak.trim().trim_end_matches(" kB"));
    say(&format!("{succeeded} {peak}"));
    ExitCode::SUCCESS
}

#[expect(clippy::print_stdout, reason = "this is its answer")]
fn say(text: &str) {
    println!("{text}");
}
