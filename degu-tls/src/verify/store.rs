//! The CAs and revocation lists of a policy, which are checked when the policy is built, and with which webpki then
//! verifies peers.

use rustls::DistinguishedName;
use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls_pki_types::{CertificateDer, TrustAnchor, UnixTime};
use webpki::{
    CertRevocationList, EndEntityCert, ExpirationPolicy, OwnedCertRevocationList, RevocationCheckDepth,
    RevocationOptionsBuilder, UnknownStatusPolicy, anchor_from_trusted_cert,
};

use super::Side;
use super::fitness::{own_fitness, parse};
use crate::ca_set::{Ca, CaSet, Crl};
use crate::error::{Error, Kind};
use crate::options::Build;
use crate::peer::VouchedBy;
use crate::pin::SpkiPin;
use crate::x509;

/// The maximum length of all names in a certificate request, in bytes. More than 64 KiB would break every handshake, because
/// the list has a length of two bytes. The names are optional, and help a client to choose between several certificates.
const MOST_NAMES: usize = 16 * 1024;

/// The trust anchors (CAs) and revocation lists of a policy.
#[derive(Debug, Default)]
pub(crate) struct Store {
    anchors: Vec<TrustAnchor<'static>>,
    /// The names of the anchors in DER, for a server's certificate request (RFC 8446 §4.2.4). Empty if they have over
    /// [`MOST_NAMES`].
    pub(super) subjects: Vec<DistinguishedName>,
    /// The label of each anchor and the hash of its key, in the order of `anchors`.
    labels: Vec<VouchedBy>,
    crls: Vec<CertRevocationList<'static>>,
    /// The CAs that cannot be used: the subject of each in DER, and the reason.
    left_out: Vec<(Box<[u8]>, Error)>,
    /// The CAs as text for errors, with the names of their files: `the CAs of operators.pem`.
    pub(super) cas: String,
}

impl Store {
    /// Checks every CA and every revocation list. A CA that cannot be used is left out with a warning, because a file may
    /// contain an expired CA and its successor.
    ///
    /// # Errors
    ///
    /// A value is not a certificate, no CA remains, or a revocation list is missing or cannot be used.
    pub(crate) fn new(ca_set: &CaSet, build: &mut Build) -> Result<Self, Error> {
        let mut store = Self { cas: ca_set.describe(), ..Self::default() };
        let mut kept = Vec::new();
        for ca in &ca_set.members {
            match anchor(ca, ca_set.any_time, build) {
                Ok((anchor, pin)) => {
                    // A CA chooses its own name. The name may also be a label that the program gave to another CA.
                    let is_namesake = |(other, by): &(&&Ca, &VouchedBy)| {
                        let is_by_name = ca.is_labelled_by_name || other.is_labelled_by_name;
                        is_by_name && by.label == ca.label && by.pin != pin && other.source != ca.source
                    };
                    if let Some((other, _)) = kept.iter().zip(&store.labels).find(is_namesake) {
                        let (one, label) = (&other.source, &ca.label);
                        let what = format!("{one} and {} have different CAs with the same label ({label})", ca.source);
                        build.warnings.push(Error::caller(Kind::Label, what));
                    }
                    store.subjects.push(DistinguishedName::in_sequence(&anchor.subject));
                    store.anchors.push(anchor);
                    store.labels.push(VouchedBy { label: ca.label.clone(), pin });
                    kept.push(ca);
                }
                Err(error) => match x509::subject(&ca.certificate) {
                    Some(subject) => store.left_out.push((subject.into(), error)),
                    // A value that is not a certificate is a mistake of the caller, and not a CA that can be left out.
                    None => return Err(error),
                },
            }
        }
        if store.anchors.is_empty() {
            let first = store.left_out.into_iter().next().map(|(_, error)| error);
            return Err(first.unwrap_or_else(|| Error::caller(Kind::NoTrust, "no CA was given")));
        }
        if store.subjects.iter().map(|name| name.as_ref().len()).sum::<usize>() > MOST_NAMES {
            store.subjects.clear();
        }
        build.warnings.extend(store.left_out.iter().map(|(_, error)| error.clone()));
        store.add_crls(&ca_set.crls, &kept, build)?;
        Ok(store)
    }

    /// Checks and adds the revocation lists. `kept` are the CAs from which the anchors were made, in the order of the
    /// anchors. Error texts name these CAs.
    fn add_crls(&mut self, crls: &[Crl], kept: &[&Ca], build: &mut Build) -> Result<(), Error> {
        let mut lists = Vec::new();
        for crl in crls {
            let unusable =
                |text: &str| Error::caller(Kind::Crl, format!("the revocation list in {} {text}", crl.source));
            let list = OwnedCertRevocationList::from_der(&crl.der)
                .map_err(|error| unusable(&format!("cannot be used ({error})")).with_source(error))?;
            let updates = x509::crl_updates(&crl.der).ok_or_else(|| unusable("does not say when it was issued"))?;
            lists.push((updates, &crl.source, CertRevocationList::from(list)));
        }
        // webpki uses the first list of a CA, so newer lists must come first.
        lists.sort_by(|((one, _), ..), ((other, _), ..)| other.cmp(one));
        for ((_, next), source, list) in lists {
            // A CA may have several lists, each for some of its certificates (issuing distribution point). An older list is
            // left out only if a newer list is for the same certificates.
            let replaces = |newer: &CertRevocationList<'_>| {
                newer.issuer() == list.issuer()
                    && newer.issuing_distribution_point() == list.issuing_distribution_point()
            };
            if self.crls.iter().any(replaces) {
                continue;
            }
            if next <= build.now {
                let (name, next) = (x509::name(list.issuer()), x509::date(next));
                let what =
                    format!("the revocation list in {source} ({name}) has expired: the next list was due on {next}");
                build.warnings.push(Error::caller(Kind::CrlExpired, what));
            }
            self.crls.push(list);
        }
        if self.crls.is_empty() {
            return Ok(());
        }
        for (anchor, Ca { source, .. }) in self.anchors.iter().zip(kept) {
            let name = x509::name(&anchor.subject);
            if !self.crls.iter().any(|crl| crl.issuer() == anchor.subject.as_ref()) {
                let what = format!("the CA of {source} ({name}) has no revocation list, although lists were given");
                return Err(Error::caller(Kind::CrlMissing, what));
            }
            // A list has the name of its issuer, but not the issuer's key. If two CAs have this name, webpki might use the
            // wrong key.
            let is_twin = |other: &TrustAnchor<'_>| {
                other.subject == anchor.subject && other.subject_public_key_info != anchor.subject_public_key_info
            };
            if self.anchors.iter().any(is_twin) {
                let cas = &self.cas;
                let what = format!(
                    "two of {cas} have the same subject ({name}), so their revocation lists cannot be distinguished"
                );
                return Err(Error::caller(Kind::Crl, what));
            }
        }
        Ok(())
    }

    /// Builds a path from the peer's certificate to an anchor (RFC 5280 §6), and returns this anchor's label and the hash of
    /// its key.
    pub(super) fn verify(
        &self,
        leaf: &EndEntityCert<'_>,
        intermediates: &[CertificateDer<'_>],
        algorithms: &WebPkiSupportedAlgorithms,
        side: Side,
        now: UnixTime,
    ) -> Result<VouchedBy, webpki::Error> {
        let crls: Vec<_> = self.crls.iter().collect();
        // Without lists, `new` fails. `revocation` is then `None`, and revocation is not checked.
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
        // webpki returns an anchor of this list. If it ever returned an anchor that is not in the list, the peer would be
        // refused.
        index.map(|index| self.labels[index].clone()).ok_or(webpki::Error::UnknownIssuer)
    }

    /// Returns the label of the first anchor with this subject (a name in DER).
    pub(super) fn named(&self, subject: &[u8]) -> Option<&str> {
        let index = self.anchors.iter().position(|anchor| anchor.subject.as_ref() == subject)?;
        Some(&self.labels[index].label)
    }

    /// Returns the reason why a CA with this subject (a name in DER) was left out. Returns `None` if no such CA was
    /// left out.
    pub(super) fn left_out(&self, subject: &[u8]) -> Option<&Error> {
        self.left_out.iter().find_map(|(name, why)| (**name == *subject).then_some(why))
    }

    /// Returns whether a revocation list of the certificate's issuer contains the certificate.
    pub(super) fn revokes(&self, certificate: &EndEntityCert<'_>) -> bool {
        let of_issuer = |crl: &&CertRevocationList<'_>| crl.issuer() == certificate.issuer();
        self.crls.iter().filter(of_issuer).any(|crl| matches!(crl.find_serial(certificate.serial()), Ok(Some(_))))
    }
}

/// Checks a CA's certificate, and returns it as an anchor with the hash of its key. webpki itself accepts every certificate as
/// an anchor, even an expired certificate or the certificate of a device.
fn anchor(ca: &Ca, any_time: bool, build: &Build) -> Result<(TrustAnchor<'static>, SpkiPin), Error> {
    let parsed = parse(&ca.certificate, &format!("a certificate of {}", ca.source))?;
    let name = x509::name(parsed.subject());
    let what = format!("the CA of {} ({name})", ca.source);
    let refused = |kind, text: String| Error::caller(kind, format!("{what} {text}"));
    let malformed = |error| refused(Kind::Malformed, format!("is malformed ({error})"));
    // Any side may be passed here, because webpki reports `CaUsedAsEndEntity` before it checks the extended key usage.
    match own_fitness(&parsed, &what, build.now, Side::Server, any_time)? {
        webpki::Error::CaUsedAsEndEntity => {}
        webpki::Error::UnknownIssuer | webpki::Error::RequiredEkuNotFoundContext(_) => {
            let text = format!("the certificate of {} ({name}) is not a CA certificate", ca.source);
            return Err(Error::caller(Kind::NotCa, text));
        }
        error => return Err(malformed(error)),
    }
    let spki = parsed.subject_public_key_info();
    let mut known = build.crypto.provider.signature_verification_algorithms.all.iter();
    if !known.any(|known| Some(known.public_key_alg_id().as_ref()) == x509::algorithm(&spki)) {
        let kind = x509::key_kind(&spki);
        let text = format!("has a key ({kind}) that the cryptography provider does not know");
        return Err(refused(Kind::Algorithm, text));
    }
    let anchor = anchor_from_trusted_cert(&ca.certificate).map_err(malformed)?.to_owned();
    Ok((anchor, SpkiPin::from_sha256(build.crypto.sha256(&spki))))
}
