//! The common parts of request lines and status lines: the version, and the line's end.

use crate::{Fault, RemoteError};

/// Parses `HTTP-version = "HTTP/" DIGIT "." DIGIT` (RFC 9112 §2.3) at `at`, which is not beyond the input. Returns the
/// minor version of 1.x, or `None` if more bytes are needed.
#[inline(always)]
pub(super) fn version(input: &[u8], at: usize) -> Result<Option<u8>, RemoteError> {
    match input[at..].first_chunk::<8>() {
        Some(name) if name.starts_with(b"HTTP/1.") && name[7].is_ascii_digit() => Ok(Some(name[7] - b'0')),
        _ => no_version(input, at),
    }
}

/// Distinguishes an incomplete version from a malformed or unsupported version.
#[cold]
fn no_version(input: &[u8], at: usize) -> Result<Option<u8>, RemoteError> {
    for (at, expected) in (at..).zip(b"HTTP/d.d") {
        match input.get(at) {
            None => return Ok(None),
            Some(digit) if *expected == b'd' && digit.is_ascii_digit() => {}
            Some(byte) if byte == expected && *expected != b'd' => {}
            Some(_) => return Err(RemoteError::at(Fault::Version, at)),
        }
    }
    Err(RemoteError::at(Fault::VersionNotSupported, at))
}

/// Parses CRLF at `at`. Returns the offset after it, or `None` if more bytes are needed. The error is
/// [`Fault::LineEnd`] for a CR or an LF alone, and `fault` for any other byte.
#[inline(always)]
pub(super) fn line_end(input: &[u8], at: usize, fault: Fault) -> Result<Option<usize>, RemoteError> {
    match (input.get(at), input.get(at + 1)) {
        (Some(b'\r'), Some(b'\n')) => Ok(Some(at + 2)),
        (Some(b'\r'), None) | (None, _) => Ok(None),
        (Some(b'\r' | b'\n'), _) => Err(RemoteError::at(Fault::LineEnd, at)),
        _ => Err(RemoteError::at(fault, at)),
    }
}
