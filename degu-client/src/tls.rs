//! TLS between a client and its socket. The handshakes of the drivers are in `asynchronous/secure.rs` and
//! `blocking/secure.rs`.

use std::{
    io::{self, ErrorKind, IoSlice, Read, Write},
    os::fd::BorrowedFd,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::BytesMut;
use degu_tls::PeerIdentity;
use degu_tls::drive::{Handshake, Secured};
use degu_wire::{Address, AddressKind, Fault, Zone};

use crate::error;
use crate::options::Settings;
use crate::stream::{Stream, now, read, uninterrupted, write};

impl Settings {
    /// Returns a new handshake with the server at this address; `None` without TLS.
    pub(crate) fn handshake(&self, address: &Address) -> Result<Option<Handshake>, error::ErrorKind> {
        let Some(tls) = &self.tls else { return Ok(None) };
        let of_address = match address.kind() {
            AddressKind::V4(address) => Some(address.ip().to_string()),
            AddressKind::V6 { ip, zone: Zone::None, .. } => Some(ip.to_string()),
            AddressKind::Name { host, .. } => Some(host.to_owned()),
            _ => None,
        };
        let name = self.server_name.as_deref().or(of_address.as_deref());
        Ok(Some(tls.connect(name, &address.to_string())?.handshake()?))
    }
}

/// A socket with TLS, after the handshake.
pub(crate) struct Tls<S: Stream> {
    pub(crate) socket: S,
    pub(crate) secured: Secured,
}

impl<S: Stream> Tls<S> {
    /// Calls an operation that writes. If the socket has no room, the task is woken when it has room.
    pub(crate) fn poll_io<D>(
        &mut self,
        cx: &mut Context<'_>,
        operation: impl FnOnce(&mut Secured, &mut Polled<'_, '_, S>) -> io::Result<D>,
    ) -> Poll<io::Result<D>> {
        let Self { socket, secured } = self;
        secured.poll_write(cx, |secured, cx| operation(secured, &mut Polled { socket, cx, waits: true }))
    }
}

impl<S: Stream> Stream for Tls<S> {
    /// Processes records without data, such as session tickets. A stream that received only such records still counts
    /// as idle. A stream whose keys are almost used up counts as closed.
    fn check(&mut self) -> Result<(), error::ErrorKind> {
        if self.secured.is_worn() {
            return Err(error::ErrorKind::Closed);
        }
        let mut found = 0;
        let mut io = Direct { socket: self.socket.socket(), blocks: false };
        let read = uninterrupted(|| {
            self.secured.read(&mut io, |bytes| {
                found = bytes.len();
                0
            })
        });
        match read {
            Ok(_) if found > 0 => Err(Fault::UnsolicitedBytes.into()),
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(()),
            Err(error) if error.kind() == ErrorKind::InvalidData => Err(error.into()),
            _ => Err(error::ErrorKind::Closed),
        }
    }

    fn socket(&self) -> Option<BorrowedFd<'_>> {
        self.socket.socket()
    }

    fn read(&mut self, buffer: &mut BytesMut, blocks: bool) -> io::Result<usize> {
        self.secured.read(&mut Direct { socket: self.socket.socket(), blocks }, append(buffer))
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, pieces: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        self.poll_io(cx, |secured, io| secured.write(io, pieces))
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_io(cx, |secured, io| secured.flush(io))
    }

    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_io(cx, |secured, io| secured.close(io)))?;
        self.socket.poll_shutdown(cx)
    }

    fn has_records(&self) -> bool {
        true
    }

    fn is_interrupted(&self) -> bool {
        self.socket.is_interrupted()
    }

    fn peer(&self) -> Option<&Arc<PeerIdentity>> {
        self.secured.peer()
    }
}

impl<S: Stream> Drop for Tls<S> {
    /// Sends close_notify, if the socket has room.
    fn drop(&mut self) {
        let _ = self.secured.close(&mut Direct { socket: self.socket.socket(), blocks: false });
    }
}

/// A socket that is read and written directly, without a runtime. If `blocks` is true, a read waits for data. A write
/// never waits.
pub(crate) struct Direct<'s> {
    pub(crate) socket: Option<BorrowedFd<'s>>,
    pub(crate) blocks: bool,
}

impl Read for Direct<'_> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        read(self.socket.ok_or(ErrorKind::NotConnected)?, bytes, self.blocks)
    }
}

impl Write for Direct<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        write(self.socket.ok_or(ErrorKind::NotConnected)?, &[IoSlice::new(bytes)])
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A socket within a poll. If a read would block, the task is woken when there is data. If a write would block, the
/// task is woken when there is room, but only if `waits` is true. A task that reads does not wait for room, because the
/// runtime wakes only one task when there is room.
pub(crate) struct Polled<'p, 'cx, S> {
    pub(crate) socket: &'p mut S,
    pub(crate) cx: &'p mut Context<'cx>,
    pub(crate) waits: bool,
}

impl<S: Stream> Write for Polled<'_, '_, S> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_vectored(&[IoSlice::new(bytes)])
    }

    fn write_vectored(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        match self.waits {
            true => now(self.socket.poll_write(self.cx, pieces)),
            false => write(self.socket.socket().ok_or(ErrorKind::NotConnected)?, pieces),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Returns a function for [`Secured::read`] that appends all decrypted bytes to the buffer.
pub(crate) fn append(buffer: &mut BytesMut) -> impl FnMut(&[u8]) -> usize {
    |bytes| {
        buffer.extend_from_slice(bytes);
        bytes.len()
    }
}

#[cfg(all(test, feature = "async"))]
mod tests;
