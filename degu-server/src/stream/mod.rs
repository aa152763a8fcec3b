//! The byte stream of a connection: a transport with or without TLS. Connections of apps and of `hyper::serve` use it.
//!
//! ```text
//!   Stream ─▶ Tls, if there is a policy ─▶ Transport: a Socket, or a pipe in the simulation
//! ```

mod socket;
#[cfg(feature = "tls")]
mod tls;
mod transport;

#[cfg(feature = "tls")]
use std::future::poll_fn;
use std::io::{self, ErrorKind, IoSlice};
#[cfg(feature = "tls")]
use std::pin::pin;
#[cfg(feature = "tls")]
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::BytesMut;

pub(crate) use socket::Socket;
#[cfg(feature = "tls")]
use tls::{Io, Tls};
pub(crate) use transport::{PeerState, Transport};

/// The byte stream of a connection.
#[derive(Debug)]
pub(crate) struct Stream<T: Transport> {
    transport: T,
    #[cfg(feature = "tls")]
    tls: Option<Box<Tls>>,
}

impl<T: Transport> Stream<T> {
    pub(crate) const fn new(transport: T) -> Self {
        Self {
            transport,
            #[cfg(feature = "tls")]
            tls: None,
        }
    }

    /// Polls until there is input, or the end of the input.
    pub(crate) fn poll_readable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        #[cfg(feature = "tls")]
        if self.tls.as_mut().is_some_and(|tls| tls.secured.has_input()) {
            return Poll::Ready(Ok(()));
        }
        self.transport.poll_readable(cx)
    }

    /// Reads input, and appends it to the buffer. A small read may first store the bytes in `scratch`. Returns the number of
    /// bytes, which is 0 at the end of the input.
    pub(crate) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        scratch: &mut [u8],
        buffer: &mut BytesMut,
    ) -> Poll<io::Result<usize>> {
        #[cfg(feature = "tls")]
        if let Some(tls) = &mut self.tls {
            let io = &mut Io::reading(&mut self.transport, cx);
            return tls::pending(tls.read(io, append(buffer)));
        }
        self.transport.poll_read(cx, scratch, buffer)
    }

    /// Reads input into a slice. Returns the number of bytes, which is 0 at the end of the input.
    pub(crate) fn poll_read_slice(&mut self, cx: &mut Context<'_>, bytes: &mut [u8]) -> Poll<io::Result<usize>> {
        #[cfg(feature = "tls")]
        if let Some(tls) = &mut self.tls {
            let io = &mut Io::reading(&mut self.transport, cx);
            let mut filled = 0;
            // There may be several pieces, one from each TLS record.
            return tls::pending(tls.read(io, |plain| {
                let fits = plain.len().min(bytes.len() - filled);
                bytes[filled..filled + fits].copy_from_slice(&plain[..fits]);
                filled += fits;
                fits
            }));
        }
        self.transport.poll_read_slice(cx, bytes)
    }

    /// Reads bytes of another protocol into a slice, which must not be empty. Returns the number of bytes, which is 0 at the
    /// end of the input. Under TLS an end of the input without close_notify is an error, because the other protocol may not
    /// show whether its data is complete.
    ///
    /// If there is no input, the peer may wait for bytes that [`poll_accept`](Self::poll_accept) has taken. This method then
    /// sends them, unless another task waits to write.
    pub(crate) fn poll_read_tunnel(&mut self, cx: &mut Context<'_>, bytes: &mut [u8]) -> Poll<io::Result<usize>> {
        let read = self.poll_read_slice(cx, bytes);
        #[cfg(feature = "tls")]
        if let Some(tls) = &mut self.tls {
            if matches!(read, Poll::Ready(Ok(0))) && tls.is_truncated {
                return Poll::Ready(Err(ErrorKind::UnexpectedEof.into()));
            }
            if read.is_pending() && !tls.has_other_writer(cx) {
                // The next write returns the error of a failed flush.
                let _ = tls.secured.flush(&mut Io::writing(&mut self.transport, cx));
            }
        }
        read
    }

    /// Reads available input without waiting, and appends it to the buffer. The read may first store the bytes in `scratch`.
    /// Returns the number of bytes, which is 0 at the end of the input, or `None` if there is no input yet.
    pub(crate) fn try_read(&mut self, scratch: &mut [u8], buffer: &mut BytesMut) -> io::Result<Option<usize>> {
        #[cfg(feature = "tls")]
        if let Some(tls) = &mut self.tls {
            return available(tls.read(&mut Io::now(&mut self.transport), append(buffer)));
        }
        let read = self.transport.try_read(scratch);
        available(read.inspect(|&read| buffer.extend_from_slice(&scratch[..read])))
    }

    /// Writes as many bytes as there is room for. Returns their number.
    pub(crate) fn poll_write(&mut self, cx: &mut Context<'_>, pieces: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        #[cfg(feature = "tls")]
        if let Some(tls) = &mut self.tls {
            let io = &mut Io::writing(&mut self.transport, cx);
            return tls::pending(tls.secured.write(io, pieces));
        }
        self.transport.poll_write(cx, pieces)
    }

    /// Writes as many bytes as there is room for. Returns their number. Under TLS, encrypted bytes count as written even if they
    /// were not sent. The caller must call [`poll_flush`](Self::poll_flush) at the end to send them.
    pub(crate) fn poll_accept(&mut self, cx: &mut Context<'_>, pieces: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        #[cfg(feature = "tls")]
        if let Some(tls) = &mut self.tls {
            let io = &mut Io::writing(&mut self.transport, cx);
            let accepted = tls::pending(tls.secured.accept(io, pieces));
            return tls.waits_to_write(cx, accepted);
        }
        self.transport.poll_write(cx, pieces)
    }

    /// Sends the bytes that [`poll_accept`](Self::poll_accept) has taken.
    pub(crate) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        #[cfg(feature = "tls")]
        if let Some(tls) = &mut self.tls {
            let io = &mut Io::writing(&mut self.transport, cx);
            let flushed = tls::pending(tls.secured.flush(io));
            return tls.waits_to_write(cx, flushed);
        }
        let _ = cx;
        Poll::Ready(Ok(()))
    }

    /// Makes the runtime wake the thread only for input, and not for room to write. A connection calls this method when it
    /// becomes idle.
    pub(crate) fn rest(&mut self) -> io::Result<()> {
        self.transport.rest()
    }

    /// Returns the state of the peer. `is_eof` must be true if the end of the input (under TLS close_notify) has been read.
    pub(crate) fn peer(&self, is_eof: bool) -> PeerState {
        self.transport.peer(is_eof)
    }

    /// Returns whether there is input, or the end of the input. Asks the kernel, because the runtime may not have noticed new
    /// input yet.
    pub(crate) fn has_input(&mut self) -> bool {
        #[cfg(feature = "tls")]
        if self.tls.as_mut().is_some_and(|tls| tls.secured.has_input()) {
            return true;
        }
        self.transport.has_input()
    }

    /// Half-closes the connection. Under TLS first sends close_notify, which shows the peer that no third party has cut the data.
    pub(crate) fn poll_shut_down_writing(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        #[cfg(feature = "tls")]
        if let Some(tls) = &mut self.tls {
            let io = &mut Io::writing(&mut self.transport, cx);
            // If sending close_notify fails, the peer is gone and does not need it.
            let closed = tls::pending(tls.secured.close(io));
            if tls.waits_to_write(cx, closed).is_pending() {
                return Poll::Pending;
            }
        }
        let _ = cx;
        self.transport.shut_down_writing();
        Poll::Ready(())
    }

    /// Makes the later close of the connection a reset, if the transport has resets. Under TLS, close_notify is not sent.
    pub(crate) fn reset_on_close(&mut self) {
        #[cfg(feature = "tls")]
        if let Some(tls) = &mut self.tls {
            tls.is_cut = true;
        }
        self.transport.reset_on_close();
    }
}

/// The reason for which a handshake failed.
#[cfg(feature = "tls")]
#[derive(Debug)]
pub(crate) enum HandshakeError {
    /// The server refused the peer, or the peer refused the server.
    Tls(degu_tls::Error),
    /// The socket failed.
    Io(io::Error),
    /// The server shuts down.
    Stopping,
}

#[cfg(feature = "tls")]
impl<T: Transport> Stream<T> {
    /// Waits for input and for a permit from `turns`, makes the handshake, and returns the identity of the peer. The caller
    /// limits the time.
    ///
    /// After a failure the alert has been sent, and the transport is still open. The caller must let the connection linger, so the
    /// peer can read the alert. `stops` returns whether the server shuts down. A shutdown does not wait for a peer that has sent
    /// nothing.
    pub(crate) async fn secure(
        &mut self,
        policy: &degu_tls::ServerTls,
        turns: &tokio::sync::Semaphore,
        stops: impl Fn() -> bool,
    ) -> Result<Option<Arc<degu_tls::PeerIdentity>>, HandshakeError> {
        use degu_tls::drive::Progress;

        let transport = &mut self.transport;
        let check = |transport: &T| match stops() && !transport.has_input() {
            true => Err(HandshakeError::Stopping),
            false => Ok(()),
        };
        // The server waits for input before it takes a permit, so a peer that sends nothing holds no permit.
        poll_fn(|cx| {
            check(transport)?;
            transport.poll_readable(cx).map_err(HandshakeError::Io)
        })
        .await?;
        let mut turn = pin!(turns.acquire());
        let _turn = poll_fn(|cx| {
            check(transport)?;
            turn.as_mut().poll(cx).map(Ok)
        })
        .await?;
        let mut handshake = policy.accept().handshake().map_err(HandshakeError::Tls)?;
        let done = poll_fn(|cx| {
            check(transport)?;
            match handshake.advance(&mut Io::writing(transport, cx)) {
                Ok(Progress::Done) => Poll::Ready(Ok(Ok(()))),
                Err(error) => Poll::Ready(Ok(Err(error))),
                // All available input was read. During a shutdown, the server does not wait for the rest.
                Ok(Progress::Blocked) if stops() => Poll::Ready(Err(HandshakeError::Stopping)),
                Ok(Progress::Blocked) => Poll::Pending,
            }
        });
        if let Err(error) = done.await? {
            poll_fn(|cx| {
                let io = &mut Io::writing(transport, cx);
                handshake.write_alert(io);
                if io.is_broken || !handshake.wants_write() { Poll::Ready(()) } else { Poll::Pending }
            })
            .await;
            return Err(HandshakeError::Tls(error));
        }
        let secured = handshake.secure().map_err(HandshakeError::Tls)?;
        let peer = secured.peer().cloned();
        self.tls = Some(Box::new(Tls::new(secured)));
        Ok(peer)
    }
}

#[cfg(feature = "tls")]
impl<T: Transport> Drop for Stream<T> {
    /// Sends close_notify, if the socket has room for it. `drop` also runs if the connection's task is aborted.
    fn drop(&mut self) {
        if let Some(tls) = self.tls.as_mut().filter(|tls| !tls.is_cut) {
            let _ = tls.secured.close(&mut Io::now(&mut self.transport));
        }
    }
}

/// Converts the errors `WouldBlock` and `Interrupted` into `None`, which means that there is no input yet.
fn available(read: io::Result<usize>) -> io::Result<Option<usize>> {
    match read {
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => Ok(None),
        read => read.map(Some),
    }
}

#[cfg(feature = "tls")]
fn append(buffer: &mut BytesMut) -> impl FnMut(&[u8]) -> usize {
    |bytes| {
        buffer.extend_from_slice(bytes);
        bytes.len()
    }
}
