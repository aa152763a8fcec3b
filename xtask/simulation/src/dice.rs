//! Chance, decided by a seed.

use bytes::Bytes;

/// The source of all chance in a run.
#[derive(Clone, Debug)]
pub struct Dice(fastrand::Rng);

impl Dice {
    /// The same seed gives the same numbers.
    pub fn new(seed: u64) -> Self {
        // Neighbouring seeds are to have nothing in common.
        Self(fastrand::Rng::with_seed(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x6465_6775))
    }

    /// Dice of their own for a part of the run.
    #[must_use]
    pub fn fork(&mut self) -> Self {
        Self(self.0.fork())
    }

    /// A number from 0, less than `bound`, which is not 0.
    pub fn below(&mut self, bound: usize) -> usize {
        self.0.usize(..bound)
    }

    /// True in one case of so many.
    pub fn one_in(&mut self, cases: usize) -> bool {
        self.below(cases) == 0
    }

    /// One of several.
    ///
    /// # Panics
    ///
    /// There is none.
    pub fn pick<'c, T>(&mut self, choices: &'c [T]) -> &'c T {
        &choices[self.below(choices.len())]
    }

    /// At least one of so many, often all, often few. None of none.
    pub fn portion(&mut self, whole: usize) -> usize {
        match self.below(4) {
            _ if whole == 0 => 0,
            0 => whole,
            1 => 1 + self.below(whole.min(4)),
            2 => 1 + self.below(whole.min(100)),
            _ => 1 + self.below(whole),
        }
    }

    /// A length: mostly small, rarely up to `most`.
    pub fn length(&mut self, most: usize) -> usize {
        match self.below(20) {
            0 => self.below(most + 1),
            1..4 => self.below(most.min(5_000) + 1),
            _ => self.below(most.min(60) + 1),
        }
    }

    /// So many bytes of every kind.
    pub fn bytes(&mut self, length: usize) -> Bytes {
        let mut bytes = vec![0; length];
        self.0.fill(&mut bytes);
        bytes.into()
    }

    /// A token of letters.
    pub fn word(&mut self) -> String {
        (0..1 + self.below(6)).map(|_| self.0.lowercase()).collect()
    }

    /// A number that is equal in two runs only if they have drawn the same numbers. It shows that a seed determines a
    /// run.
    pub fn digest(&self) -> u64 {
        self.0.get_seed()
    }
}
