//! The blocking driver: the machine and its stream, and what may be waited for now.

use std::{
    io,
    sync::Arc,
    task::Poll,
    time::{Duration, Instant},
};

use bytes::Bytes;
use degu_wire::machine::ResponseHead;
use degu_wire::{Address, Headers, Method, Part, Poller, Polling};
use nix::poll::PollFlags;
use nix::sys::socket::MsgFlags;

use super::Body;
use super::body::Parts;
use super::stream::{Ready, Scratch, Stream};
use crate::exchange::{Exchange, Wait};
use crate::options::Base;
use crate::{Cause, Deadline, Error, Peer};

/// What an exchange works with: the stream and the machine.
#[derive(Debug)]
pub(super) struct Link {
    stream: Stream,
    scratch: Scratch,
    exchange: Exchange,
    /// What is waited for, and until when.
    wait: Option<(Wait, Option<Instant>)>,
    /// The request goes out in one write, as far as is known.
    at_once: bool,
    /// Whether waiting for a response begins with looking for it.
    poller: Poller,
    /// The socket's own bound for a read that blocks: the shortest of the deadlines.
    bound: Option<Duration>,
}

impl Link {
    pub(super) fn new(stream: Stream, base: Arc<Base>) -> Self {
        // Zero would mean for ever.
        let bound = [base.settings.head, base.settings.body_idle].into_iter().flatten().min();
        let bound = bound.map(|bound| bound.max(Duration::from_millis(1)));
        let poller = Poller::new(base.settings.polling);
        let exchange = Exchange::new(base);
        Self { stream, scratch: Scratch::default(), exchange, wait: None, at_once: true, poller, bound }
    }

    /// Sets what the socket needs to know, and asks `on_connect`.
    pub(super) fn admit(&self, address: &Address) -> Result<(), Cause> {
        self.stream.set_read_timeout(self.bound)?;
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

    pub(super) fn begin(
        &mut self,
        method: Method<'_>,
        uri: &str,
        headers: &Headers,
        body: Body,
    ) -> Result<Option<Box<Parts>>, Error> {
        self.settle();
        let (content, parts) = body.split();
        let looked = match self.exchange.wants_look(|| true) {
            true => self.exchange.looked(self.stream.look()),
            false => Ok(()),
        };
        looked.and_then(|()| self.exchange.begin(method, uri, headers, content)).inspect_err(|_| self.close())?;
        self.at_once = parts.is_none();
        Ok(parts)
    }

    pub(super) fn wait_for_head(&mut self, parts: &mut Option<Box<Parts>>) -> Result<ResponseHead, Error> {
        let head = self.step(parts, Exchange::poll_head).inspect_err(|_| self.close())?;
        if self.exchange.is_over() {
            self.end();
        }
        Ok(head)
    }

    /// The next part of the response's body. `None` comes when the exchange is over on both sides.
    pub(super) fn next_part(&mut self, parts: &mut Option<Box<Parts>>) -> Result<Option<Part>, Error> {
        if self.has_failed() {
            return Err(self.exchange.error(Cause::Closed));
        }
        let part = self.step(parts, Exchange::poll_part).and_then(|part| {
            if part.is_none() {
                // The server has answered in full, and still reads: what it is sent must not be cut.
                self.send_rest(parts)?;
                self.end();
            }
            Ok(part)
        });
        part.inspect_err(|_| self.close())
    }

    /// Sends what can be sent and reads what has come, until `step` has something to give.
    fn step<T>(
        &mut self,
        parts: &mut Option<Box<Parts>>,
        step: impl Fn(&mut Exchange) -> Result<Poll<T>, Error>,
    ) -> Result<T, Error> {
        loop {
            if !self.exchange.is_sent() {
                self.send(parts)?;
            }
            if let Poll::Ready(given) = self.exchange.poll(&step)? {
                self.wait = None;
                return Ok(given);
            }
            self.receive()?;
        }
    }

    /// Sends the rest of the request, whatever comes meanwhile.
    fn send_rest(&mut self, parts: &mut Option<Box<Parts>>) -> Result<(), Error> {
        loop {
            self.send(parts)?;
            if self.exchange.machine.is_flushed() && !self.exchange.machine.is_sending() {
                return Ok(());
            }
            let left = self.left(Wait::Send);
            let ready = self.stream.wait(PollFlags::POLLOUT, left).map_err(|error| self.exchange.error(error))?;
            if ready == Ready::TimedOut {
                self.exchange.overdue(Wait::Send)?;
            }
        }
    }

    /// Sends what can be sent now. A write that fails is no error here: the server may have answered before it closed.
    fn send(&mut self, parts: &mut Option<Box<Parts>>) -> Result<(), Error> {
        let mut written = false;
        loop {
            // A source may block: what it gave before, and the head, are sent first.
            while self.exchange.machine.is_flushed() && self.exchange.takes_parts()? {
                let Some(source) = parts else { break };
                // So is what a stream of the caller's holds back.
                if self.stream.flush().is_err() {
                    self.exchange.stop_sending();
                    *parts = None;
                    return Ok(());
                }
                let part = source.next().transpose().map_err(|error| self.exchange.error(error))?;
                self.exchange.send_part(part)?;
            }
            if !self.exchange.machine.is_sending() {
                *parts = None;
            }
            let flushed = self.exchange.machine.is_flushed();
            // A large body gives way to what the server says meanwhile.
            if !flushed && written && !self.is_still_writable() {
                return Ok(());
            }
            if !flushed && !self.stream.is_bare() {
                self.exchange.transmitting_records();
            }
            let sent = match flushed {
                true => self.stream.flush().map(|()| 0),
                false => self.exchange.machine.pending().write_with(|pieces| self.stream.write(pieces)),
            };
            match sent {
                Ok(_) if flushed => return Ok(()),
                Ok(octets) => {
                    self.exchange.transmitted(octets);
                    self.wait.take_if(|(wait, _)| *wait == Wait::Send);
                    written = true;
                    // There is nothing to flush behind it.
                    if self.exchange.is_sent() && self.stream.socket().is_some() {
                        return Ok(());
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock && self.stream.socket().is_some() => {
                    return Ok(());
                }
                Err(_) => {
                    self.exchange.stop_sending();
                    *parts = None;
                    return Ok(());
                }
            }
        }
    }

    /// Whether more can be written at once, and nothing has come that should be read first.
    fn is_still_writable(&self) -> bool {
        match self.stream.socket() {
            Some(_) => {
                matches!(
                    self.stream.wait(PollFlags::POLLIN | PollFlags::POLLOUT, Some(Duration::ZERO)),
                    Ok(Ready::Write)
                )
            }
            None => true,
        }
    }

    /// Waits for the server and reads what it sends; or returns when more can be sent.
    fn receive(&mut self) -> Result<(), Error> {
        // A source blocks by itself, so that nothing but the socket is ever waited for.
        let wait = self.exchange.waits_for().unwrap_or(Wait::Send);
        let begins = self.await_from_now(wait);
        if begins && wait == Wait::Head && self.look()? {
            return Ok(());
        }
        // Of a window that somebody chose a good part of the time may be gone.
        let begins = begins && !matches!(self.exchange.base.settings.polling, Polling::Fixed(_));
        // A first read under a deadline is bounded by the socket itself, which costs no call.
        if self.stream.socket().is_none() {
            // Such a stream knows no time: what needs one is given up.
            if wait == Wait::Continue {
                return self.exchange.overdue(wait);
            }
        } else if !(begins && matches!(wait, Wait::Head | Wait::Body) || self.stream.has_input()) {
            let interest = if wait == Wait::Send { PollFlags::POLLIN | PollFlags::POLLOUT } else { PollFlags::POLLIN };
            let left = self.left(wait);
            match self.stream.wait(interest, left).map_err(|error| self.exchange.error(error))? {
                Ready::Read => {}
                Ready::Write => return Ok(()),
                Ready::TimedOut => return self.exchange.overdue(wait),
            }
        }
        match self.stream.read(&mut self.scratch, self.exchange.machine.receive_buffer(), MsgFlags::empty()) {
            Ok(octets) => {
                if wait == Wait::Head && self.poller.is_comparing() {
                    self.exchange.found.get_or_insert_with(Instant::now);
                }
                self.exchange.received(octets, self.scratch.was_filled());
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock || error.kind() == io::ErrorKind::TimedOut => {
                if self.stream.socket().is_none() {
                    return Err(self.exchange.error(Deadline::Stream));
                }
                // The socket's bound is the shortest deadline: this one may be further away, or none.
                if self.exchange.limit(wait).is_some_and(|limit| self.bound.is_some_and(|bound| bound >= limit)) {
                    return self.exchange.overdue(wait);
                }
            }
            // A signal; or some has come of what can be read only whole.
            Err(error) if error.kind() == io::ErrorKind::Interrupted && self.stream.socket().is_some() => {}
            Err(error) => self.exchange.read_failed(error)?,
        }
        Ok(())
    }

    /// Looks for the head of a response as long as that is worth it: whether there was something.
    fn look(&mut self) -> Result<bool, Error> {
        if self.stream.socket().is_none() || !self.poller.begin() {
            return Ok(false);
        }
        let Self { stream, scratch, exchange, poller, wait, .. } = self;
        let limit = wait.and_then(|(_, deadline)| Some(deadline?.saturating_duration_since(exchange.began)));
        let began = exchange.began;
        let mut now = Duration::ZERO;
        let clock = |now: &mut Duration| {
            *now = began.elapsed();
            *now
        };
        while poller.go_on(|| clock(&mut now)) && limit.is_none_or(|limit| now < limit) {
            if poller.yields() {
                std::thread::yield_now();
            }
            match stream.read(scratch, exchange.machine.receive_buffer(), MsgFlags::MSG_DONTWAIT) {
                Ok(octets) => {
                    let now = Instant::now();
                    poller.found(|| now - exchange.began);
                    exchange.found = Some(now);
                    exchange.received(octets, scratch.was_filled());
                    return Ok(true);
                }
                Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
                Err(error) => return exchange.read_failed(error).map(|()| true),
            }
        }
        Ok(false)
    }

    /// How much is left of a wait, which begins if it is another one than before.
    fn left(&mut self, wait: Wait) -> Option<Duration> {
        self.await_from_now(wait);
        let (_, deadline) = self.wait?;
        deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()))
    }

    /// Begins a wait if it is another one than before, and says so.
    fn await_from_now(&mut self, wait: Wait) -> bool {
        let begins = self.wait.is_none_or(|(known, _)| known != wait);
        if begins {
            self.at_once &= matches!(wait, Wait::Head | Wait::Body);
            self.wait = Some((wait, self.exchange.limit(wait).and_then(|limit| self.now(wait).checked_add(limit))));
        }
        begins
    }

    /// The time: for the response to a request that went out at once, that of its beginning, which is known already.
    fn now(&self, wait: Wait) -> Instant {
        if wait == Wait::Head && self.at_once { self.exchange.began } else { Instant::now() }
    }

    /// The rest of the response's body, if there is nothing to wait for: a short one comes with its head.
    pub(super) fn take_rest(&mut self) -> Option<Bytes> {
        let rest = self.exchange.take_rest()?;
        self.end();
        Some(rest)
    }

    /// The exchange is over.
    fn end(&mut self) {
        self.exchange.end();
        if self.poller.is_comparing() {
            self.poller.round(self.exchange.took());
        }
        if !self.exchange.is_reusable() {
            self.close();
        }
    }

    /// An exchange that was left where it is comes to its end, or the connection does.
    pub(super) fn settle(&mut self) {
        if self.exchange.is_open() {
            let whole = self.exchange.skip();
            if !whole || !self.exchange.is_reusable() {
                self.close();
            }
        }
    }

    pub(super) fn is_closed(&self) -> bool {
        matches!(self.stream, Stream::Closed)
    }

    /// Whether the exchange ended in an error, after which a body has no end.
    fn has_failed(&self) -> bool {
        self.is_closed() && self.exchange.is_open()
    }

    pub(super) fn close(&mut self) {
        self.exchange.machine.close();
        self.stream = Stream::Closed;
    }

    pub(super) fn exchange(&self) -> &Exchange {
        &self.exchange
    }

    /// An error of the caller or the server that shows in what was read.
    pub(super) fn fail(&mut self, cause: impl Into<Cause>) -> Error {
        self.close();
        self.exchange.error(cause)
    }

    /// The fields of a request. Where they can not be sent the connection is closed, as after any error.
    pub(super) fn headers(&mut self, headers: impl TryInto<Headers, Error: Into<Error>>) -> Result<Headers, Error> {
        headers.try_into().map_err(Into::into).inspect_err(|_| self.close())
    }
}
