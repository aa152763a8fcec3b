//! A connector with which hyper-util's pooled client reaches every kind of [`Address`](crate::Address).

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use hyper::Uri;
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::TokioIo;
use tower_service::Service;

use super::dial::dial;
use super::{Client, Tunnel};
use crate::error::Error;

/// A connector for hyper-util's pooled client, and for software that is built on that client. The connector connects to
/// the address of a [`Client`] with the client's options, and ignores the authority of the URI.
///
/// hyper-util handles the pool, the requests and the responses. Degu handles the address, the connect timeout, TLS and
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

/// Connects, and returns the byte stream that hyper uses.
impl Service<Uri> for Connector {
    type Response = TokioIo<Tunnel>;
    type Error = Error;
    type Future = Pin<Box<dyn Future<Output = Result<TokioIo<Tunnel>, Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let base = Arc::clone(&self.0.base);
        Box::pin(async move {
            let (stream, _) = dial(&base, base.settings.total_deadline()).await?;
            Ok(TokioIo::new(Tunnel::new(stream, Bytes::new())))
        })
    }
}

impl Connection for Tunnel {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}
