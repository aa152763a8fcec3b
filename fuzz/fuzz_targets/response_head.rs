//! Response heads. The parser does not panic. For a beginning of the input, it returns the same result as for the whole
//! input, or asks for more. The framing follows from the fields.

#![no_main]

use degu_fuzz::{check_cuts, check_framing};
use degu_wire::head::{FieldSpan, find_head_end, parse_response, parse_trailers};
use degu_wire::{Framing, Limits, Method};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let (mut slots, mut more) = ([FieldSpan::EMPTY; 32], [FieldSpan::EMPTY; 32]);
    let mut wire = input.to_vec();
    match parse_response(&mut wire, &mut slots, &Limits::DEFAULT) {
        Ok(Some(head)) => {
            assert!((100..=999).contains(&head.status()));
            assert!(!head.reason().iter().any(|byte| byte.is_ascii_control() && *byte != b'\t'));
            assert_eq!(head.framing(Method::Head), Framing::None);
            match head.status() {
                100..=199 | 204 | 304 => assert_eq!(head.framing(Method::Get), Framing::None),
                _ => check_framing(head.fields(), head.framing(Method::Get), Framing::UntilClose),
            }
            assert_eq!(find_head_end(input, 0), Some(head.head_len()));
        }
        Ok(None) => {}
        Err(error) => assert!(error.offset as usize <= input.len()),
    }
    check_cuts(input, |input| {
        Ok(parse_response(&mut input.to_vec(), &mut more, &Limits::DEFAULT)?.map(|head| head.head_len()))
    });
    if let Ok(fields) = parse_trailers(input, &mut more, &Limits::DEFAULT) {
        assert!(fields.is_empty() == input.is_empty() && (input.is_empty() || input.ends_with(b"\r\n")));
    }
});
