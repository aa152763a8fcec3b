//! The decoder of chunked bodies.

use core::fmt;

use super::scan::{Scanner, run_plain};
use super::{CRLF, Extensions, MAX_SIZE_LINE};
use crate::abnf::{HEX, NO_HEX};
use crate::{Fault, Limits, RemoteError};

/// The largest number of digits in a chunk size. Sixteen hexadecimal digits fit into 64 bits, so no size can overflow.
const MAX_DIGITS: usize = 16;

/// Reads a chunked body from a buffer of the caller, one [`Event`] at a time.
///
/// The decoder stores no bytes of the body. It stores its place in the grammar, the rest of the extension budget, and
/// the number of checked bytes of an unfinished line. So a line that arrives byte by byte takes about as much time as a
/// line that arrives as a whole.
///
/// ```
/// use degu_wire::Limits;
/// use degu_wire::chunk::{Decoder, Event};
///
/// let mut input: &[u8] = b"5;seq=1\r\nhello\r\n0\r\nDigest: x\r\n\r\n";
/// let mut decoder = Decoder::new(&Limits::DEFAULT);
/// let mut body = Vec::new();
/// while !decoder.is_done() {
///     let step = decoder.decode(input)?;
///     input = &input[step.consumed..];
///     match step.event {
///         Some(Event::Chunk { size, extensions }) => {
///             assert_eq!(size, 5);
///             assert!(extensions.find("seq").unwrap().value.unwrap() == "1");
///         }
///         Some(Event::Data(data)) => body.extend_from_slice(data),
///         Some(Event::LastChunk { .. }) => {}
///         Some(Event::End { trailers }) => assert_eq!(trailers, b"Digest: x\r\n"),
///         None => unreachable!("more bytes would be read from the connection here"),
///     }
/// }
/// assert_eq!(body, b"hello");
/// # Ok::<(), degu_wire::RemoteError>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Decoder {
    state: State,
    max_line: u16,
    max_trailers: u16,
    /// The number of bytes of extensions that each chunk may have without reducing the budget
    /// ([`Limits::free_extension`]).
    free: u64,
    /// The number of bytes of extensions that the next chunk may have: the rest of the budget plus `free`.
    allowed: u64,
    /// True if blanks are allowed between a size and the end of its line.
    padded: bool,
}

/// The element that comes next in the input.
#[derive(Clone, Copy, Debug)]
enum State {
    /// A chunk line. If the previous input ended within the digits of the size, the digits are read again.
    Size,
    /// The rest of a chunk line whose digits have been read.
    LineEnd(Place),
    /// Data of a chunk. This number of bytes is still to come.
    Data(u64),
    /// The CRLF after the data, and then a chunk line.
    DataEnd,
    /// The trailer section. This number of its bytes has been checked.
    Trailers(u16),
    /// The body has ended. The bytes that follow do not belong to it.
    Done,
}

/// The place in a chunk line at which the input ended, after the size.
#[derive(Clone, Copy, Debug)]
struct Place {
    size: u64,
    /// The number of digits of the size.
    digits: u8,
    /// The number of checked bytes of the line.
    seen: u16,
    /// The place in the extensions.
    scanner: Scanner,
}

/// The result of [`Decoder::decode`]: the event at the beginning of the input, and the number of bytes to drop.
///
/// ```
/// use degu_wire::{Limits, chunk};
///
/// let step = chunk::Decoder::new(&Limits::DEFAULT).decode(b"10;a")?;
/// assert_eq!(step, chunk::Step { consumed: 0, event: None });
/// # Ok::<(), degu_wire::RemoteError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Step<'i> {
    /// The number of bytes that the decoder does not need any more. The caller drops these bytes from the beginning of
    /// its buffer, even if there is no event.
    pub consumed: usize,
    /// The event that was read. `None` if more input is needed, or if the body has ended.
    pub event: Option<Event<'i>>,
}

/// A part of a chunked body.
///
/// The events of a body come in this order: `(Chunk Data+)* LastChunk End`.
///
/// ```
/// use degu_wire::{Limits, chunk};
///
/// let mut decoder = chunk::Decoder::new(&Limits::DEFAULT);
/// let step = decoder.decode(b"5\r\nhel")?;
/// assert_eq!(step.event, Some(chunk::Event::Chunk { size: 5, extensions: chunk::Extensions::EMPTY }));
/// let step = decoder.decode(b"hel")?;
/// assert_eq!(step.event, Some(chunk::Event::Data(b"hel")));
/// assert_eq!(decoder.chunk_remaining(), 2);
/// # Ok::<(), degu_wire::RemoteError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Event<'i> {
    /// A chunk begins.
    Chunk {
        /// The number of bytes of the chunk's data: at least one.
        size: u64,
        /// The extensions that were sent with the chunk.
        extensions: Extensions<'i>,
    },
    /// Data of the current chunk: all of it that the input contains. The data is never empty, and never extends beyond
    /// the chunk.
    Data(&'i [u8]),
    /// The chunk of size 0, which ends the data.
    LastChunk {
        /// The extensions that were sent with the chunk.
        extensions: Extensions<'i>,
    },
    /// The end of the body.
    End {
        /// The trailer section: field lines, each ended by CRLF, without the empty line that ends the section. The
        /// section is often empty. Only its line ends have been checked.
        trailers: &'i [u8],
    },
}

/// Writes only the length of data and trailers, because they may be secret.
impl fmt::Debug for Event<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Chunk { size, extensions } => write!(f, "Chunk {{ size: {size}, extensions: {extensions:?} }}"),
            Self::Data(data) => write!(f, "Data({} bytes)", data.len()),
            Self::LastChunk { extensions } => write!(f, "LastChunk {{ extensions: {extensions:?} }}"),
            Self::End { trailers } => write!(f, "End({} bytes of trailers)", trailers.len()),
        }
    }
}

impl Decoder {
    /// Returns a decoder for one body, under the bounds for chunks and trailers in `limits`.
    ///
    /// A chunk line without extensions and a trailer section without fields are always accepted, even if they are
    /// longer than [`max_chunk_line`](Limits::max_chunk_line) or [`max_trailers`](Limits::max_trailers).
    // Not inlined, because most messages have no chunks.
    #[inline(never)]
    pub fn new(limits: &Limits) -> Self {
        Self {
            state: State::Size,
            max_line: limits.max_chunk_line.clamp(MAX_SIZE_LINE, Limits::MAX_HEAD) as u16,
            max_trailers: limits.max_trailers.clamp(CRLF.len(), Limits::MAX_HEAD) as u16,
            free: limits.free_extension as u64,
            allowed: (limits.free_extension as u64).saturating_add(limits.extension_budget as u64),
            padded: false,
        }
    }

    /// Returns the decoder for the body of a response. It skips blanks after a size without extensions, because some
    /// servers pad sizes with spaces.
    ///
    /// ```
    /// use degu_wire::{Limits, chunk};
    ///
    /// let mut decoder = chunk::Decoder::new(&Limits::DEFAULT).of_response();
    /// let step = decoder.decode(b"5   \r\n")?;
    /// assert_eq!(step.event, Some(chunk::Event::Chunk { size: 5, extensions: chunk::Extensions::EMPTY }));
    /// # Ok::<(), degu_wire::RemoteError>(())
    /// ```
    #[must_use]
    pub const fn of_response(mut self) -> Self {
        self.padded = true;
        self
    }

    /// Reads the next event from the beginning of `input`.
    ///
    /// When more bytes are needed, the caller drops the [consumed](Step::consumed) bytes, appends new bytes to the
    /// remaining bytes, and calls again. An unfinished chunk line or trailer section is not consumed. A buffer of
    /// `max_chunk_line` or `max_trailers` bytes, whichever is larger, and of at least 18 bytes, is always large enough.
    /// After the [end](Self::is_done) nothing more is consumed.
    ///
    /// # Errors
    ///
    /// The [`RemoteError`] is the same for every division of the input into pieces. The error is returned as soon as
    /// the offending byte is in the input. The offset of the error counts from the first byte of the element: the chunk
    /// line, the CRLF after the data, or the trailer section. After an error the state of the decoder is unchanged.
    ///
    /// - [`Fault::ChunkSize`]: the size has no digit, more than sixteen digits, or another byte.
    /// - [`Fault::ChunkExtension`]: a byte that is not allowed in an extension, or whitespace before the end of the
    ///   line.
    /// - [`Fault::LineEnd`]: LF without CR, or CR without LF, in a chunk line or in the trailer section.
    /// - [`Fault::ChunkLineTooLong`], [`Fault::ExtensionBudget`], [`Fault::TrailersTooLarge`]: over a limit.
    /// - [`Fault::ChunkEnd`]: chunk data that is not followed by CRLF.
    pub fn decode<'i>(&mut self, input: &'i [u8]) -> Result<Step<'i>, RemoteError> {
        let before = match self.state {
            State::Data(remaining) => {
                let step = Step::data(input, remaining);
                let remaining = remaining - step.consumed as u64;
                self.state = if remaining == 0 { State::DataEnd } else { State::Data(remaining) };
                return Ok(step);
            }
            State::Size => 0,
            State::DataEnd => match input {
                [b'\r', b'\n', ..] => CRLF.len(),
                [] | [b'\r'] => return Ok(Step::MORE),
                [b'\r', ..] => return Err(RemoteError::at(Fault::ChunkEnd, 1)),
                _ => return Err(RemoteError::at(Fault::ChunkEnd, 0)),
            },
            State::LineEnd(place) => return self.line_end(input, 0, place),
            State::Trailers(seen) => return self.trailers(input, seen),
            State::Done => return Ok(Step::MORE),
        };
        self.line(&input[before..], before)
    }

    /// Returns whether the body has ended: [`Event::End`] has been returned.
    pub const fn is_done(&self) -> bool {
        matches!(self.state, State::Done)
    }

    /// Returns the number of bytes of the current chunk's data that have not been returned yet; 0 between chunks.
    pub const fn chunk_remaining(&self) -> u64 {
        if let State::Data(remaining) = self.state { remaining } else { 0 }
    }

    /// Reads `chunk-size [ chunk-ext ] CRLF`, where `chunk-size = 1*HEXDIG`. `before` is the number of bytes of the
    /// input before the line.
    fn line<'i>(&mut self, line: &'i [u8], before: usize) -> Result<Step<'i>, RemoteError> {
        // If the input ends within the digits, the next call reads the digits again: they are at most sixteen bytes.
        let front = &line[..line.len().min(MAX_DIGITS + 1)];
        let mut size = 0;
        let mut digits = 0;
        let stop = loop {
            let Some(&byte) = front.get(digits) else {
                if digits > MAX_DIGITS {
                    return Err(RemoteError::at(Fault::ChunkSize, MAX_DIGITS));
                }
                self.state = State::Size;
                return Ok(Step { consumed: before, event: None });
            };
            let digit = HEX[usize::from(byte)];
            if digit == NO_HEX {
                break byte;
            }
            size = size << 4 | u64::from(digit);
            digits += 1;
        };
        match stop {
            b'\r' | b';' | b' ' | b'\t' if digits > 0 => {}
            b'\n' => return Err(RemoteError::at(Fault::LineEnd, digits)),
            _ => return Err(RemoteError::at(Fault::ChunkSize, digits)),
        }
        let line = &line[..line.len().min(usize::from(self.max_line))];
        // Most lines have only tokens in their extensions, and at most `free` bytes of extensions. For any other line,
        // the scanner starts again after the size.
        let seen = run_plain(line, digits);
        if let Some([b'\r', b'\n', ..]) = line.get(seen..)
            && (seen - digits) as u64 <= self.free
        {
            return Ok(self.begin(size, &line[digits..seen], before + seen));
        }
        let (digits, seen) = (digits as u8, digits as u16);
        self.line_end(line, before, Place { size, digits, seen, scanner: Scanner::START })
    }

    /// Reads `[ chunk-ext ] CRLF`.
    #[cold]
    fn line_end<'i>(&mut self, line: &'i [u8], before: usize, mut place: Place) -> Result<Step<'i>, RemoteError> {
        let line = &line[..line.len().min(usize::from(self.max_line))];
        let digits = usize::from(place.digits);
        let at = place.scanner.run(line, usize::from(place.seen));
        let length = (at - digits) as u64;
        if length > self.allowed {
            // `allowed` is less than the length of the line here, so it fits into `usize`.
            return Err(RemoteError::at(Fault::ExtensionBudget, digits + self.allowed as usize));
        }
        let is_padding = || self.padded && line[digits..at].iter().all(|byte| matches!(byte, b' ' | b'\t'));
        match line.get(at..).unwrap_or_default() {
            [b'\r', rest @ ..] if place.scanner.is_complete() || is_padding() => match rest {
                [b'\n', ..] => {
                    self.allowed -= length.saturating_sub(self.free);
                    let extensions = if place.scanner.is_complete() { digits..at } else { at..at };
                    return Ok(self.begin(place.size, &line[extensions], before + at));
                }
                [] => {}
                _ => return Err(RemoteError::at(Fault::LineEnd, at + 1)),
            },
            [] => {}
            [b'\n', ..] => return Err(RemoteError::at(Fault::LineEnd, at)),
            _ => return Err(RemoteError::at(Fault::ChunkExtension, at)),
        }
        if line.len() >= usize::from(self.max_line) {
            return Err(RemoteError::at(Fault::ChunkLineTooLong, line.len()));
        }
        place.seen = at as u16;
        self.state = State::LineEnd(place);
        Ok(Step { consumed: before, event: None })
    }

    /// Sets the state after a chunk line, and returns the step for the line. `read` is the number of bytes of the input
    /// before the CRLF of the line.
    fn begin<'i>(&mut self, size: u64, extensions: &'i [u8], read: usize) -> Step<'i> {
        let extensions = Extensions::from_scanned(extensions);
        // Each byte of data adds one byte to the budget. The size of the chunk can be added here, before the data has
        // arrived, because the budget is not used until the next chunk line.
        self.allowed = self.allowed.saturating_add(size);
        let event = if size > 0 {
            self.state = State::Data(size);
            Event::Chunk { size, extensions }
        } else {
            self.state = State::Trailers(0);
            Event::LastChunk { extensions }
        };
        Step { consumed: read + CRLF.len(), event: Some(event) }
    }

    /// Reads `trailer-section = *( field-line CRLF )`, and the CRLF that ends the body.
    fn trailers<'i>(&mut self, input: &'i [u8], seen: u16) -> Result<Step<'i>, RemoteError> {
        let max = usize::from(self.max_trailers);
        let section = &input[..input.len().min(max)];
        let mut at = usize::from(seen);
        loop {
            let rest = section.get(at..).unwrap_or_default();
            let text = rest.iter().position(|byte| matches!(byte, b'\r' | b'\n')).unwrap_or(rest.len());
            at += text;
            match rest[text..] {
                [b'\r', b'\n', ..] => {
                    // All line ends before `at` are CRLF. If a line begins at `at`, the CRLF at `at` is the empty line
                    // that ends the section.
                    if at == 0 || section[at - 1] == b'\n' {
                        self.state = State::Done;
                        return Ok(Step { consumed: at + 2, event: Some(Event::End { trailers: &section[..at] }) });
                    }
                    at += 2;
                }
                [] | [b'\r'] => break,
                [b'\r', ..] => return Err(RemoteError::at(Fault::LineEnd, at + 1)),
                _ => return Err(RemoteError::at(Fault::LineEnd, at)),
            }
        }
        if section.len() >= max {
            return Err(RemoteError::at(Fault::TrailersTooLarge, max));
        }
        self.state = State::Trailers(at as u16);
        Ok(Step::MORE)
    }
}

impl<'i> Step<'i> {
    /// The step if more bytes are needed.
    pub(crate) const MORE: Self = Self { consumed: 0, event: None };

    /// Returns the step for data of a chunk, if `remaining` bytes of the chunk are still to come.
    #[inline]
    pub(crate) fn data(input: &'i [u8], remaining: u64) -> Self {
        // A number over `usize` is larger than every input.
        let length = usize::try_from(remaining).map_or(input.len(), |remaining| remaining.min(input.len()));
        Self { consumed: length, event: (length > 0).then(|| Event::Data(&input[..length])) }
    }
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use super::*;

    /// Decodes `before`, and then the same bytes, overwritten with zeros, with `after` appended.
    fn overwritten(mut decoder: Decoder, before: &[u8], after: &[u8]) -> Result<Step<'static>, RemoteError> {
        assert_eq!(decoder.decode(before), Ok(Step::MORE));
        let input: Vec<u8> = before.iter().map(|_| 0).chain(after.iter().copied()).collect();
        decoder.decode(&input).map(|step| Step { consumed: step.consumed, event: None })
    }

    #[test]
    fn what_has_been_found_good_is_not_read_again() {
        let start = Decoder::new(&Limits::DEFAULT);
        let whole = |consumed| Ok(Step { consumed, event: None });
        assert_eq!(overwritten(start, b"5;seq=12", b"3\r\n"), whole(11));
        assert_eq!(overwritten(start, b"5;seq=\"1 2", b"3\"\r\n"), whole(14));
        assert_eq!(overwritten(start, b"5 ; seq =", b"3\r\n"), whole(12));
        let mut trailers = start;
        trailers.decode(b"0\r\n").unwrap();
        assert_eq!(overwritten(trailers, b"Digest: 1", b"2\r\n\r\n"), whole(14));
    }

    #[test]
    fn an_error_changes_nothing() {
        let mut decoder = Decoder::new(&Limits::DEFAULT);
        assert_eq!(decoder.decode(b"5;a"), Ok(Step::MORE));
        assert_eq!(decoder.decode(b"5;a\0"), Err(RemoteError::at(Fault::ChunkExtension, 3)));
        assert_eq!(decoder.decode(b"5;a\n"), Err(RemoteError::at(Fault::LineEnd, 3)));
        assert_eq!(decoder.decode(b"5;a=b\r\n").unwrap().consumed, 7);
    }

    #[test]
    fn crlf_after_data_is_consumed_even_if_next_line_is_partial() {
        let mut decoder = Decoder::new(&Limits::DEFAULT);
        decoder.decode(b"1\r\n").unwrap();
        decoder.decode(b"a").unwrap();
        let cut = decoder;
        for (input, rest) in [(&b"\r\n"[..], &b"2;a\r\n"[..]), (b"\r\n2", b"2;a\r\n"), (b"\r\n2;a", b"2;a\r\n")] {
            let mut decoder = cut;
            assert_eq!(decoder.decode(input), Ok(Step { consumed: 2, event: None }));
            assert_eq!(decoder.decode(rest).unwrap().consumed, 5);
            assert_eq!(decoder.chunk_remaining(), 2);
        }
        assert_eq!(decoder.decode(b"\r\n2;a\r\nbc").unwrap().consumed, 7);
    }

    #[test]
    fn nothing_is_read_behind_the_end() {
        let mut decoder = Decoder::new(&Limits::DEFAULT);
        decoder.decode(b"0\r\n").unwrap();
        assert!(!decoder.is_done());
        assert_eq!(decoder.decode(b"\r\n0").unwrap(), Step { consumed: 2, event: Some(Event::End { trailers: b"" }) });
        assert!(decoder.is_done());
        assert_eq!(decoder.decode(b"\0"), Ok(Step::MORE));
    }

    #[test]
    fn limits_beyond_what_can_be_counted_are_cut() {
        let limits = Limits {
            max_chunk_line: usize::MAX,
            max_trailers: usize::MAX,
            free_extension: usize::MAX,
            extension_budget: usize::MAX,
            ..Limits::DEFAULT
        };
        let mut line = Vec::from(*b"1;");
        line.resize(Limits::MAX_HEAD, b'a');
        let mut decoder = Decoder::new(&limits);
        assert_eq!(decoder.decode(&line[..Limits::MAX_HEAD - 1]), Ok(Step::MORE));
        assert_eq!(decoder.decode(&line), Err(RemoteError::at(Fault::ChunkLineTooLong, Limits::MAX_HEAD)));
        let mut decoder = Decoder::new(&limits);
        decoder.decode(b"0\r\n").unwrap();
        assert_eq!(decoder.decode(&line[..Limits::MAX_HEAD - 1]), Ok(Step::MORE));
        assert_eq!(decoder.decode(&line), Err(RemoteError::at(Fault::TrailersTooLarge, Limits::MAX_HEAD)));
    }
}
