//! Who is at the other end of a Unix socket.

use rustix::fd::AsFd;

/// The process at the other end of a Unix socket, as the kernel vouches for it (`SO_PEERCRED`).
///
/// They are those of the moment when the peer connected. The user and the group can be relied on; a process id may belong
/// to another process by the time it is looked at. Linux and Android only: other systems have nothing that says all three.
///
/// ```
/// use degu_server::Credentials;
///
/// assert_eq!(Credentials::current().pid, std::process::id() as i32);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Credentials {
    /// The process.
    pub pid: i32,
    /// Its effective user.
    pub uid: u32,
    /// Its effective group.
    pub gid: u32,
}

impl Credentials {
    /// Those of this process: to compare a peer's with.
    pub fn current() -> Self {
        Self {
            pid: rustix::process::getpid().as_raw_nonzero().get(),
            uid: rustix::process::geteuid().as_raw(),
            gid: rustix::process::getegid().as_raw(),
        }
    }

    /// Those of the peer of a connected Unix socket. `None` where the system has none to give.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    pub(crate) fn of_peer(socket: impl AsFd) -> Option<Self> {
        let peer = rustix::net::sockopt::socket_peercred(socket).ok()?;
        Some(Self { pid: peer.pid.as_raw_nonzero().get(), uid: peer.uid.as_raw(), gid: peer.gid.as_raw() })
    }

    /// Other systems have no socket option that says all three.
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    pub(crate) fn of_peer(_: impl AsFd) -> Option<Self> {
        None
    }
}
