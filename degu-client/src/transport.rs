//! What both drivers' streams have in common, and the system calls of a socket, each in one place.

use std::{
    fmt,
    io::{self, IoSlice},
    os::fd::{AsFd, AsRawFd, BorrowedFd},
};

use bytes::BytesMut;
use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, recv};
use socket2::SockRef;

/// What an async or a blocking connection runs over: a socket, TLS over one, or a stream that the caller brought.
pub(crate) trait Transport: Send + fmt::Debug {
    /// Checks an idle stream for data and for its end, without waiting. What cannot be checked is silent.
    fn check(&mut self) -> io::Result<Idle> {
        Ok(Idle::Silent)
    }

    /// Returns the socket, unless the caller brought the stream.
    fn socket(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    /// Reports whether what is written goes out in records, some of which may be out when a write fails or waits.
    fn has_records(&self) -> bool {
        false
    }

    /// Returns the identity that the server proved.
    #[cfg(feature = "tls")]
    fn peer(&self) -> Option<&std::sync::Arc<degu_tls::PeerIdentity>> {
        None
    }
}

/// What was found on a stream on which nothing should come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Idle {
    Silent,
    /// Data that was not asked for.
    Unsolicited,
    /// The peer has closed.
    Ended,
}

/// Where a socket is read to before the bytes are appended to the receive buffer, whose free room is not initialized.
#[derive(Debug, Default)]
pub(crate) struct Scratch(Box<[u8]>);

impl Scratch {
    /// A read takes at least so much, and at most.
    const LEAST: usize = 2 * 1024;
    const MOST: usize = 256 * 1024;

    /// Returns as much room as the buffer has, within bounds, because more would make the buffer move.
    pub(crate) fn room(&mut self, buffer: &BytesMut) -> &mut [u8] {
        let room = (buffer.capacity() - buffer.len()).clamp(Self::LEAST, Self::MOST);
        if self.0.len() < room {
            self.0 = vec![0; room].into();
        }
        &mut self.0[..room]
    }
}

#[cfg(not(target_vendor = "apple"))]
const NO_SIGNAL: MsgFlags = MsgFlags::MSG_NOSIGNAL;
/// Where the flag is missing, Rust's runtime ignores SIGPIPE.
#[cfg(target_vendor = "apple")]
const NO_SIGNAL: MsgFlags = MsgFlags::empty();

/// Reads what the socket has, and waits for it if it `blocks`.
///
/// A signal is an error, [`ErrorKind::Interrupted`](io::ErrorKind::Interrupted): reading again would begin the socket's
/// timeout again, and a caller has to look at the clock.
pub(crate) fn read(socket: impl AsFd, octets: &mut [u8], blocks: bool) -> io::Result<usize> {
    let flags = if blocks { MsgFlags::empty() } else { MsgFlags::MSG_DONTWAIT };
    Ok(recv(socket.as_fd().as_raw_fd(), octets, flags)?)
}

/// Writes some of these pieces, which are not all empty, without waiting.
pub(crate) fn write(socket: impl AsFd, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
    let (socket, flags) = (SockRef::from(&socket), (MsgFlags::MSG_DONTWAIT | NO_SIGNAL).bits());
    loop {
        let written = match pieces {
            [only] => socket.send_with_flags(only, flags),
            pieces => socket.send_vectored_with_flags(pieces, flags),
        };
        match written {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            // The socket takes nothing and does not say why.
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            written => return written,
        }
    }
}

/// Checks an idle socket, without waiting and without taking anything.
pub(crate) fn check(socket: impl AsFd) -> Idle {
    match recv(socket.as_fd().as_raw_fd(), &mut [0], MsgFlags::MSG_PEEK | MsgFlags::MSG_DONTWAIT) {
        Ok(1..) => Idle::Unsolicited,
        Err(Errno::EAGAIN | Errno::EINTR) => Idle::Silent,
        Ok(0) | Err(_) => Idle::Ended,
    }
}
