//! A worker's pipes: reading, writing, and noticing that nobody is there. What is
//! absent is waited for without end, so that it can stand in a `select!`.

use std::io;
use std::os::fd::AsFd;
use std::time::Instant;

use bytes::BufMut;
use nix::fcntl::{FcntlArg, fcntl};
use protocol::MAX_CHUNK;
use tokio::io::{AsyncReadExt, Interest};
use tokio::net::unix::pipe;
use tokio::process::ChildStdin;

use super::outgoing::Outgoing;

/// Waits until then; for ever when there is no such time.
pub(crate) async fn until(time: Option<Instant>) {
    match time {
        Some(time) => tokio::time::sleep_until(time.into()).await,
        None => std::future::pending().await,
    }
}

/// Reads what is there, or waits for something. Cancel-safe.
pub(super) async fn read(
    pipe: &mut Option<impl AsyncReadExt + Unpin>,
    buffer: &mut (impl BufMut + ?Sized),
) -> io::Result<usize> {
    match pipe {
        Some(pipe) => pipe.read_buf(buffer).await,
        None => std::future::pending().await,
    }
}

/// Writes as much as fits, or waits until something does. Cancel-safe.
pub(super) async fn write(
    pipe: &Option<pipe::Sender>,
    outgoing: &mut Outgoing,
) -> io::Result<usize> {
    let Some(pipe) = pipe else {
        return std::future::pending().await;
    };
    loop {
        pipe.writable().await?;
        match pipe.try_write_vectored(&outgoing.slices()) {
            Ok(written) => {
                outgoing.advance(written);
                return Ok(written);
            }
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
            Err(e) => return Err(e),
        }
    }
}

/// Lets a pipe hold a whole chunk, if the system allows it.
pub(super) fn widen(pipe: &impl AsFd) {
    fcntl(pipe, FcntlArg::F_SETPIPE_SZ(MAX_CHUNK as i32)).ok();
}

/// The same pipe, which can also tell that nobody reads it.
pub(super) fn sender(stdin: ChildStdin) -> Option<pipe::Sender> {
    pipe::Sender::from_owned_fd(stdin.into_owned_fd().ok()?).ok()
}

/// Waits until nobody reads this pipe any more. Cancel-safe.
pub(super) async fn deaf(stdin: &Option<pipe::Sender>) {
    match stdin {
        Some(pipe) if pipe.ready(Interest::ERROR).await.is_ok() => {}
        _ => std::future::pending().await,
    }
}
