//! The byte stream of a connection that hyper reads and writes.

use std::io::{self, ErrorKind, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::pulse::Pulse;
use crate::alarm::Alarm;
use crate::options::Options;
use crate::state::ServerState;
use crate::stream::{PeerState, Socket, Stream};

/// The most bytes of one read that hyper did not ask for. The bytes are stored for hyper or, at the end of a connection,
/// dropped.
const READ_AHEAD: usize = 4096;

/// The byte stream that hyper reads and writes. It records the results of reads and writes in the [`Pulse`], and detects that
/// the peer is gone.
///
/// Rust drops the fields in the order of their declaration. The socket is therefore closed before dropping the [`Room`] allows
/// the server to accept another connection.
pub(super) struct Io {
    stream: Stream<Socket>,
    pulse: Arc<Pulse>,
    /// Input that was read while the service works. Reading it detects the end of the peer's input.
    ahead: BytesMut,
    /// True if the end of the input has been read.
    is_eof: bool,
    /// The second, counted since the start of the connection, in which the kernel was last asked whether the peer is present.
    asked: u32,
    /// The unsent rest of the response that is sent without hyper, and the length of the body of this response. `None` until
    /// the connection begins to end. The rest is empty if there is no such response.
    last: Option<(Bytes, usize)>,
    is_shut_down: bool,
    _room: Room,
}

impl Io {
    pub(super) fn new(stream: Stream<Socket>, pulse: Arc<Pulse>, room: Room) -> Self {
        let ahead = BytesMut::new();
        Self { stream, pulse, ahead, is_eof: false, asked: 0, last: None, is_shut_down: false, _room: room }
    }

    /// Writes the [last response](Pulse::last_response), if there is one, and half-closes the connection. Then reads and drops
    /// further input, because closing a socket with unread input would reset the connection (RFC 9112 §9.6). The connection's
    /// task ends the connection after a maximum time, or earlier if the peer sends too slowly.
    pub(super) fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.pulse.linger();
        let (last, body_bytes) = self.last.get_or_insert_with(|| {
            let (response, body_bytes) = self.pulse.last_response();
            (response.into(), body_bytes)
        });
        while !last.is_empty() {
            match ready!(self.stream.poll_write(cx, &[IoSlice::new(last)])) {
                Ok(written) => last.advance(written),
                Err(_) => return Poll::Ready(()),
            }
            if last.is_empty() {
                self.pulse.report_refusal(408, *body_bytes);
            }
        }
        if !self.is_shut_down {
            // Shutting down returns no error.
            let _ = ready!(Pin::new(&mut self.stream).poll_shutdown(cx));
            self.is_shut_down = true;
        }
        loop {
            let mut input = [0; READ_AHEAD];
            match ready!(self.stream.poll_read_slice(cx, &mut input)) {
                Ok(read) if read > 0 => self.pulse.received(&input[..read]),
                _ => return Poll::Ready(()),
            }
        }
    }

    /// Reads input into `ahead`, if `ahead` is empty.
    fn poll_read_ahead(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.is_eof || !self.ahead.is_empty() {
            return Poll::Pending;
        }
        ready!(self.stream.poll_readable(cx))?;
        let mut bytes = [0; READ_AHEAD];
        let read = ready!(self.stream.poll_read_slice(cx, &mut bytes))?;
        self.ahead.extend_from_slice(&bytes[..read]);
        self.is_eof = read == 0;
        Poll::Ready(Ok(()))
    }
}

impl Drop for Io {
    fn drop(&mut self) {
        // A reset shows the peer that the response is incomplete.
        if self.pulse.leave_io() && self.last.is_none() {
            self.stream.reset_on_close();
        }
    }
}

impl AsyncRead for Io {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let status = self.pulse.status()?;
        if status.ends {
            // The connection is about to end without hyper, so hyper gets no more input.
            return Poll::Pending;
        }
        if !self.ahead.is_empty() {
            let most = self.ahead.len().min(buffer.remaining());
            let fits = self.ahead.split_to(most);
            buffer.put_slice(&fits);
            self.pulse.received(&fits);
            return Poll::Ready(Ok(()));
        }
        if status.is_upgraded {
            let read = Pin::new(&mut self.stream).poll_read(cx, buffer);
            if read.is_pending() {
                self.pulse.lock().reader = Some(cx.waker().clone());
            }
            return read;
        }
        if !status.is_under_way {
            self.stream.rest()?;
        }
        let bytes = buffer.initialize_unfilled();
        match self.stream.poll_read_slice(cx, bytes)? {
            Poll::Ready(read) => {
                self.pulse.received(&bytes[..read]);
                buffer.advance(read);
                self.is_eof = read == 0;
                Poll::Ready(Ok(()))
            }
            // If the connection is to end and there is no input, hyper gets the end of the input. The kernel is asked for
            // input, because the runtime may not know of new input yet.
            Poll::Pending if self.pulse.read_nothing(cx) && !self.stream.has_input() => Poll::Ready(Ok(())),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl AsyncWrite for Io {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.pulse.status()?.is_upgraded {
            let accepted = Pin::new(&mut self.stream).poll_write_vectored(cx, pieces);
            match &accepted {
                Poll::Ready(written) => self.pulse.wrote_upgraded(*written.as_ref().unwrap_or(&0)),
                Poll::Pending => self.pulse.lock().writer = Some(cx.waker().clone()),
            }
            return accepted;
        }
        let written = self.stream.poll_write(cx, pieces)?;
        self.pulse.wrote(pieces, if let Poll::Ready(bytes) = written { Some(bytes) } else { None });
        written.map(Ok)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    /// Detects that the peer is gone or too slow. hyper calls this method whenever hyper is polled, even if there is
    /// nothing to flush. hyper does not read while the service works, so this method reads and stores some input. It
    /// reads no more until hyper has taken the stored input. It therefore also asks the kernel once a second whether
    /// the peer is gone.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let status = self.pulse.status()?;
        if status.is_upgraded {
            let flushed = Pin::new(&mut self.stream).poll_flush(cx);
            match flushed {
                Poll::Ready(_) => self.pulse.flushed(),
                Poll::Pending => self.pulse.lock().writer = Some(cx.waker().clone()),
            }
            return flushed;
        }
        if status.ends {
            ready!(self.poll_end(cx));
            return Poll::Ready(Err(ErrorKind::TimedOut.into()));
        }
        self.pulse.flushed();
        if status.is_under_way && (self.poll_read_ahead(cx)?.is_ready() || self.asked != status.second) {
            self.asked = status.second;
            match self.stream.peer(self.is_eof) {
                PeerState::Present => {}
                PeerState::HalfClosed => self.pulse.lock().deadline.half_close(status.second),
                PeerState::Gone => return Poll::Ready(Err(ErrorKind::ConnectionReset.into())),
            }
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let is_upgraded = self.pulse.lock().is_upgraded();
        match is_upgraded {
            true => Pin::new(&mut self.stream).poll_shutdown(cx),
            false => self.poll_end(cx).map(Ok),
        }
    }
}

/// The place of a connection among the `max_connections` of a server. Dropping this value makes room for another connection.
pub(super) struct Room {
    pub(super) server: Arc<ServerState>,
    pub(super) alarm: Arc<Alarm>,
    number: u64,
}

impl Room {
    pub(super) fn take(server: Arc<ServerState>, options: &Options, number: u64) -> Self {
        server.counters[0].open.fetch_add(1, Relaxed);
        let alarm = Arc::new(Alarm::new(options.is_secure()));
        server.add(0, number, alarm.clone(), None);
        Self { server, alarm, number }
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.server.leave(0, self.number);
    }
}
