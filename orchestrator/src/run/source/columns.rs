//! A value in columns: what divides it, and what is cut off at its ends.

use regex::bytes::Regex;

/// What divides a value.
#[derive(Clone, Debug)]
pub(crate) enum Columns {
    /// Nothing.
    One,
    /// What this matches.
    Between(Regex),
    /// This byte, outside of double quotes (RFC 4180).
    Csv(u8),
}

/// Where blanks are cut off.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Trim {
    /// At the beginning.
    pub(crate) left: bool,
    /// At the end.
    pub(crate) right: bool,
}

impl Trim {
    pub(super) fn apply(self, mut value: &[u8]) -> &[u8] {
        if self.left {
            let first = value.iter().position(|&byte| !is_blank(byte));
            value = &value[first.unwrap_or(value.len())..];
        }
        if self.right {
            let last = value.iter().rposition(|&byte| !is_blank(byte));
            value = &value[..last.map_or(0, |last| last + 1)];
        }
        value
    }
}

/// Whether a byte is white, to a person.
pub(super) fn is_blank(byte: u8) -> bool {
    byte.is_ascii_whitespace() || byte == 0x0b
}

/// Whether a quoted field of CSV has begun here and has not ended.
pub(super) fn is_open(record: &[u8]) -> bool {
    memchr::memchr_iter(b'"', record).count() % 2 == 1
}

/// The columns of a value, trimmed, with a zero byte between each two. Nothing when
/// its quotes are not those of CSV.
pub(super) fn divided(columns: &Columns, trim: Trim, value: &[u8]) -> Option<Vec<u8>> {
    let mut joined = Vec::with_capacity(value.len());
    let mut add = |i: usize, column: &[u8]| {
        if i > 0 {
            joined.push(0);
        }
        joined.extend_from_slice(trim.apply(column));
    };
    match columns {
        Columns::One => add(0, value),
        Columns::Between(regex) => {
            for (i, column) in regex.split(value).enumerate() {
                add(i, column);
            }
        }
        Columns::Csv(separator) => {
            // RFC 4180 ends its lines so.
            let value = value.strip_suffix(b"\r").unwrap_or(value);
            for (i, column) in record(value, *separator)?.iter().enumerate() {
                add(i, column);
            }
        }
    }
    Some(joined)
}

/// The fields of a record of CSV.
fn record(mut rest: &[u8], separator: u8) -> Option<Vec<Vec<u8>>> {
    let mut fields = Vec::new();
    loop {
        let mut field = Vec::new();
        let quoted = rest.first() == Some(&b'"');
        if quoted {
            rest = &rest[1..];
            loop {
                let quote = memchr::memchr(b'"', rest)?;
                field.extend_from_slice(&rest[..quote]);
                rest = &rest[quote + 1..];
                match rest.first() {
                    Some(b'"') => {
                        field.push(b'"');
                        rest = &rest[1..];
                    }
                    _ => break,
                }
            }
        }
        let end = memchr::memchr(separator, rest);
        let (plain, next) = rest.split_at(end.unwrap_or(rest.len()));
        // Whatever stands beside quotes is a mistake, and so is a quote within a plain field.
        if (quoted && !plain.is_empty()) || memchr::memchr(b'"', plain).is_some() {
            return None;
        }
        field.extend_from_slice(plain);
        fields.push(field);
        if end.is_none() {
            return Some(fields);
        }
        rest = &next[1..];
    }
}

/// Adds a value as a field of CSV, in quotes where it needs them.
pub(crate) fn push_csv(field: &[u8], line: &mut Vec<u8>) {
    let plain = |&byte: &u8| !matches!(byte, b'"' | b',' | b'\n' | b'\r');
    // An empty line would be no record to many a program.
    if !field.is_empty() && field.iter().all(plain) {
        return line.extend_from_slice(field);
    }
    line.push(b'"');
    for &byte in field {
        if byte == b'"' {
            line.push(b'"');
        }
        line.push(byte);
    }
    line.push(b'"');
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn csv(text: &str) -> Option<String> {
        let joined = divided(&Columns::Csv(b','), Trim::default(), text.as_bytes())?;
        Some(String::from_utf8(joined).unwrap().replace('\0', "|"))
    }

    #[test]
    fn csv_is_what_rfc_4180_says() {
        for (text, fields) in [
            ("a,b", "a|b"),
            ("", ""),
            (",", "|"),
            ("1,\"a,b\",", "1|a,b|"),
            ("\"q\"\"q\",\"\"", "q\"q|"),
            ("\"li\nne\",x\r", "li\nne|x"),
            (" a , b", " a | b"),
        ] {
            assert_eq!(csv(text).as_deref(), Some(fields), "{text:?}");
        }
        for wrong in ["\"a", "\"a\"b", "a\"b", "a,\"", "\"a\" ,b"] {
            assert_eq!(csv(wrong), None, "{wrong:?}");
        }
        assert!(is_open(b"a,\"b\nc") && !is_open(b"a,\"b\"\"c\""));
    }

    #[test]
    fn columns_are_what_stands_between_matches() {
        let by = |regex: &str, trim, value: &str| {
            let regex = regex::bytes::RegexBuilder::new(regex)
                .unicode(false)
                .build();
            let joined = divided(&Columns::Between(regex.unwrap()), trim, value.as_bytes());
            String::from_utf8(joined.unwrap())
                .unwrap()
                .replace('\0', "|")
        };
        let none = Trim::default();
        assert_eq!(by("\\t", none, "a\tb c\t"), "a|b c|");
        assert_eq!(by(" +", none, " a  b"), "|a|b");
        assert_eq!(by(",|;", none, "a,b;c"), "a|b|c");
        let both = Trim {
            left: true,
            right: true,
        };
        assert_eq!(by(",", both, " a , b\r"), "a|b");
    }

    #[test]
    fn blanks_are_cut_off_where_that_is_wanted() {
        for (left, right, trimmed) in [
            (false, false, " \ta  b \u{b}"),
            (true, false, "a  b \u{b}"),
            (false, true, " \ta  b"),
            (true, true, "a  b"),
        ] {
            let trim = Trim { left, right };
            assert_eq!(trim.apply(b" \ta  b \x0b"), trimmed.as_bytes());
            assert_eq!(trim.apply(b" \r\n").is_empty(), left || right);
        }
    }

    proptest! {
        #[test]
        fn what_is_written_as_csv_is_read_as_it_was(
            fields in prop::collection::vec(prop::collection::vec(1u8.., 0..6), 1..5),
        ) {
            let mut line = Vec::new();
            for (i, field) in fields.iter().enumerate() {
                if i > 0 {
                    line.push(b',');
                }
                push_csv(field, &mut line);
            }
            prop_assert_eq!(record(&line, b','), Some(fields));
            prop_assert!(!is_open(&line));
        }
    }
}
