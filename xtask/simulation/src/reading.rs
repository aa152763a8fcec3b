//! The ways to read a body, in random order, with futures that are dropped.

use crate::{Dice, Gates, Message, Seen, patiently};

/// The way in which a body is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    /// Reads the whole body at once.
    All,
    /// Reads the whole body at once, with a limit that is too small.
    TooMuch,
    /// Reads data.
    Data,
    /// Reads chunks.
    Chunks,
    /// Reads parts.
    Parts,
    /// Reads in the way that only this driver has: the client reads bytes through a reader, and the server reads ahead.
    Own,
    /// Reads data, chunks, parts and in the driver's own way, in random order.
    Mixed,
    /// Reads some parts, and leaves the rest.
    Some,
    /// Reads nothing.
    Never,
}

impl Reading {
    /// Returns a random way to read.
    pub fn random(dice: &mut Dice) -> Self {
        *dice.pick(&[
            Self::All,
            Self::TooMuch,
            Self::Data,
            Self::Chunks,
            Self::Parts,
            Self::Own,
            Self::Mixed,
            Self::Mixed,
            Self::Some,
            Self::Never,
        ])
    }

    /// Returns whether this way keeps the boundaries of chunks.
    pub const fn keeps_chunks(self) -> bool {
        matches!(self, Self::Chunks | Self::Parts | Self::Some)
    }

    /// Reads and records the body that was sent. Returns whether the end has been read.
    ///
    /// `next` reads the next piece in the given way, which is never `Mixed`. The number that `next` gets is the limit
    /// for a whole body, and otherwise a number of bytes. `next` returns true for a piece, and false at the end. If
    /// `drops` is true, some futures of `next` are dropped.
    ///
    /// # Errors
    ///
    /// The error of `next`.
    pub async fn read<E>(
        self,
        sent: &Message,
        seen: &mut Seen,
        drops: bool,
        (dice, gates): (&mut Dice, &Gates),
        mut next: impl AsyncFnMut(Self, usize, &mut Seen) -> Result<bool, E>,
    ) -> Result<bool, E> {
        let whole = usize::try_from(sent.length()).unwrap_or(usize::MAX);
        let mut left = match self {
            Self::Never => 0,
            Self::Some => dice.below(3),
            _ => usize::MAX,
        };
        while left > 0 {
            left -= 1;
            let polls = if drops && dice.one_in(2) { dice.below(3) } else { usize::MAX };
            let how = match self {
                Self::Mixed => *dice.pick(&[Self::Data, Self::Chunks, Self::Parts, Self::Own]),
                how => how,
            };
            let most = match how {
                Self::All => whole,
                Self::TooMuch => whole.saturating_sub(1 + dice.below(50)),
                _ => 1 + dice.length(10_000),
            };
            match patiently(polls, dice.one_in(2), next(how, most, seen)).await.transpose() {
                Ok(Some(true)) => {}
                Ok(Some(false)) => return Ok(true),
                // The data of a whole body is lost with the future.
                Ok(None) if matches!(how, Self::All | Self::TooMuch) => return Ok(false),
                // The next attempt follows at once, or after a pause.
                Ok(None) if dice.one_in(2) => gates.pause().await,
                Ok(None) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(false)
    }
}
