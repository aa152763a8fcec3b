//! Answers that come before the end of their request, to clients that send all of it before they read.

use std::sync::mpsc::channel;

use crate::common::{Raw, Running};
#[cfg(feature = "hyper")]
use crate::kit::Serving;
#[cfg(feature = "hyper")]
use degu_server::Server;
use degu_server::{Address, Body, BoxError, Request, Response, Session};

const SIZES: [usize; 4] = [400_000, 1_000_000, 5_000_000, 32 << 20];
const LARGE: usize = 3_000_000;

fn addresses(folder: &tempfile::TempDir) -> [Address; 3] {
    [Address::IPV6_LOOPBACK, Address::unix(folder.path().join("socket")), Address::ABSTRACT]
}

async fn app(_: &mut Session, mut request: Request<'_>) -> Result<Response, BoxError> {
    Ok(match request.segments() {
        ["limit"] => request.body.read_all(64 * 1024).await?.into(),
        ["large"] => (401, vec![b'x'; LARGE]).into(),
        ["source"] => {
            let zeros = degu_server::Body::from_reader(LARGE as u64, tokio::io::repeat(b'x'));
            (401, zeros).into()
        }
        ["endless"] => {
            let zeros = degu_server::Body::from_reader(u64::MAX, tokio::io::repeat(b'x'));
            (401, zeros).into()
        }
        _ => 404.into(),
    })
}

/// Sends a whole request, and returns what has come back then.
fn upload(mut raw: Raw, path: &str, size: usize) -> String {
    raw.send(format!("POST {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: {size}\r\n\r\n"));
    raw.send(vec![b'a'; size]);
    raw.rest()
}

#[test]
fn an_early_answer_is_read_by_a_client_that_sends_all_first() {
    let folder = tempfile::tempdir().unwrap();
    for address in addresses(&folder) {
        let server = Running::new(address, app);
        for size in SIZES {
            for (path, status) in [("/limit", "413 "), ("/", "404 ")] {
                for _ in 0..3 {
                    let answer = upload(server.connect(), path, size);
                    assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{size}: {answer:?}");
                    assert!(answer.contains("\r\nconnection: close\r\n"), "{answer}");
                }
            }
        }
    }
}

/// Neither side reads what the other sends unless the server does, because no buffer holds either message.
#[test]
fn large_early_answer_reaches_a_client_that_sends_all_first() {
    let folder = tempfile::tempdir().unwrap();
    for address in addresses(&folder) {
        let server = Running::new(address, app);
        for path in ["/large", "/source"] {
            let answer = upload(server.connect(), path, 32 << 20);
            assert!(answer.starts_with("HTTP/1.1 401 "), "{path}");
            assert!(answer.ends_with(&"x".repeat(LARGE)), "{path}: {} bytes", answer.len());
        }
    }
}

#[cfg(feature = "hyper")]
#[test]
fn early_answer_of_tower_reaches_a_client_that_sends_all_first() {
    use axum::http::StatusCode;
    use axum::routing::post;

    let folder = tempfile::tempdir().unwrap();
    for address in addresses(&folder) {
        let limited = post(async |_: axum::body::Bytes| "never").layer(axum::extract::DefaultBodyLimit::max(64 * 1024));
        let app = axum::Router::new().route("/limit", limited).fallback(async || StatusCode::NOT_FOUND);
        let server = Serving::new(Server::options(), address, app);
        for size in SIZES {
            for (path, status) in [("/limit", "413 "), ("/", "404 ")] {
                let answer = upload(server.connect(), path, size);
                assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{size}: {answer:?}");
            }
        }
    }
}

/// Otherwise a pool sends its next request on a connection that is being closed.
#[cfg(feature = "hyper")]
#[test]
fn early_answer_of_tower_says_that_the_connection_is_closed() {
    let server = Serving::new(Server::options(), Address::ABSTRACT, axum::Router::new());
    let expecting = "Content-Length: 5\r\nExpect: 100-continue";
    for framing in ["Content-Length: 1000000", "Transfer-Encoding: chunked", expecting] {
        let mut raw = server.connect();
        raw.send(format!("POST / HTTP/1.1\r\nHost: a\r\n{framing}\r\n\r\n"));
        let head = raw.response_head().unwrap();
        assert!(head.starts_with("HTTP/1.1 404 ") && head.contains("\r\nconnection: close\r\n"), "{head}");
    }
    // A small body that has come is read to its end, and the connection kept.
    let mut raw = server.connect();
    for _ in 0..2 {
        raw.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello");
        let head = raw.response_head().unwrap();
        assert!(head.starts_with("HTTP/1.1 404 ") && !head.contains("connection:"), "{head}");
    }
}

#[cfg(feature = "proxy")]
#[test]
fn an_early_answer_comes_through_a_proxy() {
    use degu_client::Client;
    use degu_server::applib::ProxyApp;

    let folder = tempfile::tempdir().unwrap();
    for address in addresses(&folder) {
        let behind = Running::new(address.clone(), app);
        let front =
            if let Some(path) = address.as_path() { Address::unix(path.with_extension("front")) } else { address };
        let server = Running::new(front, ProxyApp::new(Client::new(&behind.address)));
        for size in SIZES {
            for (path, status) in [("/limit", "413 "), ("/", "404 ")] {
                let answer = upload(server.connect(), path, size);
                assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{size}: {answer:?}");
            }
        }
    }
}

/// The proxy passes on the request as long as it can pass on the response, so that neither side moves then.
#[cfg(feature = "proxy")]
#[test]
fn client_that_reads_no_early_answer_through_a_proxy_is_cut() {
    use std::time::Duration;

    use degu_client::Client;
    use degu_server::Server;
    use degu_server::applib::ProxyApp;

    // Over TCP the kernel's user timeout would also end the connection.
    let behind = Running::new(Address::ABSTRACT, app);
    let options = Server::options().workers(1).progress(1024, Some(Duration::from_secs(1)));
    let server = Running::with(options, Address::ABSTRACT, ProxyApp::new(Client::new(&behind.address)));
    let mut raw = server.connect();
    raw.send("POST /endless HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000000000\r\n\r\n");
    while raw.try_send(&"a".repeat(1 << 16)) {}
    let stats = server.handle().stats();
    assert_eq!(stats.deadlines, 1, "{stats:?}");
}

#[test]
fn connection_after_its_last_response_delays_no_shutdown() {
    let (begun, begins) = channel();
    let server = Running::new(Address::IPV6_LOOPBACK, async move |_: &mut Session, _: Request<'_>| {
        begun.send(()).unwrap();
        404
    });
    let mut raw = server.connect();
    raw.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000000\r\n\r\n");
    begins.recv().unwrap();
    raw.response_head().unwrap();
    let mut writer = raw.another();
    let talks = std::thread::spawn(move || while writer.try_send(&"x".repeat(1 << 16)) {});
    server.shut_down();
    talks.join().unwrap();
}

#[test]
fn a_request_body_that_would_answer_head_is_not_asked_for() {
    let server = Running::new(Address::IPV6_LOOPBACK, async |_: &mut Session, request: Request<'_>| {
        (200, Body::from(request.body))
    });
    let mut raw = server.connect();
    raw.send("HEAD / HTTP/1.1\r\nHost: a\r\nContent-Length: 200000\r\nExpect: 100-continue\r\n\r\n");
    assert_eq!(raw.rest(), "HTTP/1.1 200 OK\r\ncontent-length: 200000\r\nconnection: close\r\n\r\n");
}
