//! The random choices of a run. The seed of the run determines them.

use bytes::Bytes;

/// The source of all random choices of a run.
#[derive(Clone, Debug)]
pub struct Dice(fastrand::Rng);

impl Dice {
    /// Returns a source that makes the same choices for the same seed.
    pub fn new(seed: u64) -> Self {
        // The product makes the sequences of neighbouring seeds unrelated.
        Self(fastrand::Rng::with_seed(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x6465_6775))
    }

    /// Returns an independent source for a part of the run.
    #[must_use]
    pub fn fork(&mut self) -> Self {
        Self(self.0.fork())
    }

    /// Returns a number below `bound`.
    ///
    /// # Panics
    ///
    /// `bound` is 0.
    pub fn below(&mut self, bound: usize) -> usize {
        self.0.usize(..bound)
    }

    /// Returns true with a probability of 1/`cases`.
    ///
    /// # Panics
    ///
    /// `cases` is 0.
    pub fn one_in(&mut self, cases: usize) -> bool {
        self.below(cases) == 0
    }

    /// Chooses an element.
    ///
    /// # Panics
    ///
    /// `choices` is empty.
    pub fn pick<'c, T>(&mut self, choices: &'c [T]) -> &'c T {
        &choices[self.below(choices.len())]
    }

    /// Returns the numbers below `bound` in turn, beginning with a random one.
    ///
    /// # Panics
    ///
    /// `bound` is 0.
    pub fn turns(&mut self, bound: usize) -> impl Iterator<Item = usize> + use<> {
        let first = self.below(bound);
        (first..bound).chain(0..first)
    }

    /// Returns a number from 1 to `whole`: often `whole`, often a small one. Returns 0 if `whole` is 0.
    pub fn portion(&mut self, whole: usize) -> usize {
        match self.below(4) {
            _ if whole == 0 => 0,
            0 => whole,
            1 => 1 + self.below(whole.min(4)),
            2 => 1 + self.below(whole.min(100)),
            _ => 1 + self.below(whole),
        }
    }

    /// Returns a length from 0 to `most`. Most lengths are at most 60.
    pub fn length(&mut self, most: usize) -> usize {
        match self.below(20) {
            0 => self.below(most + 1),
            1..4 => self.below(most.min(5_000) + 1),
            _ => self.below(most.min(60) + 1),
        }
    }

    /// Returns this number of random bytes.
    pub fn bytes(&mut self, length: usize) -> Bytes {
        let mut bytes = vec![0; length];
        self.0.fill(&mut bytes);
        bytes.into()
    }

    /// Returns one to six lower-case letters.
    pub fn word(&mut self) -> String {
        (0..1 + self.below(6)).map(|_| self.0.lowercase()).collect()
    }

    /// Returns the state of the source. Two runs have the same state only if they have made the same choices, so tests use it to
    /// show that a seed determines a run.
    pub fn digest(&self) -> u64 {
        self.0.get_seed()
    }
}
