//! Bodies that client and server generate from the same seed, and a checksum over a body.

use std::fmt;

use bytes::Bytes;
use degu_client::{Chunk, ChunkExtensions, Part, Trailers};
use fastrand::Rng;

/// A checksum over the bytes of a body. For a chunked body, it also covers the trailers, and the boundaries and
/// extensions of the chunks.
///
/// The algorithm is FNV-1a. The checksum is the same for any pieces in which the bytes are added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sum(u64);

impl Sum {
    pub(crate) const EMPTY: Self = Self(0xcbf2_9ce4_8422_2325);

    pub(crate) fn of(bytes: &[u8]) -> Self {
        let mut sum = Self::EMPTY;
        sum.add(bytes);
        sum
    }

    pub(crate) fn of_parts(parts: &[Part]) -> Self {
        let mut sum = Self::EMPTY;
        for part in parts {
            match part {
                Part::Chunk { extensions, data, .. } => sum.add_chunk(extensions, data),
                Part::Data(data) => sum.add(data),
                Part::Last { trailers, .. } => sum.add_trailers(trailers),
            }
        }
        sum
    }

    pub(crate) fn add(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    pub(crate) fn add_chunk(&mut self, extensions: &ChunkExtensions, data: &[u8]) {
        self.add(format!("{:x}{extensions}", data.len()).as_bytes());
        self.add(data);
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

/// Generates bytes from a seed.
pub(crate) fn random(seed: u64, length: usize) -> Bytes {
    let mut bytes = vec![0; length];
    Rng::with_seed(seed).fill(&mut bytes);
    bytes.into()
}

/// Generates the parts of a chunked body from a seed: chunks with extensions, and perhaps trailers.
pub(crate) fn chunks(seed: u64) -> Vec<Part> {
    let mut rng = Rng::with_seed(seed);
    let chunks = (0..rng.u32(1..20)).map(|n| {
        let length = if rng.u8(..) < 20 { rng.usize(1..64 * 1024) } else { rng.usize(1..600) };
        let chunk = Chunk::new(random(rng.u64(..), length));
        let chunk = match rng.u32(..4) {
            0 => chunk,
            1 => chunk.with_flag("last").with_extension("n", n),
            2 => chunk.with_extension("quoted", "a \"word\"; and = more"),
            _ => chunk.with_extension("n", n),
        };
        Part::from(chunk)
    });
    let mut parts: Vec<_> = chunks.collect();
    let mut trailers = Trailers::new();
    for n in 0..rng.u32(..3) {
        // It cannot fail: the name is a token, and the value is digits.
        let _ = trailers.append(&format!("x-{n}"), rng.u64(..));
    }
    if !trailers.is_empty() {
        parts.push(trailers.into());
    }
    parts
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
        let sum = |chunks: &[Chunk]| Sum::of_parts(&chunks.iter().cloned().map(Part::from).collect::<Vec<_>>());
        let whole = sum(&[Chunk::new("abc")]);
        assert_ne!(whole, sum(&[Chunk::new("ab"), Chunk::new("c")]));
        assert_ne!(whole, sum(&[Chunk::new("abc").with_flag("x")]));
    }

    #[test]
    fn the_same_number_gives_the_same() {
        assert_eq!(random(7, 100), random(7, 100));
        assert_ne!(random(7, 100), random(8, 100));
        assert_eq!(Sum::of_parts(&chunks(7)), Sum::of_parts(&chunks(7)));
        assert_ne!(Sum::of_parts(&chunks(7)), Sum::of_parts(&chunks(8)));
    }
}
