//! Handshakes, and the connections that they make, without sockets and without a runtime. A driver is the code that owns
//! the socket: degu-server, degu-client or a program of yours.
//!
//! 1. For each connection a driver calls [`ServerTls::accept`](crate::ServerTls::accept) or
//!    [`ClientTls::connect`](crate::ClientTls::connect), which return the current policy. A later reload does not
//!    affect this connection.
//! 2. A [`Handshake`] owns the connection of rustls. The driver calls [`Handshake::advance`] until it returns
//!    [`Progress::Done`]. The driver passes a value that implements [`Read`] and [`Write`]: a blocking socket, or a
//!    wrapper around `try_read` and `try_write` of a non-blocking socket.
//! 3. [`Handshake::secure`] then returns a [`Secured`], which reads and writes bytes. [`Handshake::finish`] returns the
//!    bare connection and the peer instead.
//!
//! When a handshake fails, [`Handshake::advance`] tries to write an alert. The driver then shuts down its writing side,
//! and reads for a while before it closes the socket. Otherwise the peer may lose the alert. Under TLS 1.3 the handshake
//! of a client ends before the server has verified the client's certificate. If the server refuses the client,
//! [`Secured::read`] of the client returns the error, in place of the first response.
//!
//! ```
//! use std::io;
//! use degu_tls::{ServerTls, drive::Progress};
//!
//! fn accept(tls: &ServerTls, mut socket: impl io::Read + io::Write) -> Result<(), degu_tls::Error> {
//!     let mut handshake = tls.accept().handshake()?;
//!     while handshake.advance(&mut socket)? == Progress::Blocked {
//!         // Wait until the socket is writable if `handshake.wants_write()`, otherwise until it is readable.
//!     }
//!     let (connection, peer) = handshake.finish()?;
//!     println!("{:?}", peer.and_then(|peer| peer.ca().map(String::from)));
//!     Ok(())
//! }
//! ```

mod judge;
mod secured;

use std::io::{self, ErrorKind, Read, Write};
use std::sync::Arc;

use rustls::{ClientConfig, ClientConnection, Connection, ServerConfig, ServerConnection};
use rustls_pki_types::ServerName;

use crate::error::Error;
#[cfg(doc)]
use crate::error::Kind;
use crate::note::{Note, noted};
use crate::peer::PeerIdentity;
pub(crate) use judge::{Judge, no_alpn};
pub use secured::Secured;

/// A server's policy for one connection.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Accept {
    /// The configuration of rustls, for a caller that makes a `rustls::ServerConnection` itself and uses no [`Handshake`]. Such
    /// a connection has no [`PeerIdentity`], and the checks of [`Handshake::finish`] are missing. For example, nothing verifies
    /// the certificate of a resumed session again.
    pub config: Arc<ServerConfig>,
    pub(crate) judge: Judge,
}

impl Accept {
    /// Returns a handshake that has not begun.
    ///
    /// # Errors
    ///
    /// [`Kind::System`] if the system gives no random numbers.
    pub fn handshake(self) -> Result<Handshake, Error> {
        Handshake::new(ServerConnection::new(self.config), self.judge)
    }
}

/// A client's policy for one connection.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Connect {
    /// The configuration of rustls, for a caller that makes a `rustls::ClientConnection` itself and uses no [`Handshake`]. The
    /// checks of [`Handshake::finish`] are then missing. For example, nothing verifies the certificate of a resumed session
    /// again.
    pub config: Arc<ClientConfig>,
    /// The name that rustls needs together with the configuration. If the policy does not use the server's name, this is
    /// an IP address that stands for the peer, and is not checked.
    pub name: ServerName<'static>,
    pub(crate) judge: Judge,
}

impl Connect {
    /// Returns a handshake that has not begun.
    ///
    /// # Errors
    ///
    /// [`Kind::System`] if the system gives no random numbers.
    pub fn handshake(self) -> Result<Handshake, Error> {
        Handshake::new(ClientConnection::new(self.config, self.name), self.judge)
    }
}

/// The state of a handshake after [`Handshake::advance`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// The handshake is done, and the socket has taken all bytes of the handshake.
    Done,
    /// The handshake is not done, because the socket would block ([`ErrorKind::WouldBlock`]).
    Blocked,
}

/// A handshake, on either side.
#[derive(Debug)]
pub struct Handshake {
    connection: Connection,
    judge: Judge,
    note: Option<Note>,
}

impl Handshake {
    fn new(connection: Result<impl Into<Connection>, rustls::Error>, judge: Judge) -> Result<Self, Error> {
        match connection {
            Ok(connection) => Ok(Self { connection: connection.into(), judge, note: None }),
            Err(error) => Err(judge.peer.fault(error, None)),
        }
    }

    /// Reads and writes until the handshake is done or the socket would block. After [`Progress::Blocked`] the driver
    /// waits for the socket and calls `advance` again.
    ///
    /// # Errors
    ///
    /// - This side refuses the peer, or the peer violates the protocol. An alert for the peer was then written, as far as
    ///   the socket took the alert. [`flush`](Self::flush) writes the rest.
    /// - The peer refuses this side ([`Kind::Refused`]) or closes the connection ([`Kind::Closed`]).
    /// - The socket fails ([`Kind::Io`]).
    pub fn advance(&mut self, io: &mut (impl Read + Write)) -> Result<Progress, Error> {
        loop {
            match self.flush(io) {
                Ok(()) if !self.connection.is_handshaking() => return Ok(Progress::Done),
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(Progress::Blocked),
                Err(error) => return Err(self.why(io, error)),
            }
            match self.connection.read_tls(io) {
                Ok(0) => return Err(self.judge.peer.closed()),
                Ok(_) => self.process(io)?,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(Progress::Blocked),
                Err(error) => return Err(self.judge.peer.io(error)),
            }
        }
    }

    fn process(&mut self, io: &mut impl Write) -> Result<(), Error> {
        let (result, note) = noted(|| self.connection.process_new_packets());
        // A handshake calls this function several times. The verifier runs, and leaves a note, in only one of these calls.
        // Later calls must not replace this note by `None`.
        self.note = note.or(self.note.take());
        result.map(drop).map_err(|error| {
            // If this write fails, the peer is still refused, but does not learn the reason.
            let _ = self.flush(io);
            self.judge.peer.fault(error, self.note.take())
        })
    }

    /// Returns the error for a write that failed. If the peer refused this side, the peer has sent an alert and closed
    /// the connection. This side may still be able to read the alert, which says more than the error of the socket.
    fn why(&mut self, io: &mut (impl Read + Write), error: io::Error) -> Error {
        while matches!(self.connection.read_tls(io), Ok(1..)) {
            if let Err(said) = self.process(io) {
                return said;
            }
        }
        if error.kind() == ErrorKind::WriteZero { self.judge.peer.closed() } else { self.judge.peer.io(error) }
    }

    /// Writes the encrypted bytes that rustls still holds. After [`advance`](Self::advance) has failed, these bytes are the
    /// rest of an alert.
    ///
    /// # Errors
    ///
    /// Any error of the socket. After [`ErrorKind::WouldBlock`] the driver waits until the socket is writable, and calls
    /// `flush` again.
    pub fn flush(&mut self, io: &mut impl Write) -> io::Result<()> {
        write_all(&mut self.connection, io)?;
        io.flush()
    }

    /// Returns true if the driver must wait until the socket is writable, and false if the driver must wait until it is
    /// readable.
    pub fn wants_write(&self) -> bool {
        self.connection.wants_write()
    }

    /// Returns the connection and the peer's identity. The identity is `None` if the policy asks for no certificate.
    ///
    /// # Errors
    ///
    /// The peer of a resumed session is no longer trusted, `require_alpn` is set but no protocol was selected, or the
    /// handshake is not done. The driver must then close the connection, write no more bytes, and ignore all bytes that
    /// it received.
    pub fn finish(self) -> Result<(Connection, Option<Arc<PeerIdentity>>), Error> {
        let peer = self.judge.finish(&self.connection, self.note)?;
        Ok((self.connection, peer))
    }
}

/// Writes the encrypted bytes that rustls holds.
fn write_all(connection: &mut Connection, io: &mut impl Write) -> io::Result<()> {
    while connection.wants_write() {
        match connection.write_tls(io) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Err(error) if error.kind() != ErrorKind::Interrupted => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

#[cfg(all(test, any(feature = "ring", feature = "aws-lc-rs")))]
mod tests;
