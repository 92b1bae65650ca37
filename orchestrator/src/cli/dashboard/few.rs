//! Connections, of which there are only a few at once: descriptors are for workers. Whoever holds
//! one and asks nothing must give it back, or nobody else would be let in.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::serve::Listener;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep, sleep};

/// How many connections there may be; further ones wait.
const MOST: usize = 32;

/// How long a connection is kept on which nothing is asked and nothing is answered.
const QUIET: Duration = Duration::from_secs(10);

/// How long to wait when the system has no descriptor left.
const PAUSE: Duration = Duration::from_millis(500);

pub(super) struct Few {
    listener: TcpListener,
    room: Arc<Semaphore>,
}

impl Few {
    pub(super) fn new(listener: TcpListener) -> Few {
        Few {
            listener,
            room: Arc::new(Semaphore::new(MOST)),
        }
    }
}

impl Listener for Few {
    type Io = Held;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Held, SocketAddr) {
        loop {
            let Ok(room) = Arc::clone(&self.room).acquire_owned().await else {
                std::future::pending().await
            };
            match self.listener.accept().await {
                Ok((stream, address)) => {
                    return (Held::new(stream, room), address);
                }
                // Whoever asked has gone, or there is no descriptor: workers come first.
                Err(_) => sleep(PAUSE).await,
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// A connection, which keeps its room.
pub(super) struct Held {
    stream: TcpStream,
    /// When something was read or written last.
    moved: Instant,
    /// Whether there is an answer that nobody takes yet.
    is_stuck: bool,
    look: Pin<Box<Sleep>>,
    _room: OwnedSemaphorePermit,
}

impl Held {
    fn new(stream: TcpStream, room: OwnedSemaphorePermit) -> Held {
        Held {
            stream,
            moved: Instant::now(),
            is_stuck: false,
            look: Box::pin(sleep(QUIET)),
            _room: room,
        }
    }

    /// Ready when nothing has moved for too long.
    fn poll_quiet(&mut self, context: &mut Context<'_>) -> Poll<()> {
        while self.look.as_mut().poll(context).is_ready() {
            let now = Instant::now();
            let until = self.moved + QUIET;
            if now >= until && !self.is_stuck {
                return Poll::Ready(());
            }
            self.look.as_mut().reset(until.max(now + QUIET));
        }
        Poll::Pending
    }
}

impl AsyncRead for Held {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        if read.is_ready() {
            self.moved = Instant::now();
            return read;
        }
        // As if the other side had ended it.
        self.poll_quiet(context).map(Ok)
    }
}

impl AsyncWrite for Held {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.is_stuck = written.is_pending();
        self.moved = Instant::now();
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
