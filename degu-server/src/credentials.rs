//! The credentials of processes on this machine.

use std::io;
use std::os::fd::OwnedFd;

pub use degu_wire::Credentials;
use nix::unistd::{getegid, geteuid};
use socket2::Socket;
use tokio::net::UnixStream;

/// Returns the credentials of this process, which an app can compare with the credentials of a peer.
///
/// ```
/// assert_eq!(degu_server::own_credentials().pid, std::process::id() as i32);
/// ```
pub fn own_credentials() -> Credentials {
    Credentials { pid: std::process::id() as i32, uid: geteuid().as_raw(), gid: getegid().as_raw() }
}

/// Returns the socket, and the credentials of its peer if the system provides them. The socket must be a connected,
/// non-blocking Unix socket. The caller must run in a runtime, because tokio makes the system call, which differs
/// between systems.
pub(crate) fn of_peer(socket: Socket) -> io::Result<(OwnedFd, Option<Credentials>)> {
    let stream = UnixStream::from_std(socket.into())?;
    let credentials = stream.peer_cred().ok();
    let credentials =
        credentials.map(|peer| Credentials { pid: peer.pid().unwrap_or(0), uid: peer.uid(), gid: peer.gid() });
    Ok((stream.into_std()?.into(), credentials))
}
