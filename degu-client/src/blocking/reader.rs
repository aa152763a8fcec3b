//! A body as a reader.

use std::io::{self, BufRead, Read};

use bytes::{Buf, Bytes};

use super::Incoming;

/// The body of a response as a reader: [`Incoming::into_reader`].
///
/// The end of the reader is the end of the body: one that was cut, or is malformed, is an [`io::Error`] with the
/// [`Error`](crate::Error) inside, of the kind [`UnexpectedEof`](io::ErrorKind::UnexpectedEof) if the connection ended
/// too early. Reading on after an error gives errors.
///
/// ```no_run
/// # fn example(connection: &mut degu_client::blocking::Connection) -> Result<(), Box<dyn std::error::Error>> {
/// let mut file = std::fs::File::create("copy")?;
/// std::io::copy(&mut connection.get("/large")?.body.into_reader(), &mut file)?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Reader<'c> {
    body: Incoming<'c>,
    piece: Bytes,
}

impl<'c> Reader<'c> {
    pub(super) fn new(body: Incoming<'c>) -> Self {
        Self { body, piece: Bytes::new() }
    }

    /// The body back, for its trailers. What was read ahead and not consumed is lost.
    pub fn into_body(self) -> Incoming<'c> {
        self.body
    }
}

impl BufRead for Reader<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.piece.is_empty() {
            self.piece = self.body.next_data()?.unwrap_or_default();
        }
        Ok(&self.piece)
    }

    fn consume(&mut self, octets: usize) {
        self.piece.advance(octets);
    }
}

impl Read for Reader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let octets = self.fill_buf()?.read(buffer)?;
        self.consume(octets);
        Ok(octets)
    }
}
