//! Bodies that client and server generate from the same seed.

use degu_client::Chunk;
use degu_simulation::{Dice, Kind, Message};

/// The longest piece of a generated body, in bytes. Most pieces have only a few bytes.
const LONGEST: usize = 64 * 1024;

/// Generates a body of any form from a seed. If `large` is not 0, there is a body, and its last piece has this number
/// of bytes.
pub(crate) fn message(seed: u64, large: usize) -> Message {
    let mut dice = Dice::new(seed);
    let mut message = Message::random(&mut dice, LONGEST);
    if large > 0 {
        if message.kind == Kind::None {
            message.kind = Kind::Bytes;
        }
        message.push(Chunk::new(dice.bytes(large)));
    }
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_body() {
        assert_eq!(message(7, 100).data(), message(7, 100).data());
        assert_ne!(message(7, 100).data(), message(8, 100).data());
    }

    #[test]
    fn a_large_body_has_a_large_piece() {
        for seed in 0..100 {
            let message = message(seed, 1000);
            assert_ne!(message.kind, Kind::None);
            assert!(message.length() >= 1000);
        }
    }
}
