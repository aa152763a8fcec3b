//! The responses of tower services.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::common::failed;
use crate::kit::{Receiving, Serving, order};
use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::{Request, Response, Uri, Version};
use degu_server::hyper::RequestBody;
use degu_server::{Address, Server};
use http_body::{Frame, SizeHint};
use http_body_util::StreamBody;

const GET: &str = "GET / HTTP/1.1\r\nhost: a\r\n\r\n";
const TCP: Address = Address::IPV6_LOOPBACK;

/// A service without axum, which would look at the response first.
#[derive(Clone)]
struct Bare(fn() -> Result<Response<Body>, &'static str>);

impl tower_service::Service<Request<RequestBody>> for Bare {
    type Response = Response<Body>;
    type Error = &'static str;
    type Future = std::future::Ready<Result<Response<Body>, &'static str>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), &'static str>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<RequestBody>) -> Self::Future {
        std::future::ready((self.0)())
    }
}

#[test]
fn a_service_that_fails_is_answered_for() {
    let server = Serving::new(Server::options(), TCP, Bare(|| Err("no")));
    let mut raw = server.connect();
    raw.send(GET);
    assert_eq!(order(&raw.rest()), order(&failed()));
}

/// A service that adds each segment of the path to the response as the value of a field: first the kind of the body, then lengths,
/// and `chunked`.
async fn framed(uri: Uri) -> Response<Body> {
    let mut segments = uri.path().split('/').skip(1);
    let (sender, receiver) = tokio::sync::mpsc::channel::<Result<_, Infallible>>(1);
    sender.send(Ok(Frame::data(Bytes::from("fine")))).await.unwrap();
    let mut response = Response::new(match segments.next() {
        Some("stream") => Body::new(StreamBody::new(Receiving(receiver))),
        Some("none") => Body::empty(),
        _ => Body::from("fine"),
    });
    for value in segments {
        let name = if value == "chunked" { "transfer-encoding" } else { "content-length" };
        response.headers_mut().append(name, value.parse().unwrap());
    }
    response
}

#[test]
fn response_that_contradicts_itself_is_answered_with_500() {
    let server = Serving::new(Server::options(), TCP, Router::new().fallback(framed));
    let ask = |method: &str, path: &str| {
        let mut raw = server.connect();
        raw.send(format!(
            "{method} /{path} HTTP/1.1\r\nhost: a\r\n\r\nGET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n"
        ));
        raw.rest()
    };
    let of_another_length = ["all/5", "all/3", "all/4/5", "stream/4/5", "none/4/5"];
    let malformed = ["all/x", "all/+4", "stream/x"];
    for path in of_another_length.iter().chain(&malformed).chain(&["all/chunked/4", "all/4/chunked"]) {
        assert_eq!(ask("GET", path), failed(), "{path}");
    }
    let fine = "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\n";
    let last = "HTTP/1.1 200 OK\r\ncontent-length: 4\r\nconnection: close\r\n\r\nfine";
    for path in ["all/4", "all/4/4", "stream/4", "stream/4/4"] {
        assert_eq!(order(&ask("GET", path)), order(&format!("{fine}fine{last}")), "{path}");
    }
    assert_eq!(order(&ask("HEAD", "none/4")), order(&format!("{fine}{last}")));
}

#[test]
fn response_of_any_version_is_sent_as_http_1_1() {
    let version = async |uri: Uri| {
        let (_sender, receiver) = tokio::sync::mpsc::channel::<Result<_, Infallible>>(1);
        let version = if uri.path() == "/3" { Version::HTTP_3 } else { Version::HTTP_10 };
        Response::builder().version(version).body(Body::new(StreamBody::new(Receiving(receiver)))).unwrap()
    };
    let server = Serving::new(Server::options(), TCP, Router::new().fallback(version));
    let mut raw = server.connect();
    for path in ["3", "1.0"] {
        raw.send(format!("GET /{path} HTTP/1.1\r\nhost: a\r\n\r\n"));
        raw.expect("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n");
    }
}

#[test]
fn body_whose_length_panics_is_answered_with_500() {
    struct Broken;
    impl http_body::Body for Broken {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            Poll::Ready(None)
        }

        fn size_hint(&self) -> SizeHint {
            panic!("a body without a length")
        }
    }
    let server = Serving::new(Server::options(), TCP, Bare(|| Ok(Response::new(Body::new(Broken)))));
    let mut raw = server.connect();
    raw.send(GET);
    assert_eq!(raw.rest(), failed());
}
