//! Whether it is worth being awake for a worker's answer.
//!
//! Waking a CPU that sleeps takes tens of microseconds on a virtual machine,
//! many times what a small job takes. So while a worker answers within that
//! time, its actor looks for the answer for as long as that before it sleeps.
//! One wait that was in vain, and it sleeps at once until the worker is quick
//! again: long jobs cost nothing. A worker that has more to do does not wait for
//! what the answer brings about, and wants its CPU for itself. With a single CPU
//! it cannot answer while its actor is awake.

use std::time::{Duration, Instant};

/// A wait that is shorter than this is worth being awake for.
const BRISK: Duration = Duration::from_micros(100);

#[derive(Debug)]
pub(crate) struct Pace {
    several_cpus: bool,
    /// When something was last sent that has not been answered.
    asked: Option<Instant>,
    /// How many jobs the worker has that it has not answered.
    jobs: usize,
    /// Whether the last answer was quick.
    brisk: bool,
}

impl Pace {
    pub(crate) fn new(several_cpus: bool) -> Pace {
        Pace {
            several_cpus,
            asked: None,
            jobs: 0,
            brisk: false,
        }
    }

    /// Something was sent.
    pub(crate) fn asked(&mut self, now: Instant) {
        self.asked = Some(now);
    }

    /// So many jobs are about to be sent.
    pub(crate) fn more_jobs(&mut self, jobs: usize) {
        self.jobs += jobs;
    }

    /// The worker has said of so many jobs that it does not have them any more.
    pub(crate) fn fewer_jobs(&mut self, jobs: usize) {
        self.jobs = self.jobs.saturating_sub(jobs);
    }

    /// Something came then, and was looked at.
    pub(crate) fn answered(&mut self, then: Instant) {
        if let Some(asked) = self.asked.take() {
            let quick = then.saturating_duration_since(asked) < BRISK;
            self.brisk = self.several_cpus && quick && self.jobs == 0;
        }
    }

    /// Whether to look once more before sleeping. Reads the clock only when
    /// that is the question.
    pub(crate) fn stays_awake(&mut self, now: impl FnOnce() -> Instant) -> bool {
        match self.asked {
            Some(asked) if self.brisk => {
                self.brisk = now() - asked < BRISK;
                self.brisk
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUICK: Duration = Duration::from_micros(20);
    const SLOW: Duration = Duration::from_micros(200);

    #[test]
    fn a_quick_answer_makes_it_stay_awake_and_a_vain_wait_ends_that() {
        #[expect(clippy::disallowed_methods, reason = "any time will do")]
        let start = Instant::now();
        let mut pace = Pace::new(true);
        pace.asked(start);
        assert!(!pace.stays_awake(|| start));
        pace.answered(start + QUICK);
        assert!(!pace.stays_awake(|| start + QUICK), "nothing was asked");
        pace.asked(start + QUICK);
        assert!(pace.stays_awake(|| start + 2 * QUICK));
        assert!(!pace.stays_awake(|| start + SLOW));
        assert!(
            !pace.stays_awake(|| start + QUICK),
            "it sleeps from then on"
        );
        pace.answered(start + 2 * SLOW);
        pace.asked(start);
        assert!(!pace.stays_awake(|| start));
    }

    #[test]
    fn nobody_stays_awake_for_a_worker_that_has_more_to_do() {
        #[expect(clippy::disallowed_methods, reason = "any time will do")]
        let start = Instant::now();
        let mut pace = Pace::new(true);
        pace.more_jobs(3);
        pace.asked(start);
        pace.fewer_jobs(2);
        pace.answered(start + QUICK);
        pace.asked(start + QUICK);
        assert!(!pace.stays_awake(|| start + QUICK));
        pace.fewer_jobs(1);
        pace.answered(start + 2 * QUICK);
        pace.asked(start + 2 * QUICK);
        assert!(pace.stays_awake(|| start + 2 * QUICK));
    }

    #[test]
    fn with_one_cpu_it_always_sleeps() {
        #[expect(clippy::disallowed_methods, reason = "any time will do")]
        let start = Instant::now();
        let mut pace = Pace::new(false);
        pace.asked(start);
        pace.answered(start + QUICK);
        pace.asked(start);
        assert!(!pace.stays_awake(|| start));
    }
}
