//! Arithmetic of the benchmarks.

use std::time::Duration;

/// The middle one.
///
/// # Panics
/// When there is none.
pub fn median(times: &mut [Duration]) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

/// Microseconds per repetition.
pub fn micros(total: Duration, count: u32) -> f64 {
    total.as_secs_f64() * 1e6 / f64::from(count)
}
