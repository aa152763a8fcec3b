//! The async driver: the machine and its stream, and what may be waited for now.

use std::{
    io,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, ready},
    time::Instant,
};

use bytes::Bytes;
use degu_wire::machine::ResponseHead;
use degu_wire::{Address, BodyOf, Headers, Method, Part, Source, Spinner, Step};
use tokio::task::yield_now;

use crate::exchange::{Exchange, Wait};
use crate::options::Base;
use crate::stream::Stream;
use crate::timer::Timer;
use crate::{Cause, Error, Peer};

/// A response that is larger is not found by looking in one read.
const SCRATCH: usize = 8 * 1024;
/// A body gives way to what the server says meanwhile, and to other tasks, after so many octets.
const TURN: usize = 1024 * 1024;

/// What an exchange works with: the stream and the machine.
#[derive(Debug)]
pub(crate) struct Link {
    stream: Stream,
    exchange: Exchange,
    timer: Timer,
    spinner: Spinner,
    /// What is read by looking goes through here: messages that are worth it are small.
    scratch: Box<[u8]>,
    /// Whether the response is still looked for, once that is known.
    looks: Option<bool>,
    /// The stream was found to have nothing, and is waited for.
    waits: bool,
    /// The end of the response's body has come, and the rest of the request goes out.
    answered: bool,
}

/// Where the parts of a request's body come from, if they do.
pub(crate) type SourceOf<S> = Option<Pin<Box<S>>>;

impl Link {
    pub(crate) fn new(stream: Stream, base: Arc<Base>) -> Self {
        let spinner = Spinner::new(base.settings.spin);
        Self {
            stream,
            exchange: Exchange::new(base),
            timer: Timer::default(),
            spinner,
            scratch: Box::default(),
            looks: Some(false),
            waits: false,
            answered: false,
        }
    }

    /// Asks `on_connect`.
    pub(crate) fn admit(&self, address: &Address) -> Result<(), Cause> {
        match (&self.exchange.base.settings.on_connect, self.stream.socket()) {
            (Some(check), Some(socket)) => {
                let peer = Peer::new(address, socket);
                #[cfg(feature = "tls")]
                let peer = peer.with_identity(self.stream.peer());
                if check(&peer) { Ok(()) } else { Err(Cause::Refused) }
            }
            _ => Ok(()),
        }
    }

    #[cfg(feature = "hyper-util")]
    pub(crate) fn into_stream(self) -> Stream {
        self.stream
    }

    /// Writes a request into the machine, and gives the source of its body.
    pub(crate) fn begin<S: ?Sized>(
        &mut self,
        method: Method<'_>,
        uri: &str,
        headers: &Headers,
        body: BodyOf<S>,
    ) -> Result<SourceOf<S>, Error> {
        self.settle();
        (self.looks, self.answered) = (None, false);
        let (content, source) = body.split();
        let looked = match self.exchange.wants_look(|| self.stream.has_heard()) {
            true => self.exchange.looked(self.stream.look()),
            false => Ok(()),
        };
        looked.and_then(|()| self.exchange.begin(method, uri, headers, content)).inspect_err(|_| self.close())?;
        Ok(source)
    }

    /// There is to be a look before the next request, however soon it follows.
    pub(crate) fn doubt(&mut self) {
        self.exchange.quiet.doubt();
    }

    pub(crate) fn poll_head<S: Source + ?Sized>(
        &mut self,
        cx: &mut Context<'_>,
        source: &mut SourceOf<S>,
    ) -> Poll<Result<ResponseHead, Error>> {
        let head = self.poll_exchange(cx, source, Exchange::poll_head);
        if head.is_ready() && self.exchange.is_over() {
            self.end();
        }
        self.close_if_failed(head)
    }

    /// The next part of the response's body. `None` comes when the exchange is over on both sides.
    pub(crate) fn poll_part<S: Source + ?Sized>(
        &mut self,
        cx: &mut Context<'_>,
        source: &mut SourceOf<S>,
    ) -> Poll<Result<Option<Part>, Error>> {
        if self.has_failed() {
            return Poll::Ready(Err(self.exchange.error(Cause::Closed)));
        }
        // To ask for the end again would count as progress of a request that nobody takes.
        let mut part = match self.answered {
            true => Poll::Ready(Ok(None)),
            false => self.poll_exchange(cx, source, Exchange::poll_part),
        };
        if let Poll::Ready(Ok(None)) = part {
            self.answered = true;
            // The server has answered in full, and still reads: what it is sent must not be cut.
            match self.poll_rest(cx, source) {
                Poll::Ready(Ok(())) => self.end(),
                Poll::Ready(Err(error)) => part = Poll::Ready(Err(error)),
                Poll::Pending => return Poll::Pending,
            }
        }
        self.close_if_failed(part)
    }

    fn close_if_failed<T>(&mut self, result: Poll<Result<T, Error>>) -> Poll<Result<T, Error>> {
        if let Poll::Ready(Err(_)) = result {
            self.close();
        }
        result
    }

    /// Sends what can be sent and reads what has come, until `step` has something to give.
    fn poll_exchange<S: Source + ?Sized, T>(
        &mut self,
        cx: &mut Context<'_>,
        source: &mut SourceOf<S>,
        step: impl Fn(&mut Exchange) -> Result<Poll<T>, Error>,
    ) -> Poll<Result<T, Error>> {
        loop {
            // A stream of the caller's may still hold back what it took.
            if !self.exchange.is_sent() || !self.stream.is_socket() {
                let _ = self.poll_send(cx, source)?;
            }
            let asked = self.exchange.machine.may_send_body();
            if let Poll::Ready(given) = self.exchange.poll(&step)? {
                self.timer.stop();
                return Poll::Ready(Ok(given));
            }
            if !asked && self.exchange.machine.may_send_body() {
                // The server has just said that it wants the body.
                continue;
            }
            let found = if self.is_looking() { ready!(self.poll_look(cx))? } else { None };
            let mut room = SCRATCH;
            let read = match found {
                Some(read) => Poll::Ready(read),
                // Nearly always all that came was read, and all there is to do is to wait, which costs less than a read.
                None if !self.waits && self.stream.poll_readable(cx).is_pending() => Poll::Pending,
                None => {
                    let buffer = self.exchange.machine.receive_buffer();
                    room = buffer.capacity() - buffer.len();
                    self.stream.poll_read(cx, buffer)
                }
            };
            self.waits = read.is_pending();
            match read {
                Poll::Ready(Ok(octets)) => {
                    self.exchange.received(octets, octets >= room || !self.stream.is_bare());
                }
                Poll::Ready(Err(error)) => self.exchange.read_failed(error)?,
                Poll::Pending => {
                    // The runtime goes on with others.
                    self.spinner.end_turn();
                    ready!(self.poll_overdue(cx))?;
                }
            }
        }
    }

    /// Whether the head of a response is looked for before it is waited for: decided once for each.
    fn is_looking(&mut self) -> bool {
        if self.looks.is_none() && self.exchange.waits_for() == Some(Wait::Head) {
            self.looks = Some(self.stream.is_socket() && self.spinner.begin());
        }
        self.looks == Some(true)
    }

    /// Looks for the head of a response as long as that is worth it: what a read gave, or `None` where it is not. Pending
    /// means that it looks on after others have had their turn.
    fn poll_look(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<io::Result<usize>>, Error>> {
        if self.scratch.is_empty() {
            self.scratch = vec![0; SCRATCH].into();
        }
        loop {
            match self.spinner.step(|| self.exchange.began.elapsed()) {
                Step::Block => break,
                Step::Read => {}
                Step::Yield => std::thread::yield_now(),
                Step::GiveWay => {
                    // A spin may last longer than the timeout.
                    if let Poll::Ready(overdue) = self.poll_overdue(cx) {
                        return Poll::Ready(overdue.map(|()| None));
                    }
                    // Polled once, it asks the runtime to come back after the other tasks.
                    let _ = pin!(yield_now()).poll(cx);
                    return Poll::Pending;
                }
            }
            let read = self.stream.try_read(&mut self.scratch, self.exchange.machine.receive_buffer());
            if let Some(read) = read.transpose() {
                self.looks = Some(false);
                let now = Instant::now();
                self.spinner.found(|| now - self.exchange.began);
                self.spinner.message();
                self.exchange.found = Some(now);
                // The runtime knows nothing of it, nor of what comes behind it.
                self.exchange.quiet.suspect();
                return Poll::Ready(Ok(Some(read)));
            }
        }
        self.looks = Some(false);
        Poll::Ready(Ok(None))
    }

    /// Sends the rest of the request.
    fn poll_rest<S: Source + ?Sized>(
        &mut self,
        cx: &mut Context<'_>,
        source: &mut SourceOf<S>,
    ) -> Poll<Result<(), Error>> {
        while self.poll_send(cx, source)?.is_pending() {
            ready!(self.poll_overdue(cx))?;
        }
        Poll::Ready(Ok(()))
    }

    /// Sends what can be sent now; ready when nothing is left. A write that fails is no error here: the server may have
    /// answered before it closed.
    fn poll_send<S: Source + ?Sized>(
        &mut self,
        cx: &mut Context<'_>,
        source: &mut SourceOf<S>,
    ) -> Poll<Result<(), Error>> {
        let mut left = TURN;
        loop {
            self.take_parts(cx, source)?;
            let flushed = self.exchange.machine.is_flushed();
            if !flushed && !self.stream.is_bare() {
                self.exchange.transmitting_records();
            }
            let written = match flushed {
                true => self.stream.poll_flush(cx).map_ok(|()| 0),
                false => self.exchange.machine.pending().write_with(|pieces| self.stream.poll_write(cx, pieces)),
            };
            match ready!(written) {
                Ok(_) if flushed && self.exchange.machine.is_sending() => return Poll::Pending,
                Ok(_) if flushed => return Poll::Ready(Ok(())),
                Ok(octets) => {
                    self.exchange.transmitted(octets);
                    self.timer.sent();
                    // There is nothing to flush behind it.
                    if self.exchange.is_sent() && self.stream.is_socket() {
                        return Poll::Ready(Ok(()));
                    }
                    left = left.saturating_sub(octets);
                    if left == 0 {
                        cx.waker().wake_by_ref();
                        return Poll::Pending;
                    }
                }
                Err(_) => {
                    self.exchange.stop_sending();
                    *source = None;
                    return Poll::Ready(Ok(()));
                }
            }
        }
    }

    /// Takes as many parts from the source as there is room for.
    fn take_parts<S: Source + ?Sized>(&mut self, cx: &mut Context<'_>, source: &mut SourceOf<S>) -> Result<(), Error> {
        while self.exchange.takes_parts()? {
            let Some(parts) = source else { break };
            match parts.as_mut().poll_part(cx) {
                Poll::Ready(Some(Ok(part))) => self.exchange.send_part(Some(part))?,
                Poll::Ready(Some(Err(error))) => return Err(self.exchange.error(error)),
                Poll::Ready(None) => self.exchange.send_part(None)?,
                Poll::Pending => break,
            }
        }
        if !self.exchange.machine.is_sending() {
            *source = None;
        }
        Ok(())
    }

    /// Ready when what is waited for has taken too long: with an error, or with another thing to try.
    fn poll_overdue(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        let Some(wait) = self.exchange.waits_for() else {
            self.timer.stop();
            return Poll::Pending;
        };
        let Some(limit) = self.exchange.limit(wait) else { return Poll::Pending };
        // A socket of tokio belongs to the runtime that it was made in.
        let moves = !self.stream.is_socket();
        self.timer.poll(cx, wait, limit, moves).map(|()| self.exchange.overdue(wait))
    }

    /// The rest of the response's body, if there is nothing to wait for: a short one comes with its head.
    pub(crate) fn take_rest(&mut self) -> Option<Bytes> {
        let rest = self.exchange.take_rest()?;
        self.end();
        Some(rest)
    }

    /// The exchange is over.
    fn end(&mut self) {
        self.exchange.end();
        if !self.exchange.is_reusable() {
            self.close();
        }
    }

    /// An exchange that was left where it is comes to its end, or the connection does.
    pub(crate) fn settle(&mut self) {
        if self.exchange.is_open() {
            let whole = self.exchange.skip();
            if !whole || !self.exchange.is_reusable() {
                self.close();
            }
        }
    }

    pub(crate) fn is_closed(&self) -> bool {
        matches!(self.stream, Stream::Closed)
    }

    /// Whether the exchange ended in an error, after which a body has no end.
    fn has_failed(&self) -> bool {
        self.is_closed() && self.exchange.is_open()
    }

    pub(crate) fn close(&mut self) {
        self.exchange.machine.close();
        self.stream = Stream::Closed;
    }

    pub(crate) fn exchange(&self) -> &Exchange {
        &self.exchange
    }

    /// An error of the caller or the server that shows in what was read.
    pub(crate) fn fail(&mut self, cause: impl Into<Cause>) -> Error {
        self.close();
        self.exchange.error(cause)
    }

    /// The fields of a request. Where they can not be sent the connection is closed, as after any error.
    pub(crate) fn headers(&mut self, headers: impl TryInto<Headers, Error: Into<Error>>) -> Result<Headers, Error> {
        headers.try_into().map_err(Into::into).inspect_err(|_| self.close())
    }
}
