//! What stands between two records: a string, or what a regular expression matches.

use std::fmt;

use memchr::memmem::{Finder, FinderRev};
use regex::bytes::{Regex, RegexBuilder};

/// How long a match may be, and how much behind it may decide about it, in bytes. What a pattern matches
/// can change with every byte that comes, so somewhere it has to end.
pub(crate) const LOOK: usize = if cfg!(feature = "fuzzing") {
    16
} else {
    4 << 10
};

/// The group of a joined pattern where the record ends.
const CUT: &str = "orchestrator_cut";

/// What separates records.
#[derive(Clone, Debug)]
pub(crate) enum Separator {
    /// Nothing: a block may end anywhere.
    Nothing,
    /// A string.
    Text(Box<Text>),
    /// A pattern.
    Pattern(Box<Pattern>),
}

/// The end of a record and the beginning of the next, one of which may be empty.
#[derive(Clone)]
pub(crate) struct Text {
    /// How much of it belongs to the record before.
    end: usize,
    /// Both together.
    joined: Vec<u8>,
    forward: Finder<'static>,
    backward: FinderRev<'static>,
}

/// The same as regular expressions.
#[derive(Clone, Debug)]
pub(crate) struct Pattern {
    joined: Regex,
    end: Option<Regex>,
    start: Option<Regex>,
}

/// A separator that was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    /// Where it begins.
    pub(crate) from: usize,
    /// Where the record before it ends and the next begins.
    pub(crate) cut: usize,
    /// Where it ends.
    pub(crate) to: usize,
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (end, start) = self.joined.split_at(self.end);
        write!(f, "Text({}, {})", end.escape_ascii(), start.escape_ascii())
    }
}

impl Separator {
    /// A record ends with this string, and the next begins with that; nothing, if both are empty.
    pub(crate) fn text(end: &[u8], start: &[u8]) -> Separator {
        let joined = [end, start].concat();
        if joined.is_empty() {
            return Separator::Nothing;
        }
        Separator::Text(Box::new(Text {
            end: end.len(),
            forward: Finder::new(&joined).into_owned(),
            backward: FinderRev::new(&joined).into_owned(),
            joined,
        }))
    }

    /// The same with regular expressions.
    ///
    /// # Errors
    /// Why they are none, or separate nothing.
    pub(crate) fn pattern(end: &str, start: &str) -> Result<Separator, String> {
        if end.is_empty() && start.is_empty() {
            return Ok(Separator::Nothing);
        }
        // By itself, so that a message is about what was written, and one cannot reach into the other.
        let one = |text: &str| match text {
            "" => Ok(None),
            text => compile(text).map(Some),
        };
        let (end_re, start_re) = (one(end)?, one(start)?);
        let joined = match (&end_re, &start_re) {
            (Some(_), Some(_)) => compile(&format!("(?:{end})(?P<{CUT}>)(?:{start})"))?,
            _ => compile(if end.is_empty() { start } else { end })?,
        };
        if joined.is_match(b"") {
            return Err("it matches where there is nothing".into());
        }
        Ok(Separator::Pattern(Box::new(Pattern {
            joined,
            end: end_re,
            start: start_re,
        })))
    }

    /// How far behind a place must be looked to know whether a record ends there.
    pub(crate) fn look(&self) -> usize {
        match self {
            Separator::Nothing => 0,
            Separator::Text(text) => text.joined.len() - text.end,
            Separator::Pattern(_) => 2 * LOOK,
        }
    }

    /// Whether it is a string, which is the same wherever it is looked for.
    pub(crate) fn is_fixed(&self) -> bool {
        !matches!(self, Separator::Pattern(_))
    }

    /// The first separator that begins there or later and ends a record that is not empty; else from where
    /// to look when there is more.
    pub(crate) fn find(&self, bytes: &[u8], from: usize, ended: bool) -> Result<Found, usize> {
        match self {
            Separator::Nothing => Err(bytes.len()),
            Separator::Text(text) => text.find(bytes, from),
            Separator::Pattern(pattern) => pattern.find(bytes, from, ended),
        }
    }

    /// The last place where a record ends in these bytes, which are not empty; only for a string.
    pub(crate) fn rfind(&self, bytes: &[u8]) -> Option<Found> {
        match self {
            Separator::Nothing => Some(Found::at(bytes.len())),
            Separator::Text(text) => {
                let from = text.backward.rfind(bytes)?;
                let found = text.found(from);
                (found.cut > 0).then_some(found)
            }
            Separator::Pattern(_) => None,
        }
    }

    /// Takes all separators out of a block: those between its records, the beginning of its first record,
    /// and the end of its last.
    pub(crate) fn remove(&self, block: &[u8]) -> Vec<u8> {
        let mut kept = Vec::with_capacity(block.len());
        let (mut from, to) = match self {
            Separator::Nothing => (0, block.len()),
            Separator::Text(text) => text.edges(block),
            Separator::Pattern(pattern) => pattern.edges(block),
        };
        let inner = &block[..to];
        let mut at = from;
        while let Ok(found) = self.find(inner, at, true) {
            kept.extend_from_slice(&inner[from..found.from.max(from)]);
            from = found.to.max(from);
            at = found.next();
        }
        kept.extend_from_slice(&inner[from.min(to)..]);
        kept
    }
}

impl Found {
    fn at(place: usize) -> Found {
        Found {
            from: place,
            cut: place,
            to: place,
        }
    }

    /// Where the next one may begin.
    pub(crate) fn next(self) -> usize {
        // One that is empty would be found again.
        self.to + usize::from(self.to == self.from)
    }
}

impl Text {
    fn found(&self, from: usize) -> Found {
        Found {
            from,
            cut: from + self.end,
            to: from + self.joined.len(),
        }
    }

    fn find(&self, bytes: &[u8], from: usize) -> Result<Found, usize> {
        let mut at = from.min(bytes.len());
        while let Some(next) = self.forward.find(&bytes[at..]) {
            let found = self.found(at + next);
            if found.cut > 0 {
                return Ok(found);
            }
            at = found.to;
        }
        let tail = (bytes.len() + 1).saturating_sub(self.joined.len());
        Err(tail.max(at))
    }

    /// Where the content of a block begins and ends.
    fn edges(&self, block: &[u8]) -> (usize, usize) {
        let (end, start) = self.joined.split_at(self.end);
        let from = if block.starts_with(start) {
            start.len()
        } else {
            0
        };
        let rest = &block[from..];
        let to = block.len() - if rest.ends_with(end) { end.len() } else { 0 };
        (from, to)
    }
}

impl Pattern {
    fn find(&self, bytes: &[u8], from: usize, ended: bool) -> Result<Found, usize> {
        let mut at = from;
        while at <= bytes.len()
            && let Some(found) = self.find_at(bytes, at)
        {
            if !ended && found.to + LOOK > bytes.len() {
                // It may become another one; whatever begins before it is as long as a match may be.
                return Err(from
                    .max(bytes.len().saturating_sub(2 * LOOK))
                    .min(found.from));
            }
            if found.cut > 0 {
                return Ok(found);
            }
            at = found.next();
        }
        Err(at.max(bytes.len().saturating_sub(2 * LOOK)))
    }

    fn find_at(&self, bytes: &[u8], at: usize) -> Option<Found> {
        match (&self.end, &self.start) {
            (Some(_), Some(_)) => {
                let groups = self.joined.captures_at(bytes, at)?;
                let (whole, cut) = (groups.get(0)?, groups.name(CUT)?.start());
                Some(Found {
                    from: whole.start(),
                    cut,
                    to: whole.end(),
                })
            }
            (end, _) => {
                let whole = self.joined.find_at(bytes, at)?;
                let cut = match end {
                    Some(_) => whole.end(),
                    None => whole.start(),
                };
                Some(Found {
                    from: whole.start(),
                    cut,
                    to: whole.end(),
                })
            }
        }
    }

    /// Where the content of a block begins and ends.
    fn edges(&self, block: &[u8]) -> (usize, usize) {
        let first = self.start.as_ref().and_then(|start| start.find(block));
        let from = match first {
            Some(first) if first.start() == 0 => first.end(),
            _ => 0,
        };
        let mut last = None;
        if let Some(end) = &self.end {
            last = end.find_iter(&block[from..]).last();
        }
        let to = match last {
            Some(last) if from + last.end() == block.len() => from + last.start(),
            _ => block.len(),
        };
        (from, to)
    }
}

/// Bytes are bytes: no pattern is about characters of more than one.
pub(super) fn compile(text: &str) -> Result<Regex, String> {
    let built = RegexBuilder::new(text).unicode(false).build();
    built.map_err(|e| {
        let why = e.to_string();
        let why = why.lines().last().unwrap_or_default();
        why.strip_prefix("error: ").unwrap_or(why).to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cuts(separator: &Separator, bytes: &[u8]) -> Vec<usize> {
        let (mut at, mut cuts) = (0, Vec::new());
        while let Ok(found) = separator.find(bytes, at, true) {
            cuts.push(found.cut);
            at = found.next();
        }
        cuts
    }

    #[test]
    fn a_record_ends_behind_its_end_and_before_the_next_start() {
        let text = Separator::text;
        assert_eq!(cuts(&text(b"\n", b""), b"a\n\nb"), [2, 3]);
        assert_eq!(cuts(&text(b"", b">"), b">a>b>"), [2, 4]);
        assert_eq!(cuts(&text(b"\n", b">"), b">a>\n>b\nc\n>"), [4, 9]);
        assert_eq!(cuts(&text(b"", b""), b"abc"), [0; 0]);
        // From left to right, and none within another.
        assert_eq!(cuts(&text(b"aa", b""), b"aaaaa"), [2, 4]);
        assert_eq!(text(b"aa", b"").rfind(b"aaa").map(|f| f.cut), Some(3));
        assert_eq!(text(b"", b">").rfind(b">ab"), None);
    }

    #[test]
    fn patterns_separate_as_strings_do() {
        let pattern = |end, start| Separator::pattern(end, start).unwrap();
        assert_eq!(cuts(&pattern("[0-9]+", ""), b"a12b345c"), [3, 7]);
        assert_eq!(cuts(&pattern("", "[A-Z]"), b"AxByC"), [2, 4]);
        assert_eq!(cuts(&pattern("\\n", "(>|@)"), b">a\nb\n@c\n>"), [5, 8]);
        assert!(Separator::pattern("x*", "").is_err());
        assert_eq!(cuts(&pattern("x*", "b"), b"axxbab"), [3, 5]);
        assert!(Separator::pattern("(", "a").is_err());
        assert!(Separator::pattern("a)(b", "c").is_err());
        assert!(matches!(pattern("", ""), Separator::Nothing));
        assert_eq!(cuts(&pattern("\\xff.", ""), b"a\xff\x80b"), [3]);
    }

    #[test]
    fn a_match_that_may_still_grow_is_not_believed() {
        let digits = Separator::pattern("[0-9]+", "").unwrap();
        let bytes = [&b"x"[..], &b"1".repeat(10), &b"y".repeat(LOOK)].concat();
        assert_eq!(digits.find(&bytes[..LOOK], 0, false), Err(0));
        assert_eq!(digits.find(&bytes, 0, false).map(|f| f.cut), Ok(11));
        assert_eq!(digits.find(&bytes[..11], 0, true).map(|f| f.cut), Ok(11));
        let text = Separator::text(b"abc", b"");
        assert_eq!(text.find(b"xxab", 0, false), Err(2));
        assert_eq!(text.find(b"a", 0, false), Err(0));
    }

    #[test]
    fn separators_are_taken_out_where_records_meet_and_at_the_edges() {
        let removed = |separator: &Separator, block: &[u8]| {
            String::from_utf8(separator.remove(block)).unwrap()
        };
        let text = Separator::text;
        assert_eq!(removed(&text(b";", b""), b"a;b;c"), "abc");
        assert_eq!(removed(&text(b"", b">"), b"pre>a>"), "prea");
        assert_eq!(removed(&text(b"\n", b">"), b">a\nx\n>b\n"), "a\nxb");
        assert_eq!(removed(&text(b"\n", b""), b"\n\n"), "");
        assert_eq!(removed(&text(b"", b""), b"abc"), "abc");
        let pattern = |end, start| Separator::pattern(end, start).unwrap();
        assert_eq!(removed(&pattern("[0-9]+", ""), b"a12b345c6"), "abc");
        assert_eq!(removed(&pattern("", "[A-Z]"), b"AxByCz"), "xyz");
        assert_eq!(removed(&pattern("\\n", "[>@]"), b">a\nx\n@b\n"), "a\nxb");
    }
}
