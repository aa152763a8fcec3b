//! The identity of a peer.

use std::fmt;

use rustls_pki_types::CertificateDer;

use crate::SpkiPin;

/// The certificate whose key the peer proved to hold, and the CA that vouched for it.
///
/// It is parsed once, when the handshake is done; none of its accessors fails. There is no common name among them, on
/// purpose: what identifies a peer is a subjectAltName or the key, and the CA that vouched for it.
///
/// Comparing texts of two peers is only as good as their CAs: a name means what the CA that issued it says it means.
/// An app that trusts several CAs looks at [`ca`](Self::ca) first.
///
/// ```
/// use degu_tls::PeerIdentity;
///
/// fn may_write(peer: Option<&PeerIdentity>) -> bool {
///     peer.is_some_and(|peer| peer.ca() == Some("operators"))
/// }
/// assert!(!may_write(None));
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct PeerIdentity {
    pub(crate) ca: Option<VouchedBy>,
    pub(crate) spki: SpkiPin,
    pub(crate) dns_names: Box<[Box<str>]>,
    pub(crate) uri_names: Box<[Box<str>]>,
    pub(crate) serial: Box<[u8]>,
    pub(crate) subject: Box<[u8]>,
    /// The chain that the peer sent, the leaf first; never empty.
    pub(crate) chain: Box<[CertificateDer<'static>]>,
}

/// The anchor at the end of the verified path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct VouchedBy {
    pub(crate) label: std::sync::Arc<str>,
    pub(crate) spki: SpkiPin,
}

impl PeerIdentity {
    /// Returns the label of the CA that vouched for the peer: the stem of the file that it came from, or what
    /// [`Cas::add`](crate::Cas::add) was given. `None` if the peer was verified by its pinned key or by the system.
    pub fn ca(&self) -> Option<&str> {
        self.ca.as_ref().map(|ca| &*ca.label)
    }

    /// Returns the SHA-256 of that CA's SubjectPublicKeyInfo, which stays the same when the CA's certificate is renewed or
    /// its file is renamed.
    pub fn ca_spki_sha256(&self) -> Option<[u8; 32]> {
        self.ca.as_ref().map(|ca| *ca.spki.as_bytes())
    }

    /// Returns the SHA-256 of the peer's own SubjectPublicKeyInfo, which stays the same when its certificate is renewed for
    /// the same key.
    pub fn spki_sha256(&self) -> [u8; 32] {
        *self.spki.as_bytes()
    }

    /// Returns the same as a pin, to be written down or compared.
    pub fn pin(&self) -> SpkiPin {
        self.spki
    }

    /// Returns the DNS names among the subjectAltNames, in order; `*.example.com` as it stands. Names that are no DNS names
    /// are left out.
    pub fn dns_names(&self) -> impl ExactSizeIterator<Item = &str> {
        self.dns_names.iter().map(|name| &**name)
    }

    /// Returns the URIs among the subjectAltNames, in order, as they stand: nothing but UTF-8 is promised.
    pub fn uri_names(&self) -> impl ExactSizeIterator<Item = &str> {
        self.uri_names.iter().map(|name| &**name)
    }

    /// Returns the serial number as the certificate has it: big-endian, two's complement. It is unique only together with
    /// its issuer.
    pub fn serial(&self) -> &[u8] {
        &self.serial
    }

    /// Returns the content of the subject in DER, without its outer SEQUENCE; empty where the names stand in
    /// subjectAltName.
    pub fn subject_der(&self) -> &[u8] {
        &self.subject
    }

    /// Returns the peer's own certificate.
    pub fn leaf(&self) -> &CertificateDer<'static> {
        &self.chain[0]
    }

    /// Returns all certificates that the peer sent, its own first. Only its own is known to be verified: the path to
    /// [`ca`](Self::ca) may use fewer of the others, in another order.
    pub fn chain(&self) -> &[CertificateDer<'static>] {
        &self.chain
    }
}

impl fmt::Debug for PeerIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PeerIdentity")
            .field("ca", &self.ca())
            .field("spki", &self.spki)
            .field("dns_names", &self.dns_names)
            .field("uri_names", &self.uri_names)
            .field("subject", &crate::der::name(&self.subject))
            .finish_non_exhaustive()
    }
}
