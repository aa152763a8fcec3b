//! The trait of the streams of both drivers, and the system calls of a socket.

use std::{
    io::{self, IoSlice},
    net::Shutdown,
    os::fd::{AsFd, AsRawFd, BorrowedFd},
    task::{Context, Poll},
};

use bytes::BytesMut;
use degu_wire::Fault;
use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, recv};
use socket2::SockRef;

use crate::error::ErrorKind;

/// The stream under a connection of either client: a socket, TLS over a socket, or a stream that the caller brought.
pub(crate) trait Stream: Send {
    /// Checks an idle stream without waiting. Returns an error if the server has sent data that no request asked for,
    /// or has closed the connection. A stream that cannot be checked counts as idle.
    fn check(&mut self) -> Result<(), ErrorKind> {
        Ok(())
    }

    /// Returns the socket, unless the caller brought the stream.
    fn socket(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    /// Returns whether the stream behaves like a socket: it can be checked and read without blocking, a wait for it can
    /// have a limit, and it needs no flush. A stream that the caller brought does not behave like a socket.
    fn is_socket(&self) -> bool {
        self.socket().is_some()
    }

    /// Reads from the socket directly, without a runtime, and appends the bytes; 0 bytes mean EOF. If `blocks` is true,
    /// the read waits for the first byte until the socket's own timeout. Under TLS the read returns
    /// [`Interrupted`](io::ErrorKind::Interrupted) after a record that is not complete or has no data, so the caller
    /// can check the clock.
    ///
    /// A blocking stream of the caller always blocks. An async stream of the caller cannot be read like this, and
    /// returns [`WouldBlock`](io::ErrorKind::WouldBlock).
    fn read(&mut self, buffer: &mut BytesMut, blocks: bool) -> io::Result<usize>;

    /// Writes some of these pieces, which are not all empty. Pending if a socket has no room.
    fn poll_write(&mut self, cx: &mut Context<'_>, pieces: &[IoSlice<'_>]) -> Poll<io::Result<usize>>;

    /// Sends the bytes that the stream itself holds back. A socket holds back no bytes.
    fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    /// Half-closes the stream: the server reads EOF, and can still send. Under TLS, close_notify is sent first.
    fn poll_shutdown(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(socket) = self.socket() else { return Poll::Ready(Err(io::ErrorKind::Unsupported.into())) };
        Poll::Ready(SockRef::from(&socket).shutdown(Shutdown::Write))
    }

    /// Frees the memory of buffers that are empty between two exchanges.
    fn release_buffers(&mut self) {}

    /// Returns whether the stream sends its data in TLS records. Then a write that fails or waits may already have sent
    /// some of the data, so the caller has to count the request as sent.
    fn has_records(&self) -> bool {
        false
    }

    /// Returns whether the caller has interrupted the connection. Then an EOF does not come from the server.
    fn is_interrupted(&self) -> bool {
        false
    }

    /// Returns the server's certificate, which TLS has verified.
    #[cfg(feature = "tls")]
    fn peer(&self) -> Option<&std::sync::Arc<degu_tls::PeerIdentity>> {
        None
    }
}

/// A buffer for reads, whose bytes are then copied into the receive buffer. Safe code cannot read into the receive
/// buffer directly, because the free space of that buffer is not initialised.
#[derive(Debug, Default)]
pub(crate) struct Scratch(Box<[u8]>);

impl Scratch {
    /// The smallest limit of one read, in bytes. `MOST` is the largest limit.
    const LEAST: usize = 2 * 1024;
    const MOST: usize = 256 * 1024;

    /// Appends the bytes of one read to `buffer`. The limit of the read is the free space of `buffer`, but at least
    /// `LEAST` and at most `MOST`. A longer read would make `buffer` move to a larger allocation.
    pub(crate) fn fill(
        &mut self,
        buffer: &mut BytesMut,
        read: impl FnOnce(&mut [u8]) -> io::Result<usize>,
    ) -> io::Result<usize> {
        let room = (buffer.capacity() - buffer.len()).clamp(Self::LEAST, Self::MOST);
        if self.0.len() < room {
            self.0 = vec![0; room].into();
        }
        let bytes = read(&mut self.0[..room])?;
        buffer.extend_from_slice(&self.0[..bytes]);
        Ok(bytes)
    }
}

#[cfg(not(target_vendor = "apple"))]
const NO_SIGNAL: MsgFlags = MsgFlags::MSG_NOSIGNAL;
/// On Apple's systems, `send` has no flag that prevents SIGPIPE. No flag is needed, because Rust's runtime ignores this
/// signal.
#[cfg(target_vendor = "apple")]
const NO_SIGNAL: MsgFlags = MsgFlags::empty();

/// Reads the bytes that the socket has received. If there are no bytes and `blocks` is true, waits for some.
///
/// If a signal ends the wait, the error is [`ErrorKind::Interrupted`](io::ErrorKind::Interrupted). The read is not
/// repeated here, because a new read would have the socket's whole timeout again. The caller checks the clock first.
pub(crate) fn read(socket: impl AsFd, bytes: &mut [u8], blocks: bool) -> io::Result<usize> {
    let flags = if blocks { MsgFlags::empty() } else { MsgFlags::MSG_DONTWAIT };
    Ok(recv(socket.as_fd().as_raw_fd(), bytes, flags)?)
}

/// Writes as much of these pieces as the socket takes at once. At least one piece is not empty.
pub(crate) fn write(socket: impl AsFd, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
    let (socket, flags) = (SockRef::from(&socket), (MsgFlags::MSG_DONTWAIT | NO_SIGNAL).bits());
    let written = uninterrupted(|| match pieces {
        [only] => socket.send_with_flags(only, flags),
        pieces => socket.send_vectored_with_flags(pieces, flags),
    });
    some(written)
}

/// Turns a write of 0 bytes into the error `WriteZero`, because otherwise the caller would try again forever.
pub(crate) fn some(written: io::Result<usize>) -> io::Result<usize> {
    written.and_then(|bytes| if bytes == 0 { Err(io::ErrorKind::WriteZero.into()) } else { Ok(bytes) })
}

/// Turns the error `WouldBlock` into pending. The caller then ensures that the task is woken, or blocks until the
/// stream is ready.
pub(crate) fn pending<T>(done: io::Result<T>) -> Poll<io::Result<T>> {
    match done {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Poll::Pending,
        done => Poll::Ready(done),
    }
}

/// Turns pending into the error `WouldBlock`.
#[cfg(feature = "tls")]
pub(crate) fn now<T>(polled: Poll<io::Result<T>>) -> io::Result<T> {
    match polled {
        Poll::Ready(done) => done,
        Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
    }
}

/// Checks an idle socket, without waiting. Received bytes stay in the socket.
pub(crate) fn check(socket: impl AsFd) -> Result<(), ErrorKind> {
    match recv(socket.as_fd().as_raw_fd(), &mut [0], MsgFlags::MSG_PEEK | MsgFlags::MSG_DONTWAIT) {
        Ok(1..) => Err(Fault::UnsolicitedBytes.into()),
        Err(Errno::EAGAIN | Errno::EINTR) => Ok(()),
        Ok(0) | Err(_) => Err(ErrorKind::Closed),
    }
}

/// Repeats a step while it returns the error `Interrupted`: after a signal, or after a TLS record that is not complete
/// or has no data.
pub(crate) fn uninterrupted<T>(mut step: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match step() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            done => return done,
        }
    }
}
