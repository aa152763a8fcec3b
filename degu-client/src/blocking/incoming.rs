//! What comes back: the response and its body.

use std::fmt;

use bytes::Bytes;
use degu_wire::machine::Reason;
use degu_wire::{Chunk, ChunkExtensions, ContentRange, Fault, Headers, LocalError, Part, Trailers};

use super::body::Parts;
use super::link::Link;
use super::reader::Reader;
use crate::Error;
use crate::collect::{Taken, Whole, data_of};

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
    parts: Option<Box<Parts>>,
    taken: Taken,
}

impl<'c> Incoming<'c> {
    pub(super) fn new(link: &'c mut Link, parts: Option<Box<Parts>>) -> Self {
        Self { link, parts, taken: Taken::default() }
    }

    pub(super) fn fail(&mut self, fault: Fault) -> Error {
        self.link.fail(fault)
    }

    /// What has come next, without a note of it.
    fn next(&mut self) -> Result<Option<Part>, Error> {
        if self.taken.ended {
            return Ok(None);
        }
        self.link.next_part(&mut self.parts)
    }

    /// The whole body, of at most `limit` octets. Trailers are read over.
    ///
    /// # Errors
    ///
    /// [`Fault::BodyTooLarge`](crate::Fault::BodyTooLarge) if there is more: at once where the length is announced.
    /// Whatever else went wrong.
    pub fn read_all(mut self, limit: usize) -> Result<Bytes, Error> {
        Whole::check(self.remaining(), limit).map_err(|fault| self.link.fail(fault))?;
        if let Some(rest) = self.taken.is_clear().then(|| self.link.take_rest()).flatten() {
            return Ok(rest);
        }
        let mut whole = Whole::new(limit);
        while let Some(data) = self.next_data()? {
            let remaining = self.remaining();
            whole.push(data, remaining).map_err(|fault| self.link.fail(fault))?;
        }
        Ok(whole.finish())
    }

    /// The next piece of data as it comes, never empty; `None` at the end. Chunks and pieces have nothing to do with each
    /// other here.
    ///
    /// # Errors
    ///
    /// Whatever went wrong; what has been given before is a part of the body only.
    pub fn next_data(&mut self) -> Result<Option<Bytes>, Error> {
        while let Some(part) = self.next_part()? {
            if let Some(data) = data_of(part) {
                return Ok(Some(data));
            }
        }
        Ok(None)
    }

    /// The next chunk, whole, with its extensions; `None` at the end. A body that is not chunked is one chunk.
    ///
    /// # Errors
    ///
    /// [`Fault::ChunkTooLarge`](crate::Fault::ChunkTooLarge) if it is over [`Limits::max_chunk`](crate::Limits).
    /// [`LocalError::State`] if a piece of the chunk was given by [`next_data`](Self::next_data). Whatever else went
    /// wrong: there never is a part of a chunk.
    pub fn next_chunk(&mut self) -> Result<Option<Chunk>, Error> {
        if self.taken.is_amid_chunk() {
            return Err(self.link.fail(LocalError::State));
        }
        let limit = self.link.exchange().machine.limits().max_chunk;
        loop {
            let part = self.next()?;
            match self.taken.chunk(part, limit) {
                Ok(Some(chunk)) => return Ok(chunk),
                Ok(None) => {}
                Err(fault) => return Err(self.link.fail(fault)),
            }
        }
    }

    /// The next part as it comes, for those who pass a body on: the beginning of a chunk or all of it, data, or what was
    /// said at the end of the chunks. `None` at the end.
    ///
    /// # Errors
    ///
    /// Whatever went wrong; what has been given before is a part of the body only.
    pub fn next_part(&mut self) -> Result<Option<Part>, Error> {
        let part = match self.taken.leftover() {
            Some(part) => Some(part),
            None => self.next()?,
        };
        self.taken.note(part.as_ref());
        Ok(part)
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

impl fmt::Debug for Incoming<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Incoming").field("remaining", &self.remaining()).field("ended", &self.taken.ended).finish()
    }
}
