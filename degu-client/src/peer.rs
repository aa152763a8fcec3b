//! The server at the other end of a connection: its address, and its process (Unix sockets) or its certificate (TLS).

use std::os::fd::BorrowedFd;

use degu_wire::{Address, Credentials};

use crate::stream::Stream;

/// The server at the other end of a new connection, for the check in [`on_connect`](crate::OptionsOf::on_connect).
#[derive(Debug)]
pub struct Peer<'c> {
    address: &'c Address,
    credentials: Option<Credentials>,
    #[cfg(feature = "tls")]
    identity: Option<std::sync::Arc<degu_tls::PeerIdentity>>,
}

impl<'c> Peer<'c> {
    /// Returns the server at the other end of a stream that was connected to this address; `None` if the stream has no
    /// socket.
    pub(crate) fn of(address: &'c Address, stream: &(impl Stream + ?Sized)) -> Option<Self> {
        let socket = stream.socket()?;
        Some(Self {
            address,
            credentials: address.is_unix().then(|| credentials_of(socket)).flatten(),
            #[cfg(feature = "tls")]
            identity: stream.peer().cloned(),
        })
    }

    /// Returns the address to which the connection was made. For a DNS name the result is the IP address that accepted
    /// the connection.
    pub const fn address(&self) -> &'c Address {
        self.address
    }

    /// Returns the credentials of the process that called `listen` on the Unix socket; `None` over TCP, or if the
    /// system does not report them.
    pub const fn credentials(&self) -> Option<Credentials> {
        self.credentials
    }

    /// Returns the verified certificate of the server, with its CA; `None` without TLS.
    #[cfg(feature = "tls")]
    pub fn identity(&self) -> Option<&degu_tls::PeerIdentity> {
        self.identity.as_deref()
    }
}

/// Returns the credentials of the peer of a connected Unix socket, if the system knows them.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn credentials_of(socket: BorrowedFd<'_>) -> Option<Credentials> {
    let peer = nix::sys::socket::getsockopt(&socket, nix::sys::socket::sockopt::PeerCredentials).ok()?;
    Some(Credentials { pid: peer.pid(), uid: peer.uid(), gid: peer.gid() })
}

/// Returns the credentials of the peer of a connected Unix socket, if the system knows them.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn credentials_of(socket: BorrowedFd<'_>) -> Option<Credentials> {
    let (uid, gid) = nix::unistd::getpeereid(socket).ok()?;
    #[cfg(target_vendor = "apple")]
    let pid = nix::sys::socket::getsockopt(&socket, nix::sys::socket::sockopt::LocalPeerPid).unwrap_or(0);
    #[cfg(not(target_vendor = "apple"))]
    let pid = 0;
    Some(Credentials { pid, uid: uid.as_raw(), gid: gid.as_raw() })
}
