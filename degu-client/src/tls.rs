//! TLS between a client and its socket: the handshake, and the octets inside of it.
//!
//! Both clients have the same [`Tls`], around their own kind of stream. What they wait for differs, so that reading does.

use std::{
    fmt,
    future::poll_fn,
    io::{self, ErrorKind, IoSlice, Read, Write},
    os::fd::{AsRawFd, BorrowedFd},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::BytesMut;
use degu_tls::PeerIdentity;
use degu_tls::drive::{Handshake, Progress, Secured};
use degu_wire::{Address, AddressKind, Zone};
use nix::libc::{MSG_DONTWAIT, MSG_NOSIGNAL};
use nix::poll::PollFlags;
use nix::sys::socket::{MsgFlags, recv};
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::Cause;
use crate::blocking::stream::Stream as BlockingStream;
use crate::options::Settings;
use crate::resolve::Until;
use crate::stream::{Silence, Stream};

impl Settings {
    /// The handshake with a server at this address, which has not begun; none without TLS.
    pub(crate) fn handshake(&self, address: &Address) -> Result<Option<Handshake>, Cause> {
        let Some(tls) = &self.tls else { return Ok(None) };
        let of_address = match address.kind() {
            AddressKind::V4(address) => Some(address.ip().to_string()),
            AddressKind::V6 { ip, zone: Zone::None, .. } => Some(ip.to_string()),
            AddressKind::Name { host, .. } => Some(host.to_owned()),
            _ => None,
        };
        let name = self.server_name.as_deref().or(of_address.as_deref());
        Ok(Some(tls.connect(name, &address.to_string())?.handshake()?))
    }
}

/// A stream whose handshake is done.
pub(crate) struct Tls<S: Socket> {
    pub(crate) stream: S,
    secured: Secured,
}

/// A stream that is a socket.
pub(crate) trait Socket {
    fn fd(&self) -> Option<BorrowedFd<'_>>;
}

impl Socket for Stream {
    fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.socket()
    }
}

impl Socket for BlockingStream {
    fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.socket()
    }
}

impl<S: Socket> Tls<S> {
    pub(crate) fn socket(&self) -> Option<BorrowedFd<'_>> {
        self.stream.fd()
    }

    fn peer(&self) -> Option<Arc<PeerIdentity>> {
        self.secured.peer().cloned()
    }

    /// What has happened while nothing should. Records that are for TLS alone are nothing.
    pub(crate) fn look(&mut self) -> io::Result<Silence> {
        let Self { stream, secured } = self;
        loop {
            let mut found = 0;
            let read = secured.read(&mut Now(stream.fd()), |octets| {
                found = octets.len();
                0
            });
            return match read {
                Ok(_) if found > 0 => Ok(Silence::Broken),
                Ok(_) => Ok(Silence::Ended),
                Err(error) => match error.kind() {
                    ErrorKind::Interrupted => continue,
                    ErrorKind::WouldBlock => Ok(Silence::Kept),
                    ErrorKind::InvalidData => Err(error),
                    _ => Ok(Silence::Ended),
                },
            };
        }
    }
}

impl<S: Socket> Drop for Tls<S> {
    /// Says that nothing follows, as far as the socket takes it.
    fn drop(&mut self) {
        let Self { stream, secured } = self;
        let _ = secured.close(&mut Now(stream.fd()));
    }
}

impl<S: Socket + fmt::Debug> fmt::Debug for Tls<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("stream", &self.stream).field("peer", &self.secured.peer()).finish()
    }
}

/// A socket that is not waited for.
struct Now<'s>(Option<BorrowedFd<'s>>);

impl Read for Now<'_> {
    fn read(&mut self, octets: &mut [u8]) -> io::Result<usize> {
        let socket = self.0.ok_or(ErrorKind::NotConnected)?;
        Ok(recv(socket.as_raw_fd(), octets, MsgFlags::MSG_DONTWAIT)?)
    }
}

impl Write for Now<'_> {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        let socket = self.0.ok_or(ErrorKind::NotConnected)?;
        SockRef::from(&socket).send_with_flags(octets, MSG_DONTWAIT | MSG_NOSIGNAL)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn append(buffer: &mut BytesMut) -> impl FnMut(&[u8]) -> usize {
    |octets| {
        buffer.extend_from_slice(octets);
        octets.len()
    }
}

// The async client.

impl Stream {
    /// Makes the handshake.
    pub(crate) async fn secure(mut self, mut handshake: Handshake) -> Result<Self, Cause> {
        poll_fn(|cx| match handshake.advance(&mut Polled { stream: &mut self, cx }) {
            Ok(Progress::Blocked) => Poll::Pending,
            Ok(Progress::Done) => Poll::Ready(Ok(())),
            Err(error) => Poll::Ready(Err(error)),
        })
        .await?;
        Ok(Self::Tls(Box::new(Tls { stream: self, secured: handshake.secure()? })))
    }

    pub(crate) fn peer(&self) -> Option<Arc<PeerIdentity>> {
        if let Self::Tls(tls) = self { tls.peer() } else { None }
    }
}

impl Tls<Stream> {
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        mut step: impl FnMut(&mut Secured, &mut Polled<'_, '_>) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        let Self { stream, secured } = self;
        let mut io = Polled { stream, cx };
        loop {
            return match step(secured, &mut io) {
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) if error.kind() == ErrorKind::WouldBlock => Poll::Pending,
                done => Poll::Ready(done),
            };
        }
    }

    pub(crate) fn poll_read_buffer(&mut self, cx: &mut Context<'_>, buffer: &mut BytesMut) -> Poll<io::Result<usize>> {
        self.poll(cx, |secured, io| secured.read(io, append(buffer)))
    }

    /// Appends what is here, without asking to be woken.
    pub(crate) fn try_read(&mut self, buffer: &mut BytesMut) -> io::Result<Option<usize>> {
        let Self { stream, secured } = self;
        loop {
            return match secured.read(&mut Now(stream.fd()), append(buffer)) {
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(None),
                read => read.map(Some),
            };
        }
    }

    pub(crate) fn poll_write_pieces(
        &mut self,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll(cx, |secured, io| secured.write(io, pieces))
    }
}

impl AsyncRead for Tls<Stream> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let read = self.get_mut().poll(cx, |secured, io| {
            secured.read(io, |octets| {
                let fits = octets.len().min(buffer.remaining());
                buffer.put_slice(&octets[..fits]);
                fits
            })
        });
        read.map_ok(drop)
    }
}

impl AsyncWrite for Tls<Stream> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, octets: &[u8]) -> Poll<io::Result<usize>> {
        self.get_mut().poll_write_pieces(cx, &[IoSlice::new(octets)])
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().poll(cx, |secured, io| secured.flush(io).map(|()| 0)).map_ok(drop)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll(cx, |secured, io| secured.close(io).map(|()| 0)))?;
        self.stream.writer()?.poll_shutdown(cx)
    }
}

/// A stream within a poll: what would block wakes the task when it does no more.
struct Polled<'p, 'cx> {
    stream: &'p mut Stream,
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
        let mut buffer = ReadBuf::new(octets);
        now(match self.stream {
            Stream::Tcp(stream) => Pin::new(stream).poll_read(self.cx, &mut buffer),
            Stream::Unix(stream) => Pin::new(stream).poll_read(self.cx, &mut buffer),
            Stream::Lean(stream) => Pin::new(stream).poll_read(self.cx, &mut buffer),
            _ => Poll::Ready(Err(ErrorKind::NotConnected.into())),
        })?;
        Ok(buffer.filled().len())
    }
}

impl Write for Polled<'_, '_> {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        now(self.stream.writer()?.poll_write(self.cx, octets))
    }

    fn write_vectored(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        now(self.stream.writer()?.poll_write_vectored(self.cx, pieces))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

// The blocking client.

impl BlockingStream {
    /// Makes the handshake.
    pub(crate) fn secure(self, mut handshake: Handshake, until: Until) -> Result<Self, Cause> {
        while handshake.advance(&mut Now(self.fd()))? == Progress::Blocked {
            let interest = if handshake.wants_write() { PollFlags::POLLOUT } else { PollFlags::POLLIN };
            self.wait(interest, until.left()?)?;
        }
        Ok(Self::Tls(Box::new(Tls { stream: self, secured: handshake.secure()? })))
    }

    pub(crate) fn peer(&self) -> Option<Arc<PeerIdentity>> {
        if let Self::Tls(tls) = self { tls.peer() } else { None }
    }
}

impl Tls<BlockingStream> {
    /// Appends what comes, after a single read of the socket: [`ErrorKind::Interrupted`] says that more of it is needed.
    pub(crate) fn read(&mut self, buffer: &mut BytesMut, flags: MsgFlags) -> io::Result<usize> {
        let Self { stream, secured } = self;
        secured.read(&mut Blocking(stream.fd(), flags), append(buffer))
    }

    /// Whether octets, an end or a fault are here already.
    pub(crate) fn has_input(&mut self) -> bool {
        self.secured.has_input()
    }

    /// Writes what the socket has room for: after [`ErrorKind::WouldBlock`] the same has to come again.
    pub(crate) fn write(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        let Self { stream, secured } = self;
        secured.write(&mut Now(stream.fd()), pieces)
    }
}

/// A socket that is waited for when it is read, as long as it says itself, if the flags do not forbid it.
struct Blocking<'s>(Option<BorrowedFd<'s>>, MsgFlags);

impl Read for Blocking<'_> {
    fn read(&mut self, octets: &mut [u8]) -> io::Result<usize> {
        let socket = self.0.ok_or(ErrorKind::NotConnected)?;
        Ok(recv(socket.as_raw_fd(), octets, self.1)?)
    }
}

impl Write for Blocking<'_> {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        Now(self.0).write(octets)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
