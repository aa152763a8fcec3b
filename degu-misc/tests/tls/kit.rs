//! Parts shared by the tests: both clients, and a peer that is rustls alone.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use degu_client::{Client, Error, blocking};
use degu_misc::{Leaf, TempPki};
use degu_server::{Address, App, Handle, Options, Request, Server, Session};
use degu_tls::drive::{Handshake, Progress};
use degu_tls::rustls::crypto::{CryptoProvider, ring};
use degu_tls::rustls::{self, AlertDescription, Connection};
use degu_tls::{ClientTls, PeerIdentity, ServerTls};

pub(crate) const SECOND: Option<Duration> = Some(Duration::from_secs(1));
/// For handshakes that do not get on: those that do must be done in it on any machine.
pub(crate) const DEADLINE: Option<Duration> = Some(Duration::from_secs(3));
/// Longer than any machine needs: a test that waits for it has failed.
pub(crate) const PATIENCE: Option<Duration> = Some(Duration::from_secs(60));
/// In clear text or not.
pub(crate) const REQUEST: &str = "GET / HTTP/1.1\r\nhost: localhost\r\n\r\n";

pub(crate) fn ca(peer: Option<&PeerIdentity>) -> &str {
    peer.and_then(PeerIdentity::ca).unwrap_or("nobody")
}

/// The app of most tests: says who asks.
pub(crate) async fn who(session: &mut Session, _: Request<'_>) -> String {
    let name = session.identity().and_then(|peer| peer.dns_names().next());
    format!("{} of {}", name.unwrap_or("nameless"), ca(session.identity()))
}

/// The app's description of the client of a [`TempPki`].
pub(crate) const CLIENT: &str = "client.example of client-ca";

pub(crate) fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

/// A server of one thread, unless the options say otherwise.
pub(crate) fn serve(options: Options, tls: &ServerTls, app: impl App) -> Handle {
    options.tls(tls.clone()).bind(Address::IPV6_LOOPBACK, app).unwrap().spawn().unwrap()
}

pub(crate) fn one_thread() -> Options {
    Server::options().workers(1)
}

pub(crate) fn client(server: &Address, tls: &ClientTls) -> Client {
    Client::options().tls(tls.clone()).server_name("localhost").client(server)
}

/// One connection with one request: what the answer says.
pub(crate) fn ask(client: &blocking::Client) -> Result<String, Error> {
    let text = client.connect()?.get("/")?.body.read_all(1000)?;
    Ok(String::from_utf8_lossy(&text).into())
}

pub(crate) async fn ask_async(client: &Client) -> Result<String, Error> {
    let text = client.connect().await?.get("/").await?.body.read_all(1000).await?;
    Ok(String::from_utf8_lossy(&text).into())
}

/// Returns the results of both clients, the blocking one first.
pub(crate) fn both(client: &Client) -> [Result<String, Error>; 2] {
    [ask(&client.clone().into()), run(ask_async(client))]
}

/// Waits for what another thread is about to do.
#[track_caller]
pub(crate) fn until(done: impl Fn() -> bool) {
    let begun = Instant::now();
    while !done() {
        assert!(Some(begun.elapsed()) < PATIENCE);
        std::thread::yield_now();
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Version {
    Tls12,
    Tls13,
}

impl Version {
    pub(crate) const BOTH: [Self; 2] = [Self::Tls12, Self::Tls13];

    /// A provider that has this version alone.
    pub(crate) fn provider(self) -> Arc<CryptoProvider> {
        let mut provider = ring::default_provider();
        provider.cipher_suites.retain(|suite| suite.tls13().is_some() == (self == Self::Tls13));
        Arc::new(provider)
    }

    /// The client in order, which speaks this version alone.
    pub(crate) fn client_tls(self, pki: &TempPki) -> ClientTls {
        let builder = ClientTls::private(pki.servers()).identity(pki.identity(Leaf::Client));
        builder.build_with(self.provider()).unwrap()
    }
}

/// The end of a connection, as its reader sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// With a close_notify.
    Told,
    /// Without one: whoever ended it may have been somebody else.
    Cut,
    Alert(AlertDescription),
}

/// A connection of rustls as it is, with a socket that blocks.
pub(crate) struct Bare {
    pub(crate) connection: Connection,
    pub(crate) socket: TcpStream,
}

pub(crate) fn socket(address: &Address) -> TcpStream {
    let socket = TcpStream::connect(SocketAddr::try_from(address).unwrap()).unwrap();
    socket.set_read_timeout(PATIENCE).unwrap();
    socket
}

/// The first bytes of a client.
pub(crate) fn hello(tls: &ClientTls) -> Vec<u8> {
    let connect = tls.connect(Some("localhost"), "x").unwrap();
    let mut connection = rustls::ClientConnection::new(connect.config, connect.name).unwrap();
    let mut bytes = Vec::new();
    while connection.wants_write() {
        connection.write_tls(&mut bytes).unwrap();
    }
    bytes
}

impl Bare {
    pub(crate) fn new(mut handshake: Handshake, mut socket: TcpStream) -> Self {
        assert_eq!(handshake.advance(&mut socket).unwrap(), Progress::Done);
        Self { connection: handshake.finish().unwrap().0, socket }
    }

    /// A client whose handshake is done, as far as it can tell.
    pub(crate) fn connect(address: &Address, tls: &ClientTls) -> Self {
        Self::new(tls.connect(Some("localhost"), "x").unwrap().handshake().unwrap(), socket(address))
    }

    /// A server whose handshake is done.
    pub(crate) fn accept(listener: &TcpListener, tls: &ServerTls) -> Self {
        let (socket, _) = listener.accept().unwrap();
        socket.set_read_timeout(PATIENCE).unwrap();
        // What is sent is there when the test goes on.
        socket.set_nodelay(true).unwrap();
        Self::new(tls.accept().handshake().unwrap(), socket)
    }

    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.connection.writer().write_all(bytes.as_ref()).unwrap();
        self.flush();
    }

    pub(crate) fn flush(&mut self) {
        while self.connection.wants_write() {
            self.connection.write_tls(&mut self.socket).unwrap();
        }
    }

    pub(crate) fn close(&mut self) {
        self.connection.send_close_notify();
        self.flush();
    }

    /// Some bytes, or the end.
    fn read(&mut self, bytes: &mut [u8]) -> Result<usize, End> {
        loop {
            match self.connection.reader().read(bytes) {
                Ok(0) => return Err(End::Told),
                Ok(read) => return Ok(read),
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Err(End::Cut),
                Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
            }
            match self.connection.read_tls(&mut self.socket) {
                Ok(_) => match self.connection.process_new_packets() {
                    Ok(_) => {}
                    Err(rustls::Error::AlertReceived(alert)) => return Err(End::Alert(alert)),
                    Err(error) => panic!("{error}"),
                },
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return Err(End::Cut),
                // If the process is stopped and continued, a read with a timeout fails with EINTR.
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => panic!("{error}"),
            }
        }
    }

    /// Everything up to these bytes.
    pub(crate) fn read_until(&mut self, end: &str) -> String {
        let mut text = Vec::new();
        while !text.ends_with(end.as_bytes()) {
            let mut byte = [0];
            assert_eq!(self.read(&mut byte), Ok(1), "{:?}", String::from_utf8_lossy(&text));
            text.push(byte[0]);
        }
        String::from_utf8(text).unwrap()
    }

    /// Everything up to the end.
    pub(crate) fn rest(&mut self) -> (String, End) {
        let mut text = Vec::new();
        let mut bytes = [0; 4096];
        loop {
            match self.read(&mut bytes) {
                Ok(read) => text.extend_from_slice(&bytes[..read]),
                Err(end) => return (String::from_utf8(text).unwrap(), end),
            }
        }
    }
}
