//! Tower services on Degu's sockets.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use crate::common::{Raw, failed, refusal};
use crate::kit::{Serving, Tell};
use axum::body::{Body, Bytes};
use axum::http::{Request, Response, Uri};
use axum::routing::{any, get, post};
use axum::{Extension, Router};
use degu_server::hyper::{Caller, RequestBody, serve};
use degu_server::{Address, ErrorReply, Limits, Options, Server, Session, own_credentials};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const FINE: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: 4\r\n\r\nfine";
const LAST: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: 4\r\n\
                    connection: close\r\n\r\nfine";
const TCP: Address = Address::IPV6_LOOPBACK;
const SECOND: Option<Duration> = Some(Duration::from_secs(1));

fn fine() -> Router {
    Router::new().route("/", get(async || "fine"))
}

fn app() -> Router {
    Router::new()
        .route("/", get(async || "fine"))
        .route("/echo", any(async |request: Request<Body>| Response::new(request.into_body())))
        .route("/whole", post(async |body: Bytes| body))
        .route("/never", any(std::future::pending::<()>))
        .route("/panic", get(async || -> &'static str { panic!("a handler that panics") }))
}

#[test]
fn exchanges_over_every_kind_of_address() {
    async fn who(Extension(caller): Extension<Caller>) -> String {
        let uid = caller.credentials().map(|process| process.uid);
        format!("{} {uid:?} {}", caller.address().is_unix(), caller.requests())
    }
    let folder = tempfile::tempdir().unwrap();
    let path = Address::unix(folder.path().join("socket"));
    for address in [Address::IPV4_LOOPBACK, TCP, path, Address::ABSTRACT] {
        let server = Serving::new(Server::options(), address, app().route("/who", get(who)));
        let mut raw = server.connect();
        let me = server.address.is_unix().then(|| own_credentials().uid);
        for count in 1..4 {
            raw.send("GET /who HTTP/1.1\r\nHost: a\r\n\r\n");
            assert!(raw.response_head().unwrap().starts_with("HTTP/1.1 200 OK\r\n"));
            raw.expect(&format!("{} {me:?} {count}", server.address.is_unix()));
        }
        // As many bytes as no buffer holds, both ways at once.
        let body = "0123456789abcdef".repeat(1 << 16);
        let mut writer = raw.another();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                writer.send(format!("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", body.len()));
                writer.send(&body);
            });
            assert!(raw.response_head().unwrap().contains("content-length: 1048576\r\n"));
            raw.expect(&body);
        });
        raw.send(GET);
        raw.expect(FINE);
        raw.shut_down_writing();
        assert_eq!(raw.rest(), "");
        server.shut_down();
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "the socket's file is gone");
}

#[test]
fn chunks_and_trailers_come_and_go() {
    async fn echo(request: Request<Body>) -> Response<Body> {
        Response::builder().header("trailer", "x-sum").body(request.into_body()).unwrap()
    }
    let server = Serving::new(Server::options(), TCP, Router::new().route("/", post(echo)));
    let mut raw = server.connect();
    raw.send(
        "POST / HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nTransfer-Encoding: chunked\r\n\r\n\
         5\r\nhello\r\n0\r\nx-sum: 7\r\n\r\n",
    );
    raw.expect("HTTP/1.1 200 OK\r\ntrailer: x-sum\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n");
    raw.expect("0\r\nx-sum: 7\r\n\r\n");
}

#[test]
fn deadlines_are_on() {
    let options = Server::options().head_timeout(SECOND).idle_timeout(SECOND).progress(1024, SECOND);
    let server = Serving::new(options, TCP, app());
    std::thread::scope(|scope| {
        for (bytes, expected) in [
            ("", String::new()),
            (GET, FINE.to_owned()),
            (
                "GET / HTTP/1.1\r\nhost:",
                refusal("408 Request Timeout", "the client sent the head of a request too slowly"),
            ),
            ("\r\n", String::new()),
            (
                "POST /whole HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\nhalf",
                refusal("408 Request Timeout", "the client sent the body of a request too slowly"),
            ),
        ] {
            let server = &server;
            scope.spawn(move || {
                let mut raw = server.connect();
                raw.send(bytes);
                assert_eq!(crate::kit::order(&raw.rest()), crate::kit::order(&expected), "{bytes:?}");
            });
        }
        // Of a response that has begun the rest is cut.
        scope.spawn(|| {
            let mut raw = server.connect();
            raw.send("POST /echo HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n");
            raw.expect("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n");
            assert_eq!(raw.end(), "");
        });
        // A head that drips has its time in total.
        scope.spawn(|| {
            let (mut raw, mut writer) = {
                let raw = server.connect();
                let writer = raw.another();
                (raw, writer)
            };
            let (began, done) = (Instant::now(), AtomicBool::new(false));
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    while !done.load(Ordering::Relaxed) && writer.try_send("G") {
                        std::thread::sleep(Duration::from_millis(50));
                    }
                });
                let answer = raw.end();
                done.store(true, Ordering::Relaxed);
                assert_eq!(answer, refusal("408 Request Timeout", "the client sent the head of a request too slowly"));
                assert!(began.elapsed() >= Duration::from_secs(1));
            });
        });
    });
}

/// A layer that lets bodies come slowly.
#[derive(Clone)]
struct Slow(Router);

impl tower_service::Service<Request<RequestBody>> for Slow {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = axum::routing::future::RouteFuture<Infallible>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        tower_service::Service::<Request<RequestBody>>::poll_ready(&mut self.0, cx)
    }

    fn call(&mut self, mut request: Request<RequestBody>) -> Self::Future {
        request.body_mut().set_progress(2, Some(Duration::from_secs(3)));
        self.0.call(request)
    }
}

#[test]
fn a_body_that_a_layer_lets_come_slowly() {
    let slow = Slow(app());
    let server = Serving::new(Server::options().progress(1024, SECOND), TCP, slow);
    let mut raw = server.connect();
    raw.send("POST /whole HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\n");
    // All writes take longer than the window. In each window two bytes would be enough.
    for byte in b"very slow!" {
        std::thread::sleep(Duration::from_millis(500));
        raw.send([*byte]);
    }
    assert!(raw.response_head().unwrap().starts_with("HTTP/1.1 200 OK\r\n"));
    raw.expect("very slow!");
}

#[test]
fn a_handler_that_does_not_answer() {
    let server = Serving::new(Server::options().handler_timeout(SECOND), TCP, app());
    let mut raw = server.connect();
    raw.send("GET /never HTTP/1.1\r\nhost: a\r\n\r\n");
    assert_eq!(
        crate::kit::order(&raw.rest()),
        crate::kit::order(&refusal("503 Service Unavailable", "the app took too long"))
    );
}

#[test]
fn a_handler_that_streams_is_not_late() {
    // The peer is owed nothing while the service works, and the service has all its time.
    async fn slow() -> Body {
        let (sender, receiver) = tokio::sync::mpsc::channel::<Result<_, Infallible>>(1);
        drop(tokio::spawn(async move {
            tokio::time::sleep(Duration::from_secs(4)).await;
            let _ = sender.send(Ok(Frame::data(Bytes::from("late")))).await;
        }));
        Body::new(StreamBody::new(crate::kit::Receiving(receiver)))
    }
    let options = Server::options().head_timeout(SECOND).idle_timeout(SECOND).progress(1024, SECOND);
    let server = Serving::new(options.handler_timeout(SECOND), TCP, Router::new().route("/", get(slow)));
    let mut raw = server.connect();
    raw.send(GET);
    raw.expect("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nlate\r\n0\r\n\r\n");
}

#[test]
fn a_response_that_nobody_takes() {
    for address in [TCP, Address::ABSTRACT] {
        let (dropped, is_dropped) = mpsc::channel();
        let endless = async move || {
            let _tell = Tell(dropped.clone());
            Body::new(StreamBody::new(crate::kit::Endless { _tell }))
        };
        let options = Server::options().progress(1024, SECOND);
        let server = Serving::new(options, address, Router::new().route("/", get(endless)));
        let mut raw = server.connect();
        raw.send(GET);
        is_dropped.recv_timeout(Duration::from_secs(60)).unwrap();
        assert!(!raw.end().ends_with("0\r\n\r\n"));
    }
}

#[test]
fn a_shutdown_under_load_answers_what_has_begun() {
    let folder = tempfile::tempdir().unwrap();
    for address in [TCP, Address::unix(folder.path().join("socket"))] {
        let begun = Arc::new(AtomicU64::new(0));
        let counter = begun.clone();
        let busy = async move || {
            counter.fetch_add(1, Ordering::SeqCst);
            for _ in 0..100 {
                tokio::task::yield_now().await;
            }
            "fine"
        };
        let server = Serving::new(Server::options(), address, Router::new().route("/", get(busy)));
        let answered = AtomicU64::new(0);
        std::thread::scope(|scope| {
            let connections: Vec<_> = (0..64).map(|_| server.connect()).collect();
            for mut raw in connections {
                let answered = &answered;
                scope.spawn(move || {
                    // Once the server is done with this connection it may not even take the request.
                    while raw.try_send(GET) {
                        let Some(head) = raw.response_head() else { break };
                        answered.fetch_add(1, Ordering::SeqCst);
                        raw.expect("fine");
                        if head.contains("connection: close") {
                            assert_eq!(raw.rest(), "");
                            break;
                        }
                    }
                });
            }
            while answered.load(Ordering::SeqCst) < 2000 {
                std::thread::yield_now();
            }
            let address = server.address.clone();
            server.shut_down();
            // The address is free at once.
            drop(Server::options().listener(&address).unwrap());
        });
        assert_eq!(answered.load(Ordering::SeqCst), begun.load(Ordering::SeqCst), "each request, and none by half");
    }
}

#[test]
fn localhost_is_both_loopback_addresses() {
    let server = Serving::new(Server::options(), "localhost:0".parse().unwrap(), fine());
    let port = server.address.port().unwrap();
    for address in [Address::IPV4_LOOPBACK, Address::IPV6_LOOPBACK] {
        let mut raw = Raw::connect(&address.with_port(port));
        raw.send(GET);
        raw.expect(FINE);
    }
    server.shut_down();
}

#[test]
fn shutdown_closes_idle_connections_and_awaits_partial_heads() {
    for address in [TCP, Address::ABSTRACT] {
        let runtime = tokio::runtime::Builder::new_current_thread();
        let server = Serving::on(runtime, Server::options(), address, fine());
        let (mut fresh, mut idle, mut begun) = (server.connect(), server.connect(), server.connect());
        let (begin, end) = GET.split_at(20);
        for raw in [&mut idle, &mut begun] {
            raw.send(GET);
            raw.expect(FINE);
        }
        begun.send(begin);
        // The server's only thread reads the bytes above before it answers this connection.
        let mut other = server.connect();
        other.send(GET);
        other.expect(FINE);
        let stopped = std::thread::spawn(move || server.shut_down());
        assert_eq!((fresh.rest(), idle.rest(), other.rest()), Default::default());
        begun.send(end);
        begun.expect(LAST);
        assert_eq!(begun.rest(), "");
        stopped.join().unwrap();
    }
}

#[test]
fn a_shutdown_waits_for_its_grace_and_no_longer() {
    let (begun, begins) = mpsc::channel();
    let endless = async move || {
        begun.send(()).unwrap();
        std::future::pending::<()>().await;
    };
    let options = Server::options().shutdown_grace(Duration::from_millis(50));
    let server = Serving::new(options, Address::ABSTRACT, Router::new().route("/", get(endless)));
    let mut raw = server.connect();
    raw.send(GET);
    begins.recv().unwrap();
    server.shut_down();
    assert_eq!(raw.end(), "", "cut");
}

#[test]
fn bodies_without_an_end_hear_of_a_shutdown() {
    async fn ticks(Extension(caller): Extension<Caller>) -> Body {
        let (sender, receiver) = tokio::sync::mpsc::channel::<Result<_, Infallible>>(1);
        drop(tokio::spawn(async move {
            let _ = sender.send(Ok(Frame::data(Bytes::from("tick")))).await;
            caller.closing().await;
        }));
        Body::new(StreamBody::new(crate::kit::Receiving(receiver)))
    }
    let server = Serving::new(Server::options(), TCP, Router::new().route("/", get(ticks)));
    let mut raw = server.connect();
    raw.send(GET);
    raw.expect("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\ntick\r\n");
    server.shut_down();
    assert_eq!(raw.rest(), "0\r\n\r\n");
}

#[test]
fn a_panic_loses_its_own_connection_only() {
    async fn half() -> Body {
        Body::new(StreamBody::new(crate::kit::Panicking(false)))
    }
    let server = Serving::new(Server::options(), TCP, app().route("/half", get(half)));
    let mut other = server.connect();
    other.send(GET);
    other.expect(FINE);
    let mut raw = server.connect();
    raw.send("GET /panic HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(crate::kit::order(&raw.rest()), crate::kit::order(&failed()));
    let mut raw = server.connect();
    raw.send("GET /half HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(!raw.end().ends_with("0\r\n\r\n"));
    other.send(GET);
    other.expect(FINE);
}

/// Answers with a large head before the body of the request is read to its end. hyper then begins the next exchange while most
/// of the head waits for room.
async fn large(request: Request<Body>) -> Response<Body> {
    drop(tokio::spawn(request.into_body().collect()));
    Response::builder().header("x-large", "x".repeat(1 << 20)).body(Body::empty()).unwrap()
}

#[test]
fn refusal_follows_a_response_that_the_client_reads_late() {
    for (path, status, why) in [
        ("/panic", "500 Internal Server Error", "the server failed"),
        ("/never", "503 Service Unavailable", "the app took too long"),
    ] {
        let (dropped, is_dropped) = mpsc::channel();
        let ends = async move |uri: Uri| {
            let _tell = Tell(dropped.clone());
            assert_ne!(uri.path(), "/panic");
            std::future::pending::<()>().await;
        };
        let app = Router::new().route("/large", post(large)).fallback(ends);
        let server = Serving::new(Server::options().handler_timeout(SECOND).date(true), Address::ABSTRACT, app);
        let mut raw = server.connect();
        let body = "4\r\nbody\r\n0\r\n\r\n";
        raw.send(format!("POST /large HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n{body}"));
        raw.send(format!("GET {path} HTTP/1.1\r\nhost: a\r\n\r\n"));
        // The second handler ends although the client has not read the first response.
        is_dropped.recv_timeout(Duration::from_secs(60)).unwrap();
        // The timeout of a handler that has panicked changes nothing.
        std::thread::sleep(Duration::from_millis(2500));
        let all = raw.rest();
        let (first, refusal) = all.split_once("\r\n\r\n").unwrap();
        assert!(first.starts_with("HTTP/1.1 200 OK\r\n") && first.len() > 1 << 20);
        assert!(refusal.starts_with(&format!("HTTP/1.1 {status}\r\n")), "{refusal}");
        assert!(refusal.contains("\r\ndate: ") && refusal.ends_with(&format!("{why}\n")), "{refusal}");
    }
}

#[test]
fn service_has_all_its_time_after_a_response_read_late() {
    async fn large(request: Request<Body>) -> Body {
        drop(tokio::spawn(request.into_body().collect()));
        Body::from(vec![b'x'; 8 << 20])
    }
    let app = fine().route("/large", post(large));
    let server = Serving::new(Server::options().handler_timeout(SECOND), Address::ABSTRACT, app);
    let mut raw = server.connect();
    raw.send("POST /large HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n");
    assert!(raw.response_head().unwrap().starts_with("HTTP/1.1 200 OK\r\n"));
    // hyper begins the next exchange, but cannot call the service before the response is written.
    raw.send(format!("0\r\n\r\n{GET}"));
    std::thread::sleep(Duration::from_millis(2500));
    raw.expect(&"x".repeat(8 << 20));
    raw.expect(FINE);
}

#[test]
fn upload_that_stalls_after_an_early_response_does_not_reset_it() {
    async fn early(request: Request<Body>) -> &'static str {
        drop(tokio::spawn(request.into_body().collect()));
        "fine"
    }
    let app = Router::new().route("/", post(early));
    let server = Serving::new(Server::options().progress(1024, SECOND), TCP, app);
    let mut raw = server.connect();
    raw.send("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\nhalf");
    assert_eq!(raw.rest(), FINE);
}

#[test]
fn connection_is_idle_after_the_rest_of_an_unread_body() {
    let (begun, begins) = mpsc::channel();
    let respond = Arc::new(tokio::sync::Notify::new());
    let told = respond.clone();
    let late = async move |_unread: Request<Body>| {
        begun.send(()).unwrap();
        told.notified().await;
        "fine"
    };
    let runtime = tokio::runtime::Builder::new_current_thread();
    let server = Serving::on(runtime, Server::options(), TCP, fine().route("/late", post(late)));
    let mut raw = server.connect();
    raw.send("POST /late HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\n\r\nbo");
    begins.recv().unwrap();
    raw.send("dy");
    // The server has read the rest of the body before it serves another connection.
    let mut other = server.connect();
    other.send(GET);
    other.expect(FINE);
    respond.notify_one();
    raw.expect(FINE);
    // A shutdown closes an idle connection, and waits for a head that has begun.
    server.shut_down();
    assert_eq!(raw.rest(), "");
}

#[test]
fn silent_refusal_does_not_reset_an_earlier_response() {
    let server = Serving::new(Server::options().error_reply(ErrorReply::Silent), TCP, app());
    let mut raw = server.connect();
    // More than hyper reads at once.
    let body = "x".repeat(100_000);
    raw.send(format!("{GET}PURGE / HTTP/1.1\r\nhost: a\r\ncontent-length: {}\r\n\r\n{body}", body.len()));
    assert_eq!(raw.rest(), FINE);
}

#[test]
fn limit_of_fields_may_be_larger_than_any_head() {
    let limits = Limits { max_fields: usize::MAX, ..Limits::DEFAULT };
    let server = Serving::new(Server::options().limits(limits), TCP, fine());
    let mut raw = server.connect();
    raw.send(format!("GET / HTTP/1.1\r\nhost: a\r\n{}\r\n", "x:\r\n".repeat(8000)));
    raw.expect(FINE);
}

#[test]
fn options_hold_that_are_not_of_the_codec() {
    let refused = |bytes: &str, options: Options| {
        let server = Serving::new(options, TCP, app());
        let mut raw = server.connect();
        raw.send(bytes);
        crate::kit::order(&raw.rest())
    };
    let put = |method: &str| format!("{method} /echo HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
    let one = crate::kit::order("HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    let unknown = refusal("501 Not Implemented", "a method that is not implemented");
    assert_eq!(refused(&put("PURGE"), Server::options()), crate::kit::order(&unknown));
    assert_eq!(refused(&put("PURGE"), Server::options().methods(["PURGE"])), one);
    let old = "GET / HTTP/1.0\r\n\r\n";
    let without = Server::options().allow_http10(false);
    let refused_old = refused(old, without).join("\n");
    assert!(refused_old.contains("505 HTTP Version Not Supported"), "{refused_old}");
    assert!(
        refused_old.contains("\nHTTP Version Not Supported: an HTTP version that is not supported\n"),
        "{refused_old}"
    );
    let large = format!("GET / HTTP/1.1\r\nhost: a\r\nx: {}\r\n\r\n", "x".repeat(40_000));
    assert!(refused(&large, Server::options()).join("\n").contains("431 Request Header Fields Too Large"));
    let dated = refused(GET, Server::options().date(true).max_requests(Some(1)));
    assert!(dated.iter().any(|line| line.starts_with("date: ")) && dated.contains(&"connection: close".to_owned()));
}

#[test]
fn half_closed_client_is_answered_and_one_that_is_gone_is_not() {
    for address in [TCP, Address::ABSTRACT] {
        let (begun, begins) = mpsc::channel();
        let (dropped, is_dropped) = mpsc::channel();
        let wait = async move || {
            let _tell = Tell(dropped.clone());
            begun.send(()).unwrap();
            std::future::pending::<()>().await;
        };
        let server = Serving::new(Server::options(), address, app().route("/wait", get(wait)));
        let mut raw = server.connect();
        raw.send(GET);
        raw.shut_down_writing();
        assert_eq!(raw.rest(), FINE);
        let mut raw = server.connect();
        raw.send("GET /wait HTTP/1.1\r\nHost: a\r\n\r\n");
        begins.recv().unwrap();
        raw.reset();
        is_dropped.recv_timeout(Duration::from_secs(60)).unwrap();
    }
}

#[tokio::test]
async fn what_can_not_be_asked_is_refused() {
    let options = Server::options().on_connect(async |_: &mut Session| true);
    let listener = Server::options().listener(Address::ABSTRACT).unwrap();
    let error = serve(listener, options, fine(), std::future::pending()).await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
}

#[tokio::test(flavor = "multi_thread")]
async fn dropping_it_is_a_shutdown() {
    let listener = Server::options().listener(Address::ABSTRACT).unwrap();
    let address = listener.address().clone();
    // That it can be spawned is a part of the promise.
    let serving = tokio::spawn(serve(listener, Server::options(), app(), std::future::pending()));
    let asked = tokio::task::spawn_blocking(move || {
        let mut raw = Raw::connect(&address);
        raw.send(GET);
        raw.expect(FINE);
        raw
    });
    let mut raw = asked.await.unwrap();
    serving.abort();
    assert_eq!(tokio::task::spawn_blocking(move || raw.rest()).await.unwrap(), "");
}

#[tokio::test]
async fn bodies_are_read_as_those_of_hyper() {
    fn is_a_body<B: http_body::Body<Data = Bytes, Error = hyper::Error> + Send + Sync + 'static>() {}
    is_a_body::<RequestBody>();
    assert_eq!(Body::from("x").collect().await.unwrap().to_bytes(), "x");
}
