//! Listening sockets that are registered with a runtime.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::task::{Context, Poll, ready};

use degu_wire::Address;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use socket2::SockRef;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::{Listener, SocketFile, address_of};
use crate::credentials;
use crate::report::Peer;

/// An accepted connection that is not yet assigned to a worker. Its socket is non-blocking, and not registered with a runtime.
pub(crate) struct Accepted {
    pub(crate) fd: OwnedFd,
    pub(crate) peer: Peer,
}

/// A listening socket that is registered with a runtime.
pub(crate) struct Accepting {
    /// The file of a Unix socket, if this process has bound the socket. Dropping the [`SocketFile`] unlinks the file. This
    /// field is declared before `socket`, so the file is unlinked before the socket is closed.
    file: Option<SocketFile>,
    socket: AsyncFd<OwnedFd>,
}

impl Accepting {
    /// Registers the sockets of listeners with the runtime that runs the caller.
    pub(crate) fn register(listeners: Vec<Listener>) -> io::Result<Vec<Self>> {
        let sockets = listeners.into_iter().flat_map(|listener| listener.sockets);
        sockets
            .map(|bound| Ok(Self { file: bound.file, socket: register(bound.socket.into(), Interest::READABLE)? }))
            .collect()
    }

    /// Unlinks the file of a Unix socket, so no more clients can connect. Clients that have connected are still accepted.
    pub(crate) fn unlink(&mut self) {
        self.file = None;
    }

    /// Accepts the next connection. `Pending` means that no connection waits to be accepted.
    pub(crate) fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<Accepted>> {
        loop {
            let mut ready = ready!(self.socket.poll_read_ready(cx))?;
            if let Ok(accepted) = ready.try_io(|_| self.accept_now()) {
                return Poll::Ready(accepted);
            }
        }
    }

    /// Returns whether a connection waits to be accepted. If the process has no descriptor left, accepting fails even if no
    /// connection waits, so the error does not show whether a connection waits.
    pub(crate) fn has_newcomer(&self) -> bool {
        let mut polled = [PollFd::new(self.socket.as_fd(), PollFlags::POLLIN)];
        poll(&mut polled, PollTimeout::ZERO).is_ok_and(|ready| ready > 0)
    }

    /// Accepts a connection from the kernel, even if the runtime has not noticed the connection yet.
    pub(crate) fn accept_now(&self) -> io::Result<Accepted> {
        let (socket, peer) = SockRef::from(&self.socket).accept()?;
        socket.set_nonblocking(true)?;
        let address = address_of(&peer).unwrap_or(Address::ABSTRACT);
        let (fd, credentials) = match address.is_unix() {
            true => credentials::of_peer(socket)?,
            false => (socket.into(), None),
        };
        Ok(Accepted { fd, peer: Peer::new(address, credentials) })
    }
}

/// Registers a non-blocking descriptor with the runtime of this thread.
#[expect(
    deprecated,
    reason = "the replacement is unsafe, because some types may change their descriptor; OwnedFd cannot"
)]
pub(crate) fn register(fd: OwnedFd, interest: Interest) -> io::Result<AsyncFd<OwnedFd>> {
    AsyncFd::with_interest(fd, interest)
}
