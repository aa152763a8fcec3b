//! Heads: the start line and the field lines, parsed from and encoded into octets of the caller.
//!
//! ```text
//! HTTP-message = start-line CRLF *( field-line CRLF ) CRLF [ message-body ]          RFC 9112 §2.1
//! request-line = method SP request-target SP HTTP-version                           RFC 9112 §3
//! status-line  = HTTP-version SP status-code SP [ reason-phrase ]                   RFC 9112 §4
//! field-line   = field-name ":" OWS field-value OWS                                 RFC 9112 §5
//! ```
//!
//! The caller owns the octets and the storage for the fields' offsets; a parsed head is a view into both. One pass
//! checks every octet, decides the [`Framing`](crate::Framing), and refuses what two readers could understand in two
//! ways. More octets after a fault never change it: the first fault in the order of the octets is reported.

mod encode;
mod fields;
mod host;
mod request;
mod response;
mod scan;

pub use encode::{FramingField, encode_request, encode_response, encode_trailers};
pub use fields::{FieldSpan, Fields};
pub use request::{RequestHead, parse_request};
pub use response::{ResponseHead, parse_response};

pub(crate) use scan::is_token;
#[cfg(feature = "alloc")]
pub(crate) use {
    encode::{Sink, check_field, put_framing, put_request_line, put_status_line},
    fields::{decimal, is_forbidden_in_trailers, single},
    host::is_host,
    request::{RequestMeta, find_path, path_of, query_of, scan_request},
    response::{ResponseMeta, scan_response},
};

use crate::{Fault, Limits, RemoteError};

/// Finds the end of a head: the offset after the first empty line that follows a line, at or after `searched` octets
/// that were searched before.
///
/// A caller whose input grows in pieces passes the length of the input at the last call, and parses once there is an
/// end: each octet is searched once, however it drips.
///
/// ```
/// use degu_wire::head::find_head_end;
///
/// assert_eq!(find_head_end(b"GET / HTTP/1.1\r\nHost: a\r\n\r", 0), None);
/// assert_eq!(find_head_end(b"GET / HTTP/1.1\r\nHost: a\r\n\r\nbody", 26), Some(27));
/// ```
pub fn find_head_end(input: &[u8], searched: usize) -> Option<usize> {
    let from = searched.saturating_sub(3).min(input.len());
    input[from..].windows(4).position(|four| four == b"\r\n\r\n").map(|found| from + found + 4)
}

/// Parses a trailer section as [`chunk::Event::End`](crate::chunk::Event::End) gives it: whole field lines, without the
/// empty line.
///
/// # Errors
///
/// What the peer did wrong; [`Fault::TrailerForbidden`] for fields that decide framing, routing or authentication
/// (RFC 9110 §6.5.1).
pub fn parse_trailers<'b>(
    section: &'b [u8],
    slots: &'b mut [FieldSpan],
    limits: &Limits,
) -> Result<Fields<'b>, RemoteError> {
    let fields = scan_trailers(section, slots, limits)?;
    Ok(Fields::new(section, &slots[..fields]))
}

/// As [`parse_trailers`]: how many fields there are.
pub(crate) fn scan_trailers(section: &[u8], slots: &mut [FieldSpan], limits: &Limits) -> Result<usize, RemoteError> {
    if section.len() > Limits::MAX_HEAD {
        return Err(Fault::TrailersTooLarge.into());
    }
    let room = slots.len().min(limits.max_trailer_fields);
    let mut semantics = fields::Semantics::default();
    match fields::parse_fields(section, 0, &mut slots[..room], &mut semantics, fields::Part::Trailers)? {
        fields::End::At { fields, .. } => Ok(fields),
        // The decoder gives whole lines; anything else was not its section.
        fields::End::Partial => Err(Fault::LineEnd.into()),
    }
}

/// `HTTP-version = "HTTP/" DIGIT "." DIGIT` (RFC 9112 §2.3) at `at`, which is not beyond the input: the minor version of 1.x,
/// or `None` for more octets.
#[inline(always)]
fn version(input: &[u8], at: usize) -> Result<Option<u8>, RemoteError> {
    if input[at..].starts_with(b"HTTP/1.1") { Ok(Some(1)) } else { other_version(input, at) }
}

#[cold]
fn other_version(input: &[u8], at: usize) -> Result<Option<u8>, RemoteError> {
    for (offset, expected) in b"HTTP/d.d".iter().enumerate() {
        let at = at + offset;
        let Some(octet) = input.get(at) else { return Ok(None) };
        let matches = if *expected == b'd' { octet.is_ascii_digit() } else { octet == expected };
        if !matches {
            return Err(RemoteError::at(Fault::Version, at));
        }
    }
    match input[at + 5] {
        b'1' => Ok(Some(input[at + 7] - b'0')),
        _ => Err(RemoteError::at(Fault::VersionNotSupported, at)),
    }
}

/// CRLF at `at`: the offset after it, or `None` for more octets. Another octet than CR is `fault`.
#[inline(always)]
fn line_end(input: &[u8], at: usize, fault: Fault) -> Result<Option<usize>, RemoteError> {
    match (input.get(at), input.get(at + 1)) {
        (Some(b'\r'), Some(b'\n')) => Ok(Some(at + 2)),
        (Some(b'\r'), None) | (None, _) => Ok(None),
        (Some(b'\r' | b'\n'), _) => Err(RemoteError::at(Fault::LineEnd, at)),
        _ => Err(RemoteError::at(fault, at)),
    }
}
