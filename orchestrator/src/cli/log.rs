//! What happens, as lines of a log: those of a file are JSON, those on stderr are text.
//!
//! Everybody who has something to tell tells it to `tracing`, which costs next to nothing while
//! nobody listens. Here somebody does. What cannot be written is a failure of the run, told when
//! it is over.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use super::errors::Message;
use crate::run::{screen, text};

/// What is logged, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Logging {
    pub(crate) level: LevelFilter,
    /// stderr when absent.
    pub(crate) file: Option<PathBuf>,
}

/// A log that is being written.
#[derive(Debug)]
pub(super) struct Log(Arc<Lines>);

impl Logging {
    /// Begins to log. Once in the life of a program.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub(super) fn start(&self) -> Result<Log, Message> {
        let file = self.file.as_ref().map(|path| {
            let file = OpenOptions::new().append(true).create(true).open(path);
            let file = file.and_then(|file| check(path).map(|()| file));
            file.map_err(|e| unwritten(&e))
        });
        let lines = Arc::new(Lines {
            file: file.transpose()?,
            error: Mutex::default(),
        });
        let layer = fmt::layer()
            .log_internal_errors(false)
            .with_writer(Arc::clone(&lines));
        let registry = tracing_subscriber::registry().with(self.level);
        let started = match self.file {
            Some(_) => registry
                .with(layer.json().flatten_event(true).with_span_list(false))
                .try_init(),
            None => registry.with(layer.compact()).try_init(),
        };
        match started {
            Ok(()) => Ok(Log(lines)),
            Err(e) => Err(Message::new(format!("the log could not be started: {e}"))),
        }
    }
}

impl Log {
    /// Why not all of it was written, if it was not.
    pub(super) fn failure(&self) -> Option<Message> {
        let error = self.0.error.lock().unwrap_or_else(PoisonError::into_inner);
        error.as_ref().map(unwritten)
    }
}

/// Whether what is there is a log, as far as that can be told.
///
/// # Errors
/// When it is something else, to which nothing is added.
fn check(path: &Path) -> io::Result<()> {
    let mut first = [0];
    let is_other = path.is_file()
        && File::open(path).is_ok_and(|mut file| {
            file.read(&mut first).is_ok_and(|read| read > 0) && first != *b"{"
        });
    match is_other {
        true => Err(io::Error::other(
            "the file is there, and it is no log of ours: another name, or remove it",
        )),
        false => Ok(()),
    }
}

fn unwritten(e: &io::Error) -> Message {
    let why = text::reason(e);
    Message::new(format!("the log could not be written (--log-file): {why}"))
}

/// Where lines go, each with one write.
#[derive(Debug)]
struct Lines {
    /// stderr when absent.
    file: Option<File>,
    /// Why nothing is written any more.
    error: Mutex<Option<io::Error>>,
}

impl Write for &Lines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut error = self.error.lock().unwrap_or_else(PoisonError::into_inner);
        if error.is_some() {
            return Ok(line.len());
        }
        let written = match &self.file {
            Some(file) => (&*file).write_all(line),
            None => {
                screen::say(&harmless(line));
                Ok(())
            }
        };
        *error = written.err();
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A line that may hold what jobs have said, for a terminal.
fn harmless(line: &[u8]) -> String {
    let mut shown = text::escaped(line.strip_suffix(b"\n").unwrap_or(line));
    shown.push('\n');
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_one_line_and_sends_nothing_to_a_terminal() {
        let shown = harmless(b"a\x1b[2J\nb \xff\n");
        assert_eq!(shown, "a\\u{1b}[2J\\nb \\xff\n");
    }
}
