//! The octets of a connection, as hyper reads and writes them.

use std::io::{self, ErrorKind, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::pulse::Pulse;
use crate::stream::{PeerState, Socket, Stream};

/// The number of bytes that are read ahead of hyper.
const READ_AHEAD: usize = 4096;

/// A socket that tells what becomes of reading and writing. It goes back to the connection's task when it is dropped.
#[derive(Debug)]
pub(super) struct Io {
    /// There until the drop.
    socket: Option<Stream<Socket>>,
    pulse: Arc<Pulse>,
    /// Input that arrived while the service worked, so that the peer's end shows.
    ahead: BytesMut,
    /// The end of the input has been read.
    is_eof: bool,
}

impl Io {
    pub(super) fn new(socket: Stream<Socket>, pulse: Arc<Pulse>) -> Self {
        Self { socket: Some(socket), pulse, ahead: BytesMut::new(), is_eof: false }
    }

    fn socket(&mut self) -> io::Result<&mut Stream<Socket>> {
        if self.pulse.is_cut() {
            return Err(ErrorKind::ConnectionAborted.into());
        }
        self.socket.as_mut().ok_or_else(|| ErrorKind::NotConnected.into())
    }
}

impl Io {
    /// Reads some input, unless that has been done.
    fn poll_read_ahead(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.is_eof || !self.ahead.is_empty() {
            return Poll::Pending;
        }
        ready!(self.socket()?.poll_readable(cx))?;
        let mut bytes = [0; READ_AHEAD];
        let read = ready!(self.socket()?.poll_read_slice(cx, &mut bytes))?;
        self.ahead.extend_from_slice(&bytes[..read]);
        self.is_eof = read == 0;
        Poll::Ready(Ok(()))
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
        if !self.ahead.is_empty() {
            let fits = self.ahead.len().min(buffer.remaining());
            buffer.put_slice(&self.ahead.split_to(fits));
            self.pulse.received(fits);
            return Poll::Ready(Ok(()));
        }
        match self.socket()?.poll_read_slice(cx, buffer.initialize_unfilled())? {
            Poll::Ready(read) => {
                buffer.advance(read);
                self.is_eof = read == 0;
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

    /// Notices that the peer goes away: there is nothing to flush, but it is what hyper does whenever it is polled, and it
    /// reads nothing while a service works. So some input is read here; behind that the kernel is asked, once a second.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.pulse.is_under_way() {
            let has_read = self.poll_read_ahead(cx)?.is_ready();
            if self.pulse.looks() || has_read {
                let is_eof = self.is_eof;
                match self.socket()?.peer(is_eof) {
                    PeerState::Present => {}
                    PeerState::HalfClosed => self.pulse.half_close(),
                    PeerState::Gone => return Poll::Ready(Err(ErrorKind::ConnectionReset.into())),
                }
            }
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.socket()?.poll_shut_down_writing(cx).map(Ok)
    }
}
