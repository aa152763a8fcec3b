//! A connected socket, waited for as cheaply as its kind allows.
//!
//! A readiness that nobody asked for wakes a thread for nothing. On a TCP socket the kernel reports room to write only to
//! those who ran out of it. On a Unix socket it does so for every message that the peer takes, so there a socket begins
//! [`Lean`](Stream::Lean): registered for input alone, and registered anew for both when a write finds no room.

use std::io::{self, IoSlice, Read};
use std::net::Shutdown;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::pin::{Pin, pin};
use std::task::{Context, Poll};

use bytes::BytesMut;
use nix::libc::MSG_NOSIGNAL;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use socket2::SockRef;
#[cfg(any(feature = "hyper", feature = "tls"))]
use tokio::io::ReadBuf;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::net::unix::pipe;
use tokio::net::{TcpStream, UnixStream};

#[cfg(feature = "tls")]
use super::tls::{Secured, Tls};

/// So many pieces are written at once. Systems refuse more than `IOV_MAX`, which is 1,024 on most.
const PIECES: usize = 64;

/// A connected socket.
#[derive(Debug)]
pub(crate) struct Socket(Stream);

#[derive(Debug)]
enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
    /// A Unix socket that is registered for input alone. Of all that tokio has for it this is what reads into a buffer
    /// that nobody cleared first; reading a socket and reading a pipe are the same `read(2)`.
    Lean(pipe::Receiver),
    #[cfg(feature = "tls")]
    Tls(Box<Tls>),
    /// Registering failed half way: the socket is closed.
    Closed,
    #[cfg(test)]
    Simulated(degu_simulation::Pipe),
}

impl Socket {
    /// Takes a socket that does not block.
    pub(crate) fn new(fd: OwnedFd, is_unix: bool) -> io::Result<Self> {
        #[cfg(test)]
        if let Some(pipe) = crate::simulation::pipe_of(&fd) {
            return Ok(Self(Stream::Simulated(pipe)));
        }
        Ok(Self(match is_unix {
            true => Stream::Lean(pipe::Receiver::from_owned_fd_unchecked(fd)?),
            false => Stream::Tcp(TcpStream::from_std(fd.into())?),
        }))
    }

    /// Ready when there is input, or its end.
    pub(crate) fn poll_readable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.0 {
            Stream::Tcp(stream) => stream.poll_read_ready(cx),
            Stream::Unix(stream) => stream.poll_read_ready(cx),
            Stream::Lean(stream) => stream.poll_read_ready(cx),
            #[cfg(feature = "tls")]
            Stream::Tls(tls) => tls.poll_readable(cx),
            #[cfg(test)]
            Stream::Simulated(pipe) => pipe.poll_readable(cx),
            Stream::Closed => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }

    /// Appends what there is to the buffer; zero octets are the end.
    pub(crate) fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut BytesMut) -> Poll<io::Result<usize>> {
        match &mut self.0 {
            Stream::Tcp(stream) => poll_read_buffer(stream, cx, buffer),
            Stream::Unix(stream) => poll_read_buffer(stream, cx, buffer),
            Stream::Lean(stream) => poll_read_buffer(stream, cx, buffer),
            #[cfg(feature = "tls")]
            Stream::Tls(tls) => tls.poll_read(cx, buffer),
            #[cfg(test)]
            Stream::Simulated(pipe) => pipe.poll_read_buffer(cx, buffer),
            Stream::Closed => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }

    /// Appends what there is to the buffer, by way of `scratch`, without waiting and without the runtime's knowing; zero
    /// octets are the end, and `None` is nothing.
    ///
    /// The runtime hears of changes alone, and keeps those that it has heard: nothing is lost by it, at worst it looks
    /// once in vain.
    pub(crate) fn try_read(&mut self, scratch: &mut [u8], buffer: &mut BytesMut) -> io::Result<Option<usize>> {
        #[cfg(feature = "tls")]
        if let Stream::Tls(tls) = &mut self.0 {
            return tls.try_read(buffer);
        }
        #[cfg(test)]
        if let Stream::Simulated(pipe) = &mut self.0 {
            return pipe.try_read(buffer);
        }
        let fd = self.fd().ok_or(io::ErrorKind::NotConnected)?;
        match (&*SockRef::from(&fd)).read(scratch) {
            Ok(read) => {
                buffer.extend_from_slice(&scratch[..read]);
                Ok(Some(read))
            }
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Writes as much of the pieces as there is room for.
    pub(crate) fn poll_write(&mut self, cx: &mut Context<'_>, pieces: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        if let Stream::Lean(stream) = &self.0 {
            match send_pieces(stream.as_fd(), pieces) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.widen()?,
                result => return Poll::Ready(result),
            }
        }
        match &mut self.0 {
            Stream::Tcp(stream) => poll_write_pieces(stream, cx, pieces),
            Stream::Unix(stream) => poll_write_pieces(stream, cx, pieces),
            #[cfg(feature = "tls")]
            Stream::Tls(tls) => tls.poll_write(cx, pieces),
            #[cfg(test)]
            Stream::Simulated(pipe) => pipe.poll_write_pieces(cx, pieces),
            Stream::Lean(_) | Stream::Closed => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }

    /// Back to waiting for input alone, where that is cheaper. To be called when the connection pauses.
    pub(crate) fn rest(&mut self) -> io::Result<()> {
        if matches!(self.0, Stream::Unix(_))
            && let Stream::Unix(stream) = std::mem::replace(&mut self.0, Stream::Closed)
        {
            self.0 = Stream::Lean(pipe::Receiver::from_owned_fd_unchecked(stream.into_std()?.into())?);
        }
        #[cfg(feature = "tls")]
        if let Stream::Tls(tls) = &mut self.0 {
            tls.socket.rest()?;
        }
        Ok(())
    }

    /// Registers a lean socket for output too.
    fn widen(&mut self) -> io::Result<()> {
        if let Stream::Lean(stream) = std::mem::replace(&mut self.0, Stream::Closed) {
            self.0 = Stream::Unix(UnixStream::from_std(stream.into_nonblocking_fd()?.into())?);
        }
        Ok(())
    }

    /// Whether the peer is gone for good, which an end of its input alone does not say: it may still read.
    pub(crate) fn is_hung_up(&self) -> bool {
        #[cfg(test)]
        if let Stream::Simulated(pipe) = &self.0 {
            return pipe.is_hung_up();
        }
        self.state(PollFlags::empty()).intersects(PollFlags::POLLHUP | PollFlags::POLLERR)
    }

    /// Whether there is something to read now, the end included. It asks the kernel and not the runtime, which may not
    /// have heard yet.
    pub(crate) fn has_input(&mut self) -> bool {
        #[cfg(feature = "tls")]
        if let Stream::Tls(tls) = &mut self.0 {
            return tls.has_input();
        }
        #[cfg(test)]
        if let Stream::Simulated(pipe) = &self.0 {
            return pipe.has_input();
        }
        !self.state(PollFlags::POLLIN).is_empty()
    }

    fn state(&self, interest: PollFlags) -> PollFlags {
        let Some(fd) = self.fd() else { return PollFlags::POLLHUP };
        let mut fds = [PollFd::new(fd, interest)];
        // It fails only for want of memory, in which case nothing is known.
        let _ = poll(&mut fds, PollTimeout::ZERO);
        fds[0].revents().unwrap_or(PollFlags::empty())
    }

    /// Says that nothing more will be written.
    pub(crate) fn shut_down_writing(&self) {
        #[cfg(test)]
        if let Stream::Simulated(pipe) = &self.0 {
            pipe.shut_down_writing();
        }
        if let Some(fd) = self.fd() {
            // A peer that is gone has no use for it.
            let _ = SockRef::from(&fd).shutdown(Shutdown::Write);
        }
    }

    /// Makes closing a TCP connection look like the failure that it is. Unix sockets have no such word.
    pub(crate) fn reset_on_close(&mut self) {
        #[cfg(feature = "tls")]
        if let Stream::Tls(tls) = &mut self.0 {
            tls.cut();
        }
        #[cfg(test)]
        if let Stream::Simulated(pipe) = &self.0 {
            pipe.reset_on_close();
        }
        if let Some(fd) = self.fd() {
            // Where it can not be set the end is all there is to say.
            let _ = SockRef::from(&fd).set_linger(Some(std::time::Duration::ZERO));
        }
    }

    fn fd(&self) -> Option<BorrowedFd<'_>> {
        match &self.0 {
            Stream::Tcp(stream) => Some(stream.as_fd()),
            Stream::Unix(stream) => Some(stream.as_fd()),
            Stream::Lean(stream) => Some(stream.as_fd()),
            #[cfg(feature = "tls")]
            Stream::Tls(tls) => tls.socket.fd(),
            Stream::Closed => None,
            #[cfg(test)]
            Stream::Simulated(_) => None,
        }
    }
}

#[cfg(any(feature = "hyper", feature = "tls"))]
impl Socket {
    /// Fills what is free of the buffer, or a part of it; nothing is the end.
    pub(crate) fn poll_read_octets(&mut self, cx: &mut Context<'_>, octets: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match &mut self.0 {
            Stream::Tcp(stream) => Pin::new(stream).poll_read(cx, octets),
            Stream::Unix(stream) => Pin::new(stream).poll_read(cx, octets),
            Stream::Lean(stream) => Pin::new(stream).poll_read(cx, octets),
            #[cfg(feature = "tls")]
            Stream::Tls(tls) => tls.poll_read_octets(cx, octets),
            Stream::Closed => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
            #[cfg(test)]
            Stream::Simulated(pipe) => Pin::new(pipe).poll_read(cx, octets),
        }
    }
}

/// What TLS needs of the socket beneath it.
#[cfg(feature = "tls")]
impl Socket {
    /// Reads without asking to be woken.
    pub(super) fn try_read_octets(&self, octets: &mut [u8]) -> io::Result<usize> {
        let fd = self.fd().ok_or(io::ErrorKind::NotConnected)?;
        (&*SockRef::from(&fd)).read(octets)
    }

    /// Writes without asking to be woken.
    pub(super) fn try_write(&self, octets: &[u8]) -> io::Result<usize> {
        let fd = self.fd().ok_or(io::ErrorKind::NotConnected)?;
        SockRef::from(&fd).send_with_flags(octets, MSG_NOSIGNAL)
    }

    /// Tells the peer that nothing follows, since under TLS the end of the connection proves nothing.
    pub(crate) fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Stream::Tls(tls) = &mut self.0 { tls.poll_close(cx) } else { Poll::Ready(()) }
    }

    /// The handshake is done: from here on octets are those inside of it.
    pub(super) fn secure(&mut self, secured: Secured) {
        let socket = Self(std::mem::replace(&mut self.0, Stream::Closed));
        self.0 = Stream::Tls(Box::new(Tls::new(socket, secured)));
    }
}

/// Reads into a buffer of any size, and takes a part of it for all there is.
fn poll_read_buffer<S: AsyncRead + Unpin>(
    stream: &mut S,
    cx: &mut Context<'_>,
    buffer: &mut BytesMut,
) -> Poll<io::Result<usize>> {
    pin!(stream.read_buf(buffer)).poll(cx)
}

fn send_pieces(socket: BorrowedFd<'_>, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
    let socket = SockRef::from(&socket);
    loop {
        let sent = match pieces {
            [one] => socket.send_with_flags(one, MSG_NOSIGNAL),
            pieces => socket.send_vectored_with_flags(&pieces[..pieces.len().min(PIECES)], MSG_NOSIGNAL),
        };
        if !sent.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::Interrupted) {
            return sent;
        }
    }
}

fn poll_write_pieces<S: AsyncWrite + Unpin>(
    stream: &mut S,
    cx: &mut Context<'_>,
    pieces: &[IoSlice<'_>],
) -> Poll<io::Result<usize>> {
    match pieces {
        [one] => Pin::new(stream).poll_write(cx, one),
        pieces => Pin::new(stream).poll_write_vectored(cx, pieces),
    }
}
