//! Destinations of encoded bytes.

use crate::LocalError;

/// A destination for bytes, which are written one after the other.
pub(crate) trait Sink {
    fn put(&mut self, bytes: &[u8]) -> Result<(), LocalError>;
}

/// A slice of the caller that is filled from its beginning.
pub(crate) struct SliceSink<'o> {
    out: &'o mut [u8],
    len: usize,
}

impl<'o> SliceSink<'o> {
    pub(crate) const fn new(out: &'o mut [u8]) -> Self {
        Self { out, len: 0 }
    }

    /// Returns the number of bytes that have been written.
    pub(crate) const fn len(&self) -> usize {
        self.len
    }
}

impl Sink for SliceSink<'_> {
    fn put(&mut self, bytes: &[u8]) -> Result<(), LocalError> {
        let end = self.len + bytes.len();
        self.out.get_mut(self.len..end).ok_or(LocalError::BufferTooSmall)?.copy_from_slice(bytes);
        self.len = end;
        Ok(())
    }
}

#[cfg(feature = "alloc")]
impl Sink for alloc::vec::Vec<u8> {
    #[inline(always)]
    fn put(&mut self, bytes: &[u8]) -> Result<(), LocalError> {
        self.extend_from_slice(bytes);
        Ok(())
    }
}
