//! The input buffer: the received bytes, from the head of a message to the end of its body.

use core::mem::take;
use core::ops::Range;

use crate::chunk::Event;
use crate::decoder::BodyDecoder;
use crate::head::{FieldSpan, Fields, parse_trailers};
use crate::{Limits, LocalError, RemoteError};

/// The received bytes that have not been used yet. Received bytes are added at the end, and bytes are used from the
/// front.
pub(super) struct Input<'x> {
    buffer: &'x mut [u8],
    start: usize,
    end: usize,
    /// The storage for the positions of fields: of the fields in the head, and then of the trailers.
    pub(super) slots: &'x mut [FieldSpan],
    pub(super) limits: &'x Limits,
}

impl<'x> Input<'x> {
    /// Returns the input of a new message. The first `received` bytes of `buffer` have been received.
    pub(super) fn new(buffer: &'x mut [u8], received: usize, slots: &'x mut [FieldSpan], limits: &'x Limits) -> Self {
        Self { buffer, start: 0, end: received, slots, limits }
    }

    /// Returns the range of the unused bytes in the buffer, without the head that was split off.
    pub(super) const fn unused(&self) -> Range<usize> {
        self.start..self.end
    }

    pub(super) const fn len(&self) -> usize {
        self.end.saturating_sub(self.start)
    }

    /// Returns the unused bytes, and the storage for the positions of the fields among them.
    pub(super) fn head_mut(&mut self) -> (&mut [u8], &mut [FieldSpan]) {
        (self.buffer.get_mut(self.start..self.end).unwrap_or_default(), self.slots)
    }

    /// Moves the unused bytes to the front of the buffer. Returns the free part after them, into which the next bytes
    /// are received. The part is empty if the unused bytes fill the buffer.
    pub(super) fn room(&mut self) -> &mut [u8] {
        self.end = move_to_front(self.buffer, self.unused());
        self.start = 0;
        self.buffer.get_mut(self.end..).unwrap_or_default()
    }

    /// Adds this number of bytes, which have been received into the [room](Self::room).
    pub(super) fn filled(&mut self, bytes: usize) {
        self.end = self.end.saturating_add(bytes).min(self.buffer.len());
    }

    /// Drops this number of bytes from the front.
    pub(super) fn skip(&mut self, bytes: usize) {
        self.start = self.start.saturating_add(bytes).min(self.end);
    }

    /// Splits off a head of `len` bytes at the front, and the positions of its `count` fields.
    pub(super) fn split_head(&mut self, len: u16, count: u16) -> Result<Fields<'x>, LocalError> {
        // Moves the head to the front of the buffer.
        self.room();
        let (head, buffer) = take(&mut self.buffer).split_at_mut_checked(len.into()).ok_or(LocalError::State)?;
        let (spans, slots) = take(&mut self.slots).split_at_mut_checked(count.into()).ok_or(LocalError::State)?;
        self.end = self.end.saturating_sub(head.len());
        (self.buffer, self.slots) = (buffer, slots);
        Ok(Fields::new(head, spans))
    }
}

/// The unread rest of a received message.
pub(super) struct Incoming<'x> {
    pub(super) input: Input<'x>,
    pub(super) body: BodyDecoder,
    pub(super) of_request: bool,
}

impl Incoming<'_> {
    /// Finds and checks the next event of the body. The event stays in the input. Returns the length of the event in
    /// bytes; for data, at most `most`. If there is no event, drops the bytes that the decoder has consumed (the CRLF
    /// after the data of a chunk), and returns `None`.
    pub(super) fn find(&mut self, most: usize, eof: bool) -> Result<Option<usize>, RemoteError> {
        // An event borrows the buffer. The loop that calls this method also fills the buffer, so it cannot hold an
        // event. Therefore this method finds the length of the event with a copy of the decoder, and the caller decodes
        // the same bytes again after its loop. After a fault the decoder and the bytes are unchanged, so each later
        // call returns the fault again.
        let mut body = self.body;
        let step = body.decode(self.input.buffer.get(self.input.unused()).unwrap_or_default(), eof)?;
        let found = step.consumed;
        match step.event {
            None => {
                self.input.skip(found);
                self.body = body;
                return Ok(None);
            }
            Some(Event::Data(_)) => return Ok(Some(found.min(most))),
            Some(Event::End { trailers }) => {
                parse_trailers(trailers, self.input.slots, self.input.limits)?;
            }
            Some(Event::Chunk { .. } | Event::LastChunk { .. }) => {}
        }
        Ok(Some(found))
    }

    /// Removes the event that [`find`](Self::find) found, and returns it.
    pub(super) fn take(&mut self, found: usize) -> Result<Option<Event<'_>>, RemoteError> {
        let start = self.input.start;
        self.input.skip(found);
        let bytes = self.input.buffer.get(start..self.input.start).unwrap_or_default();
        Ok(self.body.decode(bytes, false)?.event)
    }
}

/// Moves bytes to the front of their buffer, and returns their number.
pub(super) fn move_to_front(buffer: &mut [u8], bytes: Range<usize>) -> usize {
    let Range { start, end } = bytes;
    if start > end || end > buffer.len() {
        return 0;
    }
    // The bytes are copied in pieces that do not overlap, with memcpy, which is in the program in any case. memmove
    // would take another 1.5 KiB of flash.
    let mut rest = buffer.get_mut(..end).filter(|_| start > 0).unwrap_or_default();
    while let Some((front, back)) = take(&mut rest).split_at_mut_checked(start)
        && !back.is_empty()
    {
        front.iter_mut().zip(&*back).for_each(|(place, byte)| *place = *byte);
        rest = back;
    }
    end - start
}
