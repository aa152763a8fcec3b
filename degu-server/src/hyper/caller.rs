//! The type [`Caller`], the client of a request under `hyper::serve`.

use std::fmt;
use std::sync::Arc;

use degu_wire::Address;

use crate::Credentials;
use crate::report::Peer;
use crate::state::{Phase, ServerState};

/// The client that sent a request. [`serve`](super::serve) adds this value to the extensions of every request. A
/// `Caller` has the parts of a [`Session`](crate::Session) that can move to other threads.
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
    pub(super) peer: Arc<Peer>,
    pub(super) server: Arc<ServerState>,
    pub(super) requests: u64,
}

impl Caller {
    /// Returns the address of the peer. For a client without an address, such as most clients on a Unix socket, returns
    /// [`Address::ABSTRACT`], which is `unix:@` as text.
    pub fn address(&self) -> &Address {
        &self.peer.address
    }

    /// Returns the credentials of the process at the other end of a Unix socket. Returns `None` for other kinds of
    /// addresses, and if the system provides no credentials. An app that checks the user of the client must therefore
    /// refuse a client without credentials.
    pub fn credentials(&self) -> Option<Credentials> {
        self.peer.credentials
    }

    /// Returns the identity that the peer proved with its certificate. Returns `None` without TLS, and for a client without a
    /// certificate, if the policy allows such clients.
    #[cfg(feature = "tls")]
    pub fn identity(&self) -> Option<&degu_tls::PeerIdentity> {
        self.peer.identity.as_deref()
    }

    /// Returns the number of this request on its connection, counted from 1.
    pub const fn requests(&self) -> u64 {
        self.requests
    }

    /// Waits until the server begins to shut down. Endless bodies, and handlers that wait for a long time, should end then.
    /// Otherwise they delay the shutdown by up to [`shutdown_grace`](crate::Options::shutdown_grace), and are then cut.
    ///
    /// The future borrows nothing, so a body can own it.
    ///
    /// # Cancel safety
    ///
    /// The future may be dropped at any time. A later call waits for the same event.
    pub fn closing(&self) -> impl Future<Output = ()> + Send + use<> {
        self.server.reached(Phase::Draining)
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
