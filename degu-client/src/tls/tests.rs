//! Tests over a real socket with small buffers.

use std::{net::Ipv4Addr, os::unix::net::UnixStream, sync::Arc, thread, time::Duration};

use degu_tls::drive::Progress;
use degu_tls::{CaSet, ClientTls, Identity, ServerTls};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use socket2::SockRef;

use super::*;
use crate::asynchronous::secure::secure;
use crate::asynchronous::stream::Socket;
use crate::{Client, Connection, ErrorKind as Kind, Timeout, blocking};

fn policies() -> (ServerTls, ClientTls) {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca = Issuer::new(params.clone(), KeyPair::generate().unwrap());
    let ca_set = CaSet::new().add("servers", params.self_signed(ca.key()).unwrap().der().clone());
    let key = KeyPair::generate().unwrap();
    let server = CertificateParams::new(["localhost".to_owned()]).unwrap().signed_by(&key, &ca).unwrap();
    let server = Identity::from_pem(server.pem(), key.serialize_pem()).unwrap();
    let server = ServerTls::builder(server).allow_unauthenticated_clients().build().unwrap();
    (server, ClientTls::private(ca_set).build().unwrap())
}

/// Returns a socket with small buffers. The peer of this socket reads the head of a request, calls `then`, and closes
/// the connection.
fn near(
    server: &ServerTls,
    then: impl FnOnce(&mut Secured, &mut UnixStream) + Send + 'static,
) -> (UnixStream, thread::JoinHandle<()>) {
    let (near, mut far) = UnixStream::pair().unwrap();
    SockRef::from(&near).set_send_buffer_size(1).unwrap();
    near.set_nonblocking(true).unwrap();
    let mut handshake = server.accept().handshake().unwrap();
    let thread = thread::spawn(move || {
        while handshake.advance(&mut far).unwrap() == Progress::Blocked {}
        let mut secured = handshake.secure().unwrap();
        let mut head = Vec::new();
        while !head.windows(4).any(|end| end == b"\r\n\r\n") {
            let read = secured.read(&mut far, |bytes| {
                head.extend_from_slice(bytes);
                bytes.len()
            });
            assert!(!matches!(read, Err(error) if error.kind() != ErrorKind::Interrupted));
        }
        then(&mut secured, &mut far);
    });
    (near, thread)
}

fn blocking_socket(socket: UnixStream) -> blocking::stream::Socket {
    socket.set_nonblocking(false).unwrap();
    let interrupter = blocking::Interrupter::new();
    blocking::stream::Socket::new(interrupter.attach(socket).unwrap(), interrupter, None).unwrap()
}

#[tokio::test]
async fn request_is_not_retryable_once_a_record_was_sent() {
    let (server, client) = policies();
    let client = Client::options().tls(client).server_name("localhost").client((Ipv4Addr::LOCALHOST, 443));
    let address = client.address();
    let handshake = || client.base.settings.handshake(address).unwrap().unwrap();
    let body = vec![b'x'; 1 << 20];

    let (socket, peer) = near(&server, |_, _| {});
    let stream = secure(Socket::new(socket).unwrap(), handshake()).await.unwrap();
    let mut connection = Connection::over(Box::new(stream), Arc::clone(&client.base), address.clone());
    let error = connection.post("/pay", body.clone()).await.unwrap_err();
    assert!(!error.is_retryable(), "{error}");
    peer.join().unwrap();

    let (socket, peer) = near(&server, |_, _| {});
    let socket = blocking_socket(socket);
    let stream = blocking::secure::secure(socket, handshake(), client.base.settings.connect_deadline(None)).unwrap();
    let mut connection = blocking::Connection::over(Box::new(stream), Arc::clone(&client.base), address.clone());
    let error = connection.post("/pay", body).unwrap_err();
    assert!(!error.is_retryable(), "{error}");
    peer.join().unwrap();
}

#[tokio::test]
async fn records_that_drip_do_not_put_off_the_timeout_of_the_exchange() {
    let (server, client) = policies();
    let short = Duration::from_millis(200);
    let client = Client::options().tls(client).server_name("localhost").client((Ipv4Addr::LOCALHOST, 443));
    let address = client.address();
    let handshake = || client.base.settings.handshake(address).unwrap().unwrap();
    let drip = |secured: &mut Secured, far: &mut UnixStream| {
        let mut data: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n";
        let mut records = 0;
        while secured.write(far, &[IoSlice::new(data)]).is_ok() && secured.flush(far).is_ok() {
            data = b"x";
            records += 1;
            thread::sleep(Duration::from_millis(50));
        }
        assert!(records < 1000);
    };

    let (socket, peer) = near(&server, drip);
    let stream = secure(Socket::new(socket).unwrap(), handshake()).await.unwrap();
    let mut connection = Connection::over(Box::new(stream), Arc::clone(&client.base), address.clone());
    connection.set_timeout(short);
    let error = match connection.get("/").await {
        Ok(mut response) => response.body.read_all(1000).await.unwrap_err(),
        // On a slow machine, the timeout may expire before the head arrives.
        Err(error) => error,
    };
    assert_eq!(error.timeout(), Some(Timeout::Exchange(short)));
    peer.join().unwrap();

    let (socket, peer) = near(&server, drip);
    let socket = blocking_socket(socket);
    let stream = blocking::secure::secure(socket, handshake(), client.base.settings.connect_deadline(None)).unwrap();
    let mut connection = blocking::Connection::over(Box::new(stream), Arc::clone(&client.base), address.clone());
    connection.set_timeout(short);
    let error = match connection.get("/") {
        Ok(mut response) => response.body.read_all(1000).unwrap_err(),
        Err(error) => error,
    };
    assert_eq!(error.timeout(), Some(Timeout::Exchange(short)));
    peer.join().unwrap();
}

#[test]
fn a_wait_for_records_is_interrupted() {
    let (server, client) = policies();
    let client = blocking::Client::options().tls(client).server_name("localhost").client((Ipv4Addr::LOCALHOST, 443));
    let address = client.address();
    for head in [&b""[..], b"HTTP/1.1 200 OK\r\n\r\nto the end"] {
        let (says, said) = std::sync::mpsc::channel();
        let (socket, peer) = near(&server, move |secured, far| {
            if !head.is_empty() {
                secured.write(far, &[IoSlice::new(head)]).unwrap();
            }
            says.send(()).unwrap();
            far.read_to_end(&mut Vec::new()).unwrap();
        });
        let handshake = client.base.settings.handshake(address).unwrap().unwrap();
        let stream =
            blocking::secure::secure(blocking_socket(socket), handshake, client.base.settings.connect_deadline(None))
                .unwrap();
        let mut connection = blocking::Connection::over(Box::new(stream), Arc::clone(&client.base), address.clone());
        let interrupter = connection.interrupter().unwrap();
        let waits = thread::spawn(move || connection.get("/")?.body.read_all(100));
        said.recv().unwrap();
        interrupter.interrupt();
        assert!(matches!(waits.join().unwrap().unwrap_err().kind(), Kind::Interrupted));
        peer.join().unwrap();
    }
}

/// A socket whose connection the kernel has given up (`ETIMEDOUT`).
struct GivenUp;

impl Read for GivenUp {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(ErrorKind::TimedOut.into())
    }
}

impl Write for GivenUp {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_timeout_of_the_system_in_a_handshake_is_a_timeout() {
    let client = Client::options().tls(policies().1).server_name("localhost").client((Ipv4Addr::LOCALHOST, 443));
    let address = client.address();
    let mut handshake = client.base.settings.handshake(address).unwrap().unwrap();
    let error = error::Error::connecting(handshake.advance(&mut GivenUp).unwrap_err(), address);
    assert!(error.is_timeout() && error.is_retryable(), "{error}");
    assert_eq!(io::Error::from(error).kind(), ErrorKind::TimedOut);
}
