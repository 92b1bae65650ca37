//! The thread that writes to this process's stdout and stderr, and calls what
//! wants to be called: whatever may block for long, or for ever.
//!
//! It ends when the last sender of its queue is gone and all is done, and says
//! then what went wrong. One that blocks for ever is left behind by a pool that
//! is in a hurry: nothing can wake it.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use bytes::Bytes;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::write;
use protocol::Stream;
use tokio::sync::{mpsc, oneshot};

use super::printed::PrintedPart;

/// How many pieces of work may wait. Each is at most two lines of the
/// greatest length.
const QUEUE: usize = 32;

/// What is to be done.
pub(super) enum Work {
    /// Whole lines with their line feeds.
    Write(Stream, Bytes),
    Call(Arc<dyn Fn(PrintedPart) + Send + Sync>, PrintedPart),
    /// All that came before is done.
    Confirm(oneshot::Sender<()>),
}

impl Work {
    /// How many lines this is about.
    pub(super) fn lines(&self) -> u64 {
        match self {
            Work::Write(_, lines) => lines.iter().filter(|&&b| b == b'\n').count() as u64,
            Work::Call(..) => 1,
            Work::Confirm(_) => 0,
        }
    }
}

/// What went wrong: how many lines were lost, and why the first of them was.
#[derive(Debug, Default)]
pub(super) struct Trouble {
    pub(super) lost: u64,
    pub(super) first: Option<io::Error>,
}

impl Trouble {
    pub(super) fn note(&mut self, lost: u64, why: impl FnOnce() -> io::Error) {
        self.lost += lost;
        self.first.get_or_insert_with(why);
    }
}

/// A queue of work.
pub(super) fn queue() -> (mpsc::Sender<Work>, mpsc::Receiver<Work>) {
    mpsc::channel(QUEUE)
}

/// Starts the thread, and gives the way to learn of its end.
///
/// # Errors
/// When the system has no thread left.
pub(super) fn start(work: mpsc::Receiver<Work>) -> io::Result<oneshot::Receiver<Trouble>> {
    let (tell, end) = oneshot::channel();
    let printer = std::thread::Builder::new().name("pool-printer".into());
    printer.spawn(move || {
        let end = print(work, [&mut io::stdout(), &mut io::stderr()]);
        // Nobody asks for it when the pool was dropped.
        tell.send(end).ok();
    })?;
    Ok(end)
}

/// A stream of this process. Its lock is not taken: who holds it may be waiting
/// for a job whose lines are written here. Lines stay whole since each write is
/// of whole lines.
trait Pen {
    fn write(&mut self, lines: &[u8]) -> io::Result<()>;
}

impl Pen for io::Stdout {
    fn write(&mut self, lines: &[u8]) -> io::Result<()> {
        write_fully(self.as_fd(), lines)
    }
}

impl Pen for io::Stderr {
    fn write(&mut self, lines: &[u8]) -> io::Result<()> {
        write_fully(self.as_fd(), lines)
    }
}

fn print(mut work: mpsc::Receiver<Work>, pens: [&mut dyn Pen; 2]) -> Trouble {
    let mut trouble = Trouble::default();
    // Behind lines that are missing there would be a gap that nobody sees.
    let mut broken = [false; 2];
    while let Some(work) = work.blocking_recv() {
        let lines = work.lines();
        match work {
            Work::Write(stream, bytes) => {
                let which = match stream {
                    Stream::Stdout => 0,
                    Stream::Stderr => 1,
                };
                if broken[which] {
                    trouble.lost += lines;
                } else if let Err(e) = pens[which].write(&bytes) {
                    broken[which] = true;
                    trouble.note(lines, || e);
                }
            }
            Work::Call(take, part) => {
                if catch_unwind(AssertUnwindSafe(|| take(part))).is_err() {
                    trouble.note(lines, || io::Error::other("who takes them has panicked"));
                }
            }
            // Who asked may be gone.
            Work::Confirm(told) => drop(told.send(())),
        }
    }
    trouble
}

/// `write_all`, also where another program made the descriptor non-blocking.
/// One that this program has closed takes everything, as with `println!`.
fn write_fully(out: BorrowedFd<'_>, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match write(out, bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => bytes = &bytes[written..],
            Err(Errno::EINTR) => {}
            Err(Errno::EAGAIN) => {
                let mut fds = [PollFd::new(out, PollFlags::POLLOUT)];
                poll(&mut fds, PollTimeout::NONE).ok();
            }
            Err(Errno::EBADF) => return Ok(()),
            Err(e) => return Err(e.into()),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::sync::Mutex;

    use protocol::WorkerId;

    use super::*;

    impl Pen for Vec<u8> {
        fn write(&mut self, lines: &[u8]) -> io::Result<()> {
            self.extend_from_slice(lines);
            Ok(())
        }
    }

    impl Pen for File {
        fn write(&mut self, lines: &[u8]) -> io::Result<()> {
            write_fully(self.as_fd(), lines)
        }
    }

    /// Does all of this work and gives what was wrong.
    fn done(all: Vec<Work>, pens: [&mut dyn Pen; 2]) -> Trouble {
        let (queue, work) = mpsc::channel(all.len());
        for one in all {
            queue.try_send(one).ok().unwrap();
        }
        drop(queue);
        print(work, pens)
    }

    fn lines(stream: Stream, lines: &'static str) -> Work {
        Work::Write(stream, Bytes::from_static(lines.as_bytes()))
    }

    #[test]
    fn each_stream_gets_its_lines_in_order() {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let all = vec![
            lines(Stream::Stdout, "a\n"),
            lines(Stream::Stderr, "x\n"),
            lines(Stream::Stdout, "b\nc\n"),
        ];
        let trouble = done(all, [&mut out, &mut err]);
        assert_eq!((&out[..], &err[..]), (&b"a\nb\nc\n"[..], &b"x\n"[..]));
        assert_eq!(trouble.lost, 0);
    }

    #[test]
    fn f079_lines_that_a_full_disk_did_not_take_are_counted_and_the_other_stream_goes_on() {
        let mut full = File::options().write(true).open("/dev/full").unwrap();
        let mut err = Vec::new();
        let all = vec![
            lines(Stream::Stdout, "a\nb\n"),
            lines(Stream::Stderr, "x\n"),
            lines(Stream::Stdout, "c\n"),
        ];
        let trouble = done(all, [&mut full, &mut err]);
        assert_eq!(err, b"x\n");
        assert_eq!(trouble.lost, 3);
        let why = trouble.first.unwrap();
        assert_eq!(why.kind(), io::ErrorKind::StorageFull);
    }

    #[test]
    fn a_function_that_panics_loses_its_line_and_no_other() {
        let taken = Arc::new(Mutex::new(Vec::new()));
        let list = Arc::clone(&taken);
        let take: Arc<dyn Fn(PrintedPart) + Send + Sync> = Arc::new(move |part: PrintedPart| {
            assert_ne!(part.data, "b");
            list.lock().unwrap().push(part.data);
        });
        let call = |data: &'static str| {
            let part = PrintedPart {
                worker: WorkerId(1),
                job: None,
                stream: Stream::Stdout,
                data: data.into(),
            };
            Work::Call(Arc::clone(&take), part)
        };
        let all = vec![call("a"), call("b"), call("c")];
        let trouble = done(all, [&mut Vec::new(), &mut Vec::new()]);
        assert_eq!(*taken.lock().unwrap(), ["a", "c"]);
        assert_eq!(trouble.lost, 1);
    }

    #[test]
    fn who_asks_is_told_when_all_before_is_done() {
        let (told, mut confirmed) = oneshot::channel();
        let mut out = Vec::new();
        let all = vec![lines(Stream::Stdout, "a\n"), Work::Confirm(told)];
        done(all, [&mut out, &mut Vec::new()]);
        assert_eq!(out, b"a\n");
        assert!(confirmed.try_recv().is_ok());
    }
}
