//! Heads: the start line and the field lines, parsed from and encoded into bytes of the caller.
//!
//! ```text
//! HTTP-message = start-line CRLF *( field-line CRLF ) CRLF [ message-body ]          RFC 9112 §2.1
//! request-line = method SP request-target SP HTTP-version                           RFC 9112 §3
//! status-line  = HTTP-version SP status-code SP [ reason-phrase ]                   RFC 9112 §4
//! field-line   = field-name ":" OWS field-value OWS                                 RFC 9112 §5
//! ```
//!
//! The caller owns the bytes and the storage for the fields' offsets; a parsed head is a view into both. One pass
//! checks every byte, decides the [`Framing`](crate::Framing), and refuses what two readers could understand in two
//! ways. More bytes after a fault never change it: the first fault in the order of the bytes is reported.

mod encode;
mod fields;
mod host;
mod request;
mod response;
mod scan;
mod start_line;

pub use encode::{encode_request, encode_response, encode_trailers};
pub use fields::{FieldSpan, Fields, Text, parse_trailers};
pub use request::{RequestHead, RequestHeadOf, parse_request};
pub use response::{ResponseHead, ResponseHeadOf, parse_response};

pub(crate) use scan::is_token;
#[cfg(feature = "alloc")]
pub(crate) use {
    encode::{put_framing, put_request_line, put_status_line},
    fields::{Names, is_forbidden_in_trailers, scan_trailers},
    host::{is_host, zone},
    request::scan_request,
    response::{rewrite_response, scan_response},
    scan::is_field_value,
};

/// Finds the end of a head: the offset after the first empty line that follows a line, at or after `searched` bytes
/// that were searched before.
///
/// A caller whose input grows in pieces passes the length of the input at the last call, and parses once there is an
/// end: each byte is searched once, however it drips.
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
