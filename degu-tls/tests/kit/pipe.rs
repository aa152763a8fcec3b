//! A connection in memory, with both ends in one thread.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::rc::Rc;
use std::sync::Arc;

use degu_tls::drive::{Handshake, Progress, Secured};
use degu_tls::rustls::{ClientConfig, ClientConnection, Connection, HandshakeKind, ServerConfig, ServerConnection};
use degu_tls::{ClientTls, Error, PeerIdentity, ServerTls};

#[derive(Default)]
struct Half {
    bytes: VecDeque<u8>,
    closed: bool,
}

/// One end of a connection in memory. A read fails with `WouldBlock` if there are no bytes. It returns 0 after the other end
/// was dropped.
pub(crate) struct Pipe {
    incoming: Rc<RefCell<Half>>,
    outgoing: Rc<RefCell<Half>>,
    /// The most bytes that one read returns.
    pub(crate) at_most: usize,
}

impl Pipe {
    pub(crate) fn pair() -> (Self, Self) {
        let (one, two) = (Rc::<RefCell<Half>>::default(), Rc::default());
        let end = |incoming: &Rc<_>, outgoing: &Rc<_>| Self {
            incoming: Rc::clone(incoming),
            outgoing: Rc::clone(outgoing),
            at_most: usize::MAX,
        };
        (end(&one, &two), end(&two, &one))
    }

    pub(crate) fn close(&self) {
        self.outgoing.borrow_mut().closed = true;
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        self.close();
    }
}

impl Read for Pipe {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut half = self.incoming.borrow_mut();
        if half.bytes.is_empty() {
            return if half.closed { Ok(0) } else { Err(io::ErrorKind::WouldBlock.into()) };
        }
        let most = self.at_most.min(buffer.len());
        half.bytes.read(&mut buffer[..most])
    }
}

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut half = self.outgoing.borrow_mut();
        half.bytes.extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// One side of a handshake.
pub(crate) enum End {
    Ours(Box<Handshake>),
    /// A bare connection of rustls, which can do things that no policy of degu-tls would do.
    Raw(Box<Connection>),
    /// A peer that sends these bytes at once.
    Bytes(Vec<u8>),
}

pub(crate) fn server(tls: &ServerTls) -> End {
    End::Ours(Box::new(tls.accept().handshake().unwrap()))
}

pub(crate) fn client(tls: &ClientTls, name: Option<&str>) -> End {
    let connect = tls.connect(name, "the test's address").unwrap();
    End::Ours(Box::new(connect.handshake().unwrap()))
}

pub(crate) fn raw_server(config: Arc<ServerConfig>) -> End {
    End::Raw(Box::new(ServerConnection::new(config).unwrap().into()))
}

pub(crate) fn raw_client(config: Arc<ClientConfig>, name: &str) -> End {
    End::Raw(Box::new(ClientConnection::new(config, name.to_owned().try_into().unwrap()).unwrap().into()))
}

/// The result of a handshake at one end.
#[derive(Debug)]
pub(crate) enum Ended {
    Peer(Option<Arc<PeerIdentity>>, HandshakeKind),
    Error(Error),
    /// The result of a bare connection of rustls.
    Raw(Result<(), degu_tls::rustls::Error>),
    /// The bytes that the other end sent.
    Bytes(Vec<u8>),
}

impl Ended {
    pub(crate) fn peer(self) -> (Option<Arc<PeerIdentity>>, HandshakeKind) {
        match self {
            Self::Peer(peer, kind) => (peer, kind),
            other => panic!("no success: {other:?}"),
        }
    }

    pub(crate) fn error(self) -> Error {
        match self {
            Self::Error(error) => error,
            other => panic!("no error: {other:?}"),
        }
    }
}

/// An end and its pipe, while the handshake runs.
struct Driven {
    end: Option<End>,
    pipe: Option<Pipe>,
    done: bool,
    ended: Option<Ended>,
}

impl Driven {
    fn new(end: End, pipe: Pipe) -> Self {
        Self { end: Some(end), pipe: Some(pipe), done: false, ended: None }
    }

    fn fail(&mut self, error: Error) {
        self.ended = Some(Ended::Error(error));
        self.pipe = None;
    }

    /// Continues the handshake until this end needs bytes from the other end.
    fn step(&mut self) {
        let Some(pipe) = &mut self.pipe else { return };
        match self.end.as_mut().expect("is there until it has ended") {
            End::Ours(handshake) if !self.done => match handshake.advance(pipe) {
                Ok(Progress::Blocked) => {}
                Ok(Progress::Done) => self.done = true,
                Err(error) => self.fail(error),
            },
            End::Ours(..) => {}
            End::Raw(connection) => match pump(connection, pipe) {
                Ok(()) => self.done = !connection.is_handshaking(),
                Err(error) => {
                    self.ended = Some(Ended::Raw(Err(error)));
                    self.pipe = None;
                }
            },
            End::Bytes(bytes) => {
                pipe.write_all(bytes).unwrap();
                bytes.clear();
            }
        }
    }

    /// Ends the handshake, and returns the peer's identity. Under TLS 1.3 the other end may have refused this end meanwhile;
    /// then it returns that error.
    fn finish(mut self) -> Ended {
        if let Some(ended) = self.ended {
            return ended;
        }
        let mut pipe = self.pipe.take().expect("not ended");
        match self.end.take().expect("not ended") {
            End::Ours(handshake) if !self.done => panic!("hangs: {handshake:?}"),
            End::Ours(handshake) => match handshake.secure() {
                Ok(mut secured) => {
                    let kind = secured.connection().handshake_kind().unwrap();
                    match drain(&mut secured, &mut pipe) {
                        Ok(()) => Ended::Peer(secured.peer().cloned(), kind),
                        Err(error) => Ended::Error(error),
                    }
                }
                Err(error) => Ended::Error(error),
            },
            End::Raw(mut connection) => Ended::Raw(pump(&mut connection, &mut pipe)),
            End::Bytes(_) => {
                let mut answer = Vec::new();
                let _ = pipe.read_to_end(&mut answer);
                Ended::Bytes(answer)
            }
        }
    }
}

/// Reads all bytes that have arrived. Returns the error if the peer sent an alert in place of bytes.
pub(crate) fn drain(secured: &mut Secured, pipe: &mut Pipe) -> Result<(), Error> {
    loop {
        match secured.read(pipe, <[u8]>::len) {
            Ok(1..) => {}
            Ok(0) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return error.downcast().map_or(Ok(()), Err),
        }
    }
}

/// Reads all bytes that have arrived, and writes all bytes that rustls has.
pub(crate) fn pump(connection: &mut Connection, pipe: &mut Pipe) -> Result<(), degu_tls::rustls::Error> {
    loop {
        while connection.wants_write() {
            connection.write_tls(pipe).unwrap();
        }
        match connection.read_tls(pipe) {
            Ok(1..) => {
                let result = connection.process_new_packets();
                while connection.wants_write() {
                    connection.write_tls(pipe).unwrap();
                }
                result?;
            }
            _ => return Ok(()),
        }
    }
}

/// Makes a handshake between two ends. Returns the results of the client and of the server.
pub(crate) fn join(client: End, server: End) -> (Ended, Ended) {
    join_slowly(client, server, usize::MAX)
}

/// Makes a handshake in which each read returns at most `at_most` bytes.
pub(crate) fn join_slowly(client: End, server: End, at_most: usize) -> (Ended, Ended) {
    let (mut near, mut far) = Pipe::pair();
    (near.at_most, far.at_most) = (at_most, at_most);
    let (mut client, mut server) = (Driven::new(client, near), Driven::new(server, far));
    // Each step sends at most one flight, and a handshake has at most four flights.
    for _ in 0..8 {
        client.step();
        server.step();
    }
    // The server ends first, because a client then reads what the server sent after the handshake.
    let server = server.finish();
    (client.finish(), server)
}
