//! TLS over an async socket: the handshake, and the bytes inside of it.

use std::{
    future::poll_fn,
    io::{self, ErrorKind, Read},
    task::{Context, Poll},
};

use bytes::BytesMut;
use degu_tls::drive::{Handshake, Progress};

use crate::error::Cause;
use crate::stream::{AsyncStream, Socket};
use crate::tls::{Direct, Polled, Tls, append, now};
use crate::transport::{Transport, uninterrupted};

/// Makes the handshake.
pub(crate) async fn secure(mut socket: Socket, mut handshake: Handshake) -> Result<Tls<Socket>, Cause> {
    poll_fn(|cx| match handshake.advance(&mut Polled { socket: &mut socket, cx }) {
        Ok(Progress::Blocked) => Poll::Pending,
        Ok(Progress::Done) => Poll::Ready(Ok(())),
        Err(error) => Poll::Ready(Err(error)),
    })
    .await?;
    Tls::new(socket, handshake)
}

impl AsyncStream for Tls<Socket> {
    fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut BytesMut) -> Poll<io::Result<usize>> {
        self.poll(cx, |secured, io| uninterrupted(|| secured.read(io, append(buffer))))
    }

    fn try_read(&mut self, buffer: &mut BytesMut) -> io::Result<Option<usize>> {
        let mut io = Direct { socket: self.socket.socket(), blocks: false };
        match uninterrupted(|| self.secured.read(&mut io, append(buffer))) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(None),
            read => read.map(Some),
        }
    }

    #[cfg(feature = "hyper-util")]
    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        std::task::ready!(self.poll(cx, |secured, io| secured.close(io).map(|()| 0)))?;
        self.socket.poll_shutdown(cx)
    }
}

impl Read for Polled<'_, '_, Socket> {
    fn read(&mut self, octets: &mut [u8]) -> io::Result<usize> {
        now(self.socket.poll_recv(self.cx, octets))
    }
}

#[cfg(test)]
#[path = "tls/tests.rs"]
mod tests;
