//! Bounds on the duration of a handshake, and on the number of handshakes at once.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use degu_misc::TempPki;
use degu_server::{Address, Server};

use super::kit::{CLIENT, DEADLINE, PATIENCE, ask, both, client, hello, one_thread, serve, socket, until, who};

/// Everything up to the end.
fn rest(mut socket: &TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    socket.read_to_end(&mut bytes).unwrap();
    bytes
}

/// A client in the middle of its handshake, which the server has begun: it has a turn.
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
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::WouldBlock);
            (&started).write_all(&[1]).unwrap();
            false
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
fn the_wait_for_a_turn_is_a_part_of_it() {
    let pki = TempPki::new();
    let hello = hello(&pki.client_tls());
    let server = serve(one_thread().max_handshakes(1).handshake_timeout(DEADLINE), &pki.server_tls(), who);
    let mut first = socket(server.address());
    let second = halfway(server.address(), &hello);
    // The other one has the only turn, and until this one's time is over, since it came later.
    first.write_all(&hello).unwrap();
    assert_eq!(rest(&first), b"");
    rest(&second);
    until(|| server.stats().deadlines == 2);
}

#[test]
fn there_is_a_cap_for_the_whole_server() {
    let pki = TempPki::new();
    let hello = hello(&pki.client_tls());
    let options = Server::options().workers(2).max_handshakes(1).handshake_timeout(None);
    let server = serve(options, &pki.server_tls(), who);
    // Who says nothing takes no turn.
    let _silent = [(); 9].map(|()| socket(server.address()));
    let ask = || ask(&client(server.address(), &pki.client_tls()).into());
    assert_eq!(ask().unwrap(), CLIENT);

    // Each worker gets some of these.
    let holder = halfway(server.address(), &hello);
    let mut waiting = [(); 3].map(|()| socket(server.address()));
    for socket in &mut waiting {
        socket.write_all(&hello).unwrap();
        // That nothing comes can only be seen by waiting for it: too short a time sees less, and never too much.
        socket.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        assert_eq!(socket.read(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock);
        socket.set_read_timeout(PATIENCE).unwrap();
    }
    drop(holder);
    for mut socket in waiting {
        socket.read_exact(&mut [0]).unwrap();
    }
    std::thread::scope(|scope| {
        let crowd = [(); 12].map(|()| scope.spawn(ask));
        for answer in crowd {
            assert_eq!(answer.join().unwrap().unwrap(), CLIENT);
        }
    });
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
