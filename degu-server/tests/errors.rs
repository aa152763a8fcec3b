//! Answers that are made from errors: what middleware sees is what the peer gets.

use std::error::Error as StdError;
use std::sync::mpsc;

use crate::common::{Running, failed, refusal};
use degu_server::{Address, App, BoxError, Error, ErrorReply, Request, Response, Server, Session};

const TCP: Address = Address::IPV6_LOOPBACK;

async fn app(_: &mut Session, mut request: Request<'_>) -> Result<Response, BoxError> {
    match request.segments() {
        ["read"] => Ok(request.body.read_all(5).await?.into()),
        ["text"] => Ok(request.body.text(5).await?.into()),
        ["wrapped"] => Ok(request.body.read_all(5).await.map_err(std::io::Error::from)?.into()),
        ["number", number] => {
            let number: u8 = number.parse().map_err(|error| Error::new(400, "send a number").with_source(error))?;
            Ok((number * 2).to_string().into())
        }
        ["silent"] => Err(Error::new(404, "").into()),
        ["busy"] => Err(Error::new(503, "try again later").into()),
        ["fails"] => Err("the disk is on fire".into()),
        _ => Ok("fine".into()),
    }
}

/// Middleware that tells the status that it has seen, and adds a field.
fn watched(app: impl App, seen: mpsc::Sender<u16>) -> impl App {
    async move |session: &mut Session, request: Request<'_>| {
        let response = app.handle(session, request).await;
        seen.send(response.status).unwrap();
        response.header("x-seen", "yes")
    }
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n")
}

fn post(path: &str, framing: &str, body: &str) -> String {
    format!("POST {path} HTTP/1.1\r\nHost: a\r\n{framing}\r\n\r\n{body}")
}

fn text(status: &str, text: &str) -> String {
    let length = text.len();
    format!("HTTP/1.1 {status}\r\ncontent-type: text/plain\r\ncontent-length: {length}\r\n\r\n{text}")
}

#[test]
fn the_status_that_middleware_sees_goes_over_the_wire() {
    let (seen, sees) = mpsc::channel();
    let server = Running::new(TCP, watched(app, seen));
    let large = refusal("413 Content Too Large", "a body longer than the limit of its reader");
    let chunked = "Transfer-Encoding: chunked";
    for (request, status, expected) in [
        // Bodies that are in memory, that come in part, and that break off.
        (post("/read", "Content-Length: 6", "123456"), 413, large.clone()),
        (post("/read", "Content-Length: 600000", "123"), 413, large.clone()),
        (post("/read", chunked, "6\r\n123456\r\n0\r\n\r\n"), 413, large.clone()),
        (post("/wrapped", chunked, "6\r\n123456\r\n0\r\n\r\n"), 413, large),
        (post("/read", chunked, "x"), 400, refusal("400 Bad Request", "a malformed chunk size")),
        (
            post("/read", "Content-Length: 5", "123"),
            400,
            refusal("400 Bad Request", "an incomplete body, because the connection ended"),
        ),
        (get("/fails"), 500, failed()),
    ] {
        let expected = expected.replacen("text/plain\r\n", "text/plain\r\nx-seen: yes\r\n", 1);
        assert_eq!(server.ask(&request), expected, "{request}");
        assert_eq!(sees.recv().unwrap(), status, "{request}");
    }
}

#[test]
fn an_error_of_the_apps_own_is_an_answer_like_any_other() {
    let server = Running::new(TCP, app);
    let fine = "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nfine";
    let latin1: &[u8] = b"POST /text HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\ncaf\xe9";
    for (request, expected) in [
        (get("/number/x").into_bytes(), text("400 Bad Request", "send a number")),
        (get("/silent").into_bytes(), "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n".to_owned()),
        (get("/busy").into_bytes(), text("503 Service Unavailable", "try again later")),
        (latin1.to_vec(), text("400 Bad Request", "the body is not UTF-8 at byte 3")),
    ] {
        assert_eq!(server.ask([&request, get("/").as_bytes()].concat()), expected + fine);
    }
    let stats = server.handle().stats();
    assert_eq!((stats.failures, stats.requests), (0, 8));
}

#[test]
fn an_error_that_cannot_be_sent_is_a_failure_of_the_app() {
    let server = Running::new(TCP, async |_: &mut Session, _: Request<'_>| Error::new(99, "no status"));
    assert_eq!(server.ask(get("/")), failed());
}

#[test]
fn a_silent_server_closes_where_the_body_breaks_the_protocol() {
    let options = Server::options().workers(1).error_reply(ErrorReply::Silent);
    let server = Running::with(options, TCP, app);
    assert_eq!(server.ask(post("/read", "Content-Length: 6", "123456")), "");
    assert_eq!(server.ask(get("/number/x")), text("400 Bad Request", "send a number"));
    assert_eq!(server.ask(get("/fails")), failed());
}

/// Middleware that answers every error in a form of its own.
fn in_braces(app: impl App) -> impl App {
    async move |session: &mut Session, request: Request<'_>| {
        let response = app.handle(session, request).await;
        match response.error() {
            Some(error) => (response.status, format!("{{{error}}}")).into(),
            None => response,
        }
    }
}

#[test]
fn middleware_answers_errors_in_another_form() {
    let server = Running::new(TCP, in_braces(app));
    for (path, expected) in [
        ("/number/x", "HTTP/1.1 400 Bad Request\r\ncontent-length: 15\r\n\r\n{send a number}"),
        ("/fails", "HTTP/1.1 500 Internal Server Error\r\ncontent-length: 21\r\n\r\n{the disk is on fire}"),
    ] {
        assert_eq!(server.ask(get(path)), expected);
    }
}

#[test]
fn an_error_says_what_display_says_and_keeps_its_source() {
    let cause = "x".parse::<u8>().unwrap_err();
    let error = Error::new(400, "send a number").with_source(cause.clone());
    assert_eq!((error.status(), error.fault(), error.is_over()), (400, None, false));
    assert_eq!((error.to_string(), format!("{error:?}")), ("send a number".to_owned(), "send a number".to_owned()));
    assert_eq!(error.source().unwrap().to_string(), cause.to_string());
    assert_eq!(Error::new(404, "").to_string(), "Not Found");
    // The cause is not sent.
    let response = Response::from(error);
    assert_eq!((response.status, response.body.length()), (400, Some(13)));
    assert!(response.error().unwrap().is::<Error>());
}
