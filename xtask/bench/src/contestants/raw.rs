//! The floor: the same bytes over blocking sockets, two system calls a side, and no HTTP at all.

use std::io::{self, Read, Write};

use super::{Client, Contestant, Dial};
use crate::Result;
use crate::message::{REQUEST, RESPONSE};
use crate::setup::Setup;
use crate::socket::{Address, Listener, Stream};

pub(super) const CONTESTANT: Contestant =
    Contestant { client: Some(prepare), server: Some(serve), ..Contestant::named("raw") };

fn serve(setup: &Setup, ready: &mut dyn FnMut(Address) -> Result) -> Result {
    let (listener, bound) = Listener::bind(&setup.address)?;
    ready(bound)?;
    loop {
        let mut stream = listener.accept()?;
        while fill::<{ REQUEST.len() }>(&mut stream)? {
            stream.write_all(RESPONSE)?;
        }
    }
}

fn prepare(setup: &Setup) -> Result<Dial> {
    let address = setup.address.clone();
    Ok(Box::new(move || Ok(Box::new(Raw(Stream::connect(&address)?)))))
}

struct Raw(Stream);

impl Client for Raw {
    fn trips(&mut self, count: u64) -> Result {
        for _ in 0..count {
            self.0.write_all(REQUEST)?;
            if !fill::<{ RESPONSE.len() }>(&mut self.0)? {
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
