//! The checks of a single certificate that do not depend on its issuer: form, dates, purpose, and strength of the key.

use rustls_pki_types::{CertificateDer, UnixTime};
use webpki::EndEntityCert;

use super::Side;
use super::classify::classify;
use crate::error::{Error, Kind};
use crate::x509;

/// Checks a certificate without its issuer, and returns the first fault. If there is no fault, returns `UnknownIssuer`.
///
/// webpki is called without a trust anchor, and checks in this order: the dates, whether the certificate is a CA
/// certificate (`CaUsedAsEndEntity`), the extended key usage. Then webpki fails with `UnknownIssuer`.
pub(super) fn fitness(certificate: &EndEntityCert<'_>, now: UnixTime, side: Side) -> webpki::Error {
    match certificate.verify_for_usage(&[], &[], &[], now, side.usage(), None, None) {
        Err(error) => error,
        // This cannot occur, because without an anchor there is no path.
        Ok(_) => webpki::Error::UnknownIssuer,
    }
}

/// Parses a certificate of an identity or of a CA. `what` names the certificate in errors, such as `certificate 2 of
/// chain.pem`.
pub(crate) fn parse<'a>(der: &'a CertificateDer<'_>, what: &str) -> Result<EndEntityCert<'a>, Error> {
    EndEntityCert::try_from(der).map_err(|error| {
        let subject = x509::subject(der).map(x509::name).unwrap_or_default();
        let refused = match error {
            webpki::Error::UnsupportedCertVersion => Error::advised(
                Kind::Malformed,
                format!(
                    "{what} ({subject}) is X.509 version 1 or 2, which has no extensions: issue it as version 3 \
                     (with `openssl x509 -req`, use `-extfile`)"
                ),
            ),
            _ => Error::caller(Kind::Malformed, format!("{what} is malformed ({error})")),
        };
        refused.with_source(error)
    })
}

/// Returns the first fault that [`fitness`] finds in a certificate of an identity or of a CA. Returns an error for
/// wrong dates and for a weak key. `what` is the name of the certificate in the error. With `any_time`, `now` is
/// replaced by the nearest time at which the certificate is in date.
pub(crate) fn own_fitness(
    certificate: &EndEntityCert<'_>,
    what: &str,
    now: UnixTime,
    side: Side,
    any_time: bool,
) -> Result<webpki::Error, Error> {
    if let Some(bits) = weak_rsa(certificate) {
        return Err(Error::caller(Kind::WeakKey, format!("{what} has an RSA key of {bits} bits")));
    }
    let found = match fitness(certificate, now, side) {
        webpki::Error::CertExpired { not_after, .. } if any_time => fitness(certificate, not_after, side),
        webpki::Error::CertNotValidYet { not_before, .. } if any_time => fitness(certificate, not_before, side),
        found => found,
    };
    match out_of_date(&found) {
        Some(text) => Err(Error::caller(classify(found).0, format!("{what} {text}"))),
        None => Ok(found),
    }
}

/// Returns the text for an error about the dates of a certificate, such as `expired on …`. The caller writes the name
/// of the certificate before this text. Returns `None` for other errors.
pub(super) fn out_of_date(error: &webpki::Error) -> Option<String> {
    match error {
        webpki::Error::CertExpired { not_after, .. } => Some(format!("expired on {}", x509::date(*not_after))),
        webpki::Error::CertNotValidYet { not_before, .. } => {
            Some(format!("is not valid before {}", x509::date(*not_before)))
        }
        _ => None,
    }
}

/// Returns the length of the certificate's RSA key in bits, if it is under 2048 bits. webpki does not refuse such a key
/// in a peer's own certificate.
pub(super) fn weak_rsa(certificate: &EndEntityCert<'_>) -> Option<usize> {
    x509::rsa_bits(&certificate.subject_public_key_info()).filter(|bits| *bits < 2048)
}
