//! A blocking client that waits, ended from another thread.

use std::io::{self, Read};
use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::sync::mpsc;
use std::thread;

use degu_client::blocking::{Client, Connection, Interrupter, Upgrade};
use degu_client::{Address, Error, ErrorKind, Method};
use socket2::SockRef;

use crate::common::{KINDS, Kind, Server};

const ACCEPT: &str = "HTTP/1.1 101 UPGRADED\r\nconnection: upgrade\r\nupgrade: tcp\r\n\r\n";

/// Returns a connection to a server that reads a request, sends these bytes, says so, and waits for the end.
fn connect(kind: Kind, sent: String) -> (Server, Connection, mpsc::Receiver<()>) {
    let (says, said) = mpsc::channel();
    let server = Server::once(kind, move |wire| {
        wire.head();
        wire.send(&sent);
        says.send(()).unwrap();
        wire.expect_end();
    });
    let connection = Client::new(&server.address).connect().unwrap();
    (server, connection, said)
}

fn assert_interrupted(error: &Error) {
    assert!(matches!(error.kind(), ErrorKind::Interrupted), "{error}");
    assert!(!error.is_retryable() && !error.is_timeout());
}

#[test]
fn a_wait_for_a_response_is_interrupted() {
    for kind in KINDS {
        for head in ["", "HTTP/1.1 200 OK\r\nx: "] {
            let (_server, mut connection, said) = connect(kind, head.into());
            let interrupter = connection.interrupter().unwrap();
            let waits = thread::spawn(move || (connection.get("/").map(drop), connection));
            said.recv().unwrap();
            interrupter.interrupt();
            let (response, mut connection) = waits.join().unwrap();
            assert_interrupted(&response.unwrap_err());
            assert!(connection.is_closed() && connection.interrupter().is_none());
        }
    }
}

#[test]
fn a_body_that_is_interrupted_is_not_whole() {
    // The last one ends with its connection.
    for head in ["content-length: 9\r\n", "transfer-encoding: chunked\r\n", ""] {
        for kind in KINDS {
            let (_server, mut connection, said) = connect(kind, format!("HTTP/1.1 200 OK\r\n{head}\r\n"));
            let interrupter = connection.interrupter().unwrap();
            let waits = thread::spawn(move || connection.get("/").unwrap().body.read_all(100).map(drop));
            said.recv().unwrap();
            interrupter.interrupt();
            assert_interrupted(&waits.join().unwrap().unwrap_err());
        }
    }
}

#[test]
fn an_idle_connection_that_was_interrupted_sends_nothing_more() {
    for kind in KINDS {
        let server = Server::once(kind, |wire| wire.expect(""));
        let mut connection = Client::new(&server.address).connect().unwrap();
        connection.interrupter().unwrap().interrupt();
        assert_interrupted(&connection.get("/").unwrap_err());
        assert!(connection.is_closed());
    }
}

#[test]
fn an_interrupter_keeps_no_connection_open() {
    let server = Server::once(Kind::Path, |wire| wire.expect_end());
    let mut connection = Client::new(&server.address).connect().unwrap();
    let interrupter = connection.interrupter().unwrap();
    drop(connection);
    // Its script waits for the end.
    drop(server);
    interrupter.interrupt();
}

#[test]
fn a_connection_that_is_being_made_is_interrupted() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("busy");
    let unix = UnixListener::bind(&path).unwrap();
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    // Queues that are as short as can be.
    SockRef::from(&unix).listen(0).unwrap();
    SockRef::from(&tcp).listen(0).unwrap();
    for address in [Address::unix(&path), tcp.local_addr().unwrap().into()] {
        let interrupter = Interrupter::new();
        let interrupts = interrupter.clone();
        let (makes, made) = mpsc::channel();
        let connecting = thread::spawn(move || {
            let client = Client::options().connect_timeout(None).client(address);
            let mut queued = Vec::new();
            loop {
                match client.connect_interruptible(&interrupter) {
                    Ok(connection) => queued.push(connection),
                    Err(error) => return (error, client.connect_interruptible(&interrupter)),
                }
                makes.send(()).unwrap();
            }
        });
        // The queue is full once nothing has been made for a while: before, this would only be interrupted earlier.
        while made.recv_timeout(std::time::Duration::from_millis(300)).is_ok() {}
        interrupts.interrupt();
        let (error, again) = connecting.join().unwrap();
        assert_interrupted(&error);
        assert!(error.is_connect());
        assert_interrupted(&again.unwrap_err());
    }
}

#[test]
fn a_tunnel_is_interrupted_whole_or_in_halves() {
    for kind in KINDS {
        for in_halves in [false, true] {
            let (_server, mut connection, said) = connect(kind, ACCEPT.into());
            let upgrade = connection.upgrade(Method::Get, "/", "tcp", (), ()).unwrap();
            let Upgrade::Switched { mut tunnel, .. } = upgrade else { panic!("{upgrade:?}") };
            let interrupter = tunnel.interrupter().unwrap();
            said.recv().unwrap();
            let waits = thread::spawn(move || match in_halves {
                false => tunnel.read(&mut [0]),
                true => tunnel.split()?.0.read(&mut [0]),
            });
            interrupter.interrupt();
            assert_eq!(waits.join().unwrap().unwrap_err().kind(), io::ErrorKind::ConnectionAborted);
        }
    }
}
