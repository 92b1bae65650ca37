//! Where time enters this program.

use std::ops::{Add, Sub};
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

/// A moment of the monotonic clock, in nanoseconds. A small job is over in a
/// hundred of them: the arithmetic of `std::time::Instant`, which is made for
/// clocks of any kind, would be a part of that to be seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Moment(u64);

impl Moment {
    /// How long ago that was.
    pub(crate) fn elapsed(self) -> Duration {
        now() - self
    }
}

/// The time between two moments, none when the second is the later one.
impl Sub for Moment {
    type Output = Duration;

    fn sub(self, earlier: Moment) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

/// So much later, or never, which is in some hundred years.
impl Add<Duration> for Moment {
    type Output = Moment;

    fn add(self, time: Duration) -> Moment {
        let seconds = time.as_secs().saturating_mul(1_000_000_000);
        let nanos = seconds.saturating_add(u64::from(time.subsec_nanos()));
        Moment(self.0.saturating_add(nanos))
    }
}

/// The monotonic clock.
pub(crate) fn now() -> Moment {
    // It cannot fail: this clock is there everywhere.
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC);
    now.map_or(Moment(0), |now| {
        Moment(now.tv_sec() as u64 * 1_000_000_000 + now.tv_nsec() as u64)
    })
}

/// A duration as usage reports it.
pub(crate) fn micros(duration: Duration) -> u64 {
    let whole = duration.as_secs().saturating_mul(1_000_000);
    whole.saturating_add(u64::from(duration.subsec_micros()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_goes_on_and_never_is_in_the_far_future() {
        let start = now();
        let later = start + Duration::from_nanos(1_999_999_999);
        assert_eq!(later - start, Duration::from_nanos(1_999_999_999));
        assert_eq!(start - later, Duration::ZERO);
        assert!(start + Duration::MAX > start + Duration::from_secs(100 * 366 * 24 * 3600));
        assert!(start.elapsed() < Duration::from_secs(60));
    }

    #[test]
    fn usage_counts_whole_microseconds() {
        assert_eq!(micros(Duration::new(3, 1_999)), 3_000_001);
        assert_eq!(micros(Duration::MAX), u64::MAX);
    }
}
