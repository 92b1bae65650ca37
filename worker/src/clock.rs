//! Where time enters this program.

use std::time::{Duration, Instant};

/// The monotonic clock.
#[expect(clippy::disallowed_methods, reason = "this is the clock's one home")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// A duration as usage reports it.
pub(crate) fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
