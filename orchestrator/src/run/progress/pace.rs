//! How fast jobs end, from looks at how many have, and how long the rest will take. Pure.

use std::collections::VecDeque;
use std::time::Duration;

/// What was longer ago says little about now.
const WINDOW: Duration = Duration::from_secs(30);

/// Looks that are closer together are not kept.
const STEP: Duration = Duration::from_millis(500);

/// So many jobs say how fast they end.
const ENOUGH: u64 = 20;

/// How many jobs had ended at which time.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    marks: VecDeque<(Duration, u64)>,
    now: (Duration, u64),
}

impl Pace {
    /// So many jobs have ended so long after the start.
    pub(crate) fn note(&mut self, at: Duration, done: u64) {
        self.now = (at, done);
        if self.marks.back().is_none_or(|&(last, _)| at >= last + STEP) {
            self.marks.push_back(self.now);
        }
        // The first that is kept is at least so long ago.
        while self
            .marks
            .get(1)
            .is_some_and(|&(then, _)| then + WINDOW <= at)
        {
            self.marks.pop_front();
        }
    }

    /// Jobs for each second: of late, or, where few have ended of late, since the start.
    pub(crate) fn rate(&self) -> Option<f64> {
        let (at, done) = self.now;
        let late = self.marks.front().copied();
        let late = late.filter(|&(_, before)| done.saturating_sub(before) >= ENOUGH);
        let (since, before) = late.unwrap_or_default();
        let time = at.saturating_sub(since).as_secs_f64();
        let jobs = done.saturating_sub(before);
        (jobs > 0 && time > 0.0).then(|| jobs as f64 / time)
    }

    /// How long it will take until so many have ended; nothing as long as that would be a
    /// guess.
    pub(crate) fn left(&self, total: u64) -> Option<Duration> {
        let (_, done) = self.now;
        let is_known = done >= ENOUGH || done.saturating_mul(20) >= total;
        let rate = self.rate().filter(|_| is_known)?;
        let seconds = total.saturating_sub(done) as f64 / rate;
        Duration::try_from_secs_f64(seconds).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn what_counts_is_how_fast_it_is_of_late() {
        let mut pace = Pace::default();
        assert_eq!((pace.rate(), pace.left(10)), (None, None));
        // 100 a second, and then 10.
        let mut done = 0;
        for second in 0..200_u32 {
            done += if second < 100 { 100 } else { 10 };
            pace.note(SECOND * second, done);
        }
        assert_eq!(pace.rate(), Some(10.0));
        assert_eq!(pace.left(done + 50), Some(5 * SECOND));
        assert!(pace.marks.len() < 70);
    }

    #[test]
    fn few_jobs_are_measured_since_the_start_and_one_of_many_says_nothing() {
        let mut pace = Pace::default();
        for minute in 0..=60 {
            pace.note(SECOND * 60 * minute, u64::from(minute) / 10);
        }
        assert_eq!(pace.rate(), Some(6.0 / 3600.0));
        assert_eq!(pace.left(12), Some(SECOND * 3600));
        assert_eq!(pace.left(1_000), None);
    }

    #[test]
    fn more_than_there_should_be_is_no_matter() {
        let mut pace = Pace::default();
        pace.note(SECOND, 50);
        assert_eq!(pace.left(10), Some(Duration::ZERO));
        pace.note(SECOND, 40);
        assert!(pace.rate().is_some());
    }
}
