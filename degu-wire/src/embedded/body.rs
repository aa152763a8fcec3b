//! Bodies: the peer's, read through a window of the input, and our own, with its announced framing.

use embedded_io_async::{Read, Write};

use super::Error;
use super::buffers::Window;
use super::clock::Clock;
use super::link::Link;
use crate::chunk::{self, Decoder, Event, Extension};
use crate::head::{FieldSpan, parse_trailers, put_trailers};
use crate::{Fault, Framing, Limits, LocalError, RemoteError};

/// The rest of the peer's body.
#[derive(Debug)]
pub(super) struct Incoming<'b> {
    pub(super) window: Window<'b>,
    /// For the fields of the trailers.
    slots: &'b mut [FieldSpan],
    limits: &'b Limits,
    /// [`Framing::None`] once the end has been given.
    pub(super) rest: Framing,
    /// The position in a chunked body.
    decoder: Decoder,
    /// Of a part (206): bytes that are still to come, where its Content-Range tells.
    pub(super) part_left: Option<u64>,
    /// The fault that ended the reading. Each later call returns it again, so that a body that broke never seems to end.
    fault: Option<RemoteError>,
}

/// The next step of a reader.
enum Next {
    /// An event in so many bytes, which [`Incoming::take`] gives.
    Event(usize),
    More,
    End,
}

impl<'b> Incoming<'b> {
    pub(super) fn new(
        window: Window<'b>,
        slots: &'b mut [FieldSpan],
        limits: &'b Limits,
        framing: Framing,
        of_response: bool,
    ) -> Self {
        let rest = if framing == Framing::Length(0) { Framing::None } else { framing };
        let decoder = Decoder::new(limits);
        let decoder = if of_response { decoder.of_response() } else { decoder };
        Self { window, slots, limits, rest, decoder, part_left: None, fault: None }
    }

    /// Returns how many bytes are still to come, if the framing tells.
    pub(super) const fn remaining(&self) -> Option<u64> {
        match self.rest {
            Framing::None => Some(0),
            Framing::Length(remaining) => Some(remaining),
            Framing::Chunked | Framing::UntilClose => None,
        }
    }

    /// Reads the next event, whose data has at most `most` bytes. `None` at the end.
    pub(super) async fn next<S: Read + Write, C: Clock>(
        &mut self,
        link: &mut Link<'_, S, C>,
        most: usize,
    ) -> Result<Option<Event<'_>>, Error<S::Error>> {
        let found = loop {
            match self.peek()? {
                Next::End => {
                    link.state.is_between = self.window.len() == 0;
                    return Ok(None);
                }
                Next::Event(found) => break found,
                Next::More => {}
            }
            if !link.fill(&mut self.window).await? {
                match self.rest {
                    Framing::UntilClose if self.part_left.is_none_or(|left| left == 0) => {
                        self.rest = Framing::None;
                        return Ok(None);
                    }
                    Framing::UntilClose => return Err(self.fail(Fault::ContentRange.into()).into()),
                    _ => return Err(self.fail(Fault::TruncatedBody.into()).into()),
                }
            }
        };
        Ok(self.take(found, most))
    }

    /// Reads data into `buffer`: as much of it as is there. 0 at the end of the body.
    pub(super) async fn read<S: Read + Write, C: Clock>(
        &mut self,
        link: &mut Link<'_, S, C>,
        buffer: &mut [u8],
    ) -> Result<usize, Error<S::Error>> {
        while !buffer.is_empty() {
            match self.next(link, buffer.len()).await? {
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

    /// Reads all that is left into `buffer`. Returns how much it is.
    pub(super) async fn read_all<S: Read + Write, C: Clock>(
        &mut self,
        link: &mut Link<'_, S, C>,
        buffer: &mut [u8],
    ) -> Result<usize, Error<S::Error>> {
        let mut length = 0;
        while let Some(event) = self.next(link, usize::MAX).await? {
            if let Event::Data(data) = event {
                let end = length + data.len();
                let room = buffer.get_mut(length..end).ok_or(RemoteError::new(Fault::BodyTooLarge))?;
                room.copy_from_slice(data);
                length = end;
            }
        }
        Ok(length)
    }

    /// Reads and drops the rest of the body, if it is short. Returns whether the end was reached.
    pub(super) async fn drain<S: Read + Write, C: Clock>(&mut self, link: &mut Link<'_, S, C>, mut most: u64) -> bool {
        loop {
            match self.next(link, usize::MAX).await {
                Ok(None) => return true,
                Ok(Some(Event::Data(data))) => most = most.saturating_sub(data.len() as u64),
                Ok(Some(_)) => most = most.saturating_sub(1),
                Err(_) => return false,
            }
            if most == 0 {
                return self.rest == Framing::None;
            }
        }
    }

    /// Finds the next step, checks it, and drops the bytes between two events.
    fn peek(&mut self) -> Result<Next, RemoteError> {
        if let Some(fault) = self.fault {
            return Err(fault);
        }
        self.find().map_err(|fault| self.fail(fault))
    }

    fn find(&mut self) -> Result<Next, RemoteError> {
        let available = self.window.len();
        let (found, data, is_end) = match self.rest {
            Framing::None => return Ok(Next::End),
            Framing::Length(_) | Framing::UntilClose if available == 0 => return Ok(Next::More),
            Framing::Length(remaining) => {
                let data = usize::try_from(remaining).unwrap_or(usize::MAX).min(available);
                (data, data, false)
            }
            Framing::UntilClose => (available, available, false),
            Framing::Chunked if self.decoder.is_done() => {
                self.rest = Framing::None;
                return Ok(Next::End);
            }
            Framing::Chunked => {
                // By a copy of the decoder, so that `take` decodes it again: a view of the window could not be kept until then.
                let mut decoder = self.decoder;
                let step = decoder.decode(self.window.bytes())?;
                match step.event {
                    None => {
                        self.decoder = decoder;
                        self.window.take(step.consumed);
                        return Ok(Next::More);
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
            _ => Ok(Next::Event(found)),
        }
    }

    /// Takes the event that was found in so many bytes.
    fn take(&mut self, found: usize, most: usize) -> Option<Event<'_>> {
        let is_data = self.rest != Framing::Chunked || self.decoder.chunk_remaining() > 0;
        let taken = self.window.take(if is_data { found.min(most) } else { found });
        if let Some(left) = self.part_left.as_mut().filter(|_| is_data) {
            *left = left.saturating_sub(taken.len() as u64);
        }
        match &mut self.rest {
            Framing::Chunked => self.decoder.decode(taken).ok()?.event,
            Framing::Length(remaining) => {
                *remaining = remaining.saturating_sub(taken.len() as u64);
                if *remaining == 0 {
                    self.rest = Framing::None;
                }
                Some(Event::Data(taken))
            }
            Framing::UntilClose | Framing::None => Some(Event::Data(taken)),
        }
    }

    fn fail(&mut self, fault: RemoteError) -> RemoteError {
        *self.fault.insert(fault)
    }
}

/// The rest of our body.
#[derive(Debug)]
pub(super) struct Outgoing {
    /// [`Framing::None`] at its end, and where there is none.
    pub(super) rest: Framing,
    /// The body is that of a response to HEAD: its bytes are dropped.
    pub(super) is_dropped: bool,
}

impl Outgoing {
    pub(super) fn new(framing: Framing, is_dropped: bool) -> Self {
        let rest = if framing == Framing::Length(0) { Framing::None } else { framing };
        Self { rest, is_dropped }
    }

    /// Sends data: where the body is chunked, as a chunk.
    pub(super) async fn write<S: Read + Write, C: Clock>(
        &mut self,
        link: &mut Link<'_, S, C>,
        data: &[u8],
    ) -> Result<(), Error<S::Error>> {
        match self.rest {
            _ if data.is_empty() || self.is_dropped => Ok(()),
            Framing::Length(left) => {
                let left = left.checked_sub(data.len() as u64).ok_or(LocalError::BodyTooLong)?;
                link.put(data).await?;
                self.rest = if left == 0 { Framing::None } else { Framing::Length(left) };
                Ok(())
            }
            Framing::Chunked => self.write_chunk(link, data, &[]).await,
            Framing::UntilClose => link.put(data).await,
            Framing::None => Err(LocalError::BodyTooLong.into()),
        }
    }

    /// Sends a chunk with extensions, which a body that is not chunked has no place for: HTTP/1.0 gets the data alone.
    pub(super) async fn write_chunk<S: Read + Write, C: Clock>(
        &mut self,
        link: &mut Link<'_, S, C>,
        data: &[u8],
        extensions: &[Extension<'_>],
    ) -> Result<(), Error<S::Error>> {
        match self.rest {
            _ if self.is_dropped => Ok(()),
            // It would be the last one.
            Framing::Chunked if data.is_empty() => Err(LocalError::ChunkLength.into()),
            Framing::Chunked => {
                let extensions = extensions.iter().copied();
                link.encode(|out| chunk::put_line(out, data.len() as u64, extensions)).await?;
                link.put(data).await?;
                link.put(chunk::CRLF).await
            }
            Framing::UntilClose => link.put(data).await,
            Framing::Length(_) | Framing::None => Err(LocalError::State.into()),
        }
    }

    /// Ends the body, with these extensions of the last chunk, and with trailers: HTTP/1.0 gets neither.
    pub(super) async fn finish<S: Read + Write, C: Clock>(
        &mut self,
        link: &mut Link<'_, S, C>,
        extensions: &[Extension<'_>],
        trailers: &[(&str, &str)],
    ) -> Result<(), Error<S::Error>> {
        match self.rest {
            _ if self.is_dropped => {}
            Framing::Chunked => {
                let extensions = extensions.iter().copied();
                link.encode(|out| {
                    chunk::put_line(out, 0, extensions)?;
                    put_trailers(out, trailers.iter().copied())
                })
                .await?;
            }
            Framing::Length(_) => return Err(LocalError::BodyTooShort.into()),
            Framing::None if !(extensions.is_empty() && trailers.is_empty()) => return Err(LocalError::State.into()),
            Framing::UntilClose | Framing::None => {}
        }
        self.rest = Framing::None;
        Ok(())
    }
}
