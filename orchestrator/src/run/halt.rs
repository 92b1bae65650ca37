//! `--halt`: when a batch has seen enough. Pure: verdicts in, a decision out.

use std::fmt;

use crate::scheduler::Verdict;

/// When a batch ends before its input does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Halt {
    /// What becomes of the jobs that run.
    pub(crate) when: When,
    /// Which ends are counted.
    pub(crate) what: What,
    /// How many of them are enough.
    pub(crate) limit: Limit,
}

/// What becomes of the jobs that run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum When {
    /// They are told to end.
    Now,
    /// They are waited for.
    Soon,
}

/// Which ends are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum What {
    Fail,
    Success,
    Done,
}

/// How many are enough.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Limit {
    Count(u64),
    /// A share of all lines of the input, which must be counted first.
    Percent(f64),
}

impl Halt {
    /// Whether it must be known how many jobs there will be.
    pub(crate) fn needs_total(&self) -> bool {
        matches!(self.limit, Limit::Percent(_))
    }
}

impl Eq for Limit {}

/// Counts ends until there are enough.
#[derive(Debug)]
pub(super) struct Counter {
    halt: Halt,
    counted: u64,
    /// The end with which there were enough.
    decided: Option<Verdict>,
    /// How many jobs there are, once that is known.
    total: Option<u64>,
}

impl Counter {
    pub(super) fn new(halt: Halt) -> Counter {
        Counter {
            halt,
            counted: 0,
            decided: None,
            total: None,
        }
    }

    /// A job has ended; lines that are no jobs count as failed ones. Whether this end is one of
    /// those that count.
    pub(super) fn count(&mut self, verdict: Verdict) -> bool {
        let counts = match (self.halt.what, verdict) {
            // Those were told to end.
            (_, Verdict::Cancelled | Verdict::Interrupted | Verdict::Lost) => false,
            (What::Done, _) => true,
            (What::Success, verdict) => verdict == Verdict::Ok,
            (What::Fail, verdict) => verdict != Verdict::Ok,
        };
        self.counted += u64::from(counts);
        if counts && self.decided.is_none() && self.is_enough().is_some() {
            self.decided = Some(verdict);
        }
        counts
    }

    /// Which ends it counts.
    pub(super) fn what(&self) -> What {
        self.halt.what
    }

    /// With which job's end there were enough.
    pub(super) fn decided(&self) -> Option<Verdict> {
        self.decided
    }

    /// There are so many jobs in all.
    pub(super) fn total(&mut self, total: u64) {
        self.total = Some(total);
    }

    /// Whether there have been enough, and what for.
    pub(super) fn is_enough(&self) -> Option<When> {
        let enough = match (self.halt.limit, self.total) {
            (Limit::Count(count), _) => self.counted >= count,
            (Limit::Percent(percent), Some(total)) if total > 0 => {
                self.counted as f64 * 100.0 >= percent * total as f64
            }
            (Limit::Percent(_), _) => false,
        };
        enough.then_some(self.halt.when)
    }
}

impl std::str::FromStr for Halt {
    type Err = String;

    /// GNU parallel's notation: `now,fail=1`, `soon,done=30%`, and its older one:
    /// `1`, `2`, `-1`, `-2`, `30%`.
    fn from_str(text: &str) -> Result<Halt, String> {
        let text = match text {
            "1" => "soon,fail=1",
            "2" => "now,fail=1",
            "-1" => "soon,success=1",
            "-2" => "now,success=1",
            text if text.ends_with('%') && !text.contains(',') => &format!("soon,fail={text}"),
            text => text,
        };
        let wrong = || {
            "write now or soon, a comma, then fail, success or done, and how many of them: \
             `now,fail=1`, `soon,done=30%`"
                .to_owned()
        };
        let (when, why) = text.split_once(',').ok_or_else(wrong)?;
        let (what, limit) = why.split_once('=').ok_or_else(wrong)?;
        let when = match when {
            "now" => When::Now,
            "soon" => When::Soon,
            _ => return Err(wrong()),
        };
        let what = match what {
            "fail" => What::Fail,
            "success" => What::Success,
            "done" => What::Done,
            _ => return Err(wrong()),
        };
        let limit = match limit.strip_suffix('%') {
            Some(share) => match share.parse() {
                Ok(percent) if percent > 0.0 && percent <= 100.0 => Limit::Percent(percent),
                _ => return Err("a share is more than 0% and at most 100%".into()),
            },
            None => match limit.parse() {
                Ok(count @ 1..) => Limit::Count(count),
                _ => return Err("the number must be at least 1".into()),
            },
        };
        Ok(Halt { when, what, limit })
    }
}

impl fmt::Display for Halt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let when = match self.when {
            When::Now => "now",
            When::Soon => "soon",
        };
        let what = match self.what {
            What::Fail => "fail",
            What::Success => "success",
            What::Done => "done",
        };
        match self.limit {
            Limit::Count(count) => write!(f, "{when},{what}={count}"),
            Limit::Percent(percent) => write!(f, "{when},{what}={percent}%"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counter(text: &str) -> Counter {
        Counter::new(text.parse().unwrap())
    }

    #[test]
    fn gnus_notation_is_read_and_shown() {
        for text in ["now,fail=1", "soon,success=20", "soon,done=12.5%"] {
            assert_eq!(text.parse::<Halt>().unwrap().to_string(), text);
        }
        for (old, new) in [
            ("1", "soon,fail=1"),
            ("2", "now,fail=1"),
            ("-1", "soon,success=1"),
            ("-2", "now,success=1"),
            ("30%", "soon,fail=30%"),
        ] {
            assert_eq!(old.parse::<Halt>().unwrap().to_string(), new);
        }
        for text in [
            "",
            "now",
            "never",
            "3",
            "0%",
            "now,fail",
            "later,fail=1",
            "now,lost=1",
            "now,fail=0",
            "now,fail=-1",
            "now,fail=0%",
            "now,fail=101%",
            "now,fail=x%",
            "now,fail=1,2",
        ] {
            assert!(text.parse::<Halt>().is_err(), "{text}");
        }
    }

    #[test]
    fn only_what_was_asked_for_is_counted() {
        for (what, enough) in [("fail", 2), ("success", 1), ("done", 3)] {
            let mut counter = counter(&format!("now,{what}={enough}"));
            for verdict in [Verdict::Ok, Verdict::Failed(1), Verdict::Interrupted] {
                counter.count(verdict);
            }
            assert_eq!(counter.is_enough().is_some(), what == "success", "{what}");
            counter.count(Verdict::Crashed);
            assert_eq!(counter.is_enough(), Some(When::Now), "{what}");
        }
    }

    #[test]
    fn a_share_is_of_all_jobs() {
        let mut failed = counter("soon,fail=50%");
        failed.count(Verdict::Timeout);
        failed.count(Verdict::Timeout);
        assert_eq!(failed.is_enough(), None);
        failed.total(5);
        assert_eq!(failed.is_enough(), None);
        failed.count(Verdict::Timeout);
        assert_eq!(failed.is_enough(), Some(When::Soon));
        let mut done = counter("soon,done=50%");
        done.total(0);
        assert_eq!(done.is_enough(), None);
    }
}
