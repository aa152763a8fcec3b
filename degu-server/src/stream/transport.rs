//! The operations that a driver needs of a connected socket.

use std::io::{self, IoSlice};
use std::task::{Context, Poll};

use bytes::BytesMut;
use degu_wire::Address;

use crate::Credentials;
use crate::seconds::Seconds;

/// The state of a connection's peer, as far as it is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PeerState {
    /// It reads. On a Unix socket it may have half-closed the connection.
    Present,
    /// It has ended its side of a TCP connection. One that has closed its socket looks the same as one that still reads.
    HalfClosed,
    /// It has closed a Unix socket, or reset a TCP connection.
    Gone,
}

/// A connected, non-blocking byte stream: a [`Socket`](super::Socket) in production, a pipe in memory in the simulation.
pub(crate) trait Transport: Sized + 'static {
    /// An accepted connection on its way to its worker's thread.
    type Accepted: Send + 'static;

    /// Returns what counts the seconds of a worker with such connections. It holds a descriptor for as long as the worker
    /// lives, so that the number of those does not depend on whether there are connections.
    fn seconds() -> Seconds {
        Seconds::of_kernel()
    }

    /// Registers the connection with the runtime of this thread. Returns who the peer is, too.
    fn register(accepted: Self::Accepted) -> io::Result<(Self, Address, Option<Credentials>)>;

    /// Waits until there is input, or its end.
    fn poll_readable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Appends input to the buffer, within its spare capacity; a small read may go through `scratch`. 0 bytes are the end.
    fn poll_read(&mut self, cx: &mut Context<'_>, scratch: &mut [u8], buffer: &mut BytesMut)
    -> Poll<io::Result<usize>>;

    /// Reads into a slice. 0 bytes are the end.
    fn poll_read_slice(&mut self, cx: &mut Context<'_>, bytes: &mut [u8]) -> Poll<io::Result<usize>>;

    /// Reads without waiting and without the runtime's knowledge. 0 bytes are the end, `WouldBlock` is nothing.
    ///
    /// The runtime keeps the readiness that it was told of, so that nothing is lost: at worst a later read is in vain.
    fn try_read(&mut self, bytes: &mut [u8]) -> io::Result<usize>;

    /// Writes as much as there is room for.
    fn poll_write(&mut self, cx: &mut Context<'_>, pieces: &[IoSlice<'_>]) -> Poll<io::Result<usize>>;

    /// Writes without waiting.
    #[cfg(feature = "tls")]
    fn try_write(&mut self, bytes: &[u8]) -> io::Result<usize>;

    /// Goes back to the cheapest way of waiting for input. Called when a connection becomes idle.
    fn rest(&mut self) -> io::Result<()>;

    /// Returns what is known of the peer. `is_eof` says that the end of its input has been read.
    fn peer(&self, is_eof: bool) -> PeerState;

    /// Returns whether there is input, or its end. It asks the kernel, because the runtime may not have heard yet.
    fn has_input(&self) -> bool;

    /// Half-closes the connection.
    fn shut_down_writing(&self);

    /// Makes closing a TCP connection a reset, which the peer cannot take for the end of a message.
    fn reset_on_close(&self);
}
