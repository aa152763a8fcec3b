//! Do all contestants send the same bytes?
//!
//! A time says nothing if one contestant sends a field less. Each client makes one trip to a server that records what
//! it gets, and each server gets one request and has to give the response. The fields may come in any order.

use std::io::{Read, Write};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use crate::Result;
use crate::contestants::{ALL, Contestant, Server};
use crate::message::{HELLO, HELLO_REQUEST, REQUEST, RESPONSE};
use crate::setup::Setup;
use crate::socket::{Address, Listener, Stream};

/// How long one contestant may take for one message.
const LIMIT: Duration = Duration::from_secs(5);

/// Checks every client and every server.
///
/// # Errors
///
/// The first contestant that sends something else, with what it sent.
pub(crate) fn verify() -> Result {
    for contestant in ALL {
        verify_client(contestant).map_err(|error| format!("client {}: {error}", contestant.name))?;
        verify_server(contestant).map_err(|error| format!("server {}: {error}", contestant.name))?;
        verify_crowd(contestant).map_err(|error| format!("server {}, of many: {error}", contestant.name))?;
    }
    Ok(())
}

fn loopback() -> Address {
    Address::Tcp((std::net::Ipv6Addr::LOCALHOST, 0).into())
}

fn verify_client(contestant: &'static Contestant) -> Result {
    if contestant.client.is_none() {
        return Ok(());
    }
    let (listener, address) = Listener::bind(&loopback())?;
    let (outcome, done) = mpsc::channel();
    let trip = move || contestant.dial(&Setup::plain(address))?()?.trips(1);
    thread::spawn(move || outcome.send(trip()));
    let mut stream = listener.accept()?;
    let sent = receive(&mut stream, REQUEST, false)?;
    stream.write_all(RESPONSE)?;
    compare(&sent, REQUEST)?;
    done.recv_timeout(LIMIT).map_err(|_| "does not take the response")?
}

fn verify_server(contestant: &'static Contestant) -> Result {
    let Some(server) = contestant.server else { return Ok(()) };
    let mut stream = Stream::connect(&start(server)?)?;
    // Twice, since a connection is meant to be used again.
    for _ in 0..2 {
        stream.write_all(REQUEST)?;
        compare(&receive(&mut stream, RESPONSE, false)?, RESPONSE)?;
    }
    Ok(())
}

/// Two connections at once, and on each two requests at once.
fn verify_crowd(contestant: &'static Contestant) -> Result {
    let Some(server) = contestant.crowd else { return Ok(()) };
    let address = start(server)?;
    let mut streams = [Stream::connect(&address)?, Stream::connect(&address)?];
    for stream in &mut streams {
        stream.write_all(&[HELLO_REQUEST, HELLO_REQUEST].concat())?;
        stream.write_all(REQUEST)?;
    }
    for stream in &mut streams {
        for response in [HELLO, HELLO, RESPONSE] {
            compare(&receive(stream, response, response == HELLO)?, response)?;
        }
    }
    Ok(())
}

/// Starts a server on a thread that lives as long as this process.
fn start(server: Server) -> Result<Address> {
    let (ready, bound) = mpsc::channel();
    thread::spawn(move || {
        let outcome = server(&Setup::plain(loopback()), &mut |address| Ok(ready.send(Ok(address))?));
        let _ = ready.send(Err(outcome.err().unwrap_or_else(|| "ended before it served".into())));
    });
    bound.recv_timeout(LIMIT).map_err(|_| "does not say where it listens")?
}

/// Reads one message that is to be as long as `expected`, and looks for octets after it unless `more` are to come.
fn receive(stream: &mut Stream, expected: &[u8], more: bool) -> Result<Vec<u8>> {
    stream.set_read_timeout(LIMIT)?;
    let mut message = vec![0; expected.len() + usize::from(!more)];
    let mut length = 0;
    while length < expected.len() {
        match stream.read(&mut message[length..]) {
            Ok(0) => break,
            Ok(count) => length += count,
            Err(error) => {
                return Err(format!("{error} after {:?}", String::from_utf8_lossy(&message[..length])).into());
            }
        }
    }
    message.truncate(length);
    Ok(message)
}

fn compare(message: &[u8], expected: &[u8]) -> Result {
    let lines = |message: &[u8]| {
        let mut lines: Vec<Vec<u8>> = message.split(|&octet| octet == b'\n').map(<[u8]>::to_vec).collect();
        // The start line stays first, the body last.
        let fields = 1..lines.len().saturating_sub(2).max(1);
        let fields = &mut lines[fields];
        // The case of a name means nothing.
        fields.iter_mut().for_each(|field| field.make_ascii_lowercase());
        fields.sort();
        lines
    };
    if lines(message) == lines(expected) {
        return Ok(());
    }
    let (message, expected) = (String::from_utf8_lossy(message), String::from_utf8_lossy(expected));
    Err(format!("sends {message:?} instead of {expected:?}").into())
}
