//! Switching to another protocol (RFC 9110 §7.8): the server's answer to an offer, and the byte stream if the server
//! accepts.

use std::{fmt, io, net::Shutdown, os::fd::OwnedFd, time::Duration};

use bytes::{Bytes, BytesMut};
use socket2::SockRef;

use crate::incoming::ResponseOf;
use crate::link::Driver;
use crate::stream::Stream;

/// The server's answer to an offer to switch to another protocol, returned by `upgrade` of a
/// [connection](crate::ConnectionOf).
#[derive(Debug)]
pub enum UpgradeOf<T, B> {
    /// The server has accepted. The connection speaks the new protocol now, and can carry no further request.
    Switched {
        /// The response, with status 101 and without a body.
        response: ResponseOf<()>,
        /// The byte stream of the new protocol.
        tunnel: T,
    },
    /// The server has declined with this response. The connection can be used as after any other response.
    Declined(ResponseOf<B>),
}

/// The byte stream of a connection that has switched to another protocol. The stream begins with the bytes that the
/// server sent after its 101 response.
///
/// The timeouts of the options do not apply to a tunnel. An async tunnel implements `AsyncRead` and `AsyncWrite`, and a
/// blocking tunnel `Read` and `Write`. Dropping the tunnel closes the connection. [`reset`](Self::reset) also
/// shows the server that data is missing.
///
/// Under TLS the server has to announce the end of its data (close_notify). An end without close_notify is the error
/// [`ErrorKind::UnexpectedEof`](std::io::ErrorKind::UnexpectedEof), because a third party may have cut the connection.
///
/// # Cancel safety
///
/// If the future of a read or a write is dropped before the call is done, the call has moved no byte. Under TLS, a
/// write is done when the bytes are encrypted. If the socket has no room, a flush or a read that waits sends these
/// bytes later. So a task that writes and then waits for something else has to flush first, as with any `AsyncWrite`.
/// Otherwise the last bytes may remain unsent.
pub struct TunnelOf<D: Driver> {
    pub(crate) stream: Box<D::Stream>,
    /// Bytes that have been received and that the caller has not read.
    pub(crate) received: BytesMut,
}

impl<D: Driver> TunnelOf<D> {
    pub(crate) fn new(stream: Box<D::Stream>, first: Bytes) -> Self {
        Self { stream, received: first.into() }
    }

    /// Returns the socket, and the bytes that have been received and not been read. The socket of an async tunnel is
    /// non-blocking.
    ///
    /// # Errors
    ///
    /// Returns the tunnel itself under TLS, over a stream that the caller brought, or if the process has no free
    /// descriptor.
    pub fn into_inner(self) -> Result<(OwnedFd, Bytes), Self> {
        match self.socket() {
            Ok(socket) => Ok((socket, self.received.freeze())),
            Err(_) => Err(self),
        }
    }

    /// Closes the connection, and shows the server that the data is incomplete: over TCP by a reset, and under TLS by the
    /// lack of close_notify. A Unix socket without TLS, and a stream that the caller brought, close as usual.
    pub fn reset(self) {
        let Some(socket) = self.stream.socket() else { return };
        let socket = SockRef::from(&socket);
        // If a call fails, the connection has already ended.
        if self.stream.has_records() {
            // The stream sends close_notify when it is dropped. After this call the socket takes no more bytes.
            let _ = socket.shutdown(Shutdown::Write);
        }
        let _ = socket.set_linger(Some(Duration::ZERO));
    }

    /// Returns a second descriptor of the socket, for the caller. The timeouts that the blocking client has set on the
    /// socket are removed.
    fn socket(&self) -> io::Result<OwnedFd> {
        let socket = self.stream.socket().filter(|_| !self.stream.has_records());
        let socket = socket.ok_or(io::ErrorKind::Unsupported)?.try_clone_to_owned()?;
        SockRef::from(&socket).set_read_timeout(None)?;
        SockRef::from(&socket).set_write_timeout(None)?;
        Ok(socket)
    }
}

impl<D: Driver> fmt::Debug for TunnelOf<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tunnel").field("received", &self.received.len()).finish_non_exhaustive()
    }
}

/// The largest number of bytes that one read takes.
pub(crate) const MOST_READ: usize = 64 * 1024;
/// The largest number of pieces that one write takes. The kernel refuses more than 1,024.
pub(crate) const MOST_PIECES: usize = 64;
