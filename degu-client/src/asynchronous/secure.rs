//! TLS over an async socket: the handshake, and reading.

use std::{
    future::poll_fn,
    io::{self, IoSlice, Read},
    task::{Context, Poll},
};

use bytes::BytesMut;
use degu_tls::drive::{Handshake, Progress};

use super::stream::{AsyncStream, Socket};
use crate::error::ErrorKind;
use crate::stream::{now, pending, uninterrupted};
use crate::tls::{Polled, Tls, append};

/// Makes the handshake over the socket.
pub(crate) async fn secure(mut socket: Socket, mut handshake: Handshake) -> Result<Tls<Socket>, ErrorKind> {
    poll_fn(|cx| match handshake.advance(&mut Polled { socket: &mut socket, cx, waits: true }) {
        Ok(Progress::Blocked) => Poll::Pending,
        Ok(Progress::Done) => Poll::Ready(Ok(())),
        Err(error) => Poll::Ready(Err(error)),
    })
    .await?;
    Ok(Tls { socket, secured: handshake.secure()? })
}

impl AsyncStream for Tls<Socket> {
    fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut BytesMut) -> Poll<io::Result<usize>> {
        // TLS may have to send records of its own, such as an alert. These records are sent as far as the socket has
        // room, but this read does not wait for room.
        let io = &mut Polled { socket: &mut self.socket, cx, waits: false };
        let read = pending(uninterrupted(|| self.secured.read(io, append(buffer))));
        if read.is_pending() && !self.secured.has_other_writer(cx) {
            // The peer of a tunnel may wait for the rest of the bytes that `poll_accept` has taken. If the flush fails,
            // the next write returns the error.
            let _ = self.secured.flush(&mut Polled { socket: &mut self.socket, cx, waits: true });
        }
        read
    }

    fn poll_accept(&mut self, cx: &mut Context<'_>, pieces: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        self.poll_io(cx, |secured, io| secured.accept(io, pieces))
    }
}

impl Read for Polled<'_, '_, Socket> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        now(self.socket.poll_recv(self.cx, bytes))
    }
}
