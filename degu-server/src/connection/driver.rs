//! The driver of a connection, which moves bytes between the machine and the stream, and observes the deadlines.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use degu_wire::machine::{Awaits, Connection, Content, RequestHead, Server};
use degu_wire::{Fault, Headers, Method, Part, Source, Spinner, Step};
use tokio::task::coop::poll_proceed;
use tokio::task::yield_now;

use super::close::CloseReason;
use super::deadline::Wait;
use super::endpoint::{Endpoint, Moved};
use crate::body_channel::{Supplier, channel};
use crate::stats::add;
use crate::stream::Transport;
use crate::{Incoming, Response};

/// The most bytes of a request's body that the server reads and drops if the handler has not read them. If more bytes
/// are unread, the connection is closed.
pub(super) const DRAIN: usize = 64 * 1024;
/// The number of buffered bytes up to which the server reads input that the handler has not asked for. These reads
/// detect the end of the peer's input while the handler works.
const READ_AHEAD: usize = 64 * 1024;

/// The endpoint of a busy connection, and its machine. An idle connection has no machine.
pub(super) struct Driver<'c, T: Transport> {
    pub(super) endpoint: &'c mut Endpoint<T>,
    pub(super) machine: Connection<Server>,
    /// The supplier of the current request's body. `None` if the whole body is in memory, and after the response was sent.
    pub(super) body: Option<Supplier>,
    pub(super) spinner: Spinner,
}

/// The action that follows the handler of a request.
pub(super) enum Next {
    /// Read the next request. The machine has the whole response.
    Request,
    /// Send the body of the response from this source.
    Send(Pin<Box<dyn Source>>),
    /// Handle a response that was made from an error, or that switches to another protocol. The machine does not have the
    /// response yet.
    Special(Box<Response>),
}

/// The action of the driver on the peer's input, while the driver waits for the handler or for the source of the response.
#[derive(PartialEq)]
enum Input {
    /// Read the input for the machine.
    Read,
    /// Read the input and drop it.
    Discard,
    /// Do not read. The peer has sent its last byte, or enough input is buffered.
    Leave,
}

impl<'c, T: Transport> Driver<'c, T> {
    pub(super) fn new(endpoint: &'c mut Endpoint<T>) -> Self {
        let options = &endpoint.place.worker.options;
        let machine = Connection::<Server>::new(options.limits.clone());
        let spinner = Spinner::new(options.spin);
        Self { endpoint, machine, body: None, spinner }
    }

    /// Begins to spin, if the connection waits for its next request and may spin now. Returns whether the spin has begun.
    pub(super) fn begin_spin(&mut self) -> bool {
        self.machine.awaits() == Awaits::Request && self.endpoint.place.worker.may_spin() && self.spinner.begin()
    }

    /// Writes the pending bytes, then busy-polls the socket for the next request. Returns whether bytes were received. Call this
    /// method only if [`begin_spin`](Self::begin_spin) has returned `true`.
    pub(super) async fn spin(&mut self) -> Result<bool, CloseReason> {
        self.flush().await?;
        loop {
            let worker = &self.endpoint.place.worker;
            match self.spinner.step(|| worker.now()) {
                Step::Block => return Ok(false),
                Step::Read => {}
                Step::Yield if !worker.has_others_busy() => std::thread::yield_now(),
                Step::Yield | Step::RunOthers => {
                    self.spinner.end_turn();
                    self.endpoint.set_wait(Wait::Request);
                    yield_now().await;
                    self.endpoint.check_alarm()?;
                    if self.endpoint.place.worker.is_stopping() {
                        return Ok(false);
                    }
                }
            }
            let Endpoint { stream, place, .. } = &mut *self.endpoint;
            let read = stream.try_read(&mut place.worker.scratch(), self.machine.receive_buffer());
            if let Poll::Ready(read) = read? {
                self.received(read);
                self.spinner.found(|| self.endpoint.place.worker.now());
                return Ok(true);
            }
        }
    }

    /// Writes the pending bytes, then waits until bytes are received, or until the server shuts down. Returns `false` if the
    /// connection is idle and should free its buffers, because no request arrived for a second, or because too many connections
    /// hold buffers.
    pub(super) fn more(&mut self) -> impl Future<Output = Result<bool, CloseReason>> {
        let mut is_flushed = false;
        poll_fn(move |cx| {
            self.endpoint.check_alarm()?;
            // After a wake there usually is input, so the read comes at once.
            let is_ready = is_flushed || {
                ready!(self.poll_flush(cx))?;
                is_flushed = true;
                // Usually there is no input yet. Polling for readiness then costs less than a read that finds nothing.
                self.endpoint.stream.poll_readable(cx)?.is_ready()
            };
            if is_ready && self.poll_read(cx)?.is_ready() {
                return Poll::Ready(Ok(true));
            }
            self.spinner.end_turn();
            let awaits = self.machine.awaits();
            self.endpoint.set_wait(if awaits == Awaits::Head { Wait::Head } else { Wait::Request });
            // This check comes before the pause, because an idle connection returns here at once if the server shuts down.
            if self.stop_if_too_late() {
                return Poll::Ready(Ok(true));
            }
            let worker = &self.endpoint.place.worker;
            let pauses = awaits == Awaits::Request
                && (worker.is_crowded() || self.endpoint.deadline.is_idle(worker.seconds()))
                // Empty lines do not begin a request. A connection with empty lines in its buffer does not become idle,
                // because an idle connection drops its buffer.
                && self.machine.buffered().is_empty();
            if pauses { Poll::Ready(Ok(false)) } else { Poll::Pending }
        })
    }

    /// If the server shuts down and there is no input, makes the current request the last request. Returns `true` if
    /// the current request is the last request and has not begun, so the connection can end.
    fn stop_if_too_late(&mut self) -> bool {
        if !self.endpoint.is_too_late() {
            return false;
        }
        self.machine.stop();
        self.machine.awaits() == Awaits::Nothing
    }

    /// Writes the pending bytes.
    pub(super) fn flush(&mut self) -> impl Future<Output = Moved> {
        poll_fn(move |cx| {
            self.endpoint.check_alarm()?;
            loop {
                let flushed = self.poll_flush(cx)?;
                if flushed.is_ready() || self.endpoint.is_eof || !self.discards() {
                    return flushed.map(Ok);
                }
                ready!(self.endpoint.poll_discard(cx))?;
            }
        })
    }

    /// Returns whether further input must be read and dropped, because the connection ends with the current response,
    /// and the body of the request has no reader. Without these reads, a peer that sends its whole request before it
    /// reads the response could not continue. After a switch to another protocol, further input belongs to that
    /// protocol and is not dropped.
    fn discards(&self) -> bool {
        !self.machine.is_persistent()
            && !self.machine.has_switched()
            && matches!(self.machine.awaits(), Awaits::Body | Awaits::Nothing)
            && self.body.as_ref().is_none_or(Supplier::is_abandoned)
    }

    /// Returns the body of a request whose head has just been read. If the body is not in memory as a whole, the driver supplies
    /// its parts through a channel.
    pub(super) fn incoming(&mut self, head: &RequestHead) -> Incoming {
        let max_chunk = self.machine.limits().max_chunk;
        let whole = if self.machine.is_receiving() { self.machine.take_rest() } else { Some(Bytes::new()) };
        if let Some(whole) = whole {
            return Incoming::whole(whole, head, max_chunk);
        }
        let (supplier, receiver) = channel();
        self.body = Some(supplier);
        Incoming::of_channel(receiver, head, max_chunk)
    }

    /// Polls a future of the app until it is done, drops it, and calls `done` with its output. While the future is pending,
    /// reads input and writes pending bytes. The output is not returned, because moving a response through several layers would
    /// cost time.
    pub(super) fn run<F: Future, R>(
        &mut self,
        mut future: Pin<&mut Option<F>>,
        done: impl Fn(&mut Self, F::Output) -> Result<R, CloseReason>,
    ) -> impl Future<Output = Result<R, CloseReason>> {
        poll_fn(move |cx| {
            while let Some(running) = future.as_mut().as_pin_mut() {
                // The reader of the request's body may be another task, which waits for a part.
                self.supply(cx);
                if let Poll::Ready(output) = running.poll(cx) {
                    future.set(None);
                    return Poll::Ready(done(self, output));
                }
                if !self.supply(cx) {
                    ready!(self.poll_both(cx))?;
                }
            }
            Poll::Pending
        })
    }

    /// Gives the app's response to the machine, unless the response is [special](Next::Special). If `is_last` is true, the
    /// connection ends with this response, and the rest of the request is not read.
    pub(super) fn answer(
        &mut self,
        head: &RequestHead,
        response: Response,
        is_last: bool,
    ) -> Result<Next, CloseReason> {
        if response.is_special() {
            return Ok(Next::Special(Box::new(response)));
        }
        let Self { machine, endpoint, body: request_body, .. } = self;
        let worker = &endpoint.place.worker;
        let Response { status, reason, headers, body, .. } = response;
        let is_head = head.method() == Method::Head;
        let (content, source) = body.split();
        // A source that is not sent is dropped here, because the source may contain the body of the request. The code
        // below checks whether that body still has a reader.
        let source = source.filter(|_| !is_head && !matches!(content, Content::Length(0)));
        let is_unframed = source.is_some() && matches!(content, Content::Chunked) && head.is_http10();
        let length = if let Content::Bytes(bytes) = &content { bytes.len() } else { 0 };
        // The check for a shutdown is as late as possible, because a shutdown may have begun while the app worked.
        if is_last || worker.is_stopping() || endpoint.stream.is_worn() {
            machine.stop();
        }
        match request_body {
            // After a fault in the body the connection cannot continue, even if the app has handled the fault.
            Some(body) if !is_last && body.fault().is_some() => machine.abandon_request_body(0),
            // The body still has a reader. The client may be waiting for `100 Continue` before it sends the body.
            Some(body) if !is_last && !body.is_abandoned() => machine.send_continue(),
            _ => machine.abandon_request_body(DRAIN as u64),
        }
        let date = worker.date();
        machine.respond(status, reason, &headers, content, date.as_deref()).map_err(CloseReason::Response)?;
        drop(date);
        endpoint.deadline.handler = None;
        endpoint.is_unframed = is_unframed;
        if let Some(report) = &mut endpoint.report {
            report.respond(status);
            report.add(if is_head { 0 } else { length as u64 });
        }
        Ok(source.map_or(Next::Request, Next::Send))
    }

    /// Writes the pending bytes, and then ends the exchange.
    pub(super) async fn end_exchange(&mut self) -> Moved {
        self.body = None;
        self.flush().await?;
        self.endpoint.end_exchange();
        Ok(())
    }

    /// Takes the body of a response from its source, part by part, and gives the parts to the machine. While the machine is
    /// full or the source is pending, writes pending bytes. Returns when the machine has the whole body. The last bytes may
    /// still have to be written.
    pub(super) fn send(&mut self, mut source: Pin<Box<dyn Source>>) -> impl Future<Output = Moved> {
        poll_fn(move |cx| {
            loop {
                let mut must_yield = false;
                while self.wants_output() {
                    // If the source never waits and the peer reads fast, this loop must not block the other connections.
                    let Poll::Ready(turn) = poll_proceed(cx) else {
                        must_yield = true;
                        break;
                    };
                    self.supply(cx);
                    match source.as_mut().poll_part(cx) {
                        Poll::Ready(part) => {
                            let part = part.transpose().map_err(CloseReason::Body)?;
                            let length = match &part {
                                Some(Part::Data(data) | Part::Chunk { data, .. }) => data.len(),
                                _ => 0,
                            };
                            let sent = match part {
                                Some(part) => self.machine.send_part(part),
                                None => self.machine.finish_body(),
                            };
                            sent.map_err(CloseReason::Response)?;
                            if let Some(report) = &mut self.endpoint.report {
                                report.add(length as u64);
                            }
                        }
                        Poll::Pending if self.supply(cx) => {}
                        Poll::Pending => break,
                    }
                    turn.made_progress();
                }
                if !self.machine.is_sending() {
                    return Poll::Ready(Ok(()));
                }
                // The body's reader gets a part here, once before each wait. A source that reads the request's body therefore
                // gets at most one part while there is no room to write.
                self.supply(cx);
                ready!(self.poll_both(cx))?;
                if must_yield {
                    return Poll::Pending;
                }
            }
        })
    }

    /// Gives the reader of the request's body the next part or a fault. Returns `false` if the reader does not wait for a part,
    /// or if the part was not received yet.
    fn supply(&mut self, cx: &Context<'_>) -> bool {
        let Some(body) = self.body.as_ref().filter(|body| body.is_wanted(cx)) else { return false };
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

    /// Reads and drops the rest of the request's body, and then sends the response that switches to another protocol.
    pub(super) async fn switch(&mut self, head: &RequestHead, protocol: &str, headers: &Headers) -> Moved {
        self.body = None;
        if self.machine.is_receiving() && !self.drain().await? {
            return Err(CloseReason::Peer(Fault::BodyTooLarge.into()));
        }
        self.machine.switch(head, protocol, headers).map_err(CloseReason::Response)?;
        self.endpoint.deadline.restart();
        self.flush().await?;
        if let Some(report) = &mut self.endpoint.report {
            report.respond(101);
        }
        Ok(())
    }

    /// Reads and drops the rest of the request's body, up to [`DRAIN`] bytes. Returns whether the whole rest was read.
    pub(super) async fn drain(&mut self) -> Result<bool, CloseReason> {
        let mut left = DRAIN;
        loop {
            match self.machine.poll_part().map_err(CloseReason::Peer)? {
                Poll::Ready(None) => return Ok(true),
                Poll::Ready(Some(Part::Data(data) | Part::Chunk { data, .. })) => {
                    let Some(rest) = left.checked_sub(data.len()) else { return Ok(false) };
                    left = rest;
                }
                Poll::Ready(Some(Part::Last { .. })) => {}
                Poll::Pending => {
                    poll_fn(|cx| {
                        self.endpoint.check_alarm()?;
                        ready!(self.poll_flush(cx))?;
                        self.endpoint.set_wait(Wait::Body);
                        self.poll_read(cx)
                    })
                    .await?;
                }
            }
        }
    }

    /// Moves bytes in both directions while the handler or the response's source waits. Returns `Ready` if input was read, or if
    /// writing has made room for more of the response in the full machine.
    fn poll_both(&mut self, cx: &mut Context<'_>) -> Poll<Moved> {
        self.endpoint.check_alarm()?;
        let had_room = self.machine.has_room();
        let is_flushed = self.poll_flush(cx)?.is_ready();
        let is_wanted = self.body.as_ref().is_some_and(|body| body.is_wanted(cx));
        let input = self.input(is_wanted);
        let has_read = match input {
            Input::Read => self.poll_read(cx)?.is_ready(),
            Input::Discard => self.endpoint.poll_discard(cx)?.is_ready(),
            Input::Leave => {
                self.endpoint.check_peer()?;
                false
            }
        };
        let Endpoint { deadline, place, .. } = &mut *self.endpoint;
        deadline.is_not_read = input == Input::Leave;
        if let Some(body) = self.body.as_ref().filter(|_| is_wanted) {
            deadline.set_rate(body.progress(), place.worker.seconds());
        }
        self.endpoint.set_wait(match is_flushed {
            false => Wait::Write,
            true if is_wanted => Wait::Body,
            true => Wait::Handler,
        });
        if has_read || !had_room && self.wants_output() { Poll::Ready(Ok(())) } else { Poll::Pending }
    }

    /// Returns the action on the peer's input. `is_wanted` is true if the reader of the request's body waits for a part.
    fn input(&self, is_wanted: bool) -> Input {
        if self.endpoint.is_eof {
            return Input::Leave;
        }
        if self.machine.has_responded() && self.discards() {
            return Input::Discard;
        }
        if is_wanted || self.machine.buffered().len() < READ_AHEAD { Input::Read } else { Input::Leave }
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Moved> {
        while !self.machine.is_flushed() {
            let Self { machine, endpoint: Endpoint { stream, .. }, .. } = self;
            let written = match machine.pending().write_with(|pieces| stream.poll_write(cx, pieces)) {
                Poll::Ready(written) => written?,
                Poll::Pending => {
                    self.endpoint.set_wait(Wait::Write);
                    return Poll::Pending;
                }
            };
            self.machine.transmitted(written);
            add(&self.endpoint.place.worker.counters().sent, written as u64);
            self.endpoint.moved(written);
        }
        Poll::Ready(Ok(()))
    }

    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Result<usize, CloseReason>> {
        let mut scratch = self.endpoint.place.worker.scratch();
        let read = ready!(self.endpoint.stream.poll_read(cx, &mut scratch, self.machine.receive_buffer()))?;
        drop(scratch);
        self.received(read);
        Poll::Ready(Ok(read))
    }

    /// Records that bytes were read. 0 bytes are the end of the input.
    fn received(&mut self, read: usize) {
        if read == 0 {
            self.machine.receive_eof();
        }
        self.endpoint.received(read);
        self.endpoint.moved(read);
    }
}
