//! Every address that can be made, from text or from octets, is written as visible ASCII and read back as itself.

#![no_main]

use degu_wire::{Address, AddressError};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|octets: &[u8]| {
    returns(octets, Address::unix_bytes(octets));
    returns(octets, Address::abstract_name(octets));
    if let Ok(text) = std::str::from_utf8(octets) {
        returns(octets, text.parse());
        returns(octets, Address::from_host(text, 80));
    }
});

fn returns(input: &[u8], outcome: Result<Address, AddressError>) {
    match outcome {
        Ok(address) => {
            assert_eq!(address.check(), Ok(()));
            let text = address.to_string();
            assert!(text.bytes().all(|octet| octet.is_ascii_graphic()), "{text:?}");
            assert_eq!(text.parse(), Ok(address), "{text}");
        }
        Err(error) => assert!(error.offset as usize <= input.len(), "{error}"),
    }
}
