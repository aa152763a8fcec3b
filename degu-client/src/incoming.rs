//! What comes back: the response and its body.

use std::{
    fmt,
    future::poll_fn,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use degu_wire::machine::Reason;
use degu_wire::{Chunk, ChunkExtensions, ContentRange, Fault, Headers, LocalError, Part, Source, Trailers};
use futures_core::Stream;

use crate::collect::{Taken, Whole, data_of};
use crate::link::{Link, SourceOf};
use crate::{Error, Reader};

/// A response whose body is still to be read.
///
/// It borrows its connection as long as it is used. Leaving the body unread is all right: the connection stays open if
/// the rest has come already when it is used next, and is closed otherwise.
#[derive(Debug)]
#[non_exhaustive]
pub struct Response<'c> {
    /// The status code, from 200 to 999.
    pub status: u16,
    /// The reason phrase, which is for people.
    pub reason: Reason,
    /// The fields.
    pub headers: Headers,
    /// The body.
    pub body: Incoming<'c>,
}

impl Response<'_> {
    /// Which part of the whole the body is, if the response says so in a form that can be understood
    /// (RFC 9110 §14.4): always for a 206 that is one part.
    pub fn content_range(&self) -> Option<ContentRange> {
        ContentRange::parse(self.headers.get_bytes("content-range")?).ok()
    }
}

/// The body of a response, as it comes in.
///
/// A body that ends before its framing says so is an error in every way of reading. A body that is framed by the end of
/// the connection alone, of a server that says neither length nor chunks, can not be checked like that.
///
/// The end is reported when the exchange is over: when the response has come in full and the request has gone out in
/// full, or nobody reads it any more.
pub struct Incoming<'c> {
    link: &'c mut Link,
    source: SourceOf<dyn Source + Send>,
    taken: Taken,
}

impl<'c> Incoming<'c> {
    pub(crate) fn new(link: &'c mut Link, source: SourceOf<dyn Source + Send>) -> Self {
        Self { link, source, taken: Taken::default() }
    }

    pub(crate) fn fail(&mut self, fault: Fault) -> Error {
        self.link.fail(fault)
    }

    /// What has come next, without a note of it.
    fn poll_raw(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Part>, Error>> {
        if self.taken.ended {
            return Poll::Ready(Ok(None));
        }
        self.link.poll_part(cx, &mut self.source)
    }

    fn poll_part(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Part>, Error>> {
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

    fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Chunk>, Error>> {
        if self.taken.is_amid_chunk() {
            return Poll::Ready(Err(self.link.fail(LocalError::State)));
        }
        let limit = self.link.exchange().machine.limits().max_chunk;
        loop {
            let part = ready!(self.poll_raw(cx))?;
            match self.taken.chunk(part, limit) {
                Ok(Some(chunk)) => return Poll::Ready(Ok(chunk)),
                Ok(None) => {}
                Err(fault) => return Poll::Ready(Err(self.link.fail(fault))),
            }
        }
    }

    /// The whole body, of at most `limit` octets. Trailers are read over.
    ///
    /// # Errors
    ///
    /// [`Fault::BodyTooLarge`](crate::Fault::BodyTooLarge) if there is more: at once where the length is announced.
    /// Whatever else went wrong.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future drops the body: see [`Connection`](crate::Connection).
    pub fn read_all(mut self, limit: usize) -> impl Future<Output = Result<Bytes, Error>> + use<'c> {
        // Not an `async fn`, whose future would hold another copy of the body's handle.
        let mut whole = None;
        poll_fn(move |cx| self.poll_all(cx, limit, &mut whole))
    }

    fn poll_all(
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

    /// The next piece of data as it comes, never empty; `None` at the end. Chunks and pieces have nothing to do with each
    /// other here.
    ///
    /// # Errors
    ///
    /// Whatever went wrong; what has been given before is a part of the body only.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost when the future is dropped.
    pub async fn next_data(&mut self) -> Result<Option<Bytes>, Error> {
        poll_fn(|cx| self.poll_data(cx)).await
    }

    /// The next chunk, whole, with its extensions; `None` at the end. A body that is not chunked is one chunk.
    ///
    /// # Errors
    ///
    /// [`Fault::ChunkTooLarge`](crate::Fault::ChunkTooLarge) if it is over [`Limits::max_chunk`](crate::Limits).
    /// [`LocalError::State`] if a piece of the chunk was given by [`next_data`](Self::next_data). Whatever else went
    /// wrong: there never is a part of a chunk.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost when the future is dropped.
    pub async fn next_chunk(&mut self) -> Result<Option<Chunk>, Error> {
        poll_fn(|cx| self.poll_chunk(cx)).await
    }

    /// The next part as it comes, for those who pass a body on: the beginning of a chunk or all of it, data, or what was
    /// said at the end of the chunks. `None` at the end.
    ///
    /// # Errors
    ///
    /// Whatever went wrong; what has been given before is a part of the body only.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost when the future is dropped.
    pub async fn next_part(&mut self) -> Result<Option<Part>, Error> {
        poll_fn(|cx| self.poll_part(cx)).await
    }

    /// The body as a reader, for what takes one.
    pub fn into_reader(self) -> Reader<'c> {
        Reader::new(self)
    }

    /// How many octets are still to be read, where the length was announced.
    pub fn remaining(&self) -> Option<u64> {
        self.link.exchange().machine.body_remaining().map(|remaining| remaining + self.taken.kept())
    }

    /// The trailer fields of a chunked body, after its end: none before.
    pub fn trailers(&self) -> Option<&Trailers> {
        self.taken.last().map(|(_, trailers)| trailers)
    }

    /// The extensions of the last chunk, which has no data, after the end of the body: none before.
    pub fn last_extensions(&self) -> Option<&ChunkExtensions> {
        self.taken.last().map(|(extensions, _)| extensions)
    }
}

/// The pieces of [`next_data`](Incoming::next_data). After an error there are only errors: a body that failed has no end.
impl Stream for Incoming<'_> {
    type Item = Result<Bytes, Error>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.get_mut().poll_data(cx).map(Result::transpose)
    }
}

impl fmt::Debug for Incoming<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Incoming").field("remaining", &self.remaining()).field("ended", &self.taken.ended).finish()
    }
}
