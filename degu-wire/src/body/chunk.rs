//! Owned chunks and their extensions.

use alloc::{borrow::Cow, string::String, vec::Vec};
use core::fmt::{self, Write};

use bytes::Bytes;

use crate::LocalError;
use crate::chunk::{Extension, Extensions, MAX_CHUNK_LINE};

/// One chunk of a chunked body, whole: its data and what was said about it (RFC 9112 §7.1).
///
/// ```
/// use degu_wire::Chunk;
///
/// let chunk = Chunk::new("hello").with_extension("seq", 7);
/// assert_eq!(&chunk.data[..], b"hello");
/// assert_eq!(chunk.extension("seq").as_deref(), Some("7"));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Chunk {
    /// The data. A chunk without data cannot be sent: a size of zero ends the body.
    pub data: Bytes,
    /// The extensions, in their order.
    pub extensions: ChunkExtensions,
}

impl Chunk {
    /// A chunk without extensions.
    pub fn new(data: impl Into<Bytes>) -> Self {
        Self { data: data.into(), extensions: ChunkExtensions::new() }
    }

    /// The chunk with one more extension. A value that is not a token is sent as a quoted-string.
    ///
    /// A name that is not a token, or a value with a control character, is remembered, and sending the chunk fails with
    /// [`LocalError::ChunkExtension`]: nothing else is sent in its place.
    #[must_use]
    pub fn with_extension(mut self, name: &str, value: impl fmt::Display) -> Self {
        self.extensions.push(name, Some(&value));
        self
    }

    /// The chunk with one more extension that is a name alone: `;last`. A name that is not a token is remembered as in
    /// [`with_extension`](Self::with_extension).
    #[must_use]
    pub fn with_flag(mut self, name: &str) -> Self {
        self.extensions.push(name, None);
        self
    }

    /// The value of the first extension of this name: empty if it has none, `None` if there is no such extension or
    /// its value is not UTF-8.
    pub fn extension(&self, name: &str) -> Option<Cow<'_, str>> {
        self.extensions.get(name)
    }
}

/// The extensions of one chunk, in the form in which they are sent: `;seq=7;note="a b"`.
///
/// What was received is sent on byte by byte. Reading them costs a walk through the text, and no allocation but for
/// values with escapes. Equal are those that are the same text: `;a=b` and `;a="b"` mean the same and are not.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct ChunkExtensions {
    raw: Bytes,
    /// Something was pushed that cannot be sent.
    poisoned: bool,
}

impl ChunkExtensions {
    /// No extensions.
    pub const fn new() -> Self {
        Self { raw: Bytes::new(), poisoned: false }
    }

    /// Text that the decoder has checked.
    pub(crate) const fn checked(raw: Bytes) -> Self {
        Self { raw, poisoned: false }
    }

    /// Returns whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.raw.is_empty() && !self.poisoned
    }

    /// The extensions, to look at: see [`Extensions::iter`].
    pub fn as_extensions(&self) -> Extensions<'_> {
        // Every text that gets here was checked.
        Extensions::from_scanned(&self.raw)
    }

    /// The value of the first extension of this name: see [`Chunk::extension`].
    pub fn get(&self, name: &str) -> Option<Cow<'_, str>> {
        let Extension { value, .. } = self.as_extensions().find(name)?;
        let Some(value) = value else { return Some(Cow::Borrowed("")) };
        match value.as_token_or_plain() {
            Some(plain) => core::str::from_utf8(plain).ok().map(Cow::Borrowed),
            None => String::from_utf8(value.unescape().collect()).ok().map(Cow::Owned),
        }
    }

    /// Adds an extension, with or without a value: see [`Chunk::with_extension`].
    pub fn push(&mut self, name: &str, value: Option<&dyn fmt::Display>) {
        let mut text = Vec::from(&self.raw[..]);
        let start = text.len();
        text.push(b';');
        text.extend_from_slice(name.as_bytes());
        if let Some(value) = value {
            text.push(b'=');
            let value_start = text.len();
            // A formatter that fails leaves a shorter value, as it does in any string.
            let _ = write!(Quoted(&mut text), "{value}");
            if !crate::head::is_token(&text[value_start..]) {
                text.insert(value_start, b'"');
                text.push(b'"');
            }
        }
        // Only a single extension of this very name is what was asked for; a name such as `a;b` would be two.
        let added = Extensions::parse(&text[start..]).map(|added| added.iter());
        match added.map(|mut added| (added.next(), added.next())) {
            Ok((Some(added), None)) if added.name == name => self.raw = text.into(),
            _ => self.poisoned = true,
        }
    }

    /// The text for the line of a chunk of this size.
    pub(crate) fn encoded(&self, size: u64) -> Result<&[u8], LocalError> {
        let digits = (u64::BITS - size.leading_zeros()).div_ceil(4).max(1) as usize;
        if self.poisoned || digits + self.raw.len() + b"\r\n".len() > MAX_CHUNK_LINE {
            return Err(LocalError::ChunkExtension);
        }
        Ok(&self.raw)
    }
}

/// Escapes what would end a quoted-string. In a token there is nothing to escape.
struct Quoted<'t>(&'t mut Vec<u8>);

impl Write for Quoted<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for octet in text.bytes() {
            if self.0.len() > MAX_CHUNK_LINE {
                return Err(fmt::Error);
            }
            if matches!(octet, b'"' | b'\\') {
                self.0.push(b'\\');
            }
            self.0.push(octet);
        }
        Ok(())
    }
}

impl fmt::Display for ChunkExtensions {
    /// As they are sent: `;seq=7;last`. There are no controls among them; what is not UTF-8 shows as U+FFFD.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        String::from_utf8_lossy(&self.raw).fmt(f)
    }
}

impl fmt::Debug for ChunkExtensions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.poisoned {
            true => f.write_str("ChunkExtensions(can not be sent)"),
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
        // A digit, `;a=`, the value and CRLF.
        let longest = MAX_CHUNK_LINE - 1 - 3 - 2;
        let chunk = Chunk::new("x").with_extension("a", "v".repeat(longest));
        assert_eq!(chunk.extensions.encoded(0xf).map(<[u8]>::len), Ok(longest + 3));
        assert_eq!(chunk.extensions.encoded(0x10), Err(LocalError::ChunkExtension));
        let chunk = Chunk::new("x").with_extension("a", "v".repeat(longest + 1));
        assert_eq!(chunk.extensions.encoded(0), Err(LocalError::ChunkExtension));
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
    }
}
