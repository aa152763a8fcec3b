//! Field lines: `field-name ":" OWS field-value OWS CRLF` (RFC 9112 §5), and what framing is made of.
//!
//! One pass finds the lines, checks every octet and notes the fields on which framing, routing and persistence depend
//! ([`Semantics`]), so that no field is looked up afterwards to find out where a message ends.

use super::{
    host::is_host,
    scan::{skip_text, skip_token},
};
use crate::{Fault, RemoteError};

/// Where a field lies in its head: four offsets, eight octets. Storage for them belongs to the caller.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FieldSpan {
    pub(crate) name: u16,
    pub(crate) name_end: u16,
    pub(crate) value: u16,
    pub(crate) value_end: u16,
}

impl FieldSpan {
    /// A span of nothing, to make storage of.
    pub const EMPTY: Self = Self { name: 0, name_end: 0, value: 0, value_end: 0 };

    pub(crate) fn name(self, text: &[u8]) -> &str {
        // A field name is a token, so it is ASCII; the spans were made for this text.
        text.get(self.name as usize..self.name_end as usize)
            .and_then(|name| core::str::from_utf8(name).ok())
            .unwrap_or_default()
    }

    pub(crate) fn value(self, text: &[u8]) -> &[u8] {
        text.get(self.value as usize..self.value_end as usize).unwrap_or_default()
    }

    pub(crate) fn is_named(self, text: &[u8], name: &str) -> bool {
        text.get(self.name as usize..self.name_end as usize)
            .is_some_and(|found| found.eq_ignore_ascii_case(name.as_bytes()))
    }
}

/// Which message the fields belong to: what is checked depends on it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    Request { http10: bool },
    Response { http10: bool },
    Trailers,
}

/// The fields that may stand only once, and those whose presence alone decides something.
#[derive(Clone, Copy, Default)]
pub(super) struct Semantics {
    seen: u16,
    pub(super) content_length: u64,
    pub(super) close: bool,
    pub(super) expects_continue: bool,
    /// The value of Host, as offsets.
    pub(super) host: (u16, u16),
}

impl Semantics {
    pub(super) const HOST: u16 = 1;
    pub(super) const CONTENT_LENGTH: u16 = 1 << 1;
    pub(super) const CHUNKED: u16 = 1 << 2;
    const CONTENT_TYPE: u16 = 1 << 3;
    const CONTENT_RANGE: u16 = 1 << 4;
    const AUTHORIZATION: u16 = 1 << 5;
    const RANGE: u16 = 1 << 6;
    const EXPECT: u16 = 1 << 7;

    pub(super) const fn has(&self, field: u16) -> bool {
        self.seen & field != 0
    }

    fn once(&mut self, field: u16, at: usize) -> Result<(), RemoteError> {
        if self.has(field) {
            return Err(RemoteError::at(Fault::Repeated, at));
        }
        self.seen |= field;
        Ok(())
    }

    /// Takes note of one field. `at` is where its name begins, `value_at` where its value does.
    #[inline(always)]
    fn note(&mut self, name: &[u8], at: usize, value: &[u8], value_at: usize, part: Part) -> Result<(), RemoteError> {
        let refuse = |fault| Err(RemoteError::at(fault, value_at));
        match name.len() {
            4 if matches!(part, Part::Request { .. }) && is(name, b"host") => {
                self.once(Self::HOST, at)?;
                if !is_host(value) {
                    return refuse(Fault::Host);
                }
                self.host = (value_at as u16, (value_at + value.len()) as u16);
            }
            5 if is(name, b"range") => self.once(Self::RANGE, at)?,
            6 if is(name, b"expect") => {
                self.once(Self::EXPECT, at)?;
                // A server ignores it in a request of HTTP/1.0 (RFC 9110 §10.1.1); in a response it has no meaning.
                if part == (Part::Request { http10: false }) {
                    if !value.eq_ignore_ascii_case(b"100-continue") {
                        return refuse(Fault::Expectation);
                    }
                    self.expects_continue = true;
                }
            }
            10 if is(name, b"connection") => self.connection(value),
            12 if is(name, b"content-type") => self.once(Self::CONTENT_TYPE, at)?,
            13 if is(name, b"authorization") => self.once(Self::AUTHORIZATION, at)?,
            13 if is(name, b"content-range") => self.once(Self::CONTENT_RANGE, at)?,
            14 if is(name, b"content-length") => {
                self.once(Self::CONTENT_LENGTH, at)?;
                match decimal(value) {
                    Some(length) => self.content_length = length,
                    None => return refuse(Fault::ContentLength),
                }
            }
            17 if is(name, b"transfer-encoding") => {
                self.once(Self::CHUNKED, at)?;
                // RFC 9112 §6.1: a message of HTTP/1.0 with it has been tampered with, or comes from a broken peer.
                if matches!(part, Part::Request { http10: true } | Part::Response { http10: true }) {
                    return Err(RemoteError::at(Fault::TransferEncoding, at));
                }
                if !value.eq_ignore_ascii_case(b"chunked") {
                    return refuse(Fault::TransferCoding);
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// `Connection: close` (RFC 9112 §9.6). `keep-alive` changes nothing: HTTP/1.1 persists, and HTTP/1.0 does not here.
    fn connection(&mut self, value: &[u8]) {
        if value.len() == 10 && is(value, b"keep-alive") {
            return;
        }
        let mut options = value.split(|&octet| octet == b',');
        self.close |= options.any(|option| option.trim_ascii().eq_ignore_ascii_case(b"close"));
    }
}

/// The fields that may stand only once, for those who write a message: the bit of this one, or none.
pub(crate) fn single(name: &[u8]) -> u16 {
    match name.len() {
        4 if is(name, b"host") => Semantics::HOST,
        5 if is(name, b"range") => Semantics::RANGE,
        6 if is(name, b"expect") => Semantics::EXPECT,
        12 if is(name, b"content-type") => Semantics::CONTENT_TYPE,
        13 if is(name, b"authorization") => Semantics::AUTHORIZATION,
        13 if is(name, b"content-range") => Semantics::CONTENT_RANGE,
        14 if is(name, b"content-length") => Semantics::CONTENT_LENGTH,
        17 if is(name, b"transfer-encoding") => Semantics::CHUNKED,
        _ => 0,
    }
}

/// Whether a name of letters and hyphens is `lower`, case ignored. Setting the case bit maps no other token octet onto a
/// letter or a hyphen, so words can be compared as they are.
#[inline(always)]
fn is<const N: usize>(name: &[u8], lower: &[u8; N]) -> bool {
    const CASE: u64 = 0x2020_2020_2020_2020;
    let Some(name) = name.first_chunk::<N>() else { return false };
    if N == 4 {
        let word = |text: &[u8; N]| text.first_chunk().map(|four| u32::from_le_bytes(*four));
        return word(name).map(|word| word | CASE as u32) == word(lower);
    }
    let words = |text: &[u8; N]| {
        let (first, last) = (text.first_chunk::<8>()?, text.last_chunk::<8>()?);
        Some((u64::from_le_bytes(*first), u64::from_le_bytes(*last)))
    };
    match words(name) {
        Some((first, last)) if N <= 16 => Some((first | CASE, last | CASE)) == words(lower),
        _ => name.eq_ignore_ascii_case(lower),
    }
}

/// `1*DIGIT` of at most 64 bits; leading zeros are of the grammar.
pub(crate) fn decimal(text: &[u8]) -> Option<u64> {
    // Nineteen digits can not overflow.
    let (sure, rest) = text.split_at(text.len().min(19));
    let mut value = 0;
    for &octet in sure {
        value = value * 10 + digit(octet)?;
    }
    if text.is_empty() {
        return None;
    }
    rest.iter().try_fold(value, |value: u64, &octet| value.checked_mul(10)?.checked_add(digit(octet)?))
}

fn digit(octet: u8) -> Option<u64> {
    octet.is_ascii_digit().then(|| u64::from(octet - b'0'))
}

/// How a pass over field lines ended.
pub(super) enum End {
    /// The input ends inside a line.
    Partial,
    /// The empty line was found: octets up to its end, and how many fields there are.
    At { end: usize, fields: usize },
}

/// Parses field lines from `at`, which is not beyond the input, to the empty line. In trailers the end of the input stands
/// for the empty line, which the chunk decoder has taken off.
#[inline(always)]
pub(super) fn parse_fields(
    input: &[u8],
    at: usize,
    slots: &mut [FieldSpan],
    semantics: &mut Semantics,
    part: Part,
) -> Result<End, RemoteError> {
    let offset = |rest: &[u8]| input.len() - rest.len();
    let mut line = &input[at..];
    let mut fields = 0;
    loop {
        let behind_name = match line {
            // Where most requests begin: known by a comparison, it need not be scanned, and the next scan need not wait.
            [b'H' | b'h', b'O' | b'o', b'S' | b's', b'T' | b't', b':', ..] if fields == 0 => &line[4..],
            _ => skip_token(line),
        };
        let name_len = line.len() - behind_name.len();
        let mut value = match behind_name {
            [b':', value @ ..] if name_len > 0 => value,
            [b'\r', b'\n', rest @ ..] if name_len == 0 && part != Part::Trailers => {
                return Ok(End::At { end: offset(rest), fields });
            }
            _ => return no_field(offset(line), offset(behind_name), behind_name, fields, part),
        };
        while let [b' ' | b'\t', rest @ ..] = value {
            value = rest;
        }
        let mut behind_value = value;
        let next = loop {
            behind_value = skip_text(behind_value);
            match behind_value {
                [b'\r', b'\n', next @ ..] => break next,
                [b'\t', rest @ ..] => behind_value = rest,
                _ => return no_value(offset(behind_value), behind_value),
            }
        };
        let (start, value_at) = (offset(line), offset(value));
        let mut value = &value[..value.len() - behind_value.len()];
        while let [text @ .., b' ' | b'\t'] = value {
            value = text;
        }
        let Some(slot) = slots.get_mut(fields) else { return Err(RemoteError::at(Fault::TooManyFields, start)) };
        *slot = FieldSpan {
            name: start as u16,
            name_end: (start + name_len) as u16,
            value: value_at as u16,
            value_end: (value_at + value.len()) as u16,
        };
        fields += 1;
        let name = &line[..name_len];
        if part == Part::Trailers {
            if is_forbidden_in_trailers(name) {
                return Err(RemoteError::at(Fault::TrailerForbidden, start));
            }
        } else {
            semantics.note(name, start, value, value_at, part)?;
        }
        line = next;
    }
}

/// A value that is not followed by CRLF at `at`, where `rest` begins.
#[cold]
#[inline(never)]
fn no_value(at: usize, rest: &[u8]) -> Result<End, RemoteError> {
    match rest {
        [] | [b'\r'] => Ok(End::Partial),
        [b'\r' | b'\n', ..] => Err(RemoteError::at(Fault::LineEnd, at)),
        _ => Err(RemoteError::at(Fault::FieldValue, at)),
    }
}

/// A line that begins at `start` with no `token ":"`: a part of the last line, or a fault at `at`, where `rest` begins.
#[cold]
#[inline(never)]
fn no_field(start: usize, at: usize, rest: &[u8], fields: usize, part: Part) -> Result<End, RemoteError> {
    let refuse = |fault| Err(RemoteError::at(fault, at));
    match rest {
        [] if part == Part::Trailers && at == start => Ok(End::At { end: at, fields }),
        [] => Ok(End::Partial),
        [b'\r'] if at == start && part != Part::Trailers => Ok(End::Partial),
        [b'\r', ..] if at == start && part != Part::Trailers => refuse(Fault::LineEnd),
        [b'\n', ..] => refuse(Fault::LineEnd),
        [b' ' | b'\t', ..] if at == start => refuse(Fault::ObsFold),
        _ => refuse(Fault::FieldName),
    }
}

/// Fields that a recipient must know before the body: framing, routing, authentication, and how to read the content
/// (RFC 9110 §6.5.1).
pub(crate) fn is_forbidden_in_trailers(name: &[u8]) -> bool {
    const FORBIDDEN: [&[u8]; 19] = [
        b"authorization",
        b"connection",
        b"content-encoding",
        b"content-length",
        b"content-range",
        b"content-type",
        b"cookie",
        b"expect",
        b"host",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"range",
        b"set-cookie",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
        b"www-authenticate",
    ];
    FORBIDDEN.iter().any(|forbidden| name.eq_ignore_ascii_case(forbidden))
}

/// The fields of a head or a trailer section that was parsed: views into the caller's octets and storage.
#[derive(Clone, Copy)]
pub struct Fields<'b> {
    text: &'b [u8],
    spans: &'b [FieldSpan],
}

impl<'b> Fields<'b> {
    pub(crate) const fn new(text: &'b [u8], spans: &'b [FieldSpan]) -> Self {
        Self { text, spans }
    }

    /// The octets that the fields are a part of.
    pub(super) const fn text(&self) -> &'b [u8] {
        self.text
    }

    /// How many field lines there are.
    pub const fn len(&self) -> usize {
        self.spans.len()
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// The first value of a name, case ignored.
    pub fn get(&self, name: &str) -> Option<&'b [u8]> {
        let (text, mut spans) = (self.text, self.spans.iter());
        spans.find(|span| span.is_named(text, name)).map(|span| span.value(text))
    }

    /// Names and values, as they were sent and in their order; whitespace around values is not part of them.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&'b str, &'b [u8])> + use<'b> {
        let text = self.text;
        self.spans.iter().map(move |span| (span.name(text), span.value(text)))
    }
}

impl core::fmt::Debug for Fields<'_> {
    /// Names only: values may be secrets.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_list().entries(self.iter().map(|(name, _)| name)).finish()
    }
}
