//! The body of a response as a stream and as a reader of tokio.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes};
use futures_core::Stream;
use tokio::io::{AsyncBufRead, AsyncRead, ReadBuf};

use super::driver::Async;
use crate::error::Error;
use crate::incoming::IncomingOf;
use crate::reader::ReaderOf;

/// The pieces of `next_data`. After an error there are only errors: a body that failed has no end.
impl Stream for IncomingOf<'_, Async> {
    type Item = Result<Bytes, Error>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.get_mut().poll_data(cx).map(Result::transpose)
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
