//! The operations on a connected socket that a connection needs.

use std::io::{self, IoSlice};
use std::task::{Context, Poll};

use bytes::BytesMut;

use crate::report::Peer;
use crate::seconds::Seconds;

/// The known state of a connection's peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PeerState {
    /// The peer reads. On a Unix socket it may have half-closed the connection.
    Present,
    /// The peer has ended its side of a TCP connection. It may have closed its socket, or it may still read; both look the same.
    HalfClosed,
    /// The peer has closed a Unix socket, or reset a TCP connection.
    Gone,
}

/// A connected, non-blocking byte stream: a [`Socket`](super::Socket) in production, a pipe in memory in the simulation.
pub(crate) trait Transport: Sized + 'static {
    /// An accepted connection that is not yet assigned to a worker.
    type Accepted: Send + 'static;

    /// Returns the clock of a worker with such connections. The clock keeps its descriptor as long as the worker lives, so a
    /// worker does not need one more when the first connection comes.
    fn seconds() -> Seconds {
        Seconds::of_kernel()
    }

    /// Registers the connection with the runtime of this thread. Also returns its peer.
    fn register(accepted: Self::Accepted) -> io::Result<(Self, Peer)>;

    /// Waits until there is input, or its end.
    fn poll_readable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Appends input to the buffer, within its spare capacity; a small read may go through `scratch`. 0 bytes are the end.
    fn poll_read(&mut self, cx: &mut Context<'_>, scratch: &mut [u8], buffer: &mut BytesMut)
    -> Poll<io::Result<usize>>;

    /// Reads into a slice. 0 bytes are the end.
    fn poll_read_slice(&mut self, cx: &mut Context<'_>, bytes: &mut [u8]) -> Poll<io::Result<usize>>;

    /// Reads without waiting, and without telling the runtime. 0 bytes are the end; `WouldBlock` means that there is no input.
    ///
    /// The runtime keeps its readiness state, so no input is missed. At worst, a later read finds nothing.
    fn try_read(&mut self, bytes: &mut [u8]) -> io::Result<usize>;

    /// Writes as many bytes as there is room for.
    fn poll_write(&mut self, cx: &mut Context<'_>, pieces: &[IoSlice<'_>]) -> Poll<io::Result<usize>>;

    /// Writes without waiting.
    #[cfg(feature = "tls")]
    fn try_write(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<usize>;

    /// Returns to the cheapest way of waiting for input. Called when a connection becomes idle.
    fn rest(&mut self) -> io::Result<()>;

    /// Returns the state of the peer. `is_eof` is true if the end of its input has been read.
    fn peer(&self, is_eof: bool) -> PeerState;

    /// Returns whether there is input, or its end. It asks the kernel, because the runtime may not have noticed it yet.
    fn has_input(&self) -> bool;

    /// Half-closes the connection.
    fn shut_down_writing(&self);

    /// Makes closing a TCP connection a reset, which the peer cannot take for the end of a complete message.
    fn reset_on_close(&self);
}
