//! TLS over a transport. degu-tls needs a non-blocking [`Read`] and [`Write`], which [`Io`] makes from the transport.

use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::task::{Context, Poll};

use degu_tls::drive::Secured;

use super::transport::Transport;

/// A TLS session whose handshake is done.
pub(super) struct Tls {
    pub(super) secured: Secured,
    /// True if the connection ends with a reset. Such a connection sends no close_notify, because close_notify would tell the
    /// peer that the data is complete.
    pub(super) is_cut: bool,
    /// True if the input has ended without close_notify. A third party may have cut the input.
    pub(super) is_truncated: bool,
}

impl Tls {
    /// Reads input, and passes decrypted bytes to `take`, possibly in several calls. `take` returns the number of bytes that it
    /// took. Returns the sum of these numbers, which is 0 at the end of the input.
    ///
    /// If the received bytes give no data, because a record is incomplete or has no data, this method reads again at once, as
    /// long as the socket has bytes. No other task of the thread runs meanwhile. `Secured` ends such a read when the peer has
    /// sent over 64 KiB without data.
    pub(super) fn read(
        &mut self,
        io: &mut (impl Read + Write),
        mut take: impl FnMut(&[u8]) -> usize,
    ) -> io::Result<usize> {
        loop {
            return match self.secured.read(io, &mut take) {
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                // An end of the input without close_notify is no error here, because the framing of a request shows whether the
                // request is complete.
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => {
                    self.is_truncated = true;
                    Ok(0)
                }
                read => read,
            };
        }
    }

    /// Calls an operation that writes. If there is no room, the task is woken when there is room.
    pub(super) fn poll_write<T: Transport, R>(
        &mut self,
        transport: &mut T,
        cx: &mut Context<'_>,
        operation: impl FnOnce(&mut Secured, &mut Io<'_, '_, T>) -> io::Result<R>,
    ) -> Poll<io::Result<R>> {
        self.secured.poll_write(cx, |secured, cx| operation(secured, &mut Io::writing(transport, cx)))
    }
}

/// A non-blocking reader and writer over a transport, for degu-tls.
pub(super) struct Io<'p, 'cx, T> {
    transport: &'p mut T,
    /// The task that is woken after `WouldBlock`, when the operation can continue. With `None`, no task is woken.
    task: Option<&'p mut Context<'cx>>,
    /// True if the task is also woken when there is room to write. A transport wakes only one task when there is room, and this
    /// must be the task that writes. TLS may also have to write while a task reads. Such a write does not wait for room.
    writes: bool,
}

impl<'p, 'cx, T: Transport> Io<'p, 'cx, T> {
    /// Returns a reader and writer for a task that writes, and may also read.
    pub(super) fn writing(transport: &'p mut T, cx: &'p mut Context<'cx>) -> Self {
        Self { transport, task: Some(cx), writes: true }
    }

    /// Returns a reader and writer for a task that only reads.
    pub(super) fn reading(transport: &'p mut T, cx: &'p mut Context<'cx>) -> Self {
        Self { transport, task: Some(cx), writes: false }
    }

    /// Returns a reader and writer that wakes no task.
    pub(super) fn now(transport: &'p mut T) -> Self {
        Self { transport, task: None, writes: false }
    }
}

impl<T: Transport> Read for Io<'_, '_, T> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        match &mut self.task {
            Some(cx) => blocking(self.transport.poll_read_slice(cx, bytes)),
            None => self.transport.try_read(bytes),
        }
    }
}

impl<T: Transport> Write for Io<'_, '_, T> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_vectored(&[IoSlice::new(bytes)])
    }

    fn write_vectored(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        match &mut self.task {
            Some(cx) if self.writes => blocking(self.transport.poll_write(cx, pieces)),
            _ => self.transport.try_write(pieces),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Converts `Pending` into the error `WouldBlock`.
fn blocking(polled: Poll<io::Result<usize>>) -> io::Result<usize> {
    match polled {
        Poll::Ready(moved) => moved,
        Poll::Pending => Err(ErrorKind::WouldBlock.into()),
    }
}
