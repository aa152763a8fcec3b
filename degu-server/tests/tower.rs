//! Apps as services of tower, in a router of axum on hyper's driver.

use std::sync::mpsc;
use std::time::Duration;

use crate::kit::{Serving, Tell, closing, order};
use axum::Router;
use degu_server::tower::AppService;
use degu_server::{
    Address, App, Body, BoxError, Chunk, IntoResponse, Limits, Method, Request, Response, Server, Session,
    own_credentials,
};

async fn app(session: &mut Session, mut request: Request<'_>) -> Result<Response, BoxError> {
    Ok(match (request.method(), request.path()) {
        (Method::Get, ["who"]) => {
            let uid = session.credentials().map(|process| process.uid);
            format!("{uid:?} {} {}", session.requests(), request.headers().get("host").unwrap_or("none"))
                .into_response()
        }
        (_, ["echo"]) => (200, "Fine", [("trailer", "x-sum")], request.body).into_response(),
        (_, ["chunk"]) => {
            let chunk = request.body.next_chunk().await?;
            let text = chunk.map_or(String::new(), |chunk| String::from_utf8_lossy(&chunk.data).into_owned());
            let extensions = session.get::<http::Extensions>().is_some();
            (200, "OK", format!("{text} {extensions}")).into_response()
        }
        (_, ["small"]) => request.body.read_all(4).await?.into_response(),
        (_, ["fails"]) => return Err("it fails".into()),
        (_, ["panics"]) => panic!("an app that panics"),
        (_, ["half"]) => Body::unfold(true, async |first| {
            tokio::task::yield_now().await;
            assert!(first, "a body that panics");
            Some((Chunk::new("half"), false))
        })
        .into_response(),
        _ => (404, "Not Found", ()).into_response(),
    })
}

fn serving(app: impl App) -> Serving {
    let options = Server::options().workers(2).limits(Limits { max_chunk: 8, ..Limits::default() });
    let service = AppService::with_options(options, app).unwrap();
    Serving::new(Server::options(), Address::ABSTRACT, Router::new().nest_service("/degu", service))
}

fn ask(server: &Serving, request: &str) -> Vec<String> {
    let mut raw = server.connect();
    raw.send(request);
    raw.shut_down_writing();
    order(&raw.rest())
}

fn get(path: &str) -> String {
    format!("GET /degu{path} HTTP/1.1\r\nHost: example.org\r\n\r\n")
}

#[test]
fn an_app_in_a_router_of_axum() {
    let server = serving(app);
    let me = own_credentials().uid;
    let who =
        format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\nSome({me}) 1 example.org", 20 + me.to_string().len());
    assert_eq!(ask(&server, &get("/who")), order(&who));
    assert_eq!(ask(&server, &get("/nothing")), order("HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n"));
    let patch = "PURGE /degu/who HTTP/1.1\r\nHost: a\r\n\r\n";
    assert_eq!(ask(&server, patch), order(&closing("501 Not Implemented")));
}

#[test]
fn chunks_and_trailers_cross_over() {
    let server = serving(app);
    let post = |path: &str, body: &str| {
        let te = "TE: trailers\r\nTransfer-Encoding: chunked";
        ask(&server, &format!("POST /degu{path} HTTP/1.1\r\nHost: a\r\n{te}\r\n\r\n{body}"))
    };
    let body = "5\r\nhello\r\n0\r\nx-sum: 7\r\n\r\n";
    let expected = format!("HTTP/1.1 200 OK\r\ntrailer: x-sum\r\ntransfer-encoding: chunked\r\n\r\n{body}");
    assert_eq!(post("/echo", body), order(&expected));
    assert_eq!(post("/chunk", body), order("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhello true"));
    // The limits are the app's: what is over them is its client's fault.
    let too_large = order("HTTP/1.1 413 Payload Too Large\r\ncontent-length: 0\r\n\r\n");
    assert_eq!(post("/small", body), too_large);
    let sized = "POST /degu/echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello";
    let expected = "HTTP/1.1 200 OK\r\ntrailer: x-sum\r\ncontent-length: 5\r\n\r\nhello";
    assert_eq!(ask(&server, sized), order(expected));
}

#[test]
fn an_app_that_fails_is_answered_for() {
    let server = serving(app);
    let failed = order("HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\n\r\n");
    assert_eq!(ask(&server, &get("/fails")), failed);
    assert_eq!(ask(&server, &get("/panics")), failed);
    let mut raw = server.connect();
    raw.send(get("/half"));
    assert!(!raw.end().ends_with("0\r\n\r\n"), "it does not look whole");
    assert_eq!(ask(&server, &get("/nothing"))[0], "HTTP/1.1 404 Not Found");
}

#[test]
fn a_client_that_is_gone_cancels_the_app_and_its_body() {
    for in_body in [false, true] {
        let (dropped, is_dropped) = mpsc::channel();
        let (begun, begins) = mpsc::channel();
        let app = async move |_: &mut Session, _: Request<'_>| {
            let tell = Tell(dropped.clone());
            begun.send(()).unwrap();
            if in_body {
                return Body::unfold((true, tell), async |(first, tell)| {
                    if !first {
                        std::future::pending::<()>().await;
                    }
                    Some((Chunk::new("some"), (false, tell)))
                });
            }
            std::future::pending::<()>().await;
            drop(tell);
            Body::none()
        };
        let server = serving(app);
        let mut raw = server.connect();
        raw.send(get("/"));
        begins.recv().unwrap();
        if in_body {
            raw.response_head().unwrap();
            raw.expect("4\r\nsome\r\n");
        }
        drop(raw);
        is_dropped.recv_timeout(Duration::from_secs(20)).unwrap();
    }
}

/// Wants nobody.
struct Shy;

impl App for Shy {
    async fn on_connect(&self, _: &mut Session) -> bool {
        false
    }

    async fn handle(&self, _: &mut Session, _: Request<'_>) -> Response {
        Response::new(200, "OK", ())
    }
}

#[test]
fn whom_an_app_does_not_want() {
    assert_eq!(ask(&serving(Shy), &get("/")), order("HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n"));
    let options = Server::options().workers(1).on_connect(async |_: &mut Session| false);
    let service = AppService::with_options(options, app).unwrap();
    let server = Serving::new(Server::options(), Address::ABSTRACT, Router::new().nest_service("/degu", service));
    assert_eq!(ask(&server, &get("/who"))[0], "HTTP/1.1 403 Forbidden");
}
