//! Bounds on the duration of a handshake, and handshakes that stall.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use degu_misc::TempPki;
use degu_server::Address;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::kit::{CLIENT, DEADLINE, ask, both, client, hello, one_thread, serve, socket, until, who};

/// Reads up to EOF, or up to a reset: the kernel resets the connection if the server closes with unread input.
fn rest(mut socket: &TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    if let Err(error) = socket.read_to_end(&mut bytes) {
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    }
    bytes
}

/// A client in the middle of its handshake, which the server has begun.
fn halfway(address: &Address, hello: &[u8]) -> TcpStream {
    let mut socket = socket(address);
    socket.write_all(hello).unwrap();
    socket.read_exact(&mut [0]).unwrap();
    socket
}

#[test]
fn a_handshake_has_a_deadline() {
    let pki = TempPki::new();
    let server = serve(one_thread().handshake_timeout(DEADLINE), &pki.server_tls(), who);
    let [silent, started] = [(); 2].map(|()| socket(server.address()));
    let stuck = halfway(server.address(), &hello(&pki.client_tls()));
    // A record that is announced with 16 KiB, and comes a byte at a time.
    (&started).write_all(&[22, 3, 1, 0x40, 0]).unwrap();
    started.set_read_timeout(Some(Duration::from_millis(10))).unwrap();
    let ended = (0..16 * 1024).any(|_| match (&started).read(&mut [0]) {
        Ok(read) => read == 0,
        // If the server closes with this byte unread, the client gets a reset in place of EOF.
        Err(error) => {
            !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
                || (&started).write_all(&[1]).is_err()
        }
    });
    assert!(ended, "a peer that drips was waited for");
    assert_eq!(rest(&silent), b"");
    rest(&stuck);
    until(|| server.stats().deadlines == 3);
    for answer in both(&client(server.address(), &pki.client_tls())) {
        assert_eq!(answer.unwrap(), CLIENT);
    }
}

#[test]
fn stalled_handshakes_delay_no_other_client() {
    let pki = TempPki::new();
    let hello = hello(&pki.client_tls());
    let server = serve(one_thread().handshake_timeout(None), &pki.server_tls(), who);
    let _stalled: Vec<_> = (0..150)
        .flat_map(|_| {
            let begun = socket(server.address());
            (&begun).write_all(&hello[..1]).unwrap();
            [begun, halfway(server.address(), &hello)]
        })
        .collect();
    for answer in both(&client(server.address(), &pki.client_tls())) {
        assert_eq!(answer.unwrap(), CLIENT);
    }
}

#[test]
fn a_stalled_handshake_makes_room_for_a_new_connection() {
    let pki = TempPki::new();
    let hello = hello(&pki.client_tls());
    let server = serve(one_thread().max_connections(3).handshake_timeout(None), &pki.server_tls(), who);
    let stalled = [(); 3].map(|()| halfway(server.address(), &hello));
    let ask = || ask(&client(server.address(), &pki.client_tls()).into());
    // If the machine pauses for half a second, the first connection may be refused.
    let answer = ask().or_else(|_| ask());
    assert_eq!(answer.unwrap(), CLIENT);
    rest(&stalled[0]);
}

#[test]
fn a_client_gets_room_among_a_thousand_stalled_handshakes() {
    // Both ends of each connection belong to this process.
    let before = getrlimit(Resource::Nofile);
    let most = before.maximum.unwrap_or(u64::MAX).min(4096);
    if before.current.is_some_and(|current| current < most) {
        setrlimit(Resource::Nofile, Rlimit { current: Some(most), ..before }).unwrap();
    }
    let cap = 1024.min(most as usize / 4);
    let pki = TempPki::new();
    let hello = hello(&pki.client_tls());
    let server = serve(one_thread().max_connections(cap).handshake_timeout(None), &pki.server_tls(), who);
    let _stalled: Vec<_> = (0..cap).map(|_| halfway(server.address(), &hello)).collect();
    assert_eq!(server.stats().open, cap);
    let ask = || ask(&client(server.address(), &pki.client_tls()).into());
    // If the machine pauses for half a second, the first connection may be refused.
    let answer = ask().or_else(|_| ask());
    assert_eq!(answer.unwrap(), CLIENT);
}

#[test]
fn a_server_that_stops_waits_for_no_handshake() {
    let pki = TempPki::new();
    let hello = hello(&pki.client_tls());
    for _ in 0..20 {
        let options = one_thread().handshake_timeout(None).shutdown_grace(Duration::from_secs(3600));
        let server = serve(options, &pki.server_tls(), who);
        let silent = socket(server.address());
        let halfway = halfway(server.address(), &hello);
        let mut started = socket(server.address());
        let (address, before) = (server.address().clone(), hello.split_at(hello.len() / 2));
        started.write_all(before.0).unwrap();
        let stopped = std::thread::spawn(move || server.shutdown_blocking());
        for socket in [silent, halfway, started] {
            rest(&socket);
        }
        stopped.join().unwrap();
        assert!(TcpStream::connect(std::net::SocketAddr::try_from(&address).unwrap()).is_err());
    }
}
