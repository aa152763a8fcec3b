//! The caller's memory.

use core::fmt;
use core::ops::Range;

use crate::head::{FieldSpan, Fields};
use crate::{Limits, LocalError};

/// The buffers of one connection, which the caller owns: see the [module](super).
pub struct Buffers<'b> {
    /// The buffer for received bytes. A head takes at most three quarters of it.
    pub input: &'b mut [u8],
    /// The storage for the positions of the fields of one message, in its head and in its trailers. Each field takes
    /// one element of 8 bytes.
    pub fields: &'b mut [FieldSpan],
    /// The buffer for bytes to send. Each head and each chunk line must fit into it. Data that is too long for this
    /// buffer is written directly to the transport. The response to a refused request takes up to 90 bytes.
    pub output: &'b mut [u8],
}

/// Memory for [`Buffers`] of fixed sizes, for a `static` or the stack. `INPUT` and `OUTPUT` are numbers of bytes, and
/// `FIELDS` is a number of fields.
///
/// ```
/// use degu_wire::embedded::Memory;
///
/// const SIZES: Memory<2048, 24, 512> = Memory::new();
/// assert_eq!(size_of_val(&SIZES), 2048 + 24 * 8 + 512);
/// ```
pub struct Memory<const INPUT: usize, const FIELDS: usize, const OUTPUT: usize> {
    input: [u8; INPUT],
    fields: [FieldSpan; FIELDS],
    output: [u8; OUTPUT],
}

impl<const INPUT: usize, const FIELDS: usize, const OUTPUT: usize> Memory<INPUT, FIELDS, OUTPUT> {
    /// Returns new memory, filled with zeros.
    pub const fn new() -> Self {
        Self { input: [0; INPUT], fields: [FieldSpan::EMPTY; FIELDS], output: [0; OUTPUT] }
    }

    /// Returns buffers that borrow this memory.
    pub const fn buffers(&mut self) -> Buffers<'_> {
        Buffers { input: &mut self.input, fields: &mut self.fields, output: &mut self.output }
    }
}

impl<const INPUT: usize, const FIELDS: usize, const OUTPUT: usize> Default for Memory<INPUT, FIELDS, OUTPUT> {
    fn default() -> Self {
        Self::new()
    }
}

/// Writes the sizes, but not the content, because it may be secret.
impl fmt::Debug for Buffers<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Buffers")
            .field("input", &self.input.len())
            .field("fields", &self.fields.len())
            .field("output", &self.output.len())
            .finish()
    }
}

/// Writes no content, because it may be secret.
impl<const INPUT: usize, const FIELDS: usize, const OUTPUT: usize> fmt::Debug for Memory<INPUT, FIELDS, OUTPUT> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Memory").finish_non_exhaustive()
    }
}

impl Buffers<'_> {
    /// Returns the limits, lowered to the size of the input buffer. Within the returned limits, a head fits into the
    /// buffer, and a chunk line or the trailers fit into the rest of the buffer.
    pub(super) fn bound(&self, limits: &Limits) -> Limits {
        let max_head = limits.max_head.min(self.input.len() / 4 * 3);
        let window = self.input.len() - max_head;
        Limits {
            max_head,
            max_chunk_line: limits.max_chunk_line.min(window),
            max_trailers: limits.max_trailers.min(window),
            ..*limits
        }
    }
}

/// A buffer for received bytes that have not been used yet. Received bytes are added at the end, and bytes are used
/// from the front.
pub(super) struct Window<'w> {
    buffer: &'w mut [u8],
    start: usize,
    end: usize,
}

impl<'w> Window<'w> {
    /// Returns a window over `buffer`. The first `filled` bytes have been received.
    pub(super) const fn new(buffer: &'w mut [u8], filled: usize) -> Self {
        Self { buffer, start: 0, end: filled }
    }

    /// Returns the range of the unused bytes in the buffer.
    pub(super) const fn unused(&self) -> Range<usize> {
        self.start..self.end
    }

    pub(super) fn bytes(&self) -> &[u8] {
        self.buffer.get(self.start..self.end).unwrap_or_default()
    }

    pub(super) fn bytes_mut(&mut self) -> &mut [u8] {
        self.buffer.get_mut(self.start..self.end).unwrap_or_default()
    }

    pub(super) const fn len(&self) -> usize {
        self.end.saturating_sub(self.start)
    }

    /// Returns the free part of the buffer, into which the next bytes are received. The part is empty if the unused
    /// bytes fill the buffer.
    pub(super) fn room(&mut self) -> &mut [u8] {
        self.end = move_to_front(self.buffer, self.unused());
        self.start = 0;
        self.buffer.get_mut(self.end..).unwrap_or_default()
    }

    /// Splits off a head of `len` bytes at the front. The first `count` elements of `spans` are the positions of the
    /// head's fields. Returns the fields of the head, the window after the head, and the other elements of `spans`.
    pub(super) fn split_head(
        mut self,
        len: u16,
        spans: &'w mut [FieldSpan],
        count: u16,
    ) -> Result<(Fields<'w>, Self, &'w mut [FieldSpan]), LocalError> {
        // Moves the head to the front of the buffer.
        self.room();
        let (head, buffer) = self.buffer.split_at_mut_checked(len.into()).ok_or(LocalError::State)?;
        let (spans, slots) = spans.split_at_mut_checked(count.into()).ok_or(LocalError::State)?;
        let filled = self.end.saturating_sub(head.len());
        Ok((Fields::new(head, spans), Self::new(buffer, filled), slots))
    }

    /// Adds this number of bytes, which have been received into the [room](Self::room).
    pub(super) fn filled(&mut self, bytes: usize) {
        self.end = self.end.saturating_add(bytes).min(self.buffer.len());
    }

    /// Removes bytes from the front, and returns them.
    pub(super) fn take(&mut self, bytes: usize) -> &[u8] {
        let start = self.start;
        self.start = start.saturating_add(bytes).min(self.end);
        self.buffer.get(start..self.start).unwrap_or_default()
    }
}

/// Moves bytes to the front of their buffer, and returns their number.
pub(super) fn move_to_front(buffer: &mut [u8], bytes: Range<usize>) -> usize {
    let Range { start, end } = bytes;
    if start > end || end > buffer.len() {
        return 0;
    }
    // The bytes are copied in pieces that do not overlap. This needs only memcpy, which is in the program in any case.
    // memmove would take another 1.5 KiB of flash.
    let mut rest = buffer.get_mut(..end).filter(|_| start > 0).unwrap_or_default();
    while let Some((front, back)) = core::mem::take(&mut rest).split_at_mut_checked(start)
        && !back.is_empty()
    {
        front.iter_mut().zip(&*back).for_each(|(place, byte)| *place = *byte);
        rest = back;
    }
    end - start
}
