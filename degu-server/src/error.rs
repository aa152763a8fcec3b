//! The error that determines the response to a request.

use std::borrow::Cow;
use std::error::Error as StdError;
use std::{fmt, io};

use degu_wire::{BoxError, Fault, RemoteError};

/// The media type of an error text.
pub(crate) const TEXT: &str = "text/plain";

/// An error that determines the response to a request. The app makes the error, or a read of the request's body returns
/// the error.
///
/// An app makes an error from a status and a text for the client:
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
/// These are all errors of this type:
///
/// | error | status of the response | the connection |
/// | --- | --- | --- |
/// | the app [made](Self::new) the error | chosen by the app | stays open |
/// | the client broke the protocol in the body, exceeded a limit, or closed early ([`fault`](Self::fault)) | 400, 413 or 431, according to the fault | is closed after the response |
/// | the body was read after the end of its exchange ([`is_over`](Self::is_over)) | 500, because the app failed | is closed |
///
/// An app may also return a [`BoxError`] that contains a `degu_server::Error`, even as the [source](StdError::source) of
/// another error. The response is the same: see [`Response::from_error`](crate::Response::from_error).
///
/// `Debug` writes the same text as `Display`, because Rust prints the error of a `main` with `Debug`.
pub struct Error(Repr);

enum Repr {
    App(Box<Answer>),
    /// The peer broke the protocol, exceeded a limit, or closed the connection before the end of the body.
    Peer(RemoteError),
    /// The exchange of the body is over: the response has been sent, or the connection has ended.
    Over,
}

/// The response that an app has chosen, and the cause for the log.
struct Answer {
    status: u16,
    text: Cow<'static, str>,
    fields: Vec<(&'static str, String)>,
    source: Option<BoxError>,
}

impl Error {
    /// Returns an error for a response with this status, and with this text as its body.
    ///
    /// The text should tell the client what went wrong, and what to send instead. The text is sent as `text/plain`. If the text
    /// is empty, the response has no body. If the status is not from 200 to 999, the client gets 500.
    pub fn new(status: u16, text: impl Into<Cow<'static, str>>) -> Self {
        Self(Repr::App(Box::new(Answer { status, text: text.into(), fields: Vec::new(), source: None })))
    }

    /// Returns the error with its cause, which is logged and not sent to the client. An error that the app did not make is
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

    /// Returns the error with a header field for its response. A 401, for example, must have `www-authenticate` (RFC 9110
    /// §15.5.2). If the field is [malformed](degu_wire::Headers::set), the client gets 500. An error that the app did not make
    /// is returned unchanged.
    ///
    /// ```
    /// use degu_server::{Error, Response};
    ///
    /// let error = Error::new(401, "who are you?").header("www-authenticate", "Basic realm=\"notes\"");
    /// assert_eq!(Response::from(error).headers.get("www-authenticate"), Some("Basic realm=\"notes\""));
    /// ```
    #[must_use]
    pub fn header(mut self, name: &'static str, value: impl fmt::Display) -> Self {
        if let Repr::App(answer) = &mut self.0 {
            answer.fields.push((name, value.to_string()));
        }
        self
    }

    /// Returns the status of the response to this error.
    pub fn status(&self) -> u16 {
        match &self.0 {
            Repr::App(answer) => answer.status,
            Repr::Peer(fault) => fault.status(),
            Repr::Over => 500,
        }
    }

    /// Returns the client's fault in the body, if such a fault caused the error. The connection is closed after the response,
    /// because the server does not know where the next request begins.
    pub const fn fault(&self) -> Option<RemoteError> {
        if let Repr::Peer(fault) = self.0 { Some(fault) } else { None }
    }

    /// Returns whether the body was read after the end of its exchange: the response has been sent, or the connection
    /// has ended. Only a body that was moved into another task can be read so late.
    pub const fn is_over(&self) -> bool {
        matches!(self.0, Repr::Over)
    }

    /// Returns the error for reading a body after the end of its exchange.
    pub(crate) const fn over() -> Self {
        Self(Repr::Over)
    }

    /// Returns the text of an error that the app made. The text of other errors is empty.
    pub(crate) fn text(&self) -> &str {
        if let Repr::App(answer) = &self.0 { &answer.text } else { "" }
    }

    /// Returns the header fields of an error that the app made. Other errors have none.
    pub(crate) fn fields(&self) -> &[(&'static str, String)] {
        if let Repr::App(answer) = &self.0 { &answer.fields } else { &[] }
    }

    /// Returns the `degu_server::Error` that determines the response to `error`: `error` itself, or one of its sources.
    /// Returns `None` if there is no `degu_server::Error`, or if [`is_over`](Self::is_over) is true for it, which is a
    /// failure of the app.
    pub(crate) fn within(error: &BoxError) -> Option<&Self> {
        let mut cause: Option<&(dyn StdError + 'static)> = Some(&**error);
        while let Some(error) = cause {
            if let Some(found) = error.downcast_ref::<Self>() {
                return Some(found).filter(|found| !found.is_over());
            }
            // If an I/O error wraps another error, its `source` skips that error.
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

/// Converts the error, because a [`Reader`](crate::Reader) returns I/O errors.
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
            Repr::Over => f.write_str(
                "the body of the request cannot be read any more: the response was sent or the connection has ended",
            ),
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
