//! The decoder of chunked bodies.

use super::Extensions;
use super::scan::Scanner;
use crate::octets::{HEX, NO_HEX};
use crate::{Fault, Limits, RemoteError};

/// The most digits of a chunk size: what 64 bits hold, so that no size can overflow.
const MAX_DIGITS: usize = 16;

/// Reads a chunked body from a buffer of the caller, one [`Event`] at a time.
///
/// The decoder holds no octets. It holds its place in the grammar, the balance of the extension budget, and how much of
/// an unfinished line it has seen: a line that comes an octet at a time costs as much as one that comes whole.
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
///         None => unreachable!("more octets would be read from the connection here"),
///     }
/// }
/// assert_eq!(body, b"hello");
/// # Ok::<(), degu_wire::RemoteError>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Decoder {
    state: State,
    /// In [`State::Extension`]: where in the extension the line stopped.
    scanner: Scanner,
    /// How many octets of the unfinished line or trailer section have been found good.
    seen: u16,
    /// How many digits the size of the unfinished line has.
    digits: u8,
    max_line: u16,
    max_trailers: u16,
    /// In [`State::Size`] and [`State::Extension`]: the size so far. In [`State::Data`]: octets that are still to come.
    size: u64,
    /// Octets of extensions that each chunk has free.
    free: u64,
    /// Octets of extensions that the body may still have beyond those.
    balance: u64,
}

/// What comes next in the input.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    /// A chunk line, of which at most digits have been seen.
    Size,
    /// The rest of a chunk line, behind its size.
    Extension,
    /// Data of a chunk.
    Data,
    /// The CRLF behind the data, and then a chunk line.
    DataEnd,
    /// The trailer section.
    Trailers,
    /// What does not belong to the body.
    Done,
}

/// What [`Decoder::decode`] found at the front of its input.
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
    /// How many octets the decoder is done with: the caller drops them from the front of its buffer. May be above 0
    /// without an event.
    pub consumed: usize,
    /// What has been read. `None` when more octets are needed than the input has, and once the body has ended.
    pub event: Option<Event<'i>>,
}

/// A part of a chunked body.
///
/// They come as `(Chunk Data+)* LastChunk End`.
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
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Event<'i> {
    /// A chunk begins.
    Chunk {
        /// How many octets of data it has: at least one.
        size: u64,
        /// What was sent with it.
        extensions: Extensions<'i>,
    },
    /// Data of the chunk that began last, as much as the input had: never empty, never beyond the chunk.
    Data(&'i [u8]),
    /// The chunk of size 0, which ends the data.
    LastChunk {
        /// What was sent with it.
        extensions: Extensions<'i>,
    },
    /// The end of the body.
    End {
        /// The trailer section: field lines, each ended by CRLF, without the empty line that ends the section. Often
        /// empty. Only its line ends have been checked.
        trailers: &'i [u8],
    },
}

impl Decoder {
    /// A decoder for one body, under the bounds for chunks and trailers in `limits`.
    pub fn new(limits: &Limits) -> Self {
        let bounded = |limit: usize| u16::try_from(limit).unwrap_or(u16::MAX);
        Self {
            state: State::Size,
            scanner: Scanner::START,
            seen: 0,
            digits: 0,
            max_line: bounded(limits.max_chunk_line),
            max_trailers: bounded(limits.max_trailers),
            size: 0,
            free: limits.free_extension as u64,
            balance: limits.extension_budget as u64,
        }
    }

    /// Reads the next event from the front of `input`.
    ///
    /// When more octets are needed, the caller drops those that are [consumed](Step::consumed), appends to the others,
    /// and calls again. An unfinished chunk line or trailer section is not consumed, so a buffer as long as the longer
    /// of `max_chunk_line` and `max_trailers` is always enough. Once [`is_done`](Self::is_done), nothing more is
    /// consumed.
    ///
    /// # Errors
    ///
    /// The [`RemoteError`] is the same however the input is cut, and comes as soon as the offending octet is in the
    /// input. Its offset counts from the first octet of the chunk line, of the CRLF behind the data, or of the trailer
    /// section. After an error the decoder stays where it was.
    ///
    /// - [`Fault::ChunkSize`]: not one to sixteen hexadecimal digits.
    /// - [`Fault::ChunkExtension`]: an octet that is not of an extension, or whitespace that nothing follows.
    /// - [`Fault::LineEnd`]: LF without CR, or CR without LF, in a chunk line or in the trailer section.
    /// - [`Fault::ChunkLineTooLong`], [`Fault::ExtensionBudget`], [`Fault::TrailersTooLarge`]: over a limit.
    /// - [`Fault::ChunkEnd`]: chunk data that is not followed by CRLF.
    pub fn decode<'i>(&mut self, input: &'i [u8]) -> Result<Step<'i>, RemoteError> {
        match self.state {
            State::Data => Ok(self.data(input)),
            State::DataEnd => match input {
                [b'\r', b'\n', line @ ..] => {
                    let step = self.line(line)?;
                    Ok(Step { consumed: step.consumed + 2, ..step })
                }
                [] | [b'\r'] => Ok(Step::MORE),
                [b'\r', ..] => Err(RemoteError::at(Fault::ChunkEnd, 1)),
                _ => Err(RemoteError::at(Fault::ChunkEnd, 0)),
            },
            State::Size | State::Extension => self.line(input),
            State::Trailers => self.trailers(input),
            State::Done => Ok(Step::MORE),
        }
    }

    /// Whether the body has ended: [`Event::End`] has been given.
    pub const fn is_done(&self) -> bool {
        matches!(self.state, State::Done)
    }

    /// How many octets of the current chunk's data have not been given yet: 0 between chunks.
    pub const fn chunk_remaining(&self) -> u64 {
        match self.state {
            State::Data => self.size,
            _ => 0,
        }
    }

    /// `chunk-data = 1*OCTET`
    fn data<'i>(&mut self, input: &'i [u8]) -> Step<'i> {
        // A size beyond `usize` is more than any input has.
        let length = usize::try_from(self.size).map_or(input.len(), |size| size.min(input.len()));
        if length == 0 {
            return Step::MORE;
        }
        self.size -= length as u64;
        if self.size == 0 {
            self.state = State::DataEnd;
        }
        Step { consumed: length, event: Some(Event::Data(&input[..length])) }
    }

    /// `chunk-size [ chunk-ext ] CRLF`, where `chunk-size = 1*HEXDIG`
    fn line<'i>(&mut self, line: &'i [u8]) -> Result<Step<'i>, RemoteError> {
        let max = usize::from(self.max_line);
        let line = &line[..line.len().min(max)];
        let mut at = 0;
        let mut scanner = Scanner::START;
        let (digits, size);
        if self.state == State::Extension {
            (digits, size) = (usize::from(self.digits), self.size);
            (at, scanner) = (usize::from(self.seen), self.scanner);
        } else {
            // At most sixteen digits are read again when the line was cut in them: that needs no place to be kept.
            let mut sum = 0;
            let stop = loop {
                let Some(&octet) = line.get(at) else {
                    if at >= max {
                        return Err(RemoteError::at(Fault::ChunkLineTooLong, max));
                    }
                    // The data before is consumed with its CRLF, even where the line is not.
                    self.state = State::Size;
                    return Ok(Step::MORE);
                };
                let digit = HEX[usize::from(octet)];
                if digit == NO_HEX {
                    break octet;
                }
                if at == MAX_DIGITS {
                    return Err(RemoteError::at(Fault::ChunkSize, at));
                }
                sum = sum << 4 | u64::from(digit);
                at += 1;
            };
            if stop == b'\n' {
                return Err(RemoteError::at(Fault::LineEnd, at));
            }
            if at == 0 || !matches!(stop, b'\r' | b';' | b' ' | b'\t') {
                return Err(RemoteError::at(Fault::ChunkSize, at));
            }
            (digits, size) = (at, sum);
        }

        // One octet beyond what the budget allows is looked at: it must be the CR.
        let allowed = usize::try_from(self.free.saturating_add(self.balance)).unwrap_or(usize::MAX);
        let within = &line[..line.len().min(allowed.saturating_add(digits + 1))];
        at = scanner.run(within, at);
        let Some(&stop) = within.get(at) else {
            if at - digits > allowed {
                return Err(RemoteError::at(Fault::ExtensionBudget, at - 1));
            }
            return self.unfinished(line, Place { at, digits, size, scanner });
        };
        if stop != b'\r' || !scanner.is_complete() {
            let fault = if stop == b'\n' { Fault::LineEnd } else { Fault::ChunkExtension };
            return Err(RemoteError::at(fault, at));
        }
        match line.get(at + 1) {
            Some(b'\n') => {}
            Some(_) => return Err(RemoteError::at(Fault::LineEnd, at + 1)),
            None => return self.unfinished(line, Place { at, digits, size, scanner }),
        }

        let extensions = Extensions::from_scanned(&line[digits..at]);
        let paid = ((at - digits) as u64).saturating_sub(self.free);
        // The data has come before the next line can.
        self.balance = (self.balance - paid).saturating_add(size);
        self.size = size;
        self.seen = 0;
        let event = if size > 0 {
            self.state = State::Data;
            Event::Chunk { size, extensions }
        } else {
            self.state = State::Trailers;
            Event::LastChunk { extensions }
        };
        Ok(Step { consumed: at + 2, event: Some(event) })
    }

    /// Remembers a line that is good as far as it has come, or refuses it if it can not end any more.
    #[cold]
    fn unfinished(&mut self, line: &[u8], place: Place) -> Result<Step<'static>, RemoteError> {
        if line.len() >= usize::from(self.max_line) {
            return Err(RemoteError::at(Fault::ChunkLineTooLong, line.len()));
        }
        self.state = State::Extension;
        self.seen = place.at as u16;
        self.digits = place.digits as u8;
        self.size = place.size;
        self.scanner = place.scanner;
        Ok(Step::MORE)
    }

    /// `trailer-section = *( field-line CRLF )`, and the CRLF that ends the body
    fn trailers<'i>(&mut self, input: &'i [u8]) -> Result<Step<'i>, RemoteError> {
        let max = usize::from(self.max_trailers);
        let section = &input[..input.len().min(max)];
        let mut at = usize::from(self.seen);
        loop {
            let rest = section.get(at..).unwrap_or_default();
            let text = rest.iter().position(|octet| matches!(octet, b'\r' | b'\n')).unwrap_or(rest.len());
            at += text;
            match rest[text..] {
                [b'\r', b'\n', ..] => {
                    // Each LF before was found behind a CR, so this tells an empty line.
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
        self.seen = at as u16;
        Ok(Step::MORE)
    }
}

/// Where a line stopped.
struct Place {
    at: usize,
    digits: usize,
    size: u64,
    scanner: Scanner,
}

impl Step<'static> {
    /// Nothing can be said yet.
    const MORE: Self = Self { consumed: 0, event: None };
}
