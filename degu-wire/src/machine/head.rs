//! Heads that own their bytes: what the machines give.

use alloc::string::String;
use core::fmt;

use bytes::Bytes;

use crate::head::{RequestHeadOf, ResponseHeadOf};
use crate::{Headers, reason_phrase};

/// A request head that was received. Clones share it.
pub type RequestHead = RequestHeadOf<Headers>;

/// A response head that was received. Clones share it.
pub type ResponseHead = ResponseHeadOf<Headers>;

impl RequestHead {
    /// Returns the fields.
    pub const fn headers(&self) -> &Headers {
        &self.fields
    }

    /// Returns whether the client offers to switch to this protocol (RFC 9110 §7.8), such as `websocket` or `tcp`.
    /// Names compare without case. A client of HTTP/1.0 offers no protocol.
    pub fn offers(&self, protocol: &str) -> bool {
        !self.is_http10()
            && !protocol.is_empty()
            && self.fields.has_member("connection", "upgrade")
            && self.fields.has_member("upgrade", protocol)
    }
}

impl ResponseHead {
    /// Returns the reason phrase.
    pub fn reason(&self) -> Reason {
        // Most responses say what the registry does, of which there need be no copy.
        match reason_phrase(self.status()) {
            phrase if phrase.as_bytes() == self.phrase() => phrase.into(),
            _ => Reason(Bytes::copy_from_slice(self.phrase())),
        }
    }

    /// Returns the fields.
    pub const fn headers(&self) -> &Headers {
        &self.fields
    }

    /// Returns the fields as an owned value.
    pub fn into_headers(self) -> Headers {
        self.fields
    }
}

/// A reason phrase (RFC 9112 §4). It is text for people; no program should depend on it.
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

impl AsRef<[u8]> for Reason {
    fn as_ref(&self) -> &[u8] {
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
