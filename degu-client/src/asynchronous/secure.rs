//! TLS over an async socket: the handshake, and reading.

use std::{
    future::poll_fn,
    io::{self, IoSlice, Read, Write},
    task::{Context, Poll},
};

use bytes::BytesMut;
use degu_tls::drive::{Handshake, Progress};

use super::stream::{AsyncStream, Socket};
use crate::error::ErrorKind;
use crate::stream::{Stream, now, pending, uninterrupted};
use crate::tls::{Direct, Polled, Tls, append};

/// Makes the handshake over the socket.
pub(crate) async fn secure(mut socket: Socket, mut handshake: Handshake) -> Result<Tls<Socket>, ErrorKind> {
    poll_fn(|cx| match handshake.advance(&mut Polled { socket: &mut socket, cx }) {
        Ok(Progress::Blocked) => Poll::Pending,
        Ok(Progress::Done) => Poll::Ready(Ok(())),
        Err(error) => Poll::Ready(Err(error)),
    })
    .await?;
    Ok(Tls::new(socket, handshake.secure()?))
}

impl AsyncStream for Tls<Socket> {
    fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut BytesMut) -> Poll<io::Result<usize>> {
        let io = &mut Reading(Polled { socket: &mut self.socket, cx });
        let read = pending(uninterrupted(|| self.secured.read(io, append(buffer))));
        if read.is_pending() && self.writer.as_ref().is_none_or(|writer| writer.will_wake(cx.waker())) {
            // The peer of a tunnel may wait for the rest of what was accepted. The next write reports the failure.
            let _ = self.poll(cx, |secured, io| secured.flush(io));
        }
        read
    }

    fn poll_accept(&mut self, cx: &mut Context<'_>, pieces: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let accepted = match self.poll_write(cx, pieces) {
            Poll::Pending => match self.secured.take_accepted() {
                0 => Poll::Pending,
                accepted => Poll::Ready(Ok(accepted)),
            },
            written => written,
        };
        self.waits_to_write(cx, accepted)
    }
}

impl Read for Polled<'_, '_, Socket> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        now(self.socket.poll_recv(self.cx, bytes))
    }
}

/// A socket within a poll that reads: records that TLS has to send meanwhile go out as far as there is room. Only a
/// writer waits for room, because the runtime wakes only one task for it.
struct Reading<'p, 'cx>(Polled<'p, 'cx, Socket>);

impl Read for Reading<'_, '_> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        self.0.read(bytes)
    }
}

impl Write for Reading<'_, '_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Direct { socket: self.0.socket.socket(), blocks: false }.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
