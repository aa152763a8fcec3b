//! Connections that switch to another protocol in a tower service, on the sockets of this server.

use std::pin::Pin;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use crate::kit::Serving;
use axum::Router;
use axum::body::Body;
use axum::http::{Request, Response, StatusCode};
use axum::routing::{get, post};
use degu_server::{Address, Server};
use http_body_util::BodyExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const TCP: Address = Address::IPV6_LOOPBACK;

#[test]
fn an_upgrade_ends_with_the_grace_of_a_shutdown() {
    async fn upgrade(mut request: Request<Body>) -> Response<Body> {
        let upgrade = hyper::upgrade::on(&mut request);
        drop(tokio::spawn(async move {
            let mut io = hyper_util::rt::TokioIo::new(upgrade.await.unwrap());
            let (mut reader, mut writer) = tokio::io::split(&mut io);
            let _ = tokio::io::copy(&mut reader, &mut writer).await;
        }));
        let switching = Response::builder().status(StatusCode::SWITCHING_PROTOCOLS);
        switching.header("connection", "upgrade").header("upgrade", "echo").body(Body::empty()).unwrap()
    }
    let options = Server::options()
        .max_connections(1)
        .idle_timeout(Some(Duration::from_secs(1)))
        .shutdown_grace(Duration::from_millis(50));
    let server = Serving::new(options, TCP, Router::new().route("/", get(upgrade)));
    let ask = "GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n";
    let mut raw = server.connect();
    raw.send(ask);
    assert!(raw.response_head().unwrap().starts_with("HTTP/1.1 101 "));
    raw.send("not HTTP");
    raw.expect("not HTTP");
    // It counts for the cap.
    let mut other = server.connect();
    assert!(other.rest().starts_with("HTTP/1.1 503 "));
    // It was idle for longer than a connection may be that waits for a request.
    raw.send("still here");
    raw.expect("still here");
    server.shut_down();
    let cut = raw.read_some(&mut [0]).unwrap_err();
    assert_eq!(cut.kind(), std::io::ErrorKind::ConnectionReset, "not a regular end");
}

#[test]
fn halves_of_an_upgrade_do_not_take_each_others_wakers() {
    const ALL: usize = 24_000_000;
    let (tell, told) = mpsc::channel();
    let upgrade = move |mut request: Request<Body>| {
        let (tell, upgrade) = (tell.clone(), hyper::upgrade::on(&mut request));
        tokio::spawn(async move {
            let io = hyper_util::rt::TokioIo::new(upgrade.await.unwrap());
            let (mut from, mut to) = tokio::io::split(io);
            let writes = tokio::spawn(async move { to.write_all(&vec![b'x'; ALL]).await });
            loop {
                let read = from.read_u8().await;
                tell.send(read.as_ref().ok().copied()).unwrap();
                if read.is_err() {
                    break;
                }
            }
            writes.await.unwrap().unwrap();
            // The request is kept to the end.
            drop(request);
        });
        let switching = Response::builder().status(101);
        let switching = switching.header("connection", "upgrade").header("upgrade", "tcp").body(Body::empty()).unwrap();
        std::future::ready(switching)
    };
    for address in [TCP, Address::ABSTRACT] {
        let server = Serving::new(Server::options(), address, Router::new().route("/", get(upgrade.clone())));
        let mut raw = server.connect();
        raw.send("GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: tcp\r\n\r\n");
        raw.response_head();
        for _ in 0..3 {
            raw.send("y");
            assert_eq!(told.recv_timeout(Duration::from_secs(60)), Ok(Some(b'y')), "the reader is woken");
        }
        let mut all = 0;
        let mut buffer = vec![0; 64 * 1024];
        while all < ALL {
            all += raw.read_some(&mut buffer).expect("the writer is woken");
        }
        raw.shut_down_writing();
        assert_eq!(told.recv_timeout(Duration::from_secs(60)), Ok(None));
    }
}

#[test]
fn blocked_writer_of_an_upgrade_gets_the_end_of_the_grace() {
    let (tell, told) = mpsc::channel();
    let upgrade = move |mut request: Request<Body>| {
        let (tell, upgrade) = (tell.clone(), hyper::upgrade::on(&mut request));
        tokio::spawn(async move {
            let mut io = hyper_util::rt::TokioIo::new(upgrade.await.unwrap());
            while io.write_all(&[b'x'; 64 * 1024]).await.is_ok() {}
            tell.send((io.flush().await.is_err(), io.shutdown().await.is_err())).unwrap();
        });
        let switching = Response::builder().status(101);
        let switching = switching.header("connection", "upgrade").header("upgrade", "tcp").body(Body::empty()).unwrap();
        std::future::ready(switching)
    };
    for address in [TCP, Address::ABSTRACT] {
        let options = Server::options().shutdown_grace(Duration::from_millis(50));
        let server = Serving::new(options, address, Router::new().route("/", get(upgrade.clone())));
        let mut raw = server.connect();
        raw.send("GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: tcp\r\n\r\n");
        raw.response_head();
        // Waits until the service has its upgraded stream.
        raw.expect("x");
        // Drops the runtime, too, and with it what still waits.
        server.shut_down();
        assert_eq!(told.try_recv(), Ok((true, true)), "the writer is woken, and knows that bytes may be lost");
    }
}

/// Answers 101 once it is told to, then echoes, or sends `bye`, ends its side and tells of what it has received.
fn scripted_upgrade(
    go: Arc<tokio::sync::Notify>,
    ends_first: bool,
    tell: mpsc::Sender<Vec<u8>>,
) -> impl Fn(Request<Body>) -> Pin<Box<dyn Future<Output = Response<Body>> + Send>> + Clone + Send + Sync + 'static {
    move |mut request| {
        let (go, tell, upgrade) = (go.clone(), tell.clone(), hyper::upgrade::on(&mut request));
        Box::pin(async move {
            go.notified().await;
            tokio::spawn(async move {
                let io = hyper_util::rt::TokioIo::new(upgrade.await.unwrap());
                let (mut from, mut to) = tokio::io::split(io);
                let mut all = Vec::new();
                if ends_first {
                    to.write_all(b"bye").await.unwrap();
                    to.shutdown().await.unwrap();
                }
                from.read_to_end(&mut all).await.unwrap();
                if !ends_first {
                    to.write_all(&all).await.unwrap();
                    to.shutdown().await.unwrap();
                }
                tell.send(all).unwrap();
            });
            let switching = Response::builder().status(101).header("connection", "upgrade").header("upgrade", "tcp");
            switching.body(Body::empty()).unwrap()
        })
    }
}

#[test]
fn upgrade_keeps_early_bytes_and_either_side_may_end_first() {
    let long = "x".repeat(100_000);
    for address in [TCP, Address::ABSTRACT] {
        for ends_first in [false, true] {
            let (tell, told) = mpsc::channel();
            let go = Arc::new(tokio::sync::Notify::new());
            let upgrade = scripted_upgrade(go.clone(), ends_first, tell);
            let server = Serving::new(Server::options(), address.clone(), Router::new().route("/", get(upgrade)));
            let mut raw = server.connect();
            // In one packet with the request, and while the service has not answered.
            raw.send("GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: tcp\r\n\r\n\r\nfirst ");
            raw.send("second ");
            go.notify_one();
            assert!(raw.response_head().unwrap().starts_with("HTTP/1.1 101 "));
            let sent = format!("\r\nfirst second {long}");
            if ends_first {
                assert_eq!(raw.rest(), "bye");
                raw.send(&long);
                raw.shut_down_writing();
            } else {
                raw.send(&long);
                raw.shut_down_writing();
                assert!(raw.rest() == sent);
            }
            assert!(told.recv_timeout(Duration::from_secs(60)).unwrap() == sent.as_bytes());
        }
    }
}

#[test]
fn upgrade_waits_for_the_body_of_its_request_until_a_deadline() {
    let upgrade = async |mut request: Request<Body>| {
        let upgrade = hyper::upgrade::on(&mut request);
        tokio::spawn(async move {
            let body = request.into_body().collect().await.unwrap().to_bytes();
            hyper_util::rt::TokioIo::new(upgrade.await.unwrap()).write_all(&body).await.unwrap();
        });
        let switching = Response::builder().status(101).header("connection", "upgrade").header("upgrade", "tcp");
        switching.body(Body::empty()).unwrap()
    };
    let options = Server::options().progress(1024, Some(Duration::from_secs(1)));
    let server = Serving::new(options, TCP, Router::new().route("/", post(upgrade)));
    let ask = "POST / HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: tcp\r\ncontent-length: 5\r\n\r\nwho";
    let (mut whole, mut late) = (server.connect(), server.connect());
    for raw in [&mut whole, &mut late] {
        raw.send(ask);
        assert!(raw.response_head().unwrap().starts_with("HTTP/1.1 101 "));
    }
    whole.send("le");
    assert_eq!(whole.rest(), "whole");
    let cut = late.read_some(&mut [0]).unwrap_err();
    assert_eq!(cut.kind(), std::io::ErrorKind::ConnectionReset, "not a regular end");
}
