//! The kinds of the errors of webpki, of rustls and of the platform's verifier.

use std::sync::Arc;

use rustls::{CertificateError, OtherError};
use webpki::Error as Pki;

use crate::error::Kind;

/// Returns the kind of a webpki error, and the error for rustls, from which rustls derives the alert. The conversion of
/// webpki errors inside rustls is private, and leads to `certificate_unknown` for many of them.
pub(super) fn classify(error: Pki) -> (Kind, CertificateError) {
    use CertificateError as C;
    match error {
        Pki::CertExpired { .. } => (Kind::Expired, C::Expired),
        Pki::CertNotValidYet { .. } => (Kind::NotYetValid, C::NotValidYet),
        Pki::InvalidCertValidity => (Kind::Malformed, C::Expired),
        Pki::CertNotValidForName(_) => (Kind::Name, C::NotValidForName),
        Pki::UnsupportedNameType => (Kind::NameMissing, C::NotValidForName),
        Pki::CertRevoked => (Kind::Revoked, C::Revoked),
        Pki::CrlExpired { .. } => (Kind::CrlExpired, C::ExpiredRevocationList),
        Pki::UnknownRevocationStatus => (Kind::RevocationUnknown, C::UnknownRevocationStatus),
        // A revocation list is a file of this side. The peer therefore learns only that the status of its certificate
        // is unknown.
        Pki::InvalidCrlNumber
        | Pki::InvalidCrlSignatureForPublicKey
        | Pki::IssuerNotCrlSigner
        | Pki::UnsupportedCrlIssuingDistributionPoint
        | Pki::UnsupportedCrlVersion
        | Pki::UnsupportedDeltaCrl
        | Pki::UnsupportedIndirectCrl
        | Pki::UnsupportedRevocationReason
        | Pki::UnsupportedRevocationReasonsPartitioning
        | Pki::UnsupportedCrlSignatureAlgorithmContext(_)
        | Pki::UnsupportedCrlSignatureAlgorithmForPublicKeyContext(_) => (Kind::Crl, C::UnknownRevocationStatus),
        Pki::UnknownIssuer | Pki::EndEntityUsedAsCa | Pki::CertDistrusted => (Kind::UnknownIssuer, C::UnknownIssuer),
        Pki::InvalidSignatureForPublicKey | Pki::SignatureAlgorithmMismatch => (Kind::Signature, C::BadSignature),
        Pki::UnsupportedSignatureAlgorithmContext(_) | Pki::UnsupportedSignatureAlgorithmForPublicKeyContext(_) => {
            (Kind::Algorithm, C::BadSignature)
        }
        Pki::RequiredEkuNotFoundContext(_) | Pki::EmptyEkuExtension => (Kind::Purpose, C::InvalidPurpose),
        Pki::CaUsedAsEndEntity => (Kind::CaAsLeaf, C::InvalidPurpose),
        Pki::UnsupportedCriticalExtension => (Kind::Malformed, C::UnhandledCriticalExtension),
        Pki::BadDer
        | Pki::BadDerTime
        | Pki::ExtensionValueInvalid
        | Pki::InvalidNetworkMaskConstraint
        | Pki::InvalidSerialNumber
        | Pki::MalformedDnsIdentifier
        | Pki::MalformedExtensions
        | Pki::MalformedNameConstraint
        | Pki::TrailingData(_)
        | Pki::UnsupportedCertVersion => (Kind::Malformed, C::BadEncoding),
        // All other errors are about constraints or limits, or come from a later version of webpki. The alert is
        // certificate_unknown.
        error => (Kind::Constraint, C::Other(OtherError(Arc::new(error)))),
    }
}

/// Returns the kind of an error that rustls or the platform's verifier found.
pub(crate) fn kind_of(error: &CertificateError) -> Kind {
    use CertificateError as C;
    match error {
        C::BadEncoding | C::UnhandledCriticalExtension => Kind::Malformed,
        C::Expired | C::ExpiredContext { .. } => Kind::Expired,
        C::NotValidYet | C::NotValidYetContext { .. } => Kind::NotYetValid,
        C::Revoked => Kind::Revoked,
        C::UnknownIssuer => Kind::UnknownIssuer,
        C::UnknownRevocationStatus => Kind::RevocationUnknown,
        C::ExpiredRevocationList | C::ExpiredRevocationListContext { .. } => Kind::CrlExpired,
        C::BadSignature => Kind::Signature,
        C::UnsupportedSignatureAlgorithmContext { .. } | C::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => {
            Kind::Algorithm
        }
        C::NotValidForName | C::NotValidForNameContext { .. } => Kind::Name,
        C::InvalidPurpose | C::InvalidPurposeContext { .. } => Kind::Purpose,
        C::ApplicationVerificationFailure => Kind::Pin,
        // The platform's verifier may return a private type for a wrong extended key usage. The type can be recognised only
        // by its text.
        C::Other(OtherError(error)) if error.to_string() == "certificate had invalid extensions" => Kind::Purpose,
        _ => Kind::Constraint,
    }
}
