//! A connection in memory. Bytes that were written arrive only when the simulation moves them.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, IoSlice};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use crate::Dice;

/// The kind of a connection. The kinds differ in the way in which a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// To the driver, a peer that closes looks like a peer that half-closes, until the driver writes. If an end is
    /// closed with unread input, the bytes in flight that it has sent are lost.
    Tcp,
    /// The driver knows at once that the peer has closed. Bytes in flight arrive.
    Unix,
}

/// The end of one direction of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// EOF.
    Finished,
    /// A reset.
    Reset,
}

/// The driver's end of a connection. Dropping it closes the connection.
#[derive(Debug)]
pub struct Pipe(pub(crate) Arc<Mutex<State>>);

/// The peer's end of a connection. The simulation also moves the bytes of both directions through it.
#[derive(Debug)]
pub struct Far(pub(crate) Arc<Mutex<State>>);

#[derive(Debug)]
pub(crate) struct State {
    pub(crate) dice: Dice,
    pub(crate) transport: Transport,
    /// From the peer to the driver.
    pub(crate) up: Lane,
    /// From the driver to the peer.
    pub(crate) down: Lane,
    /// The task of the driver that waits for input.
    pub(crate) reader: Option<Waker>,
    /// The task of the driver that waits until it can write.
    pub(crate) writer: Option<Waker>,
    /// The peer has closed its end. Over TCP, bytes that arrive at this end cause a reset.
    pub(crate) closed: bool,
    /// The driver has dropped its end.
    pub(crate) dropped: bool,
    /// Dropping the driver's end resets a TCP connection.
    pub(crate) resets: bool,
}

/// One direction of a connection.
#[derive(Debug)]
pub(crate) struct Lane {
    /// Bytes that were written and have not arrived.
    pub(crate) flight: VecDeque<u8>,
    /// Bytes that have arrived and were not read.
    pub(crate) here: VecDeque<u8>,
    /// The maximum for the sum of the bytes in `flight` and in `here`.
    pub(crate) window: usize,
    /// The end that follows the bytes in flight.
    pub(crate) ends: Option<End>,
    /// The end, after it has arrived.
    pub(crate) ended: Option<End>,
    /// The number of bytes that were written.
    pub(crate) written: u64,
    /// The number of bytes that were read.
    pub(crate) read: u64,
}

/// Returns the two ends of a new connection. `most` is the largest size of a piece of the bodies that the connection
/// will carry.
pub fn pipe(dice: &mut Dice, transport: Transport, most: usize) -> (Pipe, Far) {
    let (up, down) = (Lane::new(dice, most), Lane::new(dice, most));
    let (reader, writer) = (None, None);
    let (closed, dropped, resets) = (false, false, false);
    let state = State { dice: dice.fork(), transport, up, down, reader, writer, closed, dropped, resets };
    let state = Arc::new(Mutex::new(state));
    (Pipe(state.clone()), Far(state))
}

/// Wakes a task that waits, if there is one.
pub(crate) fn wake(task: &mut Option<Waker>) {
    task.take().into_iter().for_each(Waker::wake);
}

impl Lane {
    fn new(dice: &mut Dice, most: usize) -> Self {
        // A large body takes too many steps through a small window, and finds no more faults than a small body does.
        let windows = [1, 40, 500, 4_000, 70_000, 300_000];
        let window = match most {
            ..=10_000 => *dice.pick(&windows),
            10_001..=1_000_000 => *dice.pick(&windows[3..]),
            _ => most / 5 * 3,
        };
        Self { flight: VecDeque::new(), here: VecDeque::new(), window, ends: None, ended: None, written: 0, read: 0 }
    }

    /// Returns the number of bytes that can be written.
    pub(crate) fn room(&self) -> usize {
        if self.ends.is_some() { 0 } else { self.window.saturating_sub(self.flight.len() + self.here.len()) }
    }

    pub(crate) fn put(&mut self, bytes: &[u8]) {
        self.flight.extend(bytes);
        self.written += bytes.len() as u64;
    }

    /// Reads at most `most` bytes.
    pub(crate) fn take(&mut self, most: usize) -> Vec<u8> {
        let bytes: Vec<u8> = self.here.drain(..most.min(self.here.len())).collect();
        self.read += bytes.len() as u64;
        bytes
    }

    /// Returns whether there are bytes to read, or the end.
    pub(crate) fn is_readable(&self) -> bool {
        !self.here.is_empty() || self.ended.is_some()
    }

    /// Returns whether bytes or the end have not arrived yet.
    pub(crate) fn is_moving(&self) -> bool {
        !self.flight.is_empty() || self.ends.is_some() && self.ended.is_none()
    }

    /// Lets some of the bytes in flight arrive, or the end after them.
    pub(crate) fn advance(&mut self, dice: &mut Dice) {
        let bytes = dice.portion(self.flight.len());
        self.here.extend(self.flight.drain(..bytes));
        if self.flight.is_empty() && (bytes == 0 || dice.one_in(2)) {
            self.ended = self.ends;
        }
    }

    /// Ends the direction with a reset. If `loses` is true, the bytes in flight are lost.
    pub(crate) fn reset(&mut self, loses: bool) {
        if loses {
            self.flight.clear();
        }
        self.ends = Some(End::Reset);
    }
}

impl State {
    /// Returns whether writes of the driver fail. A Unix peer that has closed accepts no more bytes.
    pub(crate) fn is_broken(&self) -> bool {
        let is_gone = self.transport == Transport::Unix && self.closed && self.up.ended.is_some();
        self.up.ended == Some(End::Reset) || is_gone
    }

    /// Returns `true` now and then. The driver's task must then yield, and is polled again at once.
    pub(crate) fn yields(&mut self, cx: &Context<'_>) -> bool {
        let yields = self.dice.one_in(16);
        if yields {
            cx.waker().wake_by_ref();
        }
        yields
    }

    pub(crate) fn poll_read(&mut self, cx: &Context<'_>, most: usize) -> Poll<io::Result<Vec<u8>>> {
        if self.yields(cx) {
            return Poll::Pending;
        }
        if !self.up.here.is_empty() {
            let most = most.min(self.up.here.len());
            let most = if self.dice.one_in(3) { self.dice.portion(most) } else { most };
            return Poll::Ready(Ok(self.up.take(most)));
        }
        match self.up.ended {
            Some(End::Finished) => Poll::Ready(Ok(Vec::new())),
            Some(End::Reset) => Poll::Ready(Err(ErrorKind::ConnectionReset.into())),
            None => {
                self.reader = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    pub(crate) fn poll_write(&mut self, cx: &Context<'_>, pieces: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        if self.yields(cx) {
            return Poll::Pending;
        }
        if self.down.ends.is_some() || self.is_broken() {
            return Poll::Ready(Err(ErrorKind::BrokenPipe.into()));
        }
        let all = pieces.iter().map(|piece| piece.len()).sum::<usize>();
        let fits = all.min(self.down.room());
        if fits == 0 && all > 0 {
            self.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let fits = if self.dice.one_in(3) { self.dice.portion(fits) } else { fits };
        let mut left = fits;
        for piece in pieces {
            let bytes = left.min(piece.len());
            self.down.put(&piece[..bytes]);
            left -= bytes;
        }
        Poll::Ready(Ok(fits))
    }

    pub(crate) fn advance_up(&mut self) {
        self.up.advance(&mut self.dice);
        if self.up.ended == Some(End::Reset) && self.dice.one_in(2) {
            self.up.here.clear();
        }
        wake(&mut self.reader);
        if self.up.ended.is_some() {
            // A task that waits to write is woken by the end, too.
            wake(&mut self.writer);
        }
    }

    pub(crate) fn advance_down(&mut self) {
        self.down.advance(&mut self.dice);
        if self.closed && !self.down.here.is_empty() {
            self.down.here.clear();
            if self.transport == Transport::Tcp {
                self.up.ended = None;
                self.up.reset(true);
            }
        }
    }
}
