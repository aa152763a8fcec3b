//! Reads files of certificates, keys and revocation lists, and decodes PEM to DER. If a file has another format, the error
//! names the format and the command that converts it.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use rustls_pki_types::pem::{self, PemObject, SectionKind};
use rustls_pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};

use crate::error::{Blame, Error, Kind};

/// The origin of certificates, of a key or of revocation lists. Errors name the origin. A reload reads a file again,
/// and fails for a value in memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    File(PathBuf),
    /// A value that the program passed in memory. Errors name the value with this text.
    Memory(&'static str),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Memory(what) => f.write_str(what),
        }
    }
}

/// Reads a whole file, and returns its decoded content with its origin.
pub(crate) fn read<T>(path: &Path, decode: fn(&[u8], &Source) -> Result<T, Error>) -> Result<(T, Source), Error> {
    let bytes = fs::read(path).map_err(|error| unreadable(path, error))?;
    let source = Source::File(path.into());
    Ok((decode(&bytes, &source)?, source))
}

pub(crate) fn unreadable(path: &Path, error: std::io::Error) -> Error {
    Error::new(Kind::Read, Blame::System, format!("{} cannot be read: {error}", path.display())).with_source(error)
}

/// Returns all certificates of a PEM text, at least one, in order.
pub(crate) fn certificates(bytes: &[u8], source: &Source) -> Result<Vec<CertificateDer<'static>>, Error> {
    sections(bytes, source, "certificate")
}

/// Returns the first private key of a PEM text.
pub(crate) fn key(bytes: &[u8], source: &Source) -> Result<PrivateKeyDer<'static>, Error> {
    sections(bytes, source, "private key").map(|mut keys| keys.swap_remove(0))
}

/// Returns all revocation lists of a PEM text, at least one, or the list of a DER file.
pub(crate) fn crls(bytes: &[u8], source: &Source) -> Result<Vec<CertificateRevocationListDer<'static>>, Error> {
    match der_content(bytes) {
        // If the content begins with an INTEGER or an OBJECT IDENTIFIER, the file is a key or PKCS #7, and not a list.
        None | Some([INTEGER | OID, ..]) => sections(bytes, source, "revocation list"),
        Some(_) => Ok(vec![bytes.to_vec().into()]),
    }
}

/// Returns all sections of one kind, at least one. `wanted` is the name of the kind in the error text.
fn sections<T: PemObject>(bytes: &[u8], source: &Source, wanted: &str) -> Result<Vec<T>, Error> {
    if let Some(text) = foreign(bytes, wanted) {
        return Err(Error::advised(Kind::Pem, format!("{source} {text}")));
    }
    let error = match T::pem_slice_iter(bytes).collect::<Result<Vec<_>, _>>() {
        Ok(sections) if !sections.is_empty() => return Ok(sections),
        Ok(_) => nothing(bytes, source, wanted),
        Err(error) => malformed(source, &error),
    };
    // The PEM parser does not recognise encrypted keys. It skips the newer form as an unknown section, and finds bad
    // base64 in the header fields of the older form. Both forms get a better error here.
    if find(bytes, b"-----BEGIN ENCRYPTED PRIVATE KEY-----") || find(bytes, b"Proc-Type: 4,ENCRYPTED") {
        let what = "is encrypted: decrypt it with `openssl pkey -in FILE -out FILE.key`";
        return Err(Error::advised(Kind::Key, format!("the private key of {source} {what}")));
    }
    Err(error)
}

/// Byte strings that identify formats of other tools, each with the text for the error. The parser of PEM skips
/// sections that it does not know. Without this check, a policy would be built although a certificate is missing.
const FOREIGN: [(&[u8], &str); 6] = [
    (
        b"\xef\xbb\xbf-----BEGIN ",
        "has a byte order mark before a PEM section: save it as ASCII, or as UTF-8 without a byte order mark",
    ),
    (b"\xff\xfe-\0-\0", "is UTF-16 text: save it as ASCII, or as UTF-8 without a byte order mark"),
    (b"\xfe\xff\0-\0-", "is UTF-16 text: save it as ASCII, or as UTF-8 without a byte order mark"),
    (
        b"-----BEGIN TRUSTED CERTIFICATE-----",
        "has a section TRUSTED CERTIFICATE, which only OpenSSL reads: convert it with `openssl x509 -in FILE -out FILE.pem`",
    ),
    (
        b"-----BEGIN PKCS7-----",
        "has a section PKCS7: convert it with `openssl pkcs7 -print_certs -in FILE -out FILE.pem`",
    ),
    (
        b"-----BEGIN OPENSSH PRIVATE KEY-----",
        // ssh-keygen cannot write an Ed25519 key in another form.
        "has a private key in the form of OpenSSH: convert an RSA or ECDSA key with `ssh-keygen -p -N '' -m PEM -f FILE`; \
         instead of an Ed25519 key, make a new one with `openssl genpkey -algorithm ed25519 -out FILE.pem`",
    ),
];

/// Returns a text for an error if the bytes have a known format that this crate cannot read. The text names the format,
/// and the command that converts the file to PEM.
fn foreign(bytes: &[u8], wanted: &str) -> Option<&'static str> {
    let Some(content) = der_content(bytes) else {
        return FOREIGN.iter().find(|(mark, _)| find(bytes, mark)).map(|(_, text)| *text);
    };
    Some(match content {
        [INTEGER, 1, 3, ..] => "is PKCS #12, not PEM: convert it with `openssl pkcs12 -in FILE -nodes -out FILE.pem`",
        [INTEGER, ..] => {
            "is a private key in DER, not PEM: convert it with `openssl pkey -inform der -in FILE -out FILE.pem`"
        }
        [OID, ..] => {
            "is PKCS #7, not PEM: convert it with `openssl pkcs7 -inform der -print_certs -in FILE -out FILE.pem`"
        }
        _ if wanted == "private key" => {
            "is DER, not PEM: convert it with `openssl pkey -inform der -in FILE -out FILE.pem`"
        }
        _ => "is DER, not PEM: convert it with `openssl x509 -inform der -in FILE -out FILE.pem`",
    })
}

// Tags of DER.
const INTEGER: u8 = 0x02;
const OID: u8 = 0x06;
const SEQUENCE: u8 = 0x30;

/// Returns the content of the outer SEQUENCE if the bytes look like a file in DER, and `None` otherwise. The tag of the
/// SEQUENCE alone is no proof, because its byte 0x30 is also the character `0`, and a text may begin with `0`.
/// Therefore the second byte must be a length in long or indefinite form, or the content must begin with an INTEGER of
/// one byte. Java and Windows write the indefinite form in PKCS #12.
fn der_content(bytes: &[u8]) -> Option<&[u8]> {
    let [SEQUENCE, length, rest @ ..] = bytes else { return None };
    match length {
        0x80.. => rest.get(usize::from(length - 0x80)..),
        _ => rest.starts_with(&[INTEGER, 1]).then_some(rest),
    }
}

/// Returns the error for a text that the PEM parser refuses.
fn malformed(source: &Source, error: &pem::Error) -> Error {
    // The parser's own error text may quote the file, which may contain a key.
    let what = match error {
        pem::Error::MissingSectionEnd { .. } => "a PEM section without its `-----END` line",
        pem::Error::IllegalSectionStart { .. } => "a malformed `-----BEGIN` line",
        pem::Error::Base64Decode(_) => "a PEM section that is not valid base64",
        _ => "a PEM section that is too large",
    };
    Error::caller(Kind::Pem, format!("{source} has {what}"))
}

/// Returns the error for a text that has no section of the kind `wanted`. If the text has another section, the error
/// names the kind of the first one.
fn nothing(pem: &[u8], source: &Source, wanted: &str) -> Error {
    let found = match pem::from_buf(&mut &*pem) {
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

/// Returns whether `text` contains the bytes `what`.
fn find(text: &[u8], what: &[u8]) -> bool {
    text.windows(what.len()).any(|window| window == what)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOURCE: Source = Source::Memory("the file");
    const ENCRYPTED: &str =
        "the private key of the file is encrypted: decrypt it with `openssl pkey -in FILE -out FILE.key`";

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
                (Kind::Key, ENCRYPTED),
            ),
            (
                text(
                    key(secret.replace("MAA=", "Proc-Type: 4,ENCRYPTED\nDEK-Info: X,00\n\nMAA=").as_bytes(), &SOURCE)
                        .unwrap_err(),
                ),
                (Kind::Key, ENCRYPTED),
            ),
            (
                text(crls(certificate.as_bytes(), &SOURCE).unwrap_err()),
                (Kind::Pem, "the file has no revocation list, but a certificate"),
            ),
            (
                text(certificates(&certificate.as_bytes()[..40], &SOURCE).unwrap_err()),
                (Kind::Pem, "the file has a PEM section without its `-----END` line"),
            ),
            (
                text(certificates(certificate.replace("MAA=", "M?").as_bytes(), &SOURCE).unwrap_err()),
                (Kind::Pem, "the file has a PEM section that is not valid base64"),
            ),
            (
                text(certificates(b"-----BEGIN CERTIFICATE\n", &SOURCE).unwrap_err()),
                (Kind::Pem, "the file has a malformed `-----BEGIN` line"),
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

    #[test]
    fn foreign_formats_are_named_with_the_command_to_convert_them() {
        let pem = b"-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n";
        let section = |kind| format!("-----BEGIN {kind}-----\nMAA=\n-----END {kind}-----\n").into_bytes();
        let utf16 =
            |pem: &[u8]| [&[0xff, 0xfe][..], &pem.iter().flat_map(|byte| [*byte, 0]).collect::<Vec<_>>()].concat();
        for (bytes, wanted) in [
            // The beginning of PKCS #12 (a PFX with version 3), with a definite length and with an indefinite length.
            (
                b"\x30\x82\0\x07\x02\x01\x03\x30\x02\x05\0".to_vec(),
                "is PKCS #12, not PEM: convert it with `openssl pkcs12 ",
            ),
            (b"\x30\x80\x02\x01\x03\x30\x80".to_vec(), "is PKCS #12, not PEM: convert it with `openssl pkcs12 "),
            (b"\x30\x82\0\x04\x30\x02\x05\0".to_vec(), "is DER, not PEM: convert it with `openssl x509 -inform der "),
            (b"\x30\x82\x03\xff\x30".to_vec(), "is DER, not PEM: convert it with `openssl x509 -inform der "),
            (
                b"\x30\x05\x02\x01\x01\x04\0".to_vec(),
                "is a private key in DER, not PEM: convert it with `openssl pkey ",
            ),
            (
                b"\x30\x81\x04\x06\x02\x2a\x03".to_vec(),
                "is PKCS #7, not PEM: convert it with `openssl pkcs7 -inform der ",
            ),
            (section("PKCS7"), "has a section PKCS7: convert it with `openssl pkcs7 -print_certs "),
            (section("TRUSTED CERTIFICATE"), "has a section TRUSTED CERTIFICATE, which only OpenSSL reads: convert it"),
            (
                [&pem[..], &section("TRUSTED CERTIFICATE")].concat(),
                "has a section TRUSTED CERTIFICATE, which only OpenSSL",
            ),
            (
                section("OPENSSH PRIVATE KEY"),
                "has a private key in the form of OpenSSH: convert an RSA or ECDSA key with `ssh-keygen -p -N '' -m PEM -f \
                 FILE`; instead of an Ed25519 key, make a new one with `openssl genpkey ",
            ),
            ([b"\xef\xbb\xbf", &pem[..]].concat(), "has a byte order mark before a PEM section: save it as ASCII"),
            ([&pem[..], b"\xef\xbb\xbf", pem].concat(), "has a byte order mark before a PEM section: save it as ASCII"),
            (utf16(pem), "is UTF-16 text: save it as ASCII"),
        ] {
            let error = certificates(&bytes, &SOURCE).unwrap_err();
            assert!(error.to_string().starts_with(&format!("the file {wanted}")), "{error}");
            assert_eq!((error.kind(), error.explain()), (Kind::Pem, error.to_string()));
        }
        let error = key(b"\x30\x82\0\x04\x30\x02\x05\0", &SOURCE).unwrap_err();
        assert!(error.to_string().starts_with("the file is DER, not PEM: convert it with `openssl pkey "), "{error}");
        let error = crls(b"\x30\x05\x02\x01\x01\x04\0", &SOURCE).unwrap_err();
        assert!(error.to_string().starts_with("the file is a private key in DER"), "{error}");
    }
}
