//! Owned chunks and their extensions.

use alloc::{borrow::Cow, string::String, vec::Vec};
use core::fmt::{self, Write as _};

use bytes::Bytes;

use crate::LocalError;
use crate::chunk::{CRLF, Extension, ExtensionValue, Extensions, MAX_CHUNK_LINE, put_extension};

/// A whole chunk of a chunked body: its data and its extensions (RFC 9112 §7.1).
///
/// ```
/// use degu_wire::Chunk;
///
/// let chunk = Chunk::new("hello").with_extension("seq", 7);
/// assert_eq!(&chunk.data[..], b"hello");
/// assert_eq!(chunk.extension("seq").as_deref(), Some("7"));
/// ```
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Chunk {
    /// The data. A chunk without data cannot be sent, because a size of zero ends the body. Without extensions, such a
    /// chunk is left out. With extensions, sending such a chunk fails with [`LocalError::ChunkLength`].
    pub data: Bytes,
    /// The extensions, in their order.
    pub extensions: ChunkExtensions,
}

impl Chunk {
    /// Returns a chunk without extensions.
    pub fn new(data: impl Into<Bytes>) -> Self {
        Self { data: data.into(), extensions: ChunkExtensions::new() }
    }

    /// Returns the chunk with one more extension. A value that is not a token is sent as a quoted-string.
    ///
    /// The name must be a token, the value must have no control characters except HTAB, and the chunk line must not be
    /// longer than 4 KiB. This method reports no error. If a rule is broken, or the value's `Display` fails, sending
    /// the chunk fails with [`LocalError::ChunkExtension`], and nothing of the chunk is sent.
    #[must_use]
    pub fn with_extension(mut self, name: &str, value: impl fmt::Display) -> Self {
        self.extensions.push(name, Some(&value));
        self
    }

    /// Returns the chunk with one more extension that has no value, such as `;last`. The name must be a token, as for
    /// [`with_extension`](Self::with_extension).
    #[must_use]
    pub fn with_flag(mut self, name: &str) -> Self {
        self.extensions.push(name, None);
        self
    }

    /// Returns the value of the first extension of this name. Returns an empty text if the extension has no value.
    /// Returns `None` if there is no such extension, or if its value is not UTF-8.
    pub fn extension(&self, name: &str) -> Option<Cow<'_, str>> {
        self.extensions.get(name)
    }
}

/// Writes only the length of the data, because the data may be secret.
impl fmt::Debug for Chunk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Chunk {{ data: {} bytes, extensions: {:?} }}", self.data.len(), self.extensions)
    }
}

/// The extensions of one chunk, in the form in which they are sent: `;seq=7;note="a b"`.
///
/// The form is normalized. There is no whitespace around `;` and `=`, because a sender must not generate such
/// whitespace (RFC 9110 §5.6.3). Quotation marks and backslashes are used only if they are needed. Received extensions
/// are converted to this form, so two values are equal if they mean the same. Each read of an extension parses this
/// text, and allocates only for a value with escapes.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct ChunkExtensions {
    raw: Bytes,
    /// True if an extension was added that cannot be sent.
    poisoned: bool,
}

impl ChunkExtensions {
    /// Returns an empty list of extensions.
    pub const fn new() -> Self {
        Self { raw: Bytes::new(), poisoned: false }
    }

    /// Returns the extensions in a text that the decoder has checked.
    pub(crate) fn received(raw: Bytes) -> Self {
        // A text without these bytes has only tokens, and is already in the form in which it is sent.
        if !raw.iter().any(|byte| matches!(byte, b' ' | b'\t' | b'"')) {
            return Self { raw, poisoned: false };
        }
        let mut text = Vec::with_capacity(raw.len());
        let mut extensions = Extensions::from_scanned(&raw).iter();
        let poisoned = extensions.any(|extension| put_extension(&mut text, extension).is_err());
        Self { raw: text.into(), poisoned }
    }

    /// Returns whether there are no extensions.
    pub const fn is_empty(&self) -> bool {
        self.raw.is_empty() && !self.poisoned
    }

    /// Returns a view of the extensions, for example to iterate over them.
    pub fn as_extensions(&self) -> Extensions<'_> {
        // Every text in `raw` was checked before.
        Extensions::from_scanned(&self.raw)
    }

    /// Returns the value of the first extension of this name: see [`Chunk::extension`].
    pub fn get(&self, name: &str) -> Option<Cow<'_, str>> {
        match self.as_extensions().find(name)?.value {
            None => Some(Cow::Borrowed("")),
            Some(ExtensionValue::Plain(plain)) => core::str::from_utf8(plain).ok().map(Cow::Borrowed),
            Some(escaped) => String::from_utf8(escaped.unescape().collect()).ok().map(Cow::Owned),
        }
    }

    /// Adds an extension, with or without a value: see [`Chunk::with_extension`].
    pub fn push(&mut self, name: &str, value: Option<&dyn fmt::Display>) {
        let mut text = String::new();
        let is_written = value.is_none_or(|value| write!(text, "{value}").is_ok());
        let value = value.map(|_| ExtensionValue::Plain(text.as_bytes()));
        let mut raw = Vec::from(&self.raw[..]);
        self.poisoned |= !is_written || put_extension(&mut raw, Extension { name, value }).is_err();
        self.raw = raw.into();
    }

    /// Returns the text that follows the size in a chunk line. `digits` is the number of digits of the size. The error
    /// means that the extensions cannot be sent, or that the line would be too long.
    pub(crate) fn encoded(&self, digits: usize) -> Result<&[u8], LocalError> {
        if self.poisoned || digits + self.raw.len() + CRLF.len() > MAX_CHUNK_LINE {
            return Err(LocalError::ChunkExtension);
        }
        Ok(&self.raw)
    }
}

impl fmt::Display for ChunkExtensions {
    /// Writes the extensions in the form in which they are sent: `;seq=7;last`. The text has no control characters
    /// except HTAB. Bytes that are not UTF-8 are written as U+FFFD.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        String::from_utf8_lossy(&self.raw).fmt(f)
    }
}

impl fmt::Debug for ChunkExtensions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.poisoned {
            true => f.write_str("ChunkExtensions(cannot be sent)"),
            false => self.as_extensions().fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    #[test]
    fn values_come_back_as_they_were_given() {
        for value in ["7", "", "a b", "a\"b", "a\\", "\\\"", "tab\there", "é", ";=,"] {
            let chunk = Chunk::new("x").with_extension("n", value);
            assert_eq!(chunk.extension("n").as_deref(), Some(value), "{:?}", chunk.extensions.raw);
            assert!(chunk.extensions.encoded(1).is_ok());
        }
        let chunk = Chunk::new("x").with_extension("a", 1).with_extension("b", 2);
        assert_eq!(chunk.extensions.encoded(1).unwrap(), b";a=1;b=2");
        assert_eq!((chunk.extension("b").as_deref(), chunk.extension("c")), (Some("2"), None));
        let flagged = Chunk::new("x").with_flag("last");
        assert_eq!(
            (flagged.extensions.to_string().as_str(), flagged.extension("last").as_deref()),
            (";last", Some(""))
        );
    }

    #[test]
    fn the_longest_line_that_is_read_can_be_sent_on() {
        // The line has one digit, `;a=`, the value and CRLF.
        let longest = MAX_CHUNK_LINE - 1 - 3 - 2;
        let chunk = Chunk::new("x").with_extension("a", "v".repeat(longest));
        assert_eq!(chunk.extensions.encoded(1).map(<[u8]>::len), Ok(longest + 3));
        assert_eq!(chunk.extensions.encoded(2), Err(LocalError::ChunkExtension));
        let chunk = Chunk::new("x").with_extension("a", "v".repeat(longest + 1));
        assert_eq!(chunk.extensions.encoded(1), Err(LocalError::ChunkExtension));
    }

    #[test]
    fn received_extensions_keep_the_form_in_which_they_are_sent() {
        let received = |raw: &'static str| ChunkExtensions::received(Bytes::from_static(raw.as_bytes()));
        for (raw, kept) in [
            ("", ""),
            (";a;b=c", ";a;b=c"),
            (" ;\ta = b\t; c", ";a=b;c"),
            (" ; a = \"b c\"", ";a=\"b c\""),
            (";a=\"b\";c=\"\"", ";a=b;c=\"\""),
            (";a=\"\\b\\\"\"", ";a=\"b\\\"\""),
            (";a=\" ; b = c\"", ";a=\" ; b = c\""),
        ] {
            assert_eq!(received(raw).encoded(1).unwrap(), kept.as_bytes(), "{raw}");
            assert_eq!(received(raw), received(kept));
        }
        assert_eq!(ChunkExtensions::received(Bytes::from_static(b" ;a=\"\xff\"")).encoded(1).unwrap(), b";a=\"\xff\"");
    }

    #[test]
    fn what_can_not_be_sent_is_an_error_when_sent() {
        let long = "x".repeat(5000);
        for (name, value) in
            [("", "1"), ("a b", "1"), ("a;b", "1"), ("a=b", "1"), ("a", "\r\n"), ("a", "\0"), ("a", &long)]
        {
            let chunk = Chunk::new("x").with_extension("ok", 1).with_extension(name, value);
            assert_eq!(chunk.extensions.encoded(1), Err(LocalError::ChunkExtension), "{name:?} {value:?}");
        }
        let broken = Chunk::new("x").with_extension("a", fmt::from_fn(|_| Err(fmt::Error)));
        assert_eq!(broken.extensions.encoded(1), Err(LocalError::ChunkExtension));
    }
}
