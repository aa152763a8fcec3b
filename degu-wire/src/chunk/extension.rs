//! Received chunk extensions, and an iterator over them.

use super::scan::Scanner;
use crate::{Fault, RemoteError};

/// The well-formed extensions of one chunk, in the order in which they were sent (RFC 9112 §7.1.1).
///
/// This type is a slice of the input. [`iter`](Self::iter) parses the slice.
///
/// ```
/// use degu_wire::chunk::Extensions;
///
/// let extensions = Extensions::parse(br#";seq=42;note="a \"b\"";last"#)?;
/// let names: Vec<_> = extensions.iter().map(|extension| extension.name).collect();
/// assert_eq!(names, ["seq", "note", "last"]);
/// assert!(extensions.find("seq").unwrap().value.unwrap() == "42");
/// assert!(extensions.find("note").unwrap().value.unwrap() == r#"a "b""#);
/// assert_eq!(extensions.find("last").unwrap().value, None);
/// # Ok::<(), degu_wire::RemoteError>(())
/// ```
///
/// Two lists of extensions are equal if they have the same names and values in the same order: `;a="b"` equals `;a=b`.
#[derive(Clone, Copy, Default)]
pub struct Extensions<'i> {
    raw: &'i [u8],
}

impl<'i> Extensions<'i> {
    /// An empty list of extensions.
    pub const EMPTY: Self = Self { raw: &[] };

    /// Checks `raw`: the text of a chunk line after the size and before the CRLF. The text begins with the first `;`,
    /// or with the whitespace before this `;`.
    ///
    /// # Errors
    ///
    /// [`Fault::ChunkExtension`] with the offset of the byte that is not allowed, or with the length of `raw` if `raw`
    /// is incomplete. [`Fault::LineEnd`] if the byte that is not allowed is LF.
    pub fn parse(raw: &'i [u8]) -> Result<Self, RemoteError> {
        let mut scanner = Scanner::START;
        let at = scanner.run(raw, 0);
        match raw.get(at) {
            None if scanner.is_complete() => Ok(Self { raw }),
            Some(b'\n') => Err(RemoteError::at(Fault::LineEnd, at)),
            _ => Err(RemoteError::at(Fault::ChunkExtension, at)),
        }
    }

    /// Returns the extensions in a text that the scanner has checked.
    pub(crate) const fn from_scanned(raw: &'i [u8]) -> Self {
        Self { raw }
    }

    /// Returns whether there are no extensions.
    pub const fn is_empty(&self) -> bool {
        self.raw.is_empty()
    }

    /// Returns the bytes as they were sent, from the first `;` (or the whitespace before it) up to the CRLF.
    pub const fn as_bytes(&self) -> &'i [u8] {
        self.raw
    }

    /// Returns the extensions in the order in which they were sent. A name may occur more than once.
    pub const fn iter(&self) -> Iter<'i> {
        Iter { rest: self.raw }
    }

    /// Returns the first extension of this name. Names are compared byte by byte: RFC 9112 does not say that case is
    /// ignored.
    pub fn find(&self, name: &str) -> Option<Extension<'i>> {
        self.iter().find(|extension| extension.name == name)
    }
}

impl PartialEq for Extensions<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.raw == other.raw || self.iter().eq(*other)
    }
}

impl Eq for Extensions<'_> {}

impl core::fmt::Debug for Extensions<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_list().entries(*self).finish()
    }
}

impl<'i> IntoIterator for Extensions<'i> {
    type Item = Extension<'i>;
    type IntoIter = Iter<'i>;

    fn into_iter(self) -> Iter<'i> {
        self.iter()
    }
}

/// The iterator over [`Extensions`].
#[derive(Clone)]
pub struct Iter<'i> {
    /// The text that has not been read yet: empty, or a text that begins with a `;`, or with the whitespace before a
    /// `;`.
    rest: &'i [u8],
}

impl core::fmt::Debug for Iter<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_list().entries(self.clone()).finish()
    }
}

impl<'i> Iterator for Iter<'i> {
    type Item = Extension<'i>;

    fn next(&mut self) -> Option<Extension<'i>> {
        // The text has been scanned, so it matches the grammar.
        let text = self.rest.trim_ascii_start().strip_prefix(b";")?;
        let (mut is_quoted, mut is_escaped) = (false, false);
        let end = text.iter().position(|&byte| {
            match byte {
                _ if is_escaped => is_escaped = false,
                b'"' => is_quoted = !is_quoted,
                b'\\' => is_escaped = true,
                _ => {}
            }
            byte == b';' && !is_quoted
        });
        let (extension, rest) = text.split_at(end.unwrap_or(text.len()));
        self.rest = rest;
        let mut halves = extension.splitn(2, |&byte| byte == b'=').map(<[u8]>::trim_ascii);
        let name = core::str::from_utf8(halves.next()?).ok()?;
        let value = halves.next().map(|value| match value {
            [b'"', quoted @ .., b'"'] if quoted.contains(&b'\\') => ExtensionValue::Escaped(quoted),
            [b'"', plain @ .., b'"'] | plain => ExtensionValue::Plain(plain),
        });
        Some(Extension { name, value })
    }
}

impl core::iter::FusedIterator for Iter<'_> {}

/// One chunk extension: a name, and a value if it has one.
///
/// A name, or a tuple of a name and a value, converts into this type.
///
/// ```
/// use degu_wire::chunk::{Extension, ExtensionValue};
///
/// let extension = Extension::from(("seq", "42"));
/// assert_eq!(extension, Extension { name: "seq", value: Some(ExtensionValue::Plain(b"42")) });
/// assert_eq!(Extension::from("last"), Extension { name: "last", value: None });
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Extension<'i> {
    /// The name, which is a token. The encoder checks the name.
    pub name: &'i str,
    /// The value. `;a` has no value, and `;a=""` has an empty value.
    pub value: Option<ExtensionValue<'i>>,
}

impl<'i> From<&'i str> for Extension<'i> {
    fn from(name: &'i str) -> Self {
        Self { name, value: None }
    }
}

impl<'i, V: AsRef<[u8]> + ?Sized> From<(&'i str, &'i V)> for Extension<'i> {
    fn from((name, value): (&'i str, &'i V)) -> Self {
        Self { name, value: Some(ExtensionValue::Plain(value.as_ref())) }
    }
}

/// The value of a chunk extension: a token or a quoted-string (RFC 9110 §5.6.4).
///
/// Two values are equal if their bytes are equal; quoting makes no difference. A value can be compared with bytes and
/// text.
///
/// ```
/// use degu_wire::chunk::ExtensionValue;
///
/// let value = ExtensionValue::Escaped(br#"a \"b\""#);
/// assert!(value == r#"a "b""#);
/// assert_eq!(value.unescape().collect::<Vec<u8>>(), br#"a "b""#);
/// ```
#[derive(Clone, Copy)]
pub enum ExtensionValue<'i> {
    /// The bytes of the value: a token, or a quoted-string in which nothing is escaped, without its quotes.
    Plain(&'i [u8]),
    /// The text between the quotes of a quoted-string that has quoted-pairs. A quoted-pair is a backslash and the byte
    /// that it escapes.
    Escaped(&'i [u8]),
}

impl<'i> ExtensionValue<'i> {
    /// Returns the bytes of the value, without the backslashes of quoted-pairs.
    pub fn unescape(self) -> impl Iterator<Item = u8> + Clone + 'i {
        let (mut rest, has_pairs) = match self {
            Self::Plain(bytes) => (bytes, false),
            Self::Escaped(bytes) => (bytes, true),
        };
        core::iter::from_fn(move || {
            let (byte, after) = match rest {
                [b'\\', byte, after @ ..] if has_pairs => (byte, after),
                [byte, after @ ..] => (byte, after),
                [] => return None,
            };
            rest = after;
            Some(*byte)
        })
    }
}

impl PartialEq for ExtensionValue<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.unescape().eq(other.unescape())
    }
}

impl Eq for ExtensionValue<'_> {}

/// Compares the value with bytes or with a text.
impl<T: AsRef<[u8]> + ?Sized> PartialEq<T> for ExtensionValue<'_> {
    fn eq(&self, other: &T) -> bool {
        *self == ExtensionValue::Plain(other.as_ref())
    }
}

/// Writes only the length, because the value may be secret.
impl core::fmt::Debug for ExtensionValue<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{} bytes", self.unescape().count())
    }
}

#[cfg(test)]
mod tests {
    use std::format;
    use std::vec::Vec;

    use super::*;

    #[test]
    fn what_is_not_whole_is_not_extensions() {
        for (raw, fault, at) in [
            (";", Fault::ChunkExtension, 1),
            (" ", Fault::ChunkExtension, 1),
            (";a=", Fault::ChunkExtension, 3),
            (";a=\"b", Fault::ChunkExtension, 5),
            (";a ", Fault::ChunkExtension, 3),
            ("a", Fault::ChunkExtension, 0),
            (";a\r", Fault::ChunkExtension, 2),
            (";a\n", Fault::LineEnd, 2),
            (";a\r\n", Fault::ChunkExtension, 2),
        ] {
            assert_eq!(Extensions::parse(raw.as_bytes()), Err(RemoteError::at(fault, at)), "{raw:?}");
        }
        assert!(Extensions::parse(b"").unwrap().is_empty());
        assert!(!Extensions::parse(b";a").unwrap().is_empty());
    }

    #[test]
    fn equal_is_what_says_the_same() {
        let parse = |raw: &'static str| Extensions::parse(raw.as_bytes()).unwrap();
        assert_eq!(parse(";a=b;c"), parse(" ; a = \"\\b\" ;c"));
        for other in ["", ";a=b", ";a=b;d", ";a=c;c", ";a;c", ";a=b;c;d", ";c;a=b", ";a=B;c", ";a=\"\\c\";c"] {
            assert_ne!(parse(";a=b;c"), parse(other));
        }
        assert_eq!(ExtensionValue::Escaped(b"\\a\\b"), ExtensionValue::Escaped(b"a\\b"));
        for value in [ExtensionValue::Plain(b"ab"), ExtensionValue::Escaped(b"\\ab")] {
            assert!(value == "ab" && value == *"ab" && value == b"ab".as_slice() && value == *b"ab".as_slice());
            assert!(value != "a" && value != *"abc" && value != b"Ab".as_slice() && value != *b"".as_slice());
        }
    }

    #[test]
    fn only_what_is_escaped_can_not_be_borrowed() {
        let extensions = Extensions::parse(br#";a=b;c="d e";f="\g""#).unwrap();
        let values: Vec<_> = extensions.iter().filter_map(|extension| extension.value).collect();
        let [ExtensionValue::Plain(b"b"), ExtensionValue::Plain(b"d e"), ExtensionValue::Escaped(br"\g")] = values[..]
        else {
            panic!("{values:?}")
        };
    }

    #[test]
    fn debug_shows_names_and_lengths_of_values() {
        let extensions = Extensions::parse(b";a;b=c;d=\"\\\"\xff\"").unwrap();
        let shown = r#"[Extension { name: "a", value: None }, Extension { name: "b", value: Some(1 bytes) }, "#;
        let shown = format!(r#"{shown}Extension {{ name: "d", value: Some(2 bytes) }}]"#);
        assert_eq!(format!("{extensions:?}"), shown);
        assert_eq!(format!("{:?}", extensions.iter()), shown);
    }

    #[test]
    fn values_made_by_hand_end_too() {
        for (bytes, unescaped) in [(&br"a\"[..], &br"a\"[..]), (br"\\\", br"\\"), (br"\", br"\"), (b"", b"")] {
            let value = ExtensionValue::Escaped(bytes);
            assert_eq!(value.unescape().collect::<Vec<u8>>(), unescaped);
            assert!(value == unescaped);
        }
        assert_eq!(ExtensionValue::Plain(br"\\").unescape().count(), 2);
    }

    #[test]
    fn an_extension_is_found_by_its_name() {
        let extensions = Extensions::parse(b";a=1;b=2;a=3;A=4").unwrap();
        assert_eq!(extensions.find("a"), Some(Extension::from(("a", "1"))));
        assert_eq!(extensions.find("A"), Some(Extension::from(("A", &b"4"[..]))));
        assert_eq!(extensions.find("c"), None);
        assert_eq!(extensions.iter().count(), 4);
    }
}
