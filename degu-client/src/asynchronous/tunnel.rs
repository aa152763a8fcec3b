//! The async byte stream of a connection that has switched to another protocol.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::task::coop::poll_proceed;

use super::driver::Async;
use crate::tunnel::{MOST_PIECES, MOST_READ, TunnelOf};

impl AsyncRead for TunnelOf<Async> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let Self { stream, received } = self.get_mut();
        if received.is_empty() && buffer.remaining() > 0 {
            received.reserve(buffer.remaining().min(MOST_READ));
            ready!(stream.poll_read(cx, received))?;
        }
        let fits = received.len().min(buffer.remaining());
        buffer.put_slice(&received.split_to(fits));
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for TunnelOf<Async> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if pieces.iter().all(|piece| piece.is_empty()) {
            return Poll::Ready(Ok(0));
        }
        // This step of tokio's cooperative scheduling gives other tasks their turn, even if the socket always has room.
        let turn = ready!(poll_proceed(cx));
        let written = self.get_mut().stream.poll_accept(cx, &pieces[..pieces.len().min(MOST_PIECES)]);
        if written.is_ready() {
            turn.made_progress();
        }
        written
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().stream.poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().stream.poll_shutdown(cx)
    }
}
