//! Clients that speak HTTP/1.0, with both drivers.

use std::io::ErrorKind;

use crate::common::{Raw, Running, refusal};
#[cfg(feature = "hyper")]
use crate::kit::{Panicking, Receiving, Serving};
use degu_server::{Address, Body, BoxError, Chunk, Request, Response, Server, Session};

const TCP: Address = Address::IPV6_LOOPBACK;

async fn app(_: &mut Session, mut request: Request<'_>) -> Result<Response, BoxError> {
    Ok(match request.segments() {
        ["chunks"] => Body::try_unfold(0, async |n| Ok((n < 2).then(|| (Chunk::new("tick"), n + 1)))).into(),
        ["cut"] => Body::try_unfold(0, async |n: i32| {
            assert!(n == 0, "the body fails");
            Ok(Some((Chunk::new("half"), 1)))
        })
        .into(),
        ["host"] => request.authority().to_owned().into(),
        _ => request.body.read_all(100).await?.into(),
    })
}

/// Runs a test with both drivers.
fn with_both(test: impl Fn(&dyn Fn() -> Raw)) {
    let server = Running::new(TCP, app);
    test(&|| server.connect());
    #[cfg(feature = "hyper")]
    {
        use axum::body::{Body, Bytes};
        use axum::routing::{any, get};
        use http_body_util::StreamBody;

        let chunks = async || {
            let (sender, receiver) = tokio::sync::mpsc::channel(2);
            for _ in 0..2 {
                sender.send(Ok(http_body::Frame::data(Bytes::from("tick")))).await.unwrap();
            }
            Body::new(StreamBody::new(Receiving(receiver)))
        };
        let cut = async || Body::new(StreamBody::new(Panicking(false)));
        let app = axum::Router::new().route("/chunks", get(chunks)).route("/cut", get(cut));
        let server = Serving::new(Server::options(), TCP, app.fallback(any(async |body: Bytes| body)));
        test(&|| server.connect());
    }
}

/// Sends a request, and returns the response, fields in lower case, up to the end of the connection.
fn ask(connect: &dyn Fn() -> Raw, request: &str) -> String {
    let mut raw = connect();
    raw.send(request);
    raw.rest().to_ascii_lowercase()
}

#[test]
fn client_that_asks_for_no_keep_alive_reads_to_eof() {
    with_both(|connect| {
        for request in [
            "GET / HTTP/1.0\r\n\r\n",
            "GET / HTTP/1.0\r\nHost: a\r\nConnection: close\r\n\r\n",
            "OPTIONS / HTTP/1.0\r\n\r\n",
        ] {
            let response = ask(connect, request);
            assert!(response.contains(" 200 ok\r\n") && response.contains("content-length: 0\r\n"), "{response}");
        }
        let response = ask(connect, "POST / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\nhello");
        assert!(!response.contains("100 continue") && response.ends_with("\r\n\r\nhello"), "{response}");
    });
}

#[test]
fn client_that_asks_for_keep_alive_is_told_that_it_gets_it() {
    with_both(|connect| {
        let mut raw = connect();
        for _ in 0..3 {
            raw.send("POST / HTTP/1.0\r\nConnection: Keep-Alive\r\nContent-Length: 5\r\n\r\nhello");
            let head = raw.response_head().unwrap().to_ascii_lowercase();
            assert!(head.contains("connection: keep-alive\r\n") && head.contains("content-length: 5\r\n"), "{head}");
            raw.expect("hello");
        }
    });
}

#[test]
fn response_without_a_length_has_no_chunks_and_ends_at_eof() {
    with_both(|connect| {
        for request in ["GET /chunks HTTP/1.0\r\n\r\n", "GET /chunks HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"] {
            let response = ask(connect, request);
            assert!(!response.contains("transfer-encoding") && !response.contains("keep-alive"), "{response}");
            assert!(response.ends_with("\r\n\r\nticktick"), "{response}");
        }
    });
}

#[test]
fn a_response_without_a_length_that_is_cut_ends_with_a_reset() {
    with_both(|connect| {
        let mut raw = connect();
        raw.send("GET /cut HTTP/1.0\r\n\r\n");
        let end = loop {
            match raw.read_some(&mut [0; 1000]) {
                Ok(0) => break None,
                Ok(_) => {}
                Err(error) => break Some(error.kind()),
            }
        };
        assert_eq!(end, Some(ErrorKind::ConnectionReset));
    });
}

#[test]
fn a_request_without_host_has_no_authority() {
    let server = Running::new(TCP, app);
    assert!(server.ask("GET /host HTTP/1.0\r\n\r\n").ends_with("content-length: 0\r\nconnection: close\r\n\r\n"));
    assert!(server.ask("GET /host HTTP/1.0\r\nHost: a\r\n\r\n").ends_with("\r\n\r\na"));
}

#[test]
fn where_it_is_off_it_gets_505() {
    let server = Running::with(Server::options().workers(1).allow_http10(false), TCP, app);
    let why = "an HTTP version that is not supported (at byte 6)";
    let refused = server.ask("GET / HTTP/1.0\r\nHost: a\r\n\r\n");
    assert_eq!(refused, refusal("505 HTTP Version Not Supported", why));
}
