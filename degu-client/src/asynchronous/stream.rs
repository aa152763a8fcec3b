//! The byte stream of an async connection.
//!
//! A readiness that was not asked for wakes a thread for nothing. On a Unix socket the kernel reports room for writing
//! whenever the peer takes a message. So a [`Socket`] is registered for input alone, and again for both when a write finds
//! no room.

use std::{
    io::{self, IoSlice},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    pin::{Pin, pin},
    task::{Context, Poll, Waker, ready},
};

use bytes::BytesMut;
use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, Interest};

use crate::transport::{Idle, Scratch, Transport, check, read, some, write};

/// A stream whose calls are pending where they would block.
pub(crate) trait AsyncStream: Transport {
    /// Appends what was received; 0 bytes are the end.
    fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut BytesMut) -> Poll<io::Result<usize>>;

    /// Writes some of these pieces. Under TLS, bytes count as written when they have been encrypted, even if no record
    /// has been sent: the caller may write other bytes next, and has to call [`poll_flush`](Transport::poll_flush).
    fn poll_accept(&mut self, cx: &mut Context<'_>, pieces: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        self.poll_write(cx, pieces)
    }
}

/// A connected socket, registered with the runtime.
pub(crate) struct Socket {
    /// `None` after registering it for output failed.
    registered: Option<AsyncFd<OwnedFd>>,
    /// It is registered for output, too.
    writes: bool,
    /// The task that waits for input, which may not be the one that writes: registering the socket again forgets it.
    reader: Option<Waker>,
    scratch: Scratch,
}

impl Socket {
    /// Registers a connected socket that does not block.
    pub(crate) fn new(socket: impl Into<OwnedFd>) -> io::Result<Self> {
        let registered = register(socket.into(), Interest::READABLE)?;
        Ok(Self { registered: Some(registered), writes: false, reader: None, scratch: Scratch::default() })
    }

    /// Notes the task of a read that waits, until the socket is registered for output, too.
    fn note_reader<T>(&mut self, cx: &Context<'_>, read: &Poll<T>) {
        if read.is_pending() && !self.writes {
            self.reader.get_or_insert_with(|| cx.waker().clone()).clone_from(cx.waker());
        }
    }

    /// Reads what was received.
    #[cfg(feature = "tls")]
    pub(crate) fn poll_recv(&mut self, cx: &mut Context<'_>, bytes: &mut [u8]) -> Poll<io::Result<usize>> {
        let received = poll_recv(&self.registered, cx, bytes);
        self.note_reader(cx, &received);
        received
    }
}

// The registration that replaces it is an unsafe function, because `AsRawFd` may be implemented by a type that does not own
// what it returns. `OwnedFd` does.
#[expect(deprecated, reason = "sound for a descriptor that is owned, and the only safe one")]
fn register(socket: OwnedFd, interest: Interest) -> io::Result<AsyncFd<OwnedFd>> {
    AsyncFd::with_interest(socket, interest)
}

fn registered(socket: &Option<AsyncFd<OwnedFd>>) -> io::Result<&AsyncFd<OwnedFd>> {
    socket.as_ref().ok_or_else(|| io::ErrorKind::NotConnected.into())
}

fn poll_recv(socket: &Option<AsyncFd<OwnedFd>>, cx: &mut Context<'_>, bytes: &mut [u8]) -> Poll<io::Result<usize>> {
    let socket = registered(socket)?;
    loop {
        let mut ready = ready!(socket.poll_read_ready(cx))?;
        match ready.try_io(|socket| read(socket, bytes, false)) {
            Ok(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {}
            Ok(read) => {
                // A read that left room has emptied the socket: the next one would find nothing.
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

impl Transport for Socket {
    fn check(&mut self) -> io::Result<Idle> {
        Ok(check(registered(&self.registered)?))
    }

    fn socket(&self) -> Option<BorrowedFd<'_>> {
        self.registered.as_ref().map(AsFd::as_fd)
    }

    fn read(&mut self, buffer: &mut BytesMut, blocks: bool) -> io::Result<usize> {
        let room = self.scratch.room(buffer);
        let bytes = read(registered(&self.registered)?, room, blocks)?;
        buffer.extend_from_slice(&room[..bytes]);
        Ok(bytes)
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, pieces: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        match write(registered(&self.registered)?, pieces) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            written => return Poll::Ready(written),
        }
        if !self.writes
            && let Some(registered) = self.registered.take()
        {
            let interest = Interest::READABLE | Interest::WRITABLE;
            self.registered = Some(register(registered.into_inner(), interest)?);
            self.writes = true;
            self.reader.take().inspect(Waker::wake_by_ref);
        }
        loop {
            let mut ready = ready!(registered(&self.registered)?.poll_write_ready(cx))?;
            if let Ok(written) = ready.try_io(|socket| write(socket, pieces)) {
                return Poll::Ready(written);
            }
        }
    }
}

impl AsyncStream for Socket {
    fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut BytesMut) -> Poll<io::Result<usize>> {
        let room = self.scratch.room(buffer);
        let received = poll_recv(&self.registered, cx, room);
        if let Poll::Ready(Ok(bytes)) = received {
            buffer.extend_from_slice(&room[..bytes]);
        }
        self.note_reader(cx, &received);
        received
    }
}

/// A stream that the caller brought.
pub(crate) struct Foreign<T>(pub(crate) T);

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Transport for Foreign<T> {
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
