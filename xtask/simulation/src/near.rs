//! The driver's end of a connection: a stream, and what a driver asks of a socket.

use std::fmt;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::pipe::{End, Pipe, State, Transport};

impl Pipe {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ready when there is input, or its end.
    pub fn poll_readable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut state = self.state();
        if state.yields(cx) {
            return Poll::Pending;
        }
        // A readiness may be out of date.
        if state.up.is_readable() || state.dice.one_in(32) {
            return Poll::Ready(Ok(()));
        }
        state.reader = Some(cx.waker().clone());
        Poll::Pending
    }

    /// Appends what has come; 0 bytes are the end.
    pub fn poll_read_buffer(&mut self, cx: &mut Context<'_>, buffer: &mut BytesMut) -> Poll<io::Result<usize>> {
        // As a read into the free room of a buffer does.
        let room = buffer.spare_capacity_mut().len();
        self.state().poll_read(cx, room).map_ok(|bytes| {
            buffer.extend_from_slice(&bytes);
            bytes.len()
        })
    }

    /// Appends what is here, without asking to be woken; 0 bytes are the end, and `None` is nothing.
    ///
    /// # Errors
    ///
    /// The connection was reset.
    pub fn try_read(&mut self, buffer: &mut BytesMut) -> io::Result<Option<usize>> {
        let mut state = self.state();
        if !state.up.is_readable() || state.dice.one_in(3) {
            return Ok(None);
        }
        let (cx, room) = (Context::from_waker(Waker::noop()), buffer.spare_capacity_mut().len());
        match state.poll_read(&cx, room) {
            Poll::Ready(bytes) => bytes.map(|bytes| {
                buffer.extend_from_slice(&bytes);
                Some(bytes.len())
            }),
            Poll::Pending => Ok(None),
        }
    }

    /// Writes as much of the pieces as there is room for.
    pub fn poll_write_pieces(&mut self, cx: &mut Context<'_>, pieces: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        self.state().poll_write(cx, pieces)
    }

    /// Returns whether there is something to read now, the end included.
    pub fn has_input(&self) -> bool {
        self.state().up.is_readable()
    }

    /// Returns the number of bytes that have come and were not taken, and the end if it follows them.
    pub fn peek(&self) -> (usize, Option<End>) {
        let state = self.state();
        (state.up.here.len(), state.up.ended)
    }

    /// Returns whether the peer has closed both directions.
    pub fn is_hung_up(&self) -> bool {
        let state = self.state();
        state.is_broken() || state.up.ended.is_some() && state.down.ends.is_some()
    }

    /// Returns whether the peer has ended its side of a TCP connection; `is_eof` says that the end has been read.
    pub fn has_half_closed(&self, is_eof: bool) -> bool {
        let state = self.state();
        state.transport == Transport::Tcp && (is_eof || state.up.ended.is_some())
    }

    /// Says that nothing more will be written.
    pub fn shut_down_writing(&self) {
        self.state().down.ends.get_or_insert(End::Finished);
    }

    /// Makes closing look like a failure.
    pub fn reset_on_close(&self) {
        self.state().resets = true;
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        let mut state = self.state();
        state.dropped = true;
        let unread = !state.up.here.is_empty() || !state.up.flight.is_empty();
        let tcp = state.transport == Transport::Tcp;
        if unread || state.resets && tcp {
            state.down.reset(tcp);
        } else {
            state.down.ends.get_or_insert(End::Finished);
        }
    }
}

impl AsyncRead for Pipe {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let read = self.state().poll_read(cx, buffer.remaining());
        read.map_ok(|bytes| buffer.put_slice(&bytes))
    }
}

impl AsyncWrite for Pipe {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.state().poll_write(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.state().poll_write(cx, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.shut_down_writing();
        Poll::Ready(Ok(()))
    }
}

impl fmt::Debug for Pipe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.state().fmt(f)
    }
}
