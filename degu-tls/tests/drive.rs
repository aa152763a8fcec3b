//! What drivers rely on: notes that can not be mixed up, sockets that fail, and tokio-rustls.

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::thread;

use crate::kit::pipe::{Pipe, client, join, pump, server};
use crate::kit::{Cert, Clock, Version};
use degu_tls::drive::{Noted, Progress, noted};
use degu_tls::error::{Blame, Kind};
use degu_tls::rustls::{AlertDescription, Connection, HandshakeKind, ServerConnection};
use degu_tls::{ClientTls, ServerTls};
use tokio_rustls::{TlsAcceptor, TlsConnector};

/// Two kinds of clients for one server.
struct Site {
    root: Cert,
    server: ServerTls,
}

impl Site {
    fn new(version: Version) -> Self {
        let root = Cert::root("Root");
        let builder = ServerTls::builder(root.leaf("host", &|_| {}).identity()).require_clients(root.cas("root"));
        let server = builder.clock(Clock::now()).build_with(version.provider()).unwrap();
        Self { root, server }
    }

    fn client(&self, version: Version, cert: &Cert) -> ClientTls {
        let builder = ClientTls::private(self.root.cas("root")).identity(cert.identity());
        builder.clock(Clock::now()).build_with(version.provider()).unwrap()
    }
}

#[test]
fn a_refused_client_reads_why() {
    for version in Version::BOTH {
        let site = Site::new(version);
        let stranger = site.client(version, &Cert::root("Other").leaf("stranger", &|_| {}));
        let (at_client, at_server) = join(client(&stranger, Some("host.example")), server(&site.server));
        assert_eq!(at_server.error().kind(), Kind::UnknownIssuer);
        let error = at_client.error();
        assert_eq!(
            (error.kind(), error.blame(), error.alert()),
            (Kind::Refused, Blame::Peer, Some(AlertDescription::UnknownCA))
        );
        assert_eq!(
            error.explain(),
            "the server refused us: unknown_ca; the peer does not trust the CA of our certificate, misses an \
             intermediate certificate in our PEM file, or can not tell whether it was revoked"
        );
    }
}

#[test]
fn blocking_sockets() {
    for version in Version::BOTH {
        let site = Site::new(version);
        let tls = site.client(version, &site.root.leaf("device", &|_| {}));
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let caller = thread::spawn(move || {
            let mut socket = TcpStream::connect(address).unwrap();
            let mut handshake = tls.connect(Some("host.example"), "loopback").unwrap().handshake().unwrap();
            assert_eq!(handshake.advance(&mut socket).unwrap(), Progress::Done);
            handshake.finish().unwrap().1.unwrap().dns_names().next().map(String::from)
        });
        let (mut socket, _) = listener.accept().unwrap();
        let mut handshake = site.server.accept().handshake().unwrap();
        assert_eq!(handshake.advance(&mut socket).unwrap(), Progress::Done);
        assert_eq!(handshake.finish().unwrap().1.unwrap().ca(), Some("root"));
        assert_eq!(caller.join().unwrap().as_deref(), Some("host.example"));
    }
}

/// Drives a bare connection of rustls against a handshake of ours until both are done.
fn drive(tls: &ClientTls, connection: &mut Connection) -> degu_tls::drive::Note {
    let (mut near, mut far) = Pipe::pair();
    let mut handshake = tls.connect(Some("host.example"), "x").unwrap().handshake().unwrap();
    let mut kept = Default::default();
    for _ in 0..6 {
        handshake.advance(&mut near).unwrap();
        let (result, note) = noted(|| pump(connection, &mut far));
        result.unwrap();
        // The flight with the certificate is one of several.
        if format!("{note:?}") != "Note(None)" {
            kept = note;
        }
    }
    assert!(!connection.is_handshaking());
    kept
}

#[test]
fn a_note_of_somebody_else_is_not_believed() {
    for version in Version::BOTH {
        let site = Site::new(version);
        let (alice, bob) = (site.root.leaf("alice", &|_| {}), site.root.leaf("bob", &|_| {}));
        let accept = site.server.accept();
        let connect = || Connection::from(ServerConnection::new(accept.config.clone()).unwrap());
        let (mut with_alice, mut with_bob) = (connect(), connect());
        let of_alice = drive(&site.client(version, &alice), &mut with_alice);
        let of_bob = drive(&site.client(version, &bob), &mut with_bob);
        // The wrong note, or none: who it is does not change.
        for note in [of_bob, Default::default(), of_alice] {
            let peer = accept.judge.finish(&with_alice, note).unwrap().unwrap();
            assert_eq!(peer.dns_names().collect::<Vec<_>>(), ["alice.example"]);
            assert_eq!(peer.ca(), Some("root"));
        }
        // Nor is one of another policy, for the same chain.
        let others = ServerTls::builder(bob.identity()).require_clients(site.root.cas("strangers")).clock(Clock::now());
        let others = others.build_with(version.provider()).unwrap();
        let mut connection = Connection::from(ServerConnection::new(others.accept().config).unwrap());
        let note = drive(
            &ClientTls::private(site.root.cas("root"))
                .identity(alice.identity())
                .without_name_check()
                .clock(Clock::now())
                .build_with(version.provider())
                .unwrap(),
            &mut connection,
        );
        assert_eq!(accept.judge.finish(&with_alice, note).unwrap().unwrap().ca(), Some("root"));
        // And what is no longer true is not either, without a note.
        let clock = Clock::now();
        let builder = ServerTls::builder(bob.identity()).require_clients(site.root.cas("root")).clock(clock.clone());
        let later = builder.build_with(version.provider()).unwrap().accept();
        clock.set(crate::kit::NOW + 31 * crate::kit::DAY);
        assert_eq!(later.judge.finish(&with_alice, Default::default()).unwrap_err().kind(), Kind::Expired);
    }
}

#[test]
fn a_note_spares_a_second_judgement_but_not_that_of_a_resumed_session() {
    let root = Cert::root("Root");
    let device = root.leaf("device", &|_| {});
    let clock = Clock::now();
    let builder = ServerTls::builder(root.leaf("host", &|_| {}).identity()).require_clients(root.cas("root"));
    let tls = builder.clock(clock.clone()).build_with(Version::Tls12.provider()).unwrap();
    let accept = tls.accept();
    let caller = || {
        let builder = ClientTls::private(root.cas("root")).identity(device.identity()).clock(Clock::now());
        builder.build_with(Version::Tls12.provider()).unwrap()
    };
    let meet = |tls: &ClientTls| {
        let mut connection = Connection::from(ServerConnection::new(accept.config.clone()).unwrap());
        let note = drive(tls, &mut connection);
        (connection, note)
    };
    let returning = caller();
    let (first, note) = meet(&returning);
    let (again, _) = meet(&returning);
    let (_, of_another) = meet(&caller());
    assert_eq!(first.handshake_kind(), Some(HandshakeKind::Full));
    assert_eq!(again.handshake_kind(), Some(HandshakeKind::Resumed));
    clock.set(crate::kit::NOW + 31 * crate::kit::DAY);
    // It was judged when it was sent.
    assert!(accept.judge.finish(&first, note).unwrap().is_some());
    // The same chain, the same policy: still only what was true then.
    assert_eq!(accept.judge.finish(&again, of_another).unwrap_err().kind(), Kind::Expired);
    assert!(format!("{:?}", accept.judge).starts_with("Judge { peer: Client, "));
}

#[test]
fn what_is_not_done_has_no_peer() {
    let site = Site::new(Version::Tls13);
    let handshake = site.server.accept().handshake().unwrap();
    let error = handshake.finish().unwrap_err();
    assert_eq!((error.kind(), error.blame()), (Kind::Protocol, Blame::Caller));
    // A connection that has no certificate of the peer, to a judge who wants one.
    let open = ServerTls::builder(site.root.leaf("host", &|_| {}).identity()).allow_unauthenticated_clients();
    let open = open.clock(Clock::now()).build().unwrap();
    let mut connection = Connection::from(ServerConnection::new(open.accept().config).unwrap());
    let tls = ClientTls::private(site.root.cas("root")).clock(Clock::now()).build().unwrap();
    let _ = drive(&tls, &mut connection);
    assert_eq!(open.accept().judge.finish(&connection, Default::default()).unwrap(), None);
    let error = site.server.accept().judge.finish(&connection, Default::default()).unwrap_err();
    assert_eq!(error.kind(), Kind::NoCertificate);
}

/// A socket with a fault.
struct Faulty<'a> {
    inner: &'a mut Pipe,
    read: Option<io::ErrorKind>,
    write: Option<io::ErrorKind>,
    flush: Option<io::ErrorKind>,
}

impl Read for Faulty<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.read.take() {
            Some(kind) => Err(kind.into()),
            None => self.inner.read(buffer),
        }
    }
}

impl Write for Faulty<'_> {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        match self.write.take() {
            Some(io::ErrorKind::WriteZero) => Ok(0),
            Some(kind) => Err(kind.into()),
            None => self.inner.write(octets),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.flush.take().map_or(Ok(()), |kind| Err(kind.into()))
    }
}

#[test]
fn sockets_that_fail() {
    use io::ErrorKind as E;
    let site = Site::new(Version::Tls13);
    let tls = site.client(Version::Tls13, &site.root.leaf("device", &|_| {}));
    let run = |read, write, flush| {
        let (mut near, _far) = Pipe::pair();
        let mut handshake = tls.connect(Some("host.example"), "x").unwrap().handshake().unwrap();
        assert!(handshake.wants_write());
        let mut faulty = Faulty { inner: &mut near, read, write, flush };
        let first = handshake.advance(&mut faulty).map_err(|error| error.kind());
        (first, handshake.wants_write())
    };
    assert_eq!(run(None, None, None), (Ok(Progress::Blocked), false));
    assert_eq!(run(Some(E::Interrupted), None, None), (Ok(Progress::Blocked), false));
    assert_eq!(run(Some(E::TimedOut), None, None), (Ok(Progress::Blocked), false));
    assert_eq!(run(Some(E::ConnectionReset), None, None), (Err(Kind::Io), false));
    assert_eq!(run(None, Some(E::WouldBlock), None), (Ok(Progress::Blocked), true));
    assert_eq!(run(None, Some(E::TimedOut), None), (Ok(Progress::Blocked), true));
    assert_eq!(run(None, Some(E::Interrupted), None), (Ok(Progress::Blocked), false));
    assert_eq!(run(None, Some(E::WriteZero), None), (Err(Kind::Closed), true));
    assert_eq!(run(None, Some(E::BrokenPipe), None), (Err(Kind::Io), true));
    assert_eq!(run(None, None, Some(E::WouldBlock)), (Ok(Progress::Blocked), false));
    assert_eq!(run(None, None, Some(E::BrokenPipe)), (Err(Kind::Io), false));
}

#[test]
fn an_alert_that_came_before_our_writing_failed_is_read() {
    let site = Site::new(Version::Tls13);
    let tls = site.client(Version::Tls13, &site.root.leaf("device", &|_| {}));
    let (mut near, mut far) = Pipe::pair();
    let mut handshake = tls.connect(Some("host.example"), "x").unwrap().handshake().unwrap();
    far.write_all(&[21, 3, 3, 0, 2, 2, 49]).unwrap();
    far.close();
    let mut faulty = Faulty { inner: &mut near, read: None, write: Some(io::ErrorKind::BrokenPipe), flush: None };
    let error = handshake.advance(&mut faulty).unwrap_err();
    assert_eq!((error.kind(), error.alert()), (Kind::Refused, Some(AlertDescription::AccessDenied)));
}

#[test]
fn close_notify_in_the_middle_ends_it() {
    // RUSTSEC-2024-0336: a loop that never ends.
    let site = Site::new(Version::Tls12);
    let (mut near, mut far) = Pipe::pair();
    far.write_all(&[21, 3, 3, 0, 2, 1, 0]).unwrap();
    far.close();
    let mut handshake = site.server.accept().handshake().unwrap();
    assert_eq!(handshake.advance(&mut near).unwrap_err().kind(), Kind::Closed);
}

#[tokio::test]
async fn handshakes_of_tokio_rustls_interleave() {
    for version in Version::BOTH {
        let site = Site::new(version);
        let names = ["alice", "bob", "carol"];
        let mut servers = Vec::new();
        let mut clients = Vec::new();
        for name in names {
            // Too small for the server's certificate in one go, large enough for the tickets that nobody reads.
            let (near, far) = tokio::io::duplex(600);
            let accept = site.server.accept();
            let acceptor = TlsAcceptor::from(accept.config.clone());
            servers.push((Noted::new(acceptor.accept(far)), accept.judge, None));
            let connect =
                site.client(version, &site.root.leaf(name, &|_| {})).connect(Some("host.example"), "x").unwrap();
            let connector = TlsConnector::from(connect.config.clone());
            clients.push((Noted::new(connector.connect(connect.name, near)), connect.judge, None));
        }
        let mut cx = Context::from_waker(Waker::noop());
        while servers.iter().any(|(_, _, done)| done.is_none()) || clients.iter().any(|(_, _, done)| done.is_none()) {
            // Gives the budget of the task back, without which tokio's sockets are never ready.
            tokio::task::yield_now().await;
            for (future, judge, done) in &mut servers {
                if done.is_none()
                    && let Poll::Ready((stream, note)) = pin!(&mut *future).poll(&mut cx)
                {
                    let stream = stream.unwrap();
                    *done = Some((judge.finish(stream.get_ref().1, note).unwrap().unwrap(), stream));
                }
            }
            for (future, judge, done) in &mut clients {
                if done.is_none()
                    && let Poll::Ready((stream, note)) = pin!(&mut *future).poll(&mut cx)
                {
                    let stream = stream.unwrap();
                    *done = Some((judge.finish(stream.get_ref().1, note).unwrap().unwrap(), stream));
                }
            }
        }
        for (name, ((_, _, server), (_, _, client))) in names.iter().zip(servers.iter().zip(&clients)) {
            let (seen, host) = (&server.as_ref().unwrap().0, &client.as_ref().unwrap().0);
            assert_eq!(seen.dns_names().collect::<Vec<_>>(), [format!("{name}.example")]);
            assert_eq!((seen.ca(), host.ca()), (Some("root"), Some("root")));
        }
    }
}

#[tokio::test]
async fn errors_of_tokio_rustls() {
    let site = Site::new(Version::Tls13);
    let refused = |name: &str, root: &Cert| {
        let tls = ClientTls::private(root.cas("root")).clock(Clock::now()).build().unwrap();
        tls.connect(Some(name), "x").unwrap()
    };
    for (connect, kind) in [
        (refused("other.example", &site.root), Kind::Name),
        (refused("host.example", &Cert::root("Other")), Kind::UnknownIssuer),
    ] {
        let (near, far) = tokio::io::duplex(100);
        let accept = site.server.accept();
        let connector = TlsConnector::from(connect.config.clone());
        let (ours, theirs) = tokio::join!(
            Noted::new(connector.connect(connect.name.clone(), near)),
            Noted::new(TlsAcceptor::from(accept.config.clone()).accept(far)),
        );
        assert_eq!(connect.judge.io_fault(ours.0.unwrap_err(), ours.1).kind(), kind);
        assert_eq!(accept.judge.io_fault(theirs.0.unwrap_err(), theirs.1).kind(), Kind::Refused);
    }
    let judge = site.server.accept().judge;
    let fault = |error: io::Error| judge.io_fault(error, Default::default()).kind();
    assert_eq!(fault(io::ErrorKind::UnexpectedEof.into()), Kind::Closed);
    assert_eq!(fault(io::Error::new(io::ErrorKind::UnexpectedEof, "tls handshake eof")), Kind::Closed);
    assert_eq!(fault(io::ErrorKind::ConnectionReset.into()), Kind::Io);
    let random = degu_tls::rustls::Error::FailedToGetRandomBytes;
    assert_eq!(fault(io::Error::other(random)), Kind::System);
}

#[test]
fn policies_go_to_other_threads() {
    fn check<T: Send + Sync + Clone + 'static>() {}
    check::<ServerTls>();
    check::<ClientTls>();
    check::<Arc<degu_tls::PeerIdentity>>();
    check::<degu_tls::drive::Judge>();
    check::<degu_tls::Error>();
}
