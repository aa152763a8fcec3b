//! The byte stream of a connection that hyper reads and writes.

use std::io::{self, ErrorKind, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::room::Room;
use super::shared::{Shared, Stage};
use crate::stream::{Socket, Stream};

/// The byte stream that hyper reads and writes, and the service after an upgrade. Each read and write records its
/// result in the [`Shared`] state.
pub(super) struct Io {
    pub(super) shared: Arc<Shared>,
    pub(super) _room: Arc<Room>,
}

/// Returns the stream, or an error after a shutdown or a revocation has cut the connection.
fn open(stream: &mut Option<Stream<Socket>>) -> io::Result<&mut Stream<Socket>> {
    stream.as_mut().ok_or_else(|| ErrorKind::ConnectionAborted.into())
}

impl Drop for Io {
    /// Closes the socket after an upgrade. Without an upgrade, the connection's task still uses the socket.
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        if state.is_upgraded() {
            state.stream = None;
        }
    }
}

impl AsyncRead for Io {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let state = &mut *self.shared.lock();
        let is_upgraded = state.is_upgraded();
        let stream = open(&mut state.stream)?;
        if !state.ahead.is_empty() {
            let fits = state.ahead.split_to(state.ahead.len().min(buffer.remaining()));
            buffer.put_slice(&fits);
            state.received(&fits);
            return Poll::Ready(Ok(()));
        }
        if is_upgraded {
            state.reader = Some(cx.waker().clone());
            return Pin::new(stream).poll_read(cx, buffer);
        }
        if state.held == 0 {
            stream.rest()?;
        }
        let bytes = buffer.initialize_unfilled();
        let read = stream.poll_read_slice(cx, bytes)?;
        state.is_starved = read.is_pending();
        let read = ready!(read);
        state.received(&bytes[..read]);
        state.is_eof = read == 0;
        buffer.advance(read);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Io {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let state = &mut *self.shared.lock();
        let is_upgraded = state.is_upgraded();
        let stream = open(&mut state.stream)?;
        if is_upgraded {
            state.writer = Some(cx.waker().clone());
            let written = ready!(Pin::new(stream).poll_write_vectored(cx, pieces))?;
            if let (Stage::Switched, Some(report)) = (state.stage, &mut state.report) {
                report.add(written as u64);
            }
            return Poll::Ready(Ok(written));
        }
        let written = stream.poll_write(cx, pieces)?;
        state.is_blocked = written.is_pending();
        let bytes = ready!(written);
        state.moved(bytes);
        Poll::Ready(Ok(bytes))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let state = &mut *self.shared.lock();
        let is_upgraded = state.is_upgraded();
        let stream = open(&mut state.stream)?;
        if is_upgraded {
            state.writer = Some(cx.waker().clone());
            ready!(Pin::new(stream).poll_flush(cx))?;
            state.stage = Stage::Switched;
        }
        Poll::Ready(Ok(()))
    }

    /// Does nothing before an upgrade, because the connection's task shuts the connection down.
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let state = &mut *self.shared.lock();
        let is_upgraded = state.is_upgraded();
        let stream = open(&mut state.stream)?;
        match is_upgraded {
            true => Pin::new(stream).poll_shutdown(cx),
            false => Poll::Ready(Ok(())),
        }
    }
}
