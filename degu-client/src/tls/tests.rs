//! What only a socket of the test's own shows.

use std::{net::Ipv4Addr, os::unix::net::UnixStream, sync::Arc, thread};

use degu_tls::{Cas, ClientTls, Identity, ServerTls};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use socket2::SockRef;

use super::*;
use crate::resolve::Until;
use crate::{Client, Connection, blocking};

fn policies() -> (ServerTls, ClientTls) {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca = Issuer::new(params.clone(), KeyPair::generate().unwrap());
    let cas = Cas::new().add("servers", params.self_signed(ca.key()).unwrap().der().clone());
    let key = KeyPair::generate().unwrap();
    let server = CertificateParams::new(["localhost".to_owned()]).unwrap().signed_by(&key, &ca).unwrap();
    let server = Identity::from_pem(server.pem(), key.serialize_pem()).unwrap();
    let server = ServerTls::builder(server).allow_unauthenticated_clients().build().unwrap();
    (server, ClientTls::private(cas).build().unwrap())
}

/// A socket with little room, whose peer reads a head and is gone.
fn near(server: &ServerTls) -> (UnixStream, thread::JoinHandle<()>) {
    let (near, mut far) = UnixStream::pair().unwrap();
    SockRef::from(&near).set_send_buffer_size(1).unwrap();
    near.set_nonblocking(true).unwrap();
    let mut handshake = server.accept().handshake().unwrap();
    let thread = thread::spawn(move || {
        while handshake.advance(&mut far).unwrap() == Progress::Blocked {}
        let mut secured = handshake.secure().unwrap();
        let mut head = Vec::new();
        while !head.windows(4).any(|end| end == b"\r\n\r\n") {
            let read = secured.read(&mut far, |octets| {
                head.extend_from_slice(octets);
                octets.len()
            });
            assert!(!matches!(read, Err(error) if error.kind() != ErrorKind::Interrupted));
        }
    });
    (near, thread)
}

#[tokio::test]
async fn a_request_of_which_a_record_has_gone_out_is_not_to_be_repeated() {
    let (server, client) = policies();
    let client = Client::options().tls(client).server_name("localhost").client((Ipv4Addr::LOCALHOST, 443));
    let address = client.address();
    let handshake = || client.base.settings.handshake(address).unwrap().unwrap();
    let body = vec![b'x'; 1 << 20];

    let (socket, peer) = near(&server);
    let stream = secure(Socket::new(socket).unwrap(), handshake()).await.unwrap();
    let mut connection = Connection::over(Box::new(stream), Arc::clone(&client.base), address.clone());
    let error = connection.post("/pay", body.clone()).await.unwrap_err();
    assert!(!error.is_retryable(), "{error}");
    peer.join().unwrap();

    let (socket, peer) = near(&server);
    socket.set_nonblocking(false).unwrap();
    let socket = blocking::stream::Socket::new(socket, None).unwrap();
    let stream = blocking::secure::secure(socket, handshake(), Until::new(None)).unwrap();
    let mut connection = blocking::Connection::over(Box::new(stream), Arc::clone(&client.base), address.clone());
    let error = connection.post("/pay", body).unwrap_err();
    assert!(!error.is_retryable(), "{error}");
    peer.join().unwrap();
}
