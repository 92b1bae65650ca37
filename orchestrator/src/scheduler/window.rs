//! How many jobs a worker may hold beyond those that it can run at once:
//! decided by how long its jobs take, so that nobody chooses a chunk size.

use std::time::Duration;

/// Most jobs sent ahead, however short they are.
pub(super) const MAX_AHEAD: u64 = 4096;
/// How long a worker may keep an answer to itself while it has more to do.
const HELD_BACK: Duration = Duration::from_millis(1);
/// No job is taken to be shorter than this: what a frame costs.
const FLOOR_NS: u64 = 250;

/// A moving estimate of how long a worker's jobs take. It rises fast and falls
/// slowly: a job that turns out to be long must not find many behind it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Estimate {
    /// Nanoseconds; nothing is known yet when zero.
    mean_ns: u64,
}

impl Estimate {
    pub(super) fn record(&mut self, took: Duration) {
        let took = u64::try_from(took.as_nanos())
            .unwrap_or(u64::MAX / 16)
            .clamp(FLOOR_NS, u64::MAX / 16);
        self.mean_ns = if self.mean_ns == 0 {
            took
        } else if took > self.mean_ns {
            self.mean_ns / 2 + took / 2
        } else {
            (self.mean_ns * 7 + took) / 8
        };
    }

    /// How many jobs fill this much time, and with them those whose answers are
    /// still held back: at least one, so that a worker never waits for a round
    /// trip; at most one while nothing is known. None when no time is to be filled.
    pub(super) fn ahead(&self, time: Duration) -> usize {
        if time.is_zero() {
            return 0;
        }
        if self.mean_ns == 0 {
            return 1;
        }
        let nanos = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        // Rounded up: whoever is to send the next one may be kept from a busy CPU
        // for about that time.
        let to_do = nanos(time).div_ceil(self.mean_ns);
        let done = nanos(time.min(HELD_BACK)) / self.mean_ns;
        usize::try_from((to_do + done).clamp(1, MAX_AHEAD)).unwrap_or(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn settled(took: Duration) -> Estimate {
        let mut estimate = Estimate::default();
        (0..100).for_each(|_| estimate.record(took));
        estimate
    }

    #[test]
    fn one_job_ahead_while_nothing_is_known() {
        assert_eq!(Estimate::default().ahead(MS), 1);
    }

    #[test]
    fn tiny_jobs_fill_the_time_up_to_the_limit() {
        assert_eq!(settled(Duration::from_micros(10)).ahead(MS), 200);
        assert_eq!(settled(Duration::from_micros(10)).ahead(10 * MS), 1100);
        assert_eq!(settled(Duration::from_micros(800)).ahead(MS), 3);
        assert_eq!(settled(Duration::ZERO).ahead(MS / 10), 800);
        assert_eq!(settled(Duration::ZERO).ahead(MS), 4096);
        assert_eq!(settled(Duration::ZERO).ahead(10 * MS), 4096);
    }

    #[test]
    fn nothing_is_sent_ahead_when_no_time_is_to_be_filled() {
        assert_eq!(Estimate::default().ahead(Duration::ZERO), 0);
        assert_eq!(settled(Duration::ZERO).ahead(Duration::ZERO), 0);
    }

    #[test]
    fn long_jobs_get_one_ahead() {
        assert_eq!(settled(Duration::from_secs(3600)).ahead(MS), 1);
    }

    #[test]
    fn the_estimate_rises_by_half_and_falls_by_an_eighth() {
        let mut estimate = Estimate::default();
        let mut after = |ms| {
            estimate.record(ms * MS);
            estimate.mean_ns
        };
        assert_eq!(after(8), 8_000_000, "the first is believed");
        assert_eq!(after(8), 8_000_000);
        assert_eq!(after(16), 12_000_000);
        assert_eq!(after(4), 11_000_000);
        // However long or short: no overflow, and never nothing.
        let mut estimate = settled(Duration::MAX);
        assert_eq!(estimate.mean_ns, u64::MAX / 16);
        (0..400).for_each(|_| estimate.record(Duration::ZERO));
        assert_eq!(estimate.mean_ns, FLOOR_NS);
    }

    #[test]
    fn one_long_job_among_tiny_ones_closes_the_window_at_once() {
        let mut estimate = settled(Duration::from_micros(1));
        estimate.record(10 * MS);
        assert_eq!(estimate.ahead(MS), 1);
    }
}
