//! What functions have used of the CPU.
//!
//! The kernel keeps that per thread, and asking costs a system call: as much as
//! a small job. So jobs that take next to nothing are accounted for together,
//! with the one that makes them worth a look; sums are right, and no job is off
//! by more than [`WORTH_A_LOOK`].

use std::time::Duration;

use protocol::Usage;

use crate::clock;
use crate::os::{self, Used};

/// Time after which it is worth asking.
const WORTH_A_LOOK: Duration = Duration::from_micros(10);
/// Figures are whole microseconds: below this there is nothing to ask.
const NOTHING: Duration = Duration::from_micros(1);

/// The meter of the thread that runs the jobs.
pub(crate) struct Meter {
    /// What the thread had used at the last look, unless it has done something
    /// else since.
    seen: Option<Used>,
    /// The largest resident set at the last look, in KiB.
    max_rss_kib: u64,
    /// How long jobs have run since.
    unaccounted: Duration,
}

impl Meter {
    pub(crate) fn new() -> Meter {
        Meter {
            seen: None,
            max_rss_kib: os::thread_usage().max_rss_kib,
            unaccounted: Duration::ZERO,
        }
    }

    /// A job is about to run.
    pub(crate) fn start(&mut self) {
        if self.seen.is_none() {
            self.look();
        }
    }

    /// What the thread uses from here on is no job's.
    pub(crate) fn stop(&mut self) {
        self.seen = None;
        self.unaccounted = Duration::ZERO;
    }

    /// What a job has used that took so long; `last` when none follows at once.
    pub(crate) fn job(&mut self, wall: Duration, last: bool) -> Usage {
        self.unaccounted += wall;
        let least = if last { NOTHING } else { WORTH_A_LOOK };
        let mut usage = Usage {
            wall_us: clock::micros(wall),
            ..Usage::default()
        };
        if self.unaccounted >= least {
            let before = self.seen.unwrap_or_default();
            let after = self.look();
            usage.user_us = after.user_us.saturating_sub(before.user_us);
            usage.system_us = after.system_us.saturating_sub(before.system_us);
        }
        usage.max_rss_kib = self.max_rss_kib;
        usage
    }

    fn look(&mut self) -> Used {
        let used = os::thread_usage();
        self.seen = Some(used);
        self.max_rss_kib = used.max_rss_kib;
        self.unaccounted = Duration::ZERO;
        used
    }
}

#[cfg(test)]
mod tests {
    use std::hint::spin_loop;

    use super::*;

    fn spin(time: Duration) {
        let start = clock::now();
        while start.elapsed() < time {
            spin_loop();
        }
    }

    #[test]
    fn tiny_jobs_are_accounted_for_together_and_none_is_forgotten() {
        let mut meter = Meter::new();
        meter.start();
        let (mut cpu, mut wall) = (0, 0);
        let begin = os::thread_usage();
        for n in 1..=10_000 {
            spin(Duration::from_micros(2));
            let usage = meter.job(Duration::from_micros(2), n == 10_000);
            cpu += usage.user_us + usage.system_us;
            wall += usage.wall_us;
            assert!(usage.max_rss_kib > 0);
        }
        let end = os::thread_usage();
        let used = end.user_us + end.system_us - begin.user_us - begin.system_us;
        assert_eq!(wall, 20_000);
        assert!(cpu <= used && used - cpu < 1_000, "{cpu} of {used}");
    }

    #[test]
    fn what_is_used_between_jobs_is_no_jobs() {
        let mut meter = Meter::new();
        meter.start();
        meter.stop();
        spin(Duration::from_millis(20));
        meter.start();
        spin(Duration::from_micros(10));
        let usage = meter.job(Duration::from_micros(10), true);
        assert!(usage.user_us + usage.system_us < 10_000, "{usage:?}");
    }
}
