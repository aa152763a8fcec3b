//! Request targets: building them from values, and decoding their parts (percent-encoding: RFC 3986 §2.1).

use alloc::borrow::Cow;
use alloc::string::String;
use core::fmt::{self, Write as _};
use core::ops::Deref;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use crate::LocalError;
use crate::head::is_target_text;

/// All characters except the unreserved characters (RFC 3986 §2.3), which need no encoding anywhere.
const ENCODED: AsciiSet = NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A request target that is built from a path. Values are added as segments and as a query, and are percent-encoded.
///
/// A target dereferences to the `str` that is sent, so a client takes a `&Target` in place of a `&str`.
///
/// ```
/// use degu_wire::Target;
///
/// let target = Target::new("/containers")?.segment("a/b c").segment("logs").query("since", 3).query("grep", "50 % & more");
/// assert_eq!(&*target, "/containers/a%2Fb%20c/logs?since=3&grep=50%20%25%20%26%20more");
/// # Ok::<(), degu_wire::LocalError>(())
/// ```
///
/// # Dot segments
///
/// `.` and `..` cannot be segments. Servers and proxies resolve them, percent-encoded or not (RFC 3986 §6.2.2.3), so
/// `/users/..` would become the resource `/`. A target with such a segment is empty. Sending a request for an empty
/// target fails with [`LocalError::Target`] before a byte is written. A target with a value whose
/// [`Display`](fmt::Display) failed is empty too.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Target {
    text: String,
    /// True if the text ends with a slash, so the next segment needs no slash before it.
    ends_open: bool,
    has_query: bool,
    /// True if the target has a dot segment, or a value that could not be formatted.
    is_refused: bool,
}

impl Target {
    /// Returns a target with this path. The path is sent as it is, so the caller has to percent-encode it. If the path
    /// ends with a slash, the first call of [`segment`](Self::segment) adds no second slash.
    ///
    /// # Errors
    ///
    /// [`LocalError::Target`] if the path does not begin with a slash, has a query or a fragment, or is not visible
    /// ASCII.
    pub fn new(path: &str) -> Result<Self, LocalError> {
        if !path.starts_with('/') || path.contains('?') || !is_target_text(path.as_bytes()) {
            return Err(LocalError::Target);
        }
        Ok(Self { text: path.into(), ends_open: path.ends_with('/'), has_query: false, is_refused: false })
    }

    /// Returns the target with one more segment. All bytes except letters, digits, `-`, `.`, `_` and `~` are
    /// percent-encoded, including slashes.
    ///
    /// # Panics
    ///
    /// Panics if a query was added before.
    #[must_use]
    pub fn segment(mut self, value: impl fmt::Display) -> Self {
        assert!(!self.has_query, "a segment cannot follow the query: call `segment` before `query`");
        if !self.ends_open {
            self.text.push('/');
        }
        self.ends_open = false;
        let start = self.text.len();
        self.push(value);
        self.is_refused |= matches!(&self.text[start..], "." | "..");
        self
    }

    /// Returns the target with one more pair `name=value` in its query. Name and value are encoded like segments, so a
    /// space becomes `%20`.
    #[must_use]
    pub fn query(mut self, name: &str, value: impl fmt::Display) -> Self {
        self.text.push(if self.has_query { '&' } else { '?' });
        self.has_query = true;
        self.push(name);
        self.text.push('=');
        self.push(value);
        self
    }

    fn push(&mut self, value: impl fmt::Display) {
        let mut text = String::new();
        self.is_refused |= write!(text, "{value}").is_err();
        self.text.extend(utf8_percent_encode(&text, &ENCODED));
    }
}

impl Deref for Target {
    type Target = str;

    fn deref(&self) -> &str {
        if self.is_refused { "" } else { &self.text }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self)
    }
}

/// Writes only the path, because a query may hold secrets.
impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Target({:?})", self.split('?').next().unwrap_or_default())
    }
}

/// Decodes the percent-encoding of a segment of a path. Returns `None` if the result is not UTF-8. The result may
/// contain any character, including slashes. A `%` without two hexadecimal digits after it is kept.
///
/// ```
/// use degu_wire::decode_segment;
///
/// assert_eq!(decode_segment("caf%C3%A9%2Fau+lait").as_deref(), Some("café/au+lait"));
/// assert_eq!((decode_segment("100%").as_deref(), decode_segment("%ff")), (Some("100%"), None));
/// ```
pub fn decode_segment(segment: &str) -> Option<Cow<'_, str>> {
    percent_decode_str(segment).decode_utf8().ok()
}

/// Returns the decoded pairs of a query or a form, `name=value&name=value`, in their order
/// (application/x-www-form-urlencoded). `+` becomes a space, percent-encoding is decoded, and bytes that are not UTF-8
/// become U+FFFD. A name without `=` has an empty value. Pairs without encoding cost no allocation.
///
/// ```
/// use degu_wire::query_pairs;
///
/// let pairs: Vec<_> = query_pairs("text=caf%C3%A9+au&done").collect();
/// assert_eq!(pairs, [("text".into(), "café au".into()), ("done".into(), "".into())]);
/// ```
pub fn query_pairs(query: &str) -> impl Iterator<Item = (Cow<'_, str>, Cow<'_, str>)> {
    form_urlencoded::parse(query.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;
    use std::vec::Vec;

    #[test]
    fn segments_and_pairs_come_back_as_they_were_given() {
        for value in ["", "a b", "a/b", "?#&=+%", "é\u{1F600}", "...", "\r\n\0", "a%2Fb", "~-_."] {
            let target = Target::new("/x").unwrap().segment(value).query(value, value).query("n", 7);
            assert!(is_target_text(target.as_bytes()), "{target}");
            let (path, query) = target.split_once('?').unwrap();
            assert_eq!(decode_segment(path.strip_prefix("/x/").unwrap()).as_deref(), Some(value));
            let pairs: Vec<_> = query_pairs(query).collect();
            assert_eq!(pairs, [(value.into(), value.into()), ("n".into(), "7".into())]);
        }
    }

    #[test]
    fn a_slash_stands_between_segments_once() {
        for (path, expected) in [("/", "/a/b"), ("/x", "/x/a/b"), ("/x/", "/x/a/b"), ("/x//", "/x//a/b")] {
            assert_eq!(Target::new(path).unwrap().segment("a").segment("b").to_string(), expected);
        }
        // An empty segment counts, too.
        assert_eq!(&*Target::new("/x").unwrap().segment("").segment("b"), "/x//b");
    }

    #[test]
    fn what_is_no_path_or_would_leave_it_is_refused() {
        for path in ["", "x", "*", "http://a/", "/x?y", "/x#y", "/x y", "/é"] {
            assert_eq!(Target::new(path), Err(LocalError::Target), "{path}");
        }
        for dots in [".", ".."] {
            assert_eq!(&*Target::new("/users").unwrap().segment(dots).segment("keys"), "");
            assert_eq!(&*Target::new("/users").unwrap().query("name", dots), std::format!("/users?name={dots}"));
        }
    }

    #[test]
    fn a_value_that_cannot_be_formatted_refuses_the_target() {
        let broken = || fmt::from_fn(|_| Err(fmt::Error));
        assert_eq!(&*Target::new("/x").unwrap().segment(broken()).segment("y"), "");
        assert_eq!(&*Target::new("/x").unwrap().query("n", broken()).query("m", 1), "");
    }

    #[test]
    fn damaged_queries_are_read_as_far_as_they_go() {
        let pairs = |query| query_pairs(query).map(|(name, value)| std::format!("{name}={value}")).collect::<Vec<_>>();
        assert_eq!(
            pairs("&&a=1&&=2&b&c=%&d=%4&e=%ff&f=g=h"),
            ["a=1", "=2", "b=", "c=%", "d=%4", "e=\u{fffd}", "f=g=h"]
        );
    }
}
