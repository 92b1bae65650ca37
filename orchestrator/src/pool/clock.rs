//! The pool's clock: the one place where monotonic time enters.
//!
//! There are two times. *Real* time dates what happens. *Counted* time is what
//! deadlines are made of: it stands still while the pool is paused, and while
//! this process itself did not run, because it was stopped, or starved. What
//! it did not see pass must not time anything out.

use std::pin::Pin;
use std::time::{Duration, Instant};

use nix::time::{ClockId, clock_gettime};
use tokio::time::Sleep;

/// While there is a deadline, the clock is looked at this often at least.
const TICK: Duration = Duration::from_millis(250);
/// Whoever looks that late did not run in between.
const STALL: Duration = Duration::from_millis(500);

/// Counts from its start, and sleeps until a time counted from there.
pub(super) struct Clock {
    start: Instant,
    /// When it was last looked at.
    seen: Duration,
    /// Whether somebody meant to look within a tick of that.
    ticking: bool,
    /// Time that does not count.
    missed: Duration,
    paused_at: Option<Duration>,
    /// One timer, moved when the deadline moves.
    sleep: Option<(Duration, Pin<Box<Sleep>>)>,
}

impl Clock {
    pub(super) fn start() -> Clock {
        Clock {
            start: instant(),
            seen: Duration::ZERO,
            ticking: false,
            missed: Duration::ZERO,
            paused_at: None,
            sleep: None,
        }
    }

    /// Looks at the clock: the real time.
    pub(super) fn look(&mut self) -> Duration {
        let now = instant().duration_since(self.start);
        self.notice(now);
        now
    }

    fn notice(&mut self, now: Duration) {
        let passed = now.saturating_sub(self.seen);
        if self.ticking && self.paused_at.is_none() && passed > STALL {
            self.missed += passed - TICK;
        }
        self.seen = now;
    }

    /// The counted time at this real time.
    pub(super) fn counted(&self, now: Duration) -> Duration {
        self.paused_at.unwrap_or(now).saturating_sub(self.missed)
    }

    /// Time stands still from now on.
    pub(super) fn pause(&mut self) {
        self.paused_at.get_or_insert(self.seen);
    }

    /// Time goes on; whether it stood still.
    pub(super) fn resume(&mut self) -> bool {
        match self.paused_at.take() {
            Some(at) => {
                self.missed += self.seen.saturating_sub(at);
                true
            }
            None => false,
        }
    }

    /// Sleeps until the counted time may have come, or for a tick; for ever when
    /// there is no deadline or time stands still. Cancel-safe.
    pub(super) async fn sleep_until(&mut self, deadline: Option<Duration>) {
        self.ticking = deadline.is_some() && self.paused_at.is_none();
        let Some(deadline) = deadline.filter(|_| self.ticking) else {
            return std::future::pending().await;
        };
        let until = (deadline + self.missed).min(self.seen + TICK);
        let instant = tokio::time::Instant::from_std(self.start + until);
        match &mut self.sleep {
            // To wake too early does no harm, to move a timer costs.
            Some((set, _)) if *set <= until => {}
            Some((set, sleep)) => {
                *set = until;
                sleep.as_mut().reset(instant);
            }
            None => {
                let sleep = tokio::time::sleep_until(instant);
                self.sleep = Some((until, Box::pin(sleep)));
            }
        }
        if let Some((_, sleep)) = &mut self.sleep {
            sleep.as_mut().await;
        }
        // A timer that has fired is spent.
        self.sleep = None;
    }
}

/// This moment, for what is measured and not decided.
#[expect(clippy::disallowed_methods, reason = "the one home of monotonic time")]
pub(crate) fn instant() -> Instant {
    Instant::now()
}

/// The same as of the last tick of the kernel, some milliseconds ago at most, for
/// a fifth of the price; counted from some moment.
pub(super) fn coarse() -> Duration {
    clock_gettime(ClockId::CLOCK_MONOTONIC_COARSE).map_or(Duration::ZERO, Duration::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn f093_time_in_which_this_process_was_stopped_does_not_count() {
        let mut clock = Clock::start();
        clock.ticking = true;
        clock.notice(200 * MS);
        assert_eq!(clock.counted(200 * MS), 200 * MS);
        // Stopped for three seconds.
        clock.notice(3_300 * MS);
        assert_eq!(clock.counted(3_300 * MS), 200 * MS + TICK);
        clock.notice(3_400 * MS);
        assert_eq!(clock.counted(3_400 * MS), 300 * MS + TICK);
    }

    #[test]
    fn nobody_looked_because_nothing_was_due() {
        let mut clock = Clock::start();
        clock.notice(60_000 * MS);
        assert_eq!(clock.counted(60_000 * MS), 60_000 * MS);
    }

    #[test]
    fn time_stands_still_in_a_pause_and_is_not_missed_twice() {
        let mut clock = Clock::start();
        clock.ticking = true;
        clock.notice(100 * MS);
        clock.pause();
        clock.pause();
        clock.notice(10_000 * MS);
        assert_eq!(clock.counted(10_000 * MS), 100 * MS);
        assert!(clock.resume());
        assert!(!clock.resume());
        assert_eq!(clock.counted(10_000 * MS), 100 * MS);
        clock.notice(10_100 * MS);
        assert_eq!(clock.counted(10_100 * MS), 200 * MS);
    }

    #[tokio::test]
    async fn a_far_deadline_is_slept_to_in_ticks() {
        let mut clock = Clock::start();
        let before = clock.look();
        clock.sleep_until(Some(3_600_000 * MS)).await;
        assert!(clock.look() - before < STALL * 10);
    }
}
