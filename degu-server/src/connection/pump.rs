//! The octets of a connection: between the machine and the socket.

use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use degu_wire::machine::Awaits;
use degu_wire::{Part, Source};

use super::close::CloseReason;
use super::deadline::Wait;
use super::link::Link;
use super::socket::Socket;

/// Input is read ahead of whoever wants it up to this, so that the end of a connection shows while the app works.
const READ_AHEAD: usize = 64 * 1024;
/// How much is read and dropped after our last word, so that the peer gets to read it (RFC 9112 §9.6).
const LINGER: usize = 256 * 1024;

/// A socket and the machine that it feeds.
#[derive(Debug)]
pub(super) struct Pump {
    pub(super) socket: Socket,
    pub(super) link: Rc<Link>,
    eof: bool,
}

type Moved = Result<(), CloseReason>;

impl Pump {
    pub(super) const fn new(socket: Socket, link: Rc<Link>) -> Self {
        Self { socket, link, eof: false }
    }

    /// Waits for octets between two requests without holding a buffer.
    pub(super) async fn readable(&mut self) -> Moved {
        poll_fn(|cx| {
            self.check()?;
            if self.link.stopping.get() {
                return Poll::Ready(Ok(()));
            }
            self.link.watch.wait(Wait::Request);
            ready!(self.socket.poll_readable(cx)).map_err(|error| CloseReason::Gone(Some(error)))?;
            self.link.watch.restart();
            Poll::Ready(Ok(()))
        })
        .await
    }

    /// The connection pauses: gives up what it holds.
    pub(super) fn rest(&mut self) -> Moved {
        self.link.machine().release_buffers();
        self.socket.rest().map_err(|error| CloseReason::Gone(Some(error)))
    }

    /// Writes what is pending, then reads more of a request. `false` where the connection has become idle instead.
    pub(super) async fn more(&mut self) -> Result<bool, CloseReason> {
        poll_fn(|cx| {
            self.check()?;
            ready!(self.poll_flush(cx))?;
            let awaits = self.link.machine().awaits();
            self.link.watch.wait(if awaits == Awaits::Head { Wait::Head } else { Wait::Request });
            if self.link.watch.is_idle() || (self.link.stopping.get() && awaits == Awaits::Nothing) {
                return Poll::Ready(Ok(false));
            }
            ready!(self.poll_read(cx))?;
            self.link.watch.wait(Wait::App);
            Poll::Ready(Ok(true))
        })
        .await
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
                let polled = self.link.polling(|| catch_unwind(AssertUnwindSafe(|| handler.as_mut().poll(cx))));
                if let Poll::Ready(output) = polled.map_err(|_| CloseReason::Panic)? {
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
                while self.wants_part() {
                    let polled = self.link.polling(|| catch_unwind(AssertUnwindSafe(|| source.as_mut().poll_part(cx))));
                    match polled.map_err(|_| CloseReason::Panic)? {
                        Poll::Ready(part) => self.put(part.transpose().map_err(CloseReason::Body)?)?,
                        Poll::Pending => break,
                    }
                }
                if !self.link.machine().is_sending() {
                    return Poll::Ready(Ok(()));
                }
                ready!(self.poll_both(cx))?;
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

    /// Our last word has been said: writes it, and waits a while for the peer to read it and close.
    pub(super) async fn linger(&mut self) -> Moved {
        self.link.watch.forgive();
        self.flush().await?;
        self.socket.shut_down_writing();
        let mut limit = LINGER;
        while !self.eof && !self.link.stopping.get() {
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
        if !self.eof && (wanted || ahead) && self.poll_read(cx)?.is_ready() {
            moved = true;
        }
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
            let written = match self.socket.poll_write(cx, machine.pending()) {
                Poll::Ready(Ok(written)) => written,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(CloseReason::Gone(Some(error)))),
                Poll::Pending => {
                    self.link.watch.wait(Wait::Write);
                    return Poll::Pending;
                }
            };
            machine.transmitted(written);
            self.link.watch.moved(written);
        }
        Poll::Ready(Ok(()))
    }

    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Result<usize, CloseReason>> {
        let mut machine = self.link.machine();
        let read = ready!(self.socket.poll_read(cx, machine.receive_buffer()))
            .map_err(|error| CloseReason::Gone(Some(error)))?;
        if read == 0 {
            self.eof = true;
            machine.receive_eof();
            // A peer that only has nothing more to say still reads.
            if self.socket.is_hung_up() {
                return Poll::Ready(Err(CloseReason::Gone(None)));
            }
        }
        drop(machine);
        self.link.watch.moved(read);
        self.link.wake_reader();
        Poll::Ready(Ok(read))
    }

    fn check(&self) -> Moved {
        self.link.watch.expired().map_or(Ok(()), |wait| Err(CloseReason::Deadline(wait)))
    }
}
