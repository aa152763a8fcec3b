//! The error type. An error has a text, a kind, the party at fault, advice, and sometimes the alert of the peer.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;

use heck::ToSnakeCase;
use rustls::AlertDescription;

/// An error from building a policy, from reloading it, or from a handshake; or a warning about a policy that was built.
///
/// [`Display`](fmt::Display) says what is wrong, with the names of files, CAs and certificates.
/// [`explain`](Self::explain) adds what to do about it. Texts from the peer's certificate are shortened and escaped, so
/// both texts can be written to a log or a terminal.
///
/// ```
/// use degu_tls::{CaSet, Error};
/// use degu_tls::error::{Blame, Kind};
///
/// let error: Error = CaSet::from_pem_file("no/such/clients.pem").unwrap_err();
/// assert_eq!((error.kind(), error.blame()), (Kind::Read, Blame::System));
/// assert!(error.to_string().starts_with("no/such/clients.pem cannot be read: "));
/// ```
#[derive(Clone)]
pub struct Error(Box<Inner>);

#[derive(Clone)]
struct Inner {
    kind: Kind,
    blame: Blame,
    what: String,
    /// True if the text `what` already contains advice. `explain` then does not add the advice of the kind.
    has_advice: bool,
    alert: Option<AlertDescription>,
    source: Option<Arc<dyn StdError + Send + Sync>>,
}

/// The party that is at fault in an [`Error`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Blame {
    /// The peer: its certificate, or its behaviour in the handshake.
    Peer,
    /// The caller: for example, a file has the wrong content, or an argument is missing.
    Caller,
    /// The system: for example, a file cannot be read, or a connection failed.
    System,
}

impl Error {
    pub(crate) fn new(kind: Kind, blame: Blame, what: impl Into<String>) -> Self {
        Self(Box::new(Inner { kind, blame, what: what.into(), has_advice: false, alert: None, source: None }))
    }

    pub(crate) fn peer(kind: Kind, what: impl Into<String>) -> Self {
        Self::new(kind, Blame::Peer, what)
    }

    pub(crate) fn caller(kind: Kind, what: impl Into<String>) -> Self {
        Self::new(kind, Blame::Caller, what)
    }

    /// Returns an error that blames the caller. `what` already says what to do, so `explain` adds no advice.
    pub(crate) fn advised(kind: Kind, what: impl Into<String>) -> Self {
        let mut error = Self::caller(kind, what);
        error.0.has_advice = true;
        error
    }

    pub(crate) fn with_source(mut self, source: impl StdError + Send + Sync + 'static) -> Self {
        self.0.source = Some(Arc::new(source));
        self
    }

    pub(crate) fn with_alert(mut self, alert: AlertDescription) -> Self {
        self.0.alert = Some(alert);
        self
    }

    /// Returns the kind of the error, for a `match`.
    pub fn kind(&self) -> Kind {
        self.0.kind
    }

    /// Returns the party that is at fault.
    pub fn blame(&self) -> Blame {
        self.0.blame
    }

    /// Returns the alert that the peer sent, if the peer refused this side ([`Kind::Refused`]).
    pub fn alert(&self) -> Option<AlertDescription> {
        self.0.alert
    }

    /// Returns a sentence that says what is wrong and what to do about it.
    pub fn explain(&self) -> String {
        let advice = match self.0.alert {
            Some(alert) => alert_advice(alert),
            None if self.0.has_advice => "",
            None => self.0.kind.advice(),
        };
        if advice.is_empty() { self.0.what.clone() } else { format!("{}; {advice}", self.0.what) }
    }
}

impl fmt::Debug for Error {
    /// Writes the text of [`explain`](Error::explain), because Rust prints the `Debug` form of an error that `main`
    /// returns.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.explain())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.what)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_deref().map(|source| source as _)
    }
}

macro_rules! kinds {
    ($($(#[doc = $doc:literal])+ $name:ident $advice:literal,)*) => {
        /// The kind of an [`Error`]. Many kinds can be about a certificate of either side. [`Error::blame`] tells which side
        /// is at fault.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Kind {
            $($(#[doc = $doc])+ $name,)*
        }

        impl Kind {
            /// All kinds, for tables and metrics.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// Returns advice as a clause that can follow a semicolon. The text is empty for `Io` and `System`.
            pub const fn advice(self) -> &'static str {
                match self { $(Self::$name => $advice,)* }
            }
        }
    };
}

kinds! {
    /// A file or folder cannot be read.
    Read "check the path and the permissions of the file",
    /// A PEM file has no section of the right kind, or has a malformed section.
    Pem "the file must have PEM sections (`-----BEGIN …-----`) of the right kind",
    /// A certificate is not DER of X.509 version 3, or has an unknown critical extension.
    Malformed "the certificate must be X.509 version 3 (RFC 5280)",
    /// A private key is encrypted, or the cryptography provider cannot use it.
    Key "the private key must be unencrypted, in PKCS #8, PKCS #1 or SEC 1, and for ECDSA on P-256 or P-384, Ed25519, or RSA \
         of 2048 to 8192 bits",
    /// The private key does not belong to the certificate.
    KeyMismatch "give the key for which the certificate was issued; perhaps a renewal replaced only one of the two files",
    /// A certificate has expired.
    Expired "renew the certificate, and check the clock of this machine",
    /// A certificate is not valid yet.
    NotYetValid "check the clock of this machine",
    /// The peer's certificate is a CA certificate, but must be an end-entity certificate.
    CaAsLeaf "issue the certificate without CA:TRUE (`openssl req -x509` sets CA:TRUE); a client can also pin the key of a server",
    /// A certificate of the [`CaSet`](crate::CaSet) is not a CA certificate.
    NotCa "a CA certificate must have basic constraints with CA:TRUE; to trust a single server, pin its key",
    /// The extended key usage of a certificate does not allow the side that uses the certificate: a server or a client.
    Purpose "issue the certificate with the extended key usage serverAuth for a server, clientAuth for a client, or both",
    /// An RSA key has fewer than 2048 bits.
    WeakKey "use a key for ECDSA on P-256, Ed25519, or RSA of at least 2048 bits",
    /// No CA or no pin was given, or a folder has no file with CAs.
    NoTrust "give at least one CA or pin",
    /// Different CAs from different files have the same label, and the program has set at most one of the two.
    Label "give each CA a label, with `CaSet::labelled` or `CaSet::labelled_by_file`",
    /// A CA has no revocation list, although the caller gave revocation lists.
    CrlMissing "give a revocation list of every CA, or of no CA",
    /// A revocation list cannot be used. It is malformed, it is a delta list or an indirect list, or its signature is
    /// wrong. The kind is also `Crl` if two CAs have the same name, because it is then unknown which of them issued the
    /// list.
    Crl "a revocation list must be a complete X.509 version 2 list (RFC 5280 §5), signed by the CA whose certificates it covers",
    /// A revocation list has expired: the time of its next update has passed.
    CrlExpired "fetch the current revocation list, and reload the policy",
    /// No revocation list covers a certificate of the chain.
    RevocationUnknown "give the revocation list of every CA in the chain; if there is any list, the whole chain is checked",
    /// A certificate of the chain was revoked.
    Revoked "issue a new certificate",
    /// No chain leads from the certificate to a trusted CA.
    UnknownIssuer "add the CA to the trusted CAs, or add the missing intermediate certificates to the PEM file of the peer",
    /// The certificate is self-signed.
    SelfSigned "use a certificate that a CA issued; a client can also pin the key of a server",
    /// The signature of a certificate or of the handshake is wrong.
    Signature "likely causes: another CA with the same name, a certificate that the CA signed with an earlier key, or a forgery",
    /// The cryptography provider does not support a signature algorithm or a type of key.
    Algorithm "use a key for ECDSA, Ed25519 or RSA, and signatures with SHA-256 or better",
    /// The chain violates a CA's constraint on names or on the length of the path, or exceeds a limit on its complexity.
    Constraint "issue a certificate that meets the constraints of every CA in its chain",
    /// The certificate is not for the expected name, or the expected name is not valid.
    Name "connect by a name that the certificate has as subjectAltName, or set `server_name`",
    /// The policy checks the server's name, but the address has no name.
    NameMissing "set `server_name`, or build the policy with `ClientTls::private(ca_set).without_name_check()`",
    /// The server's key is not pinned.
    Pin "if the server's key was changed on purpose, add its pin",
    /// The peer sent no certificate, or an identity was made without a certificate.
    NoCertificate "give the client an identity, with `ClientTlsBuilder::identity`",
    /// The cryptography provider lacks a cipher suite or a function that the policy needs.
    Provider "use a provider that has ECDHE with AES-GCM or ChaCha20-Poly1305",
    /// A reload is impossible, because the policy has a value from memory, or no value from a file.
    Reload "build a new policy and pass it to `replace`",
    /// A replacement would change whether clients need a certificate, or how servers are trusted.
    Replace "replace a policy only by a policy of the same kind",
    /// The peers have no application protocol in common.
    Alpn "the peer must support `http/1.1` as an application protocol (ALPN)",
    /// The peers have no version, cipher suite, group or signature scheme in common.
    Incompatible "both sides must have TLS 1.2 or 1.3 with ECDHE and AES-GCM or ChaCha20-Poly1305",
    /// The peer violated the protocol.
    Protocol "check that the peer expects TLS on this port",
    /// The peer refused this side, with an alert ([`Error::alert`]).
    Refused "see the peer's log",
    /// The connection ended in the middle of the handshake.
    Closed "see the peer's log; a device on the path may also have closed the connection",
    /// The connection failed.
    Io "",
    /// The system cannot tell the current time or has no random numbers, or the keys of a TLS 1.2 connection are used up.
    System "",
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// Returns the name of an alert as RFC 8446 §6 and RFC 5246 §7.2 write it, such as `unknown_ca`.
///
/// ```
/// use degu_tls::{error::alert_name, rustls::AlertDescription};
///
/// assert_eq!(alert_name(AlertDescription::UnknownCA), "unknown_ca");
/// ```
pub fn alert_name(alert: AlertDescription) -> String {
    match (alert, alert.as_str()) {
        // For these alerts, the name in rustls differs from the name in the RFCs.
        (AlertDescription::UnrecognisedName, _) => "unrecognized_name".into(),
        (AlertDescription::EncryptedClientHelloRequired, _) => "ech_required".into(),
        (_, Some(name)) => name.to_snake_case(),
        (_, None) => "an alert that is not registered".into(),
    }
}

/// Returns at most four names as text, and the number of the others: `a, b, c, d and 96 more`.
pub(crate) fn listed(mut names: Vec<String>) -> String {
    let more = names.len().saturating_sub(4);
    names.truncate(4);
    let text = names.join(", ");
    if more > 0 { format!("{text} and {more} more") } else { text }
}

/// Returns the most likely meaning of an alert that the peer sent, and what to do about it.
const fn alert_advice(alert: AlertDescription) -> &'static str {
    use AlertDescription as A;
    match alert {
        A::UnknownCA => {
            "the peer does not trust the CA of our certificate, needs an intermediate certificate in our PEM file, or \
             cannot find out whether our certificate was revoked"
        }
        A::CertificateExpired => "our certificate has expired or is not valid yet, according to the clock of the peer",
        A::CertificateRevoked => "our certificate was revoked",
        A::CertificateRequired => "the peer demands a certificate: add an identity to the policy",
        A::UnsupportedCertificate => "our certificate has a key or an extended key usage that the peer does not accept",
        A::BadCertificate => "our certificate is malformed, or not for the name that the peer asked for",
        A::CertificateUnknown => "the peer does not accept our certificate; see the peer's log",
        A::AccessDenied => "the peer does not allow us to connect, because of a pin or another rule of the peer",
        A::DecryptError => "the peer cannot verify a signature: ours in the handshake, or one in our certificate chain",
        A::ProtocolVersion => {
            "the peer supports neither TLS 1.2 nor TLS 1.3, or supports only the TLS version that this side has \
             switched off"
        }
        A::HandshakeFailure | A::InsufficientSecurity => {
            "no cipher suite, group or signature scheme in common, or the peer demands a certificate from us"
        }
        A::NoApplicationProtocol => "the peer does not support `http/1.1` on this port",
        A::UnrecognisedName => "the peer has no certificate for the name that we asked for",
        _ => "see the peer's log",
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn each_kind_has_its_own_advice() {
        let advices: HashSet<_> = Kind::ALL.iter().map(|kind| kind.advice()).filter(|text| !text.is_empty()).collect();
        assert_eq!(advices.len(), Kind::ALL.len() - 2);
    }

    #[test]
    fn what_a_person_reads() {
        let error = Error::caller(Kind::Reload, "the CAs came from memory");
        assert_eq!(error.to_string(), "the CAs came from memory");
        assert_eq!(error.explain(), "the CAs came from memory; build a new policy and pass it to `replace`");
        assert_eq!(Error::new(Kind::Io, Blame::System, "reset").explain(), "reset");
        let refused = Error::peer(Kind::Refused, "no").with_alert(AlertDescription::CertificateRevoked);
        assert_eq!(refused.explain(), "no; our certificate was revoked");
        assert_eq!(refused.alert(), Some(AlertDescription::CertificateRevoked));
    }

    #[test]
    fn every_alert_has_a_name_of_its_own() {
        let known: HashSet<_> = (0..=u8::MAX)
            .map(AlertDescription::from)
            .filter(|alert| !matches!(alert, AlertDescription::Unknown(_)))
            .map(alert_name)
            .collect();
        assert_eq!(known.len(), 35);
        assert!(!known.contains(&alert_name(AlertDescription::Unknown(1))));
        assert!(known.contains("unknown_psk_identity") && known.contains("unrecognized_name"), "{known:?}");
    }
}
