//! The credentials of processes on this machine.

use std::os::fd::AsFd;

pub use degu_wire::Credentials;
use nix::unistd::{getegid, geteuid};

/// Returns the credentials of this process. An app compares a peer's credentials with them.
///
/// ```
/// assert_eq!(degu_server::own_credentials().pid, std::process::id() as i32);
/// ```
pub fn own_credentials() -> Credentials {
    Credentials { pid: std::process::id() as i32, uid: geteuid().as_raw(), gid: getegid().as_raw() }
}

/// Returns the credentials of the peer of a connected Unix socket, if the system provides them.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) fn of_peer(socket: &impl AsFd) -> Option<Credentials> {
    let peer = nix::sys::socket::getsockopt(socket, nix::sys::socket::sockopt::PeerCredentials).ok()?;
    Some(Credentials { pid: peer.pid(), uid: peer.uid(), gid: peer.gid() })
}

/// Returns the credentials of the peer of a connected Unix socket, if the system provides them.
#[cfg(any(
    target_vendor = "apple",
    target_os = "dragonfly",
    target_os = "freebsd",
    target_os = "netbsd",
    target_os = "openbsd"
))]
pub(crate) fn of_peer(socket: &impl AsFd) -> Option<Credentials> {
    let (uid, gid) = nix::unistd::getpeereid(socket).ok()?;
    #[cfg(target_vendor = "apple")]
    let pid = nix::sys::socket::getsockopt(socket, nix::sys::socket::sockopt::LocalPeerPid).unwrap_or(0);
    #[cfg(not(target_vendor = "apple"))]
    let pid = 0;
    Some(Credentials { pid, uid: uid.as_raw(), gid: gid.as_raw() })
}

#[cfg(not(any(
    target_vendor = "apple",
    target_os = "android",
    target_os = "dragonfly",
    target_os = "freebsd",
    target_os = "linux",
    target_os = "netbsd",
    target_os = "openbsd"
)))]
pub(crate) fn of_peer(_: &impl AsFd) -> Option<Credentials> {
    None
}
