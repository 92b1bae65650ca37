//! The link to whoever started the agent: two pipes, or a socket; or what `srun -u` makes of it.

use std::fs::{File, OpenOptions};
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixStream as StdSocket;

use bytes::BytesMut;
use nix::fcntl::OFlag;
use nix::sys::stat::{SFlag, fstat};
use nix::sys::termios::{OutputFlags, tcgetattr};
use nix::unistd::{dup2_stdin, dup2_stdout, setsid};
use protocol::codec::missing;
use protocol::{Codec, FrameError, FromWorker, ToWorker, greeting};
use tokio::io::AsyncReadExt;
use tokio::net::UnixStream;
use tokio::net::unix::pipe;
use tokio_util::codec::Decoder;

use super::outbox::Outbox;

/// Room for each read, unless a large frame asks for more.
const READ_SIZE: usize = 64 * 1024;
/// With less room than this it is time for more.
const MIN_READ: usize = 8 * 1024;

/// The link, in its two directions.
pub(crate) struct Link {
    pub(super) input: Inlet,
    pub(super) output: Outlet,
}

/// Where frames come from, and what has come and is not decoded.
pub(super) struct Inlet {
    from: From,
    inbox: BytesMut,
    codec: Codec<ToWorker, FromWorker>,
}

enum From {
    Pipe(pipe::Receiver),
    Socket(UnixStream),
}

/// Where frames go to.
pub(super) enum Outlet {
    /// Or the terminal, which is written to in the same way.
    Pipe(pipe::Sender),
    Socket(UnixStream),
}

impl Link {
    /// Takes descriptors 0 and 1 for the link, away from where anybody prints, and
    /// gives this process a session of its own. In a tokio runtime.
    ///
    /// # Errors
    /// When they are neither pipes nor sockets. Output may also go to a terminal that
    /// leaves it as it is: Slurm gives one to tasks whose output is not to wait in buffers.
    pub(crate) fn take_over() -> io::Result<Link> {
        let input = io::stdin().as_fd().try_clone_to_owned()?;
        let output = io::stdout().as_fd().try_clone_to_owned()?;
        let link = Link {
            input: Inlet {
                from: match kind(&input)? {
                    Kind::Socket => From::Socket(socket(input)?),
                    Kind::Pipe => From::Pipe(pipe::Receiver::from_owned_fd(input)?),
                    Kind::Terminal => return Err(no_link()),
                },
                inbox: BytesMut::new(),
                codec: Codec::new(),
            },
            output: match kind(&output)? {
                Kind::Socket => Outlet::Socket(socket(output)?),
                Kind::Pipe => Outlet::Pipe(pipe::Sender::from_owned_fd(output)?),
                Kind::Terminal => Outlet::Pipe(pipe::Sender::from_owned_fd_unchecked(terminal()?)?),
            },
        };
        dup2_stdin(File::open("/dev/null")?)?;
        dup2_stdout(io::stderr())?;
        // Fails for one that leads a group already, to which nothing reaches either.
        setsid().ok();
        Ok(link)
    }

    /// Says that this is a worker.
    pub(super) async fn greet(&mut self) -> io::Result<()> {
        let mut outbox = Outbox::default();
        outbox.text(&greeting::greeting_line());
        while !outbox.is_empty() {
            self.output.writable().await?;
            self.output.write(&mut outbox)?;
        }
        Ok(())
    }
}

impl Inlet {
    /// Reads what is there, or waits for something; 0 bytes are the end.
    /// Cancel-safe.
    pub(super) async fn read(&mut self) -> io::Result<usize> {
        // What a large frame lacks is read and no more: then it has its memory for
        // itself. Small ones share theirs.
        let lacks = missing(&self.inbox);
        if lacks > READ_SIZE {
            self.inbox.reserve(lacks);
        } else if self.inbox.capacity() - self.inbox.len() < MIN_READ.max(lacks) {
            self.inbox.reserve(READ_SIZE);
        }
        match &mut self.from {
            From::Pipe(pipe) => pipe.read_buf(&mut self.inbox).await,
            From::Socket(socket) => socket.read_buf(&mut self.inbox).await,
        }
    }

    /// The next message of those that have come.
    ///
    /// # Errors
    /// When what came is no message to a worker.
    pub(super) fn next(&mut self) -> Result<Option<ToWorker>, FrameError> {
        self.codec.decode(&mut self.inbox)
    }
}

impl Outlet {
    /// Waits until something can be written. Cancel-safe.
    pub(super) async fn writable(&self) -> io::Result<()> {
        match self {
            Outlet::Pipe(pipe) => pipe.writable().await,
            Outlet::Socket(socket) => socket.writable().await,
        }
    }

    /// Writes what can be written without waiting, at one go, and gives how much that was.
    ///
    /// # Errors
    /// When nobody reads any more. That it would have to wait is none.
    pub(super) fn write(&self, outbox: &mut Outbox) -> io::Result<usize> {
        let slices: &[IoSlice<'_>] = &outbox.slices();
        let written = match self {
            Outlet::Pipe(pipe) => pipe.try_write_vectored(slices),
            Outlet::Socket(socket) => socket.try_write_vectored(slices),
        };
        match written {
            Ok(written) => {
                outbox.advance(written);
                Ok(written)
            }
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => Ok(0),
            Err(e) => Err(e),
        }
    }
}

/// What a descriptor is.
enum Kind {
    Socket,
    Pipe,
    /// One that passes on each byte as it is.
    Terminal,
}

/// What else there may be, a file for example, does not wait for anybody.
fn kind(fd: &OwnedFd) -> io::Result<Kind> {
    let kind = SFlag::from_bits_truncate(fstat(fd)?.st_mode) & SFlag::S_IFMT;
    match kind {
        SFlag::S_IFSOCK => Ok(Kind::Socket),
        SFlag::S_IFIFO => Ok(Kind::Pipe),
        SFlag::S_IFCHR if passes_on(fd) => Ok(Kind::Terminal),
        _ => Err(no_link()),
    }
}

fn passes_on(fd: &OwnedFd) -> bool {
    tcgetattr(fd).is_ok_and(|modes| !modes.output_flags.contains(OutputFlags::OPOST))
}

fn no_link() -> io::Error {
    let what = "its stdin and stdout must be pipes or a socket";
    io::Error::new(io::ErrorKind::InvalidInput, what)
}

/// The terminal that is stdout, opened anew: that writing to it does not block shall not
/// hold for others that have it.
fn terminal() -> io::Result<OwnedFd> {
    let flags = OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
    let mut options = OpenOptions::new();
    options.write(true).custom_flags(flags.bits());
    Ok(options.open("/proc/self/fd/1")?.into())
}

fn socket(fd: OwnedFd) -> io::Result<UnixStream> {
    let socket = StdSocket::from(fd);
    socket.set_nonblocking(true)?;
    UnixStream::from_std(socket)
}
