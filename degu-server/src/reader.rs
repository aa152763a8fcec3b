//! A reader of the body of a request.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncBufRead, AsyncRead, ReadBuf};

use crate::Incoming;

/// The body of a request as an [`AsyncBufRead`] of tokio, returned by [`Incoming::reader`].
///
/// The reader has no buffer. If the reader is dropped before its end, the body still has the rest of the data. After
/// the reader's end, [`Incoming::trailers`] returns the trailers.
///
/// If the body is truncated or malformed, reading returns an [`io::Error`] that contains an [`Error`](crate::Error). An
/// app may return this I/O error as a [`BoxError`](crate::BoxError). The client then gets the response of the
/// [`Error`](crate::Error) inside.
///
/// ```
/// use degu_server::{BoxError, Request, Response, Session};
///
/// async fn app(_: &mut Session, mut request: Request<'_>) -> Result<Response, BoxError> {
///     let mut file = tokio::fs::File::create("/srv/upload").await?;
///     tokio::io::copy_buf(&mut request.body.reader(), &mut file).await?;
///     Ok(201.into())
/// }
/// # fn is_an_app(_: impl degu_server::App) {}
/// # is_an_app(app);
/// ```
#[derive(Debug)]
pub struct Reader<'b>(pub(crate) &'b mut Incoming);

impl Incoming {
    /// Returns the rest of the body as a reader.
    pub const fn reader(&mut self) -> Reader<'_> {
        Reader(self)
    }
}

impl Drop for Reader<'_> {
    fn drop(&mut self) {
        self.0.give_up();
    }
}

impl AsyncBufRead for Reader<'_> {
    fn poll_fill_buf(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
        self.get_mut().0.poll_fill_buf(cx).map_err(Into::into)
    }

    fn consume(self: Pin<&mut Self>, bytes: usize) {
        self.get_mut().0.consume(bytes);
    }
}

impl AsyncRead for Reader<'_> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let body = &mut *self.get_mut().0;
        let data = ready!(body.poll_fill_buf(cx))?;
        let fits = data.len().min(buffer.remaining());
        buffer.put_slice(&data[..fits]);
        body.consume(fits);
        Poll::Ready(Ok(()))
    }
}
