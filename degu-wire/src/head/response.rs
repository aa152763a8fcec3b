//! `status-line = HTTP-version SP status-code SP [ reason-phrase ]` (RFC 9112 §4), and the response head.

use core::fmt;

use super::{
    Stop,
    fields::{Facts, FieldSpan, Fields, HeadMeta, Section, Text, parse_fields},
    scan::{is_text, skip_text, skip_token},
    start_line::{line_end, version},
    stop,
};
use crate::{Fault, Framing, Limits, Method, RemoteError};

/// A parsed and checked response head: see [`RequestHeadOf`](super::RequestHeadOf).
#[derive(Clone, Copy)]
pub struct ResponseHeadOf<F> {
    pub(crate) fields: F,
    pub(crate) meta: ResponseMeta,
}

/// A response head that is a view into the caller's bytes.
pub type ResponseHead<'b> = ResponseHeadOf<Fields<'b>>;

/// The content of a response head, as offsets and flags. The bytes are kept elsewhere.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ResponseMeta {
    pub(crate) common: HeadMeta,
    pub(crate) status: u16,
    pub(crate) reason: (u16, u16),
}

/// Parses a final or interim response head from the beginning of `input`.
///
/// `None` means that the bytes are the beginning of a head, and more bytes are needed. The function works like
/// [`parse_request`](super::parse_request), except that it accepts some common faults of servers. These faults cannot
/// change the end of a message:
///
/// - The space before an absent reason phrase may be missing (RFC 9112 §4).
/// - A folded field line is read as if each fold were one space (RFC 9112 §5.2), and blanks between a field's name and
///   the colon are skipped (RFC 9112 §5.1). Such a line is rewritten in `input`, at the same length, and parsed again.
///   Content-Length, Transfer-Encoding, Connection, Content-Range and Upgrade are refused in this form.
/// - Fields that must be unique in a request may be repeated, except for Content-Length, Transfer-Encoding and
///   Content-Range.
/// - A 204 may have Transfer-Encoding, which has no meaning there. The connection cannot be used after such a response.
///
/// # Errors
///
/// The fault of the peer.
///
/// ```
/// use degu_wire::{Limits, head::{FieldSpan, parse_response}};
///
/// let mut input = *b"HTTP/1.1 200 OK\r\nServer : one\r\n two\r\n\r\n";
/// let mut slots = [FieldSpan::EMPTY; 16];
/// let head = parse_response(&mut input, &mut slots, &Limits::DEFAULT)?.unwrap();
/// assert_eq!(head.fields().get("server"), Some(&b"one two"[..]));
/// # Ok::<(), degu_wire::RemoteError>(())
/// ```
pub fn parse_response<'b>(
    input: &'b mut [u8],
    slots: &'b mut [FieldSpan],
    limits: &Limits,
) -> Result<Option<ResponseHead<'b>>, RemoteError> {
    let mut meta = ResponseMeta::default();
    if !scan_response(input, slots, limits, &mut meta)? {
        return Ok(None);
    }
    Ok(Some(ResponseHead { fields: Fields::new(input, &slots[..meta.common.fields as usize]), meta }))
}

/// Rewrites the line at which a scan stopped with this fault, if the line is folded or has blanks before its colon.
/// Returns true if the head can be scanned again, and false if more of the line must arrive first. Each line is
/// rewritten at most twice, so the number of scans is at most twice the number of lines.
///
/// # Errors
///
/// `fault`, if the line is neither folded nor has blanks before its colon, or if the field may not be rewritten.
/// Otherwise a fault in the rest of the line, or [`Fault::HeadTooLarge`] if the line does not end within `max` bytes.
#[cold]
fn rewrite(input: &mut [u8], max: usize, fault: RemoteError) -> Result<bool, RemoteError> {
    let len = input.len();
    let head = &mut input[..len.min(max)];
    let rewritten = match fault.fault {
        Fault::ObsFold => unfold(head, fault)?,
        Fault::FieldName => close_gap(head, fault)?,
        _ => return Err(fault),
    };
    if !rewritten && len >= max { Err(Fault::HeadTooLarge.into()) } else { Ok(rewritten) }
}

/// Replaces each fold of a line by one space. The line keeps its length: the bytes that are saved become spaces at the
/// end of the line, where spaces have no meaning. The result is as in [`rewrite`]. The first fold is directly before
/// the offset of the fault.
fn unfold(head: &mut [u8], fault: RemoteError) -> Result<bool, RemoteError> {
    let fold = fault.offset as usize - 2;
    let Some(start) = head[..fold].windows(2).rposition(|pair| pair == b"\r\n").map(|at| at + 2) else {
        // The continuation belongs to the status line.
        return Err(fault);
    };
    if is_strict(&head[start..fold]) {
        return Err(fault);
    }
    // The line ends with the first CRLF that is not followed by a blank.
    let mut end = fold;
    loop {
        match &head[end..] {
            [b'\r', b'\n', next, ..] if !is_blank(*next) => break,
            [b'\r', b'\n', _, ..] => end += 2,
            [b'\r', b'\n'] | [b'\r'] | [] => return Ok(false),
            [b'\r' | b'\n', ..] => return Err(RemoteError::at(Fault::LineEnd, end)),
            [byte, ..] if is_text(&[*byte]) => end += 1,
            _ => return Err(RemoteError::at(Fault::FieldValue, end)),
        }
    }
    let (mut to, mut in_fold) = (fold, false);
    for from in fold..end {
        let byte = match head[from] {
            b'\r' => {
                in_fold = true;
                while is_blank(head[to - 1]) {
                    to -= 1;
                }
                b' '
            }
            b'\n' | b' ' | b'\t' if in_fold => continue,
            byte => {
                in_fold = false;
                byte
            }
        };
        head[to] = byte;
        to += 1;
    }
    head[to..end].fill(b' ');
    Ok(true)
}

/// Exchanges the colon of a line with the first of the blanks before it, so all blanks follow the colon and have no
/// meaning. The first blank is at the offset of the fault. The result is as in [`rewrite`].
fn close_gap(head: &mut [u8], fault: RemoteError) -> Result<bool, RemoteError> {
    let gap = fault.offset as usize;
    let len = head[gap..].iter().take_while(|&&byte| is_blank(byte)).count();
    let start = head[..gap].iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
    if len == 0 || is_strict(&head[start..gap]) {
        return Err(fault);
    }
    match head.get(gap + len) {
        Some(b':') => {
            head.swap(gap, gap + len);
            Ok(true)
        }
        Some(_) => Err(RemoteError::at(Fault::FieldName, gap + len)),
        None => Ok(false),
    }
}

/// Returns whether a line has a field that must be neither folded nor have blanks before its colon.
fn is_strict(line: &[u8]) -> bool {
    Facts::STRICT.has(Facts::of(&line[..line.len() - skip_token(line).len()]))
}

const fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

/// Parses as [`parse_response`] does, for callers that store the bytes and the offsets themselves: see
/// [`scan_request`](super::scan_request).
pub(crate) fn scan_response(
    input: &mut [u8],
    slots: &mut [FieldSpan],
    limits: &Limits,
    meta: &mut ResponseMeta,
) -> Result<bool, RemoteError> {
    let max = limits.max_head.min(Limits::MAX_HEAD);
    let room = slots.len().min(limits.max_fields);
    loop {
        match scan(&input[..input.len().min(max)], &mut slots[..room], meta) {
            Ok(()) => return Ok(true),
            Err(None) if input.len() >= max => return Err(Fault::HeadTooLarge.into()),
            Err(Some(fault)) if rewrite(input, max, fault)? => {}
            Err(_) => return Ok(false),
        }
    }
}

#[inline(always)]
fn scan(input: &[u8], slots: &mut [FieldSpan], meta: &mut ResponseMeta) -> Result<(), Stop> {
    let (minor, rest) = version(input, input)?;
    let (status, rest) = status(input, rest)?;
    let offset = |rest: &[u8]| input.len() - rest.len();
    let (reason, rest) = match rest {
        [b' ', text @ ..] => {
            let mut rest = skip_text(text);
            while let [b'\t', after @ ..] = rest {
                rest = skip_text(after);
            }
            ((offset(text) as u16, offset(rest) as u16), rest)
        }
        [b'\r', ..] | [] => ((0, 0), rest),
        _ => return Err(stop(Fault::Status, 12)),
    };
    let lines = line_end(input, rest, Fault::Reason)?;
    (meta.status, meta.reason) = (status, reason);
    let common = &mut meta.common;
    *common = HeadMeta::new(Section::Response, minor == 0);
    parse_fields(input, lines, slots, common, Section::Response)?;
    common.check_framing()?;
    // RFC 9112 §6.1: a 1xx or 204 response has no body, so it has no Transfer-Encoding. After a 204 with the field it
    // is unknown whether a body follows, so the connection is not kept.
    if common.framing == Framing::Chunked {
        match meta.status {
            100..=199 => return Err(Some(Fault::TransferEncoding.into())),
            204 => common.facts.set(Facts::CLOSE, true),
            _ => {}
        }
    }
    Ok(())
}

/// Reads a space and the three digits of the status at the beginning of `rest`, which is the part of the `input` after
/// the version. Returns the status, and the bytes after it. A number below 100 is not a status. RFC 9110 §15 asks the
/// client to treat a status from 600 to 999 as 5xx, which is left to the caller.
#[inline(always)]
fn status<'i>(input: &[u8], rest: &'i [u8]) -> Result<(u16, &'i [u8]), Stop> {
    match rest {
        [b' ', first @ b'1'..=b'9', second @ b'0'..=b'9', third @ b'0'..=b'9', rest @ ..] => {
            // The value of the three characters is too large by 111 times the character `0`.
            let [first, second, third] = [first, second, third].map(|digit| u16::from(*digit));
            Ok((first * 100 + second * 10 + third - u16::from(b'0') * 111, rest))
        }
        _ => Err(no_status(input)),
    }
}

/// Decides about a status that is incomplete or malformed. Returns `None` if the rest of the status may still arrive,
/// and the fault otherwise.
#[cold]
fn no_status(input: &[u8]) -> Stop {
    let fits = [|byte| byte == b' ', |byte| (b'1'..=b'9').contains(&byte), |byte: u8| byte.is_ascii_digit()];
    let (at, _) = (8..).zip(&input[8..]).find(|&(at, byte)| !fits[(at - 8).min(2)](*byte))?;
    stop(Fault::Status, at)
}

impl<F> ResponseHeadOf<F> {
    /// Returns the status code, from 100 to 999.
    pub const fn status(&self) -> u16 {
        self.meta.status
    }

    /// Returns the framing of the body for a request with this method (RFC 9112 §6.3). A response to CONNECT that opens
    /// a tunnel has no body, because the bytes after it are not HTTP.
    pub fn framing(&self, request: Method<'_>) -> Framing {
        match (self.status(), request.known_as()) {
            (100..=199 | 204 | 304, _) | (_, Method::Head) | (200..=299, Method::Connect) => Framing::None,
            _ => self.meta.common.framing,
        }
    }

    /// Returns the number of bytes of the head. The body begins after these bytes.
    pub const fn head_len(&self) -> usize {
        self.meta.common.len as usize
    }

    /// Returns whether the response is of HTTP/1.0.
    pub const fn is_http10(&self) -> bool {
        self.meta.common.facts.has(Facts::HTTP10)
    }

    /// Returns whether the server will keep the connection open after this exchange, as far as the head tells. For
    /// HTTP/1.0 the result is always `false`.
    pub const fn keep_alive(&self) -> bool {
        self.meta.common.keep_alive()
    }

    /// Returns whether the head has the field Keep-Alive, which may announce the server's idle timeout. A client that
    /// checks this first need not search the fields of each response.
    pub const fn has_keep_alive(&self) -> bool {
        self.meta.common.facts.has(Facts::KEEP_ALIVE)
    }

    /// Returns whether the content type is JSON: `application/json` (RFC 8259 §11) or a type with the suffix `+json`
    /// (RFC 6839 §3.1), with any parameters. Returns `false` without Content-Type.
    pub const fn is_json(&self) -> bool {
        self.meta.common.facts.has(Facts::JSON)
    }
}

impl<'b> ResponseHead<'b> {
    /// Returns the reason phrase, which may be empty and need not be UTF-8.
    pub fn reason(&self) -> &[u8] {
        self.fields.text().get(self.meta.reason.0 as usize..self.meta.reason.1 as usize).unwrap_or_default()
    }

    /// Returns the fields.
    pub const fn fields(&self) -> Fields<'b> {
        self.fields
    }
}

/// Leaves out the values of the fields, because they may be secret.
impl<F: fmt::Debug> fmt::Debug for ResponseHeadOf<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseHead").field("status", &self.status()).field("headers", &self.fields).finish()
    }
}
