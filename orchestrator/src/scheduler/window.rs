//! How many jobs a worker may hold beyond those that it can run at once:
//! decided by how long its jobs take, so that nobody chooses a chunk size.

use std::time::Duration;

/// Most jobs sent ahead, however short they are.
pub(super) const MAX_AHEAD: u64 = 4096;
/// How long a worker may keep an answer to itself while it has more to do.
const HELD_BACK: Duration = Duration::from_millis(1);
/// No job is taken to be shorter than this: what a frame costs.
const FLOOR_NS: u64 = 250;
/// How long a job that was sent ahead waits behind another one: then it goes to whoever
/// is free first, in its order and by its priority. Against this time the round trip
/// for the worker's next job is nothing, so that none is sent ahead where jobs take so long.
pub(super) const PATIENCE: Duration = Duration::from_millis(20);
/// The same for an agent, to which the way may be long.
pub(super) const PATIENCE_AFAR: Duration = Duration::from_secs(1);

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
    /// trip. None when no time is to be filled, while nothing is known, and where jobs take so
    /// long that the round trip is nothing: what is sent ahead may have to wait while
    /// others begin that came later.
    pub(super) fn ahead(&self, time: Duration, long: Duration) -> usize {
        let nanos = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        if time.is_zero() || self.mean_ns == 0 || self.mean_ns >= nanos(long.max(time)) {
            return 0;
        }
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

    impl Estimate {
        fn here(self, time: Duration) -> usize {
            self.ahead(time, PATIENCE)
        }
    }

    fn settled(took: Duration) -> Estimate {
        let mut estimate = Estimate::default();
        (0..100).for_each(|_| estimate.record(took));
        estimate
    }

    #[test]
    fn no_job_is_sent_ahead_while_nothing_is_known() {
        assert_eq!(Estimate::default().here(MS), 0);
    }

    #[test]
    fn tiny_jobs_fill_the_time_up_to_the_limit() {
        assert_eq!(settled(Duration::from_micros(10)).here(MS), 200);
        assert_eq!(settled(Duration::from_micros(10)).here(10 * MS), 1100);
        assert_eq!(settled(Duration::from_micros(800)).here(MS), 3);
        assert_eq!(settled(Duration::ZERO).here(MS / 10), 800);
        assert_eq!(settled(Duration::ZERO).here(MS), 4096);
        assert_eq!(settled(Duration::ZERO).here(10 * MS), 4096);
    }

    #[test]
    fn nothing_is_sent_ahead_when_no_time_is_to_be_filled() {
        assert_eq!(Estimate::default().here(Duration::ZERO), 0);
        assert_eq!(settled(Duration::ZERO).here(Duration::ZERO), 0);
    }

    #[test]
    fn jobs_of_some_milliseconds_get_one_ahead_and_long_ones_none() {
        assert_eq!(settled(PATIENCE - MS).here(MS), 1);
        assert_eq!(settled(PATIENCE).here(MS), 0);
        assert_eq!(settled(Duration::from_secs(3600)).here(MS), 0);
        // What is asked for counts, and the way to an agent is longer.
        assert_eq!(settled(4 * PATIENCE).here(10 * PATIENCE), 3);
        assert_eq!(settled(4 * PATIENCE).ahead(MS, PATIENCE_AFAR), 1);
        assert_eq!(settled(PATIENCE_AFAR).ahead(MS, PATIENCE_AFAR), 0);
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
        assert_eq!(estimate.here(MS), 1);
    }
}
