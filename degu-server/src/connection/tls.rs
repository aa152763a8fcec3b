//! A connection under TLS: the handshake before its first request, and the socket after it.
//!
//! The handshake is a part of the connection's task, so that nobody waits for it but its peer. One that fails leaves the
//! bare socket, on which the alert has been written: the peer reads it because the connection lingers like any other.

use std::future::poll_fn;
use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::BytesMut;
use degu_tls::drive::Progress;
pub(super) use degu_tls::drive::Secured;
use degu_tls::{PeerIdentity, ServerTls};
use tokio::io::ReadBuf;
use tokio::sync::Semaphore;

use super::close::CloseReason;
use super::socket::Socket;

/// Makes the handshake, when its turn has come, and says who the peer is. `time` says whether there is still time for it,
/// and `stops` whether the server stops, which waits for nobody to go on with one.
pub(crate) async fn handshake(
    socket: &mut Socket,
    tls: &ServerTls,
    turns: &Semaphore,
    time: impl Fn() -> Result<(), CloseReason>,
    stops: impl Fn() -> bool,
) -> Result<Option<Arc<PeerIdentity>>, CloseReason> {
    let check = |socket: &mut Socket| {
        time()?;
        if stops() && !socket.has_input() { Err(CloseReason::Shutdown) } else { Ok(()) }
    };
    // Who says nothing keeps nobody waiting.
    poll_fn(|cx| {
        check(socket)?;
        socket.poll_readable(cx).map_err(|error| CloseReason::Gone(Some(error)))
    })
    .await?;
    let mut turn = pin!(turns.acquire());
    let _turn = poll_fn(|cx| {
        check(socket)?;
        turn.as_mut().poll(cx).map(Ok)
    })
    .await?;
    let mut handshake = tls.accept().handshake().map_err(CloseReason::Handshake)?;
    let done = poll_fn(|cx| {
        check(socket)?;
        match handshake.advance(&mut Polled { socket, cx, broken: false }) {
            Ok(Progress::Done) => Poll::Ready(Ok(Ok(()))),
            Err(error) => Poll::Ready(Ok(Err(error))),
            // All that had come is read: the rest of it will not be waited for.
            Ok(Progress::Blocked) if stops() => Poll::Ready(Err(CloseReason::Shutdown)),
            Ok(Progress::Blocked) => Poll::Pending,
        }
    });
    if let Err(error) = done.await? {
        // All of what the peer is to know of its failure.
        poll_fn(|cx| {
            time()?;
            let mut io = Polled { socket, cx, broken: false };
            handshake.write_alert(&mut io);
            let done = io.broken || !handshake.wants_write();
            if done { Poll::Ready(Ok::<_, CloseReason>(())) } else { Poll::Pending }
        })
        .await?;
        return Err(CloseReason::Handshake(error));
    }
    let secured = handshake.secure().map_err(CloseReason::Handshake)?;
    let peer = secured.peer().cloned();
    socket.secure(secured);
    Ok(peer)
}

/// A socket whose handshake is done.
#[derive(Debug)]
pub(super) struct Tls {
    pub(super) socket: Socket,
    secured: Secured,
    /// The peer is not to take the end of the connection for that of what it was sent.
    cut: bool,
}

impl Tls {
    pub(super) const fn new(socket: Socket, secured: Secured) -> Self {
        Self { socket, secured, cut: false }
    }

    pub(super) fn poll_readable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.secured.has_input() { Poll::Ready(Ok(())) } else { self.socket.poll_readable(cx) }
    }

    pub(super) fn has_input(&mut self) -> bool {
        self.secured.has_input() || self.socket.has_input()
    }

    pub(super) fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut BytesMut) -> Poll<io::Result<usize>> {
        let Self { socket, secured, .. } = self;
        pending(read(secured, &mut Polled { socket, cx, broken: false }, append(buffer)))
    }

    /// Fills what is free of the buffer, or a part of it; nothing is the end.
    pub(super) fn poll_read_octets(&mut self, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let Self { socket, secured, .. } = self;
        let take = |octets: &[u8]| {
            let fits = octets.len().min(buffer.remaining());
            buffer.put_slice(&octets[..fits]);
            fits
        };
        pending(read(secured, &mut Polled { socket, cx, broken: false }, take)).map_ok(drop)
    }

    /// Reads what is here, without asking to be woken.
    pub(super) fn try_read(&mut self, buffer: &mut BytesMut) -> io::Result<Option<usize>> {
        let Self { socket, secured, .. } = self;
        match read(secured, &mut Now(socket), append(buffer)) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(None),
            read => read.map(Some),
        }
    }

    pub(super) fn poll_write(&mut self, cx: &mut Context<'_>, pieces: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let Self { socket, secured, .. } = self;
        pending(secured.write(&mut Polled { socket, cx, broken: false }, pieces))
    }

    /// Says that nothing follows.
    pub(super) fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Self { socket, secured, .. } = self;
        // A peer that is gone has no use for it.
        pending(secured.close(&mut Polled { socket, cx, broken: false })).map(drop)
    }

    /// What was sent is not whole: nothing more is said.
    pub(super) const fn cut(&mut self) {
        self.cut = true;
    }
}

impl Drop for Tls {
    /// However the connection ends: as far as the socket takes it.
    fn drop(&mut self) {
        if !self.cut {
            let _ = self.secured.close(&mut Now(&self.socket));
        }
    }
}

fn append(buffer: &mut BytesMut) -> impl FnMut(&[u8]) -> usize {
    |octets| {
        buffer.extend_from_slice(octets);
        octets.len()
    }
}

fn read(
    secured: &mut Secured,
    io: &mut (impl Read + Write),
    mut take: impl FnMut(&[u8]) -> usize,
) -> io::Result<usize> {
    loop {
        return match secured.read(io, &mut take) {
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            // No request is as long as the connection, so that its framing has told whether it came whole.
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(0),
            read => read,
        };
    }
}

fn pending<T>(result: io::Result<T>) -> Poll<io::Result<T>> {
    match result {
        Err(error) if error.kind() == ErrorKind::WouldBlock => Poll::Pending,
        result => Poll::Ready(result),
    }
}

/// A socket within a poll: what would block wakes the task when it does no more.
struct Polled<'p, 'cx> {
    socket: &'p mut Socket,
    cx: &'p mut Context<'cx>,
    /// Writing failed.
    broken: bool,
}

impl Read for Polled<'_, '_> {
    fn read(&mut self, octets: &mut [u8]) -> io::Result<usize> {
        let mut buffer = ReadBuf::new(octets);
        match self.socket.poll_read_octets(self.cx, &mut buffer) {
            Poll::Ready(read) => read.map(|()| buffer.filled().len()),
            Poll::Pending => Err(ErrorKind::WouldBlock.into()),
        }
    }
}

impl Write for Polled<'_, '_> {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        self.write_vectored(&[IoSlice::new(octets)])
    }

    fn write_vectored(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        match self.socket.poll_write(self.cx, pieces) {
            Poll::Ready(written) => written.inspect_err(|_| self.broken = true),
            Poll::Pending => Err(ErrorKind::WouldBlock.into()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A socket that is not waited for.
struct Now<'s>(&'s Socket);

impl Read for Now<'_> {
    fn read(&mut self, octets: &mut [u8]) -> io::Result<usize> {
        self.0.try_read_octets(octets)
    }
}

impl Write for Now<'_> {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        self.0.try_write(octets)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
