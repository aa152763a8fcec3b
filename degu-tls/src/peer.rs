//! The identity of a peer.

use std::fmt;
use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use rustls_pki_types::{CertificateDer, UnixTime};

use crate::SpkiPin;
use crate::x509;

/// The certificate of a peer, and the CA that vouched for the peer. The peer has proved that it holds the key of the
/// certificate.
///
/// An app identifies a peer by a subjectAltName or by the peer's key, together with the CA that vouched for the peer.
/// Therefore there is no accessor for the common name. [`subject`](Self::subject) and [`issuer`](Self::issuer) are for
/// logs.
///
/// A name is only as trustworthy as the CA that issued the certificate. An app that trusts several CAs sets their
/// [labels](crate::CaSet::labelled), and checks [`ca`](Self::ca) before it compares names.
///
/// ```
/// use degu_tls::PeerIdentity;
///
/// fn may_write(peer: Option<&PeerIdentity>) -> bool {
///     peer.is_some_and(|peer| peer.ca() == Some("operators"))
/// }
/// assert!(!may_write(None));
///
/// /// Returns a line for a log: `CN=device-7,O=Example, issued by CN=Machines, sha256 5891b5b5…`.
/// fn line(peer: &PeerIdentity) -> String {
///     format!("{}, issued by {}, sha256 {}", peer.subject(), peer.issuer(), peer.sha256())
/// }
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct PeerIdentity {
    pub(crate) ca: Option<VouchedBy>,
    pub(crate) pin: SpkiPin,
    pub(crate) sha256: Fingerprint,
    pub(crate) dns_names: Box<[Box<str>]>,
    pub(crate) uri_names: Box<[Box<str>]>,
    /// The certificates that the peer sent, its own first. There is at least one.
    pub(crate) chain: Box<[CertificateDer<'static>]>,
}

/// The trusted CA that vouched for a peer: the end of the verified chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct VouchedBy {
    pub(crate) label: std::sync::Arc<str>,
    pub(crate) pin: SpkiPin,
}

impl PeerIdentity {
    /// Returns the label of the CA that vouched for the peer. If the program has not [set](crate::CaSet::labelled) a
    /// label, the label is the CA's common name, or its whole name if it has no common name. Returns `None` if the peer
    /// was verified by its pinned key or by the system.
    pub fn ca(&self) -> Option<&str> {
        self.ca.as_ref().map(|ca| &*ca.label)
    }

    /// Returns the pin of the CA that vouched for the peer. The pin stays the same when the CA's certificate is renewed
    /// for the same key. Returns `None` if [`ca`](Self::ca) returns `None`.
    pub fn ca_pin(&self) -> Option<SpkiPin> {
        self.ca.as_ref().map(|ca| ca.pin)
    }

    /// Returns the pin of the peer's own key. The pin stays the same when the peer's certificate is renewed for the same
    /// key. A client can pass the pin to [`ClientTls::pinned`](crate::ClientTls::pinned).
    pub fn pin(&self) -> SpkiPin {
        self.pin
    }

    /// Returns the DNS names among the subjectAltNames, in order. Wildcards such as `*.example.com` are included. Names
    /// that are not valid DNS names are left out.
    pub fn dns_names(&self) -> impl ExactSizeIterator<Item = &str> {
        self.dns_names.iter().map(|name| &**name)
    }

    /// Returns the URIs among the subjectAltNames, in order. They are UTF-8, but their syntax was not checked.
    pub fn uri_names(&self) -> impl ExactSizeIterator<Item = &str> {
        self.uri_names.iter().map(|name| &**name)
    }

    /// Returns the IP addresses among the subjectAltNames, in order.
    pub fn ip_names(&self) -> impl Iterator<Item = IpAddr> {
        self.alt_names(7).filter_map(|name| {
            let (v4, v6) = (<[u8; 4]>::try_from(name).map(IpAddr::from), <[u8; 16]>::try_from(name).map(IpAddr::from));
            v4.or(v6).ok()
        })
    }

    /// Returns the e-mail addresses among the subjectAltNames (`rfc822Name`), in order. Their syntax was not checked.
    /// Addresses with characters other than printable ASCII are left out.
    pub fn email_names(&self) -> impl Iterator<Item = &str> {
        let is_printable = |name: &&str| name.bytes().all(|byte| matches!(byte, b' '..=b'~'));
        self.alt_names(1).filter_map(|name| str::from_utf8(name).ok()).filter(is_printable)
    }

    /// Returns the subject as text for a log, in the form of RFC 4514: `CN=device-7,O=Example`. If the
    /// text would have more than 160 characters, the rest is replaced by `…`. Characters that are unsafe in a log line
    /// are escaped as `\XX`. If the subject is empty, the text is `an empty name`.
    ///
    /// Do not compare this text, because two different subjects may have the same text.
    pub fn subject(&self) -> String {
        x509::name(self.subject_der())
    }

    /// Returns the name of the CA that issued the certificate, as text in the form of [`subject`](Self::subject). This
    /// CA may be an intermediate CA. [`ca`](Self::ca) returns the trusted CA at the end of the chain.
    pub fn issuer(&self) -> String {
        self.fields().map(|fields| x509::name(fields.issuer)).unwrap_or_default()
    }

    /// Returns the SHA-256 of the certificate, which `openssl x509 -fingerprint -sha256` and browsers also show. Each
    /// renewal of the certificate changes the hash. A renewal for the same key does not change the [`pin`](Self::pin).
    pub fn sha256(&self) -> Fingerprint {
        self.sha256
    }

    /// Returns the time at which the validity of the certificate begins. Returns `None` if a date of the certificate is
    /// malformed (RFC 5280 §4.1.2.5) or before 1970. Only a server whose key is pinned can have such a certificate.
    pub fn not_before(&self) -> Option<SystemTime> {
        self.validity().and_then(|(from, _)| system_time(from))
    }

    /// Returns the last second in which the certificate is valid. Returns `None` if [`not_before`](Self::not_before)
    /// returns `None`.
    ///
    /// ```
    /// use std::time::{Duration, SystemTime};
    ///
    /// use degu_tls::PeerIdentity;
    ///
    /// /// Returns whether the certificate expires within a week.
    /// fn is_late(peer: &PeerIdentity) -> bool {
    ///     let soon = SystemTime::now() + Duration::from_secs(7 * 86_400);
    ///     peer.not_after().is_some_and(|end| end < soon)
    /// }
    /// ```
    pub fn not_after(&self) -> Option<SystemTime> {
        self.validity().and_then(|(_, until)| system_time(until))
    }

    fn validity(&self) -> Option<(UnixTime, UnixTime)> {
        self.fields()?.validity()
    }

    fn fields(&self) -> Option<x509::Fields<'_>> {
        x509::fields(self.leaf())
    }

    fn alt_names(&self, kind: u32) -> impl Iterator<Item = &[u8]> {
        self.fields().into_iter().flat_map(move |fields| fields.alt_names(kind))
    }

    /// Returns the bytes of the serial number, as a big-endian number in two's complement. Two CAs may issue certificates
    /// with the same number.
    pub fn serial(&self) -> &[u8] {
        self.fields().map_or(&[], |fields| fields.serial)
    }

    /// Returns the content of the subject in DER, without the outer SEQUENCE. The subject is empty if the certificate has
    /// its names only in subjectAltName.
    pub fn subject_der(&self) -> &[u8] {
        self.fields().map_or(&[], |fields| fields.subject)
    }

    /// Returns the peer's own certificate.
    pub fn leaf(&self) -> &CertificateDer<'static> {
        &self.chain[0]
    }

    /// Returns all certificates that the peer sent, its own first. The others may be unverified, because the chain to
    /// [`ca`](Self::ca) need not contain all of them.
    pub fn chain(&self) -> &[CertificateDer<'static>] {
        &self.chain
    }
}

impl fmt::Debug for PeerIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PeerIdentity")
            .field("ca", &self.ca())
            .field("pin", &self.pin)
            .field("dns_names", &self.dns_names)
            .field("uri_names", &self.uri_names)
            .field("subject", &self.subject())
            .finish_non_exhaustive()
    }
}

fn system_time(time: UnixTime) -> Option<SystemTime> {
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(time.as_secs()))
}

/// The SHA-256 of a certificate in DER. Its text is 64 lower-case hexadecimal digits, like the output of `sha256sum`.
///
/// ```
/// use degu_tls::Fingerprint;
///
/// let fingerprint = Fingerprint::from_sha256([0xab; 32]);
/// assert_eq!(fingerprint.to_string(), "ab".repeat(32));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// Makes a fingerprint from a SHA-256 hash.
    pub const fn from_sha256(hash: [u8; 32]) -> Self {
        Self(hash)
    }

    /// Returns the 32 bytes of the hash.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
