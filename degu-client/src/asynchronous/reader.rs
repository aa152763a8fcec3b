//! The body of a response as a stream and as a reader of tokio.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use degu_wire::Source;
use futures_core::Stream;
use tokio::io::{AsyncBufRead, AsyncRead, ReadBuf};

use super::driver::Async;
use crate::error::Error;
use crate::incoming::{Hold, IncomingOf};
use crate::reader::Reader;

/// Returns the pieces that `next_data` returns. After an error the stream returns only errors, and never `None`,
/// because `None` would mean that the body is complete.
impl<H: Hold<Async> + Unpin, S: Source + ?Sized> Stream for IncomingOf<Async, H, S> {
    type Item = Result<Bytes, Error>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.get_mut().poll_data(cx).map(Result::transpose)
    }
}

impl<H: Hold<Async>, S: Source + ?Sized> AsyncBufRead for Reader<'_, IncomingOf<Async, H, S>> {
    fn poll_fill_buf(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
        self.get_mut().0.poll_shown(cx).map_err(Into::into)
    }

    fn consume(self: Pin<&mut Self>, bytes: usize) {
        self.get_mut().0.consume(bytes);
    }
}

impl<H: Hold<Async>, S: Source + ?Sized> AsyncRead for Reader<'_, IncomingOf<Async, H, S>> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let body = &mut *self.get_mut().0;
        let shown = ready!(body.poll_shown(cx))?;
        let fits = shown.len().min(buffer.remaining());
        buffer.put_slice(&shown[..fits]);
        body.consume(fits);
        Poll::Ready(Ok(()))
    }
}
