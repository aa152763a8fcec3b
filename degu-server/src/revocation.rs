//! Detects that the certificate of a connected peer has been revoked.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use degu_tls::{PeerIdentity, ServerTls};

use crate::atomic::AtomicU64;
use crate::options::Options;

/// The reason in the log for the end of a connection whose peer was revoked.
pub(crate) const REVOKED: &str = "the certificate of the client was revoked";

/// A peer that was accepted by its certificate. The certificate is checked again after each change of the policy.
pub(crate) struct Vetted {
    policy: ServerTls,
    identity: Arc<PeerIdentity>,
    /// The number of changes of the policy at the last check.
    changes: AtomicU64,
}

impl Vetted {
    /// Returns a value that detects when the certificate of a connected peer is revoked. Returns `None` if the peer has no
    /// certificate, or if [`Options::close_revoked`](crate::Options::close_revoked) is off. `changes` is the number of changes
    /// of the policy before the handshake.
    pub(crate) fn new(options: &Options, identity: Option<&Arc<PeerIdentity>>, changes: u64) -> Option<Self> {
        let (policy, identity) = (options.tls.clone()?, identity?.clone());
        options.close_revoked.then_some(Self { policy, identity, changes: changes.into() })
    }

    /// If the policy has changed since the last call, checks the certificate again, and returns whether the policy now
    /// revokes the certificate. Without a change, returns `false`.
    pub(crate) fn is_revoked(&self) -> bool {
        let changes = self.policy.changes();
        self.changes.swap(changes, Relaxed) != changes && self.policy.revokes(&self.identity)
    }
}
