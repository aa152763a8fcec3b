//! The code that the policies of servers and clients share: the build and the reload.

use std::fmt;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::{Acquire, Release};
use std::sync::{Arc, PoisonError, RwLock};

use rustls::crypto::CryptoProvider;
use rustls_pki_types::ServerName;

use crate::drive::Judge;
use crate::error::Error;
use crate::options::{Build, Options, now};
use crate::provider::Crypto;
use crate::verify::{Side, Verifier};

/// The values from which a policy is built, besides the options: identity and CAs, with the files from which a reload
/// reads them again.
pub(crate) trait Recipe: fmt::Debug + Sized {
    type Config;

    /// Reads the files of this recipe again, and returns a recipe with the new values.
    fn read_again(&self) -> Result<Self, Error>;

    /// Returns the configuration for rustls, and the verifier of the peer. There is no verifier if the peer needs no
    /// certificate.
    fn build(&self, build: &mut Build) -> Result<(Self::Config, Option<Arc<Verifier>>), Error>;
}

/// A recipe, with the configuration and the verifier that were built from the recipe.
pub(crate) struct Policy<R: Recipe> {
    pub(crate) recipe: R,
    pub(crate) build: Build,
    pub(crate) config: Arc<R::Config>,
    pub(crate) verifier: Option<Arc<Verifier>>,
}

impl<R: Recipe> Policy<R> {
    fn new(recipe: R, options: Options, crypto: Crypto) -> Result<Self, Error> {
        let now = now(&*options.clock)?;
        let mut build = Build { options, crypto, now, warnings: Vec::new() };
        let (config, verifier) = recipe.build(&mut build)?;
        Ok(Self { recipe, build, config: Arc::new(config), verifier })
    }

    /// Logs the warnings about the policy. Called only for a policy that is used from now on.
    fn warn(&self) {
        for warning in &self.build.warnings {
            tracing::warn!("{}", warning.explain());
        }
    }

    /// Returns the part of the policy that a handshake keeps. `peer` is the side of the peer, and `name` the expected name of
    /// a server.
    pub(crate) fn judge(&self, peer: Side, name: Option<ServerName<'static>>) -> Judge {
        Judge { verifier: self.verifier.clone(), peer, name, options: self.build.options.clone() }
    }
}

/// The current policy, which all clones of a `ServerTls` or a `ClientTls` share. A reload or a replacement stores
/// another policy here. A connection keeps the policy with which it began.
pub(crate) struct Live<R: Recipe> {
    policy: RwLock<Arc<Policy<R>>>,
    changes: AtomicUsize,
}

impl<R: Recipe> Live<R> {
    pub(crate) fn new(recipe: R, options: Options, provider: &CryptoProvider) -> Result<Arc<Self>, Error> {
        let crypto = Crypto::new(provider, options.tls13_only)?;
        let policy = Policy::new(recipe, options, crypto)?;
        policy.warn();
        Ok(Arc::new(Self { policy: RwLock::new(Arc::new(policy)), changes: AtomicUsize::new(0) }))
    }

    // No code panics while it holds the lock. Even a poisoned lock would contain a whole policy, because its holders only
    // exchange one `Arc`.
    pub(crate) fn get(&self) -> Arc<Policy<R>> {
        self.policy.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn set(&self, policy: Arc<Policy<R>>) {
        *self.policy.write().unwrap_or_else(PoisonError::into_inner) = policy;
        self.changes.fetch_add(1, Release);
    }

    pub(crate) fn changes(&self) -> u64 {
        self.changes.load(Acquire) as u64
    }

    /// Reads the files again. If another thread has changed the policy meanwhile, reads the files of the new policy instead.
    /// Otherwise an old policy could replace a newer one.
    pub(crate) fn reload(&self) -> Result<Vec<Error>, Error> {
        loop {
            let old = self.get();
            let (recipe, Build { options, crypto, .. }) = (old.recipe.read_again()?, &old.build);
            let policy = Arc::new(Policy::new(recipe, options.clone(), crypto.clone())?);
            let mut current = self.policy.write().unwrap_or_else(PoisonError::into_inner);
            if Arc::ptr_eq(&current, &old) {
                *current = policy.clone();
                self.changes.fetch_add(1, Release);
                drop(current);
                policy.warn();
                return Ok(policy.build.warnings.clone());
            }
        }
    }
}

impl<R: Recipe> fmt::Debug for Live<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.get().recipe.fmt(f)
    }
}
