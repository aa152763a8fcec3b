//! Finding the octet that ends an element, eight octets at a time.
//!
//! A word is tested with the usual carry tricks: a byte below a bound, or equal to one, sets the top bit of its lane. A
//! borrow can only travel upwards, so the *lowest* lane that is set is exact, and it is the only one that is used.
//! Each scanner has its plain twin in the tests, and proptest compares them.

const ONES: u64 = 0x0101_0101_0101_0101;
const TOPS: u64 = 0x8080_8080_8080_8080;

const fn lanes_below(word: u64, bound: u8) -> u64 {
    word.wrapping_sub(ONES * bound as u64) & !word & TOPS
}

const fn lanes_equal(word: u64, octet: u8) -> u64 {
    lanes_below(word ^ (ONES * octet as u64), 1)
}

/// The eight octets at `at`, if there are so many.
#[inline(always)]
pub(super) fn word_at(input: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(*input.get(at..)?.first_chunk::<8>()?))
}

macro_rules! scanner {
    ($(#[$doc:meta])* $name:ident, $stops:ident, $lanes:expr) => {
        $(#[$doc])*
        #[inline(always)]
        pub(super) fn $name(input: &[u8], mut at: usize) -> usize {
            while let Some(word) = word_at(input, at) {
                let lanes = $lanes(word);
                if lanes != 0 {
                    return at + (lanes.trailing_zeros() / 8) as usize;
                }
                at += 8;
            }
            while let Some(&octet) = input.get(at) {
                if $stops(octet) {
                    break;
                }
                at += 1;
            }
            at
        }
    };
}

const fn stops_value(octet: u8) -> bool {
    octet < 0x20 || octet == 0x7f
}

/// The lanes that hold a control octet or DEL. One more makes DEL the lowest of seven bits, right below the controls.
/// Exact in every lane.
const fn lanes_of_controls(word: u64) -> u64 {
    let next = ((word & !TOPS) + ONES) & !TOPS;
    !((next + ONES * (0x80 - 0x21)) | word) & TOPS
}

/// The first control octet (HTAB included) at or after `at`, or the end of the input.
#[inline(always)]
pub(super) fn value_end(input: &[u8], mut at: usize) -> usize {
    // Most values end in their first words.
    for _ in 0..3 {
        let Some(word) = word_at(input, at) else { return short_value_end(input, at) };
        let lanes = lanes_of_controls(word);
        if lanes != 0 {
            return at + (lanes.trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    // The others, such as cookies, go by blocks, of which compilers make vector instructions where there are any.
    while let Some(block) = input.get(at..).and_then(<[u8]>::first_chunk::<BLOCK>) {
        if block.iter().fold(false, |stop, &octet| stop | stops_value(octet)) {
            break;
        }
        at += BLOCK;
    }
    short_value_end(input, at)
}

const BLOCK: usize = 32;

scanner! {
    /// As [`value_end`], by words.
    short_value_end, stops_value, lanes_of_controls
}

const fn stops_target(octet: u8) -> bool {
    octet <= 0x20 || octet >= 0x7f || octet == b'#'
}

scanner! {
    /// The first octet at or after `at` that may not be in a request target, or the end of the input.
    target_end, stops_target, |word| lanes_below(word, 0x21) | lanes_equal(word, 0x7f) | lanes_equal(word, b'#') | word & TOPS
}

/// Which octets make a token (RFC 9110 §5.6.2).
static TOKEN: [bool; 256] = {
    let mut table = [false; 256];
    let mut octet = 0;
    while octet < 256 {
        table[octet] = is_token_octet(octet as u8);
        octet += 1;
    }
    table
};

const fn is_token_octet(octet: u8) -> bool {
    matches!(octet,
        b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+' | b'-' | b'.' | b'^' | b'_' | b'`' | b'|' | b'~'
        | b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z')
}

/// The lanes that hold no letter, hyphen or dot, which is what most names and hosts are made of. Exact in every lane: the
/// sums stay within seven bits and their carry.
const fn lanes_not_of_a_name(word: u64) -> u64 {
    let seven = word & !TOPS;
    let lower = seven | (ONES * 0x20);
    let letter = (lower + ONES * (0x80 - b'a' as u64)) & !(lower + ONES * (0x80 - b'z' as u64 - 1));
    let hyphen_or_dot = (seven + ONES * (0x80 - b'-' as u64)) & !(seven + ONES * (0x80 - b'.' as u64 - 1));
    (word | !(letter | hyphen_or_dot)) & TOPS
}

/// Skips letters, hyphens and dots, up to the last whole word: an offset at or before the first other octet.
#[inline(always)]
pub(super) fn word_end(input: &[u8], mut at: usize) -> usize {
    while let Some(word) = word_at(input, at) {
        let lanes = lanes_not_of_a_name(word);
        if lanes != 0 {
            return at + (lanes.trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    at
}

/// The first octet at or after `at` that is not of a token, or the end of the input.
#[inline(always)]
pub(super) fn token_end(input: &[u8], at: usize) -> usize {
    let mut at = word_end(input, at);
    while let Some(&octet) = input.get(at) {
        if !TOKEN[octet as usize] {
            break;
        }
        at += 1;
    }
    at
}

/// Whether all of it is a token.
pub(crate) fn is_token(text: &[u8]) -> bool {
    !text.is_empty() && token_end(text, 0) == text.len()
}

/// Whether a field value may be sent: visible octets, with spaces and tabs only inside (RFC 9110 §5.5).
pub(crate) fn is_field_value(value: &[u8]) -> bool {
    let blank = |octet: Option<&u8>| matches!(octet, Some(b' ' | b'\t'));
    !blank(value.first()) && !blank(value.last()) && is_text(value)
}

/// Whether all octets are visible, obs-text, spaces or tabs: what a reason phrase and the inside of a value are made of.
pub(crate) fn is_text(text: &[u8]) -> bool {
    let mut at = 0;
    loop {
        at = value_end(text, at);
        match text.get(at) {
            None => return true,
            Some(b'\t') => at += 1,
            Some(_) => return false,
        }
    }
}

/// Whether a request target has only visible ASCII and no fragment.
pub(crate) fn is_target_text(target: &[u8]) -> bool {
    !target.is_empty() && target_end(target, 0) == target.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::vec::Vec;

    fn octets() -> impl Strategy<Value = Vec<u8>> {
        prop::collection::vec(
            prop_oneof![8 => 0x20u8..0x7f, 1 => any::<u8>(), 1 => prop::sample::select(&b"\r\n\t#\x7f\x80 "[..])],
            0..40,
        )
    }

    fn plain(input: &[u8], at: usize, stops: impl Fn(u8) -> bool) -> usize {
        input.iter().skip(at).position(|&octet| stops(octet)).map_or(input.len().max(at), |found| at + found)
    }

    proptest! {
        #[test]
        fn scanners_equal_their_plain_twins(input in octets(), at in 0usize..12) {
            let at = at.min(input.len());
            prop_assert_eq!(value_end(&input, at), plain(&input, at, |o| (o < 0x20) || o == 0x7f));
            prop_assert_eq!(target_end(&input, at), plain(&input, at, |o| !(0x21..0x7f).contains(&o) || o == b'#'));
            prop_assert_eq!(token_end(&input, at), plain(&input, at, |o| !is_token_octet(o)));
        }
    }

    #[test]
    fn every_octet_in_every_lane() {
        for octet in 0..=255u8 {
            for lane in 0..9 {
                let mut input = [b'a'; 17];
                input[lane] = octet;
                assert_eq!(value_end(&input, 0), plain(&input, 0, stops_value), "{octet} in {lane}");
                assert_eq!(target_end(&input, 0), plain(&input, 0, stops_target), "{octet} in {lane}");
                assert_eq!(token_end(&input, 0), plain(&input, 0, |o| !is_token_octet(o)), "{octet} in {lane}");
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
