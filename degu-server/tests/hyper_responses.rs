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

/// A service without axum, because axum would change the response.
#[derive(Clone)]
struct Bare(fn(Uri) -> Result<Response<Body>, &'static str>);

impl tower_service::Service<Request<RequestBody>> for Bare {
    type Response = Response<Body>;
    type Error = &'static str;
    type Future = std::future::Ready<Result<Response<Body>, &'static str>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), &'static str>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<RequestBody>) -> Self::Future {
        std::future::ready((self.0)(request.uri().clone()))
    }
}

#[test]
fn failed_service_is_answered_with_500() {
    let server = Serving::new(Server::options(), TCP, Bare(|_| Err("no")));
    let mut raw = server.connect();
    raw.send(GET);
    assert_eq!(order(&raw.rest()), order(&failed()));
}

/// A body without data that has not ended.
struct Unended;

impl http_body::Body for Unended {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(None)
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(0)
    }
}

/// Returns a response whose status is the first segment of the path, and whose body is named by the second. Each further segment
/// becomes a `content-length`, or a `transfer-encoding` if it is `chunked`.
fn framed(uri: Uri) -> Result<Response<Body>, &'static str> {
    let mut segments = uri.path().split('/').skip(1);
    let response = Response::builder().status(segments.next().unwrap());
    let (sender, receiver) = tokio::sync::mpsc::channel::<Result<_, Infallible>>(1);
    sender.try_send(Ok(Frame::data(Bytes::from("fine")))).unwrap();
    let mut response = response
        .body(match segments.next() {
            Some("stream") => Body::new(StreamBody::new(Receiving(receiver))),
            Some("none") => Body::empty(),
            Some("unended") => Body::new(Unended),
            _ => Body::from("fine"),
        })
        .unwrap();
    for value in segments {
        let name = if value == "chunked" { "transfer-encoding" } else { "content-length" };
        response.headers_mut().append(name, value.parse().unwrap());
    }
    Ok(response)
}

/// Sends a request for a path, and then a request that only a connection without a fault answers. Returns both responses.
fn ask(server: &Serving, method: &str, path: &str) -> Vec<String> {
    let mut raw = server.connect();
    let last = "GET /200/all HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
    raw.send(format!("{method} /{path} HTTP/1.1\r\nhost: a\r\n\r\n{last}"));
    order(&raw.rest())
}

/// Returns a response, and the response to the second request of [`ask`].
fn and_last(response: &str) -> Vec<String> {
    order(&format!("HTTP/1.1 {response}HTTP/1.1 200 OK\r\ncontent-length: 4\r\nconnection: close\r\n\r\nfine"))
}

#[test]
fn response_that_contradicts_itself_is_answered_with_500() {
    let server = Serving::new(Server::options(), TCP, Bare(framed));
    let of_another_length = ["all/5", "all/3", "all/4/5", "stream/4/5", "none/4", "unended/4"];
    let malformed = ["all/x", "all/+4", "stream/x", "none/x"];
    for path in of_another_length.iter().chain(&malformed) {
        assert_eq!(ask(&server, "GET", &format!("200/{path}")), order(&failed()), "{path}");
    }
    for path in ["none/4/5", "none/x"] {
        let failed = failed().replace("Internal Server Error: the server failed\n", "");
        assert_eq!(ask(&server, "HEAD", &format!("200/{path}")), order(&failed), "{path}");
    }
}

#[test]
fn response_with_content_length_is_sent() {
    let server = Serving::new(Server::options(), TCP, Bare(framed));
    let head = "200 OK\r\ncontent-length: 4\r\n\r\n";
    for path in ["all", "all/4", "all/4/4", "stream/4", "stream/4/4"] {
        let path = format!("200/{path}");
        assert_eq!(ask(&server, "GET", &path), and_last(&format!("{head}fine")), "{path}");
        assert_eq!(ask(&server, "HEAD", &path), and_last(head), "{path}");
    }
    for path in ["none/4", "none/4/4", "unended/4"] {
        assert_eq!(ask(&server, "HEAD", &format!("200/{path}")), and_last(head), "{path}");
    }
    for (status, phrase) in [(204, "No Content"), (304, "Not Modified")] {
        for (method, body) in [("GET", "all/4"), ("GET", "unended/4"), ("HEAD", "none/4"), ("HEAD", "all/5")] {
            let without = and_last(&format!("{status} {phrase}\r\n\r\n"));
            assert_eq!(ask(&server, method, &format!("{status}/{body}")), without, "{method} {status} {body}");
        }
    }
}

#[test]
fn response_with_transfer_encoding_has_no_content_length() {
    // axum adds the content-length of a body that has a known length.
    let router = Router::new().fallback(async |uri: Uri| framed(uri).unwrap());
    let server = Serving::new(Server::options(), TCP, router);
    for fields in ["chunked", "chunked/4", "4/chunked"] {
        let chunked = and_last("200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nfine\r\n0\r\n\r\n");
        assert_eq!(ask(&server, "GET", &format!("200/all/{fields}")), chunked, "{fields}");
        assert_eq!(ask(&server, "HEAD", &format!("200/all/{fields}")), and_last("200 OK\r\n\r\n"), "{fields}");
        assert_eq!(ask(&server, "GET", &format!("204/all/{fields}")), and_last("204 No Content\r\n\r\n"), "{fields}");
        assert_eq!(ask(&server, "GET", &format!("304/all/{fields}")), and_last("304 Not Modified\r\n\r\n"), "{fields}");
        let mut raw = server.connect();
        raw.send(format!("GET /200/all/{fields} HTTP/1.0\r\n\r\n"));
        assert_eq!(raw.rest(), "HTTP/1.0 200 OK\r\ncontent-length: 4\r\n\r\nfine", "{fields}");
    }
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
    let server = Serving::new(Server::options(), TCP, Bare(|_| Ok(Response::new(Body::new(Broken)))));
    let mut raw = server.connect();
    raw.send(GET);
    assert_eq!(raw.rest(), failed());
}
