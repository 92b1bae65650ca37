//! Jobs that stand out, for lists: the slowest, and those that took the most tries.

use super::groups::why;
use super::model::{Retried, Slow};
use crate::run::runfile::Try;

/// How many of the slowest jobs are listed.
pub(super) const SLOWEST: usize = 25;

/// How many jobs are listed that took several tries, out of how many of which the
/// tries are kept, and how many tries of each.
const RETRIED: usize = 25;
pub(super) const RETRIED_KEPT: usize = 2_000;
const TRIES_KEPT: usize = 20;

/// What a job's last try came to, for both lists.
pub(super) struct Last<'a> {
    pub(super) one: &'a Try,
    pub(super) line: i64,
    /// When it began on the page's time.
    pub(super) start: Option<i64>,
    pub(super) wait_us: Option<i64>,
}

/// The slowest jobs, the slowest first.
#[derive(Clone, Debug, Default)]
pub(super) struct Slowest(pub(super) Vec<Slow>);

impl Slowest {
    /// Lists a job if it is one of those; then it is asked what it is called.
    pub(super) fn add(&mut self, last: &Last<'_>, label: impl FnOnce() -> String) {
        let Last { one, line, .. } = *last;
        let Some(wall_us) = one.wall_us else {
            return;
        };
        let all = &mut self.0;
        if all.len() >= SLOWEST && all[SLOWEST - 1].wall_us >= wall_us {
            return;
        }
        let at = all.partition_point(|slow| slow.wall_us >= wall_us);
        let slow = Slow {
            wall_us,
            label: label(),
            line,
            verdict: one.verdict.clone(),
            tries: one.attempt,
            start: last.start,
            wait_us: last.wait_us,
            cpu_us: one.cpu_us,
            rss_kib: one.rss_kib,
        };
        all.insert(at, slow);
        all.truncate(SLOWEST);
    }
}

/// Tries before a job's last, in words: no more of them than are listed.
pub(super) type Words = Vec<(String, Option<i64>)>;

/// Keeps what a try came to, if there are not too many of this job.
pub(super) fn keep(tries: &mut Words, one: &Try) {
    if tries.len() < TRIES_KEPT {
        tries.push((why(one), one.wall_us));
    }
}

/// Jobs that took several tries, the most first.
#[derive(Clone, Debug, Default)]
pub(super) struct Retries(pub(super) Vec<Retried>);

impl Retries {
    /// Lists a job that took so many tries before its last one, if it is one of those.
    pub(super) fn add(&mut self, last: &Last<'_>, label: String, before: i64, mut tries: Words) {
        tries.push((why(last.one), last.one.wall_us));
        let count = before.saturating_add(1);
        let at = self.0.partition_point(|known| known.count >= count);
        let retried = Retried {
            label,
            line: last.line,
            verdict: last.one.verdict.clone(),
            count,
            tries,
        };
        self.0.insert(at, retried);
        self.0.truncate(RETRIED);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn last(one: &Try) -> Last<'_> {
        Last {
            one,
            line: 1,
            start: None,
            wait_us: None,
        }
    }

    #[test]
    fn only_the_first_are_listed() {
        let (mut slowest, mut retries) = (Slowest::default(), Retries::default());
        for n in 0..100 {
            let one = Try {
                wall_us: Some(n * 7 % 100),
                ..Try::default()
            };
            slowest.add(&last(&one), || n.to_string());
            retries.add(&last(&one), n.to_string(), n % 10, Vec::new());
        }
        let slowest: Vec<_> = slowest.0.iter().map(|slow| slow.wall_us).collect();
        assert_eq!(slowest, (75..100).rev().collect::<Vec<_>>());
        let retries: Vec<_> = retries.0.iter().map(|retried| retried.count).collect();
        assert_eq!(retries, [vec![10; 10], vec![9; 10], vec![8; 5]].concat());
    }
}
