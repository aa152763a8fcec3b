//! The response of an app.

use std::fmt;

use bytes::Bytes;
use degu_wire::machine::Reason;
use degu_wire::{BoxError, FieldError, Headers, LocalBody, reason_phrase};

use crate::BodyError;
use crate::tunnel::Switch;

/// A response: status, reason, headers and body.
///
/// The framing fields (`content-length`, `transfer-encoding`) and `connection` are written by the server, out of the body
/// and the state of the connection. A contradiction, such as a body with 204, is the app's failure: it is logged,
/// and the peer gets 500.
///
/// Most responses are made from shorter values, of which [`IntoResponse`] has the list. Step by step:
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
    /// The reason phrase: text for people.
    pub reason: Reason,
    /// The header fields.
    pub headers: Headers,
    /// The body.
    pub body: LocalBody,
    failure: Option<BoxError>,
    /// With status 101: the protocol to go on in, and its handler.
    pub(crate) switch: Option<Box<Switch>>,
}

impl Response {
    /// Returns a response with the status's usual reason phrase, without fields and without a body.
    pub fn new(status: u16) -> Self {
        let reason = reason_phrase(status).into();
        Self { status, reason, headers: Headers::new(), body: LocalBody::none(), failure: None, switch: None }
    }

    /// Returns the response of an app that failed. The peer gets 500, or the status of the request's fault if reading
    /// it is what failed, with `connection: close` and nothing of the error; the error goes to the log.
    pub fn failed(error: impl Into<BoxError>) -> Self {
        Self { failure: Some(error.into()), ..Self::new(500) }
    }

    /// Returns the response with this reason phrase in place of the usual one.
    #[must_use]
    pub fn reason(mut self, reason: impl Into<Reason>) -> Self {
        self.reason = reason.into();
        self
    }

    /// Returns the response with a header field set. A field that [cannot be sent](Headers::set) is a
    /// [failure](Self::failed) of the app.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl fmt::Display) -> Self {
        match self.headers.set(name, value) {
            Ok(()) => self,
            Err(rule) => Self::failed(FieldError::new(name, rule)),
        }
    }

    /// Returns the response with this body.
    #[must_use]
    pub fn body(mut self, body: impl Into<LocalBody>) -> Self {
        self.body = body.into();
        self
    }

    /// Returns the error, if the app [failed](Self::failed): for middleware that logs or replaces it.
    pub fn failure(&self) -> Option<&BoxError> {
        self.failure.as_ref()
    }

    pub(crate) fn take_failure(&mut self) -> Option<BoxError> {
        self.failure.take()
    }
}

impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Response")
            .field("status", &self.status)
            .field("reason", &self.reason)
            .field("headers", &self.headers)
            .field("body", &self.body)
            .field("failure", &self.failure)
            .finish()
    }
}

/// A value that an app may return, or that a response is made from.
///
/// | value | response |
/// | --- | --- |
/// | `404` | the status alone |
/// | `(404, "no such note")` | with a body |
/// | `(405, [("allow", "GET")], ())` | with header fields and a body |
/// | `(404, "No Such Note", (), "no such note")` | with a reason phrase of the app's own |
/// | `()`, text, bytes, a [`Body`](crate::Body) | 200 with that body |
/// | `Ok(value)`, `Err(value)` | that of the value |
/// | a [`BoxError`] | the [app failed](Response::failed): 500 |
///
/// The reason phrase of a status is the usual one where none is given. Header fields that cannot be sent are a failure of the
/// app. All but the `Result` go into a [`Response`] with `into()` too, so that the arms of a `match` can differ:
///
/// ```
/// use degu_server::{Method, Request, Response, Session};
///
/// async fn app(_: &mut Session, request: Request<'_>) -> Response {
///     match (request.method(), request.segments()) {
///         (Method::Get, ["example"]) => "hello, world".into(),
///         (Method::Get, _) => 404.into(),
///         _ => (405, [("allow", "GET")], ()).into(),
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

impl<B: Into<LocalBody>> From<(u16, B)> for Response {
    fn from((status, body): (u16, B)) -> Self {
        Self::new(status).body(body)
    }
}

impl<H: TryInto<Headers, Error: Into<BoxError>>, B: Into<LocalBody>> From<(u16, H, B)> for Response {
    fn from((status, headers, body): (u16, H, B)) -> Self {
        match headers.try_into() {
            Ok(headers) => Self { headers, ..Self::new(status).body(body) },
            Err(error) => Self::failed(error),
        }
    }
}

impl<R, H, B> From<(u16, R, H, B)> for Response
where
    R: Into<Reason>,
    H: TryInto<Headers, Error: Into<BoxError>>,
    B: Into<LocalBody>,
{
    fn from((status, reason, headers, body): (u16, R, H, B)) -> Self {
        Self::from((status, headers, body)).reason(reason)
    }
}

impl From<BodyError> for Response {
    fn from(error: BodyError) -> Self {
        Self::failed(error)
    }
}

impl From<BoxError> for Response {
    fn from(error: BoxError) -> Self {
        Self::failed(error)
    }
}

macro_rules! ok_with_body {
    ($($body:ty),*) => {$(
        impl From<$body> for Response {
            fn from(body: $body) -> Self {
                Self::new(200).body(body)
            }
        }
    )*};
}

ok_with_body!((), &'static str, &'static [u8], String, Vec<u8>, Bytes, LocalBody, degu_wire::Body);
