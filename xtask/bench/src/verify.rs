//! A check before every run. All contestants of this program must send the same messages, because a contestant with fewer
//! fields would have an advantage. Only the order and the case of the fields may differ. The contestants of the feature
//! `peers` are not checked, because some of them add fields.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use clap::Parser;
use socket2::Socket;

use crate::Result;
use crate::blocking_socket::{connect, listen};
use crate::contestants::{ALL, Contestant};
use crate::ends::End;
use crate::message::{get, post, response};

/// The longest time that a contestant may take for one message.
const LIMIT: Duration = Duration::from_secs(5);

/// The number of messages that are checked. A few are enough, because their paths, fields and lengths vary.
const TRIPS: usize = 5;

/// Checks every client and every server. The error describes the first message that is different.
pub(crate) fn verify() -> Result {
    for contestant in ALL {
        verify_client(contestant).map_err(|error| format!("client {}: {error}", contestant.name))?;
        verify_server(contestant).map_err(|error| format!("server {}: {error}", contestant.name))?;
    }
    Ok(())
}

fn end(address: &str, contestant: &Contestant) -> End {
    End::parse_from(["", "", address, contestant.name])
}

fn verify_client(contestant: &'static Contestant) -> Result {
    let Some(prepare) = contestant.client else { return Ok(()) };
    let (listener, address) = listen("[::1]:0")?;
    let client = thread::spawn(move || prepare(&end(&address, contestant))?(TRIPS as u64));
    let (mut stream, _) = listener.accept()?;
    for post in (0..TRIPS).map(post) {
        expect(&mut stream, &post.request)?;
        stream.write_all(&post.response)?;
    }
    // A client that waits for more reads EOF now.
    drop(stream);
    client.join().map_err(|_| "a thread panicked")?
}

fn verify_server(contestant: &'static Contestant) -> Result {
    let Some(server) = contestant.server else { return Ok(()) };
    let (ready, bound) = mpsc::channel();
    thread::spawn(move || server(&end("[::1]:0", contestant), &mut |address| Ok(ready.send(address)?)));
    let address = bound.recv_timeout(LIMIT).map_err(|_| "did not report its address in time")?;
    let mut stream = connect(&address)?;
    for post in (0..TRIPS).map(post) {
        stream.write_all(&post.request)?;
        expect(&mut stream, &post.response)?;
    }
    // These two servers serve one connection at a time, and no GET requests.
    if ["raw", "raw-poll"].contains(&contestant.name) {
        return Ok(());
    }
    // A second connection gets two requests at once.
    let mut other = connect(&address)?;
    other.write_all(&[get(0).request.as_slice(), &get(1).request].concat())?;
    (0..2).try_for_each(|number| expect(&mut other, &response(get(number).target.as_bytes())))
}

/// Reads one message, and compares it with the expected message.
fn expect(stream: &mut Socket, expected: &[u8]) -> Result {
    stream.set_read_timeout(Some(LIMIT))?;
    let mut message = vec![0; expected.len()];
    stream.read_exact(&mut message)?;
    // The start line, the fields in alphabetical order, and the body.
    let parts = |message: &[u8]| {
        let text = String::from_utf8_lossy(message);
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
        let mut lines = head.split("\r\n");
        let start = lines.next().map(str::to_owned);
        (start, lines.map(str::to_ascii_lowercase).collect::<BTreeSet<_>>(), body.to_owned())
    };
    let (sent, wanted) = (parts(&message), parts(expected));
    if sent == wanted { Ok(()) } else { Err(format!("sends {sent:?} instead of {wanted:?}").into()) }
}
