//! Output that waits to be written: the queue, and the pieces that a driver writes.

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::fmt;
use core::iter::FusedIterator;

use bytes::{Buf, Bytes};

/// Data of up to this number of bytes is copied into the buffer of small bytes, so a head and a short body are written
/// in one piece. Longer data is not copied.
const COPIED: usize = 4 * 1024;
/// If this number of bytes of heads and small data is pending, a driver should write before it sends more parts.
const ENOUGH: usize = 64 * 1024;
/// If large data is pending, and the large data and the small bytes that are pending have a total of at least this number
/// of bytes, a driver should write before it sends more parts. The bound is seven pieces of 64 KiB, because sources read pieces of this size. One write to a Unix
/// socket takes less by default (208 KiB).
const ENOUGH_LARGE: usize = 448 * 1024;
/// If this number of parts with large data is pending, a driver should write before it sends more parts.
const MOST_LARGE: usize = 8;

/// The bytes that wait to be written: one buffer for all small pieces, and the large data (more than 4 KiB each)
/// between them.
#[derive(Debug, Default)]
pub(super) struct Outgoing {
    pub(super) small: Vec<u8>,
    /// The number of bytes of `small` that have been written.
    sent: usize,
    large: VecDeque<Large>,
}

#[derive(Debug)]
struct Large {
    /// The number of bytes of `small` that are written before the data.
    at: usize,
    data: Bytes,
}

impl Outgoing {
    #[inline]
    pub(super) fn pending(&self) -> Pending<'_> {
        Pending { small: &self.small[self.sent..], at: self.sent, large: &self.large, given: 0, next: None }
    }

    #[inline]
    pub(super) fn is_flushed(&self) -> bool {
        self.small.is_empty() && self.large.is_empty()
    }

    /// Returns whether the buffer is larger than a head and a short body need.
    #[inline]
    pub(super) fn is_large(&self) -> bool {
        self.small.capacity() > 4 * COPIED
    }

    #[inline]
    pub(super) fn has_room(&self) -> bool {
        let small = self.small.len() - self.sent;
        let waits = || self.large.iter().fold(small, |waits, large| waits.saturating_add(large.data.len()));
        small < ENOUGH && (self.large.is_empty() || self.large.len() < MOST_LARGE && waits() < ENOUGH_LARGE)
    }

    #[inline]
    pub(super) fn sent(&mut self, bytes: usize) {
        let bytes = if self.large.is_empty() { bytes } else { self.large_sent(bytes) };
        self.sent += bytes.min(self.small.len() - self.sent);
        if self.sent == self.small.len() && self.large.is_empty() {
            self.small.clear();
            self.small.shrink_to(ENOUGH);
            self.sent = 0;
        } else if self.sent > COPIED && self.sent > self.small.len() / 2 {
            self.remove_sent();
        }
    }

    /// Removes the written bytes from `small`, because they would accumulate if a slow peer never reads all of the
    /// output.
    #[cold]
    fn remove_sent(&mut self) {
        self.small.drain(..self.sent);
        self.large.iter_mut().for_each(|large| large.at -= self.sent);
        self.sent = 0;
    }

    /// Records that `bytes` bytes were sent, as far as these are large data and the small bytes before it: removes the
    /// large data, and counts the small bytes. Returns the rest of `bytes`, which is the number of sent small bytes after
    /// all large data.
    #[inline(never)]
    fn large_sent(&mut self, mut bytes: usize) -> usize {
        while let Some(large) = self.large.front_mut() {
            let small = bytes.min(large.at - self.sent);
            let data = (bytes - small).min(large.data.len());
            self.sent += small;
            large.data.advance(data);
            if !large.data.is_empty() {
                return 0;
            }
            self.large.pop_front();
            bytes -= small + data;
        }
        bytes
    }

    pub(super) fn put(&mut self, bytes: &[u8]) {
        self.small.extend_from_slice(bytes);
    }

    /// Copies data if it is small. Returns whether the data is small.
    pub(super) fn put_small(&mut self, data: &[u8]) -> bool {
        let is_small = data.len() <= COPIED;
        if is_small {
            self.put(data);
        }
        is_small
    }

    pub(super) fn put_data(&mut self, data: Bytes) {
        if !self.put_small(&data) {
            self.large.push_back(Large { at: self.small.len(), data });
        }
    }
}

/// An iterator over the bytes that wait to be written, in pieces that are not empty.
///
/// Neighbouring small pieces are joined. Large data is not copied, and is a piece of its own.
#[derive(Clone)]
pub struct Pending<'c> {
    /// The rest of the small bytes.
    small: &'c [u8],
    /// The number of bytes of [`Outgoing::small`] before the rest.
    at: usize,
    large: &'c VecDeque<Large>,
    /// The number of large pieces that have been returned.
    given: usize,
    /// The large piece that comes next, after the small bytes that were returned last.
    next: Option<&'c [u8]>,
}

impl<'c> Pending<'c> {
    /// Returns all bytes if they are in one piece. The bytes of a small message are in one piece.
    #[inline]
    pub fn only(&self) -> Option<&'c [u8]> {
        if self.large.is_empty() {
            return if self.small.is_empty() { None } else { Some(self.small) };
        }
        let mut pieces = self.clone();
        pieces.next().filter(|_| pieces.next().is_none())
    }

    /// Returns the number of bytes.
    pub fn bytes(&self) -> usize {
        self.clone().fold(0, |bytes, piece| bytes.saturating_add(piece.len()))
    }

    /// Returns a copy of all bytes in one piece, for tests, and for callers that can afford a copy.
    pub fn concat(self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.bytes());
        self.for_each(|piece| bytes.extend_from_slice(piece));
        bytes
    }

    /// Calls `write` with the pending bytes as slices, and returns its result, for example an `io::Result` or a `Poll`.
    ///
    /// There are at most 17 slices, and none is empty. The slices hold all pending bytes if the driver sent parts only
    /// while [`has_room`](super::Connection::has_room) returned true. If nothing is pending, there is no slice, and a
    /// writer returns 0.
    ///
    /// ```
    /// use std::io::Write;
    ///
    /// use degu_wire::machine::{Client, Connection, Content};
    /// use degu_wire::{Headers, Limits, Method};
    ///
    /// let mut client = Connection::<Client>::new(Limits::default());
    /// client.request(Method::Put, "/", "a", &Headers::new(), Content::Bytes(vec![0; 10_000].into()))?;
    /// let mut wire = Vec::new();
    /// let written = client.pending().write_with(|pieces| wire.write_vectored(pieces))?;
    /// client.transmitted(written);
    /// assert!(client.is_flushed() && wire.len() > 10_000);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[cfg(feature = "std")]
    #[inline]
    pub fn write_with<T>(self, write: impl FnOnce(&[std::io::IoSlice<'c>]) -> T) -> T {
        use std::io::IoSlice;

        if let Some(only) = self.only() {
            return write(&[IoSlice::new(only)]);
        }
        let mut slices = [IoSlice::new(&[]); 2 * MOST_LARGE + 1];
        let filled = slices.iter_mut().zip(self).map(|(slice, piece)| *slice = IoSlice::new(piece)).count();
        write(&slices[..filled])
    }
}

/// Writes the number of bytes, but not the content, because it may be secret.
impl fmt::Debug for Pending<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pending").field("bytes", &self.bytes()).finish_non_exhaustive()
    }
}

impl<'c> Iterator for Pending<'c> {
    type Item = &'c [u8];

    fn next(&mut self) -> Option<&'c [u8]> {
        if let Some(data) = self.next.take() {
            return Some(data);
        }
        let large = self.large.get(self.given);
        self.given += 1;
        self.next = large.map(|large| &large.data[..]);
        let (small, rest) = self.small.split_at(large.map_or(self.small.len(), |large| large.at - self.at));
        (self.small, self.at) = (rest, self.at + small.len());
        if small.is_empty() { self.next.take() } else { Some(small) }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let large = self.large.len().saturating_sub(self.given) + usize::from(self.next.is_some());
        (large, Some(2 * large + 1))
    }
}

impl FusedIterator for Pending<'_> {}

#[cfg(test)]
mod tests;
