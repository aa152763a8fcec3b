//! Parses heads from the caller's bytes, and encodes heads into the caller's bytes. A head is the start line and the
//! field lines of a message.
//!
//! ```text
//! HTTP-message = start-line CRLF *( field-line CRLF ) CRLF [ message-body ]          RFC 9112 §2.1
//! request-line = method SP request-target SP HTTP-version                           RFC 9112 §3
//! status-line  = HTTP-version SP status-code SP [ reason-phrase ]                   RFC 9112 §4
//! field-line   = field-name ":" OWS field-value OWS                                 RFC 9112 §5
//! ```
//!
//! The caller owns the bytes and the storage for the fields' offsets. A parsed head is a view into both. One pass
//! checks every byte, decides the [`Framing`](crate::Framing), and refuses input that two programs could understand
//! differently. The first fault in the order of the bytes is reported, so bytes after the fault do not change the
//! result.

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

pub(crate) use {
    encode::{check_field, put_framing, put_line, put_request_line, put_status_line, put_trailers},
    fields::{Facts, is_forbidden_in_trailers},
    host::{is_host, zone},
    request::{RequestMeta, host_of_uri, scan_request},
    response::{ResponseMeta, scan_response},
    scan::{is_field_value, is_target_text, is_token},
};

use crate::{Fault, Limits, RemoteError};

/// The reason why a scan stopped before the end of its element: the fault of the peer, or `None` if the rest of the
/// element has not arrived.
type Stop = Option<RemoteError>;

/// Returns the reason for a stop at a byte that the peer should not have sent.
const fn stop(fault: Fault, at: usize) -> Stop {
    Some(RemoteError::at(fault, at))
}

/// Finds the end of a head: the offset after the first empty line that follows another line. Returns `None` if the end
/// has not arrived. The first `searched` bytes have been searched before.
///
/// A caller whose input grows in pieces passes as `searched` the length that the input had at the previous call. When
/// this function returns an offset, the caller parses the head. So each byte is searched once, even if the bytes arrive
/// one by one.
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

/// The number of searched bytes of an unfinished head, which do not contain the end of the head. A head that arrives in
/// pieces is parsed twice. The first time, only its first bytes have arrived, and garbage is refused. The second time,
/// its end has arrived. In between, new bytes are only searched for the end, so some faults are found only at the end.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Search(usize);

impl Search {
    /// Returns whether a whole head is at the beginning of `input`. The result is false if more bytes are needed, or if
    /// the connection ended before a head began. `scan` parses the head, and returns whether the head is complete. This
    /// method calls `scan` only for the first bytes of a head, and when the end of the head may have arrived. `eof` is
    /// true if no byte follows `input`.
    #[inline(always)]
    pub(crate) fn find(
        &mut self,
        input: &mut [u8],
        eof: bool,
        limits: &Limits,
        scan: impl FnOnce(&mut [u8]) -> Result<bool, RemoteError>,
    ) -> Result<bool, RemoteError> {
        let is_all = eof || input.len() >= limits.max_head.min(Limits::MAX_HEAD);
        let is_due = !input.is_empty() && (self.0 == 0 || is_all || self.may_end(input));
        self.0 = input.len();
        if is_due && scan(input)? {
            self.0 = 0;
            return Ok(true);
        }
        if eof && has_begun(input) { Err(Fault::TruncatedHead.into()) } else { Ok(false) }
    }

    /// Returns whether the bytes since the last search end a head. An LF without CR counts as an end too. So a peer
    /// that ends its lines with LF alone is refused at once, and not only at the deadline.
    fn may_end(self, input: &[u8]) -> bool {
        let fresh = input.get(self.0.saturating_sub(1)..).unwrap_or_default();
        let bare = |pair: &[u8]| matches!(pair, [before, b'\n'] if *before != b'\r');
        find_head_end(input, self.0).is_some() || fresh.windows(2).any(bare)
    }
}

/// Returns whether bytes other than empty lines have arrived.
pub(crate) fn has_begun(input: &[u8]) -> bool {
    input.iter().any(|byte| !matches!(byte, b'\r' | b'\n'))
}
