//! Listening sockets that a runtime waits for.

use std::io;
use std::net::TcpStream;
use std::os::unix::net::{SocketAddr, UnixStream};
use std::task::{Context, Poll, ready};

use degu_wire::Address;
use rustix::fd::{AsFd, OwnedFd};
use tokio::net::{TcpListener, UnixListener};

use super::{Listener, SocketFile};

/// A connection on its way to its worker.
#[derive(Debug)]
pub(crate) struct Accepted {
    pub(crate) fd: OwnedFd,
    pub(crate) address: Address,
    pub(crate) is_unix: bool,
}

/// A listening socket that a runtime waits for.
#[derive(Debug)]
pub(crate) struct Accepting {
    /// Unlinks the file of a Unix socket. It goes before the socket: see [`SocketFile`].
    file: Option<SocketFile>,
    socket: Socket,
}

#[derive(Debug)]
enum Socket {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Accepting {
    /// To be called within the runtime.
    pub(crate) fn new(listener: Listener) -> io::Result<Self> {
        let socket = match listener.address.is_unix() {
            true => Socket::Unix(UnixListener::from_std(listener.fd.into())?),
            false => Socket::Tcp(TcpListener::from_std(listener.fd.into())?),
        };
        Ok(Self { file: listener.file, socket })
    }

    /// Nobody can find a Unix socket by its path from here on. Those who have are still accepted.
    pub(crate) fn unlink(&mut self) {
        self.file = None;
    }

    pub(crate) fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<Accepted>> {
        // Which runtime the connection will belong to is not known yet.
        Poll::Ready(Ok(match &self.socket {
            Socket::Tcp(listener) => {
                let (stream, address) = ready!(listener.poll_accept(cx))?;
                Accepted { fd: stream.into_std()?.into(), address: address.into(), is_unix: false }
            }
            Socket::Unix(listener) => {
                let (stream, address) = ready!(listener.poll_accept(cx))?;
                let address = peer_address(Ok(address.into()));
                Accepted { fd: stream.into_std()?.into(), address, is_unix: true }
            }
        }))
    }

    /// A connection that waits already, if there is one. It asks the kernel and not the runtime, which may not have heard
    /// of it yet.
    pub(crate) fn try_accept(&self) -> Option<Accepted> {
        Some(match &self.socket {
            Socket::Tcp(listener) => {
                let stream = TcpStream::from(accept_now(listener).ok()?);
                Accepted { address: stream.peer_addr().ok()?.into(), fd: stream.into(), is_unix: false }
            }
            Socket::Unix(listener) => {
                let stream = UnixStream::from(accept_now(listener).ok()?);
                Accepted { address: peer_address(stream.peer_addr()), fd: stream.into(), is_unix: true }
            }
        })
    }
}

#[cfg(not(target_vendor = "apple"))]
fn accept_now(listener: impl AsFd) -> rustix::io::Result<OwnedFd> {
    use rustix::net::{SocketFlags, accept_with};
    accept_with(listener, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC)
}

#[cfg(target_vendor = "apple")]
fn accept_now(listener: impl AsFd) -> rustix::io::Result<OwnedFd> {
    let socket = rustix::net::accept(listener)?;
    super::as_ours(&socket).map_err(|_| rustix::io::Errno::INVAL)?;
    Ok(socket)
}

/// Most clients on Unix sockets have bound no address.
fn peer_address(address: io::Result<SocketAddr>) -> Address {
    address.ok().and_then(|address| address.try_into().ok()).unwrap_or(Address::ABSTRACT)
}
