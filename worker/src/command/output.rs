//! What a command prints, on its way from a pipe into the outbox.

use std::io::{self, ErrorKind, PipeReader, Read};
use std::os::fd::{AsFd, BorrowedFd};

use bytes::Bytes;
use nix::poll::PollFlags;
use protocol::{FromWorker, Stream};

use super::cut::{Cut, Rest};
use crate::link::{Link, READ_SIZE};
use crate::os;
use crate::state::Key;

/// This end of what a command prints to.
pub(super) struct Source {
    pipe: PipeReader,
    stream: Stream,
    /// Reading it never waits.
    nonblocking: bool,
}

impl Source {
    pub(super) fn new(pipe: PipeReader, stream: Stream) -> Source {
        Source {
            pipe,
            stream,
            nonblocking: false,
        }
    }

    /// A pipe that nothing ever comes from stays as it is.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if !self.nonblocking {
            os::set_nonblocking(&self.pipe)?;
            self.nonblocking = true;
        }
        self.pipe.read(buffer)
    }
}

impl AsFd for Source {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pipe.as_fd()
    }
}

/// Passes on a pipe's content, if it is ready, as far as its limit allows, and
/// lets go of the pipe at its end. Gives how much it was.
pub(super) fn pump(
    source: &mut Option<Source>,
    ready: PollFlags,
    limit: Option<&mut Cut>,
    link: &Link,
    key: Key,
    buffer: &mut Vec<u8>,
) -> usize {
    let Some(open) = source.as_mut().filter(|_| !ready.is_empty()) else {
        return 0;
    };
    // Nobody can write any more, and nothing is left: no need to read that.
    if !ready.contains(PollFlags::POLLIN) {
        *source = None;
        return 0;
    }
    buffer.resize(READ_SIZE, 0);
    match open.read(buffer) {
        Ok(n @ 1..) => {
            let data = match limit {
                None => Bytes::copy_from_slice(&buffer[..n]),
                Some(cut) => cut.push(&buffer[..n]).into(),
            };
            send(link, key, open.stream, data);
            return n;
        }
        Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
        Ok(_) | Err(_) => *source = None,
    }
    0
}

/// A stream with a limit is over: passes on its tail, and says what was left out.
pub(super) fn finish(cut: Cut, stream: Stream, link: &Link, key: Key) {
    let Rest { bytes, omitted } = cut.finish();
    send(link, key, stream, bytes.into());
    if omitted > 0 {
        let (job, attempt) = key;
        link.state().outbox.send(&FromWorker::Omitted {
            job,
            attempt,
            stream,
            bytes: omitted,
        });
    }
}

fn send(link: &Link, (job, attempt): Key, stream: Stream, data: Bytes) {
    if data.is_empty() {
        return;
    }
    let mut state = link.state();
    state.outbox.send(&FromWorker::Output {
        job,
        attempt,
        stream,
        data,
    });
    if state.outbox.is_full() {
        link.flush(&mut state);
    }
}
