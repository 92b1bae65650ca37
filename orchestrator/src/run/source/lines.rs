//! Bytes, cut into lines.
//!
//! A line may be of any bytes. The last one need not end with the delimiter.
//! One that is longer than the limit is never held: its length is counted, the
//! rest of it is thrown away up to the delimiter, and it is reported as such.

use bytes::Bytes;

/// Longest line in bytes unless `--max-line` says otherwise.
pub(crate) const DEFAULT_MAX_LINE: u64 = 1 << 20;

/// How much of a line that is too long is kept for the error message.
const KEPT: usize = 100;

/// What ends a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Delimiter {
    /// A line feed.
    Newline,
    /// A zero byte, which no file name holds.
    Nul,
    /// Nothing: a piece is a block of records, which end with whatever they end with.
    Block,
    /// These bytes; without any, nothing does. They live as long as the program.
    Text(&'static [u8]),
}

impl Delimiter {
    /// What ends a piece.
    pub(crate) fn bytes(self) -> &'static [u8] {
        match self {
            Delimiter::Newline => b"\n",
            Delimiter::Nul => b"\0",
            Delimiter::Block => b"",
            Delimiter::Text(text) => text,
        }
    }

    /// What to call a piece of the input.
    pub(crate) fn unit(self) -> &'static str {
        match self {
            Delimiter::Newline => "line",
            Delimiter::Nul | Delimiter::Text(_) => "item",
            Delimiter::Block => "block",
        }
    }
}

/// One line, without its delimiter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Line {
    /// Its number, from 1.
    pub(crate) number: u64,
    /// What it says.
    pub(crate) content: Content,
}

/// What a line says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    /// All of it.
    Whole(Bytes),
    /// It is longer than the limit.
    TooLong {
        /// Its beginning.
        start: Bytes,
        /// Its whole length in bytes.
        length: u64,
    },
    /// It is no item.
    Unfit(Box<Unfit>),
}

/// What makes no item, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Unfit {
    /// What is wrong, one line that names the place.
    pub(crate) what: String,
    /// Of which kind that is.
    pub(crate) why: Why,
}

/// Kinds of what makes no item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Why {
    /// It is longer than the limit.
    TooLong,
    /// It holds a zero byte, which would divide it.
    ZeroByte,
    /// Its quotes are not those of CSV.
    Quotes,
    /// It fits into no command line.
    NoRoom,
}

/// Cuts a stream of bytes into lines, however the stream is cut into reads.
#[derive(Debug)]
pub(super) struct Splitter {
    delimiter: &'static [u8],
    pub(super) limit: u64,
    /// Lines that have ended.
    pub(super) ended: u64,
    /// The beginning of the line that has not; never longer than the limit.
    partial: Vec<u8>,
    /// Its length so far, which may be larger.
    length: u64,
    /// Bytes behind it that may be the beginning of a delimiter of several.
    begun: Vec<u8>,
}

impl Splitter {
    pub(super) fn new(delimiter: Delimiter, limit: u64) -> Splitter {
        Splitter {
            delimiter: delimiter.bytes(),
            limit,
            ended: 0,
            partial: Vec::new(),
            length: 0,
            begun: Vec::new(),
        }
    }

    /// Takes the next bytes and gives the lines that they complete.
    pub(super) fn push(&mut self, chunk: &Bytes, mut take: impl FnMut(Line)) {
        let &[delimiter] = self.delimiter else {
            return self.push_several(chunk, take);
        };
        let mut from = 0;
        for at in memchr::memchr_iter(delimiter, chunk) {
            let piece = chunk.slice(from..at);
            from = at + 1;
            take(self.end(piece));
        }
        self.hold(&chunk[from..]);
    }

    /// The same with a delimiter of several bytes, which may lie in two chunks; or
    /// of none.
    fn push_several(&mut self, chunk: &Bytes, mut take: impl FnMut(Line)) {
        if self.delimiter.is_empty() {
            return self.hold(chunk);
        }
        let joined = match self.begun.is_empty() {
            true => chunk.clone(),
            false => Bytes::from([&std::mem::take(&mut self.begun)[..], chunk].concat()),
        };
        let mut from = 0;
        for at in memchr::memmem::find_iter(&joined, self.delimiter) {
            let piece = joined.slice(from..at);
            from = at + self.delimiter.len();
            take(self.end(piece));
        }
        let rest = &joined[from..];
        let longest = rest.len().min(self.delimiter.len() - 1);
        let mut lengths = (1..=longest).rev();
        let begun = lengths.find(|&n| self.delimiter.starts_with(&rest[rest.len() - n..]));
        let (held, begun) = rest.split_at(rest.len() - begun.unwrap_or(0));
        self.begun = begun.to_vec();
        self.hold(held);
    }

    /// The last line, when it was not ended by a delimiter.
    pub(super) fn finish(&mut self) -> Option<Line> {
        let begun = std::mem::take(&mut self.begun);
        self.hold(&begun);
        (self.length > 0).then(|| self.end(Bytes::new()))
    }

    /// Ends the line whose last piece this is.
    fn end(&mut self, piece: Bytes) -> Line {
        // Most lines lie within one read: those share its memory.
        let whole = self.length == 0 && piece.len() as u64 <= self.limit;
        let content = if whole {
            Content::Whole(piece)
        } else {
            self.hold(&piece);
            let held = Bytes::from(std::mem::take(&mut self.partial));
            if self.length <= self.limit {
                Content::Whole(held)
            } else {
                Content::TooLong {
                    start: held,
                    length: self.length,
                }
            }
        };
        self.length = 0;
        self.ended += 1;
        Line {
            number: self.ended,
            content,
        }
    }

    fn hold(&mut self, piece: &[u8]) {
        self.length += piece.len() as u64;
        if self.length <= self.limit {
            self.partial.extend_from_slice(piece);
            return;
        }
        let missing = KEPT.saturating_sub(self.partial.len()).min(piece.len());
        self.partial.extend_from_slice(&piece[..missing]);
        self.partial.truncate(KEPT);
        self.partial.shrink_to_fit();
    }
}

#[cfg(test)]
mod tests {
    use std::str;

    use proptest::prelude::*;

    use super::*;

    fn split(chunks: &[&[u8]], delimiter: Delimiter, limit: u64) -> Vec<Line> {
        let mut splitter = Splitter::new(delimiter, limit);
        let mut lines = Vec::new();
        for chunk in chunks {
            splitter.push(&Bytes::copy_from_slice(chunk), |line| lines.push(line));
        }
        lines.extend(splitter.finish());
        lines
    }

    fn whole(line: &Line) -> &[u8] {
        match &line.content {
            Content::Whole(bytes) => bytes,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_last_line_needs_no_delimiter() {
        let lines = split(&[b"a\n\nb"], Delimiter::Newline, 10);
        assert_eq!(
            lines.iter().map(whole).collect::<Vec<_>>(),
            [&b"a"[..], b"", b"b"]
        );
        assert_eq!(lines[2].number, 3);
        assert!(split(&[b""], Delimiter::Newline, 10).is_empty());
        assert_eq!(split(&[b"a\0b\n\0"], Delimiter::Nul, 10).len(), 2);
    }

    #[test]
    fn a_delimiter_may_be_several_bytes_or_none() {
        let text = |chunks: &[&[u8]], delimiter| {
            let lines = split(chunks, Delimiter::Text(delimiter), 100);
            let lines = lines.iter().map(|line| whole(line).to_vec());
            lines.collect::<Vec<_>>()
        };
        assert_eq!(text(&[b"a,;b,c,;"], b",;"), [&b"a"[..], b"b,c"]);
        assert_eq!(text(&[b"a,", b";b,", b"c,"], b",;"), [&b"a"[..], b"b,c,"]);
        assert_eq!(text(&[b"aab", b"aaab"], b"aab"), [&b""[..], b"a"]);
        assert_eq!(text(&[b"a\n", b"b\n"], b""), [b"a\nb\n"]);
        assert!(text(&[], b"").is_empty());
    }

    #[test]
    fn a_line_that_is_too_long_is_dropped_and_counted() {
        let long = vec![b'x'; 1000];
        let mut splitter = Splitter::new(Delimiter::Newline, 500);
        let mut lines = Vec::new();
        for _ in 0..1000 {
            splitter.push(&Bytes::from(long.clone()), |line| lines.push(line));
            assert!(splitter.partial.capacity() <= 500);
        }
        splitter.push(&Bytes::from_static(b"\nok\n"), |line| lines.push(line));
        let [first, second] = &lines[..] else {
            panic!("{lines:?}")
        };
        let Content::TooLong { start, length } = &first.content else {
            panic!("{first:?}")
        };
        assert_eq!((start.len(), *length), (KEPT, 1_000_000));
        assert_eq!((second.number, whole(second)), (2, &b"ok"[..]));
    }

    #[test]
    fn the_limit_itself_is_allowed() {
        assert_eq!(
            whole(&split(&[b"12", b"345\n"], Delimiter::Newline, 5)[0]),
            b"12345"
        );
        let over = &split(&[b"123456\n"], Delimiter::Newline, 5)[0];
        assert!(matches!(over.content, Content::TooLong { length: 6, .. }));
    }

    proptest! {
        #[test]
        fn reads_may_end_anywhere(
            data in prop::collection::vec(prop_oneof![Just(b'\n'), any::<u8>()], 0..200),
            cuts in prop::collection::vec(0usize..200, 0..20),
            limit in 1u64..50,
        ) {
            let mut cuts: Vec<usize> = cuts.into_iter().map(|c| c.min(data.len())).collect();
            cuts.extend([0, data.len()]);
            cuts.sort_unstable();
            let chunks: Vec<&[u8]> = cuts.windows(2).map(|w| &data[w[0]..w[1]]).collect();
            let lines = split(&chunks, Delimiter::Newline, limit);
            let mut expected: Vec<&[u8]> = data.split(|&b| b == b'\n').collect();
            if expected.last().is_some_and(|l| l.is_empty()) {
                expected.pop();
            }
            prop_assert_eq!(lines.len(), expected.len());
            for (n, (line, want)) in lines.iter().zip(expected).enumerate() {
                prop_assert_eq!(line.number, n as u64 + 1);
                match &line.content {
                    Content::Whole(bytes) => prop_assert_eq!(&bytes[..], want),
                    Content::TooLong { start, length } => {
                        prop_assert!(want.len() as u64 > limit);
                        prop_assert_eq!(*length, want.len() as u64);
                        prop_assert!(want.starts_with(start));
                    }
                    Content::Unfit(unfit) => panic!("{unfit:?}"),
                }
            }
        }

        #[test]
        fn a_long_delimiter_may_be_cut_anywhere(data in "[ab]{0,14}", delimiter in "[ab]{2,3}") {
            let delimiter = Delimiter::Text(delimiter.into_bytes().leak());
            let at_once = split(&[data.as_bytes()], delimiter, 100);
            let bytes: Vec<&[u8]> = data.as_bytes().chunks(1).collect();
            prop_assert_eq!(&split(&bytes, delimiter, 100), &at_once);
            let mut expected: Vec<&str> = data.split(str::from_utf8(delimiter.bytes()).unwrap()).collect();
            if expected.last().is_some_and(|last| last.is_empty()) {
                expected.pop();
            }
            let got: Vec<&[u8]> = at_once.iter().map(whole).collect();
            prop_assert_eq!(got, expected.iter().map(|line| line.as_bytes()).collect::<Vec<_>>());
        }

        #[test]
        fn every_single_boundary_is_fine(data in "[a\n]{0,12}") {
            let whole = split(&[data.as_bytes()], Delimiter::Newline, 100);
            for at in 0..=data.len() {
                let (a, b) = data.as_bytes().split_at(at);
                prop_assert_eq!(&split(&[a, b], Delimiter::Newline, 100), &whole);
            }
        }
    }
}
