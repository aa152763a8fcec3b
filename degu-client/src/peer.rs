//! Who is at the other end.

use std::os::fd::BorrowedFd;

use degu_wire::{Address, Credentials};

/// The server that a new connection leads to: what [`on_connect`](crate::OptionsOf::on_connect) looks at.
#[derive(Debug)]
pub struct Peer<'c> {
    address: &'c Address,
    credentials: Option<Credentials>,
    #[cfg(feature = "tls")]
    identity: Option<std::sync::Arc<degu_tls::PeerIdentity>>,
}

impl<'c> Peer<'c> {
    pub(crate) fn new(address: &'c Address, socket: BorrowedFd<'_>) -> Self {
        Self {
            address,
            credentials: address.is_unix().then(|| of_peer(socket)).flatten(),
            #[cfg(feature = "tls")]
            identity: None,
        }
    }

    #[cfg(feature = "tls")]
    pub(crate) fn with_identity(self, identity: Option<std::sync::Arc<degu_tls::PeerIdentity>>) -> Self {
        Self { identity, ..self }
    }

    /// The address that was connected to: of a DNS name, the one that answered.
    pub const fn address(&self) -> &'c Address {
        self.address
    }

    /// Returns the process that listens on the Unix socket; `None` over TCP, and on systems other than Linux and Android.
    pub const fn credentials(&self) -> Option<Credentials> {
        self.credentials
    }

    /// Whose certificate the server proved to hold the key of, and who vouched for it; `None` without TLS.
    #[cfg(feature = "tls")]
    pub fn identity(&self) -> Option<&degu_tls::PeerIdentity> {
        self.identity.as_deref()
    }
}

/// Returns the credentials of the peer of a connected Unix socket, where the system has them.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn of_peer(socket: BorrowedFd<'_>) -> Option<Credentials> {
    let peer = nix::sys::socket::getsockopt(&socket, nix::sys::socket::sockopt::PeerCredentials).ok()?;
    Some(Credentials { pid: peer.pid(), uid: peer.uid(), gid: peer.gid() })
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn of_peer(_: BorrowedFd<'_>) -> Option<Credentials> {
    None
}
