//! What is known of an attempt when it is over, as job logs and tables of results have it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use protocol::Usage;

use crate::pool::{JobReport, WorkerDeath};
use crate::scheduler::Verdict;

/// What is known of an attempt.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Facts {
    /// When it began.
    pub(crate) start: SystemTime,
    /// How long it took.
    pub(crate) runtime: Duration,
    /// How much it wrote to stdout, in bytes.
    pub(crate) received: u64,
    /// Its status, -1 when it has none.
    pub(crate) exit: i32,
    /// The signal that ended it, or 0.
    pub(crate) signal: i32,
}

/// How to know when an attempt was.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Times {
    /// When the pool's clock was zero.
    pub(crate) zero: SystemTime,
    /// Now.
    pub(crate) now: SystemTime,
}

impl Times {
    /// When an attempt began, and how long it took.
    fn of(self, started: Option<Duration>, usage: Usage) -> (SystemTime, Duration) {
        let start = started.and_then(|at| self.zero.checked_add(at));
        let start = start.unwrap_or(self.now);
        let runtime = match usage.is_measured() {
            true => Duration::from_micros(usage.wall_us),
            // There was nobody left to measure it.
            false => self.now.duration_since(start).unwrap_or_default(),
        };
        (start, runtime)
    }
}

impl Facts {
    /// Of an attempt that has ended so.
    pub(crate) fn new(
        times: Times,
        (started, usage): (Option<Duration>, Usage),
        (verdict, death): (Verdict, Option<&WorkerDeath>),
        received: u64,
    ) -> Facts {
        let (start, runtime) = times.of(started, usage);
        let (exit, signal) = status(verdict, death);
        Facts {
            start,
            runtime,
            received,
            exit,
            signal,
        }
    }

    /// Of the last attempt at a job.
    pub(crate) fn of(report: &JobReport, times: Times, received: u64) -> Facts {
        let ended = (report.verdict, report.death.as_deref());
        Facts::new(times, (report.started, report.usage), ended, received)
    }

    /// When it began: seconds since 1970.
    pub(crate) fn start_s(&self) -> String {
        let since = self.start.duration_since(UNIX_EPOCH).unwrap_or_default();
        format!("{:.3}", since.as_secs_f64())
    }

    /// How long it took, in seconds.
    pub(crate) fn runtime_s(&self) -> String {
        format!("{:.3}", self.runtime.as_secs_f64())
    }
}

/// The status and the signal. Who was ended from here has no status, and was told so by
/// SIGTERM first.
pub(crate) fn status(verdict: Verdict, death: Option<&WorkerDeath>) -> (i32, i32) {
    match verdict {
        Verdict::Ok => (0, 0),
        Verdict::Failed(code) => (code, 0),
        Verdict::Signaled(signal) => (0, signal),
        // As a shell says it.
        Verdict::SpawnError(libc::ENOENT) => (127, 0),
        Verdict::SpawnError(_) => (126, 0),
        Verdict::Timeout | Verdict::OutputLimit | Verdict::Cancelled | Verdict::Interrupted => {
            (-1, libc::SIGTERM)
        }
        Verdict::Oom | Verdict::Unkillable => (-1, libc::SIGKILL),
        Verdict::Crashed | Verdict::Quarantined => {
            (-1, death.and_then(|death| death.signal).unwrap_or(0))
        }
        Verdict::Rejected | Verdict::Lost => (-1, 0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_attempt_has_a_status_or_a_signal() {
        let died = WorkerDeath {
            signal: Some(9),
            ..WorkerDeath::default()
        };
        for (verdict, expected) in [
            (Verdict::Ok, (0, 0)),
            (Verdict::Failed(3), (3, 0)),
            (Verdict::Signaled(11), (0, 11)),
            (Verdict::SpawnError(libc::ENOENT), (127, 0)),
            (Verdict::SpawnError(libc::EACCES), (126, 0)),
            (Verdict::Timeout, (-1, 15)),
            (Verdict::Interrupted, (-1, 15)),
            (Verdict::Crashed, (-1, 9)),
        ] {
            assert_eq!(status(verdict, Some(&died)), expected, "{verdict:?}");
        }
        assert_eq!(status(Verdict::Crashed, None), (-1, 0));
    }

    #[test]
    fn without_a_measured_time_an_attempt_took_until_now() {
        let zero = UNIX_EPOCH + Duration::from_secs(100);
        let times = Times {
            zero,
            now: zero + Duration::from_millis(2_500),
        };
        let at = Some(Duration::from_millis(500));
        let ended = (Verdict::Crashed, None);
        let facts = Facts::new(times, (at, Usage::default()), ended, 7);
        assert_eq!(
            (facts.start_s(), facts.runtime_s()),
            ("100.500".into(), "2.000".into())
        );
        let usage = Usage {
            wall_us: 1_234_567,
            ..Usage::default()
        };
        assert_eq!(
            Facts::new(times, (at, usage), ended, 7).runtime_s(),
            "1.235"
        );
        // Over within a microsecond.
        let usage = Usage {
            max_rss_kib: 900,
            ..Usage::default()
        };
        let short = Facts::new(times, (at, usage), ended, 7);
        assert_eq!(short.runtime_s(), "0.000");
    }
}
