//! Writing heads: every octet that comes from the application is checked on its way out, so that nothing can be sent
//! which the parser of this crate, or a laxer one, would read as something else.

use super::{
    fields::{Semantics, is_forbidden_in_trailers, single},
    host::is_host,
    request::is_target,
    scan::{is_field_value, is_text, is_token},
};
use crate::{Limits, LocalError, Method};

/// How an encoded message says where its body ends. The encoder writes the field; it is refused among the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FramingField {
    /// No field: a request without a body, a response that has none, or one that ends with the connection.
    None,
    /// `content-length`.
    Length(u64),
    /// `transfer-encoding: chunked`.
    Chunked,
}

/// Where encoded octets go.
pub(crate) trait Sink {
    fn put(&mut self, octets: &[u8]) -> Result<(), LocalError>;
}

/// A slice that is filled from its front.
pub(crate) struct SliceSink<'o> {
    out: &'o mut [u8],
    len: usize,
}

impl<'o> SliceSink<'o> {
    pub(crate) fn new(out: &'o mut [u8]) -> Self {
        Self { out, len: 0 }
    }

    fn finish(self) -> Result<usize, LocalError> {
        if self.len > Limits::MAX_HEAD { Err(LocalError::HeadTooLarge) } else { Ok(self.len) }
    }
}

impl Sink for SliceSink<'_> {
    fn put(&mut self, octets: &[u8]) -> Result<(), LocalError> {
        let end = self.len + octets.len();
        self.out.get_mut(self.len..end).ok_or(LocalError::BufferTooSmall)?.copy_from_slice(octets);
        self.len = end;
        Ok(())
    }
}

#[cfg(feature = "alloc")]
impl Sink for alloc::vec::Vec<u8> {
    fn put(&mut self, octets: &[u8]) -> Result<(), LocalError> {
        self.extend_from_slice(octets);
        Ok(())
    }
}

/// Writes a request head into `out` and gives its length. Host is one of the fields.
///
/// ```
/// use degu_wire::{Method, head::{FramingField, encode_request}};
///
/// let mut out = [0; 128];
/// let len = encode_request(&mut out, Method::Get, "/time", [("host", "clock")], FramingField::None)?;
/// assert_eq!(&out[..len], b"GET /time HTTP/1.1\r\nhost: clock\r\n\r\n");
/// # Ok::<(), degu_wire::LocalError>(())
/// ```
///
/// # Errors
///
/// What may not be sent, or [`LocalError::BufferTooSmall`]. `out` then holds a part of the head, which is of no use.
pub fn encode_request<'f, V: AsRef<[u8]>>(
    out: &mut [u8],
    method: Method<'_>,
    target: &str,
    fields: impl IntoIterator<Item = (&'f str, V)>,
    framing: FramingField,
) -> Result<usize, LocalError> {
    let mut sink = SliceSink::new(out);
    put_request_line(&mut sink, method, target)?;
    put_fields(&mut sink, fields)?;
    put_framing(&mut sink, framing)?;
    sink.put(b"\r\n")?;
    sink.finish()
}

/// Writes a response head into `out` and gives its length.
///
/// # Errors
///
/// What may not be sent, or [`LocalError::BufferTooSmall`]. `out` then holds a part of the head, which is of no use.
pub fn encode_response<'f, V: AsRef<[u8]>>(
    out: &mut [u8],
    status: u16,
    reason: &str,
    fields: impl IntoIterator<Item = (&'f str, V)>,
    framing: FramingField,
) -> Result<usize, LocalError> {
    // RFC 9112 §6.1 and RFC 9110 §8.6: messages without a body carry no framing.
    if framing != FramingField::None && (status < 200 || status == 204) {
        return Err(LocalError::BodyNotAllowed);
    }
    let mut sink = SliceSink::new(out);
    put_status_line(&mut sink, status, reason.as_bytes())?;
    put_fields(&mut sink, fields)?;
    put_framing(&mut sink, framing)?;
    sink.put(b"\r\n")?;
    sink.finish()
}

/// Writes a trailer section with its empty line, which follows the last chunk's line.
///
/// # Errors
///
/// What may not be sent, or [`LocalError::BufferTooSmall`].
pub fn encode_trailers<'f, V: AsRef<[u8]>>(
    out: &mut [u8],
    fields: impl IntoIterator<Item = (&'f str, V)>,
) -> Result<usize, LocalError> {
    let mut sink = SliceSink::new(out);
    for (name, value) in fields {
        if is_forbidden_in_trailers(name.as_bytes()) {
            return Err(LocalError::TrailerForbidden);
        }
        put_field(&mut sink, name, value.as_ref())?;
    }
    sink.put(b"\r\n")?;
    sink.finish()
}

pub(crate) fn put_request_line(sink: &mut impl Sink, method: Method<'_>, target: &str) -> Result<(), LocalError> {
    let method = method.known_as();
    match method {
        // Tunnels are not built here (RFC 9112 §3.2.3).
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

#[inline(always)]
pub(crate) fn put_status_line(sink: &mut impl Sink, status: u16, reason: &[u8]) -> Result<(), LocalError> {
    if status == 200 && reason == b"OK" {
        return sink.put(b"HTTP/1.1 200 OK\r\n");
    }
    put_other_status_line(sink, status, reason)
}

fn put_other_status_line(sink: &mut impl Sink, status: u16, reason: &[u8]) -> Result<(), LocalError> {
    if !(100..=999).contains(&status) {
        return Err(LocalError::Status);
    }
    if !is_text(reason) {
        return Err(LocalError::Reason);
    }
    let digit = |value: u16| b'0' + (value % 10) as u8;
    sink.put(b"HTTP/1.1 ")?;
    sink.put(&[digit(status / 100), digit(status / 10), digit(status), b' '])?;
    sink.put(reason)?;
    sink.put(b"\r\n")
}

/// Whether a field may be sent, framing aside.
pub(crate) fn check_field(name: &[u8], value: &[u8]) -> Result<(), LocalError> {
    if !is_token(name) {
        return Err(LocalError::FieldName);
    }
    if !is_field_value(value) {
        return Err(LocalError::FieldValue);
    }
    Ok(())
}

/// Writes fields, of which none may be a framing field, and some only once.
pub(crate) fn put_fields<'f, V: AsRef<[u8]>>(
    sink: &mut impl Sink,
    fields: impl IntoIterator<Item = (&'f str, V)>,
) -> Result<(), LocalError> {
    let mut seen = 0;
    for (name, value) in fields {
        let field = single(name.as_bytes());
        if field & (seen | Semantics::CONTENT_LENGTH | Semantics::CHUNKED) != 0 {
            return Err(LocalError::FieldNotAllowed);
        }
        seen |= field;
        if field == Semantics::HOST && !is_host(value.as_ref()) {
            return Err(LocalError::FieldValue);
        }
        put_field(sink, name, value.as_ref())?;
    }
    Ok(())
}

fn put_field(sink: &mut impl Sink, name: &str, value: &[u8]) -> Result<(), LocalError> {
    check_field(name.as_bytes(), value)?;
    sink.put(name.as_bytes())?;
    sink.put(b": ")?;
    sink.put(value)?;
    sink.put(b"\r\n")
}

#[inline(always)]
pub(crate) fn put_framing(sink: &mut impl Sink, framing: FramingField) -> Result<(), LocalError> {
    match framing {
        FramingField::None => Ok(()),
        FramingField::Chunked => sink.put(b"transfer-encoding: chunked\r\n"),
        FramingField::Length(length) => put_length(sink, length),
    }
}

#[inline(always)]
fn put_length(sink: &mut impl Sink, length: u64) -> Result<(), LocalError> {
    const NAME: &[u8] = b"content-length: ";
    let digit = |value: u64| b'0' + (value % 10) as u8;
    if let 100..=999 = length {
        // Of most small messages, so that all of it is known but three octets.
        let mut line = *b"content-length: 000\r\n";
        line[NAME.len()..][..3].copy_from_slice(&[digit(length / 100), digit(length / 10), digit(length)]);
        return sink.put(&line);
    }
    // Written from its end, in one piece: u64::MAX has 20 digits.
    let mut line = *b"content-length: 00000000000000000000\r\n";
    let mut at = line.len() - 2;
    let mut rest = length;
    loop {
        at -= 1;
        line[at] = digit(rest);
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    let line = &mut line[at - NAME.len()..];
    line[..NAME.len()].copy_from_slice(NAME);
    sink.put(line)
}
