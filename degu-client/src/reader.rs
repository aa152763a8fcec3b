//! The body of a response as a reader.

use degu_wire::Source;

use crate::incoming::{Hold, IncomingOf};
use crate::link::Driver;

/// The body of a response as a reader, returned by the method `reader` of a body. The reader is a
/// [`BufRead`](std::io::BufRead) in the blocking client, and an `AsyncBufRead` of tokio in the async client.
///
/// The reader has no buffer of its own. When the reader is dropped, unread data is still in the body. After the
/// reader's end, `trailers` of the body returns the trailers.
///
/// The end of the reader is the end of the body. If the body is incomplete or malformed, a read returns an
/// [`io::Error`](std::io::Error) that contains the [`Error`](crate::Error). The kind of the I/O error is
/// [`UnexpectedEof`](std::io::ErrorKind::UnexpectedEof) if the connection ended too early. After an error, every
/// further read returns an error.
///
/// ```no_run
/// # fn example(connection: &mut degu_client::blocking::Connection) -> Result<(), Box<dyn std::error::Error>> {
/// let mut response = connection.get("/large")?;
/// std::io::copy(&mut response.body.reader(), &mut std::fs::File::create("copy")?)?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Reader<'b, B>(pub(crate) &'b mut B);

impl<D: Driver, H: Hold<D>, S: Source + ?Sized> IncomingOf<D, H, S> {
    /// Returns the rest of the body as a reader.
    pub const fn reader(&mut self) -> Reader<'_, Self> {
        Reader(self)
    }
}
