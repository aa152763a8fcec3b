//! `status-line = HTTP-version SP status-code SP [ reason-phrase ]` (RFC 9112 §4), and the response head.

use core::fmt;

use super::{
    fields::{End, FieldSpan, Fields, Part, Semantics, Text, parse_fields},
    scan::skip_text,
    start_line::{line_end, version},
};
use crate::{Fault, Framing, Limits, Method, RemoteError};

/// A response head that was parsed and checked: see [`RequestHeadOf`](super::RequestHeadOf).
#[derive(Clone, Copy)]
pub struct ResponseHeadOf<F> {
    pub(crate) fields: F,
    pub(crate) meta: ResponseMeta,
}

/// A response head that is a view into the caller's bytes.
pub type ResponseHead<'b> = ResponseHeadOf<Fields<'b>>;

/// What a response head says, in offsets and flags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ResponseMeta {
    pub(crate) len: u16,
    status: u16,
    reason: (u16, u16),
    pub(crate) fields: u16,
    framing: Framing,
    http10: bool,
    pub(crate) keep_alive: bool,
}

/// Parses a response head from the front of `input`, interim ones included.
///
/// `None` means that the bytes are the beginning of a head and more are needed. Everything else is as for
/// [`parse_request`](super::parse_request). One deviation from RFC 9112 §4: the space before an absent reason phrase may
/// be missing, as many servers leave it out and nothing else can be meant.
///
/// # Errors
///
/// What the peer did wrong.
pub fn parse_response<'b>(
    input: &'b [u8],
    slots: &'b mut [FieldSpan],
    limits: &Limits,
) -> Result<Option<ResponseHead<'b>>, RemoteError> {
    Ok(scan_response(input, slots, limits)?
        .map(|meta| ResponseHead { fields: Fields::new(input, &slots[..meta.fields as usize]), meta }))
}

/// As [`parse_response`], for those who keep bytes and spans apart.
#[inline]
pub(crate) fn scan_response(
    input: &[u8],
    slots: &mut [FieldSpan],
    limits: &Limits,
) -> Result<Option<ResponseMeta>, RemoteError> {
    let max = limits.max_head.min(Limits::MAX_HEAD);
    let room = slots.len().min(limits.max_fields);
    match scan(&input[..input.len().min(max)], &mut slots[..room])? {
        None if input.len() >= max => Err(Fault::HeadTooLarge.into()),
        parsed => Ok(parsed),
    }
}

#[inline(always)]
fn scan(input: &[u8], slots: &mut [FieldSpan]) -> Result<Option<ResponseMeta>, RemoteError> {
    let Some(minor) = version(input, 0)? else { return Ok(None) };
    let http10 = minor == 0;
    let Some(status) = status(input)? else { return Ok(None) };
    let offset = |rest: &[u8]| input.len() - rest.len();
    let mut reason = (0, 0);
    let line_ends = match &input[12..] {
        [b' ', text @ ..] => {
            let mut rest = skip_text(text);
            while let [b'\t', after @ ..] = rest {
                rest = skip_text(after);
            }
            reason = (offset(text) as u16, offset(rest) as u16);
            offset(rest)
        }
        [b'\r', ..] | [] => 12,
        _ => return Err(RemoteError::at(Fault::Status, 12)),
    };
    let Some(at) = line_end(input, line_ends, Fault::Reason)? else { return Ok(None) };
    let mut semantics = Semantics::default();
    let (end, fields) = match parse_fields(input, at, slots, &mut semantics, Part::Response { http10 })? {
        End::Partial => return Ok(None),
        End::At { end, fields } => (end, fields),
    };
    let framing = semantics.framing()?.unwrap_or(Framing::UntilClose);
    // RFC 9112 §6.1: never in a 1xx or 204, which have no body to code.
    if framing == Framing::Chunked && (status < 200 || status == 204) {
        return Err(Fault::TransferEncoding.into());
    }
    Ok(Some(ResponseMeta {
        len: end as u16,
        status,
        reason,
        fields: fields as u16,
        framing,
        http10,
        keep_alive: !http10 && !semantics.close,
    }))
}

/// Reads ` 3DIGIT` after the version, or returns `None` for more bytes. Below 100 is no status; from 600 on is one to be
/// treated as 5xx (RFC 9110 §15).
fn status(input: &[u8]) -> Result<Option<u16>, RemoteError> {
    let mut status = 0;
    for at in 8..12 {
        let Some(&byte) = input.get(at) else { return Ok(None) };
        match byte {
            b' ' if at == 8 => {}
            b'1'..=b'9' if at == 9 => status = u16::from(byte - b'0'),
            b'0'..=b'9' if at > 9 => status = status * 10 + u16::from(byte - b'0'),
            _ => return Err(RemoteError::at(Fault::Status, at)),
        }
    }
    Ok(Some(status))
}

impl<F> ResponseHeadOf<F> {
    /// The status code, from 100 to 999.
    pub const fn status(&self) -> u16 {
        self.meta.status
    }

    /// Where the body ends, given the method of the request (RFC 9112 §6.3). There is none in a response to CONNECT that
    /// opens a tunnel: what follows is not HTTP.
    pub fn framing(&self, request: Method<'_>) -> Framing {
        match (self.status(), request.known_as()) {
            (100..=199 | 204 | 304, _) | (_, Method::Head) | (200..=299, Method::Connect) => Framing::None,
            _ => self.meta.framing,
        }
    }

    /// Bytes of the head: the body begins here.
    pub const fn head_len(&self) -> usize {
        self.meta.len as usize
    }

    /// Returns whether the response is of HTTP/1.0.
    pub const fn is_http10(&self) -> bool {
        self.meta.http10
    }

    /// Returns whether the server will keep the connection open after this exchange, as far as the head says. Never with
    /// HTTP/1.0.
    pub const fn keep_alive(&self) -> bool {
        self.meta.keep_alive
    }
}

impl<F: Text> ResponseHeadOf<F> {
    /// The bytes of the reason phrase.
    pub(crate) fn phrase(&self) -> &[u8] {
        self.fields.text().get(self.meta.reason.0 as usize..self.meta.reason.1 as usize).unwrap_or_default()
    }
}

impl<'b> ResponseHead<'b> {
    /// The reason phrase, which may be empty and need not be UTF-8.
    pub fn reason(&self) -> &[u8] {
        self.phrase()
    }

    /// The fields.
    pub const fn fields(&self) -> Fields<'b> {
        self.fields
    }
}

/// Without the values of the fields: they may be secrets.
impl<F: fmt::Debug> fmt::Debug for ResponseHeadOf<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseHead").field("status", &self.status()).field("headers", &self.fields).finish()
    }
}
