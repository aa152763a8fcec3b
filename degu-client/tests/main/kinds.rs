//! Connecting: addresses, options, and the types that come out.

use std::{
    future::poll_fn,
    io::{self, Read, Write},
    net::{Ipv6Addr, SocketAddr},
    os::unix::net::{UnixListener, UnixStream},
    pin::{Pin, pin},
    sync::mpsc,
    task::{Context, Poll},
    thread,
    time::Duration,
};

use crate::common::{Kind, Server};
use degu_client::{Address, Body, Chunk, Client, Connection, ErrorKind, Peer, Phase, Timeout, blocking};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A server that answers one request.
fn server(kind: Kind) -> Server {
    Server::new(kind, |accept| {
        let mut wire = accept.next();
        wire.head();
        wire.send("HTTP/1.1 204 No Content\r\n\r\n");
    })
}

/// Returns a server for one request, and an IPv6 socket. For `localhost`, this socket is bound to the same port, so
/// that no other test can listen there.
fn server_at(kind: Kind, host: &str) -> (Server, socket2::Socket) {
    loop {
        let server = server(kind);
        let socket = socket2::Socket::new(socket2::Domain::IPV6, socket2::Type::STREAM, None).unwrap();
        let address = SocketAddr::from((Ipv6Addr::LOCALHOST, server.address.port().unwrap()));
        if host != "localhost" || socket.bind(&address.into()).is_ok() {
            return (server, socket);
        }
        assert_eq!(blocking::Client::new(&server.address).connect().unwrap().get("/").unwrap().status, 204);
    }
}

#[test]
fn addresses_that_mean_another() {
    for (kind, host) in [
        (Kind::V4, "0.0.0.0"),
        (Kind::V6, "[::]"),
        (Kind::V6, "[::1%lo]"),
        (Kind::V6, "[::1%1]"),
        (Kind::V4, "localhost"),
    ] {
        let (server, _refuses) = server_at(kind, host);
        let port = server.address.port().unwrap();
        let address: Address = format!("{host}:{port}").parse().unwrap();
        let mut connection = blocking::Client::new(&address).connect().unwrap();
        assert_eq!(connection.address().port(), Some(port), "{address}");
        assert_eq!(connection.get("/").unwrap().status, 204);
    }
}

#[tokio::test]
async fn addresses_that_mean_another_async() {
    for (kind, host) in [
        (Kind::V4, "0.0.0.0"),
        (Kind::V6, "[::]"),
        (Kind::V6, "[::1%lo]"),
        (Kind::V6, "[::1%1]"),
        (Kind::V4, "localhost"),
    ] {
        let (server, _refuses) = server_at(kind, host);
        let port = server.address.port().unwrap();
        let address: Address = format!("{host}:{port}").parse().unwrap();
        let mut connection = Client::new(&address).connect().await.unwrap();
        assert_eq!(connection.address().port(), Some(port), "{address}");
        assert_eq!(connection.get("/").await.unwrap().status, 204);
    }
}

#[tokio::test]
async fn addresses_that_lead_nowhere() {
    let folder = tempfile::tempdir().unwrap();
    for address in [
        Address::unix(folder.path().join("nobody")),
        Address::unix("x".repeat(200)),
        Address::ABSTRACT,
        "[fe80::1%nolink0]:80".parse().unwrap(),
        "[fe80::1]:80".parse().unwrap(),
    ] {
        let client = Client::new(&address);
        for error in [client.connect().await.unwrap_err(), blocking::Client::from(client).connect().unwrap_err()] {
            assert_eq!(error.phase(), Phase::Connecting);
            assert!(matches!(error.kind(), ErrorKind::System(_) | ErrorKind::Address(_)), "{error}");
            // A path without a socket may get one. The other addresses stay as they are.
            assert_eq!(error.is_retryable(), error.to_string().starts_with("no such socket: unix:"), "{error}");
            assert_eq!(error.to_string().contains("needs its zone"), address.to_string().starts_with("[fe80::1]"));
        }
    }
}

#[tokio::test]
async fn a_server_that_is_away_for_a_moment_is_connected_to_again() {
    let folder = tempfile::tempdir().unwrap();
    let address = Address::unix(folder.path().join("socket"));
    let path = address.as_path().unwrap();
    let client = Client::new(&address);
    let connect = async || [client.connect().await.err(), blocking::Client::from(client.clone()).connect().err()];
    drop(UnixListener::bind(path).unwrap());
    for error in connect().await {
        let error = error.unwrap();
        assert_eq!(error.to_string(), format!("no server listens at {address}: connection refused"));
        assert!(error.is_connect() && error.is_retryable());
    }
    std::fs::remove_file(path).unwrap();
    let _listener = UnixListener::bind(path).unwrap();
    assert!(connect().await.iter().all(Option::is_none));
}

#[tokio::test]
async fn connecting_has_a_deadline() {
    let folder = tempfile::tempdir().unwrap();
    let address = Address::unix(folder.path().join("busy"));
    let listener = UnixListener::bind(address.as_path().unwrap()).unwrap();
    // A queue that is as short as can be.
    socket2::SockRef::from(&listener).listen(0).unwrap();
    let limit = Duration::from_millis(50);
    let client = Client::options().connect_timeout(limit).client(&address);
    let mut queued = Vec::new();
    let error = loop {
        match client.connect().await {
            Ok(connection) => queued.push(connection),
            Err(error) => break error,
        }
    };
    for error in [error, blocking::Client::from(client).connect().unwrap_err()] {
        assert_eq!((error.timeout(), error.address()), (Some(Timeout::Connect(limit)), Some(&address)));
        assert!(error.is_connect() && error.is_timeout() && error.is_retryable());
    }
}

#[tokio::test]
async fn on_connect_has_what_is_left_of_the_deadline() {
    let server = Server::new(Kind::Path, |accept| {
        for _ in 0..2 {
            accept.next().expect_end();
        }
    });
    let limit = Duration::from_millis(300);
    let slow = move |_: &Peer<'_>| {
        thread::sleep(limit);
        true
    };
    let client = Client::options().connect_timeout(limit).on_connect(slow).client(&server.address);
    let errors = [client.connect().await.err(), blocking::Client::from(client).connect().err()];
    for error in errors {
        assert_eq!(error.unwrap().timeout(), Some(Timeout::Connect(limit)));
    }
}

#[tokio::test]
async fn on_connect_sees_who_answers() {
    let me = nix::unistd::geteuid().as_raw();
    let server = server(Kind::Path);
    let options = Client::options().on_connect(move |peer| peer.credentials().is_some_and(|server| server.uid == me));
    let mut connection = options.client(&server.address).connect().await.unwrap();
    assert_eq!(connection.get("/").await.unwrap().status, 204);

    let server = Server::new(Kind::V6, |accept| {
        for _ in 0..2 {
            accept.next().expect_end();
        }
    });
    let client = Client::options().on_connect(|peer| peer.credentials().is_some()).client(&server.address);
    for error in [client.connect().await.unwrap_err(), blocking::Client::from(client).connect().unwrap_err()] {
        assert!(matches!(error.kind(), ErrorKind::Refused), "{error}");
    }
}

#[test]
fn a_connection_goes_from_one_runtime_to_another() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    let (near, mut far) = tokio::io::duplex(1024);
    let base = Client::new(Address::from_host("example.org", 80).unwrap());
    let mut connection = Connection::new(near, &base);
    for _ in 0..2 {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            // The first poll waits, under a deadline, and the runtime ends with it.
            let served = async {
                far.read_exact(&mut [0; 37]).await.unwrap();
                tokio::task::yield_now().await;
                far.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.unwrap();
            };
            let (response, ()) = tokio::join!(connection.get("/"), served);
            assert_eq!(response.unwrap().status, 204);
        });
    }
}

#[test]
fn a_connection_over_any_stream() {
    let (near, mut far) = UnixStream::pair().unwrap();
    let base = blocking::Client::new(Address::from_host("example.org", 80).unwrap());
    let served = thread::spawn(move || {
        let mut request = [0; 37];
        far.read_exact(&mut request).unwrap();
        assert_eq!(&request[..], b"GET / HTTP/1.1\r\nhost: example.org\r\n\r\n");
        far.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").unwrap();
    });
    let mut connection = blocking::Connection::new(near, &base);
    assert_eq!(connection.get("/").unwrap().body.read_all(2).unwrap(), "ok");
    served.join().unwrap();
    let error = connection.get("/").unwrap_err();
    assert!(error.is_retryable() && connection.is_closed(), "{error}");
}

#[test]
fn a_long_request_over_any_stream_is_sent_before_a_read() {
    const LENGTH: usize = 4 * 1024 * 1024;
    let (near, mut far) = UnixStream::pair().unwrap();
    near.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let served = thread::spawn(move || {
        let head = format!("PUT / HTTP/1.1\r\nhost: [::1]\r\ncontent-length: {LENGTH}\r\n\r\n");
        far.read_exact(&mut vec![0; head.len() + LENGTH]).unwrap();
        far.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").unwrap();
    });
    let base = blocking::Client::new(Address::IPV6_LOOPBACK.with_port(80));
    let mut connection = blocking::Connection::new(near, &base);
    assert_eq!(connection.put("/", vec![0; LENGTH]).unwrap().status, 204);
    served.join().unwrap();
}

/// A stream that sends nothing before it is flushed.
struct Held(UnixStream, Vec<u8>);

impl Read for Held {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        self.0.read(bytes)
    }
}

impl Write for Held {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.1.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.write_all(&std::mem::take(&mut self.1))
    }
}

#[test]
fn a_source_that_blocks_is_asked_when_the_stream_was_flushed() {
    let (near, mut far) = UnixStream::pair().unwrap();
    let (go, gone) = mpsc::channel();
    let served = thread::spawn(move || {
        for expected in ["POST / HTTP/1.1\r\nhost: [::1]\r\ntransfer-encoding: chunked\r\n\r\n", "5\r\nhello\r\n"] {
            let mut bytes = vec![0; expected.len()];
            far.read_exact(&mut bytes).unwrap();
            assert_eq!(String::from_utf8(bytes).unwrap(), expected);
            go.send(()).unwrap();
        }
        let mut end = [0; 5];
        far.read_exact(&mut end).unwrap();
        far.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").unwrap();
    });
    let base = blocking::Client::new(Address::IPV6_LOOPBACK.with_port(80));
    let mut connection = blocking::Connection::new(Held(near, Vec::new()), &base);
    let mut left = 1;
    let body = blocking::Body::from_chunks(std::iter::from_fn(move || {
        // Until the server has everything before.
        gone.recv_timeout(Duration::from_secs(60)).unwrap();
        left -= 1;
        (left >= 0).then(|| Chunk::new("hello"))
    }));
    assert_eq!(connection.post("/", body).unwrap().status, 204);
    served.join().unwrap();
}

/// A stream that takes everything at once, and answers when it has got the first of it.
struct Greedy(&'static [u8], bool);

impl AsyncRead for Greedy {
    fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if !self.1 {
            return Poll::Pending;
        }
        bytes.put_slice(std::mem::take(&mut self.0));
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Greedy {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.1 = true;
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[tokio::test]
async fn an_answer_is_heard_amid_a_body_without_end() {
    let answer = b"HTTP/1.1 413 Content Too Large\r\nconnection: close\r\ncontent-length: 2\r\n\r\nno";
    let base = Client::new(Address::IPV6_LOOPBACK.with_port(80));
    let mut connection = Connection::new(Greedy(answer, false), &base);
    let body = Body::try_unfold((), async |()| Ok(Some((Chunk::new(&[b'x'; 64 * 1024][..]), ()))));
    let mut response = connection.post("/", body).await.unwrap();
    assert_eq!(response.status, 413);
    assert_eq!(response.body.read_all(2).await.unwrap(), "no");
}

#[test]
fn clients_turn_into_each_other() {
    let client = Client::options().host("example.org").client(Address::IPV6_LOOPBACK.with_port(80));
    let plain = blocking::Client::from(client.clone());
    assert_eq!((plain.host(), plain.address()), ("example.org", client.address()));
    assert_eq!(Client::from(plain).host(), "example.org");
    assert_eq!(Client::new(Address::IPV6_ANY.with_port(8080)).host(), "[::]:8080");
}

fn assert_send<T: Send>(value: T) -> T {
    value
}

#[test]
fn what_runs_in_any_runtime() {
    fn shared<T: Send + Sync + 'static>() {}
    shared::<Client>();
    shared::<Connection>();
    shared::<blocking::Client>();
    shared::<blocking::Connection>();
    shared::<degu_client::Options>();
    shared::<degu_client::Error>();

    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let server = server(Kind::Path);
    let client = Client::new(&server.address);
    let exchange = assert_send(async move {
        let mut connection = assert_send(client.connect()).await?;
        let mut response = assert_send(connection.request("POST", "/", [("a", "b")], "text")).await?;
        assert_send(response.body.read_all(1)).await
    });
    let body = runtime.block_on(runtime.spawn(exchange)).unwrap().unwrap();
    assert!(body.is_empty());
}

#[tokio::test]
async fn futures_that_are_dropped_close_the_connection() {
    // Before the head of a response, and amid its body.
    let (tell, told) = mpsc::channel();
    let server = Server::new(Kind::Path, move |accept| {
        for said in ["HTTP/1.1 200 OK\r\n", "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nab"] {
            let mut wire = accept.next();
            wire.head();
            wire.send(said);
            tell.send(()).unwrap();
            wire.expect_end();
        }
    });
    let client = Client::new(&server.address);
    let mut connection = client.connect().await.unwrap();
    poll_until(&told, pin!(connection.get("/"))).await;
    assert!(connection.is_closed());
    let error = connection.get("/").await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Closed) && error.is_retryable(), "{error}");

    let mut connection = client.connect().await.unwrap();
    let mut body = connection.get("/").await.unwrap().body;
    poll_until(&told, pin!(body.read_all(3))).await;
    assert!(connection.is_closed());
}

/// Polls a future that does not become ready until the other side says that it has done its part.
async fn poll_until(told: &mpsc::Receiver<()>, mut future: Pin<&mut impl Future>) {
    poll_fn(|cx| {
        assert!(future.as_mut().poll(cx).is_pending());
        if told.try_recv().is_ok() {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

#[test]
fn errors_say_in_a_line_what_happened_and_by_whose_fault() {
    let server = Server::new(Kind::Path, |accept| {
        for said in ["HTTP/1.1 200 OK\r\na(: b\r\n\r\n", "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nab", ""] {
            let mut wire = accept.next();
            wire.head();
            wire.send(said);
        }
        accept.next().expect_end();
    });
    let client = blocking::Client::new(&server.address);
    let mut lines = Vec::new();
    for uri in ["/", "/", "/", "no path"] {
        let mut connection = client.connect().unwrap();
        let read = connection.get(uri).and_then(|mut response| response.body.read_all(3));
        lines.push(read.unwrap_err().to_string());
    }
    assert_eq!(
        lines,
        [
            "the server sent a field name that is empty or has a character that is not allowed, such as a space (at byte 18), while sending the request or waiting for the response",
            "the server sent an incomplete body, because the connection ended, while reading the body of the response",
            "the server sent no response before the connection ended, while sending the request or waiting for the response",
            "the request cannot be sent: the request target must be an absolute path, an http(s) URI, or `*` with \
             OPTIONS, and must be visible ASCII without a fragment, before the request was sent",
        ]
    );
}
