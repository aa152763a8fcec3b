//! The response of an app.

use std::fmt;

use bytes::Bytes;
use degu_wire::machine::Reason;
use degu_wire::{BoxError, Headers, LocalBody, LocalError, reason_phrase};

use crate::tunnel::Switch;

/// A response: status, reason, headers and body.
///
/// The framing fields (`content-length`, `transfer-encoding`) and `connection` are written by the server, out of the body
/// and the state of the connection. A contradiction, such as a body with 204, is the app's failure: it is logged,
/// and the peer gets 500.
///
/// ```
/// use degu_server::{IntoResponse, Response};
///
/// let response = (200, "OK", [("content-type", "text/plain")], "hello, world").into_response();
/// assert_eq!((response.status, response.reason.as_str()), (200, "OK"));
/// assert_eq!(response.headers.get("content-type"), Some("text/plain"));
/// assert_eq!(response.body.length(), Some(12));
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
    /// Returns a response without fields.
    pub fn new(status: u16, reason: impl Into<Reason>, body: impl Into<LocalBody>) -> Self {
        Self { status, reason: reason.into(), headers: Headers::new(), body: body.into(), failure: None, switch: None }
    }

    /// Returns the response of an app that failed. The peer gets 500, or the status of the request's fault if reading
    /// it is what failed, with `connection: close` and nothing of the error; the error goes to the log.
    pub fn failed(error: impl Into<BoxError>) -> Self {
        Self { failure: Some(error.into()), ..Self::new(500, reason_phrase(500), ()) }
    }

    /// Returns the response with a header field set.
    ///
    /// # Errors
    ///
    /// What [`Headers::set`] refuses.
    pub fn with_header(mut self, name: &str, value: impl fmt::Display) -> Result<Self, LocalError> {
        self.headers.set(name, value)?;
        Ok(self)
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

/// A value that an app may return.
///
/// A [`Response`]; the tuples `(status, reason, body)` and `(status, reason, headers, body)`; text or bytes, for 200 OK
/// with that body; `()`, for 200 OK without one; and a `Result` of any of these, whose error means that the
/// [app failed](Response::failed).
pub trait IntoResponse {
    /// Returns the response.
    fn into_response(self) -> Response;
}

impl IntoResponse for Response {
    fn into_response(self) -> Response {
        self
    }
}

impl<R: Into<Reason>, B: Into<LocalBody>> IntoResponse for (u16, R, B) {
    fn into_response(self) -> Response {
        let (status, reason, body) = self;
        Response::new(status, reason, body)
    }
}

/// Headers that cannot be sent are a failure of the app.
impl<R: Into<Reason>, H: TryInto<Headers, Error: Into<BoxError>>, B: Into<LocalBody>> IntoResponse for (u16, R, H, B) {
    fn into_response(self) -> Response {
        let (status, reason, headers, body) = self;
        match headers.try_into() {
            Ok(headers) => Response { headers, ..Response::new(status, reason, body) },
            Err(error) => Response::failed(error),
        }
    }
}

impl<T: IntoResponse, E: Into<BoxError>> IntoResponse for Result<T, E> {
    fn into_response(self) -> Response {
        match self {
            Ok(response) => response.into_response(),
            Err(error) => Response::failed(error),
        }
    }
}

macro_rules! ok_with_body {
    ($($body:ty),*) => {$(
        impl IntoResponse for $body {
            fn into_response(self) -> Response {
                Response::new(200, "OK", self)
            }
        }
    )*};
}

ok_with_body!((), &'static str, &'static [u8], String, Vec<u8>, Bytes, LocalBody, degu_wire::Body);
