//! The cryptography provider, limited to the cipher suites that Degu uses. A feature or the caller chooses the provider.

use std::fmt;
use std::sync::Arc;

use rustls::crypto::hash::{Hash, HashAlgorithm};
use rustls::crypto::{CryptoProvider, KeyExchangeAlgorithm};
use rustls::{CipherSuite, SupportedCipherSuite};

use crate::error::{Error, Kind};

/// Returns the provider that the features select: aws-lc-rs if that feature is on, otherwise ring. The process default is
/// neither read nor set.
#[cfg(any(feature = "ring", feature = "aws-lc-rs"))]
pub(crate) fn by_feature() -> Arc<CryptoProvider> {
    #[cfg(feature = "aws-lc-rs")]
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    #[cfg(not(feature = "aws-lc-rs"))]
    let provider = rustls::crypto::ring::default_provider();
    Arc::new(provider)
}

/// The allowed suites: those with ECDHE and an AEAD whose tag is not truncated. The allowed suites are listed, and not the
/// forbidden suites, because a provider may have suites that Degu does not know.
const SUITES: &[CipherSuite] = &[
    CipherSuite::TLS13_AES_256_GCM_SHA384,
    CipherSuite::TLS13_AES_128_GCM_SHA256,
    CipherSuite::TLS13_CHACHA20_POLY1305_SHA256,
    CipherSuite::TLS13_AES_128_CCM_SHA256,
    CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
    CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
    CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
    CipherSuite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
    CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
    CipherSuite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
];

/// A provider that has only the suites and groups that Degu uses.
#[derive(Clone)]
pub(crate) struct Crypto {
    pub(crate) provider: Arc<CryptoProvider>,
    sha256: &'static dyn Hash,
}

impl Crypto {
    /// Returns a copy of the provider that has only the suites and groups that Degu uses, in the same order.
    ///
    /// # Errors
    ///
    /// No suite or no group remains, or the provider has no SHA-256.
    pub(crate) fn new(provider: &CryptoProvider, tls13_only: bool) -> Result<Self, Error> {
        let lacks = |what: &str| Error::caller(Kind::Provider, format!("the cryptography provider has {what}"));
        let mut provider = provider.clone();
        provider.kx_groups.retain(|group| group.name().key_exchange_algorithm() == KeyExchangeAlgorithm::ECDHE);
        if provider.kx_groups.is_empty() {
            return Err(lacks("no group for ECDHE"));
        }
        // SHA-256 is looked up before suites are removed, because a removed suite may be the only suite with SHA-256.
        let hash = provider.cipher_suites.iter().map(hash_of).find(|hash| hash.algorithm() == HashAlgorithm::SHA256);
        let sha256 = hash.ok_or_else(|| lacks("no cipher suite with SHA-256"))?;
        provider.cipher_suites.retain(|suite| {
            SUITES.contains(&suite.suite()) && !(tls13_only && matches!(suite, SupportedCipherSuite::Tls12(_)))
        });
        if provider.cipher_suites.is_empty() {
            return Err(lacks("no cipher suite with ECDHE and an AEAD"));
        }
        Ok(Self { provider: Arc::new(provider), sha256 })
    }

    /// Returns the SHA-256 of the data.
    pub(crate) fn sha256(&self, data: &[u8]) -> [u8; 32] {
        let mut hash = [0; 32];
        // `new` chose SHA-256, so the output has 32 bytes, and this does not panic.
        hash.copy_from_slice(self.sha256.hash(data).as_ref());
        hash
    }
}

impl fmt::Debug for Crypto {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.provider.fmt(f)
    }
}

fn hash_of(suite: &SupportedCipherSuite) -> &'static dyn Hash {
    match suite {
        SupportedCipherSuite::Tls12(suite) => suite.common.hash_provider,
        SupportedCipherSuite::Tls13(suite) => suite.common.hash_provider,
    }
}

#[cfg(test)]
#[cfg(any(feature = "ring", feature = "aws-lc-rs"))]
mod tests {
    use super::*;

    #[test]
    fn all_suites_of_the_default_pass() {
        let provider = by_feature();
        let crypto = Crypto::new(&provider, false).unwrap();
        assert_eq!(crypto.provider.cipher_suites.len(), 9);
        assert_eq!(crypto.provider.cipher_suites.len(), provider.cipher_suites.len());
        assert_eq!(crypto.sha256(b"")[..4], [0xe3, 0xb0, 0xc4, 0x42]);
    }

    #[test]
    fn one_version_only() {
        let provider = by_feature();
        let crypto = Crypto::new(&provider, true).unwrap();
        assert!(!crypto.provider.cipher_suites.is_empty());
        assert!(crypto.provider.cipher_suites.iter().all(|suite| suite.tls13().is_some()));

        let mut old = (*provider).clone();
        old.cipher_suites.retain(|suite| suite.tls13().is_none());
        assert!(Crypto::new(&old, false).is_ok());
        let error = Crypto::new(&old, true).unwrap_err();
        assert_eq!(error.kind(), Kind::Provider);
        assert_eq!(error.to_string(), "the cryptography provider has no cipher suite with ECDHE and an AEAD");
    }

    #[test]
    fn what_a_provider_can_lack() {
        let mut bare = (*by_feature()).clone();
        bare.cipher_suites.retain(|suite| suite.suite() == CipherSuite::TLS13_AES_256_GCM_SHA384);
        assert_eq!(
            Crypto::new(&bare, false).unwrap_err().to_string(),
            "the cryptography provider has no cipher suite with SHA-256"
        );
        bare.cipher_suites.clear();
        assert_eq!(Crypto::new(&bare, false).unwrap_err().kind(), Kind::Provider);
        let mut groupless = (*by_feature()).clone();
        groupless.kx_groups.clear();
        assert_eq!(
            Crypto::new(&groupless, false).unwrap_err().to_string(),
            "the cryptography provider has no group for ECDHE"
        );
    }
}
