//! Conversions from and to the types of the crates `http` and `http-body`, for code that uses those crates.
//!
//! An app may return an [`http::Response`](http_types::Response) in place of a [`Response`]:
//!
//! ```
//! use degu_server::{BoxError, Request, Session};
//! use http_body_util::Full;
//!
//! async fn app(_: &mut Session, _: Request<'_>) -> Result<http::Response<Full<bytes::Bytes>>, BoxError> {
//!     Ok(http::Response::builder().status(201).header("location", "/1").body("made".into())?)
//! }
//! # fn is_an_app(_: impl degu_server::App) {}
//! # is_an_app(app);
//! ```
//!
//! [`Request::into_http`] and [`Response::into_http`] are the opposite conversions. Trailers are kept in both directions.
//!
//! # What is lost
//!
//! | from Degu's types | from the types of `http` and `http-body` |
//! | --- | --- |
//! | the reason phrase | a version other than 1.1 |
//! | the case of field names, and the order of fields with different names | extensions |
//! | the boundaries of chunks, and their extensions | the boundaries of data frames, if the body has a length |
//! | the difference between no body and an empty body, in a request | |
//!
//! A body is sent in chunks, one for each data frame, if the headers have `transfer-encoding: chunked` or `trailer`. Any other
//! body is sent with the length in `content-length` or in its exact size hint. If these two differ, the client gets 500. However,
//! a 304 and a response to HEAD may have any `content-length` if their body is empty. A body without a length is sent in chunks,
//! and so is a body of length 0 that has not ended, because trailers may follow.
//!
//! Trailers need chunks: as with hyper, a message with trailers must have the header field `trailer`. If trailers follow a body
//! with a length, the message is cut. Trailers are never dropped silently.

mod body;
mod fields;

use std::fmt;

use degu_wire::{BoxError, LocalBody, Source};
/// The crate `http`, whose types this module converts.
pub use http as http_types;
use http::StatusCode;
use http::header::{CONNECTION, CONTENT_LENGTH, HeaderMap, HeaderValue, TRAILER, TRANSFER_ENCODING};

pub use body::{HttpBody, from_http};
pub use fields::{headers_from_http, headers_into_http};

use crate::{Error, IntoResponse, Request, Response};

/// Converts a body. The body is sent in chunks if the headers have `transfer-encoding: chunked` or `trailer`. Otherwise the body
/// is sent with the length of its exact size hint, or with the length in `content-length`. A body without a known length is sent
/// in chunks, too.
///
/// If the headers do not ask for chunks, keeps a `content-length` that differs from the exact size hint, because only the encoder
/// knows whether the response may describe another body (HEAD, 304). Keeps transfer codings other than `chunked`: the encoder
/// refuses them, because the receiver would take a coded body for a plain one.
fn reframed<B>(headers: &mut HeaderMap, body: B) -> LocalBody
where
    B: http_body::Body<Data: bytes::Buf, Error: Into<BoxError>> + 'static,
{
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter().map(HeaderValue::as_bytes);
    let is_chunked = codings.all(|coding| coding.eq_ignore_ascii_case(b"chunked"))
        && headers.remove(TRANSFER_ENCODING).is_some()
        || headers.contains_key(TRAILER);
    let said = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    let length = body.size_hint().exact().or(said).filter(|_| !is_chunked);
    // A body of length 0 that has not ended may have trailers, and is sent in chunks.
    if is_chunked || length == Some(0) && said == length && !body.is_end_stream() {
        headers.remove(CONTENT_LENGTH);
    }
    body::with_length(length, body)
}

impl<'r> Request<'r> {
    /// Returns the request in the types of the crate `http`. The path includes the segments of the [mount](Self::mount).
    ///
    /// The body belongs to this connection, and cannot be moved to another thread.
    ///
    /// # Errors
    ///
    /// The target or a field cannot be represented in the types of `http`.
    pub fn into_http(self) -> Result<http::Request<HttpBody>, http::Error> {
        let mut request = http::Request::builder()
            .method(self.method().as_str())
            .uri(self.target())
            .version(if self.is_http10() { http::Version::HTTP_10 } else { http::Version::HTTP_11 })
            .body(HttpBody::new(LocalBody::none()))?;
        *request.headers_mut() = headers_into_http(self.headers())?;
        *request.body_mut() = HttpBody::new(self.body.into());
        Ok(request)
    }
}

impl Response {
    /// Returns the response in the types of the crate `http`.
    ///
    /// # Errors
    ///
    /// The app failed: the error is then the [error of the response](Self::error). Or the status or a field cannot be
    /// represented in the types of `http`.
    pub fn into_http(mut self) -> Result<http::Response<HttpBody>, BoxError> {
        if let Some(error) = self.take_error()
            && Error::within(&error).is_none()
        {
            return Err(error);
        }
        let mut response = http::Response::builder().status(self.status).body(HttpBody::new(self.body))?;
        *response.headers_mut() = headers_into_http(&self.headers)?;
        Ok(response)
    }
}

/// Converts a response. If a field is malformed, the client gets 500. `content-length` is removed from a 204, and from a response
/// that `transfer-encoding: chunked` or `trailer` causes to be sent in chunks. If any other response has a `content-length` that
/// differs from the exact size hint of the body, the client gets 500. However, a 304 and a response to HEAD may have any
/// `content-length` if their body is empty. The field `connection` is removed unless it is `close`.
impl<B> IntoResponse for http::Response<B>
where
    B: http_body::Body<Data: bytes::Buf, Error: Into<BoxError>> + 'static,
{
    fn into_response(self) -> Response {
        let (mut parts, body) = self.into_parts();
        if parts.status == StatusCode::NO_CONTENT {
            // axum adds `content-length: 0` to a 204, which must not have the field (RFC 9110 §8.6).
            parts.headers.remove(CONTENT_LENGTH);
        }
        let body = reframed(&mut parts.headers, body);
        let closes = |value: &HeaderValue| value.to_str().is_ok_and(|value| value.eq_ignore_ascii_case("close"));
        if !parts.headers.get(CONNECTION).is_some_and(closes) {
            parts.headers.remove(CONNECTION);
        }
        match headers_from_http(&parts.headers) {
            Ok(headers) => (parts.status.as_u16(), headers, body).into(),
            Err(error) => Response::from_error(error),
        }
    }
}

impl<S: Source + ?Sized> fmt::Debug for HttpBody<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpBody").field("length", &http_body::Body::size_hint(self).exact()).finish()
    }
}
