//! What both sides' policies share: options, and the slot that a reload swaps.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use rustls::crypto::CryptoProvider;
use rustls::time_provider::{DefaultTimeProvider, TimeProvider};
use rustls_pki_types::UnixTime;

use crate::error::{Blame, Error, Kind};

/// The one protocol of the application layer (RFC 7301 §6).
pub(crate) const HTTP_1_1: &[u8] = b"http/1.1";

/// What a builder collects, apart from who is trusted.
#[derive(Clone)]
pub(crate) struct Options {
    pub(crate) tls13_only: bool,
    pub(crate) sessions: usize,
    pub(crate) require_alpn: bool,
    pub(crate) clock: Arc<dyn TimeProvider>,
    /// Set by the build, so that a reload takes the same.
    pub(crate) provider: Option<Arc<CryptoProvider>>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            tls13_only: false,
            sessions: 256,
            require_alpn: false,
            clock: Arc::new(DefaultTimeProvider),
            provider: None,
        }
    }
}

impl Options {
    pub(crate) fn now(&self) -> Result<UnixTime, Error> {
        now(&*self.clock)
    }

    pub(crate) fn provider(&self) -> Result<&CryptoProvider, Error> {
        // Both ways to build set it.
        self.provider.as_deref().ok_or_else(|| Error::caller(Kind::Provider, "there is no cryptography provider"))
    }
}

pub(crate) fn now(clock: &dyn TimeProvider) -> Result<UnixTime, Error> {
    clock.current_time().ok_or_else(|| Error::new(Kind::System, Blame::System, "the current time is not known"))
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("tls13_only", &self.tls13_only)
            .field("sessions", &self.sessions)
            .field("require_alpn", &self.require_alpn)
            .finish_non_exhaustive()
    }
}

/// A policy that can be swapped while connections are made with it. Who has taken the old one goes on with it.
pub(crate) struct Live<P>(RwLock<Arc<P>>);

impl<P> Live<P> {
    pub(crate) fn new(policy: P) -> Arc<Self> {
        Arc::new(Self(RwLock::new(Arc::new(policy))))
    }

    // Nothing that holds the lock can panic, so that a poisoned one holds a whole policy all the same.
    pub(crate) fn get(&self) -> Arc<P> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn set(&self, policy: Arc<P>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = policy;
    }
}
