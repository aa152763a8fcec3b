//! Clients that go away while the server has nothing to send: by FIN, as ordinary clients do, and by force.

use std::sync::Mutex;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use degu_server::{Address, Body, Chunk, Options, Request, Response, Server, Session};

use crate::common::{Raw, Running};

const TCP: [Address; 2] = [Address::IPV4_LOOPBACK, Address::IPV6_LOOPBACK];
const FINE: &str = "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nfine";
/// Longer than any machine needs: a test that waits for it has failed. Shorter than the 30 s after which the kernel sends the
/// first keep-alive probe, because a probe may also find that the client is gone.
const PATIENCE: Duration = Duration::from_secs(25);

/// The channels on which a test waits for handlers and bodies.
struct Waits {
    begun: Receiver<()>,
    dropped: Receiver<()>,
}

/// The channels on which handlers and bodies report.
struct Told(Mutex<(Sender<()>, Sender<()>)>);

fn tell() -> (Told, Waits) {
    let ((begin, begun), (drop, dropped)) = (channel(), channel());
    (Told(Mutex::new((begin, drop))), Waits { begun, dropped })
}

/// Tells that it has been dropped.
struct Tell(Sender<()>);

impl Told {
    /// Tells that a handler or a body waits.
    fn begin(&self) -> Tell {
        let (begin, drop) = &*self.0.lock().unwrap();
        begin.send(()).unwrap();
        Tell(drop.clone())
    }
}

impl Drop for Tell {
    fn drop(&mut self) {
        let _ = self.0.send(());
    }
}

/// The way in which a client ends its connection.
#[derive(Clone, Copy, Debug)]
enum Leave {
    /// Closes its socket, which sends FIN.
    Close,
    /// Sends more than is read, then closes its socket.
    CloseUnread,
    /// Closes its socket after it has half-closed the connection.
    CloseLater,
    Reset,
}

/// Sends a request, waits until the handler or the body waits, and goes away.
fn leave(address: &Address, target: &str, how: Leave, waits: &Waits) {
    let mut raw = Raw::connect(address);
    raw.send(format!("POST {target} HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n"));
    waits.begun.recv_timeout(PATIENCE).unwrap();
    if target == "/body" {
        // A socket that is closed with input unread would send RST.
        raw.response_head();
        raw.expect("4\r\nnews\r\n");
    }
    match how {
        Leave::Close => {}
        Leave::CloseUnread => raw.send(vec![b'x'; 40_000]),
        Leave::CloseLater => raw.shut_down_writing(),
        Leave::Reset => raw.reset(),
    }
}

/// Waits in the handler, or behind the first chunk of a body. The request's body is not read.
async fn wait(told: &Told, request: Request<'_>) -> Response {
    let tell = told.begin();
    if request.segments() == ["handler"] {
        std::future::pending::<()>().await;
    }
    let body = request.body;
    Body::try_unfold((tell, body, false), async |(tell, body, has_begun)| {
        if has_begun {
            std::future::pending::<()>().await;
        }
        Ok(Some((Chunk::new("news"), (tell, body, true))))
    })
    .into()
}

fn impatient() -> Options {
    Server::options().workers(1).half_close_timeout(Some(Duration::from_secs(1)))
}

/// Every way to go away from a server that waits in every way.
fn every_way(address: &Address, waits: &Waits) {
    let mut left = 0;
    for target in ["/handler", "/body"] {
        for how in [Leave::Close, Leave::CloseUnread, Leave::CloseLater, Leave::Reset] {
            leave(address, target, how, waits);
            left += 1;
        }
    }
    for number in 0..left {
        waits
            .dropped
            .recv_timeout(PATIENCE)
            .unwrap_or_else(|_| panic!("{number} of {left} have been dropped, {address}"));
    }
}

/// Runs a test for each kind of address, all at once because it waits most of the time.
fn everywhere(test: impl Fn(Address) + Sync) {
    let folder = tempfile::tempdir().unwrap();
    let [ipv4, ipv6] = TCP;
    std::thread::scope(|scope| {
        for address in [ipv4, ipv6, Address::unix(folder.path().join("socket")), Address::ABSTRACT] {
            let test = &test;
            scope.spawn(move || test(address));
        }
    });
}

#[test]
fn a_client_that_closes_is_noticed_while_the_app_waits() {
    everywhere(|address| {
        let (told, waits) = tell();
        let app = async move |_: &mut Session, request: Request<'_>| wait(&told, request).await;
        let server = Running::with(impatient(), address, app);
        every_way(&server.address, &waits);
        while server.handle().stats().gone < 8 {
            std::thread::yield_now();
        }
    });
}

#[test]
fn closed_unix_socket_is_noticed_without_a_timeout() {
    let (told, waits) = tell();
    let app = async move |_: &mut Session, request: Request<'_>| wait(&told, request).await;
    let server = Running::with(Server::options().half_close_timeout(None), Address::ABSTRACT, app);
    every_way(&server.address, &waits);
}

#[test]
fn a_client_that_half_closes_is_answered_later() {
    everywhere(|address| {
        let app = async |_: &mut Session, _: Request<'_>| {
            tokio::time::sleep(Duration::from_secs(1)).await;
            "fine"
        };
        assert_eq!(Running::new(address, app).ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n"), FINE);
    });
}

#[test]
fn a_client_that_half_closes_gets_a_feed_to_its_end() {
    let app = async |_: &mut Session, _: Request<'_>| {
        Body::try_unfold(14, async |left| {
            tokio::time::sleep(Duration::from_millis(300)).await;
            Ok((left > 0).then(|| (Chunk::new("news"), left - 1)))
        })
    };
    // The feed takes longer than this timeout. The timeout is 2 s, because the server counts a pause of the machine as 1 s.
    let options = Server::options().workers(1).half_close_timeout(Duration::from_secs(2));
    let server = Running::with(options, Address::IPV6_LOOPBACK, app);
    assert!(server.ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n").ends_with("4\r\nnews\r\n0\r\n\r\n"));
}

#[test]
fn a_client_that_half_closes_a_unix_socket_is_waited_for() {
    let app = async |_: &mut Session, _: Request<'_>| {
        tokio::time::sleep(Duration::from_secs(4)).await;
        "fine"
    };
    let server = Running::with(impatient(), Address::ABSTRACT, app);
    assert_eq!(server.ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n"), FINE);
}

#[cfg(feature = "proxy")]
#[test]
fn a_proxy_lets_go_of_its_back_end_when_its_client_closes() {
    use degu_client::Client;
    use degu_server::applib::ProxyApp;

    let (told, waits) = tell();
    let app = async move |_: &mut Session, request: Request<'_>| wait(&told, request).await;
    let behind = Running::with(impatient(), Address::ABSTRACT, app);
    for address in TCP.into_iter().chain([Address::ABSTRACT]) {
        let proxy = ProxyApp::new(Client::new(&behind.address));
        every_way(&Running::with(impatient(), address, proxy).address, &waits);
    }
}

#[cfg(feature = "hyper")]
mod hyper {
    use std::convert::Infallible;
    use std::pin::Pin;
    use std::sync::Arc;
    use std::task::{Context, Poll};

    use axum::Router;
    use axum::body::{Body, Bytes};
    use axum::http::Request;
    use axum::routing::{get, post};
    use http_body::Frame;

    use super::*;
    use crate::kit::Serving;

    /// A body that waits behind its first chunk, and holds that of its request.
    struct Waiting {
        has_begun: bool,
        _held: (Tell, Body),
    }

    impl http_body::Body for Waiting {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            match std::mem::replace(&mut self.has_begun, true) {
                false => Poll::Ready(Some(Ok(Frame::data("news".into())))),
                true => Poll::Pending,
            }
        }
    }

    fn waiting() -> (Router, Waits) {
        let (told, waits) = tell();
        let told = Arc::new(told);
        let again = told.clone();
        let handler = async move |_: Request<Body>| {
            let _tell = told.begin();
            std::future::pending::<()>().await;
        };
        let body = async move |request: Request<Body>| {
            Body::new(Waiting { has_begun: false, _held: (again.begin(), request.into_body()) })
        };
        (Router::new().route("/handler", post(handler)).route("/body", post(body)), waits)
    }

    #[test]
    fn a_client_that_closes_is_noticed_while_the_service_waits() {
        everywhere(|address| {
            let (service, waits) = waiting();
            every_way(&Serving::new(impatient(), address, service).address, &waits);
        });
    }

    #[test]
    fn closed_unix_socket_is_noticed_without_a_timeout() {
        let (service, waits) = waiting();
        let options = Server::options().half_close_timeout(None);
        every_way(&Serving::new(options, Address::ABSTRACT, service).address, &waits);
    }

    #[test]
    fn a_client_that_half_closes_is_answered_later() {
        everywhere(|address| {
            let service = Router::new().route(
                "/",
                get(async || {
                    tokio::time::sleep(Duration::from_secs(1)).await;
                    "fine"
                }),
            );
            let server = Serving::new(Server::options(), address, service);
            let mut raw = server.connect();
            raw.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
            raw.shut_down_writing();
            assert!(raw.rest().ends_with("\r\n\r\nfine"));
        });
    }
}
