//! The body of a response as a reader.

use std::{
    fmt, io,
    task::{Context, Poll, ready},
};

use bytes::Bytes;

use crate::incoming::IncomingOf;
use crate::link::Driver;

/// The body of a response as a reader: what `into_reader` of a body returns. It is a [`BufRead`](io::BufRead) in the
/// blocking client, and an `AsyncBufRead` of tokio in the async one.
///
/// The end of the reader is the end of the body: one that was cut, or is malformed, is an [`io::Error`] with the
/// [`Error`](crate::Error) inside, of the kind [`UnexpectedEof`](io::ErrorKind::UnexpectedEof) if the connection ended
/// too early. Reading on after an error returns errors.
///
/// ```no_run
/// # fn example(connection: &mut degu_client::blocking::Connection) -> Result<(), Box<dyn std::error::Error>> {
/// let mut file = std::fs::File::create("copy")?;
/// std::io::copy(&mut connection.get("/large")?.body.into_reader(), &mut file)?;
/// # Ok(())
/// # }
/// ```
pub struct ReaderOf<'c, D: Driver> {
    body: IncomingOf<'c, D>,
    /// Bytes that were read ahead; none at the end.
    pub(crate) piece: Bytes,
}

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

impl<D: Driver> fmt::Debug for ReaderOf<'_, D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader").field("body", &self.body).field("ahead", &self.piece.len()).finish()
    }
}
