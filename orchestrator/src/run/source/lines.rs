//! Standard input, cut into lines.
//!
//! A thread of its own reads, because reading a file or a terminal blocks. It
//! sends whatever lines are complete after each `read`, at once, so that a
//! script that writes one line gets its result before it writes the next; and
//! it sends them through a short channel, so that an input without end waits
//! in the pipe and not in memory.
//!
//! A line may be of any bytes. The last one need not end with the delimiter.
//! One that is longer than the limit is never held: its length is counted, the
//! rest of it is thrown away up to the delimiter, and it is reported as such.

use std::fs::File;
use std::io::{self, Read as _, Seek, Write};
use std::os::fd::AsFd;
use std::thread;

use bytes::Bytes;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use tokio::sync::{mpsc, oneshot};

use crate::pool::unlinked_file;

/// Longest line in bytes unless `--max-line` says otherwise.
pub(crate) const DEFAULT_MAX_LINE: u64 = 1 << 20;

/// How much is read at once, in bytes.
const READ: usize = 64 << 10;

/// How many reads may be ahead of the jobs that are made of them.
const AHEAD: usize = 4;

/// How much of a line that is too long is kept for the error message.
const KEPT: usize = 100;

/// What ends a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Delimiter {
    /// A line feed.
    Newline,
    /// A zero byte, which no file name holds.
    Nul,
}

impl Delimiter {
    fn byte(self) -> u8 {
        match self {
            Delimiter::Newline => b'\n',
            Delimiter::Nul => 0,
        }
    }

    /// What to call a piece of the input.
    pub(crate) fn unit(self) -> &'static str {
        match self {
            Delimiter::Newline => "line",
            Delimiter::Nul => "item",
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
}

/// What the reading thread says. The end of the input is the end of the
/// channel.
#[derive(Debug)]
pub(crate) enum Read {
    /// How many lines there will be, when that was to be counted first.
    Total(u64),
    /// Lines that became complete.
    Lines(Vec<Line>),
    /// Reading failed; nothing follows.
    Failed(io::Error),
}

/// Standard input, of which nothing was read yet.
#[derive(Debug)]
pub(crate) struct Source {
    lines: mpsc::Receiver<Read>,
    go: oneshot::Sender<()>,
}

impl Source {
    /// Starts the thread that reads standard input, once it is told to. It is
    /// never waited for: it may sit in a `read` that only the end of this
    /// process can end.
    ///
    /// # Errors
    /// When there is no thread or no descriptor left for it.
    ///
    /// With `count_first`, everything is read before the first line is given, into
    /// an unlinked file, and how much it is comes first.
    pub(crate) fn stdin(delimiter: Delimiter, limit: u64, count_first: bool) -> io::Result<Source> {
        let stdin = File::from(io::stdin().as_fd().try_clone_to_owned()?);
        let (sender, lines) = mpsc::channel(AHEAD);
        let (go, told) = oneshot::channel();
        thread::Builder::new()
            .name("read input".into())
            .spawn(move || {
                if told.blocking_recv().is_err() {
                    return;
                }
                let splitter = || Splitter::new(delimiter, limit);
                if !count_first {
                    return read_all(&stdin, splitter(), &sender);
                }
                match count(&stdin, splitter(), &sender) {
                    Ok(Some(copy)) => read_all(&copy, splitter(), &sender),
                    // Nobody wants it any more.
                    Ok(None) => {}
                    Err(e) => drop(sender.blocking_send(Read::Failed(e))),
                }
            })?;
        Ok(Source { lines, go })
    }

    /// Begins to read.
    pub(crate) fn read(self) -> mpsc::Receiver<Read> {
        self.go.send(()).ok();
        self.lines
    }
}

/// Reads everything, and gives a copy of it to be read again; first of all says
/// how many lines there are.
fn count(
    input: &File,
    mut splitter: Splitter,
    sender: &mpsc::Sender<Read>,
) -> io::Result<Option<File>> {
    let mut copy = unlinked_file()?;
    let mut buffer = vec![0; READ];
    let mut lines = Vec::new();
    loop {
        let read = read_some(input, &mut buffer)?;
        if read == 0 {
            break;
        }
        copy.write_all(&buffer[..read])?;
        splitter.push(&Bytes::copy_from_slice(&buffer[..read]), &mut lines);
        lines.clear();
    }
    drop(splitter.finish());
    copy.rewind()?;
    let total = sender.blocking_send(Read::Total(splitter.ended));
    Ok(total.is_ok().then_some(copy))
}

/// Reads what is there, or waits for it; nothing at the end.
fn read_some(mut input: &File, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        match input.read(buffer) {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            // Another program made the shared descriptor non-blocking.
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                let mut fds = [PollFd::new(input.as_fd(), PollFlags::POLLIN)];
                poll(&mut fds, PollTimeout::NONE).ok();
            }
            end => return end,
        }
    }
}

fn read_all(input: &File, mut splitter: Splitter, sender: &mpsc::Sender<Read>) {
    let mut buffer = vec![0; READ];
    loop {
        let mut lines = Vec::new();
        let read = match read_some(input, &mut buffer) {
            Ok(read) => read,
            Err(e) => {
                sender.blocking_send(Read::Failed(e)).ok();
                return;
            }
        };
        if read == 0 {
            lines.extend(splitter.finish());
        } else {
            splitter.push(&Bytes::copy_from_slice(&buffer[..read]), &mut lines);
        }
        if !lines.is_empty() && sender.blocking_send(Read::Lines(lines)).is_err() {
            return;
        }
        if read == 0 {
            return;
        }
    }
}

/// Cuts a stream of bytes into lines, however the stream is cut into reads.
#[derive(Debug)]
struct Splitter {
    delimiter: u8,
    limit: u64,
    /// Lines that have ended.
    ended: u64,
    /// The beginning of the line that has not; never longer than the limit.
    partial: Vec<u8>,
    /// Its length so far, which may be larger.
    length: u64,
}

impl Splitter {
    fn new(delimiter: Delimiter, limit: u64) -> Splitter {
        Splitter {
            delimiter: delimiter.byte(),
            limit,
            ended: 0,
            partial: Vec::new(),
            length: 0,
        }
    }

    /// Takes the next bytes and gives the lines that they complete.
    fn push(&mut self, chunk: &Bytes, lines: &mut Vec<Line>) {
        let mut from = 0;
        for at in memchr::memchr_iter(self.delimiter, chunk) {
            let piece = chunk.slice(from..at);
            from = at + 1;
            lines.push(self.end(piece));
        }
        self.hold(&chunk[from..]);
    }

    /// The last line, when it was not ended by a delimiter.
    fn finish(&mut self) -> Option<Line> {
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
    use proptest::prelude::*;

    use super::*;

    fn split(chunks: &[&[u8]], delimiter: Delimiter, limit: u64) -> Vec<Line> {
        let mut splitter = Splitter::new(delimiter, limit);
        let mut lines = Vec::new();
        for chunk in chunks {
            splitter.push(&Bytes::copy_from_slice(chunk), &mut lines);
        }
        lines.extend(splitter.finish());
        lines
    }

    fn whole(line: &Line) -> &[u8] {
        match &line.content {
            Content::Whole(bytes) => bytes,
            Content::TooLong { .. } => panic!("too long"),
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
    fn a_line_that_is_too_long_is_dropped_and_counted() {
        let long = vec![b'x'; 1000];
        let mut splitter = Splitter::new(Delimiter::Newline, 500);
        let mut lines = Vec::new();
        for _ in 0..1000 {
            splitter.push(&Bytes::from(long.clone()), &mut lines);
            assert!(splitter.partial.capacity() <= 500);
        }
        splitter.push(&Bytes::from_static(b"\nok\n"), &mut lines);
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
                }
            }
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
