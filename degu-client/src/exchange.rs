//! What both drivers share: the machine, with what decides about an error, and the putting together of bodies.

use std::{
    sync::Arc,
    task::Poll,
    time::{Duration, Instant},
};

use bytes::{Bytes, BytesMut};
use degu_wire::machine::{self, Content, ResponseHead};
use degu_wire::{
    ByteRange, Chunk, ChunkExtensions, ContentRange, Fault, Headers, LocalError, Method, Part, RemoteError, Trailers,
};

use crate::options::Base;
use crate::{Cause, Deadline, Doing, Error};

/// So soon after a response a look for what came behind it would find nothing: no peer writes that fast. It is left out,
/// which saves exchanges in a row a system call each.
const RIGHT_AFTER: Duration = Duration::from_micros(5);
/// How long a server may take to say that it wants a body, before it gets it unasked (RFC 9110 §10.1.1; curl: 1 s).
const CONTINUE: Duration = Duration::from_secs(1);

/// One end of a connection without its socket.
#[derive(Debug)]
pub(crate) struct Exchange {
    pub(crate) machine: machine::Connection<machine::Client>,
    pub(crate) base: Arc<Base>,
    doing: Doing,
    idempotent: bool,
    /// An octet of the request has been written.
    sent: bool,
    /// An octet of the response has come.
    heard: bool,
    /// Writing failed: what the server sent before may still be read, and nothing follows.
    broken: bool,
    /// A body that was at hand, and is sent when the server says so.
    later: Option<Bytes>,
    /// A request has begun, and the end of its exchange has not been noticed.
    open: bool,
    /// The head of the response, until the caller takes it: put in one place, it is not carried through every call.
    head: Option<ResponseHead>,
    /// When the exchange under way began.
    pub(crate) began: Instant,
    /// When the last exchange ended; not known of one whose body was left unread.
    idle_since: Option<Instant>,
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
            machine: machine::Connection::<machine::Client>::new(base.settings.limits),
            base,
            doing: Doing::Connecting,
            idempotent: false,
            sent: false,
            heard: false,
            broken: false,
            later: None,
            open: false,
            head: None,
            began: Instant::now(),
            idle_since: None,
        }
    }

    /// An exchange is about to begin: whether the connection has been idle for long enough to look whether something came.
    pub(crate) fn is_worth_a_look(&mut self) -> bool {
        self.began = Instant::now();
        self.idle_since.is_none_or(|since| self.began.duration_since(since) > RIGHT_AFTER)
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
        (self.sent, self.heard, self.idempotent) = (false, false, method.is_idempotent());
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
        let unsent = self.machine.pending().iter().map(|piece| piece.len()).sum();
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

    /// So many octets of what is pending have been written.
    pub(crate) fn transmitted(&mut self, octets: usize) {
        self.sent |= octets > 0;
        self.machine.transmitted(octets);
    }

    /// What a read gave.
    pub(crate) fn received(&mut self, octets: usize) {
        match octets {
            0 => self.machine.receive_eof(),
            _ => self.heard = true,
        }
    }

    /// Ready when the head of the response has come, to be [taken](Self::take_head).
    pub(crate) fn poll_head(&mut self) -> Result<Poll<()>, Error> {
        match self.machine.poll_response() {
            Ok(Poll::Ready(head)) => {
                self.doing = Doing::ReadingBody;
                if self.machine.stops_sending(&head) {
                    self.stop_sending();
                }
                self.head = Some(head);
                Ok(Poll::Ready(()))
            }
            Ok(Poll::Pending) => Ok(Poll::Pending),
            Err(error) => Err(self.error(error)),
        }
    }

    /// The head that has come.
    pub(crate) fn take_head(&mut self) -> Result<ResponseHead, Error> {
        self.head.take().ok_or_else(|| self.error(Cause::Closed))
    }

    pub(crate) fn poll_part(&mut self) -> Result<Poll<Option<Part>>, Error> {
        self.machine.poll_part().map_err(|error| self.error(error))
    }

    /// Whether an exchange has begun whose end has not been noticed.
    pub(crate) fn is_open(&self) -> bool {
        self.open
    }

    /// Whether the response has come in full and the request has gone out in full.
    pub(crate) fn is_over(&self) -> bool {
        self.doing == Doing::ReadingBody && !self.machine.is_receiving() && self.is_sent()
    }

    fn is_sent(&self) -> bool {
        !self.machine.is_sending() && self.machine.is_flushed()
    }

    /// The exchange is over, just now.
    pub(crate) fn end(&mut self) {
        self.open = false;
        self.idle_since = Some(Instant::now());
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
        self.idle_since = None;
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

/// The data of a part, if it has any.
pub(crate) fn data_of(part: Part) -> Option<Bytes> {
    match part {
        Part::Data(data) | Part::Chunk { data, .. } if !data.is_empty() => Some(data),
        _ => None,
    }
}

/// What has been taken of a response's body and not been given to the caller yet.
#[derive(Debug, Default)]
pub(crate) struct Taken {
    /// The end was given.
    pub(crate) ended: bool,
    /// A body without chunks was given in pieces.
    loose: bool,
    /// Data of the current chunk that was given in pieces, and is not complete.
    piecemeal: u64,
    /// What only large chunks and the ends of chunked bodies need.
    chunked: Option<Box<Chunked>>,
}

#[derive(Debug, Default)]
struct Chunked {
    /// Data of the chunk that is being put together, or of a body without chunks.
    data: BytesMut,
    /// The chunk that is being put together.
    chunk: Option<(u64, ChunkExtensions)>,
    /// What was said at the end of the body, after it has come.
    last: Option<(ChunkExtensions, Trailers)>,
}

impl Taken {
    /// A part on its way to the caller: what a piece of it means for whole chunks, and for the end, is noted.
    pub(crate) fn note(&mut self, part: Option<&Part>) {
        match part {
            None => self.ended = true,
            Some(Part::Chunk { size, data, .. }) => self.piecemeal = size - data.len() as u64,
            Some(Part::Data(data)) => match self.piecemeal.checked_sub(data.len() as u64) {
                Some(left) => self.piecemeal = left,
                None => self.loose = true,
            },
            Some(Part::Last { extensions, trailers }) => {
                self.chunked.get_or_insert_default().last = Some((extensions.clone(), trailers.clone()));
            }
        }
    }

    /// What a caller who changes from chunks to parts has not been given.
    pub(crate) fn leftover(&mut self) -> Option<Part> {
        let chunked = self.chunked.as_mut().filter(|chunked| !chunked.data.is_empty() || chunked.chunk.is_some())?;
        let data = chunked.data.split().freeze();
        Some(match chunked.chunk.take() {
            Some((size, extensions)) => Part::Chunk { size, extensions, data },
            None => Part::Data(data),
        })
    }

    /// Whether a whole chunk can not be given any more, because a piece of it was.
    pub(crate) fn is_amid_chunk(&self) -> bool {
        self.piecemeal > 0 || self.loose
    }

    /// What was said at the end of a chunked body, after it has come.
    pub(crate) fn last(&self) -> Option<&(ChunkExtensions, Trailers)> {
        self.chunked.as_ref()?.last.as_ref()
    }

    /// A whole chunk, if this part completes one. `Some(None)` is the end.
    pub(crate) fn chunk(&mut self, part: Option<Part>, limit: usize) -> Result<Option<Option<Chunk>>, Fault> {
        let fits = |size: u64| if size > limit as u64 { Err(Fault::ChunkTooLarge) } else { Ok(()) };
        match part {
            Some(Part::Chunk { size, extensions, data }) => {
                fits(size)?;
                if data.len() as u64 == size {
                    return Ok(Some(Some(Chunk { data, extensions })));
                }
                let chunked = self.chunked.get_or_insert_default();
                chunked.data.extend_from_slice(&data);
                chunked.chunk = Some((size, extensions));
                Ok(None)
            }
            Some(Part::Data(data)) => {
                let Chunked { data: all, chunk, .. } = &mut **self.chunked.get_or_insert_default();
                fits(all.len() as u64 + data.len() as u64)?;
                all.extend_from_slice(&data);
                let whole = chunk.take_if(|(size, _)| *size == all.len() as u64);
                Ok(whole.map(|(_, extensions)| Some(Chunk { data: all.split().freeze(), extensions })))
            }
            last @ Some(Part::Last { .. }) => {
                self.note(last.as_ref());
                Ok(None)
            }
            None => {
                self.note(None);
                let rest = self.chunked.as_mut().map(|chunked| chunked.data.split().freeze());
                Ok(Some(rest.filter(|data| !data.is_empty()).map(Chunk::new)))
            }
        }
    }
}

/// A whole body that is being put together, of at most `limit` octets.
#[derive(Debug)]
pub(crate) struct Whole {
    first: Bytes,
    more: BytesMut,
    limit: usize,
}

impl Whole {
    pub(crate) fn new(limit: usize) -> Self {
        Self { first: Bytes::new(), more: BytesMut::new(), limit }
    }

    /// Whether a body of this length is not to be read at all.
    pub(crate) fn check(&self, remaining: Option<u64>) -> Result<(), Fault> {
        if remaining.is_some_and(|remaining| remaining > self.limit as u64) { Err(Fault::BodyTooLarge) } else { Ok(()) }
    }

    /// One more piece, of a body of which `remaining` octets are still to come.
    pub(crate) fn push(&mut self, data: Bytes, remaining: Option<u64>) -> Result<(), Fault> {
        if data.len() > self.limit - self.len() {
            return Err(Fault::BodyTooLarge);
        }
        match (self.first.is_empty(), self.more.is_empty()) {
            // Most bodies come in one piece, which need not be copied.
            (true, true) => self.first = data,
            (false, _) => {
                // The announced length was checked against the limit, so that room for it may be made.
                let remaining = usize::try_from(remaining.unwrap_or(0)).unwrap_or(0);
                self.more.reserve(self.first.len() + data.len() + remaining);
                self.more.extend_from_slice(&std::mem::take(&mut self.first));
                self.more.extend_from_slice(&data);
            }
            (true, false) => self.more.extend_from_slice(&data),
        }
        Ok(())
    }

    fn len(&self) -> usize {
        self.first.len() + self.more.len()
    }

    pub(crate) fn finish(self) -> Bytes {
        if self.more.is_empty() { self.first } else { self.more.freeze() }
    }
}
