//! The trait [`Transport`]: the operations of a connected socket.

use std::io::{self, ErrorKind, IoSlice};
use std::task::{Context, Poll};

use crate::report::Peer;
use crate::seconds::Seconds;

/// The state of a connection's peer, as far as the kernel knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PeerState {
    /// The peer can read. On a Unix socket the peer may have half-closed the connection.
    Present,
    /// The peer has ended its side of a TCP connection. The peer may have closed its socket, or may still read.
    HalfClosed,
    /// The peer has closed a Unix socket, or reset a TCP connection.
    Gone,
}

/// A connected, non-blocking byte stream. It is a [`Socket`](super::Socket) in production, and a pipe in memory in the
/// simulation.
pub(crate) trait Transport: Sized + Unpin + 'static {
    /// An accepted connection that is not yet assigned to a worker.
    type Accepted: Send + 'static;

    /// Returns the clock of a worker whose connections have this type. The worker creates the clock at its start, because a
    /// clock may need a descriptor, and later the process may have no descriptor left.
    fn seconds() -> Seconds {
        Seconds::of_kernel()
    }

    /// Registers a connection with the runtime of this thread. Also returns the peer of the connection.
    fn register(accepted: Self::Accepted) -> io::Result<(Self, Peer)>;

    /// Polls until there is input, or the end of the input.
    fn poll_readable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Reads input into a slice. Returns the number of bytes, which is 0 at the end of the input.
    fn poll_read_slice(&mut self, cx: &mut Context<'_>, bytes: &mut [u8]) -> Poll<io::Result<usize>>;

    /// Reads input without waiting, and without telling the runtime. Returns the number of bytes, which is 0 at the end of the
    /// input. The error `WouldBlock` means that there is no input yet.
    ///
    /// The runtime keeps its readiness state, so no input is missed. At worst, a later read finds nothing.
    fn try_read(&mut self, bytes: &mut [u8]) -> io::Result<usize>;

    /// Writes as many bytes as there is room for. Returns their number.
    fn poll_write(&mut self, cx: &mut Context<'_>, pieces: &[IoSlice<'_>]) -> Poll<io::Result<usize>>;

    /// Writes without waiting. The error `WouldBlock` means that there is no room.
    #[cfg(feature = "tls")]
    fn try_write(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<usize>;

    /// Makes the runtime wake the thread only for input, and not for room to write. A connection calls this method when it
    /// becomes idle.
    fn rest(&mut self) -> io::Result<()>;

    /// Returns the state of the peer. `is_eof` must be true if the end of the input has been read.
    fn peer(&self, is_eof: bool) -> PeerState;

    /// Returns whether there is input, or the end of the input. Asks the kernel, because the runtime may not have noticed new
    /// input yet.
    fn has_input(&self) -> bool;

    /// Half-closes the connection: the peer sees the end of the data, and can still send.
    fn shut_down_writing(&self);

    /// Lets a TCP connection end with a reset when it is closed later. The peer then knows that the data is incomplete.
    fn reset_on_close(&self);
}

/// Converts the error `WouldBlock` into `Pending`.
pub(super) fn pending<R>(result: io::Result<R>) -> Poll<io::Result<R>> {
    match result {
        Err(error) if error.kind() == ErrorKind::WouldBlock => Poll::Pending,
        result => Poll::Ready(result),
    }
}
