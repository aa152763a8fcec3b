/// The process at the other end of a Unix socket, as the kernel reports it: `SO_PEERCRED` on Linux and Android,
/// getpeereid(3) on macOS and the BSDs.
///
/// The kernel noted the values when the socket was connected. A server sees the client that called `connect`, and a
/// client sees the process that called `listen`. The user and the group can be relied on. The process may have ended
/// since then, and its id may now belong to another process.
///
/// A method that returns credentials returns `None` over TCP, for a stream that is not a socket, and on other systems.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Credentials {
    /// The id of the process; 0 if the kernel does not tell the id: on the BSDs, and on Linux for a process outside of
    /// the pid namespace of this process.
    pub pid: i32,
    /// The effective user id of the process.
    pub uid: u32,
    /// The effective group id of the process.
    pub gid: u32,
}
