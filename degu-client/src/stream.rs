//! What an async connection reads and writes.
//!
//! A readiness that nobody asked for wakes a thread for nothing. On a TCP socket the kernel reports room to write only to
//! those who ran out of it. On a Unix socket it does so for every message that the peer takes, so there a socket begins
//! [`Lean`](Stream::Lean): registered for input alone, and registered anew for both when a write finds no room.

use std::{
    fmt,
    io::{self, IoSlice},
    mem::MaybeUninit,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
    pin::{Pin, pin},
    task::{Context, Poll},
};

use bytes::BytesMut;
use nix::errno::Errno;
use nix::libc::{MSG_DONTWAIT, MSG_NOSIGNAL, MSG_PEEK};
use nix::sys::socket::{MsgFlags, recv};
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::net::{TcpStream, UnixStream, unix::pipe};

#[cfg(feature = "tls")]
use crate::tls::Tls;

pub(crate) trait Io: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// A socket, anything else, or nothing any more.
pub(crate) enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
    /// A Unix socket that is registered for input alone. Of all that tokio has for it this is what reads into a buffer
    /// that nobody cleared first; reading a socket and reading a pipe are the same `read(2)`.
    Lean(pipe::Receiver),
    #[cfg(feature = "tls")]
    Tls(Box<Tls<Stream>>),
    Other(Box<dyn Io>),
    Closed,
    #[cfg(test)]
    Simulated(degu_simulation::Pipe),
}

impl Stream {
    /// A connected Unix socket that does not block.
    pub(crate) fn unix(socket: OwnedFd) -> io::Result<Self> {
        Ok(Self::Lean(pipe::Receiver::from_owned_fd_unchecked(socket)?))
    }

    /// Registers a lean socket for output too.
    fn widen(&mut self) -> io::Result<()> {
        if let Self::Lean(stream) = std::mem::replace(self, Self::Closed) {
            *self = Self::Unix(UnixStream::from_std(stream.into_nonblocking_fd()?.into())?);
        }
        Ok(())
    }

    /// Ready when something has come, or may have.
    pub(crate) fn poll_readable(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match self {
            Self::Tcp(stream) => stream.poll_read_ready(cx).map(drop),
            Self::Unix(stream) => stream.poll_read_ready(cx).map(drop),
            Self::Lean(stream) => stream.poll_read_ready(cx).map(drop),
            // What knows nothing of readiness is read.
            _ => Poll::Ready(()),
        }
    }

    /// Whether the runtime has heard that something has come, or does not listen.
    pub(crate) fn has_heard(&self) -> bool {
        // A read of nothing goes to the socket only where the runtime has heard that there is something.
        let read = match self {
            Self::Tcp(stream) => stream.try_read(&mut []),
            Self::Unix(stream) => stream.try_read(&mut []),
            Self::Lean(stream) => stream.try_read(&mut []),
            _ => return true,
        };
        !matches!(read, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
    }

    /// Appends what has come; 0 octets are the end.
    pub(crate) fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut BytesMut) -> Poll<io::Result<usize>> {
        match self {
            Self::Tcp(stream) => pin!(stream.read_buf(buffer)).poll(cx),
            Self::Unix(stream) => pin!(stream.read_buf(buffer)).poll(cx),
            Self::Lean(stream) => pin!(stream.read_buf(buffer)).poll(cx),
            #[cfg(feature = "tls")]
            Self::Tls(stream) => stream.poll_read_buffer(cx, buffer),
            Self::Other(stream) => pin!(stream.read_buf(buffer)).poll(cx),
            Self::Closed => Poll::Ready(Ok(0)),
            #[cfg(test)]
            Self::Simulated(pipe) => pipe.poll_read_buffer(cx, buffer),
        }
    }

    /// Appends what has come, by way of `scratch`, without waiting and without the runtime's knowing; 0 octets are the end,
    /// and `None` is nothing.
    ///
    /// The runtime hears of changes alone, and keeps those that it has heard: nothing is lost by it, at worst it looks
    /// once in vain. A stream of the caller's can only be waited for.
    pub(crate) fn try_read(&mut self, scratch: &mut [u8], buffer: &mut BytesMut) -> io::Result<Option<usize>> {
        #[cfg(feature = "tls")]
        if let Self::Tls(stream) = self {
            return stream.try_read(buffer);
        }
        let Some(socket) = self.socket() else { return Ok(None) };
        match recv(socket.as_raw_fd(), scratch, MsgFlags::MSG_DONTWAIT) {
            Ok(read) => {
                buffer.extend_from_slice(&scratch[..read]);
                Ok(Some(read))
            }
            Err(Errno::EAGAIN | Errno::EINTR) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Whether there is a socket to look at.
    pub(crate) fn is_socket(&self) -> bool {
        self.socket().is_some()
    }

    /// Whether what a socket gives is what the peer wrote, octet for octet: without records around it.
    pub(crate) fn is_bare(&self) -> bool {
        #[cfg(feature = "tls")]
        return !matches!(self, Self::Tls(_));
        #[cfg(not(feature = "tls"))]
        true
    }

    /// Writes some of these pieces, which are not all empty.
    pub(crate) fn poll_write(&mut self, cx: &mut Context<'_>, pieces: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        #[cfg(feature = "tls")]
        if let Self::Tls(stream) = self {
            return stream.poll_write_pieces(cx, pieces);
        }
        if let Self::Lean(stream) = self {
            match write_socket(stream.as_fd(), pieces) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                written => return Poll::Ready(written),
            }
        }
        let stream = self.writer()?;
        let written = match pieces {
            [only] => stream.poll_write(cx, only),
            _ => stream.poll_write_vectored(cx, pieces),
        };
        match written {
            // An end where there is none: the stream takes nothing and does not say why.
            Poll::Ready(Ok(0)) => Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
            written => written,
        }
    }

    /// The writing half, to be waited for; an error where there is none any more.
    pub(crate) fn writer(&mut self) -> io::Result<Pin<&mut (dyn AsyncWrite + Unpin)>> {
        if let Self::Lean(_) = self {
            self.widen()?;
        }
        Ok(match self {
            Self::Tcp(stream) => Pin::new(stream),
            Self::Unix(stream) => Pin::new(stream),
            #[cfg(feature = "tls")]
            Self::Tls(stream) => Pin::new(&mut **stream),
            Self::Other(stream) => Pin::new(stream),
            Self::Lean(_) | Self::Closed => return Err(io::ErrorKind::NotConnected.into()),
            #[cfg(test)]
            Self::Simulated(pipe) => Pin::new(pipe),
        })
    }

    /// Passes on what the stream itself holds back. Sockets hold nothing.
    pub(crate) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Other(stream) => Pin::new(stream).poll_flush(cx),
            _ => Poll::Ready(Ok(())),
        }
    }

    /// What has happened while nothing should, where that can be seen.
    pub(crate) fn look(&mut self) -> io::Result<Silence> {
        #[cfg(feature = "tls")]
        if let Self::Tls(stream) = self {
            return stream.look();
        }
        #[cfg(test)]
        if let Self::Simulated(pipe) = self {
            return Ok(match pipe.peek() {
                (0, None) => Silence::Kept,
                (0, Some(_)) => Silence::Ended,
                _ => Silence::Broken,
            });
        }
        Ok(self.socket().map_or(Silence::Kept, peek))
    }

    /// The socket, where it is known.
    pub(crate) fn socket(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Self::Tcp(stream) => Some(stream.as_fd()),
            Self::Unix(stream) => Some(stream.as_fd()),
            Self::Lean(stream) => Some(stream.as_fd()),
            #[cfg(feature = "tls")]
            Self::Tls(stream) => stream.socket(),
            Self::Other(_) | Self::Closed => None,
            #[cfg(test)]
            Self::Simulated(_) => None,
        }
    }
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(stream) => stream.fmt(f),
            Self::Unix(stream) => stream.fmt(f),
            Self::Lean(stream) => stream.fmt(f),
            #[cfg(feature = "tls")]
            Self::Tls(stream) => stream.fmt(f),
            Self::Other(_) => f.write_str("a stream of the caller's"),
            Self::Closed => f.write_str("closed"),
            #[cfg(test)]
            Self::Simulated(pipe) => pipe.fmt(f),
        }
    }
}

/// Writes some of these pieces, which are not all empty, without waiting.
pub(crate) fn write_socket(socket: BorrowedFd<'_>, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
    let socket = SockRef::from(&socket);
    let flags = MSG_DONTWAIT | MSG_NOSIGNAL;
    loop {
        let sent = match pieces {
            [only] => socket.send_with_flags(only, flags),
            pieces => socket.send_vectored_with_flags(pieces, flags),
        };
        if !sent.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::Interrupted) {
            return sent;
        }
    }
}

/// What has happened on a socket that should be silent.
pub(crate) enum Silence {
    Kept,
    /// Octets that nobody asked for.
    Broken,
    /// The peer closed.
    Ended,
}

/// Looks whether something has come, without waiting and without taking it.
pub(crate) fn peek(socket: BorrowedFd<'_>) -> Silence {
    match SockRef::from(&socket).recv_with_flags(&mut [MaybeUninit::uninit()], MSG_PEEK | MSG_DONTWAIT) {
        Ok(0) => Silence::Ended,
        Ok(_) => Silence::Broken,
        Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => Silence::Kept,
        Err(_) => Silence::Ended,
    }
}
