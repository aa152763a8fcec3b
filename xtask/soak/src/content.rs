//! Bodies that either end can make of a number, and the sum that tells whether one has come as it was sent.

use std::fmt;

use bytes::Bytes;
use degu_client::{Chunk, Part, Trailers};
use fastrand::Rng;

/// A sum over bytes, in which it matters where a chunk ends and what its extensions say.
///
/// FNV-1a: every byte changes it, in whatever pieces they come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sum(u64);

impl Sum {
    pub(crate) const EMPTY: Self = Self(0xcbf2_9ce4_8422_2325);

    pub(crate) fn of(bytes: &[u8]) -> Self {
        let mut sum = Self::EMPTY;
        sum.add(bytes);
        sum
    }

    pub(crate) fn add(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    pub(crate) fn add_chunk(&mut self, chunk: &Chunk) {
        self.add(format!("{:x}{}", chunk.data.len(), chunk.extensions).as_bytes());
        self.add(&chunk.data);
    }

    pub(crate) fn add_trailers(&mut self, trailers: &Trailers) {
        for (name, value) in trailers.iter() {
            self.add(name.as_bytes());
            self.add(value);
        }
    }
}

impl fmt::Display for Sum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// The bytes of a number.
pub(crate) fn random(seed: u64, length: usize) -> Bytes {
    let mut bytes = vec![0; length];
    Rng::with_seed(seed).fill(&mut bytes);
    bytes.into()
}

/// The chunks of a number, with extensions, and trailers at the end.
#[derive(Clone, Debug)]
pub(crate) struct Chunks {
    pub(crate) chunks: Vec<Chunk>,
    pub(crate) trailers: Trailers,
}

impl Chunks {
    pub(crate) fn of(seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed);
        let chunks = (0..rng.u32(1..20)).map(|n| {
            let length = if rng.u8(..) < 20 { rng.usize(1..64 * 1024) } else { rng.usize(1..600) };
            let chunk = Chunk::new(random(rng.u64(..), length));
            match rng.u32(..4) {
                0 => chunk,
                1 => chunk.with_flag("last").with_extension("n", n),
                2 => chunk.with_extension("quoted", "a \"word\"; and = more"),
                _ => chunk.with_extension("n", n),
            }
        });
        let chunks: Vec<_> = chunks.collect();
        let mut trailers = Trailers::new();
        for n in 0..rng.u32(..3) {
            // A token and digits can be sent.
            let _ = trailers.append(&format!("x-{n}"), rng.u64(..));
        }
        Self { chunks, trailers }
    }

    /// Returns the parts of a body.
    pub(crate) fn into_parts(self) -> Vec<Part> {
        let chunks = self.chunks.into_iter().map(Part::from);
        let last = (!self.trailers.is_empty()).then(|| Part::from(self.trailers));
        chunks.chain(last).collect()
    }

    pub(crate) fn sum(&self) -> Sum {
        let mut sum = Sum::EMPTY;
        self.chunks.iter().for_each(|chunk| sum.add_chunk(chunk));
        sum.add_trailers(&self.trailers);
        sum
    }

    /// Returns the number of bytes of their data.
    pub(crate) fn length(&self) -> u64 {
        self.chunks.iter().map(|chunk| chunk.data.len() as u64).sum()
    }

    /// The sum of the data alone.
    pub(crate) fn data_sum(&self) -> Sum {
        let mut sum = Sum::EMPTY;
        self.chunks.iter().for_each(|chunk| sum.add(&chunk.data));
        sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sum_knows_bytes_boundaries_and_extensions() {
        let mut pieces = Sum::EMPTY;
        pieces.add(b"ab");
        pieces.add(b"c");
        assert_eq!(pieces, Sum::of(b"abc"));
        assert_ne!(Sum::of(b"abc"), Sum::of(b"abd"));
        let sum = |chunks: &[Chunk]| Chunks { chunks: chunks.to_vec(), trailers: Trailers::new() }.sum();
        let whole = sum(&[Chunk::new("abc")]);
        assert_ne!(whole, sum(&[Chunk::new("ab"), Chunk::new("c")]));
        assert_ne!(whole, sum(&[Chunk::new("abc").with_flag("x")]));
    }

    #[test]
    fn the_same_number_gives_the_same() {
        assert_eq!(random(7, 100), random(7, 100));
        assert_ne!(random(7, 100), random(8, 100));
        assert_eq!(Chunks::of(7).sum(), Chunks::of(7).sum());
        assert_ne!(Chunks::of(7).sum(), Chunks::of(8).sum());
    }
}
