//! Writing chunk lines into a buffer of the caller.

use super::{Extension, ExtensionValue};
use crate::LocalError;
use crate::abnf::{digits, is_text};
use crate::head::is_token;
use crate::sink::{Sink, SliceSink};

/// The end of each line, and of each chunk's data.
pub const CRLF: &[u8; 2] = b"\r\n";

/// The end of a body without extensions and trailers: the last chunk and the empty trailer section.
pub const LAST_CHUNK: &[u8; 5] = b"0\r\n\r\n";

/// The longest chunk line without extensions, in bytes: sixteen digits and CRLF.
pub const MAX_SIZE_LINE: usize = 18;

/// The longest chunk line that is encoded, in bytes, with its CRLF. By default, [`Limits`](crate::Limits) allow a
/// received line of this length.
pub const MAX_CHUNK_LINE: usize = crate::Limits::DEFAULT.max_chunk_line;

/// Writes the line that begins a chunk: its size, its extensions and CRLF. Returns the number of bytes that it wrote to
/// `out`.
///
/// The caller then writes the chunk's data, and [`CRLF`]. A value that is a token is written as it is, and any other
/// value as a quoted-string. `extensions` can be decoded [`Extensions`](super::Extensions), an array of names or of
/// tuples, or an iterator over other values that convert into [`Extension`].
///
/// ```
/// use degu_wire::chunk::{self, Extensions};
///
/// let mut out = [0; 64];
/// let length = chunk::encode_chunk_head(&mut out, 5, [("seq", "42"), ("note", "two words")])?;
/// assert_eq!(&out[..length], b"5;seq=42;note=\"two words\"\r\n");
///
/// let length = chunk::encode_chunk_head(&mut out, 4096, Extensions::EMPTY)?;
/// assert_eq!(&out[..length], b"1000\r\n");
/// # Ok::<(), degu_wire::LocalError>(())
/// ```
///
/// # Errors
///
/// After an error, `out` holds an incomplete line, which must not be sent.
///
/// - [`LocalError::ChunkExtension`]: a name is not a token, a value has a control character other than HTAB, or the
///   line is longer than [`MAX_CHUNK_LINE`].
/// - [`LocalError::ChunkLength`]: the size is 0, which would end the body. Use [`encode_last_chunk`] for the end.
/// - [`LocalError::BufferTooSmall`]: the line is longer than `out`.
pub fn encode_chunk_head<'e>(
    out: &mut [u8],
    size: u64,
    extensions: impl IntoIterator<Item: Into<Extension<'e>>>,
) -> Result<usize, LocalError> {
    if size == 0 {
        return Err(LocalError::ChunkLength);
    }
    let mut sink = SliceSink::new(out);
    put_line(&mut sink, size, extensions)?;
    Ok(sink.len())
}

/// Writes the line of the last chunk: `0`, its extensions and CRLF. Returns the number of bytes that it wrote to `out`.
///
/// The caller then writes the trailer section, and [`CRLF`]. For an end without extensions and trailers use
/// [`LAST_CHUNK`].
///
/// ```
/// let mut out = [0; 64];
/// let length = degu_wire::chunk::encode_last_chunk(&mut out, ["complete"])?;
/// assert_eq!(&out[..length], b"0;complete\r\n");
/// # Ok::<(), degu_wire::LocalError>(())
/// ```
///
/// # Errors
///
/// [`LocalError::ChunkExtension`] and [`LocalError::BufferTooSmall`], as for [`encode_chunk_head`].
pub fn encode_last_chunk<'e>(
    out: &mut [u8],
    extensions: impl IntoIterator<Item: Into<Extension<'e>>>,
) -> Result<usize, LocalError> {
    let mut sink = SliceSink::new(out);
    put_line(&mut sink, 0, extensions)?;
    Ok(sink.len())
}

/// Writes a chunk line. `sink` must be empty, because its length is taken as the length of the line.
pub(crate) fn put_line<'e>(
    sink: &mut SliceSink,
    size: u64,
    extensions: impl IntoIterator<Item: Into<Extension<'e>>>,
) -> Result<(), LocalError> {
    sink.put(digits(size, 16, &mut [0; 20]))?;
    for extension in extensions {
        put_extension(sink, extension.into())?;
        if sink.len() + CRLF.len() > MAX_CHUNK_LINE {
            return Err(LocalError::ChunkExtension);
        }
    }
    sink.put(CRLF)
}

/// Writes `";" chunk-ext-name [ "=" chunk-ext-val ]` without whitespace, because a sender must not generate whitespace
/// there (RFC 9110 §5.6.3).
pub(crate) fn put_extension(sink: &mut impl Sink, extension: Extension<'_>) -> Result<(), LocalError> {
    if !is_token(extension.name.as_bytes()) {
        return Err(LocalError::ChunkExtension);
    }
    sink.put(b";")?;
    sink.put(extension.name.as_bytes())?;
    match extension.value {
        None => Ok(()),
        Some(ExtensionValue::Plain(token)) if is_token(token) => {
            sink.put(b"=")?;
            sink.put(token)
        }
        Some(value) => {
            sink.put(b"=\"")?;
            for byte in value.unescape() {
                match byte {
                    b'"' | b'\\' => sink.put(&[b'\\', byte])?,
                    text if is_text(text) => sink.put(&[text])?,
                    _ => return Err(LocalError::ChunkExtension),
                }
            }
            sink.put(b"\"")
        }
    }
}

#[cfg(test)]
mod tests {
    use std::string::String;

    use super::super::Extensions;
    use super::*;

    fn line<'e>(size: u64, extensions: impl IntoIterator<Item: Into<Extension<'e>>>) -> Result<String, LocalError> {
        let mut out = [0; 2 * MAX_CHUNK_LINE];
        let length = if size == 0 {
            encode_last_chunk(&mut out, extensions)
        } else {
            encode_chunk_head(&mut out, size, extensions)
        };
        Ok(String::from_utf8_lossy(&out[..length?]).into_owned())
    }

    #[test]
    fn sizes_are_written_in_as_few_digits_as_can_be() {
        for (size, text) in [(0, "0"), (1, "1"), (9, "9"), (10, "a"), (15, "f"), (16, "10"), (4096, "1000")] {
            assert_eq!(line(size, Extensions::EMPTY).unwrap().strip_suffix("\r\n"), Some(text));
        }
        let longest = line(u64::MAX, Extensions::EMPTY).unwrap();
        assert_eq!((longest.as_str(), longest.len()), ("ffffffffffffffff\r\n", MAX_SIZE_LINE));
    }

    #[test]
    fn values_are_quoted_and_escaped_only_where_they_must_be() {
        for (value, text) in [
            ("b", "b"),
            ("", r#""""#),
            ("b c", r#""b c""#),
            ("b\tc", "\"b\tc\""),
            ("b;c", r#""b;c""#),
            (r#"say "b""#, r#""say \"b\"""#),
            (r"b\c", r#""b\\c""#),
            ("é", "\"é\""),
        ] {
            assert_eq!(line(1, [("a", value)]).unwrap().strip_prefix("1;a=").unwrap().trim_end_matches("\r\n"), text);
        }
        let decoded = Extensions::parse(br#" ; a = "b" ; c ; d="\e\"""#).unwrap();
        assert_eq!(line(0, decoded).unwrap(), "0;a=b;c;d=\"e\\\"\"\r\n");
    }

    #[test]
    fn what_can_not_be_sent_is_refused() {
        for name in ["", "a b", "a;", "a=", "é", "a\r\n", "\""] {
            assert_eq!(line(1, [name]), Err(LocalError::ChunkExtension), "{name:?}");
        }
        for value in ["\0", "a\r\nb", "\n", "\u{7f}", "\u{1b}"] {
            assert_eq!(line(1, [("a", value)]), Err(LocalError::ChunkExtension), "{value:?}");
        }
        assert_eq!(encode_chunk_head(&mut [0; 32], 0, Extensions::EMPTY), Err(LocalError::ChunkLength));
        assert_eq!(encode_chunk_head(&mut [], 1, Extensions::EMPTY), Err(LocalError::BufferTooSmall));
    }

    #[test]
    fn a_line_is_as_long_as_a_decoder_accepts() {
        let name = String::from_utf8(std::vec![b'n'; MAX_CHUNK_LINE - "1;\r\n".len() + 1]).unwrap();
        assert_eq!(line(1, [&name[1..]]).unwrap().len(), MAX_CHUNK_LINE);
        assert_eq!(line(1, [name.as_str()]), Err(LocalError::ChunkExtension));
        let wire = line(1, [&name[1..]]).unwrap();
        let mut decoder = super::super::Decoder::new(&crate::Limits::DEFAULT);
        assert_eq!(decoder.decode(wire.as_bytes()).unwrap().consumed, MAX_CHUNK_LINE);
    }
}
