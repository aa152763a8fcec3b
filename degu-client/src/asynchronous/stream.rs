//! The byte stream of an async connection.
//!
//! An event that no task waits for wakes the thread for nothing. On a Unix socket the kernel reports room for writing
//! whenever the peer reads a message. So a [`Socket`] is registered for input only. After a write has found no room,
//! the socket is registered again, for both directions. A second descriptor for output would need less code, but the
//! process may have no free descriptor.

use std::{
    io::{self, IoSlice},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    pin::{Pin, pin},
    task::{Context, Poll, Waker, ready},
};

use bytes::BytesMut;
use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, Interest};

use crate::error::ErrorKind;
use crate::stream::{Scratch, Stream, check, read, some, write};

/// A stream of the async client. A call that would block is pending, and the task is woken later.
pub(crate) trait AsyncStream: Stream {
    /// Appends the bytes that have been received; 0 bytes mean EOF.
    fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut BytesMut) -> Poll<io::Result<usize>>;

    /// Writes some of these pieces for a tunnel, and returns the number of bytes. The writer of a tunnel may give up a
    /// write that is pending, and then write other bytes. Therefore, under TLS, bytes count as written as soon as they
    /// are encrypted, although the socket may have taken none of them. [`poll_flush`](Stream::poll_flush) sends the
    /// rest. By contrast, a pending [`poll_write`](Stream::poll_write) has to be repeated with the same bytes.
    fn poll_accept(&mut self, cx: &mut Context<'_>, pieces: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        self.poll_write(cx, pieces)
    }
}

/// A connected socket, registered with the runtime.
pub(crate) struct Socket {
    /// The descriptor with its registration. `None` after a registration for output has failed.
    fd: Option<AsyncFd<OwnedFd>>,
    /// True if the socket is registered for output, too.
    writes: bool,
    /// The task that waits for input. Another task may write. When the socket is registered again, the new registration
    /// does not know the waiting task. Therefore this task is woken, and reads again.
    reader: Option<Waker>,
    scratch: Scratch,
}

impl Socket {
    /// Registers a connected socket that does not block.
    pub(crate) fn new(socket: impl Into<OwnedFd>) -> io::Result<Self> {
        let fd = register(socket.into(), Interest::READABLE)?;
        Ok(Self { fd: Some(fd), writes: false, reader: None, scratch: Scratch::default() })
    }

    /// Reads the bytes that have been received.
    #[cfg(feature = "tls")]
    pub(crate) fn poll_recv(&mut self, cx: &mut Context<'_>, bytes: &mut [u8]) -> Poll<io::Result<usize>> {
        self.poll_input(cx, |socket, _| {
            let received = read(socket, bytes, false)?;
            Ok((received, received < bytes.len()))
        })
    }

    /// Waits for input, and calls `receive` with the socket and the scratch buffer. `receive` returns the number of
    /// bytes that it has read, and whether its buffer had room for more. If the buffer had room for more, the socket is
    /// empty, and the next read has to wait.
    fn poll_input(
        &mut self,
        cx: &mut Context<'_>,
        mut receive: impl FnMut(&OwnedFd, &mut Scratch) -> io::Result<(usize, bool)>,
    ) -> Poll<io::Result<usize>> {
        let Self { fd, scratch, .. } = self;
        let fd = registered(fd)?;
        while let Poll::Ready(ready) = fd.poll_read_ready(cx) {
            let mut ready = ready?;
            match ready.try_io(|fd| receive(fd.get_ref(), scratch)) {
                Ok(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {}
                Ok(received) => {
                    let (bytes, had_room) = received?;
                    if had_room && bytes > 0 {
                        ready.clear_ready();
                    }
                    return Poll::Ready(Ok(bytes));
                }
                Err(_) => {}
            }
        }
        // The task is woken when the socket is registered again, for output. A socket is registered again at most once,
        // so no task is stored afterwards.
        if !self.writes {
            self.reader.get_or_insert_with(|| cx.waker().clone()).clone_from(cx.waker());
        }
        Poll::Pending
    }
}

fn registered(fd: &Option<AsyncFd<OwnedFd>>) -> io::Result<&AsyncFd<OwnedFd>> {
    fd.as_ref().ok_or_else(|| io::ErrorKind::NotConnected.into())
}

// tokio has replaced `with_interest` by an unsafe function, because a type may implement `AsRawFd` for a descriptor
// that it does not own. `OwnedFd` owns its descriptor.
#[expect(deprecated, reason = "correct for an owned descriptor, and its replacement is unsafe")]
fn register(socket: OwnedFd, interest: Interest) -> io::Result<AsyncFd<OwnedFd>> {
    AsyncFd::with_interest(socket, interest)
}

impl Stream for Socket {
    fn check(&mut self) -> Result<(), ErrorKind> {
        check(registered(&self.fd)?)
    }

    fn socket(&self) -> Option<BorrowedFd<'_>> {
        self.fd.as_ref().map(AsFd::as_fd)
    }

    fn release_buffers(&mut self) {
        self.scratch = Scratch::default();
    }

    fn read(&mut self, buffer: &mut BytesMut, blocks: bool) -> io::Result<usize> {
        let fd = registered(&self.fd)?;
        self.scratch.fill(buffer, |room| read(fd, room, blocks))
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, pieces: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        match write(registered(&self.fd)?, pieces) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            written => return Poll::Ready(written),
        }
        if !self.writes
            && let Some(fd) = self.fd.take()
        {
            self.writes = true;
            // Registering again drops the registration of the task that waits for input. So the task must be woken: to
            // register again, or to read the error if registering fails.
            self.reader.take().inspect(Waker::wake_by_ref);
            self.fd = Some(register(fd.into_inner(), Interest::READABLE | Interest::WRITABLE)?);
        }
        loop {
            let mut ready = ready!(registered(&self.fd)?.poll_write_ready(cx))?;
            if let Ok(written) = ready.try_io(|socket| write(socket, pieces)) {
                return Poll::Ready(written);
            }
        }
    }
}

impl AsyncStream for Socket {
    fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut BytesMut) -> Poll<io::Result<usize>> {
        self.poll_input(cx, |socket, scratch| {
            let mut had_room = false;
            let received = scratch
                .fill(buffer, |room| read(socket, room, false).inspect(|&received| had_room = received < room.len()))?;
            Ok((received, had_room))
        })
    }
}

/// A stream that the caller brought.
pub(crate) struct Foreign<T>(pub(crate) T);

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for Foreign<T> {
    fn read(&mut self, _: &mut BytesMut, _: bool) -> io::Result<usize> {
        Err(io::ErrorKind::WouldBlock.into())
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, pieces: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let written = match pieces {
            [only] => Pin::new(&mut self.0).poll_write(cx, only),
            _ => Pin::new(&mut self.0).poll_write_vectored(cx, pieces),
        };
        written.map(some)
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> AsyncStream for Foreign<T> {
    fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut BytesMut) -> Poll<io::Result<usize>> {
        pin!(self.0.read_buf(buffer)).poll(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::task::Wake;

    use tokio::runtime::Builder;

    use super::*;

    #[derive(Default)]
    struct Woken(AtomicBool);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.store(true, Ordering::Relaxed);
        }
    }

    #[test]
    fn reader_is_woken_if_registering_for_output_fails() {
        let (near, _far) = UnixStream::pair().unwrap();
        near.set_nonblocking(true).unwrap();
        let runtime = || Builder::new_current_thread().enable_io().build().unwrap();
        let (runs, ended) = (runtime(), runtime().handle().clone());
        let mut socket = runs.block_on(async { Socket::new(near) }).unwrap();
        let woken = Arc::new(Woken::default());
        let reader = Waker::from(Arc::clone(&woken));
        assert!(socket.poll_read(&mut Context::from_waker(&reader), &mut BytesMut::new()).is_pending());

        // A runtime that has ended registers no socket.
        let _entered = ended.enter();
        let mut write = || socket.poll_write(&mut Context::from_waker(Waker::noop()), &[IoSlice::new(&[0; 4096])]);
        while let Poll::Ready(Ok(_)) = write() {}
        assert!(matches!(write(), Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::NotConnected));
        assert!(woken.0.load(Ordering::Relaxed));
    }
}
