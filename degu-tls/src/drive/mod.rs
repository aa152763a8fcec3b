//! Handshakes and the bytes after them, for drivers: without a socket, without a runtime.
//!
//! 1. For each connection a driver calls [`ServerTls::accept`](crate::ServerTls::accept) or
//!    [`ClientTls::connect`](crate::ClientTls::connect), which return the policy of that moment.
//! 2. A [`Handshake`] owns the connection of rustls. It reads and writes any value that implements [`Read`] and [`Write`]:
//!    a blocking socket, or a wrapper around `try_read` and `try_write` of a non-blocking socket. The driver calls
//!    [`Handshake::advance`] until it returns [`Progress::Done`].
//! 3. [`Handshake::secure`] then returns a [`Secured`], which reads and writes bytes. [`Handshake::finish`] returns the
//!    bare connection and the peer instead.
//!
//! When a handshake fails, [`Handshake::advance`] tries to write an alert. So that the peer reads the alert, the driver
//! then shuts down its writing side, and reads for a while before it closes the socket. Under TLS 1.3 a client is done
//! before the server has judged it. Then the refusal arrives in place of the first response, and [`Secured::read`]
//! returns the error.
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
    /// The configuration of rustls, for a caller that makes a `rustls::ServerConnection` itself and uses no [`Handshake`]. Its
    /// client has no [`PeerIdentity`].
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
    /// checks of [`Handshake::finish`] are then missing, such as that of the certificate of a resumed session.
    pub config: Arc<ClientConfig>,
    /// The name that rustls needs together with the configuration. If the policy does not check names, it is a
    /// stand-in.
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
    /// The handshake is done, and all of it was written.
    Done,
    /// The socket would block, or its timeout expired.
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
            Err(error) => Err(judge.fault(error, None)),
        }
    }

    /// Reads and writes until the handshake is done or the socket would block. After [`Progress::Blocked`] the driver
    /// calls it again; after an error it does not.
    ///
    /// # Errors
    ///
    /// The peer is refused, refuses this side ([`Kind::Refused`]), violates the protocol, or closes the connection
    /// ([`Kind::Closed`]); or the socket fails ([`Kind::Io`]). If there is an alert for the peer, it has been written
    /// as far as the socket had room. If [`wants_write`](Self::wants_write) is true, [`write_alert`](Self::write_alert)
    /// writes the rest.
    pub fn advance(&mut self, io: &mut (impl Read + Write)) -> Result<Progress, Error> {
        loop {
            while self.connection.wants_write() {
                match self.connection.write_tls(io) {
                    Ok(0) => return Err(self.judge.closed()),
                    Ok(_) => {}
                    Err(error) => match error.kind() {
                        ErrorKind::Interrupted => {}
                        ErrorKind::WouldBlock | ErrorKind::TimedOut => return Ok(Progress::Blocked),
                        _ => return Err(self.why(io, error)),
                    },
                }
            }
            match io.flush() {
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(Progress::Blocked),
                Err(error) => return Err(self.why(io, error)),
                Ok(()) if !self.connection.is_handshaking() => return Ok(Progress::Done),
                Ok(()) => {}
            }
            match self.connection.read_tls(io) {
                Ok(0) => return Err(self.judge.closed()),
                Ok(_) => self.process(io)?,
                Err(error) => match error.kind() {
                    ErrorKind::Interrupted => {}
                    ErrorKind::WouldBlock | ErrorKind::TimedOut => return Ok(Progress::Blocked),
                    _ => return Err(self.judge.io(error)),
                },
            }
        }
    }

    fn process(&mut self, io: &mut impl Write) -> Result<(), Error> {
        let (result, note) = noted(|| self.connection.process_new_packets());
        // Only one of several calls has the peer's certificate, and leaves a note.
        self.note = note.or(self.note.take());
        result.map(drop).map_err(|error| {
            self.write_alert(io);
            self.judge.fault(error, self.note.take())
        })
    }

    /// Returns the error for a write that failed. If the peer refused this side, it has sent an alert and closed the
    /// connection. The alert can still be read, and is the better error.
    fn why(&mut self, io: &mut (impl Read + Write), error: io::Error) -> Error {
        while matches!(self.connection.read_tls(io), Ok(1..)) {
            if let Err(said) = self.process(io) {
                return said;
            }
        }
        self.judge.io(error)
    }

    /// Writes the rest of an alert, as far as the socket has room.
    pub fn write_alert(&mut self, io: &mut impl Write) {
        // The peer is refused in any case. If the socket takes no more, the peer does not learn the reason.
        while self.connection.wants_write() && matches!(self.connection.write_tls(io), Ok(1..)) {}
        let _ = io.flush();
    }

    /// Returns whether the socket must become writable before there is progress. Otherwise it must become readable.
    pub fn wants_write(&self) -> bool {
        self.connection.wants_write()
    }

    /// Returns the connection and the peer's identity, which is `None` if the policy asks for no certificate.
    ///
    /// # Errors
    ///
    /// The peer of a resumed session is no longer trusted, `require_alpn` is set and no protocol was selected, or the
    /// handshake is not done. The driver must close the connection, write no further byte, and use no byte that it
    /// received.
    pub fn finish(self) -> Result<(Connection, Option<Arc<PeerIdentity>>), Error> {
        let peer = self.judge.finish(&self.connection, self.note)?;
        Ok((self.connection, peer))
    }
}

#[cfg(all(test, any(feature = "ring", feature = "aws-lc-rs")))]
mod tests;
