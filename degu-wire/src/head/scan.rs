//! Scanners that skip to the byte that ends an element, eight or sixteen bytes at a time.
//!
//! A scanner takes a slice of the input, and returns the rest of the slice from the byte that ends the element. The
//! slices only shrink, so one comparison for each step keeps the scanner inside the input.
//!
//! A word is eight bytes in one integer. Each byte of a word is a lane. Arithmetic on the whole word sets the top bit
//! of each lane whose byte is below a bound, or equals a given byte. A borrow or carry may set further bits, but only
//! in higher lanes. So the *lowest* lane that is set is always right, and only this lane is used. The tests compare
//! each scanner with a simple version.

use crate::abnf;

const ONES: u64 = 0x0101_0101_0101_0101;
const TOPS: u64 = 0x8080_8080_8080_8080;

/// True if words of eight bytes are scanned. If a register is smaller than a word, words save no time, and the code
/// would take 2 KiB of a microcontroller's flash.
pub(super) const WORDS: bool = cfg!(target_pointer_width = "64");

const fn lanes_below(word: u64, bound: u8) -> u64 {
    word.wrapping_sub(ONES * bound as u64) & !word & TOPS
}

const fn lanes_equal(word: u64, byte: u8) -> u64 {
    lanes_below(word ^ (ONES * byte as u64), 1)
}

/// Returns the first eight bytes, if there are eight.
#[inline(always)]
fn first_word(input: &[u8]) -> Option<u64> {
    Some(u64::from_le_bytes(*input.first_chunk::<8>()?))
}

/// Returns the number of bytes before the lowest lane that is set: at most seven.
#[inline(always)]
const fn bytes_before(lanes: u64) -> usize {
    (lanes.trailing_zeros() / 8) as usize & 7
}

/// Returns true if `lanes` sets no lane in any word of the text. The result false decides nothing: it may also mean
/// that the text has fewer than eight bytes, or that words are not used on this machine.
#[inline(always)]
fn is_clear(text: &[u8], lanes: impl Fn(u64) -> u64) -> bool {
    let is_clear = |word: &[u8; 8]| lanes(u64::from_le_bytes(*word)) == 0;
    // The last word overlaps the word before it.
    WORDS && text.last_chunk().is_some_and(is_clear) && text.as_chunks().0.iter().all(is_clear)
}

macro_rules! scanner {
    ($(#[$doc:meta])* $name:ident, $stops:ident, $lanes:expr) => {
        $(#[$doc])*
        #[inline(always)]
        pub(super) fn $name(mut input: &[u8]) -> &[u8] {
            // Many elements are short, such as a number or a reason phrase. This test saves 34 of 564 instructions for
            // the head of a response with one field.
            if WORDS && let Some(word) = first_word(input) {
                let lanes = $lanes(word);
                if lanes != 0 {
                    return &input[bytes_before(lanes)..];
                }
                input = &input[8..];
            }
            // The compiler tests a whole block with vector instructions, which do not tell the place of the byte that
            // ends the element. The next loops find this place. Parsing a browser's head of 700 bytes takes 3,200
            // instructions with this loop, and 3,700 without it.
            while WORDS && let Some((block, after)) = input.split_first_chunk::<16>() {
                if block.iter().fold(false, |stop, &byte| stop | $stops(byte)) {
                    break;
                }
                input = after;
            }
            while WORDS && let Some(word) = first_word(input) {
                let lanes = $lanes(word);
                if lanes != 0 {
                    return &input[bytes_before(lanes)..];
                }
                input = &input[8..];
            }
            while let [byte, after @ ..] = input
                && !$stops(*byte)
            {
                input = after;
            }
            input
        }
    };
}

const fn stops_value(byte: u8) -> bool {
    byte < 0x20 || byte == 0x7f
}

scanner! {
    /// Skips to the first control byte (HTAB included), or to the end of the input.
    skip_text, stops_value, |word| lanes_below(word, 0x20) | lanes_equal(word, 0x7f)
}

const fn stops_target(byte: u8) -> bool {
    byte <= 0x20 || byte >= 0x7f || byte == b'#'
}

scanner! {
    /// Skips to the first byte that may not be in the path of a request target, or to the end of the input.
    skip_path, stops_path, |word| target_lanes(word) | lanes_equal(word, b'?')
}

const fn stops_path(byte: u8) -> bool {
    stops_target(byte) || byte == b'?'
}

scanner! {
    /// Skips to the first byte that may not be in a request target, or to the end of the input.
    skip_target, stops_target, target_lanes
}

const fn target_lanes(word: u64) -> u64 {
    // Adding one sets the top bit of the lane of 0x7f. Only the byte 0xff causes a carry, and 0xff ends a target too.
    lanes_below(word, 0x21) | lanes_equal(word, b'#') | (word.wrapping_add(ONES) | word) & TOPS
}

/// Returns the lanes that hold neither a letter nor a hyphen. Most names consist of letters and hyphens.
const fn lanes_not_of_a_name(word: u64) -> u64 {
    let lower = word | (ONES * 0x20);
    let no_letter = !lower.wrapping_add(ONES * (0x80 - b'a' as u64)) | lower.wrapping_add(ONES * (0x7f - b'z' as u64));
    let no_hyphen = (word ^ (ONES * b'-' as u64)).wrapping_add(!TOPS);
    (no_letter & no_hyphen | word) & TOPS
}

/// Skips to the first byte that may not be in a token, or to the end of the input. Scanning whole words first saves 120
/// of the 1,700 instructions for a head of five lines.
#[inline(always)]
pub(super) fn skip_token(mut input: &[u8]) -> &[u8] {
    while WORDS && let Some(word) = first_word(input) {
        let lanes = lanes_not_of_a_name(word);
        if lanes != 0 {
            input = &input[bytes_before(lanes)..];
            break;
        }
        input = &input[8..];
    }
    // A colon ends most names, and a space ends a method, so this test saves a look-up in the table.
    if let [b':' | b' ', ..] = input {
        return input;
    }
    while let [byte, after @ ..] = input
        && abnf::is_token(*byte)
    {
        input = after;
    }
    input
}

/// Returns whether the whole text is a token.
pub(crate) fn is_token(text: &[u8]) -> bool {
    !text.is_empty() && skip_token(text).is_empty()
}

/// Returns whether a field value may be sent: visible bytes, and spaces and tabs that are neither the first nor the
/// last byte (RFC 9110 §5.5).
pub(crate) fn is_field_value(value: &[u8]) -> bool {
    let blank = |byte: Option<&u8>| matches!(byte, Some(b' ' | b'\t'));
    !blank(value.first()) && !blank(value.last()) && is_text(value)
}

/// Returns whether all bytes are visible, obs-text, spaces or tabs. Only these may be in a reason phrase and in a field
/// value.
pub(crate) fn is_text(mut text: &[u8]) -> bool {
    loop {
        match skip_text(text) {
            [] => return true,
            [b'\t', after @ ..] => text = after,
            _ => return false,
        }
    }
}

/// Parses the last `len` bytes of the text, as [`abnf::decimal`] does. Up to eight digits are read as one word, because
/// a processor would often mispredict the end of a loop over the digits.
#[inline(always)]
pub(super) fn last_decimal(text: &[u8], len: usize) -> Option<u64> {
    let Some(word) = text.last_chunk::<8>().filter(|_| WORDS && matches!(len, 1..=8)) else {
        return abnf::decimal(&text[text.len() - len..]);
    };
    // The bytes before the number become zeros, as if the number had leading zeros.
    let before = 64 - 8 * len;
    let digits = (u64::from_le_bytes(*word) ^ (ONES * b'0' as u64)) >> before << before;
    if (digits | digits.wrapping_add(ONES * (0x80 - 10))) & TOPS != 0 {
        return None;
    }
    // Each step joins neighbours: digits to pairs, pairs to fours, fours to the number.
    let pairs = (digits * 10 + (digits >> 8)) & 0x00ff_00ff_00ff_00ff;
    let fours = (pairs * 100 + (pairs >> 16)) & 0x0000_ffff_0000_ffff;
    Some((fours * 10_000 + (fours >> 32)) & 0xffff_ffff)
}

/// Returns whether a request target has only visible ASCII and no fragment.
pub(crate) fn is_target_text(target: &[u8]) -> bool {
    is_clear(target, target_lanes) || !target.is_empty() && skip_target(target).is_empty()
}

/// Returns true for a text of at least eight bytes that are all letters or hyphens. After false, the caller checks each
/// byte.
pub(super) fn is_name(text: &[u8]) -> bool {
    is_clear(text, lanes_not_of_a_name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::vec::Vec;

    fn bytes() -> impl Strategy<Value = Vec<u8>> {
        prop::collection::vec(
            prop_oneof![8 => 0x20u8..0x7f, 1 => any::<u8>(), 1 => prop::sample::select(&b"\r\n\t#\x7f\x80 "[..])],
            0..40,
        )
    }

    fn plain(input: &[u8], stops: impl Fn(u8) -> bool) -> &[u8] {
        &input[input.iter().position(|&byte| stops(byte)).unwrap_or(input.len())..]
    }

    proptest! {
        #[test]
        fn scanners_equal_their_plain_twins(input in bytes()) {
            prop_assert_eq!(skip_text(&input), plain(&input, |o| (o < 0x20) || o == 0x7f));
            prop_assert_eq!(skip_path(&input), plain(&input, |o| !(0x21..0x7f).contains(&o) || b"#?".contains(&o)));
            prop_assert_eq!(skip_target(&input), plain(&input, |o| !(0x21..0x7f).contains(&o) || o == b'#'));
            prop_assert_eq!(skip_token(&input), plain(&input, |o| !abnf::is_token(o)));
        }

        #[test]
        fn the_last_number_equals_its_plain_twin(before in bytes(), number in "[0-9]{0,22}|[0-9:/ ]{0,9}", odd in any::<u8>()) {
            for number in [number.as_bytes(), &[number.as_bytes(), &[odd]].concat()] {
                let text = [&before, number].concat();
                prop_assert_eq!(last_decimal(&text, number.len()), abnf::decimal(number), "{:?}", number);
            }
        }
    }

    #[test]
    fn a_word_of_a_name_is_told_from_any_other() {
        for (byte, lane) in (0..=255u8).flat_map(|byte| (0..8).map(move |lane| (byte, lane))) {
            for other in *b"azmAZM-" {
                let mut word = [other; 8];
                word[lane] = byte;
                let lanes = lanes_not_of_a_name(u64::from_le_bytes(word));
                let found = (lanes != 0).then(|| bytes_before(lanes));
                let is_of_a_name = byte.is_ascii_alphabetic() || byte == b'-';
                assert_eq!(found, (!is_of_a_name).then_some(lane), "{byte} in {lane} among {other}");
            }
        }
    }

    #[test]
    fn every_byte_in_every_lane() {
        // The input has a word of 8 bytes, a block of 16 bytes, a word, and 2 more bytes.
        for (byte, lane) in (0..=255u8).flat_map(|byte| (0..34).map(move |lane| (byte, lane))) {
            let mut input = [b'a'; 34];
            input[lane] = byte;
            for input in [&input[..], &input[..lane + 1], &input[lane..], &input[..15.max(lane + 1)]] {
                assert_eq!(skip_text(input), plain(input, stops_value), "{byte} in {lane}");
                assert_eq!(skip_path(input), plain(input, stops_path), "{byte} in {lane}");
                assert_eq!(skip_target(input), plain(input, stops_target), "{byte} in {lane}");
                assert_eq!(skip_token(input), plain(input, |o| !abnf::is_token(o)), "{byte} in {lane}");
            }
        }
    }

    #[test]
    fn values_that_may_be_sent() {
        assert!(is_field_value(b""));
        assert!(is_field_value(b"a b\tc\xff"));
        for bad in [&b" a"[..], b"a ", b"\ta", b"a\t", b"a\r\nb: c", b"a\0", b"\x7f"] {
            assert!(!is_field_value(bad), "{bad:?}");
        }
    }
}
