//! The policy of a client: which servers it trusts, and what it shows to them.

use std::marker::PhantomData;
use std::mem::discriminant;
use std::sync::Arc;

use rustls::ClientConfig;
use rustls::client::Resumption;
use rustls::crypto::CryptoProvider;
use rustls::sign::SingleCertAndKey;
use rustls::time_provider::TimeProvider;
use rustls_pki_types::{IpAddr, ServerName};

use crate::cas::Cas;
use crate::drive;
use crate::error::{Error, Kind};
use crate::identity::Identity;
use crate::pin::SpkiPin;
use crate::policy::{self, Build, HTTP_1_1, Live, Options, option_methods};
use crate::provider::Sha256;
use crate::verify::{Side, Store, Trust, Verifier};

/// A client's TLS policy: which servers it trusts, and how it proves who it is.
///
/// There are four ways, and none without verification:
///
/// | | who vouches | name | dates | revocation |
/// | --- | --- | --- | --- | --- |
/// | [`system`] | what the operating system trusts | checked | checked | the system's |
/// | [`private`](Self::private) | these [`Cas`] | checked | checked | their lists |
/// | [`private`](Self::private)`.without_name_check()` | these [`Cas`] | not checked | checked | their lists |
/// | [`pinned`](Self::pinned) | these keys | not checked | not checked | none |
///
/// A clone is the same policy: what [`reload`](Self::reload) and [`replace`](Self::replace) change, all clones see, for
/// new connections.
///
/// To leave the name unchecked is for peers that have none, such as two devices on a link, where every certificate of
/// the CA is as good as any other. With the system's CAs that would trust everybody, so that there is no such method:
///
/// ```compile_fail,E0599
/// degu_tls::ClientTls::system().without_name_check();
/// ```
///
/// ```
/// # use degu_tls::{Cas, ClientTls, Error, Identity};
/// # fn f(cas: Cas, identity: Identity) -> Result<ClientTls, Error> {
/// ClientTls::private(cas).without_name_check().identity(identity).build()
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
    Private(Cas),
    /// Private CAs, without a check of the name.
    Unnamed(Cas),
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

/// Marks a [`ClientTlsBuilder`] that trusts servers for which private CAs vouch.
#[derive(Clone, Copy, Debug)]
pub struct Private(());

/// Marks a [`ClientTlsBuilder`] that trusts servers by their keys.
#[derive(Clone, Copy, Debug)]
pub struct Pinned(());

/// Collects the policy of a client; `T` is how servers are trusted: [`System`], [`Private`] or [`Pinned`].
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
    /// Trusts what the operating system trusts, as it judges itself: its CAs, its additions and bans, where it can its
    /// revocation. The name is always checked. The peer's identity has no CA.
    #[cfg(feature = "system")]
    pub fn system() -> ClientTlsBuilder<System> {
        ClientTlsBuilder::new(Servers::System)
    }

    /// Trusts servers that one of these CAs vouches for, and no other.
    pub fn private(cas: Cas) -> ClientTlsBuilder<Private> {
        ClientTlsBuilder::new(Servers::Private(cas))
    }

    /// Trusts servers that hold one of these keys. Its issuer, its names and its dates do not
    /// matter; that it is an X.509 certificate of version 3 and the key is really held does. Give the next key's pin
    /// next to the present one's, to be able to change it.
    pub fn pinned(pins: impl IntoIterator<Item = SpkiPin>) -> ClientTlsBuilder<Pinned> {
        ClientTlsBuilder::new(Servers::Pinned(pins.into_iter().collect()))
    }

    /// Returns whether the name of the server is checked. It never changes.
    pub fn checks_name(&self) -> bool {
        self.0.get().recipe.trust.checks_name()
    }

    /// Reads the same files again: CAs, revocation lists, certificate and key; and the system's CAs, where they are
    /// files. If they can be used, they hold for new connections, and the [warnings](Self::warnings) are returned. Sessions
    /// from before are not resumed.
    ///
    /// # Errors
    ///
    /// Any of building. Then nothing has changed. What was given in memory cannot be read again, and with pins alone
    /// there is nothing to read ([`Kind::Reload`]).
    pub fn reload(&self) -> Result<Vec<Error>, Error> {
        self.0.reload()
    }

    /// Returns the warnings of the last build or reload: what was left out, or will refuse peers. Each was logged, too.
    ///
    /// A CA that has expired, is not valid yet or cannot be used is left out as long as another one is left. An expired
    /// revocation list stays and refuses the peers that it is about. An expired intermediate certificate of the identity
    /// is sent all the same.
    pub fn warnings(&self) -> Vec<Error> {
        self.0.get().warnings.clone()
    }

    /// Takes up another policy for new connections, which must trust in the same way: other CAs, pins, identity and
    /// options, but no private CAs in place of pins, nor a name that is no longer checked.
    ///
    /// # Errors
    ///
    /// The other one trusts in another way ([`Kind::Replace`]).
    pub fn replace(&self, next: &Self) -> Result<(), Error> {
        let next = next.0.get();
        if discriminant(&next.recipe.trust) != discriminant(&self.0.get().recipe.trust) {
            return Err(Error::caller(Kind::Replace, "the two policies trust servers in different ways"));
        }
        self.0.set(next);
        Ok(())
    }

    /// Returns the current policy, for a driver to make one connection with.
    ///
    /// `name` is the DNS name or IP address (without a zone) that the caller connects to, or that it set in its place;
    /// `None` where there is none, as for a Unix socket or an address with a zone. `peer` is the whole address as text:
    /// it stands in errors, and where the name is not checked it keeps the sessions of different peers apart.
    ///
    /// The name is sent to the server (SNI) if it is a DNS name that is checked, or was pinned for.
    ///
    /// # Errors
    ///
    /// The name must be checked, and there is none ([`Kind::NameMissing`]), or it is no DNS name or IP address
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
                let what = format!("the name of the server must be checked, and the address {peer} has none");
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

/// Returns a stand-in for a name, which is never checked and never sent: rustls wants a name as the key of its cache of
/// sessions, and puts no address into SNI (RFC 6066 §3).
fn unnamed(sha256: Sha256, peer: &str) -> ServerName<'static> {
    let hash = sha256.hash(peer.as_bytes());
    ServerName::IpAddress(IpAddr::from(std::net::IpAddr::from(std::array::from_fn::<u8, 16, _>(|i| hash[i]))))
}

impl ClientTlsBuilder<Private> {
    /// Leaves the name of the server unchecked: any certificate for a server that one of the CAs vouched for will do.
    /// No name is sent to the server.
    pub fn without_name_check(mut self) -> Self {
        if let Servers::Private(cas) = self.recipe.trust {
            self.recipe.trust = Servers::Unnamed(cas);
        }
        self
    }
}

impl<T> ClientTlsBuilder<T> {
    /// Shows this certificate to servers that ask for one.
    pub fn identity(mut self, identity: Identity) -> Self {
        self.recipe.identity = Some(identity);
        self
    }

    option_methods! {
        /// Sets for how many servers sessions are kept in memory for resumption; 0 switches it off. A resumed session's
        /// certificate is verified again.
        ///
        /// Default 256 (rustls: 256, curl: 25, Go: off).
        sessions,
        /// Refuses servers that do not agree on `http/1.1` as the application protocol (RFC 7301). Default: one that
        /// agrees on none is accepted.
        require_alpn
    }

    /// Builds the policy with the provider of the features (see the [crate](crate)'s page).
    ///
    /// # Errors
    ///
    /// There is no pin; no CA can be used, because their certificates are malformed, out of date, weak or no CA's, or
    /// one has no revocation list next to others; the identity's key is not its certificate's, or that is out of date,
    /// weak or not for a client; the system has no CAs. The error names the file.
    #[cfg(any(feature = "ring", feature = "aws-lc-rs"))]
    pub fn build(self) -> Result<ClientTls, Error> {
        self.build_with(crate::provider::by_feature())
    }

    /// Builds the policy with this provider, cut down to ECDHE with AES-GCM, AES-CCM or ChaCha20-Poly1305. The process
    /// default of rustls is not used.
    ///
    /// # Errors
    ///
    /// As for `build`, or nothing of the provider is left ([`Kind::Provider`]).
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
            Servers::Private(cas) => Servers::Private(cas.read_again()?),
            Servers::Unnamed(cas) => Servers::Unnamed(cas.read_again()?),
            Servers::Pinned(_) if self.identity.is_none() => {
                return Err(Error::caller(Kind::Reload, "pins are given in memory"));
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
            Servers::Private(cas) | Servers::Unnamed(cas) => {
                let store = Store::new(cas, build)?;
                Trust::Private { store, check_name: self.trust.checks_name() }
            }
            Servers::Pinned(pins) if pins.is_empty() => {
                return Err(Error::caller(Kind::NoTrust, "there is no pin"));
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
