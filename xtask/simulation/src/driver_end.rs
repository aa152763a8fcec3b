//! The driver's end of a connection: a stream of tokio with the other operations of a socket that drivers use.

use std::io::{self, ErrorKind, IoSlice};
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

    /// Waits until there is input or the end. Sometimes it returns without either, like a socket with outdated
    /// readiness.
    pub fn poll_readable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut state = self.state();
        if state.yields(cx) {
            return Poll::Pending;
        }
        if state.up.is_readable() || state.dice.one_in(32) {
            return Poll::Ready(Ok(()));
        }
        state.reader = Some(cx.waker().clone());
        Poll::Pending
    }

    /// Reads into the spare capacity of the buffer. Returns 0 at the end.
    pub fn poll_read_buffer(&mut self, cx: &mut Context<'_>, buffer: &mut BytesMut) -> Poll<io::Result<usize>> {
        let room = buffer.spare_capacity_mut().len();
        self.state().poll_read(cx, room).map_ok(|bytes| {
            buffer.extend_from_slice(&bytes);
            bytes.len()
        })
    }

    /// Reads into the slice without waiting. Returns 0 at the end.
    ///
    /// # Errors
    ///
    /// The connection was reset. `WouldBlock` if there is no input, and sometimes although there is input.
    pub fn try_read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let mut state = self.state();
        if !state.up.is_readable() || state.dice.one_in(3) {
            return Err(ErrorKind::WouldBlock.into());
        }
        match state.poll_read(&Context::from_waker(Waker::noop()), bytes.len()) {
            Poll::Ready(read) => read.map(|read| {
                bytes[..read.len()].copy_from_slice(&read);
                read.len()
            }),
            Poll::Pending => Err(ErrorKind::WouldBlock.into()),
        }
    }

    /// Writes as many bytes of the pieces as there is room for.
    pub fn poll_write_pieces(&mut self, cx: &mut Context<'_>, pieces: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        self.state().poll_write(cx, pieces)
    }

    /// Returns the number of bytes that have arrived and have not been read, and the end if it has arrived.
    pub fn peek(&self) -> (usize, Option<End>) {
        let state = self.state();
        (state.up.here.len(), state.up.ended)
    }

    /// Returns whether the connection has ended in both directions.
    pub fn is_hung_up(&self) -> bool {
        let state = self.state();
        state.is_broken() || state.up.ended.is_some() && state.down.ends.is_some()
    }

    /// Returns whether the peer has half-closed a TCP connection. `is_eof` is true if the driver has read the end.
    pub fn has_half_closed(&self, is_eof: bool) -> bool {
        let state = self.state();
        state.transport == Transport::Tcp && (is_eof || state.up.ended.is_some())
    }

    /// Half-closes the connection.
    pub fn shut_down_writing(&self) {
        self.state().down.ends.get_or_insert(End::Finished);
    }

    /// Makes dropping this end reset a TCP connection.
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
