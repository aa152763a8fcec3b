//! Every range is its own round trip, and means what a slice of the representation would.

use degu_wire::{ByteRange, ContentRange};
use proptest::{collection::vec, prelude::*};

/// Numbers of every magnitude, the ends of the range among them.
fn number() -> impl Strategy<Value = u64> {
    prop_oneof![0..16u64, any::<u64>(), u64::MAX - 2..=u64::MAX]
}

fn byte_range() -> impl Strategy<Value = ByteRange> {
    prop_oneof![
        (number(), number()).prop_filter_map("an empty range", |(a, b)| ByteRange::new(a.min(b), a.max(b)).ok()),
        number().prop_map(ByteRange::starting_at),
        number().prop_map(ByteRange::suffix),
    ]
}

fn content_range() -> impl Strategy<Value = ContentRange> {
    prop_oneof![
        (number(), number(), prop::option::of(number())).prop_filter_map("no such part", |(a, b, total)| {
            ContentRange::new(a.min(b), a.max(b), total.map(|total| total.max(a).max(b))).ok()
        }),
        number().prop_map(ContentRange::unsatisfied),
    ]
}

fn almost() -> impl Strategy<Value = String> {
    let pieces = vec!["bytes", "=", " ", "-", "/", "*", ",", "0", "5", "17", "+", "18446744073709551615"];
    (prop::sample::select(vec!["bytes=", "bytes ", ""]), vec(prop::sample::select(pieces), 0..6))
        .prop_map(|(unit, pieces)| unit.to_owned() + &pieces.concat())
}

proptest! {
    #[test]
    fn byte_ranges_round_trip(range in byte_range()) {
        prop_assert_eq!(range.to_string().parse(), Ok(range));
    }

    #[test]
    fn content_ranges_round_trip(range in content_range()) {
        prop_assert_eq!(range.to_string().parse(), Ok(range));
    }

    #[test]
    fn what_is_read_is_written_back_to_the_same(text in almost()) {
        if let Ok(range) = text.parse::<ByteRange>() {
            prop_assert_eq!(range.to_string().parse(), Ok(range));
        }
        if let Ok(range) = text.parse::<ContentRange>() {
            prop_assert_eq!(range.to_string().parse(), Ok(range));
        }
    }

    #[test]
    fn a_range_takes_the_bytes_that_it_names(start in 0..24u64, len in 1..24u64, total in 0..24u64) {
        let bytes = || 0..total;
        let taken = |range: ByteRange| range.resolve(total).unwrap_or(0..0).collect::<Vec<_>>();
        let part = bytes().filter(|byte| (start..start + len).contains(byte)).collect::<Vec<_>>();
        prop_assert_eq!(taken(ByteRange::new(start, start + len).unwrap()), part);
        prop_assert_eq!(taken(ByteRange::starting_at(start)), bytes().skip(start as usize).collect::<Vec<_>>());
        let suffix = bytes().skip(total.saturating_sub(len) as usize).collect::<Vec<_>>();
        prop_assert_eq!(taken(ByteRange::suffix(len)), suffix);
    }

    #[test]
    fn every_answer_can_be_sent(range in byte_range(), total in number()) {
        let answer = range.content_range(total);
        prop_assert_eq!(answer.range(), range.resolve(total));
        prop_assert_eq!(answer.to_string().parse(), Ok(answer));
    }
}
