//! A public key infrastructure in memory, a clock that a test sets, and two peers joined by a pipe.
#![allow(dead_code, reason = "each test file uses its part")]

pub(crate) mod pipe;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use degu_tls::rustls::crypto::CryptoProvider;
use degu_tls::rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use degu_tls::rustls::time_provider::TimeProvider;
use degu_tls::rustls::{SupportedProtocolVersion, version};
use degu_tls::{CaSet, ClientTls, Identity, ServerTls};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CrlDistributionPoint,
    CrlIssuingDistributionPoint, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose,
    PublicKeyData, RevokedCertParams, SerialNumber, SignatureAlgorithm, SigningKey,
};
use time::OffsetDateTime;

/// 2026-11-22 12:00:00 UTC.
pub(crate) const NOW: u64 = 1_795_348_800;
pub(crate) const DAY: u64 = 86_400;

pub(crate) fn at(seconds: u64) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(seconds as i64).unwrap()
}

/// A clock that a test sets.
#[derive(Debug)]
pub(crate) struct Clock(AtomicU64);

impl Clock {
    pub(crate) fn new(seconds: u64) -> Arc<Self> {
        Arc::new(Self(AtomicU64::new(seconds)))
    }

    pub(crate) fn now() -> Arc<Self> {
        Self::new(NOW)
    }

    pub(crate) fn set(&self, seconds: u64) {
        self.0.store(seconds, Ordering::Relaxed);
    }
}

impl TimeProvider for Clock {
    /// Returns the time that the test has set. `u64::MAX` stands for a broken clock, which has no time.
    fn current_time(&self) -> Option<UnixTime> {
        let seconds = self.0.load(Ordering::Relaxed);
        (seconds != u64::MAX).then(|| UnixTime::since_unix_epoch(Duration::from_secs(seconds)))
    }
}

/// A key, or only the public half of an RSA key, which rcgen cannot generate.
pub(crate) enum Key {
    Real(Box<KeyPair>),
    /// An RSAPublicKey with a modulus of a given length. Its signatures are garbage.
    Rsa(Vec<u8>),
}

impl Key {
    pub(crate) fn new() -> Self {
        Self::Real(Box::new(KeyPair::generate().unwrap()))
    }

    pub(crate) fn of(algorithm: &'static SignatureAlgorithm) -> Self {
        Self::Real(Box::new(KeyPair::generate_for(algorithm).unwrap()))
    }

    pub(crate) fn rsa(bits: usize) -> Self {
        let bytes = bits.div_ceil(8);
        let mut modulus = vec![0xc5; bytes];
        modulus[0] = 0xff >> (bytes * 8 - bits);
        if modulus[0] >= 0x80 {
            modulus.insert(0, 0);
        }
        let integer = |value: &[u8]| [&[0x02][..], &length(value.len()), value].concat();
        let both = [integer(&modulus), integer(&[1, 0, 1])].concat();
        Self::Rsa([&[0x30][..], &length(both.len()), &both].concat())
    }

    pub(crate) fn private(&self) -> PrivateKeyDer<'static> {
        match self {
            Self::Real(key) => PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
            Self::Rsa(_) => panic!("there is no private half"),
        }
    }

    pub(crate) fn pem(&self) -> String {
        match self {
            Self::Real(key) => key.serialize_pem(),
            Self::Rsa(_) => panic!("there is no private half"),
        }
    }
}

pub(crate) fn length(length: usize) -> Vec<u8> {
    match length {
        0..=0x7f => vec![length as u8],
        0x80..=0xff => vec![0x81, length as u8],
        _ => vec![0x82, (length >> 8) as u8, length as u8],
    }
}

impl PublicKeyData for Key {
    fn der_bytes(&self) -> &[u8] {
        match self {
            Self::Real(key) => key.der_bytes(),
            Self::Rsa(public) => public,
        }
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        match self {
            Self::Real(key) => key.algorithm(),
            Self::Rsa(_) => &rcgen::PKCS_RSA_SHA256,
        }
    }
}

impl SigningKey for Key {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        match self {
            Self::Real(key) => key.sign(message),
            Self::Rsa(_) => Ok(vec![7; 128]),
        }
    }
}

/// A certificate with its key, and the intermediate certificates between it and its root.
pub(crate) struct Cert {
    pub(crate) params: CertificateParams,
    pub(crate) key: Key,
    pub(crate) der: CertificateDer<'static>,
    /// The intermediate certificates, nearest first, without the root.
    pub(crate) above: Vec<CertificateDer<'static>>,
    is_root: bool,
}

pub(crate) type Edit<'a> = &'a dyn Fn(&mut CertificateParams);

pub(crate) fn params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = at(NOW - 30 * DAY);
    params.not_after = at(NOW + 30 * DAY);
    params.key_identifier_method = KeyIdMethod::PreSpecified(vec![1, 2, 3, 4]);
    params
}

fn as_ca(params: &mut CertificateParams) {
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
}

impl Cert {
    pub(crate) fn root(name: &str) -> Self {
        Self::root_with(name, Key::new(), &|_| {})
    }

    pub(crate) fn root_with(name: &str, key: Key, edit: Edit<'_>) -> Self {
        let mut params = params(name);
        as_ca(&mut params);
        edit(&mut params);
        let der = params.self_signed(&key).unwrap().der().clone();
        Self { params, key, der, above: Vec::new(), is_root: true }
    }

    pub(crate) fn issue(&self, key: Key, params: CertificateParams) -> Self {
        let issuer = Issuer::from_params(&self.params, &self.key);
        let der = params.signed_by(&key, &issuer).unwrap().der().clone();
        let above = if self.is_root { Vec::new() } else { [std::slice::from_ref(&self.der), &*self.above].concat() };
        Self { params, key, der, above, is_root: false }
    }

    pub(crate) fn intermediate(&self, name: &str, edit: Edit<'_>) -> Self {
        self.intermediate_with(name, Key::new(), edit)
    }

    pub(crate) fn intermediate_with(&self, name: &str, key: Key, edit: Edit<'_>) -> Self {
        let mut params = params(name);
        as_ca(&mut params);
        edit(&mut params);
        self.issue(key, params)
    }

    /// Issues a certificate for `name.example`, for servers and clients.
    pub(crate) fn leaf(&self, name: &str, edit: Edit<'_>) -> Self {
        self.leaf_with(name, Key::new(), edit)
    }

    pub(crate) fn leaf_with(&self, name: &str, key: Key, edit: Edit<'_>) -> Self {
        self.issue(key, leaf_params(name, edit))
    }

    pub(crate) fn crl(&self, revoked: &[&Cert], next_update: u64) -> Vec<u8> {
        self.crl_issued(revoked, NOW - 40 * DAY, next_update)
    }

    pub(crate) fn crl_issued(&self, revoked: &[&Cert], this_update: u64, next_update: u64) -> Vec<u8> {
        self.crl_for(None, revoked, this_update, next_update)
    }

    /// Issues a revocation list for the certificates with this distribution point.
    pub(crate) fn crl_for(
        &self,
        point: Option<&str>,
        revoked: &[&Cert],
        this_update: u64,
        next_update: u64,
    ) -> Vec<u8> {
        let revoked = revoked.iter().map(|cert| RevokedCertParams {
            serial_number: cert.params.serial_number.clone().expect("leaf() sets a serial number"),
            revocation_time: at(NOW - DAY),
            reason_code: None,
            invalidity_date: None,
        });
        let list = CertificateRevocationListParams {
            this_update: at(this_update),
            next_update: at(next_update),
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: point
                .map(|uri| CrlIssuingDistributionPoint { distribution_point: crl_point(uri), scope: None }),
            revoked_certs: revoked.collect(),
            key_identifier_method: KeyIdMethod::PreSpecified(vec![1, 2, 3, 4]),
        };
        list.signed_by(&Issuer::from_params(&self.params, &self.key)).unwrap().der().to_vec()
    }

    pub(crate) fn chain(&self) -> Vec<CertificateDer<'static>> {
        [std::slice::from_ref(&self.der), &*self.above].concat()
    }

    pub(crate) fn identity(&self) -> Identity {
        self.identity_with(self.chain())
    }

    pub(crate) fn identity_with(&self, chain: Vec<CertificateDer<'static>>) -> Identity {
        Identity::from_der(chain, self.key.private()).unwrap()
    }

    pub(crate) fn ca_set(&self, label: &str) -> CaSet {
        CaSet::new().add(label, self.der.clone())
    }

    pub(crate) fn pem(&self) -> String {
        self.chain().iter().map(|der| pem("CERTIFICATE", der)).collect()
    }
}

/// A root, and a server that requires certificates of this root from its clients.
pub(crate) struct Site {
    pub(crate) root: Cert,
    pub(crate) server: ServerTls,
}

impl Site {
    pub(crate) fn new(version: Version) -> Self {
        let root = Cert::root("Root");
        let builder = ServerTls::builder(root.leaf("host", &|_| {}).identity()).require_clients(root.ca_set("root"));
        let server = builder.clock(Clock::now()).build_with(version.provider()).unwrap();
        Self { root, server }
    }

    pub(crate) fn client(&self, version: Version, cert: &Cert) -> ClientTls {
        let builder = ClientTls::private(self.root.ca_set("root")).identity(cert.identity());
        builder.clock(Clock::now()).build_with(version.provider()).unwrap()
    }
}

pub(crate) fn crl_point(uri: &str) -> CrlDistributionPoint {
    CrlDistributionPoint { uris: vec![uri.into()] }
}

pub(crate) fn leaf_params(name: &str, edit: Edit<'_>) -> CertificateParams {
    static SERIAL: AtomicU64 = AtomicU64::new(1000);
    let mut params = params(name);
    params.serial_number = Some(SERIAL.fetch_add(1, Ordering::Relaxed).into());
    params.subject_alt_names = vec![rcgen::SanType::DnsName(format!("{name}.example").try_into().unwrap())];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    edit(&mut params);
    params
}

pub(crate) fn pem(kind: &str, der: &[u8]) -> String {
    format!("-----BEGIN {kind}-----\n{}\n-----END {kind}-----\n", BASE64_STANDARD.encode(der))
}

#[cfg(feature = "aws-lc-rs")]
pub(crate) use degu_tls::rustls::crypto::aws_lc_rs as cryptography;
#[cfg(not(feature = "aws-lc-rs"))]
pub(crate) use degu_tls::rustls::crypto::ring as cryptography;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Version {
    Tls12,
    Tls13,
}

impl Version {
    pub(crate) const BOTH: [Self; 2] = [Self::Tls12, Self::Tls13];

    /// Returns a provider that has only cipher suites of this version.
    pub(crate) fn provider(self) -> Arc<CryptoProvider> {
        let mut provider = cryptography::default_provider();
        provider.cipher_suites.retain(|suite| suite.tls13().is_some() == (self == Self::Tls13));
        Arc::new(provider)
    }

    pub(crate) fn versions(self) -> &'static [&'static SupportedProtocolVersion] {
        const OLD: &[&SupportedProtocolVersion] = &[&version::TLS12];
        const NEW: &[&SupportedProtocolVersion] = &[&version::TLS13];
        match self {
            Self::Tls12 => OLD,
            Self::Tls13 => NEW,
        }
    }
}
