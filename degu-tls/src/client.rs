//! The policy of a client: the servers that the client trusts, and the certificate that the client sends.

use std::marker::PhantomData;
use std::mem::discriminant;
use std::sync::Arc;

use rustls::ClientConfig;
use rustls::client::Resumption;
use rustls::crypto::CryptoProvider;
use rustls::sign::SingleCertAndKey;
use rustls::time_provider::TimeProvider;
use rustls_pki_types::{IpAddr, ServerName};

use crate::ca_set::CaSet;
use crate::drive;
use crate::error::{Error, Kind};
use crate::identity::Identity;
use crate::options::{Build, HTTP_1_1, Options, option_methods};
use crate::pin::SpkiPin;
use crate::policy::{self, Live};
use crate::provider::Crypto;
use crate::verify::{Side, Store, Trust, Verifier};

/// The TLS policy of a client: the servers that the client trusts, and the certificate that the client sends.
///
/// There are four kinds of policy, and each verifies the server:
///
/// | | trusted | name | dates | revocation |
/// | --- | --- | --- | --- | --- |
/// | [`system`] | certificates of the operating system's CAs | checked | checked | as the system does |
/// | [`private`](Self::private) | certificates of the given CAs ([`CaSet`]) | checked | checked | by the lists of the CAs |
/// | [`private`](Self::private)`.without_name_check()` | certificates of the given CAs ([`CaSet`]) | not checked | checked | by the lists of the CAs |
/// | [`pinned`](Self::pinned) | the given keys | not checked | not checked | not checked |
///
/// All clones share one policy. After [`reload`](Self::reload) or [`replace`](Self::replace), all of them use the new
/// policy for new connections.
///
/// `without_name_check` is for peers without names, such as two devices on a link. The client then accepts every server
/// certificate that the CA issued. With the system's CAs, the client would accept every server with a certificate of a
/// public CA. A builder for the system's CAs therefore has no such method:
///
/// ```compile_fail,E0599
/// degu_tls::ClientTls::system().without_name_check();
/// ```
///
/// ```
/// # use degu_tls::{CaSet, ClientTls, Error, Identity};
/// # fn f(ca_set: CaSet, identity: Identity) -> Result<ClientTls, Error> {
/// ClientTls::private(ca_set).without_name_check().identity(identity).build()
/// # }
/// ```
///
#[cfg_attr(feature = "system", doc = "[`system`]: Self::system")]
#[cfg_attr(not(feature = "system"), doc = "[`system`]: crate#cryptography")]
#[derive(Clone, Debug)]
pub struct ClientTls(Arc<Live<Recipe>>);

#[derive(Clone, Debug)]
struct Recipe {
    trust: Servers,
    identity: Option<Identity>,
}

#[derive(Clone, Debug)]
enum Servers {
    #[cfg(feature = "system")]
    System,
    Private {
        ca_set: CaSet,
        check_name: bool,
    },
    Pinned(Vec<SpkiPin>),
}

impl Servers {
    fn checks_name(&self) -> bool {
        !matches!(self, Self::Private { check_name: false, .. } | Self::Pinned(_))
    }
}

/// Marks a [`ClientTlsBuilder`] that trusts servers as the operating system does.
#[derive(Clone, Copy, Debug)]
pub struct System(());

/// Marks a [`ClientTlsBuilder`] that trusts servers with a certificate of a private CA.
#[derive(Clone, Copy, Debug)]
pub struct Private(());

/// Marks a [`ClientTlsBuilder`] that trusts servers by their keys.
#[derive(Clone, Copy, Debug)]
pub struct Pinned(());

/// A builder for the policy of a client. The type `T` says by which means servers are trusted: [`System`], [`Private`]
/// or [`Pinned`].
#[derive(Clone, Debug)]
#[must_use]
pub struct ClientTlsBuilder<T> {
    recipe: Recipe,
    options: Options,
    trust: PhantomData<T>,
}

impl<T> ClientTlsBuilder<T> {
    fn new(trust: Servers) -> Self {
        Self { recipe: Recipe { trust, identity: None }, options: Options::default(), trust: PhantomData }
    }
}

impl ClientTls {
    /// Returns a builder for a client that trusts the servers that the operating system trusts. The system's verifier
    /// decides. It uses the CAs and the distrusted certificates of the system, and checks revocation if the system
    /// does. The name is always checked. [`PeerIdentity::ca`](crate::PeerIdentity::ca) is `None`.
    #[cfg(feature = "system")]
    pub fn system() -> ClientTlsBuilder<System> {
        ClientTlsBuilder::new(Servers::System)
    }

    /// Returns a builder for a client that trusts only servers for which one of these CAs vouches.
    pub fn private(ca_set: CaSet) -> ClientTlsBuilder<Private> {
        ClientTlsBuilder::new(Servers::Private { ca_set, check_name: true })
    }

    /// Returns a builder for a client that trusts only servers with one of these keys. The issuer, the names and the
    /// dates of the certificate are not checked. The certificate must be X.509 version 3, and the server must prove
    /// that it holds the key. Also give the pin of the server's next key, so that the server can change its key.
    pub fn pinned(pins: impl IntoIterator<Item = SpkiPin>) -> ClientTlsBuilder<Pinned> {
        ClientTlsBuilder::new(Servers::Pinned(pins.into_iter().collect()))
    }

    /// Returns whether the name of the server is checked. The answer is the same for as long as the policy exists.
    pub fn checks_name(&self) -> bool {
        self.0.get().recipe.trust.checks_name()
    }

    /// Reads the same files again: CAs, revocation lists, certificate and key, and the system's CAs if they are files.
    /// New connections then use the new values. Sessions from before the reload are not resumed. Returns the
    /// [warnings](Self::warnings).
    ///
    /// # Errors
    ///
    /// The errors of `build`, or [`Kind::Reload`] if a value came from memory, or if the policy has only pins. After an
    /// error, the policy is the same as before.
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

    /// Replaces the policy for new connections by `next`, which may have other CAs, pins, options and another identity.
    /// Both policies must be of the same kind: both with the system's CAs, both with private CAs, or both with pins. Either
    /// both policies check the name, or neither does.
    ///
    /// # Errors
    ///
    /// The policies are not of the same kind ([`Kind::Replace`]).
    pub fn replace(&self, next: &Self) -> Result<(), Error> {
        let next = next.0.get();
        let kind = |trust: &Servers| (discriminant(trust), trust.checks_name());
        if kind(&next.recipe.trust) != kind(&self.0.get().recipe.trust) {
            let what = "the new policy and the current policy trust servers in different ways: both must use the system's CAs, or both \
                        private CAs, or both pins; and either both check the name, or neither does";
            return Err(Error::caller(Kind::Replace, what));
        }
        self.0.set(next);
        Ok(())
    }

    /// Returns the current policy, for one connection that a driver makes.
    ///
    /// - `name` is the DNS name or the IP address (without a zone) to which the caller connects, or the name that the
    ///   caller set instead. `name` is `None` for a Unix socket or an address with a zone. The client sends the name to
    ///   the server (SNI) if it is a DNS name, and if the policy checks names or has pins.
    /// - `peer` is the whole address as text. Errors contain this text. If the policy does not use `name`, the text
    ///   also identifies the server whose TLS sessions can be resumed. (A policy `without_name_check` never uses
    ///   `name`. A policy with pins uses `name` only if it is a DNS name.)
    ///
    /// # Errors
    ///
    /// The policy checks names, and `name` is `None` ([`Kind::NameMissing`]) or neither a DNS name nor an IP address
    /// ([`Kind::Name`]).
    pub fn connect(&self, name: Option<&str>, peer: &str) -> Result<drive::Connect, Error> {
        let policy = self.0.get();
        let trust = &policy.recipe.trust;
        let parse = |name: &str| {
            ServerName::try_from(name.to_owned()).map_err(|error| {
                let what = format!("{peer}: the name {name:?} is neither a DNS name nor an IP address");
                Error::caller(Kind::Name, what).with_source(error)
            })
        };
        let name = match (trust, name.map(parse).transpose()) {
            (Servers::Pinned(_), Ok(Some(name @ ServerName::DnsName(_)))) => name,
            (trust, _) if !trust.checks_name() => unnamed(&policy.build.crypto, peer),
            (_, name) => name?.ok_or_else(|| {
                let what = format!("the policy checks the name of the server, but the address {peer} has no name");
                Error::caller(Kind::NameMissing, what)
            })?,
        };
        let judge = policy.judge(Side::Server, Some(name.clone()));
        Ok(drive::Connect { config: policy.config.clone(), name, judge })
    }
}

/// Returns an IP address, made from a hash of the peer's address, that takes the place of a name. rustls needs a name
/// as the key of its session cache. The IP address is never checked, and never sent, because rustls puts no IP address
/// into SNI (RFC 6066 §3).
fn unnamed(crypto: &Crypto, peer: &str) -> ServerName<'static> {
    let hash = crypto.sha256(peer.as_bytes());
    ServerName::IpAddress(IpAddr::from(std::net::IpAddr::from(std::array::from_fn::<u8, 16, _>(|i| hash[i]))))
}

impl ClientTlsBuilder<Private> {
    /// Switches off the check of the server's name. The client then accepts every server certificate for which one of
    /// the CAs vouches, and sends no name to the server.
    pub fn without_name_check(mut self) -> Self {
        if let Servers::Private { check_name, .. } = &mut self.recipe.trust {
            *check_name = false;
        }
        self
    }
}

impl<T> ClientTlsBuilder<T> {
    /// Sends this certificate to servers that ask for one.
    pub fn identity(mut self, identity: Identity) -> Self {
        self.recipe.identity = Some(identity);
        self
    }

    option_methods! {
        /// Sets the number of servers for which the policy keeps sessions in memory. A later connection to one of these
        /// servers can resume a session, so its handshake takes less time. The certificate is verified again. 0
        /// switches resumption off.
        ///
        /// Default: 256 (rustls: 256, curl: 25, Go: off). A number over 65,536 counts as 65,536.
        sessions,
        /// Refuses a server that does not select `http/1.1` as the application protocol (RFC 7301). Default: a server
        /// that selects no protocol is accepted.
        require_alpn
    }

    /// Builds the policy with the cryptography provider that the crate's [features](crate#cryptography) select.
    ///
    /// # Errors
    ///
    /// Each error names the file, if the value came from a file:
    ///
    /// - No pin was given, no CA was given, or the system has no CAs.
    /// - No CA can be used: each is malformed, not in date, weak, or not a CA certificate.
    /// - A revocation list cannot be used, or a CA has no revocation list although lists were given.
    /// - The identity's key does not belong to its certificate.
    /// - The identity's certificate is malformed, not in date, weak, or not for a client.
    #[cfg(any(feature = "ring", feature = "aws-lc-rs"))]
    pub fn build(self) -> Result<ClientTls, Error> {
        self.build_with(crate::provider::by_feature())
    }

    /// Builds the policy with this provider. Of the provider's cipher suites, the policy uses only those with ECDHE and
    /// AES-GCM, AES-CCM or ChaCha20-Poly1305. The process default of rustls is not used.
    ///
    /// # Errors
    ///
    /// The errors of `build`, and [`Kind::Provider`] if the provider has no such suite, no ECDHE or no SHA-256.
    pub fn build_with(self, provider: Arc<CryptoProvider>) -> Result<ClientTls, Error> {
        Ok(ClientTls(Live::new(self.recipe, self.options, &provider)?))
    }
}

impl policy::Recipe for Recipe {
    type Config = ClientConfig;

    fn read_again(&self) -> Result<Self, Error> {
        let trust = match &self.trust {
            Servers::Private { ca_set, check_name } => {
                Servers::Private { ca_set: ca_set.read_again()?, check_name: *check_name }
            }
            Servers::Pinned(_) if self.identity.is_none() => {
                return Err(Error::caller(Kind::Reload, "cannot reload: pins are given in memory, not as files"));
            }
            trust => trust.clone(),
        };
        let identity = self.identity.as_ref().map(Identity::read_again).transpose()?;
        Ok(Self { trust, identity })
    }

    fn build(&self, build: &mut Build) -> Result<(ClientConfig, Option<Arc<Verifier>>), Error> {
        let trust = match &self.trust {
            #[cfg(feature = "system")]
            Servers::System => {
                let verifier = rustls_platform_verifier::Verifier::new(build.crypto.provider.clone());
                Trust::System(verifier.map_err(|error| {
                    Error::caller(Kind::NoTrust, format!("the system's CAs cannot be used ({error})"))
                        .with_source(error)
                })?)
            }
            Servers::Private { ca_set, check_name } => {
                Trust::Private { store: Store::new(ca_set, build)?, check_name: *check_name }
            }
            Servers::Pinned(pins) if pins.is_empty() => {
                return Err(Error::caller(Kind::NoTrust, "no pinned key was given for the server"));
            }
            Servers::Pinned(pins) => Trust::Pinned(pins.clone()),
        };
        let verifier = Arc::new(Verifier::new(trust, Side::Server, build.crypto.clone()));
        let builder = ClientConfig::builder_with_details(build.crypto.provider.clone(), build.options.clock.clone())
            .with_safe_default_protocol_versions()
            .map_err(|error| Error::caller(Kind::Provider, error.to_string()).with_source(error))?
            .dangerous()
            .with_custom_certificate_verifier(verifier.clone());
        let mut config = match &self.identity {
            Some(identity) => {
                let key = identity.certified(Side::Client, build)?;
                builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(key)))
            }
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = vec![HTTP_1_1.to_vec()];
        config.require_ems = true;
        // If any crate of the program switches on the feature `zlib` or `brotli` of rustls, rustls fills these lists.
        // They are cleared, because a peer could otherwise make this side decompress data before the peer is
        // authenticated (RFC 8879).
        config.cert_compressors.clear();
        config.cert_decompressors.clear();
        config.resumption = match build.options.sessions {
            0 => Resumption::disabled(),
            count => Resumption::in_memory_sessions(count),
        };
        config.enable_sni = !matches!(self.trust, Servers::Private { check_name: false, .. });
        Ok((config, Some(verifier)))
    }
}
