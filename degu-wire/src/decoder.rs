//! The decoder of a received body with any framing. The decoder needs no allocator, so the machines and the drivers for
//! microcontrollers share it.

use crate::chunk::{self, Event, Step};
use crate::{Fault, Framing, Limits, RemoteError};

/// The decoder of the bodies that a connection receives, one after the other. The decoder holds the framing of the rest
/// of the current body.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BodyDecoder {
    /// The framing of the rest: [`Framing::None`] after the end of the body.
    rest: Framing,
    /// The decoder of a chunked body.
    chunks: chunk::Decoder,
    /// The number of bytes of a 206 response that must still arrive according to its Content-Range. `None` if the
    /// message is not such a response, or if its framing already gives the length.
    partial_left: Option<u64>,
}

impl BodyDecoder {
    /// Returns the decoder of a message without a body.
    pub(crate) fn new(limits: &Limits) -> Self {
        Self { rest: Framing::None, chunks: chunk::Decoder::new(limits), partial_left: None }
    }

    /// Begins a body. `partial_length` is the length of the body according to Content-Range, if the decoder has to
    /// check this length.
    pub(crate) fn begin(&mut self, framing: Framing, limits: &Limits, of_response: bool, partial_length: Option<u64>) {
        if framing == Framing::Chunked {
            let chunks = chunk::Decoder::new(limits);
            self.chunks = if of_response { chunks.of_response() } else { chunks };
        }
        self.rest = framing.of_rest();
        self.partial_left = partial_length;
    }

    /// Gives up an incomplete body: the rest is not read, and [`has_ended`](Self::has_ended) returns true from now on.
    pub(crate) const fn abandon(&mut self) {
        self.rest = Framing::None;
    }

    /// Returns whether the body has ended.
    pub(crate) fn has_ended(&self) -> bool {
        self.rest == Framing::None
    }

    /// Returns the number of bytes that are still to come. Returns `None` if the framing does not give this number.
    pub(crate) const fn remaining(&self) -> Option<u64> {
        match self.rest {
            Framing::None => Some(0),
            Framing::Length(remaining) => Some(remaining),
            Framing::Chunked | Framing::UntilClose => None,
        }
    }

    /// Ends a body of known length, if its rest is not empty and is among the `available` bytes that the caller has
    /// received. Returns the length of the rest, which the caller then takes from its buffer.
    pub(crate) fn take_rest(&mut self, available: usize) -> Option<usize> {
        let Framing::Length(remaining) = self.rest else { return None };
        let remaining = usize::try_from(remaining).ok().filter(|remaining| *remaining <= available)?;
        self.rest = Framing::None;
        Some(remaining)
    }

    /// Reads the next event from the beginning of `input`. `eof` is true if no byte follows `input`. If there is no
    /// event, the body has [ended](Self::has_ended), or more bytes are needed.
    ///
    /// A body without chunks has only events of the kind [`Event::Data`].
    pub(crate) fn decode<'i>(&mut self, input: &'i [u8], eof: bool) -> Result<Step<'i>, RemoteError> {
        let step = match self.rest {
            Framing::None => return Ok(Step::MORE),
            Framing::Length(remaining) => {
                let step = Step::data(input, remaining);
                self.rest = Framing::Length(remaining - step.consumed as u64).of_rest();
                step
            }
            Framing::UntilClose => Step::data(input, u64::MAX),
            Framing::Chunked => self.chunks.decode(input)?,
        };
        match step.event {
            Some(Event::Chunk { .. } | Event::LastChunk { .. }) => {}
            Some(Event::Data(data)) => self.count_partial(data)?,
            Some(Event::End { .. }) => self.end()?,
            None if eof && self.rest == Framing::UntilClose => self.end()?,
            None if eof => return Err(Fault::TruncatedBody.into()),
            None => {}
        }
        Ok(step)
    }

    /// Reads the data at the beginning of `input`, directly after an [`Event::Chunk`]. Returns the length of the data,
    /// which may be 0. The caller then returns the chunk line and this data as one part.
    #[inline]
    pub(crate) fn decode_data(&mut self, input: &[u8]) -> Result<usize, RemoteError> {
        let length = self.chunks.decode(input)?.consumed;
        self.count_partial(&input[..length])?;
        Ok(length)
    }

    #[inline]
    fn count_partial(&mut self, data: &[u8]) -> Result<(), RemoteError> {
        if let Some(left) = &mut self.partial_left {
            *left = left.checked_sub(data.len() as u64).ok_or(Fault::ContentRange)?;
        }
        Ok(())
    }

    fn end(&mut self) -> Result<(), RemoteError> {
        if self.partial_left.is_some_and(|left| left > 0) {
            return Err(Fault::ContentRange.into());
        }
        self.rest = Framing::None;
        Ok(())
    }
}
