//! What request lines and status lines have in common: the version, and the line's end.

use crate::{Fault, RemoteError};

/// `HTTP-version = "HTTP/" DIGIT "." DIGIT` (RFC 9112 §2.3) at `at`, which is not beyond the input: the minor version of 1.x,
/// or `None` for more bytes.
pub(super) fn version(input: &[u8], at: usize) -> Result<Option<u8>, RemoteError> {
    let mut version = [0; 8];
    for (offset, expected) in b"HTTP/d.d".iter().enumerate() {
        let at = at + offset;
        let Some(&byte) = input.get(at) else { return Ok(None) };
        let matches = if *expected == b'd' { byte.is_ascii_digit() } else { byte == *expected };
        if !matches {
            return Err(RemoteError::at(Fault::Version, at));
        }
        version[offset] = byte;
    }
    match version {
        [.., b'1', b'.', minor] => Ok(Some(minor - b'0')),
        _ => Err(RemoteError::at(Fault::VersionNotSupported, at)),
    }
}

/// CRLF at `at`: the offset after it, or `None` for more bytes. Another byte than CR is `fault`.
#[inline(always)]
pub(super) fn line_end(input: &[u8], at: usize, fault: Fault) -> Result<Option<usize>, RemoteError> {
    match (input.get(at), input.get(at + 1)) {
        (Some(b'\r'), Some(b'\n')) => Ok(Some(at + 2)),
        (Some(b'\r'), None) | (None, _) => Ok(None),
        (Some(b'\r' | b'\n'), _) => Err(RemoteError::at(Fault::LineEnd, at)),
        _ => Err(RemoteError::at(fault, at)),
    }
}
