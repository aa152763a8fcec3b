//! A client's offer to switch to another protocol (RFC 9110 §7.8).

use degu_wire::{BoxError, Headers};

use crate::tunnel::{Switch, Tunnel};
use crate::{Response, Session};

/// A client's offer to switch to another protocol, returned by [`Request::upgrade`](crate::Request::upgrade). To
/// decline the offer, an app drops the offer and answers the request as usual.
///
/// ```
/// use degu_server::{Request, Response, Session, Tunnel};
///
/// /// Sends all received bytes back, until the client half-closes the connection.
/// async fn app(_: &mut Session, request: Request<'_>) -> Response {
///     let Some(offer) = request.upgrade("tcp") else {
///         return (426, [("upgrade", "tcp")], ()).into();
///     };
///     offer.accept((), async |_: &mut Session, tunnel: Tunnel<'_>| {
///         let (mut from, mut to) = tokio::io::split(tunnel);
///         tokio::io::copy(&mut from, &mut to).await?;
///         Ok(())
///     })
/// }
/// # fn is_an_app(_: impl degu_server::App) {}
/// # is_an_app(app);
/// ```
#[derive(Debug)]
pub struct Offer {
    protocol: Box<str>,
}

impl Offer {
    pub(crate) fn new(protocol: &str) -> Self {
        Self { protocol: protocol.into() }
    }

    /// Returns the name of the protocol, as the app passed it to [`Request::upgrade`](crate::Request::upgrade).
    pub fn protocol(&self) -> &str {
        &self.protocol
    }

    /// Returns a 101 response, which accepts the offer. `headers` are additional fields: the server itself writes `connection`
    /// and `upgrade`. Before the response, the server reads and drops up to 64 KiB of the request's body. If the rest of the
    /// body is longer, the client gets 413 instead.
    ///
    /// After the response, `handler` is called in the task of the connection, so its future need not be `Send`. While the
    /// handler runs, the connection counts against [`max_connections`](crate::Options::max_connections). The only deadline is
    /// [`tunnel_idle_timeout`](crate::Options::tunnel_idle_timeout). A shutdown waits for the handler, up to
    /// [`shutdown_grace`](crate::Options::shutdown_grace). [`Session::closing`] tells the handler that the server shuts down.
    ///
    /// If the handler returns `Ok`, the connection is half-closed, under TLS with close_notify. Further bytes of the client are
    /// read and dropped, as after a last response. If the handler fails, panics or is aborted, the data may be incomplete. The
    /// client can detect that: a TCP connection is reset, and close_notify is not sent. A Unix socket without TLS has no such
    /// sign.
    pub fn accept<H>(self, headers: impl TryInto<Headers, Error: Into<BoxError>>, handler: H) -> Response
    where
        H: AsyncFnOnce(&mut Session, Tunnel<'_>) -> Result<(), BoxError> + 'static,
    {
        let mut response = Response::from((101, headers, ()));
        if response.error().is_none() {
            response.switch = Some(Box::new(Switch::new(self.protocol, handler)));
        }
        response
    }
}
