//! The codec in a program that has no std, no allocator and a panic handler of its own.
//!
//! The program parses a request and encodes a response. The exit status is 0 if the response is right.
#![no_std]
#![no_main]

use degu_wire::head::{self, FieldSpan};
use degu_wire::{Framing, Limits};

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {
        core::hint::spin_loop();
    }
}

fn answer(input: &[u8], output: &mut [u8]) -> Option<usize> {
    let mut slots = [FieldSpan::EMPTY; 8];
    let request = head::parse_request(input, &mut slots, &Limits::DEFAULT).ok()??;
    let status = if request.path() == "/" { 200 } else { 404 };
    head::encode_response(output, status, "", [("server", "none")], Framing::Length(0)).ok()
}

// The C runtime's entry point; without std no other crate provides it.
#[unsafe(no_mangle)]
pub extern "C" fn main() -> i32 {
    let mut output = [0; 64];
    let len = answer(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", &mut output);
    let expected = b"HTTP/1.1 200 \r\nserver: none\r\ncontent-length: 0\r\n\r\n";
    i32::from(len.and_then(|len| output.get(..len)) != Some(expected))
}

// Links the C runtime, which calls `main`.
#[link(name = "c")]
unsafe extern "C" {}
