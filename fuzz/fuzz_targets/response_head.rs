//! Response heads: nothing makes the parser stumble, what it says of a part it says of the whole, and the
//! framing is what the fields say.

#![no_main]

use degu_fuzz::check_framing;
use degu_wire::head::{FieldSpan, find_head_end, parse_response, parse_trailers};
use degu_wire::{Framing, Limits, Method};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let (mut slots, mut more) = ([FieldSpan::EMPTY; 32], [FieldSpan::EMPTY; 32]);
    let mut wire = input.to_vec();
    let whole = parse_response(&mut wire, &mut slots, &Limits::DEFAULT);
    let length = match &whole {
        Ok(Some(head)) => {
            assert!((100..=999).contains(&head.status()));
            assert!(!head.reason().iter().any(|byte| byte.is_ascii_control() && *byte != b'\t'));
            assert_eq!(head.framing(Method::Head), Framing::None);
            match head.status() {
                100..=199 | 204 | 304 => assert_eq!(head.framing(Method::Get), Framing::None),
                _ => check_framing(head.fields(), head.framing(Method::Get), Framing::UntilClose),
            }
            assert_eq!(find_head_end(input, 0), Some(head.head_len()));
            head.head_len()
        }
        Ok(None) => input.len() + 1,
        Err(error) => {
            assert!(error.offset as usize <= input.len());
            0
        }
    };
    for cut in [input.len() / 3, input.len() / 2, input.len().saturating_sub(1)] {
        match parse_response(&mut input[..cut].to_vec(), &mut more, &Limits::DEFAULT) {
            Ok(Some(head)) => assert_eq!(head.head_len(), length),
            Ok(None) => assert!(cut < length || length == 0),
            Err(error) => assert_eq!(whole.as_ref().err(), Some(&error)),
        }
    }
    if let Ok(fields) = parse_trailers(input, &mut more, &Limits::DEFAULT) {
        assert!(fields.is_empty() == input.is_empty() && (input.is_empty() || input.ends_with(b"\r\n")));
    }
});
