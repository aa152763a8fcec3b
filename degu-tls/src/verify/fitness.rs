//! The checks of a single certificate that do not depend on its issuer: its form, its dates, its purpose, and the strength
//! of its key.

use rustls_pki_types::{CertificateDer, UnixTime};
use webpki::EndEntityCert;

use super::Side;
use crate::der;
use crate::error::{Error, Kind};

/// Returns the first fault of a certificate apart from its issuer. webpki finds it when it gets no trust anchor.
///
/// webpki checks the validity first, then whether the certificate is a CA's (`CaUsedAsEndEntity`), then the extended key
/// usage. A certificate that passes all of these returns `UnknownIssuer`.
pub(super) fn fitness(certificate: &EndEntityCert<'_>, now: UnixTime, side: Side) -> webpki::Error {
    match certificate.verify_for_usage(&[], &[], &[], now, side.usage(), None, None) {
        Err(error) => error,
        // Without an anchor there is no path.
        Ok(_) => webpki::Error::UnknownIssuer,
    }
}

/// Parses a certificate of this side. `what` is its name in errors, such as `certificate 2 of chain.pem`.
pub(crate) fn parse<'a>(der: &'a CertificateDer<'_>, what: &str) -> Result<EndEntityCert<'a>, Error> {
    EndEntityCert::try_from(der).map_err(|error| {
        let subject = der::subject(der).map(der::name).unwrap_or_default();
        let refused = match error {
            webpki::Error::UnsupportedCertVersion => Error::advised(
                Kind::Malformed,
                format!(
                    "{what} ({subject}) is X.509 version 1 or 2, which cannot say what it is for: issue it as version 3 \
                     (`openssl x509 -req` does with `-extfile`)"
                ),
            ),
            _ => Error::caller(Kind::Malformed, format!("{what} is malformed ({error})")),
        };
        refused.with_source(error)
    })
}

/// Returns the [`fitness`] of a certificate of this side, which must be in date and must not have a weak key. `what` is its name
/// in errors. With `any_time` it is checked at the nearest time at which it is in date.
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
        Some((kind, text)) => Err(Error::caller(kind, format!("{what} {text}"))),
        None => Ok(found),
    }
}

/// Returns the kind of an error about dates, and the text that follows the name of the certificate.
pub(super) fn out_of_date(error: &webpki::Error) -> Option<(Kind, String)> {
    match error {
        webpki::Error::CertExpired { not_after, .. } => {
            Some((Kind::Expired, format!("expired on {}", der::date(*not_after))))
        }
        webpki::Error::CertNotValidYet { not_before, .. } => {
            Some((Kind::NotYetValid, format!("is not valid before {}", der::date(*not_before))))
        }
        _ => None,
    }
}

/// Returns the size of an RSA key under 2048 bits, which webpki itself does not refuse in a leaf.
pub(super) fn weak_rsa(certificate: &EndEntityCert<'_>) -> Option<usize> {
    der::rsa_bits(&certificate.subject_public_key_info()).filter(|bits| *bits < 2048)
}
