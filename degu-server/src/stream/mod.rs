//! The byte stream of a connection: a transport with or without TLS. Connections of apps and of `hyper::serve` use this
//! stream.
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
use std::io::{self, IoSlice};
#[cfg(feature = "tls")]
use std::io::{ErrorKind, Write};
use std::pin::Pin;
#[cfg(feature = "tls")]
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

pub(crate) use socket::Socket;
#[cfg(feature = "tls")]
use tls::{Io, Tls};
use transport::pending;
pub(crate) use transport::{PeerState, Transport};

/// The byte stream of a connection.
///
/// The methods read requests and write responses. The implementations of [`AsyncRead`] and [`AsyncWrite`] are for another
/// protocol to which the connection has switched.
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

    /// Reads input, and appends it to the buffer. Without TLS, if the free part of the buffer is not larger than `scratch`, the
    /// bytes are first read into `scratch`, which is overwritten. Returns the number of bytes, which is 0 at the end of the
    /// input.
    pub(crate) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        scratch: &mut [u8],
        buffer: &mut BytesMut,
    ) -> Poll<io::Result<usize>> {
        #[cfg(feature = "tls")]
        if let Some(tls) = &mut self.tls {
            return pending(tls.read(&mut Io::reading(&mut self.transport, cx), append(buffer)));
        }
        let (at, room) = (buffer.len(), buffer.spare_capacity_mut().len());
        // A direct read would need a zeroed receive buffer. For a small message, copying costs less than zeroing.
        if room <= scratch.len() {
            return self.transport.poll_read_slice(cx, &mut scratch[..room]).map_ok(|read| {
                buffer.extend_from_slice(&scratch[..read]);
                read
            });
        }
        // The buffer has more room than `scratch` only while a large body arrives.
        ready!(self.transport.poll_readable(cx))?;
        buffer.resize(at + room, 0);
        let read = self.transport.poll_read_slice(cx, &mut buffer[at..]);
        buffer.truncate(at + if let Poll::Ready(Ok(read)) = read { read } else { 0 });
        read
    }

    /// Reads input into a slice. Returns the number of bytes, which is 0 at the end of the input.
    pub(crate) fn poll_read_slice(&mut self, cx: &mut Context<'_>, bytes: &mut [u8]) -> Poll<io::Result<usize>> {
        #[cfg(feature = "tls")]
        if let Some(tls) = &mut self.tls {
            let mut rest = bytes;
            // There may be several pieces, one from each TLS record. Writing to a slice does not fail.
            let take = |plain: &[u8]| rest.write(plain).unwrap_or(0);
            return pending(tls.read(&mut Io::reading(&mut self.transport, cx), take));
        }
        self.transport.poll_read_slice(cx, bytes)
    }

    /// Reads available input without waiting, and appends it to the buffer. Without TLS, the bytes are first read into `scratch`.
    /// Returns the number of bytes, which is 0 at the end of the input. If there is no input yet, returns `Pending`, and wakes
    /// no task later.
    pub(crate) fn try_read(&mut self, scratch: &mut [u8], buffer: &mut BytesMut) -> Poll<io::Result<usize>> {
        #[cfg(feature = "tls")]
        if let Some(tls) = &mut self.tls {
            return pending(tls.read(&mut Io::now(&mut self.transport), append(buffer)));
        }
        let read = self.transport.try_read(scratch);
        pending(read.inspect(|&read| buffer.extend_from_slice(&scratch[..read])))
    }

    /// Writes as many bytes as there is room for. Returns their number.
    pub(crate) fn poll_write(&mut self, cx: &mut Context<'_>, pieces: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        #[cfg(feature = "tls")]
        if let Some(tls) = &mut self.tls {
            return tls.poll_write(&mut self.transport, cx, |secured, io| secured.write(io, pieces));
        }
        self.transport.poll_write(cx, pieces)
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

    /// Returns whether the connection should end soon, because its TLS keys are almost used up.
    pub(crate) fn is_worn(&self) -> bool {
        #[cfg(feature = "tls")]
        if let Some(tls) = &self.tls {
            return tls.secured.is_worn();
        }
        false
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

    /// Lets the connection end with a reset when it is closed later, if the transport has resets. Under TLS, close_notify is not
    /// sent.
    pub(crate) fn reset_on_close(&mut self) {
        #[cfg(feature = "tls")]
        if let Some(tls) = &mut self.tls {
            tls.is_cut = true;
        }
        self.transport.reset_on_close();
    }
}

impl<T: Transport> AsyncRead for Stream<T> {
    /// Under TLS an end of the input without close_notify is an error. The protocol to which the connection has switched may have
    /// no other sign that its data is complete.
    ///
    /// A write may have encrypted bytes that were not sent yet, and the peer may wait for these bytes. If there is no input, this
    /// method therefore sends them, unless another task waits to write.
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let read = this.poll_read_slice(cx, buffer.initialize_unfilled());
        #[cfg(feature = "tls")]
        if let Some(tls) = &mut this.tls {
            if matches!(read, Poll::Ready(Ok(0))) && tls.is_truncated {
                return Poll::Ready(Err(ErrorKind::UnexpectedEof.into()));
            }
            if read.is_pending() && !tls.secured.has_other_writer(cx) {
                // The next write returns the error of a failed flush.
                let _ = tls.secured.flush(&mut Io::writing(&mut this.transport, cx));
            }
        }
        read.map_ok(|read| buffer.advance(read))
    }
}

impl<T: Transport> AsyncWrite for Stream<T> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
    }

    /// Writes as many bytes as there is room for. Under TLS, encrypted bytes count as written even if they were not sent. The
    /// caller must flush at the end to send them.
    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        #[cfg(feature = "tls")]
        if let Some(tls) = &mut this.tls {
            return tls.poll_write(&mut this.transport, cx, |secured, io| secured.accept(io, pieces));
        }
        this.transport.poll_write(cx, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        #[cfg(feature = "tls")]
        if let Some(tls) = &mut this.tls {
            return tls.poll_write(&mut this.transport, cx, |secured, io| secured.flush(io));
        }
        let _ = (this, cx);
        Poll::Ready(Ok(()))
    }

    /// Half-closes the connection. Under TLS first sends close_notify, which shows the peer that no third party has cut the data.
    /// Returns no error.
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        #[cfg(feature = "tls")]
        if let Some(tls) = &mut this.tls {
            // If sending close_notify fails, the peer is gone and does not need close_notify.
            let _ = ready!(tls.poll_write(&mut this.transport, cx, |secured, io| secured.close(io)));
        }
        let _ = cx;
        this.transport.shut_down_writing();
        Poll::Ready(Ok(()))
    }
}

#[cfg(feature = "tls")]
impl<T: Transport> Stream<T> {
    /// Waits for input, makes the handshake, and returns the identity of the peer. While the handshake waits, `check` can end it,
    /// for example when a deadline has expired.
    ///
    /// After a failure the alert has been sent, and the transport is still open. The caller must let the connection linger, so
    /// the peer can read the alert.
    pub(crate) async fn secure<E: From<degu_tls::Error> + From<io::Error>>(
        &mut self,
        policy: &degu_tls::ServerTls,
        mut check: impl FnMut(&T) -> Result<(), E>,
    ) -> Result<Option<Arc<degu_tls::PeerIdentity>>, E> {
        use degu_tls::drive::Progress;

        let transport = &mut self.transport;
        // The state of the handshake is made when there is input, so a peer that sends nothing costs less memory.
        poll_fn(|cx| {
            check(transport)?;
            transport.poll_readable(cx).map_err(E::from)
        })
        .await?;
        let mut handshake = policy.accept().handshake()?;
        let done = poll_fn(|cx| {
            check(transport)?;
            match handshake.advance(&mut Io::writing(transport, cx)) {
                Ok(Progress::Done) => Poll::Ready(Ok::<_, E>(Ok(()))),
                Err(error) => Poll::Ready(Ok(Err(error))),
                Ok(Progress::Blocked) => {
                    // All available input was read. During a shutdown, the server does not wait for the rest.
                    check(transport)?;
                    Poll::Pending
                }
            }
        });
        if let Err(error) = done.await? {
            // If the alert cannot be written, the peer does not learn the reason.
            let _ = poll_fn(|cx| {
                check(transport)?;
                pending(handshake.flush(&mut Io::writing(transport, cx))).map_err(E::from)
            })
            .await;
            return Err(error.into());
        }
        let secured = handshake.secure()?;
        let peer = secured.peer().cloned();
        self.tls = Some(Box::new(Tls { secured, is_cut: false, is_truncated: false }));
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

#[cfg(feature = "tls")]
fn append(buffer: &mut BytesMut) -> impl FnMut(&[u8]) -> usize {
    |bytes| {
        buffer.extend_from_slice(bytes);
        bytes.len()
    }
}
