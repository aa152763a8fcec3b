//! The code that the policies of servers and clients share: options, the build, and the replacement of a policy by a reload.

use std::fmt;
use std::sync::atomic::Ordering::{Acquire, Release};
use std::sync::{Arc, PoisonError, RwLock};

use rustls::crypto::CryptoProvider;
use rustls::time_provider::{DefaultTimeProvider, TimeProvider};
use rustls_pki_types::UnixTime;

use crate::atomic::AtomicU64;
use crate::error::{Blame, Error, Kind};
use crate::provider::Crypto;
use crate::verify::Verifier;

/// The one protocol of the application layer (RFC 7301 §6).
pub(crate) const HTTP_1_1: &[u8] = b"http/1.1";

/// The options of a builder, apart from identities and trust.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub(crate) tls13_only: bool,
    pub(crate) sessions: usize,
    pub(crate) require_alpn: bool,
    pub(crate) clock: Arc<dyn TimeProvider>,
}

impl Default for Options {
    fn default() -> Self {
        Self { tls13_only: false, sessions: 256, require_alpn: false, clock: Arc::new(DefaultTimeProvider) }
    }
}

pub(crate) fn now(clock: &dyn TimeProvider) -> Result<UnixTime, Error> {
    clock
        .current_time()
        .ok_or_else(|| Error::new(Kind::System, Blame::System, "the system does not know the current time"))
}

/// The methods of both builders that set [`Options`]. The caller documents those whose meaning depends on the side.
macro_rules! option_methods {
    ($(#[$sessions:meta])* sessions, $(#[$require_alpn:meta])* require_alpn) => {
        /// Switches TLS 1.2 off. Default: on, with the same strength of ciphers.
        pub fn tls13_only(mut self) -> Self {
            self.recipe.options.tls13_only = true;
            self
        }

        $(#[$sessions])*
        pub fn sessions(mut self, count: usize) -> Self {
            self.recipe.options.sessions = count;
            self
        }

        $(#[$require_alpn])*
        pub fn require_alpn(mut self) -> Self {
            self.recipe.options.require_alpn = true;
            self
        }

        /// Takes the time from `clock` instead of the system's clock: for a device whose clock is not set, or for a test.
        pub fn clock(mut self, clock: Arc<dyn TimeProvider>) -> Self {
            self.recipe.options.clock = clock;
            self
        }
    };
}
pub(crate) use option_methods;

/// All that a builder has collected for one side of a connection.
pub(crate) trait Recipe: fmt::Debug + Sized {
    type Config;

    fn options(&self) -> &Options;

    /// Reads all files again.
    fn read_again(&self) -> Result<Self, Error>;

    /// Returns the configuration for rustls, and the verifier of the peer; no verifier if the peer needs no certificate.
    fn build(&self, build: &mut Build) -> Result<(Self::Config, Option<Arc<Verifier>>), Error>;
}

/// The circumstances of a build, and its warnings: what the caller should know although it is not an error.
pub(crate) struct Build {
    pub(crate) crypto: Crypto,
    pub(crate) now: UnixTime,
    pub(crate) warnings: Vec<Error>,
}

/// A recipe, and the configuration and verifier that were built from it.
pub(crate) struct Policy<R: Recipe> {
    pub(crate) recipe: R,
    pub(crate) crypto: Crypto,
    pub(crate) config: Arc<R::Config>,
    pub(crate) verifier: Option<Arc<Verifier>>,
    pub(crate) warnings: Vec<Error>,
}

impl<R: Recipe> Policy<R> {
    fn new(recipe: R, crypto: Crypto) -> Result<Self, Error> {
        let mut build = Build { crypto, now: now(&*recipe.options().clock)?, warnings: Vec::new() };
        let (config, verifier) = recipe.build(&mut build)?;
        let Build { crypto, warnings, .. } = build;
        for warning in &warnings {
            tracing::warn!("{}", warning.explain());
        }
        Ok(Self { config: Arc::new(config), verifier, recipe, crypto, warnings })
    }
}

/// A policy that can be replaced while connections are made with it. A connection keeps the policy with which it began.
pub(crate) struct Live<R: Recipe> {
    policy: RwLock<Arc<Policy<R>>>,
    changes: AtomicU64,
}

impl<R: Recipe> Live<R> {
    pub(crate) fn new(recipe: R, provider: &CryptoProvider) -> Result<Arc<Self>, Error> {
        let crypto = Crypto::new(provider, recipe.options().tls13_only)?;
        let policy = RwLock::new(Arc::new(Policy::new(recipe, crypto)?));
        Ok(Arc::new(Self { policy, changes: AtomicU64::new(0) }))
    }

    // No code panics while it holds the lock. Even a poisoned lock would therefore contain a whole policy.
    pub(crate) fn get(&self) -> Arc<Policy<R>> {
        self.policy.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn set(&self, policy: Arc<Policy<R>>) {
        *self.policy.write().unwrap_or_else(PoisonError::into_inner) = policy;
        self.changes.fetch_add(1, Release);
    }

    pub(crate) fn changes(&self) -> u64 {
        self.changes.load(Acquire)
    }

    pub(crate) fn reload(&self) -> Result<Vec<Error>, Error> {
        let old = self.get();
        let policy = Policy::new(old.recipe.read_again()?, old.crypto.clone())?;
        let warnings = policy.warnings.clone();
        self.set(Arc::new(policy));
        Ok(warnings)
    }
}

impl<R: Recipe> fmt::Debug for Live<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.get().recipe.fmt(f)
    }
}
