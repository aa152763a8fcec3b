//! One exchange without a socket: what a connection sends, expects and waits for.
//!
//! An [`Exchange`] owns the connection machine of degu-wire, the phase of the exchange, and its deadlines. A driver owns
//! the stream and asks [`want`](Exchange::want) again and again what to do next:
//!
//! ```text
//!             begin()
//!                │
//!                ▼      Source  give the next part of the request's body: send_part()
//!   ┌────────▶ want() ─ Write   write what is pending, then flush: transmitted(), flushed(), stop_sending()
//!   │            │      Give    ask for the head or the next part: give(), which may end the driver's call
//!   │            │      Read    read into the machine's buffer: received(), read_failed()
//!   │            │      Yield   let the peer and other tasks have their turn
//!   │            │      Wait    wait for the stream until deadline(), then expired()
//!   └────────────┘
//! ```
//!
//! If the driver cannot take a step at once, it marks the step as [`stuck`](Exchange::stuck). The exchange does not
//! want a stuck step again until the driver has waited and calls [`retry`](Exchange::retry). Sending goes before
//! reading. But after [`TURN`] bytes of a large body the exchange reads, because the server may have answered
//! meanwhile.
//!
//! The exchange reads the driver's clock when a wait begins. With a `timeout` it also reads the clock when it begins,
//! and in `retry`.

use std::{
    io,
    sync::Arc,
    task::Poll,
    time::{Duration, Instant},
};

use bytes::{Bytes, BytesMut};
use degu_wire::machine::{self, Content, Pending, ResponseHead};
use degu_wire::{ByteRange, ContentRange, Fault, Headers, LocalError, Method, Part, RemoteError};

use crate::error::{Error, ErrorKind, Phase, Timeout};
use crate::options::Base;
use crate::transport::Idle;
use crate::whole::Whole;

/// The longest wait for `100 Continue`; the body is sent without it then (RFC 9110 §10.1.1; curl: 1 s).
const CONTINUE: Duration = Duration::from_secs(1);

/// A body gives way to what the server says, and to other tasks, after so many bytes.
const TURN: usize = 1024 * 1024;

/// One end of a connection without its stream: see the [module](self).
#[derive(Debug)]
pub(crate) struct Exchange {
    pub(crate) machine: machine::Connection<machine::Client>,
    pub(crate) base: Arc<Base>,
    /// The sources of bodies block, so that all before them is sent first.
    sources_block: bool,
    clock: fn() -> Instant,
    stage: Stage,
    idempotent: bool,
    /// A byte of the request has been written, or may have been.
    sent: bool,
    /// A byte of the response has been received.
    heard: bool,
    /// Bytes were received that `give` has not processed to their end.
    unread: bool,
    /// Writing failed: what the server sent before may still be read, and nothing follows.
    broken: bool,
    /// The stream has taken bytes since it was last flushed.
    unflushed: bool,
    /// The time for which the response's body may stand still.
    pub(crate) body_timeout: Option<Duration>,
    /// The time that each exchange from the next on may take, and the end of the one under way.
    pub(crate) timeout: Option<Duration>,
    until: Option<Instant>,
    /// The wait under way, and its end.
    wait: Option<(Wait, Option<Instant>)>,
    stuck: Stuck,
    /// The number of bytes that were written in this turn.
    turn: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Nothing was sent yet.
    Requesting,
    /// The head of the response is awaited.
    Head,
    Body,
    /// The response has been read, and the rest of the request is sent.
    Rest,
    Ended,
}

/// The step that a driver takes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Want {
    Source,
    Write,
    Give,
    Read,
    Yield,
    Wait,
}

/// The steps that could not be taken at once.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Stuck {
    pub(crate) source: bool,
    pub(crate) write: bool,
    pub(crate) read: bool,
}

/// The event that is waited for, which decides how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wait {
    /// `100 Continue`.
    Continue,
    /// Room to send more of the request.
    Send,
    /// The head of the response.
    Head,
    /// The next bytes of the response's body.
    Body,
}

impl Exchange {
    pub(crate) fn new(base: Arc<Base>, clock: fn() -> Instant, sources_block: bool) -> Self {
        Self {
            machine: machine::Connection::<machine::Client>::new(base.settings.limits.clone()),
            timeout: base.settings.timeout,
            until: None,
            base,
            sources_block,
            clock,
            stage: Stage::Requesting,
            idempotent: false,
            sent: false,
            heard: false,
            unread: false,
            broken: false,
            unflushed: false,
            body_timeout: None,
            wait: None,
            stuck: Stuck::default(),
            turn: 0,
        }
    }

    /// Adds the fields of every request to those of one, except where that one has the same name.
    pub(crate) fn add_fields(base: &Base, headers: Headers) -> Result<Headers, LocalError> {
        let base = &base.settings.headers;
        match (base.is_empty(), headers.is_empty()) {
            (true, _) => return Ok(headers),
            (false, true) => return Ok(base.clone()),
            (false, false) => {}
        }
        let mut all = headers.clone();
        for (name, value) in base.iter() {
            if !headers.contains(name) {
                all.append_bytes(name, value)?;
            }
        }
        Ok(all)
    }

    /// Begins an exchange on a stream that was checked with this result: writes the request into the machine. It may offer
    /// to go on in another protocol.
    pub(crate) fn begin(
        &mut self,
        idle: io::Result<Idle>,
        method: Method<'_>,
        uri: &str,
        headers: &Headers,
        content: Content,
        protocol: Option<&str>,
    ) -> Result<(), Error> {
        self.stage = Stage::Requesting;
        self.body_timeout = self.base.settings.body_timeout;
        self.until = self.timeout.and_then(|timeout| (self.clock)().checked_add(timeout));
        (self.sent, self.heard, self.unread, self.idempotent) = (false, false, false, method.is_idempotent());
        match idle.map_err(|error| self.error(error))? {
            Idle::Silent => {}
            Idle::Ended => self.machine.receive_eof(),
            // One byte stands for all, because no exchange follows.
            Idle::Unsolicited => self.machine.receive_buffer().extend_from_slice(b"?"),
        }
        if !self.is_reusable() {
            let kind =
                if self.machine.buffered().is_empty() { ErrorKind::Closed } else { Fault::UnsolicitedBytes.into() };
            return Err(Error::new(kind, Phase::Requesting).retryable(true));
        }
        let (framing, host) = (content.framing(), &self.base.host);
        let begun = match protocol {
            Some(protocol) => self.machine.upgrade(method, uri, host, headers, protocol, content),
            None => self.machine.request(method, uri, host, headers, content),
        };
        begun.map_err(|rule| {
            use LocalError::{ContentLength, FieldNotAllowed, FieldRepeated, FieldValue, Protocol};
            let field = machine::Connection::refused_field(method, headers, framing);
            match rule {
                FieldNotAllowed | FieldRepeated | ContentLength => Error::from(rule).of_field(field),
                Protocol => Error::from(rule).of_field(Some("upgrade")),
                // Headers have been checked but for the protocol, and for Host, which may be that of the options.
                FieldValue => Error::from(rule).of_field(Some(protocol.map_or("host", |_| "upgrade"))),
                _ => rule.into(),
            }
        })?;
        self.stage = Stage::Head;
        self.wait = None;
        Ok(())
    }

    /// Sets the end of the exchange that has begun.
    pub(crate) fn set_whole(&mut self, whole: Option<Whole>) {
        (self.timeout, self.until) = whole.map(|Whole { limit, end }| (limit, end)).unzip();
    }

    /// Returns what the driver does next.
    pub(crate) fn want(&self) -> Want {
        let is_sent = self.is_sent();
        if !is_sent && self.turn < TURN {
            let takes_part = !self.stuck.source && self.takes_part();
            let writes = !self.stuck.write && (!self.machine.is_flushed() || self.unflushed);
            match (takes_part, writes) {
                (true, false) => return Want::Source,
                (true, true) if !self.sources_block => return Want::Source,
                (_, true) => return Want::Write,
                (false, false) => {}
            }
        }
        match self.stage {
            _ if self.unread => Want::Give,
            Stage::Head | Stage::Body if !self.stuck.read => Want::Read,
            Stage::Rest | Stage::Ended if is_sent => Want::Give,
            _ if self.turn >= TURN => Want::Yield,
            _ => Want::Wait,
        }
    }

    /// Notes that this could not be done at once.
    pub(crate) fn stuck(&mut self) -> &mut Stuck {
        &mut self.stuck
    }

    /// Wants again what could not be done before, unless the exchange has taken too long: a peer that never lets the
    /// driver wait meets no other check of the clock.
    pub(crate) fn retry(&mut self) -> Result<(), Error> {
        (self.stuck, self.turn) = (Stuck::default(), 0);
        if self.until.is_some_and(|until| (self.clock)() >= until) { Err(self.took_too_long()) } else { Ok(()) }
    }

    fn took_too_long(&self) -> Error {
        self.error(Timeout::Exchange(self.timeout.unwrap_or_default()))
    }

    /// Returns whether a part of the request's body may be sent.
    fn takes_part(&self) -> bool {
        self.machine.is_sending() && self.machine.may_send_body() && self.machine.has_room()
    }

    /// Sends the next part of the request's body, or ends it.
    pub(crate) fn send_part(&mut self, part: Option<Part>) -> Result<(), Error> {
        let sent = match part {
            Some(part) => self.machine.send_part(part),
            None => self.machine.finish_body(),
        };
        sent.map_err(|error| self.error(error))
    }

    /// Returns what waits to be written; if that is nothing, the stream is to be flushed. Where it goes out in records, some
    /// of them may be out when the write fails or waits.
    pub(crate) fn pending(&mut self, has_records: bool) -> Option<Pending<'_>> {
        if self.machine.is_flushed() {
            return None;
        }
        self.sent |= has_records;
        Some(self.machine.pending())
    }

    /// Notes that so many bytes of what is pending have been written, to a stream that may hold them back.
    pub(crate) fn transmitted(&mut self, bytes: usize, holds_back: bool) {
        (self.sent, self.unflushed) = (true, holds_back);
        self.turn += bytes;
        self.machine.transmitted(bytes);
        self.wait.take_if(|(wait, _)| *wait == Wait::Send);
    }

    /// Notes that the stream holds nothing back. A later wait for it has its whole time again.
    pub(crate) fn flushed(&mut self) {
        self.unflushed = false;
        self.wait.take_if(|(wait, _)| *wait == Wait::Send);
    }

    /// Sends no more: writing failed, or the server does not read. That is no error, because the server may have answered
    /// before it closed.
    pub(crate) fn stop_sending(&mut self) {
        (self.broken, self.unflushed) = (true, false);
        self.machine.abandon_request_body();
        let unsent = self.machine.pending().bytes();
        self.machine.transmitted(unsent);
    }

    pub(crate) fn receive_buffer(&mut self) -> &mut BytesMut {
        self.machine.receive_buffer()
    }

    /// Notes that so many bytes were read; 0 are the end.
    pub(crate) fn received(&mut self, bytes: usize) {
        self.unread = true;
        match bytes {
            0 => self.machine.receive_eof(),
            _ => self.heard = true,
        }
    }

    /// Judges a failed read. An end that was not announced where the stream's protocol asks for that (TLS without
    /// close_notify) is an end like any other, except inside a body: what came may not be all of it.
    pub(crate) fn read_failed(&mut self, error: io::Error) -> Result<(), Error> {
        if error.kind() != io::ErrorKind::UnexpectedEof {
            return Err(self.error(error));
        }
        if self.stage == Stage::Body && self.machine.is_receiving() {
            return Err(self.error(Fault::TruncatedBody));
        }
        self.received(0);
        Ok(())
    }

    /// Gives what `step` makes of what was received. If that is nothing, it is not wanted again before more is received.
    pub(crate) fn give<T>(&mut self, step: impl Fn(&mut Self) -> Result<Poll<T>, Error>) -> Result<Option<T>, Error> {
        let Poll::Ready(given) = step(self)? else {
            self.unread = false;
            return Ok(None);
        };
        self.wait = None;
        Ok(Some(given))
    }

    /// Returns the head of the final response.
    pub(crate) fn poll_head(&mut self) -> Result<Poll<ResponseHead>, Error> {
        let head = self.machine.poll_response().map_err(|error| self.error(error))?;
        if let Poll::Ready(head) = &head {
            self.stage = Stage::Body;
            if self.machine.stops_sending(head) {
                self.stop_sending();
            }
            if self.is_complete() {
                self.stage = Stage::Ended;
            }
        }
        Ok(head)
    }

    /// Returns the next part of the response's body. Its end is returned when the request has been sent, too.
    pub(crate) fn poll_part(&mut self) -> Result<Poll<Option<Part>>, Error> {
        if self.stage == Stage::Body {
            match self.machine.poll_part().map_err(|error| self.error(error))? {
                Poll::Ready(None) => self.stage = Stage::Rest,
                part => return Ok(part),
            }
        }
        if !self.is_sent() {
            return Ok(Poll::Pending);
        }
        self.stage = Stage::Ended;
        Ok(Poll::Ready(None))
    }

    /// Returns the rest of a body of known length if all of it was received and the request was sent; that ends the
    /// exchange.
    pub(crate) fn take_rest(&mut self) -> Option<Bytes> {
        let rest = if self.is_sent() { self.machine.take_rest() } else { None };
        if rest.is_some() {
            self.stage = Stage::Ended;
        }
        rest
    }

    /// Abandons the exchange under way. It ends in order if the rest of the response has been received, and otherwise with
    /// the connection.
    pub(crate) fn abandon(&mut self) {
        while matches!(self.stage, Stage::Body | Stage::Rest)
            && let Ok(Poll::Ready(_)) = self.poll_part()
        {}
        if self.is_open() {
            self.machine.close();
            self.stage = Stage::Ended;
        }
    }

    /// Reports whether the exchange has ended in order.
    pub(crate) fn has_ended(&self) -> bool {
        self.stage == Stage::Ended
    }

    /// Reports whether an exchange has begun that has not ended.
    pub(crate) fn is_open(&self) -> bool {
        matches!(self.stage, Stage::Head | Stage::Body | Stage::Rest)
    }

    /// Reports whether the response has been received in full and the request sent in full.
    pub(crate) fn is_complete(&self) -> bool {
        self.phase() == Phase::ReadingBody && !self.machine.is_receiving() && self.is_sent()
    }

    /// Reports whether the request has been sent in full, and the stream holds nothing of it back.
    pub(crate) fn is_sent(&self) -> bool {
        !self.machine.is_sending() && self.machine.is_flushed() && !self.unflushed
    }

    /// Reports whether another request can be sent.
    pub(crate) fn is_reusable(&self) -> bool {
        !self.broken && self.machine.is_reusable()
    }

    /// Returns what is waited for when nothing moves; `None` is the request's body, whose source is the caller's.
    fn waits_for(&self) -> Option<Wait> {
        Some(match self.stage {
            Stage::Head if self.is_sent() => Wait::Head,
            _ if self.is_sent() => Wait::Body,
            _ if !self.machine.is_flushed() || self.unflushed => Wait::Send,
            _ if !self.machine.may_send_body() => Wait::Continue,
            _ => return None,
        })
    }

    /// Returns how long that may take.
    fn limit(&self, wait: Wait) -> Option<Duration> {
        match wait {
            Wait::Continue => Some(CONTINUE),
            Wait::Head => self.base.settings.head,
            Wait::Send => self.base.settings.body_timeout,
            Wait::Body => self.body_timeout,
        }
    }

    /// Reports whether `100 Continue` is waited for.
    pub(crate) fn awaits_continue(&self) -> bool {
        self.waits_for() == Some(Wait::Continue)
    }

    /// Reports whether the head of the response is all that is waited for.
    pub(crate) fn awaits_head(&self) -> bool {
        self.stage == Stage::Head && self.is_sent()
    }

    /// Reports whether the exchange as a whole has a deadline.
    pub(crate) fn has_timeout(&self) -> bool {
        self.until.is_some()
    }

    /// Begins the wait for the response, if that is all that is waited for from now on. Returns whether it began, so that all
    /// of the time is left.
    pub(crate) fn begins_to_wait(&mut self) -> bool {
        let wait = if self.stage == Stage::Head { Wait::Head } else { Wait::Body };
        let begins = self.wait.is_none_or(|(known, _)| known != wait) && self.is_sent();
        if begins {
            self.begin_wait(wait);
        }
        begins
    }

    fn begin_wait(&mut self, wait: Wait) -> Option<Instant> {
        let deadline = self.limit(wait).and_then(|limit| (self.clock)().checked_add(limit));
        let deadline = match (deadline, self.until) {
            (Some(deadline), Some(until)) => Some(deadline.min(until)),
            (deadline, until) => deadline.or(until),
        };
        self.wait = Some((wait, deadline));
        deadline
    }

    /// Returns the end of the wait under way, and begins it if it is another one than before.
    pub(crate) fn deadline(&mut self) -> Option<Instant> {
        let Some(wait) = self.waits_for() else { return self.until };
        match self.wait {
            Some((known, deadline)) if known == wait => deadline,
            _ => self.begin_wait(wait),
        }
    }

    /// Acts on a deadline that has passed: returns an error, or lets the body be sent without `100 Continue`.
    pub(crate) fn expired(&mut self) -> Result<(), Error> {
        let Some(wait) = self.waits_for() else { return Err(self.took_too_long()) };
        if self.until.is_some() && self.wait == Some((wait, self.until)) {
            return Err(self.took_too_long());
        }
        let limit = self.limit(wait).unwrap_or_default();
        match wait {
            Wait::Continue => {
                self.machine.send_body_anyway();
                Ok(())
            }
            Wait::Head => Err(self.error(Timeout::Head(limit))),
            Wait::Send | Wait::Body => Err(self.error(Timeout::Body(limit))),
        }
    }

    /// Returns the current phase, for an error.
    fn phase(&self) -> Phase {
        match self.stage {
            Stage::Requesting => Phase::Requesting,
            Stage::Head => Phase::AwaitingResponse,
            Stage::Body | Stage::Rest | Stage::Ended => Phase::ReadingBody,
        }
    }

    /// Returns an error of this kind, in the current phase.
    pub(crate) fn error(&self, kind: impl Into<ErrorKind>) -> Error {
        let kind = kind.into();
        let ended = match &kind {
            ErrorKind::Remote(RemoteError { fault, .. }) => *fault == Fault::NoResponse,
            ErrorKind::System(_) => true,
            _ => false,
        };
        let is_retryable = ended && !self.heard && (!self.sent || self.idempotent);
        Error::new(kind, self.phase()).retryable(is_retryable)
    }
}

/// Reports whether a part that the server gives is what was asked for, or the beginning of it (RFC 9110 §15.3.7).
pub(crate) fn is_part_of(asked: ByteRange, given: Option<ContentRange>) -> bool {
    // Several parts, each of which says what it is.
    let Some(given) = given else { return true };
    let Some(range) = given.range() else { return false };
    match (asked.suffix_len(), asked.start(), given.total()) {
        (Some(_), _, Some(total)) => asked.resolve(total).is_some_and(|asked| asked.start == range.start),
        (Some(len), _, None) => range.end - range.start <= len,
        (None, start, _) => start == Some(range.start) && asked.stop().is_none_or(|stop| range.end <= stop),
    }
}
