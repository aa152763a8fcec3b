//! Heads that own their bytes: what the machines give.

use alloc::string::String;
use core::fmt;

use bytes::Bytes;

use crate::head::{RequestMeta, ResponseMeta};
use crate::{Framing, Headers, Method, reason_phrase};

/// A request head that was received. Clones share it.
#[derive(Clone)]
pub struct RequestHead {
    pub(super) meta: RequestMeta,
    pub(super) headers: Headers,
}

impl RequestHead {
    /// The method.
    pub fn method(&self) -> Method<'_> {
        self.meta.method(self.headers.text())
    }

    /// The request target as it was sent: a path with an optional query, a whole URI, or `*`.
    pub fn target(&self) -> &str {
        self.meta.target(self.headers.text())
    }

    /// The path, percent-encoded as it was sent: `/` at least, or `*`.
    pub fn path(&self) -> &str {
        self.meta.path(self.headers.text())
    }

    /// What follows the `?`, if there is one.
    pub fn query(&self) -> Option<&str> {
        self.meta.query(self.headers.text())
    }

    /// The authority that the request is for: of the target in absolute-form, otherwise of Host (RFC 9112 §3.3).
    pub fn authority(&self) -> &str {
        self.meta.authority(self.headers.text())
    }

    /// The fields.
    pub const fn headers(&self) -> &Headers {
        &self.headers
    }

    /// Where the body ends.
    pub const fn framing(&self) -> Framing {
        self.meta.framing
    }

    /// Returns whether the request is of HTTP/1.0.
    pub const fn is_http10(&self) -> bool {
        self.meta.http10
    }

    /// Returns whether the client waits for `100 Continue` before it sends the body (RFC 9110 §10.1.1).
    pub const fn expects_continue(&self) -> bool {
        self.meta.expects_continue
    }
}

/// Without the query and the values of the fields: they may be secrets.
impl fmt::Debug for RequestHead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestHead")
            .field("method", &self.method())
            .field("path", &self.path())
            .field("headers", &self.headers)
            .field("framing", &self.framing())
            .finish()
    }
}

/// A response head that was received. Clones share it.
#[derive(Clone)]
pub struct ResponseHead {
    pub(super) meta: ResponseMeta,
    pub(super) headers: Headers,
}

impl ResponseHead {
    /// The status code, from 100 to 999.
    pub const fn status(&self) -> u16 {
        self.meta.status
    }

    /// The reason phrase.
    pub fn reason(&self) -> Reason {
        let (from, to) = (self.meta.reason.0 as usize, self.meta.reason.1 as usize);
        let text = self.headers.text().get(from..to).unwrap_or_default();
        // Most responses say what the registry does, of which there need be no copy.
        match reason_phrase(self.status()) {
            phrase if phrase.as_bytes() == text => phrase.into(),
            _ => Reason(Bytes::copy_from_slice(text)),
        }
    }

    /// The fields.
    pub const fn headers(&self) -> &Headers {
        &self.headers
    }

    /// The fields, to keep.
    pub fn into_headers(self) -> Headers {
        self.headers
    }

    /// Returns whether the response is of HTTP/1.0.
    pub const fn is_http10(&self) -> bool {
        self.meta.http10
    }
}

impl fmt::Debug for ResponseHead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseHead")
            .field("status", &self.status())
            .field("reason", &self.reason())
            .field("headers", &self.headers)
            .finish()
    }
}

/// A reason phrase (RFC 9112 §4): text for people, which no program should decide by.
///
/// ```
/// use degu_wire::machine::Reason;
///
/// assert_eq!(Reason::from("Not Found").as_str(), "Not Found");
/// assert_eq!(Reason::default(), "");
/// ```
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Reason(Bytes);

impl Reason {
    /// Returns the phrase, empty if it is not UTF-8.
    pub fn as_str(&self) -> &str {
        core::str::from_utf8(&self.0).unwrap_or_default()
    }

    /// Returns the bytes of the phrase.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl From<&'static str> for Reason {
    fn from(phrase: &'static str) -> Self {
        Self(Bytes::from_static(phrase.as_bytes()))
    }
}

impl From<String> for Reason {
    fn from(phrase: String) -> Self {
        Self(phrase.into())
    }
}

impl PartialEq<str> for Reason {
    fn eq(&self, other: &str) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl PartialEq<&str> for Reason {
    fn eq(&self, other: &&str) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl fmt::Debug for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_str().fmt(f)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
