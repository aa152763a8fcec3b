//! What both drivers share: the machine, with what decides about an error.

use std::{
    io,
    sync::Arc,
    task::Poll,
    time::{Duration, Instant},
};

use bytes::Bytes;
use degu_wire::machine::{self, Content, ResponseHead};
use degu_wire::{ByteRange, ContentRange, Fault, Headers, LocalError, Method, Part, RemoteError};

use crate::options::Base;
use crate::quiet::Quiet;
use crate::stream::Silence;
use crate::{Cause, Deadline, Doing, Error};

/// How long a server may take to say that it wants a body, before it gets it unasked (RFC 9110 §10.1.1; curl: 1 s).
const CONTINUE: Duration = Duration::from_secs(1);

/// One end of a connection without its socket.
#[derive(Debug)]
pub(crate) struct Exchange {
    pub(crate) machine: machine::Connection<machine::Client>,
    pub(crate) base: Arc<Base>,
    doing: Doing,
    idempotent: bool,
    /// An octet of the request has been written, or may have been.
    sent: bool,
    /// An octet of the response has come.
    heard: bool,
    /// Something has come that was not looked at, or not to its end.
    unread: bool,
    /// Writing failed: what the server sent before may still be read, and nothing follows.
    broken: bool,
    /// A body that was at hand, and is sent when the server says so.
    later: Option<Bytes>,
    /// A request has begun, and the end of its exchange has not been noticed.
    open: bool,
    /// When the exchange under way began.
    pub(crate) began: Instant,
    /// When the head of the response came, where that is known: then the clock need not be read again.
    pub(crate) found: Option<Instant>,
    /// When something was read last, and whether there may have been more behind it.
    read: Instant,
    more: bool,
    pub(crate) quiet: Quiet,
}

/// What is waited for, which decides how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wait {
    /// The server's word that it wants the request's body.
    Continue,
    /// That the server takes more of the request.
    Send,
    /// The head of the response.
    Head,
    /// The next octets of the response's body.
    Body,
}

impl Exchange {
    pub(crate) fn new(base: Arc<Base>) -> Self {
        Self {
            machine: machine::Connection::<machine::Client>::new(base.settings.limits.clone()),
            base,
            doing: Doing::Connecting,
            idempotent: false,
            sent: false,
            heard: false,
            unread: false,
            broken: false,
            later: None,
            open: false,
            began: Instant::now(),
            found: None,
            read: Instant::now(),
            more: false,
            quiet: Quiet::default(),
        }
    }

    /// A request is about to be sent: whether to look if the server has closed, or has sent what nobody asked for and would
    /// become the answer. `has_heard` asks a runtime that listens the same; where there is none it is true.
    pub(crate) fn wants_look(&mut self, has_heard: impl FnOnce() -> bool) -> bool {
        (self.began, self.found) = (Instant::now(), None);
        self.quiet.wants_look(self.began, has_heard)
    }

    /// What a look found.
    pub(crate) fn looked(&mut self, silence: io::Result<Silence>) -> Result<(), Error> {
        match silence.map_err(|error| Error::new(error, Doing::Requesting))? {
            Silence::Kept => {}
            Silence::Ended => self.machine.receive_eof(),
            // One octet stands for all: there will be no exchange any more.
            Silence::Broken => self.machine.receive_buffer().extend_from_slice(b"?"),
        }
        Ok(())
    }

    /// Writes a request into the machine. The first octet of it has not been sent after that.
    pub(crate) fn begin(
        &mut self,
        method: Method<'_>,
        uri: &str,
        headers: &Headers,
        content: Content,
    ) -> Result<(), Error> {
        self.doing = Doing::Requesting;
        (self.sent, self.heard, self.unread, self.idempotent) = (false, false, false, method.is_idempotent());
        if !self.is_reusable() {
            let cause = match self.machine.buffered() {
                [] => Cause::Closed,
                _ => Fault::UnaskedOctets.into(),
            };
            return Err(Error::new(cause, Doing::Requesting).retryable(true));
        }
        let base = &self.base.settings.headers;
        let merged;
        let headers = match (base.is_empty(), headers.is_empty()) {
            (true, _) => headers,
            (false, true) => base,
            (false, false) => {
                merged = merge(base, headers)?;
                &merged
            }
        };
        // Octets at hand go out with their head, unless the server is asked first whether it wants them.
        let content = match content {
            Content::Bytes(bytes) if headers.contains("expect") => {
                let length = bytes.len() as u64;
                self.later = Some(bytes);
                Content::Length(length)
            }
            content => content,
        };
        self.machine.request(method, uri, &self.base.host, headers, content)?;
        self.doing = Doing::AwaitingResponse;
        self.open = true;
        Ok(())
    }

    /// Whether another request can be sent.
    pub(crate) fn is_reusable(&self) -> bool {
        !self.broken && self.machine.is_reusable()
    }

    /// Whether parts of the request's body may be given to the machine now. The body that was at hand is given here.
    pub(crate) fn takes_parts(&mut self) -> Result<bool, Error> {
        if !self.machine.is_sending() || !self.machine.may_send_body() {
            return Ok(false);
        }
        if let Some(bytes) = self.later.take() {
            self.send_part(Some(Part::Data(bytes)))?;
        }
        Ok(self.machine.is_sending() && self.machine.has_room())
    }

    /// The next part of the request's body, or its end.
    pub(crate) fn send_part(&mut self, part: Option<Part>) -> Result<(), Error> {
        let sent = match part {
            Some(part) => self.machine.send_part(part),
            None => self.machine.finish_body(),
        };
        sent.map_err(|error| self.error(error))
    }

    /// Writing failed, or nobody reads what is written: the rest of the request is not sent.
    pub(crate) fn stop_sending(&mut self) {
        self.broken = true;
        self.later = None;
        self.machine.abandon_request_body();
        let unsent = self.machine.pending().octets();
        self.machine.transmitted(unsent);
    }

    /// What the driver waits for when nothing moves. `None`: the request's body, whose source is the caller's.
    pub(crate) fn waits_for(&self) -> Option<Wait> {
        let sending = self.machine.is_sending();
        if !self.machine.is_flushed() {
            Some(Wait::Send)
        } else if sending && !self.machine.may_send_body() {
            Some(Wait::Continue)
        } else if sending {
            None
        } else if self.doing == Doing::ReadingBody {
            Some(Wait::Body)
        } else {
            Some(Wait::Head)
        }
    }

    /// How long that may take.
    pub(crate) fn limit(&self, wait: Wait) -> Option<Duration> {
        match wait {
            Wait::Continue => Some(CONTINUE),
            Wait::Head => self.base.settings.head,
            Wait::Send | Wait::Body => self.base.settings.body_idle,
        }
    }

    /// It took longer: an error, or a body that is sent without the server's word.
    pub(crate) fn overdue(&mut self, wait: Wait) -> Result<(), Error> {
        let limit = self.limit(wait).unwrap_or_default();
        match wait {
            Wait::Continue => {
                self.machine.send_body_anyway();
                Ok(())
            }
            Wait::Head => Err(self.error(Deadline::Head(limit))),
            Wait::Send | Wait::Body => Err(self.error(Deadline::BodyIdle(limit))),
        }
    }

    /// What is pending is about to go through records of TLS: some of them may be out when a write fails, or waits.
    pub(crate) fn transmitting_records(&mut self) {
        self.sent = true;
    }

    /// So many octets of what is pending have been written.
    pub(crate) fn transmitted(&mut self, octets: usize) {
        self.sent |= octets > 0;
        self.machine.transmitted(octets);
    }

    /// What a read gave, and whether there may have been more than it took.
    pub(crate) fn received(&mut self, octets: usize, more: bool) {
        self.unread = true;
        // Spinning has just read the clock for the first bytes of a response.
        self.read = self.found.filter(|_| !self.heard).unwrap_or_else(Instant::now);
        self.more = more;
        match octets {
            0 => self.machine.receive_eof(),
            _ => self.heard = true,
        }
    }

    /// A read failed. An end that nobody announced where the stream's own protocol asks for that (TLS without close_notify)
    /// is one as any other, except in a body: there what came may not be all.
    pub(crate) fn read_failed(&mut self, error: io::Error) -> Result<(), Error> {
        match error.kind() {
            io::ErrorKind::UnexpectedEof if self.doing == Doing::ReadingBody && self.machine.is_receiving() => {
                Err(self.error(Fault::TruncatedBody))
            }
            io::ErrorKind::UnexpectedEof => {
                self.received(0, false);
                Ok(())
            }
            _ => Err(self.error(error)),
        }
    }

    /// What `step` gives of what has come. If it gave nothing, it is not asked again before more has come.
    pub(crate) fn poll<T>(&mut self, step: impl Fn(&mut Self) -> Result<Poll<T>, Error>) -> Result<Poll<T>, Error> {
        if !self.unread {
            return Ok(Poll::Pending);
        }
        let given = step(self)?;
        self.unread = given.is_ready();
        Ok(given)
    }

    /// The head of the final response.
    pub(crate) fn poll_head(&mut self) -> Result<Poll<ResponseHead>, Error> {
        let head = self.machine.poll_response().map_err(|error| self.error(error))?;
        if let Poll::Ready(head) = &head {
            self.doing = Doing::ReadingBody;
            if !self.machine.is_receiving() {
                // Where there is no body some servers send one nonetheless.
                self.quiet.doubt();
            }
            if self.machine.stops_sending(head) {
                self.stop_sending();
            }
        }
        Ok(head)
    }

    pub(crate) fn poll_part(&mut self) -> Result<Poll<Option<Part>>, Error> {
        self.machine.poll_part().map_err(|error| self.error(error))
    }

    /// The rest of a body of known length, if all of it is here, and the request has gone out: the end of the exchange.
    pub(crate) fn take_rest(&mut self) -> Option<Bytes> {
        if self.is_sent() { self.machine.take_rest() } else { None }
    }

    /// Whether an exchange has begun whose end has not been noticed.
    pub(crate) fn is_open(&self) -> bool {
        self.open
    }

    /// Whether the response has come in full and the request has gone out in full.
    pub(crate) fn is_over(&self) -> bool {
        self.doing == Doing::ReadingBody && !self.machine.is_receiving() && self.is_sent()
    }

    /// Whether the request has gone out in full.
    pub(crate) fn is_sent(&self) -> bool {
        !self.machine.is_sending() && self.machine.is_flushed()
    }

    /// The exchange is over, since its last octets were read.
    pub(crate) fn end(&mut self) {
        self.open = false;
        if self.more {
            self.quiet.doubt();
        }
        self.quiet.exchange_ended(self.read);
    }

    /// An error of what is being done now.
    pub(crate) fn error(&self, cause: impl Into<Cause>) -> Error {
        let cause = cause.into();
        let ended = match &cause {
            Cause::Remote(RemoteError { fault, .. }) => *fault == Fault::NoResponse,
            Cause::System(_) => true,
            _ => false,
        };
        Error::new(cause, self.doing).retryable(ended && !self.heard && (!self.sent || self.idempotent))
    }

    /// The caller has left the exchange: reads over what is left of it, if all of that is here. Says whether it was.
    pub(crate) fn skip(&mut self) -> bool {
        self.open = false;
        self.quiet.exchange_left();
        while let Ok(Poll::Ready(part)) = self.machine.poll_part() {
            if part.is_none() {
                return self.doing == Doing::ReadingBody && self.is_sent();
            }
        }
        false
    }
}

/// The fields of every request, but for those that this one sets itself, and its own.
fn merge(base: &Headers, headers: &Headers) -> Result<Headers, LocalError> {
    let mut merged = headers.clone();
    for (name, value) in base.iter() {
        if !headers.contains(name) {
            merged.append_bytes(name, value)?;
        }
    }
    Ok(merged)
}

/// Whether a part that the server gives, if it says which, is what was asked for, or the beginning of it
/// (RFC 9110 §15.3.7).
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
