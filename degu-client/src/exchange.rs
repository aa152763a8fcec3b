//! One exchange without a socket: what a connection sends, expects and waits for.
//!
//! An [`Exchange`] owns the connection machine of degu-wire, the phase of the exchange, and its deadlines. A driver
//! owns the stream and asks [`want`](Exchange::want) again and again what to do next:
//!
//! ```text
//!             begin()
//!                │
//!                ▼      Source  pass the next part of the request's body: send_part()
//!   ┌────────▶ want() ─ Write   write pending bytes, then flush: transmitted(), flushed(), stop_sending()
//!   │            │      Answer  ask for the head or the next part of the response: answer()
//!   │            │      Read    read into the machine's buffer: received(), then answer()
//!   │            │      Yield   let the server and other tasks have their turn
//!   │            │      Wait    wait for the stream until deadline(), then end_wait()
//!   └────────────┘
//! ```
//!
//! If the driver cannot take a step at once, it marks the step as [`stuck`](Exchange::stuck). The exchange does not
//! want a stuck step again until the driver has waited and calls [`retry`](Exchange::retry). Sending goes before
//! reading. But after [`TURN`] bytes of a large body the exchange reads, because the server may have answered
//! meanwhile.
//!
//! The exchange reads the driver's clock when a wait begins. With a `timeout` it also reads the clock when the exchange
//! begins, and in `retry`.

use std::{
    io,
    sync::Arc,
    task::{Poll, ready},
    time::{Duration, Instant},
};

use bytes::Bytes;
use degu_wire::machine::{self, Content, ResponseHead};
use degu_wire::{ByteRange, ContentRange, Fault, Framing, Headers, LocalError, Method, Part, RemoteError, Spinner};

use crate::deadline::Deadline;
use crate::error::{Error, ErrorKind, Phase, Timeout};
use crate::options::Base;

/// The longest wait for `100 Continue`. After this time the client sends the body without having received `100
/// Continue` (RFC 9110 §10.1.1; curl: 1 s).
const CONTINUE: Duration = Duration::from_secs(1);

/// The number of bytes of a request's body after which the exchange reads, and other tasks run.
const TURN: usize = 1024 * 1024;

/// The client's state of a connection, without the stream: see the [module](self).
#[derive(Debug)]
pub(crate) struct Exchange {
    pub(crate) machine: machine::Connection<machine::Client>,
    pub(crate) base: Arc<Base>,
    clock: fn() -> Instant,
    pub(crate) spinner: Spinner,
    /// The time from which the spinner's clock counts.
    pub(crate) epoch: Instant,
    stage: Stage,
    idempotent: bool,
    /// True if a byte of the request has been written, or may have been written.
    pub(crate) sent: bool,
    /// True if a byte of the response has been received.
    heard: bool,
    /// True if bytes or EOF have been received since [`answer`](Self::answer) returned `Pending` last. The next call
    /// may then return an answer.
    unread: bool,
    /// True if writing failed, or [was stopped](Self::stop_sending). The response can still be read, but no other request
    /// can follow.
    broken: bool,
    /// True if the stream may hold back bytes that were written since the last flush.
    unflushed: bool,
    /// The result of [`is_socket`](crate::stream::Stream::is_socket) of the stream.
    pub(crate) is_socket: bool,
    /// The time for which the response's body may make no progress.
    pub(crate) body_timeout: Option<Duration>,
    /// The deadline of the exchange as a whole.
    pub(crate) until: Option<Deadline>,
    /// The last reading of the clock, if little time has passed since then. The next wait begins at this time, which
    /// saves a reading of the clock. `None` after a step that may have taken time.
    pub(crate) began: Option<Instant>,
    /// The event that the exchange waits for, and the beginning of this wait. `None` if no wait has begun.
    wait: Option<(Wait, Instant)>,
    /// The steps that the driver could not take at once.
    pub(crate) stuck: Stuck,
    /// The number of bytes that were written since the last call of `retry`.
    turn: usize,
    /// The head that [`poll_head`](Self::poll_head) has received, until the caller takes it.
    pub(crate) head: Option<ResponseHead>,
    /// The part that [`poll_part`](Self::poll_part) has received, until the caller takes it.
    pub(crate) part: Option<Part>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// The request has not begun.
    Requesting,
    /// The request has begun, and the head of the response has not been returned.
    Head,
    /// The head of the response has been returned, and the end of its body has not.
    Body,
    /// The end of the response's body has been received, and the rest of the request is being sent.
    Rest,
    Ended,
}

/// The step that a driver takes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Want {
    /// Ask the source of the request's body for its next part, and pass the part to [`send_part`](Exchange::send_part).
    Source,
    /// Write pending bytes; if no bytes are pending, flush the stream.
    Write,
    /// Ask for the head or the next part of the response ([`answer`](Exchange::answer)).
    Answer,
    /// Read into the machine's buffer, and then ask for the answer.
    Read,
    /// Let other tasks run, and then continue.
    Yield,
    /// Wait until the stream is ready, or until the deadline of the wait.
    Wait,
}

/// The steps that the driver has tried, and that would have blocked. [`want`](Exchange::want) does not return these
/// steps until [`retry`](Exchange::retry) is called.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Stuck {
    pub(crate) source: bool,
    pub(crate) write: bool,
    pub(crate) read: bool,
}

/// The event that the exchange waits for. The event decides which timeout applies.
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

/// A method of [`Exchange`] that receives the head of the response, or the next part of its body. The head or the part
/// is stored in the exchange, because moving it through the results of several functions would cost more. The result is
/// `Pending` if the received bytes do not suffice.
pub(crate) type Question = fn(&mut Exchange) -> Poll<Result<(), Error>>;

impl Exchange {
    pub(crate) fn new(base: Arc<Base>, clock: fn() -> Instant, is_socket: bool) -> Self {
        Self {
            machine: machine::Connection::<machine::Client>::new(base.settings.limits.clone()),
            until: None,
            began: None,
            spinner: Spinner::new(base.settings.spin),
            epoch: Instant::now(),
            base,
            clock,
            stage: Stage::Requesting,
            idempotent: false,
            sent: false,
            heard: false,
            unread: false,
            broken: false,
            unflushed: false,
            is_socket,
            body_timeout: None,
            wait: None,
            stuck: Stuck::default(),
            turn: 0,
            head: None,
            part: None,
        }
    }

    /// Prepares for an exchange with this deadline. `began` is the current time, if the caller knows it.
    #[inline]
    pub(crate) fn prepare(&mut self, until: Option<Deadline>, began: Option<Instant>) {
        self.began = began;
        self.stage = Stage::Requesting;
        self.body_timeout = self.base.settings.body_timeout;
        (self.until, self.wait) = (until, None);
        (self.sent, self.heard, self.unread) = (false, false, false);
    }

    /// Returns the error of a request that the connection cannot carry. `kind` is the error of the check before the
    /// request, or [`ErrorKind::Closed`]. If a closed connection has unsolicited data, the error is
    /// [`Fault::UnsolicitedBytes`].
    #[cold]
    pub(crate) fn refused(&self, kind: ErrorKind) -> Error {
        match (&kind, self.machine.buffered()) {
            (ErrorKind::Closed, [_, ..]) => self.error(Fault::UnsolicitedBytes),
            _ => self.error(kind),
        }
    }

    /// Writes a request into the machine. The request offers to switch to `protocol`, if there is one.
    pub(crate) fn begin(
        &mut self,
        method: Method<'_>,
        uri: &str,
        headers: &Headers,
        content: &Content,
        protocol: Option<&str>,
    ) -> Result<(), Error> {
        self.idempotent = method.is_idempotent();
        let (framing, host) = (content.framing(), &self.base.host);
        let begun = match protocol {
            Some(protocol) => self.machine.upgrade(method, uri, host, headers, protocol, content),
            None => self.machine.request(method, uri, host, headers, content),
        };
        begun.map_err(|rule| {
            use LocalError::{ContentLength, FieldNotAllowed, FieldRepeated, FieldValue, Protocol};
            let field = match rule {
                LocalError::State => return self.refused(ErrorKind::Closed),
                FieldNotAllowed | FieldRepeated | ContentLength => {
                    machine::Connection::refused_field(method, headers, framing)
                }
                // All other fields were checked before, so the fault is in the protocol or in Host, which may come from
                // the options.
                FieldValue if protocol.is_none() => Some("host"),
                FieldValue | Protocol => Some("upgrade"),
                _ => None,
            };
            Error::from(rule).of_field(field)
        })?;
        self.stage = Stage::Head;
        Ok(())
    }

    /// Returns the next step of the driver. `blocks` is true if sources of bodies block the thread. Then pending bytes
    /// are written before a source is asked for its next part.
    #[inline(always)]
    pub(crate) fn want(&self, blocks: bool) -> Want {
        let is_sent = self.is_sent();
        if !is_sent && self.turn < TURN {
            let takes_part = self.machine.is_sending() && self.machine.may_send_body() && self.machine.has_room();
            let takes_part = takes_part && !self.stuck.source;
            let writes = !self.stuck.write && (!self.machine.is_flushed() || self.unflushed);
            match (takes_part, writes) {
                (true, false) => return Want::Source,
                (true, true) if !blocks => return Want::Source,
                (_, true) => return Want::Write,
                (false, false) => {}
            }
        }
        if matches!(self.stage, Stage::Head | Stage::Body) && !self.unread && !self.stuck.read {
            Want::Read
        } else if self.unread || is_sent && matches!(self.stage, Stage::Rest | Stage::Ended) {
            Want::Answer
        } else if self.turn >= TURN {
            Want::Yield
        } else {
            Want::Wait
        }
    }

    /// Lets the driver try again the steps that would have blocked. Returns an error after the deadline of the
    /// exchange, because a driver that never has to wait checks the clock only here.
    #[inline(always)]
    pub(crate) fn retry(&mut self) -> Result<(), Error> {
        (self.stuck, self.turn) = (Stuck::default(), 0);
        match self.until {
            Some(until) if (self.clock)() >= until.end => Err(self.error(until.timeout)),
            _ => Ok(()),
        }
    }

    /// Sends the next part of the request's body; `None` ends the body.
    pub(crate) fn send_part(&mut self, part: Option<Part>) -> Result<(), Error> {
        // The source may have taken a long time, so the stored time would be too early.
        self.began = None;
        let sent = match part {
            Some(part) => self.machine.send_part(part),
            None => self.machine.finish_body(),
        };
        sent.map_err(|error| self.error(error))
    }

    /// Records that this number of pending bytes has been written. A stream that is not a socket may still keep these
    /// bytes in a buffer.
    #[inline(always)]
    pub(crate) fn transmitted(&mut self, bytes: usize) {
        (self.sent, self.unflushed) = (true, !self.is_socket);
        self.turn += bytes;
        self.machine.transmitted(bytes);
        self.wait.take_if(|(wait, _)| *wait == Wait::Send);
    }

    /// Records that the stream has been flushed. The next wait for room has the whole timeout again.
    pub(crate) fn flushed(&mut self) {
        self.unflushed = false;
        self.wait.take_if(|(wait, _)| *wait == Wait::Send);
    }

    /// Stops sending the request. Pending bytes are dropped, and no other request can follow. The caller stops if a
    /// write has failed, or if the response shows that the server does not read the rest of the request. A failed write
    /// is not an error yet, because the server may have answered before it closed the connection.
    pub(crate) fn stop_sending(&mut self) {
        (self.broken, self.unflushed) = (true, false);
        self.machine.abandon_request_body();
        let unsent = self.machine.pending().bytes();
        self.machine.transmitted(unsent);
    }

    /// Processes the result of a read: an error, or the number of bytes, where 0 means EOF. `UnexpectedEof` is the end
    /// of a TLS connection without close_notify. Inside a body this end is an error, because the body may be
    /// incomplete. Elsewhere this end counts as EOF.
    #[inline(always)]
    pub(crate) fn received(&mut self, read: io::Result<usize>) -> Result<(), Error> {
        match read {
            Ok(1..) => self.heard = true,
            Err(error) if error.kind() != io::ErrorKind::UnexpectedEof => return Err(self.error(error)),
            Err(_) if self.stage == Stage::Body && self.machine.is_receiving() => {
                return Err(self.error(Fault::TruncatedBody));
            }
            Ok(0) | Err(_) => self.machine.receive_eof(),
        }
        self.unread = true;
        Ok(())
    }

    /// Answers a question, such as [`poll_head`](Self::poll_head), from the bytes that were received. If the bytes are
    /// not enough, the exchange wants more.
    pub(crate) fn answer(&mut self, question: Question) -> Poll<Result<(), Error>> {
        let answer = question(self);
        match answer {
            // The caller may pause before it polls again. No timeout counts this pause, except the timeout of the whole
            // exchange.
            Poll::Ready(_) => (self.wait, self.began) = (None, None),
            Poll::Pending => self.unread = false,
        }
        answer
    }

    /// Receives the head of the final response into [`head`](Self::head). `Pending` means that the whole head has not
    /// been received.
    pub(crate) fn poll_head(&mut self) -> Poll<Result<(), Error>> {
        let head = ready!(self.machine.poll_response().map_err(|error| self.error(error))?);
        let stops_sending = self.machine.stops_sending(&head);
        self.head = Some(head);
        self.stage = Stage::Body;
        if stops_sending {
            self.stop_sending();
        }
        if self.is_complete() {
            self.stage = Stage::Ended;
        }
        Poll::Ready(Ok(()))
    }

    /// Receives the next part of the response's body into [`part`](Self::part). There is no part when the body has ended
    /// and the request has been sent. `Pending` means that the next part has not been received, or that a part of the
    /// request has not been sent.
    pub(crate) fn poll_part(&mut self) -> Poll<Result<(), Error>> {
        if self.stage == Stage::Body {
            self.part = ready!(self.machine.poll_part().map_err(|error| self.error(error))?);
            if self.part.is_some() {
                return Poll::Ready(Ok(()));
            }
            self.stage = Stage::Rest;
        }
        if !self.is_sent() {
            return Poll::Pending;
        }
        self.stage = Stage::Ended;
        Poll::Ready(Ok(()))
    }

    /// Returns the rest of a body of known length, and ends the exchange. Returns `None` if a part of the rest has not
    /// been received, or a part of the request has not been sent.
    pub(crate) fn take_rest(&mut self) -> Option<Bytes> {
        let rest = if self.is_sent() { self.machine.take_rest() } else { None };
        if rest.is_some() {
            self.stage = Stage::Ended;
        }
        rest
    }

    /// Ends the current exchange. Closes the connection if the rest of the response has not been received.
    pub(crate) fn abandon(&mut self) {
        while matches!(self.stage, Stage::Body | Stage::Rest)
            && let Poll::Ready(Ok(())) = self.poll_part()
        {}
        self.part = None;
        if self.is_open() {
            self.machine.close();
            self.stage = Stage::Ended;
        }
    }

    /// Returns the framing of the response's body, and whether the exchange has ended because there is no body.
    pub(crate) fn body(&self) -> (Framing, bool) {
        (self.machine.framing(), self.has_ended())
    }

    /// Returns whether the last exchange has ended: it is complete, or was abandoned.
    pub(crate) fn has_ended(&self) -> bool {
        self.stage == Stage::Ended
    }

    /// Returns whether an exchange has begun and has not ended.
    pub(crate) fn is_open(&self) -> bool {
        matches!(self.stage, Stage::Head | Stage::Body | Stage::Rest)
    }

    /// Returns whether the whole response has been received, and the whole request sent.
    pub(crate) fn is_complete(&self) -> bool {
        self.phase() == Phase::ReadingBody && !self.machine.is_receiving() && self.is_sent()
    }

    /// Returns whether the whole request has been sent, and the stream holds back none of the bytes.
    pub(crate) fn is_sent(&self) -> bool {
        !self.machine.is_sending() && self.machine.is_flushed() && !self.unflushed
    }

    /// Returns whether another request can be sent.
    pub(crate) fn is_reusable(&self) -> bool {
        !self.broken && self.machine.is_reusable()
    }

    /// Returns the event that the exchange waits for. `None` means that the exchange waits for the caller's source of
    /// the request's body. Only the timeout of the whole exchange applies to that wait.
    fn waits_for(&self) -> Option<Wait> {
        Some(match self.stage {
            Stage::Head if self.is_sent() => Wait::Head,
            _ if self.is_sent() => Wait::Body,
            _ if !self.machine.is_flushed() || self.unflushed => Wait::Send,
            _ if !self.machine.may_send_body() => Wait::Continue,
            _ => return None,
        })
    }

    /// Returns whether the request has been sent, and the head of the response is awaited.
    pub(crate) fn awaits_head(&self) -> bool {
        self.stage == Stage::Head && self.is_sent()
    }

    /// Returns whether a wait has begun.
    #[cfg(feature = "async")]
    pub(crate) fn is_waiting(&self) -> bool {
        self.wait.is_some()
    }

    /// If the request has been sent, begins the wait for the head or for the next bytes of the response. Returns `true`
    /// only for the first call of a wait. The blocking driver blocks only in the first read of a wait, because before a
    /// later read a part of the time has passed.
    pub(crate) fn begins_to_wait(&mut self) -> bool {
        let wait = if self.stage == Stage::Head { Wait::Head } else { Wait::Body };
        let begins = self.wait.is_none_or(|(known, _)| known != wait) && self.is_sent();
        if begins {
            self.begin_wait(wait);
        }
        begins
    }

    /// Begins a wait, and returns its beginning. If the exchange waits for this event already, the wait goes on.
    fn begin_wait(&mut self, wait: Wait) -> Instant {
        match self.wait {
            Some((known, began)) if known == wait => began,
            _ => {
                let began = self.began.take().unwrap_or_else(self.clock);
                self.wait = Some((wait, began));
                began
            }
        }
    }

    fn limit(&self, wait: Wait) -> Option<Duration> {
        match wait {
            Wait::Continue => Some(CONTINUE),
            Wait::Head => self.base.settings.head_timeout,
            Wait::Send => self.base.settings.body_timeout,
            Wait::Body => self.body_timeout,
        }
    }

    /// Returns the time at which the current wait times out; `None` without a limit. If the exchange waits for another
    /// event than before, the wait begins with this call.
    pub(crate) fn deadline(&mut self) -> Option<Instant> {
        let until = self.until.map(|until| until.end);
        let Some(wait) = self.waits_for() else { return until };
        let began = self.begin_wait(wait);
        let end = self.limit(wait).and_then(|limit| began.checked_add(limit));
        match (end, until) {
            (Some(end), Some(until)) => Some(end.min(until)),
            (end, until) => end.or(until),
        }
    }

    /// Ends the current wait at its deadline: returns an error, or lets the body be sent without `100 Continue`.
    pub(crate) fn end_wait(&mut self) -> Result<(), Error> {
        let (wait, end) = (self.waits_for(), self.deadline());
        let limit = wait.and_then(|wait| self.limit(wait)).unwrap_or_default();
        let timeout = match (wait, self.until) {
            (_, Some(until)) if end == Some(until.end) => until.timeout,
            (Some(Wait::Continue), _) => {
                self.machine.send_body_anyway();
                return Ok(());
            }
            (Some(Wait::Head), _) => Timeout::Head(limit),
            _ => Timeout::Body(limit),
        };
        Err(self.error(timeout))
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
            ErrorKind::Remote(RemoteError { fault, .. }) => {
                matches!(fault, Fault::NoResponse | Fault::UnsolicitedBytes)
            }
            ErrorKind::System(_) | ErrorKind::Closed => true,
            _ => false,
        };
        let is_retryable = ended && !self.heard && (!self.sent || self.idempotent);
        Error::new(kind, self.phase()).retryable(is_retryable)
    }
}

/// Returns whether the `Content-Range` of a 206 agrees with the range that the caller asked for (RFC 9110 §15.3.7). The
/// server may send only the beginning of that range. If the caller asked for the last bytes, and the server does not
/// give the total length, only the length of the range is checked. Returns `true` if there is no `Content-Range`.
pub(crate) fn is_part_of(asked: ByteRange, given: Option<ContentRange>) -> bool {
    // In a multipart response each part has its own Content-Range.
    let Some(given) = given else { return true };
    let Some(range) = given.range() else { return false };
    match (asked.suffix_len(), asked.start(), given.total()) {
        (Some(_), _, Some(total)) => asked.resolve(total).is_some_and(|asked| asked.start == range.start),
        (Some(len), _, None) => range.end - range.start <= len,
        (None, start, _) => start == Some(range.start) && asked.stop().is_none_or(|stop| range.end <= stop),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::blocking::Client;

    #[test]
    fn wait_for_a_body_begins_after_the_head_of_an_early_response() {
        const PAUSE: Duration = Duration::from_secs(3600);
        let began = Instant::now();
        let client = Client::options().body_timeout(Duration::from_secs(1)).client(degu_wire::Address::ABSTRACT);
        let mut exchange = Exchange::new(client.base, || Instant::now() + PAUSE, true);
        exchange.prepare(None, Some(began));
        let body = Content::Bytes(Bytes::from_static(&[0; 1024 * 1024]));
        exchange.begin(Method::Put, "/", &Headers::new(), &body, None).unwrap();
        exchange.stuck.write = true;
        let head = b"HTTP/1.1 413 Content Too Large\r\ncontent-length: 2\r\n\r\n";
        exchange.machine.receive_buffer().extend_from_slice(head);
        exchange.received(Ok(head.len())).unwrap();
        assert!(matches!(exchange.answer(Exchange::poll_head), Poll::Ready(Ok(()))));
        assert!(exchange.deadline().unwrap() >= began + PAUSE);
    }
}
