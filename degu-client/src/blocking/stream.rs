//! The byte stream of a blocking connection.

use std::{
    io::{self, IoSlice, Read, Write},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::BytesMut;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use socket2::SockRef;

use super::interrupter::Interrupter;
use crate::error::ErrorKind;
use crate::stream::{Scratch, Stream, check, pending, read, some, uninterrupted, write};

/// A stream of the blocking client. A read may block.
pub(crate) trait BlockingStream: Stream {
    /// Waits until the stream has bytes to read (if `reads`) or room to write (if `writes`). Returns `false` if the
    /// limit ended the wait. For a stream that the caller brought, returns `true` at once.
    fn wait(&mut self, _reads: bool, _writes: bool, _limit: Option<Duration>) -> io::Result<bool> {
        Ok(true)
    }

    /// Returns the socket, and the handle that interrupts a wait for the socket; `None` for a stream that the caller
    /// brought.
    fn socket_and_interrupter(&self) -> Option<(&Arc<OwnedFd>, &Interrupter)> {
        None
    }
}

/// A connected socket.
pub(crate) struct Socket {
    socket: Arc<OwnedFd>,
    interrupter: Interrupter,
    scratch: Scratch,
}

impl Socket {
    /// Returns a stream over this connected socket. The caller has already attached the socket to `interrupter`. A read
    /// that blocks ends after `timeout`. `None` means that the read blocks until input arrives.
    pub(crate) fn new(socket: Arc<OwnedFd>, interrupter: Interrupter, timeout: Option<Duration>) -> io::Result<Self> {
        // For the system, a timeout of zero means no timeout.
        let timeout = timeout.map(|timeout| timeout.max(Duration::from_millis(1)));
        SockRef::from(&socket).set_read_timeout(timeout)?;
        Ok(Self { socket, interrupter, scratch: Scratch::default() })
    }
}

impl Stream for Socket {
    fn check(&mut self) -> Result<(), ErrorKind> {
        check(&self.socket)
    }

    fn socket(&self) -> Option<BorrowedFd<'_>> {
        Some(self.socket.as_fd())
    }

    fn poll_write(&mut self, _: &mut Context<'_>, pieces: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        pending(write(&self.socket, pieces))
    }

    fn release_buffers(&mut self) {
        self.scratch = Scratch::default();
    }

    fn read(&mut self, buffer: &mut BytesMut, blocks: bool) -> io::Result<usize> {
        self.scratch.fill(buffer, |room| read(&self.socket, room, blocks))
    }

    fn is_interrupted(&self) -> bool {
        self.interrupter.is_interrupted()
    }
}

impl BlockingStream for Socket {
    fn socket_and_interrupter(&self) -> Option<(&Arc<OwnedFd>, &Interrupter)> {
        Some((&self.socket, &self.interrupter))
    }

    fn wait(&mut self, reads: bool, writes: bool, limit: Option<Duration>) -> io::Result<bool> {
        wait(&self.socket, reads, writes, limit)
    }
}

/// Waits until a socket has bytes to read (if `reads`) or room to write (if `writes`). Returns `false` if the limit
/// ended the wait. The result may be `true` too early, for example after a signal. The caller therefore tries to read
/// or write, and waits again.
pub(super) fn wait(socket: impl AsFd, reads: bool, writes: bool, limit: Option<Duration>) -> io::Result<bool> {
    let mut interest = PollFlags::empty();
    interest.set(PollFlags::POLLIN, reads);
    interest.set(PollFlags::POLLOUT, writes);
    let (limit, is_whole) = limit.map_or((PollTimeout::NONE, true), poll_timeout);
    match poll(&mut [PollFd::new(socket.as_fd(), interest)], limit) {
        // If this wait was only a part of the limit, returns `true`, so the caller reads the clock and waits again.
        Ok(ready) => Ok(ready > 0 || !is_whole),
        Err(nix::errno::Errno::EINTR) => Ok(true),
        Err(error) => Err(error.into()),
    }
}

/// Returns the timeout for one call of `poll(2)`, rounded up to whole milliseconds, and whether this timeout is the
/// whole limit. One call can wait for at most 24.8 days.
fn poll_timeout(limit: Duration) -> (PollTimeout, bool) {
    let limit = PollTimeout::try_from(limit.saturating_add(Duration::from_micros(999)));
    limit.map_or((PollTimeout::MAX, false), |limit| (limit, true))
}

/// A stream that the caller brought.
pub(crate) struct Foreign<T> {
    pub(crate) stream: T,
    pub(crate) scratch: Scratch,
}

impl<T: Read + Write + Send> Stream for Foreign<T> {
    fn poll_write(&mut self, _: &mut Context<'_>, pieces: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        Poll::Ready(some(uninterrupted(|| self.stream.write_vectored(pieces))))
    }

    fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.stream.flush())
    }

    fn read(&mut self, buffer: &mut BytesMut, _: bool) -> io::Result<usize> {
        self.scratch.fill(buffer, |room| uninterrupted(|| self.stream.read(room)))
    }
}

impl<T: Read + Write + Send> BlockingStream for Foreign<T> {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_over_24_days_is_made_in_parts() {
        let day = Duration::from_secs(24 * 60 * 60);
        assert_eq!(poll_timeout(Duration::from_micros(1)), (PollTimeout::from(1_u8), true));
        assert_eq!(poll_timeout(24 * day), (PollTimeout::try_from(24 * day).unwrap(), true));
        for limit in [25 * day, Duration::MAX] {
            assert_eq!(poll_timeout(limit), (PollTimeout::MAX, false));
        }
        let (socket, _other) = std::os::unix::net::UnixStream::pair().unwrap();
        assert!(!wait(&socket, true, false, Some(Duration::from_millis(1))).unwrap());
    }
}
