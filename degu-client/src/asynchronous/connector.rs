//! A connector with which hyper-util's pooled client reaches every kind of [`Address`](crate::Address).

use std::{
    fmt,
    io::{self, IoSlice},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::BytesMut;
use hyper::Uri;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::{Connected, Connection as Pooled};
use tower_service::Service;

use super::Client;
use super::dial::dial;
use super::stream::AsyncStream;
use crate::error::Error;

/// A connector for hyper-util's pooled client, and for software that is built on that client. It connects to the
/// address of a [`Client`] with the client's options, and ignores the authority of the URI.
///
/// hyper-util then does the pool, the requests and the responses. Degu does the address, the connect timeout, TLS and
/// `on_connect`.
///
/// ```no_run
/// use degu_client::{Address, Bytes, Client, Connector};
/// use http_body_util::Empty;
/// use hyper_util::{client::legacy, rt::TokioExecutor};
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let connector = Connector::new(Client::new(Address::unix("/run/app.sock")));
/// let pooled: legacy::Client<_, Empty<Bytes>> = legacy::Client::builder(TokioExecutor::new()).build(connector);
/// let response = pooled.get("http://localhost/example".parse()?).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Connector(Client);

impl Connector {
    /// Returns a connector to the client's address.
    pub const fn new(client: Client) -> Self {
        Self(client)
    }
}

impl Service<Uri> for Connector {
    type Response = Dialled;
    type Error = Error;
    type Future = Pin<Box<dyn Future<Output = Result<Dialled, Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let base = Arc::clone(&self.0.base);
        Box::pin(async move {
            let (stream, _) = dial(&base, base.settings.whole()).await?;
            Ok(Dialled { stream, received: BytesMut::new() })
        })
    }
}

/// A connection that a [`Connector`] has made. It moves bytes, and knows nothing of HTTP.
pub struct Dialled {
    stream: Box<dyn AsyncStream>,
    /// Bytes that were received and not taken yet.
    received: BytesMut,
}

impl Pooled for Dialled {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

impl Read for Dialled {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut cursor: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let Self { stream, received } = &mut *self;
        if received.is_empty() {
            ready!(stream.poll_read(cx, received))?;
        }
        let bytes = received.len().min(cursor.remaining());
        cursor.put_slice(&received.split_to(bytes));
        Poll::Ready(Ok(()))
    }
}

impl Write for Dialled {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream.poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream.poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if pieces.iter().all(|piece| piece.is_empty()) {
            return Poll::Ready(Ok(0));
        }
        self.stream.poll_write(cx, pieces)
    }
}

impl fmt::Debug for Dialled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dialled").finish_non_exhaustive()
    }
}
