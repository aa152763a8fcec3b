//! A connection after its handshake: data, the end of data, and faults.

use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::sync::Arc;

use crate::kit::pipe::{Pipe, pump};
use crate::kit::{Cert, Clock, Version};
use crate::table::raw;
use degu_tls::drive::{Progress, Secured};
use degu_tls::error::Kind;
use degu_tls::rustls::crypto::CryptoProvider;
use degu_tls::rustls::crypto::cipher::{OutboundChunks, OutboundPlainMessage};
use degu_tls::rustls::{
    CipherSuiteCommon, Connection, ConnectionTrafficSecrets, ContentType, ProtocolVersion, ServerConnection,
    SupportedCipherSuite, Tls12CipherSuite, Tls13CipherSuite,
};
use degu_tls::{ClientTls, ServerTls};

/// One side of a connection, with its end of the pipe. The pipe takes a given number of bytes and then would block.
struct End {
    secured: Secured,
    pipe: Pipe,
    room: usize,
    writes: usize,
}

/// Makes a handshake. If `known` is false, the client has no certificate and the server refuses it.
fn pair_with(version: Version, known: bool) -> (End, Result<End, degu_tls::Error>) {
    pair_over(version.provider(), known)
}

fn pair_over(provider: Arc<CryptoProvider>, known: bool) -> (End, Result<End, degu_tls::Error>) {
    let root = Cert::root("Root");
    let builder = ServerTls::builder(root.leaf("host", &|_| {}).identity()).require_clients(root.ca_set("root"));
    let server = builder.clock(Clock::now()).build_with(provider.clone()).unwrap();
    let builder = ClientTls::private(root.ca_set("root")).clock(Clock::now());
    let builder = if known { builder.identity(root.leaf("device", &|_| {}).identity()) } else { builder };
    let client = builder.build_with(provider).unwrap();
    let (mut near, mut far) = Pipe::pair();
    let mut client = client.connect(Some("host.example"), "x").unwrap().handshake().unwrap();
    let mut server = server.accept().handshake().unwrap();
    let done = loop {
        let ours = client.advance(&mut near);
        match (ours.unwrap(), server.advance(&mut far)) {
            (Progress::Done, Ok(Progress::Done)) => break Ok(()),
            (_, Err(error)) => break Err(error),
            _ => {}
        }
    };
    let end = |secured, pipe| End { secured, pipe, room: usize::MAX, writes: 0 };
    let server = done.map(|()| end(server.secure().unwrap(), far));
    (end(client.secure().unwrap(), near), server)
}

fn pair(version: Version) -> (End, End) {
    let (client, server) = pair_with(version, true);
    (client, server.unwrap())
}

struct Narrow<'e>(&'e mut Pipe, &'e mut usize, &'e mut usize);

impl Read for Narrow<'_> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        self.0.read(bytes)
    }
}

impl Write for Narrow<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let fits = bytes.len().min(*self.1);
        if fits == 0 {
            return Err(ErrorKind::WouldBlock.into());
        }
        (*self.1, *self.2) = (*self.1 - fits, *self.2 + 1);
        self.0.write(&bytes[..fits])
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl End {
    fn write(&mut self, pieces: [&[u8]; 3]) -> io::Result<usize> {
        self.secured.write(&mut Narrow(&mut self.pipe, &mut self.room, &mut self.writes), &pieces.map(IoSlice::new))
    }

    fn close(&mut self) -> io::Result<()> {
        self.secured.close(&mut Narrow(&mut self.pipe, &mut self.room, &mut self.writes))
    }

    /// Reads at most `most` bytes.
    fn read(&mut self, most: usize) -> io::Result<Vec<u8>> {
        let mut all = Vec::new();
        let mut io = Narrow(&mut self.pipe, &mut self.room, &mut self.writes);
        let read = self.secured.read(&mut io, |bytes| {
            let fits = bytes.len().min(most - all.len());
            all.extend_from_slice(&bytes[..fits]);
            fits
        })?;
        assert_eq!(read, all.len());
        Ok(all)
    }

    /// Reads all data up to the end, and returns it with the error that ended it, if any.
    fn read_all(&mut self) -> (Vec<u8>, Option<ErrorKind>) {
        let mut all = Vec::new();
        loop {
            match self.read(usize::MAX) {
                Ok(bytes) if bytes.is_empty() => return (all, None),
                Ok(bytes) => all.extend(bytes),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return (all, Some(error.kind())),
            }
        }
    }
}

fn tls_error(error: io::Error) -> Kind {
    assert_eq!(error.kind(), ErrorKind::InvalidData);
    error.downcast::<degu_tls::Error>().unwrap().kind()
}

#[test]
fn bytes_go_both_ways() {
    for version in Version::BOTH {
        let (mut client, mut server) = pair(version);
        assert_eq!(client.secured.peer().unwrap().ca(), Some("root"));
        assert_eq!(server.secured.peer().unwrap().dns_names().collect::<Vec<_>>(), ["device.example"]);
        assert!(!server.secured.has_input());
        for pieces in [[&b"head "[..], b"and ", b"body"], [b"", b"head and body", b""], [b"head and ", b"", b"body"]] {
            assert_eq!(client.write(pieces).unwrap(), 13);
            assert_eq!(client.writes, 1, "one record, one write");
            client.writes = 0;
            // A caller may take a part of a record.
            assert_eq!(server.read(4).unwrap(), b"head");
            assert!(server.secured.has_input());
            assert_eq!(server.read(100).unwrap(), b" and body");
            assert!(!server.secured.has_input());
            assert_eq!(server.read_all(), (Vec::new(), Some(ErrorKind::WouldBlock)));
        }
        assert_eq!(server.write([b"answer", b"", b""]).unwrap(), 6);
        assert_eq!(client.read_all(), (b"answer".to_vec(), Some(ErrorKind::WouldBlock)));
        assert_eq!(client.write([b"", b"", b""]).unwrap(), 0);
        // Empty pieces do not count for the limit of pieces.
        let many: Vec<&[u8]> = (0..40).map(|n| if n % 2 == 0 { &b""[..] } else { &b"x"[..] }).collect();
        let many: Vec<IoSlice<'_>> = many.into_iter().map(IoSlice::new).collect();
        let End { secured, pipe, room, writes, .. } = &mut client;
        assert_eq!(secured.write(&mut Narrow(pipe, room, writes), &many).unwrap(), 17);
        assert_eq!(server.read_all(), (vec![b'x'; 17], Some(ErrorKind::WouldBlock)));
        assert_eq!(server.read_all(), (Vec::new(), Some(ErrorKind::WouldBlock)));
    }
}

#[test]
fn much_goes_in_several_writes() {
    let (mut client, mut server) = pair(Version::Tls13);
    let body: Vec<u8> = (0..200_000_u32).map(|n| n as u8).collect();
    let (mut sent, mut received) = (0, Vec::new());
    while sent < body.len() {
        let (left, right) = body[sent..].split_at((body.len() - sent) / 2);
        let written = client.write([left, right, b""]).unwrap();
        assert!(written > 0 && written <= 64 * 1024);
        sent += written;
        received.extend(server.read_all().0);
    }
    assert_eq!(received, body);
}

#[test]
fn what_would_block_comes_again_and_is_sent_once() {
    for version in Version::BOTH {
        let (mut client, mut server) = pair(version);
        let body: Vec<u8> = (0..30_000_u32).map(|n| (n / 7) as u8).collect();
        let (mut sent, mut received, mut blocked) = (0, Vec::new(), 0);
        while sent < body.len() {
            client.room = 1500;
            match client.write([&body[sent..], b"", b""]) {
                Ok(written) => sent += written,
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::WouldBlock);
                    blocked += 1;
                }
            }
            received.extend(server.read_all().0);
        }
        assert!(received == body && blocked > 0, "{version:?}: {} of {}", received.len(), body.len());
        // After a write that would block, the next writes are small.
        client.room = 0;
        let portion = client.write([&body, b"", b""]).unwrap_err();
        assert_eq!(portion.kind(), ErrorKind::WouldBlock);
        client.room = usize::MAX;
        assert!(client.write([&body, b"", b""]).unwrap() < body.len());
    }
}

#[test]
fn an_end_is_told_once() {
    for version in Version::BOTH {
        let (mut client, mut server) = pair(version);
        client.write([b"last", b"", b""]).unwrap();
        client.room = 0;
        assert_eq!(client.close().unwrap_err().kind(), ErrorKind::WouldBlock);
        client.room = usize::MAX;
        client.close().unwrap();
        client.writes = 0;
        client.close().unwrap();
        assert_eq!(client.writes, 0);
        assert_eq!(server.read_all(), (b"last".to_vec(), None));
        assert!(server.secured.has_input(), "the end is input");
        assert_eq!(server.read_all(), (Vec::new(), None), "it stays the end");
        // The other direction still works.
        server.write([b"answer", b"", b""]).unwrap();
        assert_eq!(client.read_all().0, b"answer");
    }
}

#[test]
fn an_end_that_was_not_told_is_none() {
    for version in Version::BOTH {
        let (mut client, mut server) = pair(version);
        client.write([b"half", b"", b""]).unwrap();
        client.pipe.close();
        assert_eq!(server.read_all(), (b"half".to_vec(), Some(ErrorKind::UnexpectedEof)), "{version:?}");
        assert!(server.secured.has_input());
        assert_eq!(server.read_all(), (Vec::new(), Some(ErrorKind::UnexpectedEof)));
    }
}

#[test]
fn a_record_that_is_not_whole_interrupts() {
    let (mut client, mut server) = pair(Version::Tls13);
    client.write([b"whole", b"", b""]).unwrap();
    server.pipe.at_most = 7;
    let mut interrupted = 0;
    while let Err(error) = server.read(100) {
        assert_eq!(error.kind(), ErrorKind::Interrupted);
        assert!(!server.secured.has_input());
        interrupted += 1;
    }
    assert!(interrupted > 0);
}

/// A NewSessionTicket (RFC 8446 §4.6.1): its type and length, lifetime, age_add, nonce, ticket, no extensions.
const TICKET: &[u8] = &[4, 0, 0, 15, 0, 0, 1, 0, 0, 0, 0, 0, 1, 7, 0, 1, 7, 0, 0];

/// Returns records with these contents, as a server sends them after its handshake.
fn records<'p>(server: ServerConnection, contents: impl Iterator<Item = (ContentType, &'p [u8])>) -> Vec<u8> {
    use ConnectionTrafficSecrets::{Aes128Gcm, Aes256Gcm, Chacha20Poly1305};
    let Some(SupportedCipherSuite::Tls13(suite)) = server.negotiated_cipher_suite() else { panic!("not TLS 1.3") };
    let (first, secrets) = server.dangerous_extract_secrets().unwrap().tx;
    let (Aes128Gcm { key, iv } | Aes256Gcm { key, iv } | Chacha20Poly1305 { key, iv }) = secrets else {
        panic!("an unknown cipher suite")
    };
    let mut encrypter = suite.aead_alg.encrypter(key, iv);
    let version = ProtocolVersion::TLSv1_3;
    let record = |(number, (typ, content))| {
        let content = OutboundPlainMessage { typ, version, payload: OutboundChunks::Single(content) };
        encrypter.encrypt(content, number).unwrap().encode()
    };
    // aws-lc-rs encrypts only records whose numbers begin at 0. The client has already received the first records.
    let received = (0..first).map(|_| (ContentType::Handshake, TICKET));
    (0..).zip(received.chain(contents)).map(record).skip(first as usize).flatten().collect()
}

/// Sends records with these contents to a client. Returns the error of the client, and the number of bytes that it has read.
fn send<'p>(contents: impl Iterator<Item = (ContentType, &'p [u8])>) -> (io::Error, usize) {
    let root = Cert::root("Root");
    let host = root.leaf("host", &|_| {});
    let mut config = raw::server_config(Version::Tls13, host.chain(), &host.key);
    config.enable_secret_extraction = true;
    let mut server = Connection::from(ServerConnection::new(config.into()).unwrap());
    let client = ClientTls::private(root.ca_set("root")).clock(Clock::now());
    let client = client.build_with(Version::Tls13.provider()).unwrap();
    let (mut near, mut far) = Pipe::pair();
    let mut handshake = client.connect(Some("host.example"), "x").unwrap().handshake().unwrap();
    while handshake.advance(&mut near).unwrap() != Progress::Done || server.is_handshaking() {
        pump(&mut server, &mut far).unwrap();
    }
    let mut client = handshake.secure().unwrap();
    let Connection::Server(server) = server else { unreachable!() };
    let records = records(server, contents);
    let mut read = 0;
    loop {
        far.write_all(&records[read..read + 410]).unwrap();
        read += 410;
        match client.read(&mut near, <[u8]>::len) {
            Ok(1..) => {}
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            other => break (other.unwrap_err(), read),
        }
    }
}

#[test]
fn a_message_in_too_many_records_is_a_fault_of_the_server() {
    let begin = [(ContentType::ApplicationData, &b"x"[..]), (ContentType::Handshake, &[4, 0, 0x75, 0x30])];
    let rest = (0..4000).map(|_| (ContentType::Handshake, &[7][..]));
    let (error, read) = send(begin.into_iter().chain(rest));
    assert_eq!(error.to_string(), "the server sent a handshake message in too many TLS records");
    assert_eq!(tls_error(error), Kind::Protocol);
    assert!((60_000..70_000).contains(&read), "{read}");
}

#[test]
fn server_sends_too_many_records_without_data() {
    let (error, read) = send((0..2000).map(|_| (ContentType::Handshake, TICKET)));
    assert_eq!(error.to_string(), "the server sent over 64 KiB of TLS records without data");
    assert_eq!(tls_error(error), Kind::Protocol);
    assert!((60_000..70_000).contains(&read), "{read}");
}

#[test]
fn bytes_before_a_fault_are_given_first() {
    for version in Version::BOTH {
        let (mut client, mut server) = pair(version);
        client.write([b"in order", b"", b""]).unwrap();
        client.pipe.write_all(&[&[23, 3, 3, 0, 40][..], &[7; 40]].concat()).unwrap();
        assert_eq!(server.read(2).unwrap(), b"in");
        assert_eq!(server.read(100).unwrap(), b" order");
        assert!(server.secured.has_input(), "the fault is input");
        for _ in 0..2 {
            assert_eq!(tls_error(server.read(100).unwrap_err()), Kind::Protocol, "{version:?}");
        }
        assert_eq!(tls_error(server.write([b"answer", b"", b""]).unwrap_err()), Kind::Protocol);
        // The server has sent an alert.
        assert_eq!(tls_error(client.read(100).unwrap_err()), Kind::Refused);
        // The server sends no close_notify after the alert, because the client could take it for a regular end.
        server.writes = 0;
        server.close().unwrap();
        assert_eq!(server.writes, 0);
    }
}

#[test]
fn who_is_refused_reads_it_in_place_of_the_answer() {
    let (mut client, server) = pair_with(Version::Tls13, false);
    assert_eq!(server.err().map(|error| error.kind()), Some(Kind::NoCertificate));
    client.write([b"a request", b"", b""]).unwrap();
    assert_eq!(tls_error(client.read(100).unwrap_err()), Kind::Refused);
    assert!(format!("{:?}", client.secured).starts_with("Secured { peer: Some("));
}

/// Returns a provider for one version whose keys may encrypt only a few records.
fn short_lived_keys(version: Version, confidentiality_limit: u64) -> Arc<CryptoProvider> {
    let mut provider = (*version.provider()).clone();
    for suite in &mut provider.cipher_suites {
        *suite = match *suite {
            SupportedCipherSuite::Tls12(whole) => {
                let common = CipherSuiteCommon { confidentiality_limit, ..whole.common };
                let Tls12CipherSuite { prf_provider, kx, sign, aead_alg, .. } = *whole;
                let short = Tls12CipherSuite { common, prf_provider, kx, sign, aead_alg };
                SupportedCipherSuite::Tls12(Box::leak(Box::new(short)))
            }
            SupportedCipherSuite::Tls13(whole) => {
                let common = CipherSuiteCommon { confidentiality_limit, ..whole.common };
                let Tls13CipherSuite { hkdf_provider, aead_alg, quic, .. } = *whole;
                let short = Tls13CipherSuite { common, hkdf_provider, aead_alg, quic };
                SupportedCipherSuite::Tls13(Box::leak(Box::new(short)))
            }
        };
    }
    provider.into()
}

#[test]
fn data_is_not_lost_when_the_keys_are_used_up() {
    for version in Version::BOTH {
        let (mut client, server) = pair_over(short_lived_keys(version, 20), true);
        let mut server = server.unwrap();
        let mut sent = 0;
        let end = loop {
            match client.write([b"message", b"", b""]) {
                Ok(written) => sent += written,
                Err(error) => break Some(error.downcast::<degu_tls::Error>().unwrap().kind()),
            }
            if sent > 1000 {
                break None;
            }
        };
        let received = server.read_all();
        assert_eq!((received.0.len(), received.1), (sent, Some(ErrorKind::WouldBlock)));
        // In TLS 1.3, rustls changes the keys.
        assert_eq!(end, (version == Version::Tls12).then_some(Kind::System));
    }
}
