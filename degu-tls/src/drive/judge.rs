//! The result of a handshake: the peer's identity, or the error.

use std::fmt;
use std::io;
use std::sync::Arc;

use heck::ToSnakeCase;
use rustls::{CommonState, HandshakeKind, InvalidMessage};
use rustls_pki_types::ServerName;

#[cfg(doc)]
use super::Handshake;
use crate::error::{Blame, Error, Kind, alert_name};
use crate::note::Note;
use crate::options::{HTTP_1_1, Options, now};
use crate::peer::PeerIdentity;
use crate::verify::{Side, Verifier, kind_of};

/// The part of a policy that a handshake keeps, to find the identity of the peer.
#[derive(Clone, Debug)]
pub(crate) struct Judge {
    /// The verifier of the peer, or `None` if the peer needs no certificate.
    pub(crate) verifier: Option<Arc<Verifier>>,
    /// The side of the peer.
    pub(crate) peer: Side,
    /// The expected name of a server.
    pub(crate) name: Option<ServerName<'static>>,
    pub(crate) options: Options,
}

impl Judge {
    /// Returns the peer's identity after the handshake, or `None` if the policy asks for no certificate.
    ///
    /// The verifier has left its result as a [`Note`]. If the note is about the same policy and the same chain, the
    /// identity is taken from the note. Otherwise this function verifies the certificate, at the current time. After a
    /// resumption, this function ignores the note and verifies the certificate, because rustls calls no verifier for a
    /// resumed session.
    ///
    /// # Errors
    ///
    /// The errors of [`Handshake::finish`].
    pub(crate) fn finish(
        &self,
        connection: &CommonState,
        note: Option<Note>,
    ) -> Result<Option<Arc<PeerIdentity>>, Error> {
        let Some(kind) = connection.handshake_kind().filter(|_| !connection.is_handshaking()) else {
            return Err(Error::caller(Kind::Protocol, "the TLS handshake is not complete"));
        };
        if self.options.require_alpn && connection.alpn_protocol() != Some(HTTP_1_1) {
            return Err(no_alpn(self.peer));
        }
        let Some(verifier) = &self.verifier else { return Ok(None) };
        let Some(chain @ [leaf, intermediates @ ..]) = connection.peer_certificates() else {
            return Err(self.peer.no_certificate());
        };
        if let Some(Note::Accepted { by, peer }) = note
            && kind != HandshakeKind::Resumed
            && Arc::ptr_eq(&by, &verifier.token)
            && peer.chain() == chain
        {
            return Ok(Some(peer));
        }
        let now = now(&*self.options.clock)?;
        let peer = verifier.judge(leaf, intermediates, self.name.as_ref(), now).map_err(|refusal| refusal.error)?;
        Ok(Some(Arc::new(peer)))
    }
}

/// Makes errors about a peer. `self` is the peer's side of the connection.
impl Side {
    /// Converts an error of rustls. The error may also come after the handshake: under TLS 1.3, a refused client reads
    /// the alert in place of the first response.
    pub(super) fn fault(self, error: rustls::Error, note: Option<Note>) -> Error {
        use rustls::Error as E;
        if let Some(Note::Refused(refused)) = note {
            return refused.with_source(error);
        }
        let (kind, what) = match &error {
            E::AlertReceived(alert) => {
                let what = format!("the {self} refused the connection: {}", alert_name(*alert));
                let alert = *alert;
                return Error::peer(Kind::Refused, what).with_alert(alert).with_source(error);
            }
            E::NoCertificatesPresented => return self.no_certificate().with_source(error),
            // The verifier left no note of a refusal, so it accepted the certificate. The proof that the peer holds the
            // certificate's key failed.
            E::InvalidCertificate(certificate) => (
                kind_of(certificate),
                format!("the {self} did not prove that it has the private key of its certificate ({certificate})"),
            ),
            E::PeerIncompatible(what) => {
                (Kind::Incompatible, format!("cannot agree on TLS parameters with the {self}: {}", found(what)))
            }
            E::PeerMisbehaved(what) => (Kind::Protocol, format!("the {self} broke the TLS protocol: {}", found(what))),
            E::NoApplicationProtocol => {
                (Kind::Alpn, format!("the {self} does not offer the application protocol `http/1.1` (ALPN)"))
            }
            E::FailedToGetCurrentTime | E::FailedToGetRandomBytes | E::EncryptError | E::HandshakeNotComplete => {
                return Error::new(Kind::System, Blame::System, error.to_string()).with_source(error);
            }
            E::InvalidMessage(InvalidMessage::InvalidContentType) => {
                (Kind::Protocol, format!("the {self} sent something that is not TLS"))
            }
            error => (Kind::Protocol, format!("the {self} broke the TLS protocol ({error})")),
        };
        Error::peer(kind, what).with_source(error)
    }

    fn no_certificate(self) -> Error {
        Error::peer(Kind::NoCertificate, format!("the {self} sent no certificate"))
    }

    pub(super) fn closed(self) -> Error {
        Error::peer(Kind::Closed, format!("the {self} closed the connection during the handshake"))
    }

    /// Converts an error of reading or writing. The error comes from the socket, with one exception: rustls itself
    /// returns `InvalidData` if a handshake message fills the buffer of rustls and is still incomplete.
    pub(super) fn io(self, error: io::Error) -> Error {
        if error.kind() == io::ErrorKind::InvalidData {
            return Error::peer(Kind::Protocol, format!("the {self} sent a handshake message in too many TLS records"));
        }
        let what = format!("the connection to the {self} failed during the handshake: {error}");
        Error::new(Kind::Io, Blame::System, what).with_source(error)
    }
}

/// Converts a variant of rustls's `PeerIncompatible` or `PeerMisbehaved` to text. The names of the variants are whole
/// sentences in CamelCase.
fn found(name: impl fmt::Debug) -> String {
    let text = format!("{name:?}").to_snake_case().replace('_', " ");
    text.replace("tls12", "TLS 1.2").replace("tls13", "TLS 1.3").replace("or13", "or 1.3")
}

pub(crate) fn no_alpn(peer: Side) -> Error {
    Error::peer(
        Kind::Alpn,
        format!("the {peer} did not agree to the application protocol `http/1.1` (ALPN), which the policy requires"),
    )
}
