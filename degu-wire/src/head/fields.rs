//! Field lines: `field-name ":" OWS field-value OWS CRLF` (RFC 9112 §5), and their meaning for framing.
//!
//! One pass finds the lines and checks every byte. It also notes the fields that determine framing, routing and
//! persistence ([`Semantics`]), so no such field has to be looked up later.

use super::{
    host::{is_host, zone},
    scan::{WORDS, is_token, skip_text, skip_token},
};
use crate::abnf::decimal;
use crate::{Fault, Framing, Limits, RemoteError};

/// The position of a field in its head or trailer section: four offsets, which take eight bytes. The caller owns the
/// storage for the positions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FieldSpan {
    pub(crate) name: u16,
    pub(crate) name_end: u16,
    pub(crate) value: u16,
    pub(crate) value_end: u16,
}

impl FieldSpan {
    /// An empty span, to initialize storage.
    pub const EMPTY: Self = Self { name: 0, name_end: 0, value: 0, value_end: 0 };

    pub(crate) fn name(self, text: &[u8]) -> &str {
        // A field name is a token, so it is ASCII. The spans belong to this text.
        core::str::from_utf8(self.name_bytes(text)).unwrap_or_default()
    }

    pub(crate) fn name_bytes(self, text: &[u8]) -> &[u8] {
        text.get(self.name as usize..self.name_end as usize).unwrap_or_default()
    }

    pub(crate) fn value(self, text: &[u8]) -> &[u8] {
        text.get(self.value as usize..self.value_end as usize).unwrap_or_default()
    }

    pub(crate) fn is_named(self, text: &[u8], name: &str) -> bool {
        // The lengths are compared first, because most other names have another length.
        usize::from(self.name_end - self.name) == name.len()
            && self.name_bytes(text).eq_ignore_ascii_case(name.as_bytes())
    }
}

/// The section to which a field line belongs. The checks of the line depend on the section.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Section {
    Request { http10: bool },
    Response { http10: bool },
    Trailers,
}

/// The fields that have a meaning for the codec. Each has a bit, so the fields of a message form a set.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Names(u16);

impl Names {
    /// A field without a meaning for the codec.
    pub(crate) const OTHER: Self = Self(0);
    pub(crate) const HOST: Self = Self(1);
    pub(crate) const CONTENT_LENGTH: Self = Self(1 << 1);
    pub(crate) const TRANSFER_ENCODING: Self = Self(1 << 2);
    pub(crate) const EXPECT: Self = Self(1 << 3);
    pub(crate) const CONTENT_TYPE: Self = Self(1 << 4);
    pub(crate) const CONTENT_RANGE: Self = Self(1 << 5);
    pub(crate) const AUTHORIZATION: Self = Self(1 << 6);
    pub(crate) const RANGE: Self = Self(1 << 7);
    /// This field and the fields below are not checked for repetition.
    pub(crate) const CONNECTION: Self = Self(1 << 8);
    pub(crate) const DATE: Self = Self(1 << 9);
    pub(crate) const UPGRADE: Self = Self(1 << 10);
    pub(crate) const KEEP_ALIVE: Self = Self(1 << 11);
    /// The fields that a response may not repeat, because they determine the length of its body. A client accepts
    /// repetitions of other fields, because many devices send them.
    const UNIQUE_IN_RESPONSES: Self = Self(Self::CONTENT_LENGTH.0 | Self::TRANSFER_ENCODING.0 | Self::CONTENT_RANGE.0);

    /// Returns the bit of the field with this name.
    #[inline(always)]
    pub(crate) fn of(name: &[u8]) -> Self {
        match name.len() {
            4 if is(name, b"host") => Self::HOST,
            4 if is(name, b"date") => Self::DATE,
            5 if is(name, b"range") => Self::RANGE,
            6 if is(name, b"expect") => Self::EXPECT,
            7 if is(name, b"upgrade") => Self::UPGRADE,
            10 if is(name, b"connection") => Self::CONNECTION,
            10 if is(name, b"keep-alive") => Self::KEEP_ALIVE,
            12 if is(name, b"content-type") => Self::CONTENT_TYPE,
            13 if is(name, b"authorization") => Self::AUTHORIZATION,
            13 if is(name, b"content-range") => Self::CONTENT_RANGE,
            14 if is(name, b"content-length") => Self::CONTENT_LENGTH,
            17 if is(name, b"transfer-encoding") => Self::TRANSFER_ENCODING,
            _ => Self::OTHER,
        }
    }

    pub(crate) const fn has(self, name: Self) -> bool {
        self.0 & name.0 != 0
    }

    /// Adds a field. Returns `false` if the field must be unique and is already in the set.
    pub(crate) const fn add(&mut self, name: Self) -> bool {
        let repeated = self.0 & name.0 & (Self::CONNECTION.0 - 1) != 0;
        self.0 |= name.0;
        !repeated
    }
}

/// The meaning of a head's fields for framing, routing and persistence.
#[derive(Clone, Copy, Default)]
pub(super) struct Semantics {
    pub(super) seen: Names,
    content_length: u64,
    pub(super) close: bool,
    /// True if a request of HTTP/1.0 asks for a persistent connection.
    pub(super) keep_alive: bool,
    pub(super) expects_continue: bool,
    /// The value of Host, as offsets.
    pub(super) host: (u16, u16),
    /// True if Host has a zone.
    pub(super) has_zone: bool,
    /// True if there is a Content-Type, and every Content-Type is JSON.
    pub(super) is_json: bool,
}

impl Semantics {
    /// Returns the framing of the body according to the fields, or `None` if no field describes it.
    pub(super) fn framing(&self) -> Result<Option<Framing>, RemoteError> {
        match (self.seen.has(Names::CONTENT_LENGTH), self.seen.has(Names::TRANSFER_ENCODING)) {
            (false, false) => Ok(None),
            (true, false) => Ok(Some(Framing::Length(self.content_length))),
            (false, true) => Ok(Some(Framing::Chunked)),
            // RFC 9112 §6.3: a proxy on the path may have used the other field.
            (true, true) => Err(Fault::LengthAndCoding.into()),
        }
    }

    /// Checks one field, and stores its meaning. `at` is the offset of the field's name, and `value_at` the offset of
    /// its value.
    #[inline(always)]
    fn note(
        &mut self,
        name: &[u8],
        at: usize,
        value: &[u8],
        value_at: usize,
        section: Section,
    ) -> Result<(), RemoteError> {
        let refuse = |fault| Err(RemoteError::at(fault, value_at));
        let field = Names::of(name);
        // Host has no meaning in a response.
        if field == Names::OTHER || (field == Names::HOST && matches!(section, Section::Response { .. })) {
            return Ok(());
        }
        let may_repeat = matches!(section, Section::Response { .. }) && !Names::UNIQUE_IN_RESPONSES.has(field);
        let is_first = self.seen.add(field);
        if !is_first && !may_repeat {
            return Err(RemoteError::at(Fault::Repeated, at));
        }
        match field {
            Names::HOST => {
                if !is_host(value) {
                    self.has_zone = zone(value).is_some();
                    if !self.has_zone {
                        return refuse(Fault::Host);
                    }
                }
                self.host = (value_at as u16, (value_at + value.len()) as u16);
            }
            // A server ignores Expect in a request of HTTP/1.0 (RFC 9110 §10.1.1). In a response it has no meaning.
            Names::EXPECT if section == (Section::Request { http10: false }) => {
                if !value.eq_ignore_ascii_case(b"100-continue") {
                    return refuse(Fault::Expectation);
                }
                self.expects_continue = true;
            }
            // RFC 9112 §9.3, §9.6. A connection of HTTP/1.1 is persistent by default.
            Names::CONNECTION => {
                for option in value.split(|&byte| byte == b',').map(<[u8]>::trim_ascii) {
                    self.close |= option.eq_ignore_ascii_case(b"close");
                    self.keep_alive |=
                        section == (Section::Request { http10: true }) && option.eq_ignore_ascii_case(b"keep-alive");
                }
            }
            Names::CONTENT_TYPE => self.is_json = is_json(value) && (is_first || self.is_json),
            Names::CONTENT_LENGTH => match decimal(value) {
                Some(length) => self.content_length = length,
                None => return refuse(Fault::ContentLength),
            },
            // RFC 9112 §6.1: a message of HTTP/1.0 with Transfer-Encoding was changed on its path, or its sender is
            // faulty.
            Names::TRANSFER_ENCODING
                if matches!(section, Section::Request { http10: true } | Section::Response { http10: true }) =>
            {
                return Err(RemoteError::at(Fault::TransferEncoding, at));
            }
            Names::TRANSFER_ENCODING if !value.eq_ignore_ascii_case(b"chunked") => {
                return refuse(coding_fault(value));
            }
            _ => {}
        }
        Ok(())
    }
}

/// Returns whether a Content-Type is `application/json` (RFC 8259 §11) or has the suffix `+json` (RFC 6839 §3.1).
#[inline(never)]
fn is_json(value: &[u8]) -> bool {
    let end = value.iter().position(|&byte| byte == b';').unwrap_or(value.len());
    let media_type = value[..end].trim_ascii_end();
    media_type.eq_ignore_ascii_case(b"application/json")
        || media_type.contains(&b'/')
            && media_type.last_chunk().is_some_and(|end: &[u8; 5]| end.eq_ignore_ascii_case(b"+json"))
}

/// Returns the fault of a Transfer-Encoding that is not `chunked` alone. If `chunked` is the last coding, and the
/// others are tokens, the end of the body is known, and the fault is a coding that is not implemented (RFC 9112 §6.1,
/// §6.3).
#[cold]
fn coding_fault(value: &[u8]) -> Fault {
    let is_chunked = |coding: &[u8]| coding.eq_ignore_ascii_case(b"chunked");
    let mut codings = value.split(|&byte| byte == b',').map(<[u8]>::trim_ascii);
    let ends_chunked = codings.next_back().is_some_and(is_chunked);
    if ends_chunked && codings.all(|coding| is_token(coding) && !is_chunked(coding)) {
        Fault::TransferCoding
    } else {
        Fault::FinalCoding
    }
}

/// Returns whether a name equals `lower`, ignoring case. `lower` has only lower-case letters and hyphens. Setting bit
/// 0x20 makes a letter lower-case, and makes no other byte of a token a letter or a hyphen. So all bytes can be
/// compared at once. Parsing a head of five lines takes 1,640 instructions with this comparison, and 1,900 with a
/// comparison byte by byte.
#[inline(always)]
fn is<const N: usize>(name: &[u8], lower: &[u8; N]) -> bool {
    let word = |text: &[u8; N]| {
        let mut word = [0; 16];
        word[..N].copy_from_slice(text);
        u128::from_le_bytes(word) | u128::from_le_bytes([0x20; 16])
    };
    match name.first_chunk::<N>() {
        Some(name) if WORDS && N <= 16 => word(name) == word(lower),
        _ => name.eq_ignore_ascii_case(lower),
    }
}

/// The end of a section of field lines.
pub(super) struct End {
    /// The offset after the empty line that ends the section.
    pub(super) offset: usize,
    /// The number of fields.
    pub(super) fields: usize,
}

/// Parses field lines from `at` to the empty line. `at` is not beyond the input. Returns `None` if the input ends
/// before the empty line. Trailers end with the input, because the chunk decoder has removed their empty line.
#[inline(always)]
pub(super) fn parse_fields(
    input: &[u8],
    at: usize,
    slots: &mut [FieldSpan],
    semantics: &mut Semantics,
    section: Section,
) -> Result<Option<End>, RemoteError> {
    let offset = |rest: &[u8]| input.len() - rest.len();
    let mut line = &input[at..];
    let mut fields = 0;
    loop {
        let after_name = skip_token(line);
        let name_len = line.len() - after_name.len();
        let mut value = match after_name {
            [b':', value @ ..] if name_len > 0 => value,
            [b'\r', b'\n', rest @ ..] if name_len == 0 && section != Section::Trailers => {
                return Ok(Some(End { offset: offset(rest), fields }));
            }
            _ => return no_field(offset(line), offset(after_name), after_name, fields, section),
        };
        while let [b' ' | b'\t', rest @ ..] = value {
            value = rest;
        }
        let mut after_value = value;
        let next = loop {
            after_value = skip_text(after_value);
            match after_value {
                [b'\r', b'\n', next @ ..] => break next,
                [b'\t', rest @ ..] => after_value = rest,
                _ => return no_value(offset(after_value), after_value),
            }
        };
        let (start, value_at) = (offset(line), offset(value));
        let mut value = &value[..value.len() - after_value.len()];
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
        if section == Section::Trailers {
            if is_forbidden_in_trailers(name) {
                return Err(RemoteError::at(Fault::TrailerForbidden, start));
            }
        } else {
            semantics.note(name, start, value, value_at, section)?;
        }
        line = next;
    }
}

/// Returns the result for a value that ends at `at` without CRLF: `None` if the CRLF may still arrive, or the fault.
/// `rest` is the input from `at` on.
#[cold]
#[inline(never)]
fn no_value(at: usize, rest: &[u8]) -> Result<Option<End>, RemoteError> {
    match rest {
        [] | [b'\r'] => Ok(None),
        [b'\r' | b'\n', ..] => Err(RemoteError::at(Fault::LineEnd, at)),
        _ => Err(RemoteError::at(Fault::FieldValue, at)),
    }
}

/// Returns the result for a line that does not begin with `token ":"`: `None` if more of the line may arrive, the end of
/// the trailers, or the fault. The line begins at `start`. Its token, which may be empty, ends at `at`, and `rest` is the
/// input from `at` on.
#[cold]
#[inline(never)]
fn no_field(start: usize, at: usize, rest: &[u8], fields: usize, section: Section) -> Result<Option<End>, RemoteError> {
    let refuse = |fault| Err(RemoteError::at(fault, at));
    match rest {
        [] if section == Section::Trailers && at == start => Ok(Some(End { offset: at, fields })),
        [] => Ok(None),
        [b'\r'] if at == start && section != Section::Trailers => Ok(None),
        [b'\r', ..] if at == start && section != Section::Trailers => refuse(Fault::LineEnd),
        [b'\n', ..] => refuse(Fault::LineEnd),
        [b' ' | b'\t', ..] if at == start => refuse(Fault::ObsFold),
        _ => refuse(Fault::FieldName),
    }
}

/// Returns whether a recipient must know this field before the body. These are the fields for framing, routing and
/// authentication, and the fields that tell how to read the content (RFC 9110 §6.5.1).
pub(crate) fn is_forbidden_in_trailers(name: &[u8]) -> bool {
    #[rustfmt::skip]
    const FORBIDDEN: [&[u8]; 19] = [
        b"authorization", b"connection", b"content-encoding", b"content-length", b"content-range", b"content-type", b"cookie",
        b"expect", b"host", b"keep-alive", b"proxy-authenticate", b"proxy-authorization", b"range", b"set-cookie", b"te",
        b"trailer", b"transfer-encoding", b"upgrade", b"www-authenticate",
    ];
    FORBIDDEN.iter().any(|forbidden| name.eq_ignore_ascii_case(forbidden))
}

/// Parses a trailer section from [`chunk::Event::End`](crate::chunk::Event::End): whole field lines, without the empty
/// line.
///
/// # Errors
///
/// The fault of the peer; [`Fault::TrailerForbidden`] for fields that a recipient must know before the body (RFC 9110
/// §6.5.1).
pub fn parse_trailers<'b>(
    section: &'b [u8],
    slots: &'b mut [FieldSpan],
    limits: &Limits,
) -> Result<Fields<'b>, RemoteError> {
    if section.len() > Limits::MAX_HEAD {
        return Err(Fault::TrailersTooLarge.into());
    }
    let room = slots.len().min(limits.max_trailer_fields);
    let end = parse_fields(section, 0, &mut slots[..room], &mut Semantics::default(), Section::Trailers)?;
    // The decoder returns whole lines, so any other text is not a trailer section of the decoder.
    let end = end.ok_or(Fault::LineEnd)?;
    Ok(Fields::new(section, &slots[..end.fields]))
}

/// The fields of a parsed head or trailer section. They are views into the caller's bytes and storage.
#[derive(Clone, Copy)]
pub struct Fields<'b> {
    text: &'b [u8],
    spans: &'b [FieldSpan],
}

impl<'b> Fields<'b> {
    pub(crate) const fn new(text: &'b [u8], spans: &'b [FieldSpan]) -> Self {
        Self { text, spans }
    }

    /// Returns the number of field lines.
    pub const fn len(&self) -> usize {
        self.spans.len()
    }

    /// Returns whether there are no fields.
    pub const fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// Returns the value of the first field with this name. The case of names is ignored.
    pub fn get(&self, name: &str) -> Option<&'b [u8]> {
        let (text, mut spans) = (self.text, self.spans.iter());
        spans.find(|span| span.is_named(text, name)).map(|span| span.value(text))
    }

    /// Returns the names and values of all fields as they were sent, in their order, without the whitespace around
    /// values.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&'b str, &'b [u8])> + use<'b> {
        let text = self.text;
        self.spans.iter().map(move |span| (span.name(text), span.value(text)))
    }
}

/// A storage for the fields and the text of a head. [`Fields`] and, with the feature `alloc`, `Headers` implement this
/// trait.
pub trait Text {
    /// Returns the text that contains the fields.
    #[doc(hidden)]
    fn text(&self) -> &[u8];
}

impl Text for Fields<'_> {
    fn text(&self) -> &[u8] {
        self.text
    }
}

impl core::fmt::Debug for Fields<'_> {
    /// Writes only the names, because values may be secret.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_list().entries(self.iter().map(|(name, _)| name)).finish()
    }
}
