//! Field lines: `field-name ":" OWS field-value OWS CRLF` (RFC 9112 §5), and their meaning for framing.
//!
//! One pass finds the lines and checks every byte. The same pass notes the fields that determine framing, routing and
//! persistence ([`HeadMeta`]), so none of these fields has to be looked up later.

use super::{
    Stop,
    host::{is_host, zone},
    scan::{WORDS, is_token, last_decimal, skip_text, skip_token},
    stop,
};
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
        let own = self.name_bytes(text);
        // Most names are in lower case, and equal as they are.
        own == name.as_bytes() || own.eq_ignore_ascii_case(name.as_bytes())
    }
}

/// The section to which a field line belongs. The checks of the line depend on the section.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Section {
    Request,
    Response,
    Trailers,
}

/// A set of facts about a head. A fact is the presence of a field that has a meaning for the codec, or a property that
/// follows from the version or from the value of a field. Each fact is a bit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Facts(u32);

impl Facts {
    /// No fact: the result of [`of`](Self::of) for a field without a meaning for the codec.
    pub(crate) const NONE: Self = Self(0);
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
    /// The message is of HTTP/1.0. This fact and the facts below are properties, not fields.
    pub(crate) const HTTP10: Self = Self(1 << 12);
    /// The connection ends after this message, even if [`PERSISTENT`](Self::PERSISTENT) is set.
    pub(crate) const CLOSE: Self = Self(1 << 13);
    /// The message is of HTTP/1.1, or a request of HTTP/1.0 that asks for a persistent connection.
    pub(crate) const PERSISTENT: Self = Self(1 << 14);
    /// The value of Expect is `100-continue`.
    pub(crate) const EXPECTS_CONTINUE: Self = Self(1 << 15);
    /// The value of Host has a zone.
    pub(crate) const ZONE: Self = Self(1 << 16);
    /// There is a Content-Type, and every Content-Type is JSON.
    pub(crate) const JSON: Self = Self(1 << 17);
    /// The fields that a response may not repeat, because they determine the length of its body. A client accepts
    /// repetitions of other fields, because many devices send them.
    const UNIQUE_IN_RESPONSES: Self = Self(Self::CONTENT_LENGTH.0 | Self::TRANSFER_ENCODING.0 | Self::CONTENT_RANGE.0);

    /// The fields that determine the end of a message or the use of the connection. In a response, such a field is
    /// refused if its line is folded, or has blanks before its colon.
    pub(super) const STRICT: Self = Self(Self::UNIQUE_IN_RESPONSES.0 | Self::CONNECTION.0 | Self::UPGRADE.0);

    /// Returns the fact that a message has a field with this name.
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
            _ => Self::NONE,
        }
    }

    /// Returns whether any of these facts is in the set.
    pub(crate) const fn has(self, facts: Self) -> bool {
        self.0 & facts.0 != 0
    }

    /// Adds a field to the set. Returns `false` if the message repeats a field that must be unique. A caller that does
    /// not allow this reports an error.
    pub(crate) const fn add(&mut self, field: Self) -> bool {
        let repeated = self.0 & field.0 & (Self::CONNECTION.0 - 1) != 0;
        self.0 |= field.0;
        !repeated
    }

    /// Adds a fact to the set, or removes it.
    pub(crate) const fn set(&mut self, fact: Self, holds: bool) {
        self.0 = if holds { self.0 | fact.0 } else { self.0 & !fact.0 };
    }
}

/// The part of a head's content that requests and responses have in common: the number of the fields, and their meaning
/// for framing, routing and persistence.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct HeadMeta {
    /// The framing of the body according to the fields. If no field describes the body, a request has no body, and the
    /// body of a response ends with the connection.
    pub(crate) framing: Framing,
    pub(crate) facts: Facts,
    /// The number of bytes of the head.
    pub(crate) len: u16,
    /// The number of fields.
    pub(crate) fields: u16,
    /// The value of a request's Host, as offsets.
    pub(super) host: (u16, u16),
}

impl HeadMeta {
    /// Returns the meaning of a message without fields.
    pub(super) fn new(section: Section, http10: bool) -> Self {
        let framing = if section == Section::Response { Framing::UntilClose } else { Framing::None };
        Self { framing, facts: if http10 { Facts::HTTP10 } else { Facts::PERSISTENT }, ..Self::default() }
    }

    /// Returns whether the peer wants the connection to persist.
    pub(crate) const fn keep_alive(&self) -> bool {
        self.facts.has(Facts::PERSISTENT) && !self.facts.has(Facts::CLOSE)
    }

    /// Refuses a head with both framing fields, because a proxy on the path may have used the other field (RFC 9112
    /// §6.3).
    pub(super) fn check_framing(&self) -> Result<(), RemoteError> {
        let has_both = self.facts.has(Facts::CONTENT_LENGTH) && self.facts.has(Facts::TRANSFER_ENCODING);
        if has_both { Err(Fault::LengthAndCoding.into()) } else { Ok(()) }
    }

    /// Checks one field, and stores its meaning. `at` is the offset of the field's name in the `input`, and `value_at` is
    /// the offset of the field's value.
    #[inline(always)]
    fn note(
        &mut self,
        section: Section,
        field: Facts,
        at: usize,
        value: &[u8],
        value_at: usize,
        input: &[u8],
    ) -> Result<(), RemoteError> {
        let refuse = |fault| Err(RemoteError::at(fault, value_at));
        let is_response = section == Section::Response;
        // Host has no meaning in a response.
        if is_response && field == Facts::HOST {
            return Ok(());
        }
        let is_first = self.facts.add(field);
        if !is_first && (!is_response || Facts::UNIQUE_IN_RESPONSES.has(field)) {
            return Err(RemoteError::at(Fault::Repeated, at));
        }
        let http10 = self.facts.has(Facts::HTTP10);
        match field {
            Facts::HOST => {
                if !is_host(value) {
                    if zone(value).is_none() {
                        return refuse(Fault::Host);
                    }
                    self.facts.set(Facts::ZONE, true);
                }
                self.host = (value_at as u16, (value_at + value.len()) as u16);
            }
            // A server ignores Expect in a request of HTTP/1.0 (RFC 9110 §10.1.1). In a response Expect has no meaning.
            Facts::EXPECT if !is_response && !http10 => {
                if !value.eq_ignore_ascii_case(b"100-continue") {
                    return refuse(Fault::Expectation);
                }
                self.facts.set(Facts::EXPECTS_CONTINUE, true);
            }
            Facts::CONNECTION => self.note_connection(!is_response && http10, value),
            Facts::CONTENT_TYPE => {
                let is_json = is_json(value) && (is_first || self.facts.has(Facts::JSON));
                self.facts.set(Facts::JSON, is_json);
            }
            Facts::CONTENT_LENGTH => match last_decimal(&input[..value_at + value.len()], value.len()) {
                Some(length) => self.framing = Framing::Length(length),
                None => return refuse(Fault::ContentLength),
            },
            // RFC 9112 §6.1: a message of HTTP/1.0 with Transfer-Encoding was changed on its path, or its sender is
            // faulty.
            Facts::TRANSFER_ENCODING if http10 => return Err(RemoteError::at(Fault::TransferEncoding, at)),
            Facts::TRANSFER_ENCODING if value.eq_ignore_ascii_case(b"chunked") => self.framing = Framing::Chunked,
            Facts::TRANSFER_ENCODING => return refuse(coding_fault(value)),
            _ => {}
        }
        Ok(())
    }

    /// Stores the meaning of Connection (RFC 9112 §9.3, §9.6). A connection of HTTP/1.1 is persistent by default. A
    /// client of HTTP/1.0 has to ask for a persistent connection, so `must_ask` is true for its request.
    #[inline(never)]
    fn note_connection(&mut self, must_ask: bool, value: &[u8]) {
        for option in value.split(|&byte| byte == b',').map(<[u8]>::trim_ascii) {
            if option.eq_ignore_ascii_case(b"close") {
                self.facts.set(Facts::CLOSE, true);
            } else if must_ask && option.eq_ignore_ascii_case(b"keep-alive") {
                self.facts.set(Facts::PERSISTENT, true);
            }
        }
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
/// 0x20 makes a letter lower-case. No other byte of a token becomes a letter or a hyphen in this way. So all bytes can
/// be compared at once. For a head of five lines, this saves 260 instructions.
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

/// Parses field lines up to the empty line. The field lines are at the beginning of `lines`, which is the end of the
/// `input`. Trailers end with the input, because the chunk decoder has removed their empty line.
// A copy for each kind of section saves up to 150 instructions a head, but takes flash of a microcontroller.
#[cfg_attr(target_pointer_width = "64", inline(always))]
pub(super) fn parse_fields(
    input: &[u8],
    lines: &[u8],
    slots: &mut [FieldSpan],
    meta: &mut HeadMeta,
    section: Section,
) -> Result<(), Stop> {
    let offset = |rest: &[u8]| input.len() - rest.len();
    let is_trailers = section == Section::Trailers;
    let room = slots.len();
    let mut free = slots.iter_mut();
    let mut line = lines;
    let rest = loop {
        match line {
            [b'\r', b'\n', rest @ ..] if !is_trailers => break rest,
            [] if is_trailers => break line,
            _ => {}
        }
        let after_name = skip_token(line);
        let name = &line[..line.len() - after_name.len()];
        // One space precedes most values.
        let value = match after_name {
            [b':', b' ', value @ ..] | [b':', value @ ..] if !name.is_empty() => value,
            _ => return Err(no_field(offset(after_name), after_name, name, is_trailers)),
        };
        let mut after_value = value;
        let next = loop {
            after_value = skip_text(after_value);
            match after_value {
                [b'\r', b'\n', next @ ..] => break next,
                [b'\t', rest @ ..] => after_value = rest,
                _ => return Err(no_value(offset(after_value), after_value)),
            }
        };
        let (start, mut value_at) = (offset(line), offset(value));
        let mut value = &value[..value.len() - after_value.len()];
        // A value has no other bytes up to 0x20 than spaces and tabs.
        if let [..=b' ', ..] | [.., ..=b' '] = value {
            value_at += value.len() - value.trim_ascii_start().len();
            value = value.trim_ascii();
        }
        let Some(slot) = free.next() else {
            return Err(stop(Fault::TooManyFields, start));
        };
        *slot = FieldSpan {
            name: start as u16,
            name_end: (start + name.len()) as u16,
            value: value_at as u16,
            value_end: (value_at + value.len()) as u16,
        };
        if is_trailers {
            if is_forbidden_in_trailers(name) {
                return Err(stop(Fault::TrailerForbidden, start));
            }
        } else {
            let field = Facts::of(name);
            if field != Facts::NONE {
                meta.note(section, field, start, value, value_at, input)?;
            }
        }
        line = next;
    };
    meta.len = offset(rest) as u16;
    meta.fields = (room - free.len()) as u16;
    Ok(())
}

/// Decides about a field line whose value is not followed by CRLF. Returns the fault, or `None` if the line is only
/// incomplete, so more input may complete it. The value ends at `at`, and `rest` is the input from `at` on.
#[cold]
#[inline(never)]
fn no_value(at: usize, rest: &[u8]) -> Stop {
    match rest {
        [] | [b'\r'] => None,
        [b'\r' | b'\n', ..] => stop(Fault::LineEnd, at),
        _ => stop(Fault::FieldValue, at),
    }
}

/// Decides about a line that does not begin with `token ":"`. Returns the fault, or `None` if the line is only
/// incomplete, so more input may complete it. The token `name`, which may be empty, ends at `at`, and `rest` is the
/// input from `at` on.
#[cold]
#[inline(never)]
fn no_field(at: usize, rest: &[u8], name: &[u8], is_trailers: bool) -> Stop {
    match rest {
        [] => None,
        [b'\r'] if name.is_empty() && !is_trailers => None,
        [b'\r', ..] if name.is_empty() && !is_trailers => stop(Fault::LineEnd, at),
        [b'\n', ..] => stop(Fault::LineEnd, at),
        [b' ' | b'\t', ..] if name.is_empty() => stop(Fault::ObsFold, at),
        _ => stop(Fault::FieldName, at),
    }
}

/// Returns whether a recipient must know this field before the body. These are the fields for framing, routing and
/// authentication, and the fields that tell how to read the content (RFC 9110 §6.5.1).
pub(crate) fn is_forbidden_in_trailers(name: &[u8]) -> bool {
    #[rustfmt::skip]
    const OTHERS: [&[u8]; 8] = [
        b"content-encoding", b"cookie", b"proxy-authenticate", b"proxy-authorization", b"set-cookie", b"te", b"trailer",
        b"www-authenticate",
    ];
    match Facts::of(name) {
        Facts::NONE => OTHERS.iter().any(|forbidden| name.eq_ignore_ascii_case(forbidden)),
        known => known != Facts::DATE,
    }
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
    let mut meta = HeadMeta::new(Section::Trailers, false);
    // `None` means that the text ends within a line. The decoder returns only whole lines, so such a text does not come
    // from the decoder.
    parse_fields(section, section, &mut slots[..room], &mut meta, Section::Trailers)
        .map_err(|stop| stop.unwrap_or(Fault::LineEnd.into()))?;
    Ok(Fields::new(section, &slots[..meta.fields.into()]))
}

/// The fields of a parsed head or trailer section, as views into the caller's bytes and storage.
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
