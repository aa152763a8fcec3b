//! Heads that own their bytes. The machines return such heads.

use alloc::borrow::Cow;
use alloc::string::String;
use core::fmt;

use crate::head::{RequestHeadOf, ResponseHeadOf, Text};
use crate::{Headers, reason_phrase};

/// A received request head. Clones share its text.
pub type RequestHead = RequestHeadOf<Headers>;

/// A received response head. Clones share its text.
pub type ResponseHead = ResponseHeadOf<Headers>;

impl RequestHead {
    /// Returns the fields.
    pub const fn headers(&self) -> &Headers {
        &self.fields
    }

    /// Returns whether the client offers to switch to this protocol (RFC 9110 §7.8), such as `websocket` or `tcp`. The
    /// case of names is ignored. A client of HTTP/1.0 cannot offer a protocol.
    pub fn offers(&self, protocol: &str) -> bool {
        !self.is_http10()
            && !protocol.is_empty()
            && self.fields.has_member("connection", "upgrade")
            && self.fields.has_member("upgrade", protocol)
    }
}

impl ResponseHead {
    /// Returns the reason phrase.
    #[inline]
    pub fn reason(&self) -> Reason {
        let (from, to) = self.meta.reason;
        let phrase = self.fields.text().get(from.into()..to.into()).unwrap_or_default();
        // Nearly all servers send the phrase of the standard, which needs no allocation.
        let standard = reason_phrase(self.meta.status).as_bytes();
        Reason(if phrase == standard { Cow::Borrowed(standard) } else { Cow::Owned(phrase.into()) })
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

/// A reason phrase (RFC 9112 §4): a text for people. No program should depend on it.
///
/// ```
/// use degu_wire::machine::Reason;
///
/// assert_eq!(Reason::from("Not Found").as_str(), "Not Found");
/// assert_eq!(Reason::default(), "");
/// ```
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Reason(Cow<'static, [u8]>);

impl Reason {
    /// Returns the phrase. The result is empty if the received phrase is not UTF-8.
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
        self.as_bytes()
    }
}

impl From<&'static str> for Reason {
    fn from(phrase: &'static str) -> Self {
        Self(phrase.as_bytes().into())
    }
}

impl From<String> for Reason {
    fn from(phrase: String) -> Self {
        Self(phrase.into_bytes().into())
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
