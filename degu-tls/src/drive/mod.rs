//! Handshakes and the bytes after them, for drivers: without a socket, without a runtime.
//!
//! A driver takes [`ServerTls::accept`](crate::ServerTls::accept) or [`ClientTls::connect`](crate::ClientTls::connect) for
//! each connection, which is the policy at that moment. [`Handshake`] then owns the rustls connection and reads and writes
//! whatever implements [`Read`] and [`Write`]: a blocking socket, or a wrapper around `try_read` and `try_write` of a
//! non-blocking one. [`Handshake::advance`] is called until it is [`Progress::Done`]; [`Handshake::secure`] then gives a
//! [`Secured`] to read and write bytes with, and [`Handshake::finish`] the bare connection and the peer.
//!
//! A handshake that fails leaves an alert to be written: [`Handshake::advance`] tries to. To be sure that the peer reads
//! it, the driver shuts down its writing side and goes on to read for a while before it closes. Under TLS 1.3 a client
//! is done before the server has judged it: the refusal comes in place of the first response, and [`Secured::read`] makes
//! the error of it, too.
//!
//! ```
//! use std::io;
//! use degu_tls::{ServerTls, drive::Progress};
//!
//! fn accept(tls: &ServerTls, mut socket: impl io::Read + io::Write) -> Result<(), degu_tls::Error> {
//!     let mut handshake = tls.accept().handshake()?;
//!     while handshake.advance(&mut socket)? == Progress::Blocked {
//!         // Wait for the socket: `handshake.wants_write()` says for what.
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
    /// The configuration for a `rustls::ServerConnection` that is driven without a [`Handshake`]. Its client is not
    /// identified.
    pub config: Arc<ServerConfig>,
    pub(crate) judge: Judge,
}

impl Accept {
    /// Returns a handshake that has not begun.
    ///
    /// # Errors
    ///
    /// rustls cannot make the connection, for want of random numbers ([`Kind::System`]).
    pub fn handshake(self) -> Result<Handshake, Error> {
        Handshake::new(ServerConnection::new(self.config), self.judge)
    }
}

/// A client's policy for one connection.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Connect {
    /// The configuration for a `rustls::ClientConnection` that is driven without a [`Handshake`].
    pub config: Arc<ClientConfig>,
    /// The name to give to rustls with it. Where the policy checks no name, it is a stand-in.
    pub name: ServerName<'static>,
    pub(crate) judge: Judge,
}

impl Connect {
    /// Returns a handshake that has not begun.
    ///
    /// # Errors
    ///
    /// rustls cannot make the connection, for want of random numbers ([`Kind::System`]).
    pub fn handshake(self) -> Result<Handshake, Error> {
        Handshake::new(ClientConnection::new(self.config, self.name), self.judge)
    }
}

/// The state of a handshake after [`Handshake::advance`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// The handshake is done, and all of it was written.
    Done,
    /// The socket would block, or its timeout passed.
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

    /// Reads and writes until the handshake is done or the socket would block. To be called again after it was
    /// [`Progress::Blocked`], and not after an error.
    ///
    /// # Errors
    ///
    /// The peer is refused, refuses us ([`Kind::Refused`]), breaks the protocol, or gives up ([`Kind::Closed`]); the
    /// socket fails ([`Kind::Io`]). The alert for the peer, if there is one, has been written as far as the socket took
    /// it; if [`wants_write`](Self::wants_write), the rest waits for [`write_alert`](Self::write_alert).
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
        // The flight with the certificate is one of several.
        self.note = note.or(self.note.take());
        result.map(drop).map_err(|error| {
            self.write_alert(io);
            self.judge.fault(error, self.note.take())
        })
    }

    /// Returns the error for a write that failed. A peer that refuses us sends an alert and closes, so that the alert can
    /// still be read.
    fn why(&mut self, io: &mut (impl Read + Write), error: io::Error) -> Error {
        while matches!(self.connection.read_tls(io), Ok(1..)) {
            if let Err(said) = self.process(io) {
                return said;
            }
        }
        self.judge.io(error)
    }

    /// Writes what is left of an alert, as far as the socket takes it.
    pub fn write_alert(&mut self, io: &mut impl Write) {
        // The peer is refused already; one that does not take the reason does without it.
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
    /// The peer of a resumed session is no longer trusted, `require_alpn` is set and no protocol was agreed on, or the
    /// handshake is not done. The connection must be closed without a further byte: nothing that came over it may be read.
    pub fn finish(self) -> Result<(Connection, Option<Arc<PeerIdentity>>), Error> {
        let peer = self.judge.finish(&self.connection, self.note)?;
        Ok((self.connection, peer))
    }
}

#[cfg(all(test, any(feature = "ring", feature = "aws-lc-rs")))]
mod tests;
