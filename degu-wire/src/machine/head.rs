//! Heads that own their bytes. The machines return such heads.

use alloc::string::String;
use core::fmt;

use crate::Headers;
use crate::head::{RequestHeadOf, ResponseHeadOf, Text};

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
    /// Returns the reason phrase. It shares the text of the head.
    pub fn reason(&self) -> Reason {
        Reason(Phrase::Received(self.fields.clone(), self.meta.reason))
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
#[derive(Clone)]
pub struct Reason(Phrase);

#[derive(Clone)]
enum Phrase {
    Static(&'static str),
    Owned(String),
    /// A part of a head that was received.
    Received(Headers, (u16, u16)),
}

impl Reason {
    /// Returns the phrase. It is empty if the received phrase is not UTF-8.
    pub fn as_str(&self) -> &str {
        core::str::from_utf8(self.as_bytes()).unwrap_or_default()
    }

    /// Returns the bytes of the phrase.
    pub fn as_bytes(&self) -> &[u8] {
        match &self.0 {
            Phrase::Static(phrase) => phrase.as_bytes(),
            Phrase::Owned(phrase) => phrase.as_bytes(),
            Phrase::Received(head, (from, to)) => head.text().get(*from as usize..*to as usize).unwrap_or_default(),
        }
    }
}

impl Default for Reason {
    fn default() -> Self {
        Self::from("")
    }
}

impl AsRef<[u8]> for Reason {
    fn as_ref(&self) -> &[u8] {
        self.as_bytes()
    }
}

impl From<&'static str> for Reason {
    fn from(phrase: &'static str) -> Self {
        Self(Phrase::Static(phrase))
    }
}

impl From<String> for Reason {
    fn from(phrase: String) -> Self {
        Self(Phrase::Owned(phrase))
    }
}

impl PartialEq for Reason {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl Eq for Reason {}

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
