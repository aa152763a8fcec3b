//! The session: the app's state of one connection.

use std::any::{Any, TypeId};
use std::fmt;
use std::sync::Arc;

use degu_wire::Address;

use crate::report::Peer;
use crate::state::{Phase, ServerState};
use crate::{Credentials, Stats};

/// A connection as the app sees it: the peer, the number of requests, and values that the app stores.
///
/// It begins before the first request. It is dropped with the connection, together with all stored values.
pub struct Session {
    pub(crate) peer: Peer,
    pub(crate) requests: u64,
    /// The values that the app has stored, by their types.
    values: Vec<(TypeId, Box<dyn Any>)>,
    server: Arc<ServerState>,
}

impl Session {
    pub(crate) const fn new(peer: Peer, server: Arc<ServerState>) -> Self {
        Self { peer, requests: 0, values: Vec::new(), server }
    }

    /// Returns the address of the peer. Most clients on a Unix socket have not bound an address; their address is
    /// [`Address::ABSTRACT`], `unix:@` as text.
    pub const fn address(&self) -> &Address {
        &self.peer.address
    }

    /// Returns the credentials of the process at the other end of a Unix socket. `None` for other kinds of addresses, and on
    /// systems without such credentials. A check of the user must therefore refuse `None`.
    pub const fn credentials(&self) -> Option<Credentials> {
        self.peer.credentials
    }

    /// Returns the identity that the peer proved with its certificate, which includes the CA; `None` without TLS, and if the
    /// policy allows clients without a certificate. It is already available in `on_connect`.
    #[cfg(feature = "tls")]
    pub fn identity(&self) -> Option<&degu_tls::PeerIdentity> {
        self.peer.identity.as_deref()
    }

    /// Returns the number of requests that came on this connection, including the current one: 1 in the first, 0 in
    /// `on_connect`.
    pub const fn requests(&self) -> u64 {
        self.requests
    }

    /// Stores a value until the connection ends. Returns the value of the same type that was stored before.
    pub fn insert<T: 'static>(&mut self, value: T) -> Option<T> {
        let before = self.remove();
        self.values.push((TypeId::of::<T>(), Box::new(value)));
        before
    }

    /// Returns the stored value of this type: see [`insert`](Self::insert).
    pub fn get<T: 'static>(&self) -> Option<&T> {
        let (_, value) = self.values.iter().find(|(id, _)| *id == TypeId::of::<T>())?;
        value.downcast_ref()
    }

    /// Returns the stored value of this type, which the caller may change.
    pub fn get_mut<T: 'static>(&mut self) -> Option<&mut T> {
        let (_, value) = self.values.iter_mut().find(|(id, _)| *id == TypeId::of::<T>())?;
        value.downcast_mut()
    }

    /// Removes the stored value of this type, and returns it.
    pub fn remove<T: 'static>(&mut self) -> Option<T> {
        let at = self.values.iter().position(|(id, _)| *id == TypeId::of::<T>())?;
        self.values.swap_remove(at).1.downcast().ok().map(|value| *value)
    }

    /// Waits until the server shuts down. Endless bodies, and handlers that wait for a long time, should end then. Otherwise
    /// the shutdown waits for them until [`shutdown_grace`](crate::Options::shutdown_grace) ends.
    ///
    /// The future borrows nothing, so a body can own it.
    ///
    /// # Cancel safety
    ///
    /// The future may be dropped and made again at any time.
    pub fn closing(&self) -> impl Future<Output = ()> + Send + use<> {
        self.server.reached(Phase::Draining)
    }

    /// Returns the counters of the server, which an app can publish.
    pub fn stats(&self) -> Stats {
        self.server.stats()
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("peer", &self.peer).field("requests", &self.requests).finish_non_exhaustive()
    }
}
