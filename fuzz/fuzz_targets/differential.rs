//! Degu's parsers and httparse. httparse accepts all input that Degu accepts. Both parse the same method, target,
//! fields, status, reason and chunk size.
//!
//! There are two exceptions:
//!
//! - Degu parses HTTP/1.2 to 1.9 as 1.1 (RFC 9110 §2.5). httparse rejects these versions.
//! - For a reason phrase with obs-text, httparse returns an empty phrase.

#![no_main]

use degu_fuzz::{FIELDS, WIDE, compare_request, compare_response};
use degu_wire::Limits;
use degu_wire::chunk::{Decoder, Event};
use degu_wire::head::{FieldSpan, parse_request, parse_response};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let limits = Limits { allow_http10: true, allow_missing_host: true, max_leading_lines: 64, ..WIDE };
    let mut slots = [FieldSpan::EMPTY; FIELDS];
    if let Ok(Some(head)) = parse_request(input, &mut slots, &limits) {
        compare_request(&head, input);
    }
    // Degu unfolds lines in place. httparse gets the unfolded head.
    let mut wire = input.to_vec();
    let _ = parse_response(&mut wire, &mut slots, &limits);
    if let Ok(Some(head)) = parse_response(&mut wire.clone(), &mut slots, &limits) {
        compare_response(&head, &wire);
    }
    if let Ok(step) = Decoder::new(&limits).decode(input)
        && let Some(Event::Chunk { size, .. }) = step.event
    {
        assert_eq!(httparse::parse_chunk_size(input), Ok(httparse::Status::Complete((step.consumed, size))));
    }
});
