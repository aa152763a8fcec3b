//! The caller of a service.

use std::fmt;
use std::sync::Arc;

use degu_wire::Address;

use super::pulse::Pulse;
use crate::Credentials;
use crate::state::Phase;

/// The client that sent a request. [`serve`](super::serve) adds it as an extension to every request that it passes to its
/// service. It has those parts of a [`Session`](crate::Session) that can move to other threads.
///
/// ```
/// use axum::Extension;
/// use degu_server::hyper::Caller;
///
/// /// A handler of axum that only processes of root may call.
/// async fn restart(Extension(caller): Extension<Caller>) -> Result<(), axum::http::StatusCode> {
///     match caller.credentials() {
///         Some(process) if process.uid == 0 => Ok(()),
///         _ => Err(axum::http::StatusCode::FORBIDDEN),
///     }
/// }
/// # let _: axum::Router = axum::Router::new().route("/restart", axum::routing::post(restart));
/// ```
#[derive(Clone)]
pub struct Caller {
    connection: Arc<Pulse>,
    requests: u64,
}

impl Caller {
    pub(super) const fn new(connection: Arc<Pulse>, requests: u64) -> Self {
        Self { connection, requests }
    }

    /// Returns the address of the peer. Most clients on a Unix socket have not bound an address; their address is
    /// [`Address::ABSTRACT`], `unix:@` as text.
    pub fn address(&self) -> &Address {
        &self.connection.client.address
    }

    /// Returns the credentials of the process at the other end of a Unix socket. `None` for other kinds of addresses, and on
    /// systems without such credentials. A check of the user must therefore refuse `None`.
    pub fn credentials(&self) -> Option<Credentials> {
        self.connection.client.credentials
    }

    /// Returns the identity that the peer proved with its certificate, which includes the CA; `None` without TLS, and if the
    /// policy allows clients without a certificate.
    #[cfg(feature = "tls")]
    pub fn identity(&self) -> Option<&degu_tls::PeerIdentity> {
        self.connection.identity.get().map(|identity| &**identity)
    }

    /// Returns the number of this request on its connection, counted from 1.
    pub const fn requests(&self) -> u64 {
        self.requests
    }

    /// Waits until the server shuts down. Endless bodies, and handlers that wait for a long time, should end then; otherwise
    /// the shutdown waits for them until [`shutdown_grace`](crate::Options::shutdown_grace) ends.
    ///
    /// The future borrows nothing, so a body can own it.
    ///
    /// # Cancel safety
    ///
    /// The future may be dropped and made again at any time.
    pub fn closing(&self) -> impl Future<Output = ()> + Send + use<> {
        self.connection.server.reached(Phase::Draining)
    }
}

impl fmt::Debug for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Caller")
            .field("address", self.address())
            .field("credentials", &self.credentials())
            .field("requests", &self.requests)
            .finish_non_exhaustive()
    }
}
