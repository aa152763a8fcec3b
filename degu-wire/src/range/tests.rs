use std::string::ToString;

use super::{ByteRange, ContentRange, RangeError};

const MAX: u64 = u64::MAX;

#[test]
fn canonical_text_is_its_own_round_trip() {
    for text in ["bytes=0-0", "bytes=0-499", "bytes=9500-", "bytes=-500", "bytes=-0", "bytes=0-18446744073709551614"] {
        assert_eq!(text.parse::<ByteRange>().unwrap().to_string(), text);
    }
    for text in ["bytes 0-0/1", "bytes 0-499/1234", "bytes 0-499/*", "bytes */1234", "bytes */0"] {
        assert_eq!(text.parse::<ContentRange>().unwrap().to_string(), text);
    }
}

#[test]
fn text_is_inclusive_and_values_are_half_open() {
    let range: ByteRange = "Bytes=0-499".parse().unwrap();
    assert_eq!((range.start(), range.stop(), range.suffix_len()), (Some(0), Some(500), None));
    let range: ByteRange = "bytes=0007-".parse().unwrap();
    assert_eq!((range.start(), range.stop(), range.suffix_len()), (Some(7), None, None));
    let range: ByteRange = "bytes=-5".parse().unwrap();
    assert_eq!((range.start(), range.stop(), range.suffix_len()), (None, None, Some(5)));

    let range: ContentRange = "BYTES 5-9/10".parse().unwrap();
    assert_eq!((range.range(), range.total(), range.content_length()), (Some(5..10), Some(10), Some(5)));
    let range = ContentRange::unsatisfied(10);
    assert_eq!((range.range(), range.total(), range.content_length()), (None, Some(10), None));
}

#[test]
fn ranges_of_other_shapes_are_refused() {
    use RangeError::*;
    for (text, error) in [
        ("", Syntax),
        ("bytes", Syntax),
        ("bytes=", Syntax),
        ("bytes=-", Syntax),
        ("bytes=5", Syntax),
        ("bytes=+0-5", Syntax),
        ("bytes=0-+5", Syntax),
        ("bytes=--5", Syntax),
        ("bytes=0-5-", Syntax),
        ("bytes= 0-5", Syntax),
        ("bytes=0-5 ", Syntax),
        ("bytes=0 -5", Syntax),
        ("bytes=0x0-5", Syntax),
        ("bytes =0-5", Unit),
        (" bytes=0-5", Unit),
        ("items=0-5", Unit),
        ("=0-5", Unit),
        ("bytes 0-5", Syntax),
        ("bytes=0-5,7-9", Several),
        ("bytes=0-5,", Several),
        ("bytes=5-4", Empty),
        ("bytes=0-18446744073709551615", Overflow),
        ("bytes=18446744073709551616-", Overflow),
        ("bytes=-99999999999999999999", Overflow),
    ] {
        assert_eq!(text.parse::<ByteRange>(), Err(error), "{text}");
    }
    for (text, error) in [
        ("", Syntax),
        ("bytes 0-499", Syntax),
        ("bytes 0-499/", Syntax),
        ("bytes 0-/5", Syntax),
        ("bytes -5/5", Syntax),
        ("bytes */*", Syntax),
        ("bytes /5", Syntax),
        ("bytes  0-4/5", Syntax),
        ("bytes 0-4/5 ", Syntax),
        ("bytes 0-4/+5", Syntax),
        ("bytes=0-4/5", Syntax),
        ("items 0-4/5", Unit),
        ("bytes 4-3/5", Empty),
        ("bytes 0-5/5", BeyondTotal),
        ("bytes 0-18446744073709551615/*", Overflow),
        ("bytes 0-0/18446744073709551616", Overflow),
    ] {
        assert_eq!(text.parse::<ContentRange>(), Err(error), "{text}");
    }
    assert_eq!(ByteRange::parse(b"bytes=\xFF-"), Err(Syntax));
}

#[test]
fn constructors_keep_the_invariants() {
    assert_eq!(ByteRange::new(5, 5), Err(RangeError::Empty));
    assert_eq!(ByteRange::new(6, 5), Err(RangeError::Empty));
    assert_eq!(ContentRange::new(5, 5, None), Err(RangeError::Empty));
    assert_eq!(ContentRange::new(0, 6, Some(5)), Err(RangeError::BeyondTotal));
    assert!(ContentRange::new(0, 5, Some(5)).is_ok());
}

#[test]
fn a_range_resolves_to_what_is_there() {
    let range = |start, stop| ByteRange::new(start, stop).unwrap();
    for (range, total, expected) in [
        (range(0, 5), 10, Some(0..5)),
        (range(5, 20), 10, Some(5..10)),
        (range(9, 10), 10, Some(9..10)),
        (range(10, 11), 10, None),
        (range(0, 1), 0, None),
        (range(0, MAX), MAX, Some(0..MAX)),
        (ByteRange::starting_at(9), 10, Some(9..10)),
        (ByteRange::starting_at(10), 10, None),
        (ByteRange::starting_at(0), 0, None),
        (ByteRange::suffix(3), 10, Some(7..10)),
        (ByteRange::suffix(30), 10, Some(0..10)),
        (ByteRange::suffix(0), 10, None),
        (ByteRange::suffix(1), 0, None),
    ] {
        assert_eq!(range.resolve(total), expected, "{range} of {total}");
        let answer = range.content_range(total);
        assert_eq!((answer.range(), answer.total()), (expected, Some(total)));
    }
}
