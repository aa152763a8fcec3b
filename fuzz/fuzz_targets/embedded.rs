//! The drivers in `degu_wire::embedded`, compared with the state machines in `degu_wire::machine`. For the same bytes in
//! the same pieces, driver and machine have the same outcome.
#![no_main]

#[path = "../../degu-wire/tests/embedded/drivers.rs"]
mod drivers;
#[allow(dead_code, reason = "the tests use more of it")]
#[path = "../../degu-wire/tests/embedded/kit.rs"]
mod kit;

use degu_wire::Method;
use libfuzzer_sys::fuzz_target;

use drivers::{INPUT, embedded_echo, embedded_response, machine_echo, machine_response};

fuzz_target!(|bytes: &[u8]| {
    // The last byte determines the length of the pieces: 1 to 64 bytes, or the whole input if the last byte is 64 or
    // more.
    let Some((pace, input)) = bytes.split_last() else { return };
    let input = &input[..input.len().min(INPUT)];
    let most = if *pace < 64 { usize::from(*pace) + 1 } else { INPUT };
    assert_eq!(embedded_echo(input, most), machine_echo(input, most));
    for (method, ranged) in [(Method::Get, true), (Method::Head, false)] {
        let read = embedded_response(method, ranged, input, most);
        assert_eq!(read, machine_response(method, ranged, input, most));
    }
});
