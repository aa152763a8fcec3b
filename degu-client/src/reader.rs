//! A body as a reader.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncBufRead, AsyncRead, ReadBuf};

use crate::Incoming;

/// The body of a response as a reader: [`Incoming::into_reader`].
///
/// The end of the reader is the end of the body: one that was cut, or is malformed, is an [`io::Error`] with the
/// [`Error`](crate::Error) inside, of the kind [`UnexpectedEof`](io::ErrorKind::UnexpectedEof) if the connection ended
/// too early. Reading on after an error gives errors.
///
/// ```no_run
/// # async fn example(connection: &mut degu_client::Connection) -> Result<(), Box<dyn std::error::Error>> {
/// let mut file = tokio::fs::File::create("copy").await?;
/// tokio::io::copy_buf(&mut connection.get("/large").await?.body.into_reader(), &mut file).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Reader<'c> {
    body: Incoming<'c>,
    piece: Bytes,
}

impl<'c> Reader<'c> {
    pub(crate) fn new(body: Incoming<'c>) -> Self {
        Self { body, piece: Bytes::new() }
    }

    /// The body back, for its trailers. What was read ahead and not consumed is lost.
    pub fn into_body(self) -> Incoming<'c> {
        self.body
    }
}

impl AsyncBufRead for Reader<'_> {
    fn poll_fill_buf(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
        let this = self.get_mut();
        if this.piece.is_empty() {
            this.piece = ready!(this.body.poll_data(cx))?.unwrap_or_default();
        }
        Poll::Ready(Ok(&this.piece))
    }

    fn consume(self: Pin<&mut Self>, octets: usize) {
        self.get_mut().piece.advance(octets);
    }
}

impl AsyncRead for Reader<'_> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let piece = ready!(self.as_mut().poll_fill_buf(cx))?;
        let octets = piece.len().min(buffer.remaining());
        buffer.put_slice(&piece[..octets]);
        self.consume(octets);
        Poll::Ready(Ok(()))
    }
}
