//! What either client receives: the response and its body.

use std::{
    fmt,
    task::{Context, Poll, ready},
};

use bytes::{Bytes, BytesMut};
use degu_wire::machine::{Reason, ResponseHead};
use degu_wire::{Chunk, ChunkExtensions, ContentRange, Fault, Headers, LocalError, Part, Trailers};

use crate::error::{Error, ErrorKind, Phase};
use crate::link::{Driver, Link, SourceOf};
use crate::pool::Lease;

/// A response whose body `B` is still to be read.
///
/// It borrows its connection as long as it is used. The body may be left unread: the connection stays open if
/// the rest has been received when it is used next, and is closed otherwise.
#[derive(Debug)]
#[non_exhaustive]
pub struct ResponseOf<B> {
    /// The status code, from 200 to 999.
    pub status: u16,
    /// The reason phrase, which is for people.
    pub reason: Reason,
    /// The fields.
    pub headers: Headers,
    /// The body.
    pub body: B,
}

impl<B> ResponseOf<B> {
    pub(crate) fn new(head: ResponseHead, body: B) -> Self {
        Self { status: head.status(), reason: head.reason(), headers: head.into_headers(), body }
    }

    /// Returns the part of the whole that the body is, if the response says so in a form that can be understood
    /// (RFC 9110 §14.4): always for a 206 that is one part.
    pub fn content_range(&self) -> Option<ContentRange> {
        ContentRange::parse(self.headers.get_bytes("content-range")?).ok()
    }
}

/// The body of a response, as it is received.
///
/// A body that ends before its framing says so is an error in every way of reading. A body that is framed by the end of
/// the connection alone, of a server that says neither length nor chunks, cannot be checked like that.
///
/// The end is reported when the exchange is over: when the response has been received in full and the request has been
/// sent in full, or the server does not read it any more.
///
/// # Cancel safety
///
/// Nothing is lost when the future of a `next_…` method of the async client is dropped.
pub struct IncomingOf<'c, D: Driver> {
    hold: Hold<'c, D>,
    source: SourceOf<D::Source>,
    /// The end was received.
    ended: bool,
    /// Data of the current chunk that is still to come, after a piece of it was returned: without end where there are no
    /// chunks.
    amid_chunk: u64,
    /// The beginning of a chunk that is being put together, or of a body without chunks.
    held: Option<Part>,
    /// The extensions and trailers that came with the end of the chunks.
    last: Option<Box<(ChunkExtensions, Trailers)>>,
}

/// The connection that a body comes from.
enum Hold<'c, D: Driver> {
    /// It is lent by its owner.
    Lent(&'c mut Link<D>),
    /// It goes back to its pool.
    Pooled(Lease<D>),
    /// It went back to its pool at the end of the body.
    Returned,
}

impl<D: Driver> Hold<'_, D> {
    fn link(&mut self) -> Option<&mut Link<D>> {
        match self {
            Self::Lent(link) => Some(link),
            Self::Pooled(lease) => lease.link(),
            Self::Returned => None,
        }
    }

    /// Returns the length of what is still to come, if it is known.
    fn remaining(&self) -> Option<u64> {
        let link = match self {
            Self::Lent(link) => link,
            Self::Pooled(lease) => lease.link_ref()?,
            Self::Returned => return Some(0),
        };
        link.exchange.machine.body_remaining()
    }

    /// Gives a connection back to its pool.
    fn end(&mut self) {
        if let Self::Pooled(_) = self {
            *self = Self::Returned;
        }
    }
}

impl<'c, D: Driver> IncomingOf<'c, D> {
    pub(crate) fn new(link: &'c mut Link<D>, source: SourceOf<D::Source>) -> Self {
        Self::over(Hold::Lent(link), source)
    }

    /// Returns the body of a response whose connection is of a pool. It goes back at once if there is no body.
    pub(crate) fn pooled(mut lease: Lease<D>, source: SourceOf<D::Source>) -> Self {
        let ended = lease.link().is_some_and(|link| link.exchange.has_ended());
        let mut incoming = Self::over(Hold::Pooled(lease), source);
        if ended {
            incoming.end();
        }
        incoming
    }

    fn over(hold: Hold<'c, D>, source: SourceOf<D::Source>) -> Self {
        Self { hold, source, ended: false, amid_chunk: 0, held: None, last: None }
    }

    fn end(&mut self) {
        self.ended = true;
        self.hold.end();
    }

    /// Closes the connection because of what was found in what was read.
    pub(crate) fn fail(&mut self, kind: impl Into<ErrorKind>) -> Error {
        match self.hold.link() {
            Some(link) => link.fail(kind),
            None => Error::new(kind, Phase::ReadingBody),
        }
    }

    /// Returns how many bytes are still to be read, where the length was announced.
    pub fn remaining(&self) -> Option<u64> {
        self.hold.remaining().map(|remaining| remaining + self.held_len())
    }

    /// Returns the trailer fields of a chunked body, after its end: none before.
    pub fn trailers(&self) -> Option<&Trailers> {
        self.last.as_ref().map(|last| &last.1)
    }

    /// Returns the extensions of the last chunk, which has no data, after the end of the body: none before.
    pub fn last_extensions(&self) -> Option<&ChunkExtensions> {
        self.last.as_ref().map(|last| &last.0)
    }

    fn held_len(&self) -> u64 {
        match &self.held {
            Some(Part::Chunk { data, .. } | Part::Data(data)) => data.len() as u64,
            _ => 0,
        }
    }

    /// Polls for the next part that is received, and notes the end.
    fn poll_received(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Part>, Error>> {
        if self.ended {
            return Poll::Ready(Ok(None));
        }
        let Some(link) = self.hold.link() else { return Poll::Ready(Ok(None)) };
        let part = ready!(link.poll_part(cx, &mut self.source))?;
        match &part {
            None => self.end(),
            Some(Part::Last { extensions, trailers }) => {
                self.last = Some(Box::new((extensions.clone(), trailers.clone())));
            }
            Some(_) => {}
        }
        Poll::Ready(Ok(part))
    }

    pub(crate) fn poll_part(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Part>, Error>> {
        let part = match self.held.take() {
            Some(part) => Some(part),
            None => ready!(self.poll_received(cx))?,
        };
        match &part {
            Some(Part::Chunk { size, data, .. }) => self.amid_chunk = size - data.len() as u64,
            Some(Part::Data(data)) => {
                self.amid_chunk = self.amid_chunk.checked_sub(data.len() as u64).unwrap_or(u64::MAX);
            }
            _ => {}
        }
        Poll::Ready(Ok(part))
    }

    pub(crate) fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, Error>> {
        loop {
            match ready!(self.poll_part(cx))? {
                Some(Part::Data(data) | Part::Chunk { data, .. }) if !data.is_empty() => {
                    return Poll::Ready(Ok(Some(data)));
                }
                Some(_) => {}
                None => return Poll::Ready(Ok(None)),
            }
        }
    }

    pub(crate) fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Chunk>, Error>> {
        if self.amid_chunk > 0 {
            return Poll::Ready(Err(self.fail(LocalError::State)));
        }
        let limit = self.hold.link().map_or(u64::MAX, |link| link.exchange.machine.limits().max_chunk as u64);
        loop {
            match self.held.take() {
                Some(Part::Chunk { size, extensions, data }) if data.len() as u64 == size => {
                    return Poll::Ready(Ok(Some(Chunk { data, extensions })));
                }
                Some(Part::Data(data)) if self.ended => return Poll::Ready(Ok(Some(Chunk::new(data)))),
                None if self.ended => return Poll::Ready(Ok(None)),
                held => self.held = held,
            }
            let part = ready!(self.poll_received(cx))?;
            match (&mut self.held, part) {
                (Some(Part::Chunk { data, .. } | Part::Data(data)), Some(Part::Data(piece))) => {
                    *data = append(data, piece, 0);
                }
                (_, Some(Part::Last { .. }) | None) => {}
                (held, part) => *held = part,
            }
            let size = match &self.held {
                Some(Part::Chunk { size, .. }) => *size,
                _ => self.held_len(),
            };
            if size > limit {
                return Poll::Ready(Err(self.fail(Fault::ChunkTooLarge)));
            }
        }
    }

    /// Reads the whole body into `whole`, which is empty at first.
    pub(crate) fn poll_all(
        &mut self,
        cx: &mut Context<'_>,
        limit: usize,
        whole: &mut Bytes,
    ) -> Poll<Result<Bytes, Error>> {
        let room = |whole: &Bytes| (limit - whole.len()) as u64;
        if self.remaining().is_some_and(|remaining| remaining > room(whole)) {
            return Poll::Ready(Err(self.fail(Fault::BodyTooLarge)));
        }
        if self.held.is_none()
            && !self.ended
            && let Some(rest) = self.hold.link().and_then(Link::take_rest)
        {
            self.hold.end();
            return Poll::Ready(Ok(append(whole, rest, 0)));
        }
        while let Some(data) = ready!(self.poll_data(cx))? {
            if data.len() as u64 > room(whole) {
                return Poll::Ready(Err(self.fail(Fault::BodyTooLarge)));
            }
            *whole = append(whole, data, self.remaining().unwrap_or(0));
        }
        Poll::Ready(Ok(std::mem::take(whole)))
    }
}

/// Returns the beginning of a body with a further piece, after which `remaining` bytes follow. A body of one piece is not
/// copied.
fn append(whole: &mut Bytes, piece: Bytes, remaining: u64) -> Bytes {
    if whole.is_empty() {
        return piece;
    }
    let room = piece.len() + remaining as usize;
    let mut all = std::mem::take(whole).try_into_mut().unwrap_or_else(|shared| {
        let mut all = BytesMut::with_capacity(shared.len() + room);
        all.extend_from_slice(&shared);
        all
    });
    all.reserve(room);
    all.extend_from_slice(&piece);
    all.freeze()
}

impl<D: Driver> fmt::Debug for IncomingOf<'_, D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Incoming").field("remaining", &self.remaining()).field("ended", &self.ended).finish()
    }
}

/// Writes the ways of reading a body: of the async client with `async` and `.await`, of the blocking one with nothing in
/// their place.
macro_rules! reads {
    ($driver:ty, $wait:path, [$($async:tt)?], [$($await:tt)*]) => {
        impl crate::incoming::IncomingOf<'_, $driver> {
            /// Reads the whole body, of at most `limit` bytes. Trailers are skipped.
            ///
            /// # Errors
            ///
            /// [`Fault::BodyTooLarge`](crate::Fault::BodyTooLarge) if there is more: at once where the length is announced.
            /// Whatever else went wrong.
            pub $($async)? fn read_all(mut self, limit: usize) -> Result<crate::Bytes, crate::Error> {
                let mut whole = crate::Bytes::new();
                $wait(|cx| self.poll_all(cx, limit, &mut whole)) $($await)*
            }

            /// Reads the next piece of data, which is never empty; `None` at the end. The bounds of pieces have nothing to
            /// do with those of chunks.
            ///
            /// # Errors
            ///
            /// Whatever went wrong; what was returned before is only a part of the body.
            pub $($async)? fn next_data(&mut self) -> Result<Option<crate::Bytes>, crate::Error> {
                $wait(|cx| self.poll_data(cx)) $($await)*
            }

            /// Reads the next chunk, whole, with its extensions; `None` at the end. A body that is not chunked is one chunk.
            ///
            /// # Errors
            ///
            /// [`Fault::ChunkTooLarge`](crate::Fault::ChunkTooLarge) if it is over [`Limits::max_chunk`](crate::Limits).
            /// [`LocalError::State`](crate::LocalError::State) if a piece of the chunk was returned by
            /// [`next_data`](Self::next_data). Whatever else went wrong: a part of a chunk is never returned.
            pub $($async)? fn next_chunk(&mut self) -> Result<Option<crate::Chunk>, crate::Error> {
                $wait(|cx| self.poll_chunk(cx)) $($await)*
            }

            /// Reads the next part as it is received, for passing a body on: the beginning of a chunk or all of it, data,
            /// or what came with the end of the chunks. `None` at the end.
            ///
            /// # Errors
            ///
            /// Whatever went wrong; what was returned before is only a part of the body.
            pub $($async)? fn next_part(&mut self) -> Result<Option<crate::Part>, crate::Error> {
                $wait(|cx| self.poll_part(cx)) $($await)*
            }
        }
    };
}

pub(crate) use reads;
