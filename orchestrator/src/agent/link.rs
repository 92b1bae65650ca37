//! The link to whoever started the agent: two pipes, or a socket.

use std::fs::File;
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream as StdSocket;

use bytes::BytesMut;
use nix::sys::stat::{SFlag, fstat};
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
    Pipe(pipe::Sender),
    Socket(UnixStream),
}

impl Link {
    /// Takes descriptors 0 and 1 for the link, away from where anybody prints, and
    /// gives this process a session of its own. In a tokio runtime.
    ///
    /// # Errors
    /// When they are neither pipes nor sockets.
    pub(crate) fn take_over() -> io::Result<Link> {
        let input = io::stdin().as_fd().try_clone_to_owned()?;
        let output = io::stdout().as_fd().try_clone_to_owned()?;
        let link = Link {
            input: Inlet {
                from: match is_socket(&input)? {
                    true => From::Socket(socket(input)?),
                    false => From::Pipe(pipe::Receiver::from_owned_fd(input)?),
                },
                inbox: BytesMut::new(),
                codec: Codec::new(),
            },
            output: match is_socket(&output)? {
                true => Outlet::Socket(socket(output)?),
                false => Outlet::Pipe(pipe::Sender::from_owned_fd(output)?),
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

    /// Writes what can be written without waiting, at one go.
    ///
    /// # Errors
    /// When nobody reads any more. That it would have to wait is none.
    pub(super) fn write(&self, outbox: &mut Outbox) -> io::Result<()> {
        let slices: &[IoSlice<'_>] = &outbox.slices();
        let written = match self {
            Outlet::Pipe(pipe) => pipe.try_write_vectored(slices),
            Outlet::Socket(socket) => socket.try_write_vectored(slices),
        };
        match written {
            Ok(written) => {
                outbox.advance(written);
                Ok(())
            }
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => Ok(()),
            Err(e) => Err(e),
        }
    }
}

/// What else there may be, a file for example, does not wait for anybody.
fn is_socket(fd: &OwnedFd) -> io::Result<bool> {
    let kind = SFlag::from_bits_truncate(fstat(fd)?.st_mode) & SFlag::S_IFMT;
    match kind {
        SFlag::S_IFSOCK => Ok(true),
        SFlag::S_IFIFO => Ok(false),
        _ => {
            let what = "its stdin and stdout must be pipes or a socket";
            Err(io::Error::new(io::ErrorKind::InvalidInput, what))
        }
    }
}

fn socket(fd: OwnedFd) -> io::Result<UnixStream> {
    let socket = StdSocket::from(fd);
    socket.set_nonblocking(true)?;
    UnixStream::from_std(socket)
}
