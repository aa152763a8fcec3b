//! The module `drive`: failing sockets, alerts that the peer reads, and handshakes that interleave.

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

use crate::kit::pipe::{Pipe, client, join, server};
use crate::kit::{Cert, Clock, Site, Version};
use degu_tls::drive::Progress;
use degu_tls::error::{Blame, Kind};
use degu_tls::rustls::AlertDescription;
use degu_tls::{ClientTls, ServerTls};

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
            "the server refused the connection: unknown_ca; the peer does not trust the CA of our certificate, needs an \
             intermediate certificate in our PEM file, or cannot find out whether our certificate was revoked"
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
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.write.take() {
            Some(io::ErrorKind::WriteZero) => Ok(0),
            Some(kind) => Err(kind.into()),
            None => self.inner.write(bytes),
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
    assert_eq!(run(Some(E::WouldBlock), None, None), (Ok(Progress::Blocked), false));
    // This is ETIMEDOUT: the connection is dead. A driver that waited for the socket would get no further event.
    assert_eq!(run(Some(E::TimedOut), None, None), (Err(Kind::Io), false));
    assert_eq!(run(Some(E::ConnectionReset), None, None), (Err(Kind::Io), false));
    assert_eq!(run(None, Some(E::WouldBlock), None), (Ok(Progress::Blocked), true));
    assert_eq!(run(None, Some(E::TimedOut), None), (Err(Kind::Io), true));
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
    // RUSTSEC-2024-0336 was a loop that never ended.
    let site = Site::new(Version::Tls12);
    let (mut near, mut far) = Pipe::pair();
    far.write_all(&[21, 3, 3, 0, 2, 1, 0]).unwrap();
    far.close();
    let mut handshake = site.server.accept().handshake().unwrap();
    assert_eq!(handshake.advance(&mut near).unwrap_err().kind(), Kind::Closed);
}

#[test]
fn handshakes_interleave_on_a_thread() {
    for version in Version::BOTH {
        let site = Site::new(version);
        let names = ["alice", "bob", "carol"];
        let mut pairs = names.map(|name| {
            let (mut near, mut far) = Pipe::pair();
            // A certificate needs several reads of this size.
            (near.at_most, far.at_most) = (600, 600);
            let tls = site.client(version, &site.root.leaf(name, &|_| {}));
            let client = tls.connect(Some("host.example"), "x").unwrap().handshake().unwrap();
            (client, near, site.server.accept().handshake().unwrap(), far)
        });
        let mut blocked = true;
        while blocked {
            blocked = false;
            for (client, near, server, far) in &mut pairs {
                blocked |= client.advance(near).unwrap() == Progress::Blocked;
                blocked |= server.advance(far).unwrap() == Progress::Blocked;
            }
        }
        for (name, (client, _, server, _)) in names.iter().zip(pairs) {
            let (seen, host) = (server.finish().unwrap().1.unwrap(), client.finish().unwrap().1.unwrap());
            assert_eq!(seen.dns_names().collect::<Vec<_>>(), [format!("{name}.example")]);
            assert_eq!((seen.ca(), host.ca()), (Some("root"), Some("root")));
        }
    }
}

#[test]
fn policies_go_to_other_threads() {
    fn check<T: Send + Sync + Clone + 'static>() {}
    check::<ServerTls>();
    check::<ClientTls>();
    check::<Arc<degu_tls::PeerIdentity>>();
    check::<degu_tls::Error>();
}

#[test]
fn a_message_in_too_many_records_is_a_fault_of_the_peer() {
    let site = Site::new(Version::Tls13);
    let (mut near, mut far) = Pipe::pair();
    // A ClientHello of 30,000 bytes, in records of one byte. The headers of the records fill the buffer of rustls.
    let hello: Vec<u8> = [1, 0, 0x75, 0x30].into_iter().chain((0..30_000).map(|_| 3)).collect();
    for byte in &hello {
        far.write_all(&[22, 3, 1, 0, 1, *byte]).unwrap();
    }
    let error = site.server.accept().handshake().unwrap().advance(&mut near).unwrap_err();
    assert_eq!((error.kind(), error.blame()), (Kind::Protocol, Blame::Peer), "{error}");
    assert_eq!(error.to_string(), "the client sent a handshake message in too many TLS records");
}

#[test]
fn cas_with_many_names_do_not_disturb_the_handshake() {
    for version in Version::BOTH {
        let root = Cert::root("Root");
        let long = |index| Cert::root(&format!("{}{index}", "x".repeat(1000)));
        let ca_set = (0..80).fold(root.ca_set("root"), |ca_set, index| ca_set.add("other", long(index).der));
        let builder = ServerTls::builder(root.leaf("host", &|_| {}).identity()).require_clients(ca_set);
        let tls = builder.clock(Clock::now()).build_with(version.provider()).unwrap();
        let device = ClientTls::private(root.ca_set("root")).identity(root.leaf("device", &|_| {}).identity());
        let device = device.clock(Clock::now()).build_with(version.provider()).unwrap();
        let (at_client, at_server) = join(client(&device, Some("host.example")), server(&tls));
        assert_eq!(at_server.peer().0.unwrap().ca(), Some("root"), "{version:?}");
        at_client.peer();
    }
}
