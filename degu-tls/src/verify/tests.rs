//! Tests of code that a handshake cannot reach: the mapping of webpki's errors, and the system's verifier.

use std::sync::Arc;

use rustls::{AlertDescription, CertificateError, OtherError};
use rustls_pki_types::{ServerName, UnixTime};
use webpki::{Error as Pki, InvalidNameContext};

use super::Side;
use super::classify::kind_of;
use super::refusal::{Chain, Refusal};
use crate::error::Kind;

/// Returns the refusal of a client for an error of webpki. The client sent no valid certificate, so the text has no subject.
fn refuse(error: Pki) -> Refusal {
    Chain { peer: Side::Client, leaf: None, intermediates: &[], store: None }.refuse(error)
}

#[test]
fn each_error_has_its_alert() {
    use AlertDescription as A;
    let time = UnixTime::now();
    for (wanted, errors) in [
        (
            A::CertificateExpired,
            vec![
                Pki::CertExpired { time, not_after: time },
                Pki::CertNotValidYet { time, not_before: time },
                Pki::InvalidCertValidity,
            ],
        ),
        (
            A::BadCertificate,
            vec![
                Pki::UnsupportedNameType,
                Pki::UnsupportedCriticalExtension,
                Pki::BadDer,
                Pki::BadDerTime,
                Pki::ExtensionValueInvalid,
                Pki::InvalidNetworkMaskConstraint,
                Pki::InvalidSerialNumber,
                Pki::MalformedDnsIdentifier,
                Pki::MalformedExtensions,
                Pki::MalformedNameConstraint,
                Pki::UnsupportedCertVersion,
            ],
        ),
        (A::CertificateRevoked, vec![Pki::CertRevoked]),
        (
            A::UnknownCA,
            vec![
                Pki::UnknownIssuer,
                Pki::EndEntityUsedAsCa,
                Pki::CertDistrusted,
                Pki::CrlExpired { time, next_update: time },
                Pki::UnknownRevocationStatus,
                Pki::InvalidCrlNumber,
                Pki::InvalidCrlSignatureForPublicKey,
                Pki::IssuerNotCrlSigner,
                Pki::UnsupportedCrlIssuingDistributionPoint,
                Pki::UnsupportedCrlVersion,
                Pki::UnsupportedDeltaCrl,
                Pki::UnsupportedIndirectCrl,
                Pki::UnsupportedRevocationReason,
                Pki::UnsupportedRevocationReasonsPartitioning,
            ],
        ),
        (A::DecryptError, vec![Pki::InvalidSignatureForPublicKey, Pki::SignatureAlgorithmMismatch]),
        (A::UnsupportedCertificate, vec![Pki::EmptyEkuExtension, Pki::CaUsedAsEndEntity]),
        (
            A::CertificateUnknown,
            vec![
                Pki::NameConstraintViolation,
                Pki::PathLenConstraintViolated,
                Pki::MaximumPathDepthExceeded,
                Pki::MaximumSignatureChecksExceeded,
                Pki::MaximumPathBuildCallsExceeded,
                Pki::MaximumNameConstraintComparisonsExceeded,
            ],
        ),
    ] {
        for error in errors {
            assert_eq!(AlertDescription::from(refuse(error.clone()).for_rustls), wanted, "{error:?}");
        }
    }
}

#[test]
fn each_error_has_its_kind() {
    let time = UnixTime::now();
    for (wanted, errors) in [
        (Kind::Malformed, vec![Pki::BadDer, Pki::UnsupportedCriticalExtension, Pki::InvalidCertValidity]),
        (Kind::Expired, vec![Pki::CertExpired { time, not_after: time }]),
        (Kind::NotYetValid, vec![Pki::CertNotValidYet { time, not_before: time }]),
        (Kind::NameMissing, vec![Pki::UnsupportedNameType]),
        (Kind::Revoked, vec![Pki::CertRevoked]),
        (Kind::RevocationUnknown, vec![Pki::UnknownRevocationStatus]),
        (Kind::CrlExpired, vec![Pki::CrlExpired { time, next_update: time }]),
        (Kind::Crl, vec![Pki::UnsupportedDeltaCrl, Pki::IssuerNotCrlSigner]),
        (Kind::UnknownIssuer, vec![Pki::UnknownIssuer, Pki::CertDistrusted, Pki::EndEntityUsedAsCa]),
        (Kind::Signature, vec![Pki::InvalidSignatureForPublicKey, Pki::SignatureAlgorithmMismatch]),
        (Kind::Purpose, vec![Pki::EmptyEkuExtension]),
        (Kind::CaAsLeaf, vec![Pki::CaUsedAsEndEntity]),
        (Kind::Constraint, vec![Pki::NameConstraintViolation, Pki::MaximumSignatureChecksExceeded]),
    ] {
        for error in errors {
            let text = format!("{error:?}");
            let found = refuse(error).error;
            assert_eq!(found.kind(), wanted, "{text}");
            assert!(
                found.to_string().contains("the certificate of the client")
                    || wanted == Kind::Expired
                    || wanted == Kind::NotYetValid,
                "{found}"
            );
        }
    }
}

#[test]
fn names_of_a_certificate_are_escaped_and_few() {
    let expected = || ServerName::try_from("host.example").unwrap();
    let presented = || vec!["DnsName(\"a\x1b[2J.example\")".to_owned(); 1000];
    let chain = Chain { peer: Side::Server, leaf: None, intermediates: &[], store: None };
    let context = InvalidNameContext { expected: expected(), presented: presented() };
    let refusals = [
        chain.refuse(Pki::CertNotValidForName(context)),
        #[cfg(feature = "system")]
        chain.refuse_for_system(rustls::Error::InvalidCertificate(CertificateError::NotValidForNameContext {
            expected: expected(),
            presented: presented(),
        })),
    ];
    let name = "a?[2J.example";
    let text = format!(
        "the certificate of the server is not for host.example; it is for {name}, {name}, {name}, {name} and 996 more"
    );
    for refusal in refusals {
        assert_eq!(refusal.error.to_string(), text);
        assert_eq!(refusal.for_rustls, CertificateError::NotValidForName);
    }
}

#[test]
fn what_rustls_and_platforms_say() {
    use CertificateError as C;
    let time = UnixTime::now();
    for (wanted, errors) in [
        (Kind::Malformed, vec![C::BadEncoding, C::UnhandledCriticalExtension]),
        (Kind::Expired, vec![C::Expired, C::ExpiredContext { time, not_after: time }]),
        (Kind::NotYetValid, vec![C::NotValidYet, C::NotValidYetContext { time, not_before: time }]),
        (Kind::Revoked, vec![C::Revoked]),
        (Kind::UnknownIssuer, vec![C::UnknownIssuer]),
        (Kind::RevocationUnknown, vec![C::UnknownRevocationStatus]),
        (Kind::CrlExpired, vec![C::ExpiredRevocationList, C::ExpiredRevocationListContext { time, next_update: time }]),
        (Kind::Signature, vec![C::BadSignature]),
        (Kind::Name, vec![C::NotValidForName]),
        (Kind::Purpose, vec![C::InvalidPurpose]),
        (Kind::Pin, vec![C::ApplicationVerificationFailure]),
        (Kind::Constraint, vec![C::InvalidOcspResponse, C::Other(OtherError(Arc::new(std::fmt::Error)))]),
    ] {
        for error in errors {
            assert_eq!(kind_of(&error), wanted, "{error:?}");
        }
    }
    let unsupported =
        C::UnsupportedSignatureAlgorithmContext { signature_algorithm_id: vec![], supported_algorithms: vec![] };
    assert_eq!(kind_of(&unsupported), Kind::Algorithm);
}

#[cfg(all(feature = "system", any(feature = "ring", feature = "aws-lc-rs"), target_os = "linux"))]
mod system {
    use super::*;
    use crate::provider::Crypto;
    use crate::verify::{Side, Trust, Verifier};
    use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose as Usage, IsCa, Issuer, KeyPair};

    /// Makes a root and a certificate of this root, and returns the verdict of the platform's verifier, which has this root too.
    fn judge(
        name: Option<&str>,
        edit: impl Fn(&mut CertificateParams),
    ) -> Result<Option<String>, (Kind, AlertDescription)> {
        let crypto = Crypto::new(&crate::provider::by_feature(), false).unwrap();
        let mut ca = CertificateParams::default();
        ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let root = ca.self_signed(&key).unwrap().der().clone();
        let mut params = CertificateParams::new(["host.example".to_owned()]).unwrap();
        params.extended_key_usages = vec![Usage::ServerAuth];
        edit(&mut params);
        let leaf = params.signed_by(&KeyPair::generate().unwrap(), &Issuer::new(ca, key)).unwrap().der().clone();
        let platform =
            rustls_platform_verifier::Verifier::new_with_extra_roots([root], crypto.provider.clone()).unwrap();
        let verifier = Verifier::new(Trust::System(platform), Side::Server, crypto);
        let name = name.map(|name| ServerName::try_from(name).unwrap());
        match verifier.judge(&leaf, &[], name.as_ref(), UnixTime::now()) {
            Ok(peer) => Ok(peer.ca().map(String::from)),
            Err(refusal) => Err((refusal.error.kind(), refusal.for_rustls.into())),
        }
    }

    #[test]
    fn the_system_judges() {
        use AlertDescription as A;
        assert_eq!(judge(Some("host.example"), |_| {}), Ok(None));
        assert_eq!(judge(Some("other.example"), |_| {}), Err((Kind::Name, A::BadCertificate)));
        assert_eq!(judge(None, |_| {}), Err((Kind::NameMissing, A::BadCertificate)));
        let for_clients = |params: &mut CertificateParams| params.extended_key_usages = vec![Usage::ClientAuth];
        assert_eq!(judge(Some("host.example"), for_clients), Err((Kind::Purpose, A::UnsupportedCertificate)));
        let expired = |params: &mut CertificateParams| params.not_after = rcgen::date_time_ymd(2020, 1, 1);
        assert_eq!(judge(Some("host.example"), expired), Err((Kind::Expired, A::CertificateExpired)));
    }

    /// Checks that the message for a wrong usage is the same for both errors of the platform's verifier.
    #[test]
    fn a_wrong_usage_is_named_in_one_way() {
        use CertificateError as C;
        let context = C::InvalidPurposeContext { required: rustls::ExtendedKeyPurpose::ServerAuth, presented: vec![] };
        for error in [C::InvalidPurpose, context] {
            let chain = Chain { peer: Side::Server, leaf: None, intermediates: &[], store: None };
            let found = chain.refuse_for_system(rustls::Error::InvalidCertificate(error)).error;
            assert_eq!(found.kind(), Kind::Purpose);
            assert!(found.to_string().ends_with("is not for a server (extended key usage)"), "{found}");
        }
    }
}
