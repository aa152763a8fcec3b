//! Refusals. An error of webpki is turned into an alert for the peer, and into an error with a text for the caller.

use rustls::CertificateError;
use rustls_pki_types::{CertificateDer, ServerName};
use webpki::{EndEntityCert, Error as Pki};

use super::classify::classify;
use super::fitness::{fitness, out_of_date, weak_rsa};
use super::{Side, Store};
use crate::error::{Error, Kind, listed};
use crate::pin::SpkiPin;
use crate::x509;

/// The refusal of a peer.
#[derive(Debug)]
pub(crate) struct Refusal {
    /// The error for the caller.
    pub(crate) error: Error,
    /// The error for rustls. rustls derives the alert to the peer from this error.
    pub(crate) for_rustls: CertificateError,
}

/// The chain that a peer sent, and the CAs with which the chain was verified.
pub(super) struct Chain<'a> {
    pub(super) peer: Side,
    /// The peer's own certificate, or `None` if it cannot be parsed.
    pub(super) leaf: Option<&'a EndEntityCert<'a>>,
    pub(super) intermediates: &'a [CertificateDer<'a>],
    pub(super) store: Option<&'a Store>,
}

impl Chain<'_> {
    /// Returns a text such as `the certificate of the client (CN=device-7)`.
    fn subject(&self) -> String {
        match self.leaf {
            Some(leaf) => format!("the certificate of the {} ({})", self.peer, x509::name(leaf.subject())),
            None => format!("the certificate of the {}", self.peer),
        }
    }

    /// Returns a text that names the certificate with this error. webpki does not tell which certificate of the chain
    /// has the error, so each certificate is checked alone. If none has the error, the text names an `unknown`
    /// intermediate CA.
    fn culprit(&self, error: &Pki, time: rustls_pki_types::UnixTime) -> String {
        let is = |parsed: &EndEntityCert<'_>| fitness(parsed, time, self.peer) == *error;
        if self.leaf.is_some_and(is) {
            return self.subject();
        }
        let name = self.sent().find(is).map_or_else(|| "unknown".into(), |parsed| x509::name(parsed.subject()));
        format!("the certificate of an intermediate CA ({name}) that the {} sent", self.peer)
    }

    /// Returns the refusal for an error of webpki.
    pub(super) fn refuse(&self, error: Pki) -> Refusal {
        let (kind, for_rustls) = classify(error.clone());
        let (kind, text) = self.explain(kind, &error);
        Refusal { error: Error::peer(kind, text), for_rustls }
    }

    /// Returns the refusal for an RSA key that is too short. `bits` is the length of the key.
    pub(super) fn refuse_weak_key(&self, bits: usize) -> Refusal {
        let text = format!("{} has an RSA key of {bits} bits", self.subject());
        // rustls sends the alert unsupported_certificate: "a certificate was of an unsupported type" (RFC 8446 §6.2).
        Refusal { error: Error::peer(Kind::WeakKey, text), for_rustls: CertificateError::InvalidPurpose }
    }

    /// Returns the refusal for a key that is not pinned. `pin` is the pin of the key.
    pub(super) fn refuse_key(&self, pin: SpkiPin) -> Refusal {
        let text = format!("the key of {} is not pinned; its pin is {pin}", self.subject());
        // rustls sends the alert access_denied (RFC 8446 §6.2): "a valid certificate […] was received, but when access
        // control was applied, the sender decided not to proceed".
        Refusal { error: Error::peer(Kind::Pin, text), for_rustls: CertificateError::ApplicationVerificationFailure }
    }

    /// Returns the refusal for an error of the platform's verifier.
    #[cfg(feature = "system")]
    pub(super) fn refuse_for_system(&self, error: rustls::Error) -> Refusal {
        use CertificateError as C;
        let subject = self.subject();
        let text = format!("{subject} is not accepted by the system ({error})");
        let (kind, error) = match error {
            rustls::Error::InvalidCertificate(error) => (super::classify::kind_of(&error), error),
            error => (Kind::Malformed, C::Other(rustls::OtherError(std::sync::Arc::new(error)))),
        };
        let (text, for_rustls) = match error {
            // This error contains all names of the certificate, unescaped. The error for rustls must not contain these
            // names.
            C::NotValidForNameContext { expected, presented } => {
                (self.wrong_name(&expected, &presented), C::NotValidForName)
            }
            _ if kind == Kind::Purpose => {
                (format!("{subject} is not for a server (extended key usage)"), C::InvalidPurpose)
            }
            error => (text, error),
        };
        Refusal { error: Error::peer(kind, text), for_rustls }
    }

    /// Returns the text for a certificate that is not for the expected name.
    fn wrong_name(&self, expected: &ServerName<'_>, presented: &[String]) -> String {
        let names: Vec<_> = presented.iter().map(|name| plain(&shown(name, expected))).collect();
        let names = if names.is_empty() { "no name at all".into() } else { listed(names) };
        format!("{} is not for {}; it is for {names}", self.subject(), plain(&expected.to_str()))
    }

    /// Returns the text for an error of webpki, and a more exact kind if the chain shows the cause of the error.
    fn explain(&self, kind: Kind, error: &Pki) -> (Kind, String) {
        let subject = self.subject();
        let text = match error {
            Pki::CertExpired { time, .. } | Pki::CertNotValidYet { time, .. } => {
                format!("{} {}", self.culprit(error, *time), out_of_date(error).unwrap_or_default())
            }
            Pki::InvalidCertValidity => {
                format!("{subject}, or a CA in its chain, has a validity period that ends before it begins")
            }
            Pki::CertNotValidForName(context) => self.wrong_name(&context.expected, &context.presented),
            Pki::UnsupportedNameType => format!("{subject} cannot be checked without a name"),
            Pki::CertRevoked if self.intermediates.is_empty() => format!("{subject} was revoked"),
            Pki::CertRevoked => format!("{subject}, or the certificate of a CA in its chain, was revoked"),
            Pki::UnknownRevocationStatus => {
                format!("revocation status unknown: no revocation list covers {subject} or a CA in its chain")
            }
            Pki::CrlExpired { next_update, .. } => {
                let date = x509::date(*next_update);
                format!("the revocation list for {subject} or for a CA in its chain expired on {date}")
            }
            Pki::CaUsedAsEndEntity => format!("{subject} is a CA's certificate"),
            Pki::UnsupportedCriticalExtension => {
                format!("{subject}, or a CA in its chain, has an unknown critical extension")
            }
            error => match kind {
                Kind::Crl => {
                    format!("cannot use the revocation list for {subject} or for a CA in its chain ({error})")
                }
                Kind::UnknownIssuer => return self.unknown_issuer(subject),
                Kind::Signature => return self.bad_signature(&subject),
                Kind::Algorithm => {
                    format!("a signature in the chain of {subject} uses an algorithm that is not supported")
                }
                Kind::Purpose => {
                    format!("{subject}, or a CA in its chain, is not for a {} (extended key usage)", self.peer)
                }
                Kind::Malformed => format!("{subject} or its chain is malformed ({error})"),
                _ => format!("{subject} does not meet a constraint of a CA in its chain ({error})"),
            },
        };
        (kind, text)
    }

    /// Returns the intermediate certificates that the peer sent and that can be parsed.
    fn sent(&self) -> impl Iterator<Item = EndEntityCert<'_>> {
        self.intermediates.iter().filter_map(|der| EndEntityCert::try_from(der).ok())
    }

    /// Returns the kind and the text for an unknown issuer. webpki has one error for several causes. The text tells the cause: a
    /// wrong CA, a missing intermediate certificate, or a self-signed certificate.
    fn unknown_issuer(&self, subject: String) -> (Kind, String) {
        let Some(leaf) = self.leaf else { return (Kind::UnknownIssuer, subject) };
        if leaf.issuer() == leaf.subject() {
            return (Kind::SelfSigned, format!("{subject} is self-signed"));
        }
        // Follows the names of the issuers through the certificates that the peer sent. The loop ends, because each
        // certificate is used only once.
        let mut sent: Vec<_> = self.sent().collect();
        let mut issuer = leaf.issuer().to_vec();
        while let Some(next) = sent.iter().position(|parsed| parsed.subject() == issuer) {
            issuer = sent.swap_remove(next).issuer().to_vec();
        }
        let name = x509::name(&issuer);
        let cas = self.store.map_or("the trusted CAs", |store| &store.cas);
        let text = if let Some(why) = self.store.and_then(|store| store.left_out(&issuer)) {
            format!("{subject} has a chain that ends at {name}, which is among {cas} but is not trusted: {why}")
        } else if self.store.is_some_and(|store| store.named(&issuer).is_some()) {
            format!(
                "{subject} has a chain that ends at {name}, which is among {cas}, but an intermediate certificate is not a \
                 CA certificate"
            )
        } else if self.intermediates.is_empty() {
            let peer = self.peer;
            format!(
                "{subject} has a chain that ends at {name}, which is not among {cas}, and the {peer} sent no \
                 intermediate certificate"
            )
        } else {
            format!("{subject} has a chain that ends at {name}, which is not among {cas}")
        };
        (Kind::UnknownIssuer, text)
    }

    /// Returns the kind and the text for a wrong signature. webpki has one error for several causes. The text
    /// distinguishes two causes from the others: a weak key, and another CA with the same name.
    fn bad_signature(&self, subject: &str) -> (Kind, String) {
        if let Some((bits, ca)) =
            self.sent().find_map(|parsed| Some((weak_rsa(&parsed)?, x509::name(parsed.subject()))))
        {
            return (Kind::WeakKey, format!("the CA {ca} in the chain of {subject} has an RSA key of {bits} bits"));
        }
        let issuer = self.leaf.map_or(&[][..], |leaf| leaf.issuer());
        let text = match self.store.and_then(|store| store.named(issuer)) {
            Some(label) => {
                let name = x509::name(issuer);
                format!("{subject} names the CA {label} ({name}) as its issuer, but that CA's key did not sign it")
            }
            None => format!("a signature in the chain of {subject} is wrong"),
        };
        (Kind::Signature, text)
    }
}

/// Returns the name inside a text of webpki such as `DnsName("host.example")` or `IpAddress(192.0.2.1)`.
fn shown(name: &str, expected: &ServerName<'_>) -> String {
    let inner = name.split_once('(').and_then(|(_, rest)| rest.strip_suffix(')'));
    let inner = inner.unwrap_or(name).trim_matches('"');
    // A common mistake is an IP address in a DNS name. The text must show the mistake, because the address alone would
    // look right.
    let mistaken = name.starts_with("DnsName") && matches!(expected, ServerName::IpAddress(_));
    if mistaken { format!("{inner} as a DNS name") } else { inner.into() }
}

/// Returns at most 80 characters of a name that the peer sent, in a form that is safe to log.
fn plain(name: &str) -> String {
    name.chars().take(80).map(x509::printable).collect()
}
