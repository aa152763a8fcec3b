//! What waits to be written, as whoever writes sees it.

use alloc::collections::vec_deque;
use alloc::vec::Vec;
use core::fmt;
use core::iter::FusedIterator;

#[cfg(feature = "std")]
use super::MOST_LARGE;
use super::{Large, Sender};

/// What waits to be written: its pieces in order, none of them empty.
///
/// Small things are together in one piece; data that is large is not copied there, and is a piece of its own.
#[derive(Clone)]
pub struct Pending<'c> {
    /// The rest of what is small.
    small: &'c [u8],
    /// How much of it was before that.
    passed: usize,
    large: vec_deque::Iter<'c, Large>,
    /// What stands behind the small things that were given last.
    next: Option<&'c [u8]>,
}

impl<'c> Pending<'c> {
    #[inline]
    pub(super) fn new(sender: &'c Sender) -> Self {
        Self { small: &sender.small[sender.sent..], passed: sender.sent, large: sender.large.iter(), next: None }
    }

    /// All of it, if that is one piece, as small messages are.
    #[inline]
    pub fn only(&self) -> Option<&'c [u8]> {
        if self.large.len() == 0 && self.next.is_none() {
            return if self.small.is_empty() { None } else { Some(self.small) };
        }
        let mut pieces = self.clone();
        pieces.next().filter(|_| pieces.next().is_none())
    }

    /// How many octets it has.
    pub fn octets(&self) -> usize {
        self.clone().fold(0, |octets, piece| octets.saturating_add(piece.len()))
    }

    /// All of it in one piece, for tests and for those to whom a copy is nothing.
    pub fn concat(self) -> Vec<u8> {
        let mut octets = Vec::with_capacity(self.octets());
        self.for_each(|piece| octets.extend_from_slice(piece));
        octets
    }

    /// Gives what `write` gives for it: an `io::Result`, say, or a `Poll` of one.
    ///
    /// There are 17 slices at most, which are all where nobody gave parts without [room](super::super::Connection::has_room),
    /// and none of them is empty. Where nothing is pending there is none, and a writer answers 0.
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

/// How much it is, and nothing of what it is: it may be secrets.
impl fmt::Debug for Pending<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pending").field("octets", &self.octets()).finish_non_exhaustive()
    }
}

impl<'c> Iterator for Pending<'c> {
    type Item = &'c [u8];

    fn next(&mut self) -> Option<&'c [u8]> {
        if let Some(data) = self.next.take() {
            return Some(data);
        }
        let end = match self.large.next() {
            Some(large) => {
                self.next = Some(&large.data);
                large.behind - self.passed
            }
            None => self.small.len(),
        };
        let (small, rest) = self.small.split_at(end);
        (self.small, self.passed) = (rest, self.passed + end);
        if small.is_empty() { self.next.take() } else { Some(small) }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let large = self.large.len() + usize::from(self.next.is_some());
        (large, Some(2 * large + 1))
    }
}

impl FusedIterator for Pending<'_> {}
