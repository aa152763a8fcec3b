//! Finds open connections whose peer's certificate has been revoked.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use degu_tls::{PeerIdentity, ServerTls};

use crate::atomic::AtomicU64;
use crate::options::Options;

/// The reason for which the connection ends, for the log.
pub(crate) const REVOKED: &str = "the certificate of the client was revoked";

/// A peer that was accepted by its certificate, which is checked again whenever the policy has changed.
#[derive(Debug)]
pub(crate) struct Vetted {
    policy: ServerTls,
    identity: Arc<PeerIdentity>,
    /// The number of changes of the policy at the last check.
    changes: AtomicU64,
}

impl Vetted {
    /// Returns `None` if a revocation does not close this connection: its peer has no certificate, or
    /// [`Options::close_revoked`](crate::Options::close_revoked) is off. `changes` is the number of changes before the handshake.
    pub(crate) fn new(options: &Options, identity: Option<&Arc<PeerIdentity>>, changes: u64) -> Option<Self> {
        let (policy, identity) = (options.tls.clone()?, identity?.clone());
        options.close_revoked.then_some(Self { policy, identity, changes: changes.into() })
    }

    /// Returns whether a change of the policy since the last call has revoked the peer's certificate.
    pub(crate) fn is_revoked(&self) -> bool {
        let changes = self.policy.changes();
        self.changes.swap(changes, Relaxed) != changes && self.policy.revokes(&self.identity)
    }
}
