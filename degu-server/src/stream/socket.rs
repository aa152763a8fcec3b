//! A connected socket that is registered with the runtime. The registration depends on the kind of the socket.
//!
//! Every event that the kernel reports wakes the thread. On a TCP socket the kernel reports room to write only after a write has
//! found no room. On a Unix socket it reports room each time the peer reads a message. Most of these events would wake the thread
//! for nothing. A Unix socket is therefore registered for reading only. After a write has found no room, it is registered again
//! for reading and writing.

use std::io::{self, ErrorKind, IoSlice, Read};
use std::net::Shutdown;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::BytesMut;
use nix::libc::MSG_NOSIGNAL;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use socket2::SockRef;
use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;

use super::transport::{PeerState, Transport};
use crate::listen::{Accepted, register};
use crate::report::Peer;

/// The most pieces in one write. Systems refuse more than `IOV_MAX`, which is usually 1,024.
const PIECES: usize = 64;

/// A connected socket.
#[derive(Debug)]
pub(crate) enum Socket {
    Tcp(TcpStream),
    Unix(UnixSocket),
}

/// A connected Unix socket.
#[derive(Debug)]
pub(crate) struct UnixSocket {
    /// The registered descriptor. `None` if a registration failed, and the socket was therefore closed.
    fd: Option<AsyncFd<OwnedFd>>,
    /// True if the socket is registered for reading and writing, and not for reading only.
    writes: bool,
    /// The task that waits for input. Another task may be the one that writes, and a write may register the socket again. The
    /// runtime then loses the waker of this task, so the task is woken.
    reader: Option<Waker>,
}

impl UnixSocket {
    fn new(fd: OwnedFd) -> io::Result<Self> {
        Ok(Self { fd: Some(register(fd, Interest::READABLE)?), writes: false, reader: None })
    }

    fn fd(&self) -> io::Result<&AsyncFd<OwnedFd>> {
        self.fd.as_ref().ok_or_else(|| ErrorKind::NotConnected.into())
    }

    /// Registers the socket for reading only, or for reading and writing.
    fn register(&mut self, writes: bool) -> io::Result<()> {
        if self.writes != writes {
            let fd = self.fd.take().ok_or(ErrorKind::NotConnected)?.into_inner();
            let interest = if writes { Interest::READABLE | Interest::WRITABLE } else { Interest::READABLE };
            self.fd = Some(register(fd, interest)?);
            self.writes = writes;
            self.reader.take().inspect(Waker::wake_by_ref);
        }
        Ok(())
    }

    /// Polls until there is input, or the end of the input.
    fn poll_readable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let readable = self.fd()?.poll_read_ready(cx).map_ok(drop);
        if readable.is_pending() {
            self.awaits_input(cx);
        }
        readable
    }

    /// Stores the task that waits for input, because a later write may register the socket again. Does nothing if the socket is
    /// already registered for reading and writing.
    fn awaits_input(&mut self, cx: &Context<'_>) {
        if !self.writes {
            self.reader.get_or_insert_with(|| cx.waker().clone()).clone_from(cx.waker());
        }
    }

    fn poll_read(&mut self, cx: &mut Context<'_>, bytes: &mut [u8]) -> Poll<io::Result<usize>> {
        loop {
            let Poll::Ready(ready) = self.fd()?.poll_read_ready(cx) else {
                self.awaits_input(cx);
                return Poll::Pending;
            };
            let mut ready = ready?;
            match ready.try_io(|fd| (&*SockRef::from(fd)).read(bytes)) {
                Ok(Err(error)) if error.kind() == ErrorKind::Interrupted => {}
                Ok(read) => {
                    if read.as_ref().is_ok_and(|read| (1..bytes.len()).contains(read)) {
                        // The read did not fill the slice, so all input was read. The kernel reports further input (epoll(7)).
                        ready.clear_ready();
                    }
                    return Poll::Ready(read);
                }
                Err(_would_block) => {}
            }
        }
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, pieces: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        if !self.writes {
            match send(self.fd()?.as_fd(), pieces) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.register(true)?,
                sent => return Poll::Ready(sent),
            }
        }
        loop {
            let mut ready = ready!(self.fd()?.poll_write_ready(cx))?;
            if let Ok(sent) = ready.try_io(|fd| send(fd.as_fd(), pieces)) {
                return Poll::Ready(sent);
            }
        }
    }
}

impl Socket {
    fn fd(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Self::Tcp(stream) => Some(stream.as_fd()),
            Self::Unix(socket) => socket.fd.as_ref().map(AsFd::as_fd),
        }
    }

    fn state(&self, interest: PollFlags) -> PollFlags {
        let Some(fd) = self.fd() else { return PollFlags::POLLHUP };
        let mut fds = [PollFd::new(fd, interest)];
        // `poll` fails only if the system has no memory. The state is then unknown.
        let _ = poll(&mut fds, PollTimeout::ZERO);
        fds[0].revents().unwrap_or(PollFlags::empty())
    }
}

impl Transport for Socket {
    type Accepted = Accepted;

    fn register(Accepted { fd, peer }: Accepted) -> io::Result<(Self, Peer)> {
        let socket = match peer.address.is_unix() {
            true => Self::Unix(UnixSocket::new(fd)?),
            false => Self::Tcp(TcpStream::from_std(fd.into())?),
        };
        Ok((socket, peer))
    }

    fn poll_readable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(stream) => stream.poll_read_ready(cx),
            Self::Unix(socket) => socket.poll_readable(cx),
        }
    }

    fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        scratch: &mut [u8],
        buffer: &mut BytesMut,
    ) -> Poll<io::Result<usize>> {
        let (at, room) = (buffer.len(), buffer.spare_capacity_mut().len());
        // A direct read would need a zeroed receive buffer. For a small message, copying costs less than zeroing.
        if room <= scratch.len() {
            return self.poll_read_slice(cx, &mut scratch[..room]).map_ok(|read| {
                buffer.extend_from_slice(&scratch[..read]);
                read
            });
        }
        // The buffer has more room than `scratch` only while a large body arrives.
        ready!(self.poll_readable(cx))?;
        buffer.resize(at + room, 0);
        let read = self.poll_read_slice(cx, &mut buffer[at..]);
        buffer.truncate(at + if let Poll::Ready(Ok(read)) = read { read } else { 0 });
        read
    }

    fn poll_read_slice(&mut self, cx: &mut Context<'_>, bytes: &mut [u8]) -> Poll<io::Result<usize>> {
        match self {
            Self::Tcp(stream) => {
                let mut buffer = ReadBuf::new(bytes);
                Pin::new(stream).poll_read(cx, &mut buffer).map_ok(|()| buffer.filled().len())
            }
            Self::Unix(socket) => socket.poll_read(cx, bytes),
        }
    }

    fn try_read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let fd = self.fd().ok_or(ErrorKind::NotConnected)?;
        (&*SockRef::from(&fd)).read(bytes)
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, pieces: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        match (self, pieces) {
            (Self::Tcp(stream), [one]) => Pin::new(stream).poll_write(cx, one),
            (Self::Tcp(stream), pieces) => Pin::new(stream).poll_write_vectored(cx, pieces),
            (Self::Unix(socket), pieces) => socket.poll_write(cx, pieces),
        }
    }

    #[cfg(feature = "tls")]
    fn try_write(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        send(self.fd().ok_or(ErrorKind::NotConnected)?, pieces)
    }

    fn rest(&mut self) -> io::Result<()> {
        if let Self::Unix(socket) = self { socket.register(false) } else { Ok(()) }
    }

    fn peer(&self, is_eof: bool) -> PeerState {
        if self.state(PollFlags::empty()).intersects(PollFlags::POLLHUP | PollFlags::POLLERR) {
            return PeerState::Gone;
        }
        match self {
            Self::Tcp(stream) if is_eof || has_ended(stream) => PeerState::HalfClosed,
            _ => PeerState::Present,
        }
    }

    fn has_input(&self) -> bool {
        !self.state(PollFlags::POLLIN).is_empty()
    }

    fn shut_down_writing(&self) {
        if let Some(fd) = self.fd() {
            // If the call fails, the peer is gone.
            let _ = SockRef::from(&fd).shutdown(Shutdown::Write);
        }
    }

    fn reset_on_close(&self) {
        if let Some(fd) = self.fd() {
            // A Unix socket has no reset. Its peer only sees the end of the data.
            let _ = SockRef::from(&fd).set_linger(Some(Duration::ZERO));
        }
    }
}

/// Returns whether the end of the peer's input has arrived, even if it was not read yet. The runtime knows this from a readiness
/// event.
fn has_ended(stream: &TcpStream) -> bool {
    let ready = pin!(stream.ready(Interest::READABLE)).poll(&mut Context::from_waker(Waker::noop()));
    matches!(ready, Poll::Ready(Ok(ready)) if ready.is_read_closed())
}

fn send(fd: BorrowedFd<'_>, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
    let socket = SockRef::from(&fd);
    loop {
        let sent = match pieces {
            [one] => socket.send_with_flags(one, MSG_NOSIGNAL),
            pieces => socket.send_vectored_with_flags(&pieces[..pieces.len().min(PIECES)], MSG_NOSIGNAL),
        };
        if !sent.as_ref().is_err_and(|error| error.kind() == ErrorKind::Interrupted) {
            return sent;
        }
    }
}
