//! What a blocking connection reads and writes.

use std::{
    fmt,
    io::{self, IoSlice, Read, Write},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    time::Duration,
};

use bytes::BytesMut;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use socket2::SockRef;

use crate::transport::{Idle, Scratch, Transport, check, read, write};

/// A stream whose reads block where they may.
pub(crate) trait BlockingStream: Transport {
    /// Appends what was received; 0 bytes are the end. It waits for the first of them if it `blocks`, as long as the
    /// socket's own timeout allows. A stream of the caller's always blocks.
    ///
    /// After [`ErrorKind::Interrupted`](io::ErrorKind::Interrupted) the caller looks at the clock.
    fn read(&mut self, buffer: &mut BytesMut, blocks: bool) -> io::Result<usize>;

    /// Writes some of these pieces, which are not all empty. A socket does not block; another stream does.
    fn write(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<usize>;

    /// Passes on what the stream itself holds back.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }

    /// Waits until there is something to read, or room for writing. Returns whether the time was enough. A stream of the
    /// caller's cannot be waited for.
    fn wait(&mut self, _reads: bool, _writes: bool, _limit: Option<Duration>) -> io::Result<bool> {
        Ok(true)
    }
}

/// A connected socket.
#[derive(Debug)]
pub(crate) struct Socket {
    socket: OwnedFd,
    scratch: Scratch,
}

impl Socket {
    /// Takes a connected socket, whose reads that block end after this time.
    pub(crate) fn new(socket: impl Into<OwnedFd>, timeout: Option<Duration>) -> io::Result<Self> {
        let socket = socket.into();
        // Zero would mean forever.
        let timeout = timeout.map(|timeout| timeout.max(Duration::from_millis(1)));
        SockRef::from(&socket).set_read_timeout(timeout)?;
        Ok(Self { socket, scratch: Scratch::default() })
    }
}

impl Transport for Socket {
    fn check(&mut self) -> io::Result<Idle> {
        Ok(check(&self.socket))
    }

    fn socket(&self) -> Option<BorrowedFd<'_>> {
        Some(self.socket.as_fd())
    }
}

impl BlockingStream for Socket {
    fn read(&mut self, buffer: &mut BytesMut, blocks: bool) -> io::Result<usize> {
        let room = self.scratch.room(buffer);
        let octets = read(&self.socket, room, blocks)?;
        buffer.extend_from_slice(&room[..octets]);
        Ok(octets)
    }

    fn write(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        write(&self.socket, pieces)
    }

    fn wait(&mut self, reads: bool, writes: bool, limit: Option<Duration>) -> io::Result<bool> {
        let mut interest = PollFlags::empty();
        interest.set(PollFlags::POLLIN, reads);
        interest.set(PollFlags::POLLOUT, writes);
        // In whole milliseconds, and not too early. Longer than the clock goes is forever.
        let limit = limit.map(|limit| limit.saturating_add(Duration::from_micros(999)));
        let limit = limit.and_then(|limit| PollTimeout::try_from(limit).ok()).unwrap_or(PollTimeout::NONE);
        match poll(&mut [PollFd::new(self.socket.as_fd(), interest)], limit) {
            Ok(ready) => Ok(ready > 0),
            // The caller looks at the clock and comes back.
            Err(nix::errno::Errno::EINTR) => Ok(true),
            Err(error) => Err(error.into()),
        }
    }
}

/// A stream that the caller brought.
pub(crate) struct Foreign<T> {
    pub(crate) stream: T,
    pub(crate) scratch: Scratch,
}

impl<T: Send> Transport for Foreign<T> {}

impl<T: Read + Write + Send> BlockingStream for Foreign<T> {
    fn read(&mut self, buffer: &mut BytesMut, _: bool) -> io::Result<usize> {
        let room = self.scratch.room(buffer);
        let octets = uninterrupted(|| self.stream.read(room))?.min(room.len());
        buffer.extend_from_slice(&room[..octets]);
        Ok(octets)
    }

    fn write(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        match uninterrupted(|| self.stream.write_vectored(pieces))? {
            // The stream takes nothing and does not say why.
            0 => Err(io::ErrorKind::WriteZero.into()),
            octets => Ok(octets),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

fn uninterrupted(mut step: impl FnMut() -> io::Result<usize>) -> io::Result<usize> {
    loop {
        match step() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            done => return done,
        }
    }
}

impl<T> fmt::Debug for Foreign<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a stream of the caller's")
    }
}
