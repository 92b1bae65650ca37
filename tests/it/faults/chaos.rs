//! A worker can send anything: the orchestrator never panics, never allocates
//! more than it allows itself, and never waits for ever.

use orchestrator_tests::TestEnv;

use crate::pool::ROGUE;

/// Pools whose workers do what these seeds say.
fn check(seeds: std::ops::RangeInclusive<u64>) {
    let env = TestEnv::new();
    let count = seeds.end() - seeds.start() + 1;
    let mut command = env.command(env!("CARGO_BIN_EXE_chaos"));
    command.args([seeds.start(), seeds.end()].map(u64::to_string));
    command.arg(ROGUE);
    let done = env.run(command, "");
    assert_eq!(done.code(), 0, "{}{}", done.stdout(), done.stderr);
    // A panic of an actor is survived, but told.
    assert!(!done.stderr.contains("panicked"), "{}", done.stderr);
    let words: Vec<u64> = done
        .stdout()
        .split_whitespace()
        .map(|word| word.parse().unwrap())
        .collect();
    let [succeeded, peak_kib] = words[..] else {
        panic!("{}", done.stdout());
    };
    // Otherwise it would have shown nothing.
    assert!(succeeded > count * 4, "{succeeded} jobs of {count} pools");
    assert!(peak_kib < 160 << 10, "{peak_kib} KiB");
    env.no_process_left();
}

#[test]
fn a_pool_survives_workers_in_chaos() {
    check(1..=60);
}

#[test]
fn a_pool_survives_workers_in_more_chaos() {
    check(1_001..=1_060);
}
