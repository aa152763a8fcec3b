//! The response that either client receives, and its body.

use std::{
    fmt,
    marker::PhantomData,
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes, BytesMut};
use degu_wire::machine::{Reason, ResponseHead};
use degu_wire::{BoxError, Chunk, ChunkExtensions, ContentRange, Fault, Framing, Headers, Part, Source, Trailers};

use crate::error::{Error, ErrorKind, Phase};
use crate::link::{Driver, Link, SourceOf};
use crate::pool::Lease;

/// The largest amount of memory, in bytes, that is reserved because a server has announced a length.
const RESERVED: u64 = 1024 * 1024;

/// A response whose body `B` is still to be read.
///
/// A response borrows its connection while the response exists. A response from a pool or from `exchange` owns its
/// connection instead.
///
/// The caller may leave the body unread. If the client has received the whole body anyway, the connection stays open.
/// Otherwise the client closes the connection. The client decides this when a borrowed connection is used next, or when
/// a response from a pool is dropped. Dropping a response from `exchange` always closes the connection.
#[derive(Debug)]
#[non_exhaustive]
pub struct ResponseOf<B> {
    /// The status code, from 200 to 999; 101 in [`UpgradeOf::Switched`](crate::UpgradeOf::Switched).
    pub status: u16,
    /// The reason phrase, for people to read. Programs use the status.
    pub reason: Reason,
    /// The header fields.
    pub headers: Headers,
    /// The body.
    pub body: B,
}

impl<B> ResponseOf<B> {
    /// Makes a response of its head and its body. `body` is called after the reason phrase was made, so the compiler
    /// can build the body directly in the response. Copying the body later would cost 60 instructions.
    #[inline(always)]
    pub(crate) fn new(head: ResponseHead, body: impl FnOnce(&ResponseHead) -> B) -> Self {
        let (status, reason) = (head.status(), head.reason());
        let body = body(&head);
        Self { status, reason, headers: head.into_headers(), body }
    }

    /// Returns the position of the body in the whole resource, from the field Content-Range (RFC 9110 §14.4). `None` if
    /// the field is missing or cannot be parsed. A 206 response with a single part always has the field.
    pub fn content_range(&self) -> Option<ContentRange> {
        ContentRange::parse(self.headers.get_bytes("content-range")?).ok()
    }
}

/// The body of a response, as it is received.
///
/// The caller can read the whole body with a limit, or read it piece by piece or chunk by chunk. These methods can be
/// mixed: each call continues where the previous call stopped, and no byte is returned twice.
///
/// If a body ends before its framing allows, every method returns an error. A body without a length and without chunks
/// ends with the connection. Under TLS the server has to announce this end (close_notify). Otherwise every method
/// returns an error. Without TLS the client cannot tell whether such a body is complete.
///
/// A method returns the end of the body only after the end of the exchange. The whole response has then been received.
/// The whole request has been sent, or the server no longer reads the request.
///
/// `D` is the driver of the connection, `H` is the connection, and `S` is the source of the request's body.
///
/// # Cancel safety
///
/// If the future of a `next_…` method of the async client is dropped, no data is lost. If the future of `read_all`,
/// `text` or `json` is dropped, the data that this call has read is lost.
pub struct IncomingOf<D: Driver, H: Hold<D>, S: ?Sized> {
    pub(crate) hold: H,
    driver: PhantomData<fn() -> D>,
    source: SourceOf<S>,
    framing: Framing,
    /// The status of the response, and whether its content-type is JSON.
    #[cfg(feature = "json")]
    kind: (u16, bool),
    /// True after the end of the body has been received.
    pub(crate) ended: bool,
    /// The number of bytes that have not been received: of the body if its length is known, otherwise of the current
    /// chunk.
    left: u64,
    /// A chunk or data that has been received and not been returned.
    held: Option<Part>,
    /// The extensions and trailers that came with the end of the chunks.
    last: Option<Box<(ChunkExtensions, Trailers)>>,
}

/// The connection from which a body is read.
pub(crate) trait Hold<D: Driver> {
    fn link(&mut self) -> Option<&mut Link<D>>;

    /// Records the end of the body. A connection of a pool goes back to the pool.
    fn end(&mut self) {}
}

/// The connection of a response: a connection that the response borrows, or a connection of a pool.
pub struct Lent<'c, D: Driver>(pub(crate) Lender<'c, D>);

pub(crate) enum Lender<'c, D: Driver> {
    Connection(&'c mut Link<D>),
    /// A pool. `None` after the connection has been returned to the pool.
    Pool(Option<Lease<D>>),
}

impl<D: Driver> Lease<D> {
    /// Lends the connection to a response.
    pub(crate) fn lend<'c>(self) -> Lent<'c, D> {
        Lent(Lender::Pool(Some(self)))
    }
}

impl<D: Driver> Hold<D> for Lent<'_, D> {
    fn link(&mut self) -> Option<&mut Link<D>> {
        match &mut self.0 {
            Lender::Connection(link) => Some(link),
            Lender::Pool(lease) => lease.as_mut()?.link(),
        }
    }

    fn end(&mut self) {
        if let Lender::Pool(lease) = &mut self.0 {
            *lease = None;
        }
    }
}

impl<D: Driver> fmt::Debug for Lent<'_, D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lent").finish_non_exhaustive()
    }
}

/// The extensions and trailers of a body that has neither.
static NOTHING: (ChunkExtensions, Trailers) = (ChunkExtensions::new(), Trailers::new());

impl<D: Driver, H: Hold<D>, S: Source + ?Sized> IncomingOf<D, H, S> {
    /// Returns the body of a response. If the exchange has ended already, because there is no body, a connection of a
    /// pool goes back to the pool at once.
    #[inline(always)]
    #[cfg_attr(not(feature = "json"), allow(unused_variables, reason = "only the feature `json` uses the head"))]
    pub(crate) fn new(mut hold: H, source: SourceOf<S>, head: &ResponseHead) -> Self {
        let (framing, ended) = hold.link().map_or((Framing::None, true), |link| link.exchange.body());
        if ended {
            hold.end();
        }
        Self {
            hold,
            driver: PhantomData,
            source,
            framing,
            #[cfg(feature = "json")]
            kind: (head.status(), head.is_json()),
            ended,
            left: if let Framing::Length(length) = framing { length } else { 0 },
            held: None,
            last: None,
        }
    }

    fn end(&mut self) {
        self.ended = true;
        self.hold.end();
    }

    /// Closes the connection because the body is at fault. Returns the error.
    pub(crate) fn fail(&mut self, kind: impl Into<ErrorKind>) -> Error {
        match self.hold.link() {
            Some(link) => link.fail(kind),
            None => Error::new(kind, Phase::ReadingBody),
        }
    }

    /// Returns the framing of the body: whether there is a body, and its length if it is known.
    pub const fn framing(&self) -> Framing {
        self.framing
    }

    /// Returns the number of bytes that are still to be read. If the length was not announced, the result is `None`
    /// before the end of the body, and 0 at the end.
    pub fn remaining(&self) -> Option<u64> {
        let is_known = self.ended || matches!(self.framing, Framing::None | Framing::Length(_));
        is_known.then(|| self.left + self.shown().len() as u64)
    }

    /// Returns the trailer fields after the body has been read to its end, and `None` before.
    pub fn trailers(&self) -> Option<&Trailers> {
        self.last().map(|(_, trailers)| trailers)
    }

    /// Returns the extensions of the last chunk, which has no data, after the body has been read to its end, and `None`
    /// before.
    pub fn last_extensions(&self) -> Option<&ChunkExtensions> {
        self.last().map(|(extensions, _)| extensions)
    }

    /// Returns the extensions and trailers after the end of the body has been read, and `None` before.
    fn last(&self) -> Option<&(ChunkExtensions, Trailers)> {
        self.last.as_deref().or_else(|| self.ended.then_some(&NOTHING))
    }

    /// Polls the link for the next part. Records how many bytes of the chunk are still to come, the last extensions and
    /// trailers, and the end of the body.
    fn poll_received(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Part>, Error>> {
        if self.ended {
            return Poll::Ready(Ok(None));
        }
        let Some(link) = self.hold.link() else { return Poll::Ready(Ok(None)) };
        let part = ready!(link.poll_part(cx, &mut self.source))?;
        match &part {
            None => self.end(),
            Some(Part::Chunk { size, data, .. }) => self.left = size - data.len() as u64,
            Some(Part::Data(data)) => self.left = self.left.saturating_sub(data.len() as u64),
            Some(Part::Last { extensions, trailers }) => {
                self.last = Some(Box::new((extensions.clone(), trailers.clone())));
            }
        }
        Poll::Ready(Ok(part))
    }

    pub(crate) fn poll_part(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Part>, Error>> {
        match self.held.take() {
            None => self.poll_received(cx),
            held => Poll::Ready(Ok(held)),
        }
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
        let limit = self.hold.link().map_or(u64::MAX, |link| link.exchange.machine.limits().max_chunk as u64);
        let is_chunked = self.framing == Framing::Chunked;
        loop {
            if self.left + self.shown().len() as u64 > limit {
                return Poll::Ready(Err(self.fail(Fault::ChunkTooLarge)));
            }
            if self.ended || is_chunked && self.left == 0 {
                match self.held.take() {
                    Some(Part::Chunk { extensions, data, .. }) => {
                        return Poll::Ready(Ok(Some(Chunk { data, extensions })));
                    }
                    Some(Part::Data(data)) => return Poll::Ready(Ok(Some(Chunk::new(data)))),
                    _ if self.ended => return Poll::Ready(Ok(None)),
                    _ => {}
                }
            }
            match (ready!(self.poll_received(cx))?, &mut self.held) {
                (Some(Part::Data(piece)), Some(Part::Data(data) | Part::Chunk { data, .. })) => {
                    *data = append(data, piece, 0);
                }
                (Some(Part::Last { .. }) | None, _) => {}
                (part, held) => *held = part,
            }
        }
    }

    /// Polls until data has been received, and returns the data without consuming it. The result is empty at the end of
    /// the body.
    pub(crate) fn poll_shown(&mut self, cx: &mut Context<'_>) -> Poll<Result<&[u8], Error>> {
        if self.shown().is_empty() {
            self.held = ready!(self.poll_data(cx))?.map(Part::Data);
        }
        Poll::Ready(Ok(self.shown()))
    }

    /// Returns the data that has been received and not been consumed.
    pub(crate) fn shown(&self) -> &[u8] {
        match &self.held {
            Some(Part::Data(data) | Part::Chunk { data, .. }) => data,
            _ => &[],
        }
    }

    /// Consumes this number of bytes of the data that has been received.
    pub(crate) fn consume(&mut self, bytes: usize) {
        if let Some(Part::Data(mut data) | Part::Chunk { mut data, .. }) = self.held.take()
            && bytes < data.len()
        {
            data.advance(bytes);
            self.held = Some(Part::Data(data));
        }
    }

    /// Returns the rest of the body if all of it has been received, and is not longer than the limit. A short body
    /// often arrives with the head.
    #[inline]
    pub(crate) fn take_rest(&mut self, limit: usize) -> Option<Bytes> {
        if self.left > limit as u64 || self.held.is_some() || self.ended {
            return None;
        }
        let rest = self.hold.link()?.take_rest()?;
        self.left = 0;
        self.end();
        Some(rest)
    }

    /// Polls until the rest of the body has been received, and returns the rest. `whole` keeps the data between polls,
    /// and is empty before the first poll.
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
        while let Some(data) = ready!(self.poll_data(cx))? {
            if data.len() as u64 > room(whole) {
                return Poll::Ready(Err(self.fail(Fault::BodyTooLarge)));
            }
            *whole = append(whole, data, self.remaining().unwrap_or(0));
        }
        Poll::Ready(Ok(std::mem::take(whole)))
    }

    /// Checks, before the body is read, that the response has a body whose content-type is JSON.
    #[cfg(feature = "json")]
    pub(crate) fn check_json(&self) -> Result<(), Error> {
        let (status, is_json) = self.kind;
        match self.framing {
            Framing::None | Framing::Length(0) => Err(content(format!("the response has no body (status {status})"))),
            _ if is_json => Ok(()),
            _ => Err(content("`content-type` is neither `application/json` nor a type with the suffix `+json`")),
        }
    }

    /// Parses the rest of the body as JSON.
    #[cfg(feature = "json")]
    pub(crate) fn parse_json<T: serde::de::DeserializeOwned>(&self, rest: &[u8]) -> Result<T, Error> {
        if rest.is_empty() && !matches!(self.framing, Framing::Length(_)) {
            return Err(content("no data is left to parse: the body is empty, or has been read"));
        }
        degu_wire::Json::parse(rest).map(|json| json.0).map_err(content)
    }
}

/// Returns the body as text.
pub(crate) fn parse_text(body: Bytes) -> Result<String, Error> {
    String::from_utf8(body.into())
        .map_err(|error| content(format!("the text is not UTF-8 at byte {}", error.utf8_error().valid_up_to())))
}

/// Returns the error of a body that has been received, but is not of the form that the caller asked for.
fn content(error: impl Into<BoxError>) -> Error {
    Error::new(ErrorKind::Content(error.into()), Phase::ReadingBody)
}

/// Appends a piece to `whole`, and reserves space for the `remaining` bytes, but for at most [`RESERVED`] bytes,
/// because the server may announce more than it sends. A body of one piece is not copied.
#[inline]
fn append(whole: &mut Bytes, piece: Bytes, remaining: u64) -> Bytes {
    if whole.is_empty() {
        return piece;
    }
    let room = piece.len() + remaining.min(RESERVED) as usize;
    let mut all = std::mem::take(whole).try_into_mut().unwrap_or_else(|shared| {
        let mut all = BytesMut::with_capacity(shared.len() + room);
        all.extend_from_slice(&shared);
        all
    });
    all.reserve(room);
    all.extend_from_slice(&piece);
    all.freeze()
}

impl<D: Driver, H: Hold<D>, S: Source + ?Sized> fmt::Debug for IncomingOf<D, H, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Incoming").field("remaining", &self.remaining()).field("ended", &self.ended).finish()
    }
}
