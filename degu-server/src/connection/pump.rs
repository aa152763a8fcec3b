//! The octets of a connection: between the machine and the socket.

use std::future::poll_fn;
use std::ops::Deref;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use degu_wire::machine::Awaits;
use degu_wire::{Part, Source, Spinner, Step};
use tokio::task::coop::poll_proceed;
use tokio::task::yield_now;

use super::caught;
use super::close::CloseReason;
use super::deadline::Wait;
use super::link::Link;
use super::socket::Socket;
use crate::worker::Worker;

/// Input is read ahead of whoever wants it up to this, so that the end of a connection shows while the app works.
const READ_AHEAD: usize = 64 * 1024;
/// How much is read and dropped after our last word.
const LINGER: usize = 256 * 1024;

/// A socket and the machine that it feeds.
///
/// Fields are dropped in this order: the socket is closed before the connection counts no more.
#[derive(Debug)]
pub(super) struct Pump {
    pub(super) socket: Socket,
    pub(super) link: Counted,
    eof: bool,
    /// A response is under way that only the end of the connection ends.
    pub(super) unframed: bool,
    /// Octets that have not been counted yet.
    received: u64,
    sent: u64,
}

/// A connection that counts as one of its worker's until this is dropped.
#[derive(Debug)]
pub(super) struct Counted {
    pub(super) worker: Rc<Worker>,
    pub(super) link: Rc<Link>,
}

impl Deref for Counted {
    type Target = Rc<Link>;

    fn deref(&self) -> &Rc<Link> {
        &self.link
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.worker.remove(&self.link);
    }
}

type Moved = Result<(), CloseReason>;

impl Pump {
    pub(super) const fn new(socket: Socket, link: Counted) -> Self {
        Self { socket, link, eof: false, unframed: false, received: 0, sent: 0 }
    }

    /// Waits for octets between two requests without holding a buffer.
    pub(super) async fn readable(&mut self) -> Moved {
        poll_fn(|cx| {
            self.check()?;
            // What came while `on_connect` thought was read ahead, and the socket will not say it again.
            if self.is_too_late() || !self.link.machine().buffered().is_empty() {
                return Poll::Ready(Ok(()));
            }
            self.link.watch.wait(Wait::Request);
            ready!(self.poll_readable(cx))?;
            // A part of a record of TLS, say.
            self.link.watch.stir();
            Poll::Ready(Ok(()))
        })
        .await
    }

    /// Whether the server stops, and no request is here; then there will be none. A head that has begun is still waited
    /// for.
    fn is_too_late(&mut self) -> bool {
        if !self.link.stopping.get() || self.socket.has_input() {
            return false;
        }
        let mut machine = self.link.machine();
        machine.stop();
        machine.awaits() == Awaits::Nothing
    }

    /// The connection pauses: gives up what it holds.
    pub(super) fn rest(&mut self) -> Moved {
        self.link.machine().release_buffers();
        self.socket.rest().map_err(|error| CloseReason::Gone(Some(error)))
    }

    /// Writes what is pending, then busy-polls the socket for the next request. Returns whether bytes came.
    pub(super) async fn spin(&mut self, worker: &Worker, spinner: &mut Spinner) -> Result<bool, CloseReason> {
        if self.link.machine().awaits() != Awaits::Request {
            return Ok(false);
        }
        self.flush().await?;
        loop {
            match spinner.step(|| worker.now()) {
                Step::Block => return Ok(false),
                Step::Read => {}
                Step::Yield if !worker.has_others_busy() => std::thread::yield_now(),
                Step::Yield | Step::GiveWay => {
                    spinner.end_turn();
                    self.link.watch.wait(Wait::Request);
                    yield_now().await;
                    self.check()?;
                    if self.link.stopping.get() {
                        return Ok(false);
                    }
                }
            }
            let read = self.socket.try_read(&mut worker.scratch(), self.link.machine().receive_buffer());
            if let Some(read) = read.map_err(|error| CloseReason::Gone(Some(error)))? {
                self.received(read);
                self.link.watch.wait(Wait::App);
                spinner.found(|| worker.now());
                return Ok(true);
            }
        }
    }

    /// Writes what is pending, then reads more of a request. `false` where the connection is to pause instead.
    pub(super) async fn more(&mut self, worker: &Worker, spinner: &mut Spinner) -> Result<bool, CloseReason> {
        self.flush().await?;
        let mut woken = false;
        poll_fn(|cx| {
            self.check()?;
            let awaits = self.link.machine().awaits();
            self.link.watch.wait(if awaits == Awaits::Head { Wait::Head } else { Wait::Request });
            // Nearly always all that came has been read: to ask for input then costs less than a read that finds none.
            let is_ready = std::mem::replace(&mut woken, true) || self.poll_readable(cx)?.is_ready();
            if is_ready && self.poll_read(cx)?.is_ready() {
                self.link.watch.wait(Wait::App);
                return Poll::Ready(Ok(true));
            }
            // The runtime goes on with others.
            spinner.end_turn();
            let pause = match awaits {
                // Empty lines may have come.
                Awaits::Request => {
                    (self.link.watch.is_idle() || worker.is_crowded()) && self.link.machine().buffered().is_empty()
                }
                _ => false,
            };
            if pause || self.is_too_late() { Poll::Ready(Ok(false)) } else { Poll::Pending }
        })
        .await
    }

    /// How many octets came and went since this was asked the last time.
    pub(super) const fn take_octets(&mut self) -> (u64, u64) {
        (std::mem::replace(&mut self.received, 0), std::mem::replace(&mut self.sent, 0))
    }

    /// Writes what is pending.
    pub(super) async fn flush(&mut self) -> Moved {
        poll_fn(|cx| {
            self.check()?;
            self.poll_flush(cx)
        })
        .await
    }

    /// Runs the app's handler to its end, and moves octets while it waits. A panic is an error.
    pub(super) async fn drive<F: Future + ?Sized>(
        &mut self,
        mut handler: Pin<&mut F>,
    ) -> Result<F::Output, CloseReason> {
        poll_fn(|cx| {
            loop {
                let polled = self.link.polling(|| caught(|| handler.as_mut().poll(cx)));
                if let Poll::Ready(output) = polled? {
                    return Poll::Ready(Ok(output));
                }
                ready!(self.poll_both(cx))?;
            }
        })
        .await
    }

    /// Sends a response's body from its source to the end.
    pub(super) async fn send(&mut self, mut source: Pin<Box<dyn Source>>) -> Moved {
        poll_fn(|cx| {
            loop {
                let mut rests = false;
                while self.wants_part() {
                    // A source that never waits, and a peer that takes everything, must not keep the thread for themselves.
                    let Poll::Ready(turn) = poll_proceed(cx) else {
                        rests = true;
                        break;
                    };
                    let polled = self.link.polling(|| caught(|| source.as_mut().poll_part(cx)));
                    match polled? {
                        Poll::Ready(part) => self.put(part.transpose().map_err(CloseReason::Body)?)?,
                        Poll::Pending => break,
                    }
                    turn.made_progress();
                }
                if !self.link.machine().is_sending() {
                    return Poll::Ready(Ok(()));
                }
                ready!(self.poll_both(cx))?;
                if rests {
                    return Poll::Pending;
                }
            }
        })
        .await
    }

    fn wants_part(&self) -> bool {
        let machine = self.link.machine();
        machine.is_sending() && machine.has_room()
    }

    fn put(&self, part: Option<Part>) -> Moved {
        let mut machine = self.link.machine();
        let sent = match part {
            Some(part) => machine.send_part(part),
            None => machine.finish_body(),
        };
        sent.map_err(CloseReason::Response)
    }

    /// Reads and drops the rest of a request's body, up to `limit` octets: whether its end has come.
    pub(super) async fn drain(&mut self, mut limit: usize) -> Result<bool, CloseReason> {
        loop {
            let part = self.link.machine().poll_part().map_err(CloseReason::Peer)?;
            match part {
                Poll::Ready(None) => return Ok(true),
                Poll::Ready(Some(Part::Data(data) | Part::Chunk { data, .. })) => {
                    let Some(left) = limit.checked_sub(data.len()) else { return Ok(false) };
                    limit = left;
                }
                Poll::Ready(Some(Part::Last { .. })) => {}
                Poll::Pending => {
                    poll_fn(|cx| {
                        self.check()?;
                        ready!(self.poll_flush(cx))?;
                        self.link.watch.wait(Wait::Body);
                        self.poll_read(cx)
                    })
                    .await?;
                }
            }
        }
    }

    /// Reads and drops what still comes, for a while and up to a bound, so that the peer gets to read our last word: a
    /// socket that is closed with input unread takes back what it has sent (RFC 9112 §9.6).
    pub(super) async fn linger(&mut self) -> Moved {
        #[cfg(feature = "tls")]
        poll_fn(|cx| {
            self.check()?;
            self.link.watch.wait(Wait::Linger);
            self.socket.poll_close(cx).map(Ok)
        })
        .await?;
        self.socket.shut_down_writing();
        let mut limit = LINGER;
        while !self.eof {
            let read = poll_fn(|cx| {
                self.check()?;
                self.link.watch.wait(Wait::Linger);
                self.poll_read(cx)
            })
            .await?;
            self.link.machine().receive_buffer().clear();
            let Some(left) = limit.checked_sub(read) else { break };
            limit = left;
        }
        Ok(())
    }

    /// While the app works, or is waited for: writes what is pending, and reads what the app wants, or some ahead.
    fn poll_both(&mut self, cx: &mut Context<'_>) -> Poll<Moved> {
        self.check()?;
        let had_room = self.link.machine().has_room();
        let flushed = self.poll_flush(cx)?.is_ready();
        let mut moved = !had_room && self.wants_part();
        let wanted = self.link.wants_input();
        let ahead = self.link.machine().buffered().len() < READ_AHEAD;
        if !self.eof && (wanted || ahead) {
            moved |= self.poll_read(cx)?.is_ready();
        } else if self.socket.is_hung_up() {
            // A peer that only has nothing more to say, or is not heard for now, still reads; one that is gone does not.
            return Poll::Ready(Err(CloseReason::Gone(None)));
        }
        self.link.watch.deaf(self.eof || !(wanted || ahead));
        self.link.watch.wait(match () {
            () if !flushed => Wait::Write,
            () if wanted => Wait::Body,
            () => Wait::App,
        });
        if moved { Poll::Ready(Ok(())) } else { Poll::Pending }
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Moved> {
        let mut machine = self.link.machine();
        while !machine.is_flushed() {
            let written = match machine.pending().write_with(|pieces| self.socket.poll_write(cx, pieces)) {
                Poll::Ready(Ok(written)) => written,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(CloseReason::Gone(Some(error)))),
                Poll::Pending => {
                    self.link.watch.wait(Wait::Write);
                    return Poll::Pending;
                }
            };
            machine.transmitted(written);
            self.sent += written as u64;
            self.link.watch.moved(written);
        }
        Poll::Ready(Ok(()))
    }

    fn poll_readable(&mut self, cx: &mut Context<'_>) -> Poll<Moved> {
        self.socket.poll_readable(cx).map_err(|error| CloseReason::Gone(Some(error)))
    }

    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Result<usize, CloseReason>> {
        let read = ready!(self.socket.poll_read(cx, self.link.machine().receive_buffer()))
            .map_err(|error| CloseReason::Gone(Some(error)))?;
        self.received(read);
        Poll::Ready(Ok(read))
    }

    /// So many octets were read; none is the end.
    fn received(&mut self, read: usize) {
        if read == 0 {
            self.eof = true;
            self.link.machine().receive_eof();
        }
        self.received += read as u64;
        self.link.watch.moved(read);
        // Who wants more than this asks again. One who can not just now, because what it makes of it finds no room, would
        // have everything read that the peer cares to send.
        self.link.unwant();
        self.link.wake_reader();
    }

    pub(super) fn check(&self) -> Moved {
        self.link.watch.expired().map_or(Ok(()), |wait| Err(CloseReason::Deadline(wait)))
    }
}
