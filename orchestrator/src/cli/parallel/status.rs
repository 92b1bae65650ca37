//! The exit status that GNU parallel gives. Pure.

use crate::run::halt::{Halt, Limit, What};
use crate::run::report::Summary;
use crate::scheduler::Verdict;

/// There is no higher count.
const MORE: u64 = 101;

/// For a job that has no status of its own: it was ended, or never ran.
const NO_STATUS: u8 = 255;

/// ENOENT: there is no such program.
const NOT_FOUND: i32 = 2;

/// How many jobs have failed, up to 101; with `--halt`, the status of the one job that
/// decided, or the share of all jobs that have failed.
pub(in super::super) fn status(summary: &Summary, halt: Option<Halt>) -> u8 {
    let failed = summary.all_failed();
    let count = u8::try_from(failed.min(MORE)).unwrap_or(NO_STATUS);
    // Input that was lost is a failure, though no job's.
    let count = count.max(summary.unread.into());
    let Some(Halt { what, limit, .. }) = halt else {
        return count;
    };
    let total = summary.total.unwrap_or(0);
    let decided = summary.decided;
    if let (What::Success, Some(_)) = (what, decided) {
        return 0;
    }
    let one = match limit {
        Limit::Count(count) => count == 1,
        Limit::Percent(percent) => percent * total as f64 / 100.0 == 1.0,
    };
    match (decided, limit) {
        (Some(verdict), _) if one => own(verdict),
        (_, Limit::Percent(_)) if total > 0 => {
            let share = (failed as f64 * 100.0 / total as f64).ceil();
            share.min(100.0) as u8
        }
        _ => count,
    }
}

/// What a shell would say of a job that ended so.
fn own(verdict: Verdict) -> u8 {
    match verdict {
        Verdict::Ok => 0,
        Verdict::Failed(status) => u8::try_from(status).unwrap_or(NO_STATUS),
        Verdict::Signaled(signal) => u8::try_from(128 + signal).unwrap_or(NO_STATUS),
        Verdict::SpawnError(NOT_FOUND) => 127,
        Verdict::SpawnError(_) => 126,
        _ => NO_STATUS,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(failed: u64, total: u64, halt: &str, decided: Option<Verdict>) -> u8 {
        let summary = Summary {
            failed,
            total: Some(total),
            decided,
            ..Summary::default()
        };
        status(&summary, halt.parse().ok())
    }

    #[test]
    fn failed_jobs_are_counted_up_to_a_hundred() {
        for (failed, status) in [(0, 0), (1, 1), (100, 100), (101, 101), (5_000, 101)] {
            assert_eq!(of(failed, 6_000, "", None), status);
        }
    }

    #[test]
    fn a_halt_gives_the_status_of_the_job_that_decided() {
        let four = Some(Verdict::Failed(4));
        for (failed, total, halt, decided, status) in [
            (1, 9, "now,fail=1", four, 4),
            (2, 9, "soon,fail=1", Some(Verdict::Signaled(9)), 137),
            (1, 9, "now,fail=1", Some(Verdict::Timeout), 255),
            (2, 9, "now,fail=2", four, 2),
            (0, 9, "now,fail=1", None, 0),
            // As GNU parallel 20221122 did.
            (1, 4, "soon,fail=25%", four, 4),
            (2, 3, "now,fail=60%", four, 67),
            (1, 3, "now,fail=33%", four, 34),
            (1, 4, "now,fail=100%", None, 25),
            (3, 3, "soon,fail=100%", four, 100),
            (2, 9, "now,success=1", Some(Verdict::Ok), 0),
            (2, 2, "now,success=1", None, 2),
            (1, 4, "soon,done=50%", four, 25),
            (1, 1, "now,done=1", Some(Verdict::Failed(3)), 3),
            // Where it gave 101.
            (0, 9, "now,done=2", Some(Verdict::Ok), 0),
            (1, 9, "now,done=2", Some(Verdict::Ok), 1),
        ] {
            assert_eq!(
                of(failed, total, halt, decided),
                status,
                "{failed} {total} {halt}"
            );
        }
    }
}
