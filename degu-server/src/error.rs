//! The error of a request, which determines its response.

use std::borrow::Cow;
use std::error::Error as StdError;
use std::{fmt, io};

use degu_wire::{BoxError, Fault, RemoteError};

/// The media type of the text of an error.
pub(crate) const TEXT: &str = "text/plain";

/// An error that determines the response to a request. It comes from the app, or from reading the request's body.
///
/// An app makes an error from a status and a text for the client, and returns it with `?`:
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
/// The server makes such an error if the body of a request cannot be read. All errors of this type:
///
/// | error | status | the connection |
/// | --- | --- | --- |
/// | [made](Self::new) by an app | chosen by the app | stays open |
/// | the client broke the protocol, sent more than the limit, or closed early ([`fault`](Self::fault)) | the status of the fault: 400, 413 or 431 | is closed after the response |
/// | the exchange is over ([`is_over`](Self::is_over)) | 500, because the app failed | is closed |
///
/// An app that returns [`BoxError`] gives the same responses: [`Response::from_error`](crate::Response::from_error) finds a
/// `degu_server::Error` in it, even as the [source](StdError::source) of another error.
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

/// The status and the text that an app has chosen.
struct Answer {
    status: u16,
    text: Cow<'static, str>,
    fields: Vec<(&'static str, String)>,
    source: Option<BoxError>,
}

impl Error {
    /// Returns an error whose response has this status, and this text as its body.
    ///
    /// The text is for the client: it says what went wrong, and what to send instead. It is sent as `text/plain`. If it is
    /// empty, the response has no body. A status that cannot be sent is a failure of the app.
    pub fn new(status: u16, text: impl Into<Cow<'static, str>>) -> Self {
        Self(Repr::App(Box::new(Answer { status, text: text.into(), fields: Vec::new(), source: None })))
    }

    /// Returns the error with its cause, which is logged and not sent. An error that the server made is returned unchanged.
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

    /// Returns the error with a header field for its response, such as `www-authenticate`, which a 401 must have (RFC 9110
    /// §15.5.2). A field that [cannot be sent](degu_wire::Headers::set) is a failure of the app. An error that the server made
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

    /// Returns the status of the response.
    pub fn status(&self) -> u16 {
        match &self.0 {
            Repr::App(answer) => answer.status,
            Repr::Peer(fault) => fault.status(),
            Repr::Over => 500,
        }
    }

    /// Returns the client's fault in the body, if that is the reason for the error. The connection is closed after the response,
    /// because the bytes that follow cannot be understood.
    pub const fn fault(&self) -> Option<RemoteError> {
        if let Repr::Peer(fault) = self.0 { Some(fault) } else { None }
    }

    /// Returns whether the error is that the exchange is over: its response has been sent, or its connection is gone. This
    /// happens to a body that was moved into another task.
    pub const fn is_over(&self) -> bool {
        matches!(self.0, Repr::Over)
    }

    /// Returns the error of a reader whose exchange is over.
    pub(crate) const fn over() -> Self {
        Self(Repr::Over)
    }

    /// Returns the text of an app's own error.
    pub(crate) fn text(&self) -> &str {
        if let Repr::App(answer) = &self.0 { &answer.text } else { "" }
    }

    /// Returns the header fields of an app's own error.
    pub(crate) fn fields(&self) -> &[(&'static str, String)] {
        if let Repr::App(answer) = &self.0 { &answer.fields } else { &[] }
    }

    /// Returns the `degu_server::Error` that another error is, or has among its sources. `None` if there is none, or if the exchange
    /// of its body is over. The app has failed then.
    pub(crate) fn within(error: &BoxError) -> Option<&Self> {
        let mut cause: Option<&(dyn StdError + 'static)> = Some(&**error);
        while let Some(error) = cause {
            if let Some(found) = error.downcast_ref::<Self>() {
                return Some(found).filter(|found| !found.is_over());
            }
            // `source` of an I/O error that wraps another error skips that error.
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
            Repr::Over => f.write_str("the exchange that this body belongs to has ended"),
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
