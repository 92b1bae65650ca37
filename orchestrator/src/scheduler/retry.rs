//! Whether a job is tried again, and when.

use std::time::Duration;

use nix::errno::Errno;
use protocol::JobId;

use super::Verdict;
use super::input::SchedulerConfig;
use super::job::Job;

/// What becomes of a job whose attempt has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// This is its verdict.
    Verdict(Verdict),
    /// Another attempt after this pause.
    Again(Duration),
}

/// Decides after an attempt that ended with this verdict, as judged.
pub(super) fn next(config: &SchedulerConfig, id: JobId, job: &Job, verdict: Verdict) -> Next {
    if verdict == Verdict::Crashed && job.deaths >= config.quarantine {
        return Next::Verdict(Verdict::Quarantined);
    }
    match retries(job, verdict) {
        Some(retries) if job.tries() <= retries && !job.withdrawn => {
            Next::Again(pause(config, id, job))
        }
        Some(_) | None => Next::Verdict(verdict),
    }
}

/// A command that could not be started for want of something is not at fault,
/// and tried again so often whatever was asked for.
const WHEN_SCARCE: u32 = 5;

/// How many attempts may follow the first, after one that ended like this; none
/// when another one would end in the same way, or nobody wants it.
fn retries(job: &Job, verdict: Verdict) -> Option<u32> {
    let asked = job.terms.retries;
    match verdict {
        Verdict::Failed(_)
        | Verdict::Signaled(_)
        | Verdict::Timeout
        | Verdict::Crashed
        | Verdict::Oom => Some(asked),
        Verdict::SpawnError(errno) => match Errno::from_raw(errno) {
            Errno::EAGAIN | Errno::ENOMEM | Errno::EMFILE | Errno::ENFILE => {
                Some(asked.max(WHEN_SCARCE))
            }
            Errno::ETXTBSY => Some(asked),
            // A program that is not there will not be there.
            _ => None,
        },
        Verdict::Ok
        | Verdict::Quarantined
        | Verdict::Unkillable
        | Verdict::Rejected
        | Verdict::OutputLimit
        | Verdict::Cancelled
        | Verdict::Interrupted
        | Verdict::Lost => None,
    }
}

/// Doubled with each attempt, and up to a quarter longer: jobs that failed
/// together should not come back together. The share is a hash and no chance,
/// so that a day can be played again.
fn pause(config: &SchedulerConfig, id: JobId, job: &Job) -> Duration {
    let tries = job.tries();
    let first = job.terms.retry_backoff.unwrap_or(config.retry_backoff);
    let pause = doubled(first, tries.saturating_sub(1)).min(config.retry_backoff_max);
    let share = (id.0 ^ u64::from(tries)).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 48;
    pause + pause.mul_f64(share as f64 / f64::from(1 << 18))
}

/// A time doubled so many times; the largest there is when that is too much.
pub(super) fn doubled(first: Duration, times: u32) -> Duration {
    first.saturating_mul(1u32.checked_shl(times).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use protocol::Attempt;

    use super::super::input::Terms;
    use super::super::sim::config;
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn after(tries: u32, deaths: u32, retries: u32, verdict: Verdict) -> Next {
        let mut job = Job::new(Terms {
            timeout: None,
            retries,
            ..Terms::default()
        });
        (job.attempt, job.deaths) = (Attempt(tries), deaths);
        next(&config(1), JobId(1), &job, verdict)
    }

    fn again(tries: u32, retries: u32, verdict: Verdict) -> bool {
        matches!(after(tries, 0, retries, verdict), Next::Again(_))
    }

    #[test]
    fn retries_are_additional_attempts() {
        let failed = Verdict::Failed(1);
        assert_eq!(after(1, 0, 0, failed), Next::Verdict(failed));
        assert!(again(1, 2, failed) && again(2, 2, failed));
        assert_eq!(after(3, 0, 2, failed), Next::Verdict(failed));
    }

    #[test]
    fn f031_want_of_something_is_no_fault_of_the_job() {
        for errno in [Errno::EAGAIN, Errno::ENOMEM, Errno::EMFILE, Errno::ENFILE] {
            let verdict = Verdict::SpawnError(errno as i32);
            assert!(again(5, 0, verdict), "{errno}");
            assert_eq!(after(6, 0, 0, verdict), Next::Verdict(verdict));
            assert!(again(6, 6, verdict), "{errno}");
        }
        assert!(!again(1, 0, Verdict::SpawnError(Errno::ETXTBSY as i32)));
    }

    #[test]
    fn only_what_may_pass_is_tried_again() {
        for verdict in [
            Verdict::Failed(1),
            Verdict::Signaled(9),
            Verdict::Timeout,
            Verdict::Crashed,
            Verdict::SpawnError(Errno::EAGAIN as i32),
            Verdict::SpawnError(Errno::ENOMEM as i32),
            Verdict::SpawnError(Errno::EMFILE as i32),
            Verdict::SpawnError(Errno::ENFILE as i32),
            Verdict::SpawnError(Errno::ETXTBSY as i32),
        ] {
            assert!(again(1, 1, verdict), "{verdict:?}");
        }
        for verdict in [
            Verdict::Ok,
            Verdict::SpawnError(Errno::ENOENT as i32),
            Verdict::SpawnError(Errno::EACCES as i32),
            Verdict::Rejected,
            Verdict::OutputLimit,
            Verdict::Cancelled,
            Verdict::Interrupted,
            Verdict::Quarantined,
            Verdict::Unkillable,
            Verdict::Lost,
        ] {
            assert!(!again(1, 1, verdict), "{verdict:?}");
            assert!(!again(0, 1, verdict), "{verdict:?}, and was never tried");
        }
    }

    #[test]
    fn f066_three_dead_workers_are_enough() {
        let crashed = Verdict::Crashed;
        assert_eq!(after(1, 1, 0, crashed), Next::Verdict(crashed));
        assert!(matches!(after(2, 2, 5, crashed), Next::Again(_)));
        let quarantined = Next::Verdict(Verdict::Quarantined);
        assert_eq!(after(3, 3, 5, crashed), quarantined);
        assert_eq!(after(3, 3, 2, crashed), quarantined);
        // Another end says nothing about workers.
        assert!(matches!(after(4, 3, 5, Verdict::Failed(1)), Next::Again(_)));
    }

    #[test]
    fn pauses_double_up_to_their_limit_and_differ_a_little() {
        let config = config(1);
        let pauses = |id, retry_backoff| {
            let mut job = Job::new(Terms {
                retry_backoff,
                ..Terms::default()
            });
            [1, 2, 3, 50].map(|tries| {
                job.attempt = Attempt(tries);
                pause(&config, JobId(id), &job)
            })
        };
        for (own, base) in [
            (None, [10, 20, 40, 200]),
            (Some(30 * MS), [30, 60, 120, 200]),
            (Some(Duration::ZERO), [0; 4]),
        ] {
            for id in 0..100 {
                for (pause, base) in pauses(id, own).into_iter().zip(base) {
                    let base = base * MS;
                    assert!(pause >= base && pause <= base + base / 4, "{pause:?}");
                }
            }
        }
        assert_ne!(pauses(1, None), pauses(2, None));
    }
}
