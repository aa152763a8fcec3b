//! Owned header and trailer fields.

use alloc::{string::String, sync::Arc, vec::Vec};
use core::fmt::{self, Write};

use crate::head::{
    FieldSpan, RequestMeta, ResponseMeta, check_field, find_path, is_forbidden_in_trailers, is_token, path_of, query_of,
};
use crate::{Limits, LocalError};

/// Header fields in their order: one text and the places of names and values in it.
///
/// Fields are shared: a clone costs a reference count, and changing what somebody else holds too makes a copy. Storage
/// of a received head that nobody holds any more is used for the next one. Names compare without case. Values are
/// octets (RFC 9110 §5.5); [`get`](Self::get) gives those that are UTF-8, which is all that sane peers send.
///
/// Every field that is here can be sent: [`set`](Self::set) and [`append`](Self::append) refuse what would not be one
/// field on the wire.
///
/// ```
/// use degu_wire::Headers;
///
/// let mut headers = Headers::new();
/// headers.set("content-type", "text/plain")?;
/// headers.set("x-count", 3)?;
/// assert_eq!(headers.get("Content-Type"), Some("text/plain"));
/// assert_eq!(headers.get("x-count"), Some("3"));
/// assert!(headers.set("x-bad", "a\r\nx-more: b").is_err());
/// # Ok::<(), degu_wire::LocalError>(())
/// ```
#[derive(Clone, Default)]
pub struct Headers(Option<Arc<Lines>>);

/// A text, and where in it fields lie: a head as it was received, fields that the application made, or storage for
/// either.
#[derive(Clone, Debug, Default)]
pub(crate) struct Lines {
    text: Vec<u8>,
    /// As many as there ever were; those that are in use come first.
    spans: Vec<FieldSpan>,
    fields: usize,
    /// Of a head that was received, what it says.
    meta: Option<Meta>,
    /// The target of a request as text, so that it is checked to be UTF-8 once, and where its path is.
    target: String,
    path: (usize, usize),
}

/// What the start line of a head says, and what its fields say about the message.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Meta {
    Request(RequestMeta),
    Response(ResponseMeta),
}

impl Headers {
    /// No fields.
    pub const fn new() -> Self {
        Self(None)
    }

    pub(crate) const fn received(head: Arc<Lines>) -> Self {
        Self(Some(head))
    }

    pub(crate) fn text(&self) -> &[u8] {
        self.0.as_ref().map_or(&[], |lines| &lines.text)
    }

    /// The target of the request whose head these are from.
    pub(crate) fn target(&self) -> &str {
        self.0.as_ref().map_or("", |lines| &lines.target)
    }

    pub(crate) fn path(&self) -> &str {
        self.0.as_ref().map_or("", |lines| path_of(&lines.target, lines.path))
    }

    pub(crate) fn query(&self) -> Option<&str> {
        self.0.as_ref().and_then(|lines| query_of(&lines.target, lines.path))
    }

    fn parts(&self) -> (&[u8], &[FieldSpan]) {
        self.0.as_ref().map_or((&[], &[]), |lines| (&lines.text, lines.fields()))
    }

    /// How many field lines there are.
    pub fn len(&self) -> usize {
        self.0.as_ref().map_or(0, |lines| lines.fields)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether there is a field of this name.
    #[inline]
    pub fn contains(&self, name: &str) -> bool {
        self.get_bytes(name).is_some()
    }

    /// The first value of this name, if it is UTF-8.
    pub fn get(&self, name: &str) -> Option<&str> {
        core::str::from_utf8(self.get_bytes(name)?).ok()
    }

    /// The first value of this name, as octets.
    #[inline]
    pub fn get_bytes(&self, name: &str) -> Option<&[u8]> {
        self.0.as_ref()?.find(name)
    }

    /// Every value of this name, in their order.
    pub fn get_all<'h>(&'h self, name: &str) -> impl Iterator<Item = &'h [u8]> {
        let (text, spans) = self.parts();
        spans.iter().filter(move |span| span.is_named(text, name)).map(move |span| span.value(text))
    }

    /// Whether a list field (`connection`, `vary`) has this member, case ignored, in any of its lines.
    ///
    /// ```
    /// # use degu_wire::Headers;
    /// let headers = Headers::try_from([("vary", "accept, Origin")])?;
    /// assert!(headers.has_member("vary", "origin"));
    /// # Ok::<(), degu_wire::LocalError>(())
    /// ```
    pub fn has_member(&self, name: &str, member: &str) -> bool {
        self.get_all(name)
            .flat_map(|value| value.split(|&octet| octet == b','))
            .any(|found| found.trim_ascii().eq_ignore_ascii_case(member.as_bytes()))
    }

    /// All fields, as they were sent or set.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &[u8])> + Clone {
        let (text, spans) = self.parts();
        spans.iter().map(move |span| (span.name(text), span.value(text)))
    }

    /// Sets a field to one value; all others of this name go.
    ///
    /// # Errors
    ///
    /// [`LocalError::FieldName`], [`LocalError::FieldValue`], or [`LocalError::HeadTooLarge`] if the fields together
    /// would be over 65,535 octets. Nothing has changed then.
    pub fn set(&mut self, name: &str, value: impl fmt::Display) -> Result<(), LocalError> {
        let (lines, span) = self.push(name, value)?;
        lines.remove(name);
        lines.add(span);
        Ok(())
    }

    /// Adds a field line.
    ///
    /// # Errors
    ///
    /// As [`set`](Self::set).
    pub fn append(&mut self, name: &str, value: impl fmt::Display) -> Result<(), LocalError> {
        let (lines, span) = self.push(name, value)?;
        lines.add(span);
        Ok(())
    }

    /// Adds a field line whose value need not be UTF-8.
    ///
    /// # Errors
    ///
    /// As [`set`](Self::set).
    pub fn append_bytes(&mut self, name: &str, value: &[u8]) -> Result<(), LocalError> {
        let lines = self.own();
        let span = lines.push(name, |text| text.extend_from_slice(value))?;
        lines.add(span);
        Ok(())
    }

    /// Removes every field of this name, and says whether there was one.
    pub fn remove(&mut self, name: &str) -> bool {
        self.contains(name) && self.own().remove(name)
    }

    fn push(&mut self, name: &str, value: impl fmt::Display) -> Result<(&mut Lines, FieldSpan), LocalError> {
        let lines = self.own();
        let span = lines.push(name, |text| {
            // A formatter that fails leaves a shorter value, which is checked like any other.
            let _ = write!(Writer(text), "{value}");
        })?;
        Ok((lines, span))
    }

    /// The fields to change: a copy where they are shared.
    fn own(&mut self) -> &mut Lines {
        let lines = self.0.get_or_insert_default();
        if Arc::get_mut(lines).is_none() {
            *lines = Arc::new(Lines::copy(&lines.text, lines.fields()));
        }
        Arc::make_mut(lines)
    }
}

impl Lines {
    /// More room than this for a head's octets is not kept for the next one.
    const KEPT: usize = 8 * 1024;

    /// Storage for the places of at least so many fields.
    pub(crate) fn spans(&mut self, fields: usize) -> &mut [FieldSpan] {
        if self.spans.len() < fields {
            self.spans.resize(fields, FieldSpan::EMPTY);
        }
        &mut self.spans
    }

    /// Takes a head or a trailer section, whose fields are the first so many in the [spans](Self::spans).
    pub(crate) fn fill(&mut self, text: &[u8], fields: usize, meta: Option<Meta>) {
        self.text.clear();
        self.text.shrink_to(Self::KEPT);
        self.text.extend_from_slice(text);
        self.fields = fields;
        self.meta = meta;
        self.target.clear();
        self.target.shrink_to(Self::KEPT);
        if let Some(Meta::Request(meta)) = meta {
            self.target.push_str(meta.target(text));
            self.path = find_path(&self.target);
        }
    }

    /// What this head says, if the octets begin with it, and how long it is.
    pub(crate) fn repeated(&self, octets: &[u8]) -> Option<(Meta, usize)> {
        self.meta.filter(|_| octets.starts_with(&self.text)).map(|meta| (meta, self.text.len()))
    }

    fn find(&self, name: &str) -> Option<&[u8]> {
        self.fields().iter().find(|span| span.is_named(&self.text, name)).map(|span| span.value(&self.text))
    }

    fn fields(&self) -> &[FieldSpan] {
        &self.spans[..self.fields]
    }

    /// Those parts of a text that are in use.
    fn copy(old: &[u8], spans: &[FieldSpan]) -> Self {
        let mut text = Vec::with_capacity(old.len().min(1024));
        let place = |span: &FieldSpan| {
            let (name, value) = (span.name(old), span.value(old));
            let start = text.len() as u16;
            let (name_end, value_end) = (start + name.len() as u16, start + (name.len() + value.len()) as u16);
            text.extend_from_slice(name.as_bytes());
            text.extend_from_slice(value);
            FieldSpan { name: start, name_end, value: name_end, value_end }
        };
        let spans: Vec<_> = spans.iter().map(place).collect();
        Self { text, fields: spans.len(), spans, ..Self::default() }
    }

    fn add(&mut self, span: FieldSpan) {
        self.spans.truncate(self.fields);
        self.spans.push(span);
        self.fields += 1;
    }

    fn remove(&mut self, name: &str) -> bool {
        let (before, text) = (self.fields, &self.text);
        self.spans.truncate(before);
        self.spans.retain(|span| !span.is_named(text, name));
        self.fields = self.spans.len();
        self.fields < before
    }

    /// Writes name and value at the end of the text, and takes them back if they are refused.
    fn push(&mut self, name: &str, value: impl FnOnce(&mut Vec<u8>)) -> Result<FieldSpan, LocalError> {
        if !is_token(name.as_bytes()) {
            return Err(LocalError::FieldName);
        }
        if self.text.len() > Limits::MAX_HEAD / 2 {
            *self = Self::copy(&self.text, self.fields());
        }
        let text = &mut self.text;
        let start = text.len();
        text.extend_from_slice(name.as_bytes());
        let value_start = text.len();
        value(text);
        let checked = match text.len() <= Limits::MAX_HEAD {
            true => check_field(name.as_bytes(), &text[value_start..]),
            false => Err(LocalError::HeadTooLarge),
        };
        if let Err(error) = checked {
            text.truncate(start);
            return Err(error);
        }
        Ok(FieldSpan {
            name: start as u16,
            name_end: value_start as u16,
            value: value_start as u16,
            value_end: text.len() as u16,
        })
    }
}

struct Writer<'t>(&'t mut Vec<u8>);

impl Write for Writer<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        // More than a head is never of use, however long the value goes on.
        if self.0.len() > Limits::MAX_HEAD {
            return Err(fmt::Error);
        }
        self.0.extend_from_slice(text.as_bytes());
        Ok(())
    }
}

impl fmt::Debug for Headers {
    /// Names only: values may be secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter().map(|(name, _)| name)).finish()
    }
}

/// Equal when the same fields stand in the same order, the case of names ignored.
impl PartialEq for Headers {
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len()
            && self.iter().zip(other.iter()).all(|(a, b)| a.0.eq_ignore_ascii_case(b.0) && a.1 == b.1)
    }
}

impl Eq for Headers {}

impl From<()> for Headers {
    fn from((): ()) -> Self {
        Self::new()
    }
}

impl From<&Headers> for Headers {
    fn from(headers: &Headers) -> Self {
        headers.clone()
    }
}

impl<V: fmt::Display, const N: usize> TryFrom<[(&str, V); N]> for Headers {
    type Error = LocalError;

    fn try_from(fields: [(&str, V); N]) -> Result<Self, LocalError> {
        let mut headers = Self::new();
        fields.into_iter().try_for_each(|(name, value)| headers.append(name, value))?;
        Ok(headers)
    }
}

impl<V: fmt::Display> TryFrom<&[(&str, V)]> for Headers {
    type Error = LocalError;

    fn try_from(fields: &[(&str, V)]) -> Result<Self, LocalError> {
        let mut headers = Self::new();
        fields.iter().try_for_each(|(name, value)| headers.append(name, value))?;
        Ok(headers)
    }
}

/// The fields after the last chunk (RFC 9112 §7.1.2).
///
/// Most bodies have none, which takes no room. What must be known before the body may not stand here.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Trailers(Headers);

impl Trailers {
    /// No trailer fields.
    pub const fn new() -> Self {
        Self(Headers::new())
    }

    pub(crate) fn received(fields: Lines) -> Self {
        Self(Headers::received(Arc::new(fields)))
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many field lines there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// The first value of this name, if it is UTF-8.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name)
    }

    /// All fields in their order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &[u8])> + Clone {
        self.0.iter()
    }

    /// Adds a field line.
    ///
    /// # Errors
    ///
    /// As [`Headers::append`], and [`LocalError::TrailerForbidden`] for fields that decide framing, routing or
    /// authentication (RFC 9110 §6.5.1).
    pub fn append(&mut self, name: &str, value: impl fmt::Display) -> Result<(), LocalError> {
        if is_forbidden_in_trailers(name.as_bytes()) {
            return Err(LocalError::TrailerForbidden);
        }
        self.0.append(name, value)
    }

    /// Adds a field line whose value need not be UTF-8.
    ///
    /// # Errors
    ///
    /// As [`append`](Self::append).
    pub fn append_bytes(&mut self, name: &str, value: &[u8]) -> Result<(), LocalError> {
        if is_forbidden_in_trailers(name.as_bytes()) {
            return Err(LocalError::TrailerForbidden);
        }
        self.0.append_bytes(name, value)
    }
}

impl fmt::Debug for Trailers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter().map(|(name, _)| name)).finish()
    }
}

impl<V: fmt::Display, const N: usize> TryFrom<[(&str, V); N]> for Trailers {
    type Error = LocalError;

    fn try_from(fields: [(&str, V); N]) -> Result<Self, LocalError> {
        let mut trailers = Self::new();
        fields.into_iter().try_for_each(|(name, value)| trailers.append(name, value))?;
        Ok(trailers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    #[test]
    fn received_fields_become_our_own_when_changed() {
        let span = |name: u16, value: u16| FieldSpan { name, name_end: name + 1, value, value_end: value + 1 };
        let mut received = Lines::default();
        received.spans(4)[..3].copy_from_slice(&[span(0, 3), span(6, 9), span(12, 15)]);
        received.fill(b"a: 1\r\nB: 2\r\na: 3\r\n\r\n", 3, None);
        let received = Headers::received(Arc::new(received));
        let mut headers = received.clone();
        assert_eq!(headers.get_all("A").collect::<Vec<_>>(), [b"1", b"3"]);
        headers.set("a", "x").unwrap();
        assert_eq!(headers.iter().collect::<Vec<_>>(), [("B", &b"2"[..]), ("a", b"x")]);
        assert!(headers.remove("b") && !headers.remove("b"));
        assert_eq!((headers.len(), received.len()), (1, 3));
    }

    #[test]
    fn one_large_head_does_not_hold_its_room_for_ever() {
        let mut lines = Lines::default();
        lines.fill(&[b'x'; 30_000], 0, None);
        lines.target.push_str(&"x".repeat(20_000));
        lines.fill(b"\r\n", 0, None);
        assert!(lines.text.capacity() <= Lines::KEPT, "{}", lines.text.capacity());
        assert!(lines.target.capacity() <= Lines::KEPT, "{}", lines.target.capacity());
    }

    #[test]
    fn refused_fields_change_nothing() {
        let mut headers = Headers::try_from([("a", "1")]).unwrap();
        for (name, value, error) in [
            ("", "1", LocalError::FieldName),
            ("a b", "1", LocalError::FieldName),
            ("a:", "1", LocalError::FieldName),
            ("a", "1\r\nb: 2", LocalError::FieldValue),
            ("a", "\0", LocalError::FieldValue),
            ("a", " 1", LocalError::FieldValue),
        ] {
            assert_eq!(headers.set(name, value), Err(error), "{name:?} {value:?}");
        }
        assert_eq!(headers.set("b", "x".repeat(70_000)), Err(LocalError::HeadTooLarge));
        assert_eq!(headers, Headers::try_from([("A", "1")]).unwrap());
    }

    #[test]
    fn setting_for_ever_does_not_grow() {
        let mut headers = Headers::new();
        for count in 0..100_000 {
            headers.set("x-count", count).unwrap();
        }
        assert_eq!(headers.get("x-count"), Some("99999"));
        assert!(headers.text().len() <= Limits::MAX_HEAD);
    }

    #[test]
    fn trailers_refuse_what_decides_framing() {
        let mut trailers = Trailers::new();
        assert_eq!(trailers.append("Content-Length", 1), Err(LocalError::TrailerForbidden));
        assert_eq!(trailers.append_bytes("host", b"a"), Err(LocalError::TrailerForbidden));
        trailers.append("x-checksum", "abc").unwrap();
        assert_eq!((trailers.len(), trailers.get("X-Checksum")), (1, Some("abc")));
        assert_eq!(std::format!("{trailers:?}"), "[\"x-checksum\"]".to_string());
        trailers.append_bytes("x-raw", b"\xff").unwrap();
        assert_eq!(trailers.iter().nth(1), Some(("x-raw", &b"\xff"[..])));
    }
}
