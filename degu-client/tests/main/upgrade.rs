//! Offers to go on in another protocol, against servers whose every byte is a test's.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::thread;
use std::time::Duration;

use degu_client::{Client, ErrorKind, Fault, LocalError, Method, Upgrade, blocking};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use crate::common::{Kind, Server, Wire};

const OFFER: &str = "POST /attach HTTP/1.1\r\nhost: ";
const ACCEPT: &str = "HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n";

const KINDS: [Kind; 3] = [Kind::V4, Kind::V6, Kind::Path];

/// Reads the offer, and checks it.
fn offered(wire: &mut Wire) {
    let head = wire.head();
    assert!(head.starts_with(OFFER) && head.contains("\r\nupgrade: tcp\r\n"), "{head}");
    assert!(head.contains("\r\nconnection: upgrade\r\n"), "{head}");
}

/// Accepts, says something in the same packet, and sends back what comes until the end of it.
fn echo(wire: &mut Wire) {
    offered(wire);
    wire.send(&format!("{ACCEPT}first"));
    let mut all = Vec::new();
    wire.read_to_end(&mut all).unwrap();
    wire.write_all(&all).unwrap();
}

#[test]
fn a_blocking_tunnel_is_a_stream_that_half_closes() {
    for kind in KINDS {
        let server = Server::once(kind, echo);
        let mut connection = blocking::Client::new(&server.address).connect().unwrap();
        let upgrade = connection.upgrade(Method::Post, "/attach", "tcp", (), ()).unwrap();
        let blocking::Upgrade::Switched { response, mut tunnel } = upgrade else { panic!("{upgrade:?}") };
        assert_eq!((response.status, response.reason.as_str()), (101, "UPGRADED"));
        let mut first = [0; 5];
        tunnel.read_exact(&mut first).unwrap();
        assert_eq!(&first, b"first");
        tunnel.write_all(b"second").unwrap();
        tunnel.shutdown_write().unwrap();
        let mut rest = String::new();
        tunnel.read_to_string(&mut rest).unwrap();
        assert_eq!(rest, "second");
        assert!(connection.is_closed());
    }
}

#[test]
fn halves_of_a_blocking_tunnel_do_not_wait_for_each_other() {
    const ALL: usize = 4_000_000;
    for kind in KINDS {
        let server = Server::once(kind, |wire| {
            offered(wire);
            wire.send(ACCEPT);
            // Sends all before it reads anything, as the client does.
            let mut writer = wire.try_clone();
            let writes = thread::spawn(move || writer.write_all(&vec![b'x'; ALL]).unwrap());
            let mut all = Vec::new();
            wire.read_to_end(&mut all).unwrap();
            assert_eq!(all.len(), ALL);
            writes.join().unwrap();
            wire.shut();
        });
        let mut connection = blocking::Client::new(&server.address).connect().unwrap();
        let upgrade = connection.upgrade(Method::Post, "/attach", "tcp", (), ()).unwrap();
        let blocking::Upgrade::Switched { tunnel, .. } = upgrade else { panic!("{upgrade:?}") };
        let (mut from, mut to) = tunnel.split().unwrap();
        let writes = thread::spawn(move || {
            to.write_all(&vec![b'y'; ALL]).unwrap();
            to.shutdown_write().unwrap();
        });
        let mut all = Vec::new();
        from.read_to_end(&mut all).unwrap();
        assert_eq!(all.len(), ALL);
        writes.join().unwrap();
    }
}

#[tokio::test]
async fn an_async_tunnel_is_a_stream_that_half_closes() {
    for kind in KINDS {
        let server = Server::once(kind, echo);
        let mut connection = Client::new(&server.address).connect().await.unwrap();
        let upgrade = connection.upgrade(Method::Post, "/attach", "tcp", (), ()).await.unwrap();
        let Upgrade::Switched { mut tunnel, .. } = upgrade else { panic!("{upgrade:?}") };
        let mut first = [0; 5];
        tunnel.read_exact(&mut first).await.unwrap();
        assert_eq!(&first, b"first");
        let sent = vec![b'x'; 2_000_000];
        let (mut from, mut to) = tokio::io::split(tunnel);
        let mut rest = Vec::new();
        let writes = async {
            to.write_all(&sent).await.unwrap();
            to.shutdown().await.unwrap();
        };
        let (_, read) = tokio::join!(writes, from.read_to_end(&mut rest));
        read.unwrap();
        assert!(rest == sent);
        assert!(connection.is_closed());
    }
}

#[tokio::test]
async fn halves_of_an_async_tunnel_do_not_take_each_others_wakers() {
    const ALL: usize = 4_000_000;
    for kind in KINDS {
        let server = Server::once(kind, |wire| {
            offered(wire);
            wire.send(ACCEPT);
            wire.read_to_end(&mut Vec::new()).unwrap();
            wire.send("done");
        });
        let mut connection = Client::new(&server.address).connect().await.unwrap();
        let upgrade = connection.upgrade(Method::Post, "/attach", "tcp", (), ()).await.unwrap();
        let Upgrade::Switched { tunnel, .. } = upgrade else { panic!("{upgrade:?}") };
        let (mut from, mut to) = tokio::io::split(tunnel);
        let reads = tokio::spawn(async move {
            let mut read = String::new();
            from.read_to_string(&mut read).await.unwrap();
            read
        });
        // The task of the reader waits before the writer finds no room.
        tokio::task::yield_now().await;
        to.write_all(&vec![b'x'; ALL]).await.unwrap();
        to.shutdown().await.unwrap();
        assert_eq!(timeout(Duration::from_secs(60), reads).await.expect("the reader is woken").unwrap(), "done");
    }
}

#[test]
fn an_offer_that_is_declined_leaves_the_connection() {
    let server = Server::once(Kind::V4, |wire| {
        offered(wire);
        wire.send("HTTP/1.1 426 x\r\nUpgrade: websocket\r\nConnection: upgrade\r\nContent-Length: 2\r\n\r\nno");
        wire.head();
        wire.send("HTTP/1.1 204 x\r\n\r\n");
    });
    let mut connection = blocking::Client::new(&server.address).connect().unwrap();
    match connection.upgrade(Method::Post, "/attach", "tcp", (), ()).unwrap() {
        blocking::Upgrade::Declined(mut response) => {
            assert_eq!(response.status, 426);
            assert_eq!(response.body.read_all(10).unwrap(), "no");
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(connection.get("/").unwrap().status, 204);
}

#[test]
fn the_request_goes_out_whole_before_the_switch() {
    let server = Server::once(Kind::V4, |wire| {
        offered(wire);
        wire.send("HTTP/1.1 100 Continue\r\n\r\n");
        wire.expect("{\"Detach\":false}");
        wire.send(ACCEPT);
        wire.shut();
    });
    let mut connection = blocking::Client::new(&server.address).connect().unwrap();
    let headers = [("expect", "100-continue")];
    let upgrade = connection.upgrade(Method::Post, "/attach", "tcp", headers, "{\"Detach\":false}").unwrap();
    let blocking::Upgrade::Switched { mut tunnel, .. } = upgrade else { panic!("{upgrade:?}") };
    assert_eq!(tunnel.read(&mut [0; 10]).unwrap(), 0);
}

#[test]
fn a_101_that_accepts_nothing_is_a_fault() {
    for (accept, offers) in [
        (ACCEPT, false),
        ("HTTP/1.1 101 x\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n", true),
        ("HTTP/1.1 101 x\r\nUpgrade: tcp\r\n\r\n", true),
        ("HTTP/1.1 101 x\r\nConnection: upgrade\r\n\r\n", true),
    ] {
        let server = Server::once(Kind::V4, |wire| {
            wire.head();
            wire.send(accept);
            wire.expect_end();
        });
        let mut connection = blocking::Client::new(&server.address).connect().unwrap();
        let error = match offers {
            true => connection.upgrade(Method::Post, "/attach", "tcp", (), ()).unwrap_err(),
            false => connection.post("/attach", ()).unwrap_err(),
        };
        assert_eq!(error.remote().unwrap().fault, Fault::UnexpectedUpgrade, "{accept}");
        assert!(connection.is_closed());
    }
}

#[test]
fn invalid_offer_sends_nothing_and_names_the_field() {
    let server = Server::once(Kind::V4, |wire| {
        wire.head();
        wire.send("HTTP/1.1 204 x\r\n\r\n");
    });
    let mut connection = blocking::Client::new(&server.address).connect().unwrap();
    for (protocol, headers, rule) in [
        ("", &[][..], LocalError::Protocol),
        ("tcp, websocket", &[], LocalError::Protocol),
        ("t\r\ncp", &[], LocalError::FieldValue),
        ("tcp", &[("upgrade", "tcp")], LocalError::FieldNotAllowed),
    ] {
        let error = connection.upgrade(Method::Post, "/attach", protocol, headers, ()).unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Local(error) if *error == rule), "{error}");
        assert_eq!(error.field(), Some("upgrade"), "{error}");
    }
    assert_eq!(connection.get("/").unwrap().status, 204);
}

#[test]
fn the_socket_can_be_had_with_what_was_received() {
    let server = Server::once(Kind::Path, echo);
    let mut connection = blocking::Client::new(&server.address).connect().unwrap();
    let upgrade = connection.upgrade(Method::Post, "/attach", "tcp", (), ()).unwrap();
    let blocking::Upgrade::Switched { mut tunnel, .. } = upgrade else { panic!("{upgrade:?}") };
    tunnel.read_exact(&mut [0; 2]).unwrap();
    let (socket, received) = tunnel.into_inner().unwrap();
    assert_eq!(received, "rst");
    let mut stream = UnixStream::from(socket);
    assert_eq!((stream.read_timeout().unwrap(), stream.write_timeout().unwrap()), (None, None));
    stream.write_all(b"more").unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    let mut rest = String::new();
    stream.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "more");
}
