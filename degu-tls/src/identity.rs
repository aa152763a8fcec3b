//! The identity that this side proves to its peers: a certificate chain and a private key.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use rustls::InconsistentKeys;
use rustls::sign::CertifiedKey;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use crate::error::{Error, Kind};
use crate::options::Build;
use crate::source::{self, Source};
use crate::verify::{Side, own_fitness, parse};
use crate::x509;

/// A certificate with its private key, and the intermediate certificates that lead to its CA.
///
/// Malformed values are found when the identity is made. When a policy is built, three more checks follow. The key must
/// belong to the certificate. The certificate must be in date. The extended key usage of the certificate must allow the
/// side (server or client) that uses the policy.
///
/// ```no_run
/// use degu_tls::{Identity, ServerTls};
///
/// let identity = Identity::from_pem_files("cert.pem", "key.pem")?;
/// let tls = ServerTls::builder(identity).allow_unauthenticated_clients().build()?;
/// # Ok::<(), degu_tls::Error>(())
/// ```
#[derive(Clone)]
pub struct Identity {
    source: Source,
    key_source: Source,
    chain: Vec<CertificateDer<'static>>,
    key: Arc<PrivateKeyDer<'static>>,
    any_time: bool,
}

impl Identity {
    /// Reads two PEM files. The first has the certificate, followed by its intermediate CA certificates. The second has
    /// the key: PKCS #8, PKCS #1 or SEC 1, unencrypted. Both may be the same file. A reload reads the files again.
    ///
    /// # Errors
    ///
    /// [`Kind::Read`] if a file cannot be read, [`Kind::Pem`] if it has no section of the right kind, [`Kind::Key`] for an
    /// encrypted key, [`Kind::Malformed`] for a malformed certificate.
    pub fn from_pem_files(certificates: impl AsRef<Path>, key: impl AsRef<Path>) -> Result<Self, Error> {
        let (chain, source) = source::read(certificates.as_ref(), source::certificates)?;
        let (key, key_source) = source::read(key.as_ref(), source::key)?;
        Self::new(source, key_source, chain, key)
    }

    /// Reads the certificates and the key from PEM texts in memory, which have the same content as the files of
    /// [`from_pem_files`](Self::from_pem_files). A policy with this identity can be replaced, but not reloaded.
    ///
    /// # Errors
    ///
    /// The errors of [`from_pem_files`](Self::from_pem_files), except [`Kind::Read`].
    pub fn from_pem(certificates: impl AsRef<[u8]>, key: impl AsRef<[u8]>) -> Result<Self, Error> {
        let chain = source::certificates(certificates.as_ref(), &MEMORY)?;
        Self::from_der(chain, source::key(key.as_ref(), &MEMORY)?)
    }

    /// Makes an identity from DER. `chain` is the certificate, followed by its intermediate CA certificates. A policy with
    /// this identity can be replaced, but not reloaded.
    ///
    /// # Errors
    ///
    /// `chain` is empty ([`Kind::NoCertificate`]), or a certificate is malformed ([`Kind::Malformed`]).
    pub fn from_der(chain: Vec<CertificateDer<'static>>, key: PrivateKeyDer<'static>) -> Result<Self, Error> {
        Self::new(MEMORY, MEMORY, chain, key)
    }

    fn new(
        source: Source,
        key_source: Source,
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
    ) -> Result<Self, Error> {
        if chain.is_empty() {
            let what = format!("{source} has no certificate: give at least one");
            return Err(Error::advised(Kind::NoCertificate, what));
        }
        for (index, certificate) in chain.iter().enumerate() {
            parse(certificate, &format!("certificate {} of {source}", index + 1))?;
        }
        Ok(Self { source, key_source, chain, key: Arc::new(key), any_time: false })
    }

    /// Allows a policy to be built although the certificate has expired or is not valid yet. Use it for a device whose
    /// clock begins at 1970, or for a device that must boot before it can get a new certificate. Peers still check the
    /// certificate by their own clocks.
    #[must_use]
    pub fn allow_invalid_time(mut self) -> Self {
        self.any_time = true;
        self
    }

    /// Returns the certificate, followed by its intermediate CA certificates.
    pub fn chain(&self) -> &[CertificateDer<'static>] {
        &self.chain
    }

    /// Reads the same files again.
    pub(crate) fn read_again(&self) -> Result<Self, Error> {
        let (Source::File(certificates), Source::File(key)) = (&self.source, &self.key_source) else {
            return Err(Error::caller(Kind::Reload, "cannot reload: the identity was given in memory, not as files"));
        };
        Ok(Self { any_time: self.any_time, ..Self::from_pem_files(certificates, key)? })
    }

    /// Checks the certificates and the key, and returns them in the form that rustls needs. `side` is the side that will use
    /// them.
    pub(crate) fn certified(&self, side: Side, build: &mut Build) -> Result<CertifiedKey, Error> {
        let source = &self.source;
        for (index, certificate) in self.chain.iter().enumerate() {
            let parsed = parse(certificate, &format!("certificate {} of {source}", index + 1))?;
            let what = format!("the certificate of {source} ({})", x509::name(parsed.subject()));
            let found = own_fitness(&parsed, &what, build.now, side, self.any_time);
            if index > 0 {
                // A peer may accept the chain in spite of a fault in an intermediate certificate, so this is only a warning.
                build.warnings.extend(found.err());
                continue;
            }
            match found? {
                // A self-signed certificate is allowed, because peers may have pinned its key.
                webpki::Error::UnknownIssuer | webpki::Error::CaUsedAsEndEntity => {}
                webpki::Error::RequiredEkuNotFoundContext(_) => {
                    return Err(Error::caller(
                        Kind::Purpose,
                        format!("{what} is not for a {side} (extended key usage)"),
                    ));
                }
                error => return Err(Error::caller(Kind::Malformed, format!("{what} cannot be used ({error})"))),
            }
        }
        CertifiedKey::from_der(self.chain.clone(), self.key.clone_key(), &build.crypto.provider)
            .map_err(|error| self.unusable(error))
    }

    /// Converts an error of rustls about the certificate and the key.
    fn unusable(&self, error: rustls::Error) -> Error {
        let (source, key) = (&self.source, format!("the private key of {}", self.key_source));
        let (kind, what) = match &error {
            rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
                (Kind::KeyMismatch, format!("{key} does not belong to the certificate of {source}"))
            }
            _ => {
                let leaf = webpki::EndEntityCert::try_from(&self.chain[0]);
                let what = match leaf.map_or("", |leaf| x509::key_kind(&leaf.subject_public_key_info())) {
                    "RSA" | "P-256" | "P-384" | "Ed25519" => format!("{key} cannot be used ({error})"),
                    kind => format!("{key} is {kind}, which the cryptography provider does not know"),
                };
                (Kind::Key, what)
            }
        };
        Error::caller(kind, what).with_source(error)
    }
}

const MEMORY: Source = Source::Memory("the identity in memory");

impl fmt::Debug for Identity {
    /// Writes the source, the subject and the number of certificates, but not the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let subject = webpki::EndEntityCert::try_from(&self.chain[0]).map(|leaf| x509::name(leaf.subject()));
        f.debug_struct("Identity")
            .field("source", &format_args!("{}", self.source))
            .field("subject", &subject.unwrap_or_default())
            .field("certificates", &self.chain.len())
            .finish_non_exhaustive()
    }
}
