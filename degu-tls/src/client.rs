//! The policy of a client: which servers it trusts, and which certificate it sends to them.

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
use crate::pin::SpkiPin;
use crate::policy::{self, Build, HTTP_1_1, Live, Options, option_methods};
use crate::provider::Sha256;
use crate::verify::{Side, Store, Trust, Verifier};

/// The TLS policy of a client: which servers it trusts, and which certificate it shows.
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
/// A clone is the same policy: after [`reload`](Self::reload) or [`replace`](Self::replace), all clones use the new one
/// for new connections.
///
/// `without_name_check` is for peers without names, such as two devices on a link. The client then accepts every server
/// certificate of the CA. With the system's CAs it would accept everyone who has a certificate, so there is no such
/// method:
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
    options: Options,
}

#[derive(Clone, Debug)]
enum Servers {
    #[cfg(feature = "system")]
    System,
    Private(CaSet),
    /// Private CAs, without a check of the server's name.
    Unnamed(CaSet),
    Pinned(Vec<SpkiPin>),
}

impl Servers {
    fn checks_name(&self) -> bool {
        !matches!(self, Self::Unnamed(_) | Self::Pinned(_))
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

/// A builder for the policy of a client. `T` is the way in which servers are trusted: [`System`], [`Private`] or
/// [`Pinned`].
#[derive(Clone, Debug)]
#[must_use]
pub struct ClientTlsBuilder<T> {
    recipe: Recipe,
    trust: PhantomData<T>,
}

impl<T> ClientTlsBuilder<T> {
    fn new(trust: Servers) -> Self {
        Self { recipe: Recipe { trust, identity: None, options: Options::default() }, trust: PhantomData }
    }
}

impl ClientTls {
    /// Trusts the servers that the operating system trusts. The system itself judges: with its CAs, its additions and
    /// bans, and its revocation if it has one. The name is always checked. The peer's identity has no CA.
    #[cfg(feature = "system")]
    pub fn system() -> ClientTlsBuilder<System> {
        ClientTlsBuilder::new(Servers::System)
    }

    /// Trusts only servers for which one of these CAs vouches.
    pub fn private(ca_set: CaSet) -> ClientTlsBuilder<Private> {
        ClientTlsBuilder::new(Servers::Private(ca_set))
    }

    /// Trusts servers that hold one of these keys. The issuer, the names and the dates of the certificate do not
    /// matter. It must be an X.509 certificate of version 3, and the server must prove that it holds the key. Give the
    /// pin of the next key, too, so that the server can change its key.
    pub fn pinned(pins: impl IntoIterator<Item = SpkiPin>) -> ClientTlsBuilder<Pinned> {
        ClientTlsBuilder::new(Servers::Pinned(pins.into_iter().collect()))
    }

    /// Returns whether the name of the server is checked. This never changes for a policy.
    pub fn checks_name(&self) -> bool {
        self.0.get().recipe.trust.checks_name()
    }

    /// Reads the same files again: CAs, revocation lists, certificate and key, and the system's CAs if they are files.
    /// If the files can be used, new connections use them, and the [warnings](Self::warnings) are returned. Earlier
    /// sessions are not resumed.
    ///
    /// # Errors
    ///
    /// The errors of building. After an error nothing has changed. Values from memory cannot be read again, and a
    /// policy with pins alone has nothing to read ([`Kind::Reload`]).
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

    /// Replaces the policy for new connections. The other policy may have other CAs, pins, identity and options. It
    /// must trust servers in the same way: it may not use private CAs instead of pins, or stop checking the name.
    ///
    /// # Errors
    ///
    /// The other policy trusts servers in another way ([`Kind::Replace`]).
    pub fn replace(&self, next: &Self) -> Result<(), Error> {
        let next = next.0.get();
        if discriminant(&next.recipe.trust) != discriminant(&self.0.get().recipe.trust) {
            return Err(Error::caller(Kind::Replace, "the two policies trust servers in different ways"));
        }
        self.0.set(next);
        Ok(())
    }

    /// Returns the current policy, with which a driver makes one connection.
    ///
    /// `name` is the DNS name or the IP address (without a zone) to which the caller connects, or the name that the
    /// caller set instead. It is `None` for a Unix socket or an address with a zone. `peer` is the whole address as
    /// text. Errors contain it. It also keeps the TLS sessions of different servers apart where `name` is not used: if the
    /// policy neither checks names nor has pins, or has pins and `name` is not a DNS name.
    ///
    /// The name is sent to the server (SNI) if it is a DNS name, and the policy checks names or has pins.
    ///
    /// # Errors
    ///
    /// The policy checks names, and `name` is `None` ([`Kind::NameMissing`]) or neither a DNS name nor an IP address
    /// ([`Kind::Name`]).
    pub fn connect(&self, name: Option<&str>, peer: &str) -> Result<drive::Connect, Error> {
        let policy = self.0.get();
        let trust = &policy.recipe.trust;
        let parsed = |name: &str| {
            ServerName::try_from(name.to_owned()).map_err(|error| {
                let what = format!("{peer}: {} is neither a DNS name nor an IP address", name.escape_debug());
                Error::caller(Kind::Name, what).with_source(error)
            })
        };
        let name = match (name, trust) {
            (Some(name), trust) if trust.checks_name() => parsed(name)?,
            (None, trust) if trust.checks_name() => {
                let what = format!("the policy checks the name of the server, but the address {peer} has no name");
                return Err(Error::caller(Kind::NameMissing, what));
            }
            (Some(name), Servers::Pinned(_)) if matches!(parsed(name), Ok(ServerName::DnsName(_))) => parsed(name)?,
            _ => unnamed(policy.crypto.sha256, peer),
        };
        let judge =
            drive::Judge::new(policy.verifier.clone(), Side::Server, Some(name.clone()), &policy.recipe.options);
        Ok(drive::Connect { config: policy.config.clone(), name, judge })
    }
}

/// Returns an IP address in place of a name, made from a hash of the peer's address. rustls needs a name as the key of its
/// session cache. This one is never checked, and never sent, because rustls puts no IP address into SNI (RFC 6066 §3).
fn unnamed(sha256: Sha256, peer: &str) -> ServerName<'static> {
    let hash = sha256.hash(peer.as_bytes());
    ServerName::IpAddress(IpAddr::from(std::net::IpAddr::from(std::array::from_fn::<u8, 16, _>(|i| hash[i]))))
}

impl ClientTlsBuilder<Private> {
    /// Switches the check of the server's name off: the client accepts any server certificate for which one of the CAs
    /// vouches. The client sends no name to the server.
    pub fn without_name_check(mut self) -> Self {
        if let Servers::Private(ca_set) = self.recipe.trust {
            self.recipe.trust = Servers::Unnamed(ca_set);
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
        /// Sets for how many servers the policy keeps sessions in memory, for resumption; 0 switches resumption off.
        /// The certificate of a resumed session is verified again.
        ///
        /// Default 256 (rustls: 256, curl: 25, Go: off).
        sessions,
        /// Refuses servers that do not select `http/1.1` as the application protocol (RFC 7301). Default: a server that
        /// selects no protocol is accepted.
        require_alpn
    }

    /// Builds the policy with the cryptography provider that the crate's [features](crate#cryptography) select.
    ///
    /// # Errors
    ///
    /// There is no pin. No CA can be used, because the certificates are malformed, out of date, weak, or not those of
    /// CAs. One CA has no revocation list, and others have one. The identity's key does not belong to its certificate,
    /// or the certificate is out of date, weak, or not for a client. The system has no CAs. The error names the file.
    #[cfg(any(feature = "ring", feature = "aws-lc-rs"))]
    pub fn build(self) -> Result<ClientTls, Error> {
        self.build_with(crate::provider::by_feature())
    }

    /// Builds the policy with this provider, limited to ECDHE with AES-GCM, AES-CCM or ChaCha20-Poly1305. The process
    /// default of rustls is not used.
    ///
    /// # Errors
    ///
    /// The errors of `build`, and one if the provider has nothing that can be used ([`Kind::Provider`]).
    pub fn build_with(self, provider: Arc<CryptoProvider>) -> Result<ClientTls, Error> {
        Ok(ClientTls(Live::new(self.recipe, &provider)?))
    }
}

impl policy::Recipe for Recipe {
    type Config = ClientConfig;

    fn options(&self) -> &Options {
        &self.options
    }

    fn read_again(&self) -> Result<Self, Error> {
        let trust = match &self.trust {
            Servers::Private(ca_set) => Servers::Private(ca_set.read_again()?),
            Servers::Unnamed(ca_set) => Servers::Unnamed(ca_set.read_again()?),
            Servers::Pinned(_) if self.identity.is_none() => {
                return Err(Error::caller(Kind::Reload, "cannot reload: pins are given in memory, not as files"));
            }
            trust => trust.clone(),
        };
        let identity = self.identity.as_ref().map(Identity::read_again).transpose()?;
        Ok(Self { trust, identity, options: self.options.clone() })
    }

    fn build(&self, build: &mut Build) -> Result<(ClientConfig, Option<Arc<Verifier>>), Error> {
        let options = &self.options;
        let trust = match &self.trust {
            #[cfg(feature = "system")]
            Servers::System => {
                let verifier = rustls_platform_verifier::Verifier::new(build.crypto.provider.clone());
                Trust::System(verifier.map_err(|error| {
                    Error::caller(Kind::NoTrust, format!("the system's CAs cannot be used ({error})"))
                        .with_source(error)
                })?)
            }
            Servers::Private(ca_set) | Servers::Unnamed(ca_set) => {
                let store = Store::new(ca_set, build)?;
                Trust::Private { store, check_name: self.trust.checks_name() }
            }
            Servers::Pinned(pins) if pins.is_empty() => {
                return Err(Error::caller(Kind::NoTrust, "no pinned key was given for the server"));
            }
            Servers::Pinned(pins) => Trust::Pinned(pins.clone()),
        };
        let verifier = Arc::new(Verifier::new(trust, Side::Server, build.crypto.clone()));
        let builder = ClientConfig::builder_with_details(build.crypto.provider.clone(), options.clock.clone())
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
        config.resumption = match options.sessions {
            0 => Resumption::disabled(),
            count => Resumption::in_memory_sessions(count),
        };
        config.enable_sni = !matches!(self.trust, Servers::Unnamed(_));
        Ok((config, Some(verifier)))
    }
}
