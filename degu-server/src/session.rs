//! The session: the state of a connection that the app can read.

use std::any::{Any, TypeId};
use std::fmt;
use std::sync::Arc;

use degu_wire::Address;

use crate::report::Peer;
use crate::state::{Phase, ServerState};
use crate::{Credentials, Stats};

/// The state of a connection: the peer, the number of requests, and values that the app stores.
///
/// The session begins before the first request, and ends with the connection. The stored values are then dropped.
pub struct Session {
    pub(crate) peer: Peer,
    pub(crate) requests: u64,
    /// The values that the app has stored, by their types.
    values: Vec<(TypeId, Box<dyn Any>)>,
    pub(crate) server: Arc<ServerState>,
}

impl Session {
    pub(crate) const fn new(peer: Peer, server: Arc<ServerState>) -> Self {
        Self { peer, requests: 0, values: Vec::new(), server }
    }

    /// Returns the address of the peer. For a client without an address, such as most clients on a Unix socket, returns
    /// [`Address::ABSTRACT`], which is `unix:@` as text.
    pub const fn address(&self) -> &Address {
        &self.peer.address
    }

    /// Returns the credentials of the process at the other end of a Unix socket. Returns `None` for other kinds of
    /// addresses, and if the system provides no credentials. An app that checks the user of the client must therefore
    /// refuse a client without credentials.
    pub const fn credentials(&self) -> Option<Credentials> {
        self.peer.credentials
    }

    /// Returns the identity that the peer proved with its certificate. Returns `None` without TLS, and for a client without a
    /// certificate, if the policy allows such clients. The identity is already known in `on_connect`.
    #[cfg(feature = "tls")]
    pub fn identity(&self) -> Option<&degu_tls::PeerIdentity> {
        self.peer.identity.as_deref()
    }

    /// Returns the number of requests on this connection, including the current request. The number is 0 in
    /// `on_connect`.
    pub const fn requests(&self) -> u64 {
        self.requests
    }

    /// Stores a value until the connection ends. A session has one value of each type. Returns the previous value of this type.
    ///
    /// A proxy may send requests of several clients over one connection (RFC 9110 §3.3). Behind a proxy, a login must therefore not
    /// be stored here.
    pub fn insert<T: 'static>(&mut self, value: T) -> Option<T> {
        let before = self.remove();
        self.values.push((TypeId::of::<T>(), Box::new(value)));
        before
    }

    /// Returns the stored value of this type.
    pub fn get<T: 'static>(&self) -> Option<&T> {
        let (_, value) = self.values.iter().find(|(id, _)| *id == TypeId::of::<T>())?;
        value.downcast_ref()
    }

    /// Returns the stored value of this type, for changes.
    pub fn get_mut<T: 'static>(&mut self) -> Option<&mut T> {
        let (_, value) = self.values.iter_mut().find(|(id, _)| *id == TypeId::of::<T>())?;
        value.downcast_mut()
    }

    /// Removes the stored value of this type, and returns it.
    pub fn remove<T: 'static>(&mut self) -> Option<T> {
        let at = self.values.iter().position(|(id, _)| *id == TypeId::of::<T>())?;
        self.values.swap_remove(at).1.downcast().ok().map(|value| *value)
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

    /// Returns the counters of the whole server. An app can publish them as metrics.
    pub fn stats(&self) -> Stats {
        self.server.stats()
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("peer", &self.peer).field("requests", &self.requests).finish_non_exhaustive()
    }
}
