//! The transport: a connection whose bytes are on their way until the simulation lets them arrive.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, IoSlice};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use crate::Dice;

/// The kind of a connection, where kinds differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// A peer that closes looks like one that has no more to say, until it is written to. An end that closes with
    /// unread input discards the bytes that it has sent and that have not arrived.
    Tcp,
    /// A peer that closes is gone at once. What was sent arrives.
    Unix,
}

/// The way in which a connection has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// In order.
    Finished,
    /// By force.
    Reset,
}

/// The driver's end. Dropping it closes.
pub struct Pipe(pub(crate) Arc<Mutex<State>>);

/// The peer's end, and the code that moves the bytes.
#[derive(Clone)]
pub struct Far(pub(crate) Arc<Mutex<State>>);

#[derive(Debug)]
pub(crate) struct State {
    pub(crate) dice: Dice,
    pub(crate) transport: Transport,
    /// From the peer to the driver.
    pub(crate) up: Lane,
    /// From the driver to the peer.
    pub(crate) down: Lane,
    pub(crate) reader: Option<Waker>,
    pub(crate) writer: Option<Waker>,
    /// The peer has closed: what still comes to it is answered by force.
    pub(crate) closed: bool,
    /// The driver's end has been dropped.
    pub(crate) dropped: bool,
    /// Dropping it is to look like a failure.
    pub(crate) resets: bool,
}

#[derive(Debug)]
pub(crate) struct Lane {
    pub(crate) flight: VecDeque<u8>,
    pub(crate) here: VecDeque<u8>,
    pub(crate) window: usize,
    /// The end that follows the bytes in flight.
    pub(crate) ends: Option<End>,
    pub(crate) ended: Option<End>,
    /// The numbers of bytes that have been written into it and read out of it.
    pub(crate) written: u64,
    pub(crate) read: u64,
}

/// A connection, for bodies whose pieces have at most so many bytes.
pub fn pipe(dice: &mut Dice, transport: Transport, most: usize) -> (Pipe, Far) {
    let up = Lane::new(dice, most);
    let down = Lane::new(dice, most);
    let state = State {
        dice: dice.fork(),
        transport,
        up,
        down,
        reader: None,
        writer: None,
        closed: false,
        dropped: false,
        resets: false,
    };
    let state = Arc::new(Mutex::new(state));
    (Pipe(state.clone()), Far(state))
}

impl Lane {
    fn new(dice: &mut Dice, most: usize) -> Self {
        // A large body through a small window takes steps without end, and shows nothing that a small one does not.
        let windows = [1, 40, 500, 4_000, 70_000, 300_000];
        let window = windows[if most > 10_000 { 3 + dice.below(3) } else { dice.below(6) }];
        Self { flight: VecDeque::new(), here: VecDeque::new(), window, ends: None, ended: None, written: 0, read: 0 }
    }

    pub(crate) fn room(&self) -> usize {
        if self.ends.is_some() { 0 } else { self.window.saturating_sub(self.flight.len() + self.here.len()) }
    }

    pub(crate) fn put(&mut self, bytes: &[u8]) {
        self.flight.extend(bytes);
        self.written += bytes.len() as u64;
    }

    pub(crate) fn take(&mut self, most: usize) -> Vec<u8> {
        let bytes: Vec<u8> = self.here.drain(..most.min(self.here.len())).collect();
        self.read += bytes.len() as u64;
        bytes
    }

    /// Returns whether there is something to read.
    pub(crate) fn is_readable(&self) -> bool {
        !self.here.is_empty() || self.ended.is_some()
    }

    pub(crate) fn is_moving(&self) -> bool {
        !self.flight.is_empty() || self.ends.is_some() && self.ended.is_none()
    }

    /// Some of what is in flight arrives, or the end after it.
    pub(crate) fn advance(&mut self, dice: &mut Dice) {
        let bytes = dice.portion(self.flight.len());
        self.here.extend(self.flight.drain(..bytes));
        if self.flight.is_empty() && (bytes == 0 || dice.one_in(2)) {
            self.ended = self.ends;
        }
    }

    /// An end by force, which overtakes what is in flight if it may be lost.
    pub(crate) fn reset(&mut self, loses: bool) {
        if loses {
            self.flight.clear();
        }
        self.ends = Some(End::Reset);
    }
}

impl State {
    pub(crate) fn wake_reader(&mut self) {
        if let Some(waker) = self.reader.take() {
            waker.wake();
        }
    }

    pub(crate) fn wake_writer(&mut self) {
        if let Some(waker) = self.writer.take() {
            waker.wake();
        }
    }

    pub(crate) fn is_reset(&self) -> bool {
        self.up.ended == Some(End::Reset)
    }

    pub(crate) fn is_broken(&self) -> bool {
        // A Unix peer that has closed accepts no more bytes.
        self.is_reset() || self.transport == Transport::Unix && self.closed && self.up.ended.is_some()
    }

    /// Pending for no reason but the scheduler's, which polls again right away.
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
        self.wake_reader();
        if self.up.ended.is_some() {
            // A writer sees the end too.
            self.wake_writer();
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
