//! What either client receives: the response and its body.

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use degu_wire::machine::{Reason, ResponseHead};
use degu_wire::{Chunk, ChunkExtensions, ContentRange, Fault, Headers, LocalError, Part, Trailers};
use futures_core::Stream;

use crate::collect::{Taken, Whole, data_of};
use crate::driver::Async;
use crate::error::Error;
use crate::link::{Driver, Link, SourceOf};
use crate::reader::ReaderOf;

/// A response whose body is still to be read.
///
/// It borrows its connection as long as it is used. The body may be left unread: the connection stays open if the rest has
/// been received when it is used next, and is closed otherwise.
#[derive(Debug)]
#[non_exhaustive]
pub struct ResponseOf<'c, D: Driver> {
    /// The status code, from 200 to 999.
    pub status: u16,
    /// The reason phrase, which is for people.
    pub reason: Reason,
    /// The fields.
    pub headers: Headers,
    /// The body.
    pub body: IncomingOf<'c, D>,
}

/// A [response](ResponseOf) of the async client.
pub type Response<'c> = ResponseOf<'c, Async>;

impl<'c, D: Driver> ResponseOf<'c, D> {
    pub(crate) fn new(head: ResponseHead, link: &'c mut Link<D>, source: SourceOf<D::Source>) -> Self {
        let (status, reason) = (head.status(), head.reason());
        let body = IncomingOf { link, source, taken: Taken::default() };
        Self { status, reason, headers: head.into_headers(), body }
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
    link: &'c mut Link<D>,
    source: SourceOf<D::Source>,
    taken: Taken,
}

/// The [body](IncomingOf) of a response of the async client, which is a stream of the pieces that `next_data` returns, too.
pub type Incoming<'c> = IncomingOf<'c, Async>;

impl<'c, D: Driver> IncomingOf<'c, D> {
    /// Turns the body into a reader.
    pub fn into_reader(self) -> ReaderOf<'c, D> {
        ReaderOf::new(self)
    }

    /// Returns how many bytes are still to be read, where the length was announced.
    pub fn remaining(&self) -> Option<u64> {
        self.link.exchange().remaining().map(|remaining| remaining + self.taken.kept())
    }

    /// Returns the trailer fields of a chunked body, after its end: none before.
    pub fn trailers(&self) -> Option<&Trailers> {
        self.taken.last().map(|(_, trailers)| trailers)
    }

    /// Returns the extensions of the last chunk, which has no data, after the end of the body: none before.
    pub fn last_extensions(&self) -> Option<&ChunkExtensions> {
        self.taken.last().map(|(extensions, _)| extensions)
    }

    pub(crate) fn fail(&mut self, fault: Fault) -> Error {
        self.link.fail(fault)
    }

    /// Polls for the next part, without a note of it.
    fn poll_raw(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Part>, Error>> {
        if self.taken.ended {
            return Poll::Ready(Ok(None));
        }
        self.link.poll_part(cx, &mut self.source)
    }

    pub(crate) fn poll_part(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Part>, Error>> {
        let part = match self.taken.leftover() {
            Some(part) => Some(part),
            None => ready!(self.poll_raw(cx))?,
        };
        self.taken.note(part.as_ref());
        Poll::Ready(Ok(part))
    }

    pub(crate) fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, Error>> {
        loop {
            let Some(part) = ready!(self.poll_part(cx))? else { return Poll::Ready(Ok(None)) };
            if let Some(data) = data_of(part) {
                return Poll::Ready(Ok(Some(data)));
            }
        }
    }

    pub(crate) fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Chunk>, Error>> {
        if self.taken.is_amid_chunk() {
            return Poll::Ready(Err(self.link.fail(LocalError::State)));
        }
        let limit = self.link.exchange().max_chunk();
        loop {
            let part = ready!(self.poll_raw(cx))?;
            match self.taken.chunk(part, limit) {
                Ok(Some(chunk)) => return Poll::Ready(Ok(chunk)),
                Ok(None) => {}
                Err(fault) => return Poll::Ready(Err(self.link.fail(fault))),
            }
        }
    }

    pub(crate) fn poll_all(
        &mut self,
        cx: &mut Context<'_>,
        limit: usize,
        whole: &mut Option<Whole>,
    ) -> Poll<Result<Bytes, Error>> {
        if whole.is_none() {
            Whole::check(self.remaining(), limit).map_err(|fault| self.link.fail(fault))?;
            if let Some(rest) = self.taken.is_clear().then(|| self.link.take_rest()).flatten() {
                return Poll::Ready(Ok(rest));
            }
        }
        let whole = whole.get_or_insert_with(|| Whole::new(limit));
        while let Some(data) = ready!(self.poll_data(cx))? {
            let remaining = self.remaining();
            whole.push(data, remaining).map_err(|fault| self.link.fail(fault))?;
        }
        Poll::Ready(Ok(std::mem::take(whole).finish()))
    }
}

/// The pieces of `next_data`. After an error there are only errors: a body that failed has no end.
impl Stream for IncomingOf<'_, Async> {
    type Item = Result<Bytes, Error>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.get_mut().poll_data(cx).map(Result::transpose)
    }
}

impl<D: Driver> fmt::Debug for IncomingOf<'_, D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Incoming").field("remaining", &self.remaining()).field("ended", &self.taken.ended).finish()
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
                let mut whole = None;
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
