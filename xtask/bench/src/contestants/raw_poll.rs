//! The floor of polling: the same bytes, and neither side ever sleeps. A read that finds nothing gives the core to
//! whoever wants it, and tries again.

use std::io::{self, Read, Write};
use std::thread;

use super::{Client, Contestant, Dial};
use crate::Result;
use crate::message::{REQUEST, RESPONSE};
use crate::setup::Setup;
use crate::socket::{Address, Listener, Stream};

pub(super) const CONTESTANT: Contestant =
    Contestant { client: Some(prepare), server: Some(serve), ..Contestant::named("raw-poll") };

fn serve(setup: &Setup, ready: &mut dyn FnMut(Address) -> Result) -> Result {
    let (listener, bound) = Listener::bind(&setup.address)?;
    ready(bound)?;
    loop {
        let mut stream = listener.accept()?;
        stream.set_nonblocking()?;
        while fill::<{ REQUEST.len() }>(&mut stream)? {
            stream.write_all(RESPONSE)?;
        }
    }
}

fn prepare(setup: &Setup) -> Result<Dial> {
    let address = setup.address.clone();
    Ok(Box::new(move || {
        let stream = Stream::connect(&address)?;
        stream.set_nonblocking()?;
        Ok(Box::new(RawPoll(stream)))
    }))
}

struct RawPoll(Stream);

impl Client for RawPoll {
    fn trips(&mut self, count: u64) -> Result {
        for _ in 0..count {
            // One small message is on its way, so the socket's buffer always has room for it.
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
        match stream.read(&mut message[length..]) {
            Ok(0) if length == 0 => return Ok(false),
            Ok(0) => return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
            Ok(count) => length += count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => thread::yield_now(),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(true)
}
