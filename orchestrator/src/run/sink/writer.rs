//! The thread that owns stdout and stderr.
//!
//! A thread of its own, because a full pipe blocks. Entries come through a
//! short channel: when the reader of stdout is slow, the run is as slow. All
//! that has come is written at once, then the thread waits for more; nothing
//! is held back, so whoever waits for a result gets it.
//!
//! The order between the two streams is kept as well: on a terminal, a job's
//! errors stand behind its results and before the next job's. A failed write to
//! stdout is a failure of the run. One to stderr is not: there is nobody left
//! to be told.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::stat::{SFlag, fstat};
use tokio::io::Interest;
use tokio::net::unix::pipe;
use tokio::sync::{mpsc, oneshot};

use super::render::Entry;
use super::store::{Kept, Store, Unwritten};
use crate::pool::Capture;
use crate::run::screen::{self, Stream};

/// How many groups of entries may wait to be written.
const WAITING: usize = 16;

/// How much is written at once, in bytes.
const PIECE: usize = 256 << 10;

/// Why results were not written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WriteError {
    /// Nobody reads them any more.
    #[error("the reader of standard output is gone")]
    Closed,
    /// The system refused.
    #[error("results could not be written")]
    Failed(#[source] io::Error),
    /// A file for results, or the table, was refused.
    #[error("results could not be written")]
    Kept(Unwritten),
    /// What a job printed could not be read back from the spill file.
    #[error("output of jobs could not be read back from its temporary file")]
    Spill(#[source] io::Error),
    /// The thread panicked: a bug.
    #[error("the writing thread panicked")]
    Died,
}

/// Entries, and a number that is true when they are written.
type Group = (Vec<Entry>, u64);

/// The way to the thread. Dropping it lets the thread write what it has.
#[derive(Debug)]
pub(crate) struct Writer {
    sender: mpsc::Sender<Group>,
    /// Absent once it has been told.
    end: Option<oneshot::Receiver<Result<(), WriteError>>>,
    stdout: Option<pipe::Sender>,
}

impl Writer {
    /// Starts the thread, which leaves word in `written` of the last mark that it has
    /// come to. Needs a tokio runtime.
    ///
    /// # Errors
    /// When there is no thread or no descriptor left for it.
    pub(crate) fn start(
        written: Option<Arc<AtomicU64>>,
        store: Option<Store>,
    ) -> io::Result<Writer> {
        let out = File::from(io::stdout().as_fd().try_clone_to_owned()?);
        let err = io::stderr()
            .as_fd()
            .try_clone_to_owned()
            .ok()
            .map(File::from);
        let stdout = watchable(&out)?;
        let (sender, receiver) = mpsc::channel(WAITING);
        let (tell, end) = oneshot::channel();
        thread::Builder::new()
            .name("write results".into())
            .spawn(move || {
                let mark = |mark| {
                    if let Some(written) = &written {
                        // Never back: what was shown before this run stays shown.
                        written.fetch_max(mark, Ordering::Relaxed);
                    }
                };
                tell.send(write_entries(receiver, Pen::new(out, err), store, mark))
                    .ok()
            })?;
        Ok(Writer {
            sender,
            end: Some(end),
            stdout,
        })
    }

    /// Hands entries to the thread, with a mark that is left when they are written. Waits while too much is to be written. When
    /// the thread has failed they are lost, and [`Writer::failed`] says why.
    pub(crate) async fn write(&self, mut entries: Vec<Entry>, mark: u64) {
        // It is not woken for jobs that printed nothing.
        entries.retain(|entry| !entry.is_empty());
        if !entries.is_empty() {
            self.sender.send((entries, mark)).await.ok();
        }
    }

    /// Waits until writing has failed, also while nothing is written.
    /// Cancel-safe.
    pub(crate) async fn failed(&mut self) -> WriteError {
        let Some(end) = &mut self.end else {
            return std::future::pending().await;
        };
        let error = tokio::select! {
            end = end => match end {
                Ok(Err(error)) => error,
                // It ends well only after the sender is gone.
                Ok(Ok(())) | Err(_) => WriteError::Died,
            },
            () = gone(self.stdout.as_ref()) => WriteError::Closed,
        };
        self.end = None;
        error
    }

    /// Waits until everything is written, and leaves this mark then.
    ///
    /// # Errors
    /// When it was not, unless [`Writer::failed`] has said so already.
    pub(crate) async fn finish(self, mark: u64) -> Result<(), WriteError> {
        self.sender.send((Vec::new(), mark)).await.ok();
        drop(self.sender);
        match self.end {
            Some(end) => end.await.unwrap_or(Err(WriteError::Died)),
            None => Ok(()),
        }
    }
}

/// A second descriptor of stdout that can tell that its reader is gone, when
/// it is a pipe. Files, terminals and sockets show that when written to.
fn watchable(out: &File) -> io::Result<Option<pipe::Sender>> {
    let mode = SFlag::from_bits_truncate(fstat(out)?.st_mode);
    if mode & SFlag::S_IFMT != SFlag::S_IFIFO {
        return Ok(None);
    }
    let fd = out.as_fd().try_clone_to_owned()?;
    // Unchecked, so that the pipe stays blocking: it is shared with others.
    Ok(pipe::Sender::from_owned_fd_unchecked(fd).ok())
}

/// Waits until the reader of this pipe is gone. Cancel-safe.
async fn gone(stdout: Option<&pipe::Sender>) {
    if let Some(pipe) = stdout
        && pipe.ready(Interest::ERROR).await.is_ok()
    {
        return;
    }
    std::future::pending().await
}

fn write_entries(
    mut entries: mpsc::Receiver<Group>,
    mut pen: Pen,
    mut store: Option<Store>,
    written: impl Fn(u64),
) -> Result<(), WriteError> {
    if let Some(store) = &mut store {
        pen.put(Stream::Err, &store.told()).map_err(write_error)?;
        pen.flush().map_err(write_error)?;
    }
    while let Some(first) = entries.blocking_recv() {
        let mut group = Some(first);
        let mut mark = 0;
        while let Some((entries_now, mark_now)) = group {
            mark = mark_now;
            for entry in entries_now {
                if let (Some(kept), Some(store)) = (&entry.kept, &mut store) {
                    keep(store, kept, &mut pen)?;
                }
                pen.write(Stream::Out, &entry.out)?;
                pen.write(Stream::Err, &entry.err)?;
            }
            group = entries.try_recv().ok();
        }
        pen.flush().map_err(write_error)?;
        written(mark);
    }
    if let Some(store) = store {
        store.close().map_err(WriteError::Kept)?;
    }
    pen.close().map_err(write_error)
}

/// Keeps what is not shown, and shows what is to be told about it.
fn keep(store: &mut Store, kept: &Kept, pen: &mut Pen) -> Result<(), WriteError> {
    let shown = store
        .keep(kept)
        .map_err(|unwritten| match unwritten.unread {
            true => WriteError::Spill(unwritten.error),
            false => WriteError::Kept(unwritten),
        })?;
    pen.put(Stream::Err, &store.told()).map_err(write_error)?;
    pen.put(Stream::Out, &shown).map_err(write_error)
}

fn write_error(error: io::Error) -> WriteError {
    match error.kind() {
        io::ErrorKind::BrokenPipe => WriteError::Closed,
        _ => WriteError::Failed(error),
    }
}

/// Both streams, and what is to be written to one of them.
#[derive(Debug)]
struct Pen {
    out: File,
    err: Option<File>,
    stream: Stream,
    buffer: Vec<u8>,
}

impl Pen {
    fn new(out: File, err: Option<File>) -> Pen {
        Pen {
            out,
            err,
            stream: Stream::Out,
            buffer: Vec::new(),
        }
    }

    fn write(&mut self, stream: Stream, capture: &Capture) -> Result<(), WriteError> {
        if capture.is_empty() {
            return Ok(());
        }
        // Both reading and writing may fail in there, which is not the same.
        let mut failed = None;
        let read = capture.for_each(|piece| {
            self.put(stream, piece).map_err(|e| {
                failed = Some(e);
                io::Error::other("not written")
            })
        });
        match (failed, read) {
            (Some(error), _) => Err(write_error(error)),
            (None, Err(error)) => Err(WriteError::Spill(error)),
            (None, Ok(())) => Ok(()),
        }
    }

    fn put(&mut self, stream: Stream, bytes: &[u8]) -> io::Result<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        if self.stream != stream || self.buffer.len() + bytes.len() > PIECE {
            self.flush()?;
            self.stream = stream;
        }
        if bytes.len() >= PIECE {
            return self.write_now(bytes);
        }
        self.buffer.extend_from_slice(bytes);
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let mut buffer = std::mem::take(&mut self.buffer);
        let written = self.write_now(&buffer);
        buffer.clear();
        self.buffer = buffer;
        written
    }

    fn write_now(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self.stream {
            Stream::Out => screen::pass(Stream::Out, bytes, |bytes| write_fully(&self.out, bytes)),
            Stream::Err => {
                let written = self
                    .err
                    .as_ref()
                    .map(|err| screen::pass(Stream::Err, bytes, |bytes| write_fully(err, bytes)));
                if matches!(written, Some(Err(_))) {
                    self.err = None;
                }
                Ok(())
            }
        }
    }

    /// Some file systems report a failed write no earlier than here.
    fn close(self) -> io::Result<()> {
        nix::unistd::close(self.out).map_err(io::Error::from)
    }
}

/// `write_all`, also where another program made the descriptor non-blocking.
fn write_fully(mut file: &File, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match file.write(bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => bytes = &bytes[written..],
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                let mut fds = [PollFd::new(file.as_fd(), PollFlags::POLLOUT)];
                poll(&mut fds, PollTimeout::NONE).ok();
            }
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs::OpenOptions;
    use std::io::{Read, Seek};
    use std::os::fd::OwnedFd;

    use super::*;
    use crate::pool::Spill;

    fn entry(out: &[u8], err: &[u8]) -> Entry {
        // Everything beyond eight bytes is read back from the file.
        let room = Spill::new(8);
        Entry {
            out: Capture::of(&room, out).unwrap(),
            err: Capture::of(&room, err).unwrap(),
            kept: None,
        }
    }

    fn write(out: File, err: Option<File>, entries: Vec<Entry>) -> Result<(), WriteError> {
        let (sender, receiver) = mpsc::channel(entries.len().max(1));
        for entry in entries {
            sender.try_send((vec![entry], 0)).unwrap();
        }
        drop(sender);
        write_entries(receiver, Pen::new(out, err), None, |_| {})
    }

    #[test]
    fn both_streams_of_one_file_stay_in_order() {
        let mut file = tempfile::tempfile().unwrap();
        let big = vec![b'x'; 3 * PIECE];
        let entries = vec![
            entry(b"a\n", b"b\n"),
            entry(b"c\n", b""),
            entry(&big, b"d\n"),
        ];
        let (out, err) = (file.try_clone().unwrap(), file.try_clone().unwrap());
        write(out, Some(err), entries).unwrap();
        let mut written = Vec::new();
        file.rewind().unwrap();
        file.read_to_end(&mut written).unwrap();
        assert_eq!(written, [b"a\nb\nc\n", &big[..], b"d\n"].concat());
    }

    #[test]
    fn a_full_disk_is_an_error_on_stdout_only() {
        let full = || OpenOptions::new().write(true).open("/dev/full").unwrap();
        let error = write(full(), None, vec![entry(b"a", b"")]).unwrap_err();
        let WriteError::Failed(error) = error else {
            panic!("{error:?}")
        };
        assert_eq!(error.raw_os_error(), Some(28));
        let good = tempfile::tempfile().unwrap();
        write(
            good,
            Some(full()),
            vec![entry(b"a", b"b"), entry(b"c", b"d")],
        )
        .unwrap();
    }

    #[test]
    fn a_reader_that_has_gone_is_told_apart() {
        let (reader, writer) = io::pipe().unwrap();
        drop(reader);
        let error = write(
            File::from(OwnedFd::from(writer)),
            None,
            vec![entry(b"a", b"")],
        );
        assert!(matches!(error, Err(WriteError::Closed)));
    }

    #[tokio::test]
    async fn a_reader_that_goes_is_noticed_while_nothing_is_written() {
        let (reader, writer) = io::pipe().unwrap();
        let watch = watchable(&File::from(OwnedFd::from(writer))).unwrap();
        let fd = watch.as_ref().unwrap();
        tokio::select! {
            biased;
            () = gone(Some(fd)) => panic!("it is still there"),
            () = tokio::task::yield_now() => drop(reader),
        }
        gone(Some(fd)).await;
    }

    #[tokio::test]
    async fn a_file_is_not_watched() {
        assert!(watchable(&tempfile::tempfile().unwrap()).unwrap().is_none());
    }
}
