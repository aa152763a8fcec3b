//! The floor: the same bytes over blocking sockets, two system calls a side, and no HTTP at all.

use std::array::IntoIter;
use std::io::{self, Read, Write};
use std::iter::Cycle;

use super::{Client, Contestant, Dial};
use crate::Result;
use crate::message::{OTHER_REQUEST, OTHER_RESPONSE, REQUEST, RESPONSE};
use crate::setup::Setup;
use crate::socket::{Address, Listener, Stream};

pub(super) const CONTESTANT: Contestant = Contestant {
    client: Some(|setup| prepare(setup, [REQUEST, REQUEST])),
    server: Some(|setup, ready| serve(setup, ready, [RESPONSE, RESPONSE])),
    ..Contestant::named("raw")
};

/// No head that it sends is the one before it again.
pub(super) const VARIED: Contestant = Contestant {
    client: Some(|setup| prepare(setup, [REQUEST, OTHER_REQUEST])),
    server: Some(|setup, ready| serve(setup, ready, [RESPONSE, OTHER_RESPONSE])),
    ..Contestant::named("raw-varied")
};

fn serve(setup: &Setup, ready: &mut dyn FnMut(Address) -> Result, responses: [&[u8]; 2]) -> Result {
    let (listener, bound) = Listener::bind(&setup.address)?;
    ready(bound)?;
    loop {
        let mut stream = listener.accept()?;
        let mut responses = responses.into_iter().cycle();
        while let (true, Some(response)) = (fill::<{ REQUEST.len() }>(&mut stream)?, responses.next()) {
            stream.write_all(response)?;
        }
    }
}

fn prepare(setup: &Setup, requests: [&'static [u8]; 2]) -> Result<Dial> {
    let address = setup.address.clone();
    Ok(Box::new(move || {
        let stream = Stream::connect(&address)?;
        Ok(Box::new(Raw { stream, requests: requests.into_iter().cycle() }))
    }))
}

struct Raw {
    stream: Stream,
    requests: Cycle<IntoIter<&'static [u8], 2>>,
}

impl Client for Raw {
    fn trips(&mut self, count: u64) -> Result {
        for request in (0..count).zip(&mut self.requests).map(|(_, request)| request) {
            self.stream.write_all(request)?;
            if !fill::<{ RESPONSE.len() }>(&mut self.stream)? {
                return Err("the server closed the connection".into());
            }
        }
        Ok(())
    }
}

/// Reads `N` octets; false at an end of the stream before the first.
fn fill<const N: usize>(stream: &mut Stream) -> Result<bool> {
    let mut message = [0; N];
    let mut length = 0;
    while length < N {
        match stream.read(&mut message[length..])? {
            0 if length == 0 => return Ok(false),
            0 => return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
            count => length += count,
        }
    }
    Ok(true)
}
