//! Request heads: nothing makes the parser stumble, what it says of a part it says of the whole, and the framing
//! is what the fields say.

#![no_main]

use degu_fuzz::check_framing;
use degu_wire::head::{FieldSpan, find_head_end, parse_request};
use degu_wire::{Framing, Limits};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let limits = Limits { allow_http10: true, allow_missing_host: true, max_fields: 20, ..Limits::DEFAULT };
    let (mut slots, mut more) = ([FieldSpan::EMPTY; 32], [FieldSpan::EMPTY; 32]);
    let whole = parse_request(input, &mut slots, &limits);
    let length = match &whole {
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
            head.head_len()
        }
        Ok(None) => input.len() + 1,
        Err(error) => {
            assert!(error.offset as usize <= input.len() && error.status() >= 400);
            0
        }
    };
    for cut in [input.len() / 3, input.len() / 2, input.len().saturating_sub(1)] {
        match parse_request(&input[..cut], &mut more, &limits) {
            Ok(Some(head)) => assert_eq!(head.head_len(), length),
            Ok(None) => assert!(cut < length || length == 0),
            Err(error) => assert_eq!(whole.as_ref().err(), Some(&error)),
        }
    }
});
