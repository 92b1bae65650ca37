//! Foreign bytes and numbers made fit for a line of text that a person reads.
//!
//! Whatever comes from the input, a job or a file name may hold control
//! characters: none of them reaches a terminal from here.

use std::io;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::Signal;

/// How many characters of a value are shown.
pub(crate) const MAX_SHOWN: usize = 80;

/// How many characters of a faulty line are shown before and after the fault.
const EXCERPT: (usize, usize) = (50, 28);

/// A value in back-quotes, harmless and cut to [`MAX_SHOWN`] characters.
pub(crate) fn quoted(value: impl AsRef<[u8]>) -> String {
    let value = value.as_ref();
    // An escape takes up to six characters for one byte, never less than one
    // for four: what lies beyond would be cut anyway.
    let shown = escaped(&value[..value.len().min(MAX_SHOWN * 4 + 4)]);
    match shown.char_indices().nth(MAX_SHOWN) {
        Some((cut, _)) => format!("`{}…`", &shown[..cut]),
        None => format!("`{shown}`"),
    }
}

/// Control characters, characters that turn the direction of writing or end a line, and
/// bytes that are not UTF-8 as escapes; everything else as it is.
pub(crate) fn escaped(value: &[u8]) -> String {
    let mut out = String::with_capacity(value.len());
    for chunk in value.utf8_chunks() {
        for c in chunk.valid().chars() {
            let turns = matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
                | '\u{200e}' | '\u{200f}' | '\u{61c}');
            let ends_line = matches!(c, '\u{2028}' | '\u{2029}');
            if c.is_control() || turns || ends_line {
                out.extend(c.escape_default());
            } else {
                out.push(c);
            }
        }
        for byte in chunk.invalid() {
            out.push_str(&format!("\\x{byte:02x}"));
        }
    }
    out
}

/// As much of a value as fits on a line, harmless.
pub(crate) fn clipped(value: &[u8]) -> String {
    const MOST: usize = 200;
    let shown = escaped(&value[..value.len().min(MOST * 4 + 4)]);
    match shown.char_indices().nth(MOST) {
        Some((cut, _)) => format!("{}…", &shown[..cut]),
        None => shown,
    }
}

/// The part of a line around a column (in bytes, from 1), and how many
/// characters stand before that column.
pub(crate) fn excerpt(line: &[u8], column: usize) -> (String, usize) {
    let at = column.saturating_sub(1).min(line.len());
    let continues = |i: usize| line.get(i).is_some_and(|b| b & 0xc0 == 0x80);
    let mut start = at.saturating_sub(EXCERPT.0 * 4);
    while start < at && continues(start) {
        start += 1;
    }
    let mut end = line.len().min(at + EXCERPT.1 * 4);
    while end > at && continues(end) {
        end -= 1;
    }
    let before = escaped(&line[start..at]);
    let after = escaped(&line[at..end]);
    let mut shown = String::new();
    let surplus = before.chars().count().saturating_sub(EXCERPT.0);
    if surplus > 0 || start > 0 {
        shown.push('…');
    }
    shown.extend(before.chars().skip(surplus));
    let caret = shown.chars().count();
    shown.extend(after.chars().take(EXCERPT.1));
    if end < line.len() || after.chars().count() > EXCERPT.1 {
        shown.push('…');
    }
    (shown, caret)
}

/// The name that most resembles this one, if any does.
pub(crate) fn similar<'a>(
    name: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    candidates
        .into_iter()
        .map(|candidate| (strsim::jaro_winkler(name, candidate), candidate))
        .filter(|&(likeness, _)| likeness > 0.8)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate)
}

/// Why the system refused something, as the end of a sentence.
pub(crate) fn reason(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(code) => errno(code),
        None => error.to_string(),
    }
}

/// What an error number means, as the end of a sentence.
pub(crate) fn errno(code: i32) -> String {
    let text = Errno::from_raw(code).desc();
    let mut chars = text.chars();
    let first = chars.next();
    // "I/O error" stays as it is.
    match first {
        Some(first) if chars.as_str().starts_with(char::is_lowercase) => {
            first.to_lowercase().chain(chars).collect()
        }
        _ => text.to_owned(),
    }
}

/// `SIGSEGV`, or `signal 40` for one without a name.
pub(crate) fn signal(number: i32) -> String {
    Signal::try_from(number).map_or_else(|_| format!("signal {number}"), |s| s.as_str().into())
}

/// A number with its thousands set apart: `10,000`.
pub(crate) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A number of things: `1 job`, `2 jobs`.
pub(crate) fn counted(number: u64, thing: &str) -> String {
    let s = if number == 1 { "" } else { "s" };
    format!("{} {thing}{s}", count(number))
}

/// How many in a second, or in a minute or an hour where that is next to nothing; with as many
/// digits as matter.
pub(crate) fn rate(per_second: f64) -> String {
    const LITTLE: f64 = 0.1;
    let per_minute = per_second * 60.0;
    let (rate, unit) = match () {
        () if per_second >= LITTLE || per_second <= 0.0 => (per_second, "s"),
        () if per_minute >= LITTLE => (per_minute, "min"),
        () => (per_minute * 60.0, "h"),
    };
    match rate {
        ..1.0 => format!("{rate:.2}/{unit}"),
        ..10.0 => format!("{rate:.1}/{unit}"),
        _ => format!("{}/{unit}", count(rate.round() as u64)),
    }
}

/// A length of time, with as many digits as matter.
pub(crate) fn duration(time: Duration) -> String {
    let ms = time.as_millis();
    let secs = time.as_secs();
    match secs {
        0 => format!("{ms}ms"),
        1..10 => format!("{:.2}s", time.as_secs_f64()),
        10..60 => format!("{:.1}s", time.as_secs_f64()),
        60..3600 => format!("{}m {}s", secs / 60, secs % 60),
        _ => format!("{}h {}m", secs / 3600, secs / 60 % 60),
    }
}

/// A size in bytes with a binary unit where it is a whole number of them.
pub(crate) fn size(bytes: u64) -> String {
    for (shift, unit) in [(30, "GiB"), (20, "MiB"), (10, "KiB")] {
        if bytes >= 1 << shift && bytes.is_multiple_of(1 << shift) {
            return format!("{} {unit}", count(bytes >> shift));
        }
    }
    counted(bytes, "byte")
}

/// A size in bytes as a person says it.
pub(crate) fn about(bytes: u64) -> String {
    let units = [(40, "TiB"), (30, "GiB"), (20, "MiB"), (10, "KiB")];
    match units.iter().find(|(shift, _)| bytes >= 1 << shift) {
        Some((shift, unit)) => format!("{:.1} {unit}", bytes as f64 / (1u64 << shift) as f64),
        None => format!("{bytes} bytes"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_has_the_digits_that_matter() {
        for (per_second, text) in [
            (1_234.5, "1,235/s"),
            (10.0, "10/s"),
            (3.21, "3.2/s"),
            (0.5, "0.50/s"),
            (0.067, "4.0/min"),
            (0.0123, "0.74/min"),
            (0.001, "3.6/h"),
            (1.0 / 36_000.0, "0.10/h"),
            (0.0, "0.00/s"),
        ] {
            assert_eq!(rate(per_second), text);
        }
    }

    #[test]
    fn nothing_that_a_terminal_obeys_is_shown() {
        assert_eq!(
            quoted(b"a\x1b[31m\n\xff\xc3"),
            "`a\\u{1b}[31m\\n\\xff\\xc3`"
        );
        assert_eq!(quoted("\u{202e}ü\u{2028}"), "`\\u{202e}ü\\u{2028}`");
    }

    #[test]
    fn long_values_are_cut() {
        let shown = quoted("ü".repeat(500));
        assert_eq!(shown.chars().count(), MAX_SHOWN + 3);
        assert!(shown.ends_with("ü…`"));
        assert_eq!(quoted("x".repeat(80)), format!("`{}`", "x".repeat(80)));
    }

    #[test]
    fn the_caret_stands_under_the_column() {
        assert_eq!(excerpt(b"{\"n\": }", 7), ("{\"n\": }".into(), 6));
        assert_eq!(excerpt("\"ü\" x".as_bytes(), 6), ("\"ü\" x".into(), 4));
        assert_eq!(excerpt(b"", 0), (String::new(), 0));
        let long = "é".repeat(1000);
        for column in 0..2100 {
            let (shown, caret) = excerpt(long.as_bytes(), column);
            assert!(caret <= shown.chars().count());
            assert!(shown.chars().count() <= 82, "{column}: {shown}");
        }
    }

    #[test]
    fn similar_names_are_found() {
        assert_eq!(similar("fibb", ["prime", "fib"]), Some("fib"));
        assert_eq!(similar("zstdd", ["zstd", "gzip"]), Some("zstd"));
        assert_eq!(similar("qqq", ["zstd", "gzip"]), None);
    }

    #[test]
    fn numbers_read_easily() {
        assert_eq!(count(0), "0");
        assert_eq!(count(999), "999");
        assert_eq!(count(1_000), "1,000");
        assert_eq!(count(1_234_567), "1,234,567");
        assert_eq!(counted(1, "job"), "1 job");
        assert_eq!(duration(Duration::from_millis(61)), "61ms");
        assert_eq!(duration(Duration::from_millis(1_459)), "1.46s");
        assert_eq!(duration(Duration::from_millis(34_210)), "34.2s");
        assert_eq!(duration(Duration::from_secs(90)), "1m 30s");
        assert_eq!(duration(Duration::from_secs(4_200)), "1h 10m");
        assert_eq!(size(1 << 20), "1 MiB");
        assert_eq!(size(1025), "1,025 bytes");
    }

    #[test]
    fn sizes_are_about_right() {
        assert_eq!(about(0), "0 bytes");
        assert_eq!(about(1536), "1.5 KiB");
        assert_eq!(about(5 << 40), "5.0 TiB");
    }

    #[test]
    fn errors_end_a_sentence() {
        assert_eq!(errno(28), "no space left on device");
        assert_eq!(errno(5), "I/O error");
        let error = io::Error::from_raw_os_error(24);
        assert_eq!(reason(&error), "too many open files");
        assert_eq!(reason(&io::Error::other("odd")), "odd");
        assert_eq!(signal(11), "SIGSEGV");
        assert_eq!(signal(40), "signal 40");
    }
}
