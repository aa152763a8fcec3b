//! Switching to another protocol (RFC 9110 §7.8): the server's answer to an offer, and the byte stream if it accepts.

use std::{
    fmt,
    io::{self, IoSlice},
    os::fd::OwnedFd,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::task::coop::poll_proceed;

use crate::driver::Async;
use crate::incoming::{Incoming, ResponseOf};
use crate::link::Driver;

/// The answer to an offer to go on in another protocol, as `upgrade` of a [connection](crate::ConnectionOf) returns it.
#[derive(Debug)]
pub enum UpgradeOf<T, B> {
    /// The server has accepted: the connection speaks the new protocol now, and can carry no further request.
    Switched {
        /// The response, with status 101 and without a body.
        response: ResponseOf<()>,
        /// The byte stream.
        tunnel: T,
    },
    /// The server has declined with this response. The connection goes on as after any other.
    Declined(ResponseOf<B>),
}

/// The [answer](UpgradeOf) to an offer of an async client.
pub type Upgrade<'c> = UpgradeOf<Tunnel, Incoming<'c>>;

/// The byte stream of a connection that has switched to another protocol. It begins with what the server sent after its 101.
///
/// The deadlines of requests do not apply to it. An async tunnel implements `AsyncRead` and `AsyncWrite`, a blocking one
/// `Read` and `Write`. Dropping it closes the connection.
///
/// Under TLS the server has to tell of its end by close_notify. An end without is an error,
/// [`ErrorKind::UnexpectedEof`](io::ErrorKind::UnexpectedEof): a third party may have cut the connection.
///
/// # Cancel safety
///
/// A read or a write that is dropped before it is done has moved nothing. Under TLS a flush sends what earlier writes
/// have encrypted.
pub struct TunnelOf<D: Driver> {
    pub(crate) stream: Box<D::Stream>,
    /// Bytes that were received and not read yet.
    pub(crate) received: BytesMut,
}

/// The [byte stream](TunnelOf) of an async connection that has switched to another protocol.
///
/// Shutting it down half-closes the connection: the server sees the end, and can go on sending. `tokio::io::split` makes two
/// halves of it.
pub type Tunnel = TunnelOf<Async>;

impl<D: Driver> TunnelOf<D> {
    pub(crate) fn new(stream: Box<D::Stream>, first: Bytes) -> Self {
        Self { stream, received: first.into() }
    }

    /// Returns the socket, and what was received and not read yet. The socket of an async tunnel does not block.
    ///
    /// # Errors
    ///
    /// The tunnel again where there is more than a socket: under TLS, and over a stream that the caller brought.
    pub fn into_inner(self) -> Result<(OwnedFd, Bytes), Self> {
        use crate::transport::Transport;

        let socket = self.stream.socket().filter(|_| !self.stream.has_records());
        match socket.map(|socket| socket.try_clone_to_owned()) {
            Some(Ok(socket)) => Ok((socket, self.received.freeze())),
            _ => Err(self),
        }
    }
}

impl AsyncRead for TunnelOf<Async> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let Self { stream, received } = self.get_mut();
        if received.is_empty() && buffer.remaining() > 0 {
            received.reserve(buffer.remaining().min(MOST_READ));
            ready!(stream.poll_read(cx, received))?;
        }
        let fits = received.len().min(buffer.remaining());
        buffer.put_slice(&received.split_to(fits));
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for TunnelOf<Async> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if pieces.iter().all(|piece| piece.is_empty()) {
            return Poll::Ready(Ok(0));
        }
        // A socket that always has room must not keep the thread for itself.
        let turn = ready!(poll_proceed(cx));
        let written = self.get_mut().stream.poll_accept(cx, &pieces[..pieces.len().min(MOST_PIECES)]);
        if written.is_ready() {
            turn.made_progress();
        }
        written
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().stream.poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().stream.poll_shutdown(cx)
    }
}

impl<D: Driver> fmt::Debug for TunnelOf<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tunnel").field("received", &self.received.len()).finish_non_exhaustive()
    }
}

/// The most that one read takes.
pub(crate) const MOST_READ: usize = 64 * 1024;
/// The most pieces that one write takes: the kernel refuses more than 1,024.
pub(crate) const MOST_PIECES: usize = 64;
