//! Request heads. The parser does not panic. For a beginning of the input, it returns the same result as for the whole
//! input, or asks for more. The framing follows from the fields.

#![no_main]

use degu_fuzz::{check_cuts, check_framing};
use degu_wire::head::{FieldSpan, find_head_end, parse_request};
use degu_wire::{Framing, Limits};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let limits = Limits { allow_http10: true, allow_missing_host: true, max_fields: 20, ..Limits::DEFAULT };
    let (mut slots, mut more) = ([FieldSpan::EMPTY; 32], [FieldSpan::EMPTY; 32]);
    match parse_request(input, &mut slots, &limits) {
        Ok(Some(head)) => {
            let target = head.target();
            assert!(target.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#'));
            assert!(target.contains(head.path()) || head.path() == "/");
            assert!(head.query().is_none_or(|query| target.ends_with(query)));
            check_framing(head.fields(), head.framing(), Framing::None);
            assert!(head.fields().len() <= 20);
            for (name, value) in head.fields().iter() {
                assert!(!name.is_empty() && !value.starts_with(b" ") && !value.ends_with(b"\t"));
                assert!(!value.iter().any(|byte| byte.is_ascii_control() && *byte != b'\t'));
            }
            assert!(find_head_end(input, 0).is_some_and(|end| end <= head.head_len()));
            assert!(input[..head.head_len()].ends_with(b"\r\n\r\n"));
        }
        Ok(None) => {}
        Err(error) => assert!(error.offset as usize <= input.len() && error.status() >= 400),
    }
    check_cuts(input, |input| Ok(parse_request(input, &mut more, &limits)?.map(|head| head.head_len())));
});
