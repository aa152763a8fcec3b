//! Owned header and trailer fields.

use alloc::{boxed::Box, sync::Arc, vec::Vec};
use core::fmt::{self, Write};
use core::ops::Deref;

use crate::error::debug_as_display;
use crate::head::{FieldSpan, Text, is_field_value, is_forbidden_in_trailers, is_token, zone};
use crate::{Fault, Limits, LocalError, RemoteError};

/// Header fields, in the order in which they were received or added. All names and values are stored in one text,
/// together with their positions in this text.
///
/// Clones share their fields until one of the clones is changed: the change first copies the fields. Names are compared
/// without case. Values are bytes (RFC 9110 §5.5). [`get`](Self::get) returns only values that are UTF-8; nearly all
/// peers send only such values.
///
/// Every stored field can be sent: [`set`](Self::set) and [`append`](Self::append) refuse text that would not be
/// exactly one field on the wire.
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
pub struct Headers(Option<Arc<FieldText>>);

/// A text, and the positions of fields in it. For a received head the text is the whole head, with its start line.
#[derive(Debug, Default)]
pub(crate) struct FieldText {
    text: Vec<u8>,
    /// The positions of the fields, in the first `fields` elements. The other elements are unused, and the next head
    /// can use them.
    spans: Vec<FieldSpan>,
    fields: usize,
}

impl Headers {
    /// Returns headers without a field.
    pub const fn new() -> Self {
        Self(None)
    }

    /// Returns headers with these fields, in their order. Arrays, slices, vectors, and tuples of up to eight fields
    /// also convert into headers with `try_from`. The clients and the server accept such values wherever they take
    /// headers.
    ///
    /// ```
    /// use std::collections::BTreeMap;
    ///
    /// use degu_wire::Headers;
    ///
    /// let map = BTreeMap::from([("retry-after", "5"), ("vary", "accept")]);
    /// let headers = Headers::try_from_iter(map)?;
    /// assert_eq!(headers, Headers::try_from((("retry-after", 5), ("vary", "accept")))?);
    /// # Ok::<(), degu_wire::FieldError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// The error has the name of the first field that cannot be sent, and the rule that the field breaks: see
    /// [`set`](Self::set).
    pub fn try_from_iter<N: AsRef<str>, V: fmt::Display>(
        fields: impl IntoIterator<Item = (N, V)>,
    ) -> Result<Self, FieldError> {
        let mut headers = Self::new();
        for (name, value) in fields {
            let name = name.as_ref();
            headers.append(name, value).map_err(|rule| FieldError::new(name, rule))?;
        }
        Ok(headers)
    }

    pub(crate) const fn received(lines: Option<Arc<FieldText>>) -> Self {
        Self(lines)
    }

    fn parts(&self) -> (&[u8], &[FieldSpan]) {
        self.0.as_ref().map_or((&[], &[]), |lines| (&lines.text, lines.spans()))
    }

    /// Returns the number of field lines.
    pub fn len(&self) -> usize {
        self.parts().1.len()
    }

    /// Returns whether there are no fields.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns whether there is a field with this name. The case of names is ignored.
    #[inline]
    pub fn contains(&self, name: &str) -> bool {
        self.get_bytes(name).is_some()
    }

    /// Returns the value of the first field with this name. Returns `None` if there is no such field, or if its value
    /// is not UTF-8.
    pub fn get(&self, name: &str) -> Option<&str> {
        core::str::from_utf8(self.get_bytes(name)?).ok()
    }

    /// Returns the value of the first field with this name, as bytes.
    pub fn get_bytes(&self, name: &str) -> Option<&[u8]> {
        self.get_all(name).next()
    }

    /// Returns the values of all fields with this name, in their order.
    pub fn get_all<'h>(&'h self, name: &str) -> impl Iterator<Item = &'h [u8]> {
        let (text, spans) = self.parts();
        spans.iter().filter(move |span| span.is_named(text, name)).map(move |span| span.value(text))
    }

    /// Returns whether a list field, such as `connection` or `vary`, has this member in any of its lines. Case is
    /// ignored.
    ///
    /// ```
    /// # use degu_wire::Headers;
    /// let headers = Headers::try_from([("vary", "accept, Origin")])?;
    /// assert!(headers.has_member("vary", "origin"));
    /// # Ok::<(), degu_wire::LocalError>(())
    /// ```
    pub fn has_member(&self, name: &str, member: &str) -> bool {
        self.get_all(name)
            .flat_map(|value| value.split(|&byte| byte == b','))
            .any(|found| found.trim_ascii().eq_ignore_ascii_case(member.as_bytes()))
    }

    /// Returns the names and values of all fields, in their order. The case of names is as received or set.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &[u8])> + Clone {
        let (text, spans) = self.parts();
        spans.iter().map(move |span| (span.name(text), span.value(text)))
    }

    /// Returns the names and values of all fields, in their order, with names as bytes.
    pub(crate) fn lines(&self) -> impl Iterator<Item = (&[u8], &[u8])> + Clone {
        let (text, spans) = self.parts();
        spans.iter().map(move |span| (span.name_bytes(text), span.value(text)))
    }

    /// Sets a field to one value. Removes all other fields of this name.
    ///
    /// # Errors
    ///
    /// [`LocalError::FieldName`] if the name is not a token. [`LocalError::FieldValue`] if the value has a control
    /// character other than HTAB, begins or ends with whitespace, or its `Display` fails. [`LocalError::HeadTooLarge`]
    /// if the fields would then have a total of over 65,535 bytes. After an error, the headers are unchanged.
    pub fn set(&mut self, name: &str, value: impl fmt::Display) -> Result<(), LocalError> {
        self.own().put(name, true, written(value))
    }

    /// Adds a field line.
    ///
    /// # Errors
    ///
    /// The errors of [`set`](Self::set).
    pub fn append(&mut self, name: &str, value: impl fmt::Display) -> Result<(), LocalError> {
        self.own().put(name, false, written(value))
    }

    /// Adds a field line whose value need not be UTF-8.
    ///
    /// # Errors
    ///
    /// The errors of [`set`](Self::set).
    pub fn append_bytes(&mut self, name: &str, value: &[u8]) -> Result<(), LocalError> {
        self.own().put(name, false, |text| {
            text.extend_from_slice(value);
            Ok(())
        })
    }

    /// Removes every field with this name. Returns whether there was such a field.
    pub fn remove(&mut self, name: &str) -> bool {
        self.contains(name) && self.own().remove(name)
    }

    /// Returns the fields for a change. If a clone shares the fields, they are copied first.
    fn own(&mut self) -> &mut FieldText {
        Arc::make_mut(self.0.get_or_insert_default())
    }
}

/// Copies the fields. The text of the copy contains only their names and values.
impl Clone for FieldText {
    fn clone(&self) -> Self {
        let mut text = Vec::with_capacity(self.text.len().min(1024));
        let place = |span: &FieldSpan| {
            let (name, value) = (span.name_bytes(&self.text), span.value(&self.text));
            let start = text.len() as u16;
            let (name_end, value_end) = (start + name.len() as u16, start + (name.len() + value.len()) as u16);
            text.extend_from_slice(name);
            text.extend_from_slice(value);
            FieldSpan { name: start, name_end, value: name_end, value_end }
        };
        let spans: Vec<_> = self.spans().iter().map(place).collect();
        Self { text, fields: spans.len(), spans }
    }
}

impl FieldText {
    /// The number of fields for which there is storage at first. Few heads have more fields.
    const FIRST_FIELDS: usize = 16;
    /// The largest storage for text that is kept for the next head, in bytes. Larger storage is freed.
    const KEPT: usize = 8 * 1024;

    /// Calls `scan` with storage for the positions of fields. If the storage is too small for the fields, calls `scan`
    /// again with more storage. `len` is the length of the text that `scan` parses.
    pub(crate) fn scan<M>(
        &mut self,
        len: usize,
        max_fields: usize,
        mut scan: impl FnMut(&mut [FieldSpan]) -> Result<M, RemoteError>,
    ) -> Result<M, RemoteError> {
        if self.spans.len() < Self::FIRST_FIELDS {
            self.spans.resize(Self::FIRST_FIELDS, FieldSpan::EMPTY);
        }
        match scan(&mut self.spans) {
            Err(RemoteError { fault: Fault::TooManyFields, .. }) if self.spans.len() < max_fields => {
                // The shortest field line (`a:` and CRLF) has four bytes, so a text of `len` bytes has at most `len /
                // 4` fields. Therefore a high limit alone does not allocate much storage.
                let most = max_fields.min(len.min(Limits::MAX_HEAD) / 4 + 1);
                self.spans.resize(most.max(Self::FIRST_FIELDS), FieldSpan::EMPTY);
                scan(&mut self.spans)
            }
            scanned => scanned,
        }
    }

    /// Stores a copy of the text that was scanned, and the number of its fields.
    pub(crate) fn keep(&mut self, text: &[u8], fields: usize) {
        self.text.clear();
        self.text.shrink_to(Self::KEPT);
        self.text.extend_from_slice(text);
        self.fields = fields;
    }

    /// Returns whether the storage for text is larger than `KEPT`, so that the next call of [`keep`](Self::keep)
    /// shrinks it.
    pub(crate) fn is_large(&self) -> bool {
        self.text.capacity() > Self::KEPT
    }

    /// Removes the zone of an IPv6 address from the value of Host. `authority` is the range of the request's authority
    /// in the text: its end is corrected if the authority is the value of Host.
    #[cold]
    pub(crate) fn remove_zone(&mut self, authority: &mut (u16, u16)) {
        let text = &mut self.text;
        let Some(host) = self.spans[..self.fields].iter_mut().find(|span| span.is_named(text, "host")) else { return };
        let Some(zone) = zone(host.value(text)) else { return };
        let (start, end) = (usize::from(host.value), usize::from(host.value_end));
        text.copy_within(start + zone.end..end, start + zone.start);
        host.value_end -= zone.len() as u16;
        if authority.0 == host.value {
            authority.1 = host.value_end;
        }
    }

    fn remove(&mut self, name: &str) -> bool {
        self.spans.truncate(self.fields);
        self.spans.retain(|span| !span.is_named(&self.text, name));
        core::mem::replace(&mut self.fields, self.spans.len()) > self.spans.len()
    }

    fn spans(&self) -> &[FieldSpan] {
        &self.spans[..self.fields]
    }

    /// Adds a field. `write` appends the value of the field to the text. If `replaces` is true, all other fields with
    /// this name are removed. If the field cannot be sent, the fields do not change.
    fn put(
        &mut self,
        name: &str,
        replaces: bool,
        write: impl FnOnce(&mut Vec<u8>) -> fmt::Result,
    ) -> Result<(), LocalError> {
        if !is_token(name.as_bytes()) {
            return Err(LocalError::FieldName);
        }
        let mut start = self.text.len();
        self.text.extend_from_slice(name.as_bytes());
        let written = write(&mut self.text);
        let is_valid = written.is_ok() && is_field_value(&self.text[start + name.len()..]);
        if self.text.len() > Limits::MAX_HEAD {
            let field = self.text.split_off(start);
            // A copy has no bytes of removed fields.
            let mut copy = self.clone();
            if replaces && copy.remove(name) {
                copy = copy.clone();
            }
            if copy.text.len() + field.len() > Limits::MAX_HEAD {
                return Err(LocalError::HeadTooLarge);
            }
            if is_valid {
                start = copy.text.len();
                copy.text.extend_from_slice(&field);
                *self = copy;
            }
        }
        if !is_valid {
            self.text.truncate(start);
            return Err(LocalError::FieldValue);
        }
        if replaces {
            self.remove(name);
        }
        let [name, value, end] = [start, start + name.len(), self.text.len()].map(|offset| offset as u16);
        self.spans.truncate(self.fields);
        self.spans.push(FieldSpan { name, name_end: value, value, value_end: end });
        self.fields += 1;
        Ok(())
    }
}

/// Returns a function that appends a value to a text.
fn written(value: impl fmt::Display) -> impl FnOnce(&mut Vec<u8>) -> fmt::Result {
    move |text| write!(Writer(text), "{value}")
}

struct Writer<'t>(&'t mut Vec<u8>);

impl Write for Writer<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        // At most `MAX_HEAD` bytes precede the field. If the text is longer than twice that, the field alone is longer
        // than a head. It will be refused, so writing stops.
        if self.0.len() > 2 * Limits::MAX_HEAD {
            return Err(fmt::Error);
        }
        self.0.extend_from_slice(text.as_bytes());
        Ok(())
    }
}

impl Text for Headers {
    fn text(&self) -> &[u8] {
        self.parts().0
    }
}

impl fmt::Debug for Headers {
    /// Writes only the names, because values may be secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter().map(|(name, _)| name)).finish()
    }
}

/// Two `Headers` are equal if they have the same fields in the same order. The case of names is ignored.
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
    type Error = FieldError;

    fn try_from(fields: [(&str, V); N]) -> Result<Self, FieldError> {
        Self::try_from_iter(fields)
    }
}

impl<V: fmt::Display> TryFrom<&[(&str, V)]> for Headers {
    type Error = FieldError;

    fn try_from(fields: &[(&str, V)]) -> Result<Self, FieldError> {
        Self::try_from_iter(fields.iter().map(|(name, value)| (name, value)))
    }
}

impl<N: AsRef<str>, V: fmt::Display> TryFrom<Vec<(N, V)>> for Headers {
    type Error = FieldError;

    fn try_from(fields: Vec<(N, V)>) -> Result<Self, FieldError> {
        Self::try_from_iter(fields)
    }
}

/// Converts tuples of fields to headers. The values may have different types: `(("retry-after", 5), ("vary",
/// "accept"))`.
macro_rules! from_tuples {
    ($([$($value:ident)*])*) => {$(
        impl<$($value: fmt::Display),*> TryFrom<($((&str, $value),)*)> for Headers {
            type Error = FieldError;

            #[allow(non_snake_case, reason = "each variable has the name of its type parameter")]
            fn try_from(($($value,)*): ($((&str, $value),)*)) -> Result<Self, FieldError> {
                Self::try_from_iter([$(($value.0, &$value.1 as &dyn fmt::Display)),*])
            }
        }
    )*};
}

from_tuples!([A][A B][A B C][A B C D][A B C D E][A B C D E F][A B C D E F G][A B C D E F G H]);

/// A field that cannot be sent: its name, and the rule that it breaks.
///
/// ```
/// use degu_wire::{Headers, LocalError};
///
/// let error = Headers::try_from([("accept", "*/*"), ("x-note", "two\nlines")]).unwrap_err();
/// assert_eq!((error.name(), error.rule()), ("x-note", LocalError::FieldValue));
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct FieldError {
    name: Box<str>,
    rule: LocalError,
}

impl FieldError {
    /// Returns the error for a field with this name that breaks `rule`.
    pub fn new(name: &str, rule: LocalError) -> Self {
        Self { name: name.into(), rule }
    }

    /// Returns the name of the field. The name itself may be the fault.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the rule that the field breaks.
    pub const fn rule(&self) -> LocalError {
        self.rule
    }
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "field {:?}: {}", self.name, self.rule)
    }
}

impl core::error::Error for FieldError {}

debug_as_display!(FieldError);

impl From<FieldError> for LocalError {
    fn from(error: FieldError) -> Self {
        error.rule
    }
}

/// Lets a function that takes `impl TryInto<Headers, Error: Into<FieldError>>` take [`Headers`] too, whose conversion
/// cannot fail.
impl From<core::convert::Infallible> for FieldError {
    fn from(never: core::convert::Infallible) -> Self {
        match never {}
    }
}

/// The fields after the last chunk (RFC 9112 §7.1.2).
///
/// Most bodies have no trailers. Trailers without a field allocate nothing. Fields that the recipient must know before
/// the body are refused.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Trailers(Headers);

impl Trailers {
    /// Returns trailers without a field.
    pub const fn new() -> Self {
        Self(Headers::new())
    }

    pub(crate) fn received(fields: FieldText) -> Self {
        Self(Headers(Some(Arc::new(fields))))
    }

    /// Adds a field line.
    ///
    /// # Errors
    ///
    /// [`LocalError::TrailerForbidden`] for fields that the recipient must know before the body (RFC 9110 §6.5.1). Also
    /// the errors of [`Headers::append`].
    pub fn append(&mut self, name: &str, value: impl fmt::Display) -> Result<(), LocalError> {
        Self::check(name)?;
        self.0.append(name, value)
    }

    /// Adds a field line whose value need not be UTF-8.
    ///
    /// # Errors
    ///
    /// The errors of [`append`](Self::append).
    pub fn append_bytes(&mut self, name: &str, value: &[u8]) -> Result<(), LocalError> {
        Self::check(name)?;
        self.0.append_bytes(name, value)
    }

    fn check(name: &str) -> Result<(), LocalError> {
        if is_forbidden_in_trailers(name.as_bytes()) { Err(LocalError::TrailerForbidden) } else { Ok(()) }
    }
}

/// Trailers are read in the same way as headers.
impl Deref for Trailers {
    type Target = Headers;

    fn deref(&self) -> &Headers {
        &self.0
    }
}

impl fmt::Debug for Trailers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
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
mod tests;
