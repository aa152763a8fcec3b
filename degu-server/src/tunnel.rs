//! The byte stream of a connection that has switched to another protocol (RFC 9110 §7.8), and its handler.
//!
//! ```text
//!   Request::upgrade("tcp") ─▶ Offer ── accept(headers, handler) ─▶ Response with status 101
//!                                                                      │ the connection's task sends it,
//!                                                                      ▼ drops its HTTP buffers, and runs
//!                                                                   handler(session, Tunnel)
//! ```

use std::cell::Cell;
use std::fmt;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use degu_wire::BoxError;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::task::coop::poll_proceed;

use crate::Session;
use crate::stream::{Stream, Transport};

/// An accepted offer to switch protocols: the protocol, and its handler. The app's response carries this value to the
/// connection's task.
pub(crate) struct Switch {
    pub(crate) protocol: Box<str>,
    pub(crate) handler: Handler,
}

type Handler = Box<dyn for<'t> FnOnce(&'t mut Session, Tunnel<'t>) -> Handling<'t>>;
type Handling<'t> = Pin<Box<dyn Future<Output = Result<(), BoxError>> + 't>>;

impl Switch {
    pub(crate) fn new<H>(protocol: Box<str>, handler: H) -> Self
    where
        H: AsyncFnOnce(&mut Session, Tunnel<'_>) -> Result<(), BoxError> + 'static,
    {
        Self { protocol, handler: Box::new(|session, tunnel| Box::pin(async move { handler(session, tunnel).await })) }
    }
}

/// The byte stream of a connection that has switched to another protocol. The stream begins with the bytes that the client sent
/// after its request.
///
/// `shutdown` half-closes the connection: the client reads the end of the data, and can still send. `tokio::io::split` splits
/// the stream into a reader and a writer. A handler that moves bytes without a pause still yields to the worker's other
/// connections from time to time.
///
/// Under TLS the client must announce the end of its data with close_notify. Otherwise a read returns the error
/// [`ErrorKind::UnexpectedEof`](io::ErrorKind::UnexpectedEof), because a third party may have cut the connection.
///
/// A task must flush after it has written and before it waits for something else, as with any [`AsyncWrite`]. Under TLS, written
/// bytes may otherwise stay in memory. A read that waits for input also sends these bytes.
///
/// # Cancel safety
///
/// If a read or a write is dropped before it is done, it has moved no byte.
pub struct Tunnel<'t> {
    stream: &'t mut dyn ByteStream,
    first: Bytes,
    traffic: &'t Traffic,
}

/// The numbers of bytes that a tunnel has received and sent, and whether its stream has failed. The connection's task takes the
/// numbers after each poll of the handler, and sets them to 0.
#[derive(Debug, Default)]
pub(crate) struct Traffic {
    pub(crate) received: Cell<u64>,
    pub(crate) sent: Cell<u64>,
    /// True if the stream has failed. An error of the handler then means that the client is gone.
    pub(crate) is_broken: Cell<bool>,
}

impl<'t> Tunnel<'t> {
    pub(crate) fn new<T: Transport>(stream: &'t mut Stream<T>, first: Bytes, traffic: &'t Traffic) -> Self {
        Self { stream, first, traffic }
    }
}

impl Traffic {
    /// Records an error of the stream.
    fn check<R>(&self, moved: Poll<io::Result<R>>) -> Poll<io::Result<R>> {
        if let Poll::Ready(Err(_)) = moved {
            self.is_broken.set(true);
        }
        moved
    }
}

/// A byte stream whose type is hidden.
trait ByteStream: AsyncRead + AsyncWrite + Unpin {}

impl<T: AsyncRead + AsyncWrite + Unpin> ByteStream for T {}

impl AsyncRead for Tunnel<'_> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.first.is_empty() {
            let fits = this.first.len().min(buffer.remaining());
            buffer.put_slice(&this.first[..fits]);
            this.first.advance(fits);
            return Poll::Ready(Ok(()));
        }
        if buffer.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        // A client that sends without a pause must not block the other connections of the thread.
        let turn = ready!(poll_proceed(cx));
        let before = buffer.filled().len();
        ready!(this.traffic.check(Pin::new(&mut *this.stream).poll_read(cx, buffer)))?;
        turn.made_progress();
        this.traffic.received.update(|received| received + (buffer.filled().len() - before) as u64);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Tunnel<'_> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if pieces.iter().all(|piece| piece.is_empty()) {
            return Poll::Ready(Ok(0));
        }
        let turn = ready!(poll_proceed(cx));
        let written = Pin::new(&mut *this.stream).poll_write_vectored(cx, pieces);
        let written = ready!(this.traffic.check(written))?;
        turn.made_progress();
        this.traffic.sent.update(|sent| sent + written as u64);
        Poll::Ready(Ok(written))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.traffic.check(Pin::new(&mut *this.stream).poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.get_mut().stream).poll_shutdown(cx)
    }
}

impl fmt::Debug for Tunnel<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tunnel").field("first", &self.first.len()).finish_non_exhaustive()
    }
}
