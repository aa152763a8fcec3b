//! The policy of a server: the certificate that the server sends, and the clients that the server accepts.

use std::marker::PhantomData;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::CryptoProvider;
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert, ServerSessionMemoryCache};
use rustls::sign::CertifiedKey;
use rustls::time_provider::TimeProvider;

use crate::ca_set::CaSet;
use crate::drive;
use crate::error::{Error, Kind};
use crate::identity::Identity;
use crate::note::{self, Note};
use crate::options::{Build, HTTP_1_1, Options, option_methods};
use crate::peer::PeerIdentity;
use crate::policy::{self, Live};
use crate::verify::{Side, Store, Trust, Verifier};

/// The TLS policy of a server: the certificate that the server sends, and the clients that the server accepts.
///
/// The policy allows TLS 1.3 and TLS 1.2, with ECDHE and an AEAD. It allows no renegotiation, no compression and no
/// early data. All clones share one policy. After [`reload`](Self::reload) or [`replace`](Self::replace), all of them
/// use the new policy for new connections.
///
/// A caller must choose which clients are accepted. Before this choice, the builder has no method `build`:
///
/// ```compile_fail,E0599
/// # use degu_tls::{Error, Identity, ServerTls};
/// # fn f(identity: Identity) -> Result<ServerTls, Error> {
/// ServerTls::builder(identity).build()
/// # }
/// ```
///
/// ```
/// # use degu_tls::{CaSet, Error, Identity, ServerTls};
/// # fn f(identity: Identity, ca_set: CaSet) -> Result<ServerTls, Error> {
/// ServerTls::builder(identity).require_clients(ca_set).build()
/// # }
/// ```
///
/// A second choice does not compile:
///
/// ```compile_fail,E0599
/// # use degu_tls::{CaSet, Error, Identity, ServerTls};
/// # fn f(identity: Identity, ca_set: CaSet) -> Result<ServerTls, Error> {
/// ServerTls::builder(identity).require_clients(ca_set).allow_unauthenticated_clients().build()
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct ServerTls(Arc<Live<Recipe>>);

#[derive(Clone, Debug)]
struct Recipe {
    identity: Identity,
    clients: Option<CaSet>,
}

/// Marks a [`ServerTlsBuilder`] before the caller has chosen whether clients need a certificate.
#[derive(Clone, Copy, Debug)]
pub struct Undecided(());

/// Marks a [`ServerTlsBuilder`] after the caller has chosen whether clients need a certificate.
#[derive(Clone, Copy, Debug)]
pub struct Decided(());

/// A builder for the policy of a server. The type `C` is [`Undecided`] until the caller chooses whether clients need a
/// certificate, and then [`Decided`].
#[derive(Clone, Debug)]
#[must_use]
pub struct ServerTlsBuilder<C> {
    recipe: Recipe,
    options: Options,
    choice: PhantomData<C>,
}

impl ServerTls {
    /// Returns a builder for a server that sends this identity's certificate to its clients.
    pub fn builder(identity: Identity) -> ServerTlsBuilder<Undecided> {
        let recipe = Recipe { identity, clients: None };
        ServerTlsBuilder { recipe, options: Options::default(), choice: PhantomData }
    }

    /// Returns whether every client must have a certificate for which a CA of the [`CaSet`] vouches. The answer is the
    /// same for as long as the policy exists.
    pub fn requires_clients(&self) -> bool {
        self.0.get().verifier.is_some()
    }

    /// Reads the same files again: certificate, key, CAs and revocation lists. New connections then use the new values.
    /// Sessions from before the reload are not resumed. Open connections stay open, but degu-server closes a connection
    /// if its peer was revoked. Returns the [warnings](Self::warnings).
    ///
    /// # Errors
    ///
    /// The errors of `build`, or [`Kind::Reload`] if a value came from memory. The error is [`Kind::KeyMismatch`] while
    /// only one of the files of certificate and key has been replaced. After an error, the policy is the same as
    /// before.
    pub fn reload(&self) -> Result<Vec<Error>, Error> {
        self.0.reload()
    }

    /// Returns the warnings of the last build or reload. Each warning was also logged.
    ///
    /// There is a warning for each of these:
    ///
    /// - A CA was left out, because it has expired, is not valid yet or cannot be used.
    /// - A revocation list has expired. All peers of its CA are refused.
    /// - Two different CAs from different files have the same label, and the program has set at most one of the two.
    /// - An intermediate certificate of the identity has a fault, but is still sent.
    pub fn warnings(&self) -> Vec<Error> {
        self.0.get().build.warnings.clone()
    }

    /// Replaces the policy for new connections by `next`, which may have another identity, other CAs and other options.
    /// Either both policies require certificates of clients, or neither does.
    ///
    /// # Errors
    ///
    /// One of the two policies requires certificates of clients, and the other does not ([`Kind::Replace`]).
    pub fn replace(&self, next: &Self) -> Result<(), Error> {
        let next = next.0.get();
        if next.verifier.is_some() != self.requires_clients() {
            let what = "only one of the current policy and the new policy requires certificates of clients";
            return Err(Error::caller(Kind::Replace, what));
        }
        self.0.set(next);
        Ok(())
    }

    /// Returns the number of reloads and replacements so far. When the number changes, revocation lists may have changed.
    /// A driver then calls [`revokes`](Self::revokes) for its open connections.
    pub fn changes(&self) -> u64 {
        self.0.changes()
    }

    /// Returns whether a current revocation list contains the peer's certificate, or an intermediate certificate that the
    /// peer sent.
    ///
    /// After a reload, degu-server calls this for every open connection, and closes the connections of revoked peers.
    pub fn revokes(&self, peer: &PeerIdentity) -> bool {
        self.0.get().verifier.as_ref().is_some_and(|verifier| verifier.revokes(peer))
    }

    /// Returns the current policy, for one connection that a driver accepts.
    pub fn accept(&self) -> drive::Accept {
        let policy = self.0.get();
        drive::Accept { config: policy.config.clone(), judge: policy.judge(Side::Client, None) }
    }
}

impl ServerTlsBuilder<Undecided> {
    /// Requires that every client sends a certificate for which one of these CAs vouches, and proves that it holds the
    /// key. The policy does not check the names in the certificate. An app checks them in
    /// [`PeerIdentity`](crate::PeerIdentity). The server tells clients the names of the CAs, unless the names have over
    /// 16 KiB.
    pub fn require_clients(mut self, ca_set: CaSet) -> ServerTlsBuilder<Decided> {
        self.recipe.clients = Some(ca_set);
        ServerTlsBuilder { recipe: self.recipe, options: self.options, choice: PhantomData }
    }

    /// Accepts every client. The server asks for no certificate, so its connections have no
    /// [`PeerIdentity`](crate::PeerIdentity).
    pub fn allow_unauthenticated_clients(self) -> ServerTlsBuilder<Decided> {
        ServerTlsBuilder { recipe: self.recipe, options: self.options, choice: PhantomData }
    }
}

impl<C> ServerTlsBuilder<C> {
    option_methods! {
        /// Sets how many sessions the policy keeps in memory. A client that connects again can resume its session, so
        /// its handshake takes less time. The client's certificate is verified again. 0 switches resumption off. A
        /// reload discards all sessions.
        ///
        /// Default: 256 (rustls: 256, nginx: off, Apache: about 3,000). A number over 65,536 counts as 65,536. Under
        /// TLS 1.3 every handshake stores two sessions.
        sessions,
        /// Refuses a client that does not offer `http/1.1` as the application protocol (RFC 7301). Default: a client that
        /// offers no protocol at all is accepted. A client that offers only other protocols is always refused.
        require_alpn
    }
}

impl ServerTlsBuilder<Decided> {
    /// Builds the policy with the cryptography provider that the crate's [features](crate#cryptography) select.
    ///
    /// # Errors
    ///
    /// Each error names the file, if the value came from a file:
    ///
    /// - The identity's key does not belong to its certificate.
    /// - The identity's certificate is malformed, not in date, weak, or not for a server.
    /// - No CA was given, or no CA can be used: each is malformed, not in date, weak, or not a CA certificate.
    /// - A revocation list cannot be used, or a CA has no revocation list although lists were given.
    #[cfg(any(feature = "ring", feature = "aws-lc-rs"))]
    pub fn build(self) -> Result<ServerTls, Error> {
        self.build_with(crate::provider::by_feature())
    }

    /// Builds the policy with this provider. Of the provider's cipher suites, the policy uses only those with ECDHE and
    /// AES-GCM, AES-CCM or ChaCha20-Poly1305. The process default of rustls is not used.
    ///
    /// # Errors
    ///
    /// The errors of `build`, and [`Kind::Provider`] if the provider has no such suite, no ECDHE or no SHA-256.
    pub fn build_with(self, provider: Arc<CryptoProvider>) -> Result<ServerTls, Error> {
        Ok(ServerTls(Live::new(self.recipe, self.options, &provider)?))
    }
}

impl policy::Recipe for Recipe {
    type Config = ServerConfig;

    fn read_again(&self) -> Result<Self, Error> {
        let identity = self.identity.read_again()?;
        Ok(Self { identity, clients: self.clients.as_ref().map(CaSet::read_again).transpose()? })
    }

    fn build(&self, build: &mut Build) -> Result<(ServerConfig, Option<Arc<Verifier>>), Error> {
        let key = self.identity.certified(Side::Server, build)?;
        let verifier = match &self.clients {
            Some(ca_set) => {
                let trust = Trust::Private { store: Store::new(ca_set, build)?, check_name: false };
                Some(Arc::new(Verifier::new(trust, Side::Client, build.crypto.clone())))
            }
            None => None,
        };
        let options = &build.options;
        let builder = ServerConfig::builder_with_details(build.crypto.provider.clone(), options.clock.clone())
            .with_safe_default_protocol_versions()
            .map_err(|error| Error::caller(Kind::Provider, error.to_string()).with_source(error))?;
        let builder = match &verifier {
            Some(verifier) => builder.with_client_cert_verifier(verifier.clone()),
            None => builder.with_no_client_auth(),
        };
        let mut config =
            builder.with_cert_resolver(Arc::new(OneKey { key: Arc::new(key), require_alpn: options.require_alpn }));
        config.alpn_protocols = vec![HTTP_1_1.to_vec()];
        config.require_ems = true;
        // If any crate of the program switches on the feature `zlib` or `brotli` of rustls, rustls fills these lists.
        // They are cleared, because a peer could otherwise make this side decompress data before the peer is
        // authenticated (RFC 8879).
        config.cert_compressors.clear();
        config.cert_decompressors.clear();
        // rustls does not call the verifier for a resumed session. If two policies shared a storage, a server with one policy
        // would therefore accept a client of the other. Tickets would have the same effect, so there is no ticketer.
        if options.sessions == 0 {
            config.session_storage = Arc::new(NoServerSessionStorage {});
            config.send_tls13_tickets = 0;
        } else {
            config.session_storage = ServerSessionMemoryCache::new(options.sessions);
        }
        Ok((config, verifier))
    }
}

/// A resolver that returns the same certificate for every name. With `require_alpn`, the resolver returns no
/// certificate for a client that offers no application protocol, so rustls refuses this client.
#[derive(Debug)]
struct OneKey {
    key: Arc<CertifiedKey>,
    require_alpn: bool,
}

impl ResolvesServerCert for OneKey {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        // rustls calls this function after the client has named its application protocols, and before the server has
        // answered. Without a certificate, rustls sends an alert. The note has the real reason.
        if self.require_alpn && hello.alpn().is_none() {
            note::leave(Note::Refused(drive::no_alpn(Side::Client)));
            return None;
        }
        Some(self.key.clone())
    }
}
