//! Switching to another protocol (RFC 9110 §7.8): the server's answer to an offer, and the byte stream if it accepts.

use std::{fmt, os::fd::OwnedFd};

use bytes::{Bytes, BytesMut};

use crate::incoming::ResponseOf;
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

/// The byte stream of a connection that has switched to another protocol. It begins with what the server sent after its 101.
///
/// The deadlines of requests do not apply to it. An async tunnel implements `AsyncRead` and `AsyncWrite`, a blocking one
/// `Read` and `Write`. Dropping it closes the connection.
///
/// Under TLS the server has to tell of its end by close_notify. An end without is an error,
/// [`ErrorKind::UnexpectedEof`](std::io::ErrorKind::UnexpectedEof): a third party may have cut the connection.
///
/// # Cancel safety
///
/// A read or a write that is dropped before it is done has moved nothing. Under TLS a flush sends what earlier writes
/// have encrypted, and so does a read that waits. A task that writes and then waits for something else flushes first, as with
/// any `AsyncWrite`: otherwise the end of what it wrote may stay where the socket had no room for it.
pub struct TunnelOf<D: Driver> {
    pub(crate) stream: Box<D::Stream>,
    /// Bytes that were received and not read yet.
    pub(crate) received: BytesMut,
}

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

impl<D: Driver> fmt::Debug for TunnelOf<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tunnel").field("received", &self.received.len()).finish_non_exhaustive()
    }
}

/// The most that one read takes.
pub(crate) const MOST_READ: usize = 64 * 1024;
/// The most pieces that one write takes: the kernel refuses more than 1,024.
pub(crate) const MOST_PIECES: usize = 64;
