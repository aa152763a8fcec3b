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
    /// Reads in the way that only this driver has.
    Own,
    /// Reads in random order in all ways that yield pieces.
    Mixed,
    /// Reads some parts, and leaves the rest.
    Some,
    /// Reads nothing.
    Never,
}

/// A way to read the next piece of a body.
#[derive(Clone, Copy, Debug)]
pub enum How {
    /// Reads the whole body, with this limit.
    All(usize),
    /// Reads the next data.
    Data,
    /// Reads the next chunk.
    Chunk,
    /// Reads the next part.
    Part,
    /// The way that only this driver has: the client reads up to this number of bytes through a reader, and the server
    /// reads this number of bytes ahead.
    Own(usize),
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

    /// Returns the way to read the next piece of the body that was sent.
    fn next(self, sent: &Message, dice: &mut Dice) -> How {
        let whole = usize::try_from(sent.length()).unwrap_or(usize::MAX);
        match self {
            Self::All => How::All(whole),
            Self::TooMuch => How::All(whole.saturating_sub(1 + dice.below(50))),
            Self::Data => How::Data,
            Self::Chunks => How::Chunk,
            Self::Own => How::Own(1 + dice.length(10_000)),
            Self::Mixed => [How::Data, How::Chunk, How::Part, How::Own(1 + dice.below(100))][dice.below(4)],
            Self::Parts | Self::Some | Self::Never => How::Part,
        }
    }

    /// Reads the body that was sent, and records it. `next` reads the next piece, and returns whether there was a piece,
    /// and not the end. Some of its futures are dropped if `drops` is true. Returns whether the end has been read.
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
        mut next: impl AsyncFnMut(How, &mut Seen) -> Result<bool, E>,
    ) -> Result<bool, E> {
        let mut left = match self {
            Self::Never => 0,
            Self::Some => dice.below(3),
            _ => usize::MAX,
        };
        while left > 0 {
            left -= 1;
            let polls = if drops && dice.one_in(2) { dice.below(3) } else { usize::MAX };
            let (late, how) = (dice.one_in(2), self.next(sent, dice));
            match patiently(polls, late, next(how, seen)).await.transpose() {
                Ok(Some(true)) => {}
                Ok(Some(false)) => return Ok(true),
                // The data of a whole body is lost with the future.
                Ok(None) if matches!(how, How::All(_)) => return Ok(false),
                // The next attempt follows at once, or after a pause.
                Ok(None) if dice.one_in(2) => gates.pause().await,
                Ok(None) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(false)
    }
}
