//! The transport: a connection whose octets are on their way until the simulation lets them arrive.

use std::collections::VecDeque;
use std::fmt;
use std::io::{self, ErrorKind, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::Dice;

/// What a connection is like, where kinds differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// A peer that closes looks like one that has no more to say, until it is written to. Who closes with input unread
    /// takes back what is on its way.
    Tcp,
    /// A peer that closes is gone at once. What was sent arrives.
    Unix,
}

/// How a connection has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// In order.
    Finished,
    /// By force.
    Reset,
}

/// The driver's end. Dropping it closes.
pub struct Pipe(Arc<Mutex<State>>);

/// The peer's end, and the hand that moves the octets.
#[derive(Clone)]
pub struct Far(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    dice: Dice,
    transport: Transport,
    /// From the peer to the driver.
    up: Lane,
    /// From the driver to the peer.
    down: Lane,
    reader: Option<Waker>,
    writer: Option<Waker>,
    /// The peer has closed: what still comes to it is answered by force.
    closed: bool,
    /// The driver's end has been dropped.
    dropped: bool,
    /// Dropping it is to look like a failure.
    resets: bool,
}

#[derive(Debug)]
struct Lane {
    flight: VecDeque<u8>,
    here: VecDeque<u8>,
    window: usize,
    /// What follows the octets in flight.
    ends: Option<End>,
    ended: Option<End>,
    /// How many octets have been written into it and read out of it.
    written: u64,
    read: u64,
}

/// A connection, for bodies whose pieces have at most so many octets.
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

    fn room(&self) -> usize {
        if self.ends.is_some() { 0 } else { self.window.saturating_sub(self.flight.len() + self.here.len()) }
    }

    fn put(&mut self, octets: &[u8]) {
        self.flight.extend(octets);
        self.written += octets.len() as u64;
    }

    fn take(&mut self, most: usize) -> Vec<u8> {
        let octets: Vec<u8> = self.here.drain(..most.min(self.here.len())).collect();
        self.read += octets.len() as u64;
        octets
    }

    /// Whether there is something for who reads.
    fn is_readable(&self) -> bool {
        !self.here.is_empty() || self.ended.is_some()
    }

    fn is_moving(&self) -> bool {
        !self.flight.is_empty() || self.ends.is_some() && self.ended.is_none()
    }

    /// Some of what is in flight arrives, or the end behind it.
    fn advance(&mut self, dice: &mut Dice) {
        let octets = dice.portion(self.flight.len());
        self.here.extend(self.flight.drain(..octets));
        if self.flight.is_empty() && (octets == 0 || dice.one_in(2)) {
            self.ended = self.ends;
        }
    }

    /// An end by force, which overtakes what is in flight if it may be lost.
    fn reset(&mut self, loses: bool) {
        if loses {
            self.flight.clear();
        }
        self.ends = Some(End::Reset);
    }
}

impl State {
    fn wake_reader(&mut self) {
        if let Some(waker) = self.reader.take() {
            waker.wake();
        }
    }

    fn wake_writer(&mut self) {
        if let Some(waker) = self.writer.take() {
            waker.wake();
        }
    }

    fn is_reset(&self) -> bool {
        self.up.ended == Some(End::Reset)
    }

    fn is_broken(&self) -> bool {
        // A Unix peer that has closed takes nothing any more.
        self.is_reset() || self.transport == Transport::Unix && self.closed && self.up.ended.is_some()
    }

    /// Pending for no reason but the scheduler's, which polls again right away.
    fn yields(&mut self, cx: &Context<'_>) -> bool {
        let yields = self.dice.one_in(16);
        if yields {
            cx.waker().wake_by_ref();
        }
        yields
    }

    fn poll_read(&mut self, cx: &Context<'_>, most: usize) -> Poll<io::Result<Vec<u8>>> {
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

    fn poll_write(&mut self, cx: &Context<'_>, pieces: &[&[u8]]) -> Poll<io::Result<usize>> {
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
            let octets = left.min(piece.len());
            self.down.put(&piece[..octets]);
            left -= octets;
        }
        Poll::Ready(Ok(fits))
    }
}

impl Pipe {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ready when there is input, or its end.
    pub fn poll_readable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut state = self.state();
        if state.yields(cx) {
            return Poll::Pending;
        }
        // A readiness may be out of date.
        if state.up.is_readable() || state.dice.one_in(32) {
            return Poll::Ready(Ok(()));
        }
        state.reader = Some(cx.waker().clone());
        Poll::Pending
    }

    /// Appends what has come; 0 octets are the end.
    pub fn poll_read_buffer(&mut self, cx: &mut Context<'_>, buffer: &mut BytesMut) -> Poll<io::Result<usize>> {
        // As a read into the free room of a buffer does.
        let room = buffer.spare_capacity_mut().len();
        self.state().poll_read(cx, room).map_ok(|octets| {
            buffer.extend_from_slice(&octets);
            octets.len()
        })
    }

    /// Appends what is here, without asking to be woken; 0 octets are the end, and `None` is nothing.
    ///
    /// # Errors
    ///
    /// The connection was reset.
    pub fn try_read(&mut self, buffer: &mut BytesMut) -> io::Result<Option<usize>> {
        let mut state = self.state();
        if !state.up.is_readable() || state.dice.one_in(3) {
            return Ok(None);
        }
        let (cx, room) = (Context::from_waker(Waker::noop()), buffer.spare_capacity_mut().len());
        match state.poll_read(&cx, room) {
            Poll::Ready(octets) => octets.map(|octets| {
                buffer.extend_from_slice(&octets);
                Some(octets.len())
            }),
            Poll::Pending => Ok(None),
        }
    }

    /// Writes as much of the pieces as there is room for.
    pub fn poll_write_pieces(&mut self, cx: &mut Context<'_>, pieces: &[&[u8]]) -> Poll<io::Result<usize>> {
        self.state().poll_write(cx, pieces)
    }

    /// Whether there is something to read now, the end included.
    pub fn has_input(&self) -> bool {
        self.state().up.is_readable()
    }

    /// What has come and was not taken, and whether the end follows.
    pub fn peek(&self) -> (usize, Option<End>) {
        let state = self.state();
        (state.up.here.len(), state.up.ended)
    }

    /// Whether the peer is gone for good.
    pub fn is_hung_up(&self) -> bool {
        let state = self.state();
        state.is_broken() || state.up.ended.is_some() && state.down.ends.is_some()
    }

    /// Says that nothing more will be written.
    pub fn shut_down_writing(&self) {
        self.state().down.ends.get_or_insert(End::Finished);
    }

    /// Makes closing look like a failure.
    pub fn reset_on_close(&self) {
        self.state().resets = true;
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        let mut state = self.state();
        state.dropped = true;
        let unread = !state.up.here.is_empty() || !state.up.flight.is_empty();
        let tcp = state.transport == Transport::Tcp;
        if unread || state.resets && tcp {
            state.down.reset(tcp);
        } else {
            state.down.ends.get_or_insert(End::Finished);
        }
    }
}

impl AsyncRead for Pipe {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let read = self.state().poll_read(cx, buffer.remaining());
        read.map_ok(|octets| buffer.put_slice(&octets))
    }
}

impl AsyncWrite for Pipe {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, octets: &[u8]) -> Poll<io::Result<usize>> {
        self.state().poll_write(cx, &[octets])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let pieces: Vec<&[u8]> = pieces.iter().map(|piece| &**piece).collect();
        self.state().poll_write(cx, &pieces)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.shut_down_writing();
        Poll::Ready(Ok(()))
    }
}

impl Far {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Something that is on its way arrives: whether there was something.
    pub fn advance(&self) -> bool {
        let state = &mut *self.state();
        let (up, down) = (state.up.is_moving() && !state.dropped, state.down.is_moving());
        match (up, down) {
            (false, false) => return false,
            (true, true) if state.dice.one_in(2) => state.advance_down(),
            (true, _) => state.advance_up(),
            (false, true) => state.advance_down(),
        }
        true
    }

    /// Wakes who waits, for nothing.
    pub fn nudge(&self) {
        let mut state = self.state();
        state.wake_reader();
        state.wake_writer();
    }

    /// Sends as much as there is room for, and gives how much that was.
    pub fn send(&self, octets: &[u8]) -> usize {
        let mut state = self.state();
        let fits = octets.len().min(state.up.room());
        if state.dropped && state.transport == Transport::Tcp && fits > 0 && state.down.ended.is_none() {
            // Nobody is there: what is still on its way to the peer is lost.
            state.down.reset(true);
        }
        state.up.put(&octets[..fits]);
        fits
    }

    /// Takes some of what has come.
    pub fn receive(&self, most: usize) -> Vec<u8> {
        let mut state = self.state();
        let octets = state.down.take(most);
        if !octets.is_empty() {
            state.wake_writer();
        }
        octets
    }

    /// How many octets have come and were not taken.
    pub fn received(&self) -> usize {
        self.state().down.here.len()
    }

    /// How the driver has ended the connection, once everything before was taken.
    pub fn ended(&self) -> Option<End> {
        let state = self.state();
        if state.down.here.is_empty() { state.down.ended } else { None }
    }

    /// Has no more to say.
    pub fn finish(&self) {
        self.state().up.ends.get_or_insert(End::Finished);
    }

    /// Closes: does not read any more either.
    pub fn close(&self) {
        let mut state = self.state();
        state.up.ends.get_or_insert(End::Finished);
        state.closed = true;
        let unread = !state.down.here.is_empty();
        state.down.here.clear();
        // As at the other end: what the peer had not read makes it an end by force.
        if unread {
            let tcp = state.transport == Transport::Tcp;
            state.up.reset(tcp);
        }
        state.wake_writer();
    }

    /// Ends the connection by force.
    pub fn reset(&self) {
        let mut state = self.state();
        state.closed = true;
        let loses = state.dice.one_in(2);
        state.up.reset(loses);
        state.down.here.clear();
    }

    /// Whether the driver has dropped its end.
    pub fn is_dropped(&self) -> bool {
        self.state().dropped
    }

    /// How many octets the driver has read and written.
    pub fn moved(&self) -> (u64, u64) {
        let state = self.state();
        (state.up.read, state.down.written)
    }
}

impl State {
    fn advance_up(&mut self) {
        self.up.advance(&mut self.dice);
        if self.up.ended == Some(End::Reset) && self.dice.one_in(2) {
            self.up.here.clear();
        }
        self.wake_reader();
        if self.up.ended.is_some() {
            // An end shows to who writes too.
            self.wake_writer();
        }
    }

    fn advance_down(&mut self) {
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

impl fmt::Debug for Pipe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.state().fmt(f)
    }
}

impl fmt::Debug for Far {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let State { transport, up, down, closed, dropped, reader, writer, .. } = &*self.state();
        f.debug_struct("Far")
            .field("transport", transport)
            .field("up", up)
            .field("down", down)
            .field("closed", closed)
            .field("dropped", dropped)
            .field("waits", &(reader.is_some(), writer.is_some()))
            .finish()
    }
}
