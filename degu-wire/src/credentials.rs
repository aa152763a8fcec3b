/// The process at the other end of a Unix socket, as the kernel vouches for it: `SO_PEERCRED` on Linux and Android,
/// getpeereid(3) on macOS and the BSDs.
///
/// They are those of the moment when the socket was connected: a server sees the client that called `connect`, and a
/// client sees the process that called `listen`. The user and the group can be relied on. The process may have ended
/// since, and its id may belong to another process.
///
/// There are none (`None`, wherever a peer is asked for them) over TCP, on a stream that is not a socket, and on other systems.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Credentials {
    /// The id of the process; 0 where the kernel does not say: on the BSDs, and on Linux for a process outside of the pid
    /// namespace.
    pub pid: i32,
    /// Its effective user id.
    pub uid: u32,
    /// Its effective group id.
    pub gid: u32,
}
