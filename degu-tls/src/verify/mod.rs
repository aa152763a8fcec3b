//! The verifier, which is the only code that accepts the certificate of a peer. rustls calls the verifier during a handshake,
//! and the verifier stores its result in a [`note`](crate::note). [`drive`](crate::drive) calls the verifier again after a
//! resumption, or if the note is missing or is about another connection.
//!
//! This module is the most security-critical code of the project. [`rfc5280`](crate::rfc5280) compares the checks here and in
//! webpki with RFC 5280, section by section.
//!
//! ```text
//!   rustls ── verify_server_cert / verify_client_cert ──┐
//!                                                       ├── Verifier::judge ── Store::verify ── webpki
//!   drive ── after a resumption, or without a note ─────┘         │
//!                                                                 └── PeerIdentity or Refusal
//! ```

mod classify;
mod fitness;
mod refusal;
mod side;
mod store;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use webpki::EndEntityCert;

use crate::note::{self, Note};
use crate::peer::{Fingerprint, PeerIdentity};
use crate::pin::SpkiPin;
use crate::provider::Crypto;
pub(crate) use classify::kind_of;
use fitness::weak_rsa;
pub(crate) use fitness::{own_fitness, parse};
use refusal::{Chain, Refusal};
pub(crate) use side::Side;
pub(crate) use store::Store;

/// The condition under which a peer is trusted.
#[derive(Debug)]
pub(crate) enum Trust {
    /// The peer has a chain to one of these CAs. If `check_name` is true, a server must also have the right name.
    Private { store: Store, check_name: bool },
    /// The peer has one of these keys, whichever CA issued its certificate.
    Pinned(Vec<SpkiPin>),
    /// The operating system accepts the peer.
    #[cfg(feature = "system")]
    System(rustls_platform_verifier::Verifier),
}

/// The verifier of one policy, on either side.
#[derive(Debug)]
pub(crate) struct Verifier {
    trust: Trust,
    /// The side that is verified: the side of the peer.
    pub(crate) peer: Side,
    crypto: Crypto,
    /// Identifies this verifier in a [`Note`], by the address of the token ([`Arc::ptr_eq`]).
    pub(crate) token: Arc<()>,
}

impl Verifier {
    pub(crate) fn new(trust: Trust, peer: Side, crypto: Crypto) -> Self {
        Self { trust, peer, crypto, token: Arc::new(()) }
    }

    /// Verifies the chain that a peer sent, and returns the peer's identity. This function does not check the proof
    /// that the peer holds the key. For this check, rustls calls `verify_tls12_signature` or `verify_tls13_signature`.
    ///
    /// `name` is the expected name of a server. For a client it is `None`.
    pub(crate) fn judge(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: Option<&ServerName<'_>>,
        now: UnixTime,
    ) -> Result<PeerIdentity, Refusal> {
        let parsed = EndEntityCert::try_from(leaf);
        let chain = Chain { peer: self.peer, leaf: parsed.as_ref().ok(), intermediates, store: self.store() };
        let refuse = |error| chain.refuse(error);
        let parsed = parsed.as_ref().map_err(|error| refuse(error.clone()))?;
        // A missing name is an error, because otherwise the check of the name would be skipped.
        let wanted = || name.ok_or(webpki::Error::UnsupportedNameType).map_err(refuse);
        if let Some(bits) = weak_rsa(parsed) {
            return Err(chain.refuse_weak_key(bits));
        }
        let pin = SpkiPin::from_sha256(self.crypto.sha256(&parsed.subject_public_key_info()));
        let ca = match &self.trust {
            Trust::Private { store, check_name } => {
                let ca = store.verify(parsed, intermediates, self.algorithms(), self.peer, now).map_err(refuse)?;
                if *check_name {
                    parsed.verify_is_valid_for_subject_name(wanted()?).map_err(refuse)?;
                }
                Some(ca)
            }
            Trust::Pinned(pins) if pins.contains(&pin) => None,
            Trust::Pinned(_) => return Err(chain.refuse_key(pin)),
            #[cfg(feature = "system")]
            Trust::System(verifier) => {
                let verdict = verifier.verify_server_cert(leaf, intermediates, wanted()?, &[], now);
                verdict.map(|_| None).map_err(|error| chain.refuse_for_system(error))?
            }
        };
        Ok(PeerIdentity {
            ca,
            pin,
            sha256: Fingerprint::from_sha256(self.crypto.sha256(leaf)),
            dns_names: parsed.valid_dns_names().map(Box::from).collect(),
            uri_names: parsed.valid_uri_names().map(Box::from).collect(),
            chain: std::iter::once(leaf).chain(intermediates).map(|der| der.clone().into_owned()).collect(),
        })
    }

    /// Returns whether a revocation list contains a certificate that a peer sent. The dates and signatures of the lists
    /// are not checked: a revoked peer must not stay connected when a list has expired.
    pub(crate) fn revokes(&self, peer: &PeerIdentity) -> bool {
        let revokes = |der| {
            EndEntityCert::try_from(der).is_ok_and(|parsed| self.store().is_some_and(|store| store.revokes(&parsed)))
        };
        peer.chain().iter().any(revokes)
    }

    fn store(&self) -> Option<&Store> {
        match &self.trust {
            Trust::Private { store, .. } => Some(store),
            _ => None,
        }
    }

    /// Verifies a peer for rustls. Leaves the identity or the error in the slot of the thread (module `note`), because
    /// rustls does not return them to the driver.
    fn judge_and_note(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: Option<&ServerName<'_>>,
        now: UnixTime,
    ) -> Result<(), rustls::Error> {
        let peer = self.judge(leaf, intermediates, name, now).map_err(|refusal| {
            note::leave(Note::Refused(refusal.error));
            rustls::Error::InvalidCertificate(refusal.for_rustls)
        })?;
        note::leave(Note::Accepted { by: self.token.clone(), peer: Arc::new(peer) });
        Ok(())
    }

    fn algorithms(&self) -> &WebPkiSupportedAlgorithms {
        &self.crypto.provider.signature_verification_algorithms
    }
}

/// Defines the methods that check whether the peer holds the key of its certificate. The traits of rustls for verifiers
/// of servers and of clients both have these methods.
macro_rules! handshake_signatures {
    () => {
        fn verify_tls12_signature(
            &self,
            message: &[u8],
            certificate: &CertificateDer<'_>,
            signature: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, rustls::Error> {
            verify_tls12_signature(message, certificate, signature, self.algorithms())
        }

        fn verify_tls13_signature(
            &self,
            message: &[u8],
            certificate: &CertificateDer<'_>,
            signature: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, rustls::Error> {
            verify_tls13_signature(message, certificate, signature, self.algorithms())
        }

        fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
            self.algorithms().supported_schemes()
        }
    };
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        self.judge_and_note(leaf, intermediates, Some(name), now).map(|()| ServerCertVerified::assertion())
    }

    handshake_signatures!();
}

impl ClientCertVerifier for Verifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.store().map_or(&[], |store| &store.subjects)
    }

    fn verify_client_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        self.judge_and_note(leaf, intermediates, None, now).map(|()| ClientCertVerified::assertion())
    }

    handshake_signatures!();
}
