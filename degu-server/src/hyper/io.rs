//! The byte stream of a connection that hyper reads and writes.

use std::io::{self, ErrorKind, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::shared::{Stage, Task};
use crate::connection::Wait;
use crate::report::Report;
use crate::stream::{Socket, Stream};

/// The byte stream that hyper reads and writes, and the service after an upgrade. Each read and write records its
/// result in the [`State`](super::shared::State).
pub(super) struct Io {
    pub(super) task: Arc<Task>,
    /// True after the response with status 101 was written.
    pub(super) is_upgraded: bool,
}

/// Returns the stream, or an error after a shutdown or a revocation has cut the connection.
fn open(stream: &mut Option<Stream<Socket>>) -> io::Result<&mut Stream<Socket>> {
    stream.as_mut().ok_or_else(|| ErrorKind::ConnectionAborted.into())
}

impl Drop for Io {
    /// Closes the socket after an upgrade. Without an upgrade, the connection's task still uses the socket.
    fn drop(&mut self) {
        if self.is_upgraded {
            self.task.shared.lock().stream = None;
        }
    }
}

impl AsyncRead for Io {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let state = &mut *self.task.shared.lock();
        let is_busy = state.is_busy();
        let stream = open(&mut state.stream)?;
        if !state.ahead.is_empty() {
            let fits = state.ahead.split_to(state.ahead.len().min(buffer.remaining()));
            buffer.put_slice(&fits);
            state.received(&fits);
            return Poll::Ready(Ok(()));
        }
        if self.is_upgraded {
            state.reader = Some(cx.waker().clone());
            let filled = buffer.filled().len();
            ready!(Pin::new(stream).poll_read(cx, buffer))?;
            state.moved(buffer.filled().len() - filled);
            return Poll::Ready(Ok(()));
        }
        if !is_busy {
            stream.rest()?;
        }
        let bytes = buffer.initialize_unfilled();
        let read = stream.poll_read_slice(cx, bytes)?;
        if read.is_pending() && !is_busy {
            state.has_dropped_body = false;
            if state.wait == Wait::Handler {
                state.wait = Wait::Request;
            }
        }
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
        let state = &mut *self.task.shared.lock();
        let stream = open(&mut state.stream)?;
        if self.is_upgraded {
            state.writer = Some(cx.waker().clone());
            let written = ready!(Pin::new(stream).poll_write_vectored(cx, pieces))?;
            state.tunneled += written as u64;
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

    /// Before an upgrade, hyper calls this method when all responses are written.
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let shared = &this.task.shared;
        let mut state = shared.lock();
        if this.is_upgraded {
            state.writer = Some(cx.waker().clone());
            return Pin::new(open(&mut state.stream)?).poll_flush(cx);
        }
        if state.stage == Stage::Switching {
            (state.stage, this.is_upgraded) = (Stage::Switched, true);
        }
        let is_done = state.stage == Stage::Done;
        drop(state);
        if is_done {
            shared.report.take().into_iter().for_each(Report::end);
        }
        Poll::Ready(Ok(()))
    }

    /// Shuts the connection down if it was upgraded. Otherwise does nothing, because the connection's task does the shutdown.
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.is_upgraded {
            return Poll::Ready(Ok(()));
        }
        let state = &mut *self.task.shared.lock();
        state.writer = Some(cx.waker().clone());
        Pin::new(open(&mut state.stream)?).poll_shutdown(cx)
    }
}
