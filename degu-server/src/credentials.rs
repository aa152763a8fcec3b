//! The credentials of processes on this machine.

use std::os::fd::AsFd;

pub use degu_wire::Credentials;
use nix::unistd::{getegid, geteuid};

/// Returns the credentials of this process, to compare a peer's with.
///
/// ```
/// assert_eq!(degu_server::own_credentials().pid, std::process::id() as i32);
/// ```
pub fn own_credentials() -> Credentials {
    Credentials { pid: std::process::id() as i32, uid: geteuid().as_raw(), gid: getegid().as_raw() }
}

/// Returns the credentials of the peer of a connected Unix socket, where the system has them.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) fn of_peer(socket: &impl AsFd) -> Option<Credentials> {
    let peer = nix::sys::socket::getsockopt(socket, nix::sys::socket::sockopt::PeerCredentials).ok()?;
    Some(Credentials { pid: peer.pid(), uid: peer.uid(), gid: peer.gid() })
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(crate) fn of_peer(_: &impl AsFd) -> Option<Credentials> {
    None
}
