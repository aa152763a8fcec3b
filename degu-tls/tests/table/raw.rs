//! Peers that do things that no policy of degu-tls would do.

use std::sync::Arc;

use degu_tls::rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use degu_tls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use degu_tls::rustls::server::NoClientAuth;
use degu_tls::rustls::sign::{CertifiedKey, Signer, SigningKey, SingleCertAndKey};
use degu_tls::rustls::{ClientConfig, DigitallySignedStruct, Error, ServerConfig, SignatureAlgorithm, SignatureScheme};

use crate::kit::{Key, Version};

/// A verifier that accepts every certificate.
#[derive(Debug)]
struct Anyone;

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        crate::kit::cryptography::default_provider().signature_verification_algorithms.supported_schemes()
    }
}

/// A signer whose signatures are garbage, for keys that no provider would load.
#[derive(Debug)]
struct Garbage;

impl SigningKey for Garbage {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        offered.contains(&SignatureScheme::RSA_PSS_SHA256).then(|| Box::new(Self) as _)
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        SignatureAlgorithm::RSA
    }
}

impl Signer for Garbage {
    fn sign(&self, _: &[u8]) -> Result<Vec<u8>, Error> {
        Ok(vec![7; 128])
    }

    fn scheme(&self) -> SignatureScheme {
        SignatureScheme::RSA_PSS_SHA256
    }
}

fn resolver(version: Version, chain: Vec<CertificateDer<'static>>, key: &Key) -> Arc<SingleCertAndKey> {
    let key = match key {
        Key::Real(_) => version.provider().key_provider.load_private_key(key.private()).unwrap(),
        Key::Rsa(_) => Arc::new(Garbage),
    };
    Arc::new(CertifiedKey::new(chain, key).into())
}

pub(crate) fn server_config(version: Version, chain: Vec<CertificateDer<'static>>, key: &Key) -> ServerConfig {
    ServerConfig::builder_with_provider(version.provider())
        .with_protocol_versions(version.versions())
        .unwrap()
        .with_client_cert_verifier(Arc::new(NoClientAuth))
        .with_cert_resolver(resolver(version, chain, key))
}

pub(crate) fn client_config(version: Version, presented: Option<(Vec<CertificateDer<'static>>, &Key)>) -> ClientConfig {
    let builder = ClientConfig::builder_with_provider(version.provider())
        .with_protocol_versions(version.versions())
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anyone));
    match presented {
        Some((chain, key)) => builder.with_client_cert_resolver(resolver(version, chain, key)),
        None => builder.with_no_client_auth(),
    }
}
