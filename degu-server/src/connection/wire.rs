//! The bytes of a connection: between the machine and the stream, under deadlines.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use degu_wire::machine::{Awaits, Connection, RequestHead, Server};
use degu_wire::{Fault, Headers, Part, Source, Spinner, Step};
use tokio::task::coop::poll_proceed;
use tokio::task::yield_now;

use super::close::{CloseReason, caught};
use super::deadline::{Deadline, LINGER_IN_ALL, Wait};
use crate::Incoming;
use crate::body_channel::{Supplier, channel};
use crate::exchange::Report;
use crate::stream::{PeerState, Stream, Transport};
use crate::worker_state::{Place, WorkerState};

/// The number of bytes of an unread request body that are read and dropped to keep the connection.
pub(super) const DRAIN: usize = 64 * 1024;
/// The number of bytes that are read ahead of a handler that does not ask for them, so that the end of a connection shows
/// while the handler works.
const READ_AHEAD: usize = 64 * 1024;

/// A stream and the machine that it feeds.
///
/// Fields are dropped in this order: the socket is closed before the connection gives up its place.
#[derive(Debug)]
pub(super) struct Wire<T: Transport> {
    pub(super) stream: Stream<T>,
    pub(super) machine: Connection<Server>,
    pub(super) deadline: Deadline,
    pub(super) place: Place,
    is_eof: bool,
    /// A response, or another protocol, is under way that only the end of the connection ends.
    pub(super) is_unframed: bool,
    /// Bytes that have not been counted yet.
    received: u64,
    sent: u64,
}

type Moved = Result<(), CloseReason>;

const fn gone(error: io::Error) -> CloseReason {
    CloseReason::Gone(Some(error))
}

impl<T: Transport> Wire<T> {
    pub(super) fn new(transport: T, place: Place) -> Self {
        Self {
            stream: Stream::new(transport),
            machine: Connection::<Server>::new(place.worker.options.limits.clone()),
            deadline: Deadline::default(),
            place,
            is_eof: false,
            is_unframed: false,
            received: 0,
            sent: 0,
        }
    }

    /// Adds the bytes that came and went to the server's counters.
    pub(super) fn count_bytes(&mut self) {
        let (received, sent) = self.take_counts();
        self.place.worker.counters().add_bytes(received, sent);
    }

    /// Returns how many bytes came and went since the last call.
    pub(super) const fn take_counts(&mut self) -> (u64, u64) {
        (std::mem::replace(&mut self.received, 0), std::mem::replace(&mut self.sent, 0))
    }

    /// Notes what the connection waits for, and sets the alarm.
    pub(super) fn wait(&mut self, wait: Wait) {
        let Place { worker, alarm, .. } = &self.place;
        self.deadline.wait(wait, worker.seconds());
        alarm.set(self.deadline.due(&worker.options.deadlines));
        match wait {
            Wait::Request | Wait::Idle => self.place.set_spare(),
            Wait::Linger => {}
            _ => alarm.set_busy(),
        }
    }

    /// Judges the deadline, where there is something to judge.
    pub(super) fn check(&mut self) -> Moved {
        let Place { worker, alarm, .. } = &self.place;
        if worker.seconds() < alarm.due() {
            return Ok(());
        }
        if self.place.is_asked_for_room() {
            // A peer that has said something since is answered, and another connection asked.
            if self.place.lingers() || self.machine.awaits() == Awaits::Request && !self.stream.has_input() {
                return Err(CloseReason::Room);
            }
            worker.server.notify_room(0);
        }
        let expired = self.deadline.expired(worker.seconds(), &worker.options.deadlines);
        alarm.set(self.deadline.due(&worker.options.deadlines));
        expired.map_or(Ok(()), |wait| Err(CloseReason::Deadline(wait)))
    }

    /// Waits for input between two requests, without holding buffers.
    pub(super) async fn readable(&mut self) -> Moved {
        poll_fn(|cx| {
            self.check()?;
            // What came during `on_connect` was read ahead, and the socket will not announce it again.
            if self.is_too_late() || !self.machine.buffered().is_empty() {
                return Poll::Ready(Ok(()));
            }
            self.wait(Wait::Idle);
            ready!(self.stream.poll_readable(cx)).map_err(gone)?;
            // Perhaps not of a request, but of a TLS record: the time goes on.
            self.wait(Wait::Handler);
            Poll::Ready(Ok(()))
        })
        .await
    }

    /// Returns whether the server is stopping and no request has begun to arrive: then there will be none.
    fn is_too_late(&mut self) -> bool {
        if !self.place.worker.is_stopping() || self.stream.has_input() {
            return false;
        }
        self.machine.stop();
        self.machine.awaits() == Awaits::Nothing
    }

    /// Gives up the buffers: the connection is idle.
    pub(super) fn rest(&mut self) -> Moved {
        self.machine.release_buffers();
        self.stream.rest().map_err(gone)
    }

    /// Writes what is pending, then busy-polls the socket for the next request. Returns whether bytes came.
    pub(super) async fn spin(&mut self, worker: &WorkerState, spinner: &mut Spinner) -> Result<bool, CloseReason> {
        if self.machine.awaits() != Awaits::Request || !worker.may_spin() || !spinner.begin() {
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
                    self.wait(Wait::Request);
                    yield_now().await;
                    self.check()?;
                    if worker.is_stopping() {
                        return Ok(false);
                    }
                }
            }
            let read = self.stream.try_read(&mut worker.scratch(), self.machine.receive_buffer()).map_err(gone)?;
            if let Some(read) = read {
                self.received(read);
                self.wait(Wait::Handler);
                spinner.found(|| worker.now());
                return Ok(true);
            }
        }
    }

    /// Writes what is pending, then reads more of a request. Returns `false` where the connection is to give up its buffers
    /// first.
    pub(super) async fn more(&mut self, worker: &WorkerState, spinner: &mut Spinner) -> Result<bool, CloseReason> {
        self.flush().await?;
        let mut is_woken = false;
        poll_fn(|cx| {
            self.check()?;
            let awaits = self.machine.awaits();
            self.wait(if awaits == Awaits::Head { Wait::Head } else { Wait::Request });
            // Nearly always all input has been read: then asking for readiness costs less than a read in vain.
            let is_ready =
                std::mem::replace(&mut is_woken, true) || self.stream.poll_readable(cx).map_err(gone)?.is_ready();
            if is_ready && self.poll_read(cx)?.is_ready() {
                self.wait(Wait::Handler);
                return Poll::Ready(Ok(true));
            }
            spinner.end_turn();
            let pauses = awaits == Awaits::Request
                && (worker.is_crowded() || self.deadline.is_idle(worker.seconds()))
                // Empty lines may have come.
                && self.machine.buffered().is_empty();
            if pauses || self.is_too_late() { Poll::Ready(Ok(false)) } else { Poll::Pending }
        })
        .await
    }

    /// Writes what is pending.
    pub(super) async fn flush(&mut self) -> Moved {
        poll_fn(|cx| {
            self.check()?;
            loop {
                let flushed = self.poll_flush(cx)?;
                if flushed.is_ready() || self.is_eof || !self.discards(None) {
                    return flushed.map(Ok);
                }
                ready!(self.poll_discard(cx))?;
            }
        })
        .await
    }

    /// Returns whether nothing that the peer still sends will be understood: the request was answered before its end, its
    /// body has no reader, and the connection ends with the response. A peer may send all of its request before it reads.
    /// Bytes after the request of a tunnel belong to the tunnel.
    fn discards(&self, body: Option<&Supplier>) -> bool {
        !self.machine.is_persistent()
            && !self.machine.has_switched()
            && matches!(self.machine.awaits(), Awaits::Body | Awaits::Nothing)
            && body.is_none_or(Supplier::is_abandoned)
    }

    /// Returns the body of a request whose head has just been read: all of it, if it is in memory, or the end of a channel
    /// whose other end comes with it.
    pub(super) fn incoming(&mut self, head: &RequestHead) -> (Incoming, Option<Supplier>) {
        let max_chunk = self.machine.limits().max_chunk;
        if !self.machine.is_receiving() {
            return (Incoming::whole(Bytes::new(), head, max_chunk), None);
        }
        if let Some(whole) = self.machine.take_rest() {
            return (Incoming::whole(whole, head, max_chunk), None);
        }
        let (supplier, reader) = channel();
        (Incoming::of_channel(reader, head, max_chunk), Some(supplier))
    }

    /// Runs the app's handler to its end, and moves bytes while it waits. A panic is an error.
    pub(super) async fn drive<F: Future + ?Sized>(
        &mut self,
        body: Option<&Supplier>,
        mut handler: Pin<&mut F>,
    ) -> Result<F::Output, CloseReason> {
        poll_fn(|cx| {
            loop {
                // Another task may have asked for a part.
                self.supply(cx, body);
                if let Poll::Ready(output) = caught(|| handler.as_mut().poll(cx))? {
                    return Poll::Ready(Ok(output));
                }
                if !self.supply(cx, body) {
                    ready!(self.poll_both(cx, body))?;
                }
            }
        })
        .await
    }

    /// Sends a response's body from its source to the end.
    pub(super) async fn send(
        &mut self,
        body: Option<&Supplier>,
        mut source: Pin<Box<dyn Source>>,
        mut report: Option<&mut Report>,
    ) -> Moved {
        poll_fn(|cx| {
            loop {
                let mut is_tired = false;
                while self.wants_output() {
                    // A source that never waits, and a peer that takes everything, must not keep the thread for themselves.
                    let Poll::Ready(turn) = poll_proceed(cx) else {
                        is_tired = true;
                        break;
                    };
                    self.supply(cx, body);
                    match caught(|| source.as_mut().poll_part(cx))? {
                        Poll::Ready(part) => {
                            let part = part.transpose().map_err(CloseReason::Body)?;
                            let length = match &part {
                                Some(Part::Data(data) | Part::Chunk { data, .. }) => data.len(),
                                _ => 0,
                            };
                            self.put(part)?;
                            if let Some(report) = &mut report {
                                report.add(length as u64);
                            }
                        }
                        Poll::Pending if self.supply(cx, body) => {}
                        Poll::Pending => break,
                    }
                    turn.made_progress();
                }
                if !self.machine.is_sending() {
                    return Poll::Ready(Ok(()));
                }
                // A source that waits for room is supplied with one part, and nothing more is read for it.
                self.supply(cx, body);
                ready!(self.poll_both(cx, body))?;
                if is_tired {
                    return Poll::Pending;
                }
            }
        })
        .await
    }

    /// Supplies the reader of the request's body with the part that it waits for. Returns whether it did.
    fn supply(&mut self, cx: &Context<'_>, body: Option<&Supplier>) -> bool {
        let Some(body) = body.filter(|body| body.is_wanted(cx)) else { return false };
        match self.machine.poll_part() {
            Ok(Poll::Pending) => return false,
            Ok(Poll::Ready(part)) => body.supply(Ok(part)),
            Err(fault) => body.supply(Err(fault)),
        }
        true
    }

    fn wants_output(&self) -> bool {
        self.machine.is_sending() && self.machine.has_room()
    }

    fn put(&mut self, part: Option<Part>) -> Moved {
        let sent = match part {
            Some(part) => self.machine.send_part(part),
            None => self.machine.finish_body(),
        };
        sent.map_err(CloseReason::Response)
    }

    /// Reads and drops the rest of a request's body, and sends the response that switches to another protocol.
    pub(super) async fn switch(&mut self, head: &RequestHead, protocol: &str, headers: &Headers) -> Moved {
        if self.machine.is_receiving() && !self.drain(DRAIN).await? {
            return Err(CloseReason::Peer(Fault::BodyTooLarge.into()));
        }
        self.machine.switch(head, protocol, headers).map_err(CloseReason::Response)?;
        self.deadline.end_handler();
        self.flush().await
    }

    /// Sends what a tunnel has written and TLS still holds, under the deadline of a response.
    pub(super) async fn flush_tunnel(&mut self) -> Moved {
        poll_fn(|cx| {
            self.check()?;
            self.wait(Wait::Write);
            self.stream.poll_flush(cx).map_err(gone)
        })
        .await
    }

    /// Reads and drops the rest of a request's body, up to `limit` bytes. Returns whether its end has come.
    pub(super) async fn drain(&mut self, mut limit: usize) -> Result<bool, CloseReason> {
        loop {
            match self.machine.poll_part().map_err(CloseReason::Peer)? {
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
                        self.wait(Wait::Body);
                        self.poll_read(cx)
                    })
                    .await?;
                }
            }
        }
    }

    /// Half-closes the connection, then reads and drops what still comes, so that the peer gets to read the last response:
    /// closing a socket with unread input resets the connection (RFC 9112 §9.6). A peer that sends all of its request
    /// first may send much. It is bounded by a rate and by [`LINGER_IN_ALL`], and nothing of it is kept.
    pub(super) async fn linger(&mut self) -> Moved {
        self.machine.release_buffers();
        let end = self.place.worker.seconds() + LINGER_IN_ALL;
        poll_fn(|cx| {
            self.check()?;
            self.wait(Wait::Linger);
            self.stream.poll_shut_down_writing(cx).map(Ok::<_, CloseReason>)
        })
        .await?;
        poll_fn(|cx| {
            while !self.is_eof && self.place.worker.seconds() < end {
                self.check()?;
                let read = ready!(self.poll_discard(cx))?;
                self.deadline.moved(read, self.place.worker.seconds());
            }
            Poll::Ready(Ok(()))
        })
        .await
    }

    /// Moves bytes both ways while the handler or the response's source waits: writes what is pending, and reads what is
    /// wanted of the request's body, or some of it ahead.
    fn poll_both(&mut self, cx: &mut Context<'_>, body: Option<&Supplier>) -> Poll<Moved> {
        self.check()?;
        let had_room = self.machine.has_room();
        let is_flushed = self.poll_flush(cx)?.is_ready();
        let mut has_moved = !had_room && self.wants_output();
        let is_wanted = body.is_some_and(|body| body.is_wanted(cx));
        let discards = self.machine.has_responded() && self.discards(body);
        let reads = !self.is_eof && (is_wanted || discards || self.machine.buffered().len() < READ_AHEAD);
        if reads {
            has_moved |= if discards { self.poll_discard(cx)? } else { self.poll_read(cx)? }.is_ready();
        } else {
            match self.stream.peer(self.is_eof) {
                PeerState::Present => {}
                PeerState::HalfClosed => self.deadline.half_close(self.place.worker.seconds()),
                PeerState::Gone => return Poll::Ready(Err(CloseReason::Gone(None))),
            }
        }
        self.deadline.set_not_read(!reads);
        if let Some(body) = body.filter(|_| is_wanted) {
            self.deadline.set_body_progress(body.progress());
        }
        self.wait(match () {
            () if !is_flushed => Wait::Write,
            () if is_wanted => Wait::Body,
            () => Wait::Handler,
        });
        if has_moved { Poll::Ready(Ok(())) } else { Poll::Pending }
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Moved> {
        while !self.machine.is_flushed() {
            let Self { machine, stream, .. } = self;
            let written = match machine.pending().write_with(|pieces| stream.poll_write(cx, pieces)) {
                Poll::Ready(written) => written.map_err(gone)?,
                Poll::Pending => {
                    self.wait(Wait::Write);
                    return Poll::Pending;
                }
            };
            self.machine.transmitted(written);
            self.sent += written as u64;
            self.deadline.moved(written, self.place.worker.seconds());
        }
        Poll::Ready(Ok(()))
    }

    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Result<usize, CloseReason>> {
        let mut scratch = self.place.worker.scratch();
        let read = ready!(self.stream.poll_read(cx, &mut scratch, self.machine.receive_buffer())).map_err(gone)?;
        drop(scratch);
        self.received(read);
        Poll::Ready(Ok(read))
    }

    /// Reads and drops what has come.
    fn poll_discard(&mut self, cx: &mut Context<'_>) -> Poll<Result<usize, CloseReason>> {
        let read = ready!(self.stream.poll_read_slice(cx, &mut self.place.worker.scratch())).map_err(gone)?;
        self.is_eof |= read == 0;
        self.received += read as u64;
        Poll::Ready(Ok(read))
    }

    /// Notes that so many bytes were read; 0 are the end.
    fn received(&mut self, read: usize) {
        if read == 0 {
            self.is_eof = true;
            self.machine.receive_eof();
        }
        self.received += read as u64;
        self.deadline.moved(read, self.place.worker.seconds());
    }
}
