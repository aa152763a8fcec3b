//! Byte ranges: the values of Range and Content-Range (RFC 9110 §14) with the unit `bytes`.
//!
//! In memory a range excludes its end, like a slice: `stop` is the number of the first byte after the range. In text a
//! range includes its last byte, as the standard defines it. The number of the last byte is at most 2⁶⁴ − 2, so `stop`
//! always fits into 64 bits.

use core::{fmt, ops::Range, str::FromStr};

use crate::abnf::decimal;
use crate::error::{debug_as_display, explained};

/// The part of a representation that a client asks for: the value of a Range field with one range (RFC 9110 §14.2).
///
/// | text | range |
/// | --- | --- |
/// | `bytes=0-499` | `ByteRange::new(0, 500)` |
/// | `bytes=9500-` | `ByteRange::starting_at(9500)` |
/// | `bytes=-500` | `ByteRange::suffix(500)`: the last 500 bytes |
///
/// ```
/// use degu_wire::ByteRange;
///
/// let range: ByteRange = "bytes=0-499".parse()?;
/// assert_eq!(range, ByteRange::new(0, 500)?);
/// assert_eq!(range.resolve(1234), Some(0..500));
/// assert_eq!(range.resolve(200), Some(0..200));
/// assert_eq!(range.content_range(1234).to_string(), "bytes 0-499/1234");
/// # Ok::<(), degu_wire::RangeError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ByteRange(Spec);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Spec {
    /// The number of the first byte, and the number of the byte after the last byte.
    FromTo(u64, u64),
    /// The number of the first byte.
    From(u64),
    /// The number of bytes, counted from the end.
    Suffix(u64),
}

impl ByteRange {
    /// Returns the range of the bytes from `start` to `stop - 1`.
    ///
    /// # Errors
    ///
    /// [`RangeError::Empty`] if `stop` is not greater than `start`, because a range in text has at least one byte.
    pub const fn new(start: u64, stop: u64) -> Result<Self, RangeError> {
        if start < stop { Ok(Self(Spec::FromTo(start, stop))) } else { Err(RangeError::Empty) }
    }

    /// Returns the range of the bytes from `start` to the end.
    pub const fn starting_at(start: u64) -> Self {
        Self(Spec::From(start))
    }

    /// Returns the range of the last `len` bytes. A length of 0 can be sent, but no server can satisfy such a range.
    pub const fn suffix(len: u64) -> Self {
        Self(Spec::Suffix(len))
    }

    /// Returns the number of the first byte; `None` if the range counts from the end.
    pub const fn start(self) -> Option<u64> {
        if let Spec::FromTo(start, _) | Spec::From(start) = self.0 { Some(start) } else { None }
    }

    /// Returns the number of the first byte after the range; `None` if the range has no end or counts from the end.
    pub const fn stop(self) -> Option<u64> {
        if let Spec::FromTo(_, stop) = self.0 { Some(stop) } else { None }
    }

    /// Returns the number of bytes counted from the end; `None` if the range does not count from the end.
    pub const fn suffix_len(self) -> Option<u64> {
        if let Spec::Suffix(len) = self.0 { Some(len) } else { None }
    }

    /// Returns the bytes that the range selects from a representation of `total` bytes. A range that goes beyond the
    /// end is shortened. `None` if the representation has no byte in the range; a server then answers with 416 (RFC
    /// 9110 §15.5.17).
    pub fn resolve(self, total: u64) -> Option<Range<u64>> {
        let range = match self.0 {
            Spec::FromTo(start, stop) => start..stop.min(total),
            Spec::From(start) => start..total,
            Spec::Suffix(len) => total.saturating_sub(len)..total,
        };
        (!range.is_empty()).then_some(range)
    }

    /// Returns the Content-Range of a server's response, for a representation of `total` bytes. The response has status
    /// 206, or 416 if the range cannot be satisfied.
    pub fn content_range(self, total: u64) -> ContentRange {
        let part = self.resolve(total).map(|part| (part.start, part.end));
        ContentRange { part, total: Some(total) }
    }

    /// Parses the value of a Range field: one range, with nothing before or after it. The unit may be in upper or lower
    /// case (RFC 9110 §14.1).
    ///
    /// # Errors
    ///
    /// [`RangeError::Unit`] for a unit other than `bytes`, [`RangeError::Several`] for more than one range. Another
    /// [`RangeError`] if the range is malformed or empty. A server may always ignore the field (RFC 9110 §14.2), and
    /// must ignore a field with another unit.
    pub fn parse(value: &[u8]) -> Result<Self, RangeError> {
        let spec = unit(value, b'=')?;
        if spec.contains(&b',') {
            return Err(RangeError::Several);
        }
        match split(spec, b'-').ok_or(RangeError::Syntax)? {
            (b"", len) => Ok(Self::suffix(number(len)?)),
            (start, b"") => Ok(Self::starting_at(number(start)?)),
            (start, last) => Self::new(number(start)?, after(last)?),
        }
    }
}

impl FromStr for ByteRange {
    type Err = RangeError;

    fn from_str(value: &str) -> Result<Self, RangeError> {
        Self::parse(value.as_bytes())
    }
}

impl fmt::Display for ByteRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Spec::FromTo(start, stop) => write!(f, "bytes={start}-{}", stop - 1),
            Spec::From(start) => write!(f, "bytes={start}-"),
            Spec::Suffix(len) => write!(f, "bytes=-{len}"),
        }
    }
}

/// The part of a representation that a response holds: the value of a Content-Range field (RFC 9110 §14.4).
///
/// | text | value |
/// | --- | --- |
/// | `bytes 0-499/1234` | `ContentRange::new(0, 500, Some(1234))` |
/// | `bytes 0-499/*` | `ContentRange::new(0, 500, None)`: the whole length is not known |
/// | `bytes */1234` | `ContentRange::unsatisfied(1234)`: no part, in a 416 |
///
/// ```
/// use degu_wire::ContentRange;
///
/// let range: ContentRange = "bytes 0-499/1234".parse()?;
/// assert_eq!((range.range(), range.total()), (Some(0..500), Some(1234)));
/// assert_eq!(range.content_length(), Some(500));
/// assert_eq!(ContentRange::unsatisfied(1234).to_string(), "bytes */1234");
/// # Ok::<(), degu_wire::RangeError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ContentRange {
    /// The number of the first byte, and the number of the byte after the last byte. `None` if this is the value for a
    /// 416 response. `total` is then always known.
    part: Option<(u64, u64)>,
    total: Option<u64>,
}

impl ContentRange {
    /// Returns the value for the bytes from `start` to `stop - 1`, of `total` bytes. `total` is `None` if the length of
    /// the representation is not known.
    ///
    /// # Errors
    ///
    /// [`RangeError::Empty`] if `stop` is not greater than `start`. [`RangeError::BeyondTotal`] if `stop` is greater
    /// than `total`.
    pub const fn new(start: u64, stop: u64, total: Option<u64>) -> Result<Self, RangeError> {
        match total {
            _ if start >= stop => Err(RangeError::Empty),
            Some(total) if stop > total => Err(RangeError::BeyondTotal),
            _ => Ok(Self { part: Some((start, stop)), total }),
        }
    }

    /// Returns the value for a 416 response: none of the `total` bytes is in the requested range.
    pub const fn unsatisfied(total: u64) -> Self {
        Self { part: None, total: Some(total) }
    }

    /// Returns the range of the part; `None` if the range was not satisfied.
    pub fn range(self) -> Option<Range<u64>> {
        self.part.map(|(start, stop)| start..stop)
    }

    /// Returns the number of bytes of the whole representation, if it is known.
    pub const fn total(self) -> Option<u64> {
        self.total
    }

    /// Returns the number of bytes of the part, which is the length of a 206's content; `None` if the range was not
    /// satisfied.
    pub fn content_length(self) -> Option<u64> {
        self.part.map(|(start, stop)| stop - start)
    }

    /// Parses the value of a Content-Range field, with nothing before or after it. The unit may be in upper or lower
    /// case.
    ///
    /// # Errors
    ///
    /// The value does not match the grammar, its unit is not `bytes`, or its numbers contradict each other. A client
    /// must not combine such a response with other responses (RFC 9110 §14.4).
    pub fn parse(value: &[u8]) -> Result<Self, RangeError> {
        let (part, total) = split(unit(value, b' ')?, b'/').ok_or(RangeError::Syntax)?;
        if part == b"*" {
            return Ok(Self::unsatisfied(number(total)?));
        }
        let (start, last) = split(part, b'-').ok_or(RangeError::Syntax)?;
        let (start, stop) = (number(start)?, after(last)?);
        Self::new(start, stop, if total == b"*" { None } else { Some(number(total)?) })
    }
}

impl FromStr for ContentRange {
    type Err = RangeError;

    fn from_str(value: &str) -> Result<Self, RangeError> {
        Self::parse(value.as_bytes())
    }
}

impl fmt::Display for ContentRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.part {
            Some((start, stop)) => write!(f, "bytes {start}-{}", stop - 1)?,
            None => f.write_str("bytes *")?,
        }
        match self.total {
            Some(total) => write!(f, "/{total}"),
            None => f.write_str("/*"),
        }
    }
}

explained! {
    /// The faults of a Range or Content-Range value.
    pub enum RangeError {
        /// The unit is not `bytes`.
        Unit "the range unit is not `bytes`",
        /// The value has more than one range.
        Several "the value has more than one range",
        /// The value does not match the grammar. For example, a number is missing or has a sign, or the value has text
        /// before or after the range.
        Syntax "the range is malformed",
        /// A number is over 64 bits, or the last byte is number 2⁶⁴ − 1.
        Overflow "a number in the range is too large",
        /// The range has no byte: the number of its last byte is less than the number of its first byte.
        Empty "the range ends before its first byte",
        /// The part ends after the end of the whole representation.
        BeyondTotal "the range ends after the total length",
    }
}

impl core::error::Error for RangeError {}

debug_as_display!(RangeError);

/// Returns the text after the unit `bytes` and the separator.
fn unit(value: &[u8], separator: u8) -> Result<&[u8], RangeError> {
    let (unit, rest) = split(value, separator).ok_or(RangeError::Syntax)?;
    if unit.eq_ignore_ascii_case(b"bytes") { Ok(rest) } else { Err(RangeError::Unit) }
}

/// Returns the bytes before and after the first separator; `None` if there is no separator.
fn split(bytes: &[u8], separator: u8) -> Option<(&[u8], &[u8])> {
    let at = bytes.iter().position(|&byte| byte == separator)?;
    Some((&bytes[..at], &bytes[at + 1..]))
}

/// Parses a decimal number of at most 64 bits (`1*DIGIT`).
fn number(digits: &[u8]) -> Result<u64, RangeError> {
    let overflows = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    decimal(digits).ok_or(if overflows { RangeError::Overflow } else { RangeError::Syntax })
}

/// Parses the number of a range's last byte, and returns the number of the byte after it.
fn after(last: &[u8]) -> Result<u64, RangeError> {
    number(last)?.checked_add(1).ok_or(RangeError::Overflow)
}

#[cfg(test)]
mod tests;
