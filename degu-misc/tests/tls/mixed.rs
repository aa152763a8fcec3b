//! Clear text and TLS that meet by mistake.

use std::io::{Read, Write};

use degu_client::{Client, Fault};
use degu_misc::{TempPki, TempSSLServer, TempServer};
use degu_server::Address;
use degu_tls::error::Kind;

use super::kit::{CLIENT, REQUEST, both, hello, socket, who};

#[test]
fn clear_text_to_a_tls_port() {
    let pki = TempPki::new();
    let server = TempSSLServer::new(&pki, Address::IPV6_LOOPBACK, who);
    for answer in both(&Client::new(server.address())) {
        // An alert is no status line.
        let error = answer.unwrap_err();
        assert_eq!(error.remote().map(|remote| remote.fault), Some(Fault::Version), "{error}");
        assert!(!error.is_retryable());
    }
    let mut bare = socket(server.address());
    bare.write_all(REQUEST.as_bytes()).unwrap();
    let mut answer = Vec::new();
    bare.read_to_end(&mut answer).unwrap();
    assert_eq!(answer, [21, 3, 3, 0, 2, 2, 50], "an alert, decode_error");
    assert_eq!(super::kit::ask(&server.client()).unwrap(), CLIENT);
}

#[test]
fn tls_to_a_port_of_clear_text() {
    let pki = TempPki::new();
    let server = TempServer::new(Address::IPV6_LOOPBACK, who);
    let tls = pki.client_tls();
    for answer in both(&super::kit::client(server.address(), &tls)) {
        let error = answer.unwrap_err();
        assert_eq!(error.tls().map(degu_tls::Error::kind), Some(Kind::Protocol), "{error}");
        assert!(error.to_string().contains("sent something that is not TLS"), "{error}");
    }
    // At the first byte, and not when a head takes too long.
    let mut bare = socket(server.address());
    bare.write_all(&hello(&tls)[..1]).unwrap();
    let mut answer = String::new();
    bare.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{answer}");
}
