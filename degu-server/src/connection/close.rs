//! The reasons for which a connection ends.

use std::fmt;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};

use degu_wire::{Address, BoxError, LocalError, RemoteError};
use tracing::field;

use super::deadline::Wait;
use crate::response::refusal;
use crate::state::ServerState;
use crate::stats::{Counters, add};

/// The reason for which a connection ended, for the log and the counters.
pub(crate) enum CloseReason {
    /// The client closed the connection between two requests.
    Client,
    /// The connection was not kept alive after its last response.
    LastResponse,
    /// `on_connect` refused the connection.
    Unwanted,
    /// The peer broke the protocol.
    Peer(RemoteError),
    /// A deadline expired.
    Deadline(Wait),
    /// The peer closed or reset the connection in the middle of an exchange. Contains the error of the socket if a read or a
    /// write failed, and `None` if the kernel was asked about the peer or the stream of a tunnel failed.
    Gone(Option<io::Error>),
    /// The handshake failed.
    #[cfg(feature = "tls")]
    Handshake(degu_tls::Error),
    /// The app failed.
    App(BoxError),
    /// The app panicked.
    Panic,
    /// The body of the app's response returned an error after the response had begun.
    Body(BoxError),
    /// The app's response breaks a rule of HTTP, so it cannot be sent.
    Response(LocalError),
    /// The server shuts down.
    Shutdown,
    /// The connection was idle, and was closed to make room for another connection.
    Room,
    /// The certificate of the peer was revoked.
    #[cfg(all(feature = "hyper", feature = "tls"))]
    Revoked,
    /// The connection had switched to another protocol, and the handler of that protocol has returned.
    Tunnel,
}

impl CloseReason {
    /// Returns the status of the error response for this reason, or `None` if there is no such response. The error response is
    /// sent only if no other response has begun.
    pub(crate) const fn status(&self) -> Option<u16> {
        match self {
            Self::Peer(error) => Some(error.status()),
            Self::Deadline(Wait::Head | Wait::Body) => Some(408),
            Self::Deadline(Wait::Handler) => Some(503),
            Self::App(_) | Self::Panic | Self::Response(_) | Self::Body(_) => Some(500),
            _ => None,
        }
    }

    /// Returns whether the app or the server is at fault, and not the peer.
    pub(crate) const fn is_ours(&self) -> bool {
        matches!(self, Self::App(_) | Self::Panic | Self::Body(_) | Self::Response(_) | Self::Deadline(Wait::Handler))
    }

    /// Returns the text of the response with the [status](Self::status). The text names the rule that the peer has
    /// broken. The text contains no byte that the peer sent, and no details about a failure of the server.
    pub(crate) fn text(&self, status: u16) -> String {
        match self {
            Self::Peer(error) => refusal(status, error),
            Self::Deadline(_) => refusal(status, self.explain()),
            _ => refusal(status, "the server failed"),
        }
    }

    /// Returns whether the server refused a request or the handshake of the peer. The end of such a connection is logged at
    /// `INFO`, because the user of the peer may ask the operator for the reason.
    fn is_refusal(&self) -> bool {
        match self {
            // A peer that closes the connection during the handshake was not refused. The peer may only test whether
            // the server listens.
            #[cfg(feature = "tls")]
            Self::Handshake(error) => {
                !matches!(error.kind(), degu_tls::error::Kind::Closed | degu_tls::error::Kind::Io)
            }
            #[cfg(all(feature = "hyper", feature = "tls"))]
            Self::Revoked => true,
            _ => self.status().is_some(),
        }
    }

    /// Logs the end of a connection.
    pub(crate) fn log(&self, server: &ServerState, peer: &Address, requests: u64) {
        if self.is_ours() {
            return tracing::error!(%peer, requests, reason = %self, "connection ends");
        }
        let Some(suppressed_lines) = self.is_refusal().then(|| server.may_log()).flatten() else {
            return tracing::debug!(%peer, requests, reason = %self, "connection ends");
        };
        let error = if let Self::Peer(error) = self { Some(error) } else { None };
        let fault = error.map(|error| field::debug(error.fault));
        let offset = error.map(|error| error.offset);
        tracing::info!(%peer, requests, reason = %self, fault, offset, suppressed_lines, "connection ends");
    }

    /// Adds the reason to the counters.
    pub(super) fn count(&self, counters: &Counters) {
        let counter = match self {
            Self::Peer(error) => counters.fault(error.fault),
            Self::Gone(_) | Self::Deadline(Wait::HalfClosed) => &counters.gone,
            Self::Deadline(_) => &counters.deadlines,
            #[cfg(feature = "tls")]
            Self::Handshake(_) => &counters.handshake_failures,
            reason if reason.is_ours() => &counters.failures,
            _ => return,
        };
        add(counter, 1);
    }

    /// Returns the reason as a clause, without the details that `Display` adds.
    pub(crate) const fn explain(&self) -> &'static str {
        match self {
            Self::Client => "the client closed the connection",
            Self::LastResponse => "the connection was not kept alive after its last response",
            Self::Unwanted => "`on_connect` refused the connection",
            Self::Peer(_) => "the peer broke the protocol",
            Self::Deadline(Wait::Request | Wait::Idle) => "the connection was idle for too long",
            Self::Deadline(Wait::Head) => "the client sent the head of a request too slowly",
            Self::Deadline(Wait::Body) => "the client sent the body of a request too slowly",
            Self::Deadline(Wait::Write) => "the client read a response too slowly",
            Self::Deadline(Wait::Handler) => "the app took too long",
            #[cfg(feature = "tls")]
            Self::Deadline(Wait::Handshake) => "the handshake took too long",
            #[cfg(feature = "tls")]
            Self::Handshake(_) => "the handshake failed",
            Self::Deadline(Wait::Linger) => "the peer did not close the connection in time",
            Self::Deadline(Wait::HalfClosed) => {
                "the peer half-closed the connection, and no byte passed for `half_close_timeout`"
            }
            Self::Deadline(Wait::Tunnel) => "no byte passed through the tunnel for `tunnel_idle_timeout`",
            Self::Gone(_) => "the peer is gone",
            Self::App(_) => "the app failed",
            Self::Panic => "the app panicked",
            Self::Body(_) => "the body of a response returned an error",
            Self::Response(_) => "the response of the app cannot be sent",
            Self::Shutdown => "the server shuts down",
            Self::Room => "the server closed an idle connection to make room for another connection",
            #[cfg(all(feature = "hyper", feature = "tls"))]
            Self::Revoked => "the certificate of the client was revoked",
            Self::Tunnel => "the tunnel's handler has returned",
        }
    }
}

#[cfg(feature = "tls")]
impl From<degu_tls::Error> for CloseReason {
    fn from(error: degu_tls::Error) -> Self {
        Self::Handshake(error)
    }
}

impl From<io::Error> for CloseReason {
    fn from(error: io::Error) -> Self {
        Self::Gone(Some(error))
    }
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.explain())?;
        match self {
            Self::Peer(error) => write!(f, ": {error}"),
            Self::App(error) | Self::Body(error) => write!(f, ": {error}"),
            Self::Response(error) => write!(f, ": {error}"),
            #[cfg(feature = "tls")]
            Self::Handshake(error) => write!(f, ": {}", error.explain()),
            Self::Gone(Some(error)) => write!(f, ": {error}"),
            _ => Ok(()),
        }
    }
}

/// Calls a function of the app, or polls a future of the app. Converts a panic into [`CloseReason::Panic`].
pub(crate) fn caught<T>(call: impl FnOnce() -> T) -> Result<T, CloseReason> {
    catch_unwind(AssertUnwindSafe(call)).map_err(|_| CloseReason::Panic)
}
