//! The response of an app.

use std::borrow::Cow;
use std::fmt;
use std::time::SystemTime;

use bytes::Bytes;
use degu_wire::machine::Reason;
use degu_wire::{BoxError, FieldError, Headers, IntoBody, LocalBody, Source, reason_phrase};

use crate::error::TEXT;
use crate::tunnel::Switch;
use crate::{Error, Options};

/// A response: status, reason, headers and body.
///
/// The server itself writes the fields `content-length`, `transfer-encoding` and `connection`. If the parts of a response
/// contradict each other (a 204 with a body, for example), the error is logged, and the client gets 500.
///
/// Most apps return shorter values: see [`IntoResponse`]. A response can also be made step by step:
///
/// ```
/// use degu_server::Response;
///
/// let response = Response::new(404).header("content-type", "text/plain").body("there is no such note");
/// assert_eq!((response.status, response.reason.as_str()), (404, "Not Found"));
/// assert_eq!(response.headers.get("content-type"), Some("text/plain"));
/// assert_eq!(response.body.length(), Some(21));
/// ```
pub struct Response {
    /// The status code, from 200 to 999.
    pub status: u16,
    /// The reason phrase, a text for people. Programs ignore it.
    pub reason: Reason,
    /// The header fields.
    pub headers: Headers,
    /// The body.
    pub body: LocalBody,
    /// The error from which the response was made, if there is one.
    error: Option<BoxError>,
    /// With status 101: the protocol to which the connection switches, and its handler.
    pub(crate) switch: Option<Box<Switch>>,
}

impl Response {
    /// Returns a response with this status and its standard reason phrase, without fields and without a body.
    pub fn new(status: u16) -> Self {
        Self::of(status, Headers::new(), LocalBody::none())
    }

    /// Returns a response with this status and its standard reason phrase.
    fn of(status: u16, mut headers: Headers, body: impl IntoBody<dyn Source>) -> Self {
        match body.into_body(&mut headers) {
            Ok(body) => {
                let reason = reason_phrase(status).into();
                Self { status, reason, headers, body, error: None, switch: None }
            }
            Err(error) => Self::from_error(error),
        }
    }

    /// Returns the response to a request that ended with an error.
    ///
    /// If `error`, or one of its [sources](std::error::Error::source), is an [`Error`], that error determines the response. Any
    /// other error is a failure of the app. The client then gets 500 and no text of the error. The server logs the error, and
    /// closes the connection after the response.
    ///
    /// Middleware may change the response, and [`Options::error_body`](crate::Options::error_body) may replace its text. With
    /// [`ErrorReply::Silent`](crate::ErrorReply::Silent), a client that broke the protocol gets no response.
    pub fn from_error(error: impl Into<BoxError>) -> Self {
        let error = error.into();
        let known = Error::within(&error);
        let (status, text) = answer_of(known);
        let mut response = Self::new(status);
        if !text.is_empty() {
            response = response.header("content-type", TEXT).body(text.into_owned());
        }
        for (name, value) in known.map_or(&[][..], Error::fields) {
            response = response.header(name, value);
        }
        // If a field cannot be sent, the response already has the error of that field.
        response.error.get_or_insert(error);
        response
    }

    /// Returns whether the status means success, which is 200 to 299 (RFC 9110 §15.3).
    pub const fn is_success(&self) -> bool {
        matches!(self.status, 200..=299)
    }

    /// Returns the response with this reason phrase.
    #[must_use]
    pub fn reason(mut self, reason: impl Into<Reason>) -> Self {
        self.reason = reason.into();
        self
    }

    /// Returns the response with this header field. Removes earlier fields of the same name. If the name or the value is
    /// [malformed](Headers::set), the response becomes the 500 of a [failed app](Self::from_error).
    #[must_use]
    pub fn header(mut self, name: &str, value: impl fmt::Display) -> Self {
        match self.headers.set(name, value) {
            Ok(()) => self,
            Err(rule) => Self::from_error(FieldError::new(name, rule)),
        }
    }

    /// Returns the response with this body. A body such as `Json` also sets its content-type, unless the response already has
    /// one. If the value cannot be converted into a body, the response becomes the 500 of a [failed app](Self::from_error).
    #[must_use]
    pub fn body(mut self, body: impl IntoBody<dyn Source>) -> Self {
        match body.into_body(&mut self.headers) {
            Ok(body) => {
                self.body = body;
                self
            }
            Err(error) => Self::from_error(error),
        }
    }

    /// Returns the error from which the response was [made](Self::from_error), if there is one. Middleware can log the error, or
    /// replace the response.
    pub fn error(&self) -> Option<&BoxError> {
        self.error.as_ref()
    }

    /// Returns whether the response was made from an error, or may switch to another protocol.
    pub(crate) const fn is_special(&self) -> bool {
        self.error.is_some() || self.switch.is_some()
    }

    pub(crate) fn take_error(&mut self) -> Option<BoxError> {
        self.error.take()
    }

    /// Replaces the text of an error response by the body that [`Options::error_body`] returns, unless the app has set another
    /// content-type than [`TEXT`].
    pub(crate) fn set_error_body(&mut self, error: &BoxError, options: &Options) {
        if options.error_body.is_none() || self.headers.get("content-type") != Some(TEXT) {
            return;
        }
        let (_, text) = answer_of(Error::within(error));
        let (media_type, body) = options.body_of_error(self.status, text.into_owned());
        if self.headers.set("content-type", media_type).is_ok() {
            self.body = body.into();
        }
    }
}

impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Response")
            .field("status", &self.status)
            .field("reason", &self.reason)
            .field("headers", &self.headers)
            .field("body", &self.body)
            .field("error", &self.error())
            .finish()
    }
}

/// Returns the status and the text of the response to an error. `None` stands for any error of the app that is not an
/// [`Error`].
fn answer_of(error: Option<&Error>) -> (u16, Cow<'_, str>) {
    let Some(error) = error else { return (500, refusal(500, "the server failed").into()) };
    let status = error.status();
    match error.fault() {
        Some(fault) => (status, refusal(status, fault).into()),
        None => (status, error.text().into()),
    }
}

/// Returns the text of an error response: a line with the standard phrase of the status, a colon, and `why`.
pub(crate) fn refusal(status: u16, why: impl fmt::Display) -> String {
    format!("{}: {why}\n", reason_phrase(status))
}

/// Returns the bytes of a response that refuses a request, and the length of its body. `text` is the default text of the
/// response. Only code without the machine of degu-wire calls this function: the acceptor, and `hyper::serve`.
pub(crate) fn last_response(options: &Options, status: u16, text: String, is_head: bool) -> (Vec<u8>, usize) {
    let (media_type, body) = options.body_of_error(status, text);
    let (phrase, length) = (reason_phrase(status), body.len());
    let body = if is_head { "" } else { &body };
    let date = match options.date {
        true => format!("date: {}\r\n", httpdate::fmt_http_date(SystemTime::now())),
        false => String::new(),
    };
    let response = format!(
        "HTTP/1.1 {status} {phrase}\r\ncontent-type: {media_type}\r\ncontent-length: {length}\r\n{date}\
         connection: close\r\n\r\n{body}"
    );
    (response.into_bytes(), body.len())
}

/// A value that an app may return. The server converts it into a response.
///
/// | value | response |
/// | --- | --- |
/// | `404` | the status, without a body |
/// | `(404, "no such note")` | the status with a body |
/// | `(405, [("allow", "GET, HEAD")], ())` | the status with header fields and a body |
/// | `(404, "No Such Note", (), "no such note")` | the status with a reason phrase, header fields and a body |
/// | `()`, text, bytes, a [`Body`](crate::Body) | 200 with that body |
/// | `Json(value)` | 200 with the value as JSON, and the content-type `application/json` |
/// | `Ok(value)`, `Err(value)` | the response of the value |
/// | an [`Error`] | the status and the text of the error |
/// | a [`BoxError`] | 500, or the response of an [`Error`] [inside it](Response::from_error) |
///
/// A body is a value of any type that implements [`IntoBody`], such as `Json` of the feature `json`. A response without
/// a reason phrase gets the standard phrase of its status. If a header field is malformed, the client gets 500.
/// `into()` converts any of these values except `Result` into a [`Response`], so the arms of a `match` can have
/// different types:
///
/// ```
/// use degu_server::{Method, Request, Response, Session};
///
/// async fn app(_: &mut Session, request: Request<'_>) -> Response {
///     match (request.method(), request.segments()) {
///         (Method::Get | Method::Head, ["example"]) => "hello, world".into(),
///         (Method::Get | Method::Head, _) => 404.into(),
///         _ => (405, [("allow", "GET, HEAD")], ()).into(),
///     }
/// }
/// # fn is_an_app(_: impl degu_server::App) {}
/// # is_an_app(app);
/// ```
pub trait IntoResponse {
    /// Returns the response.
    fn into_response(self) -> Response;
}

impl<T: Into<Response>> IntoResponse for T {
    fn into_response(self) -> Response {
        self.into()
    }
}

impl<T: IntoResponse, E: IntoResponse> IntoResponse for Result<T, E> {
    fn into_response(self) -> Response {
        match self {
            Ok(response) => response.into_response(),
            Err(error) => error.into_response(),
        }
    }
}

impl From<u16> for Response {
    fn from(status: u16) -> Self {
        Self::new(status)
    }
}

impl<B: IntoBody<dyn Source>> From<(u16, B)> for Response {
    fn from((status, body): (u16, B)) -> Self {
        Self::of(status, Headers::new(), body)
    }
}

impl<H: TryInto<Headers, Error: Into<BoxError>>, B: IntoBody<dyn Source>> From<(u16, H, B)> for Response {
    fn from((status, headers, body): (u16, H, B)) -> Self {
        match headers.try_into() {
            Ok(headers) => Self::of(status, headers, body),
            Err(error) => Self::from_error(error),
        }
    }
}

impl<R, H, B> From<(u16, R, H, B)> for Response
where
    R: Into<Reason>,
    H: TryInto<Headers, Error: Into<BoxError>>,
    B: IntoBody<dyn Source>,
{
    fn from((status, reason, headers, body): (u16, R, H, B)) -> Self {
        Self::from((status, headers, body)).reason(reason)
    }
}

impl From<Error> for Response {
    fn from(error: Error) -> Self {
        Self::from_error(error)
    }
}

impl From<BoxError> for Response {
    fn from(error: BoxError) -> Self {
        Self::from_error(error)
    }
}

macro_rules! ok_with_body {
    ($($body:ty),*) => {$(
        impl From<$body> for Response {
            fn from(body: $body) -> Self {
                Self::of(200, Headers::new(), body)
            }
        }
    )*};
}

/// Returns a response with status 200 and the value as JSON.
#[cfg(feature = "json")]
impl<T: serde::Serialize> From<degu_wire::Json<T>> for Response {
    fn from(value: degu_wire::Json<T>) -> Self {
        Self::of(200, Headers::new(), value)
    }
}

ok_with_body!((), &'static str, &'static [u8], String, Vec<u8>, Bytes, LocalBody, degu_wire::Body);
