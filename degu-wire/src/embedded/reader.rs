//! The body of a received message, read from the input buffer.

use core::fmt;

use embedded_io_async::{ErrorType, Read, Write};

use super::Error;
use super::buffers::Window;
use super::clock::Clock;
use super::link::Link;
use crate::chunk::{Decoder, Event};
use crate::head::{FieldSpan, parse_trailers};
use crate::{Fault, Framing, Limits, RemoteError};

/// A reader of the body of a [request](super::Request::body), or of a [response](super::Response::body).
///
/// The type also implements [`Read`]. If a client waits for `100 Continue`, the server sends `100 Continue` at the
/// first read of the request's body.
pub struct BodyReader<'r, 'x, S, C> {
    pub(super) incoming: &'r mut Incoming<'x>,
    pub(super) link: &'r mut Link<'x, S, C>,
}

impl<S: Read + Write, C: Clock> BodyReader<'_, '_, S, C> {
    /// Reads the next event of the body: data as it arrives, and in a chunked body also the beginning of each chunk and
    /// the end. Returns `None` after the end. The trailers of [`Event::End`] have been checked;
    /// [`parse_trailers`](crate::head::parse_trailers) parses them.
    ///
    /// # Errors
    ///
    /// A fault of the peer; every later call returns the same fault. [`Fault::TruncatedBody`] if the connection ended
    /// before the body was complete. [`Error::Timeout`] if the peer sent too slowly.
    pub async fn next_event(&mut self) -> Result<Option<Event<'_>>, Error<S::Error>> {
        self.next(usize::MAX).await
    }

    /// Reads data into `buffer`. Returns the number of bytes read, which is 0 at the end of the body.
    ///
    /// # Errors
    ///
    /// The errors of [`next_event`](Self::next_event).
    pub async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Error<S::Error>> {
        while !buffer.is_empty() {
            match self.next(buffer.len()).await? {
                None => break,
                Some(Event::Data(data)) => {
                    let Some(room) = buffer.get_mut(..data.len()) else { break };
                    room.copy_from_slice(data);
                    return Ok(data.len());
                }
                Some(_) => {}
            }
        }
        Ok(0)
    }

    /// Reads the rest of the body into `buffer`, and returns the filled part of `buffer`.
    ///
    /// # Errors
    ///
    /// The errors of [`next_event`](Self::next_event), and [`Fault::BodyTooLarge`] if the body does not fit. A server
    /// answers this fault with 413.
    pub async fn read_all<'d>(&mut self, buffer: &'d mut [u8]) -> Result<&'d [u8], Error<S::Error>> {
        // A client that waits for `100 Continue` gets the refusal before it sends the body.
        if self.incoming.of_request
            && self.incoming.remaining().is_some_and(|remaining| remaining > buffer.len() as u64)
        {
            return Err(Error::Peer(Fault::BodyTooLarge.into()));
        }
        let mut length = 0;
        while let Some(event) = self.next(usize::MAX).await? {
            if let Event::Data(data) = event {
                let end = length + data.len();
                let room = buffer.get_mut(length..end).ok_or(RemoteError::new(Fault::BodyTooLarge))?;
                room.copy_from_slice(data);
                length = end;
            }
        }
        Ok(buffer.get(..length).unwrap_or_default())
    }

    /// Reads and drops at most `most` bytes of the body. Returns whether the end was reached.
    pub(super) async fn drain(&mut self, mut most: u64) -> bool {
        loop {
            match self.next(usize::MAX).await {
                Ok(None) => return true,
                Ok(Some(Event::Data(data))) => most = most.saturating_sub(data.len() as u64),
                Ok(Some(_)) => most = most.saturating_sub(1),
                Err(_) => return false,
            }
            if most == 0 {
                return self.incoming.rest == Framing::None;
            }
        }
    }

    /// Reads the next event. If the event is data, it has at most `most` bytes. Returns `None` at the end of the body.
    async fn next(&mut self, most: usize) -> Result<Option<Event<'_>>, Error<S::Error>> {
        let Self { incoming, link } = self;
        if core::mem::take(&mut link.state.terms.continue_pending) && incoming.window.len() == 0 {
            // `100 Continue` is not needed if bytes of the body have arrived already (RFC 9110 §10.1.1).
            link.put(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
        }
        let found = loop {
            if let Some(found) = incoming.peek()? {
                break found;
            }
            if incoming.rest == Framing::None {
                link.state.is_between = incoming.window.len() == 0;
                return Ok(None);
            }
            if !link.fill(&mut incoming.window).await? {
                incoming.end()?;
            }
        };
        Ok(incoming.take(found, most))
    }
}

impl<S: ErrorType, C> ErrorType for BodyReader<'_, '_, S, C> {
    type Error = Error<S::Error>;
}

impl<S: Read + Write, C: Clock> Read for BodyReader<'_, '_, S, C> {
    async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Self::Error> {
        self.read(buffer).await
    }
}

impl<S, C> fmt::Debug for BodyReader<'_, '_, S, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.incoming.fmt(f)
    }
}

/// The unread rest of the body of the peer's message.
#[derive(Debug)]
pub(super) struct Incoming<'x> {
    pub(super) window: Window<'x>,
    /// The storage for the positions of trailer fields.
    slots: &'x mut [FieldSpan],
    limits: &'x Limits,
    of_request: bool,
    /// The framing of the rest of the body: [`Framing::None`] after the last data or the end event.
    pub(super) rest: Framing,
    /// The decoder of a chunked body.
    decoder: Decoder,
    /// For a partial response (206), the number of bytes that are still to come. `None` if this number is not checked.
    pub(super) part_left: Option<u64>,
    /// The fault that ended the reading. Each later call returns it again, so an incomplete body never seems complete.
    fault: Option<RemoteError>,
}

impl<'x> Incoming<'x> {
    pub(super) fn new(
        window: Window<'x>,
        slots: &'x mut [FieldSpan],
        limits: &'x Limits,
        framing: Framing,
        of_request: bool,
    ) -> Self {
        let decoder = Decoder::new(limits);
        let decoder = if of_request { decoder } else { decoder.of_response() };
        Self { window, slots, limits, of_request, rest: rest_of(framing), decoder, part_left: None, fault: None }
    }

    /// Returns the number of bytes that are still to come. Returns `None` if the framing does not give this number.
    pub(super) const fn remaining(&self) -> Option<u64> {
        match self.rest {
            Framing::None => Some(0),
            Framing::Length(remaining) => Some(remaining),
            Framing::Chunked | Framing::UntilClose => None,
        }
    }

    /// Finds and checks the next event, and returns its length in bytes. The event stays in the window until
    /// [`take`](Self::take) returns it.
    ///
    /// Returns `None` at the end of the body, where `rest` is [`Framing::None`], and if no event is complete. If no
    /// event is complete, bytes that the decoder has consumed (the CRLF after a chunk's data) are dropped. After a
    /// fault, each call returns the fault again.
    fn peek(&mut self) -> Result<Option<usize>, RemoteError> {
        if let Some(fault) = self.fault {
            return Err(fault);
        }
        self.find().map_err(|fault| *self.fault.insert(fault))
    }

    fn find(&mut self) -> Result<Option<usize>, RemoteError> {
        let available = self.window.len();
        let (found, data, is_end) = match self.rest {
            Framing::None => return Ok(None),
            Framing::Length(_) | Framing::UntilClose if available == 0 => return Ok(None),
            Framing::Length(remaining) => {
                let data = usize::try_from(remaining).unwrap_or(usize::MAX).min(available);
                (data, data, false)
            }
            Framing::UntilClose => (available, available, false),
            Framing::Chunked if self.decoder.is_done() => {
                self.rest = Framing::None;
                return Ok(None);
            }
            Framing::Chunked => {
                // A copy of the decoder decodes the bytes here, and `take` decodes the same bytes again. An event
                // borrows the window. If this function returned the event itself, the caller could not fill the window
                // when no event was found.
                let mut decoder = self.decoder;
                let step = decoder.decode(self.window.bytes())?;
                match step.event {
                    None => {
                        self.decoder = decoder;
                        self.window.take(step.consumed);
                        return Ok(None);
                    }
                    Some(Event::End { trailers }) => {
                        parse_trailers(trailers, self.slots, self.limits)?;
                        (step.consumed, 0, true)
                    }
                    Some(Event::Data(data)) => (step.consumed, data.len(), false),
                    Some(_) => (step.consumed, 0, false),
                }
            }
        };
        match self.part_left {
            Some(left) if data as u64 > left || is_end && left > 0 => Err(Fault::ContentRange.into()),
            _ => Ok(Some(found)),
        }
    }

    /// Removes the event of `found` bytes from the window, and returns it. If the event is data, at most `most` bytes
    /// are removed, and the rest of the data stays in the window.
    fn take(&mut self, found: usize, most: usize) -> Option<Event<'_>> {
        let is_data = self.rest != Framing::Chunked || self.decoder.chunk_remaining() > 0;
        let taken = self.window.take(if is_data { found.min(most) } else { found });
        if let Some(left) = self.part_left.as_mut().filter(|_| is_data) {
            *left = left.saturating_sub(taken.len() as u64);
        }
        match &mut self.rest {
            Framing::Chunked => return self.decoder.decode(taken).ok()?.event,
            Framing::Length(remaining) => *remaining = remaining.saturating_sub(taken.len() as u64),
            Framing::UntilClose | Framing::None => {}
        }
        self.rest = rest_of(self.rest);
        Some(Event::Data(taken))
    }

    /// Ends the body because the connection ended. Returns a fault if the framing does not allow this end.
    fn end(&mut self) -> Result<(), RemoteError> {
        let fault = match self.rest {
            Framing::UntilClose if self.part_left.is_none_or(|left| left == 0) => {
                self.rest = Framing::None;
                return Ok(());
            }
            Framing::UntilClose => Fault::ContentRange,
            _ => Fault::TruncatedBody,
        };
        Err(*self.fault.insert(fault.into()))
    }
}

/// Returns the framing of the rest of a body. If no byte is left (`Length(0)`), this is [`Framing::None`].
pub(super) fn rest_of(framing: Framing) -> Framing {
    if framing == Framing::Length(0) { Framing::None } else { framing }
}
