//! Bodies as readers and streams, out of readers, streams and files, and requests that are sent again.

use std::{
    future::poll_fn,
    io::{self, BufRead, Read, Write},
    pin::{Pin, pin},
    task::{Context, Poll},
};

use crate::common::{Kind, Server};
use degu_client::{Address, Body, BoxError, Bytes, Chunk, Client, Connection, Part, Trailers, blocking};
use futures_core::Stream;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt};

/// A server that sends two whole responses, and then a response that ends in the middle of its second line.
fn lines() -> Server {
    Server::once(Kind::Path, |wire| {
        for _ in 0..2 {
            wire.head();
            wire.send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\none\r\n");
            wire.send("5\r\n\ntwo\n\r\n0\r\nx: y\r\n\r\n");
        }
        wire.head();
        wire.send("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\none\ntwo");
    })
}

#[tokio::test]
async fn what_a_chunk_has_so_far_is_still_to_be_read() {
    let (near, mut far) = tokio::io::duplex(1024);
    let base = Client::new(Address::from_host("example.org", 80).unwrap());
    let mut connection = Connection::new(near, &base);
    far.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhello").await.unwrap();
    let mut body = connection.get("/").await.unwrap().body;
    let polled = poll_fn(|cx| Poll::Ready(pin!(body.next_chunk()).poll(cx).is_ready())).await;
    assert_eq!((polled, body.remaining()), (false, Some(10)));
    assert_eq!((body.next_data().await.unwrap().unwrap(), body.remaining()), ("hello".into(), Some(5)));
}

#[test]
fn a_blocking_reader() {
    let server = lines();
    let mut connection = blocking::Client::new(&server.address).connect().unwrap();
    let mut text = String::new();
    let mut body = connection.get("/").unwrap().body;
    body.reader().read_to_string(&mut text).unwrap();
    assert_eq!((text.as_str(), body.trailers().unwrap().get("x")), ("one\ntwo\n", Some("y")));
    let lines: Vec<_> = connection.get("/").unwrap().body.reader().lines().map(Result::unwrap).collect();
    assert_eq!(lines, ["one", "two"]);

    let mut body = connection.get("/").unwrap().body;
    let mut reader = body.reader();
    let error = reader.read_to_end(&mut Vec::new()).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    assert!(reader.read(&mut [0]).is_err(), "and no end follows");
}

#[tokio::test]
async fn an_async_reader() {
    let server = lines();
    let mut connection = Client::new(&server.address).connect().await.unwrap();
    let mut text = String::new();
    let mut body = connection.get("/").await.unwrap().body;
    body.reader().read_to_string(&mut text).await.unwrap();
    assert_eq!((text.as_str(), body.trailers().unwrap().get("x")), ("one\ntwo\n", Some("y")));
    let mut body = connection.get("/").await.unwrap().body;
    let mut lines = body.reader().lines();
    assert_eq!(lines.next_line().await.unwrap().as_deref(), Some("one"));
    assert_eq!(lines.next_line().await.unwrap().as_deref(), Some("two"));
    assert_eq!(lines.next_line().await.unwrap(), None);

    let mut body = connection.get("/").await.unwrap().body;
    let mut reader = body.reader();
    let error = reader.read_to_end(&mut Vec::new()).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    assert!(reader.read(&mut [0]).await.is_err(), "and no end follows");
}

async fn next<S: Stream + Unpin>(stream: &mut S) -> Option<S::Item> {
    std::future::poll_fn(|cx| Pin::new(&mut *stream).poll_next(cx)).await
}

#[tokio::test]
async fn a_stream() {
    let server = lines();
    let mut connection = Client::new(&server.address).connect().await.unwrap();
    for _ in 0..2 {
        let mut body = connection.get("/").await.unwrap().body;
        let mut text = Vec::new();
        while let Some(piece) = next(&mut body).await {
            text.extend_from_slice(&piece.unwrap());
        }
        assert_eq!(text, b"one\ntwo\n");
    }
    let mut body = connection.get("/").await.unwrap().body;
    assert_eq!(next(&mut body).await.unwrap().unwrap(), "one\ntwo");
    assert!(next(&mut body).await.unwrap().is_err());
    assert!(next(&mut body).await.unwrap().is_err(), "no end follows");
}

/// A stream of what an iterator has.
struct Iter<I>(I);

impl<I: Iterator + Unpin> Stream for Iter<I> {
    type Item = I::Item;

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<I::Item>> {
        Poll::Ready(self.0.next())
    }
}

const LENGTH: u64 = 200_000;

/// A server that checks the bodies of requests. The last body is incomplete.
fn checks(cases: usize) -> Server {
    Server::once(Kind::V6, move |wire| {
        for _ in 0..cases {
            assert!(wire.head().contains("content-length: 200000\r\n"));
            let mut body = vec![0; LENGTH as usize];
            wire.read_exact(&mut body).unwrap();
            assert!(body.iter().all(|&byte| byte == b'x'));
            wire.send("HTTP/1.1 204 No Content\r\n\r\n");
        }
        assert!(wire.head().contains("transfer-encoding: chunked\r\n"));
        wire.expect("1\r\na\r\n0\r\nx: y\r\n\r\n");
        wire.send("HTTP/1.1 204 No Content\r\n\r\n");
        assert!(wire.head().contains("transfer-encoding: chunked\r\n"));
        wire.expect("5\r\nhello\r\n0\r\n\r\n");
        wire.send("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
        let mut rest = Vec::new();
        let _ = wire.read_to_end(&mut rest);
        assert!(!rest.ends_with(b"0\r\n\r\n"), "no end of the body");
    })
}

fn file() -> std::fs::File {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(&[b'-'; 5]).unwrap();
    file.write_all(&vec![b'x'; LENGTH as usize]).unwrap();
    io::Seek::seek(&mut file, io::SeekFrom::Start(5)).unwrap();
    file
}

fn last() -> [Part; 2] {
    [Chunk::new("a").into(), Trailers::try_from([("x", "y")]).unwrap().into()]
}

#[tokio::test]
async fn bodies_of_async_requests() {
    let server = checks(3);
    let mut connection = Client::new(&server.address).connect().await.unwrap();
    let pieces = (0..LENGTH / 1000).map(|_| Ok::<_, BoxError>(Bytes::from_static(&[b'x'; 1000])));
    for body in [
        #[cfg(feature = "io")]
        Body::from_reader(LENGTH, tokio::io::repeat(b'x')),
        #[cfg(feature = "io")]
        Body::from_file(tokio::fs::File::from_std(file())).await.unwrap(),
        Body::from_stream(LENGTH, Iter(pieces)),
    ] {
        assert_eq!(connection.put("/", body).await.unwrap().status, 204);
    }
    let whole = last().into_iter().map(Ok::<_, BoxError>);
    assert_eq!(connection.put("/", Body::from_chunks(Iter(whole))).await.unwrap().status, 204);
    #[cfg(feature = "io")]
    assert_eq!(connection.put("/", Body::chunks_from_reader(&b"hello"[..])).await.unwrap().status, 200);
    let fails = [Ok(Chunk::new("a")), Err("out of chunks")];
    let error = connection.put("/", Body::from_chunks(Iter(fails.into_iter()))).await.unwrap_err();
    assert!(error.to_string().contains("out of chunks") && connection.is_closed(), "{error}");
}

#[test]
fn bodies_of_blocking_requests() {
    let server = checks(2);
    let mut connection = blocking::Client::new(&server.address).connect().unwrap();
    let reader = blocking::Body::from_reader(LENGTH, io::repeat(b'x'));
    for body in [reader, blocking::Body::from_file(file()).unwrap()] {
        assert_eq!(connection.put("/", body).unwrap().status, 204);
    }
    assert_eq!(connection.put("/", blocking::Body::from_chunks(last())).unwrap().status, 204);
    assert_eq!(connection.put("/", blocking::Body::chunks_from_reader(&b"hello"[..])).unwrap().status, 200);
    let fails = [Ok(Chunk::new("a")), Err("out of chunks")];
    let error = connection.put("/", blocking::Body::from_chunks(fails)).unwrap_err();
    assert!(error.to_string().contains("out of chunks") && connection.is_closed(), "{error}");
}

/// The recipe of [`degu_client::Error`], against a server that closes every connection after its first response.
#[test]
fn a_request_is_sent_again_where_the_connection_was_idle() {
    let server = Server::new(Kind::V6, |accept| {
        for _ in 0..3 {
            let mut wire = accept.next();
            wire.head();
            wire.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
        }
    });
    let client = blocking::Client::new(&server.address);
    let mut kept = None;
    for _ in 0..3 {
        assert_eq!(fetch(&client, &mut kept, "/").unwrap(), "ok");
        assert!(kept.is_some());
    }
}

fn fetch(
    client: &blocking::Client,
    kept: &mut Option<blocking::Connection>,
    uri: &str,
) -> Result<Bytes, degu_client::Error> {
    loop {
        let reused = kept.is_some();
        let mut connection = match kept.take() {
            Some(connection) => connection,
            None => client.connect()?,
        };
        match connection.get(uri).and_then(|mut response| response.body.read_all(64 * 1024)) {
            Ok(text) => {
                *kept = Some(connection).filter(|connection| !connection.is_closed());
                return Ok(text);
            }
            Err(error) if reused && error.is_retryable() => {}
            Err(error) => return Err(error),
        }
    }
}
