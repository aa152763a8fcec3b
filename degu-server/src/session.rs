//! The session: state that lasts as long as a connection.

use std::any::{Any, TypeId};
use std::fmt;
use std::sync::Arc;

use degu_wire::Address;

use crate::exchange::{Peer, Report};
use crate::state::{Phase, ServerState};
use crate::{Credentials, Stats};

/// One connection, as the app sees it: its peer, the number of its requests, and values that the app keeps.
///
/// It begins before the first request and is dropped with the connection, and with it all that was stored.
pub struct Session {
    address: Address,
    credentials: Option<Credentials>,
    pub(crate) requests: u64,
    #[cfg(feature = "tls")]
    pub(crate) peer: Option<Arc<degu_tls::PeerIdentity>>,
    /// Most sessions store nothing, which should take little room.
    store: Option<Box<Store>>,
    server: Arc<ServerState>,
}

/// The values that an app remembers, by their types, and the report of the exchange under way.
#[derive(Default)]
struct Store {
    values: Vec<(TypeId, Box<dyn Any>)>,
    report: Option<Report>,
}

impl Session {
    pub(crate) const fn new(address: Address, credentials: Option<Credentials>, server: Arc<ServerState>) -> Self {
        Self {
            address,
            credentials,
            requests: 0,
            #[cfg(feature = "tls")]
            peer: None,
            store: None,
            server,
        }
    }

    /// Returns the address of the peer. A client on a Unix socket has no address unless it bound one: it is
    /// [`Address::ABSTRACT`] then, `unix:@` in text.
    pub const fn address(&self) -> &Address {
        &self.address
    }

    /// Returns the process at the other end of a Unix socket. `None` for the other kinds of
    /// address, and on systems without such credentials: a check of the user has to refuse it.
    pub const fn credentials(&self) -> Option<Credentials> {
        self.credentials
    }

    /// Returns the identity that the peer proved by its certificate, and the CA that vouched for it; `None` without
    /// TLS, and if the policy allows clients without a certificate. Known in `on_connect` already.
    #[cfg(feature = "tls")]
    pub fn identity(&self) -> Option<&degu_tls::PeerIdentity> {
        self.peer.as_deref()
    }

    /// Returns how many requests came on this connection, the one under way included: 1 at the first, 0 in `on_connect`.
    pub const fn requests(&self) -> u64 {
        self.requests
    }

    /// Keeps a value for as long as the connection lasts, and returns the one of this type that was kept before.
    pub fn insert<T: 'static>(&mut self, value: T) -> Option<T> {
        let before = self.remove();
        self.store.get_or_insert_default().values.push((TypeId::of::<T>(), Box::new(value)));
        before
    }

    /// Returns the value of this type that was [inserted](Self::insert).
    pub fn get<T: 'static>(&self) -> Option<&T> {
        let (_, value) = self.store.as_ref()?.values.iter().find(|(id, _)| *id == TypeId::of::<T>())?;
        value.downcast_ref()
    }

    /// Returns the value to change: see [`get`](Self::get).
    pub fn get_mut<T: 'static>(&mut self) -> Option<&mut T> {
        let (_, value) = self.store.as_mut()?.values.iter_mut().find(|(id, _)| *id == TypeId::of::<T>())?;
        value.downcast_mut()
    }

    /// Removes the value of this type, and returns it.
    pub fn remove<T: 'static>(&mut self) -> Option<T> {
        let Store { values, .. } = &mut **self.store.as_mut()?;
        let at = values.iter().position(|(id, _)| *id == TypeId::of::<T>())?;
        values.swap_remove(at).1.downcast().ok().map(|value| *value)
    }

    /// Keeps the report of an exchange, which is reported by the drop of the session at the latest.
    /// Returns the peer, for a report.
    pub(crate) fn reported_peer(&self) -> Peer {
        Peer {
            address: self.address.clone(),
            credentials: self.credentials,
            #[cfg(feature = "tls")]
            identity: self.peer.clone(),
        }
    }

    pub(crate) fn set_report(&mut self, report: Option<Report>) {
        if report.is_some() {
            self.store.get_or_insert_default().report = report;
        }
    }

    pub(crate) fn report(&mut self) -> Option<&mut Report> {
        self.store.as_mut()?.report.as_mut()
    }

    pub(crate) fn take_report(&mut self) -> Option<Report> {
        self.store.as_mut()?.report.take()
    }

    /// Waits until the server wants to stop. Bodies without an end, and handlers that wait long, end with it; otherwise the
    /// shutdown waits for them until its grace is over.
    ///
    /// The future borrows nothing, so that a body can take it along.
    ///
    /// # Cancel safety
    ///
    /// It may be dropped and made again at any time.
    pub fn closing(&self) -> impl Future<Output = ()> + Send + use<> {
        self.server.reached(Phase::Draining)
    }

    /// Returns the counters of the server, for an app that shows them.
    pub fn stats(&self) -> Stats {
        self.server.stats()
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("address", &self.address)
            .field("credentials", &self.credentials)
            .field("requests", &self.requests)
            .finish_non_exhaustive()
    }
}
