//! Ends of connections: both sides send close_notify however they end, and demand it where it decides.

use std::io::Write;
use std::net::{Shutdown, TcpListener};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Barrier};
use std::thread::JoinHandle;
use std::time::Duration;

use degu_client::{Client, Fault, blocking};
use degu_misc::TempPki;
use degu_server::{Address, Body, BoxError, Chunk, Handle, Request, Response, Session};

use super::kit::{Bare, CLIENT, End, PATIENCE, REQUEST, SECOND, Version, both, client, one_thread, run, serve, who};

/// A server that answers one request of each client with `response`, and ends the connection with or without a
/// close_notify.
fn answer_once(pki: &TempPki, response: &'static str, notify: bool) -> (Address, JoinHandle<()>) {
    let listener = TcpListener::bind("[::1]:0").unwrap();
    let address = listener.local_addr().unwrap().into();
    let tls = pki.server_tls();
    let thread = std::thread::spawn(move || {
        for _ in 0..2 {
            let mut bare = Bare::accept(&listener, &tls);
            bare.read_until("\r\n\r\n");
            bare.send(response);
            if notify {
                bare.close();
            }
            bare.socket.shutdown(Shutdown::Write).unwrap();
            bare.rest();
        }
    });
    (address, thread)
}

#[test]
fn an_end_without_close_notify_is_none_where_it_decides() {
    let pki = TempPki::new();
    for (response, notify, fault) in [
        ("HTTP/1.1 200 OK\r\n\r\nall of it", true, None),
        ("HTTP/1.1 200 OK\r\n\r\nall of it?", false, Some(Fault::TruncatedBody)),
        ("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nnot all", true, Some(Fault::TruncatedBody)),
        ("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nnot all", false, Some(Fault::TruncatedBody)),
        ("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nall of it", false, None),
        ("", false, Some(Fault::NoResponse)),
    ] {
        let (address, server) = answer_once(&pki, response, notify);
        for read in both(&client(&address, &pki.client_tls())) {
            let found = read.err().map(|error| error.remote().unwrap_or_else(|| panic!("{response}: {error}")).fault);
            assert_eq!(found, fault, "{response:?}, close_notify: {notify}");
        }
        server.join().unwrap();
    }
}

#[test]
fn an_end_behind_a_part_of_a_head_is_noticed_at_once() {
    let pki = TempPki::new();
    let listener = TcpListener::bind("[::1]:0").unwrap();
    let address = listener.local_addr().unwrap().into();
    let tls = pki.server_tls();
    let server = std::thread::spawn(move || {
        for _ in 0..2 {
            let mut bare = Bare::accept(&listener, &tls);
            bare.read_until("\r\n\r\n");
            bare.connection.writer().write_all(b"HTTP/1.1 200 OK\r\n").unwrap();
            // In one write, after which the socket stays open and silent.
            bare.close();
            bare.rest();
        }
    });
    for read in both(&client(&address, &pki.client_tls())) {
        assert_eq!(read.unwrap_err().remote().unwrap().fault, Fault::TruncatedHead);
    }
    server.join().unwrap();
}

async fn app(session: &mut Session, mut request: Request<'_>) -> Result<Response, BoxError> {
    Ok(match request.segments() {
        ["panic"] => panic!("as asked"),
        ["never"] => std::future::pending().await,
        ["body"] => request.body.read_all(1000).await?.into(),
        ["broken"] => {
            let body = Body::try_unfold(true, async |first| {
                assert!(first, "it breaks, as asked");
                Ok(Some((Chunk::new("some of it"), false)))
            });
            (200, body).into()
        }
        _ => who(session, request).await.into(),
    })
}

const SAID: &str = "HTTP/1.1 200 OK\r\ncontent-length: 27\r\n\r\nclient.example of client-ca";

#[test]
fn a_server_says_close_notify_however_it_ends() {
    let pki = TempPki::new();
    std::thread::scope(|scope| {
        for version in Version::BOTH {
            let pki = &pki;
            scope.spawn(move || says_close_notify(pki, version));
        }
    });
}

fn says_close_notify(pki: &TempPki, version: Version) {
    let options = one_thread;
    let nothing: fn(Handle) = drop;
    let abort: fn(Handle) = |server| {
        server.abort();
        server.wait();
    };
    let close = "connection: close\r\n\r\n";
    let get = |target: &str, fields: &str| format!("GET {target} HTTP/1.1\r\nhost: localhost\r\n{fields}\r\n");
    for (name, options, request, answer, then) in [
        ("the last request", options(), get("/", "connection: close\r\n"), close, None),
        ("the last request by count", options().max_requests(Some(1)), get("/", ""), close, None),
        ("a fault", options(), "BAD\r\n\r\n".to_owned(), close, None),
        ("a panic", options(), get("/panic", ""), close, None),
        (
            "`on_connect` refused the connection",
            options().on_connect(async |_: &mut Session| false),
            String::new(),
            "",
            None,
        ),
        ("the connection was idle for too long", options().idle_timeout(SECOND), get("/", ""), SAID, None),
        ("a head that does not end", options().head_timeout(SECOND), "GET".to_owned(), close, None),
        ("a shutdown", options(), get("/", ""), SAID, Some(nothing)),
        ("an abort", options(), get("/", ""), SAID, Some(abort)),
    ] {
        let server = serve(options, &pki.server_tls(), app);
        let mut bare = Bare::connect(server.address(), &version.client_tls(pki));
        bare.send(request);
        let mut text = String::new();
        if let Some(then) = then {
            text = bare.read_until(CLIENT);
            then(server);
        }
        let (rest, end) = bare.rest();
        text += &rest;
        assert!(text.contains(answer.trim_end()), "{version:?}, {name}: {text}");
        assert_eq!(end, End::Told, "{version:?}, {name}");
    }
}

#[test]
fn failed_body_without_length_ends_without_close_notify() {
    let pki = TempPki::new();
    let server = serve(one_thread(), &pki.server_tls(), app);
    for version in Version::BOTH {
        let mut bare = Bare::connect(server.address(), &version.client_tls(&pki));
        bare.send("GET /broken HTTP/1.0\r\n\r\n");
        let (text, end) = bare.rest();
        assert!(!text.contains("content-length") && !text.contains("chunked"), "{text}");
        assert_eq!(end, End::Cut, "{version:?}");
    }
}

#[test]
fn a_client_that_ends_its_side_still_gets_its_answer() {
    let pki = TempPki::new();
    let server = serve(one_thread(), &pki.server_tls(), app);
    for (version, notify) in Version::BOTH.into_iter().flat_map(|version| [(version, true), (version, false)]) {
        let mut bare = Bare::connect(server.address(), &version.client_tls(&pki));
        bare.send(REQUEST);
        if notify {
            bare.close();
        }
        bare.socket.shutdown(Shutdown::Write).unwrap();
        assert_eq!(bare.rest(), (SAID.to_owned(), End::Told), "{version:?}, {notify}");
    }
}

/// Tells that a handler has been dropped.
struct Tell(Sender<()>);

impl Drop for Tell {
    fn drop(&mut self) {
        let _ = self.0.send(());
    }
}

/// A way in which a TLS client leaves.
#[derive(Clone, Copy, Debug)]
enum Leave {
    /// With close_notify and FIN.
    Close,
    /// With FIN alone, as many clients do.
    Fin,
    /// With close_notify, and the socket stays open.
    Notify,
    Reset,
}

/// Lets clients go away in every way from handlers that wait.
fn clients_leave(pki: &TempPki, address: &Address, begun: &Receiver<()>, dropped: &Receiver<()>) {
    let ways = [Leave::Close, Leave::Fin, Leave::Notify, Leave::Reset];
    let mut open = Vec::new();
    for (version, leave) in Version::BOTH.into_iter().flat_map(|version| ways.map(|leave| (version, leave))) {
        let mut bare = Bare::connect(address, &version.client_tls(pki));
        bare.send(REQUEST);
        begun.recv_timeout(PATIENCE.unwrap()).unwrap();
        if matches!(leave, Leave::Close | Leave::Notify) {
            bare.close();
        }
        match leave {
            Leave::Close | Leave::Fin => bare.socket.shutdown(Shutdown::Write).unwrap(),
            Leave::Notify => {}
            Leave::Reset => {
                socket2::SockRef::from(&bare.socket).set_linger(Some(Duration::ZERO)).unwrap();
                continue;
            }
        }
        open.push(bare);
    }
    // Less than the 30 s after which the kernel sends a keep-alive probe, which may also find that a client is gone.
    let patience = Duration::from_secs(25);
    for number in 0..8 {
        dropped.recv_timeout(patience).unwrap_or_else(|_| panic!("{number} of 8 have been dropped"));
    }
}

#[test]
fn a_client_that_closes_is_noticed_while_the_app_waits() {
    let pki = TempPki::new();
    let ((begin, begun), (told, dropped)) = (channel(), channel());
    let app = async move |_: &mut Session, _: Request<'_>| {
        begin.send(()).unwrap();
        let _tell = Tell(told.clone());
        std::future::pending::<&str>().await
    };
    let server = serve(one_thread().half_close_timeout(SECOND), &pki.server_tls(), app);
    clients_leave(&pki, server.address(), &begun, &dropped);
}

#[test]
fn a_client_that_closes_is_noticed_while_a_service_waits() {
    let pki = TempPki::new();
    let ((begin, begun), (told, dropped)) = (channel(), channel());
    let service = axum::Router::new().fallback(async move || {
        begin.send(()).unwrap();
        let _tell = Tell(told.clone());
        std::future::pending::<&str>().await
    });
    let listener = degu_server::Server::options().listener(Address::IPV6_LOOPBACK).unwrap();
    let address = listener.address().clone();
    let options = one_thread().half_close_timeout(SECOND).tls(pki.server_tls());
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let stopped = async { drop(stopped.await) };
    let serving = std::thread::spawn(|| run(degu_server::hyper::serve(listener, options, service, stopped)));
    clients_leave(&pki, &address, &begun, &dropped);
    drop(stop);
    serving.join().unwrap().unwrap();
}

#[test]
fn a_large_body_reaches_hyper_whole() {
    let pki = TempPki::new();
    let service = axum::Router::new().fallback(async |body: axum::body::Bytes| body);
    let listener = degu_server::Server::options().listener(Address::IPV6_LOOPBACK).unwrap();
    let client = blocking::Client::options().tls(pki.client_tls()).server_name("localhost").client(listener.address());
    let options = one_thread().tls(pki.server_tls());
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let stopped = async { drop(stopped.await) };
    let serving = std::thread::spawn(|| run(degu_server::hyper::serve(listener, options, service, stopped)));
    let body: Vec<u8> = (0..1_000_000_u32).map(|at| (at % 251) as u8).collect();
    let mut connection = client.connect().unwrap();
    assert!(connection.put("/", body.clone()).unwrap().body.read_all(body.len()).unwrap() == body);
    drop((connection, stop));
    serving.join().unwrap().unwrap();
}

#[test]
fn a_request_that_ends_in_its_body_is_not_whole() {
    let pki = TempPki::new();
    let server = serve(one_thread(), &pki.server_tls(), app);
    for (version, notify) in Version::BOTH.into_iter().flat_map(|version| [(version, true), (version, false)]) {
        for framing in ["content-length: 9\r\n\r\nsome", "transfer-encoding: chunked\r\n\r\n4\r\nsome\r\n"] {
            let mut bare = Bare::connect(server.address(), &version.client_tls(&pki));
            bare.send(format!("PUT /body HTTP/1.1\r\nhost: localhost\r\n{framing}"));
            if notify {
                bare.close();
            }
            bare.socket.shutdown(Shutdown::Write).unwrap();
            let (text, end) = bare.rest();
            assert!(text.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{text}");
            assert_eq!(end, End::Told);
        }
    }
}

#[test]
fn a_client_says_close_notify_when_it_is_dropped() {
    let pki = TempPki::new();
    for version in Version::BOTH {
        let listener = TcpListener::bind("[::1]:0").unwrap();
        let address = Address::from(listener.local_addr().unwrap());
        let tls = pki.server_tls();
        let server = std::thread::spawn(move || {
            let heads = ["", "200 OK\r\ncontent-length: 2\r\n\r\nok", "200 OK\r\ncontent-length: 9\r\n\r\nsome", "-"];
            for head in heads.into_iter().flat_map(|head| [head, head]) {
                let mut bare = Bare::accept(&listener, &tls);
                if !head.is_empty() {
                    bare.read_until("\r\n\r\n");
                }
                if head.len() > 1 {
                    bare.send(format!("HTTP/1.1 {head}"));
                }
                assert_eq!(bare.rest().1, End::Told, "{version:?}, {head:?}");
            }
        });
        let client = client(&address, &version.client_tls(&pki));
        let blocking = blocking::Client::from(client.clone());
        // Unused.
        drop(blocking.connect().unwrap());
        let kept = run(client.connect()).unwrap();
        drop(kept);
        // After an exchange.
        assert!(both(&client).iter().all(Result::is_ok));
        // In the middle of a response.
        blocking.connect().unwrap().get("/").unwrap();
        run(async { drop(client.connect().await.unwrap().get("/").await.unwrap()) });
        // Without one.
        let moment = Duration::from_millis(10);
        let impatient = Client::options().tls(version.client_tls(&pki)).server_name("localhost");
        let impatient = blocking::Client::from(impatient.head_timeout(Some(moment)).client(&address));
        impatient.connect().unwrap().get("/").unwrap_err();
        run(async {
            let mut connection = client.connect().await.unwrap();
            tokio::time::timeout(moment, connection.get("/")).await.unwrap_err();
        });
        server.join().unwrap();
    }
}

/// A server's behaviour between the handshake and the first request.
#[derive(Clone, Copy, Debug)]
enum Before {
    Nothing,
    NewKeys,
    CloseNotify,
    End,
    Bytes,
    Garbage,
}

#[test]
fn what_comes_before_a_request_is_looked_at() {
    use Before::*;
    let pki = TempPki::new();
    let listener = TcpListener::bind("[::1]:0").unwrap();
    let address = Address::from(listener.local_addr().unwrap());
    let tls = pki.server_tls();
    let (done, is_done) = channel();
    let all = [Nothing, NewKeys, CloseNotify, End, Bytes, Garbage];
    let server = std::thread::spawn(move || {
        for before in all.into_iter().flat_map(|before| [before, before]) {
            let mut bare = Bare::accept(&listener, &tls);
            match before {
                Nothing => {}
                NewKeys => {
                    bare.connection.refresh_traffic_keys().unwrap();
                    bare.flush();
                }
                CloseNotify => bare.close(),
                End => bare.socket.shutdown(Shutdown::Write).unwrap(),
                Bytes => bare.send("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil"),
                Garbage => bare.socket.write_all(&[23, 3, 3, 0, 17].repeat(10)).unwrap(),
            }
            done.send(()).unwrap();
            if matches!(before, Nothing | NewKeys) {
                bare.read_until("\r\n\r\n");
                bare.send("HTTP/1.1 204 No Content\r\n\r\n");
            }
            let _ = std::io::copy(&mut bare.socket, &mut std::io::sink());
        }
    });
    let client = client(&address, &Version::Tls13.client_tls(&pki));
    for before in all {
        let mut blocking = blocking::Client::from(client.clone()).connect().unwrap();
        is_done.recv().unwrap();
        // What must not be done twice may be tried again only if nothing of it was sent.
        let first = blocking.post("/", "a").map(|response| response.status);
        drop(blocking);
        let second = run(async {
            let mut connection = client.connect().await.unwrap();
            is_done.recv().unwrap();
            connection.post("/", "a").await.map(|response| response.status)
        });
        for answer in [first, second] {
            match (before, answer) {
                (Nothing | NewKeys, answer) => assert_eq!(answer.unwrap(), 204),
                (CloseNotify | End, Err(error)) => {
                    assert!(error.is_retryable() && error.tls().is_none(), "{before:?}: {error}");
                }
                (Bytes, Err(error)) => {
                    assert_eq!(error.remote().map(|remote| remote.fault), Some(Fault::UnsolicitedBytes), "{error}");
                }
                (Garbage, Err(error)) => assert!(error.tls().is_some() && !error.is_retryable(), "{error}"),
                (before, Ok(status)) => panic!("{before:?}: {status}"),
            }
        }
    }
    server.join().unwrap();
}

#[test]
fn a_request_that_has_come_is_answered_during_a_shutdown() {
    let pki = TempPki::new();
    let [entered, left] = [(); 2].map(|()| Arc::new(Barrier::new(2)));
    for version in Version::BOTH {
        let (enter, leave) = (entered.clone(), left.clone());
        let app = async move |session: &mut Session, request: Request<'_>| {
            if request.segments() == ["block"] {
                // So that the server's only thread learns of what follows all at once.
                enter.wait();
                leave.wait();
            }
            who(session, request).await
        };
        let server = serve(one_thread(), &pki.server_tls(), app);
        let [mut first, mut second] = [(); 2].map(|()| Bare::connect(server.address(), &version.client_tls(&pki)));
        second.send(REQUEST);
        second.read_until(CLIENT);
        first.send(REQUEST.replace("/ ", "/block "));
        entered.wait();
        second.send(REQUEST);
        drop(server);
        left.wait();
        for bare in [&mut first, &mut second] {
            let (text, end) = bare.rest();
            assert!(text.contains("connection: close\r\n") && text.ends_with(CLIENT), "{version:?}: {text}");
            assert_eq!(end, End::Told);
        }
    }
}

#[test]
fn an_early_answer_is_read_by_a_client_that_sends_all_first() {
    async fn limited(_: &mut Session, mut request: Request<'_>) -> Result<Response, BoxError> {
        Ok(request.body.read_all(64 * 1024).await?.into())
    }
    let pki = TempPki::new();
    let server = serve(one_thread(), &pki.server_tls(), limited);
    for size in [400 << 10, 1 << 20, 5 << 20, 32 << 20] {
        let mut bare = Bare::connect(server.address(), &pki.client_tls());
        bare.send(format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {size}\r\n\r\n"));
        for _ in 0..size / 16384 {
            bare.send([b'a'; 16384]);
        }
        let (answer, end) = bare.rest();
        assert!(answer.starts_with("HTTP/1.1 413 "), "{size}: {answer:?}");
        assert_eq!(end, End::Told);
    }
}
