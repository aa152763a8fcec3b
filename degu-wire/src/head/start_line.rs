//! The common parts of request lines and status lines: the version, and the line's end.

use super::{Stop, stop};
use crate::Fault;

/// Parses `HTTP-version = "HTTP/" DIGIT "." DIGIT` (RFC 9112 §2.3) at the beginning of `rest`, which is the end of the
/// `input`. Returns the minor version of 1.x, and the bytes after the version.
#[inline(always)]
pub(super) fn version<'i>(input: &[u8], rest: &'i [u8]) -> Result<(u8, &'i [u8]), Stop> {
    match rest.split_first_chunk::<8>() {
        Some((name, rest)) if name.starts_with(b"HTTP/1.") && name[7].is_ascii_digit() => Ok((name[7] - b'0', rest)),
        _ => Err(no_version(input.len() - rest.len(), rest)),
    }
}

/// Decides about a version that is incomplete, or not supported. Returns `None` if the rest of the version may still
/// arrive, and the fault otherwise. The version is at the beginning of `rest`, and has the offset `start`.
#[cold]
fn no_version(start: usize, rest: &[u8]) -> Stop {
    for (at, expected) in b"HTTP/d.d".iter().enumerate() {
        match rest.get(at)? {
            digit if *expected == b'd' && digit.is_ascii_digit() => {}
            byte if byte == expected && *expected != b'd' => {}
            _ => return stop(Fault::Version, start + at),
        }
    }
    stop(Fault::VersionNotSupported, start)
}

/// Parses CRLF at the beginning of `rest`, which is the end of the `input`. Returns the bytes after the CRLF. The error
/// is [`Fault::LineEnd`] for a CR or an LF alone, and `fault` for any other byte.
#[inline(always)]
pub(super) fn line_end<'i>(input: &[u8], rest: &'i [u8], fault: Fault) -> Result<&'i [u8], Stop> {
    match rest {
        [b'\r', b'\n', after @ ..] => Ok(after),
        [] | [b'\r'] => Err(None),
        [b'\r' | b'\n', ..] => Err(stop(Fault::LineEnd, input.len() - rest.len())),
        _ => Err(stop(fault, input.len() - rest.len())),
    }
}
