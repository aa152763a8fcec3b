//! The ends of exchanges, as `Options::on_response` is told of them.

use std::pin::Pin;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::task::{Context, Poll};
use std::time::Duration;

use degu_server::{
    Address, Body, BoxError, Chunk, ErrorReply, Exchange, Fault, IntoResponse, Options, Part, Request, Response,
    Server, Session, Source, Tunnel, own_credentials,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::common::Running;

/// Longer than any machine needs: a test that waits for it has failed.
const PATIENCE: Duration = Duration::from_secs(60);
const FINE: &str = "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nfine";
const GONE: &str = "cut: the peer is gone";

/// Returns the options with `on_response` set, and the lines that it gets: without the duration and the peer.
fn watched(options: Options) -> (Options, Lines) {
    let (send, lines) = channel();
    let report = move |exchange: &Exchange| {
        let line = exchange.to_string();
        let (start, end) = line.split_once("B ").unwrap();
        let cut = end.split_once(" cut: ").map_or(String::new(), |(_, why)| format!(" cut: {why}"));
        // The test may have ended.
        let _ = send.send(format!("{start}B{cut}"));
    };
    (options.on_response(report), Lines(lines))
}

struct Lines(Receiver<String>);

impl Lines {
    #[track_caller]
    fn expect(&self, line: &str) {
        assert_eq!(self.0.recv_timeout(PATIENCE).unwrap(), line);
    }

    /// Expects that nothing was reported that the test has not expected.
    #[track_caller]
    fn expect_no_more(self, server: Running) {
        server.shut_down();
        assert_eq!(self.0.recv_timeout(PATIENCE), Err(RecvTimeoutError::Disconnected));
    }
}

/// Gives chunks, then fails or ends.
struct Chunks(Vec<Result<&'static str, &'static str>>);

impl Source for Chunks {
    fn poll_part(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Part, BoxError>>> {
        let parts = &mut self.get_mut().0;
        if parts.is_empty() {
            return Poll::Ready(None);
        }
        Poll::Ready(Some(parts.remove(0).map(|text| Chunk::new(text).into()).map_err(Into::into)))
    }
}

async fn app(_: &mut Session, mut request: Request<'_>) -> Response {
    match request.segments() {
        ["none"] => 204.into(),
        ["chunks"] => (200, Body::chunks_from_source(Box::pin(Chunks(vec![Ok("first"), Ok("second")])))).into(),
        ["broken"] => (200, Body::chunks_from_source(Box::pin(Chunks(vec![Ok("first"), Err("disk full")])))).into(),
        ["early"] => (413, "too much\n").into(),
        ["fails"] => Err::<(), BoxError>("no disk".into()).into_response(),
        ["limited"] => request.body.read_all(1).await.map(drop).into_response(),
        ["panic"] => panic!("an app that panics"),
        ["wait"] => std::future::pending().await,
        ["tunnel", end] => {
            let fails = *end == "fails";
            request.upgrade("tcp").unwrap().accept((), async move |_: &mut Session, mut tunnel: Tunnel<'_>| {
                tunnel.write_all(b"hello").await?;
                tunnel.read_to_end(&mut Vec::new()).await?;
                if fails { Err("no more".into()) } else { Ok(()) }
            })
        }
        _ => "fine".into(),
    }
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n")
}

#[test]
fn exchanges_are_reported_as_they_went_over_the_wire() {
    for address in [Address::IPV6_LOOPBACK, Address::ABSTRACT] {
        let (options, lines) = watched(Server::options().workers(1));
        let server = Running::with(options, address, app);
        for (request, line) in [
            (get("/?a=b"), "GET /?a=b 200 4B"),
            ("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n".into(), "HEAD / 200 0B"),
            (get("/none"), "GET /none 204 0B"),
            (get("/chunks"), "GET /chunks 200 11B"),
            ("HEAD /chunks HTTP/1.1\r\nHost: a\r\n\r\n".into(), "HEAD /chunks 200 0B"),
            (get("/broken"), "GET /broken 200 5B cut: the body of a response returned an error: disk full"),
            (get("/panic"), "GET /panic 500 41B"),
            (get("/fails"), "GET /fails 500 41B"),
            ("POST /limited HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nab".into(), "POST /limited 413 62B"),
            ("POST /early HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999\r\n\r\n".into(), "POST /early 413 9B"),
            ("GET /chunks HTTP/1.0\r\n\r\n".into(), "GET /chunks 200 11B"),
            ("PLAY / HTTP/1.1\r\nHost: a\r\n\r\n".into(), "PLAY / 501 50B"),
            ("GET / HTTP/1.1\r\nHost: a b\r\n\r\n".into(), "- - 400 172B"),
            ("HEAD / HTTP/1.1\r\nHost: a b\r\n\r\n".into(), "- - 400 0B"),
        ] {
            server.ask(request);
            lines.expect(line);
        }
        lines.expect_no_more(server);
    }
}

#[test]
fn pipelined_exchanges_are_reported_in_order() {
    let (options, lines) = watched(Server::options().workers(1));
    let server = Running::with(options, Address::ABSTRACT, app);
    assert_eq!(server.ask(get("/1") + &get("/2") + &get("/3")), FINE.repeat(3));
    for line in ["GET /1 200 4B", "GET /2 200 4B", "GET /3 200 4B"] {
        lines.expect(line);
    }
    lines.expect_no_more(server);
}

#[test]
fn client_that_goes_away_before_the_head_has_no_status() {
    let (options, lines) = watched(Server::options().workers(1));
    let server = Running::with(options, Address::ABSTRACT, app);
    let mut raw = server.connect();
    raw.send(get("/") + &get("/wait"));
    raw.expect(FINE);
    lines.expect("GET / 200 4B");
    drop(raw);
    lines.expect(&format!("GET /wait - 0B {GONE}"));
    lines.expect_no_more(server);
}

#[test]
fn exchange_that_an_abort_ends_is_reported_as_cut() {
    let (options, lines) = watched(Server::options().workers(1));
    let server = Running::with(options, Address::ABSTRACT, app);
    let mut raw = server.connect();
    raw.send(get("/") + &get("/wait"));
    raw.expect(FINE);
    lines.expect("GET / 200 4B");
    server.handle().abort();
    lines.expect("GET /wait - 0B cut: the server closed the connection");
}

#[test]
fn refusals_by_deadline_and_in_silence_are_reported() {
    let second = Some(Duration::from_secs(1));
    let (options, lines) = watched(Server::options().workers(1).head_timeout(second).handler_timeout(second));
    let server = Running::with(options, Address::ABSTRACT, app);
    let mut raw = server.connect();
    raw.send("GET /");
    lines.expect("- - 408 66B");
    server.ask(get("/wait"));
    lines.expect("GET /wait 503 43B");
    lines.expect_no_more(server);

    let (options, lines) = watched(Server::options().workers(1).error_reply(ErrorReply::Silent));
    let server = Running::with(options, Address::ABSTRACT, app);
    assert_eq!(server.ask("GET / HTTP/1.1\r\n\r\n"), "");
    lines.expect("- - - 0B cut: the peer broke the protocol: a request without Host");
    lines.expect_no_more(server);
}

#[test]
fn refusal_for_want_of_room_is_reported() {
    let (options, lines) = watched(Server::options().workers(1).max_connections(1));
    let server = Running::with(options, Address::ABSTRACT, app);
    let mut busy = server.connect();
    busy.send(get("/") + &get("/wait"));
    busy.expect(FINE);
    lines.expect("GET / 200 4B");
    let mut refused = server.connect();
    assert!(refused.rest().starts_with("HTTP/1.1 503 "));
    lines.expect("- - 503 84B");
    let stats = server.handle().stats();
    assert_eq!((stats.accepted, stats.refused, stats.requests), (2, 1, 2));
}

#[test]
fn counters_tell_cut_cancelled_and_refused_exchanges_apart() {
    let (options, lines) = watched(Server::options().workers(1));
    let server = Running::with(options, Address::ABSTRACT, app);
    server.ask(get("/broken"));
    lines.expect("GET /broken 200 5B cut: the body of a response returned an error: disk full");
    server.ask("GET / HTTP/1.1\r\nHost: a b\r\n\r\n");
    lines.expect("- - 400 172B");
    let mut cancelled = server.connect();
    cancelled.send(get("/") + &get("/wait"));
    cancelled.expect(FINE);
    lines.expect("GET / 200 4B");
    drop(cancelled);
    lines.expect(&format!("GET /wait - 0B {GONE}"));
    // A worker counts a connection when it is done with it, after the report.
    while server.handle().stats().open > 0 {
        std::thread::yield_now();
    }
    let stats = server.handle().stats();
    assert_eq!((stats.accepted, stats.refused, stats.requests), (3, 0, 3));
    assert_eq!((stats.failures, stats.gone, stats.deadlines), (1, 1, 0));
    assert_eq!(stats.faults().collect::<Vec<_>>(), [(Fault::Host, 1)]);
    lines.expect_no_more(server);
}

#[test]
fn tunnel_is_reported_at_its_end_with_the_bytes_that_it_sent() {
    let (options, lines) = watched(Server::options().workers(1));
    let server = Running::with(options, Address::ABSTRACT, app);
    for (path, line) in [
        ("/tunnel/ends", "GET /tunnel/ends 101 5B"),
        ("/tunnel/fails", "GET /tunnel/fails 101 5B cut: the app failed: no more"),
    ] {
        let mut raw = server.connect();
        raw.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: tcp\r\n\r\n"));
        assert!(raw.response_head().unwrap().starts_with("HTTP/1.1 101 "));
        raw.expect("hello");
        assert!(lines.0.try_recv().is_err(), "the tunnel is open");
        raw.shut_down_writing();
        lines.expect(line);
    }
    lines.expect_no_more(server);
}

#[test]
fn peer_and_duration_are_known_and_a_panic_is_the_reports_own() {
    let (send, exchanges) = channel();
    let options = Server::options().workers(1).on_response(move |exchange: &Exchange| {
        let who = (exchange.address().is_unix(), exchange.credentials());
        send.send((who, exchange.duration(), exchange.method().is_some())).unwrap();
        panic!("a report that panics");
    });
    let server = Running::with(options, Address::ABSTRACT, app);
    assert_eq!(server.ask(get("/") + &get("/") + "GET\r\n\r\n").matches("fine").count(), 2);
    for is_known in [true, true, false] {
        let (who, duration, has_method) = exchanges.recv_timeout(PATIENCE).unwrap();
        assert_eq!(who, (true, Some(own_credentials())));
        assert_eq!((duration > Duration::ZERO, has_method), (is_known, is_known));
    }
}

#[cfg(feature = "hyper")]
mod hyper {
    use axum::Router;
    use axum::body::Body;
    use axum::http::{Request, Response};
    use axum::routing::get as to;
    use http_body_util::BodyExt;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;
    use crate::kit::{Panicking, Receiving, Serving};

    const LARGE: usize = 8 << 20;

    fn service() -> Router {
        async fn upgrade(request: Request<Body>) -> Response<Body> {
            let upgrade = ::hyper::upgrade::on(request);
            tokio::spawn(async move {
                let mut io = hyper_util::rt::TokioIo::new(upgrade.await.unwrap());
                io.write_all(b"hello").await.unwrap();
                io.read_to_end(&mut Vec::new()).await.unwrap();
            });
            Response::builder().status(101).header("upgrade", "tcp").body(Body::empty()).unwrap()
        }
        // The body of the request is never dropped.
        async fn keep(request: Request<Body>) -> &'static str {
            let mut body = request.into_body();
            body.frame().await;
            std::mem::forget(body);
            "kept"
        }
        // The body is shorter than its content-length.
        async fn short() -> Response<Body> {
            let (sender, receiver) = tokio::sync::mpsc::channel(1);
            sender.send(Ok(http_body::Frame::data("half".into()))).await.unwrap();
            let body = Body::new(http_body_util::StreamBody::new(Receiving(receiver)));
            Response::builder().header("content-length", 9).body(body).unwrap()
        }
        // hyper can begin the next exchange while the kernel has no room for this response.
        async fn large(request: Request<Body>) -> Response<Body> {
            tokio::spawn(request.into_body().collect());
            let (sender, receiver) = tokio::sync::mpsc::channel(1);
            sender.send(Ok(http_body::Frame::data(vec![b'x'; LARGE].into()))).await.unwrap();
            let body = Body::new(http_body_util::StreamBody::new(Receiving(receiver)));
            Response::builder().header("content-length", LARGE).body(body).unwrap()
        }
        Router::new()
            .route("/", to(async || "fine"))
            .route("/large", axum::routing::post(large))
            .route("/short", to(short))
            .route("/early", to(async || ::hyper::StatusCode::EARLY_HINTS))
            .route("/keep", axum::routing::post(keep))
            .route("/broken", to(async || Body::new(http_body_util::StreamBody::new(Panicking(false)))))
            .route("/panic", to(async || -> &'static str { panic!("a handler that panics") }))
            .route("/wait", to(std::future::pending::<()>))
            .route("/tunnel", to(upgrade))
    }

    #[test]
    fn exchanges_of_a_tower_service_are_reported() {
        std::thread::scope(|scope| {
            for address in [Address::IPV6_LOOPBACK, Address::ABSTRACT] {
                scope.spawn(|| report_exchanges(address));
            }
        });
    }

    fn report_exchanges(address: Address) {
        // Without a minimum rate, so that no deadline of a body ends an exchange whose report is late.
        let options = Server::options().head_timeout(Some(Duration::from_secs(1))).progress(0, None);
        let (options, lines) = watched(options);
        let server = Serving::new(options, address, service());
        for (request, line) in [
            (get("/?a=b"), "GET /?a=b 200 4B"),
            ("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n".into(), "HEAD / 200 0B"),
            (get("/none"), "GET /none 404 0B"),
            (get("/broken"), "GET /broken 200 4B cut: the app panicked"),
            (
                get("/short"),
                "GET /short 200 4B cut: the body of a response returned an error: early end, expected 5 more bytes",
            ),
            (get("/early"), "GET /early 500 41B"),
            (get("/panic"), "GET /panic 500 41B"),
            (
                "POST /keep HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n".into(),
                "POST /keep 200 4B",
            ),
            ("PLAY / HTTP/1.1\r\nHost: a\r\n\r\n".into(), "PLAY / 501 50B"),
            ("GET / HTTP/1.1\r\nbad field\r\n\r\n".into(), "- - 400 0B"),
            ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".into(), "- - 505 66B"),
        ] {
            let mut raw = server.connect();
            raw.send(request);
            raw.shut_down_writing();
            raw.end();
            lines.expect(line);
        }
        let mut raw = server.connect();
        raw.send(get("/") + &get("/"));
        lines.expect("GET / 200 4B");
        lines.expect("GET / 200 4B");
        raw.send("GET");
        assert_eq!(raw.rest().matches("HTTP/1.1 408 ").count(), 1);
        // The report does not wait until the client closes its side.
        lines.expect("- - 408 66B");
        assert!(raw.try_send("x"), "the connection lingers");
        drop(raw);

        // A request that hyper itself refuses is reported just as early.
        let mut raw = server.connect();
        raw.send("GET / HTTP/1.1\r\nbad field\r\n\r\n");
        lines.expect("- - 400 0B");
        assert!(raw.try_send("x"), "the connection lingers");
        drop(raw);

        let mut raw = server.connect();
        raw.send("GET /tunnel HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: tcp\r\n\r\n");
        assert!(raw.response_head().unwrap().starts_with("HTTP/1.1 101 "));
        raw.expect("hello");
        raw.shut_down_writing();
        lines.expect("GET /tunnel 101 5B");

        // The report does not wait for the rest of the request.
        let mut raw = server.connect();
        raw.send("POST /keep HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n");
        lines.expect("POST /keep 200 4B");
        raw.reset();

        // The report of a response does not wait for the next response.
        let mut raw = server.connect();
        raw.send("POST /large HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
        assert!(raw.response_head().unwrap().starts_with("HTTP/1.1 200 OK\r\n"));
        raw.send("0\r\n\r\n".to_owned() + &get("/wait"));
        raw.expect(&"x".repeat(LARGE));
        lines.expect(&format!("POST /large 200 {LARGE}B"));
        raw.reset();
        lines.expect(&format!("GET /wait - 0B {GONE}"));
        server.shut_down();
        assert_eq!(lines.0.recv_timeout(PATIENCE), Err(RecvTimeoutError::Disconnected));
    }
}
