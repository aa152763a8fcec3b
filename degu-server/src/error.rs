//! The error of a request, which determines its response.

use std::borrow::Cow;
use std::error::Error as StdError;
use std::{fmt, io};

use degu_wire::{BoxError, Fault, RemoteError};

/// An error that determines the response to a request: an app's own, or one of the request's body.
///
/// An app makes one of a status and a text for the client, and returns it with `?`:
///
/// ```
/// use degu_server::{Error, Request, Session};
///
/// async fn changes(_: &mut Session, request: Request<'_>) -> Result<String, Error> {
///     let since = request.segments().get(1).ok_or_else(|| Error::new(404, "there is no such list"))?;
///     let since: u64 = since.parse().map_err(|_| Error::new(400, "since must be a number"))?;
///     Ok(format!("nothing has changed since {since}"))
/// }
/// # fn is_an_app(_: impl degu_server::App) {}
/// # is_an_app(changes);
/// ```
///
/// The server makes one where the body of a request cannot be read:
///
/// | error | status | the connection |
/// | --- | --- | --- |
/// | one that an app [made](Self::new) | the app's | goes on |
/// | the client broke the protocol, sent more than the limit, or closed early ([`fault`](Self::fault)) | that of the fault: 400, 413, 431 | closes after the answer |
/// | the exchange is over ([`is_over`](Self::is_over)) | 500 | closes: the app failed |
///
/// An app that returns [`BoxError`] gives the same answers: a `degu_server::Error` is found in it, also as the
/// [source](StdError::source) of another error. [`Response::from_error`](crate::Response::from_error) has the rule.
///
/// `Debug` writes the same text as `Display`, because a `main` that returns an error prints it in that form.
pub struct Error(Repr);

enum Repr {
    App(Box<Answer>),
    /// The peer broke the protocol, sent more than was allowed, or closed before the end.
    Peer(RemoteError),
    /// The exchange is over: its response has been sent, or its connection is gone.
    Over,
}

/// An app's own answer.
struct Answer {
    status: u16,
    text: Cow<'static, str>,
    source: Option<BoxError>,
}

impl Error {
    /// Returns an error that is answered with this status, and with this text as the body.
    ///
    /// The text is for the client: what went wrong, and what to send instead. It goes out as `text/plain`, or without a body
    /// if it is empty. A status that cannot be sent is a failure of the app.
    pub fn new(status: u16, text: impl Into<Cow<'static, str>>) -> Self {
        Self(Repr::App(Box::new(Answer { status, text: text.into(), source: None })))
    }

    /// Returns the error with its cause, which is for the log and is not sent. An error that the server made is
    /// returned unchanged.
    ///
    /// ```
    /// use degu_server::Error;
    ///
    /// let error = std::fs::read("/srv/no-such-file")
    ///     .map_err(|error| Error::new(503, "try again later").with_source(error))
    ///     .unwrap_err();
    /// assert_eq!((error.status(), error.to_string().as_str()), (503, "try again later"));
    /// ```
    #[must_use]
    pub fn with_source(mut self, source: impl Into<BoxError>) -> Self {
        if let Repr::App(answer) = &mut self.0 {
            answer.source = Some(source.into());
        }
        self
    }

    /// Returns the status of the answer.
    pub fn status(&self) -> u16 {
        match &self.0 {
            Repr::App(answer) => answer.status,
            Repr::Peer(fault) => fault.status(),
            Repr::Over => 500,
        }
    }

    /// Returns the fault of the client while it sent the body, if that is the reason of the error. The connection
    /// closes after the answer, because the bytes that follow cannot be understood.
    pub const fn fault(&self) -> Option<RemoteError> {
        if let Repr::Peer(fault) = self.0 { Some(fault) } else { None }
    }

    /// Returns whether the exchange is over: its response has been sent, or its connection is gone. This happens to a
    /// body that was moved into another task.
    pub const fn is_over(&self) -> bool {
        matches!(self.0, Repr::Over)
    }

    /// Returns the error of a reader whose exchange is over.
    pub(crate) const fn over() -> Self {
        Self(Repr::Over)
    }

    /// Returns the text of an app's own answer.
    pub(crate) fn text(&self) -> Option<&str> {
        if let Repr::App(answer) = &self.0 { Some(&answer.text) } else { None }
    }

    /// Finds a `degu_server::Error` in another error or in its sources.
    pub(crate) fn within(error: &BoxError) -> Option<&Self> {
        let mut cause: Option<&(dyn StdError + 'static)> = Some(&**error);
        while let Some(error) = cause {
            if let Some(found) = error.downcast_ref() {
                return Some(found);
            }
            // An I/O error that wraps another one gives that one's source as its own.
            cause = match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
                Some(inner) => Some(inner),
                None => error.source(),
            };
        }
        None
    }
}

impl From<RemoteError> for Error {
    fn from(fault: RemoteError) -> Self {
        Self(Repr::Peer(fault))
    }
}

/// Converts the error for readers of a body.
impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        let kind = match error.0 {
            Repr::App(_) => io::ErrorKind::Other,
            Repr::Peer(RemoteError { fault: Fault::TruncatedBody, .. }) => io::ErrorKind::UnexpectedEof,
            Repr::Peer(_) => io::ErrorKind::InvalidData,
            Repr::Over => io::ErrorKind::NotConnected,
        };
        Self::new(kind, error)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Repr::App(answer) if answer.text.is_empty() => f.write_str(degu_wire::reason_phrase(answer.status)),
            Repr::App(answer) => f.write_str(&answer.text),
            Repr::Peer(fault) => write!(f, "the peer sent {fault}"),
            Repr::Over => f.write_str("the exchange of this body is over"),
        }
    }
}

/// Writes the same text as `Display`.
impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match &self.0 {
            Repr::App(answer) => answer.source.as_ref().map(|source| &**source as _),
            Repr::Peer(fault) => Some(fault),
            Repr::Over => None,
        }
    }
}
