//! The common parts of request lines and status lines: the version, and the line's end.

use super::{Stop, stop};
use crate::Fault;

/// Parses `HTTP-version = "HTTP/" DIGIT "." DIGIT` (RFC 9112 §2.3) at `at`, which is not beyond the input. Returns the
/// minor version of 1.x.
#[inline(always)]
pub(super) fn version(input: &[u8], at: usize) -> Result<u8, Stop> {
    match input[at..].first_chunk::<8>() {
        Some(name) if name.starts_with(b"HTTP/1.") && name[7].is_ascii_digit() => Ok(name[7] - b'0'),
        _ => Err(no_version(input, at)),
    }
}

/// Decides about a version that is incomplete, or not supported. Returns `None` if the rest of the version may still
/// arrive, and the fault otherwise.
#[cold]
fn no_version(input: &[u8], at: usize) -> Stop {
    for (at, expected) in (at..).zip(b"HTTP/d.d") {
        match input.get(at)? {
            digit if *expected == b'd' && digit.is_ascii_digit() => {}
            byte if byte == expected && *expected != b'd' => {}
            _ => return stop(Fault::Version, at),
        }
    }
    stop(Fault::VersionNotSupported, at)
}

/// Parses CRLF at `at`. Returns the offset after the CRLF. The error is [`Fault::LineEnd`] for a CR or an LF alone, and
/// `fault` for any other byte.
#[inline(always)]
pub(super) fn line_end(input: &[u8], at: usize, fault: Fault) -> Result<usize, Stop> {
    match input.get(at..).unwrap_or_default() {
        [b'\r', b'\n', ..] => Ok(at + 2),
        [] | [b'\r'] => Err(None),
        [b'\r' | b'\n', ..] => Err(stop(Fault::LineEnd, at)),
        _ => Err(stop(fault, at)),
    }
}
