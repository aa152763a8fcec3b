//! Addresses. Every address that can be made from text or bytes is written as visible ASCII, and this text parses back
//! to the same address.

#![no_main]

use degu_wire::{Address, AddressError};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    check(bytes, Address::unix_bytes(bytes));
    check(bytes, Address::abstract_name(bytes));
    if let Ok(text) = std::str::from_utf8(bytes) {
        check(bytes, text.parse());
        check(bytes, Address::from_host(text, 80));
    }
});

fn check(input: &[u8], outcome: Result<Address, AddressError>) {
    match outcome {
        Ok(address) => {
            assert_eq!(address.check(), Ok(()));
            let text = address.to_string();
            assert!(text.bytes().all(|byte| byte.is_ascii_graphic()), "{text:?}");
            assert_eq!(text.parse(), Ok(address), "{text}");
        }
        Err(error) => assert!(error.offset as usize <= input.len(), "{error}"),
    }
}
