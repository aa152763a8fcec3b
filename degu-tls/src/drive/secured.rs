//! Reading and writing over a connection whose handshake is done.

use std::fmt;
use std::io::{self, BufRead, ErrorKind, IoSlice, Read, Write};
use std::sync::Arc;

use rustls::Connection;

use super::{Handshake, Judge};
use crate::error::Error;
use crate::peer::PeerIdentity;

/// The number of bytes that are encrypted and written together: four records.
const ROOM: usize = 64 * 1024;
/// The number of bytes after a write that the socket did not take at once. The caller then learns sooner how many bytes were
/// taken.
const LITTLE: usize = 4 * 1024;
/// The number of pieces that are encrypted together: as many as a connection of degu-wire returns at once.
const PIECES: usize = 17;

/// A connection whose handshake is done. It reads and writes bytes over any value that implements [`Read`] and
/// [`Write`].
///
/// It suits blocking sockets, and wrappers of non-blocking sockets. Errors of the socket are returned. After
/// [`ErrorKind::WouldBlock`] the driver waits for the socket and calls again.
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
    judge: Judge,
    peer: Option<Arc<PeerIdentity>>,
    /// A fault in the input. The bytes before it are given to the caller first.
    fault: Option<Error>,
    /// The number of bytes that were encrypted and not yet reported to the caller.
    accepted: usize,
    /// The most bytes to encrypt at once.
    room: usize,
}

impl Handshake {
    /// Returns the connection that reads and writes bytes. It knows the peer's identity.
    ///
    /// # Errors
    ///
    /// The errors of [`finish`](Self::finish).
    pub fn secure(self) -> Result<Secured, Error> {
        let judge = self.judge.clone();
        let (connection, peer) = self.finish()?;
        Ok(Secured { connection, judge, peer, fault: None, accepted: 0, room: ROOM })
    }
}

impl Secured {
    /// Returns the peer's identity; `None` if the policy asks for no certificate.
    pub const fn peer(&self) -> Option<&Arc<PeerIdentity>> {
        self.peer.as_ref()
    }

    /// Returns the connection of rustls. It has the TLS version, the cipher suite, and whether a session was resumed.
    pub const fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Calls `take` with received bytes; `take` returns how many of the bytes it took. If there are no received bytes,
    /// it first reads from the socket once. Returns 0 at the end that the peer announced (close_notify).
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::UnexpectedEof`]: the end came without close_notify. A third party may have
    ///   cut the connection.
    /// - [`ErrorKind::Interrupted`]: the bytes that were read are not a whole record, or not for the caller. Call it
    ///   again.
    /// - An [`Error`] inside of [`ErrorKind::InvalidData`]: the peer refuses this side, or violates the protocol.
    /// - What the socket says.
    pub fn read(&mut self, io: &mut (impl Read + Write), mut take: impl FnMut(&[u8]) -> usize) -> io::Result<usize> {
        if let Some(bytes) = self.take(&mut take)? {
            return Ok(bytes);
        }
        if let Some(fault) = &self.fault {
            return Err(io::Error::new(ErrorKind::InvalidData, fault.clone()));
        }
        self.connection.read_tls(io)?;
        if let Err(error) = self.connection.process_new_packets() {
            self.fault = Some(self.judge.fault(error, None));
        }
        // rustls may have an answer to these records, such as an alert. It is written as far as the socket takes it.
        let _ = self.flush(io);
        match (self.take(&mut take)?, &self.fault) {
            (Some(bytes), _) => Ok(bytes),
            (None, Some(fault)) => Err(io::Error::new(ErrorKind::InvalidData, fault.clone())),
            (None, None) => Err(ErrorKind::Interrupted.into()),
        }
    }

    fn take(&mut self, mut take: impl FnMut(&[u8]) -> usize) -> io::Result<Option<usize>> {
        let mut reader = self.connection.reader();
        let mut total = 0;
        loop {
            let (found, taken) = match reader.fill_buf() {
                Ok(bytes) => (bytes.len(), take(bytes).min(bytes.len())),
                Err(_) if total > 0 => return Ok(Some(total)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
                // After a fault, the fault is returned and not the end.
                Err(_) if self.fault.is_some() => return Ok(None),
                Err(error) => return Err(error.kind().into()),
            };
            reader.consume(taken);
            total += taken;
            if taken < found || found == 0 {
                return Ok(Some(total));
            }
        }
    }

    /// Returns whether there are received bytes, or the end, that have not been returned. Then [`read`](Self::read)
    /// does not read from the socket.
    pub fn has_input(&mut self) -> bool {
        self.fault.is_some()
            || !matches!(self.connection.reader().fill_buf(), Err(error) if error.kind() == ErrorKind::WouldBlock)
    }

    /// Writes some of the pieces, and returns the number of bytes. The socket has taken all of these bytes.
    ///
    /// It writes the first 17 pieces that are not empty, and at most 64 KiB of them; less if the socket has little
    /// room. It writes no byte only if all pieces are empty.
    ///
    /// # Errors
    ///
    /// The errors of the socket. After [`ErrorKind::WouldBlock`] the caller must pass the same bytes again, because
    /// they are encrypted already. Other bytes may follow them.
    pub fn write(&mut self, io: &mut impl Write, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        self.flush(io)?;
        if self.accepted == 0 {
            let mut left = self.room;
            let mut taken = [IoSlice::new(&[]); PIECES];
            for (taken, piece) in taken.iter_mut().zip(pieces.iter().filter(|piece| !piece.is_empty())) {
                let piece = &piece[..piece.len().min(left)];
                left -= piece.len();
                *taken = IoSlice::new(piece);
            }
            self.accepted = self.connection.writer().write_vectored(&taken)?;
            if let Err(error) = self.flush(io) {
                self.room = LITTLE;
                return Err(error);
            }
            self.room = (2 * self.room).min(ROOM);
        }
        Ok(std::mem::take(&mut self.accepted))
    }

    /// Returns how many bytes of a write that ended with [`ErrorKind::WouldBlock`] are encrypted already. The caller
    /// does not pass these bytes again, and [`flush`](Self::flush) sends them.
    pub const fn take_accepted(&mut self) -> usize {
        std::mem::replace(&mut self.accepted, 0)
    }

    /// Writes the encrypted bytes that rustls still holds.
    ///
    /// # Errors
    ///
    /// Any error of the socket.
    pub fn flush(&mut self, io: &mut impl Write) -> io::Result<()> {
        while self.connection.wants_write() {
            match self.connection.write_tls(io) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Err(error) if error.kind() != ErrorKind::Interrupted => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }

    /// Announces to the peer that no bytes follow those that were written before (close_notify). Call it again if the
    /// socket would block.
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
