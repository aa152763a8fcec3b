//! Listening sockets that a runtime waits for.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::SocketAddr;
use std::task::{Context, Poll, ready};

use degu_wire::Address;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use socket2::SockRef;
use tokio::net::{TcpListener, UnixListener};

use super::{Bound, Listener, SocketFile, address_of};

/// An accepted connection that is not yet assigned to a worker. Its socket is non-blocking, and registered with no runtime.
#[derive(Debug)]
pub(crate) struct Accepted {
    pub(crate) fd: OwnedFd,
    pub(crate) address: Address,
    pub(crate) is_unix: bool,
}

/// A listening socket that a runtime waits for.
#[derive(Debug)]
pub(crate) struct Accepting {
    /// Unlinks the file of a Unix socket. It must be dropped before the socket: see [`SocketFile`].
    file: Option<SocketFile>,
    socket: Socket,
}

#[derive(Debug)]
enum Socket {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Accepting {
    /// Registers the sockets of listeners. Must be called within the runtime.
    pub(crate) fn register(listeners: impl IntoIterator<Item = Listener>) -> io::Result<Vec<Self>> {
        listeners.into_iter().flat_map(|listener| listener.sockets).map(Self::new).collect()
    }

    fn new(bound: Bound) -> io::Result<Self> {
        let socket = match bound.address.is_unix() {
            true => Socket::Unix(UnixListener::from_std(bound.socket.into())?),
            false => Socket::Tcp(TcpListener::from_std(bound.socket.into())?),
        };
        Ok(Self { file: bound.file, socket })
    }

    /// Unlinks the file of a Unix socket, so no more clients can connect. Clients that have connected are still accepted.
    pub(crate) fn unlink(&mut self) {
        self.file = None;
    }

    pub(crate) fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<Accepted>> {
        Poll::Ready(Ok(match &self.socket {
            Socket::Tcp(listener) => {
                let (stream, peer) = ready!(listener.poll_accept(cx))?;
                Accepted { fd: stream.into_std()?.into(), address: peer.into(), is_unix: false }
            }
            Socket::Unix(listener) => {
                let (stream, peer) = ready!(listener.poll_accept(cx))?;
                let address = (&SocketAddr::from(peer)).try_into().unwrap_or(Address::ABSTRACT);
                Accepted { fd: stream.into_std()?.into(), address, is_unix: true }
            }
        }))
    }

    /// Returns whether a connection waits to be accepted. A failed accept does not show that: when the process has no descriptor
    /// left, accepting fails in any case.
    pub(crate) fn has_newcomer(&self) -> bool {
        let socket = match &self.socket {
            Socket::Tcp(listener) => listener.as_fd(),
            Socket::Unix(listener) => listener.as_fd(),
        };
        let mut polled = [PollFd::new(socket, PollFlags::POLLIN)];
        poll(&mut polled, PollTimeout::ZERO).is_ok_and(|ready| ready > 0)
    }

    /// Accepts a connection from the kernel, even if the runtime has not noticed it yet.
    pub(crate) fn accept_now(&self) -> io::Result<Accepted> {
        let (socket, is_unix) = match &self.socket {
            Socket::Tcp(listener) => (SockRef::from(listener), false),
            Socket::Unix(listener) => (SockRef::from(listener), true),
        };
        let (socket, peer) = socket.accept()?;
        socket.set_nonblocking(true)?;
        Ok(Accepted { fd: socket.into(), address: address_of(&peer).unwrap_or(Address::ABSTRACT), is_unix })
    }
}
