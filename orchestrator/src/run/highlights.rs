//! What stands out among the jobs of a run: those that took longest, and the first that have
//! failed. A job that is neither costs a comparison.

use std::time::Duration;

use crate::pool::Capture;
use crate::scheduler::Verdict;

/// How many of each are kept.
const KEPT: usize = 3;

/// A job that took less is nothing to be told of, in microseconds.
const FLOOR: u64 = 10_000;

/// How much of what a job wrote to stderr is looked at for its last lines.
const TAIL: usize = 600;

/// How many of those lines are kept.
const LINES: usize = 3;

/// What stands out among the jobs of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Highlights {
    /// The jobs that took longest, the longest first.
    pub(crate) slowest: Vec<Slow>,
    /// The first that have failed.
    pub(crate) failures: Vec<Failure>,
}

/// A job that took long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Slow {
    /// What it is called.
    pub(crate) name: String,
    /// The line that it comes from.
    pub(crate) line: u64,
    /// How long its last attempt took.
    pub(crate) took: Duration,
}

/// A job that has failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    /// The line that it comes from.
    pub(crate) line: u64,
    /// How it ended.
    pub(crate) verdict: Verdict,
    /// What has happened to which job, on one line.
    pub(crate) what: String,
    /// How many attempts were made.
    pub(crate) attempts: u32,
    /// The last lines that it wrote to stderr, as they are.
    pub(crate) stderr: Vec<Vec<u8>>,
}

impl Highlights {
    /// Whether a job that took so many microseconds is among the slowest.
    #[inline]
    pub(crate) fn is_slow(&self, took_us: u64) -> bool {
        took_us >= FLOOR
            && (self.slowest.len() < KEPT
                || self
                    .slowest
                    .last()
                    .is_some_and(|last| u128::from(took_us) > last.took.as_micros()))
    }

    /// It is.
    pub(crate) fn slow(&mut self, slow: Slow) {
        let behind = |other: &Slow| other.took >= slow.took;
        let place = self.slowest.partition_point(behind);
        self.slowest.insert(place, slow);
        self.slowest.truncate(KEPT);
    }

    /// Whether another failure is kept.
    pub(crate) fn wants_failure(&self) -> bool {
        self.failures.len() < KEPT
    }

    /// It has failed.
    pub(crate) fn failed(&mut self, failure: Failure) {
        self.failures.push(failure);
    }
}

/// The last lines of what a job wrote to stderr; none where that cannot be read.
pub(crate) fn last_lines(stderr: &Capture) -> Vec<Vec<u8>> {
    let tail = stderr.tail(TAIL).unwrap_or_default();
    let mut lines: Vec<&[u8]> = tail.split(|&byte| byte == b'\n').collect();
    lines.retain(|line| !line.trim_ascii().is_empty());
    let from = lines.len().saturating_sub(LINES);
    lines[from..].iter().map(|line| line.to_vec()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pool::Spill;

    #[test]
    fn the_slowest_are_kept_in_order_and_no_others() {
        let mut highlights = Highlights::default();
        for (line, ms) in [20, 5, 70, 30, 30, 90, 10].into_iter().enumerate() {
            if highlights.is_slow(ms * 1000) {
                highlights.slow(Slow {
                    name: String::new(),
                    line: line as u64,
                    took: Duration::from_millis(ms),
                });
            }
        }
        let kept = highlights.slowest.iter();
        let kept: Vec<_> = kept
            .map(|slow| (slow.line, slow.took.as_millis()))
            .collect();
        assert_eq!(kept, [(5, 90), (2, 70), (3, 30)]);
    }

    #[test]
    fn the_last_lines_are_those_that_say_something() {
        let room = Spill::new(1 << 20);
        let lines = |text: &[u8]| last_lines(&Capture::of(&room, text).unwrap());
        assert_eq!(lines(b"a\nb\n\nc\r\nd\n \n"), [&b"b"[..], b"c\r", b"d"]);
        assert_eq!(lines(b""), Vec::<Vec<u8>>::new());
        let long = lines(&[b"x".repeat(5000), b"\nend".to_vec()].concat());
        assert_eq!((long.len(), long[0].len() < TAIL), (2, true));
        assert_eq!(long[1], b"end");
    }
}
