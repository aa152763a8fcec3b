//! A client's offer to switch to another protocol (RFC 9110 §7.8).

use degu_wire::{BoxError, Headers};

use crate::tunnel::{Switch, Tunnel};
use crate::{Response, Session};

/// A client's offer to go on in another protocol, as [`Request::upgrade`](crate::Request::upgrade) returns it. An offer that
/// is dropped is declined: the request is answered as any other.
///
/// ```
/// use degu_server::{Request, Response, Session, Tunnel};
///
/// /// Sends back what it receives, until the client half-closes the connection.
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

    /// Returns the name of the protocol, as the app asked for it.
    pub fn protocol(&self) -> &str {
        &self.protocol
    }

    /// Returns the response that accepts: status 101, these further header fields, and the handler of the new protocol.
    /// `connection` and `upgrade` are written by the server. What is left of the request's body is read and dropped first, up
    /// to 64 KiB; where there is more, the answer is 413.
    ///
    /// The handler runs on the connection's own task, so that its future need not be `Send`. The connection counts against
    /// [`max_connections`](crate::Options::max_connections) as long as it runs, and no deadline applies to it but
    /// [`tunnel_idle_timeout`](crate::Options::tunnel_idle_timeout). A shutdown waits for it, up to
    /// [`shutdown_grace`](crate::Options::shutdown_grace); [`Session::closing`] tells it of the shutdown.
    ///
    /// When the handler returns `Ok`, the connection is half-closed (under TLS with close_notify), and what the client still
    /// sends is read and dropped as after a last response. When it fails or panics, or is dropped by the end of the server, a
    /// TCP connection is reset and close_notify is not sent, so that the client does not take a part for the whole. A Unix
    /// socket has no reset.
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
