//! Two ends of a connection in one thread.

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

/// One end of a connection: it would block when there is nothing to read, and ends when the other end is dropped.
pub(crate) struct Pipe {
    incoming: Rc<RefCell<Half>>,
    outgoing: Rc<RefCell<Half>>,
    /// The most bytes that one read gives.
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

/// Input that reaches a handshake.
pub(crate) enum End {
    Ours(Box<Handshake>),
    /// rustls as it is, with what no policy of ours would do.
    Raw(Box<Connection>),
    /// Bytes that are sent at once.
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

/// The outcome of one end.
#[derive(Debug)]
pub(crate) enum Ended {
    Peer(Option<Arc<PeerIdentity>>, HandshakeKind),
    Error(Error),
    /// Of rustls as it is.
    Raw(Result<(), degu_tls::rustls::Error>),
    /// The bytes that came back.
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

/// An end that is driven.
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

    /// Goes on as far as it can.
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

    /// Done as far as this end can tell: who is there? And what if the other end has refused us meanwhile?
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

/// Reads all that is there; the error is what the peer says in place of bytes.
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

/// Reads all that is there, and writes all that is to be written.
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

/// Joins two ends: what became of the client, and of the server.
pub(crate) fn join(client: End, server: End) -> (Ended, Ended) {
    join_slowly(client, server, usize::MAX)
}

/// The same, with so many bytes a read.
pub(crate) fn join_slowly(client: End, server: End, at_most: usize) -> (Ended, Ended) {
    let (mut near, mut far) = Pipe::pair();
    (near.at_most, far.at_most) = (at_most, at_most);
    let (mut client, mut server) = (Driven::new(client, near), Driven::new(server, far));
    // Each round is a flight; a handshake has four at most.
    for _ in 0..8 {
        client.step();
        server.step();
    }
    // The server first: a client reads what it was sent after its handshake.
    let server = server.finish();
    (client.finish(), server)
}
