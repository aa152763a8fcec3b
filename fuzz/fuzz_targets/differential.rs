//! Degu's parsers and httparse. httparse accepts all input that Degu accepts. Both parse the same method, target,
//! fields, status, reason and chunk size.
//!
//! There are two exceptions:
//!
//! - Degu parses HTTP/1.2 to 1.9 as 1.1 (RFC 9110 §2.5). httparse rejects these versions.
//! - For a reason phrase with obs-text, httparse returns an empty phrase.

#![no_main]

use degu_fuzz::{FIELDS, WIDE};
use degu_wire::Limits;
use degu_wire::chunk::{Decoder, Event};
use degu_wire::head::{FieldSpan, Fields, parse_request, parse_response};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let limits = Limits { allow_http10: true, allow_missing_host: true, max_leading_lines: 64, ..WIDE };
    let mut slots = [FieldSpan::EMPTY; FIELDS];
    let mut fields = [httparse::EMPTY_HEADER; FIELDS];
    if let Ok(Some(head)) = parse_request(input, &mut slots, &limits) {
        let mut other = httparse::Request::new(&mut fields);
        let parsed = other.parse(input);
        if !(parsed == Err(httparse::Error::Version) && is_later(input)) {
            assert_eq!(parsed, Ok(httparse::Status::Complete(head.head_len())));
            assert_eq!((other.method, other.path), (Some(head.method().as_str()), Some(head.target())));
            assert_eq!(other.version, Some(u8::from(!head.is_http10())));
            same(head.fields(), other.headers);
        }
    }
    let mut fields = [httparse::EMPTY_HEADER; FIELDS];
    // Degu unfolds lines in place. httparse gets the unfolded head.
    let mut wire = input.to_vec();
    let _ = parse_response(&mut wire, &mut slots, &limits);
    if let Ok(Some(head)) = parse_response(&mut wire.clone(), &mut slots, &limits) {
        let mut other = httparse::Response::new(&mut fields);
        let parsed = other.parse(&wire);
        if !(parsed == Err(httparse::Error::Version) && is_later(input)) {
            assert_eq!(parsed, Ok(httparse::Status::Complete(head.head_len())));
            assert_eq!(other.code, Some(head.status()));
            let reason = if head.reason().is_ascii() { head.reason() } else { b"" };
            assert_eq!(other.reason.map(str::as_bytes), Some(reason));
            same(head.fields(), other.headers);
        }
    }
    if let Ok(step) = Decoder::new(&limits).decode(input)
        && let Some(Event::Chunk { size, .. }) = step.event
    {
        assert_eq!(httparse::parse_chunk_size(input), Ok(httparse::Status::Complete((step.consumed, size))));
    }
});

/// Returns whether the input has a version that httparse rejects.
fn is_later(input: &[u8]) -> bool {
    input.windows(8).any(|word| word.starts_with(b"HTTP/1.") && (b'2'..=b'9').contains(&word[7]))
}

fn same(ours: Fields, theirs: &[httparse::Header]) {
    let theirs = theirs.iter().map(|field| (field.name, field.value));
    assert!(ours.iter().eq(theirs), "{ours:?}");
}
