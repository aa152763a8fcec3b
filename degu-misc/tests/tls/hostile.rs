//! Bytes that no peer in order sends, at every stage of a connection.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use degu_client::{Client, Timeout, blocking};
use degu_misc::TempPki;
use degu_server::{Address, Body, Chunk, Handle, IntoResponse, Request, Session};
use degu_tls::ClientTls;
use degu_tls::error::Kind;
use degu_tls::rustls::crypto::cipher::{OutboundChunks, OutboundPlainMessage};
use degu_tls::rustls::{Connection, ConnectionTrafficSecrets, ContentType, ProtocolVersion};

use super::kit::{
    Bare, CLIENT, DEADLINE, End, PATIENCE, REQUEST, SECOND, Version, ask, ask_async, both, client, hello, one_thread,
    run, serve, socket, until, who,
};

/// Bytes without any order, the same in every run.
fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    (0..length).map(|_| next()).collect()
}

/// Sends these bytes and returns the answer up to the end of the connection, which has to come.
fn answer(server: &Handle, bytes: &[u8], shut: bool) -> Vec<u8> {
    let mut socket = socket(server.address());
    // The server may have had enough before all of it was sent.
    let _ = socket.write_all(bytes);
    if shut {
        let _ = socket.shutdown(Shutdown::Write);
    }
    let mut answer = Vec::new();
    if let Err(error) = socket.read_to_end(&mut answer) {
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    }
    answer
}

/// Asserts that the server is unharmed: nothing has panicked, no request was seen, and a well-behaved client is served.
fn assert_unharmed(server: Handle, pki: &TempPki) {
    assert_eq!((server.stats().requests, server.stats().failures), (0, 0));
    for answer in both(&client(server.address(), &pki.client_tls())) {
        assert_eq!(answer.unwrap(), CLIENT);
    }
    server.shutdown_blocking();
}

/// A ClientHello of TLS 1.1: its version, random bytes, no session, two suites, no compression, and these extensions.
fn hello_of_tls_1_1(extensions: &[u8]) -> Vec<u8> {
    let suites = [0, 4, 0xc0, 0x09, 0xc0, 0x13];
    let body = [&[3, 2][..], &[9; 32], &[0], &suites, &[1, 0, 0, extensions.len() as u8], extensions].concat();
    let message = [&[1, 0, 0, body.len() as u8][..], &body].concat();
    [&[22, 3, 1, 0, message.len() as u8][..], &message].concat()
}

#[test]
fn tls_1_1_is_told_that_it_is_too_old() {
    let pki = TempPki::new();
    let server = serve(one_thread(), &pki.server_tls(), who);
    // signature_algorithms, of TLS 1.2: where that is missing it is missed before the version is looked at.
    for (extensions, alert) in [(&[0, 13, 0, 4, 0, 2, 4, 3][..], 70), (&[], 40)] {
        let told = answer(&server, &hello_of_tls_1_1(extensions), false);
        assert_eq!(told, [21, 3, 3, 0, 2, 2, alert], "protocol_version or handshake_failure");
    }
    until(|| server.stats().handshake_failures == 2);
    assert_unharmed(server, &pki);
}

#[test]
fn garbage_in_place_of_a_greeting() {
    let pki = TempPki::new();
    let server = serve(one_thread(), &pki.server_tls(), who);
    let hello = hello(&pki.client_tls());
    let mut greetings: Vec<Vec<u8>> = (1..60).map(|seed| noise(seed, 50 * seed as usize)).collect();
    greetings.extend([
        // Of SSL 2, of the wrong types, longer than a record may be, none, a message that is longer than any.
        vec![0x80, 0x2e, 1, 0, 2, 0, 0x15, 0, 0, 0, 0x10],
        vec![20, 3, 3, 0, 1, 1],
        vec![23, 3, 3, 0, 3, 1, 2, 3],
        vec![22, 3, 3, 0xff, 0xff],
        [22, 3, 1, 0, 0].repeat(200),
        vec![22, 3, 1, 0, 4, 1, 0xff, 0xff, 0xff],
        // A first greeting, and a second one.
        [&hello[..], &hello].concat(),
    ]);
    for greeting in &greetings {
        answer(&server, greeting, true);
    }
    // Half closed anywhere in the greeting.
    for end in (0..hello.len()).step_by(7) {
        answer(&server, &hello[..end], true);
    }
    // And bytes of it that are others.
    for at in (0..hello.len()).step_by(3) {
        let mut greeting = hello.clone();
        greeting[at] ^= noise(at as u64, 1)[0] | 1;
        answer(&server, &greeting, true);
    }
    assert_unharmed(server, &pki);
}

/// A socket that spoils what is written to it, or how.
struct Spoiling<F> {
    socket: TcpStream,
    spoil: F,
    written: usize,
}

impl<F: FnMut(usize, &[u8]) -> Vec<Vec<u8>>> Spoiling<F> {
    fn handshake(server: &Handle, tls: &ClientTls, spoil: F) -> Result<Bare, degu_tls::Error> {
        let mut spoiling = Self { socket: socket(server.address()), spoil, written: 0 };
        spoiling.socket.set_nodelay(true).unwrap();
        let mut handshake = tls.connect(Some("localhost"), "x").unwrap().handshake().unwrap();
        handshake.advance(&mut spoiling)?;
        Ok(Bare { connection: handshake.finish()?.0, socket: spoiling.socket })
    }
}

impl<F> Read for Spoiling<F> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        self.socket.read(bytes)
    }
}

impl<F: FnMut(usize, &[u8]) -> Vec<Vec<u8>>> Write for Spoiling<F> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        for piece in (self.spoil)(self.written, bytes) {
            self.socket.write_all(&piece)?;
        }
        self.written += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The same message, in records of one byte (RUSTSEC-2024-0399 was about such a greeting).
fn in_small_records(record: &[u8]) -> Vec<u8> {
    record[5..].iter().flat_map(|byte| [record[0], record[1], record[2], 0, 1, *byte]).collect()
}

#[test]
fn small_fragments_make_a_handshake_all_the_same() {
    let pki = TempPki::new();
    let server = serve(one_thread(), &pki.server_tls(), who);
    for version in Version::BOTH {
        let tls = version.client_tls(&pki);
        let bytes = |_: usize, bytes: &[u8]| bytes.chunks(1).map(Vec::from).collect();
        let records =
            |before: usize, bytes: &[u8]| vec![if before == 0 { in_small_records(bytes) } else { bytes.to_vec() }];
        let both = |before: usize, bytes: &[u8]| records(before, bytes)[0].chunks(1).map(Vec::from).collect();
        let bares = [
            Spoiling::handshake(&server, &tls, bytes).unwrap(),
            Spoiling::handshake(&server, &tls, records).unwrap(),
            Spoiling::handshake(&server, &tls, both).unwrap(),
        ];
        for mut bare in bares {
            bare.send(REQUEST);
            bare.read_until(CLIENT);
            bare.close();
            assert_eq!(bare.rest(), (String::new(), End::Told), "{version:?}");
        }
    }
    assert_eq!((server.stats().failures, server.stats().handshake_failures), (0, 0));
}

#[test]
fn a_handshake_that_is_spoilt_is_none() {
    let pki = TempPki::new();
    let server = serve(one_thread(), &pki.server_tls(), who);
    for version in Version::BOTH {
        let tls = version.client_tls(&pki);
        let greeting = hello(&tls).len();
        // What follows the greeting is 300 bytes at least: a certificate, and what proves that the key is there.
        for at in (0..300).step_by(11) {
            let spoil = |before: usize, bytes: &[u8]| {
                let mut bytes = bytes.to_vec();
                if let Some(byte) = (greeting + at).checked_sub(before).and_then(|at| bytes.get_mut(at)) {
                    *byte ^= 1;
                }
                vec![bytes]
            };
            // A client of TLS 1.3 is done before it is judged.
            if let Ok(mut bare) = Spoiling::handshake(&server, &tls, spoil) {
                bare.connection.writer().write_all(REQUEST.as_bytes()).unwrap();
                let _ = bare.connection.write_tls(&mut bare.socket);
                let (text, end) = bare.rest();
                assert!(text.is_empty() && end != End::Told, "{version:?}, {at}: {text}, {end:?}");
            }
        }
    }
    assert_unharmed(server, &pki);
}

/// An alert that says close_notify, in clear text.
const CLOSE_NOTIFY: [u8; 7] = [21, 3, 3, 0, 2, 1, 0];

#[test]
fn close_notify_in_a_handshake_makes_nobody_spin() {
    // RUSTSEC-2024-0336 was a loop without an end, while the socket stays open. Nobody can have proved who said it.
    let pki = TempPki::new();
    let server = serve(one_thread().handshake_timeout(DEADLINE), &pki.server_tls(), who);
    let mut sockets = Vec::new();
    for version in Version::BOTH {
        let hello = hello(&version.client_tls(&pki));
        for before in [&[][..], &hello[..hello.len() / 2], &hello] {
            let mut socket = socket(server.address());
            socket.write_all(&[before, &CLOSE_NOTIFY].concat()).unwrap();
            sockets.push(socket);
        }
    }
    // On the same thread.
    assert_eq!(ask(&client(server.address(), &pki.client_tls()).into()).unwrap(), CLIENT);
    for mut socket in sockets {
        socket.read_to_end(&mut Vec::new()).unwrap();
    }
    until(|| server.stats().deadlines + server.stats().handshake_failures == 6);

    for (shut, kind) in [(true, Some(Kind::Closed)), (false, None)] {
        let server = Scripted::new(&[&CLOSE_NOTIFY], shut);
        let limit = if shut { PATIENCE } else { Some(Duration::from_millis(200)) };
        let options = Client::options().tls(pki.client_tls()).connect_timeout(limit);
        for refused in both(&options.client(&server.0)) {
            let error = refused.unwrap_err();
            assert_eq!(error.tls().map(degu_tls::Error::kind), kind, "{error}");
            assert_eq!(error.timeout().is_some(), !shut);
        }
    }
}

#[test]
fn garbage_after_a_handshake_is_no_request() {
    let pki = TempPki::new();
    let server = serve(one_thread(), &pki.server_tls(), who);
    for version in Version::BOTH {
        for (bytes, told) in [
            ([&[23, 3, 3, 0, 40][..], &noise(1, 40)].concat(), true),
            (REQUEST.as_bytes().to_vec(), true),
            (vec![23, 3, 3, 0xff, 0xff], true),
            (hello_of_tls_1_1(&[]), true),
            (vec![22, 3, 3, 0, 4, 0, 0, 0, 0], true),
            // A record that does not come whole: an end like any other, between two requests.
            (vec![23, 3, 3, 0, 40, 1, 2, 3], false),
        ] {
            let mut bare = Bare::connect(server.address(), &version.client_tls(&pki));
            bare.socket.write_all(&bytes).unwrap();
            bare.socket.shutdown(Shutdown::Write).unwrap();
            let (text, end) = bare.rest();
            assert_eq!((text.as_str(), matches!(end, End::Alert(_))), ("", told), "{version:?}, {bytes:?}: {end:?}");
        }
    }
    assert_unharmed(server, &pki);
}

#[test]
fn keys_may_change_at_any_time() {
    let pki = TempPki::new();
    let server = serve(one_thread(), &pki.server_tls(), who);
    let mut bare = Bare::connect(server.address(), &Version::Tls13.client_tls(&pki));
    for _ in 0..50 {
        bare.connection.refresh_traffic_keys().unwrap();
        bare.send(REQUEST);
        bare.read_until(CLIENT);
    }
    // But not without a word between.
    for _ in 0..1000 {
        bare.connection.refresh_traffic_keys().unwrap();
    }
    bare.connection.writer().write_all(REQUEST.as_bytes()).unwrap();
    // The server may have had enough before all of it was sent.
    while bare.connection.wants_write() && bare.connection.write_tls(&mut bare.socket).is_ok() {}
    assert_eq!(bare.rest().0, "");
}

#[test]
fn a_response_that_nobody_takes() {
    async fn endless(_: &mut Session, _: Request<'_>) -> impl IntoResponse + use<> {
        let chunk = vec![b'x'; 64 * 1024];
        Body::try_unfold(chunk, async |chunk| Ok(Some((Chunk::new(chunk.clone()), chunk))))
    }
    let pki = TempPki::new();
    let options = one_thread().progress(1024, SECOND).tls(pki.server_tls());
    // Over TCP the kernel's user timeout would also end the connection.
    let server = options.bind(Address::ABSTRACT, endless).unwrap().spawn().unwrap();
    let mut connection = blocking::Client::from(client(server.address(), &pki.client_tls())).connect().unwrap();
    let mut response = connection.get("/").unwrap();
    until(|| server.stats().deadlines == 1);
    let error = response.body.read_all(usize::MAX).unwrap_err();
    assert_eq!(io::Error::from(error).kind(), ErrorKind::UnexpectedEof);
}

/// Returns a function that encrypts the further records of a client. A connection of rustls sends no record without data.
fn encrypter(connection: Connection) -> impl FnMut(&[u8]) -> Vec<u8> {
    let suite = connection.negotiated_cipher_suite().and_then(|suite| suite.tls13()).unwrap();
    let (mut sequence, secrets) = connection.dangerous_extract_secrets().unwrap().tx;
    let ConnectionTrafficSecrets::Aes256Gcm { key, iv } = secrets else { panic!("{suite:?}") };
    let mut encrypter = suite.aead_alg.encrypter(key, iv);
    move |data| {
        let (typ, version) = (ContentType::ApplicationData, ProtocolVersion::TLSv1_3);
        let record = OutboundPlainMessage { typ, version, payload: OutboundChunks::Single(data) };
        sequence += 1;
        encrypter.encrypt(record, sequence - 1).unwrap().encode()
    }
}

#[test]
fn records_without_data_are_few() {
    let pki = TempPki::new();
    let server = serve(one_thread(), &pki.server_tls(), who);
    let mut connect = pki.client_tls().connect(Some("localhost"), "x").unwrap();
    Arc::make_mut(&mut connect.config).enable_secret_extraction = true;
    let Bare { connection, mut socket } = Bare::new(connect.handshake().unwrap(), socket(server.address()));
    let mut encrypt = encrypter(connection);
    let mut send = |records: usize, data: &str| {
        let records: Vec<u8> = (0..records).flat_map(|_| encrypt(b"")).collect();
        socket.write_all(&[records, encrypt(data.as_bytes())].concat()).unwrap();
    };
    for requests in 1..4 {
        send(32, REQUEST);
        until(|| server.stats().requests == requests);
    }
    send(33, REQUEST);
    until(|| server.stats().gone == 1);
    assert_eq!(server.stats().requests, 3);
    for answer in both(&client(server.address(), &pki.client_tls())) {
        assert_eq!(answer.unwrap(), CLIENT);
    }
}

#[test]
fn a_record_that_drips_has_the_time_of_an_idle_connection() {
    let pki = TempPki::new();
    // Longer than it takes until a connection gives up what it holds, and sleeps: every byte wakes it.
    let server = serve(one_thread().idle_timeout(DEADLINE), &pki.server_tls(), who);
    let mut bare = Bare::connect(server.address(), &pki.client_tls());
    bare.socket.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
    // A record of 16 KiB.
    bare.socket.write_all(&[23, 3, 3, 0x40, 0]).unwrap();
    let mut bytes = [0; 4096];
    let ended = (0..2_000).any(|_| {
        let _ = bare.socket.write(&[0]);
        match bare.socket.read(&mut bytes) {
            // Tickets, or close_notify.
            Ok(read) => read == 0,
            Err(error) => !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted),
        }
    });
    assert!(ended && server.stats().deadlines == 1);
}

#[test]
fn connects_that_are_given_up_give_their_place_back() {
    let pki = TempPki::new();
    let options = one_thread().max_connections(8).handshake_timeout(None);
    let server = serve(options, &pki.server_tls(), who);
    let client = client(server.address(), &pki.client_tls());
    run(async {
        for moment in 0..40 {
            let moment = Duration::from_micros(100 * moment);
            let _ = tokio::time::timeout(moment, client.connect()).await;
            let _ = tokio::time::timeout(moment, ask_async(&client)).await;
        }
        assert_eq!(ask_async(&client).await.unwrap(), CLIENT);
    });
    assert_eq!(server.stats().failures, 0);
}

/// A server that says the same to everybody, whatever it hears, and then waits for the end, or makes one.
struct Scripted(Address, std::sync::Arc<AtomicBool>);

impl Scripted {
    fn new(pieces: &[&[u8]], shut: bool) -> Self {
        let listener = TcpListener::bind("[::1]:0").unwrap();
        let address = Address::from(listener.local_addr().unwrap());
        let over = std::sync::Arc::new(AtomicBool::new(false));
        let (pieces, ended) = (pieces.concat(), over.clone());
        std::thread::spawn(move || {
            while let Ok((mut socket, _)) = listener.accept()
                && !ended.load(Relaxed)
            {
                let _ = socket.write_all(&pieces);
                if shut {
                    let _ = socket.shutdown(Shutdown::Write);
                }
                let _ = io::copy(&mut socket, &mut io::sink());
            }
        });
        Self(address, over)
    }
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.1.store(true, Relaxed);
        let _ = TcpStream::connect(std::net::SocketAddr::try_from(&self.0).unwrap());
    }
}

#[test]
fn clients_survive_what_servers_say_in_a_handshake() {
    let pki = TempPki::new();
    let tls = pki.client_tls();
    let mut sayings: Vec<(Vec<u8>, Option<Kind>)> =
        (1..20).map(|seed| (noise(seed, 50 * seed as usize), None)).collect();
    sayings.extend([
        (Vec::new(), Some(Kind::Closed)),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(), Some(Kind::Protocol)),
        (vec![21, 3, 3, 0, 2, 2, 40], Some(Kind::Refused)),
        (vec![22, 3, 3, 0xff, 0xff], Some(Kind::Protocol)),
        (vec![22, 3, 3, 0, 4, 2, 0, 0, 0], Some(Kind::Protocol)),
        (hello(&tls), Some(Kind::Protocol)),
        (vec![22, 3, 3, 0, 40, 2], Some(Kind::Closed)),
    ]);
    for (said, kind) in sayings {
        let server = Scripted::new(&[&said], true);
        for refused in both(&client(&server.0, &tls)) {
            let error = refused.unwrap_err();
            let found = error.tls().map(degu_tls::Error::kind);
            assert!(found.is_some() && kind.is_none_or(|kind| found == Some(kind)), "{said:?}: {error}, {found:?}");
            // A handshake that is cut refuses nothing: the server may have been about to restart.
            assert_eq!(error.is_retryable(), found == Some(Kind::Closed), "{said:?}: {error}");
        }
    }
}

#[test]
fn clients_wait_for_a_handshake_no_longer_than_for_a_connection() {
    let pki = TempPki::new();
    let limit = Duration::from_millis(200);
    for said in [&[][..], &[22, 3, 3, 0x40, 0, 2, 0]] {
        let server = Scripted::new(&[said], false);
        let options = Client::options().tls(pki.client_tls()).connect_timeout(Some(limit));
        for refused in both(&options.client(&server.0)) {
            assert_eq!(refused.unwrap_err().timeout(), Some(Timeout::Connect(limit)));
        }
    }
}

#[test]
fn garbage_in_a_response_is_never_a_body() {
    let pki = TempPki::new();
    for version in Version::BOTH {
        let listener = TcpListener::bind("[::1]:0").unwrap();
        let address = Address::from(listener.local_addr().unwrap());
        let tls = pki.server_tls();
        let heads = ["", "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nsome", "HTTP/1.1 200 OK\r\n\r\nsome"];
        let server = std::thread::spawn(move || {
            for head in heads.into_iter().flat_map(|head| [head, head]) {
                let mut bare = Bare::accept(&listener, &tls);
                bare.read_until("\r\n\r\n");
                bare.send(head);
                bare.socket.write_all(&[&[23, 3, 3, 0, 40][..], &noise(7, 40)].concat()).unwrap();
                bare.socket.shutdown(Shutdown::Write).unwrap();
                let _ = io::copy(&mut bare.socket, &mut io::sink());
            }
        });
        let client = client(&address, &version.client_tls(&pki));
        let blocking = client.clone().into();
        for head in heads {
            for spoilt in [ask(&blocking), run(ask_async(&client))] {
                let error = spoilt.unwrap_err();
                let found = error.tls().map(degu_tls::Error::kind);
                assert_eq!(found, Some(Kind::Protocol), "{version:?}, {head:?}: {error}");
            }
        }
        server.join().unwrap();
    }
}
