//! The caller's memory.

use core::fmt;

use crate::Limits;
use crate::head::FieldSpan;

/// The buffers of one connection, which the caller owns: see the [module](super).
pub struct Buffers<'b> {
    /// The buffer for received bytes. A head takes at most three quarters of this buffer.
    pub input: &'b mut [u8],
    /// The storage for the positions of the fields of one message, in its head and in its trailers. Each field takes
    /// one element of 8 bytes.
    pub fields: &'b mut [FieldSpan],
    /// The buffer for bytes to send. Each head and each chunk line must fit into this buffer. Data that is too long for
    /// this buffer is written directly to the transport. The response to a refused request takes up to 90 bytes.
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
    /// Returns the limits, lowered to the size of the input buffer. Within the returned limits, a head takes at
    /// most three quarters of the buffer. A chunk line or the trailers fit into the last quarter.
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
