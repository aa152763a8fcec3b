//! A server in memory that fails after any byte of any exchange, and counts the requests that it has received in full.

use std::collections::{BTreeMap, VecDeque};
use std::io::{self, IoSlice};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::BytesMut;
use degu_simulation::{Dice, Fault};
use degu_wire::Address;

use crate::asynchronous::stream::AsyncStream;
use crate::blocking::stream::BlockingStream;
use crate::error::{Error, ErrorKind};
use crate::options::Base;
use crate::stream::Stream;

/// The way in which a connection fails.
#[derive(Clone, Copy, Debug)]
pub(super) struct Trouble {
    /// The number of the exchange with the fault. The first exchange of the connection has the number 0.
    pub(super) exchange: usize,
    /// The number of bytes of this exchange that move in either direction before the fault.
    pub(super) after: usize,
    /// Garbage is unsolicited data between two exchanges.
    pub(super) fault: Fault,
    /// True if the check before the next request finds a fault between two exchanges.
    pub(super) shows: bool,
    /// True if the kernel takes bytes that the server does not receive. Otherwise writing them fails.
    pub(super) loses: bool,
}

/// The outcome of an attempt to connect.
#[derive(Clone, Copy, Debug)]
pub(super) enum Dial {
    Refused,
    Accepted(Option<Trouble>),
}

/// The server. Clones share the state.
#[derive(Clone)]
pub(super) struct Server(Arc<Mutex<State>>);

pub(super) struct State {
    /// Without dice, all bytes move at once.
    dice: Option<Dice>,
    /// The outcomes of the next attempts to connect.
    pub(super) dials: VecDeque<Dial>,
    /// The number of times that each request has been received in full.
    executed: BTreeMap<usize, usize>,
    /// The number of bytes of the exchange that ended last.
    pub(super) length: usize,
    pub(super) open: usize,
    pub(super) most_open: usize,
}

impl Server {
    /// Returns a server. The next attempts to connect have these outcomes, and later attempts succeed.
    pub(super) fn new(dials: impl IntoIterator<Item = Dial>, dice: Option<Dice>) -> Self {
        let dials = dials.into_iter().collect();
        Self(Arc::new(Mutex::new(State { dice, dials, executed: BTreeMap::new(), length: 0, open: 0, most_open: 0 })))
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn executed(&self, number: usize) -> usize {
        self.state().executed.get(&number).copied().unwrap_or(0)
    }

    pub(super) fn connect(&self, base: &Base) -> Result<(Box<Wire>, Address), Error> {
        let mut state = self.state();
        let Dial::Accepted(trouble) = state.dials.pop_front().unwrap_or(Dial::Accepted(None)) else {
            return Err(Error::connecting(io::Error::from(io::ErrorKind::ConnectionRefused), &base.address));
        };
        state.open += 1;
        state.most_open = state.most_open.max(state.open);
        let server = self.clone();
        let wire = Wire { server, trouble, exchange: 0, moved: 0, input: Vec::new(), output: VecDeque::new() };
        Ok((Box::new(wire), base.address.clone()))
    }
}

/// A connection to the server. The server acts within the calls of the client.
pub(super) struct Wire {
    server: Server,
    trouble: Option<Trouble>,
    exchange: usize,
    /// The number of bytes of this exchange that have moved in either direction.
    moved: usize,
    input: Vec<u8>,
    output: VecDeque<u8>,
}

impl Wire {
    /// Returns the number of bytes that move before the connection fails.
    fn room(&self) -> usize {
        match self.trouble {
            Some(Trouble { exchange, after, .. }) if exchange == self.exchange => after - self.moved,
            _ => usize::MAX,
        }
    }

    /// Returns the fault of a connection that has failed.
    fn fault(&self) -> Option<Trouble> {
        self.trouble.filter(|_| self.room() == 0)
    }

    /// Returns the number of bytes, out of `bytes`, that move at once.
    fn portion(&self, bytes: usize) -> usize {
        let bytes = bytes.min(self.room());
        match &mut self.server.state().dice {
            Some(dice) => dice.portion(bytes),
            None => bytes,
        }
    }

    /// Is pending at random, although the connection is ready. The task is polled again.
    fn poll_turn(&self, cx: &Context<'_>) -> Poll<()> {
        if self.server.state().dice.as_mut().is_some_and(|dice| dice.one_in(4)) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(())
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let Some(trouble) = self.fault() {
            return match trouble.fault == Fault::Stall || trouble.loses {
                true => Ok(bytes.len()),
                false => Err(io::ErrorKind::BrokenPipe.into()),
            };
        }
        let portion = self.portion(bytes.len());
        self.input.extend_from_slice(&bytes[..portion]);
        self.moved += portion;
        self.answer();
        Ok(portion)
    }

    /// Answers a request that has been received in full, with its number.
    fn answer(&mut self) {
        let text = String::from_utf8_lossy(&self.input);
        let Some((head, body)) = text.split_once("\r\n\r\n") else { return };
        let length =
            head.split_once("content-length: ").map_or(0, |(_, rest)| rest.lines().next().unwrap().parse().unwrap());
        if body.len() < length {
            return;
        }
        let number: usize = head.split([' ', '/']).nth(2).unwrap().parse().unwrap();
        assert!(length == 0 || body == number.to_string(), "request {number} has the body of another: {body}");
        *self.server.state().executed.entry(number).or_default() += 1;
        let length = number.to_string().len();
        let answer = format!("HTTP/1.1 200 OK\r\nx-number: {number}\r\ncontent-length: {length}\r\n\r\n{number}");
        self.output.extend(answer.into_bytes());
        self.input.clear();
    }

    fn poll_read(&mut self, buffer: &mut BytesMut) -> Poll<io::Result<usize>> {
        if let Some(trouble) = self.fault() {
            return match trouble.fault {
                Fault::Reset => Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
                Fault::Close => Poll::Ready(Ok(0)),
                _ => Poll::Pending,
            };
        }
        if self.output.is_empty() {
            return Poll::Pending;
        }
        let portion = self.portion(self.output.len());
        buffer.extend(self.output.drain(..portion));
        self.moved += portion;
        if self.output.is_empty() && self.fault().is_none() {
            self.server.state().length = self.moved;
            (self.exchange, self.moved) = (self.exchange + 1, 0);
        }
        Poll::Ready(Ok(portion))
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.server.state().open -= 1;
    }
}

impl Stream for Wire {
    fn is_socket(&self) -> bool {
        true
    }

    fn check(&mut self) -> Result<(), ErrorKind> {
        match self.fault() {
            Some(Trouble { fault: Fault::Garbage(_), .. }) => Err(degu_wire::Fault::UnsolicitedBytes.into()),
            Some(Trouble { fault: Fault::Close | Fault::Reset, shows: true, .. }) => Err(ErrorKind::Closed),
            _ => Ok(()),
        }
    }

    fn read(&mut self, buffer: &mut BytesMut, _: bool) -> io::Result<usize> {
        match self.poll_read(buffer) {
            Poll::Ready(read) => read,
            Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
        }
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, pieces: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        ready!(self.poll_turn(cx));
        let bytes: Vec<u8> = pieces.iter().flat_map(|piece| piece.iter().copied()).collect();
        Poll::Ready(self.write(&bytes))
    }
}

impl AsyncStream for Wire {
    fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut BytesMut) -> Poll<io::Result<usize>> {
        ready!(self.poll_turn(cx));
        Self::poll_read(self, buffer)
    }
}

impl BlockingStream for Wire {
    /// Only a connection that has stalled lets the limit pass.
    fn wait(&mut self, _: bool, _: bool, _: Option<Duration>) -> io::Result<bool> {
        Ok(!matches!(self.fault(), Some(Trouble { fault: Fault::Stall, .. })))
    }
}
