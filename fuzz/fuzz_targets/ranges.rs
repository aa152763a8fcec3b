//! Ranges. Each parsed range is written back to the same text, and lies within the representation.

#![no_main]

use degu_wire::{ByteRange, ContentRange};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    if let Ok(range) = ByteRange::parse(input) {
        assert_eq!(range.to_string().parse(), Ok(range));
        for total in [0, 1, 500, u64::MAX] {
            let taken = range.resolve(total);
            assert!(taken.as_ref().is_none_or(|taken| taken.start < taken.end && taken.end <= total));
            let answer = range.content_range(total);
            assert_eq!((answer.range(), answer.to_string().parse()), (taken, Ok(answer)));
        }
    }
    if let Ok(range) = ContentRange::parse(input) {
        assert_eq!(range.to_string().parse(), Ok(range));
        assert!(range.range().is_none_or(|part| part.start < part.end));
    }
});
