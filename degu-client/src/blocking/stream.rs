//! What a blocking connection reads and writes.

use std::{
    fmt,
    io::{self, IoSlice, Read, Write},
    net::TcpStream,
    os::fd::{AsFd, AsRawFd, BorrowedFd},
    os::unix::net::UnixStream,
    time::Duration,
};

use bytes::BytesMut;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{MsgFlags, recv};

use crate::stream::{Silence, peek, write_socket};
#[cfg(feature = "tls")]
use crate::tls::Tls;

/// A read takes at least so much, and at most.
const LEAST: usize = 2 * 1024;
const MOST: usize = 256 * 1024;

pub(crate) trait Io: Read + Write + Send {}

impl<T: Read + Write + Send> Io for T {}

/// A socket, anything else, or nothing any more.
pub(crate) enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
    #[cfg(feature = "tls")]
    Tls(Box<Tls<Stream>>),
    Other(Box<dyn Io>),
    Closed,
}

/// Where octets are read to before they are appended: the receive buffer's free room is not initialised, and this is.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    octets: Box<[u8]>,
    filled: bool,
}

/// What [`Stream::wait`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ready {
    Read,
    Write,
    TimedOut,
}

impl Stream {
    /// The socket, where it is known.
    pub(crate) fn socket(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Self::Tcp(stream) => Some(stream.as_fd()),
            Self::Unix(stream) => Some(stream.as_fd()),
            #[cfg(feature = "tls")]
            Self::Tls(stream) => stream.socket(),
            Self::Other(_) | Self::Closed => None,
        }
    }

    /// What has happened while nothing should, where that can be seen.
    pub(super) fn look(&mut self) -> io::Result<Silence> {
        #[cfg(feature = "tls")]
        if let Self::Tls(stream) = self {
            return stream.look();
        }
        Ok(self.socket().map_or(Silence::Kept, peek))
    }

    /// How long a read may block.
    pub(crate) fn set_read_timeout(&self, limit: Option<Duration>) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.set_read_timeout(limit),
            Self::Unix(stream) => stream.set_read_timeout(limit),
            #[cfg(feature = "tls")]
            Self::Tls(stream) => stream.stream.set_read_timeout(limit),
            Self::Other(_) | Self::Closed => Ok(()),
        }
    }

    /// Appends what comes, or, with [`MSG_DONTWAIT`](MsgFlags::MSG_DONTWAIT), what has come; 0 octets are the end. After
    /// [`ErrorKind::Interrupted`](io::ErrorKind::Interrupted) the caller looks at the clock: a socket that is read again
    /// would wait anew, and signals that keep coming would put its bound off for ever.
    pub(super) fn read(&mut self, scratch: &mut Scratch, buffer: &mut BytesMut, flags: MsgFlags) -> io::Result<usize> {
        #[cfg(feature = "tls")]
        if let Self::Tls(stream) = self {
            scratch.filled = true;
            return stream.read(buffer, flags);
        }
        let room = scratch.room(buffer.capacity() - buffer.len());
        let octets = match self {
            Self::Tcp(stream) => recv(stream.as_raw_fd(), room, flags)?,
            Self::Unix(stream) => recv(stream.as_raw_fd(), room, flags)?,
            Self::Other(stream) => loop {
                match stream.read(room) {
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    read => break read?.min(room.len()),
                }
            },
            #[cfg(feature = "tls")]
            Self::Tls(_) => 0,
            Self::Closed => 0,
        };
        buffer.extend_from_slice(&room[..octets]);
        scratch.filled = octets == room.len();
        Ok(octets)
    }

    /// Whether what a socket gives is what the peer wrote, octet for octet: without records around it.
    pub(super) fn is_bare(&self) -> bool {
        #[cfg(feature = "tls")]
        return !matches!(self, Self::Tls(_));
        #[cfg(not(feature = "tls"))]
        true
    }

    /// Whether a read gives something that the socket knows nothing of any more: an end, or a fault, behind octets that came
    /// along with it.
    pub(super) fn has_input(&mut self) -> bool {
        #[cfg(feature = "tls")]
        if let Self::Tls(stream) = self {
            return stream.has_input();
        }
        false
    }

    /// Writes some of these pieces, which are not all empty. A socket takes what it has room for, and `WouldBlock` says
    /// that it has none; another stream blocks.
    pub(super) fn write(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        let written = match self {
            Self::Tcp(stream) => write_socket(stream.as_fd(), pieces)?,
            Self::Unix(stream) => write_socket(stream.as_fd(), pieces)?,
            #[cfg(feature = "tls")]
            Self::Tls(stream) => stream.write(pieces)?,
            Self::Other(stream) => match stream.write_vectored(pieces) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => return self.write(pieces),
                written => written?,
            },
            Self::Closed => return Err(io::ErrorKind::NotConnected.into()),
        };
        // An end where there is none: the stream takes nothing and does not say why.
        if written == 0 { Err(io::ErrorKind::WriteZero.into()) } else { Ok(written) }
    }

    /// Passes on what the stream itself holds back. Sockets hold nothing.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Other(stream) => stream.flush(),
            _ => Ok(()),
        }
    }

    /// Waits until there is something to read or room for writing, as asked for. Where both are there, reading goes first.
    /// A stream that is no socket is always ready to be read.
    pub(crate) fn wait(&self, interest: PollFlags, limit: Option<Duration>) -> io::Result<Ready> {
        let Some(socket) = self.socket() else { return Ok(Ready::Read) };
        // Rounded up, so that time is over when poll(2) says so. Longer than it can count is forever.
        let limit = limit.map(|limit| PollTimeout::try_from(limit.as_micros().div_ceil(1000)));
        let limit = limit.and_then(Result::ok).unwrap_or(PollTimeout::NONE);
        let mut sockets = [PollFd::new(socket, interest)];
        match poll(&mut sockets, limit) {
            Ok(0) => return Ok(Ready::TimedOut),
            // There was no time to be interrupted in.
            Err(Errno::EINTR) if limit == PollTimeout::ZERO => return Ok(Ready::TimedOut),
            // The caller looks at the clock and comes back.
            Err(Errno::EINTR) => return Ok(Ready::Write),
            ready => ready?,
        };
        let ready = sockets[0].revents().unwrap_or(PollFlags::empty());
        let over = PollFlags::POLLHUP | PollFlags::POLLERR;
        Ok(if interest.contains(PollFlags::POLLIN) && ready.intersects(PollFlags::POLLIN | over) {
            Ready::Read
        } else {
            Ready::Write
        })
    }
}

impl Scratch {
    /// As much as there is room for where what is read goes, up to a bound: more would make that place move.
    fn room(&mut self, octets: usize) -> &mut [u8] {
        let octets = octets.clamp(LEAST, MOST);
        if self.octets.len() < octets {
            self.octets = vec![0; octets].into();
        }
        &mut self.octets[..octets]
    }

    /// Whether the last read took all it had room for, and may have left something; under TLS that is not known.
    pub(super) fn was_filled(&self) -> bool {
        self.filled
    }
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(stream) => stream.fmt(f),
            Self::Unix(stream) => stream.fmt(f),
            #[cfg(feature = "tls")]
            Self::Tls(stream) => stream.fmt(f),
            Self::Other(_) => f.write_str("a stream of the caller's"),
            Self::Closed => f.write_str("closed"),
        }
    }
}
