//! CAs that passed the checks at build, and the call into webpki.

use rustls::DistinguishedName;
use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls_pki_types::{CertificateDer, TrustAnchor, UnixTime};
use webpki::{
    CertRevocationList, EndEntityCert, ExpirationPolicy, OwnedCertRevocationList, RevocationCheckDepth,
    RevocationOptionsBuilder, UnknownStatusPolicy, anchor_from_trusted_cert,
};

use super::{Refusal, Side, own_fitness};
use crate::cas::{Ca, Cas};
use crate::der;
use crate::error::{Error, Kind};
use crate::peer::VouchedBy;
use crate::pin::SpkiPin;
use crate::provider::Sha256;

/// Anchors and revocation lists.
#[derive(Debug)]
pub(crate) struct Store {
    anchors: Vec<TrustAnchor<'static>>,
    /// Their names in DER, for a server's certificate request (RFC 8446 §4.2.4).
    pub(super) subjects: Vec<DistinguishedName>,
    /// For each anchor, what the app sees of it.
    labels: Vec<VouchedBy>,
    crls: Vec<CertRevocationList<'static>>,
    /// Where the CAs come from, for texts.
    pub(super) files: String,
}

impl Store {
    /// Checks every CA and every list.
    ///
    /// # Errors
    ///
    /// There is no CA; one is malformed, not a CA's, weak, or out of date; a list cannot be used, or one is missing.
    pub(crate) fn new(cas: &Cas, sha256: Sha256, now: UnixTime) -> Result<Self, Error> {
        if cas.cas.is_empty() {
            return Err(Error::caller(Kind::NoTrust, "there is no CA to vouch for peers"));
        }
        let (anchors, subjects, labels, crls) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let mut store = Self { anchors, subjects, labels, crls, files: cas.describe() };
        for ca in &cas.cas {
            let (anchor, spki) = anchor(ca, now, cas.any_time, sha256)?;
            store.subjects.push(DistinguishedName::in_sequence(&anchor.subject));
            store.anchors.push(anchor);
            store.labels.push(VouchedBy { label: ca.label.clone(), spki });
        }
        store.add_crls(cas, now)?;
        Ok(store)
    }

    fn add_crls(&mut self, cas: &Cas, now: UnixTime) -> Result<(), Error> {
        let mut lists = Vec::new();
        for crl in &cas.crls {
            let unusable =
                |text: &str| Error::caller(Kind::Crl, format!("the revocation list of {} {text}", crl.source));
            let list = OwnedCertRevocationList::from_der(&crl.der)
                .map_err(|error| unusable(&format!("cannot be used ({error})")).with_source(error))?;
            let (this, next) = der::crl_updates(&crl.der).ok_or_else(|| unusable("does not say when it was issued"))?;
            if next <= der::date(now) {
                let source = crl.source.to_string();
                tracing::warn!(%source, %next, "revocation list has expired: peers that it is about are refused");
            }
            lists.push((this, CertRevocationList::from(list)));
        }
        // webpki takes the first list that a CA issued: the newest must stand first.
        lists.sort_by(|(one, _), (other, _)| other.cmp(one));
        self.crls = lists.into_iter().map(|(_, list)| list).collect();
        if self.crls.is_empty() {
            return Ok(());
        }
        for (ca, anchor) in cas.cas.iter().zip(&self.anchors) {
            if !self.crls.iter().any(|crl| crl.issuer() == anchor.subject.as_ref()) {
                let name = der::name(&anchor.subject);
                let what = format!("{} ({name}) has no revocation list, and other CAs have one", ca.source);
                return Err(Error::caller(Kind::CrlMissing, what));
            }
            // A list names its issuer, not its issuer's key: webpki would check it with the wrong one.
            let same_name = |other: &&TrustAnchor<'_>| {
                other.subject == anchor.subject && other.subject_public_key_info != anchor.subject_public_key_info
            };
            if self.anchors.iter().any(|other| same_name(&other)) {
                let name = der::name(&anchor.subject);
                let what = format!(
                    "two of {} have one name ({name}): their revocation lists cannot be told apart",
                    self.files
                );
                return Err(Error::caller(Kind::Crl, what));
            }
        }
        Ok(())
    }

    /// Builds a path from the peer's certificate to an anchor (RFC 5280 §6), and says whose it is.
    pub(super) fn verify(
        &self,
        leaf: &EndEntityCert<'_>,
        intermediates: &[CertificateDer<'_>],
        algorithms: &WebPkiSupportedAlgorithms,
        side: Side,
        now: UnixTime,
    ) -> Result<VouchedBy, Refusal> {
        let crls: Vec<_> = self.crls.iter().collect();
        // Without lists there is nothing to build, which is the one error of `new`.
        let revocation = RevocationOptionsBuilder::new(&crls).ok().map(|options| {
            options
                .with_depth(RevocationCheckDepth::Chain)
                .with_status_policy(UnknownStatusPolicy::Deny)
                .with_expiration_policy(ExpirationPolicy::Enforce)
                .build()
        });
        let path =
            leaf.verify_for_usage(algorithms.all, &self.anchors, intermediates, now, side.usage(), revocation, None)?;
        let index = self.anchors.iter().position(|anchor| std::ptr::eq(anchor, path.anchor()));
        // The path ends at one of the anchors that were given; if not, nobody vouched.
        index.map(|index| self.labels[index].clone()).ok_or(Refusal::Pki(webpki::Error::UnknownIssuer))
    }

    /// The label of an anchor of this name.
    pub(super) fn named(&self, subject: &[u8]) -> Option<&str> {
        let index = self.anchors.iter().position(|anchor| anchor.subject.as_ref() == subject)?;
        Some(&self.labels[index].label)
    }
}

/// Checks a CA's certificate: webpki takes any certificate as an anchor, an expired one or a leaf as well.
fn anchor(ca: &Ca, now: UnixTime, any_time: bool, sha256: Sha256) -> Result<(TrustAnchor<'static>, SpkiPin), Error> {
    let malformed = |error: webpki::Error| {
        Error::caller(Kind::Malformed, format!("a certificate of {} is malformed ({error})", ca.source))
            .with_source(error)
    };
    let parsed = EndEntityCert::try_from(&ca.certificate).map_err(malformed)?;
    let subject = der::name(parsed.subject());
    let refuse = |kind, text: String| Err(Error::caller(kind, format!("the CA of {} ({subject}) {text}", ca.source)));
    // Which side does not matter: that it is a CA's is found before the extended key usage is looked at.
    match own_fitness(&parsed, now, Side::Server, any_time) {
        Ok(webpki::Error::CaUsedAsEndEntity) => {}
        Ok(webpki::Error::UnknownIssuer | webpki::Error::RequiredEkuNotFoundContext(_)) => {
            return refuse(Kind::NotCa, "is not a CA's certificate".into());
        }
        Ok(error) => return Err(malformed(error)),
        Err((kind, text)) => return refuse(kind, text),
    }
    let spki = SpkiPin::from_sha256(sha256.hash(&parsed.subject_public_key_info()));
    Ok((anchor_from_trusted_cert(&ca.certificate).map_err(malformed)?.to_owned(), spki))
}
