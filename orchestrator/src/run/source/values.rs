//! The values of one source, one after the other.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::AsFd;
use std::sync::Arc;

use bytes::Bytes;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::columns::{Columns, divided, is_blank, is_open};
use super::inputs::{Form, Next};
use super::lines::{Content, Line, Splitter, Unfit, Why};
use super::origin::Origin;
use crate::run::text;

/// How much is read at once, in bytes.
pub(super) const READ: usize = 64 << 10;

/// What cannot be read any further.
#[derive(Debug)]
pub(crate) struct ReadError {
    /// What it is.
    pub(crate) what: String,
    /// Why not.
    pub(crate) why: io::Error,
}

impl ReadError {
    /// Of what items come from there.
    pub(crate) fn of(origin: &Origin, why: io::Error) -> ReadError {
        let what = origin.place().to_owned();
        ReadError { what, why }
    }
}

/// Why there is no next value, though there may be one.
#[derive(Debug)]
pub(super) enum Stopped {
    /// Nobody wants it.
    Unwanted,
    Failed(ReadError),
}

impl Stopped {
    /// What had to be kept for later cannot be.
    pub(super) fn temporary(why: io::Error) -> Stopped {
        let what = "a temporary file for the input".to_owned();
        Stopped::Failed(ReadError { what, why })
    }
}

/// Is told before each wait; whether anybody wants more.
pub(super) type Idle<'a> = dyn FnMut() -> bool + 'a;

/// See the module.
#[derive(Debug)]
pub(super) struct Values {
    raw: Raw,
    origin: Origin,
    form: Form,
    /// Whether a value may have, or stand beside, others in an item.
    several: bool,
    ended: bool,
}

#[derive(Debug)]
enum Raw {
    Words(Arc<[Bytes]>, usize),
    Lines(Box<Lines>),
}

#[derive(Debug)]
struct Lines {
    file: File,
    splitter: Splitter,
    ready: VecDeque<Line>,
    buffer: Vec<u8>,
}

impl Values {
    pub(super) fn words(words: Arc<[Bytes]>, origin: Origin, form: Form, several: bool) -> Values {
        Values::new(Raw::Words(words, 0), origin, form, several)
    }

    pub(super) fn file(
        file: File,
        splitter: Splitter,
        origin: Origin,
        form: Form,
        several: bool,
    ) -> Values {
        let lines = Lines {
            file,
            splitter,
            ready: VecDeque::new(),
            buffer: vec![0; READ],
        };
        Values::new(Raw::Lines(Box::new(lines)), origin, form, several)
    }

    fn new(raw: Raw, origin: Origin, form: Form, several: bool) -> Values {
        Values {
            raw,
            origin,
            form,
            several,
            ended: false,
        }
    }

    /// Whether there is at most one value to come, as far as that is known without a
    /// look at the input.
    pub(super) fn is_short(&self) -> bool {
        match &self.raw {
            Raw::Words(words, at) => words.len() <= at + 1,
            Raw::Lines(_) => false,
        }
    }

    /// The columns of the first value, which are names.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(super) fn header(&mut self) -> Result<Vec<Vec<u8>>, ReadError> {
        let first = match self.joined(&mut || true) {
            Ok(first) => first,
            // It was said that it is wanted.
            Err(Stopped::Unwanted) => None,
            Err(Stopped::Failed(e)) => return Err(e),
        };
        let Some(line) = first else {
            return Ok(Vec::new());
        };
        let failed = |what: &str| ReadError {
            what: self.origin.item(line.number),
            why: io::Error::new(io::ErrorKind::InvalidData, what.to_owned()),
        };
        let Content::Whole(bytes) = &line.content else {
            return Err(failed("the names of columns are too long"));
        };
        match divided(&self.form.columns, self.form.trim_names, bytes) {
            Some(names) => Ok(names.split(|&byte| byte == 0).map(<[u8]>::to_vec).collect()),
            None => Err(failed("the quotes are not those of CSV")),
        }
    }

    /// The next value, in columns with a zero byte between them if it has several.
    pub(super) fn next(&mut self, idle: &mut Idle<'_>) -> Next<Line> {
        while !self.ended {
            let Some(line) = self.joined(idle)? else {
                break;
            };
            if let Content::Whole(bytes) = &line.content {
                if self.form.end.as_deref() == Some(&bytes[..]) {
                    break;
                }
                if self.form.skip_blank && bytes.iter().all(|&byte| is_blank(byte)) {
                    continue;
                }
            }
            return Ok(Some(self.formed(line)));
        }
        self.ended = true;
        Ok(None)
    }

    fn formed(&self, line: Line) -> Line {
        let Form { trim, columns, .. } = &self.form;
        let content = match line.content {
            Content::Whole(bytes) if !self.several => {
                let trimmed = trim.apply(&bytes);
                Content::Whole(bytes.slice_ref(trimmed))
            }
            Content::Whole(bytes) if memchr::memchr(0, &bytes).is_some() => self.unfit(
                line.number,
                Why::ZeroByte,
                format!("holds a zero byte: {}", text::quoted(&bytes)),
            ),
            Content::Whole(bytes) => match divided(columns, *trim, &bytes) {
                Some(divided) => Content::Whole(divided.into()),
                None => self.unfit(
                    line.number,
                    Why::Quotes,
                    format!("is not CSV: {}", text::quoted(&bytes)),
                ),
            },
            // What is longer than a limit in an item of several would not say of what.
            Content::TooLong { start, length } if self.several => {
                let what = format!(
                    "is longer than the limit ({}): it begins with {}",
                    text::counted(length, "byte"),
                    text::quoted(&start)
                );
                self.unfit(line.number, Why::TooLong, what)
            }
            other => other,
        };
        Line {
            number: line.number,
            content,
        }
    }

    fn unfit(&self, number: u64, why: Why, what: String) -> Content {
        let what = format!("{} {what}", self.origin.item(number));
        Content::Unfit(Box::new(Unfit { what, why }))
    }

    /// The next line, with those that belong to it.
    fn joined(&mut self, idle: &mut Idle<'_>) -> Next<Line> {
        let Some(line) = self.line(idle)? else {
            return Ok(None);
        };
        let Content::Whole(first) = &line.content else {
            return Ok(Some(line));
        };
        let csv = matches!(self.form.columns, Columns::Csv(_));
        let mut open = csv && is_open(first);
        let mut between = self.between(open, first);
        if between.is_none() {
            return Ok(Some(line));
        }
        let number = line.number;
        // Looked at once each: a quote without an end may be followed by many short lines.
        let mut joined = first.to_vec();
        while let Some(glue) = between {
            let Some(next) = self.line(idle)? else {
                break;
            };
            let Content::Whole(more) = &next.content else {
                let content = next.content;
                return Ok(Some(Line { number, content }));
            };
            joined.extend_from_slice(glue);
            joined.extend_from_slice(more);
            if self
                .limit()
                .is_some_and(|limit| joined.len() as u64 > limit)
            {
                let length = joined.len() as u64;
                joined.truncate(100);
                let start = joined.into();
                let content = Content::TooLong { start, length };
                return Ok(Some(Line { number, content }));
            }
            open ^= csv && is_open(more);
            between = self.between(open, &joined);
        }
        let content = Content::Whole(joined.into());
        Ok(Some(Line { number, content }))
    }

    /// What stands between this line and the next one, if they are one.
    fn between(&self, in_quotes: bool, line: &[u8]) -> Option<&'static [u8]> {
        let is_continued = || line.last().is_some_and(|byte| b" \t".contains(byte));
        match in_quotes {
            true => Some(b"\n"),
            false => (self.form.continued && is_continued()).then_some(b""),
        }
    }

    fn limit(&self) -> Option<u64> {
        match &self.raw {
            Raw::Words(..) => None,
            Raw::Lines(lines) => Some(lines.splitter.limit),
        }
    }

    fn line(&mut self, idle: &mut Idle<'_>) -> Next<Line> {
        match &mut self.raw {
            Raw::Words(words, at) => {
                let word = words.get(*at).cloned();
                *at += usize::from(word.is_some());
                Ok(word.map(|word| Line {
                    number: *at as u64,
                    content: Content::Whole(word),
                }))
            }
            Raw::Lines(lines) => lines.next(&self.origin, idle),
        }
    }
}

impl Lines {
    fn next(&mut self, origin: &Origin, idle: &mut Idle<'_>) -> Next<Line> {
        loop {
            if let Some(line) = self.ready.pop_front() {
                return Ok(Some(line));
            }
            if self.buffer.is_empty() {
                return Ok(None);
            }
            if !idle() {
                return Err(Stopped::Unwanted);
            }
            let read = read_some(&self.file, &mut self.buffer).map_err(|why| {
                let what = origin.place().to_owned();
                Stopped::Failed(ReadError { what, why })
            })?;
            if read == 0 {
                // A terminal could be read on.
                self.buffer = Vec::new();
                self.ready.extend(self.splitter.finish());
                continue;
            }
            let chunk = Bytes::copy_from_slice(&self.buffer[..read]);
            let ready = &mut self.ready;
            self.splitter.push(&chunk, |line| ready.push_back(line));
        }
    }
}

/// Reads what is there, or waits for it; nothing at the end.
pub(super) fn read_some(mut input: &File, buffer: &mut [u8]) -> io::Result<usize> {
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
