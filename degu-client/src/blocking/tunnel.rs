//! The blocking byte stream of a connection that has switched to another protocol, and its halves for two threads.

use std::{
    fmt,
    io::{self, IoSlice, Read, Write},
    os::fd::OwnedFd,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

use bytes::BytesMut;

use super::driver::Blocking;
use super::interrupter::Interrupter;
use super::stream::{BlockingStream, wait};
use crate::stream::{pending, uninterrupted};
use crate::tunnel::{MOST_PIECES, MOST_READ, TunnelOf};

type Stream = dyn BlockingStream;

impl TunnelOf<Blocking> {
    /// Half-closes the connection: the server reads EOF, and can still send. Under TLS, close_notify is sent first.
    ///
    /// # Errors
    ///
    /// The error of the system, and [`ErrorKind::Unsupported`](io::ErrorKind::Unsupported) for a stream that the caller
    /// brought.
    pub fn shutdown_write(&mut self) -> io::Result<()> {
        self.until_ready(false, |stream, cx| stream.poll_shutdown(cx))
    }

    /// Splits the tunnel into halves for two threads. Neither half waits for the other, even under TLS.
    ///
    /// # Errors
    ///
    /// The error of the system, and [`ErrorKind::Unsupported`](io::ErrorKind::Unsupported) for a stream that the caller
    /// brought, because a read of such a stream would block the writing half.
    pub fn split(self) -> io::Result<(ReadHalf, WriteHalf)> {
        let socket = self.stream.socket().ok_or(io::ErrorKind::Unsupported)?.try_clone_to_owned()?;
        let shared = Arc::new(Shared { socket, stream: Mutex::new(self.stream) });
        Ok((ReadHalf { shared: shared.clone(), received: self.received }, WriteHalf { shared }))
    }

    /// Returns the handle that interrupts the waits of this tunnel and of its halves. An interrupted read or write
    /// returns [`ErrorKind::ConnectionAborted`](io::ErrorKind::ConnectionAborted). `None` over a stream that the caller
    /// brought.
    pub fn interrupter(&self) -> Option<Interrupter> {
        self.stream.interrupter().cloned()
    }

    /// Repeats a step until it is ready. After each attempt that is not ready, waits for the stream.
    fn until_ready<T>(
        &mut self,
        reads: bool,
        mut step: impl FnMut(&mut Stream, &mut Context<'_>) -> Poll<io::Result<T>>,
    ) -> io::Result<T> {
        loop {
            match step(&mut *self.stream, &mut Context::from_waker(Waker::noop())) {
                Poll::Ready(done) => return done,
                Poll::Pending => self.stream.wait(reads, !reads, None)?,
            };
        }
    }
}

/// Reads the bytes that have been received. A stream that the caller brought blocks until bytes arrive or the stream's
/// own timeout expires.
fn poll_read(stream: &mut Stream, received: &mut BytesMut) -> Poll<io::Result<usize>> {
    received.reserve(MOST_READ);
    // Under TLS a read may receive only a part of a record, and is then interrupted.
    match uninterrupted(|| stream.read(received, false)) {
        Ok(0) | Err(_) if stream.is_interrupted() => Poll::Ready(Err(interrupted())),
        Err(error) if !stream.is_socket() => Poll::Ready(Err(error)),
        read => pending(read),
    }
}

fn poll_write(stream: &mut Stream, cx: &mut Context<'_>, pieces: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
    match pieces.iter().all(|piece| piece.is_empty()) {
        true => Poll::Ready(Ok(0)),
        false => match stream.poll_write(cx, &pieces[..pieces.len().min(MOST_PIECES)]) {
            Poll::Ready(Err(_)) if stream.is_interrupted() => Poll::Ready(Err(interrupted())),
            written => written,
        },
    }
}

fn interrupted() -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionAborted, "the caller interrupted the tunnel")
}

/// Moves received bytes into `bytes`, and returns their number.
fn take(received: &mut BytesMut, bytes: &mut [u8]) -> usize {
    let fits = received.len().min(bytes.len());
    bytes[..fits].copy_from_slice(&received.split_to(fits));
    fits
}

impl Read for TunnelOf<Blocking> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        if self.received.is_empty() && !bytes.is_empty() {
            let mut received = std::mem::take(&mut self.received);
            self.until_ready(true, |stream, _| poll_read(stream, &mut received))?;
            self.received = received;
        }
        Ok(take(&mut self.received, bytes))
    }
}

impl Write for TunnelOf<Blocking> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_vectored(&[IoSlice::new(bytes)])
    }

    fn write_vectored(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        self.until_ready(false, |stream, cx| poll_write(stream, cx, pieces))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.until_ready(false, |stream, cx| stream.poll_flush(cx))
    }
}

/// The state that the halves of a tunnel share. A half locks the stream while it takes a step, but not while it waits.
struct Shared {
    /// A second descriptor of the socket. A half waits for this descriptor, so the stream is not locked during the
    /// wait.
    socket: OwnedFd,
    stream: Mutex<Box<Stream>>,
}

impl Shared {
    fn stream(&self) -> MutexGuard<'_, Box<Stream>> {
        self.stream.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Repeats a step until it is ready. After each attempt that is not ready, waits for the socket.
    fn until_ready<T>(
        &self,
        reads: bool,
        mut step: impl FnMut(&mut Stream, &mut Context<'_>) -> Poll<io::Result<T>>,
    ) -> io::Result<T> {
        loop {
            let polled = step(&mut **self.stream(), &mut Context::from_waker(Waker::noop()));
            match polled {
                Poll::Ready(done) => return done,
                Poll::Pending => wait(&self.socket, reads, !reads, None)?,
            };
        }
    }
}

/// The half of a blocking [`Tunnel`](super::Tunnel) that reads.
pub struct ReadHalf {
    shared: Arc<Shared>,
    received: BytesMut,
}

/// The half of a blocking [`Tunnel`](super::Tunnel) that writes. Dropping this half alone does not half-close the
/// connection. When both halves have been dropped, the connection is closed.
pub struct WriteHalf {
    shared: Arc<Shared>,
}

impl WriteHalf {
    /// Half-closes the connection, as [`Tunnel::shutdown_write`](TunnelOf::shutdown_write) does.
    ///
    /// # Errors
    ///
    /// The error of the system.
    pub fn shutdown_write(&mut self) -> io::Result<()> {
        self.shared.until_ready(false, |stream, cx| stream.poll_shutdown(cx))
    }
}

impl Read for ReadHalf {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let Self { shared, received } = self;
        if received.is_empty() && !bytes.is_empty() {
            shared.until_ready(true, |stream, _| poll_read(stream, received))?;
        }
        Ok(take(received, bytes))
    }
}

impl Write for WriteHalf {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_vectored(&[IoSlice::new(bytes)])
    }

    fn write_vectored(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        self.shared.until_ready(false, |stream, cx| poll_write(stream, cx, pieces))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.shared.until_ready(false, |stream, cx| stream.poll_flush(cx))
    }
}

impl fmt::Debug for ReadHalf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReadHalf").field("received", &self.received.len()).finish_non_exhaustive()
    }
}

impl fmt::Debug for WriteHalf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WriteHalf").finish_non_exhaustive()
    }
}
