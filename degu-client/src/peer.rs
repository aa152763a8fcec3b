//! Who is at the other end.

use std::os::fd::BorrowedFd;

use degu_wire::Address;

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
            credentials: credentials(address, socket),
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

    /// Who opened the Unix socket that was connected to; `None` over TCP, and on systems other than Linux and Android.
    pub const fn credentials(&self) -> Option<Credentials> {
        self.credentials
    }

    /// Whose certificate the server proved to hold the key of, and who vouched for it; `None` without TLS.
    #[cfg(feature = "tls")]
    pub fn identity(&self) -> Option<&degu_tls::PeerIdentity> {
        self.identity.as_deref()
    }
}

/// The process at the other end of a Unix socket, as the kernel knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Credentials {
    /// The process, as it was when it began to listen. It may have ended since, and the number may be in use again.
    pub pid: i32,
    /// Its effective user.
    pub uid: u32,
    /// Its effective group.
    pub gid: u32,
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn credentials(address: &Address, socket: BorrowedFd<'_>) -> Option<Credentials> {
    if !address.is_unix() {
        return None;
    }
    let peer = rustix::net::sockopt::socket_peercred(socket).ok()?;
    Some(Credentials { pid: peer.pid.as_raw_nonzero().get(), uid: peer.uid.as_raw(), gid: peer.gid.as_raw() })
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn credentials(_: &Address, _: BorrowedFd<'_>) -> Option<Credentials> {
    None
}
