//! TLS over an async socket: the handshake, and the bytes inside of it.

use std::{
    future::poll_fn,
    io::{self, ErrorKind, IoSlice, Read, Write},
    task::{Context, Poll},
};

use bytes::BytesMut;
use degu_tls::drive::{Handshake, Progress, Secured};

use crate::error::Cause;
use crate::stream::{AsyncStream, Socket};
use crate::tls::{Direct, Tls, append};
use crate::transport::Transport;

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

impl Tls<Socket> {
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        mut step: impl FnMut(&mut Secured, &mut Polled<'_, '_>) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        let Self { socket, secured } = self;
        let mut io = Polled { socket, cx };
        loop {
            return match step(secured, &mut io) {
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) if error.kind() == ErrorKind::WouldBlock => Poll::Pending,
                done => Poll::Ready(done),
            };
        }
    }
}

impl AsyncStream for Tls<Socket> {
    fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut BytesMut) -> Poll<io::Result<usize>> {
        self.poll(cx, |secured, io| secured.read(io, append(buffer)))
    }

    fn try_read(&mut self, buffer: &mut BytesMut) -> io::Result<Option<usize>> {
        loop {
            let mut io = Direct { socket: self.socket.socket(), blocks: false };
            return match self.secured.read(&mut io, append(buffer)) {
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(None),
                read => read.map(Some),
            };
        }
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, pieces: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        self.poll(cx, |secured, io| secured.write(io, pieces))
    }

    #[cfg(feature = "hyper-util")]
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll(cx, |secured, io| secured.flush(io).map(|()| 0)).map_ok(drop)
    }

    #[cfg(feature = "hyper-util")]
    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        std::task::ready!(self.poll(cx, |secured, io| secured.close(io).map(|()| 0)))?;
        self.socket.poll_shutdown(cx)
    }
}

/// A socket within a poll: what would block wakes the task when it does no more.
struct Polled<'p, 'cx> {
    socket: &'p mut Socket,
    cx: &'p mut Context<'cx>,
}

fn now<T>(polled: Poll<io::Result<T>>) -> io::Result<T> {
    match polled {
        Poll::Ready(done) => done,
        Poll::Pending => Err(ErrorKind::WouldBlock.into()),
    }
}

impl Read for Polled<'_, '_> {
    fn read(&mut self, octets: &mut [u8]) -> io::Result<usize> {
        now(self.socket.poll_recv(self.cx, octets))
    }
}

impl Write for Polled<'_, '_> {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        self.write_vectored(&[IoSlice::new(octets)])
    }

    fn write_vectored(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        now(self.socket.poll_send(self.cx, pieces))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
#[path = "tls/tests.rs"]
mod tests;
