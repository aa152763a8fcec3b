//! TLS over a transport. Non-blocking implementations of [`Read`] and [`Write`] connect the two.

use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::task::{Context, Poll, Waker};

use degu_tls::drive::Secured;

use super::transport::Transport;

/// A TLS session whose handshake is done.
#[derive(Debug)]
pub(super) struct Tls {
    secured: Secured,
    /// True if the connection is reset. close_notify must then not be sent, or the peer would take incomplete data for complete.
    pub(super) is_cut: bool,
    /// True if the input has ended without close_notify. A third party may have cut it.
    pub(super) is_truncated: bool,
    /// The task that waits for room to write.
    writer: Option<Waker>,
}

impl Tls {
    pub(super) const fn new(secured: Secured) -> Self {
        Self { secured, is_cut: false, is_truncated: false, writer: None }
    }

    pub(super) fn has_input(&mut self) -> bool {
        self.secured.has_input()
    }

    /// Passes decrypted bytes to `take`, which returns how many it took. 0 bytes are the end.
    pub(super) fn read(
        &mut self,
        io: &mut (impl Read + Write),
        mut take: impl FnMut(&[u8]) -> usize,
    ) -> io::Result<usize> {
        loop {
            return match self.secured.read(io, &mut take) {
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                // The framing of a request shows whether it is complete.
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => {
                    self.is_truncated = true;
                    Ok(0)
                }
                read => read,
            };
        }
    }

    pub(super) fn write(&mut self, io: &mut (impl Read + Write), pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        self.secured.write(io, pieces)
    }

    /// Encrypts bytes, and writes as many as possible. The caller must not pass taken bytes again; a flush sends the rest.
    pub(super) fn accept(&mut self, io: &mut (impl Read + Write), pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        match self.secured.write(io, pieces) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => match self.secured.take_accepted() {
                0 => Err(error),
                accepted => Ok(accepted),
            },
            written => written,
        }
    }

    pub(super) fn flush(&mut self, io: &mut (impl Read + Write)) -> io::Result<()> {
        self.secured.flush(io)
    }

    /// Stores the task that waits for room to write, if the write is pending.
    pub(super) fn waits_to_write<D>(&mut self, cx: &Context<'_>, written: Poll<D>) -> Poll<D> {
        self.writer = written.is_pending().then(|| cx.waker().clone());
        written
    }

    /// Returns whether another task waits for room to write.
    pub(super) fn has_other_writer(&self, cx: &Context<'_>) -> bool {
        self.writer.as_ref().is_some_and(|writer| !writer.will_wake(cx.waker()))
    }

    /// Sends close_notify.
    pub(super) fn close(&mut self, io: &mut (impl Read + Write)) -> io::Result<()> {
        self.secured.close(io)
    }
}

/// Turns `WouldBlock` into `Pending`.
pub(super) fn pending<T>(result: io::Result<T>) -> Poll<io::Result<T>> {
    match result {
        Err(error) if error.kind() == ErrorKind::WouldBlock => Poll::Pending,
        result => Poll::Ready(result),
    }
}

/// A transport during a poll. If an operation would block, the task is woken when it would not block any more.
pub(super) struct Polled<'p, 'cx, T> {
    pub(super) transport: &'p mut T,
    pub(super) cx: &'p mut Context<'cx>,
    /// True if a write failed.
    pub(super) is_broken: bool,
}

impl<T: Transport> Read for Polled<'_, '_, T> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        match self.transport.poll_read_slice(self.cx, bytes) {
            Poll::Ready(read) => read,
            Poll::Pending => Err(ErrorKind::WouldBlock.into()),
        }
    }
}

impl<T: Transport> Write for Polled<'_, '_, T> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_vectored(&[IoSlice::new(bytes)])
    }

    fn write_vectored(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        match self.transport.poll_write(self.cx, pieces) {
            Poll::Ready(written) => written.inspect_err(|_| self.is_broken = true),
            Poll::Pending => Err(ErrorKind::WouldBlock.into()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A transport during a poll that reads. Records that TLS must send meanwhile are written as far as there is room. A reader does
/// not wait for room, because a transport wakes only one task for it, which must be the writer.
pub(super) struct Reading<'p, 'cx, T> {
    pub(super) transport: &'p mut T,
    pub(super) cx: &'p mut Context<'cx>,
}

impl<T: Transport> Read for Reading<'_, '_, T> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        match self.transport.poll_read_slice(self.cx, bytes) {
            Poll::Ready(read) => read,
            Poll::Pending => Err(ErrorKind::WouldBlock.into()),
        }
    }
}

impl<T: Transport> Write for Reading<'_, '_, T> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.transport.try_write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A transport whose operations never register a task.
pub(super) struct Now<'t, T>(pub(super) &'t mut T);

impl<T: Transport> Read for Now<'_, T> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        self.0.try_read(bytes)
    }
}

impl<T: Transport> Write for Now<'_, T> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.try_write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
