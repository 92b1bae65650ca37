//! Cuts a stream of bytes into lines, whatever the pieces in which it comes.

/// A longer line is cut into pieces of this size.
pub(super) const MAX_LINE: usize = 64 * 1024;

/// One stream. Holds what came after the last line feed: less than a line of
/// the greatest length.
#[derive(Debug, Default)]
pub(super) struct Lines {
    rest: Vec<u8>,
}

impl Lines {
    /// Hands out the lines that are complete now, without their line feeds.
    pub(super) fn push(&mut self, mut data: &[u8], mut take: impl FnMut(&[u8])) {
        while !data.is_empty() {
            let room = MAX_LINE - self.rest.len();
            // One more: a line feed behind the longest line belongs to it.
            let window = &data[..data.len().min(room + 1)];
            let (end, line_feed) = match window.iter().position(|&b| b == b'\n') {
                Some(end) => (end, 1),
                None if data.len() > room => (room, 0),
                None => return self.rest.extend_from_slice(data),
            };
            if self.rest.is_empty() {
                take(&data[..end]);
            } else {
                self.rest.extend_from_slice(&data[..end]);
                take(&self.rest);
                self.rest.clear();
            }
            data = &data[end + line_feed..];
        }
    }

    /// Hands out what came without a line feed.
    pub(super) fn finish(self, take: impl FnOnce(&[u8])) {
        if !self.rest.is_empty() {
            take(&self.rest);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn cut(pieces: &[&[u8]]) -> Vec<Vec<u8>> {
        let mut found = Vec::new();
        let mut lines = Lines::default();
        for piece in pieces {
            lines.push(piece, |line| found.push(line.to_vec()));
        }
        lines.finish(|line| found.push(line.to_vec()));
        found
    }

    #[test]
    fn a_last_line_needs_no_line_feed() {
        assert_eq!(cut(&[b"on", b"e\n\ntw", b"o"]), [&b"one"[..], b"", b"two"]);
        assert_eq!(cut(&[b"one\n"]), [b"one"]);
        assert!(cut(&[]).is_empty());
    }

    #[test]
    fn a_line_is_cut_only_when_it_is_longer_than_the_limit() {
        let long = vec![b'x'; MAX_LINE];
        let whole = [long.as_slice(), b"\n"].concat();
        assert_eq!(cut(&[&whole, b"y\n"]), [&long[..], b"y"]);
        assert_eq!(cut(&[&long, b"\n", b"y\n"]), [&long[..], b"y"]);
        assert_eq!(cut(&[&long, b"xy\n"]), [&long[..], b"xy"]);
        assert_eq!(
            cut(&[&[long.as_slice(), &long].concat()]),
            [&long[..], &long]
        );
    }

    proptest! {
        #[test]
        fn lines_do_not_depend_on_how_they_come(
            bytes in prop::collection::vec(prop_oneof![Just(b'\n'), any::<u8>()], 0..200),
            cuts in prop::collection::vec(0usize..200, 0..8),
        ) {
            let mut cuts = cuts;
            cuts.sort_unstable();
            let mut pieces = Vec::new();
            let mut at = 0;
            for end in cuts.into_iter().filter(|end| *end <= bytes.len()) {
                pieces.push(&bytes[at..end]);
                at = end;
            }
            pieces.push(&bytes[at..]);
            prop_assert_eq!(cut(&pieces), cut(&[&bytes]));
        }
    }
}
