//! Conversions from and to the types of the crates `http` and `http-body`.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::common::{Running, failed};
use bytes::Bytes;
use degu_server::http::{HttpBody, from_http, headers_from_http, headers_into_http};
use degu_server::{
    Address, Body, BoxError, Chunk, Headers, IntoResponse, Part, Request, Response, Session, Source, Trailers,
};
use http_body::{Body as _, Frame, SizeHint};
use http_body_util::{BodyExt, Empty, Full};

/// Gives what it is told to.
struct Frames(Vec<Frame<Bytes>>, SizeHint);

impl http_body::Body for Frames {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let frame = (!self.0.is_empty()).then(|| Ok(self.0.remove(0)));
        Poll::Ready(frame)
    }

    fn size_hint(&self) -> SizeHint {
        self.1
    }
}

fn trailers() -> http::HeaderMap {
    [(http::HeaderName::from_static("x-sum"), http::HeaderValue::from_static("7"))].into_iter().collect()
}

fn frames() -> Vec<Frame<Bytes>> {
    let data = |text: &'static str| Frame::data(Bytes::from_static(text.as_bytes()));
    vec![data("one"), data(""), data("two"), Frame::trailers(trailers())]
}

#[test]
fn fields_come_back() {
    let mut headers = Headers::try_from([("X-A", "1"), ("x-b", "2"), ("X-a", "3")]).unwrap();
    headers.append_bytes("x-raw", b"\xff").unwrap();
    let map = headers_into_http(&headers).unwrap();
    assert_eq!(map.get_all("x-a").iter().collect::<Vec<_>>(), ["1", "3"]);
    let back = headers_from_http(&map).unwrap();
    assert_eq!(back.get_all("x-a").collect::<Vec<_>>(), [b"1", b"3"]);
    assert_eq!(back.get_bytes("X-Raw"), Some(&b"\xff"[..]));
    assert_eq!(back.len(), headers.len());

    let mut map = http::HeaderMap::new();
    map.insert("x-spaces", " a b ".parse().unwrap());
    assert_eq!(headers_from_http(&map).unwrap().get("x-spaces"), Some("a b"));
    map.insert("x-large", "x".repeat(70_000).parse().unwrap());
    assert!(headers_from_http(&map).is_err());
}

/// Ours, as a body of theirs, as one of ours, and so on.
async fn around(body: Body) -> Result<(Bytes, Option<http::HeaderMap>), BoxError> {
    let collected = HttpBody::new(from_http(HttpBody::new(body))).collect().await?;
    let trailers = collected.trailers().cloned();
    Ok((collected.to_bytes(), trailers))
}

struct Parts(Vec<Part>);

impl Source for Parts {
    fn poll_part(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Part, BoxError>>> {
        Poll::Ready((!self.0.is_empty()).then(|| Ok(self.0.remove(0))))
    }
}

#[tokio::test]
async fn bodies_come_back_with_their_trailers() {
    assert_eq!(around(Body::from(())).await.unwrap(), (Bytes::new(), None));
    assert_eq!(around(Body::from("hello")).await.unwrap(), ("hello".into(), None));
    let pieces = || Box::pin(Parts(vec![Part::Data("he".into()), Part::Data("".into()), Part::Data("llo".into())]));
    assert_eq!(around(Body::from_source(5, pieces())).await.unwrap(), ("hello".into(), None));
    for length in [4, 6] {
        assert!(around(Body::from_source(length, pieces())).await.is_err(), "{length}");
    }
    let mut sum = Trailers::new();
    sum.append("X-Sum", 7).unwrap();
    let chunks = vec![
        Chunk::new("he").with_extension("n", 1).into(),
        Part::Chunk { size: 3, extensions: Default::default(), data: "l".into() },
        Part::Data("lo".into()),
        sum.into(),
    ];
    let whole = around(Body::chunks_from_source(Box::pin(Parts(chunks)))).await.unwrap();
    assert_eq!(whole, ("hello".into(), Some(trailers())));
}

#[test]
fn sizes_are_told() {
    assert_eq!(from_http(Full::new(Bytes::from("hello"))).length(), Some(5));
    assert!(from_http(Empty::<Bytes>::new()).is_none());
    assert_eq!(from_http(Frames(frames(), SizeHint::default())).length(), None);
    let body = HttpBody::new(Body::from("hello"));
    assert_eq!((body.size_hint().exact(), body.is_end_stream()), (Some(5), false));
    let body = HttpBody::new(Body::none());
    assert_eq!((body.size_hint().exact(), body.is_end_stream()), (Some(0), true));
}

async fn app(_: &mut Session, request: Request<'_>) -> Result<Response, BoxError> {
    let with = |builder: http::response::Builder, hint| Ok(builder.body(Frames(frames(), hint))?.into_response());
    let response = http::Response::builder();
    match request.segments() {
        ["echo"] => {
            let request = request.into_http()?;
            let response = response.header("x-uri", request.uri().to_string()).header("trailer", "x-sum");
            Ok(response.body(request.into_body())?.into_response())
        }
        ["version"] => Ok(format!("{:?}", request.into_http()?.version()).into_response()),
        ["chunks"] => with(response, SizeHint::default()),
        ["length"] => with(response, SizeHint::with_exact(6)),
        ["named"] => with(response.header("trailer", "x-sum"), SizeHint::with_exact(6)),
        ["said"] => {
            let response = response.header("content-length", "6").header("connection", "keep-alive, x");
            let body = Frames(frames().into_iter().take(3).collect(), SizeHint::default());
            Ok(response.body(body)?.into_response())
        }
        ["only-trailers"] => {
            let body = Empty::<Bytes>::new().with_trailers(async { Some(Ok(trailers())) });
            Ok(response.body(body)?.into_response())
        }
        ["not-empty"] => {
            Ok(response.header("content-length", "0").body(Full::new(Bytes::from("data")))?.into_response())
        }
        ["differs", length] => {
            Ok(response.header("content-length", *length).body(Full::new(Bytes::from("data")))?.into_response())
        }
        ["repeated"] => with(response.header("content-length", 6).header("content-length", 7), SizeHint::default()),
        ["unmodified"] => {
            Ok(response.status(304).header("content-length", 4).body(Empty::<Bytes>::new())?.into_response())
        }
        ["unended", length] => Ok(response
            .header("content-length", *length)
            .body(Frames(vec![], SizeHint::with_exact(0)))?
            .into_response()),
        ["none"] => Ok(response.header("content-length", 4).body(Empty::<Bytes>::new())?.into_response()),
        ["coded"] => with(response.header("transfer-encoding", "gzip, chunked"), SizeHint::default()),
        ["coded-chunked"] => with(response.header("transfer-encoding", "Chunked"), SizeHint::with_exact(6)),
        ["empty"] => Ok(response.status(204).header("content-length", 0).body(Empty::<Bytes>::new())?.into_response()),
        _ => {
            Ok(response.status(404).header("connection", "close").body(Full::new(Bytes::from("none")))?.into_response())
        }
    }
}

#[test]
fn an_app_answers_with_a_response_of_theirs() {
    let server = Running::new(Address::ABSTRACT, app);
    let get = |path: &str| server.ask(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n"));
    let chunks = "transfer-encoding: chunked\r\n\r\n3\r\none\r\n3\r\ntwo\r\n0\r\nx-sum: 7\r\n\r\n";
    assert_eq!(get("/chunks"), format!("HTTP/1.1 200 OK\r\n{chunks}"));
    assert_eq!(get("/named"), format!("HTTP/1.1 200 OK\r\ntrailer: x-sum\r\n{chunks}"));
    assert_eq!(get("/coded-chunked"), format!("HTTP/1.1 200 OK\r\n{chunks}"));
    assert!(get("/coded").starts_with("HTTP/1.1 500 "), "no receiver could decode the body");
    // There is no place for them, and they are not dropped in silence.
    assert!(!get("/length").ends_with("onetwo"));
    let chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
    assert_eq!(get("/only-trailers"), format!("{chunked}0\r\nx-sum: 7\r\n\r\n"));
    for path in ["/not-empty", "/differs/3", "/differs/5", "/differs/x", "/repeated", "/none", "/unended/5"] {
        assert_eq!(get(path), failed(), "{path}");
    }
    assert_eq!(get("/differs/4"), "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\ndata");
    assert_eq!(get("/unmodified"), "HTTP/1.1 304 Not Modified\r\ncontent-length: 4\r\n\r\n");
    let head = server.ask("HEAD /none HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(head, "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\n");
    assert_eq!(get("/unended/0"), format!("{chunked}0\r\n\r\n"));
    assert_eq!(get("/said"), "HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nonetwo");
    assert_eq!(get("/empty"), "HTTP/1.1 204 No Content\r\n\r\n");
    assert_eq!(get("/"), "HTTP/1.1 404 Not Found\r\ncontent-length: 4\r\nconnection: close\r\n\r\nnone");
    assert!(get("/version").ends_with("\r\n\r\nHTTP/1.1"));
    assert!(server.ask("GET /version HTTP/1.0\r\n\r\n").ends_with("\r\n\r\nHTTP/1.0"));
    let body = "transfer-encoding: chunked\r\n\r\n5;n=1\r\nhello\r\n0\r\nx-sum: 7\r\n\r\n";
    let answer = server.ask(format!("POST /echo?a=b HTTP/1.1\r\nHost: a\r\n{body}"));
    let expected = body.replace(";n=1", "");
    assert_eq!(answer, format!("HTTP/1.1 200 OK\r\nx-uri: /echo?a=b\r\ntrailer: x-sum\r\n{expected}"));
}

#[tokio::test]
async fn a_response_of_ours_as_one_of_theirs() {
    let ours = Response::from((201, [("X-A", "1")], "text"));
    let theirs = ours.into_http().unwrap();
    assert_eq!((theirs.status().as_u16(), &theirs.headers()["x-a"]), (201, &"1".parse().unwrap()));
    assert_eq!(theirs.into_body().collect().await.unwrap().to_bytes(), "text");
    assert_eq!(Response::from_error("no").into_http().unwrap_err().to_string(), "no");
    assert!(Response::new(1000).into_http().is_err());
}
