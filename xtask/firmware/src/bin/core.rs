//! The core of the codec alone: it parses a request in a slice, and encodes a response into a slice.
#![no_std]
#![no_main]

use core::convert::Infallible;

use cortex_m_rt::entry;
use degu_firmware::{Uart, run};
use degu_wire::head::{FieldSpan, encode_response, parse_request};
use degu_wire::{Framing, Limits};
use embedded_io_async::{Read, Write};

async fn serve(uart: &mut Uart) -> Result<(), Infallible> {
    let (mut input, mut fields, mut output) = ([0; 1024], [FieldSpan::EMPTY; 16], [0; 256]);
    let mut length = 0;
    loop {
        let status = match parse_request(input.get(..length).unwrap_or_default(), &mut fields, &Limits::DEFAULT) {
            Ok(Some(request)) if request.path() == "/" => 200,
            Ok(Some(_)) => 404,
            Ok(None) if length < input.len() => {
                length += uart.read(input.get_mut(length..).unwrap_or_default()).await?;
                continue;
            }
            Ok(None) => 431,
            Err(error) => error.status(),
        };
        length = 0;
        let encoded = encode_response(&mut output, status, "", [("server", "core")], Framing::Length(0)).unwrap_or(0);
        uart.write_all(output.get(..encoded).unwrap_or_default()).await?;
    }
}

#[entry]
fn main() -> ! {
    run(serve(&mut Uart::new(0)))
}
