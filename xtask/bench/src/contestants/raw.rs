//! The floor: the same bytes over blocking sockets, two system calls a side, and no HTTP at all.

use std::io::{self, Read, Write};

use super::{Client, Contestant};
use crate::Result;
use crate::message::{REQUEST, RESPONSE};
use crate::socket::{Address, Listener, Stream};

pub(super) const CONTESTANT: Contestant = Contestant { name: "raw", client: Some(connect), server: Some(serve) };

fn serve(address: &Address, ready: &mut dyn FnMut(Address) -> Result) -> Result {
    let (listener, bound) = Listener::bind(address)?;
    ready(bound)?;
    loop {
        let mut stream = listener.accept()?;
        while fill::<{ REQUEST.len() }>(&mut stream)? {
            stream.write_all(RESPONSE)?;
        }
    }
}

fn connect(address: &Address) -> Result<Box<dyn Client>> {
    Ok(Box::new(Raw(Stream::connect(address)?)))
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
