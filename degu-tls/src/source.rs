//! Where certificates, keys and lists come from, and how PEM becomes DER.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use rustls_pki_types::pem::{self, PemObject, SectionKind};
use rustls_pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};

use crate::error::{Blame, Error, Kind};

/// What to name in an error, and what to read again on a reload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    File(PathBuf),
    /// Given by the program; the text says as what.
    Memory(&'static str),
}

impl Source {
    pub(crate) fn file(path: impl AsRef<Path>) -> Self {
        Self::File(path.as_ref().into())
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Memory(what) => f.write_str(what),
        }
    }
}

/// Reads a whole file.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, Error> {
    fs::read(path).map_err(|error| unreadable(path, error))
}

pub(crate) fn unreadable(path: &Path, error: std::io::Error) -> Error {
    Error::new(Kind::Read, Blame::System, format!("{} cannot be read: {error}", path.display())).with_source(error)
}

/// All certificates of a PEM text, in order; at least one.
pub(crate) fn certificates(pem: &[u8], source: &Source) -> Result<Vec<CertificateDer<'static>>, Error> {
    let certificates = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>();
    let certificates = certificates.map_err(|error| malformed(source, &error))?;
    if certificates.is_empty() {
        return Err(nothing(pem, source, "certificate"));
    }
    Ok(certificates)
}

/// The first private key of a PEM text.
pub(crate) fn key(pem: &[u8], source: &Source) -> Result<PrivateKeyDer<'static>, Error> {
    PrivateKeyDer::from_pem_slice(pem).map_err(|error| match error {
        pem::Error::NoItemsFound if find(pem, b"ENCRYPTED PRIVATE KEY") || find(pem, b"Proc-Type: 4,ENCRYPTED") => {
            Error::caller(Kind::Key, format!("the private key of {source} is encrypted"))
        }
        pem::Error::NoItemsFound => nothing(pem, source, "private key"),
        error => malformed(source, &error),
    })
}

/// All revocation lists of a PEM text, or the one that DER is.
pub(crate) fn crls(bytes: &[u8], source: &Source) -> Result<Vec<CertificateRevocationListDer<'static>>, Error> {
    // DER begins with SEQUENCE; a PEM text may begin with anything but hardly with `0` and a control character.
    if bytes.first() == Some(&0x30) && bytes.get(1).is_some_and(|length| *length >= 0x80) {
        return Ok(vec![CertificateRevocationListDer::from(bytes.to_vec())]);
    }
    let crls = CertificateRevocationListDer::pem_slice_iter(bytes).collect::<Result<Vec<_>, _>>();
    let crls = crls.map_err(|error| malformed(source, &error))?;
    if crls.is_empty() {
        return Err(nothing(bytes, source, "revocation list"));
    }
    Ok(crls)
}

fn malformed(source: &Source, error: &pem::Error) -> Error {
    // What the parser says may quote the file, which may hold a key.
    let what = match error {
        pem::Error::MissingSectionEnd { .. } => "a section without its end",
        pem::Error::IllegalSectionStart { .. } => "a malformed line that begins a section",
        pem::Error::Base64Decode(_) => "a section that is not base64",
        _ => "a section that is too large",
    };
    Error::caller(Kind::Pem, format!("{source} has {what}"))
}

fn nothing(pem: &[u8], source: &Source, wanted: &str) -> Error {
    let mut rest = pem;
    let found = match pem::from_buf(&mut rest) {
        Ok(Some((SectionKind::Certificate, _))) => ", but a certificate",
        Ok(Some((SectionKind::Crl, _))) => ", but a revocation list",
        Ok(Some((SectionKind::Csr, _))) => ", but a certificate signing request",
        Ok(Some((SectionKind::PublicKey, _))) => ", but a public key",
        Ok(Some((SectionKind::PrivateKey | SectionKind::RsaPrivateKey | SectionKind::EcPrivateKey, _))) => {
            ", but a private key"
        }
        _ if pem.is_empty() => ": it is empty",
        _ => "",
    };
    Error::caller(Kind::Pem, format!("{source} has no {wanted}{found}"))
}

fn find(text: &[u8], what: &[u8]) -> bool {
    text.windows(what.len()).any(|window| window == what)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOURCE: Source = Source::Memory("the file");

    #[test]
    fn what_a_pem_file_can_lack() {
        let text = |error: Error| (error.kind(), error.to_string());
        let certificate = "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n";
        let crl = certificate.replace("CERTIFICATE", "X509 CRL");
        let secret = certificate.replace("CERTIFICATE", "PRIVATE KEY");
        let cases = [
            (text(certificates(b"", &SOURCE).unwrap_err()), (Kind::Pem, "the file has no certificate: it is empty")),
            (text(certificates(b"hello", &SOURCE).unwrap_err()), (Kind::Pem, "the file has no certificate")),
            (
                text(certificates(secret.as_bytes(), &SOURCE).unwrap_err()),
                (Kind::Pem, "the file has no certificate, but a private key"),
            ),
            (
                text(certificates(crl.as_bytes(), &SOURCE).unwrap_err()),
                (Kind::Pem, "the file has no certificate, but a revocation list"),
            ),
            (
                text(key(certificate.as_bytes(), &SOURCE).unwrap_err()),
                (Kind::Pem, "the file has no private key, but a certificate"),
            ),
            (
                text(key(certificate.replace("CERTIFICATE", "CERTIFICATE REQUEST").as_bytes(), &SOURCE).unwrap_err()),
                (Kind::Pem, "the file has no private key, but a certificate signing request"),
            ),
            (
                text(key(certificate.replace("CERTIFICATE", "PUBLIC KEY").as_bytes(), &SOURCE).unwrap_err()),
                (Kind::Pem, "the file has no private key, but a public key"),
            ),
            (
                text(key(secret.replace("PRIVATE", "ENCRYPTED PRIVATE").as_bytes(), &SOURCE).unwrap_err()),
                (Kind::Key, "the private key of the file is encrypted"),
            ),
            (
                text(crls(certificate.as_bytes(), &SOURCE).unwrap_err()),
                (Kind::Pem, "the file has no revocation list, but a certificate"),
            ),
            (
                text(certificates(&certificate.as_bytes()[..40], &SOURCE).unwrap_err()),
                (Kind::Pem, "the file has a section without its end"),
            ),
            (
                text(certificates(certificate.replace("MAA=", "M?").as_bytes(), &SOURCE).unwrap_err()),
                (Kind::Pem, "the file has a section that is not base64"),
            ),
            (
                text(certificates(b"-----BEGIN CERTIFICATE\n", &SOURCE).unwrap_err()),
                (Kind::Pem, "the file has a malformed line that begins a section"),
            ),
        ];
        for (found, (kind, what)) in cases {
            assert_eq!(found, (kind, what.to_owned()));
        }
        assert_eq!(certificates(certificate.repeat(3).as_bytes(), &SOURCE).unwrap().len(), 3);
        assert_eq!(crls(crl.repeat(2).as_bytes(), &SOURCE).unwrap().len(), 2);
        assert_eq!(crls(&[0x30, 0x80, 1], &SOURCE).unwrap()[0].as_ref(), [0x30, 0x80, 1]);
        assert!(key(secret.as_bytes(), &SOURCE).is_ok());
    }
}
