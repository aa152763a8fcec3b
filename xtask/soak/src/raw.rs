//! Octets that no client of ours would send: pipelines, which have to be answered to the octet, and requests that have
//! to be refused, of which nothing may reach the app.

use std::io::{self, Read, Write};
use std::time::Duration;

use degu_client::Address;
use fastrand::Rng;
use rustix::io::Errno;
use socket2::Socket;

use crate::content::{Sum, octets};
use crate::socket;
use crate::target::Target;
use crate::work::World;
use crate::{Result, ask::Verdict};

/// How long an answer may take: longer than the server is without descriptors.
const LIMIT: Duration = Duration::from_secs(30);

/// What is sent, and the status that it gets. In each the request that follows must not be answered.
const HOSTILE: &[(&str, u16)] = &[
    ("POST /sum HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    ("POST /sum HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n", 400),
    ("POST /sum HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    ("POST /sum HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n", 400),
    ("POST /sum HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", 400),
    ("POST /sum HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nContent-Length: 4\r\n\r\nabcd", 400),
    ("POST /sum HTTP/1.1\r\nHost: a\r\nContent-Length: +4\r\n\r\nabcd", 400),
    ("POST /sum HTTP/1.1\r\nHost: a\r\nContent-Length : 4\r\n\r\nabcd", 400),
    ("GET /make/1/1 HTTP/1.1\r\nHost: a\r\nX: y\r\n folded\r\n\r\n", 400),
    ("GET /make/1/1 HTTP/1.1\nHost: a\n\n", 400),
    ("GET /make/1/1 HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
    ("GET /make/1/1 HTTP/1.1\r\n\r\n", 400),
    ("GET /make/1/1 HTTP/1.0\r\nHost: a\r\n\r\n", 505),
    ("CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n", 501),
    ("\u{16}\u{3}\u{1}\u{2}", 400),
];

/// What must not be answered.
const AFTER: &[u8] = b"GET /make/1/1 HTTP/1.1\r\nHost: a\r\n\r\n";

/// Sends pipelines and hostile requests in turn, until the world stops.
pub(crate) fn work(world: &World, number: u64) {
    let mut rng = world.rng(number);
    let addresses: Vec<_> =
        world.near.iter().filter(|(target, _)| *target == Target::Direct).map(|(_, client)| client.address()).collect();
    while !world.is_stopping() {
        let Some(address) = rng.choice(&addresses) else { return };
        let done =
            if rng.u32(..4) == 0 { hostile(world, address, &mut rng) } else { pipeline(world, address, &mut rng) };
        if let Err(error) = done {
            world.tally.wrong(format!("raw octets to {address}: {error}"));
        }
        std::thread::sleep(Duration::from_millis(rng.u64(..20)));
    }
}

/// A connection, unless there is no descriptor left for it.
fn connect(world: &World, address: &Address) -> Result<Option<Socket>> {
    match socket::connect(address) {
        Ok(socket) => {
            socket.set_read_timeout(Some(LIMIT))?;
            world.tally.add(Target::Direct.name(), "connections", 1);
            Ok(Some(socket))
        }
        Err(error) if error.raw_os_error() == Some(Errno::MFILE.raw_os_error()) => {
            world.tally.note(Target::Direct, Verdict::Starved, "connecting");
            Ok(None)
        }
        Err(error) => Err(error.into()),
    }
}

/// Several requests in one write, or cut anywhere, and every octet of their answers.
fn pipeline(world: &World, address: &Address, rng: &mut Rng) -> Result {
    let Some(mut socket) = connect(world, address)? else { return Ok(()) };
    let count = rng.u64(1..20);
    let (mut requests, mut answers) = (Vec::new(), Vec::new());
    let (mut summed, mut octets_known) = (0, 0);
    for _ in 0..count {
        let (seed, length) = (rng.u64(..), rng.usize(..300));
        let content = octets(seed, length);
        let body = if rng.bool() {
            write!(requests, "GET /make/{seed}/{length} HTTP/1.1\r\nHost: a\r\n\r\n")?;
            content.to_vec()
        } else {
            write!(requests, "POST /sum HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n")?;
            requests.extend_from_slice(&content);
            summed += length as u64;
            Sum::of(&content).to_string().into_bytes()
        };
        octets_known += body.len() as u64;
        write!(answers, "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len())?;
        answers.extend_from_slice(&body);
    }
    world.tally.add(Target::Direct.name(), "attempts", count);
    let (first, second) = requests.split_at(rng.usize(..=requests.len()));
    socket.write_all(first)?;
    socket.write_all(second)?;
    let mut came = vec![0; answers.len()];
    socket.read_exact(&mut came)?;
    if came != answers {
        return Err(format!("a pipeline of {count} was answered with\n{}", came.escape_ascii()).into());
    }
    world.tally.add(Target::Direct.name(), "right", count);
    world.tally.add(Target::Direct.name(), "summed", summed);
    world.tally.add("all", "octets", summed + octets_known);
    Ok(())
}

/// A request that has to be refused, with another one behind it.
fn hostile(world: &World, address: &Address, rng: &mut Rng) -> Result {
    let Some(mut socket) = connect(world, address)? else { return Ok(()) };
    let Some((request, status)) = rng.choice(HOSTILE) else { return Ok(()) };
    socket.write_all(&[request.as_bytes(), AFTER].concat())?;
    let mut answer = Vec::new();
    // What the server did not read may end the connection with a reset, after the answer.
    match socket.read_to_end(&mut answer) {
        Err(error) if error.kind() != io::ErrorKind::ConnectionReset => return Err(error.into()),
        _ => {}
    }
    let text = String::from_utf8_lossy(&answer);
    let head = format!("HTTP/1.1 {status} ");
    let end = "\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    if !text.starts_with(&head) || !text.ends_with(end) || text.matches("HTTP/").count() != 1 {
        return Err(format!("{} was answered with {}", request.escape_debug(), text.escape_debug()).into());
    }
    world.tally.add(Target::Direct.name(), "hostile", 1);
    Ok(())
}
