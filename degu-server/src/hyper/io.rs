//! The octets of a connection, as hyper reads and writes them.

use std::io::{self, ErrorKind, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::pulse::Pulse;
use crate::stream::{Socket, Stream};

/// A socket that tells what becomes of reading and writing. It goes back to the connection's task when it is dropped.
#[derive(Debug)]
pub(super) struct Io {
    /// There until the drop.
    socket: Option<Stream<Socket>>,
    pulse: Arc<Pulse>,
}

impl Io {
    pub(super) const fn new(socket: Stream<Socket>, pulse: Arc<Pulse>) -> Self {
        Self { socket: Some(socket), pulse }
    }

    fn socket(&mut self) -> io::Result<&mut Stream<Socket>> {
        if self.pulse.is_cut() {
            return Err(ErrorKind::ConnectionAborted.into());
        }
        self.socket.as_mut().ok_or_else(|| ErrorKind::NotConnected.into())
    }
}

impl Drop for Io {
    fn drop(&mut self) {
        if let Some(socket) = self.socket.take() {
            self.pulse.give_back(socket);
        }
    }
}

impl AsyncRead for Io {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.pulse.rests() {
            self.socket()?.rest()?;
        }
        match self.socket()?.poll_read_slice(cx, buffer.initialize_unfilled())? {
            Poll::Ready(read) => {
                buffer.advance(read);
                self.pulse.received(read);
                Poll::Ready(Ok(()))
            }
            // To hyper, the end. The kernel is asked, since the runtime may not have heard yet of what has come.
            Poll::Pending if self.pulse.starves(cx) && !self.socket()?.has_input() => Poll::Ready(Ok(())),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl AsyncWrite for Io {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, octets: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(octets)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = self.socket()?.poll_write(cx, pieces)?;
        self.pulse.wrote(if let Poll::Ready(octets) = written { Some(octets) } else { None });
        written.map(Ok)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    /// There is nothing to flush, but it is what hyper does whenever it is polled, and it reads nothing while a service
    /// works: so here it shows that the peer is gone for good.
    fn poll_flush(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.pulse.looks() && self.socket()?.is_hung_up() {
            return Poll::Ready(Err(ErrorKind::ConnectionReset.into()));
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.socket()?.poll_shut_down_writing(cx).map(Ok)
    }
}
