//! What stands at the beginning of the input, and of each block.

use memchr::{memchr, memchr_iter};
use regex::bytes::Regex;

use super::separator::{self, LOOK};

/// How large it may be: it is in memory with each block.
pub(super) const LARGEST: usize = 1 << 20;

/// See the module.
#[derive(Clone, Debug)]
pub(crate) enum Header {
    /// So many lines.
    Lines(usize),
    /// What a regular expression matches there.
    Pattern(Regex),
}

/// What is known of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Known {
    /// So many bytes; none when there is no header.
    Length(usize),
    /// More of the input decides.
    Nothing,
}

impl Header {
    /// What this regular expression matches at the beginning.
    ///
    /// # Errors
    /// Why it is none.
    pub(crate) fn pattern(text: &str) -> Result<Header, String> {
        // By itself, so that a message is about what was written.
        separator::compile(text)?;
        separator::compile(&format!("\\A(?:{text})")).map(Header::Pattern)
    }

    /// How much of the beginning of these bytes it is, which may be all of the input.
    pub(super) fn find(&self, bytes: &[u8], ended: bool) -> Known {
        let found = match self {
            Header::Lines(lines) => memchr_iter(b'\n', bytes).nth(lines - 1).map(|end| end + 1),
            Header::Pattern(pattern) => {
                let end = pattern.find(bytes).map(|found| found.end());
                // It may go on in the next line, but not behind a line that it does not match.
                end.filter(|&end| ended || goes_no_further(&bytes[end..]))
            }
        };
        match found {
            Some(length) => Known::Length(length),
            None if ended => Known::Length(0),
            // No more is looked at for a pattern.
            None if bytes.len() > LARGEST && matches!(self, Header::Pattern(_)) => Known::Length(0),
            None => Known::Nothing,
        }
    }
}

fn goes_no_further(rest: &[u8]) -> bool {
    rest.len() >= LOOK || memchr(b'\n', rest).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_counted() {
        for (lines, bytes, ended, known) in [
            (1, "a\nb", false, Known::Length(2)),
            (2, "a\nb", false, Known::Nothing),
            (2, "a\nb", true, Known::Length(0)),
            (2, "a\n\nb", false, Known::Length(3)),
            (1, "", true, Known::Length(0)),
        ] {
            assert_eq!(Header::Lines(lines).find(bytes.as_bytes(), ended), known);
        }
    }

    #[test]
    fn a_pattern_matches_at_the_beginning_and_waits_for_the_line_behind() {
        for (pattern, bytes, ended, known) in [
            ("(#.*\n)*", "#1\n#2\na\n", false, Known::Length(6)),
            ("(#.*\n)*", "#1\n#2", false, Known::Nothing),
            ("(#.*\n)*", "#1\n#2", true, Known::Length(3)),
            ("(#.*\n)*", "a\n#2\n", false, Known::Length(0)),
            ("#.*\n", "a\n#2\n", false, Known::Nothing),
            ("#.*\n", "a\n#2\n", true, Known::Length(0)),
            ("a|ab", "abc\n", true, Known::Length(1)),
            ("[a-z]+,", "abc,def\n", false, Known::Length(4)),
        ] {
            let header = Header::pattern(pattern).unwrap();
            assert_eq!(
                header.find(bytes.as_bytes(), ended),
                known,
                "{pattern} {bytes}"
            );
        }
        assert!(Header::pattern("(").is_err());
        assert!(Header::pattern(")(").is_err());
        let long = vec![b'x'; LARGEST + 1];
        let header = Header::pattern("#").unwrap();
        assert_eq!(header.find(&long, false), Known::Length(0));
        assert_eq!(Header::Lines(1).find(&long, false), Known::Nothing);
    }
}
