//! Bodies that the app supplies for answers about errors, its own and those of the server.

use std::sync::{Mutex, mpsc};
use std::time::Duration;

use degu_server::applib::Hosts;
use degu_server::{
    Address, BlockingRequest, BoxError, Error, ErrorReply, Options, Request, Response, Server, Session, blocking,
};

use crate::common::{Raw, Running, failed, refusal};

const TCP: Address = Address::IPV6_LOOPBACK;
const SECOND: Option<Duration> = Some(Duration::from_secs(1));

async fn app(_: &mut Session, mut request: Request<'_>) -> Result<Response, BoxError> {
    match request.segments() {
        ["read"] => Ok(request.body.read_all(5).await?.into()),
        ["missing"] => Err(Error::new(404, "there is no such note\n").header("x-kept", 1).into()),
        ["silent"] => Err(Error::new(404, "").into()),
        ["own"] => Err(Error::new(400, "<p>no").header("content-type", "text/html").into()),
        ["unsendable"] => Err(Error::new(400, "no").header("x", "\n").into()),
        ["fails"] => Err("the disk is on fire".into()),
        ["panics"] => panic!("an app that panics"),
        ["never"] => std::future::pending().await,
        _ => Ok("fine".into()),
    }
}

/// The body of every answer about an error.
fn json(status: u16, text: &str) -> String {
    format!("{{\"status\":{status},\"detail\":\"{text}\"}}")
}

fn options() -> Options {
    let options =
        Server::options().workers(1).error_body(|status, text| ("application/problem+json", json(status, text)));
    options.head_timeout(SECOND).progress(1024, SECOND)
}

/// Options of a server whose handlers are late soon. With them a handler may be late before its body is.
fn options_of_late_handlers() -> Options {
    options().handler_timeout(SECOND)
}

/// Runs a test with both kinds of address at the same time.
fn at_both_addresses(test: impl Fn(Address) + Sync) {
    std::thread::scope(|scope| {
        for address in [TCP, Address::ABSTRACT] {
            let test = &test;
            scope.spawn(move || test(address));
        }
    });
}

/// Sends all requests at the same time, each over a connection of its own, and expects these problems.
fn expect_problems(connect: impl Fn() -> Raw + Sync, cases: &[(&str, u16, &str)]) {
    std::thread::scope(|scope| {
        for &(request, status, text) in cases {
            let connect = &connect;
            scope.spawn(move || assert_eq!(ask(connect(), request), problem(status, text), "{request}"));
        }
    });
}

const LATE_HANDLER: (&str, u16, &str) =
    ("GET /never HTTP/1.1\r\nHost: a\r\n\r\n", 503, "Service Unavailable: the app took too long");

/// Sends these bytes. Returns the status, the media type and the body of the last response.
fn ask(mut raw: Raw, bytes: &str) -> (u16, String, String) {
    raw.send(bytes);
    parse(&raw.rest())
}

fn parse(response: &str) -> (u16, String, String) {
    let (head, body) = response.rsplit_once("\r\n\r\n").unwrap();
    let field = |name: &str| head.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default().to_owned();
    if !body.is_empty() {
        assert_eq!(field("content-length: "), body.len().to_string(), "{response}");
    }
    let status = head.split_ascii_whitespace().nth(1).unwrap().parse().unwrap();
    (status, field("content-type: "), body.to_owned())
}

fn problem(status: u16, text: &str) -> (u16, String, String) {
    (status, "application/problem+json".to_owned(), json(status, text))
}

#[test]
fn refusals_and_errors_have_the_body_of_the_app() {
    at_both_addresses(|address| {
        let server = Running::with(options(), address.clone(), app);
        let late = Running::with(options_of_late_handlers(), address, app);
        std::thread::scope(|scope| {
            scope.spawn(|| expect_problems(|| late.connect(), &[LATE_HANDLER]));
            let cases = [
                ("GET / HTTP/1.1\r\n\r\n", 400, "Bad Request: a request without Host"),
                ("PLAY / HTTP/1.1\r\nHost: a\r\n\r\n", 501, "Not Implemented: a method that is not implemented"),
                ("GET / HTTP/1.1\r\nHost:", 408, "Request Timeout: the client sent the head of a request too slowly"),
                (
                    "PUT /read HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nab",
                    408,
                    "Request Timeout: the client sent the body of a request too slowly",
                ),
                (
                    "PUT /read HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\nabcdef",
                    413,
                    "Content Too Large: a body longer than the limit of its reader",
                ),
                ("GET /fails HTTP/1.1\r\nHost: a\r\n\r\n", 500, "Internal Server Error: the server failed"),
                ("GET /panics HTTP/1.1\r\nHost: a\r\n\r\n", 500, "Internal Server Error: the server failed"),
                ("GET /unsendable HTTP/1.1\r\nHost: a\r\n\r\n", 500, "Internal Server Error: the server failed"),
                ("GET /missing HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", 404, "there is no such note"),
            ];
            expect_problems(|| server.connect(), &cases);
        });
    });
}

#[test]
fn texts_of_hosts_and_blocking_are_replaced_by_the_apps_body() {
    let server = Running::with(options(), TCP, Hosts::only(["localhost"], app));
    expect_problems(
        || server.connect(),
        &[
            (
                "GET / HTTP/1.1\r\nHost: other\r\nConnection: close\r\n\r\n",
                421,
                "this server does not serve the host of this request: the operator must add the host to `applib::Hosts`",
            ),
            (
                "GET / HTTP/1.1\r\nHost: localhost\r\nOrigin: null\r\nConnection: close\r\n\r\n",
                403,
                "this server does not accept requests from web pages of this origin: the operator must add the host of the pages to `applib::Hosts`",
            ),
        ],
    );
    let (started, start) = mpsc::channel();
    let (open, gate) = mpsc::channel::<()>();
    let (started, gate) = (Mutex::new(started), Mutex::new(gate));
    let function = move |_: BlockingRequest| {
        started.lock().unwrap().send(()).unwrap();
        let _ = gate.lock().unwrap().recv();
    };
    let server = Running::with(options(), TCP, blocking(0, function).threads(1).queue(0));
    let mut busy = server.connect();
    busy.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    start.recv().unwrap();
    let text = "the server is busy: all threads of this handler are in use, try again later";
    let request = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    expect_problems(|| server.connect(), &[(request, 503, text)]);
    drop(open);
    assert!(busy.response_head().unwrap().starts_with("HTTP/1.1 200 "));
}

#[test]
fn on_connect_that_panics_is_answered_with_the_body_of_the_app() {
    let server = Running::with(options().on_connect(async |_| panic!("an on_connect that panics")), TCP, app);
    // No byte of the request has been read, so that nothing says that its method is HEAD.
    assert_eq!(parse(&server.connect().rest()), problem(500, "Internal Server Error: the server failed"));
}

/// Options of a server with room for one connection, and the bodies' lengths that its `on_response` gets.
fn options_of_one() -> (Options, mpsc::Receiver<(Option<u16>, u64)>) {
    let (send, lengths) = mpsc::channel();
    let options =
        Server::options().workers(1).max_connections(1).error_body(|status, text| ("a/b", json(status, text)));
    let options = options.on_response(move |exchange| {
        // The test may have ended.
        let _ = send.send((exchange.status(), exchange.body_bytes()));
    });
    (options, lengths)
}

/// Takes the one place of a server, then is refused twice.
fn refuse_for_want_of_room(connect: impl Fn() -> Raw, lengths: &mpsc::Receiver<(Option<u16>, u64)>) {
    let mut busy = connect();
    busy.send("GET /fine HTTP/1.1\r\nHost: a\r\n\r\nGET /never HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(busy.response_head().unwrap().starts_with("HTTP/1.1 200 "));
    assert_eq!(lengths.recv().unwrap(), (Some(200), 4));
    let body = json(503, "Service Unavailable: the server cannot take another connection now: try again later");
    // Both connections wait at the same time.
    let mut newcomers = [("GET", body.len()), ("HEAD", 0)].map(|(method, body_bytes)| {
        let mut raw = connect();
        raw.send(format!("{method} / HTTP/1.1\r\nHost: a\r\n\r\n"));
        (raw, body_bytes)
    });
    for (raw, body_bytes) in &mut newcomers {
        let (status, media_type, answer) = parse(&raw.rest());
        assert_eq!((status, media_type.as_str(), answer.as_str()), (503, "a/b", &body[..*body_bytes]));
        assert_eq!(lengths.recv().unwrap(), (Some(503), *body_bytes as u64));
    }
}

#[test]
fn refusal_for_want_of_room_has_the_body_of_the_app() {
    at_both_addresses(|address| {
        let (options, lengths) = options_of_one();
        let server = Running::with(options, address, app);
        refuse_for_want_of_room(|| server.connect(), &lengths);
    });
}

#[test]
fn answer_that_is_no_text_about_an_error_stays_as_it_is() {
    let server = Running::with(options(), TCP, app);
    for (request, expected) in [
        // The client of a HEAD gets the length and no body.
        ("HEAD / HTTP/1.1\r\n\r\n", "content-length: 61\r\nconnection: close\r\n\r\n"),
        (
            "HEAD /missing HTTP/1.1\r\nHost: a\r\n\r\n",
            "x-kept: 1\r\ncontent-type: application/problem+json\r\ncontent-length: 47\r\n\r\n",
        ),
        ("GET /silent HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n"),
        ("GET /own HTTP/1.1\r\nHost: a\r\n\r\n", "content-type: text/html\r\ncontent-length: 5\r\n\r\n<p>no"),
    ] {
        let answer = server.ask(request);
        assert!(answer.ends_with(expected), "{answer}");
    }
}

#[test]
fn body_that_cannot_be_sent_is_replaced_by_the_text() {
    for body in [
        (|_, _| panic!("a body that panics")) as fn(u16, &str) -> (&'static str, String),
        |_, _| ("text/html", "x".repeat(8 * 1024 + 1)),
        |_, _| ("text/html\r\ncontent-length: 0\r\n\r\n", String::new()),
        |_, _| ("", "<p>no".into()),
        |_, _| ("html", "<p>no".into()),
    ] {
        let server = Running::with(Server::options().workers(1).error_body(body), TCP, app);
        assert_eq!(server.ask("GET / HTTP/1.1\r\n\r\n"), refusal("400 Bad Request", "a request without Host"));
        assert_eq!(server.ask("GET /fails HTTP/1.1\r\nHost: a\r\n\r\n"), failed());
    }
    let longest = |_, _: &str| ("text/html", "x".repeat(8 * 1024));
    let server = Running::with(Server::options().workers(1).error_body(longest), TCP, app);
    assert_eq!(parse(&server.ask("GET / HTTP/1.1\r\n\r\n")).2.len(), 8 * 1024);
}

#[test]
fn silent_server_sends_no_body_of_the_app() {
    let server = Running::with(options().error_reply(ErrorReply::Silent), TCP, app);
    assert_eq!(server.ask("GET / HTTP/1.1\r\n\r\n"), "");
    assert_eq!(server.ask("PUT /read HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\nabcdef"), "");
    // The server is at fault.
    let answer = server.ask("GET /fails HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(parse(&answer), problem(500, "Internal Server Error: the server failed"));
}

#[cfg(feature = "hyper")]
mod hyper {
    use axum::routing::{any, get};

    use super::*;
    use crate::kit::Serving;

    fn service() -> axum::Router {
        axum::Router::new()
            .route("/fine", get(async || "fine"))
            .route("/read", any(async |body: String| body))
            .route("/panics", get(async || -> &'static str { panic!("a handler that panics") }))
            .route("/never", get(std::future::pending::<()>))
    }

    #[test]
    fn refusals_around_a_tower_service_have_the_body_of_the_app() {
        at_both_addresses(|address| {
            let server = Serving::new(options(), address.clone(), service());
            let late = Serving::new(options_of_late_handlers(), address, service());
            std::thread::scope(|scope| {
                scope.spawn(|| expect_problems(|| late.connect(), &[LATE_HANDLER]));
                scope.spawn(|| {
                    let cases = [
                        (
                            "PLAY / HTTP/1.1\r\nHost: a\r\n\r\n",
                            501,
                            "Not Implemented: a method that is not implemented",
                        ),
                        (
                            "GET / HTTP/1.1\r\nHost:",
                            408,
                            "Request Timeout: the client sent the head of a request too slowly",
                        ),
                        (
                            "PUT /read HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nab",
                            408,
                            "Request Timeout: the client sent the body of a request too slowly",
                        ),
                        ("GET /panics HTTP/1.1\r\nHost: a\r\n\r\n", 500, "Internal Server Error: the server failed"),
                    ];
                    expect_problems(|| server.connect(), &cases);
                });
                for (server, request) in [
                    (&server, "HEAD / HTTP/1.1\r\nHost:"),
                    (&server, "HEAD /read HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nab"),
                    (&late, "HEAD /never HTTP/1.1\r\nHost: a\r\n\r\n"),
                ] {
                    scope.spawn(move || assert_eq!(ask(server.connect(), request).2, "", "{request}"));
                }
            });
        });
    }

    #[test]
    fn refusal_at_the_cap_of_a_tower_service_has_the_apps_body() {
        at_both_addresses(|address| {
            let (options, lengths) = options_of_one();
            let server = Serving::new(options.shutdown_grace(Duration::ZERO), address, service());
            refuse_for_want_of_room(|| server.connect(), &lengths);
        });
    }

    #[test]
    fn late_head_after_another_request_is_answered_with_a_body() {
        let server = Serving::new(options(), TCP, service());
        let mut raw = server.connect();
        raw.send("GET /fine HTTP/1.1\r\nHost: a\r\n\r\nGET /fine HTTP/1.1\r\n");
        raw.response_head().unwrap();
        raw.expect("fine");
        // The first byte of this part is that of HEAD.
        assert_eq!(
            ask(raw, "Host: a\r\n"),
            problem(408, "Request Timeout: the client sent the head of a request too slowly")
        );
    }

    #[test]
    fn silent_server_does_not_answer_for_a_tower_service() {
        let options = || Server::options().error_reply(ErrorReply::Silent).head_timeout(SECOND).allow_http10(false);
        at_both_addresses(|address| {
            let server = Serving::new(options(), address, service());
            for request in ["PLAY / HTTP/1.1\r\nHost: a\r\n\r\n", "GET / HTTP/1.0\r\n\r\n", "GET / HTTP/1.1\r\nHost:"] {
                let mut raw = server.connect();
                raw.send(request);
                assert_eq!(raw.rest(), "", "{request}");
            }
        });
    }
}
