//! A connected socket that is registered with the runtime. The registration depends on the kind of the socket.
//!
//! Every event that the kernel reports wakes the thread. On a TCP socket the kernel reports room to write only after a
//! write has found no room. On a Unix socket the kernel reports room each time the peer reads a message. Most of these
//! events would wake the thread for nothing. A Unix socket is therefore registered for reading only. After a write has
//! found no room, the socket is registered again for reading and writing. A TCP socket is always registered for reading
//! and writing.

use std::io::{self, ErrorKind, IoSlice, Read};
use std::net::Shutdown;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::pin::pin;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use nix::libc::MSG_NOSIGNAL;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use socket2::SockRef;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::transport::{PeerState, Transport};
use crate::listen::{Accepted, register};
use crate::report::Peer;

/// The most pieces in one write. Systems refuse more than `IOV_MAX`, which is usually 1,024.
const PIECES: usize = 64;

/// A connected socket.
pub(crate) struct Socket {
    /// The registered descriptor. If a registration failed, the socket was closed, and this is the kind of the error.
    fd: Result<AsyncFd<OwnedFd>, ErrorKind>,
    is_unix: bool,
    /// True if the socket is registered for reading and writing, and not for reading only.
    writes: bool,
    /// The task that waits for input. If another task writes, the write may register the socket again. The runtime then
    /// loses the waker of the task that waits for input, so `register` wakes that task.
    reader: Option<Waker>,
}

impl Socket {
    fn new(fd: OwnedFd, is_unix: bool) -> io::Result<Self> {
        let writes = !is_unix;
        Ok(Self { fd: Ok(register(fd, interest(writes))?), is_unix, writes, reader: None })
    }

    fn fd(&self) -> io::Result<&AsyncFd<OwnedFd>> {
        self.fd.as_ref().map_err(|&error| error.into())
    }

    /// Registers the socket for reading only, or for reading and writing.
    fn register(&mut self, writes: bool) -> io::Result<()> {
        self.fd()?;
        if self.writes != writes
            && let Ok(fd) = std::mem::replace(&mut self.fd, Err(ErrorKind::NotConnected))
        {
            self.fd = register(fd.into_inner(), interest(writes)).map_err(|error| error.kind());
            self.writes = writes;
            self.reader.take().inspect(Waker::wake_by_ref);
        }
        self.fd().map(drop)
    }

    /// Stores the task that waits for input, because a later write may register the socket again. Does nothing if the socket is
    /// already registered for reading and writing.
    fn awaits_input(&mut self, cx: &Context<'_>) {
        if !self.writes {
            self.reader.get_or_insert_with(|| cx.waker().clone()).clone_from(cx.waker());
        }
    }

    fn state(&self, interest: PollFlags) -> PollFlags {
        let Ok(fd) = &self.fd else { return PollFlags::POLLHUP };
        let mut fds = [PollFd::new(fd.as_fd(), interest)];
        // `poll` fails only if the system has no memory. The state is then unknown.
        let _ = poll(&mut fds, PollTimeout::ZERO);
        fds[0].revents().unwrap_or(PollFlags::empty())
    }

    /// Returns whether the end of the peer's input has arrived, even if it was not read yet. The runtime knows this from a
    /// readiness event.
    fn has_ended(&self) -> bool {
        let Ok(fd) = &self.fd else { return true };
        let ready = pin!(fd.ready(Interest::READABLE)).poll(&mut Context::from_waker(Waker::noop()));
        matches!(ready, Poll::Ready(Ok(guard)) if guard.ready().is_read_closed())
    }
}

impl Transport for Socket {
    type Accepted = Accepted;

    fn register(Accepted { fd, peer }: Accepted) -> io::Result<(Self, Peer)> {
        Ok((Self::new(fd, peer.address.is_unix())?, peer))
    }

    fn poll_readable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let readable = self.fd()?.poll_read_ready(cx).map_ok(drop);
        if readable.is_pending() {
            self.awaits_input(cx);
        }
        readable
    }

    fn poll_read_slice(&mut self, cx: &mut Context<'_>, bytes: &mut [u8]) -> Poll<io::Result<usize>> {
        loop {
            let Poll::Ready(ready) = self.fd()?.poll_read_ready(cx) else {
                self.awaits_input(cx);
                return Poll::Pending;
            };
            let mut ready = ready?;
            if let Ok(read) = ready.try_io(|fd| receive(fd.as_fd(), bytes)) {
                if read.as_ref().is_ok_and(|read| (1..bytes.len()).contains(read)) {
                    // The read did not fill the slice, so all input was read. The kernel reports further input (epoll(7)).
                    ready.clear_ready();
                }
                return Poll::Ready(read);
            }
        }
    }

    fn try_read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        receive(self.fd()?.as_fd(), bytes)
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

    #[cfg(feature = "tls")]
    fn try_write(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        send(self.fd()?.as_fd(), pieces)
    }

    fn rest(&mut self) -> io::Result<()> {
        self.register(!self.is_unix)
    }

    fn peer(&self, is_eof: bool) -> PeerState {
        if self.state(PollFlags::empty()).intersects(PollFlags::POLLHUP | PollFlags::POLLERR) {
            return PeerState::Gone;
        }
        if !self.is_unix && (is_eof || self.has_ended()) { PeerState::HalfClosed } else { PeerState::Present }
    }

    fn has_input(&self) -> bool {
        !self.state(PollFlags::POLLIN).is_empty()
    }

    fn shut_down_writing(&self) {
        if let Ok(fd) = &self.fd {
            // If the call fails, the peer is gone.
            let _ = SockRef::from(fd).shutdown(Shutdown::Write);
        }
    }

    fn reset_on_close(&self) {
        if let Ok(fd) = &self.fd {
            // This option has no effect on a Unix socket: the peer usually only sees the end of the data.
            let _ = SockRef::from(fd).set_linger(Some(Duration::ZERO));
        }
    }
}

/// Returns the events for which a socket is registered.
fn interest(writes: bool) -> Interest {
    if writes { Interest::READABLE | Interest::WRITABLE } else { Interest::READABLE }
}

fn receive(fd: BorrowedFd<'_>, bytes: &mut [u8]) -> io::Result<usize> {
    uninterrupted(|| (&*SockRef::from(&fd)).read(bytes))
}

fn send(fd: BorrowedFd<'_>, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
    let socket = SockRef::from(&fd);
    uninterrupted(|| match pieces {
        [one] => socket.send_with_flags(one, MSG_NOSIGNAL),
        pieces => socket.send_vectored_with_flags(&pieces[..pieces.len().min(PIECES)], MSG_NOSIGNAL),
    })
}

/// Repeats a system call until no signal has interrupted it.
fn uninterrupted(mut call: impl FnMut() -> io::Result<usize>) -> io::Result<usize> {
    loop {
        match call() {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            moved => return moved,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use super::*;

    /// A registration fails after the end of the runtime, as it does when the kernel has no memory left.
    #[test]
    fn failed_registration_is_the_error_of_later_calls() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
        let handle = runtime.handle().clone();
        let _inside = handle.enter();
        let (near, _far) = UnixStream::pair().unwrap();
        near.set_nonblocking(true).unwrap();
        let mut socket = Socket::new(near.into(), true).unwrap();
        drop(runtime);
        let error = socket.register(true).unwrap_err().kind();
        assert_ne!(error, ErrorKind::NotConnected);
        assert_eq!(socket.try_read(&mut [0; 8]).unwrap_err().kind(), error);
        assert_eq!(socket.rest().unwrap_err().kind(), error);
    }
}
