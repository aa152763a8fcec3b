//! The blocking connection: one exchange at a time.

use std::{
    fmt,
    io::{self, Read, Write},
    sync::{Arc, Mutex, PoisonError},
    task::Poll,
    time::{Duration, Instant},
};

use degu_wire::machine::ResponseHead;
use degu_wire::{Address, Headers, Method, Part};
use rustix::event::PollFlags;

use super::body::Parts;
use super::stream::{Ready, Scratch, Stream};
use super::{Body, Client, Incoming, Response};
use crate::exchange::{Exchange, Wait, is_part_of};
use crate::options::Base;
use crate::stream::{Silence, peek};
use crate::{ByteRange, Cause, Deadline, Error, Fault, Peer};

/// A connection to a server: made by [`Client::connect`], or over any stream by [`new`](Self::new).
///
/// It carries one exchange at a time, and a [`Response`] borrows it as long as it is used. A response whose body has not
/// been read to its end when the connection is used again, or looked at, is given up: if all of it has come already the
/// connection stays open, and otherwise it is closed there and then.
pub struct Connection {
    // Only the question whether it is closed locks it: everything else has it for itself.
    link: Mutex<Link>,
    address: Address,
}

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
    /// The socket's own bound for a read that blocks: the shortest of the deadlines.
    bound: Option<Duration>,
}

impl Connection {
    /// A connection over any stream, with the options of `base`, and its Host field, address and nothing else of it: the
    /// stream is connected already.
    ///
    /// Nothing is known of the stream but how to read and write, so that the request is sent in full before the response
    /// is read, and deadlines are those of the stream itself. A server that answers before it has read a large request
    /// may then wait for us while we wait for it: such an exchange wants a socket.
    pub fn new(io: impl Read + Write + Send + 'static, base: &Client) -> Self {
        Self::over(Stream::Other(Box::new(io)), Arc::clone(&base.0), base.address().clone())
    }

    pub(super) fn over(stream: Stream, base: Arc<Base>, address: Address) -> Self {
        // Zero would mean for ever.
        let bound = [base.settings.head, base.settings.body_idle].into_iter().flatten().min();
        let bound = bound.map(|bound| bound.max(Duration::from_millis(1)));
        let exchange = Exchange::new(base);
        let link = Link { stream, scratch: Scratch::default(), exchange, wait: None, at_once: true, bound };
        Self { link: Mutex::new(link), address }
    }

    /// Sets what the socket needs to know, and asks `on_connect`.
    pub(super) fn admit(mut self) -> Result<Self, Cause> {
        let link = self.link.get_mut().unwrap_or_else(PoisonError::into_inner);
        link.stream.set_read_timeout(link.bound)?;
        if let (Some(check), Some(socket)) = (&link.exchange.base.settings.on_connect, link.stream.socket())
            && !check(&Peer::new(&self.address, socket))
        {
            return Err(Cause::Refused);
        }
        Ok(self)
    }

    /// The address that was connected to: of a DNS name, the one that answered.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Whether the connection is closed: after an error, after a body that was dropped unread, or because one side asked
    /// for it. That the server has closed an idle connection is noticed when the next request is about to be sent.
    pub fn is_closed(&self) -> bool {
        let mut link = self.link.lock().unwrap_or_else(PoisonError::into_inner);
        link.settle();
        link.is_closed()
    }

    /// Sends a request, and gives the response as soon as its head has come.
    ///
    /// `uri` is the target as it is sent: a path with an optional query, a whole URI, or `*`. `headers` are added to those
    /// of the options, and replace those of the same name; framing and Host are written here.
    ///
    /// With `expect: 100-continue` among the headers the body is sent when the server says so, or after a second.
    ///
    /// ```no_run
    /// use degu_client::{Method, blocking::Connection};
    ///
    /// # fn example(connection: &mut Connection) -> Result<(), degu_client::Error> {
    /// let response = connection.request(Method::Put, "/notes/1", [("content-type", "text/plain")], "a note")?;
    /// let found = connection.request("PROPFIND", "/notes/", [("depth", 1)], ())?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Whatever went wrong; the connection is closed then.
    pub fn request<'m>(
        &mut self,
        method: impl Into<Method<'m>>,
        uri: &str,
        headers: impl TryInto<Headers, Error: Into<Error>>,
        body: impl Into<Body>,
    ) -> Result<Response<'_>, Error> {
        let link = self.link.get_mut().unwrap_or_else(PoisonError::into_inner);
        let parts = link.begin(method.into(), uri, headers.try_into().map_err(Into::into), body.into())?;
        Incoming::new(link, parts).respond()
    }
}

/// The short forms of [`request`](Self::request), without headers of their own.
impl Connection {
    /// Asks for what is there (RFC 9110 §9.3.1).
    ///
    /// # Errors
    ///
    /// As [`request`](Self::request).
    pub fn get(&mut self, uri: &str) -> Result<Response<'_>, Error> {
        self.request(Method::Get, uri, (), ())
    }

    /// Asks for a part of what is there (RFC 9110 §14.2).
    ///
    /// The server may give the part (206, whose body is as long as its Content-Range says), all of it (200), or say that
    /// there is no such part (416): [`Response::content_range`] tells. A 206 is never given to a request that did not ask
    /// for one.
    ///
    /// # Errors
    ///
    /// As [`request`](Self::request), and [`Fault::ContentRange`](crate::Fault::ContentRange) for another part than was
    /// asked for.
    pub fn get_range(&mut self, uri: &str, range: impl Into<ByteRange>) -> Result<Response<'_>, Error> {
        let range = range.into();
        let mut response = self.request(Method::Get, uri, [("range", range)], ())?;
        if response.status == 206 && !is_part_of(range, response.content_range()) {
            return Err(response.body.fail(Fault::ContentRange));
        }
        Ok(response)
    }

    /// Asks for what [`get`](Self::get) would give, without the body (RFC 9110 §9.3.2).
    ///
    /// # Errors
    ///
    /// As [`request`](Self::request).
    pub fn head(&mut self, uri: &str) -> Result<Response<'_>, Error> {
        self.request(Method::Head, uri, (), ())
    }

    /// Puts something there (RFC 9110 §9.3.4).
    ///
    /// # Errors
    ///
    /// As [`request`](Self::request).
    pub fn put(&mut self, uri: &str, body: impl Into<Body>) -> Result<Response<'_>, Error> {
        self.request(Method::Put, uri, (), body)
    }

    /// Hands something over (RFC 9110 §9.3.3).
    ///
    /// # Errors
    ///
    /// As [`request`](Self::request).
    pub fn post(&mut self, uri: &str, body: impl Into<Body>) -> Result<Response<'_>, Error> {
        self.request(Method::Post, uri, (), body)
    }

    /// Removes what is there (RFC 9110 §9.3.5).
    ///
    /// # Errors
    ///
    /// As [`request`](Self::request).
    pub fn delete(&mut self, uri: &str) -> Result<Response<'_>, Error> {
        self.request(Method::Delete, uri, (), ())
    }

    /// Changes what is there (RFC 5789).
    ///
    /// # Errors
    ///
    /// As [`request`](Self::request).
    pub fn patch(&mut self, uri: &str, body: impl Into<Body>) -> Result<Response<'_>, Error> {
        self.request(Method::Patch, uri, (), body)
    }
}

impl Link {
    fn begin(
        &mut self,
        method: Method<'_>,
        uri: &str,
        headers: Result<Headers, Error>,
        body: Body,
    ) -> Result<Option<Parts>, Error> {
        self.settle();
        self.look();
        let (content, parts) = body.split();
        headers
            .and_then(|headers| self.exchange.begin(method, uri, &headers, content))
            .inspect_err(|_| self.close())?;
        self.at_once = parts.is_none();
        Ok(parts)
    }

    /// Whether the server has closed, or has sent what nobody asked for and would become the next answer.
    fn look(&mut self) {
        if let Some(socket) = self.stream.socket().filter(|_| self.exchange.is_worth_a_look()) {
            match peek(socket) {
                Silence::Kept => {}
                Silence::Ended => self.exchange.machine.receive_eof(),
                // One octet stands for all: there will be no exchange any more.
                Silence::Broken => self.exchange.machine.receive_buffer().extend_from_slice(b"?"),
            }
        }
    }

    pub(super) fn wait_for_head(&mut self, parts: &mut Option<Parts>) -> Result<(), Error> {
        self.step(parts, Exchange::poll_head).inspect_err(|_| self.close())?;
        if self.exchange.is_over() {
            self.end();
        }
        Ok(())
    }

    /// The head that has come.
    pub(super) fn take_head(&mut self) -> Result<ResponseHead, Error> {
        self.exchange.take_head()
    }

    /// The next part of the response's body. `None` comes when the exchange is over on both sides.
    pub(super) fn next_part(&mut self, parts: &mut Option<Parts>) -> Result<Option<Part>, Error> {
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
        parts: &mut Option<Parts>,
        step: impl Fn(&mut Exchange) -> Result<Poll<T>, Error>,
    ) -> Result<T, Error> {
        loop {
            self.send(parts)?;
            if let Poll::Ready(given) = step(&mut self.exchange)? {
                self.wait = None;
                return Ok(given);
            }
            self.receive()?;
        }
    }

    /// Sends the rest of the request, whatever comes meanwhile.
    fn send_rest(&mut self, parts: &mut Option<Parts>) -> Result<(), Error> {
        loop {
            self.send(parts)?;
            if self.exchange.machine.is_flushed() && !self.exchange.machine.is_sending() {
                return Ok(());
            }
            let left = self.left(Wait::Send);
            let ready = self.stream.wait(PollFlags::OUT, left).map_err(|error| self.exchange.error(error))?;
            if ready == Ready::TimedOut {
                self.exchange.overdue(Wait::Send)?;
            }
        }
    }

    /// Sends what can be sent now. A write that fails is no error here: the server may have answered before it closed.
    fn send(&mut self, parts: &mut Option<Parts>) -> Result<(), Error> {
        let mut written = false;
        loop {
            while self.exchange.takes_parts()? {
                let Some(source) = parts else { break };
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
            let sent = match flushed {
                true => self.stream.flush().map(|()| 0),
                false => self.stream.write(self.exchange.machine.pending()),
            };
            match sent {
                Ok(_) if flushed => return Ok(()),
                Ok(octets) => {
                    self.exchange.transmitted(octets);
                    self.wait.take_if(|(wait, _)| *wait == Wait::Send);
                    written = true;
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
                matches!(self.stream.wait(PollFlags::IN | PollFlags::OUT, Some(Duration::ZERO)), Ok(Ready::Write))
            }
            None => true,
        }
    }

    /// Waits for the server and reads what it sends; or returns when more can be sent.
    fn receive(&mut self) -> Result<(), Error> {
        // A source blocks by itself, so that nothing but the socket is ever waited for.
        let wait = self.exchange.waits_for().unwrap_or(Wait::Send);
        let begins = self.await_from_now(wait);
        // A first read under a deadline is bounded by the socket itself, which costs no call.
        if self.stream.socket().is_none() {
            // Such a stream knows no time: what needs one is given up.
            if wait == Wait::Continue {
                return self.exchange.overdue(wait);
            }
        } else if !(begins && matches!(wait, Wait::Head | Wait::Body)) {
            let interest = if wait == Wait::Send { PollFlags::IN | PollFlags::OUT } else { PollFlags::IN };
            let left = self.left(wait);
            match self.stream.wait(interest, left).map_err(|error| self.exchange.error(error))? {
                Ready::Read => {}
                Ready::Write => return Ok(()),
                Ready::TimedOut => return self.exchange.overdue(wait),
            }
        }
        match self.stream.read(&mut self.scratch, self.exchange.machine.receive_buffer()) {
            Ok(octets) => self.exchange.received(octets),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock || error.kind() == io::ErrorKind::TimedOut => {
                if self.stream.socket().is_none() {
                    return Err(self.exchange.error(Deadline::Stream));
                }
                // The socket's bound is the shortest deadline: this one may be further away, or none.
                if self.exchange.limit(wait).is_some_and(|limit| self.bound.is_some_and(|bound| bound >= limit)) {
                    return self.exchange.overdue(wait);
                }
            }
            Err(error) => return Err(self.exchange.error(error)),
        }
        Ok(())
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

    /// The exchange is over.
    fn end(&mut self) {
        self.exchange.end();
        if !self.exchange.is_reusable() {
            self.close();
        }
    }

    /// An exchange that was left where it is comes to its end, or the connection does.
    fn settle(&mut self) {
        if self.exchange.is_open() {
            let whole = self.exchange.skip();
            if !whole || !self.exchange.is_reusable() {
                self.close();
            }
        }
    }

    fn is_closed(&self) -> bool {
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
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("address", &self.address).finish_non_exhaustive()
    }
}
