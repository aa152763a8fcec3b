//! The policy of a server: which certificate it sends to clients, and which clients it accepts.

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
use crate::peer::PeerIdentity;
use crate::policy::{self, Build, HTTP_1_1, Live, Options, option_methods};
use crate::verify::{Side, Store, Trust, Verifier};

/// The TLS policy of a server: which certificate it shows, and which clients it accepts.
///
/// The policy allows TLS 1.3 and 1.2, with ECDHE and an AEAD; no renegotiation, no compression, no early data. A clone
/// is the same policy: after [`reload`](Self::reload) or [`replace`](Self::replace), all clones use the new one for new
/// connections.
///
/// The choice which clients are accepted is part of the type. Before the choice, there is no method `build`:
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
/// The choice cannot be made twice:
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
    options: Options,
}

/// Marks a [`ServerTlsBuilder`] for which it is not decided yet whether clients need a certificate.
#[derive(Clone, Copy, Debug)]
pub struct Undecided(());

/// Marks a [`ServerTlsBuilder`] for which it is decided whether clients need a certificate.
#[derive(Clone, Copy, Debug)]
pub struct Decided(());

/// A builder for the policy of a server. `C` is [`Undecided`] until the choice about clients is made.
#[derive(Clone, Debug)]
#[must_use]
pub struct ServerTlsBuilder<C> {
    recipe: Recipe,
    choice: PhantomData<C>,
}

impl ServerTls {
    /// Returns a builder for a server that shows this identity to its clients.
    pub fn builder(identity: Identity) -> ServerTlsBuilder<Undecided> {
        ServerTlsBuilder {
            recipe: Recipe { identity, clients: None, options: Options::default() },
            choice: PhantomData,
        }
    }

    /// Returns whether every client must have a certificate for which a CA of the [`CaSet`] vouches. This never changes
    /// for a policy.
    pub fn requires_clients(&self) -> bool {
        self.0.get().verifier.is_some()
    }

    /// Reads the same files again: certificate, key, CAs, revocation lists. If the files can be used, new connections
    /// use them, and the [warnings](Self::warnings) are returned. Open connections stay open, but degu-server closes
    /// connections whose peer has been revoked. Earlier sessions are not resumed.
    ///
    /// # Errors
    ///
    /// The errors of building. After an error nothing has changed, and the earlier policy stays in use. A certificate
    /// and a key of which only one has been replaced cause such an error. Values from memory cannot be read again
    /// ([`Kind::Reload`]).
    pub fn reload(&self) -> Result<Vec<Error>, Error> {
        self.0.reload()
    }

    /// Returns the warnings of the last build or reload: parts that were left out, and lists that will refuse peers.
    /// Each warning was also logged.
    ///
    /// A CA that has expired, is not valid yet or cannot be used is left out, if another CA is left. An expired
    /// revocation list is kept, and refuses the peers of its CA. An expired intermediate certificate of the identity is
    /// still sent.
    pub fn warnings(&self) -> Vec<Error> {
        self.0.get().warnings.clone()
    }

    /// Replaces the policy for new connections. The other policy may have another identity, other CAs and other
    /// options. It must make the same choice whether clients must have a certificate.
    ///
    /// # Errors
    ///
    /// One of the two policies requires certificates of clients, and the other does not ([`Kind::Replace`]).
    pub fn replace(&self, next: &Self) -> Result<(), Error> {
        let next = next.0.get();
        if next.verifier.is_some() != self.requires_clients() {
            let what = "one policy requires certificates of clients and the other one does not";
            return Err(Error::caller(Kind::Replace, what));
        }
        self.0.set(next);
        Ok(())
    }

    /// Returns the number of reloads and replacements. A driver compares it, to learn that revocation lists may have
    /// changed.
    pub fn changes(&self) -> u64 {
        self.0.changes()
    }

    /// Returns whether a current revocation list names a certificate that this peer sent when it was accepted.
    ///
    /// After a reload degu-server calls this for every open connection, and closes those whose peer was revoked.
    pub fn revokes(&self, peer: &PeerIdentity) -> bool {
        self.0.get().verifier.as_ref().is_some_and(|verifier| verifier.revokes(peer))
    }

    /// Returns the current policy, with which a driver accepts one connection.
    pub fn accept(&self) -> drive::Accept {
        let policy = self.0.get();
        let options = &policy.recipe.options;
        let judge = drive::Judge::new(policy.verifier.clone(), Side::Client, None, options);
        drive::Accept { config: policy.config.clone(), judge }
    }
}

impl ServerTlsBuilder<Undecided> {
    /// Requires that every client shows a certificate for which one of these CAs vouches, and proves that it holds the
    /// key. The name in the certificate is not compared with anything: see [`PeerIdentity`](crate::PeerIdentity).
    pub fn require_clients(mut self, ca_set: CaSet) -> ServerTlsBuilder<Decided> {
        self.recipe.clients = Some(ca_set);
        ServerTlsBuilder { recipe: self.recipe, choice: PhantomData }
    }

    /// Accepts every client. The server asks for no certificate, so there is no peer identity.
    pub fn allow_unauthenticated_clients(self) -> ServerTlsBuilder<Decided> {
        ServerTlsBuilder { recipe: self.recipe, choice: PhantomData }
    }
}

impl<C> ServerTlsBuilder<C> {
    option_methods! {
        /// Sets how many sessions the policy keeps in memory, for resumption; 0 switches resumption off. Every policy
        /// and every reload begins without sessions. The certificate of a resumed session is verified again.
        ///
        /// Default 256 (rustls: 256, nginx: off, Apache: about 3,000). Under TLS 1.3 every handshake stores two
        /// sessions.
        sessions,
        /// Refuses clients that do not offer `http/1.1` as the application protocol (RFC 7301). Default: a client that
        /// offers no protocol is accepted. A client that offers only other protocols is always refused.
        require_alpn
    }
}

impl ServerTlsBuilder<Decided> {
    /// Builds the policy with the cryptography provider that the crate's [features](crate#cryptography) select.
    ///
    /// # Errors
    ///
    /// The key does not belong to the certificate. A certificate is malformed, out of date, weak, or for another
    /// purpose. No CA can be used. One CA has no revocation list, and others have one. The error names the file.
    #[cfg(any(feature = "ring", feature = "aws-lc-rs"))]
    pub fn build(self) -> Result<ServerTls, Error> {
        self.build_with(crate::provider::by_feature())
    }

    /// Builds the policy with this provider, limited to ECDHE with AES-GCM, AES-CCM or ChaCha20-Poly1305. The process
    /// default of rustls is not used.
    ///
    /// # Errors
    ///
    /// The errors of `build`, and one if the provider has nothing that can be used ([`Kind::Provider`]).
    pub fn build_with(self, provider: Arc<CryptoProvider>) -> Result<ServerTls, Error> {
        Ok(ServerTls(Live::new(self.recipe, &provider)?))
    }
}

impl policy::Recipe for Recipe {
    type Config = ServerConfig;

    fn options(&self) -> &Options {
        &self.options
    }

    fn read_again(&self) -> Result<Self, Error> {
        Ok(Self {
            identity: self.identity.read_again()?,
            clients: self.clients.as_ref().map(CaSet::read_again).transpose()?,
            options: self.options.clone(),
        })
    }

    fn build(&self, build: &mut Build) -> Result<(ServerConfig, Option<Arc<Verifier>>), Error> {
        let options = &self.options;
        let key = self.identity.certified(Side::Server, build)?;
        let verifier = match &self.clients {
            Some(ca_set) => {
                let trust = Trust::Private { store: Store::new(ca_set, build)?, check_name: false };
                Some(Arc::new(Verifier::new(trust, Side::Client, build.crypto.clone())))
            }
            None => None,
        };
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
        // rustls does not call the verifier for a resumed session. If two policies shared a storage, a client of one would
        // therefore be accepted by the other. Tickets would have the same effect, so there is no ticketer either.
        config.session_storage = match options.sessions {
            0 => Arc::new(NoServerSessionStorage {}),
            count => ServerSessionMemoryCache::new(count),
        };
        if options.sessions == 0 {
            config.send_tls13_tickets = 0;
        }
        Ok((config, verifier))
    }
}

/// A resolver that returns the same certificate for every name.
#[derive(Debug)]
struct OneKey {
    key: Arc<CertifiedKey>,
    require_alpn: bool,
}

impl ResolvesServerCert for OneKey {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        // Here the client's offer is known, and the client can still be refused with an alert.
        if self.require_alpn && hello.alpn().is_none() {
            note::leave(Note::Refused(drive::no_alpn(Side::Client)));
            return None;
        }
        Some(self.key.clone())
    }
}
