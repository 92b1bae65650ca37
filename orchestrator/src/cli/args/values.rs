//! What a value may look like: times, sizes and numbers.

use std::num::NonZero;
use std::time::Duration;

use protocol::OutputLimit;

use crate::pool::usable_cpus;

pub(super) fn workers(text: &str) -> Result<NonZero<usize>, String> {
    let number: usize = text.parse().map_err(|_| "not a number".to_owned())?;
    NonZero::new(number).ok_or_else(|| {
        let cpus = match usable_cpus() {
            1 => "the 1 usable CPU".to_owned(),
            n => format!("all {n} usable CPUs"),
        };
        format!("there must be at least 1; leave it out to use {cpus}")
    })
}

/// A time that is long enough for something to happen in it.
pub(super) fn time(text: &str) -> Result<Duration, String> {
    match grace(text)? {
        Duration::ZERO => Err("it must be more than 0; leave it out for no limit".into()),
        time => Ok(time),
    }
}

/// A time: `90s`, `5m`, or a number of seconds.
pub(super) fn grace(text: &str) -> Result<Duration, String> {
    match text.parse::<f64>() {
        Ok(seconds) => Duration::try_from_secs_f64(seconds)
            .map_err(|_| "not a time; write seconds, or e.g. 90s, 5m, 1h 30m".to_owned()),
        Err(_) => humantime::parse_duration(text)
            .map_err(|_| "not a time; write seconds, or e.g. 90s, 5m, 1h 30m".to_owned()),
    }
}

pub(super) fn size(text: &str) -> Result<u64, String> {
    let (digits, shift) = match text.as_bytes().last() {
        Some(b'k' | b'K') => (&text[..text.len() - 1], 10),
        Some(b'm' | b'M') => (&text[..text.len() - 1], 20),
        Some(b'g' | b'G') => (&text[..text.len() - 1], 30),
        Some(b't' | b'T') => (&text[..text.len() - 1], 40),
        Some(b'p' | b'P') => (&text[..text.len() - 1], 50),
        _ => (text, 0),
    };
    let number: u64 = digits
        .parse()
        .map_err(|_| "not a size; write bytes, or a number with K, M, G, T or P".to_owned())?;
    match number.checked_mul(1 << shift) {
        None => Err("too large".into()),
        Some(0) => Err("it must be at least 1".into()),
        Some(bytes) => Ok(bytes),
    }
}

/// A size, and what becomes of a command that writes more.
pub(super) fn output_limit(text: &str) -> Result<OutputLimit, String> {
    let (bytes, kill) = match text.split_once(',') {
        None => (text, false),
        Some((bytes, "kill")) => (bytes, true),
        Some(_) => return Err("behind the comma there can only be `kill`".into()),
    };
    let bytes = size(bytes)?;
    Ok(OutputLimit { bytes, kill })
}

#[cfg(test)]
mod tests {
    use super::super::tests::run;
    use super::*;

    #[test]
    fn times_have_units_or_are_seconds() {
        for (text, ms) in [
            ("90s", 90_000),
            ("5m", 300_000),
            ("2", 2_000),
            ("0.25", 250),
        ] {
            assert_eq!(time(text), Ok(Duration::from_millis(ms)), "{text}");
        }
        for bad in ["", "x", "5x", "-1", "0", "0s", "NaN", "inf"] {
            assert!(time(bad).is_err(), "{bad}");
        }
        assert_eq!(grace("0"), Ok(Duration::ZERO));
    }

    #[test]
    fn sizes_have_units() {
        assert_eq!(size("512"), Ok(512));
        assert_eq!(size("64K"), Ok(64 << 10));
        assert_eq!(size("1g"), Ok(1 << 30));
        for bad in ["", "K", "0", "-1", "1.5M", "99999999999G", "1ü"] {
            assert!(size(bad).is_err(), "{bad}");
        }
        assert_eq!(run(&["true"]).unwrap().max_line, 1 << 20);
    }

    #[test]
    fn a_limit_of_output_may_kill() {
        let limit = |bytes, kill| Ok(OutputLimit { bytes, kill });
        assert_eq!(output_limit("64K"), limit(64 << 10, false));
        assert_eq!(output_limit("1,kill"), limit(1, true));
        for bad in ["", "0", "1,", "1,keep", ",kill", "1,kill,kill"] {
            assert!(output_limit(bad).is_err(), "{bad}");
        }
        assert!(run(&["--open-files", "0", "true"]).is_err());
        assert!(run(&["--cpu-limit", "0", "true"]).is_err());
    }
}
