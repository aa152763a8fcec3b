//! The body of a response as a reader.

use std::{
    fmt, io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncBufRead, AsyncRead, ReadBuf};

use crate::driver::Async;
use crate::incoming::IncomingOf;
use crate::link::Driver;

/// The body of a response as a reader: what `into_reader` of a body returns. It is a [`BufRead`](io::BufRead) in the
/// blocking client, and an [`AsyncBufRead`] in the async one.
///
/// The end of the reader is the end of the body: one that was cut, or is malformed, is an [`io::Error`] with the
/// [`Error`](crate::Error) inside, of the kind [`UnexpectedEof`](io::ErrorKind::UnexpectedEof) if the connection ended
/// too early. Reading on after an error returns errors.
///
/// ```no_run
/// # async fn example(connection: &mut degu_client::Connection) -> Result<(), Box<dyn std::error::Error>> {
/// let mut file = tokio::fs::File::create("copy").await?;
/// tokio::io::copy_buf(&mut connection.get("/large").await?.body.into_reader(), &mut file).await?;
/// # Ok(())
/// # }
/// ```
pub struct ReaderOf<'c, D: Driver> {
    body: IncomingOf<'c, D>,
    /// Bytes that were read ahead; none at the end.
    pub(crate) piece: Bytes,
}

/// A [reader](ReaderOf) of the async client.
pub type Reader<'c> = ReaderOf<'c, Async>;

impl<'c, D: Driver> IncomingOf<'c, D> {
    /// Turns the body into a reader.
    pub fn into_reader(self) -> ReaderOf<'c, D> {
        ReaderOf { body: self, piece: Bytes::new() }
    }
}

impl<'c, D: Driver> ReaderOf<'c, D> {
    /// Returns the body, for its trailers. What was read ahead and not consumed is lost.
    pub fn into_body(self) -> IncomingOf<'c, D> {
        self.body
    }

    /// Reads ahead if there is nothing left of the piece before.
    pub(crate) fn poll_ahead(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.piece.is_empty() {
            self.piece = ready!(self.body.poll_data(cx))?.unwrap_or_default();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncBufRead for ReaderOf<'_, Async> {
    fn poll_fill_buf(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
        let this = self.get_mut();
        this.poll_ahead(cx).map_ok(|()| &this.piece[..])
    }

    fn consume(self: Pin<&mut Self>, octets: usize) {
        self.get_mut().piece.advance(octets);
    }
}

impl AsyncRead for ReaderOf<'_, Async> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_ahead(cx))?;
        let octets = this.piece.len().min(buffer.remaining());
        buffer.put_slice(&this.piece.split_to(octets));
        Poll::Ready(Ok(()))
    }
}

impl<D: Driver> fmt::Debug for ReaderOf<'_, D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader").field("body", &self.body).field("ahead", &self.piece.len()).finish()
    }
}
