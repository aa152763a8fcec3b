//! A connection after its handshake: reading and writing.

use std::fmt;
use std::io::{self, BufRead, ErrorKind, IoSlice, Read, Write};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use rustls::{Connection, SupportedCipherSuite};

use super::{Handshake, write_all};
use crate::error::{Blame, Error, Kind};
use crate::peer::PeerIdentity;
use crate::verify::Side;

/// The maximum number of bytes in a TLS record.
const RECORD: usize = 16 * 1024;
/// The maximum number of bytes that one write encrypts: four TLS records.
const ROOM: usize = 4 * RECORD;
/// The number of records below the limit of the keys at which data is refused. This reserve is enough for one write, the
/// records of the handshake, and alerts.
const KEPT_BACK: u64 = 16;
/// The number of left records below which keys count as worn. They are enough for a message of 64 MiB.
const WORN: u64 = 4096;
/// The value of [`Secured::room`] after the socket did not take all bytes of a write. Shorter writes tell the caller sooner that
/// the socket takes bytes again.
const LITTLE: usize = 4 * 1024;
/// The maximum number of pieces that one write encrypts. A connection of degu-wire returns at most this number at once.
const PIECES: usize = 17;
/// The maximum number of bytes of TLS records without data that a peer may send before it sends data again. The longest
/// record has 16 KiB. A driver that reads until data arrives would otherwise read for as long as the peer sends such
/// records. Go accepts 16 records.
const WITHOUT_DATA: usize = 64 * 1024;

/// A connection whose handshake is done, for reading and writing bytes over any value that implements [`Read`] and
/// [`Write`]: a blocking socket, or a wrapper of a non-blocking socket.
///
/// Methods return the errors of the socket. After [`ErrorKind::WouldBlock`] the driver waits for the socket and calls
/// the method again.
///
/// ```
/// use std::io::{self, ErrorKind, IoSlice};
/// use std::os::unix::net::UnixStream;
/// use degu_tls::{ClientTls, ServerTls};
/// use degu_tls::drive::{Handshake, Progress, Secured};
///
/// /// Makes the handshake over a socket that blocks.
/// fn secure(mut handshake: Handshake, socket: &mut UnixStream) -> Result<Secured, degu_tls::Error> {
///     while handshake.advance(socket)? == Progress::Blocked {}
///     handshake.secure()
/// }
///
/// /// Reads until the peer announces the end (close_notify).
/// fn read_to_end(secured: &mut Secured, socket: &mut UnixStream) -> io::Result<String> {
///     let mut text = String::new();
///     loop {
///         let read = secured.read(socket, |bytes| {
///             text += &String::from_utf8_lossy(bytes);
///             bytes.len()
///         });
///         match read {
///             Ok(0) => return Ok(text),
///             Err(error) if error.kind() != ErrorKind::Interrupted => return Err(error),
///             _ => {}
///         }
///     }
/// }
///
/// # #[cfg(any(feature = "ring", feature = "aws-lc-rs"))]
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # use degu_tls::{CaSet, Identity};
/// # use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
/// # let mut params = CertificateParams::default();
/// # params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
/// # let ca = Issuer::new(params.clone(), KeyPair::generate()?);
/// # let ca_set = CaSet::new().add("devices", params.self_signed(ca.key())?.der().clone());
/// # let key = KeyPair::generate()?;
/// # let device = CertificateParams::new(["device.example".to_owned()])?.signed_by(&key, &ca)?;
/// # let device = Identity::from_pem(device.pem(), key.serialize_pem())?;
/// let server = ServerTls::builder(device.clone()).require_clients(ca_set.clone()).build()?;
/// let client = ClientTls::private(ca_set).identity(device).build()?;
///
/// let (mut near, mut far) = UnixStream::pair()?;
/// let answering = std::thread::spawn(move || -> Result<(), degu_tls::Error> {
///     let mut secured = secure(server.accept().handshake()?, &mut far)?;
///     let ca = secured.peer().and_then(|peer| peer.ca()).unwrap_or("nobody");
///     let greeting = format!("hello, you of {ca}");
///     secured.write(&mut far, &[IoSlice::new(greeting.as_bytes())]).and_then(|_| secured.close(&mut far)).unwrap();
///     Ok(())
/// });
/// let mut secured = secure(client.connect(Some("device.example"), "a pair of sockets")?.handshake()?, &mut near)?;
/// assert_eq!(read_to_end(&mut secured, &mut near)?, "hello, you of devices");
/// answering.join().expect("does not panic")?;
/// # Ok(())
/// # }
/// # #[cfg(not(any(feature = "ring", feature = "aws-lc-rs")))]
/// # fn main() {}
/// ```
pub struct Secured {
    connection: Connection,
    /// The side of the peer, for errors.
    side: Side,
    peer: Option<Arc<PeerIdentity>>,
    /// A fault in the input. `read` returns the bytes before the fault first.
    fault: Option<Error>,
    /// The number of encrypted bytes that were read from the socket since the last record with data.
    without_data: usize,
    /// The number of bytes that [`write`](Self::write) has encrypted, but not yet reported to the caller.
    accepted: usize,
    /// The number of records that [`write`](Self::write) may still encrypt. The keys of TLS 1.2 wear out: rustls then drops
    /// data, and reports no error. In TLS 1.3, rustls changes the keys.
    records: u64,
    /// The current maximum number of bytes that one write encrypts, between [`LITTLE`] and [`ROOM`].
    room: usize,
    /// The task whose last operation in [`poll_write`](Self::poll_write) is pending, because the socket has no room.
    writer: Option<Waker>,
}

impl Handshake {
    /// Returns the connection that reads and writes bytes. It has the peer's identity.
    ///
    /// # Errors
    ///
    /// The errors of [`finish`](Self::finish).
    pub fn secure(self) -> Result<Secured, Error> {
        let side = self.judge.peer;
        let (connection, peer) = self.finish()?;
        let records = match connection.negotiated_cipher_suite() {
            Some(SupportedCipherSuite::Tls12(suite)) => suite.common.confidentiality_limit.saturating_sub(KEPT_BACK),
            _ => u64::MAX,
        };
        let (fault, without_data, accepted, writer) = (None, 0, 0, None);
        Ok(Secured { connection, side, peer, fault, without_data, accepted, records, room: ROOM, writer })
    }
}

impl Secured {
    /// Returns the peer's identity, or `None` if the policy asks for no certificate.
    pub const fn peer(&self) -> Option<&Arc<PeerIdentity>> {
        self.peer.as_ref()
    }

    /// Returns the connection of rustls. It has the TLS version, the cipher suite, and whether a session was resumed.
    pub const fn connection(&self) -> &Connection {
        &self.connection
    }

    /// If there are no received bytes, first reads once from the socket. Then passes the received bytes to `take`, which
    /// returns how many of them it took. Returns the number of bytes that `take` took. Returns 0 after the peer has
    /// announced the end (close_notify), or if `take` took nothing.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::UnexpectedEof`]: the connection ended without close_notify. A third party may have cut the
    ///   connection.
    /// - [`ErrorKind::Interrupted`]: the bytes from the socket were only a part of a record, or they were a record without
    ///   data. The caller calls `read` again.
    /// - [`ErrorKind::InvalidData`] with an [`Error`] inside: the peer refuses this side, violates the protocol, or has
    ///   sent more than 64 KiB of records without data.
    /// - Any error of the socket.
    pub fn read(&mut self, io: &mut (impl Read + Write), mut take: impl FnMut(&[u8]) -> usize) -> io::Result<usize> {
        if let Some(bytes) = self.take(&mut take)? {
            return Ok(bytes);
        }
        self.check_fault()?;
        match self.connection.read_tls(io) {
            Ok(bytes) => self.without_data += bytes,
            Err(error) if error.kind() == ErrorKind::InvalidData => self.fault = Some(self.side.io(error)),
            Err(error) => return Err(error),
        }
        if let Err(error) = self.connection.process_new_packets() {
            self.fault = Some(self.side.fault(error, None));
        } else if self.without_data > WITHOUT_DATA && self.connection.reader().fill_buf().is_err() {
            let what = format!("the {} sent over 64 KiB of TLS records without data", self.side);
            self.fault = Some(Error::peer(Kind::Protocol, what));
        }
        // rustls may have an answer to the records that were just read, such as an alert. The answer is sent as far as the
        // socket has room. If this write fails, the next write returns the error.
        let _ = self.flush(io);
        match self.take(&mut take)? {
            Some(bytes) => Ok(bytes),
            None => self.check_fault().and(Err(ErrorKind::Interrupted.into())),
        }
    }

    fn check_fault(&self) -> io::Result<()> {
        self.fault.clone().map_or(Ok(()), |fault| Err(io::Error::new(ErrorKind::InvalidData, fault)))
    }

    fn take(&mut self, mut take: impl FnMut(&[u8]) -> usize) -> io::Result<Option<usize>> {
        let mut reader = self.connection.reader();
        let mut total = 0;
        loop {
            let (found, taken) = match reader.fill_buf() {
                Ok(bytes) => (bytes.len(), take(bytes).min(bytes.len())),
                Err(_) if total > 0 => return Ok(Some(total)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
                // After a fault, rustls reports EOF here. `read` returns the fault instead.
                Err(_) if self.fault.is_some() => return Ok(None),
                Err(error) => return Err(error.kind().into()),
            };
            reader.consume(taken);
            total += taken;
            self.without_data = 0;
            if taken < found || found == 0 {
                return Ok(Some(total));
            }
        }
    }

    /// Returns whether [`read`](Self::read) can return without reading from the socket. The result is true if there are
    /// received bytes, or if the connection is known to have ended or to have a fault.
    pub fn has_input(&mut self) -> bool {
        self.fault.is_some()
            || !matches!(self.connection.reader().fill_buf(), Err(error) if error.kind() == ErrorKind::WouldBlock)
    }

    /// Writes bytes from the beginning of `pieces`, and returns their number. The socket has taken all of these bytes.
    ///
    /// One call writes at most 17 pieces, without counting empty pieces, and at most 64 KiB. After a call that failed
    /// because the socket was full, the limit is 4 KiB. Each later call that succeeds doubles the limit, until it is 64
    /// KiB again. The returned number is 0 only if all pieces are empty.
    ///
    /// # Errors
    ///
    /// - The errors of the socket. After [`ErrorKind::WouldBlock`] the caller must pass the same bytes again, because they
    ///   are encrypted already. The caller may add other bytes after them.
    /// - [`ErrorKind::InvalidData`] with an [`Error`] inside, if the peer has refused this side or has violated the protocol.
    /// - [`ErrorKind::Other`] with an [`Error`] inside, if the connection has sent about 16 million records with keys of TLS
    ///   1.2 for AES-GCM. Other keys have no such limit.
    pub fn write(&mut self, io: &mut impl Write, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        self.flush(io)?;
        if self.accepted == 0 {
            self.check_fault()?;
            if self.records == 0 {
                let what = "the keys of the TLS 1.2 connection cannot encrypt more data: make a new connection";
                return Err(io::Error::other(Error::new(Kind::System, Blame::System, what)));
            }
            let mut left = self.room;
            let mut taken = [IoSlice::new(&[]); PIECES];
            for (taken, piece) in taken.iter_mut().zip(pieces.iter().filter(|piece| !piece.is_empty())) {
                let piece = &piece[..piece.len().min(left)];
                left -= piece.len();
                *taken = IoSlice::new(piece);
            }
            self.accepted = self.connection.writer().write_vectored(&taken)?;
            self.records = self.records.saturating_sub(self.accepted.div_ceil(RECORD) as u64);
            if let Err(error) = self.flush(io) {
                self.room = LITTLE;
                return Err(error);
            }
            self.room = (2 * self.room).min(ROOM);
        }
        Ok(std::mem::take(&mut self.accepted))
    }

    /// Returns whether the keys are almost used up, so [`write`](Self::write) will soon fail. The connection should then
    /// not be used for another message. At least 4,000 records of 16 KiB can still be written after the first `true`.
    pub const fn is_worn(&self) -> bool {
        self.records < WORN
    }

    /// Encrypts bytes from the beginning of `pieces`, within the limits of [`write`](Self::write). Writes as many of the
    /// encrypted bytes as the socket takes. Returns the number of bytes that were encrypted. The caller must not pass these
    /// bytes again. [`flush`](Self::flush) writes the rest.
    ///
    /// # Errors
    ///
    /// The errors of the socket. [`ErrorKind::WouldBlock`] means that no byte was encrypted.
    pub fn accept(&mut self, io: &mut impl Write, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        match self.write(io, pieces) {
            Err(error) if error.kind() == ErrorKind::WouldBlock && self.accepted > 0 => {
                Ok(std::mem::take(&mut self.accepted))
            }
            written => written,
        }
    }

    /// Writes the encrypted bytes that rustls still holds.
    ///
    /// # Errors
    ///
    /// Any error of the socket.
    pub fn flush(&mut self, io: &mut impl Write) -> io::Result<()> {
        write_all(&mut self.connection, io)
    }

    /// Calls an operation that writes to a non-blocking socket, such as [`write`](Self::write) or [`flush`](Self::flush).
    /// Turns the error [`ErrorKind::WouldBlock`] into pending. The operation must wake the task when the socket has room.
    pub fn poll_write<R>(
        &mut self,
        cx: &mut Context<'_>,
        operation: impl FnOnce(&mut Self, &mut Context<'_>) -> io::Result<R>,
    ) -> Poll<io::Result<R>> {
        let written = match operation(self, cx) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => Poll::Pending,
            written => Poll::Ready(written),
        };
        self.writer = written.is_pending().then(|| cx.waker().clone());
        written
    }

    /// Returns whether another task waits in [`poll_write`](Self::poll_write). A task that reads must then not write,
    /// because a socket wakes only one task when it has room.
    pub fn has_other_writer(&self, cx: &Context<'_>) -> bool {
        self.writer.as_ref().is_some_and(|writer| !writer.will_wake(cx.waker()))
    }

    /// Announces to the peer that no more bytes follow (close_notify). If the socket would block, the caller calls
    /// `close` again.
    ///
    /// # Errors
    ///
    /// Any error of the socket.
    pub fn close(&mut self, io: &mut impl Write) -> io::Result<()> {
        // rustls sends no second close_notify, and none after an alert.
        self.connection.send_close_notify();
        self.flush(io)
    }
}

impl fmt::Debug for Secured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secured").field("peer", &self.peer).finish_non_exhaustive()
    }
}
