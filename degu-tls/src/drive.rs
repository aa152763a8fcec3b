//! What a driver needs to make a handshake: no socket, no runtime.
//!
//! A driver takes [`ServerTls::accept`](crate::ServerTls::accept) or [`ClientTls::connect`](crate::ClientTls::connect) for
//! each connection, which is the policy at that moment, and then goes one of two ways.
//!
//! - **[`Handshake`]** owns the rustls connection and reads and writes whatever implements [`Read`] and [`Write`]: a
//!   blocking socket, or a wrapper around `try_read` and `try_write` of a non-blocking one. [`Handshake::advance`] is
//!   called until it is [`Progress::Done`], [`Handshake::finish`] gives the connection and the peer.
//! - **[`Noted`]**, for a handshake that somebody else drives, such as tokio-rustls: the future is wrapped, and what it
//!   gives goes to [`Judge::finish`] or [`Judge::fault`].
//!
//! A handshake that fails leaves an alert to be written: [`Handshake::advance`] tries to. To be sure that the peer reads
//! it, the driver shuts down its writing side and goes on to read for a while before it closes. Under TLS 1.3 a client
//! is done before the server has judged it: the refusal comes in place of the first response, and [`Judge::fault`]
//! makes the error of it, too.
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

use std::fmt;
use std::io::{self, ErrorKind, Read, Write};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use rustls::time_provider::TimeProvider;
use rustls::{ClientConfig, ClientConnection, CommonState, Connection, HandshakeKind, ServerConfig, ServerConnection};
use rustls_pki_types::ServerName;

use crate::error::{Blame, Error, Kind, alert_name};
use crate::note::{self, Outcome};
use crate::peer::PeerIdentity;
use crate::policy::{self, HTTP_1_1, Options};
use crate::verify::{Side, Verifier, kind_of};

/// A server's policy for one connection.
#[derive(Clone, Debug)]
pub struct Accept {
    /// For `rustls::ServerConnection` or an acceptor of another crate.
    pub config: Arc<ServerConfig>,
    /// Says who the client is.
    pub judge: Judge,
}

impl Accept {
    /// A handshake that has not begun.
    ///
    /// # Errors
    ///
    /// rustls can not make the connection, for want of random numbers ([`Kind::System`]).
    pub fn handshake(self) -> Result<Handshake, Error> {
        match ServerConnection::new(self.config) {
            Ok(connection) => Ok(Handshake::new(connection.into(), self.judge)),
            Err(error) => Err(self.judge.fault(error, Note::default())),
        }
    }
}

/// A client's policy for one connection.
#[derive(Clone, Debug)]
pub struct Connect {
    /// For `rustls::ClientConnection` or a connector of another crate.
    pub config: Arc<ClientConfig>,
    /// To be given to rustls with it. Where the policy checks no name, it is a stand-in.
    pub name: ServerName<'static>,
    /// Says who the server is.
    pub judge: Judge,
}

impl Connect {
    /// A handshake that has not begun.
    ///
    /// # Errors
    ///
    /// rustls can not make the connection, for want of random numbers ([`Kind::System`]).
    pub fn handshake(self) -> Result<Handshake, Error> {
        match ClientConnection::new(self.config, self.name) {
            Ok(connection) => Ok(Handshake::new(connection.into(), self.judge)),
            Err(error) => Err(self.judge.fault(error, Note::default())),
        }
    }
}

/// Whether there is more to do.
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
    note: Note,
}

impl Handshake {
    fn new(connection: Connection, judge: Judge) -> Self {
        Self { connection, judge, note: Note::default() }
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
        if note.0.is_some() {
            self.note = note;
        }
        result.map(drop).map_err(|error| {
            self.write_alert(io);
            self.judge.fault(error, std::mem::take(&mut self.note))
        })
    }

    /// A peer that refuses us sends an alert and closes: our writing fails, but what it said can be read.
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

    /// Whether the socket must become writable before there is progress; otherwise it must become readable.
    pub fn wants_write(&self) -> bool {
        self.connection.wants_write()
    }

    /// The connection, and who is at its other end; `None` if the policy asks for no certificate.
    ///
    /// # Errors
    ///
    /// The peer of a resumed session is no longer trusted, `require_alpn` is set and no protocol was agreed on, or the
    /// handshake is not done. The connection must be closed without a word: nothing that came over it may be read.
    pub fn finish(self) -> Result<(Connection, Option<Arc<PeerIdentity>>), Error> {
        let peer = self.judge.finish(&self.connection, self.note)?;
        Ok((self.connection, peer))
    }
}

/// Says who the peer of a connection is, and makes errors of what rustls reports.
#[derive(Clone)]
pub struct Judge {
    /// None if the peer needs no certificate.
    verifier: Option<Arc<Verifier>>,
    peer: Side,
    name: Option<ServerName<'static>>,
    require_alpn: bool,
    clock: Arc<dyn TimeProvider>,
}

impl fmt::Debug for Judge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Judge").field("peer", &self.peer).field("name", &self.name).finish_non_exhaustive()
    }
}

impl Judge {
    pub(crate) fn new(
        verifier: Option<Arc<Verifier>>,
        peer: Side,
        name: Option<ServerName<'static>>,
        options: &Options,
    ) -> Self {
        debug_assert!(verifier.as_ref().is_none_or(|verifier| verifier.peer() == peer));
        Self { verifier, peer, name, require_alpn: options.require_alpn, clock: options.clock.clone() }
    }

    /// Who the peer is, once the handshake is done; `None` if the policy asks for no certificate.
    ///
    /// rustls asks no verifier about a resumed session: its certificate is judged again here, at the time of now. So is
    /// one whose note is missing or is not of this policy and this chain.
    ///
    /// # Errors
    ///
    /// As for [`Handshake::finish`].
    pub fn finish(&self, connection: &CommonState, note: Note) -> Result<Option<Arc<PeerIdentity>>, Error> {
        let Some(kind) = connection.handshake_kind().filter(|_| !connection.is_handshaking()) else {
            return Err(Error::caller(Kind::Protocol, "the handshake is not done"));
        };
        if self.require_alpn && connection.alpn_protocol() != Some(HTTP_1_1) {
            return Err(no_alpn(self.peer));
        }
        let Some(verifier) = &self.verifier else { return Ok(None) };
        let Some(chain @ [leaf, intermediates @ ..]) = connection.peer_certificates() else {
            return Err(self.no_certificate());
        };
        if let Some(Outcome::Accepted { by, peer }) = note.0
            && kind != HandshakeKind::Resumed
            && by == verifier.id()
            && peer.chain() == chain
        {
            return Ok(Some(peer));
        }
        let now = policy::now(&*self.clock)?;
        match verifier.judge(leaf, intermediates, self.name.as_ref(), now) {
            Ok(peer) => Ok(Some(Arc::new(peer))),
            Err(refusal) => Err(verifier.explain(&refusal, leaf, intermediates)),
        }
    }

    /// The error for what rustls reports, during the handshake or after it. An alert after it, in place of the first
    /// response, is how a client learns under TLS 1.3 that it was refused.
    pub fn fault(&self, error: rustls::Error, note: Note) -> Error {
        use rustls::Error as E;
        if let Some(Outcome::Refused(refused)) = note.0 {
            return refused.with_source(error);
        }
        let peer = self.peer;
        let (kind, what) = match &error {
            E::AlertReceived(alert) => {
                let what = format!("the {peer} refused us: {}", alert_name(*alert));
                let alert = *alert;
                return Error::peer(Kind::Refused, what).with_alert(alert).with_source(error);
            }
            E::NoCertificatesPresented => return self.no_certificate().with_source(error),
            // Certificates are refused with a note; what is left is the proof that the key is held.
            E::InvalidCertificate(certificate) => {
                (kind_of(certificate), format!("the {peer} did not prove that it holds its key ({certificate})"))
            }
            E::PeerIncompatible(what) => {
                (Kind::Incompatible, format!("the {peer} can not come to terms with us: {}", words(what)))
            }
            E::PeerMisbehaved(what) => (Kind::Protocol, format!("the {peer} broke the protocol: {}", words(what))),
            E::NoApplicationProtocol => (Kind::Alpn, format!("the {peer} offers other application protocols only")),
            E::FailedToGetCurrentTime | E::FailedToGetRandomBytes | E::EncryptError | E::HandshakeNotComplete => {
                return Error::new(Kind::System, Blame::System, error.to_string()).with_source(error);
            }
            error => (Kind::Protocol, format!("the {peer} broke the protocol ({error})")),
        };
        Error::peer(kind, what).with_source(error)
    }

    /// The error for what a driver of another crate reports, which wraps rustls's error.
    pub fn io_fault(&self, error: io::Error, note: Note) -> Error {
        if error.kind() == ErrorKind::UnexpectedEof && error.get_ref().is_none_or(|inner| !inner.is::<rustls::Error>())
        {
            return self.closed();
        }
        match error.downcast::<rustls::Error>() {
            Ok(error) => self.fault(error, note),
            Err(error) => self.io(error),
        }
    }

    fn no_certificate(&self) -> Error {
        Error::peer(Kind::NoCertificate, format!("the {} sent no certificate", self.peer))
    }

    fn closed(&self) -> Error {
        Error::peer(Kind::Closed, format!("the {} closed the connection in the middle of the handshake", self.peer))
    }

    fn io(&self, error: io::Error) -> Error {
        let what = format!("the connection to the {} broke in the handshake: {error}", self.peer);
        Error::new(Kind::Io, Blame::System, what).with_source(error)
    }
}

/// rustls's names for what it found are sentences without spaces.
fn words(name: impl fmt::Debug) -> String {
    let name = format!("{name:?}");
    let mut text = String::new();
    let mut before = None;
    for character in name.chars() {
        if character.is_ascii_uppercase() && before.is_some_and(|before: char| !before.is_ascii_uppercase()) {
            text.push(' ');
        }
        text.push(character.to_ascii_lowercase());
        before = Some(character);
    }
    text.replace("tls12", "TLS 1.2").replace("tls13", "TLS 1.3").replace("or13", "or 1.3")
}

pub(crate) fn no_alpn(peer: Side) -> Error {
    Error::peer(Kind::Alpn, format!("the {peer} names no application protocol"))
}

/// What the verifier said while a connection was driven.
#[derive(Debug, Default)]
#[must_use]
pub struct Note(Option<Outcome>);

/// Does something that may make rustls verify a certificate, and gives what the verifier said beside its result.
///
/// It must drive one connection only.
pub fn noted<T>(drive: impl FnOnce() -> T) -> (T, Note) {
    // What another connection left, whose driver does not take its notes.
    drop(note::take());
    let result = drive();
    (result, Note(note::take()))
}

/// A future that drives one handshake; gives what the verifier said beside its result.
///
/// The note is taken after every poll, so that handshakes may interleave on a thread and move between threads.
///
/// # Cancel safety
///
/// That of the inner future.
#[derive(Debug)]
#[must_use = "futures do nothing unless polled"]
pub struct Noted<F> {
    future: F,
    note: Note,
}

impl<F: Future + Unpin> Noted<F> {
    /// Wraps a future.
    pub fn new(future: F) -> Self {
        Self { future, note: Note::default() }
    }
}

impl<F: Future + Unpin> Future for Noted<F> {
    type Output = (F::Output, Note);

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let (poll, note) = noted(|| Pin::new(&mut self.future).poll(cx));
        if note.0.is_some() {
            self.note = note;
        }
        poll.map(|output| (output, std::mem::take(&mut self.note)))
    }
}
