//! Connections that switch to another protocol.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

use degu_server::{Address, Body, BoxError, Request, Response, Server, Session, Tunnel};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy, split};

use crate::common::{Raw, Running, refusal};

const ATTACH: &str = "POST /attach HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n";
const SWITCHED: &str = "HTTP/1.1 101 Switching Protocols\r\nx-kind: raw\r\nupgrade: tcp\r\nconnection: upgrade\r\n\r\n";
const DECLINED: &str =
    "HTTP/1.1 426 Upgrade Required\r\nupgrade: tcp\r\nconnection: upgrade\r\ncontent-length: 0\r\n\r\n";

fn kinds() -> (tempfile::TempDir, [Address; 4]) {
    let folder = tempfile::tempdir().unwrap();
    let path = Address::unix(folder.path().join("s").to_str().unwrap());
    (folder, [Address::IPV4_LOOPBACK, Address::IPV6_LOOPBACK, path, Address::ABSTRACT])
}

/// Sends back what comes, until its end; then says goodbye.
async fn echo(_: &mut Session, tunnel: Tunnel<'_>) -> Result<(), BoxError> {
    let (mut from, mut to) = split(tunnel);
    copy(&mut from, &mut to).await?;
    to.write_all(b"bye").await?;
    Ok(())
}

/// Handlers by the path of their request.
async fn app(_: &mut Session, request: Request<'_>) -> Response {
    let (kind, path) = ([("x-kind", "raw")], request.segments());
    match (request.upgrade("tcp"), path) {
        (Some(offer), ["attach"]) => offer.accept(kind, echo),
        (Some(offer), ["fail"]) => offer.accept(kind, async |_: &mut Session, mut tunnel: Tunnel<'_>| {
            tunnel.write_all(b"half of").await?;
            Err("no more".into())
        }),
        (Some(offer), ["panic"]) => offer.accept(kind, async |_: &mut Session, _: Tunnel<'_>| panic!("on purpose")),
        (Some(offer), ["closing"]) => offer.accept(kind, async |session: &mut Session, mut tunnel: Tunnel<'_>| {
            session.closing().await;
            tunnel.write_all(b"closing").await?;
            Ok(())
        }),
        (Some(offer), ["wait"]) => offer.accept(kind, async |_: &mut Session, _: Tunnel<'_>| {
            std::future::pending::<()>().await;
            Ok(())
        }),
        (Some(offer), ["bad"]) => offer.accept([("content-length", "5")], echo),
        (_, ["hello"]) => "hello".into(),
        _ => (426, [("upgrade", "tcp")], ()).into(),
    }
}

fn attach(path: &str) -> String {
    ATTACH.replace("/attach", path)
}

#[test]
fn bytes_go_both_ways_until_either_side_ends() {
    let (_folder, kinds) = kinds();
    for address in kinds {
        let server = Running::new(address, app);
        let mut raw = server.connect();
        raw.send(format!("{ATTACH}first"));
        raw.expect(SWITCHED);
        raw.expect("first");
        assert_eq!(server.handle().stats().tunnels, 1);
        raw.send("second");
        raw.expect("second");
        raw.shut_down_writing();
        assert_eq!(raw.rest(), "bye");
    }
}

#[test]
fn all_of_the_request_is_read_before_the_switch() {
    let server = Running::new(Address::IPV4_LOOPBACK, app);
    let request = ATTACH.replace("\r\n\r\n", "\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n");
    let mut raw = server.connect();
    raw.send(&request);
    raw.expect("HTTP/1.1 100 Continue\r\n\r\n");
    raw.send("bodyGET / HTTP/1.1\r\n");
    raw.expect(SWITCHED);
    raw.expect("GET / HTTP/1.1\r\n");

    // A chunked one, and pieces of the new protocol.
    let request = ATTACH.replace("\r\n\r\n", "\r\nTransfer-Encoding: chunked\r\n\r\n");
    let mut raw = server.connect();
    raw.send(format!("{request}3\r\nabc\r\n0\r\n\r\n0\r\n\r\n"));
    raw.expect(SWITCHED);
    raw.expect("0\r\n\r\n");
}

#[test]
fn the_rest_before_a_switch_counts_against_handler_timeout() {
    let server = Running::with(Server::options().handler_timeout(Duration::from_secs(1)), Address::IPV4_LOOPBACK, app);
    let mut raw = server.connect();
    raw.send(ATTACH.replace("\r\n\r\n", "\r\nContent-Length: 5\r\n\r\nrest"));
    assert_eq!(raw.rest(), refusal("503 Service Unavailable", "the app took too long"));
}

#[test]
fn a_request_of_which_too_much_is_left_is_refused() {
    let server = Running::new(Address::IPV4_LOOPBACK, app);
    let mut raw = server.connect();
    raw.send(ATTACH.replace("\r\n\r\n", "\r\nContent-Length: 100000\r\n\r\n"));
    raw.send(vec![b'x'; 100_000]);
    assert!(raw.response_head().unwrap().starts_with("HTTP/1.1 413 "));
}

#[test]
fn what_was_not_offered_is_declined_and_the_connection_goes_on() {
    let server = Running::with(Server::options().workers(1), Address::IPV4_LOOPBACK, app);
    let mut raw = server.connect();
    for request in [
        attach("/attach").replace("Upgrade: tcp", "Upgrade: websocket"),
        attach("/attach").replace("Connection: Upgrade\r\n", ""),
        attach("/attach").replace("Upgrade: tcp\r\n", ""),
    ] {
        raw.send(request);
        raw.expect(DECLINED);
    }
    raw.send(attach("/attach").replace("Upgrade: tcp", "Upgrade: h2c, TCP"));
    raw.expect(SWITCHED);

    assert!(server.ask(attach("/attach").replace("HTTP/1.1", "HTTP/1.0")).contains(" 426 "));
}

#[test]
fn a_switch_that_cannot_be_sent_is_a_failure_of_the_app() {
    let server = Running::new(Address::IPV4_LOOPBACK, app);
    assert!(server.ask(attach("/bad")).starts_with("HTTP/1.1 500 "));
    // The status alone is no switch.
    let server =
        Running::new(Address::IPV4_LOOPBACK, async |_: &mut Session, _: Request<'_>| (101, "x", (), Body::none()));
    assert!(server.ask(ATTACH).starts_with("HTTP/1.1 500 "));
}

#[test]
fn handler_that_fails_or_panics_resets_only_its_connection() {
    let server = Running::new(Address::IPV4_LOOPBACK, app);
    let mut other = server.connect();
    other.send(ATTACH);
    other.expect(SWITCHED);
    for path in ["/fail", "/panic"] {
        let mut raw = server.connect();
        raw.send(attach(path));
        raw.expect(SWITCHED);
        let mut buffer = [0; 64];
        let end = std::iter::repeat_with(|| raw.read_some(&mut buffer)).find(|read| !matches!(read, Ok(1..))).unwrap();
        assert!(end.is_err(), "{path} looks like a whole stream");
    }
    other.send("still here");
    other.expect("still here");
    let stats = server.handle().stats();
    assert_eq!((stats.failures, stats.tunnels), (2, 1));
}

#[test]
fn a_peer_that_goes_away_is_no_failure_of_the_app() {
    let server = Running::new(Address::IPV4_LOOPBACK, app);
    let mut raw = server.connect();
    raw.send(ATTACH);
    raw.expect(SWITCHED);
    raw.reset();
    let begun = Instant::now();
    while server.handle().stats().open > 0 {
        assert!(begun.elapsed() < Duration::from_secs(60), "the tunnel outlives its peer");
        thread::yield_now();
    }
    let stats = server.handle().stats();
    assert_eq!((stats.gone, stats.failures, stats.tunnels), (1, 0, 0));
}

#[test]
fn a_shutdown_tells_tunnels_and_waits_for_them() {
    let server = Running::with(Server::options().workers(2), Address::IPV4_LOOPBACK, app);
    let mut tunnels: Vec<Raw> = (0..10).map(|_| server.connect()).collect();
    for tunnel in &mut tunnels {
        tunnel.send(attach("/closing"));
        tunnel.expect(SWITCHED);
    }
    let (done, is_done) = channel();
    thread::spawn(move || {
        server.shut_down();
        let _ = done.send(());
    });
    for mut tunnel in tunnels {
        assert_eq!(tunnel.rest(), "closing");
    }
    is_done.recv_timeout(Duration::from_secs(60)).unwrap();
}

#[test]
fn a_tunnel_that_does_not_end_is_cut_after_the_grace() {
    let options = Server::options().workers(1).shutdown_grace(Duration::from_millis(100));
    let server = Running::with(options, Address::IPV4_LOOPBACK, app);
    let mut raw = server.connect();
    raw.send(attach("/wait"));
    raw.expect(SWITCHED);
    server.shut_down();
    assert!(raw.read_some(&mut [0]).is_err(), "it looks like a whole stream");
}

#[test]
fn silent_tunnel_ends_at_its_timeout_and_a_busy_one_does_not() {
    let options = Server::options().workers(1).tunnel_idle_timeout(Some(Duration::from_secs(1)));
    let server = Running::with(options, Address::IPV4_LOOPBACK, app);
    let (mut silent, mut moving) = (server.connect(), server.connect());
    for raw in [&mut silent, &mut moving] {
        raw.send(ATTACH);
        raw.expect(SWITCHED);
    }
    let ends = thread::spawn(move || silent.read_some(&mut [0]).is_err());
    while !ends.is_finished() {
        moving.send("tick");
        moving.expect("tick");
    }
    assert!(ends.join().unwrap(), "it looks like a whole stream");
    assert_eq!(server.handle().stats().deadlines, 1);
}

#[test]
fn a_busy_tunnel_lets_other_connections_have_their_turn() {
    /// Never waits: it writes as fast as the peer reads.
    async fn flood(_: &mut Session, mut tunnel: Tunnel<'_>) -> Result<(), BoxError> {
        loop {
            tunnel.write_all(&[b'x'; 64 * 1024]).await?;
        }
    }
    let server = Running::new(Address::ABSTRACT, async |session: &mut Session, request: Request<'_>| {
        match request.upgrade("flood") {
            Some(offer) => offer.accept((), flood),
            None => app(session, request).await,
        }
    });
    let mut busy = server.connect();
    busy.send(ATTACH.replace("Upgrade: tcp", "Upgrade: flood"));
    busy.response_head();
    let reader = busy.another();
    let reads = thread::spawn(move || {
        let (mut reader, mut buffer) = (reader, vec![0; 256 * 1024]);
        while matches!(reader.read_some(&mut buffer), Ok(1..)) {}
    });
    for _ in 0..20 {
        let mut raw = server.connect();
        raw.send("GET /hello HTTP/1.1\r\nHost: a\r\n\r\n");
        raw.expect("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello");
    }
    drop(server);
    reads.join().unwrap();
}

#[test]
fn a_reader_is_woken_while_a_write_finds_no_room() {
    let (_folder, kinds) = kinds();
    for address in kinds {
        let (tell, told) = channel();
        let server = Running::new(address, async move |_: &mut Session, request: Request<'_>| {
            let (tell, offer) = (tell.clone(), request.upgrade("tcp").unwrap());
            offer.accept((), async move |_: &mut Session, tunnel: Tunnel<'_>| {
                let (mut from, mut to) = split(tunnel);
                let mut reads = pin!(async { from.read_u8().await.unwrap() });
                let mut writes = pin!(async { to.write_all(&vec![b'x'; 8_000_000]).await.unwrap() });
                let read = poll_fn(|cx| {
                    // The reader waits before the writer.
                    let read = reads.as_mut().poll(cx);
                    if read.is_pending() && writes.as_mut().poll(cx).is_pending() {
                        tell.send(0).unwrap();
                    }
                    read
                });
                tell.send(read.await)?;
                Ok(())
            })
        });
        let mut raw = server.connect();
        raw.send(ATTACH);
        raw.response_head();
        assert_eq!(told.recv_timeout(Duration::from_secs(60)), Ok(0));
        raw.send("y");
        while told.recv_timeout(Duration::from_secs(60)).expect("the reader is woken") != b'y' {}
    }
}

#[test]
fn a_tunnel_in_pieces_loses_nothing() {
    let server = Running::new(Address::ABSTRACT, async |_: &mut Session, request: Request<'_>| {
        let Some(offer) = request.upgrade("sum") else { return 404.into() };
        offer.accept((), async |_: &mut Session, mut tunnel: Tunnel<'_>| {
            let mut sum = 0_u64;
            let mut pieces = [0; 7];
            loop {
                match tunnel.read(&mut pieces).await? {
                    0 => break,
                    count => sum += pieces[..count].iter().map(|&byte| u64::from(byte)).sum::<u64>(),
                }
            }
            tunnel.write_all(sum.to_string().as_bytes()).await?;
            Ok(())
        })
    });
    let all: Vec<u8> = (0..100_000_u32).map(|at| (at % 251) as u8).collect();
    let (first, rest) = all.split_at(1000);
    let mut raw = server.connect();
    raw.send([ATTACH.replace("tcp", "sum").as_bytes(), first].concat());
    raw.response_head();
    rest.chunks(777).for_each(|piece| raw.send(piece));
    raw.shut_down_writing();
    assert_eq!(raw.rest(), all.iter().map(|&byte| u64::from(byte)).sum::<u64>().to_string());
}

#[test]
fn a_server_that_half_closes_first_still_reads() {
    let (_folder, kinds) = kinds();
    for address in kinds {
        let (heard, hears) = channel();
        let heard = std::sync::Mutex::new(heard);
        let server = Running::new(address, async move |_: &mut Session, request: Request<'_>| {
            let Some(offer) = request.upgrade("tcp") else { return "no offer".into() };
            let heard = heard.lock().unwrap().clone();
            offer.accept((), async move |_: &mut Session, mut tunnel: Tunnel<'_>| {
                tunnel.write_all(b"bye").await?;
                tunnel.shutdown().await?;
                let mut rest = String::new();
                tunnel.read_to_string(&mut rest).await?;
                heard.send(rest)?;
                Ok(())
            })
        });
        let mut raw = server.connect();
        raw.send(ATTACH);
        raw.response_head();
        assert_eq!(raw.rest(), "bye");
        raw.send("still sent");
        raw.shut_down_writing();
        assert_eq!(hears.recv_timeout(Duration::from_secs(60)).unwrap(), "still sent");
    }
}

/// A proxy in front of servers that switch protocols.
#[cfg(feature = "proxy")]
mod through_a_proxy {
    use std::io::{Read, Write};
    use std::net::TcpListener;
    use std::sync::mpsc::{Receiver, Sender};

    use degu_client::Client;
    use degu_server::applib::ProxyApp;

    use super::*;

    fn front(behind: &Address) -> Running {
        Running::new(Address::IPV6_LOOPBACK, ProxyApp::new(Client::new(behind)).with_tunnels(["websocket", "tcp"]))
    }

    /// A server behind that says `accept` when it is told to, then what comes, and then ends.
    fn scripted(accept: &'static str) -> (Address, Sender<()>, Receiver<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = Address::from(listener.local_addr().unwrap());
        let ((go, goes), (heard, hears)) = (channel(), channel());
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (mut stream, mut head) = (stream.unwrap(), Vec::new());
                while !head.ends_with(b"\r\n\r\n") {
                    let mut byte = [0];
                    stream.read_exact(&mut byte).unwrap();
                    head.push(byte[0]);
                }
                heard.send(String::from_utf8(head).unwrap()).unwrap();
                let Ok(()) = goes.recv() else { return };
                // What came before the answer would be of the new protocol.
                stream.set_nonblocking(true).unwrap();
                let early = stream.read(&mut [0; 64]).map_err(|error| error.kind());
                heard.send(format!("{early:?}")).unwrap();
                stream.set_nonblocking(false).unwrap();
                stream.write_all(accept.as_bytes()).unwrap();
                let mut rest = String::new();
                let _ = stream.read_to_string(&mut rest);
                heard.send(rest).unwrap();
            }
        });
        (address, go, hears)
    }

    #[test]
    fn both_directions_and_half_closes_pass() {
        let behind = Running::new(Address::ABSTRACT, app);
        let front = front(&behind.address);
        let mut raw = front.connect();
        raw.send(format!("{ATTACH}first"));
        raw.expect(SWITCHED);
        raw.expect("first");
        raw.send(vec![b'x'; 100_000]);
        raw.expect(&"x".repeat(100_000));
        raw.shut_down_writing();
        assert_eq!(raw.rest(), "bye");
        let begun = Instant::now();
        while front.handle().stats().open + behind.handle().stats().open > 0 {
            assert!(begun.elapsed() < Duration::from_secs(60), "{:?}", front.handle().stats());
            thread::yield_now();
        }
    }

    #[test]
    fn a_tunnel_that_is_cut_behind_is_cut_in_front() {
        let behind = Running::new(Address::IPV4_LOOPBACK, app);
        let front = front(&behind.address);
        let mut raw = front.connect();
        raw.send(attach("/fail"));
        raw.expect(SWITCHED);
        let mut buffer = [0; 64];
        let end = std::iter::repeat_with(|| raw.read_some(&mut buffer)).find(|read| !matches!(read, Ok(1..))).unwrap();
        assert!(end.is_err(), "it looks like a whole stream");
    }

    #[test]
    fn a_tunnel_that_is_cut_in_front_is_cut_behind() {
        let behind = Running::new(Address::IPV4_LOOPBACK, app);
        let front = front(&behind.address);
        let mut raw = front.connect();
        raw.send(ATTACH);
        raw.expect(SWITCHED);
        raw.reset();
        let begun = Instant::now();
        while behind.handle().stats().open > 0 {
            assert!(begun.elapsed() < Duration::from_secs(60), "the tunnel outlives its client");
            thread::yield_now();
        }
        assert_eq!(behind.handle().stats().gone, 1, "it looks like a whole stream");
    }

    #[test]
    fn what_the_server_behind_declines_is_declined() {
        let behind = Running::new(Address::ABSTRACT, app);
        let front = front(&behind.address);
        let mut raw = front.connect();
        raw.send(attach("/nothing"));
        raw.expect("HTTP/1.1 426 Upgrade Required\r\n");
        raw.response_head();
        // Offered, and answered with something else: the connection goes on.
        raw.send(attach("/hello"));
        raw.expect("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello");
    }

    #[test]
    fn upstream_connection_is_reused_after_a_declined_offer() {
        let behind = Running::new(Address::ABSTRACT, async |session: &mut Session, _: Request<'_>| {
            session.requests().to_string()
        });
        let front = front(&behind.address);
        let mut raw = front.connect();
        for (request, number) in [(ATTACH, "1"), ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", "2"), (ATTACH, "1")] {
            raw.send(request);
            raw.response_head();
            raw.expect(number);
        }
    }

    #[test]
    fn a_protocol_that_is_not_listed_is_not_offered() {
        let (behind, go, hears) = scripted("HTTP/1.1 101 x\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n");
        let front = front(&behind);
        let mut raw = front.connect();
        raw.send(
            ATTACH
                .replace("Upgrade: tcp", "Upgrade: h2c")
                .replace("Connection: Upgrade", "Connection: Upgrade, HTTP2-Settings"),
        );
        let head = hears.recv_timeout(Duration::from_secs(60)).unwrap();
        assert!(!head.to_ascii_lowercase().contains("upgrade"), "{head}");
        go.send(()).unwrap();
        assert!(raw.response_head().unwrap().starts_with("HTTP/1.1 502 "));
    }

    #[test]
    fn no_byte_of_the_new_protocol_goes_on_before_the_answer() {
        let (behind, go, hears) = scripted("HTTP/1.1 101 x\r\nConnection: upgrade\r\nUpgrade: tcp\r\n\r\n");
        let front = front(&behind);
        let mut raw = front.connect();
        raw.send(format!("{ATTACH}early"));
        let head = hears.recv_timeout(Duration::from_secs(60)).unwrap();
        assert!(head.contains("upgrade: tcp\r\nconnection: upgrade\r\n"), "{head}");
        go.send(()).unwrap();
        assert_eq!(hears.recv_timeout(Duration::from_secs(60)).unwrap(), "Err(WouldBlock)");
        raw.response_head();
        raw.shut_down_writing();
        assert_eq!(hears.recv_timeout(Duration::from_secs(60)).unwrap(), "early");
    }

    #[test]
    fn an_answer_that_names_another_protocol_is_a_bad_gateway() {
        let (behind, go, hears) = scripted("HTTP/1.1 101 x\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n");
        let front = front(&behind);
        let mut raw = front.connect();
        raw.send(ATTACH);
        hears.recv_timeout(Duration::from_secs(60)).unwrap();
        go.send(()).unwrap();
        assert!(raw.response_head().unwrap().starts_with("HTTP/1.1 502 "));
    }

    #[test]
    #[should_panic(expected = "the proxy cannot check requests in `h2c`: remove `h2c` from the protocols")]
    fn h2c_cannot_be_listed() {
        let _ = ProxyApp::new(Client::new(Address::ABSTRACT)).with_tunnels(["H2C"]);
    }
}
