//! Writing heads. Every byte that comes from the application is checked before it is written, so every parser finds
//! exactly the fields that the application set.

use super::{
    fields::{Facts, is_forbidden_in_trailers},
    host::is_host,
    request::is_target,
    scan::{is_field_value, is_text, is_token},
};
use crate::abnf::digits;
use crate::sink::{Sink, SliceSink};
use crate::{Framing, Limits, LocalError, Method};

/// Writes a request head into `out`, and returns its length. The caller passes Host among the fields.
///
/// ```
/// use degu_wire::{Framing, Method, head::encode_request};
///
/// let mut out = [0; 128];
/// let len = encode_request(&mut out, Method::Get, "/time", [("host", "clock")], Framing::None)?;
/// assert_eq!(&out[..len], b"GET /time HTTP/1.1\r\nhost: clock\r\n\r\n");
/// # Ok::<(), degu_wire::LocalError>(())
/// ```
///
/// # Errors
///
/// The rule that the head breaks, or [`LocalError::BufferTooSmall`] if `out` is too short. After an
/// error, `out` holds an incomplete head, which must not be sent.
pub fn encode_request<'f, V: AsRef<[u8]>>(
    out: &mut [u8],
    method: Method<'_>,
    target: &str,
    fields: impl IntoIterator<Item = (&'f str, V)>,
    framing: Framing,
) -> Result<usize, LocalError> {
    // The fields of a request determine the end of its body. The end of the connection cannot be the end of a request.
    if framing == Framing::UntilClose {
        return Err(LocalError::BodyNotAllowed);
    }
    let mut sink = SliceSink::new(out);
    put_request_line(&mut sink, method.known_as(), target)?;
    put_fields(sink, fields, framing)
}

/// Writes a response head into `out`, and returns its length.
///
/// # Errors
///
/// The rule that the head breaks, or [`LocalError::BufferTooSmall`] if `out` is too short. After an
/// error, `out` holds an incomplete head, which must not be sent.
pub fn encode_response<'f, V: AsRef<[u8]>>(
    out: &mut [u8],
    status: u16,
    reason: &str,
    fields: impl IntoIterator<Item = (&'f str, V)>,
    framing: Framing,
) -> Result<usize, LocalError> {
    // A 1xx or 204 response has no body and no framing field (RFC 9112 §6.1, RFC 9110 §8.6).
    if framing != Framing::None && (status < 200 || status == 204) {
        return Err(LocalError::BodyNotAllowed);
    }
    let mut sink = SliceSink::new(out);
    put_status_line(&mut sink, status, reason.as_bytes())?;
    put_fields(sink, fields, framing)
}

/// Writes a trailer section with its empty line, and returns its length. The section follows the line of the last
/// chunk.
///
/// # Errors
///
/// The rule that a trailer breaks, or [`LocalError::BufferTooSmall`] if `out` is too short. After an error, `out` holds
/// an incomplete section, which must not be sent.
pub fn encode_trailers<'f, V: AsRef<[u8]>>(
    out: &mut [u8],
    fields: impl IntoIterator<Item = (&'f str, V)>,
) -> Result<usize, LocalError> {
    let mut sink = SliceSink::new(out);
    put_trailers(&mut sink, fields)?;
    finish(&sink)
}

/// Writes a trailer section with its empty line.
pub(crate) fn put_trailers<'f, V: AsRef<[u8]>>(
    sink: &mut impl Sink,
    fields: impl IntoIterator<Item = (&'f str, V)>,
) -> Result<(), LocalError> {
    for (name, value) in fields {
        if is_forbidden_in_trailers(name.as_bytes()) {
            return Err(LocalError::TrailerForbidden);
        }
        check_field(name.as_bytes(), value.as_ref())?;
        put_line(sink, name.as_bytes(), value.as_ref())?;
    }
    sink.put(b"\r\n")
}

/// Writes a request line. The caller has converted `method` with [`Method::known_as`], so an extension method never has
/// the name of a known method.
pub(crate) fn put_request_line(sink: &mut impl Sink, method: Method<'_>, target: &str) -> Result<(), LocalError> {
    match method {
        // CONNECT is not implemented (RFC 9112 §3.2.3).
        Method::Connect => return Err(LocalError::Method),
        Method::Extension(name) if !is_token(name.as_bytes()) => return Err(LocalError::Method),
        _ => {}
    }
    if !is_target(target.as_bytes(), method) {
        return Err(LocalError::Target);
    }
    sink.put(method.as_str().as_bytes())?;
    sink.put(b" ")?;
    sink.put(target.as_bytes())?;
    sink.put(b" HTTP/1.1\r\n")
}

pub(crate) fn put_status_line(sink: &mut impl Sink, status: u16, reason: &[u8]) -> Result<(), LocalError> {
    if !(100..=999).contains(&status) {
        return Err(LocalError::Status);
    }
    if !is_text(reason) {
        return Err(LocalError::Reason);
    }
    let digit = |value: u16| b'0' + (value % 10) as u8;
    let mut start = *b"HTTP/1.1 ddd ";
    start[9..12].copy_from_slice(&[digit(status / 100), digit(status / 10), digit(status)]);
    sink.put(&start)?;
    sink.put(reason)?;
    sink.put(b"\r\n")
}

/// Writes `fields`, then the Content-Length or Transfer-Encoding of `framing`, and the empty line. Refuses these two
/// fields in `fields`, and a field that is repeated although it must be unique.
fn put_fields<'f, V: AsRef<[u8]>>(
    mut sink: SliceSink,
    fields: impl IntoIterator<Item = (&'f str, V)>,
    framing: Framing,
) -> Result<usize, LocalError> {
    let mut seen = Facts::NONE;
    for (name, value) in fields {
        let field = Facts::of(name.as_bytes());
        if matches!(field, Facts::CONTENT_LENGTH | Facts::TRANSFER_ENCODING) {
            return Err(LocalError::FieldNotAllowed);
        }
        if !seen.add(field) {
            return Err(LocalError::FieldRepeated);
        }
        if field == Facts::HOST && !is_host(value.as_ref()) {
            return Err(LocalError::FieldValue);
        }
        check_field(name.as_bytes(), value.as_ref())?;
        put_line(&mut sink, name.as_bytes(), value.as_ref())?;
    }
    put_framing(&mut sink, framing)?;
    sink.put(b"\r\n")?;
    finish(&sink)
}

fn finish(sink: &SliceSink) -> Result<usize, LocalError> {
    if sink.len() > Limits::MAX_HEAD { Err(LocalError::HeadTooLarge) } else { Ok(sink.len()) }
}

/// Returns an error if the field may not be sent.
pub(crate) fn check_field(name: &[u8], value: &[u8]) -> Result<(), LocalError> {
    if !is_token(name) {
        return Err(LocalError::FieldName);
    }
    if is_field_value(value) { Ok(()) } else { Err(LocalError::FieldValue) }
}

/// Writes a field line that has been checked.
#[inline(always)]
pub(crate) fn put_line(sink: &mut impl Sink, name: &[u8], value: &[u8]) -> Result<(), LocalError> {
    sink.put(name)?;
    sink.put(b": ")?;
    sink.put(value)?;
    sink.put(b"\r\n")
}

/// Writes the framing field, if the framing has one.
pub(crate) fn put_framing(sink: &mut impl Sink, framing: Framing) -> Result<(), LocalError> {
    match framing {
        Framing::Length(length) => {
            sink.put(b"content-length: ")?;
            sink.put(digits(length, 10, &mut [0; 20]))?;
            sink.put(b"\r\n")
        }
        Framing::Chunked => sink.put(b"transfer-encoding: chunked\r\n"),
        Framing::None | Framing::UntilClose => Ok(()),
    }
}
