//! How many jobs run at once, in GNU parallel's words: `4`, `50%`, `+1`, `-1`,
//! `0`. Pure: text in, a number out.

use crate::pool;

/// How many jobs run at once.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Jobs {
    /// So many; at least 1.
    Count(usize),
    /// As many as the limits of this process allow.
    Most,
    /// Such a share of the CPUs.
    Percent(f64),
    /// So many more than there are CPUs.
    More(usize),
    /// So many fewer.
    Fewer(usize),
}

impl Eq for Jobs {}

impl Jobs {
    /// How many that are with so many CPUs; at least 1, and no more than anybody
    /// can have.
    pub(crate) fn count(self, cpus: usize) -> usize {
        let number = match self {
            Jobs::Count(number) => number,
            Jobs::Most => pool::most_workers(),
            // A part of a job is one.
            Jobs::Percent(percent) => (cpus as f64 * percent / 100.0).ceil() as usize,
            Jobs::More(number) => cpus.saturating_add(number),
            Jobs::Fewer(number) => cpus.saturating_sub(number),
        };
        number.max(1)
    }
}

impl std::str::FromStr for Jobs {
    type Err = ();

    fn from_str(text: &str) -> Result<Jobs, ()> {
        let number = |digits: &str| {
            let all_digits = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
            let number = digits.parse::<usize>().ok().filter(|_| all_digits);
            number.ok_or(())
        };
        if let Some(digits) = text.strip_prefix('+') {
            return number(digits).map(Jobs::More);
        }
        if let Some(digits) = text.strip_prefix('-') {
            return number(digits).map(Jobs::Fewer);
        }
        if let Some(share) = text.strip_suffix('%') {
            // Not what else a float may be: `inf`, `1e9`.
            let plain = share.bytes().all(|b| b.is_ascii_digit() || b == b'.');
            let percent = share.parse::<f64>().ok().filter(|_| plain);
            return percent.map(Jobs::Percent).ok_or(());
        }
        match number(text)? {
            0 => Ok(Jobs::Most),
            number => Ok(Jobs::Count(number)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gnus_words_mean_what_they_mean_there() {
        // As GNU parallel 20221122 did on two CPUs.
        for (text, on_two, on_eight) in [
            ("1", 1, 1),
            ("16", 16, 16),
            ("100%", 2, 8),
            ("150%", 3, 12),
            ("124%", 3, 10),
            ("75%", 2, 6),
            ("10%", 1, 1),
            ("12.5%", 1, 1),
            ("+1", 3, 9),
            ("+0", 2, 8),
            ("-1", 1, 7),
            ("-0", 2, 8),
            // Where its manual says 1 and it says that it cannot run any job.
            ("-100", 1, 1),
            ("0%", 1, 1),
        ] {
            let jobs: Jobs = text.parse().unwrap();
            assert_eq!((jobs.count(2), jobs.count(8)), (on_two, on_eight), "{text}");
        }
        assert!(Jobs::Most.count(2) >= 1);
    }

    #[test]
    fn what_is_no_number_is_none() {
        for text in [
            "",
            "abc",
            "1.5",
            "1e1",
            "-50%",
            "+100%",
            "%",
            "+",
            "-",
            "+-1",
            "--1",
            " 1",
            "inf%",
            "NaN%",
            "1e9%",
            "..%",
            "99999999999999999999",
        ] {
            assert_eq!(text.parse::<Jobs>(), Err(()), "{text}");
        }
    }
}
