//! The byte stream of an async connection.
//!
//! An event that no task waits for wakes the thread for nothing. On a Unix socket the kernel reports room for writing
//! whenever the peer reads a message. So a [`Socket`] is registered for input only. When a write first finds no room, a
//! second descriptor of the socket is registered for output.

use std::{
    io::{self, IoSlice},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    pin::{Pin, pin},
    task::{Context, Poll, ready},
};

use bytes::BytesMut;
use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, Interest};

use crate::stream::{Idle, Scratch, Stream, check, now, pending, read, some, write};

/// A stream whose calls are pending if they would block.
pub(crate) trait AsyncStream: Stream {
    /// Appends the bytes that have been received; 0 bytes mean EOF.
    fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut BytesMut) -> Poll<io::Result<usize>>;

    /// Writes some of these pieces. Under TLS, bytes count as written when they have been encrypted, even if no record
    /// has been sent. The caller may then write other bytes, and has to call [`poll_flush`](Stream::poll_flush).
    fn poll_accept(&mut self, cx: &mut Context<'_>, pieces: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        self.poll_write(cx, pieces)
    }
}

/// A connected socket, registered with the runtime.
pub(crate) struct Socket {
    reader: AsyncFd<OwnedFd>,
    /// A second descriptor of the socket, registered for output. `None` until a write has found no room.
    writer: Option<AsyncFd<OwnedFd>>,
    scratch: Scratch,
}

impl Socket {
    /// Registers a connected socket that does not block.
    pub(crate) fn new(socket: impl Into<OwnedFd>) -> io::Result<Self> {
        Ok(Self { reader: register(socket.into(), Interest::READABLE)?, writer: None, scratch: Scratch::default() })
    }

    /// Reads the bytes that have been received.
    #[cfg(feature = "tls")]
    pub(crate) fn poll_recv(&mut self, cx: &mut Context<'_>, bytes: &mut [u8]) -> Poll<io::Result<usize>> {
        poll_recv(&self.reader, cx, bytes)
    }
}

// The replacement of `with_interest` is unsafe, because a type may implement `AsRawFd` for a descriptor that it does
// not own. `OwnedFd` owns its descriptor.
#[expect(deprecated, reason = "correct for an owned descriptor, and its replacement is unsafe")]
fn register(socket: OwnedFd, interest: Interest) -> io::Result<AsyncFd<OwnedFd>> {
    AsyncFd::with_interest(socket, interest)
}

fn poll_recv(socket: &AsyncFd<OwnedFd>, cx: &mut Context<'_>, bytes: &mut [u8]) -> Poll<io::Result<usize>> {
    loop {
        let mut ready = ready!(socket.poll_read_ready(cx))?;
        match ready.try_io(|socket| read(socket, bytes, false)) {
            Ok(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {}
            Ok(read) => {
                // A read that left room has emptied the socket, so the next read would find no bytes.
                if let Ok(bytes_read @ 1..) = read
                    && bytes_read < bytes.len()
                {
                    ready.clear_ready();
                }
                return Poll::Ready(read);
            }
            Err(_) => {}
        }
    }
}

impl Stream for Socket {
    fn check(&mut self) -> io::Result<Idle> {
        Ok(check(&self.reader))
    }

    fn socket(&self) -> Option<BorrowedFd<'_>> {
        Some(self.reader.as_fd())
    }

    fn read(&mut self, buffer: &mut BytesMut, blocks: bool) -> io::Result<usize> {
        self.scratch.fill(buffer, |room| read(&self.reader, room, blocks))
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, pieces: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        match write(&self.reader, pieces) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            written => return Poll::Ready(written),
        }
        let writer = match &mut self.writer {
            Some(writer) => writer,
            none => none.insert(register(self.reader.as_fd().try_clone_to_owned()?, Interest::WRITABLE)?),
        };
        loop {
            let mut ready = ready!(writer.poll_write_ready(cx))?;
            if let Ok(written) = ready.try_io(|socket| write(socket, pieces)) {
                return Poll::Ready(written);
            }
        }
    }
}

impl AsyncStream for Socket {
    fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut BytesMut) -> Poll<io::Result<usize>> {
        pending(self.scratch.fill(buffer, |room| now(poll_recv(&self.reader, cx, room))))
    }
}

/// A stream that the caller brought.
pub(crate) struct Foreign<T>(pub(crate) T);

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for Foreign<T> {
    fn read(&mut self, _: &mut BytesMut, _: bool) -> io::Result<usize> {
        Err(io::ErrorKind::WouldBlock.into())
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, pieces: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let written = match pieces {
            [only] => Pin::new(&mut self.0).poll_write(cx, only),
            _ => Pin::new(&mut self.0).poll_write_vectored(cx, pieces),
        };
        written.map(some)
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> AsyncStream for Foreign<T> {
    fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut BytesMut) -> Poll<io::Result<usize>> {
        pin!(self.0.read_buf(buffer)).poll(cx)
    }
}
