//! The body of a response as a reader.

use std::fmt;

use crate::incoming::IncomingOf;
use crate::link::Driver;

/// The body of a response as a reader: what `reader` of a body returns. It is a [`BufRead`](std::io::BufRead) in the
/// blocking client, and an `AsyncBufRead` of tokio in the async one.
///
/// It holds nothing of its own: what was not consumed is still in the body when the reader is dropped, and the trailers are
/// there at the end.
///
/// The end of the reader is the end of the body: one that was cut, or is malformed, is an [`io::Error`](std::io::Error)
/// with the [`Error`](crate::Error) inside, of the kind [`UnexpectedEof`](std::io::ErrorKind::UnexpectedEof) if the connection
/// ended too early. Reading on after an error returns errors.
///
/// ```no_run
/// # fn example(connection: &mut degu_client::blocking::Connection) -> Result<(), Box<dyn std::error::Error>> {
/// let mut response = connection.get("/large")?;
/// std::io::copy(&mut response.body.reader(), &mut std::fs::File::create("copy")?)?;
/// # Ok(())
/// # }
/// ```
pub struct Reader<'b, B>(pub(crate) &'b mut B);

impl<D: Driver> IncomingOf<'_, D> {
    /// Returns the rest of the body as a reader.
    pub const fn reader(&mut self) -> Reader<'_, Self> {
        Reader(self)
    }
}

impl<B: fmt::Debug> fmt::Debug for Reader<'_, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Reader").field(self.0).finish()
    }
}
