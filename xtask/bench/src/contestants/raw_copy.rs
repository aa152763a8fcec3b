//! The floor of streaming: a head, and then one buffer written over and over to a blocking socket, which the other side
//! reads into one of the same size.

use std::io::{Read, Write};

use super::{Contestant, Fetch};
use crate::Result;
use crate::setup::Setup;
use crate::socket::{Address, Listener, Stream};
use crate::stream::{PIECE, Wanted};

pub(super) const CONTESTANT: Contestant =
    Contestant { stream: Some(serve), fetch: Some(prepare), ..Contestant::named("raw-copy") };

fn serve(setup: &Setup, ready: &mut dyn FnMut(Address) -> Result) -> Result {
    let (listener, bound) = Listener::bind(&setup.address)?;
    ready(bound)?;
    loop {
        let mut stream = listener.accept()?;
        while let Some((head, _)) = receive_head(&mut stream)? {
            let wanted = head.split(' ').nth(1).and_then(Wanted::parse).ok_or("not asked for a body")?;
            // The same octets, however they are to be framed: this is no HTTP.
            write!(stream, "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", wanted.octets())?;
            for _ in 0..wanted.pieces {
                stream.write_all(PIECE)?;
            }
        }
    }
}

fn prepare(setup: &Setup) -> Result<Fetch> {
    let mut stream = Stream::connect(&setup.address)?;
    let mut buffer = vec![0; PIECE.len()];
    Ok(Box::new(move |wanted| {
        write!(stream, "GET {} HTTP/1.1\r\nhost: localhost\r\n\r\n", wanted.target())?;
        let (_, mut received) = receive_head(&mut stream)?.ok_or("the server closed the connection")?;
        while received < wanted.octets() {
            match stream.read(&mut buffer)? {
                0 => return Err("the server closed the connection".into()),
                count => received += count as u64,
            }
        }
        Ok(received)
    }))
}

/// Reads up to the end of a head at least. Returns it, and how many octets came after it; `None` at the end of the stream.
fn receive_head(stream: &mut Stream) -> Result<Option<(String, u64)>> {
    let mut input = Vec::with_capacity(PIECE.len());
    loop {
        let from = input.len();
        input.resize(from + 4096, 0);
        let count = stream.read(&mut input[from..])?;
        input.truncate(from + count);
        if count == 0 {
            return if from == 0 { Ok(None) } else { Err("a head that ends early".into()) };
        }
        if let Some(end) = input.windows(4).position(|four| four == b"\r\n\r\n") {
            let rest = input.split_off(end + 4);
            return Ok(Some((String::from_utf8(input)?, rest.len() as u64)));
        }
    }
}
