//! The blocking byte stream of a connection that has switched to another protocol, and its halves for two threads.

use std::{
    io::{self, IoSlice, Read, Write},
    os::fd::OwnedFd,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, Waker, ready},
};

use super::driver::Blocking;
use super::interrupter::Interrupter;
use super::stream::wait;
use crate::stream::{pending, uninterrupted};
use crate::tunnel::{MOST_PIECES, MOST_READ, TunnelOf};

type Tunnel = TunnelOf<Blocking>;

impl Tunnel {
    /// Half-closes the connection: the server reads EOF, and can still send. Under TLS, close_notify is sent first.
    ///
    /// # Errors
    ///
    /// The error of the system, and [`ErrorKind::Unsupported`](io::ErrorKind::Unsupported) for a stream that the caller
    /// brought.
    pub fn shutdown_write(&mut self) -> io::Result<()> {
        self.until_ready(false, |tunnel, cx| tunnel.stream.poll_shutdown(cx))
    }

    /// Splits the tunnel into halves for two threads. Neither half waits for the other, even under TLS.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Unsupported`](io::ErrorKind::Unsupported) for a stream that the caller brought, because a read of
    /// such a stream would block the writing half.
    pub fn split(self) -> io::Result<(ReadHalf, WriteHalf)> {
        let (socket, _) = self.stream.socket_and_interrupter().ok_or(io::ErrorKind::Unsupported)?;
        let shared = Arc::new(Shared { socket: Arc::clone(socket), tunnel: Mutex::new(self) });
        Ok((ReadHalf(Arc::clone(&shared)), WriteHalf(shared)))
    }

    /// Returns the handle that interrupts the waits of this tunnel and of its halves. An interrupted read or write
    /// returns [`ErrorKind::ConnectionAborted`](io::ErrorKind::ConnectionAborted). `None` over a stream that the caller
    /// brought.
    pub fn interrupter(&self) -> Option<Interrupter> {
        self.stream.socket_and_interrupter().map(|(_, interrupter)| interrupter.clone())
    }

    /// Repeats a step until it is ready. After each attempt that is not ready, waits for the stream.
    fn until_ready<T>(
        &mut self,
        reads: bool,
        mut step: impl FnMut(&mut Self, &mut Context<'_>) -> Poll<io::Result<T>>,
    ) -> io::Result<T> {
        loop {
            match step(self, &mut Context::from_waker(Waker::noop())) {
                Poll::Ready(done) => return done,
                Poll::Pending => self.stream.wait(reads, !reads, None)?,
            };
        }
    }

    /// Reads the bytes that have been received. A stream that the caller brought blocks until bytes arrive or the
    /// stream's own timeout expires.
    fn poll_read(&mut self, bytes: &mut [u8]) -> Poll<io::Result<usize>> {
        let Self { stream, received } = self;
        if received.is_empty() && !bytes.is_empty() {
            received.reserve(MOST_READ);
            // Under TLS a read may receive only a part of a record, and is then interrupted.
            let read = match uninterrupted(|| stream.read(received, false)) {
                Ok(0) | Err(_) if stream.is_interrupted() => Poll::Ready(Err(interrupted())),
                Err(error) if !stream.is_socket() => Poll::Ready(Err(error)),
                read => pending(read),
            };
            ready!(read)?;
        }
        let fits = received.len().min(bytes.len());
        bytes[..fits].copy_from_slice(&received.split_to(fits));
        Poll::Ready(Ok(fits))
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, pieces: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        if pieces.iter().all(|piece| piece.is_empty()) {
            return Poll::Ready(Ok(0));
        }
        match self.stream.poll_write(cx, &pieces[..pieces.len().min(MOST_PIECES)]) {
            Poll::Ready(Err(_)) if self.stream.is_interrupted() => Poll::Ready(Err(interrupted())),
            written => written,
        }
    }
}

fn interrupted() -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionAborted, "the caller interrupted the tunnel")
}

impl Read for Tunnel {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        self.until_ready(true, |tunnel, _| tunnel.poll_read(bytes))
    }
}

impl Write for Tunnel {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_vectored(&[IoSlice::new(bytes)])
    }

    fn write_vectored(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        self.until_ready(false, |tunnel, cx| tunnel.poll_write(cx, pieces))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.until_ready(false, |tunnel, cx| tunnel.stream.poll_flush(cx))
    }
}

/// A tunnel that two halves share. A half locks the tunnel while it takes a step, but not while it waits.
#[derive(Debug)]
struct Shared {
    /// The socket of the tunnel. A half waits for the socket, and does not lock the tunnel during the wait.
    socket: Arc<OwnedFd>,
    tunnel: Mutex<Tunnel>,
}

impl Shared {
    /// Repeats a step until it is ready. After each attempt that is not ready, waits for the socket.
    fn until_ready<T>(
        &self,
        reads: bool,
        mut step: impl FnMut(&mut Tunnel, &mut Context<'_>) -> Poll<io::Result<T>>,
    ) -> io::Result<T> {
        loop {
            let mut tunnel = self.tunnel.lock().unwrap_or_else(PoisonError::into_inner);
            if let Poll::Ready(done) = step(&mut tunnel, &mut Context::from_waker(Waker::noop())) {
                return done;
            }
            drop(tunnel);
            wait(&self.socket, reads, !reads, None)?;
        }
    }
}

/// The half of a blocking [`Tunnel`](super::Tunnel) that reads.
#[derive(Debug)]
pub struct ReadHalf(Arc<Shared>);

/// The half of a blocking [`Tunnel`](super::Tunnel) that writes. Dropping this half alone does not half-close the
/// connection. When both halves have been dropped, the connection is closed.
#[derive(Debug)]
pub struct WriteHalf(Arc<Shared>);

impl WriteHalf {
    /// Half-closes the connection, as [`Tunnel::shutdown_write`](TunnelOf::shutdown_write) does.
    ///
    /// # Errors
    ///
    /// The error of the system.
    pub fn shutdown_write(&mut self) -> io::Result<()> {
        self.0.until_ready(false, |tunnel, cx| tunnel.stream.poll_shutdown(cx))
    }
}

impl Read for ReadHalf {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        self.0.until_ready(true, |tunnel, _| tunnel.poll_read(bytes))
    }
}

impl Write for WriteHalf {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_vectored(&[IoSlice::new(bytes)])
    }

    fn write_vectored(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        self.0.until_ready(false, |tunnel, cx| tunnel.poll_write(cx, pieces))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.until_ready(false, |tunnel, cx| tunnel.stream.poll_flush(cx))
    }
}
